"""How well a gradient says what lies ahead, and how much the updates of some layers change the gradients of others.

Santurkar, Tsipras, Ilyas and Madry 2018, How does batch normalization help optimization? They ask of a network
with and without batch normalization two different things: by how much the layers below move the problem that a
layer solves (their measure of internal covariate shift), and how far along its own direction a gradient can be
trusted (smoothness).

Points and gradients have shape (..., d): all parameters of a network in one vector, the leading axes ... are
networks, or anything else. A function that is passed in takes (..., d) with any leading axes; more of them are
put in front. Overflow gives inf or NaN, never a warning.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.batchnorm_network import BNParams, cross_entropy, forward, loss_and_gradient

Array = NDArray[np.floating[Any]]

_quiet = np.errstate(all="ignore")


class GradientChange(NamedTuple):
    """How a gradient changes along its own direction; S sizes of a step.

    Attributes:
        distance: (S, ...), ‖g(w) − g(w − η·g(w))‖, the gradient predictiveness of the paper: the smaller, the
            further the gradient can be trusted.
        cosine: (S, ...), of the angle between the two; NaN where one of them is 0.
        smoothness: (...), the effective β: the largest ratio of ``distance`` to the way η·‖g(w)‖ among the S
            steps. A lower bound on the gradient's Lipschitz constant, and equal to the curvature along g for a
            quadratic in one dimension. NaN where the gradient is 0.
    """

    distance: Array
    cosine: Array
    smoothness: Array


class CovariateShift(NamedTuple):
    """What the layers below do to the gradient of a layer; L layers, the lowest first.

    Attributes:
        distance: (L, ...), ‖G − G′‖ with G the gradient of the layer before an update and G′ its gradient after
            the layers below it alone are updated. 0 for the lowest, which has none below.
        size: (L, ...), ‖G‖.
        cosine: (L, ...), of the angle between G and G′; NaN where one of them is 0.
    """

    distance: Array
    size: Array
    cosine: Array


@_quiet
def loss_along_gradient(
    loss: Callable[[Array], Array], point: ArrayLike, gradient: ArrayLike, steps: ArrayLike
) -> Array:
    """Return the loss at w − η·g for each step η.

    Source: Santurkar et al. 2018, figure 4(a), where the band between the lowest and the highest of them is the
    variation of the loss.

    Args:
        loss: (..., d) → (...).
        point: w, (..., d).
        gradient: g, (..., d), of the loss at w.
        steps: η, (S,).

    Returns:
        (S, ...).

    Raises:
        ValueError: shapes do not fit, or a step is not a finite number.
    """
    ahead, _ = _ahead(point, gradient, steps)
    return np.asarray(loss(ahead))


@_quiet
def gradient_change(
    gradient: Callable[[Array], Array], point: ArrayLike, at: ArrayLike, steps: ArrayLike
) -> GradientChange:
    """Measure how far a gradient is from the one at w − η·g, for each step η.

    Source: Santurkar et al. 2018, figure 4(b, c): gradient predictiveness and effective β-smoothness.

    Args:
        gradient: (..., d) → (..., d).
        point: w, (..., d).
        at: g, (..., d), the gradient at w.
        steps: η, (S,), above 0.

    Raises:
        ValueError: shapes do not fit, or a step is not a finite number above 0.
    """
    sizes = np.asarray(steps, dtype=float)
    if not np.all(sizes > 0):
        raise ValueError(f"steps = {sizes}: needs numbers above 0")
    ahead, start = _ahead(point, at, steps)
    there = gradient(ahead)
    distance = _norm(there - start)
    way = sizes.reshape(-1, *[1] * (start.ndim - 1)) * _norm(start)
    ratio = np.where(way > 0, distance / way, np.nan)
    return GradientChange(distance, _cosine(there, start), np.max(ratio, axis=0))


@_quiet
def covariate_shift(
    gradient: Callable[[Array], Array], before: ArrayLike, after: ArrayLike, layers: Sequence[slice]
) -> CovariateShift:
    """Measure internal covariate shift: the change of each layer's gradient by the update of the layers below it.

    Source: Santurkar et al. 2018, definition 2.1. Both gradients are of the same batch: pass a function that
    holds it.

    Args:
        gradient: (..., d) → (..., d), of the loss on one batch.
        before: (..., d), the parameters before an update.
        after: (..., d), and after it.
        layers: the parameters of each layer, the lowest first, as slices of the last axis, one after another
            without a gap from 0 to d.

    Raises:
        ValueError: the two points differ in shape, or the slices do not divide the vector.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if old.shape != new.shape or not old.ndim:
        raise ValueError(f"before {old.shape} and after {new.shape}: need the same shape (..., d)")
    edges = [0, *(part.stop for part in layers)]
    starts = [part.start or 0 for part in layers]
    if not layers or starts != edges[:-1] or edges[-1] != old.shape[-1]:
        raise ValueError(f"layers {list(layers)}: need to divide 0 … {old.shape[-1]} without a gap")
    place = np.arange(old.shape[-1])
    mixed = np.stack([np.where(place < start, new, old) for start in starts])
    there = gradient(mixed)
    here = there[0]  # nothing lies below the lowest layer: the point before the update
    pairs = [(there[l][..., part], here[..., part]) for l, part in enumerate(layers)]
    return CovariateShift(
        np.stack([_norm(b - a) for b, a in pairs]),
        np.stack([_norm(a) for _, a in pairs]),
        np.stack([_cosine(b, a) for b, a in pairs]),
    )


# Of a network with or without batch normalization


class NetworkSmoothness(NamedTuple):
    """Both measurements of networks; ... are their axes, A the steps along the gradient, L the layers.

    Attributes:
        loss: (...), on the batch, where the gradient is taken.
        ahead: (A, ...), the loss after each step along it.
        change: of the gradient along it, over the same steps.
        shift: by layer, for one step of gradient descent.
    """

    loss: Array
    ahead: Array
    change: GradientChange
    shift: CovariateShift

    @property
    def relative_shift(self) -> Array:
        """‖G − G′‖/‖G‖ over all layers together, (...): each layer seen after the update of those below it alone."""
        with np.errstate(all="ignore"):
            return np.asarray(_norm(_last(self.shift.distance)) / _norm(_last(self.shift.size)))


def network_smoothness(
    params: BNParams,
    x: ArrayLike,
    labels: ArrayLike,
    activation: Activation | str,
    *,
    rate: float,
    ahead: Sequence[float],
) -> NetworkSmoothness:
    """Measure covariate shift and smoothness of networks on one batch, normalized with its own statistics.

    A layer is its weights and biases, and γ and β of its normalization.

    Args:
        params: (...), for example the snapshots of a run.
        x, labels: the batch, (n, sizes[0]) and (n,); the same for the gradient and for everything ahead.
        activation: φ of the hidden layers.
        rate: of the step of gradient descent whose covariate shift is measured.
        ahead: steps along the gradient, above 0.
    """

    def slope(vectors: Array) -> Array:
        # One at a time along the first axis: the activations of all of them would not fit into a cache.
        if vectors.ndim > at.ndim:
            return np.stack([slope(part) for part in vectors])
        return flatten(loss_and_gradient(unflatten(vectors, params), x, labels, activation)[1])

    def height(vectors: Array) -> Array:
        if vectors.ndim > at.ndim:
            return np.stack([height(part) for part in vectors])
        return cross_entropy(forward(unflatten(vectors, params), x, activation).output, labels)

    at = flatten(params)
    loss, gradient = loss_and_gradient(params, x, labels, activation)
    down = flatten(gradient)
    with np.errstate(all="ignore"):
        after = at - rate * down
    return NetworkSmoothness(
        loss,
        loss_along_gradient(height, at, down, ahead),
        gradient_change(slope, at, down, ahead),
        covariate_shift(slope, at, after, layer_slices(params)),
    )


def flatten(params: BNParams) -> Array:
    """Lay all parameters in one vector (..., d), layer by layer: W row by row, b, then γ and β where there are any."""
    parts: list[Array] = []
    for l, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        parts += [weight.reshape(*weight.shape[:-2], weight.shape[-2] * weight.shape[-1]), bias]
        if l < len(params.gammas):
            parts += [params.gammas[l], params.betas[l]]
    return np.concatenate(parts, axis=-1)


def unflatten(vector: Array, like: BNParams) -> BNParams:
    """Read ``flatten``'s vector (..., d) back as parameters of a network of the shape of ``like``."""
    weights, biases, gammas, betas = list[Array](), list[Array](), list[Array](), list[Array]()
    for l, (part, (m, n)) in enumerate(zip(layer_slices(like), pairwise(like.sizes), strict=True)):
        layer = vector[..., part]
        weights.append(layer[..., : m * n].reshape(*vector.shape[:-1], m, n))
        biases.append(layer[..., m * n : (m + 1) * n])
        if l < len(like.gammas):
            gammas.append(layer[..., (m + 1) * n : (m + 2) * n])
            betas.append(layer[..., (m + 2) * n :])
    return BNParams(tuple(weights), tuple(biases), tuple(gammas), tuple(betas))


def layer_slices(params: BNParams) -> list[slice]:
    """Return where each layer lies in ``flatten``'s vector, the lowest first."""
    sizes = [
        math.prod(pair) + pair[1] * (3 if l < len(params.gammas) else 1)
        for l, pair in enumerate(pairwise(params.sizes))
    ]
    edges = np.cumsum([0, *sizes]).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _last(values: Array) -> Array:
    return np.moveaxis(values, 0, -1)


def _ahead(point: ArrayLike, gradient: ArrayLike, steps: ArrayLike) -> tuple[Array, Array]:
    """Return the points w − η·g, (S, ..., d), and g."""
    w, g, sizes = (np.asarray(v, dtype=float) for v in (point, gradient, steps))
    if w.shape != g.shape or not w.ndim:
        raise ValueError(f"point {w.shape} and gradient {g.shape}: need the same shape (..., d)")
    if sizes.ndim != 1 or not sizes.size or not np.all(np.isfinite(sizes)):
        raise ValueError(f"steps = {sizes}: needs a list of finite numbers")
    return w - sizes.reshape(-1, *[1] * w.ndim) * g, g


def _norm(vectors: Array) -> Array:
    return np.asarray(np.sqrt((vectors**2).sum(axis=-1)))


def _cosine(a: Array, b: Array) -> Array:
    size = _norm(a) * _norm(b)
    return np.asarray(np.where(size > 0, (a * b).sum(axis=-1) / size, np.nan))
