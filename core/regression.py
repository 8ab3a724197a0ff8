"""Two losses over data: linear and logistic regression of y on one input x, with weight w and bias b.

A point is (w, b); the prediction is z = wx + b and the loss is the mean over the samples. ``Samples`` gives
the full loss with its derivatives, and the loss and gradient of each sample or of a mini-batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.streams import stream
from core.surface_formulas import Array, Evaluate, Parts, gradient, hessian, value

PerSample = Callable[[Array, Array], Array]

COUNT = 64
_SEED = 0
_BLOCK = 240  # points at a time: with 64 samples their temporaries stay below what malloc would map anew


@dataclass(frozen=True)
class Loss:
    """The loss ℓ(z, y) of one sample as a function of its prediction z, with its derivatives by z.

    ``value``, ``slope`` and ``bend`` are ℓ, ∂ℓ/∂z and ∂²ℓ/∂z²; z (..., N) and y (N,) broadcast.
    """

    name: str
    value: PerSample
    slope: PerSample
    bend: PerSample


@dataclass(frozen=True, eq=False)
class Samples:
    """A data set and its loss: inputs x (N,), targets y (N,).

    ``f``, ``grad`` and ``hessian`` take points (..., 2) to the mean over all samples, (...), (..., 2) and
    (..., 2, 2); like those of a ``Surface`` they keep the float type and return overflow as inf or NaN.
    ``losses`` and ``grads`` are those of the single samples. All raise ``ValueError`` for other shapes.
    """

    x: Array
    y: Array
    loss: Loss

    @property
    def sample_count(self) -> int:
        """N, the number of samples."""
        return len(self.x)

    @property
    def f(self) -> Evaluate:
        """The mean loss, (..., 2) → (...)."""
        return value(lambda x, y: self._means(x, y, self._value)[0])

    @property
    def grad(self) -> Evaluate:
        """The gradient of the mean loss, (..., 2) → (..., 2)."""
        return gradient(lambda x, y: self._means(x, y, self._slopes))

    @property
    def hessian(self) -> Evaluate:
        """The Hessian of the mean loss, (..., 2) → (..., 2, 2)."""
        return hessian(lambda x, y: self._means(x, y, self._bends))

    def losses(self, w: ArrayLike) -> Array:
        """Return the loss of each sample, (..., 2) → (..., N)."""
        return self._single(w, self._value)[..., 0]

    def grads(self, w: ArrayLike) -> Array:
        """Return the gradient of each sample's loss, (..., 2) → (..., N, 2)."""
        return self._single(w, self._slopes)

    def sample_loss(self, w: ArrayLike, rows: ArrayLike) -> Array:
        """Return the mean loss of a mini-batch, (..., 2) → (...).

        Args:
            w: (..., 2), points.
            rows: (B,), indices of samples; a repeated one counts as often as it occurs.

        Raises:
            ValueError: no rows. IndexError: a row that does not exist.
        """
        return self._batch(rows).f(w)

    def sample_grad(self, w: ArrayLike, rows: ArrayLike) -> Array:
        """Return the gradient of ``sample_loss``, (..., 2) → (..., 2)."""
        return self._batch(rows).grad(w)

    def _batch(self, rows: ArrayLike) -> "Samples":
        chosen = np.asarray(rows)
        if chosen.ndim != 1 or not chosen.size:
            raise ValueError(f"rows has shape {chosen.shape}: needs (B,) with B at least 1")
        return Samples(self.x[chosen], self.y[chosen], self.loss)

    # The parts for samples along a last axis: of the loss, of its gradient, of its Hessian.

    def _value(self, z: Array) -> tuple[Array, ...]:
        return (self.loss.value(z, self.y),)

    def _slopes(self, z: Array) -> tuple[Array, ...]:
        slope = self.loss.slope(z, self.y)
        return slope * self.x, slope

    def _bends(self, z: Array) -> tuple[Array, ...]:
        bend = self.loss.bend(z, self.y)
        across = bend * self.x
        return across * self.x, across, bend

    def _predict(self, x: Array, y: Array) -> Array:
        return x[..., None] * self.x + y[..., None]

    def _means(self, x: Array, y: Array, parts: Callable[[Array], tuple[Array, ...]]) -> Parts:
        """Average the parts over the samples, block by block; a sum of N numbers does not hang on the block."""
        if x.size <= _BLOCK:
            return tuple(np.add.reduce(part, axis=-1) / len(self.x) for part in parts(self._predict(x, y)))
        flat_x, flat_y = x.reshape(-1), y.reshape(-1)
        blocks = [
            self._means(flat_x[i : i + _BLOCK], flat_y[i : i + _BLOCK], parts)
            for i in range(0, x.size, _BLOCK)
        ]
        return tuple(np.concatenate(part).reshape(x.shape) for part in zip(*blocks, strict=True))

    def _single(self, w: ArrayLike, parts: Callable[[Array], tuple[Array, ...]]) -> Array:
        points = np.asarray(w)
        if points.dtype.kind != "f":
            points = points.astype(np.float64, casting="same_kind")
        if points.ndim == 0 or points.shape[-1] != 2:
            raise ValueError(f"w has shape {points.shape}: needs (..., 2)")
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            found = parts(self._predict(points[..., 0], points[..., 1]))
        return np.stack(found, axis=-1).astype(points.dtype, copy=False)


def _decay(z: Array) -> Array:
    """exp(−|z|), which never overflows."""
    return np.exp(-np.abs(z))


def _softplus(z: Array) -> Array:
    """log(1 + eᶻ) without overflow, and exact to the last digits where it is small."""
    return np.maximum(z, 0) + np.log1p(_decay(z))


def _bell(z: Array) -> Array:
    """σ(z)σ(−z), the variance of a label."""
    small = _decay(z)
    return small / ((1.0 + small) * (1.0 + small))


def _residual_squared(z: Array, y: Array) -> Array:
    residual = z - y
    return residual * residual


SQUARED = Loss(
    "squared error", _residual_squared, lambda z, y: 2.0 * (z - y), lambda z, y: np.full_like(z - y, 2.0)
)
"""(z − y)², for a target that is any number."""

# With s = 2y − 1, which is +1 or −1, the log loss −log P(y) is softplus(−sz): no cancellation on either side.
LOG_LOSS = Loss(
    "log loss",
    lambda z, y: _softplus((1.0 - 2.0 * y) * z),
    lambda z, y: (1.0 - 2.0 * y) / (1.0 + np.exp((2.0 * y - 1.0) * z)),
    lambda z, y: _bell(z),
)
"""−log P(y) with P(1) = σ(z), for a label y that is 0 or 1."""


def linear_samples(count: int = COUNT, seed: int = _SEED) -> Samples:
    """Draw data about the line y = x + ½: x of mean 1.5 and deviation 0.8, noise of deviation 0.6.

    The inputs are not centered, so weight and bias can stand in for each other: the loss is a long valley.
    Numbers are rounded to two decimals. A larger count is another draw, not an extension.
    """
    rng = stream(seed, 0)
    x = np.round(rng.normal(1.5, 0.8, count), 2)
    y = np.round(x + 0.5 + rng.normal(0.0, 0.6, count), 2)
    return Samples(_frozen(x), _frozen(y), SQUARED)


def logistic_samples(count: int = COUNT, seed: int = _SEED) -> Samples:
    """Draw two classes of equal size: y = 0 about x = 0.5 and y = 1 about x = 2.5, both of deviation 1.

    The classes overlap; separated, they would have no finite minimum. Rounded to two decimals.
    """
    rng = stream(seed, 1)
    y = (2 * np.arange(count) >= count).astype(float)
    x = np.round(0.5 + 2.0 * y + rng.normal(0.0, 1.0, count), 2)
    return Samples(_frozen(x), _frozen(y), LOG_LOSS)


def line_loss(samples: Samples) -> tuple[Evaluate, Evaluate, Evaluate]:
    """Return f, grad and hessian of the squared error by its moments: f* + ½dᵀHd, d from the least-squares line.

    The same as ``Samples.f`` and its derivatives up to rounding, at a cost that does not depend on N and
    exact close to the minimum.

    Raises:
        ValueError: all x are equal, so that no single line fits best.
    """
    x, y = samples.x, samples.y
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread = math.fsum((x - mean_x) ** 2)
    if spread == 0:
        raise ValueError("all x are equal: the least-squares line is not unique")
    w = math.fsum((x - mean_x) * (y - mean_y)) / spread
    b = mean_y - w * mean_x
    lowest = math.fsum((w * x + b - y) ** 2) / len(x)
    a, c = 2 * math.fsum(x * x) / len(x), 2 * mean_x  # the Hessian is ((a, c), (c, 2))

    def f(x: Array, y: Array) -> Array:
        u, v = x - w, y - b
        return lowest + (0.5 * a * u * u + c * u * v + v * v)

    def slopes(x: Array, y: Array) -> Parts:
        u, v = x - w, y - b
        return a * u + c * v, c * u + 2 * v

    return value(f), gradient(slopes), hessian(lambda x, y: (a, c, 2.0))


def _frozen(values: NDArray[Any]) -> Array:
    values.setflags(write=False)
    return values


def separated(samples: Samples) -> bool:
    """Return whether a threshold on x parts the labels 0 and 1, so that the log loss has no finite minimum."""
    zeros, ones = samples.x[samples.y == 0], samples.x[samples.y == 1]
    if not len(zeros) or not len(ones):
        return True
    return bool(zeros.max() <= ones.min() or ones.max() <= zeros.min())
