"""How long a key press takes to become a painted figure, for the controls of every page and on their floor.

    python -m benchmarks.interaction [--page NAME ...] [--control KNOB ...] [--all] [--presses N] [--detail] [--scrub]

One headless Chromium, two servers with the same configuration: the app, and ``benchmarks/floor.py``, a bare page that
draws the same figures from data made beforehand, behind a control of the same kind. The presses alternate between the
two, so that both meet the same machine. The clock starts when the browser dispatches the key press and stops when the
frame with the chart's last change has been painted. Every press asks for values that the app has not seen; the way
back of a slider measures those it keeps. After each press the two pictures are compared.

Without options the main slider of every page is pressed, and the scrubbers are moved, which needs no server. ``--all``
presses every slider, menu, switch and chip of the panels, a few times each. "core" is what the experiment alone takes
for the same values in this process; the ratio is (press to paint − core) / floor, at the median and at the 95th
percentile, of a few presses the slowest. Absolute times are those of the machine at that moment; what compares is the ratio.
"""

import argparse
import itertools
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import Browser, Locator, Page, WebSocket, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Slider_pb2 import Slider

from benchmarks.prepared import MANY, Drawn, after, draw, read, topic_of, written
from charts.describe import own
from charts.figure import WIDE
from charts.topic import Topic, Values, real, words
from core.activations import ACTIVATIONS
from core.knobs import Knob
from tests.browser.driver import CHART, FLAGS, HOW_TO_GET, find_chromium, serve

SCREEN = {"width": 1440, "height": 900}  # offers the main column WIDE pixels
PATIENCE = 30_000  # milliseconds until a figure must be there

# Notes when a key goes down, what passes the socket, and when a change of the first chart has been painted.
# A message posted from an animation frame arrives after that frame is on screen.
HOOK = f"""
(() => {{
  const seen = window.__press = {{
    down: 0, sent: 0, got: [], changed: 0, painted: 0, frames: 0, swaps: 0, first: 0, keys: [], paints: [],
  }};
  addEventListener('keydown', () => {{
    Object.assign(seen, {{ down: performance.now(), sent: 0, got: [], changed: 0, painted: 0, frames: 0, swaps: 0 }});
    seen.keys.push(seen.down);
  }}, true);
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
    painted(() => {{
      seen.painted = performance.now();
      seen.first ||= seen.painted;
      seen.paints.push(seen.painted);
    }});
  }}).observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
}})();
"""

# The first chart as text. Vega numbers its clipping paths through the life of a page.
PICTURE = f"""document.querySelector('{CHART} svg.marks')?.outerHTML.replace(/(clip|gradient)_?\\d+/g, '$1') ?? ''"""


class Control(NamedTuple):
    """A kind of control: where it takes keys, what shows that it is there, and how one press sets a stop.

    ``sent`` is what the server calls it. ``ready`` takes the place, the stops before and after, and all options; it does
    what comes before the measured key and returns that key.
    """

    sent: str
    place: str
    ready: Callable[[Locator, str, str, Sequence[str]], str]


def _slide(place: Locator, before: str, after: str, options: Sequence[str]) -> str:
    place.focus()
    return "ArrowRight" if options.index(after) > options.index(before) else "ArrowLeft"


def _pick(place: Locator, _before: str, after: str, options: Sequence[str]) -> str:
    """Open the menu and go to the choice; the last key takes it."""
    place.focus()
    place.press("ArrowDown")
    menu = place.page.locator("[data-testid=stSelectboxVirtualDropdown], [role=listbox]").first
    menu.wait_for()
    place.press("Home")
    for _ in range(options.index(after)):
        place.press("ArrowDown")
    return "Enter"


def _segment(place: Locator, _before: str, after: str, _options: Sequence[str]) -> str:
    place.filter(has_text=re.compile(rf"^\s*{re.escape(after)}\s*$")).focus()
    return "Enter"


def _switch(place: Locator, _before: str, _after: str, _options: Sequence[str]) -> str:
    place.focus()
    return "Space"


def _take_off(place: Locator, _before: str, _after: str, _options: Sequence[str]) -> str:
    place.focus()
    return "Backspace"


CONTROLS: Mapping[str, Control] = {
    "slider": Control("slider", "input[type=range]", _slide),
    "segments": Control("button_group", "[data-testid=stButtonGroup] button", _segment),
    "toggle": Control("checkbox", "input[type=checkbox]", _switch),
    "chips": Control("multiselect", "[data-testid=stMultiSelect] input", _take_off),
    "select": Control("selectbox", "[data-testid=stSelectbox] input", _pick),
}


class Main(NamedTuple):
    """The main slider of a page, and where walk number k starts."""

    knob: str
    start: Callable[[int], Mapping[str, str]]


MAIN: Mapping[str, Main] = {
    "activations": Main("weight", lambda k: {"weight": f"{1 + 1.2 * (k % 8):.1f}"}),
    "initialization": Main("depth", lambda k: {"depth": "44", "seed": str(k)}),
    "batchnorm": Main("batch_size", lambda k: {"batch_size": "2", "seed": str(k)}),
    "dropout": Main("p", lambda k: {"p": "0.44", "seed": str(k)}),
    "optimizers": Main("gd_lr", lambda k: {"gd_lr": "0.145", "start_y": f"{-2 + 0.05 * k:.2f}"}),
}
_LONGEST = 12  # presses of a walk

# What makes a view that nobody has seen, for walk number k: the first of these knobs that is not pressed itself.
_FRESH: Mapping[str, Mapping[str, Callable[[int], str]]] = {
    "activations": {"weight": lambda k: f"{1 + 0.1 * (k % 90):.1f}"},
    "initialization": {"seed": lambda k: str(1000 + k), "sigma_b": lambda k: f"{0.05 * (k % 40):.2f}"},
    "batchnorm": {"seed": lambda k: str(1000 + k), "mu": lambda k: f"{-10 + 0.5 * (k % 60)}"},
    "dropout": {"seed": lambda k: str(1000 + k), "p": lambda k: f"{0.2 + 0.01 * (k % 70):.2f}"},
    "optimizers": {"steps": lambda k: str(60 + k % 400), "start_y": lambda k: f"{-2 + 0.05 * k:.2f}"},
}

SCRUBBERS = ("activations", "optimizers")  # pages whose figure has a cursor that needs no server


@dataclass(frozen=True)
class Press:
    """One press, in milliseconds from the key: message sent, first answer, chart there, last change, paint; and bytes."""

    sent: float
    answered: float
    charted: float
    changed: float
    painted: float
    ended: float
    size: int
    messages: int
    frames: int
    swaps: int


@dataclass
class Result:
    """All presses of one control."""

    kind: str = ""
    page: list[Press] = field(default_factory=list)
    kept: list[Press] = field(default_factory=list)
    floor: list[Press] = field(default_factory=list)
    core: list[float] = field(default_factory=list)
    figure: list[float] = field(default_factory=list)
    same: int = 0  # presses that leave the figure as it is
    rebuilt: int = 0  # presses that change the specification, so that Vega begins anew
    unlike: list[str] = field(
        default_factory=list
    )  # where the pictures of page and floor differed, press by press
    cold: float = 0.0  # ms of the slowest press in a rehearsal, before its specifications had been built

    def add(self, other: "Result") -> None:
        """Take over the presses of another walk."""
        self.kind = other.kind or self.kind
        for name in ("page", "kept", "floor", "core", "figure", "unlike"):
            getattr(self, name).extend(getattr(other, name))
        self.same += other.same
        self.rebuilt += other.rebuilt


def _rests(quiet: int) -> str:
    """Write the condition that script, chart and socket rest since so many milliseconds."""
    return (
        "document.querySelector('[data-test-script-state]')?.dataset.testScriptState === 'notRunning' && "
        f"performance.now() - Math.max(__press.changed, __press.down, __press.got.at(-1)?.[0] ?? 0) > {quiet}"
    )


class Tab:
    """One browser window on a page with a figure."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.received: list[bytes] = []  # since the page was opened, while ``listening``
        self.listening = False
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._take)

    def _take(self, data: str | bytes) -> None:
        if self.listening and isinstance(data, bytes):
            self.received.append(data)

    def begin(self, address: str) -> None:
        """Ask for a page; ``arrive`` waits for it."""
        self.received.clear()
        self.listening = True
        self.page.goto(address, wait_until="commit")

    def arrive(self) -> None:
        """Wait until the page is there, its fonts too, and has told its width."""
        self.page.bring_to_front()  # what is behind is not painted
        self.page.wait_for_selector(f"{CHART} :is(svg, canvas)", timeout=PATIENCE)
        self.page.evaluate("document.fonts.ready.then(() => 0)")
        self.settle(350)
        self.listening = False

    def open(self, address: str) -> None:
        self.begin(address)
        self.arrive()

    def settle(self, quiet: int = 200) -> None:
        """Wait until the script rests and neither chart nor socket had anything for so many milliseconds."""
        self.page.wait_for_function(_rests(quiet), polling=50, timeout=PATIENCE)

    def width(self) -> float:
        """Return the width of the first chart."""
        box = self.page.locator(f"{CHART} svg.marks").first.bounding_box()
        return round(box["width"], 1) if box else 0.0

    def picture(self) -> str:
        """Return the first chart as text."""
        return str(self.page.evaluate(PICTURE))

    def widget(self, key: str) -> tuple[str, Any]:
        """Return what the server calls a widget and what it said of it since the page was asked for.

        Waits for it; returns nothing and None when the page has come without one.

        Raises:
            RuntimeError: the page failed.
        """
        until = time.monotonic() + PATIENCE / 1e3
        while time.monotonic() < until:
            messages = [ForwardMsg.FromString(data) for data in self.received]
            for message in messages:
                element = message.delta.new_element
                kind = element.WhichOneof("type") or ""
                if kind == "exception":
                    raise RuntimeError(f"the page failed: {element.exception.message}")
                if kind and getattr(getattr(element, kind), "id", "").endswith(f"-{key}"):
                    return kind, getattr(element, kind)
            if sum(message.WhichOneof("type") == "script_finished" for message in messages) > 1:
                break  # the run of the arrival and that of the reported width
            self.page.wait_for_timeout(30)
        return "", None

    def press(self, key: str) -> Press | None:
        """Press a key and wait for what it draws; None if the script has come to rest and nothing was drawn."""
        self.settle(100)
        self.page.keyboard.press(key)
        self.page.wait_for_function(f"__press.painted > 0 || ({_rests(2000)})", polling=20, timeout=PATIENCE)
        self.settle()
        seen = self.page.evaluate("__press")
        if not seen["painted"]:
            return None
        got = [at - seen["down"] for at, _ in seen["got"]]
        return Press(
            sent=seen["sent"] - seen["down"],
            answered=got[0],
            charted=max(seen["got"], key=lambda each: each[1])[0] - seen["down"],  # no message is larger
            changed=seen["changed"] - seen["down"],
            painted=seen["painted"] - seen["down"],
            ended=got[-1],
            size=sum(size for _, size in seen["got"]),
            messages=len(got),
            frames=seen["frames"],
            swaps=seen["swaps"],
        )


# What is pressed


def panel(topic: Topic) -> list[str]:
    """Name the knobs that have a control in the default view's panel and are moved by keys."""
    names = [name for group in topic.layout(topic.defaults()) if not group.resting for name in group.knobs]
    return [name for name in names if topic.knobs[name].kind != "text"]


def fresh(topic: Topic, knob: str, k: int) -> dict[str, str]:
    """Return the link of a view beside the default one, for walk number k, that leaves one knob alone."""
    for name, text in _FRESH[topic.name].items():
        if name != knob:
            return {topic.key(name): text(k)}
    return {}


def stops_of(widget: Any) -> tuple[list[str], int]:
    """Name the stops of a slider as links have them, and the place of the present one."""
    if widget.type == Slider.SELECT_SLIDER:
        stops = [str(option) for option in widget.options]
        return stops, stops.index(widget.raw_value[0]) if widget.set_value else int(widget.default[0])
    count = int((widget.max - widget.min) / widget.step + 1e-9)
    numbers = [round(widget.min + widget.step * i, 10) for i in range(count + 1)]
    now = (widget.value if widget.set_value else widget.default)[0]
    nearest = min(range(len(numbers)), key=lambda i: abs(numbers[i] - now))
    return [f"{number:.10g}" for number in numbers], nearest


def path(
    topic: Topic, knob: Knob, values: Values, stops: Sequence[str], at: int
) -> tuple[list[str], Sequence[str]]:
    """Name the stops that presses on a control pass, the present one first, and all options it offers.

    Args:
        topic: of the page.
        knob: that the control is for.
        values: of the view.
        stops: of a slider, nothing for other controls.
        at: the place of a slider's present stop.
    """
    now = written(topic, knob.name, values[knob.name])
    if stops:
        ahead, behind = list(stops[at:]), list(stops[at::-1])
        return (ahead if len(ahead) > min(_LONGEST, len(behind) - 1) else behind), stops
    if knob.kind == "bool":
        return [now, "false" if now == "true" else "true"], ("false", "true")
    if knob.kind == "choices":
        chosen = now.split(MANY)
        return [MANY.join(chosen[:count]) for count in range(len(chosen), 0, -1)], knob.choices
    options = topic.offers(values).get(knob.name) or knob.choices
    return [now, *(option for option in options if option != now)], options


@dataclass
class Pair:
    """Two windows, one on the app and one on the bare page, and where they are served."""

    page: Tab
    floor: Tab
    app: str
    bare: str


@contextmanager
def windows(browser: Browser, app: str, bare: str) -> Iterator[Pair]:
    """Open two windows, each with a cache of its own."""
    contexts = [browser.new_context(viewport=SCREEN) for _ in range(2)]  # type: ignore[arg-type]
    for context in contexts:
        context.add_init_script(HOOK)
    yield Pair(Tab(contexts[0].new_page()), Tab(contexts[1].new_page()), app, bare)
    for context in contexts:
        context.close()


def _unfold(tab: Tab, topic: Topic, knob: str) -> None:
    """Open the group that a control is folded away in, if it is: the app makes its controls only then."""
    title = next(group.title for group in topic.layout(topic.defaults()) if knob in group.knobs)
    if title:
        tab.page.bring_to_front()
        tab.page.locator("[data-testid=stSidebar] summary", has_text=title).click(timeout=PATIENCE)
        tab.settle(350)


def measure(
    topic: Topic,
    knob: str,
    presses: int,
    pair: Pair,
    start: Callable[[int], Mapping[str, str]],
    back: bool,
    first: int,
) -> Result:
    """Press one control on a page and on its floor, walk by walk, until there are enough presses.

    Args:
        topic: of the page.
        knob: that the control is for.
        presses: wanted; a control without new values left gets fewer a walk and more walks.
        pair: the windows.
        start: link of walk number k.
        back: whether the way back is measured too.
        first: number of the first walk.
    """
    result = Result()
    for k in range(first, first + presses + 1):
        one = _walk(topic, knob, presses - len(result.page), pair, start(k), back)
        if (
            k == first and one.rebuilt
        ):  # what a server builds once, at its first visitor's press, is rehearsed
            result.cold = max(press.painted for press in one.page)
            continue
        result.add(one)
        if one.same or not one.kind or len(result.page) >= presses:
            break
    return result


def _walk(topic: Topic, knob: str, presses: int, pair: Pair, link: Mapping[str, str], back: bool) -> Result:
    """Open a view in both windows and press a control as often as it has stops left, at most ``presses`` times."""
    result, key = Result(), topic.key(knob)
    pair.page.begin(f"{pair.app}/{topic.name}?{urlencode(link)}")
    _unfold(pair.page, topic, knob)
    sent, widget = pair.page.widget(key)
    result.kind = next((kind for kind, each in CONTROLS.items() if each.sent == sent), "")
    if not result.kind:
        return result
    control = CONTROLS[result.kind]
    values = read(topic, {name: [text] for name, text in link.items()})
    stops, at = stops_of(widget) if result.kind == "slider" else ([], 0)
    way, options = path(topic, topic.knobs[knob], values, stops, at)
    way = way[: min(_LONGEST, presses) + 1]
    query = {"page": topic.name, "knob": knob, "width": WIDE, "kind": result.kind, "stop": way, **link}
    pair.floor.begin(f"{pair.bare}/?{urlencode(query, doseq=True)}")
    pair.page.arrive()
    pair.floor.arrive()
    place = pair.page.page.locator(f".st-key-{key}").locator(control.place)
    there = pair.floor.page.locator("[data-testid=stSidebar]").locator(control.place)
    if (drawn := pair.floor.width()) != (wanted := pair.page.width()):
        raise RuntimeError(f"{topic.name} is {wanted} pixels wide and its floor {drawn}")

    views = [after(topic, values, knob, stop) for stop in way]
    costs = [_compute(topic, view) for view in views]
    drawings = [draw(topic, view, WIDE) for view in views]
    sides = (
        (pair.page, place, options),
        (pair.floor, there, way if result.kind == "slider" else options),
    )
    steps = list(itertools.pairwise(way))
    for number, (was, now) in enumerate(steps, 1):
        before, behind = drawings[number - 1 : number + 1]
        if not _differ(before, behind):
            result.same += 1
            break
        both = []
        for tab, spot, offered in sides:
            tab.page.bring_to_front()
            both.append(tab.press(control.ready(spot, was, now, offered)))
        if both[0] is None or both[1] is None:  # numbers that show nowhere
            if both != [None, None]:
                result.unlike.append(f"only the {'page' if both[0] else 'floor'} drew something")
            result.same += 1
            break
        result.page.append(both[0])
        result.floor.append(both[1])
        result.unlike += difference([tab.picture() for tab in (pair.page, pair.floor)])
        result.rebuilt += _rebuilt(before, behind)
        result.core.append(costs[number][0])
        result.figure.append(costs[number][1])
    if back and result.kind == "slider":
        pair.page.page.bring_to_front()
        for was, now in reversed(steps[: len(result.page)]):
            press = pair.page.press(control.ready(place, now, was, options))
            result.kept += [] if press is None else [press]
    return result


def difference(pictures: Sequence[str]) -> list[str]:
    """Return where two pictures begin to differ, some characters of each; nothing if they are the same."""
    if len(pictures) < 2 or pictures[0] == pictures[1]:
        return []
    pairs = zip(*pictures, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(map(len, pictures)))
    return [" | ".join(picture[max(0, at - 60) : at + 60] for picture in pictures)]


def _rebuilt(one: Drawn, other: Drawn) -> bool:
    """Say whether two drawings differ in anything but their data."""
    bare = [{name: part for name, part in each.chart.items() if name != "datasets"} for each in (one, other)]
    return bare[0] != bare[1] or one.alt != other.alt


def _differ(one: Drawn, other: Drawn) -> bool:
    """Say whether two drawings differ."""
    mine, theirs = one.chart["datasets"], other.chart["datasets"]
    return (
        _rebuilt(one, other)
        or mine.keys() != theirs.keys()
        or any(not mine[name].equals(theirs[name]) for name in mine)
    )


def _evaluate(values: Values) -> None:
    """Evaluate the chosen functions and their slopes: the experiment of Activations."""
    weight, grid = real(values, "weight"), np.linspace(-6, 6, 241)
    for name in words(values, "functions"):
        entry = ACTIVATIONS[name]
        settings = {knob.name: real(values, own(name, knob.name)) for knob in entry.knobs}
        entry.f(weight * grid, **settings)
        entry.df(weight * grid, **settings)


_RUNS = {"optimizers": "charts.optimizers_base"}  # where an experiment is, if not in the module of its page


def _compute(topic: Topic, values: Values) -> tuple[float, float]:
    """Time some values in this process: the experiment alone, and what makes a figure of it, in ms.

    What experiments keep from the view before is kept here as in the app, if views are asked for in the same order.
    """
    run = (
        _evaluate
        if topic.name == "activations"
        else import_module(_RUNS.get(topic.name, f"charts.{topic.name}")).run
    )
    begin = time.perf_counter()
    run(values)
    middle = time.perf_counter()
    draw(topic, values, WIDE)
    return (middle - begin) * 1e3, (time.perf_counter() - middle) * 1e3


# Scrubbing


def scrub(tab: Tab, keys: int = 60) -> tuple[list[float], list[float]]:
    """Move the first chart's own slider by keys, about as often as a hand that drags it reports.

    Returns:
        for every painted frame the milliseconds since the first key that it shows; and those between frames.
    """
    tab.page.bring_to_front()
    handle = tab.page.locator(f"{CHART} .vega-bind input[type=range]").first
    handle.focus()
    middle = "e => (+e.value - +e.min) / (+e.max - +e.min) > 0.5"
    key, back = ("ArrowLeft", "ArrowRight") if handle.evaluate(middle) else ("ArrowRight", "ArrowLeft")
    for _ in range(5):  # rehearsed
        tab.page.keyboard.press(key)
    tab.settle(300)
    tab.page.evaluate("__press.keys = [], __press.paints = [], 0")
    for number in range(keys):
        tab.page.keyboard.down(key if number < keys * 2 // 3 else back)
        tab.page.wait_for_timeout(12)
    tab.page.keyboard.up(key)
    tab.page.keyboard.up(back)
    tab.settle(300)
    seen = tab.page.evaluate("({ keys: __press.keys, paints: __press.paints })")
    return frame_times(seen["keys"], seen["paints"])


def frame_times(keys: Sequence[float], paints: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return for every painted frame the time since the first key it shows, and the times between frames.

    Args:
        keys: when keys went down, in ms, ascending.
        paints: when changes were painted, ascending; those less than 3 ms apart are one frame.
    """
    frames: list[float] = []
    for at in paints:
        if not frames or at - frames[-1] > 3:
            frames.append(at)
    waits, before = [], -1.0
    for at in frames:
        shown = [key for key in keys if before < key <= at]
        if shown:
            waits.append(at - shown[0])
        before = at
    return waits, [b - a for a, b in itertools.pairwise(frames)]


# Report


def p95(times: Sequence[float]) -> float:
    """Return the 95th percentile, of a few times the largest."""
    return sorted(times)[int(0.95 * (len(times) - 1) + 0.5)]


def _median(presses: Sequence[Press], what: str = "painted") -> float:
    return statistics.median(float(getattr(press, what)) for press in presses)


def _late(presses: Sequence[Press]) -> float:
    return p95([press.painted for press in presses])


def ratios(result: Result) -> tuple[float, float]:
    """Return (press to paint − core) / floor, of the medians and of the 95th percentiles."""
    core = statistics.median(result.core)
    return (
        (_median(result.page) - core) / _median(result.floor),
        (_late(result.page) - core) / _late(result.floor),
    )


def report(page: str, knob: str, result: Result) -> str:
    """Write one row of the table."""
    head = f"{page:15s} {knob:15s} {result.kind:8s} {len(result.page):3d}"
    if not result.page:
        return f"{head}   " + ("the figure does not depend on it" if result.kind else "no control in view")
    kept = f"{_median(result.kept):6.0f}" if result.kept else f"{'':6s}"
    median, late = ratios(result)
    notes = [
        *([f"{result.rebuilt} new specifications"] if result.rebuilt else []),
        *([f"{result.cold:.0f} ms the first time"] if result.cold else []),
        *([f"{len(result.unlike)} pictures unlike the floor's"] if result.unlike else []),
    ]
    return (
        f"{head} {_median(result.page):6.0f} /{_late(result.page):5.0f} "
        f"{_median(result.floor):6.0f} /{_late(result.floor):5.0f} {kept} "
        f"{statistics.median(result.core):6.1f} {statistics.median(result.figure):6.1f} {median:6.2f} /{late:5.2f} "
        f"{_median(result.page, 'size') / 1e3:7.1f} {_median(result.floor, 'size') / 1e3:6.1f}  {', '.join(notes)}".rstrip()
        + "".join(f"\n    unlike {text}" for text in result.unlike[:1])
    )


def detail(result: Result) -> str:
    """Write where the time of a press goes."""
    lines = []
    for label, presses in (("page", result.page), ("floor", result.floor)):
        if not presses:
            continue
        parts = [
            f"{what} {_median(presses, what):.0f}"
            for what in ("sent", "answered", "charted", "changed", "painted", "ended")
        ]
        counts = [f"{what} {_median(presses, what):.0f}" for what in ("messages", "frames", "swaps")]
        lines.append(f"    {label:6s} " + ", ".join([*parts, *counts]))
    return "\n".join(lines)


def overall(results: Sequence[Result]) -> str:
    """Write the worst of all ratios."""
    found = [ratios(result) for result in results if result.page]
    if not found:
        return ""
    medians, lates = zip(*found, strict=True)
    return f"{len(found)} controls: ratio at most {max(medians):.2f} at the median, {max(lates):.2f} at p95"


HEAD = (
    f"{'page':15s} {'control':15s} {'kind':8s} {'n':>3s} {'press to paint':>14s} {'floor':>13s} {'kept':>6s} "
    f"{'core':>6s} {'figure':>6s} {'ratio':>13s} {'payload':>7s} {'floor':>6s}\n"
    f"{'':15s} {'':15s} {'':8s} {'':3s} {'median / p95':>14s} {'median / p95':>13s} {'ms':>6s} "
    f"{'ms':>6s} {'ms':>6s} {'median / p95':>13s} {'kB':>7s} {'kB':>6s}"
)


def _controls(page: str, wanted: Sequence[str] | None, every: bool) -> list[str]:
    """Name the controls to press on a page."""
    if every:
        return panel(topic_of(page))
    return [name for name in wanted or [MAIN[page].knob] if name in topic_of(page).knobs]


def walk(page: str, knob: str, presses: int, pair: Pair, every: bool, count: Iterator[int]) -> Result:
    """Measure one control, the main slider of a page from where the most is to be seen."""
    topic, main = topic_of(page), MAIN[page]

    def start(k: int) -> Mapping[str, str]:
        if knob == main.knob and not every:
            return {topic.key(name): text for name, text in main.start(k).items()}
        return fresh(topic, knob, k)

    return measure(topic, knob, presses, pair, start, not every, next(count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--page", action="append", choices=tuple(MAIN), help="only this page; may be repeated"
    )
    parser.add_argument("--control", action="append", help="a knob instead of the main one; may be repeated")
    parser.add_argument("--all", action="store_true", help="every control of the panels")
    parser.add_argument("--presses", type=int, help="of each control (default 24, with --all 3)")
    parser.add_argument("--detail", action="store_true", help="also say where the time of a press goes")
    parser.add_argument("--scrub", action="store_true", help="only move the scrubbers")
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
            pages = options.page or list(MAIN)
            if not options.scrub:
                press_all(browser, app, bare, pages, options)
            if options.scrub or not (options.all or options.control):
                scrub_all(browser, app, bare, [page for page in pages if page in SCRUBBERS])
            browser.close()


def press_all(
    browser: Browser, app: str, bare: str, pages: Sequence[str], options: argparse.Namespace
) -> None:
    """Press the wanted controls of some pages and print a row for each."""
    presses = options.presses or (3 if options.all else 24)
    print(HEAD, flush=True)
    results = []
    for page in pages:
        names = _controls(page, options.control, options.all)
        if not names:
            continue
        with windows(browser, app, bare) as pair:
            numbers = iter(range(0, 1_000_000, presses + 1))
            walk(page, MAIN[page].knob, 4, pair, True, numbers)  # a rehearsal
            for knob in names:
                results.append(walk(page, knob, presses, pair, options.all, numbers))
                print(report(page, knob, results[-1]), flush=True)
                if options.detail:
                    print(detail(results[-1]), flush=True)
    print(overall(results), flush=True)


def scrub_all(browser: Browser, app: str, bare: str, pages: Sequence[str]) -> None:
    """Move the scrubbers of some pages and print a line for each."""
    for page in pages:
        with windows(browser, app, bare) as pair:
            pair.page.open(f"{app}/{page}")
            waits, gaps = scrub(pair.page)
            print(
                f"{page}, scrubbing by keys: key to painted frame {statistics.median(waits):.0f} ms, "
                f"p95 {p95(waits):.0f}; frame after frame {statistics.median(gaps):.0f} ms, p95 {p95(gaps):.0f}; "
                f"{len(waits)} frames",
                flush=True,
            )


if __name__ == "__main__":
    main()
