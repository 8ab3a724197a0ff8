"""The Step tab of the optimizers page: one step of one method taken apart, as arrows and as arithmetic."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, raster, theme
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread
from charts.optimizers_anatomy import (
    CHANGE,
    DECAY,
    NOW,
    PAST,
    REFERENCE_ANATOMIES,
    SIGNED,
    WHOLE,
    Anatomy,
    Term,
    anatomy,
    rule_as_set,
    vector,
    written,
)
from charts.optimizers_base import (
    METHODS,
    TWIN,
    Method,
    describe,
    factors,
    methods,
    place,
    problem_of,
    run,
    stated,
    surface_of,
    surface_settings,
)
from charts.topic import Block, Values, whole, word
from core.descent import Descent
from core.knobs import Knob, aliases_of, number

Array = np.ndarray

_GRID = 41  # cells a side of the field whose isolines are drawn
_LINES = 9
_AROUND = 12  # points of the path before and after
_SPAN = 240  # most steps of the panel of rates
_MARGIN = 0.42  # of the arrows' extent, on every side
_HEAD = 0.013  # half the height of an arrow's head, as a share of the window
_PHONE = 30  # letters of a formula that fit a phone
_PLAIN = "−η·g"

# Arrows are drawn tip to tail in this order, with the dash that tells them apart.
_ORDER = {NOW: 0, SIGNED: 0, CHANGE: 2, DECAY: 2, PAST: 1}
_LEAST, _MOST = 1e-300, 1e300  # what a log axis can show

STEP_KNOBS = (
    Knob(
        "step_optimizer", "choice", "Momentum", label="Take apart",
        choices=(*METHODS, *(name + TWIN for name in METHODS)), aliases=aliases_of(METHODS),
        help="One of the methods in the picture.",
    ),
    Knob(
        "step_at", "int", 4, label="Step from point", low=0, high=499, step=1,
        help="Point 0 is the start; the step from it is the first, t = 1 in the formulas. Beyond the end of the run its last "
        "step is shown.",
    ),
)  # fmt: skip


# The specification


@lru_cache(maxsize=16)
def _step_spec(width: int) -> Spec:
    narrow = width < NARROW
    side = width - 92 if narrow else min(430, round((width - 200) * 0.5))
    right = width - 112 if narrow else width - 226 - side

    def across(field: str) -> alt.X:
        return alt.X(
            f"{field}:Q", title="Δx", scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(grid=False, tickCount=5, format="~g"),
        )  # fmt: skip

    def up(field: str) -> alt.Y:
        return alt.Y(
            f"{field}:Q", title="Δy", scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(grid=False, tickCount=5, format="~g"),
        )  # fmt: skip

    frame = alt.Chart(named("frame")).mark_point(opacity=0).encode(x=across("x"), y=up("y"))
    lines = (
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.6, opacity=0.5)
        .encode(x=across("x"), y=up("y"), detail="line:N", order="vertex:Q", color=theme.color())
    )
    path = (
        alt.Chart(named("path"))
        .mark_line(strokeWidth=1.2, opacity=0.55, strokeDash=[2, 2])
        .encode(x=across("x"), y=up("y"), detail="piece:N", order="order:Q", color=theme.color())
    )
    dots = (
        alt.Chart(named("path"))
        .transform_filter("datum.dot")
        .mark_point(filled=True, size=16, opacity=0.8)
        .encode(x=across("x"), y=up("y"), color=theme.color())
    )
    shafts = (
        alt.Chart(named("arrows"))
        .mark_rule(strokeCap="butt")
        .encode(
            x=across("x"),
            y=up("y"),
            x2="x1:Q",
            y2="y1:Q",
            color=theme.color(),
            strokeDash=theme.dash(),
            strokeWidth=alt.StrokeWidth("wide:Q", scale=None, legend=None),
            opacity=theme.SHOWN,
            tooltip=[
                alt.Tooltip("name:N", title="arrow"),
                alt.Tooltip("dx:Q", format=".4~g", title="x"),
                alt.Tooltip("dy:Q", format=".4~g", title="y"),
                alt.Tooltip("length:Q", format=".4~g"),
            ],
        )
    )
    heads = (
        alt.Chart(named("arrows"))
        .mark_point(shape="triangle-up", filled=True, size=95)
        .encode(
            x=across("head_x"),
            y=up("head_y"),
            angle=alt.Angle("angle:Q", scale=None),
            color=theme.color(),
            opacity=alt.condition("datum.headed", alt.value(1), alt.value(0)),
        )
    )
    ring = (
        alt.Chart(named("arrows"))
        .transform_filter("datum.whole")
        .mark_point(shape="circle", size=90, strokeWidth=2, filled=False)
        .encode(x=across("x"), y=up("y"), color=theme.ink("ink"))
    )

    def said(filled: bool, color: alt.Color | alt.ColorDatum) -> Panel:
        return (
            alt.Chart(named("names"))
            .mark_text(
                align=alt.expr("datum.side < 0 ? 'right' : datum.side > 0 ? 'left' : 'center'"),
                fontSize=theme.TEXT_SIZE, filled=filled, strokeWidth=0 if filled else 5, strokeJoin="round",
            )
            .encode(x=across("x"), y=up("y"), text="label:N", color=color, opacity=theme.SHOWN)
        )  # fmt: skip

    def heading(field: str) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{field}:N", color=theme.ink("ink"))
        )

    arrows = compose.layer(
        frame, lines, path, dots, shafts, heads, ring, said(False, theme.ink("paper")), said(True, theme.color()),
        heading("arrows"),
        width=side, height=side, name="arrows",
    )  # fmt: skip

    point = alt.X(
        "point:Q", title="point", scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )  # fmt: skip
    rate = alt.Y(
        "rate:Q", title=None, scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=6, labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )  # fmt: skip
    shape = alt.Shape("name:N", scale=alt.Scale(domain=["x", "y"], range=["circle", "diamond"]), legend=None)
    effective = alt.Chart(named("rates"))
    rates = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=point, y=rate),
        alt.Chart(named("now")).mark_rule(strokeWidth=1, opacity=0.7).encode(x=point, color=theme.ink("muted")),
        effective.transform_filter("datum.down").mark_line().encode(
            x=point, y=rate, detail=["name:N", "piece:N"], color=theme.color(), strokeDash=theme.dash(),
        ),
        effective.mark_point(strokeWidth=1.2, size=22).encode(
            x=point, y=rate, color=theme.color(),
            shape=shape, opacity=alt.condition("datum.up", alt.value(1), alt.value(0)),
        ),
        effective.mark_point(filled=True, size=20).encode(
            x=point, y=rate, color=theme.color(), opacity=alt.condition("datum.lone", alt.value(1), alt.value(0)),
        ),
        effective.mark_point(filled=True, size=75).encode(
            x=point, y=rate, color=theme.color(), opacity=alt.condition("datum.now", alt.value(1), alt.value(0)),
            tooltip=[
                alt.Tooltip("name:N", title="coordinate"), alt.Tooltip("point:Q"),
                alt.Tooltip("signed:Q", title="step / −gradient", format=".4~g"),
            ],
        ),
        alt.Chart(named("ends")).mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE).encode(
            x=point, y=rate, text="label:N", color=theme.color(), opacity=theme.SHOWN
        ),
        heading("rates"),
        width=right, height=260 if narrow else side, name="rates",
    )  # fmt: skip
    join, gap = (compose.below, 44) if narrow else (compose.beside, 30)
    resolve = {"color": "shared", "x": "independent", "y": "independent"}
    return assemble(join(arrows, rates, spacing=gap, resolve=resolve), theme.config())


# The step


@dataclass(frozen=True)
class _Taken:
    """One step of a method: where it began, what it saw, how it moved, and all steps of the run beside it.

    ``asked`` is the point that was asked for, ``at`` the one shown; ``steps`` (T, 2) are the moves of the rule from every
    point, ``rates`` (T, 2) their ratio to −g, NaN where g is 0.
    """

    method: Method
    result: Descent
    asked: int
    at: int
    parts: Anatomy
    steps: Array
    rates: Array

    @property
    def point(self) -> Array:
        """Return the point it starts from, (2,)."""
        found: Array = self.result.path[self.at]
        return found

    @property
    def gradient(self) -> Array:
        """Return the gradient that the rule saw there, (2,)."""
        found: Array = self.result.gradient[self.at]
        return found

    @property
    def step(self) -> Array:
        """Return how the rule moved, (2,)."""
        found: Array = self.steps[self.at]
        return found


def _chosen(values: Values) -> Method | None:
    """Return the method to take apart: the one asked for if it is in the picture, else the first."""
    found = methods(values)
    return found.get(word(values, "step_optimizer")) or next(iter(found.values()), None)


def last_point(result: Descent) -> int:
    """Return the last point from which a run made a step: the one before its end, or before it ceased to be finite."""
    end = int(result.diverged_at)
    return max(0, (len(result.path) - 1 if end < 0 else end) - 1)


def _take(values: Values, method: Method) -> _Taken:
    result = run(values)[method.label]
    asked, last = whole(values, "step_at"), last_point(result)
    at, count = min(asked, last), len(result.path) - 1
    lr = float(method.settings["lr"])
    plan = np.ones(count) if values["schedule"] == "constant" else factors(values)
    # The states follow from the gradients that were seen: one method is run again, not all of them with their states.
    steps = np.full((count, 2), np.nan)
    rule = method.rule(lr=lr * float(plan[0]))
    with np.errstate(all="ignore"):
        state = before = rule.init(result.path[0])
        for t in range(last + 1):
            if t and plan[t] != plan[t - 1]:
                rule = method.rule(lr=lr * float(plan[t]))
            before = state if t == at else before
            steps[t], state = rule.update(result.gradient[t], state, result.path[t])
        seen = result.gradient[:-1]
        rates = np.where(seen == 0, np.nan, steps / np.where(seen == 0, 1.0, -seen))
    knobs = {**method.settings, "lr": lr * float(plan[at]), "convention": word(values, "convention")}
    seen_there = before, result.gradient[at], result.path[at], steps[at], knobs
    reference = REFERENCE_ANATOMIES.get(method.entry.name)
    if reference is not None:
        parts = reference(problem_of(values), method.build, *seen_there)
    else:
        parts = anatomy(method.entry.name, *seen_there, at + 1)
    return _Taken(method, result, asked, at, parts, steps, rates)


def _arrows(taken: _Taken, lr: float) -> list[tuple[str, Array, Array, int, int, bool]]:
    """Return the arrows: name, tail, tip, slot, dash and whether it is the whole step; tails relative to the point.

    Parts that are 0, and parts and gradient steps that are the whole step, are left out.
    """
    slot, whole_step = taken.method.style.slot, taken.step
    size = float(np.max(np.abs(whole_step), initial=0.0))
    found = []
    tail = np.zeros(2)
    parts = sorted(taken.parts.arrows, key=lambda arrow: (_ORDER.get(arrow.name, 9) == 1, arrow.name != NOW))
    parts = [arrow for arrow in parts if np.any(arrow.vector) and np.all(np.isfinite(arrow.vector))]
    if len(parts) > 1:
        for arrow in parts:
            found.append((arrow.name, tail, tail + arrow.vector, theme.INK, _ORDER.get(arrow.name, 0), False))
            tail = tail + arrow.vector
    plain = -lr * taken.gradient
    if np.all(np.isfinite(plain)) and np.any(np.abs(plain - whole_step) > 1e-9 * size):
        first = found[0][2] if found else np.full(2, np.nan)
        if not np.allclose(plain, first, rtol=1e-9, atol=0):
            found.append((_PLAIN, np.zeros(2), plain, theme.MUTED, 3, False))
        else:
            found[0] = (f"{_PLAIN}, {found[0][0]}", *found[0][1:])
    shown = whole_step if np.all(np.isfinite(whole_step)) else np.zeros(2)
    return [*found, (WHOLE, np.zeros(2), shown, slot, 0, True)]


def _window(arrows: Sequence[tuple[str, Array, Array, int, int, bool]], fallback: float) -> raster.Window:
    """Return the square about the arrows, relative to the point.

    The plain gradient step counts only if that does not make the others small.
    """

    def extent(kept: Sequence[tuple[str, Array, Array, int, int, bool]]) -> tuple[Array, float]:
        ends = np.array([end for _, tail, tip, *_ in kept for end in (tail, tip)])
        low, high = ends.min(axis=0), ends.max(axis=0)
        return (low + high) / 2, float((high - low).max())

    center, size = extent([arrow for arrow in arrows if arrow[0] != _PLAIN])
    wider = extent(arrows)
    if wider[1] <= 3 * size:
        center, size = wider
    half = (0.5 + _MARGIN) * (size if size > 0 else fallback)
    return (
        float(center[0] - half), float(center[0] + half), float(center[1] - half), float(center[1] + half),
    )  # fmt: skip


def _arrow_rows(
    arrows: Sequence[tuple[str, Array, Array, int, int, bool]], window: raster.Window
) -> tuple[Part, Part]:
    """Return the rows of the arrows, cut at the window's border, and of their names."""
    side = window[1] - window[0]
    shafts: dict[str, list[object]] = {
        key: [] for key in (
            "name", "x", "y", "x1", "y1", "head_x", "head_y", "angle", "dx", "dy", "length", "slot", "dash", "wide", "whole",
            "headed", "shown",
        )
    }  # fmt: skip
    names: list[tuple[str, Array, Array, int, bool]] = []
    chain = [tip for name, _, tip, *_ in arrows if name != _PLAIN]
    center = np.mean([np.zeros(2), *chain], axis=0)
    for name, tail, tip, slot, dash, is_whole in arrows:
        move = tip - tail
        cut = raster.clip_path(np.array([tail, tip]), window)[0]
        end = cut[-1] if len(cut) else tail
        inside = bool(np.all(end == tip))
        length, drawn = float(np.hypot(*move)), float(np.hypot(*(end - tail)))
        unit = move / length if length > 0 else np.zeros(2)
        back = min(_HEAD * side, drawn)
        shown = drawn > 0
        shaft = end - unit * back if drawn > 2 * back else end
        row = (
            name, tail[0], tail[1], shaft[0], shaft[1], *(end - unit * back), math.degrees(math.atan2(move[0], move[1])),
            move[0], move[1], length, slot, dash, 3.2 if is_whole else 1.7, is_whole, inside and drawn > 3 * back, shown,
        )  # fmt: skip
        for key, value in zip(shafts, row, strict=True):
            shafts[key].append(value)
        label = name if inside else f"{name}, {number(length)} long"
        # Names stand outside the polygon of the arrows; where it is flat, that of the whole below the others.
        normal = np.array([-unit[1], unit[0]])
        outward = float(normal @ ((tail + end) / 2 - center))
        if abs(outward) <= 1e-3 * side:
            outward = -normal[1] if is_whole else normal[1]
        normal = normal if outward >= 0 else -normal
        names.append((label, (tail + end) / 2, normal, slot, shown))
    return {key: _column(values) for key, values in shafts.items()}, _placed(names, window)


def _column(values: list[object]) -> object:
    return values if isinstance(values[0], str) else np.array(values)


def _placed(names: Sequence[tuple[str, Array, Array, int, bool]], window: raster.Window) -> Part:
    """Put every name beside the middle of its arrow, pushed away from the names placed before it."""
    side = window[1] - window[0]
    high, wide = 0.052 * side, 0.0155 * side  # a line of text, a letter of it
    boxes: list[tuple[float, float, float, float]] = []
    places: list[tuple[float, float, int]] = []
    for label, middle, normal, _, shown in sorted(names, key=lambda name: name[0] != WHOLE):
        width = wide * len(label)

        def beside(
            normal: Array, middle: Array = middle, width: float = width
        ) -> tuple[float, float, int, float]:
            """Return x, y and side of a name on one side of its arrow, and how far the window's border moves it."""
            across = 0 if abs(normal[0]) < 0.35 else int(np.sign(normal[0]))
            x = float(middle[0] + 0.022 * side * normal[0])
            left = {0: x - width / 2, 1: x, -1: x - width}[across]
            shift = min(max(left, window[0]), window[1] - width) - left
            return (
                x + shift,
                float(middle[1] + (0.022 + 0.03 * abs(normal[1])) * side * normal[1]),
                across,
                abs(shift),
            )

        x, y, across, shift = beside(normal)
        if shift > 0 and beside(-normal)[3] == 0:
            normal = -normal
            x, y, across, shift = beside(normal)
        left = {0: x - width / 2, 1: x, -1: x - width}[across]
        y = min(max(y, window[2] + high / 2), window[3] - high / 2)
        upward = 1 if normal[1] >= 0 else -1
        if shown:
            for _ in range(12):
                if not any(
                    left < b and left + width > a and y - high / 2 < d and y + high / 2 > c
                    for a, b, c, d in boxes
                ):
                    break
                y += upward * high / 2
            boxes.append((left, left + width, y - high / 2, y + high / 2))
        places.append((x, y, across))
    order = sorted(range(len(names)), key=lambda i: names[i][0] != WHOLE)
    ordered = [names[i] for i in order]
    return {
        "x": np.array([p[0] for p in places]),
        "y": np.array([min(max(p[1], window[2]), window[3]) for p in places]),
        "side": np.array([p[2] for p in places], np.int8),
        "label": [name[0] for name in ordered],
        "slot": np.array([name[3] for name in ordered], np.int8),
        "shown": np.array([name[4] for name in ordered]),
    }


def _isolines(values: Values, point: Array, window: raster.Window) -> Part:
    """Trace the surface about a point, relative to it; a line through one point where there is nothing to trace."""
    nothing: Part = {
        "x": np.zeros(1), "y": np.zeros(1), "line": np.zeros(1, np.int16), "vertex": np.zeros(1, np.int16),
        "slot": np.full(1, theme.MUTED, np.int8),
    }  # fmt: skip
    x, y, offsets = raster.grid(window, _GRID)
    if window[1] - window[0] < 1e-7 * max(1e-300, float(np.abs(point).max())):
        return nothing  # finer than float64 resolves f
    with np.errstate(all="ignore"):
        loss = surface_of(values).f(point + offsets, **surface_settings(values))
    finite = np.isfinite(loss)
    if not finite.any():
        return nothing
    loss = np.where(finite, loss, loss[finite].max())
    levels = raster.depth(loss, float(loss.min()))
    lines_x, lines_y, line = raster.isolines(x, y, levels, _LINES)
    if not len(line):
        return nothing
    return {
        "x": lines_x,
        "y": lines_y,
        "line": line.astype(np.int16),
        "vertex": np.arange(len(line), dtype=np.int16),
        "slot": np.full(len(line), theme.MUTED, np.int8),
    }


def _path(taken: _Taken, window: raster.Window) -> Part:
    """Return the path about the point, relative to it and cut at the window."""
    first = max(0, taken.at - _AROUND)
    near = taken.result.path[first : taken.at + _AROUND + 1]
    ends = np.flatnonzero(~np.isfinite(near).all(axis=1))
    near = near[: ends[0]] if len(ends) else near
    points, _, piece, border = raster.clip_path(near - taken.point, window)
    if not len(points):
        points, piece, border = np.zeros((1, 2)), np.zeros(1, int), np.ones(1, bool)
    return {
        "x": points[:, 0],
        "y": points[:, 1],
        "piece": piece.astype(np.int16),
        "order": np.arange(len(points), dtype=np.int16),
        "dot": ~border,
        "slot": np.full(len(points), taken.method.style.slot, np.int8),
    }


def _rate_rows(taken: _Taken) -> tuple[dict[str, Frame], tuple[int, int]]:
    """Return the rows of the panel of effective rates, and the points it covers."""
    count = last_point(taken.result) + 1
    first = int(np.clip(taken.at - _SPAN // 2, 0, max(0, count - _SPAN)))
    points = np.arange(first, min(count, first + _SPAN))
    size = np.abs(taken.rates[points])
    size = np.where((size >= _LEAST) & (size <= _MOST), size, np.nan)
    seen = size[np.isfinite(size)]
    # The bulk sets the axis: a gradient that passes through 0 sends the ratio anywhere.
    low, high = (np.quantile(seen, (0.02, 0.98))) if len(seen) else (1.0, 1.0)
    here = size[taken.at - first]
    low, high = np.nanmin([low, *here]) / 3, np.nanmax([high, *here]) * 3
    size = np.where((size >= low) & (size <= high), size, np.nan)
    slot = np.int8(taken.method.style.slot)
    parts: list[Part] = []
    last: list[tuple[int, float]] = []
    for i, name in enumerate("xy"):
        drawn, up = np.isfinite(size[:, i]), taken.rates[points, i] < 0
        down = drawn & ~up
        beside = np.pad(down, 1)
        parts.append(
            {
                "point": points.astype(np.int16),
                "rate": size[:, i],
                "signed": taken.rates[points, i],
                "name": name,
                "piece": np.cumsum(np.diff(down.astype(int), prepend=0) > 0).astype(np.int16),
                "down": down,
                "up": drawn & up,
                "lone": down & ~beside[:-2] & ~beside[2:],
                "now": drawn & (points == taken.at),
                "slot": slot,
                "dash": np.int8(i),
            }
        )
        there = np.flatnonzero(drawn)
        last.append(
            (int(points[there[-1]]), float(size[there[-1], i])) if len(there) else (taken.at, math.nan)
        )
    parts.append(  # an extent for what is filtered
        {"point": points[:1].astype(np.int16), "rate": np.array([math.sqrt(low * high)]), "signed": 1.0, "name": "",
         "piece": np.int16(0), "down": True, "up": False, "lone": False, "now": False, "slot": slot, "dash": np.int8(0)}
    )  # fmt: skip
    for part in parts:
        signed = np.asarray(part["signed"], float)
        part["signed"] = np.where(np.isfinite(signed), signed, np.nan)
    reached = np.log10([low, high])
    ends = np.array([end for _, end in last])
    places = spread(np.log10(ends), 0.06 * float(np.ptp(reached)), *reached)
    labels, shown = ["x", "y"], np.isfinite(ends)
    if last[0][0] == last[1][0] and math.isclose(*ends, rel_tol=1e-9):
        labels, shown, places = ["x, y", ""], np.array([True, False]), np.log10(ends)
    places = np.where(shown, places, reached[0])
    return {
        "rates": rows(*parts),
        "reach": rows(point=[points[0], points[-1]], rate=[low, high]),
        "now": rows(point=[taken.at]),
        "ends": rows(
            point=[point for point, _ in last], rate=10.0**places, label=labels, slot=np.full(2, slot), shown=shown,
        ),
    }, (int(points[0]), int(points[-1]))  # fmt: skip


def _figure(values: Values, taken: _Taken) -> Figure:
    window = surface_of(values).window
    lr = _rate(values, taken)
    arrows = _arrows(taken, lr)
    view = _window(arrows, 0.02 * (window[1] - window[0]))
    shafts, names = _arrow_rows(arrows, view)
    rates, (first, last) = _rate_rows(taken)
    x, y = taken.point
    return Figure(
        name="optimizers/step",
        build=_step_spec,
        data={
            "frame": rows(x=[view[0], view[1]], y=[view[2], view[3]]),
            "isolines": rows(_isolines(values, taken.point, view)),
            "path": rows(_path(taken, view)),
            "arrows": rows(shafts),
            "names": rows(names),
            "titles": rows(
                arrows=[f"{taken.method.label} at point {taken.at}: ({number(x, 4)}, {number(y, 4)})"],
                rates=["Effective learning rate, step / −g"],
            ),
            **rates,
        },
        title=f"One step of {taken.method.label}",
        caption=(
            f"{place(values)}; {describe(taken.method)}; the step from point {taken.at} of {len(taken.steps)}, "
            f"g = ({number(taken.gradient[0], 4)}, {number(taken.gradient[1], 4)}), −η·g with η {number(lr)}; rates at points "
            f"{first} to {last}. {stated(values)}"
        ),
        key=(
            "Ring: the point. Thick arrow: the step. Thin arrows: its parts, tip to tail; parts that are 0 are left out. Gray: "
            "what gradient descent would do at this learning rate. Dotted: the path. Effective rate: solid x, dashed y; hollow "
            "circles (x) and diamonds (y): that coordinate moves up its gradient."
        ),
        alt="Left: one step as a sum of arrows over isolines of the loss. Right: step over negative gradient by coordinate.",
    )


def _rate(values: Values, taken: _Taken) -> float:
    """Return the learning rate of the step, its schedule included."""
    lr = float(taken.method.settings["lr"])
    return lr if values["schedule"] == "constant" else lr * float(factors(values)[taken.at])


# The text


_COMMAND = re.compile(r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}|\\[a-zA-Z]+|[{}^_\\,\s]")


def _width(formula: str) -> int:
    """Guess how many letters wide a formula is; a column is as wide as its widest entry."""

    def column(found: re.Match[str]) -> str:
        if found.group(1) is None:
            return (
                "" if len(found.group(0)) == 1 or found.group(0) in (r"\left", r"\right", r"\frac") else "x"
            )
        return "x" * (2 + max(_width(entry.replace("&", "x")) for entry in found.group(1).split(r"\\")))

    return len(_COMMAND.sub(column, formula))


def _equation(term: Term) -> list[str]:
    """Write a term in aligned lines: the formula, the formula with numbers, the value; short enough for a phone."""
    value = written(term.value if np.ndim(term.value) else float(term.value))
    if not term.formula:
        return [f"{term.symbol} &= {value}"]
    lines = [f"{term.symbol} &= {term.formula}"]
    if not term.numbers or term.numbers == value:
        return [*lines, f"&= {value}"]
    if _width(term.numbers) + _width(value) > _PHONE:
        return [*lines, f"&= {term.numbers}", f"&= {value}"]
    return [*lines, f"&= {term.numbers} = {value}"]


def _arithmetic(values: Values, taken: _Taken) -> str:
    entry, convention = taken.method.entry, word(values, "convention")
    differs = getattr(entry, "conventions", {}).get(convention, "")
    own = f" {convention}: {differs}." if differs else ""
    equations = [line for term in taken.parts.terms for line in _equation(term)]
    acts = (
        "The matrix ties the coordinates to each other"
        if taken.parts.mixes
        else "What it remembers carries the index t − 1. Every operation acts on each coordinate by itself"
    )
    rule = rule_as_set(entry.update_rule, taken.method.settings)
    lines = [
        f"The rule is ${rule}$.{own} At this step t = {taken.at + 1}. {acts}; the upper number is x.",
        f"$$\nw_{{{taken.at}}} = {vector(taken.point)},\\quad g = {vector(taken.gradient)}\n$$",
        "$$\n\\begin{aligned}\n" + " \\\\[4pt]\n".join(equations) + "\n\\end{aligned}\n$$",
    ]
    return "\n\n".join(lines)


def _angle(one: Array, other: Array) -> float:
    """Return the angle between two vectors in degrees, NaN if one is 0."""
    sizes = float(np.hypot(*one)), float(np.hypot(*other))
    if not all(0 < size < math.inf for size in sizes):
        return math.nan
    a, b = one / sizes[0], other / sizes[1]
    return math.degrees(2 * math.atan2(float(np.hypot(*(a - b))), float(np.hypot(*(a + b)))))


def _reading(values: Values, taken: _Taken) -> str:
    name, step, g = taken.method.label, taken.step, taken.gradient
    lines = []
    if taken.at < taken.asked:
        end = int(taken.result.diverged_at)
        why = f"it diverged at step {end}" if 0 <= end <= taken.asked else f"it has {len(taken.steps)} steps"
        lines.append(f"{name} makes no step from point {taken.asked}: {why}. Shown is its last one.")
    if not np.all(np.isfinite(step)):
        lines.append(
            f"The step from point {taken.at} is ({number(step[0])}, {number(step[1])}): it has no arrow."
        )
        return " ".join(lines)
    length = float(np.hypot(*step))
    if length == 0:
        lines.append(
            f"**{name}** does not move from point {taken.at}; its gradient is ({number(g[0])}, {number(g[1])})."
        )
        return " ".join(lines)
    away = _angle(step, -g)
    turned = f", {number(away)}° away from −g" if math.isfinite(away) else ", where the gradient is 0"
    if away < 1e-6:
        turned = ", along −g"
    lines.append(f"The step of **{name}** from point {taken.at} is {number(length)} long{turned}.")
    parts = [arrow for arrow in taken.parts.arrows if np.any(arrow.vector)]
    if len(parts) > 1:
        said = [f"{arrow.name} {number(float(np.hypot(*arrow.vector)))}" for arrow in parts]
        lines.append(f"Its parts by length: {', '.join(said)}.")
    rates = taken.rates[taken.at]
    if np.all(np.isfinite(rates)) and np.all(rates != 0):
        equal = number(float(rates[1] / rates[0])) in ("1", "1.00") or np.any(rates < 0)
        compared = "" if equal else f", {number(float(rates[1] / rates[0]))} times that of x"
        lines.append(
            f"Effective learning rate: {number(float(rates[0]))} in x, {number(float(rates[1]))} in y{compared}; η is "
            f"{number(_rate(values, taken))}."
        )
    uphill = [c for c, rate in zip("xy", rates, strict=True) if rate < 0]
    if uphill:
        moves = "moves up its own gradient" if len(uphill) == 1 else "move up their own gradients"
        lines.append(f"Negative: {' and '.join(uphill)} {moves}.")
    raw = taken.result.raw[taken.at]
    if not np.array_equal(raw, g, equal_nan=True):
        lines.append(
            f"The gradient was clipped from length {number(float(np.hypot(*raw)))} to {number(float(np.hypot(*g)))}."
        )
    moved = taken.result.path[taken.at + 1] - taken.point
    if np.any(np.abs(moved - step) > 1e-9 * (np.abs(step) + np.abs(taken.point))):
        lines.append(
            "The surface's domain ends here: the point that the step leads to was brought back into it."
        )
    return " ".join(lines)


def step_blocks(values: Values) -> Sequence[Block]:
    """Return the tab: one step as arrows, what it says, and the arithmetic with the numbers put in."""
    method = _chosen(values)
    if method is None:
        return ["Choose an optimizer to take one of its steps apart."]
    taken = _take(values, method)
    return [
        "A step is a matrix times the gradient: it turns the gradient as well as scaling it. Where does it lead?"
        if taken.parts.mixes
        else "A step is a sum: what this gradient asks for and what earlier ones left behind, each scaled coordinate by "
        "coordinate. Which part decides where it goes?",
        _figure(values, taken),
        _reading(values, taken),
        _arithmetic(values, taken),
    ]
