"""Gradients that are estimates: noise added to the exact one, or the mean over a mini-batch of samples."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.descent import Problem
from core.streams import stream

Array = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]


class Sampled(Protocol):
    """A loss that is the mean over samples; points w are (..., d), rows (B,) are indices of samples."""

    @property
    def sample_count(self) -> int:
        """N, the number of samples."""

    def f(self, w: Array, /) -> Array:
        """Return the mean over all samples, (...)."""

    def sample_loss(self, w: Array, rows: Rows, /) -> Array:
        """Return the mean over the rows, (...)."""

    def sample_grad(self, w: Array, rows: Rows, /) -> Array:
        """Return the gradient of ``sample_loss``, (..., d)."""


@dataclass(frozen=True)
class Noisy:
    """A problem whose gradient carries normal noise of standard deviation sigma in every coordinate.

    The mean of ‖noise‖² is d·σ². The noise does not depend on the point: step t takes the next
    ``rng.standard_normal`` of the gradient's shape, (..., d) in C order, times sigma. Hence optimizers that
    descend with generators of one seed meet the same noise at the same step, a longer run begins with the
    shorter one, another sigma stretches the same draws, and each of many starts has noise of its own.

    problem: with f and grad. sigma: a number or (...) that broadcasts over the leading axes, finite and ≥ 0.
    """

    problem: Problem
    sigma: ArrayLike = 1.0

    def __post_init__(self) -> None:
        """Refuse a sigma that is no standard deviation."""
        sigma = np.asarray(self.sigma, dtype=np.float64)
        allowed = np.isfinite(sigma) & (sigma >= 0)
        if not np.all(allowed):
            raise ValueError(f"sigma = {sigma[~allowed].flat[0]}: needs a finite number ≥ 0")

    def f(self, w: Array) -> Array:
        """Return the loss without noise, (..., d) → (...)."""
        return self.problem.f(w)

    def grad(self, w: Array, t: int, rng: np.random.Generator) -> Array:
        """Return the gradient with the noise drawn next from rng, (..., d) → (..., d)."""
        exact = self.problem.grad(w)
        sigma = np.asarray(self.sigma, dtype=exact.dtype)[..., None]
        noise = rng.standard_normal(np.broadcast_shapes(exact.shape, sigma.shape))
        noisy: Array = exact + sigma * noise.astype(exact.dtype, copy=False)
        return noisy


@lru_cache(maxsize=64)
def _order(seed: int, epoch: int, count: int) -> Rows:
    order = stream(seed, epoch).permutation(count)
    order.flags.writeable = False
    return order


@dataclass(frozen=True)
class MiniBatches:
    """A loss over samples, descended by one mini-batch a step; ``descend`` needs no generator for it.

    Every epoch visits each sample once, in an order shuffled anew, batch by batch; the last batch holds what
    is left and may be shorter, and its mean counts as much as any other: PyTorch's
    ``DataLoader(data, batch_size, shuffle=True, drop_last=False)``. The order comes from (seed, epoch) alone,
    so optimizers, starts and longer runs meet the same batches. Step t = 0 takes the first batch.

    problem: its samples. batch_size: B, from 1 to N. seed: a non-negative integer.
    """

    problem: Sampled
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse batches that cannot be drawn."""
        if not 1 <= self.batch_size <= self.problem.sample_count:
            raise ValueError(
                f"batch_size = {self.batch_size}: needs a whole number from 1 to {self.problem.sample_count}"
            )
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: needs a whole number of at least 0")

    @property
    def steps_per_epoch(self) -> int:
        """⌈N/B⌉."""
        return -(-self.problem.sample_count // self.batch_size)

    def indices(self, t: int) -> Rows:
        """Return the samples of step t, (B,) or fewer, ascending; with B = N they are all, in their order."""
        epoch, batch = divmod(t, self.steps_per_epoch)
        order = _order(self.seed, epoch, self.problem.sample_count)
        return np.sort(order[batch * self.batch_size : (batch + 1) * self.batch_size])

    def f(self, w: Array) -> Array:
        """Return the loss over all samples, (..., d) → (...)."""
        return self.problem.f(w)

    def grad_at(self, w: Array, t: int) -> Array:
        """Return the gradient of the batch of step t, (..., d) → (..., d)."""
        return self.problem.sample_grad(w, self.indices(t))

    def loss_at(self, w: Array, t: int) -> Array:
        """Return the loss of the batch of step t, (..., d) → (...)."""
        return self.problem.sample_loss(w, self.indices(t))

    def losses(self, path: Array) -> Array:
        """Return the loss of each step's own batch along a path, (steps+1, ..., d) → (steps+1, ...)."""
        return np.stack([self.loss_at(w, t) for t, w in enumerate(path)])


def sample_covariance(problem: Sampled, w: Array) -> Array:
    """Return the covariance of the gradients of single samples at w, about their mean, with divisor N.

    Args:
        problem: a loss that is the mean over samples.
        w: (..., d).

    Returns:
        (..., d, d).
    """
    single = np.stack([problem.sample_grad(w, np.array([row])) for row in range(problem.sample_count)])
    apart = single - single.mean(axis=0)
    covariance: Array = np.einsum("n...i,n...j->...ij", apart, apart) / problem.sample_count
    return covariance


def batch_variance(
    variance: ArrayLike, batch_size: ArrayLike, sample_count: int, *, replacement: bool = False
) -> Array:
    """Return the variance of the mean over one mini-batch, from that of single samples.

    With replacement it is V/B. Without, each draw leaves less to vary: V/B·(N−B)/(N−1), which is 0 for the
    full batch (Cochran, Sampling techniques, 1977, theorem 2.2). The second is what one batch of a shuffled
    epoch has; the batches of one epoch are not independent, and their errors cancel by its end.

    Args:
        variance: V, a variance or covariance with divisor N, such as ``sample_covariance``; any shape.
        batch_size: B, from 1 to N (with replacement any number from 1), of a shape that broadcasts with V.
        sample_count: N, at least 1.
        replacement: whether a sample may come twice in a batch.

    Raises:
        ValueError: B or N outside its range.
    """
    sizes = np.asarray(batch_size, dtype=np.float64)
    if sample_count < 1:
        raise ValueError(f"sample_count = {sample_count}: needs a whole number of at least 1")
    if not np.all((sizes >= 1) & (replacement | (sizes <= sample_count))):
        raise ValueError(f"batch_size = {sizes}: needs numbers from 1 to {sample_count}")
    left = 1.0 if replacement else (sample_count - sizes) / max(1, sample_count - 1)
    found: Array = np.asarray(variance) * left / sizes
    return found
