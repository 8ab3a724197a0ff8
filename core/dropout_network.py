"""Dropout in a small network: one input under many masks, forward and backward, and two inputs that say the same.

Dropout is inverted throughout. The masks multiply what a layer hands on: a⁰ = x with the rate of the inputs, and the
hidden activations a¹ … a^{L−1}; the output has none. p is p_drop; p_keep = 1 − p.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.dropout import draw_mask, drop, drop_backward, evaluate
from core.dropout_ensemble import MOST_UNITS, all_masks, mask_probability
from core.network import SQUARED_ERROR, Loss, Params
from core.streams import stream

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Places of the streams of a seed; the network's own draws have (0, layer).
_MASKS, _MEAN, _TWINS = 21, 22, 23
_DRAWN = 4096  # masks behind a mean that cannot be enumerated


# One input, many masks


@dataclass(frozen=True)
class MaskedPass:
    """T passes of one input through the same network, each under masks of its own; L layers of weights.

    Attributes:
        masks: (T, units) for the layers 0 … L − 1, True where a unit is kept.
        activations: a⁰ … a^{L−1}, each (T, units), as the next layer sees them: 0 where dropped, else scaled.
        output: (T, outputs).
        loss: (T,).
        deltas: (T, units) for the layers 0 … L: dL/dx, then dL/dz of every layer.
        gradient: of the loss by parameter, with the leading axis (T,): each mask its own.
    """

    masks: tuple[Mask, ...]
    activations: tuple[Array, ...]
    output: Array
    loss: Array
    deltas: tuple[Array, ...]
    gradient: Params


def _check(params: Params, x: Array, rates: Sequence[float]) -> None:
    sizes = params.sizes
    if x.shape != (sizes[0],):
        raise ValueError(f"x has shape {x.shape}: needs ({sizes[0]},)")
    if len(rates) != len(sizes) - 1:
        raise ValueError(
            f"rates = {tuple(rates)}: needs {len(sizes) - 1}, the inputs' and each hidden layer's"
        )


def draw_masks(sizes: Sequence[int], rates: Sequence[float], steps: int, seed: int) -> tuple[Mask, ...]:
    """Draw the masks of T training steps, (T, units) for every layer but the output.

    A layer has its own stream at every step: more steps and more layers extend what was drawn, more units extend a
    row, and another rate moves the same uniforms.

    Args:
        sizes: units of every layer, the input first and the output last.
        rates: p_drop of the inputs and of every hidden layer.
        steps: T, from 1.
        seed: a non-negative integer.
    """
    if steps < 1 or steps != int(steps):
        raise ValueError(f"steps = {steps}: needs a whole number from 1")
    return tuple(
        np.stack([draw_mask(units, rate, stream(seed, _MASKS, step, layer)) for step in range(1, steps + 1)])
        for layer, (units, rate) in enumerate(zip(sizes[:-1], rates, strict=True))
    )


def masked_pass(
    params: Params,
    x: ArrayLike,
    target: ArrayLike,
    activation: Activation,
    *,
    rates: Sequence[float],
    masks: Sequence[Mask],
    loss: Loss = SQUARED_ERROR,
) -> MaskedPass:
    """Send one input up under T masks, and the gradient of the loss down again through the same masks.

    Args:
        params: one network, without leading axes.
        x: (inputs,).
        target: (outputs,).
        activation: φ of the hidden layers.
        rates: p_drop of the inputs and of every hidden layer, L numbers from 0 to 1.
        masks: (T, units) for the inputs and every hidden layer, for example from ``draw_masks``.
        loss: of output and target.

    Raises:
        ValueError: input, rates or masks do not fit the network.
    """
    given = np.asarray(x, dtype=np.float64)
    _check(params, given, rates)
    if len(masks) != len(rates) or {mask.shape for mask in masks} != {
        (len(masks[0]), units) for units in params.sizes[:-1]
    }:
        raise ValueError(
            f"masks have shapes {[m.shape for m in masks]}: need (T, units) of {params.sizes[:-1]}"
        )

    def down(layer: int, dy: Array) -> Array:
        return drop_backward(dy, rates[layer], masks[layer])

    def up(layer: int, a: Array) -> Array:
        return drop(a, rates[layer], masks[layer])

    return _through(params, given, target, activation, loss, tuple(masks), up, down)


def evaluated_pass(
    params: Params,
    x: ArrayLike,
    target: ArrayLike,
    activation: Activation,
    *,
    rates: Sequence[float],
    loss: Loss = SQUARED_ERROR,
) -> MaskedPass:
    """Send one input up in evaluation: all units, no mask; T = 1.

    The gradient is that of the whole network, which a training step under a mask never takes.

    Args:
        params, x, target, activation, rates, loss: as for ``masked_pass``.

    Raises:
        ValueError: input or rates do not fit the network.
    """
    given = np.asarray(x, dtype=np.float64)
    _check(params, given, rates)

    def scaled(layer: int, a: Array) -> Array:
        return evaluate(a, rates[layer])

    everything = tuple(np.ones((1, units), dtype=np.bool_) for units in params.sizes[:-1])
    return _through(params, given, target, activation, loss, everything, scaled, scaled)


def _through(
    params: Params,
    x: Array,
    target: ArrayLike,
    activation: Activation,
    loss: Loss,
    masks: tuple[Mask, ...],
    up: Callable[[int, Array], Array],
    down: Callable[[int, Array], Array],
) -> MaskedPass:
    """Send x up and the gradient down; ``up`` and ``down`` are dropout at a layer, on a and on dL/da."""
    steps = len(masks[0])
    a = up(0, np.broadcast_to(x, (steps, len(x))))
    activations, pre = [a], []
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        z = a @ weight + bias
        pre.append(z)
        if layer < len(params.weights):
            a = up(layer, activation.f(z))
            activations.append(a)
    output = pre[-1][:, None, :]  # a mask is a batch of one point
    truth = np.broadcast_to(np.asarray(target, dtype=np.float64), output.shape)
    delta = loss.gradient(output, truth)[:, 0, :]
    deltas = [delta]
    for layer in reversed(range(len(params.weights))):
        back = down(layer, delta @ params.weights[layer].T)
        delta = back * activation.df(pre[layer - 1]) if layer else back
        deltas.append(delta)
    deltas.reverse()
    weights = tuple(a[:, :, None] * d[:, None, :] for a, d in zip(activations, deltas[1:], strict=True))
    return MaskedPass(
        masks=masks,
        activations=tuple(activations),
        output=pre[-1],
        loss=loss.value(output, truth),
        deltas=tuple(deltas),
        gradient=Params(weights, tuple(deltas[1:])),
    )


class MeanOutput(NamedTuple):
    """The output averaged over masks.

    ``mean`` (outputs,); ``standard_error`` (outputs,), 0 where all masks were enumerated; ``masks``: how many passes it
    took.
    """

    mean: Array
    standard_error: Array
    masks: int


def mean_output(
    params: Params, x: ArrayLike, activation: Activation, *, rates: Sequence[float], seed: int = 0
) -> MeanOutput:
    """Average the output in training over all masks, by their probabilities.

    The output is linear in the last hidden layer's mask, which is independent of the others: its mean is evaluation of
    that layer, exactly. The layers below are enumerated if they have up to 12 units that may be dropped, otherwise
    4,096 of their masks are drawn.

    Args:
        params, x, activation, rates: as for ``masked_pass``.
        seed: of the masks, where they are drawn.

    Raises:
        ValueError: input or rates do not fit the network.
    """
    given = np.asarray(x, dtype=np.float64)
    _check(params, given, rates)
    below = [*rates[:-1], 0.0]
    units = params.sizes[:-1]
    dropped = [n if rate > 0 else 0 for n, rate in zip(units, below, strict=True)]
    if sum(dropped) > MOST_UNITS:
        masks = [
            draw_mask((_DRAWN, n), rate, stream(seed, _MEAN, layer))
            for layer, (n, rate) in enumerate(zip(units, below, strict=True))
        ]
        weight = np.full(_DRAWN, 1 / _DRAWN)
    else:
        every = all_masks(sum(dropped)) if sum(dropped) else np.ones((1, 0), dtype=np.bool_)
        weight, masks, at = np.ones(len(every)), [], 0
        for n, rate, count in zip(units, below, dropped, strict=True):
            part = every[:, at : at + count]
            at += count
            weight = weight * (mask_probability(part, rate) if count else 1.0)
            masks.append(part if count else np.ones((len(every), n), dtype=np.bool_))
    target = np.zeros(params.sizes[-1])
    output = masked_pass(params, given, target, activation, rates=below, masks=masks).output
    error = np.zeros(output.shape[1])
    if sum(dropped) > MOST_UNITS:
        error = output.std(axis=0, ddof=1) / math.sqrt(_DRAWN)
    return MeanOutput(weight @ output, error, len(weight))


def cut_off(sizes: Sequence[int], rates: Sequence[float]) -> float:
    """Return the probability that some layer is dropped as a whole, so that nothing of the input arrives.

    Args:
        sizes: units of every layer, the input first and the output last.
        rates: p_drop of the inputs and of every hidden layer.
    """
    return 1 - math.prod(1 - rate**units for units, rate in zip(sizes[:-1], rates, strict=True))


# Two inputs that say the same


class TwinsTheory(NamedTuple):
    """Expected weights (steps + 1, 2) on the way, and the weight of either input at the minimum."""

    weights: Array
    limit: float


def twins_rate(p: float) -> float:
    """Return a learning rate that suits two twins at this p: 0.1/(2 + p/(1 − p)), and 0 at p = 1."""
    _check_p(p)
    return 0.1 / (2 + p / (1 - p)) if p < 1 else 0.0


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to 1")


def two_twins_theory(
    *, p: float, steps: int, rate: float, start: tuple[float, float] = (1.0, 0.0)
) -> TwinsTheory:
    """Return the expected path of ``two_twins``.

    Over masks the loss is (1 − w₁ − w₂)² + λ(w₁² + w₂²), λ = p/(1 − p): dropout on the inputs of a linear unit is an
    L2 penalty. Its gradient is affine in w and the masks of a step are independent of w, so the mean path is gradient
    descent on it: w₁ − w₂ shrinks by 1 − 2ηλ a step, and w₁ + w₂ goes to 2/(2 + λ) by 1 − η(4 + 2λ). Without dropout
    λ = 0, and the difference stays for ever.

    Args:
        p: probability to drop; at 1 no gradient is left, and the weights stay.
        steps: number of updates, from 0.
        rate: η.
        start: w₁ and w₂ at step 0.
    """
    _check_p(p)
    if p == 1:
        return TwinsTheory(np.tile(np.asarray(start, dtype=np.float64), (steps + 1, 1)), float("nan"))
    penalty = p / (1 - p)
    step = np.arange(steps + 1)
    limit = 1 / (2 + penalty)
    difference = (start[0] - start[1]) * (1 - 2 * rate * penalty) ** step
    total = 2 * limit + (start[0] + start[1] - 2 * limit) * (1 - rate * (4 + 2 * penalty)) ** step
    return TwinsTheory(np.stack([total + difference, total - difference], axis=1) / 2, limit)


def two_twins(
    *,
    p: float,
    steps: int = 120,
    rate: float | None = None,
    runs: int = 200,
    batch: int = 32,
    start: tuple[float, float] = (1.0, 0.0),
    seed: int = 0,
) -> Array:
    """Train a linear unit on two identical inputs under dropout, many runs at once, and return every weight.

    Both inputs are x = ±1 with equal probability and the target is x, so every w₁ + w₂ = 1 fits; the loss is the
    squared error averaged over a batch, each example with a mask of its own. Runs differ in examples and masks, and
    more runs or steps extend what was drawn.

    Args:
        p: probability to drop an input; 0 is plain gradient descent.
        steps: number of updates, from 0.
        rate: learning rate, ``twins_rate(p)`` if not given.
        runs: R, from 1.
        batch: examples a step, from 1.
        start: w₁ and w₂ at step 0.
        seed: a non-negative integer.

    Returns:
        (steps + 1, R, 2).
    """
    _check_p(p)
    for name, value, least in (("steps", steps, 0), ("runs", runs, 1), ("batch", batch, 1)):
        if value < least or value != int(value):
            raise ValueError(f"{name} = {value}: needs a whole number from {least}")
    eta = twins_rate(p) if rate is None else rate
    weights = np.empty((steps + 1, runs, 2))
    weights[0] = start
    for step in range(1, steps + 1):
        # The runs come first in both arrays, so that more of them only extend what is drawn.
        x = np.where(stream(seed, _TWINS, step, 0).random((runs, batch)) < 0.5, -1.0, 1.0)
        mask = draw_mask((runs, batch, 2), p, stream(seed, _TWINS, step, 1))
        seen = drop(np.repeat(x[..., None], 2, axis=-1), p, mask)
        w = weights[step - 1]
        residual = (seen @ w[:, :, None])[..., 0] - x
        gradient = 2 * (residual[..., None] * seen).mean(axis=1)
        weights[step] = w - eta * gradient
    return weights


def error_without(weights: ArrayLike) -> Array:
    """Return the squared error in evaluation of two twins: with both inputs, without the first, without the second.

    Args:
        weights: (..., 2).

    Returns:
        (..., 3), for x² = 1 and the target x.
    """
    w = np.asarray(weights, dtype=np.float64)
    left = np.stack([w.sum(axis=-1), w[..., 1], w[..., 0]], axis=-1)
    return np.asarray((1 - left) ** 2)
