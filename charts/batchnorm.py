"""BatchNorm: a stream of mini-batches, what is stored of it, and one sample in training and in evaluation."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np

from charts import compose, theme
from charts.batchnorm_backward import BACKWARD_KNOBS, backward_blocks, identity_blocks
from charts.batchnorm_code import programs
from charts.batchnorm_evaluation import EVALUATION_KNOBS, evaluation_blocks
from charts.batchnorm_family import FAMILY_KNOBS, family_blocks, family_click, family_knobs
from charts.batchnorm_gap import GAP_CLICKS, GAP_KNOBS, gap_blocks, gap_knobs
from charts.batchnorm_network import NETWORK_KNOBS, network_blocks
from charts.batchnorm_notes import MEASURES
from charts.batchnorm_predictions import PREDICTIONS
from charts.batchnorm_size import FORGOTTEN, SIZE_KNOBS, SIZE_VIEW_KNOBS, SIZE_VIEWS
from charts.describe import counted
from charts.figure import NARROW, Figure, Panel, Spec, assemble, bins, named, rows, spread
from charts.once import once
from charts.topic import (
    Block,
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
from core.batch_stream import (
    DRIFTS,
    SOURCES,
    BatchStream,
    BatchStreamTheory,
    Changes,
    ProbeDistribution,
    Source,
    cycle_response,
    place_probe,
    probe_distribution,
    stream_batches,
    stream_batches_theory,
)
from core.kept import keep
from core.knobs import Knob, Value, latex, number
from core.normalization import BATCHNORM_CONVENTIONS

_PLACEMENTS = 200
_CLEAR = 5  # pixels between a panel and its step axis
_BARS = 25  # odd: outputs that are all equal fill the one in the middle
_LEAST = 0.2  # that a panel of outputs spans; γ = 0 makes them all equal
_VISIBLE = 1e-3  # of σ²: an ε above this is seen in the output
_RECENT = 10  # the last tenth of the dots says where their name stands
_TRACE = 0.1  # of σ or σ²: where the trace of an outlier is said to end

KNOBS = (
    Knob("batch_size", "int", 8, label="Batch size", low=1, high=512, log=True, symbol="N"),
    Knob(
        "weight", "float", 0.1, label="Weight of the new batch", low=0.0, high=1.0, step=0.01, symbol="a",
        help="PyTorch calls this number momentum; Keras and ONNX call 1 − a momentum.",
    ),
    Knob(
        "cumulative", "bool", False, label="Cumulative average",
        help="PyTorch's momentum=None: every batch counts alike, so batch t gets the weight 1/t.",
    ),
    Knob("steps", "int", 60, label="Steps", low=1, high=500, step=1),
    Knob(
        "convention", "choice", "PyTorch", label="Convention", choices=tuple(BATCHNORM_CONVENTIONS),
        help="Which variance is stored, N or N − 1, and how: PyTorch and the paper N/(N − 1) times the batch's own, "
        "Keras and ONNX the batch's own; the paper averages all batches.",
    ),
    Knob("probe", "float", 8.0, label="Sample", low=-50.0, high=50.0, step=0.5, symbol="x"),
    Knob("mu", "float", 5.0, label="True mean", low=-20.0, high=20.0, step=0.5, symbol="μ"),
    Knob("sigma", "float", 3.0, label="True standard deviation", low=0.1, high=10.0, step=0.1, symbol="σ"),
    Knob("running_mean", "float", 0.0, label="Running mean at the start", low=-20.0, high=20.0, step=0.5),
    Knob("running_var", "float", 1.0, label="Running variance at the start", low=0.0, high=100.0, step=0.5),
    Knob(
        "source", "choice", "normal", label="Values", choices=tuple(SOURCES),
        help="What the feature is drawn from, always with the same mean and standard deviation over all batches.",
    ),
    Knob("block", "int", 10, label="Batches of a class in a row", low=1, high=100, step=1),
    Knob(
        "drift", "choice", "none", label="Change over time", choices=tuple(DRIFTS),
        help="The mean shifts, the standard deviation changes, the mean swings, or a single value lies far out.",
    ),
    Knob("shift", "float", 3.0, label="Shift of the mean", low=-20.0, high=20.0, step=0.5),
    Knob("factor", "float", 2.0, label="Standard deviation times", low=0.1, high=10.0, log=True),
    Knob("amplitude", "float", 3.0, label="Swing of the mean", low=-20.0, high=20.0, step=0.5),
    Knob("period", "int", 30, label="Period in steps", low=3, high=200, step=1),
    Knob("shift_step", "int", 30, label="Change after step", low=0, high=500, step=1),
    Knob("outlier", "float", 50.0, label="Outlier, in σ from the mean", low=-200.0, high=200.0, step=1.0),
    Knob("outlier_step", "int", 30, label="Step of the outlier", low=1, high=500, step=1),
    Knob("gamma", "float", 1.0, label="Scale", low=-5.0, high=5.0, step=0.1, symbol="γ"),
    Knob("beta", "float", 0.0, label="Offset", low=-5.0, high=5.0, step=0.1, symbol="β"),
    Knob("eps", "float", 1e-5, label="Epsilon", low=1e-12, high=1.0, log=True, symbol="ε"),
    Knob(
        "in_batch", "bool", True, label="Sample sits in its batch",
        help="As in training: the sample is one of the N values it is normalized with. "
        "It never enters the running statistics.",
    ),
    Knob("seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip


_OLD_STEP = 60  # of the shift, in links from before there were other changes


def _complete(given: Values) -> dict[str, Value]:
    """Fill in the convention's own ε and weight; an old link names a shift and no kind of change."""
    convention = BATCHNORM_CONVENTIONS[str(given.get("convention", "PyTorch"))]
    weight = convention.fixed_weight()
    own: dict[str, Value] = {"eps": convention.eps}
    if weight is not None:
        own["weight"] = round(weight, 12)
    if given.get("shift") and "drift" not in given:
        own |= {"drift": "shift", "shift_step": _OLD_STEP}
    return own


def _can_average(convention: str) -> bool:
    """Tell whether a convention takes momentum None, the cumulative average, as a choice."""
    rule = BATCHNORM_CONVENTIONS[convention]
    try:
        return rule.fixed_weight() is not None and rule.fixed_weight(None) is None
    except ValueError:
        return False


def _weight(values: Values) -> float | None:
    """Return the weight on every new batch, None for the cumulative average."""
    convention = word(values, "convention")
    averages = BATCHNORM_CONVENTIONS[convention].fixed_weight() is None
    if averages or (values["cumulative"] and _can_average(convention)):
        return None
    return real(values, "weight")


# What the tab "Batch size" shows, and the controls of each of its views.
_SIZE_VIEWS: Mapping[str, Callable[[Values], Sequence[Block]]] = {
    **SIZE_VIEWS,
    FORGOTTEN: evaluation_blocks,
}
_SIZE_KNOBS = {**SIZE_VIEW_KNOBS, FORGOTTEN: tuple(knob.name for knob in EVALUATION_KNOBS)}

SECTIONS = (
    Section("Gap", gap_blocks, GAP_KNOBS, gap_knobs, GAP_CLICKS),
    Section(
        "Batch size",
        lambda now: _SIZE_VIEWS[word(now, "size_view")](now),
        (*SIZE_KNOBS, *EVALUATION_KNOBS),
        lambda now: ("size_view", *_SIZE_KNOBS[word(now, "size_view")]),
    ),
    Section("Network", network_blocks, NETWORK_KNOBS),
    Section("Backward", backward_blocks, BACKWARD_KNOBS),
    Section("Family", family_blocks, FAMILY_KNOBS, family_knobs, {"batchnorm/family_cells": family_click}),
)


def _layout(values: Values) -> tuple[Group, ...]:
    weight = ("weight",) if _weight(values) is not None else ()
    average = ("cumulative",) if _can_average(word(values, "convention")) else ()
    source, drift = SOURCES[word(values, "source")], DRIFTS[word(values, "drift")]
    return (
        Group(("batch_size", *weight, *average, "steps", "convention")),
        Group(("probe", "in_batch", "mu", "sigma", "source", *source.settings), "Sample and distribution"),
        Group(("running_mean", "running_var", "drift", *drift.settings), "Start and drift"),
        Group(("gamma", "beta", "eps", "seed"), "Layer and seed"),
        resting(SECTIONS, values),
    )


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 124 if narrow else round((width - 296) * 0.64)
    right = width - 124 if narrow else width - 296 - left
    tall = 146 if narrow else 176

    def steps(title: str | None) -> alt.X:
        # The axis keeps clear of the lowest label of the vertical one, which would run into its first.
        axis = alt.Axis(grid=False, tickMinStep=1, offset=_CLEAR)
        return alt.X("step:Q", title=title, scale=alt.Scale(nice=False, zero=False), axis=axis)

    # The axis of steps is named once in a column, below the lowest panel that has it.
    step, above = steps("step"), steps(None)

    def heading(name: str) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=compose.at_x(0), y=compose.at_y(-8), text=alt.Text(f"{name}:N"), color=theme.ink("ink"))
        )

    def ends(name: str, x: alt.X) -> Panel:
        return (
            alt.Chart(named("ends"))
            .transform_filter(f"datum.panel == '{name}'")
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=x, y=alt.Y("y:Q"), text=alt.Text("label:N"), color=theme.color())
        )

    def statistic(name: str, x: alt.X, size: int) -> Panel:
        y = alt.Y(f"batch_{name}:Q", title=None, scale=alt.Scale(zero=False))
        base = alt.Chart(named("stream"))
        layers = []
        if name == "mean":
            layers.append(
                base.mark_area(interpolate="step-before", opacity=0.16).encode(
                    x=x, y=alt.Y("mean_low:Q"), y2=alt.Y2("mean_high:Q"), color=theme.ink("muted")
                )
            )
        layers += [
            base.mark_line(interpolate="step-before", strokeDash=[6, 4], strokeWidth=1.3).encode(
                x=x, y=alt.Y(f"true_{name}:Q"), color=theme.ink("ink")
            ),
            base.mark_point(filled=True, size=16, opacity=0.75).encode(
                x=x, y=y, color=theme.ink("vermilion")
            ),
            alt.Chart(named("ghost"))
            .mark_line(strokeWidth=1.4, opacity=0.6)
            .encode(x=x, y=alt.Y(f"running_{name}:Q"), color=theme.ink("muted")),
            base.mark_line().encode(x=x, y=alt.Y(f"running_{name}:Q"), color=theme.ink("blue")),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=alt.Y(f"theory_{name}:Q"), color=theme.ink("ink")
            ),
            ends(name, x),
            heading(name),
        ]
        return compose.layer(*layers, width=size, height=tall, name=name)

    mean = statistic("mean", above, left)
    variance = statistic("var", step if narrow else above, right)

    base = alt.Chart(named("stream"))
    out = alt.Y("train_output:Q", title=None, scale=alt.Scale(zero=False))
    reach = alt.Chart(named("reach")).mark_point(opacity=0).encode(y=alt.Y("y:Q"))
    output = compose.layer(
        reach.encode(x=step),
        base.mark_line(interpolate="step-before", strokeDash=[6, 4], strokeWidth=1.3).encode(
            x=step, y=alt.Y("true_output:Q"), color=theme.ink("ink")
        ),
        base.mark_point(filled=True, size=16, opacity=0.75).encode(
            x=step, y=out, color=theme.ink("vermilion")
        ),
        alt.Chart(named("ghost"))
        .mark_line(strokeWidth=1.4, opacity=0.6)
        .encode(x=step, y=alt.Y("eval_output:Q"), color=theme.ink("muted")),
        base.mark_line().encode(x=step, y=alt.Y("eval_output:Q"), color=theme.ink("blue")),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=step, y=alt.Y("theory_output:Q"), color=theme.ink("ink")
        ),
        ends("output", step),
        heading("output"),
        width=left,
        height=tall,
        name="output",
    )

    count = alt.X("count:Q", title="batches", axis=alt.Axis(grid=False, tickCount=3, offset=_CLEAR))
    margin = compose.layer(
        alt.Chart(named("span")).mark_point(opacity=0).encode(y=alt.Y("y:Q")),
        alt.Chart(named("margin"))
        .mark_bar(opacity=0.7, orient="horizontal")
        .encode(
            y=alt.Y("low:Q", title=None),
            y2=alt.Y2("high:Q"),
            x=count,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("low:Q", format=".3~f", title="from"),
                alt.Tooltip("high:Q", format=".3~f", title="to"),
                alt.Tooltip("count:Q", title="batches"),
            ],
        ),
        alt.Chart(named("verdict")).mark_rule(strokeWidth=2.6).encode(y=alt.Y("y:Q"), color=theme.color()),
        alt.Chart(named("verdict"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(y=alt.Y("y:Q"), x=compose.at_x(right), text=alt.Text("label:N"), color=theme.color()),
        heading("margin"),
        width=right,
        height=tall,
        name="margin",
    )

    shared = {"color": "shared"}
    if narrow:
        grid = compose.below(mean, output, margin, variance, spacing=24, resolve=shared)
    else:
        grid = compose.beside(
            compose.below(mean, output, spacing=20),
            compose.below(variance, margin, spacing=20),
            spacing=36,
            resolve=shared,
        )
    return once(assemble(grid, theme.config()))


def experiment(values: Values) -> dict[str, Any]:
    """Return the values as the arguments of ``stream_batches_theory``; momentum in the convention's own sense.

    ``stream_batches`` takes ``seed`` and ``in_batch`` besides.
    """
    source, drift = SOURCES[word(values, "source")], DRIFTS[word(values, "drift")]
    arguments: dict[str, Any] = {
        name: values[name]
        for name in (
            "mu", "sigma", "batch_size", "steps", "probe", "convention", "eps", "gamma", "beta", "running_mean",
            "running_var", "source", *source.settings, "drift", *drift.settings,
        )
    }  # fmt: skip
    weight = _weight(values)
    rule = BATCHNORM_CONVENTIONS[word(values, "convention")]
    arguments["momentum"] = None if weight is None else rule.momentum_of(weight)
    return arguments


def _changes(values: Values) -> Changes:
    """Return what the drift reads."""
    return Changes(**{name: values[name] for name in DRIFTS[word(values, "drift")].settings})  # type: ignore[arg-type]


def _placement(values: Values, stream: BatchStream) -> dict[str, Any]:
    """Return the arguments that placing the sample in batches of the last step and its distribution share."""
    return {
        "mu": float(stream.true_mean[-1]),
        "sigma": float(np.sqrt(stream.true_var[-1])),
        **{name: values[name] for name in ("batch_size", "probe", "gamma", "beta", "source")},
        "in_batch": bool(values["in_batch"]),
    }


def run(values: Values) -> tuple[BatchStream, BatchStreamTheory, np.ndarray]:
    """Return the stream, its closed form, and the sample's training output in 200 batches of the last step."""
    arguments = experiment(values)
    seed = whole(values, "seed")
    stream = stream_batches(**arguments, seed=seed, in_batch=bool(values["in_batch"]))
    theory = stream_batches_theory(**arguments)
    placed = place_probe(**_placement(values, stream), eps=real(values, "eps"), count=_PLACEMENTS, seed=seed)
    return stream, theory, placed


def _momenta(values: Values) -> str:
    """Write the weight of the new batch in every framework's words."""
    weight = _weight(values)
    if weight is None:
        return "cumulative average over all batches (PyTorch: momentum=None)"
    return f"momentum {number(weight)} in PyTorch = {number(1 - weight, 4)} in Keras and ONNX"


def _figure(values: Values, stream: BatchStream, theory: BatchStreamTheory, placed: np.ndarray) -> Figure:
    nothing = [np.nan]
    band = 1.96 * theory.batch_mean_std
    source = SOURCES[word(values, "source")]
    every = max(1, len(stream.step) // 30)
    dotted = stream.step % every == 0
    columns: dict[str, np.ndarray] = {
        "step": stream.step.astype(np.int16),
        "batch_mean": np.concatenate([nothing, stream.batch_mean]),
        "batch_var": np.concatenate([nothing, stream.batch_var]),
        "train_output": np.concatenate([nothing, stream.train_output]),
        "running_mean": stream.running_mean,
        "running_var": stream.running_var,
        "eval_output": stream.eval_output,
        "true_mean": stream.true_mean,
        "true_var": stream.true_var,
        "true_output": stream.true_output,
        "mean_low": theory.batch_mean - band,
        "mean_high": theory.batch_mean + band,
        "theory_mean": np.where(dotted, theory.running_mean, np.nan),
        "theory_var": np.where(dotted, theory.running_var, np.nan),
        "theory_output": np.where(dotted, theory.eval_output, np.nan),
    }
    labels = []
    recent = max(1, len(stream.batch_mean) // _RECENT)
    for panel, dots, name, lines in (
        ("mean", "batch_mean", "batch", {"running": ("running_mean", "blue"), "truth μ": ("true_mean", "ink")}),
        ("var", "batch_var", "batch", {"running": ("running_var", "blue"), "truth σ²": ("true_var", "ink")}),
        ("output", "train_output", "training",
         {"evaluation": ("eval_output", "blue"), "truth": ("true_output", "ink")}),
    ):  # fmt: skip
        drawn = np.concatenate(
            [
                column
                for key, column in columns.items()
                if key.endswith(f"_{panel}") or key.startswith(f"{panel}_")
            ]
        )
        low, high = float(np.nanmin(drawn)), float(np.nanmax(drawn))
        if panel == "output":
            low, high = _widened(min(low, float(placed.min())), max(high, float(placed.max())))
        named_ = [(label, use, columns[column][-1]) for label, (column, use) in lines.items()]
        # The cloud of dots has its name at the upper end, away from the lines that run through it.
        cloud = columns[dots][-recent:]
        if np.isfinite(cloud).any():
            named_.append((name, "vermilion", np.nanmax(cloud)))
        places = spread(np.array([y for *_, y in named_]), 0.11 * (high - low), low, high)
        labels += [
            (panel, label, y, theme.SLOTS[use]) for (label, use, _), y in zip(named_, places, strict=True)
        ]
    finite = placed[np.isfinite(placed)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    evaluated = float(stream.eval_output[-1])
    # A bar is never thinner than a fiftieth of the panel, which reaches to the evaluation.
    ends = _widened(min(low, evaluated), max(high, evaluated))
    width = max(high - low, _LEAST, (ends[1] - ends[0]) * _BARS / 50 if np.all(np.isfinite(ends)) else 0.0)
    center = (low + high) / 2
    edges_low, edges_high, counts = bins(placed, center - width / 2, center + width / 2, _BARS)
    kept = counts > 0
    return Figure(
        name="batchnorm/stream",
        build=_spec,
        data={
            "stream": rows(**columns),
            "ends": rows(
                step=np.full(len(labels), stream.step[-1]),
                panel=[label[0] for label in labels],
                label=[label[1] for label in labels],
                y=[label[2] for label in labels],
                slot=[label[3] for label in labels],
            ),
            "margin": rows(
                low=edges_low[kept], high=edges_high[kept], count=counts[kept], slot=theme.SLOTS["vermilion"]
            ),
            "verdict": rows(y=[evaluated], label=[f"eval {number(evaluated)}"], slot=theme.SLOTS["blue"]),
            "reach": rows(
                step=[0, 0],
                y=_widened(
                    min(low, float(np.nanmin(stream.eval_output))),
                    max(high, float(np.nanmax(stream.eval_output))),
                ),
            ),
            "span": rows(y=ends),
            "titles": rows(
                mean=["Batch mean, running mean"],
                var=["Batch variance, running variance"],
                output=[f"Output of the sample x = {number(real(values, 'probe'))}"],
                margin=[
                    "Its training output, classes in turn"
                    if len(source.parts) > 1
                    else f"Its training output in {_PLACEMENTS} batches"
                ],
            ),
        },
        title="One sample in training and in evaluation",
        caption=_caption(values),
        key=(
            "Orange: one batch, as in training. Blue: stored, as in evaluation. Small dots: expected statistics, and the "
            "output they give. "
            f"Dashed: truth. Gray band: {_band(source)}. In training the sample is "
            f"{'' if values['in_batch'] else 'not '}one of the N."
        ),
        alt="Batch and running mean and variance at every step, and one sample's output in training and evaluation.",
        ghosts={"ghost": "stream"},
    )


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis of outputs, as far apart as it spans at least."""
    more = max(0.0, _LEAST - (high - low)) / 2
    return low - more, high + more


def _band(source: Source) -> str:
    """Say what the gray band holds."""
    if len(source.parts) > 1:
        return "95% of the batch means of that class, ±1.96 of their standard deviations"
    if all(part.normal for part in source.parts):
        return "95% of batch means, ±1.96σ/√N"
    return "±1.96σ/√N, which large batches leave in 5% of the cases"


def _caption(values: Values) -> str:
    def knob(name: str) -> str:
        return number(real(values, name))

    source, kind = SOURCES[word(values, "source")], DRIFTS[word(values, "drift")]
    block = whole(values, "block")
    feature = source.told(real(values, "mu"), real(values, "sigma"), block)
    drift = ", ".join(("", told)) if (told := kind.told(_changes(values))) else ""
    sits = "inside" if values["in_batch"] else "outside"
    return (
        f"Feature: {feature}{drift}; batch size {values['batch_size']}, {counted(whole(values, 'steps'), 'step')}, "
        f"{values['convention']} convention, {_momenta(values)}; running statistics start at "
        f"({knob('running_mean')}, {knob('running_var')}); γ {knob('gamma')}, β {knob('beta')}, ε {knob('eps')}; "
        f"sample x = {knob('probe')} {sits} its training batch, never in the running statistics; seed {values['seed']}."
    )


@keep(entries=256)
def _exact(**arguments: Any) -> ProbeDistribution:
    """Return what is known of the training output; kept, for it does not hang on what is stored."""
    return probe_distribution(**arguments)


def _reading(values: Values, stream: BatchStream, theory: BatchStreamTheory, placed: np.ndarray) -> str:
    truth, evaluated = float(stream.true_output[-1]), float(stream.eval_output[-1])
    finite = placed[np.isfinite(placed)]
    placement = _placement(values, stream)
    exact = _exact(**placement, eps=real(values, "eps"))
    spread_text = f" ± {number(float(finite.std(ddof=1)))}" if len(finite) > 1 else ""
    theory_text = (
        f" (in theory {number(exact.mean)} ± {number(exact.std)})"
        if np.isfinite(exact.mean) and np.isfinite(exact.std)
        else ""
    )
    no_eps = " and no ε" if real(values, "eps") > _VISIBLE * placement["sigma"] ** 2 else ""
    sentences = [
        f"γ = 0: every output is β = {number(real(values, 'beta'))}, in training as in evaluation."
        if not real(values, "gamma")
        else f"In training the sample comes out as {number(float(finite.mean()))}{spread_text} over {_PLACEMENTS} batches"
        f"{theory_text}, in evaluation after step {values['steps']} as **{number(evaluated)}**; with the true mean and "
        f"variance{no_eps} it would be {number(truth)}."
    ]
    if real(values, "gamma"):
        sentences += [*_few(values), _nearness(values, stream)]
    if cycle := _cycle_text(values):
        sentences.append(cycle)
    stored = [
        f"{number(float(measured[-1]))} (expected {number(float(expected[-1]))} ± {number(float(std[-1]))})"
        for measured, expected, std in (
            (stream.running_mean, theory.running_mean, theory.running_mean_std),
            (stream.running_var, theory.running_var, theory.running_var_std),
        )
    ]
    sentences.append(f"The running mean is {stored[0]}, the running variance {stored[1]}.")
    return " ".join(sentences)


def _few(values: Values) -> list[str]:
    """Explain outputs whose size ε alone bounds: those of a sample outside a batch of one, two or three."""
    size, root = whole(values, "batch_size"), number(math.sqrt(real(values, "eps")))
    if values["in_batch"] or size > 3:
        return []
    if size == 1:
        return [f"A batch of one has variance 0: the sample less that one value is divided by √ε = {root}."]
    missing = "no mean and no finite spread" if size == 2 else "no finite spread"
    return [
        f"A batch of {size} can have a variance near 0, and then the sample less its mean is divided by little more than "
        f"√ε = {root}: for ε → 0 the output has {missing}, and rare batches decide what is measured."
    ]


def _nearness(values: Values, stream: BatchStream) -> str:
    """Say when evaluation comes within a tenth of γ of the truth, or how often, where nothing comes to rest."""
    near = 0.1 * abs(real(values, "gamma"))
    apart = stream.eval_output - stream.true_output
    off = np.abs(apart) > near
    source = SOURCES[word(values, "source")]
    turns = len(source.parts) * whole(values, "block") if len(source.parts) > 1 else 0
    window = min(max(turns, whole(values, "period") if _swings(values) else 0), whole(values, "steps"))
    if window > 1:
        close = int(np.sum(~off[-window:]))
        return (
            f"In {close} of the last {window} steps evaluation is within {number(near)} of the truth; it is up to "
            f"{number(float(np.max(np.abs(apart[-window:]))))} away."
        )
    if off[-1]:
        side = "above" if apart[-1] > 0 else "below"
        return f"Evaluation is still {number(float(abs(apart[-1])))} {side} that."
    joined = int(np.flatnonzero(off)[-1]) + 1 if off.any() else 0
    return f"Evaluation stays within {number(near)} of that from step {joined} on."


def _swings(values: Values) -> bool:
    """Tell whether the mean has begun to swing."""
    periodic = DRIFTS[word(values, "drift")].periodic and bool(values["amplitude"])
    return periodic and whole(values, "steps") > whole(values, "shift_step")


def _cycle_text(values: Values) -> str:
    """Say how much of a swing of the mean the running mean follows, and how late."""
    weight = _weight(values)
    if not weight or not _swings(values):
        return ""
    gain, lag = cycle_response(weight, real(values, "period"))
    return (
        f"Of the swing of ±{number(abs(real(values, 'amplitude')))} the running mean keeps {number(100 * gain)}% in the "
        f"long run, {counted(lag, 'step')} late."
    )


def _outlier_event(values: Values, stream: BatchStream) -> str:
    """Name the outlier's step, what it moves, and for how long; empty if there is none."""
    at, weight, sigma = whole(values, "outlier_step"), _weight(values), real(values, "sigma")
    arguments = experiment(values)
    if at > whole(values, "steps") or "outlier" not in DRIFTS[word(values, "drift")].settings:
        return ""
    one, none = stream_batches_theory(**arguments), stream_batches_theory(**{**arguments, "drift": "none"})
    mean, var = (
        float(getattr(one, name)[at] - getattr(none, name)[at]) / unit
        for name, unit in (("running_mean", sigma), ("running_var", sigma * sigma))
    )
    place = stream.true_mean[at] + real(values, "outlier") * sigma
    text = (
        f"**An outlier** in step {at}: one value lies at {number(float(place))}, {number(real(values, 'outlier'))}σ from "
        f"the mean. It moves the running mean by {number(mean)}σ and the running variance by {number(var)}σ²"
    )
    largest = max(abs(mean), abs(var))
    if largest <= _TRACE:
        return f"{text}."
    if weight is None:
        last = math.ceil(at * largest / _TRACE)
        return (
            f"{text}. In the cumulative average that fades as 1/t: the larger of "
            f"the two is below {number(_TRACE)} from step {last} on."
        )
    if weight == 1:
        return f"{text}. With weight 1 the next batch replaces it."
    steps = math.log(_TRACE / largest) / math.log1p(-weight)
    return (
        f"{text}. The larger of the two falls below {number(_TRACE)} after log({number(_TRACE)}/{number(largest)})/"
        f"log({number(1 - weight)}) = {number(steps)} steps, from step {at + math.ceil(steps)} on."
    )


def _events(stream: BatchStream, values: Values) -> tuple[str, ...]:
    events = [text] if (text := _outlier_event(values, stream)) else []
    if stream.undefined.any():
        events.append(
            f"**Batch size 1**: the unbiased variance of every batch ({int(stream.undefined.sum())} of "
            f"{len(stream.undefined)}) is 0/0, so the running variance stays as it is. PyTorch refuses with “Expected more "
            "than 1 value per channel when training”."
        )
    elif values["batch_size"] == 1 and values["in_batch"]:
        events.append(
            "**Batch size 1**: a batch of one value has variance 0, so the running variance decays to 0 and in "
            "training every sample comes out as β."
        )
    if stream.first_nonfinite is not None:
        events.append(f"**Not a finite number** from step {stream.first_nonfinite} on.")
    return tuple(events)


_UPDATE = r"What is stored follows $\hat\mu \leftarrow (1-a)\,\hat\mu + a\,\mu_B$"


def _why(values: Values, stream: BatchStream, theory: BatchStreamTheory) -> str:
    convention = BATCHNORM_CONVENTIONS[word(values, "convention")]
    source = SOURCES[word(values, "source")]

    def knob(name: str) -> str:
        return latex(real(values, name), 4)

    t, weight, size = whole(values, "steps"), _weight(values), whole(values, "batch_size")
    mean, var = float(stream.running_mean[-1]), float(stream.running_var[-1])
    lines = [
        r"**Training** takes mean $\mu_B$ and biased variance $\sigma_B^2$ from the batch at hand, **evaluation** the "
        "stored ones:",
        r"$$y = \gamma\,\frac{x-\mu_B}{\sqrt{\sigma_B^2+\varepsilon}}+\beta \qquad\text{or}\qquad "
        r"y = \gamma\,\frac{x-\hat\mu}{\sqrt{\hat\sigma^2+\varepsilon}}+\beta$$",
        f"After step {t}, with the stored values of this run:",
        rf"$$y = {knob('gamma')}\cdot\frac{{{knob('probe')} - {latex(mean)}}}{{\sqrt{{{latex(var)} + "
        rf"{knob('eps')}}}}} + {knob('beta')} = {latex(float(stream.eval_output[-1]))}$$",
    ]
    expected = latex(float(theory.running_mean[-1]))
    if weight is None:
        lines.append(
            r"The cumulative average weighs all batches alike, $\hat\mu_t = \frac1t\sum_{s\le t}\mu_s$: the start is "
            rf"forgotten after one batch, and a drift is remembered forever. Here $\mathrm E[\hat\mu_{{{t}}}] = {expected}$."
        )
    elif not weight:
        lines.append(
            rf"{_UPDATE} with $a = 0$ ({_momenta(values)}): nothing of a batch is stored, and the start stays, "
            rf"$\mathrm E[\hat\mu_{{{t}}}] = {expected}$."
        )
    else:
        lines.append(
            rf"{_UPDATE}, so the start fades as $(1-a)^t$, with $a = {knob('weight')}$ ({_momenta(values)}) and "
            rf"$(1-a)^{{{t}}} = {latex((1 - weight) ** t)}$."
        )
        if len(source.parts) > 1:
            lines.append(
                r"Its expectation follows the class of each batch, $\mathrm E[\hat\mu_t] = (1-a)\,\mathrm "
                rf"E[\hat\mu_{{t-1}}] + a\,\mathrm E[\mu_B]$, to $\mathrm E[\hat\mu_{{{t}}}] = {expected}$."
            )
        else:
            lines.append(_MEMORY.get(word(values, "drift"), _still)(values, theory, weight))
    lines += _spread_of_batches(values, stream)
    if not convention.unbiased:
        kind = "as it is, biased"
    elif size > 1:
        kind = f"times $N/(N-1) = {size}/{size - 1} = {latex(size / (size - 1))}$"
    else:
        kind = "times N/(N − 1), which is 0/0 for a batch of one: nothing is stored"
    lines.append(
        f"The {convention.name} convention stores the batch's variance {kind} ({convention.source}). "
        f"In expectation the running variance is now {number(float(theory.running_var[-1]))}; the truth is "
        f"{number(float(stream.true_var[-1]))}."
    )
    return "\n\n".join(lines)


def _still(values: Values, theory: BatchStreamTheory, weight: float) -> str:
    """Write the expected running mean of a feature whose mean stays."""
    t = whole(values, "steps")
    start, mu = (latex(real(values, name), 4) for name in ("running_mean", "mu"))
    return (
        rf"$$\mathrm E[\hat\mu_{{{t}}}] = (1-a)^{{{t}}}\cdot{start} + \bigl(1-(1-a)^{{{t}}}\bigr)\cdot{mu} = "
        rf"{latex(float(theory.running_mean[-1]))}$$"
    )


def _since(values: Values, name: str) -> int:
    return whole(values, "steps") - whole(values, name)


def _shift_fades(values: Values, theory: BatchStreamTheory, weight: float) -> str:
    t, since = whole(values, "steps"), _since(values, "shift_step")
    if since <= 0 or not values["shift"]:
        return _still(values, theory, weight)
    return (
        rf"Since the shift, {counted(since, 'step')} ago, the old mean fades too: $(1-a)^{{{since}}} = "
        rf"{latex((1 - weight) ** since)}$ of it is left, and $\mathrm E[\hat\mu_{{{t}}}] = "
        rf"{latex(float(theory.running_mean[-1]))}$ on the way to "
        f"{number(real(values, 'mu') + real(values, 'shift'))}."
    )


def _scale_fades(values: Values, theory: BatchStreamTheory, weight: float) -> str:
    t, since = whole(values, "steps"), _since(values, "shift_step")
    still = _still(values, theory, weight)
    rule, size = BATCHNORM_CONVENTIONS[word(values, "convention")], whole(values, "batch_size")
    if since <= 0 or values["factor"] == 1 or (rule.unbiased and size == 1):
        return still
    share = 1.0 if rule.unbiased else (size - 1) / size
    target = share * (real(values, "factor") * real(values, "sigma")) ** 2
    return (
        f"{still}\n\nThe variance changed {counted(since, 'step')} ago. Of what was stored then "
        rf"$(1-a)^{{{since}}} = {latex((1 - weight) ** since)}$ is left:"
        "\n\n"
        rf"$$\mathrm E[\hat\sigma^2_{{{t}}}] = (1-a)^{{{since}}}\cdot"
        rf"{latex(float(theory.running_var[whole(values, 'shift_step')]))} + "
        rf"\bigl(1-(1-a)^{{{since}}}\bigr)\cdot{latex(target)} = {latex(float(theory.running_var[-1]))}$$"
    )


def _cycle_lags(values: Values, theory: BatchStreamTheory, weight: float) -> str:
    t, period = whole(values, "steps"), whole(values, "period")
    if not _swings(values):
        return _still(values, theory, weight)
    gain, lag = cycle_response(weight, period)
    return (
        rf"The running mean is a low-pass filter. Of a swing with $\omega = 2\pi/{period}$ a step it keeps"
        "\n\n"
        rf"$$\left|\frac{{a}}{{1-(1-a)\,e^{{-i\omega}}}}\right| = {latex(gain)},$$"
        "\n\n"
        f"and what it keeps comes {counted(lag, 'step')} late. Of this run one expects "
        rf"$\mathrm E[\hat\mu_{{{t}}}] = {latex(float(theory.running_mean[-1]))}$."
    )


def _outlier_fades(values: Values, theory: BatchStreamTheory, weight: float) -> str:
    t, since = whole(values, "steps"), _since(values, "outlier_step")
    if since < 0:
        return _still(values, theory, weight)
    start, mu, size, sigma = (
        latex(real(values, name), 4) for name in ("running_mean", "mu", "outlier", "sigma")
    )
    return (
        "The outlier enters its batch mean with the weight 1/N, the running mean with a times that, and then fades as "
        rf"the start does:"
        "\n\n"
        rf"$$\mathrm E[\hat\mu_{{{t}}}] = (1-a)^{{{t}}}\cdot{start} + \bigl(1-(1-a)^{{{t}}}\bigr)\cdot{mu} "
        rf"+ a\,(1-a)^{{{since}}}\cdot\frac{{{size}\cdot{sigma}}}{{{whole(values, 'batch_size')}}} = "
        rf"{latex(float(theory.running_mean[-1]))}$$"
    )


# What a change over time leaves in the running statistics; without an entry the mean stays.
_MEMORY: Mapping[str, Callable[[Values, BatchStreamTheory, float], str]] = {
    "shift": _shift_fades,
    "scale": _scale_fades,
    "cycle": _cycle_lags,
    "outlier": _outlier_fades,
}


def _spread_of_batches(values: Values, stream: BatchStream) -> list[str]:
    """Say what the batches of a feature that is not normal, or sorted, tell about its variance."""
    parts, size = SOURCES[word(values, "source")].parts, whole(values, "batch_size")
    true_var = float(stream.true_var[-1])
    if len(parts) > 1:
        within = float(np.mean([part.std**2 for part in parts])) * true_var
        return [
            rf"The variance of the feature is ${latex(true_var)} = {latex(within)}$ within the classes $+\, "
            rf"{latex(true_var - within)}$ between them. A batch of one class has only the first part, and no average "
            "of such batches finds the second."
        ]
    excess = parts[0].excess
    if not excess or size < 2:
        return []
    normal, own = math.sqrt(2 / (size - 1)), math.sqrt(2 / (size - 1) + excess / size)
    return [
        rf"With excess kurtosis $\kappa$ = {number(excess)} the unbiased variance of a batch has the standard deviation",
        rf"$$\sigma^2\sqrt{{\frac{{2}}{{N-1}}+\frac{{\kappa}}{{N}}}} = {latex(own)}\,\sigma^2,$$",
        f"where that of a normal feature has {number(normal)}σ²; the batch mean scatters by σ/√N either way.",
    ]


def make(values: Values) -> View:
    """Run the stream and draw it."""
    stream, theory, placed = run(values)
    return View(
        figure=_figure(values, stream, theory, placed),
        say=lambda: Words(
            _reading(values, stream, theory, placed), _why(values, stream, theory), _events(stream, values)
        ),
        tabs=tuple(section.tab(values) for section in SECTIONS),
        programs=lambda: programs(values),
        folds=(Fold("The identity, and folding", lambda: identity_blocks(values)),),
    )


SCENARIOS = (
    Scenario(
        "Warm-up",
        "Training is right from the first step, give or take the batch's noise. Evaluation starts with the wrong "
        "statistics and needs some 30 to 40 steps to arrive. Lower the weight, and it takes longer.",
        question="After one step of training, which mode's output for x = 8 is closer to the one with the true mean and "
        "variance?",
    ),
    Scenario(
        "The mean shifts",
        "After step 60 the feature's mean rises by 3. Training follows at once; evaluation trails behind, because it "
        "still averages over batches of the old kind.",
        {"drift": "shift", "shift": 3.0, "shift_step": 60, "steps": 120},
        question="A batch has the weight 0.1 in the running mean, and the feature's mean rises by 3. How much of the rise is in "
        "the running mean ten batches later?",
    ),
    Scenario(
        "The scale doubles",
        "After step 60 the standard deviation doubles and the mean stays. Variances are averaged, and a variance that "
        "is four times as large takes over quickly. Set the factor to 0.5: the way down is much slower.",
        {"drift": "scale", "factor": 2.0, "shift_step": 60, "steps": 120},
        question="A feature's standard deviation doubles, or it halves. After which of the two does BatchNorm's "
        "evaluation recover faster?",
    ),
    Scenario(
        "A cycle",
        "The mean swings with a period of 30 steps. The running mean follows part of the swing, several steps late, "
        "so that evaluation is wrong in turn to either side. A smaller weight flattens it, a larger one hurries it.",
        {"drift": "cycle", "amplitude": 3.0, "period": 30, "shift_step": 0, "steps": 120},
        question="Will the running mean swing as far as the mean itself?",
    ),
    Scenario(
        "An outlier",
        "One value of batch 30 lies 50 standard deviations out. Training forgets it with the batch; in evaluation all "
        "samples are squeezed together until the running variance has let go of it. The variance of that one batch is so "
        "large that all others lie flat at the bottom of their panel.",
        {"drift": "outlier", "outlier": 50.0, "outlier_step": 30, "steps": 120},
        question="One value of a batch lies 50 standard deviations out. For how many steps does it move evaluation's "
        "output by more than 0.1?",
    ),
    Scenario(
        "Heavy tails",
        "The same mean and variance, but drawn from Student's t with 5 degrees of freedom: most batches have too small "
        "a variance, a few a very large one. The running mean hardly notices, the running variance jumps.",
        {"source": "heavy tails", "steps": 120},
        question="Which of the two running statistics suffers from rare large values?",
    ),
    Scenario(
        "Sorted by class",
        "Ten batches of one class, then ten of the other. Training takes each class for the whole world and puts it "
        "into the middle; the running mean swings from one to the other, and the running variance never sees the "
        "distance between them.",
        {"source": "two classes, sorted", "steps": 120},
        question="A feature has variance 9 over two classes, but comes in ten batches of one class, then ten of the other. Which "
        "running variance does evaluation get?",
    ),
    Scenario(
        "Cumulative average",
        "With momentum=None every batch counts alike. The start is gone after one batch and the noise keeps falling, "
        "but after the shift at step 60 the old batches weigh as much as ever.",
        {
            "cumulative": True,
            "drift": "shift",
            "shift": 3.0,
            "shift_step": 60,
            "steps": 120,
        },
        question="What is the price of an average that forgets nothing?",
    ),
    Scenario(
        "Tiny batches",
        "With two values a batch, the sample's training output jumps between −1 and 1: two values, normalized, are −1 and "
        "1, unless they are so close that ε counts. Evaluation has one value, with running statistics that are noisy in turn.",
        {"batch_size": 2, "steps": 120},
        question="A sample one standard deviation above the mean shares its batch with a single other value. What does "
        "BatchNorm make of it in training?",
    ),
    Scenario(
        "Batch size 1",
        "A batch of one value minus its own mean is 0, so in training every sample comes out as β. The unbiased "
        "variance is 0/0, and PyTorch stops with an error.",
        {"batch_size": 1},
        question="A batch holds a single sample, x = 8, of a feature with mean 5 and σ = 3. What does BatchNorm make of "
        "it in training?",
    ),
    Scenario(
        "Keras defaults",
        "Keras keeps 0.99 of the old value and gives 0.01 to the new batch: after 60 steps evaluation is still far "
        "off. A short training run ends with statistics that are mostly the start.",
        {"convention": "Keras"},
        question="Keras's momentum is 0.99. How much of the start is left in the running mean after 60 steps?",
    ),
    Scenario(
        "Twenty layers",
        "Training normalizes with N, evaluation with N − 1. One layer at N = 64 loses 0.8%; twenty of them, one on the "
        "other, lose about 15% of the scale. Choose Keras, and nothing is lost.",
        {"batch_size": 64, "size_view": "N or N − 1"},
        question="PyTorch normalizes a batch of N = 64 with the variance over N and stores the one over N − 1. How much "
        "of its scale does a signal lose in evaluation, behind twenty layers?",
        tab="Batch size",
    ),
    Scenario(
        "Forgotten eval()",
        "The most frequent bug with BatchNorm: a network that is asked in training mode. In large mixed batches nobody "
        "notices; point by point, or class by class, it guesses.",
        {"batch_size": 32, "size_view": FORGOTTEN},
        question="A trained network with BatchNorm and four classes stays in training mode and is shown one point at a time. How "
        "many does it get right, compared with evaluation?",
        tab="Batch size",
    ),
    Scenario(
        "Nearly the full data",
        "With 512 values a batch, both modes agree to a few percent once the start has faded, and the band of batch "
        "means is narrow.",
        {"batch_size": 512},
        question="How far apart are the two modes when a batch is nearly all the data?",
    ),
)

_TAB_KNOBS = tuple(knob for section in SECTIONS for knob in section.knobs)

TOPIC = Topic(
    name="batchnorm",
    prefix="bn",
    title="BatchNorm",
    question="Why does the same sample come out differently in training and in evaluation?",
    icon=":material/equalizer:",
    knobs={knob.name: knob for knob in (*KNOBS, *_TAB_KNOBS)},
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    complete=_complete,
    depends=("convention",),
    free=("seed", *(knob.name for knob in _TAB_KNOBS)),
    tabs=tuple(section.name for section in SECTIONS),
    code=True,
    measures=MEASURES,
    predictions=PREDICTIONS,
)
