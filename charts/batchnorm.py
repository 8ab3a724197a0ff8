"""BatchNorm: a stream of mini-batches, what is stored of it, and one sample in training and in evaluation."""

from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np

from charts import theme
from charts.figure import NARROW, Figure, Panel, Spec, assemble, bins, named, rows, spread
from charts.topic import Group, Scenario, Topic, Values, View, real, whole, word
from core.batch_stream import (
    BatchStream,
    BatchStreamTheory,
    batch_mean_band,
    place_probe,
    probe_distribution,
    stream_batches,
    stream_batches_theory,
)
from core.knobs import Knob, Value, latex, number
from core.normalization import BATCHNORM_CONVENTIONS

_PLACEMENTS = 200

KNOBS = (
    Knob("batch_size", "int", 8, label="Batch size", low=1, high=512, log=True, symbol="N"),
    Knob(
        "weight", "float", 0.1, label="Weight of the new batch", low=0.0, high=1.0, step=0.01, symbol="a",
        help="PyTorch calls this number momentum; Keras and ONNX call 1 − a momentum.",
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
    Knob("shift", "float", 0.0, label="Shift of the mean", low=-20.0, high=20.0, step=0.5),
    Knob("shift_step", "int", 60, label="Shift after step", low=0, high=500, step=1),
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


def _complete(given: Values) -> dict[str, Value]:
    """Fill in the convention's own ε and weight."""
    convention = BATCHNORM_CONVENTIONS[str(given.get("convention", "PyTorch"))]
    weight = convention.fixed_weight()
    own: dict[str, Value] = {"eps": convention.eps}
    if weight is not None:
        own["weight"] = round(weight, 12)
    return own


def _layout(values: Values) -> tuple[Group, ...]:
    averages = BATCHNORM_CONVENTIONS[word(values, "convention")].fixed_weight() is None
    first = (
        ("batch_size", "steps", "convention") if averages else ("batch_size", "weight", "steps", "convention")
    )
    return (
        Group(first),
        Group(("probe", "mu", "sigma", "in_batch"), "Sample and distribution"),
        Group(("running_mean", "running_var", "shift", "shift_step"), "Start and drift"),
        Group(("gamma", "beta", "eps", "seed"), "Layer and seed"),
    )


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 150 if narrow else round((width - 226) * 0.64)
    right = width - 150 if narrow else width - 226 - left
    tall = 176

    step = alt.X(
        "step:Q",
        title=None,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )
    last = step.copy()
    last["title"] = "step"

    def heading(name: str) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
        )

    def ends(name: str, x: alt.X) -> Panel:
        return (
            alt.Chart(named("ends"))
            .transform_filter(f"datum.panel == '{name}'")
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=x, y=alt.Y("y:Q"), text="label:N", color=theme.color())
        )

    def statistic(name: str, x: alt.X, size: int) -> Panel:
        y = alt.Y(f"batch_{name}:Q", title=None, scale=alt.Scale(zero=False))
        base = alt.Chart(named("stream"))
        layers = []
        if name == "mean":
            layers.append(
                base.mark_area(interpolate="step-before", opacity=0.16).encode(
                    x=x, y=alt.Y("mean_low:Q"), y2="mean_high:Q", color=theme.ink("muted")
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
        return alt.layer(*layers).properties(width=size, height=tall, name=name)

    mean = statistic("mean", step if not narrow else last, left)
    variance = statistic("var", last, right)

    base = alt.Chart(named("stream"))
    out = alt.Y("train_output:Q", title=None, scale=alt.Scale(zero=False))
    reach = alt.Chart(named("reach")).mark_point(opacity=0).encode(y=alt.Y("y:Q"))
    output = alt.layer(
        reach.encode(x=last),
        base.mark_line(interpolate="step-before", strokeDash=[6, 4], strokeWidth=1.3).encode(
            x=last, y=alt.Y("true_output:Q"), color=theme.ink("ink")
        ),
        base.mark_point(filled=True, size=16, opacity=0.75).encode(
            x=last, y=out, color=theme.ink("vermilion")
        ),
        alt.Chart(named("ghost"))
        .mark_line(strokeWidth=1.4, opacity=0.6)
        .encode(x=last, y=alt.Y("eval_output:Q"), color=theme.ink("muted")),
        base.mark_line().encode(x=last, y=alt.Y("eval_output:Q"), color=theme.ink("blue")),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=last, y=alt.Y("theory_output:Q"), color=theme.ink("ink")
        ),
        ends("output", last),
        heading("output"),
    ).properties(width=left, height=tall, name="output")

    count = alt.X("count:Q", title="batches", axis=alt.Axis(grid=False, tickCount=3))
    margin = alt.layer(
        alt.Chart(named("margin"))
        .mark_bar(opacity=0.7, orient="horizontal")
        .encode(
            y=alt.Y("low:Q", title=None),
            y2="high:Q",
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
        .encode(y=alt.Y("y:Q"), x=alt.value(right), text="label:N", color=theme.color()),
        heading("margin"),
    ).properties(width=right, height=tall, name="margin")

    if narrow:
        grid: Panel = alt.vconcat(mean, output, margin, variance, spacing=40)
    else:
        grid = alt.hconcat(
            alt.vconcat(mean, output, spacing=40), alt.vconcat(variance, margin, spacing=40), spacing=36
        )
    return assemble(grid.resolve_scale(color="shared"), theme.config())


def _experiment(values: Values) -> dict[str, Any]:
    """Return the values as the experiment's arguments; momentum in the convention's own sense."""
    convention = BATCHNORM_CONVENTIONS[word(values, "convention")]
    arguments: dict[str, Any] = {
        name: values[name]
        for name in (
            "mu", "sigma", "batch_size", "steps", "probe", "convention", "eps", "gamma", "beta", "running_mean",
            "running_var", "shift", "shift_step",
        )
    }  # fmt: skip
    arguments["momentum"] = convention.momentum_of(real(values, "weight"))
    return arguments


def run(values: Values) -> tuple[BatchStream, BatchStreamTheory, np.ndarray]:
    """Return the stream, its closed form, and the sample's training output in 200 batches of the last step."""
    arguments = _experiment(values)
    shared: dict[str, Any] = {"seed": whole(values, "seed"), "in_batch": bool(values["in_batch"])}
    stream = stream_batches(**arguments, **shared)
    theory = stream_batches_theory(**arguments)
    placed = place_probe(
        mu=float(stream.true_mean[-1]),
        **{name: arguments[name] for name in ("sigma", "batch_size", "probe", "gamma", "beta", "eps")},
        count=_PLACEMENTS,
        **shared,
    )
    return stream, theory, placed


def _momenta(values: Values) -> str:
    """Write the weight of the new batch in every framework's words."""
    weight = real(values, "weight")
    if BATCHNORM_CONVENTIONS[word(values, "convention")].fixed_weight() is None:
        return "cumulative average over all batches (PyTorch: momentum=None)"
    return f"momentum {number(weight)} in PyTorch = {number(1 - weight, 4)} in Keras and ONNX"


def _figure(values: Values, stream: BatchStream, theory: BatchStreamTheory, placed: np.ndarray) -> Figure:
    nothing = [np.nan]
    band = batch_mean_band(real(values, "sigma"), whole(values, "batch_size"))
    every = max(1, len(stream.step) // 30)
    dotted = stream.step % every == 0
    frame = rows(
        step=stream.step.astype(np.int16),
        batch_mean=np.concatenate([nothing, stream.batch_mean]),
        batch_var=np.concatenate([nothing, stream.batch_var]),
        train_output=np.concatenate([nothing, stream.train_output]),
        running_mean=stream.running_mean,
        running_var=stream.running_var,
        eval_output=stream.eval_output,
        true_mean=stream.true_mean,
        true_var=stream.true_var,
        true_output=stream.true_output,
        mean_low=stream.true_mean - band,
        mean_high=stream.true_mean + band,
        theory_mean=np.where(dotted, theory.running_mean, np.nan),
        theory_var=np.where(dotted, theory.running_var, np.nan),
        theory_output=np.where(dotted, theory.eval_output, np.nan),
    )
    labels = []
    for panel, lines in {
        "mean": {"running": ("running_mean", "blue"), "truth μ": ("true_mean", "ink")},
        "var": {"running": ("running_var", "blue"), "truth σ²": ("true_var", "ink")},
        "output": {"evaluation": ("eval_output", "blue"), "truth": ("true_output", "ink")},
    }.items():
        drawn = frame[[c for c in frame.columns if c.endswith(f"_{panel}") or c.startswith(f"{panel}_")]]
        if panel == "output":
            drawn = drawn.assign(low=placed.min(), high=placed.max())
        low, high = float(np.nanmin(drawn.to_numpy())), float(np.nanmax(drawn.to_numpy()))
        at = np.array([float(frame[column].iloc[-1]) for column, _ in lines.values()])
        places = spread(at, 0.1 * (high - low), low, high)
        labels += [
            (panel, label, y, theme.SLOTS[use])
            for (label, (_, use)), y in zip(lines.items(), places, strict=True)
        ]
    finite = placed[np.isfinite(placed)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    width = max(high - low, 0.2)
    center = (low + high) / 2
    edges_low, edges_high, counts = bins(placed, center - width / 2, center + width / 2, 24)
    kept = counts > 0
    evaluated = float(stream.eval_output[-1])
    return Figure(
        name="batchnorm/stream",
        build=_spec,
        data={
            "stream": frame,
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
                y=[
                    min(low, float(np.nanmin(stream.eval_output))),
                    max(high, float(np.nanmax(stream.eval_output))),
                ],
            ),
            "titles": rows(
                mean=["Batch mean, running mean"],
                var=["Batch variance, running variance"],
                output=[f"Output of the sample x = {number(real(values, 'probe'))}"],
                margin=[f"Its training output in {_PLACEMENTS} batches"],
            ),
        },
        title="One sample in training and in evaluation",
        caption=_caption(values),
        key=(
            "Orange: one batch, as in training. Blue: stored, as in evaluation. Small dots: expected statistics, and the "
            "output they give. "
            "Dashed: truth. Gray band: 95% of batch means, ±1.96σ/√N."
        ),
        alt="Batch and running mean and variance at every step, and one sample's output in training and evaluation.",
        ghosts={"ghost": "stream"},
    )


def _caption(values: Values) -> str:
    def knob(name: str) -> str:
        return number(real(values, name))

    drift = f", shifted by {knob('shift')} after step {knob('shift_step')}" if values["shift"] else ""
    sits = "inside" if values["in_batch"] else "outside"
    return (
        f"Feature N({knob('mu')}, {knob('sigma')}²){drift}; batch size {values['batch_size']}, {values['steps']} steps, "
        f"{values['convention']} convention, {_momenta(values)}; running statistics start at "
        f"({knob('running_mean')}, {knob('running_var')}); γ {knob('gamma')}, β {knob('beta')}, ε {knob('eps')}; "
        f"sample x = {knob('probe')} {sits} its training batch, never in the running statistics; seed {values['seed']}."
    )


def _reading(values: Values, stream: BatchStream, theory: BatchStreamTheory, placed: np.ndarray) -> str:
    truth, evaluated, gamma = (
        float(stream.true_output[-1]),
        float(stream.eval_output[-1]),
        real(values, "gamma"),
    )
    finite = placed[np.isfinite(placed)]
    exact = probe_distribution(
        mu=float(stream.true_mean[-1]),
        in_batch=bool(values["in_batch"]),
        **{name: real(values, name) for name in ("sigma", "probe", "gamma", "beta")},
        batch_size=whole(values, "batch_size"),
    )
    spread_text = f" ± {number(float(finite.std(ddof=1)))}" if len(finite) > 1 else ""
    theory_text = (
        f" (in theory {number(exact.mean)} ± {number(exact.std)})"
        if np.isfinite(exact.mean) and np.isfinite(exact.std)
        else ""
    )
    sentences = [
        f"In training the sample comes out as {number(float(finite.mean()))}{spread_text} over {_PLACEMENTS} batches"
        f"{theory_text}, in evaluation after step {values['steps']} as **{number(evaluated)}**; with the true mean and "
        f"variance it would be {number(truth)}."
    ]
    near = 0.1 * abs(gamma)
    off = np.abs(stream.eval_output - stream.true_output) > near
    if off.any() and not off[-1]:
        joined = int(np.flatnonzero(off)[-1]) + 1
        sentences.append(f"Evaluation stays within {number(near)} of that from step {joined} on.")
    elif off[-1]:
        apart = evaluated - truth
        sentences.append(
            f"Evaluation is still {number(abs(apart))} {'above' if apart > 0 else 'below'} that."
        )
    sentences.append(
        f"The running mean is {number(float(stream.running_mean[-1]))} where its expectation is "
        f"{number(float(theory.running_mean[-1]))} ± {number(float(theory.running_mean_std[-1]))}."
    )
    return " ".join(sentences)


def _events(stream: BatchStream, values: Values) -> tuple[str, ...]:
    events = []
    if stream.undefined.any():
        events.append(
            f"**Batch size 1**: the unbiased variance of step {int(np.argmax(stream.undefined)) + 1} is 0/0, so the "
            "running variance stays as it is. PyTorch refuses with “Expected more than 1 value per channel when training”."
        )
    elif values["batch_size"] == 1 and values["in_batch"]:
        events.append(
            "**Batch size 1**: a batch of one value has variance 0, so the running variance decays to 0 and in "
            "training every sample comes out as β."
        )
    if stream.first_nonfinite is not None:
        events.append(f"**Not a finite number** from step {stream.first_nonfinite} on.")
    return tuple(events)


def _why(values: Values, stream: BatchStream, theory: BatchStreamTheory) -> str:
    convention = BATCHNORM_CONVENTIONS[word(values, "convention")]

    def knob(name: str) -> str:
        return latex(real(values, name), 4)

    t, weight, size = whole(values, "steps"), real(values, "weight"), whole(values, "batch_size")
    mean, var = float(stream.running_mean[-1]), float(stream.running_var[-1])
    lines = [
        r"**Training** takes mean $\mu_B$ and biased variance $\sigma_B^2$ from the batch at hand, **evaluation** the "
        "stored ones:",
        r"$$y = \gamma\,\frac{x-\mu_B}{\sqrt{\sigma_B^2+\varepsilon}}+\beta \qquad\text{or}\qquad "
        r"y = \gamma\,\frac{x-\hat\mu}{\sqrt{\hat\sigma^2+\varepsilon}}+\beta$$",
        f"After step {t}, with the stored values of this run:",
        rf"$$y = {knob('gamma')}\cdot\frac{{{knob('probe')} - {latex(mean)}}}{{\sqrt{{{latex(var)} + "
        rf"{knob('eps')}}}}} + {knob('beta')} = {latex(float(stream.eval_output[-1]), 4)}$$",
    ]
    drifts = real(values, "shift") != 0 and t > whole(values, "shift_step")
    if convention.fixed_weight() is None:
        lines.append(
            r"The paper averages all batches, $\hat\mu_t = \frac1t\sum_{s\le t}\mu_s$: the start is forgotten after "
            "one batch, and a drift is remembered forever."
        )
    else:
        lines.append(
            r"What is stored follows $\hat\mu \leftarrow (1-a)\,\hat\mu + a\,\mu_B$, so the start fades as $(1-a)^t$, "
            rf"with $a = {knob('weight')}$ ({_momenta(values)}) and $(1-a)^{{{t}}} = {latex((1 - weight) ** t)}$."
        )
        expected = latex(float(theory.running_mean[-1]), 4)
        if drifts:
            since = t - whole(values, "shift_step")
            lines.append(
                rf"Since the shift, {since} steps ago, the old mean fades too: $(1-a)^{{{since}}} = "
                rf"{latex((1 - weight) ** since)}$ of it is left, and $\mathrm E[\hat\mu_{{{t}}}] = {expected}$ on the "
                f"way to {number(float(stream.true_mean[-1]))}."
            )
        else:
            lines.append(
                rf"$$\mathrm E[\hat\mu_{{{t}}}] = (1-a)^{{{t}}}\cdot{knob('running_mean')} + "
                rf"\bigl(1-(1-a)^{{{t}}}\bigr)\cdot{knob('mu')} = {expected}$$"
            )
    if not convention.unbiased:
        kind = "as it is, biased"
    elif size > 1:
        kind = f"times $N/(N-1) = {latex(size / (size - 1), 5)}$"
    else:
        kind = "times N/(N − 1), which is 0/0 for a batch of one: nothing is stored"
    lines.append(
        f"The {convention.name} convention stores the batch's variance {kind} ({convention.source}). "
        f"In expectation the running variance is now {number(float(theory.running_var[-1]), 4)}; the truth is "
        f"{number(float(stream.true_var[-1]), 4)}."
    )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Run the stream and draw it."""
    stream, theory, placed = run(values)
    return View(
        figure=_figure(values, stream, theory, placed),
        reading=_reading(values, stream, theory, placed),
        why=_why(values, stream, theory),
        events=_events(stream, values),
    )


SCENARIOS = (
    Scenario(
        "Warm-up",
        "Training is right from the first step, give or take the batch's noise. Evaluation starts with the wrong "
        "statistics and needs some 30 to 40 steps to arrive. Press the left arrow on the weight to make it slower.",
        question="At step 1, which of the two modes is closer to the truth?",
    ),
    Scenario(
        "The mean shifts",
        "After step 60 the feature's mean rises by 3. Training follows at once; evaluation trails behind, because it "
        "still averages over batches of the old kind.",
        {"shift": 3.0, "shift_step": 60, "steps": 120},
        question="Which mode notices first that the data have changed?",
    ),
    Scenario(
        "Tiny batches",
        "With two values a batch, the sample's training output jumps between −1 and 1: two values, normalized, are "
        "always −1 and 1. Evaluation has one value, with running statistics that are noisy in turn.",
        {"batch_size": 2, "steps": 120},
        question="What can a sample become when it is normalized together with one other value?",
    ),
    Scenario(
        "Batch size 1",
        "A batch of one value minus its own mean is 0, so in training every sample comes out as β. The unbiased "
        "variance is 0/0, and PyTorch stops with an error.",
        {"batch_size": 1},
        question="What does batch normalization make of a single sample?",
    ),
    Scenario(
        "Keras defaults",
        "Keras keeps 0.99 of the old value and gives 0.01 to the new batch: after 60 steps evaluation is still far "
        "off. A short training run ends with statistics that are mostly the start.",
        {"convention": "Keras"},
        question="Is a Keras momentum of 0.99 the same as a PyTorch momentum of 0.99?",
    ),
    Scenario(
        "Nearly the full data",
        "With 512 values a batch, both modes agree to a few percent once the start has faded, and the band of batch "
        "means is narrow.",
        {"batch_size": 512},
    ),
)

TOPIC = Topic(
    name="batchnorm",
    prefix="bn",
    title="BatchNorm",
    question="Why does the same sample come out differently in training and in evaluation?",
    icon=":material/equalizer:",
    knobs={knob.name: knob for knob in KNOBS},
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    complete=_complete,
    depends=("convention",),
)
