"""Does a signal, and its gradient, survive many layers? A stack of random layers and its mean-field theory.

Convention: h^l = φ(h^{l−1})·W^l + b^l for l = 1 … L, with W of shape (fan_in, fan_out) = (n_{l−1}, n_l). The input
h⁰ has entries N(0, s²) with s = ``input_scale``, so its rms is s, and what is measured are the pre-activations h^l.
Backward, δ^L has standard normal entries and δ^{l−1} = (δ^l·W^lᵀ) ⊙ φ'(h^{l−1}), so δ^l is dL/dh^l of a
loss that is summed over the batch, and dL/dW^l = φ(h^{l−1})ᵀ·δ^l.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.draws import NORMAL, Draw, Draws
from core.initializers import Initializer
from core.quadrature import by_size, check_variance, gaussian_nodes

Array = NDArray[np.floating[Any]]

FLOAT32_TINY = float(np.finfo(np.float32).tiny)  # 1.18e-38, below it float32 loses digits
FLOAT32_MAX = float(np.finfo(np.float32).max)  # 3.40e38

# Places of a network's streams. Layers are (network, 1) to (network, L); bias l is (network, l, _BIAS).
_INPUT = (0,)
_TOP = (0, 0)
_BIAS = 0

_FAR = 1e150  # how much larger or smaller than its input a signal may be for a multiple to be as good as its own pass

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
    std: Array | float | Sequence[Array | float] = 1.0,
    mean: Array | float = 0.0,
    knobs: Mapping[str, float] | None = None,
    unit_variance: Sequence[slice] = (),
) -> Pass:
    """Send x up through the layers h ↦ φ(h)·W + b and the gradient ``top`` down again.

    Args:
        activation: φ, applied before every layer.
        x: (..., rows, fan_in of the first layer), the input h⁰.
        weights: L matrices (..., fan_in, fan_out).
        biases: L arrays that broadcast over (..., rows, fan_out).
        top: (..., rows, fan_out of the last layer), the gradient dL/dh^L.
        std, mean: a number, or one per row as (rows, 1): that row sees the weights mean + std·W. This is
            how schemes of one family share a draw. ``std`` may be a list of L of them, one a layer.
        knobs: parameters of φ.
        unit_variance: blocks of rows whose weights are divided, layer by layer on the way up, by the standard
            deviation of the block's φ(h)·W over rows and units, as LSUV does. Where that is 0 or not finite the
            weights stay as they are.
    """
    layers = _Layers(activation, weights, biases, std, mean, knobs or {}, unit_variance)
    signals, activations = layers.up(x)
    return Pass(signals, activations, [top, *layers.down(signals, top)][::-1])


class _Layers:
    """The layers of a pass; the arguments are those of ``forward_backward``."""

    def __init__(
        self,
        activation: Activation,
        weights: Sequence[Array],
        biases: Sequence[Array | float],
        std: Array | float | Sequence[Array | float],
        mean: Array | float,
        knobs: Mapping[str, float],
        unit_variance: Sequence[slice],
    ) -> None:
        self._activation, self._knobs = activation, knobs
        self._weights, self._biases, self._mean = weights, biases, mean
        self._shifted = bool(np.any(mean))
        self._scales: list[Array | float] = list(std) if isinstance(std, Sequence) else [std] * len(weights)
        self._unit_variance = unit_variance

    def up(self, x: Array, keep: bool = True) -> tuple[list[Array], list[Array]]:
        """Return h⁰ … h^L, and φ(h⁰) … φ(h^{L−1}) if they are to be kept."""
        signals, kept = [x], []
        for l, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            rows: Array = self._activation.f(signals[l], **self._knobs)
            if keep:
                kept.append(rows)
            h: Array = (self._scales[l] * rows) @ weight
            if self._shifted:
                h += self._mean * rows.sum(axis=-1, keepdims=True)
            if self._unit_variance:
                factor = np.ones((*h.shape[:-1], 1), dtype=h.dtype)
                for block in self._unit_variance:
                    factor[..., block, :] = _unit_variance_factor(h[..., block, :])
                h *= factor
                self._scales[l] = self._scales[l] * factor
            signals.append(h + bias if isinstance(bias, np.ndarray) or bias else h)
        return signals, kept

    def down(self, signals: Sequence[Array], top: Array) -> Iterator[Array]:
        """Yield dL/dh^{L−1} … dL/dh⁰, after ``up``."""
        delta = top
        for l in reversed(range(len(self._weights))):
            rows = delta
            delta = (self._scales[l] * rows) @ self._weights[l].mT
            if self._shifted:
                delta += self._mean * rows.sum(axis=-1, keepdims=True)
            delta *= self._activation.df(signals[l], **self._knobs)
            yield delta


def _unit_variance_factor(h: Array) -> Array:
    """Return 1/std of h over its last two axes, which stay as ones: 1 where that is 0 or not finite."""
    flat = h.reshape(*h.shape[:-2], -1)
    std = root_mean_square(flat - flat.mean(axis=-1, keepdims=True))
    usable = (std > 0) & (std < math.inf)
    return np.where(usable, 1 / np.where(usable, std, 1.0), 1.0)[..., None, None]


def root_mean_square(x: Array) -> Array:
    """Return √(mean x²) over the last axis, also where x² leaves float64: (..., n) → (...)."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.vecdot(x, x)
        if squares.min(initial=1.0) > 1e-280 and squares.max(initial=1.0) < 1e300:
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


@lru_cache(maxsize=256)
def layer_widths(width: int, depth: int, taper: float = 1.0) -> tuple[int, ...]:
    """Return the depth+1 widths n_0 … n_L of a stack that tapers geometrically, for ``propagate``.

    n_l = max(1, round(width·taper^(l/depth))), rounded to the nearest whole number, so n_0 = width and
    n_L ≈ taper·width. A taper other than 1 makes fan_in and fan_out differ; then the widths of all layers,
    and so all draws, depend on the depth.

    Raises:
        ValueError: a size is below 1, or taper is not a finite number above 0.
    """
    _check_sizes(width=width, depth=depth)
    if not 0 < taper < math.inf:
        raise ValueError(f"taper = {taper}: needs a finite number above 0")
    return tuple(max(1, round(width * taper ** (l / depth))) for l in range(depth + 1))


def _widths(width: int | Sequence[int], depth: int) -> tuple[int, ...]:
    """Return the depth+1 widths that a width or a list of widths stands for."""
    if isinstance(width, int | np.integer):
        _check_sizes(width=int(width))
        return (int(width),) * (depth + 1)
    widths = tuple(width)
    if len(widths) != depth + 1 or min(widths) < 1:
        raise ValueError(f"width = {widths}: needs {depth + 1} whole numbers from 1, the input first")
    return widths


@dataclass(frozen=True)
class Propagation:
    """Sizes by layer, one row per scheme and network (seed); roots of means over batch and units.

    Computed in float64. An infinity or NaN is where float64 itself ended; ``first_bad`` finds where a
    float32 run would have. What was not asked for is None.
    """

    signal_rms: Array  # (schemes, seeds, depth+1), of h^l for l = 0 … depth
    gradient_rms: Array  # (schemes, seeds, depth+1), of dL/dh^l for l = 0 … depth
    weight_gradient_rms: Array | None  # (schemes, seeds, depth), of dL/dV^l for l = 1 … depth
    signal_mean: Array | None = None  # (schemes, seeds, depth+1), mean of h^l over batch and units, signed
    neuron_std: Array | None = (
        None  # (schemes, seeds, depth+1), √ of a unit's variance over the batch, averaged
    )
    zero_slope_share: Array | None = None  # (schemes, seeds, depth+1), share of φ'(h^l) that is exactly 0
    dead_share: Array | None = (
        None  # (schemes, seeds, depth+1), share of units with φ'(h^l) = 0 on the whole batch
    )


def propagate(
    activation: Activation,
    initializers: Sequence[Initializer],
    *,
    depth: int,
    width: int | Sequence[int],
    batch: int,
    seeds: int,
    seed: int,
    sigma_b: float = 0.0,
    knobs: Mapping[str, float] | None = None,
    first: int = 0,
    weight_gradients: bool = True,
    input_scale: float = 1.0,
    moments: bool = False,
    slopes: bool = False,
) -> Propagation:
    """Measure signal and gradient by layer in ``seeds`` random networks for each scheme.

    Schemes are compared on common random numbers: the same input, biases and top gradient, and the same
    unit draw of the weights for all schemes of one family. Every layer of every network has a stream of its
    own, so more depth or more seeds extends the result and redraws nothing. The top gradient is drawn
    once per network, whatever the depth.

    Args:
        activation: φ.
        initializers: the schemes, in the order of the result's first axis. A data-dependent one (LSUV) is
            fitted on the batch of each network: W^l is divided by the standard deviation of φ(h^{l−1})·W^l over
            batch and units, before the bias is added, or left alone where that is 0 or not finite.
        depth: layers L, 1 or more.
        width: units in every layer, 1 or more; or the depth+1 widths n_0 … n_L, as ``layer_widths`` gives them.
        batch: input rows, 1 or more.
        seeds: networks, 1 or more.
        seed: non-negative integer from which all networks are drawn.
        sigma_b: standard deviation of the biases, 0 or more.
        knobs: parameters of φ.
        first: index of the first network, 0 or more. A long run can be computed in parts and joined along
            the seeds: ``first=0, seeds=5`` and then ``first=5, seeds=5`` are ``seeds=10``.
        weight_gradients: whether to measure the gradients of the weights too, which costs a sixth more. They
            are those of the stored weights V: dL/dW times the scheme's ``multiplier``.
        input_scale: standard deviation of the input's entries, finite and above 0.
        moments: whether to measure ``signal_mean`` and ``neuron_std`` too. The variance of a unit over the
            batch is the unbiased one (divided by batch − 1), and NaN at batch 1.
        slopes: whether to measure ``zero_slope_share`` and ``dead_share`` too.

    Raises:
        ValueError: an argument is out of range.
    """
    _check_sizes(depth=depth, batch=batch, seeds=seeds)
    widths = _widths(width, depth)
    for name, value in (("seed", seed), ("first", first)):
        if value < 0:
            raise ValueError(f"{name} = {value}: needs a whole number from 0")
    _check_spread(sigma_b)
    _check_scale(input_scale)
    shape = (len(initializers), seeds, depth + 1)
    signal, gradient = np.empty(shape), np.empty(shape)
    weight_gradient = np.empty((*shape[:2], depth)) if weight_gradients else None
    mean, neuron = (np.empty(shape), np.empty(shape)) if moments else (None, None)
    zero, dead = (np.empty(shape), np.empty(shape)) if slopes else (None, None)
    weights = sum(m * n for m, n in pairwise(widths))
    at_once = max(1, _ENTRIES_AT_ONCE // max(weights, sum(widths[1:]) * batch * len(initializers)))
    for start in range(0, seeds, at_once):
        part = slice(start, min(start + at_once, seeds))
        networks = range(first + part.start, first + part.stop)
        # Overflow to infinity and the NaN that follows are results here, found by `first_bad`.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for members, layers, x, top, scaled in _families(
                activation, initializers, networks, widths, batch, seed, sigma_b, input_scale, knobs
            ):
                count = x.shape[-2] // batch
                split = (len(networks), count, batch)
                up, down = scaled[..., None]
                signals, activations = layers.up(x, keep=weight_gradients)
                for l, h in enumerate(signals):
                    signal[members, part, l] = up[:, l] * _by_scheme(h, count)
                    if mean is not None and neuron is not None:
                        of_scheme = h.reshape(*split, widths[l])
                        mean[members, part, l] = up[:, l] * of_scheme.mean(axis=(-2, -1)).T
                        neuron[members, part, l] = up[:, l] * _neuron_std(of_scheme).T
                    if zero is not None and dead is not None:
                        flat = (activation.df(h, **(knobs or {})) == 0).reshape(*split, widths[l])
                        zero[members, part, l] = flat.mean(axis=(-2, -1)).T
                        dead[members, part, l] = flat.all(axis=-2).mean(axis=-1).T
                # Gradients pass by and are measured on their way: a block of all of them would be new memory each time.
                for l, delta in zip(
                    range(depth, -1, -1), chain([top], layers.down(signals, top)), strict=True
                ):
                    gradient[members, part, l] = down[:, l] * _by_scheme(delta, count)
                    if weight_gradient is None or l == 0:
                        continue
                    fans = widths[l - 1], widths[l]
                    rms = _weight_gradient_rms(
                        activations[l - 1].reshape(*split, fans[0]), delta.reshape(*split, fans[1])
                    )
                    stored = np.array([[initializers[i].multiplier(*fans)] for i in members])
                    weight_gradient[members, part, l - 1] = up[:, l - 1] * down[:, l] * (stored * rms.T)
    return Propagation(signal, gradient, weight_gradient, mean, neuron, zero, dead)


def _by_scheme(rows: Array, schemes: int) -> Array:
    """Return the rms of each scheme's rows: (networks, schemes·batch, width) → (schemes, networks)."""
    return root_mean_square(rows.reshape(len(rows), schemes, -1)).T


def _neuron_std(h: Array) -> Array:
    """Return √ of the unbiased variance over the batch, averaged over units: (..., batch, width) → (...)."""
    batch = h.shape[-2]
    if batch == 1:
        return np.full(h.shape[:-2], math.nan)
    apart = h - h[..., :1, :]  # exactly 0 where all rows are equal, as below constant weights
    apart -= apart.mean(axis=-2, keepdims=True)
    return root_mean_square(apart.reshape(*h.shape[:-2], -1)) * math.sqrt(batch / (batch - 1))


# Drawing is most of the work of a small run, and a control that moves depth, scheme, activation or bias needs the same
# draws again: 64 MB hold the normal numbers of 10 networks with 50 layers of 64 units for four seeds.
_DRAWS = Draws(most=64_000_000, each=512 * 1024)


def _families(
    activation: Activation,
    initializers: Sequence[Initializer],
    networks: range,
    widths: Sequence[int],
    batch: int,
    seed: int,
    sigma_b: float,
    input_scale: float,
    knobs: Mapping[str, float] | None,
) -> Iterator[tuple[list[int], _Layers, Array, Array, Array]]:
    """Yield, family by family, the indices of its schemes, the layers of all their networks, h⁰, dL/dh^L and factors.

    The rows are the schemes' batches one below the other, (networks, schemes·batch, width), and the factors 1; or all
    schemes share one batch, and theirs are what its signals and gradients are to be multiplied by: (2, schemes, L + 1).
    """

    (x,) = _DRAWS.draw(NORMAL, seed, networks, [(_INPUT, batch, widths[0])])
    (top,) = _DRAWS.draw(NORMAL, seed, networks, [(_TOP, batch, widths[-1])])
    x = x * input_scale
    biases: list[Array | float] = [0.0] * (len(widths) - 1)
    if sigma_b:
        places = [((l, _BIAS), 1, n) for l, n in enumerate(widths[1:], start=1)]
        biases = [sigma_b * bias for bias in _DRAWS.draw(NORMAL, seed, networks, places)]
    fans = list(pairwise(widths))
    level = None if sigma_b else _level(activation, knobs or {})
    groups: dict[tuple[Draw, bool], list[int]] = {}
    scaled: dict[int, Array] = {}
    for i, scheme in enumerate(initializers):
        copies = None if level is None else _copies(scheme, fans, level)
        if copies is not None:
            scaled[i] = copies
        groups.setdefault(((scheme.family, scheme.options), copies is None), []).append(i)
    for (draw, alone), members in groups.items():
        schemes = [initializers[i] for i in members]
        weights = _DRAWS.draw(draw, seed, networks, [((l,), *pair) for l, pair in enumerate(fans, start=1)])
        stds: dict[tuple[int, int], Array | float]
        if alone or level is None:
            stds = {pair: np.repeat([[s.std(*pair)] for s in schemes], batch, axis=0) for pair in set(fans)}
            factors = np.ones((2, len(schemes), len(widths)))
        else:
            stds = {pair: level / math.sqrt(pair[0]) for pair in set(fans)}
            factors = np.stack([scaled[i] for i in members], axis=1)
        layers = _Layers(
            activation,
            weights,
            biases,
            std=[stds[pair] for pair in fans],
            mean=np.repeat([[scheme.mean] for scheme in schemes], batch, axis=0) if alone else 0.0,
            knobs=knobs or {},
            unit_variance=[
                slice(k * batch, (k + 1) * batch) for k, s in enumerate(schemes) if s.data_dependent
            ],
        )
        count = len(schemes) if alone else 1
        yield members, layers, np.tile(x, (1, count, 1)), np.tile(top, (1, count, 1)), factors


def _level(activation: Activation, knobs: Mapping[str, float]) -> float | None:
    """Return the σ_w that keeps E h², for a φ of two straight rays through 0; None for any other φ."""
    rays = _rays(activation.f, tuple(sorted(knobs.items())))
    return 1 / math.sqrt((rays[0] ** 2 + rays[1] ** 2) / 2) if rays is not None and any(rays) else None


def _copies(scheme: Initializer, fans: Sequence[tuple[int, int]], level: float) -> Array | None:
    """Return what a scheme's signals and gradients are multiples of, (2, L + 1), where φ is of straight rays.

    Such a stack without biases is homogeneous in each of its matrices: weights of r_l times the spread give exactly
    r_1·…·r_l times the signal and r_{l+1}·…·r_L times the gradient. So all schemes of a family share one pass, that of
    σ_w = ``level``; by rounding a result may differ from a pass of its own in the last digits. None where weights have a
    mean or follow the data, and where a scheme goes so far that float64 itself may end, which only its own pass shows.
    """
    if scheme.mean != 0 or scheme.data_dependent:
        return None
    known = {pair: scheme.std(*pair) * math.sqrt(pair[0]) / level for pair in set(fans)}
    ratios = np.array([1.0, *(known[pair] for pair in fans)])
    factors = np.stack([np.multiply.accumulate(ratios), np.ones_like(ratios)])
    factors[1, :-1] = np.multiply.accumulate(ratios[:0:-1])[::-1]
    return factors if np.all((factors > 1 / _FAR) & (factors < _FAR)) else None


@dataclass(frozen=True)
class MeanField:
    """The mean-field limit of ``Propagation``: wide layers, mean over networks.

    The theory is about second moments, E h² and E (dL/dh)² pooled over units, inputs and networks; these are
    their square roots. One network fluctuates around it: in a He/ReLU stack the logarithm of its second moment
    has variance ≈ 5·depth/width, so a typical network, and the mean of the rms over networks, lie below. A
    scheme whose weights have a mean other than 0 has no such theory, and its row is NaN. Sparse weights share
    the theory of dense ones of their spread; it is exact in the first layer and, beyond, needs many nonzero
    weights in a unit. The identity has its own, in which units never mix: exact for layers of one width without
    biases, NaN otherwise. LSUV's is that of weights which make φ(h)·W of variance 1.
    """

    signal_rms: Array  # (schemes, depth+1), √E (h^l)²; ``input_scale`` at l = 0
    gradient_rms: Array  # (schemes, depth+1), √E (dL/dh^l)²; 1 at the top l = depth
    weight_gradient_rms: Array  # (schemes, depth), √E (dL/dV^l)² for l = 1 … depth
    slope: Array  # (schemes, depth), χ^l: the gradient's second moment grows by it from layer l to l−1
    neuron_std: Array | None = None  # (schemes, depth+1), √(q(1−c)) for two inputs of correlation c^l
    mean_rms: Array | None = None  # (schemes, depth+1), √E m² of the mean m over batch and units


def propagate_theory(
    activation: Activation,
    initializers: Sequence[Initializer],
    *,
    depth: int,
    width: int | Sequence[int],
    batch: int = 1,
    sigma_b: float = 0.0,
    knobs: Mapping[str, float] | None = None,
    input_scale: float = 1.0,
    moments: bool = False,
) -> MeanField:
    """Return the mean-field prediction for ``propagate``, by layer and scheme.

    q^l = n_{l−1}·std²·E[φ(√q^{l−1} z)²] + σ_b² with z ~ N(0, 1), std that of W^l and √q⁰ = ``input_scale``;
    backward χ^l = n_l·std²·E[φ'(√q^{l−1} z)²]; the mean square of dL/dW^l is batch·E[φ²]·E[δ²] (Poole et al. 2016,
    "Exponential expressivity …"; Schoenholz et al. 2017, "Deep information propagation").

    With ``moments``, two inputs of correlation c, at first 0, have q(1−c) ← n_{l−1}·std²·½E[(φ(u) − φ(v))²],
    whatever the bias: that is the expected variance of a unit over the batch. The mean over batch and units has
    the second moment q(1 + (batch − 1)c)/(batch·n_l).

    Args: as for ``propagate``; ``batch`` scales the weight gradient and ``mean_rms`` only.

    Raises:
        ValueError: an argument is out of range.
    """
    _check_sizes(depth=depth, batch=batch)
    widths = _widths(width, depth)
    _check_spread(sigma_b)
    _check_scale(input_scale)
    knobs = knobs or {}
    fans = list(pairwise(widths))
    std = np.array([_by_fans(s.std, fans) for s in initializers]).reshape(-1, depth)
    known = np.array([s.mean == 0 and not s.elementwise for s in initializers], dtype=bool)
    fitted = np.array([s.data_dependent for s in initializers], dtype=bool)
    std[~known] = math.nan
    shape = (len(std), depth + 1)
    signal = np.empty(shape)
    weight_gradient, slope_rms = np.empty((len(std), depth)), np.empty((len(std), depth))
    neuron = np.empty(shape) if moments else None
    signal[:, 0] = np.where(known, input_scale, math.nan)
    top = np.where(known, 1.0, math.nan)[:, None]
    if neuron is not None:
        neuron[:, 0] = signal[:, 0]
    size_of = _sizes(activation, knobs)
    roots = np.sqrt(np.array(widths[:-1], dtype=np.float64)) * std
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for l in range(depth):
            rms, slope_rms[:, l] = size_of(signal[:, l])
            sigma_w = roots[:, l]
            if fitted.any():
                sigma_w[:] = np.where(fitted & (rms > 0) & (rms < math.inf), 1 / rms, sigma_w)
            signal[:, l + 1] = np.hypot(sigma_w * rms, sigma_b)
            weight_gradient[:, l] = rms
            if neuron is not None:
                neuron[:, l + 1] = sigma_w * _difference_rms(activation, signal[:, l], neuron[:, l], knobs)
        slope = np.array([n / m for m, n in fans]) * (roots * slope_rms) ** 2
        steps = np.concatenate([top, np.sqrt(slope)[:, ::-1]], axis=1)
        gradient = np.multiply.accumulate(steps, axis=1)[:, ::-1]
        weight_gradient *= math.sqrt(batch) * gradient[:, 1:]
        mean = None if neuron is None else _mean_rms(signal, neuron, batch, widths)
    theory = MeanField(signal, gradient, weight_gradient, slope, neuron, mean)
    if sigma_b == 0 and len(set(widths)) == 1:
        for k, scheme in enumerate(initializers):
            if scheme.elementwise:
                _fill_elementwise(theory, k, activation, knobs, widths[0], batch, input_scale)
    weight_gradient *= np.array([_by_fans(s.multiplier, fans) for s in initializers]).reshape(-1, depth)
    return theory


def _by_fans(rule: Callable[[int, int], float], fans: Sequence[tuple[int, int]]) -> list[float]:
    """Return what a rule gives at every layer; layers of the same fans are asked for once."""
    known = {pair: rule(*pair) for pair in set(fans)}
    return [known[pair] for pair in fans]


def _mean_rms(signal: Array, neuron: Array, batch: int, widths: Sequence[int]) -> Array:
    """Return √(q(1 + (B−1)c)/(B·n)) from √q and √(q(1−c)): over B·n values, those of a unit correlate."""
    share = np.where(signal == 0, 0.0, neuron / np.where(signal == 0, 1.0, signal)) ** 2  # 1 − c
    of_batch = np.sqrt(np.maximum(1 - share * (batch - 1) / batch, 0.0))
    return np.asarray(signal * of_batch / np.sqrt(widths))


def _fill_elementwise(
    theory: MeanField,
    row: int,
    activation: Activation,
    knobs: Mapping[str, float],
    width: int,
    batch: int,
    input_scale: float,
) -> None:
    """Write the row of a scheme under which h^l = φ(h^{l−1}) unit by unit: φ composed with itself l times.

    All is an expectation over one normal variable, the input of a unit. Panels of 0.02 standard deviations keep
    the error small also where a kink of φ^l is not at a kink of φ.
    """
    depth = theory.slope.shape[1]
    cuts = np.linspace(-8.0, 8.0, 801) * input_scale
    x, w = gaussian_nodes(input_scale, (*activation.kinks, *activation.seams, *cuts))
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        path = [x]
        for _ in range(depth):
            path.append(activation.f(path[-1], **knobs))
        passed = np.ones_like(x)
        for l in range(depth, -1, -1):
            if l < depth:
                passed = passed * activation.df(path[l], **knobs)
            theory.gradient_rms[row, l] = _weighted_rms(passed, w)
            theory.signal_rms[row, l] = _weighted_rms(path[l], w)
        above, below = theory.gradient_rms[row, 1:], theory.gradient_rms[row, :-1]
        theory.slope[row] = np.where(above > 0, (below / np.where(above > 0, above, 1.0)) ** 2, math.nan)
        theory.weight_gradient_rms[row] = math.sqrt(batch) * theory.signal_rms[row, 1:] * above
        if theory.neuron_std is None or theory.mean_rms is None:
            return
        for l, h in enumerate(path):
            mean = np.vecdot(h, w)
            std = _weighted_rms(h - mean, w)
            theory.neuron_std[row, l] = std
            theory.mean_rms[row, l] = np.hypot(mean, std / math.sqrt(batch * width))


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


def _weighted_rms(y: Array, w: Array) -> Array:
    """Return √(Σ w·y²) over the last axis, also where y² leaves float64: (..., points) twice → (...)."""
    size = np.max(np.abs(y), axis=-1)
    size = np.where((size > 0) & (size < math.inf), size, 1.0)
    scaled = y / size[..., None]
    return np.asarray(size * np.sqrt(np.vecdot(scaled * scaled, w)))


def _rms_of(activation: Activation, scale: Array, knobs: Mapping[str, float]) -> tuple[Array, Array]:
    """Return √E[φ(s z)²] and √E[φ'(s z)²] for standard deviations s (...), without leaving float64."""
    return _sizes(activation, knobs)(np.asarray(scale))


def _sizes(activation: Activation, knobs: Mapping[str, float]) -> Callable[[Array], tuple[Array, Array]]:
    """Return the function that ``_rms_of`` is of the scale, (...) → two (...)."""
    at_zero, slope_at_zero = (function(np.zeros(()), **knobs) for function in (activation.f, activation.df))
    rays = _rays(activation.f, tuple(sorted(knobs.items())))
    if rays is not None:  # half of all z on each ray: no quadrature is needed
        half = math.sqrt((rays[0] ** 2 + rays[1] ** 2) / 2)

        def of_rays(scale: Array) -> tuple[Array, Array]:
            slope = np.where(scale == 0, np.abs(slope_at_zero), half)
            return scale * half, np.where(np.isnan(scale), math.nan, slope)

        return of_rays

    def of_any(scale: Array) -> tuple[Array, Array]:
        value, slope = np.empty_like(scale), np.empty_like(scale)
        for group in by_size(scale):
            s = scale[group]
            x, w = gaussian_nodes(s, activation.kinks + activation.seams)
            zero = s[:, None] == 0
            value[group] = _weighted_rms(np.where(zero, at_zero, activation.f(x, **knobs)), w)
            slope[group] = _weighted_rms(np.where(zero, slope_at_zero, activation.df(x, **knobs)), w)
        return value, slope

    return of_any


# E (φ(u) − φ(v))² in two variables: u, v = a·z ± b·w with z, w ~ N(0, 1), b ≤ a. For fixed w the kinks of the
# integrand are at z = (kink ∓ b·w)/a, where the panels are cut; what is left is smooth in w.
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(10)
_OUTER = np.array([0.0, 1.5, 3.5, 7.0])  # beyond 7 the normal distribution has probability 2.6e-12
_INNER = np.array([-7.0, -4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 7.0])
_GRADED = 0.5 * 2.0 ** np.arange(5)  # borders on both sides of an argument of 0, in units of φ's argument
_OSCILLATION = 8.0  # up to this scale the panels follow a sine
_SPARE = 1e-6  # an angle between two inputs below which only the slope of φ matters


def _panels(borders: Array) -> tuple[Array, Array]:
    """Return Gauss–Legendre points and weights times the normal density: (..., borders) → two (..., points)."""
    borders = np.sort(np.clip(borders, _INNER[0], _INNER[-1]), axis=-1)
    half = 0.5 * np.diff(borders)[..., None]
    z = borders[..., :-1, None] + half * (1 + _POINTS)
    w = half * _POINT_WEIGHTS * (np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
    return z.reshape(*z.shape[:-2], -1), w.reshape(*w.shape[:-2], -1)


def _difference_rms(activation: Activation, scale: Array, apart: Array, knobs: Mapping[str, float]) -> Array:
    """Return √(½E[(φ(u) − φ(v))²]) for jointly normal u, v of variance q = scale² and q(1 − c) = apart².

    Args:
        activation: φ.
        scale: (schemes,) √q.
        apart: (schemes,) √(q(1−c)), with c from 0 to 1.
        knobs: parameters of φ.

    Returns:
        (schemes,), to a relative 1e-9 up to a scale of 10 or so and 1e-4 far beyond; the linear apart·√E[φ'²]
        where apart is below 1e-6 of the scale. NaN where an argument is not finite. A φ that goes on oscillating is
        followed to 1e-4 up to a scale of 8, and NaN beyond.
    """
    result = np.full(scale.shape, math.nan)
    result[(scale == 0) | (apart == 0)] = 0.0
    ratio = apart / np.where(scale > 0, scale, 1.0)
    near = (ratio > 0) & (ratio < _SPARE) & np.isfinite(scale)
    if near.any():
        result[near] = apart[near] * _rms_of(activation, scale[near], knobs)[1]
    kinks = np.array(sorted({*activation.kinks, *activation.seams}), dtype=np.float64)
    gaps = np.abs(kinks[:, None] - kinks)[np.triu_indices(len(kinks), 1)]
    far = activation.df(np.linspace(20.0, 60.0, 201), **knobs)
    followed = _OSCILLATION if far.min() < 0 < far.max() else math.inf
    done: dict[tuple[float, float], int] = {}  # schemes that differ in nothing here need one answer
    for k in np.flatnonzero(
        (ratio >= _SPARE) & np.isfinite(scale) & np.isfinite(apart) & (scale <= followed)
    ):
        same = done.setdefault((float(scale[k]), float(apart[k])), int(k))
        if same != k:
            result[k] = result[same]
            continue
        b = apart[k] * math.sqrt(0.5)
        a = scale[k] * math.sqrt(1 - min(1.0, 0.5 * ratio[k] ** 2))
        # Graded panels resolve what φ does around 0 once its argument is wider than a unit or two.
        spread = _GRADED if a > 1 else _GRADED[:0]
        w, outer = _panels(np.concatenate([_OUTER, spread / b, gaps / (2 * b)]))
        w, outer = w[w > 0], outer[w > 0]
        centers = np.concatenate([kinks, spread, -spread, [0.0] if a > 1 else []])
        shift = b * w[:, None]
        borders = [
            np.broadcast_to(_INNER, (len(w), _INNER.size)),
            (centers - shift) / a,
            (centers + shift) / a,
        ]
        z, inner = _panels(np.concatenate(borders, axis=-1))
        z *= a
        difference = activation.f(z + shift, **knobs) - activation.f(z - shift, **knobs)
        # w > 0 is half of the distribution, and the ½ in front the other half.
        result[k] = _weighted_rms(_weighted_rms(difference, inner), outer)
    return result


@lru_cache(maxsize=64)
def _rays(f: Callable[..., Array], knobs: tuple[tuple[str, float], ...]) -> tuple[float, float] | None:
    """Return (a₋, a₊) where φ(z) is a₋z below 0 and a₊z above, None for any other φ."""
    up = 2.0 ** np.arange(-60, 61, 4)
    z = np.concatenate([-up, up])
    y = np.asarray(f(z, **dict(knobs)), float)
    below, above = (float(y[z == sign][0] / sign) for sign in (-1.0, 1.0))
    # Powers of two scale without rounding, so that a straight ray through 0 is recognized exactly.
    return (below, above) if (y == np.where(z > 0, above, below) * z).all() else None


def log_variance(activation: Activation, knobs: Mapping[str, float] | None = None) -> float | None:
    """Variance that a layer of width n adds to ln q of one network, times n; None where no closed form is known.

    Without biases, and where φ is a₊z above 0 and a₋z below, one input meets in every layer an independent factor, a
    mean of n terms φ(z)²/E φ², z normal. Its relative variance is κ/n with

        κ = E φ⁴/(E φ²)² − 1 = 6(a₊⁴ + a₋⁴)/(a₊² + a₋²)² − 1,

    5 for ReLU and 2 for the identity. After L layers ln q has variance near κL/n, so the typical network lies at
    exp(−κL/(2n)) of the mean; the same holds for the gradient on its way back. To first order in 1/n, one input.

    Source: Hanin and Nica, "Products of many large random matrices and gradients in deep neural networks", 2020,
    for ReLU.
    """
    rays = _rays(activation.f, tuple(sorted((knobs or {}).items())))
    if rays is None or not any(rays):
        return None
    below, above = rays
    return 6 * (above**4 + below**4) / (above**2 + below**2) ** 2 - 1


def first_bad(
    rms: ArrayLike, *, low: float = FLOAT32_TINY, high: float = FLOAT32_MAX, backward: bool = False
) -> int | None:
    """Return the first layer at which a run leaves a limited range, or None.

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


def _check_scale(input_scale: float) -> None:
    if not 0 < input_scale < math.inf:
        raise ValueError(f"input_scale = {input_scale}: needs a finite number above 0")


def _check_spread(sigma_b: float) -> None:
    if not 0 <= sigma_b < math.inf:
        raise ValueError(f"sigma_b = {sigma_b}: needs a finite number from 0")
