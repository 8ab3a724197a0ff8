"""The Fair tab of the Optimizers page: equal budgets of learning rates, two knobs at a time, and a ranking."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import altair as alt
import numpy as np

from charts import compose, progress, raster, theme
from charts.describe import counted, percent
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread
from charts.optimizers_base import (
    APART,
    CLEAR,
    DEFAULT,
    KNOBS,
    METHODS,
    NONE,
    STYLES,
    Method,
    conditions,
    describe,
    given_problem,
    methods,
    noisy,
    own,
    place,
    quadratic,
    settings,
    start_of,
    suggested,
    surface_of,
)
from charts.topic import Block, Values, real, whole, word, words
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.optimizers import OPTIMIZERS
from core.quadratic import Settings
from core.stochastic import MiniBatches
from core.streams import stream
from core.tuning import (
    ABOVE,
    BELOW,
    DONE,
    OBJECTIVES,
    REACH,
    SHARE,
    Objective,
    Outcome,
    Problems,
    Sweep,
    Tuned,
    log_rates,
    rates_within,
    starts_around,
    sweep,
    tune,
)

Array = np.ndarray
Items = tuple[tuple[str, Value], ...]

_LONGER, _LONGEST = 5, 1000  # the second horizon: so many times the first, at most so many steps
_FLOOR = 1e-16  # loss panels end this far below the median start, and ten times above it
_ROOM = 10.0
_MAP_STARTS, _MAP_RATES, _MAP_MEMORIES = 4, 31, 25
_FACTOR = {"loss": 10.0, "steps": 2.0}  # how much worse than the best still counts as good

# Knobs that say how long a method remembers, and the smallest 1 − value of a map.
_MEMORY: Mapping[str, float] = {"momentum": 0.01, "beta1": 0.01, "beta2": 1e-4, "rho": 1e-4}


class _Pair(NamedTuple):
    """What a map spans: an optimizer, the knob across and the knob up."""

    optimizer: str
    across: str
    up: str


def _pairs() -> dict[str, _Pair]:
    found = {}
    for name, entry in OPTIMIZERS.items():
        memories = [knob.name for knob in entry.knobs if knob.name in _MEMORY]
        spans = [("lr", memory) for memory in memories]
        spans += [("beta1", "beta2")] if {"beta1", "beta2"} <= set(memories) else []
        found.update({f"{name}: {a} × {b}": _Pair(name, a, b) for a, b in spans})
    return found


PAIRS: Mapping[str, _Pair] = _pairs()


_SHARED = ("fair_horizon", "fair_objective", "fair_starts")
_VIEW_KNOBS: Mapping[str, tuple[str, ...]] = {
    "learning rates": ("fair_methods", "", *_SHARED, "fair_budget"),
    "two knobs": ("fair_pair", "", *_SHARED),
    "ranking": ("fair_methods", "", *_SHARED, "fair_budget"),
}

FAIR_KNOBS = (
    Knob("fair_view", "choice", "learning rates", label="Show", choices=tuple(_VIEW_KNOBS)),
    Knob(
        "fair_methods", "choices", (*DEFAULT, "Nesterov", "AdaGrad", "AdamW"), label="Optimizers",
        choices=tuple(OPTIMIZERS), aliases=aliases_of(OPTIMIZERS), most=10,
    ),
    Knob("fair_pair", "choice", "Momentum: lr × momentum", label="Knobs", choices=tuple(PAIRS)),
    Knob(
        "fair_horizon", "int", 100, label="Horizon", low=10, high=500, step=10, unit=" steps",
        help="Every run is judged after so many steps.",
    ),
    Knob(
        "fair_objective", "choice", "median loss", label="Objective", choices=tuple(OBJECTIVES),
        help="What the knobs are chosen for, over the starts.",
    ),
    Knob(
        "fair_budget", "int", 25, label="Rates per optimizer", cap="grid", low=9, high=41, step=1,
        help="On a log grid about the suggested rate.",
    ),
    Knob(
        "fair_starts", "int", 8, label="Starts", cap="seeds", low=1, high=16, step=1,
        help="The page's own and others around it.",
    ),
)  # fmt: skip


def fair_shown(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab beside these values."""
    return ("fair_view", *_VIEW_KNOBS[word(values, "fair_view")])


# The runs


def _own_names(method: str) -> frozenset[str]:
    return frozenset(own(method, knob.name) for knob in METHODS[method].knobs)


_OWN = frozenset().union(*(_own_names(name) for name in METHODS))
_ELSEWHERE = frozenset(
    {"steps", "optimizers", "edit", "points", *(n for n in KNOBS if n.startswith(("twin", "schedule")))}
)


def relevant(name: str, values: Values) -> Items:
    """Return what the runs of one optimizer hang on: its settings, the surface, the start, noise, clipping."""
    kept = (_OWN - _own_names(name)) | _ELSEWHERE
    return tuple((knob, values[knob]) for knob in KNOBS if knob not in kept)


def as_set(name: str, values: Values) -> Method:
    """Return an optimizer as the page sets it, whether the page draws it or not."""
    return methods({**values, "optimizers": (name,), "twin": NONE})[name]


def _problems(values: Values, starts: int) -> Problems:
    """Return the problem as the methods meet it; mini-batches are drawn for every start, under a seed of its own."""
    if not _batched(values):
        return given_problem(values)
    samples, batch, seed = surface_of(values).samples, whole(values, "batch_size"), whole(values, "seed")
    assert samples is not None
    return [MiniBatches(samples, batch, seed + k) for k in range(starts)]


def _batched(values: Values) -> bool:
    return noisy(values) and surface_of(values).samples is not None


def _outcomes(
    values: Values,
    name: str,
    over: Mapping[str, Array],
    starts: int,
    horizons: Sequence[int],
    share: progress.Share,
) -> Sweep:
    """Run an optimizer over some of its knobs, under the page's conditions but with constant learning rates."""
    surface, method, clip = surface_of(values), as_set(name, values), word(values, "clip")
    assert surface.infimum is not None
    drawn = noisy(values)
    return sweep(
        _problems(values, starts),
        method.build,
        over,
        surface.project(starts_around(start_of(values), surface.window, starts)),
        horizons,
        knobs={knob: value for knob, value in method.settings.items() if knob not in over},
        infimum=surface.infimum,
        rng=stream(whole(values, "seed")) if drawn else None,
        report=share.report,
        clip_norm=real(values, "clip_at") if clip == "norm" else None,
        clip_value=real(values, "clip_at") if clip == "value" else None,
        project=surface.project if surface.box is not None else None,
    )


class _Run(NamedTuple):
    """One optimizer over its budget of rates and, apart from it, with the page's rate."""

    grid: Sweep
    page: Outcome


@keep(entries=64)
def _sweep(
    items: Items, name: str, budget: int, starts: int, horizons: tuple[int, ...], share: progress.Share
) -> _Run:
    values = dict(items)
    rates = log_rates(suggested(name, surface_of(values)), budget)
    lr = settings(name, values)["lr"]
    found = _outcomes(values, name, {"lr": np.append(rates, lr)}, starts, horizons, share)
    grid = Sweep(("lr",), (rates,), found.outcome.at(slice(budget)))
    return _Run(grid, found.outcome.at(slice(budget, None)))


def _runs(values: Values, *further: int) -> dict[str, _Run]:
    """Return the run of every chosen optimizer, judged at the horizon and at further ones."""
    horizons = (whole(values, "fair_horizon"), *further)
    names = words(values, "fair_methods")
    found = {}
    for i, name in enumerate(names):
        share = progress.Share(i / len(names), (i + 1) / len(names), f"Learning rates of {name}")
        found[name] = _sweep(
            relevant(name, values),
            name,
            whole(values, "fair_budget"),
            whole(values, "fair_starts"),
            horizons,
            share,
        )
    return found


def _longer(values: Values) -> int:
    horizon = whole(values, "fair_horizon")
    return min(_LONGER * horizon, max(_LONGEST, horizon))


def _objective(values: Values) -> Objective:
    return OBJECTIVES[word(values, "fair_objective")]


def _said(objective: Objective, steps: int) -> str:
    return objective.text.format(steps=number(steps, 6), share=percent(SHARE))


def _heading_of(objective: Objective, steps: int) -> str:
    text = _said(objective, steps)
    return text[:1].upper() + text[1:]


class _Judge(NamedTuple):
    """An objective, and the score below which nothing is left of f − f*."""

    objective: Objective
    floor: float

    def says(self, score: float) -> str:
        """Write a score: a loss, or a number of steps."""
        if self.objective.unit == "steps":
            return counted(score, "step") if math.isfinite(score) else "not reached"
        if score <= self.floor:
            return f"under {number(DONE)} of its start"
        return number(score) if math.isfinite(score) else "diverged"

    def compares(self, worse: float, better: float) -> str:
        """Say how much worse a score is than another."""
        if worse == better or worse <= self.floor:
            return (
                "with the same score, decided by the steps to 1%"
                if self.objective.unit == "loss"
                else "with as many steps"
            )
        if self.objective.unit == "steps":
            return f"{counted(worse - better, 'step')} later"
        if better <= self.floor:
            return f"at {self.says(worse)}"
        return f"at {number(worse / better)} times as much"


def _done_said() -> str:
    return f" What is left below {number(DONE)} of the start counts as that much."


def _judge(values: Values, outcome: Outcome) -> _Judge:
    objective = _objective(values)
    return _Judge(objective, DONE * float(outcome.initial.max()) if objective.unit == "loss" else 0.0)


class _Axis(NamedTuple):
    """The ends of an axis of scores; what lies beyond is drawn at the lower one, or not at all."""

    low: float
    high: float

    def drawn(self, scores: Array) -> Array:
        """Return scores where they are drawn, NaN above the axis."""
        scores = np.asarray(scores, float)
        with np.errstate(invalid="ignore"):
            return np.where(scores <= self.high, np.maximum(scores, self.low), np.nan)

    def line(self, scores: Array) -> Array:
        """Return a line's scores where they are drawn; one that has none keeps a lone point, which draws nothing."""
        drawn = self.drawn(scores)
        if not np.isfinite(drawn).any():
            drawn[0] = self.high
        return drawn


def _axis(objective: Objective, initial: float, horizon: int, scores: Sequence[Array]) -> _Axis:
    if objective.unit == "steps":
        low, high = 1.0, float(max(horizon, 2))
    else:
        begin = initial if initial > 0 else 1.0
        low, high = begin * _FLOOR, begin * _ROOM
    seen = np.concatenate([np.ravel(s) for s in scores])
    seen = seen[np.isfinite(seen) & (seen > 0) & (seen <= high)]
    lowest = max(low, float(seen.min()) / 1.5) if len(seen) else low
    return _Axis(min(lowest, high / 10 if objective.unit == "loss" else high / 2), high)


def _nothing(values: Values) -> list[Block]:
    """Say why there is nothing to tune, where there is not."""
    surface = surface_of(values)
    if surface.infimum is None:
        return [
            f"There is nothing to tune on {surface.name}: no lowest value of f is known there, so f − f* cannot be measured. "
            "Choose a surface with a minimum."
        ]
    return []


def _where(values: Values, starts: int, budget: str) -> str:
    """State the runs: surface, starts, budget."""
    around = (
        f" and {counted(starts - 1, 'start')} around it, within {percent(REACH)} of the window"
        if starts > 1
        else ""
    )
    surface = surface_of(values)
    given = ["constant rates", *conditions({**values, "schedule": "constant"})]
    if _batched(values):
        seed = whole(values, "seed")
        if starts > 1:
            given.append(f"every start with batches of its own, seeds {seed} to {seed + starts - 1}")
    elif noisy(values):
        given.append("each run with noise of its own")
    lowest = "" if surface.bounded_below else ", the lowest of the window only"
    return f"{place(values)}{around}; {budget}; {', '.join(given)}; f* = {number(surface.infimum or 0.0)}{lowest}"


def _budget(values: Values) -> str:
    return f"{whole(values, 'fair_budget')} rates each, from {number(10**BELOW)} to {number(10**ABOVE)} times the suggested one"


def _methods_said(values: Values, names: Sequence[str]) -> str:
    return "; ".join(describe(as_set(name, values)) for name in names)


def _folded(text: str) -> str:
    """Break a heading in two lines, for a narrow column."""
    for word_ in (", rates ", " after ", " to "):
        first, found, rest = text.partition(word_)
        if found:
            return f"{first}\n{word_.strip(', ')} {rest}"
    return text


def titled(field: str, text: str) -> dict[str, list[str]]:
    """Return the columns of a title, whole and folded."""
    return {field: [text], f"{field}_folded": [_folded(text)]}


def heading(field: str, narrow: bool, above: int = 8) -> Panel:
    """Write a title above a panel; on a narrow column it is the field ``…_folded``."""
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE, lineBreak="\n")
        .encode(
            x=alt.value(0),
            y=alt.value(-above - (16 if narrow else 0)),
            text=f"{field}_folded:N" if narrow else f"{field}:N",
            color=theme.ink("ink"),
        )
    )


def _log(channel: Any, field: str, title: str | None = None, ticks: int = 6) -> Any:
    """Encode a field on a log axis; one of more decades than ``ticks`` is labelled at powers of ten alone."""
    return channel(
        field,
        title=title,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(
            tickCount=ticks,
            labelExpr=theme.POWER,
            gridOpacity=theme.POWER_GRID,
            labelPadding=CLEAR,
            labelSeparation=APART,
        ),
    )


# Learning rates


@lru_cache(maxsize=16)
def _rates_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (175 if narrow else 230)
    tall = 300 if narrow else 380
    x = _log(alt.X, "rate:Q", "learning rate", 4 if narrow else 6)
    y = _log(alt.Y, "score:Q")
    lines, best = alt.Chart(named("lines")), alt.Chart(named("best"))
    layers = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=y),
        lines.mark_area(opacity=0.1).encode(
            x=x, y=_log(alt.Y, "low:Q"), y2="high:Q", detail="name:N", color=theme.color()
        ),
        best.mark_rule(strokeWidth=0.8, opacity=0.55, strokeDash=[2, 3]).encode(
            x=x, x2=alt.value(inner), y=y, color=theme.color()
        ),
        lines.mark_line(strokeWidth=1.8).encode(
            x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        alt.Chart(named("page"))
        .mark_point(filled=False, size=60, strokeWidth=1.6)
        .encode(x=x, y=y, color=theme.color(), opacity=theme.SHOWN),
        best.mark_point(filled=True, size=70, opacity=1).encode(
            x=x, y=y, color=theme.color(),
            tooltip=[alt.Tooltip("name:N", title="optimizer"), alt.Tooltip("rate:Q", title="best η", format=".3~g"),
                     alt.Tooltip("text:N", title="score")],
        ),
        alt.Chart(named("growing"))
        .mark_text(text="×", fontSize=15, fontWeight=700, dy=-4, baseline="middle")
        .encode(x=x, y=alt.value(0), color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("titles"))
        .mark_text(fontSize=theme.SMALL_SIZE, align="left", dx=8, dy=-4, baseline="middle")
        .encode(x=alt.value(inner), y=alt.value(0), text="growing:N", color=theme.ink("muted")),
        alt.Chart(named("limits"))
        .mark_point(filled=True, size=theme.DOT + 8)
        .encode(x=x, y=alt.value(-4), color=theme.ink("ink"), opacity=theme.SHOWN),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + (0 if narrow else 1))
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color()),
        heading("text", narrow, 16),
    ]  # fmt: skip
    return assemble(compose.layer(*layers, width=inner, height=tall, name="rates"), theme.config())


def _first_growing(run: _Run) -> int:
    """Return the place of the first rate with which half of the starts end higher, above one that goes down; −1 if none."""
    grew = np.mean(run.grid.outcome.grew(), axis=-1) >= 0.5
    fine = np.flatnonzero(~grew)
    after = np.flatnonzero(grew & (np.arange(len(grew)) > (fine[0] if len(fine) else -1)))
    return int(after[0]) if len(after) else -1


def _inexact(values: Values) -> bool:
    return noisy(values) or word(values, "clip") != NONE


def _limit(name: str, values: Values) -> float:
    """Return the exact limit of the rate of a linear rule on a quadratic, NaN where there is none.

    It holds for exact gradients: under noise, mini-batches or clipping runs grow, or not, for other reasons.
    """
    if _inexact(values):
        return math.nan
    bowl, entry, knobs = quadratic(values), OPTIMIZERS[name].linear, settings(name, values)
    if bowl is None or entry is None or knobs["weight_decay"] or knobs.get("dampening"):
        return math.nan
    if knobs.get("momentum", 0) >= 1 or bowl.eigenvalues[0] <= 0:
        return math.nan
    return float(entry.limit(bowl.eigenvalues[-1], cast(Settings, knobs)))


def _quartiles(objective: Objective, outcome: Outcome) -> tuple[Array, Array]:
    """Return the quarter of the starts that ends lowest and the one that ends highest: their inner ends, (L,)."""
    each = np.sort(outcome.loss() if objective.unit == "loss" else outcome.steps(), axis=-1)
    quarter = (each.shape[-1] - 1) // 4
    return each[..., quarter], each[..., -1 - quarter]


def _rates_figure(values: Values, runs: Mapping[str, _Run], tuned: Mapping[str, Tuned]) -> Figure:
    objective, horizon = _objective(values), whole(values, "fair_horizon")
    judge = _judge(values, next(iter(runs.values())).page)
    title = f"{_heading_of(objective, horizon)}, {counted(whole(values, 'fair_starts'), 'start')}"
    scores = {name: objective.score(run.grid.outcome, 0) for name, run in runs.items()}
    page = {name: float(objective.score(run.page, 0)[0]) for name, run in runs.items()}
    initial = float(np.median(next(iter(runs.values())).page.initial))
    axis = _axis(objective, initial, horizon, [*scores.values(), np.array([*page.values()])])
    lines: list[Part] = []
    marks: dict[str, list[Part]] = {"best": [], "page": [], "growing": [], "limits": []}
    for name, run in runs.items():
        style, rates = STYLES[name], run.grid.values[0]
        low, high = _quartiles(objective, run.grid.outcome)
        score = axis.line(scores[name])
        there = np.isfinite(score)
        slot = np.int8(style.slot)
        lines.append({
            "rate": rates, "score": score,
            "low": np.where(there, np.clip(low, axis.low, axis.high), np.nan),
            "high": np.where(there, np.clip(high, axis.low, axis.high), np.nan),
            "name": name, "slot": slot, "dash": np.int8(style.dash),
        })  # fmt: skip
        best = tuned[name]
        if best.reached:
            marks["best"].append({
                "rate": [best.values[0]], "score": axis.drawn(np.array([best.score])), "name": name, "slot": slot,
                "text": judge.says(best.score),
            })  # fmt: skip
        rate = float(settings(name, values)["lr"])
        at = float(axis.drawn(np.array([page[name]]))[0])
        inside = math.isfinite(at) and rates[0] / 3 <= rate <= rates[-1] * 3
        if inside:
            marks["page"].append({"rate": [rate], "score": at, "slot": slot, "shown": True})
        first = _first_growing(run)
        if first >= 0:
            marks["growing"].append({"rate": [rates[first]], "slot": slot, "shown": True})
        limit = _limit(name, values)
        if rates[0] <= limit <= rates[-1]:
            marks["limits"].append({"rate": [limit], "slot": slot, "shown": True})
    middle = next(iter(runs.values())).grid.values[0][0]
    none: Part = {
        "rate": [middle],
        "score": axis.high,
        "name": "",
        "text": "",
        "slot": theme.MUTED,
        "shown": False,
    }

    def data(part: str, *columns: str) -> Any:
        return rows(*(marks[part] or [{column: none[column] for column in columns}]))

    found = [name for name in runs if tuned[name].reached]
    ends = np.array([tuned[name].score for name in found] or [axis.high])
    bottom, top = math.log10(axis.low), math.log10(axis.high)
    placed = spread(np.log10(np.clip(ends, axis.low, axis.high)), 0.045 * (top - bottom), bottom, top)
    limits = bool(marks["limits"])
    below = any(tuned[name].score <= judge.floor for name in found)
    return Figure(
        name="optimizers/fair_rates",
        build=_rates_spec,
        data={
            "lines": rows(*lines),
            "best": data("best", "rate", "score", "name", "slot", "text"),
            "page": data("page", "rate", "score", "slot", "shown"),
            "growing": data("growing", "rate", "slot", "shown"),
            "limits": data("limits", "rate", "slot", "shown"),
            "ends": rows(
                score=10.0**placed,
                label=[f"{name}, η {number(tuned[name].values[0], 2)}" for name in found] or [""],
                slot=[STYLES[name].slot for name in found] or [theme.MUTED],
            ),
            "extent": rows(rate=[middle, middle], score=[axis.low, axis.high]),
            "titles": rows(
                growing=["× runs grow" if marks["growing"] else ""],
                **titled("text", title),
            ),
        },
        title="Every optimizer with the same budget of learning rates",
        caption=f"{_where(values, whole(values, 'fair_starts'), _budget(values))}; {_said(objective, horizon)}. "
        f"Settings before tuning: {_methods_said(values, list(runs))}.",
        key="Filled: best rate, named at the right. Ring: the rate before tuning. Band: the middle half of the starts. × above: "
        "the first rate with which half of the starts end higher than they began"
        + (", small dot beside it: the exact limit." if limits else ".")
        + (_done_said() if below else ""),
        alt="Outcome after the horizon against learning rate, one line for each optimizer, best rates and the page's marked.",
    )  # fmt: skip


def _ordered(tuned: Mapping[str, Tuned]) -> list[str]:
    return sorted(tuned, key=lambda name: (tuned[name].score, tuned[name].tie))


def _ends_said(tuned: Mapping[str, Tuned]) -> str:
    """Name the optimizers whose best rate is at an end of the budget."""
    found = [name for name, best in tuned.items() if best.reached and best.ends]
    if not found:
        return "No best rate is at an end of its budget."
    listed = ", ".join(f"{name} ({tuned[name].ends['lr']})" for name in found)
    return f"**At the end of the budget**: the best rate of {listed}; a better one may lie beyond."


_EXACT: Mapping[str, Value] = {
    "noise": 0.0,
    "clip": NONE,
    "batch_size": KNOBS["batch_size"].high,
}  # exact gradients


def _left_out(values: Values, names: Sequence[str]) -> str:
    """Say why there is no exact limit, where there is one for exact gradients."""
    if all(math.isnan(_limit(name, {**values, **_EXACT})) for name in names) or not _inexact(values):
        return ""
    why = (
        "mini-batches decide"
        if _batched(values)
        else "noise decides"
        if noisy(values)
        else "clipping decides"
    )
    return f"Exact limits hold for exact gradients and are left out: here {why} too which runs grow."


def _limits_said(values: Values, runs: Mapping[str, _Run]) -> str:
    """Set the measured beginning of growth beside the exact limit."""
    parts = []
    horizon = counted(whole(values, "fair_horizon"), "step")
    for name, run in runs.items():
        limit, first, rates = _limit(name, values), _first_growing(run), run.grid.values[0]
        if math.isnan(limit) or first < 1:
            continue
        low, high = float(rates[first - 1]), float(rates[first])
        if low <= limit <= high:
            where = "between them"
        elif limit < low:
            where = f"below them: after {horizon} what grows is not yet above its start"
        else:
            where = f"above them: after {horizon} what will shrink can still be above its start"
        parts.append(f"{name} {number(low)} and {number(high)}, exact limit {number(limit, 4)} ({where})")
    return (
        f"The last rate that ends lower and the first that ends higher: {'; '.join(parts)}."
        if parts
        else _left_out(values, list(runs))
    )


def _wide_said(objective: Objective, runs: Mapping[str, _Run], tuned: Mapping[str, Tuned]) -> str:
    """Say who forgives a wrong rate."""
    factor = _FACTOR[objective.unit]
    spans = {
        name: rates_within(objective.score(run.grid.outcome, 0), run.grid.values[0], factor)
        for name, run in runs.items()
        if tuned[name].reached
    }
    if len(spans) < 2:
        return ""
    order = sorted(spans, key=lambda name: -spans[name])
    wide, slim = order[0], order[-1]
    return (
        f"Rates that stay within {number(factor)} times the best score span {number(spans[wide])} decades for {wide} and "
        f"{number(spans[slim])} for {slim}: how well the rate must be known."
    )


def _rates_blocks(values: Values) -> list[Block]:
    names = words(values, "fair_methods")
    if not names:
        return ["Choose at least one optimizer."]
    runs = _runs(values)
    tuned = {name: tune(run.grid, _objective(values)) for name, run in runs.items()}
    return [
        "How much of an optimizer's success is its learning rate? Each gets the same number of rates, and its best counts.",
        _rates_figure(values, runs, tuned),
        _rates_reading(values, runs, tuned),
    ]


def _rates_reading(values: Values, runs: Mapping[str, _Run], tuned: Mapping[str, Tuned]) -> str:
    objective, horizon = _objective(values), whole(values, "fair_horizon")
    judge = _judge(values, next(iter(runs.values())).page)
    order = _ordered({name: best for name, best in tuned.items() if best.reached})
    if not order:
        return f"With no rate of any budget do half of the starts arrive within {counted(horizon, 'step')}."
    first, best = order[0], tuned[order[0]]
    sentences = [
        f"Tuned for {_said(objective, horizon)}, **{first}** comes first: {judge.says(best.score)} at η "
        f"{number(best.values[0])}."
    ]
    if len(order) > 1:
        second = tuned[order[1]]
        sentences.append(
            f"Next is {order[1]} at η {number(second.values[0])}, {judge.compares(second.score, best.score)}."
        )
    page = {name: float(objective.score(run.page, 0)[0]) for name, run in runs.items()}
    winner = min(page, key=lambda name: page[name])
    if not math.isfinite(page[winner]):
        sentences.append("With the page's rates nobody arrives.")
    elif page[winner] == page[first]:
        sentences.append("With the page's rates it comes first as well.")
    else:
        sentences.append(f"With the page's rates it would be {winner}, {judge.says(page[winner])}.")
    sentences += [_ends_said(tuned), _limits_said(values, runs), _wide_said(objective, runs, tuned)]
    return " ".join(s for s in sentences if s)


# Ranking


@lru_cache(maxsize=16)
def _ranking_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 205 if narrow else round((width - 390) / 2)
    tall = 280 if narrow else 320

    def panel(name: str, named_rows: bool) -> Panel:
        x = _log(alt.X, f"{name}:Q")
        y = alt.Y("row:Q", axis=None, scale=alt.Scale(nice=False, zero=False, reverse=True))
        base, dots = alt.Chart(named("lines")), alt.Chart(named(f"{name}_dots"))
        layers = [
            alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=y),
            base.mark_rule(strokeWidth=2, opacity=0.5).encode(
                x=x, x2=f"{name}_before:Q", y=y, color=theme.color()
            ),
            dots.transform_filter("!datum.best").mark_point(filled=False, size=75, strokeWidth=1.8).encode(
                x=x, y=y, color=theme.color(), opacity=alt.condition("datum.inside", alt.value(1), alt.value(0)),
            ),
            dots.transform_filter("datum.best").mark_point(filled=True, size=85).encode(
                x=x, y=y, color=theme.color(), opacity=alt.condition("datum.inside", alt.value(1), alt.value(0)),
                tooltip=[alt.Tooltip("name:N", title="optimizer"), alt.Tooltip("rate:Q", title="lr", format=".3~g"),
                         alt.Tooltip("text:N", title="score")],
            ),
            dots.mark_text(text="×", fontSize=16, fontWeight=700).encode(
                x=x, y=y, color=theme.color(), opacity=alt.condition("datum.inside", alt.value(0), alt.value(1))
            ),
            base.mark_text(align="left", dx=10, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(inner), y=y, text=f"{name}_rates:N", color=theme.ink("muted")
            ),
            heading(name, narrow),
        ]  # fmt: skip
        if not narrow:
            layers.append(
                alt.Chart(named("titles"))
                .mark_text(align="left", baseline="bottom", dx=10, fontSize=theme.SMALL_SIZE)
                .encode(x=alt.value(inner), y=alt.value(-8), text="rates:N", color=theme.ink("muted"))
            )
        if named_rows:
            layers.append(
                base.mark_text(align="right", dx=-10, fontSize=theme.TEXT_SIZE).encode(
                    x=alt.value(0), y=y, text="name:N", color=theme.color()
                )
            )
        return compose.layer(*layers, width=inner, height=tall, name=name)

    panels = [panel("now", True), panel("later", narrow)]
    join, gap = (compose.below, 70) if narrow else (compose.beside, 20)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "x": "independent", "y": "independent"})
    return assemble(both, theme.config())


class _Ranked(NamedTuple):
    """One optimizer at two horizons: (rate, score) of the page and tuned at the first, of that rate and tuned at the second."""

    name: str
    page: tuple[float, float]
    tuned: tuple[float, float]
    carried: tuple[float, float]
    retuned: tuple[float, float]


def _ranked(values: Values, runs: Mapping[str, _Run]) -> list[_Ranked]:
    objective = _objective(values)
    found = {}
    for name, run in runs.items():
        here, later = (tune(run.grid, objective, horizon) for horizon in (0, 1))
        carried = float(objective.score(run.grid.outcome, 1)[here.index])
        page = float(objective.score(run.page, 0)[0])
        lr = float(settings(name, values)["lr"])
        found[name] = _Ranked(
            name,
            (lr, page),
            (here.values[0], here.score),
            (here.values[0], carried),
            (later.values[0], later.score),
        )
    return [found[name] for name in _ordered({name: tune(run.grid, objective) for name, run in runs.items()})]


def _ranking_figure(values: Values, ranked: Sequence[_Ranked], judge: _Judge, initial: float) -> Figure:
    objective, horizon, longer = _objective(values), whole(values, "fair_horizon"), _longer(values)
    panels = {
        "now": (horizon, [entry.page for entry in ranked], [entry.tuned for entry in ranked]),
        "later": (longer, [entry.carried for entry in ranked], [entry.retuned for entry in ranked]),
    }
    names = [entry.name for entry in ranked]
    slots = np.array([STYLES[name].slot for name in names], np.int8)
    row = np.arange(len(names), dtype=np.int16)
    data: dict[str, Any] = {}
    columns: dict[str, Any] = {"row": row, "name": names, "slot": slots}
    extent: dict[str, Any] = {"row": [-0.5, len(names) - 0.5]}
    beyond = False
    for panel, (steps, before, after) in panels.items():
        scores = [np.array([score for _, score in part]) for part in (before, after)]
        axis = _axis(objective, initial, steps, scores)
        beyond = beyond or any(bool((s <= judge.floor).any()) for s in scores)
        drawn = [np.clip(s, axis.low, axis.high) for s in scores]
        columns |= {
            panel: drawn[1],
            f"{panel}_before": drawn[0],
            f"{panel}_rates": [
                number(a, 2) if a == b else f"{number(a, 2)} → {number(b, 2)}"
                for (a, _), (b, _) in zip(before, after, strict=True)
            ],
        }
        data[f"{panel}_dots"] = rows(
            *(
                {
                    "row": row, panel: place_, "best": best, "inside": s <= axis.high, "name": names, "slot": slots,
                    "rate": [rate for rate, _ in part], "text": [judge.says(float(score)) for score in s],
                }
                for part, s, place_, best in zip((before, after), scores, drawn, (False, True), strict=True)
            )
        )  # fmt: skip
        extent[panel] = [axis.low, axis.high]
    return Figure(
        name="optimizers/fair_ranking",
        build=_ranking_spec,
        data={
            "lines": rows(**columns),
            **data,
            "extent": rows(**extent),
            "titles": rows(
                **titled("now", _heading_of(objective, horizon)),
                **titled("later", _heading_of(objective, longer)),
                rates=["lr"],
            ),
        },
        title="Before and after tuning, and at a longer horizon",
        caption=f"{_where(values, whole(values, 'fair_starts'), _budget(values))}; objective: {_said(objective, horizon)}, then "
        f"{_said(objective, longer)}. Settings before tuning: {_methods_said(values, names)}.",
        key=f"First panel: ring the rate before tuning, filled the tuned one. Second: ring the rate tuned for {number(horizon)} "
        f"steps, filled the one tuned for {number(longer)}. The numbers are the two rates. × at the right edge: "
        + ("not reached." if objective.unit == "steps" else "above the panel or diverged.")
        + (_done_said() if beyond else ""),
        alt="Optimizers in the order of their tuned outcome, beside the page's rates, and the same at a longer horizon.",
    )


def _ranking_blocks(values: Values) -> list[Block]:
    if not words(values, "fair_methods"):
        return ["Choose at least one optimizer."]
    runs = _runs(values, _longer(values))
    page = next(iter(runs.values())).page
    ranked, judge = _ranked(values, runs), _judge(values, page)
    return [
        "What is left of a ranking when every optimizer is tuned, and when the horizon that it was tuned for is not the one "
        "that is drawn?",
        _ranking_figure(values, ranked, judge, float(np.median(page.initial))),
        _ranking_reading(judge, whole(values, "fair_horizon"), _longer(values), ranked),
    ]


def listed(names: Sequence[str]) -> str:
    """Write names one after the other, "and" before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _largest(entries: Sequence[_Ranked], before: str, after: str) -> _Ranked | None:
    """Return the entry whose score shrinks by the largest factor, None where none shrinks."""
    found = [
        (getattr(entry, before)[1] / getattr(entry, after)[1], i)
        for i, entry in enumerate(entries)
        if math.isfinite(getattr(entry, before)[1])
        and getattr(entry, before)[1] > getattr(entry, after)[1] > 0
    ]
    return entries[max(found)[1]] if found else None


def _ranking_reading(judge: _Judge, horizon: int, longer: int, ranked: Sequence[_Ranked]) -> str:
    def order(column: str) -> list[str]:
        reached = [entry for entry in ranked if math.isfinite(getattr(entry, column)[1])]
        return [entry.name for entry in sorted(reached, key=lambda entry: float(getattr(entry, column)[1]))]

    def alike(column: str) -> list[str]:
        found = [entry.name for entry in ranked if judge.floor and getattr(entry, column)[1] <= judge.floor]
        return found if len(found) > 1 else []

    def order_said(column: str) -> str:
        equal = alike(column)
        behind = [name for name in order(column) if name not in equal]
        groups = [f"{listed(equal)} alike, below {number(DONE)} of their start"] if equal else []
        return ", then ".join([*groups, *([", ".join(behind)] if behind else [])]) or "nobody"

    page, here, later = order("page"), order("tuned"), order("retuned")
    if not here:
        return (
            f"Tuned or not, nobody arrives within {counted(horizon, 'step')}; within {number(longer)} steps: "
            f"{order_said('retuned')}."
        )
    done = len(alike("tuned"))
    apart = (
        f" (the first {done}, below {number(DONE)} of their start, by their steps to {percent(SHARE)})"
        if done
        else ""
    )
    sentences = [f"Tuned order at {counted(horizon, 'step')}: {', '.join(here)}{apart}."]
    if page == here and not alike("page"):
        sentences.append("The page's rates give the same order.")
    else:
        sentences.append(f"The page's rates give {order_said('page')}.")
    gain = _largest(ranked, "page", "tuned")
    if gain:
        sentences.append(
            f"{gain.name} gains most from tuning: {judge.says(gain.page[1])} at η {number(gain.page[0])}, "
            f"{judge.says(gain.tuned[1])} at η {number(gain.tuned[0])}."
        )
    better = [entry.name for entry in ranked if entry.page[1] < entry.tuned[1]]
    if better:
        sentences.append(
            f"The page's own rate of {better[0]} beats every rate of its budget."
            if len(better) == 1
            else f"The page's own rates of {listed(better)} beat every rate of their budgets."
        )
    if longer == horizon:
        return " ".join(sentences)
    times = f"{number(longer / horizon)} times the horizon, {number(longer)} steps"
    moved = [entry for entry in ranked if entry.carried[0] != entry.retuned[0]]
    if not moved and later == here and not alike("retuned"):
        return " ".join([*sentences, f"With {times}, no best rate and no rank changes."])
    rates = (
        f"{len(moved)} of {len(ranked)} best rates {'moves' if len(moved) == 1 else 'move'}"
        if moved
        else "no best rate moves"
    )
    stays = later == here and not alike("retuned")
    sentences.append(
        f"With {times}, {rates} and the order {'stays' if stays else 'is ' + order_said('retuned')}."
    )
    cost = _largest(moved, "carried", "retuned")
    if cost:
        sentences.append(
            f"Tuned for {number(horizon)} steps and drawn at {number(longer)}, {cost.name} is at {judge.says(cost.carried[1])} "
            f"with η {number(cost.carried[0])}, where η {number(cost.retuned[0])} gives {judge.says(cost.retuned[1])}."
        )
    return " ".join(sentences)


# Two knobs


_KEPT = "format(1 - datum.value, '.5~f')"  # an axis of 1 − memory is labelled with the memory
_MANTISSA = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"


def _memory_axis(channel: Any, field: str, title: str | None) -> Any:
    """Encode 1 − memory on a reversed log axis that is labelled with the memory itself."""
    return channel(
        field,
        title=title,
        scale=alt.Scale(type="log", nice=False, reverse=True),
        axis=alt.Axis(
            grid=False, tickCount=6, ticks=False, labelPadding=CLEAR,
            labelExpr=f"indexof([1, 2, 5], {_MANTISSA}) < 0 ? '' : {_KEPT}",
        ),
    )  # fmt: skip


def _map_layout(width: int, across: Callable[[str], Any]) -> Spec:
    narrow = width < NARROW
    left = width - 75 if narrow else round((width - 150) * 0.66)
    right = width - 75 if narrow else width - 150 - left
    tall = 300 if narrow else 380
    x, y = across("x:Q"), _memory_axis(alt.Y, "y:Q", None)
    cells, points = alt.Chart(named("cells")), alt.Chart(named("points"))
    picture = compose.layer(
        cells.mark_rect(clip=True).encode(
            x=across("x0:Q"), x2="x1:Q", y=_memory_axis(alt.Y, "y0:Q", None), y2="y1:Q", color=theme.color(),
            opacity=alt.Opacity("strength:Q", scale=None, legend=None),
            tooltip=[alt.Tooltip("across:N"), alt.Tooltip("up:N"), alt.Tooltip("text:N", title="score")],
        ),
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.9, opacity=0.8, clip=True)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.ink("ink"), opacity=theme.SHOWN),
        *(
            alt.Chart(named("levels"))
            .mark_text(
                fontSize=theme.SMALL_SIZE, align="right", dx=-4, baseline="middle", clip=True, filled=filled, strokeWidth=4
            )
            .encode(x=x, y=y, text="label:N", color=theme.ink(use))
            for filled, use in _HALO
        ),
        alt.Chart(named("border"))
        .mark_line(strokeWidth=2, strokeDash=[5, 3], clip=True)
        .encode(x=x, y=y, order="vertex:Q", color=theme.ink("ink"), opacity=theme.SHOWN),
        points.mark_point(filled=True, strokeWidth=1.5, opacity=1).encode(
            x=x, y=y, color=theme.color(), opacity=theme.SHOWN,
            size=alt.Size("size:Q", scale=None, legend=None),
        ),
        *(
            points.mark_text(
                fontSize=theme.SMALL_SIZE, fontWeight=600, align="left", baseline="middle", dx=6, dy=dy, filled=filled,
                strokeWidth=4,
            ).encode(
                x=x, y=y, text=f"{label}:N", color=theme.color() if filled else theme.ink(use), opacity=theme.SHOWN
            )
            for label, dy in (("above", -9), ("below", 10))
            for filled, use in _HALO
        ),
        heading("map", narrow),
        alt.Chart(named("titles"))
        .mark_text(align="right", baseline="bottom", fontSize=theme.SMALL_SIZE, dx=-6, dy=-8)
        .encode(x=alt.value(0), y=alt.value(0), text="up:N", color=theme.ink("ink")),
        width=left, height=tall, name="map",
    )  # fmt: skip
    score = _log(alt.X, "score:Q", ticks=4 if narrow else 6)
    profile = alt.Chart(named("profile"))
    best = compose.layer(
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=score, y=y),
        profile.mark_line().encode(
            x=score, y=y, detail="name:N", order="y:Q", color=theme.color(), strokeDash=theme.dash()
        ),
        profile.mark_point(filled=True, size=60).encode(
            x=score, y=y, color=theme.color(), opacity=alt.condition("datum.best", alt.value(1), alt.value(0))
        ),
        *(
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(
                x=alt.value(0), y=alt.value(10 - 18 * (2 - i)), text=f"profile{i}:N", color=theme.ink(use)
            )
            for i, (use, _) in enumerate(_HORIZON_INKS)
        ),
        width=right,
        height=tall,
        name="profile",
    )
    join, gap = (compose.below, 70) if narrow else (compose.beside, 36)
    resolve = {"color": "shared", "x": "independent", "y": "independent"}
    return assemble(join(picture, best, spacing=gap, resolve=resolve), theme.config())


# The ground's color around letters that stand on a picture.
_HALO = ((False, "paper"), (True, "ink"))
_HORIZON_INKS = (("blue", 0), ("ochre", 1))


@lru_cache(maxsize=16)
def _map_spec(width: int) -> Spec:
    ticks = 3 if width < NARROW else 6
    return _map_layout(width, lambda field: _log(alt.X, field, "learning rate", ticks))


@lru_cache(maxsize=16)
def _memories_spec(width: int) -> Spec:
    return _map_layout(width, lambda field: _memory_axis(alt.X, field, "beta1"))


@keep(entries=8)
def _grid(items: Items, pair: _Pair, starts: int, horizons: tuple[int, ...]) -> Sweep:
    values = dict(items)
    share = progress.Share(0.0, 1.0, f"{pair.optimizer}: {pair.across} × {pair.up}")
    over = {knob: _grid_values(knob, pair.optimizer, values) for knob in (pair.across, pair.up)}
    return _outcomes(values, pair.optimizer, over, starts, horizons, share)


def _grid_values(knob: str, optimizer: str, values: Values) -> Array:
    """Return what a map spans: rates on a log grid about the suggested one, memories on a log grid of 1 − memory."""
    if knob in _MEMORY:
        return np.asarray(1 - np.geomspace(1, _MEMORY[knob], _MAP_MEMORIES))
    return log_rates(suggested(optimizer, surface_of(values)), _MAP_RATES)


def _position(knob: str, values: Array) -> Array:
    """Return where values stand on a map's log axis: rates as they are, memories by 1 − memory."""
    return np.asarray(1 - values if knob in _MEMORY else values)


def _edges(positions: Array) -> tuple[Array, Array]:
    """Return the edges of cells about positions on a log axis."""
    logs = np.log10(positions)
    half = (logs[1] - logs[0]) / 2
    return 10 ** (logs - half), 10 ** (logs + half)


_DECADES = (math.log10(2), 1.0, 2.0, 4.0, 8.0)  # between isolines; a panel spans 17 decades at most
_LEVELS, _SHORTEST = 5, 8  # isolines on a map, and vertices of the shortest piece that is drawn


def _isolines(x: Array, y: Array, scores: Array, axis: _Axis) -> tuple[Part, Part]:
    """Trace isolines of scores (rows y, columns x): their vertices, and a label at the left end of each level."""
    nothing: Part = {"x": [x[0]], "y": [y[0]], "line": 0, "vertex": 0, "shown": False}
    blank: Part = {"x": [x[0]], "y": [y[0]], "label": ""}
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.where(scores <= axis.high, np.maximum(scores, axis.low), np.nan))
    seen = logs[np.isfinite(logs)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    if not high - low > 1e-9:
        return nothing, blank
    step = next(s for s in _DECADES if (high - low) / s <= _LEVELS)
    found: list[tuple[Array, Array]] = []
    labels: list[tuple[Array, str]] = []
    size = np.abs(np.log10([x[-1] / x[0], y[-1] / y[0]]))
    for level in step * np.arange(math.ceil(low / step), math.floor(high / step) + 1):
        field = np.ma.masked_invalid(0.5 + (logs - level) / (2 * (high - low)))
        lx, ly, line = raster.isolines(np.log10(x), np.log10(y), field, 1)
        pieces = [(lx[line == k], ly[line == k]) for k in np.unique(line) if np.sum(line == k) >= _SHORTEST]
        if pieces:
            found += pieces
            across, up = max(pieces, key=lambda piece: len(piece[0]))
            k = int(np.argmin(across))
            at = np.array([across[k], up[k]])
            # Where levels lie on top of each other, one of them is named.
            if all(np.abs((at - other) / size).max() > 0.07 for other, _ in labels):
                labels.append((at, number(float(10**level), 2)))
    if not found:
        return nothing, blank
    across, up = (np.concatenate(parts) for parts in zip(*found, strict=True))
    traced: Part = {
        "x": np.float32(10**across), "y": np.float32(10**up), "shown": True,
        "line": np.repeat(np.arange(len(found), dtype=np.int16), [len(piece[0]) for piece in found]),
        "vertex": np.arange(len(across), dtype=np.int16),
    }  # fmt: skip
    return traced, {
        "x": [float(10 ** at[0]) for at, _ in labels],
        "y": [float(10 ** at[1]) for at, _ in labels],
        "label": [label for _, label in labels],
    }


class _Border(NamedTuple):
    """Theory on a map of a linear rule over a quadratic.

    limits (n,) of the rate by memory (n,). best: the pair with the smallest factor a step in the long run; cell: the
    best of the map's own pairs; (rate, memory, factor) each.
    """

    limits: Array
    memories: Array
    best: tuple[float, float, float]
    cell: tuple[float, float, float]


def _border(values: Values, pair: _Pair, swept: Sweep) -> _Border | None:
    """Return the exact border of stability and the fastest setting in the long run, None where there is no theory."""
    if pair.across != "lr" or math.isnan(
        _limit(pair.optimizer, {**values, own(pair.optimizer, pair.up): 0.5})
    ):
        return None
    bowl, entry = quadratic(values), OPTIMIZERS[pair.optimizer].linear
    assert bowl is not None
    assert entry is not None
    memories = 1 - np.geomspace(1, _MEMORY[pair.up], 241)
    knobs = {**settings(pair.optimizer, values), pair.up: memories}
    limits = entry.limit(bowl.eigenvalues[-1], cast(Settings, knobs))
    rates, ups = swept.values
    grid = {**knobs, "lr": rates[:, None, None], pair.up: ups[None, :, None]}
    factors = entry.rates(bowl.eigenvalues, cast(Settings, grid)).max(axis=-1)
    i, j = np.unravel_index(int(np.argmin(factors)), factors.shape)
    best = entry.optimal(bowl.eigenvalues[0], bowl.eigenvalues[-1])
    return _Border(
        np.broadcast_to(limits, memories.shape),
        memories,
        (float(best.lr), float(best.momentum), float(best.rate)),
        (float(rates[i]), float(ups[j]), float(factors[i, j])),
    )


def _map_scores(swept: Sweep, objective: Objective, horizon: int) -> Array:
    """Return the scores of a map, rows up and columns across."""
    return objective.score(swept.outcome, horizon).T


def _cells(judge: _Judge, swept: Sweep, scores: Array, axis: _Axis, x: Array, y: Array) -> tuple[Part, Array]:
    """Return the cells of the map, strong in color where the score is low, and which of them are bad, rows up."""
    outcome, objective = swept.outcome, judge.objective
    if objective.unit == "loss":
        highest = float(np.median(outcome.initial))
        bad = ~(scores <= highest)
    else:
        highest, bad = axis.high, ~np.isfinite(scores)
    height = np.log(np.clip(scores, axis.low, max(highest, axis.low)))
    span = float(height.max() - height.min())
    strength = 0.06 + 0.74 * ((height.max() - height) / span if span else 0 * height)
    line, column = (index.ravel() for index in np.indices(scores.shape))
    (x0, x1), (y0, y1) = _edges(x), _edges(y)
    across, up = (
        [f"{name} {number(float(value), 4)}" for value in values]
        for name, values in zip(swept.names, swept.values, strict=True)
    )
    return {
        "x0": x0[column].astype(np.float32), "x1": x1[column].astype(np.float32),
        "y0": y0[line].astype(np.float32), "y1": y1[line].astype(np.float32),
        "slot": np.where(bad, theme.SLOTS["vermilion"], theme.SLOTS["blue"]).ravel().astype(np.int8),
        "strength": np.float32(np.where(bad, 0.22, strength).ravel().round(3)),
        "across": np.array(across)[column], "up": np.array(up)[line],
        "text": [judge.says(float(score)) for score in scores.ravel()],
    }, bad  # fmt: skip


def _limit_rows(border: _Border | None, x: Array, y: Array) -> Part:
    """Return the exact limit of the rate where it crosses the map."""
    if border is not None:
        there = np.flatnonzero((border.limits >= x.min()) & (border.limits <= x.max()))
        if len(there):
            vertex = np.arange(len(there), dtype=np.int16)
            return {
                "x": border.limits[there], "y": 1 - border.memories[there], "vertex": vertex, "shown": True
            }  # fmt: skip
    return {"x": [x[0]], "y": [y[0]], "vertex": 0, "shown": False}


def _point_rows(
    values: Values, swept: Sweep, tuned: Tuned, border: _Border | None, x: Array, y: Array
) -> Part:
    """Return the marks on the map: the page's setting, the best one, and the fastest in the long run by theory."""
    chosen = settings(PAIRS[word(values, "fair_pair")].optimizer, values)
    page = [float(_position(knob, np.array(float(chosen[knob])))) for knob in swept.names]
    inside = all(v.min() <= at <= v.max() for v, at in zip((x, y), page, strict=True))
    best = [float(v[i]) for v, i in zip((x, y), tuned.index, strict=True)]
    fastest = [border.best[0], 1 - border.best[1]] if border is not None else best
    within = all(v.min() <= at <= v.max() for v, at in zip((x, y), fastest, strict=True))
    at = np.array([page if inside else best, best, fastest if within else best])
    return {
        "x": at[:, 0], "y": at[:, 1], "above": ["", "best", ""], "below": ["here", "", ""],
        "slot": [theme.SLOTS["vermilion"], theme.INK, theme.INK], "size": [40, 60, theme.DOT],
        "shown": [inside, tuned.reached, border is not None and within],
    }  # fmt: skip


def _map_figure(values: Values, swept: Sweep, tuned: Tuned, border: _Border | None) -> Figure:
    pair, judge = PAIRS[word(values, "fair_pair")], _judge(values, swept.outcome)
    objective, horizon, longer = judge.objective, whole(values, "fair_horizon"), _longer(values)
    scores = _map_scores(swept, objective, 0)
    initial = float(np.median(swept.outcome.initial))
    axis = _axis(objective, initial, horizon, [scores])
    x, y = (_position(knob, v) for knob, v in zip(swept.names, swept.values, strict=True))
    cells, bad = _cells(judge, swept, scores, axis, x, y)
    isolines, levels = _isolines(x, y, np.where(bad, np.nan, scores), axis)
    profile, extent = _profiles(values, swept, initial)
    loss, both = objective.unit == "loss", pair.across != "lr"
    spanned = ", ".join(
        f"{len(v)} values of {knob} from {number(float(v.min()))} to {number(float(v.max()), 5)}"
        for knob, v in zip(swept.names, swept.values, strict=True)
    )
    theory = " Dashed: the exact limit of the rate. Small dot: the fastest in the long run, by theory."
    return Figure(
        name="optimizers/fair_memories" if both else "optimizers/fair_grid",
        build=_memories_spec if both else _map_spec,
        data={
            "cells": rows(**cells),
            "isolines": rows(**isolines),
            "levels": rows(**levels),
            "border": rows(**_limit_rows(border, x, y)),
            "points": rows(**_point_rows(values, swept, tuned, border, x, y)),
            "profile": profile,
            "extent": rows(score=[extent.low, extent.high], y=[float(e) for e in (y.min(), y.max())]),
            "titles": rows(
                **titled("map", f"{pair.optimizer}: {_said(objective, horizon)}"),
                up=[pair.up],
                profile0=[f"With the best {pair.across}, {number(horizon)} steps"],
                profile1=[
                    f"With the best {pair.across}, {number(longer)} steps" if longer != horizon else ""
                ],
            ),
        },
        title="Two knobs at a time",
        caption=f"{_where(values, len(swept.outcome.initial), spanned)}; {_said(objective, horizon)}, the best of a row also "
        f"with {number(longer)} steps. Settings before tuning: {_methods_said(values, [pair.optimizer])}.",
        key=f"Map: the stronger the color, the {'lower' if loss else 'sooner'}; isolines named with their value; orange: half of "
        f"the starts {'end higher than they began' if loss else 'do not arrive'}.{theory if border else ''} Lines: the best "
        "score of every row.",
        alt="Map of the outcome over two knobs of one optimizer, and beside it the best outcome of every row at two horizons.",
    )


def _profiles(values: Values, swept: Sweep, initial: float) -> tuple[Frame, _Axis]:
    """Return the best score of every row at both horizons, as rows, and the axis they are drawn on."""
    objective, horizons = _objective(values), swept.outcome.horizons
    y = _position(swept.names[1], swept.values[1])
    found = [_map_scores(swept, objective, i).min(axis=1) for i in range(len(horizons))]
    axis = _axis(objective, initial, max(horizons), found)
    parts: list[Part] = []
    for i, scores in enumerate(found):
        use, dash = _HORIZON_INKS[i]
        best = tune(swept, objective, i)
        parts.append({
            "score": axis.line(scores), "y": y, "name": str(i), "slot": np.int8(theme.SLOTS[use]), "dash": np.int8(dash),
            "best": (np.arange(len(y)) == best.index[1]) & best.reached,
        })  # fmt: skip
    return rows(*parts), axis


def _map_blocks(values: Values) -> list[Block]:
    pair, objective = PAIRS[word(values, "fair_pair")], _objective(values)
    horizon, longer = whole(values, "fair_horizon"), _longer(values)
    swept = _grid(
        relevant(pair.optimizer, values),
        pair,
        min(_MAP_STARTS, whole(values, "fair_starts")),
        (horizon, longer) if longer != horizon else (horizon,),
    )
    tuned = tune(swept, objective)
    border = _border(values, pair, swept)
    return [
        f"How do {pair.across} and {pair.up} of {pair.optimizer} hang together, and does the best pair depend on when you look?",
        _map_figure(values, swept, tuned, border),
        _map_reading(values, swept, tuned, border),
    ]


def _at(pair: _Pair, tuned: Tuned) -> str:
    return f"{pair.across} {number(tuned.values[0])}, {pair.up} {number(tuned.values[1])}"


def _map_reading(values: Values, swept: Sweep, tuned: Tuned, border: _Border | None) -> str:
    pair, objective, judge = (
        PAIRS[word(values, "fair_pair")],
        _objective(values),
        _judge(values, swept.outcome),
    )
    horizon, longer = whole(values, "fair_horizon"), _longer(values)
    sentences = []
    if tuned.reached:
        sentences.append(
            f"Best for {_said(objective, horizon)}: **{_at(pair, tuned)}**, {judge.says(tuned.score)}."
        )
        scores = _map_scores(swept, objective, 0)
        own_value = float(settings(pair.optimizer, values)[pair.up])
        row = int(np.argmin(np.abs(_position(pair.up, swept.values[1]) / max(1 - own_value, 1e-6) - 1)))
        alone = float(scores[row].min())
        if row != tuned.index[1]:
            sentences.append(
                f"With {pair.up} {number(float(swept.values[1][row]), 4)}, nearest to the page's, the best {pair.across} gives "
                f"{judge.says(alone)}."
            )
        # Below a memory of 0 there is nothing.
        ends = [
            f"{knob} ({end})" for knob, end in tuned.ends.items() if knob not in _MEMORY or end == "highest"
        ]
        if ends:
            sentences.append(
                f"It lies at the end of the map in {', '.join(ends)}: a better one may lie beyond."
            )
    else:
        sentences.append(f"No setting of the map reaches the target within {counted(horizon, 'step')}.")
    if longer != horizon:
        later = tune(swept, objective, 1)
        if later.reached and tuned.reached:
            carried = float(objective.score(swept.outcome, 1)[tuned.index])
            if later.index == tuned.index:
                sentences.append(f"After {number(longer)} steps the best pair is the same.")
            else:
                sentences.append(
                    f"After {number(longer)} steps the best pair is {_at(pair, later)}, {judge.says(later.score)}; "
                    f"the first one is then at {judge.says(carried)}."
                )
    sentences.append(
        _border_said(swept, border) if border is not None else _left_out(values, [pair.optimizer])
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _pair_said(found: tuple[float, float, float]) -> str:
    rate, memory, factor = found
    return f"η {number(rate)} with momentum {number(memory)}, a factor {number(factor)} a step"


def _border_said(swept: Sweep, border: _Border) -> str:
    """Compare the exact border of stability with where the map's longest runs begin to grow, and name the fastest pair."""
    grew = swept.outcome.grew(len(swept.outcome.horizons) - 1).all(axis=-1)
    rates, memories = swept.values
    limits = np.interp(memories, border.memories, border.limits)
    beyond = rates[:, None] > limits
    differ = int((grew != beyond).sum())
    steps = swept.outcome.horizons[-1]
    return (
        f"By theory {differ} of {grew.size} cells {'lies' if differ == 1 else 'lie'} on another side of the border than runs of "
        f"{number(steps)} steps say. In the long run the fastest pair is {_pair_said(border.best)}; of the map's cells it is "
        f"{_pair_said(border.cell)}."
    )


# The tab


_VIEWS: Mapping[str, Callable[[Values], list[Block]]] = {
    "learning rates": _rates_blocks,
    "two knobs": _map_blocks,
    "ranking": _ranking_blocks,
}


def fair_blocks(values: Values) -> list[Block]:
    """Draw the view that is chosen, or say why there is nothing to tune."""
    return _nothing(values) or _VIEWS[word(values, "fair_view")](values)
