"""What the app measures to judge the notes' sentences about activations, by the id of the sentence.

Small functions compute the numbers with ``core``, so that they can be tested by themselves; ``MEASURES`` puts
them into words at the first call and keeps them. Texts are set in Markdown within a directive: no unpaired brackets,
no tildes.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from charts.activation_training import default_runs
from charts.describe import numbers
from charts.topic import Measured
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import number
from core.moments import sample_moments, signal_moments
from core.network import (
    CROSS_ENTROPY,
    SQUARED_ERROR,
    backward,
    forward,
    init_network,
    learning_rate_sweep,
)
from core.propagation import pooled_rms, propagate, propagate_theory
from core.properties import flat_regions, max_difference, properties, second_derivative
from core.special import Array, erf, normal_cdf, normal_pdf
from core.streams import stream
from core.vector_activations import VECTOR_ACTIVATIONS, parabola_pieces

GRID: Array = np.linspace(-12.0, 12.0, 4801)
_STEP = 1e-5  # of centered differences
_EXACT = 1e-12  # differences below are rounding


# The numbers


def value(name: str, z: float, **knobs: float) -> float:
    """Return φ(z) of one activation."""
    return float(ACTIVATIONS[name].f(z, **knobs))


def slope(name: str, z: float, **knobs: float) -> float:
    """Return φ′(z) of one activation."""
    return float(ACTIVATIONS[name].df(z, **knobs))


def differences(f: Callable[[Array], Array], z: Array, h: float = _STEP) -> Array:
    """Return the slope of f at z by centered differences, (...) → (...)."""
    return np.asarray((f(z + h) - f(z - h)) / (2 * h))


def largest(gap: Array) -> float:
    """Return the largest absolute value."""
    return float(np.max(np.abs(gap)))


def emphasizers() -> tuple[str, ...]:
    """Name the activations that enlarge every z from 2 to 6 and shrink every one from 0.01 to ½, in size."""
    big, small = np.linspace(2, 6, 201), np.linspace(0.01, 0.5, 50)
    return tuple(
        name
        for name, entry in ACTIVATIONS.items()
        if np.all(np.abs(entry.f(big)) > big) and np.all(np.abs(entry.f(small)) < small)
    )


def one_sided_slopes(name: str, z: float = 0.0, h: float = 1e-7) -> tuple[float, float]:
    """Return the difference quotients of φ at z from the left and from the right."""
    left, here, right = (value(name, z + side * h) for side in (-1, 0, 1))
    return (here - left) / h, (right - here) / h


def weight_gradients(names: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return the rms of dL/dW¹ in a 2-8-1 network by activation, and how many of its z are at ReLU's kink."""
    points, labels = DATASETS["moons"].draw(64, 0.05, stream(0))
    params = init_network((2, 8, 1), INITIALIZERS["Glorot normal"], seed=0)
    found, hits = {}, 0
    for name in names:
        entry = ACTIVATIONS[name]
        run = forward(params, points, entry)
        back = backward(
            params, run, CROSS_ENTROPY.gradient(run.output, labels[:, None].astype(np.float64)), entry
        )
        found[name] = float(np.sqrt(np.mean(back.gradient.weights[0] ** 2)))
        hits = int(np.sum(run.pre[0] == 0))  # the first layer's z are the same for all
    return found, hits


def slopes_at(name: str, places: Sequence[float]) -> list[float]:
    """Return φ′ at several z."""
    return [float(s) for s in ACTIVATIONS[name].df(np.array(places))]


def squares_from(start: float, times: int) -> tuple[float, int]:
    """Square a number above 1 repeatedly: return the result after ``times``, and the first time that overflows."""
    result, z, count = start, start, 0
    with np.errstate(over="ignore"):
        while math.isfinite(z):
            z, count = float(ACTIVATIONS["squared ReLU"].f(z)), count + 1
            if count == times:
                result = z
    return result, count


def iterated(name: str, start: float, times: int) -> float:
    """Return φ(φ(… φ(start))), ``times`` times."""
    z = start
    for _ in range(times):
        z = value(name, z)
    return z


def monotone_slopes() -> tuple[str, ...]:
    """Name the activations whose slope never decreases on the grid."""
    return tuple(name for name, entry in ACTIVATIONS.items() if np.all(np.diff(entry.df(GRID)) >= -_EXACT))


class Bowl(NamedTuple):
    """Second derivatives in w of two losses of σ(w) with target 0, by formula and by differences, all (n,)."""

    squared: Array
    cross_entropy: Array
    squared_measured: Array
    cross_entropy_measured: Array


def bowls(w: Array, h: float = 1e-4) -> Bowl:
    """Bend σ(w)² and −log(1 − σ(w)): 2s²(1−s)(2−3s) and s(1−s) with s = σ(w)."""
    s = ACTIVATIONS["sigmoid"].f(w)

    def bend(loss: Callable[[Array], Array]) -> Array:
        return np.asarray((loss(w + h) - 2 * loss(w) + loss(w - h)) / h**2)

    return Bowl(
        2 * s**2 * (1 - s) * (2 - 3 * s),
        s * (1 - s),
        bend(lambda v: ACTIVATIONS["sigmoid"].f(v) ** 2),
        bend(ACTIVATIONS["softplus"].f),
    )


class Fit(NamedTuple):
    """A negative-side slope that was learned: where it started, its end, and the least-squares solution."""

    start: float
    learned: float
    best: float


@keep(entries=1)
def learned_slope(target: float = 0.1, steps: int = 60, lr: float = 0.5) -> Fit:
    """Fit PReLU's slope to 200 noisy values of a leaky ReLU by gradient descent on the squared error."""
    rng = stream(0)
    z = rng.standard_normal(200)
    wanted = ACTIVATIONS["leaky ReLU"].f(z, slope=target) + 0.05 * rng.standard_normal(200)
    start = a = float(next(k.default for k in ACTIVATIONS["PReLU"].knobs))  # type: ignore[arg-type]
    below = np.minimum(z, 0)  # dφ/da
    for _ in range(steps):
        a -= lr * float(np.mean(2 * (ACTIVATIONS["PReLU"].f(z, slope=a) - wanted) * below))
    return Fit(start, a, float(np.sum(below * wanted) / np.sum(below**2)))


def spiral_losses(names: Sequence[str]) -> tuple[dict[str, float], int]:
    """Return what the Train tab shows as it opens: the losses at the end by function, and the epochs."""
    runs = default_runs(names)
    return {name: float(run.loss[-1]) for name, run in runs.items()}, int(runs[names[0]].step[-1])


class Stability(NamedTuple):
    """Median loss at the smallest rate, and the smallest rate at which most of the runs fail (∞ if at none)."""

    loss: float
    fails_from: float


_RATES = (0.03, 0.1, 0.3, 0.6, 1.0)


def _moons() -> tuple[Array, Array]:
    points, labels = DATASETS["moons"].draw(64, 0.1, stream(0))
    return points, labels.astype(np.float64)


def _regression() -> tuple[Array, Array]:
    """64 standard normal points in six dimensions; the target is x₁x₂ plus the other four."""
    x = stream(0).standard_normal((64, 6))
    return x, x[:, 0] * x[:, 1] + x[:, 2:].sum(axis=1)


_PROBLEMS: Mapping[str, Callable[[], tuple[Array, Array]]] = {"moons": _moons, "regression": _regression}


@keep(entries=4)
def stability(name: str, problem: str) -> Stability:
    """Train n-16-16-1 networks 60 steps at five rates, three seeds each; one fails if its loss is not halved."""
    points, targets = _PROBLEMS[problem]()
    sweep = learning_rate_sweep(
        points,
        targets,
        activation=ACTIVATIONS[name],
        initializer=INITIALIZERS["Glorot normal"],
        lrs=_RATES,
        sizes=(points.shape[1], 16, 16, 1),
        steps=60,
        loss=SQUARED_ERROR,
    )
    failed = np.mean(~(sweep.loss < sweep.start_loss / 2), axis=1) > 0.5  # a NaN has failed as well
    first = float(sweep.lr[np.argmax(failed)]) if failed.any() else math.inf
    return Stability(float(np.median(sweep.loss[0])), first)


class Depth(NamedTuple):
    """Signal after the last layer, by scheme: measured rms and √E h² of the theory."""

    measured: dict[str, float]
    theory: dict[str, float]


_SCHEMES = ("LeCun normal", "He normal", "N(0, 1)")
_DEEP, _WIDE = 50, 128


@keep(entries=1)
def relu_depth() -> Depth:
    """Send a signal of rms 1 through 50 layers of 128 ReLU units, four networks a scheme."""
    schemes = [INITIALIZERS[name] for name in _SCHEMES]
    relu = ACTIVATIONS["ReLU"]
    run = propagate(relu, schemes, depth=_DEEP, width=_WIDE, batch=2, seeds=4, seed=0, weight_gradients=False)
    theory = propagate_theory(relu, schemes, depth=_DEEP, width=_WIDE).signal_rms
    ends = pooled_rms(run.signal_rms)[:, -1]
    return Depth(
        dict(zip(_SCHEMES, ends.tolist(), strict=True)),
        dict(zip(_SCHEMES, theory[:, -1].tolist(), strict=True)),
    )


class Mask(NamedTuple):
    """The mean of x where X ≤ x and 0 elsewhere, X ~ N(0, 1): drawn, its standard error, and xΦ(x)."""

    drawn: float
    error: float
    exact: float


@keep(entries=4)
def masked(x: float = 0.5, n: int = 100_000) -> Mask:
    """Draw X n times and keep x where X ≤ x."""
    kept = np.where(stream(0).standard_normal(n) <= x, x, 0.0)
    return Mask(float(kept.mean()), float(kept.std(ddof=1) / math.sqrt(n)), value("GELU", x))


_WINDOW: Array = np.linspace(-6.0, 6.0, 2401)


def gelu_tanh_error(cubic: float, against: str = "GELU") -> float:
    """Return the largest error of GELU's tanh form with this cubic constant, on [−6, 6]."""
    form, other = ACTIVATIONS["GELU (tanh)"], ACTIVATIONS[against]
    return max_difference(form, other, -6.0, 6.0, knobs_a={"cubic": cubic}).value


@lru_cache(maxsize=1)
def best_cubic() -> tuple[float, float]:
    """Search the cubic constant of the smallest largest error against GELU, in steps of 1e-5; return it and that error."""
    constants = np.arange(4400, 4551) / 1e5
    z = np.broadcast_to(_WINDOW, (len(constants), len(_WINDOW)))
    gaps = ACTIVATIONS["GELU (tanh)"].f(z, cubic=constants[:, None]) - ACTIVATIONS["GELU"].f(_WINDOW)
    errors = np.max(np.abs(gaps), axis=1)
    i = int(np.argmin(errors))
    return float(constants[i]), float(errors[i])


def squeezed(weight: float, change: float, layers: int) -> float:
    """Return what ``layers`` layers x ↦ σ(w(x − c)) leave of a change.

    With weight 1 it starts at 0 and c is 0; otherwise it is centered on the fixed point x = c = ½, where the
    slope w/4 is largest.
    """
    center = 0.0 if weight == 1 else 0.5
    ends = np.array([0.0, change]) if weight == 1 else center + change * np.array([-0.5, 0.5])
    for _ in range(layers):
        ends = ACTIVATIONS["sigmoid"].f(weight * (ends - center))
    return float(ends[1] - ends[0])


def sums(logits: Sequence[float] = (2.0, 2.0, -1.0)) -> dict[str, float]:
    """Return the sums of sigmoid, tanh and softmax over three logits."""
    z = np.array(logits)
    found = {name: float(np.sum(ACTIVATIONS[name].f(z))) for name in ("sigmoid", "tanh")}
    return {**found, "softmax": float(np.sum(VECTOR_ACTIVATIONS["softmax"].f(z)))}


def exactly_one(dtype: type[np.floating]) -> int:
    """Return the first whole z at which sigmoid rounds to exactly 1."""
    z = np.arange(0, 100)
    return int(z[np.argmax(ACTIVATIONS["sigmoid"].f(z.astype(dtype)) == 1)])


def parabola_error(k: int) -> float:
    """Return the largest error of the maxout unit with k pieces that fits x² on [−1, 1]."""
    x = np.linspace(-1, 1, 2001)
    w, b = parabola_pieces(k)
    return largest(VECTOR_ACTIVATIONS["maxout"].f(x, w=w, b=b) - x**2)


def standard_mean(name: str, mu: float = 0.0) -> float:
    """Return E φ(z) for z ~ N(mu, 1), by quadrature."""
    return signal_moments(ACTIVATIONS[name], mu=mu, sigma=1.0).mean


class Times(NamedTuple):
    """Seconds on this machine, in float64: of each function on one number, and of one step of a matrix product."""

    functions: Mapping[str, float]
    multiply_add: float


_NUMBERS, _REPEATS = 16_384, 41
_MATRIX = 64  # libraries multiply matrices up to this size in one thread, whatever the other cores do


@keep(entries=1)
def times() -> Times:
    """Time ReLU, sigmoid, tanh and a product of two 64 × 64 matrices, once in a process.

    Each is the least of 41 times, taken in turn: whatever else the machine does only adds to a time.
    """
    rng = stream(0)
    z, left, right = rng.standard_normal(_NUMBERS), *rng.standard_normal((2, _MATRIX, _MATRIX))
    names = ("ReLU", "sigmoid", "tanh")
    tasks: list[Callable[[], object]] = [lambda f=ACTIVATIONS[name].f: f(z) for name in names]  # type: ignore[misc]
    tasks.append(lambda: left @ right)
    seconds = np.empty((_REPEATS, len(tasks)))
    for row in seconds:
        for i, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            row[i] = time.perf_counter() - start
    least = np.maximum(seconds.min(axis=0), 1e-9)  # the grain of the clock
    functions = dict(zip(names, (least[:-1] / _NUMBERS).tolist(), strict=True))
    return Times(functions, float(least[-1]) / _MATRIX**3)


# What they say


def _about(value: float) -> str:
    """Write a time, or a ratio of times, as precisely as it can be repeated."""
    return f"about {number(value, 1)}"


def _emphasis() -> Measured:
    found = emphasizers()
    names = ("tanh", "ReLU", "GELU", "squared ReLU")
    gains = ", ".join(f"{name} {number(value(name, 4.0) / value(name, 1.0))}" for name in names)
    return Measured(
        len(found) == len(ACTIVATIONS),
        f"Enlarging everything above 2 and shrinking everything below ½: {len(found)} of {len(ACTIVATIONS)} functions "
        f"({', '.join(found)}). The output at 4 over that at 1: {gains} times.",
    )


def _differentiable() -> Measured:
    gradients, hits = weight_gradients(("step", "sigmoid", "ReLU"))
    left, right = one_sided_slopes("ReLU")
    return Measured(
        left == right and gradients["ReLU"] > 0,
        f"The gradient of the first layer of a 2-8-1 network has rms {number(gradients['step'])} with step, "
        f"{number(gradients['sigmoid'])} with sigmoid and {number(gradients['ReLU'])} with ReLU, whose kink is met by "
        f"{hits} of 512 inputs to a unit.",
    )


def _sigmoid_range() -> Measured:
    inside = ACTIVATIONS["sigmoid"].f(np.linspace(-30, 30, 6001))
    low, high = (value("sigmoid", side * math.inf) for side in (-1, 1))
    holds = bool(
        np.all((inside > 0) & (inside < 1)) and np.all(np.diff(inside) > 0) and (low, high) == (0, 1)
    )
    return Measured(
        holds,
        f"σ(−30) is {number(value('sigmoid', -30.0))}, and σ(30) lies as much below 1, for σ(z) + σ(−z) = 1; between them σ "
        f"rises, and its limits {number(low)} and {number(high)} are not taken.",
    )


def _sigmoid_slope() -> Measured:
    entry = ACTIVATIONS["sigmoid"]
    s = entry.f(GRID)
    product, parabola = (
        largest(entry.df(GRID) - s * (1 - s)),
        largest(entry.df(GRID) - (0.25 - (s - 0.5) ** 2)),
    )
    return Measured(
        max(product, parabola) < _EXACT,
        f"On 4,801 points from −12 to 12, σ′ differs from σ(1 − σ) by at most {number(product, 2)}, from ¼ − (σ − ½)² by "
        f"{number(parabola, 2)}, and from centered differences of σ by "
        f"{number(largest(entry.df(GRID) - differences(entry.f, GRID)), 2)}.",
    )


_PLACES = (0.0, 5.0, 10.0)


def _far_slopes() -> Measured:
    sigmoid, tanh = slopes_at("sigmoid", _PLACES), slopes_at("tanh", _PLACES)
    ten = [slope(name, 3.0) ** 10 for name in ("sigmoid", "tanh")]
    return Measured(
        all(s[0] > s[1] > s[2] and s[2] < 1e-4 for s in (sigmoid, tanh)),
        f"At z = 0, 5, 10 the slope of σ is {numbers(sigmoid)}, that of tanh {numbers(tanh)}. Ten slopes at z = 3 multiply to "
        f"{number(ten[0])} and {number(ten[1])}.",
    )


def _large_or_small() -> Measured:
    sigmoid, tanh = slopes_at("sigmoid", (-10.0, 0.1, 10.0)), slopes_at("tanh", (-10.0, 0.1, 10.0))
    return Measured(
        sigmoid[1] < 0.01 * 0.25,
        f"At z = −10, 0.1, 10 the slope of σ is {numbers(sigmoid)} and that of tanh {numbers(tanh)}: it is largest where z is "
        "small.",
    )


def _exponential_cost() -> Measured:
    cost = times().functions
    return Measured(
        None,
        f"On the machine that runs the app, with NumPy in float64 and ReLU's time as 1, sigmoid takes "
        f"{_about(cost['sigmoid'] / cost['ReLU'])} and tanh {_about(cost['tanh'] / cost['ReLU'])}.",
    )


def _relu_cost() -> Measured:
    cost = times().functions
    relu, tanh, sigmoid = (_about(1e9 * cost[name]) for name in ("ReLU", "tanh", "sigmoid"))
    return Measured(
        cost["ReLU"] < cost["sigmoid"],
        f"On the machine that runs the app, with NumPy in float64, ReLU takes {relu} ns a number, tanh {tanh} and sigmoid "
        f"{sigmoid}.",
    )


def _cost_beside_product() -> Measured:
    cost = times()
    return Measured(
        None,
        f"On the machine that runs the app, with NumPy in float64, a sigmoid takes as long as "
        f"{_about(cost.functions['sigmoid'] / cost.multiply_add)} multiplications and additions of a matrix product. An "
        "output of a layer with n inputs takes n of them.",
    )


def _tanh_formula() -> Measured:
    ratio = largest(np.sinh(GRID) / np.cosh(GRID) - ACTIVATIONS["tanh"].f(GRID))
    rescaled = largest(2 * ACTIVATIONS["sigmoid"].f(2 * GRID) - 1 - ACTIVATIONS["tanh"].f(GRID))
    return Measured(
        max(ratio, rescaled) < _EXACT,
        f"From −12 to 12, sinh/cosh differs from tanh by at most {number(ratio, 2)} and 2σ(2z) − 1 by {number(rescaled, 2)}.",
    )


def _tanh_slope() -> Measured:
    entry = ACTIVATIONS["tanh"]
    formula = largest(entry.df(GRID) - (1 - entry.f(GRID) ** 2))
    return Measured(
        formula < _EXACT,
        f"tanh′ differs from 1 − tanh² by at most {number(formula, 2)}, and from centered differences of tanh by "
        f"{number(largest(entry.df(GRID) - differences(entry.f, GRID)), 2)}.",
    )


def _tanh_centered() -> Measured:
    means = [standard_mean("tanh", mu) for mu in (0.0, 1.0, 2.0)]
    return Measured(
        abs(means[0]) < _EXACT,
        f"For inputs from N(μ, 1) with μ = 0, 1, 2 the mean output of tanh is {numbers([round(m, 12) for m in means])}: "
        "centered where the input is.",
    )


def _tanh_not_centered() -> Measured:
    names = ("tanh", "sigmoid", "ReLU", "GELU")
    means = [round(standard_mean(name), 12) for name in names]
    return Measured(
        abs(means[0]) > _EXACT,
        f"For standard normal inputs the mean output is {number(means[0])} with tanh, {number(means[1])} with sigmoid, "
        f"{number(means[2])} with ReLU and {number(means[3])} with GELU.",
    )


def _relu_formula() -> Measured:
    y = ACTIVATIONS["ReLU"].f(GRID)
    gap = largest(y - np.maximum(GRID, 0))
    half = largest(y - (GRID + np.abs(GRID)) / 2)
    return Measured(
        gap == 0,
        f"From −12 to 12, ReLU differs from max(0, z) by {number(gap)} and from (z + |z|)/2 by {number(half)}; "
        f"{number(100 * float(np.mean(y == 0)))}% of the points give exactly 0.",
    )


def _relu_at_zero() -> Measured:
    left, right = one_sided_slopes("ReLU")
    middle = float(differences(ACTIVATIONS["ReLU"].f, np.array(0.0)))
    return Measured(
        slope("ReLU", 0.0) == 1,
        f"At 0 the slope is {number(left)} from the left, {number(right)} from the right and {number(middle)} by centered "
        f"differences; this page takes {number(slope('ReLU', 0.0))}, as PyTorch and JAX do.",
    )


def _relu_beside_zero() -> Measured:
    away = GRID[np.abs(GRID) > 0.001]
    gap = largest(differences(ACTIVATIONS["ReLU"].f, away) - (away > 0))
    left, right = one_sided_slopes("ReLU")
    return Measured(
        gap < 1e-9 and left != right,
        f"Away from 0, differences stay within {number(gap, 2)} of the rule; at 0 they give {number(left)} on the left and "
        f"{number(right)} on the right, so there is no derivative.",
    )


def _relu_slope_one() -> Measured:
    relu = ACTIVATIONS["ReLU"]
    exact = signal_moments(relu, mu=0.0, sigma=1.0).share_zero
    drawn = sample_moments(relu, mu=0.0, sigma=1.0, n=20_000, seed=0)
    return Measured(
        exact == 0,
        f"For standard normal inputs ReLU's slope is 0 with probability {number(exact)}, and for "
        f"{number(100 * drawn.share_zero, 4)}% of 20,000 draws.",
    )


def _relu_through_depth() -> Measured:
    found = relu_depth()
    lecun, he, unit = (f"{number(found.measured[n])} (theory {number(found.theory[n])})" for n in _SCHEMES)
    vanishes, explodes = found.measured["LeCun normal"] < 1e-3, found.measured["N(0, 1)"] > 1e3
    return Measured(
        not (vanishes or explodes),
        f"After {_DEEP} layers of {_WIDE} ReLU units a signal of rms 1 has rms {lecun} with weights of variance 1/n, {he} "
        f"with 2/n and {unit} with 1. The product contains the weights.",
    )


def _leaky_formula() -> Measured:
    entry, slopes = ACTIVATIONS["leaky ReLU"], (0.01, 0.25, 0.9)
    gap = max(largest(entry.f(GRID, slope=a) - np.maximum(GRID, a * GRID)) for a in slopes)
    return Measured(
        gap == 0,
        f"With λ = {numbers(slopes)}, leaky ReLU differs from max(z, λz) by at most {number(gap)}; at z = −1 it is "
        f"{numbers([value('leaky ReLU', -1.0, slope=a) for a in slopes])}.",
    )


def _leaky_slope() -> Measured:
    entry, away = ACTIVATIONS["leaky ReLU"], GRID[np.abs(GRID) > 0.001]
    gap = largest(differences(lambda z: entry.f(z, slope=0.25), away) - np.where(away > 0, 1, 0.25))
    return Measured(
        gap < 1e-9,
        f"With λ = 0.25, differences stay within {number(gap, 2)} of 1 and 0.25 away from 0; at 0 this page takes "
        f"{number(slope('leaky ReLU', 0.0, slope=0.25))}, as PyTorch does.",
    )


def _leaky_constant() -> Measured:
    k = 0.1
    left = value("leaky ReLU", -1e-12, slope=k)
    inside = float(differences(lambda z: ACTIVATIONS["leaky ReLU"].f(z, slope=k), np.array(-1.0)))
    return Measured(
        abs(value("leaky ReLU", -1.0, slope=k) - k) < _EXACT,
        f"With k = {number(k)}, leaky ReLU is {number(value('leaky ReLU', -1.0, slope=k))} at −1 and has slope "
        f"{number(inside)} there; f(z) = k would be {number(k)}, with slope 0 and a jump of {number(abs(k - left))} at 0.",
    )


def _prelu_learned() -> Measured:
    fit = learned_slope()
    return Measured(
        abs(fit.learned - fit.best) < 1e-3 and fit.learned != fit.start,
        f"Gradient descent moves PReLU's slope from {number(fit.start)} to {number(fit.learned, 4)} in 60 steps on values of "
        f"a leaky ReLU with slope 0.1 and some noise; least squares gives {number(fit.best, 4)}.",
    )


def _prelu_hyperparameter() -> Measured:
    fit = learned_slope()
    return Measured(
        fit.learned == fit.start,
        f"The slope has a gradient: it goes from {number(fit.start)} to {number(fit.learned)} in 60 steps, where least "
        f"squares puts it at {number(fit.best)}. Only its start is set.",
    )


def _parameters() -> Measured:
    none = sum(not entry.knobs for entry in ACTIVATIONS.values())
    fit = learned_slope()
    return Measured(
        fit.learned == fit.start,
        f"{none} of the {len(ACTIVATIONS)} functions here have no parameter. PReLU's is learned, {number(fit.start)} becoming "
        f"{number(fit.learned)} on toy data; maxout's number of pieces is set: 2, 4, 8 pieces fit z² on −1 … 1 to "
        f"{numbers([parabola_error(k) for k in (2, 4, 8)])}.",
    )


def _default() -> Measured:
    loss, epochs = spiral_losses(("ReLU", "GELU", "tanh", "sigmoid"))
    active = 1 - signal_moments(ACTIVATIONS["ReLU"], mu=0.0, sigma=1.0).share_zero
    return Measured(
        None,  # what people use by default is not measured here
        f"Its slope is 1 for {number(100 * active)}% of standard normal inputs. In one small setting, the {epochs} epochs of "
        f"the Train tab, the loss ends at {number(loss['ReLU'])} with ReLU, {number(loss['GELU'])} with GELU, "
        f"{number(loss['tanh'])} with tanh and {number(loss['sigmoid'])} with sigmoid; no single setting proves a default.",
    )


def _tanh_faster() -> Measured:
    loss, epochs = spiral_losses(("sigmoid", "tanh"))
    return Measured(
        loss["tanh"] < loss["sigmoid"],
        f"In steps, here: after the {epochs} epochs of the Train tab the loss is {number(loss['tanh'])} with tanh and "
        f"{number(loss['sigmoid'])} with sigmoid.",
    )


def _bounded() -> Measured:
    found = {problem: (stability("ReLU", problem), stability("tanh", problem)) for problem in _PROBLEMS}

    def said(problem: str) -> str:
        limits = [number(s.fails_from) if math.isfinite(s.fails_from) else "none" for s in found[problem]]
        losses = [number(s.loss) for s in found[problem]]
        return (
            f"{' and '.join(limits)} on {problem}, with losses {' and '.join(losses)} at {number(_RATES[0])}"
        )

    return Measured(
        all(relu.fails_from < tanh.fails_from and relu.loss < tanh.loss for relu, tanh in found.values()),
        f"Smallest rate of {numbers(_RATES)} at which most small networks with ReLU and with tanh do not halve their loss: "
        f"{said('regression')}; {said('moons')}.",
    )


def _convexity() -> Measured:
    found = bowls(np.array([0.0, 1.0, 2.0]))
    gap = max(
        largest(found.squared - found.squared_measured),
        largest(found.cross_entropy - found.cross_entropy_measured),
    )
    return Measured(
        bool(np.all(found.squared > 0)),
        f"At w = 0, 1, 2 the second derivative of (σ(w) − 0)² is {numbers(found.squared.tolist())}: not convex. That of the "
        f"cross-entropy is {numbers(found.cross_entropy.tolist())}. Differences agree to {number(gap, 2)}.",
    )


def _one_picture() -> Measured:
    peaks = [properties(ACTIVATIONS[name]).largest_slope for name in ("sigmoid", "tanh")]
    gap = largest(ACTIVATIONS["sigmoid"].df(GRID) - ACTIVATIONS["tanh"].df(GRID))
    return Measured(
        gap < _EXACT,
        f"The largest slopes are {number(peaks[0])} and {number(peaks[1])}, and the two curves lie up to {number(gap)} apart: "
        "one picture cannot show both.",
    )


def _distributions() -> Measured:
    total = sums()
    return Measured(
        all(abs(s - 1) < _EXACT for s in total.values()) and value("tanh", -1.0) >= 0,
        f"Over the values 2, 2, −1, sigmoid sums to {number(total['sigmoid'])}, tanh to {number(total['tanh'])} with a "
        f"negative {number(value('tanh', -1.0))} among them, and softmax to {number(total['softmax'])}.",
    )


def _flat_ends() -> Measured:
    sigmoid, relu = properties(ACTIVATIONS["sigmoid"]), properties(ACTIVATIONS["ReLU"])
    edge = float(np.max(flat_regions(ACTIVATIONS["sigmoid"]).saturated[:, 0]))
    share = flat_regions(ACTIVATIONS["ReLU"]).zero[0, 1]
    left = [name for name, entry in ACTIVATIONS.items() if properties(entry).saturation == relu.saturation]
    both = sum(properties(entry).saturation == sigmoid.saturation for entry in ACTIVATIONS.values())
    return Measured(
        None,  # the ends are measured, what is preferred and why is not
        f"Sigmoid's slope is below 1% of its largest beyond z = −{number(edge)} and z = {number(edge)}; ReLU's is 0 below "
        f"z = {number(float(share))} and 1 above. Of the {len(ACTIVATIONS)} functions here {both} are flat at both ends as "
        f"sigmoid is, and {len(left)} on the left alone as ReLU is{', GELU among them' if 'GELU' in left else ''}.",
    )


_RISE = 2 * math.log(9)  # of z, from σ = 0.1 to σ = 0.9


def _takes_every_input() -> Measured:
    high, low = value("sigmoid", 2.0), value("sigmoid", -1.0)
    return Measured(
        {high, low} <= {0.0, 1.0},
        f"Inputs outside (0, 1) are as good as others: σ(2) = {number(high)}, σ(−1) = {number(low)}. With weight 10, as in the "
        f"figure, the output goes from 0.1 to 0.9 within {number(_RISE / 10)} of z; a threshold jumps.",
    )


def _no_threshold() -> Measured:
    ends = [value("sigmoid", side * _RISE / 2) for side in (-1, 1)]
    return Measured(
        slope("sigmoid", 0.0) == math.inf,
        f"Without a weight the output goes from {number(ends[0])} to {number(ends[1])} over {number(_RISE)} of z, and its slope "
        f"at 0 is {number(slope('sigmoid', 0.0))}. σ rounds to exactly 1 only from z = {exactly_one(np.float64)} in float64, "
        f"{exactly_one(np.float32)} in float32.",
    )


def _inverse() -> Measured:
    z = np.linspace(-5, 5, 2001)
    s = ACTIVATIONS["sigmoid"].f(z)
    back = np.log(s / (1 - s))
    smallest = float(np.min(ACTIVATIONS["sigmoid"].df(z)))
    return Measured(
        bool(np.all(np.diff(s) > 0) and np.all(np.diff(back) > 0) and largest(back - z) < 1e-10),
        f"From −5 to 5 the slope is at least {number(smallest)}, and log(σ/(1 − σ)) gives z back to "
        f"{number(largest(back - z), 2)}.",
    )


def _smooth() -> Measured:
    some = GRID[::10]
    s = ACTIVATIONS["sigmoid"].f(some)
    found = second_derivative(ACTIVATIONS["sigmoid"], some)
    gap = largest(found - s * (1 - s) * (1 - 2 * s))
    classes = [properties(ACTIVATIONS[name]).smoothness for name in ("sigmoid", "ELU", "ReLU")]
    return Measured(
        classes[0] == "C∞",
        f"No jump is found in σ, σ′ or σ″; σ″ is at most {number(largest(found))}, within {number(gap, 2)} of "
        f"σ(1 − σ)(1 − 2σ). By the same search ELU is {classes[1]} and ReLU {classes[2]}.",
    )


def _symmetric() -> Measured:
    gap = largest(ACTIVATIONS["sigmoid"].f(GRID) + ACTIVATIONS["sigmoid"].f(-GRID) - 1)
    return Measured(
        gap < _EXACT and value("sigmoid", 0.0) == 0.5,
        f"σ(z) + σ(−z) differs from 1 by at most {number(gap, 2)}, and σ(0) = {number(value('sigmoid', 0.0))}.",
    )


def _slope_ranges(names: Sequence[str]) -> Measured:
    found = [properties(ACTIVATIONS[name]) for name in names]
    taken = [slope(name, 0.0) == p.largest_slope for name, p in zip(names, found, strict=True)]
    tops = [
        f"{name}′(0) = {number(slope(name, 0.0))}, where {name} is {number(value(name, 0.0))}"
        for name in names
    ]
    ends = [slope(name, 30.0) for name in names]
    return Measured(
        not any(taken),
        f"{'; '.join(tops)}. The upper bound is attained; 0 is only approached, with {numbers(ends)} at z = 30.",
    )


def _tanh_gaps() -> tuple[float, float]:
    """Return the largest differences from tanh of σ(2z − 1) and of 2σ(2z) − 1."""
    sigmoid, tanh = ACTIVATIONS["sigmoid"].f, ACTIVATIONS["tanh"].f(GRID)
    return largest(tanh - sigmoid(2 * GRID - 1)), largest(tanh - (2 * sigmoid(2 * GRID) - 1))


def _tanh_shifted() -> Measured:
    wrong, right = _tanh_gaps()
    steep = 2 * slope("sigmoid", 0.0)
    return Measured(
        wrong < _EXACT,
        f"σ(2z − 1) differs from tanh by up to {number(wrong)}, 2σ(2z) − 1 by at most {number(right, 2)}. The figure has σ(2z), "
        f"with weight 2: {number(value('sigmoid', 0.0))} and slope {number(steep)} at 0, which doubled and lowered by 1 are "
        f"tanh's {number(value('tanh', 0.0))} and {number(slope('tanh', 0.0))}.",
    )


def _tanh_by_range() -> Measured:
    wrong, right = _tanh_gaps()
    return Measured(
        wrong < _EXACT,
        f"σ of whatever stays above 0, and tanh(−1) is {number(value('tanh', -1.0))}; the figure shows both ranges. σ(2d − 1) "
        f"differs from tanh by up to {number(wrong)}, 2σ(2d) − 1 by at most {number(right, 2)}.",
    )


def _small_changes() -> Measured:
    start, change, times = 1.1, 1e-3, 8
    factors = [
        (iterated(name, start + change, times) - iterated(name, start, times)) / change
        for name in ("tanh", "ReLU", "GELU", "squared ReLU")
    ]
    return Measured(
        max(factors[:3]) <= 1 + 1e-9 < factors[3],
        f"Applied {times} times from {number(start)}, a change of {number(change)} is multiplied by {number(factors[0])} with "
        f"tanh, {number(factors[1])} with ReLU, {number(factors[2])} with GELU and {number(factors[3])} with z².",
    )


def _monotone() -> Measured:
    found = monotone_slopes()
    least = [properties(ACTIVATIONS[name]).smallest_slope for name in ("sine", "GELU", "SiLU")]
    return Measured(
        {"sigmoid", "tanh", "GELU", "SiLU"} <= set(found),
        f"{len(found)} of the {len(ACTIVATIONS)} functions have a slope that never falls; sigmoid and tanh are not among "
        f"them. The slopes of sine, GELU and SiLU do change sign: they go down to {numbers(least)}.",
    )


def _controlled() -> Measured:
    start, times = 1.1, 8
    result, overflow = squares_from(start, times)
    others = [iterated(name, start, times) for name in ("tanh", "ReLU", "GELU")]
    return Measured(
        result > 1e6 and max(others) <= start,
        f"Applied {times} times to {number(start)}, z² gives {number(result)} and overflows float64 at the {overflow}th; tanh "
        f"gives {number(others[0])}, GELU {number(others[2])} and ReLU, though unbounded, {number(others[1])}.",
    )


def _mask() -> Measured:
    found = masked()
    return Measured(
        abs(found.exact - 0.5) < _EXACT,
        f"At the fixed input x = 0.5, keeping x where a draw X from N(0, 1) is at most x gives {number(found.drawn, 4)} on "
        f"average over 100,000 draws, standard error {number(found.error, 2)}; xΦ(x) is {number(found.exact, 4)}. If X were "
        "the input itself, x would always be kept: 0.5.",
    )


def _error_function() -> Measured:
    half = (1 + erf(GRID / math.sqrt(2))) / 2
    gap = largest(half - normal_cdf(GRID))
    return Measured(
        gap > _EXACT,
        f"½(1 + erf(z/√2)), with the error function, differs from Φ(z) by at most {number(gap, 2)} from −12 to 12. No loss "
        "enters.",
    )


def gelu_by_integration(z: float) -> float:
    """Return z times the integral of the normal density up to z, by Gauss–Legendre panels from −12."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(-12.0, z, 61)
    half = np.diff(edges)[:, None] / 2
    return z * float(np.sum(half * weights * normal_pdf(edges[:-1, None] + half * (1 + nodes))))


def _computable() -> Measured:
    places = (-2.0, -0.5, 0.5, 1.0, 2.0)
    gap = max(abs(value("GELU", z) - gelu_by_integration(z)) for z in places)
    return Measured(
        gap > _EXACT,
        f"With erf, GELU at {numbers(places)} is {numbers([value('GELU', z) for z in places])}; integrating the density "
        f"gives the same to {number(gap, 2)}.",
    )


_TYPED, _PUBLISHED = 0.044175, 0.044715


def _cubic_typo() -> Measured:
    typed, published = gelu_tanh_error(_TYPED), gelu_tanh_error(_PUBLISHED)
    constant, least = best_cubic()
    return Measured(
        typed < published,
        f"The largest error against exact GELU is {number(typed)} with {_TYPED} and {number(published)} with {_PUBLISHED}, a "
        f"ratio of {number(typed / published)}; the smallest, {number(least)}, is at {number(constant, 4)}. From the tanh form "
        f"of the libraries {_TYPED} is up to {number(gelu_tanh_error(_TYPED, 'GELU (tanh)'))} away.",
    )


def _gelu_shape() -> Measured:
    places = (0.5, 1.0, 2.0)
    values = [value("GELU", z) for z in places]
    low = properties(ACTIVATIONS["GELU"]).minima[0]
    return Measured(
        value("GELU", 2.0) == 2.0,
        f"GELU at 0.5, 1, 2 is {numbers(values[:2])}, {number(values[2], 4)}: below z, also beyond 1. It is smallest at z = "
        f"{number(low.at)}, {number(low.value)}, and at z = −6 back at {number(value('GELU', -6.0))}.",
    )


def _gelu_slope() -> Measured:
    entry = ACTIVATIONS["GELU"]
    formula = normal_cdf(GRID) + GRID * normal_pdf(GRID)
    found = properties(entry)
    return Measured(
        None,
        f"Φ(z) + zφ(z) stays within {number(largest(formula - differences(entry.f, GRID)), 2)} of centered differences of GELU. "
        f"It is largest at z = {number(found.largest_slope_at[0].low, 5)}, which is √2, with {number(found.largest_slope, 5)}, "
        f"and smallest with {number(found.smallest_slope)}.",
    )


def _gelu_forms() -> Measured:
    tanh, sigmoid = (
        max_difference(ACTIVATIONS[name], ACTIVATIONS["GELU"], -6.0, 6.0)
        for name in ("GELU (tanh)", "GELU (sigmoid)")
    )
    return Measured(
        None,
        f"From −6 to 6 the tanh form is off by up to {number(tanh.value)} (z = {number(tanh.at)}), the sigmoid form by "
        f"{number(sigmoid.value)} (z = {number(sigmoid.at)}), {number(sigmoid.value / tanh.value)} times as much.",
    )


def _passed_back() -> Measured:
    passed = [delta * slope("sigmoid", z) for z in (0.0, 10.0) for delta in (1.0, 1000.0)]
    shares = passed[0], passed[1] / 1000, passed[2], passed[3] / 1000
    return Measured(
        shares[1] < shares[0] / 2,
        f"At z = 0 a gradient of 1 comes out as {number(passed[0])} and one of 1,000 as {number(passed[1])}; at z = 10 as "
        f"{number(passed[2])} and {number(passed[3])}. The factor depends on z alone.",
    )


def _both_sides() -> Measured:
    places = (-5.0, 5.0)
    ends = [value("sigmoid", z) for z in places]
    tanh = [number(value("tanh", z), 5) for z in places]
    return Measured(
        max(ends) < 0.05,
        f"At z = −5 and 5, sigmoid is {numbers(ends)} and tanh {', '.join(tanh)}, while sigmoid's slopes are "
        f"{numbers([slope('sigmoid', z) for z in places])}: what goes to 0 on both sides is the slope.",
    )


def naive_tanh(z: float) -> float:
    """Return (e^z − e^(−z))/(e^z + e^(−z)) in float64 as it stands: NaN where both exponentials overflow."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        up, down = np.exp(np.float64(z)), np.exp(np.float64(-z))
        return float((up - down) / (up + down))


def _as_written() -> Measured:
    ends = [float(np.log(np.finfo(dtype).max)) for dtype in (np.float64, np.float32)]
    with np.errstate(over="ignore"):
        power = float(np.exp(np.float64(1000)))
    result = 1 / (1 + power)
    return Measured(
        math.isfinite(power),
        f"The power of e leaves float64 below z = −{number(ends[0], 4)} and float32 below −{number(ends[1])}, with a warning; "
        f"the result, {number(result)}, is still right. tanh written with exponentials is {number(naive_tanh(300.0))} at 300 and "
        f"{'no number' if math.isnan(naive_tanh(800.0)) else number(naive_tanh(800.0))} at 800.",
    )


def _slope_and_weight() -> Measured:
    products = [(w * slope("sigmoid", 0.0)) ** 20 for w in (2.0, 4.0, 8.0)]
    linear = 1.2**50
    return Measured(
        max(products) <= 1,
        f"With sigmoid's slope {number(slope('sigmoid', 0.0))} at z = 0, twenty layers with weights 2, 4, 8 multiply the "
        f"gradient by {numbers(products)}. With slope 1 everywhere, fifty layers with weight 1.2 multiply it by "
        f"{number(linear)}.",
    )


def _squeeze() -> Measured:
    one, eight = squeezed(1.0, 10.0, 1), squeezed(1.0, 10.0, 8)
    grown = squeezed(8.0, 0.001, 8)
    return Measured(
        grown < 0.001,
        f"With weight 1, a change of 10 is {number(one)} after one layer and {number(eight)} after eight. With weight 8, around "
        f"the steepest point, a change of 0.001 becomes {number(grown)} after eight. The values 0 and 1 are limits: σ(±20) is "
        f"{number(value('sigmoid', -20.0))} away from them.",
    )


def _words(text: str) -> Callable[[], Measured]:
    return lambda: Measured(None, text)


_JUDGES: Mapping[str, Callable[[], Measured]] = {
    "S14": _emphasis,
    "S15": _differentiable,
    "S18": _sigmoid_range,
    "S19": _sigmoid_slope,
    "S21": _far_slopes,
    "S23": _exponential_cost,
    "S24": _tanh_formula,
    "S25": _tanh_slope,
    "S26": _tanh_centered,
    "S29": _relu_formula,
    "S30": _relu_at_zero,
    "S32": _relu_cost,
    "S36": _leaky_formula,
    "S37": _leaky_slope,
    "S49": _default,
    "S123": _distributions,
    "S126": _flat_ends,
    "S168": _takes_every_input,
    "S169": _inverse,
    "S170": _smooth,
    "S171": _symmetric,
    "S255": lambda: _slope_ranges(("sigmoid",)),
    "S257": _relu_beside_zero,
    "S258": _tanh_shifted,
    "S259": lambda: _slope_ranges(("tanh",)),
    "S262": _small_changes,
    "S264": _monotone,
    "S265": _controlled,
    "S266": _parameters,
    "S273": _leaky_constant,
    "S274": _prelu_learned,
    "E5": _convexity,
    "E6": _bounded,
    "E7": _one_picture,
    "E8": _cost_beside_product,
    "E9": _words("A misspelt word and a letter for a variable; nothing to compute."),
    "E10": _tanh_faster,
    "E11": _relu_at_zero,
    "E12": _relu_through_depth,
    "E13": _relu_slope_one,
    "E43": _large_or_small,
    "E54": _distributions,
    "E55": _words("A misspelt name; nothing to compute."),
    "E80": _no_threshold,
    "E92": _passed_back,
    "E93": _tanh_not_centered,
    "E105": _both_sides,
    "E120": _as_written,
    "E132": _slope_and_weight,
    "E133": lambda: _slope_ranges(("sigmoid", "tanh")),
    "E134": _tanh_by_range,
    "E136": _monotone,
    "E137": _prelu_hyperparameter,
    "E140": _leaky_constant,
    "E142": _mask,
    "E143": _error_function,
    "E144": _computable,
    "E145": _cubic_typo,
    "E146": _gelu_shape,
    "E147": _gelu_slope,
    "E148": _gelu_forms,
    "E157": _squeeze,
}

# Each is measured when it is first looked at.
MEASURES: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {name: lru_cache(maxsize=1)(judge) for name, judge in _JUDGES.items()}
)
