"""Closed forms on the quadratic ½ Σ λᵢuᵢ², where every coordinate of the eigenbasis runs on its own.

Limits of the learning rate, factors a step, exact iterates, the best settings and the effect of gradient noise for
the rules that are linear there: gradient descent, the heavy ball and Nesterov's momentum (PyTorch forms). Without
momentum the last two are gradient descent. Sources: Polyak 1964, Some methods of speeding up the convergence of
iteration methods; Lessard, Recht and Packard 2016, Analysis and design of optimization algorithms via integral
quadratic constraints; Goh 2017, Why Momentum Really Works, Distill.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Settings = Mapping[str, float]


def gd_limit(curvature: ArrayLike) -> Array:
    """Return the learning rate 2/λ at which gradient descent on ½λu² stops converging.

    Raises:
        ValueError: a curvature is not above 0.
    """
    return 2 / _curvature(curvature)


def heavy_ball_limit(curvature: ArrayLike, momentum: ArrayLike) -> Array:
    """Return the learning rate 2(1+μ)/λ at which the heavy ball on ½λu² stops converging.

    Raises:
        ValueError: a curvature is not above 0, or a momentum is not in [0, 1).
    """
    return 2 * (1 + _stable(momentum)) / _curvature(curvature)


def nesterov_limit(curvature: ArrayLike, momentum: ArrayLike) -> Array:
    """Return the learning rate 2(1+μ)/((1+2μ)λ) at which Nesterov's momentum on ½λu² stops converging.

    Raises:
        ValueError: a curvature is not above 0, or a momentum is not in [0, 1).
    """
    mu = _stable(momentum)
    return 2 * (1 + mu) / ((1 + 2 * mu) * _curvature(curvature))


def quadratic_rates(
    lr: ArrayLike, momentum: ArrayLike, eigenvalues: ArrayLike, *, nesterov: bool = False
) -> Array:
    """Return the factor by which each eigencomponent shrinks per step in the long run; above 1 it grows.

    The spectral radius of the map (u, v) → (u, v) of one step, whose trace and determinant are
    1 + μ − lr·λ and μ for the heavy ball, (1+μ)(1 − lr·λ) and μ(1 − lr·λ) for Nesterov (PyTorch form).
    Without momentum it is |1 − lr·λ|. Dampening τ acts on the long run as lr·(1−τ).

    Args:
        lr, momentum: any shapes that broadcast with the eigenvalues.
        eigenvalues: curvatures λ of any sign; a negative one is a direction of escape.
    """
    a = np.asarray(lr) * np.asarray(eigenvalues)
    mu = np.asarray(momentum)
    if nesterov:
        trace, determinant = (1 + mu) * (1 - a), mu * (1 - a)
    else:
        trace, determinant = (1 - a) + mu, mu + 0 * a
    p, root = np.abs(trace), 2 * np.sqrt(np.abs(determinant))
    # The discriminant p² − 4q as p²(1 − r)(1 + r): squares would overflow, and cancel near critical damping.
    r = np.minimum(root, p) / np.where(p == 0, 1, p)
    real = p * np.sqrt((1 - r) * (1 + r))
    gap = np.where(determinant < 0, np.hypot(p, root), real)
    radius: Array = np.where((determinant > 0) & (p < root), root / 2, (p + gap) / 2)
    return radius


def gd_path_quadratic(lr: ArrayLike, eigenvalues: ArrayLike, start: ArrayLike, steps: int) -> Array:
    """Return the exact iterates of gradient descent on the quadratic, u_t = (1 − lr·λ)^t u₀.

    Args:
        lr: learning rate, of a shape that broadcasts with start.
        eigenvalues: λ, of a shape that broadcasts with start.
        start: u₀ of shape (..., d), in the eigenbasis.
        steps: number of steps.

    Returns:
        (steps+1, ..., d), in the eigenbasis; ±inf where it overflows.
    """
    factor = np.asarray(1 - np.asarray(lr) * np.asarray(eigenvalues))
    u = np.asarray(start)
    t = np.arange(steps + 1).reshape(-1, *(1,) * np.broadcast(factor, u).ndim)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.where(u == 0, 0.0, factor**t * u)


def momentum_path_quadratic(
    lr: ArrayLike,
    momentum: ArrayLike,
    eigenvalues: ArrayLike,
    start: ArrayLike,
    steps: int,
    *,
    nesterov: bool = False,
) -> Array:
    """Return the exact iterates of the heavy ball, or of Nesterov's momentum, on the quadratic.

    One step is a linear map of (u, v), v the velocity, v₀ = 0: v' = μv + λu, then u' = u − lr·v' for the
    heavy ball and u' = u − lr(λu + μv') for Nesterov. Its powers are built by doubling.

    Args:
        lr, momentum, eigenvalues: of shapes that broadcast with start.
        start: u₀ of shape (..., d), in the eigenbasis.
        steps: number of steps.

    Returns:
        (steps+1, ..., d), in the eigenbasis; inf or NaN where it overflows.
    """
    rate, mu, curvature, u = np.broadcast_arrays(lr, momentum, eigenvalues, start)
    one = np.broadcast_to([1.0, 0.0], (*u.shape, 2))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        units = _powers(_step_matrix(rate, mu, curvature, nesterov), one, steps)
        return np.where(u == 0, 0.0, units[..., 0] * u)


def _step_matrix(lr: Array, momentum: Array, curvature: Array, nesterov: bool) -> Array:
    """Return the map (u, v) → (u', v') of one step without noise, (..., 2, 2), from arrays of one shape (...)."""
    if nesterov:
        first_row = [1 - lr * curvature * (1 + momentum), -lr * momentum * momentum]
    else:
        first_row = [1 - lr * curvature, -lr * momentum]
    return np.stack([np.stack(first_row, -1), np.stack([curvature, momentum], -1)], -2)


def _powers(matrix: Array, column: Array, steps: int) -> Array:
    """Return Mᵏ·column for k = 0 … steps, (steps+1, ..., 2), from (..., 2, 2) and (..., 2); built by doubling."""
    power, found = matrix, np.asarray(column)[None, ..., None]
    while len(found) <= steps:
        found = np.concatenate([found, power @ found])
        power = power @ power
    return found[: steps + 1, ..., 0]


# The best settings


class Tuned(NamedTuple):
    """A learning rate, a momentum, and the factor by which the slowest component shrinks per step with them."""

    lr: Array
    momentum: Array
    rate: Array


def optimal_gd(low: ArrayLike, high: ArrayLike) -> Tuned:
    """Return the best learning rate of gradient descent, 2/(λ₁+λ₂); its rate is (κ−1)/(κ+1).

    Args:
        low, high: the smallest and the largest curvature, 0 < low ≤ high, of shapes that broadcast.

    Raises:
        ValueError: low is not above 0, or high is below low.
    """
    low, high = _ordered(low, high)
    return Tuned(2 / (low + high), np.zeros(np.broadcast(low, high).shape), (high - low) / (high + low))


def optimal_heavy_ball(low: ArrayLike, high: ArrayLike) -> Tuned:
    """Return the best pair of the heavy ball: lr (2/(√λ₁+√λ₂))², μ ((√κ−1)/(√κ+1))², rate √μ (Polyak 1964).

    Args:
        low, high: the smallest and the largest curvature, 0 < low ≤ high, of shapes that broadcast.

    Raises:
        ValueError: low is not above 0, or high is below low.
    """
    low, high = map(np.sqrt, _ordered(low, high))
    rate = (high - low) / (high + low)
    return Tuned((2 / (low + high)) ** 2, rate**2, rate)


def optimal_nesterov(low: ArrayLike, high: ArrayLike) -> Tuned:
    """Return the best pair of Nesterov's momentum on quadratics (Lessard, Recht and Packard 2016, proposition 1).

    lr 4/(3λ₂+λ₁), μ (√(3κ+1)−2)/(√(3κ+1)+2), rate 1 − 2/√(3κ+1).

    Args:
        low, high: the smallest and the largest curvature, 0 < low ≤ high, of shapes that broadcast.

    Raises:
        ValueError: low is not above 0, or high is below low.
    """
    low, high = _ordered(low, high)
    root = np.sqrt(3 * (high / low) + 1)
    return Tuned(4 / (3 * high + low), (root - 2) / (root + 2), 1 - 2 / root)


def textbook_nesterov(low: ArrayLike, high: ArrayLike) -> Tuned:
    """Return the usual pair of Nesterov's momentum: lr 1/λ₂, μ (√κ−1)/(√κ+1), rate 1 − 1/√κ (Nesterov 2004, 2.2.1).

    Args:
        low, high: the smallest and the largest curvature, 0 < low ≤ high, of shapes that broadcast.

    Raises:
        ValueError: low is not above 0, or high is below low.
    """
    low, high = _ordered(low, high)
    root = np.sqrt(high / low)
    shape = np.broadcast(low, high).shape
    return Tuned(np.broadcast_to(1 / high, shape), (root - 1) / (root + 1), 1 - 1 / root)


def best_lrs(
    low: ArrayLike, high: ArrayLike, momentum: ArrayLike = 0.0, *, nesterov: bool = False
) -> tuple[Array, Array]:
    """Return the smallest and the largest learning rate at which the slowest component is fastest, for a given μ.

    Over all curvatures from low to high. Heavy ball: every one from (1−√μ)²/λ₁ to (1+√μ)²/λ₂ has the rate √μ; where
    κ is too large for that, only 2(1+μ)/(λ₁+λ₂), at which both ends shrink alike. Nesterov: only the crossing of the
    two rates between 1/λ₂ and its limit, found by bisection.

    Raises:
        ValueError: low is not above 0, high is below low, or a momentum is not in [0, 1).
    """
    low, high = _ordered(low, high)
    low, high, mu = np.broadcast_arrays(low, high, _stable(momentum))
    if not nesterov:
        root = np.sqrt(mu)
        left, right, both = (1 - root) ** 2 / low, (1 + root) ** 2 / high, 2 * (1 + mu) / (low + high)
        return np.minimum(left, both), np.maximum(right, both)
    left, right = 1 / high, nesterov_limit(high, mu)
    for _ in range(60):
        middle = (left + right) / 2
        steep = quadratic_rates(middle, mu, high, nesterov=True)
        rising = steep > quadratic_rates(middle, mu, low, nesterov=True)
        left, right = np.where(rising, left, middle), np.where(rising, middle, right)
    return left, left


# Regimes

OVERDAMPED, CRITICAL, UNDERDAMPED = "overdamped", "critically damped", "underdamped"
ALTERNATING, LIMIT, DIVERGING = "alternating", "at the limit", "diverging"
_EQUAL = 1e-12  # relative: what rounding leaves of two numbers that are the same


def critical_momentum(lr: ArrayLike, curvature: ArrayLike, *, nesterov: bool = False) -> Array:
    """Return the momentum at which a component is critically damped: the two roots of a step are equal.

    Heavy ball: (1 − √(lr·λ))², below 1 up to its limit at lr·λ = 4. Nesterov: (1 − √(lr·λ))/(1 + √(lr·λ)) up to
    lr·λ = 1; NaN above, where its roots are real at every momentum.

    Raises:
        ValueError: a curvature is not above 0, or a learning rate below 0.
    """
    rate = _checked("lr", lr, np.asarray(lr) >= 0, "a number ≥ 0")
    root = np.sqrt(rate * _curvature(curvature))
    if not nesterov:
        return np.asarray((1 - root) ** 2)
    return np.where(root <= 1, (1 - root) / (1 + root), np.nan)


def regime(
    lr: ArrayLike, momentum: ArrayLike, curvature: ArrayLike, *, nesterov: bool = False
) -> NDArray[np.str_]:
    """Name what a component does in the long run, by the roots of the map of one step.

    overdamped: it decays without a change of sign (roots real, the larger positive); critically damped: the roots are
    equal; underdamped: it swings (a complex pair); alternating: its sign flips at every step (the larger root real and
    negative); at the limit: it neither shrinks nor grows; diverging. Two numbers count as equal up to rounding.

    Args:
        lr, momentum, curvature: shapes that broadcast; the curvature is above 0.

    Raises:
        ValueError: a curvature is not above 0.
    """
    rate = quadratic_rates(lr, momentum, _curvature(curvature), nesterov=nesterov)
    a, mu = np.broadcast_arrays(np.asarray(lr) * np.asarray(curvature), momentum)
    trace = (1 + mu) * (1 - a) if nesterov else (1 - a) + mu
    determinant = mu * (1 - a) if nesterov else mu
    square, product = trace * trace, 4 * determinant
    same = np.abs(square - product) <= _EQUAL * np.maximum(np.maximum(square, np.abs(product)), _EQUAL)
    return np.select(
        [np.abs(rate - 1) <= _EQUAL, ~(rate < 1), same, square < product, trace < 0],
        [LIMIT, DIVERGING, CRITICAL, UNDERDAMPED, ALTERNATING],
        OVERDAMPED,
    )


def steps_predicted(rate: ArrayLike, share: ArrayLike) -> Array:
    """Return how many steps a loss that shrinks by rate² per step takes to the given share of its start.

    A whole number as a float: ln share / (2 ln rate), rounded up; 0 for a share of 1 or more, ∞ where the rate does not
    shrink. The rate is that of the long run: near critical damping, and while several components matter, a run
    takes longer.

    Raises:
        ValueError: a rate is below 0, or a share is not above 0.
    """
    rho = _checked("rate", rate, np.asarray(rate) >= 0, "a number ≥ 0")
    left = _checked("share", share, np.asarray(share) > 0, "a number above 0")
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.ceil(np.log(left) / (2 * np.log(rho)) * (1 - _EQUAL))
    steps = np.where(rho == 0, 1.0, np.where(rho < 1, steps, np.inf))
    return np.where(left >= 1, 0.0, steps)


def measured_rate(path: ArrayLike) -> Array:
    """Measure the factor by which each component of a run shrinks or grows per step.

    The slope of log √(u_t² + u_{t−1}²) over the second half of what is left of the run before it leaves the range of
    floats; two steps together, so that a component that swings through 0 does not look small there.

    Args:
        path: (steps+1, ...), components of the error.

    Returns:
        (...); NaN for a component with fewer than eight such steps.
    """
    u = np.abs(np.asarray(path, dtype=np.float64))
    with np.errstate(all="ignore"):
        size = np.hypot(u[1:], u[:-1])
        usable = np.logical_and.accumulate((size > 1e-290) & (size < 1e290), axis=0)
        count = usable.sum(axis=0)
        t = np.arange(len(size), dtype=float).reshape(-1, *(1,) * (u.ndim - 1))
        weight = usable & (t >= count // 2)
        logs = np.where(weight, np.log(np.where(weight, size, 1.0)), 0.0)
        total = np.maximum(weight.sum(axis=0), 1)
        apart = np.where(weight, t - (weight * t).sum(axis=0) / total, 0.0)
        slope = (apart * logs).sum(axis=0) / (apart * apart).sum(axis=0)
    return np.where(count >= 8, np.exp(np.where(count >= 8, slope, 0.0)), np.nan)


# Noise in the gradient


def noise_variance(
    lr: ArrayLike, momentum: ArrayLike, curvature: ArrayLike, sigma: ArrayLike, *, nesterov: bool = False
) -> Array:
    """Return the variance of a component in the long run when each gradient is λu + σξ, ξ ~ N(0, 1); ∞ if unstable.

    With a = lr·λ, from the discrete Lyapunov equation of one step: heavy ball lr·σ²(1+μ)/(λ(1−μ)(2(1+μ)−a)), which is
    lr·σ²/(λ(2−a)) for gradient descent; Nesterov lr·σ²((1+μ)²(1+μs) + μ²(1+μs) − 2μ(1+μ)²s) / (λ(1−μs)(2(1+μ) −
    (1+2μ)a)) with s = 1 − a. The components of isotropic noise are independent, whatever the axes.

    Args:
        lr, momentum, curvature, sigma: shapes that broadcast; sigma is the standard deviation of each component.

    Raises:
        ValueError: a curvature is not above 0, a momentum is not in [0, 1), or sigma is below 0.
    """
    rate, mu = np.asarray(lr), _stable(momentum)
    lam = _curvature(curvature)
    noise = _checked("sigma", sigma, np.asarray(sigma) >= 0, "a number ≥ 0")
    a = rate * lam
    if nesterov:
        s = 1 - a
        above = ((1 + mu) ** 2 + mu**2) * (1 + mu * s) - 2 * mu * (1 + mu) ** 2 * s
        below = (1 - mu * s) * (2 * (1 + mu) - (1 + 2 * mu) * a)
    else:
        above, below = (1 + mu) + 0 * a, (1 - mu) * (2 * (1 + mu) - a)
    stable = below > 0
    variance = rate * noise**2 * above / (lam * np.where(stable, below, 1.0))
    return np.where(stable | (rate * noise == 0), variance, np.inf)


@dataclass(frozen=True)
class Moments:
    """Mean and variance of every eigen-component at every step, (steps+1, ..., d) each, over the draws of the noise."""

    mean: Array
    variance: Array

    def loss(self, eigenvalues: ArrayLike) -> Array:
        """Return the expected loss ½ Σ λᵢ(meanᵢ² + varianceᵢ) at every step, (steps+1, ...)."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss: Array = 0.5 * (np.asarray(eigenvalues) * (self.mean**2 + self.variance)).sum(axis=-1)
        return loss


def moments(
    lr: ArrayLike,
    momentum: ArrayLike,
    eigenvalues: ArrayLike,
    start: ArrayLike,
    sigma: ArrayLike,
    steps: int,
    *,
    nesterov: bool = False,
) -> Moments:
    """Return the exact first two moments of a run whose gradients are λᵢuᵢ + σξ, ξ ~ N(0, 1).

    The mean is the run without noise. A draw of noise enters once and is then carried along by the map of a step, so
    the variance at step t is σ² times the sum of the first t squared responses to a unit of noise.

    Args:
        lr, momentum, eigenvalues, sigma: of shapes that broadcast with start.
        start: u₀ of shape (..., d), in the eigenbasis.
        steps: number of steps.

    Returns:
        (steps+1, ..., d) each; inf or NaN where it overflows.
    """
    rate, mu, curvature, noise, u = np.broadcast_arrays(lr, momentum, eigenvalues, sigma, start)
    mean = momentum_path_quadratic(rate, mu, curvature, u, steps, nesterov=nesterov)
    entry = np.stack([-rate * ((1 + mu) if nesterov else np.ones_like(mu)), np.ones_like(rate)], -1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        response = _powers(_step_matrix(rate, mu, curvature, nesterov), entry, max(steps - 1, 0))[..., 0]
        gathered = noise**2 * np.cumsum(response[:steps] ** 2, axis=0)
    gathered = np.where(noise == 0, 0.0, gathered)
    return Moments(mean, np.concatenate([np.zeros((1, *u.shape)), gathered]))


@dataclass(frozen=True)
class NoisyBowl:
    """The problem ½ Σ λᵢuᵢ² in its eigenbasis, with the exact gradient, or one with noise of standard deviation σ.

    ``f`` maps (..., d) → (...). ``grad(u)`` is exact; ``grad(u, t, rng)`` adds σ times a standard normal draw to every
    component of every run.
    """

    eigenvalues: Array
    sigma: float = 0.0

    def f(self, w: Array) -> Array:
        """Return the loss without noise, (..., d) → (...)."""
        loss: Array = 0.5 * (self.eigenvalues * w * w).sum(axis=-1)
        return loss

    def grad(self, w: Array, t: int = 0, rng: np.random.Generator | None = None) -> Array:
        """Return the gradient, with noise if there is an rng, (..., d) → (..., d)."""
        exact = self.eigenvalues * w
        return exact if rng is None else exact + self.sigma * rng.standard_normal(w.shape)


# Checks


def _ordered(low: ArrayLike, high: ArrayLike) -> tuple[Array, Array]:
    """Check that 0 < λ₁ ≤ λ₂."""
    bottom, top = np.broadcast_arrays(_curvature(low), high)
    if not np.all(top >= bottom):
        raise ValueError(f"high = {top[top < bottom].flat[0]}: needs a number ≥ low")
    return bottom, top


def _curvature(curvature: ArrayLike) -> Array:
    """Check that λ > 0."""
    return _checked("curvature", curvature, np.asarray(curvature) > 0, "a number above 0")


def _stable(momentum: ArrayLike) -> Array:
    """Check that 0 ≤ μ < 1, without which no learning rate converges."""
    mu = np.asarray(momentum)
    return _checked("momentum", momentum, (mu >= 0) & (mu < 1), "a number ≥ 0 and < 1")


def _checked(name: str, value: ArrayLike, allowed: NDArray[np.bool_], needs: str) -> Array:
    """Return the value as an array, or refuse it."""
    array = np.asarray(value)
    if not np.all(allowed):
        raise ValueError(f"{name} = {array[~allowed].flat[0]}: needs {needs}")
    return array


@dataclass(frozen=True)
class LinearTheory:
    """What theory knows of a rule that is linear on a quadratic, beside the rule's own knobs (lr, momentum).

    ``limit(λ, knobs)`` is the largest stable learning rate, ``formula`` its LaTeX for the largest curvature λ₂;
    ``path(eigenvalues, start, steps, knobs)`` the exact iterates (steps+1, d) in the eigenbasis;
    ``rates(eigenvalues, knobs)`` the factor a step of every eigencomponent in the long run; ``optimal(λ₁, λ₂)`` the best
    settings for the curvatures between two. ``nesterov`` is what the functions of this module take. None of it holds
    with weight decay or dampening.
    """

    limit: Callable[[ArrayLike, Settings], Array]
    path: Callable[[Array, Array, int, Settings], Array]
    rates: Callable[[Array, Settings], Array]
    formula: str
    optimal: Callable[[ArrayLike, ArrayLike], Tuned]
    nesterov: bool = False


GD_THEORY = LinearTheory(
    lambda curvature, k: gd_limit(curvature),
    lambda eigenvalues, start, steps, k: gd_path_quadratic(k["lr"], eigenvalues, start, steps),
    lambda eigenvalues, k: quadratic_rates(k["lr"], 0.0, eigenvalues),
    r"2/\lambda_2",
    optimal_gd,
)
HEAVY_BALL_THEORY = LinearTheory(
    lambda curvature, k: heavy_ball_limit(curvature, k["momentum"]),
    lambda eigenvalues, start, steps, k: momentum_path_quadratic(
        k["lr"], k["momentum"], eigenvalues, start, steps
    ),
    lambda eigenvalues, k: quadratic_rates(k["lr"], k["momentum"], eigenvalues),
    r"2(1+\mu)/\lambda_2",
    optimal_heavy_ball,
)
NESTEROV_THEORY = LinearTheory(
    lambda curvature, k: nesterov_limit(curvature, k["momentum"]),
    lambda eigenvalues, start, steps, k: momentum_path_quadratic(
        k["lr"], k["momentum"], eigenvalues, start, steps, nesterov=True
    ),
    lambda eigenvalues, k: quadratic_rates(k["lr"], k["momentum"], eigenvalues, nesterov=True),
    r"2(1+\mu)/((1+2\mu)\lambda_2)",
    optimal_nesterov,
    nesterov=True,
)
