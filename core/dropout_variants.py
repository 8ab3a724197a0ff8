"""Variants of dropout: what each of them drops together, and what that leaves of mean, variance and covariance.

x is (N, C, S): samples, channels, units of a channel. p is p_drop and stands for the same noise in every variant: a
factor of mean 1 and variance p/(1−p), but for alpha dropout. All are inverted: evaluation changes nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import ACTIVATIONS, SELU_ALPHA, SELU_LAMBDA, Activation
from core.dropout import Mask, draw_mask, drop
from core.dropout_depth import LayerMoments, input_signal, layer_weights, networks_for
from core.normalization import RunningStats, normalize, normalize_batch
from core.quadrature import gaussian_mean
from core.streams import stream

Array = NDArray[np.floating[Any]]

ALPHA_PRIME = -SELU_LAMBDA * SELU_ALPHA  # α′ ≈ −1.758, the limit of SELU at −∞: what a dropped unit is set to

_X, _NOISE = range(2)  # the places of the random streams
_MASKS = 2


class VariantMoments(NamedTuple):
    """What a variant makes of independent units of mean μ and variance σ², over inputs and masks.

    ``mean`` and ``var`` are those of one unit; ``channel`` and ``across`` the covariance of two units of one sample, in
    one channel and in two; ``sums`` the correlation of two sums, by different connections of equal weights, over the
    same units of a channel (NaN where they do not vary).
    """

    mean: float
    var: float
    channel: float
    across: float
    sums: float


class Affine(NamedTuple):
    """Alpha dropout's y = a·x + b, which restores mean 0 and variance 1."""

    a: float
    b: float


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to 1")


def _noise(p: float) -> float:
    """Return the variance p/(1−p) of a factor of mean 1 that keeps with probability 1 − p; p below 1."""
    return p / (1 - p)


def alpha_affine(p: float) -> Affine:
    """Return a = 1/√((1−p)(1 + p·α′²)) and b = −a·p·α′ for p below 1.

    With units of mean 0 and variance 1, of which a share p is set to α′, the mean is p·α′ and the variance
    (1−p)(1 + p·α′²).

    Source: Klambauer, Unterthiner, Mayr, Hochreiter 2017, "Self-normalizing neural networks"; torch.nn.AlphaDropout.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to below 1")
    a = 1 / math.sqrt((1 - p) * (1 + p * ALPHA_PRIME**2))
    return Affine(a, -a * p * ALPHA_PRIME)


def alpha_drop(x: Array, p: float, mask: Mask) -> Array:
    """Alpha dropout with a given mask: dropped units become α′, then a·x + b; 0 everywhere at p = 1, as in PyTorch."""
    if p == 1:
        return np.zeros_like(x)
    a, b = alpha_affine(p)
    return np.asarray(a * np.where(mask, x, ALPHA_PRIME) + b)


def _sums(x: Array, weights: Array | None) -> Array:
    return x if weights is None else np.asarray(x @ weights)


def _masked(shape: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., Array]:
    """Make the apply of a variant that masks units; ``shape`` says how large its mask is."""

    def apply(x: Array, p: float, rng: np.random.Generator, weights: Array | None = None) -> Array:
        return _sums(drop(x, p, draw_mask(shape(x.shape), p, rng)), weights)

    return apply


def _gaussian(x: Array, p: float, rng: np.random.Generator, weights: Array | None = None) -> Array:
    if p == 1:  # a factor of infinite variance is no number
        return _sums(np.full_like(x, np.nan), weights)
    return _sums(x * (1 + math.sqrt(_noise(p)) * rng.standard_normal(x.shape)), weights)


def _connections(x: Array, p: float, rng: np.random.Generator, weights: Array | None = None) -> Array:
    if weights is None:
        return drop(x, p, draw_mask(x.shape, p, rng))
    mask = draw_mask((*x.shape, weights.shape[1]), p, rng)
    every = np.broadcast_to(weights, mask.shape)
    return np.asarray(np.einsum("...s,...sk->...k", x, drop(every, p, mask)))


def _alpha(x: Array, p: float, rng: np.random.Generator, weights: Array | None = None) -> Array:
    return _sums(alpha_drop(x, p, draw_mask(x.shape, p, rng)), weights)


def _shared(channel: bool, across: bool) -> Callable[[float, float, float], VariantMoments]:
    """Make the moments of a factor of mean 1; the flags say whether units share it."""

    def moments(mean: float, var: float, p: float) -> VariantMoments:
        if p == 1:
            return VariantMoments(0.0, 0.0, 0.0, 0.0, math.nan)
        together = mean**2 * _noise(p)
        total = (var + mean**2) / (1 - p) - mean**2
        return VariantMoments(
            mean, total, together * channel, together * across, 1.0 if total > 0 else math.nan
        )

    return moments


def _gaussian_moments(mean: float, var: float, p: float) -> VariantMoments:
    if p == 1:
        return VariantMoments(*[math.nan] * 5)
    return _shared(False, False)(mean, var, p)


def _connection_moments(mean: float, var: float, p: float) -> VariantMoments:
    units = _shared(False, False)(mean, var, p)
    if not units.var > 0:
        return units
    return units._replace(sums=var / units.var)  # only the units' own variance is common to both sums


def _alpha_moments(mean: float, var: float, p: float) -> VariantMoments:
    if p == 1:
        return _shared(False, False)(mean, var, p)
    a, b = alpha_affine(p)
    total = a**2 * ((1 - p) * var + p * (1 - p) * (mean - ALPHA_PRIME) ** 2)
    return VariantMoments(
        a * ((1 - p) * mean + p * ALPHA_PRIME) + b, total, 0.0, 0.0, 1.0 if total > 0 else math.nan
    )


@dataclass(frozen=True)
class DropoutVariant:
    """One kind of dropout.

    ``apply(x, p, rng, weights)`` is training: x (N, C, S) becomes what its units pass on, (N, C, S), or with weights
    (S, K) the sums (N, C, K) that K units form of each channel. Without weights a variant that drops connections gives
    every unit one, of weight 1. ``moments(mean, var, p)`` is the closed form for independent units. ``drops`` says what
    one draw decides, ``formula`` is LaTeX for one unit.
    """

    name: str
    drops: str
    formula: str
    apply: Callable[..., Array]
    moments: Callable[[float, float, float], VariantMoments]
    source: str


DROPOUT_VARIANTS: dict[str, DropoutVariant] = {
    variant.name: variant
    for variant in (
        DropoutVariant(
            name="Standard",
            drops="each unit by itself",
            formula=r"y_i = \frac{m_i}{1-p}\,x_i",
            apply=_masked(lambda shape: shape),
            moments=_shared(False, False),
            source="Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014; torch.nn.Dropout (inverted)",
        ),
        DropoutVariant(
            name="Gaussian",
            drops="nothing: each unit times its own normal factor",
            formula=r"y_i = g_i\,x_i,\quad g_i \sim \mathcal N\!\left(1, \tfrac{p}{1-p}\right)",
            apply=_gaussian,
            moments=_gaussian_moments,
            source="Srivastava et al. 2014, section 10; keras.layers.GaussianDropout",
        ),
        DropoutVariant(
            name="DropConnect",
            drops="each connection by itself",
            formula=r"y_k = \sum_i \frac{m_{ik}}{1-p}\,w_{ik}\,x_i",
            apply=_connections,
            moments=_connection_moments,
            source="Wan, Zeiler, Zhang, LeCun, Fergus 2013, with inverted scaling instead of their normal approximation",
        ),
        DropoutVariant(
            name="Spatial",
            drops="whole channels",
            formula=r"y_{c,i} = \frac{m_c}{1-p}\,x_{c,i}",
            apply=_masked(lambda shape: (*shape[:2], 1)),
            moments=_shared(True, False),
            source="Tompson, Goroshin, Jain, LeCun, Bregler 2015; torch.nn.Dropout2d, keras.layers.SpatialDropout2D",
        ),
        DropoutVariant(
            name="DropPath",
            drops="whole samples of a residual branch",
            formula=r"y = x + \frac{m}{1-p}\,F(x)",
            apply=_masked(lambda shape: (shape[0], 1, 1)),
            moments=_shared(True, True),
            source="Huang, Sun, Liu, Sedra, Weinberger 2016, Deep networks with stochastic depth; "
            "Larsson, Maire, Shakhnarovich 2017; torchvision.ops.stochastic_depth",
        ),
        DropoutVariant(
            name="Alpha",
            drops=f"each unit by itself, to α′ = −λα ≈ {ALPHA_PRIME:.3f} instead of 0".replace("-", "−"),
            formula=r"y_i = a\,\bigl(m_i x_i + (1-m_i)\,\alpha'\bigr) + b",
            apply=_alpha,
            moments=_alpha_moments,
            source="Klambauer, Unterthiner, Mayr, Hochreiter 2017; torch.nn.AlphaDropout",
        ),
    )
}


def dropout_variant(name: str) -> DropoutVariant:
    """Return an entry of ``DROPOUT_VARIANTS``; ValueError names the choices."""
    try:
        return DROPOUT_VARIANTS[name]
    except KeyError:
        raise ValueError(f"variant = {name}: needs one of {', '.join(DROPOUT_VARIANTS)}") from None


class Measured(NamedTuple):
    """Moments from samples, and the standard error of each; fields of both as in ``VariantMoments``."""

    moments: VariantMoments
    error: VariantMoments


_GROUPS = 20  # of samples, whose scatter gives the standard errors


def measure_variant(
    name: str, *, mean: float, p: float, samples: int = 2000, channels: int = 4, units: int = 4, seed: int = 0
) -> Measured:
    """Measure the moments of a variant on x ~ N(mean, 1), independent units; all variants see the same x.

    The moments are taken around the closed form's mean, so that they are sums over samples; each standard error is that
    of the mean of twenty groups of samples.

    Args:
        name: key of ``DROPOUT_VARIANTS``.
        mean: μ.
        p: probability to drop, from 0 to 1.
        samples: N, a multiple of 20.
        channels, units: C and S, from 2.
        seed: non-negative integer.
    """
    variant = dropout_variant(name)
    _check_p(p)
    if samples < _GROUPS or samples % _GROUPS:
        raise ValueError(f"samples = {samples}: needs a multiple of {_GROUPS}")
    if min(channels, units) < 2:
        raise ValueError(f"channels = {channels}, units = {units}: both need whole numbers from 2")
    x = mean + stream(seed, _X).standard_normal((samples, channels, units))
    centre = variant.moments(mean, 1.0, p).mean
    apart = variant.apply(x, p, stream(seed, _NOISE, 0)) - centre
    sums = variant.apply(x, p, stream(seed, _NOISE, 1), np.full((units, 2), 1 / units)) - centre

    def groups(values: Array) -> Array:
        return np.asarray(values.reshape(_GROUPS, -1).mean(axis=1))

    shift = groups(apart)
    squares = groups(apart**2)
    in_channel = apart.sum(axis=2)
    within = groups(in_channel**2 - (apart**2).sum(axis=2)) / (units * (units - 1))
    between = groups(apart.sum(axis=(1, 2)) ** 2 - (in_channel**2).sum(axis=1)) / (
        channels * (channels - 1) * units**2
    )
    product, size = groups(sums[..., 0] * sums[..., 1]), groups((sums**2).mean(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = product.mean() / size.mean()
        lone = (product - ratio * size) / size.mean()  # the ratio's error to first order
    columns = (shift, squares - shift.mean() ** 2, within - shift.mean() ** 2, between - shift.mean() ** 2)
    found = [float(column.mean()) for column in columns]
    errors = [float(column.std(ddof=1)) / math.sqrt(_GROUPS) for column in (*columns, lone)]
    return Measured(
        VariantMoments(found[0] + centre, found[1], found[2], found[3], float(ratio)), VariantMoments(*errors)
    )


# SELU through depth


def _plain(x: Array, p: float, mask: Mask) -> Array:
    return drop(x, p, mask)


def _none(x: Array, p: float, mask: Mask) -> Array:
    return x


SELU_DROPS: dict[str, Callable[[Array, float, Mask], Array]] = {
    "No dropout": _none,
    "Standard": _plain,
    "Alpha": alpha_drop,
}


def propagate_selu(
    *,
    p: float,
    depth: int,
    width: int,
    inputs: int = 8,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> LayerMoments:
    """Send standard normal inputs through SELU layers with LeCun weights, with each of ``SELU_DROPS`` after SELU.

    h¹ is standard normal, y^l = d(selu(h^l)), h^{l+1} = y^l·W^l with W of variance 1/width; all three share weights and
    masks. Networks, inputs and weights are those of ``propagate_dropout``, and so is ``report``.

    Returns:
        mean and second moment of y^l, (3, depth), over units, inputs and networks.
    """
    _check_p(p)
    count = networks_for(width)
    shape = (count, inputs, width)
    selu = ACTIVATIONS["SELU"].f
    h = np.stack([input_signal(*shape, seed)] * len(SELU_DROPS), axis=1)
    mean, second = (np.empty((len(SELU_DROPS), depth)) for _ in range(2))
    for l in range(depth):
        mask = draw_mask(shape, p, stream(seed, _MASKS, l))
        with np.errstate(over="ignore", invalid="ignore"):
            a = selu(h)
            y = np.stack([way(a[:, k], p, mask) for k, way in enumerate(SELU_DROPS.values())], axis=1)
            mean[:, l], second[:, l] = y.mean(axis=(0, 2, 3)), np.square(y).mean(axis=(0, 2, 3))
            if l < depth - 1:
                h = (y.reshape(count, -1, width) @ layer_weights(count, width, seed, l)).reshape(y.shape)
        if report is not None:
            report(l + 1, depth)
    return LayerMoments(mean, second)


def selu_theory(*, p: float, depth: int) -> LayerMoments:
    """Return the moments of ``propagate_selu`` for wide layers, (3, depth), by the recursion q^{l+1} = E (y^l)².

    NaN from the layer on where q leaves float64.
    """
    _check_p(p)
    activation: Activation = ACTIVATIONS["SELU"]
    kinks = activation.kinks_at()
    entries = (None, DROPOUT_VARIANTS["Standard"], DROPOUT_VARIANTS["Alpha"])
    mean, second = (np.full((len(entries), depth), np.nan) for _ in range(2))
    q = np.ones(len(entries))
    for l in range(depth):
        inside = np.flatnonzero(np.isfinite(q))
        first = gaussian_mean(activation.f, q[inside], kinks)
        with np.errstate(over="ignore"):
            square = gaussian_mean(lambda h: activation.f(h) ** 2, q[inside], kinks)
        for k, m, s in zip(inside, first.tolist(), square.tolist(), strict=True):
            entry = entries[k]
            m, v, *_ = (m, s - m * m) if entry is None else entry.moments(m, s - m * m, p)
            mean[k, l], second[k, l] = m, v + m * m
        q = second[:, l]
    return LayerMoments(mean, second)


# Dropout before BatchNorm


class VarianceShift(NamedTuple):
    """Dropout and BatchNorm, one after the other, for every p of a grid, (P,) each.

    ``stored`` is the variance BatchNorm keeps for evaluation over that of its input in evaluation; ``output`` the
    standard deviation of BatchNorm's output in evaluation; in training it is 1.
    """

    stored: Array
    output: Array


def variance_shift(mean: ArrayLike, var: ArrayLike, p: ArrayLike) -> Array:
    """Return Var_training/Var_evaluation = ((σ² + μ²)/(1−p) − μ²)/σ² of units before a BatchNorm, p below 1.

    A weighted sum of independent units has the same ratio: both variances get the factor Σw². The paper's shift ratio
    is its inverse.

    Args:
        mean, var: μ and σ² > 0 of the units in evaluation.
        p: probability to drop, from 0 to below 1; all broadcast.

    Source: Li, Chen, Hu, Yang 2018, "Understanding the disharmony between dropout and batch normalization by variance
    shift".
    """
    rate, c, v = (np.asarray(value, np.float64) for value in (p, mean, var))
    if np.any(rate < 0) or np.any(rate >= 1):
        raise ValueError("p_drop: needs numbers from 0 to below 1")
    if np.any(v <= 0):
        raise ValueError("var: needs positive numbers")
    return np.asarray(((v + c**2) / (1 - rate) - c**2) / v)


def measure_variance_shift(
    mean: float,
    rates: Sequence[float],
    *,
    before: bool,
    batches: int = 100,
    batch: int = 128,
    features: int = 4,
    seed: int = 0,
) -> VarianceShift:
    """Train and evaluate BatchNorm on x ~ N(mean, 1), with dropout before it or after it.

    The running statistics are the averages over all batches (PyTorch's momentum=None). Masks are nested in p and the
    inputs shared. With dropout after BatchNorm what is dropped is BatchNorm's output, and its statistics never see it.

    Args:
        mean: μ.
        rates: P values of p, each from 0 to below 1.
        before: whether dropout comes before BatchNorm.
        batches, batch: how many training batches of how many samples.
        features: units measured and pooled for each p.
        seed: non-negative integer.
    """
    grid = np.asarray(rates, np.float64)
    if np.any(grid >= 1) or np.any(grid < 0):
        raise ValueError("p_drop: needs numbers from 0 to below 1")
    count = len(grid)
    running = RunningStats.start(count * features)
    for t in range(batches):
        x = mean + stream(seed, _X, t).standard_normal((batch, features))
        if before:
            # One uniform an entry, as draw_mask draws it, against every p.
            masks = [draw_mask(x.shape, p, stream(seed, _NOISE, t)) for p in grid]
            seen = np.concatenate([drop(x, p, mask) for p, mask in zip(grid, masks, strict=True)], axis=1)
        else:
            seen = np.tile(x, (1, count))
        _, running = normalize_batch(seen, 1.0, 0.0, running, momentum=None)
    fresh = mean + stream(seed, _X, batches).standard_normal((batches * batch, features))
    evaluated = np.tile(fresh, (1, count))
    out = normalize(evaluated, 1.0, 0.0, running)
    stored = running.var.reshape(count, features).mean(axis=1) / fresh.var(axis=0, ddof=1).mean()
    output = np.sqrt(out.var(axis=0).reshape(count, features).mean(axis=1))
    return VarianceShift(stored, output)
