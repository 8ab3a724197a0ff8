"""The gap between training and evaluation under batch normalization, and what it is made of.

Units: σ = 1, γ = 1, β = 0, and ε stands for ε/σ². A normal feature has fed the running statistics for a long
time when its mean moves by ``shift``; ``steps`` batches later one more batch is normalized, by itself as in
training and by the running statistics as in evaluation. The gap is the root mean square of the difference,
over the samples of that batch, over batches and over the past.

A batch enters only through its mean and its variance, and of a normal batch these are independent, the one
normal, the other χ² with N − 1 degrees of freedom: simulations draw them directly (Cochran 1934).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.special import normal_cdf
from core.streams import stream

Array = NDArray[np.floating[Any]]
Draw = Callable[[np.random.Generator], tuple[Array, Array]]

_NODES = 60  # of the integrals over the Laplace transform
_DIRECT = 8  # batches whose share in the running variance is summed one by one
_LOWEST = -4.2  # where t = exp(y − e⁻ʸ) is so small that √t has vanished
_PAST = 1e-3  # share of gap² that a shortened past may change
_FRESH = 6  # batches that are normalized with each state of a run
_PLACE = (0, 0, 1)  # random streams of this module, apart from those of core.batch_stream


class Gap(NamedTuple):
    """A gap and its three parts, root mean squares of one shape: total² = batch² + running² + lag².

    ``batch`` is left when the running statistics are the truth: each batch has a mean and a variance of its own.
    ``running`` is what the noise of the running statistics adds, ``lag`` what is left of the old mean.
    """

    total: Array
    batch: Array
    running: Array
    lag: Array


class MeasuredGap(NamedTuple):
    """A gap over simulated runs and its standard error, of one shape."""

    total: Array
    error: Array


class ClassOutputs(NamedTuple):
    """Outputs of two classes, each (2, batches, samples): the class of the lower mean first."""

    training: Array
    evaluation: Array


class ClassAccuracy(NamedTuple):
    """Share of samples that "output above 0" puts into the right one of two classes; NaN where nothing is exact."""

    training: float
    evaluation: float


def _arguments(
    batch_size: ArrayLike, weight: ArrayLike, steps: ArrayLike, eps: float
) -> tuple[Array, Array, Array]:
    n, a, s = (np.asarray(value, np.float64) for value in (batch_size, weight, steps))
    for name, values, low, high in (
        ("batch_size", n, 1, math.inf),
        ("weight", a, 0, 1),
        ("steps", s, 0, math.inf),
    ):
        if not np.all((values >= low) & (values <= high) & np.isfinite(values)):
            raise ValueError(f"{name}: needs numbers from {low}" + (f" to {high}" if high < math.inf else ""))
    for name, values in (("batch_size", n), ("steps", s)):
        if np.any(values != np.rint(values)):
            raise ValueError(f"{name}: needs whole numbers")
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps}: needs a finite number from 0")
    return n, a, s


# Theory


def _dilogarithm(x: Array) -> Array:
    """Return −Li₂(−x) = ∫₀ˣ ln(1 + s)/s ds for x ≥ 0, by its series in ln(1 + x) and inversion beyond 1."""
    small = np.minimum(x, 1 / np.maximum(x, 1.0))
    w = np.log1p(small)
    w2 = w * w
    tail = w2 * (1 / 36 - w2 * (1 / 3600 - w2 * (1 / 211680 - w2 * (1 / 10886400 - w2 / 526901760))))
    series = w * (1 + w / 4 + tail)
    log = np.log(np.maximum(x, 1.0))
    return np.asarray(np.where(x > 1, math.pi**2 / 6 + log * log / 2 - series, series))


def _log_product(u: Array, decay: Array) -> Array:
    """Return Σ_{j≥0} ln(1 + u·e^(−decay·j)): eight terms, then Euler and Maclaurin for the others."""
    total = np.zeros(np.broadcast_shapes(u.shape, decay.shape))
    factor, left = np.exp(-decay), u
    for _ in range(_DIRECT):
        total += np.log1p(left)
        left = left * factor
    slope = left / (1 + left)
    bend = slope * (1 - slope) * (1 - 2 * slope)  # −1/decay³ times the third derivative
    ends = np.log1p(left) / 2 + decay * slope / 12 - decay**3 * bend / 720
    return np.asarray(total + _dilogarithm(left) / decay + ends)


def inverse_moments(
    batch_size: ArrayLike, weight: ArrayLike, *, eps: float = 0.0, unbiased: bool = True
) -> tuple[Array, Array]:
    """Return E[1/√(v + ε)] and E[1/(v + ε)] of the running variance v, broadcast over both arguments.

    v = Σⱼ a(1−a)ʲ·χ²/(N−1) over a past without beginning, (N−1)/N of that where the biased variance is
    stored. Its Laplace transform is a product, and E[(v+ε)^−p] = 1/Γ(p)·∫ t^(p−1)·e^(−εt)·E[e^(−vt)] dt. Without
    ε the moment 1/(v + ε) is infinite where a single batch of at most 3 counts (a = 1); the value is then large and
    means nothing. With N = 1 an unbiased variance does not exist: v is taken to stand at the truth, 1; the biased
    one is 0.
    """
    n, a, _ = _arguments(batch_size, weight, 0, eps)
    n, a = np.broadcast_arrays(n, a)
    alone = n == 1
    freedom = np.where(alone, 1.0, n - 1)[..., None]
    a = np.clip(a, 1e-9, 1 - 1e-12)[..., None]
    decay = -np.log1p(-a)
    share = np.ones_like(freedom) if unbiased else freedom / (freedom + 1)
    size = share + eps

    def exponent(y: Array) -> tuple[Array, Array]:
        """Return t in units of 1/(E v + ε), and −ln of e^(−εt)·E[e^(−vt)]."""
        t = np.exp(y - np.exp(-y))
        u = 2 * share * a / freedom * t / size
        return t, freedom / 2 * _log_product(u, decay) + eps * t / size

    low, high = np.full_like(a, 3.0), np.full_like(a, 60.0)
    for _ in range(8):
        middle = (low + high) / 2
        done = exponent(middle)[1] > 40
        low, high = np.where(done, low, middle), np.where(done, middle, high)
    step = (high - _LOWEST) / (_NODES - 1)
    y = _LOWEST + step * np.arange(_NODES)
    t, fall = exponent(y)
    with np.errstate(under="ignore"):
        density = np.exp(-fall) * (1 + np.exp(-y)) * step
        half = (np.sqrt(t) * density).sum(axis=-1) / math.sqrt(math.pi) / np.sqrt(size[..., 0])
        whole = (t * density).sum(axis=-1) / size[..., 0]
    with np.errstate(divide="ignore"):
        still = 1 / np.float64(1 + eps if unbiased else eps)
    return np.where(alone, np.sqrt(still), half), np.where(alone, still, whole)


def _training_moments(n: Array, eps: float) -> tuple[Array, Array]:
    """Return E[s²/√(s² + ε)] and E[s²/(s² + ε)] of the biased variance s² of n values; 0 for one value."""
    freedom = np.maximum(n - 1, 1.0)[..., None]
    # χ² on a logarithmic grid, where its density is smooth for any number of degrees of freedom.
    reach = np.where(freedom > 4, 40 / np.sqrt(freedom), 40 / freedom + 10)
    y = np.linspace(-1.0, 1.0, 401) * reach
    with np.errstate(under="ignore", over="ignore"):
        density = np.exp(freedom / 2 * (y - np.expm1(y)))
        density /= density.sum(axis=-1, keepdims=True)
        var = freedom / (freedom + 1) * np.exp(y)
        ratio = var / (var + eps)
        root, square = (np.sqrt(var * ratio) * density).sum(axis=-1), (ratio * density).sum(axis=-1)
    return np.where(n == 1, 0.0, root), np.where(n == 1, 0.0, square)


def _gap(n: Array, a: Array, offset2: Array, eps: float, unbiased: bool) -> Gap:
    """Return the gap where the mean of the running mean is off by √offset2."""
    half, whole = inverse_moments(n, a, eps=eps, unbiased=unbiased)
    root, square = _training_moments(n, eps)
    right = 1 / math.sqrt(1 + eps)
    # The difference of the two outputs is squared out: E[x̂²] of each, and their product, in which the past and the
    # batch are independent.
    batch2 = right**2 - 2 * right * root + square
    running2 = (1 + a / (2 - a) / n) * whole - right**2 - 2 * root * (half - right)
    lag2 = offset2 * whole
    parts = np.broadcast_arrays(batch2, running2, lag2)
    return Gap(*(np.sqrt(np.maximum(part, 0.0)) for part in (np.sum(parts, axis=0), *parts)))


def gap_theory(
    batch_size: ArrayLike,
    weight: ArrayLike,
    steps: ArrayLike = 0,
    shift: ArrayLike = 0.0,
    *,
    eps: float = 0.0,
    unbiased: bool = True,
) -> Gap:
    """Return the gap, exact up to numerical integration, broadcast over its first four arguments.

    gap² = E[s²/(s²+ε)] − 2·E[s²/√(s²+ε)]·E[1/√(v+ε)] + (1 + (1−a)^(2·steps)·shift² + a/((2−a)·N))·E[1/(v+ε)]

    with s² the batch's biased variance and v the running variance. ``gap_first_order`` is what is left of it for
    large batches. With N = 1 the training output is 0 and the gap is the size of the evaluation output; see
    ``inverse_moments`` for v.

    Args:
        batch_size: N, whole numbers from 1.
        weight: a of the new batch, 0 to 1; 0 stands for the limit of small weights.
        steps: batches since the mean moved, whole numbers from 0.
        shift: how far it moved, in σ.
        eps: ε/σ², 0 or more.
        unbiased: whether the stored variance is N/(N−1) times the batch's own.
    """
    n, a, s = _arguments(batch_size, weight, steps, eps)
    with np.errstate(under="ignore"):
        offset = (1 - a) ** s * np.asarray(shift, np.float64)
    return _gap(n, a, offset**2, eps, unbiased)


def gap_first_order(
    batch_size: ArrayLike,
    weight: ArrayLike,
    steps: ArrayLike = 0,
    shift: ArrayLike = 0.0,
    *,
    eps: float = 0.0,
) -> Array:
    """Return √(((2 + 1/r²)/((2−a)·N) + (1−a)^(2·steps)·shift²)/r), r = 1 + ε/σ², broadcast; ``eps`` is ε/σ².

    The gap with its noise to first order in 1/N, and the lag as it is without noise. The batch brings (2 + 1/r²)/(2N),
    the mean of (1 + δ²/(2r²))/N over samples δ ~ N(0, 1), and the running statistics a/(2−a) times as much.
    """
    n, a, s = _arguments(batch_size, weight, steps, eps)
    r = 1 + eps
    with np.errstate(under="ignore"):
        lag = (1 - a) ** s * np.asarray(shift, np.float64)
    return np.asarray(np.sqrt(((2 + 1 / r**2) / ((2 - a) * n) + lag**2) / r))


def lowest(weights: ArrayLike, gaps: ArrayLike) -> Array:
    """Return the weight of the smallest gap: the vertex of a parabola in ln a through the three lowest of a grid.

    Args:
        weights: (K,) above 0, in equal ratios.
        gaps: (K, ...).

    Returns:
        (...) weights; the first or the last one where the gap is smallest there.
    """
    log = np.log(np.asarray(weights, np.float64))
    squares = np.asarray(gaps, np.float64) ** 2
    best = np.argmin(squares, axis=0)
    inner = np.clip(best, 1, len(log) - 2)
    before, at, after = (np.take_along_axis(squares, (inner + k)[None], axis=0)[0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    with np.errstate(invalid="ignore", divide="ignore"):
        move = np.where(bend > 0, (before - after) / (2 * bend), 0.0) * (log[1] - log[0])
    return np.asarray(np.exp(np.where(best == inner, log[inner] + move, log[best])))


# Measurement


def past_of(weight: float) -> int:
    """Return how many batches a simulation begins before the change, with the running statistics at the truth.

    What the noise of a longer past would add to gap² is a share a/(2−a)·(1−a)^(2·batches) of it, below 0.1 %.
    """
    ratio = weight / (2 - weight)
    if ratio <= _PAST:
        return 0
    return 1 if weight == 1 else math.ceil(math.log(ratio / _PAST) / (-2 * math.log1p(-weight)))


def _states(
    before: Draw,
    after: Draw,
    mean: Array,
    var: Array,
    n: Array,
    a: Array,
    steps: Sequence[int],
    unbiased: bool,
    rng: np.random.Generator,
) -> Iterator[tuple[int, Array, Array]]:
    """Follow running mean and variance from a start, and yield them at each of the increasing steps."""
    past = max(past_of(float(weight)) for weight in a.ravel())
    kept = n == 1 if unbiased else np.zeros(n.shape, bool)
    stored = np.where(kept, 0.0, n / np.maximum(n - 1, 1)) if unbiased else np.ones(n.shape)
    wanted = set(steps)
    for t in range(-past, max(steps) + 1):
        if t in wanted:
            yield t, mean, var
        batch_mean, batch_var = (before if t < 0 else after)(rng)
        mean = mean + a * (batch_mean - mean)
        var = np.where(kept, var, var + a * (stored * batch_var - var))


def _normal_batches(n: Array, runs: int, center: float) -> Draw:
    """Draw mean and biased variance of normal batches of n values, each (runs, *n.shape)."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        mean = center + rng.standard_normal((runs, *n.shape)) / np.sqrt(n)
        return mean, 2 / n * rng.standard_gamma((n - 1) / 2, (runs, *n.shape))

    return draw


def _mixed_batches(n: Array, runs: int, separation: float) -> Draw:
    """Draw mean and biased variance of batches whose n values come from two classes by tossing a coin."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        shape = (runs, *n.shape)
        upper = rng.binomial(n.astype(int), 0.5, shape)
        lower = n - upper
        both = (upper > 0) & (lower > 0)
        # Noise of the mean, of the difference of the class means, and within the classes: independent of one another.
        noise = rng.standard_normal(shape) / np.sqrt(n)
        ratio = 1 / np.maximum(upper, 1) + 1 / np.maximum(lower, 1)
        apart = separation + rng.standard_normal(shape) * np.sqrt(ratio)
        within = 2 * rng.standard_gamma(np.maximum(n - 1 - both, 0) / 2, shape)
        between = upper * lower / n**2 * apart**2
        return separation * (upper / n - 0.5) + noise, within / n + between

    return draw


def _square(batch_mean: Array, batch_var: Array, mean: Array, var: Array, eps: float) -> Array:
    """Return the mean over a batch's samples of (x̂ evaluation − x̂ training)²."""
    deviation = np.sqrt(batch_var)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(var + eps)
        own = np.where(batch_var > 0, deviation / np.sqrt(batch_var + eps), 0.0)
        spread = np.where(batch_var > 0, deviation * scale, 0.0) - own
        return np.asarray(((batch_mean - mean) * scale) ** 2 + spread**2)


def _fresh(draws: Sequence[Draw], mean: Array, var: Array, eps: float, rng: np.random.Generator) -> Array:
    """Return the mean over fresh batches, the same number from each of ``draws``, of ``_square`` (runs, ...)."""
    squares = [_square(*draw(rng), mean, var, eps) for draw in draws for _ in range(_FRESH)]
    return np.asarray(np.mean(squares, axis=0))


def _measured(squares: Array) -> MeasuredGap:
    """Turn squares (steps, runs, ...) into a gap with its standard error (steps, ...)."""
    total = np.sqrt(squares.mean(axis=1))
    error = squares.std(axis=1, ddof=1) / math.sqrt(squares.shape[1])
    return MeasuredGap(total, error / (2 * np.maximum(total, 1e-300)))


def measure_gap(
    batch_size: ArrayLike,
    weight: ArrayLike,
    steps: int | Sequence[int] = 0,
    shift: float = 0.0,
    *,
    eps: float = 0.0,
    unbiased: bool = True,
    runs: int = 400,
    seed: int = 0,
) -> MeasuredGap:
    """Measure the gap over simulated streams of batches, all places of a grid at once.

    Args:
        batch_size, weight: broadcast to a grid of any shape; every run has a stream for each of its places.
        steps: a whole number from 0, or several increasing ones: then they are read from the same runs.
        shift, eps, unbiased: see ``gap_theory``.
        runs: streams a place, from 2.
        seed: non-negative integer.

    Returns:
        of the grid's shape; with several steps these come first.
    """
    several = [steps] if isinstance(steps, int) else list(steps)
    n, a, _ = _arguments(batch_size, weight, several, eps)
    n, a = np.broadcast_arrays(n, a)
    if runs < 2:
        raise ValueError(f"runs = {runs}: needs a whole number from 2")
    rng = stream(seed, *_PLACE)
    start = np.ones(n.shape) if unbiased else (n - 1) / n
    after = _normal_batches(n, runs, shift)
    states = _states(
        _normal_batches(n, runs, 0.0), after, np.zeros(n.shape), start, n, a, several, unbiased, rng
    )
    squares = np.array([_fresh((after,), mean, var, eps, rng) for _, mean, var in states])
    found = _measured(squares)
    return MeasuredGap(found.total[0], found.error[0]) if isinstance(steps, int) else found


# Two classes


def class_gap_theory(
    batch_size: ArrayLike,
    weight: ArrayLike,
    steps: ArrayLike,
    separation: float,
    *,
    in_order: bool,
    eps: float = 0.0,
    unbiased: bool = True,
) -> Array:
    """Return the gap over the samples of two classes, N(±separation/2, 1), broadcast.

    In order: batches of the lower class have fed the running statistics for a long time, then ``steps`` batches of
    the upper one; in training a sample sits in a batch of its own class. The running mean is (1−a)^steps·separation
    away from the one class and the rest of the separation from the other, so gap ≥ separation/2 up to noise and ε,
    whatever N, a and steps are. Exact.

    Shuffled: every batch is a mixture; to first order in 1/N, with V = 1 + separation²/4 and κ the variance and the
    kurtosis of the mixture and r = 1 + ε/V, gap² = (4 + (κ − 1)/r²)/(2·(2−a)·N·r).
    """
    n, a, s = _arguments(batch_size, weight, steps, eps)
    if in_order:
        with np.errstate(under="ignore"):
            keep = (1 - a) ** s
        return _gap(n, a, separation**2 * (keep**2 + (1 - keep) ** 2) / 2, eps, unbiased).total
    half2 = separation**2 / 4
    kurtosis = (3 + 6 * half2 + half2**2) / (1 + half2) ** 2
    r = 1 + eps / (1 + half2)
    return np.asarray(np.sqrt((4 + (kurtosis - 1) / r**2) / (2 * (2 - a) * n * r)) + 0 * s)


def measure_class_gap(
    batch_size: int,
    weight: float,
    steps: Sequence[int],
    separation: float,
    *,
    in_order: bool,
    eps: float = 0.0,
    unbiased: bool = True,
    runs: int = 400,
    seed: int = 0,
) -> MeasuredGap:
    """Measure what ``class_gap_theory`` says, at several increasing steps of the same runs: (steps,)."""
    squares = []
    for fresh, mean, var, rng in _class_states(
        batch_size, weight, steps, separation, in_order, unbiased, runs, seed
    ):
        squares.append(_fresh(fresh, mean, var, eps, rng))
    return _measured(np.array(squares))


def _class_states(
    batch_size: int,
    weight: float,
    steps: Sequence[int],
    separation: float,
    in_order: bool,
    unbiased: bool,
    runs: int,
    seed: int,
) -> Iterator[tuple[tuple[Draw, ...], Array, Array, np.random.Generator]]:
    """Yield at each step what draws fresh batches, and the running statistics (runs,)."""
    n, a, _ = _arguments(batch_size, weight, steps, 0.0)
    rng = stream(seed, *_PLACE, 1)
    bias = 1.0 if unbiased else float((n - 1) / n)
    before: Draw
    after: Draw
    if in_order:
        before, after = (_normal_batches(n, runs, side * separation / 2) for side in (-1, 1))
        fresh: tuple[Draw, ...] = (before, after)
        mean, var = -separation / 2, bias
    else:
        before = after = _mixed_batches(n, runs, separation)
        fresh = (after,)
        mean, var = 0.0, bias * (1 + separation**2 / 4)
    start = (np.full(runs, mean), np.full(runs, var))
    for _, running_mean, running_var in _states(before, after, *start, n, a, steps, unbiased, rng):
        yield fresh, running_mean, running_var, rng


def class_outputs(
    batch_size: int,
    weight: float,
    steps: int,
    separation: float,
    *,
    in_order: bool,
    eps: float = 0.0,
    unbiased: bool = True,
    samples: int = 2000,
    seed: int = 0,
) -> ClassOutputs:
    """Return both outputs of fresh samples of each class, with running statistics of a past for each batch.

    In order a batch holds one class; shuffled, each sample shares its batch with others whose class is tossed. At
    least ``samples`` a class in order; shuffled, one sample a batch is kept for each class.
    """
    batches = -(-samples // batch_size) if in_order else samples
    ((_, mean, var, rng),) = _class_states(
        batch_size, weight, [steps], separation, in_order, unbiased, max(batches, 2), seed
    )
    batches = max(batches, 2)
    place = np.array([-separation / 2, separation / 2])[:, None, None]
    x = place + rng.standard_normal((2, batches, batch_size if in_order else 1))
    if in_order:
        batch_mean, batch_var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    else:
        # The sample itself, and N − 1 others in its batch.
        others = batch_size - 1
        batch_mean, batch_var = x, np.zeros_like(x)
        if others:
            draw = _mixed_batches(np.asarray(float(others)), 2 * batches, separation)
            other_mean, other_var = (part.reshape(2, batches, 1) for part in draw(rng))
            batch_mean = (x + others * other_mean) / batch_size
            batch_var = others / batch_size * (other_var + (x - other_mean) ** 2 / batch_size)
    with np.errstate(divide="ignore", invalid="ignore"):
        training = np.where(batch_var > 0, (x - batch_mean) / np.sqrt(batch_var + eps), 0.0)
        evaluation = (x - mean[:, None]) / np.sqrt(var[:, None] + eps)
    return ClassOutputs(training, evaluation)


def class_accuracy(outputs: ClassOutputs) -> ClassAccuracy:
    """Return the share of outputs on their class's side of 0, in training and in evaluation."""
    return ClassAccuracy(*(float(((part[0] <= 0).mean() + (part[1] > 0).mean()) / 2) for part in outputs))


def class_accuracy_theory(
    batch_size: int, weight: float, steps: int, separation: float, *, in_order: bool
) -> ClassAccuracy:
    """Return ``class_accuracy`` in expectation.

    In order, training is ½: every batch has mean 0, whatever its class. Evaluation compares a sample with the running
    mean, which is normal: exact. Shuffled, the running mean is taken for normal, and training gets NaN.
    """
    n, a, s = (float(v) for v in _arguments(batch_size, weight, steps, 0.0))
    ratio = a / (2 - a) / n

    def right(distance: float, var: float) -> float:
        return float(normal_cdf(np.float64(distance / math.sqrt(1 + ratio * var))))

    if in_order:
        keep = (1 - a) ** s
        sides = (right(keep * separation, 1.0), right((1 - keep) * separation, 1.0))
        return ClassAccuracy(0.5, sum(sides) / 2)
    return ClassAccuracy(math.nan, right(separation / 2, 1 + separation**2 / 4))
