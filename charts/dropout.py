"""Dropout: a unit's output over masks in training and evaluation, for right and wrong ways of scaling."""

import math
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.dropout_code import programs
from charts.dropout_convergence import convergence_blocks, draw_layer, inputs_text
from charts.dropout_depth import DEPTH_KNOBS, depth_blocks, depth_knobs
from charts.dropout_ensemble import ENSEMBLE_KNOBS, ensemble_blocks, ensemble_knobs
from charts.dropout_network import NETWORK_KNOBS, network_blocks, network_knobs
from charts.dropout_nonlinearity import NONLIN_KNOBS, nonlin_knobs, nonlinearity_blocks
from charts.dropout_notes import MEASURES
from charts.dropout_predictions import PREDICTIONS
from charts.dropout_regularizer import REGULARIZER_KNOBS, regularizer_blocks, regularizer_knobs
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows
from charts.once import once
from charts.topic import (
    Fold,
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
)
from core.dropout import (
    CONTRIBUTIONS,
    DROPOUT_CONVENTIONS,
    DROPOUT_MODES,
    DropoutConvention,
    DropoutMoments,
    DropoutRun,
    variance_error,
)
from core.knobs import Knob, latex, number

Array = np.ndarray

_TRAIN, _EVAL = theme.SLOTS["vermilion"], theme.SLOTS["blue"]  # as on the BatchNorm page
_BINS = 56
_FINEST = 6  # a bar is at least this part of the usual width, however narrow the hump
_INSIDE = 2.0  # standard deviations within which a rule stands in its hump
_DISTINCT = 8  # so many different outputs, or fewer, have no density to compare with
_SLIM = 0.25  # of a usual bar, about 3 pixels: where a standard deviation is less, dots would be a smear
_GRID = np.linspace(-4.0, 4.0, 61)  # standard deviations from the mean
_NORMAL = np.exp(-0.5 * _GRID**2) / np.sqrt(2 * np.pi)
_TALL = 0.84  # of a rule, in rows
_GAP = 0.45  # rows of mistakes stand apart from the rows that are right

KNOBS = (
    Knob(
        "p", "float", 0.5, label="p_drop (= 1 − p_keep)", low=0.0, high=1.0, step=0.01,
        help="Probability to drop a unit: the p of PyTorch, the rate of Keras. p_keep = 1 − p_drop is what TensorFlow 1 "
        "and the paper of 2014 ask for.",
    ),
    Knob(
        "convention", "choice", "PyTorch", label="Convention", choices=tuple(DROPOUT_CONVENTIONS),
        help="Whose words are used. The masks stay; the row that computes the same is marked.",
    ),
    Knob("inputs", "int", 50, label="Inputs of the unit", low=1, high=500, log=True, symbol="n", cap="width"),
    Knob(
        "contributions", "choice", "positive, random", label="Contributions", choices=tuple(CONTRIBUTIONS),
        help="What each input adds to the output, activation times weight. They sum to 1.",
    ),
    Knob("masks", "int", 2000, label="Masks drawn", low=10, high=10_000, log=True, symbol="M", cap="samples"),
    Knob("seed", "int", 10, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip


SECTIONS = (
    Section("Nonlinearity", nonlinearity_blocks, NONLIN_KNOBS, nonlin_knobs),
    Section("Depth", depth_blocks, DEPTH_KNOBS, depth_knobs),
    Section("Network", network_blocks, NETWORK_KNOBS, network_knobs),
    Section("Ensemble", ensemble_blocks, ENSEMBLE_KNOBS, ensemble_knobs),
    Section("Regularizer", regularizer_blocks, REGULARIZER_KNOBS, regularizer_knobs),
)


def _layout(values: Values) -> tuple[Group, ...]:
    return (
        Group(tuple(knob.name for knob in KNOBS)),
        resting(SECTIONS, values),
    )


def _bases() -> dict[str, float]:
    """Place the rows from top to bottom, the mistakes apart."""
    bases, y = {}, 0.0
    mistake = False
    for name, mode in DROPOUT_MODES.items():
        if mode.mistake and not mistake:
            y -= _GAP
            mistake = True
        y -= 1.16
        bases[name] = y
    return bases


_BASES = _bases()
BOTTOM, TOP = min(_BASES.values()) - 0.24, -0.12


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    margin = 8 if narrow else 128
    beside = 176  # what a verdict needs
    inner = width - (40 if narrow else margin + beside)
    x = alt.X(
        "x:Q", title="output of the unit", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False)
    )
    y = alt.Y("base:Q", axis=None, scale=alt.Scale(domain=[BOTTOM, TOP], nice=False))

    label = "over" if narrow else "base"  # on a phone the words stand above their row, not beside it

    below = 6 if narrow else 7  # pixels from a row's ground to its triangle

    def layer(name: str) -> Panel:
        return alt.Chart(named(name))

    # The row of the convention in use lies on a band that reaches over its words.
    band = (
        layer("chosen")
        .mark_rect(opacity=0.17)
        .encode(
            x=compose.at_x(0 if narrow else 4 - margin),
            x2=alt.value(inner if narrow else inner + beside - 4),
            y=alt.Y("under:Q" if narrow else "bottom:Q", axis=None),
            y2=alt.Y2("above:Q") if narrow else "top:Q",
            color=theme.color(),
        )
    )
    called = (
        layer("chosen")
        .mark_text(
            align="left" if narrow else "right",
            baseline="bottom" if narrow else "middle",
            lineBreak="\n",
            lineHeight=14,
            dx=72 if narrow else -12,
            dy=-1 if narrow else -13,
            fontSize=theme.SMALL_SIZE,
        )
        .encode(
            x=compose.at_x(0),
            y=alt.Y(f"{label}:Q"),
            text=alt.Text("setting:N") if narrow else "words:N",
            color=theme.ink("muted"),
        )
    )
    ground = layer("rows").mark_rule(strokeWidth=0.8).encode(y=y, color=theme.ink("faint"))
    bars = (
        layer("training")
        .mark_rect(opacity=0.62)
        .encode(
            x=alt.X("low:Q"),
            x2=alt.X2("high:Q"),
            y=y,
            y2=alt.Y2("top:Q"),
            color=theme.color(),
            tooltip=[
                alt.Tooltip("mode:N"),
                alt.Tooltip("low:Q", format=".3~f", title="from"),
                alt.Tooltip("high:Q", format=".3~f", title="to"),
                alt.Tooltip("count:Q", title="masks"),
            ],
        )
    )
    evaluated = (
        layer("evaluation")
        .mark_rect(filled=False, strokeWidth=1.1, opacity=0.95)
        .encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y, y2=alt.Y2("top:Q"), stroke=theme.color())
    )
    normal = (
        layer("theory")
        .mark_line(strokeDash=[1, 4], strokeWidth=2.4, strokeCap="round")
        .encode(x=x, y=alt.Y("top:Q", axis=None), detail=alt.Detail("mode:N"), color=theme.ink("ink"))
    )
    ghost = (
        layer("ghost")
        .mark_point(shape="triangle-up", filled=False, size=70, strokeWidth=1.4, yOffset=below)
        .encode(x=x, y=y, color=theme.ink("muted"), opacity=theme.SHOWN)
    )
    mean = (
        layer("means")
        .mark_point(shape="triangle-up", filled=True, size=60 if narrow else 90, opacity=1, yOffset=below)
        .encode(
            x=x,
            y=y,
            color=theme.ink("vermilion"),
            tooltip=[
                alt.Tooltip("mode:N"),
                alt.Tooltip("x:Q", title="training mean", format=".4~f"),
                alt.Tooltip("sd:Q", title="training sd", format=".4~f"),
            ],
        )
    )
    rule = (
        layer("rules")
        .mark_rule(strokeWidth=3.4)
        .encode(x=x, y=y, y2=alt.Y2("top:Q"), color=theme.ink("blue"))
    )
    name = (
        layer("rows")
        .mark_text(
            align="left" if narrow else "right",
            baseline="bottom" if narrow else "middle",
            dy=0 if narrow else -29,
            dx=4 if narrow else -12,
            fontSize=theme.TEXT_SIZE,
            fontWeight=600,
        )
        .encode(x=compose.at_x(0), y=alt.Y(f"{label}:Q"), text=alt.Text("mode:N"), color=theme.ink("ink"))
    )
    verdict = (
        layer("rows")
        .mark_text(
            align="right" if narrow else "left",
            baseline="bottom" if narrow else "middle",
            dy=-1 if narrow else -29,
            dx=-4 if narrow else 12,
            fontSize=theme.SMALL_SIZE + 0.5,
        )
        .encode(x=compose.at_x(inner), y=alt.Y(f"{label}:Q"), text=alt.Text("verdict:N"), color=theme.color())
    )
    heading = (
        layer("titles")
        .mark_text(
            align="left" if narrow else "right",
            baseline="middle",
            fontSize=theme.SMALL_SIZE,
            dx=4 if narrow else -12,
        )
        .encode(x=compose.at_x(0), y=alt.Y("base:Q"), text=alt.Text("text:N"), color=theme.ink("muted"))
    )
    reach = layer("reach").mark_point(opacity=0).encode(x=x)
    chart = compose.layer(
        *(reach, band, ground, bars, evaluated, normal, ghost, mean, rule, name, called, verdict, heading),
        width=inner,
        height=620 if narrow else 430,
        name="rows",
    )
    if not narrow:
        chart["padding"] = {"left": 5, "right": 5, "top": 5, "bottom": 20}
    return once(assemble(chart, theme.config()))


def run(values: Values) -> tuple[DropoutRun, dict[str, DropoutMoments]]:
    """Draw the masks once, use them in every mode; beside them the closed form of every mode."""
    return draw_layer(
        real(values, "p"),
        whole(values, "inputs"),
        whole(values, "masks"),
        whole(values, "seed"),
        word(values, "contributions"),
    )


def _convention(values: Values) -> DropoutConvention:
    return DROPOUT_CONVENTIONS[word(values, "convention")]


def _both(p: float) -> str:
    """Name both probabilities, to six digits: 0.9999 is not 1."""
    return f"p_drop = {number(p, 6)} and p_keep = {number(1 - p, 6)}"


class _Bars(NamedTuple):
    """A histogram whose bars may stand apart: edges and counts, and the width of output that a bar counts."""

    low: Array
    high: Array
    counts: Array
    bin: float


def _bars(outputs: Array, sd: float, usual: float, grain: float) -> _Bars:
    """Count outputs in bars centered on multiples of their width.

    A hump narrower than a few of the ``usual`` bars gets finer ones. Where outputs are multiples of a ``grain``, not
    0, a bar holds the same number of them, or the histogram would be a comb; rare ones get a thin bar each.
    """
    first = float(outputs[0])
    if sd == 0 or float(np.ptp(outputs)) == 0:
        return _Bars(
            np.array([first - usual / 2]), np.array([first + usual / 2]), np.array([outputs.size]), usual
        )
    width = min(max(0.4 * sd, usual / _FINEST), usual)
    if not grain:
        places, counts = _counted(np.round(outputs / width))
        return _Bars((places - 0.5) * width, (places + 0.5) * width, counts, width)
    each = max(1, int(width / grain + 1e-9))  # possible outputs in a bar
    places, counts = _counted(np.round(outputs / grain) // each)
    center, half = (places * each + (each - 1) / 2) * grain, min(each * grain, usual) / 2
    return _Bars(center - half, center + half, counts, each * grain)


def _counted(numbers: Array) -> tuple[Array, Array]:
    """Return the different whole numbers, in order, and how often each occurs; they have to lie close together."""
    first = numbers.min()
    counts = np.bincount((numbers - first).astype(np.intp))
    found = np.flatnonzero(counts)
    return first + found, counts[found]


class _Hump(NamedTuple):
    """Outputs as they are drawn on the ground of a row: bars, a row's height for each count, and the normal density."""

    bars: _Bars
    unit: float
    x: Array
    top: Array


def _hump(
    outputs: Array, mean: float, sd: float, usual: float, grain: float, reach: tuple[float, float]
) -> _Hump:
    bars = _bars(outputs, sd, usual, grain)
    unit, nothing = float(0.78 / bars.counts.max()), np.empty(0)
    if sd < _SLIM * usual or not _several(outputs, bars):
        return _Hump(bars, unit, nothing, nothing)
    grid = mean + sd * _GRID
    top = unit * outputs.size * bars.bin * _NORMAL / sd
    if top.max() >= 1.0:  # a few separate outputs have no density to compare with
        return _Hump(bars, unit, nothing, nothing)
    seen = (top > 0.004) & (grid > reach[0]) & (grid < reach[1])
    return _Hump(bars, unit, grid[seen], top[seen])


def _several(outputs: Array, bars: _Bars) -> bool:
    """Say whether there are more than a few different outputs."""
    # Two that are all but equal may stand in neighboring bars.
    return len(bars.counts) > 2 * _DISTINCT or len(np.unique(np.round(outputs, 9))) > _DISTINCT


@lru_cache(maxsize=1)
def _nothing() -> Frame:
    """Return the row of a data set that has nothing to draw."""
    return rows(low=[0.0], high=0.0, base=BOTTOM, top=BOTTOM, x=0.0, mode="", slot=theme.MUTED)


@lru_cache(maxsize=1)
def _heading() -> Frame:
    mistakes = next(_BASES[name] for name, mode in DROPOUT_MODES.items() if mode.mistake)
    return rows(text=["Mistakes"], base=mistakes + 1.16 + _GAP * 0.2)


def _figure(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> Figure:
    outputs = (result.train, result.evaluation)
    low = min(0.0, *(float(part.min()) for part in outputs))
    high = max(2.0, *(float(part.max()) for part in outputs)) * 1.0001
    usual = (high - low) / _BINS
    grain = float(result.contributions[0]) if np.ptp(result.contributions) == 0 else 0.0
    training: list[Part] = []
    evaluation: list[Part] = []
    theory: list[Part] = []
    humps: dict[tuple[float, bool], _Hump] = {}  # modes that train alike have one
    for k, mode in enumerate(result.modes):
        base, rule = _BASES[mode], DROPOUT_MODES[mode]
        sd, mean = float(np.sqrt(closed[mode].train_var)), float(closed[mode].train_mean)
        scale = rule.train_scale(result.p)
        if (alike := (scale, rule.masks_in_training)) not in humps:
            humps[alike] = _hump(result.train[k], mean, sd, usual, grain * scale, (low, high))
        bars, unit, x, top = humps[alike]
        training.append(
            {"low": bars.low, "high": bars.high, "base": base, "top": base + unit * bars.counts,
             "count": bars.counts, "mode": mode, "slot": _TRAIN}
        )  # fmt: skip
        if len(x):
            theory.append({"x": x, "top": base + top, "mode": mode})
        if not result.deterministic[k]:
            bars = _bars(result.evaluation[k], sd, usual, grain * rule.eval_scale(result.p))
            evaluation.append(
                {
                    "low": bars.low,
                    "high": bars.high,
                    "base": base,
                    "top": base + unit * bars.counts,
                    "slot": _EVAL,
                }
            )
    bases = np.array([_BASES[mode] for mode in result.modes])
    verdicts = [_verdict(k, result, closed[mode]) for k, mode in enumerate(result.modes)]
    fixed = result.deterministic
    convention, p = _convention(values), real(values, "p")
    chosen = _BASES[convention.mode]
    return Figure(
        name="dropout/scaling",
        build=_spec,
        data={
            "training": rows(*training),
            "evaluation": rows(*evaluation) if evaluation else _nothing(),
            "theory": rows(*theory) if theory else _nothing(),
            "rules": rows(x=result.eval_mean[fixed], base=bases[fixed], top=bases[fixed] + _TALL),
            "means": rows(
                x=result.train_mean,
                sd=np.sqrt(np.nan_to_num(result.train_var)),
                shown=True,
                base=bases,
                mode=list(result.modes),
            ),
            "rows": rows(
                mode=list(result.modes),
                base=bases,
                over=bases + _TALL,
                verdict=[text for text, _ in verdicts],
                slot=[theme.GOOD if right else theme.BAD for _, right in verdicts],
            ),
            "chosen": rows(
                base=[chosen],
                over=chosen + _TALL,
                bottom=chosen - 0.2,
                top=chosen + 0.92,
                under=chosen - 0.13,
                above=chosen + 1.03,
                setting=convention.setting(p),
                words=f"{convention.name}\n{convention.setting(p)}",
                slot=theme.FAINT,
            ),
            "titles": _heading(),
            "reach": rows(x=[low - usual / 2, high + usual / 2]),
        },
        title="Scaling in training and in evaluation",
        caption=(
            f"One linear unit, p_drop {number(p, 6)} (p_keep {number(1 - p, 6)}), {inputs_text(values)}, "
            f"{values['masks']} masks shared by all rows, seed {values['seed']}. Marked: {convention.name}, "
            f"{convention.call(p)}."
        ),
        key=(
            "Orange: training outputs over masks, triangle at their mean. Blue: evaluation. Dots: normal density with "
            "the mean and variance of the closed form, but none over a few separate outputs or a hump too narrow for them."
        ),
        alt="Six ways to use dropout, one a row: histogram of training outputs, and where evaluation lies.",
        ghosts={"ghost": "means"},
    )  # fmt: skip


def _verdict(k: int, result: DropoutRun, moments: DropoutMoments) -> tuple[str, bool]:
    """State a row's measured ratio of evaluation to training; whether it is right, the closed form decides."""
    ratio = float(result.ratio[k])
    if not np.isfinite(ratio):
        return "nothing left in training", False
    random = float(moments.eval_var) > 0
    right = not random and abs(float(moments.eval_mean) - float(moments.train_mean)) < 1e-9
    return f"eval / train {_aligned(ratio)}{', but random' if random else ''}", right


def _aligned(ratio: float) -> str:
    """Write a ratio with three digits also where fewer hold it: 1.00 stands in one column with 2.01 and 0.502."""
    rounded = float(f"{ratio:.3g}")
    if not 0.01 <= rounded < 100:
        return number(ratio)
    return f"{rounded:.{2 - math.floor(math.log10(rounded))}f}"


def _reading(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> str:
    def at(mode: str) -> int:
        return result.modes.index(mode)

    p, convention = real(values, "p"), _convention(values)
    here = f"{convention.name}: `{convention.call(p)}`, the row {convention.mode}, with {_both(p)}."
    if p == 1:
        return (
            f"{here} Nothing is ever kept: wherever masks are in use, training outputs are 0. Inverted scaling would "
            f"divide by p_keep = 0; this page defines that output as 0. {convention.at_one}"
        )
    if p == 0:
        return f"{here} Nothing is dropped and nothing scaled: every row is the identity, in training and in evaluation."
    inverted, classic, wrong = at("Inverted"), at("Classic"), at("No scaling")
    sd = np.sqrt(np.nan_to_num(result.train_var))
    exact = closed["Inverted"]
    error = 1.96 * float(variance_error(exact.train_var, exact.train_cumulant4, result.train.shape[1]))
    off = abs(float(result.train_var[inverted]) - float(exact.train_var))
    unscaled = closed["No scaling"]
    spread = float(np.sqrt(unscaled.train_var))
    # The quotient goes to 0 as √p does, also where the variance is below the smallest number.
    apart = abs(float(unscaled.eval_mean) - float(unscaled.train_mean)) / spread if spread > 0 else 0.0
    hidden = ", and inside the hump: no single output gives it away" if apart < _INSIDE else ""
    return (
        f"{here} Inverted dropout trains at {number(float(result.train_mean[inverted]))} ± "
        f"{number(float(sd[inverted]))} (mean and standard deviation over masks) and evaluates at "
        f"**{number(float(result.eval_mean[inverted]))}**; classic "
        f"dropout trains at {number(float(result.train_mean[classic]))} ± {number(float(sd[classic]))} and evaluates at "
        f"**{number(float(result.eval_mean[classic]))}**. Without any scaling, evaluation is "
        f"{number(float(result.ratio[wrong]))} times the training mean, {number(apart)} sd of the training outputs "
        f"away{hidden}. Inverted variance: measured {number(float(result.train_var[inverted]))}, closed form "
        f"{number(float(exact.train_var))}, {'within' if off <= error else 'outside'} the 95% band of ± "
        f"{number(error)}."
    )


def _conventions(p: float, chosen: str) -> str:
    """List what every convention writes for this p_drop, a block each, which fits a phone; the chosen one in bold."""
    return "\n".join(
        f"- {f'**{name}**' if name == chosen else name}: `{rule.call(p)}`, with "
        f"{'p_keep' if rule.keeps else 'p_drop'} as its number, is the row {rule.mode}. In training: {rule.training}. In "
        f"evaluation: {rule.evaluation}."
        for name, rule in DROPOUT_CONVENTIONS.items()
    )


def _why(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> str:
    p, convention = real(values, "p"), _convention(values)
    drop, keep = latex(p, 6), latex(1 - p, 6)
    squares = float(np.sum(result.contributions**2))
    inverted, classic = closed["Inverted"], closed["Classic"]
    lines = [
        r"A unit adds contributions $c_i = w_i a_i$; dropout multiplies each by an independent $m_i \in \{0, 1\}$ with "
        r"$P(m_i = 1) = 1-p$. Mean and variance of the sum follow from those of one $m_i$, $1-p$ and $p(1-p)$:",
        r"$$\text{inverted: }\quad \mathrm E = \sum c_i,\qquad \mathrm{Var} = \frac{p}{1-p}\sum c_i^2$$",
        r"$$\text{classic: }\quad \mathrm E = (1-p)\sum c_i,\qquad \mathrm{Var} = p(1-p)\sum c_i^2$$",
        f"The contributions here ({word(values, 'contributions')}): "
        f"{CONTRIBUTIONS[word(values, 'contributions')].description}",
    ]
    if p < 1:
        lines += [
            rf"So $\sum c_i = 1$ and $\sum c_i^2 = {latex(squares)}$, and with $p = {drop}$:",
            rf"$$\text{{inverted: }}\ \mathrm{{Var}} = \frac{{{drop}}}{{{keep}}}\cdot {latex(squares)} = "
            rf"{latex(float(inverted.train_var))}$$",
            rf"$$\text{{classic: }}\ \mathrm{{Var}} = "
            rf"{drop}\cdot{keep}\cdot {latex(squares)} = {latex(float(classic.train_var))}$$",
        ]
    lines += [
        "Scaling repairs the mean, never the variance: evaluation has none. Scale in one place only, in training "
        r"(divide by $1-p$, inverted) or in evaluation (multiply the weights by $1-p$, classic).",
        "\n".join(
            f"- **{name}**: {mode.description} ({mode.source})" for name, mode in DROPOUT_MODES.items()
        ),
        f"**One number, as each convention writes it.** {_both(p)}:",
        _conventions(p, convention.name),
        "**The two ends.** At p_drop = 0 every unit is kept and every row is the identity. At p_drop = 1 nothing is "
        f"kept, and 1/p_keep is not defined. {convention.at_one} This page returns 0 wherever masks are in use.",
    ]
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Draw the masks and everything that follows from them."""
    result, closed = run(values)
    events = ("**Everything is dropped** at p_drop = 1.",) if real(values, "p") == 1 else ()
    return View(
        figure=_figure(values, result, closed),
        say=lambda: Words(_reading(values, result, closed), _why(values, result, closed), events),
        tabs=tuple(section.tab(values) for section in SECTIONS),
        programs=lambda: programs(values),
        folds=(Fold("Does a simulation find the closed form?", lambda: convergence_blocks(values)),),
    )


SCENARIOS = (
    Scenario(
        "Half dropped",
        "A blue rule on the orange triangle is right, a rule beside it is a bug. Move p_drop to 0.8: the rules that "
        "are right stay where their triangle is, the others move away.",
        question="At p_drop = 0.5 a unit loses half of its inputs in training. Where does dropout have to scale, so that "
        "evaluation matches its mean?",
    ),
    Scenario(
        "Light dropout",
        "At p_drop = 0.1 every mistake is small, and easy to miss: forgetting to scale costs 11%.",
        {"p": 0.1},
        question="How large is the error of forgetting to scale at p_drop = 0.1?",
    ),
    Scenario(
        "Almost everything dropped",
        "At p_drop = 0.9 inverted dropout keeps the mean, but its outputs scatter three times as wide as at 0.5: "
        "dividing by 0.1 amplifies the noise too.",
        {"p": 0.9},
        question="Inverted dropout keeps the mean at p_drop = 0.9. How wide do its outputs scatter, against p_drop = 0.5?",
    ),
    Scenario(
        "Six units",
        "The notes' example: six units, half of them dropped, three left on average. With so few, the outputs are at "
        "most 64 separate values and the normal curve no longer fits.",
        {"inputs": 6},
        question="Six units with p = 0.5: does every pass keep exactly three?",
    ),
    Scenario(
        "Wide layer",
        "With 500 inputs the noise of dropout shrinks as 1/√n, and a wrong scale stands out at once.",
        {"inputs": 500},
    ),
    Scenario(
        "Noise hides the mistake",
        "The contributions have both signs and mostly cancel: the scatter is as large as the mean. Every rule now stands "
        "in its hump, the wrong ones too, and a wider layer does not help. Set the contributions to equal to see the "
        "mistakes come out.",
        {"contributions": "positive and negative"},
        question="Contributions to a unit mostly cancel: with p_drop = 0.5 its training outputs scatter as much as their mean. "
        "Where is evaluation if nobody scales?",
    ),
    Scenario(
        "keep_prob",
        "TensorFlow 1 writes keep_prob = 0.8 where PyTorch writes p = 0.2. Whoever copies the 0.8 into p gets the same "
        "mean with 16 times the variance: move p_drop to 0.8 to see it.",
        {"p": 0.2, "convention": "TensorFlow 1"},
        question="A model of TensorFlow 1 has keep_prob = 0.8. What changes in a unit's training outputs if someone writes "
        "PyTorch's nn.Dropout(0.8)?",
    ),
    Scenario(
        "Everything dropped",
        "At p_drop = 1 no unit is left in training, and there is nothing to divide by. One step lower, at 0.99, "
        "inverted dropout still has the right mean: most outputs are 0, and the others very large.",
        {"p": 1.0},
        question="What is 1/(1 − p) times nothing?",
    ),
    Scenario(
        "ReLU notices",
        "Scaling matches the mean of what goes into a unit. Behind a ReLU the means differ again: the function is "
        "convex, and training outputs are larger on average than the one of evaluation.",
        {"inputs": 20},
        question="Dropout's scaling makes the mean before a ReLU equal in training and evaluation. How do the means "
        "behind it compare?",
        tab="Nonlinearity",
    ),
    Scenario(
        "Twenty layers",
        "A wrong scale is applied once a layer, so that it grows as a power of the depth; and even right scaling lets "
        "the second moment grow in training, by 1/p_keep a layer.",
        {"p": 0.25, "depth_quantity": "evaluation over training"},
        question="Twenty layers drop with p_drop = 0.25, and none of them scales. By what factor is evaluation too large at the "
        "end, compared with right scaling?",
        tab="Depth",
    ),
    Scenario(
        "The mask drawn",
        "A mask switches units off for one step, forward and backward: no gradient passes through a dropped unit. The "
        "next step draws another one.",
        {"inputs": 12},
        question="A unit is dropped in one step of training. Which of its weights get no gradient in that step?",
        tab="Network",
    ),
    Scenario(
        "All 4096 networks",
        "Twelve units have 2¹² masks, and each is a network of its own. Enumerated, their mean can be compared with the "
        "one network that evaluation uses.",
        {"p": 0.3, "inputs": 12, "ens_units": 12, "ens_net": "tanh hidden layer"},
        question="Twelve units under dropout are 4096 networks. How do the mean of their answers and the answer of the network "
        "with scaled weights compare?",
        tab="Ensemble",
    ),
    Scenario(
        "Little data",
        "The notes say that dropout is poor on small data and good on large. Compare the test error with and without it "
        "as the number of points grows.",
        {"p": 0.4, "reg_view": "data and p"},
        question="Does dropout help most when data are scarce?",
        tab="Regularizer",
    ),
)

# Scenarios of the tabs: they set nothing of the main figure.
_TAB_KNOBS = tuple(knob for section in SECTIONS for knob in section.knobs)

TOPIC = Topic(
    name="dropout",
    prefix="drop",
    title="Dropout",
    question="What do you have to scale, and when?",
    icon=":material/blur_on:",
    knobs={knob.name: knob for knob in (*KNOBS, *_TAB_KNOBS)},
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    free=("seed", "convention", *(knob.name for knob in _TAB_KNOBS)),
    tabs=tuple(section.name for section in SECTIONS),
    code=True,
    measures=MEASURES,
    predictions=PREDICTIONS,
)
