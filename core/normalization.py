"""Batch normalization: one function for training, one for evaluation, and the conventions between them.

Shapes: a batch ``x`` is (N, C) or (N, C, L, ...); every statistic is taken per feature C, over all other
axes. Statistics are computed in float64 and results returned in the dtype of ``x``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Momentum = float | Literal["default"] | None


def _weight_is_momentum(momentum: float | None) -> float | None:
    return momentum


def _weight_is_rest(momentum: float | None) -> float:
    if momentum is None:
        raise ValueError(
            "momentum = None: needs a number from 0 to 1, this convention has no cumulative average"
        )
    return 1 - momentum


def _cumulative(momentum: float | None) -> None:
    return None


@dataclass(frozen=True)
class BatchNormConvention:
    """How one framework keeps running statistics.

    ``eps`` and ``momentum`` are its defaults, momentum in its own sense. ``weight`` turns such a momentum
    into the weight on the new batch, None for the cumulative average; ``momentum_of`` turns a weight back.
    ``unbiased``: the stored variance is N/(N−1) times the batch's own (N: values per feature).
    """

    name: str
    eps: float
    momentum: float | None
    unbiased: bool
    weight: Callable[[float | None], float | None]
    momentum_of: Callable[[float], float | None]
    source: str

    def fixed_weight(self, momentum: Momentum = "default") -> float | None:
        """Return the weight on every new batch, or None where it is 1/t (cumulative average).

        Raises:
            ValueError: momentum outside [0, 1], or None where the framework does not take it.
        """
        value = self.momentum if momentum == "default" else momentum
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"momentum = {value}: needs a number from 0 to 1")
        return self.weight(value)

    def new_weight(self, momentum: Momentum = "default", batch: int = 1) -> float:
        """Return the weight on batch number ``batch`` (from 1); the old running value gets the rest."""
        fixed = self.fixed_weight(momentum)
        return 1 / batch if fixed is None else fixed


BATCHNORM_CONVENTIONS: dict[str, BatchNormConvention] = {
    rule.name: rule
    for rule in (
        BatchNormConvention(
            name="PyTorch",
            eps=1e-5,
            momentum=0.1,
            unbiased=True,
            weight=_weight_is_momentum,
            momentum_of=lambda weight: weight,
            source="torch.nn.BatchNorm1d; momentum=None is the cumulative average",
        ),
        BatchNormConvention(
            name="Keras",
            eps=1e-3,
            momentum=0.99,
            unbiased=False,
            weight=_weight_is_rest,
            momentum_of=lambda weight: 1 - weight,
            source="keras.layers.BatchNormalization, Keras 3",
        ),
        BatchNormConvention(
            name="ONNX",
            eps=1e-5,
            momentum=0.9,
            unbiased=False,
            weight=_weight_is_rest,
            momentum_of=lambda weight: 1 - weight,
            source="ONNX operator BatchNormalization, opset 15, training_mode=1",
        ),
        BatchNormConvention(
            name="paper",
            eps=1e-5,  # the paper gives no value
            momentum=None,
            unbiased=True,
            weight=_cumulative,
            momentum_of=lambda weight: None,
            source="Ioffe and Szegedy 2015, algorithm 2: averages over batches, variance times m/(m−1)",
        ),
    )
}


def batchnorm_convention(name: str) -> BatchNormConvention:
    """Return an entry of ``BATCHNORM_CONVENTIONS``; ValueError names the choices."""
    try:
        return BATCHNORM_CONVENTIONS[name]
    except KeyError:
        choices = ", ".join(BATCHNORM_CONVENTIONS)
        raise ValueError(f"convention = {name}: needs one of {choices}") from None


class RunningStats(NamedTuple):
    """What evaluation normalizes with: ``mean`` and ``var``, each (C,), and how they came about.

    ``batches`` counts updates. ``undefined`` counts those among them whose unbiased variance was 0/0
    (one value per feature): they moved the mean and left the variance as it was.
    """

    mean: Array
    var: Array
    batches: int = 0
    undefined: int = 0

    @classmethod
    def start(
        cls, features: int, *, mean: ArrayLike = 0.0, var: ArrayLike = 1.0, dtype: type = np.float64
    ) -> Self:
        """Return the state before the first batch: mean 0, variance 1 in every framework."""
        if features < 1:
            raise ValueError(f"features = {features}: needs a whole number from 1")
        shape = (features,)
        return cls(
            np.array(np.broadcast_to(np.asarray(mean, dtype), shape)),
            np.array(np.broadcast_to(np.asarray(var, dtype), shape)),
        )

    def update(
        self,
        mean: ArrayLike,
        var: ArrayLike,
        count: int,
        *,
        momentum: Momentum = "default",
        convention: str = "PyTorch",
    ) -> "RunningStats":
        """Return the state after one more batch.

        Args:
            mean, var: (C,) the batch's mean and biased variance.
            count: values per feature in the batch, N or N·L.
            momentum: in the sense of the convention; "default" is its own, None the cumulative average.
            convention: key of ``BATCHNORM_CONVENTIONS``.
        """
        if count < 1:
            raise ValueError(f"count = {count}: needs a whole number from 1")
        rule = batchnorm_convention(convention)
        batches = self.batches + 1
        new_mean = _blend(self.mean, np.asarray(mean), rule.new_weight(momentum, batches))
        if rule.unbiased and count == 1:
            return RunningStats(new_mean, self.var.copy(), batches, self.undefined + 1)
        bessel = count / (count - 1) if rule.unbiased else 1.0
        weight = rule.new_weight(momentum, batches - self.undefined)
        with np.errstate(over="ignore"):
            stored = np.asarray(var, np.float64) * bessel
        return RunningStats(new_mean, _blend(self.var, stored, weight), batches, self.undefined)


def follow(
    mean: Array,
    var: Array,
    count: int,
    *,
    start: tuple[float, float] = (0.0, 1.0),
    momentum: Momentum = "default",
    convention: str = "PyTorch",
) -> tuple[Array, Array]:
    """Return the running mean and variance of one feature after each batch of a stream.

    What ``RunningStats.update`` gives one batch after the other, in double precision and without a state at each.

    Args:
        mean, var: (T,) of the batches; the variances biased.
        count: values in each batch.
        start: mean and variance before the first.
        momentum, convention: as in ``RunningStats.update``.

    Returns:
        two arrays (T+1,), which begin with the start.
    """
    if count < 1:
        raise ValueError(f"count = {count}: needs a whole number from 1")
    rule = batchnorm_convention(convention)
    weights = [rule.new_weight(momentum, batch) for batch in range(1, len(mean) + 1)]
    means = _blended(start[0], np.asarray(mean, np.float64), weights)
    if rule.unbiased and count == 1:
        return means, np.full(len(means), float(start[1]))
    with np.errstate(over="ignore"):
        stored = np.asarray(var, np.float64) * (count / (count - 1) if rule.unbiased else 1.0)
    return means, _blended(start[1], stored, weights)


def _blended(start: float, new: Array, weights: Sequence[float]) -> Array:
    """Return old ← (1 − weight)·old + weight·new for all of ``new``, in Python's numbers, which overflow silently."""
    found = [float(start)]
    for value, weight in zip(new.tolist(), weights, strict=True):
        found.append((1 - weight) * found[-1] + weight * value)
    return np.array(found)


def _blend(old: Array, new: Array, weight: float) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        mixed = (1 - weight) * old.astype(np.float64) + weight * new
        return np.asarray(mixed.astype(old.dtype))


class _Centred(NamedTuple):
    """A batch split into parts: x = scale·(mean + rest), var the biased variance of x/scale."""

    scale: Array
    mean: Array
    var: Array
    rest: Array


def _batch(x: ArrayLike) -> Array:
    batch = np.asarray(x)
    if not np.issubdtype(batch.dtype, np.floating):
        batch = batch.astype(np.float64)
    if batch.ndim < 2:
        raise ValueError(f"x has shape {batch.shape}: needs (N, C) or (N, C, L, ...)")
    if batch.size == 0:
        raise ValueError(f"x has shape {batch.shape}: needs at least one value per feature")
    return batch


def _axes(batch: Array) -> tuple[int, ...]:
    return (0, *range(2, batch.ndim))


def _per_feature(name: str, value: ArrayLike, batch: Array) -> Array:
    """Lay a scalar or a (C,) array along axis 1 of the batch, in float64."""
    array = np.asarray(value, np.float64)
    if array.shape not in ((), (batch.shape[1],)):
        raise ValueError(f"{name} has shape {array.shape}: needs ({batch.shape[1]},) or a single number")
    return array.reshape(-1, *[1] * (batch.ndim - 2))


def _eps(eps: float) -> float:
    if not 0 <= eps < np.inf:
        raise ValueError(f"eps = {eps}: needs a finite number from 0")
    return float(np.sqrt(eps))


def _centre(batch: Array) -> _Centred:
    """Split a batch; call it where overflow and invalid values are allowed to show as inf and NaN."""
    axes = _axes(batch)
    wide = batch.astype(np.float64)
    # Dividing by a power of two is exact and keeps squares of 1e200 finite and of 1e-200 above zero.
    size = np.max(np.abs(wide), axis=axes, keepdims=True)
    exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))[1] - 1
    scale = np.ldexp(1.0, np.maximum(exponent, -1000))
    wide = wide / scale
    # The mean of what the first mean leaves behind is its rounding error: with offsets of 1e8 it counts. What of it
    # does not fit into the mean is taken from the rest, which so sums to 0; equal values leave nothing to round.
    first = np.mean(wide, axis=axes, keepdims=True)
    correction = np.mean(wide - first, axis=axes, keepdims=True)
    mean = first + correction
    lost = (first - mean) + correction
    equal = np.max(wide, axis=axes, keepdims=True) == np.min(wide, axis=axes, keepdims=True)
    rest = (wide - mean) - np.where(equal, 0.0, lost)
    var = np.mean(rest * rest, axis=axes, keepdims=True)
    return _Centred(scale, mean, var, rest)


def _deviation(parts: _Centred, root_eps: float) -> Array:
    """√(var + eps) in units of ``scale``."""
    return np.asarray(np.hypot(np.sqrt(parts.var), root_eps / parts.scale))


def _statistics(parts: _Centred) -> tuple[Array, Array]:
    return (parts.mean * parts.scale).ravel(), (parts.var * parts.scale * parts.scale).ravel()


def batch_statistics(x: ArrayLike) -> tuple[Array, Array]:
    """Return mean and biased variance (divisor N·L) of each feature, each (C,).

    Two passes, so an offset of 1e8 does not eat the variance. A NaN or infinity spoils its own feature
    only.

    Raises:
        ValueError: x has fewer than two axes or no values.
    """
    batch = _batch(x)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, var = _statistics(_centre(batch))
        return mean.astype(batch.dtype), var.astype(batch.dtype)


def normalize_batch(
    x: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    running: RunningStats,
    *,
    eps: float | None = None,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
) -> tuple[Array, RunningStats]:
    """Training: y = γ·(x − mean)/√(var + eps) + β with the batch's own mean and biased variance.

    Every framework normalizes with the biased variance; what it stores for evaluation differs
    (``BATCHNORM_CONVENTIONS``). With one value per feature y is exactly β, whatever x was. The unbiased
    variance is then 0/0: the running variance stays, and ``undefined`` of the result counts the event.
    PyTorch refuses that batch: "ValueError: Expected more than 1 value per channel when training".
    A NaN spoils its own feature, in y and in the running statistics, and no other. With eps = 0 a constant
    feature is 0/0, NaN.

    Args:
        x: (N, C) or (N, C, L, ...).
        gamma, beta: (C,) or a single number.
        running: the state so far; not changed.
        eps: added to the variance, 0 or more; None takes the convention's own.
        momentum: see ``RunningStats.update``.
        convention: key of ``BATCHNORM_CONVENTIONS``.

    Returns:
        y, shaped and typed like x, and the new running statistics.

    Source: Ioffe and Szegedy 2015, algorithm 1.
    """
    batch = _batch(x)
    root_eps = _eps(batchnorm_convention(convention).eps if eps is None else eps)
    scale, shift = _per_feature("gamma", gamma, batch), _per_feature("beta", beta, batch)
    _check_running(running, batch)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = _centre(batch)
        y = scale * (parts.rest / _deviation(parts, root_eps)) + shift
        mean, var = _statistics(parts)
        count = batch.size // batch.shape[1]
        return y.astype(batch.dtype), running.update(
            mean, var, count, momentum=momentum, convention=convention
        )


def normalize(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, running: RunningStats, *, eps: float = 1e-5
) -> Array:
    """Evaluation: y = γ·(x − running mean)/√(running var + eps) + β; each sample by itself, no new state.

    Args:
        x: (N, C) or (N, C, L, ...).
        gamma, beta: (C,) or a single number.
        running: the stored statistics, (C,) each; not changed.
        eps: added to the variance, 0 or more.

    Returns:
        y, shaped and typed like x.

    Raises:
        ValueError: a shape does not fit, eps or a running variance is negative.
    """
    batch = _batch(x)
    root_eps = _eps(eps)
    scale, shift = _per_feature("gamma", gamma, batch), _per_feature("beta", beta, batch)
    _check_running(running, batch)
    mean = _per_feature("running mean", running.mean, batch)
    var = _per_feature("running var", running.var, batch)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        y = scale * ((batch - mean) / np.hypot(np.sqrt(var), root_eps)) + shift
        return np.asarray(y.astype(batch.dtype))


def _check_running(running: RunningStats, batch: Array) -> None:
    for name, value in (("mean", running.mean), ("var", running.var)):
        if value.shape != (batch.shape[1],):
            raise ValueError(f"running {name} has shape {value.shape}: needs ({batch.shape[1]},)")
    if np.any(running.var < 0):
        raise ValueError(f"running var = {np.nanmin(running.var)}: needs 0 or more")


def normalize_batch_backward(
    x: ArrayLike, gamma: ArrayLike, dy: ArrayLike, *, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Gradient of ``normalize_batch`` with respect to x, γ and β.

    dx = γ/√(var + eps) · (dy − mean(dy) − x̂·mean(dy·x̂)): the direct path, the path through the batch
    mean and the path through the batch variance. So each feature of dx sums to 0, and for eps → 0 so does
    dx·x̂. With one value per feature dx is 0: the output never depended on x.

    Args:
        x: (N, C) or (N, C, L, ...), the batch of the forward pass.
        gamma: (C,) or a single number.
        dy: gradient at the output, shaped like x.
        eps: that of the forward pass.

    Returns:
        dx shaped like x, dgamma (C,), dbeta (C,), in the dtype of x.

    Source: Ioffe and Szegedy 2015, section 3, with the two sums taken together.
    """
    batch = _batch(x)
    root_eps = _eps(eps)
    scale = _per_feature("gamma", gamma, batch)
    upstream = np.asarray(dy, np.float64)
    if upstream.shape != batch.shape:
        raise ValueError(f"dy has shape {upstream.shape}: needs {batch.shape}, the shape of x")
    axes = _axes(batch)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        parts = _centre(batch)
        deviation = _deviation(parts, root_eps)
        normal = parts.rest / deviation
        through_mean = np.mean(upstream, axis=axes, keepdims=True)
        through_var = normal * np.mean(upstream * normal, axis=axes, keepdims=True)
        dx = scale / (deviation * parts.scale) * (upstream - through_mean - through_var)
        dgamma, dbeta = np.sum(upstream * normal, axis=axes), np.sum(upstream, axis=axes)
        return dx.astype(batch.dtype), dgamma.astype(batch.dtype), dbeta.astype(batch.dtype)
