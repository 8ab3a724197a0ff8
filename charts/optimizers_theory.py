"""The Theory tab of the Optimizers page: what is known of gradient descent and momentum on a quadratic, over runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, raster, theme
from charts.describe import counted, percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread
from charts.optimizers_base import (
    APART,
    BOWL,
    CLEAR,
    STYLES,
    conditions,
    own,
    place,
    problem_of,
    quadratic,
    start_of,
    surface_of,
    surface_settings,
)
from charts.topic import Block, Link, Values, real, whole, word, words
from core.descent import Descent, descend, steps_to
from core.kept import keep
from core.knobs import Knob, number
from core.optimizers import OPTIMIZERS, Optimizer, Rule
from core.quadratic import (
    CRITICAL,
    DIVERGING,
    LIMIT,
    LinearTheory,
    Moments,
    NoisyBowl,
    best_lrs,
    critical_momentum,
    measured_rate,
    moments,
    noise_variance,
    quadratic_rates,
    regime,
    steps_predicted,
    textbook_nesterov,
)
from core.streams import stream

Array = np.ndarray

TAB = "Theory"
LINEAR = tuple(name for name, entry in OPTIMIZERS.items() if entry.linear is not None)

THEORY_KNOBS = (
    Knob("theory_view", "choice", "components", label="View", choices=("components", "rates", "noise")),
    Knob("theory_optimizer", "choice", "Momentum", label="Optimizer", choices=LINEAR),
    Knob(
        "theory_noise", "float", 1.0, label="Gradient noise", low=0.0, high=5.0, step=0.05, symbol="σ",
        help="Standard deviation of the normal noise in each component of each gradient.",
    ),
    Knob("theory_runs", "int", 64, label="Noisy runs", low=8, high=256, step=8, cap="samples"),
    Knob("theory_seed", "int", 0, label="Seed of the noise", low=0, high=9999, step=1),
)  # fmt: skip

_NEAR = 1e-3  # of the window's width: how far from its minimum a surface that is no quadratic is started
_LONG = 2000  # steps of the runs that rates and steps are measured on
_RATES = 40
_SHARE = 1e-6
_ONCE = 1e-12  # a rate that is 0 up to rounding
_SCRUBS = 101
_MAP = 97
_DOWN, _UP = 1e-12, 1e3  # what a panel of errors shows, times the error at the start
_TOP = 1.06  # where the curves of the panel of rates end
_EXPONENT = 4  # of its axis: what matters happens close to 1
_SMALL = ("λ₁", "λ₂")
_FAINT = alt.condition("datum.shown", alt.value(0.1), alt.value(0))


# What the tab looks at


class _Setting(NamedTuple):
    """A minimum with its Hessian, and a method of the page with its two settings there.

    ``start`` (2,) is the page's start in the eigenbasis, from the minimum; ``exact``: the surface is this quadratic.
    """

    values: Values
    entry: Optimizer
    linear: LinearTheory
    lr: float
    momentum: float
    center: Array
    eigenvalues: Array
    eigenvectors: Array
    start: Array
    exact: bool

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def has_momentum(self) -> bool:
        return any(knob.name == "momentum" for knob in self.entry.knobs)

    @property
    def knobs(self) -> dict[str, float]:
        return {"lr": self.lr, "momentum": self.momentum}

    @property
    def keeps_all(self) -> bool:
        """Whether the momentum is 1, so that nothing is forgotten."""
        return self.momentum >= 1

    @property
    def limit(self) -> float:
        """The largest learning rate that converges; with a momentum of 1 what it tends to."""
        most = min(self.momentum, math.nextafter(1, 0))
        return float(self.linear.limit(self.eigenvalues[1], {"momentum": most}))

    @property
    def rates(self) -> Array:
        return self.linear.rates(self.eigenvalues, self.knobs)

    def rule(self, lr: float | Array | None = None) -> Rule:
        """Return the rule with these settings, or with other learning rates."""
        momentum = {"momentum": self.momentum} if self.has_momentum else {}
        return self.entry.build(lr=self.lr if lr is None else lr, **momentum)

    def described(self) -> str:
        return f"{self.name} η {number(self.lr)}" + (
            f" μ {number(self.momentum)}" if self.has_momentum else ""
        )


def _setting(values: Values) -> _Setting | None:
    """Find the quadratic: the surface itself, or that of its minimum nearest to the start; None if it has none."""
    surface, start = surface_of(values), start_of(values)
    bowl = quadratic(values)
    if bowl is not None:
        center, eigenvalues, eigenvectors = bowl
    else:
        minima = [m for m in surface.minima if m.smooth and m.isolated]
        if not minima:
            return None
        center = min(
            (np.array(m.point) for m in minima), key=lambda point: float(np.sum((point - start) ** 2))
        )
        eigenvalues, eigenvectors = np.linalg.eigh(surface.hessian(center, **surface_settings(values)))
    if not eigenvalues[0] > 1e-9 * eigenvalues[1]:
        return None
    entry = OPTIMIZERS[word(values, "theory_optimizer")]
    assert entry.linear is not None
    momentum = own(entry.name, "momentum")
    return _Setting(
        values,
        entry,
        entry.linear,
        real(values, own(entry.name, "lr")),
        real(values, momentum) if momentum in values else 0.0,
        center,
        eigenvalues,
        eigenvectors,
        (start - center) @ eigenvectors,
        bowl is not None,
    )


def _grid(s: _Setting) -> tuple[float, float]:
    """Return the ends of the learning rates that are looked at: two decades up to beyond the limit."""
    return min(s.limit / 100, s.lr / 1.5), max(1.7 * s.limit, 1.3 * s.lr)


def _best(s: _Setting) -> tuple[float, float] | None:
    """Return the smallest and the largest learning rate with the best rate for this momentum; None if none converges."""
    if s.keeps_all:
        return None
    smallest, largest = s.eigenvalues
    low, high = best_lrs(smallest, largest, s.momentum, nesterov=s.linear.nesterov)
    return float(low), float(high)


def _span(best: tuple[float, float]) -> str:
    first, last = (number(lr, 4) for lr in best)
    return first if first == last else f"{first} to {last}"


class _Long(NamedTuple):
    """What long runs on the quadratic show.

    rates (_RATES,) are their learning rates and measured (_RATES, 2) the factors a step; here (2,) those at the page's
    own learning rate, reached the step at which the loss is down to ``_SHARE`` of its start, −1 if it never is.
    """

    rates: Array
    measured: Array
    here: Array
    reached: int


@keep(entries=8)
def _long(
    name: str,
    lr: float,
    momentum: float,
    low: float,
    high: float,
    ends: tuple[float, float],
    start: tuple[float, ...],
) -> _Long:
    """Run _RATES learning rates, the page's own, and the page's own from its start, all at once."""
    grid = np.geomspace(*ends, _RATES)
    entry = OPTIMIZERS[name]
    settings = {"momentum": momentum} if any(knob.name == "momentum" for knob in entry.knobs) else {}
    rule = entry.build(lr=np.array([*grid, lr, lr]), **settings)
    starts = np.ones((_RATES + 2, 2))
    starts[-1] = start
    result = descend(NoisyBowl(np.array([low, high])), rule, starts, _LONG)
    measured = measured_rate(result.path[:, :-1])
    value = result.value[:, -1]
    return _Long(grid, measured[:-1], measured[-1], int(steps_to(value, _SHARE * value[0])))


def _long_of(s: _Setting) -> _Long:
    low, high = (float(x) for x in s.eigenvalues)
    # A loss of 0 at the start has no share: then the step is that of equal components.
    start = tuple(float(x) for x in s.start) if s.start.any() else (1.0, 1.0)
    return _long(s.name, s.lr, s.momentum, low, high, _grid(s), start)


# Parts of figures


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
        .encode(x=alt.value(x), y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN)
    )


def _log(field: str, title: str | None = None) -> alt.Y:
    return alt.Y(
        field,
        title=title,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )


def _steps(field: str = "step:Q") -> alt.X:
    return alt.X(
        field,
        title="step",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )


def _within(y: Array, low: float, high: float) -> Array:
    """Leave out what lies beyond the ends of a panel."""
    with np.errstate(invalid="ignore"):
        return np.where((y >= low) & (y <= high), y, np.nan)


def _ends(
    y: Array, labels: Sequence[str], slots: Sequence[int], low: float, high: float, gap: float = 0.06
) -> Part:
    """Place labels on a log axis, apart from each other; those of NaN are not shown."""
    bottom, top = math.log10(low), math.log10(high)
    shown = np.isfinite(y) & (y > 0)
    logs = np.full(len(y), bottom)
    logs[shown] = np.log10(y[shown])
    placed = np.full(len(y), bottom)
    placed[shown] = spread(logs[shown], gap * (top - bottom), bottom, top)
    return {"y": 10.0**placed, "label": list(labels), "slot": list(slots), "shown": shown}


def _left_at(y: Array, high: float) -> str:
    """Say at which step the last of a line is within a panel, if it is not the last of all; y has NaN outside."""
    drawn = np.flatnonzero(np.isfinite(y))
    if not len(drawn) or drawn[-1] == len(y) - 1:
        return ""
    last = int(drawn[-1])
    return f" {'↑' if y[last] > high / 100 else '↓'}{last}"


def _curvatures(s: _Setting) -> list[str]:
    return [f"{name} = {number(float(x))}" for name, x in zip(_SMALL, s.eigenvalues, strict=True)]


def _where(s: _Setting) -> str:
    """State the quadratic of a caption."""
    if s.exact:
        return f"{place(s.values)}; {', '.join(_curvatures(s))}"
    x, y = s.center
    return (
        f"Quadratic of the Hessian of {place(s.values, start=False)} at its minimum ({number(x, 5)}, {number(y, 5)}); "
        f"{', '.join(_curvatures(s))}; from the page's start ({number(real(s.values, 'start_x'), 6)}, "
        f"{number(real(s.values, 'start_y'), 6)})"
    )


# The components


@lru_cache(maxsize=32)
def _components_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 138 if narrow else round((width - 250) * 0.62)
    right = width - 76 if narrow else width - 250 - left
    tall = 250 if narrow else 330
    scrub = alt.param(
        name="scrub",
        value=25,
        bind=alt.binding_range(min=0, max=_SCRUBS - 1, step=1, name="Scrub through the run, % "),
    )
    x, y = _steps(), _log("y:Q")
    lines: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=_log("error:Q")),
        alt.Chart(named("scrubbed"))
        .transform_filter("datum.at == scrub")
        .mark_rule(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, color=theme.ink("muted")),
        alt.Chart(named("lines"))
        .mark_line(strokeWidth=1.8)
        .encode(x=x, y=y, detail=["name:N", "piece:Q"], color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN),
        _labels("ends", left, y),
        _heading("errors"),
    ]
    part = alt.X("name:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, grid=False, ticks=False))
    height = _log("y:Q")
    now = alt.Chart(named("parts")).transform_filter("datum.at == scrub")
    bars: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(y=_log("part:Q")),
        now.mark_bar(width={"band": 0.62}).encode(
            x=part,
            y=height,
            y2="low:Q",
            color=theme.color(),
            opacity=alt.condition("datum.dash == 0", alt.value(0.85), alt.value(0.45)),
        ),
        now.mark_tick(thickness=2, width={"band": 0.62}).encode(
            x=part, y=_log("theory:Q"), color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        now.mark_text(dy=-9, fontSize=theme.SMALL_SIZE + 0.5).encode(
            x=part, y=_log("label_y:Q"), text="label:N", color=theme.ink("ink")
        ),
        alt.Chart(named("scrubbed"))
        .transform_filter("datum.at == scrub")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="title:N", color=theme.ink("ink")),
    ]
    panels = [
        compose.layer(*lines, width=left, height=tall, name="errors"),
        compose.layer(*bars, width=right, height=tall, name="parts"),
    ]
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "independent"})
    return assemble(both, theme.config(), [compose.parameter(scrub)])


class _Components(NamedTuple):
    """Errors along the eigenvectors, (steps+1, 2): of the run on the surface, and by the closed form."""

    run: Descent
    measured: Array
    exact: Array


def _components(s: _Setting) -> _Components:
    """Run on the page's surface: from its start if it is a quadratic, else from a point near the minimum."""
    start = s.start
    if not s.exact:
        window = surface_of(s.values).window
        length, near = float(np.linalg.norm(start)), _NEAR * (window[1] - window[0])
        start = start * min(1.0, near / length) if length else start
    steps = whole(s.values, "steps")
    result = descend(problem_of(s.values), s.rule(), s.center + s.eigenvectors @ start, steps)
    with np.errstate(over="ignore", invalid="ignore"):
        measured = (result.path - s.center) @ s.eigenvectors
        begin = measured[0] if s.exact else start
        return _Components(result, measured, s.linear.path(s.eigenvalues, begin, steps, s.knobs))


def _components_figure(s: _Setting, found: _Components) -> Figure:
    steps, style = whole(s.values, "steps"), STYLES[s.name]
    with np.errstate(over="ignore", invalid="ignore"):
        errors, exact = np.abs(found.measured), np.abs(found.exact)
        parts, parts_exact = (0.5 * s.eigenvalues * u * u for u in (found.measured, found.exact))
        parts, parts_exact = (np.column_stack([p, p.sum(axis=1)]) for p in (parts, parts_exact))

    def window(y: Array, down: float, up: float) -> tuple[float, float]:
        begin = float(y[0].max()) or 1.0
        seen = _within(y, begin * down, begin * up)
        seen = np.where(seen > 0, seen, np.nan)
        low, high = (
            float(pick(seen)) if np.isfinite(seen).any() else begin for pick in (np.nanmin, np.nanmax)
        )
        return low / 1.6, max(high * 1.6, low * 10)

    low, high = window(errors, _DOWN, _UP)
    bottom, top = window(parts, _DOWN**2, _UP**2)
    every = max(1, steps // 30)
    lines: list[Part] = []
    dots: list[Part] = []
    last: list[float] = []
    labels: list[str] = []
    for i, name in enumerate(_SMALL):
        y = _within(errors[:, i], low, high)
        lines.append(
            {"step": np.arange(steps + 1, dtype=np.int16), "y": y, "name": name, "piece": np.int8(0),
             "slot": np.int8(style.slot), "dash": np.int8(i)}
        )  # fmt: skip
        kept = np.flatnonzero(
            np.isfinite(_within(exact[:, i], low, high)) & (np.arange(steps + 1) % every == 0)
        )
        dots.append({"step": kept.astype(np.int16), "y": exact[kept, i], "shown": True})
        drawn = y[np.isfinite(y)]
        last.append(float(drawn[-1]) if len(drawn) else math.nan)
        labels.append(f"|u{name[1]}|{_left_at(y, high)}")
    # A line of one point is not seen: an extent where both errors are 0.
    lines.append({"step": np.zeros(1, np.int16), "y": np.array([high]), "name": "", "piece": np.int8(1),
                  "slot": np.int8(style.slot), "dash": np.int8(0)})  # fmt: skip
    dots.append({"step": np.zeros(1, np.int16), "y": np.array([high]), "shown": np.array([False])})
    at = np.arange(_SCRUBS, dtype=np.int16)
    step = np.round(at / (_SCRUBS - 1) * steps).astype(np.int16)
    names = (*(f"{name}" for name in _SMALL), "sum")
    bars: list[Part] = [
        {
            "at": at,
            "name": name,
            # What lies beyond the panel has a bar without height and no tick.
            "y": np.nan_to_num(_within(parts[step, i], bottom, top), nan=bottom),
            "theory": np.nan_to_num(_within(parts_exact[step, i], bottom, top), nan=bottom),
            "shown": np.isfinite(_within(parts_exact[step, i], bottom, top)),
            "low": bottom,
            "label": [number(float(v)) + (" ↑" if v > top else "") for v in parts[step, i]],
            "label_y": np.where(
                parts[step, i] > top,
                top * (bottom / top) ** 0.05,
                np.clip(np.nan_to_num(parts[step, i], nan=bottom), bottom, top),
            ),
            "slot": np.int8(style.slot if i < 2 else theme.MUTED),
            "dash": np.int8(i % 2),
        }
        for i, name in enumerate(names)
    ]
    if s.exact:
        start = _where(s)
    else:
        x, y = found.run.path[0]
        start = (
            f"{place(s.values, start=False)}, run from ({number(x, 8)}, {number(y, 8)}), close to the minimum "
            f"({number(s.center[0], 8)}, {number(s.center[1], 8)}); Hessian there {', '.join(_curvatures(s))}"
        )
    return Figure(
        name="optimizers/theory_components",
        build=_components_spec,
        data={
            "lines": rows(*lines),
            "theory": rows(*dots),
            "ends": rows(_ends(np.array(last), labels, [style.slot] * 2, low, high)),
            "parts": rows(*bars),
            "scrubbed": rows(at=at, step=step, title=[f"½λᵢuᵢ² at step {k} of {steps}" for k in step]),
            "extent": rows(step=[0, steps], error=[low, high], part=[bottom, top]),
            "titles": rows(errors=["Error along each eigenvector"]),
        },
        title="The components of the error",
        caption=f"{s.described()}; {counted(steps, 'step')}; {start}; exact gradients, no weight decay.",
        key="Lines and bars: the run. Small dots and ticks: closed form. Full: the smaller curvature λ₁, dashed or pale: λ₂. "
        "Dashed upright: the step of the bars. ↓ and ↑: the step at which a line leaves the panel, or a part of the loss that is "
        "beyond it.",
        alt="Distance from the minimum along both eigenvectors against step, and the share of the loss in each at one "
        "step.",
    )  # fmt: skip


def _apart(found: _Components) -> float:
    """Return how far run and closed form are apart at most, over the larger of the present and the first distance."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.maximum(np.linalg.norm(found.exact, axis=1), np.linalg.norm(found.exact[0]))
        gap = np.linalg.norm(found.measured - found.exact, axis=1) / scale
    finite = gap[np.isfinite(gap)]
    return float(finite.max()) if len(finite) else math.nan


def _components_blocks(s: _Setting) -> list[Block]:
    found = _components(s)
    lines = [_outlook(s)]
    if not s.start.any():
        lines.append("The start is the minimum itself, where nothing moves.")
    else:
        where = "the distance from the minimum" if s.exact else "that distance"
        lines.append(f"Run and closed form differ by at most {number(_apart(found), 2)} of {where}.")
        if not s.exact:
            lines.append(
                "What is left are the terms beyond the quadratic: they tie the components to each other."
            )
    diverged = int(found.run.diverged_at)
    if diverged >= 0:
        lines.append(f"The run overflows at step {diverged}.")
    lead = (
        "Along the eigenvectors of the Hessian each component of the error runs by itself, as if the other were not there. "
        "Which of them holds up the loss? Scrub through the run."
    )
    if not s.exact:
        lead += (
            f" Near its minimum every smooth surface is a quadratic, so this is {surface_of(s.values).name} itself, started "
            f"within {number(_NEAR)} of the window's width of the minimum that is nearest to the page's start."
        )
    return [lead, _components_figure(s, found), " ".join(lines)]


# Rates


@lru_cache(maxsize=32)
def _rates_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 96 if narrow else round((width - 170) * 0.53)
    right = width - 66 if narrow else width - 170 - left
    tall = 290 if narrow else 360
    ticks = alt.Axis(
        labelExpr=theme.POWER,
        grid=False,
        labelOverlap="greedy",
        labelPadding=CLEAR,
        labelSeparation=APART,
        tickCount=4,
    )
    x = alt.X("lr:Q", title="learning rate", scale=alt.Scale(type="log", nice=False), axis=ticks)
    y = alt.Y(
        "rate:Q",
        title=None,
        scale=alt.Scale(type="pow", exponent=_EXPONENT, nice=False, zero=True),
        axis=alt.Axis(values=[0, 0.6, 0.8, 0.9, 1], format="~g", labelPadding=CLEAR),
    )
    base = alt.Chart(named("lines"))
    marks = alt.Chart(named("marks"))

    def marked(side: str) -> Panel:
        return (
            marks.transform_filter(f"datum.side == '{side}'")
            .mark_text(align="left" if side == "right" else "right", dx=5 if side == "right" else -5)
            .encode(x=x, y=alt.Y("label_y:Q"), text="label:N", color=theme.color(), opacity=theme.SHOWN)
        )

    lines: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=y),
        alt.Chart(named("one")).mark_rule(strokeWidth=1).encode(y=y, color=theme.ink("faint")),
        alt.Chart(named("best"))
        .mark_rect()
        .encode(
            x=alt.X("from:Q"),
            x2="to:Q",
            y=alt.Y("low:Q"),
            y2="high:Q",
            color=theme.ink("good"),
            opacity=_FAINT,
        ),
        marks.mark_rule(strokeWidth=1, strokeDash=[4, 3]).encode(
            x=x, y=alt.Y("low:Q"), y2="label_y:Q", color=theme.color(), opacity=theme.SHOWN
        ),
        base.transform_filter("datum.name == 'larger'")
        .mark_line(strokeWidth=6, opacity=0.22, strokeJoin="round")
        .encode(x=x, y=y, detail="piece:Q", color=theme.color()),
        base.transform_filter("datum.name != 'larger'")
        .mark_line(strokeWidth=1.5)
        .encode(x=x, y=y, detail=["name:N", "piece:Q"], color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("measured"))
        .mark_point(filled=True, size=20, opacity=1)
        .encode(x=x, y=y, color=theme.color(), opacity=theme.SHOWN),
        *(
            alt.Chart(named("names"))
            .transform_filter("datum.above" if dy < 0 else "!datum.above")
            .mark_text(align="left", dx=2, dy=dy, fontSize=theme.SMALL_SIZE + 1, fontWeight=600)
            .encode(x=x, y=y, text="label:N", color=theme.color())
            for dy in (-11, 12)
        ),
        alt.Chart(named("leaves"))
        .mark_text(align="left", dx=6, dy=5, fontSize=theme.SMALL_SIZE + 1, fontWeight=600)
        .encode(x=x, y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN),
        marked("right"),
        marked("left"),
        _heading("rates"),
    ]
    a = alt.X("a:Q", title="learning rate × curvature", scale=alt.Scale(type="log", nice=False), axis=ticks)
    mu = alt.Y(
        "mu:Q",
        title="momentum μ",
        scale=alt.Scale(nice=False, domain=[-0.04, 1]),
        axis=alt.Axis(grid=False, values=[0, 0.2, 0.4, 0.6, 0.8, 1]),
    )
    points = alt.Chart(named("points"))
    plane: list[Panel] = [
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(x=alt.X("a:Q"), x2="a1:Q", y=alt.Y("mu:Q"), y2="mu1:Q", url="url:N"),
        alt.Chart(named("borders"))
        .mark_line(strokeWidth=1.2, clip=True)
        .encode(x=a, y=mu, detail="name:N", order="order:Q", color=theme.color(), strokeDash=theme.dash()),
        *(
            alt.Chart(named("regions"))
            .transform_filter("datum.upright" if angle else "!datum.upright")
            .mark_text(fontSize=theme.SMALL_SIZE, angle=angle)
            .encode(x=a, y=mu, text="label:N", color=theme.color())
            for angle in (0, 270)
        ),
        points.transform_filter("datum.best")
        .mark_point(size=120, strokeWidth=1.6, filled=False)
        .encode(x=a, y=mu, color=theme.color(), opacity=theme.SHOWN),
        points.transform_filter("!datum.best")
        .mark_point(size=75, filled=True, opacity=1)
        .encode(x=a, y=mu, color=theme.color()),
        points.transform_filter("!datum.best")
        .mark_text(dy=-12, fontSize=theme.SMALL_SIZE + 1, fontWeight=600)
        .encode(x=a, y=mu, text="label:N", color=theme.ink("ink")),
        _heading("plane"),
    ]
    panels = [
        compose.layer(*lines, width=left, height=tall, name="rates"),
        compose.layer(*plane, width=right, height=tall, name="plane"),
    ]
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "independent"})
    return assemble(both, theme.config())


@lru_cache(maxsize=16)
def _plane(nesterov: bool, low: float, high: float) -> str:
    """Draw the rate over lr·λ (log, low to high) and μ (0 to 1): the stronger, the fewer steps to a tenth, or to tenfold."""
    a = np.geomspace(low, high, _MAP)
    mu = np.linspace(0.0, 1.0, _MAP)[:, None]
    log_rate = np.log10(np.maximum(quadratic_rates(a, mu, 1.0, nesterov=nesterov), 1e-3))
    # From a thousand steps for a factor of ten, or none, to one step.
    strength = np.clip(1 + np.log10(np.maximum(np.abs(log_rate), 1e-3)) / 3, 0.0, 1.0)
    return raster.two_class_image(0.5 + 0.5 * np.sign(log_rate) * strength)


def _borders(nesterov: bool, low: float, high: float) -> list[tuple[str, Array, Array, int]]:
    """Return the borders of the regimes in the plane of lr·λ and μ: name, points on both axes, dash."""
    a = np.unique(np.concatenate([np.geomspace(low, high, 121), np.linspace(0.5, 4.0, 71)]))
    mu = np.linspace(0.0, 1.0, 41)
    if nesterov:
        under = a[a <= 1]
        return [
            (
                "critical",
                np.append(under, 1.0),
                np.append(critical_momentum(under, 1.0, nesterov=True), 0.0),
                1,
            ),
            ("flips", np.array([1.0, 1.0]), np.array([0.0, 1.0]), 1),
            ("limit", 2 * (1 + mu) / (1 + 2 * mu), mu, 0),
        ]
    under = a[a <= 4]
    return [("critical", under, np.asarray(critical_momentum(under, 1.0)), 1), ("limit", 2 * (1 + mu), mu, 0)]


def _regions(nesterov: bool) -> Part:
    """Return labels of the regimes, and where they stand in the plane."""
    flat = [("overdamped", 0.004, 0.12), ("underdamped", *((0.2, 0.63) if nesterov else (0.45, 0.5)))]
    upright = [("diverging", 5.5, 0.45), *([("alternating", 1.23, 0.45)] if nesterov else [])]
    found = [*flat, *upright]
    return {
        "label": [name for name, *_ in found],
        "a": [a for _, a, _ in found],
        "mu": [mu for *_, mu in found],
        "upright": [each in upright for each in found],
        "slot": theme.INK,
    }


def _rates_figure(s: _Setting, found: _Long) -> Figure:
    style = STYLES[s.name]
    ends = _grid(s)
    low, high = (float(x) for x in s.eigenvalues)
    # The kinks belong to the grid, or a line would miss its corner.
    root = math.sqrt(s.momentum)
    kinks = [
        k / x
        for x in (low, high)
        for k in (1.0, (1 - root) ** 2, (1 + root) ** 2, 1 - ((1 - s.momentum) / (1 + s.momentum)) ** 2)
    ]
    best = _best(s)
    special = [x for x in (*kinks, s.lr, s.limit, *(best or ())) if ends[0] < x < ends[1]]
    # Beyond the limit rates grow fast: closer points, so that lines end where they leave the panel.
    beyond = s.limit + (ends[1] - s.limit) * np.linspace(0.0, 1.0, 61) ** 3
    lr = np.unique(np.concatenate([np.geomspace(*ends, 121), special, beyond]))
    rate = quadratic_rates(lr[:, None], s.momentum, s.eigenvalues, nesterov=s.linear.nesterov)
    curves = {_SMALL[0]: rate[:, 0], _SMALL[1]: rate[:, 1], "larger": rate.max(axis=1)}
    shown = {name: np.where(y <= _TOP, y, np.nan) for name, y in curves.items()}
    lines: list[Part] = [
        {
            "lr": lr,
            "rate": y,
            "name": name,
            "piece": np.int8(0),
            "slot": np.int8(style.slot),
            "dash": np.int8(i % 2),
        }
        for i, (name, y) in enumerate(shown.items())
    ]
    height = (_TOP**_EXPONENT + 0.1 * np.arange(1, 4)) ** (1 / _EXPONENT)
    hidden: list[Part] = [  # an extent for a side without a label
        {"lr": [s.lr], "label": "", "low": 0.0, "label_y": height[:1], "side": side, "slot": style.slot, "shown": False}
        for side in ("left", "right")
    ]  # fmt: skip
    leaving = _leaving(lr, [shown[name] for name in _SMALL])
    visible = np.where(found.measured <= _TOP, found.measured, np.nan)
    dots: list[Part] = [
        {"lr": found.rates, "rate": visible[:, i], "slot": np.int8(style.slot), "shown": True}
        for i in range(2)
    ]
    dots.append(
        {
            "lr": np.array([ends[0]]),
            "rate": np.array([1.0]),
            "slot": np.int8(style.slot),
            "shown": np.array([False]),
        }
    )
    middle = math.sqrt(ends[0] * ends[1])
    marks = [
        (s.lr, f"here {number(s.lr)}", style.slot, True),
        (
            math.sqrt(best[0] * best[1]) if best else ends[0],
            f"best {_span(best)}" if best else "",
            theme.GOOD,
            best is not None,
        ),
        (s.limit, f"limit {number(s.limit, 4)}", theme.BAD, True),
    ]
    top = float((height[-1] ** _EXPONENT + 0.08) ** (1 / _EXPONENT))
    a = s.lr * s.eigenvalues
    across = (min(1e-3, float(a[0]) / 2), max(12.0, 1.4 * float(a[1])))
    nesterov = s.linear.nesterov
    borders = _borders(nesterov, *across)
    tuned = s.linear.optimal(low, high)
    return Figure(
        name="optimizers/theory_rates",
        build=_rates_spec,
        data={
            "lines": rows(*lines),
            "measured": rows(*dots),
            "names": rows(
                lr=[ends[0]] * 2,
                rate=np.minimum(rate[0], _TOP),
                label=list(_SMALL),
                slot=style.slot,
                above=[True, False],
            ),
            "leaves": rows(
                lr=[*leaving.values(), ends[1]],
                rate=_TOP,
                label=[*leaving, ""],
                slot=style.slot,
                shown=[True] * len(leaving) + [False],
            ),
            "marks": rows(
                {
                    "lr": [x for x, *_ in marks],
                    "label": [label for _, label, *_ in marks],
                    "low": 0.0,
                    "label_y": height,
                    "side": ["right" if x < middle else "left" for x, *_ in marks],
                    "slot": [slot for *_, slot, _ in marks],
                    "shown": [on for *_, on in marks],
                },
                *hidden,
            ),
            "one": rows(rate=[1.0]),
            "extent": rows(lr=list(ends), rate=[0.0, top]),
            "best": rows(
                **{
                    "from": [best[0] if best else ends[0]],
                    "to": [best[1] if best else ends[1]],
                    "low": 0.0,
                    "high": float(height[1]),
                    "shown": best is not None and best[1] > best[0] * 1.01,
                    "slot": theme.GOOD,
                }
            ),
            "raster": rows(url=[_plane(nesterov, *across)], a=across[0], a1=across[1], mu=0.0, mu1=1.0),
            "borders": rows(
                *(
                    {"a": x, "mu": y, "name": name, "order": np.arange(len(x), dtype=np.int16), "slot": np.int8(theme.INK),
                     "dash": np.int8(dash)}
                    for name, x, y, dash in borders
                )
            ),
            "regions": rows(_regions(nesterov)),
            "points": rows(
                a=[*a, *(float(tuned.lr) * s.eigenvalues)],
                mu=[s.momentum] * 2 + [float(tuned.momentum)] * 2,
                label=[*_SMALL, "", ""],
                best=[False, False, True, True],
                slot=[style.slot] * 2 + [theme.GOOD] * 2,
                shown=True,
            ),
            "titles": rows(
                rates=["Rate: the factor per step" + (f", μ {number(s.momentum)}" if s.has_momentum else "")],
                plane=[
                    "Regimes of Nesterov's momentum"
                    if nesterov
                    else "Regimes of the heavy ball" + ("" if s.has_momentum else f"; {s.name}: μ = 0")
                ],
            ),
        },
        title="The rate against the learning rate",
        caption=(
            f"{s.described()}; {_where(s)}. Rate: {_RATES} learning rates, {_LONG} steps each on ½λu² from u = 1, rate "
            f"from the slope of log √(u² + u²₋₁) over the second half of each run. Regimes: rate of ½λu² for every η·λ and μ; "
            f"rings: best pair, η {number(float(tuned.lr))}, μ {number(float(tuned.momentum))}."
        ),
        key=(
            "Rate: lines are theory, dots are measured; full λ₁, dashed λ₂, wide the larger of both, which decides; above 1 "
            f"a run diverges; ↑: a line leaves the panel, at {number(_TOP)}. "
            "Regimes: the bluer, the faster; orange diverges; dashed line: critical damping and change of sign, "
            "full line: limit."
        ),
        alt="The factor per step of both components against the learning rate, with its limit and its best value, and the "
        "regimes in the plane of learning rate times curvature and momentum.",
    )  # fmt: skip


def _leaving(lr: Array, lines: Sequence[Array]) -> dict[str, float]:
    """Name the lines that leave the panel of rates, and the learning rate of their last point; they have NaN outside."""
    found: dict[float, list[str]] = {}
    for name, y in zip(_SMALL, lines, strict=True):
        drawn = np.flatnonzero(np.isfinite(y))
        if len(drawn) and drawn[-1] < len(y) - 1:
            found.setdefault(float(lr[drawn[-1]]), []).append(name)
    return {f"{', '.join(names)} ↑": at for at, names in found.items()}


def _rates_blocks(s: _Setting) -> list[Block]:
    found = _long_of(s)
    low, high = s.eigenvalues
    kappa = float(high / low)
    lines = [_outlook(s)]
    both = np.isfinite(found.measured)
    theory = quadratic_rates(found.rates[:, None], s.momentum, s.eigenvalues, nesterov=s.linear.nesterov)
    off = np.abs(found.measured - theory)[both]
    if len(off):
        lines.append(
            f"Measured rates and theory differ by {number(float(off.max()), 2)} at most over the {_RATES} learning rates."
        )
    best = _best(s)
    if best is not None:
        rate = float(s.linear.rates(s.eigenvalues, {"lr": best[0], "momentum": s.momentum}).max())
        given = f" for μ {number(s.momentum)}" if s.has_momentum else ""
        first, last = (number(lr, 4) for lr in best)
        if first == last:
            lines.append(f"The best learning rate{given} is **{first}**, with a rate of {number(rate, 4)}.")
        else:
            lines.append(
                f"Every learning rate from **{first}** to **{last}** has the best rate{given}, √μ = {number(rate, 4)}."
            )
    tuned = s.linear.optimal(low, high)
    if s.has_momentum:
        text = (
            f"The best pair for κ = {number(kappa)} is η {number(float(tuned.lr))} and μ {number(float(tuned.momentum))}, with "
            f"a rate of **{number(float(tuned.rate), 4)}**"
        )
        if s.linear.nesterov:
            usual = textbook_nesterov(low, high)
            text += (
                f"; the usual choice, η 1/λ₂ = {number(float(usual.lr))} and μ = (√κ − 1)/(√κ + 1) = "
                f"{number(float(usual.momentum))}, has {number(float(usual.rate), 4)}"
            )
        lines.append(
            text + f". Gradient descent has (κ − 1)/(κ + 1) = {number((kappa - 1) / (kappa + 1), 4)} at best."
        )
    alike = (
        "the same curve"
        if number(kappa) in ("1", "1.00")
        else (f"the same curve, that of λ₂ at learning rates {number(kappa)} times smaller")
    )
    return [
        f"The larger of both factors decides, and both components have {alike}. Where is the larger one smallest?",
        _rates_figure(s, found),
        " ".join(lines),
    ]


# Noise


@lru_cache(maxsize=32)
def _noise_spec(width: int) -> Spec:
    inner = width - (160 if width < NARROW else 190)
    x, y = _steps(), _log("y:Q")
    runs = alt.Chart(named("runs"))
    layers: list[Panel] = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=y),
        runs.mark_area(opacity=0.18).encode(
            x=x, y=_log("low:Q"), y2="high:Q", detail="piece:Q", color=theme.color()
        ),
        runs.mark_line(strokeWidth=1.2, opacity=0.9).encode(
            x=x, y=_log("free:Q"), detail="piece:Q", color=theme.ink("faint")
        ),
        alt.Chart(named("floor"))
        .mark_rule(strokeWidth=1.2, strokeDash=[5, 4])
        .encode(y=y, color=theme.ink("ink"), opacity=theme.SHOWN),
        alt.Chart(named("stop"))
        .mark_rule(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, color=theme.ink("muted"), opacity=theme.SHOWN),
        alt.Chart(named("stop"))
        .mark_text(align="left", dx=5, fontSize=theme.SMALL_SIZE)
        .encode(x=x, y=alt.value(8), text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN),
        runs.mark_line().encode(x=x, y=_log("mean:Q"), detail="piece:Q", color=theme.color()),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN),
        _labels("ends", inner, y),
        _heading("noise"),
    ]
    return assemble(compose.layer(*layers, width=inner, height=340), theme.config())


class _Noisy(NamedTuple):
    """f − f* of noisy runs, (steps+1,) each: mean, 10th and 90th percentile over them; and the closed forms."""

    mean: Array
    low: Array
    high: Array
    theory: Array
    free: Array
    diverged: int


@keep(entries=8)
def _noisy(
    name: str, lr: float, momentum: float, low: float, high: float, start: tuple[float, float], sigma: float, runs: int,
    steps: int, seed: int,
) -> _Noisy:  # fmt: skip
    entry = OPTIMIZERS[name]
    assert entry.linear is not None
    settings = {"momentum": momentum} if any(knob.name == "momentum" for knob in entry.knobs) else {}
    eigenvalues = np.array([low, high])
    rule = entry.build(lr=lr, **settings)
    result = descend(NoisyBowl(eigenvalues, sigma), rule, np.tile(start, (runs, 1)), steps, rng=stream(seed))
    exact = moments(lr, momentum, eigenvalues, np.array(start), sigma, steps, nesterov=entry.linear.nesterov)
    with np.errstate(over="ignore", invalid="ignore"):
        bottom, top = np.quantile(result.value, (0.1, 0.9), axis=1)
        mean = result.value.mean(axis=1)
        free = Moments(exact.mean, np.zeros_like(exact.mean)).loss(eigenvalues)
    broken = result.diverged_at[result.diverged_at >= 0]
    return _Noisy(mean, bottom, top, exact.loss(eigenvalues), free, int(broken.min()) if len(broken) else -1)


def _floor(s: _Setting, lr: float, sigma: float) -> float:
    """Return the expected loss in the long run, ½Σλ·variance; ∞ if there is no end to its growth."""
    if s.keeps_all:
        return math.inf if sigma else math.nan
    variance = noise_variance(lr, s.momentum, s.eigenvalues, sigma, nesterov=s.linear.nesterov)
    return float(0.5 * np.sum(s.eigenvalues * variance))


def _noise_run(s: _Setting) -> _Noisy:
    low, high = (float(x) for x in s.eigenvalues)
    return _noisy(
        s.name, s.lr, s.momentum, low, high, (float(s.start[0]), float(s.start[1])), real(s.values, "theory_noise"),
        whole(s.values, "theory_runs"), whole(s.values, "steps"), whole(s.values, "theory_seed"),
    )  # fmt: skip


def _below(found: _Noisy, floor: float) -> tuple[int, int]:
    """Return the step at which the run without noise is below the floor first, and that from which it stays below.

    −1 for never; the second looks as far as the run goes.
    """
    if not 0 < floor < math.inf:
        return -1, -1
    above = np.flatnonzero(~(found.free <= floor))
    stays = int(above[-1]) + 1 if len(above) else 0
    return int(steps_to(found.free, floor)), stays if stays < len(found.free) else -1


def _noise_figure(s: _Setting, found: _Noisy, floor: float) -> Figure:
    steps, runs, sigma = (
        whole(s.values, "steps"),
        whole(s.values, "theory_runs"),
        real(s.values, "theory_noise"),
    )
    style = STYLES[s.name]
    begin = float(found.free[0]) or (floor if 0 < floor < math.inf else 1.0)

    def seen(*series: Array) -> Array:
        together = np.concatenate([_within(y, begin * _DOWN, begin * _UP**2) for y in series])
        found = together[np.isfinite(together) & (together > 0)]
        return found if len(found) else np.array([begin])

    main = seen(found.mean, found.theory, found.low)
    low = float(main.min()) / 2
    if 0 < floor < begin * _UP**2:
        low = min(low, floor / 2)
    high = max(float(seen(found.mean, found.high, found.theory).max()) * 1.3, low * 10)
    mean, theory, free = (_within(y, low, high) for y in (found.mean, found.theory, found.free))
    every = max(1, steps // 40)
    kept = np.flatnonzero(np.isfinite(theory) & (np.arange(steps + 1) % every == 0))
    _, stop = _below(found, floor)
    with np.errstate(invalid="ignore"):
        area = np.isfinite(found.low) & np.isfinite(found.high) & (found.high >= low) & (found.low <= high)
    floored = low <= floor <= high

    def end(y: Array) -> float:
        drawn = y[np.isfinite(y)]
        return float(drawn[-1]) if len(drawn) else math.nan

    labels = [
        f"mean{_left_at(mean, high)}",
        f"floor {number(floor)}" if floored else "",
        f"no noise{_left_at(free, high)}",
    ]
    heights = np.array([end(mean), floor if floored else math.nan, end(free) if sigma else math.nan])
    return Figure(
        name="optimizers/theory_noise",
        build=_noise_spec,
        data={
            "runs": rows(
                {
                    "step": np.arange(steps + 1, dtype=np.int16),
                    "mean": mean,
                    "low": np.where(area, np.clip(found.low, low, high), np.nan),
                    "high": np.where(area, np.clip(found.high, low, high), np.nan),
                    "free": free,
                    "piece": np.int8(0),
                    "slot": np.int8(style.slot),
                },
                # A line of one point is not seen: an extent where all is 0.
                {"step": np.zeros(1, np.int16), "mean": high, "low": high, "high": high, "free": high,
                 "piece": np.int8(1), "slot": np.int8(style.slot)},
            ),
            "theory": rows(
                {"step": kept.astype(np.int16), "y": theory[kept], "shown": True},
                {"step": np.zeros(1, np.int16), "y": np.array([high]), "shown": np.array([False])},
            ),
            "floor": rows(y=[floor if floored else high], shown=floored),
            "stop": rows(step=[max(stop, 0)], label=f"step {stop}", shown=stop > 0),
            "ends": rows(_ends(heights, labels, [style.slot, theme.INK, theme.MUTED], low, high)),
            "extent": rows(step=[0, steps], y=[low, high]),
            "titles": rows(noise=[f"f − f* with gradient noise of σ = {number(sigma)}"]),
        },
        title="Noise in the gradient",
        caption=(
            f"{s.described()}; {_where(s)}; every gradient λᵢuᵢ + σξ with ξ normal, σ {number(sigma)} in each component; "
            f"{runs} runs of {counted(steps, 'step')}, seed {s.values['theory_seed']}."
        ),
        key=(
            "Line: mean of the runs; band: 10th to 90th percentile of them, cut at the edges of the panel. Small dots: expected "
            "loss, exactly. Dashed: floor ½Σλᵢ·variance. Gray: without noise, and the step from which it stays below the floor."
        ),
        alt="Mean loss of noisy runs against step with their spread, the expected loss, the floor that noise leaves, and the "
        "run without noise.",
    )  # fmt: skip


def _noise_blocks(s: _Setting) -> list[Block]:
    found, sigma = _noise_run(s), real(s.values, "theory_noise")
    floor, runs = _floor(s, s.lr, sigma), whole(s.values, "theory_runs")
    lines = []
    if sigma == 0:
        lines.append(
            "Without noise all runs are one, and the loss shrinks for ever if the learning rate is below its limit."
        )
    elif math.isinf(floor):
        lines.append(
            f"At η {number(s.lr)}"
            + (f" and μ {number(s.momentum)}" if s.has_momentum else "")
            + " noise has no floor: the "
            "expected loss grows without end."
        )
    else:
        variance = noise_variance(s.lr, s.momentum, s.eigenvalues, sigma, nesterov=s.linear.nesterov)
        shares = 0.5 * s.eigenvalues * variance
        lines.append(
            f"Noise leaves a floor of **{number(floor)}** ({number(float(shares[0]))} of it along λ₁, "
            f"{number(float(shares[1]))} along λ₂), however long the run."
        )
        half = _floor(s, s.lr / 2, sigma)
        if floor:
            lines.append(
                f"Half the learning rate leaves {number(half)}, {percent(half / floor)} of it; half the noise "
                f"{number(floor / 4)}, a quarter."
            )
    last = slice(-max(1, (len(found.mean) - 1) // 4), None)
    with np.errstate(over="ignore", invalid="ignore"):
        measured, expected = float(found.mean[last].mean()), float(found.theory[last].mean())
    if sigma and math.isfinite(measured) and math.isfinite(expected) and expected > 0:
        lines.append(
            f"Over the last quarter of the steps the {runs} runs average {number(measured)}; the expected loss there is "
            f"{number(expected)} ({percent(abs(measured / expected - 1), 2)} apart)."
        )
    first, stays = _below(found, floor)
    if stays > 0:
        before = f" (its first time below is step {first})" if first < stays else ""
        lines.append(
            f"From **step {stays}** on the run without noise stays below the floor{before}; with noise the expected loss "
            "tends to the floor."
        )
    elif stays == 0:
        lines.append("The start is below the floor already: noise drives the runs away from the minimum.")
    elif first >= 0:
        lines.append(
            f"Without noise the run is below the floor at step {first} first, but above it again at the end."
        )
    elif 0 < floor < math.inf:
        lines.append(
            f"Without noise the run is still above the floor after {counted(len(found.mean) - 1, 'step')}."
        )
    if 0 < floor < math.inf:
        about = 0.5 * s.lr * sigma**2 / (1 - s.momentum)
        formula, grows = ("σ²·η/(2(1−μ))", "lr and with 1/(1−μ)") if s.has_momentum else ("σ²·η/2", "lr")
        lines.append(
            f"Far below the limit the floor is about {formula}, here {number(about)}: it grows with {grows}, whatever the "
            "rate of convergence."
        )
    if found.diverged >= 0:
        lines.append(f"The first of the runs overflows at step {found.diverged}.")
    return [
        "With noise in every gradient a run no longer arrives. How far down does theory hold, and what decides where the loss "
        "stays?",
        _noise_figure(s, found, floor),
        " ".join(lines),
    ]


# What all views say


def _outlook(s: _Setting) -> str:
    """Say where the settings stand: limit, regimes, rate and steps, predicted and measured."""
    found, rates = _long_of(s), s.rates
    formula = "2/λ₂" if not s.has_momentum else ("2(1+μ)/((1+2μ)λ₂)" if s.linear.nesterov else "2(1+μ)/λ₂")
    if s.keeps_all:
        text = "With μ = 1 nothing is ever forgotten, and no learning rate converges. "
    else:
        text = (
            f"{s.name} with η {number(s.lr)} is at {percent(s.lr / s.limit)} of its limit {formula} = "
            f"{number(s.limit, 4)}. "
        )
    names = regime(s.lr, s.momentum, s.eigenvalues, nesterov=s.linear.nesterov)
    parts = [
        f"{name} is {how} (rate {number(float(rate), 4)})"
        if rate > _ONCE
        else f"{name} arrives at once (rate 0)"
        for name, how, rate in zip(_curvatures(s), names, rates, strict=True)
    ]
    text += f"{parts[0]}, {parts[1]}. "
    # Of two that are equal up to rounding, the first.
    slow = int(np.argmax(rates > rates.max() - _ONCE))
    rate, measured = float(rates[slow]), float(found.here[slow])
    alike = abs(float(rates[1] - rates[0])) <= _ONCE
    text += f"{'Both have the same rate' if alike else f'{_SMALL[slow]} decides'}: predicted **{number(rate, 4)}**"
    if math.isfinite(measured):
        text += f", measured {number(measured, 4)} ({number(abs(measured - rate), 2)} apart)"
    text += "."
    if DIVERGING in names or LIMIT in names:
        return text + (" The run diverges." if DIVERGING in names else " The run neither arrives nor leaves.")
    if s.start.any():
        predicted = float(steps_predicted(rate, _SHARE))
        reached = f"{found.reached}" if found.reached >= 0 else f"not within {_LONG}"
        text += (
            f" Steps to {number(_SHARE)} of the first loss: {number(predicted, 6)} by the rate, **{reached}** in a run on "
            "this quadratic from the page's start."
        )
    if names[slow] == CRITICAL and rate > _ONCE:
        text += (
            " At critical damping an error shrinks like t·rateᵗ, so the run takes longer than its rate says."
        )
    return text


def _tunings(s: _Setting) -> list[tuple[str, dict[str, float]]]:
    """Return, by name, settings that theory singles out."""
    low, high = s.eigenvalues
    lr, momentum = own(s.name, "lr"), own(s.name, "momentum")
    if word(s.values, "theory_view") == "noise":
        return [("Half the learning rate", {lr: s.lr / 2})]
    found: list[tuple[str, dict[str, float]]] = []
    best = _best(s)
    if best is not None:
        middle = math.sqrt(best[0] * best[1])
        found.append(("Best η for this μ" if s.has_momentum else "Best η", {lr: middle}))
    if s.has_momentum:
        tuned = s.linear.optimal(low, high)
        found.append(("Best η and μ", {lr: float(tuned.lr), momentum: float(tuned.momentum)}))
        critical = float(critical_momentum(s.lr, low, nesterov=s.linear.nesterov))
        if 0 <= critical < 1:
            found.append(("Critical damping of λ₁", {momentum: critical}))
    if not s.keeps_all:
        found.append(("At the limit", {lr: s.limit}))
    return found


def _presets(s: _Setting) -> list[Block]:
    """Return links that put the method at settings that theory singles out, where the page's knobs reach them."""
    lr = own(s.name, "lr")
    knob = next(knob for knob in s.entry.knobs if knob.name == "lr")
    chosen = words(s.values, "optimizers")
    if s.name not in chosen:
        chosen = (*chosen[:5], s.name)
    return [
        Link(label, {**s.values, "optimizers": chosen, "edit": s.name, **changes}, tab=TAB)
        for label, changes in _tunings(s)
        if knob.low <= changes.get(lr, s.lr) <= knob.high
    ]


def _unused(s: _Setting) -> list[Block]:
    """Name the page's settings of the method that do not act here."""
    lines = []
    others = [
        f"{knob.label.lower()} {number(real(s.values, own(s.name, knob.name)))}"
        for knob in s.entry.knobs
        if knob.name not in ("lr", "momentum") and s.values[own(s.name, knob.name)] != knob.default
    ]
    others += conditions(s.values)
    if others:
        lines.append(f"Set on the page, without effect here: {', '.join(others)}.")
    if s.name not in words(s.values, "optimizers"):
        lines.append(
            f"{s.name} is not among the page's optimizers, so its settings are those it begins with."
        )
    return [" ".join(lines)] if lines else []


_VIEWS: Mapping[str, Callable[[_Setting], list[Block]]] = {
    "components": _components_blocks,
    "rates": _rates_blocks,
    "noise": _noise_blocks,
}


def theory_shown(values: Values) -> tuple[str, ...]:
    """Name the tab's knobs that act beside these values."""
    noise = ("theory_noise", "theory_runs", "theory_seed") if word(values, "theory_view") == "noise" else ()
    return ("theory_view", "theory_optimizer", *noise)


def theory_blocks(values: Values) -> Sequence[Block]:
    """Show what theory says of a method on the page's surface, or on the quadratic of its nearest minimum.

    Args:
        values: the page's; surface, start, steps, the method's lr and momentum, and those of ``THEORY_KNOBS`` act.

    Returns:
        a lead, a figure, a reading, and links to settings that theory singles out.
    """
    s = _setting(values)
    if s is None:
        return [
            f"{surface_of(values).name} lists no isolated smooth minimum with curvature in every direction, so no quadratic "
            "stands for it, and the limits and rates of this tab do not apply.",
            Link(BOWL, {"theory_view": word(values, "theory_view")}, tab=TAB),
        ]
    return [*_VIEWS[word(values, "theory_view")](s), *_unused(s), *_presets(s)]
