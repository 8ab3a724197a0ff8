"""The shape of a loss: lines through it, negative curvature, equal minima of a network, its width, its first steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.descent import Ints, SurfaceProblem
from core.initializers import Initializer
from core.network import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    Loss,
    Params,
    backward,
    flatten,
    forward,
    init_network,
    train,
    unflatten,
)
from core.optimizers import Optimizer

Array = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Window = tuple[float, float, float, float]
Report = Callable[[int, int], None]

_BENT = 1e-12  # of the larger eigenvalue: a smaller one below minus this is negative, not rounding

_ROUNDING = 1e-11  # of the largest loss: a smaller difference of three losses may be rounding

_quiet = np.errstate(all="ignore")


# A line through a surface


@dataclass(frozen=True)
class Slice:
    """A surface along a line p + s·d with ‖d‖ = 1, at K places s.

    s, f: (K,). point: (K, 2). curvature: (K,), dᵀHd, the second derivative along the line; NaN where f has none.
    down: (K,), whether the line bends down there: its curvature is negative, or the loss lies above the chord of its
    two neighbors, as it does at a ridge. A convex function does neither anywhere.
    """

    s: Array
    point: Array
    f: Array
    curvature: Array
    down: Bools


def chord(point: ArrayLike, direction: ArrayLike, window: Window) -> tuple[float, float]:
    """Return the s at which the line p + s·d enters and leaves a window that holds p.

    Raises:
        ValueError: p lies outside, or d is 0.
    """
    p, d = np.asarray(point, dtype=np.float64), np.asarray(direction, dtype=np.float64)
    low, high = np.array([window[0], window[2]]), np.array([window[1], window[3]])
    if not np.any(d) or np.any(p < low) or np.any(p > high):
        raise ValueError(
            f"point = {p}, direction = {d}: needs a point of the window and a direction other than 0"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.sort(np.where(d != 0, np.stack([low - p, high - p]) / d, [[-np.inf], [np.inf]]), axis=0)
    return float(ends[0].max()), float(ends[1].min())


@_quiet
def slice_along(
    problem: SurfaceProblem, point: ArrayLike, angle: float, window: Window, count: int = 201
) -> Slice:
    """Cut a surface along the line through a point, from border to border of a window.

    Args:
        problem: the surface with its knobs.
        point: (2,), within the window.
        angle: of the line, in degrees from the x axis.
        window: (x_low, x_high, y_low, y_high).
        count: places on the line, the ends included, 2 or more.

    Raises:
        ValueError: the point lies outside the window, or count is below 2.
    """
    if count < 2:
        raise ValueError(f"count = {count}: needs a whole number of at least 2")
    d = _direction(angle)
    s = np.linspace(*chord(point, d, window), count)
    points = np.asarray(point, dtype=np.float64) + s[:, None] * d
    bend = np.einsum("i,kij,j->k", d, problem.hessian(points), d)
    bend = np.where(np.isfinite(bend), bend, np.nan)
    f = problem.f(points)
    largest = np.where(np.isfinite(bend), np.abs(bend), 0.0).max()
    return Slice(s, points, f, bend, np.asarray((bend < -_BENT * largest) | _above_chords(f)))


def _above_chords(f: Array) -> Bools:
    """Return where values at even places lie above the chord of their neighbors, by more than rounding, (K,)."""
    above = np.zeros(f.shape, dtype=bool)
    level = np.where(np.isfinite(f), np.abs(f), 0.0).max()
    above[1:-1] = f[2:] - 2 * f[1:-1] + f[:-2] < -_ROUNDING * level
    return above & np.isfinite(f)


def _direction(angle: float) -> Array:
    """Return (cos, sin) of degrees, exact at multiples of 90."""
    turn = math.radians(angle % 360)
    d = np.array([math.cos(turn), math.sin(turn)])
    return np.asarray(np.where(np.abs(d) < 1e-15, 0.0, d))


@dataclass(frozen=True)
class Curvature:
    """The smaller eigenvalue of the Hessian over a window.

    x, y: (size,). lowest, highest: (size, size), the eigenvalues, rows by y; NaN where the Hessian is not finite.
    """

    x: Array
    y: Array
    lowest: Array
    highest: Array

    @property
    def negative(self) -> Bools:
        """Where some direction bends down, (size, size): one such place disproves convexity."""
        scale = np.maximum(np.abs(self.lowest), np.abs(self.highest))
        return np.asarray(self.lowest < -_BENT * scale)

    @property
    def share(self) -> float:
        """The share of the places with a Hessian at which some direction bends down."""
        known = np.isfinite(self.lowest)
        return float(self.negative.sum() / known.sum()) if known.any() else math.nan


@_quiet
def curvature_map(problem: SurfaceProblem, window: Window, size: int) -> Curvature:
    """Return the eigenvalues of the Hessian at the centers of size × size cells of a window.

    Raises:
        ValueError: size is below 1.
    """
    if size < 1:
        raise ValueError(f"size = {size}: needs a whole number of at least 1")
    middle = (np.arange(size) + 0.5) / size
    x = window[0] + middle * (window[1] - window[0])
    y = window[2] + middle * (window[3] - window[2])
    h = problem.hessian(np.stack(np.meshgrid(x, y), axis=-1))
    h = np.broadcast_to(h, (size, size, 2, 2))
    known = np.asarray(np.isfinite(h).all(axis=(-2, -1)))
    values = np.linalg.eigvalsh(np.where(known[..., None, None], h, 0.0))
    values = np.where(known[..., None], values, np.nan)
    return Curvature(x, y, values[..., 0], values[..., 1])


def bending_angles(hessian: ArrayLike) -> tuple[float, float] | None:
    """Return the angles in degrees between which directions bend down, (from, to) with to − from ≤ 180; None if none.

    Args:
        hessian: (2, 2). The curvature at angle φ is m + r·cos(2(φ − φ₀)) with m half the trace and r half the
            difference of the eigenvalues, so it is negative about φ₀ + 90° as far as ½·arccos(m/r).
    """
    (low, high), vectors = np.linalg.eigh(np.asarray(hessian, dtype=np.float64))
    if not low < -_BENT * max(abs(low), abs(high)):
        return None
    middle = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0])) % 180
    mean, half = (low + high) / 2, (high - low) / 2
    reach = 90.0 if half <= -mean else math.degrees(math.acos(mean / half)) / 2
    return middle - reach, middle + reach


# Hidden units change places


def swap_units(params: Params, first: int, second: int) -> Params:
    """Return the network with two units of its first hidden layer in each other's place: the same function.

    Raises:
        ValueError: there is no such unit, or the network has no hidden layer.
    """
    if len(params.weights) < 2 or not all(0 <= u < params.sizes[1] for u in (first, second)):
        raise ValueError(f"units {first} and {second}: the network has sizes {params.sizes}")
    order = np.arange(params.sizes[1])
    order[[first, second]] = second, first
    weights = (params.weights[0][..., order], params.weights[1][..., order, :], *params.weights[2:])
    return Params(weights, (params.biases[0][..., order], *params.biases[1:]))


def loss_between(
    one: Params, other: Params, share: ArrayLike, x: Array, targets: Array, activation: Activation, loss: Loss
) -> Array:
    """Return the loss on the straight way between two networks, (K,).

    Args:
        one, other: networks of the same sizes without leading axes.
        share: (K,), of the way.
        x, targets: (n, inputs) and (n, outputs).
        activation, loss: as for ``train``.
    """
    s = np.asarray(share, dtype=np.float64)[:, None]
    vector = (1 - s) * flatten(one) + s * flatten(other)
    run = forward(unflatten(vector, one.sizes), x, activation)
    return loss.value(run.output, targets)


@dataclass(frozen=True)
class SwappedUnits:
    """The ways between a trained network and what it becomes when two of its units change places.

    start, end: loss before and after training. pair: (P, 2), the units. share: (K,). loss: (P, K) along the ways.
    alike: (P,), the distance of the two units over their mean length; 0 if they are one and the same.
    """

    start: float
    end: float
    pair: Ints
    share: Array
    loss: Array
    alike: Array

    @property
    def barrier(self) -> Array:
        """The highest loss on each way above its ends, (P,)."""
        return np.asarray(self.loss.max(axis=1) - self.loss[:, 0])


def swapped_units(
    x: Array, targets: Array, units: int, *, activation: Activation, initializer: Initializer, optimizer: Optimizer, lr: float,
    steps: int, seed: int, count: int = 41, loss: Loss = CROSS_ENTROPY,
) -> SwappedUnits:  # fmt: skip
    """Train a network with one hidden layer, and walk straight to each of its images with two units swapped.

    Start and end of a way are the same function, so both are equally good, and the loss along it is symmetric. Half
    way the two units are equal: there the network has one unit fewer.

    Args:
        x, targets: (n, 2) and (n,), the data.
        units: of the hidden layer, 2 or more.
        activation, initializer, optimizer, lr, steps, loss: of the training, on all data.
        seed: of the weights.
        count: places on each way, the ends included; odd, so that the middle is one.

    Raises:
        ValueError: fewer than two units.
    """
    if units < 2:
        raise ValueError(f"units = {units}: needs a whole number of at least 2")
    net = init_network((x.shape[-1], units, 1), initializer, seed=seed)
    rule = optimizer.build(lr=lr)
    run = train(
        net, x, targets, activation=activation, rule=rule, steps=steps, loss=loss, record_every=max(1, steps)
    )
    pairs = np.array(list(combinations(range(units), 2)))
    share = np.linspace(0, 1, count)
    target = np.asarray(targets, dtype=np.float64)[:, None]
    end = run.final
    ways = [loss_between(end, swap_units(end, *pair), share, x, target, activation, loss) for pair in pairs]
    vectors = np.concatenate([end.weights[0].T, end.biases[0][:, None], end.weights[1]], axis=1)
    a, b = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    length = (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)) / 2
    return SwappedUnits(
        float(run.loss[0]),
        float(run.loss[-1]),
        pairs,
        share,
        np.array(ways),
        np.linalg.norm(a - b, axis=1) / length,
    )


# Width


@dataclass(frozen=True)
class WidthRuns:
    """Losses after training, by width and seed. width: (K,). loss, start: (K, S). diverged_at: (K, S)."""

    width: Ints
    start: Array
    loss: Array
    diverged_at: Ints


def width_runs(
    x: Array, targets: Array, widths: Sequence[int], seeds: Sequence[int], *, hidden: int, activation: Activation,
    initializer: Initializer, optimizer: Optimizer, lr: float, steps: int, report: Report | None = None,
) -> WidthRuns:  # fmt: skip
    """Train networks of every width from every seed on the same data, all seeds of a width at once.

    Args:
        x, targets: (n, 2) and (n,), the data; cross-entropy on all of them in every step.
        widths: units of each hidden layer.
        seeds: of the weights.
        hidden: hidden layers, 1 or more.
        activation, initializer, optimizer, lr, steps: of the training.
        report: called with the work done and all of it.
    """
    cost = np.cumsum([0.0, *(float(w) ** 2 * hidden + 30 * w for w in widths)])
    found = []
    for i, width in enumerate(widths):

        def told(step: int, _: int, i: int = i) -> None:
            if report is not None:
                done = cost[i] + (cost[i + 1] - cost[i]) * step / max(1, steps)
                report(round(1000 * done / cost[-1]), 1000)

        net = init_network((x.shape[-1], *[width] * hidden, 1), initializer, seed=seeds)
        rule = optimizer.build(lr=lr)
        run = train(
            net,
            x,
            targets,
            activation=activation,
            rule=rule,
            steps=steps,
            record_every=max(1, steps),
            report=told,
        )
        found.append((run.loss[0], run.loss[-1], run.diverged_at))
    start, loss, diverged_at = (np.stack(part) for part in zip(*found, strict=True))
    return WidthRuns(np.array(widths), start, loss, diverged_at)


# Small steps


@dataclass(frozen=True)
class LazyRuns:
    """How far the parameters move, by width and seed: K widths, S seeds.

    width: (K,). moved: (K, S), ‖θ_T − θ₀‖/‖θ₀‖ over all parameters. moved_theory: what the network linearized at
    its start gives. start, loss, loss_theory: (K, S), mean squared error before and after.
    """

    width: Ints
    moved: Array
    moved_theory: Array
    start: Array
    loss: Array
    loss_theory: Array


def lazy_runs(
    x: Array, targets: Array, widths: Sequence[int], seeds: Sequence[int], *, activation: Activation, initializer: Initializer,
    optimizer: Optimizer, lr: float, steps: int,
) -> LazyRuns:  # fmt: skip
    """Train networks with one hidden layer by gradient descent with the rate lr/width, and measure their way.

    The rate falls with the width because the slope of the output by the weights grows with it: at lr/width, networks
    of all widths descend about equally fast. Beside it stands the network linearized at its start (Jacot, Gabriel,
    Hongler 2018; Chizat, Oyallon, Bach 2019): with the Jacobian J of the outputs and K = JJᵀ, the residual after T steps
    is (I − 2·rate·K/n)^T·r₀ and the parameters have moved by −Jᵀ K⁺(r₀ − r_T).

    Args:
        x, targets: (n, inputs) and (n,), few samples.
        widths, seeds: one network each.
        activation, initializer: of the networks.
        optimizer: plain gradient descent, an entry that takes lr.
        lr: the rate is lr/width.
        steps: 0 or more.
    """
    found = []
    target = np.asarray(targets, dtype=np.float64)[:, None]
    for width in widths:
        net = init_network((x.shape[-1], width, 1), initializer, seed=seeds)
        rate = lr / width
        run = train(
            net, x, target, activation=activation, rule=optimizer.build(lr=rate), steps=steps, loss=SQUARED_ERROR,
            record_every=max(1, steps),
        )  # fmt: skip
        before, after = flatten(net), flatten(run.final)
        length = np.linalg.norm(before, axis=-1)
        with np.errstate(all="ignore"):
            way = np.linalg.norm(after - before, axis=-1) / length
        step, loss = _linearized(net, x, target, activation, rate, steps)
        found.append((way, step / length, run.loss[0], run.loss[-1], loss))
    moved, theory, start, end, end_theory = (np.stack(part) for part in zip(*found, strict=True))
    return LazyRuns(np.array(widths), moved, theory, start, end, end_theory)


def jacobian(params: Params, x: Array, activation: Activation) -> Array:
    """Return the slopes of a network's one output by its parameters, in the order of ``flatten``: (..., n, d).

    Args:
        params: networks (...) with one output.
        x: (n, inputs).
        activation: of the hidden layers.
    """
    lead = params.weights[0].ndim - 2
    run = forward(
        params, x.reshape(len(x), *[1] * lead, 1, -1), activation
    )  # each point by itself, (n, ..., 1, ·)
    back = backward(params, run, np.ones_like(run.output), activation)
    return np.moveaxis(flatten(back.gradient), 0, -2)


def _linearized(
    params: Params, x: Array, target: Array, activation: Activation, rate: float, steps: int
) -> tuple[Array, Array]:
    """Return how far the linearized network moves, (S,), and its loss then, (S,)."""
    slopes = jacobian(params, x, activation)
    residual = (forward(params, x, activation).output - target)[..., 0]
    values, vectors = np.linalg.eigh(slopes @ slopes.mT)
    values = np.maximum(values, 0.0)
    r0 = (vectors.mT @ residual[..., None])[..., 0]
    with np.errstate(all="ignore"):
        kept = (1 - 2 * rate * values / len(x)) ** steps
        # ‖Jᵀ K⁺ (r₀ − r_T)‖² = Σ (1 − kept)²·r₀²/λ, and 0 along a direction that no weight reaches.
        square = np.where(
            values > 1e-14 * values.max(axis=-1, keepdims=True), ((1 - kept) * r0) ** 2 / values, 0.0
        )
    return np.sqrt(square.sum(axis=-1)), ((kept * r0) ** 2).mean(axis=-1)


# One weight


class OneWeight(NamedTuple):
    """The loss of one neuron by its one weight, at K places.

    w, loss: (K,). bend: (K,), (L(w−h) − 2L(w) + L(w+h))/h² with h the distance of the places, NaN at both ends.
    down: (K,), whether it is negative: the loss lies above a chord there, which no convex function does.
    """

    w: Array
    loss: Array
    bend: Array
    down: Bools


class WeightLoss(NamedTuple):
    """A loss of one neuron's outputs (..., n, 1) and labels (n, 1), which → (...), and how it reads the output a."""

    name: str
    reads: str
    value: Callable[[Array, Array], Array]


@_quiet
def _of_probability(output: Array, target: Array) -> Array:
    """Return the mean of −log of the probability that the output gives the label; ∞ where that is 0."""
    missing = np.where(target == 1, output, 1 - output)
    return np.asarray((-np.log(missing)).mean(axis=(-2, -1)))


def weight_losses(activation: Activation) -> tuple[WeightLoss, WeightLoss]:
    """Return the squared error and the cross-entropy of a neuron's output.

    An activation between 0 and 1 gives a probability, any other a logit.
    """
    bounds = activation.range()
    share = bounds.low >= 0 and bounds.high <= 1
    return (
        WeightLoss("squared error", "(a − t)²", SQUARED_ERROR.value),
        WeightLoss("cross-entropy", "P(1) = a", _of_probability)
        if share
        else WeightLoss("cross-entropy", "P(1) = σ(a)", CROSS_ENTROPY.value),
    )


@_quiet
def one_weight(
    activation: Activation,
    loss: WeightLoss,
    x: ArrayLike,
    labels: ArrayLike,
    *,
    low: float,
    high: float,
    count: int = 241,
) -> OneWeight:
    """Return the loss of the neuron a = φ(w·x), averaged over samples, for many w.

    Args:
        activation: φ, at its default knobs.
        loss: one of ``weight_losses(activation)``.
        x, labels: (n,) each, labels 0 or 1.
        low, high: the smallest and the largest w.
        count: places, both ends included, 3 or more.

    Raises:
        ValueError: fewer than three places, or low is not below high.
    """
    if count < 3 or not low < high:
        raise ValueError(
            f"low = {low}, high = {high}, count = {count}: needs low < high and 3 or more places"
        )
    w = np.linspace(low, high, count)
    inputs, targets = np.asarray(x, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    value = loss.value(activation.f(w[:, None] * inputs)[..., None], targets[:, None])
    bend = np.full(count, np.nan)
    step = (high - low) / (count - 1)
    bend[1:-1] = (value[2:] - 2 * value[1:-1] + value[:-2]) / step**2
    return OneWeight(w, value, np.where(np.isfinite(bend), bend, np.nan), _above_chords(value))
