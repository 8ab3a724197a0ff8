"""A stream of mini-batches through batch normalization: one sample, seen in training and in evaluation.

A feature is normal with mean μ and standard deviation σ. Each step draws a batch of N values, which moves
the running statistics; a probe sample, never part of them, is normalized both ways.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.normalization import (
    Array,
    Momentum,
    RunningStats,
    batch_statistics,
    batchnorm_convention,
    normalize,
)
from core.streams import stream

_PLACEMENTS = 0  # batches 1, 2, ... of a stream own the places (1,), (2,), ...; this one opens (0, i)


@dataclass(frozen=True)
class BatchStream:
    """One stream of T steps. State t is what T = t batches left behind; batch t leads to state t.

    Attributes:
        step: (T+1,) 0, 1, ..., T.
        batch_mean, batch_var: (T,) of batch 1, ..., T; the variance biased, as training uses it.
        running_mean, running_var: (T+1,) as stored by the convention.
        true_mean, true_var: (T+1,) of the distribution that batch t came from; entry 0 repeats entry 1.
        train_output: (T,) the probe normalized by batch t.
        eval_output: (T+1,) the probe normalized by the running statistics of state t.
        true_output: (T+1,) γ·(probe − true mean)/true σ + β.
        undefined: (T,) batches whose unbiased variance was 0/0 and left the running variance alone.
        first_nonfinite: the first step with an infinite or NaN value, None if there is none.
    """

    step: NDArray[np.int64]
    batch_mean: Array
    batch_var: Array
    running_mean: Array
    running_var: Array
    true_mean: Array
    true_var: Array
    train_output: Array
    eval_output: Array
    true_output: Array
    undefined: NDArray[np.bool_]
    first_nonfinite: int | None


class BatchStreamTheory(NamedTuple):
    """Closed forms beside a ``BatchStream``, each (T+1,): expectation and standard deviation over seeds.

    ``eval_output`` puts the expected statistics into the evaluation formula (first order in the noise).
    """

    running_mean: Array
    running_mean_std: Array
    running_var: Array
    running_var_std: Array
    eval_output: Array


class ProbeDistribution(NamedTuple):
    """Mean and standard deviation of a probe's training output over batches; NaN or inf where none exists."""

    mean: float
    std: float


def _whole(name: str, value: int, low: int) -> int:
    if not value >= low or value != int(value):
        raise ValueError(f"{name} = {value}: needs a whole number from {low}")
    return int(value)


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} = {value}: needs a finite number")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} = {value}: needs a finite number above 0")


def _check_weight(weight: float | None) -> None:
    if weight is not None and not 0 <= weight <= 1:
        raise ValueError(f"weight = {weight}: needs a number from 0 to 1, or None")


def _probe_in(batches: Array, probe: float, gamma: float, beta: float, eps: float, in_batch: bool) -> Array:
    """Training output (T,) of the probe in each row of ``batches`` (T, N)."""
    if in_batch:
        batches = np.column_stack([batches[:, :-1], np.full(len(batches), probe)])
    # Training is evaluation with the statistics of the batch at hand, so one formula serves both.
    mean, var = batch_statistics(batches.T)
    return _evaluate(probe, gamma, beta, mean, var, eps)


def _evaluate(probe: float, gamma: float, beta: float, mean: Array, var: Array, eps: float) -> Array:
    """Evaluation output (T,) of the probe under T pairs of statistics, each pair laid out as a feature."""
    samples = np.full((1, mean.size), probe, np.float64)
    return np.asarray(normalize(samples, gamma, beta, RunningStats(mean, var), eps=eps)[0])


def stream_batches(
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    batch_size: int = 8,
    steps: int = 60,
    probe: float = 8.0,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
    eps: float | None = None,
    gamma: float = 1.0,
    beta: float = 0.0,
    running_mean: float = 0.0,
    running_var: float = 1.0,
    shift: float = 0.0,
    shift_step: int = 0,
    in_batch: bool = False,
    seed: int = 0,
) -> BatchStream:
    """Send batches of N(μ, σ²) through batch normalization and follow one probe sample.

    Batch t comes from ``stream(seed, t)``: more steps extend every series, a larger batch keeps the values
    of the smaller one, and μ, σ and the shift move the same draws.

    Args:
        mu, sigma: of the feature; sigma above 0.
        batch_size: N, from 1.
        steps: T, from 0.
        probe: value of the sample that is watched; it feeds neither batch nor running statistics.
        momentum: in the sense of the convention; "default" is its own, None the cumulative average.
        convention: key of ``core.normalization.BATCHNORM_CONVENTIONS``.
        eps: 0 or more; None takes the convention's own.
        gamma, beta: scale and shift after normalizing.
        running_mean, running_var: state 0.
        shift, shift_step: the first ``shift_step`` batches have mean μ, the later ones μ + shift.
        in_batch: the probe's training output as in a real training step: the probe takes the place of the
            last sample and is normalized by the batch with itself in it. All else stays as without it.
        seed: non-negative integer.
    """
    rule = batchnorm_convention(convention)
    eps = rule.eps if eps is None else eps
    steps, batch_size = _whole("steps", steps, 0), _whole("batch_size", batch_size, 1)
    shift_step = _whole("shift_step", shift_step, 0)
    _positive("sigma", sigma)
    _finite(mu=mu, probe=probe, gamma=gamma, beta=beta, shift=shift)
    _finite(running_mean=running_mean, running_var=running_var)
    rule.fixed_weight(momentum)  # refuses a bad momentum even when there is no step

    step = np.arange(steps + 1)
    true_mean = np.where(np.maximum(step, 1) > shift_step, mu + shift, mu).astype(np.float64)
    true_var = np.full(steps + 1, sigma * sigma, np.float64)
    noise = np.empty((steps, batch_size))
    for t in range(1, steps + 1):
        stream(seed, t).standard_normal(out=noise[t - 1])

    with np.errstate(over="ignore", invalid="ignore"):
        batches = true_mean[1:, None] + sigma * noise
        true_output = gamma * ((probe - true_mean) / sigma) + beta
    if steps:
        batch_mean, batch_var = batch_statistics(batches.T)
        train_output = _probe_in(batches, probe, gamma, beta, eps, in_batch)
    else:
        batch_mean, batch_var, train_output = np.empty((3, 0))

    states = [RunningStats.start(1, mean=running_mean, var=running_var)]
    for mean, var in zip(batch_mean, batch_var, strict=True):
        states.append(states[-1].update([mean], [var], batch_size, momentum=momentum, convention=convention))
    means, variances = (
        np.concatenate(parts) for parts in zip(*((s.mean, s.var) for s in states), strict=True)
    )
    eval_output = _evaluate(probe, gamma, beta, means, variances, eps)
    undefined = np.diff([s.undefined for s in states]).astype(bool)

    at_state = np.stack([means, variances, eval_output, true_output])
    at_batch = np.stack([batch_mean, batch_var, train_output])
    broken = ~np.isfinite(at_state).all(axis=0)
    broken[1:] |= ~np.isfinite(at_batch).all(axis=0)
    return BatchStream(
        step=step,
        batch_mean=batch_mean,
        batch_var=batch_var,
        running_mean=means,
        running_var=variances,
        true_mean=true_mean,
        true_var=true_var,
        train_output=train_output,
        eval_output=eval_output,
        true_output=true_output,
        undefined=undefined,
        first_nonfinite=int(np.argmax(broken)) if broken.any() else None,
    )


def place_probe(
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    batch_size: int = 8,
    probe: float = 8.0,
    count: int = 200,
    gamma: float = 1.0,
    beta: float = 0.0,
    eps: float = 1e-5,
    in_batch: bool = False,
    seed: int = 0,
) -> Array:
    """Return the probe's training output (count,) in that many fresh batches of N(μ, σ²).

    Placement i has a random stream of its own, apart from those of ``stream_batches``: a larger count
    extends the series. After a drift pass μ + shift. Arguments as in ``stream_batches``.
    """
    count, batch_size = _whole("count", count, 1), _whole("batch_size", batch_size, 1)
    _positive("sigma", sigma)
    _finite(mu=mu, probe=probe, gamma=gamma, beta=beta)
    noise = np.empty((count, batch_size))
    for i in range(count):
        stream(seed, _PLACEMENTS, i).standard_normal(out=noise[i])
    with np.errstate(over="ignore", invalid="ignore"):
        batches = mu + sigma * noise
    return _probe_in(batches, probe, gamma, beta, eps, in_batch)


def warm_up(
    steps: int,
    weight: float | None,
    start: float,
    target: float,
    *,
    shift: float = 0.0,
    shift_step: int = 0,
) -> Array:
    """Expected running value (steps+1,): (1−a)ᵗ·start + (1−(1−a)ᵗ)·target after t batches.

    Args:
        steps: T, from 0.
        weight: a, the weight on the new batch; None for the cumulative average, (sum of targets)/t.
        start: value at t = 0.
        target: expectation of the batch statistic: μ, or σ² (unbiased) or σ²·(N−1)/N (biased).
        shift, shift_step: after ``shift_step`` batches the target is target + shift, and the formula
            starts anew from where it then stands.
    """
    t = np.arange(_whole("steps", steps, 0) + 1)
    before = np.minimum(t, _whole("shift_step", shift_step, 0))
    after = t - before
    _check_weight(weight)
    if weight is None:
        average = target + shift * (after / np.maximum(t, 1))
        return np.where(t == 0, float(start), average)
    keep = 1 - weight
    with np.errstate(over="ignore", invalid="ignore"):
        reached = keep**before * start + (1 - keep**before) * target
        return np.asarray(keep**after * reached + (1 - keep**after) * (target + shift))


def warm_up_std(steps: int, weight: float | None, batch_std: float) -> Array:
    """Standard deviation (steps+1,) of a running value about its expectation.

    ``batch_std``·√(a/(2−a)·(1−(1−a)²ᵗ)), or ``batch_std``/√t for the cumulative average (weight None).
    For the running mean ``batch_std`` is σ/√N. A shift of the target changes nothing.
    """
    t = np.arange(_whole("steps", steps, 0) + 1)
    _check_weight(weight)
    if weight is None:
        return np.where(t == 0, 0.0, batch_std / np.sqrt(np.maximum(t, 1)))
    return np.asarray(batch_std * np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * t))))


def stream_batches_theory(
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    batch_size: int = 8,
    steps: int = 60,
    probe: float = 8.0,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
    eps: float | None = None,
    gamma: float = 1.0,
    beta: float = 0.0,
    running_mean: float = 0.0,
    running_var: float = 1.0,
    shift: float = 0.0,
    shift_step: int = 0,
) -> BatchStreamTheory:
    """Return what ``stream_batches`` does on average, and its spread over seeds; same arguments.

    The batch variance of a normal feature has expectation σ² and standard deviation σ²·√(2/(N−1))
    (unbiased; the biased one (N−1)/N of both). With N = 1 the unbiased variance never moves.
    """
    rule = batchnorm_convention(convention)
    eps = rule.eps if eps is None else eps
    batch_size = _whole("batch_size", batch_size, 1)
    _positive("sigma", sigma)
    _finite(mu=mu, probe=probe, gamma=gamma, beta=beta, shift=shift)
    _finite(running_mean=running_mean, running_var=running_var)
    weight = rule.fixed_weight(momentum)
    mean = warm_up(steps, weight, running_mean, mu, shift=shift, shift_step=shift_step)
    freedom = batch_size - 1
    var: Array
    var_std: Array
    if rule.unbiased and not freedom:
        var, var_std = np.full(steps + 1, float(running_var)), np.zeros(steps + 1)
    else:
        share = 1.0 if rule.unbiased else freedom / batch_size
        spread = share * sigma * sigma * math.sqrt(2 / freedom) if freedom else 0.0
        var = warm_up(steps, weight, running_var, share * sigma * sigma)
        var_std = warm_up_std(steps, weight, spread)
    eval_output = _evaluate(probe, gamma, beta, mean, var, eps)
    return BatchStreamTheory(
        running_mean=mean,
        running_mean_std=warm_up_std(steps, weight, sigma / math.sqrt(batch_size)),
        running_var=var,
        running_var_std=var_std,
        eval_output=eval_output,
    )


def batch_mean_band(sigma: float, batch_size: int) -> float:
    """Return 1.96·σ/√N: 95 % of batch means lie within this distance of μ."""
    return 1.96 * sigma / math.sqrt(_whole("batch_size", batch_size, 1))


def probe_distribution(
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    batch_size: int = 8,
    probe: float = 8.0,
    gamma: float = 1.0,
    beta: float = 0.0,
    in_batch: bool = False,
) -> ProbeDistribution:
    """Exact mean and standard deviation of the probe's training output for eps → 0.

    Outside the batch (``in_batch=False``):

    with δ = (probe − μ)/σ the output times √(N−1) is noncentral t with N−1 degrees of freedom and
    noncentrality δ√N. Its mean is δ·√(N/2)·Γ((N−2)/2)/Γ((N−1)/2), above δ: a small batch's σ is too small
    on average (1.20 instead of 1 at N = 8). The variance follows from E[output²] = (1 + Nδ²)/(N−3). No mean
    exists for N ≤ 2 (NaN), and no finite variance for N = 3 (inf).

    Inside the batch: the output is √(N−1)·r/√(N + r²), r the output in a batch of the other N−1 values, so it
    never leaves ±√(N−1); N = 1 gives β, N = 2 only γ and −γ about β. Both tend to a standard deviation of
    √((1 + δ²/2)/N) for large N.

    Source: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 31.
    """
    n = _whole("batch_size", batch_size, 1)
    _positive("sigma", sigma)
    _finite(mu=mu, probe=probe, gamma=gamma, beta=beta)
    if in_batch:
        return _probe_inside(n, (probe - mu) / sigma, gamma, beta)
    if n <= 2:
        return ProbeDistribution(math.nan, math.nan)
    delta = (probe - mu) / sigma
    square = _gamma_ratio_square(n / 2 - 1)
    mean = gamma * delta * math.sqrt(n / 2 / square) + beta
    if n == 3:
        return ProbeDistribution(mean, math.inf if gamma else 0.0)
    # n/(n−3) − (n/2)/square, written so that the two do not cancel for large n
    from_scale = math.sqrt(n / (n - 3) * (square - (n - 3) / 2) / square)
    return ProbeDistribution(mean, abs(gamma) * math.hypot(1 / math.sqrt(n - 3), delta * from_scale))


def _probe_inside(n: int, delta: float, gamma: float, beta: float) -> ProbeDistribution:
    """Integrate the in-batch output over the other n − 1 values: their mean is normal, n − 1 times their variance χ²."""
    if n == 1:
        return ProbeDistribution(beta, 0.0)
    others = n - 1
    if others == 1:  # one other value has no variance: the output is the sign of probe less value
        mean = math.erf(delta / math.sqrt(2))
        return ProbeDistribution(gamma * mean + beta, abs(gamma) * math.sqrt((1 - mean) * (1 + mean)))
    z = np.linspace(-9.0, 9.0, 361)
    normal = np.exp(-0.5 * z * z)
    shift = (delta + z / math.sqrt(others))[:, None]
    # χ² on a logarithmic grid, where its density is smooth for any number of degrees of freedom.
    degrees = others - 1
    u = np.linspace(-1.0, 1.0, 601) * (40.0 / math.sqrt(degrees) if degrees > 4 else 40.0 / degrees + 10.0)
    log_density = 0.5 * degrees * (u - np.expm1(u) - 1.0)
    # r = shift/√(χ²/others) with χ² = degrees·e^u; the output is written so that no quotient overflows.
    root = np.sqrt(degrees / others * np.exp(u))[None, :]
    outputs = math.sqrt(others) * shift / np.sqrt(n * root**2 + shift**2)
    weights = normal[:, None] * np.exp(log_density - log_density.max())[None, :]
    total = weights.sum()
    mean = float((weights * outputs).sum() / total) if delta else 0.0  # by symmetry, without rounding
    variance = float((weights * (outputs - mean) ** 2).sum() / total)
    return ProbeDistribution(gamma * mean + beta, abs(gamma) * math.sqrt(variance))


def _gamma_ratio_square(x: float) -> float:
    """(Γ(x+½)/Γ(x))², by its asymptotic series where the difference of logarithms would lose digits."""
    if x < 50:
        return math.exp(2 * (math.lgamma(x + 0.5) - math.lgamma(x)))
    return x - 1 / 4 + 1 / (32 * x) + 1 / (128 * x**2) - 5 / (2048 * x**3) - 23 / (8192 * x**4)
