"""The Depth tab of the dropout page: every mode through many layers, the variants, and dropout before BatchNorm."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.dropout import DROPOUT_MODES
from core.dropout_depth import (
    DropoutDepth,
    LayerMoments,
    corrected_variance,
    depth_theory,
    homogeneous,
    keeping_variance,
    log_scatter,
    propagate_dropout,
)
from core.dropout_variants import (
    ALPHA_PRIME,
    DROPOUT_VARIANTS,
    SELU_DROPS,
    Measured,
    VarianceShift,
    VariantMoments,
    alpha_affine,
    measure_variance_shift,
    measure_variant,
    propagate_selu,
    selu_theory,
    variance_shift,
)
from core.kept import keep
from core.knobs import Knob, number

Array = np.ndarray

_ACTIVATIONS = ("ReLU", "leaky ReLU", "identity", "tanh", "SELU")
_INPUTS = 8
_SAMPLES = 4000
_CHANNELS = _UNITS = 4
_RATES = tuple(round(0.05 * k, 2) for k in range(20))  # p_drop of the variance shift, 0 to 0.95
_BATCHES, _BATCH, _FEATURES = 60, 64, 4
_RATIO = "evaluation over training"
_WILD = 5.0  # scatter of a logarithm beyond which a mean over few networks says nothing
_PAD = 0.04  # of an axis, beyond the first and the last mark

# Modes that mask and scale alike lie on one line: solid below, dashes above it.
_STYLES: Mapping[str, tuple[str, int]] = {
    "Inverted": ("blue", 0),
    "Classic": ("green", 0),
    "Scaled twice": ("ochre", 1),
    "No scaling": ("purple", 1),
    "Forgot eval()": ("vermilion", 2),
    "No dropout": ("muted", 3),
}
_VARIANT_HUES: Mapping[str, str] = {
    "Standard": "blue",
    "Gaussian": "ochre",
    "DropConnect": "green",
    "Spatial": "purple",
    "DropPath": "cyan",
    "Alpha": "vermilion",
    "No dropout": "muted",
}
# What each panel of the variants shows, in the order of ``VariantMoments``.
_FIELDS: Mapping[str, str] = {
    "mean": "mean",
    "var": "variance",
    "channel": "covariance in a channel",
    "across": "covariance across channels",
    "sums": "correlation of two sums",
}
_PANELS: Mapping[str, str] = {
    "mean": "Mean",
    "var": "Variance",
    "channel": "Cov. in a channel",
    "across": "Cov. across channels",
    "sums": "Corr. of two sums",
}


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _side(panels: Sequence[Panel], narrow: bool, spacing: int = 24) -> Spec:
    join, gap = (compose.below, 30) if narrow else (compose.beside, spacing)
    return assemble(join(*panels, spacing=gap, resolve={"color": "shared"}), theme.config())


def _shown_on_log(values: Array) -> Array:
    """Return what a log axis can show: positive numbers well inside float64; a gap elsewhere."""
    array = np.asarray(values, float)
    return np.where((array >= 1e-300) & (array <= 1e300), array, np.nan)


def _lone(line: Array) -> Array:
    """Say which numbers of a line have no neighbor, so that a line cannot show them."""
    there = np.pad(np.isfinite(line), 1)
    return np.asarray(there[1:-1] & ~there[:-2] & ~there[2:])


def _layers(count: int) -> str:
    return f"{count} {'layer' if count == 1 else 'layers'}"


def _said_end(name: str, line: Array, values: Array) -> str:
    """Name a line and, if it ends before the last layer, where: ``line`` is what is drawn of ``values``."""
    there = np.flatnonzero(np.isfinite(line))
    if not len(there) or there[-1] == len(line) - 1:
        return name
    after = int(there[-1]) + 1
    return f"{name}: 0 from layer {after + 1}" if values[after] == 0 else f"{name}: up to layer {after}"


@dataclass(frozen=True)
class _Ends:
    """Names at the ends of lines, kept apart on a log or a linear axis, and how far the axis reaches."""

    names: Sequence[str]
    lines: Array  # (lines, layers)
    slots: Sequence[int]
    log: bool = True
    beside: Array | None = None  # what else the axis has to hold

    def place(
        self, gap: float, least: float, reach: tuple[float, float] | None = None
    ) -> tuple[Part, tuple[float, float]]:
        """Return the labels' rows and the range of the axis.

        ``gap`` is that of two labels as a share of the axis, ``least`` the least length of the axis, ``reach`` a range that
        is given; lengths are in decades on a log axis.
        """
        values = np.log10(self.lines) if self.log else self.lines
        held = self.lines.ravel() if self.beside is None else np.append(self.lines, self.beside)
        reached = (np.log10(held) if self.log else held)[np.isfinite(held)]
        low, high = (float(reached.min()), float(reached.max())) if len(reached) else (0.0, 0.0)
        if reach is not None:
            low, high = reach
        if high - low < least:
            low, high = (low + high - least) / 2, (low + high + least) / 2
        elif reach is None:
            low, high = low - _PAD * (high - low), high + _PAD * (high - low)
        if self.log:  # powers of ten have to stay numbers
            low, high = max(low, -300.0), min(high, 300.0)
        there = np.isfinite(values)
        steps = values.shape[1]
        seen = there.any(axis=1)
        at = np.where(seen, steps - 1 - there[:, ::-1].argmax(axis=1), steps - 1)
        placed = np.full(len(values), low)
        for group in (seen & (at == steps - 1), seen & (at < steps - 1)):
            placed[group] = spread(values[group, at[group]], gap * (high - low), low, high)
        part: Part = {
            "x": (at + 1).astype(np.int16),
            "y": 10**placed if self.log else placed,
            "label": list(self.names),
            "slot": np.array(self.slots, np.int8),
            "early": at < steps - 1,
            "back": (at < steps - 1) & (at > 0.55 * steps),  # no room to the right of it within the panel
            "shown": seen,
        }
        return part, (low, high)


def _line_ends(data: str, x: alt.X, y: alt.Y) -> Panel:
    """Write the names of lines where each of them ends, over a ground of their own: other lines may go on."""

    def said(filled: bool, color: alt.Color | alt.ColorDatum) -> Panel:
        return (
            alt.Chart(named(data))
            .mark_text(
                align=alt.expr("datum.back ? 'right' : 'left'"),
                dx=alt.expr("datum.back ? -8 : 8"),
                dy=alt.expr("datum.early ? -9 : 0"),
                fontSize=theme.SMALL_SIZE + 0.5,
                filled=filled,
                strokeWidth=0 if filled else 5,
                strokeJoin="round",
            )
            .encode(x=x, y=y, text="label:N", color=color, opacity=theme.SHOWN)
        )

    return compose.layer(said(False, theme.ink("paper")), said(True, theme.color()))


# Through depth


@lru_cache(maxsize=16)
def _depth_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 180 if narrow else (width - 380) // 2
    x = alt.X(
        "layer:Q", title="layer", scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )  # fmt: skip

    def panel(name: str) -> Panel:
        def y(field: str) -> alt.Y:
            return alt.Y(
                f"{field}:Q", title=None, scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
            )  # fmt: skip

        lines = alt.Chart(named("lines"))
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y("y")),
            *(
                lines.transform_filter(f"datum.dash {which} 0").mark_line(strokeWidth=wide, opacity=opaque).encode(
                    x=x, y=y(name), detail="mode:N", color=theme.color(), strokeDash=theme.dash(),
                    tooltip=[
                        alt.Tooltip("mode:N"), alt.Tooltip("layer:Q"), alt.Tooltip(f"{name}:Q", format=".4g", title="measured"),
                    ],
                )
                for which, wide, opaque in (("==", 5.5, 0.5), ("!=", theme.LINE, 1.0))
            ),
            *(
                lines.transform_filter(f"datum.dash {which} 0").mark_point(filled=True, size=size).encode(
                    x=x, y=y(name), color=theme.color(),
                    opacity=alt.condition(f"datum.{name}_lone", alt.value(opaque), alt.value(0)),
                )
                for which, size, opaque in (("==", 150, 0.5), ("!=", 55, 1.0))
            ),
            lines.mark_point(filled=True, size=theme.DOT).encode(
                x=x, y=y(f"{name}_theory"), color=theme.ink("ink"), opacity=theme.SHOWN
            ),
            _line_ends(f"{name}_ends", alt.X("x:Q"), y("y")),
            _heading(name),
            width=inner, height=250 if narrow else 310, name=name,
        )  # fmt: skip

    return _side([panel("left"), panel("right")], narrow)


@dataclass(frozen=True)
class _Quantity:
    """What the figure of the modes shows: a number for each mode and layer in each of two panels."""

    titles: tuple[str, str]
    left: Callable[[LayerMoments, LayerMoments], Array]
    right: Callable[[LayerMoments, LayerMoments], Array]
    lead: str


def _rms_ratio(train: LayerMoments, evaluation: LayerMoments) -> Array:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.sqrt(evaluation.second) / np.sqrt(train.second))


def added_mistake(train: LayerMoments, evaluation: LayerMoments) -> Array:
    """Return the ratio over that of Inverted, for the modes that are random in training only."""
    ratio = _rms_ratio(train, evaluation)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        added = np.asarray(ratio / ratio[tuple(DROPOUT_MODES).index("Inverted")])
    compared = [mode.masks_in_training and not mode.masks_in_evaluation for mode in DROPOUT_MODES.values()]
    return np.where(np.array(compared)[:, None], added, np.nan)


_QUANTITIES: Mapping[str, _Quantity] = {
    "second moment": _Quantity(
        ("Second moment in training", "Second moment in evaluation"),
        lambda train, _: train.second,
        lambda _, evaluation: evaluation.second,
        "A scale that is right for the mean of one layer is not right for its noise. What does the second moment do "
        "when every layer of a deep net drops?",
    ),
    "variance": _Quantity(
        ("Variance in training", "Variance in evaluation"),
        lambda train, _: train.variance,
        lambda _, evaluation: evaluation.variance,
        "The variance over units, inputs and masks: dropout adds noise in training, and the next layer passes it on. Where "
        "does that end?",
    ),
    "mean": _Quantity(
        ("Size of the mean in training", "Size of the mean in evaluation"),
        lambda train, _: np.abs(train.mean),
        lambda _, evaluation: np.abs(evaluation.mean),
        "Right scaling keeps the mean from training to evaluation in the first layer. Does it in the last?",
    ),
    _RATIO: _Quantity(
        ("rms, evaluation over training", "The same, over that of Inverted"),
        _rms_ratio,
        added_mistake,
        "How far is evaluation from the training that the layers above are used to? The left panel shows all of it, the "
        "right one only what a mistake adds to the right scale.",
    ),
}  # fmt: skip

DEPTH_KNOBS = (
    Knob(
        "depth_view", "choice", "through depth", label="Show", choices=("through depth", "variants", "before BatchNorm"),
    ),
    Knob("depth_quantity", "choice", "second moment", label="Quantity", choices=tuple(_QUANTITIES)),
    Knob("depth_activation", "choice", "ReLU", label="Activation", choices=_ACTIVATIONS),
    Knob("depth_layers", "int", 20, label="Layers", low=1, high=50, step=1, symbol="L", cap="depth"),
    Knob("depth_width", "int", 128, label="Width", low=16, high=512, log=True, symbol="n", cap="width"),
    Knob(
        "depth_corrected", "bool", False, label="Weights for dropout",
        help="Off: σ_w² = 1/E φ(z)², which keeps the signal without dropout (ReLU: 2, He). On: σ_w² times p_keep.",
    ),
    Knob(
        "depth_mu", "float", 1.0, label="Mean of the input", low=0.0, high=4.0, step=0.1, symbol="μ",
        help="Units are N(μ, 1) before dropout.",
    ),
)  # fmt: skip


def depth_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab beside these values."""
    return _VIEWS[word(values, "depth_view")].knobs


@dataclass(frozen=True)
class _Run:
    """One network architecture in every mode, measured and in theory."""

    activation: str
    p: float
    depth: int
    width: int
    corrected: bool
    weight_variance: float
    measured: DropoutDepth
    pooled: tuple[LayerMoments, LayerMoments]
    theory: tuple[LayerMoments, LayerMoments]

    def at(self, mode: str) -> int:
        """Return the place of a mode."""
        return self.measured.modes.index(mode)


@keep(entries=8)
def propagated_signal(
    activation: str, p: float, depth: int, width: int, corrected: bool, seed: int, share: progress.Share
) -> _Run:
    """Return a stack under dropout, sampled and in theory; without correction its weights keep the mean square."""
    entry = ACTIVATIONS[activation]
    variance = corrected_variance(entry, p) if corrected else keeping_variance(entry)
    measured = propagate_dropout(
        entry, p=p, depth=depth, width=width, weight_variance=variance, inputs=_INPUTS, seed=seed, report=share.report,
    )  # fmt: skip
    theory = depth_theory(entry, p=p, depth=depth, weight_variance=variance)
    return _Run(activation, p, depth, width, corrected, variance, measured, measured.pooled(), theory)


def _depth_setting(run: _Run, seed: int) -> str:
    count = run.measured.networks
    nets = "1 network" if count == 1 else f"mean of {count} networks"
    rule = "(1 − p)/E φ(z)²" if run.corrected else "1/E φ(z)²"
    return (
        f"{run.activation}, {_layers(run.depth)} of width {run.width}, dropout after each, p_drop {number(run.p)} (p_keep "
        f"{number(1 - run.p)}), weights N(0, σ_w²/width) with σ_w² = {rule} = {number(run.weight_variance, 4)}, standard "
        f"normal inputs; {nets}, {_INPUTS} inputs each, all modes with the same weights and masks, seed {seed}"
    )


def _depth_figure(run: _Run, quantity: str, seed: int) -> Figure:
    what = _QUANTITIES[quantity]
    layer = np.arange(1, run.depth + 1)
    dotted = (layer - run.depth) % max(1, math.ceil(run.depth / 12)) == 0
    picks = (("left", what.left), ("right", what.right))
    raw = {name: pick(*run.pooled) for name, pick in picks}
    sides = {name: (_shown_on_log(raw[name]), _shown_on_log(pick(*run.theory))) for name, pick in picks}
    if quantity == "mean" and _odd(run.activation):  # theory is 0 to rounding
        sides = {name: (lines, np.full_like(theory, np.nan)) for name, (lines, theory) in sides.items()}
    names = tuple(_STYLES)[::-1]  # of lines that end together the first one's name stands highest
    order = [run.at(mode) for mode in names]
    every = np.concatenate([both.ravel() for pair in sides.values() for both in pair])
    labels: dict[str, Part] = {}
    for name, (lines, _) in sides.items():
        said = [_said_end(mode, lines[at], raw[name][at]) for mode, at in zip(names, order, strict=True)]
        ends = _Ends(said, lines[order], [theme.SLOTS[_STYLES[mode][0]] for mode in names], True, every)
        labels[name], span = ends.place(0.055, 1.0)

    def part(
        mode: str, slot: int, dash: int, shown: bool, columns: Mapping[str, tuple[object, object, object]]
    ) -> Part:
        fields = {
            key: value
            for side, values in columns.items()
            for key, value in zip((side, f"{side}_theory", f"{side}_lone"), values, strict=True)
        }
        where = layer if shown else layer[:1]
        return {"layer": where.astype(np.int16), "mode": mode, "slot": np.int8(slot), "dash": np.int8(dash), "shown": shown,
                **fields}  # fmt: skip

    return Figure(
        name="dropout/depth",
        build=_depth_spec,
        data={
            "lines": rows(
                *(
                    part(
                        mode, theme.SLOTS[hue], dash, True,
                        {
                            name: (
                                lines[run.at(mode)],
                                np.where(dotted, theory[run.at(mode)], np.nan),
                                _lone(lines[run.at(mode)]),
                            )
                            for name, (lines, theory) in sides.items()
                        },
                    )
                    for mode, (hue, dash) in _STYLES.items()
                ),
                # Where nothing is left to draw the columns keep an extent: a line of one number is not seen.
                *(
                    part("", theme.MUTED, dash, False, dict.fromkeys(sides, (10 ** span[0], 10 ** span[0], False)))
                    for dash in (0, 1)
                ),
            ),
            **{f"{name}_ends": rows(ends) for name, ends in labels.items()},
            "titles": rows(left=[what.titles[0]], right=[what.titles[1]]),
            "reach": rows(layer=[1, run.depth], y=10 ** np.array(span)),
        },
        title=f"Dropout in every layer: {quantity}",
        caption=f"{quantity.capitalize()}; {_depth_setting(run, seed)}.",
        key="Lines, or large dots where a line would have one point: measured on the output of a layer after its dropout. "
        "Small dots: theory for wide layers.",
        alt="One line for each way of scaling against the layer, log axes: two panels, training and evaluation or their "
        "ratio and what mistakes add to it.",
    )  # fmt: skip


def _odd(activation: str) -> bool:
    f = ACTIVATIONS[activation].f
    z = np.array([0.3, 1.0, 2.5])
    return bool(np.allclose(f(-z), -f(z), rtol=1e-12, atol=0))


def _per_layer(line: Array) -> float:
    """Return the mean factor from one layer to the next, NaN if the line leaves float64."""
    ends = line[[0, -1]]
    return (
        float((ends[1] / ends[0]) ** (1 / (len(line) - 1)))
        if np.isfinite(ends).all() and ends.all()
        else math.nan
    )


def _beside(measured: float, theory: float) -> str:
    return f"{number(measured)} (theory {number(theory)})"


def _depth_events(run: _Run) -> list[str]:
    """Say where numbers end: everything dropped, or beyond float64."""
    if run.p == 1:
        end = " Weights with σ_w² = 0 then end evaluation in layer 2 as well." if run.corrected else ""
        return [
            "**Everything is dropped** at p_drop = 1: training is 0 from layer 1 on, and a log axis cannot show it."
            + end
        ]
    events = []
    for name, part in zip(("training", "evaluation"), run.pooled, strict=True):
        for kind, bad in (("is 0", part.second == 0), ("is not finite", ~np.isfinite(part.second))):
            hit = [mode for mode, row in zip(run.measured.modes, bad, strict=True) if row.any()]
            if hit:
                first = 1 + min(int(np.argmax(row)) for row in bad if row.any())
                events.append(f"**The signal {kind}** in {name} from layer {first} on ({', '.join(hit)}).")
    return events


def _second_text(run: _Run, which: str) -> str:
    (train, evaluation), (train_theory, evaluation_theory) = run.pooled, run.theory
    k = run.at("Inverted")

    def values(of: LayerMoments) -> Array:
        return np.asarray((of.second if which == "second moment" else of.variance)[k])

    ends = [(values(a), values(b)) for a, b in ((train, train_theory), (evaluation, evaluation_theory))]
    (m, t), (e, et) = ends
    if run.depth == 1:
        return (
            f"**Inverted**, the right scale: the {which} is {_beside(float(m[0]), float(t[0]))} in training and "
            f"{_beside(float(e[0]), float(et[0]))} in evaluation."
        )
    text = (
        f"**Inverted**, the right scale: in training the {which} goes from {_beside(float(m[0]), float(t[0]))} in layer 1 to "
        f"**{number(float(m[-1]))}** (theory {number(float(t[-1]))}) in layer {run.depth}, in evaluation from "
        f"{_beside(float(e[0]), float(et[0]))} to **{number(float(e[-1]))}** (theory {number(float(et[-1]))})."
    )
    if homogeneous(ACTIVATIONS[run.activation]) and np.isfinite(_per_layer(m) * _per_layer(e)):
        text += (
            f" That is a factor of {_beside(_per_layer(m), _per_layer(t))} a layer against "
            f"{_beside(_per_layer(e), _per_layer(et))}."
        )
        if run.corrected and run.p > 0:
            text += (
                f" σ_w² = {number(run.weight_variance, 4)} takes the factor 1/p_keep = {number(1 / (1 - run.p))} out of "
                "training; evaluation has no noise to make up for and fades by p_keep a layer instead."
            )
        elif run.p > 0:
            text += (
                " Dividing by p_keep keeps the mean of one layer, and multiplies the second moment by 1/p_keep = "
                f"{number(1 / (1 - run.p))}; only smaller weights, σ_w² times p_keep, take that back."
            )
    classic = run.at("Classic")
    text += (
        f" **Classic** ends at {number(float(train.second[classic, -1]))} in training and "
        f"{number(float(evaluation.second[classic, -1]))} in evaluation."
        if which == "second moment"
        else f" **Classic** ends at {number(float(train.variance[classic, -1]))} and "
        f"{number(float(evaluation.variance[classic, -1]))}."
    )
    return text


def _mean_text(run: _Run) -> str:
    (train, evaluation), (train_theory, evaluation_theory) = run.pooled, run.theory
    k = run.at("Inverted")
    if _odd(run.activation):
        return (
            f"{run.activation} is odd: every mean is 0 by symmetry, in training and in evaluation, and what is drawn is the "
            f"size of the scatter around it, at most {number(float(np.nanmax(np.abs(evaluation.mean[k]))))} for "
            "Inverted in evaluation."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, exact = evaluation.mean[k] / train.mean[k], evaluation_theory.mean[k] / train_theory.mean[k]
    text = (
        f"**Inverted** keeps the mean in layer 1: {number(float(train.mean[k, 0]))} in training, "
        f"{number(float(evaluation.mean[k, 0]))} in evaluation, theory {number(float(train_theory.mean[k, 0]))} for both."
    )
    if run.depth > 1:
        text += (
            f" In layer {run.depth} evaluation over training is **{number(float(ratio[-1]))}** (theory "
            f"{number(float(exact[-1]))}): behind the nonlinearity the mean depends on how far its input scatters, and in "
            "training it scatters further."
        )
    return text


def _ratio_text(run: _Run) -> str:
    measured, theory = _rms_ratio(*run.pooled)[:, -1], _rms_ratio(*run.theory)[:, -1]
    added, expected = added_mistake(*run.pooled)[:, -1], added_mistake(*run.theory)[:, -1]
    inverted, none, twice = (run.at(mode) for mode in ("Inverted", "No scaling", "Scaled twice"))
    text = (
        f"In layer {run.depth} the rms in evaluation is **{number(float(measured[inverted]))}** of that in training with "
        f"Inverted (theory {number(float(theory[inverted]))}): right scaling, and still not the same size. No scaling adds "
        f"a factor of **{number(float(added[none]))}** (theory {number(float(expected[none]))}), scaling twice one of "
        f"**{number(float(added[twice]))}** (theory {number(float(expected[twice]))})."
    )
    if homogeneous(ACTIVATIONS[run.activation]):
        share = np.abs(added[[none, twice]] / expected[[none, twice]] - 1)
        worst = float(share.max()) if np.isfinite(share).all() else 0.0
        text += (
            f" {run.activation} passes factors on, so a scale that is wrong by p_keep = {number(1 - run.p)} in "
            + (
                "the one layer is wrong by as much at the end, in each single network"
                if run.depth == 1
                else f"every layer is wrong by p_keep^{run.depth} = {number((1 - run.p) ** run.depth)} at the end, in each "
                "single network"
            )
            + f"{': measured and theory differ by a share of ' + number(worst, 1) if worst > 0 else ''}."
        )
    else:
        text += f" {run.activation} bends, so factors do not simply multiply up."
    return text


_TEXTS: Mapping[str, Callable[[_Run], str]] = {
    "second moment": lambda run: _second_text(run, "second moment"),
    "variance": lambda run: _second_text(run, "variance"),
    "mean": _mean_text,
    _RATIO: _ratio_text,
}


def _scatter_text(run: _Run) -> str:
    """Say how far the measured second moments are from theory, and why."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.abs(
            np.log([part.second / theory.second for part, theory in zip(run.pooled, run.theory, strict=True)])
        )
    there = np.isfinite(logs)  # (2, modes, layers)
    whole_layers = np.all(there, axis=(0, 1))
    first = (
        run.depth if whole_layers.all() else int(whole_layers.argmin())
    )  # so many layers are compared in all modes
    if first:
        compared, said = logs[..., :first], "all modes"
        if first == 1:
            said += " in layer 1" if run.depth > 1 else ""
        else:
            said += f" {'and' if first == run.depth else 'up to'} layer{f' {first}' if first < run.depth else 's'}"
    else:
        compared, said = logs[there.all(axis=-1)], "the modes that are left in every layer"
    if not compared.size:
        return ""
    worst = float(np.exp(compared.max()))
    text = f"Second moments of {said} are within a factor of {number(worst)} of theory"
    entry = ACTIVATIONS[run.activation]
    if not homogeneous(entry) or run.p == 1:
        return text + ", which is for wide layers."
    masked = log_scatter(entry, p=run.p, depth=run.depth, width=run.width)
    free = log_scatter(entry, p=0.0, depth=run.depth, width=run.width)
    if masked > _WILD:
        return text + ", which is for the mean over very many networks: too few units are kept for this one."
    return (
        f"{text}, which is for the mean over networks. One network of this width scatters around it: one standard deviation "
        f"of the logarithm is a factor of about {number(math.exp(masked), 2)} either way for its second moment in the last "
        f"layer under masks, and of {number(math.exp(free), 2)} in evaluation."
    )


def _through_depth(values: Values) -> list[Block]:
    seed, quantity = whole(values, "seed"), word(values, "depth_quantity")
    run = propagated_signal(
        word(values, "depth_activation"),
        real(values, "p"),
        whole(values, "depth_layers"),
        whole(values, "depth_width"),
        bool(values["depth_corrected"]),
        seed,
        progress.Share(0.0, 1.0, "Sending signals through the layers"),
    )
    events = _depth_events(run)
    alive = run.pooled[0].second[run.at("Inverted")]
    text = _TEXTS[quantity](run) if np.isfinite(alive).all() and alive.all() else ""
    return [
        _QUANTITIES[quantity].lead,
        _depth_figure(run, quantity, seed),
        " ".join(part for part in (*events, text, _scatter_text(run)) if part),
    ]


# Variants


@lru_cache(maxsize=16)
def _variants_spec(width: int) -> Spec:
    narrow = width < NARROW
    margin = 96
    count = len(_PANELS)
    inner = width - margin - 26 if narrow else (width - margin - 22 * (count - 1) - 90) // count
    height = 124 if narrow else 210
    y = alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[len(DROPOUT_VARIANTS) - 0.4, -0.6], nice=False))

    def panel(name: str, labelled: bool) -> Panel:
        x = alt.X(
            f"{name}:Q", title=None, scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(grid=False, tickCount=4),
        )  # fmt: skip
        points = alt.Chart(named("points"))
        layers = [
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x),
            alt.Chart(named("input"))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1)
            .encode(x=x, color=theme.ink("muted"), opacity=theme.SHOWN),
            points.mark_rule(strokeWidth=0.6).encode(y=y, color=theme.ink("faint"), opacity=theme.SHOWN),
            points.mark_rule(strokeWidth=2.4).encode(
                x=alt.X(f"{name}_low:Q"), x2=f"{name}_high:Q", y=y, color=theme.color(), opacity=theme.SHOWN
            ),
            points.mark_point(filled=True, size=90).encode(
                x=x, y=y, color=theme.color(), opacity=theme.SHOWN,
                tooltip=[
                    alt.Tooltip("variant:N"),
                    alt.Tooltip(f"{name}:Q", format=".4g", title="measured"),
                    alt.Tooltip(f"{name}_theory:Q", format=".4g", title="theory"),
                ],
            ),
            *(
                points.mark_point(filled=True, size=size).encode(
                    x=alt.X(f"{name}_theory:Q"), y=y, color=theme.ink(use), opacity=theme.SHOWN
                )
                for size, use in ((36, "paper"), (theme.DOT, "ink"))
            ),
            points.mark_text(align="left", baseline="bottom", dx=7, dy=-2, fontSize=theme.SMALL_SIZE).encode(
                x=x, y=y, text=f"{name}_text:N", color=theme.ink("ink")
            ),
            _heading(name),
        ]  # fmt: skip
        if labelled:
            layers.append(
                points.mark_text(align="right", dx=-10, fontSize=theme.TEXT_SIZE).encode(
                    x=alt.value(0), y=y, text="variant:N", color=theme.color()
                )
            )
        return compose.layer(*layers, width=inner, height=height, name=name)

    return _side([panel(name, narrow or k == 0) for k, name in enumerate(_PANELS)], narrow, 22)


@keep(entries=8)
def _measured_variants(mu: float, p: float, seed: int) -> dict[str, tuple[Measured, VariantMoments]]:
    return {
        name: (
            measure_variant(
                name, mean=mu, p=p, samples=_SAMPLES, channels=_CHANNELS, units=_UNITS, seed=seed
            ),
            entry.moments(mu, 1.0, p),
        )
        for name, entry in DROPOUT_VARIANTS.items()
    }


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _variants_figure(
    found: Mapping[str, tuple[Measured, VariantMoments]], mu: float, p: float, seed: int
) -> Figure:
    before = VariantMoments(mu, 1.0, 0.0, 0.0, 1.0)
    columns: dict[str, object] = {
        "variant": list(found),
        "row": np.arange(len(found)),
        "slot": np.array([theme.SLOTS[_VARIANT_HUES[name]] for name in found], np.int8),
        "shown": True,
    }
    # At p_drop = 1 no correlation is there: one row that is not seen keeps the extent of its columns.
    hidden: dict[str, object] = {"variant": "", "row": [0], "slot": np.int8(theme.MUTED), "shown": False}
    reach: dict[str, object] = {}
    for name in _PANELS:
        value = np.array([_finite(getattr(measured.moments, name)) for measured, _ in found.values()])
        error = np.array([_finite(getattr(measured.error, name)) for measured, _ in found.values()])
        theory = np.array([_finite(getattr(exact, name)) for _, exact in found.values()])
        low, high = value - 2 * error, value + 2 * error
        columns = {
            **columns, name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_theory": theory,
            f"{name}_text": [_plain(v) for v in value],
        }  # fmt: skip
        unseen = getattr(before, name)
        hidden |= {
            name: unseen,
            f"{name}_low": unseen,
            f"{name}_high": unseen,
            f"{name}_theory": unseen,
            f"{name}_text": "",
        }
        every = np.concatenate([low, high, theory, [getattr(before, name), 0.0]])
        every = every[np.isfinite(every)]
        least, most = float(every.min()), max(float(every.max()), 0.5)
        reach[name] = [least - 0.06 * (most - least), most + 0.3 * (most - least)]  # room for a number
    return Figure(
        name="dropout/variants",
        build=_variants_spec,
        data={
            "points": rows(columns, *([hidden] if p == 1 else [])),
            "input": rows(**{name: [getattr(before, name)] for name in _PANELS}, shown=True),
            "reach": rows(**reach),
            "titles": rows(**{name: [title] for name, title in _PANELS.items()}),
        },
        title="Variants of dropout: what they leave of mean, variance and covariance",
        caption=(
            f"Training, p_drop {number(p)} (p_keep {number(1 - p)}); independent units N({number(mu)}, 1), {_SAMPLES} "
            f"samples of {_CHANNELS} channels of {_UNITS} units, the same for all; DropPath: of the residual branch. Two sums: "
            f"over the {_UNITS} units of a channel, equal weights, each sum by its own connections; seed {seed}."
        ),
        key="Large dots and numbers: measured, with bars of ±2 standard errors. Small dots in them: closed form. Dashed: without "
        "dropout. Cov.: covariance of two units; corr.: correlation.",
        alt="Six variants of dropout, one a row, in five panels: mean, variance, two covariances and a correlation.",
    )


def _plain(value: float) -> str:
    """Write a measured number, 0 as soon as it rounds to it."""
    if not math.isfinite(value):
        return "undefined"
    return number(0.0 if abs(value) < 0.005 else value, 3 if abs(value) >= 0.1 else 1)


def _variants_text(found: Mapping[str, tuple[Measured, VariantMoments]], mu: float, p: float) -> str:
    if p == 1:
        return (
            "At p_drop = 1 nothing is left, and correlations of what does not vary are undefined. A Gaussian factor of "
            "variance p/(1 − p) does not exist there."
        )
    if p == 0:
        return "At p_drop = 0 nothing is dropped, and every variant is the identity."
    worst, where = 0.0, ""
    for name, (measured, exact) in found.items():
        for field in _PANELS:
            error = getattr(measured.error, field)
            if error > 1e-9:
                off = abs(getattr(measured.moments, field) - getattr(exact, field)) / error
                worst, where = max((worst, where), (off, f"{_FIELDS[field]}, {name}"))
    closed = {name: moments for name, (_, moments) in found.items()}
    standard, alpha, connect = closed["Standard"], closed["Alpha"], closed["DropConnect"]
    text = (
        f"Mean and variance of a unit do not tell five of the six apart: their factors have mean 1 and variance p/(1 − p) = "
        f"{number(p / (1 - p))}, so the mean stays {number(standard.mean)} and the variance becomes (1 + μ²)/p_keep − μ² = "
        f"**{number(standard.var)}**. They differ in who shares a draw. Spatial dropout ties the units of a channel, covariance "
        f"μ²·p/(1 − p) = **{number(closed['Spatial'].channel)}**; DropPath those of a whole sample; DropConnect, which draws for "
        f"each connection, unties even two sums over the same units: correlation **{number(connect.sums)}** instead of 1. "
    )
    if mu == 0:
        text += "With μ = 0 no covariance shows: units of mean 0 stay uncorrelated even under one mask. "
    centred = DROPOUT_VARIANTS["Alpha"].moments(0.0, 1.0, p)
    text += (
        f"Alpha dropout keeps mean {number(_tidy(centred.mean))} and variance {number(centred.var)} exactly, but of units with "
        f"mean 0 and variance 1 only; here they become {number(_tidy(alpha.mean))} and {number(alpha.var)}."
        if mu != 0
        else f"Alpha dropout keeps both, mean {number(_tidy(alpha.mean))} and variance {number(alpha.var)}, because these units "
        "have mean 0 and variance 1."
    )
    return (
        f"{text} The largest distance from the closed forms is {number(worst, 2)} standard errors ({where})."
    )


def _tidy(value: float) -> float:
    return 0.0 if abs(value) < 1e-12 else value


def _variants_table() -> str:
    return table(
        ("", "One draw decides over", "Training", "Source"),
        [
            (entry.name, entry.drops, f"${entry.formula}$", entry.source)
            for entry in DROPOUT_VARIANTS.values()
        ],
    )


@lru_cache(maxsize=16)
def _selu_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 170 if narrow else (width - 340) // 2
    x = alt.X(
        "layer:Q", title="layer", scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )  # fmt: skip

    def panel(name: str, scale: alt.Scale, axis: alt.Axis) -> Panel:
        def y(field: str) -> alt.Y:
            return alt.Y(f"{field}:Q", title=None, scale=scale, axis=axis)

        lines = alt.Chart(named("lines"))
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y(name)),
            lines.mark_line().encode(
                x=x, y=y(name), detail="way:N", color=theme.color(), strokeDash=theme.dash(),
                tooltip=[alt.Tooltip("way:N", title="dropout"), alt.Tooltip("layer:Q"), alt.Tooltip(f"{name}:Q", format=".4g")],
            ),
            lines.mark_point(filled=True, size=60).encode(
                x=x, y=y(name), color=theme.color(), opacity=alt.condition(f"datum.{name}_lone", alt.value(1), alt.value(0)),
            ),
            lines.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=y(f"{name}_theory"), color=theme.ink("ink")
            ),
            _line_ends(f"{name}_ends", alt.X("x:Q"), y("y")),
            _heading(name),
            width=inner, height=200 if narrow else 230, name=name,
        )  # fmt: skip

    return _side(
        [
            panel("mean", alt.Scale(nice=False, zero=False), alt.Axis()),
            panel(
                "var",
                alt.Scale(type="log", nice=False),
                alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
            ),
        ],
        narrow,
    )


@keep(entries=8)
def _selu(
    p: float, depth: int, width: int, seed: int, share: progress.Share
) -> tuple[LayerMoments, LayerMoments]:
    found = propagate_selu(p=p, depth=depth, width=width, inputs=_INPUTS, seed=seed, report=share.report)
    return found, selu_theory(p=p, depth=depth)


def _in_deviations(of: LayerMoments) -> Array:
    """Return means in standard deviations, NaN where nothing varies or a number is not finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = of.mean / np.sqrt(of.variance)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _selu_figure(
    found: tuple[LayerMoments, LayerMoments], p: float, depth: int, width: int, seed: int
) -> Figure:
    names = {"No dropout": "no dropout", "Standard": "standard", "Alpha": "alpha"}
    dashes = {"No dropout": 3, "Standard": 0, "Alpha": 0}
    slots = [theme.SLOTS[_VARIANT_HUES[way]] for way in SELU_DROPS]
    layer = np.arange(1, depth + 1)
    dotted = (layer - depth) % max(1, math.ceil(depth / 12)) == 0
    mean, mean_theory = (_in_deviations(of) for of in found)
    var, var_theory = (_shown_on_log(of.variance) for of in found)
    said = [
        [
            _said_end(name, lines[k], lines[k] if lines is mean else found[0].variance[k])
            for k, name in enumerate(names.values())
        ]
        for lines in (mean, var)
    ]
    mean_ends, mean_reach = _Ends(said[0], mean, slots, False, mean_theory).place(0.08, 0.2)
    var_ends, var_reach = _Ends(said[1], var, slots, True, var_theory).place(0.08, 0.5)
    order = [k for k, way in enumerate(SELU_DROPS) if way != "No dropout"] + [
        list(SELU_DROPS).index("No dropout")
    ]
    ways = list(SELU_DROPS)
    return Figure(
        name="dropout/selu",
        build=_selu_spec,
        data={
            "lines": rows(
                *(
                    {
                        "layer": layer.astype(np.int16), "way": names[ways[k]], "slot": np.int8(slots[k]),
                        "dash": np.int8(dashes[ways[k]]), "mean": mean[k], "var": var[k],
                        "mean_lone": _lone(mean[k]), "var_lone": _lone(var[k]),
                        "mean_theory": np.where(dotted, mean_theory[k], np.nan),
                        "var_theory": np.where(dotted, var_theory[k], np.nan),
                    }
                    for k in order
                )
            ),
            "mean_ends": rows(mean_ends),
            "var_ends": rows(var_ends),
            "titles": rows(mean=["Mean, in standard deviations"], var=["Variance"]),
            "reach": rows(layer=[1, depth], mean=list(mean_reach), var=10 ** np.array(var_reach)),
        },
        title="Alpha dropout and standard dropout through SELU layers",
        caption=(
            f"Training; {_layers(depth)} of width {width}: SELU, then dropout with p_drop {number(p)} (p_keep {number(1 - p)}), "
            f"weights N(0, 1/width) (LeCun), standard normal inputs, {_INPUTS} for each network, the same weights and masks for "
            f"all, seed {seed}."
        ),
        key="Lines, or large dots where a line would have one point: measured on the output of a layer after its dropout. "
        "Small dots: theory for wide layers.",
        alt="Mean in standard deviations and variance against the layer: without dropout, with standard and with alpha dropout.",
    )  # fmt: skip


def _selu_text(found: tuple[LayerMoments, LayerMoments], p: float, depth: int, width: int) -> str:
    if p == 1:
        return "At p_drop = 1 both give 0 from layer 1 on, as in PyTorch."
    ways = list(SELU_DROPS)
    mean, exact_mean = (_in_deviations(of)[:, -1] for of in found)
    var, exact_var = (of.variance[:, -1] for of in found)
    standard, alpha = ways.index("Standard"), ways.index("Alpha")
    a, b = alpha_affine(p)
    lost = np.logical_not((found[0].variance > 0) & np.isfinite(found[0].variance))
    if lost.any():
        first = 1 + int(np.argmax(lost.any(axis=0)))
        names = ", ".join(
            way.lower() for way, gone in zip(ways, np.any(lost, axis=1).tolist(), strict=True) if gone
        )
        return f"**The signal is lost** from layer {first} on ({names}): its variance is 0 or not finite."

    def end(k: int) -> str:
        return (
            f"mean {number(float(mean[k]), 2)} (theory {number(_tidy(float(exact_mean[k])), 2)}) standard deviations, variance "
            f"**{number(float(var[k]))}** (theory {number(float(exact_var[k]))})"
        )

    text = (
        f"A dropped unit becomes α′ = {number(ALPHA_PRIME, 5)}, where SELU ends on the left, and a·y + b with "
        f"a = {number(a, 4)}, b = {number(b, 4)} restores both moments. In layer {depth}: alpha dropout {end(alpha)}; standard "
        f"dropout {end(standard)}. SELU normalizes only a signal near mean 0 and variance 1, and standard dropout multiplies "
        f"the second moment by 1/p_keep = {number(1 / (1 - p))} in every layer."
    )
    off = (
        abs(math.log(var[standard] / exact_var[standard]))
        if np.isfinite(var[standard]) and var[standard] > 0
        else 0.0
    )
    if off > math.log(2):
        text += (
            f" With {number(width * (1 - p))} units kept of {width} networks scatter widely; theory, for wide layers, is the "
            "mean over very many."
        )
    return text


def _variants(values: Values) -> list[Block]:
    p, mu, seed = real(values, "p"), real(values, "depth_mu"), whole(values, "seed")
    depth, width = whole(values, "depth_layers"), whole(values, "depth_width")
    share = progress.Share(0.0, 1.0, "Sending signals through the layers")
    found, selu = _measured_variants(mu, p, seed), _selu(p, depth, width, seed, share)
    return [
        "Six ways to be random at one p_drop. Which of them can a unit tell apart, and which only two units together?",
        _variants_figure(found, mu, p, seed),
        _variants_text(found, mu, p),
        "**Kept through depth.** SELU layers hold mean 0 and variance 1 by themselves. Does dropout let them?",
        _selu_figure(selu, p, depth, width, seed),
        _selu_text(selu, p, depth, width),
        _variants_table(),
    ]


# Dropout before BatchNorm

_ORDERS: Mapping[str, tuple[bool, str, str]] = {
    "before": (True, "vermilion", "dropout, BatchNorm"),
    "after": (False, "blue", "BatchNorm, dropout"),
}


@lru_cache(maxsize=16)
def _shift_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 190 if narrow else (width - 384) // 2
    x = alt.X(
        "p:Q",
        title="p_drop",
        scale=alt.Scale(domain=[0, _RATES[-1]], nice=False),
        axis=alt.Axis(grid=False, offset=8),
    )

    def panel(name: str, scale: alt.Scale, axis: alt.Axis) -> Panel:
        def y(field: str) -> alt.Y:
            return alt.Y(f"{field}:Q", title=None, scale=scale, axis=axis)

        lines = alt.Chart(named("lines"))
        here = alt.Chart(named("here"))
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=y(name)),
            here.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(
                x=x, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            here.mark_text(
                align=alt.expr("datum.p > 0.6 ? 'right' : 'left'"),
                dx=alt.expr("datum.p > 0.6 ? -5 : 5"),
                baseline="top",
                dy=2,
                fontSize=theme.SMALL_SIZE,
            ).encode(x=x, y=alt.value(0), text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN),
            lines.mark_line().encode(x=x, y=y(name), detail="order:N", color=theme.color()),
            lines.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=y(f"{name}_theory"), color=theme.ink("ink")
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=y("y"), text="label:N", color=theme.color(), opacity=theme.SHOWN),
            _heading(name),
            width=inner,
            height=230 if narrow else 260,
            name=name,
        )

    return _side(
        [
            panel(
                "stored",
                alt.Scale(type="log", nice=False),
                alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
            ),
            panel("output", alt.Scale(domain=[0, 1.2], nice=False), alt.Axis()),
        ],
        narrow,
    )


@keep(entries=8)
def _shifted(mu: float, seed: int) -> dict[str, VarianceShift]:
    return {
        name: measure_variance_shift(
            mu, _RATES, before=before, batches=_BATCHES, batch=_BATCH, features=_FEATURES, seed=seed
        )
        for name, (before, *_) in _ORDERS.items()
    }


def _shift_theory(mu: float, before: bool) -> VarianceShift:
    ratio = variance_shift(mu, 1.0, _RATES) if before else np.ones(len(_RATES))
    return VarianceShift(ratio, 1 / np.sqrt(ratio))


def _shift_figure(found: Mapping[str, VarianceShift], mu: float, p: float, seed: int) -> Figure:
    parts: list[Part] = []
    for name, (before, hue, label) in _ORDERS.items():
        theory = _shift_theory(mu, before)
        parts.append(
            {"p": np.array(_RATES), "order": label, "slot": np.int8(theme.SLOTS[hue]), "stored": found[name].stored,
             "output": found[name].output, "stored_theory": theory.stored, "output_theory": theory.output}
        )  # fmt: skip
    labels = [label for *_, label in _ORDERS.values()]
    slots = [theme.SLOTS[hue] for _, hue, _ in _ORDERS.values()]
    stored = _Ends(labels, np.array([found[name].stored for name in _ORDERS]), slots)
    output = _Ends(labels, np.array([found[name].output for name in _ORDERS]), slots, log=False)
    stored_ends, reach = stored.place(0.07, 1.0)
    output_ends, _ = output.place(0.07, 0.0, (0.0, 1.2))
    return Figure(
        name="dropout/variance_shift",
        build=_shift_spec,
        data={
            "lines": rows(*parts),
            "stored_ends": rows(stored_ends),
            "output_ends": rows(output_ends),
            "here": rows(p=[min(p, _RATES[-1])], label=f"p_drop {number(p)}", shown=p <= _RATES[-1]),
            "titles": rows(stored=["Stored variance over that in evaluation"], output=["sd of BatchNorm's output, evaluation"]),
            "reach": rows(stored=10 ** np.array(reach), output=[0.0, 1.2]),
        },
        title="Dropout before and after BatchNorm",
        caption=(
            f"Units N({number(mu)}, 1), inverted dropout; BatchNorm (γ 1, β 0) keeps the average over {_BATCHES} training "
            f"batches of {_BATCH}, for {_FEATURES} units at each of {len(_RATES)} values of p_drop; evaluation on "
            f"{_BATCHES * _BATCH} fresh samples; seed {seed}. Marked: p_drop {number(p)} (p_keep {number(1 - p)})."
        ),
        key="Lines: measured. Small dots: closed form. In training BatchNorm's output has sd 1 in either order.",
        alt="Stored variance and the spread of BatchNorm's output in evaluation against p_drop, for dropout before and after "
        "BatchNorm.",
    )  # fmt: skip


def _shift_text(found: Mapping[str, VarianceShift], mu: float, p: float) -> str:
    exact = {name: _shift_theory(mu, before) for name, (before, *_) in _ORDERS.items()}
    off = max(float(np.max(np.abs(np.log(found[name].stored / exact[name].stored)))) for name in _ORDERS)
    nearest = int(np.argmin(np.abs(np.array(_RATES) - p)))
    before, after = found["before"], found["after"]
    text = (
        f"At p_drop {number(_RATES[nearest])} BatchNorm behind dropout stores "
        f"**{number(float(before.stored[nearest]))}** times the variance that evaluation brings (closed form "
        f"(1 + μ²)/p_keep − μ² = {number(float(exact['before'].stored[nearest]))}), so its output has a standard deviation "
        f"of **{number(float(before.output[nearest]))}** in evaluation (closed form "
        f"{number(float(exact['before'].output[nearest]))}) and 1 in training. With dropout behind BatchNorm it is "
        f"{number(float(after.output[nearest]))}: BatchNorm sees the same input in both. Over all p_drop, measured and closed "
        f"form are within {number(100 * math.expm1(off), 2)}%."
    )
    relu = ACTIVATIONS["ReLU"]
    second = 1 / keeping_variance(relu)
    mean = float(depth_theory(relu, p=0.0, depth=1, weight_variance=2.0)[1].mean[0, 0])
    ratio = float(variance_shift(mean, second - mean**2, _RATES[nearest]))
    return (
        f"{text} Units of mean 0 have the ratio 1/p_keep = {number(1 / (1 - _RATES[nearest]))}; a mean adds to it, for it is "
        f"dropped too. ReLU of a standard normal, mean {number(mean)} and variance {number(second - mean**2)}, has "
        f"{number(ratio)}. A sum of independent units has the ratio of its units, whatever the weights between dropout and "
        "BatchNorm."
    )


def _before_batchnorm(values: Values) -> list[Block]:
    p, mu, seed = real(values, "p"), real(values, "depth_mu"), whole(values, "seed")
    found = _shifted(mu, seed)
    return [
        "**The variance shift.** BatchNorm stores the variance it sees in training. What if a dropout before it adds to that "
        "variance in training only?",
        _shift_figure(found, mu, p, seed),
        _shift_text(found, mu, p),
    ]


@dataclass(frozen=True)
class _View:
    knobs: tuple[str, ...]
    blocks: Callable[[Values], list[Block]]


_VIEWS: Mapping[str, _View] = {
    "through depth": _View(
        (
            "depth_view",
            "depth_quantity",
            "depth_activation",
            "",
            "depth_layers",
            "depth_width",
            "depth_corrected",
        ),
        _through_depth,
    ),
    "variants": _View(("depth_view", "depth_mu", "depth_layers", "depth_width"), _variants),
    "before BatchNorm": _View(("depth_view", "depth_mu"), _before_batchnorm),
}


def depth_blocks(values: Values) -> Sequence[Block]:
    """Show dropout through many layers, its variants, or dropout before BatchNorm, as ``depth_view`` says.

    Args:
        values: the page's; p, seed and those of ``DEPTH_KNOBS`` act.

    Returns:
        leads, figures and readings.
    """
    return _VIEWS[word(values, "depth_view")].blocks(values)
