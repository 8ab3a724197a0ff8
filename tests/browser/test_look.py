"""What every page owes whoever looks at it: no barrier that axe-core calls serious, nothing cut off, targets for fingers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charts.topics import TOPICS
from tests.browser.driver import APP, CHART

PAGES = ("", "claims", *TOPICS, "dropout?predict=first")
SEVERE = ("serious", "critical")
PHONE = {"width": 390, "height": 844}

# Things to press whose place is less than 40 pixels wide or high. What a label or a line of text holds is as large as that.
_SMALL = """() => [...document.querySelectorAll(
    '[data-testid=stMain] :is(a[href], button, summary, [role=tab]), [data-testid=stHeader] button')]
  .filter((each) => {
    const box = each.getBoundingClientRect();
    const shown = box.width > 2 && box.height > 2 && getComputedStyle(each).visibility !== 'hidden';
    return shown && !each.closest('p, li, label') && (box.width < 39.5 || box.height < 39.5);
  }).map((each) => each.outerHTML.slice(0, 160))"""
_OVERFULL = """() => [...document.querySelectorAll('[role=tab]')]
  .filter((tab) => tab.scrollWidth > tab.clientWidth + 1).map((tab) => tab.innerText)"""


@pytest.fixture(scope="session")
def axe() -> str:
    module = pytest.importorskip("axe_playwright_python")
    return (Path(module.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def settled(page: Any) -> None:
    page.wait_for_selector(f"{APP}[data-test-script-state=notRunning]")
    page.wait_for_timeout(900)


def severe(page: Any, axe: str) -> list[str]:
    """Return what axe-core finds to be in somebody's way, and goes on finding: colors come in gradually."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe)
    found: list[str] = []
    for _ in range(4):
        said = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        found = [
            f"{each['id']}: {node['html'][:200]}"
            for each in said["violations"]
            if each["impact"] in SEVERE
            for node in each["nodes"]
        ]
        if not found:
            break
        page.wait_for_timeout(700)
    return found


def painted(page: Any) -> None:
    """Check that nothing failed and every chart has marks."""
    assert page.locator("[data-testid=stException]").count() == 0
    assert page.title().endswith("Layerwise")
    charts = page.locator(f"{CHART} svg.marks")
    for chart in range(charts.count()):
        assert charts.nth(chart).locator("[class*=mark-] path, image").count() >= 2


def ground(page: Any) -> int:
    """Return the brightest part, 0 to 255, of the color that the page stands on."""
    color = page.locator(".stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    return max(map(int, re.findall(r"\d+", color)[:3]))


@pytest.mark.parametrize("path", PAGES, ids=[path or "home" for path in PAGES])
def test_a_page_is_whole_and_reachable(visit: Callable[..., Any], axe: str, path: str) -> None:
    page = visit(path, width=1280, height=800)
    asks = "predict" in path
    page.wait_for_selector(".st-key-predict_card" if asks else f"{CHART} svg.marks")
    settled(page)
    if path in TOPICS:  # controls and figure without scrolling
        page.wait_for_function(
            f"document.querySelector('{CHART} svg.marks')?.getBoundingClientRect().bottom <= 800"
        )
    painted(page)
    assert ground(page) > 200
    assert severe(page, axe) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    painted(page)
    assert ground(page) < 100
    assert severe(page, axe) == []
    page.set_viewport_size(PHONE)
    # The server learns of it and draws anew; until then what is too wide can be scrolled to.
    page.wait_for_function(f"document.querySelector('[data-testid=stMain]').scrollWidth <= {PHONE['width']}")
    settled(page)
    painted(page)
    if path in ("", "claims", "batchnorm"):  # the menu is another one; the rest is as on a large screen
        assert severe(page, axe) == []
    assert page.evaluate(_OVERFULL) == []
    assert page.evaluate(_SMALL) == []
