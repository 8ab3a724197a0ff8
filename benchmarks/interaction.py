"""How long a slider key press takes to become a painted figure, on every page and on its floor.

    python -m benchmarks.interaction [--page NAME ...] [--repeats N]

One headless Chromium, two servers: the app, and ``benchmarks/floor.py``, a bare page that draws the same figures
from data made beforehand. The presses alternate between the two, so that both meet the same machine. The clock
starts when the browser dispatches the key press and stops when the frame with the chart's last change has been
painted. Every press asks for values that the app has not seen; the way back measures those it keeps.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from charts.figure import WIDE
from charts.topic import Topic
from tests.browser.driver import CHART, FLAGS, HOW_TO_GET, find_chromium, serve
from ui.figure import table


@dataclass(frozen=True)
class Walk:
    """The presses on one page: a knob, how often its slider goes right, and where walk number k starts."""

    knob: str
    presses: int
    start: Callable[[int], Mapping[str, str]]


WALKS = {
    "activations": Walk("weight", 12, lambda k: {"weight": f"{1 + 1.2 * k:.1f}"}),
    "initialization": Walk("depth", 12, lambda k: {"depth": "44", "seed": str(k)}),
    "batchnorm": Walk("batch_size", 8, lambda k: {"batch_size": "2", "seed": str(k)}),
    "dropout": Walk("p", 12, lambda k: {"p": "0.44", "seed": str(k)}),
    "optimizers": Walk("gd_lr", 10, lambda k: {"gd_lr": "0.145", "start_y": f"{-2 + 0.05 * k:.2f}"}),
}

SCREEN = {"width": 1440, "height": 900}  # offers the main column WIDE pixels

# Notes when a key goes down, what passes the socket, and when a change of the first chart has been painted.
# A message posted from an animation frame arrives after that frame is on screen.
HOOK = f"""
(() => {{
  const seen = window.__press = {{ down: 0, sent: 0, got: [], changed: 0, painted: 0, frames: 0, swaps: 0 }};
  addEventListener('keydown', () => Object.assign(seen, {{
    down: performance.now(), sent: 0, got: [], changed: 0, painted: 0, frames: 0, swaps: 0,
  }}), true);
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {{
    constructor(...rest) {{
      super(...rest);
      this.addEventListener('message', (e) => seen.got.push([performance.now(), e.data.byteLength ?? e.data.size]));
    }}
    send(data) {{ seen.sent ||= performance.now(); super.send(data); }}
  }};
  const painted = (then) => requestAnimationFrame(() => {{
    const line = new MessageChannel();
    line.port1.onmessage = then;
    line.port2.postMessage(0);
  }});
  new MutationObserver((changes) => {{
    const chart = document.querySelector('{CHART}');
    const picture = 'svg.marks, canvas.marks';
    const fresh = (c) => [...c.addedNodes].some((n) => n.matches?.(picture) || n.querySelector?.(picture));
    const drawn = changes.filter((c) => chart?.contains(c.target) && (c.target.closest(picture) || fresh(c)));
    if (!drawn.length) return;
    seen.changed = performance.now();
    seen.frames += 1;
    if (drawn.some(fresh)) seen.swaps += 1;
    painted(() => {{ seen.painted = performance.now(); }});
  }}).observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
}})();
"""


@dataclass(frozen=True)
class Press:
    """One press, in milliseconds from the key: message sent, first answer, last change, paint; and bytes."""

    sent: float
    answered: float
    changed: float
    painted: float
    ended: float
    size: int
    messages: int
    frames: int
    swaps: int


@dataclass
class Result:
    """All presses of one page."""

    page: list[Press] = field(default_factory=list)
    kept: list[Press] = field(default_factory=list)
    floor: list[Press] = field(default_factory=list)
    core: list[float] = field(default_factory=list)
    figure: list[float] = field(default_factory=list)


class Tab:
    """One browser window on a page with a slider."""

    def __init__(self, page: Page, slider: str) -> None:
        self.page, self.slider = page, slider

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector(f"{CHART} :is(svg, canvas)")
        self.page.wait_for_selector(self.slider, state="attached")
        time.sleep(1.0)  # fonts, the report of the column's width and its rerun
        self.settle()

    def settle(self) -> None:
        """Wait until the script rests and the chart has not changed for 200 ms."""
        self.page.wait_for_function(
            "document.querySelector('[data-test-script-state]')?.dataset.testScriptState === 'notRunning'"
            " && performance.now() - Math.max(__press.changed, __press.down, __press.got.at(-1)?.[0] ?? 0) > 200",
            polling=50,
        )

    def size(self) -> str | None:
        """Return the width of the first chart."""
        return self.page.locator(f"{CHART} svg").first.get_attribute("width")

    def value(self) -> float:
        """Return what the slider shows."""
        text = self.page.locator(self.slider).get_attribute("aria-valuetext") or ""
        return float("".join(c for c in text if c in "0123456789.e-"))

    def press(self, key: str) -> Press:
        self.page.bring_to_front()
        self.page.locator(self.slider).focus()
        self.page.keyboard.press(key)
        self.page.wait_for_function("__press.painted > 0", polling=20)
        self.settle()
        seen = self.page.evaluate("__press")
        got = [at - seen["down"] for at, _ in seen["got"]]
        return Press(
            sent=seen["sent"] - seen["down"],
            answered=got[0],
            changed=seen["changed"] - seen["down"],
            painted=seen["painted"] - seen["down"],
            ended=got[-1],
            size=sum(size for _, size in seen["got"]),
            messages=len(got),
            frames=seen["frames"],
            swaps=seen["swaps"],
        )


def measure(name: str, walks: int, page: Tab, floor: Tab, app: str, bare: str) -> Result:
    """Walk up and back on a page and its floor, press by press."""
    walk, topic = WALKS[name], _topic(name)
    result = Result()
    key = topic.key(walk.knob)

    def link(k: int) -> dict[str, str]:
        return {topic.key(knob): value for knob, value in walk.start(k).items()}

    # The first walk is a rehearsal: it warms the server up and tells the slider's stops.
    steps: list[float] = []
    for k in range(walks + 1):
        begin = walk.start(k)
        page.open(f"{app}/{name}?{urlencode(link(k))}")
        if k > 0:
            stops = [begin[walk.knob], *(f"{float(begin[walk.knob]) + step:.10g}" for step in steps)]
            others = {parameter: value for parameter, value in link(k).items() if parameter != key}
            query = {"page": name, "knob": walk.knob, "width": WIDE, "stop": stops, **others}
            floor.open(f"{bare}/?{urlencode(query, doseq=True)}")
            if (drawn := floor.size()) != (wanted := page.size()):
                raise RuntimeError(f"{name} is {wanted} pixels wide and its floor {drawn}")
        for number in range(walk.presses):
            press = page.press("ArrowRight")
            if k == 0:
                steps.append(page.value() - float(begin[walk.knob]))
                continue
            result.page.append(press)
            result.floor.append(floor.press("ArrowRight"))
            core, figure = _compute(topic, name, {**link(k), key: stops[number + 1]})
            result.core.append(core)
            result.figure.append(figure)
        if k > 0:
            result.kept += [page.press("ArrowLeft") for _ in range(walk.presses)]
    return result


def _topic(name: str) -> Topic:
    topic: Topic = import_module(f"charts.{name}").TOPIC
    return topic


def _compute(topic: Topic, name: str, link: Mapping[str, str]) -> tuple[float, float]:
    """Time the same values in this process: the experiment alone, and what makes a figure of it, in ms."""
    parsed, problems = topic.parse({parameter: [value] for parameter, value in link.items()})
    if problems:
        raise ValueError("; ".join(problems))
    values = topic.settle(parsed)
    run = getattr(import_module(f"charts.{name}"), "run", None)
    begin = time.perf_counter()
    if run is not None:
        run(values)
    middle = time.perf_counter()
    for frame in topic.make(values).figure.data.values():
        table(frame)
    end = time.perf_counter()
    core = (middle - begin) * 1e3
    return core, (end - middle) * 1e3 - core


def _median(presses: Sequence[Press], what: str = "painted") -> float:
    return statistics.median(float(getattr(press, what)) for press in presses)


def _p95(presses: Sequence[Press]) -> float:
    return sorted(press.painted for press in presses)[int(0.95 * (len(presses) - 1) + 0.5)]


def ratio(result: Result) -> float:
    """Return (press to paint − core) / floor, of medians."""
    return (_median(result.page) - statistics.median(result.core)) / _median(result.floor)


def report(name: str, result: Result) -> str:
    """Write one row of the table."""
    return (
        f"{name:15s} {len(result.page):4d} {_median(result.page):8.0f} /{_p95(result.page):4.0f} "
        f"{_median(result.floor):8.0f} /{_p95(result.floor):4.0f} {_median(result.kept):8.0f} "
        f"{statistics.median(result.core):7.1f} {statistics.median(result.figure):7.1f} {ratio(result):7.2f} "
        f"{_median(result.page, 'size') / 1e3:8.1f} {_median(result.floor, 'size') / 1e3:7.1f} "
    )


def detail(result: Result) -> str:
    """Write where the time of a press goes."""
    lines = []
    for label, presses in (("page", result.page), ("floor", result.floor)):
        parts = [
            f"{what} {_median(presses, what):.0f}"
            for what in ("sent", "answered", "ended", "changed", "painted")
        ]
        counts = [f"{what} {_median(presses, what):.0f}" for what in ("messages", "frames", "swaps")]
        lines.append(f"    {label:6s} " + ", ".join([*parts, *counts]))
    return "\n".join(lines)


HEAD = (
    f"{'page':15s} {'n':>4s} {'press to paint':>14s} {'floor':>14s} {'kept':>8s} {'core':>7s} {'figure':>7s} "
    f"{'ratio':>7s} {'payload':>8s} {'floor':>7s}\n"
    f"{'':15s} {'':4s} {'median / p95':>14s} {'median / p95':>14s} {'ms':>8s} {'ms':>7s} {'ms':>7s} "
    f"{'':7s} {'kB':>8s} {'kB':>7s}"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--page", action="append", choices=tuple(WALKS), help="only this page; may be repeated"
    )
    parser.add_argument("--repeats", type=int, default=4, help="walks on each page (default 4)")
    parser.add_argument("--detail", action="store_true", help="also say where the time of a press goes")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    with sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            parser.exit(2, HOW_TO_GET + "\n")
        with (
            serve("app.py", folder / "app.log") as app,
            serve("benchmarks/floor.py", folder / "floor.log") as bare,
        ):
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            print(HEAD, flush=True)
            for name in options.page or WALKS:
                windows = [browser.new_context(viewport=SCREEN) for _ in range(2)]
                for window in windows:
                    window.add_init_script(HOOK)
                page = Tab(
                    windows[0].new_page(), f".st-key-{_topic(name).key(WALKS[name].knob)} input[type=range]"
                )
                floor = Tab(windows[1].new_page(), "[data-testid=stSlider] input[type=range]")
                result = measure(name, options.repeats, page, floor, app, bare)
                print(report(name, result), flush=True)
                if options.detail:
                    print(detail(result), flush=True)
                for window in windows:
                    window.close()
            browser.close()


if __name__ == "__main__":
    main()
