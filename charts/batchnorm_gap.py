"""The Gap tab of the BatchNorm page: how far training and evaluation are apart, and what it is made of."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import altair as alt
import contourpy
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, bins, named, rows, spread
from charts.raster import two_class_image
from charts.topic import Block, Values, real, whole, word
from core.batch_gap import (
    ClassOutputs,
    Gap,
    class_accuracy,
    class_accuracy_theory,
    class_gap_theory,
    class_outputs,
    gap_first_order,
    gap_theory,
    lowest,
    measure_class_gap,
    measure_gap,
)
from core.kept import keep
from core.knobs import Knob, Value, number
from core.normalization import BATCHNORM_CONVENTIONS

Array = np.ndarray

_BAD = 0.1  # of σ: the gap from which on it hurts
_LEVELS = (0.1, 0.2, 0.5, 1.0)
_SIZES, _WEIGHTS, _STEPS = (0.8, 640.0), (1e-3, 1.0), (1.0, 500.0)  # what the axes show
_COLUMNS, _ROWS = 144, 110  # of the picture
_COMPUTED = 48  # sizes and levels in between which it is interpolated
_LARGE = 4  # smallest batch for which the first order in 1/N is worth saying
_FAINT = 0.012  # where a panel ends for a part of the gap that goes below
_CLICK_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_CLICK_WEIGHTS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
_CLICK_STEPS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)
_CURVE_SIZES = {2: "vermilion", 8: "blue", 32: "green", 128: "purple"}
_CURVE_WEIGHTS = {0.01: "ochre", 0.03: "cyan", 0.1: "crimson", 0.3: "indigo"}
_CURVE_RUNS, _RUNS, _SAMPLES, _BINS = 160, 300, 1500, 40
_FAR = 5_000  # steps after which a curve is not followed further
_PARTS = {"running": ("running", "ochre"), "batch": ("batch", "green"), "lag": ("lag", "purple")}

_LABEL_STEPS = "steps since the change"
_LABEL_WEIGHT = "weight of the new batch a"


# The maps


def _log(name: str, title: str | None, domain: tuple[float, float], **axis: Any) -> dict[str, Any]:
    """Return the arguments of a logarithmic position whose domain never changes."""
    return {
        "shorthand": f"{name}:Q",
        "title": title,
        "scale": alt.Scale(type="log", domain=list(domain), nice=False),
        "axis": alt.Axis(grid=False, labelExpr=theme.POWER, **axis),
    }


_POWERS = [2**k for k in range(10)]


def _size_axis(title: str, narrow: bool) -> alt.X:
    return alt.X(
        "size:Q",
        title=title,
        scale=alt.Scale(type="log", domain=list(_SIZES), nice=False),
        axis=alt.Axis(
            grid=False,
            values=_POWERS,
            tickCount=len(_POWERS),
            labelExpr="datum.value",
            labelPadding=6,
            labelOverlap=narrow,
        ),
    )


def _heading(data: str, field: str) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{field}:N", color=theme.ink("ink"))
    )


def _gap_y(**changes: Any) -> alt.Y:
    return alt.Y(
        "gap:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, tickCount=6, labelPadding=6),
        **changes,
    )


def _ten_percent() -> Panel:
    """Draw the rule at 10%."""
    return (
        alt.Chart(named("rule"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.2)
        .encode(y=_gap_y(), color=theme.ink("ink"))
    )


# On which side of its place a name stands.
_SIDES: tuple[tuple[str, Literal["left", "right"], int], ...] = (
    ("after", "left", 8),
    ("before", "right", -8),
)


def _map_spec(width: int, across: tuple[float, float], title: str) -> Spec:
    """Build a map over batch size and the axis ``across``, and beside it a cut through the map."""
    narrow = width < NARROW
    left = width - 148 if narrow else round((width - 306) * 0.58)
    right = width - 148 if narrow else width - 306 - left
    tall, small = (260, 220) if narrow else (380, 380)
    x = _size_axis("batch size N", narrow)
    y = alt.Y(**_log("level", title, across, labelPadding=6, tickCount=8))
    pick = alt.selection_point(
        name="here", fields=["size", "level"], nearest=True, on="click", empty=False, toggle=False
    )
    here = alt.Chart(named("here_now"))

    def line(data: str, **look: Any) -> Panel:
        return (
            alt.Chart(named(data))
            .mark_line(clip=True, **look)
            .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.color())
        )

    cells = (
        alt.Chart(named("cells"))
        .mark_point(opacity=0, size=60)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("size:Q", title="N"),
                alt.Tooltip("level:Q", title=title),
                alt.Tooltip("gap:Q", title="gap", format=".3~g"),
                alt.Tooltip("batch:Q", title="from the batch's noise", format=".3~g"),
                alt.Tooltip("running:Q", title="from the running noise", format=".3~g"),
                alt.Tooltip("lag:Q", title="from the lag", format=".3~g"),
            ],
        )
        .properties(name="clicks")
    )
    ground = compose.layer(
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(x=x, x2="size1:Q", y=y, y2="level1:Q", url="url:N"),
        line("isolines", strokeWidth=0.8, opacity=0.7),
        line("border", strokeWidth=theme.LINE),
        line("guide", strokeWidth=1.4, strokeDash=[5, 4]),
        alt.Chart(named("levels"))
        .mark_text(align="left", dx=4, fontSize=theme.SMALL_SIZE)
        .encode(x=x, y=y, text="text:N", color=theme.color(), opacity=theme.SHOWN),
        here.mark_point(shape="circle", size=150, strokeWidth=6, filled=False, opacity=1).encode(
            x=x, y=y, color=theme.ink("paper")
        ),
        here.mark_point(shape="circle", size=150, strokeWidth=2.4, filled=False, opacity=1).encode(
            x=x, y=y, color=theme.ink("ink")
        ),
        cells,
        _heading("titles", "ground"),
        width=left,
        height=tall,
        name="ground",
    )

    decades = [10.0**k for k in range(round(math.log10(across[0])), math.floor(math.log10(across[1])) + 1)]
    at = alt.X(**_log("level", title, across, values=decades))  # there is no room for 2 and 5
    parts, measured = alt.Chart(named("parts")), alt.Chart(named("measured"))
    cut = compose.layer(
        _ten_percent(),
        here.mark_rule(strokeWidth=1, opacity=0.8).encode(x=at, color=theme.ink("faint")),
        parts.mark_line(strokeWidth=1.5, clip=True).encode(
            x=at, y=_gap_y(), detail="name:N", order="level:Q", color=theme.color(), strokeDash=theme.dash()
        ),
        measured.mark_line().encode(x=at, y=_gap_y(), order="level:Q", color=theme.ink("blue")),
        measured.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=at, y=alt.Y("theory:Q"), color=theme.ink("ink")
        ),
        *(
            alt.Chart(named("ends"))
            .mark_text(align=align, dx=dx, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=at, y=_gap_y(), text=f"{side}:N", color=theme.color(), opacity=theme.SHOWN)
            for side, align, dx in _SIDES
        ),
        _heading("titles", "cut"),
        width=right,
        height=small,
        name="cut",
    )
    join, gap = (compose.below, 40) if narrow else (compose.beside, 50)
    both = join(ground, cut, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config(), [compose.parameter(pick, "clicks")])


@lru_cache(maxsize=16)
def _weight_map_spec(width: int) -> Spec:
    return _map_spec(width, _WEIGHTS, _LABEL_WEIGHT)


@lru_cache(maxsize=16)
def _steps_map_spec(width: int) -> Spec:
    return _map_spec(width, _STEPS, _LABEL_STEPS)


class _Setting(NamedTuple):
    """What every view of the tab is computed from."""

    size: int
    weight: float
    convention: str
    eps: float  # ε/σ²
    shift: float
    steps: int
    separation: float
    seed: int
    history: int  # steps of the page's stream
    cumulative: bool  # the page averages all batches, where its convention leaves the choice
    plain: bool  # the page's feature is normal and never changes

    @property
    def unbiased(self) -> bool:
        return BATCHNORM_CONVENTIONS[self.convention].unbiased

    def theory(self, size: Any, weight: Any, steps: Any) -> Gap:
        """Return the gap at other sizes, weights and steps."""
        return gap_theory(size, weight, steps, self.shift, eps=self.eps, unbiased=self.unbiased)

    @property
    def averages(self) -> str:
        """Name what averages all batches alike on the page; empty if nothing does."""
        rule = BATCHNORM_CONVENTIONS[self.convention]
        if rule.fixed_weight() is None:
            return f"{self.convention} convention"
        return "cumulative average" if self.cumulative and _can_average(self.convention) else ""

    @property
    def stored(self) -> str:
        """Say in words what the running variance keeps."""
        whose = "the paper's" if self.convention == "paper" else f"{self.convention}'s"
        moving = ", moving in place of cumulative averages" if self.averages else ""
        return f"{whose} running variance, {'unbiased (N − 1)' if self.unbiased else 'biased (N)'}{moving}"

    @property
    def layer(self) -> str:
        """Say what holds for every figure of the tab."""
        return f"{self.stored}; ε/σ² {number(self.eps)}"


def _can_average(convention: str) -> bool:
    """Tell whether a convention takes momentum None, the cumulative average."""
    try:
        return BATCHNORM_CONVENTIONS[convention].fixed_weight(None) is None
    except ValueError:
        return False


def _grid(domain: tuple[float, float], count: int) -> Array:
    """Return the centers of equal cells on a logarithmic axis."""
    edges = np.linspace(math.log(domain[0]), math.log(domain[1]), count + 1)
    return np.asarray(np.exp((edges[1:] + edges[:-1]) / 2))


def _decades(gap: Array) -> Array:
    """Return log₁₀ of a gap over 10%; what a missing ε makes infinite stays far above."""
    return np.asarray(np.log10(np.clip(gap, 1e-6, 1e6) / _BAD))


# Bands of the picture end at the isolines: seven shades above 10%, seven below.
_BANDS = (0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0), (-1.0, -6 / 7, 0.0, 2 / 7, 4 / 7, 6 / 7, 1.0)


def _picture(sizes: Array, levels: Array, gap: Array, domain: tuple[float, float]) -> str:
    """Paint a map of (levels, sizes): vermilion where the gap is above 10%, blue below, the stronger the further."""
    field = _decades(gap)
    across, up = (np.log(_grid(axis, count)) for axis, count in ((_SIZES, _COLUMNS), (domain, _ROWS)))
    wide = np.array([np.interp(across, np.log(sizes), line) for line in field])
    fine = np.array([np.interp(up, np.log(levels), line) for line in wide.T]).T
    sure = np.interp(fine, np.log10(np.array(_BANDS[0]) / _BAD), _BANDS[1])
    return two_class_image((1 + sure) / 2)


def _contours(
    sizes: Array, levels: Array, gap: Array, taken: Sequence[float]
) -> tuple[list[Part], list[Part], list[dict[str, Any]]]:
    """Trace the isolines of a map: the thin ones, that of 10%, and a place for the name of each.

    It stands at the right end; for an upright line a quarter or three quarters up, away from the levels ``taken``.
    """
    bottom, top = np.log(levels[0]), np.log(levels[-1])
    spots = (0.75 * bottom + 0.25 * top, 0.25 * bottom + 0.75 * top)
    spot = max(spots, key=lambda place: min(abs(math.log(level) - place) for level in taken))
    field = _decades(gap)
    tracer = contourpy.contour_generator(np.log(sizes), np.log(levels), field)
    thin: list[Part] = []
    thick: list[Part] = []
    ends: list[dict[str, Any]] = []
    for value in _LEVELS:
        best: tuple[float, float] | None = None
        for found in tracer.lines(math.log10(value / _BAD)):
            vertices = np.asarray(found)
            if len(vertices) < 4:
                continue
            points = np.exp(vertices[np.unique(np.linspace(0, len(vertices) - 1, 60).astype(int))])
            into, hue = (thick, theme.INK) if value == _BAD else (thin, theme.MUTED)
            into.append(
                {"size": points[:, 0], "level": points[:, 1], "line": str(len(into)), "vertex": np.arange(len(points)),
                 "slot": np.int8(hue)}
            )  # fmt: skip
            right = points[np.argmax(points[:, 0])]
            if right[0] < 0.97 * sizes[-1]:
                right = points[np.argmin(np.abs(np.log(points[:, 1]) - spot))]
            if best is None or right[0] > best[0]:
                best = float(right[0]), float(right[1])
        if best is not None:
            ends.append(
                {"size": best[0], "level": best[1], "text": f"{number(100 * value)}%",
                 "slot": theme.INK if value == _BAD else theme.MUTED}
            )  # fmt: skip
    return thin, thick, ends


def _spaced(ends: list[dict[str, Any]], domain: tuple[float, float], edge: float) -> list[dict[str, Any]]:
    """Move the names at the right edge apart."""
    low, high = (math.log(v) for v in domain)
    at = [k for k, end in enumerate(ends) if end["size"] >= 0.97 * edge]
    placed: Array | list[float] = (
        spread(np.log([ends[k]["level"] for k in at]), 0.05 * (high - low), low, high) if at else []
    )
    for k, level in zip(at, placed, strict=True):
        ends[k]["level"], ends[k]["size"] = math.exp(level), _SIZES[1]
    return ends


_NO_LINE = {"size": [1.0], "level": 1.0, "line": "", "vertex": 0, "slot": np.int8(theme.INK)}


class _Cut(NamedTuple):
    """A cut through the map at the page's batch size: theory at fine places, measured at some."""

    fine: Array
    theory: Gap
    places: Array
    exact: Array
    measured: Array
    error: Array


def _cropped(x: Array, y: Array, low: float) -> tuple[Array, Array]:
    """Return the part of a line on logarithmic axes from ``low`` up, ended where it crosses that."""
    kept_x: list[float] = []
    kept_y: list[float] = []
    logs = np.log(np.maximum(y, 1e-12) / low)
    for k, log in enumerate(logs):
        if k and (log < 0) != (logs[k - 1] < 0):
            share = logs[k - 1] / (logs[k - 1] - log)
            kept_x.append(float(x[k - 1] * (x[k] / x[k - 1]) ** share))
            kept_y.append(low)
        if log >= 0:
            kept_x.append(float(x[k]))
            kept_y.append(float(y[k]))
    return np.array(kept_x), np.array(kept_y)


def _map_figure(
    name: str,
    build: Callable[[int], Spec],
    domain: tuple[float, float],
    sizes: Array,
    levels: Array,
    gaps: Array,
    cells: tuple[Array, Array, Gap],
    guide: tuple[Array, Array, str],
    cut: _Cut,
    here: tuple[float, float],
    titles: tuple[str, str],
    words: tuple[str, str, str, str],
) -> Figure:
    """Draw a map (levels, sizes) and a cut through it; ``cells`` are the places a click can choose, levels by sizes."""
    x, y, label = guide
    kept = (y >= domain[0]) & (y <= domain[1])
    thin, thick, ends = _contours(sizes, levels, gaps, [here[1], *y[kept]])
    if kept.any():
        ends.append(
            {
                "size": float(x[kept][-1]),
                "level": float(y[kept][-1]),
                "text": label,
                "slot": theme.SLOTS["green"],
            }
        )
    ends = _spaced(ends, domain, float(sizes[-1]))
    visible: list[Part] = []
    marks: list[dict[str, Any]] = []
    known = [cut.measured, cut.exact, np.array([_BAD])]
    for part in _PARTS:
        values = np.asarray(getattr(cut.theory, part))
        seen = values[(values >= _FAINT) & (values <= 1e6)]
        # A line that leaves the picture ends at its lower edge.
        known.append(np.append(seen, _FAINT) if seen.size and values.min() < _FAINT else seen)
    every = np.concatenate([np.asarray(v, float).ravel() for v in known])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    for part, (text, hue) in _PARTS.items():
        values = np.asarray(getattr(cut.theory, part))
        shown = np.flatnonzero((values >= low) & (values <= 1e6))
        if shown.size < 2:
            continue
        line_x, line_y = _cropped(cut.fine[values <= 1e6], values[values <= 1e6], low)
        look = {"slot": np.int8(theme.SLOTS[hue]), "dash": np.int8(0)}
        visible.append({"level": line_x, "gap": line_y, "name": part, **look})
        named_at = int(shown[-1])
        if named_at < len(values) - 1:  # a line that leaves the picture has its name between the other two
            above = np.flatnonzero(
                (values <= 1e6) & (values >= np.sqrt(cut.theory.batch * cut.theory.running))
            )
            named_at = int(above[-1]) if above.size else named_at
        marks.append(
            {"level": cut.fine[named_at], "gap": values[named_at], "label": text, "slot": theme.SLOTS[hue]}
        )
    marks.append(
        {"level": cut.places[-1], "gap": cut.measured[-1], "label": "gap", "slot": theme.SLOTS["blue"]}
    )
    edge = [k for k, mark in enumerate(marks) if mark["level"] >= 0.97 * domain[1]]
    placed = spread(
        np.log([marks[k]["gap"] for k in edge]), 0.06 * math.log(high / low), math.log(low), math.log(high)
    )
    for k, place in zip(edge, placed, strict=True):
        marks[k]["gap"] = math.exp(place)
    for mark in marks:
        # A name within the panel keeps off the upright rule: it takes up to a sixth of the axis.
        ahead = math.log(here[1] / mark["level"]) / math.log(domain[1] / domain[0])
        back = mark["level"] < 0.97 * domain[1] and -0.02 <= ahead < 1 / 6
        label = mark.pop("label")
        mark |= {"after": "" if back else label, "before": label if back else ""}
    cell_sizes, cell_levels, cell_gap = cells
    return Figure(
        name=name,
        build=build,
        data={
            "raster": rows(
                size=[_SIZES[0]],
                size1=_SIZES[1],
                level=domain[0],
                level1=domain[1],
                url=_picture(sizes, levels, gaps, domain),
            ),
            "isolines": rows(*thin) if thin else rows(_NO_LINE),
            "border": rows(*thick) if thick else rows(_NO_LINE),
            "guide": rows(
                size=x[kept],
                level=y[kept],
                line="",
                vertex=np.arange(int(kept.sum())),
                slot=np.int8(theme.SLOTS["green"]),
            )
            if kept.any()
            else rows(_NO_LINE),
            "levels": rows(*({k: [v] for k, v in end.items()} | {"shown": True} for end in ends))
            if ends
            else rows(size=[1.0], level=1.0, text="", slot=theme.INK, shown=False),
            "here_now": rows(size=[here[0]], level=here[1]),
            "cells": rows(
                size=np.tile(cell_sizes, len(cell_levels)),
                level=np.repeat(cell_levels, len(cell_sizes)),
                gap=cell_gap.total.ravel().astype(np.float32),
                batch=cell_gap.batch.ravel().astype(np.float32),
                running=cell_gap.running.ravel().astype(np.float32),
                lag=cell_gap.lag.ravel().astype(np.float32),
            ),
            "parts": rows(*visible)
            if visible
            else rows(level=[1.0], gap=_BAD, name="", slot=np.int8(theme.INK), dash=np.int8(0)),
            "measured": rows(level=cut.places, gap=cut.measured, theory=cut.exact),
            "ends": rows(*({k: [v] for k, v in mark.items()} | {"shown": True} for mark in marks)),
            "rule": rows(gap=[_BAD]),
            "titles": rows(ground=[titles[0]], cut=[titles[1]]),
        },
        title=words[0],
        caption=words[1],
        key=words[2],
        alt=words[3],
        click="here",
        hint="Click the map to go there; rest the pointer on it for the parts of the gap.",
    )


def _size_grid() -> Array:
    return np.unique(np.rint(np.geomspace(1, 512, _COMPUTED)))


_KEY = (
    "Vermilion: gap above 10% of a standard deviation, blue: below; thick line 10%, thin lines 20, 50 and 100%. {guide} "
    "Cut: blue line measured, small dots theory, thin lines the three parts in theory (gap² is the sum of their squares), "
    "dashed 10%."
)


def _changed(now: _Setting) -> str:
    return f"normal feature whose mean moves by {number(now.shift)}σ after a long time at rest"


@keep(entries=8)
def _at_rest(eps: float, unbiased: bool) -> tuple[Array, Array, Gap]:
    """Return the sizes and weights of the map, and its gap as the mean moves by 1σ: all that costs time."""
    sizes, weights = _size_grid(), np.geomspace(*_WEIGHTS, _COMPUTED)
    return sizes, weights, gap_theory(sizes, weights[:, None], 0, 1.0, eps=eps, unbiased=unbiased)


def _later(start: Gap, factor: Array) -> Array:
    """Return the gap when the lag is ``factor`` times that of the start."""
    return np.asarray(np.sqrt(start.batch**2 + start.running**2 + (factor * start.lag) ** 2))


def _weight_map(now: _Setting) -> list[Block]:
    sizes, weights, start = _at_rest(now.eps, now.unbiased)
    every = _later(start, now.shift * (1 - weights[:, None]) ** now.steps)
    if now.shift > 0 and now.steps > 0:
        best = lowest(weights, every)
        best = np.where((best > _WEIGHTS[0]) & (best < _WEIGHTS[1]) & (sizes > 1), best, np.nan)
    else:
        best = np.full(sizes.shape, np.nan)
    known = np.isfinite(best)
    click = np.array(_CLICK_WEIGHTS)
    cells = now.theory(np.array(_CLICK_SIZES), click[:, None], now.steps)
    fine = np.geomspace(*_WEIGHTS, 40)
    places = np.geomspace(*_WEIGHTS, 13)
    runs = _runs_for(now.steps)
    measured = measure_gap(
        now.size, places, now.steps, now.shift, eps=now.eps, unbiased=now.unbiased, runs=runs, seed=now.seed
    )
    exact = now.theory(now.size, places, now.steps).total
    cut = _Cut(fine, now.theory(now.size, fine, now.steps), places, exact, measured.total, measured.error)
    figure = _map_figure(
        "batchnorm/gap_map",
        _weight_map_spec,
        _WEIGHTS,
        sizes,
        weights,
        every,
        (np.array(_CLICK_SIZES), click, cells),
        (sizes[known], best[known], "best a"),
        cut,
        (now.size, max(now.weight, _WEIGHTS[0])),
        (f"Gap {_after(now.steps)}", f"A cut through the map at N = {now.size}"),
        (
            "The gap between training and evaluation",
            f"{_changed(now).capitalize()}; gap {_after(now.steps)} at batch sizes 1 to 512 and weights 0.001 to 1, exact; ring: "
            f"N {now.size}, a {number(now.weight, 4)}{_edge(now.weight, _WEIGHTS)}; {now.layer}. Cut: {runs} runs a point, "
            f"seed {now.seed}.",
            _KEY.format(guide="Dashed green: the weight of the smallest gap."),
            "Map of the gap between training and evaluation over batch size and weight of the new batch, and the gap and its "
            "three parts against the weight, at one batch size.",
        ),
    )
    return [
        r"How far apart do training and evaluation put the same sample? The **gap** is the rms of "
        r"$\hat x_\mathrm{eval} - \hat x_\mathrm{train}$ (γ = 1) over fresh samples, each in a fresh batch: 0.1 is 10% of a "
        "standard deviation. A large weight forgets the old mean quickly and is noisy, a small one is the other way round; "
        "only a larger batch calms training itself.",
        figure,
        _here_text(now, runs) + " " + _best_text(now, every, weights, sizes) + _alone_text(now),
        *_remarks(now),
    ]


def _edge(value: float, shown: tuple[float, float]) -> str:
    """Say that a value below what an axis shows is drawn at its edge."""
    return " (drawn at the edge)" if value < shown[0] else ""


def _runs_for(steps: int) -> int:
    """Return how many runs a map measures with, fewer of the long ones."""
    return int(min(_RUNS, max(60_000 / (steps + 100), 100)))


def _count(steps: int) -> str:
    return f"{steps} {'step' if steps == 1 else 'steps'}"


def _after(steps: int) -> str:
    return f"{_count(steps)} after the change"


def _steps_map(now: _Setting) -> list[Block]:
    sizes, levels = _size_grid(), np.geomspace(*_STEPS, 60)
    # The gap in between whole steps is drawn, not claimed: lag falls by the same factor a step.
    start = now.theory(sizes, now.weight, 0)
    with np.errstate(under="ignore"):
        every = _later(start, (1 - now.weight) ** levels[:, None])
    click = np.array(_CLICK_STEPS)
    places = np.unique(np.rint(np.geomspace(*_STEPS, 22)).astype(int))
    runs = _RUNS
    measured = measure_gap(
        now.size, now.weight, places.tolist(), now.shift,
        eps=now.eps, unbiased=now.unbiased, runs=runs, seed=now.seed,
    )  # fmt: skip
    exact = now.theory(now.size, now.weight, places).total
    fine = np.unique(np.rint(np.geomspace(*_STEPS, 60)))
    figure = _map_figure(
        "batchnorm/gap_steps",
        _steps_map_spec,
        _STEPS,
        sizes,
        levels,
        every,
        (
            np.array(_CLICK_SIZES),
            click.astype(float),
            now.theory(np.array(_CLICK_SIZES), now.weight, click[:, None]),
        ),
        (sizes, _lag_gone(start.lag, now.weight), "lag 10%"),
        _Cut(fine, now.theory(now.size, now.weight, fine), places, exact, measured.total, measured.error),
        (now.size, max(now.steps, 1)),
        (f"Gap at weight {number(now.weight, 4)}", f"A cut through the map at N = {now.size}"),
        (
            "The gap between training and evaluation after a change",
            f"{_changed(now).capitalize()}; gap 1 to 500 steps later at batch sizes 1 to 512, exact; weight of the new batch "
            f"{number(now.weight, 4)}; ring: N {now.size}, {_count(now.steps)}{_edge(now.steps, _STEPS)}; {now.layer}. Cut: "
            f"{runs} runs, seed {now.seed}.",
            _KEY.format(guide="Dashed green: the lag alone is 10%."),
            "Map of the gap between training and evaluation over batch size and steps since the change, and the gap and its "
            "three parts against the steps, at one batch size.",
        ),
    )
    return [
        "How long does a change hurt, and what is left when it is forgotten? " + _upward_text(now),
        figure,
        _here_text(now, runs) + " " + _waiting_text(now) + _alone_text(now),
        *_remarks(now),
    ]


# What the maps say


def _lag_gone(lag: Array, weight: float) -> Array:
    """Return the steps after which a lag that starts at ``lag`` and falls by 1 − a a step is 10%; ∞ for never."""
    if weight in (0, 1):
        steps = np.full(np.shape(lag), math.inf if weight == 0 else 1.0)
    else:
        steps = np.log(np.maximum(lag, _BAD) / _BAD) / -math.log1p(-weight)
    return np.asarray(np.where(lag > _BAD, steps, 0.0))


@keep(entries=16)
def _settled(weight: float, eps: float, unbiased: bool) -> Gap:
    """Return the parts of the gap as the mean moves by 1σ, at batch sizes 1 to 512."""
    return gap_theory(np.arange(1, 513), weight, 0, 1.0, eps=eps, unbiased=unbiased)


def _floor(now: _Setting) -> Array:
    """Return the gap at batch sizes 1 to 512 without a lag."""
    parts = _settled(now.weight, now.eps, now.unbiased)
    return np.hypot(parts.batch, parts.running)


def _upward_text(now: _Setting) -> str:
    """Say what the map over the steps shows."""
    right = "to the right noise falls as 1/√N."
    if now.shift == 0:
        return f"The mean has not moved, so there is no lag and nothing changes upward; {right}"
    if now.weight == 0:
        return f"With weight 0 the lag never dies out and nothing changes upward; {right}"
    text = f"Upward the lag dies out, by the factor 1 − a a step; {right}"
    good = _floor(now) < _BAD
    if good.all():
        return text
    if not good.any():
        return f"{text} **Waiting is not enough** up to N = 512: the noise alone makes more than 10%."
    return (
        f"{text} **Waiting does not help a small batch**: left of the upright part of the thick line no number of steps is "
        "enough."
    )


def _share(part: Any, total: Any) -> str:
    share = part**2 / total**2 if total > 0 else 0.0
    return f"{number(100 * share, 2)}%" if share > 1e-6 else "0%"


def _here_text(now: _Setting, runs: int) -> str:
    gap = now.theory(now.size, now.weight, now.steps)
    measured = measure_gap(
        now.size,
        now.weight,
        now.steps,
        now.shift,
        eps=now.eps,
        unbiased=now.unbiased,
        runs=runs,
        seed=now.seed + 1,
    )
    when = f"{_after(now.steps)} of {number(now.shift)}σ" if now.shift else "with no change of the mean"
    first = ""
    if now.size >= _LARGE:
        place = (now.size, now.weight, now.steps, now.shift)
        close = number(float(gap_first_order(*place, eps=now.eps)))
        formula, r = r"\sqrt{3/((2-a)N) + (1-a)^{2s}\Delta^2}", ""
        if close != number(float(gap_first_order(*place))):
            formula = r"\sqrt{\bigl((2+r^{-2})/((2-a)N) + (1-a)^{2s}\Delta^2\bigr)/r}"
            r = f", r = 1 + ε/σ² = {number(1 + now.eps, 4)}"
        first = f" With the noise to first order in 1/N it is ${formula}$ = {close}{r}."
    return (
        f"At N = {now.size}, a = {number(now.weight, 4)} (Keras momentum {number(1 - now.weight, 4)}), {when}, the gap "
        f"is **{number(float(gap.total))}** (measured {number(float(measured.total))} ± "
        f"{number(float(measured.error), 2)}). Of its square {_share(gap.batch, gap.total)} is the noise of the batch, "
        f"{_share(gap.running, gap.total)} that of the running statistics and {_share(gap.lag, gap.total)} the lag.{first}"
    )


def _best_text(now: _Setting, gaps: Array, weights: Array, sizes: Array) -> str:
    if now.shift == 0:
        return "Nothing has changed, so the smaller the weight the smaller the gap."
    if now.steps == 0:
        return "No batch of the new kind has been seen yet, so no weight helps against the lag."
    fine = np.geomspace(*_WEIGHTS, 61)
    found = now.theory(now.size, fine, now.steps).total
    best = float(lowest(fine, found))
    least = float(now.theory(now.size, best, now.steps).total)
    over = float(now.theory(now.size, now.weight, now.steps).total) / least - 1
    beside = "as here, to within 1%" if over < 0.01 else f"this one is {number(100 * over, 2)}% above"
    if best <= _WEIGHTS[0]:
        return f"The smaller the weight the smaller the gap: {number(least)} at a = {number(best)}; {beside}."
    if best >= _WEIGHTS[1]:
        return f"The best weight is 1, with a gap of {number(least)}; {beside}."
    return (
        f"The best weight for this batch size and this many steps is a = {number(best)}, with a gap of {number(least)}; "
        f"{beside}."
    )


def _alone_text(now: _Setting) -> str:
    """Say from which batch size on the noise of the batch alone is below 10%."""
    alone = _settled(now.weight, now.eps, now.unbiased).batch
    good = np.flatnonzero(alone < _BAD)
    mine = float(alone[now.size - 1])
    text = f" The noise of the batch alone makes {number(mine)}"
    if good.size:
        return f"{text}; it is below 10% from N = {int(good[0]) + 1} on."
    return f"{text} and is above 10% up to N = 512."


def _waiting_text(now: _Setting) -> str:
    gone = np.ceil(_lag_gone(now.shift * _settled(now.weight, now.eps, now.unbiased).lag, now.weight))
    mine = float(gone[now.size - 1])
    if mine == 0:
        text = "The lag is never above 10%."
    elif mine == math.inf:
        text = "With weight 0 the lag never dies out."
    elif np.ptp(gone[1:]):
        text = (
            f"The lag alone is below 10% after {_count(int(mine))} here; the noise of the running variance makes that "
            f"{int(gone[1:].min())} to {int(gone[1:].max())} at N from 2 to 512."
        )
    elif mine != gone[1]:
        text = f"The lag alone is below 10% after {_count(int(mine))} here, and after {int(gone[1])} in any larger batch."
    else:
        text = f"The lag alone is below 10% after {_count(int(mine))}, whatever the batch size."
    settled = _floor(now)
    good = np.flatnonzero(settled < _BAD)
    left = number(float(settled[now.size - 1]))
    if good.size:
        return f"{text} Without a lag {left} stays here, and less than 10% from N = {int(good[0]) + 1} on."
    return f"{text} Without a lag {left} stays here, and more than 10% up to N = 512."


def _remarks(now: _Setting, feature: str = "the feature is normal and its mean moves once") -> list[str]:
    """Return what is particular to these settings."""
    texts = []
    if not now.plain:
        texts.append(f"Here {feature}, whatever values and change over time the page is set to.")
    if now.averages:
        old = now.history
        left = old / (old + now.steps)
        texts.append(
            f"The {now.averages} weighs all batches alike and has no weight a; what is drawn are moving averages with "
            f"its variance and a = {number(now.weight, 4)}. After {old} batches of the old kind and {now.steps} of the new one "
            f"its mean still holds {old}/{old + now.steps} = {number(100 * left)}% of the change."
        )
    if now.size == 1:
        texts.append(
            "**Batch size 1**: in training every output is 0, so the gap is the size of the evaluation output. "
            + (
                "The unbiased variance is 0/0 and never stored: the running variance is taken to stand at the truth."
                if now.unbiased
                else "The stored variance is 0, and the evaluation output is divided by √ε."
            )
        )
    if now.weight == 1 and 2 <= now.size <= 3:
        texts.append(
            f"At weight 1 the running variance is that of one batch, and with {now.size} values it can be next to 0: a few such "
            "batches make the whole rms, which only ε keeps finite. Measured and exact values part there."
        )
    if now.weight == 0:
        texts.append(
            "**Weight 0** stores nothing; the running statistics are taken for those of the old data."
        )
    return texts


# Curves


@lru_cache(maxsize=16)
def _curves_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 112 if narrow else (width - 242) // 2
    tall = 240 if narrow else 330

    def panel(name: str) -> Panel:
        x = alt.X(**_log("step", _LABEL_STEPS, _STEPS, tickCount=6, labelSeparation=4))
        base = alt.Chart(named(name))
        return compose.layer(
            alt.Chart(named("span")).mark_point(opacity=0).encode(y=_gap_y()),
            _ten_percent(),
            base.mark_line().encode(
                x=x, y=_gap_y(), detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
            ),
            alt.Chart(named("ends"))
            .transform_filter(f"datum.panel == '{name}'")
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=_gap_y(), text="label:N", color=theme.color()),
            _heading("titles", name),
            width=inner,
            height=tall,
            name=name,
        )

    panels = [panel("sizes"), panel("weights")]
    join, gap = (compose.below, 40) if narrow else (compose.beside, 36)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _curves(now: _Setting) -> list[Block]:
    steps = np.unique(np.rint(np.geomspace(*_STEPS, 28)).astype(int))
    size_hues, weight_hues = _with_own(_CURVE_SIZES, now.size), _with_own(_CURVE_WEIGHTS, now.weight)
    panels: dict[str, tuple[list[str], Array, Array, Mapping[Any, str]]] = {
        "sizes": (
            [f"N {size}" for size in size_hues],
            np.array(list(size_hues)),
            np.full(len(size_hues), now.weight),
            size_hues,
        ),
        "weights": (
            [f"a {number(weight, 4)}" for weight in weight_hues],
            np.full(len(weight_hues), now.size),
            np.array(list(weight_hues)),
            weight_hues,
        ),
    }
    frames: dict[str, list[Part]] = {}
    lasts: dict[str, tuple[list[str], Array, list[int]]] = {}
    worst = 0.0
    seen: list[Array] = [np.array([_BAD])]
    for panel, (names, sizes, weights, hues) in panels.items():
        measured = measure_gap(
            sizes, weights, steps.tolist(), now.shift,
            eps=now.eps, unbiased=now.unbiased, runs=_CURVE_RUNS, seed=now.seed,
        )  # fmt: skip
        exact = now.theory(sizes, weights, steps[:, None]).total
        worst = max(worst, float(np.median(np.abs(measured.total / exact - 1))))
        slots = [theme.SLOTS[hue] for hue in hues.values()]
        frames[panel] = [
            {"step": steps.astype(np.int16), "gap": measured.total[:, k], "theory": exact[:, k], "name": names[k],
             "slot": np.int8(slots[k]), "dash": np.int8(0)}
            for k in range(len(names))
        ]  # fmt: skip
        lasts[panel] = names, measured.total[-1], slots
        seen += [measured.total.ravel(), exact.ravel()]
    values = np.concatenate(seen)
    low, high = 0.9 * float(values.min()), float(values.max())
    ends: list[Part] = []
    for panel, (names, last, slots) in lasts.items():
        placed = np.exp(spread(np.log(last), 0.06 * math.log(high / low), math.log(low), math.log(high)))
        ends.append({"panel": panel, "gap": placed, "label": names, "slot": slots})
    figure = Figure(
        name="batchnorm/gap_curves",
        build=_curves_spec,
        data={
            "sizes": rows(*frames["sizes"]),
            "weights": rows(*frames["weights"]),
            "ends": rows(*ends),
            "rule": rows(gap=[_BAD]),
            "span": rows(gap=[low, high]),
            "titles": rows(
                sizes=[f"Gap by batch size, a = {number(now.weight, 4)}"],
                weights=[f"Gap by weight of the new batch, N = {now.size}"],
            ),
        },
        title="The gap after a change",
        caption=(
            f"{_changed(now).capitalize()}; by batch size with a {number(now.weight, 4)} and N {_listed(size_hues)}, by weight "
            f"with N {now.size} and a {_listed(weight_hues)}; {_CURVE_RUNS} runs, seed {now.seed}; {now.layer}."
        ),
        key="Lines: measured, the rms over runs. Small dots: theory. Dashed rule: 10% of σ."
        + (
            " Lines in the color of the text: the page's own batch size or weight."
            if len(size_hues) > len(_CURVE_SIZES) or len(weight_hues) > len(_CURVE_WEIGHTS)
            else ""
        ),
        alt="Gap between training and evaluation against steps since the change, by batch size and by weight.",
    )
    return [
        _falling_text(now),
        figure,
        f"{_sizes_text(now, list(size_hues))} {_weights_text(now, list(weight_hues))} Half of the measured points lie within "
        f"{number(100 * worst, 2)}% of theory.",
        *_remarks(now),
    ]


def _with_own(hues: Mapping[Any, str], own: float) -> dict[Any, str]:
    """Return the curves of a panel with the page's own one among them, in order."""
    known = {number(value, 4) for value in hues}
    return dict(sorted({**hues, **({} if number(own, 4) in known else {own: "ink"})}.items()))


def _listed(values: Iterable[float]) -> str:
    return ", ".join(number(value, 4) for value in values)


def _falling_text(now: _Setting) -> str:
    if now.shift == 0:
        return (
            "The mean has not moved, so every curve is flat, at its floor of noise. What lowers that, a larger batch or a "
            "smaller weight?"
        )
    if now.weight == 0:
        return (
            "With weight 0 nothing is learned, and the gap by batch size stays where the change has put it. By weight the "
            "other curves fall along their lag and end on their floor of noise."
        )
    return (
        "Every curve falls along its lag and ends on its floor of noise. Does a larger batch make evaluation catch up sooner, "
        "or only let it come closer?"
    )


def _below_text(now: _Setting, where: str, curves: Mapping[str, tuple[int, float]]) -> str:
    """Say when the gap of each curve, a batch size and a weight by its name, falls below 10% of σ, or where it ends."""
    steps = np.arange(_FAR + 1)
    reached, stays = [], []
    for name, (size, weight) in curves.items():
        start = now.theory(size, weight, 0)
        settled = math.hypot(float(start.batch), float(start.running))
        with np.errstate(under="ignore"):
            line = np.hypot(settled, (1 - weight) ** steps * float(start.lag))
        below = np.flatnonzero(line < _BAD)
        if below.size:
            reached.append(f"{int(below[0])} for {name}")
        else:
            stays.append(f"{number(float(line[-1]))} for {name}")
    if not reached:
        return f"At {where} the gap stays above 10%: it ends at {', '.join(stays)}."
    text = f"Steps until the gap is below 10%, at {where}: {', '.join(reached)}."
    return f"{text} It ends above that at {', '.join(stays)}." if stays else text


def _sizes_text(now: _Setting, sizes: Sequence[int]) -> str:
    text = _below_text(
        now, f"a = {number(now.weight, 4)}", {f"N = {size}": (size, now.weight) for size in sizes}
    )
    several = np.array([size for size in sizes if size > 1])
    gone = np.ceil(_lag_gone(now.theory(several, now.weight, 0).lag, now.weight))
    low, high = float(gone.min()), float(gone.max())
    if not 0 < low <= high < math.inf:
        return text
    every = "every batch size" if 1 not in sizes else "every batch size above 1"
    if low == high:
        return (
            f"{text} The lag itself is below 10% after {_count(int(low))} for {every}: a larger batch lowers the floor, and "
            "catches up no sooner."
        )
    return (
        f"{text} The lag itself is below 10% after {int(low)} to {_count(int(high))} for {every}: a larger batch lowers the "
        f"floor, and catches up hardly sooner, by {_count(int(high - low))} at most."
    )


def _weights_text(now: _Setting, weights: Sequence[float]) -> str:
    text = _below_text(
        now, f"N = {now.size}", {f"a = {number(weight, 4)}": (now.size, weight) for weight in weights}
    )
    return f"{text} A larger weight forgets sooner and ends on a higher floor." if now.shift else text


# Classes in order


@lru_cache(maxsize=16)
def _sorted_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 130 if narrow else round((width - 332) * 0.46)
    right = width - 206 if narrow else width - 332 - left
    tall, high = (220, 320) if narrow else (340, 340)
    x = alt.X(**_log("step", _LABEL_STEPS, _STEPS, tickCount=6, labelSeparation=4))
    lines = alt.Chart(named("lines"))
    by_step = compose.layer(
        alt.Chart(named("span")).mark_point(opacity=0).encode(y=_gap_y()),
        _ten_percent(),
        alt.Chart(named("here_now"))
        .mark_rule(strokeWidth=1, opacity=0.8)
        .encode(x=x, color=theme.ink("faint")),
        lines.mark_line().encode(
            x=x, y=_gap_y(), detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        lines.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(left), y=_gap_y(), text="label:N", color=theme.color()),
        _heading("titles", "gap"),
        width=left,
        height=tall,
        name="by_step",
    )

    at = alt.X("low:Q", title="output", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    base = alt.Y("base:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    labels = alt.Chart(named("labels"))
    outputs = compose.layer(
        alt.Chart(named("bars"))
        .mark_rect(opacity=0.5)
        .encode(x=at, x2="high:Q", y=base, y2="top:Q", color=theme.color()),
        alt.Chart(named("grounds"))
        .mark_rule(strokeWidth=0.6)
        .encode(x=at, x2="high:Q", y=base, color=theme.ink("faint")),
        alt.Chart(named("means"))
        .mark_rule(strokeWidth=2)
        .encode(x=at, y=base, y2="top:Q", color=theme.color()),
        labels.mark_text(
            align="left", baseline="bottom", dx=8, dy=-16, fontSize=theme.SMALL_SIZE + 0.5
        ).encode(x=alt.value(right), y=base, text="name:N", color=theme.color()),
        labels.mark_text(
            align="left", baseline="bottom", dx=8, dy=-1, fontSize=theme.SMALL_SIZE + 0.5
        ).encode(x=alt.value(right), y=base, text="note:N", color=theme.ink("muted")),
        _heading("titles", "outputs"),
        width=right,
        height=high,
        name="outputs",
    )
    join, gap = (compose.below, 40) if narrow else (compose.beside, 36)
    both = join(by_step, outputs, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


_ORDERS = {True: ("in order", "crimson"), False: ("shuffled", "green")}
_CLASS_HUES = ("blue", "vermilion")


def _ridges(found: Mapping[bool, ClassOutputs]) -> dict[str, Any]:
    """Lay out the histograms of both classes' outputs, four rows on one axis."""
    named_rows = [(order, mode) for order in found for mode in ClassOutputs._fields]
    every = [getattr(found[order], mode).reshape(2, -1) for order, mode in named_rows]
    low = min(-3.0, *(float(np.quantile(part, 0.002)) for part in every))
    high = max(3.0, *(float(np.quantile(part, 0.998)) for part in every))
    step = 1 / len(every)
    bars: list[Part] = []
    means: list[Part] = []
    labels: list[Part] = []
    for row, ((order, mode), part) in enumerate(zip(named_rows, every, strict=True)):
        base = 1 - (row + 1) * step
        counted = [bins(values, low, high, _BINS) for values in part]
        tallest = max(float(counts.max()) for _, _, counts in counted)
        for k, (start, end, counts) in enumerate(counted):
            kept = counts > 0
            slot = np.int8(theme.SLOTS[_CLASS_HUES[k]])
            bars.append(
                {"low": start[kept], "high": end[kept], "base": base, "top": base + 0.8 * step * counts[kept] / tallest,
                 "slot": slot}
            )  # fmt: skip
            means.append(
                {"low": [float(part[k].mean())], "base": base, "top": base + 0.88 * step, "slot": slot}
            )
        apart = _apart(part)
        text, hue = _ORDERS[order]
        right = getattr(class_accuracy(found[order]), mode)
        labels.append(
            {
                "base": [base],
                "name": f"{text}, {mode}",
                "note": f"{number(apart)} apart, {number(100 * right, 2)}% right",
                "slot": theme.SLOTS[hue],
            }
        )
    return {
        "bars": rows(*bars),
        "grounds": rows(
            low=np.full(len(every), low), high=high, base=1 - step * np.arange(1, len(every) + 1)
        ),
        "means": rows(*means),
        "labels": rows(*labels),
    }


def _apart(outputs: Array) -> float:
    """Return the distance of two classes' mean outputs (2, samples), to two decimals: the samples give no more."""
    return round(float(outputs[1].mean() - outputs[0].mean()), 2) + 0.0


def _sorted(now: _Setting) -> list[Block]:
    steps = np.unique([now.steps, *np.rint(np.geomspace(*_STEPS, 24)).astype(int)])
    at = int(np.searchsorted(steps, now.steps))
    drawn = steps > 0  # the axis has no 0
    lines: list[Part] = []
    last: list[float] = []
    found: dict[bool, ClassOutputs] = {}
    exact: dict[bool, float] = {}
    gaps: dict[bool, float] = {}
    place: dict[str, Any] = {"eps": now.eps, "unbiased": now.unbiased}
    for order, (name, hue) in _ORDERS.items():
        measured = measure_class_gap(
            now.size,
            now.weight,
            steps.tolist(),
            now.separation,
            in_order=order,
            runs=_CURVE_RUNS,
            seed=now.seed,
            **place,
        )
        theory = class_gap_theory(now.size, now.weight, steps, now.separation, in_order=order, **place)
        if not order and now.size < _LARGE:
            theory = np.full(theory.shape, np.nan)
        lines.append(
            {"step": steps[drawn].astype(np.int16), "gap": np.maximum(measured.total[drawn], 1e-9), "theory": theory[drawn],
             "name": name, "slot": np.int8(theme.SLOTS[hue]), "dash": np.int8(0)}
        )  # fmt: skip
        last.append(float(np.maximum(measured.total[-1], 1e-9)))
        found[order] = class_outputs(
            now.size,
            now.weight,
            now.steps,
            now.separation,
            in_order=order,
            samples=_SAMPLES,
            seed=now.seed,
            **place,
        )
        exact[order] = float(
            class_gap_theory(now.size, now.weight, now.steps, now.separation, in_order=order, **place)
        )
        gaps[order] = float(measured.total[at])
    values = np.concatenate([np.asarray(part[field]) for part in lines for field in ("gap", "theory")])
    low, high = 0.9 * min(_BAD, float(np.nanmin(values))), max(_BAD, float(np.nanmax(values)))
    placed = np.exp(spread(np.log(last), 0.07 * math.log(high / low), math.log(low), math.log(high)))
    figure = Figure(
        name="batchnorm/gap_sorted",
        build=_sorted_spec,
        data={
            "lines": rows(*lines),
            "ends": rows(
                gap=placed,
                label=[name for name, _ in _ORDERS.values()],
                slot=[theme.SLOTS[hue] for _, hue in _ORDERS.values()],
            ),
            "here_now": rows(step=[max(now.steps, 1)]),
            "rule": rows(gap=[_BAD]),
            "span": rows(gap=[low, high]),
            "titles": rows(gap=["Gap over both classes"], outputs=[f"Outputs {_after(now.steps)}"]),
            **_ridges(found),
        },
        title="Classes in order and shuffled",
        caption=(
            f"Two classes, N(−d/2, σ²) and N(d/2, σ²) with d {number(now.separation)}σ; in order: batches of the lower class for "
            f"a long time, then of the upper one; shuffled: every batch mixed by tossing a coin; N {now.size}, a "
            f"{number(now.weight, 4)}; gap over {_CURVE_RUNS} runs, outputs of at least {_SAMPLES} samples a class "
            f"{_after(now.steps)}; "
            f"{now.layer}; seed {now.seed}."
        ),
        key=(
            "Gap: measured lines; small dots theory, exact in order and of first order in 1/N shuffled; dashed rule 10%. "
            "Outputs: blue the lower class, vermilion the upper one, upright lines their means; % right: share on its class's "
            "side of 0; 0.2% of a row may lie outside at either end."
        ),
        alt=(
            "Gap between training and evaluation against steps, for batches of one class in turn and for shuffled ones, and "
            "outputs of two classes in training and in evaluation, for both orders."
        ),
    )
    return [
        "A data set sorted by class fills each batch with one class. Every batch is centered on its own mean, so in training "
        "**the class is gone from the output**; evaluation, with one mean for all, shows it. Among the outputs compare the two "
        "rows in order.",
        figure,
        _sorted_text(now, found, gaps, exact),
        *_remarks(now, "the feature is made of two classes"),
    ]


def _sorted_text(
    now: _Setting, found: Mapping[bool, ClassOutputs], gaps: Mapping[bool, float], exact: Mapping[bool, float]
) -> str:
    apart = {
        (order, mode): _apart(getattr(found[order], mode)) for order in found for mode in ClassOutputs._fields
    }
    accuracy = {order: class_accuracy(outputs) for order, outputs in found.items()}
    theory = {
        order: class_accuracy_theory(now.size, now.weight, now.steps, now.separation, in_order=order)
        for order in found
    }

    def percent(value: float) -> str:
        return f"{number(100 * value)}%"

    order_gap = f"first order {number(exact[False])}" if now.size >= _LARGE else "no first order for so few"
    texts = [
        f"In order the class means are {number(apart[True, 'training'])} apart in training and "
        f"{number(apart[True, 'evaluation'])} in evaluation; shuffled {number(apart[False, 'training'])} and "
        f"{number(apart[False, 'evaluation'])}. The gap is {number(gaps[True])} (theory {number(exact[True])}) in order and "
        f"{number(gaps[False])} ({order_gap}) shuffled."
    ]
    if now.separation:
        floor = now.separation / 2 / math.sqrt(1 + now.eps)
        texts.append(
            rf"In order it never falls below $\tfrac d2/\sqrt{{1+\varepsilon/\sigma^2}}$ = {number(floor)}, whatever the batch "
            "size, the weight and the step: one running mean cannot be that of both classes."
        )
    texts.append(
        f"The rule “output above 0” finds the class of {percent(accuracy[True].training)} of the samples in training (theory "
        f"{percent(theory[True].training)}) and of {percent(accuracy[True].evaluation)} in evaluation "
        f"({percent(theory[True].evaluation)}); shuffled of {percent(accuracy[False].training)} and "
        f"{percent(accuracy[False].evaluation)} ({percent(theory[False].evaluation)})."
    )
    return " ".join(texts)


# The tab


class _View(NamedTuple):
    """One view of the tab: how it is drawn and which of the tab's knobs it uses."""

    draw: Callable[[_Setting], list[Block]]
    knobs: tuple[str, ...]


_VIEWS: Mapping[str, _View] = {
    "map: batch size and weight": _View(_weight_map, ("gap_shift", "gap_steps")),
    "map: batch size and steps": _View(_steps_map, ("gap_shift", "gap_steps")),
    "curves": _View(_curves, ("gap_shift",)),
    "sorted classes": _View(_sorted, ("gap_separation", "gap_steps")),
}

GAP_KNOBS = (
    Knob("gap_view", "choice", next(iter(_VIEWS)), label="Show", choices=tuple(_VIEWS)),
    Knob(
        "gap_shift", "float", 1.0, label="Change of the mean", low=0.0, high=10.0, step=0.25, unit="σ", symbol="Δ",
        help="How far the feature's mean moves, in its standard deviations.",
    ),
    Knob("gap_steps", "int", 20, label="Steps since the change", low=0, high=500, step=1, symbol="s"),
    Knob(
        "gap_separation", "float", 2.0, label="Distance of the class means", low=0.0, high=8.0, step=0.25, unit="σ",
        symbol="d", help="In standard deviations of one class.",
    ),
)  # fmt: skip


def gap_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab beside these values."""
    return ("gap_view", *_VIEWS[word(values, "gap_view")].knobs)


def _weight_click(point: Mapping[str, Any]) -> Values:
    return {"batch_size": round(float(point["size"])), "weight": float(point["level"])}


def _steps_click(point: Mapping[str, Any]) -> Values:
    return {"batch_size": round(float(point["size"])), "gap_steps": round(float(point["level"]))}


GAP_CLICKS: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Value]]] = MappingProxyType(
    {"batchnorm/gap_map": _weight_click, "batchnorm/gap_steps": _steps_click}
)


def gap_blocks(values: Values) -> Sequence[Block]:
    """Draw the chosen view of the gap at the page's batch size, weight, convention, ε, σ and seed."""
    view = word(values, "gap_view")
    used = set(_VIEWS[view].knobs)
    defaults = {knob.name: float(knob.default) for knob in GAP_KNOBS if knob.kind != "choice"}  # type: ignore[arg-type]
    own = {name: real(values, name) if name in used else default for name, default in defaults.items()}
    return _blocks(
        view,
        _Setting(
            size=whole(values, "batch_size"),
            weight=real(values, "weight"),
            convention=word(values, "convention"),
            eps=real(values, "eps") / real(values, "sigma") ** 2,
            shift=own["gap_shift"],
            steps=int(own["gap_steps"]),
            separation=own["gap_separation"],
            seed=whole(values, "seed"),
            history=whole(values, "steps"),
            cumulative=bool(values["cumulative"]),
            plain=values["source"] == "normal" and values["drift"] == "none",
        ),
    )


@keep(entries=8)
def _blocks(view: str, now: _Setting) -> tuple[Block, ...]:
    return tuple(_VIEWS[view].draw(now))
