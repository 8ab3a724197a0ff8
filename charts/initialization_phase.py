"""The Phase tab of the initialization page: where deep networks explode, forget or confuse their inputs."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import altair as alt
import contourpy
import numpy as np
from PIL import Image

from charts import compose, describe, progress, theme
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block
from core.activations import ACTIVATIONS, Activation
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import Knob, Value, number
from core.mean_field import (
    Correlation,
    PhasePoint,
    correlation_measured,
    correlation_step,
    correlation_theory,
    critical_line,
    explosion_line,
    phase_map,
    phase_point,
)

Array = np.ndarray
Settings = Mapping[str, float]
Items = tuple[tuple[str, float], ...]

_WEIGHTS, _BIASES = 6.0, 2.0  # σ_w² and σ_b² that the map shows, both from 0
_COLUMNS, _ROWS = 120, 40  # of the picture
_CELLS = np.arange(1, 61) / 10, np.arange(11) / 5  # σ_w² and σ_b² that a click can choose
_ISOLINES = (3, 10, 30)  # depth scales, in layers
_TORN = 0.2  # a step of ln χ₁ between neighboring pixels above this is a jump
_HALF = 0.35  # |ln χ₁| that is drawn at half of the strongest opacity
_STRONGEST, _SHADES = 0.62, 96
_LETTER = 0.13  # σ_w² that a letter of a scheme's name takes on a narrow map
_NAME_ROWS = (0.065, 0.095)  # σ_b² that a row of names takes on a wide and on a narrow map
_WIDTH, _NETWORKS = 100, 16
_LEVEL = 1e-9  # χ₁ as close to 1 counts as critical
_ROUNDING = 1e-6  # a correlation below is written as 0
_APART = 3.0  # standard errors that ask for a word
_CURVE = 24  # pieces of a curve of C
_FACTORS = (0.5, 1.0, 2.0)  # σ_w² of the three regimes over the critical one
_REGIMES = ("below", "critical", "above")
_HUES = ("blue", "ink", "vermilion")
_MARKED = ("LeCun normal", "He normal")

PHASE_KNOBS = (
    Knob(
        "phase_w2", "float", 2.0, label="Weight variance", low=0.05, high=_WEIGHTS, step=0.05, symbol="σ_w²",
        help="fan_in times the variance of a weight: 1 for LeCun, 2 for He. A click on the map sets it.",
    ),
    Knob(
        "phase_b2", "float", 0.0, label="Bias variance", low=0.0, high=_BIASES, step=0.05, symbol="σ_b²",
        help="Variance of a bias. A click on the map sets it.",
    ),
    Knob("phase_angle", "float", 60.0, label="Angle between the inputs", low=0.0, high=180.0, step=5.0, unit="°", symbol="θ"),
    Knob("phase_layers", "int", 40, label="Layers", low=5, high=100, step=1, symbol="L", cap="depth"),
)  # fmt: skip


def phase_click(point: Mapping[str, float]) -> dict[str, Value]:
    """Turn a click on the map, a row of its cells, into the values of its knobs."""
    return {"phase_w2": round(float(point["w"]), 2), "phase_b2": round(float(point["b"]), 2)}


# The map


@lru_cache(maxsize=16)
def _map_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 76 if narrow else round((width - 146) * 0.6)
    right = width - 76 if narrow else width - 146 - left
    tall, small = (300, 150) if narrow else (430, 173)

    x_scale, y_scale = (alt.Scale(domain=[0, top], nice=False, zero=False) for top in (_WEIGHTS, _BIASES))
    x, beside = (
        alt.X(
            f"{field}:Q",
            title="σ_w², fan_in × variance of a weight",
            scale=x_scale,
            axis=alt.Axis(grid=False, labelPadding=9),
        )
        for field in ("w", "name_w")
    )
    # Names of schemes stand in rows of one height in pixels, so that their place depends on that of the map.
    high = "name_narrow" if narrow else "name_wide"
    y, above = (
        alt.Y(f"{field}:Q", title="σ_b², variance of a bias", scale=y_scale, axis=alt.Axis(grid=False))
        for field in ("b", high)
    )
    pick = alt.selection_point(
        name="here", fields=["w", "b"], nearest=True, on="click", empty=False, toggle=False
    )
    lines = alt.Chart(named("lines"))
    labels = alt.Chart(named("labels"))
    here = alt.Chart(named("here_now"))
    marked = alt.Chart(named("marked"))
    schemes = alt.Chart(named("schemes"))

    def legible(
        base: Panel, across: alt.X, up: alt.Y, text: str, color: alt.Color | alt.ColorDatum, **place: Any
    ) -> Panel:
        """Write with the ground's color around the letters, so that no line crosses them out."""

        def said(ink: alt.Color | alt.ColorDatum, **style: Any) -> Panel:
            return base.mark_text(**place, **style).encode(
                x=across, y=up, text=f"{text}:N", color=ink, opacity=theme.SHOWN
            )

        halo = said(theme.ink("paper"), filled=False, strokeWidth=3.5, strokeOpacity=0.6, strokeJoin="round")
        return compose.layer(halo, said(color))

    def written(text: str, **place: Any) -> Panel:
        return legible(labels, x, y, text, theme.color(), **place)

    cells = (
        alt.Chart(named("cells"))
        .transform_calculate(
            q_text="isValid(datum.q) ? format(datum.q, '.3~g') : '∞'",
            c_text="isValid(datum.c) ? format(datum.c, '.3~f') : 'depends on the angle'",
            chi_text="isValid(datum.chi) ? format(datum.chi, '.3~g') : '∞'",
            depth_text=(
                "isValid(datum.depth) ? format(abs(datum.depth), '.3~g') + ' layers' + (datum.depth < 0 ? ', growing' : '') "
                ": '∞'"
            ),
        )
        .mark_point(opacity=0, size=40)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("w:Q", title="σ_w²"),
                alt.Tooltip("b:Q", title="σ_b²"),
                alt.Tooltip("q_text:N", title="q*"),
                alt.Tooltip("chi_text:N", title="χ₁"),
                alt.Tooltip("c_text:N", title="c*"),
                alt.Tooltip("depth_text:N", title="depth scale"),
            ],
        )
        .properties(name="clicks")
    )
    drawn = compose.layer(
        alt.Chart(named("picture"))
        .mark_image(aspect=False)
        .encode(x=x, x2="w1:Q", y=y, y2="b1:Q", url="url:N"),
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.8, opacity=0.6)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.color()),
        lines.mark_line(strokeWidth=theme.LINE, clip=True).encode(
            x=x, y=y, detail="line:N", order="b:Q", color=theme.color(), strokeDash=theme.dash()
        ),
        written("text", fontSize=theme.TEXT_SIZE, fontWeight=600, dy=-7),
        written("note", fontSize=theme.SMALL_SIZE, dy=9),
        alt.Chart(named("depths"))
        .mark_text(align="left", baseline="top", dx=3, dy=1, fontSize=theme.SMALL_SIZE - 1)
        .encode(x=x, y=y, text="text:N", color=theme.ink("muted"), opacity=theme.SHOWN),
        marked.mark_tick(orient="vertical", thickness=1, size=6, yOffset=-3).encode(
            x=x, y=alt.value(0), color=theme.ink("muted")
        ),
        marked.mark_text(baseline="bottom", dy=-8, fontSize=theme.SMALL_SIZE).encode(
            x=x, y=alt.value(0), text="label:N", color=theme.ink("muted")
        ),
        schemes.mark_rule(strokeWidth=0.8, opacity=0.7).encode(
            x=x, y=y, y2=high, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        legible(
            schemes,
            beside,
            above,
            "label",
            theme.ink("ink"),
            align="left",
            dx=4,
            fontSize=theme.SMALL_SIZE - 0.5,
        ),
        schemes.mark_point(shape="circle", size=34, strokeWidth=1.4, filled=False).encode(
            x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        here.mark_point(shape="circle", size=150, strokeWidth=6, filled=False, opacity=1).encode(
            x=x, y=y, color=theme.ink("paper")
        ),
        here.mark_point(shape="circle", size=150, strokeWidth=2.4, filled=False, opacity=1).encode(
            x=x, y=y, color=theme.ink("ink")
        ),
        cells,
        width=left,
        height=tall,
        name="phases",
    )

    def panel(name: str, low: bool) -> Panel:
        base = alt.Chart(named("layers"))
        at = alt.X(
            "layer:Q",
            title="layer" if low else None,
            scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(grid=False, tickMinStep=1, labels=low),
        )
        log = name == "q"
        scale = alt.Scale(type="log", nice=False) if log else alt.Scale(nice=False, zero=False)
        axis = (
            alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, tickCount=5, labelPadding=6)
            if log
            else alt.Axis(tickCount=4, labelPadding=6)
        )
        height = alt.Y(f"{name}:Q", title=None, scale=scale, axis=axis)
        return compose.layer(
            alt.Chart(named("limits"))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1)
            .encode(
                y=height,
                color=theme.ink("muted"),
                opacity=alt.condition(f"datum.shown_{name}", alt.value(1), alt.value(0)),
            ),
            alt.Chart(named("span")).mark_point(opacity=0).encode(y=height),
            base.mark_area(opacity=0.2).encode(
                x=at, y=alt.Y(f"{name}_low:Q", scale=scale), y2=f"{name}_high:Q", color=theme.color()
            ),
            base.mark_line().encode(x=at, y=height, color=theme.color()),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=at, y=alt.Y(f"{name}_theory:Q", scale=scale), color=theme.ink("ink")
            ),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE, limit=right + 40)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
            width=right,
            height=small,
            name=f"{name}_panel",
        )

    side = compose.below(panel("q", False), panel("c", True), spacing=34)
    join, gap = (compose.below, 36) if narrow else (compose.beside, 34)
    both = join(drawn, side, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config(), [compose.parameter(pick, "clicks")])


class _Region(NamedTuple):
    """A phase of the map: its name, what it does, its hue and its pixels."""

    name: str
    note: str
    hue: str
    where: Array  # (rows, columns) of the picture, from low to high bias


class _Ground(NamedTuple):
    """The map of one activation, which no control but its own settings changes."""

    data: Mapping[str, Frame]
    regions: tuple[_Region, ...]
    dashed: bool  # q* turns to ∞ at a line of its own
    endless: bool  # above the critical line q* = ∞, and there is no chaotic phase
    flat: bool  # χ₁ is 0 everywhere


_LINE = _BIASES * np.linspace(0.0, 1.0, 41) ** 2  # biases at which borders are computed


def _picture(log_chi: Array) -> str:
    """Return ln χ₁, rows from low to high bias, as a PNG data URI: hue by its sign, opacity by its size."""
    fades, grows = ([int(hue[i : i + 2], 16) for i in (1, 3, 5)] for hue in theme.PHASE_RASTER)
    size = np.abs(log_chi[::-1])
    level = 1 - _HALF / (size + _HALF)
    pixels = np.empty((*log_chi.shape, 4), np.uint8)
    pixels[..., :3] = np.where(log_chi[::-1, :, None] > 0, grows, fades)
    pixels[..., 3] = np.round(np.round(level * _SHADES) / _SHADES * 255 * _STRONGEST)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _innermost(region: Array) -> tuple[float, float, int] | None:
    """Return the place in a region of the picture that leaves most room for a label, or None if there is little.

    A label is wider than high, so the region is worn away by six pixels of the picture a row.

    Returns:
        σ_w², σ_b² and how often the region could be worn away.
    """
    left, times = region, 0
    while True:
        padded = np.pad(left, ((1, 1), (6, 6)))  # what lies outside the picture is no room either
        worn = left & padded[:-2, 6:-6] & padded[2:, 6:-6] & padded[1:-1, :-12] & padded[1:-1, 12:]
        if not worn.any():
            break
        left, times = worn, times + 1
    if not times:
        return None
    down, across = np.nonzero(left)
    middle = np.argmin(np.abs(across - across.mean()) + np.abs(down - down.mean()))
    return (across[middle] + 0.5) * _WEIGHTS / _COLUMNS, (down[middle] + 0.5) * _BIASES / _ROWS, times


_Point = tuple[float, float]  # σ_w², σ_b²


def _on_map(point: _Point) -> bool:
    return 0 <= point[0] <= _WEIGHTS and 0 <= point[1] <= _BIASES


def _placed(schemes: Mapping[str, _Point]) -> list[Part]:
    """Place the names of schemes on the map beside their marks: no name on another, nor on another's leader.

    Schemes at one point share a mark, and the names rise by rows from the right to the left.
    """
    groups: dict[_Point, list[str]] = {}
    for name, point in schemes.items():
        if _on_map(point):
            groups.setdefault((round(point[0], 6), round(point[1], 6)), []).append(name)
    taken: list[tuple[float, float, float, int]] = []  # from and to σ_w², σ_b², row
    parts: list[Part] = []
    for (w, b), names in sorted(groups.items(), reverse=True):
        label = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        long = _LETTER * len(label)
        at = max(0.0, min(w, _WEIGHTS - long))
        used = [
            row for low, high, other, row in taken if at < high and low < at + long and abs(other - b) < 0.5
        ]
        row = max(used, default=-1) + 1
        taken.append((at, at + long, b, row))
        side = 1 if b < _BIASES / 2 else -1
        wide, narrow = (b + side * (1.6 + row) * high for high in _NAME_ROWS)
        parts.append({"w": [w], "b": b, "name_w": at, "name_wide": wide, "name_narrow": narrow, "label": label,
                      "shown": True})  # fmt: skip
    return parts


def _labels(ground: _Ground, w: float, b: float, names: Sequence[Part]) -> list[Part]:
    """Place the names of the phases where there is room beside the ring at σ_w² w, σ_b² b and the schemes' names."""
    across, down = (np.arange(n) + 0.5 for n in (_COLUMNS, _ROWS))
    at_w, at_b = across * _WEIGHTS / _COLUMNS, (down * _BIASES / _ROWS)[:, None]
    free = (np.abs(at_w - w) > 0.2) | (np.abs(at_b - b) > 0.1)
    for part in names:
        left, long = float(part["name_w"]), _LETTER * len(str(part["label"]))  # type: ignore[arg-type]
        ends = [float(part[key]) for key in ("b", "name_wide", "name_narrow")]  # type: ignore[arg-type]
        beyond = (at_b < min(ends) - 0.05) | (at_b > max(ends) + 0.05)
        free &= (at_w < left) | (at_w > left + long) | beyond
    labels: list[Part] = []
    for region in ground.regions:
        place = _innermost(region.where & free)
        if place is not None:
            labels.append(
                {
                    "w": [place[0]],
                    "b": place[1],
                    "text": region.name,
                    "note": region.note if place[2] > 2 else "",
                    "slot": theme.SLOTS[region.hue],
                    "shown": True,
                }
            )
    return labels


def _isolines(w: Array, b: Array, log_chi: Array, borders: Sequence[Array]) -> tuple[list[Part], list[Part]]:
    """Trace the depth scales, and place their numbers where neither a border nor another number is."""
    smooth = np.where(np.isfinite(log_chi), log_chi, np.nan)
    for axis in (0, 1):  # no line runs along a jump of χ₁
        torn = np.abs(np.diff(smooth, axis=axis)) > _TORN
        for side in (0, 1):
            smooth[np.pad(torn, [(side, 1 - side) if k == axis else (0, 0) for k in (0, 1)])] = np.nan
    tracer = contourpy.contour_generator(w, b, np.ma.masked_invalid(smooth))
    contours: list[Part] = []
    numbers: list[Part] = []
    taken: list[tuple[float, float]] = []
    for depth in _ISOLINES:
        for side in (-1, 1):
            for vertices in tracer.lines(side / depth):
                points = np.asarray(vertices)[:: max(1, len(vertices) // 24)]
                if len(points) < 4:
                    continue
                contours.append(
                    {"w": points[:, 0], "b": points[:, 1], "line": str(len(contours)), "vertex": np.arange(len(points)),
                     "slot": theme.MUTED}
                )  # fmt: skip
                x, y = (float(v) for v in points[np.argmax(points[:, 1])])
                # A number is a quarter wide and a tenth high, and stands to the right of its line.
                crossed = [float(np.interp(y, _LINE, border)) - x for border in borders]
                crossed += [tx - x for tx, ty in taken if abs(ty - y) < 0.1]
                if x < _WEIGHTS - 0.25 and not any(
                    abs(gap) < 0.27 for gap in crossed
                ):  # NaN, no border there, is none
                    numbers.append({"w": [x], "b": y, "text": str(depth), "shown": True})
                    taken.append((x, y))
    return contours, numbers


@keep(entries=32)
def _ground(name: str, items: Items) -> _Ground:
    """Compute and draw the map of an activation."""
    activation, knobs = ACTIVATIONS[name], dict(items)
    w, b = ((np.arange(count) + 0.5) * top / count for count, top in ((_COLUMNS, _WEIGHTS), (_ROWS, _BIASES)))
    fine = phase_map(activation, w, b, knobs)
    with np.errstate(divide="ignore"):
        log_chi = np.log(fine.chi)
    cells = phase_map(activation, *_CELLS, knobs)
    critical, endless = (line(activation, _LINE, knobs) for line in (critical_line, explosion_line))

    def finite(values: Array) -> Array:
        return np.where(np.isfinite(values), values, np.nan).ravel().astype(np.float32)

    nothing = rows(w=[0.0], b=0.0, line="", vertex=0, slot=theme.INK, dash=0)  # a line through one point
    lines: list[Part] = []
    apart = np.where(np.isfinite(critical), np.abs(endless - critical) / critical, np.inf)
    # Where the two borders are one, or almost, one line is enough.
    own = (apart > 0.01) & bool(np.any(np.isfinite(endless) & (apart > 0.05)))
    for label, border, dash in (("critical", critical, 0), ("endless", np.where(own, endless, np.nan), 1)):
        kept = np.isfinite(border) & (border <= 2 * _WEIGHTS)
        if kept.sum() > 1:
            lines.append(
                {"w": border[kept], "b": _LINE[kept], "line": label, "slot": theme.INK, "dash": dash}
            )
    contours, depths = _isolines(w, b, log_chi, (critical, np.where(own, endless, np.nan)))
    explodes = np.isinf(fine.q_star)
    chaotic = ~explodes & (fine.chi > 1)
    flat = not np.any(fine.chi > 0)
    only_explodes = bool(explodes.any()) and chaotic.mean() < 0.01
    regions = (
        _Region("no gradient", "χ₁ = 0", "blue", np.full(explodes.shape, flat)),
        _Region(
            "decays" if only_explodes else "ordered",
            "gradients fade",
            "blue",
            ~explodes & (fine.chi <= 1) & (not flat),
        ),
        _Region("chaotic", "gradients grow", "vermilion", chaotic),
        _Region("explodes", "q → ∞", "vermilion", explodes),
    )
    data = {
        "picture": rows(w=[0.0], w1=_WEIGHTS, b=0.0, b1=_BIASES, url=_picture(log_chi)),
        "cells": rows(
            w=np.tile(_CELLS[0], _CELLS[1].size),
            b=np.repeat(_CELLS[1], _CELLS[0].size),
            q=finite(cells.q_star),
            chi=finite(cells.chi),
            c=finite(cells.c_star),
            depth=finite(cells.depth_scale),
        ),
        "lines": rows(*lines) if lines else nothing,
        "isolines": rows(*contours) if contours else nothing,
        "depths": rows(*depths) if depths else rows(w=[0.0], b=0.0, text="", shown=False),
        "marked": rows(
            w=[_WIDTH * INITIALIZERS[scheme].std(_WIDTH, _WIDTH) ** 2 for scheme in _MARKED],
            label=[scheme.split()[0] for scheme in _MARKED],
        ),
    }
    return _Ground(data, regions, any(part["line"] == "endless" for part in lines), only_explodes, flat)


# The runs


class _Runs(NamedTuple):
    """Theory and networks at the chosen point and at three σ_w² around the critical one."""

    border: float  # the critical σ_w² at this bias, NaN if there is none
    weights: Array  # (4,) σ_w²: the point's, then below, at and above the critical line
    theory: tuple[Correlation, ...]  # of each
    measured: Correlation  # (4, networks, layers + 1)
    curves: Array  # (3, pieces + 1) C(c) at the last layer's q, over _grid


def _grid(c0: float) -> Array:
    """Return correlations from 0 (or −1) to 1 at which C is drawn, closest at its ends."""
    angle = np.linspace(math.pi if c0 < 0 else math.pi / 2, 0.0, _CURVE + 1)
    return np.cos(angle)


@keep(entries=16)
def _runs(name: str, items: Items, w: float, b: float, angle: float, layers: int, seed: int) -> _Runs:
    activation, knobs = ACTIVATIONS[name], dict(items)
    c0 = math.cos(math.radians(angle))
    border = float(critical_line(activation, [b], knobs)[0])
    middle = border if math.isfinite(border) else w  # no critical σ_w²: around the chosen one
    weights = np.array([w, *(factor * middle for factor in _FACTORS)])
    parts = []
    for first in range(_NETWORKS):
        parts.append(
            correlation_measured(
                activation, c0, layers, weights, b, width=_WIDTH, seeds=1, seed=seed, first=first, knobs=knobs
            )
        )
        progress.report(0.5 * (first + 1) / _NETWORKS, f"{first + 1} of {_NETWORKS} networks")
    theory, curves = [], np.full((3, _CURVE + 1), np.nan)
    for k, value in enumerate(weights):
        theory.append(correlation_theory(activation, c0, layers, float(value), b, knobs=knobs))
        q = theory[k].q
        q = q[(q > 0) & (q < 1e150)]
        if k and q.size:
            curves[k - 1] = correlation_step(activation, q[-1], _grid(c0), value, b, knobs)
        progress.report(0.5 + 0.125 * (k + 1), "theory")
    measured = Correlation(
        *(np.concatenate([getattr(p, field) for p in parts], axis=1) for field in ("q", "c"))
    )
    return _Runs(border, weights, tuple(theory), measured, curves)


def _visible(values: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _spread_of(values: Array) -> tuple[Array, Array, Array]:
    """Return mean, 10th and 90th percentile over networks (networks, layers), NaN where one of them is not finite."""
    good = np.isfinite(values).all(axis=0)
    kept = np.where(good, values, 0.0)
    low, high = np.quantile(kept, (0.1, 0.9), axis=0)
    return tuple(np.where(good, part, np.nan) for part in (kept.mean(axis=0), low, high))  # type: ignore[return-value]


def _dotted(values: Array, layers: int) -> Array:
    """Keep some 20 of the layers, for the dots of theory."""
    return np.where(np.arange(layers + 1) % max(1, round(layers / 20)) == 0, values, np.nan)


def _map_figure(
    ground: _Ground,
    runs: _Runs,
    point: PhasePoint,
    described: str,
    w: float,
    b: float,
    angle: float,
    layers: int,
    seed: int,
    schemes: Mapping[str, _Point],
) -> Figure:
    theory = runs.theory[0]
    q, c = _spread_of(runs.measured.q[0]), _spread_of(runs.measured.c[0])
    q_parts = [_visible(part) for part in q]
    limit_shown = 0 < point.q_star < math.inf
    q_limit = point.q_star if limit_shown else 1.0
    known = np.concatenate([*q_parts, _visible(theory.q), [q_limit]])
    known = np.log10(known[np.isfinite(known)])
    pad = max(0.0, 1.0 - (known.max() - known.min())) / 2  # a decade at least
    c_limit = point.c_star if math.isfinite(point.c_star) else 1.0
    lowest = np.nanmin(np.concatenate([*c, theory.c, [c_limit]]))
    layer = np.arange(layers + 1, dtype=np.int16)
    names = _placed(schemes)
    labels = _labels(ground, w, b, names)
    dashed = "Dashed: q* = ∞ to its right. " if ground.dashed else ""
    return Figure(
        name="initialization/phase",
        build=_map_spec,
        data={
            **ground.data,
            "labels": rows(*labels)
            if labels
            else rows(w=[0.0], b=0.0, text="", note="", slot=theme.INK, shown=False),
            "schemes": rows(*names)
            if names
            else rows(w=[0.0], b=0.0, name_w=0.0, name_wide=0.0, name_narrow=0.0, label="", shown=False),
            "here_now": rows(w=[w], b=b),
            "layers": rows(
                layer=layer,
                slot=np.int8(theme.SLOTS["blue"]),
                q=q_parts[0],
                q_low=q_parts[1],
                q_high=q_parts[2],
                q_theory=_dotted(_visible(theory.q), layers),
                c=c[0],
                c_low=c[1],
                c_high=c[2],
                c_theory=_dotted(theory.c, layers),
            ),
            "limits": rows(q=[q_limit], c=c_limit, shown_q=limit_shown, shown_c=math.isfinite(point.c_star)),
            "span": rows(
                q=10.0 ** np.array([known.min() - pad, known.max() + pad]), c=[min(0.0, float(lowest)), 1.0]
            ),
            "titles": rows(
                q=[f"Second moment q, limit q* = {number(point.q_star)}"],
                c=[
                    f"Correlation c, limit c* = {_c(point.c_star, 3)}"
                    if math.isfinite(point.c_star)
                    else "Correlation c, no common limit"
                ],
            ),
        },
        title="Phases of a deep random network",
        caption=(
            f"{described}; ring and curves by layer: σ_w² {number(w, 4)}, σ_b² {number(b, 4)}, angle {number(angle, 4)}°, "
            f"{layers} layers, width {_WIDTH}, {_NETWORKS} networks, seed {seed}. h = φ(h)W + b, q⁰ = 1."
            + (f" Schemes as (σ_w², σ_b²), small circles on the map: {_listed(schemes)}." if schemes else "")
        ),
        key=(
            "Blue: χ₁ < 1, gradients fade on their way back and two inputs become alike. Vermilion: gradients grow. The "
            f"stronger the color, the fewer layers it takes. Thick line: χ₁ = 1. {dashed}Thin lines: depth scales of "
            f"{', '.join(map(str, _ISOLINES[:-1]))} and {_ISOLINES[-1]} layers. Ring: the point of the curves. "
            "By layer: measured line, 10th to 90th percentile of the networks; small dots the theory of infinite width, "
            "dashed its limit."
        ),
        alt=(
            "Left: map of weight variance against bias variance, colored by how fast gradients fade or grow, with the "
            "critical line. Right: second moment and correlation of two inputs by layer at the chosen point."
        ),
        click="here",
        hint="Click the map to move there, or rest the pointer on it for q*, χ₁, c* and the depth scale there.",
    )


# Three regimes


@lru_cache(maxsize=16)
def _regimes_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 216 if narrow else round((width - 230) * 0.56)
    right = width - 76 if narrow else width - 230 - left
    tall = 250 if narrow else 330
    x = alt.X(
        "layer:Q",
        title="layer",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )
    y = alt.Y(
        "c:Q", title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=5, labelPadding=6)
    )
    base = alt.Chart(named("layers"))
    span = alt.Chart(named("span"))
    titles = alt.Chart(named("titles"))

    def title(field: str) -> Panel:
        return titles.mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE).encode(
            x=alt.value(0), y=alt.value(-8), text=f"{field}:N", color=theme.ink("ink")
        )

    by_layer = compose.layer(
        span.mark_point(opacity=0).encode(y=y),
        base.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
        ),
        base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(left), y=y, text="label:N", color=theme.color()),
        title("layers"),
        width=left,
        height=tall,
        name="by_layer",
    )
    curves = alt.Chart(named("curves"))

    before = alt.X(
        "before:Q",
        title="c at a layer",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=5),
    )
    after = alt.Y(
        "c:Q", title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=5, labelPadding=6)
    )
    one_step = compose.layer(
        span.mark_line(strokeWidth=1, strokeDash=[5, 4]).encode(
            x=before, y=after, order="before:Q", color=theme.ink("muted")
        ),
        curves.mark_line(strokeWidth=1, opacity=0.75).encode(
            x=before, y=after, detail="name:N", order="before:Q", color=theme.color()
        ),
        alt.Chart(named("walks"))
        .mark_line()
        .encode(
            x=before, y=after, detail="name:N", order="layer:Q", color=theme.color(), strokeDash=theme.dash()
        ),
        alt.Chart(named("steps"))
        .mark_point(filled=True, size=22, opacity=0.8)
        .encode(x=before, y=after, color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("ends"))
        .mark_text(align="right", dx=-4, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(
            x=alt.value(right), y=alt.Y("name_c:Q"), text="label:N", color=theme.color()
        ),  # below the diagonal there is room
        title("map"),
        width=right,
        height=tall,
        name="one_step",
    )
    join = compose.below if narrow else compose.beside
    both = join(by_layer, one_step, spacing=36, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _regimes_figure(
    runs: _Runs, phases: Sequence[str], described: str, b: float, angle: float, layers: int, seed: int
) -> Figure:
    c0 = math.cos(math.radians(angle))
    layer = np.arange(layers + 1, dtype=np.int16)
    parts: list[Part] = []
    curves: list[Part] = []
    walks: list[Part] = []
    steps: list[Part] = []
    ends: list[float] = []
    low = min(0.0, c0)
    for k, (name, hue) in enumerate(zip(_REGIMES, _HUES, strict=True)):
        look: Part = {"name": name, "slot": np.int8(theme.SLOTS[hue]), "dash": np.int8(k)}
        mean, below, above = _spread_of(runs.measured.c[k + 1])
        theory = runs.theory[k + 1].c
        parts.append(
            {
                "layer": layer,
                "c": mean,
                "low": below,
                "high": above,
                "theory": _dotted(theory, layers),
                **look,
            }
        )
        known = mean[np.isfinite(mean)]
        ends.append(round(float(known[-1]), 9))  # so that lines that coincide keep their order
        low = min(low, float(np.nanmin(below)), float(np.nanmin(theory)))
        curves.append({"before": _grid(c0), "c": runs.curves[k], **look})
        walks.append({"before": theory[:-1], "c": theory[1:], "layer": layer[:-1], **look})
        pairs = np.isfinite(mean[1:])
        steps.append({"before": mean[:-1][pairs], "c": mean[1:][pairs], "shown": True, **look})
        low = min(low, float(np.nanmin(runs.curves[k])) if np.isfinite(runs.curves[k]).any() else 0.0)
    placed = spread(np.array(ends), 0.075 * (1 - low), low, 1.0)
    return Figure(
        name="initialization/correlation",
        build=_regimes_spec,
        data={
            "layers": rows(*parts),
            "curves": rows(*curves),
            "walks": rows(*walks),
            "steps": rows(*steps),
            "ends": rows(
                c=placed,
                name_c=low + (1 - low) * np.array([0.2, 0.125, 0.05]),
                label=[
                    f"{phase}, σ_w² {number(w)}" for phase, w in zip(phases, runs.weights[1:], strict=True)
                ],
                slot=[theme.SLOTS[hue] for hue in _HUES],
            ),
            "span": rows(before=[min(low, 0.0), 1.0], c=[low, 1.0]),
            "titles": rows(layers=["Correlation c of two inputs by layer"], map=["c at the next layer"]),
        },
        title="Two inputs through the layers",
        caption=(
            f"{described}; σ_b² {number(b, 4)}, angle {number(angle, 4)}°, σ_w² "
            f"{', '.join(number(w, 4) for w in runs.weights[1:])}, {layers} layers, width {_WIDTH}, {_NETWORKS} networks, "
            f"seed {seed}; the same unit draws for the three."
        ),
        key=(
            "By layer: mean over networks, 10th to 90th percentile, small dots theory. From layer to layer: thick, theory; "
            "thin, one layer of theory at the last q, from any c; dots, measured layers. Where a line meets the dashed diagonal "
            "a layer changes nothing."
        ),
        alt=(
            "Left: correlation of two inputs against the layer for three weight variances. Right: correlation at the next "
            "layer against that at a layer, with the diagonal."
        ),
    )


# The tab


def _phase(point: PhasePoint, ground: _Ground) -> str:
    """Name the phase of a point, in the words of the map."""
    if point.q_star == math.inf and abs(point.chi - 1) > _LEVEL:
        return "explodes"
    if ground.flat:
        return "no gradient"
    if abs(point.chi - 1) <= _LEVEL:
        return "critical"
    if point.chi > 1:
        return "chaotic"
    return "decays" if ground.endless else "ordered"


def _c(correlation: float, digits: int = 4) -> str:
    """Write a correlation; rounding of an angle's cosine is no correlation."""
    return number(0.0 if abs(correlation) < _ROUNDING else correlation, digits)


def _depth(scale: float) -> str:
    """Write a depth scale, 1/|ln χ₁|, and whether the gradient grows over it."""
    if scale == 0:
        return "0" if math.copysign(1, scale) > 0 else "none"  # χ₁ = 0, and χ₁ = ∞
    return number(abs(scale)) + (", growing" if scale < 0 else "")


def _listed(schemes: Mapping[str, _Point]) -> str:
    """Name schemes with their points."""
    return "; ".join(f"{name} ({number(w, 4)}, {number(b, 4)})" for name, (w, b) in schemes.items())


def _page_text(schemes: Mapping[str, _Point]) -> str:
    """Say how the point of the tab and the page's schemes relate."""
    on = [name for name, point in schemes.items() if _on_map(point)]
    off = {name: point for name, point in schemes.items() if not _on_map(point)}
    text = "The point of the ring is this tab's own"
    if on:
        text += f"; small circles mark the page's schemes at fan_in × variance of a weight and σ_b²: {', '.join(on)}"
    text += "."
    if off:
        text += f" Off the map, as (σ_w², σ_b²): {_listed(off)}."
    return text


def _homogeneous(activation: Activation, knobs: Settings) -> bool:
    """Return whether φ(2x) = 2φ(x), so that size and direction of a signal do not touch one another."""
    x = np.array([-3.0, -0.7, -0.01, 0.01, 0.7, 3.0])
    return bool(np.allclose(activation.f(2 * x, **knobs), 2 * activation.f(x, **knobs), rtol=1e-12, atol=0))


def _limits_text(point: PhasePoint, ground: _Ground, w: float, b: float) -> str:
    scale = point.depth_scale
    lines = [f"At σ_w² = {number(w, 4)} and σ_b² = {number(b, 4)}: **{_phase(point, ground)}**."]
    moment = f"q* = {number(point.q_star, 4)}, χ₁ = {number(point.chi, 4)}"
    if abs(point.chi - 1) <= _LEVEL:
        lines.append(f"{moment}: the gradient's second moment keeps its size, and the depth scale is ∞.")
    elif point.chi == 0:
        lines.append(f"{moment}: no gradient comes back, and the depth scale 1/|ln χ₁| is 0.")
    elif point.chi == math.inf:
        lines.append(f"{moment}: the slope grows with the signal, and no depth scale describes it.")
    else:
        verb = "falls" if scale > 0 else "grows"
        lines.append(
            f"{moment}; the depth scale 1/|ln χ₁| = {number(abs(scale))}: on its way back the gradient's second moment {verb} "
            f"e-fold in {number(abs(scale))} layers."
        )
    if math.isnan(point.c_star):
        lines.append("c has no common limit: in the end a layer keeps whatever angle two inputs have.")
    else:
        text = f"c* = {_c(point.c_star)}"
        if abs(point.correlation_slope - 1) <= _LEVEL:
            text += ", approached more slowly than by any factor a layer"
        elif point.correlation_slope > 0:
            text += f", and the distance from it shrinks ×{number(point.correlation_slope)} a layer"
        lines.append(text + ".")
    return " ".join(lines)


def _measured_text(runs: _Runs, layers: int, angle: float) -> str:
    """Say how far measured c lies from theory, at the last layer and where it is farthest."""
    theory, measured = runs.theory[0], runs.measured
    lines = []
    good = np.isfinite(theory.c) & np.isfinite(measured.c[0]).all(axis=0)
    last = int(np.flatnonzero(good)[-1])
    mean = measured.c[0].mean(axis=0)
    error = measured.c[0].std(axis=0, ddof=1) / math.sqrt(_NETWORKS)

    def distance(layer: int) -> float:
        """Return the distance from theory in standard errors, NaN where all networks agree."""
        if error[layer] < 1e-12:
            return math.nan
        return float(abs(mean[layer] - theory.c[layer]) / error[layer])

    # Rounding of the angle between two inputs that agree to the last digit is no distance.
    gaps = np.where(good, np.abs(np.where(good, mean, 0) - np.where(good, theory.c, 0)), 0)
    far = int(np.argmax(gaps))
    apart = distance(last)
    lines.append(
        f"From c⁰ = {_c(float(theory.c[0]), 3)} ({number(angle, 4)}°) {_NETWORKS} networks of width {_WIDTH} come to "
        f"c = {_c(float(mean[last]))} ± {number(float(error[last]) if error[last] >= 1e-12 else 0.0, 2)} at layer {last}, theory "
        f"{_c(float(theory.c[last]))}"
        + (": all networks agree." if math.isnan(apart) else f": {number(apart, 2)} standard errors apart.")
    )
    told = [last]
    if gaps[far] > 1e-9 and far != last:
        told.append(far)
        lines.append(
            f"The largest distance is {number(float(gaps[far]), 2)}, at layer {far}"
            + ("." if math.isnan(distance(far)) else f": {number(distance(far), 2)} standard errors.")
        )
    beyond = [layer for layer in told if distance(layer) > _APART and gaps[layer] > 1e-9]
    if beyond:
        lines.append(_finite_width(measured.c[0], theory.c, max(beyond)))
    q = measured.q[0, :, last]
    if np.isfinite(q).all() and q.mean() > 2 * np.quantile(q, 0.9):
        lines.append("The mean of q lies far above nine tenths of the networks: a few large ones make it.")
    if last < layers:
        size = "q is 0" if theory.q[last] < 1 else "q leaves float64"
        lines.append(f"From layer {last + 1} on {size}, and c has no value.")
    return " ".join(lines)


def _finite_width(measured: Array, theory: Array, layer: int) -> str:
    """Say why a few networks of finite width can lie further from theory than their own scatter tells."""
    above = int(np.sum(measured[:, layer] > theory[layer]))
    text = (
        f"Theory is for infinite width. At width {_WIDTH} networks scatter around it, with a variance of the order of layer / "
        f"width, {number(layer / _WIDTH)} at layer {layer}"
    )
    more = max(above, _NETWORKS - above)
    if more >= 0.75 * _NETWORKS:
        side, other = ("above", "below") if above == more else ("below", "above")
        text += (
            f", and unevenly: there {more} of {_NETWORKS} lie {side} theory. {_NETWORKS} networks easily miss the few that lie "
            f"far {other}, and then their standard error is too small"
        )
    return f"{text}."


def _remarks(
    activation: Activation, knobs: Settings, ground: _Ground, point: PhasePoint, border: float, b: float
) -> list[str]:
    """Return what is easily mistaken about this activation's map."""
    texts = []
    if _homogeneous(activation, knobs):
        linear = math.isnan(phase_point(activation, border / 2, 0.0, knobs).c_star)
        texts.append(
            f"{activation.name} is positively homogeneous: a layer multiplies q by {number(1 / border, 4)}·σ_w², whatever q is, "
            f"and adds σ_b². So the border is upright, at σ_w² = {number(border, 4)}; beyond it q* = ∞, and with biases q "
            "grows there by σ_b² a layer. There is no chaotic phase."
        )
        if b == 0:
            end = "c keeps its value" if linear else "c goes to 1"
            texts.append(
                f"Without biases, as here, {end} whatever σ_w is: σ_w² changes the sizes of signal and gradient, and no angle. "
                "The three regimes are one line."
            )
    if ground.flat:
        texts.append(
            f"χ₁ sees only the slope of {activation.name}, which is 0 beside its jump. Two inputs on either side of the jump "
            "part all the same, so c* can lie below 1."
        )
    elif 0 < point.q_star < math.inf and point.c_star < 1 - 1e-3 and b == 0:
        texts.append("Without biases nothing pulls two inputs together but the mean of φ.")
    if point.q_star == math.inf and not _homogeneous(activation, knobs) and point.chi < math.inf:
        texts.append("q* = ∞ is reached from q⁰ = 1; a smaller start can end elsewhere.")
    return texts


def phase_blocks(
    activation: str,
    settings: Settings,
    sigma_w2: float,
    sigma_b2: float,
    angle: float,
    layers: int,
    seed: int,
    schemes: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Sequence[Block]:
    """Map the phases of an activation, and follow two inputs at one point of the map and in three regimes.

    ``settings`` are the activation's own; ``angle`` is in degrees, and ``sigma_w2``, ``sigma_b2`` are the point.
    ``schemes`` are marked on the map: σ_w² and σ_b² by name. Those that are not finite have no place on it and are left out.
    """
    marked = tuple((name, point) for name, point in schemes.items() if np.isfinite(point).all())
    return _blocks(
        activation, tuple(sorted(settings.items())), sigma_w2, sigma_b2, angle, layers, seed, marked
    )


@keep(entries=16)
def _blocks(
    activation: str,
    items: Items,
    sigma_w2: float,
    sigma_b2: float,
    angle: float,
    layers: int,
    seed: int,
    marked: tuple[tuple[str, _Point], ...],
) -> tuple[Block, ...]:
    settings, schemes = dict(items), dict(marked)
    entry = ACTIVATIONS[activation]
    ground = _ground(activation, items)
    point = phase_point(entry, sigma_w2, sigma_b2, settings)
    runs = _runs(activation, items, sigma_w2, sigma_b2, angle, layers, seed)
    described = describe.described(activation, settings)
    border = runs.border
    texts = [_limits_text(point, ground, sigma_w2, sigma_b2), _measured_text(runs, layers, angle)]
    if math.isfinite(border):
        above = phase_point(entry, border, sigma_b2, settings).chi
        jump = "" if above < 1 + 1e-6 else f": there χ₁ jumps past 1, to {number(above, 4)}"
        texts.append(f"At this σ_b² the critical σ_w² is {number(border, 5)}{jump}.")
    if schemes:
        texts.append(_page_text(schemes))
    lines = []
    for k in range(1, 4):
        w = float(runs.weights[k])
        limit = phase_point(entry, w, sigma_b2, settings)
        lines.append(
            [number(w, 4), number(limit.q_star, 4), number(limit.chi, 4),
             "depends on θ" if math.isnan(limit.c_star) else _c(limit.c_star),
             _depth(limit.depth_scale), _phase(limit, ground)]
        )  # fmt: skip
    remarks = _remarks(entry, settings, ground, point, border, sigma_b2)
    return (
        _map_figure(ground, runs, point, described, sigma_w2, sigma_b2, angle, layers, seed, schemes),
        " ".join(texts),
        *remarks,
        _regimes_figure(runs, [line[-1] for line in lines], described, sigma_b2, angle, layers, seed),
        table(("σ_w²", "q*", "χ₁", "c*", "depth scale, layers", "phase"), lines),
    )
