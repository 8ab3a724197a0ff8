"""What the app measures to judge the notes' sentences about initialization, by the id of the sentence.

Small functions compute the numbers with ``core``, so that they can be tested by themselves; ``MEASURES`` puts
them into words at call time. Texts are set in Markdown within a directive: no unpaired brackets, no tildes.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from charts.describe import numbers
from charts.topic import Measured
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import FAMILIES, INITIALIZERS, Initializer
from core.kept import keep
from core.knobs import number
from core.network import CROSS_ENTROPY, Params, backward, forward, init_network, train
from core.optimizers import OPTIMIZERS
from core.propagation import pooled_rms, propagate, propagate_theory
from core.special import Array, normal_cdf, normal_pdf
from core.streams import stream

_EXACT = 1e-12  # differences below are rounding


# The numbers: symmetry

_CORNERS: Array = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
_CLASSES: Array = np.array([0.0, 1.0, 1.0, 0.0])
_SIZES = (2, 8, 1)
_STEPS, _RATE = 1000, 0.5
_LEVEL = 0.5  # of the constant weights
_NOISE = (0.0, 1e-6, 1e-3, 1.0)


class Learned(NamedTuple):
    """A 2-8-1 tanh network on the four points of exclusive or, before and after training by gradient descent."""

    spread: float  # of the hidden values over the four inputs at the start: the largest standard deviation
    gradient: float  # the largest entry of the loss's gradient at the start
    start: float  # loss
    loss: float
    units: int  # distinct hidden units at the end
    apart: float  # the largest distance between the incoming weights of two units at the end


def _constant(level: float, noise: float = 0.0, last: float = 1.0) -> Params:
    """Fill all weights with a level plus noise, biases with 0; ``last`` multiplies the output layer."""
    drawn = init_network(_SIZES, INITIALIZERS["N(0, 1)"], seed=0)
    first, second = (level + noise * weight for weight in drawn.weights)
    return Params((first, last * second), drawn.biases)


def _random(last: float = 1.0) -> Params:
    drawn = init_network(_SIZES, INITIALIZERS["Glorot normal"], seed=0)
    return Params((drawn.weights[0], last * drawn.weights[1]), drawn.biases)


_STARTS: Mapping[str, Callable[[], Params]] = {
    "zeros": lambda: _constant(0.0),
    **{f"constant, noise {noise}": lambda noise=noise: _constant(_LEVEL, noise) for noise in _NOISE},  # type: ignore[misc]
    "random": _random,
    "random, output layer 0": lambda: _random(0.0),
}


def distinct_units(params: Params) -> int:
    """Count the hidden units of a network with one hidden layer that differ in a weight or bias by over 1e-9."""
    units = np.vstack([params.weights[0], params.biases[0], params.weights[1].T])
    return len(np.unique(np.round(units, 9), axis=1).T)


@keep(entries=1)
def symmetry() -> Mapping[str, Learned]:
    """Train exclusive or from every start: 1,000 steps of gradient descent at rate 0.5, all points in every step."""
    tanh = ACTIVATIONS["tanh"]
    starts = [build() for build in _STARTS.values()]
    together = Params(
        tuple(np.stack([p.weights[layer] for p in starts]) for layer in (0, 1)),
        tuple(np.stack([p.biases[layer] for p in starts]) for layer in (0, 1)),
    )
    target = _CLASSES[:, None]
    rule = OPTIMIZERS["GD"].build(lr=_RATE)
    run = train(together, _CORNERS, target, activation=tanh, rule=rule, steps=_STEPS, record_every=_STEPS)
    found = {}
    for i, (name, start) in enumerate(zip(_STARTS, starts, strict=True)):
        up = forward(start, _CORNERS, tanh)
        down = backward(start, up, CROSS_ENTROPY.gradient(up.output, target), tanh).gradient
        end = run.final.at(i)
        columns = end.weights[0].T
        found[name] = Learned(
            spread=float(np.max(np.std(up.inputs[1], axis=0))),
            gradient=max(float(np.max(np.abs(g))) for g in (*down.weights, *down.biases)),
            start=float(run.loss[0, i]),
            loss=float(run.loss[-1, i]),
            units=distinct_units(end),
            apart=float(np.max(np.linalg.norm(columns[:, None] - columns, axis=-1))),
        )
    return MappingProxyType(found)


def one_unit_limit() -> float:
    """Return the least loss of exclusive or that one unit can reach if it weighs both inputs equally.

    Its output is then monotone in x + y, which is −2, 0, 0, 2: at best 0 at one end and ⅔ at the three other points.
    """
    p = 2 / 3
    return -0.75 * (p * math.log(p) + (1 - p) * math.log(1 - p))


class Draws(NamedTuple):
    """A family's draws of standard deviation 1: pairs of equal units, share near the mean, and runs that learn."""

    equal: int  # among 100,000 units of three weights
    near: float  # share of weights within half a standard deviation of 0
    learned: int  # of 40 networks


_UNITS, _FAN, _RUNS, _SHORT = 100_000, 3, 40, 500


@keep(entries=2)
def draws(family: str) -> Draws:
    """Count equal units, and which of 40 2-8-1 networks classify exclusive or after 500 steps of gradient descent."""
    units = FAMILIES[family](_UNITS, _FAN, stream(0))
    scheme = {"normal": INITIALIZERS["Glorot normal"], "uniform": INITIALIZERS["Glorot uniform"]}[family]
    run = train(
        init_network(_SIZES, scheme, seed=range(_RUNS)),
        _CORNERS,
        _CLASSES,
        activation=ACTIVATIONS["tanh"],
        rule=OPTIMIZERS["GD"].build(lr=_RATE),
        steps=_SHORT,
        record_every=_SHORT,
    )
    return Draws(
        equal=_UNITS - len(np.unique(units, axis=0)),
        near=float(np.mean(np.abs(units) < 0.5)),
        learned=int(np.sum(run.accuracy[-1] == 1)),
    )


class Signs(NamedTuple):
    """Share of active ReLU units by the signs of their weights, and the share of features above 0."""

    positive: float
    negative: float
    mixed: float
    above: float


@keep(entries=2)
def signs(standardized: bool, n: int = 400, features: int = 64, units: int = 256) -> Signs:
    """Send the sizes of standard normal numbers, as they are or standardized, through one layer of ReLU units."""
    x = np.abs(stream(0, 0).standard_normal((n, features)))
    if standardized:
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    w = stream(0, 1).standard_normal((features, units))
    shares = [float(np.mean(x @ weight > 0)) for weight in (np.abs(w), -np.abs(w), w)]
    return Signs(shares[0], shares[1], shares[2], float(np.mean(x > 0)))


# The numbers: scales


class Sample(NamedTuple):
    """One drawn matrix: the scheme's standard deviation, the drawn variance and the largest size of an entry."""

    std: float
    variance: float
    largest: float


def sample(scheme: Initializer, fan_in: int, fan_out: int) -> Sample:
    """Draw W of shape (fan_in, fan_out)."""
    w = scheme.draw(fan_in, fan_out, stream(0))
    return Sample(scheme.std(fan_in, fan_out), float(np.var(w)), float(np.max(np.abs(w))))


def limit(name: str, fan_in: int, fan_out: int) -> float:
    """Return the bound of a uniform scheme.

    Raises:
        ValueError: the scheme has none.
    """
    bound = INITIALIZERS[name].bound
    if bound is None:
        raise ValueError(f"{name} has no bound")
    return bound(fan_in, fan_out)


class Ends(NamedTuple):
    """Signal after the last layer and gradient before the first, rms: measured and by mean-field theory."""

    signal: float
    signal_theory: float
    gradient: float
    gradient_theory: float


_DEEP, _WIDE, _NETWORKS = 50, 100, 4


@keep(entries=32)
def ends(
    activation: str, scheme: str, gain: float | None = None, depth: int = _DEEP, width: int = _WIDE
) -> Ends:
    """Send a signal of rms 1 up and a gradient of rms 1 down, four networks; ``gain`` is that of "custom"."""
    entry = INITIALIZERS[scheme] if gain is None else INITIALIZERS[scheme].at(gain=gain)
    phi = ACTIVATIONS[activation]
    run = propagate(
        phi, [entry], depth=depth, width=width, batch=2, seeds=_NETWORKS, seed=0, weight_gradients=False
    )
    theory = propagate_theory(phi, [entry], depth=depth, width=width)
    return Ends(
        float(pooled_rms(run.signal_rms)[0, -1]),
        float(theory.signal_rms[0, -1]),
        float(pooled_rms(run.gradient_rms)[0, 0]),
        float(theory.gradient_rms[0, 0]),
    )


_FLAT = 0.01  # slopes below are saturated


@lru_cache(maxsize=4)
def saturated(scheme: str, depth: int = 20, width: int = 100) -> float:
    """Return the share of tanh units of the last layer whose slope is below 0.01, one network and eight inputs."""
    tanh, h = ACTIVATIONS["tanh"], stream(0, 0).standard_normal((8, width))
    for layer in range(1, depth + 1):
        h = tanh.f(h) @ INITIALIZERS[scheme].draw(width, width, stream(0, layer))
    return float(np.mean(tanh.df(h) < _FLAT))


@lru_cache(maxsize=8)
def moons_loss(scheme: str, hidden: int) -> float:
    """Return the median loss of three tanh networks, layers of 16 units, after 200 steps of gradient descent (0.5)."""
    points, labels = DATASETS["moons"].draw(64, 0.1, stream(0))
    run = train(
        init_network((2, *[16] * hidden, 1), INITIALIZERS[scheme], seed=(0, 1, 2)),
        points,
        labels,
        activation=ACTIVATIONS["tanh"],
        rule=OPTIMIZERS["GD"].build(lr=_RATE),
        steps=200,
        record_every=200,
    )
    return float(np.median(run.loss[-1]))


# Variance of a weight by fan_in and fan_out: the layer's own units, as the notes have it, and two rules of the papers.
RULES: Mapping[str, Callable[[int, int], float]] = {
    "1/n of the layer itself": lambda fan_in, fan_out: 1 / fan_out,
    "1/fan_in": lambda fan_in, fan_out: INITIALIZERS["LeCun normal"].std(fan_in, fan_out) ** 2,
    "2/(fan_in + fan_out)": lambda fan_in, fan_out: INITIALIZERS["Glorot normal"].std(fan_in, fan_out) ** 2,
}


@lru_cache(maxsize=4)
def output_variances(fan_in: int, fan_out: int) -> tuple[float, ...]:
    """Return the variance of y = xW by rule, for 400 standard normal inputs and one draw of W."""
    x = stream(0, 0).standard_normal((400, fan_in))
    unit = float(np.mean((x @ FAMILIES["normal"](fan_in, fan_out, stream(0, 1))) ** 2))
    return tuple(rule(fan_in, fan_out) * unit for rule in RULES.values())


def truncated_std(cut: float = 2.0) -> float:
    """Return the standard deviation of a standard normal number that is drawn again outside ±cut."""
    inside = 2 * float(normal_cdf(np.array(cut))) - 1
    return math.sqrt(1 - 2 * cut * float(normal_pdf(np.array(cut))) / inside)


class Truncated(NamedTuple):
    """Normal draws, those within two standard deviations alone, and untruncated ones."""

    std: float
    largest: float
    untruncated: float  # the largest


@keep(entries=1)
def truncated(n: int = 200_000) -> Truncated:
    """Draw n standard normal numbers and keep those within ±2."""
    drawn = stream(0).standard_normal(n)
    kept = drawn[np.abs(drawn) <= 2]
    return Truncated(float(kept.std()), float(np.max(np.abs(kept))), float(np.max(np.abs(drawn))))


class Step(NamedTuple):
    """One step of gradient descent on y = x·w, m inputs: both outputs before it, and how far it moves them."""

    standard: float
    ntk: float
    standard_moved: float
    ntk_moved: float


def ntk_step(m: int, lr: float = 0.01, factor: float = 1.0) -> Step:
    """Step with w of variance 1/m, and with w = v/√m, v of variance 1, at ``factor`` times the rate; target 1."""
    x, v = stream(m, 0).standard_normal(m), stream(m, 1).standard_normal(m)
    w = v / math.sqrt(m)
    before = float(x @ w), float(x @ v) / math.sqrt(m)
    w = w - lr * (before[0] - 1) * x
    v = v - factor * lr * (before[1] - 1) * x / math.sqrt(m)
    return Step(*before, float(x @ w) - before[0], float(x @ v) / math.sqrt(m) - before[1])


def refused_shape() -> str:
    """Return the name of the error that NumPy's ``randn`` raises for a shape given as one tuple, or ''."""
    try:
        np.random.RandomState(0).randn((2, 2))  # type: ignore[call-overload]
    except TypeError as error:
        return type(error).__name__
    return ""


# What they say


def _start_random() -> Measured:
    zeros, random = symmetry()["zeros"], symmetry()["random"]
    return Measured(
        random.loss < zeros.loss / 10 and zeros.units == 1,
        f"A 2-8-1 tanh network on exclusive or, {_STEPS:,} steps: from zeros the loss stays at {number(zeros.loss, 4)}, which is "
        f"log 2, with {zeros.units} distinct hidden unit of {_SIZES[1]}; from random weights it ends at {number(random.loss)} "
        f"with {random.units}.",
    )


def _all_zero() -> Measured:
    zeros, half = symmetry()["zeros"], symmetry()["random, output layer 0"]
    return Measured(
        zeros.loss < zeros.start - _EXACT,
        f"On exclusive or, all parameters at zero, the largest entry of the gradient is {number(zeros.gradient)}, and the loss "
        f"is {number(zeros.start, 4)} before and {number(zeros.loss, 4)} after {_STEPS:,} steps. With zero biases and a zero "
        f"output layer over random hidden weights it ends at {number(half.loss)}.",
    )


def _zero_bias() -> Measured:
    random = symmetry()["random"]
    return Measured(
        random.units == _SIZES[1] and random.loss < 0.1,
        f"All biases at 0 and weights random: {random.units} distinct hidden units of {_SIZES[1]} after {_STEPS:,} steps, and "
        f"the loss of exclusive or goes from {number(random.start)} to {number(random.loss)}.",
    )


def _identical() -> Measured:
    found = [symmetry()[f"constant, noise {noise}"] for noise in _NOISE]
    small = [number(noise) for noise in _NOISE]
    return Measured(
        found[0].units == 1 and found[0].apart < 1e-9 and all(f.units > 1 for f in found[1:]),
        f"All weights {number(_LEVEL)} plus noise of size {', '.join(small)}: after {_STEPS:,} steps on exclusive or the units "
        f"lie up to {numbers([f.apart for f in found])} apart, {', '.join(str(f.units) for f in found)} of {_SIZES[1]} are "
        f"distinct, and the loss is {numbers([f.loss for f in found])}. What acts as one unit cannot go below "
        f"{number(one_unit_limit())}.",
    )


def _independent_of_input() -> Measured:
    zeros, constant = symmetry()["zeros"], symmetry()["constant, noise 0.0"]
    return Measured(
        zeros.spread > 0,
        f"With zero weights the hidden values vary by {number(zeros.spread)} over the four inputs of exclusive or, and the "
        f"largest entry of the gradient is {number(zeros.gradient)}. With all weights {number(_LEVEL)} they vary by up to "
        f"{number(constant.spread)}, but {constant.units} distinct unit of {_SIZES[1]} is left after {_STEPS:,} steps.",
    )


def _no_ties() -> Measured:
    normal, uniform = draws("normal"), draws("uniform")
    return Measured(
        normal.equal > uniform.equal,
        f"Among {_UNITS:,} units of {_FAN} weights {normal.equal} are equal with normal and {uniform.equal} with uniform draws. "
        f"Within half a standard deviation of 0 lie {number(100 * normal.near)}% and {number(100 * uniform.near)}% of the "
        f"weights. With equal variance, {normal.learned} and {uniform.learned} of {_RUNS} networks learn exclusive "
        f"or in {_SHORT} steps.",
    )


def _uniform_ends() -> Measured:
    bound = limit("LeCun uniform", 300, 300)
    drawn = sample(INITIALIZERS["LeCun uniform"], 300, 300)
    return Measured(
        None,
        f"With a = −{number(bound)} and b = {number(bound)}, which is √(3/300), (b − a)²/12 is {number((2 * bound) ** 2 / 12)} "
        f"and 90,000 draws have variance {number(drawn.variance)}; the largest is {number(drawn.largest)}.",
    )


def _signs_of_weights() -> Measured:
    found = signs(False)
    return Measured(
        found.positive == 1 and found.negative == 0 and 0.4 < found.mixed < 0.6,
        f"For features that are all positive, ReLU units with positive weights are active on {number(100 * found.positive)}% of "
        f"the inputs, with negative weights on {number(100 * found.negative)}%, with mixed ones of mean 0 on "
        f"{number(100 * found.mixed)}%.",
    )


def _positive_features() -> Measured:
    raw, scaled = signs(False), signs(True)
    return Measured(
        scaled.above > 0.9,
        f"The sizes of normal numbers are positive in {number(100 * raw.above)}% of the cases, standardized ones in "
        f"{number(100 * scaled.above)}%. Then positive weights leave {number(100 * scaled.positive)}% of the units active, "
        f"negative ones {number(100 * scaled.negative)}% and mixed ones {number(100 * scaled.mixed)}%: the signs matter only "
        "for positive features.",
    )


_TINY, _SCALED = "N(0, 0.01²)", "LeCun normal"


def _faster() -> Measured:
    shallow, deep = ([moons_loss(name, hidden) for name in ("N(0, 1)", _SCALED, _TINY)] for hidden in (1, 5))
    return Measured(
        shallow[2] < min(shallow[:2]) and deep[2] < min(deep[:2]),
        f"After 200 steps of gradient descent on two moons, weights from N(0, 1), LeCun normal and N(0, 0.01²) have brought "
        f"the loss to {numbers(shallow)} with one hidden tanh layer and to {numbers(deep)} with five; at the "
        f"start it is near log 2, {number(math.log(2))}.",
    )


def _fades() -> Measured:
    five, twenty = (ends("tanh", _TINY, depth=depth) for depth in (5, 20))
    return Measured(
        None,
        f"In tanh layers of {_WIDE} units, weights from N(0, 0.01²) leave of a signal of rms 1 {number(five.signal)} after five "
        f"layers (theory {number(five.signal_theory)}) and {number(twenty.signal)} after twenty (theory "
        f"{number(twenty.signal_theory)}). With one hidden layer the loss still reaches {number(moons_loss(_TINY, 1))} on two "
        f"moons, with five {number(moons_loss(_TINY, 5))}.",
    )


def _index() -> Measured:
    narrowing, widening = output_variances(1000, 10), output_variances(10, 1000)
    return Measured(
        all(0.5 < v[0] < 2 for v in (narrowing, widening)),
        f"From 1,000 units to 10, inputs of variance 1 come out with variance {number(narrowing[0])} for weights of variance 1/n "
        f"with n the layer's own units, {number(narrowing[1])} with n those before it and {number(narrowing[2])} for Glorot; "
        f"from 10 to 1,000 with {numbers(widening)}. In layers of equal width the three are one.",
    )


def _he() -> Measured:
    he, lecun = ends("ReLU", "He normal"), ends("ReLU", "LeCun normal")
    return Measured(
        abs(he.signal_theory - 1) < 1e-9 and 0.3 < he.signal < 3,
        f"After {_DEEP} ReLU layers of {_WIDE} units a signal of rms 1 has rms {number(he.signal)} with variance 2/n (theory "
        f"{number(he.signal_theory)}) and {number(lecun.signal)} with 1/n (theory {number(lecun.signal_theory)}); the gradient "
        f"has {number(he.gradient)} and {number(lecun.gradient)}.",
    )


def _he_of_fan_in() -> Measured:
    drawn = sample(INITIALIZERS["He normal"], 400, 100)
    return Measured(
        None,
        f"From 400 units to 100, 40,000 draws have variance {number(drawn.variance)}; 2/400 is {number(2 / 400)}, 2/100 would be "
        f"{number(2 / 100)}. The square root is the standard deviation, {number(drawn.std)}.",
    )


def _both_ways() -> Measured:
    level, large = ends("tanh", "LeCun normal", depth=20), ends("tanh", "N(0, 1)", depth=20)
    shares = saturated("LeCun normal"), saturated("N(0, 1)")
    return Measured(
        0.1 < level.gradient < 10 and not 0.1 < large.gradient < 10 and shares[0] < 0.01 < shares[1],
        f"Twenty tanh layers of {_WIDE} units with variance 1/n: rms {number(level.signal)} of the signal (theory "
        f"{number(level.signal_theory)}), {number(level.gradient)} of the gradient, {number(100 * shares[0])}% of the last units "
        f"saturated. With variance 1: {number(large.signal)}, {number(large.gradient)} and {number(100 * shares[1])}%.",
    )


def _glorot_fans() -> Measured:
    fans = ((400, 100), (100, 400), (400, 400))
    found = [limit("Glorot uniform", *fan) for fan in fans]
    drawn = [sample(INITIALIZERS["Glorot uniform"], *fan).largest for fan in fans]
    return Measured(
        found[0] == found[1] != found[2],
        f"From 400 units to 100 its limit is {number(found[0], 4)}, from 100 to 400 {number(found[1], 4)}, from 400 to 400 "
        f"{number(found[2], 4)}; the largest weights drawn are {numbers(drawn, 4)}.",
    )


def _limit(name: str, exact: Callable[[int, int], float], root: str) -> Measured:
    fan = (400, 100)
    found, drawn = limit(name, *fan), sample(INITIALIZERS[name], *fan)
    return Measured(
        abs(found - exact(*fan)) < _EXACT and drawn.largest <= found,
        f"From 400 units to 100 the limit is {root} = {number(found, 4)}. Of 40,000 draws the largest is "
        f"{number(drawn.largest, 4)}, and their variance {number(drawn.variance)} is near limit²/3, {number(found**2 / 3)}.",
    )


def _truncation() -> Measured:
    found, exact = truncated(), truncated_std()
    linear = ends("identity", "custom", exact)
    return Measured(
        found.untruncated <= 2,
        f"Draws within two standard deviations have {number(found.std, 4)} of the spread (exactly {number(exact, 5)}), which "
        f"Keras divides out; without that, {_DEEP} linear layers shrink a signal to {number(linear.signal)} (theory "
        f"{number(linear.signal_theory)}). Untruncated, as in PyTorch, the largest of 200,000 draws is "
        f"{number(found.untruncated)} standard deviations.",
    )


def _linear_or_relu() -> Measured:
    linear, relu, he = (
        ends(phi, name)
        for phi, name in (("identity", "Glorot normal"), ("ReLU", "Glorot normal"), ("ReLU", "He normal"))
    )
    return Measured(
        max(abs(linear.signal_theory - 1), abs(he.signal_theory - 1)) < 1e-9 and relu.signal_theory < 1e-3,
        f"After {_DEEP} layers a signal of rms 1 has rms {number(linear.signal)} with Glorot's weights and no activation (theory "
        f"{number(linear.signal_theory)}), {number(relu.signal)} with ReLU (theory {number(relu.signal_theory)}), and "
        f"{number(he.signal)} with He's weights and ReLU (theory {number(he.signal_theory)}).",
    )


def _in_use() -> Measured:
    names = ("PyTorch Linear", "Glorot uniform", "He normal")
    factors = [
        ends("ReLU", name, depth=1).signal_theory for name in names
    ]  # the first layer's, which are all the same
    drawn = sample(INITIALIZERS["PyTorch Linear"], 400, 400)
    return Measured(
        None,
        f"Use is not measured here. PyTorch's Linear draws with variance 1/(3n): {number(drawn.variance)} for n = 400, where "
        f"1/1200 is {number(1 / 1200)}; Keras starts with Glorot's uniform. With ReLU a layer multiplies the rms by "
        f"{number(factors[0])} with the first, {number(factors[1])} with the second and {number(factors[2])} with He's.",
    )


def _larger() -> Measured:
    stds = (0.01, 0.1, 1.0)
    unit = FAMILIES["normal"](200, 200, stream(0))
    sizes = [float(np.mean(np.abs(std * unit))) for std in stds]
    return Measured(
        sizes == sorted(sizes),
        f"With σ = {numbers(stds)}, 40,000 weights have a mean size of {numbers(sizes)}; σ√(2/π) is "
        f"{numbers([std * math.sqrt(2 / math.pi) for std in stds])}.",
    )


def _whose_variance() -> Measured:
    fan = (400, 100)
    lecun, glorot, he = (
        sample(INITIALIZERS[name], *fan) for name in ("LeCun normal", "Glorot normal", "He normal")
    )
    square = [INITIALIZERS[name].std(256, 256) for name in ("LeCun normal", "Glorot normal")]
    return Measured(
        abs(glorot.std**2 - 1 / fan[0]) < _EXACT,
        f"From 400 units to 100, 1/m is {number(1 / 400)}: LeCun's draws have variance {number(lecun.variance)}, Glorot's "
        f"{number(glorot.variance)} and He's {number(he.variance)}. From 256 to 256 the standard deviations of LeCun and "
        f"Glorot are {numbers(square)}.",
    )


def _ntk() -> Measured:
    found = [(m, ntk_step(m), ntk_step(m, factor=float(m))) for m in (100, 10_000)]
    ratios = [step.standard_moved / step.ntk_moved for _, step, _ in found]
    same = max(abs(step.standard - step.ntk) for _, step, _ in found)
    matched = max(abs(step.standard_moved / step.ntk_moved - 1) for _, _, step in found)
    return Measured(
        None,
        f"For m = 100 and 10,000 inputs the outputs are the same to {number(same, 2)}, and "
        f"one step at the same rate moves the standard one {numbers(ratios, 5)} times as far. At m times the rate the "
        f"steps agree to {number(matched, 2)}: the larger rate only makes up for the division.",
    )


def _one_over_m() -> Measured:
    width = _WIDE
    steep, right = ends("identity", "custom", 1 / math.sqrt(width)), ends("identity", "LeCun normal")
    relu = ends("ReLU", "He normal")
    return Measured(
        0.1 < steep.signal < 10,
        f"In {_DEEP} linear layers of M = {width} units, σ = 1/M leaves a signal of rms {number(steep.signal)} (theory "
        f"{number(steep.signal_theory)}), σ = 1/√M one of {number(right.signal)} (theory {number(right.signal_theory)}); with "
        f"ReLU √(2/M) leaves {number(relu.signal)}. At M = 1024 the theory for 1/M is {number(1024.0 ** (-_DEEP / 2))}.",
    )


def _gain_counts() -> Measured:
    up, down = (ends("identity", "custom", gain) for gain in (1.1, 0.9))
    return Measured(
        None,
        f"{_DEEP} linear layers of {_WIDE} units with gains 1.1 and 0.9, whose weights are near {number(1.1 / math.sqrt(_WIDE))} "
        f"and {number(0.9 / math.sqrt(_WIDE))} in size, multiply a signal by {number(up.signal)} and {number(down.signal)} "
        f"(theory {number(up.signal_theory)} and {number(down.signal_theory)}), as one weight of 1.1 or 0.9 does.",
    )


def _shape() -> Measured:
    error = refused_shape()
    drawn = stream(0).standard_normal((2, 2))
    return Measured(
        error == "",
        f"NumPy's randn takes the sizes one by one: for the tuple (2, 2) it raises {error or 'nothing'}. The normal draw of a "
        f"Generator takes the tuple, and gives {drawn.size} numbers.",
    )


MEASURES: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {
        "S2": _start_random,
        "S62": _all_zero,
        "S111": _faster,
        "S112": _zero_bias,
        "S137": _index,
        "S138": _he,
        "S207": _both_ways,
        "S208": _glorot_fans,
        "S209": lambda: _limit("LeCun uniform", lambda fan_in, _: math.sqrt(3 / fan_in), "√(3/400)"),
        "S210": _truncation,
        "S211": lambda: _limit("Glorot uniform", lambda m, n: math.sqrt(6 / (m + n)), "√(6/500)"),
        "S212": _linear_or_relu,
        "S213": _in_use,
        "S289": _identical,
        "S290": _no_ties,
        "S291": _uniform_ends,
        "S292": _signs_of_weights,
        "S293": _larger,
        "S294": _whose_variance,
        "S295": _ntk,
        "S296": _one_over_m,
        "E1": _independent_of_input,
        "E49": _shape,
        "E50": _fades,
        "E60": _gain_counts,
        "E61": _index,
        "E107": _truncation,
        "E108": _he_of_fan_in,
        "E109": _in_use,
        "E149": _no_ties,
        "E150": _uniform_ends,
        "E151": _positive_features,
        "E152": _whose_variance,
        "E153": _ntk,
        "E154": _one_over_m,
    }
)
