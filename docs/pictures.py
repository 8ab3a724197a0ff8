"""Take the README's pictures from the running app: ``python -m docs.pictures``, with a Chromium installed."""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.driver import CHART, FLAGS, find_chromium, serve

FOLDER = Path(__file__).parent
PAGES = {"optimizers": "optimizers", "initialization": "initialization"}


def main() -> None:
    """Photograph each page on a 1280-pixel screen."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve("app.py", Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        for name, path in PAGES.items():
            page.goto(f"{address}/{path}")
            page.wait_for_selector(f"{CHART} svg")
            page.wait_for_timeout(2500)
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
