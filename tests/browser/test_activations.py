"""The activations page in a browser: zoom, tabs that link and measure, scrubbing, files."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.driver import CHART
from tests.browser.test_app import drawn, link, parameters, press, settled

TAB = "activations?act_tab="


def axis(page: Any) -> list[str]:
    """Return the numbers below the first panel; Vega may order them anew."""
    texts = page.locator(f"{CHART} svg").first.locator("[class*=role-axis-label]").first
    return sorted(text for text in texts.locator("text").all_text_contents() if text)


def body(page: Any) -> str:
    return page.locator("[data-testid=stMain]").inner_text()


def tab_charts(page: Any) -> Any:
    return page.locator(f"[data-testid=stTabs] {CHART} svg")


def test_a_zoom_stays_while_a_control_moves_and_a_double_click_ends_it(visit: Callable[..., Any]) -> None:
    page = visit("activations")
    settled(page)
    page.wait_for_timeout(1000)
    whole = axis(page)
    box = page.locator(f"{CHART} svg").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(300)
    assert axis(page) == whole  # a plain wheel scrolls the page
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(80)
    page.keyboard.up("Control")
    page.wait_for_timeout(400)
    near = axis(page)
    assert near != whole
    press(page, "Weight before the unit")
    assert axis(page) == near
    page.mouse.dblclick(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_timeout(400)
    assert axis(page) == whole


def test_curvature_adds_a_third_panel(visit: Callable[..., Any]) -> None:
    page = visit("activations?act_curvature=true")
    settled(page)
    page.wait_for_timeout(1000)
    text = page.locator(f"{CHART} svg").first.text_content()
    assert "Curvature f″(z)" in text
    box = page.locator(f"{CHART} svg").first.bounding_box()
    assert box["x"] + box["width"] <= 1440


@pytest.mark.parametrize("view", ["properties", "softmax"])
def test_every_view_of_compare_is_drawn(visit: Callable[..., Any], view: str) -> None:
    page = visit(f"{TAB}Compare&act_compare={view}")
    settled(page, charts=1 if view == "properties" else 2)
    page.wait_for_timeout(600)
    assert page.locator("[data-testid=stException]").count() == 0
    if view == "properties":
        page.get_by_role("button", name="Measure the cost").click()
        page.get_by_text("Measured just now").wait_for()
        assert re.search(r"sigmoid\s+[\d.]+", body(page).split("Measured just now")[1])
    else:
        assert tab_charts(page).first.locator("[class*=mark-] path").count() >= 2


def test_a_gain_opens_initialization_with_the_same_function(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Signal")
    settled(page, charts=3)
    page.get_by_text("tanh with gain").click()
    page.wait_for_url("**/initialization**")
    settled(page)
    assert parameters(page)["init_activation"] == ["tanh"]
    assert float(parameters(page)["init_custom_gain"][0]) == pytest.approx(1.467, abs=2e-3)
    assert "custom" in page.locator(f"{CHART} svg").first.text_content()


def test_a_reason_sets_the_controls_and_opens_its_tab(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Choose&act_concern=small+device")
    settled(page, charts=2)
    page.get_by_role("button", name="Hard swish against SiLU").click()
    page.wait_for_url("**act_compare=differences**")
    settled(page, charts=2)
    assert parameters(page)["act_functions"] == ["SiLU", "hard swish", "ReLU6"]
    assert page.get_by_role("tab", selected=True).inner_text() == "Compare"
    assert "f(z) less SiLU" in tab_charts(page).first.text_content()


def test_a_scenario_about_a_tab_opens_it(visit: Callable[..., Any]) -> None:
    page = visit("activations")
    settled(page)
    page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name="A constant mistyped").click()
    page.wait_for_url("**act_gelu_tanh_cubic=0.044175**")
    settled(page, charts=2)
    assert page.get_by_role("tab", selected=True).inner_text() == "Compare"
    assert "0.000490 at 1.50" in tab_charts(page).first.text_content()


def test_epochs_are_scrubbed_in_the_browser(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Train")
    settled(page, charts=2)
    page.wait_for_timeout(1000)
    before = tab_charts(page).first.text_content()
    page.evaluate(
        """() => { window.runs = 0; new MutationObserver(list => list.forEach(m => window.runs++))
            .observe(document.querySelector('[data-testid=stApp]'), {attributes: true,
            attributeFilter: ['data-test-script-state']}) }"""
    )
    page.locator("[data-testid=stTabs] .vega-bind input[type=range]").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    assert tab_charts(page).first.text_content() != before
    assert "epoch 0" in tab_charts(page).first.text_content()
    assert page.evaluate("window.runs") == 0


def test_a_control_of_the_main_figure_leaves_a_chart_that_does_not_use_it_alone(
    visit: Callable[..., Any],
) -> None:
    page = visit(f"{TAB}Train")
    settled(page, charts=2)
    page.wait_for_timeout(1500)
    page.evaluate(
        """selector => { window.touched = 0; new MutationObserver(list => window.touched += list.length)
            .observe(document.querySelector(selector), {attributes: true, childList: true, subtree: true}) }""",
        f"[data-testid=stTabs] {CHART} svg",
    )
    press(page, "Weight before the unit")
    page.wait_for_timeout(800)
    assert page.evaluate("window.touched") == 0


def test_a_control_of_a_tab_redraws_that_tab_alone(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Signal")
    settled(page, charts=3)
    page.wait_for_timeout(1500)
    main, before = drawn(page), drawn(page, 1)
    page.evaluate(
        """selector => { window.touched = 0; new MutationObserver(list => window.touched += list.length)
            .observe(document.querySelector(selector), {attributes: true, childList: true, subtree: true}) }""",
        f"{CHART} svg",
    )
    slider = page.locator("[data-testid=stTabs] [data-testid=stSlider]").filter(has_text="Mean of the input")
    slider.locator("input[type=range], [role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**act_mu=0.1**")
    settled(page, charts=3)
    page.wait_for_timeout(500)
    assert drawn(page, 1) != before
    assert drawn(page) == main
    assert page.evaluate("window.touched") == 0
    assert "act_mu=0.1" in link(page)


def test_claims_and_errata_come_with_what_was_measured(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}From+the+notes")
    settled(page)
    page.get_by_text("Errata of the notes").click()
    page.get_by_text("0.044175").first.wait_for()
    settled(page)
    text = body(page)
    assert text.count("Measured") >= 25
    assert page.locator("[data-testid=stException]").count() == 0
    page.locator("[data-testid=stExpander]").last.get_by_role("button", name="See it").first.click()
    settled(page)
    assert parameters(page)
