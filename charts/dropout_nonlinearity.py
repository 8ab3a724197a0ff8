"""The Nonlinearity tab of the dropout page: scaling repairs the mean of z, not the mean of f(z)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import defaults, described
from charts.figure import NARROW, Figure, Frame, Panel, Spec, assemble, bins, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.dropout_ensemble import SMALL_NETS, enumerate_ensemble
from core.dropout_nonlinear import (
    ROWS,
    UNITS,
    WEIGHTS,
    DroppedUnit,
    Expectation,
    LayerGap,
    drop_unit,
    nonlinearity_gap,
    normal_mean,
)
from core.kept import keep
from core.knobs import Knob, aliases_of, number
from core.properties import borders

Array = np.ndarray

_TRAIN, _EVAL = theme.SLOTS["vermilion"], theme.SLOTS["blue"]  # as in the main figure
_RATES = (*(k / 10 for k in range(10)), 0.95)  # p_drop of the sweep
_WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512)
_MEANS = tuple(k / 4 for k in range(-16, 17))  # means of the unit, in √2
_BINS = 48
_CURVE = 181
_EXACT_UNITS = 10
_EXACT = 1e-12
_NO_GAP = 1e-9  # a gap in theory below this is the error of quadrature
_LEAST = 0.05  # what an axis of gaps shows on either side at least, lest rounding fills it
_ROW = 17.0  # pixels of a row in the figure of all activations

_ONE, _WHERE, _ALL = "one function", "where the gap is", "every activation"

NONLIN_KNOBS = (
    Knob("nonlin_view", "choice", _ONE, label="View", choices=(_ONE, _WHERE, _ALL)),
    Knob(
        "nonlin_activation", "choice", "ReLU", label="Activation", choices=tuple(ACTIVATIONS),
        aliases=aliases_of(ACTIVATIONS), symbol="f",
    ),
    Knob("nonlin_width", "int", 64, label="Inputs of a unit", low=2, high=512, log=True, symbol="n", cap="width"),
    Knob(
        "nonlin_mean", "float", 0.5, label="Mean of the unit", low=-4.0, high=4.0, step=0.1, unit="√2",
        help="Mean of z in units of √2, its standard deviation at p_drop = 0.5.",
    ),
)  # fmt: skip


def nonlin_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls that act beside these values."""
    names = tuple(knob.name for knob in NONLIN_KNOBS)
    return _VIEWS[word(values, "nonlin_view")].knobs or names


class _Settings(NamedTuple):
    """What the tab's views are drawn from."""

    p: float
    activation: str
    width: int
    mean: float
    seed: int

    @property
    def rates(self) -> str:
        """p_drop and p_keep, as captions name them."""
        return f"p_drop {number(self.p)} (p_keep {number(1 - self.p)})"

    @property
    def function(self) -> str:
        """The activation with its settings."""
        return described(self.activation, defaults(ACTIVATIONS[self.activation]))


@keep(entries=8)
def dropped_unit(p: float, width: int, mean: float, seed: int) -> DroppedUnit:
    """Return what goes into one unit of a nonlinearity, over all masks or many, and in evaluation."""
    return drop_unit(width=width, p=p, mean=mean, seed=seed)


@keep(entries=8)
def layer_sweep(activation: str, p: float, width: int, seed: int) -> LayerGap:
    """Return the layer at every rate of the sweep, at the page's own last."""
    return nonlinearity_gap((activation,), (*_RATES, p), width=width, seed=seed)


def _tidy(value: float) -> float:
    """Return 0 for what is 0 up to rounding."""
    return 0.0 if abs(value) < _EXACT else value


def _signed(value: float, digits: int = 3) -> str:
    text = number(_tidy(value), digits)
    return f"+{text}" if _tidy(value) > 0 else text


def _measured(value: float, error: float) -> str:
    """Write a measured gap with its 95% interval; a gap without an error is exact."""
    return f"{_signed(value)} ± {number(1.96 * error, 2)} (95%)" if error >= _EXACT else _signed(value)


def _mean_text(mean: float) -> str:
    return f"{number(mean)}·√2" if mean else "0"


def _gap_text(value: float) -> str:
    """Write a gap as a column of them shows it: to two places, without a sign where that is 0."""
    text = f"{abs(value):.2f}" if abs(value) < 1000 else number(abs(value))
    return text if text == "0.00" else ("+" if value > 0 else "−") + text


def _unit_text(unit: DroppedUnit, width: int) -> str:
    how = f"all {len(unit.z):,} masks" if unit.exact else f"{len(unit.z):,} masks drawn"
    return f"{width} inputs with contributions scaled to Σc² = 2, {how}"


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _theory_dots(data: str, x: alt.X, y: alt.Y) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink"))
    )


# One function: the picture of Jensen's inequality, and a layer against p


@lru_cache(maxsize=16)
def _one_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 66 if narrow else round((width - 226) * 0.53)
    right = width - 140 if narrow else width - 226 - left

    x = alt.X(
        "z:Q", title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, labels=False)
    )
    y = alt.Y("f:Q", title=None, scale=alt.Scale(nice=False, zero=False))

    def note(data: str, align: Literal["left", "right"], dx: int) -> Panel:
        return (
            alt.Chart(named(data))
            .mark_text(align=align, baseline="middle", dx=dx, fontSize=theme.TEXT_SIZE)
            .encode(x=x, y=alt.Y("height:Q"), text="label:N", color=theme.color())
        )

    jensen = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y),
        alt.Chart(named("center")).mark_rule(strokeWidth=0.8, strokeDash=[3, 3]).encode(
            x=x, color=theme.ink("muted")
        ),
        alt.Chart(named("curve")).mark_line(strokeWidth=1.6).encode(
            x=x, y=y, order="z:Q", color=theme.ink("muted")
        ),
        alt.Chart(named("between")).mark_rule(strokeWidth=2.4).encode(
            x=x, y=y, y2="top:Q", color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        alt.Chart(named("points")).mark_point(filled=True, size=90, opacity=1).encode(
            x=x, y=y, color=theme.color()
        ),
        _theory_dots("expected", x, y),
        note("left", "right", -10),
        note("right", "left", 10),
        _heading("unit"),
        width=left, height=250, name="jensen",
    )  # fmt: skip

    below = alt.X("z:Q", title="z", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    up = alt.Y("height:Q", axis=None, scale=alt.Scale(nice=False))
    strip = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=below),
        alt.Chart(named("bars")).mark_rect(opacity=0.6).encode(
            x=alt.X("low:Q", title="z"), x2="high:Q", y=alt.Y("base:Q", axis=None), y2="height:Q", color=theme.color()
        ),
        alt.Chart(named("normal")).mark_point(filled=True, size=theme.DOT).encode(
            x=below, y=up, color=theme.ink("ink"),
            opacity=alt.condition("datum.shown", alt.value(1), alt.value(0)),
        ),
        alt.Chart(named("center")).mark_rule(strokeWidth=0.8, strokeDash=[3, 3]).encode(
            x=below, color=theme.ink("muted")
        ),
        width=left, height=60, name="masks",
    )  # fmt: skip

    rate = alt.X("p:Q", title="p_drop", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(grid=False))
    mean = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
    layer = compose.layer(
        alt.Chart(named("layer_reach")).mark_point(opacity=0).encode(y=mean),
        alt.Chart(named("here")).mark_rule(strokeWidth=2.4).encode(
            x=rate, y=mean, y2="top:Q", color=theme.ink("ink")
        ),
        alt.Chart(named("sweep")).mark_line().encode(x=rate, y=mean, detail="mode:N", color=theme.color()),
        _theory_dots("theory", rate, mean),
        alt.Chart(named("now")).mark_point(filled=True, size=90, opacity=1).encode(
            x=rate, y=mean, color=theme.color()
        ),
        alt.Chart(named("ends")).mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE).encode(
            x=alt.value(right), y="mean:Q", text="mode:N", color=theme.color()
        ),
        _heading("layer"),
        width=right, height=230 if narrow else 318, name="layer",
    )  # fmt: skip

    unit = compose.below(jensen, strip, spacing=4, resolve={"x": "shared", "color": "shared"})
    join, gap = (compose.below, 44) if narrow else (compose.beside, 34)
    return assemble(join(unit, layer, spacing=gap, resolve={"color": "shared"}), theme.config())


def _window(unit: DroppedUnit) -> tuple[float, float]:
    """Return the part of the axis that holds the middle 99% of the masks, and as much of a normal z."""
    order = np.argsort(unit.z)
    total = np.cumsum(unit.probability[order])
    inner = unit.z[order][[int(np.searchsorted(total, share)) for share in (0.005, 0.995 * total[-1])]]
    reach = max(2.6 * unit.sd, 2.0)
    low, high = min(unit.scaled - reach, float(inner[0])), max(unit.scaled + reach, float(inner[1]))
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _one_figure(s: _Settings, unit: DroppedUnit, sweep: LayerGap) -> Figure:
    f = ACTIVATIONS[s.activation].f
    low, high = _window(unit)
    kinks = [k + side for k in borders(ACTIVATIONS[s.activation]) for side in (-1e-9, 1e-9)]
    z = np.union1d(np.linspace(low, high, _CURVE), [k for k in kinks if low < k < high])
    curve = f(z)
    mean, scaled = unit.expect(f).value, float(f(np.array(unit.scaled)))
    theory = float(normal_mean(s.activation, unit.mean, unit.sd**2))
    bottom, top = min(float(curve.min()), mean), max(float(curve.max()), mean)
    span = max(top - bottom, 1e-9)

    # Labels keep off the curve: where it rises, the space is above it on the left and below it on the right.
    step = max(0.3 * unit.sd, 0.2)
    ends = f(np.array([unit.scaled - step, unit.scaled + step]))
    upper, lower = (
        (f"training {number(mean)}", mean, unit.mean, _TRAIN),
        (f"evaluation {number(scaled)}", scaled, unit.scaled, _EVAL),
    )
    if mean < scaled:
        upper, lower = lower, upper
    on_left, on_right = (upper, lower) if ends[1] >= ends[0] else (lower, upper)

    def side(note: tuple[str, float, float, int]) -> Frame:
        label, at, place, slot = note
        height = at + (0.055 if note is upper else -0.055) * span
        return rows(
            z=[place],
            height=min(max(height, bottom - 0.06 * span), top + 0.06 * span),
            label=label,
            slot=slot,
        )

    left, right, _ = bins(unit.z, low, high, _BINS)
    share, _ = np.histogram(unit.z, bins=_BINS, range=(low, high), weights=unit.probability)
    kept = share > 0
    middle = (left + right) / 2
    normal = np.zeros(_BINS)
    if unit.sd > 0:
        normal = np.exp(-0.5 * ((middle - unit.mean) / unit.sd) ** 2) / (unit.sd * math.sqrt(2 * math.pi))
        normal *= (high - low) / _BINS
    # A lone bar far above the normal curve would flatten it.
    peak = max(float(share.max()), 1e-9)

    rates = len(_RATES)
    training, evaluation = sweep.training[0], float(sweep.evaluation[0])
    dots, flat = sweep.training_theory[0, :rates], float(sweep.evaluation_theory[0])
    drawn = np.concatenate([training, [evaluation - _LEAST, evaluation + _LEAST], dots])
    size = max(float(np.ptp(drawn)), 1e-9)
    ends_at = np.array([float(training[rates - 1]), evaluation])
    places = spread(ends_at, 0.075 * size, float(drawn.min()) - 0.04 * size, float(drawn.max()) + 0.04 * size)
    return Figure(
        name="dropout/nonlinearity",
        build=_one_spec,
        data={
            "curve": rows(z=z, f=curve),
            "points": rows(z=[unit.mean, unit.scaled], f=[mean, scaled], slot=[_TRAIN, _EVAL]),
            "between": rows(z=[unit.scaled], f=scaled, top=mean, shown=s.p < 1),
            "expected": rows(z=[unit.mean], f=theory),
            "center": rows(z=[unit.mean]),
            "left": side(on_left),
            "right": side(on_right),
            "reach": rows(z=[low, high], f=[bottom - 0.11 * span, top + 0.11 * span]),
            "bars": rows(low=left[kept], high=right[kept], base=0.0, height=share[kept], slot=np.int8(_TRAIN)),
            "normal": rows(
                z=middle, height=np.minimum(normal, 1.05 * peak), shown=(normal > 0.01 * peak) & (normal < 1.05 * peak)
            ),
            "sweep": rows(
                {"p": np.array(_RATES), "mean": training[:rates], "mode": "training", "slot": np.int8(_TRAIN)},
                {"p": np.array([0.0, 1.0]), "mean": evaluation, "mode": "evaluation", "slot": np.int8(_EVAL)},
            ),
            "theory": rows({"p": np.array(_RATES), "mean": dots}, {"p": np.array(_RATES), "mean": flat}),
            "here": rows(p=[s.p], mean=evaluation, top=float(training[-1])),
            "now": rows(p=[s.p, s.p], mean=[float(training[-1]), evaluation], slot=[_TRAIN, _EVAL]),
            "ends": rows(mean=places, mode=["training", "evaluation"], slot=[_TRAIN, _EVAL]),
            "layer_reach": rows(mean=[evaluation - _LEAST, evaluation + _LEAST]),
            "titles": rows(unit=["One unit: f(z), and z over masks"], layer=["A layer: mean output"]),
        },
        title="Dropout before a nonlinearity",
        caption=(
            f"{s.function}, inverted dropout, {s.rates}, seed {s.seed}. Unit: mean of z {_mean_text(s.mean)} in evaluation, "
            f"{_unit_text(unit, s.width)}. Layer: {UNITS} units, {s.width} inputs each, {WEIGHTS['He'].description}, "
            f"{ROWS} inputs with a mask each. One unit: z of the middle 99% of the masks."
        ),
        key=(
            "Orange: training, the mean over masks. Blue: evaluation. Upright rule: the gap. Small dots: theory, for the unit "
            "with a normal z."
        ),
        alt=(
            "An activation with the distribution of its input under dropout, the mean output in training and the output in "
            "evaluation; and both for a layer against p_drop."
        ),
    )  # fmt: skip


def _curvature(s: _Settings, unit: DroppedUnit, gap: Expectation, theory: float) -> str:
    """Say how f bends where z falls, and what follows for the gap, which is ``theory`` if z is normal."""
    f = ACTIVATIONS[s.activation].f
    values = f(np.linspace(float(unit.z.min()), float(unit.z.max()), 401))
    up, down = _bends(values)
    if not up and not down:
        but = "" if unit.exact else " but the error of drawing masks"
        return f"{s.activation} is straight on all of these z: no gap{but}."
    small = abs(gap.value) < max(2 * gap.error, _EXACT)
    if up and down:
        return (
            f"{s.activation} is convex in one place and concave in another; {_balance(gap, theory, small)}."
        )
    bend, where = ("convex", "above") if up else ("concave", "below")
    but = ", here by less than two standard errors" if small else ""
    return (
        f"{s.activation} is {bend} on these z, so training lies {where} evaluation{but}: Jensen's inequality."
    )


def _bends(values: Array) -> tuple[bool, bool]:
    """Say whether evenly spaced values of a function bend up, and whether they bend down, anywhere."""
    bend = np.diff(values, 2)
    tolerance = 1e-9 * max(float(np.abs(values).max()), 1.0)
    return bool((bend > tolerance).any()), bool((bend < -tolerance).any())


def _balance(gap: Expectation, theory: float, small: bool) -> str:
    """Say which part of a function that bends both ways prevails: over all masks, or else in theory."""
    if small:
        return f"around this mean the two parts cancel{', up to the error of drawing masks' if gap.error else ''}"
    part, other = ("convex", "concave") if gap.value > 0 else ("concave", "convex")
    if not gap.error or (theory * gap.value > 0 and abs(theory) >= _NO_GAP):
        return f"around this mean the {part} part prevails"
    if abs(theory) < _NO_GAP:
        return f"the two parts would cancel for a normal z, but over these masks the {part} part prevails"
    return f"the {other} part would prevail for a normal z, but over these masks the {part} part does"


def _one_reading(s: _Settings, unit: DroppedUnit, sweep: LayerGap) -> str:
    f = ACTIVATIONS[s.activation].f
    expected, scaled = unit.expect(f), float(f(np.array(unit.scaled)))
    theory = float(normal_mean(s.activation, unit.mean, unit.sd**2))
    layer = (
        f"Over the layer the mean is **{number(float(sweep.training[0, -1]))}** in training against "
        f"**{number(float(sweep.evaluation[0]))}** in evaluation; in theory "
        f"{number(_tidy(float(sweep.training_theory[0, -1])))} and {number(_tidy(float(sweep.evaluation_theory[0])))}."
    )
    if s.p == 1:
        return (
            f"At p_drop = 1 nothing is kept: in training z is the bias alone, {number(unit.mean)}, and no scaling brings "
            f"back the {number(unit.scaled)} of evaluation. {layer}"
        )
    if unit.sd == 0:
        return f"At p_drop = 0 every mask keeps all inputs: training is evaluation, f(z) = {number(scaled)}. {layer}"
    gap = expected.value - scaled
    interval = f" ± {number(1.96 * expected.error, 2)} (95%)" if expected.error else ""
    bend = _curvature(s, unit, Expectation(gap, expected.error), theory - scaled)
    text = (
        f"Scaling keeps the mean of z at {number(_tidy(unit.mean))}, and z has a standard deviation of {number(unit.sd)} over "
        f"masks. Training gives E f(z) = **{number(_tidy(expected.value))}**{interval}, in normal theory "
        f"{number(_tidy(theory))}; evaluation gives f(E z) = **{number(_tidy(scaled))}**: a gap of {_signed(gap)}. {bend}"
    )
    away = abs(theory - expected.value)
    if away > max(3 * expected.error, 0.05 * abs(gap), _EXACT):
        text += f" z is far from normal here: {number((1 - s.p) * s.width)} of {s.width} inputs are kept on average."
    return f"{text} {layer}"


# When weight scaling is exact


class _Case(NamedTuple):
    """A network, a way to average over its masks, and how far that is from weight scaling."""

    network: str
    average: str
    difference: float


@keep(entries=8)
def _cases(activation: str, p: float, mean: float, seed: int) -> tuple[_Case, ...]:
    unit = drop_unit(width=_EXACT_UNITS, p=p, mean=mean, seed=seed)
    arithmetic, geometric = "arithmetic mean", "geometric mean, renormalized"
    names = dict.fromkeys(("identity", activation))
    found = [
        _Case(f"one unit, {name}", arithmetic, abs(unit.gap(name).value))
        for name in names
    ]  # fmt: skip
    for name, net in SMALL_NETS.items():
        run = enumerate_ensemble(name, units=_EXACT_UNITS, p=p, seed=seed)
        label = name if net.activation is None else f"{name}, then softmax"
        found.append(_Case(label, geometric, float(np.abs(run.geometric - run.scaled).max())))
        if net.activation is None:
            found.append(_Case(label, arithmetic, float(np.abs(run.arithmetic - run.scaled).max())))
    return tuple(found)


def _exact_text(s: _Settings) -> str:
    cases = _cases(s.activation, s.p, s.mean, s.seed)
    lines = [
        [
            case.network,
            case.average,
            number(case.difference, 2),
            "exact" if case.difference < _EXACT else "not exact",
        ]
        for case in cases
    ]
    why = (
        "A linear function passes the mean on. The logits of a softmax layer are linear in the mask, and the geometric mean "
        "of softmax outputs averages logits; what each net divides by is the same for all classes and cancels when the mean "
        "is renormalized. A nonlinear layer between the dropped units and the softmax ends this."
    )
    if s.p == 1:
        why += " At p_drop = 1 nothing is kept, and there is nothing to scale."
    return (
        f"**When is weight scaling exact?** {_EXACT_UNITS} units may be dropped, all {2**_EXACT_UNITS:,} masks are counted with "
        f"their probabilities, {s.rates}; one pass with weight scaling is compared with the mean over masks.\n\n"
        + table(("Network", "Mean over masks", "Largest difference", "Weight scaling is"), lines)
        + f"\n\n{why}"
    )


# Where the gap is: against the mean of the unit, and against the width


@keep(entries=8)
def _by_mean(activation: str, p: float, width: int, seed: int) -> tuple[Array, Array, Array]:
    """Return the gap of one unit at every mean: measured, its standard error, normal theory; each (means,)."""
    unit = dropped_unit(p, width, 0.0, seed)
    shifts = math.sqrt(2) * np.array(_MEANS)
    found = [unit.gap(activation, float(shift)) for shift in shifts]
    f = ACTIVATIONS[activation].f
    theory = normal_mean(activation, unit.mean + shifts, unit.sd**2) - f(unit.scaled + shifts)
    return np.array([gap.value for gap in found]), np.array([gap.error for gap in found]), theory


@keep(entries=8)
def _by_width(activation: str, p: float, seed: int) -> dict[str, tuple[LayerGap, ...]]:
    """Return layers of every width, by how their weights are drawn."""
    return {
        name: tuple(
            nonlinearity_gap((activation,), p, width=n, weights=name, seed=seed) for n in _WIDTHS
        )
        for name in WEIGHTS
    }  # fmt: skip


_HUES = {"He": "vermilion", "averaging": "green"}


@lru_cache(maxsize=16)
def _where_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 82 if narrow else round((width - 262) * 0.5)
    right = width - 158 if narrow else width - 262 - left

    def zero() -> tuple[Panel, Panel]:
        return (
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=gap),
            alt.Chart(named("zero")).mark_rule(strokeWidth=1).encode(y=gap, color=theme.ink("muted")),
        )

    gap = alt.Y("gap:Q", title=None, scale=alt.Scale(zero=True))
    mean = alt.X(
        "mean:Q", title="mean of z / √2", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False)
    )
    unit = compose.layer(
        *zero(),
        alt.Chart(named("here")).mark_rule(strokeWidth=0.8, strokeDash=[3, 3]).encode(
            x=mean, color=theme.ink("muted")
        ),
        alt.Chart(named("unit")).mark_area(opacity=0.16).encode(
            x=mean, y=alt.Y("low:Q"), y2="high:Q", color=theme.color()
        ),
        alt.Chart(named("unit")).mark_line().encode(x=mean, y=gap, color=theme.color()),
        _theory_dots("normal", mean, gap),
        alt.Chart(named("here")).mark_point(filled=True, size=90, opacity=1).encode(
            x=mean, y=gap, color=theme.ink("vermilion")
        ),
        _heading("unit"),
        width=left, height=260, name="mean",
    )  # fmt: skip

    inputs = alt.X(
        "n:Q", title="inputs of a unit", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, values=list(_WIDTHS), format="d"),
    )  # fmt: skip
    layer = compose.layer(
        *zero(),
        alt.Chart(named("layers")).mark_area(opacity=0.16).encode(
            x=inputs, y=alt.Y("low:Q"), y2="high:Q", detail="weights:N", color=theme.color()
        ),
        alt.Chart(named("layers")).mark_line().encode(
            x=inputs, y=gap, detail="weights:N", color=theme.color(), strokeDash=theme.dash()
        ),
        _theory_dots("theory", inputs, gap),
        alt.Chart(named("ends")).mark_text(
            align="left", dx=8, fontSize=theme.TEXT_SIZE, baseline="middle"
        ).encode(x=alt.value(right), y="gap:Q", text="label:N", color=theme.color()),
        _heading("layer"),
        width=right, height=260, name="width",
    )  # fmt: skip
    join, space = (compose.below, 44) if narrow else (compose.beside, 40)
    return assemble(join(unit, layer, spacing=space, resolve={"color": "shared"}), theme.config())


def _where_figure(s: _Settings) -> Figure:
    measured, error, theory = _by_mean(s.activation, s.p, s.width, s.seed)
    unit = dropped_unit(s.p, s.width, s.mean, s.seed)
    layers = _by_width(s.activation, s.p, s.seed)
    wide = np.array(_WIDTHS)
    parts = []
    for name, runs in layers.items():
        gaps = np.array([float(run.gap[0, 0]) for run in runs])
        errors = 1.96 * np.array([float(run.error[0, 0]) for run in runs])
        parts.append(
            {"n": wide, "gap": gaps, "low": gaps - errors, "high": gaps + errors, "weights": name,
             "slot": np.int8(theme.SLOTS[_HUES[name]]), "dash": np.int8(name != "He")}
        )  # fmt: skip
    exact = {name: np.array([float(run.gap_theory[0, 0]) for run in runs]) for name, runs in layers.items()}
    ends = np.array([float(runs[-1].gap[0, 0]) for runs in layers.values()])
    everything = np.concatenate(
        [[-_LEAST, _LEAST], *(part["low"] for part in parts), *(part["high"] for part in parts)]
    )
    size = max(float(np.ptp(everything)), 1e-9)
    return Figure(
        name="dropout/nonlinearity_where",
        build=_where_spec,
        data={
            "unit": rows(
                mean=np.array(_MEANS), gap=measured, low=measured - 1.96 * error, high=measured + 1.96 * error,
                slot=np.int8(_TRAIN),
            ),
            "normal": rows(mean=np.array(_MEANS), gap=theory),
            "here": rows(mean=[s.mean], gap=unit.gap(s.activation).value),
            "zero": rows(gap=[0.0]),
            "reach": rows(gap=[-_LEAST, _LEAST]),
            "layers": rows(*parts),
            "theory": rows(*({"n": wide, "gap": values} for values in exact.values())),
            "ends": rows(
                gap=spread(ends, 0.1 * size, float(everything.min()), float(everything.max())),
                label=list(layers),
                slot=[theme.SLOTS[_HUES[name]] for name in layers],
            ),
            "titles": rows(unit=["One unit: gap against its mean"], layer=["A layer: gap against its inputs"]),
        },
        title="Where the gap between training and evaluation is",
        caption=(
            f"{s.function}, inverted dropout, {s.rates}, seed {s.seed}. Gap: mean of f(z) in training less that in evaluation. "
            f"One unit: {_unit_text(unit, s.width)}, its mean moved by the bias. Layer: {UNITS} units, {ROWS} inputs with a mask "
            f"each; {'; '.join(f'{name}: {rule.description}' for name, rule in WEIGHTS.items())}."
        ),
        key=(
            "Lines and bands: measured, with 95% intervals (±1.96 standard errors) over masks, and over inputs. Small dots: "
            "theory, with a normal z for the unit and for averaging weights."
        ),
        alt=(
            "The gap between training and evaluation: against the mean of one unit, and against the number of inputs for "
            "two kinds of weights."
        ),
    )  # fmt: skip


def _where_reading(s: _Settings) -> str:
    if s.p == 1:
        return (
            "At p_drop = 1 nothing is kept: in training every z is the bias, whatever the width, and the gap is the distance "
            "of f there from f in evaluation. It has nothing to do with the bend of f."
        )
    measured, _, theory = _by_mean(s.activation, s.p, s.width, s.seed)
    at = int(np.argmax(np.abs(theory)))
    layers = _by_width(s.activation, s.p, s.seed)
    he, flat = layers["He"][-1], layers["averaging"][-1]
    first = layers["averaging"][0]
    if s.p == 0:
        return "At p_drop = 0 every mask keeps all inputs: training is evaluation, and there is no gap."
    if float(np.abs(theory).max()) < _EXACT:
        return (
            f"{s.activation} is linear: the gap is 0 at every mean and width, up to the error of drawing masks. At "
            f"{_WIDTHS[-1]} inputs it is {_of_layer(he)} with He weights, {_of_layer(flat)} with averaging ones."
        )
    head = (
        f"The gap of one unit is largest in size at a mean of {_mean_text(_MEANS[at])}, {_signed(float(measured[at]))} "
        f"(normal theory {_signed(float(theory[at]))}), and small where f is nearly straight around the mean. Measured "
        f"and theory are at most {number(_tidy(float(np.abs(measured - theory).max())), 2)} apart."
    )
    if abs(_theory(he)) < _NO_GAP:
        deep = (
            f"With He weights the means of the units lie on both sides of 0 alike, and their gaps cancel over the layer: "
            f"{_of_layer(he)} at {_WIDTHS[-1]} inputs, 0 in theory."
        )
    else:
        deep = (
            f"Width alone is no repair: with He weights Σc² stays near 2 however many inputs there are, and at {_WIDTHS[-1]} "
            f"inputs the gap of the layer is {_of_layer(he)}, in theory {_signed(_theory(he))}."
        )
    return f"{head} {deep} {_averaged(s, first, flat)}"


def _theory(layer: LayerGap) -> float:
    """Return the layer's gap in theory, 0 where only quadrature tells it from 0."""
    gap = float(layer.gap_theory[0, 0])
    return gap if abs(gap) >= _NO_GAP else 0.0


def _of_layer(layer: LayerGap) -> str:
    return _measured(float(layer.gap[0, 0]), float(layer.error[0, 0]))


def _averaged(s: _Settings, first: LayerGap, last: LayerGap) -> str:
    """Say what averaging weights do, from the fewest inputs to the most."""
    few, many = _WIDTHS[0], _WIDTHS[-1]
    most = 1 / (1 - s.p)
    measured = f"measured {_of_layer(first)} at {few} inputs, {_of_layer(last)} at {many}"
    if not any(_bends(ACTIVATIONS[s.activation].f(np.linspace(0, most, 401)))):
        text = (
            f"Where inputs are averaged, weights and inputs are positive: z stays between 0 and 1/p_keep = {number(most)}, "
            f"where {s.activation} is straight, and over all masks the gap is exactly 0 at every number of inputs; {measured}."
        )
        if abs(_theory(first)) < _NO_GAP:
            return text
        return f"{text} A normal z would also fall outside: its theory has {_signed(_theory(first))} at {few} inputs."
    wide, thin = (number(math.sqrt(s.p * most * math.pi / 2 / n)) for n in (few, many))
    return (
        f"Where inputs are averaged, as in the main figure, z has mean 1 and a standard deviation of about {wide} at {few} "
        f"inputs and {thin} at {many}; in normal theory the gap goes from {_signed(_theory(first))} to "
        f"{_signed(_theory(last))}, {measured}."
    )


# Every activation


@lru_cache(maxsize=16)
def _all_spec(width: int) -> Spec:
    narrow = width < NARROW
    names, digits = 124, 46  # pixels for what stands left and right of a panel
    room = width - names - digits - 40 if narrow else width - names - 2 * digits - 78
    left = room if narrow else round(room * 0.6)
    right = room if narrow else room - left
    pitch = 14.5 if narrow else _ROW
    tall = round(pitch * (len(ACTIVATIONS) + 1))
    y = alt.Y(
        "row:Q", axis=None, scale=alt.Scale(domain=[-1.6, len(ACTIVATIONS) - 0.4], reverse=True, nice=False)
    )

    def lines() -> Panel:
        return alt.Chart(named("rows")).mark_rule(strokeWidth=0.5).encode(y=y, color=theme.ink("faint"))

    def name() -> Panel:
        return alt.Chart(named("rows")).mark_text(align="right", dx=-10, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(0), y=y, text="name:N", color=theme.ink("ink")
        )  # fmt: skip

    def gap(field: str, inner: int) -> Panel:
        return alt.Chart(named("rows")).mark_text(align="right", dx=digits - 4, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(inner), y=y, text=f"{field}:N", color=theme.ink("muted")
        )  # fmt: skip

    def word_above(data: str, align: Literal["left", "right"], dx: int) -> Panel:
        mark = alt.Chart(named(data)).mark_text(align=align, dx=dx, fontSize=theme.SMALL_SIZE)
        return mark.encode(x=value, y=y, text="label:N", color=theme.color())

    def over(inner: int) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="right", baseline="bottom", dx=digits - 4, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(inner), y=alt.value(-8), text="gap:N", color=theme.ink("muted"))
        )

    def zero(x: alt.X) -> Panel:
        """Draw the rule at 0 over the rows, short of the words above them."""
        return (
            alt.Chart(named("zero"))
            .mark_rule(strokeWidth=0.8)
            .encode(x=x, y=alt.value(0.9 * pitch), y2=alt.value(tall), color=theme.ink("muted"))
        )

    value = alt.X(
        "value:Q", title="mean output of the unit", scale=alt.Scale(zero=True), axis=alt.Axis(grid=False)
    )
    unit = compose.layer(
        lines(),
        zero(value),
        alt.Chart(named("between")).mark_rule(strokeWidth=2).encode(
            x=value, x2="end:Q", y=y, color=theme.ink("faint")
        ),
        alt.Chart(named("points")).mark_point(filled=True, size=58, opacity=1).encode(
            x=value, y=y, color=theme.color()
        ),
        _theory_dots("normal", value, y),
        word_above("lower", "right", 5), word_above("upper", "left", -5), over(left),
        name(), gap("unit_gap", left), _heading("unit"),
        width=left, height=tall, name="unit",
    )  # fmt: skip
    shift = alt.X(
        "value:Q", title="training less evaluation", scale=alt.Scale(zero=True), axis=alt.Axis(grid=False)
    )
    layer = compose.layer(
        lines(),
        zero(shift),
        alt.Chart(named("layer")).mark_rule(strokeWidth=2).encode(
            x=shift, x2="end:Q", y=y, color=theme.ink("faint")
        ),
        alt.Chart(named("layer")).mark_point(filled=True, size=58, opacity=1).encode(
            x=shift, y=y, color=theme.color()
        ),
        _theory_dots("theory", shift, y),
        over(right), gap("layer_gap", right), _heading("layer"),
        *((name(),) if narrow else ()),
        width=right, height=tall, name="layer",
    )  # fmt: skip
    join, space = (compose.below, 44) if narrow else (compose.beside, 26)
    return assemble(join(unit, layer, spacing=space, resolve={"color": "shared"}), theme.config())


class _Every(NamedTuple):
    """All activations in the order of the registry; arrays (A,)."""

    names: tuple[str, ...]
    training: Array  # E f(z) of one unit
    evaluation: Array  # f(E z)
    theory: Array  # E f(z), z normal
    error: Array  # standard error of ``training``
    layer: LayerGap


@keep(entries=8)
def _every(p: float, width: int, mean: float, seed: int) -> _Every:
    unit = dropped_unit(p, width, mean, seed)
    names = tuple(ACTIVATIONS)
    functions = [ACTIVATIONS[name].f for name in names]
    found = [unit.expect(f) for f in functions]
    return _Every(
        names,
        np.array([mean.value for mean in found]),
        np.array([float(f(np.array(unit.scaled))) for f in functions]),
        np.array([float(normal_mean(name, unit.mean, unit.sd**2)) for name in names]),
        np.array([mean.error for mean in found]),
        nonlinearity_gap(names, p, width=width, seed=seed),
    )


def _all_figure(s: _Settings) -> Figure:
    every = _every(s.p, s.width, s.mean, s.seed)
    gap, layer = every.training - every.evaluation, every.layer.gap[:, 0]
    row = np.empty(len(gap))
    row[np.argsort(-gap, kind="stable")] = np.arange(len(gap))
    top = int(np.argmin(row))
    words = sorted(
        [
            (float(every.evaluation[top]), "evaluation", _EVAL),
            (float(every.training[top]), "training", _TRAIN),
        ]
    )
    lower, upper = (
        rows(value=[value], row=-1.0, label=label, slot=slot) for value, label, slot in words
    )  # fmt: skip
    return Figure(
        name="dropout/nonlinearity_all",
        build=_all_spec,
        data={
            "rows": rows(
                row=row,
                name=list(every.names),
                unit_gap=[_gap_text(float(value)) for value in gap],
                layer_gap=[_gap_text(float(value)) for value in layer],
            ),
            "points": rows(
                {"value": every.evaluation, "row": row, "slot": np.int8(_EVAL)},
                {"value": every.training, "row": row, "slot": np.int8(_TRAIN)},
            ),
            "between": rows(value=every.evaluation, end=every.training, row=row),
            "normal": rows(value=every.theory, row=row),
            "layer": rows(value=layer, end=0.0, row=row, slot=np.int8(_TRAIN)),
            "theory": rows(value=every.layer.gap_theory[:, 0], row=row),
            "zero": rows(value=[0.0]),
            "lower": lower,
            "upper": upper,
            "titles": rows(unit=["One unit: mean output"], layer=["A layer"], gap=["gap"]),
        },
        title="The gap of every activation",
        caption=(
            f"All {len(gap)} activations at their default settings, inverted dropout, {s.rates}, seed {s.seed}. Unit: mean of z "
            f"{_mean_text(s.mean)} in evaluation, {_unit_text(dropped_unit(s.p, s.width, s.mean, s.seed), s.width)}. "
            f"Layer: {UNITS} units, {s.width} inputs each, {WEIGHTS['He'].description}, {ROWS} inputs with a mask each. "
            "Sorted by the gap of the unit."
        ),
        key="A layer: orange, the gap. Small dots: theory, for the unit with a normal z.",
        alt="One row an activation: output of a unit in training and in evaluation, and the gap of a layer.",
    )


def _all_reading(s: _Settings) -> str:
    every = _every(s.p, s.width, s.mean, s.seed)
    gap, layer = every.training - every.evaluation, every.layer
    if s.p == 0:
        return "At p_drop = 0 every mask keeps all inputs: training is evaluation, and no function has a gap."
    high, low = int(np.argmax(gap)), int(np.argmin(gap))
    text = (
        f"At this mean the gap goes from {_signed(float(gap[low]))} ({every.names[low]}) to {_signed(float(gap[high]))} "
        f"({every.names[high]})."
    )
    if s.p == 1:
        return f"At p_drop = 1 nothing is kept, z is the bias alone, and even linear functions have a gap. {text}"
    same = every.names.index("identity")
    largest = int(np.argmax(np.abs(layer.gap_theory[:, 0])))
    balanced = [
        name for name, gap in zip(every.names, layer.gap_theory[:, 0], strict=True) if abs(gap) < _NO_GAP
    ]
    return (
        f"{text} The identity has a gap of {_measured(float(gap[same]), float(every.error[same]))} over these masks, 0 in "
        "theory. Move the mean to the other side of 0, and the gap of an S-shaped function (tanh, sigmoid) changes its sign; a "
        "convex function keeps its sign. Over a layer the largest is that of "
        f"{every.names[largest]}: {_measured(float(layer.gap[largest, 0]), float(layer.error[largest, 0]))}, in theory "
        f"{_signed(float(layer.gap_theory[largest, 0]))}. For functions that are odd about their value at 0 "
        f"({', '.join(balanced)}) the gaps of the units cancel over the layer, whose means lie on both sides of 0 alike; each "
        "single unit keeps its own."
    )


# The tab


class _View(NamedTuple):
    """A view of the tab: what it asks, its blocks, and the controls beside it; all of them if none are named."""

    lead: str
    blocks: Callable[[_Settings], Sequence[Block]]
    knobs: tuple[str, ...] = ()


def _one_blocks(s: _Settings) -> Sequence[Block]:
    unit, sweep = dropped_unit(s.p, s.width, s.mean, s.seed), layer_sweep(s.activation, s.p, s.width, s.seed)
    return [_one_figure(s, unit, sweep), _one_reading(s, unit, sweep), _exact_text(s)]


_VIEWS: Mapping[str, _View] = {
    _ONE: _View(
        "**Through a nonlinearity.** Scaling makes the mean of z the same in training and in evaluation. Is the mean of f(z) "
        "the same too?",
        _one_blocks,
    ),
    _WHERE: _View(
        "**Where the gap is.** A gap needs a bend of f within reach of the noise. Which units have one, and does a wider "
        "layer help?",
        lambda s: [_where_figure(s), _where_reading(s)],
    ),
    _ALL: _View(
        "**Every activation.** The same unit and the same masks for all: which functions train above the output they "
        "evaluate at, which below?",
        lambda s: [_all_figure(s), _all_reading(s)],
        ("nonlin_view", "nonlin_width", "nonlin_mean"),
    ),
}


def nonlinearity_blocks(values: Values) -> Sequence[Block]:
    """Compare the mean of f(z) under dropout with f at the mean of z.

    Args:
        values: the page's; those of ``NONLIN_KNOBS``, p and the seed act.

    Returns:
        a lead, a figure and a reading; with one function also a table of where weight scaling is exact.
    """
    settings = _Settings(
        real(values, "p"), word(values, "nonlin_activation"), whole(values, "nonlin_width"),
        real(values, "nonlin_mean"), whole(values, "seed"),
    )  # fmt: skip
    view = _VIEWS[word(values, "nonlin_view")]
    return [view.lead, *view.blocks(settings)]
