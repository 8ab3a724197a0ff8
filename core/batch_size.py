"""What the size of a batch does to batch normalization: scatter, N against N − 1, a batch of one, hard inputs.

Everything here runs through ``core.normalization``; closed forms stand beside the measurements.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.batch_stream import ProbeDistribution, probe_distribution
from core.normalization import (
    Array,
    RunningStats,
    batch_statistics,
    batchnorm_convention,
    normalize,
    normalize_batch,
)
from core.streams import stream

_PLACES = 0  # the streams (0, i) of ``core.batch_stream.place_probe``
_STACK = 4  # batches behind the running statistics of a stack
_FEATURES = 16


def _count(name: str, value: int, low: int) -> int:
    if not value >= low or value != int(value):
        raise ValueError(f"{name} = {value}: needs a whole number from {low}")
    return int(value)


# One sample in batches of many sizes


@dataclass(frozen=True)
class ProbeSizes:
    """One sample in ``count`` batches of each of K sizes.

    Attributes:
        sizes: (K,) batch sizes N.
        outputs: (K, count) training outputs of the sample.
        mean_std: (K,) standard deviation of the batch means, in units of σ; 1/√N in theory.
        eval_output: (K,) evaluation output with the convention's statistics averaged over those batches; NaN for
            N = 1, which has no variance to store.
        eval_expected: (K,) the same with the expectations μ, and σ² or σ²·(N − 1)/N, in place of averages.
        theory: K pairs, exact mean and standard deviation of the training output.
    """

    sizes: NDArray[np.intp]
    outputs: Array
    mean_std: Array
    eval_output: Array
    eval_expected: Array
    theory: tuple[ProbeDistribution, ...]


def probe_sizes(
    sizes: Sequence[int],
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    probe: float = 8.0,
    count: int = 200,
    gamma: float = 1.0,
    beta: float = 0.0,
    eps: float = 1e-5,
    convention: str = "PyTorch",
    in_batch: bool = True,
    seed: int = 0,
) -> ProbeSizes:
    """Place a sample in ``count`` batches of N(μ, σ²) for every size, and evaluate it with what they leave behind.

    The outputs are those of ``core.batch_stream.place_probe``, size by size, but every batch is drawn once: a small
    batch holds the first values of the large one. The sample never enters the averages that evaluation uses.

    Args:
        sizes: batch sizes, each 1 or more.
        mu, sigma: of the feature; sigma above 0.
        probe: value of the sample.
        count: batches of each size, 2 or more.
        gamma, beta: scale and shift after normalizing.
        eps: 0 or more.
        convention: key of ``BATCHNORM_CONVENTIONS``: which variance evaluation gets.
        in_batch: the sample takes the place of the last value of its batch.
        seed: non-negative integer.
    """
    rule = batchnorm_convention(convention)
    largest = max(_count("batch size", n, 1) for n in sizes)
    noise = np.empty((_count("count", count, 2), largest))
    for i in range(count):
        stream(seed, _PLACES, i).standard_normal(out=noise[i])
    batches = mu + sigma * noise
    shape = len(sizes)
    outputs = np.empty((shape, count))
    mean_std, evaluated, expected = (np.full(shape, np.nan) for _ in range(3))
    for k, n in enumerate(sizes):
        drawn = batches[:, :n]
        mean, var = batch_statistics(drawn.T)
        mean_std[k] = float(np.std(mean, ddof=1)) / sigma
        inner = (mean, var)
        if in_batch:
            inner = batch_statistics(np.column_stack([drawn[:, :-1], np.full(count, probe)]).T)
        samples = np.full((1, count), probe)
        outputs[k] = normalize(samples, gamma, beta, RunningStats(*inner), eps=eps)[0]
        if n > 1:
            share = n / (n - 1) if rule.unbiased else 1.0
            average = RunningStats(np.array([mean.mean()]), np.array([share * var.mean()]))
            truth = RunningStats(np.array([mu]), np.array([share * sigma**2 * (n - 1) / n]))
            evaluated[k], expected[k] = (
                float(normalize([[probe]], gamma, beta, stats, eps=eps)[0, 0]) for stats in (average, truth)
            )
    return ProbeSizes(
        sizes=np.array(sizes, np.intp),
        outputs=outputs,
        mean_std=mean_std,
        eval_output=evaluated,
        eval_expected=expected,
        theory=tuple(
            probe_distribution(
                mu=mu,
                sigma=sigma,
                batch_size=n,
                probe=probe,
                gamma=gamma,
                beta=beta,
                eps=eps,
                in_batch=in_batch,
            )
            for n in sizes
        ),
    )


def scatter_asymptote(batch_size: ArrayLike, delta: float, gamma: float = 1.0, eps: float = 0.0) -> Array:
    """Standard deviation of a training output for large N: |γ|·√((1 + δ²/(2r²))/(rN)), δ = (x − μ)/σ, r = 1 + ε/σ².

    1/N from the batch mean and δ²/(2r²N) from the batch's standard deviation, by the delta method; ``eps`` is ε/σ².
    """
    r = 1 + eps
    size = r * np.asarray(batch_size, np.float64)
    return np.asarray(abs(gamma) * np.sqrt((1 + delta * delta / (2 * r * r)) / size))


# One step, in every convention


class StoredStep(NamedTuple):
    """What one batch leaves behind in one convention; variances of the one feature.

    ``batch_var`` is what training divides by (before ε), ``stored_var`` what goes into the running variance, NaN
    where it is 0/0 and the running variance stays.
    """

    weight: float
    eps: float
    batch_var: float
    stored_var: float
    running_mean: float
    running_var: float


def stored_step(
    values: Sequence[float], convention: str, *, mean: float = 0.0, var: float = 1.0
) -> StoredStep:
    """Normalize one batch of one feature with the defaults of a convention and report what is stored.

    Args:
        values: the batch, one value or more.
        convention: key of ``BATCHNORM_CONVENTIONS``.
        mean, var: the running statistics before.
    """
    rule = batchnorm_convention(convention)
    batch = np.asarray(values, np.float64)[:, None]
    _, after = normalize_batch(
        batch, 1.0, 0.0, RunningStats.start(1, mean=mean, var=var), convention=convention
    )
    # The same step with all the weight on the new batch shows what was handed over.
    _, handed = normalize_batch(
        batch, 1.0, 0.0, RunningStats.start(1), momentum=rule.momentum_of(1.0), convention=convention
    )
    return StoredStep(
        weight=rule.new_weight(),
        eps=rule.eps,
        batch_var=float(batch_statistics(batch)[1][0]),
        stored_var=math.nan if handed.undefined else float(handed.var[0]),
        running_mean=float(after.mean[0]),
        running_var=float(after.var[0]),
    )


# A stack of normalizations


def stack_scale(
    batch_size: int, layers: int, *, convention: str = "PyTorch", eps: float = 1e-5, seed: int = 0
) -> Array:
    """Scale of evaluation over that of training (layers+1,) behind 0, 1, … BatchNorm layers, measured.

    A few batches of N(0, 1) in 16 features go through the stack in training, every layer keeping the average of what
    its convention stores. Then the same batches go through it in evaluation. The scale is the root of the variance
    within batches (divisor N), averaged over batches and features. γ = 1, β = 0.

    Args:
        batch_size: N, 2 or more.
        layers: 0 or more.
        convention: key of ``BATCHNORM_CONVENTIONS``.
        eps: 0 or more.
        seed: non-negative integer.
    """
    rule = batchnorm_convention(convention)
    n = _count("batch size", batch_size, 2)
    drawn = np.stack([stream(seed, n, t).standard_normal((n, _FEATURES)) for t in range(_STACK)], axis=1)
    # Batches are laid out as features: each then has statistics of its own, as if it came alone.
    train: Array = drawn.reshape(n, -1)
    evaluated: Array = train
    start = RunningStats.start(train.shape[1])
    scales = [1.0]
    for _ in range(_count("layers", layers, 0)):
        train, stored = normalize_batch(
            train, 1.0, 0.0, start, eps=eps, momentum=rule.momentum_of(1.0), convention=convention
        )
        average = [
            np.tile(part.reshape(_STACK, -1).mean(axis=0), _STACK) for part in (stored.mean, stored.var)
        ]
        evaluated = normalize(evaluated, 1.0, 0.0, RunningStats(average[0], average[1]), eps=eps)
        ratio = batch_statistics(evaluated)[1].mean() / batch_statistics(train)[1].mean()
        scales.append(math.sqrt(float(ratio)))
    return np.array(scales)


def stack_scale_theory(batch_size: int, layers: int, *, convention: str = "PyTorch") -> Array:
    """Return ((N − 1)/N)^(l/2) for l = 0 … layers where the stored variance is unbiased, 1 where it is not; ε → 0.

    Training leaves every layer with a biased variance of 1; evaluation divides by √(N/(N − 1)) once more.
    """
    n = _count("batch size", batch_size, 2)
    share = (n - 1) / n if batchnorm_convention(convention).unbiased else 1.0
    return np.asarray(share ** (np.arange(_count("layers", layers, 0) + 1) / 2))


def batch_size_for(scale: float, layers: int) -> int:
    """Return the smallest N for which ``layers`` layers with an unbiased stored variance keep that scale.

    Args:
        scale: ((N − 1)/N)^(layers/2) at least this, above 0 and below 1.
        layers: 1 or more.
    """
    if not 0 < scale < 1:
        raise ValueError(f"scale = {scale}: needs a number between 0 and 1")
    return max(2, math.ceil(-1 / math.expm1(2 * math.log(scale) / _count("layers", layers, 1)) - 1e-9))


# Huge offsets


class Variances(NamedTuple):
    """The variance (divisor N) of one batch, computed in several ways; ``error`` of the outputs with two passes."""

    exact: float
    two_passes: float
    squares: float
    squares_float32: float
    error: float


def variance_ways(values: Sequence[float], offset: float) -> Variances:
    """Return the variance of ``offset`` + ``values`` exactly, by ``batch_statistics``, and as E[x²] − E[x]².

    Exact means by fractions, of the float64 values that the batch holds. ``error`` is the largest absolute
    distance of a training output from its exact value, with ε = 1e-5.
    """
    batch = offset + np.asarray(values, np.float64)
    held = [Fraction(float(v)) for v in batch]
    mean = sum(held, Fraction(0)) / len(held)
    exact = sum(((v - mean) ** 2 for v in held), Fraction(0)) / len(held)
    eps = 1e-5
    deviation = math.sqrt(exact + Fraction(eps))
    outputs, _ = normalize_batch(batch[:, None], 1.0, 0.0, RunningStats.start(1), eps=eps)
    error = max(abs(float(y) - float(v - mean) / deviation) for y, v in zip(outputs[:, 0], held, strict=True))
    narrow = batch.astype(np.float32)
    return Variances(
        exact=float(exact),
        two_passes=float(batch_statistics(batch[:, None])[1][0]),
        squares=float(np.mean(batch * batch) - np.mean(batch) ** 2),
        squares_float32=float(np.mean(narrow * narrow) - np.mean(narrow) ** 2),
        error=error,
    )


# Hard inputs


@dataclass(frozen=True)
class HardInput:
    """A batch that goes wrong in one feature: ``spoil`` turns four ordinary values into hard ones."""

    name: str
    spoil: Callable[[Array], Array]
    eps: float = 1e-5


def _replace_last(value: float) -> Callable[[Array], Array]:
    return lambda x: np.append(x[:-1], value)


HARD_INPUTS: Mapping[str, HardInput] = {
    entry.name: entry
    for entry in (
        HardInput("5, 5, 5, 5", lambda x: np.full_like(x, 5.0)),
        HardInput("5, 5, 5, 5 with ε = 0", lambda x: np.full_like(x, 5.0), eps=0.0),
        HardInput("values + 1e8", lambda x: x + 1e8),
        HardInput("one value 1e200", _replace_last(1e200)),
        HardInput("one value ∞", _replace_last(math.inf)),
        HardInput("one value NaN", _replace_last(math.nan)),
    )
}


class HardOutcome(NamedTuple):
    """What a hard batch did, in the middle of ordinary ones.

    Attributes:
        before: evaluation output of the sample before it.
        train: (4,) training outputs of the hard feature.
        running_mean, running_var: of the hard feature, right after it.
        after: evaluation output of the sample right after it.
        later: evaluation output of the sample ``HARD_LATER`` ordinary batches later.
        neighbor_same: the other feature came out and was stored as if nothing had happened.
    """

    before: float
    train: Array
    running_mean: float
    running_var: float
    after: float
    later: float
    neighbor_same: bool


HARD_BEFORE, HARD_LATER = 20, 200


def hard_outcome(
    name: str, *, gamma: float = 1.0, beta: float = 0.0, sample: float = 1.0, seed: int = 0
) -> HardOutcome:
    """Send ordinary batches of four N(0, 1) values in two features, one hard batch, and ordinary ones again.

    PyTorch's convention and momentum.

    Args:
        name: key of ``HARD_INPUTS``.
        gamma, beta: scale and shift after normalizing.
        sample: value that evaluation is asked about.
        seed: non-negative integer.
    """
    entry = HARD_INPUTS[name]
    batches = stream(seed).standard_normal((HARD_BEFORE + 1 + HARD_LATER, 4, 2))
    # Ordinary batches only move the running statistics: all of them at once, every batch as features of its own.
    ordinary = batch_statistics(np.moveaxis(batches, 1, 0).reshape(4, -1))
    means, variances = (part.reshape(-1, 2) for part in ordinary)

    def evaluate(state: RunningStats) -> float:
        return float(normalize(np.full((1, 2), sample), gamma, beta, state, eps=entry.eps)[0, 1])

    state = RunningStats.start(2)
    for t in range(HARD_BEFORE):
        state = state.update(means[t], variances[t], 4)
    before, usual = evaluate(state), batches[HARD_BEFORE]
    hard = np.column_stack([usual[:, 0], entry.spoil(usual[:, 1])])
    plain, untouched = normalize_batch(usual, gamma, beta, state, eps=entry.eps)
    train, state = normalize_batch(hard, gamma, beta, state, eps=entry.eps)
    same = (
        np.array_equal(plain[:, 0], train[:, 0])
        and untouched.mean[0] == state.mean[0]
        and untouched.var[0] == state.var[0]
    )
    mean, var, after = float(state.mean[1]), float(state.var[1]), evaluate(state)
    for t in range(HARD_BEFORE + 1, len(batches)):
        state = state.update(means[t], variances[t], 4)
    return HardOutcome(before, train[:, 1], mean, var, after, evaluate(state), bool(same))


def one_sample_outputs(
    sample: Sequence[float], *, gamma: float = 1.0, beta: float = 0.0, eps: float = 1e-5
) -> tuple[Array, Array]:
    """Normalize one sample of C features by itself: BatchNorm in a batch of one, and LayerNorm.

    LayerNorm is the same arithmetic along the other axis: the features of the sample play the batch.

    Returns:
        both outputs, (C,) each; BatchNorm's is β throughout.
    """
    row = np.asarray(sample, np.float64)[None, :]
    batch, _ = normalize_batch(row, gamma, beta, RunningStats.start(row.shape[1]), eps=eps)
    layer, _ = normalize_batch(row.T, gamma, beta, RunningStats.start(1), eps=eps)
    return batch[0], layer[:, 0]
