"""Does a signal, and its gradient, survive many layers? A stack of random layers and its mean-field theory.

Convention: h^l = φ(h^{l−1})·W^l + b^l for l = 1 … L, with W of shape (fan_in, fan_out). The input h⁰ has
standard normal entries, so its second moment is 1, and what is measured are the pre-activations h^l.
Backward, δ^L has standard normal entries and δ^{l−1} = (δ^l·W^lᵀ) ⊙ φ'(h^{l−1}), so δ^l is dL/dh^l of a
loss that is summed over the batch, and dL/dW^l = φ(h^{l−1})ᵀ·δ^l.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.initializers import FAMILIES, Initializer
from core.quadrature import by_size, check_variance, gaussian_nodes
from core.streams import stream

Array = NDArray[np.floating[Any]]

FLOAT32_TINY = float(np.finfo(np.float32).tiny)  # 1.18e-38, below it float32 loses digits
FLOAT32_MAX = float(np.finfo(np.float32).max)  # 3.40e38

# Places of a network's streams. Layers are (network, 1) to (network, L); bias l is (network, l, _BIAS).
_INPUT = (0,)
_TOP = (0, 0)
_BIAS = 0

_ENTRIES_AT_ONCE = 2**24  # weights in memory together, unless one network alone has more


class Pass(NamedTuple):
    """One forward and one backward pass through L layers; each entry is an array (..., rows, width)."""

    signals: list[Array]  # h⁰ … h^L
    activations: list[Array]  # φ(h⁰) … φ(h^{L−1})
    gradients: list[Array]  # dL/dh⁰ … dL/dh^L


def forward_backward(
    activation: Activation,
    x: Array,
    weights: Sequence[Array],
    biases: Sequence[Array | float],
    top: Array,
    *,
    std: Array | float = 1.0,
    mean: Array | float = 0.0,
    knobs: Mapping[str, float] | None = None,
) -> Pass:
    """Send x up through the layers h ↦ φ(h)·W + b and the gradient ``top`` down again.

    Args:
        activation: φ, applied before every layer.
        x: (..., rows, fan_in of the first layer), the input h⁰.
        weights: L matrices (..., fan_in, fan_out).
        biases: L arrays that broadcast over (..., rows, fan_out).
        top: (..., rows, fan_out of the last layer), the gradient dL/dh^L.
        std, mean: a number, or one per row as (rows, 1): that row sees the weights mean + std·W. This is
            how schemes of one family share a draw.
        knobs: parameters of φ.
    """
    knobs = knobs or {}
    shifted = bool(np.any(mean))
    signals, activations, gradients = [x], [], [top]
    for weight, bias in zip(weights, biases, strict=True):
        rows: Array = activation.f(signals[-1], **knobs)
        activations.append(rows)
        h: Array = (std * rows) @ weight
        if shifted:
            h += mean * rows.sum(axis=-1, keepdims=True)
        signals.append(h + bias)
    for weight, h in zip(reversed(weights), reversed(signals[:-1]), strict=True):
        rows = gradients[-1]
        delta = (std * rows) @ weight.mT
        if shifted:
            delta += mean * rows.sum(axis=-1, keepdims=True)
        gradients.append(delta * activation.df(h, **knobs))
    return Pass(signals, activations, gradients[::-1])


def root_mean_square(x: Array) -> Array:
    """Return √(mean x²) over the last axis, also where x² leaves float64: (..., n) → (...)."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.vecdot(x, x)
    if np.all((squares > 1e-280) & (squares < 1e300)):
        return np.asarray(np.sqrt(squares / x.shape[-1]))
    size = np.max(np.abs(x), axis=-1)
    scale = np.where((size > 0) & (size < math.inf), size, 1.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = x / scale[..., None]
        return np.asarray(scale * np.sqrt(np.vecdot(scaled, scaled) / x.shape[-1]))


def pooled_rms(rms: Array) -> Array:
    """Return the root of the mean square over networks, (schemes, seeds, layers) → (schemes, layers).

    The mean over networks is that of the second moment, as mean-field theory has it; safe where squares leave float64.
    """
    return root_mean_square(np.moveaxis(rms, 1, -1))


def _weight_gradient_rms(activations: Array, gradients: Array) -> Array:
    """Return the rms entry of activationsᵀ·gradients: (..., batch, m), (..., batch, n) → (...)."""
    batch, m = activations.shape[-2:]
    n = gradients.shape[-1]
    if batch * (m + n) >= m * n:
        return root_mean_square((activations.mT @ gradients).reshape(*activations.shape[:-2], m * n))
    # The squared norm of AᵀD is the sum of AAᵀ ⊙ DDᵀ: two small matrices instead of one large one.
    a, d = (np.max(np.abs(rows), axis=(-2, -1), keepdims=True) for rows in (activations, gradients))
    a, d = (np.where((size > 0) & (size < math.inf), size, 1.0) for size in (a, d))
    with np.errstate(under="ignore"):
        left, right = activations / a, gradients / d
        norm = np.sum((left @ left.mT) * (right @ right.mT), axis=(-2, -1))
    # Rounding can leave a sum that is really 0 just below it.
    return np.asarray(np.sqrt(np.maximum(norm, 0.0) / (m * n)) * a[..., 0, 0] * d[..., 0, 0])


@dataclass(frozen=True)
class Propagation:
    """Root mean squares over batch and units, one row per scheme and network (seed).

    Computed in float64. An infinity or NaN is where float64 itself ended; ``first_bad`` finds where a
    float32 run would have.
    """

    signal_rms: Array  # (schemes, seeds, depth+1), of h^l for l = 0 … depth
    gradient_rms: Array  # (schemes, seeds, depth+1), of dL/dh^l for l = 0 … depth
    weight_gradient_rms: Array | None  # (schemes, seeds, depth), of dL/dW^l for l = 1 … depth, if asked for


def propagate(
    activation: Activation,
    initializers: Sequence[Initializer],
    *,
    depth: int,
    width: int,
    batch: int,
    seeds: int,
    seed: int,
    sigma_b: float = 0.0,
    knobs: Mapping[str, float] | None = None,
    first: int = 0,
    weight_gradients: bool = True,
) -> Propagation:
    """Measure signal and gradient by layer in ``seeds`` random networks of equal width for each scheme.

    Schemes are compared on common random numbers: the same input, biases and top gradient, and the same
    unit draw of the weights for all schemes of one family. Every layer of every network has a stream of its
    own, so more depth or more seeds extends the result and redraws nothing. The top gradient is drawn
    once per network, whatever the depth.

    Args:
        activation: φ.
        initializers: the schemes, in the order of the result's first axis.
        depth: layers L, 1 or more.
        width: units in every layer, 1 or more.
        batch: input rows, 1 or more.
        seeds: networks, 1 or more.
        seed: non-negative integer from which all networks are drawn.
        sigma_b: standard deviation of the biases, 0 or more.
        knobs: parameters of φ.
        first: index of the first network, 0 or more. A long run can be computed in parts and joined along
            the seeds: ``first=0, seeds=5`` and then ``first=5, seeds=5`` are ``seeds=10``.
        weight_gradients: whether to measure the gradients of the weights too, which costs a sixth more.

    Raises:
        ValueError: an argument is out of range.
    """
    _check_sizes(depth=depth, width=width, batch=batch, seeds=seeds)
    for name, value in (("seed", seed), ("first", first)):
        if value < 0:
            raise ValueError(f"{name} = {value}: needs a whole number from 0")
    _check_spread(sigma_b)
    shape = (len(initializers), seeds, depth)
    signal, gradient = np.empty((*shape[:2], depth + 1)), np.empty((*shape[:2], depth + 1))
    weight_gradient = np.empty(shape) if weight_gradients else None
    at_once = max(1, _ENTRIES_AT_ONCE // (depth * width * max(width, batch * len(initializers))))
    for start in range(0, seeds, at_once):
        part = slice(start, min(start + at_once, seeds))
        networks = range(first + part.start, first + part.stop)
        # Overflow to infinity and the NaN that follows are results here, found by `first_bad`.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for members, run in _families(
                activation, initializers, networks, depth, width, batch, seed, sigma_b, knobs
            ):
                for l, (h, delta) in enumerate(zip(run.signals, run.gradients, strict=True)):
                    signal[members, part, l] = _by_scheme(h, len(members))
                    gradient[members, part, l] = _by_scheme(delta, len(members))
                if weight_gradient is None:
                    continue
                for l, (rows, delta) in enumerate(zip(run.activations, run.gradients[1:], strict=True)):
                    split = (len(networks), len(members), batch, width)
                    rms = _weight_gradient_rms(rows.reshape(split), delta.reshape(split))
                    weight_gradient[members, part, l] = rms.T
    return Propagation(signal, gradient, weight_gradient)


def _by_scheme(rows: Array, schemes: int) -> Array:
    """Return the rms of each scheme's rows: (networks, schemes·batch, width) → (schemes, networks)."""
    return root_mean_square(rows.reshape(len(rows), schemes, -1)).T


def _unit_layer(family: str, width: int, seed: int, start: int, stop: int, layer: int) -> Array:
    """Draw one layer of several networks, (stop − start, width, width), read-only; each has its own stream."""
    units = np.stack([FAMILIES[family](width, width, stream(seed, n, layer)) for n in range(start, stop)])
    units.flags.writeable = False
    return units


# Drawing is half the work of a small run, and a control that moves depth, scheme, activation or bias needs the
# same draws again. 128 layers of at most 384 kB bound the memory.
_ENTRIES_KEPT = 48 * 1024
_kept_layer = lru_cache(maxsize=128)(_unit_layer)


def _families(
    activation: Activation,
    initializers: Sequence[Initializer],
    networks: range,
    depth: int,
    width: int,
    batch: int,
    seed: int,
    sigma_b: float,
    knobs: Mapping[str, float] | None,
) -> Iterator[tuple[list[int], Pass]]:
    """Yield, family by family, the indices of its schemes and the pass through all their networks.

    The rows of a pass are the schemes' batches one below the other, (networks, schemes·batch, width).
    """

    def draw(place: tuple[int, ...], rows: int) -> Array:
        return np.stack([stream(seed, n, *place).standard_normal((rows, width)) for n in networks])

    x, top = draw(_INPUT, batch), draw(_TOP, batch)
    biases: list[Array | float] = [
        sigma_b * draw((l, _BIAS), 1) if sigma_b else 0.0 for l in range(1, depth + 1)
    ]
    for family in dict.fromkeys(scheme.family for scheme in initializers):
        members = [i for i, scheme in enumerate(initializers) if scheme.family == family]
        schemes = [initializers[i] for i in members]
        small = len(networks) * width * width <= _ENTRIES_KEPT
        layer = _kept_layer if small else _unit_layer
        weights = [layer(family, width, seed, networks.start, networks.stop, l) for l in range(1, depth + 1)]
        run = forward_backward(
            activation,
            np.tile(x, (1, len(schemes), 1)),
            weights,
            biases,
            np.tile(top, (1, len(schemes), 1)),
            std=np.repeat([[scheme.std(width, width)] for scheme in schemes], batch, axis=0),
            mean=np.repeat([[scheme.mean] for scheme in schemes], batch, axis=0),
            knobs=knobs,
        )
        yield members, run


@dataclass(frozen=True)
class MeanField:
    """The mean-field limit of ``Propagation``: wide layers, mean over networks.

    The theory is about second moments, E h² and E (dL/dh)² pooled over units, inputs and networks; these are
    their square roots. One network fluctuates around it: in a He/ReLU stack the logarithm of its second moment
    has variance ≈ 5·depth/width, so a typical network, and the mean of the rms over networks, lie below. A
    scheme whose weights have a mean other than 0 has no such theory, and its row is NaN.
    """

    signal_rms: Array  # (schemes, depth+1), √E (h^l)²; 1 at l = 0
    gradient_rms: Array  # (schemes, depth+1), √E (dL/dh^l)²; 1 at the top l = depth
    weight_gradient_rms: Array  # (schemes, depth), √E (dL/dW^l)² for l = 1 … depth
    slope: Array  # (schemes, depth), χ^l: the gradient's second moment grows by it from layer l to l−1


def propagate_theory(
    activation: Activation,
    initializers: Sequence[Initializer],
    *,
    depth: int,
    width: int,
    batch: int = 1,
    sigma_b: float = 0.0,
    knobs: Mapping[str, float] | None = None,
) -> MeanField:
    """Return the mean-field prediction for ``propagate``, by layer and scheme.

    q^l = σ_w²·E[φ(√q^{l−1} z)²] + σ_b² with z ~ N(0, 1), σ_w² = width·std² and q⁰ = 1; backward
    χ^l = σ_w²·E[φ'(√q^{l−1} z)²]; the mean square of dL/dW^l is batch·E[φ²]·E[δ²] (Poole et al. 2016,
    "Exponential expressivity …"; Schoenholz et al. 2017, "Deep information propagation").

    Args: as for ``propagate``; ``batch`` scales the weight gradient only.

    Raises:
        ValueError: an argument is out of range.
    """
    _check_sizes(depth=depth, width=width, batch=batch)
    _check_spread(sigma_b)
    spread = [math.sqrt(width) * s.std(width, width) if s.mean == 0 else math.nan for s in initializers]
    sigma_w = np.array(spread, dtype=np.float64)
    signal, gradient = np.empty((len(spread), depth + 1)), np.empty((len(spread), depth + 1))
    weight_gradient, slope = np.empty((len(spread), depth)), np.empty((len(spread), depth))
    signal[:, 0] = gradient[:, depth] = np.where(np.isnan(sigma_w), math.nan, 1.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for l in range(depth):
            weight_gradient[:, l], slope_rms = _rms_of(activation, signal[:, l], knobs or {})
            signal[:, l + 1] = np.hypot(sigma_w * weight_gradient[:, l], sigma_b)
            slope[:, l] = (sigma_w * slope_rms) ** 2
        for l in reversed(range(depth)):
            weight_gradient[:, l] *= math.sqrt(batch) * gradient[:, l + 1]
            gradient[:, l] = gradient[:, l + 1] * np.sqrt(slope[:, l])
    return MeanField(signal, gradient, weight_gradient, slope)


def mean_field_step(
    activation: Activation,
    q: ArrayLike,
    sigma_w2: ArrayLike,
    sigma_b2: ArrayLike,
    knobs: Mapping[str, float] | None = None,
) -> tuple[Array, Array]:
    """Return the next second moment and the backward factor χ; all arguments broadcast.

    Args:
        activation: φ.
        q: second moment of the pre-activations, finite and 0 or more.
        sigma_w2: fan_in times the variance of a weight, finite and 0 or more.
        sigma_b2: variance of a bias, finite and 0 or more.
        knobs: parameters of φ.

    Returns:
        σ_w²·E[φ(√q z)²] + σ_b² and σ_w²·E[φ'(√q z)²].

    Raises:
        ValueError: an argument is negative or not finite.
    """
    q = check_variance("q", q)
    sigma_w2, sigma_b2 = check_variance("sigma_w2", sigma_w2), check_variance("sigma_b2", sigma_b2)
    with np.errstate(over="ignore", under="ignore"):
        value, slope = _rms_of(activation, np.sqrt(q), knobs or {})
        return sigma_w2 * value**2 + sigma_b2, sigma_w2 * slope**2


def _rms_of(activation: Activation, scale: Array, knobs: Mapping[str, float]) -> tuple[Array, Array]:
    """Return √E[φ(s z)²] and √E[φ'(s z)²] for standard deviations s (...), without leaving float64."""
    scale = np.asarray(scale)
    value, slope = np.empty_like(scale), np.empty_like(scale)
    for group in by_size(scale):
        x, w = gaussian_nodes(scale[group], activation.kinks + activation.seams)
        for function, rms in ((activation.f, value), (activation.df, slope)):
            at_zero = function(np.zeros(()), **knobs)
            y = np.where(scale[group, None] == 0, at_zero, function(x, **knobs))
            size = np.max(np.abs(y), axis=-1)
            size = np.where((size > 0) & (size < math.inf), size, 1.0)
            y /= size[:, None]
            rms[group] = size * np.sqrt(np.vecdot(y * y, w))
    return value, slope


def first_bad(
    rms: ArrayLike, *, low: float = FLOAT32_TINY, high: float = FLOAT32_MAX, backward: bool = False
) -> int | None:
    """Return the first layer at which a run of limited range would underflow or overflow, or None.

    A layer is bad if its rms is below ``low``, above ``high``, or not a number. An rms of exactly 0 is
    not: zero weights and dead units give a true zero in any precision.

    Args:
        rms: (layers,) of one run.
        low, high: smallest and largest usable size, float32's by default.
        backward: the run goes from the last layer to the first, so "first" is the highest index.

    Raises:
        ValueError: rms is not one-dimensional.
    """
    rms = np.asarray(rms)
    if rms.ndim != 1:
        raise ValueError(f"rms has shape {rms.shape}: needs one row, (layers,)")
    bad = np.flatnonzero(~((rms == 0) | ((rms >= low) & (rms <= high))))
    if not bad.size:
        return None
    return int(bad[-1] if backward else bad[0])


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} = {size}: needs a whole number from 1")


def _check_spread(sigma_b: float) -> None:
    if not 0 <= sigma_b < math.inf:
        raise ValueError(f"sigma_b = {sigma_b}: needs a finite number from 0")
