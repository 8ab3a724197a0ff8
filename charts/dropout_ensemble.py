"""The tab "Ensemble" of the dropout page: all networks within one, which masks are drawn, and MC dropout's band."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.describe import percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, bins, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.dropout_ensemble import (
    MOST_UNITS,
    SMALL_NETS,
    BestRate,
    DropoutTraining,
    Ensemble,
    distinct_so_far,
    draw_indices,
    dropout_passes,
    effective_masks,
    enumerate_ensemble,
    expected_distinct,
    kept_probability,
    one_layer_sd,
    predict_scaled,
    regression_rates,
    train_dropout,
)
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import Knob, number
from core.optimizers import OPTIMIZERS
from core.streams import stream

Array = np.ndarray

_MOST = 1000  # passes
_RUNS = 200  # Monte Carlo runs whose error is averaged
_BINS = 40
_POINTS = 49  # numbers of passes that are drawn, evenly on a log axis
_ROUNDING = 1e-12  # averages nearer than this differ by rounding alone
_SCALED, _MEAN, _GEOMETRIC, _SAMPLED = (theme.SLOTS[hue] for hue in ("blue", "green", "purple", "vermilion"))

_RATES = tuple(float(p) for p in np.linspace(0, 0.95, 20))
_PER_UNIT, _NOISE, _SETS = (1, 4, 36), 2.0, 1000
_SIZE_HUES = ("crimson", "indigo", "cyan")

_INNER, _OUTER = 0.8, 2.4  # |x| of the data lies between
_END = 4.0  # of the figure
_GRID = np.linspace(-_END, _END, 81)
_TRAINED, _TRAIN_NOISE, _UNITS, _RATE, _STEPS = 40, 0.1, 64, 0.02, 800
_DRAWN = 8  # passes drawn as lines
_COMPARED = 200  # passes at most of the networks that are not drawn
_ACTIVATION = ACTIVATIONS["ReLU"]
_DATA = 7  # place of the stream of the data

NETWORKS, MASKS, BAND = "all networks", "masks", "predictive band"

ENSEMBLE_KNOBS = (
    Knob("ens_view", "choice", NETWORKS, label="View", choices=(NETWORKS, MASKS, BAND)),
    Knob("ens_net", "choice", "softmax layer", label="Above the units", choices=tuple(SMALL_NETS)),
    Knob(
        "ens_units", "int", 8, label="Units that may be dropped", low=1, high=MOST_UNITS, step=1, symbol="n",
    ),
    Knob(
        "ens_samples", "int", 100, label="Passes with dropout on", cap="samples", low=1, high=_MOST, log=True, symbol="T",
    ),
    Knob("ens_layers", "int", 2, label="Hidden layers", low=1, high=2, step=1),
    Knob("ens_decay", "float", 1e-4, label="Weight decay", low=1e-6, high=0.1, log=True, symbol="λ"),
)  # fmt: skip


def ensemble_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab that act in its view."""
    return ("ens_view", *_VIEWS[word(values, "ens_view")].knobs)


def _examples(count: int) -> str:
    return f"{count} {_plural(count, 'example')}"


def _rates(p: float) -> str:
    return f"p_drop {number(p)} (p_keep {number(1 - p)})"


def _heading(name: str, above: int = 8) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-above), text=f"{name}:N", color=theme.ink("ink"))
    )


def _ends(data: str, x: int, y: alt.Y) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(x), y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN)
    )


def _passes_axis() -> alt.X:
    return alt.X(
        "passes:Q", title="passes T", scale=alt.Scale(type="log", domain=[1, _MOST], nice=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER, tickCount=3),
    )  # fmt: skip


def _log_axis(field: str) -> alt.Y:
    return alt.Y(
        f"{field}:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=6),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )  # fmt: skip


def _here(data: str, x: alt.X, foot: int = 0) -> Panel:
    """Mark the value of a control by a thin rule with its name on top, or at the foot of a panel of that height."""
    y: alt.Value = alt.value(foot - 4 if foot else 2)
    baseline: Literal["top", "bottom"] = "bottom" if foot else "top"
    base = alt.Chart(named(data))
    return compose.layer(
        base.mark_rule(strokeWidth=1).encode(x=x, color=theme.ink("faint")),
        base.mark_text(align="left", baseline=baseline, dx=4, fontSize=theme.SMALL_SIZE).encode(
            x=x, y=y, text="early:N", color=theme.ink("muted")
        ),
        base.mark_text(align="right", baseline=baseline, dx=-4, fontSize=theme.SMALL_SIZE).encode(
            x=x, y=y, text="late:N", color=theme.ink("muted")
        ),
    )


def _side(text: str, late: bool) -> dict[str, object]:
    """Put the word at a rule on the side of it that has room."""
    return {"early": "" if late else text, "late": text if late else ""}


# All networks


class _Sampled(NamedTuple):
    """Monte Carlo over the masks of an ensemble, for the likeliest class."""

    mean: Array  # (_MOST,), mean of the first T passes of the first run
    rms: Array  # (_MOST,), root mean square over the runs of the error of those means


@keep(entries=16)
def enumerated_networks(net: str, units: int, p: float, seed: int) -> Ensemble:
    """Return all networks of a layer of units under masks, with their probabilities and answers."""
    return enumerate_ensemble(net, units=units, p=p, seed=seed)


@keep(entries=4)
def _indices(units: int, p: float, seed: int) -> Array:
    return draw_indices(units, p, samples=_MOST, runs=_RUNS, seed=seed)


@keep(entries=8)
def _sampled(net: str, units: int, p: float, seed: int) -> _Sampled:
    found = enumerated_networks(net, units, p, seed)
    outputs = found.output[_indices(units, p, seed), 0]
    means = outputs.cumsum(axis=1) / np.arange(1, _MOST + 1)
    return _Sampled(means[0], np.sqrt(((means - found.arithmetic[0]) ** 2).mean(axis=0)))


@lru_cache(maxsize=16)
def _ensemble_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 80 if narrow else round((width - 290) * 0.52)
    right = width - 185 if narrow else width - 290 - left
    x = alt.X(
        "x:Q", title="P(class 1)", scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(grid=False, values=[0, 0.2, 0.4, 0.6, 0.8, 1]),
    )  # fmt: skip
    bare = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None)
    marks = alt.Chart(named("averages"))
    histogram = compose.layer(
        alt.Chart(named("bars"))
        .mark_rect(opacity=0.5)
        .encode(
            x=alt.X("low:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None),
            x2="high:Q",
            y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4)),
            y2="base:Q",
            color=theme.color(),
            tooltip=[
                alt.Tooltip("low:Q", format=".3f", title="from"),
                alt.Tooltip("high:Q", format=".3f", title="to"),
                alt.Tooltip("share:Q", format=".2%", title="probability"),
                alt.Tooltip("count:Q", title="networks"),
            ],
        ),
        marks.mark_rule(strokeWidth=1.6).encode(x=bare, color=theme.color()),
        _heading("networks"),
        width=left,
        height=190,
        name="networks",
    )
    lane = alt.Y("lane:Q", axis=None, scale=alt.Scale(domain=[3.6, -0.6], nice=False))

    def said(field: str, align: Literal["left", "right"], dx: float) -> Panel:
        return marks.mark_text(align=align, dx=dx, fontSize=theme.SMALL_SIZE + 0.5).encode(
            x=x, y=lane, text=f"{field}:N", color=theme.color()
        )

    lanes = compose.layer(
        marks.mark_point(filled=True, size=55, opacity=1).encode(x=x, y=lane, color=theme.color()),
        said("early", "left", 9),
        said("late", "right", -9),
        width=left,
        height=96,
        name="averages",
    )
    across = _passes_axis()
    error = _log_axis("y")
    lines = alt.Chart(named("errors"))
    away = alt.Chart(named("away"))
    sampled = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=across, y=error),
        away.mark_rule(strokeWidth=1.6).encode(
            y=error, color=theme.color(), opacity=theme.SHOWN, strokeDash=theme.dash()
        ),
        lines.mark_line(strokeWidth=1, opacity=0.5).encode(x=across, y=alt.Y("one:Q"), color=theme.color()),
        lines.mark_line().encode(x=across, y=error, color=theme.color()),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT)
        .encode(x=across, y=error, color=theme.ink("ink"), opacity=theme.SHOWN),
        _here("now", across),
        _ends("ends", right, error),
        _heading("error"),
        width=right,
        height=250 if narrow else 316,
        name="error",
    )
    both = compose.below(histogram, lanes, spacing=0)
    join = compose.below if narrow else compose.beside
    return assemble(join(both, sampled, resolve={"color": "shared"}), theme.config())


def _picked() -> Array:
    """Return numbers of passes from 1 to the most, evenly on a log axis."""
    return np.unique(np.round(np.geomspace(1, _MOST, _POINTS)).astype(int))


def _visible(values: Array) -> Array:
    """Return what a log axis can show, NaN elsewhere; what is left of rounding counts as 0."""
    return np.where(values > _ROUNDING, values, np.nan)


def _ensemble_figure(net: str, units: int, p: float, passes: int, seed: int) -> Figure:
    found, sampled = enumerated_networks(net, units, p, seed), _sampled(net, units, p, seed)
    output, exact = found.output[:, 0], float(found.arithmetic[0])
    varies = float(found.sd[0]) > _ROUNDING
    possible = found.probability > 0
    low, high, counts = bins(output[possible], 0.0, 1.0, _BINS)
    shares = np.histogram(output, bins=_BINS, range=(0.0, 1.0), weights=found.probability)[0]
    kept = shares > 0
    averages = (
        ("arithmetic mean", exact, _MEAN),
        (
            f"mean of {_count(passes)} {_plural(passes, 'pass', 'passes')}",
            float(sampled.mean[passes - 1]),
            _SAMPLED,
        ),
        ("geometric mean", float(found.geometric[0]), _GEOMETRIC),
        ("weight scaling", float(found.scaled[0]), _SCALED),
    )
    words = [f"{name} {number(value)}" for name, value, _ in averages]
    late = [value > 0.5 for _, value, _ in averages]
    picked = _picked()
    theory = float(found.sd[0]) / np.sqrt(picked)
    off = {name: abs(value - exact) for name, value, _ in (averages[2], averages[3])}
    same = abs(averages[2][1] - averages[3][1]) < _ROUNDING
    ends = [("rms of the runs", float(sampled.rms[-1]), _SAMPLED)]
    if same:
        ends.append(("scaling = geometric", off["weight scaling"], _SCALED))
    else:
        ends += [(name, off[name], slot) for name, _, slot in averages[2:]]
    far = np.concatenate([sampled.rms[picked - 1], theory, list(off.values())])
    far = far[far > _ROUNDING]
    span = (float(far.min()) / 3, float(far.max()) * 1.5) if len(far) else (1e-3, 1.0)
    labels = [(name, value, slot) for name, value, slot in ends if value > _ROUNDING]
    places = np.exp(
        spread(
            np.log([value for _, value, _ in labels] or [1.0]), math.log(span[1] / span[0]) * 0.06,
            *np.log(span).tolist(),
        )
    )  # fmt: skip
    one = np.maximum(np.abs(sampled.mean - exact)[picked - 1], span[0])
    rms = _visible(sampled.rms[picked - 1])
    if not varies:  # one number that no line shows keeps the extent of each column
        one, rms = (np.where(picked == 1, span[0], np.nan) for _ in range(2))
    dots = _visible(theory[::3])
    return Figure(
        name="dropout/ensemble",
        build=_ensemble_spec,
        data={
            "bars": rows(
                low=low[kept],
                high=high[kept],
                share=shares[kept],
                base=0.0,
                count=counts[kept],
                slot=np.int8(theme.MUTED),
            ),
            "averages": rows(
                x=[value for _, value, _ in averages],
                lane=list(range(4)),
                early=["" if right else text for text, right in zip(words, late, strict=True)],
                late=[text if right else "" for text, right in zip(words, late, strict=True)],
                slot=[slot for *_, slot in averages],
            ),
            "errors": rows(
                passes=picked,
                y=rms,
                one=one,
                slot=np.int8(_SAMPLED),
            ),
            "theory": rows(
                passes=picked[::3], y=dots if varies else np.full(len(dots), span[0]), shown=varies
            ),
            "away": rows(
                y=[max(off[name], span[0]) for name in off],
                slot=[slot for _, _, slot in averages[2:]],
                dash=[0, 1 if same else 0],
                shown=[value > _ROUNDING for value in off.values()],
            ),
            "ends": rows(
                y=places,
                label=[name for name, *_ in labels] or [""],
                slot=[slot for *_, slot in labels] or [theme.MUTED],
                shown=bool(labels),
            ),
            "now": rows(passes=[passes], **_side(f"T = {_count(passes)}", passes > 30)),
            "reach": rows(passes=[1, _MOST], y=list(span)),
            "titles": rows(
                networks=[
                    f"{_count(2**units)} networks, by their probability"
                    if possible.sum() > 1
                    else f"The one network that p_drop {number(p)} leaves"
                ],
                error=["Distance from the arithmetic mean"],
            ),
        },
        title="All networks within one",
        caption=(
            f"{_counted_units(units)} with half-normal values, {_rates(p)}, inverted; {SMALL_NETS[net].description}; "
            "3 classes, class 1 the likeliest with all units kept; logits of that network spread by about 1.5; "
            f"T = {_count(passes)}; rms over {_RUNS} runs; seed {seed}."
        ),
        key=(
            "Bars: probability of the networks by what they answer. Distance, bold: root mean square error of the mean of T "
            "passes; thin: the run whose mean is marked, at the lower edge where it is nearer; dots: sd/√T."
        ),
        alt=(
            "Histogram of one class's probability over all masked networks with four averages below it; right, the error of "
            "Monte Carlo against the number of passes."
        ),
    )


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"


def _count(value: int) -> str:
    return f"{value:,}"


def _counted_units(units: int) -> str:
    return f"{units} {_plural(units, 'unit')}"


def _ensemble_text(net: str, units: int, p: float, passes: int, seed: int) -> str:
    found, sampled = enumerated_networks(net, units, p, seed), _sampled(net, units, p, seed)
    exact, sd = float(found.arithmetic[0]), float(found.sd[0])
    scaled, geometric = float(found.scaled[0]), float(found.geometric[0])
    if p == 1:
        return (
            f"With p_drop = 1 every unit is always dropped: one network is left, without inputs, and it answers "
            f"{number(exact)}. Evaluation keeps all units and answers {number(scaled)}; no scaling connects the two."
        )
    if p == 0:
        return f"With p_drop = 0 one network is left, the whole one: all averages are {number(exact)}."
    answers = found.output[:, 0]
    low, high = float(answers.min()), float(answers.max())
    between = float(np.abs(found.geometric - found.scaled).max())
    text = (
        f"The networks answer from {number(low)} to {number(high)}; their mean is **{number(exact)}**, with a standard "
        f"deviation of {number(sd)}. One pass with all units, weight scaling, answers **{number(scaled)}**, the "
        f"renormalized geometric mean {number(geometric)}. "
    )
    if SMALL_NETS[net].activation is None:
        text += (
            f"Over all classes these two differ by {number(between, 1)} at most, which is rounding: the logits are linear in "
            "the mask, so the mean of the log-probabilities is, up to normalization, that of one network with all units. "
        )
    else:
        text += (
            f"Over all classes these two differ by up to {number(between)}: the mask passes through a nonlinearity first. "
            "Were the dropped units themselves the input of the softmax layer, they would agree. "
        )
    mean, rms = float(sampled.mean[passes - 1]), float(sampled.rms[passes - 1])
    text += (
        f"Monte Carlo tends to the arithmetic mean instead: {_count(passes)} {_plural(passes, 'pass gives', 'passes give')} "
        f"{number(mean)}, and over {_RUNS} such runs the error has an rms of {number(rms)} (theory sd/√T = "
        f"{number(sd / math.sqrt(passes))})."
    )
    off = abs(scaled - exact)
    if off > _ROUNDING:
        needed = math.ceil((sd / off) ** 2)
        passes_needed = _count(needed) if needed < 1e6 else number(needed)
        text += (
            f" Weight scaling is {number(off)} away from the arithmetic mean, about as near as {passes_needed} "
            f"{_plural(needed, 'pass', 'passes')} would come, for the price of one."
        )
    return text


def _networks(values: Values) -> Sequence[Block]:
    net, units, p = word(values, "ens_net"), whole(values, "ens_units"), real(values, "p")
    passes, seed = whole(values, "ens_samples"), whole(values, "seed")
    return [
        f"**All networks.** {_counted_units(units)} that may be dropped {_plural(units, 'makes', 'make')} "
        f"2{_power(units)} = {_count(2**units)} networks with shared weights. All of them are enumerated: how near does one pass "
        "with all units come to their average?",
        _ensemble_figure(net, units, p, passes, seed),
        _ensemble_text(net, units, p, passes, seed),
    ]


def _power(value: int) -> str:
    return str(value).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


# Masks


class _Counted(NamedTuple):
    """What the masks drawn so far are."""

    one: Array  # (_MOST,), different masks among the first T of the first run
    mean: Array  # (_MOST,), mean over the runs


@keep(entries=8)
def counted_masks(units: int, p: float, seed: int) -> _Counted:
    """Return how many different masks have come up after 1, 2, … passes, in one run and on average."""
    distinct = distinct_so_far(_indices(units, p, seed))
    return _Counted(distinct[0], distinct.mean(axis=0))


@lru_cache(maxsize=16)
def _masks_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 70 if narrow else round((width - 290) * 0.42)
    right = width - 160 if narrow else width - 290 - left
    tall = 220 if narrow else 240
    kept = alt.X(
        "kept:Q", title="units kept", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickMinStep=1, format="d")
    )  # fmt: skip
    share = alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4))
    bars = compose.layer(
        alt.Chart(named("bars"))
        .mark_rect(opacity=0.62)
        .encode(
            x=alt.X("low:Q"),
            x2="high:Q",
            y=share,
            y2="base:Q",
            color=theme.color(),
            tooltip=[
                alt.Tooltip("kept:Q", title="units kept"),
                alt.Tooltip("share:Q", format=".2%", title="of the masks drawn"),
                alt.Tooltip("theory:Q", format=".2%", title="binomial"),
            ],
        ),
        alt.Chart(named("bars"))
        .mark_point(filled=True, size=2 * theme.DOT, opacity=1)
        .encode(x=kept, y=alt.Y("theory:Q"), color=theme.ink("ink")),
        _heading("kept"),
        width=left,
        height=tall,
        name="kept",
    )
    across = _passes_axis()
    count = _log_axis("y")
    lines = alt.Chart(named("distinct"))
    limits = alt.Chart(named("limits"))
    distinct = compose.layer(
        limits.mark_rule(strokeWidth=1.4).encode(y=count, color=theme.color(), strokeDash=theme.dash()),
        lines.mark_line(strokeWidth=1, opacity=0.5).encode(x=across, y=alt.Y("one:Q"), color=theme.color()),
        lines.mark_line().encode(x=across, y=count, color=theme.color()),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=across, y=count, color=theme.ink("ink")),
        _here("now", across, tall),
        _ends("ends", right, count),
        _heading("distinct"),
        width=right,
        height=tall,
        name="distinct",
    )
    join = compose.below if narrow else compose.beside
    return assemble(join(bars, distinct, resolve={"color": "shared"}), theme.config())


def shares_kept(units: int, p: float, passes: int, seed: int) -> Array:
    """Return the share of the first T masks that keeps 0, 1, …, n units."""
    drawn = _indices(units, p, seed)[0, :passes]
    kept = np.bitwise_count(drawn)
    return np.bincount(kept, minlength=units + 1) / passes


def _masks_figure(units: int, p: float, passes: int, seed: int) -> Figure:
    counted = counted_masks(units, p, seed)
    kept = np.arange(units + 1)
    picked = _picked()
    theory = expected_distinct(units, p, picked)
    total, effective = 2.0**units, float(effective_masks(units, p))
    limits = [("all masks", total, theme.INK, 0), ("effective", effective, theme.SLOTS["ochre"], 1)]
    merged = abs(total - effective) < 0.5
    ends = [("all = effective", total, theme.INK)] if merged else [limit[:3] for limit in limits]
    ends.append(("distinct, mean", float(counted.mean[-1]), _SAMPLED))
    reach = math.log(max(total, 2.0))
    places = np.exp(spread(np.log([value for _, value, _ in ends]), 0.075 * reach, 0.0, reach))
    return Figure(
        name="dropout/masks",
        build=_masks_spec,
        data={
            "bars": rows(
                kept=kept,
                low=kept - 0.4,
                high=kept + 0.4,
                share=shares_kept(units, p, passes, seed),
                base=0.0,
                theory=kept_probability(units, p),
                slot=np.int8(_SAMPLED),
            ),
            "distinct": rows(
                passes=picked,
                y=counted.mean[picked - 1],
                one=counted.one[picked - 1],
                slot=np.int8(_SAMPLED),
            ),
            "theory": rows(passes=picked[::3], y=theory[::3]),
            "limits": rows(
                y=[value for _, value, *_ in limits],
                slot=[slot for _, _, slot, _ in limits],
                dash=[dash for *_, dash in limits],
            ),
            "ends": rows(
                y=places, label=[name for name, *_ in ends], slot=[slot for *_, slot in ends], shown=True
            ),
            "now": rows(passes=[passes], **_side(f"T = {_count(passes)}", passes > 3)),
            "titles": rows(
                kept=[f"Units kept in {_count(passes)} {_plural(passes, 'mask')}"],
                distinct=["Distinct masks among T"],
            ),
        },
        title="Which masks are drawn",
        caption=(
            f"{_counted_units(units)}, {_rates(p)}, T = {_count(passes)}; distinct masks: mean over {_RUNS} runs; seed {seed}."
        ),
        key=(
            "Bars: share of the masks drawn; dots: binomial. Distinct masks, bold: mean over the runs; thin: the run whose "
            "masks are counted; dots: theory. Effective: 2 to the power of the mask's entropy in bits."
        ),
        alt="Histogram of kept units with the binomial, left; distinct masks against the number drawn, right.",
    )


def _masks_text(units: int, p: float, passes: int, seed: int) -> str:
    counted = counted_masks(units, p, seed)
    shares = shares_kept(units, p, passes, seed)
    kept = float(shares @ np.arange(units + 1))
    empty = round(float(shares[0]) * passes)
    mean, expected = float(counted.mean[passes - 1]), float(expected_distinct(units, p, passes))
    met = (
        f"Of {_count(2**units)} possible masks this run has met **{int(counted.one[passes - 1])}**; the mean of {_RUNS} runs "
        f"is {number(mean, 4)}, in theory {number(expected, 4)}, the sum over all masks of 1 − (1 − P(mask))ᵀ. Each new mask "
        "trains its network for one step. A large layer has so many that most are never met; they live on the weights they "
        "share."
        if 0 < p < 1
        else f"At p_drop = {number(p)} only one of the {_count(2**units)} masks is possible, the one that "
        f"{'keeps' if p == 0 else 'drops'} every unit, and every pass draws it."
    )
    return (
        f"On average {number(units * (1 - p))} of {_counted_units(units)} {_plural(units, 'is', 'are')} kept; in the "
        f"{_count(passes)} {_plural(passes, 'mask')} drawn it is {number(kept)}. All units are dropped with probability "
        f"p_drop{_power(units)} = {number(p**units)}; here in {empty} of {_count(passes)}. {met}"
    )


# Which p is best


@keep(entries=8)
def _regression(units: int, seed: int) -> dict[int, BestRate]:
    return {
        each: regression_rates(
            _RATES, units=units, examples=each * units, noise=_NOISE, sets=_SETS, seed=seed
        )
        for each in _PER_UNIT
    }


@lru_cache(maxsize=16)
def _best_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 80 if narrow else round((width - 190) / 2)
    x = alt.X("p:Q", title="p_drop", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(grid=False))
    count = alt.Y("y:Q", title=None, scale=alt.Scale(zero=True, padding=6))
    error = _log_axis("y")
    lines = alt.Chart(named("lines"))
    effective = compose.layer(
        alt.Chart(named("effective")).mark_line().encode(x=x, y=count, color=theme.color()),
        alt.Chart(named("peak"))
        .mark_point(filled=True, size=60, opacity=1)
        .encode(x=x, y=count, color=theme.color()),
        _here("now", x),
        _heading("effective"),
        width=inner,
        height=210,
        name="effective",
    )
    errors = compose.layer(
        _here("now", x),
        lines.mark_line().encode(x=x, y=error, color=theme.color(), detail="line:N"),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=error, color=theme.ink("ink")),
        alt.Chart(named("least"))
        .mark_point(filled=True, size=60, opacity=1)
        .encode(x=x, y=error, color=theme.color()),
        alt.Chart(named("starts"))
        .mark_text(align="left", baseline="bottom", dx=6, dy=-4, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(0), y=error, text="label:N", color=theme.color()),
        alt.Chart(named("room")).mark_point(opacity=0).encode(x=x, y=error),
        _heading("error"),
        width=inner,
        height=210,
        name="error",
    )
    join = compose.below if narrow else compose.beside
    return assemble(join(effective, errors, resolve={"color": "shared"}), theme.config())


def _best_figure(units: int, p: float, seed: int) -> Figure:
    found = _regression(units, seed)
    grid = np.linspace(0, 1, 81)
    slots = [theme.SLOTS[hue] for hue in _SIZE_HUES]
    lines: list[Part] = []
    for (each, run), slot in zip(found.items(), slots, strict=True):
        lines.append({"p": run.p, "y": run.error, "line": str(each), "slot": np.int8(slot)})
    best = [int(run.error.argmin()) for run in found.values()]
    last = found[_PER_UNIT[-1]]  # its line runs lowest, and its name stands below it
    return Figure(
        name="dropout/best_p",
        build=_best_spec,
        data={
            "effective": rows(p=grid, y=effective_masks(units, grid), slot=np.int8(theme.SLOTS["ochre"])),
            "peak": rows(p=[0.5], y=2.0**units, slot=theme.SLOTS["ochre"]),
            "lines": rows(*lines),
            "theory": rows(*({"p": run.p, "y": run.theory} for run in found.values())),
            "least": rows(
                p=[run.p[k] for run, k in zip(found.values(), best, strict=True)],
                y=[run.error[k] for run, k in zip(found.values(), best, strict=True)],
                slot=slots,
            ),
            "starts": rows(
                y=[run.error[0] * (0.5 if run is last else 1.0) for run in found.values()],
                label=[_examples(each * units) for each in found],
                slot=slots,
            ),
            "room": rows(p=0.5, y=[0.45 * last.error[0], 1.6 * max(run.error[0] for run in found.values())]),
            "now": rows(p=[p], **_side(number(p), p > 0.5)),
            "titles": rows(effective=["Effective number of masks"], error=["Squared error beyond the noise"]),
        },
        title="The most masks, and the least error",
        caption=(
            f"{_counted_units(units)}, rule at {_rates(p)}. Squared error: linear regression with dropout on as many orthogonal "
            f"inputs, minimized over all {_count(2**units)} masks at once; signal 1, noise variance {number(_NOISE**2)}; mean "
            f"over {_count(_SETS)} training sets, p_drop 0 to {number(_RATES[-1])} at {len(_RATES)} values; seed {seed}."
        ),
        key="Large dots: the most masks; the least error. Small dots: theory.",
        alt="Effective number of masks against p, left; test error against p for three sizes of the training set, right.",
    )


def _best_text(units: int, p: float, seed: int) -> str:
    found = _regression(units, seed)
    said = [
        f"**{number(float(run.p[run.error.argmin()]))}** with {_examples(each * units)} (theory {number(run.theory_best)})"
        for each, run in found.items()
    ]
    errors = [np.abs(run.error - run.theory)[:-1] / run.standard_error[:-1] for run in found.values()]
    worst, effective = float(np.max(errors)), float(effective_masks(units, p))
    here = "" if p == 0.5 else f", {number(effective)} at {number(p)}"
    return (
        f"Every p_drop between 0 and 1 has the same {_count(2**units)} masks; only their odds change. They are as hard to guess "
        f"as $2^{{nH(p)}}$ equally likely ones: {_count(2**units)} at 0.5{here}. The error does not follow that count. Of "
        f"the rates tried it is least at {', '.join(said[:-1])} and {said[-1]}: the optimum is N/(1 + N), with N = n · noise "
        "variance/examples, the variance of the estimate relative to a signal of 1. More data, less dropout; 0.5 is best only "
        f"where N = 1. Measured and theory are at most {number(worst, 2)} standard errors apart. This is a linear model; a "
        "network has no such formula, and its p_drop has to be tuned."
    )


def _masks(values: Values) -> Sequence[Block]:
    units, p = whole(values, "ens_units"), real(values, "p")
    passes, seed = whole(values, "ens_samples"), whole(values, "seed")
    return [
        "**Masks.** How many units does a mask keep, and how many of all networks does training ever meet?",
        _masks_figure(units, p, passes, seed),
        _masks_text(units, p, passes, seed),
        "**Is p_drop = 0.5 best?** It makes the masks as varied as they can be, and that is given as a reason. Compare with "
        "where the error is least.",
        _best_figure(units, p, seed),
        _best_text(units, p, seed),
    ]


# MC dropout


def true_function(x: Array) -> Array:
    """Return what the data of the band scatter around: sin(2.2·x) + 0.3·x."""
    return np.asarray(np.sin(2.2 * x) + 0.3 * x)


class _Variant(NamedTuple):
    """One of the networks that are trained together."""

    name: str
    p: float
    decay: float


def _variants(p: float, decay: float) -> tuple[_Variant, ...]:
    """Return the network that is drawn, and two beside it: a fifth of its p_drop, and a hundred times its decay."""
    other = p / 5 if p > 0 else 0.1
    return (
        _Variant(f"p_drop {number(p)}, λ {number(decay)}", p, decay),
        _Variant(f"p_drop {number(other)}, λ {number(decay)}", other, decay),
        _Variant(f"p_drop {number(p)}, λ {number(100 * decay)}", p, 100 * decay),
    )


def _data(seed: int) -> tuple[Array, Array]:
    """Draw points on both sides of a gap, as many on either."""
    rng = stream(seed, _DATA)
    x = rng.uniform(_INNER, _OUTER, _TRAINED) * np.where(np.arange(_TRAINED) % 2, 1.0, -1.0)
    return x, true_function(x) + _TRAIN_NOISE * rng.standard_normal(_TRAINED)


@keep(entries=8)
def _trained(p: float, decay: float, layers: int, seed: int, share: progress.Share) -> DropoutTraining:
    variants = _variants(p, decay)
    return train_dropout(
        *_data(seed),
        (_UNITS,) * layers,
        p=[variant.p for variant in variants],
        activation=_ACTIVATION,
        initializer=INITIALIZERS["He normal"],
        rule=OPTIMIZERS["Adam"].build(
            lr=_RATE, weight_decay=np.array([variant.decay for variant in variants])
        ),
        steps=_STEPS,
        seed=seed,
        report=share.report,
    )


_REGIONS = ("data", "gap", "beyond")
_EDGES = (-_END, -_OUTER, -_INNER, _INNER, _OUTER, _END)  # of the regions as they are drawn, and their names
_NAMES = ("beyond", "data", "gap", "data", "beyond")


def _where() -> dict[str, Array]:
    """Say where on the grid the data are, where the gap, and what lies beyond both."""
    away = np.abs(_GRID)
    gap, beyond = away < _INNER - 1e-9, away > _OUTER + 1e-9
    return {"data": ~gap & ~beyond, "gap": gap, "beyond": beyond}


def _drawn() -> list[Array]:
    """Say where on the grid each region lies, from left to right."""
    where, left = _where(), _GRID < 0
    return [
        where["beyond"] & left,
        where["data"] & left,
        where["gap"],
        where["data"] & ~left,
        where["beyond"] & ~left,
    ]


class _Band(NamedTuple):
    """Passes of one network over the grid."""

    passes: Array  # (_DRAWN at most, grid)
    mean: Array  # (grid,)
    sd: Array  # (grid,), unbiased variance; NaN for a single pass
    scaled: Array  # (grid,), one pass with all units
    spread: dict[str, float]  # mean sd by region
    sides: Array  # (5,), mean sd by region from left to right
    off: Array  # (5,), rms of the mean by region from left to right
    error: float  # rms of the mean, on the grid where data are
    theory: Array | None  # (grid,), the closed form of sd, of one hidden layer
    covered: dict[str, float]  # share of the grid where the true function is within 2 sd, by region


@keep(entries=24)
def _band(
    p: float, decay: float, layers: int, passes: int, seed: int, which: int, share: progress.Share
) -> _Band:
    run = _trained(p, decay, layers, seed, share)
    rate, params = float(run.p[which]), run.params.at(which)
    drawn = dropout_passes(params, _GRID, rate, samples=passes, activation=_ACTIVATION, seed=seed)
    mean = drawn.mean(axis=0)
    with np.errstate(all="ignore"):
        sd = drawn.std(axis=0, ddof=1) if passes > 1 else np.full(len(_GRID), np.nan)
        inside = np.abs(true_function(_GRID) - mean) <= 2 * sd
    return _Band(
        drawn[:_DRAWN],
        mean,
        sd,
        predict_scaled(params, _GRID, rate, _ACTIVATION),
        {name: float(sd[at].mean()) for name, at in _where().items()},
        np.array([sd[at].mean() for at in _drawn()]),
        np.array([np.sqrt(np.square(mean - true_function(_GRID))[at].mean()) for at in _drawn()]),
        float(np.sqrt(np.mean((mean - true_function(_GRID))[_where()["data"]] ** 2))),
        one_layer_sd(params, _GRID, rate, _ACTIVATION) if layers == 1 else None,
        {name: float(inside[at].mean()) for name, at in _where().items()},
    )


@lru_cache(maxsize=16)
def _band_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (160 if narrow else 190)
    scale = alt.Scale(domain=[-_END, _END], nice=False)
    x = alt.X("x:Q", title="x", scale=scale, axis=alt.Axis(grid=False))
    bare = alt.X("x:Q", title=None, scale=scale, axis=alt.Axis(grid=False, labels=False, ticks=False))
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(tickCount=5))
    sd = alt.Y("sd:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=3))
    band = alt.Chart(named("band"))
    curves = alt.Chart(named("curves"))
    ground = (
        alt.Chart(named("regions"))
        .mark_rect()
        .encode(
            x=alt.X("low:Q", scale=scale),
            x2="high:Q",
            color=theme.color(),
            opacity=alt.condition("datum.shaded", alt.value(0.14), alt.value(0)),
        )
    )
    upper = compose.layer(
        ground,
        band.mark_area(opacity=0.22).encode(x=bare, y=alt.Y("low:Q"), y2="high:Q", color=theme.color()),
        alt.Chart(named("passes"))
        .mark_line(strokeWidth=0.8, opacity=0.4)
        .encode(x=bare, y=y, detail="pass:N", color=theme.color()),
        curves.mark_line().encode(x=bare, y=y, detail="line:N", color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("points"))
        .mark_point(filled=True, size=22, opacity=0.9)
        .encode(x=bare, y=y, color=theme.color()),
        alt.Chart(named("regions"))
        .mark_text(baseline="bottom", fontSize=theme.SMALL_SIZE - narrow)
        .encode(x=alt.X("middle:Q", scale=scale), y=alt.value(-4), text="label:N", color=theme.ink("muted")),
        _ends("ends", inner, y),
        _heading("band", 24),
        width=inner,
        height=260 if narrow else 290,
        name="band",
    )
    lower = compose.layer(
        ground,
        band.mark_line().encode(x=x, y=sd, color=theme.color()),
        alt.Chart(named("regions"))
        .mark_rule(strokeWidth=1.2, strokeDash=[3, 3])
        .encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q", y=sd, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        alt.Chart(named("regions"))
        .mark_text(baseline="bottom", fontSize=theme.SMALL_SIZE)
        .encode(x=alt.X("middle:Q", scale=scale), y=alt.value(-4), text="said:N", color=theme.ink("ink")),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT)
        .encode(x=x, y=sd, color=theme.ink("ink"), opacity=theme.SHOWN),
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=sd),
        _heading("sd", 24),
        width=inner,
        height=110,
        name="sd",
    )
    resolve = {"color": "shared", "x": "independent"}
    return assemble(compose.below(upper, lower, spacing=34, resolve=resolve), theme.config())


def _significant(value: float) -> float:
    return value if abs(value) > _ROUNDING else 0.0


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _band_figure(
    p: float, decay: float, layers: int, passes: int, seed: int, share: progress.Share
) -> Figure:
    band = _band(p, decay, layers, passes, seed, 0, share)
    x, y = _data(seed)
    lines = (
        (f"mean of {_count(passes)}", band.mean, _SAMPLED, 0),
        ("weight scaling", band.scaled, _SCALED, 1),
        ("true function", true_function(_GRID), theme.INK, 2),
    )
    sd = band.sd
    if passes == 1:  # no band; one number that neither line nor area shows keeps the extent of each column
        sd = np.where(np.arange(len(_GRID)) == 0, 0.0, np.nan)
    low, high = band.mean - 2 * sd, band.mean + 2 * sd
    every = np.concatenate([low, high, y, *(line for _, line, *_ in lines)])
    every = every[np.isfinite(every)]
    bottom, top = float(every.min()), float(every.max())
    widest = float(np.nanmax(np.append(_finite(band.sd), 0.0)))
    ends = [
        (name, float(line[-1]) if np.isfinite(line[-1]) else bottom, slot) for name, line, slot, _ in lines
    ]
    return Figure(
        name="dropout/mc_band",
        build=_band_spec,
        data={
            "band": rows(
                x=_GRID, low=_finite(low), high=_finite(high), sd=_finite(sd), slot=np.int8(_SAMPLED)
            ),
            "passes": rows(
                *(
                    {"x": _GRID, "y": _finite(one), "pass": str(k), "slot": np.int8(_SAMPLED)}
                    for k, one in enumerate(band.passes)
                )
            ),
            "curves": rows(
                *(
                    {"x": _GRID, "y": _finite(line), "line": name, "slot": np.int8(slot), "dash": dash}
                    for name, line, slot, dash in lines
                )
            ),
            "points": rows(x=x, y=y, slot=np.int8(theme.INK)),
            "regions": rows(
                low=list(_EDGES[:-1]),
                high=list(_EDGES[1:]),
                middle=[(a + b) / 2 for a, b in pairwise(_EDGES)],
                label=list(_NAMES),
                sd=np.nan_to_num(band.sides),
                said=[number(_significant(float(value)), 2) if passes > 1 else "" for value in band.sides],
                shaded=[name == "data" for name in _NAMES],
                shown=passes > 1,
                slot=np.int8(theme.FAINT),
            ),
            "ends": rows(
                y=spread(np.array([value for _, value, _ in ends]), 0.065 * (top - bottom), bottom, top),
                label=[name for name, *_ in ends],
                slot=[slot for *_, slot in ends],
                shown=True,
            ),
            "theory": rows(x=_GRID[::4], sd=_finite(band.theory[::4]), shown=True)
            if band.theory is not None
            else rows(x=[0.0], sd=0.0, shown=False),
            "reach": rows(x=[0.0, 0.0], sd=[0.0, 1.25 * widest if widest > _ROUNDING else 1.0]),
            "titles": rows(band=["Prediction with dropout left on, mean ± 2 sd"], sd=["sd of the passes"]),
        },
        title="MC dropout: a band from the same network",
        caption=(
            f"{_TRAINED} points of sin(2.2x) + 0.3x with noise {number(_TRAIN_NOISE)}, for |x| from {number(_INNER)} to "
            f"{number(_OUTER)}; network {'-'.join(map(str, (1, *(_UNITS,) * layers, 1)))}, ReLU, He, dropout after every "
            f"hidden layer, inverted, {_rates(p)}; Adam, η {number(_RATE)}, weight decay {number(decay)} added to the "
            f"gradient, {_STEPS} steps on all points; T = {_count(passes)}; seed {seed}."
        ),
        key=(
            f"Orange: mean ± 2 sd of the passes, and the first {_DRAWN} as thin lines, one mask each. Shaded: where data "
            f"are. Below: sd, dashed and above its mean by region{'; dots: closed form' if layers == 1 else ''}."
        ),
        alt="Predictive band of MC dropout around its mean with data, a gap and the true function; below, the sd of the passes.",
    )  # fmt: skip


def _overconfident(band: _Band) -> str:
    """Say how far the mean is off beyond the data, on the side where the band tells least of it."""
    side = max((0, -1), key=lambda k: band.off[k] / max(float(band.sides[k]), 1e-300))
    spread_, off, data = float(band.sides[side]), float(band.off[side]), band.spread["data"]
    narrower = spread_ < data
    if off <= 2 * spread_:
        lesson = "within two of them."
    else:
        lesson = "a narrow band is no sign that the network knows." if narrower else "far outside the band."
    return (
        f" Beyond the data on the {'right' if side else 'left'} the band is {'narrower' if narrower else 'wider'} than on the "
        f"data (sd {number(spread_, 2)} and {number(data, 2)}), and the mean is off by an rms of **{number(off, 2)}**, "
        f"{number(off / spread_, 2)} sd: {lesson}"
    )


def _band_text(
    p: float, decay: float, layers: int, passes: int, seed: int, share: progress.Share
) -> Sequence[Block]:
    run = _trained(p, decay, layers, seed, share)
    variants = _variants(p, decay)
    stopped = "".join(
        f" The network with {variant.name} is not finite from step {int(at)} on."
        for variant, at in zip(variants, run.diverged_at, strict=True)
        if at >= 0
    )
    if passes == 1:
        return ["One pass is one function: there is nothing to spread. Raise T for a band." + stopped]
    if p in (0, 1):
        same = f"With p_drop = {number(p)} every pass is the same function: no band, nothing about what is unknown."
        return [same + stopped]
    fewer = min(passes, _COMPARED)
    bands = [_band(p, decay, layers, fewer if k else passes, seed, k, share) for k in range(len(variants))]
    here = bands[0]
    sd, covered = here.spread, here.covered
    left, right = float(here.sides[0]), float(here.sides[-1])
    text = (
        f"The passes spread by **{number(sd['gap'], 2)}** in the gap and {number(sd['data'], 2)} on the data, "
        f"{number(sd['gap'] / sd['data'], 2)} times as wide; beyond the data by {number(left, 2)} on the left "
        f"and {number(right, 2)} on the right. Mean ± 2 sd covers "
        f"the true function on {percent(covered['data'])} of the x with data, {percent(covered['gap'])} of the gap and "
        f"**{percent(covered['beyond'])}** beyond; a calibrated band would cover about 95% everywhere. On the data the mean "
        f"is off by an rms of {number(here.error, 2)}, where their noise is {number(_TRAIN_NOISE)}."
    )
    text += _overconfident(here)
    if here.theory is not None:
        apart = float(np.nanmax(np.abs(here.sd / here.theory - 1)))
        text += (
            " With one hidden layer the variance has a closed form, p/(1 − p) · Σ v²h(x)² over the hidden units: a sum of "
            "squared ReLUs, convex in x, so a wide band between two narrow ones cannot be (Foong et al. 2020). The measured "
            f"sd is at most {percent(apart)} off it."
        )
    lines = [
        [
            variant.name,
            *(number(band.spread[region], 2) for region in _REGIONS),
            *(percent(band.covered[region]) for region in _REGIONS),
        ]
        for variant, band in zip(variants, bands, strict=True)
    ]
    head = ("Network", *(f"sd, {name}" for name in _REGIONS), *(f"covered, {name}" for name in _REGIONS))
    others = " and ".join(
        f"{number(band.spread['gap'] / sd['gap'], 2)} times as wide with {variant.name}"
        for variant, band in zip(variants[1:], bands[1:], strict=True)
    )
    return [
        text + stopped,
        table(head, lines),
        f"The band depends on what one chooses: in the gap it is {others}, from the same data. It says how much the masked "
        "networks disagree, not how wrong they are, and the noise of the data is not in it. An sd from "
        f"{_count(passes)} passes is itself uncertain by about {percent(1 / math.sqrt(2 * (passes - 1)))}, 1/√(2(T − 1)) for "
        f"normal outputs; the networks beside it take {fewer}.",
    ]


def _predictive(values: Values) -> Sequence[Block]:
    p, decay = real(values, "p"), real(values, "ens_decay")
    layers, passes, seed = whole(values, "ens_layers"), whole(values, "ens_samples"), whole(values, "seed")
    share = progress.Share(0.0, 1.0, "Training with dropout")
    return [
        "**Predictive band.** A network trained with dropout keeps its masks on and predicts T times. Does the spread of the "
        "passes tell where the data end?",
        _band_figure(p, decay, layers, passes, seed, share),
        *_band_text(p, decay, layers, passes, seed, share),
    ]


# The tab


class _View(NamedTuple):
    """One view of the tab and the controls that act in it."""

    blocks: Callable[[Values], Sequence[Block]]
    knobs: tuple[str, ...]


_VIEWS = {
    NETWORKS: _View(_networks, ("ens_net", "ens_units", "ens_samples")),
    MASKS: _View(_masks, ("ens_units", "ens_samples")),
    BAND: _View(_predictive, ("ens_samples", "ens_layers", "ens_decay")),
}


def ensemble_blocks(values: Values) -> Sequence[Block]:
    """Show dropout as an ensemble: all networks enumerated, the masks that are drawn, or a predictive band.

    Args:
        values: the page's; those of ``ENSEMBLE_KNOBS``, p and the seed act.

    Returns:
        the blocks of the view that ``ens_view`` names, each figure with a lead and a reading.
    """
    return _VIEWS[word(values, "ens_view")].blocks(values)
