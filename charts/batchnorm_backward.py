"""The Backward tab of the BatchNorm page, and the identity and folding below its Why."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.batchnorm_algebra import (
    GradientScale,
    GradientTerms,
    finite_difference,
    fold,
    gradient_scale,
    gradient_terms,
    identity_error,
    identity_error_theory,
    identity_parameters,
)
from core.kept import keep
from core.knobs import Knob, latex, number
from core.normalization import RunningStats, batch_statistics, normalize, normalize_batch
from core.special import normal_cdf
from core.streams import stream

Array = np.ndarray

_PLACE = 7  # of this module's random streams, (7, 0), (7, 1), …; the page's own batches have (1,), (2,), …
_BATCH, _UPSTREAM, _RANGE, _IDENTITY, _FOLD = range(5)
_VALUES = 10_000  # whose output range is measured
_SCALES = 41
_BAR = 0.2  # width of a bar where a sample has width 1
_STEEP = -2.5  # power of σ below which a gradient is said to follow 1/σ³
_NEGLIGIBLE = 1e-9  # of the direct term: below this the gradient is rounding

# Registries of the two choices


@dataclass(frozen=True)
class ExampleBatch:
    """A small batch: ``draw(mu, sigma, seed)`` gives its samples (N,); ``says(mu, sigma, seed)`` names it in a caption."""

    name: str
    draw: Callable[[float, float, int], Array]
    says: Callable[[float, float, int], str]


@dataclass(frozen=True)
class Upstream:
    """A gradient at the output: ``draw(terms of dy = 0, seed)`` gives dy (N,), ``lesson`` says what comes of it."""

    name: str
    draw: Callable[[Array, int], Array]
    says: Callable[[int], str]
    lesson: Callable[[GradientTerms], str]


def _fixed(*samples: float) -> Callable[[float, float, int], Array]:
    return lambda mu, sigma, seed: np.array(samples)


def _drawn(mu: float, sigma: float, seed: int) -> Array:
    return np.round(mu + sigma * stream(seed, _PLACE, _BATCH).standard_normal(4), 2)


def _listed(values: Sequence[float] | Array) -> str:
    return ", ".join(number(float(v)) for v in values)


def _plain(mu: float, sigma: float, seed: int) -> str:
    return ""


def _leaks(terms: GradientTerms) -> str:
    return (
        f"Only the first output has a gradient, yet dL/dx is {_listed(terms.dx[1:])} at the others: through mean and "
        f"variance they had a part in that output. The first sample gets {number(float(terms.dx[0]))} instead of the direct "
        f"{number(float(terms.direct[0]))}."
    )


def _mixed(terms: GradientTerms) -> str:
    kept = float(np.linalg.norm(terms.dx) / np.linalg.norm(terms.direct)) if terms.factor else 0.0
    return f"Mean and variance together leave {number(kept)} of the direct gradient's norm."


def _shifts(terms: GradientTerms) -> str:
    return (
        "dy = 1 everywhere asks to move all outputs together. A shift of the whole batch leaves y as it is, so nothing comes "
        f"through: the largest |dL/dx| is {number(float(np.abs(terms.dx).max()))}. It reaches β alone, with dL/dβ = "
        f"{number(terms.dbeta)}."
    )


def _stretches(terms: GradientTerms) -> str:
    return (
        "dy = x̂ asks to stretch the batch. A stretch leaves y as it is but for ε: what comes through is ε/(σ² + ε) = "
        f"{number(terms.eps / (terms.var + terms.eps))} of the direct term. It reaches γ, with dL/dγ = {number(terms.dgamma)}."
    )


def _stopped(terms: GradientTerms) -> str:
    return (
        "γ = 0 lets nothing through to the samples; γ itself gets dL/dγ = "
        f"{number(terms.dgamma)} and β dL/dβ = {number(terms.dbeta)}."
    )


BATCHES = {
    batch.name: batch
    for batch in (
        ExampleBatch("1, 2, 4, 9", _fixed(1.0, 2.0, 4.0, 9.0), _plain),
        ExampleBatch(
            "four random values",
            _drawn,
            lambda mu, sigma, seed: (
                f" drawn from N({number(mu)}, {number(sigma)}²), to two decimals, seed {seed}"
            ),
        ),
        ExampleBatch("one outlier", _fixed(4.0, 5.0, 6.0, 7.0, 40.0), _plain),
        ExampleBatch("nearly constant", _fixed(5.0, 5.001, 4.999, 5.0005), _plain),
    )
}
UPSTREAMS = {
    upstream.name: upstream
    for upstream in (
        Upstream("first sample only", lambda normal, seed: np.eye(len(normal))[0], lambda _: "", _leaks),
        Upstream(
            "random",
            lambda normal, seed: np.round(stream(seed, _PLACE, _UPSTREAM).standard_normal(len(normal)), 2),
            lambda seed: f" drawn from N(0, 1), to two decimals, seed {seed}",
            _mixed,
        ),
        Upstream("1 everywhere", lambda normal, seed: np.ones(len(normal)), lambda _: "", _shifts),
        Upstream("x̂ itself", lambda normal, seed: normal, lambda _: "", _stretches),
    )
}

BACKWARD_KNOBS = (
    Knob("back_batch", "choice", "1, 2, 4, 9", label="Batch", choices=tuple(BATCHES)),
    Knob("back_dy", "choice", "first sample only", label="Gradient at the output", choices=tuple(UPSTREAMS), symbol="dy"),
)  # fmt: skip


# The three terms

_TERMS = (
    ("direct", "direct", "blue"),
    ("through_mean", "through mean", "vermilion"),
    ("through_var", "through variance", "green"),
)
_SUM = "purple"


@lru_cache(maxsize=16)
def _terms_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 96 if narrow else round((width - 250) * 0.62)
    right = width - 126 if narrow else width - 250 - left
    tall = 230 if narrow else 260

    def heading(name: str, up: float = -8) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(up), text=f"{name}:N", color=theme.ink("ink"))
        )

    x = alt.X("left:Q", axis=None, scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("start:Q", title=None, axis=alt.Axis(tickCount=5))
    end = alt.Y("end:Q")
    zero = (
        alt.Chart(named("zero")).mark_rule(strokeWidth=1).encode(y=alt.Y("zero:Q"), color=theme.ink("muted"))
    )
    terms = alt.Chart(named("terms"))
    layers = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y),
        terms.mark_rule(strokeWidth=1.2).encode(x=x, x2="next:Q", y=end, color=theme.color()),
        terms.mark_rect(opacity=0.85).encode(
            x=x,
            x2="right:Q",
            y=y,
            y2="end:Q",
            color=theme.color(),
            tooltip=[alt.Tooltip("term:N"), alt.Tooltip("size:Q", format=".4g"), alt.Tooltip("sample:N")],
        ),
        zero,
        alt.Chart(named("samples"))
        .mark_point(filled=True, size=2 * theme.DOT, opacity=1)
        .encode(x=alt.X("sum_at:Q"), y=alt.Y("measured:Q"), color=theme.ink("ink")),
        heading("terms", -28),
    ]
    offsets = (0, 38, 124, 230) if narrow else (0, 52, 146, 262)
    for offset, (text, use) in zip(
        offsets, [*((label, use) for _, label, use in _TERMS), ("sum", _SUM)], strict=True
    ):
        layers.append(
            alt.Chart(named("zero"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.SMALL_SIZE + 0.5, fontWeight=600)
            .encode(
                x=alt.value(offset), y=alt.value(-9), text=alt.TextValue(text), color=theme.ink(use)
            )  # the same words in every run
        )
    # A little table below the bars, row by row.
    for row, (field, text) in enumerate((("x", "x"), ("normal", "x̂"), ("dy", "dy"), ("dx", "dL/dx"))):
        down = tall + 16 + 17 * row
        use = _SUM if field == "dx" else "ink"
        layers.append(
            alt.Chart(named("samples"))
            .mark_text(baseline="middle", fontSize=theme.SMALL_SIZE, clip=False)
            .encode(x=alt.X("center:Q"), y=alt.value(down), text=f"{field}:N", color=theme.ink(use))
        )
        layers.append(
            alt.Chart(named("zero"))
            .mark_text(align="right", baseline="middle", fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(-4), y=alt.value(down), text=alt.TextValue(text), color=theme.ink("muted"))
        )
    bars = compose.layer(*layers, width=left, height=tall, name="bars")

    normal = alt.X(
        "normal:Q",
        title="normalized sample",
        scale=alt.Scale(nice=False, padding=14),
        axis=alt.Axis(grid=False, tickCount=5, offset=8),
    )
    value = alt.Y("dy:Q", title=None, scale=alt.Scale(padding=10), axis=alt.Axis(tickCount=5))
    points = alt.Chart(named("points"))
    fit = alt.Chart(named("fit"))
    removed = compose.layer(
        zero.encode(y=alt.Y("zero:Q")),
        fit.transform_filter("datum.line").mark_line().encode(x=normal, y=value, color=theme.color()),
        fit.transform_filter("!datum.line")
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=normal, y=value, color=theme.ink("ink"), opacity=theme.SHOWN),
        points.mark_rule(strokeWidth=2.4).encode(x=normal, y=value, y2="fitted:Q", color=theme.ink(_SUM)),
        points.mark_point(filled=True, size=46, opacity=1).encode(
            x=normal, y=value, color=theme.color(), tooltip=[alt.Tooltip("sample:N")]
        ),
        alt.Chart(named("fit_end"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5, lineBreak="\n")
        .encode(x=alt.value(right), y=value, text="label:N", color=theme.color()),
        heading("removed", -28),
        width=right,
        height=tall + (0 if narrow else 40),
        name="removed",
    )
    join, gap = (compose.below, None) if narrow else (compose.beside, 60)
    return assemble(join(bars, removed, spacing=gap, resolve={"color": "shared"}), theme.config())


def _quoted(value: float) -> str:
    """Write a number with four digits that may follow an operator."""
    return f"({number(value, 4)})" if value < 0 else number(value, 4)


def _short(values: Array) -> list[str]:
    """Write numbers for a narrow column."""
    return [number(float(v), 3 if abs(v) >= 0.001 else 2) for v in values]


def _settled(value: float, size: float) -> float:
    """Return a sum of terms of that size, 0 where it is nothing but rounding."""
    return value if abs(value) > 1e-14 * size else 0.0


def _terms_figure(x: Array, terms: GradientTerms, measured: Array, setting: str) -> Figure:
    size = len(x)
    center = np.arange(1, size + 1)
    names = [f"x = {number(float(v), 5)}" for v in x]
    parts: list[Part] = []
    start = np.zeros(size)
    for place, (field, label, use) in enumerate(_TERMS):
        term = np.asarray(getattr(terms, field))
        left = center + (place - 2) * _BAR
        parts.append(_bars(names, label, left, start, start + term, term, use, next_bar=True))
        start = start + term
    parts.append(
        _bars(names, "dL/dx", center + _BAR, np.zeros(size), terms.dx, terms.dx, _SUM, next_bar=False)
    )
    tops = np.concatenate([np.asarray(part["end"]) for part in parts])
    high, low = max(float(tops.max()), 0.0), min(float(tops.min()), 0.0)
    if high - low == 0:
        high, low = 1.0, -1.0
    first, last = float(terms.normal.min()), float(terms.normal.max())
    ends = np.array([first, last])
    mean, slope, best = terms.mean_dy, terms.slope, terms.least_squares_slope
    shown = math.isfinite(best)
    grid = np.linspace(first, last, 13)
    return Figure(
        name="batchnorm/backward",
        build=_terms_spec,
        data={
            "terms": rows(*parts),
            "reach": rows(left=[0.5, size + 0.5], start=[low, high]),
            "zero": rows(zero=[0.0]),
            "samples": rows(
                center=center,
                sum_at=center + 1.43 * _BAR,
                measured=measured,
                x=[number(float(v), 5) for v in x],
                normal=_short(terms.normal),
                dy=_short(terms.upstream),
                dx=_short(terms.dx),
            ),
            "points": rows(
                normal=terms.normal,
                dy=terms.upstream,
                fitted=mean + slope * terms.normal,
                sample=names,
                slot=theme.SLOTS["blue"],
            ),
            "fit": rows(
                {"normal": ends, "dy": mean + slope * ends, "line": True, "shown": True, "slot": theme.SLOTS["green"]},
                {"normal": grid, "dy": mean + (best if shown else 0.0) * grid, "line": False, "shown": shown,
                 "slot": theme.INK},
            ),
            "fit_end": rows(
                dy=[mean + slope * last], label=["mean and\nvariance"], slot=theme.SLOTS["green"]
            ),
            "titles": rows(
                terms=["dL/dx of each sample, path by path"], removed=["dy, and what is taken out of it"]
            ),
        },
        title="The gradient of batch normalization in three terms",
        caption=setting,
        key=(
            "Each bar begins where the one before it ends; purple is where the three lead, dL/dx; dots: finite differences. "
            "The green line is what mean and variance take out of dy; the purple rest times γ/√(σ² + ε) is dL/dx. Small dots: "
            "least squares."
        ),
        alt="Bars of the three terms of the gradient for each sample with their sum; dy against the normalized sample, with "
        "the line that mean and variance take out.",
    )  # fmt: skip


def _bars(
    names: Sequence[str],
    term: str,
    left: Array,
    start: Array,
    end: Array,
    size: Array,
    use: str,
    *,
    next_bar: bool,
) -> Part:
    """Lay out one term's bars; a line at their end leads to the next bar where there is one."""
    return {
        "left": left,
        "right": left + 0.86 * _BAR,
        "next": left + (1.86 if next_bar else 0.86) * _BAR,
        "start": start,
        "end": end,
        "size": size,
        "term": term,
        "sample": list(names),
        "slot": np.int8(theme.SLOTS[use]),
    }


def _arithmetic(x: Array, terms: GradientTerms, measured: Array) -> str:
    """Write the formula for each sample with its numbers put in."""
    size = float(np.abs(terms.upstream).max())
    mean, slope = _quoted(_settled(terms.mean_dy, size)), _quoted(_settled(terms.slope, size))
    lines = [
        [
            number(float(sample), 5),
            f"{_quoted(terms.factor)} · ({number(float(dy), 4)} − {mean} − {_quoted(float(normal))} · {slope})",
            f"**{number(float(dx), 4)}**",
            number(float(difference), 4),
            number(float(difference - dx), 2),
        ]
        for sample, dy, normal, dx, difference in zip(
            x, terms.upstream, terms.normal, terms.dx, measured, strict=True
        )
    ]
    head = (
        "x",
        "γ/√(σ² + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂))",
        "dL/dx",
        "finite differences",
        "apart by",
    )
    return table(head, lines)


def _sums(terms: GradientTerms, measured: Array) -> str:
    exact, found = terms.sum_dx_normal_theory, terms.sum_dx_normal
    apart = float(np.abs(measured - terms.dx).max())
    share = terms.eps / (terms.var + terms.eps)
    rounding = ", nothing but rounding" if terms.sum_dx else ""
    verdict = (
        "so the gradient hardly stretches the batch either"
        if share < 0.01
        else "so with an ε this large beside σ² the gradient does stretch the batch"
    )
    stretch = (
        f", in closed form γ/√(σ² + ε) · ε/(σ² + ε) · Σ dy·x̂ = {number(exact)}: mean and variance leave ε/(σ² + ε) = "
        f"{number(share)} of what the direct term alone would give, {verdict}"
        if exact
        else ", as in closed form"
    )
    return (
        f"**Σ dL/dx = {number(terms.sum_dx, 2)}**{rounding}: the gradient never moves the batch as a whole. "
        f"**Σ dL/dx·x̂ = {number(found)}**{stretch}. Finite differences of the forward pass are off by at most "
        f"{number(apart, 2)}."
    )


def _fit_text(terms: GradientTerms) -> str:
    best = terms.least_squares_slope
    if not math.isfinite(best):
        return ""
    return (
        "Where dy is drawn against the normalized sample, these sums are the normal equations of a line through dy: for "
        "ε → 0 batch normalization passes back the residuals of a regression on x̂. "
        f"Here the slope taken out is {number(terms.slope)}, by least squares {number(best)}: "
        f"σ²/(σ² + ε) = {number(terms.var / (terms.var + terms.eps), 6)} of it."
    )


# Against the scale of the batch


@lru_cache(maxsize=16)
def _scale_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (150 if narrow else 220)
    tall = 190
    log = alt.Scale(type="log", nice=False)
    # Vega leaves labels out by their number, and the theme writes those that are left.
    axis = alt.Axis(
        labelExpr=f"datum.label === '' ? '' : {theme.POWER}", gridOpacity=theme.POWER_GRID, tickCount=7
    )
    x = alt.X("spread:Q", title="standard deviation of the batch", scale=log, axis=axis)
    y = alt.Y("norm:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=6), axis=axis)
    lines = alt.Chart(named("scale"))
    marks = alt.Chart(named("marks"))
    layers = [
        marks.mark_rule(strokeDash=[4, 4], strokeWidth=1.2).encode(x=x, color=theme.color()),
        *(
            marks.transform_filter(f"datum.row == {row}")
            .mark_text(align="right", baseline="bottom", dx=-5, fontSize=theme.SMALL_SIZE)
            .encode(x=x, y=alt.value(tall - 4 - 16 * row), text="label:N", color=theme.color())
            for row in range(2)
        ),
        lines.mark_line().encode(x=x, y=y, color=theme.color()),
        lines.transform_filter("datum.dotted")
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")),
        alt.Chart(named("end"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color()),
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="scale:N", color=theme.ink("ink")),
    ]
    return assemble(compose.layer(*layers, width=inner, height=tall), theme.config())


def _scale_figure(found: GradientScale, sigma: float, eps: float, setting: str) -> Figure:
    measured = np.where(found.norm > 0, found.norm, np.nan)
    return Figure(
        name="batchnorm/scale",
        build=_scale_spec,
        data={
            "scale": rows(
                spread=found.spread,
                norm=measured,
                theory=np.where(found.theory > 0, found.theory, np.nan),
                dotted=np.arange(len(measured)) % 2 == 0,
                slot=np.int8(theme.SLOTS[_SUM]),
            ),
            "marks": rows(
                spread=[sigma, math.sqrt(eps)],
                label=["this batch", "√ε"],
                row=[0, 1],
                slot=[theme.INK, theme.MUTED],
            ),
            "end": rows(norm=[float(found.theory[-1])], label=["norm of dL/dx"], slot=theme.SLOTS[_SUM]),
            "titles": rows(scale=["Size of dL/dx when the batch is scaled"]),
        },
        title="The gradient against the scale of the batch",
        caption=f"{setting} The batch is multiplied by factors that give it the standard deviation of the axis.",
        key="Line: computed. Small dots: closed form. Dashed: this batch, and where σ = √ε.",
        alt="Norm of the gradient at the input against the standard deviation of the batch, both logarithmic.",
    )


def _scale_text(found: GradientScale, sigma: float, eps: float) -> str:
    """Read the closed form off at the batch and at ten times the batch."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = float(np.nanmax(np.abs(found.norm / found.theory - 1)[2:]))
    ratio = float(found.norm[0] / found.norm[1])
    if sigma * sigma < eps:
        cause = "this batch is narrower than √ε, so ε and not σ rules the factor 1/√(σ² + ε)"
    elif ratio > 11:
        cause = "the factor 1/√(σ² + ε) gives ten, the rest is that less of dy escapes the variance"
    else:
        cause = "the factor is 1/√(σ² + ε), so large values get small gradients"
    root = number(math.sqrt(eps))
    # The exponent of σ at the far end of the axis: −1 where a part of dy escapes mean and variance, −3 where none does.
    power = float(np.log(found.theory[-1] / found.theory[-2]) / np.log(found.spread[-1] / found.spread[-2]))
    follows = (
        f"Below √ε = {root} the gradient no longer grows as σ falls; above, it follows 1/σ³: all of dy is mean and x̂, and "
        "ε/(σ² + ε) of it comes through"
        if power < _STEEP
        else f"Below √ε = {root} the gradient stops following 1/σ"
    )
    return (
        f"Ten times the batch, and dL/dx is divided by {number(ratio, 4)}: {cause}. {follows}. Line and closed form agree to "
        f"{number(apart, 2)} of the norm."
    )


@keep(entries=8)
def _outputs(mu: float, sigma: float, eps: float, seed: int) -> tuple[float, float, float]:
    """Return the lowest and the highest of many outputs for γ = 1 and β = 0, and the share of them from 0 to 1."""
    x = mu + sigma * stream(seed, _PLACE, _RANGE).standard_normal((_VALUES, 1))
    y, _ = normalize_batch(x, 1.0, 0.0, RunningStats.start(1), eps=eps)
    return float(y.min()), float(y.max()), float(np.mean((y >= 0) & (y <= 1)))


def _range_text(mu: float, sigma: float, eps: float, seed: int) -> str:
    low, high, share = _outputs(mu, sigma, eps, seed)
    # x̂ has spread σ/√(σ² + ε), and so 1 lies √(σ² + ε)/σ of its own spreads out.
    exact = float(normal_cdf(np.array(math.hypot(sigma, math.sqrt(eps)) / sigma))) - 0.5
    return (
        "**The outputs themselves.** The factor 1/√(σ² + ε) scales the values in the forward pass too, but it does not squeeze "
        f"them into 0–1: {_VALUES:,} values of N({number(mu)}, {number(sigma)}²) come out, with γ = 1 and β = 0, "
        f"between {number(low)} and {number(high)}; {number(100 * share)}% of them lie from 0 to 1, in theory "
        f"{number(100 * exact)}%. Nothing but ±√(N − 1) = ±{number(math.sqrt(_VALUES - 1), 4)} bounds an output of a batch "
        f"of {_VALUES:,}."
    )


def backward_blocks(values: Values) -> Sequence[Block]:
    """Show the gradient of one small batch: its three terms, its sums, its check, and how it scales.

    Reads ``back_batch`` and ``back_dy``, and the page's ``gamma``, ``eps``, ``mu``, ``sigma`` and ``seed``.
    """
    gamma, eps, mu, sigma = (real(values, name) for name in ("gamma", "eps", "mu", "sigma"))
    seed = whole(values, "seed")
    batch, source = BATCHES[word(values, "back_batch")], UPSTREAMS[word(values, "back_dy")]
    x = batch.draw(mu, sigma, seed)
    dy = source.draw(gradient_terms(x, 1.0, np.zeros(len(x)), eps).normal, seed)
    terms = gradient_terms(x, gamma, dy, eps)
    measured = finite_difference(x, gamma, dy, eps)
    setting = (
        f"Batch {_listed_exactly(x)}{batch.says(mu, sigma, seed)}; dy: {source.name}{source.says(seed)}; γ {number(gamma)}, "
        f"ε {number(eps)}; training, mean {number(terms.mean, 5)}, biased variance (N) {number(terms.var)}."
    )
    blocks: list[Block] = [
        "The same mean and variance stand in every output of a batch, so a gradient at one output comes back to all "
        "samples, by three paths. **Where do they cancel?**",
        _terms_figure(x, terms, measured, setting),
        f"{source.lesson(terms) if gamma else _stopped(terms)} {_sums(terms, measured)}",
        "As arithmetic, for each sample:\n\n" + _arithmetic(x, terms, measured),
        _fit_text(terms),
    ]
    own = math.sqrt(terms.var)
    low, high = min(own, math.sqrt(eps)) / 30, max(own, math.sqrt(eps)) * 30
    found = gradient_scale(
        x, gamma, dy, eps, np.concatenate([[1.0, 10.0], np.geomspace(low, high, _SCALES) / own])
    )
    direct = abs(terms.factor) * float(np.linalg.norm(dy))
    if found.theory[0] <= _NEGLIGIBLE * direct:
        blocks.append(f"The gradient is {number(float(found.theory[0]))} at every scale of the batch.")
    else:
        drawn = GradientScale(*(column[2:] for column in found))
        blocks += [
            "How large is it for a batch of another scale?",
            _scale_figure(drawn, own, eps, setting),
            _scale_text(found, own, eps),
        ]
    blocks.append(_range_text(mu, sigma, eps, seed))
    return [block for block in blocks if block]


def _listed_exactly(x: Array) -> str:
    return "[" + ", ".join(number(float(v), 6) for v in x) + "]"


# The identity

_DRAWS = 1000
_GAMMAS = 61


@lru_cache(maxsize=16)
def _identity_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (126 if narrow else 190)
    tall = 210
    x = alt.X(
        "gamma:Q",
        title="γ",
        scale=alt.Scale(nice=False, zero=False, padding=10),
        axis=alt.Axis(grid=False, offset=6),
    )
    y = alt.Y("error:Q", title=None, axis=alt.Axis(tickCount=5))
    curves, marks = alt.Chart(named("curves")), alt.Chart(named("marks"))
    layers = [
        # Rules end at the row of their label; the further right, the lower, so none crosses a label.
        *(
            marks.transform_filter(f"datum.row == {row}")
            .mark_rule(strokeDash=[4, 4], strokeWidth=1.1)
            .encode(x=x, y=alt.value(-10 - 18 * row), y2=alt.value(tall), color=theme.color())
            for row in range(3)
        ),
        *(
            marks.transform_filter(f"datum.row == {row}")
            .mark_text(align="left", baseline="middle", dx=5, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=x, y=alt.value(-12 - 18 * row), text="label:N", color=theme.color())
            for row in range(3)
        ),
        curves.mark_line().encode(x=x, y=y, color=theme.color()),
        curves.transform_filter("datum.dotted")
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")),
        marks.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, color=theme.color()),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-64), text="error:N", color=theme.ink("ink")),
    ]
    return assemble(compose.layer(*layers, width=inner, height=tall), theme.config())


@dataclass(frozen=True)
class _Identity:
    """Errors to the identity of one large batch, for many γ, with β = its mean and with the page's β."""

    mean: float
    var: float
    gammas: Array
    right: Array
    own: Array
    at: tuple[float, float, float]  # error at √(σ² + ε), at σ² with β = mean, and at the page's γ and β


@keep(entries=8)
def _identity_run(mu: float, sigma: float, gamma: float, beta: float, eps: float, seed: int) -> _Identity:
    x = mu + sigma * stream(seed, _PLACE, _IDENTITY).standard_normal(_DRAWS)
    means, variances = batch_statistics(x[:, None])
    mean, var = float(means[0]), float(variances[0])
    right, _ = identity_parameters(mean, var, eps)
    low, high = min(0.0, gamma), 1.5 * max(var, float(right), gamma)
    gammas = np.unique(np.concatenate([np.linspace(low, high, _GAMMAS), [float(right), var, gamma]]))
    return _Identity(
        mean,
        var,
        gammas,
        np.array([identity_error(x, g, mean, eps) for g in gammas]),
        np.array([identity_error(x, g, beta, eps) for g in gammas]),
        (
            identity_error(x, float(right), mean, eps),
            identity_error(x, var, mean, eps),
            identity_error(x, gamma, beta, eps),
        ),
    )


def _identity_figure(found: _Identity, values: Values) -> Figure:
    gamma, beta, eps = (real(values, name) for name in ("gamma", "beta", "eps"))
    right = float(identity_parameters(found.mean, found.var, eps)[0])
    marks = [
        (right, found.at[0], f"√(σ² + ε) = {number(right)}", "good"),
        (found.var, found.at[1], f"σ² = {number(found.var)}", "bad"),
        (gamma, found.at[2], f"this layer, {number(gamma)}", "ochre"),
    ]
    order = np.argsort([-place for place, *_ in marks], kind="stable")
    row = np.empty(3, int)
    row[order] = range(3)
    ends = np.array([found.right[-1], found.own[-1]])
    top = float(max(found.right.max(), found.own.max()))
    apart = beta != found.mean
    curves: list[Part] = [
        {
            "gamma": found.gammas,
            "error": error,
            "theory": identity_error_theory(found.mean, found.var, found.gammas, offset, eps),
            "dotted": np.arange(len(found.gammas)) % 3 == 0,
            "slot": np.int8(theme.SLOTS[use]),
        }
        for error, offset, use in ((found.right, found.mean, "blue"), (found.own, beta, "ochre"))
    ]
    return Figure(
        name="batchnorm/identity",
        build=_identity_spec,
        data={
            "curves": rows(*curves),
            "marks": rows(
                gamma=[place for place, *_ in marks],
                error=[error for _, error, *_ in marks],
                label=[label for _, _, label, _ in marks],
                row=row,
                slot=[theme.SLOTS[use] for *_, use in marks],
            ),
            "ends": rows(
                error=spread(ends, 0.09 * top, 0.0, top),
                label=["β = mean", f"β = {number(beta)}"],
                slot=[theme.SLOTS["blue"], theme.SLOTS["ochre"]],
                shown=[True, apart],
            ),
            "titles": rows(error=["Rms of y − x over a batch"]),
        },
        title="When batch normalization is the identity",
        caption=(
            f"Training on a batch of {_DRAWS:,} values of N({number(real(values, 'mu'))}, {number(real(values, 'sigma'))}²), "
            f"mean {number(found.mean)}, biased variance (N) {number(found.var)}; ε {number(eps)}, this layer γ "
            f"{number(gamma)}, β {number(beta)}; seed {values['seed']}."
        ),
        key="Lines: measured. Small dots: closed form.",
        alt="Error to the identity against the scale gamma, for two offsets, with three values of gamma marked.",
    )


def _identity_text(found: _Identity, values: Values) -> str:
    gamma, beta, eps = (real(values, name) for name in ("gamma", "beta", "eps"))
    right = float(identity_parameters(found.mean, found.var, eps)[0])
    theory = np.concatenate(
        [
            identity_error_theory(found.mean, found.var, found.gammas, offset, eps)
            for offset in (found.mean, beta)
        ]
    )
    apart = float(np.abs(np.concatenate([found.right, found.own]) - theory).max())
    near = (
        " Standard deviation and variance are almost the same number here, which hides the difference; change σ."
        if abs(found.var - right) < 0.05 * right
        else ""
    )
    return (
        f"With γ = √(σ² + ε) = {number(right, 4)} and β = mean = {number(found.mean, 4)} the layer gives every value back: rms "
        f"error {number(found.at[0], 2)}. With the variance as γ, as the notes have it, the error is **{number(found.at[1])}**: "
        f"γ multiplies standard deviations, not variances.{near} This layer, γ {number(gamma)} and β {number(beta)}, is "
        f"{number(found.at[2])} away. Closed form: √((γ − √(σ² + ε))²·σ²/(σ² + ε) + (β − μ)²), apart from the lines by at most "
        f"{number(apart, 2)}."
    )


# Folding


def _fold_text(values: Values) -> str:
    """Fold a small layer whose first unit has the page's μ, σ, γ and β, and compare it with the two it replaces."""
    mu, sigma, gamma, beta, eps = (real(values, name) for name in ("mu", "sigma", "gamma", "beta", "eps"))
    size = whole(values, "batch_size")
    rng = stream(whole(values, "seed"), _PLACE, _FOLD)
    weight, bias = np.round(rng.standard_normal((3, 2)), 2), np.round(rng.standard_normal(2), 2)
    running = RunningStats(
        np.array([mu, round(float(rng.standard_normal()), 2)]),
        np.array([sigma * sigma, round(float(rng.uniform(0.5, 4.0)), 2)]),
    )
    gammas, betas = np.array([gamma, -0.8]), np.array([beta, 0.5])
    w, b = fold(weight, bias, gammas, betas, running.mean, running.var, eps)
    x = rng.standard_normal((100, 3))
    before = x @ weight + bias
    two = normalize(before, gammas, betas, running, eps=eps)
    apart = float(np.abs(x @ w + b - two).max())
    # In training: the statistics of one batch folded, and what they give on the next one.
    first, following = rng.standard_normal((2, size, 3))
    old = fold(weight, bias, gammas, betas, *batch_statistics(first @ weight + bias), eps)
    fresh, _ = normalize_batch(following @ weight + bias, gammas, betas, running, eps=eps)
    in_training = float(np.abs(following @ old[0] + old[1] - fresh).max())
    factor = gammas / np.sqrt(running.var + eps)

    def column(matrix: Array, unit: int) -> str:
        return ", ".join(number(float(v)) for v in matrix[:, unit])

    lines = [
        [
            f"unit {unit + 1}",
            column(weight, unit),
            number(float(bias[unit])),
            f"{number(float(gammas[unit]))}, {number(float(betas[unit]))}",
            f"{number(float(running.mean[unit]))}, {number(float(running.var[unit]))}",
            number(float(factor[unit])),
            column(w, unit),
            number(float(b[unit])),
        ]
        for unit in range(2)
    ]
    head = (
        "",
        "weights",
        "bias",
        "γ, β",
        "running mean, variance",
        "γ/√(σ̂² + ε)",
        "folded weights",
        "folded bias",
    )
    return (
        "**Folding.** In evaluation the layer is a straight line with fixed numbers, so the linear layer before it can take "
        "it in, one factor for each unit:\n\n"
        r"$$W' = W\,\mathrm{diag}\!\left(\frac{\gamma}{\sqrt{\hat\sigma^2+\varepsilon}}\right),\qquad "
        r"b' = (b-\hat\mu)\,\frac{\gamma}{\sqrt{\hat\sigma^2+\varepsilon}}+\beta$$"
        "\n\nThree inputs, two units; the first has this page's μ, σ², γ and β:\n\n"
        + table(head, lines)
        + "\n\n"
        + rf"$$b'_1 = ({latex(float(bias[0]))} - {latex(mu)})\cdot {latex(float(factor[0]))} + {latex(beta)} "
        rf"= {latex(float(b[0]))}$$"
        + f"\n\nOn {len(x)} inputs the folded layer and the two layers differ by at most {number(apart, 2)}: rounding. In "
        "training there is nothing to fold: mean and variance are those of the batch, they change with every input in it, and no "
        f"fixed weights can follow. Fold the statistics of one batch of {size}, and outputs of the next are off by up to "
        f"{number(in_training)}."
    )


def identity_blocks(values: Values) -> Sequence[Block]:
    """Show when the layer is the identity and how it folds into a linear layer; all from the page's own knobs.

    Reads ``batch_size``, ``mu``, ``sigma``, ``gamma``, ``beta``, ``eps`` and ``seed``.
    """
    arguments = (real(values, name) for name in ("mu", "sigma", "gamma", "beta", "eps"))
    found = _identity_run(*arguments, whole(values, "seed"))
    return [
        r"Normalizing loses nothing that γ and β cannot restore: "
        r"$\gamma = \sqrt{\sigma_B^2+\varepsilon}$ and $\beta = \mu_B$ give $y = x$.",
        _identity_figure(found, values),
        _identity_text(found, values),
        _fold_text(values),
    ]
