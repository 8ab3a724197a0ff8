"""The app as a visitor has it: in a browser, with the address bar, the keyboard and the mouse."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from charts.addresses import ALIASES
from charts.topics import TOPICS
from tests.browser.driver import CHART, serve

# A page with the label of its main slider and the parameter that slider has in the address.
SLIDERS = {
    "activations": ("Weight before the unit", "act_weight"),
    "initialization": ("Depth", "init_depth"),
    "batchnorm": ("Batch size", "bn_batch_size"),
    "dropout": ("p_drop", "drop_p"),
    "optimizers": ("Learning rate", "opt_gd_lr"),
}
# Of all figures; of one that is being replaced it is 0.
SIZES = """selector => [...document.querySelectorAll(selector + ' :is(svg, canvas).marks')].map(
    (figure) => { const box = figure.getBoundingClientRect(); return [box.width, box.height]; })"""
SIDEBAR = "[data-testid=stSidebar]"


def settled(page: Any, charts: int = 1) -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-connection-state=CONNECTED]", timeout=30_000)
    page.wait_for_function(
        """([selector, n]) => document.querySelectorAll(selector + ' svg, ' + selector + ' canvas').length >= n""",
        arg=[CHART, charts],
        timeout=30_000,
    )
    quiet, before = 0, None
    until = time.monotonic() + 30
    while quiet < 4 and time.monotonic() < until:
        state = page.get_attribute("[data-testid=stApp]", "data-test-script-state")
        # Of a short run the page hears at its end only: a figure that is made anew says that one is on.
        shown = page.evaluate(SIZES, CHART)
        quiet = quiet + 1 if state == "notRunning" and shown == before else 0
        before = shown
        page.wait_for_timeout(100)
    assert quiet == 4


def drawn(page: Any, number: int = 0) -> str:
    """Return what a chart draws: the geometry of all its marks."""
    return (
        page.locator(f"{CHART} svg")
        .nth(number)
        .evaluate(
            """svg => [...svg.querySelectorAll('path, line, text, image')]
            .map(e => (e.getAttribute('d') || '') + (e.getAttribute('transform') || '') + e.textContent).join('|')"""
        )
    )


def lines(page: Any) -> list[str]:
    """Return the lines of the main chart, once its width is the column's; axes may order their ticks anew."""
    page.wait_for_timeout(700)
    return sorted(
        page.locator(f"{CHART} svg")
        .first.locator("[class*=mark-line] path, [class*=mark-rect] path")
        .evaluate_all("paths => paths.map(path => path.getAttribute('d') || '')")
    )


def slider(page: Any, label: str) -> Any:
    return (
        page.locator(f"{SIDEBAR} [data-testid=stSlider]")
        .filter(has_text=label)
        .locator("input[type=range], [role=slider]")
        .first
    )


def reads(page: Any, label: str) -> str | None:
    """Return the value that a slider's thumb says."""
    thumb = slider(page, label)
    return (
        thumb.get_attribute("aria-valuetext") or thumb.get_attribute("aria-valuenow") or thumb.input_value()
    )


def press(page: Any, label: str, key: str = "ArrowRight") -> None:
    """Press a key on a slider and wait until the main chart has changed."""
    before, said = drawn(page), reads(page, label)
    until = time.monotonic() + 40
    while (
        reads(page, label) == said and time.monotonic() < until
    ):  # a page that is just redrawn may take the focus
        slider(page, label).focus()
        page.keyboard.press(key)
        page.wait_for_timeout(300)
    while drawn(page) == before and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert drawn(page) != before
    settled(page)


def parameters(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def toolbar(page: Any, number: int = 0) -> Any:
    return page.get_by_role("group", name="Save or share this figure").nth(number)


def copied(page: Any, button: str, number: int = 0) -> str:
    """Press a button of the toolbar that copies, and return what it has copied."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('')")
    toolbar(page, number).get_by_role("button", name=button).click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    return str(page.evaluate("navigator.clipboard.readText()"))


def link(page: Any) -> str:
    """Return the query of the link that the page offers to copy."""
    return urlsplit(copied(page, "Copy the link")).query


@pytest.mark.parametrize("name", SLIDERS)
def test_a_key_press_redraws_in_place_and_enters_the_address(visit: Callable[..., Any], name: str) -> None:
    label, parameter = SLIDERS[name]
    page = visit(name)
    settled(page)
    page.wait_for_timeout(1000)  # the column's width has been told by now
    page.locator(f"{CHART} svg").first.evaluate("svg => { svg.kept = true }")
    key = "ArrowLeft" if name == "initialization" else "ArrowRight"
    for _ in range(2):
        press(page, label, key)
        assert page.locator(f"{CHART} svg").first.evaluate("svg => svg.kept === true"), (
            "the chart was embedded anew"
        )
    assert parameter in parameters(page)
    assert parameters(page)[f"{parameter.split('_')[0]}_scenario"] == ["Custom"]


@pytest.mark.parametrize("name", ["optimizers"])  # all pages: tests/pages
def test_a_copied_link_opens_the_same_view(visit: Callable[..., Any], name: str) -> None:
    page = visit(name)
    settled(page)
    press(page, SLIDERS[name][0], "ArrowLeft")
    query = link(page)
    other = visit(f"{name}?{query}")
    settled(other)
    assert link(other) == query
    assert lines(other) == lines(page)


def test_a_reload_restores_what_was_changed_after_a_scenario(visit: Callable[..., Any]) -> None:
    page = visit("optimizers?opt_scenario=Past+the+limit")
    settled(page)
    press(page, "Learning rate")
    query, picture = link(page), lines(page)
    page.reload()
    settled(page)
    assert link(page) == query
    assert lines(page) == picture


def test_choosing_a_scenario_sets_controls_and_address(visit: Callable[..., Any]) -> None:
    page = visit("optimizers")
    settled(page)
    before = lines(page)
    page.locator(f"{SIDEBAR} [data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name="Four minima").click()
    page.wait_for_url("**opt_scenario=Four+minima**")
    settled(page)
    assert lines(page) != before
    assert parameters(page)["opt_surface"] == ["Himmelblau"]
    page.get_by_role("button", name="Reset").click()
    page.wait_for_url(lambda url: "opt_surface" not in url)
    settled(page)
    assert lines(page) == before


@pytest.mark.parametrize(
    ("name", "scenario"), [("activations", "A constant mistyped"), ("optimizers", "Four minima")]
)
def test_the_address_holds_the_values_that_a_scenario_gives_to_controls_out_of_view(
    visit: Callable[..., Any], name: str, scenario: str
) -> None:
    topic = TOPICS[name]
    page = visit(name)
    settled(page)
    page.locator(f"{SIDEBAR} [data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name=scenario).click()
    page.wait_for_url(f"**{topic.prefix}_scenario=**")
    settled(page)
    page.wait_for_timeout(500)
    values, problems = topic.parse(
        {key: value for key, value in parameters(page).items() if key != topic.key("scenario")}
    )
    assert problems == []
    expected = topic.scenario_values(next(s for s in topic.scenarios if s.name == scenario))
    assert topic.settle(values) == topic.settle(expected)


@pytest.mark.parametrize(
    "name", ["optimizers", next(old for old, new in ALIASES.items() if new == "optimizers")]
)
def test_a_deep_link_is_the_first_request_of_a_fresh_server(
    visit: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    with serve("app.py", tmp_path / "log") as fresh:
        page = visit(f"{name}?opt_surface=Rosenbrock&opt_gd_lr=0.0005", base=fresh)
        page.wait_for_url("**/optimizers?**")
        settled(page)
        page.get_by_text("Training", exact=True).first.wait_for()
        shown = parse_qs(link(page))
        assert shown["opt_surface"] == ["Rosenbrock"]
        assert shown["opt_gd_lr"] == ["0.0005"]
        assert page.locator("[data-testid=stException]").count() == 0
        assert parameters(page)["opt_surface"] == ["Rosenbrock"]
        page.close()
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_bad_values_in_a_link_are_named(visit: Callable[..., Any]) -> None:
    page = visit("dropout?drop_p=0.8&drop_inputs=banana&x=<script>alert(1)</script>")
    settled(page)
    warning = page.locator("[data-testid=stAlert]").first.inner_text()
    assert "inputs = banana" in warning
    assert "from 1 to 500" in warning
    assert page.locator("[data-testid=stAlert] script").count() == 0
    assert "0.80" in page.locator(SIDEBAR).inner_text()
    press(page, "p_drop")
    assert page.get_by_text("banana").count() == 0


def test_a_click_on_the_surface_moves_the_start(visit: Callable[..., Any]) -> None:
    page = visit("optimizers")
    settled(page)
    page.wait_for_timeout(1000)
    before = drawn(page)
    box = page.locator(f"{CHART} svg").first.bounding_box()
    page.mouse.click(box["x"] + 0.35 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_url("**opt_start_x=**")
    settled(page)
    assert {"opt_start_x", "opt_start_y"} <= parameters(page).keys()
    assert drawn(page) != before


@pytest.mark.parametrize(("name", "key"), [("optimizers", "Home"), ("activations", "End")])
def test_scrubbing_stays_in_the_browser(visit: Callable[..., Any], name: str, key: str) -> None:
    page = visit(name)
    settled(page)
    page.wait_for_timeout(1000)
    before = drawn(page)
    page.evaluate(
        """() => { window.runs = 0; new MutationObserver(list => list.forEach(m => window.runs++))
            .observe(document.querySelector('[data-testid=stApp]'), {attributes: true,
            attributeFilter: ['data-test-script-state']}) }"""
    )
    page.locator(f"{CHART} .vega-bind input[type=range]").first.focus()
    page.keyboard.press(key)
    page.wait_for_timeout(400)
    assert drawn(page) != before
    assert page.evaluate("window.runs") == 0


def test_a_pinned_run_stays_in_gray(visit: Callable[..., Any]) -> None:
    page = visit("batchnorm")
    settled(page)
    page.wait_for_timeout(1000)
    lines = page.locator(f"{CHART} svg").first.locator("[class*=mark-line] path")
    visible = """paths => paths.filter(p => (p.getAttribute('d') || '').split('L').length > 2).length"""
    before = lines.evaluate_all(visible)
    page.get_by_role("button", name="Pin this run").click()
    page.locator("p:visible").filter(has_text="Gray: the pinned run").wait_for()
    press(page, "Batch size")
    assert lines.evaluate_all(visible) == before + 3  # mean, variance and output of the pinned run


TABLES = ["batchnorm?bn_tab=Family", "initialization?init_tab=Remedies", "activations?act_tab=Compare"]


@pytest.mark.parametrize("name", TABLES)  # the pages themselves: test_look.py
def test_nothing_scrolls_sideways_on_a_phone(visit: Callable[..., Any], name: str) -> None:
    page = visit(name, width=390, height=844)
    settled(page)
    page.wait_for_timeout(400)
    column = page.locator("[data-testid=stMainBlockContainer]").bounding_box()
    page.wait_for_function(  # the column's width has been told and the charts drawn for it
        "([selector, wide]) => [...document.querySelectorAll(selector)].every(svg => svg.getBoundingClientRect().width <= wide)",
        arg=[f"{CHART} svg", column["width"]],
        timeout=20_000,
    )
    for chart in range(page.locator(f"{CHART} svg").count()):
        box = page.locator(f"{CHART} svg").nth(chart).bounding_box()
        assert box["x"] + box["width"] <= column["x"] + column["width"] + 1
    for place in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{place}.scrollWidth - {place}.clientWidth") <= 0


def test_the_menu_leads_to_every_page_and_back(visit: Callable[..., Any]) -> None:
    page = visit()
    settled(page, charts=5)
    for section, title, path in (
        ("Signal", "Activations", "activations"),
        ("Signal", "Initialization", "initialization"),
        ("Layers", "BatchNorm", "batchnorm"),
        ("Layers", "Dropout", "dropout"),
        ("Training", "Optimizers", "optimizers"),
    ):
        page.get_by_text(section, exact=True).first.click()
        page.locator("[data-testid=stTopNavLink], [data-testid=stTopNavDropdownLink], a").filter(
            has_text=title
        ).last.click()
        page.wait_for_url(f"**/{path}**")
        settled(page)
    page.go_back()
    page.wait_for_url("**/dropout**")
    settled(page)
    page.go_forward()
    page.wait_for_url("**/optimizers**")
    settled(page)


def test_settings_survive_a_visit_to_another_page(visit: Callable[..., Any]) -> None:
    page = visit("dropout")
    settled(page)
    press(page, "p_drop")
    query = link(page)
    page.get_by_text("Layers", exact=True).first.click()
    page.locator("a").filter(has_text="BatchNorm").last.click()
    page.wait_for_url("**/batchnorm**")
    settled(page)
    page.get_by_text("Layers", exact=True).first.click()
    page.locator("a").filter(has_text="Dropout").last.click()
    page.wait_for_url("**/dropout**")
    settled(page)
    assert link(page) == query


def test_a_large_run_grows_in_place_and_a_control_abandons_it(visit: Callable[..., Any]) -> None:
    page = visit("initialization?init_width=512&init_batch=8&init_depth=100")
    page.get_by_text("Drawing more networks").wait_for(timeout=30_000)
    page.wait_for_selector(f"{CHART} svg")
    page.locator(f"{CHART} svg").first.evaluate("svg => { svg.kept = true }")
    page.get_by_text("× a layer").first.wait_for(timeout=30_000)
    assert page.get_by_text("Drawing more networks").count() == 1, "some networks are drawn, not all"
    slider(page, "Depth").focus()
    page.keyboard.press("Home")  # one layer: all networks at once
    page.get_by_text("after 1 layer").first.wait_for(timeout=20_000)
    settled(page)
    assert page.get_by_text("Drawing more networks").count() == 0
    assert page.locator(f"{CHART} svg").first.evaluate("svg => svg.kept === true"), "drawn in place"
