"""Dropout: a unit's output over masks in training and evaluation, for right and wrong ways of scaling."""

from functools import lru_cache

import altair as alt
import numpy as np

from charts import theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, bins, named, rows
from charts.topic import Group, Scenario, Tab, Topic, Values, View, real, whole
from core.dropout import (
    DROPOUT_MODES,
    DropoutMoments,
    DropoutRun,
    dropout_layer,
    dropout_moments,
    running_moments,
    variance_error,
)
from core.knobs import Knob, number

Array = np.ndarray

_TRAIN, _EVAL = theme.SLOTS["vermilion"], theme.SLOTS["blue"]  # as on the BatchNorm page
_BINS = 56
_CONVERGING = ("Inverted", "Classic", "No scaling")
_GAP = 0.45  # rows of mistakes stand apart from the rows that are right

KNOBS = (
    Knob(
        "p", "float", 0.5, label="p_drop", low=0.0, high=1.0, step=0.01, symbol="p",
        help="Probability to drop a unit, as in PyTorch, Keras and papers since 2014. p_keep = 1 − p_drop; some notes "
        "and TensorFlow 1 call p_keep the dropout parameter.",
    ),
    Knob("inputs", "int", 50, label="Inputs of the unit", low=1, high=500, log=True, symbol="n"),
    Knob("masks", "int", 2000, label="Masks drawn", low=10, high=10_000, log=True, symbol="M"),
    Knob("seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip


def _layout(values: Values) -> tuple[Group, ...]:
    return (Group(tuple(knob.name for knob in KNOBS)),)


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
    inner = width - (40 if narrow else margin + 128)
    x = alt.X(
        "x:Q", title="output of the unit", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False)
    )
    y = alt.Y("base:Q", axis=None, scale=alt.Scale(domain=[BOTTOM, TOP], nice=False))

    label = "over" if narrow else "base"  # on a phone the words stand above their row, not beside it

    def layer(name: str) -> Panel:
        return alt.Chart(named(name))

    ground = layer("rows").mark_rule(strokeWidth=0.8).encode(y=y, color=theme.ink("faint"))
    bars = (
        layer("training")
        .mark_rect(opacity=0.62)
        .encode(
            x=alt.X("low:Q"),
            x2="high:Q",
            y=y,
            y2="top:Q",
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
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y, y2="top:Q", stroke=theme.color())
    )
    normal = (
        layer("theory")
        .mark_line(strokeDash=[1, 4], strokeWidth=2.4, strokeCap="round")
        .encode(x=x, y=alt.Y("top:Q", axis=None), detail="mode:N", color=theme.ink("ink"))
    )
    ghost = (
        layer("ghost")
        .mark_point(shape="triangle-up", filled=False, size=70, strokeWidth=1.4, yOffset=7)
        .encode(x=x, y=y, color=theme.ink("muted"), opacity=theme.SHOWN)
    )
    mean = (
        layer("means")
        .mark_point(shape="triangle-up", filled=True, size=90, opacity=1, yOffset=7)
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
    rule = layer("rules").mark_rule(strokeWidth=3.4).encode(x=x, y=y, y2="top:Q", color=theme.ink("blue"))
    name = (
        layer("rows")
        .mark_text(
            align="left" if narrow else "right",
            baseline="bottom" if narrow else "middle",
            dy=0 if narrow else -16,
            dx=4 if narrow else -12,
            fontSize=theme.TEXT_SIZE,
            fontWeight=600,
        )
        .encode(x=alt.value(0), y=alt.Y(f"{label}:Q"), text="mode:N", color=theme.ink("ink"))
    )
    verdict = (
        layer("rows")
        .mark_text(
            align="right" if narrow else "left",
            baseline="bottom",
            dy=0 if narrow else -6,
            dx=-4 if narrow else 12,
            fontSize=theme.SMALL_SIZE + 0.5,
        )
        .encode(x=alt.value(inner), y=alt.Y(f"{label}:Q"), text="verdict:N", color=theme.color())
    )
    heading = (
        layer("titles")
        .mark_text(align="left", baseline="middle", fontSize=theme.SMALL_SIZE, dx=4 if narrow else 0)
        .encode(x=alt.value(0), y=alt.Y("base:Q"), text="text:N", color=theme.ink("muted"))
    )
    reach = layer("reach").mark_point(opacity=0).encode(x=x)
    chart = alt.layer(
        reach, ground, bars, evaluated, normal, ghost, mean, rule, name, verdict, heading
    ).properties(width=inner, height=560 if narrow else 430, name="rows")
    if not narrow:
        chart = chart.properties(padding={"left": 5, "right": 5, "top": 5, "bottom": 20})
    return assemble(chart, theme.config())


@lru_cache(maxsize=32)
def _converging(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 330) / 2)
    x = alt.X(
        "count:Q",
        title="masks",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, format="~s"),
    )

    def panel(name: str) -> Panel:
        y = alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=False))
        base = alt.Chart(named("estimates"))
        return alt.layer(
            base.mark_area(opacity=0.16).encode(
                x=x, y=alt.Y(f"{name}_low:Q"), y2=f"{name}_high:Q", color=theme.color(), detail="mode:N"
            ),
            base.mark_line().encode(x=x, y=y, color=theme.color(), detail="mode:N", strokeDash=theme.dash()),
            base.mark_line(strokeDash=[1, 4], strokeWidth=2.4, strokeCap="round").encode(
                x=x, y=alt.Y(f"{name}_theory:Q"), detail="mode:N", color=theme.ink("ink")
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=x, y=alt.Y("y:Q"), text="label:N", color=theme.color()),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
        ).properties(width=inner, height=230, name=name)

    both = [panel("mean"), panel("var")]
    whole = alt.vconcat(*both) if narrow else alt.hconcat(*both)
    return assemble(whole.resolve_scale(color="shared"), theme.config())


def run(values: Values) -> tuple[DropoutRun, dict[str, DropoutMoments]]:
    """Draw the masks once, use them in every mode; beside them the closed form of every mode."""
    p = real(values, "p")
    result = dropout_layer(
        p=p, inputs=whole(values, "inputs"), masks=whole(values, "masks"), seed=whole(values, "seed")
    )
    return result, {mode: dropout_moments(result.contributions, p, mode) for mode in result.modes}


def _settings(values: Values) -> str:
    p = real(values, "p")
    return (
        f"p_drop {number(p)} (p_keep {number(1 - p)}), {values['inputs']} inputs whose contributions sum to 1, "
        f"{values['masks']} masks shared by all rows, seed {values['seed']}"
    )


def _figure(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> Figure:
    high = max(2.0, float(result.train.max()), float(result.evaluation.max())) * 1.0001
    half = high / _BINS / 2  # bins are centered on 0, so that a value of exactly 1 is not split from its rule
    grid = np.linspace(0.0, high, 121)
    training: list[Part] = []
    evaluation: list[Part] = []
    theory: list[Part] = []
    for k, mode in enumerate(result.modes):
        base = _BASES[mode]
        low, up, counts = bins(result.train[k], -half, high + half, _BINS + 1)
        unit = 0.78 / counts.max()
        kept = counts > 0
        training.append(
            {"low": low[kept], "high": up[kept], "base": base, "top": base + unit * counts[kept],
             "count": counts[kept], "mode": mode, "slot": _TRAIN}
        )  # fmt: skip
        sd = float(np.sqrt(closed[mode].train_var))
        if sd > 0:
            density = np.exp(-0.5 * ((grid - float(closed[mode].train_mean)) / sd) ** 2) / (
                sd * np.sqrt(2 * np.pi)
            )
            top = unit * density * len(result.train[k]) * 2 * half
            shown = (top > 0.004) & (top < 1.0)
            theory.append({"x": grid[shown], "top": base + top[shown], "mode": mode})
        if not result.deterministic[k]:
            low, up, counts = bins(result.evaluation[k], -half, high + half, _BINS + 1)
            kept = counts > 0
            evaluation.append(
                {
                    "low": low[kept],
                    "high": up[kept],
                    "base": base,
                    "top": base + unit * counts[kept],
                    "slot": _EVAL,
                }
            )
    nothing = rows(low=[0.0], high=0.0, base=BOTTOM, top=BOTTOM, x=0.0, mode="", slot=theme.MUTED)
    bases = np.array([_BASES[mode] for mode in result.modes])
    verdicts = [_verdict(k, result, closed[mode]) for k, mode in enumerate(result.modes)]
    mistakes = next(_BASES[name] for name, mode in DROPOUT_MODES.items() if mode.mistake)
    fixed = result.deterministic
    return Figure(
        name="dropout/scaling",
        build=_spec,
        data={
            "training": rows(*training),
            "evaluation": rows(*evaluation) if evaluation else nothing,
            "theory": rows(*theory) if theory else nothing,
            "rules": rows(x=result.eval_mean[fixed], base=bases[fixed], top=bases[fixed] + 0.86),
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
                over=bases + 0.86,
                verdict=[text for text, _ in verdicts],
                slot=[theme.GOOD if right else theme.BAD for _, right in verdicts],
            ),
            "titles": rows(text=["Mistakes people make"], base=mistakes + 1.16 + _GAP * 0.35),
            "reach": rows(x=[-half, high + half]),
        },
        title="Scaling in training and in evaluation",
        caption=f"One linear unit, {_settings(values)}.",
        key=(
            "Orange: training outputs over masks, triangle at their mean. Blue: evaluation. Dots: normal density with "
            "the mean and variance of the closed form."
        ),
        alt="Six ways to use dropout, one a row: histogram of training outputs, and where evaluation lies.",
        ghosts={"ghost": "means"},
    )


def _verdict(k: int, result: DropoutRun, moments: DropoutMoments) -> tuple[str, bool]:
    """State a row's measured ratio of evaluation to training; whether it is right, the closed form decides."""
    ratio = float(result.ratio[k])
    if not np.isfinite(ratio):
        return "nothing left in training", False
    random = float(moments.eval_var) > 0
    right = not random and abs(float(moments.eval_mean) - float(moments.train_mean)) < 1e-9
    return f"eval / train {number(ratio)}{', but random' if random else ''}", right


def _convergence(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> Figure:
    masks = result.train.shape[1]
    picked = np.unique(np.round(np.geomspace(2, masks, 120)).astype(int)) - 1
    styles = dict(zip(_CONVERGING, (("blue", 0), ("green", 0), ("purple", 1)), strict=True))
    parts: list[Part] = []
    ends: dict[str, list[tuple[str, float, int]]] = {"mean": [], "var": []}
    for mode, (hue, dash) in styles.items():
        moments = closed[mode]
        estimate = running_moments(result.train[result.modes.index(mode)])
        count = picked + 1
        mean_error = 1.96 * np.sqrt(float(moments.train_var) / count)
        var_error = 1.96 * variance_error(moments.train_var, moments.train_cumulant4, count)
        mean, var = float(moments.train_mean), float(moments.train_var)
        parts.append(
            {
                "count": count, "mode": mode, "slot": theme.SLOTS[hue], "dash": dash,
                "mean": estimate.mean[picked], "mean_theory": mean, "mean_low": mean - mean_error, "mean_high": mean + mean_error,
                "var": estimate.var[picked], "var_theory": var,
                "var_low": np.maximum(var - var_error, 0.0), "var_high": var + var_error,
            }
        )  # fmt: skip
        for name, value in (("mean", mean), ("var", var)):
            ends[name].append((mode, value, theme.SLOTS[hue]))
    labels = {}
    for name, lines in ends.items():
        merged: dict[float, list[tuple[str, int]]] = {}
        for mode, value, slot in lines:
            merged.setdefault(round(value, 12), []).append((mode, slot))
        labels[f"{name}_ends"] = rows(
            count=np.full(len(merged), masks),
            y=list(merged),
            label=[" = ".join(mode for mode, _ in group) for group in merged.values()],
            slot=[group[0][1] if len(group) == 1 else theme.INK for group in merged.values()],
        )
    return Figure(
        name="dropout/convergence",
        build=_converging,
        data={
            "estimates": rows(*parts),
            "titles": rows(mean=["Mean of the training output"], var=["Variance of the training output"]),
            **labels,
        },
        title="Monte Carlo on its way to the closed form",
        caption=f"{_settings(values)}.",
        key=(
            "Lines: mean and unbiased variance of the first outputs. Dots: closed form. Bands: ±1.96 standard errors, "
            "the variance's cut at 0."
        ),
        alt="Running estimates of mean, left, and variance, right, closing in on the closed form.",
    )


def _reading(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> str:
    def at(mode: str) -> int:
        return result.modes.index(mode)

    p = real(values, "p")
    if p == 1:
        return (
            "With p_drop = 1 nothing is ever kept: wherever masks are in use, training outputs are 0. Inverted "
            "scaling would divide by p_keep = 0; PyTorch defines that output as 0, and so does this page."
        )
    inverted, classic = at("Inverted"), at("Classic")
    sd = np.sqrt(np.nan_to_num(result.train_var))
    exact = closed["Inverted"]
    error = 1.96 * float(variance_error(exact.train_var, exact.train_cumulant4, result.train.shape[1]))
    off = abs(float(result.train_var[inverted]) - float(exact.train_var))
    wrong = at("No scaling")
    return (
        f"With p_drop = {number(p)} (p_keep = {number(1 - p)}), inverted dropout trains at "
        f"{number(float(result.train_mean[inverted]))} ± {number(float(sd[inverted]))} and evaluates at "
        f"**{number(float(result.eval_mean[inverted]))}**; classic dropout trains at "
        f"{number(float(result.train_mean[classic]))} ± {number(float(sd[classic]))} and evaluates at "
        f"**{number(float(result.eval_mean[classic]))}**. Without any scaling, evaluation is "
        f"{number(float(result.ratio[wrong]))} times the training mean. Inverted variance: measured "
        f"{number(float(result.train_var[inverted]), 4)}, closed form {number(float(exact.train_var), 4)}, "
        f"{'within' if off <= error else 'outside'} the 95% band of ± {number(error, 2)}."
    )


def _why(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> str:
    p = real(values, "p")
    keep = 1 - p
    squares = float(np.sum(result.contributions**2))
    inverted, classic = closed["Inverted"], closed["Classic"]
    lines = [
        r"A unit adds contributions $c_i = w_i a_i$; dropout multiplies each by an independent $m_i \in \{0, 1\}$ with "
        r"$P(m_i = 1) = 1-p$. Mean and variance of the sum follow from those of one $m_i$, $1-p$ and $p(1-p)$:",
        r"$$\text{inverted: }\quad \mathrm E = \sum c_i,\qquad \mathrm{Var} = \frac{p}{1-p}\sum c_i^2"
        r"\qquad\qquad \text{classic: }\quad \mathrm E = (1-p)\sum c_i,\qquad \mathrm{Var} = p(1-p)\sum c_i^2$$",
    ]
    if p < 1:
        lines += [
            rf"Here $\sum c_i = 1$ and $\sum c_i^2 = {number(squares, 4)}$, so with $p = {number(p)}$:",
            rf"$$\text{{inverted: }}\ \mathrm{{Var}} = \frac{{{number(p)}}}{{{number(keep)}}}\cdot {number(squares, 4)} = "
            rf"{number(float(inverted.train_var), 4)} \qquad \text{{classic: }}\ \mathrm{{Var}} = "
            rf"{number(p)}\cdot{number(keep)}\cdot {number(squares, 4)} = {number(float(classic.train_var), 4)}$$",
        ]
    lines += [
        "Scaling repairs the mean, never the variance: evaluation has none. Scale in one place only, in training "
        r"(divide by $1-p$, inverted) or in evaluation (multiply the weights by $1-p$, classic).",
        "\n".join(
            f"- **{name}**: {mode.description} ({mode.source})" for name, mode in DROPOUT_MODES.items()
        ),
    ]
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Draw the masks and everything that follows from them."""
    result, closed = run(values)
    p = real(values, "p")
    events = ("**Everything is dropped** at p_drop = 1.",) if p == 1 else ()
    return View(
        figure=_figure(values, result, closed),
        reading=_reading(values, result, closed),
        why=_why(values, result, closed),
        events=events,
        tabs=(Tab("Convergence", lambda _=values: [_convergence(values, result, closed)]),),
    )


SCENARIOS = (
    Scenario(
        "Half dropped",
        "A blue rule on the orange triangle is right, a rule beside it is a bug. Move p_drop to 0.8: the rules that "
        "are right stay where their triangle is, the others move away.",
        question="Which of these six ways predict on the scale they trained on?",
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
        question="Inverted dropout keeps the mean at p_drop = 0.9. What does it not keep?",
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
)

TOPIC = Topic(
    name="dropout",
    prefix="drop",
    title="Dropout",
    question="What do you have to scale, and when?",
    icon=":material/blur_on:",
    knobs={knob.name: knob for knob in KNOBS},
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    tabs=("Convergence",),
)
