"""The Optimizers page in a browser: play, typed functions, framework defaults, maps that can be clicked."""

from collections.abc import Callable
from typing import Any

from tests.browser.test_app import CHART, SIDEBAR, drawn, parameters, settled

SCRUBBER = f"{CHART} .vega-bind input[type=range]"


def test_a_run_plays_in_the_browser(visit: Callable[..., Any]) -> None:
    page = visit("optimizers")
    settled(page)
    page.wait_for_timeout(1000)
    address, pictures = page.url, {drawn(page)}
    page.get_by_role("button", name="Play the run").click()
    for _ in range(3):
        page.wait_for_timeout(500)
        pictures.add(drawn(page))
    page.get_by_role("button", name="Play the run").click()
    page.wait_for_timeout(200)
    stopped = page.locator(SCRUBBER).first.input_value()
    assert 0 < int(stopped) < 100
    page.wait_for_timeout(500)
    assert page.locator(SCRUBBER).first.input_value() == stopped, "a pause stands still"
    assert len(pictures) >= 3
    assert page.url == address


def test_a_typed_function_is_drawn_and_a_wrong_one_is_named(visit: Callable[..., Any]) -> None:
    page = visit("optimizers?opt_surface=Your+own+f(x,+y)")
    settled(page)
    page.wait_for_timeout(500)
    before = drawn(page)
    field = page.locator("[data-testid=stTextInputField]")
    field.fill("sin(x) + y^2")
    field.press("Enter")
    page.wait_for_url("**opt_formula=sin*")
    settled(page)
    page.wait_for_timeout(800)
    typed = drawn(page)
    assert typed != before
    field.fill("sinn(x)")
    field.press("Enter")
    page.wait_for_selector("[data-testid=stAlert]")
    settled(page)
    warning = page.locator("[data-testid=stAlert]").first.inner_text()
    assert "sinn at character 1" in warning
    assert field.input_value() == "sinn(x)", "what was typed stays, to be mended"
    field.fill("x^2 + 3y^2")
    field.press("Enter")
    page.wait_for_url("**opt_formula=x*")
    settled(page)
    assert page.locator("[data-testid=stAlert]").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0


def test_framework_defaults_set_the_knobs(visit: Callable[..., Any]) -> None:
    page = visit("optimizers?opt_optimizers=Adam")
    settled(page)
    page.wait_for_timeout(800)  # the column's width has been told by now
    page.locator(SIDEBAR).get_by_text("More of Adam").click()
    page.wait_for_timeout(500)  # unfolded
    page.locator(SIDEBAR).get_by_role("button", name="Keras defaults").click()
    page.wait_for_url("**opt_adam_eps=1e-07**")
    settled(page)
    assert parameters(page)["opt_adam_lr"] == ["0.001"]


def test_a_pixel_of_the_basins_is_a_start(visit: Callable[..., Any]) -> None:
    page = visit("optimizers?opt_scenario=Basins+of+momentum")
    settled(page, charts=2)
    page.wait_for_timeout(1500)
    before = drawn(page)
    chart = page.locator(f"{CHART} svg").nth(1)
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.6 * box["height"])
    page.wait_for_url("**opt_start_x=**")
    settled(page, charts=2)
    page.wait_for_timeout(500)
    assert drawn(page) != before
