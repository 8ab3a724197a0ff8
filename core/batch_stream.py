"""A stream of mini-batches through batch normalization: one sample, seen in training and in evaluation.

A feature has mean μ and standard deviation σ, in a distribution of ``SOURCES``, and may change on the way
(``DRIFTS``). Each step draws a batch of N values, which moves the running statistics; a probe sample, never
part of them, is normalized both ways.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.kept import keep
from core.knobs import number
from core.normalization import (
    Array,
    Momentum,
    RunningStats,
    batch_statistics,
    batchnorm_convention,
    follow,
    normalize,
)
from core.streams import streams

_Chosen = TypeVar("_Chosen")

_PLACEMENTS = 0  # batches 1, 2, ... of a stream own the places (1,), (2,), ...; this one opens (0, i)

_DEGREES = 5  # of freedom of the heavy tails: the fewest with a finite fourth moment
_APART = 0.8  # distance of a class mean from μ, in σ
_WITHIN = 0.6  # standard deviation within a class, in σ: _APART² + _WITHIN² = 1


def _normal(rng: np.random.Generator, count: int) -> Array:
    return rng.standard_normal(count)


def _student(rng: np.random.Generator, count: int) -> Array:
    return rng.standard_t(_DEGREES, count) * math.sqrt((_DEGREES - 2) / _DEGREES)


def _either_class(rng: np.random.Generator, count: int) -> Array:
    # Two draws a value, side by side: a larger batch keeps the values of the smaller one.
    pairs = rng.standard_normal((count, 2))
    return np.copysign(_APART, pairs[:, 0]) + _WITHIN * pairs[:, 1]


class Part(NamedTuple):
    """What one batch is drawn from, in units of σ about μ.

    ``draw(rng, N)`` gives N values (N,) of mean 0 and variance 1, which ``mean`` and ``std`` then place; ``excess``
    is their excess kurtosis, E z⁴ − 3. All are symmetric about their mean.
    """

    mean: float = 0.0
    std: float = 1.0
    draw: Callable[[np.random.Generator, int], Array] = _normal
    excess: float = 0.0

    @property
    def normal(self) -> bool:
        """Whether the batch is a sample of a normal distribution."""
        return self.draw is _normal


@dataclass(frozen=True)
class Source:
    """A distribution of the feature with mean μ and variance σ² over all its batches.

    ``parts`` take turns, each for ``block`` batches; a single part is every batch. ``settings`` names the arguments
    of ``stream_batches`` that only this source reads. ``told(μ, σ, block)`` says what the feature is, in words.
    """

    name: str
    parts: tuple[Part, ...]
    told: Callable[[float, float, int], str]
    settings: tuple[str, ...] = ()

    def part(self, step: int, block: int = 1) -> Part:
        """Return what the batch of a step, from 1, is drawn from."""
        return self.parts[(step - 1) // block % len(self.parts)]


def _classes(mu: float, sigma: float) -> str:
    low, high, within = (number(v) for v in (mu - _APART * sigma, mu + _APART * sigma, _WITHIN * sigma))
    return f"two classes N({low}, {within}²) and N({high}, {within}²)"


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("normal", (Part(),), lambda mu, sigma, block: f"N({number(mu)}, {number(sigma)}²)"),
        Source(
            "heavy tails",
            (Part(draw=_student, excess=6 / (_DEGREES - 4)),),
            lambda mu, sigma, block: (
                f"Student t with {_DEGREES} degrees of freedom, mean {number(mu)}, standard deviation {number(sigma)}"
            ),
        ),
        Source(
            "two classes, shuffled",
            (Part(draw=_either_class, excess=-2 * _APART**4),),
            lambda mu, sigma, block: f"{_classes(mu, sigma)}, shuffled",
        ),
        Source(
            "two classes, sorted",
            (Part(-_APART, _WITHIN), Part(_APART, _WITHIN)),
            lambda mu, sigma, block: (
                f"{_classes(mu, sigma)}, sorted, {block} {'batch' if block == 1 else 'batches'} of each in turn"
            ),
            settings=("block",),
        ),
    )
}


class Changes(NamedTuple):
    """What a drift reads; see ``stream_batches``."""

    shift: float = 0.0
    shift_step: int = 0
    factor: float = 1.0
    amplitude: float = 0.0
    period: float = 30.0
    outlier: float = 0.0
    outlier_step: int = 1


def _nothing(step: Array, changes: Changes) -> Array:
    return np.zeros(len(step))


def _ones(step: Array, changes: Changes) -> Array:
    return np.ones(len(step))


def _no_outlier(step: Array, changes: Changes) -> Array:
    return np.full(len(step), np.nan)


def _shifted(step: Array, changes: Changes) -> Array:
    return np.where(step > changes.shift_step, changes.shift, 0.0)


def _scaled(step: Array, changes: Changes) -> Array:
    return np.where(step > changes.shift_step, changes.factor, 1.0)


def _cycle(step: Array, changes: Changes) -> Array:
    since = np.maximum(step - changes.shift_step, 0)
    return changes.amplitude * np.sin(2 * np.pi * since / changes.period)


def _outlier(step: Array, changes: Changes) -> Array:
    return np.where(step == changes.outlier_step, changes.outlier, np.nan)


@dataclass(frozen=True)
class Drift:
    """How a feature changes with the step.

    ``mean``, ``factor`` and ``outlier`` map steps (T,) from 1 and the changes to (T,): what is added to μ, what σ is
    multiplied with, and how many σ above the mean the first value of that batch is put (NaN: it stays). ``settings``
    names the arguments of ``stream_batches`` that it reads. ``told(changes)`` says what happens, in words.
    ``periodic``: it never comes to rest.
    """

    name: str
    told: Callable[[Changes], str]
    settings: tuple[str, ...] = ()
    mean: Callable[[Array, Changes], Array] = _nothing
    factor: Callable[[Array, Changes], Array] = _ones
    outlier: Callable[[Array, Changes], Array] = _no_outlier
    periodic: bool = False


DRIFTS: dict[str, Drift] = {
    drift.name: drift
    for drift in (
        Drift("none", lambda c: ""),
        Drift(
            "shift",
            lambda c: f"mean shifted by {number(c.shift)} after step {c.shift_step}",
            ("shift", "shift_step"),
            mean=_shifted,
        ),
        Drift(
            "scale",
            lambda c: f"standard deviation times {number(c.factor)} after step {c.shift_step}",
            ("factor", "shift_step"),
            factor=_scaled,
        ),
        Drift(
            "cycle",
            lambda c: (
                f"mean swinging by ±{number(abs(c.amplitude))} with a period of {number(c.period)} steps"
                f"{', down first,' if c.amplitude < 0 else ''} after step {c.shift_step}"
            ),
            ("amplitude", "period", "shift_step"),
            mean=_cycle,
            periodic=True,
        ),
        Drift(
            "outlier",
            lambda c: f"one value of batch {c.outlier_step} is put at {number(c.outlier)}σ from the mean",
            ("outlier", "outlier_step"),
            outlier=_outlier,
        ),
    )
}


@dataclass(frozen=True)
class BatchStream:
    """One stream of T steps. State t is what T = t batches left behind; batch t leads to state t.

    Attributes:
        step: (T+1,) 0, 1, ..., T.
        batch_mean, batch_var: (T,) of batch 1, ..., T; the variance biased, as training uses it.
        running_mean, running_var: (T+1,) as stored by the convention.
        true_mean, true_var: (T+1,) of the feature at batch t, over all its classes; entry 0 repeats entry 1.
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
    ``batch_mean`` is that of a batch before an outlier is put into it; entry 0 repeats entry 1.
    """

    batch_mean: Array
    batch_mean_std: Array
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


def _entry(kind: str, registry: Mapping[str, _Chosen], name: str) -> _Chosen:
    try:
        return registry[name]
    except KeyError:
        raise ValueError(f"{kind} = {name}: needs one of {', '.join(registry)}") from None


class _Plan(NamedTuple):
    """What is known of the feature before any value is drawn, each array (T+1,); entry 0 repeats entry 1."""

    mean: Array
    std: Array
    parts: list[Part]
    outlier: Array  # how many σ from the mean one value is put, NaN where none is


def _plan(
    mu: float, sigma: float, steps: int, source: str, block: int, drift: str, changes: Changes
) -> _Plan:
    steps, block = _whole("steps", steps, 0), _whole("block", block, 1)
    _positive("sigma", sigma)
    _positive("factor", changes.factor)
    _positive("period", changes.period)
    _finite(mu=mu, shift=changes.shift, amplitude=changes.amplitude, outlier=changes.outlier)
    _whole("shift_step", changes.shift_step, 0)
    _whole("outlier_step", changes.outlier_step, 1)
    kind, origin = _entry("drift", DRIFTS, drift), _entry("source", SOURCES, source)
    step = np.maximum(np.arange(steps + 1), 1)
    return _Plan(
        mu + kind.mean(step, changes),
        sigma * kind.factor(step, changes),
        [origin.part(int(t), block) for t in step],
        kind.outlier(step, changes),
    )


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
    source: str = "normal",
    block: int = 10,
    drift: str = "shift",
    shift: float = 0.0,
    shift_step: int = 0,
    factor: float = 1.0,
    amplitude: float = 0.0,
    period: float = 30.0,
    outlier: float = 0.0,
    outlier_step: int = 1,
    in_batch: bool = False,
    seed: int = 0,
) -> BatchStream:
    """Send batches of a feature through batch normalization and follow one probe sample.

    Batch t comes from ``stream(seed, t)``: more steps extend every series, a larger batch keeps the values
    of the smaller one, and μ, σ and the drift move the same draws.

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
        source: key of ``SOURCES``.
        block: batches of one class before the next comes, for a source sorted by class.
        drift: key of ``DRIFTS``; what follows is read by some of them, and the default moves nothing.
        shift, shift_step: the first ``shift_step`` batches have mean μ, the later ones μ + shift.
        factor: after ``shift_step`` batches the standard deviation is factor·σ ("scale").
        amplitude, period: batch t has mean μ + amplitude·sin(2π(t − shift_step)/period), before that μ ("cycle").
        outlier, outlier_step: the first value of that batch becomes μ + outlier·σ ("outlier").
        in_batch: the probe's training output as in a real training step: the probe takes the place of the
            last sample and is normalized by the batch with itself in it. All else stays as without it.
        seed: non-negative integer.
    """
    rule = batchnorm_convention(convention)
    eps = rule.eps if eps is None else eps
    batch_size = _whole("batch_size", batch_size, 1)
    changes = Changes(shift, shift_step, factor, amplitude, period, outlier, outlier_step)
    true_mean, true_std, _, outliers = _plan(mu, sigma, steps, source, block, drift, changes)
    _finite(probe=probe, gamma=gamma, beta=beta)
    _finite(running_mean=running_mean, running_var=running_var)
    rule.fixed_weight(momentum)  # refuses a bad momentum even when there is no step

    step = np.arange(steps + 1)
    noise = _drawn(source, block, seed, (), 1, steps, batch_size).copy()
    noise[:, 0] = np.where(np.isnan(outliers[1:]), noise[:, 0], outliers[1:])

    with np.errstate(over="ignore", invalid="ignore"):
        batches = true_mean[1:, None] + true_std[1:, None] * noise
        true_output = gamma * ((probe - true_mean) / true_std) + beta
        true_var = true_std * true_std
    if steps:
        batch_mean, batch_var = batch_statistics(batches.T)
        train_output = _probe_in(batches, probe, gamma, beta, eps, in_batch)
    else:
        batch_mean, batch_var, train_output = np.empty((3, 0))

    means, variances = follow(
        batch_mean,
        batch_var,
        batch_size,
        start=(running_mean, running_var),
        momentum=momentum,
        convention=convention,
    )
    eval_output = _evaluate(probe, gamma, beta, means, variances, eps)
    undefined = np.full(steps, rule.unbiased and batch_size == 1)

    at_state = np.stack([means, variances, eval_output, true_output])
    at_batch = np.stack([batch_mean, batch_var, train_output])
    broken = np.asarray(~np.isfinite(at_state).all(axis=0))
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


_MOST_KEPT = 1 << 18  # numbers, 2 MB: the longest stream of the largest batches of the page
_ROUND = 32  # rows and columns that are drawn at once, so that one more does not draw all anew


def _drawn(
    source: str, block: int, seed: int, place: tuple[int, ...], first: int, count: int, batch_size: int
) -> Array:
    """Return the noise of batches (count, N): kept and read-only, for most of what moves leaves it as it is.

    Batch i, from 0, is drawn from ``stream(seed, *place, first + i)``, and sorted classes take turns from its start.
    """
    if count * batch_size > _MOST_KEPT:
        return _draw(source, block, seed, place, first, count, batch_size)
    rows, columns = (size + -size % _ROUND for size in (count, batch_size))
    noise: Array = _kept_noise(source, block, seed, place, first, rows, columns)[:count, :batch_size]
    return noise


def _draw(
    source: str, block: int, seed: int, place: tuple[int, ...], first: int, rows: int, columns: int
) -> Array:
    origin, noise = SOURCES[source], np.empty((rows, columns))
    for i, rng in enumerate(streams(seed, ((*place, first + i) for i in range(rows)))):
        part = origin.part(i + 1, block)
        noise[i] = part.mean + part.std * part.draw(rng, columns)
    return noise


_kept_noise = keep(entries=128)(_draw)


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
    source: str = "normal",
    in_batch: bool = False,
    seed: int = 0,
) -> Array:
    """Return the probe's training output (count,) in that many fresh batches.

    Placement i has a random stream of its own, apart from those of ``stream_batches``: a larger count
    extends the series. Sorted classes take turns from one placement to the next. After a drift pass the mean and
    standard deviation of the step. Arguments as in ``stream_batches``.
    """
    count, batch_size = _whole("count", count, 1), _whole("batch_size", batch_size, 1)
    _positive("sigma", sigma)
    _finite(mu=mu, probe=probe, gamma=gamma, beta=beta)
    _entry("source", SOURCES, source)
    noise = _drawn(source, 1, seed, (_PLACEMENTS,), 0, count, batch_size)
    with np.errstate(over="ignore", invalid="ignore"):
        batches = mu + sigma * noise
    return _probe_in(batches, probe, gamma, beta, eps, in_batch)


def running_moments(weight: float | None, start: float, mean: Array, std: Array) -> tuple[Array, Array]:
    """Expectation and standard deviation (T+1,) of a running value from those of what it averages, (T,) each.

    With weight a on the new batch E ← (1−a)E + a·mean and V ← (1−a)²V + a²·std², the batches being independent;
    a = 1/t for the cumulative average (weight None). Where mean and std stay, after t batches
    E = (1−a)ᵗ·start + (1−(1−a)ᵗ)·mean and √V = std·√(a/(2−a)·(1−(1−a)²ᵗ)).
    """
    _check_weight(weight)
    expected, variance = [float(start)], [0.0]
    with np.errstate(over="ignore", invalid="ignore"):
        for t, (m, s) in enumerate(zip(mean, std, strict=True), start=1):
            a = 1 / t if weight is None else weight
            expected.append((1 - a) * expected[-1] + a * m)
            variance.append((1 - a) ** 2 * variance[-1] + a**2 * s**2)
        return np.array(expected), np.sqrt(np.array(variance))


def _squares(n: int, var: Array, excess: Array, away: Array) -> tuple[Array, Array]:
    """Expectation and variance of Σ(x − x̄)² over a batch of n values with variance ``var``, all (T,).

    Without an outlier (``away`` NaN) (n−1)·var and var²·(2(n−1) + κ(n−1)²/n), κ the excess kurtosis. One value at a
    distance ``away`` from the mean m of the other n−1 adds (n−1)/n·(away − (x̄ − m))² to their own sum; the mean and
    the sum of squares of a symmetric sample have covariance 0, and the square of the mean has κ·var²/(n−1)² with s².

    Source: Kendall and Stuart, The Advanced Theory of Statistics 1, chapter 12.
    """
    expected, variance = (n - 1) * var, var**2 * (2 * (n - 1) + excess * (n - 1) ** 2 / n)
    if n == 1:
        return expected, variance
    rest = n - 1
    with_one = (rest - 1) * var + rest / n * (away**2 + var / rest)
    own = var**2 * (2 * (rest - 1) + excess * (rest - 1) ** 2 / rest)
    distance = 4 * away**2 * var / rest + 2 * var**2 / rest**2 + excess * var**2 / rest**3
    together = 2 * (rest - 1) * rest / n * excess * var**2 / rest**2
    put = ~np.isnan(away)
    return (
        np.where(put, with_one, expected),
        np.where(put, own + (rest / n) ** 2 * distance + together, variance),
    )


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
    source: str = "normal",
    block: int = 10,
    drift: str = "shift",
    shift: float = 0.0,
    shift_step: int = 0,
    factor: float = 1.0,
    amplitude: float = 0.0,
    period: float = 30.0,
    outlier: float = 0.0,
    outlier_step: int = 1,
) -> BatchStreamTheory:
    """Return what ``stream_batches`` does on average, and its spread over seeds; same arguments.

    The unbiased variance of a batch has expectation v and standard deviation v·√(2/(N−1) + κ/N), v the variance and
    κ the excess kurtosis of what the batch is drawn from; the biased one (N−1)/N of both. With N = 1 the unbiased
    variance never moves. Which class a batch holds and where an outlier sits is known, not drawn.
    """
    rule = batchnorm_convention(convention)
    eps = rule.eps if eps is None else eps
    n = _whole("batch_size", batch_size, 1)
    changes = Changes(shift, shift_step, factor, amplitude, period, outlier, outlier_step)
    plan = _plan(mu, sigma, steps, source, block, drift, changes)
    _finite(probe=probe, gamma=gamma, beta=beta)
    _finite(running_mean=running_mean, running_var=running_var)
    weight = rule.fixed_weight(momentum)
    with np.errstate(over="ignore", invalid="ignore"):
        offset, within, excess = np.array([(p.mean, p.std, p.excess) for p in plan.parts]).T
        center, std = plan.mean + plan.std * offset, plan.std * within
        away = plan.outlier * plan.std - plan.std * offset
        put = ~np.isnan(away)
        batch_mean = np.where(put, center + away / n, center)
        batch_std = std * np.where(put, math.sqrt(n - 1) / n, 1 / math.sqrt(n))
        squares, spread = _squares(n, std**2, excess, away)
        spread = np.sqrt(spread)
    mean, mean_std = running_moments(weight, running_mean, batch_mean[1:], batch_std[1:])
    divisor = n - 1 if rule.unbiased else n
    if divisor:
        var, var_std = running_moments(weight, running_var, squares[1:] / divisor, spread[1:] / divisor)
    else:
        var, var_std = np.full(steps + 1, float(running_var)), np.zeros(steps + 1)
    return BatchStreamTheory(
        batch_mean=center,
        batch_mean_std=std / math.sqrt(n),
        running_mean=mean,
        running_mean_std=mean_std,
        running_var=var,
        running_var_std=var_std,
        eval_output=_evaluate(probe, gamma, beta, mean, var, eps),
    )


def cycle_response(weight: float, period: float) -> tuple[float, float]:
    """Return the share of a sinusoidal swing that the running mean keeps, and by how many steps it lags.

    Modulus and −phase/ω of a/(1 − (1−a)·exp(−iω)), ω = 2π/period: the frequency response of the update
    E ← (1−a)E + a·mean once the start is forgotten. ``weight`` a above 0, up to 1; ``period`` above 2.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section 5.1.
    """
    if not 0 < weight <= 1:
        raise ValueError(f"weight = {weight}: needs a number above 0, up to 1")
    if not 2 < period < math.inf:
        raise ValueError(f"period = {period}: needs a finite number above 2")
    omega = 2 * math.pi / period
    response = weight / (1 - (1 - weight) * np.exp(-1j * omega))
    return float(abs(response)), float(-np.angle(response) / omega)


def probe_distribution(
    *,
    mu: float = 5.0,
    sigma: float = 3.0,
    batch_size: int = 8,
    probe: float = 8.0,
    gamma: float = 1.0,
    beta: float = 0.0,
    eps: float = 0.0,
    source: str = "normal",
    in_batch: bool = False,
) -> ProbeDistribution:
    """Exact mean and standard deviation of the probe's training output over normal batches.

    Sorted classes are normal one by one, each as frequent; for other sources NaN. With ``eps`` above 0 both are finite
    for every N, integrated numerically over the batch's variance. The default is the limit eps → 0, of which the
    following speaks.

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
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps}: needs a finite number from 0")
    parts = _entry("source", SOURCES, source).parts
    if not all(part.normal for part in parts):
        return ProbeDistribution(math.nan, math.nan)
    one_of = _probe_inside if in_batch else _probe_outside
    found = []
    for part in parts:
        delta, root = ((probe - mu) / sigma - part.mean) / part.std, math.sqrt(eps) / sigma / part.std
        found.append(one_of(n, delta, root * root, gamma, beta))
    if len(found) == 1:
        return found[0]
    means, stds = np.array(found).T
    return ProbeDistribution(float(means.mean()), math.hypot(math.sqrt((stds**2).mean()), means.std()))


def _probe_outside(n: int, delta: float, eps: float, gamma: float, beta: float) -> ProbeDistribution:
    """Return the noncentral t's mean and standard deviation, or what ``eps``, in units of σ², makes of them."""
    if eps:
        return _probe_outside_eps(n, delta, eps, gamma, beta)
    if n <= 2:
        return ProbeDistribution(math.nan, math.nan)
    square = _gamma_ratio_square(n / 2 - 1)
    mean = gamma * delta * math.sqrt(n / 2 / square) + beta
    if n == 3:
        return ProbeDistribution(mean, math.inf if gamma else 0.0)
    # n/(n−3) − (n/2)/square, written so that the two do not cancel for large n
    from_scale = math.sqrt(n / (n - 3) * (square - (n - 3) / 2) / square)
    return ProbeDistribution(mean, abs(gamma) * math.hypot(1 / math.sqrt(n - 3), delta * from_scale))


def _probe_outside_eps(n: int, delta: float, eps: float, gamma: float, beta: float) -> ProbeDistribution:
    """Integrate 1/√(s² + ε) over the batch's variance s², of which the batch mean is independent."""
    degrees = n - 1
    if degrees == 0:
        return ProbeDistribution(gamma * delta / math.sqrt(eps) + beta, abs(gamma) / math.sqrt(eps))
    reach = 40.0 / math.sqrt(degrees) if degrees > 4 else 40.0 / degrees + 10.0
    # A few degrees of freedom put so much weight on tiny variances that only ε ends the integral.
    low = -reach if degrees > 4 else min(-reach, math.log(eps) - 60.0 / degrees)
    u = np.linspace(low, reach, 6001)
    with np.errstate(under="ignore"):
        weights = np.exp(0.5 * degrees * (u - np.expm1(u)))
        weights /= weights.sum()
        factor = 1.0 / np.sqrt(degrees / n * np.exp(u) + eps)
        mean = float(weights @ factor)
        squares = float(weights @ factor**2)
        scatter = float(weights @ (factor - mean) ** 2)
    return ProbeDistribution(
        gamma * delta * mean + beta,
        abs(gamma) * math.hypot(delta * math.sqrt(scatter), math.sqrt(squares / n)),
    )


def _probe_of_two(delta: float, eps: float, gamma: float, beta: float) -> ProbeDistribution:
    """Integrate d/√(d² + 4ε) over the distance d of the probe from the one other value, normal about δ."""
    if abs(delta) > 20:  # the sign is settled, and the output smooth
        z = np.linspace(-9.0, 9.0, 361)
        distance, weights = abs(delta) + z, np.exp(-0.5 * z * z)
        weights /= weights.sum()
        signs = np.ones_like(z)
    else:  # as fine about 0 as any ε asks for
        size = np.exp(np.linspace(-40.0, math.log(abs(delta) + 9.0), 20_001))
        distance = np.concatenate([size, size])
        signs = np.repeat([1.0, -1.0], len(size))
        with np.errstate(under="ignore"):
            weights = distance * np.exp(-0.5 * (signs * distance - abs(delta)) ** 2)
        weights /= weights.sum()
    outputs = signs * distance / np.hypot(distance, 2 * math.sqrt(eps))
    mean = float(weights @ outputs) if delta else 0.0
    variance = float(weights @ (outputs - mean) ** 2)
    return ProbeDistribution(
        math.copysign(gamma, gamma * delta) * mean + beta, abs(gamma) * math.sqrt(variance)
    )


def _probe_inside(n: int, delta: float, eps: float, gamma: float, beta: float) -> ProbeDistribution:
    """Integrate the in-batch output over the other n − 1 values: their mean is normal, n − 1 times their variance χ².

    ``eps`` in units of σ².
    """
    if n == 1:
        return ProbeDistribution(beta, 0.0)
    others = n - 1
    if others == 1 and eps:
        return _probe_of_two(delta, eps, gamma, beta)
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
    outputs = math.sqrt(others) * shift / np.sqrt(n * root**2 + shift**2 + eps * n * n / others)
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
