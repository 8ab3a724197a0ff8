"""Optimizers: paths of update rules over a loss surface, and how far above the minimum they are."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, raster, theme
from charts import optimizers_labels as labels
from charts.figure import (
    NARROW,
    WIDE,
    Figure,
    Frame,
    Part,
    Spec,
    assemble,
    first_row,
    named,
    rows,
    spread,
)
from charts.once import once
from charts.optimizers_anatomy import rule_as_set
from charts.optimizers_averages import AVERAGES_KNOBS, averages_blocks, averages_shown
from charts.optimizers_base import (
    CLEAR,
    KNOBS,
    METHODS,
    NONE,
    OWN,
    ROOMY,
    Method,
    RunKey,
    complete,
    conditions,
    describe,
    distance,
    in_symbols,
    methods,
    noisy,
    own,
    place,
    quadratic,
    run_keys,
    run_of,
    settings,
    start_of,
    stated,
    suggested,
    surface_key,
    surface_of,
    surface_settings,
)
from charts.optimizers_basins import BASIN_KNOBS, basin_click, basins_blocks
from charts.optimizers_batches import BATCH_KNOBS, batch_blocks, batch_shown
from charts.optimizers_code import has_text, programs
from charts.optimizers_curves import CURVE_KNOBS, curves_blocks
from charts.optimizers_fair import FAIR_KNOBS, fair_blocks, fair_shown
from charts.optimizers_landscape import LAND_KNOBS, land_blocks, land_shown
from charts.optimizers_notes import MEASURES
from charts.optimizers_predictions import PREDICTIONS
from charts.optimizers_rotation import ROTATION_KNOBS, rotation_blocks
from charts.optimizers_step import STEP_KNOBS, step_blocks
from charts.optimizers_theory import THEORY_KNOBS, theory_blocks, theory_shown
from charts.topic import (
    Group,
    Scenario,
    Section,
    Topic,
    Values,
    View,
    Words,
    real,
    resting,
    whole,
    word,
    words,
)
from core.descent import Descent, left_window, steps_to
from core.kept import keep
from core.knobs import Value, latex, number
from core.optimizers import OPTIMIZERS, Optimizer
from core.quadratic import LinearTheory, gd_limit
from core.schedules import SCHEDULES
from core.second_order import Reference
from core.surfaces import Stationary, Surface, rotate_start

Array = np.ndarray

_CELLS = 41  # a click is resolved to 1/40 of the window
_ARROW = 0.062  # of the panel's width: the arrow against the gradient shows its direction, not its length
_SHAPE = 0.78  # the panel's usual height over its width
_SHAPES = {  # of stationary points
    "minimum": "cross",
    "maximum": "triangle-up",
    "saddle": "diamond",
    "degenerate": "square",
}
_MARKS = {
    "minimum": "crosses: minima",
    "saddle": "diamonds: saddles",
    "maximum": "triangles: maxima",
    "degenerate": "squares: neither",
}
_SHARED = 3  # conditions at most: noise or mini-batches, clipping, a schedule
_ISOLINES = ((91, 9), (71, 5), (61, 3), (51, 2))  # grids and numbers of isolines, from fine to coarse
_VERTICES = 1500  # more than this a visitor would wait for
_LARGEST = 1600  # pixels of the widest column: half a one of them is as far as an isoline may be off
_SPECK, _SLIVER = 10, 3  # pixels of length and of mean width below which an isoline says nothing
_CROWD = 30  # from so many points on they are drawn small
_LABELED = 40  # more names of points than this would cover the picture
_UNLABELED = (
    2.6,
    4.4,
)  # ends of a log axis without a tick at 1, 2 or 5 of a decade, the ones that have a label
_DROP = 1e-14  # the loss panel ends this far below its start, and 100 times above it


SECTIONS = (
    Section("Step", step_blocks, STEP_KNOBS),
    Section("Curves", curves_blocks, CURVE_KNOBS),
    Section("Fair", fair_blocks, FAIR_KNOBS, fair_shown),
    Section("Rotation", rotation_blocks, ROTATION_KNOBS),
    Section("Basins", basins_blocks, BASIN_KNOBS, clicks={"optimizers/basins": basin_click}),
    Section("Theory", theory_blocks, THEORY_KNOBS, theory_shown),
    Section("Averages", averages_blocks, AVERAGES_KNOBS, averages_shown),
    Section("Batches", batch_blocks, BATCH_KNOBS, batch_shown),
    Section("Landscape", land_blocks, LAND_KNOBS, land_shown),
)


def _layout(values: Values) -> tuple[Group, ...]:
    surface = surface_of(values)
    chosen = words(values, "optimizers")
    edited = word(values, "edit") if values["edit"] in chosen else (chosen[0] if chosen else "")
    typed = ("formula", "extent") if values["surface"] == OWN else ()
    groups = [Group(("surface", *typed, "optimizers", "steps"))]
    if edited:
        first, *others = [own(edited, knob.name) for knob in METHODS[edited].knobs]
        groups += [Group(("edit", first)), Group(tuple(others), _more(edited))]
    twin = word(values, "twin")
    again = tuple(f"twin_{knob.name}" for knob in METHODS[twin].knobs) if twin != NONE else ()
    drawn = ("batch_size",) if surface.samples is not None else ("noise",) if surface.online is None else ()
    clip = ("clip", "clip_at") if values["clip"] != NONE else ("clip",)
    schedule = tuple(f"schedule_{knob.name}" for knob in SCHEDULES[word(values, "schedule")].knobs)
    seed = ("seed",) if noisy(values) else ()
    groups += [
        Group((*(knob.name for knob in surface.knobs), "start_x", "start_y", "points"), "Start and surface"),
        Group((*drawn, *seed, *clip, "schedule", *schedule), "Gradient and schedule"),
        Group(("twin", *again, "convention"), "Compare"),
    ]
    # Knobs of the other chosen optimizers act, so they belong to the link though their controls rest.
    unseen = tuple(own(name, knob.name) for name in chosen if name != edited for knob in METHODS[name].knobs)
    return (*groups, Group(unseen, resting=True), resting(SECTIONS, values))


def _more(edited: str) -> str:
    return f"More of {edited}"


def _presets(values: Values) -> Mapping[str, Mapping[str, Values]]:
    """Offer the edited optimizer's settings as each framework has them, and the rate that suits the surface."""
    chosen = words(values, "optimizers")
    edited = word(values, "edit") if values["edit"] in chosen else (chosen[0] if chosen else "")
    twin, again = word(values, "twin"), {}
    if twin in chosen:
        again = {"Settings of the first run": {f"twin_{k}": v for k, v in settings(twin, values).items()}}
    entry = OPTIMIZERS.get(edited)
    if entry is None:
        return {"Compare": again}
    offered: dict[str, Values] = {
        f"{framework} defaults": {own(edited, name): value for name, value in knobs.items()}
        for framework, knobs in entry.defaults.items()
    }
    offered["Rate for this surface"] = {own(edited, "lr"): suggested(edited, surface_of(values))}
    return {_more(edited): offered, "Compare": again}


def _offers(values: Values) -> Mapping[str, tuple[str, ...]]:
    return {"edit": words(values, "optimizers"), "step_optimizer": tuple(methods(values))}


def _click(point: Mapping[str, float], values: Values) -> dict[str, Value]:
    """Turn a click, in fractions of the window, into a start on a round coordinate."""
    window = surface_of(values).window

    def place(fraction: float, low: float, high: float) -> float:
        grain = 10.0 ** np.floor(np.log10((high - low) / _CELLS))
        return float(np.clip(np.round((low + fraction * (high - low)) / grain) * grain, low, high))

    return {
        "start_x": round(place(point["u"], window[0], window[1]), 6),
        "start_y": round(place(point["v"], window[2], window[3]), 6),
    }


# The specification


def _panel(width: int) -> tuple[int, int]:
    """Return width and height of the picture of the surface, in pixels."""
    left = width - 66 if width < NARROW else round((width - 214) * 0.62)
    return left, min(430, max(260, round(left * _SHAPE)))


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left, tall = _panel(width)
    right = width - 158 if narrow else width - 214 - left

    scrub = alt.param(
        name="scrub",
        value=100,
        bind=alt.binding_range(min=0, max=100, step=1, name="Scrub through the run, % "),
    )
    passed = "datum.step <= ceil(scrub / 100 * datum.last)"
    # A hidden row, of a run of no steps, stays in every view, or a scale without any row would lose its extent.
    dotted = "!datum.border && datum.step % max(1, floor(datum.last / 80)) == 0"
    present = "datum.step == ceil(scrub / 100 * datum.last)"
    here = f"!datum.border && {present}"
    drawn_only = theme.shown("datum.last")
    moving = theme.shown("datum.step < datum.last")
    falling = theme.shown("datum.step < datum.last && datum.downhill >= 0")
    # Scale and axis of the lowest layer hold for all; names of fields would join its titles.
    x, y, hue = alt.X("x:Q", title="x"), alt.Y("y:Q", title="y"), alt.Color("slot:O", legend=None)
    scale, axis = alt.Scale(nice=False, zero=False), alt.Axis(grid=False)
    pick = alt.selection_point(
        name="start", fields=["u", "v"], nearest=True, on="click", empty=False, toggle=False
    )

    picture = (
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(
            x=alt.X("x:Q", title="x", scale=scale, axis=axis),
            x2=alt.X2("x1:Q"),
            y=alt.Y("y:Q", title="y", scale=scale, axis=axis),
            y2=alt.Y2("y1:Q"),
            url=alt.Url("url:N"),
        )
    )
    lines = (
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.6, opacity=0.55, order=False)
        .encode(x=x, y=y, detail=alt.Detail("line:N"), color=theme.ink("muted"))
    )
    ghost = (
        alt.Chart(named("ghost_path"))
        .mark_line(strokeWidth=1.4, opacity=0.6, order=False)
        .encode(x=x, y=y, detail=[alt.Detail("name:N"), alt.Detail("piece:N")], color=theme.ink("muted"))
    )
    path = (
        alt.Chart(named("path"))
        .transform_filter(passed)
        .mark_line(strokeWidth=2, strokeJoin="round", order=False)
        .encode(
            x=x,
            y=y,
            detail=[alt.Detail("name:N"), alt.Detail("piece:N")],
            color=theme.color(),
            strokeDash=theme.dash(),
        )
    )
    dots = (
        alt.Chart(named("path"))
        .transform_filter(f"{dotted} && {passed}")
        .mark_point(filled=True, size=9)
        .encode(x=x, y=y, color=hue, opacity=drawn_only)
    )
    now = (
        alt.Chart(named("path"))
        .transform_filter(here)
        .mark_point(filled=True, size=140)
        .encode(
            x=x,
            y=y,
            color=hue,
            opacity=drawn_only,
            tooltip=[
                alt.Tooltip("name:N", title="optimizer"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("x:Q", format=".5~g"),
                alt.Tooltip("y:Q", format=".5~g"),
            ],
        )
    )
    # Angles come in tenths of a degree, as they are in a panel of the usual shape; this one may be flatter.
    flat = tall / left / _SHAPE

    def up(angle: str) -> str:
        return f"cos(datum.{angle} * PI / 1800)"

    def right_of(angle: str) -> str:
        return f"sin(datum.{angle} * PI / 1800)"

    def arrows(angle: str = "") -> alt.Chart:
        chart = alt.Chart(named("path")).transform_filter(here)
        turn = f"atan2({right_of(angle)}, {up(angle)} * {flat}) * 180 / PI"
        return chart.transform_calculate(turn=turn) if angle else chart

    circle = alt.Scale(domain=[0, 360], range=[0, 360])
    turned = alt.Angle("turn:Q", scale=circle)
    aside = alt.expr(f"{right_of('downhill')} * {_ARROW * left}")
    above = alt.expr(f"{up('downhill')} * {-_ARROW * tall / _SHAPE}")
    gradient = (
        arrows()
        .mark_rule(strokeWidth=1.2, strokeDash=[3, 2], x2Offset=aside, y2Offset=above)
        .encode(x=x, y=y, x2=alt.X2("x:Q"), y2=alt.Y2("y:Q"), color=theme.ink("ink"), opacity=falling)
    )
    gradient_tip = (
        arrows("downhill")
        .mark_point(shape="triangle", filled=True, size=34, xOffset=aside, yOffset=above)
        .encode(x=x, y=y, angle=turned, color=theme.ink("ink"), opacity=falling)
    )
    move = (
        arrows()
        .mark_rule(strokeWidth=2.6, clip=True)
        .encode(x=x, y=y, x2=alt.X2("next_x:Q"), y2=alt.Y2("next_y:Q"), color=hue, opacity=moving)
    )
    move_tip = (
        arrows("ahead")
        .mark_point(shape="triangle", filled=True, size=60, clip=True)
        .encode(x=alt.X("next_x:Q"), y=alt.Y("next_y:Q"), angle=turned, color=hue, opacity=moving)
    )
    # The ground's color around the letters, so that a path does not cross them out; a stroke has the color of its fill.
    # Names need room; the marks of where paths leave come on every width.
    names = [
        alt.Chart(named("names"))
        .mark_text(
            fontSize=theme.SMALL_SIZE,
            fontWeight=600,
            filled=filled,
            strokeWidth=4,
            strokeJoin="round",
        )
        .encode(
            x=x,
            y=y,
            text=alt.Text("label:N"),
            color=color,
            opacity=theme.shown(passed if width >= ROOMY else f"datum.label[0] == '×' && {passed}"),
        )
        for filled, color in ((False, theme.ink("paper")), (True, hue))
    ]
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values())), legend=None
    )
    told = [
        alt.Tooltip("label:N", title="point"),
        alt.Tooltip("x:Q", format=".6~g"),
        alt.Tooltip("y:Q", format=".6~g"),
        alt.Tooltip("value:Q", title="f", format=".6~g"),
    ]
    start = (
        alt.Chart(named("start"))
        .mark_point(shape="circle", size=130, strokeWidth=2, filled=False)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    # Above the dots, one of which may end on it, a mark keeps clear of them by a rim of the ground's color.
    points = [
        alt.Chart(named("points"))
        .mark_point(filled=filled, strokeWidth=2, size=alt.expr("datum.size"))
        .encode(
            x=x,
            y=y,
            color=theme.ink(use),
            opacity=theme.SHOWN,
            **more,
        )
        for filled, use, more in (
            (False, "paper", {"shape": shape, "angle": alt.Angle("angle:Q")}),
            (True, "ink", {"shape": alt.Shape("kind:N"), "angle": alt.Angle("angle:Q"), "tooltip": told}),
        )
    ]
    point_names = [
        alt.Chart(named("points"))
        .mark_text(
            align=alt.expr("datum.outward ? 'left' : 'right'"),
            dx=alt.expr("datum.outward ? 8 : -8"),
            dy=-8,
            fontSize=theme.SMALL_SIZE,
            filled=filled,
            strokeWidth=4,
            strokeJoin="round",
        )
        .encode(
            x=x, y=alt.Y("name_y:Q"), text=alt.Text("point_name:N"), color=theme.ink(use), opacity=theme.SHOWN
        )
        for filled, use in ((False, "paper"), (True, "ink"))
    ]
    # Side by side where there is room, else one above the other.
    said = ["left"] if width >= ROOMY else [f"left{k}" for k in range(_SHARED)]
    conditions = [
        alt.Chart(named("titles"))
        .transform_filter(f"datum.panel == '{name}' && datum.text != ''")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(
            x=compose.at_x(0), y=compose.at_y(-8 - 17 * k), text=alt.Text("text:N"), color=theme.ink("ink")
        )
        for k, name in enumerate(said)
    ]
    cells = alt.sequence(0, _CELLS * _CELLS, as_="i")
    click = (
        alt.Chart(cells)
        .transform_calculate(
            u=f"(datum.i % {_CELLS}) / {_CELLS - 1}", v=f"floor(datum.i / {_CELLS}) / {_CELLS - 1}"
        )
        .mark_point(opacity=0, size=60, tooltip=None)
        .encode(
            x=alt.X("u:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
            y=alt.Y("v:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
        )
        .properties(name="clicks")
    )
    drawn = compose.layer(
        *(picture, lines, ghost, path, dots, start),
        *(gradient, gradient_tip, move, move_tip, now, *points, *point_names, *names, *conditions),
    )
    apart = {"x": "independent", "y": "independent"}
    surface = compose.layer(drawn, click, resolve=apart, width=left, height=tall, name="surface")

    first_step = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, labelPadding=CLEAR),
    )
    gap = alt.Y(
        "gap:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=6, labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, labelPadding=CLEAR),
    )
    step, level = alt.X("step:Q", title="step"), alt.Y("gap:Q", title=None)  # as the first layer has them
    curve_ghost = (
        alt.Chart(named("ghost_curve"))
        .mark_line(strokeWidth=1.4, opacity=0.6, clip=True)
        .encode(
            x=first_step,
            y=gap,
            detail=[alt.Detail("name:N"), alt.Detail("piece:Q")],
            color=theme.ink("muted"),
        )
    )
    curve = (
        alt.Chart(named("curve"))
        .mark_line()
        .encode(
            x=step,
            y=level,
            detail=[alt.Detail("name:N"), alt.Detail("piece:Q")],
            color=theme.color(),
            strokeDash=theme.dash(),
        )
    )
    exact = (
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT)
        .encode(x=step, y=level, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    marker = (
        alt.Chart(named("curve"))
        .transform_filter(f"!datum.last || {present}")
        .mark_point(filled=True, size=70)
        .encode(
            x=step,
            y=level,
            color=hue,
            opacity=drawn_only,
            tooltip=[
                alt.Tooltip("name:N", title="optimizer"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("gap:Q", format=".4~g"),
            ],
        )
    )
    ends = (
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
        .encode(x=step, y=level, text=alt.Text("label:N"), color=hue)
    )
    heading = (
        alt.Chart(named("titles"))
        .transform_filter("datum.panel == 'right'")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=compose.at_x(0), y=compose.at_y(-8), text=alt.Text("text:N"), color=theme.ink("ink"))
    )
    loss = compose.layer(
        *(curve_ghost, curve, exact, marker, ends, heading), width=right, height=tall, name="loss"
    )
    join = compose.below if narrow else compose.beside
    params = [compose.parameter(pick, "clicks"), compose.parameter(scrub)]
    return once(assemble(join(surface, loss, resolve={"color": "shared"}), theme.config(), params))


# The run


@keep(entries=64)
def _background(key: tuple[tuple[str, Value], ...]) -> tuple[Frame, Frame]:
    """Draw a surface: the raster as one row, the isolines as vertices."""
    surface, settings = surface_of(dict(key)), surface_settings(dict(key))

    def levels(size: int) -> tuple[Array, Array, Array]:
        x, y, points = raster.grid(surface.window, size)
        values = surface.f(points, **settings)
        # Outside the box that points are held in, a surface may be lower than its best point.
        best = None if surface.box is not None else surface.infimum
        finite = values[np.isfinite(values)]
        lowest = float(finite.min(initial=np.inf)) if best is None else best
        return x, y, raster.depth(values, lowest)

    shade = raster.image(levels(161)[2])
    window = surface.window
    picture = rows(url=[shade], x=window[0], x1=window[1], y=window[2], y1=window[3])
    within = 0.5 * np.array([window[1] - window[0], window[3] - window[2]]) / _panel(_LARGEST)
    for size, count in _ISOLINES:
        x, y, line = raster.isolines(*levels(size), count, within)
        if len(x) <= _VERTICES:
            break
    x, y, line = _seen(x, y, line, window)
    if surface.box is not None:
        low, high = surface.box
        x, y = np.append(x, [low, high, high, low, low]), np.append(y, [low, low, high, high, low])
        line = np.append(line, np.full(5, line.max(initial=-1) + 1))
    if not len(x):
        x, y, line = np.mean(window[:2], keepdims=True), np.mean(window[2:], keepdims=True), np.zeros(1, int)
    return picture, rows(x=np.float32(x), y=np.float32(y), line=_short(line))


def _seen(x: Array, y: Array, line: Array, window: raster.Window) -> tuple[Array, Array, Array]:
    """Leave out isolines that are only specks, and closed ones that a grid finds along a valley too narrow for it."""
    if not len(x):
        return x, y, line
    width, height = _panel(WIDE)
    px = x * width / (window[1] - window[0]), y * height / (window[3] - window[2])
    (dx, dy), joined = np.diff(px), np.diff(line) == 0
    count = int(line.max()) + 1
    length = np.bincount(line[1:][joined], np.hypot(dx, dy)[joined], count)
    first, last = np.searchsorted(line, range(count)), np.searchsorted(line, range(count), "right") - 1
    along = np.bincount(line[1:][joined], (px[0][:-1] * dy - px[1][:-1] * dx)[joined], count)
    area = np.abs(along + px[0][last] * px[1][first] - px[1][last] * px[0][first]) / 2
    closed = (
        np.hypot(px[0][first] - px[0][last], px[1][first] - px[1][last]) < _SPECK
    )  # or turns back at the border
    kept = (length >= _SPECK) & ~(closed & (2 * area < _SLIVER * length))
    left = kept[line]
    return x[left], y[left], (np.cumsum(kept) - 1)[line[left]]


def _short(numbers: Array) -> Array:
    """Return whole numbers from 0 on in as few bytes as hold them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


class _Drawn(NamedTuple):
    """What one run puts into the figure, as rows of its data sets; None where there is nothing to draw.

    ``end`` is the label of its curve and the height it stands at, ``named`` what placing its name takes.
    """

    path: Part | None
    exit: Part | None
    curve: Part | None
    end: tuple[str, float]
    theory: Array | None
    named: labels.Path | None


@keep(entries=256)
def _drawn(key: RunKey, label: str, style: theme.Style) -> _Drawn:
    """Draw one run: it stays as it is while the others move."""
    result, values = run_of(key), dict(key[2])
    surface, steps = surface_of(values), whole(values, "steps")
    path, exit_ = _path_rows(label, style, result, surface, steps)
    curve, end = _curve_rows(label, style, result, surface, steps)
    named_ = None
    if path is not None:
        x, y, step, piece = (np.asarray(path[name]) for name in ("x", "y", "step", "piece"))
        named_ = labels.Path(label, x, y, step, labels.trace(x, y, piece, surface.window))
    return _Drawn(path, exit_, curve, end, _exact(key), named_)


def _path_rows(
    label: str, style: theme.Style, result: Descent, surface: Surface, steps: int
) -> tuple[Part | None, Part | None]:
    """Cut a path at the window: its rows, with the next step and the way down, and a row for the first exit."""
    points, step, piece, border = raster.clip_path(result.path, surface.window)
    if not len(points):
        return None, None
    path: Part = {
        "x": points[:, 0],
        "y": points[:, 1],
        **_arrows(points, step, border, result, surface.window),
        "step": _short(step),
        "piece": _short(piece),
        "border": border,
        "name": label,
        "slot": np.int8(style.slot),
        "dash": np.int8(style.dash),
        "last": _short(np.array(steps)),
    }
    # A border point is an exit where a piece ends; where a piece begins, the path comes in.
    first = np.flatnonzero(border & np.append(np.diff(piece) != 0, True))[:1]
    if not len(first):
        return path, None
    exit_: Part = {
        "x": points[first, 0],
        "y": points[first, 1],
        "label": np.array([f"× {step[i]}" for i in first], str),
        "slot": np.int8(style.slot),
        "step": np.int16(step[first]),
        "last": np.int16(steps),
    }
    return path, exit_


def _apart(exits: Part, window: tuple[float, float, float, float]) -> Part:
    """Move the marks of paths that leave through the same border apart along it."""
    x, y = np.array(exits["x"], float), np.array(exits["y"], float)
    for along, across, low, high, gap, borders in (
        (x, y, *window[:2], 0.075, window[2:]),
        (y, x, *window[2:], 0.05, window[:2]),
    ):
        for border in borders:
            there = np.flatnonzero(across == border)
            along[there] = spread(along[there], gap * (high - low), low, high)
    return {**exits, "x": x, "y": y}


def _arrows(points: Array, step: Array, border: Array, result: Descent, window: raster.Window) -> Part:
    """Return where the steps from the points of a path lead, and the angles of the arrows, as a screen needs them."""
    low, high = np.reshape(window, (2, 2)).T
    span = (high - low) * [1, 1 / _SHAPE]  # x and y in units of the panel's width
    with np.errstate(over="ignore", invalid="ignore"):
        ahead = result.path[np.minimum(step + 1, len(result.path) - 1)]
        ahead = np.where(np.isfinite(ahead) & ~border[:, None], ahead, points)
        slope = -result.gradient[step] / np.abs(result.gradient[step]).max(axis=1, keepdims=True)
        slope, move = np.nan_to_num(slope / span), np.nan_to_num((ahead - points) / span)
    # A step out of the picture ends at its border.
    far = raster.shorten(points, ahead, window).astype(np.float32)
    level = (slope == 0).all(axis=1)  # no way down
    return {
        "next_x": far[:, 0],
        "next_y": far[:, 1],
        "downhill": np.where(level, np.int16(-1), _tenths(slope)),
        "ahead": _tenths(move),
    }


def _tenths(ways: Array) -> Array:
    """Return the angles of vectors (n, 2), clockwise from upward, in tenths of a degree from 0 on."""
    degrees = np.degrees(np.arctan2(ways[:, 0], ways[:, 1]))
    tenths: Array = np.round(10 * degrees).astype(np.int16) % np.int16(3600)
    return tenths


def _height(result: Descent, surface: Surface) -> Array:
    """Return what the right panel draws: f − f*, or the length of the gradient where f has no minimum."""
    if surface.infimum is None:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.hypot(result.gradient[..., 0], result.gradient[..., 1])
    return result.value - surface.infimum


def _curve_rows(
    label: str, style: theme.Style, result: Descent, surface: Surface, steps: int
) -> tuple[Part | None, tuple[str, float]]:
    """Return a curve of the right panel, down to where its log axis ends, and its name at the end with the height."""
    height = _height(result, surface)
    begin = float(height[0])
    begin = begin if np.isfinite(begin) and begin > 0 else 1.0
    step = np.flatnonzero(np.isfinite(height) & (height >= begin * _DROP) & (height <= begin * 100))
    if not len(step):
        return None, ("", begin)
    gap = height[step]
    curve: Part = {
        "step": _short(step),
        "gap": gap,
        "piece": _short(np.cumsum(np.diff(step, prepend=step[0]) > 1)),
        "name": label,
        "slot": np.int8(style.slot),
        "dash": np.int8(style.dash),
        "last": _short(np.array(steps)),
    }
    last, end = int(step[-1]), int(result.diverged_at)
    # An arrow says that the run goes on beyond the panel, and the step that takes it there.
    beyond = len(height) > last + 1 and height[last + 1] > gap[-1]
    sign = f"∞{end}" if end == last + 1 else f"{'↑' if beyond else '↓'}{last + 1}"
    return curve, (label if last == steps else f"{label} {sign}", float(gap[-1]))


class _Panel(NamedTuple):
    """The right panel: its data sets, the ends of its axis, and the names at the ends of its curves."""

    curve: Frame
    ends: Frame
    low: float
    high: float
    labels: tuple[str, ...]


def _curves(drawn: Sequence[tuple[theme.Style, _Drawn]], steps: int) -> _Panel:
    """Put the curves of all runs into one panel."""
    found = [(style, each, each.curve) for style, each in drawn if each.curve is not None]
    if not found:
        empty = rows(
            step=np.array([0, steps]), gap=np.array(_UNLABELED), piece=np.array([0, 1]), name="", slot=theme.MUTED,
            dash=0, last=0,
        )  # fmt: skip
        ends = rows(step=np.array([0, steps]), gap=np.array(_UNLABELED), label="", slot=theme.MUTED)
        return _Panel(empty, ends, *_UNLABELED, ())
    first = found[0][2]
    hidden: Part = {**first, **{k: np.asarray(first[k])[:1] for k in ("step", "gap", "piece")}}
    gaps = [np.asarray(curve["gap"]) for _, _, curve in found]
    low, high = float(min(gap.min() for gap in gaps)), float(max(gap.max() for gap in gaps))
    bottom, top = float(np.log10(low)), float(np.log10(high))
    placed = spread(
        np.log10([each.end[1] for _, each, _ in found]), 0.052 * max(top - bottom, 0.5), bottom, top
    )
    labels = tuple(each.end[0] for _, each, _ in found)
    return _Panel(
        rows(*(curve for _, _, curve in found), {**hidden, "name": "", "last": np.uint8(0)}),
        rows(
            step=np.full(len(found), steps, np.int16),
            gap=10.0**placed,
            label=labels,
            slot=np.array([style.slot for style, _, _ in found], np.int8),
        ),
        low,
        high,
        labels,
    )


def _theory(method: Method) -> LinearTheory | None:
    """Return the closed forms of a method, which decay and dampening spoil."""
    return _linear(method.entry, method.settings)


def _linear(entry: Optimizer | Reference, knobs: Mapping[str, float | bool]) -> LinearTheory | None:
    plain = not knobs.get("weight_decay") and not knobs.get("dampening") and knobs.get("momentum", 0.0) < 1
    return entry.linear if plain and isinstance(entry, Optimizer) else None


def _exact(key: RunKey) -> Array | None:
    """Return the closed-form loss of a run at every step, for the rules and surfaces that have one."""
    name, knobs, shared = key
    values = dict(shared)
    bowl, theory = quadratic(values), _linear(METHODS[name], dict(knobs))
    if bowl is None or theory is None or surface_of(values).infimum is None or conditions(values):
        return None
    along = (start_of(values) - bowl.center) @ bowl.eigenvectors
    path = theory.path(bowl.eigenvalues, along, whole(values, "steps"), dict(knobs))
    with np.errstate(over="ignore"):
        exact: Array = 0.5 * (path**2 @ bowl.eigenvalues)
    return exact


def _theory_rows(exact: Mapping[str, Array], panel: _Panel) -> Frame:
    """Keep the closed form where the panel shows the run it belongs to."""
    low, high = panel.low * 0.5, panel.high * 2
    parts: list[Part] = []
    for gap in exact.values():
        kept = np.isfinite(gap) & (gap >= low) & (gap <= high)
        # Some thirty dots a line keep the run visible below its theory.
        kept &= np.arange(len(gap)) % max(1, len(gap) // 30) == 0
        step = np.flatnonzero(kept)
        if len(step):
            parts.append({"step": _short(step), "gap": gap[kept], "shown": True})
    return rows(*parts) if parts else rows(step=[0], gap=float(panel.curve.numbers("gap")[0]), shown=False)


# The figure and its words


def _events(results: Mapping[str, Descent], surface: Surface, values: Values) -> tuple[str, ...]:
    """Name what a path does beyond the picture: leaving the window, overflowing, standing still."""
    window = np.reshape(surface.window, (2, 2))
    if not results:
        return ("Choose at least one optimizer to see its path.",)
    events = []
    for name, result in results.items():
        left = int(left_window(result.path, window))
        overflow = int(result.diverged_at)
        if overflow == 0:
            events.append(f"**{name}** cannot start: the loss at the start is not a finite number.")
        elif overflow > 0:
            before = ""
            if 0 <= left < overflow:
                before = f"leaves the window at step {left}, " if left else "starts outside the window, "
            events.append(
                f"**{name} diverges**: {before}is no longer a finite number from step {overflow} on."
            )
        elif left == 0:
            events.append(f"**{name}** starts outside the window.")
        elif left > 0:
            x, y = result.path[-1]
            back = bool(np.all((result.path[-1] >= window[:, 0]) & (result.path[-1] <= window[:, 1])))
            where = "and is back inside at the end" if back else f"and ends at ({number(x)}, {number(y)})"
            events.append(f"**{name} leaves the window at step {left}** {where}.")
        elif np.all(result.gradient[0] == 0):
            events.append(f"**{name}** does not move: the gradient at the start is exactly 0.")
    return tuple(events)


def _reached(finite: Mapping[str, Descent], surface: Surface) -> list[str]:
    """Say which of several minima each run has come to, with its height above the lowest."""
    if len(surface.minima) < 2:
        return []
    near = 0.02 * (surface.window[1] - surface.window[0])
    parts = []
    for k, minimum in enumerate(surface.minima):
        there = [
            name
            for name, result in finite.items()
            if distance(result.path[-1], surface) < near
            and k == np.argmin([math.dist(result.path[-1], m.point) for m in surface.minima])
        ]
        if there:
            above = minimum.value - (surface.infimum or 0.0)
            height = (
                f", {number(above)} above the lowest" if surface.infimum is not None and above > 0 else ""
            )
            x, y = minimum.point
            parts.append(f"{', '.join(there)} at ({number(x)}, {number(y)}){height}")
    return [f"Near a minimum: {'; '.join(parts)}."] if parts else []


def _reading(results: Mapping[str, Descent], exact: Mapping[str, Array], values: Values) -> str:
    surface = surface_of(values)
    steps = whole(values, "steps")
    if not results:
        return "No optimizer is chosen, so no path is drawn."
    sentences = []
    finite = {n: r for n, r in results.items() if r.diverged_at < 0}
    ahead = {name: float(r.value[-1]) - (surface.infimum or 0.0) for name, r in finite.items()}
    if finite and surface.targets and all(m.isolated for m in surface.minima):
        left = sorted((float(distance(r.path[-1], surface)), n) for n, r in finite.items())
        listed = ", ".join(f"{name} {number(d)}" for d, name in left)
        where = "the nearest minimum" if surface.minima else "the best point of the box"
        sentences.append(f"Distance to {where} after {steps} steps: {listed}.")
        sentences += _reached(finite, surface)
    elif finite:
        listed = ", ".join(f"{name} {number(h)}" for h, name in sorted((h, n) for n, h in ahead.items()))
        what = "f − f*" if surface.infimum is not None else "Loss"
        more = "" if surface.infimum is not None else "; this surface has no minimum"
        sentences.append(f"{what} after {steps} steps: {listed}{more}.")
    if not finite:
        sentences.append(f"No run has finite numbers to the end of {steps} steps.")
    if surface.infimum is not None:
        target = 0.01
        reached = []
        for name, result in results.items():
            height = result.value - surface.infimum
            step = int(steps_to(height, target * height[0])) if np.isfinite(height[0]) else -1
            if step > 0:
                reached.append((step, name))
        if reached:
            step = min(reached)[0]
            first_ = [name for at, name in reached if at == step]
            does = (
                "brings"
                if len(results) == 1
                else "is first to bring"
                if len(first_) == 1
                else "are first to bring"
            )
            sentences.append(f"{' and '.join(first_)} {does} f − f* to 1% of its start, at step {step}.")
    bowl = quadratic(values)
    gd = methods(values).get("GD")
    known = bowl is not None and bowl.eigenvalues[0] > 0 and not conditions(values)
    # A start without any steep component never meets the limit.
    if bowl is not None and known:
        known = bool(abs((start_of(values) - bowl.center) @ bowl.eigenvectors[:, 1]) > 0)
    if known and bowl is not None and gd is not None and _theory(gd) is not None:
        limit = float(gd_limit(bowl.eigenvalues[-1]))
        lr = gd.settings["lr"]
        verdict = "converges" if lr < limit else "cannot converge"
        sentences.append(
            f"GD {verdict}: its learning rate {number(lr)} is {number(lr / limit)} of the limit 2/λ₂ = "
            f"{number(limit)}."
        )
    clipped = {n: int(np.sum(np.any(r.raw != r.gradient, axis=-1)[:-1])) for n, r in results.items()}
    if values["clip"] != NONE:
        counts = ", ".join(f"{name} {count}" for name, count in clipped.items())
        sentences.append(f"Steps of {steps} in which the gradient was clipped: {counts}.")
    gaps = [
        float(np.max(np.abs(gap - (results[n].value - (surface.infimum or 0.0))) / (1 + np.abs(gap))))
        for n, gap in exact.items()
        if np.isfinite(gap).all() and results[n].diverged_at < 0
    ]
    if gaps:
        sentences.append(
            f"Dots are the closed form ({', '.join(exact)}); the runs stay within {number(max(gaps), 2)} of it."
        )
    return " ".join(sentences)


def _free_places(
    points: Sequence[Stationary], names: Sequence[str], surface: Surface
) -> list[tuple[bool, float]]:
    """Return on which side and at what height the names of points stand, so that none covers another: the nearest free.

    Returns:
        for each point, whether its name stands on the right of it, and at which y.
    """
    low_x, high_x, low_y, high_y = surface.window
    wide, tall = (high_x - low_x) * 0.0125, (high_y - low_y) * 0.042
    # Marks are in the way of names, too.
    placed = [(p.point[0] - wide, p.point[0] + wide, p.point[1] - tall * 0.45) for p in points]
    found = []
    for point, name in zip(points, names, strict=True):
        x, y = point.point
        inner = x <= (low_x + high_x) / 2
        candidates = [
            (shift, side) for shift in sorted(range(-12, 13), key=abs) for side in (inner, not inner)
        ]
        for shift, right in candidates:
            begin = x + wide if right else x - wide * (len(name) + 1)
            end, at = begin + wide * len(name), y + shift * tall
            if (
                low_x <= begin
                and end <= high_x
                and low_y <= at <= high_y
                and not any(
                    abs(at - other) < tall * 0.95 and begin < last and end > first
                    for first, last, other in placed
                )
            ):
                break
        placed.append((begin, end, at))
        found.append((right, at))
    return found


@keep(entries=64)
def _points(key: tuple[tuple[str, Value], ...], every: bool) -> tuple[Frame, frozenset[str]]:
    """Return the listed minima inside the window, or all stationary points with what they are and their height.

    Returns:
        their rows, and the kinds among them.
    """
    surface = surface_of(dict(key))
    low_x, high_x, low_y, high_y = surface.window
    found = [
        p
        for p in surface.stationary
        if (every or p.kind == "minimum") and low_x <= p.point[0] <= high_x and low_y <= p.point[1] <= high_y
    ]
    if not found:
        center = ((low_x + high_x) / 2, (low_y + high_y) / 2)
        hidden = rows(
            x=[center[0]], y=center[1], value=0.0, kind="minimum", angle=np.int8(45), size=np.int8(24),
            name_y=center[1], label="", point_name="", outward=True, shown=False,
        )  # fmt: skip
        return hidden, frozenset()
    labels = [("global " if p.is_global else "local " if p.kind == "minimum" else "") + p.kind for p in found]
    named_ = every and len(found) <= _LABELED
    names = [f"{p.kind} {number(p.value)}" if named_ else "" for p in found]
    places = _free_places(found, names, surface) if named_ else [(True, p.point[1]) for p in found]
    drawn = rows(
        x=[p.point[0] for p in found],
        y=[p.point[1] for p in found],
        value=[p.value for p in found],
        kind=[p.kind for p in found],
        size=np.int8(60 if len(found) < _CROWD else 36),
        name_y=[height for _, height in places],
        angle=np.array([45 if p.kind == "minimum" else 0 for p in found], np.int8),
        label=labels,
        point_name=names,
        outward=[right for right, _ in places],
        shown=True,
    )
    return drawn, frozenset(p.kind for p in found)


def _key(start: bool, kinds: frozenset[str], paths: bool, exits: bool, ends: str, exact: bool) -> str:
    """Say what the marks mean, of those that the picture has; ``ends`` holds the names at the ends of the curves."""
    said = [name for kind, name in _MARKS.items() if kind in kinds]
    parts = [
        "Ring: start." if start else "",
        f"{'; '.join(said).capitalize()}." if said else "",
        "Big dots: the last step." if paths else "",
        "× with a number: the step at which a path leaves the window." if exits else "",
        "↑ or ↓ with a number: the step at which a curve leaves its panel."
        if "↑" in ends or "↓" in ends
        else "",
        "∞ with a number: the step from which a run is no longer finite." if "∞" in ends else "",
        "Small dots on curves: closed form." if exact else "",
    ]
    return " ".join(filter(None, parts))


def _with_hidden(parts: Sequence[Part], hidden: Part) -> Frame:
    """Put rows one below the other, and below them one that draws nothing: a data set is never empty."""
    one = {name: np.array([value]) for name, value in hidden.items()}
    if not parts:
        return rows(one)
    first = parts[0]
    typed = {name: one[name].astype(np.asarray(first[name]).dtype) for name in first if name != "name"}
    return rows(*parts, {name: typed.get(name, hidden[name]) for name in first})


def _figure(values: Values, shown: Mapping[str, Method], drawn: Mapping[str, _Drawn]) -> Figure:
    surface = surface_of(values)
    window, steps, key = surface.window, whole(values, "steps"), surface_key(values)
    picture, isolines = _background(key)
    points, kinds = _points(key, bool(values["points"]))
    x, y = real(values, "start_x"), real(values, "start_y")
    exits = [each.exit for each in drawn.values() if each.exit is not None]
    exact = {label: each.theory for label, each in drawn.items() if each.theory is not None}
    panel = _curves([(shown[label].style, each) for label, each in drawn.items()], steps)
    center = {"x": (window[0] + window[1]) / 2, "y": (window[2] + window[3]) / 2}
    muted = np.int8(theme.MUTED)
    start_inside = window[0] <= x <= window[1] and window[2] <= y <= window[3]
    shared = conditions(values)
    title = "f − f*, log scale" if surface.infimum is not None else "‖∇f‖, log scale (f has no minimum)"
    marked = " All listed stationary points are marked." if values["points"] else ""
    listed = "; ".join(describe(method) for method in shown.values()) or "No optimizer"
    path = _with_hidden(
        [each.path for each in drawn.values() if each.path is not None],
        {
            **center,
            "next_x": center["x"],
            "next_y": center["y"],
            "downhill": 0,
            "ahead": 0,
            "step": 0,
            "piece": 0,
            "border": False,
            "name": "",
            "slot": muted,
            "dash": np.int8(0),
            "last": 0,
        },
    )
    return Figure(
        name="optimizers/trajectories",
        build=_spec,
        data={
            "raster": picture,
            "isolines": isolines,
            "path": path,
            "names": _names(drawn, shown, values, points),
            "start": rows(x=[x], y=y, shown=True) if start_inside else rows(**center, shown=[False]),
            "points": points,
            "theory": _theory_rows(exact, panel),
            "titles": _titles(title, tuple(shared)),
            "curve": panel.curve,
            "ends": panel.ends,
            "ghost_path": first_row(path, ("x", "y", "piece", "name")),
            "ghost_curve": first_row(panel.curve, ("step", "gap", "piece", "name")),
        },
        title=f"Paths on {surface.name}",
        caption=(
            f"{place(values)}; {steps} steps. {listed}. {stated(values)}{marked} "
            "Learning rates chosen for this picture, not tuned fairly."
        ),
        key=_key(start_inside, kinds, bool(drawn), bool(exits), "".join(panel.labels), bool(exact)),
        hint="Click the surface to move the start. Scrubbing takes the big dots back along the runs, with the next step as an "
        "arrow and the direction of −g as a dashed one. Fair, below, tunes the learning rates.",
        play=True,
        alt="Left: paths of the chosen optimizers over a loss surface. Right: how far above the minimum they are.",
        ghosts={"ghost_path": "path", "ghost_curve": "curve"},
        click="start",
    )


def _names(drawn: Mapping[str, _Drawn], shown: Mapping[str, Method], values: Values, points: Frame) -> Frame:
    """Mark where paths leave, and place their names; where the points have names, the paths have none."""
    window, steps = surface_of(values).window, whole(values, "steps")
    leaving = [each.exit for each in drawn.values() if each.exit is not None]
    parts = [_apart(_below(leaving), window)] if leaving else []
    paths = [] if values["points"] else [each.named for each in drawn.values() if each.named is not None]
    known = points.made
    marked = [(np.asarray(part["x"]), np.asarray(part["y"])) for part in (known, *parts)]
    marks = np.concatenate([start_of(values)[None], *(np.stack(both, axis=1) for both in marked)])
    inside = (marks >= window[::2]).all(axis=1) & (marks <= window[1::2]).all(axis=1)
    for path, free in zip(paths, labels.place_names(paths, marks[inside], window), strict=True):
        if free is not None:
            parts.append(
                {
                    "x": np.array([free.x]),
                    "y": free.y,
                    "label": path.name,
                    "slot": np.int8(shown[path.name].style.slot),
                    "step": np.int16(free.step),
                    "last": np.int16(steps),
                }
            )
    if not parts:
        x, y = np.mean(window[:2]), np.mean(window[2:])
        return rows(x=[x], y=y, label="", slot=np.int8(theme.MUTED), step=np.int16(0), last=np.int16(steps))
    return rows(*parts)


def _below(parts: Sequence[Part]) -> Part:
    """Put the columns of several parts one below the other."""
    return {
        name: np.concatenate(
            [np.broadcast_to(np.asarray(part[name]), np.asarray(part["x"]).shape) for part in parts]
        )
        for name in parts[0]
    }


@keep(entries=64)
def _titles(panel: str, shared: tuple[str, ...]) -> Frame:
    """Return what stands above the panels: side by side, and line by line from below."""
    return rows(
        text=[panel, "; ".join(shared), *shared[::-1], *[""] * (_SHARED - len(shared))],
        panel=["right", "left", *(f"left{k}" for k in range(_SHARED))],
    )


def _vector(value: Array) -> str:
    """Write a vector for a formula."""
    return "(" + r",\ ".join(latex(float(v)).strip("()") for v in value) + ")"


def _why(values: Values, results: Mapping[str, Descent]) -> str:
    surface = surface_of(values)
    lines = [
        f"The surface is $f(x, y) = {surface.formula}$ ({surface.source}). {surface.note}",
    ]
    if results:
        lines.append(
            "A rule sees the gradient at the point where it stands, Newton the curvature too, and moves by its own step:"
        )
    bowl, shared, framework = quadratic(values), conditions(values), word(values, "convention")
    if shared:
        lines.append(f"All gradients and learning rates here: {'; '.join(shared)}.")
    for name, method in methods(values).items():
        entry, result = method.entry, results[name]
        first, move = result.gradient[0], result.path[1] - result.path[0]
        forms = getattr(entry, "conventions", {})
        if framework in forms:
            said = (
                f"The formula is PyTorch's; {framework} has another: {in_symbols(forms[framework], entry)}."
            )
        else:
            said = f"{in_symbols(entry.convention, entry)}."
        if method.settings.get("dampening"):
            said += (
                r" Dampening $\tau$ leaves the velocity the share $1-\tau$ of every gradient after the first."
            )
        decay = method.settings.get("weight_decay")
        if decay and r"\lambda" not in entry.update_rule:
            said += f" The formula leaves out the weight decay of {number(float(decay))} that this run has."
        numbers_ = (
            f"At the start $g = {_vector(first)}$ and the first step is ${_vector(move)}$."
            if np.isfinite([first, move]).all()
            else "At the start there is no finite step."
        )
        lines.append(
            f"**{name}** ({describe(method).removeprefix(name).strip()}): "
            f"${rule_as_set(entry.update_rule, method.settings)}$  \n{numbers_} {said}"
        )
        linear = _theory(method)
        if bowl is not None and bowl.eigenvalues[0] > 0 and linear is not None and not shared:
            limit = float(linear.limit(float(bowl.eigenvalues[-1]), method.settings))
            rate = linear.rates(bowl.eigenvalues, method.settings)
            lines.append(
                f"On this quadratic with $\\lambda = {_vector(bowl.eigenvalues)}$ it "
                f"converges for learning rates below ${linear.formula} = {latex(limit)}$. In the long run the two "
                f"eigencomponents are multiplied by {number(rate[0], 4)} and {number(rate[1], 4)} a step."
            )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Run the chosen optimizers and draw them."""
    shown, keys = methods(values), run_keys(values)
    drawn = {label: _drawn(key, label, shown[label].style) for label, key in keys.items()}
    return View(
        figure=_figure(values, shown, drawn),
        say=lambda: _words(values, {label: run_of(key) for label, key in keys.items()}, drawn),
        tabs=tuple(section.tab(values) for section in SECTIONS),
        programs=lambda: programs(values) if has_text(values) else (),
    )


def _words(values: Values, results: Mapping[str, Descent], drawn: Mapping[str, _Drawn]) -> Words:
    exact = {label: each.theory for label, each in drawn.items() if each.theory is not None}
    return Words(
        _reading(results, exact, values), _why(values, results), _events(results, surface_of(values), values)
    )


_TAB_KNOBS = tuple(knob for section in SECTIONS for knob in section.knobs)

# The mirror image of the canonical start, somewhat nearer: turned, all four paths stay in the window. The number of
# steps a linear rule needs depends on neither.
_TURNED = rotate_start((-3.5, 1.4), 45.0)

# A short memory of squares, as in the example's proof, and a rate that arrives within the picture.
_FORGETFUL = {"lr": 0.5, "beta1": 0.0, "beta2": 0.1}

SCENARIOS = (
    Scenario(
        "Ravine",
        "GD zigzags across the steep axis and crawls along the flat one. Raise GD's rate by one step: "
        "past 2/λ₂ = 0.5 its path leaves the picture.",
        question="A valley curves 50 times as much across as along. Of GD at rate 0.45, Momentum at 0.05, RMSProp at 0.1 "
        "and Adam at 0.3, which is first at the minimum?",
    ),
    Scenario(
        "Past the limit",
        "GD's rate 0.504 is just above 2/λ₂ = 0.5: the steep component changes sign and grows by 1.6% a step.",
        {"gd_lr": 0.504, "optimizers": ("GD", "Momentum", "Nesterov")},
        question="GD's rate is 0.504 in a valley of curvature λ₂ = 4 across, just above 2/λ₂ = 0.5. What becomes of its path?",
    ),
    Scenario(
        "Rotate the valley",
        "The same valley turned by 45°, with a start that lies among its axes as before, but mirrored and somewhat nearer, to "
        "keep all paths in the picture. GD and Momentum need 33 and 37 steps to 1% of the loss, as before. RMSProp and Adam "
        "lose their lead: their scaling works on the axes of x and y.",
        {
            "theta": 45.0,
            "start_x": round(float(_TURNED[0]), 6),
            "start_y": round(float(_TURNED[1]), 6),
            "steps": 100,
        },
        question="A valley along x is turned by 45°, and the start with it. Which of GD, Momentum, RMSProp and Adam now "
        "take longer?",
    ),
    Scenario(
        "Four minima",
        "From the center of Himmelblau's function GD ends at (3, 2) and Momentum at (3.58, −1.85): the speed it "
        "has gathered carries it into another basin.",
        {
            "surface": "Himmelblau",
            "start_x": 0.0,
            "start_y": 0.0,
            "optimizers": ("GD", "Momentum"),
            "gd_lr": 0.01,
            "momentum_lr": 0.01,
            "steps": 120,
        },
        question="Himmelblau's function has four minima. GD and Momentum, both at rate 0.01, start at its center: do they "
        "end in the same one?",
    ),
    Scenario(
        "Escape a saddle",
        "All start one millionth off the ridge of x² − y². GD's distance from it grows by the factor 1 + 2·lr a step, and "
        "Momentum, at its lower rate, is slower still; RMSProp and Adam divide by the tiny gradient and leave at once.",
        {"surface": "Saddle", "steps": 80},
        question="How long does GD stay near a saddle when it starts one millionth off the ridge?",
    ),
    Scenario(
        "Momentum overflows",
        "On Beale's steep walls Momentum with rate 0.01 is thrown out and ends in NaN; GD with the same rate "
        "follows the valley toward the minimum.",
        {
            "surface": "Beale",
            "optimizers": ("GD", "Momentum", "Adam"),
            "gd_lr": 0.01,
            "momentum_lr": 0.01,
            "start_x": 1.0,
            "start_y": 1.5,
            "steps": 400,
        },
        question="GD makes its way with rate 0.01. Does Momentum, with the same rate?",
    ),
    Scenario(
        "Two weights",
        "The loss (1 − w₁w₂)² of a two-weight net: a valley of minima along w₁w₂ = 1, twice, with a saddle between "
        "them at the origin, where the Hessian has the eigenvalues −2 and +2.",
        {"surface": "Two-weight net"},
        question="How many minima has the loss of a network with only two weights?",
    ),
    Scenario(
        "Plateau",
        "Far out on the plateau the gradient is nearly 0, and GD's steps with it. Sign descent, RMSProp and Adam divide the "
        "size of the gradient away: to them a plateau is a slope like any other.",
        {
            "surface": "Plateau and cliff",
            "optimizers": ("GD", "Momentum", "RMSProp", "Adam", "Sign descent"),
            "steps": 100,
        },
        question="GD, Momentum, RMSProp, Adam and Sign descent start on a plateau, where the gradient is nearly 0. Which "
        "of them bring the loss to 1% in 100 steps?",
    ),
    Scenario(
        "Over the cliff",
        "The first gradient at the wall is so large that one step of GD throws the point out of the picture, onto the "
        "plateau, where it then hardly moves. Open the next scenario to see the same run with clipped gradients.",
        {
            "surface": "Plateau and cliff",
            "start_x": -6.0,
            "start_y": 3.0,
            "optimizers": ("GD", "Momentum", "Adam"),
            "steps": 100,
        },
        question="A steep wall lies beside a flat plateau. Where does the first step lead?",
    ),
    Scenario(
        "Clipped at the cliff",
        "The same wall, but no gradient is longer than 1: it keeps its direction and loses its length. GD and Momentum now "
        "walk down the wall and reach the minimum.",
        {
            "surface": "Plateau and cliff",
            "start_x": -6.0,
            "start_y": 3.0,
            "optimizers": ("GD", "Momentum", "Adam"),
            "clip": "norm",
            "steps": 100,
        },
        question="GD starts on a steep wall, and its gradients are clipped to norm 1. What does clipping change about its "
        "first step?",
    ),
    Scenario(
        "AdaGrad stalls",
        "AdaGrad divides by the root of the sum of all squared gradients so far, RMSProp and Adam by the root of an average. "
        "In the valley the gradients are small, but the sum still holds the wall that the first steps came down: at these "
        "rates AdaGrad creeps where the others pick up.",
        {"surface": "Rosenbrock", "optimizers": ("AdaGrad", "RMSProp", "Adam"), "steps": 300},
        question="Which of the three never gets over the steep first steps?",
    ),
    Scenario(
        "Adam's first step",
        "Corrected for their start at zero, m̂ = g and v̂ = g² at the first step: Adam moves by its learning rate in each "
        "coordinate, whatever the gradient.",
        {"optimizers": ("GD", "Adam"), "step_optimizer": "Adam", "step_at": 0},
        question="The gradient is 20 times as large in y as in x. In which direction does Adam set out?",
        tab="Step",
    ),
    Scenario(
        "Without bias correction",
        "Adam ′ is Adam without the correction: v starts at zero and forgets slowly, so it stays too small for long, and the "
        "first steps are several times the learning rate.",
        {"optimizers": ("Adam",), "twin": "Adam", "twin_bias_correction": False},
        question="Adam's averages start at zero. Without the correction for that, how long is its first step?",
    ),
    Scenario(
        "Adam against AMSGrad",
        "Every third gradient in x is 3 and the other two are −1: their sum, 1, asks for the left border. Adam with a short "
        "memory divides the 3 by itself, has forgotten it at the next −1, and ends at the right border; AMSGrad remembers it.",
        {
            "surface": "AMSGrad's example",
            "optimizers": ("Adam", "AMSGrad"),
            "schedule": "1/√t",
            "steps": 300,
            **{f"{name}_{knob}": value for name in ("adam", "amsgrad") for knob, value in _FORGETFUL.items()},
        },
        question="Of every three gradients two small ones ask for the right and a large one for the left, as does their "
        "sum. Where do Adam, with a short memory, and AMSGrad end?",
    ),
    Scenario(
        "AdamW against Adam + L2",
        "Both have weight decay 0.5. Added to the gradient it moves the minimum only as far as the curvature lets it: Adam "
        "ends beside (3, 2). AdamW shrinks the weights by themselves, against a step that is about as long as the learning "
        "rate however steep the wall is, and settles far from the minimum.",
        {
            "surface": "Himmelblau",
            "optimizers": ("Adam", "AdamW"),
            "adam_weight_decay": 0.5,
            "adamw_weight_decay": 0.5,
            "steps": 200,
        },
        question="The same weight decay in Adam and in AdamW: the same end?",
    ),
    Scenario(
        "Past the local minimum",
        "GD rolls into the shallow well and stays. Momentum keeps enough speed to cross the barrier; with a little less it "
        "would not, and with more it comes back. Batches shows the whole window of μ.",
        {
            "surface": "Two wells",
            "optimizers": ("GD", "Momentum"),
            "gd_lr": 0.1,
            "momentum_lr": 0.1,
            "steps": 200,
        },
        question="Both start above the shallow well. Do both end in it?",
    ),
    Scenario(
        "Noise escapes a well",
        "Every gradient comes with noise. A run may now be kicked over the barrier, and with too much noise back again. One "
        "run proves little: Batches counts 500.",
        {
            "surface": "Two wells",
            "optimizers": ("GD",),
            "noise": 4.0,
            "steps": 300,
            "batch_view": "noise escapes a well",
        },
        question="Noisy runs of GD start in the shallow one of two wells. How does the share that ends in the deep one "
        "change with the noise?",
        tab="Batches",
    ),
    Scenario(
        "Mini-batches",
        "A line is fitted to 64 points, four at a time. Every step follows the loss of its own batch, so the paths reach the "
        "neighborhood of the minimum and then wander in it.",
        {
            "surface": "Linear regression",
            "optimizers": ("GD", "Momentum", "Adam"),
            "batch_size": 4,
            "steps": 200,
        },
        question="GD fits a line to 64 points, and each step sees only 4 of them. Does its path still end at the minimum?",
    ),
    Scenario(
        "Cosine to the end",
        "The same mini-batches with a learning rate that falls to 0 along a cosine: the wandering dies away. With this seed all "
        "three end nearer to the minimum, with most others too.",
        {
            "surface": "Linear regression",
            "optimizers": ("GD", "Momentum", "Adam"),
            "batch_size": 4,
            "schedule": "cosine",
            "steps": 200,
        },
        question="What does a falling learning rate do about the noise of mini-batches?",
    ),
    Scenario(
        "With curvature",
        "Newton divides by the Hessian and is at the minimum of Rosenbrock's valley in a few steps, L-BFGS builds the "
        "curvature from past gradients. The first-order rules are still on their way.",
        {
            "surface": "Rosenbrock",
            "optimizers": ("GD", "Adam", "Newton", "L-BFGS"),
            "l_bfgs_line_search": True,
            "steps": 60,
        },
        question="How many steps does the valley take if the curvature is known?",
    ),
    Scenario(
        "Newton at a saddle",
        "Newton's step leads to where the gradient is 0, whatever is there: it jumps onto the saddle and stays. GD leaves it.",
        {"surface": "Saddle", "optimizers": ("GD", "Newton"), "start_x": 1.0, "start_y": 0.3, "steps": 30},
        question="Newton's method and GD start near a saddle. Does Newton's avoid it?",
    ),
    Scenario(
        "Basins of momentum",
        "Every pixel is a start, colored by the minimum that Momentum takes it to. Its basins fray where the speed that has "
        "been gathered decides; the bars compare their shares with those of GD.",
        {"surface": "Himmelblau", "optimizers": ("GD", "Momentum"), "gd_lr": 0.01, "momentum_lr": 0.01},
        question="Is the nearest minimum the one that is reached?",
        tab="Basins",
    ),
    Scenario(
        "The same budget for all",
        "Each optimizer gets 25 learning rates, and its best one counts. What is left of the differences on the first figure?",
        {
            "optimizers": ("GD", "Momentum", "Nesterov", "RMSProp", "Adam"),
            "fair_methods": ("GD", "Momentum", "Nesterov", "RMSProp", "Adam"),
        },
        question="How much of an optimizer's lead was only its learning rate?",
        tab="Fair",
    ),
    Scenario(
        "Every angle",
        "The same valley turned from 0° to 90°, one run an angle. The lines of GD, Momentum and Nesterov are flat; those of the "
        "methods that scale each coordinate are lowest where the valley lies along an axis.",
        {
            "optimizers": ("GD", "Momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam"),
            "rot_methods": ("GD", "Momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam"),
        },
        question="Is a method that is fast in an axis-aligned valley fast in any valley?",
        tab="Rotation",
    ),
    Scenario(
        "Your own surface",
        "Type any function of x and y. Its gradient and its curvature are computed exactly, and its stationary points are "
        "looked for in the window.",
        {"surface": OWN, "points": True, "steps": 100},
        question="x⁴ + y⁴ − 4xy: how many minima, and where is the saddle?",
    ),
)

TOPIC = Topic(
    name="optimizers",
    prefix="opt",
    title="Optimizers",
    question="Which path does each rule take, and why?",
    icon=":material/route:",
    knobs={**KNOBS, **{knob.name: knob for knob in _TAB_KNOBS}},
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    complete=complete,
    offers=_offers,
    presets=_presets,
    depends=("surface", "twin", "formula", "extent"),
    free=("edit", "points", "seed", *(knob.name for knob in _TAB_KNOBS)),
    tabs=tuple(section.name for section in SECTIONS),
    click=_click,
    measures=MEASURES,
    predictions=PREDICTIONS,
    code=True,
)
