"""One server and one browser for all tests of a process; a page that remembers what the browser's console said."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driver import FLAGS, HOW_TO_GET, find_chromium, serve

REQUIRED = os.environ.get("LAYERWISE_REQUIRE_BROWSER") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in Path(item.fspath).parts:
            item.add_marker(pytest.mark.browser)


def _missing() -> None:
    if REQUIRED:
        pytest.fail(HOW_TO_GET)
    pytest.skip(HOW_TO_GET)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing()
    with sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            _missing()
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serve("app.py", log) as url:
        yield url
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said
    assert "Warning" not in said, said


@pytest.fixture(scope="session")
def contexts(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return the browser's profile of a screen: pages in it share the files they load, a visit has its own session."""
    kept: dict[tuple[int, int, str], Any] = {}

    def profile(width: int, height: int, scheme: str) -> Any:
        key = (width, height, scheme)
        if key not in kept:
            kept[key] = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        return kept[key]

    yield profile
    for context in kept.values():
        context.close()


@pytest.fixture
def visit(contexts: Callable[..., Any], address: str) -> Iterator[Callable[..., Any]]:
    """Open an address of the app as a new visitor; fails if the browser's console reports anything."""
    pages = []
    said: list[str] = []

    def note(message: Any) -> None:
        # Streamlit looks for its own health and host addresses below a deep link first: its business, not ours.
        if message.type in ("error", "warning") and "/_stcore/" not in str(message.location.get("url", "")):
            said.append(f"{message.type}: {message.text}")

    def open_page(
        path: str = "", width: int = 1440, height: int = 900, scheme: str = "light", base: str = ""
    ) -> Any:
        page = contexts(width, height, scheme).new_page()
        pages.append(page)
        page.on("console", note)
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto(f"{base or address}/{path}")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []
