"""Tuning: one vectorized run over knobs and starts, what it came to, and the best knobs by a stated objective.

Every optimizer gets the same budget, learning rates on a log grid about its suggested rate, and is judged after the
same number of steps over the same starts. The knobs' axes come first and the axis of starts last, (..., S).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.descent import Ints, NoisyProblem, Problem, SteppedProblem, SurfaceProblem, descend, steps_to
from core.optimizers import Array, Rule
from core.surfaces import SURFACES, rotate_start

BELOW, ABOVE = -2.0, 1.5  # decades about the suggested rate that a budget covers
REACH = 0.1  # starts lie within this share of the window's width and height about the first
DONE = 1e-16  # what is left of f − f*, as a share, below which runs count as equally good
SHARE = 0.01  # a run has arrived when f − f* is this share of what it was at the start

_MOST_STARTS = 16
_POINTS = 1 << 20  # points of a path kept at a time
_GOLDEN = math.pi * (3 - math.sqrt(5))

Knobs = Mapping[str, Any]
AnyProblem = Problem | NoisyProblem | SteppedProblem
Problems = AnyProblem | Sequence[SteppedProblem]


@dataclass(frozen=True)
class Outcome:
    """What runs came to; ... are the axes of the knobs, S counts the starts, H the horizons.

    initial: (S,), f − f* at the starts. final: (H, ..., S), f − f* at the horizons, NaN or inf as it comes.
    arrived_at: (..., S), the first step with f − f* at or below ``share`` of the initial one, −1 if there is
    none. diverged_at: (..., S), the first step that is not finite, −1 if there is none (``Descent``).
    """

    horizons: tuple[int, ...]
    share: float
    initial: Array
    final: Array
    arrived_at: Ints
    diverged_at: Ints

    def loss(self, horizon: int = 0) -> Array:
        """Return f − f* at a horizon, (..., S), inf where the run diverged before it."""
        steps, final = self.horizons[horizon], self.final[horizon]
        lost = ((self.diverged_at >= 0) & (self.diverged_at <= steps)) | ~np.isfinite(final)
        return np.where(lost, np.inf, final)

    def steps(self, horizon: int = 0) -> Array:
        """Return the steps to the target, (..., S), inf where it is not reached by the horizon."""
        late = (self.arrived_at < 0) | (self.arrived_at > self.horizons[horizon])
        return np.where(late, np.inf, self.arrived_at)

    def grew(self, horizon: int = 0) -> NDArray[np.bool_]:
        """Return which runs end higher than they began or diverged, (..., S)."""
        return np.asarray(self.loss(horizon) > self.initial)

    def at(self, place: slice) -> "Outcome":
        """Return the part of the runs at some places of the first knob's axis."""
        return replace(
            self,
            final=self.final[:, place],
            arrived_at=self.arrived_at[place],
            diverged_at=self.diverged_at[place],
        )


def _median(values: Array) -> Array:
    """Return the median over the last axis; between a number and inf it is inf."""
    return np.asarray(np.median(values, axis=-1))


def _median_loss(outcome: Outcome, horizon: int) -> Array:
    return _median(np.maximum(outcome.loss(horizon), DONE * outcome.initial))


def _worst_loss(outcome: Outcome, horizon: int) -> Array:
    return np.asarray(np.maximum(outcome.loss(horizon), DONE * outcome.initial).max(axis=-1))


def _median_steps(outcome: Outcome, horizon: int) -> Array:
    return _median(outcome.steps(horizon))


@dataclass(frozen=True)
class Objective:
    """What tuning makes small, over the starts: ``score(outcome, horizon)`` → (...), inf where nothing is reached.

    A loss below ``DONE`` of the start's counts as that much: rounding, not the method, decides what lies below.
    ``tie`` decides between equal scores. ``unit`` is "loss" or "steps"; ``text`` says the score beside a horizon,
    ``{steps}``, and a share, ``{share}``.
    """

    name: str
    score: Callable[[Outcome, int], Array]
    tie: Callable[[Outcome, int], Array]
    unit: Literal["loss", "steps"]
    text: str


OBJECTIVES: dict[str, Objective] = {
    entry.name: entry
    for entry in (
        Objective("median loss", _median_loss, _median_steps, "loss", "median f − f* after {steps} steps"),
        Objective(
            "worst loss",
            _worst_loss,
            _median_steps,
            "loss",
            "largest f − f* of all starts after {steps} steps",
        ),
        Objective(
            "median steps",
            _median_steps,
            _median_loss,
            "steps",
            "median steps to {share} of f₀ − f*, at most {steps}",
        ),
    )
}


def log_rates(center: float, count: int, below: float = BELOW, above: float = ABOVE) -> Array:
    """Return a budget of learning rates, (count,): a log grid from center·10^below to center·10^above.

    Raises:
        ValueError: the center is not a positive number, or there are fewer than 2 rates.
    """
    if not 0 < center < math.inf:
        raise ValueError(f"center = {center}: needs a number above 0")
    if count < 2:
        raise ValueError(f"count = {count}: needs a whole number of at least 2")
    return np.asarray(center * 10 ** np.linspace(below, above, count))


def starts_around(start: ArrayLike, window: Sequence[float], count: int) -> Array:
    """Return a start and others around it, (count, 2); more of them begin with the same.

    They lie on Vogel's spiral (1979), turned by the golden angle from one to the next, within 10% of the window's
    width and height.

    Args:
        start: (2,), the first of them.
        window: x_low, x_high, y_low, y_high.
        count: 1 to 16.

    Raises:
        ValueError: count is out of range.
    """
    if not 1 <= count <= _MOST_STARTS:
        raise ValueError(f"count = {count}: needs a whole number from 1 to {_MOST_STARTS}")
    k = np.arange(count)
    radius = REACH * np.sqrt(k / (_MOST_STARTS - 1))
    around = radius[:, None] * np.stack([np.cos(k * _GOLDEN), np.sin(k * _GOLDEN)], axis=-1)
    size = np.array([window[1] - window[0], window[3] - window[2]])
    return np.asarray(np.asarray(start, dtype=float) + around * size)


@dataclass(frozen=True)
class _Each:
    """Problems of one loss side by side: the k-th gives the gradients of the k-th start, the last axis but one."""

    problems: Sequence[SteppedProblem]

    def f(self, w: Array) -> Array:
        return self.problems[0].f(w)

    def grad_at(self, w: Array, t: int) -> Array:
        return np.stack([p.grad_at(w[..., k, :], t) for k, p in enumerate(self.problems)], axis=-2)


def outcome(
    problem: Problems,
    build: Callable[..., Rule],
    starts: ArrayLike,
    horizons: Sequence[int],
    *,
    knobs: Knobs,
    infimum: float,
    share: float = SHARE,
    rng: np.random.Generator | None = None,
    report: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Outcome:
    """Run an optimizer from every start with every setting of its knobs, in one vectorized descent.

    No path is kept; many starts run in a few parts, so that none takes more than some tens of megabytes.

    Args:
        problem: as ``descend`` takes it; or one for each start, all of the same loss, such as mini-batches under seeds
            of their own.
        build: makes a rule of the knobs, such as ``OPTIMIZERS[name].build``.
        starts: (S, 2); with noise, repeat a start to see it under several draws.
        horizons: numbers of steps, one or more, at which the loss is read.
        knobs: the optimizer's knobs, numbers or arrays (..., 1) whose last axis is that of the starts.
        infimum: f*, which every value is measured from.
        share: of the initial f − f*, the target.
        rng: given, the problem is noisy, and every start and setting has draws of its own.
        report: called as report(step, steps) on the way, of the steps of all parts together; it may raise to end the work.
        options: what else ``descend`` takes, such as clipping.

    Raises:
        ValueError: no horizon or a negative one, starts of another shape, or not one problem for each of them.
    """
    starts = np.asarray(starts, dtype=float)
    if starts.ndim != 2 or not len(starts):
        raise ValueError(f"starts have the shape {starts.shape}: needs (S, d) with S of at least 1")
    if not horizons or min(horizons) < 0:
        raise ValueError(f"horizons = {tuple(horizons)}: needs whole numbers of at least 0")
    if isinstance(problem, Sequence) and len(problem) != len(starts):
        raise ValueError(f"{len(problem)} problems for {len(starts)} starts: needs one for each")
    rule = build(**knobs)
    settings = np.broadcast_shapes((1,), *map(np.shape, knobs.values()))
    each = max(1, _POINTS // ((max(horizons) + 1) * math.prod(settings)))
    initial, final, arrived, diverged = [], [], [], []
    steps, parts = max(horizons), range(0, len(starts), each)
    for k, i in enumerate(parts):
        part = starts[i : i + each]
        given = _Each(problem[i : i + each]) if isinstance(problem, Sequence) else problem
        begin = np.broadcast_to(part, (*settings[:-1], *part.shape))
        told = None if report is None else _within(report, k, len(parts))
        run = descend(given, rule, begin, steps, rng=rng, report=told, **options)
        with np.errstate(all="ignore"):
            gap = run.value - infimum
            arrived.append(steps_to(gap, share * gap[0]))
        initial.append(gap[(0, *(0,) * (gap.ndim - 2))])
        final.append(gap[list(horizons)])
        diverged.append(run.diverged_at)
    return Outcome(
        tuple(horizons),
        share,
        *(np.concatenate(found, axis=-1) for found in (initial, final)),
        *(np.concatenate(found, axis=-1) for found in (arrived, diverged)),
    )


def _within(report: Callable[[int, int], object], part: int, parts: int) -> Callable[[int, int], object]:
    """Report a part of some equally long ones as one of them all."""
    return lambda step, steps: report(part * steps + step, parts * steps)


@dataclass(frozen=True)
class Sweep:
    """Outcomes over one or two knobs: ``names`` and their ``values``, one array each, in the order of the axes."""

    names: tuple[str, ...]
    values: tuple[Array, ...]
    outcome: Outcome


def sweep(
    problem: Problems,
    build: Callable[..., Rule],
    over: Mapping[str, ArrayLike],
    starts: ArrayLike,
    horizons: Sequence[int],
    *,
    knobs: Knobs,
    infimum: float,
    share: float = SHARE,
    rng: np.random.Generator | None = None,
    report: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Sweep:
    """Run an optimizer over one knob or over the grid of several, such as lr × momentum, in one vectorized descent.

    Args:
        over: name → values (n,); the outcome has one axis for each, in this order, before that of the starts.
        knobs: the other knobs, numbers.

    The other arguments are those of ``outcome``.

    Raises:
        ValueError: as ``outcome``, or nothing to sweep over.
    """
    if not over:
        raise ValueError("over = {}: needs a knob to sweep over")
    arrays = [np.asarray(values, dtype=float) for values in over.values()]
    axes = np.meshgrid(*arrays, indexing="ij", sparse=True)
    # Each knob with all axes but its own of length 1, and one more for the starts.
    swept = {name: axis[..., None] for name, axis in zip(over, axes, strict=True)}
    found = outcome(
        problem,
        build,
        starts,
        horizons,
        knobs={**knobs, **swept},
        infimum=infimum,
        share=share,
        rng=rng,
        report=report,
        **options,
    )
    return Sweep(tuple(over), tuple(arrays), found)


@dataclass(frozen=True)
class Tuned:
    """The best of a sweep: its place in the grid, its knobs, its score and what decides ties.

    ``reached`` is False where no setting reaches anything. ``ends`` names the knobs whose best value is the lowest
    or the highest of the grid, so that a better one may lie beyond it.
    """

    index: tuple[int, ...]
    values: tuple[float, ...]
    score: float
    tie: float
    reached: bool
    ends: Mapping[str, Literal["lowest", "highest"]]


def tune(swept: Sweep, objective: Objective, horizon: int = 0) -> Tuned:
    """Return the setting with the smallest score; among equal ones what the objective says of ties, then the first.

    Args:
        swept: outcomes over the knobs.
        objective: an entry of ``OBJECTIVES``.
        horizon: which of the outcome's horizons counts.
    """
    scores = objective.score(swept.outcome, horizon)
    ties = objective.tie(swept.outcome, horizon)
    flat = int(np.lexsort((ties.ravel(), scores.ravel()))[0])
    index = tuple(int(i) for i in np.unravel_index(flat, scores.shape))
    ends: dict[str, Literal["lowest", "highest"]] = {}
    for name, values, i in zip(swept.names, swept.values, index, strict=True):
        if len(values) > 1 and values[i] in (values.min(), values.max()):
            ends[name] = "lowest" if values[i] == values.min() else "highest"
    score = float(scores[index])
    found = tuple(float(values[i]) for values, i in zip(swept.values, index, strict=True))
    return Tuned(index, found, score, float(ties[index]), math.isfinite(score), ends)


def rates_within(scores: Array, rates: Array, factor: float) -> float:
    """Return over how many decades of rates about the best one the score stays within a factor of the best score.

    Counted on the grid, without a break: 0 if only the best rate itself does. NaN if no rate reaches anything.

    Args:
        scores, rates: (L,), the rates ascending.
        factor: 1 or more; scores are ≥ 0.
    """
    if not np.isfinite(scores).any():
        return math.nan
    best = int(np.argmin(scores))
    low = high = best
    with np.errstate(invalid="ignore", over="ignore"):
        near = scores <= factor * scores[best]
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(scores) - 1 and near[high + 1]:
        high += 1
    return float(np.log10(rates[high] / rates[low]))


@dataclass(frozen=True)
class RotationSweep:
    """Steps to the target on the rotated quadratic bowl, by learning rate (L,) and angle (K,) in degrees.

    arrived_at: (L, K), −1 where a run does not arrive within ``steps``. final: (L, K), f at the end, inf where the
    run diverged. diverged_at: (L, K), −1 where it did not.
    """

    rates: Array
    angles: Array
    steps: int
    arrived_at: Ints
    final: Array
    diverged_at: Ints

    def best(self, angle: int) -> int:
        """Return the place of the rate that arrives first at one angle; ties, and none: lowest f, then lowest rate."""
        late = np.where(self.arrived_at < 0, self.steps + 1, self.arrived_at)
        return int(np.lexsort((self.final[:, angle], late[:, angle]))[0])


def rotation_sweep(
    build: Callable[..., Rule],
    rates: ArrayLike,
    angles: ArrayLike,
    *,
    knobs: Knobs,
    kappa: float = 50.0,
    start: ArrayLike = (-5.0, -2.0),
    steps: int = 200,
    share: float = SHARE,
) -> RotationSweep:
    """Turn the quadratic bowl with the start fixed among its axes, and count the steps to a share of f₀.

    A rule without coordinates of its own (gradient descent, momentum, Nesterov) takes the same steps at every angle;
    one that divides by the size of each coordinate's gradients does not. One vectorized run over rates × angles.

    Args:
        build: makes a rule of the knobs, such as ``OPTIMIZERS[name].build``.
        rates: (L,), learning rates.
        angles: (K,), degrees from 0 to 90.
        knobs: the optimizer's other knobs, numbers.
        kappa: condition number λ₂/λ₁ of the bowl, whose λ₂ is 4.
        start: (2,), coordinates along the eigenvectors of λ₁ and of λ₂.
        steps: how long a run is given.
        share: of f₀, the target.

    Raises:
        ValueError: an angle, κ, a knob or steps is out of range.
    """
    rates, angles = np.atleast_1d(np.asarray(rates, float)), np.atleast_1d(np.asarray(angles, float))
    problem = SurfaceProblem(SURFACES["Quadratic bowl"], {"kappa": kappa, "theta": angles})
    rule = build(**{**knobs, "lr": rates[:, None]})
    begin = np.broadcast_to(rotate_start(start, angles), (len(rates), len(angles), 2))
    run = descend(problem, rule, begin, steps)
    with np.errstate(all="ignore"):
        arrived_at = steps_to(run.value, share * run.value[0])
    final = np.where((run.diverged_at < 0) & np.isfinite(run.value[-1]), run.value[-1], np.inf)
    return RotationSweep(rates, angles, steps, arrived_at, final, run.diverged_at)
