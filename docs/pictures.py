"""Take the README's pictures from the running app: ``python -m docs.pictures``, with a Chromium installed."""

import io
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.driver import APP, CHART, FLAGS, find_chromium, serve

FOLDER = Path(__file__).parent

Colors = NDArray[np.int_]  # (number, 3), 0 to 255
PAGES = {
    "home": "",
    **{name: name for name in ("activations", "initialization", "batchnorm", "dropout")},
}
DARK = {"optimizers_dark": "optimizers"}
SCREEN = {"width": 1280, "height": 800}
COLORS = 128  # of a picture: text and lines stay as they are, files are a third as large
GROUNDS = 4

# The animation: the run scrubbed from its start to its end.
FRAMES, FRAME, REST = 60, 80, 1800  # how many, and how long in milliseconds each stands, and the last
MOST = 2_000_000  # bytes


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(f"{CHART} svg")
    page.wait_for_timeout(2500)
    page.wait_for_selector(f"{APP}[data-test-script-state=notRunning]")


def _colors(picture: Image.Image) -> Colors:
    """Choose few colors for a picture; the most frequent ones, its grounds, are exactly as they are."""
    few = np.array(picture.quantize(COLORS - GROUNDS, dither=Image.Dither.NONE).getpalette()).reshape(-1, 3)
    counted = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    return np.concatenate([np.array([color for _, color in counted[:GROUNDS]]), few])


def _drawn(picture: Image.Image, colors: Colors) -> Image.Image:
    """Draw a picture in given colors, each pixel in the nearest; Pillow's own search is coarser than that."""
    packed, places = np.unique(np.asarray(picture).astype(int) @ [1 << 16, 1 << 8, 1], return_inverse=True)
    own = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)
    nearest = np.argmin(((own[:, None] - colors) ** 2).sum(axis=-1), axis=1).astype(np.uint8)
    drawn = Image.fromarray(nearest[places].reshape(picture.height, picture.width), mode="P")
    drawn.putpalette(colors.astype(np.uint8).tobytes())
    return drawn


def _still(browser: Browser, address: str, name: str, scheme: str = "light") -> None:
    """Photograph a page on a 1280-pixel screen, at one and a half times the pixels."""
    context = browser.new_context(viewport=SCREEN, color_scheme=scheme, device_scale_factor=1.5)
    page = context.new_page()
    _open(page, address)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    _drawn(picture, _colors(picture)).save(FOLDER / f"{name}.png", optimize=True)
    context.close()


def _animate(browser: Browser, address: str) -> None:
    """Scrub through the default run of the optimizers and keep its frames."""
    page = browser.new_page(viewport=SCREEN, color_scheme="light", device_scale_factor=1.25)
    _open(page, address)
    chart, scrubber = page.locator(CHART).first, page.locator(".vega-bind input[type=range]").first
    box = chart.locator("svg").bounding_box()
    assert box is not None
    clip = {
        "x": box["x"] - 8,
        "y": box["y"] - 8,
        "width": box["width"] + 16,
        "height": box["height"] + 8,
    }
    last = int(float(scrubber.get_attribute("max") or 0))
    frames = []
    for number in range(FRAMES + 1):
        scrubber.evaluate(
            "(input, at) => { input.value = at; input.dispatchEvent(new Event('input', { bubbles: true })); }",
            str(round(last * number / FRAMES)),
        )
        page.wait_for_timeout(150)
        shot = page.screenshot(clip=clip)  # type: ignore[arg-type]
        frames.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    # One palette for all, that of the last frame, which has every path: otherwise the ground would flicker.
    colors = _colors(frames[-1])
    drawn = [_drawn(frame, colors) for frame in frames]
    path = FOLDER / "optimizers.gif"
    drawn[0].save(
        path,
        save_all=True,
        append_images=drawn[1:],
        duration=[*[FRAME] * FRAMES, REST],
        loop=0,
        optimize=True,
    )
    if path.stat().st_size > MOST:
        raise RuntimeError(f"{path.name}: {path.stat().st_size:,} bytes, more than {MOST:,}")
    page.close()


def main() -> None:
    """Photograph every page, and scrub through the optimizers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve("app.py", Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for name, path in PAGES.items():
            _still(browser, f"{address}/{path}", name)
        for name, path in DARK.items():
            _still(browser, f"{address}/{path}", name, "dark")
        _animate(browser, f"{address}/optimizers")
        browser.close()


if __name__ == "__main__":
    main()
