"""The Family tab of the BatchNorm page: who shares statistics, what changes nothing, weight scale, inputs."""

import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.kept import keep
from core.knobs import Knob, Value, latex, number
from core.normalizers import (
    CHANGES,
    CHANNELS,
    INVARIANT,
    NORMALIZERS,
    PLAIN,
    TREATMENTS,
    Normalized,
    Normalizer,
    RegressionRun,
    draw_inputs,
    draw_trial,
    input_moments,
    invariances,
    layer,
    orthogonality,
    others_redrawn,
    own_statistics,
    regress,
    regression_hessian,
    weight_scale,
)
from core.special import normal_cdf

Array = np.ndarray

_ALL: Mapping[str, Normalizer] = {PLAIN.name: PLAIN, **NORMALIZERS}
_SAMPLES, _POSITIONS = 4, 3  # of the tensor that is drawn; its channels are those of the trial
_CELLS = _SAMPLES * CHANNELS * _POSITIONS
_DIVISORS = tuple(str(g) for g in range(1, CHANNELS + 1) if CHANNELS % g == 0)
_FACTORS = 10 ** np.linspace(-1, 2, 22)
_DOTTED = 10 ** np.linspace(-1, 2, 13)  # factors with a dot of theory
_POINTS, _DESCENT = 120, 100  # inputs drawn, and steps of descent
_FLOOR = 1e-9  # of the first loss, where its curve ends
_TINY = 1e-40  # stands in for a loss of 0
_SMALL = 1e-6  # of the first loss, which counts as arrived
_BROKEN = 0.01  # cosine of gradient and weights from which ε has spoiled their right angle
_ROUNDING = 1e-9  # a relative distance below this is the rounding of float64

STYLES = theme.styles(
    _ALL,
    fixed={
        "none": ("muted", 0),
        "BatchNorm": ("blue", 0),
        "LayerNorm": ("vermilion", 0),
        "LayerNorm (channels)": ("ochre", 0),
        "InstanceNorm": ("green", 0),
        "GroupNorm": ("purple", 0),
        "RMSNorm": ("crimson", 0),
        "WeightNorm": ("cyan", 0),
        "cosine": ("indigo", 0),
    },
)
_TREATED = theme.styles(
    TREATMENTS,
    fixed={
        "raw": ("muted", 0),
        "centered": ("ochre", 0),
        "divided by σ²": ("vermilion", 0),
        "divided by σ": ("blue", 0),
        "whitened": ("green", 0),
    },
)

VIEWS = ("who shares statistics", "invariances", "weight scale", "inputs")

FAMILY_KNOBS = (
    Knob("family_view", "choice", VIEWS[0], label="View", choices=VIEWS),
    Knob("family_norm", "choice", "BatchNorm", label="Normalization", choices=tuple(NORMALIZERS)),
    Knob(
        "family_groups", "choice", "2", label="Groups of GroupNorm", choices=_DIVISORS, symbol="G",
        help="1 shares what LayerNorm shares, as many as channels what InstanceNorm shares.",
    ),
    Knob("family_sample", "int", 2, label="Sample", low=1, high=_SAMPLES, step=1, symbol="n"),
    Knob("family_channel", "int", 3, label="Channel", low=1, high=CHANNELS, step=1, symbol="c"),
    Knob("family_position", "int", 2, label="Position", low=1, high=_POSITIONS, step=1, symbol="l"),
    Knob("input_mean", "float", 1.0, label="Mean of both inputs", low=0.0, high=3.0, step=0.1, symbol="μ"),
    Knob(
        "input_ratio", "float", 3.0, label="Ratio of their spreads", low=1.0, high=10.0, step=0.1, symbol="r",
        help="Standard deviation of the second input; that of the first is 1.",
    ),
    Knob("input_correlation", "float", 0.5, label="Correlation", low=0.0, high=0.95, step=0.05, symbol="ρ"),
)  # fmt: skip

_SHOWN: Mapping[str, tuple[str, ...]] = {
    VIEWS[0]: ("family_norm", "family_groups", "family_sample", "family_channel", "family_position"),
    VIEWS[1]: ("family_norm", "family_groups"),
    VIEWS[2]: ("family_norm", "family_groups"),
    VIEWS[3]: ("input_mean", "input_ratio", "input_correlation"),
}


def family_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls that the tab shows beside these values."""
    return ("family_view", *_SHOWN[word(values, "family_view")])


def family_click(point: Mapping[str, object]) -> dict[str, Value]:
    """Turn a click on a cell into the values of the knobs that name it.

    Returns:
        nothing if the click names no cell.
    """
    found: dict[str, Value] = {}
    for name in ("sample", "channel", "position"):
        place = point.get(name)
        if not isinstance(place, int | float):
            return {}
        found[f"family_{name}"] = int(place)
    return found


def _listed(names: Sequence[str]) -> str:
    """Join names with commas and a last "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _distance(size: float) -> str:
    """Write a relative distance; what is rounding is called that."""
    return "to rounding" if size < _ROUNDING else f"to within {number(size, 2)}"


def _divisor(entry: Normalizer) -> str:
    """Say what an entry divides by: "mean and variance", "length of weights and input"."""
    if entry.statistic is not None:
        return entry.statistic.name
    lengths = [noun for noun, used in (("weights", entry.by_weights), ("input", entry.by_inputs)) if used]
    return f"length of {_listed(lengths)}"


# Who shares statistics


class _Place(NamedTuple):
    """Where tensors are drawn, in pixels: ``columns`` of small ones, the steps between them, the cells' sizes."""

    columns: int
    across: float
    down: float
    small: float
    top: float
    large: float
    tall: float
    left: tuple[float, float]
    begin: tuple[float, float]
    lines: float
    height: float


_UNITS = _SAMPLES * (_POSITIONS + 0.5) - 0.5  # cells across a tensor, half a cell between samples
_TITLE = 38  # pixels of a name and the line below it


def _placed(width: int, narrow: bool) -> _Place:
    """Lay out the small tensors, then the large z and y, then the lines of arithmetic."""
    columns = 2 if narrow else 4
    across = width / columns
    small = (across - (10 if narrow else 22)) / _UNITS
    down = CHANNELS * small + _TITLE + (14 if narrow else 20)
    begin = down * -(-len(NORMALIZERS) // columns) + _TITLE + 10
    edge = 18
    large = (width - edge - 2) / _UNITS if narrow else (width - 2 * edge - 44) / 2 / _UNITS
    tall = 22 if narrow else 25
    body = CHANNELS * tall
    second = begin + body + _TITLE + 12 if narrow else begin
    left = (edge, edge if narrow else width - large * _UNITS - 1)
    lines = second + body + 24
    return _Place(columns, across, down, small, _TITLE, large, tall, left, (begin, second), lines, lines + 76)


# Until the mouse points at a cell, the marked one is the knobs'.
_POINTED = "hover.cell && isValid(hover.cell[0])"
_MEMBER = (
    f"{_POINTED} ? hover['g' + datum.kind][0] == datum.mine || hover.channel[0] == datum.row : datum.start"
)
_HERE = f"{_POINTED} ? hover.cell[0] == datum.cell : datum.here"
_TWO_DIGITS = 30  # pixels of a cell that holds two of them
_PAD = 12  # pixels around a view that holds all its marks itself


@lru_cache(maxsize=16)
def _cells_spec(width: int) -> Spec:
    narrow = width < NARROW
    width -= _PAD
    at = _placed(width, narrow)
    count = len(NORMALIZERS)
    x_scale, y_scale = alt.Scale(domain=[0, width], nice=False), alt.Scale(domain=[at.height, 0], nice=False)

    def x(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=x_scale, axis=None)

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", scale=y_scale, axis=None)

    small = f"datum.place < {count}"
    calculated = {
        "wide": f"{small} ? {at.small} : {at.large}",
        "tall": f"{small} ? {at.small} : {at.tall}",
        "left": f"{small} ? (datum.place % {at.columns}) * {at.across} : datum.place == {count} ? {at.left[0]} : {at.left[1]}",
        "top": f"{small} ? {at.top} + floor(datum.place / {at.columns}) * {at.down} : "
        f"datum.place == {count} ? {at.begin[0]} : {at.begin[1]}",
    }

    def located(data: str) -> Panel:
        return alt.Chart(named(data)).transform_calculate(**calculated)

    cells = (
        located("cells")
        .transform_calculate(
            x0=f"datum.left + datum.wide * (datum.n * {_POSITIONS + 0.5} + datum.l)",
            y0="datum.top + datum.tall * datum.c",
        )
        .transform_calculate(
            x1="datum.x0 + datum.wide - 1", y1="datum.y0 + datum.tall - 1",
            xm="datum.x0 + datum.wide / 2 - 0.5", ym="datum.y0 + datum.tall / 2",
            written=f"replace(format(datum.value, '{'.1f' if at.large < _TWO_DIGITS else '.2f'}'), '-', '−')",
        )
    )  # fmt: skip
    box = {"x": x("x0"), "x2": "x1:Q", "y": y("y0"), "y2": "y1:Q"}
    hover = alt.selection_point(
        name="hover",
        fields=["cell", "channel", *(f"g{k}" for k in range(count))],
        on="pointerover",
        clear="pointerout",
        empty=False,
        toggle=False,
    )
    pick = alt.selection_point(
        name="family", fields=["sample", "channel", "position"], on="click", empty=False, toggle=False
    )
    heads = located("heads").transform_calculate(
        over=f"datum.top - ({small} ? 22 : 24)", under="datum.top - 7"
    )
    rulers = (
        located("rulers")
        .transform_calculate(
            xr="datum.sample > 0 ? datum.left + datum.wide * "
            f"((datum.sample - 1) * {_POSITIONS + 0.5} + {_POSITIONS / 2}) : datum.left - 5",
            yr="datum.channel > 0 ? datum.top + datum.tall * (datum.channel - 0.5) : datum.top - 6",
        )
    )  # fmt: skip
    arithmetic = alt.Chart(named("sums")).transform_filter(_HERE)

    def line(k: int) -> Panel:
        return arithmetic.mark_text(align="left", baseline="middle", fontSize=theme.TEXT_SIZE).encode(
            x=alt.value(0),
            y=alt.value(at.lines + 20 * k),
            text=f"line{k}:N",
            color=theme.ink("ink" if k else "muted"),
        )

    layers = [
        cells.mark_rect(opacity=0.3).encode(**box, color=theme.ink("faint")),
        *(
            cells.transform_filter(f"datum.place {of} {count}")
            .mark_rect()
            .encode(
                **box,
                color=theme.color(),
                opacity=alt.condition(_MEMBER, alt.value(strong), alt.value(0)),
            )
            for of, strong in (("<", 0.75), (">=", 0.42))
        ),
        cells.mark_rect(filled=False, strokeWidth=2).encode(
            **box, color=theme.ink("ink"), opacity=alt.condition(_HERE, alt.value(1), alt.value(0))
        ),
        cells.transform_filter(f"datum.place >= {count}")
        .mark_text(fontSize=9 if narrow else theme.SMALL_SIZE, baseline="middle")
        .encode(x=x("xm"), y=y("ym"), text="written:N", color=theme.ink("ink")),
        heads.mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE, fontWeight=600).encode(
            x=x("left"), y=y("over"), text="name:N", color=theme.color()
        ),
        heads.mark_text(align="left", baseline="bottom", fontSize=theme.SMALL_SIZE).encode(
            x=x("left"), y=y("under"), text="note:N", color=theme.ink("muted")
        ),
        rulers.transform_filter("datum.channel > 0")
        .mark_text(align="right", baseline="middle", fontSize=theme.SMALL_SIZE - 1)
        .encode(x=x("xr"), y=y("yr"), text="label:N", color=theme.ink("muted")),
        rulers.transform_filter("datum.sample > 0")
        .mark_text(align="center", baseline="bottom", fontSize=theme.SMALL_SIZE - 1)
        .encode(x=x("xr"), y=y("yr"), text="label:N", color=theme.ink("muted")),
        *(line(k) for k in range(4)),
        cells.mark_rect(opacity=0, cursor="pointer", tooltip=None)
        .encode(**box, color=theme.ink("ink"))
        .properties(name="cells"),
    ]  # fmt: skip
    params = [compose.parameter(each, "cells") for each in (hover, pick)]
    return assemble(compose.layer(*layers, width=width, height=at.height), theme.config(), params)


class _Tensor(NamedTuple):
    """The tensor that is drawn: z (N, C, L), and what every normalization makes of it."""

    z: Array
    runs: Mapping[str, Normalized]


@keep(entries=8)
def _tensor(gamma: float, beta: float, eps: float, groups: int, seed: int) -> _Tensor:
    trial = draw_trial(seed)
    x = trial.x[:_SAMPLES, :, :_POSITIONS]

    def run(entry: Normalizer) -> Normalized:
        return layer(
            entry, x, trial.weight, gamma if entry.gain else 1.0, beta if entry.offset else 0.0,
            eps=eps if entry.statistic is not None else None, groups=groups,
        )  # fmt: skip

    return _Tensor(run(PLAIN).y, {name: run(entry) for name, entry in NORMALIZERS.items()})


def _labels(entry: Normalizer, groups: int) -> Array:
    return entry.labels((_SAMPLES, CHANNELS, _POSITIONS), groups).ravel()


def _together(labels: Array) -> int:
    """Return how many cells share with the first."""
    return int(np.sum(labels == labels[0]))


def _note(entry: Normalizer, groups: int) -> str:
    count = _together(_labels(entry, groups))
    if entry.statistic is not None:
        return f"{_divisor(entry)} of {count} values"
    return _divisor(entry)


def _sums(entry: Normalizer, tensor: _Tensor, values: Values, groups: int) -> list[list[str]]:
    """Write the arithmetic of every cell under one normalization, four lines each."""
    run = tensor.runs[entry.name]
    gamma, beta, eps = real(values, "gamma"), real(values, "beta"), real(values, "eps")
    count = _together(_labels(entry, groups))
    lines: list[list[str]] = []
    for n, c, l in np.ndindex(tensor.z.shape):
        z, center, scale, normal, y = (
            float(part[n, c, l]) for part in (tensor.z, run.center, run.scale, run.normal, run.y)
        )
        where = f"Sample {n + 1}, channel {c + 1}, position {l + 1}: z = {number(z)}"
        if entry.statistic is not None:
            square = number(max(scale**2 - eps, 0.0))
            center_text = (
                f"mean {number(center)} and variance {square}" if entry.centered else f"mean square {square}"
            )
            shared = f"{count} values have {center_text}."
            sign = "−" if center >= 0 else "+"
            top = f"({number(z)} {sign} {number(abs(center))})" if entry.centered else number(z)
            normalized = f"Normalized: {top} / √({square} + {number(eps)}) = {number(normal)}"
        else:
            shared = f"The {_divisor(entry)}{' together' if entry.by_inputs else ''}: {number(scale)}."
            normalized = f"Normalized: {number(z)} / {number(scale)} = {number(normal)}"
        factor = number(normal) if normal >= 0 else f"({number(normal)})"
        learned = f"{number(gamma)} · {factor}" if entry.gain else number(normal)
        if entry.offset:
            learned += f" {'−' if beta < 0 else '+'} {number(abs(beta))}"
        lines.append(
            [where, shared, normalized, f"y = {learned} = {number(y)}" if entry.gain else f"y = {learned}"]
        )
    return lines


def _cells_figure(values: Values, entry: Normalizer, tensor: _Tensor, groups: int) -> Figure:
    n, c, l = (part.ravel() for part in np.indices(tensor.z.shape))
    cell = np.arange(_CELLS)
    place_of = (whole(values, f"family_{name}") - 1 for name in ("sample", "channel", "position"))
    here = int(np.ravel_multi_index(tuple(place_of), tensor.z.shape))
    labels = [_labels(each, groups) for each in NORMALIZERS.values()]
    shared: Part = {
        **{f"g{k}": label.astype(np.int8) for k, label in enumerate(labels)},
        "cell": cell.astype(np.int8),
        "n": n.astype(np.int8), "c": c.astype(np.int8), "l": l.astype(np.int8),
        "sample": (n + 1).astype(np.int8), "channel": (c + 1).astype(np.int8), "position": (l + 1).astype(np.int8),
        "here": cell == here,
    }  # fmt: skip
    kinds = list(NORMALIZERS)
    chosen = kinds.index(entry.name)
    parts: list[Part] = []
    for place, kind in enumerate([*range(len(kinds)), chosen, chosen]):
        each, mine = NORMALIZERS[kinds[kind]], labels[kind]
        # The cosine has two lengths: its input's, shared by a column, and its weights', shared by a row.
        row = c + 1 if each.by_weights and each.by_inputs else np.zeros_like(c)
        value = tensor.runs[each.name].y if place == len(kinds) + 1 else tensor.z
        parts.append(
            {
                **shared, "place": np.int8(place), "kind": np.int8(kind), "mine": mine.astype(np.int8),
                "row": row.astype(np.int8),
                "start": (mine == mine[here]) | (row > 0) & (row == row[here]), "value": value.ravel().astype(np.float32),
                "slot": np.int8(theme.SLOTS["blue" if each.statistic is not None else "ochre"]),
            }
        )  # fmt: skip
    sums = _sums(entry, tensor, values, groups)
    heads = [(each.name, _note(each, groups)) for each in NORMALIZERS.values()]
    ruled = [(p, s, 0, f"sample {s}") for p in (0, 1) for s in range(1, _SAMPLES + 1)]
    ruled += [(p, 0, k, f"{k}") for p in (0, 1) for k in range(1, CHANNELS + 1)]
    shape = f"{_SAMPLES} samples, {CHANNELS} channels, {_POSITIONS} positions"
    return Figure(
        name="batchnorm/family_cells",
        build=_cells_spec,
        data={
            "cells": rows(*parts),
            "heads": rows(
                place=np.arange(len(kinds) + 2, dtype=np.int8),
                name=[*(head[0] for head in heads), "z, before", f"y, after {entry.name}"],
                note=[*(head[1] for head in heads), "", ""],
                slot=[
                    *(theme.SLOTS["blue"] if k == chosen else theme.INK for k in range(len(kinds))),
                    theme.INK,
                    theme.SLOTS["blue"],
                ],
            ),
            "rulers": rows(
                place=[len(kinds) + r[0] for r in ruled],
                sample=[r[1] for r in ruled],
                channel=[r[2] for r in ruled],
                label=[r[3] for r in ruled],
            ),
            "sums": rows(
                cell=cell.astype(np.int8),
                here=cell == here,
                **{f"line{k}": [line[k] for line in sums] for k in range(4)},
            ),
        },
        title="Who shares statistics with whom",
        caption=(
            f"z = xW with {shape}, from a drawn layer, seed {values['seed']}; {groups} "
            f"{'group' if groups == 1 else 'groups'} in GroupNorm, {entry.name} "
            f"written out; γ {number(real(values, 'gamma'))}, β {number(real(values, 'beta'))}, "
            f"ε {number(real(values, 'eps'))}; marked: sample {values['family_sample']}, channel "
            f"{values['family_channel']}, position {values['family_position']}."
        ),
        key=(
            "Rows are channels, blocks of columns are samples, columns in a block are positions. Blue: the values from "
            "which the marked cell's statistics are taken. Ochre: cells that divide by the same length, of weights or of "
            "the input; no value of theirs goes into it."
        ),
        alt="A tensor of samples, channels and positions for each normalization, with the cells that share statistics.",
        click="family",
        hint="Point at a cell to see its sets and its arithmetic; a click keeps it.",
    )  # fmt: skip


def _learned_text(entry: Normalizer) -> str:
    shape = entry.learned_shape(CHANNELS, _POSITIONS)
    if not shape:
        return "nothing"
    size = int(np.prod(shape))
    return f"{size} γ, {size} β" if entry.offset else f"{size} γ"


def _eps_text(entry: Normalizer) -> str:
    if not entry.eps:
        return "none"
    return ", ".join(
        f"{framework} {'machine epsilon' if value is None else number(value)}"
        for framework, value in entry.eps.items()
    )


def _shares(values: Values) -> list[Block]:
    entry, groups = NORMALIZERS[word(values, "family_norm")], int(word(values, "family_groups"))
    gamma, beta, eps = (real(values, name) for name in ("gamma", "beta", "eps"))
    tensor = _tensor(gamma, beta, eps, groups, whole(values, "seed"))
    place = tuple(whole(values, f"family_{name}") - 1 for name in ("sample", "channel", "position"))
    lines = [
        [
            f"**{each.name}**" if each is entry else each.name,
            f"{_together(_labels(each, groups))} of {_CELLS}" if each.statistic is not None else "none",
            _learned_text(each),
            ", ".join(each.stored) or "nothing",
            _eps_text(each),
            number(float(tensor.runs[each.name].y[place])),
        ]
        for each in NORMALIZERS.values()
    ]
    stored = (
        f"Stored for evaluation, in place of the batch's own statistics: {_listed(entry.stored)}."
        if entry.stored
        else "It stores nothing: evaluation does what training does"
        + (
            ", unless PyTorch's `track_running_stats` is set, which keeps the mean over samples of their means and "
            "variances."
            if entry.tracks
            else "."
        )
    )
    z, y = float(tensor.z[place]), float(tensor.runs[entry.name].y[place])
    outputs = [float(run.y[place]) for run in tensor.runs.values()]
    return [
        "One value of a layer's output, eight normalizations: whose mean and variance does it get?",
        _cells_figure(values, entry, tensor, groups),
        f"**{entry.name}**: $y = {entry.formula}$, shared by {entry.shared} ({entry.source}). {stored} In PyTorch: "
        f"`{entry.torch}`.",
        f"The marked z = {number(z)} comes out as {number(y)}; over the eight, as anything from "
        f"{number(min(outputs))} to {number(max(outputs))}.",
        table(
            ["", "values in its statistics", "learned", "stored", "ε by default", "y of the marked cell"],
            lines,
        ),
    ]


# Invariances

_REDRAWN = "the other samples drawn anew"


@lru_cache(maxsize=16)
def _invariance_spec(width: int) -> Spec:
    narrow = width < NARROW
    width -= _PAD
    left = 0 if narrow else 230
    step = (width - left) / len(_ALL)
    close = step < 76  # the names do not fit side by side
    pitch = 40 if narrow else 27
    box = 22
    top = 118 if close else 36
    height = top + pitch * (len(CHANGES) + 1)
    x_scale, y_scale = alt.Scale(domain=[0, width], nice=False), alt.Scale(domain=[height, 0], nice=False)

    def x(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=x_scale, axis=None)

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", scale=y_scale, axis=None)

    cells = alt.Chart(named("results")).transform_calculate(
        x0=f"{left} + {step} * datum.column",
        x1=f"{left} + {step} * (datum.column + 1) - 2",
        xm=f"{left} + {step} * (datum.column + 0.5) - 1",
        y0=f"{top} + {pitch} * (datum.row + 1) - {box} - 2",
        y1=f"{top} + {pitch} * (datum.row + 1) - 2",
        ym=f"{top} + {pitch} * (datum.row + 1) - {box / 2 + 2}",
    )
    changes = alt.Chart(named("changes")).transform_calculate(
        yl=f"{top} + {pitch} * (datum.row + 1) - {box + 5 if narrow else box / 2 + 2}"
    )
    heads = alt.Chart(named("heads")).transform_calculate(
        xh=f"{left} + {step} * (datum.column + 0.5) - 1",
        yh=f"{top - 8} - {0 if close else 13} * datum.folds",
    )
    layers = [
        cells.mark_rect().encode(
            x=x("x0"),
            x2="x1:Q",
            y=y("y0"),
            y2="y1:Q",
            color=theme.color(),
            opacity=alt.condition("datum.same", alt.value(0.55), alt.value(0.22)),
            tooltip=[
                alt.Tooltip("name:N", title="normalization"),
                alt.Tooltip("change:N", title="change"),
                alt.Tooltip("note:N", title="in z"),
                alt.Tooltip("exact:N", title="output changes by"),
            ],
        ),
        cells.mark_text(baseline="middle", fontSize=10 if narrow else theme.SMALL_SIZE).encode(
            x=x("xm"), y=y("ym"), text=f"{'brief' if close else 'written'}:N", color=theme.ink("ink")
        ),
        changes.mark_text(
            align="left", baseline="bottom" if narrow else "middle", fontSize=theme.SMALL_SIZE
        ).encode(x=alt.value(0), y=y("yl"), text="change:N", color=theme.ink("ink")),
        heads.mark_text(
            align="left" if close else "center",
            baseline="middle" if close else "bottom",
            angle=270 if close else 0,
            lineBreak="\n",
            fontSize=theme.SMALL_SIZE,
        ).encode(x=x("xh"), y=y("yh"), text=f"{'name' if close else 'folded'}:N", color=theme.color()),
    ]
    return assemble(compose.layer(*layers, width=width, height=height), theme.config())


class _Result(NamedTuple):
    """One change and what it does under one normalization, without ε and with the page's."""

    change: str
    note: str
    size: float
    with_eps: float


@keep(entries=8)
def _invariance_run(eps: float, groups: int, seed: int) -> Mapping[str, tuple[_Result, ...]]:
    found: dict[str, tuple[_Result, ...]] = {}
    for name, entry in _ALL.items():
        # Without a statistic of z there is nothing that ε is added to.
        added = eps if entry.statistic is not None else 0.0
        exact, spoiled = (invariances(entry, seed, eps=e, groups=groups) for e in (0.0, added))
        others = [others_redrawn(entry, seed, eps=e, groups=groups) for e in (0.0, added)]
        found[name] = (
            *(
                _Result(one.change, CHANGES[one.change].note, one.size, two.size)
                for one, two in zip(exact, spoiled, strict=True)
            ),
            _Result(_REDRAWN, "in the first sample, nothing", *others),
        )
    return found


def _invariance_figure(
    values: Values, found: Mapping[str, tuple[_Result, ...]], chosen: str, groups: int
) -> Figure:
    names, changes = list(_ALL), [result.change for result in found[PLAIN.name]]
    results = [(k, r, names[k], found[names[k]][r]) for r in range(len(changes)) for k in range(len(names))]
    same = [result.size <= INVARIANT for *_, result in results]
    return Figure(
        name="batchnorm/invariances",
        build=_invariance_spec,
        data={
            "results": rows(
                column=[entry[0] for entry in results],
                row=[entry[1] for entry in results],
                name=[entry[2] for entry in results],
                change=[entry[3].change for entry in results],
                note=[entry[3].note for entry in results],
                exact=[number(entry[3].size) for entry in results],
                written=[
                    "unchanged" if kept else number(entry[3].size, 2)
                    for entry, kept in zip(results, same, strict=True)
                ],
                brief=[
                    "same" if kept else number(entry[3].size, 2)
                    for entry, kept in zip(results, same, strict=True)
                ],
                same=same,
                slot=[theme.SLOTS["blue"] if kept else theme.FAINT for kept in same],
            ),
            "changes": rows(row=np.arange(len(changes)), change=changes),
            "heads": rows(
                column=np.arange(len(names)),
                name=names,
                folded=[name.replace(" (", "\n(") for name in names],
                folds=[name.count(" (") for name in names],
                slot=[theme.SLOTS["blue"] if name == chosen else theme.INK for name in names],
            ),
        },
        title="What each normalization leaves unchanged",
        caption=(
            f"A drawn layer with {CHANNELS} units, seed {values['seed']}, γ 1, β 0, ε 0, {groups} "
            f"{'group' if groups == 1 else 'groups'} in GroupNorm; unchanged (same): by at most {number(INVARIANT)}."
        ),
        key="Blue: the output stays as it was. Numbers: its largest change over its largest value.",
        alt="Changes of inputs and weights in rows, normalizations in columns, and by how much the output changes.",
    )  # fmt: skip


def _invariance(values: Values) -> list[Block]:
    chosen, groups, eps = word(values, "family_norm"), int(word(values, "family_groups")), real(values, "eps")
    found = _invariance_run(eps, groups, whole(values, "seed"))
    kept = [result for result in found[chosen] if result.size <= INVARIANT]
    lost = [result for result in found[chosen] if result.size > INVARIANT]
    worst = max(kept, key=lambda result: result.with_eps, default=None)
    sentences = [
        f"**{chosen}** leaves the output as it was under {len(kept)} of {len(found[chosen])} changes"
        + (f" (largest difference {number(max(r.size for r in kept), 2)}, rounding)." if kept else ".")
    ]
    if lost:
        most = max(lost, key=lambda result: result.size)
        sentences.append(
            f"What moves it most: {most.change}, by {number(most.size, 2)} of its largest value."
        )
    if NORMALIZERS[chosen].statistic is None:
        sentences.append("No ε is added to the lengths it divides by.")
    elif worst is not None:
        sentences.append(
            f"All this is at ε = 0. With this page's ε = {number(eps)} the unchanged ones move by up to "
            f"{number(worst.with_eps, 2)} ({worst.change}): ε does not scale along with the variance."
        )
    free = [name for name in NORMALIZERS if found[name][-1].size <= INVARIANT]
    bound = [name for name in NORMALIZERS if name not in free]
    sentences.append(
        f"Other samples of the batch reach the output of one sample only under {_listed(bound)}."
        if bound
        else "No normalization lets other samples reach the output of one sample."
    )
    return [
        "“Normalization is invariant to the scale of weights and data” holds for each of them in its own way. Which change "
        "does each take, and which not?",
        _invariance_figure(values, found, chosen, groups),
        " ".join(sentences),
    ]


# Weight scale


@lru_cache(maxsize=16)
def _scale_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 190 if narrow else round((width - 410) / 2)

    def panel(name: str) -> Panel:
        x = alt.X(
            "a:Q",
            title="factor a of the weights",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(
                labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, values=[0.1, 1, 10, 100], labelPadding=8
            ),
        )
        scale = alt.Scale(type="log", nice=False)
        axis = alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID)
        height = alt.Y(f"{name}:Q", title=None, scale=scale, axis=axis)
        lines = alt.Chart(named("lines"))
        drawn = {"x": x, "y": height, "detail": alt.Detail("name:N"), "color": theme.color()}
        return compose.layer(
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=height),
            lines.mark_line(interpolate="monotone", strokeWidth=1.6, opacity=0.8).encode(**drawn),
            lines.transform_filter("datum.chosen").mark_line(interpolate="monotone", strokeWidth=3.2).encode(**drawn),
            alt.Chart(named("theory"))
            .mark_point(filled=True, size=theme.DOT, opacity=1)
            .encode(x=x, y=alt.Y(f"{name}:Q", scale=scale), color=theme.ink("ink")),
            alt.Chart(named("ends"))
            .transform_filter(f"datum.panel == '{name}'")
            .mark_text(align="left", baseline="middle", dx=8, fontSize=theme.SMALL_SIZE)
            .encode(
                x=alt.value(inner), y=alt.Y("y:Q", scale=scale), text="label:N", color=theme.color()
            ),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
            width=inner, height=270 if narrow else 320, name=name,
        )  # fmt: skip

    panels = [panel("every"), panel("unit")]
    join, gap = (compose.below, 36) if narrow else (compose.beside, 30)
    return assemble(join(*panels, spacing=gap, resolve={"color": "shared"}), theme.config())


class _Scaled(NamedTuple):
    """Gradient norms over those at a = 1, each (A,), when all weights or one unit's are scaled; cosines to the weights.

    ``alone`` is whether, without ε, a unit's gradient falls as 1/a when only its weights are scaled.
    """

    every: Array
    unit: Array
    unit_cosine: float
    whole_cosine: float
    alone: bool


@keep(entries=8)
def _scale_run(eps: float, groups: int, seed: int) -> Mapping[str, _Scaled]:
    found = {}
    for name, entry in _ALL.items():
        added = eps if entry.statistic is not None else 0.0
        ratios = []
        for unit in (None, 0):
            run = weight_scale(entry, _FACTORS, seed, eps=added, groups=groups, unit=unit)
            ratios.append(run.gradient / run.exact / _FACTORS)
        angles = orthogonality(entry, seed, eps=added, groups=groups)
        exact = weight_scale(entry, _FACTORS[[0, -1]], seed, groups=groups, unit=0)
        alone = bool(np.max(np.abs(exact.gradient / exact.exact - 1)) < INVARIANT)
        found[name] = _Scaled(ratios[0], ratios[1], angles.unit, angles.whole, alone)
    return found


_LABELED = 0.02  # decades between ends that share a label
_LINE = 28  # characters of a label's line


def _ends(panel: str, ratios: Mapping[str, Array], chosen: str, low: float, high: float) -> list[Part]:
    """Name the lines at their ends; those that end together share a label, of which each line is a row."""
    last = {name: float(np.log10(ratio[-1])) for name, ratio in ratios.items()}
    groups: list[list[str]] = []
    for name in sorted(last, key=lambda name: last[name]):
        if groups and last[name] - last[groups[-1][0]] < _LABELED:
            groups[-1].append(name)
        else:
            groups.append([name])
    wanted, labels, slots = [], [], []
    for group in groups:
        if set(group) == set(NORMALIZERS):
            lines = ["every normalization"]
        else:
            lines = textwrap.wrap(", ".join(name for name in ratios if name in group), _LINE)
        own = chosen if chosen in group else group[0]
        # From the lowest line to the highest: a label is read from its last line up.
        for k, line in enumerate(reversed(lines)):
            wanted.append(last[group[0]] + 1e-6 * k)
            labels.append(line)
            slots.append(STYLES[own].slot if len(group) == 1 or chosen in group else theme.INK)
    bottom, top = np.log10(low), np.log10(high)
    places = spread(np.array(wanted), 0.055 * (top - bottom), bottom, top)
    return [
        {"panel": panel, "label": label, "y": 10.0**y, "slot": np.int8(slot)}
        for label, y, slot in zip(labels, places, slots, strict=True)
    ]


def _scale_figure(values: Values, found: Mapping[str, _Scaled], chosen: str, groups: int) -> Figure:
    names = list(found)
    series = {
        "every": {name: run.every for name, run in found.items()},
        "unit": {name: run.unit for name, run in found.items()},
    }
    drawn = np.array([list(ratios.values()) for ratios in series.values()])
    low, high = min(float(drawn.min()), 1 / _FACTORS[-1]), max(float(drawn.max()), 1 / _FACTORS[0])
    ends = [end for panel, ratios in series.items() for end in _ends(panel, ratios, chosen, low, high)]
    return Figure(
        name="batchnorm/weight_scale",
        build=_scale_spec,
        data={
            "lines": rows(
                *(
                    {
                        "a": _FACTORS, "every": found[name].every, "unit": found[name].unit, "name": name,
                        "slot": np.int8(STYLES[name].slot), "chosen": name == chosen,
                    }
                    for name in names
                )
            ),
            "theory": rows(a=_DOTTED, every=1 / _DOTTED, unit=1 / _DOTTED),
            "ends": rows(*ends),
            "extent": rows(every=[low, high], unit=[low, high]),
            "titles": rows(every=["Gradient when all weights are × a"], unit=["… of one unit, when only its weights are × a"]),
        },
        title="The gradient at larger weights",
        caption=(
            f"‖∂L/∂W‖ at weights multiplied by a, over that at a = 1; L = ½ mean (y − t)² with drawn targets, a drawn layer "
            f"with {CHANNELS} units, seed {values['seed']}, γ 1, β 0, ε {number(real(values, 'eps'))}, {groups} "
            f"{'group' if groups == 1 else 'groups'} in GroupNorm."
        ),
        key=f"Small dots: 1/a exactly. Thick: {chosen}.",
        alt="Norm of the gradient against the scale of all weights, and against that of one unit's weights.",
    )  # fmt: skip


def _cosine(value: float) -> str:
    return "0" if value < _ROUNDING else number(value, 2)


def _weights(values: Values) -> list[Block]:
    chosen, groups, eps = word(values, "family_norm"), int(word(values, "family_groups")), real(values, "eps")
    found = _scale_run(eps, groups, whole(values, "seed"))
    mine, plain = found[chosen], found[PLAIN.name]
    ten = int(np.argmin(np.abs(_FACTORS - 10)))
    off = float(np.max(np.abs(mine.every * _FACTORS - 1)))
    units = [name for name in NORMALIZERS if found[name].alone]
    broken = mine.whole_cosine >= _BROKEN
    sentences = [
        f"With weights ten times as large **{chosen}** passes {number(float(mine.every[ten]), 4)} of the gradient, without "
        f"normalization it is {number(float(plain.every[ten]))} times as large. "
        f"{'Without ε, ' if off >= _ROUNDING else ''}L(aW) = L(W), and so ∇L(aW) = ∇L(W)/a; "
        + (
            f"ε = {number(eps)} breaks it: the gradient times a is off by up to {number(off, 2)} of that at a = 1."
            if broken
            else f"{f'with ε = {number(eps)}' if off >= _ROUNDING else 'here'} the gradient times a is the same "
            f"{_distance(off)} at all a."
        )
    ]
    if units:
        sentences.append(
            f"Without ε this holds for a single unit that is scaled alone only with {_listed(units)}; the others mix units in "
            "one statistic."
        )
    last = float(_FACTORS[-1])
    turn = float(mine.every[-1]) / last
    sentences.append(
        rf"A step $\eta\,\lVert g\rVert$ relative to $\lVert w\rVert$ {'falls' if broken else 'then falls as $1/a^2$'}: at "
        f"a = {number(last)} it is {number(turn, 2)} of that at a = 1, and turns the weights as far "
        f"only with {number(1 / turn)} times the learning rate. The gradient of all weights has cosine "
        f"{_cosine(mine.whole_cosine)} to them"
        + (
            ": without ε it would be 0, and ε this large breaks the right angle."
            if broken
            else f"{', 0 but for ε' if mine.whole_cosine >= _ROUNDING else ''}, and a plain step at a right angle "
            r"makes them longer: $\lVert w - \eta g\rVert^2 = \lVert w\rVert^2 + \eta^2\lVert g\rVert^2$."
        )
    )
    return [
        "Does the size of the weights matter? Multiply them by a and compare the gradients.",
        _scale_figure(values, found, chosen, groups),
        " ".join(sentences),
        table(
            [
                "",
                "gradient at a = 10, all weights",
                "one unit's",
                "cosine to the weights, all",
                "largest of a unit",
            ],
            [
                [
                    f"**{name}**" if name == chosen else name,
                    number(float(run.every[ten]), 4),
                    number(float(run.unit[ten]), 4),
                    _cosine(run.whole_cosine),
                    _cosine(run.unit_cosine),
                ]
                for name, run in found.items()
            ],
        ),
    ]


# Inputs


_FIRST = "datum.treatment == 0"


@lru_cache(maxsize=16)
def _inputs_spec(width: int) -> Spec:
    narrow = width < NARROW
    count = len(TREATMENTS)
    across = 2 if narrow else count
    side = round((width - 12) / across) - 38
    inner = width - 156 if narrow else width - 230

    scale = alt.Scale(nice=False, zero=False)
    axis = alt.Axis(grid=False, tickCount=3, labelPadding=3, minExtent=20, maxExtent=20)
    x, y = (
        alt.X("u:Q", title=None, scale=scale, axis=axis),
        alt.Y("v:Q", title=None, scale=scale, axis=axis),
    )
    scatter = compose.layer(
        alt.Chart(named("extents")).transform_filter(_FIRST).mark_point(opacity=0).encode(x=x, y=y),
        alt.Chart(named("origin")).mark_rule(strokeWidth=0.8).encode(x=x, color=theme.ink("faint")),
        alt.Chart(named("origin")).mark_rule(strokeWidth=0.8).encode(y=y, color=theme.ink("faint")),
        alt.Chart(named("points"))
        .transform_filter(_FIRST)
        .mark_point(filled=True, size=14, opacity=0.6)
        .encode(x=x, y=y, color=theme.color()),
        alt.Chart(named("names"))
        .transform_filter(_FIRST)
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE, fontWeight=600)
        .encode(x=alt.value(0), y=alt.value(-22), text="name:N", color=theme.color()),
        alt.Chart(named("names"))
        .transform_filter(_FIRST)
        .mark_text(align="left", baseline="bottom", fontSize=theme.SMALL_SIZE)
        .encode(x=alt.value(0), y=alt.value(-7), text="note:N", color=theme.ink("muted")),
        width=side, height=side, name="scatter0",
    )  # fmt: skip
    x = alt.X(
        "step:Q", title="step of gradient descent", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False)
    )
    scale = alt.Scale(type="log", nice=False)
    y = alt.Y(
        "loss:Q", title=None, scale=scale, axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID)
    )
    sides: tuple[tuple[str, Literal["left", "right"], int, Panel], ...] = (
        ("early", "left", 2, x), ("late", "right", -2, x), ("beyond", "left", 8, alt.value(inner)),
    )  # fmt: skip
    loss = compose.layer(
        alt.Chart(named("losses")).mark_line().encode(x=x, y=y, detail="name:N", color=theme.color()),
        alt.Chart(named("losses"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=alt.Y("theory:Q", scale=scale), color=theme.ink("ink")),
        *(
            alt.Chart(named("ends"))
            .mark_text(align=align, baseline="middle", dx=dx, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=place, y=alt.Y("y:Q", scale=scale), text=f"{text}:N", color=theme.color())
            for text, align, dx, place in sides
        ),
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="loss:N", color=theme.ink("ink")),
        width=inner,
        height=220,
        name="loss",
    )
    # Panels that differ in a number are copied here, which takes less than to let Altair write five of them. Each has
    # its own ranges, equal on both axes, or one would hide what happens in another.
    written = json.dumps(scatter)
    scatters = [
        json.loads(written.replace(_FIRST, f"datum.treatment == {k}").replace("scatter0", f"scatter{k}"))
        for k in range(count)
    ]
    lines = [
        compose.beside(*scatters[start : start + across], spacing=12) for start in range(0, count, across)
    ]
    grid = compose.below(*lines, spacing=22)
    return assemble(compose.below(grid, loss, spacing=34, resolve={"color": "shared"}), theme.config())


@keep(entries=8)
def _regressions(mean: float, ratio: float, correlation: float, seed: int) -> Mapping[str, RegressionRun]:
    x = draw_inputs(mean, ratio, correlation, _POINTS, seed)
    target = x @ np.array([1.0, -1 / ratio]) + 0.5
    return {
        name: regress(treatment.fit(x).apply(x), target, steps=_DESCENT)
        for name, treatment in TREATMENTS.items()
    }


def _arrived(run: RegressionRun) -> int | None:
    """Return the first step whose loss is at most the small share of the first, or None."""
    below = np.flatnonzero(run.loss <= _SMALL * run.loss[0])
    return int(below[0]) if below.size else None


_WIDTH = 3.0  # steps that a character of a name takes in the narrowest panel


def _named_ends(
    names: Sequence[str], ends: Sequence[tuple[float, float]], floor: float, top: float
) -> list[Part]:
    """Put every curve's name at its own end, (step, loss).

    Curves that have fallen to the floor have theirs below it, where no other curve passes, in as many rows as keep them
    apart.
    """
    low, high = math.log10(floor), math.log10(top)
    pitch = 0.075 * (high - low)
    going = [k for k, (_, loss) in enumerate(ends) if loss > floor]
    places = spread(np.log10([ends[k][1] for k in going]), 1.1 * pitch, low, high) if going else np.empty(0)
    found: list[Part] = [
        {"step": float(_DESCENT), "y": 10.0**y, "early": "", "late": "", "beyond": names[k],
         "slot": np.int8(_TREATED[names[k]].slot)}
        for k, y in zip(going, places, strict=True)
    ]  # fmt: skip
    lines: list[list[tuple[float, float]]] = []  # what each row below the floor holds, in steps
    for k in sorted(set(range(len(ends))) - set(going), key=lambda k: ends[k][0]):
        at, wide, name = ends[k][0], _WIDTH * len(names[k]), names[k]
        early = at <= _DESCENT / 2
        begin, end = (at, at + wide) if early else (at - wide, at)
        free = (r for r, line in enumerate(lines) if all(end < a or b < begin for a, b in line))
        line = next(free, len(lines))
        if line == len(lines):
            lines.append([])
        lines[line].append((begin, end))
        found.append(
            {"step": at, "y": 10.0 ** (low - pitch * (line + 0.6)), "early": name if early else "",
             "late": "" if early else name, "beyond": "", "slot": np.int8(_TREATED[name].slot)}
        )  # fmt: skip
    # Without a name: room between the lowest row and the axis.
    room = 10.0 ** (low - pitch * (len(lines) + 0.4)) if lines else floor
    found.append(
        {"step": 0.0, "y": room, "early": "", "late": "", "beyond": "", "slot": np.int8(theme.MUTED)}
    )
    return found


def _inputs_figure(values: Values, runs: Mapping[str, RegressionRun]) -> Figure:
    mean, ratio, correlation = (real(values, f"input_{name}") for name in ("mean", "ratio", "correlation"))
    floor = _FLOOR * next(iter(runs.values())).loss[0]
    points: list[Part] = []
    losses: list[Part] = []
    reach = []
    step = np.arange(_DESCENT + 1)
    ends = []
    for k, (name, run) in enumerate(runs.items()):
        slot = np.int8(_TREATED[name].slot)
        points.append({"treatment": np.int8(k), "u": run.x[:, 0], "v": run.x[:, 1], "slot": slot})
        reach.append(1.06 * float(np.max(np.abs(run.x))))
        gone = np.flatnonzero(run.loss <= floor)
        at, loss = step.astype(float), run.loss.copy()
        if gone.size:  # the line ends where it crosses the floor, between two steps
            last = int(gone[0])
            before, after = np.log10(np.maximum(loss[[last - 1, last]], _TINY))
            at[last] = last - (np.log10(floor) - after) / (before - after)
            loss[last], loss[last + 1 :] = floor, np.nan
        dotted = (step % 10 == 0) & (run.theory > floor)
        losses.append(
            {
                "step": at, "loss": loss, "theory": np.where(dotted, run.theory, np.nan), "name": name, "slot": slot,
            }
        )  # fmt: skip
        ends.append((float(at[gone[0]]), floor) if gone.size else (float(_DESCENT), float(run.loss[-1])))
    top = float(max(run.loss[0] for run in runs.values()))
    names = list(runs)
    return Figure(
        name="batchnorm/inputs",
        build=_inputs_spec,
        data={
            "points": rows(*points),
            "extents": rows(
                treatment=np.repeat(np.arange(len(names)), 2),
                u=np.array([(-r, r) for r in reach]).ravel(),
                v=np.array([(-r, r) for r in reach]).ravel(),
            ),
            "origin": rows(u=[0.0], v=[0.0]),
            "names": rows(
                treatment=np.arange(len(names)),
                name=names,
                note=[f"condition {number(run.condition)}" for run in runs.values()],
                slot=[_TREATED[name].slot for name in names],
            ),
            "ends": rows(*_named_ends(names, ends, floor, top)),
            "losses": rows(*losses),
            "titles": rows(loss=["Loss above its minimum"]),
        },
        title="Inputs before and after",
        caption=(
            f"Two normal inputs with mean {number(mean)} each, standard deviations 1 and {number(ratio)}, correlation "
            f"{number(correlation)}; {_POINTS} points with exactly these moments, seed {values['seed']}. Linear regression of "
            f"t = x₁ − x₂/{number(ratio)} + ½ with bias, gradient descent from 0 with rate 1/λ_max. Condition: λ_max/λ_min of "
            "the Hessian in weights and bias."
        ),
        key=(
            f"Lines: gradient descent, until the loss is below {number(_FLOOR)} of the first. Small dots: "
            "½ Σ λ(1 − λ/λ_max)²ᵗc². Each scatter has its own range, the same on both axes; thin lines cross at 0."
        ),
        alt="Two inputs as scatter plots for five treatments, and the loss at each step of gradient descent on each.",
    )  # fmt: skip


_SHARE, _COUNT, _SPREAD = 0.9, 2000, 0.5  # of the test with its own statistics


def _right(threshold: float) -> float:
    """Return the share of test points on the right side of a threshold between the classes at −1 and 1."""
    first, second = normal_cdf(np.array([1 + threshold, 1 - threshold]) / _SPREAD)
    return float((1 - _SHARE) * first + _SHARE * second)


def _inputs(values: Values) -> list[Block]:
    mean, ratio, correlation = (real(values, f"input_{name}") for name in ("mean", "ratio", "correlation"))
    seed = whole(values, "seed")
    runs = _regressions(mean, ratio, correlation, seed)
    center, covariance = input_moments(mean, ratio, correlation)
    exact = np.linalg.eigvalsh(regression_hessian(center, covariance))
    raw, plain = runs["raw"], runs["divided by σ"]
    apart = float(max(np.max(np.abs(run.loss - run.theory)) / run.loss[0] for run in runs.values()))
    squared = runs["divided by σ²"].x.std(axis=0)
    once = plain.x.std(axis=0)
    tested = own_statistics(_SHARE, _COUNT, seed, spread=_SPREAD)

    def steps(run: RegressionRun) -> str:
        arrived = _arrived(run)
        return f"more than {_DESCENT}" if arrived is None else f"{arrived}"

    return [
        "Why normalize at all? The same regression on the same points, treated in five ways.",
        _inputs_figure(values, runs),
        f"The raw inputs have a condition of {number(raw.condition)} (closed form {number(float(exact[-1] / exact[0]))}); "
        f"centered and divided by σ it is {number(plain.condition)}, that is (1 + ρ)/(1 − ρ), and whitened "
        f"{number(runs['whitened'].condition)}. Steps until the loss is {number(_SMALL)} of the first: "
        + ", ".join(f"{name} {steps(run)}" for name, run in runs.items())
        + f". Descent and closed form agree {_distance(apart)} of the first loss.",
        r"The slowest direction keeps $1 - \lambda_{\min}/\lambda_{\max}$ of its distance at every step, for the raw inputs "
        rf"${latex(1 - 1 / raw.condition, 4)}$, divided by σ ${latex(1 - 1 / plain.condition, 4)}$.",
        f"Dividing by σ² instead of σ leaves standard deviations of {number(float(squared[0]))} and "
        f"{number(float(squared[1]))}, that is 1/σ; dividing by σ gives {number(float(once[0]))} and "
        f"{number(float(once[1]))}.",
        "The mean and the deviation that inputs are treated with come from the training set and stay the same in the test. "
        f"Try it with one feature, N(−1, {number(_SPREAD)}²) in the first class and N(1, {number(_SPREAD)}²) in the second, "
        f"{_COUNT:,} training points, half of each class, a threshold in their middle, and {_COUNT:,} test points, "
        f"{number(100 * _SHARE)}% of the second class, seed {seed}: {number(100 * tested.train)}% are right with the "
        f"training set's mean and deviation (in theory {number(100 * _right(0.0))}%), {number(100 * tested.own)}% with the "
        f"test set's own, whose mean moves the threshold to {number(2 * _SHARE - 1)} (in theory "
        f"{number(100 * _right(2 * _SHARE - 1))}%).",
    ]


# The tab

_VIEWS: Mapping[str, Callable[[Values], list[Block]]] = dict(
    zip(VIEWS, (_shares, _invariance, _weights, _inputs), strict=True)
)


def family_blocks(values: Values) -> Sequence[Block]:
    """Return what the tab shows.

    Args:
        values: the page's, of which the layer's own (γ, β, ε, seed) and ``FAMILY_KNOBS`` act here.
    """
    return _VIEWS[word(values, "family_view")](values)
