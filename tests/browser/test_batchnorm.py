"""The BatchNorm page in a browser: cells that light up, maps that can be clicked, steps that are scrubbed."""

from collections.abc import Callable
from typing import Any

from tests.browser.driver import CHART
from tests.browser.test_app import drawn, parameters, settled

TAB = "batchnorm?bn_tab="


def tab_chart(page: Any) -> Any:
    """Return the chart of the open tab, which stands below the main one."""
    return page.locator(f"{CHART} svg").nth(1)


def test_a_cell_lights_up_what_it_shares_and_a_click_keeps_it(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Family")
    settled(page, charts=2)
    page.wait_for_timeout(1200)
    cells = tab_chart(page).locator("[class*=mark-rect] path")
    before, main = drawn(page, 1), drawn(page)
    cells.nth(4).scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = cells.nth(4).bounding_box()
    center = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*center)
    page.wait_for_timeout(300)
    assert drawn(page, 1) != before, "pointing at a cell marks its set, without the server"
    assert "bn_family_position" not in parameters(page)
    page.mouse.click(*center)
    page.wait_for_url("**bn_family_**")
    settled(page, charts=2)
    assert drawn(page) == main


def test_a_click_on_the_map_of_the_gap_sets_batch_size_and_weight(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Gap")
    settled(page, charts=2)
    page.wait_for_timeout(1200)
    chart = tab_chart(page)
    chart.scroll_into_view_if_needed()
    before = drawn(page)
    image = chart.locator("image").first.bounding_box()
    page.mouse.click(image["x"] + 0.75 * image["width"], image["y"] + 0.25 * image["height"])
    page.wait_for_url("**bn_batch_size=**")
    settled(page, charts=2)
    assert int(parameters(page)["bn_batch_size"][0]) > 8
    assert float(parameters(page)["bn_weight"][0]) > 0.1
    assert drawn(page) != before, "the main figure follows"


def test_the_steps_of_a_network_are_scrubbed_in_the_browser(visit: Callable[..., Any]) -> None:
    page = visit(f"{TAB}Network&bn_net_view=distributions&bn_net_layers=2")
    settled(page, charts=2)
    page.wait_for_timeout(1200)
    before, address = drawn(page, 1), page.url
    page.locator(".vega-bind input[type=range]").last.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    assert drawn(page, 1) != before
    assert page.url == address
