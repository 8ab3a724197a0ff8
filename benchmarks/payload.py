"""What one change sends, and what it does to the figure in the browser.

    python -m benchmarks.payload [--page NAME ...] [--moves N]

A headless Chromium opens every page in its default view, zooms into the figure and moves its scrubber where it has
them, and presses the main slider. First a single press: bytes and messages from the server by kind, elements sent in
full and by reference, rows of every data set of the main chart. Then presses one after another: frames in which the
figure was not there, how often Vega built it anew, and whether zoom and scrubber are where they were. Nothing is timed.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from playwright.sync_api import Browser, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.interaction import HOOK, MAIN, SCREEN, Tab
from benchmarks.prepared import topic_of
from tests.browser.driver import CHART, FLAGS, HOW_TO_GET, find_chromium, serve

# Looks at the first chart in every frame: is its picture there, with marks that have a size, and is it still the same
# element?
WATCH = f"""
(() => {{
  const seen = window.__watch = {{ frames: 0, blank: 0, anew: 0, on: true }};
  let last = document.querySelector('{CHART} :is(svg, canvas).marks');
  const look = () => {{
    if (!seen.on) return;
    const now = document.querySelector('{CHART} :is(svg, canvas).marks');
    const box = now?.getBoundingClientRect();
    const drawn = now && (now.tagName === 'CANVAS' || now.querySelector('.mark-line path, .mark-symbol path, '
      + '.mark-rect path, .mark-area path, .mark-rule line, .mark-image image, .mark-bar path, .mark-text text'));
    seen.frames += 1;
    if (!drawn || !box.width || !box.height || !now.checkVisibility({{ opacityProperty: true }})) seen.blank += 1;
    if (now && now !== last) {{ seen.anew += 1; last = now; }}
    requestAnimationFrame(look);
  }};
  requestAnimationFrame(look);
}})()
"""

# The texts of each axis say where the figure has been zoomed to.
AXES = (
    f"[...document.querySelectorAll('{CHART} svg.marks .role-axis')].map("
    "(axis) => [...axis.querySelectorAll('.role-axis-label text')].map((e) => e.textContent))"
)
SCRUBBER = f"{CHART} .vega-bind input[type=range]"
LIMIT = 60_000  # bytes that a change of a default view should stay below


@dataclass
class Sent:
    """What the server sent: messages and bytes by kind, rows of the main chart's data sets."""

    count: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    rows: dict[str, int] = field(default_factory=dict)
    spec: int = 0  # bytes of the main chart's specification
    data: int = 0  # bytes of its data sets
    runs: int = 0

    @property
    def total(self) -> int:
        """Bytes of all messages."""
        return sum(self.size.values())

    @property
    def elements(self) -> int:
        """Elements that were sent in full."""
        return sum(count for kind, count in self.count.items() if kind.startswith("element"))


def read(messages: Sequence[bytes]) -> Sent:
    """Sort the messages of a change.

    Args:
        messages: of the server, as they came over the socket.
    """
    sent = Sent()
    for data in messages:
        message = ForwardMsg.FromString(data)
        kind = _kind(message)
        sent.count[kind] += 1
        sent.size[kind] += len(data)
        sent.runs += kind == "script_finished"
        chart = message.delta.new_element.vega_lite_chart
        if chart.spec and not sent.rows:
            sent.rows = rows(chart)
            sent.spec, sent.data = (
                len(chart.spec.encode()),
                sum(len(each.data.data) for each in chart.datasets),
            )
    return sent


def rows(chart: Any) -> dict[str, int]:
    """Return the number of rows of each data set of a chart, by its name."""
    return {each.name: pa.ipc.open_stream(each.data.data).read_all().num_rows for each in chart.datasets}


def _kind(message: ForwardMsg) -> str:
    """Name the kind of a message: what it is about, for a component its name."""
    kind = message.WhichOneof("type") or "nothing"
    if kind != "delta":
        return "element by reference" if kind == "ref_hash" else kind
    delta = message.delta
    part = delta.WhichOneof("type")
    if part != "new_element":
        return "container"
    element = delta.new_element.WhichOneof("type") or "nothing"
    if element == "bidi_component":
        return f"element {delta.new_element.bidi_component.component_name}"
    return f"element {element}"


@dataclass
class Seen:
    """What a series of presses did to the figure; None where there is no zoom or no scrubber."""

    frames: int
    blank: int
    anew: int
    scrubber: bool | None
    zoom: bool | None


def look(tab: Tab, slider: str, moves: int) -> tuple[Sent, Seen]:
    """Press the main slider of an open page once, then some times in a row.

    Args:
        tab: the window.
        slider: where the slider is.
        moves: presses of the series.
    """
    scrubbed = _scrub(tab)
    zoomed = _zoom(tab)
    tab.page.locator(slider).focus()
    tab.press("ArrowRight")  # rehearsed
    tab.received.clear()
    tab.listening = True
    tab.press("ArrowRight")
    tab.settle(500)
    tab.listening = False
    sent = read(tab.received)

    tab.page.evaluate(WATCH)
    for number in range(moves):
        tab.page.keyboard.press("ArrowLeft" if number % 4 == 3 else "ArrowRight")
        # Sooner than the page is done, later than that, and in between.
        tab.page.wait_for_timeout((60, 180, 400)[number % 3])
    tab.settle(500)
    watch = tab.page.evaluate("__watch.on = false, __watch")
    scrubber = None if scrubbed is None else tab.page.locator(SCRUBBER).first.input_value() == scrubbed
    zoom = None if zoomed is None else all(_axes(tab)[i] == texts for i, texts in zoomed.items())
    return sent, Seen(watch["frames"], watch["blank"], watch["anew"], scrubber, zoom)


def _scrub(tab: Tab) -> str | None:
    """Move the first chart's scrubber away from where it begins; returns its value, None if there is none."""
    handle = tab.page.locator(SCRUBBER)
    if not handle.count():
        return None
    before = handle.first.input_value()
    handle.first.focus()
    for key in ("ArrowLeft",) * 7 + ("ArrowRight",) * 2:
        tab.page.keyboard.press(key)
    tab.settle()
    after = handle.first.input_value()
    return after if after != before else None


def _axes(tab: Tab) -> list[set[str]]:
    """Return the texts of each axis of the first chart."""
    return [set(texts) for texts in tab.page.evaluate(AXES)]


def _zoom(tab: Tab) -> dict[int, set[str]] | None:
    """Zoom into the first chart; returns the texts of the axes that follow, by number, None if it does not zoom."""
    before = _axes(tab)
    box = tab.page.locator(f"{CHART} svg.marks").first.bounding_box()
    if box is None:
        return None
    tab.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    tab.page.keyboard.down("Control")
    tab.page.mouse.wheel(0, -400)
    tab.page.wait_for_timeout(500)
    tab.page.keyboard.up("Control")
    tab.page.mouse.move(2, 300)
    tab.settle()
    after = _axes(tab)
    # Axes whose scale follows the data stay out: they are not zoomed.
    return {i: texts for i, texts in enumerate(after) if texts != before[i]} or None


_KEPT = {None: "none", True: "kept", False: "lost"}


def report(page: str, sent: Sent, seen: Seen) -> str:
    """Write what one page sent and showed."""
    chart = sent.size["element vega_lite_chart"]
    lines = [
        f"{page}: {sent.total / 1e3:.1f} kB a change{'' if sent.total < LIMIT else ', more than it should'}; "
        f"charts {chart / 1e3:.1f}, of the main one specification {sent.spec / 1e3:.1f} and data {sent.data / 1e3:.1f}; "
        f"{sum(sent.count.values())} messages, {sent.elements} elements in full, "
        f"{sent.count['element by reference']} by reference, {sent.runs} runs",
        "    rows  "
        + ", ".join(f"{name} {count}" for name, count in sent.rows.items())
        + f"; {sum(sent.rows.values())} in all",
        "    kinds "
        + ", ".join(
            f"{kind.removeprefix('element ')} {size / 1e3:.1f} kB in {sent.count[kind]}"
            for kind, size in sent.size.most_common(9)
        ),
        f"    moved {seen.frames} frames, {seen.blank} blank; built anew {seen.anew} times; "
        f"scrubber {_KEPT[seen.scrubber]}, zoom {_KEPT[seen.zoom]}",
    ]
    return "\n".join(lines)


def measure(browser: Browser, app: str, page: str, moves: int) -> tuple[Sent, Seen]:
    """Open a page and look what its main slider does."""
    context = browser.new_context(viewport=SCREEN)  # type: ignore[arg-type]
    context.add_init_script(HOOK)
    tab = Tab(context.new_page())
    tab.open(f"{app}/{page}")
    found = look(tab, f".st-key-{topic_of(page).key(MAIN[page].knob)} input[type=range]", moves)
    context.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--page", action="append", choices=tuple(MAIN), help="only this page; may be repeated"
    )
    parser.add_argument("--moves", type=int, default=12, help="presses in a row (default 12)")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            parser.exit(2, HOW_TO_GET + "\n")
        with serve("app.py", Path(tempfile.mkdtemp()) / "app.log") as app:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            for page in options.page or MAIN:
                print(report(page, *measure(browser, app, page, options.moves)), flush=True)
            browser.close()


if __name__ == "__main__":
    main()
