"""The Dropout page in a browser: masks are stepped through without the server."""

from collections.abc import Callable
from typing import Any

from tests.browser.test_app import drawn, settled


def test_masks_are_stepped_through_in_the_browser(visit: Callable[..., Any]) -> None:
    page = visit("dropout?drop_tab=Network")
    settled(page, charts=2)
    page.wait_for_timeout(1200)
    slider = page.locator(".vega-bind input[type=range]").last
    pictures, address = {drawn(page, 1)}, page.url
    slider.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        page.wait_for_timeout(400)
        pictures.add(drawn(page, 1))
    assert len(pictures) >= 3, "every step has a mask of its own"
    assert page.url == address
