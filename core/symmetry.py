"""Units that start equal: a small network on XOR, from four starts, and what theory says of it.

The network computes z = c + Σⱼ vⱼ·φ(wⱼ·x + bⱼ) with H hidden units, and is trained on all four points by plain
gradient descent on the cross-entropy. Every unit is computed by the same operations in the same order, without a
matrix product, whose rounding may depend on the column: what starts equal stays equal to the last bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.activations import Activation, KnobValue
from core.network import CROSS_ENTROPY
from core.properties import second_derivative
from core.streams import stream

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Knobs = Mapping[str, KnobValue]

POINTS: Array = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS: Array = np.array([0.0, 1.0, 1.0, 0.0])
TOLERANCE = 0.05
"""Two units count as one if w₁, w₂ and b of the one are within this of those of the other."""

W1, W2, B, V = range(4)  # places on the last axis of ``SymmetryRun.units``

COIN = float(np.log(2))
"""The loss of a network that gives every point the same output, at best: the classes are balanced."""

ONE_UNIT = float(0.75 * np.log(3) - 0.5 * np.log(2))
"""Infimum of the loss of one unit with a monotone φ, ¾ ln 3 − ½ ln 2 = 0.4774.

Along any direction of the plane an XOR point of one class comes first or last, or both: the labels in order are 0, 1,
1, 0 or 1, 0, 0, 1, with ties at most. A monotone output can at best separate the first of them (or the last) and give
the other three their mean, 1/3 or 2/3.
"""


@dataclass(frozen=True)
class Start:
    """How the weights w₁, w₂, v of every unit start: mean(constant, noise) + spread(constant, noise)·N(0, 1)."""

    name: str
    mean: Callable[[float, float], float]
    spread: Callable[[float, float], float]


_ENTRIES = (
    Start("zeros", lambda constant, noise: 0.0, lambda constant, noise: 0.0),
    Start("constant", lambda constant, noise: constant, lambda constant, noise: 0.0),
    Start("constant + noise", lambda constant, noise: constant, lambda constant, noise: noise),
    Start("random", lambda constant, noise: 0.0, lambda constant, noise: constant),
)

STARTS: dict[str, Start] = {entry.name: entry for entry in _ENTRIES}
"""The four starts. The biases are 0 in all of them; a random weight has the root mean square of the constant."""


@dataclass(frozen=True)
class SymmetryRun:
    """A run of S starts; index t of the first axis is after t updates, T in all.

    Attributes:
        units: (T+1, S, H, 4), of every hidden unit w₁, w₂, b and v.
        loss: (T+1, S).
        distinct: (T+1, S), how many units differ (``distinct_units``); 0 where a number is not finite.
        spread: (T+1, S), the largest difference between two units in w₁, w₂ or b.
        gradient: (S,), the largest entry of the first gradient, by size.
        diverged_at: (S,), the first step with a number that is not finite, −1 if there is none.
    """

    units: Array
    loss: Array
    distinct: Ints
    spread: Array
    gradient: Array
    diverged_at: Ints


def start_units(starts: Sequence[Start], *, units: int, constant: float, noise: float, seed: int) -> Array:
    """Draw where the units start: (S, units, 4) with w₁, w₂, b = 0 and v.

    Every unit has a stream of its own, shared by the starts, so that more units add to those there are.

    Raises:
        ValueError: units is below 1.
    """
    if units < 1 or units % 1 != 0:
        raise ValueError(f"units = {units}: needs a whole number from 1")
    draws = np.stack([stream(seed, unit).standard_normal(3) for unit in range(units)])
    result = np.zeros((len(starts), units, 4))
    for s, start in enumerate(starts):
        result[s][:, [W1, W2, V]] = start.mean(constant, noise) + start.spread(constant, noise) * draws
    return result


def distinct_units(units: Array, tolerance: float = TOLERANCE) -> Ints:
    """Count the units that compute something of their own.

    Two units are the same if their w₁, w₂ and b differ by at most ``tolerance``, or if a chain of such pairs leads
    from one to the other. The outgoing weight does not matter: it only says how much the output listens.

    Args:
        units: (..., H, 4) or (..., H, 3), w₁, w₂ and b first.
        tolerance: 0 or more.

    Returns:
        (...), from 1 to H; 0 where a number is not finite.
    """
    own = units[..., :V]
    count = own.shape[-2]
    with np.errstate(invalid="ignore"):
        near = (np.abs(own[..., :, None, :] - own[..., None, :, :]) <= tolerance).all(axis=-1)
    first = np.broadcast_to(np.arange(count), own.shape[:-1])
    while True:  # every unit takes the smallest number among its neighbors, until nothing moves
        lower = np.where(near, first[..., None, :], count).min(axis=-1)
        if np.array_equal(lower, first):
            break
        first = lower
    found = np.asarray((first == np.arange(count)).sum(axis=-1), dtype=np.intp)
    return np.where(np.isfinite(own).all(axis=(-2, -1)), found, 0)


@np.errstate(all="ignore")  # an overflow is a result with a step number
def train_xor(
    activation: Activation,
    starts: Sequence[Start],
    *,
    units: int,
    constant: float,
    noise: float,
    lr: float,
    steps: int,
    seed: int = 0,
    knobs: Knobs | None = None,
) -> SymmetryRun:
    """Train one network for every start, all at once, by gradient descent on all four points.

    Args:
        activation: φ of the hidden units.
        starts: entries of ``STARTS``.
        units: hidden units H, 1 or more.
        constant: what equal weights are equal to; the standard deviation of random ones.
        noise: standard deviation of what "constant + noise" adds.
        lr: learning rate η.
        steps: number of updates T, 0 or more.
        seed: of the draws.
        knobs: parameters of φ.

    Raises:
        ValueError: units or steps is out of range.
    """
    if steps < 0 or steps % 1 != 0:
        raise ValueError(f"steps = {steps}: needs a whole number from 0")
    now = start_units(starts, units=units, constant=constant, noise=noise, seed=seed)
    c = np.zeros((len(starts), 1))
    kept = np.empty((steps + 1, *now.shape))
    loss = np.empty((steps + 1, len(starts)))
    gradient = np.zeros(len(starts))
    bad = np.zeros((steps + 1, len(starts)), dtype=bool)
    target = LABELS[:, None]
    x1, x2 = POINTS[:, :1], POINTS[:, 1:]
    for step in range(steps + 1):
        w1, w2, b, v = (now[:, None, :, place] for place in range(4))  # (S, 1, H)
        z = x1 * w1 + x2 * w2 + b
        a = activation.f(z, **(knobs or {}))
        output = (a * v).sum(axis=-1) + c  # (S, 4)
        kept[step] = now
        loss[step] = CROSS_ENTROPY.value(output[..., None], target)
        bad[step] = ~(np.isfinite(loss[step]) & np.isfinite(now).all(axis=(-2, -1)) & np.isfinite(c[:, 0]))
        if step == steps and step:
            break
        top = CROSS_ENTROPY.gradient(output[..., None], target)  # (S, 4, 1)
        delta = top * v * activation.df(z, **(knobs or {}))
        slope = np.stack(
            [(delta * x1).sum(axis=1), (delta * x2).sum(axis=1), delta.sum(axis=1), (top * a).sum(axis=1)],
            axis=-1,
        )
        top_sum = top.sum(axis=1)
        if step == 0:
            gradient = np.maximum(np.abs(slope).max(axis=(-2, -1)), np.abs(top_sum[:, 0]))
        now = now - lr * slope
        c = c - lr * top_sum
    own = kept[..., :V]
    spread = (own.max(axis=-2) - own.min(axis=-2)).max(axis=-1)
    diverged = np.where(bad.any(axis=0), bad.argmax(axis=0), -1)
    return SymmetryRun(kept, loss, distinct_units(kept), spread, gradient, diverged)


class OneUnit(NamedTuple):
    """What theory says of H units that start equal, after t = 0 … T updates."""

    unit: Array  # (T+1, 4): w₁, w₂, b and v of every one of them
    loss: Array  # (T+1,)
    growth: Array  # (T+1, 4, 4): what a small difference between two units has become, d(t) = growth[t]·d(0)


@np.errstate(all="ignore")
def one_unit_theory(
    activation: Activation,
    *,
    units: int,
    constant: float,
    lr: float,
    steps: int,
    knobs: Knobs | None = None,
) -> OneUnit:
    """Follow H equal units as the single unit that they are, and a small difference between two of them.

    The unit has the outgoing weight V = H·v and trains with the rate H·η for V and η/H for w and b.

    To first order a difference d = (Δw₁, Δw₂, Δb, Δv) leaves the output alone, as the differences from the mean unit
    sum to 0. So it meets the gradient of its own unit only: d ← (I − η·A)·d, with
    A = Σᵢ gᵢ·[[v·φ″(zᵢ)·x̃ᵢx̃ᵢᵀ, φ′(zᵢ)·x̃ᵢ], [φ′(zᵢ)·x̃ᵢᵀ, 0]], x̃ = (x₁, x₂, 1) and g the gradient of the loss by the
    output. At a kink φ″ counts as 0.

    Args: as for ``train_xor``.
    """
    extended = np.column_stack([POINTS, np.ones(4)])  # (4, 3)
    w, total, c = np.array([constant, constant, 0.0]), units * constant, 0.0
    unit, pre, tops = np.empty((steps + 1, 4)), np.empty((steps + 1, 4)), np.empty((steps + 1, 4))
    loss = np.empty(steps + 1)
    slopes = np.empty((steps + 1, 4))
    for step in range(steps + 1):
        z = extended @ w
        a, slope = activation.f(z, **(knobs or {})), activation.df(z, **(knobs or {}))
        output = (c + total * a)[:, None]
        top = CROSS_ENTROPY.gradient(output, LABELS[:, None])[:, 0]
        loss[step] = CROSS_ENTROPY.value(output, LABELS[:, None])
        unit[step, :V], unit[step, V] = w, total / units
        pre[step], slopes[step], tops[step] = z, slope, top
        move = total * ((top * slope) @ extended)
        w, total, c = w - lr / units * move, total - lr * units * float(top @ a), c - lr * float(top.sum())
    bend = np.nan_to_num(second_derivative(activation, pre, knobs), nan=0.0)  # type: ignore[arg-type]
    block = np.zeros((steps + 1, 4, 4))
    block[:, :V, :V] = np.einsum("ti,ij,ik->tjk", tops * unit[:, V:] * bend, extended, extended)
    block[:, :V, V] = block[:, V, :V] = (tops * slopes) @ extended
    growth = np.empty((steps + 1, 4, 4))
    growth[0] = np.eye(4)
    for step in range(steps):
        growth[step + 1] = growth[step] - lr * (block[step] @ growth[step])
    return OneUnit(unit, loss, growth)


def spread_theory(theory: OneUnit, start: Array) -> Array:
    """Return the largest difference between two units in w₁, w₂ or b, to first order: (H, 4) → (T+1,)."""
    with np.errstate(all="ignore"):
        units = (start - start.mean(axis=0)) @ theory.growth.mT
        own = units[..., :V]
        return np.asarray((own.max(axis=-2) - own.min(axis=-2)).max(axis=-1))


def first_step(holds: NDArray[np.bool_]) -> int | None:
    """Return the first index at which it holds, None if there is none."""
    return int(holds.argmax()) if holds.any() else None
