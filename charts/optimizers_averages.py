"""The Averages tab of the optimizers page: moving averages, their weights, RMSProp, and Adam switch by switch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import counted, percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.optimizers_base import (
    APART,
    CLEAR,
    ROOMY,
    STYLES,
    conditions,
    own,
    place,
    problem_of,
    quadratic,
    start_of,
    surface_key,
    surface_of,
)
from charts.topic import Block, Values, real, whole, word
from core.averages import (
    INGREDIENTS,
    SERIES,
    Scatter,
    Windows,
    adam_ablation,
    constant_gradient_steps,
    days_until,
    ewma,
    held,
    measure_scatter,
    misplaced_average,
    misplaced_bracket,
    misplaced_limit,
    momentum_weights,
    noise_share,
    simple_average,
    weights,
    windows,
)
from core.descent import Descent, descend, steps_to
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.optimizers import OPTIMIZERS
from core.quadratic import GD_THEORY, HEAVY_BALL_THEORY
from core.streams import stream
from core.surfaces import Surface

Array = np.ndarray

AVERAGE, WEIGHTS, RMSPROP, ADAM = "average", "weights", "RMSProp", "Adam, switch by switch"

_MANY = 2000  # series over which the scatter of the averages is measured
_BARS = 60  # bars of the weights; where there are more ages, a bar pools some
_LONG = 1000  # steps on the constant gradient
_DOTS = 24  # dots of theory along a line
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_POINTS = 120  # most points of a line against step
_FLOOR, _CEILING = 1e-12, 1e3  # what the panel of f − f* shows, in units of its start
_SMALL_BIAS = 0.01
_NO_BIAS = 1e-9  # a share of the weight that no text needs to tell from 0

_RAW, _CORRECTED = theme.SLOTS["blue"], theme.SLOTS["purple"]

AVERAGES_KNOBS = (
    Knob("avg_view", "choice", AVERAGE, label="Show", choices=(AVERAGE, WEIGHTS, RMSPROP, ADAM)),
    Knob(
        "avg_series", "choice", "temperatures", label="Series", choices=tuple(SERIES), aliases=aliases_of(SERIES),
    ),
    Knob(
        "avg_beta", "float", 0.9, label="Decay", low=0.0, high=0.999, step=0.01, symbol="β",
        help="Share of the average that is kept from one day to the next.",
    ),
    Knob("avg_days", "int", 100, label="Days", low=30, high=400, step=1),
    Knob(
        "avg_noise", "float", 2.0, label="Noise", low=0.0, high=10.0, step=0.5, symbol="σ",
        help="Standard deviation of the independent noise of every day.",
    ),
    Knob(
        "avg_formula", "bool", False, label="The notes' bracket",
        help="Shows V ← βV + (1 − βθ) beside V ← βV + (1 − β)θ.",
    ),
    Knob("avg_seed", "int", 0, label="Seed", low=0, high=9999, step=1),
    Knob(
        "avg_rho", "float", 0.99, label="Memory of squares", low=0.0, high=0.9999, step=0.01, symbol="ρ",
        help="Decay of the average of g².",
    ),
    Knob(
        "avg_beta1", "float", 0.9, label="Memory of gradients", low=0.0, high=0.999, step=0.01, symbol="β₁",
        help="Decay of the average of g.",
    ),
    Knob(
        "avg_beta2", "float", 0.999, label="Memory of squares", low=0.0, high=0.9999, step=0.001, symbol="β₂",
        help="Decay of the average of g².",
    ),
)  # fmt: skip


def averages_shown(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab beside these values."""
    return _VIEWS[word(values, "avg_view")].knobs


# Shared parts of the figures


def _heading(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _ends(data: str, x: int, y: alt.Y, short: bool) -> Panel:
    """Write the names of lines beside the panel, or short ones where there is little room; shown = false hides a name."""
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(
            x=alt.value(x),
            y=y,
            text="short:N" if short else "label:N",
            color=theme.color(),
            opacity=theme.SHOWN,
        )
    )


def _side(panels: Sequence[Panel], narrow: bool) -> Spec:
    join, gap = (compose.below, 44) if narrow else (compose.beside, 24)
    joined = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(joined, theme.config())


def _linear(field: str) -> alt.Y:
    return alt.Y(
        field, title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(labelPadding=CLEAR)
    )


def _log(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, labelPadding=CLEAR),
    )


def _steps(title: str, log: bool = False, tight: bool = False) -> alt.X:
    if log:
        return alt.X(
            "step:Q", title=title, scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(
                grid=False, labelExpr=theme.POWER, tickCount=3 if tight else 6, labelPadding=CLEAR, labelSeparation=APART
            ),
        )  # fmt: skip
    return alt.X(
        "step:Q", title=title, scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )  # fmt: skip


def _dotted(count: int) -> Array:
    """Choose which of so many points carry a dot of theory: the first, the last, and some between."""
    wanted = np.unique(np.linspace(0, count - 1, min(_DOTS, count)).round().astype(int))
    return np.isin(np.arange(count), wanted)


def _visible(y: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    values = np.asarray(y, float)
    return np.where(np.isfinite(values) & (values >= 1e-300) & (values <= 1e300), values, np.nan)


def _span(*parts: Array, log: bool = False, least: float = 1.0) -> tuple[float, float]:
    """Return the ends of an axis that holds all finite numbers, ``least`` long at least, in decades on a log axis."""
    flat = np.concatenate([(_visible(p) if log else np.asarray(p, float)).ravel() for p in parts])
    seen = flat[np.isfinite(flat)]
    seen = np.log10(seen) if log else seen
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    margin = max(0.03 * (high - low), (least - (high - low)) / 2)
    low, high = low - margin, high + margin
    return (10.0**low, 10.0**high) if log else (low, high)


def _placed(ends: Sequence[float], span: tuple[float, float], log: bool = False, gap: float = 0.06) -> Array:
    """Return where names of lines that end there stand, ``gap`` of the axis apart."""
    low, high = np.log10(span) if log else span
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.log10(np.asarray(ends, float)) if log else np.asarray(ends, float)
    placed = spread(wanted, gap * (high - low), low, high)
    return np.asarray(10.0**placed if log else placed)


def _apart(measured: Array, exact: Array) -> float:
    """Return the largest share by which measured numbers miss the exact ones, where there are both."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(np.asarray(measured) / np.asarray(exact) - 1)
    share = share[np.isfinite(share)]
    return float(share.max()) if len(share) else 0.0


def _days(count: float) -> str:
    return counted(count, "day")


# The average of a noisy series


@lru_cache(maxsize=16)
def _average_spec(width: int) -> Spec:
    narrow = width < NARROW
    tight = width < ROOMY
    beside = 300 if tight else 450  # for axes and names
    left = width - 149 if narrow else round((width - beside) * 0.62)
    right = width - 149 if narrow else width - beside - left
    tall = 270 if narrow else 330
    x = alt.X(
        "day:Q", title="day", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, format="d")
    )
    days, notes = alt.Chart(named("days")), alt.Chart(named("misplaced"))

    def dots(base: Panel, field: str) -> Panel:
        return base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=_linear(field), color=theme.ink("ink")
        )

    series = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_linear("left:Q")),
        days.mark_point(filled=True, size=16, opacity=0.9).encode(
            x=x, y=_linear("x:Q"), color=theme.ink("faint"),
            tooltip=[
                alt.Tooltip("day:Q"), alt.Tooltip("x:Q", format=".4g", title="value"),
                alt.Tooltip("raw:Q", format=".4g"), alt.Tooltip("corrected:Q", format=".4g"),
            ],
        ),
        days.mark_line(strokeWidth=1.2, strokeDash=[2, 2], opacity=0.6).encode(x=x, y=_linear("level:Q"), color=theme.ink("ink")),
        days.mark_line(strokeWidth=1.6, strokeDash=[6, 3]).encode(x=x, y=_linear("simple:Q"), color=theme.ink("muted")),
        notes.mark_line(strokeWidth=1.4, strokeDash=[6, 3]).encode(
            x=x, y=_linear("limit:Q"), color=theme.ink("bad"), opacity=theme.SHOWN
        ),
        notes.mark_line().encode(x=x, y=_linear("y:Q"), color=theme.ink("bad"), opacity=theme.SHOWN),
        notes.mark_point(filled=True, size=theme.DOT).encode(
            x=x, y=_linear("theory:Q"), color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        days.mark_line(strokeWidth=4.5, opacity=0.5).encode(x=x, y=_linear("raw:Q"), color=theme.ink("blue")),
        days.mark_line(strokeWidth=1.8).encode(x=x, y=_linear("corrected:Q"), color=theme.ink("purple")),
        dots(days, "raw_theory:Q"),
        _ends("series_ends", left, _linear("y:Q"), tight),
        _heading("series"),
        width=left, height=tall, name="series",
    )  # fmt: skip
    noise = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_linear("right:Q")),
        days.mark_line(strokeWidth=1.6, strokeDash=[6, 3]).encode(
            x=x, y=_linear("noise_simple:Q"), color=theme.ink("muted")
        ),
        days.mark_line(strokeWidth=4.5, opacity=0.5).encode(x=x, y=_linear("noise_raw:Q"), color=theme.ink("blue")),
        days.mark_line(strokeWidth=1.8).encode(x=x, y=_linear("noise_corrected:Q"), color=theme.ink("purple")),
        *(
            dots(days, f"noise_{kind}_theory:Q") for kind in ("raw", "corrected", "simple")
        ),
        _ends("noise_ends", right, _linear("y:Q"), tight),
        _heading("noise"),
        width=right, height=tall, name="noise",
    )  # fmt: skip
    return _side([series, noise], narrow)


@keep(entries=8)
def _scatter(beta: float, days: int, seed: int) -> Scatter:
    return measure_scatter(beta, days, _window(beta), series=_MANY, seed=seed)


def _window(beta: float) -> int:
    """Return the whole number of days whose simple mean scatters as little as the average."""
    return max(1, round(windows(beta).equal_noise))


@dataclass(frozen=True)
class _Averages:
    """One noisy series and its averages, each (days,), with what theory expects of them."""

    day: Array
    x: Array
    level: Array
    raw: Array
    corrected: Array
    simple: Array
    raw_theory: Array
    misplaced: Array
    misplaced_theory: Array
    limit: Array


@keep(entries=8)
def _averaged(name: str, beta: float, days: int, noise: float, seed: int) -> _Averages:
    series, day = SERIES[name], np.arange(1, days + 1)
    x = series.draw(days, noise=noise, rng=stream(seed, 0))
    expected = series.expected_average(day, beta)
    return _Averages(
        day=day,
        x=x,
        level=series.level(day),
        raw=ewma(x, beta),
        corrected=ewma(x, beta, corrected=True),
        simple=simple_average(x, _window(beta)),
        raw_theory=expected,
        misplaced=misplaced_bracket(x, beta),
        misplaced_theory=misplaced_average(expected, day, beta),
        limit=misplaced_limit(series.level(day), beta),
    )


def _average_figure(values: Values, run: _Averages, scatter: Scatter) -> Figure:
    beta, series = real(values, "avg_beta"), SERIES[word(values, "avg_series")]
    wrong, window = bool(values["avg_formula"]), _window(beta)
    dotted = _dotted(len(run.day))
    lines = [run.x, run.level, run.raw, run.corrected, run.simple]
    span = _span(*lines, *([run.misplaced] if wrong else []))
    # The limit is drawn where the line gets near it; else it alone would make the scale.
    reach = 0.15 * (span[1] - span[0])
    near = wrong and bool(((run.limit > span[0] - reach) & (run.limit < span[1] + reach)).all())
    if near:
        span = _span(*lines, run.misplaced, run.limit)
    limit = number(float(run.limit[-1]))
    ends = [
        (float(run.level[-1]), "level", "level", theme.INK),
        (float(run.simple[-1]), f"mean of {_days(window)}", f"{_days(window)}", theme.MUTED),
        (float(run.raw[-1]), "raw average", "raw", _RAW),
        (float(run.corrected[-1]), "corrected average", "corrected", _CORRECTED),
        *([(float(run.misplaced[-1]), "βV + (1 − βθ)", "notes", theme.BAD)] if wrong else []),
        *(
            [(float(run.limit[-1]), f"(1 − βθ)/(1 − β) = {limit}", f"limit {limit}", theme.BAD)]
            if near
            else []
        ),
    ]
    exact = {
        "raw": noise_share(beta, run.day),
        "corrected": noise_share(beta, run.day, corrected=True),
        "simple": 1 / np.sqrt(np.minimum(run.day, window)),
    }
    measured = {"raw": scatter.raw, "corrected": scatter.corrected, "simple": scatter.simple}
    right = _span(*measured.values(), *exact.values(), np.zeros(1))
    last = {kind: float(line[-1]) for kind, line in measured.items()}
    level = run.level[:2]
    misplaced: Part = {"day": [1, 2], "y": level, "theory": level, "limit": level, "shown": False}
    if wrong:
        misplaced = {
            "day": run.day.astype(np.int16),
            "y": run.misplaced,
            "theory": np.where(dotted, run.misplaced_theory, np.nan),
            "limit": run.limit if near else np.full(len(run.day), np.nan),
            "shown": True,
        }
    return Figure(
        name="optimizers/averages",
        build=_average_spec,
        data={
            "days": rows(
                day=run.day.astype(np.int16),
                x=run.x, level=run.level, raw=run.raw, corrected=run.corrected, simple=run.simple,
                raw_theory=np.where(dotted, run.raw_theory, np.nan),
                **{f"noise_{kind}": line for kind, line in measured.items()},
                **{f"noise_{kind}_theory": np.where(dotted, line, np.nan) for kind, line in exact.items()},
            ),
            "misplaced": rows(misplaced),
            "reach": rows(left=list(span), right=list(right)),
            "series_ends": rows(
                y=_placed([end[0] for end in ends], span),
                label=[end[1] for end in ends],
                short=[end[2] for end in ends],
                slot=[end[3] for end in ends],
                shown=True,
            ),
            "noise_ends": rows(
                y=_placed([last["simple"], last["raw"], last["corrected"]], right),
                label=[f"mean of {_days(window)}", "raw", "corrected"],
                short=[_days(window), "raw", "corrected"],
                slot=[theme.MUTED, _RAW, _CORRECTED],
                shown=True,
            ),
            "titles": rows(
                series=[f"Series and its averages{',' if series.unit else ''}{series.unit}"],
                noise=["Standard deviation, in units of the noise"],
            ),
        },
        title=f"Moving averages of a noisy series: {series.name}",
        caption=(
            f"{series.name.capitalize()}: level {series.formula}{series.unit} on day t, normal noise σ = "
            f"{number(real(values, 'avg_noise'))}{series.unit}, {len(run.day)} days, seed {values['avg_seed']}. V ← βV + "
            f"(1 − β)θ with β = {number(beta, 5)}, V₀ = 0; corrected: V/(1 − βᵗ). "
            f"Standard deviation: over {number(_MANY)} other series of "
            f"noise alone." + (" In red V ← βV + (1 − βθ), V₀ = 0." if wrong else "")
            + (" Dashed: where it would converge if the level stayed as it is that day." if near else "")
        ),
        key="Gray dots: the series. Dotted line: its level without noise. Small dots: exact expectation or standard deviation.",
        alt="Left: a noisy series with its raw and bias-corrected moving average and a simple mean. Right: the standard "
        "deviation of the three averages against day.",
    )  # fmt: skip


def _misplaced_text(values: Values, run: _Averages) -> str:
    beta, series = real(values, "avg_beta"), SERIES[word(values, "avg_series")]
    days = len(run.day)
    text = (
        "**The notes' bracket**, V ← βV + (1 − βθ), "
        + (
            f"turns the raw average around: it is multiplied by −β/(1 − β) = {number(-beta / (1 - beta))} and shifted by "
            "(1 − β^t)/(1 − β)"
            if beta > 0
            else "forgets the series where β = 0: it is 1 on every day"
        )
        + f". It ends at **{number(float(run.misplaced[-1]))}** "
        f"(expected {number(float(run.misplaced_theory[-1]))}), where the level is {number(float(run.level[-1]))}"
        f"{series.unit}. On a constant level of 10 it converges to (1 − 10β)/(1 − β) = "
        f"**{number(float(misplaced_limit(10.0, beta)))}**"
    )
    missing = beta**days
    if missing > _SMALL_BIAS:
        text += f", of which {percent(1 - missing)} is reached after {days} days"
    return text + "."


def _average_blocks(values: Values) -> list[Block]:
    beta, days, seed = real(values, "avg_beta"), whole(values, "avg_days"), whole(values, "avg_seed")
    series = SERIES[word(values, "avg_series")]
    run = _averaged(series.name, beta, days, real(values, "avg_noise"), seed)
    scatter = _scatter(beta, days, seed)
    window, limit = windows(beta), math.sqrt((1 - beta) / (1 + beta))
    until = days_until(beta, _SMALL_BIAS)
    gap = float(np.max(np.abs(run.raw - run.raw_theory)))
    text = [
        f"On day 1 the value is {number(float(run.x[0]))}{series.unit}; the raw average holds 1 − β = {number(1 - beta)} of "
        f"it, **{number(float(run.raw[0]))}**, the corrected one all of it, **{number(float(run.corrected[0]))}**. V starts "
        "from 0, and a share of β^t of the weight is still there: "
        + (
            f"it falls to 1% on day {until}, beyond this series."
            if until > days
            else f"it falls to 1% on day {until}."
            if until > 1
            else "none from day 1 on." if beta == 0 else "1% or less from day 1 on."
        )
    ]  # fmt: skip
    if real(values, "avg_noise") == 0:
        text.append(
            f"Without noise the recursion and the closed form of the raw average differ by at most {number(gap, 1)}."
        )
    exact = noise_share(beta, np.array([days]), corrected=True)
    text.append(
        f"On day {days} the corrected average of noise scatters by **{number(float(scatter.corrected[-1]))}** of one value's "
        f"standard deviation over {number(_MANY)} series, which err by some {percent(1 / math.sqrt(2 * _MANY), 2)} "
        f"(exactly {number(float(exact[0]), 4)}, in the long run √((1 − β)/(1 + β)) = {number(limit, 4)}). A simple mean "
        f"needs (1 + β)/(1 − β) = {_days(window.equal_noise)} for that; one of 1/(1 − β) = {_days(window.nominal)} scatters "
        f"by {number(1 / math.sqrt(window.nominal))}."
    )
    for wave in series.waves:
        if wave.frequency == math.pi:
            steady = sum(other.size for other in series.waves if other.frequency == 0)
            swing = (1 - beta) / (1 + beta)
            text.append(
                f"The zigzag of ±{number(wave.size)} is left with (1 − β)/(1 + β) = {number(swing)} of its size, "
                f"±{number(wave.size * swing)}, and the steady {number(steady)} stays: this is what an average of gradients "
                "does across and along a ravine."
            )
    if bool(values["avg_formula"]):
        text.append(_misplaced_text(values, run))
    return [
        "A moving average keeps a share β of itself every day. What does it make of the first days, and how much noise is left?",
        _average_figure(values, run, scatter),
        " ".join(text),
    ]


# The weights


@lru_cache(maxsize=16)
def _weights_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = [width - 89] * 3 if narrow else [round((width - 207) * share) for share in (0.42, 0.29, 0.29)]
    tall = 230 if narrow else 310
    x = alt.X(
        "low:Q",
        title="days back",
        scale=alt.Scale(nice=False, zero=True),
        axis=alt.Axis(grid=False, labelPadding=CLEAR),
    )
    bars, sums, flags = alt.Chart(named("bars")), alt.Chart(named("sums")), alt.Chart(named("flags"))

    def y(field: str) -> alt.Y:
        return alt.Y(
            field, title=None, scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(labelPadding=CLEAR)
        )

    def at(field: str) -> alt.X:
        return alt.X(field, title="days back")

    raw = bars.mark_rect(opacity=0.5).encode(
        x=x, x2="high:Q", y=y("weight:Q"), y2=alt.Y2Datum(0), color=theme.ink("blue"),
        tooltip=[
            alt.Tooltip("low:Q", title="from age"), alt.Tooltip("high:Q", title="below age"),
            alt.Tooltip("weight:Q", format=".4g", title="raw weight"), alt.Tooltip("corrected:Q", format=".4g"),
        ],
    )  # fmt: skip
    # Bars of days that there are not are gaps, and gaps make no scale.
    whole_axis = alt.Chart(named("reach")).mark_point(opacity=0).encode(x=at("n:Q"))
    panels = [
        compose.layer(
            whole_axis,
            raw,
            bars.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y("corrected:Q"), color=theme.ink("purple")),
            flags.mark_rule(strokeWidth=1.2).encode(x=at("at:Q"), y=y("top:Q"), y2=alt.Y2Datum(0), color=theme.ink("muted")),
            flags.mark_text(align="left", baseline="middle", dx=5, fontSize=theme.SMALL_SIZE + 0.5).encode(
                x=at("at:Q"), y=y("top:Q"), text="label:N", color=theme.color()
            ),
            _heading("weights"),
        ),
        compose.layer(
            sums.mark_line(strokeWidth=4.5, opacity=0.5).encode(x=at("n:Q"), y=y("share:Q"), color=theme.ink("blue")),
            sums.mark_line(strokeWidth=1.8).encode(x=at("n:Q"), y=y("corrected:Q"), color=theme.ink("purple")),
            sums.mark_point(filled=True, size=theme.DOT).encode(
                x=at("n:Q"), y=y("theory:Q"), color=theme.ink("ink"), opacity=theme.SHOWN
            ),
            flags.mark_point(size=70, strokeWidth=1.6, filled=False).encode(
                x=at("at:Q"), y=y("held:Q"), color=theme.color(), opacity=theme.SHOWN
            ),
            _heading("share"),
        ),
        compose.layer(
            bars.mark_rect(opacity=0.6).encode(
                x=x, x2="high:Q", y=y("momentum:Q"), y2=alt.Y2Datum(0), color=theme.ink("vermilion")
            ),
            sums.mark_line(strokeWidth=1.8).encode(x=at("n:Q"), y=y("momentum:Q"), color=theme.ink("vermilion")),
            sums.mark_point(filled=True, size=theme.DOT).encode(
                x=at("n:Q"), y=y("momentum_theory:Q"), color=theme.ink("ink"), opacity=theme.SHOWN
            ),
            alt.Chart(named("limit")).mark_rule(strokeWidth=1.2, strokeDash=[6, 3]).encode(y=y("y:Q"), color=theme.color()),
            # Below the curve: right under the line it would cross the letters.
            alt.Chart(named("limit")).mark_text(
                align="right", baseline="middle", dy=round(0.35 * tall), fontSize=theme.SMALL_SIZE + 0.5
            ).encode(
                x=alt.value(inner[2]), y=y("y:Q"), text="label:N", color=theme.color()
            ),
            _heading("momentum"),
        ),
    ]  # fmt: skip
    names = ("weights", "share", "momentum")
    sized = [
        {**panel, "width": w, "height": tall, "name": name}
        for panel, w, name in zip(panels, inner, names, strict=True)
    ]
    return _side(sized, narrow)


def _weights_figure(beta: float, days: int) -> tuple[Figure, int]:
    """Draw the weights by age; also return how many ages a bar pools."""
    found = windows(beta)
    count = max(6, math.ceil(2.8 * found.equal_noise))
    pool = math.ceil(count / _BARS)
    count = pool * math.ceil(count / pool)
    raw, corrected = weights(beta, days), weights(beta, days, corrected=True)
    velocity = momentum_weights(beta, count)
    present = min(days, count)  # ages that there are and that are shown
    low = np.arange(0, count, pool)
    high = low + pool

    def pooled(line: Array, ages: int) -> Array:
        """Return the mean weight of the ages in each bar, NaN where there are none."""
        total = np.concatenate([[0.0], np.cumsum(line[:ages])])
        n = np.clip(high, 0, ages) - np.clip(low, 0, ages)
        sums = total[np.clip(high, 0, ages)] - total[np.clip(low, 0, ages)]
        return np.where(n > 0, sums / np.maximum(n, 1), np.nan)

    def running(line: Array, n: Array) -> Array:
        return np.asarray(np.concatenate([[0.0], np.cumsum(line)])[np.minimum(n, len(line))])

    n = np.unique(np.concatenate([low, [count], [present]]))
    dotted = _dotted(len(n))
    top = float(max(np.nanmax(pooled(corrected, present)), np.nanmax(pooled(raw, present))))
    flags = sorted(_flags(found), key=lambda flag: flag[0])
    bars: Part = {
        "low": low.astype(np.int32),
        "high": np.where(low < present, np.minimum(high, present), high).astype(np.int32),
        "weight": pooled(raw, present),
        "corrected": pooled(corrected, present),
        "momentum": pooled(velocity, count),
    }
    total = 1 / (1 - beta)
    return Figure(
        name="optimizers/averages_weights",
        build=_weights_spec,
        data={
            "bars": rows(bars),
            "sums": rows(
                n=n.astype(np.int32),
                share=running(raw, n),
                corrected=running(corrected, n),
                theory=np.where(dotted, held(beta, n), np.nan),
                momentum=running(velocity, n),
                momentum_theory=np.where(dotted, total * (1 - beta**n.astype(float)), np.nan),
                shown=dotted,
            ),
            "flags": rows(
                at=[flag[0] for flag in flags],
                top=top * (0.97 - 0.11 * np.arange(len(flags))),
                held=[float(held(beta, flag[0])) for flag in flags],
                label=[f"{flag[1]}: {_days(flag[0])}" + (f", {percent(float(held(beta, flag[0])))}" if flag[2] else "")
                       for flag in flags],
                slot=[theme.INK] * len(flags),
                shown=[flag[2] for flag in flags],
            ),
            "reach": rows(n=[0, count]),
            "limit": rows(y=[total], label=[f"dashed: 1/(1 − μ) = {number(total)}"], slot=theme.SLOTS["vermilion"]),
            "titles": rows(
                weights=["Weight of a day by its age" if pool == 1 else f"Weight of a day, mean of {pool} ages"],
                share=["Share held by the last n days"],
                momentum=["Momentum: weights and their sum"],
            ),
        },
        title="How much of the past a moving average sees",
        caption=(
            f"Weights (1 − β)βᵏ of the value k days back on day {days}, β = {number(beta, 5)}, V₀ = 0; corrected: divided by "
            f"1 − β{str(days).translate(_RAISED)} = {number(1 - beta**days, 4)}. Momentum v ← μv + g with "
            f"μ = β. Days 0 to {count} back"
            + (f", {pool} to a bar." if pool > 1 else ".")
        ),
        key="Blue: raw. Purple: corrected. Flags and rings: four windows, with the share that they hold in the long run. Small "
        "dots: closed form, for the share in the long run.",
        alt="Left: bars of the weights of a moving average by age, with four effective windows marked. Middle: the share of "
        "weight held by the last days. Right: momentum's weights and their running sum.",
    ), pool  # fmt: skip


def _flags(found: Windows) -> list[tuple[float, str, bool]]:
    """Return the windows: days, name, and whether the share that they hold says something."""
    return [
        (found.half_life, "half-life", found.half_life > 0),  # 0 days hold nothing
        (found.mean_age, "mean age", False),
        (found.nominal, "1/(1 − β)", True),
        (found.equal_noise, "equal noise", True),
    ]


def _weights_blocks(values: Values) -> list[Block]:
    beta, days = real(values, "avg_beta"), whole(values, "avg_days")
    found = windows(beta)
    figure, _ = _weights_figure(beta, days)
    raw = weights(beta, days)
    missing = beta**days
    if beta == 0:
        text = [
            f"With β = 0 nothing is averaged: the value of the day has **{percent(float(raw[0]))}** of the weight, its age is 0, "
            "and there is no past to correct for.",
            "Momentum with μ = 0 is gradient descent, with the same learning rate.",
        ]
    else:
        one = number(found.nominal) in ("1", "1.00")
        sum_ = number(found.nominal, 7 if one else 3)
        text = [
            f"“Averages over about 1/(1 − β) days” is short for this: the last **{_days(found.nominal)}** "
            f"{'holds' if one else 'hold'} **{percent(float(held(beta, found.nominal)))}** of the weight, half of it sits in the "
            f"last {_days(found.half_life)}, a value is {_days(found.mean_age)} old on average (the lag behind a steady rise), "
            f"and in noise the average equals a simple mean of **{_days(found.equal_noise)}**.",
            f"On day {days} the raw weights sum to {number(float(raw.sum()), 5)}; "
            + (
                f"the missing β^{days} = {number(missing)} lies on V₀ = 0, and the correction shares it out over the days there "
                "are."
                if missing > _NO_BIAS
                else f"what is missing, β^{days}, is below {number(_NO_BIAS)}, and the correction has nothing left to do."
            ),
            f"Momentum has the same weights without the factor 1 − μ: they sum to 1/(1 − μ) = **{sum_}** instead of 1, so for "
            f"the same path the average needs {sum_} times momentum's learning rate.",
        ]
    return [
        "Over how many days does it average? There are four answers, and they belong to four questions.",
        figure,
        " ".join(text),
    ]


# RMSProp along a run


@lru_cache(maxsize=16)
def _rmsprop_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 124 if narrow else (width - 322) // 3
    tall = 230 if narrow else 300
    x = _steps("step")
    lines = alt.Chart(named("steps"))

    def line(field: str) -> Panel:
        return lines.mark_line().encode(
            x=x, y=_log(f"{field}:Q"), detail="coordinate:N", color=theme.color(), strokeDash=theme.dash(),
            tooltip=[
                alt.Tooltip("coordinate:N"), alt.Tooltip("step:Q"), alt.Tooltip("square:Q", format=".4g", title="g²"),
                alt.Tooltip("s:Q", format=".4g"), alt.Tooltip("root:Q", format=".4g", title="√s"),
                alt.Tooltip("rate:Q", format=".4g", title="η/√s"),
            ],
        )  # fmt: skip

    def panel(name: str, *layers: Panel) -> Panel:
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_log(f"{name}:Q")),
            *layers,
            _ends(f"{name}_ends", inner, _log("y:Q"), narrow),
            _heading(name),
            width=inner,
            height=tall,
            name=name,
        )

    points = lines.mark_point(filled=True, size=20, opacity=0.55).encode(
        x=x, y=_log("square:Q"), color=theme.color(),
        shape=alt.Shape("coordinate:N", legend=None, scale=alt.Scale(domain=["x", "y"], range=["circle", "square"])),
    )  # fmt: skip
    dots = lines.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
        x=x, y=_log("theory:Q"), color=theme.ink("ink")
    )
    return _side(
        [
            panel("squares", points, line("s"), dots),
            panel("rates", line("rate")),
            panel("lengths", line("length")),
        ],
        narrow,
    )


@keep(entries=8)
def _rmsprop_run(
    place_: tuple[tuple[str, Value], ...], steps: int, lr: float, rho: float, eps: float
) -> Descent:
    values = dict(place_)
    rule = OPTIMIZERS["RMSProp"].build(lr=lr, rho=rho, eps=eps)
    return descend(problem_of(values), rule, start_of(values), steps, keep_state=True)


def _where(values: Values) -> tuple[tuple[str, Value], ...]:
    """Return the surface and the start, as a key of the caches."""
    return (*surface_key(values), ("start_x", values["start_x"]), ("start_y", values["start_y"]))


@dataclass(frozen=True)
class _Scaled:
    """RMSProp's numbers at every step, each (steps, 2): g², their average, its root, lr over the root, and step/lr."""

    square: Array
    s: Array
    theory: Array
    rate: Array
    length: Array


def _scaled(run: Descent, lr: float, rho: float, eps: float) -> _Scaled:
    with np.errstate(all="ignore"):
        square = run.gradient[:-1] ** 2
        s = run.state.square_average[1:]
        shares = weights(rho, len(square))
        theory = np.stack([np.convolve(shares, square[:, i])[: len(square)] for i in range(2)], axis=-1)
        return _Scaled(square, s, theory, lr / (np.sqrt(s) + eps), np.abs(np.diff(run.path, axis=0)) / lr)


def _rmsprop_figure(values: Values, found: _Scaled, caption: str) -> Figure:
    steps, style = len(found.s), STYLES["RMSProp"]
    kept = np.unique(np.linspace(0, steps - 1, min(steps, _POINTS)).round().astype(int))
    dotted = _dotted(len(kept))
    panels = {
        "squares": (found.s, _span(found.s, found.square, log=True)),
        "rates": (found.rate, _span(found.rate, log=True)),
        "lengths": (found.length, _span(found.length, log=True)),
    }

    def ends(name: str) -> Part:
        lines, span = panels[name]
        lasts = []
        for i in range(2):
            there = np.flatnonzero(np.isfinite(_visible(lines[:, i])))
            lasts.append(float(lines[there[-1], i]) if len(there) else math.nan)
        return {
            "y": _placed(lasts, span, log=True),
            "label": ["x", "y"],
            "short": ["x", "y"],
            "slot": [style.slot] * 2,
            "shown": [math.isfinite(last) for last in lasts],
        }

    return Figure(
        name="optimizers/averages_rmsprop",
        build=_rmsprop_spec,
        data={
            "steps": rows(
                *(
                    {
                        "step": (kept + 1).astype(np.int16),
                        "coordinate": "xy"[i],
                        "square": _visible(found.square[kept, i]),
                        "s": _visible(found.s[kept, i]),
                        "root": _visible(np.sqrt(found.s[kept, i])),
                        "theory": np.where(dotted, _visible(found.theory[kept, i]), np.nan),
                        "rate": _visible(found.rate[kept, i]),
                        "length": _visible(found.length[kept, i]),
                        "slot": np.int8(style.slot),
                        "dash": np.int8(i),
                    }
                    for i in range(2)
                )
            ),
            "reach": rows(**{name: list(span) for name, (_, span) in panels.items()}),
            **{f"{name}_ends": rows(ends(name)) for name in panels},
            "titles": rows(
                squares=["g² and its average s"],
                rates=["Effective rate η/(√s + ε)"],
                lengths=["Length of a step, in units of η"],
            ),
        },
        title=f"What RMSProp divides by on {surface_of(values).name}",
        caption=caption + (f" {len(kept)} of the steps are drawn." if len(kept) < steps else ""),
        key="Solid and circles: x. Dashed and squares: y. Small dots: the average as a sum of weights (1 − ρ)ρᵏ.",
        alt="For both coordinates along a run of RMSProp, log axes: squared gradients and their moving average, the effective "
        "learning rate, and the length of a step.",
    )


def _without(values: Values) -> str:
    """Say what of the page's settings does not act here."""
    said = conditions(values)
    return f" The page's {', '.join(said)} {'does' if len(said) == 1 else 'do'} not act here." if said else ""


def _rmsprop_blocks(values: Values) -> list[Block]:
    lr, eps = real(values, own("RMSProp", "lr")), real(values, own("RMSProp", "eps"))
    rho, steps = real(values, "avg_rho"), whole(values, "steps")
    run = _rmsprop_run(_where(values), steps, lr, rho, eps)
    found = _scaled(run, lr, rho, eps)
    caption = (
        f"{place(values)}; {counted(steps, 'step')} of RMSProp, exact gradients, η {number(lr)}, ρ {number(rho, 5)}, "
        f"ε {number(eps)}, without momentum and weight decay, PyTorch's formula." + _without(values)
    )
    text = []
    if run.diverged_at >= 0:
        text.append(f"**RMSProp diverges**: no longer a finite number at step {int(run.diverged_at)}.")
    moving = found.square[0] > 0
    exact = 1 / math.sqrt(1 - rho)
    if not moving.any():
        text.append(
            "The gradient at the start is exactly 0, so nothing moves and there is nothing to average."
        )
    elif np.isfinite(found.length[0]).all():
        first = found.length[0][moving]
        text.append(
            (
                "At the first step s = (1 − ρ)g²: for any g that is large beside ε the step is η/√(1 − ρ) = "
                if rho > 0
                else "With ρ = 0 there is no memory: s = g², and any step whose g is large beside ε has the length "
            )
            + f"**{number(exact)} η** in "
            + ("both coordinates" if moving.all() else "the coordinate that moves")
            + f", measured {' and '.join(number(float(v), 4) for v in first)}"
            + (
                ". The average starts from 0, and RMSProp does not correct it."
                if rho > 0
                else " at the first."
            )
        )
    last = len(found.s) - 1 if run.diverged_at < 0 else int(run.diverged_at) - 2
    if last > 0 and moving.all() and np.isfinite(found.rate[last]).all():
        g0, rate = np.sqrt(found.square[0]), found.rate[last]
        text.append(
            f"At the start the gradient is {number(float(g0.max() / g0.min()))} times as large in {'xy'[int(g0.argmax())]} as "
            f"in {'yx'[int(g0.argmax())]}; dividing by √s takes that out. At step {last + 1} √s is "
            f"{number(float(np.sqrt(found.s[last, 0])))} in x and {number(float(np.sqrt(found.s[last, 1])))} in y, and the "
            f"effective rates are **{number(float(rate[0]))}** and **{number(float(rate[1]))}**."
            + (f" The average looks back about 1/(1 − ρ) = {counted(exact**2, 'step')}" if rho > 0 else "")
            + (
                f", more than this run of {steps} has: the large gradients of its start still count."
                if exact**2 > steps
                else "."
                if rho > 0
                else ""
            )
        )
    apart = _apart(found.s, found.theory)
    if moving.any():
        text.append(
            f"The recursion and the sum over weights differ by a share of at most {number(apart, 1)}."
        )
    return [
        "RMSProp averages g² in place of g, in every coordinate by itself, and divides by the root. What is left of the "
        "learning rate?",
        _rmsprop_figure(values, found, caption),
        " ".join(text),
    ]


# Adam, switch by switch


@lru_cache(maxsize=16)
def _adam_spec(width: int) -> Spec:
    narrow = width < NARROW
    tight = width < ROOMY
    inner = width - 169 if narrow else (width - (346 if tight else 488)) // 2
    tall = 270 if narrow else 340

    def line(data: str, x: alt.X) -> Panel:
        return alt.Chart(named(data)).mark_line(strokeWidth=1.9).encode(
            x=x, y=_log("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash(),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("step:Q"), alt.Tooltip("y:Q", format=".4g")],
        )  # fmt: skip

    def panel(name: str, x: alt.X) -> Panel:
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_log(f"{name}:Q")),
            line(name, x),
            alt.Chart(named(f"{name}_theory"))
            .mark_point(filled=True, size=theme.DOT)
            .encode(x=x, y=_log("y:Q"), color=theme.ink("ink"), opacity=theme.SHOWN),
            _ends(f"{name}_ends", inner, _log("y:Q"), tight),
            _heading(name),
            width=inner,
            height=tall,
            name=name,
        )

    return _side(
        [panel("factor", _steps("step", log=True, tight=tight)), panel("gap", _steps("step"))], narrow
    )


@keep(entries=8)
def _factors(beta1: float, beta2: float, eps: float) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the lengths of all steps on a constant gradient in units of lr, measured and exact, each (steps,)."""
    t = np.arange(1, _LONG + 1)
    measured = {
        name: constant_gradient_steps(entry, _LONG, beta1=beta1, beta2=beta2, eps=eps)
        for name, entry in INGREDIENTS.items()
    }
    return measured, {name: entry.factor(t, beta1, beta2, eps) for name, entry in INGREDIENTS.items()}


@keep(entries=8)
def _ablation(
    place_: tuple[tuple[str, Value], ...],
    steps: int,
    rate: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> dict[str, Descent]:
    values = dict(place_)
    return adam_ablation(
        problem_of(values), start_of(values), steps, rate=rate, lr=lr, beta1=beta1, beta2=beta2, eps=eps
    )


def _gap(run: Descent, surface: Surface) -> Array:
    """Return f − f*, or the length of the gradient where f has no minimum, (steps+1,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if surface.infimum is None:
            return np.asarray(np.hypot(run.gradient[..., 0], run.gradient[..., 1]))
        return np.asarray(run.value - surface.infimum)


def _style(name: str) -> theme.Style:
    """Return the color of the optimizer that a rule is nearest to; solid if it is that one, else dashed."""
    entry = INGREDIENTS[name]
    style = STYLES[entry.optimizer]
    return style if entry.plain else theme.Style(style.slot, 2 if name == _LITERAL else 1)


_LITERAL = "RMSProp with momentum"  # the last entry: RMSProp and momentum as a library joins them
_SAID: Mapping[str, str] = {
    "average": "average (Momentum)",
    "scaling": "scaling (RMSProp)",
    "both": "both, uncorrected",
    "both, corrected": "both, corrected (Adam)",
}
_SHORT: Mapping[str, str] = {
    "average": "Momentum",
    "average, corrected": "corrected",
    "scaling": "RMSProp",
    "scaling, corrected": "corrected",
    "both": "uncorrected",
    "both, corrected": "Adam",
}
# Names at the ends of the left panel, long and short: all that is corrected runs together with GD.
_FACTOR_ENDS: Mapping[str, tuple[str, str]] = {
    "both, corrected": ("GD, and all corrected (Adam)", "GD, Adam"),
    "average": ("average (Momentum)", "Momentum"),
    "scaling": ("scaling (RMSProp)", "RMSProp"),
    "both": ("both, uncorrected", "uncorrected"),
    _LITERAL: (_LITERAL, "both in RMSProp"),
}


@dataclass(frozen=True)
class _Ablation:
    """Everything that the view of Adam's parts shows."""

    measured: Mapping[str, Array]
    exact: Mapping[str, Array]
    runs: Mapping[str, Descent]
    gaps: Mapping[str, Array]
    closed: Mapping[str, Array]  # f − f* in closed form, where there is one


def _closed(values: Values, rate: float, beta1: float) -> dict[str, Array]:
    """Return the exact f − f* of the two rules that are linear on a quadratic, (steps+1,)."""
    bowl = quadratic(values)
    if bowl is None or surface_of(values).infimum is None:
        return {}
    along, steps = (start_of(values) - bowl.center) @ bowl.eigenvectors, whole(values, "steps")
    paths = {
        "GD": GD_THEORY.path(bowl.eigenvalues, along, steps, {"lr": rate}),
        "average": HEAVY_BALL_THEORY.path(
            bowl.eigenvalues, along, steps, {"lr": rate * (1 - beta1), "momentum": beta1}
        ),
    }
    with np.errstate(over="ignore", invalid="ignore"):
        return {name: 0.5 * (path**2 @ bowl.eigenvalues) for name, path in paths.items()}


def _factor_rows(found: _Ablation) -> tuple[list[Part], Array]:
    t = np.unique(np.geomspace(1, _LONG, 44).round().astype(int))
    parts: list[Part] = []
    for name, line in found.measured.items():
        slot, dash = _style(name)
        parts.append(
            {
                "step": t.astype(np.int16),
                "y": _visible(line[t - 1]),
                "name": name,
                "slot": np.int8(slot),
                "dash": np.int8(dash),
            }
        )
    return parts, t


def _gap_rows(
    found: _Ablation, steps: int, begin: float
) -> tuple[list[Part], list[tuple[str, str, int, float]]]:
    """Return the lines of f − f* within the panel, and their ends with an arrow where a line leaves it."""
    low, high = begin * _FLOOR, begin * _CEILING
    parts: list[Part] = []
    ends: list[tuple[str, str, int, float]] = []
    for name, gap in found.gaps.items():
        if name == _LITERAL:  # its swings would hide the others; the table has it
            continue
        slot, dash = _style(name)
        inside = np.isfinite(gap) & (gap >= low) & (gap <= high)
        seen = np.flatnonzero(inside)
        if not len(seen):
            continue
        last = int(seen[-1])
        kept = np.unique(np.linspace(0, last, min(last + 1, _POINTS)).round().astype(int))
        parts.append(
            {
                "step": kept.astype(np.int16),
                "y": np.where(inside, gap, np.nan)[kept],
                "name": name,
                "slot": np.int8(slot),
                "dash": np.int8(dash),
            }
        )
        leaves = "" if last == steps else f" {'↓' if gap[last + 1] < gap[last] else '↑'}{last}"
        said, short = _SAID.get(name, name), _SHORT.get(name, name)
        ends.append((said + leaves, short + leaves, slot, float(gap[last])))
    return parts, ends


def _adam_figure(values: Values, found: _Ablation, caption: str) -> Figure:
    surface, steps = surface_of(values), whole(values, "steps")
    factor_parts, t = _factor_rows(found)
    begin = float(found.gaps["GD"][0])
    begin = begin if math.isfinite(begin) and 1e-280 < begin < 1e280 else 1.0
    gap_parts, ends = _gap_rows(found, steps, begin)
    nothing: Part = {"step": [0], "y": [begin], "name": "", "slot": np.int8(theme.MUTED), "dash": np.int8(0)}
    factor_span = _span(*(part["y"] for part in factor_parts), log=True)  # type: ignore[arg-type]
    gap_span = _span(*(part["y"] for part in gap_parts or [nothing]), log=True)  # type: ignore[arg-type]
    left = {name: float(found.measured[name][-1]) for name in _FACTOR_ENDS}
    dots = [
        {"step": t[_dotted(len(t))], "y": _visible(found.exact[name][t[_dotted(len(t))] - 1]), "shown": True}
        for name in _FACTOR_ENDS
    ]
    closed: list[Part] = []
    for line in found.closed.values():
        kept = np.flatnonzero(_dotted(len(line)))
        kept = kept[np.isfinite(line[kept]) & (line[kept] >= gap_span[0]) & (line[kept] <= gap_span[1])]
        if len(kept):
            closed.append({"step": kept, "y": line[kept], "shown": True})
    return Figure(
        name="optimizers/averages_adam",
        build=_adam_spec,
        data={
            "factor": rows(*factor_parts),
            "factor_theory": rows(*dots),
            "factor_ends": rows(
                y=_placed(list(left.values()), factor_span, log=True, gap=0.055),
                label=[said for said, _ in _FACTOR_ENDS.values()],
                short=[short for _, short in _FACTOR_ENDS.values()],
                slot=[_style(name).slot for name in left],
                shown=True,
            ),
            "gap": rows(*(gap_parts or [nothing])),
            "gap_theory": rows(*(closed or [{"step": [0], "y": [gap_span[0]], "shown": False}])),
            "gap_ends": rows(
                y=_placed([end[3] for end in ends] or [begin], gap_span, log=True, gap=0.055),
                label=[end[0] for end in ends] or [""],
                short=[end[1] for end in ends] or [""],
                slot=[end[2] for end in ends] or [theme.MUTED],
                shown=bool(ends),
            ),
            "reach": rows(factor=list(factor_span), gap=list(gap_span)),
            "titles": rows(
                factor=["Step on a constant gradient, in η"],
                gap=["f − f* on the surface" if surface.infimum is not None else "‖∇f‖ on the surface (f has no minimum)"],
            ),
        },
        title="Adam, switch by switch",
        caption=caption,
        key=(
            "Solid: an optimizer by that name. Dashed: the same with its correction switched. Small dots: closed form. ↑ or ↓ "
            "with a number: the last step of a curve inside its panel."
        ),
        alt="Gradient descent, its average, its scaling and both, each with and without bias correction. Left: length of a step "
        "on a constant gradient. Right: how far above the minimum they are on the surface.",
    )  # fmt: skip


def _table(found: _Ablation, surface: Surface, steps: int) -> str:
    at = (1, 10, _LONG)
    what = "f − f*" if surface.infimum is not None else "‖∇f‖"
    lines = []
    for name, lengths in found.measured.items():
        run = found.runs[name]
        end = (
            f"not finite at step {int(run.diverged_at)}"
            if run.diverged_at >= 0
            else number(float(found.gaps[name][-1]))
        )
        lines.append([_SAID.get(name, name), *(number(float(lengths[t - 1])) for t in at), end])
    head = ["Gradient with", *(f"step {t}, in η" for t in at), f"{what} after {counted(steps, 'step')}"]
    return table(head, lines)


def _adam_text(values: Values, found: _Ablation, beta1: float, beta2: float) -> str:
    both, corrected, literal = (
        found.measured["both"],
        found.measured["both, corrected"],
        found.measured[_LITERAL],
    )
    longest = int(np.argmax(both))
    apart = max(_apart(found.measured[name], found.exact[name]) for name in found.measured)
    text = [
        f"On a constant gradient every step should be η long. Both averages start from 0, and the root of the one of g² "
        f"usually comes up later: without correction the first step is (1 − β₁)/√(1 − β₂) = **{number(float(both[0]))} η**, the "
        f"longest {number(float(both[longest]))} η at step {longest + 1}, and step {_LONG} is still "
        f"{number(float(both[-1]))} η. With correction all are **{number(float(corrected[0]))} η**. Runs and closed form "
        f"differ by a share of at most {number(apart, 1)}."
    ]  # fmt: skip
    run, lr = found.runs["both"], real(values, own("Adam", "lr"))
    moves = run.gradient[0] != 0
    if moves.any() and np.isfinite(run.path[1]).all():
        first = np.abs(run.path[1] - run.path[0])[moves] / lr
        text.append(
            "The first step is that long on any gradient that is large beside ε, in every coordinate: here "
            f"{' and '.join(number(float(v), 4) for v in first)} η."
        )
    target = _SMALL_BIAS * found.gaps["both"][0]
    if surface_of(values).infimum is not None and math.isfinite(target) and target > 0:
        reached = {name: int(steps_to(found.gaps[name], target)) for name in ("both", "both, corrected")}
        run_of = counted(whole(values, "steps"), "step")
        without, with_ = (f"at step {s}" if s >= 0 else f"not within {run_of}" for s in reached.values())
        text.append(
            f"Both together do not come to 1% of f − f* at the start within {run_of}, with correction or without."
            if max(reached.values()) < 0
            else f"Both together first come to 1% of f − f* at the start: without correction {without}, with it {with_}."
        )
    if beta1 == 0 and beta2 == 0:
        text[0] = (
            "With β₁ = β₂ = 0 neither average has a memory, and there is nothing to correct: on a constant gradient every step "
            f"is **{number(float(corrected[0]))} η** long, with correction and without. Runs and closed form differ by a "
            f"share of at most {number(apart, 1)}."
        )
        return " ".join(
            [*text, f"Adam, RMSProp and {_LITERAL} are one rule here: each step is η·g/(|g| + ε)."]
        )
    text.append(
        f"So “Adam = RMSProp + momentum” leaves out the correction, a factor of {number(float(both[0] / corrected[0]))} in "
        f"the first step and {number(float(both[longest] / corrected[longest]))} at its largest; and taken literally, "
        f"{_LITERAL}, it sums divided gradients where Adam divides an average: {number(float(literal[0]))} η in the first "
        f"step, up to {number(float(literal.max()))} η at step {int(np.argmax(literal)) + 1}, "
        f"{number(float(literal[-1]))} η at step {_LONG} and 1/(1 − β₁) = {number(1 / (1 - beta1))} η in the long run."
    )
    return " ".join(text)


def _adam_blocks(values: Values) -> list[Block]:
    rate, lr = real(values, own("GD", "lr")), real(values, own("Adam", "lr"))
    eps, beta1, beta2 = real(values, own("Adam", "eps")), real(values, "avg_beta1"), real(values, "avg_beta2")
    steps, surface = whole(values, "steps"), surface_of(values)
    measured, exact = _factors(beta1, beta2, eps)
    runs = _ablation(_where(values), steps, rate, lr, beta1, beta2, eps)
    gaps = {name: _gap(run, surface) for name, run in runs.items()}
    found = _Ablation(measured, exact, runs, gaps, _closed(values, rate, beta1))
    thinned = f" Up to {_POINTS} steps of a line are drawn." if steps >= _POINTS else ""
    caption = (
        f"β₁ {number(beta1, 5)}, β₂ {number(beta2, 5)} (ρ of RMSProp), ε {number(eps)}. Constant gradient: 1 in each of "
        f"{number(_LONG)} steps. Surface: {place(values)}; {counted(steps, 'step')}, exact gradients; GD and its average with "
        f"GD's η {number(rate)}, all that is scaled with Adam's η {number(lr)}; no weight decay; PyTorch's formulas. The "
        "average is Momentum with η(1 − β₁) and μ = β₁." + thinned + _without(values)
    )
    return [
        "Two averages make Adam from gradient descent: one of g, one of g² to divide by. What does each bring, and what does "
        "the bias correction?",
        _adam_figure(values, found, caption),
        _table(found, surface, steps),
        _adam_text(values, found, beta1, beta2),
    ]


@dataclass(frozen=True)
class _View:
    """One choice of the tab: what it shows, and the controls beside it."""

    blocks: Callable[[Values], list[Block]]
    knobs: tuple[str, ...]


_VIEWS: Mapping[str, _View] = {
    AVERAGE: _View(
        _average_blocks,
        ("avg_view", "avg_series", "avg_beta", "avg_days", "avg_noise", "avg_seed", "avg_formula"),
    ),
    WEIGHTS: _View(_weights_blocks, ("avg_view", "avg_beta", "avg_days")),
    RMSPROP: _View(_rmsprop_blocks, ("avg_view", "avg_rho")),
    ADAM: _View(_adam_blocks, ("avg_view", "avg_beta1", "avg_beta2")),
}


def averages_blocks(values: Values) -> Sequence[Block]:
    """Return what the Averages tab shows beside these values."""
    return _VIEWS[word(values, "avg_view")].blocks(values)
