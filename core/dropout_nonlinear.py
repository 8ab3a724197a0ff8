"""Dropout before a nonlinearity: E f(z) over masks in training against f(E z) in evaluation.

Scaling makes the mean of z = Σ cᵢ·mᵢ/(1 − p) + b right, with contributions cᵢ = wᵢ·aᵢ. It does not make the mean of
f(z) right, unless f is linear where z falls (Jensen). Dropout is inverted throughout; p is p_drop, p_keep = 1 − p.
Closed forms take z for normal, N(Σc + b, p/(1 − p)·Σc²): exact in the limit of many small contributions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import ACTIVATIONS, Activation
from core.dropout import draw_mask, drop, dropout_moments
from core.properties import borders
from core.quadrature import gaussian_mean
from core.streams import stream

Array = NDArray[np.floating[Any]]

EXACT_INPUTS = 12  # up to so many, all masks are enumerated: 4,096 of them
ROWS, UNITS = 512, 128  # inputs, each with its own mask, and units of a layer that is measured
_SQUARES = 2.0  # Σc² of a unit with He weights and inputs of second moment 1

_FEATURES = (
    -4.0,
    -2.0,
    -1.0,
    0.0,
    1.0,
    2.0,
    4.0,
)  # borders of panels where activations bend, far from the mean too

_CONTRIBUTIONS, _MASKS, _INPUTS, _WEIGHTS, _LAYER_MASKS = range(5)  # the places of the random streams


def _check_p(p: ArrayLike) -> Array:
    rates = np.asarray(p, dtype=np.float64)
    if not np.all((rates >= 0) & (rates <= 1)):
        raise ValueError(f"p_drop = {rates}: needs numbers from 0 to 1")
    return rates


def _check_whole(name: str, value: int, low: int) -> None:
    if not value >= low or value != int(value):
        raise ValueError(f"{name} = {value}: needs a whole number from {low}")


def _entry(name: str) -> Activation:
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ValueError(f"activation = {name}: needs one of {', '.join(ACTIVATIONS)}") from None


def normal_mean(activation: str, mean: ArrayLike, variance: ArrayLike) -> Array:
    """Return E f(z) for z ~ N(mean, variance) by quadrature, f with its default settings.

    Args:
        activation: key of ``ACTIVATIONS``.
        mean, variance: (...), broadcast together; the variance is finite and 0 or more. At 0 the answer is f(mean).
    """
    entry = _entry(activation)
    means, variances = np.broadcast_arrays(
        np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    )
    result = np.empty(means.shape)
    for value in np.unique(means):
        at = means == value
        shift = float(value)
        result[at] = gaussian_mean(
            partial(_shifted, entry.f, shift),
            variances[at],
            [mark - shift for mark in (*borders(entry), *_FEATURES)],
        )
    return result


def _shifted(f: Callable[[ArrayLike], Array], shift: float, x: Array) -> Array:
    return f(x + shift)


# One unit


class Expectation(NamedTuple):
    """A mean over masks and its standard error, 0 where all masks are counted."""

    value: float
    error: float


@dataclass(frozen=True)
class DroppedUnit:
    """One unit with n inputs under dropout, and where its pre-activation z falls.

    Attributes:
        contributions: (n,), wᵢ·aᵢ, with Σc² = 2.
        bias: b, which puts Σc + b where it was asked for.
        z: (K,) the pre-activation under each mask.
        probability: (K,) of each mask: exact where all are enumerated, else 1/K.
        exact: whether all 2ⁿ masks are enumerated.
        scaled: Σc + b, the pre-activation in evaluation: E z over masks, except at p = 1.
        mean, sd: E z and the standard deviation of z over masks, in closed form.
    """

    contributions: Array
    bias: float
    z: Array
    probability: Array
    exact: bool
    scaled: float
    mean: float
    sd: float

    def expect(self, f: Callable[[Array], Array], shift: float = 0.0) -> Expectation:
        """Return the mean of f(z + shift) over the masks."""
        values = f(self.z + shift)
        mean = float(self.probability @ values)
        if self.exact:
            return Expectation(mean, 0.0)
        return Expectation(mean, float(np.std(values, ddof=1)) / math.sqrt(len(values)))

    def gap(self, activation: str, shift: float = 0.0) -> Expectation:
        """Return E f(z + shift) − f(Σc + b + shift): what training has on average over evaluation."""
        f = _entry(activation).f
        mean, error = self.expect(f, shift)
        return Expectation(mean - float(f(np.array(self.scaled + shift))), error)


def drop_unit(*, width: int, p: float, mean: float, seed: int = 0, masks: int = 10_000) -> DroppedUnit:
    """Draw a unit with He weights and normal inputs, and send it through dropout.

    Its contributions are scaled to Σc² = 2, what He weights and inputs of second moment 1 give on average, so that
    z spreads by √(2p/(1 − p)) under dropout whatever the seed. More inputs extend what was drawn, and another p moves
    the same uniforms.

    Args:
        width: n, number of inputs, from 1. Up to 12, all masks are enumerated; beyond, ``masks`` are drawn.
        p: probability to drop. At p = 1 nothing is kept, and z is the bias.
        mean: Σc + b in units of √Σc² = √2, the standard deviation of z at p = 0.5.
        seed: non-negative integer.
        masks: number of masks where they are drawn, from 2.

    Raises:
        ValueError: a value out of range.
    """
    _check_whole("width", width, 1)
    _check_whole("masks", masks, 2)
    _check_p(p)
    pairs = stream(seed, _CONTRIBUTIONS).standard_normal((width, 2))
    raw = pairs[:, 0] * pairs[:, 1]
    contributions = raw * math.sqrt(_SQUARES / float(np.sum(raw**2)))
    exact = width <= EXACT_INPUTS
    z = np.zeros(2**width if exact else masks)
    probability = np.ones(2**width) if exact else np.full(masks, 1 / masks)
    rng = stream(seed, _MASKS)
    for i, contribution in enumerate(contributions):
        keep = (np.arange(2**width) >> i & 1).astype(np.bool_) if exact else draw_mask(masks, p, rng)
        z += drop(np.full(len(z), contribution), p, keep)
        if exact:
            probability *= np.where(keep, 1 - p, p)
    scaled = mean * math.sqrt(_SQUARES)
    bias = scaled - float(np.sum(contributions))
    moments = dropout_moments(contributions, p)
    return DroppedUnit(
        contributions=contributions,
        bias=bias,
        z=z + bias,
        probability=probability,
        exact=exact,
        scaled=scaled,
        mean=float(moments.train_mean) + bias,
        sd=math.sqrt(float(moments.train_var)),
    )


# A layer


class Mixture(NamedTuple):
    """The distribution of z over units, inputs and masks: normal with a mean and a variance that varies itself.

    ``variance`` and ``weight`` are (K,), the weights sum to 1.
    """

    mean: float
    variance: Array
    weight: Array


@dataclass(frozen=True)
class Weights:
    """How the weights of a layer are drawn, and what that makes of z.

    ``inputs(rng, n, rows)`` → (n, rows) and ``weights(rng, n, units)`` → (n, units); ``theory(p, n)`` gives the
    distribution of z in training, p = 0 that in evaluation; p is below 1. ``exact`` says whether it is exact at any n
    or only for large n.
    """

    name: str
    inputs: Callable[[np.random.Generator, int, int], Array]
    weights: Callable[[np.random.Generator, int, int], Array]
    theory: Callable[[float, int], Mixture]
    exact: bool
    description: str


_PANEL, _REACH = (
    2.0,
    7.0,
)  # width of a panel of √χ², and how far beyond the binomial's mean square roots it is followed
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)


def _kept_squares(p: float, n: int) -> tuple[Array, Array]:
    """Return values v and weights so that E g(Σ mᵢ·aᵢ²) = Σ weight·g(v), for normal a and n masks m.

    k of the n are kept, and the sum is χ² with k degrees of freedom; t = √v has a density without a pole at 0.
    """
    kept = np.arange(1, n + 1)
    steps = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    log_binomial = steps[n] - steps[kept] - steps[n - kept]
    log_binomial += kept * math.log1p(-p) + (n - kept) * math.log(max(p, 1e-300))
    spread = 8 * math.sqrt(n * p * (1 - p)) + 40 * p  # kept numbers beyond have probability 1e-15
    low = math.sqrt(max(n * (1 - p) - spread, 0.0)) - _REACH
    high = math.sqrt(min(n * (1 - p) + spread, n)) + _REACH
    borders = np.linspace(max(low, 0.0), high, math.ceil((high - max(low, 0.0)) / _PANEL) + 1)
    half = np.diff(borders)[:, None] / 2
    t = (borders[:-1, None] + half * (1 + _NODES)).ravel()
    log_density = (kept - 1) * np.log(t)[:, None] - t[:, None] ** 2 / 2 - (kept / 2 - 1) * math.log(2)
    log_density = log_density - np.array([math.lgamma(k / 2) for k in kept])
    with np.errstate(under="ignore"):
        density = np.exp(log_density + log_binomial).sum(axis=1)
    weight = (half * _NODE_WEIGHTS).ravel() * density
    return np.append(t**2, 0.0), np.append(weight, p**n)


def _he_theory(p: float, n: int) -> Mixture:
    """z is normal over the weights, with variance 2/n·Σ(aᵢ·mᵢ/(1 − p))² for given inputs and masks."""
    squares, weight = _kept_squares(p, n)
    return Mixture(0.0, 2 / n / (1 - p) ** 2 * squares, weight)


def _averaging_theory(p: float, n: int) -> Mixture:
    """z is nearly normal over masks; Σc² is near (π/2)/n for half-normal contributions that sum to 1."""
    return Mixture(1.0, np.array([p / (1 - p) * math.pi / 2 / n]), np.ones(1))


def _normal(rng: np.random.Generator, n: int, columns: int) -> Array:
    return rng.standard_normal((n, columns))


def _he(rng: np.random.Generator, n: int, columns: int) -> Array:
    return rng.standard_normal((n, columns)) * math.sqrt(2 / n)


def _ones(rng: np.random.Generator, n: int, columns: int) -> Array:
    return np.ones((n, columns))


def _averaging(rng: np.random.Generator, n: int, columns: int) -> Array:
    raw = np.abs(rng.standard_normal((n, columns)))
    return np.asarray(raw / raw.sum(axis=0))


WEIGHTS: Mapping[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            name="He",
            inputs=_normal,
            weights=_he,
            theory=_he_theory,
            exact=True,
            description="He weights, standard normal inputs",
        ),
        Weights(
            name="averaging",
            inputs=_ones,
            weights=_averaging,
            theory=_averaging_theory,
            exact=False,
            description="positive weights that sum to 1, inputs 1",
        ),
    )
}


def weights_of(name: str) -> Weights:
    """Return an entry of ``WEIGHTS``; ValueError names the choices."""
    try:
        return WEIGHTS[name]
    except KeyError:
        raise ValueError(f"weights = {name}: needs one of {', '.join(WEIGHTS)}") from None


@dataclass(frozen=True)
class LayerGap:
    """Mean output of a layer in training and in evaluation, for A activations and P rates.

    Attributes:
        p: (P,).
        training: (A, P) mean of f(z) over inputs, masks and units.
        evaluation: (A,) mean of f(z) over inputs and units, without masks.
        error: (A, P) standard error of training − evaluation over inputs and masks, the weights as drawn.
        training_theory, evaluation_theory: (A, P), (A,) expected over weights too, by ``Weights.theory``.
    """

    p: Array
    training: Array
    evaluation: Array
    error: Array
    training_theory: Array
    evaluation_theory: Array

    @property
    def gap(self) -> Array:
        """Training less evaluation, (A, P)."""
        return self.training - self.evaluation[:, None]

    @property
    def gap_theory(self) -> Array:
        """The same in theory, (A, P)."""
        return self.training_theory - self.evaluation_theory[:, None]


def nonlinearity_gap(
    activations: Sequence[str], p: ArrayLike, *, width: int, weights: str = "He", seed: int = 0
) -> LayerGap:
    """Send inputs through dropout, a layer of 128 units and activations; in training and in evaluation.

    512 inputs, each with its own mask; all activations share them. More width extends what was drawn, another p moves
    the same uniforms. At p = 1 nothing is kept and z is 0 in training.

    Args:
        activations: A keys of ``ACTIVATIONS``.
        p: (P,) probabilities to drop.
        width: n, inputs of every unit, from 1.
        weights: key of ``WEIGHTS``.
        seed: non-negative integer.

    Raises:
        ValueError: a value out of range, or an unknown name.
    """
    entries = [_entry(name) for name in activations]
    rule = weights_of(weights)
    rates = np.atleast_1d(_check_p(p))
    _check_whole("width", width, 1)
    x = rule.inputs(stream(seed, _INPUTS), width, ROWS).T
    w = rule.weights(stream(seed, _WEIGHTS), width, UNITS)
    whole = x @ w
    before = np.array([entry.f(whole).mean(axis=1) for entry in entries])
    shape = (len(entries), len(rates))
    training, error, theory = np.empty(shape), np.empty(shape), np.empty(shape)
    for k, rate in enumerate(rates.tolist()):
        mask = draw_mask((width, ROWS), rate, stream(seed, _LAYER_MASKS)).T
        z = drop(x, rate, mask) @ w
        for a, (entry, name) in enumerate(zip(entries, activations, strict=True)):
            rows = entry.f(z).mean(axis=1)
            training[a, k] = rows.mean()
            error[a, k] = np.std(rows - before[a], ddof=1) / math.sqrt(ROWS)
            theory[a, k] = layer_mean(name, rate, width, weights)
    return LayerGap(
        p=rates,
        training=training,
        evaluation=before.mean(axis=1),
        error=error,
        training_theory=theory,
        evaluation_theory=np.array([layer_mean(name, 0.0, width, weights) for name in activations]),
    )


@lru_cache(maxsize=1024)
def layer_mean(activation: str, p: float, width: int, weights: str = "He") -> float:
    """Return E f(z) over weights, inputs and masks in training; p = 0 gives evaluation, p = 1 is f(0).

    Args:
        activation: key of ``ACTIVATIONS``.
        p: probability to drop.
        width: n, inputs of a unit, from 1.
        weights: key of ``WEIGHTS``; exact for He weights, for large n otherwise.

    Raises:
        ValueError: a value out of range, or an unknown name.
    """
    entry, rule = _entry(activation), weights_of(weights)
    _check_p(p)
    _check_whole("width", width, 1)
    if p == 1:
        return float(entry.f(np.zeros(())))
    z = rule.theory(p, width)
    return float(z.weight @ normal_mean(activation, z.mean, z.variance))
