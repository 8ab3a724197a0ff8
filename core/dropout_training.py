"""Dropout as a regularizer: linear regression, where it is a penalty, and a network trained with it many times over.

p is always p_drop, and the scaling is inverted: a kept unit is divided by p_keep = 1 − p in training. A network has
ReLU units, dropout on all of its hidden units, and no activation at its output. Leading axes are networks.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.dropout import DROPOUT_MODES, draw_mask, drop
from core.initializers import INITIALIZERS
from core.network import CROSS_ENTROPY, Loss, Params, flatten, init_network, unflatten
from core.optimizers import OPTIMIZERS, Optimizer
from core.streams import stream

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]

# Places of the streams of a seed; the weights of a network have 0 (core.network).
_BATCHES, _MASKS, _POINTS, _FLIPS, _DESIGN, _TARGETS, _REGRESSION = range(1, 8)

_MODE = DROPOUT_MODES["Inverted"]
_HE = INITIALIZERS["He normal"]
_ADAM = OPTIMIZERS["Adam"]
_CHUNK = 50  # steps of regression whose masks are drawn at once

# A diverging run overflows, and that is a result with a step number, not a warning.
_quiet = np.errstate(all="ignore")


def _rates(p: ArrayLike, high: float = 1.0) -> Array:
    """Check probabilities to drop and return them as (P,)."""
    rates = np.atleast_1d(np.asarray(p, dtype=np.float64))
    if rates.ndim != 1 or not np.all((rates >= 0) & (rates <= high)):
        raise ValueError(f"p_drop = {rates}: needs a number, or a list of numbers, from 0 to {high:g}")
    return rates


def _whole(name: str, value: int, low: int) -> int:
    if not low <= value < math.inf or value % 1 != 0:
        raise ValueError(f"{name} = {value}: needs a whole number from {low}")
    return int(value)


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    if not len(seeds):
        raise ValueError("seeds: needs at least one")
    return tuple(_whole("seed", seed, 0) for seed in seeds)


# Linear regression


class Regression(NamedTuple):
    """A linear regression: y = x·truth + noise; features are N(0, 1) each."""

    x: Array  # (n, d)
    y: Array  # (n,)
    truth: Array  # (d,)
    covariance: Array  # (d, d), of the features
    noise: float  # standard deviation

    def test_error(self, weights: ArrayLike) -> Array:
        """Return the expected squared error of weights (..., d) on a new point, noise² included: → (...)."""
        off = np.asarray(weights, np.float64) - self.truth
        return np.asarray(((off @ self.covariance) * off).sum(axis=-1) + self.noise**2)


def draw_regression(
    n: int, truth: Sequence[float] = (2.0, 0.0, -1.0, 0.5, 0.0, 0.0), *, twin: float, noise: float, seed: int
) -> Regression:
    """Draw n points whose first two features are twins, with correlation ``twin``; the others are independent.

    The same seed gives the same draws: more points extend the data, another ``twin`` or ``noise`` moves them.

    Args:
        n: from 1.
        truth: weights of the features, two or more.
        twin: correlation of the first two features, from 0 to 1.
        noise: standard deviation of the noise on y, 0 or more.
        seed: non-negative integer.

    Raises:
        ValueError: a number is out of range.
    """
    n, seed = _whole("n", n, 1), _whole("seed", seed, 0)
    if not 0 <= twin <= 1:
        raise ValueError(f"twin = {twin}: needs a number from 0 to 1")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise = {noise}: needs a finite number from 0")
    if len(truth) < 2:
        raise ValueError(f"truth = {tuple(truth)}: needs two or more weights")
    weights = np.asarray(truth, dtype=np.float64)
    x = stream(seed, _DESIGN).standard_normal((n, len(truth)))
    x[:, 1] = twin * x[:, 0] + math.sqrt(1 - twin**2) * x[:, 1]
    y = x @ weights + noise * stream(seed, _TARGETS).standard_normal(n)
    covariance = np.eye(len(truth))
    covariance[0, 1] = covariance[1, 0] = twin
    return Regression(x, y, weights, covariance, noise)


def dropout_penalty(x: ArrayLike, weights: ArrayLike, p: float) -> Array:
    """Return p/(1−p)·Σⱼ wⱼ²·Σᵢ xᵢⱼ², what inverted dropout on the inputs adds to Σᵢ(yᵢ − xᵢ·w)² on average.

    The mean over masks of Σᵢ(yᵢ − Σⱼ xᵢⱼ·mᵢⱼ·wⱼ/(1−p))² is the squared error plus the variance of the prediction.
    Srivastava et al. 2014, section 9.1; Wager et al. 2013.

    Args:
        x: (n, d).
        weights: (..., d).
        p: probability to drop, from 0 to below 1: at 1 nothing is left of x.

    Returns:
        (...).

    Raises:
        ValueError: p is out of range.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to below 1")
    squares = np.square(np.asarray(x, np.float64)).sum(axis=0)
    return np.asarray(p / (1 - p) * (np.square(np.asarray(weights, np.float64)) * squares).sum(axis=-1))


def masked_losses(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike, p: float, *, masks: int, seed: int
) -> Array:
    """Return Σᵢ(yᵢ − Σⱼ xᵢⱼ·mᵢⱼ·wⱼ/(1−p))² under M masks, (M,); more masks extend the list.

    Args:
        x: (n, d).
        y: (n,).
        weights: (d,).
        p: probability to drop, from 0 to 1.
        masks: M, from 1.
        seed: of the masks.
    """
    points = np.asarray(x, np.float64)
    keep = draw_mask((_whole("masks", masks, 1), *points.shape), p, stream(seed, _MASKS))
    seen = drop(np.broadcast_to(points, keep.shape), p, keep)
    w, targets = np.asarray(weights, np.float64), np.asarray(y, np.float64)
    return np.asarray(np.square(targets - seen @ w).sum(axis=-1))


def ridge_weights(x: ArrayLike, y: ArrayLike, p: ArrayLike) -> Array:
    """Return the weights that minimize squared error plus ``dropout_penalty``, (..., d) for p (...).

    With A = XᵀX and D its diagonal, they solve ((1−p)·A + p·D)·w = (1−p)·Xᵀy, which is also defined at p = 1: w = 0.
    Where the system is singular, as at p = 0 with fewer points than features, they are the shortest solution.

    Args:
        x: (n, d).
        y: (n,).
        p: probability to drop, from 0 to 1, any shape.

    Raises:
        ValueError: p is out of range.
    """
    points, targets, rates = (np.asarray(value, np.float64) for value in (x, y, p))
    _rates(rates.ravel())
    gram = points.T @ points
    keep = (1 - rates)[..., None, None]
    system = keep * gram + (1 - keep) * np.diag(np.diag(gram))
    return np.asarray(
        (np.linalg.pinv(system, hermitian=True) @ (keep * (points.T @ targets)[:, None]))[..., 0]
    )


@dataclass(frozen=True)
class RegressionRun:
    """Linear regression trained by gradient descent under masks.

    Attributes:
        p: (P,).
        weights: (P, S, d), averaged over the last half of the steps.
        diverged_at: (P, S), the first step with a weight that is not finite, looked at every ``_CHUNK`` steps; −1 if
            there is none.
    """

    p: Array
    weights: Array
    diverged_at: Ints


@_quiet
def dropout_regression(
    x: ArrayLike,
    y: ArrayLike,
    p: ArrayLike,
    *,
    seeds: Sequence[int],
    steps: int = 1500,
    lr: float = 0.05,
    report: Callable[[int, int], None] | None = None,
) -> RegressionRun:
    """Train linear regression with dropout on its inputs, a new mask of all points in every step.

    The gradient is that of the mean squared error over the points, and the rate is lr·(1−p): the penalty's curvature
    grows as 1/(1−p). A mask does not depend on the weights it meets, so the mean path over masks is exactly gradient
    descent on the penalized loss; the average over the last half of the steps leaves little of the noise.

    Args:
        x: (n, d).
        y: (n,).
        p: probabilities to drop, from 0 to 0.99; all of them meet the same uniform numbers.
        seeds: S seeds of the masks.
        steps: from 2; rounded up to a multiple of ``_CHUNK``.
        lr: above 0.
        report: called as report(step, steps) on the way.

    Raises:
        ValueError: a number is out of range.
    """
    rates, places = _rates(p, 0.99), _seeds(seeds)
    if not 0 < lr < math.inf:
        raise ValueError(f"lr = {lr}: needs a finite number above 0")
    points, targets = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n, d = points.shape
    chunks = -(-_whole("steps", steps, 2) // _CHUNK)
    # One generator a seed for every p, at the same place: a larger p drops what a smaller one drops, and more.
    generators = [[stream(seed, _REGRESSION) for seed in places] for _ in rates]
    weights = np.zeros((len(rates), len(places), d, 1))
    total, counted = np.zeros_like(weights), 0
    diverged_at = np.full(weights.shape[:2], -1)
    pull = (2 * lr / n * (1 - rates))[:, None, None, None]
    repeated = np.broadcast_to(points, (_CHUNK, n, d))
    for chunk in range(chunks):
        if report is not None:
            report(chunk * _CHUNK, chunks * _CHUNK)
        seen = np.stack(
            [
                np.stack(
                    [drop(repeated, float(rate), draw_mask(repeated.shape, float(rate), rng)) for rng in row]
                )
                for rate, row in zip(rates, generators, strict=True)
            ]
        )  # (P, S, chunk, n, d)
        grams, slopes = seen.mT @ seen, (seen.mT @ targets)[..., None]
        for k in range(_CHUNK):
            weights = weights - pull * (grams[:, :, k] @ weights - slopes[:, :, k])
            if chunk >= chunks // 2:
                total, counted = total + weights, counted + 1
        lost = ~np.isfinite(weights).all(axis=(-2, -1))
        diverged_at = np.where((diverged_at < 0) & lost, (chunk + 1) * _CHUNK, diverged_at)
    if report is not None:
        report(chunks * _CHUNK, chunks * _CHUNK)
    return RegressionRun(rates, (total / counted)[..., 0], diverged_at)


# A network


TASK_INPUTS = 10


class Task(NamedTuple):
    """Points of ten features, N(0, 1) each, in two classes of which a share is told wrong."""

    x: Array  # (S, n, TASK_INPUTS)
    given: Array  # (S, n, 1), 0 or 1, as the network is told
    truth: Array  # (S, n, 1), 0 or 1


def draw_task(n: int, *, noise: float, seeds: Sequence[int], place: int = 0) -> Task:
    """Draw n points a seed; the class is 1 where x₁ + x₂ + x₃x₄ > 0, and a share ``noise`` of them is flipped.

    More points extend the data of a seed, and more noise flips further points.

    Args:
        n: from 1.
        noise: probability that a label is flipped, from 0 to 0.5.
        seeds: S non-negative integers.
        place: which of the data sets of a seed: training, test.

    Raises:
        ValueError: a number is out of range.
    """
    n, place = _whole("n", n, 1), _whole("place", place, 0)
    if not 0 <= noise <= 0.5:
        raise ValueError(f"noise = {noise}: needs a number from 0 to 0.5")
    places = _seeds(seeds)
    x = np.stack([stream(seed, _POINTS, place).standard_normal((n, TASK_INPUTS)) for seed in places])
    truth = x[..., 0] + x[..., 1] + x[..., 2] * x[..., 3] > 0
    flipped = np.stack([stream(seed, _FLIPS, place).random(n) for seed in places]) < noise
    return Task(x, (truth ^ flipped)[..., None].astype(float), truth[..., None].astype(float))


def mask_factors(uniforms: Array, p: Array, dtype: Any = np.float64) -> Array:
    """Return what inverted dropout multiplies units by: 0 where dropped, 1/(1−p) where kept, 0 everywhere at p = 1.

    The mask is that of ``core.dropout.draw_mask`` for all p at once: a unit is kept where its uniform number is at
    least p.

    Args:
        uniforms: (..., B, H), from [0, 1).
        p: (P,).
        dtype: of the result.

    Returns:
        (P, ..., B, H).
    """
    shape = (-1, *[1] * np.ndim(uniforms))
    scales = np.array([_MODE.train_scale(float(rate)) for rate in p], dtype=dtype)
    return np.asarray((uniforms >= np.reshape(p, shape)) * scales.reshape(shape))


def predict(params: Params, x: Array) -> Array:
    """Return the output of the network in evaluation: all units, no factor. x (..., n, inputs) → (..., n, 1)."""
    a = x
    for l, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        z = a @ weight + bias[..., None, :]
        a = np.maximum(z, 0) if l < len(params.weights) else z
    return np.asarray(a)


@_quiet
def loss_and_gradient(
    params: Params,
    x: Array,
    target: Array,
    loss: Loss = CROSS_ENTROPY,
    factors: Sequence[Array] | None = None,
) -> tuple[Array, Params]:
    """Return the loss on a batch, (...), and its gradient by parameter, under one mask.

    Upward a^l = ReLU(z^l) ⊙ factor^l; downward dL/dz^l = (dL/da^l ⊙ factor^l) ⊙ ReLU'(z^l), with the factors of the way
    up: a dropped unit passes no gradient.

    Args:
        params: leading axes broadcast with those of x and the factors.
        x: (..., B, inputs).
        target: (..., B, 1).
        loss: an entry of ``core.network.LOSSES``.
        factors: for each hidden layer (..., B, H), from ``mask_factors``; None drops nothing.
    """
    inputs, slopes = [x], []
    z = x
    last = len(params.weights) - 1
    for l, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        z = inputs[-1] @ weight + bias[..., None, :]
        if l < last:
            factor = z.dtype.type(1) if factors is None else factors[l]
            slopes.append((z > 0) * factor)
            inputs.append(np.maximum(z, 0) * factor)
    delta = loss.gradient(z, target)
    weights, biases = [], []
    for l in range(last, -1, -1):
        weights.append(inputs[l].mT @ delta)
        biases.append(delta.sum(axis=-2))
        if l:
            delta = (delta @ params.weights[l].mT) * slopes[l - 1]
    return loss.value(z, target), Params(tuple(weights[::-1]), tuple(biases[::-1]))


@dataclass(frozen=True)
class DropoutTraining:
    """K numbers of training points × P probabilities × S seeds, all trained at once, at R recorded steps.

    What is recorded belongs to the parameters after so many updates and is measured in evaluation, with all units.

    Attributes:
        points: (K,).
        p: (P,).
        step: (R,).
        train_loss, test_loss: (R, K, P, S).
        train_error, test_error: (R, K, P, S), share of points whose class comes out wrong, NaN where an output is NaN.
        diverged_at: (K, P, S), the first step with a loss that is not finite, or −1.
        params: at the end, with leading axes (K, P, S).
    """

    points: Ints
    p: Array
    step: Ints
    train_loss: Array
    train_error: Array
    test_loss: Array
    test_error: Array
    diverged_at: Ints
    params: Params


@_quiet
def train_dropout(
    x: ArrayLike,
    y: ArrayLike,
    sizes: Sequence[int],
    p: ArrayLike,
    *,
    seeds: Sequence[int],
    test: tuple[ArrayLike, ArrayLike],
    points: Sequence[int] | None = None,
    steps: int = 400,
    lr: float = 0.01,
    batch_size: int = 32,
    loss: Loss = CROSS_ENTROPY,
    optimizer: Optimizer = _ADAM,
    record: Sequence[int] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> DropoutTraining:
    """Train a network with dropout on its hidden units, for every number of points, every p and every seed.

    Weights start at He's scheme, biases at 0. A step takes a mini-batch drawn with replacement. For one seed
    and step all networks share the weights they started from and the uniform numbers of batch and masks, so
    that they differ in p and in the number of points alone. More steps extend a run.

    Args:
        x: (S, n, inputs), the data of each seed; its type is that of the computation.
        y: (S, n, 1), classes 0 or 1.
        sizes: units of every layer, the input first; the last is 1.
        p: probabilities to drop, from 0 to 1.
        seeds: S of them, for weights, batches and masks.
        test: x and y as above, for the test error.
        points: K numbers from 1 to n: that many of the first points are trained on; None for all of them.
        steps: number of updates, 0 or more.
        lr: learning rate.
        batch_size: from 1.
        loss: an entry of ``core.network.LOSSES``.
        optimizer: an entry of ``OPTIMIZERS``.
        record: steps to record, from 0 to ``steps``; None for the last one.
        report: called as report(step, steps) every 10 steps and at the end.

    Raises:
        ValueError: a number is out of range, or shapes do not fit.
    """
    rates, places = _rates(p), _seeds(seeds)
    steps, batch_size = _whole("steps", steps, 0), _whole("batch_size", batch_size, 1)
    data = np.asarray(x)
    dtype = data.dtype if data.dtype.kind == "f" else np.dtype(np.float64)
    data, labels = _labelled(data, y, sizes, len(places), dtype)
    examined = _labelled(np.asarray(test[0]), test[1], sizes, len(places), dtype)
    counts = np.array(
        [data.shape[1]] if points is None else [_whole("points", k, 1) for k in points], dtype=np.intp
    )
    if counts.max() > data.shape[1]:
        raise ValueError(f"points = {counts.max()}: there are {data.shape[1]}")
    wanted = sorted({steps} if record is None else {_whole("record", step, 0) for step in record})
    if not wanted or wanted[-1] > steps:
        raise ValueError(f"record = {record}: needs whole numbers from 0 to {steps}")

    lead = (len(counts), len(rates), len(places))
    start = flatten(init_network(sizes, _HE, seed=places)).astype(dtype)
    vector = np.broadcast_to(start, (*lead, start.shape[-1])).copy()
    rule = optimizer.build(lr=lr)
    state = rule.init(vector)
    diverged_at = np.full(lead, -1)
    records: list[tuple[Array, ...]] = []
    row = np.arange(len(places))[:, None]
    for step in range(steps + 1):
        params = unflatten(vector, sizes)
        if step in wanted:
            records.append(
                (*_examine(params, data, labels, counts, loss), *_examine(params, *examined, None, loss))
            )
        if report is not None and (step % 10 == 0 or step == steps):
            report(step, steps)
        if step == steps:
            break
        drawn = np.stack([stream(seed, _BATCHES, step).random(batch_size) for seed in places])
        index = (drawn * counts[:, None, None]).astype(np.intp)  # (K, S, B)
        factors = []
        for l, units in enumerate(sizes[1:-1], start=1):
            shape = (batch_size, units)
            uniforms = np.stack([stream(seed, _MASKS, step, l).random(shape) for seed in places])
            factors.append(mask_factors(uniforms, rates, dtype))
        value, gradient = loss_and_gradient(
            params, data[row, index][:, None], labels[row, index][:, None], loss, factors
        )
        diverged_at = np.where((diverged_at < 0) & ~np.isfinite(value), step, diverged_at)
        move, state = rule.update(flatten(gradient), state, vector)
        vector = vector + move
    measured = [np.stack(part) for part in zip(*records, strict=True)]
    train_loss, train_error, test_loss, test_error = measured
    return DropoutTraining(
        counts, rates, np.array(wanted, dtype=np.intp), train_loss, train_error, test_loss, test_error, diverged_at,
        unflatten(vector, sizes),
    )  # fmt: skip


def _labelled(x: Array, y: ArrayLike, sizes: Sequence[int], seeds: int, dtype: Any) -> tuple[Array, Array]:
    """Check points (S, n, inputs) and their classes (S, n, 1), and give both the type of the computation."""
    labels = np.asarray(y)
    if len(sizes) < 2 or sizes[-1] != 1:
        raise ValueError(f"sizes = {tuple(sizes)}: needs two or more layers, the last of one unit")
    if x.ndim != 3 or x.shape[0] != seeds or x.shape[2] != sizes[0] or x.shape[1] < 1:
        raise ValueError(f"x of shape {x.shape}: needs ({seeds}, n, {sizes[0]})")
    if labels.shape != (*x.shape[:2], 1) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y of shape {labels.shape}: needs ({seeds}, {x.shape[1]}, 1), classes 0 or 1")
    return x.astype(dtype), labels.astype(dtype)


def _examine(params: Params, x: Array, labels: Array, counts: Ints | None, loss: Loss) -> tuple[Array, Array]:
    """Return loss and share of errors in evaluation, (K, P, S) each, on the first ``counts`` points or on all."""
    values, errors = [], []
    for k in range(params.weights[0].shape[0]):
        n = x.shape[1] if counts is None else int(counts[k])
        output, target = predict(params.at(k), x[:, :n]), labels[:, :n]
        wrong = ((output > loss.threshold) != (target == 1)).mean(axis=(-2, -1))
        values.append(loss.value(output, target))
        errors.append(np.where(np.isnan(output).any(axis=(-2, -1)), math.nan, wrong))
    return np.stack(values), np.stack(errors)


def first_below(step: Ints, curve: Array, target: float) -> Array:
    """Return the first recorded step at which a curve (R, ...) is at most ``target``, NaN where it never is: → (...)."""
    reached = curve <= target
    first = np.asarray(step, np.float64)[reached.argmax(axis=0)]
    return np.where(reached.any(axis=0), first, math.nan)


def participation(contributions: ArrayLike) -> Array:
    """Return (Σ|c|)²/(n·Σc²), (...) for c (..., n): 1 where all are equally large, 1/n where one does everything.

    NaN where all are 0.
    """
    c = np.abs(np.asarray(contributions, np.float64))
    with np.errstate(invalid="ignore"):
        return np.asarray(c.sum(axis=-1) ** 2 / (c.shape[-1] * np.square(c).sum(axis=-1)))


class StepCost(NamedTuple):
    """Seconds of one update of one network, on the machine that ran it: the fastest of several rounds."""

    plain: float  # without dropout
    dropout: float  # masks drawn, applied upward and downward
    masks: float  # of these, drawing the masks and turning them into factors


def step_cost(width: int, p: float, *, batch_size: int = 32, rounds: int = 40, repeats: int = 8) -> StepCost:
    """Time updates of the network of ``train_dropout`` with one hidden layer, with and without dropout by turns.

    Other work on the machine only adds time, so the fastest round of each counts.

    Args:
        width: hidden units.
        p: probability to drop, from 0 to 1.
        batch_size: points in a step.
        rounds: how often each is timed.
        repeats: updates of each in a round.
    """
    sizes = (TASK_INPUTS, _whole("width", width, 1), 1)
    rates = _rates(p)
    task = draw_task(batch_size, noise=0.0, seeds=[0])
    x, target = task.x[0], task.given[0]
    rule = _ADAM.build(lr=0.01)
    rng = stream(0, _MASKS)
    start = flatten(init_network(sizes, _HE, seed=0))
    kept = [(start, rule.init(start))] * 2  # parameters and state of the optimizer, without and with dropout

    def update(dropping: bool) -> tuple[float, float]:
        """Make one update; return its seconds, and those of drawing the masks."""
        vector, state = kept[dropping]
        begin = time.perf_counter()
        factors = None
        if dropping:
            factors = [mask_factors(rng.random((batch_size, width)), rates)[0]]
        drawn = time.perf_counter()
        _, gradient = loss_and_gradient(unflatten(vector, sizes), x, target, factors=factors)
        move, state = rule.update(flatten(gradient), state, vector)
        kept[dropping] = vector + move, state
        return time.perf_counter() - begin, drawn - begin

    seconds = np.array([[[update(k) for k in (False, True)] for _ in range(repeats)] for _ in range(rounds)])
    plain, dropped = seconds.mean(axis=1).min(axis=0)  # (2,) each: the whole update, drawing
    return StepCost(float(plain[0]), float(dropped[0]), float(dropped[1]))
