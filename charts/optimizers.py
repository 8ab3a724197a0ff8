"""Optimizers: paths of update rules over a loss surface, and how far above the minimum they are."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd

from charts import raster, theme
from charts.figure import NARROW, Figure, Part, Spec, assemble, named, rows, spread
from charts.optimizers_averages import AVERAGES_KNOBS, averages_blocks, averages_shown
from charts.optimizers_base import (
    CLEAR,
    KNOBS,
    METHODS,
    NONE,
    OWN,
    ROOMY,
    Method,
    complete,
    conditions,
    describe,
    distance,
    methods,
    noisy,
    own,
    place,
    quadratic,
    run,
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
_SIDES: tuple[tuple[Literal["left", "right"], int], ...] = (("left", 8), ("right", -8))
_ISOLINES = ((91, 9), (71, 5), (61, 3), (51, 2))  # grids and numbers of isolines, from fine to coarse
_VERTICES = 1500  # more than this a visitor would wait for
_CROWD = 30  # from so many points on they are drawn small
_LABELED = 40  # more names of points than this would cover the picture
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


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 66 if narrow else round((width - 214) * 0.62)
    right = width - 158 if narrow else width - 214 - left
    tall = min(430, max(260, round(left * _SHAPE)))

    scrub = alt.param(
        name="scrub",
        value=100,
        bind=alt.binding_range(min=0, max=100, step=1, name="Scrub through the run, % "),
    )
    passed = "datum.step <= ceil(scrub / 100 * datum.last)"
    present = "datum.step == ceil(scrub / 100 * datum.last)"
    # A hidden row stays in every view, or a scale without any row would lose its extent.
    here = f"!datum.drawn || (!datum.border && {present})"
    drawn_only = alt.condition("datum.drawn", alt.value(1), alt.value(0))
    moving = alt.condition("datum.drawn && datum.step < datum.last", alt.value(1), alt.value(0))
    x = alt.X("x:Q", title="x", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    y = alt.Y("y:Q", title="y", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    pick = alt.selection_point(
        name="start", fields=["u", "v"], nearest=True, on="click", empty=False, toggle=False
    )

    picture = (
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(x=x, x2="x1:Q", y=y, y2="y1:Q", url="url:N")
    )
    lines = (
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.6, opacity=0.55)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.ink("muted"))
    )
    ghost = (
        alt.Chart(named("ghost_path"))
        .mark_line(strokeWidth=1.4, opacity=0.6)
        .encode(x=x, y=y, detail=["name:N", "piece:N"], order="order:Q", color=theme.ink("muted"))
    )
    path = (
        alt.Chart(named("path"))
        .transform_filter(passed)
        .mark_line(strokeWidth=2, strokeJoin="round")
        .encode(
            x=x,
            y=y,
            detail=["name:N", "piece:N"],
            order="order:Q",
            color=theme.color(),
            strokeDash=theme.dash(),
        )
    )
    dots = (
        alt.Chart(named("path"))
        .transform_filter(f"!datum.drawn || (datum.dot && {passed})")
        .mark_point(filled=True, size=9)
        .encode(x=x, y=y, color=theme.color(), opacity=drawn_only)
    )
    now = (
        alt.Chart(named("path"))
        .transform_filter(here)
        .mark_point(filled=True, size=95)
        .encode(
            x=x,
            y=y,
            color=theme.color(),
            opacity=drawn_only,
            tooltip=[
                alt.Tooltip("name:N", title="optimizer"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("x:Q", format=".5~g"),
                alt.Tooltip("y:Q", format=".5~g"),
            ],
        )
    )
    # Angles come as they are in a panel of the usual shape; this one may be flatter.
    flat = tall / left / _SHAPE

    def turned(field: str) -> alt.Angle:
        return alt.Angle(f"{field}:Q", scale=alt.Scale(domain=[0, 360], range=[0, 360]))

    def arrows(*angles: str) -> alt.Chart:
        chart = alt.Chart(named("arrows")).transform_filter(f"!datum.drawn || {present}")
        for angle in angles:
            up = f"cos(datum.{angle} * PI / 180) * {flat}"
            turn = f"atan2(sin(datum.{angle} * PI / 180), {up}) * 180 / PI"
            chart = chart.transform_calculate(**{f"{angle}_here": turn})
        return chart

    gradient = (
        arrows()
        .mark_rule(strokeWidth=1.2, strokeDash=[3, 2])
        .encode(x=x, y=y, x2="tip_x:Q", y2="tip_y:Q", color=theme.ink("ink"), opacity=moving)
    )
    gradient_tip = (
        arrows("downhill")
        .mark_point(shape="triangle", filled=True, size=34)
        .encode(
            x=alt.X("tip_x:Q"),
            y=alt.Y("tip_y:Q"),
            angle=turned("downhill_here"),
            color=theme.ink("ink"),
            opacity=moving,
        )
    )
    step_ahead = arrows("ahead")
    move = step_ahead.mark_rule(strokeWidth=2.6, clip=True).encode(
        x=x, y=y, x2="next_x:Q", y2="next_y:Q", color=theme.color(), opacity=moving
    )
    move_tip = step_ahead.mark_point(shape="triangle", filled=True, size=60, clip=True).encode(
        x=alt.X("next_x:Q"),
        y=alt.Y("next_y:Q"),
        angle=turned("ahead_here"),
        color=theme.color(),
        opacity=moving,
    )
    # The ground's color around the letters, so that a path does not cross them out; a stroke has the color of its fill.
    exits = [
        alt.Chart(named("exits"))
        .mark_text(fontSize=theme.SMALL_SIZE, fontWeight=600, clip=False, filled=filled, strokeWidth=4)
        .encode(x=x, y=y, text="label:N", color=color)
        for filled, color in ((False, theme.ink("paper")), (True, theme.color()))
    ]
    start = (
        alt.Chart(named("start"))
        .mark_point(shape="circle", size=130, strokeWidth=2, filled=False)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    points = (
        alt.Chart(named("points"))
        .mark_point(filled=True)
        .encode(
            x=x,
            y=y,
            size=alt.Size("size:Q", scale=None),
            shape=alt.Shape(
                "kind:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values())), legend=None
            ),
            angle=alt.Angle("angle:Q", scale=alt.Scale(domain=[0, 360], range=[0, 360])),
            color=theme.ink("ink"),
            opacity=theme.SHOWN,
            tooltip=[
                alt.Tooltip("label:N", title="point"),
                alt.Tooltip("x:Q", format=".6~g"),
                alt.Tooltip("y:Q", format=".6~g"),
                alt.Tooltip("value:Q", title="f", format=".6~g"),
            ],
        )
    )
    point_names = [
        alt.Chart(named("points"))
        .mark_text(align=align, dx=dx, dy=-8, fontSize=theme.SMALL_SIZE, filled=filled, strokeWidth=4)
        .encode(x=x, y=alt.Y("name_y:Q"), text=f"{align}:N", color=theme.ink(use), opacity=theme.SHOWN)
        for align, dx in _SIDES
        for filled, use in ((False, "paper"), (True, "ink"))
    ]
    # Side by side where there is room, else one above the other.
    said = ["left"] if width >= ROOMY else [f"left{k}" for k in range(_SHARED)]
    conditions = [
        alt.Chart(named("titles"))
        .transform_filter(f"datum.panel == '{name}' && datum.text != ''")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8 - 17 * k), text="text:N", color=theme.ink("ink"))
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
        .add_params(pick)
    )
    drawn = alt.layer(
        *(picture, lines, ghost, path, dots, points, start, *point_names),
        *(gradient, gradient_tip, move, move_tip, now, *exits, *conditions),
    )
    surface = (
        alt.layer(drawn, click)
        .resolve_scale(x="independent", y="independent")
        .properties(width=left, height=tall, name="surface")
    )

    step = alt.X(
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
    level = alt.Y("gap:Q", title=None)  # the scale and the axis of the first layer hold for all
    curve_ghost = (
        alt.Chart(named("ghost_curve"))
        .mark_line(strokeWidth=1.4, opacity=0.6, clip=True)
        .encode(x=step, y=gap, detail=["name:N", "piece:Q"], color=theme.ink("muted"))
    )
    curve = (
        alt.Chart(named("curve"))
        .mark_line()
        .encode(x=step, y=level, detail=["name:N", "piece:Q"], color=theme.color(), strokeDash=theme.dash())
    )
    exact = (
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT)
        .encode(x=step, y=level, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    marker = (
        alt.Chart(named("curve"))
        .transform_filter(f"!datum.drawn || {present}")
        .mark_point(filled=True, size=70)
        .encode(
            x=step,
            y=level,
            color=theme.color(),
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
        .encode(x=step, y=level, text="label:N", color=theme.color())
    )
    heading = (
        alt.Chart(named("titles"))
        .transform_filter("datum.panel == 'right'")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="text:N", color=theme.ink("ink"))
    )
    loss = alt.layer(curve_ghost, curve, exact, marker, ends, heading).properties(
        width=right, height=tall, name="loss"
    )
    panels = [surface, loss]
    both = alt.vconcat(*panels) if narrow else alt.hconcat(*panels)
    return assemble(both.resolve_scale(color="shared").add_params(scrub), theme.config())


# The run


@keep(entries=64)
def _background(key: tuple[tuple[str, Value], ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    for size, count in _ISOLINES:
        x, y, line = raster.isolines(*levels(size), count)
        if len(x) <= _VERTICES:
            break
    if surface.box is not None:
        low, high = surface.box
        x, y = np.append(x, [low, high, high, low, low]), np.append(y, [low, low, high, high, low])
        line = np.append(line, np.full(5, line.max(initial=-1) + 1))
    isolines = pd.DataFrame(
        {
            "x": np.float32(x),
            "y": np.float32(y),
            "line": np.int16(line),
            "vertex": np.arange(len(x), dtype=np.int16),
        }
    )
    return picture, isolines


def _path_rows(method: Method, result: Descent, surface: Surface, steps: int) -> tuple[Part, Part]:
    """Cut a path at the window: its rows, and a row for the first place where it leaves."""
    points, step, piece, border = raster.clip_path(result.path, surface.window)
    style = method.style
    every = max(1, steps // 80)
    path: Part = {
        "x": points[:, 0],
        "y": points[:, 1],
        "step": step.astype(np.int16),
        "piece": piece.astype(np.int16),
        "order": np.arange(len(step), dtype=np.int16),
        "border": border,
        "dot": ~border & (step % every == 0),
        "drawn": True,
        "name": method.label,
        "slot": np.int8(style.slot),
        "dash": np.int8(style.dash),
        "last": np.int16(steps),
    }
    # A border point is an exit where a piece ends; where a piece begins, the path comes in.
    first = np.flatnonzero(border & np.append(np.diff(piece) != 0, True))[:1]
    exits: Part = {
        "x": points[first, 0],
        "y": points[first, 1],
        "label": np.array([f"× {step[i]}" for i in first], str),
        "slot": np.int8(style.slot),
    }
    return path, exits


def _apart(exits: pd.DataFrame, window: tuple[float, float, float, float]) -> pd.DataFrame:
    """Move the marks of paths that leave through the same border apart along it."""
    x, y = exits["x"].to_numpy(float, copy=True), exits["y"].to_numpy(float, copy=True)
    for along, across, low, high, gap, borders in (
        (x, y, *window[:2], 0.075, window[2:]),
        (y, x, *window[2:], 0.05, window[:2]),
    ):
        for border in borders:
            there = np.flatnonzero(across == border)
            along[there] = spread(along[there], gap * (high - low), low, high)
    return exits.assign(x=x, y=y)


def _arrow_rows(method: Method, result: Descent, surface: Surface, steps: int) -> Part:
    """Return the arrows at every place of the scrubber where the path is inside the window, as screens need them."""
    places = np.unique(np.ceil(np.arange(101) / 100 * steps).astype(int))
    low, high = np.reshape(surface.window, (2, 2)).T
    span = (high - low) * [1, 1 / _SHAPE]  # x and y in units of the panel's width
    with np.errstate(over="ignore", invalid="ignore"):
        here = result.path[places]
        places = places[((here >= low) & (here <= high)).all(axis=1)]
        here, ahead = result.path[places], result.path[np.minimum(places + 1, steps)]
        ahead = np.where(np.isfinite(ahead), ahead, here)
        slope = -result.gradient[places] / np.abs(result.gradient[places]).max(axis=1, keepdims=True)
        slope = np.nan_to_num(slope / span)
        size = np.hypot(*slope.T)[:, None]
        tip = here + _ARROW * np.where(size > 0, slope / np.where(size > 0, size, 1), 0) * span
        move = np.nan_to_num((ahead - here) / span)
    # A step out of the picture ends at its border.
    far = raster.shorten(here, ahead, surface.window)
    return {
        **{"x": np.float32(here[:, 0]), "y": np.float32(here[:, 1])},
        **{"tip_x": np.float32(tip[:, 0]), "tip_y": np.float32(tip[:, 1])},
        **{"next_x": np.float32(far[:, 0]), "next_y": np.float32(far[:, 1])},
        "downhill": np.float32(np.degrees(np.arctan2(slope[:, 0], slope[:, 1]))),
        "ahead": np.float32(np.degrees(np.arctan2(move[:, 0], move[:, 1]))),
        "step": places.astype(np.int16),
        "last": np.int16(steps),
        "slot": np.int8(method.style.slot),
        "drawn": True,
    }


def _height(result: Descent, surface: Surface) -> Array:
    """Return what the right panel draws: f − f*, or the length of the gradient where f has no minimum."""
    if surface.infimum is None:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.hypot(result.gradient[..., 0], result.gradient[..., 1])
    return result.value - surface.infimum


def _curves(results: Mapping[str, Descent], surface: Surface, values: Values) -> dict[str, pd.DataFrame]:
    """Return what the right panel draws: the curves, down to where log axes end, and their names at the ends."""
    steps = whole(values, "steps")
    shown = methods(values)
    heights = {name: _height(result, surface) for name, result in results.items()}
    begin = next((float(h[0]) for h in heights.values()), 1.0)
    begin = begin if np.isfinite(begin) and begin > 0 else 1.0
    low, high = begin * _DROP, begin * 100
    parts: list[Part] = []
    ends: list[tuple[str, int, float]] = []
    for name, height in heights.items():
        drawn = np.flatnonzero(np.isfinite(height) & (height >= low) & (height <= high))
        if not len(drawn):
            continue
        style, gap = shown[name].style, height[drawn]
        parts.append(
            {
                "step": drawn.astype(np.int16),
                "gap": gap,
                "piece": np.cumsum(np.diff(drawn, prepend=drawn[0]) > 1).astype(np.int16),
                "name": name,
                "slot": np.int8(style.slot),
                "dash": np.int8(style.dash),
                "last": np.int16(steps),
                "drawn": True,
            }
        )
        last = int(drawn[-1])
        # An arrow says that the run goes on beyond the panel, and from which step.
        end = int(results[name].diverged_at)
        beyond = len(height) > last + 1 and height[last + 1] > gap[-1]
        sign = f"∞{end}" if end == last + 1 else f"{'↑' if beyond else '↓'}{last}"
        label = name if last == steps else f"{name} {sign}"
        ends.append((label, style.slot, float(gap[-1])))
    if not parts:
        empty = rows(
            step=[0, steps],
            gap=begin,
            piece=[0, 1],
            name="",
            slot=theme.MUTED,
            dash=0,
            last=steps,
            drawn=False,
            label="",
        )
        return {"curve": empty, "ends": empty}
    hidden: Part = {**parts[0], **{k: np.asarray(parts[0][k])[:1] for k in ("step", "gap", "piece")}}
    curve = rows(*parts, {**hidden, "name": "", "drawn": False})
    bottom, top = float(np.log10(curve["gap"].min())), float(np.log10(curve["gap"].max()))
    placed = spread(np.log10([gap for _, _, gap in ends]), 0.052 * max(top - bottom, 0.5), bottom, top)
    return {
        "curve": curve,
        "ends": rows(
            step=np.full(len(ends), steps),
            gap=10.0**placed,
            label=[label for label, _, _ in ends],
            slot=[slot for _, slot, _ in ends],
        ),
    }


def _theory(method: Method) -> LinearTheory | None:
    """Return the closed forms of a method, which decay and dampening spoil."""
    knobs = method.settings
    plain = not knobs.get("weight_decay") and not knobs.get("dampening") and knobs.get("momentum", 0.0) < 1
    entry = method.entry
    return entry.linear if plain and isinstance(entry, Optimizer) else None


def _exact(values: Values, results: Mapping[str, Descent]) -> dict[str, Array]:
    """Return the closed-form loss at every step, for the rules and surfaces that have one."""
    bowl = quadratic(values)
    if bowl is None or surface_of(values).infimum is None or conditions(values):
        return {}
    steps = whole(values, "steps")
    along = (start_of(values) - bowl.center) @ bowl.eigenvectors
    exact = {}
    for label, method in methods(values).items():
        theory = _theory(method)
        if theory is not None:
            path = theory.path(bowl.eigenvalues, along, steps, method.settings)
            with np.errstate(over="ignore"):
                exact[label] = 0.5 * (path**2 @ bowl.eigenvalues)
    return exact


def _theory_rows(exact: Mapping[str, Array], curve: pd.DataFrame) -> pd.DataFrame:
    """Keep the closed form where the panel shows the run it belongs to."""
    low, high = curve["gap"].min() * 0.5, curve["gap"].max() * 2
    parts: list[Part] = []
    for gap in exact.values():
        kept = np.isfinite(gap) & (gap >= low) & (gap <= high)
        # Some thirty dots a line keep the run visible below its theory.
        kept &= np.arange(len(gap)) % max(1, len(gap) // 30) == 0
        parts.append({"step": np.flatnonzero(kept).astype(np.int16), "gap": gap[kept], "shown": True})
    parts = [part for part in parts if len(part["gap"])]  # type: ignore[arg-type]
    return rows(*parts) if parts else rows(step=[0], gap=[float(curve["gap"].iloc[0])], shown=False)


# The figure and its words


def _events(results: Mapping[str, Descent], surface: Surface, values: Values) -> tuple[str, ...]:
    """Name what a path does beyond the picture: leaving the window, overflowing, standing still."""
    window = np.reshape(surface.window, (2, 2))
    events = []
    for name, result in results.items():
        left = int(left_window(result.path, window))
        overflow = int(result.diverged_at)
        if overflow == 0:
            events.append(f"**{name}** cannot start: the loss at the start is not a finite number.")
        elif overflow > 0:
            before = f"outside the window from step {left}, " if 0 <= left < overflow else ""
            events.append(f"**{name} diverges**: {before}no longer a finite number at step {overflow}.")
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
        return "Choose at least one optimizer to see its path."
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
            f"GD {verdict}: its rate {number(lr)} is {number(lr / limit)} of the limit 2/λ₂ = {number(limit)}."
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


def _points(surface: Surface, every: bool) -> pd.DataFrame:
    """Return the listed minima inside the window, or all stationary points with what they are and their height."""
    low_x, high_x, low_y, high_y = surface.window
    found = [
        p
        for p in surface.stationary
        if (every or p.kind == "minimum") and low_x <= p.point[0] <= high_x and low_y <= p.point[1] <= high_y
    ]
    if not found:
        center = ((low_x + high_x) / 2, (low_y + high_y) / 2)
        return rows(
            x=[center[0]],
            y=[center[1]],
            value=0.0,
            kind="minimum",
            angle=45,
            size=24,
            name_y=center[1],
            label="",
            left="",
            right="",
            shown=False,
        )
    labels = [("global " if p.is_global else "local " if p.kind == "minimum" else "") + p.kind for p in found]
    named_ = every and len(found) <= _LABELED
    names = [f"{p.kind} {number(p.value)}" if named_ else "" for p in found]
    places = _free_places(found, names, surface) if named_ else [(True, p.point[1]) for p in found]
    return rows(
        x=[p.point[0] for p in found],
        y=[p.point[1] for p in found],
        value=[p.value for p in found],
        kind=[p.kind for p in found],
        size=90 if len(found) < _CROWD else 36,
        name_y=[height for _, height in places],
        angle=[45 if p.kind == "minimum" else 0 for p in found],
        label=labels,
        left=[name if right else "" for name, (right, _) in zip(names, places, strict=True)],
        right=["" if right else name for name, (right, _) in zip(names, places, strict=True)],
        shown=True,
    )


def _hidden(like: Part, nothing: pd.DataFrame) -> Part:
    """Return a row that draws nothing, of the types of a part."""
    return {name: np.asarray(nothing[name].iloc[:1]).astype(np.asarray(like[name]).dtype) for name in like}


def _key(start: bool, points: pd.DataFrame, exits: bool, ends: str, exact: bool) -> str:
    """Say what the marks mean, of those that the picture has; ``ends`` holds the names at the ends of the curves."""
    kinds = set(points["kind"][points["shown"]])
    said = [name for kind, name in _MARKS.items() if kind in kinds]
    parts = [
        "Ring: start." if start else "",
        f"{'; '.join(said).capitalize()}." if said else "",
        "Big dots: the last step.",
        "× with a number: the step at which a path leaves the window." if exits else "",
        "↑ or ↓ with a number: the last step of a curve inside its panel."
        if "↑" in ends or "↓" in ends
        else "",
        "∞: the step at which a run is no longer finite." if "∞" in ends else "",
        "Small dots on curves: closed form." if exact else "",
    ]
    return " ".join(filter(None, parts))


def _figure(values: Values, results: Mapping[str, Descent], exact: Mapping[str, Array]) -> Figure:
    surface = surface_of(values)
    steps = whole(values, "steps")
    picture, isolines = _background(surface_key(values))
    shown = methods(values)
    pieces = [_path_rows(shown[name], result, surface, steps) for name, result in results.items()]
    arrows = [_arrow_rows(shown[name], result, surface, steps) for name, result in results.items()]
    arrows = [part for part in arrows if len(part["x"])]  # type: ignore[arg-type]
    x, y = real(values, "start_x"), real(values, "start_y")
    paths = [path for path, _ in pieces if len(path["x"])]  # type: ignore[arg-type]
    exits = [exit_ for _, exit_ in pieces if len(exit_["x"])]  # type: ignore[arg-type]
    # Every data set must be there: where there is nothing to draw, it holds one row that draws nothing.
    center = ((surface.window[0] + surface.window[1]) / 2, (surface.window[2] + surface.window[3]) / 2)
    nothing = rows(
        x=[center[0]], y=[center[1]], step=-1, piece=0, order=0, border=True, dot=False, name="", slot=theme.MUTED,
        drawn=False, dash=0, last=steps, label="", line=0, vertex=0, shown=False,
        next_x=center[0], next_y=center[1], tip_x=center[0], tip_y=center[1], downhill=0.0, ahead=0.0,
    )  # fmt: skip
    curves, shared = _curves(results, surface, values), conditions(values)
    window = surface.window
    start_inside = window[0] <= x <= window[1] and window[2] <= y <= window[3]
    panel = "f − f*, log scale" if surface.infimum is not None else "‖∇f‖, log scale (f has no minimum)"
    marked = " All listed stationary points are marked." if values["points"] else ""
    points = _points(surface, bool(values["points"]))
    listed = "; ".join(describe(method) for method in shown.values()) or "No optimizer"
    return Figure(
        name="optimizers/trajectories",
        build=_spec,
        data={
            "raster": picture,
            "isolines": isolines if len(isolines) else nothing,
            "path": rows(*paths, _hidden(paths[0], nothing)) if paths else nothing,
            "arrows": rows(*arrows, _hidden(arrows[0], nothing)) if arrows else nothing,
            "exits": _apart(rows(*exits), surface.window) if exits else nothing,
            "start": rows(x=[x], y=[y], shown=True) if start_inside else nothing,
            "points": points,
            "theory": _theory_rows(exact, curves["curve"]),
            "titles": rows(
                text=[panel, "; ".join(shared), *shared[::-1], *[""] * (_SHARED - len(shared))],
                panel=["right", "left", *(f"left{k}" for k in range(_SHARED))],
            ),
            **curves,
        },
        title=f"Paths on {surface.name}",
        caption=(
            f"{place(values)}; {steps} steps. {listed}. {stated(values)}{marked} "
            "Rates chosen for this picture, not tuned fairly."
        ),
        key=_key(start_inside, points, bool(exits), "".join(curves["ends"]["label"]), bool(exact)),
        hint="Click the surface to move the start. Scrubbing takes the big dots back along the runs, with the next step as an "
        "arrow and the direction of −g as a dashed one. Fair, below, tunes the rates.",
        play=True,
        alt="Left: paths of the chosen optimizers over a loss surface. Right: how far above the minimum they are.",
        ghosts={"ghost_path": "path", "ghost_curve": "curve"},
        click="start",
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
        lines.append(f"All gradients and rates here: {'; '.join(shared)}.")
    for name, method in methods(values).items():
        entry, result = method.entry, results[name]
        first, move = result.gradient[0], result.path[1] - result.path[0]
        forms = getattr(entry, "conventions", {})
        if framework in forms:
            said = f"The formula is PyTorch's; {framework} has another: {forms[framework]}."
        else:
            said = f"{entry.convention}."
        if method.settings.get("bias_correction") is False:
            said += r" Without bias correction $m$ and $v$ stand where $m/(1-\beta_1^t)$ and $v/(1-\beta_2^t)$ are."
        decay = method.settings.get("weight_decay")
        if decay and r"\lambda" not in entry.update_rule:
            said += f" The formula leaves out the weight decay of {number(float(decay))} that this run has."
        numbers_ = (
            f"At the start $g = {_vector(first)}$ and the first step is ${_vector(move)}$."
            if np.isfinite([first, move]).all()
            else "At the start there is no finite step."
        )
        lines.append(
            f"**{name}** ({describe(method).removeprefix(name).strip()}): ${entry.update_rule}$  \n{numbers_} {said}"
        )
        linear = _theory(method)
        if bowl is not None and bowl.eigenvalues[0] > 0 and linear is not None and not shared:
            limit = float(linear.limit(float(bowl.eigenvalues[-1]), method.settings))
            rate = linear.rates(bowl.eigenvalues, method.settings)
            lines.append(
                f"On this quadratic with $\\lambda = {_vector(bowl.eigenvalues)}$ it "
                f"converges for rates below ${linear.formula} = {latex(limit)}$. In the long run the two "
                f"eigencomponents are multiplied by {number(rate[0], 4)} and {number(rate[1], 4)} a step."
            )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Run the chosen optimizers and draw them."""
    results = run(values)
    exact = _exact(values, results)
    surface = surface_of(values)
    return View(
        figure=_figure(values, results, exact),
        say=lambda: Words(
            _reading(results, exact, values), _why(values, results), _events(results, surface, values)
        ),
        tabs=tuple(section.tab(values) for section in SECTIONS),
        programs=lambda: programs(values) if has_text(values) else (),
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
        "GD zigzags across the steep axis and crawls along the flat one. Press the right arrow on GD's rate "
        "once: past 2/λ₂ = 0.5 its path leaves the picture.",
        question="Which of the four reaches the minimum first?",
    ),
    Scenario(
        "Past the limit",
        "GD's rate 0.504 is just above 2/λ₂ = 0.5: the steep component changes sign and grows by 1.6% a step.",
        {"gd_lr": 0.504, "optimizers": ("GD", "Momentum", "Nesterov")},
        question="Does a rate 1% above the limit still converge, only more slowly?",
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
        question="Which optimizers are slower in the turned valley?",
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
        question="Do GD and Momentum end in the same minimum when they start at the same point?",
    ),
    Scenario(
        "Escape a saddle",
        "All start one millionth off the ridge of x² − y². GD's distance from it grows by 1 + 2·lr a step, and "
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
        question="The gradient is small everywhere here. Which rules do not mind?",
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
        question="What does clipping change about a step, and what not?",
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
        question="The gradient is 20 times longer in y than in x. In which direction does Adam set out?",
        tab="Step",
    ),
    Scenario(
        "Without bias correction",
        "Adam ′ is Adam without the correction: v starts at zero and forgets slowly, so it stays too small for long, and the "
        "first steps are several times the learning rate.",
        {"optimizers": ("Adam",), "twin": "Adam", "twin_bias_correction": False},
        question="Adam's averages start at zero. Does that make the first steps shorter or longer?",
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
        question="Two small steps to the right, one large to the left: where does each rule end?",
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
        question="Does noise in the gradient help or hurt?",
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
        question="If every step sees only 4 of 64 samples, does the path still end at the minimum?",
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
        question="Does Newton's method avoid saddles?",
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
    code=True,
)
