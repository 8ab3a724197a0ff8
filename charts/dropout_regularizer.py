"""The Regularizer tab of the dropout page: the penalty behind dropout, errors against p_drop, data against p_drop."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.describe import percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, bins, named, rows, spread, table
from charts.topic import Action, Block, Values, real, whole, word
from core.dropout_training import (
    TASK_INPUTS,
    DropoutTraining,
    Regression,
    draw_regression,
    draw_task,
    dropout_penalty,
    dropout_regression,
    first_below,
    masked_losses,
    participation,
    ridge_weights,
    step_cost,
    train_dropout,
)
from core.kept import keep
from core.knobs import Knob, number

Array = np.ndarray

# Linear regression
_TRUTH = (2.0, 0.0, -1.0, 0.5, 0.0, 0.0)
_SPREAD = 2.0  # standard deviation of the noise on y
_MEASURED = tuple(k / 10 for k in range(1, 10))
_MASK_SEEDS, _MASK_STEPS, _MASK_RATE = 12, 1500, 0.1
_FEATURE_HUES = ("blue", "vermilion", "green", "muted", "muted", "muted")
_MASKS = 2000  # for the measured penalty
_NAMED = 84  # pixels between axis and lines, for the lines' names

# The network
_RATES = tuple(k / 10 for k in range(10))
_SEEDS, _MAP_SEEDS = 8, 6
_SURE = {8: 2.365, 6: 2.571}  # by seeds: the t distribution's 97.5% quantile, with one degree of freedom less
_STEPS, _LR, _BATCH = 400, 0.01, 32
_TEST = 1000
_MAP_POINTS = (16, 32, 64, 128, 256, 512, 1024)
_MAP_RATES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_SHOWN_RATE = 0.5  # beside the map
_BINS = 41
_STRONG = 0.08  # a difference of errors at which the color of a cell is full
_MAP_RECORD = 50  # steps between two looks at the test error
_TARGETS = (0.6, 0.5, 0.4)  # training losses to reach
_COST_RECORD = 5

_VIEWS: Mapping[str, tuple[str, ...]] = {
    "penalty": ("reg_rows", "reg_twin"),
    "error against p": ("reg_points", "reg_noise", "reg_width"),
    "data and p": ("reg_noise", "reg_width"),
}
REGULARIZER_KNOBS = (
    Knob("reg_view", "choice", "penalty", label="View", choices=tuple(_VIEWS)),
    Knob(
        "reg_rows", "int", 20, label="Points of the regression", low=10, high=100, log=True, symbol="n",
        help=f"{len(_TRUTH)} features, so that {len(_TRUTH)} weights are fitted.",
    ),
    Knob(
        "reg_twin", "float", 0.9, label="Correlation of two features", low=0.0, high=0.95, step=0.05, symbol="ρ",
        help="Feature 1 acts on y; feature 2 only resembles it.",
    ),
    Knob("reg_points", "int", 256, label="Training points", low=16, high=1024, log=True, symbol="n", cap="samples"),
    Knob(
        "reg_noise", "float", 0.2, label="Flipped labels", low=0.0, high=0.4, step=0.05,
        help="Probability that a training label is flipped. Test points carry their true class.",
    ),
    Knob("reg_width", "int", 64, label="Hidden units", low=4, high=96, log=True, cap="width"),
)  # fmt: skip


def regularizer_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab: the choice of the view and those of the view itself."""
    return ("reg_view", *_VIEWS[word(values, "reg_view")])


def _points_of(difference: float) -> str:
    """Write a difference of two shares in percentage points, to a tenth, with its sign."""
    value = round(100 * difference, 1)
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{abs(value):.1f}"


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-22), text=f"{name}:N", color=theme.ink("ink"))
    )


def _rate_axis(field: str = "p:Q") -> alt.X:
    """Encode p_drop on the axis that all panels of the tab share."""
    return alt.X(
        field,
        title="p_drop",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(grid=False, values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1~f", labelPadding=6),
    )


def _here() -> list[Panel]:
    """Mark the page's own p_drop: a rule through the panel with its name above."""
    here = alt.Chart(named("here"))
    return [
        here.mark_rule(strokeDash=[3, 3], strokeWidth=1).encode(x=_rate_axis(), color=theme.ink("muted")),
        here.mark_text(baseline="bottom", dy=-4, fontSize=theme.SMALL_SIZE).encode(
            x=_rate_axis(), y=alt.value(0), text="label:N", color=theme.ink("muted")
        ),
    ]


def _rate_words(p: float) -> str:
    return f"p_drop {number(p)} (p_keep {number(1 - p)})"


# The penalty


class _Ridge(NamedTuple):
    """A regression, its weights in closed form and as measured under masks."""

    data: Regression
    grid: Array  # (G,)
    closed: Array  # (G, d)
    measured: Array  # (P, S, d)
    at_measured: Array  # (P, d), closed form


@keep(entries=8)
def _ridge(n: int, twin: float, seed: int, share: progress.Share) -> _Ridge:
    data = draw_regression(n, _TRUTH, twin=twin, noise=_SPREAD, seed=seed)
    grid = np.linspace(0, 1, 81)
    seeds = range(seed * _MASK_SEEDS, (seed + 1) * _MASK_SEEDS)
    run = dropout_regression(
        data.x, data.y, _MEASURED, seeds=seeds, steps=_MASK_STEPS, lr=_MASK_RATE, report=share.report
    )
    return _Ridge(
        data, grid, ridge_weights(data.x, data.y, grid), run.weights, ridge_weights(data.x, data.y, run.p)
    )


@lru_cache(maxsize=16)
def _ridge_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 135 if narrow else round((width - 250) * 0.56)
    right = width - 135 if narrow else width - 250 - left
    tall = 300 if narrow else 330
    x = _rate_axis()
    weight = alt.Y(
        "weight:Q", title=None, scale=alt.Scale(nice=False, padding=8), axis=alt.Axis(offset=_NAMED)
    )
    closed = alt.Chart(named("closed"))
    dots = alt.Chart(named("dots"))
    weights = compose.layer(
        alt.Chart(named("zero")).mark_rule(strokeWidth=0.8).encode(y=weight, color=theme.ink("faint")),
        *_here(),
        closed.mark_line().encode(
            x=x, y=weight, detail="feature:N", color=theme.color(), strokeDash=theme.dash()
        ),
        dots.mark_rule(strokeWidth=1.2).encode(
            x=x, y=alt.Y("weight_low:Q"), y2="weight_high:Q", color=theme.color()
        ),
        dots.mark_point(filled=True, size=34, opacity=1).encode(
            x=x,
            y=weight,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("feature:N"),
                alt.Tooltip("p:Q", title="p_drop"),
                alt.Tooltip("weight:Q", title="trained with masks", format=".4~f"),
                alt.Tooltip("exact:Q", title="closed form", format=".4~f"),
            ],
        ),
        alt.Chart(named("names"))
        .mark_text(align="right", dx=-8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(0), y=weight, text="label:N", color=theme.color()),
        _heading("weights"),
        width=left,
        height=tall,
        name="weights",
    )
    error = alt.Y("error:Q", title=None, scale=alt.Scale(zero=False, nice=False, padding=20))
    curve = alt.Chart(named("curve"))
    tested = alt.Chart(named("tested"))
    floor = alt.Chart(named("floor"))
    errors = compose.layer(
        *_here(),
        floor.mark_rule(strokeDash=[6, 4], strokeWidth=1.2).encode(y=error, color=theme.ink("muted")),
        floor.mark_text(align="right", baseline="top", dx=-4, dy=4, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(right), y=error, text="label:N", color=theme.ink("muted")
        ),
        curve.mark_line().encode(x=x, y=error, color=theme.color()),
        tested.mark_rule(strokeWidth=1.2).encode(
            x=x, y=alt.Y("error_low:Q"), y2="error_high:Q", color=theme.color()
        ),
        tested.mark_point(filled=True, size=34, opacity=1).encode(x=x, y=error, color=theme.color()),
        alt.Chart(named("least"))
        .mark_point(shape="triangle-down", filled=True, size=60, opacity=1, yOffset=-9)
        .encode(x=x, y=error, color=theme.ink("ink")),
        _heading("error"),
        width=right,
        height=tall,
        name="error",
    )
    join = compose.below if narrow else compose.beside
    both = join(weights, errors, spacing=50, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _ridge_figure(ridge: _Ridge, p: float, n: int, twin: float, seed: int) -> Figure:
    data, d = ridge.data, len(_TRUTH)
    slots = [theme.SLOTS[hue] for hue in _FEATURE_HUES]
    dashes = [0, 0, 0, 0, 1, 2]
    names = [f"x{j + 1}" for j in range(d)]
    mean, low, high = ridge.measured.mean(axis=1), ridge.measured.min(axis=1), ridge.measured.max(axis=1)
    exact = data.test_error(ridge.closed)
    tested = data.test_error(ridge.measured)
    least = int(np.argmin(exact))
    starts = ridge.closed[0]
    reach = np.concatenate([ridge.closed.ravel(), low.ravel(), high.ravel()])
    bottom, top = float(reach.min()), float(reach.max())
    blue = theme.SLOTS["blue"]
    return Figure(
        name="dropout/ridge",
        build=_ridge_spec,
        data={
            "closed": rows(
                *(
                    {"p": ridge.grid, "weight": ridge.closed[:, j], "feature": names[j], "slot": np.int8(slots[j]),
                     "dash": np.int8(dashes[j])}
                    for j in range(d)
                )
            ),
            "dots": rows(
                *(
                    {"p": list(_MEASURED), "weight": mean[:, j], "weight_low": low[:, j], "weight_high": high[:, j],
                     "exact": ridge.at_measured[:, j], "feature": names[j], "slot": np.int8(slots[j])}
                    for j in range(d)
                )
            ),
            "names": rows(
                weight=spread(starts, 0.055 * (top - bottom), bottom, top),
                label=[f"{name} (true {number(true)})" for name, true in zip(names, _TRUTH, strict=True)],
                slot=slots,
            ),
            "zero": rows(weight=[0.0]),
            "curve": rows(p=ridge.grid, error=exact, slot=np.int8(blue)),
            "tested": rows(
                p=list(_MEASURED),
                error=tested.mean(axis=1),
                error_low=tested.min(axis=1),
                error_high=tested.max(axis=1),
                slot=np.int8(blue),
            ),
            "floor": rows(error=[_SPREAD**2], label=f"the noise alone, {number(_SPREAD**2)}"),
            "least": rows(
                p=[ridge.grid[least]],
                error=[exact[least]],
            ),
            "here": rows(p=[p], label=[f"p_drop {number(p)}"]),
            "titles": rows(
                weights=["Weights, named with their true value"],
                error=[f"Error² on new points, least at {number(float(ridge.grid[least]), 2)}"],
            ),
        },
        title="Linear regression with dropout on its inputs",
        caption=(
            f"{n} points, {d} features N(0, 1), x1 and x2 with correlation {number(twin)}, noise of standard deviation "
            f"{number(_SPREAD)} on y. Inverted dropout on the inputs, a new mask of every point and feature in each of "
            f"{_MASK_STEPS} steps with rate {number(_MASK_RATE)}·p_keep, weights averaged over the last half, "
            f"{_MASK_SEEDS} seeds of masks; marked {_rate_words(p)}; seed {seed}."
        ),
        key=(
            "Lines: closed form, the penalized loss without any mask. Dots: trained with masks, mean over the seeds; bars: "
            "lowest to highest."
        ),
        alt="Weights of a regression against p_drop, left, and its error on new points, right: lines with dots on them.",
    )  # fmt: skip


def _ridge_text(ridge: _Ridge, p: float, seed: int) -> str:
    data = ridge.data
    off = float(np.abs(ridge.measured.mean(axis=1) - ridge.at_measured).max())
    sure = float((ridge.measured.std(axis=1, ddof=1) / math.sqrt(_MASK_SEEDS)).max())
    start, exact = ridge.closed[0], data.test_error(ridge.closed)
    here = ridge_weights(data.x, data.y, p)
    least = int(np.argmin(exact))
    norms = [float(np.linalg.norm(w)) for w in (start, here)]
    text = (
        "The lines come from the formula alone, and the dots, trained with masks, lie on them within "
        f"{number(off, 2)} (standard errors up to {number(sure, 2)}). "
    )
    if p == 0:
        text += f"At {_rate_words(p)} this is least squares, with weights of norm **{number(norms[1])}**. "
    else:
        text += (
            f"At {_rate_words(p)} the norm of the weights is **{number(norms[1])}**, against {number(norms[0])} for least "
            "squares. "
        )
    if 0 < p < 1:
        before, after = (float(min(w[:2], key=abs) / max(w[:2], key=abs)) for w in (start, here))
        text += (
            f"Of the twins x1 and x2 only x1 acts on y. Least squares gives them {number(float(start[0]))} and "
            f"{number(float(start[1]))}, dropout {number(float(here[0]))} and {number(float(here[1]))}"
        )
        text += ": as neither can be relied on, the weight spreads over both. " if after > before else ". "
    text += (
        f"The error on new points is {number(float(exact[0]), 4)} without dropout, "
        f"{number(float(data.test_error(here)), 4)} here, and least, {number(float(exact[least]), 4)}, at p_drop "
        f"{number(float(ridge.grid[least]), 2)}. "
    )
    if 0 < p < 1:
        losses = masked_losses(data.x, data.y, here, p, masks=_MASKS, seed=seed)
        plain = float(np.square(data.y - data.x @ here).sum())
        penalty = float(dropout_penalty(data.x, here, p))
        error = float(losses.std(ddof=1) / math.sqrt(_MASKS))
        text += (
            f"The loss itself, summed over the points at these weights: {number(plain, 4)} without masks and a penalty of "
            f"{number(penalty, 4)} make {number(plain + penalty, 4)}; the mean over {_MASKS:,} masks is "
            f"{number(float(losses.mean()), 4)} ± {number(error, 2)} (standard error)."
        )
    elif p == 1:
        text += "At p_drop = 1 no input is left, and the limit of the closed form is a weight of 0."
    return text


def _penalty_blocks(values: Values) -> Sequence[Block]:
    p, seed = real(values, "p"), whole(values, "seed")
    n, twin = whole(values, "reg_rows"), real(values, "reg_twin")
    ridge = _ridge(n, twin, seed, progress.Share(0.0, 1.0, "Training regressions with masks"))
    return [
        "**Dropout is a penalty.** For linear regression the mean over masks can be taken by hand: squared error plus an "
        r"L2 penalty, $\sum_i (y_i - x_i w)^2 + \frac{p}{1-p} \sum_j w_j^2 \sum_i x_{ij}^2$ (Srivastava et al. 2014, "
        "Wager et al. 2013). Does training with masks get there, and what becomes of two features that resemble each other?",
        _ridge_figure(ridge, p, n, twin, seed),
        _ridge_text(ridge, p, seed),
    ]


# Errors against p


@keep(entries=8)
def _train(
    n: tuple[int, ...],
    noise: float,
    width: int,
    rates: tuple[float, ...],
    seeds: tuple[int, ...],
    every: int,
    share: progress.Share,
) -> DropoutTraining:
    """Train networks in float32: on every number of points, with every p_drop, for every seed."""
    data = draw_task(max(n), noise=noise, seeds=seeds)
    test = draw_task(_TEST, noise=0.0, seeds=seeds, place=1)
    return train_dropout(
        data.x.astype(np.float32), data.given, (TASK_INPUTS, width, 1), rates, seeds=seeds, test=(test.x, test.truth),
        points=n, steps=_STEPS, lr=_LR, batch_size=_BATCH, record=range(0, _STEPS + 1, every), report=share.report,
    )  # fmt: skip


def _seeds(seed: int, count: int) -> tuple[int, ...]:
    """Return seeds of a run that no other seed of the page shares."""
    return tuple(range(seed * count, (seed + 1) * count))


def _lost(diverged_at: Array) -> str:
    """Say how many runs did not stay finite, and from which step on; nothing if all did."""
    steps = diverged_at[diverged_at >= 0]
    if not len(steps):
        return ""
    return (
        f"{len(steps)} of {diverged_at.size} runs did not stay finite, the first from step {int(steps.min())} on; means that "
        "contain one are missing from the picture."
    )


class _Errors(NamedTuple):
    """Runs against p_drop, in increasing order, the page's own among them."""

    p: Array  # (P,)
    train: Array  # (P, S), share of given labels that come out otherwise
    test: Array  # (P, S)
    loss: Array  # (P, S), on the test points
    out: Mapping[float, Array]  # weights out of the hidden units, (S, H), at p_drop 0 and at the page's
    lost: str  # what to say of runs that did not stay finite


def errors_at(n: int, noise: float, width: int, p: float, seed: int) -> _Errors:
    """Return training and test errors over p_drop, at the page's own rate too, by network."""
    seeds = _seeds(seed, _SEEDS)
    end = 1.0 if p in _RATES else 0.85
    runs = [_train((n,), noise, width, _RATES, seeds, _STEPS, progress.Share(0.0, end, "Training networks"))]
    if p not in _RATES:
        share = progress.Share(end, 1.0, f"Training at p_drop {number(p)}")
        runs.append(_train((n,), noise, width, (p,), seeds, _STEPS, share))
    rates = np.concatenate([run.p for run in runs])
    order = np.argsort(rates)

    def joined(of: Callable[[DropoutTraining], Array]) -> Array:
        return np.concatenate([of(run) for run in runs], axis=0)[order]

    out = joined(lambda run: run.params.weights[1][0, :, :, :, 0].astype(float))
    here = [float(rate) for rate in rates[order]]
    return _Errors(
        rates[order],
        joined(lambda run: run.train_error[-1, 0]),
        joined(lambda run: run.test_error[-1, 0]),
        joined(lambda run: run.test_loss[-1, 0]),
        {rate: out[here.index(rate)] for rate in (0.0, p)},
        _lost(np.concatenate([run.diverged_at.ravel() for run in runs])),
    )


@lru_cache(maxsize=16)
def _error_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 120 if narrow else round((width - 230) * 0.6)
    right = width - 75 if narrow else width - 230 - left
    tall = 240 if narrow else 330
    x = _rate_axis()
    y = alt.Y(
        "error:Q",
        title=None,
        scale=alt.Scale(domainMin=0, nice=False),
        axis=alt.Axis(format="~%", tickCount=6),
    )
    lines = alt.Chart(named("lines"))
    noise = alt.Chart(named("noise"))
    errors = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
        *_here(),
        noise.mark_rule(strokeDash=[6, 4], strokeWidth=1.2).encode(
            x=x, x2="last:Q", y=y, color=theme.ink("muted"), opacity=theme.SHOWN
        ),
        noise.mark_text(align="left", baseline="bottom", dx=4, dy=-3, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(0), y=y, text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN
        ),
        lines.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", detail="line:N", color=theme.color()
        ),
        lines.mark_line().encode(x=x, y=y, detail="line:N", color=theme.color()),
        lines.mark_point(filled=True, size=30, opacity=1).encode(
            x=x,
            y=y,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("line:N", title="errors"),
                alt.Tooltip("p:Q", title="p_drop"),
                alt.Tooltip("error:Q", title="mean", format=".1%"),
                alt.Tooltip("low:Q", title="lowest", format=".1%"),
                alt.Tooltip("high:Q", title="highest", format=".1%"),
            ],
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
        .encode(x=x, y=y, text="label:N", color=theme.color()),
        _heading("errors"),
        width=left,
        height=tall,
        name="errors",
    )
    bars, labels = alt.Chart(named("bars")), alt.Chart(named("bar_names"))
    weight = alt.X(
        "low:Q",
        title="weight",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, labelPadding=6),
    )
    share = alt.Y("share:Q", title=None, scale=alt.Scale(nice=False), axis=alt.Axis(format="~%", tickCount=5))
    weights = compose.layer(
        alt.Chart(named("bar_reach"))
        .mark_point(opacity=0)
        .encode(x=weight, y=share, color=theme.ink("muted")),
        bars.mark_rect(opacity=0.5).encode(x=weight, x2="high:Q", y=share, y2="base:Q", color=theme.color()),
        labels.mark_text(
            align="left", baseline="top", dx=4, fontSize=theme.SMALL_SIZE + 0.5, lineBreak="\n"
        ).encode(x=alt.value(0), y=share, text="label:N", color=theme.color()),
        _heading("weights"),
        width=right,
        height=tall,
        name="weights",
    )
    join, gap = (compose.below, 36) if narrow else (compose.beside, 40)
    return assemble(join(errors, weights, spacing=gap, resolve={"color": "shared"}), theme.config())


def _setting(noise: float, width: int) -> str:
    return (
        f"{TASK_INPUTS} features N(0, 1), class 1 where x1 + x2 + x3·x4 > 0, each training label flipped with "
        f"probability {number(noise)}. {TASK_INPUTS}-{width}-1 network, ReLU, He normal, inverted dropout on the hidden "
        f"units, cross-entropy, Adam with rate {number(_LR)}, {_STEPS} updates on mini-batches of {_BATCH} drawn with "
        "replacement, whatever p_drop and n"
    )


def _error_figure(run: _Errors, n: int, noise: float, width: int, p: float, seed: int) -> Figure:
    hues = {"test points": "blue", "training points": "vermilion"}
    lines: list[Part] = []
    ends: list[float] = []
    for (name, hue), values in zip(hues.items(), (run.test, run.train), strict=True):
        lines.append(
            {"p": run.p, "error": values.mean(axis=1), "low": values.min(axis=1), "high": values.max(axis=1),
             "line": name, "slot": np.int8(theme.SLOTS[hue])}
        )  # fmt: skip
        ends.append(float(np.nan_to_num(values.mean(axis=1)[-1])))
    top = float(np.nan_to_num(max(run.test.max(), run.train.max(), noise))) + 0.03
    far = 1.02 * max(float(np.nan_to_num(np.abs(out)).max()) for out in run.out.values())
    far = max(far, 1e-3)
    bars: list[Part] = []
    shares: list[float] = []
    texts = []
    for rate, use, shown in ((0.0, "muted", True), (p, "blue", p > 0)):
        out = run.out[rate]
        low, high, counts = bins(out.ravel(), -far, far, _BINS)
        share = shown * counts / max(counts.sum(), 1)
        drawn = share > 0
        drawn[0] = True  # a part is never empty
        bars.append(
            {"low": low[drawn], "high": high[drawn], "base": 0.0, "share": share[drawn],
             "slot": np.int8(theme.SLOTS[use])}
        )  # fmt: skip
        shares.append(float(share.max()))
        texts.append(f"p_drop {number(rate)}:\nsd {number(float(out.std()))}" if shown else "")
    highest = max(*shares, 1e-3)
    return Figure(
        name="dropout/error",
        build=_error_spec,
        data={
            "lines": rows(*lines),
            "ends": rows(
                p=run.p[-1],
                error=spread(np.array(ends), 0.06 * top, 0.0, top),
                label=["test", "training"],
                slot=[theme.SLOTS[hue] for hue in hues.values()],
            ),
            "reach": rows(error=[0.0, top]),
            "noise": rows(
                p=[0.0], last=run.p[-1], error=noise, label=f"{percent(noise)} flipped", shown=noise > 0
            ),
            "here": rows(p=[p], label=[f"p_drop {number(p)}"]),
            "bars": rows(*bars),
            "bar_reach": rows(low=[-far, far], share=[0.0, 1.05 * highest]),
            "bar_names": rows(share=[1.04 * highest, 0.9 * highest], label=texts, slot=[theme.MUTED, theme.SLOTS["blue"]]),
            "titles": rows(
                errors=["Points whose class comes out wrong"], weights=["Weights out of the hidden units, share"]
            ),
        },
        title="Training and test error against p_drop",
        caption=(
            f"{n} training points, {_TEST:,} test points with their true class; {_setting(noise, width)}. {_SEEDS} seeds, "
            f"each with its own data; weights and draws of masks and batches are shared along a line. Marked "
            f"{_rate_words(p)}; seed {seed}."
        ),
        key=(
            "All errors are measured in evaluation, with all units. Lines: mean over the seeds; bands: lowest to highest. "
            "Training errors count against the labels as told. Weights: all seeds together, gray without dropout."
        ),
        alt="Training and test error against p_drop, left; histogram of the outgoing weights with and without dropout, right.",
    )  # fmt: skip


def _paired(values: Array) -> tuple[float, float]:
    """Return the mean of differences over seeds, (S,), and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _error_text(run: _Errors, n: int, noise: float, width: int, p: float) -> str:
    if run.lost:
        return run.lost
    at = int(np.argmin(np.abs(run.p - p)))
    test, train = run.test.mean(axis=1), run.train.mean(axis=1)
    difference, error = _paired(run.test[at] - run.test[0])
    best = int(np.argmin(test))
    parameters = (TASK_INPUTS + 2) * width + 1
    text = (
        f"{parameters:,} parameters for {n} points. Without dropout the network contradicts {percent(float(train[0]))} of the "
        f"labels it was told, each wrong with probability {percent(noise)}, and errs on **{percent(float(test[0]))}** of "
        "the test points. "
    )
    if p > 0:
        clear = abs(difference) > _SURE[_SEEDS] * error
        verdict = f"{'clear' if clear else 'not clear'} of 0 at 95%"
        text += (
            f"At {_rate_words(p)} it is {percent(float(train[at]))} and **{percent(float(test[at]))}**: the test error moves "
            f"by {_points_of(difference)} ± {100 * error:.1f} percentage points (mean and standard error over "
            f"{_SEEDS} seeds, seed by seed), {verdict}. "
        )
    if best == 0:
        text += "No p_drop tried has a lower mean than 0. "
    else:
        text += f"The lowest mean, {percent(float(test[best]))}, is at p_drop {number(float(run.p[best]))}. "
    if p > 0:
        plain, dropped = run.out[0.0], run.out[p]
        evenness = [float(participation(out).mean()) for out in (plain, dropped)]
        narrower = float(dropped.std()) < float(plain.std())
        text += (
            f"The weights out of the hidden units {'shrink' if narrower else 'grow'}, from a standard deviation of "
            f"{number(float(plain.std()))} to {number(float(dropped.std()))}. Whether they also spread, (Σ|w|)²/(HΣw²) tells, "
            f"1 for equal weights: {number(evenness[0])} without dropout, {number(evenness[1])} with it, "
            f"{'more' if evenness[1] > evenness[0] else 'less'} even. For features that resemble each other see the view "
            "“penalty”."
        )
    return text


def _cost(n: int, noise: float, width: int, p: float, seed: int) -> str:
    """Time a step with and without dropout now, and count the steps to several training losses."""
    seeds = _seeds(seed, _SEEDS)
    rates = (0.0, p)
    run = _train((n,), noise, width, rates, seeds, _COST_RECORD, progress.Share(0.0, 1.0, "Counting steps"))
    train, test = run.train_loss[:, 0].mean(axis=-1), run.test_loss[:, 0].mean(axis=-1)  # (R, 2)
    cost = step_cost(width, p, batch_size=_BATCH)
    apply = cost.dropout - cost.plain - cost.masks
    applied = (
        f"{number(1e6 * apply)} apply them on the way up and down"
        if apply > 0
        else "applying them is too little to measure"
    )

    def counted(step: float) -> str:
        last = " (the last)" if step == _STEPS else ""
        return f"never in {_STEPS}" if math.isnan(step) else f"{step:.0f}{last}"

    def ratio(plain: float, dropped: float) -> str:
        return "–" if not plain > 0 or math.isnan(dropped) else number(dropped / plain)

    lines = [
        [
            "microseconds a step",
            number(1e6 * cost.plain),
            number(1e6 * cost.dropout),
            ratio(cost.plain, cost.dropout),
        ]
    ]
    for target in _TARGETS:
        plain, dropped = (float(step) for step in first_below(run.step, train, target))
        lines.append(
            [
                f"steps to a training loss of {number(target)}",
                counted(plain),
                counted(dropped),
                ratio(plain, dropped),
            ]
        )
    lowest = test.argmin(axis=0)
    at = [float(run.step[k]) for k in lowest]
    lines.append(["steps to the lowest test loss", counted(at[0]), counted(at[1]), ratio(*at)])
    losses = [float(test[k, column]) for column, k in enumerate(lowest)]
    lines.append(["lowest test loss", number(losses[0]), number(losses[1]), ratio(*losses)])
    head = ["", "p_drop 0", f"p_drop {number(p)}", "ratio"]
    return (
        f"Measured just now on the machine that runs this app. Time: one network of {width} hidden units, NumPy in float64, "
        "steps with and without dropout by turns, the fastest of several rounds each, as whatever else the machine does only "
        f"adds to it. Of a step with dropout {number(1e6 * cost.masks)} microseconds draw the masks, {applied}, and "
        f"{number(1e6 * cost.plain)} are the rest, a step without dropout. A larger network has other ratios. Steps: the mean "
        f"over {_SEEDS} seeds of the cross-entropy in evaluation, looked at every {_COST_RECORD} steps; they do not "
        "depend on the machine.\n\n" + table(head, lines)
    )


def _error_blocks(values: Values) -> Sequence[Block]:
    p, seed = real(values, "p"), whole(values, "seed")
    n, noise, width = whole(values, "reg_points"), real(values, "reg_noise"), whole(values, "reg_width")
    run = errors_at(n, noise, width, p, seed)
    return [
        "**Less memorizing.** A network with more parameters than points can learn wrong labels by heart. What does dropout "
        "do to its training error, and what to its test error?",
        _error_figure(run, n, noise, width, p, seed),
        _error_text(run, n, noise, width, p),
        # Without dropout there is nothing to compare.
        *(
            [Action("reg_cost", "Measure the cost", lambda: [_cost(n, noise, width, p, seed)])]
            if p > 0
            else []
        ),
    ]


# Data and p


class _Map(NamedTuple):
    """Test error less that without dropout, on K numbers of points and with P rates."""

    plain: Array  # (K, S), test error without dropout
    shown: Array  # (K, S), at the rate beside the map
    difference: Array  # (K, P), mean over seeds
    error: Array  # (K, P), standard error of that
    step: Array  # (R,), the updates after which the errors below were counted
    course: Array  # (R, K), mean test error without dropout
    lost: str

    @property
    def clear(self) -> Array:
        """Which differences have a 95% interval without 0 in it, (K, P)."""
        return np.asarray(np.abs(self.difference) > _SURE[_MAP_SEEDS] * self.error)


def _map(noise: float, width: int, seed: int) -> _Map:
    rates = (0.0, *_MAP_RATES)
    share = progress.Share(0.0, 1.0, "Training networks for the map")
    run = _train(_MAP_POINTS, noise, width, rates, _seeds(seed, _MAP_SEEDS), _MAP_RECORD, share)
    test = run.test_error[-1]
    apart = test[:, 1:] - test[:, :1]
    return _Map(
        test[:, 0],
        test[:, rates.index(_SHOWN_RATE)],
        apart.mean(axis=-1),
        apart.std(axis=-1, ddof=1) / math.sqrt(_MAP_SEEDS),
        run.step,
        run.test_error[:, :, 0].mean(axis=-1),
        _lost(run.diverged_at),
    )


@lru_cache(maxsize=16)
def _map_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 85 if narrow else round((width - 260) * 0.62)
    right = width - 150 if narrow else width - 260 - left
    tall = 280 if narrow else 350
    columns, lines_of = [f"{rate:g}" for rate in _MAP_RATES], [str(n) for n in _MAP_POINTS]

    def ruled(labels: list[str]) -> dict[str, Any]:
        """Return scale and axis of cells that are named in their middle."""
        return {
            "scale": alt.Scale(domain=[-0.5, len(labels) - 0.5], nice=False),
            "axis": alt.Axis(
                grid=False, ticks=False, domain=False, values=list(range(len(labels))),
                labelExpr=f"{labels}[datum.value]", tickCount=len(labels), labelPadding=6,
            ),
        }  # fmt: skip

    x = alt.X("column:Q", title="p_drop", **ruled(columns))
    y = alt.Y("line:Q", title="training points n", **ruled(lines_of))
    cells = alt.Chart(named("cells"))
    grid = compose.layer(
        cells.mark_rect().encode(
            x=alt.X("west:Q", title="p_drop", **ruled(columns)),
            x2="east:Q",
            y=alt.Y("south:Q", title="training points n", **ruled(lines_of)),
            y2="north:Q",
            color=theme.color(),
            opacity=alt.Opacity("strength:Q", scale=None, legend=None),
            tooltip=[
                alt.Tooltip("points:Q", title="training points"),
                alt.Tooltip("rate:Q", title="p_drop"),
                alt.Tooltip("points_apart:Q", title="difference, percentage points", format="+.2f"),
                alt.Tooltip("points_error:Q", title="standard error", format=".2f"),
            ],
        ),
        alt.Chart(named("border"))
        .mark_rule(strokeWidth=2, strokeCap="round")
        .encode(x=x, x2="east:Q", y=y, y2="north:Q", color=theme.ink("ink"), opacity=theme.SHOWN),
        cells.mark_text(fontSize=theme.SMALL_SIZE + (0 if narrow else 1), fontWeight=600)
        .encode(x=x, y=y, text="sure:N", color=theme.ink("ink")),
        cells.mark_text(fontSize=theme.SMALL_SIZE + (0 if narrow else 1), opacity=0.75)
        .encode(x=x, y=y, text="unsure:N", color=theme.ink("ink")),
        _heading("map"),
        width=left, height=tall, name="map",
    )  # fmt: skip
    points = alt.X(
        "points:Q",
        title="training points n",
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(
            grid=False,
            values=list(_MAP_POINTS)[:: 2 if narrow else 1],
            format="d",
            labelPadding=6,
            tickCount=len(_MAP_POINTS),
        ),
    )
    error = alt.Y(
        "error:Q",
        title=None,
        scale=alt.Scale(domainMin=0, nice=False),
        axis=alt.Axis(format="~%", tickCount=6),
    )
    lines = alt.Chart(named("lines"))
    curves = compose.layer(
        lines.mark_area(opacity=0.16).encode(
            x=points, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
        ),
        lines.mark_line().encode(x=points, y=error, detail="name:N", color=theme.color()),
        lines.mark_point(filled=True, size=26, opacity=1).encode(x=points, y=error, color=theme.color()),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(right), y=error, text="label:N", color=theme.color()),
        _heading("lines"),
        width=right,
        height=tall,
        name="lines",
    )
    join, gap = (compose.below, 36) if narrow else (compose.beside, 40)
    both = join(grid, curves, spacing=gap, resolve={"color": "shared", "opacity": "independent"})
    return assemble(both, theme.config())


def _border(kind: Array) -> list[Part]:
    """Return the edges between cells of different kinds, (K, P), the cells outside of the map being of kind 0."""
    parts: list[Part] = []
    around = np.pad(kind, 1)
    for line, column in zip(*np.nonzero(around[1:-1, 1:] != around[1:-1, :-1]), strict=True):
        east = column - 0.5
        parts.append({"column": [east], "east": east, "line": line - 0.5, "north": line + 0.5, "shown": True})
    for line, column in zip(*np.nonzero(around[1:, 1:-1] != around[:-1, 1:-1]), strict=True):
        north = line - 0.5
        parts.append(
            {"column": [column - 0.5], "east": column + 0.5, "line": north, "north": north, "shown": True}
        )
    return parts


def _map_figure(found: _Map, noise: float, width: int, seed: int) -> Figure:
    lines, columns = (part.ravel() for part in np.indices(found.difference.shape))
    apart, clear = found.difference.ravel(), found.clear.ravel()
    texts = np.array([_points_of(float(value)) for value in apart])
    finite = np.nan_to_num(apart)
    border = _border(np.where(found.clear, np.sign(found.difference), 0))
    curves = ((0.0, found.plain, "vermilion"), (_SHOWN_RATE, found.shown, "blue"))
    means = [values.mean(axis=1) for _, values, _ in curves]
    top = float(np.nan_to_num(max(values.max() for _, values, _ in curves)))
    blue, orange = theme.SLOTS["blue"], theme.SLOTS["vermilion"]
    return Figure(
        name="dropout/data_map",
        build=_map_spec,
        data={
            "cells": rows(
                column=columns,
                line=lines,
                west=columns - 0.48,
                east=columns + 0.48,
                south=lines - 0.47,
                north=lines + 0.47,
                points=np.array(_MAP_POINTS)[lines],
                rate=np.array(_MAP_RATES)[columns],
                points_apart=100 * apart,
                points_error=100 * found.error.ravel(),
                strength=0.04 + 0.56 * np.minimum(np.abs(finite) / _STRONG, 1),
                slot=np.where(finite <= 0, blue, orange),
                sure=np.where(clear, texts, ""),
                unsure=np.where(clear, "", texts),
            ),
            "border": rows(*border)
            if border
            else rows(column=[0.0], east=0.0, line=0.0, north=0.0, shown=False),
            "lines": rows(
                *(
                    {"points": np.array(_MAP_POINTS), "error": mean, "low": values.min(axis=1),
                     "high": values.max(axis=1), "name": f"p_drop {number(rate)}", "slot": np.int8(theme.SLOTS[use])}
                    for mean, (rate, values, use) in zip(means, curves, strict=True)
                )
            ),
            "ends": rows(
                error=spread(np.array([mean[-1] for mean in means]), 0.055 * top, 0.0, top),
                label=[f"p_drop {number(rate)}" for rate, _, _ in curves],
                slot=[theme.SLOTS[use] for _, _, use in curves],
            ),
            "titles": rows(
                map=["Change of the test error, percentage points"], lines=["Test error, by training points"]
            ),
        },
        title="Dropout with little data and with more",
        caption=(
            f"{_setting(noise, width)}; the points of a smaller n are the first of a larger one. {_TEST:,} test points with "
            f"their true class, {_MAP_SEEDS} seeds, each with its own data; seed {seed}."
        ),
        key=(
            "Blue: fewer errors with dropout, orange: more. Bold and outlined: the 95% interval of the mean (t distribution) "
            "leaves out 0; all others: it does not. Test error: mean over the seeds; bands: lowest to highest."
        ),
        alt="Grid of training points by p_drop with the change of the test error in each cell; beside it errors by points.",
    )  # fmt: skip


def _map_text(found: _Map, noise: float) -> str:
    if found.lost:
        return found.lost
    best = found.difference.argmin(axis=1)
    gains = found.difference[np.arange(len(best)), best]

    def row(k: int) -> str:
        clear = "" if found.clear[k, best[k]] else ", not clear of 0"
        return (
            f"{_points_of(float(gains[k]))} ± {100 * float(found.error[k, best[k]]):.1f} percentage points (standard error) at "
            f"p_drop {number(_MAP_RATES[best[k]])}{clear}"
        )

    def beyond(k: int) -> bool:
        """Tell whether the largest gain exceeds that of a row by more than two standard errors."""
        errors = found.error[[k, largest], best[[k, largest]]]
        return bool(gains[k] - gains[largest] > 2 * np.hypot(*errors))

    largest, last = int(np.argmin(gains)), len(_MAP_POINTS) - 1
    better = int((found.clear & (found.difference < 0)).sum())
    worse = int((found.clear & (found.difference > 0)).sum())
    text = (
        f"Of {found.difference.size} cells dropout is clearly better in {better}, clearly worse in {worse}; of so many cells a "
        f"few look clear by chance, {number(0.05 * found.difference.size, 2)} on average if dropout did nothing. "
    )
    if not found.clear[largest, best[largest]]:
        text += f"Even the lowest cell, {row(largest)} with {_MAP_POINTS[largest]} points, shows no gain that is sure. "
    else:
        text += (
            f"The lowest cell of its row, which luck favors too: with {_MAP_POINTS[0]} points {row(0)}; with {_MAP_POINTS[last]} "
            f"points {row(last)}. "
        )
        if largest not in (0, last):
            text += f"Dropout gains most with {_MAP_POINTS[largest]} points, **{row(largest)}**. "
        text += _trend(beyond(0), beyond(last)) + _overtrained(found, largest, float(gains[largest]))
    text += (
        f"More data do more: without dropout the error falls from {percent(float(found.plain[0].mean()))} with "
        f"{_MAP_POINTS[0]} points to {percent(float(found.plain[-1].mean()))} with {_MAP_POINTS[last]}."
    )
    return f"{text} {_limits(noise)}"


def _overtrained(found: _Map, row: int, gain: float) -> str:
    """Say how much of a row's gain stopping earlier without dropout would bring as well, if anything."""
    course = found.course[:, row]
    best = int(course.argmin())
    saved = float(course[-1] - course[best])
    if gain >= 0 or saved <= 0:
        return ""
    part = "All" if saved >= -gain else "Most" if saved > -gain / 2 else "Part"
    return (
        f"{part} of the largest gain can be had without dropout by training less: with {_MAP_POINTS[row]} points the mean test "
        f"error without dropout was {percent(float(course[best]))} after {int(found.step[best])} updates and "
        f"{percent(float(course[-1]))} after {int(found.step[-1])}. Stopping at the lower one, chosen "
        f"on the test points, would change it by {_points_of(-saved)} percentage points, "
        f"where dropout changes it by {_points_of(gain)}. "
    )


def _limits(noise: float) -> str:
    flipped = (
        f"{percent(noise)} of the training labels are flipped here, which matters: compare “Flipped labels” at 0."
        if noise > 0
        else "No label is flipped here, which matters: compare other values of “Flipped labels”."
    )
    return f"It is one network and one number of updates, on a task that was chosen because it shows the effect. {flipped}"


def _trend(few: bool, many: bool) -> str:
    """Say how the gain depends on the data, given whether the largest is beyond that with the fewest and the most points."""
    if few and many:
        return (
            "The gain is small with the fewest points, largest in between, and smaller again with the most. "
        )
    if few:
        return (
            "The gain is smaller with the fewest points and, within its error, does not fall with the most. "
        )
    if many:
        return "The gain is, within its error, no smaller with the fewest points, and shrinks with the data. "
    return "Between the fewest and the most points the gains do not differ beyond their errors. "


def _map_blocks(values: Values) -> Sequence[Block]:
    noise, width, seed = real(values, "reg_noise"), whole(values, "reg_width"), whole(values, "seed")
    found = _map(noise, width, seed)
    return [
        "**How much data?** Dropout is said to be useless with little data and useful with more. Which cells of this map "
        "agree?",
        _map_figure(found, noise, width, seed),
        _map_text(found, noise),
    ]


_MAKERS: Mapping[str, Callable[[Values], Sequence[Block]]] = {
    "penalty": _penalty_blocks,
    "error against p": _error_blocks,
    "data and p": _map_blocks,
}


def regularizer_blocks(values: Values) -> Sequence[Block]:
    """Show dropout as a regularizer, in the view that is chosen: its penalty, errors against p, or data and p.

    Args:
        values: the page's; ``REGULARIZER_KNOBS``, p and the seed act.

    Returns:
        one figure between a lead and a reading; the view of errors also offers to measure the cost.
    """
    return _MAKERS[word(values, "reg_view")](values)
