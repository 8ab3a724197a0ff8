"""The Curves tab of the optimizers page: any quantity of the run against the step, and the order of arrival."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import counted
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.optimizers_anatomy import ANATOMIES, Recipe
from charts.optimizers_base import (
    NONE,
    Method,
    Quadratic,
    describe,
    distance,
    methods,
    noisy,
    place,
    problem_of,
    quadratic,
    run,
    start_of,
    stated,
    surface_of,
)
from charts.topic import Block, Values, whole, word
from core.descent import Descent, steps_to
from core.knobs import Knob, number
from core.surfaces import Surface

Array = np.ndarray

_LEAST, _MOST = 1e-300, 1e300  # what a log axis can show
_DOWN, _UP = 1e-16, 1e4  # how far below and above where the runs begin a panel reaches
_ROWS = 1300  # of all lines together
_DOTS = 24  # of theory, a line
_COARSE, _FINE = 0.01, 1e-6  # shares of f₀ − f* that the leaderboard waits for
_PAD = 0.04  # of an axis, beyond the first and the last number
_STEPS_LOG = "logarithmic"


# The quantities


@dataclass(frozen=True)
class _Run:
    """One method's run and what the quantities need beside it."""

    values: Values
    method: Method
    result: Descent
    surface: Surface

    def moment(self, pick: Callable[[Recipe], str]) -> Array | None:
        """Return a part of the state at every point, (T+1, 2), or None if the rule keeps none."""
        recipe = ANATOMIES.get(self.method.entry.name)
        field = pick(recipe) if recipe is not None else ""
        return np.asarray(getattr(self.result.state, field), float) if field else None


@dataclass(frozen=True)
class _Quantity:
    """What the figure shows: the panel's title, a number for each point of a run, and the same in closed form.

    ``measure`` returns (T+1,), for a ``pair`` (T+1, 2), one panel for each coordinate, or None where a rule has no such
    thing; ``keeps`` says that it needs the states; ``exact`` takes the exact path in the eigenbasis. ``lead`` asks what to
    look for; where it is empty, what shrinks as a run arrives, the lead says what a straight line is.
    """

    title: Callable[[Surface], str]
    measure: Callable[[_Run], Array | None]
    exact: Callable[[Quadratic, Array, Surface], Array | None] = lambda bowl, path, surface: None
    pair: bool = False
    keeps: bool = False
    note: str = ""
    lead: str = ""


def _gap(walk: _Run) -> Array:
    value = walk.result.value
    return value[0] - value if walk.surface.infimum is None else value - walk.surface.infimum


def _gap_exact(bowl: Quadratic, path: Array, surface: Surface) -> Array:
    loss: Array = 0.5 * (path**2 @ bowl.eigenvalues)
    return loss[0] - loss if surface.infimum is None else loss


def _slope(walk: _Run) -> Array:
    g = problem_of(walk.values).grad(walk.result.path)
    return np.asarray(np.hypot(g[..., 0], g[..., 1]))


def _away(walk: _Run) -> Array:
    if walk.surface.minima:
        return distance(walk.result.path, walk.surface)
    moved = walk.result.path - walk.result.path[0]
    return np.asarray(np.hypot(moved[..., 0], moved[..., 1]))


def _away_exact(bowl: Quadratic, path: Array, surface: Surface) -> Array:
    return np.asarray(np.hypot(*(path if surface.minima else path - path[0]).T))


def _lengths(path: Array) -> Array:
    """Return the length of the step that led to each point, NaN for the start."""
    moved = np.diff(path, axis=0)
    return np.concatenate([[np.nan], np.hypot(moved[:, 0], moved[:, 1])])


def _effective(walk: _Run) -> Array:
    """Return step/(−g) at every point but the last, NaN where it is lost in rounding or moves up the gradient."""
    path, g = walk.result.path, walk.result.gradient[:-1]
    moved = np.diff(path, axis=0)
    known = (g != 0) & (np.abs(moved) > 1e-12 * np.abs(path[:-1]))
    rate = np.where(known, moved / np.where(known, -g, 1.0), np.nan)
    return np.concatenate([np.where(rate > 0, rate, np.nan), np.full((1, 2), np.nan)])


def _second(walk: _Run) -> Array | None:
    found = walk.moment(lambda recipe: recipe.second)
    recipe = ANATOMIES.get(walk.method.entry.name)
    return np.sqrt(found) if found is not None and recipe is not None and recipe.squared else found


def _first(walk: _Run) -> Array | None:
    found = walk.moment(lambda recipe: recipe.first)
    return None if found is None else np.abs(found)


_QUANTITIES: Mapping[str, _Quantity] = {
    "f − f*": _Quantity(
        lambda s: "f₀ − f: how far the run has come down" if s.infimum is None else "f − f*", _gap, _gap_exact
    ),
    "gradient norm": _Quantity(
        lambda s: "‖∇f‖, exact", _slope, lambda bowl, path, s: np.asarray(np.hypot(*(path * bowl.eigenvalues).T))
    ),
    "distance to the nearest minimum": _Quantity(
        lambda s: "distance to the nearest minimum" if s.minima else "distance from the start", _away, _away_exact
    ),
    "step length": _Quantity(
        lambda s: "length of the step", lambda walk: _lengths(walk.result.path), lambda bowl, path, s: _lengths(path)
    ),
    "first moment": _Quantity(
        lambda s: "|first moment|",
        _first,
        pair=True,
        keeps=True,
        note="First moment: the average m or the velocity v that a rule keeps of its gradients, as stored.",
        lead="What a rule remembers of its gradients, in each coordinate. In which does it fade, and in which does it last?",
    ),
    "second moment": _Quantity(
        lambda s: "√second moment",
        _second,
        pair=True,
        keeps=True,
        note="Second moment: the average or the sum that a rule keeps of its squared gradients, as stored, under a root.",
        lead="The size of past gradients as a rule remembers it, in each coordinate. Which rules forget the first ones?",
    ),
    "effective learning rate": _Quantity(
        lambda s: "step / −gradient",
        _effective,
        pair=True,
        note="Gaps: that coordinate moves up its gradient, or not by more than rounding.",
        lead="The learning rate with which gradient descent would make the same step, in each coordinate. Which methods give "
        "both the same?",
    ),
}  # fmt: skip

CURVE_KNOBS = (
    Knob("curve_quantity", "choice", "f − f*", label="Quantity", choices=tuple(_QUANTITIES)),
    Knob(
        "curve_scale", "choice", "linear", label="Steps", choices=("linear", _STEPS_LOG),
        help="On two logarithmic axes a power of t is a straight line, on one an exponential.",
    ),
)  # fmt: skip


# The specification


@lru_cache(maxsize=32)
def _curves_spec(width: int, pair: bool, log: bool) -> Spec:
    narrow = width < NARROW
    inner = width - 195 if narrow else (width - 350) // 2 if pair else width - 205
    x = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(type="log", nice=False) if log else alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER)
        if log
        else alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=6, labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )

    def panel(which: str) -> Panel:
        lines = alt.Chart(named("lines")).transform_filter(f"datum.panel == '{which}'")
        ends = alt.Chart(named("ends")).transform_filter(f"datum.panel == '{which}'")
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y),
            lines.mark_line().encode(
                x=x, y=y, detail=["name:N", "piece:Q"], color=theme.color(), strokeDash=theme.dash(), opacity=theme.SHOWN,
                tooltip=[alt.Tooltip("name:N", title="method"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".4~g")],
            ),
            lines.mark_point(filled=True, size=26).encode(
                x=x, y=y, color=theme.color(), opacity=alt.condition("datum.lone", alt.value(1), alt.value(0)),
            ),
            alt.Chart(named("theory")).transform_filter(f"datum.panel == '{which}'")
            .mark_point(filled=True, size=theme.DOT)
            .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN),
            alt.Chart(named("events")).transform_filter(f"datum.panel == '{which}'")
            .mark_point(shape="cross", angle=45, size=80, filled=True, opacity=1)
            .encode(x=x, y=y, color=theme.color(), opacity=theme.SHOWN),
            *(
                ends.mark_text(
                    align="left", dx=8, fontSize=theme.TEXT_SIZE, filled=filled, strokeJoin="round",
                    strokeWidth=0 if filled else 5,
                ).encode(x=x, y=y, text="label:N", color=color, opacity=theme.SHOWN)
                for filled, color in ((False, theme.ink("paper")), (True, theme.color()))
            ),
            alt.Chart(named("titles")).transform_filter(f"datum.panel == '{which}'")
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text="text:N", color=theme.ink("ink")),
            width=inner, height=270 if narrow else 340, name=which,
        )  # fmt: skip

    panels = [panel("x"), panel("y")] if pair else [panel("x")]
    join, gap = (compose.below, 44) if narrow else (compose.beside, None)
    return assemble(join(*panels, spacing=gap, resolve={"color": "shared"}), theme.config())


# One build for each kind of figure, the same object every time: the browser knows a chart by its specification.
_KINDS: Mapping[tuple[bool, bool], tuple[str, Callable[[int], Spec]]] = {
    (pair, log): (
        f"optimizers/curves{'_xy' if pair else ''}{'_log' if log else ''}",
        partial(_curves_spec, pair=pair, log=log),
    )
    for pair in (False, True)
    for log in (False, True)
}


# The figure


class _Line:
    """One line of a panel: what is drawn of a quantity's numbers, and what its end says."""

    def __init__(
        self,
        method: Method,
        panel: str,
        numbers: Array,
        result: Descent,
        reach: tuple[float, float],
        log: bool,
    ):
        """Cut the numbers (T+1,) to the panel's range; step 0 has no place on a log axis."""
        self.method, self.panel, self.result = method, panel, result
        self.low, self.high, self.log = *reach, log
        self.numbers = numbers
        seen = np.isfinite(numbers) & (numbers >= self.low) & (numbers <= self.high)
        seen[:1] &= not log
        # A line that comes back for one step would be a dot without a name.
        before = np.isfinite(numbers) & ((numbers < self.low) | (numbers > self.high))
        last = np.flatnonzero(np.isfinite(numbers))[-1:]
        back = seen & np.pad(before, (1, 0))[:-1] & ~np.pad(seen, (0, 1))[1:]
        back[last] = False
        self.drawn = np.flatnonzero(seen & ~back if np.any(seen & ~back) else seen)

    def row(self, budget: int) -> Part:
        """Return the rows of the line, at most about ``budget``: of each stretch of steps its least and greatest number."""
        drawn = self.drawn
        piece = np.cumsum(np.diff(drawn, prepend=drawn[:1]) > 1)
        alone = np.bincount(piece)[piece] == 1
        kept = np.arange(len(drawn))
        if len(drawn) > budget:
            place = np.log(drawn) if self.log else drawn
            edges = np.linspace(place[0], place[-1], budget // 2 + 1)
            bucket = np.searchsorted(edges, place, side="right")
            starts = np.flatnonzero(np.diff(bucket, prepend=-1))
            ends = np.append(starts[1:], len(drawn))
            numbers = self.numbers[drawn]
            kept = np.unique(
                [
                    i + pick(numbers[i:j])
                    for i, j in zip(starts, ends, strict=True)
                    for pick in (np.argmin, np.argmax)
                ]
                + [0, len(drawn) - 1]
            )
        chosen = drawn[kept]
        style = self.method.style
        return {
            "step": chosen.astype(np.int16),
            "value": self.numbers[chosen],
            "name": self.method.label,
            "piece": piece[kept].astype(np.int16),
            "lone": alone[kept],
            "panel": self.panel,
            "slot": np.int8(style.slot),
            "dash": np.int8(style.dash),
            "shown": True,
        }

    @property
    def diverged(self) -> bool:
        """Whether the run ceased to be finite."""
        return bool(self.result.diverged_at >= 0)

    def height(self, bottom: float) -> float:
        """Return where its name belongs, log₁₀; of lines that leave below, the last to leave is the highest."""
        end = int(self.drawn[-1])
        after = self.numbers[end + 1 : end + 2]
        return bottom + 1e-6 * end if np.any(after < self.low) else math.log10(self.numbers[end])

    def label(self, last: int) -> str:
        """Name the line, and where it ends before the last step: × diverged, ↑ or ↓ beyond the panel, 0 reached."""
        end, name = int(self.drawn[-1]), self.method.label
        if self.diverged:
            return f"{name} × {int(self.result.diverged_at)}"
        if end >= last:
            return name
        after = self.numbers[end + 1 :]
        after = after[np.isfinite(after)]
        if not len(after):
            return name
        if after[0] > self.high:
            return f"{name} ↑ {end}"
        return f"{name} 0 at {end + 1}" if after[0] == 0 else f"{name} ↓ {end}"


def _reach(everything: Array, pair: bool, firsts: Sequence[float]) -> tuple[float, float]:
    """Return the range of the panels: all numbers, but within what a reader can compare.

    A run that overflows, and a coordinate whose gradient passes through 0, would leave no room for the others.
    """
    seen = everything[np.isfinite(everything) & (everything >= _LEAST) & (everything <= _MOST)]
    if not len(seen):
        return 0.1, 10.0
    if pair:
        low, high = np.quantile(seen, (0.02, 0.98))
        low, high = max(float(seen.min()), float(low) / 10), min(float(seen.max()), float(high) * 10)
    else:
        start = max((f for f in firsts if _LEAST <= f <= _MOST), default=float(np.median(seen)))
        low, high = max(float(seen.min()), start * _DOWN), min(float(seen.max()), start * _UP)
        if low > high:
            low, high = float(seen.min()), float(seen.max())
    pad = (high / low) ** _PAD if high > 1.5 * low else 2.0
    return max(low / pad, _LEAST), min(high * pad, _MOST)


def _linear(values: Values, method: Method) -> bool:
    """Whether theory holds for the run of a method: a linear rule, nothing added to it, exact gradients."""
    settings = method.settings
    return (
        getattr(method.entry, "linear", None) is not None
        and not settings.get("weight_decay")
        and not settings.get("dampening")
        and not noisy(values)
        and surface_of(values).online is None
        and values["clip"] == NONE
        and values["schedule"] == "constant"
    )


def exact_path(values: Values, method: Method) -> Array | None:
    """Return the closed form of a method's path in the eigenbasis of a quadratic, (steps+1, 2), or None."""
    bowl = quadratic(values)
    if bowl is None or not _linear(values, method):
        return None
    along = (start_of(values) - bowl.center) @ bowl.eigenvectors
    settings = {name: float(value) for name, value in method.settings.items()}
    path: Array = method.entry.linear.path(bowl.eigenvalues, along, whole(values, "steps"), settings)  # type: ignore[union-attr]
    return path


@dataclass(frozen=True)
class _Drawn:
    """What the figure holds, and what the text says about it: theory's largest relative distance, who has no such thing."""

    figure: Figure
    lines: tuple[_Line, ...]
    error: float
    missing: tuple[str, ...]


def _draw(values: Values) -> _Drawn:
    quantity, log = _QUANTITIES[word(values, "curve_quantity")], word(values, "curve_scale") == _STEPS_LOG
    surface, steps, bowl = surface_of(values), whole(values, "steps"), quadratic(values)
    chosen = methods(values)
    results = run(values, keep_state=quantity.keeps)
    measured: dict[str, Array] = {}
    with np.errstate(all="ignore"):
        for label, method in chosen.items():
            found = quantity.measure(_Run(values, method, results[label], surface))
            if found is not None:
                ended = results[label].diverged_at
                # From the step on at which a run is not finite nothing of it is shown.
                found = np.where(
                    (np.arange(len(found)) >= ended) & (ended >= 0), np.nan, np.asarray(found, float).T
                )
                measured[label] = np.atleast_2d(found)
    firsts = [
        float(line[0, np.flatnonzero(np.isfinite(line[0]) & (line[0] > 0))[:1]].sum())
        for line in measured.values()
    ]
    everything = np.concatenate([line.ravel() for line in measured.values()]) if measured else np.empty(0)
    low, high = _reach(everything, quantity.pair, firsts)
    panels = "xy" if quantity.pair else "x"
    lines = [
        line
        for label, found in measured.items()
        for panel, numbers in zip(panels, found, strict=True)
        if len((line := _Line(chosen[label], panel, numbers, results[label], (low, high), log)).drawn)
    ]

    theory: list[Part] = []
    error = -math.inf
    for label, found in measured.items():
        path = exact_path(values, chosen[label])
        if path is None or bowl is None:
            continue
        with np.errstate(all="ignore"):
            exact = quantity.exact(bowl, path, surface)
            if exact is None:
                continue
            drawn = [line.drawn for line in lines if line.method.label == label]
            inside = np.isfinite(exact) & (exact >= low) & (exact <= high)
            inside &= np.isin(np.arange(steps + 1), drawn)
            relative = np.abs(found[0] / exact - 1)[inside]
            error = max([error, *relative.tolist()]) if inside.any() else error
        at = np.geomspace(1, max(steps, 1), _DOTS) if log else np.linspace(0, steps, min(_DOTS, steps) + 1)
        at = np.unique(np.round(at).astype(int))
        at = at[inside[at]]
        theory.append({"step": at.astype(np.int16), "value": exact[at], "panel": "x", "shown": True})
    return _Drawn(
        _figure(values, quantity, lines, (low, high), [t for t in theory if len(t["step"])], log),  # type: ignore[arg-type]
        tuple(lines), error if error >= 0 else math.nan, tuple(label for label in chosen if label not in measured),
    )  # fmt: skip


def _figure(
    values: Values,
    quantity: _Quantity,
    lines: Sequence[_Line],
    reach: tuple[float, float],
    theory: list[Part],
    log: bool,
) -> Figure:
    steps, surface = whole(values, "steps"), surface_of(values)
    low, high = reach
    first, last = (1, max(steps, 2)) if log else (0, steps)
    middle = math.sqrt(low * high)
    panels = "xy" if quantity.pair else "x"
    budget = max(40, _ROWS // max(1, len(lines)))
    nothing: list[Part] = [
        {"step": np.array([first], np.int16), "value": np.array([middle]), "name": "", "piece": np.int16(0), "lone": False,
         "panel": panel, "slot": np.int8(theme.MUTED), "dash": np.int8(0), "shown": False}
        for panel in panels
    ]  # fmt: skip
    ends: list[Part] = []
    events: list[Part] = [
        {"step": [first], "value": [middle], "panel": panel, "slot": np.int8(theme.MUTED), "shown": False} for panel in panels
    ]  # fmt: skip
    for panel in panels:
        ends.append(
            {
                "step": [last],
                "value": [middle],
                "label": "",
                "panel": panel,
                "slot": np.int8(theme.MUTED),
                "shown": False,
            }
        )
        here = [line for line in lines if line.panel == panel]
        height = math.log10(high / low)
        # A run that ends early has its name there, above whatever goes on.
        early = [line.diverged and line.drawn[-1] < 0.7 * last for line in here]
        for group in (True, False):
            few = [line for line, soon in zip(here, early, strict=True) if soon == group]
            bottom = math.log10(low) + 0.03 * height
            wanted = np.array([line.height(bottom) for line in few])
            places = spread(wanted, 0.06 * height, bottom, math.log10(high))
            for line, at in zip(few, places, strict=True):
                end, slot = int(line.drawn[-1]), np.int8(line.method.style.slot)
                ends.append({"step": [end if group else last], "value": [10.0**at], "label": line.label(_last(quantity, steps)),
                             "panel": panel, "slot": slot, "shown": True})  # fmt: skip
                if line.diverged:
                    events.append(
                        {
                            "step": [end],
                            "value": [line.numbers[end]],
                            "panel": panel,
                            "slot": slot,
                            "shown": True,
                        }
                    )
    name, build = _KINDS[quantity.pair, log]
    title = quantity.title(surface)
    listed = "; ".join(describe(method) for method in methods(values).values())
    return Figure(
        name=name,
        build=build,
        data={
            "lines": rows(*(line.row(budget) for line in lines), *nothing),
            "theory": rows(
                *theory,
                *({"step": [first], "value": [middle], "panel": panel, "shown": False} for panel in panels),
            ),
            "reach": rows(step=[first, last], value=[low, high]),
            "events": rows(*events),
            "ends": rows(*ends),
            "titles": rows(
                panel=list(panels),
                text=[f"{title}, {panel}" for panel in panels] if quantity.pair else [title],
            ),
        },
        title=f"{_capital(title)} against the step",
        caption=f"{_capital(title)}: {place(values)}; {steps} steps. {listed or 'No method'}. {stated(values)}",
        key=(
            "Small dots: closed form. × with a number: the step at which a run diverges. ↑ or ↓ with a number: the last step "
            f"drawn within the panel. {quantity.note}"
        ).strip(),
        alt="A quantity of every run against the step, on a logarithmic axis, with the methods' names at the ends.",
    )


def _capital(title: str) -> str:
    """Begin with a capital if that is a word; a symbol stays as it is."""
    return f"{title[:1].upper()}{title[1:]}" if title[:2].isalpha() else title


def _last(quantity: _Quantity, steps: int) -> int:
    """Return the last point that can have a number: a ratio of step and gradient needs the step after it."""
    return steps - 1 if quantity.measure is _effective else steps


# The text


@dataclass(frozen=True)
class _Standing:
    """A line of the leaderboard; −1 stands for never."""

    method: Method
    coarse: int
    fine: int
    final: float
    where: str
    length: float
    diverged: int

    @property
    def order(self) -> tuple[float, ...]:
        """Return what the leaderboard is sorted by: steps to the fine target, to the coarse one, the final loss."""
        return (
            self.diverged >= 0,
            *(math.inf if steps < 0 else steps for steps in (self.fine, self.coarse)),
            math.inf if math.isnan(self.final) else self.final,
        )


def _within(points: Array, surface: Surface) -> Array:
    """Tell which points lie in the window, (..., 2) → (...)."""
    low, high = np.reshape(np.array(surface.window), (2, 2)).T
    return np.asarray(((points >= low) & (points <= high)).all(axis=-1))


def _where(result: Descent, surface: Surface) -> str:
    """Say where a run ends."""
    if result.diverged_at >= 0:
        return f"diverged at step {int(result.diverged_at)}"
    end = result.path[-1]
    if not _within(end, surface):
        inside = np.flatnonzero(_within(result.path, surface))
        since = int(inside[-1]) + 1 if len(inside) else 0
        return f"outside the window since step {since}"
    if not surface.minima:
        return f"({number(end[0])}, {number(end[1])})"
    minima = np.array([m.point for m in surface.minima])
    apart = np.hypot(*(minima - end).T)
    near = surface.minima[int(np.argmin(apart))].point
    return f"({number(near[0])}, {number(near[1])}), {number(float(apart.min()), 2)} away"


def standings(values: Values) -> list[_Standing]:
    """Return every method's place, the first to come down to 1e-6 of f₀ − f* first, diverged ones last."""
    surface, found = surface_of(values), []
    for label, result in run(values).items():
        height = result.value - (surface.infimum or 0.0)
        targets = (-1, -1)
        if surface.infimum is not None and np.isfinite(height[0]):
            targets = tuple(int(steps_to(height, share * height[0])) for share in (_COARSE, _FINE))  # type: ignore[assignment]
        with np.errstate(all="ignore"):
            length = float(np.nansum(_lengths(result.path))) if result.diverged_at < 0 else math.nan
        found.append(
            _Standing(
                methods(values)[label],
                *targets,
                float(height[-1]),
                _where(result, surface),
                length,
                int(result.diverged_at),
            )
        )
    return sorted(found, key=lambda standing: standing.order)


def _leaderboard(values: Values, placed: Sequence[_Standing]) -> str:
    def steps(count: int) -> str:
        return "—" if count < 0 else str(count)

    def value(x: float) -> str:
        return number(x) if math.isfinite(x) else "—"

    if surface_of(values).infimum is None:
        head: tuple[str, ...] = ("Method", "f at the end", "ends at", "path length")
        body: list[tuple[str, ...]] = [
            (describe(s.method), value(s.final), s.where, value(s.length)) for s in placed
        ]
    else:
        nearest = "nearest minimum" if surface_of(values).minima else "ends at"
        head = ("Method", "steps to 1%", "to 1e−6", "f − f* at the end", nearest, "path length")
        body = [
            (describe(s.method), steps(s.coarse), steps(s.fine), value(s.final), s.where, value(s.length)) for s in placed
        ]  # fmt: skip
    return table(head, body)


def _reading(values: Values, drawn: _Drawn, placed: Sequence[_Standing]) -> str:
    name = word(values, "curve_quantity")
    lines = []
    if surface_of(values).infimum is None:
        best = min((s for s in placed if s.diverged < 0), key=lambda s: s.final, default=None)
        if best is not None:
            lines.append(
                f"This surface lists no lowest point; after {counted(whole(values, 'steps'), 'step')} **{best.method.label}** is "
                f"lowest, at f = {number(best.final)}."
            )
    else:
        arrived = sorted((s for s in placed if s.coarse >= 0), key=lambda s: s.coarse)
        if arrived:
            order = ", ".join(f"{s.method.label} {s.coarse}" for s in arrived)
            lines.append(f"Steps to 1% of f₀ − f*: **{order}**.")
        late = [s.method.label for s in placed if s.coarse < 0]
        if late:
            lines.append(f"Not within {counted(whole(values, 'steps'), 'step')}: {', '.join(late)}.")
    gone = [f"{s.method.label} at step {s.diverged}" for s in placed if s.diverged >= 0]
    if gone:
        lines.append(f"Diverged: {', '.join(gone)}.")
    if not drawn.lines:
        lines.append(f"No method in the picture has a {name} to draw.")
    elif drawn.missing:
        keep = "keeps" if len(drawn.missing) == 1 else "keep"
        lines.append(f"{', '.join(drawn.missing)} {keep} no {name}.")
    if math.isfinite(drawn.error):
        lines.append(
            f"The closed forms are within {number(drawn.error, 2)} of the runs, relative to their size, at every step drawn."
        )
    return " ".join(lines)


def _lead(values: Values) -> str:
    """Ask what to look for; what a straight line means hangs on the axis of steps."""
    lead = _QUANTITIES[word(values, "curve_quantity")].lead
    if lead:
        return lead
    if word(values, "curve_scale") == _STEPS_LOG:
        return (
            "Between two logarithmic axes a straight line is a power of the step, and a constant factor a step bends ever "
            "further down. Which methods bend, and which do not?"
        )
    return "On this axis a straight line is a constant factor a step. Which methods have one, and which bend?"


def curves_blocks(values: Values) -> Sequence[Block]:
    """Return the tab: a quantity against the step, what it says, and the leaderboard."""
    if not methods(values):
        return ["Choose an optimizer to draw its curves."]
    drawn, placed = _draw(values), standings(values)
    return [
        _lead(values),
        *([drawn.figure] if drawn.lines else []),
        _reading(values, drawn, placed),
        _leaderboard(values, placed),
    ]
