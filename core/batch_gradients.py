"""What a mini-batch does to the gradient: its direction, its error by batch size, and descent by samples seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.descent import Ints, descend, steps_to
from core.optimizers import Optimizer
from core.regression import LOG_LOSS, Samples, separated
from core.special import normal_cdf
from core.stochastic import MiniBatches, Rows, batch_variance, sample_covariance
from core.streams import stream

Array = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

_WITHOUT, _WITH = 0, 1  # places of the streams of a seed
_NEWTON = 60  # steps at most
_FLAT = 1e-10  # a Hessian whose eigenvalues are further apart has no minimum that floats could name


@dataclass(frozen=True)
class Directions:
    """The gradients of M mini-batches at one point.

    mean: (2,), the gradient over all samples. covariance: (2, 2), that of single samples, divisor N.
    batches: M arrays of samples. gradients: (M, 2).
    """

    mean: Array
    covariance: Array
    batches: tuple[Rows, ...]
    gradients: Array

    @property
    def descends(self) -> Bools:
        """Whether a small step against each batch's gradient lowers the full loss, (M,): their product is above 0."""
        return np.asarray(self.gradients @ self.mean > 0)

    @property
    def flat(self) -> bool:
        """Whether the full gradient is 0 but for rounding: then there is no direction to compare with."""
        noise = float(np.trace(self.covariance))
        return bool(self.mean @ self.mean <= 1e-20 * max(noise, np.finfo(float).tiny))


def directions(
    samples: Samples, w: ArrayLike, batch_size: int, *, least: int = 64, seed: int = 0
) -> Directions:
    """Return the gradients at one point of the mini-batches that whole shuffled epochs bring.

    As many epochs as give at least ``least`` batches, those of ``MiniBatches`` from its step 0 on. With batch
    size 1 and ``least`` no more than N that is every sample once.

    Args:
        samples: the data and their loss.
        w: (2,), the point.
        batch_size: B, from 1 to N.
        least: 1 or more.
        seed: of the shuffling.

    Raises:
        ValueError: batch_size or seed is out of range, or least is below 1.
    """
    if least < 1:
        raise ValueError(f"least = {least}: needs a whole number of at least 1")
    drawn = MiniBatches(samples, batch_size, seed)
    epochs = -(-least // drawn.steps_per_epoch)
    batches = tuple(drawn.indices(t) for t in range(epochs * drawn.steps_per_epoch))
    point = np.asarray(w, dtype=np.float64)
    single = samples.grads(point)
    return Directions(
        samples.grad(point),
        sample_covariance(samples, point),
        batches,
        np.array([single[rows].mean(axis=0) for rows in batches]),
    )


def descent_share_theory(mean: ArrayLike, covariance: ArrayLike) -> Array:
    """Return the share of batch gradients that point downhill, if they are normal: Φ(‖ḡ‖²/√(ḡᵀCḡ)).

    The product of a batch's gradient with the full one, ḡ, has the mean ‖ḡ‖² and the variance ḡᵀCḡ. By the
    central limit theorem it tends to a normal variable as batches grow.

    Args:
        mean: ḡ, (..., d).
        covariance: C of the batch's gradient, (..., d, d), for example ``batch_variance(sample_covariance(…), B, N)``.

    Returns:
        (...); 1 where C is 0 along ḡ and ḡ is not, NaN where ḡ is 0.
    """
    g = np.asarray(mean, dtype=np.float64)
    square = (g * g).sum(axis=-1)
    variance = np.einsum("...i,...ij,...j->...", g, np.asarray(covariance, dtype=np.float64), g)
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Array = normal_cdf(square / np.sqrt(np.maximum(variance, 0)))
    return share


@dataclass(frozen=True)
class BatchErrors:
    """How far mini-batch gradients are from the full one, ḡ, for every batch size B = 1 … N.

    size: (N,). The other fields have the shape (2, N): drawn without replacement, and with it. rms: the root of
    the mean of ‖g_B − ḡ‖² over the draws, and rms_theory its expectation's. descent: the share of draws whose
    gradient points downhill, and descent_theory that of normal gradients.
    """

    size: Ints
    rms: Array
    rms_theory: Array
    descent: Array
    descent_theory: Array


def batch_errors(samples: Samples, w: ArrayLike, draws: int, *, seed: int = 0) -> BatchErrors:
    """Draw many mini-batches of every size at one point.

    One draw orders the samples, or draws N of them with replacement; the batch of size B is its first B. So a
    batch of one size is part of the next, while those of one size are independent.

    Args:
        samples: the data and their loss.
        w: (2,), the point.
        draws: batches of every size, 1 or more.
        seed: of the draws.

    Raises:
        ValueError: draws is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws = {draws}: needs a whole number of at least 1")
    point = np.asarray(w, dtype=np.float64)
    single, count = samples.grads(point), samples.sample_count
    mean = samples.grad(point)
    size = np.arange(1, count + 1)
    order = stream(seed, _WITHOUT).permuted(np.broadcast_to(np.arange(count), (draws, count)), axis=1)
    free = stream(seed, _WITH).integers(count, size=(draws, count))
    rows = np.stack([order, free])
    batch = np.cumsum(single[rows], axis=2) / size[:, None]
    error = batch - mean
    error[0, :, -1] = 0.0  # all samples in another order: what is left is rounding
    covariance = sample_covariance(samples, point)
    spread = np.stack([
        batch_variance(covariance, size[:, None, None], count),
        batch_variance(covariance, size[:, None, None], count, replacement=True),
    ])  # fmt: skip
    return BatchErrors(
        size,
        np.sqrt((error * error).sum(axis=-1).mean(axis=1)),
        np.sqrt(np.trace(spread, axis1=-2, axis2=-1)),
        np.asarray(((error + mean) @ mean > 0).mean(axis=1)),
        descent_share_theory(mean, spread),
    )


def batch_minimum(samples: Samples, rows: ArrayLike) -> Array | None:
    """Return where the loss of one mini-batch is lowest, (2,), by Newton's method; None if no single point is.

    A batch whose inputs are all equal fixes only one combination of weight and bias, and log loss falls forever
    where a threshold parts its labels.

    Args:
        samples: the data and their loss.
        rows: (B,), the batch.
    """
    chosen = np.asarray(rows)
    batch = Samples(samples.x[chosen], samples.y[chosen], samples.loss)
    if np.ptp(batch.x) == 0 or (samples.loss is LOG_LOSS and separated(batch)):
        return None
    w = np.zeros(2)
    for _ in range(_NEWTON):
        slope, bend = batch.grad(w), batch.hessian(w)
        low, high = np.linalg.eigvalsh(bend)
        if not low > _FLAT * high:
            return None
        step = np.linalg.solve(bend, slope)
        length = 1.0
        while batch.f(w - length * step) > batch.f(w) and length > 1e-6:
            length /= 2
        w = w - length * step
        if np.linalg.norm(step) <= 1e-12 * (1 + np.linalg.norm(w)):
            break
    return w


def batch_line(samples: Samples, rows: ArrayLike) -> tuple[float, float] | None:
    """Return the line of lowest points of a mini-batch whose inputs are all equal, as (x, z): all (w, b) with wx + b = z.

    z is the mean target for the squared error, and the logit of the share of ones for log loss. None if inputs
    differ, or if log loss falls forever because there is only one label.

    Args:
        samples: the data and their loss.
        rows: (B,), the batch.
    """
    x, y = samples.x[np.asarray(rows)], samples.y[np.asarray(rows)]
    if np.ptp(x) != 0:
        return None
    mean = float(y.mean())
    if samples.loss is LOG_LOSS:
        return (float(x[0]), math.log(mean / (1 - mean))) if 0 < mean < 1 else None
    return float(x[0]), mean


@dataclass(frozen=True)
class ShuffledRuns:
    """A loss over samples, descended by S runs at once, each with mini-batches of its own seed.

    Points are (S, 2). Run s meets the batches of ``MiniBatches(samples, batch_size, seeds[s])``.
    """

    samples: Samples
    batch_size: int
    seeds: tuple[int, ...]

    def _batches(self) -> list[MiniBatches]:
        return [MiniBatches(self.samples, self.batch_size, seed) for seed in self.seeds]

    def f(self, w: Array) -> Array:
        """Return the loss over all samples, (..., 2) → (...)."""
        return self.samples.f(w)

    def grad_at(self, w: Array, t: int) -> Array:
        """Return the gradient of each run's batch of step t, (S, 2) → (S, 2)."""
        rows = np.stack([batches.indices(t) for batches in self._batches()])
        mean: Array = np.take_along_axis(self.samples.grads(w), rows[..., None], axis=-2).mean(axis=-2)
        return mean


@dataclass(frozen=True)
class SamplesSeen:
    """Runs of one batch size over some epochs, by S seeds.

    seen: (steps+1,), gradients of single samples computed so far. loss: (steps+1, S), over all samples.
    diverged_at: (S,), as in ``Descent``.
    """

    batch_size: int
    lr: float
    seen: Ints
    loss: Array
    diverged_at: Ints

    def seen_to(self, target: float) -> Array:
        """Return the samples that each run has seen when its loss is first at the target, (S,); NaN if never."""
        step = steps_to(self.loss, target)
        return np.where(step < 0, np.nan, self.seen[step])


def samples_seen(
    samples: Samples,
    optimizer: Optimizer,
    batch_size: int,
    lr: float,
    start: ArrayLike,
    epochs: int,
    seeds: Sequence[int],
) -> SamplesSeen:
    """Descend by shuffled mini-batches, and count samples instead of steps.

    Args:
        samples: the data and their loss.
        optimizer: an entry of ``OPTIMIZERS``; its other knobs are at their defaults.
        batch_size: B, from 1 to N.
        lr: learning rate.
        start: (2,).
        epochs: passes over the data, 0 or more.
        seeds: of the shuffling, one run each.

    Raises:
        ValueError: a number is out of range.
    """
    one = MiniBatches(samples, batch_size)
    steps = epochs * one.steps_per_epoch
    lead = np.broadcast_to(np.asarray(start, dtype=np.float64), (len(seeds), 2))
    run = descend(ShuffledRuns(samples, batch_size, tuple(seeds)), optimizer.build(lr=lr), lead, steps)
    used = np.array([len(one.indices(t)) for t in range(steps)], dtype=np.intp)
    return SamplesSeen(batch_size, lr, np.append(0, np.cumsum(used)), run.value, run.diverged_at)


def noise_floor_theory(covariance: ArrayLike, batch_size: ArrayLike, lr: ArrayLike) -> Array:
    """Return the mean of f − f* about which small steps hover in the long run: lr·tr(C)/(4B).

    The points of independent batches settle to a covariance P with HP + PH = lr·C/B at a quadratic minimum with
    Hessian H, to first order in lr; f − f* is ½tr(HP) in the mean, whatever H is (Mandt, Hoffman, Blei 2017).

    Args:
        covariance: C of single-sample gradients at the minimum, (..., d, d).
        batch_size: B.
        lr: learning rate.
    """
    trace = np.trace(np.asarray(covariance, dtype=np.float64), axis1=-2, axis2=-1)
    return np.asarray(np.asarray(lr) * trace / (4 * np.asarray(batch_size)))
