"""The Batch size tab of the BatchNorm page: one sample in many batches, N against N − 1, a batch of one."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import counted
from charts.figure import (
    NARROW,
    Figure,
    Frame,
    Panel,
    Part,
    Spec,
    assemble,
    beside,
    named,
    rows,
    spread,
    table,
)
from charts.topic import Block, Values, real, whole, word
from core.batch_size import (
    HARD_BEFORE,
    HARD_INPUTS,
    HARD_LATER,
    HardOutcome,
    ProbeSizes,
    batch_size_for,
    hard_outcome,
    one_sample_outputs,
    probe_sizes,
    scatter_asymptote,
    stack_scale,
    stack_scale_theory,
    stored_step,
    variance_ways,
)
from core.batch_stream import BatchStream, BatchStreamTheory, stream_batches, stream_batches_theory
from core.kept import keep
from core.knobs import Knob, number
from core.normalization import BATCHNORM_CONVENTIONS

Array = np.ndarray
Ones = tuple[BatchStream, BatchStreamTheory]  # a stream of batches of one, and its expectation

_PLACEMENTS = 200
_SIZES = tuple(2**k for k in range(1, 10))
_STACKED = (2, 8, 32, 64)
_SAMPLE = (1.0, 2.0, 4.0, 9.0)  # one sample of four features, in a batch of its own
_OFFSETS = (0.0, 1e2, 1e4, 1e6, 1e8, 1e12, 1e15)
_STACK_EPS = 1e-5
_TAMED = 0.01  # ε/σ² from which on a sample outside a tiny batch has a steady standard deviation

EXAMPLES: Mapping[str, tuple[float, ...]] = {
    "1, 2, 4, 9": (1, 2, 4, 9),
    "0, 2": (0, 2),
    "−3, −1, 1, 3, 5": (-3, -1, 1, 3, 5),
    "0.3, 1.1, 2.6, 0.9": (0.3, 1.1, 2.6, 0.9),
    "5, 5, 5, 5": (5, 5, 5, 5),
    "5": (5,),
}

FORGOTTEN = "forgotten eval()"  # the view of the tab that charts/batchnorm_evaluation.py draws

SIZE_KNOBS = (
    Knob(
        "size_view", "choice", "one sample", label="View",
        choices=("one sample", "N or N − 1", "batch of one", FORGOTTEN),
        aliases={"N or N - 1": "N or N − 1", "forgotten eval": FORGOTTEN},
    ),
    Knob("size_example", "choice", "1, 2, 4, 9", label="Batch", choices=tuple(EXAMPLES)),
    Knob(
        "size_layers", "int", 20, label="BatchNorm layers", cap="depth", low=1, high=50, step=1, symbol="L",
        help="One on top of the other, nothing between them.",
    ),
    Knob("size_ones", "int", 50, label="Batches of one", low=5, high=500, log=True),
)  # fmt: skip

STYLES = theme.styles(
    BATCHNORM_CONVENTIONS,
    fixed={
        "PyTorch": ("vermilion", 0),
        "Keras": ("blue", 0),
        "ONNX": ("green", 0),
        "paper": ("purple", 1),
    },
)


def _visible(y: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _extent(*values: Array) -> tuple[float, float]:
    """Return the ends of a log axis that shows all visible values, half a decade apart at least."""
    seen = np.concatenate([_visible(np.asarray(v, float)).ravel() for v in values])
    logs = np.log10(seen[np.isfinite(seen)]) if np.isfinite(seen).any() else np.zeros(1)
    low, high = float(logs.min()), float(logs.max())
    margin = max(0.03 * (high - low), (0.5 - (high - low)) / 2)
    least = float(np.finfo(float).tiny)  # the axis cannot reach below the smallest number
    return max(10.0 ** (low - margin), least), max(10.0 ** (high + margin), 10 * least)


def _placed(ends: Array, low: float, high: float, gap: float = 0.075) -> Array:
    """Return where labels of lines that end there stand on a log axis, ``gap`` of its length apart."""
    logs = np.log10(np.where(np.isfinite(ends) & (ends > 0), np.clip(ends, low, high), low))
    bottom, top = math.log10(low), math.log10(high)
    placed: Array = 10.0 ** spread(logs, gap * (top - bottom), bottom, top)
    return placed


def _spoken(names: Sequence[str]) -> str:
    """Name conventions in a sentence."""
    return " and ".join("the paper" if name == "paper" else name for name in names)


def _elsewhere(values: Values) -> list[str]:
    """Say that the page's kind of feature does not act in a view, where it is not what the view draws."""
    if values["source"] == "normal" and values["drift"] == "none":
        return []
    return [
        "Here the feature is normal and does not change, whatever values and change over time the page is set to."
    ]


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(f"“{name}”" for name in names)


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _labels(data: str, x: int, y: alt.Y) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(x), y=y, text="label:N", color=theme.color())
    )


def _log(y: str) -> alt.Y:
    """Encode a field on a log axis without a title."""
    return alt.Y(
        y,
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )


# One sample in many batches


@lru_cache(maxsize=16)
def _one_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 150 if narrow else round((width - 360) * 0.54)
    right = width - 195 if narrow else width - 360 - left
    tall = 260 if narrow else 320
    sizes = [2 * 4**k for k in range(5)] if narrow else [2**k for k in range(10)]

    def across(field: str) -> alt.X:
        return alt.X(
            field,
            title="batch size N",
            scale=alt.Scale(type="log", base=2, nice=False, padding=12),
            axis=alt.Axis(grid=False, values=sizes, format="d"),
        )

    x = across("size:Q")
    y = alt.Y("median:Q", title=None, scale=alt.Scale(zero=False))
    base = alt.Chart(named("bands"))
    outputs: list[Panel] = [
        base.mark_area(opacity=0.16).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=theme.ink("vermilion")),
        base.mark_area(opacity=0.26).encode(
            x=x, y=alt.Y("lower:Q"), y2="upper:Q", color=theme.ink("vermilion")
        ),
        base.mark_line(strokeWidth=1.3, strokeDash=[6, 4]).encode(
            x=x, y=alt.Y("truth:Q"), color=theme.ink("ink")
        ),
        base.mark_line(strokeWidth=1.6).encode(x=x, y=y, color=theme.ink("vermilion")),
        alt.Chart(named("dots"))
        .mark_point(filled=True, size=14, opacity=0.7)
        .encode(x=x, y=alt.Y("y:Q"), color=theme.ink("vermilion")),
        base.mark_line().encode(x=x, y=alt.Y("evaluation:Q"), color=theme.ink("blue")),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=alt.Y("expected:Q"), color=theme.ink("ink")
        ),
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=alt.Y("y:Q")),
        _labels("output_ends", left, alt.Y("y:Q")),
        _heading("outputs"),
    ]
    wide_y = _log("y:Q")
    lines = alt.Chart(named("scatter"))
    scatter: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(y=wide_y),
        lines.mark_line().encode(
            x=x, y=wide_y, detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        lines.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=_log("theory:Q"), color=theme.ink("ink")
        ),
        _labels("scatter_ends", right, wide_y),
        _heading("scatter"),
    ]
    panels = [
        compose.layer(*outputs, width=left, height=tall, name="outputs"),
        compose.layer(*scatter, width=right, height=tall, name="scatter"),
    ]
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


@keep(entries=8)
def _probe(
    own: int,
    mu: float,
    sigma: float,
    probe: float,
    gamma: float,
    beta: float,
    eps: float,
    convention: str,
    in_batch: bool,
    seed: int,
) -> ProbeSizes:
    """Place the sample in batches of 2, 4, … 512 and of the page's own size."""
    return probe_sizes(
        sorted({*_SIZES, own}), mu=mu, sigma=sigma, probe=probe, count=_PLACEMENTS, gamma=gamma, beta=beta, eps=eps,
        convention=convention, in_batch=in_batch, seed=seed,
    )  # fmt: skip


def _one_run(values: Values) -> ProbeSizes:
    numbers = (real(values, name) for name in ("mu", "sigma", "probe", "gamma", "beta", "eps"))
    return _probe(
        whole(values, "batch_size"), *numbers, word(values, "convention"), bool(values["in_batch"]), whole(values, "seed")
    )  # fmt: skip


def _one_caption(values: Values) -> str:
    def knob(name: str) -> str:
        return number(real(values, name))

    sits = "inside" if values["in_batch"] else "outside"
    return (
        f"Feature N({knob('mu')}, {knob('sigma')}²), no drift; sample x = {knob('probe')} {sits} its training batch; "
        f"{_PLACEMENTS} batches of each size, dots at N = {whole(values, 'batch_size')}; evaluation with mean and variance "
        f"averaged over them without the sample, {values['convention']} convention; γ {knob('gamma')}, β {knob('beta')}, "
        f"ε {knob('eps')}; seed {values['seed']}."
    )


def _ratio(values: Values) -> float:
    """Return ε/σ²."""
    return real(values, "eps") / real(values, "sigma") ** 2


def _wild(values: Values, run: ProbeSizes) -> Array:
    """Tell at which sizes only a small ε keeps the standard deviation finite, so that 200 batches do not show it."""
    outside = not values["in_batch"] and _ratio(values) < _TAMED
    return np.asarray((run.sizes <= 3) & outside)


def _window(steady: Array, low: Array, high: Array, fixed: Array) -> tuple[float, float]:
    """Return what the panel of outputs shows: the bands of all sizes with a steady standard deviation."""
    seen = np.concatenate([low[steady], high[steady], fixed[np.isfinite(fixed)]])
    bottom, top = float(seen.min()), float(seen.max())
    margin = max(0.04 * (top - bottom), (0.2 - (top - bottom)) / 2)
    return bottom - margin, top + margin


def _one_figure(values: Values, run: ProbeSizes) -> tuple[Figure, int]:
    """Draw the outputs by batch size; also return how many dots lie beyond the panel."""
    own, gamma = whole(values, "batch_size"), real(values, "gamma")
    delta = (real(values, "probe") - real(values, "mu")) / real(values, "sigma")
    truth = gamma * delta + real(values, "beta")
    low, lower, median, upper, high = np.quantile(run.outputs, (0.025, 0.25, 0.5, 0.75, 0.975), axis=1)
    steady, k = ~_wild(values, run), list(run.sizes).index(own)
    bottom, top = _window(steady, low, high, np.concatenate([run.eval_output, run.eval_expected, [truth]]))
    here = run.outputs[k]
    if steady[k]:
        bottom, top = min(bottom, float(here.min())), max(top, float(here.max()))
    inside = (here >= bottom) & (here <= top)
    # Evenly spread by the golden ratio: dots side by side, and the same for every run.
    jitter = (np.arange(_PLACEMENTS) * 0.6180339887 % 1 - 0.5) * 0.34
    std = run.outputs.std(axis=1, ddof=1)
    exact = np.where(steady, [theory.std for theory in run.theory], np.nan)
    # Where 200 batches cannot show it, and where there is none but rounding, there is nothing to draw.
    std = np.where(exact > 0, std, np.nan)
    limit = scatter_asymptote(run.sizes, delta, gamma, _ratio(values))
    nothing = np.full(len(run.sizes), np.nan)
    drawn: tuple[tuple[str, str, int, Array, Array], ...] = (
        ("output", "vermilion", 0, std, exact),
        (_formula(values), "muted", 2, limit, nothing),
        ("batch mean, in σ", "green", 0, run.mean_std, 1 / np.sqrt(run.sizes)),
    )
    extent = _extent(*(line[3] for line in drawn), exact)
    last = [float(run.eval_output[-1]), truth]
    return Figure(
        name="batchnorm/one_sample",
        build=_one_spec,
        data={
            "bands": rows(
                size=run.sizes,
                **{
                    name: np.clip(part, bottom, top)
                    for name, part in (
                        *(("low", low), ("lower", lower), ("median", median)),
                        *(("upper", upper), ("high", high)),
                    )
                },
                evaluation=run.eval_output,
                expected=run.eval_expected,
                truth=truth,
            ),
            "dots": rows(size=own * 2.0**jitter, y=np.where(inside, here, np.nan)),
            "reach": rows(y=[bottom, top]),
            "output_ends": rows(
                y=spread(np.array(last), 0.06 * (top - bottom), bottom, top),
                label=["evaluation", "truth"],
                slot=[theme.SLOTS["blue"], theme.INK],
            ),
            "scatter": rows(
                *(
                    {
                        "size": run.sizes,
                        "y": _visible(y),
                        "theory": _visible(theory),
                        "name": name,
                        "slot": np.int8(theme.SLOTS[use]),
                        "dash": np.int8(dash),
                    }
                    for name, use, dash, y, theory in drawn
                )
            ),
            "scatter_ends": rows(
                y=_placed(np.array([float(line[3][-1]) for line in drawn]), *extent),
                label=[line[0] if line[3][-1] > 0 else "" for line in drawn],
                slot=[theme.SLOTS[line[1]] for line in drawn],
            ),
            "extent": rows(y=list(extent)),
            "titles": rows(
                outputs=[f"Training output of x = {number(real(values, 'probe'))}, by batch size"],
                scatter=["Standard deviation over batches"],
            ),
        },
        title="One sample in batches of every size",
        caption=_one_caption(values),
        key=(
            "Output: orange the median, half and 95% of the batches; small dots what evaluation gives with expected statistics. "
            "Standard deviation: small dots exact."
        ),
        alt="Training output of one sample against batch size beside its evaluation output, and its standard deviation.",
    ), int((~inside).sum())


def _formula(values: Values) -> str:
    """Write the standard deviation that large batches tend to, r = 1 + ε/σ² only where it shows."""
    scale = "" if abs(real(values, "gamma")) == 1 else "|γ|"
    if number(1 + _ratio(values), 4) in ("1", "1.000"):
        return f"{scale}√((1 + δ²/2)/N)"
    return f"{scale}√((1 + δ²/2r²)/rN)"


def _one_blocks(values: Values) -> list[Block]:
    run = _one_run(values)
    figure, beyond = _one_figure(values, run)
    own, gamma = whole(values, "batch_size"), real(values, "gamma")
    delta = (real(values, "probe") - real(values, "mu")) / real(values, "sigma")
    k = list(run.sizes).index(own)
    here, theory = run.outputs[k], run.theory[k]
    std = float(here.std(ddof=1))
    lines = [
        f"In batches of **{own}** the sample comes out as {number(float(here.mean()))} ± {number(std)} over {_PLACEMENTS} "
        f"batches"
    ]
    lines[0] += f" (exactly {number(theory.mean)} ± {number(theory.std)})"
    if math.isfinite(run.eval_output[k]):
        lines[0] += (
            f", in evaluation as **{number(float(run.eval_output[k]))}** (expected {number(float(run.eval_expected[k]))}): "
            "one value, whatever the company."
        )
    else:
        lines[0] += "; a batch of one leaves evaluation no variance to work with."
    if own == 1 and values["in_batch"]:
        lines.append("A value less its own mean is 0, so every sample comes out as β.")
    exact = np.array([t.std for t in run.theory])
    stds = run.outputs.std(axis=1, ddof=1)
    wild = _wild(values, run)
    steady = ~wild & (exact > 0)
    means = float(np.max(np.abs(run.mean_std * np.sqrt(run.sizes) - 1)))
    if steady.any():
        worst = float(np.max(np.abs(stds[steady] / exact[steady] - 1)))
        last, r = int(run.sizes[-1]), 1 + _ratio(values)
        ratio = float(exact[-1] / scatter_asymptote(last, delta, gamma, r - 1))
        lines.append(
            f"The measured standard deviations of the output are within {number(100 * worst, 2)}% of the exact ones, those of "
            f"the batch mean within {number(100 * means, 2)}%, where "
            f"{_PLACEMENTS} normal draws err by {number(100 / math.sqrt(2 * _PLACEMENTS - 2), 2)}%"
            + ("." if values["in_batch"] else " and the heavy tails of small batches by more.")
        )
        formula, share, given = _formula(values), "δ²/2", f"δ = (x − μ)/σ = {number(delta)}"
        if "r" in formula:
            share, given = "δ²/2r²", f"{given} and r = 1 + ε/σ² = {number(r, 4)}"
        formula = f"{formula} with {given}"
        if abs(ratio - 1) < 0.1:
            lines.append(
                f"At N = {last} the exact one of the output is {number(ratio, 4)} times {formula}: the batch mean brings the 1, "
                f"the batch's standard deviation the {share} = {number(delta * delta / (2 * r * r))}. Four times the batch for "
                "half the scatter."
            )
        else:
            lines.append(
                f"At N = {last} the exact one is still only {number(ratio)} times {formula}: the sample lies so far out that it "
                f"makes up the variance of its own batch, and comes out near √(N − 1)·|γ| in size, here at most "
                f"{number(abs(gamma) * math.sqrt(own - 1))}."
            )
    lines.append(
        f"The batch mean itself scatters by {number(float(run.mean_std[k]))} σ at N = {own}; 1/√N is "
        f"{number(1 / math.sqrt(own))}. This is the noise that BatchNorm brings into training."
    )
    if wild.any():
        sizes, first = run.sizes[wild], run.outputs[wild][0]
        lines.append(
            "A sample outside its batch has a finite standard deviation at N = "
            f"{' and '.join(map(str, sizes))} only thanks to ε, of exactly {' and '.join(map(number, exact[wild]))}: a batch "
            "whose values lie close together, or of one value, is divided by little more than √ε. "
            f"At N = {sizes[0]} the sample comes out from {number(float(first.min()))} to {number(float(first.max()))}. "
            "Bands end at the edge of the panel" + (f", and {beyond} dots lie beyond it." if beyond else ".")
        )
    return [
        "How much does a sample's output depend on the company it is normalized in? Its training output in "
        f"{_PLACEMENTS} batches of every size, against its one output in evaluation.",
        figure,
        " ".join(lines),
        *_elsewhere(values),
    ]


# N or N − 1


@lru_cache(maxsize=16)
def _stacked_spec(width: int) -> Spec:
    inner = width - (165 if width < NARROW else 170)
    x = alt.X(
        "layer:Q",
        title="BatchNorm layers",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, format="d", labelExpr="datum.value % 1 ? '' : datum.label"),
    )
    y = alt.Y("scale:Q", title=None, scale=alt.Scale(nice=False))
    base = alt.Chart(named("lines"))
    layers: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y),
        base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
        ),
        _labels("ends", inner, y),
        _heading("stack"),
    ]
    return assemble(compose.layer(*layers, width=inner, height=300), theme.config())


@keep(entries=64)
def _stack(size: int, layers: int, convention: str, seed: int) -> tuple[Array, Array]:
    """Return measured and theoretical scale of evaluation over training behind every layer, (layers+1,) each."""
    return (
        stack_scale(size, layers, convention=convention, eps=_STACK_EPS, seed=seed),
        stack_scale_theory(size, layers, convention=convention),
    )


def _kinds() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the conventions that store the unbiased variance, and those that store the biased one."""
    names = tuple(BATCHNORM_CONVENTIONS)
    unbiased = tuple(name for name in names if BATCHNORM_CONVENTIONS[name].unbiased)
    return unbiased, tuple(name for name in names if name not in unbiased)


def _stacked_blocks(values: Values) -> list[Block]:
    own, layers = whole(values, "batch_size"), whole(values, "size_layers")
    seed = whole(values, "seed")
    unbiased, biased = _kinds()
    sizes = sorted({*_STACKED, *((own,) if own > 1 else ())})
    hues = dict(zip(_STACKED, ("vermilion", "ochre", "green", "purple"), strict=True))
    reference = max(own, 2)
    runs = {n: _stack(n, layers, unbiased[0], seed) for n in sizes}
    flat = _stack(reference, layers, biased[0], seed)
    layer = np.arange(layers + 1, dtype=np.int16)
    dotted = layer % max(1, layers // 20) == 0
    parts: list[Part] = []
    ends: list[tuple[str, float, int]] = []
    for name, (measured, theory), slot, dash in (
        *((f"N = {n}", runs[n], theme.SLOTS["blue"] if n == own else theme.SLOTS[hues[n]], 0) for n in sizes),
        (f"{', '.join(biased)}", flat, theme.INK, 1),
    ):
        parts.append(
            {"layer": layer, "scale": measured, "theory": np.where(dotted, theory, np.nan), "name": name,
             "slot": np.int8(slot), "dash": np.int8(dash)}
        )  # fmt: skip
        ends.append((f"{name}: {number(float(measured[-1]))}", float(measured[-1]), slot))
    top = 1.02 * max(float(run[0].max()) for run in (*runs.values(), flat))
    gaps = {n: float(np.max(np.abs(run[0] / run[1] - 1))) for n, run in runs.items()}
    worst = max(gaps, key=gaps.__getitem__)
    figure = Figure(
        name="batchnorm/stacked",
        build=_stacked_spec,
        data={
            "lines": rows(*parts),
            "extent": rows(scale=[0.0, top]),
            "ends": rows(
                scale=spread(np.array([end for _, end, _ in ends]), 0.07 * top, 0.0, top),
                label=[label for label, *_ in ends],
                slot=[slot for *_, slot in ends],
            ),
            "titles": rows(stack=["Scale of evaluation over that of training"]),
        },
        title="BatchNorm on BatchNorm",
        caption=(
            f"{counted(layers, 'layer')}, one on the other; batch sizes {', '.join(map(str, sizes))} with the stored variance "
            f"of {_spoken(unbiased)} (N − 1), and {reference} with that of {_spoken(biased)} (N); 4 batches of N(0, 1) "
            f"in 16 features, running statistics averaged over them, then evaluated; root of the variance within "
            f"batches; γ 1, β 0, ε {number(_STACK_EPS)}; seed {seed}."
        ),
        key="Small dots: ((N − 1)/N)^(l/2) behind l layers, and 1.",
        alt="Scale of evaluation over that of training against the number of BatchNorm layers, one line a batch size.",
    )
    shown = own if own > 1 else 64
    run = runs[shown]
    needed = batch_size_for(0.95, layers)
    text = (
        f"At N = **{shown}** and {counted(layers, 'layer')} evaluation comes out at **{number(float(run[0][-1]))}** of the "
        f"scale of training; ({shown - 1}/{shown})^{number(layers / 2)} is {number(float(run[1][-1]))}. "
    )
    if shown != 64:
        text += f"At N = 64 it is {number(float(runs[64][0][-1]))}. "
    text += (
        f"Every layer leaves a variance of 1 (N) behind in training and stores N/(N − 1) of it, so evaluation divides by a "
        f"little too much, layer after layer. {_spoken(biased)} store what training used and stay at "
        f"{number(float(flat[0][-1]), 4)}. To lose less than 5% over {counted(layers, 'layer')} takes N ≥ {needed}. The "
        f"dots leave ε out; the lines are farthest from them at N = {worst}, by {number(100 * gaps[worst], 2)}%. N counts "
        "values per feature, so in a "
        "convolution it is batch size times positions, and rarely small."
    )
    if own == 1:
        text += " The page's batch of one has no unbiased variance, and no line."
    return [
        "Does it matter? Normalize what is normalized already, many times, then evaluate the same batches:",
        figure,
        text,
    ]


def _cell(value: float, digits: int = 8) -> str:
    return "0/0, nothing" if math.isnan(value) else number(value, digits)


def _example_blocks(values: Values) -> list[Block]:
    name = word(values, "size_example")
    batch = EXAMPLES[name]
    found = {key: stored_step(batch, key) for key in BATCHNORM_CONVENTIONS}
    lines = [
        [
            f"**{key}**",
            "averages, a = 1/t" if rule.momentum is None else number(rule.momentum),
            number(step.weight),
            number(step.eps),
            number(step.batch_var, 8),
            _cell(step.stored_var),
            number(step.running_mean, 8),
            f"**{number(step.running_var, 8)}**",
        ]
        for (key, rule), step in zip(BATCHNORM_CONVENTIONS.items(), found.values(), strict=True)
    ]
    head = (
        *("", "its momentum", "weight a of the new batch", "ε", "training uses (N)", "handed to the running variance"),
        *("running mean, from 0", "running variance, from 1"),
    )  # fmt: skip
    text = (
        f"Which variance is stored, N or N − 1? One step with the batch **{name}** (mean {number(float(np.mean(batch)))}), "
        "each convention with its own defaults:\n\n" + table(head, lines) + "\n\n"
    )
    unbiased, biased = _kinds()
    size = len(batch)
    if size == 1:
        text += (
            f"One value has no unbiased variance. For {_spoken(unbiased)} the running variance stays as it was; "
            f"{_spoken(biased)} store a variance of 0."
        )
    else:
        bessel = size / (size - 1)
        text += (
            f"All four normalize with the same variance. {_spoken(unbiased)} store {number(bessel)} times as much, "
            f"N/(N − 1) with N = {size}; {_spoken(biased)} store the batch's own, and differ in the weight and in ε."
        )
        if not any(step.batch_var for step in found.values()):
            text += " Of a constant batch all store 0."
    return [text]


def _offset_blocks(values: Values) -> list[Block]:
    name = word(values, "size_example")
    found = {offset: variance_ways(EXAMPLES[name], offset) for offset in _OFFSETS}
    lines = [
        [
            number(offset),
            number(v.exact, 6),
            number(v.two_passes, 6),
            number(v.squares, 6),
            number(v.squares_float32, 6),
            number(v.error, 2),
        ]
        for offset, v in found.items()
    ]
    head = (
        *("offset", "exact variance (N)", "two passes, as here", "E[x²] − E[x]²", "the same in float32"),
        "largest error of our outputs",
    )

    def first(column: str) -> str:
        wrong = [o for o, v in found.items() if abs(getattr(v, column) - v.exact) > 0.01 * abs(v.exact)]
        return f"at an offset of {number(wrong[0])}" if wrong else "at none of these offsets"

    error = max(abs(v.two_passes - v.exact) for v in found.values())
    passes = f"Two passes are off by {number(error, 2)} at most." if error else "Two passes give it exactly."
    lowest = min(min(v.squares, v.squares_float32) for v in found.values())
    negative = f" It even comes out as {number(lowest)}, and its root as NaN." if lowest < 0 else ""
    return [
        f"**Huge offsets.** The batch {name} plus an offset has the variance of the batch, but for the rounding of its "
        "values. E[x²] − E[x]² saves a pass over the data, but subtracts two large numbers that agree in most digits: "
        f"it is first off by more than 1% {first('squares_float32')} in float32 and {first('squares')} in float64."
        f"{negative} {passes}\n\n" + table(head, lines)
    ]


def _variance_blocks(values: Values) -> list[Block]:
    return [*_example_blocks(values), *_stacked_blocks(values), *_offset_blocks(values)]


# A batch of one


@lru_cache(maxsize=16)
def _single_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 145 if narrow else round((width - 290) / 2)

    def panel(name: str) -> Panel:
        x = alt.X(
            "step:Q",
            title="batches of one",
            scale=alt.Scale(nice=False, zero=False),
            axis=alt.Axis(grid=False, tickMinStep=1),
        )
        y = _log(f"{name}:Q")
        base = alt.Chart(named("steps"))
        expected = base.transform_filter(f"isValid(datum.{name}_theory)")
        theory: dict[str, Any] = {"x": x, "y": _log(f"{name}_theory:Q"), "color": theme.color()}
        rules = alt.Chart(named(f"{name}_rules"))
        layers = [
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y),
            rules.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(
                y=y, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            expected.mark_line(strokeWidth=0.8, opacity=0.5).encode(detail="name:N", **theory),
            base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            expected.mark_point(filled=True, size=theme.DOT, opacity=1).encode(**theory),
            _labels(f"{name}_ends", inner, y),
            _heading(name),
        ]
        return compose.layer(*layers, width=inner, height=240 if narrow else 300, name=name)

    panels = [panel("variance"), panel("output")]
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


@keep(entries=8)
def _ones(
    steps: int,
    mu: float,
    sigma: float,
    probe: float,
    gamma: float,
    beta: float,
    running_mean: float,
    running_var: float,
    seed: int,
) -> dict[str, Ones]:
    """Return, by convention with its own defaults, a stream of batches of one, and what to expect."""
    shared: dict[str, Any] = {
        "mu": mu, "sigma": sigma, "batch_size": 1, "steps": steps, "probe": probe, "gamma": gamma, "beta": beta,
        "running_mean": running_mean, "running_var": running_var,
    }  # fmt: skip
    found = {}
    for name in BATCHNORM_CONVENTIONS:
        theory = stream_batches_theory(convention=name, **shared)
        stream = stream_batches(convention=name, in_batch=True, seed=seed, **shared)
        found[name] = (stream, theory)
    return found


def _single_table(values: Values, runs: Mapping[str, Ones]) -> list[Block]:
    steps, beta = whole(values, "size_ones"), real(values, "beta")
    lines = []
    for name, (stream, _) in runs.items():
        undefined = int(stream.undefined.sum())
        handed = f"0/0, {counted(undefined, 'time')}" if undefined else "0"
        outputs = np.unique(stream.train_output)
        lines.append(
            [
                f"**{name}**",
                ", ".join(number(float(y)) for y in outputs),
                handed,
                number(float(stream.running_mean[-1])),
                number(float(stream.running_var[-1])),
                f"**{number(float(stream.eval_output[-1]))}**",
            ]
        )
    head = (
        *("", "training outputs", "handed to the running variance", "running mean", "running variance"),
        f"evaluation of x = {number(real(values, 'probe'))}",
    )
    batch, layer = one_sample_outputs(
        _SAMPLE, gamma=real(values, "gamma"), beta=beta, eps=real(values, "eps")
    )
    size = f"torch.Size([1, {len(_SAMPLE)}])"

    def listed(outputs: Sequence[float] | Array) -> str:
        return ", ".join(number(float(y)) for y in outputs)

    return [
        f"What is left of a sample that is normalized with itself alone? Its own mean is all there is to take away, so "
        f"training gives β = {number(beta)} whatever x was, and the unbiased variance is 0/0. PyTorch refuses: "
        f"`ValueError: Expected more than 1 value per channel when training, got input size {size}`. Here the batch goes "
        "through: the running mean moves, an undefined variance leaves the running variance as it was and is counted. "
        f"After {steps} such batches:\n\n" + table(head, lines) + "\n\n"
        f"LayerNorm has no such trouble: one sample with the features {listed(_SAMPLE)} comes out of it as {listed(layer)}, "
        f"of BatchNorm as {listed(batch)}."
    ]


def _single_figure(values: Values, runs: Mapping[str, Ones]) -> Figure:
    beta, gamma = real(values, "beta"), real(values, "gamma")
    steps = whole(values, "size_ones")
    shown = np.unique(np.linspace(0, steps, 81).round().astype(int))
    dotted = np.isin(shown, np.unique(np.linspace(0, steps, 17).round().astype(int)))
    parts: list[Part] = []
    for name, (stream, theory) in runs.items():
        parts.append(
            {
                "step": shown.astype(np.int16),
                "variance": stream.running_var[shown],
                "variance_theory": np.where(dotted, theory.running_var[shown], np.nan),
                "output": np.abs(stream.eval_output[shown] - beta),
                "output_theory": np.where(dotted, np.abs(theory.eval_output[shown] - beta), np.nan),
                "name": name,
                "slot": np.int8(STYLES[name].slot),
                "dash": np.int8(STYLES[name].dash),
            }
        )
    frame = rows(*parts)
    truth = abs(gamma) * abs(real(values, "probe") - real(values, "mu")) / real(values, "sigma")
    floors: dict[float, list[str]] = {}
    for name in _kinds()[1]:
        floors.setdefault(BATCHNORM_CONVENTIONS[name].eps, []).append(name)
    true_var = real(values, "sigma") ** 2
    rules = {
        "variance": [
            *((eps, f"ε of {', '.join(names)}") for eps, names in floors.items()),
            (true_var, "truth σ²"),
        ],
        "output": [(truth, "truth")],
    }
    extent, zeros = {}, False
    for name, marks in rules.items():
        columns = (name, f"{name}_theory")
        cells = {column: frame.numbers(column) for column in columns}
        extent[name] = _extent(*cells.values(), np.array([y for y, _ in marks]))
        zeros = zeros or any(bool((column == 0).any()) for column in cells.values())
        drawn = {c: np.where(column == 0, extent[name][0], _visible(column)) for c, column in cells.items()}
        frame = beside(frame, **drawn)
    return Figure(
        name="batchnorm/batch_of_one",
        build=_single_spec,
        data={
            "steps": frame,
            **{
                f"{name}_ends": _end_rows(name, runs, beta, marks, extent[name])
                for name, marks in rules.items()
            },
            "extent": rows(**{name: list(ends) for name, ends in extent.items()}),
            **{
                f"{name}_rules": rows(
                    **{name: [y if y > 0 else extent[name][0] for y, _ in marks]},
                    shown=[y > 0 for y, _ in marks],
                )
                for name, marks in rules.items()
            },
            "titles": rows(
                variance=["Running variance"],
                output=[f"Evaluation of x = {number(real(values, 'probe'))}, distance from β"],
            ),
        },
        title="Evaluation after batches of one",
        caption=(
            f"{steps} batches of one value of N({number(real(values, 'mu'))}, {number(real(values, 'sigma'))}²), no drift; "
            "every convention with its own defaults: "
            + "; ".join(_defaults(name) for name in runs)
            + f"; running statistics start at ({number(real(values, 'running_mean'))}, "
            f"{number(real(values, 'running_var'))}); γ {number(gamma)}, β {number(beta)}; seed {values['seed']}."
        ),
        key="Small dots on faint lines: expected running variance, (1 − a)ᵗ of the start where 0 is stored, and the output that "
        "the expected statistics give." + (" A value of 0 is drawn at the lower edge." if zeros else ""),
        alt="Running variance and evaluation output of one sample against the number of batches of one, by convention.",
    )


def _end_rows(
    name: str,
    runs: Mapping[str, Ones],
    beta: float,
    marks: Sequence[tuple[float, str]],
    extent: tuple[float, float],
) -> Frame:
    """Name the lines and the rules of one panel at their right ends."""
    ends = [
        float(stream.running_var[-1] if name == "variance" else abs(stream.eval_output[-1] - beta))
        for stream, _ in runs.values()
    ]
    labels = [f"{key}: 0" if end == 0 else key for key, end in zip(runs, ends, strict=True)]
    return rows(
        **{name: _placed(np.array([*ends, *(y for y, _ in marks)]), *extent)},
        label=[*labels, *(label if y > 0 else f"{label}: 0" for y, label in marks)],
        slot=[*(STYLES[key].slot for key in runs), *([theme.MUTED] * len(marks))],
    )


def _defaults(name: str) -> str:
    rule = BATCHNORM_CONVENTIONS[name]
    weight = rule.fixed_weight()
    return f"{name} a {'1/t' if weight is None else number(weight)}, ε {number(rule.eps)}"


def _single_reading(values: Values, runs: Mapping[str, Ones]) -> str:
    gamma, beta, steps = real(values, "gamma"), real(values, "beta"), whole(values, "size_ones")
    apart = real(values, "probe") - real(values, "mu")
    sigma = real(values, "sigma")
    unbiased, biased = _kinds()
    start = real(values, "running_var")
    sentences = [
        f"With the true mean and variance the sample would come out as {number(gamma * apart / sigma + beta)}."
    ]
    for name in biased:
        rule = BATCHNORM_CONVENTIONS[name]
        keep = 1 - rule.new_weight()
        stream, theory = runs[name]
        noise = abs(gamma) * float(theory.running_mean_std[-1]) / math.sqrt(theory.running_var[-1] + rule.eps)
        away = abs(float(stream.running_var[-1]) - float(theory.running_var[-1]))
        sentences.append(
            f"In {name} every batch hands over a variance of 0: "
            + (
                f"{number(keep)}^{steps} = {number(keep**steps)} of the start is left"
                if start
                else "the start is 0 already"
            )
            + f", and evaluation gives **{number(float(stream.eval_output[-1]))}** "
            f"(expected statistics give {number(float(theory.eval_output[-1]))}, and the running mean's noise ± "
            f"{number(noise)} about it), on the way to "
            f"γ(x − μ)/√ε + β = {number(gamma * apart / math.sqrt(rule.eps) + beta)}"
            + (
                f" (running variance off its closed form by {number(away, 2)})."
                if away > 1e-9 * start
                else "."
            )
        )
    stuck = runs[unbiased[0]][0]
    sentences.append(
        f"In {_spoken(unbiased)} the running variance stays at {number(float(stuck.running_var[-1]))}, where the truth is "
        f"{number(sigma**2)}: the scale of evaluation is whatever it started with, and only the mean is learned."
    )
    return " ".join(sentences)


# Hard inputs


@keep(entries=16)
def _hard(gamma: float, beta: float) -> dict[str, HardOutcome]:
    return {name: hard_outcome(name, gamma=gamma, beta=beta) for name in HARD_INPUTS}


def _hard_table(gamma: float, beta: float) -> str:
    found = _hard(gamma, beta)
    lines = []
    for name, outcome in found.items():
        outputs = [number(float(y)) for y in outcome.train]
        lines.append(
            [
                f"**{name}**",
                f"{outputs[0]} throughout" if len(set(outputs)) == 1 else ", ".join(outputs),
                f"{number(outcome.running_mean)}, {number(outcome.running_var)}",
                number(outcome.after),
                number(outcome.later),
                "as without it" if outcome.neighbor_same else "changed",
            ]
        )
    head = (
        *("batch of four", "training output", "running mean, variance", "evaluation right after"),
        *(f"{HARD_LATER} batches later", "the other feature"),
    )
    before = next(iter(found.values())).before
    poisoned = [name for name, outcome in found.items() if not math.isfinite(outcome.later)]
    never = [name for name, outcome in found.items() if math.isinf(outcome.running_var)]
    text = (
        f"**Hard inputs.** {HARD_BEFORE} ordinary batches of four N(0, 1) values, then one hard batch in one of two features, "
        f"then {HARD_LATER} ordinary ones; PyTorch's convention, γ {number(gamma)}, β {number(beta)}, ε 1e−5 unless it "
        f"says otherwise. Evaluation of the sample 1 gave {number(before)} before the hard batch.\n\n"
        + table(head, lines)
    )
    if poisoned:
        text += (
            f"\n\nAfter {_quoted(poisoned)} the running statistics of that feature never recover: "
            "(1 − a)·NaN + a·x is NaN. Reset them, or keep such batches away from the update."
        )
    if never:
        text += f" After {_quoted(never)} the running variance has overflowed to ∞, and evaluation gives β for every sample."
    return text


def _single_blocks(values: Values) -> list[Block]:
    steps = whole(values, "size_ones")
    mu, sigma, probe, gamma, beta, mean, var = (
        real(values, name)
        for name in ("mu", "sigma", "probe", "gamma", "beta", "running_mean", "running_var")
    )
    runs = _ones(steps, mu, sigma, probe, gamma, beta, mean, var, whole(values, "seed"))
    return [
        *_single_table(values, runs),
        _single_figure(values, runs),
        _single_reading(values, runs),
        *_elsewhere(values),
        _hard_table(gamma, beta),
    ]


# The tab


SIZE_VIEWS: Mapping[str, Callable[[Values], Sequence[Block]]] = {
    "one sample": _one_blocks,
    "N or N − 1": _variance_blocks,
    "batch of one": _single_blocks,
}
SIZE_VIEW_KNOBS: Mapping[str, tuple[str, ...]] = {
    "one sample": (),
    "N or N − 1": ("size_example", "size_layers"),
    "batch of one": ("size_ones",),
}
