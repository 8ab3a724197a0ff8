"""Exponentially weighted moving averages: bias, weights, windows, scatter, and how Adam is built from them.

Conventions: day (or step) t counts from 1; ages k count from 0, today; V₀ = 0 unless said otherwise. The rules
of the last part are those of ``core.optimizers``, which follow PyTorch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.descent import Descent, Problem, descend
from core.optimizers import OPTIMIZERS, Rule, State
from core.streams import stream

Array = NDArray[np.floating[Any]]


def _decay(beta: ArrayLike, name: str = "beta") -> Array:
    """Check that 0 ≤ β < 1."""
    array = np.asarray(beta, dtype=np.float64)
    allowed = (array >= 0) & (array < 1)
    if not np.all(allowed):
        raise ValueError(f"{name} = {array[~allowed].flat[0]}: needs a number ≥ 0 and < 1")
    return array


def _counted(value: int, name: str, least: int = 1) -> int:
    if value < least:
        raise ValueError(f"{name} = {value}: needs a whole number of at least {least}")
    return value


# Series: a level that is known exactly, and noise on top


class Wave(NamedTuple):
    """One part of a level: size·cos(ω·t + phase) from day ``begin`` on, 0 before; ω in radians a day."""

    size: float
    frequency: float = 0.0
    phase: float = 0.0
    begin: int = 1


@dataclass(frozen=True)
class Series:
    """A level made of waves, so that its moving average has a closed form.

    ``formula`` says the level in words that stand in a caption; ``unit`` is that of the level and of the noise.
    ``aliases`` are other names it once had, for links.
    """

    name: str
    waves: tuple[Wave, ...]
    formula: str
    unit: str = ""
    aliases: tuple[str, ...] = ()

    def level(self, t: ArrayLike) -> Array:
        """Return the level without noise on days t, (...) → (...)."""
        day = np.asarray(t, dtype=np.float64)
        parts = [
            np.where(day >= w.begin, w.size * np.cos(w.frequency * day + w.phase), 0.0) for w in self.waves
        ]
        return np.asarray(sum(parts, np.zeros(day.shape)))

    def expected_average(self, t: ArrayLike, beta: float, *, corrected: bool = False) -> Array:
        """Return the exact average of the level on days t: what the average of level plus noise is expected to be.

        A geometric sum in closed form: over n days a wave e^{iωt} averages to
        (1−β)·e^{iωt}·(1−zⁿ)/(1−z) with z = β·e^{−iω}.

        Args:
            t: (...), days from 1 on.
            beta: decay, 0 ≤ β < 1.
            corrected: divide by 1 − β^t.

        Returns:
            (...), in units of the level.
        """
        b = float(_decay(beta))
        day = np.asarray(t, dtype=np.float64)
        total = np.zeros(day.shape)
        for w in self.waves:
            n = np.maximum(day - w.begin + 1, 0.0)
            z = b * np.exp(-1j * w.frequency)
            turn = np.exp(1j * (w.frequency * day + w.phase))
            total = total + (w.size * (1 - b) * turn * (1 - z**n) / (1 - z)).real
        return np.asarray(total / (1 - b**day) if corrected else total)

    def draw(self, days: int, *, noise: float, rng: np.random.Generator) -> Array:
        """Return the level plus normal noise of that standard deviation on days 1 to ``days``, (days,).

        A longer series begins with the shorter one of the same generator.

        Raises:
            ValueError: days is below 1.
        """
        return self.level(np.arange(1, _counted(days, "days") + 1)) + noise * rng.standard_normal(days)


_YEAR = 2 * math.pi / 365

_SERIES = (
    Series(
        "temperatures",
        (Wave(10.0), Wave(10.0, _YEAR, -math.pi / 2)),
        "10 + 10 sin(2πt/365)",
        unit=" °C",
    ),
    Series("constant", (Wave(10.0),), "10"),
    Series("step", (Wave(5.0), Wave(10.0, begin=21)), "5, from day 21 on 15"),
    Series("zigzag", (Wave(2.0), Wave(8.0, math.pi)), "2 + 8·(−1)^t"),
    Series("noise alone", (), "0", aliases=("noise",)),
)

SERIES: dict[str, Series] = {entry.name: entry for entry in _SERIES}


# The average, the average of the notes, and a mean over a window


def ewma(x: ArrayLike, beta: ArrayLike, *, corrected: bool = False, start: ArrayLike = 0.0) -> Array:
    """Return the moving average V_t = βV_{t−1} + (1−β)x_t.

    Args:
        x: (days, ...), the series.
        beta: decay, 0 ≤ β < 1; broadcasts with x[0].
        corrected: return (V_t − β^t·V₀)/(1 − β^t), whose weights of x sum to 1 (Kingma, Ba, 2015).
        start: V₀.

    Returns:
        (days, ...), V₁ to V_days. What is not finite in x stays in the average.

    Raises:
        ValueError: x has no axis, or beta is out of range.
    """
    series, b = np.asarray(x), _decay(beta)
    if series.ndim == 0:
        raise ValueError(f"x = {series}: needs the shape (days, ...)")
    if series.dtype.kind != "f":
        series = series.astype(np.float64)
    shape = np.broadcast_shapes(series.shape[1:], b.shape, np.shape(start))
    average = np.empty((len(series), *shape))
    v = first = np.asarray(start, dtype=np.float64)
    fresh = 1 - b
    with np.errstate(over="ignore", invalid="ignore"):
        for t, value in enumerate(series):
            v = b * v + fresh * value
            average[t] = v
        if corrected:
            faded = b ** np.arange(1, len(series) + 1).reshape(-1, *(1,) * len(shape))
            average = (average - faded * first) / (1 - faded)
    return average


def misplaced_bracket(x: ArrayLike, beta: float) -> Array:
    """Return V_t = βV_{t−1} + (1 − βx_t), the average with its bracket in the wrong place, V₀ = 0.

    It multiplies the raw average by −β/(1−β) and adds (1−β^t)/(1−β): see ``misplaced_average``.

    Args:
        x: (days, ...), the series.
        beta: decay, 0 ≤ β < 1.

    Returns:
        (days, ...), V₁ to V_days.
    """
    series, b = np.asarray(x, dtype=np.float64), float(_decay(beta))
    result = np.empty(series.shape)
    v = np.zeros(series.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        for t, value in enumerate(series):
            v = b * v + (1 - b * value)
            result[t] = v
    return result


def misplaced_average(average: ArrayLike, t: ArrayLike, beta: float) -> Array:
    """Return what ``misplaced_bracket`` gives where the raw average is ``average``: ((1−β^t) − β·average)/(1−β)."""
    b = float(_decay(beta))
    return np.asarray((1 - b ** np.asarray(t, dtype=np.float64) - b * np.asarray(average)) / (1 - b))


def misplaced_limit(level: ArrayLike, beta: float) -> Array:
    """Return where ``misplaced_bracket`` converges on a constant series: (1 − β·level)/(1−β)."""
    b = float(_decay(beta))
    return np.asarray((1 - b * np.asarray(level, dtype=np.float64)) / (1 - b))


def simple_average(x: ArrayLike, window: int) -> Array:
    """Return the mean over the last ``window`` days, over all days so far where there are fewer.

    Args:
        x: (days, ...), the series.
        window: days, at least 1.

    Returns:
        (days, ...).

    Raises:
        ValueError: window is below 1.
    """
    series = np.asarray(x, dtype=np.float64)
    total = np.cumsum(series, axis=0)
    held = np.minimum(np.arange(1, len(series) + 1), _counted(window, "window"))
    total[window:] -= total[:-window].copy()
    return np.asarray(total / held.reshape(-1, *(1,) * (series.ndim - 1)))


# Weights and windows


def weights(beta: float, count: int, *, corrected: bool = False) -> Array:
    """Return the weight (1−β)β^k that the average gives to the value of age k = 0 … count − 1.

    Args:
        beta: decay, 0 ≤ β < 1.
        count: values so far, t; at least 1.
        corrected: divide by 1 − β^count, the sum of the weights, which is then 1.

    Returns:
        (count,). They sum to 1 − β^count; V₀ has the rest.
    """
    b = float(_decay(beta))
    raw = (1 - b) * b ** np.arange(_counted(count, "count"), dtype=np.float64)
    return np.asarray(raw / (1 - b**count) if corrected else raw)


def momentum_weights(momentum: float, count: int) -> Array:
    """Return the weight μ^k that a velocity v ← μv + g gives to the gradient of age k = 0 … count − 1.

    Returns:
        (count,). They sum to (1 − μ^count)/(1−μ), in the long run to 1/(1−μ).
    """
    mu = float(_decay(momentum, "momentum"))
    return np.asarray(mu ** np.arange(_counted(count, "count"), dtype=np.float64))


def held(beta: float, days: ArrayLike) -> Array:
    """Return the share 1 − β^n of all weight that the last n days hold in the long run; n need not be whole."""
    b = float(_decay(beta))
    return np.asarray(1 - b ** np.asarray(days, dtype=np.float64))


class Windows(NamedTuple):
    """Four answers, in days, to "over how many days does it average?".

    nominal: 1/(1−β), which hold a share of about 1 − 1/e. half_life: the days that hold half the weight.
    mean_age: β/(1−β), the mean age of a value, its weight counted; the lag behind a steady rise. equal_noise:
    (1+β)/(1−β), the length of a simple mean that scatters as little.
    """

    nominal: float
    half_life: float
    mean_age: float
    equal_noise: float


def windows(beta: float) -> Windows:
    """Return the effective windows of a decay, 0 ≤ β < 1."""
    b = float(_decay(beta))
    half = math.log(0.5) / math.log(b) if b > 0 else 0.0
    return Windows(1 / (1 - b), half, b / (1 - b), (1 + b) / (1 - b))


def days_until(beta: float, share: float) -> int:
    """Return the first day t on which β^t, the share that is missing in the raw average, is at most ``share``.

    Raises:
        ValueError: share is not above 0.
    """
    b = float(_decay(beta))
    if not share > 0:
        raise ValueError(f"share = {share}: needs a number above 0")
    if b <= share:
        return 1
    t = max(1, math.ceil(math.log(share) / math.log(b)) - 1)  # rounding may put the quotient on either side
    while b**t > share:
        t += 1
    return t


# Scatter


def noise_share(beta: float, t: ArrayLike, *, corrected: bool = False) -> Array:
    """Return the exact standard deviation of the average on day t, in units of that of independent noise.

    Raw √((1−β)(1−β^{2t})/(1+β)), corrected √((1−β)(1+β^t)/((1+β)(1−β^t))); both tend to √((1−β)/(1+β)).

    Args:
        beta: decay, 0 ≤ β < 1.
        t: (...), days from 1 on.
        corrected: of the corrected average.
    """
    b = float(_decay(beta))
    faded = b ** np.asarray(t, dtype=np.float64)
    spread = (1 + faded) / (1 - faded) if corrected else (1 - faded) * (1 + faded)
    return np.asarray(np.sqrt((1 - b) / (1 + b) * spread))


@dataclass(frozen=True)
class Scatter:
    """Measured standard deviations of three averages over many series of unit noise, each (days,)."""

    raw: Array
    corrected: Array
    simple: Array
    series: int


def measure_scatter(beta: float, days: int, window: int, *, series: int, seed: int) -> Scatter:
    """Average many series of independent unit noise, and measure how far the averages scatter on each day.

    Args:
        beta: decay, 0 ≤ β < 1.
        days: length of each series.
        window: days of the simple mean that is measured beside it.
        series: how many series.
        seed: draws the noise; a longer run begins with the shorter one.
    """
    noise = stream(seed, 1).standard_normal((_counted(days, "days"), _counted(series, "series")))
    raw = ewma(noise, beta)
    filled = 1 - beta ** np.arange(1, days + 1)

    def rms(x: Array) -> Array:
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", x, x) / series))  # the mean is known to be 0

    spread = rms(raw)
    return Scatter(spread, spread / filled, rms(simple_average(noise, window)), series)


# From gradient descent to Adam, one ingredient at a time


@dataclass(frozen=True)
class Ingredients:
    """A rule between gradient descent and Adam.

    ``build(lr, beta1, beta2, eps)`` → Rule. ``factor(t, beta1, beta2, eps)`` is the exact length of step t in units
    of lr, t (n,) from 1 on, where every gradient so far was 1. ``scaled``: it divides by the root of an average of
    g². ``optimizer`` is the entry of ``OPTIMIZERS`` that it is or is nearest to; ``plain`` says that it is that one,
    up to a constant factor of lr.
    """

    name: str
    build: Callable[[float, float, float, float], Rule]
    factor: Callable[[NDArray[np.integer[Any]], float, float, float], Array]
    scaled: bool
    optimizer: str
    plain: bool


def _averaged(lr: float, beta1: float) -> Rule:
    """Step by the average of gradients: the heavy ball with lr(1−β₁), whose velocity is the average over 1−β₁."""
    return OPTIMIZERS["Momentum"].build(lr=lr * (1 - beta1), momentum=beta1)


def _corrected_average(lr: float, beta1: float) -> Rule:
    """Divide the step of ``_averaged`` by 1 − β₁^t."""
    inner = _averaged(lr, beta1)

    def update(grad: Array, state: State, w: Array) -> tuple[Array, State]:
        step, new = inner.update(grad, state, w)
        return step / (1 - beta1**new.t), new

    return Rule(inner.init, update)


def _adam(correction: bool) -> Callable[[float, float, float, float], Rule]:
    def build(lr: float, beta1: float, beta2: float, eps: float) -> Rule:
        return OPTIMIZERS["Adam"].build(lr=lr, beta1=beta1, beta2=beta2, eps=eps, bias_correction=correction)

    return build


def _ones(t: ArrayLike) -> Array:
    return np.ones(np.shape(t))


def _divided(numerator: ArrayLike, root: ArrayLike, eps: float) -> Array:
    return np.asarray(np.asarray(numerator) / (np.asarray(root) + eps))


def _sum_of_divided(t: NDArray[np.integer[Any]], beta1: float, beta2: float, eps: float) -> Array:
    """Sum β₁^k/(√(1 − β₂^{t−k}) + ε) over the ages k of the steps so far."""
    last = int(np.max(t))
    divided = 1 / (np.sqrt(1 - beta2 ** np.arange(1, last + 1)) + eps)
    return np.asarray(np.convolve(momentum_weights(beta1, last), divided)[np.asarray(t) - 1])


_INGREDIENTS = (
    Ingredients(
        "GD",
        lambda lr, b1, b2, eps: OPTIMIZERS["GD"].build(lr=lr),
        lambda t, b1, b2, eps: _ones(t),
        scaled=False, optimizer="GD", plain=True,
    ),
    Ingredients(
        "average",
        lambda lr, b1, b2, eps: _averaged(lr, b1),
        lambda t, b1, b2, eps: np.asarray(1 - b1 ** np.asarray(t, float)),
        scaled=False, optimizer="Momentum", plain=True,
    ),
    Ingredients(
        "average, corrected",
        lambda lr, b1, b2, eps: _corrected_average(lr, b1),
        lambda t, b1, b2, eps: _ones(t),
        scaled=False, optimizer="Momentum", plain=False,
    ),
    Ingredients(
        "scaling",
        lambda lr, b1, b2, eps: OPTIMIZERS["RMSProp"].build(lr=lr, rho=b2, eps=eps),
        lambda t, b1, b2, eps: _divided(1.0, np.sqrt(1 - b2 ** np.asarray(t, float)), eps),
        scaled=True, optimizer="RMSProp", plain=True,
    ),
    Ingredients(
        "scaling, corrected",
        lambda lr, b1, b2, eps: _adam(True)(lr, 0.0, b2, eps),
        lambda t, b1, b2, eps: _divided(_ones(t), 1.0, eps),
        scaled=True, optimizer="RMSProp", plain=False,
    ),
    Ingredients(
        "both",
        _adam(False),
        lambda t, b1, b2, eps: _divided(1 - b1 ** np.asarray(t, float), np.sqrt(1 - b2 ** np.asarray(t, float)), eps),
        scaled=True, optimizer="Adam", plain=False,
    ),
    Ingredients(
        "both, corrected",
        _adam(True),
        lambda t, b1, b2, eps: _divided(_ones(t), 1.0, eps),
        scaled=True, optimizer="Adam", plain=True,
    ),
    Ingredients(
        "RMSProp with momentum",
        lambda lr, b1, b2, eps: OPTIMIZERS["RMSProp"].build(lr=lr, rho=b2, momentum=b1, eps=eps),
        _sum_of_divided,
        scaled=True, optimizer="RMSProp", plain=False,
    ),
)  # fmt: skip

INGREDIENTS: dict[str, Ingredients] = {entry.name: entry for entry in _INGREDIENTS}


def constant_gradient_steps(
    entry: Ingredients, steps: int, *, beta1: float, beta2: float, eps: float = 0.0
) -> Array:
    """Run a rule on the constant gradient 1 and return the length of every step in units of lr, (steps,)."""
    rule = entry.build(1.0, beta1, beta2, eps)
    w, one = np.zeros(1), np.ones(1)
    state = rule.init(w)
    lengths = np.empty(_counted(steps, "steps"))
    for t in range(steps):
        step, state = rule.update(one, state, w)
        lengths[t] = -step[0]
    return lengths


def adam_ablation(
    problem: Problem,
    start: ArrayLike,
    steps: int,
    *,
    rate: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> dict[str, Descent]:
    """Let every entry of ``INGREDIENTS`` descend from the same start.

    Args:
        problem: what is descended, with its exact gradient.
        start: (..., d).
        steps: number of updates.
        rate: learning rate of the rules that multiply a gradient by it.
        lr: learning rate of the scaled rules, about the length of a step.
        beta1, beta2: decays of the averages of g and g².
        eps: added to the root.

    Returns:
        name → its run.
    """
    return {
        name: descend(problem, entry.build(lr if entry.scaled else rate, beta1, beta2, eps), start, steps)
        for name, entry in INGREDIENTS.items()
    }
