"""The Rotation tab of the Optimizers page: steps to a target while the quadratic bowl turns under the start."""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple, cast

import altair as alt
import numpy as np

from charts import compose, progress, raster, theme
from charts.describe import counted, numbers, percent
from charts.figure import NARROW, Figure, Frame, Part, Spec, assemble, named, rows, spread
from charts.optimizers_base import (
    BOWL,
    CLEAR,
    STYLES,
    Method,
    describe,
    start_of,
    suggested,
    surface_settings,
)
from charts.optimizers_fair import Items, as_set, heading, listed, relevant, titled
from charts.topic import Block, Values, real, whole, word, words
from core.descent import SurfaceProblem, descend, steps_to
from core.kept import keep
from core.knobs import Knob, aliases_of, number
from core.optimizers import OPTIMIZERS
from core.quadratic import Settings
from core.surface_formulas import STEEP
from core.surfaces import SURFACES, rotate_start
from core.tuning import ABOVE, BELOW, RotationSweep, log_rates, rotation_sweep

Array = np.ndarray
Sweeper = Callable[[Array, Array], RotationSweep]  # (rates, angles) → sweep

_KAPPA, _START = 50.0, (-5.0, -2.0)
_ANGLES = np.arange(0.0, 91.0, 3.0)
_DOTTED = 5  # every fifth angle carries a dot of theory
_BUDGET = 25
_DRAWN = (0.0, 15.0, 45.0)  # angles whose paths are drawn
AS_SET = "the page's"
_FAR = 3.0  # paths are drawn this many times as far out as the start


def _as_set(run: Sweeper, grid: Array, lr: float) -> tuple[RotationSweep, Array]:
    return run(np.array([lr]), _ANGLES), np.zeros(len(_ANGLES), int)


def _tuned_first(run: Sweeper, grid: Array, lr: float) -> tuple[RotationSweep, Array]:
    best = run(grid, _ANGLES[:1]).best(0)
    return run(grid[best : best + 1], _ANGLES), np.zeros(len(_ANGLES), int)


def _tuned_each(run: Sweeper, grid: Array, lr: float) -> tuple[RotationSweep, Array]:
    found = run(grid, _ANGLES)
    return found, np.array([found.best(k) for k in range(len(_ANGLES))])


# How the rates are chosen: sweeper, budget and the page's rate → sweep, and the place of the rate used at every angle.
_RATES: Mapping[str, Callable[[Sweeper, Array, float], tuple[RotationSweep, Array]]] = {
    AS_SET: _as_set,
    "tuned at 0°": _tuned_first,
    "tuned at each angle": _tuned_each,
}

ROTATION_KNOBS = (
    Knob(
        "rot_methods", "choices", ("GD", "Momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam"), label="Optimizers",
        choices=tuple(OPTIMIZERS), aliases=aliases_of(OPTIMIZERS), most=10,
    ),
    Knob(
        "rot_rates", "choice", AS_SET, label="Learning rates", choices=tuple(_RATES),
        help=f"Tuned: the best of {_BUDGET} rates on a log grid about the suggested one, for the fewest steps.",
    ),
    Knob(
        "rot_target", "float", 0.01, label="Target, share of f₀", low=1e-8, high=0.5, log=True,
        help="A run has arrived when f is this share of what it was at the start.",
    ),
    Knob("rot_horizon", "int", 200, label="Horizon", low=20, high=1000, log=True, unit=" steps"),
    Knob("rot_path", "choice", "Adam", label="Paths of", choices=tuple(OPTIMIZERS), aliases=aliases_of(OPTIMIZERS)),
)  # fmt: skip


# The runs


class _Ground(NamedTuple):
    """The bowl that turns: κ, the start among its axes, and the page's angle, NaN where the page shows another surface."""

    kappa: float
    start: tuple[float, float]
    angle: float

    @property
    def eigenvalues(self) -> Array:
        return np.array([STEEP / self.kappa, STEEP])

    @property
    def height(self) -> float:
        """f₀."""
        return float(0.5 * self.eigenvalues @ np.square(self.start))


def _ground(values: Values) -> _Ground:
    """Take the page's bowl with its start as they lie, or the default ones where the page shows another surface."""
    if word(values, "surface") != BOWL:
        return _Ground(_KAPPA, _START, math.nan)
    knobs = surface_settings(values)
    x, y = start_of(values)
    # To turn back by θ is to reflect, to turn by θ and to reflect again.
    u, v = rotate_start((x, -y), knobs["theta"]) * (1, -1)
    return _Ground(knobs["kappa"], (float(u), float(v)), knobs["theta"])


def _method(name: str, values: Values) -> Method:
    """Return an optimizer as the page sets it; away from the bowl with the rate that is suggested there."""
    method = as_set(name, values)
    if word(values, "surface") == BOWL:
        return method
    return method._replace(settings={**method.settings, "lr": suggested(name, SURFACES[BOWL])})


class _Turned(NamedTuple):
    """One optimizer at all angles: the rate used, the steps to the target, −1 for none, and where it diverged, (K,) each.

    ``theory`` are the exact steps of a rule that is linear on the bowl, None of another.
    """

    rates: Array
    arrived_at: Array
    diverged_at: Array
    theory: Array | None


@keep(entries=64)
def _turned(items: Items, name: str, how: str, steps: int, share: float) -> _Turned:
    values = dict(items)
    method, ground = _method(name, values), _ground(values)
    knobs = {knob: value for knob, value in method.settings.items() if knob != "lr"}
    run = partial(
        rotation_sweep,
        method.build,
        knobs=knobs,
        kappa=ground.kappa,
        start=ground.start,
        steps=steps,
        share=share,
    )
    grid = log_rates(suggested(name, SURFACES[BOWL]), _BUDGET)
    found, at = _RATES[how](run, grid, float(method.settings["lr"]))
    k = np.arange(len(_ANGLES))
    rates = found.rates[at]
    return _Turned(
        rates, found.arrived_at[at, k], found.diverged_at[at, k], _theory(method, ground, rates, steps, share)
    )


def _theory(method: Method, ground: _Ground, rates: Array, steps: int, share: float) -> Array | None:
    """Return the exact steps to the target of a linear rule, (K,), −1 for none; None where there is no closed form."""
    linear, settings = OPTIMIZERS[method.label].linear, method.settings
    if linear is None or settings["weight_decay"] or settings.get("dampening"):
        return None
    exact = {}
    for rate in np.unique(rates):
        knobs = cast(Settings, {**settings, "lr": float(rate)})
        path = linear.path(ground.eigenvalues, np.array(ground.start), steps, knobs)
        with np.errstate(all="ignore"):
            exact[rate] = int(steps_to(0.5 * np.square(path) @ ground.eigenvalues, share * ground.height))
    return np.array([exact[rate] for rate in rates])


def _runs(values: Values) -> dict[str, _Turned]:
    names, found = words(values, "rot_methods"), {}
    for i, name in enumerate(names):
        progress.report(i / len(names), f"Angles of {name}")
        found[name] = _turned(
            relevant(name, values), name, word(values, "rot_rates"), whole(values, "rot_horizon"), real(values, "rot_target")
        )  # fmt: skip
    return found


# The figure


@lru_cache(maxsize=16)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 150 if narrow else round((width - 250) * 0.58)
    right = width - 75 if narrow else width - 250 - left
    tall = 300 if narrow else 360
    x = alt.X(
        "angle:Q", title="θ, degrees", scale=alt.Scale(domain=[0, 90], nice=False),
        axis=alt.Axis(grid=False, values=[0, 15, 30, 45, 60, 75, 90]),
    )  # fmt: skip

    def y(field: str) -> alt.Y:
        return alt.Y(
            field, title=None, scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(
                tickCount=6, labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, labelPadding=CLEAR
            ),
        )  # fmt: skip

    lines = alt.Chart(named("lines"))
    steps = compose.layer(
        alt.Chart(named("extent")).mark_point(opacity=0).encode(x=x, y=y("steps:Q")),
        alt.Chart(named("page"))
        .mark_rule(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, color=theme.ink("muted"), opacity=theme.SHOWN),
        lines.mark_line().encode(
            x=x, y=y("steps:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        lines.mark_text(text="×", fontSize=14, fontWeight=700, dy=-8).encode(
            x=x, y=y("steps:Q"), color=theme.color(), opacity=alt.condition("datum.late", alt.value(1), alt.value(0))
        ),
        lines.mark_point(filled=True, size=30, opacity=0).encode(
            x=x, y=y("steps:Q"), color=theme.color(),
            tooltip=[alt.Tooltip("name:N", title="optimizer"), alt.Tooltip("angle:Q", title="θ, degrees"),
                     alt.Tooltip("rate:Q", title="lr", format=".3~g"), alt.Tooltip("text:N", title="steps")],
        ),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT + 5, opacity=1)
        .encode(x=x, y=y("steps:Q"), color=theme.ink("ink"), opacity=theme.SHOWN),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(left), y=y("steps:Q"), text="label:N", color=theme.color()),
        heading("steps", narrow, 14),
        width=left, height=tall, name="steps",
    )  # fmt: skip
    across = alt.X(
        "u:Q",
        title="u, along the valley",
        scale=alt.Scale(nice=False, zero=False, padding=10),
        axis=alt.Axis(grid=False),
    )
    up = alt.Y(
        "v:Q",
        title="v, across it",
        scale=alt.Scale(nice=False, zero=False, padding=10),
        axis=alt.Axis(grid=False),
    )
    paths = compose.layer(
        alt.Chart(named("rings"))
        .mark_line(strokeWidth=0.7, opacity=0.6, clip=True)
        .encode(x=across, y=up, detail="line:N", order="vertex:Q", color=theme.ink("muted")),
        alt.Chart(named("paths"))
        .mark_line(strokeWidth=1.8, strokeJoin="round")
        .encode(
            x=across, y=up, detail=["name:N", "piece:N"], order="order:Q", color=theme.color(), strokeDash=theme.dash()
        ),
        alt.Chart(named("marks"))
        .mark_point(size=90, strokeWidth=1.8)
        .encode(x=across, y=up, color=theme.ink("ink"), shape=alt.Shape("shape:N", scale=None)),
        heading("paths", narrow, 14),
        width=right, height=tall, name="paths",
    )  # fmt: skip
    join, gap = (compose.below, 50) if narrow else (compose.beside, 36)
    resolve = {"color": "shared", "strokeDash": "shared", "x": "independent", "y": "independent"}
    return assemble(join(steps, paths, spacing=gap, resolve=resolve), theme.config())


def _paths(values: Values, rates: Array) -> tuple[Frame, Frame, Frame]:
    """Return the paths of one method at three angles, each with its rate, the rings and the marks, in the bowl's axes."""
    name, steps, ground = word(values, "rot_path"), whole(values, "rot_horizon"), _ground(values)
    angles = np.array(_DRAWN)
    problem = SurfaceProblem(SURFACES[BOWL], {"kappa": ground.kappa, "theta": angles})
    method = _method(name, values)
    run = descend(problem, method.rule(lr=rates), rotate_start(ground.start, angles), steps)
    # Back to the axes: a turn by −θ.
    c, s = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    x, y = np.moveaxis(run.path, -1, 0)
    with np.errstate(all="ignore"):
        path = np.stack([c * x + s * y, c * y - s * x], axis=-1)
        arrived = steps_to(run.value, real(values, "rot_target") * run.value[0])
    last = np.where(arrived < 0, steps, arrived)
    reach = _FAR * max(*np.abs(ground.start), 1e-3)
    drawn = [path[: last[k] + 1, k] for k in range(len(angles))]
    seen = np.concatenate([p[np.isfinite(p).all(axis=1)] for p in drawn] + [np.zeros((1, 2))])
    low, high = np.maximum(seen.min(axis=0), -reach), np.minimum(seen.max(axis=0), reach)
    pad = 0.06 * np.maximum(high - low, 0.2 * reach / _FAR)
    low, high = low - pad, high + pad
    window = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    parts: list[Part] = []
    for k, points in enumerate(drawn):
        inside, _, piece, _ = raster.clip_path(points, window)
        every = np.unique(np.linspace(0, len(inside) - 1, min(len(inside), 240)).round().astype(int))
        parts.append({
            "u": inside[every, 0], "v": inside[every, 1], "piece": piece[every].astype(np.int16),
            "order": np.arange(len(every), dtype=np.int16), "name": f"{number(angles[k])}°",
            "slot": np.int8(STYLES[name].slot), "dash": np.int8(k),
        })  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 121)
    rings: list[Part] = []
    for i, share in enumerate((1.0, 0.3, 0.1, real(values, "rot_target"))):
        radius = np.sqrt(2 * share * ground.height / ground.eigenvalues)
        ring = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)])
        there = ((ring >= low[:, None]) & (ring <= high[:, None])).all(axis=0)
        rings.append({
            "u": np.where(there, ring[0], np.nan), "v": np.where(there, ring[1], np.nan),
            "line": np.int8(i), "vertex": np.arange(len(turn), dtype=np.int16),
        })  # fmt: skip
    marks = rows(
        u=[ground.start[0], 0.0], v=[ground.start[1], 0.0], shape=["circle", "cross"],
    )  # fmt: skip
    return rows(*parts), rows(*rings), marks


def _target(share: float) -> str:
    """Write the target: in percent, a small one as a factor."""
    return percent(share) if share >= 1e-4 else number(share)


def _rates_said(values: Values) -> str:
    """Name the rates; away from the bowl those of the page belong to another surface."""
    how = word(values, "rot_rates")
    if how != AS_SET:
        return f"rates {how}"
    return "rates as set" if word(values, "surface") == BOWL else "rates suggested for the bowl"


def _said_steps(run: _Turned, k: int, horizon: int) -> str:
    if run.arrived_at[k] >= 0:
        return str(int(run.arrived_at[k]))
    return f"diverged at step {run.diverged_at[k]}" if run.diverged_at[k] >= 0 else f"more than {horizon}"


def _figure(values: Values, runs: Mapping[str, _Turned]) -> Figure:
    horizon, share, ground = whole(values, "rot_horizon"), real(values, "rot_target"), _ground(values)
    how, name = word(values, "rot_rates"), word(values, "rot_path")
    parts: list[Part] = []
    dots: list[Part] = []
    for method, run in runs.items():
        late = run.arrived_at < 0
        steps = np.where(late, horizon, np.maximum(run.arrived_at, 1))
        style = STYLES[method]
        parts.append({
            "angle": _ANGLES, "steps": steps, "late": late, "name": method, "rate": run.rates,
            "text": [_said_steps(run, k, horizon) for k in range(len(_ANGLES))],
            "slot": np.int8(style.slot), "dash": np.int8(style.dash),
        })  # fmt: skip
        if run.theory is not None:
            kept = (run.theory > 0) & (np.arange(len(_ANGLES)) % _DOTTED == 0)
            if kept.any():
                dots.append({"angle": _ANGLES[kept], "steps": run.theory[kept], "shown": True})
    lowest = min(float(np.min(part["steps"])) for part in parts)  # type: ignore[call-overload]
    low, high = math.log10(max(1.0, lowest / 1.15)), math.log10(horizon)
    ends = np.array([float(np.asarray(part["steps"])[-1]) for part in parts])
    placed = spread(np.log10(ends), 0.05 * (high - low), low, high)
    turned = _turned(relevant(name, values), name, how, horizon, share)
    drawn = turned.rates[np.searchsorted(_ANGLES, _DRAWN)]
    paths, rings, marks = _paths(values, drawn)
    tuned = how != AS_SET
    rates = _rates_said(values)
    return Figure(
        name="optimizers/rotation",
        build=_spec,
        data={
            "lines": rows(*parts),
            "theory": rows(*dots) if dots else rows(angle=[0.0], steps=[10**high], shown=False),
            "ends": rows(steps=10.0**placed, label=list(runs), slot=[STYLES[method].slot for method in runs]),
            "extent": rows(angle=[0.0, 90.0], steps=[10**low, 10**high]),
            "page": rows(angle=[0.0 if math.isnan(ground.angle) else ground.angle], shown=not math.isnan(ground.angle)),
            "paths": paths,
            "rings": rings,
            "marks": marks,
            "titles": rows(
                **titled("steps", f"Steps to {_target(share)} of f₀, {rates}"),
                **titled("paths", f"Paths of {name}, η {numbers(drawn if np.ptp(drawn) else drawn[:1])}"),
            ),
        },
        title="The valley turns, and the start with it",
        caption=f"{BOWL}, κ = {number(ground.kappa)}, θ from 0° to 90°; start ({number(ground.start[0])}, "
        f"{number(ground.start[1])}) along the eigenvectors of λ₁ and λ₂; target {_target(share)} of f₀, at most {horizon} "
        f"steps; {rates}"
        + (f", of {_BUDGET} from {number(10**BELOW)} to {number(10**ABOVE)} times the suggested one" if tuned else "")
        + f"; constant rates, exact gradients. Settings: {_settings_said(values, runs)}. Paths of {name}.",
        key="Dots: exact steps of the linear rules. × at the upper edge: not there within the horizon. Dashed upright: the "
        "angle set. Paths until the target, seen from the bowl's axes: solid 0°, dashed 15°, dotted 45°; rings at f₀, 30%, "
        "10% and the target.",
        alt="Steps to the target against the valley's angle, a line for each optimizer, and one's paths at three angles.",
    )  # fmt: skip


def _settings_said(values: Values, runs: Mapping[str, _Turned]) -> str:
    parts = []
    for name, run in runs.items():
        method, low, high = _method(name, values), float(run.rates.min()), float(run.rates.max())
        said = describe(method._replace(settings={**method.settings, "lr": low}))
        parts.append(
            said if low == high else said.replace(f"η {number(low, 6)}", f"η {number(low)} to {number(high)}")
        )
    return "; ".join(parts)


# The tab


def _never_said(runs: Mapping[str, _Turned], horizon: int) -> str:
    """Name those that arrive at no angle: their counts say nothing about the angle."""
    names = list(runs)
    if not names:
        return ""
    arrive = "arrives" if len(names) == 1 else "arrive"
    parts = [f"Within {counted(horizon, 'step')} {listed(names)} {arrive} at no angle"]
    for name, run in runs.items():
        gone = run.diverged_at[run.diverged_at >= 0]
        if len(gone):
            where = "every angle" if len(gone) == len(_ANGLES) else f"{len(gone)} of {len(_ANGLES)} angles"
            parts.append(f"{name if len(runs) > 1 else 'it'} diverges at {where}, first at step {gone.min()}")
    return f"{'; '.join(parts)}."


def _cost_said(runs: Mapping[str, _Turned], kappa: float) -> str:
    """Say whom the turn costs steps and whom it saves some, of those that see the angle."""
    slower, quicker = [], []
    for name, run in runs.items():
        steps = np.where(run.arrived_at < 0, np.inf, run.arrived_at)
        if np.mean(steps[1:-1] > steps[0]) > 0.5:
            slower.append(name)
        least = int(np.argmin(steps))
        if steps[least] < steps[0]:
            before = f"{number(steps[0])}" if math.isfinite(steps[0]) else "none in time"
            quicker.append(f"{name} ({number(steps[least])} at {number(_ANGLES[least])}°, {before} at 0°)")
    sentences = []
    if kappa == 1:
        sentences.append(
            "With κ = 1 there is no valley to turn: only the start lies elsewhere among the coordinates."
        )
    elif slower:
        one = len(slower) == 1
        sentences.append(
            f"At most of the angles between 0° and 90° {listed(slower)} {'takes' if one else 'take'} longer than at 0°: "
            f"{'it scales' if one else 'they scale'} each coordinate by its own gradients, and no coordinate lies along a turned "
            "valley."
        )
    if quicker:
        sentences.append(f"Some angles save steps: {listed(quicker)}.")
    return " ".join(sentences)


def _reading(values: Values, runs: Mapping[str, _Turned]) -> str:
    horizon, share, ground = whole(values, "rot_horizon"), real(values, "rot_target"), _ground(values)
    never = {name: run for name, run in runs.items() if (run.arrived_at < 0).all()}
    arriving = {name: run for name, run in runs.items() if name not in never}
    fixed = {name: run for name, run in arriving.items() if np.ptp(run.arrived_at) == 0}
    # A linear rule takes the same steps at every angle: what differs there is rounding.
    rounded = [name for name in arriving if name not in fixed and OPTIMIZERS[name].linear is not None]
    seen = {name: run for name, run in arriving.items() if name not in fixed and name not in rounded}
    sentences = []
    if fixed:
        each = listed([f"{name} ({run.arrived_at[0]})" for name, run in fixed.items()])
        sentences.append(f"The same number of steps at all {len(_ANGLES)} angles: **{each}**.")
    if rounded:
        differ = "differs" if len(rounded) == 1 else "differ"
        sentences.append(f"{listed(rounded)} {differ} between the angles by rounding only.")
    exact = [(run.theory, run.arrived_at) for run in arriving.values() if run.theory is not None]
    if exact:
        off = max(
            int(np.abs(np.where(theory < 0, horizon + 1, theory) - np.where(at < 0, horizon + 1, at)).max())
            for theory, at in exact
        )
        sentences.append(
            "The closed form of the linear rules, which knows no angle, gives the very same counts."
            if off == 0
            else f"The closed form of the linear rules is off by {counted(off, 'step')} at most."
        )
    told = []
    for name, run in seen.items():
        worst = int(np.argmax(np.where(run.arrived_at < 0, horizon + 1, run.arrived_at)))
        more = f", {_said_steps(run, worst, horizon)} at {number(_ANGLES[worst])}°" if worst else ""
        told.append(f"{name} ({_said_steps(run, 0, horizon)} at 0°{more})")
    if told:
        sentences.append(f"The angle matters to {listed(told)}.")
    sentences.append(_never_said(never, horizon))
    at = {name: run.arrived_at[list(_ANGLES).index(45.0)] for name, run in runs.items()}
    arrived = [name for name in at if at[name] >= 0]
    first = [name for name, run in runs.items() if run.arrived_at[0] >= 0]
    if arrived and first and len(runs) > 1:
        fastest = min(first, key=lambda name: runs[name].arrived_at[0])
        turned = min(arrived, key=lambda name: at[name])
        other = f", {turned}" if turned != fastest else " and"
        sentences.append(
            f"To {_target(share)} of f₀, {fastest} is first at 0° with {counted(int(runs[fastest].arrived_at[0]), 'step')}"
            f"{other} at 45° with {counted(int(at[turned]), 'step')}."
        )
    if seen:
        sentences.append(_cost_said(seen, ground.kappa))
    return " ".join(sentence for sentence in sentences if sentence)


def rotation_blocks(values: Values) -> list[Block]:
    """Draw the steps to the target against the angle, and say who sees the angle and how much it costs."""
    if not words(values, "rot_methods"):
        return ["Choose at least one optimizer."]
    runs = _runs(values)
    lead = "Which optimizers notice that the valley has turned? The start turns with it, so that only the coordinates differ."
    if word(values, "surface") != BOWL:
        lead += f" Only a quadratic bowl turns: here κ = {number(_KAPPA)}, with the rates that are suggested for it."
    return [lead, _figure(values, runs), _reading(values, runs)]
