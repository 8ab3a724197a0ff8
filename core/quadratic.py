"""Closed forms on the quadratic ½ Σ λᵢuᵢ², where every coordinate of the eigenbasis runs on its own.

Limits of the learning rate, factors a step and exact iterates of the rules that are linear there: gradient
descent, the heavy ball and Nesterov's momentum (PyTorch forms). Sources: Polyak 1964; Goh 2017, Why Momentum
Really Works, Distill.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
    if nesterov:
        first_row = [1 - rate * curvature * (1 + mu), -rate * mu * mu]
    else:
        first_row = [1 - rate * curvature, -rate * mu]
    power = np.stack([np.stack(first_row, -1), np.stack([curvature, mu], -1)], -2)  # (..., d, 2, 2)
    units = np.zeros((1, *u.shape, 2, 1))
    units[..., 0, 0] = 1.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        while len(units) <= steps:
            units = np.concatenate([units, power @ units])
            power = power @ power
        return np.where(u == 0, 0.0, units[: steps + 1, ..., 0, 0] * u)


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
    ``rates(eigenvalues, knobs)`` the factor a step of every eigencomponent in the long run. None of it holds with
    weight decay or dampening.
    """

    limit: Callable[[ArrayLike, Settings], Array]
    path: Callable[[Array, Array, int, Settings], Array]
    rates: Callable[[Array, Settings], Array]
    formula: str


GD_THEORY = LinearTheory(
    lambda curvature, k: gd_limit(curvature),
    lambda eigenvalues, start, steps, k: gd_path_quadratic(k["lr"], eigenvalues, start, steps),
    lambda eigenvalues, k: quadratic_rates(k["lr"], 0.0, eigenvalues),
    r"2/\lambda_2",
)
HEAVY_BALL_THEORY = LinearTheory(
    lambda curvature, k: heavy_ball_limit(curvature, k["momentum"]),
    lambda eigenvalues, start, steps, k: momentum_path_quadratic(
        k["lr"], k["momentum"], eigenvalues, start, steps
    ),
    lambda eigenvalues, k: quadratic_rates(k["lr"], k["momentum"], eigenvalues),
    r"2(1+\mu)/\lambda_2",
)
NESTEROV_THEORY = LinearTheory(
    lambda curvature, k: nesterov_limit(curvature, k["momentum"]),
    lambda eigenvalues, start, steps, k: momentum_path_quadratic(
        k["lr"], k["momentum"], eigenvalues, start, steps, nesterov=True
    ),
    lambda eigenvalues, k: quadratic_rates(k["lr"], k["momentum"], eigenvalues, nesterov=True),
    r"2(1+\mu)/((1+2\mu)\lambda_2)",
)
