"""What the app measures to judge the notes' sentences about normalization, by the id of the sentence.

Small functions compute the numbers with ``core``, so that they can be tested by themselves; ``MEASURES`` puts
them into words at call time. Texts are set in Markdown within a directive: no unpaired brackets, no tildes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charts.describe import numbers, percent
from charts.topic import Measured
from core.activations import ACTIVATIONS
from core.batch_stream import place_probe, probe_distribution, stream_batches, stream_batches_theory
from core.batchnorm_algebra import gradient_terms, identity_parameters
from core.batchnorm_network import (
    BNParams,
    NetworkRun,
    Order,
    accuracy,
    draw_arms,
    evaluate,
    forward,
    loss_and_gradient,
    recalibrate,
    train_network,
)
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import number
from core.normalization import RunningStats, batch_statistics, normalize, normalize_batch
from core.normalizers import (
    NORMALIZERS,
    PLAIN,
    TREATMENTS,
    draw_inputs,
    draw_trial,
    invariances,
    layer,
    norm_only_separability,
    normalize_activations,
    normalize_activations_backward,
    orthogonality,
    others_redrawn,
    own_statistics,
    regress,
    sequence_steps,
    swamped_share,
    weight_scale,
)
from core.remedies import REMEDIES, backward_factor, propagate_remedied
from core.streams import stream

Array = NDArray[np.floating[Any]]

_EXACT = 1e-12  # differences below are rounding
_EPS = 1e-5
_FAMILY = ("BatchNorm", "LayerNorm", "WeightNorm", "cosine")


# The numbers: one feature


def in_training(x: Sequence[float] | Array, gamma: float = 1.0, beta: float = 0.0) -> Array:
    """Normalize a batch (N,) of one feature with its own mean and variance."""
    batch = np.asarray(x, np.float64)[:, None]
    return normalize_batch(batch, gamma, beta, RunningStats.start(1))[0][:, 0]


class Formula(NamedTuple):
    """The formula of the notes by hand, beside what the app computes."""

    mean: float
    var: float  # divided by m
    stored: float  # divided by m − 1, as PyTorch stores it
    by_hand: Array
    error: float  # the largest difference between both


def formula(x: Sequence[float] = (1.0, 2.0, 4.0, 9.0), gamma: float = 2.0, beta: float = 1.0) -> Formula:
    """Normalize a batch with sums that are written out."""
    m = len(x)
    mean = sum(x) / m
    squares = sum((v - mean) ** 2 for v in x)
    by_hand = np.array([gamma * (v - mean) / math.sqrt(squares / m + _EPS) + beta for v in x])
    _, running = normalize_batch(
        np.array(x)[:, None], gamma, beta, RunningStats.start(1, var=0), momentum=1.0
    )
    error = float(np.max(np.abs(in_training(x, gamma, beta) - by_hand)))
    return Formula(mean, squares / m, float(running.var[0]), by_hand, error)


class Fitted(NamedTuple):
    """γ and β after gradient descent on a squared error, and how well their gradient fits differences."""

    gamma: float
    beta: float
    error: float
    active: tuple[float, float]  # share of ReLU units that are active with β = 0, and with the learned β


@keep(entries=1)
def learned(gamma: float = 2.5, beta: float = -1.0, steps: int = 200, lr: float = 0.1) -> Fitted:
    """Learn y = γ·x̂ + β from a target with that γ and β, starting at 1 and 0; x are 64 draws from N(5, 3²)."""
    x = 5 + 3 * stream(0, 0).standard_normal(64)
    target = in_training(x, gamma, beta)

    def loss(g: float, b: float) -> float:
        return float(0.5 * np.mean((in_training(x, g, b) - target) ** 2))

    found, error = [1.0, 0.0], 0.0
    for step in range(steps):
        terms = gradient_terms(x, found[0], (in_training(x, *found) - target) / len(x), _EPS)
        if step == 0:
            h = 1e-5
            measured = (loss(1 + h, 0) - loss(1 - h, 0)) / (2 * h), (loss(1, h) - loss(1, -h)) / (2 * h)
            error = max(abs(measured[0] - terms.dgamma), abs(measured[1] - terms.dbeta))
        found = [found[0] - lr * terms.dgamma, found[1] - lr * terms.dbeta]
    active = tuple(float(np.mean(in_training(x, found[0], b) > 0)) for b in (0.0, found[1]))
    return Fitted(found[0], found[1], error, (active[0], active[1]))


class Range(NamedTuple):
    """Outputs of batch normalization over many values, and gradients through it at several spreads of its input."""

    low: float
    high: float
    outside: float  # share outside 0 … 1
    factors: tuple[float, ...]  # ‖dL/dx‖ over ‖dL/dy‖


SPREADS = (0.01, 1.0, 100.0)


@keep(entries=1)
def output_range(count: int = 10_000) -> Range:
    """Normalize draws from N(5, 3²), and send a random gradient back through batches of the spreads ``SPREADS``."""
    z = stream(0, 1).standard_normal(count)
    y = in_training(5 + 3 * z)
    dy = stream(0, 2).standard_normal(count)
    factors = tuple(
        float(np.linalg.norm(gradient_terms(s * z, 1.0, dy, _EPS).dx) / np.linalg.norm(dy)) for s in SPREADS
    )
    return Range(float(y.min()), float(y.max()), float(np.mean((y < 0) | (y > 1))), factors)


class Identity(NamedTuple):
    """The largest |y − x| over draws from N(5, 3²), by the choice of γ and β."""

    variance: float  # γ the variance, as the notes have it
    deviation: float  # γ the standard deviation, with ε
    spread: float  # standard deviation of y where γ is the variance


@keep(entries=1)
def identity(count: int = 1000) -> Identity:
    """Try both choices of γ, with β the mean."""
    x = 5 + 3 * stream(0, 3).standard_normal(count)
    mean, var = float(x.mean()), float(x.var())
    gamma, beta = identity_parameters(mean, var, _EPS)
    wrong, right = in_training(x, var, mean), in_training(x, float(gamma), float(beta))
    return Identity(float(np.max(np.abs(wrong - x))), float(np.max(np.abs(right - x))), float(np.std(wrong)))


SINGLE = (11.6, 6.1, 0.5, 8.7)


def singles(beta: float = 0.0) -> Array:
    """Return the training output of each of ``SINGLE`` as a batch of one."""
    return np.concatenate([in_training([x], beta=beta) for x in SINGLE])


class Noise(NamedTuple):
    """Batches of N standard normal values, by N: measured and exact."""

    sizes: tuple[int, ...]
    of_means: tuple[float, ...]  # standard deviation of the batch means
    slope: tuple[float, ...]  # of the least-squares line for a value over its training output
    slope_theory: tuple[float, ...]


@keep(entries=1)
def noise(sizes: tuple[int, ...] = (2, 8, 32, 128), values: int = 64_000) -> Noise:
    """Normalize batches and fit each value by its own training output.

    The outputs of a batch have mean square 1, so the slope is E[z·x̂] = E[s], the mean standard deviation (divided
    by N) of a batch: √(2/N)·Γ(N/2)/Γ((N−1)/2). Below 1: a noisy input makes for smaller weights.
    """
    means, slopes = [], []
    for k, n in enumerate(sizes):
        z = stream(0, 4, k).standard_normal((values // n, n))
        mean, _ = batch_statistics(z.T)
        out, _ = normalize_batch(z.T, 1.0, 0.0, RunningStats.start(len(z)), eps=0.0)
        means.append(float(np.std(mean)))
        slopes.append(float(np.mean(z.T * out)))
    exact = tuple(math.sqrt(2 / n) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2)) for n in sizes)
    return Noise(sizes, tuple(means), tuple(slopes), exact)


class Tracked(NamedTuple):
    """Running statistics of N(5, 3²) after ``batches``, and the plain averages of all batches."""

    batches: tuple[int, ...]
    mean: tuple[float, ...]
    var: tuple[float, ...]
    mean_theory: tuple[float, ...]
    average: tuple[float, float]  # mean and variance by the convention of the paper, after the last of them


@keep(entries=1)
def tracked(batches: tuple[int, ...] = (1, 10, 50), size: int = 32) -> Tracked:
    """Follow the running statistics from (0, 1) with weight 0.1, batches of 32."""
    run = stream_batches(batch_size=size, steps=batches[-1])
    theory = stream_batches_theory(batch_size=size, steps=batches[-1])
    paper = stream_batches(batch_size=size, steps=batches[-1], convention="paper")
    return Tracked(
        batches,
        tuple(float(run.running_mean[t]) for t in batches),
        tuple(float(run.running_var[t]) for t in batches),
        tuple(float(theory.running_mean[t]) for t in batches),
        (float(paper.running_mean[-1]), float(paper.running_var[-1])),
    )


class Fixed(NamedTuple):
    """Evaluation of a layer of features: what it learned, what it stores, and whether anything moves."""

    learned: int
    stored: int
    company: float  # largest change of a sample's output by other samples in its batch
    moved: float  # largest change of the stored statistics


@keep(entries=1)
def fixed(features: int = 64) -> Fixed:
    """Evaluate a sample alone and among 31 others, after training on ten batches."""
    gamma, beta = np.linspace(0.5, 2, features), np.linspace(-1, 1, features)
    running = RunningStats.start(features)
    for step in range(10):
        x = 5 + 3 * stream(0, 5, step).standard_normal((32, features))
        _, running = normalize_batch(x, gamma, beta, running)
    before = running.mean.copy(), running.var.copy()
    together = normalize(x, gamma, beta, running)
    alone = normalize(x[:1], gamma, beta, running)
    moved = max(
        float(np.max(np.abs(a - b))) for a, b in zip(before, (running.mean, running.var), strict=True)
    )
    return Fixed(
        gamma.size + beta.size,
        running.mean.size + running.var.size,
        float(np.max(np.abs(together[:1] - alone))),
        moved,
    )


class Pairs(NamedTuple):
    """Rms error of a layer that should be the identity on features of spread 1 and 10 with means 0 and 5."""

    one: float  # one γ and one β for the layer, the best ones
    each: float  # a pair for each feature
    channels: tuple[int, ...]  # shape of γ for images of 16 channels


@keep(entries=1)
def pairs(count: int = 1000) -> Pairs:
    """Fit one pair by least squares, and take the exact ones for each feature."""
    x = np.array([0.0, 5.0]) + np.array([1.0, 10.0]) * stream(0, 6).standard_normal((count, 2))
    normal, _ = normalize_batch(x, 1.0, 0.0, RunningStats.start(2))
    design = np.column_stack([normal.ravel(), np.ones(x.size)])
    best = np.linalg.lstsq(design, x.ravel(), rcond=None)[0]
    gamma, beta = identity_parameters(*batch_statistics(x), _EPS)
    own, _ = normalize_batch(x, gamma, beta, RunningStats.start(2))
    return Pairs(
        float(np.sqrt(np.mean((design @ best - x.ravel()) ** 2))),
        float(np.sqrt(np.mean((own - x) ** 2))),
        batch_statistics(stream(0, 7).standard_normal((4, 16, 5, 5)))[0].shape,
    )


# The numbers: networks

_SIZES = (2, 16, 16, 16, 3)
_TRAIN, _TEST = 240, 300
_STEPS, _RATE, _BATCH, _SEEDS = 100, 0.1, 32, (0, 1)
_UPDATES = (0, 1, 10, 100)
SCALES = (0.01, 1.0, 100.0)
_HE = 1  # place of He's own scale among them
_FASTER = 10  # times the rate of the others


@keep(entries=2)
def _points(part: int) -> tuple[Array, NDArray[np.intp]]:
    """Return the points to train on, or those to test on: three arms of a spiral."""
    return draw_arms((_TRAIN, _TEST)[part], 3, noise=0.1, rng=stream(0, 8, part))


@keep(entries=2)
def _trained(normalized: bool) -> NetworkRun:
    """Train networks (scales, seeds) with and without BN, at He's scale times ``SCALES``."""
    return train_network(
        *_points(0), _SIZES, normalized=normalized, learning_rate=_RATE, init_scale=np.array(SCALES)[:, None],
        seed=np.array(_SEEDS), batch_size=_BATCH, steps=_STEPS, record=_UPDATES,
    )  # fmt: skip


@keep(entries=4)
def _fed(order: Order, batch_size: int) -> NetworkRun:
    """Train networks (seeds,) with BN on batches in some order, on as many points as the others see."""
    return train_network(
        *_points(0), _SIZES, normalized=True, learning_rate=_RATE, seed=np.array(_SEEDS), batch_size=batch_size,
        steps=round(_STEPS * _BATCH / batch_size), order=order,
    )  # fmt: skip


def losses(normalized: bool) -> tuple[float, ...]:
    """Return the loss at each of ``SCALES``, over the last ten steps and the seeds."""
    return tuple(float(v) for v in _trained(normalized).loss[-10:].mean(axis=(0, 2)))


@keep(entries=2)
def faster(normalized: bool) -> float:
    """Return the loss at He's scale with ten times the learning rate, over the last ten steps and the seeds."""
    run = train_network(
        *_points(0), _SIZES, normalized=normalized, learning_rate=_FASTER * _RATE, seed=np.array(_SEEDS),
        batch_size=_BATCH, steps=_STEPS,
    )  # fmt: skip
    return float(run.loss[-10:].mean())


class Moved(NamedTuple):
    """How far the last hidden layer's distribution has moved after 1, 10 and 100 updates, mean over its units."""

    before: tuple[float, ...]  # the mean of z, in its standard deviations at the start
    after: tuple[float, ...]  # that of what φ sees: y with BN, z itself without
    spread: float  # standard deviation of what φ sees after the last update, over that at the start


@keep(entries=2)
def moved(normalized: bool) -> Moved:
    """Compare all training points' values in the last hidden layer with those at the start, at He's scale."""
    run = forward(_trained(normalized).snapshots.at((slice(None), _HE)), _points(0)[0])
    found = []
    for values in (run.pre[-1], run.post[-1]):
        mean, std = values.mean(axis=-2), values.std(axis=-2)
        distance = np.abs(mean - mean[0]) / std[0]
        found.append(
            (tuple(float(d) for d in distance.mean(axis=(1, 2))[1:]), float(np.mean(std[-1] / std[0])))
        )
    return Moved(found[0][0], found[1][0], found[1][1])


class Stale(NamedTuple):
    """Accuracy on new points of trained BN networks, by the statistics that evaluation uses."""

    start: float  # of the whole training set, taken before the first update
    running: float
    fresh: float  # of the whole training set, taken after the last update


@keep(entries=1)
def stale() -> Stale:
    """Evaluate the networks at He's scale with statistics of different age."""
    run, (x, _), (new, labels) = _trained(True), _points(0), _points(1)
    last = run.params.at(_HE)
    kept = tuple(RunningStats(s.mean[_HE], s.var[_HE]) for s in run.running)
    used = recalibrate(run.snapshots.at((0, _HE)), x), kept, recalibrate(last, x)
    return Stale(*(float(accuracy(evaluate(last, r, new), labels).mean()) for r in used))


def fed_accuracy(order: Order, batch_size: int) -> float:
    """Return the accuracy on new points in evaluation, of networks trained on such batches."""
    run, (new, labels) = _fed(order, batch_size), _points(1)
    return float(accuracy(evaluate(run.params, run.running, new), labels).mean())


class Ahead(NamedTuple):
    """What one step of gradient descent does to gradients, in a network after ten updates."""

    below: float  # relative change of the last layer's gradient when only the layers below take the step
    smoothness: float  # change of the whole gradient over the length of the step


@keep(entries=2)
def ahead(normalized: bool) -> Ahead:
    """Take one step on all training points, in the layers below the output alone, and in all.

    Source: Santurkar et al. 2018, definition 2.1 and figure 4(c).
    """
    x, labels = _points(0)
    here = _trained(normalized).snapshots.at((_UPDATES.index(10), _HE))
    _, gradient = loss_and_gradient(here, x, labels)
    there = here.moved(gradient, -_RATE)
    top = len(here.weights) - 1
    mixed = BNParams(
        (*there.weights[:top], here.weights[top]), (*there.biases[:top], here.biases[top]), there.gammas, there.betas
    )  # fmt: skip
    last = gradient.weights[top]
    change = loss_and_gradient(mixed, x, labels)[1].weights[top] - last
    everywhere = loss_and_gradient(there, x, labels)[1].moved(gradient, -1.0)
    along = np.sqrt(everywhere.dot(everywhere) / gradient.dot(gradient)) / _RATE
    relative = np.linalg.norm(change, axis=(-2, -1)) / np.linalg.norm(last, axis=(-2, -1))
    return Ahead(float(np.mean(relative)), float(np.mean(along)))


class Depth(NamedTuple):
    """Signal after the last layer and gradient before the first, over that at the top, rms."""

    signal: float
    gradient: float


_DEPTH, _WIDTH = 50, 64


@keep(entries=8)
def through(remedy: str, scheme: str = "He normal", branch_scale: float = 1.0) -> Depth:
    """Measure 50 ReLU layers of 64 units, a batch of 32, one network."""
    run = propagate_remedied(
        ACTIVATIONS["ReLU"], INITIALIZERS[scheme], [REMEDIES[remedy]], depth=_DEPTH, width=_WIDTH, batch=32, seeds=1,
        seed=0, branch_scale=branch_scale,
    )  # fmt: skip
    gradient = run.gradient_rms[0, 0]
    return Depth(float(run.signal_rms[0, 0, -1]), float(gradient[0] / gradient[-1]))


def growth(remedy: str = "BatchNorm before", batch: int | None = 32) -> float:
    """Return by what a wide ReLU layer with a normalization multiplies the gradient's rms on the way down."""
    factor = backward_factor(
        ACTIVATIONS["ReLU"], REMEDIES[remedy], sigma_w=math.sqrt(2), batch=batch
    )  # fmt: skip
    return math.sqrt(factor)


def residual_signal(layers: int, branch_scale: float = 1.0) -> float:
    """Return the signal's rms after residual ReLU layers with He weights: each multiplies its square by 1 + α²."""
    return float((1 + branch_scale**2) ** (layers / 2))


# The numbers: the family


@lru_cache(maxsize=16)
def changed(change: str, names: tuple[str, ...] = _FAMILY) -> tuple[float, ...]:
    """Return by how much a change moves the output of each normalization, over its largest value."""
    entries = [PLAIN if name == PLAIN.name else NORMALIZERS[name] for name in names]
    return tuple(next(i.size for i in invariances(e) if i.change == change) for e in entries)


class Rescaled(NamedTuple):
    """What multiplying all weights by ten, or by a thousandth, does to a layer with BatchNorm or LayerNorm."""

    output: float  # relative change at ten times the weights
    gradient: float  # that of dL/dx
    tiny: float  # standard deviation of the output at a thousandth of the weights, ε 1e-5


@keep(entries=2)
def rescaled(name: str, factor: float = 10.0) -> Rescaled:
    """Compare output and gradient at the input with those at the original weights."""
    entry, trial = NORMALIZERS[name], draw_trial()

    def at(weight: Array, eps: float = 0.0) -> tuple[Array, Array]:
        y = layer(entry, trial.x, weight, eps=eps).y
        z = layer(PLAIN, trial.x, weight).y
        dz, _, _ = normalize_activations_backward(entry, z, 1.0, trial.target, eps=eps)
        return y, np.einsum("ncl,dc->ndl", dz, weight)

    (y, dx), (scaled, d_scaled) = at(trial.weight), at(factor * trial.weight)
    return Rescaled(
        float(np.max(np.abs(scaled - y)) / np.max(np.abs(y))),
        float(np.max(np.abs(d_scaled - dx)) / np.max(np.abs(dx))),
        float(np.std(at(1e-3 * trial.weight, _EPS)[0])),
    )


class Sets(NamedTuple):
    """Who shares a statistic in a layer of 6 units on 8 samples, and what a change elsewhere does to an output."""

    sets: int
    cells: int
    other_unit: float  # change of unit 1's outputs when unit 2's pre-activations change
    other_sample: float  # change of sample 1's outputs when sample 2's do


@keep(entries=2)
def sets(name: str) -> Sets:
    """Count the sets of an entry, and change a unit or a sample that is not looked at."""
    entry, z = NORMALIZERS[name], stream(0, 9).standard_normal((8, 6))
    counts = np.bincount(entry.labels((8, 6, 1), 2).ravel())
    y = normalize_activations(entry, z).y
    unit, one = z.copy(), z.copy()
    unit[:, 1] += 3
    one[1] = 3 * one[1] + 1
    return Sets(
        len(counts),
        int(counts[0]),
        float(np.max(np.abs(normalize_activations(entry, unit).y[:, 0] - y[:, 0]))),
        float(np.max(np.abs(normalize_activations(entry, one).y[0] - y[0]))),
    )


def at_once(values: Sequence[float]) -> Array:
    """Return what LayerNorm makes of one sample's features."""
    return normalize_activations(NORMALIZERS["LayerNorm (channels)"], np.array([values])).y[0, :, 0]


class Direction(NamedTuple):
    """A layer with WeightNorm: w = g·v/‖v‖."""

    length: float  # of w
    mean: float  # the largest of its outputs' means by unit
    low: float  # the smallest and largest of their standard deviations
    high: float


def direction(g: float = 1.5) -> Direction:
    """Draw v and inputs, and look at w, which turns the unit matrix into itself, and at the outputs."""
    trial, entry = draw_trial(), NORMALIZERS["WeightNorm"]
    unit = np.eye(trial.weight.shape[0])
    w = layer(entry, unit, trial.weight, g).y[:, :, 0]
    y = layer(entry, trial.x, trial.weight, g).y
    std = y.std(axis=(0, 2))
    return Direction(
        float(np.linalg.norm(w, axis=0).max()),
        float(np.max(np.abs(y.mean(axis=(0, 2))))),
        float(std.min()),
        float(std.max()),
    )


class Products(NamedTuple):
    """w·x, the length of x's projection on w, and the cosine, by hand and by the layer."""

    dot: float
    projection: float
    cosine: float
    layer: float


def products(w: tuple[float, float] = (3.0, 4.0), x: tuple[float, float] = (1.0, 0.0)) -> Products:
    """Multiply two vectors in all three ways."""
    dot = sum(a * b for a, b in zip(w, x, strict=True))
    made = layer(NORMALIZERS["cosine"], np.array([x]), np.array(w)[:, None]).y
    return Products(dot, dot / math.hypot(*w), dot / (math.hypot(*w) * math.hypot(*x)), float(made[0, 0, 0]))


class Conditioned(NamedTuple):
    """Linear regression on treated inputs: condition of the Hessian, share of the loss that 20 steps leave."""

    condition: float
    left: float


@keep(entries=16)
def conditioned(
    treatment: str, mean: float = 1.0, ratio: float = 5.0, correlation: float = 0.8
) -> Conditioned:
    """Fit a linear target of two features by gradient descent at the rate 1/(largest eigenvalue)."""
    x = draw_inputs(mean, ratio, correlation, 400)
    target = x @ np.array([1.0, -0.5])
    found = regress(TREATMENTS[treatment].fit(x).apply(x), target - target.mean(), steps=20)
    return Conditioned(found.condition, float(found.loss[-1] / found.loss[0]))


@lru_cache(maxsize=4)
def spread_after(treatment: str, sigmas: tuple[float, ...] = (0.1, 3.0, 10.0)) -> tuple[float, ...]:
    """Return the standard deviation of treated draws from N(5, σ²), for each σ."""
    x = 5 + np.array(sigmas) * stream(0, 10).standard_normal((2000, len(sigmas)))
    return tuple(float(v) for v in TREATMENTS[treatment].fit(x).apply(x).std(axis=0))


# What they say


def _and(values: Sequence[float] | Array, digits: int = 3) -> str:
    """Write a list that ends in “and”."""
    if len(values) == 1:
        return number(float(values[0]), digits)
    return f"{numbers(values[:-1], digits)} and {number(float(values[-1]), digits)}"


def _digits(values: Sequence[float]) -> str:
    """Write a list to twelve digits: what is rounding counts as 0."""
    return _and([0.0 if abs(v) < _EXACT else v for v in values])


_NETWORK = f"{'-'.join(map(str, _SIZES))} ReLU network"


def _iid_and_white() -> Measured:
    found = [conditioned(name) for name in ("raw", "centered", "divided by σ", "whitened")]
    conditions = [f.condition for f in found]
    return Measured(
        conditions == sorted(conditions, reverse=True) and abs(conditions[-1] - 1) < 1e-9,
        f"Linear regression on two features with mean 1, standard deviations 1 and 5 and correlation 0.8: the Hessian’s "
        f"condition number is {number(conditions[0])} raw, {number(conditions[1])} centered, {number(conditions[2])} also "
        f"divided by σ and {number(conditions[3])} whitened. After 20 steps of gradient descent {percent(found[0].left)} "
        f"of the loss is left with raw inputs, {percent(found[2].left)} with those divided by σ.",
    )


def _covariate_shift() -> Measured:
    bn, plain = moved(True), moved(False)
    return Measured(
        None,
        f"In a {_NETWORK} the means of what the last hidden layer’s activation sees have moved after 100 updates by "
        f"{number(plain.after[-1])} standard deviations of the start without BN and by {number(bn.after[-1])} with it. One "
        f"step of the layers below changes the gradient of the last by {percent(ahead(False).below)} of its length "
        f"without and {percent(ahead(True).below)} with BN. So the distributions hold still; that learning is faster for this "
        "reason does not follow.",
    )


def _weight_scale() -> Measured:
    bn, one, plain = rescaled("BatchNorm"), changed(_ONE_UNIT), changed(_ALL_WEIGHTS, ("none",))
    return Measured(
        bn.output < _EXACT and bn.gradient < _EXACT and max(one) < _EXACT,
        f"Ten times all weights change the output by {_digits(changed(_ALL_WEIGHTS))} of its size with {_NAMES}, to "
        f"twelve digits, and by {number(plain[0])} without normalization; with BatchNorm the gradient at the input changes by "
        f"{_digits([bn.gradient])}. Ten times the weights of one unit: {_digits(one)}, so LayerNorm is not invariant.",
    )


def _weight_scale_of_all() -> Measured:
    one, bn = changed(_ONE_UNIT), rescaled("BatchNorm")
    return Measured(
        max(one) < _EXACT,
        f"Ten times the weights of one unit change the output by {_digits(one)} of its size with {_NAMES}. With weights a "
        f"thousand times smaller and ε = 1e−5 the standard deviation of BatchNorm’s output is {number(bn.tiny)}, not 1.",
    )


def _smaller_gradients() -> Measured:
    entry = NORMALIZERS["BatchNorm"]
    found, angle = weight_scale(entry, (0.1, 1.0, 10.0)), orthogonality(entry)
    apart = float(np.max(np.abs(found.gradient / found.exact - 1)))
    bn, plain = faster(True), faster(False)
    return Measured(
        apart < 1e-9 and angle.unit < 1e-9 and bn < plain,
        f"With BatchNorm, weights times 0.1, 1 and 10 have gradients of norm {_and(found.gradient)}, which is 1/a to "
        f"{number(apart)}. The gradient of each unit stands at right angles to its weights, with a cosine of "
        f"{number(angle.unit)}, so that a step can only make them longer. A {_NETWORK} has a loss of "
        f"{number(losses(True)[_HE])} after {_STEPS} steps with BN and {number(losses(False)[_HE])} without at rate "
        f"{number(_RATE)}, and {number(bn)} and {number(plain)} at rate "
        f"{number(_FASTER * _RATE)}.",
    )


def _data_scale() -> Measured:
    tens = changed("all inputs × 10")
    return Measured(
        max(tens) < _EXACT,
        f"Ten times the inputs change the output by {_digits(tens)} of its size with {_NAMES}. WeightNorm divides by the "
        "weights alone, so its output grows with the data.",
    )


def _data_scale_of_all() -> Measured:
    tens, threes = changed("all inputs × 10"), changed("all inputs + 3")
    return Measured(
        max(tens) < _EXACT,
        f"With {_NAMES}, inputs times 10 move the output by {_digits(tens)} of its size, inputs plus 3 by {_digits(threes)}.",
    )


def _per_unit() -> Measured:
    found = sets("BatchNorm")
    return Measured(
        (found.sets, found.cells) == (6, 8) and found.other_unit == 0 and found.other_sample > 0.01,
        f"In a layer of 6 units and a batch of 8 there are {found.sets} sets of {found.cells} values that share mean and "
        f"variance. Another unit’s values change a unit’s output by {number(found.other_unit)}; another sample’s change a "
        f"sample’s by {number(found.other_sample)}.",
    )


def _per_sample() -> Measured:
    found = sets("LayerNorm")
    return Measured(
        (found.sets, found.cells) == (8, 6) and found.other_sample == 0 and found.other_unit > 0.01,
        f"In a layer of 6 units and a batch of 8 there are {found.sets} sets of {found.cells} values that share mean and "
        f"variance. Another sample’s values change a sample’s output by {number(found.other_sample)}; another unit’s change a "
        f"unit’s by {number(found.other_unit)}.",
    )


def _same_distribution() -> Measured:
    bn, plain = moved(True), moved(False)
    return Measured(
        bn.after[-1] < 0.2 * plain.after[-1],
        f"In a {_NETWORK}, rate {number(_RATE)}, the means of what the last hidden layer’s activation sees have moved after 1, "
        f"10 and 100 updates by {_and(bn.after)} standard deviations of the start with BN and by {_and(plain.after)} without; "
        f"the standard deviation is then {number(bn.spread)} and {number(plain.spread)} times that of the start. What moves "
        "with BN is moved by γ and β.",
    )


_FED = (8, 32, 120)


def _large_and_shuffled() -> Measured:
    shuffled, ordered = [fed_accuracy("shuffled", n) for n in _FED], fed_accuracy("sorted by class", _BATCH)
    return Measured(
        None,
        f"A {_NETWORK} with BN that has seen {_STEPS * _BATCH:,} points in shuffled batches of {_and(_FED)} puts "
        f"{_and([100 * v for v in shuffled])}% of new points of three classes right; in batches of {_BATCH} sorted by class, "
        f"{percent(ordered)}. One seed of the data, two of the weights.",
    )


def _sorted_fails() -> Measured:
    spread = noise()
    ordered, shuffled = fed_accuracy("sorted by class", _BATCH), fed_accuracy("shuffled", _BATCH)
    return Measured(
        None,
        f"The mean of a batch of {_and(spread.sizes)} scatters by {_and(spread.of_means)}σ. Batches of {_BATCH} sorted by "
        f"class leave an accuracy of {percent(ordered)} in evaluation, shuffled ones {percent(shuffled)}.",
    )


def _sequences() -> Measured:
    found = sequence_steps()
    return Measured(
        found.batch_error[-1] > 2 * found.batch_error[0] and found.layer_change == 0,
        f"Of 16 sequences of 1 to 20 steps {number(found.running[0])} have a first step and on average "
        f"{number(found.running[-1])} a twentieth, so a batch mean misses the truth by {number(found.batch_error[0])}σ and "
        f"{number(found.batch_error[-1])}σ; in {percent(found.empty[-1])} of the batches nobody has a twentieth. "
        f"LayerNorm’s output of one sequence changes by {number(found.layer_change)} when the others are drawn anew.",
    )


def _by_the_batch() -> Measured:
    outputs, exact = place_probe(in_batch=True), probe_distribution(in_batch=True)
    return Measured(
        float(np.std(outputs)) > 0.1,
        f"The sample x = 8 of a feature N(5, 3²) comes out between {number(float(outputs.min()))} and "
        f"{number(float(outputs.max()))} in 200 batches of 8: {number(float(outputs.mean()))} ± "
        f"{number(float(outputs.std(ddof=1)))}, in theory {number(exact.mean)} ± {number(exact.std)}.",
    )


def _averages() -> Measured:
    found = tracked()
    return Measured(
        all(abs(m - 5) < 0.1 for m in found.mean),
        f"With weight 0.1 on the new batch of 32, the running mean is {_and(found.mean)} after {_and(found.batches)} batches "
        f"(expected {_and(found.mean_theory)}), the running variance {_and(found.var)}; the truth is 5 and 9. The plain "
        f"averages of all {found.batches[-1]} batches, as in the paper, are {number(found.average[0])} and "
        f"{number(found.average[1])}.",
    )


def _not_the_whole_set() -> Measured:
    found = tracked()
    return Measured(
        abs(found.mean[0] - 5) < 0.1 and abs(found.var[0] - 9) < 0.1,
        f"After {found.batches[0]} batch the stored pair is ({number(found.mean[0])}, {number(found.var[0])}), after "
        f"{found.batches[1]} ({number(found.mean[1])}, {number(found.var[1])}), after {found.batches[2]} "
        f"({number(found.mean[2])}, {number(found.var[2])}); the whole data have (5, 9).",
    )


def _nothing_moves() -> Measured:
    found = fixed()
    return Measured(
        found.company == 0 and found.moved == 0,
        f"In evaluation a sample’s output changes by {number(found.company)} when 31 others stand beside it, and the stored "
        f"statistics by {number(found.moved)}. A layer of 64 features then has {found.learned + found.stored} fixed numbers.",
    )


def _learned_or_stored() -> Measured:
    found = fixed()
    return Measured(
        None,
        f"A layer of 64 features learns {found.learned} numbers by their gradient, γ and β, and stores {found.stored}, the "
        "running means and variances, which have none and only follow the batches.",
    )


def _stale() -> Measured:
    bn, found = moved(True), stale()
    return Measured(
        None,
        f"In a {_NETWORK} with BN, the means before the last normalization are {_and(bn.before)} standard deviations off their "
        f"start after 1, 10 and 100 updates. Statistics of the whole training set from before the first update then give "
        f"an accuracy of {percent(found.start)} on new points, those taken at the end {percent(found.fresh)}, running ones "
        f"{percent(found.running)}.",
    )


def _already_trained() -> Measured:
    found = stale()
    return Measured(
        found.start > found.fresh - 0.01,
        f"Statistics of the whole set can be had at once, but after 100 updates the old ones leave {percent(found.start)} of "
        f"the new points right in place of {percent(found.fresh)}.",
    )


def _noise() -> Measured:
    found = noise()
    ratios = [s * math.sqrt(n) for s, n in zip(found.of_means, found.sizes, strict=True)]
    return Measured(
        max(abs(r - 1) for r in ratios) < 0.1
        and list(found.slope) == sorted(found.slope)
        and found.slope[-1] < 1,
        f"The mean of a batch of {_and(found.sizes)} scatters by {_and(found.of_means)}σ, as 1/√N. A line that is fitted to a "
        f"value by its own noisy output gets the slope {_and(found.slope)} in place of 1 (theory {_and(found.slope_theory)}): "
        "such noise shrinks weights as a penalty on them does.",
    )


def _stands_alone() -> Measured:
    names = ("BatchNorm", "LayerNorm")
    changes = [others_redrawn(NORMALIZERS[name]) for name in names]
    alone = at_once(SINGLE)
    stored = [len(NORMALIZERS[name].stored) for name in names]
    return Measured(
        changes[1] == 0 and changes[0] > 0.01 and stored[1] == 0 and float(np.ptp(alone)) > 1,
        f"When all other samples are drawn anew, a sample’s output changes by {percent(changes[0])} of its size with "
        f"BatchNorm and by {percent(changes[1])} with LayerNorm. A single sample with features {numbers(SINGLE)} becomes "
        f"{numbers(alone)} with LayerNorm and {numbers(singles())} with BatchNorm. They store {stored[0]} and {stored[1]} things "
        "for evaluation.",
    )


_MIXED = (0.2, 0.5, 0.1, 2000.0)


def _swamped() -> Measured:
    found = swamped_share()
    return Measured(
        float(max(found.layer[:3])) < 0.05 < 0.9 < float(min(found.batch)),
        f"LayerNorm makes {numbers(at_once(_MIXED))} of features {numbers(_MIXED, 4)}. Over samples whose last feature is a "
        f"thousand times as large, a feature’s own value explains {numbers(100 * found.layer, 2)}% of its output with LayerNorm, "
        f"{numbers(100 * found.batch, 2)}% with BatchNorm.",
    )


def _gain_per_unit() -> Measured:
    shape = NORMALIZERS["LayerNorm (channels)"].learned_shape(4, 1)
    y = at_once(_MIXED)
    gain = np.array([1.0, 10.0, 100.0, 0.0])
    return Measured(
        shape == (),
        f"Mean and variance are one pair for a sample, γ and β are {shape[0]} each in a layer of {shape[0]} units. With γ = "
        f"{numbers(gain)} the output {numbers(y)} becomes {numbers(gain * y)}.",
    )


def _length_and_direction() -> Measured:
    found = direction()
    return Measured(
        abs(found.length - 1.5) < _EXACT,
        f"Random weight vectors with g = 1.5 have the length {number(found.length)} after weight normalization, whatever v "
        f"was. On inputs that are not normalized, the outputs of its units have standard deviations from "
        f"{number(found.low)} to {number(found.high)}.",
    )


def _no_standard_outputs() -> Measured:
    found, tens = direction(1.0), changed("all inputs × 10", ("WeightNorm",))
    return Measured(
        found.mean < 0.1 and abs(found.low - 1) < 0.1 and abs(found.high - 1) < 0.1,
        f"With g = 1 the outputs of six units have means up to {number(found.mean)} from 0 and standard deviations from "
        f"{number(found.low)} to {number(found.high)}. Ten times the input change the output by {number(tens[0])} times its "
        "size.",
    )


def _no_batch() -> Measured:
    changes = [others_redrawn(NORMALIZERS[name]) for name in ("WeightNorm", "BatchNorm")]
    return Measured(
        changes[0] == 0,
        f"When all other samples are drawn anew, a sample’s output changes by {percent(changes[0])} with WeightNorm and by "
        f"{percent(changes[1])} with BatchNorm.",
    )


def _cosine() -> Measured:
    found, tens = products(), changed("all inputs × 10", ("none", "cosine"))
    return Measured(
        abs(found.cosine - found.layer) < _EXACT and tens[1] < _EXACT,
        f"For w = (3, 4) and x = (1, 0) the dot product is {number(found.dot)}, the cosine {number(found.cosine)}, and the "
        f"layer gives {number(found.layer)}. Ten times the inputs change a plain layer by {number(tens[0])} times its "
        f"output, a cosine layer by {_digits(tens[1:])}.",
    )


def _lengths_tell() -> Measured:
    found = norm_only_separability()
    return Measured(
        found.dot > 0.95 and found.cosine < 0.6,
        f"Two classes of vectors, alike in direction and of length 1 and 3: a threshold on the dot product puts "
        f"{percent(found.dot)} right, one on the cosine {percent(found.cosine)}.",
    )


def _projection() -> Measured:
    found = products()
    return Measured(
        abs(found.dot - found.projection) < _EXACT,
        f"For w = (3, 4) and x = (1, 0) the dot product is {number(found.dot)} and the projection of x on w has length "
        f"{number(found.projection)}: they differ by the factor {number(found.dot / found.projection)}, the length of w.",
    )


def _same_numbers_for_both() -> Measured:
    found = own_statistics()
    return Measured(
        found.train > found.own,
        f"A threshold between two classes, found where they are half and half, puts {percent(found.train)} right of a test "
        f"set that is 90% of the second class if the test inputs are normalized with the training set’s mean and standard "
        f"deviation, and {percent(found.own)} if with their own.",
    )


def _subtract() -> Measured:
    raw, centered = (conditioned(name, 1.0, 1.0, 0.0) for name in ("raw", "centered"))
    return Measured(
        centered.condition < raw.condition,
        f"Linear regression on two independent features with mean 1 and standard deviation 1: the Hessian’s condition number "
        f"is {number(raw.condition)}, and {number(centered.condition)} once the mean is subtracted.",
    )


def _divided() -> Measured:
    by_variance, by_deviation = spread_after("divided by σ²"), spread_after("divided by σ")
    return Measured(
        max(abs(v - 1) for v in by_variance) < 0.1,
        f"Draws with σ of 0.1, 3 and 10 have the standard deviations {_and(by_variance)} when divided by their variance, and "
        f"{_and(by_deviation)} when divided by their standard deviation.",
    )


def _by_the_square() -> Measured:
    found = spread_after("divided by σ²")
    return Measured(
        max(abs(v**2 - 1) for v in found) < 0.1,
        f"Variance after dividing by σ², for σ of 0.1, 3 and 10: {_and([v**2 for v in found])}. It is 1/σ², and 1 only where σ "
        "was 1 before.",
    )


def _four_lines() -> Measured:
    found = formula()
    return Measured(
        found.error < _EXACT,
        f"For the batch 1, 2, 4, 9 the mean is {number(found.mean)} and the variance, over m, {number(found.var)}; with γ = "
        f"2 and β = 1 the outputs are {numbers(found.by_hand)}, by hand and by the app within {number(found.error)}.",
    )


def _two_divisors() -> Measured:
    found = formula((1.0, 2.0, 3.0, 4.0))
    return Measured(
        abs(found.stored - found.var) < _EXACT,
        f"The batch 1, 2, 3, 4 is normalized with the variance {number(found.var, 4)}, over m; PyTorch and the paper store "
        f"{number(found.stored, 4)}, over m − 1, for evaluation, Keras and ONNX the first one.",
    )


def _learns_both() -> Measured:
    found = learned()
    return Measured(
        abs(found.gamma - 2.5) < 1e-3 and abs(found.beta + 1) < 1e-3 and found.error < 1e-6,
        f"Gradient descent on a target with γ = 2.5 and β = −1 moves (1, 0) to ({number(found.gamma)}, "
        f"{number(found.beta)}) in 200 steps; the gradient agrees with differences to {number(found.error)}. Of ReLU units "
        f"behind it {percent(found.active[0])} are active with β = 0 and {percent(found.active[1])} with the learned one.",
    )


def _zero_to_one() -> Measured:
    found = output_range()
    return Measured(
        found.outside == 0,
        f"10,000 draws from N(5, 3²) come out between {number(found.low)} and {number(found.high)}, "
        f"{percent(found.outside)} of them outside 0 to 1. Mean 0 and variance 1 bound them by √(N − 1) only, here "
        f"{number(math.sqrt(9_999))}.",
    )


def _gradient_divided() -> Measured:
    found = output_range()
    return Measured(
        found.outside == 0,
        f"On the way back the gradient is multiplied by {_and(found.factors)} where the input’s σ is {_and(SPREADS)}: it is "
        f"divided by the standard deviation, less its parts along 1 and x̂, and nothing brings it into 0 to 1. Outputs, "
        f"too, reach from {number(found.low)} to {number(found.high)}.",
    )


def _against_vanishing() -> Measured:
    tiny, he = [through(name, "N(0, 0.01²)") for name in _TWO], [through(name) for name in _TWO]
    return Measured(
        None,
        f"Through {_DEPTH} ReLU layers of {_WIDTH} units with weights from N(0, 0.01²) the gradient is multiplied by "
        f"{number(tiny[0].gradient)}, with BN by {number(tiny[1].gradient)}; with He’s weights by {number(he[0].gradient)} and "
        f"{number(he[1].gradient)}. So BN keeps it from vanishing, and not from growing.",
    )


def _another_reason() -> Measured:
    bn, plain = ahead(True), ahead(False)
    return Measured(
        None,
        f"In one small network after ten updates, a step of the layers below changes the last layer’s gradient by "
        f"{percent(bn.below)} of its length with BN and {percent(plain.below)} without; along a step the whole gradient "
        f"changes by {number(bn.smoothness)} and {number(plain.smoothness)} of its length for a unit of η. Such a network "
        "decides nothing; the tab shows more steps and other settings.",
    )


_TWO = ("none", "BatchNorm before")


def _explodes() -> Measured:
    plain, bn, both = (through(name).gradient for name in (*_TWO, "residual + BatchNorm"))
    return Measured(
        bn < 10,
        f"In {_DEPTH} ReLU layers with He’s weights and BN the gradient grows {number(bn)} times from top to bottom, "
        f"{number(bn ** (1 / _DEPTH))} a layer; theory for batches of 32 says {number(growth())}, for large ones "
        f"√(π/(π − 1)) = {number(growth(batch=None))}. Without BN it is multiplied by {number(plain)}, with BN and skip "
        f"connections by {number(both)}.",
    )


def _skips() -> Measured:
    plain, scaled, both = (
        through("residual"),
        through("residual", branch_scale=_DEPTH**-0.5),
        through("residual + BatchNorm"),
    )
    return Measured(
        plain.signal < 10,
        f"After {_DEPTH} residual ReLU layers with He’s weights the signal is {number(plain.signal)} times as large (theory "
        f"{number(residual_signal(_DEPTH))}), after 1,000 by theory {number(residual_signal(1000))} times. Branches times "
        f"1/√{_DEPTH} make it {number(scaled.signal)} times (theory {number(residual_signal(_DEPTH, _DEPTH**-0.5))}), BN in "
        f"the branch {number(both.signal)} times.",
    )


def _one_pair() -> Measured:
    found = pairs()
    return Measured(
        found.one < 1e-6,
        f"To give back two features of standard deviation 1 and 10, one γ and one β for the layer leave an rms error of "
        f"{number(found.one)}, a pair for each feature {number(found.each)}. For images of 16 channels the shape is "
        f"({found.channels[0]},).",
    )


def _pair_of_a_layer() -> Measured:
    found, size = pairs(), fixed().learned
    return Measured(
        found.one < 1e-6,
        f"A layer of 64 features learns {size} numbers, a γ and a β for each. With one pair for the layer it could not be the "
        f"identity on features of spread 1 and 10: the rms error is at least {number(found.one)}.",
    )


def _identity() -> Measured:
    found = identity()
    return Measured(
        found.variance < 1e-6,
        f"On 1,000 draws from N(5, 3²), γ = σ² and β = μ miss the input by up to {number(found.variance)}; γ = √(σ² + ε) "
        f"and β = μ by {number(found.deviation)}.",
    )


def _identity_spread() -> Measured:
    found = identity()
    return Measured(
        found.variance < 1e-6,
        f"With γ the variance, a feature with standard deviation 3 comes out with {number(found.spread)}, and the largest "
        f"error is {number(found.variance)}; with γ = √(σ² + ε) the largest is {number(found.deviation)}.",
    )


def _bad_starts() -> Measured:
    bn, plain = losses(True), losses(False)
    return Measured(
        max(bn) < 0.6 * math.log(3) and max(plain) > 0.9 * math.log(3),
        f"A {_NETWORK} whose hidden weights start at {_and(SCALES)} times He’s scale has a loss of {_and(bn)} with BN after "
        f"{_STEPS} steps and of {_and(plain)} without; chance is log 3, {number(math.log(3))}.",
    )


def _any_start() -> Measured:
    bn, plain = losses(True), losses(False)
    return Measured(
        None,
        f"Starting at {_and(SCALES)} times He’s scale, plain gradient descent at rate {number(_RATE)} ends at a loss of "
        f"{_and(bn)} with BN, so large weights still cost {number(bn[-1] / bn[_HE])} times the loss; without BN at "
        f"{_and(plain)}.",
    )


def _beta_alone() -> Measured:
    found, pair, shifted = singles(), in_training(SINGLE[:2]), singles(0.5)
    return Measured(
        bool(np.allclose(found, SINGLE)),
        f"Samples {numbers(SINGLE)}, each a batch of one, come out as {numbers(found)}, and with β = 0.5 as {numbers(shifted)}: "
        f"the sample is its own mean, so 0 is left of it. Two of them together become {_and(pair)}.",
    )


def _mean_is_the_sample() -> Measured:
    mean, var = batch_statistics(np.array([[SINGLE[0]]]))
    return Measured(
        float(mean[0]) == 0,
        f"The mean of the single sample {number(SINGLE[0])} is {number(float(mean[0]))} and its variance "
        f"{number(float(var[0]))}: what is subtracted is the sample, and the output is {number(float(singles()[0]))}.",
    )


_NAMES = f"{', '.join(_FAMILY[:-1])} and {_FAMILY[-1]}"
_ALL_WEIGHTS, _ONE_UNIT = "all weights × 10", "one unit's weights × 10"

MEASURES: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {
        "S63": _iid_and_white,
        "S64": _covariate_shift,
        "S65": _weight_scale,
        "S66": _smaller_gradients,
        "S67": _data_scale,
        "S68": _per_unit,
        "S69": _same_distribution,
        "S70": _large_and_shuffled,
        "S71": _sequences,
        "S72": _by_the_batch,
        "S73": _averages,
        "S74": _nothing_moves,
        "S75": _stale,
        "S76": _noise,
        "S77": _per_sample,
        "S78": _stands_alone,
        "S79": _swamped,
        "S80": _length_and_direction,
        "S81": _no_batch,
        "S82": _cosine,
        "S83": _lengths_tell,
        "S132": _same_numbers_for_both,
        "S133": _subtract,
        "S134": _divided,
        "S139": _four_lines,
        "S140": _learns_both,
        "S195": _zero_to_one,
        "S199": _against_vanishing,
        "S200": _one_pair,
        "S201": _identity,
        "S202": _bad_starts,
        "S203": _beta_alone,
        "E29": _weight_scale_of_all,
        "E30": _data_scale_of_all,
        "E31": _not_the_whole_set,
        "E32": _learned_or_stored,
        "E33": _already_trained,
        "E34": _sorted_fails,
        "E35": _gain_per_unit,
        "E36": _no_standard_outputs,
        "E37": _projection,
        "E59": _by_the_square,
        "E95": _gradient_divided,
        "E96": _explodes,
        "E97": _skips,
        "E98": _pair_of_a_layer,
        "E99": _identity_spread,
        "E100": _another_reason,
        "E101": _any_start,
        "E102": _two_divisors,
        "E103": _mean_is_the_sample,
    }
)
