"""What happens inside the layers of a random stack: histograms, flat slopes, the first update, and σ = M^−a.

The convention is that of ``core.propagation``: h^l = φ(h^{l−1})·W^l + b^l for l = 1 … L from h⁰ ~ N(0, 1), and
backward dL/dh^{l−1} = (dL/dh^l·W^lᵀ) ⊙ φ'(h^{l−1}). A stack of one seed has the weights that ``propagate`` draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.initializers import Initializer
from core.network import Params, backward, forward
from core.propagation import forward_backward, root_mean_square
from core.properties import Flat, flat_regions
from core.special import normal_cdf, normal_pdf
from core.streams import stream

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Settings = Mapping[str, float]

_REACH = 60.0  # how far out flat regions of a slope without a limit (sine) are looked for
_FINE = 16000  # points of the normal distribution behind exact shares; even, so that none lies on a kink at 0
_COARSE = 600  # points of the mixture behind a gradient's shares
_END = 8.5


# Overflow is a result here, found as rms that is not finite.
def _quiet() -> np.errstate:
    return np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


# The stack


@dataclass(frozen=True)
class Stack:
    """Random networks of one scheme with their input; the leading axis is the network."""

    x: Array  # (networks, batch, width), h⁰
    top: Array  # (networks, batch, width), a gradient dL/dh^L with standard normal entries
    labels: Ints  # (networks, batch), a random class out of ``width`` for every input
    params: Params  # L matrices (networks, width, width) and biases (networks, width)
    multiplier: float = 1.0  # m of W = m·V, where V is what is stored and trained; see ``Initializer``

    @property
    def depth(self) -> int:
        """Layers L."""
        return len(self.params.weights)


def draw_stack(
    scheme: Initializer,
    *,
    depth: int,
    width: int,
    batch: int,
    networks: int,
    seed: int,
    sigma_b: float = 0.0,
) -> Stack:
    """Draw networks of equal width: the same input, weights, biases and top gradient as in ``propagate``.

    Every layer of every network has a stream of its own; more depth or more networks redraws nothing.

    Raises:
        ValueError: a size is below 1, the seed is negative or sigma_b is not a finite number from 0.
    """
    for name, size in (("depth", depth), ("width", width), ("batch", batch), ("networks", networks)):
        if size < 1:
            raise ValueError(f"{name} = {size}: needs a whole number from 1")
    if seed < 0:
        raise ValueError(f"seed = {seed}: needs a whole number from 0")
    if not 0 <= sigma_b < math.inf:
        raise ValueError(f"sigma_b = {sigma_b}: needs a finite number from 0")

    def normal(place: tuple[int, ...], rows: int) -> Array:
        return np.stack([stream(seed, n, *place).standard_normal((rows, width)) for n in range(networks)])

    weights, biases = [], []
    for l in range(1, depth + 1):
        weights.append(np.stack([scheme.draw(width, width, stream(seed, n, l)) for n in range(networks)]))
        biases.append(sigma_b * normal((l, 0), 1)[:, 0] if sigma_b else np.zeros((networks, width)))
    labels = np.stack([stream(seed, n, 0, 1).integers(0, width, batch) for n in range(networks)])
    return Stack(
        normal((0,), batch),
        normal((0, 0), batch),
        labels,
        Params(tuple(weights), tuple(biases)),
        scheme.multiplier(width, width),
    )


def fitted(stack: Stack, activation: Activation, knobs: Settings | None = None) -> Stack:
    """Divide each layer's weights by the standard deviation of φ(h)·W over batch and units, as LSUV does.

    Network by network, from the first layer up; where that is 0 or not finite the weights stay as they are.
    """
    weights: list[Array] = []
    h = stack.x
    with _quiet():
        for w, b in zip(stack.params.weights, stack.params.biases, strict=True):
            seen = activation.f(h, **(knobs or {})) @ w
            std = _spread(seen)
            usable = (std > 0) & np.isfinite(std)
            factor = (1 / np.where(usable, std, 1.0))[:, None, None]
            weights.append(w * factor)
            h = seen * factor + b[:, None]
    return replace(stack, params=Params(tuple(weights), stack.params.biases))


# Histograms


@dataclass(frozen=True)
class Histogram:
    """Values of R layers in units of each layer's own rms, counted in B bins.

    ``shares`` (R, B) leaves out exact zeros, which are ``zero`` (R,); both are shares of all values, and what is
    missing from 1 lies beyond the bins. ``rms`` (R,) is that of the values. NaN where a layer is not finite.
    """

    rms: Array
    shares: Array
    zero: Array


def measured_histograms(
    activation: Activation,
    stack: Stack,
    layers: Sequence[int],
    edges: ArrayLike,
    knobs: Settings | None = None,
) -> tuple[Histogram, Histogram]:
    """Count φ(h^l) and dL/dh^l of the given layers 1 … L, every network in units of its own rms.

    One pass forward and one backward from the stack's normal top gradient. Networks differ in scale at depth, and
    pooling them unscaled would widen the tails; ``rms`` is the root of their mean square.

    Raises:
        ValueError: a layer is not one of 1 … L.
    """
    edges = np.asarray(edges, dtype=np.float64)
    if min(layers, default=0) < 1 or max(layers) > stack.depth:
        raise ValueError(f"layers = {tuple(layers)}: needs whole numbers from 1 to {stack.depth}")
    with _quiet():
        run = forward_backward(
            activation, stack.x, stack.params.weights, [b[:, None] for b in stack.params.biases],
            stack.top, knobs=knobs,
        )  # fmt: skip
        outputs = [activation.f(run.signals[l], **(knobs or {})) for l in layers]
        return _counted(outputs, edges), _counted([run.gradients[l] for l in layers], edges)


def _counted(layers: Sequence[Array], edges: Array) -> Histogram:
    """Count each layer's (networks, batch, width) values."""
    rms, shares, zero = [], [], []
    for values in layers:
        flat = values.reshape(len(values), -1)
        each = root_mean_square(flat)
        rms.append(float(root_mean_square(each)))
        if not np.isfinite(rms[-1]):
            shares.append(np.full(len(edges) - 1, np.nan))
            zero.append(math.nan)
            continue
        scaled = flat / np.where(each > 0, each, 1.0)[:, None]
        none = scaled == 0
        zero.append(float(none.mean()))
        shares.append(np.histogram(scaled[~none], bins=edges)[0] / scaled.size)
    return Histogram(np.array(rms), np.array(shares), np.array(zero))


def theory_histograms(
    activation: Activation,
    signal_rms: ArrayLike,
    gradient_rms: ArrayLike,
    edges: ArrayLike,
    *,
    top: int = -1,
    knobs: Settings | None = None,
) -> tuple[Histogram, Histogram]:
    """Return the exact shares of the wide network: h^l ~ N(0, q^l), and a gradient N(0, ·)·φ'(h^l).

    The gradient that reaches a unit is normal and independent of h^l, so that the product with φ'(h^l) is a mixture
    of normal distributions, one for every slope. That of the last layer has no slope yet.

    Args:
        activation: φ.
        signal_rms: (R,) √q^l of R layers; one that is not finite gives NaN.
        gradient_rms: (R,) rms of their gradients, only handed on.
        edges: (B+1,) of the bins, in units of the rms.
        top: which of the R rows, from 0, is the last layer of its network; −1 if none is.
        knobs: parameters of φ.
    """
    edges, knobs = np.asarray(edges, dtype=np.float64), knobs or {}
    scale, handed = np.asarray(signal_rms, dtype=np.float64), np.asarray(gradient_rms, dtype=np.float64)
    outputs: list[tuple[float, Array, float]] = []
    gradients: list[tuple[Array, float]] = []
    nothing = np.full(len(edges) - 1, np.nan)
    fine, fine_w = _grid(_FINE)
    coarse, coarse_w = _grid(_COARSE)
    normal = np.diff(normal_cdf(edges))
    with _quiet():
        for row, s in enumerate(scale):
            if not np.isfinite(s):
                outputs.append((math.nan, nothing, math.nan))
                gradients.append((nothing, math.nan))
                continue
            y = activation.f(s * fine, **knobs)
            size = _weighted_rms(y, fine_w)
            kept = y != 0
            shares = np.histogram(y[kept] / (size or 1.0), bins=edges, weights=fine_w[kept])[0]
            outputs.append((size, shares, float(fine_w[~kept].sum())))
            if row == top:
                gradients.append((normal, 0.0))
                continue
            slope = np.abs(activation.df(s * coarse, **knobs))
            size = _weighted_rms(slope, coarse_w)
            kept = slope > 0
            below = normal_cdf(edges * np.minimum(size / slope[kept], 1e300)[:, None])
            gradients.append((coarse_w[kept] @ np.diff(below), float(coarse_w[~kept].sum())))
    sizes, of_outputs, zeros = zip(*outputs, strict=True)
    of_gradients, no_gradient = zip(*gradients, strict=True)
    return (
        Histogram(np.array(sizes), np.array(of_outputs), np.array(zeros)),
        Histogram(handed, np.array(of_gradients), np.array(no_gradient)),
    )


def _grid(points: int) -> tuple[Array, Array]:
    """Return the midpoints of equal cells of the normal distribution's axis and their probabilities."""
    edges = np.linspace(-_END, _END, points + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    density = normal_pdf(middle)
    return middle, density / density.sum()


def _weighted_rms(y: Array, w: Array) -> float:
    size = float(np.max(np.abs(y)))
    if not 0 < size < math.inf:
        return size
    return size * math.sqrt(float(np.sum(w * (y / size) ** 2)))


# Flat slopes


class FlatShares(NamedTuple):
    """Shares by layer: of slopes under 1 % of the largest, of slopes exactly 0, and of dead units.

    A unit is dead on a batch where its slope is exactly 0 at every input.
    """

    saturated: Array  # (..., L)
    zero: Array  # (..., L)
    dead: Array  # (..., L)


def flat_shares(
    activation: Activation, stack: Stack, flat: Flat | None = None, knobs: Settings | None = None
) -> FlatShares:
    """Measure where φ'(h^l) is flat in the layers 1 … L of every network: each (networks, L).

    Args:
        activation: φ.
        stack: the networks with their inputs.
        flat: where φ' is flat, as ``flat_regions`` has it, if it is known already.
        knobs: parameters of φ.

    Returns:
        NaN from the first layer on that is not finite.
    """
    flat = flat or flat_regions(activation, low=-_REACH, high=_REACH, knobs=knobs)
    shape = (stack.depth, len(stack.x))
    saturated, zero, dead = np.empty(shape), np.empty(shape), np.empty(shape)
    with _quiet():
        run = forward(stack.params, activation.f(stack.x, **(knobs or {})), activation, knobs)
        for l, h in enumerate(run.pre):
            none = _within(h, flat.zero)
            if flat.roots.size:
                none |= np.isin(h, flat.roots)
            saturated[l] = (_within(h, flat.saturated) | none).mean(axis=(-2, -1))
            zero[l] = none.mean(axis=(-2, -1))
            dead[l] = none.all(axis=-2).mean(axis=-1)
            lost = ~np.isfinite(h).all(axis=(-2, -1))
            for share in (saturated, zero, dead):
                share[l, lost] = np.nan
    return FlatShares(saturated.T, zero.T, dead.T)


def _within(h: Array, intervals: Array) -> NDArray[np.bool_]:
    inside = np.zeros(h.shape, dtype=bool)
    for low, high in intervals:
        inside |= (low <= h) & (h <= high)
    return inside


def flat_theory(
    activation: Activation, signal_rms: ArrayLike, flat: Flat | None = None, knobs: Settings | None = None
) -> tuple[Array, Array]:
    """Return the shares of saturated and of zero slopes for h ~ N(0, signal_rms²), exact: (...) → two (...)."""
    flat = flat or flat_regions(activation, low=-_REACH, high=_REACH, knobs=knobs)
    scale = np.asarray(signal_rms, dtype=np.float64)
    at_root = np.where(
        scale == 0, float(0 in flat.roots), 0.0
    )  # one point, which has no probability elsewhere
    zero = np.maximum(_probability(scale, flat.zero), at_root)
    return np.maximum(_probability(scale, flat.saturated), at_root), zero


def _probability(scale: Array, intervals: Array) -> Array:
    share = np.zeros(scale.shape)
    placed = np.where(scale > 0, scale, 1.0)  # NaN becomes 1 and is put back below
    for low, high in intervals:
        with _quiet():
            share += normal_cdf(high / placed) - normal_cdf(low / placed)
    at_zero = float(any(low <= 0 <= high for low, high in intervals))
    return np.where(scale > 0, share, np.where(scale == 0, at_zero, np.nan))


# The first update


class Update(NamedTuple):
    """The first step of gradient descent on softmax cross-entropy, by layer."""

    ratio: Array  # (networks, L), lr times the spread of dL/dV^l over the spread of V^l, the stored weights
    spread: Array  # (networks, L), standard deviation of the entries of V^l
    top_rms: Array  # (networks,), rms of dL/dh^L


def first_update(activation: Activation, stack: Stack, *, lr: float, knobs: Settings | None = None) -> Update:
    """Compare one full-batch step of gradient descent with the weights it changes.

    The loss is the softmax cross-entropy of h^L, ``width`` classes with random labels, averaged over the batch, so
    that dL/dh^L = (softmax(h^L) − onehot)/batch. The ratio of standard deviations is that of Karpathy's makemore,
    part 3, where about 1e−3 a layer is healthy.

    Returns:
        a ratio of weights without spread is NaN if their gradient has none either, else ∞; NaN where the run left
        float64.
    """
    with _quiet():
        run = forward(stack.params, activation.f(stack.x, **(knobs or {})), activation, knobs)
        logits = run.output
        top = np.exp(logits - logits.max(axis=-1, keepdims=True))
        top /= top.sum(axis=-1, keepdims=True)
        np.put_along_axis(
            top, stack.labels[..., None], np.take_along_axis(top, stack.labels[..., None], -1) - 1, -1
        )
        top /= stack.x.shape[-2]
        gradient = backward(stack.params, run, top, activation, knobs).gradient
        # W = m·V: the stored V are 1/m times as large as W, and their gradient m times as large as W's.
        spread = np.stack([_spread(w) for w in stack.params.weights], axis=-1) / stack.multiplier
        moved = stack.multiplier * np.stack([_spread(g) for g in gradient.weights], axis=-1)
        ratio = lr * moved / spread
        return Update(ratio, spread, root_mean_square(top.reshape(len(top), -1)))


def _spread(matrices: Array) -> Array:
    """Return the standard deviation of each matrix's entries, (networks, m, n) → (networks,), safe of overflow."""
    entries = matrices.reshape(len(matrices), -1)
    size = np.max(np.abs(entries), axis=-1, keepdims=True)
    scaled = entries / np.where((size > 0) & np.isfinite(size), size, 1.0)
    return np.asarray(root_mean_square(scaled - scaled.mean(axis=-1, keepdims=True)) * size[:, 0])


# The exponent


def power_law(exponent: float, factor: float = 1.0) -> Initializer:
    """Return the scheme with σ = factor·M^−exponent for fan_in M, normal entries."""
    return Initializer(
        name="power law",
        std=lambda fan_in, fan_out: factor * float(fan_in) ** -exponent,
        family="normal",
        formula=r"\mathcal N(0,\ M^{-2a})",
        source="",
    )


def linear_rms(std: float, width: int, depth: int) -> Array:
    """Return √E (h^l)² = (M·σ²)^(l/2) of a linear network for l = 0 … depth: (depth+1,), exact for any width."""
    with _quiet():
        return np.asarray((math.sqrt(width) * std) ** np.arange(depth + 1.0))


def single_input_rms(
    activation: Activation,
    stds: Sequence[float],
    *,
    depth: int,
    width: int,
    networks: int,
    seed: int,
    knobs: Settings | None = None,
) -> Array:
    """Measure the rms of h^l for one input to networks with normal weights, without drawing their weights.

    Given h^{l−1}, the M entries of φ(h^{l−1})·W^l are independent and normal with variance σ²·Σ φ², whatever W^l is:
    M draws stand for M² and the distribution is the same. True of one input only, and forward only.

    Args:
        activation: φ.
        stds: S standard deviations σ, compared on common draws.
        depth, width, networks: L, M and how many networks, each 1 or more.
        seed: non-negative; each layer has a stream of its own.
        knobs: parameters of φ.

    Returns:
        (S, networks, L+1); ∞ or NaN where float64 ended.

    Raises:
        ValueError: a size is below 1.
    """
    for name, size in (("depth", depth), ("width", width), ("networks", networks)):
        if size < 1:
            raise ValueError(f"{name} = {size}: needs a whole number from 1")
    scale = math.sqrt(width) * np.asarray(stds, dtype=np.float64)[:, None]
    h = np.broadcast_to(stream(seed, 0).standard_normal((networks, width)), (len(stds), networks, width))
    result = np.empty((len(stds), networks, depth + 1))
    result[..., 0] = root_mean_square(h)
    with _quiet():
        for l in range(1, depth + 1):
            z = stream(seed, l).standard_normal((networks, width))
            h = (scale * root_mean_square(activation.f(h, **(knobs or {}))))[..., None] * z
            result[..., l] = root_mean_square(h)
    return result
