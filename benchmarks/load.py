"""How many visitors a server carries, beside a bare page that draws the same charts from data made beforehand.

    python -m benchmarks.load [--visitors 30] [--seconds 20] [--processes 1] [--curve] [--heavy [DEED ...]] [--changes 5000]

Every visitor is a WebSocket session on loopback (``benchmarks/visitor.py``) that commits a slider once a second, on
the five pages in turn; half of them have a setting that nobody else has. The visitors of the app and those of
``benchmarks/floor.py`` stay connected all the time and move in turns of a few seconds, so that both meet the same
machine. A change counts from the moment it was due: one that waits for the last is late, and says so. "Chart" is the
arrival of the main chart's data, "end" that of the script's end; the app sends what stands below the figure 120 ms
after it, by intention. With several processes visitors are dealt out in turn, as a sticky balancer does.

Absolute times are those of the machine at that moment. What compares is the ratio.
"""

import argparse
import asyncio
import itertools
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.visitor import Answer, Visitor
from charts.figure import WIDE
from charts.topic import Topic, Values
from charts.topics import TOPICS
from core.knobs import Knob
from tests.browser.driver import serve

SLICE = 5.0  # seconds that the visitors of one server move before those of the other do
STOPS = 24  # of a slider, so many that a visitor meets none twice in a short run
OWN_FLOORS = 15  # settings of their own on the bare page, whose data are made beforehand
LIMIT = 500.0  # milliseconds at the 95th percentile, where the curve ends
MOST = 200  # visitors on the curve
SCREEN: Mapping[
    str, Mapping[str, int]
] = {}  # a 1440-pixel screen has nothing to report: pages are drawn for it at first


class Move(NamedTuple):
    """The slider that visitors of a page move, and how far."""

    knob: str
    low: float
    high: float


MOVES = {
    "activations": Move("weight", 0.5, 3.0),
    "initialization": Move("depth", 30, 70),
    "batchnorm": Move("weight", 0.05, 0.5),
    "dropout": Move("p", 0.3, 0.7),
    "optimizers": Move("gd_lr", 0.02, 0.45),
}


class Heavy(NamedTuple):
    """Something dear that one visitor does again and again: a tab with a knob of its own, or a file."""

    page: str
    query: Mapping[str, Sequence[str]]
    move: str = ""
    low: float = 0.0
    high: float = 0.0


HEAVY = {
    "basin map": Heavy("optimizers", {"opt_tab": ["Basins"]}, "gd_lr", 0.02, 0.45),
    "fair sweep": Heavy("optimizers", {"opt_tab": ["Fair"]}, "fair_horizon", 60, 300),
    "PNG": Heavy("optimizers", {}),
}
_ORDER = {"ending": "png", "scale": 2, "size": "page", "ground": "white", "caption": True}


# What can be computed without a server


def personal(topic: Topic, moved: str, taken: set[str], dice: random.Random) -> dict[str, list[str]]:
    """Draw a setting that no visitor has yet: one knob of the panel, away from its default, as a link's parameters.

    A number lies between half and twice its default, or within a tenth of its range where that is 0; of several
    choices another set of the same size is taken. So a visitor's view costs about what the default view does.

    Args:
        topic: of the page.
        moved: knob that the visitor moves, which stays out.
        taken: settings drawn so far; the new one is added.
        dice: where the draw comes from.

    Raises:
        RuntimeError: the page has no setting left.
    """
    present = topic.settle(topic.defaults())
    offered = [
        topic.knobs[name]
        for name in _panel(topic, present)
        if name != moved and topic.knobs[name].kind in ("float", "int", "choices")
    ]
    for _ in range(1000):
        knob = dice.choice(offered)
        value = _draw(knob, dice)
        texts = [value] if isinstance(value, str) else value
        query = {topic.key(knob.name): texts}
        mark = f"{topic.name} {sorted(query.items())}"
        parsed, problems = topic.parse(query)
        values = topic.settle(parsed)
        if mark not in taken and not problems and values != present and moved in _panel(topic, values):
            taken.add(mark)
            return query
    raise RuntimeError(f"{topic.name}: no setting is left that nobody has")


def _panel(topic: Topic, values: Values) -> list[str]:
    """Name the knobs that the panel has controls for."""
    return [name for group in topic.layout(values) if not group.resting for name in group.knobs]


def _draw(knob: Knob, dice: random.Random) -> str | list[str]:
    """Draw a value of a knob near its default, as a link has it."""
    if knob.kind == "choices":
        assert isinstance(knob.default, tuple)
        return dice.sample(knob.choices, len(knob.default))
    assert isinstance(knob.default, int | float)
    default = float(knob.default)
    tenth = (knob.high - knob.low) / 10
    reach = (default / 2, default * 2) if default else (-tenth, tenth)
    low, high = max(knob.low, min(reach)), min(knob.high, max(reach))
    return (
        str(dice.randint(round(low), round(high))) if knob.kind == "int" else f"{dice.uniform(low, high):.4g}"
    )


def thin(stops: Sequence[str], most: int) -> list[str]:
    """Return at most so many stops, evenly, the first and the last among them."""
    if len(stops) <= most:
        return list(stops)
    return [stops[round(i * (len(stops) - 1) / (most - 1))] for i in range(most)]


def percentile(times: Sequence[float], share: float) -> float:
    """Return the smallest time that at least this share of the times do not exceed; NaN of none."""
    if not times:
        return float("nan")
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]


# Processes


class Usage(NamedTuple):
    """What a process has used: seconds of CPU since it began, and megabytes that it holds."""

    cpu: float
    memory: float


def usage(pid: int) -> Usage:
    """Read what a process has used, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def _children() -> set[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listed.split()}


@dataclass
class Site:
    """The servers of one script."""

    name: str
    addresses: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    balanced: bool = False  # its processes stand behind one address

    def cpu(self) -> float:
        """Return the seconds of CPU that all of them have used."""
        return sum(usage(pid).cpu for pid in self.pids)

    def memory(self) -> float:
        """Return the megabytes that all of them hold."""
        return sum(usage(pid).memory for pid in self.pids)

    def complaints(self) -> int:
        """Count the tracebacks in their logs."""
        return sum(log.read_text(encoding="utf-8").count("Traceback") for log in self.logs)


@contextmanager
def running(script: str, name: str, processes: int) -> Iterator[Site]:
    """Start a script in some processes of its own."""
    site, folder = Site(name), Path(tempfile.mkdtemp())
    with ExitStack() as stack:
        for number in range(processes):
            before = _children()
            log = folder / f"{number}.log"
            site.addresses.append(stack.enter_context(serve(script, log)))
            site.pids += _children() - before
            site.logs.append(log)
        yield site


# Visitors


@dataclass
class Seen:
    """All changes of some visitors, in milliseconds, and what went wrong."""

    chart: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    pages: dict[str, list[float]] = field(default_factory=dict)
    size: int = 0
    late: int = 0  # ticks that passed while an earlier change was still under way
    same: int = 0  # changes that brought the chart that was there
    problems: list[str] = field(default_factory=list)
    cpu: float = 0.0  # seconds of the servers
    own: float = 0.0  # seconds of this process
    wall: float = 0.0

    def add(self, page: str, due: float, answer: Answer, before: str) -> None:
        """Take one change, due at a moment of ``time.perf_counter``."""
        self.problems += answer.problems
        self.size += answer.size
        if not answer.finished:
            return
        if not answer.charted:
            self.problems.append(f"{page}: no chart came")
            return
        self.same += answer.drawn == before
        self.chart.append((answer.charted - due) * 1e3)
        self.end.append((answer.finished - due) * 1e3)
        self.pages.setdefault(page, []).append(self.chart[-1])


@dataclass
class Guest:
    """A visitor with a slider to move."""

    visitor: Visitor
    page: str
    key: str
    stops: list[str]
    phase: float  # share of a second at which this one commits
    at: int = 0
    drawn: str = ""

    async def change(self, due: float, seen: Seen) -> None:
        """Commit the next stop."""
        stop = self.stops[self.at % len(self.stops)]
        self.at += 1
        answer = await self.visitor.move(self.key, stop)
        seen.add(self.page, due, answer, self.drawn)
        self.drawn = answer.drawn

    async def walk(self, begin: float, seconds: float, seen: Seen) -> None:
        """Commit once a second for a while."""
        due = begin + self.phase
        while due < begin + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self.change(due, seen)
            due += 1.0
            behind = int(time.perf_counter() - due)  # whole seconds
            if behind > 0:
                seen.late += behind
                due += behind


@dataclass(frozen=True)
class Plan:
    """Who comes: the page, the slider's stops and the setting of visitor number k."""

    pages: tuple[str, ...]
    stops: Mapping[str, list[str]]
    seed: int

    def page(self, k: int) -> str:
        """Name the page of a visitor."""
        return self.pages[k % len(self.pages)]

    def own(self, k: int) -> bool:
        """Say whether a visitor has a setting of his own: every second round through the pages."""
        return k // len(self.pages) % 2 == 1

    def address(self, site: Site, k: int) -> str:
        """Return the server of a visitor; every server gets all pages, with settings of their own and without."""
        return site.addresses[(k + k // (2 * len(self.pages))) % len(site.addresses)]

    def settings(self, count: int) -> list[dict[str, list[str]]]:
        """Return the link's parameters of the first so many visitors; those of fewer are the beginning."""
        taken: set[str] = set()
        return [
            personal(TOPICS[self.page(k)], MOVES[self.page(k)].knob, taken, random.Random(f"{self.seed} {k}"))
            if self.own(k)
            else {}
            for k in range(count)
        ]

    def guest(self, k: int, visitor: Visitor, key: str) -> Guest:
        """Return a visitor with his own way through the stops and his own moment of the second."""
        dice = random.Random(f"{self.seed} {k} walk")
        stops = list(self.stops[self.page(k)])
        dice.shuffle(stops)
        return Guest(visitor, self.page(k), key, stops, dice.random())


async def _enter(guest: Guest, seen: Seen) -> None:
    answer = await guest.visitor.open()
    seen.problems += answer.problems
    guest.drawn = answer.drawn


async def gather(guests: Sequence[Guest], seen: Seen) -> None:
    """Let visitors arrive, spread over some seconds."""

    async def arrive(guest: Guest, delay: float) -> None:
        await asyncio.sleep(delay)
        await _enter(guest, seen)

    await asyncio.gather(*(arrive(guest, 0.1 * number) for number, guest in enumerate(guests)))


async def rehearse(site: Site, pages: Sequence[str]) -> dict[str, list[str]]:
    """Open every page on every server and move its slider; returns the sliders' stops."""
    stops: dict[str, list[str]] = {}
    for address in site.addresses:
        for page in pages:
            move, key = MOVES[page], TOPICS[page].key(MOVES[page].knob)
            visitor = Visitor(address, page, reports=SCREEN, greets=site.balanced)
            await visitor.open()
            stops[page] = thin(visitor.stops(key, move.low, move.high), STOPS)
            for stop in stops[page]:
                await visitor.move(key, stop)
            await visitor.close()
    return stops


def _app(site: Site, plan: Plan, k: int, setting: Mapping[str, Sequence[str]]) -> Guest:
    page = plan.page(k)
    address = plan.address(site, k)
    return plan.guest(
        k, Visitor(address, page, setting, SCREEN, site.balanced), TOPICS[page].key(MOVES[page].knob)
    )


def _bare(site: Site, plan: Plan, k: int, setting: Mapping[str, Sequence[str]]) -> Guest:
    page = plan.page(k)
    address = plan.address(site, k)
    query = {"page": [page], "knob": [MOVES[page].knob], "width": [str(WIDE)], "stop": plan.stops[page]}
    return plan.guest(k, Visitor(address, "", {**query, **setting}), "floor")


async def turn(site: Site, guests: Sequence[Guest], seconds: float, seen: Seen) -> None:
    """Let all visitors of a site move for some seconds, and add up what it took."""
    cpu, own, begin = site.cpu(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(guest.walk(begin + 0.05, seconds, seen) for guest in guests))
    seen.wall += time.perf_counter() - begin
    seen.cpu += site.cpu() - cpu
    seen.own += time.process_time() - own


# Print

HEAD = (
    f"{'':10s} {'visitors':>8s} {'changes':>8s} {'chart: median':>14s} {'p95':>6s} {'worst':>6s} "
    f"{'end: median':>12s} {'p95':>6s} {'worst':>6s} {'late':>5s} {'errors':>6s} {'CPU':>6s} {'a change':>9s} "
    f"{'visitors’':>9s} {'sent':>7s}\n"
    f"{'':10s} {'':>8s} {'':>8s} {'ms':>14s} {'ms':>6s} {'ms':>6s} {'ms':>12s} {'ms':>6s} {'ms':>6s} "
    f"{'':>5s} {'':>6s} {'%':>6s} {'ms':>9s} {'CPU, %':>9s} {'kB':>7s}"
)


def row(name: str, visitors: int, seen: Seen) -> str:
    """Write one row of the table."""
    count = max(1, len(seen.end))
    return (
        f"{name:10s} {visitors:8d} {len(seen.end):8d} {percentile(seen.chart, 0.5):14.0f} "
        f"{percentile(seen.chart, 0.95):6.0f} {percentile(seen.chart, 1):6.0f} "
        f"{percentile(seen.end, 0.5):12.0f} {percentile(seen.end, 0.95):6.0f} {percentile(seen.end, 1):6.0f} "
        f"{seen.late:5d} {len(seen.problems):6d} {100 * seen.cpu / seen.wall:6.0f} {1e3 * seen.cpu / count:9.1f} "
        f"{100 * seen.own / seen.wall:9.0f} {seen.size / count / 1e3:7.1f}"
    )


def ratios(app: Seen, bare: Seen) -> str:
    """Write the app's numbers over the bare page's."""
    median = percentile(app.chart, 0.5) / percentile(bare.chart, 0.5)
    p95 = percentile(app.chart, 0.95) / percentile(bare.chart, 0.95)
    cpu = (app.cpu / len(app.end)) / (bare.cpu / len(bare.end)) if app.end and bare.end and bare.cpu else 0.0
    return f"{'ratio':10s} {'':8s} {'':8s} {median:14.2f} {p95:6.2f} {'':51s} {cpu:9.2f}"


def by_page(app: Seen, bare: Seen | None) -> str:
    """Write medians and p95 of every page."""
    lines = []
    for page, times in app.pages.items():
        line = f"    {page:15s} {statistics.median(times):5.0f} /{percentile(times, 0.95):5.0f}"
        other = bare.pages.get(page) if bare else None
        if other:
            line += f"    bare {statistics.median(other):5.0f} /{percentile(other, 0.95):5.0f}"
        lines.append(line)
    return "\n".join(lines)


def wrong(seens: Iterable[tuple[str, Seen]], sites: Iterable[Site]) -> str:
    """Write what went wrong, each kind once."""
    lines = []
    for name, seen in seens:
        for text in sorted(set(seen.problems)):
            lines.append(f"    {name}: {seen.problems.count(text)} × {text[:160]}")
        if seen.same:
            lines.append(f"    {name}: {seen.same} changes brought the chart that was there")
    lines += [
        f"    {site.name}: {count} tracebacks in the log" for site in sites if (count := site.complaints())
    ]
    return "\n".join(lines)


# Runs


async def crowd(
    app: Site, bare: Site | None, plan: Plan, count: int, seconds: float, told: bool
) -> tuple[Seen, Seen]:
    """Let so many visitors come to both sites and move their sliders in turns; ``told`` prints the memory, too."""
    settings = plan.settings(count)
    mine, theirs, arrival = Seen(), Seen(), Seen()
    guests = [_app(app, plan, k, setting) for k, setting in enumerate(settings)]
    alike = [guest for k, guest in enumerate(guests) if not plan.own(k)]
    apart = [guest for k, guest in enumerate(guests) if plan.own(k)]
    floors: list[Guest] = []
    if bare is not None:
        # Beyond so many settings the bare page would have to make data while it is measured.
        kept = [k for k in range(count) if plan.own(k)][:OWN_FLOORS]
        chosen = [k if not plan.own(k) or k in kept else _same_page(plan, kept, k) for k in range(count)]
        floors = [_bare(bare, plan, k, settings[chosen[k]]) for k in range(count)]
    try:
        before = app.memory()
        await gather(alike, arrival)
        for guest in alike:  # a session as it is after a change
            await guest.change(time.perf_counter(), arrival)
        middle = app.memory()
        await gather(apart, arrival)
        for guest in apart:
            await guest.change(time.perf_counter(), arrival)
        after = app.memory()
        for floor in floors:  # one after another, for the first of each kind makes the data
            await _enter(floor, arrival)
        for _ in range(max(1, round(seconds / SLICE))):
            span = min(SLICE, seconds)
            await turn(app, guests, span, mine)
            if bare is not None:
                await turn(bare, floors, span, theirs)
        mine.problems += [f"on arrival: {text}" for text in arrival.problems]
        if told:
            own = f", {(after - middle) / len(apart):.2f} for one with its own setting" if apart else ""
            print(
                f"memory, MB: {before:.0f} with all pages visited, {after:.0f} with {count} sessions, {app.memory():.0f} "
                f"after the run; {(middle - before) / len(alike):.2f} for each session on a default page{own}, "
                "with what the caches keep of it"
            )
    finally:
        await asyncio.gather(*(guest.visitor.close() for guest in [*guests, *floors]))
    return mine, theirs


def _same_page(plan: Plan, kept: Sequence[int], k: int) -> int:
    """Name a visitor among some who is on the page of number k, in turn."""
    there = [each for each in kept if plan.page(each) == plan.page(k)]
    return there[k % len(there)]


async def curve(app: Site, bare: Site | None, plan: Plan, seconds: float) -> list[tuple[int, Seen, Seen]]:
    """Let ever more visitors come until the app's p95 passes the limit."""
    points, count = [], 10
    while count <= MOST:
        mine, theirs = await crowd(app, bare, plan, count, seconds, told=False)
        print(row("app", count, mine))
        if bare is not None:
            print(row("bare page", count, theirs))
        print("", end="", flush=True)
        points.append((count, mine, theirs))
        if percentile(mine.chart, 0.95) > LIMIT:
            break
        count = count * 3 // 2
    return points


async def soak(app: Site, plan: Plan, count: int, changes: int) -> Seen:
    """Let visitors commit as fast as they are answered, and print the memory on the way."""
    seen = Seen()
    guests = [_app(app, plan, k, setting) for k, setting in enumerate(plan.settings(count))]
    await gather(guests, seen)
    started = 0
    print(f"memory, MB: {app.memory():.0f} with {count} sessions", flush=True)

    async def hurry(guest: Guest) -> None:
        nonlocal started
        while started < changes:
            started += 1
            await guest.change(time.perf_counter(), seen)
            if len(seen.end) % 500 == 0:
                print(f"    {len(seen.end):6d} changes {app.memory():7.1f}", flush=True)

    cpu, own, begin = app.cpu(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(hurry(guest) for guest in guests))
    seen.wall = time.perf_counter() - begin
    seen.cpu, seen.own = app.cpu() - cpu, time.process_time() - own
    await asyncio.gather(*(guest.visitor.close() for guest in guests))
    return seen


async def heavy(app: Site, plan: Plan, count: int, seconds: float, chosen: Sequence[str]) -> None:
    """Let visitors move their sliders, in turns with and without one more who asks for something dear all the time."""
    guests = [_app(app, plan, k, setting) for k, setting in enumerate(plan.settings(count))]
    arrival = Seen()
    await gather(guests, arrival)
    for name in chosen:
        deed = HEAVY[name]
        calm, busy, dear = Seen(), Seen(), Seen()
        visitor = Visitor(app.addresses[0], deed.page, deed.query, SCREEN, app.balanced)
        arrival.problems += (await visitor.open()).problems
        key = TOPICS[deed.page].key(deed.move)
        stops = visitor.stops(key, deed.low, deed.high) if deed.move else []
        random.Random(f"{plan.seed} {name}").shuffle(stops)
        over = asyncio.Event()
        deeds = itertools.count(1)

        for _ in range(max(1, round(seconds / SLICE))):
            span = min(SLICE, seconds)
            await turn(app, guests, span, calm)
            over.clear()
            task = asyncio.create_task(_repeat(visitor, key, stops, deeds, over, dear))
            await turn(app, guests, span, busy)
            over.set()
            await task
        await visitor.close()
        print(f"{name}: {len(dear.end)} of them, {percentile(dear.end, 0.5):.0f} ms each at the median")
        print(row("without", count, calm))
        print(row("with", count, busy))
        more = percentile(busy.chart, 0.95) - percentile(calm.chart, 0.95)
        print(f"    p95 of the others’ charts: {more:+.0f} ms")
        if said := wrong([("without", calm), ("with", busy), (name, dear)], [app]):
            print(said)
        print("", end="", flush=True)
    await asyncio.gather(*(guest.visitor.close() for guest in guests))


async def _repeat(
    visitor: Visitor, key: str, stops: Sequence[str], deeds: Iterator[int], over: asyncio.Event, seen: Seen
) -> None:
    """Move a slider, or with no stops ask for a file, again as soon as it is done, until it is over."""
    while not over.is_set():
        begin, number = time.perf_counter(), next(deeds)
        if stops:
            answer = await visitor.move(key, stops[number % len(stops)])
        else:
            answer = await visitor.trigger("layerwise_toolbar", "order", {"number": number, **_ORDER})
        seen.problems += answer.problems
        if not answer.finished:
            break
        seen.end.append((answer.finished - begin) * 1e3)


def load() -> str:
    """Write how busy the machine is, ours included."""
    return "load of the machine " + " ".join(f"{value:.1f}" for value in os.getloadavg())


async def measure(options: argparse.Namespace, app: Site, bare: Site | None) -> None:
    """Do what the options ask for."""
    pages = tuple(options.page or MOVES)
    print(f"{load()}; memory, MB: {app.memory():.0f} before the first visit", flush=True)
    plan = Plan(pages, await rehearse(app, pages), options.seed)
    if options.heavy is not None:
        print(HEAD)
        await heavy(app, plan, options.visitors, options.seconds, options.heavy or list(HEAVY))
    elif options.changes:
        seen = await soak(app, plan, options.visitors, options.changes)
        print(HEAD)
        print(row("app", options.visitors, seen))
        print(wrong([("app", seen)], [app]))
    elif options.curve:
        print(HEAD, flush=True)
        points = await curve(app, bare, plan, options.seconds)
        print(
            wrong(
                (
                    (f"{name}, {count} visitors", seen)
                    for count, *both in points
                    for name, seen in zip(("app", "bare"), both, strict=True)
                ),
                [app, *([bare] if bare else [])],
            )
        )
    else:
        mine, theirs = await crowd(app, bare, plan, options.visitors, options.seconds, told=True)
        print(HEAD)
        print(row("app", options.visitors, mine))
        if bare is not None:
            print(row("bare page", options.visitors, theirs))
            print(ratios(mine, theirs))
        print(by_page(mine, theirs if bare else None))
        print(wrong([("app", mine), ("bare", theirs)], [app, *([bare] if bare else [])]))
    print(load())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=30, help="how many come (default 30)")
    parser.add_argument(
        "--seconds", type=float, default=20, help="how long they move, at each site (default 20)"
    )
    parser.add_argument("--processes", type=int, default=1, help="of each site (default 1)")
    parser.add_argument(
        "--page", action="append", choices=tuple(MOVES), help="only this page; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=1, help="of settings and walks (default 1)")
    parser.add_argument(
        "--bare", action=argparse.BooleanOptionalAction, default=True, help="the bare page beside it"
    )
    parser.add_argument("--address", help="of an app that runs already, behind a proxy for example")
    parser.add_argument(
        "--pid", type=int, action="append", default=[], help="of its processes, for CPU and memory"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--curve", action="store_true", help=f"more visitors until p95 passes {LIMIT:g} ms")
    what.add_argument(
        "--heavy",
        nargs="*",
        choices=HEAVY,
        help="with one more visitor who asks for all of these or some, one kind after another",
    )
    what.add_argument("--changes", type=int, default=0, help="as fast as they are answered, with the memory")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.address:
            app = Site("app", [options.address], options.pid, balanced=True)
        else:
            app = stack.enter_context(running("app.py", "app", options.processes))
        beside = options.bare and options.heavy is None and not options.changes
        bare = (
            stack.enter_context(running("benchmarks/floor.py", "bare", options.processes)) if beside else None
        )
        asyncio.run(measure(options, app, bare))


if __name__ == "__main__":
    main()
