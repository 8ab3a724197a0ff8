"""The Basins tab of the optimizers page: where the runs from all over the window end, and after how many steps."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import altair as alt
import numpy as np
from PIL import Image

from charts import compose, progress, raster, theme
from charts.describe import counted, percent
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread
from charts.optimizers_base import (
    APART,
    CLEAR,
    KNOBS,
    METHODS,
    NONE,
    ROOMY,
    Method,
    describe,
    factors,
    given_problem,
    methods,
    noisy,
    own,
    place,
    problem_of,
    start_of,
    stated,
    surface_key,
    surface_of,
)
from charts.topic import Block, Link, Values, real, whole, word
from core.basins import REACH, SIDES, Basins, basins, find_minima
from core.descent import Problem, SteppedProblem, descend
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.optimizers import Rule
from core.schedules import scheduled
from core.surfaces import Stationary

Array = np.ndarray
Items = tuple[tuple[str, Value], ...]

PLAIN = "GD"  # what every method is compared with
_SURFACES = ("Himmelblau", "Six-hump camel", "Rastrigin")
_CELLS = 41  # a click finds one of 41 × 41 pixels
_PIXELS = 512  # of the picture a side: the browser then blurs no border between two starts
_SHADES = 14  # of each hue
_FAINTEST, _STRONGEST = 0.22, 0.95
_LABELED = 12  # minima at most that carry their share on the map
_BARS = 7  # minima at most with a bar of their own
_POINTS = 90  # of a curve
# What acts on every method beside the surface. Noise does not: a start of the map would be one draw of many.
_CONDITIONS = (
    *("convention", "clip", "clip_at", "batch_size", "seed", "schedule"),
    *(name for name in KNOBS if name.startswith("schedule_")),
)
_ON_THE_WAY, _LEFT, _DIVERGED, _STUCK = -1, -2, -3, -4

BASIN_KNOBS = (
    Knob(
        "basin_optimizer", "choice", "Momentum", label="Optimizer", choices=tuple(METHODS),
        aliases=aliases_of(METHODS),
    ),
    Knob(
        "basin_factor", "float", 1.0, label="Learning rate ×", low=0.1, high=10.0, log=True,
        help="Multiplies the learning rate that the page has for this optimizer.",
    ),
    Knob("basin_steps", "int", 300, label="Steps", low=50, high=1000, log=True),
    Knob(
        "basin_reach", "float", 1.0, label="Reach", low=0.1, high=10.0, log=True, unit="%",
        help="How near to a minimum counts as there, in percent of the window's width.",
    ),
    Knob("basin_size", "choice", "128", label="Starts a side", choices=("64", "128"), cap="grid"),
    Knob("basin_shade", "bool", True, label="Shade by steps"),
)  # fmt: skip


def basin_click(point: Mapping[str, Any]) -> dict[str, Value]:
    """Turn a click on the map, one of its pixels, into the page's start."""
    return {"start_x": float(point["x"]), "start_y": float(point["y"])}


# The runs


@keep(entries=8)
def _minima(items: Items) -> tuple[Stationary, ...]:
    """Return the minima of the window: those that the surface lists, and others where its list may lack some."""
    values = dict(items)
    surface = surface_of(values)
    listed = surface.minima
    if surface.best is not None:
        listed = (
            Stationary(surface.best, float(problem_of(values).f(np.array(surface.best))), "minimum", True),
        )
    if surface.complete or not all(m.isolated for m in listed):
        return listed
    close = REACH * (surface.window[1] - surface.window[0])
    found = find_minima(problem_of(values), surface.window)
    return (*listed, *(m for m in found if all(math.dist(m.point, n.point) > close for n in listed)))


def _method(values: Values, name: str, factor: float = 1.0) -> Method:
    """Return an optimizer with the page's settings, its learning rate multiplied."""
    found = methods({**values, "optimizers": (name,), "twin": NONE})[name]
    return found._replace(settings={**found.settings, "lr": found.settings["lr"] * factor})


def _problem(values: Values) -> Problem | SteppedProblem:
    """Return the problem as the methods of the page meet it, but without noise."""
    return cast(Problem | SteppedProblem, given_problem({**values, "noise": 0.0}))


class _Way(NamedTuple):
    """How ``basins`` and ``descend`` move: the rule or its schedule, and what happens to gradients and points."""

    rule: Rule | Callable[[int], Rule]
    clip_norm: float | None
    clip_value: float | None
    project: Callable[[Array], Array] | None


def _way(values: Values, method: Method, steps: int) -> _Way:
    """Return how a method moves under the page's schedule and clipping, over so many steps."""
    rule: Rule | Callable[[int], Rule] = method.rule()
    if word(values, "schedule") != "constant":
        rule = scheduled(method.rule, method.settings["lr"], factors({**values, "steps": steps}))
    surface = surface_of(values)
    clip, most = word(values, "clip"), real(values, "clip_at")
    return _Way(
        rule,
        most if clip == "norm" else None,
        most if clip == "value" else None,
        surface.project if surface.box is not None else None,
    )


def _targets(key: Items) -> tuple[Stationary, ...]:
    """Return where a run can rest: the minima and, after them, the saddles and maxima that a run may stop at."""
    minima = _minima(key)
    others = [s for s in surface_of(dict(key)).stationary if s.kind != "minimum" and s.isolated]
    return (*minima, *others) if minima else ()


@keep(entries=8)
def _fates(
    items: Items, name: str, factor: float, steps: int, size: int, reach: float, share: progress.Share
) -> Basins:
    """Run one optimizer from everywhere."""
    values = dict(items)

    def report(done: int, blocks: int) -> None:
        progress.report(share.low + (share.high - share.low) * done / blocks, share.text)

    way = _way(values, _method(values, name, factor), steps)
    window = surface_of(values).window
    return basins(
        _problem(values),
        way.rule,
        window,
        size,
        steps,
        _targets(surface_key(values)),
        radius=reach * (window[1] - window[0]),
        clip_norm=way.clip_norm,
        clip_value=way.clip_value,
        project=way.project,
        report=report,
    )


class _Place(NamedTuple):
    """What the runs can end at, in words: a minimum, the best point of a box, or a listed point of curves of minima."""

    one: str
    legend: str

    @property
    def article(self) -> str:
        """A minimum, but the best point, of which there is one."""
        return f"the {self.one}" if self is _BEST else f"a {self.one}"


_MINIMUM = _Place("minimum", "Crosses: minima.")
_BEST = _Place("best point", "Cross: the best point of the box.")
_CURVE = _Place("listed point", "Crosses: the listed minima, on curves of them some points.")


def _place(values: Values, minima: tuple[Stationary, ...]) -> _Place:
    if surface_of(values).best is not None:
        return _BEST
    return _MINIMUM if all(m.isolated for m in minima) else _CURVE


class _Groups(NamedTuple):
    """What the starts are told apart by: the minima they reach or, where there are none, the sides they leave by.

    names: of each group. fate: (size, size), a group, or one of the codes below 0. settled: (size, size), the step
    from which on a start stays there, −1 if it does not.
    """

    names: tuple[str, ...]
    fate: Array
    settled: Array
    minima: tuple[Stationary, ...]
    place: _Place


def _groups(fates: Basins, minima: tuple[Stationary, ...], place: _Place) -> _Groups:
    if minima:
        names = tuple(f"({number(m.point[0])}, {number(m.point[1])})" for m in minima)
        fate = np.where((fates.minimum < 0) & (fates.left_at >= 0), _LEFT, fates.minimum)
        fate = np.where(fates.diverged_at >= 0, _DIVERGED, fate)
        fate = np.where(fates.minimum >= len(minima), _STUCK, fate)
        return _Groups(names, fate, np.where(fate >= 0, fates.arrived_at, -1), minima, place)
    fate = np.where((fates.side < 0) & (fates.diverged_at >= 0), _DIVERGED, fates.side)
    return _Groups(SIDES, fate, np.where(fates.side >= 0, fates.left_at, -1), (), place)


class _Outcome(NamedTuple):
    """One optimizer on the page's surface."""

    method: Method
    fates: Basins
    groups: _Groups

    @property
    def shares(self) -> Array:
        """The share of the starts in each group."""
        index = self.groups.fate
        return np.bincount(index[index >= 0], minlength=len(self.groups.names)) / index.size

    def share(self, code: int) -> float:
        """Return the share of the starts with a code below 0."""
        return float(np.mean(self.groups.fate == code))

    @property
    def ragged(self) -> float:
        """The share of pairs of neighboring starts that end in different places."""
        index = self.groups.fate
        across, up = index[:, 1:] != index[:, :-1], index[1:] != index[:-1]
        return float((across.sum() + up.sum()) / (across.size + up.size))

    @property
    def steps(self) -> Array:
        """The steps of all starts that settled, sorted."""
        settled = self.groups.settled
        return np.sort(settled[settled >= 0])


def _outcome(values: Values, name: str, factor: float, low: float, high: float) -> _Outcome:
    """Run an optimizer on the page's surface; of the work to wait for it is the part from ``low`` to ``high``."""
    method, key = _method(values, name, factor), surface_key(values)
    knobs = tuple(own(name, knob.name) for knob in method.entry.knobs)
    items = (*key, *((each, values[each]) for each in (*_CONDITIONS, *knobs)))
    steps, size = whole(values, "basin_steps"), int(word(values, "basin_size"))
    share = progress.Share(low, high, f"Running {name} from {size} × {size} starts")
    fates = _fates(items, name, factor, steps, size, real(values, "basin_reach") / 100, share)
    minima = _minima(key)
    return _Outcome(method, fates, _groups(fates, minima, _place(values, minima)))


# The picture


def _hues(points: Sequence[tuple[float, float]]) -> list[int]:
    """Give every minimum one of the hues, such that minima of one hue lie far apart."""
    chosen: list[int] = []
    for k, point in enumerate(points):
        if k < len(theme.HUES):
            chosen.append(k)
            continue
        nearest = [math.inf] * len(theme.HUES)
        for other, hue in zip(points, chosen, strict=False):
            nearest[hue] = min(nearest[hue], math.dist(point, other))
        chosen.append(int(np.argmax(nearest)))
    return chosen


def _between(use: str) -> list[int]:
    """Return an ink halfway between its light and its dark variant: red, green and blue, for either ground."""
    ink = theme.INKS[theme.SLOTS[use]]
    parts = [[int(tone[i : i + 2], 16) for i in (1, 3, 5)] for tone in (ink.light, ink.dark)]
    return [(a + b) // 2 for a, b in zip(*parts, strict=True)]


def basin_image(hue: Array, shade: Array) -> str:
    """Return a map as a PNG data URI.

    Args:
        hue: (size, size), rows from low to high y: an index into ``theme.HUES``, or −1 for nothing, −2 for
            hatched gray, −3 for hatched red, −4 for gray.
        shade: (size, size), 0 for the strongest to 1 for the faintest.
    """
    size = len(hue)
    level = np.round(np.clip(shade, 0, 1) * (_SHADES - 1)).astype(int)
    index = np.where(hue >= 0, 4 + hue * _SHADES + level, -1 - hue)
    zoom = max(1, _PIXELS // size)
    big = np.kron(index[::-1], np.ones((zoom, zoom), int))
    diagonal = np.add.outer(np.arange(len(big)), np.arange(len(big))) % 8 < 3
    big = np.where(((big == 1) | (big == 2)) & ~diagonal, 0, big).astype(np.uint8)
    picture = Image.fromarray(big, "P")
    colors = [0, 0, 0, *_between("muted"), *_between("bad"), *_between("muted")]
    for use in theme.HUES:
        colors += _between(use) * _SHADES
    picture.putpalette(colors)
    shades = np.linspace(_STRONGEST, _FAINTEST, _SHADES)
    opacity = [0.0, 0.55, 0.8, 0.45, *np.tile(shades, len(theme.HUES))]
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, transparency=bytes(round(255 * o) for o in opacity))
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


# The specification


@lru_cache(maxsize=16)
def _basins_spec(width: int) -> Spec:
    narrow, tight = width < NARROW, width < ROOMY
    left = width - 56 if narrow else round((width - 250) * (0.63 if tight else 0.58))
    right = width - 195 if narrow else width - (240 if tight else 385) - left
    tall = 310 if tight and not narrow else min(440, max(270, round(left * 0.86)))
    lower = 100 if tight and not narrow else 140
    upper = 190 if narrow else tall - lower - 50

    x = alt.X("x:Q", title="start x", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    y = alt.Y("y:Q", title="start y", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    pick = alt.selection_point(
        name="pixel", fields=["x", "y"], nearest=True, on="click", empty=False, toggle=False
    )
    minima = alt.Chart(named("minima"))
    path = alt.Chart(named("path"))
    start = alt.Chart(named("start"))

    def cross(use: str, growth: float) -> Panel:
        return (
            minima.mark_point(shape="cross", angle=45, filled=True, opacity=1, strokeWidth=0)
            .transform_calculate(big=f"datum.size * {growth}")
            .encode(
                size=alt.Size("big:Q", scale=None, legend=None),
                x=x,
                y=y,
                color=theme.ink(use),
                opacity=theme.SHOWN,
                tooltip=[
                    alt.Tooltip("name:N", title="end"),
                    alt.Tooltip("value:Q", title="f", format=".6~g"),
                    alt.Tooltip("share:Q", title="share of the starts", format=".3~%"),
                ],
            )
        )

    words = minima.mark_text(dy=-13, fontSize=theme.TEXT_SIZE, fontWeight=600).encode(
        x=x, y=y, text="label:N", opacity=theme.SHOWN, color=theme.ink("ink")
    )
    halo = words.mark_text(
        dy=-13, fontSize=theme.TEXT_SIZE, fontWeight=600, strokeWidth=3.5, strokeJoin="round"
    ).encode(
        stroke=alt.Stroke(
            "halo:O", scale=alt.Scale(domain=list(range(len(theme.INKS))), range="category"), legend=None
        )
    )
    cells = (
        alt.Chart(alt.sequence(0, _CELLS * _CELLS, as_="i"))
        .transform_calculate(key="0", u=f"datum.i % {_CELLS}", v=f"floor(datum.i / {_CELLS})")
        .transform_lookup(
            "key", alt.LookupData(named("frame"), "key", ["left", "across", "bottom", "up", "size"])
        )
        # A pixel's center: the run from there is the one that the map shows.
        .transform_calculate(
            x=f"datum.left + (floor(datum.u * (datum.size - 1) / {_CELLS - 1}) + 0.5) * datum.across / datum.size",
            y=f"datum.bottom + (floor(datum.v * (datum.size - 1) / {_CELLS - 1}) + 0.5) * datum.up / datum.size",
        )
        .mark_point(opacity=0, size=60, tooltip=None)
        .encode(x=x, y=y)
        .properties(name="clicks")
    )
    run = path.mark_line(strokeJoin="round").encode(
        x=x, y=y, detail="piece:N", order="order:Q", color=theme.color(), opacity=theme.SHOWN
    )
    ground = compose.layer(
        alt.Chart(named("map")).mark_image(aspect=False).encode(x=x, x2="x1:Q", y=y, y2="y1:Q", url="url:N"),
        path.mark_line(strokeWidth=3.6, opacity=0.7).encode(
            x=x, y=y, detail="piece:N", order="order:Q", color=theme.ink("paper"), opacity=theme.SHOWN
        ),
        run.mark_line(strokeWidth=1.3),
        start.mark_point(shape="circle", size=130, strokeWidth=5, filled=False).encode(
            x=x, y=y, color=theme.ink("paper"), opacity=theme.SHOWN
        ),
        start.mark_point(shape="circle", size=130, strokeWidth=2, filled=False).encode(
            x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        cross("paper", 2.2),
        cross("ink", 1),
        halo,
        words,
        cells,
        width=left,
        height=tall,
        name="map",
    )

    bars = alt.Chart(named("bars"))
    top = alt.Y(
        "thin:Q" if tight else "y:Q"
    )  # a name stands beside its bar, or where there is little room above it
    place_y = alt.Y("y:Q", title=None, axis=None, scale=alt.Scale(nice=False, zero=False, reverse=True))
    name = (
        bars.mark_text(align="left", baseline="bottom", dx=2, dy=-2, fontSize=theme.SMALL_SIZE).encode(y=top)
        if tight
        else bars.mark_text(align="right", dx=-8, fontSize=theme.SMALL_SIZE + 0.5).encode(y=alt.Y("middle:Q"))
    )
    extent = alt.X(
        "share:Q",
        title=None,
        scale=alt.Scale(nice=False, zero=True),
        axis=alt.Axis(format="~%", tickCount=4, orient="bottom"),
    )
    shares = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=extent, y=place_y),
        bars.mark_bar(opacity=0.85).encode(
            x=extent, x2=alt.X2(datum=0), y=top, y2="y1:Q", color=theme.color(), opacity=theme.SHOWN
        ),
        bars.mark_rule(strokeWidth=2).encode(
            x=alt.X("plain:Q"),
            y=top,
            y2="y1:Q",
            color=theme.ink("ink"),
            opacity=alt.condition("datum.compared", alt.value(1), alt.value(0)),
        ),
        name.encode(x=alt.value(0), text="name:N", color=theme.ink("ink"), opacity=theme.SHOWN),
        bars.mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5).encode(
            x=alt.value(right),
            y=alt.Y("center:Q" if tight else "middle:Q"),
            text="text:N",
            color=theme.ink("ink"),
            opacity=theme.SHOWN,
        ),
        _heading("shares"),
        width=right,
        height=upper,
        name="shares",
    )

    step = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(type="log", nice=False, domainMin=1),
        axis=alt.Axis(
            grid=False, labelExpr=theme.POWER, tickCount=4, labelPadding=CLEAR, labelSeparation=APART
        ),
    )
    level = alt.Y(
        "share:Q",
        title=None,
        scale=alt.Scale(nice=False, zero=True, domain=[0, 1]),
        axis=alt.Axis(format="~%", values=[0, 0.5, 1]),
    )
    settled = compose.layer(
        alt.Chart(named("curve"))
        .mark_line(interpolate="step-after")
        .encode(x=step, y=level, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
        .encode(x=step, y=level, text="label:N", color=theme.color()),
        _heading("settled"),
        width=right,
        height=lower,
        name="settled",
    )
    side = compose.below(shares, settled, spacing=52)
    join, gap = (compose.below, 44) if narrow else (compose.beside, 32)
    both = join(ground, side, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config(), [compose.parameter(pick, "clicks")])


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


# The rows


def _order(this: _Outcome) -> list[int]:
    """Return the groups that starts end in: the global minimum first where there are many, then by their shares."""
    shares = this.shares
    first = [m.is_global and len(this.groups.minima) > _BARS for m in this.groups.minima] or [False] * len(
        shares
    )
    return [int(k) for k in np.lexsort((-shares, ~np.array(first))) if shares[k] > 0]


def _bar_rows(this: _Outcome, plain: _Outcome | None, hues: Sequence[int]) -> Frame:
    """Return a bar for each of the groups most starts end in, one for the others, and one for each other fate."""
    shares = this.shares
    order = _order(this)
    kept = order if len(order) <= _BARS else order[: _BARS - 1]
    beside = plain.shares if plain else np.zeros_like(shares)
    found = [
        (this.groups.names[k], float(shares[k]), float(beside[k]), theme.SLOTS[theme.HUES[hues[k]]])
        for k in kept
    ]
    rest = [k for k in range(len(shares)) if k not in kept and (shares[k] > 0 or beside[k] > 0)]
    if rest:
        many = "another one" if len(rest) == 1 else f"{len(rest)} others"
        found.append((many, float(shares[rest].sum()), float(beside[rest].sum()), theme.FAINT))
    for code, name, slot in (
        (_ON_THE_WAY, "none of them" if this.groups.minima else "stays inside", theme.FAINT),
        (_STUCK, "saddle or top", theme.MUTED),
        (_LEFT, "outside", theme.FAINT),
        (_DIVERGED, "diverges", theme.BAD),
    ):
        ours, theirs = this.share(code), plain.share(code) if plain else 0.0
        if ours > 0 or theirs > 0:
            found.append((name, ours, theirs, slot))
    top = np.arange(len(found)) + 0.15
    text = [
        f"{_tally(ours)}, {PLAIN} {_tally(theirs)}" if plain else _tally(ours) for _, ours, theirs, _ in found
    ]
    return rows(
        y=top,
        y1=top + 0.7,
        middle=top + 0.35,
        thin=top + 0.4,
        center=top + 0.55,
        name=[name for name, *_ in found],
        share=[ours for _, ours, _, _ in found],
        plain=[theirs for _, _, theirs, _ in found],
        end=[max(ours, theirs if plain else 0.0) for _, ours, theirs, _ in found],
        text=text,
        slot=[slot for *_, slot in found],
        compared=plain is not None,
        shown=True,
    )


def _tally(share: float) -> str:
    """Write a share in percent; what is not nothing is never 0%, and what is not all never 100%."""
    if 0 < share < 1e-4:
        return "<0.01%"
    return ">99.9%" if 0.9995 <= share < 1 else percent(share)


def _curve_rows(outcomes: Sequence[_Outcome], steps: int) -> dict[str, Frame]:
    """Return, for each optimizer, the share of the starts that has settled by each step, on few points."""
    at = np.unique(np.round(np.geomspace(1, steps, _POINTS)).astype(int))
    parts: list[Part] = []
    ends = []
    for outcome in outcomes:
        share = np.searchsorted(outcome.steps, at, side="right") / outcome.groups.fate.size
        style = outcome.method.style
        parts.append(
            {"step": at.astype(np.int16), "share": share, "name": outcome.method.label, "slot": np.int8(style.slot),
             "dash": np.int8(style.dash)}
        )  # fmt: skip
        ends.append((f"{outcome.method.label} {_tally(float(share[-1]))}", style.slot, float(share[-1])))
    placed = spread(np.array([end for *_, end in ends]), 0.13, 0.0, 1.0)
    return {
        "curve": rows(*parts),
        "ends": rows(
            step=np.full(len(ends), steps),
            share=placed,
            label=[label for label, *_ in ends],
            slot=[slot for _, slot, _ in ends],
        ),
    }


def _path_rows(values: Values, method: Method) -> Frame:
    """Return the run from the page's start, cut at the window."""
    window = surface_of(values).window
    steps = whole(values, "basin_steps")
    way = _way(values, method, steps)
    run = descend(
        _problem(values), way.rule, start_of(values), steps, clip_norm=way.clip_norm, clip_value=way.clip_value,
        project=way.project,
    )  # fmt: skip
    points, _, piece, _ = raster.clip_path(run.path, window)
    if len(points) < 2:
        return rows(
            x=[window[0], window[1]], y=[window[2], window[3]], piece=[0, 1], order=[0, 1], slot=theme.INK, shown=False
        )  # fmt: skip
    # What no eye can tell apart is one point: a run at rest, or one that trembles.
    grain = np.array([window[1] - window[0], window[3] - window[2]]) / 2000
    cell = np.round(points / grain).astype(int)
    moved = np.append(True, (np.diff(cell, axis=0) != 0).any(axis=1) | (np.diff(piece) != 0))
    points, piece = points[moved], piece[moved]
    return rows(
        x=points[:, 0],
        y=points[:, 1],
        piece=piece.astype(np.int16),
        order=np.arange(len(points), dtype=np.int16),
        slot=np.int8(theme.INK),
        shown=True,
    )


def _span(this: _Outcome) -> tuple[int, int]:
    """Return the steps between which the shades of the map lie: all but the quickest and the slowest 2%."""
    steps = this.steps if len(this.steps) else np.zeros(1)
    low, high = (int(np.quantile(steps, q, method="nearest")) for q in (0.02, 0.98))
    return low, high


def _basins_figure(values: Values, this: _Outcome, plain: _Outcome | None) -> Figure:
    surface, steps = surface_of(values), whole(values, "basin_steps")
    window, minima, end = surface.window, this.groups.minima, this.groups.place
    shares, hues = this.shares, _hues([m.point for m in minima] or [(0.0, 0.0)] * len(SIDES))
    index = this.groups.fate
    colored = np.where(index >= 0, np.array(hues)[np.maximum(index, 0)], index)
    quick, slow = _span(this)
    shade = (np.log1p(np.clip(this.groups.settled, quick, slow)) - math.log1p(quick)) / (
        math.log1p(slow) - math.log1p(quick) or 1.0
    )
    if not values["basin_shade"]:
        shade = np.zeros_like(shade)
    labeled = len(minima) <= _LABELED
    x, y = start_of(values)
    inside = window[0] <= x <= window[1] and window[2] <= y <= window[3]
    size = int(word(values, "basin_size"))
    bars = _bar_rows(this, plain, hues)
    shaded = ""
    if values["basin_shade"] and len(this.steps):
        shaded = f", strongest up to step {quick}, faintest from step {slow} (log scale)"
    legend = (
        f"Blank: at none of them. Gray: at a saddle or maximum. Hatched: outside, in red diverged. {end.legend} "
        if minima
        else ""
    )
    compared = f"; line: {PLAIN}" if plain else ""
    radius = this.fates.radius
    near = f"At {end.article}: within {number(radius)} of it and until the end. " if minima else ""
    if end is _CURVE:
        near = (
            f"At a curve of minima: 2|f − f*|/‖∇f‖, the distance to first order, is at most {number(radius)} until the end; "
            "of its listed points the nearest counts. "
        )
    arrived = ("at the minima" if end is _CURVE else f"at {end.article}") if minima else "out of the window"
    return Figure(
        name="optimizers/basins",
        build=_basins_spec,
        data={
            "map": rows(
                url=[basin_image(colored, shade)], x=window[0], x1=window[1], y=window[2], y1=window[3]
            ),
            "frame": rows(
                key=[0],
                left=window[0],
                across=window[1] - window[0],
                bottom=window[2],
                up=window[3] - window[2],
                size=size,
            ),
            "path": _path_rows(values, this.method),
            "start": rows(x=[x if inside else window[0]], y=[y if inside else window[2]], shown=inside),
            "minima": rows(
                x=[m.point[0] for m in minima],
                y=[m.point[1] for m in minima],
                value=[m.value for m in minima],
                name=list(this.groups.names),
                share=shares,
                halo=np.int8(theme.SLOTS["paper"]),
                size=np.int16(min(90, max(22, 1200 // len(minima)))),
                label=[_tally(float(s)) if labeled else "" for s in shares],
                shown=True,
            )
            if minima
            else rows(
                x=[window[0]],
                y=[window[2]],
                value=0.0,
                name="",
                share=0.0,
                halo=theme.SLOTS["paper"],
                size=22,
                label="",
                shown=False,
            ),
            "bars": bars,
            "reach": rows(
                share=[0.0, max(0.05, float(np.nanmax(bars.numbers("end"))))],
                y=[0.0, max(4.0, float(np.nanmax(bars.numbers("y1"))) + 0.15)],
            ),
            **_curve_rows([this, *([plain] if plain else [])], steps),
            "titles": rows(
                shares=[f"Share of the starts by {end.one if minima else 'side they leave by'}{compared}"],
                settled=[f"Share of the starts {arrived} by step"],
            ),
        },
        title=f"Basins of {this.method.label} on {surface.name}",
        caption=(
            f"{place(values, start=False)}; {size} × {size} starts, {steps} steps. {_described(values, this, plain)}. {near}"
            f"{_conditions(values)}"
        ),
        key=(
            f"Color: {f'the {end.one}' if minima else 'the side'}{shaded}. "
            f"{legend}"
            f"Ring and line: a start and its run with {this.method.label}."
        ),
        alt="Left: map of starts colored by where their run ends. Right: share of each, and share arrived by step.",
        click="pixel",
        hint="Click a pixel to run it in the main figure.",
    )


# The words


def _described(values: Values, this: _Outcome, plain: _Outcome | None) -> str:
    factor = real(values, "basin_factor")
    times = f" ({number(factor)} times the rate set)" if factor != 1 else ""
    beside = f"; {describe(plain.method)}" if plain else ""
    return f"{describe(this.method)}{times}{beside}"


def _conditions(values: Values) -> str:
    """State what acts on all methods."""
    quiet = {**values, "noise": 0.0}
    exact = "Exact gradients, without noise. " if noisy(values) and not noisy(quiet) else ""
    return exact + stated(quiet)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _where(this: _Outcome) -> str:
    """Say where the starts end."""
    shares, names, minima = this.shares, this.groups.names, this.groups.minima
    order = [int(k) for k in np.argsort(-shares, kind="stable") if shares[k] > 0]
    text = f"Of {number(this.groups.fate.size, 6)} starts **{this.method.label}** "
    if minima:
        told = order[:4]
        if len(minima) > _BARS:
            told = [k for k in range(len(minima)) if minima[k].is_global]
        the = "" if len(minima) > 1 else f"the {this.groups.place.one} "
        parts = [
            f"{_tally(float(shares[k]))} to {'the global minimum ' if len(minima) > _BARS else the}{names[k]}"
            for k in told
        ]
        others = [k for k in order if k not in told]
        if others:
            parts.append(f"{_tally(float(shares[others].sum()))} to {counted(len(others), 'other')}")
        none = "takes none to " + ("the minima" if this.groups.place is _CURVE else this.groups.place.article)
        text += f"takes {_listed(parts)}" if parts else none
    else:
        parts = [f"{_tally(float(shares[k]))} over the {names[k]}" for k in order]
        text += f"drives {_listed(parts)} border of the window" if parts else "drives none out of the window"
    rest = [
        f"{_tally(this.share(code))} {said}"
        for code, said in (
            (_STUCK, "stop at a saddle or a maximum"),
            (_ON_THE_WAY, "are elsewhere in the window" if minima else "are still inside"),
            (_LEFT, "end outside it"),
            (_DIVERGED, "diverge"),
        )
        if this.share(code) > 0
    ]
    return text + (f"; {_listed(rest)}." if rest else ".")


def _when(this: _Outcome, plain: _Outcome | None) -> str:
    steps = this.steps
    if not len(steps):
        return ""
    low, middle, high = (int(np.quantile(steps, q, method="nearest")) for q in (0.1, 0.5, 0.9))
    beside = ""
    if plain is not None and len(plain.steps):
        beside = f", with {PLAIN} by step {int(np.quantile(plain.steps, 0.5, method='nearest'))}"
    return (
        f"Half of those that {'arrive are there' if this.groups.minima else 'leave are gone'} by step {middle}{beside}; the "
        f"quickest tenth by step {low}, nine tenths by step {high}."
    )


def _lost(this: _Outcome) -> str:
    """Name the steps of divergence."""
    at = this.fates.diverged_at
    gone = at[at >= 0]
    if not len(gone):
        return ""
    many = f"{_tally(len(gone) / at.size)} of the starts"
    return f"The numbers of {many} overflow, the first at step {int(gone.min())}, half of them by step {int(np.median(gone))}."


def _nearest(this: _Outcome) -> float:
    """Return the share of the starts that end at the minimum nearest to them."""
    fates = this.fates
    starts = np.stack(np.meshgrid(fates.x, fates.y), axis=-1)
    points = np.array([m.point for m in this.groups.minima])
    apart = ((starts[..., None, :] - points) ** 2).sum(axis=-1)
    return float(np.mean(apart.argmin(axis=-1) == this.groups.fate))


def _comparison(this: _Outcome, plain: _Outcome | None) -> str:
    """Set the map beside that of gradient descent."""
    minima = this.groups.minima
    if len(minima) == 1:
        return ""
    name = this.method.label
    isolated = all(m.isolated for m in minima)
    if plain is None:
        text = f"Neighbors end in different places in {_tally(this.ragged)} of all pairs"
        near = (
            f"; {_tally(_nearest(this))} of the starts end at the minimum nearest to them"
            if minima and isolated
            else ""
        )
        return f"{text}{near}."
    both = (this.groups.fate >= 0) & (plain.groups.fate >= 0)
    parts = []
    if both.any():
        changed = float(np.mean(this.groups.fate[both] != plain.groups.fate[both]))
        parts.append(
            f"Of the starts that {'arrive' if minima else 'leave'} with both, {_tally(changed)} "
            f"{f'end at another {this.groups.place.one}' if minima else 'leave elsewhere'} with {name} than with {PLAIN}"
        )
    parts.append(
        f"neighbors end in different places in {_tally(this.ragged)} of all pairs, with {PLAIN} in {_tally(plain.ragged)}"
    )
    if minima and isolated:
        parts.append(
            f"{_tally(_nearest(this))} of the starts end at the minimum nearest to them, with {PLAIN} {_tally(_nearest(plain))}"
        )
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def basins_blocks(values: Values) -> Sequence[Block]:
    """Return the map, what it says, and links to surfaces with more than one minimum."""
    name = word(values, "basin_optimizer")
    half = 1.0 if name == PLAIN else 0.5
    this = _outcome(values, name, real(values, "basin_factor"), 0.0, half)
    plain = None if name == PLAIN else _outcome(values, PLAIN, 1.0, half, 1.0)
    progress.report(1.0, "Done")
    minima = this.groups.minima
    surface = surface_of(values)
    place = this.groups.place
    if place is _CURVE:
        on = sum(not m.isolated for m in minima)
        alone = "a minimum and " if on == len(minima) - 1 else ""
        lead = (
            f"Every pixel is a start. {surface.name} has {alone}curves of minima, of which {counted(on, 'point')} are listed: "
            f"nearest to which of them does {name} end, and how long does it take?"
        )
    elif len(minima) > 1:
        lead = f"Every pixel is a start. In which of the {len(minima)} minima does {name} end, and how long does it take?"
    elif minima:
        only = "no minimum, only a best point of the box" if place is _BEST else "one minimum in the window"
        lead = (
            f"Every pixel is a start. {surface.name} has {only}, so the map tells only how many steps {name} takes. Surfaces "
            "with several minima:"
        )
    else:
        lead = (
            f"Every pixel is a start. {surface.name} has no minimum, so the map tells over which side of the window {name} "
            "leaves it for good. Surfaces with several minima:"
        )
    links = [Link(other, {"surface": other}, tab="Basins") for other in _SURFACES if other != surface.name]
    reading = " ".join(
        s for s in (_where(this), _when(this, plain), _lost(this), _comparison(this, plain)) if s
    )
    return [lead, *(links if len(minima) < 2 else []), _basins_figure(values, this, plain), reading]
