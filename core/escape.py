"""Leaving a well: the share of noisy runs that pass into the deeper one, and the momenta that carry over the barrier.

All of it is on the surface Two wells, whose x moves apart from y: the pass between the wells is a line x = const.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.descent import Ints, SurfaceProblem, descend
from core.optimizers import Optimizer
from core.special import normal_cdf, normal_pdf
from core.stochastic import Noisy
from core.streams import stream
from core.surfaces import SURFACES, Surface

Array = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

_FINEST = 0.02  # of the noise of a step: below, the grid that resolves it would be too long
_PER_SIGMA = 2.5  # grid points in a standard deviation: a sum over a normal density is then exact to 1e-10
_RARE = 40.0  # heights above the pass, in units of the noise's temperature, where no run gets


class Wells(NamedTuple):
    """The surface Two wells by its three stationary points, the x of each."""

    surface: Surface
    deep: float
    shallow: float
    barrier: float


def _wells() -> Wells:
    surface = SURFACES["Two wells"]
    deep, shallow = sorted(surface.minima, key=lambda m: m.value)
    (between,) = [s for s in surface.stationary if s.kind == "saddle"]
    return Wells(surface, deep.point[0], shallow.point[0], between.point[0])


WELLS = _wells()


def in_deep_well(points: Array) -> Bools:
    """Return whether points lie on the deeper well's side of the pass, (..., 2) → (...); NaN and ±∞ do not."""
    x = np.asarray(points)[..., 0]
    return np.asarray(
        np.isfinite(x) & ((x < WELLS.barrier) == (WELLS.deep < WELLS.barrier)) & (x != WELLS.barrier)
    )


def wilson(hits: ArrayLike, count: int, z: float = 1.96) -> tuple[Array, Array]:
    """Return the Wilson score interval of a share: a 95% interval by default (Wilson 1927).

    It stays within [0, 1] and has a width at 0 and at ``count`` hits too.

    Args:
        hits: (...), from 0 to count.
        count: trials, 1 or more.
        z: normal quantile, ≥ 0.

    Raises:
        ValueError: count or hits is out of range.
    """
    k = np.asarray(hits, dtype=np.float64)
    if count < 1 or not np.all((k >= 0) & (k <= count)):
        raise ValueError(f"hits = {k}, count = {count}: needs 0 ≤ hits ≤ count and count of at least 1")
    share, square = k / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * np.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return np.where(k == 0, 0.0, middle - half), np.where(k == count, 1.0, middle + half)


@dataclass(frozen=True)
class NoiseEscape:
    """Where noisy runs from one start are after their last step; K sizes of the noise.

    sigma: (K,). runs: how many for each. deep, shallow, diverged: (K,), counts that add up to runs; a run that is
    no longer finite is in no well.
    """

    sigma: Array
    runs: int
    deep: Ints
    shallow: Ints
    diverged: Ints


def noise_escape(
    optimizer: Optimizer,
    lr: float,
    sigma: ArrayLike,
    start: ArrayLike,
    *,
    runs: int = 500,
    steps: int = 200,
    seed: int = 0,
) -> NoiseEscape:
    """Let runs with noise of every size in both coordinates of the gradient start from one point, all in one run.

    Args:
        optimizer: an entry of ``OPTIMIZERS``; its other knobs are at their defaults.
        lr: learning rate.
        sigma: (K,), standard deviations of the noise, ≥ 0.
        start: (2,).
        runs: for each sigma, 1 or more.
        steps: 0 or more.
        seed: of the noise.

    Raises:
        ValueError: runs, steps or sigma is out of range.
    """
    if runs < 1:
        raise ValueError(f"runs = {runs}: needs a whole number of at least 1")
    sigmas = np.asarray(sigma, dtype=np.float64)
    lead = np.broadcast_to(np.asarray(start, dtype=np.float64), (len(sigmas), runs, 2))
    noisy = Noisy(SurfaceProblem(WELLS.surface), sigmas[:, None])
    run = descend(noisy, optimizer.build(lr=lr), lead, steps, rng=stream(seed, 0))
    lost = run.diverged_at >= 0
    deep = in_deep_well(run.path[-1]) & ~lost
    return NoiseEscape(
        sigmas,
        runs,
        deep.sum(axis=1),
        (~deep & ~lost).sum(axis=1),
        np.asarray(lost.sum(axis=1), dtype=np.intp),
    )


class EscapeTheory(NamedTuple):
    """Probabilities after the last step, (K,) each; what is missing to 1 has left every well for good."""

    deep: Array
    shallow: Array


def noise_escape_theory(lr: float, sigma: ArrayLike, start_x: float, steps: int) -> EscapeTheory:
    """Return the probability of either well for gradient descent with normal noise, without drawing any.

    x is a Markov chain, x′ = m(x) + s·ξ with m(x) = x − lr·∂f/∂x and s = lr·σ. Its density is carried from step to
    step on a grid of 2.5 points to s, on which sums over normal densities are exact to about 1e-10; the last step
    integrates the normal distribution exactly up to the pass. The grid ends where no run comes back from.

    Args:
        lr: learning rate, above 0.
        sigma: (K,), ≥ 0; where lr·σ is between 0 and 0.02 the answer is NaN, for the grid would be too long.
        start_x: x of the start.
        steps: 0 or more.
    """
    found = [_chain(lr, float(s), start_x, steps) for s in np.asarray(sigma, dtype=np.float64)]
    below, above = np.array(found).reshape(-1, 2).T
    return EscapeTheory(below, above) if WELLS.deep < WELLS.barrier else EscapeTheory(above, below)


def _slope(x: Array) -> Array:
    return WELLS.surface.grad(np.stack([x, np.zeros_like(x)], axis=-1))[..., 0]


def _mean(x: Array, lr: float) -> Array:
    return x - lr * _slope(x)


def _chain(lr: float, sigma: float, start: float, steps: int) -> tuple[float, float]:
    """Return the probabilities of x below and above the pass."""
    spread, point = lr * sigma, np.array([start])
    if spread == 0 or steps == 0:
        for _ in range(steps):
            point = _mean(point, lr)
            if not abs(point[0]) < 1e6:
                return 0.0, 0.0
        return float(point[0] < WELLS.barrier), float(point[0] > WELLS.barrier)
    if spread < _FINEST:
        return np.nan, np.nan
    x = _grid(lr, sigma)
    cell, ahead = x[1] - x[0], _mean(x, lr)
    weight = np.zeros_like(x)
    here = _mean(point, lr)
    if steps == 1:
        below = float(normal_cdf((WELLS.barrier - here) / spread)[0])
        return below, 1 - below
    weight = cell / spread * normal_pdf((x - here) / spread)
    kernel = cell / spread * normal_pdf((x[:, None] - ahead) / spread)
    for _ in range(steps - 2):
        weight = kernel @ weight
    to_below = normal_cdf((WELLS.barrier - ahead) / spread)
    return float(weight @ to_below), float(weight @ (1 - to_below))


def _grid(lr: float, sigma: float) -> Array:
    """Return points on both sides as far as runs get: where steps begin to throw further out, or where none come."""
    spread = lr * sigma
    outermost = max(abs(WELLS.deep), abs(WELLS.shallow))
    x = np.linspace(outermost, 60, 6001)[1:]
    both = np.stack([x, -x])
    thrown = np.abs(_mean(both, lr)) > np.abs(both)
    limit = x[thrown.any(axis=0)][:1]
    height = WELLS.surface.f(np.stack([both, np.zeros_like(both)], axis=-1)).min(axis=0)
    pass_height = float(WELLS.surface.f(np.array([WELLS.barrier, 0.0])))
    rare = x[height > pass_height + _RARE * lr * sigma**2 / 2][:1]
    end = min([*(1.3 * limit), *rare, x[-1]]) + 4 * spread
    count = int(np.ceil(2 * end * _PER_SIGMA / spread)) + 1
    return np.linspace(-end, end, count)


@dataclass(frozen=True)
class MomentumSweep:
    """Runs of one start by momentum; K momenta.

    momentum: (K,). reach: (K,), the x furthest toward the deeper well that a run comes to; a run that diverges
    counts until it does. passed: (K,), whether it has been beyond the pass. deep: (K,), whether it ends there.
    settled: (K,), whether it lies within 0.01 of a minimum in the end. diverged_at: (K,), as in ``Descent``.
    """

    momentum: Array
    reach: Array
    passed: Bools
    deep: Bools
    settled: Bools
    diverged_at: Ints


def momentum_sweep(
    optimizer: Optimizer, lr: float, momentum: ArrayLike, start: ArrayLike, steps: int
) -> MomentumSweep:
    """Descend from one start with every momentum, all in one run.

    Args:
        optimizer: an entry of ``OPTIMIZERS`` that has the knob ``momentum``.
        lr: learning rate.
        momentum: (K,), from 0 to below 1.
        start: (2,).
        steps: enough for the largest momentum to come to rest: its motion fades like μ^(t/2).
    """
    mu = np.asarray(momentum, dtype=np.float64)
    lead = np.broadcast_to(np.asarray(start, dtype=np.float64), (len(mu), 2))
    run = descend(SurfaceProblem(WELLS.surface), optimizer.build(lr=lr, momentum=mu), lead, steps)
    x = run.path[..., 0]
    finite = np.isfinite(x) & np.isfinite(run.value)
    toward = np.sign(WELLS.deep - WELLS.shallow)
    reach = toward * np.where(finite, toward * x, -np.inf).max(axis=0)
    lost = run.diverged_at >= 0
    apart = [np.linalg.norm(run.path[-1] - np.array([w, 0.0]), axis=-1) for w in (WELLS.deep, WELLS.shallow)]
    return MomentumSweep(
        mu,
        reach,
        np.asarray(toward * (reach - WELLS.barrier) > 0),
        in_deep_well(run.path[-1]) & ~lost,
        np.asarray((np.minimum(*apart) < 0.01) & ~lost),
        run.diverged_at,
    )


def intervals(holds: ArrayLike, values: ArrayLike) -> list[tuple[float, float]]:
    """Return the first and last value of every unbroken run of true entries, both (K,).

    Raises:
        ValueError: the two are of different lengths.
    """
    flags, at = np.asarray(holds, dtype=bool), np.asarray(values, dtype=np.float64)
    if flags.shape != at.shape or flags.ndim != 1:
        raise ValueError(f"holds of shape {flags.shape}, values of shape {at.shape}: need the same (K,)")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(float(at[a]), float(at[b - 1])) for a, b in edges.reshape(-1, 2)]


def share_in_shallow_well(lr: float, steps: int, starts: int, optimizer: Optimizer) -> float:
    """Return the share of starts, even over the window's x, from which a run without noise ends in the shallow well.

    For small rates it is the share of the window beyond the pass.

    Raises:
        ValueError: starts is below 1.
    """
    if starts < 1:
        raise ValueError(f"starts = {starts}: needs a whole number of at least 1")
    low, high = WELLS.surface.window[:2]
    x = low + (high - low) * (np.arange(starts) + 0.5) / starts
    lead = np.stack([x, np.zeros_like(x)], axis=-1)
    run = descend(SurfaceProblem(WELLS.surface), optimizer.build(lr=lr), lead, steps)
    return float((~in_deep_well(run.path[-1]) & (run.diverged_at < 0)).mean())
