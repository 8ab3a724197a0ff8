"""What the app measures to judge the notes' sentences about optimizers, losses and moving averages, by their ids.

Small functions compute the numbers with ``core``, so that they can be tested by themselves; ``MEASURES`` puts
them into words at call time. Texts are set in Markdown within a directive: no unpaired brackets, no tildes, no
asterisks. Momentum is μ and its velocity PyTorch's, v ← μv + g with the step −lr·v.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charts.describe import numbers, percent
from charts.optimizers_base import suggested
from charts.topic import Measured
from core.activations import ACTIVATIONS
from core.averages import (
    INGREDIENTS,
    SERIES,
    Scatter,
    Windows,
    adam_ablation,
    constant_gradient_steps,
    days_until,
    ewma,
    held,
    measure_scatter,
    misplaced_bracket,
    misplaced_limit,
    momentum_weights,
    noise_share,
    weights,
    windows,
)
from core.basins import basins
from core.batch_gradients import (
    BatchErrors,
    Directions,
    batch_errors,
    batch_minimum,
    directions,
    samples_seen,
)
from core.datasets import DATASETS
from core.descent import Descent, SurfaceProblem, descend, steps_to
from core.escape import (
    WELLS,
    EscapeTheory,
    MomentumSweep,
    NoiseEscape,
    intervals,
    momentum_sweep,
    noise_escape,
    noise_escape_theory,
    share_in_shallow_well,
    wilson,
)
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import number
from core.landscape import (
    LazyRuns,
    SwappedUnits,
    bending_angles,
    curvature_map,
    lazy_runs,
    one_weight,
    swapped_units,
    weight_losses,
    width_runs,
)
from core.optimizers import OPTIMIZERS
from core.regression import Samples, linear_samples
from core.stochastic import MiniBatches
from core.streams import stream
from core.surfaces import SURFACES

Array = NDArray[np.floating[Any]]

_EXACT = 1e-12  # differences below are rounding
_BETA = 0.9  # of the notes' averages, and their λ of momentum, our μ
_GD, _MOMENTUM = OPTIMIZERS["GD"], OPTIMIZERS["Momentum"]
_TANH = ACTIVATIONS["tanh"]


def _floor(value: float) -> float:
    """Say no more of what is rounding than 1e-12, so that every machine says the same."""
    return max(1e-12, value)


# The numbers: surfaces


class Clipped(NamedTuple):
    """Gradient descent from the wall of the cliff, by what is clipped: nothing, the norm, or each coordinate."""

    norm: float  # of the first gradient
    first: tuple[float, ...]  # x after one step
    final: tuple[float, ...]  # loss above the minimum after 100 steps
    turned: float  # degrees by which clipping by value turns the first gradient


@keep(entries=1)
def clipped(threshold: float = 1.0) -> Clipped:
    """Start at the second of the surface's starts, with its rate."""
    surface = SURFACES["Plateau and cliff"]
    start, problem = surface.starts[1], SurfaceProblem(surface)
    rule = _GD.build(lr=surface.rate)
    runs = [
        descend(problem, rule, start, 100, clip_norm=norm, clip_value=value)
        for norm, value in ((None, None), (threshold, None), (None, threshold))
    ]
    raw, cut = runs[2].raw[0], runs[2].gradient[0]
    cosine = float(raw @ cut / (np.linalg.norm(raw) * np.linalg.norm(cut)))
    return Clipped(
        float(np.linalg.norm(raw)),
        tuple(float(run.path[1, 0]) for run in runs),
        tuple(float(run.value[-1]) for run in runs),
        math.degrees(math.acos(min(1.0, cosine))),
    )


class Plateau(NamedTuple):
    """A run from the plateau: its first gradient's length, and the steps to half and to 1% of the start's loss."""

    gradient: float
    half: int
    end: int


@keep(entries=4)
def plateau(optimizer: str) -> Plateau:
    """Start far out at the page's rate."""
    surface = SURFACES["Plateau and cliff"]
    rule = OPTIMIZERS[optimizer].build(lr=suggested(optimizer, surface))
    run = descend(SurfaceProblem(surface), rule, surface.starts[0], 400)
    half, end = (int(steps_to(run.value, share * run.value[0])) for share in (0.5, 0.01))
    return Plateau(float(np.linalg.norm(run.gradient[0])), half, end)


class Leaving(NamedTuple):
    """Steps until a run from one millionth off the ridge of the saddle is 1 off it, and in theory for GD."""

    steps: tuple[int, ...]
    theory: int


@keep(entries=1)
def leaving(optimizers: tuple[str, ...] = ("GD", "Momentum", "RMSProp", "Adam")) -> Leaving:
    """Start at (1, 1e-6) at the page's rates."""
    surface = SURFACES["Saddle"]
    start, rates = surface.starts[0], [suggested(name, surface) for name in optimizers]
    found = []
    for name, lr in zip(optimizers, rates, strict=True):
        run = descend(SurfaceProblem(surface), OPTIMIZERS[name].build(lr=lr), start, 200)
        found.append(int(steps_to(-np.abs(run.path[:, 1]), -1.0)))
    return Leaving(tuple(found), math.ceil(-math.log(start[1]) / math.log(1 + 2 * rates[0])))


class Convexity(NamedTuple):
    """Surfaces that nowhere bend down by their Hessians, and those above no chord at its middle."""

    by_hessian: frozenset[str]
    by_chords: frozenset[str]
    surfaces: int


@keep(entries=1)
def convexity(size: int = 24, chords: int = 1000) -> Convexity:
    """Look at every surface: at the centers of size × size cells, and at the middles of random chords of its window."""
    hessian, lines = set(), set()
    for place, (name, surface) in enumerate(SURFACES.items()):
        problem = SurfaceProblem(surface)
        if not curvature_map(problem, surface.window, size).negative.any():
            hessian.add(name)
        low, high = np.array(surface.window).reshape(2, 2).T
        ends = stream(0, place).uniform(low, high, (2, chords, 2))
        f = problem.f(np.concatenate([ends, ends.mean(axis=0, keepdims=True)]))
        if np.all(f[2] <= (f[0] + f[1]) / 2 + _EXACT * (1 + np.abs(f).max(axis=0))):
            lines.add(name)
    return Convexity(frozenset(hessian), frozenset(lines), len(SURFACES))


class Axes(NamedTuple):
    """Curvatures of a surface over its window: the least along the axes, the least in any direction, and how often."""

    along: float
    lowest: float
    share: float


def axes(name: str, size: int = 32) -> Axes:
    """Take the Hessian at the centers of size × size cells."""
    surface = SURFACES[name]
    problem = SurfaceProblem(surface)
    found = curvature_map(problem, surface.window, size)
    hessian = problem.hessian(np.stack(np.meshgrid(found.x, found.y), axis=-1))
    return Axes(float(hessian[..., [0, 1], [0, 1]].min()), float(found.lowest.min()), found.share)


def mixed(theta: float = 30.0) -> tuple[float, float]:
    """Return ∂²f/∂x∂y and the smaller eigenvalue of the quadratic bowl turned by θ degrees."""
    hessian = SurfaceProblem(SURFACES["Quadratic bowl"], {"theta": theta}).hessian(np.zeros(2))
    return float(hessian[0, 1]), float(np.linalg.eigvalsh(hessian)[0])


class Bends(NamedTuple):
    """The least second derivative of a neuron's loss by its weight: squared error, and cross-entropy."""

    squared: float
    cross_entropy: float


_INPUTS, _LABELS = (-2.0, -1.0, 0.5, 1.0, 2.0), (0, 0, 0, 1, 1)


def bends(activation: str) -> Bends:
    """Take five samples and weights from −6 to 6."""
    entry = ACTIVATIONS[activation]
    found = [
        one_weight(entry, loss, _INPUTS, _LABELS, low=-6, high=6, count=181) for loss in weight_losses(entry)
    ]
    return Bends(*(float(np.nanmin(each.bend)) for each in found))


# The numbers: small networks, set up as in the Landscape tab

_DATA = 2  # place of the stream of the data


@keep(entries=1)
def swapped() -> SwappedUnits:
    """Train a 2-4-1 tanh network on 40 points of two moons, and swap its units."""
    x, labels = DATASETS["moons"].draw(40, 0.1, stream(0, _DATA))
    return swapped_units(
        x, labels.astype(float), 4, activation=_TANH, initializer=INITIALIZERS["Glorot normal"], optimizer=OPTIMIZERS["Adam"],
        lr=0.05, steps=400, seed=0,
    )  # fmt: skip


_WIDTHS = (2, 4, 8, 16)
_SEEDS = 20


@keep(entries=8)
def final_losses(widths: tuple[int, ...], hidden: int) -> Array:
    """Return the losses of 20 ReLU networks of each width on 40 points of the spiral, 400 steps of Adam; (K, 20)."""
    x, labels = DATASETS["spiral"].draw(40, 0.0, stream(0, _DATA))
    return width_runs(
        x, labels.astype(float), widths, range(_SEEDS), hidden=hidden, activation=ACTIVATIONS["ReLU"],
        initializer=INITIALIZERS["Glorot normal"], optimizer=OPTIMIZERS["Adam"], lr=0.03, steps=400,
    ).loss  # fmt: skip


_LAZY_WIDTHS = (16, 64, 256)


@keep(entries=8)
def lazy(lr: float, steps: int, samples: int = 8) -> LazyRuns:
    """Fit points of two moons with gradient descent at the rate lr/width, ten seeds a width."""
    x, labels = DATASETS["moons"].draw(samples, 0.1, stream(0, _DATA))
    return lazy_runs(
        x, 2.0 * labels - 1, _LAZY_WIDTHS, range(10), activation=_TANH, initializer=INITIALIZERS["He normal"],
        optimizer=_GD, lr=lr, steps=steps,
    )  # fmt: skip


def _medians(values: Array) -> list[float]:
    return [float(v) for v in np.median(values, axis=1)]


# The numbers: batches

_LINE = SURFACES["Linear regression"]
_START = np.array(_LINE.starts[0])


def _line() -> Samples:
    assert _LINE.samples is not None
    return _LINE.samples


class Epochs(NamedTuple):
    """Steps an epoch by batch size, and how far the mean of an epoch's gradients is from the full one at most."""

    steps: tuple[int, ...]
    apart: float
    length: float  # of the full gradient


@keep(entries=1)
def epochs(sizes: tuple[int, ...] = (1, 8, 64)) -> Epochs:
    """Take the batches of one epoch at the start of linear regression."""
    found = [directions(_line(), _START, size, least=1) for size in sizes]
    return Epochs(
        tuple(len(f.batches) for f in found),
        max(float(np.abs(f.gradients.mean(axis=0) - f.mean).max()) for f in found),
        float(np.linalg.norm(found[0].mean)),
    )


class Aims(NamedTuple):
    """Single-sample steps at the start of linear regression: how many there are, go uphill, and away from the minimum."""

    samples: int
    uphill: int
    away: int
    angle: float  # degrees between the full step and the way to the minimum


@keep(entries=1)
def aims() -> Aims:
    """Compare each sample's −g with −g of all and with the way to the minimum."""
    found: Directions = directions(_line(), _START, 1)
    way = np.array(_LINE.minima[0].point) - _START
    cosine = float(-found.mean @ way / (np.linalg.norm(found.mean) * np.linalg.norm(way)))
    return Aims(
        len(found.gradients),
        int((~found.descends).sum()),
        int((-found.gradients @ way <= 0).sum()),
        math.degrees(math.acos(cosine)),
    )


@keep(entries=1)
def errors(draws: int = 1000) -> BatchErrors:
    """Draw batches of every size at the start of linear regression."""
    return batch_errors(_line(), _START, draws)


@lru_cache(maxsize=16)
def cost(count: int, batch_size: int, lr: float, seeds: int = 4, steps: int = 300) -> float:
    """Return the gradients of single samples up to 1% of the start's excess loss, the median over seeds; ∞ if never.

    Args:
        count: N samples of the line.
        batch_size: B, at most N.
        lr: learning rate of gradient descent.
        seeds: of the shuffling, 0 to seeds − 1.
        steps: at most so many.
    """
    samples = linear_samples(count)
    lowest = batch_minimum(samples, np.arange(count))
    assert lowest is not None
    best = float(samples.f(lowest))
    seen = []
    for seed in range(seeds):
        run = descend(MiniBatches(samples, batch_size, seed), _GD.build(lr=lr), _START, steps)
        arrived = int(steps_to(run.value - best, 0.01 * (run.value[0] - best)))
        seen.append(arrived * batch_size if arrived >= 0 else math.inf)
    return float(np.median(seen))


@lru_cache(maxsize=4)
def hovers(batch_size: int, lr: float = 0.05, steps: int = 1280) -> float:
    """Return the mean loss above the minimum in the second half of a run with mini-batches, four seeds."""
    run = samples_seen(
        _line(), _GD, batch_size, lr, _START, -(-steps * batch_size // len(_line().x)), range(4)
    )
    assert _LINE.infimum is not None
    return float(run.loss[len(run.loss) // 2 :].mean()) - _LINE.infimum


class Drawn(NamedTuple):
    """Two seeds of mini-batches: samples that their first batches share, and how far apart the runs are in the end."""

    shared: int
    visits: frozenset[int]  # how often an epoch takes a sample
    apart: float
    apart_full: float  # with all samples in every step


@keep(entries=1)
def drawn(batch_size: int = 8, steps: int = 40) -> Drawn:
    """Run gradient descent on linear regression with seeds 0 and 1."""

    def both(size: int) -> list[Array]:
        rule = _GD.build(lr=_LINE.rate / 2)
        return [descend(MiniBatches(_line(), size, s), rule, _START, steps).path[-1] for s in (0, 1)]

    first, second = (MiniBatches(_line(), batch_size, seed) for seed in (0, 1))
    taken = np.concatenate([first.indices(t) for t in range(first.steps_per_epoch)])
    a, b = both(batch_size)
    c, d = both(len(_line().x))
    return Drawn(
        len(np.intersect1d(first.indices(0), second.indices(0))),
        frozenset(np.bincount(taken, minlength=len(_line().x)).tolist()),
        float(np.linalg.norm(a - b)),
        float(np.linalg.norm(c - d)),
    )


# The numbers: wells

_WELL_STARTS = 401
_RUNS, _NOISY_STEPS = 500, 200
_SIGMAS = (0.0, 2.0, 3.0, 4.0, 6.0, 10.0)


def reached_line() -> float:
    """Return the share of 24 × 24 starts from which gradient descent reaches the minimum of linear regression."""
    found = basins(SurfaceProblem(_LINE), _GD.build(lr=_LINE.rate), _LINE.window, 24, 300, _LINE.minima)
    return float(np.mean(found.minimum == 0))


@lru_cache(maxsize=1)
def shallow_share() -> float:
    """Return the share of 401 starts from which gradient descent ends in the shallow one of two wells."""
    return share_in_shallow_well(WELLS.surface.rate, 500, _WELL_STARTS, _GD)


@lru_cache(maxsize=8)
def global_share(surface: str, momentum: float) -> float:
    """Return the share of 24 × 24 starts that end in a global minimum; the rate is the surface's, 400 steps."""
    entry = SURFACES[surface]
    rule = _MOMENTUM.build(lr=entry.rate, momentum=momentum)
    found = basins(SurfaceProblem(entry), rule, entry.window, 24, 400, entry.minima)
    best = [k for k, minimum in enumerate(entry.minima) if minimum.is_global]
    return float(np.isin(found.minimum, best).mean())


@keep(entries=2)
def carried(deep: bool) -> EscapeTheory:
    """Return the exact chances after 200 noisy steps of gradient descent from the bottom of one of two wells."""
    return noise_escape_theory(
        WELLS.surface.rate, _SIGMAS, WELLS.deep if deep else WELLS.shallow, _NOISY_STEPS
    )


@keep(entries=1)
def escaped() -> NoiseEscape:
    """Let 500 noisy runs start at the bottom of the shallow well."""
    start = (WELLS.shallow, 0.0)
    return noise_escape(_GD, WELLS.surface.rate, _SIGMAS, start, runs=_RUNS, steps=_NOISY_STEPS)


@keep(entries=1)
def rolled() -> MomentumSweep:
    """Descend Two wells from its start with every momentum from 0 to 0.99 in hundredths."""
    surface = WELLS.surface
    return momentum_sweep(_MOMENTUM, surface.rate, np.arange(100) / 100, surface.starts[0], 1500)


# The numbers: momentum, averages, Adam


class Heavy(NamedTuple):
    """A run with momentum on the quadratic bowl: how far its steps are from three other ways to compute them."""

    triangle: float  # minus lr times the gradient plus μ times the previous step
    notes: float  # v ← λv − η∇L, θ ← θ + v from the start on
    weighted: float  # minus lr times the gradients of the past, weighted by powers of μ
    moves: Array  # (steps, 2)
    gradients: Array  # (steps+1, 2)
    lr: float


@keep(entries=1)
def heavy(steps: int = 60) -> Heavy:
    """Run the heavy ball from the page's start at the page's rate, with the notes' 0.9."""
    surface = SURFACES["Quadratic bowl"]
    problem, lr = SurfaceProblem(surface), suggested("Momentum", surface)
    run: Descent = descend(problem, _MOMENTUM.build(lr=lr, momentum=_BETA), surface.starts[0], steps)
    moves = np.diff(run.path, axis=0)
    before = np.concatenate([np.zeros((1, 2)), moves[:-1]])
    theta, v, path = np.array(surface.starts[0]), np.zeros(2), []
    for _ in range(steps):
        v = _BETA * v - lr * problem.grad(theta)
        theta = theta + v
        path.append(theta)
    ages = momentum_weights(_BETA, steps)
    sums = np.array([ages[: t + 1] @ run.gradient[t::-1] for t in range(steps)])
    return Heavy(
        float(np.abs(moves - (_BETA * before - lr * run.gradient[:-1])).max()),
        float(np.abs(np.array(path) - run.path[1:]).max()),
        float(np.abs(moves + lr * sums).max()),
        moves,
        run.gradient,
        lr,
    )


class Squares(NamedTuple):
    """RMSProp on the quadratic bowl: its average of squares against the formula, and what is remembered."""

    apart: float  # largest relative difference
    recent: tuple[float, ...]  # share of weight that the last ten steps hold, by α


def squares(alphas: tuple[float, ...] = (0.9, 0.99), steps: int = 60) -> Squares:
    """Run RMSProp and average g² again by the moving average."""
    surface = SURFACES["Quadratic bowl"]
    rule = OPTIMIZERS["RMSProp"].build(lr=suggested("RMSProp", surface), rho=alphas[-1])
    run = descend(SurfaceProblem(surface), rule, surface.starts[0], steps, keep_state=True)
    again = ewma(run.gradient[:-1] ** 2, alphas[-1])
    return Squares(
        float(np.abs(run.state.square_average[1:] / again - 1).max()),
        tuple(float(held(alpha, 10)) for alpha in alphas),
    )


class Recursion(NamedTuple):
    """A noisy series about 10: its average after 100 days, and how far that is from the sum with weights."""

    average: float
    apart: float


def recursion(days: int = 100) -> Recursion:
    """Average 10 plus normal noise of standard deviation 2."""
    x = SERIES["constant"].draw(days, noise=2.0, rng=stream(0, 0))
    average = float(ewma(x, _BETA)[-1])
    return Recursion(average, abs(average - float(weights(_BETA, days) @ x[::-1])))


@keep(entries=2)
def scatter(window: int) -> Scatter:
    """Measure the scatter of the average and of a plain mean, 2,000 series of 150 days."""
    return measure_scatter(_BETA, 150, window, series=2000, seed=0)


_BETA2 = 0.999  # of Adam, PyTorch's default
_TIMES = (1, 10, 1000)


def step_lengths(name: str, times: Sequence[int] = _TIMES) -> list[float]:
    """Return how long the steps t are, in units of lr, if every gradient is 1; an entry of ``INGREDIENTS``."""
    steps = constant_gradient_steps(INGREDIENTS[name], max(times), beta1=_BETA, beta2=_BETA2)
    return [float(steps[t - 1]) for t in times]


@keep(entries=1)
def ablation(steps: int = 60) -> Mapping[str, float]:
    """Return the loss on the quadratic bowl after 60 steps by ingredients, the scaled ones at Adam's rate."""
    surface = SURFACES["Quadratic bowl"]
    runs = adam_ablation(
        SurfaceProblem(surface), surface.starts[0], steps, rate=surface.rate, lr=suggested("Adam", surface), beta1=_BETA,
        beta2=_BETA2, eps=1e-8,
    )  # fmt: skip
    return {name: float(run.value[-1]) for name, run in runs.items()}


# What they say


def _degrees(value: float) -> str:
    return f"{number(value)}°"


def _point(values: Sequence[float]) -> str:
    return f"({', '.join(number(float(v)) for v in values)})"


def _clips() -> Measured:
    found = clipped()
    return Measured(
        found.final[1] < 1e-3 < 1 < found.final[0],
        f"On the wall of the cliff the gradient is {number(found.norm)} long. Gradient descent steps from x = "
        f"{number(SURFACES['Plateau and cliff'].starts[1][0])} to x = {number(found.first[0])}, far out on the plateau, and is "
        f"{number(found.final[0])} above the minimum after 100 steps; with gradients clipped to norm 1 it steps to x = "
        f"{number(found.first[1])} and is {_tiny(found.final[1])} above it. Clipped coordinate by coordinate, the first gradient "
        f"turns by {_degrees(found.turned)}.",
    )


def _tiny(value: float) -> str:
    """Write a loss that has all but vanished without its random digits."""
    return "less than 1e−12" if 0 <= value < 1e-12 else number(value)


def _monotone() -> Measured:
    names = ("sigmoid", "tanh", "softplus", "identity")
    found = {name: bends(name) for name in names}
    return Measured(
        all(f.squared >= 0 for f in found.values()),
        f"One weight from −6 to 6, five samples, monotone activations {', '.join(names)}: the least second derivative of the "
        f"squared error is {numbers([f.squared for f in found.values()])}. With cross-entropy it is "
        f"{number(found['sigmoid'].cross_entropy)} for sigmoid.",
    )


def _every_line() -> Measured:
    found = convexity()
    both = found.by_hessian & found.by_chords
    return Measured(
        found.by_hessian == found.by_chords,
        f"Of the {found.surfaces} surfaces of this page {len(found.by_hessian)} bend down in no direction at any of 24 × 24 "
        f"points. At the middles of 1,000 random chords {len(found.by_chords)} are never above the mean of the ends, {len(both)} "
        "of them the same.",
    )


def _one_direction() -> Measured:
    found = swapped()
    low, _ = np.linalg.eigvalsh(SurfaceProblem(SURFACES["Two-weight net"]).hessian(np.zeros(2)))
    return Measured(
        bool(np.all(found.barrier > 0) and low < 0),
        f"A 2-4-1 tanh network trained on two moons has the loss {number(found.end)}, and the same with two hidden units "
        f"swapped. On the straight way between the two it rises above its ends for all {len(found.pair)} pairs of units, by "
        f"{number(float(found.barrier.min()))} to {number(float(found.barrier.max()))}. The two-weight net bends by "
        f"{number(float(low))} along one direction at the origin.",
    )


def _moves_little() -> Measured:
    few, many, long = lazy(0.5, 100), lazy(0.5, 100, 16), lazy(0.5, 200)
    kept = [end / start for start, end in zip(_medians(few.start), _medians(few.loss), strict=True)]
    return Measured(
        max(_medians(few.moved)) < 0.1 and min(kept) > 0.5,
        f"Tanh networks of {_widths(_LAZY_WIDTHS)} units fit 8 points with 100 steps of gradient descent at rate 0.5/width: "
        f"their parameters move by {_shares(few.moved)} of their length, on 16 points by {_shares(many.moved)}, in 200 steps "
        f"by {_shares(long.moved)}. On the 8 points {', '.join(percent(k, 2) for k in kept)} of the squared error is left "
        "after 100 steps. Medians of ten seeds.",
    )


def _widths(widths: Sequence[int]) -> str:
    return f"{', '.join(map(str, widths[:-1]))} and {widths[-1]}"


def _shares(moved: Array) -> str:
    return ", ".join(percent(v, 2) for v in _medians(moved))


def _rate_and_width() -> Measured:
    fast, slow, few = lazy(0.5, 100), lazy(0.25, 200), lazy(0.5, 10)
    return Measured(
        None,
        f"Widths {_widths(_LAZY_WIDTHS)}, 8 points: 100 steps at rate 0.5/width move the parameters by {_shares(fast.moved)} of "
        f"their length, 200 steps at half that rate by {_shares(slow.moved)}, 10 steps by {_shares(few.moved)}. After the 100 "
        f"steps the squared error is {numbers(_medians(fast.loss), 2)}, from {numbers(_medians(fast.start), 2)} at the start. "
        "Medians of ten seeds.",
    )


def _slow_plateau() -> Measured:
    gd, adam = plateau("GD"), plateau("Adam")
    return Measured(
        gd.half > gd.end / 2 > adam.end,
        f"Far out on the plateau the gradient is {number(gd.gradient)} long. Gradient descent takes {gd.half} steps to halve "
        f"the loss, and {gd.end - gd.half} more to 1% of it. Adam, whose steps do not shrink with the gradient, takes "
        f"{adam.half} and {adam.end - adam.half}.",
    )


def _average_formula() -> Measured:
    found = recursion()
    return Measured(
        found.apart < _EXACT,
        f"With β = 0.9 a series about 10 with noise of standard deviation 2 has the average {number(found.average)} after 100 "
        f"days. The sum with the weights (1 − β)·β to the power of the age gives the same, to {number(_floor(found.apart), 1)}, "
        f"and the average scatters by {number(float(noise_share(_BETA, 100)))} of what one day does.",
    )


def _how_many_days() -> Measured:
    found, longer = windows(_BETA), windows(0.99)
    share = [float(held(b, w.nominal)) for b, w in ((_BETA, found), (0.99, longer))]
    return Measured(
        abs(found.equal_noise - found.nominal) < 1,
        f"With β = 0.9 that is {number(found.nominal)} days, which hold {percent(share[0])} of the weight; with 0.99 it is "
        f"{number(longer.nominal)}, which hold {percent(share[1])}, and 1 − 1/e is {percent(1 - 1 / math.e)}. Half the weight "
        f"of β = 0.9 lies in the last {number(found.half_life)} days, the mean age is {number(found.mean_age)}, and a plain "
        f"mean over {number(found.equal_noise)} scatters as little.",
    )


def _bias() -> Measured:
    level = SERIES["constant"].level(np.arange(1, 51))
    raw, corrected = ewma(level, _BETA), ewma(level, _BETA, corrected=True)
    off = float(np.abs(corrected - level).max())
    return Measured(
        bool(off < _EXACT * 10 and raw[0] < level[0]),
        f"A constant 10 has the averages {numbers(raw[[0, 1, 9]].tolist())} on days 1, 2 and 10 with β = 0.9. Corrected they are "
        f"10, to {number(_floor(off), 1)}. Day {days_until(_BETA, 0.01)} is the first on which less than 1% is missing.",
    )


def _three_kinds() -> Measured:
    found = epochs()
    return Measured(
        found.apart < _EXACT * 100,
        f"Linear regression on 64 samples with 1, 8 and 64 of them in a step: an epoch has {_counts(found.steps)} steps. The "
        f"mean of an epoch's gradients is the full gradient for all three, to {number(_floor(found.apart), 1)}; that is "
        f"{number(found.length)} long, and those of single steps scatter about it by {numbers(_scatter(1, 8, 64))}, rms in "
        "theory.",
    )


def _scatter(*sizes: int) -> list[float]:
    return [float(errors().rms_theory[0, size - 1]) for size in sizes]


def _counts(values: Sequence[int]) -> str:
    return f"{', '.join(f'{n:,}' for n in values[:-1])} and {values[-1]:,}"


def _all_samples() -> Measured:
    line, shallow = reached_line(), shallow_share()
    return Measured(
        line == 1 and shallow == 0,
        f"Linear regression is convex, and gradient descent with all samples reaches its minimum from {percent(line)} of 576 "
        f"starts. On two wells it ends in the shallow one from {percent(shallow)} of {_WELL_STARTS} starts.",
    )


def _many_samples() -> Measured:
    counts = (64, 512, 4096)
    full = [cost(n, n, 0.1, seeds=1, steps=100) for n in counts]
    small = [cost(n, 8, 0.1, steps=150) for n in counts]
    return Measured(
        full[-1] > 20 * small[-1],
        f"A line is fitted to {_counts(counts)} samples with rate 0.1. To 1% of the excess loss of the start batch gradient "
        f"descent computes {_large(full)} gradients of single samples, mini-batches of 8 {_large(small)}, median of four seeds.",
    )


def _large(values: Sequence[float]) -> str:
    return _counts([round(v) for v in values])


def _not_all() -> Measured:
    n = 4096
    one, full = cost(n, 1, 0.05), cost(n, n, 0.05, seeds=1)
    return Measured(
        one < n,
        f"With {n:,} samples and rate 0.05, one random sample a step brings the loss to 1% of the excess of the start after "
        f"{number(one)} samples, {percent(one / n, 2)} of them, median of four seeds. All samples a step take {round(full / n)} "
        f"passes over all of them.",
    )


def _carried_off() -> Measured:
    out, back = carried(False), carried(True)
    return Measured(
        bool(np.all(back.shallow[1:] > out.deep[1:])),
        f"Two wells, rate 0.1, 200 steps with normal noise of σ = {numbers(_SIGMAS)} in the gradient. From the bottom of the "
        f"shallow well the chance to end in the deep one is {_chances(out.deep)}, and from the bottom of the deep well the "
        f"chance to end in the shallow one {_chances(back.shallow)}.",
    )


def _chances(values: Array) -> str:
    return ", ".join(percent(round(float(v), 4), 2) for v in values)


def _aims() -> Measured:
    found = aims()
    return Measured(
        found.away > 0,
        f"Of the {found.samples} steps on one sample at the start of linear regression, {found.away} lead away from the minimum "
        f"and {found.uphill} uphill. The full step does not point at the minimum either: it is {_degrees(found.angle)} off.",
    )


_SIZES = (1, 8, 32, 64)


def _balance() -> Measured:
    found = errors()
    at = [size - 1 for size in _SIZES]
    rms, theory = found.rms[0, at], found.rms_theory[0, at]
    return Measured(
        bool(np.all(np.diff(rms) < 0)),
        f"Batches of {_counts(_SIZES)} of 64 samples cost as many gradients and are off the full one by {numbers(rms)}, rms over "
        f"1,000 draws without replacement; in theory {numbers(theory)}. The cost rises with the size, the error falls with its "
        "root until the samples run out.",
    )


def _random_batches() -> Measured:
    found = drawn()
    return Measured(
        found.visits == {1} and found.apart > 0 and found.apart_full == 0,
        f"Batches of 8 of 64 samples: the first of seeds 0 and 1 share {found.shared} samples, and an epoch takes each sample "
        f"once. After 40 steps the two runs are {number(found.apart)} apart; with all samples in every step "
        f"{number(found.apart_full)}.",
    )


def _better_minima() -> Measured:
    found = final_losses(_WIDTHS, 2)
    medians, worst = np.median(found, axis=1), found.max(axis=1)
    return Measured(
        bool(np.all(np.diff(medians) < 0)),
        f"ReLU networks with two hidden layers of {_counts(_WIDTHS)} units on a spiral, {_SEEDS} seeds, 400 steps of Adam: the "
        f"median loss is {numbers(medians)}, the largest {numbers(worst)}. By the order of the units of both layers a minimum "
        f"has {_copies(_WIDTHS[0])} equal copies at width {_WIDTHS[0]} and {_copies(_WIDTHS[2])} at {_WIDTHS[2]}.",
    )


def _copies(units: int) -> str:
    return f"{math.factorial(units) ** 2:,}"


def _saddles() -> Measured:
    found, units = leaving(), swapped()
    low, high = np.linalg.eigvalsh(SurfaceProblem(SURFACES["Two-weight net"]).hessian(np.zeros(2)))
    return Measured(
        found.steps[0] > 5 * found.steps[-1] and bool(low < 0 < high and np.all(units.barrier > 0)),
        f"The two-weight net, the smallest of two layers, has a saddle at the origin, where it bends by {number(float(low))} "
        f"and {number(float(high))}. A minimum of a 2-4-1 tanh network on two moons has {math.factorial(4)} equal copies by the "
        f"order of its units; on the straight way to each of the {len(units.pair)} with two units swapped the loss rises. From "
        f"one millionth off the ridge of x² − y² gradient descent needs {found.steps[0]} steps to get 1 away, in theory "
        f"{found.theory}, Momentum {found.steps[1]}, RMSProp {found.steps[2]} and Adam {found.steps[3]}.",
    )


def _mean_of_squares() -> Measured:
    found = squares()
    return Measured(
        found.apart < _EXACT * 100,
        f"Over 60 steps on the quadratic bowl RMSProp's state is that average of g², to {number(_floor(found.apart), 1)} of it. "
        f"With α = 0.9 the last ten steps hold {percent(found.recent[0])} of the weight, with 0.99 {percent(found.recent[1])}.",
    )


def _window() -> str:
    found = rolled()
    spans = intervals(found.deep, found.momentum)
    return " and ".join(f"from {number(a)} to {number(b)}" for a, b in spans) if spans else "at no μ"


def _ball() -> Measured:
    found = rolled()
    last = "stays there" if found.deep[-1] else "comes back" if found.passed[-1] else "does not get there"
    return Measured(
        bool(not found.deep[0] and found.deep[found.momentum >= _BETA].all()),
        f"On two wells from {_point(WELLS.surface.starts[0])} with rate {number(WELLS.surface.rate)} gradient descent ends in "
        f"the {_well(found.deep[0])} well. With momentum the run ends in the deep one for μ {_window()}; with "
        f"{number(float(found.momentum[-1]))}, the largest tried, it {last}.",
    )


def _well(deep: bool | np.bool_) -> str:
    return "deep" if deep else "shallow"


def _triangle() -> Measured:
    found = heavy()
    return Measured(
        found.triangle < _EXACT,
        f"In 60 steps with μ = 0.9 on the quadratic bowl every step is −lr times the gradient plus μ times the previous step, to "
        f"{number(_floor(found.triangle), 1)}. The second is {_point(-found.lr * found.gradients[1])} plus "
        f"{_point(_BETA * found.moves[0])}, which is {_point(found.moves[1])}.",
    )


def _first_move() -> Measured:
    found = heavy()
    return Measured(
        found.notes < _EXACT,
        f"At the start of the quadratic bowl the gradient is {_point(found.gradients[0])}, and with η = {number(found.lr)} the "
        f"first move is {_point(found.moves[0])}. The notes' recursion and PyTorch's, which keeps the velocity without the rate, "
        f"agree over 60 steps to {number(_floor(found.notes), 1)}; they would not if the rate changed on the way.",
    )


def _past_gradients() -> Measured:
    found, ages = heavy(), momentum_weights(_BETA, 60)
    return Measured(
        found.weighted < _EXACT,
        f"Over 60 steps with μ = 0.9 the velocity is the sum of the gradients so far, each times μ to the power of its age, to "
        f"{number(_floor(found.weighted), 1)}. The weights sum to {number(float(ages.sum()), 4)} after 60 steps and to "
        f"{number(1 / (1 - _BETA))} in the long run; those of the last ten gradients are "
        f"{percent(float(ages[:10].sum() / ages.sum()))} of it.",
    )


_BOTH, _CORRECTED, _OWN = "both", "both, corrected", "RMSProp with momentum"


def _sum_of_two() -> Measured:
    found = ablation()
    adam, raw, own = (step_lengths(name) for name in (_CORRECTED, _BOTH, _OWN))
    return Measured(
        abs(own[-1] - adam[-1]) < 0.01,
        f"Where every gradient is the same, steps 1, 10 and 1,000 are {numbers(adam)} lr long with Adam, {numbers(raw)} "
        f"without its correction, and {numbers(own)} with RMSProp's own momentum. On the quadratic bowl at Adam's rate their "
        f"losses after 60 steps are {numbers([found[name] for name in (_CORRECTED, _BOTH, _OWN)])}.",
    )


def _corrected() -> Measured:
    raw, adam = step_lengths(_BOTH), step_lengths(_CORRECTED)
    times = range(1, 61)
    lengths = step_lengths(_BOTH, times)
    longest = int(np.argmax(lengths))
    return Measured(
        abs(raw[0] - adam[0]) < 0.01,
        f"With β₁ = 0.9, β₂ = 0.999 and equal gradients steps 1, 10 and 1,000 are {numbers(raw)} lr long without correction, and "
        f"{numbers(adam)} with it. The longest is step {times[longest]} with {number(lengths[longest])} lr.",
    )


def _along_axes() -> Measured:
    net, (cross, low) = axes("Two-weight net"), mixed()
    return Measured(
        abs(cross) < _EXACT and net.lowest >= 0,
        f"The quadratic bowl turned by 30° is convex, its smaller curvature is {number(low)}, but ∂²f/∂x∂y is {number(cross)}: "
        "no sum of a function of x and one of y. The two-weight net is convex along both axes, its second derivatives are at "
        f"least {number(net.along)} at 32 × 32 points, but in {percent(net.share)} of the window some direction bends down, by "
        f"up to {number(-net.lowest)}.",
    )


def _any_direction() -> Measured:
    wells, surface = axes("Two wells"), WELLS.surface
    angles = bending_angles(surface.hessian(np.array([WELLS.barrier, 0.0])))
    wide = 0.0 if angles is None else angles[1] - angles[0]
    return Measured(
        wells.share == 1 and wide == 180,
        f"On two wells some direction bends down in {percent(wells.share)} of the window. At the pass between the wells those "
        f"are {_degrees(wide)} of 180°; along y the curvature is 1 everywhere.",
    )


def _misplaced() -> Measured:
    x = SERIES["constant"].level(np.arange(1, 201))
    wrong, right = misplaced_bracket(x, _BETA), ewma(x, _BETA)
    return Measured(
        bool(abs(wrong[-1] - x[-1]) < 0.01),
        f"With β = 0.9 and a constant {number(float(x[-1]))} the notes' formula is at {number(float(wrong[19]))} after 20 days "
        f"and tends to {number(float(misplaced_limit(x[-1], _BETA)))}; with the bracket in its place it is at "
        f"{number(float(right[19]))} and tends to {number(float(right[-1]))}.",
    )


def _plain_mean() -> Measured:
    found: Windows = windows(_BETA)
    ten, nineteen = scatter(round(found.nominal)), scatter(round(found.equal_noise))
    average = float(ten.raw[-1])
    return Measured(
        abs(average - float(ten.simple[-1])) < 0.02,
        f"Over 2,000 series of noise of standard deviation 1 the average with β = 0.9 scatters by {number(average)}, in theory "
        f"{number(float(noise_share(_BETA, 150)))}; a mean over {number(found.nominal)} days by {number(float(ten.simple[-1]))} "
        f"and one over {number(found.equal_noise)} by {number(float(nineteen.simple[-1]))}. Days older than "
        f"{number(found.nominal)} have {percent(1 - float(held(_BETA, found.nominal)))} of its weight.",
    )


def _start_decides() -> Measured:
    shallow, best = shallow_share(), global_share("Styblinski–Tang", 0.0)
    return Measured(
        shallow == 0 and best == 1,
        f"Of {_WELL_STARTS} starts spread over two wells gradient descent takes {percent(shallow)} to the shallow one. On the "
        f"function of Styblinski and Tang, with four minima, it takes {percent(best)} of 576 starts to the global one.",
    )


def _noise_helps() -> Measured:
    found, exact = escaped(), carried(False).deep
    low, high = wilson(found.deep, found.runs)
    inside = int(((low <= exact) & (exact <= high)).sum())
    best = int(np.argmax(found.deep))
    return Measured(
        best == 0,
        f"Of {_RUNS} runs from the bottom of the shallow well {_chances(found.deep / found.runs)} are in the deep one after "
        f"{_NOISY_STEPS} steps with noise σ = {numbers(_SIGMAS)}, most with {number(_SIGMAS[best])}; exactly {_chances(exact)}. "
        f"Of the {len(_SIGMAS)} exact chances {inside} lie within the runs' 95% intervals.",
    )


def _unbiased() -> Measured:
    found, spread, single = errors(), epochs(), aims()
    downhill = [1 - single.uphill / single.samples, *found.descent[0, [7, 31]]]
    return Measured(
        None,
        f"At the start of linear regression the mean of the 64 single gradients is the full one, to "
        f"{number(_floor(spread.apart), 1)}. Of the 64 steps on one sample {percent(downhill[0])} go downhill, of 1,000 on 8 and "
        f"on 32 samples {percent(downhill[1])} and {percent(downhill[2])}; their gradients are off by "
        f"{numbers(_scatter(1, 8, 32))} rms in theory, beside a full one {number(spread.length)} long.",
    )


def _one_or_many() -> Measured:
    sizes, found = (1, 8), epochs()
    return Measured(
        None,
        f"At rate 0.05 on linear regression, after the same number of steps, one sample a step hovers {number(hovers(sizes[0]))} "
        f"above the minimum and 8 a step {number(hovers(sizes[1]))}, mean of four seeds. An epoch is {found.steps[0]} and "
        f"{found.steps[1]} steps, and the gradients of steps at the start scatter by {numbers(_scatter(*sizes))} in theory.",
    )


def _depth_alone() -> Measured:
    layers, wide = (1, 2, 3), _WIDTHS[-1]
    narrow = [float(np.median(final_losses((2,), hidden))) for hidden in layers]
    one = final_losses((wide,), 1)
    return Measured(
        narrow[-1] < 0.1,
        f"On the spiral ReLU networks with {_counts(layers)} hidden layers of two units end at median losses of "
        f"{numbers(narrow)}, {_SEEDS} seeds, 400 steps of Adam; log 2 is {number(math.log(2))}. One layer of {wide} units ends "
        f"at {number(float(np.median(one)))}, and the worst of these networks at {number(float(one.max()))}.",
    )


def _odds() -> Measured:
    by = (0.0, 0.9, 0.95)
    wells, tang = ([global_share(name, mu) for mu in by] for name in ("Two wells", "Styblinski–Tang"))
    return Measured(
        wells[1] == 1 and tang[1] == 1,
        f"Of 576 starts over two wells {_chances(np.array(wells))} end in the deep one with μ = {numbers(by)}, and of those over "
        f"the four minima of Styblinski and Tang's function {_chances(np.array(tang))} in the global one, at the rate that "
        f"suits gradient descent. On two wells from {_point(WELLS.surface.starts[0])} the window of μ is {_window()}.",
    )


def _misprint() -> Measured:
    found = heavy()
    first, second = found.gradients[0], found.gradients[1]
    by_sum = -_BETA * found.lr * first - found.lr * second
    apart = float(np.abs(by_sum - found.moves[1]).max())
    printed, right = -found.lr * second, found.moves[0]
    return Measured(
        bool(np.abs(printed - right).max() < _EXACT),
        f"On the quadratic bowl with λ = 0.9 and η = {number(found.lr)} the second move is {_point(found.moves[1])}, by the "
        f"recursion and by the sum, to {number(_floor(apart), 1)}. The first is {_point(right)}; with the gradient at θ₁, as "
        f"printed, it would be {_point(printed)}, and θ₁ would have to be known before.",
    )


MEASURES: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {
        "S6": _clips,
        "S16": _monotone,
        "S99": _every_line,
        "S100": _one_direction,
        "S105": _moves_little,
        "S109": _slow_plateau,
        "S148": _average_formula,
        "S149": _how_many_days,
        "S150": _bias,
        "S151": _three_kinds,
        "S152": _all_samples,
        "S153": _many_samples,
        "S154": _not_all,
        "S155": _carried_off,
        "S156": _aims,
        "S157": _balance,
        "S158": _random_batches,
        "S214": _better_minima,
        "S260": _saddles,
        "S309": _mean_of_squares,
        "S310": _ball,
        "S311": _triangle,
        "S312": _first_move,
        "S313": _past_gradients,
        "S314": _sum_of_two,
        "E44": _along_axes,
        "E45": _any_direction,
        "E47": _rate_and_width,
        "E67": _misplaced,
        "E68": _plain_mean,
        "E69": _start_decides,
        "E70": _noise_helps,
        "E71": _unbiased,
        "E72": _one_or_many,
        "E110": _depth_alone,
        "E161": _odds,
        "E162": _misprint,
        "E163": _corrected,
    }
)
