"""What the app measures to judge the notes' sentences about dropout, by the id of the sentence.

Small functions compute the numbers with ``core``, so that they can be tested by themselves; ``MEASURES`` puts
them into words at call time. Texts are set in Markdown within a directive: no unpaired brackets, no tildes. There p
is the probability to drop, as in the notes; underscores would be read as Markdown.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charts import progress
from charts.describe import numbers, percent
from charts.topic import Measured
from core.activations import ACTIVATIONS
from core.dropout import draw_mask, drop, drop_backward, dropout_layer, dropout_moments, evaluate
from core.dropout_ensemble import (
    Ensemble,
    all_masks,
    distinct_so_far,
    draw_indices,
    effective_masks,
    enumerate_ensemble,
    expected_distinct,
    kept_probability,
    mask_probability,
    regression_rates,
)
from core.dropout_network import error_without, two_twins, two_twins_theory
from core.dropout_nonlinear import nonlinearity_gap
from core.dropout_training import (
    TASK_INPUTS,
    DropoutTraining,
    draw_regression,
    draw_task,
    dropout_regression,
    first_below,
    loss_and_gradient,
    participation,
    predict,
    ridge_weights,
    train_dropout,
)
from core.dropout_variants import measure_variance_shift
from core.kept import keep
from core.knobs import number
from core.network import CROSS_ENTROPY, Params
from core.streams import stream

Array = NDArray[np.floating[Any]]

_EXACT = 1e-12  # differences below are rounding
_HALF = 0.5  # the p of the notes' examples
_UNITS = 6  # of their example


# The numbers: masks and scales


class Kept(NamedTuple):
    """How many of six units are kept, over many passes, and the binomial probabilities."""

    mean: float
    three: float  # share of passes that keep exactly three
    none: float
    three_theory: float
    none_theory: float


@keep(entries=1)
def kept(passes: int = 10_000) -> Kept:
    """Drop six units with p = 0.5 again and again."""
    count = draw_mask((passes, _UNITS), _HALF, stream(0, 0)).sum(axis=1)
    exact = kept_probability(_UNITS, _HALF)
    return Kept(
        float(count.mean()),
        float(np.mean(count == 3)),
        float(np.mean(count == 0)),
        float(exact[3]),
        float(exact[0]),
    )


class Enumerated(NamedTuple):
    """Mean and variance of the sum of six units of 1/6 over all 64 masks, in training; and the sum in evaluation."""

    mean: float
    var: float
    evaluation: float
    values: int  # different sums in training


def enumerated(mode: str, p: float = _HALF) -> Enumerated:
    """Send six equal units through a mode under every mask; the mode does not mask in evaluation."""
    masks = all_masks(_UNITS)
    units = np.full(_UNITS, 1 / _UNITS)
    sums = drop(np.broadcast_to(units, masks.shape), p, masks, mode).sum(axis=1)
    weight = mask_probability(masks, p)
    mean = float(weight @ sums)
    return Enumerated(
        mean,
        float(weight @ (sums - mean) ** 2),
        float(evaluate(units, p, mode).sum()),
        len(np.unique(np.round(sums, 9))),
    )


def layer_ratio(mode: str) -> float:
    """Return the mean in evaluation over that in training, of six units under 2,000 masks."""
    run = dropout_layer(p=_HALF, inputs=_UNITS, masks=2000)
    return float(run.ratio[run.modes.index(mode)])


class Same(NamedTuple):
    """One input through 64 units again and again."""

    training: int  # different outputs in training
    evaluation: int
    spread: float  # standard deviation in training
    dropped: float  # share of zeros among the units in training
    zeros: float  # in evaluation


@keep(entries=1)
def repeated(passes: int = 100, units: int = 64) -> Same:
    """Pass the same units, 1 to 2 large, through inverted dropout, and sum them up."""
    x = np.linspace(1, 2, units)
    masked = drop(np.broadcast_to(x, (passes, units)), _HALF, draw_mask((passes, units), _HALF, stream(0, 1)))
    whole = np.array([evaluate(x, _HALF) for _ in range(passes)])
    sums, fixed = masked.mean(axis=1), whole.mean(axis=1)
    return Same(
        len(np.unique(np.round(sums, 12))),
        len(np.unique(fixed)),
        float(sums.std(ddof=1)),
        float(np.mean(masked == 0)),
        float(np.mean(whole == 0)),
    )


class PerExample(NamedTuple):
    """Different masks in a batch of four, and the spread of a batch's mean output, in that of one output."""

    masks: int
    own: float  # every example has its own mask
    shared: float  # one for the batch
    batch: int


@keep(entries=1)
def per_example(batch: int = 32, batches: int = 400, inputs: int = 50) -> PerExample:
    """Average a unit of equal contributions over batches whose examples have masks of their own, or share one."""
    four = draw_mask((4, inputs), _HALF, stream(0, 2))
    ones = np.full((batches, batch, inputs), 1 / inputs)
    own = drop(ones, _HALF, draw_mask(ones.shape, _HALF, stream(0, 3))).sum(axis=-1).mean(axis=1)
    shared = drop(ones, _HALF, draw_mask((batches, 1, inputs), _HALF, stream(0, 4))).sum(axis=-1).mean(axis=1)
    one = math.sqrt(float(dropout_moments(ones[0, 0], _HALF).train_var))
    return PerExample(len(np.unique(four, axis=0)), float(own.std() / one), float(shared.std() / one), batch)


class Biased(NamedTuple):
    """A unit w·x + b with w·x = 2 and b = 1: its mean in training without scaling, and ways to evaluate it."""

    training: float
    weights: float  # weights times 1 − p
    everything: float  # the bias too
    twice: float  # w·x in evaluation over its training mean, where both scale


def biased(product: float = 2.0, bias: float = 1.0) -> Biased:
    """Drop the input of the unit, not its bias, and scale in different places."""
    masks = np.array([[True], [False]])
    both = np.array([[product], [product]])
    return Biased(
        float(drop(both, _HALF, masks, "Classic").mean() + bias),
        float(evaluate(product, _HALF, "Classic") + bias),
        float(evaluate(product + bias, _HALF, "Classic")),
        float(evaluate(product, _HALF, "Scaled twice") / drop(both, _HALF, masks, "Scaled twice").mean()),
    )


def possible_masks(p: float, units: int = _UNITS) -> int:
    """Count the masks of some units that can be drawn at all."""
    return int(np.count_nonzero(mask_probability(all_masks(units), p)))


def seen_masks(units: int, steps: int) -> int:
    """Count the different masks in so many steps with p = 0.5."""
    return int(distinct_so_far(draw_indices(units, _HALF, samples=steps, runs=1, seed=0))[0, -1])


class Pixels(NamedTuple):
    """How much of a dropped value its kept neighbors give back, as a share of its variance."""

    map: float  # in smooth feature maps, units dropped one by one
    independent: float  # in maps of independent values
    channel: float  # in smooth maps that are dropped as a whole


def _smooth(x: Array) -> Array:
    """Average over 3 × 3 neighbors, twice, around the edges."""
    for _ in range(2):
        for axis in (-2, -1):
            x = (np.roll(x, 1, axis) + x + np.roll(x, -1, axis)) / 3
    return x


def _given_back(maps: Array, keep: NDArray[np.bool_]) -> float:
    """Return the share of the variance of dropped values that a multiple of their kept neighbors' mean explains."""
    total, count = np.zeros(maps.shape), np.zeros(maps.shape)
    for rows in (-1, 0, 1):
        for columns in (-1, 0, 1):
            if rows or columns:
                total += np.roll(drop(maps, _HALF, keep, "Classic"), (rows, columns), (-2, -1))
                count += np.roll(keep, (rows, columns), (-2, -1))
    near = total / np.maximum(count, 1)
    lost, guess = maps[~keep], near[~keep]
    if not guess.any():
        return 0.0
    return float((lost @ guess) ** 2 / (lost @ lost) / (guess @ guess))


@keep(entries=1)
def pixels(maps: int = 16, size: int = 32) -> Pixels:
    """Drop half of some feature maps: values one by one, or whole maps."""
    raw = stream(0, 5).standard_normal((maps, size, size))
    single = draw_mask(raw.shape, _HALF, stream(0, 6))
    whole = np.broadcast_to(draw_mask((maps, 1, 1), _HALF, stream(0, 7)), raw.shape)
    smooth = _smooth(raw)
    return Pixels(_given_back(smooth, single), _given_back(raw, single), _given_back(smooth, whole))


class Twins(NamedTuple):
    """Two inputs that say the same, from weights 1 and 0: weights after training, and the error without the first."""

    plain: tuple[float, float]
    dropout: tuple[float, float]
    limit: float  # either weight in theory, with dropout
    lost: tuple[float, float]  # squared error without the first input, by both


@keep(entries=1)
def twins(steps: int = 150, runs: int = 50) -> Twins:
    """Train with and without dropout at p = 0.5."""
    ends = [two_twins(p=p, steps=steps, runs=runs)[-1].mean(axis=0) for p in (0.0, _HALF)]
    plain, dropped = [(float(w[0]), float(w[1])) for w in ends]
    lost = [float(error_without(w)[1]) for w in ends]
    return Twins(plain, dropped, two_twins_theory(p=_HALF, steps=0, rate=0.0).limit, (lost[0], lost[1]))


class Spread(NamedTuple):
    """Weights of two features with correlation 0.9 of which the first alone acts: least squares, and dropout."""

    plain: tuple[float, float]
    closed: tuple[float, float]  # with dropout, the penalty's closed form
    trained: tuple[float, float]  # with dropout, under masks


@keep(entries=1)
def spread_weights() -> Spread:
    """Fit a linear regression of 20 points in three ways."""
    data = draw_regression(20, twin=0.9, noise=1.0, seed=0)
    trained = dropout_regression(data.x, data.y, [_HALF], seeds=range(3), steps=400).weights.mean(axis=(0, 1))
    plain, closed = ridge_weights(data.x, data.y, [0.0, _HALF])
    found = [(float(w[0]), float(w[1])) for w in (plain, closed, trained)]
    return Spread(found[0], found[1], found[2])


# The numbers: networks

HIDDEN = 64
_SIZES = (TASK_INPUTS, HIDDEN, 1)
POINTS = (16, 64, 256, 1024)
RATES = (0.0, 0.2, 0.5, 0.8)
_SOME, _MANY = POINTS.index(256), POINTS.index(1024)
_NONE, _HALVED = RATES.index(0.0), RATES.index(_HALF)
_NOISE, _STEPS, _SEEDS, _TEST = 0.2, 300, range(4), 400
AMOUNTS = (16, 64, 256, 1024, 4096)  # of points, where the gain is small: compared over more seeds
_SETS = range(16)
_SURE = 2.131  # 97.5% quantile of the t distribution with 15 degrees of freedom: sixteen seeds
_MEMBERS = 8


@keep(entries=1)
def trained() -> DropoutTraining:
    """Train a network on every number of points, with every p and on four seeds' data, in float32."""
    data = draw_task(max(POINTS), noise=_NOISE, seeds=_SEEDS)
    test = draw_task(_TEST, noise=0.0, seeds=_SEEDS, place=1)
    return train_dropout(
        data.x.astype(np.float32), data.given, _SIZES, RATES, seeds=_SEEDS, test=(test.x, test.truth), points=POINTS,
        steps=_STEPS, record=range(0, _STEPS + 1, 10),
    )  # fmt: skip


class Change(NamedTuple):
    """A difference of test errors, mean over the seeds of ``AMOUNTS``."""

    mean: float
    band: float  # half of its 95% band


class Changes(NamedTuple):
    """Test errors with p = 0.5 less those without dropout, for every number of ``AMOUNTS``."""

    plain: tuple[float, ...]  # the error without dropout
    change: tuple[Change, ...]
    best: int  # the place where dropout gains most
    rise: Change  # the change with most points less the one there


@keep(entries=1)
def changes() -> Changes:
    """Train with and without dropout on every number of points, and compare seed by seed."""
    data = draw_task(max(AMOUNTS), noise=_NOISE, seeds=_SETS)
    test = draw_task(_TEST, noise=0.0, seeds=_SETS, place=1)
    run = train_dropout(
        data.x.astype(np.float32), data.given, _SIZES, (0.0, _HALF), seeds=_SETS, test=(test.x, test.truth),
        points=AMOUNTS, steps=_STEPS, record=[_STEPS], report=progress.Share(0.0, 1.0, "Training networks").report,
    )  # fmt: skip
    plain, dropped = run.test_error[-1, :, 0], run.test_error[-1, :, 1]  # (points, seeds)
    apart = dropped - plain
    best = int(np.argmin(apart.mean(axis=-1)))
    return Changes(
        tuple(float(v) for v in plain.mean(axis=-1)),
        tuple(map(_change, apart)),
        best,
        _change(apart[-1] - apart[best]),
    )


def _change(apart: Array) -> Change:
    return Change(float(apart.mean()), _SURE * float(apart.std(ddof=1)) / math.sqrt(len(apart)))


def best_rate(points: int) -> float:
    """Return the p of ``RATES`` with the least mean test error on so many points, by their place."""
    return RATES[int(np.argmin(trained().test_error[-1, points].mean(axis=-1)))]


def steps_to(curve: Array, target: float) -> tuple[float, float]:
    """Return the recorded step at which a loss, mean over seeds, is at most the target: without and with p = 0.5."""
    found = first_below(trained().step, curve.mean(axis=-1), target)
    return float(found[_NONE]), float(found[_HALVED])


class Examined(NamedTuple):
    """Networks trained on 256 points without dropout and with p = 0.5, each a mean over seeds."""

    masked: tuple[float, float]  # test error with half of the hidden units masked
    zeros: tuple[float, float]  # share of hidden units that put out 0, in evaluation
    zeros_masked: tuple[float, float]  # in training
    even: tuple[float, float]  # (Σ|w|)²/(HΣw²) of the weights out of the hidden units


@keep(entries=1)
def examined(masks: int = 10) -> Examined:
    """Look at what the trained networks' hidden units do on the test points."""
    run, test = trained(), draw_task(_TEST, noise=0.0, seeds=_SEEDS, place=1)
    keep = draw_mask((masks, 1, 1, _TEST, HIDDEN), _HALF, stream(0, 8))
    ends = run.params.at((_SOME, [_NONE, _HALVED]))  # (2, S)
    hidden = np.maximum(test.x @ ends.weights[0] + ends.biases[0][..., None, :], 0)
    masked = drop(np.broadcast_to(hidden, (masks, *hidden.shape)), _HALF, keep)
    output = masked @ ends.weights[1] + ends.biases[1][..., None, :]
    wrong = ((output > 0) != (test.truth == 1)).mean(axis=(0, 2, 3, 4))
    # Without dropout nothing is masked in training.
    trained_zeros = float(np.mean(hidden[0] == 0)), float(np.mean(masked[:, 1] == 0))
    zeros = (hidden == 0).mean(axis=(1, 2, 3))
    even = participation(ends.weights[1][..., 0]).mean(axis=-1)
    return Examined(_two(wrong), _two(zeros), trained_zeros, _two(even))


def _two(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])


class Agreement(NamedTuple):
    """Cosines of the gradients of two masks, on the weights of the units that both keep."""

    mean: float
    alike: float  # share of pairs with a positive cosine
    pairs: int


def shared_cosines(gradient: Array, keep: NDArray[np.bool_]) -> Array:
    """Return the cosines of M masks' gradients (M, numbers, units), 0 where dropped, on units that both keep: (M, M)."""
    flat = gradient.reshape(len(gradient), -1)
    shared = np.square(gradient).sum(axis=1) @ keep.T  # squared length of one's gradient on the other's units
    return np.asarray((flat @ flat.T) / np.sqrt(shared * shared.T))


@keep(entries=1)
def agreement(masks: int = 48) -> Agreement:
    """Take the gradient of the loss on 256 points under many masks, in the networks trained with p = 0.5."""
    run = trained()
    data = draw_task(POINTS[_SOME], noise=_NOISE, seeds=_SEEDS)
    keep = draw_mask((masks, 1, HIDDEN), _HALF, stream(0, 9))
    factor = drop(np.ones(keep.shape), _HALF, keep)
    found = []
    for seed in range(len(_SEEDS)):
        ends = run.params.at((_SOME, _HALVED, seed))
        one = Params(tuple(w[None] for w in ends.weights), tuple(b[None] for b in ends.biases))
        _, gradient = loss_and_gradient(one, data.x[seed], data.given[seed], CROSS_ENTROPY, [factor])
        # By mask and hidden unit: the weights into it, its bias and the weight out of it.
        by_unit = np.concatenate(
            [gradient.weights[0], gradient.biases[0][:, None, :], gradient.weights[1].mT], axis=1
        )
        found.append(shared_cosines(by_unit, keep[:, 0])[np.triu_indices(masks, 1)])
    every = np.concatenate(found)
    return Agreement(float(every.mean()), float(np.mean(every > 0)), len(every))


class Committee(NamedTuple):
    """Test errors on the same data: one network, the mean of eight that were trained apart, one with dropout."""

    single: float
    together: float
    dropout: float


@keep(entries=1)
def committee(points: int = 256, test_points: int = 1000) -> Committee:
    """Train eight networks on the same points from different weights, and average their probabilities."""
    data = draw_task(points, noise=_NOISE, seeds=[0])
    test = draw_task(test_points, noise=0.0, seeds=[0], place=1)

    def every(part: Array) -> Array:
        return np.repeat(part, _MEMBERS, axis=0)

    run = train_dropout(
        every(data.x).astype(np.float32), every(data.given), _SIZES, (0.0, _HALF), seeds=range(_MEMBERS),
        test=(every(test.x[:, :1]), every(test.truth[:, :1])), steps=_STEPS,
    )  # fmt: skip
    output = predict(run.params, test.x)[0]  # (2, members, points, 1)
    truth = test.truth[0] == 1
    alone = ((output > 0) != truth).mean(axis=(1, 2, 3))
    mean = ACTIVATIONS["sigmoid"].f(output[_NONE]).mean(axis=0)
    return Committee(float(alone[0]), float(np.mean((mean > _HALF) != truth)), float(alone[1]))


_SOFTMAX, _RELU = "softmax layer", "ReLU hidden layer"


def _ensemble(net: str = _SOFTMAX, units: int = _UNITS) -> Ensemble:
    return enumerate_ensemble(net, units=units, p=_HALF, seed=0)


def averages_apart(net: str, units: int = _UNITS) -> float:
    """Return the largest difference between weight scaling and the renormalized geometric mean of all networks."""
    found = _ensemble(net, units)
    return float(np.max(np.abs(found.geometric - found.scaled)))


# What they say


def _and(values: Sequence[float] | Array, digits: int = 3) -> str:
    """Write a list that ends in “and”."""
    return f"{numbers(values[:-1], digits)} and {number(float(values[-1]), digits)}"


def _counts(values: Sequence[int]) -> str:
    return f"{', '.join(f'{n:,}' for n in values[:-1])} and {values[-1]:,}"


def _points(change: Change) -> str:
    """Write a difference of shares in percentage points, with half of its 95% band."""
    return f"{number(100 * change.mean, 2)} ± {number(100 * change.band, 2)}"


def _rounded(value: float) -> float:
    return 0.0 if abs(value) < _EXACT else value


_NETWORK = (
    f"A network of {HIDDEN} ReLU units trained on 256 points, {percent(_NOISE)} of them told the wrong class,"
)


def _zeroes_units() -> Measured:
    run, found = trained(), examined()
    train, test = (error[-1, _SOME].mean(axis=-1) for error in (run.train_error, run.test_error))
    return Measured(
        bool(test[_HALVED] < test[_NONE] and found.masked[1] < found.masked[0]),
        f"{_NETWORK} contradicts {percent(train[_NONE])} of what it was told without dropout, as it learns wrong labels by "
        f"heart, and {percent(train[_HALVED])} with p = 0.5; of new points it gets {percent(test[_NONE])} and "
        f"{percent(test[_HALVED])} wrong. With half of its units masked the errors are {percent(found.masked[0])} and "
        f"{percent(found.masked[1])}: units that met masks rely less on each other. Four seeds.",
    )


def _bagging() -> Measured:
    found = _ensemble()
    apart = float(np.max(np.abs(found.scaled - found.arithmetic)))
    return Measured(
        bool(np.all(np.abs(found.scaled - found.arithmetic) < found.sd)),
        f"Six units before a softmax layer hold {len(found.masks)} networks. Their mean output is {_and(found.arithmetic)} "
        f"for three classes, that of the one network with scaled weights {_and(found.scaled)}: at most {number(apart)} apart, "
        f"where single networks scatter by up to {number(float(found.sd.max()))}. Unlike in bagging most are never trained: "
        f"of the {2**12:,} networks of twelve units 300 steps draw {seen_masks(12, 300)}.",
    )


def _redundant() -> Measured:
    found = twins()
    return Measured(
        found.lost[1] < found.lost[0],
        f"Two inputs say the same, and training starts at the weights 1 and 0: without dropout it ends at {_and(found.plain)}, "
        f"with p = 0.5 at {_and(found.dropout)}, in theory {number(found.limit)} each. Without the first input the squared "
        f"error is {number(found.lost[0])} and {number(found.lost[1])}.",
    )


def _whole_network() -> Measured:
    found = repeated()
    return Measured(
        found.evaluation == 1 and found.zeros == 0 and found.training > 1,
        f"One input, 64 units, p = 0.5, 100 passes: {found.training} different outputs in training with a standard deviation "
        f"of {number(found.spread)}, and {found.evaluation} in evaluation. In training {percent(found.dropped)} of the units "
        f"are 0, in evaluation {percent(found.zeros)}.",
    )


def _three_of_six() -> Measured:
    found, ratio = kept(), layer_ratio("No scaling")
    return Measured(
        abs(found.mean - 3) < 0.05 and ratio > 1.5,
        f"Over 10,000 passes {number(found.mean, 4)} of the six units are kept on average. Unless something is scaled, "
        f"the mean sum in evaluation is {number(ratio)} times that of training, over 2,000 masks; in theory 2.",
    )


def _divides() -> Measured:
    found, plain = enumerated("Inverted"), enumerated("No scaling")
    return Measured(
        abs(found.mean - found.evaluation) < _EXACT,
        "Six equal units that sum to 1, all 64 masks, p = 0.5: divided by the keep probability 0.5 the mean in training is "
        f"{number(found.mean)}, and evaluation gives {number(found.evaluation)}; without scaling it is {number(plain.mean)}. "
        f"The variance in training, {number(found.var)} against {number(plain.var)}, does not match: evaluation has none.",
    )


def _weights_spread() -> Measured:
    found, even = spread_weights(), examined().even
    return Measured(
        None,
        f"Of two features with correlation 0.9 the first alone acts: least squares gives them {_and(found.plain)}, dropout "
        f"with p = 0.5 {_and(found.closed)} in closed form and {_and(found.trained)} trained with masks. The weights out "
        f"of the {HIDDEN} hidden units of a network have an evenness (Σ|w|)²/(HΣw²), 1 for equal weights, of {number(even[0])} "
        f"without and {number(even[1])} with dropout.",
    )


def _many_models() -> Measured:
    found = committee()
    return Measured(
        found.together < found.single,
        f"On 256 points one network errs on {percent(found.single)} of new points, the mean of {_MEMBERS} that were trained "
        f"apart on {percent(found.together)}, for {_MEMBERS} times the work in training and in evaluation. One network "
        f"trained with p = 0.5 errs on {percent(found.dropout)}, for the steps of one.",
    )


def _exponentially_many() -> Measured:
    return Measured(
        possible_masks(_HALF) == 2**_UNITS,
        f"Six units have {possible_masks(_HALF)} masks, and 300 steps with p = 0.5 draw {seen_masks(_UNITS, 300)} of them; in "
        f"theory {number(float(expected_distinct(_UNITS, _HALF, 300)))} on average. Twelve have {possible_masks(_HALF, 12):,}, "
        f"and 300 steps draw {seen_masks(12, 300)}, in theory {number(float(expected_distinct(12, _HALF, 300)))}. All of them "
        "use the same weights.",
    )


def _compete() -> Measured:
    found = agreement()
    return Measured(
        found.mean < 0,
        f"After training with p = 0.5 on 256 points, the gradients of two masks have a mean cosine of {number(found.mean)} on "
        f"the weights of units that both keep, and {percent(found.alike)} of {found.pairs:,} pairs a positive one. "
        f"For a softmax layer evaluation is the renormalized geometric mean of all {2**_UNITS} "
        f"networks, to {number(_floor(averages_apart(_SOFTMAX)), 1)}.",
    )


def _floor(value: float) -> float:
    """Say no more than rounding allows: at least 1e-15, which differs between machines no longer."""
    return max(1e-15, value)


def _averaged() -> Measured:
    layer, deep, found = averages_apart(_SOFTMAX), averages_apart(_RELU), _ensemble()
    apart = float(np.max(np.abs(found.arithmetic - found.scaled)))
    return Measured(
        None,
        f"All 64 networks of six units before a softmax layer, averaged: the renormalized geometric mean is the network with "
        f"scaled weights, to {number(_floor(layer), 1)}; the plain mean is {number(apart)} away. Behind a hidden layer of ReLU "
        f"the geometric mean is only near it, {number(deep)} away.",
    )


def _effective(p: Sequence[float]) -> str:
    return _and([float(m) for m in effective_masks(_UNITS, list(p))])


_SHARES = (0.5, 0.2, 0.1)


def _half_is_best() -> Measured:
    best = [best_rate(k) for k in range(len(POINTS))]
    return Measured(
        all(p == _HALF for p in best),
        f"At p = {_and(_SHARES)} six units have {_and([possible_masks(p) for p in _SHARES])} masks, as hard to guess as "
        f"{_effective(_SHARES)} equally likely ones. Of p = {numbers(RATES)}, networks on {_counts(POINTS)} points have the "
        f"least mean test error at {_and(best)}, four seeds.",
    )


def _same_number() -> Measured:
    low, high = (
        regression_rates([0.2], units=_UNITS, examples=20, noise=noise, sets=2).theory_best
        for noise in (0.5, 2.0)
    )
    return Measured(
        abs(low - _HALF) < 0.01 and abs(high - _HALF) < 0.01,
        f"Six units have {possible_masks(0.1)} masks at p = 0.1 and {possible_masks(_HALF)} at 0.5; the latter are equally "
        f"likely, the former worth {number(float(effective_masks(_UNITS, 0.1)))} of them. The best p follows the task: for a "
        f"linear regression of six features on 20 points it is {number(low, 2)} with noise of standard deviation 0.5, "
        f"{number(high, 2)} with 2.",
    )


def _any_share() -> Measured:
    inside = (0.1, 0.5, 0.9)
    return Measured(
        possible_masks(0.1) != possible_masks(_HALF),
        f"Six units have {_and([possible_masks(p) for p in inside])} masks of probability above 0 at p = {_and(inside)}, and "
        f"{possible_masks(0.0)} at 0 and {possible_masks(1.0)} at 1.",
    )


def _little_data() -> Measured:
    found = changes()
    few, many = found.change[0], found.change[-1]
    return Measured(
        few.mean > -few.band and many.mean < -many.band,
        f"With {_counts(AMOUNTS)} points a network without dropout errs on {_and([100 * v for v in found.plain])}% of new "
        f"points; p = 0.5 changes that by {', '.join(map(_points, found.change))} percentage points, mean and 95% band over "
        f"{len(_SETS)} seeds.",
    )


def _no_gain_on_little() -> Measured:
    found = changes()
    few, best, many = found.change[0], found.change[found.best], found.change[-1]
    return Measured(
        few.mean > few.band and many.mean < -many.band,
        f"Dropout with p = 0.5 changes the test error by {_points(few)} percentage points on {AMOUNTS[0]:,} points, by "
        f"{_points(best)} on {AMOUNTS[found.best]:,}, where it gains most of {_counts(AMOUNTS)}, and by "
        f"{_points(many)} on {AMOUNTS[-1]:,}: there {_points(found.rise)} more than at its best, seed by seed. "
        f"Means and 95% bands over {len(_SETS)} seeds.",
    )


def _longer() -> Measured:
    run = trained()
    train, test = steps_to(run.train_loss[:, _SOME], 0.5), steps_to(run.test_loss[:, _MANY], 0.5)
    ratios = [dropped / plain for plain, dropped in (train, test)]
    return Measured(
        all(2 <= ratio <= 3 for ratio in ratios),
        f"To a training loss of 0.5 on 256 points a network takes {number(train[0])} steps without dropout and "
        f"{number(train[1])} with p = 0.5, {number(ratios[0])} times as many; to a test loss of 0.5 on 1,024 points "
        f"{number(test[0])} and {number(test[1])}, {number(ratios[1])} times. Each step draws {32 * HIDDEN:,} random numbers "
        "more, whose price depends on the machine: the page times it on a click.",
    )


def _more_steps() -> Measured:
    run = trained()
    lowest = run.step[run.test_loss[:, _SOME].mean(axis=-1).argmin(axis=0)]
    train = steps_to(run.train_loss[:, _SOME], 0.5)
    ratio = train[1] / train[0]
    return Measured(
        None,
        f"Counted in steps, so the same on every machine: on 256 points the training loss reaches 0.5 after "
        f"{number(train[0])} steps without dropout and {number(train[1])} with p = 0.5, {number(ratio)} times as many. The "
        f"test loss is least after {number(float(lowest[_NONE]))} and {number(float(lowest[_HALVED]))} steps.",
    )


def _sparse() -> Measured:
    found = examined()
    return Measured(
        found.zeros[1] > 0.9 * found.zeros_masked[1],
        f"Of the {HIDDEN} ReLU units trained with p = 0.5, {percent(found.zeros_masked[1])} put out 0 in training, and "
        f"{percent(found.zeros[1])} in evaluation, where ReLU alone makes zeros; without dropout "
        f"{percent(found.zeros[0])}.",
    )


def _no_zeros() -> Measured:
    found = repeated()
    return Measured(
        found.zeros == found.dropped,
        f"Of 64 units that are all above 0, dropout with p = 0.5 sets {percent(found.dropped)} to 0 in training, other ones "
        f"in each pass, and {percent(found.zeros)} in evaluation.",
    )


def _thinned() -> Measured:
    mask = draw_mask((32, HIDDEN), _HALF, stream(0, 10))
    gradient = drop_backward(np.ones(mask.shape), _HALF, mask)
    different = len(np.unique(mask, axis=0))
    return Measured(
        different == 1,
        f"A step on a batch of 32 examples with p = 0.5 drops {percent(float(np.mean(~mask)))} of {HIDDEN} units and draws "
        f"{different} different masks, one an example. The largest gradient through a dropped unit is "
        f"{number(float(np.max(np.abs(gradient[~mask]))))}.",
    )


def _mask_per_example() -> Measured:
    found = per_example()
    return Measured(
        found.masks == 1,
        f"A batch of 4 has {found.masks} different masks. The mean output of a batch of {found.batch} scatters by "
        f"{number(found.own)} of what one output does, in theory {number(1 / math.sqrt(found.batch))}; with one mask for all "
        f"by {number(found.shared)}.",
    )


def _exactly_three() -> Measured:
    found = kept()
    return Measured(
        found.three == 1,
        f"Over 10,000 passes {percent(found.three)} keep exactly three of six units, in theory "
        f"{percent(found.three_theory, 4)}, and {percent(found.none)} keep none, in theory {percent(found.none_theory)}.",
    )


def _means_only() -> Measured:
    gap = nonlinearity_gap(("ReLU", "identity"), [_HALF], width=64)
    shift = measure_variance_shift(0.0, [_HALF], before=True, batches=20)
    moments = enumerated("Inverted")
    return Measured(
        bool(np.all(np.abs(gap.gap[:, 0]) < 4 * gap.error[:, 0]) and moments.var == 0),
        "Behind inverted dropout with p = 0.5 and He weights, 64 inputs, a linear unit has the mean "
        f"{_near(gap.training[1, 0])} in training and {_near(gap.evaluation[1])} in evaluation, but ReLU "
        f"{number(float(gap.training[0, 0]))} and {number(float(gap.evaluation[0]))}; in theory "
        f"{number(float(gap.training_theory[0, 0]))} and {number(float(gap.evaluation_theory[0]))}. The variance of an input "
        f"of mean 0 is {number(float(shift.stored[0]))} times that of evaluation.",
    )


def _near(value: float) -> str:
    return number(round(float(value), 3))


def _in_conv_layers() -> Measured:
    found = pixels()
    return Measured(
        None,
        f"In feature maps that are smoothed twice over 3 × 3 values, the kept neighbors of a dropped value give back "
        f"{percent(found.map)} of its variance; in maps of independent values {percent(round(found.independent, 3))}, and "
        f"{percent(found.channel)} where whole maps are dropped. "
        "So dropping single units takes little away in convolutional layers.",
    )


def _classic() -> Measured:
    classic, inverted, twice = (enumerated(mode) for mode in ("Classic", "Inverted", "Scaled twice"))
    found = biased()
    return Measured(
        abs(found.everything - found.training) < _EXACT and abs(twice.evaluation - twice.mean) < _EXACT,
        f"Six equal units that sum to 1, p = 0.5, mean in training and output in evaluation: {number(classic.mean)} and "
        f"{number(classic.evaluation)} with weights times 1 − p, {number(inverted.mean)} and {number(inverted.evaluation)} "
        f"inverted, {number(twice.mean)} and {number(twice.evaluation)} with both. A unit with w·x = 2 and bias 1 has a "
        f"training mean of {number(found.training)} and puts out {number(found.everything)} if the bias is scaled too.",
    )


def _weights_only() -> Measured:
    found = biased()
    return Measured(
        abs(found.everything - found.training) < _EXACT,
        f"A unit with w·x = 2 and bias 1 has a mean of {number(found.training)} in training with p = 0.5. Scaled weights give "
        f"{number(found.weights)}, a scaled bias too {number(found.everything)}; and where training scales already, w·x "
        f"comes out {number(found.twice)} times as large as in training.",
    )


def _a_picture() -> Measured:
    found = _ensemble(units=12)
    return Measured(
        None,
        f"All {len(found.masks):,} networks within twelve units, p = 0.5: the class that all units together favor gets a "
        f"probability of {number(float(found.arithmetic[0]))} on average, with a standard deviation of "
        f"{number(float(found.sd[0]))} from one network to another; the network with scaled weights gives it "
        f"{number(float(found.scaled[0]))}.",
    )


def _percent_taken_literally(p: float = 50.0) -> Measured:
    literal, meant = (1 - p) / 100, evaluate(1.0, p / 100, "Classic")
    mean = enumerated("Classic", p / 100).mean
    return Measured(
        abs(literal - mean) < _EXACT,
        f"With p = 50, (1 − p)% is {percent(literal)}: six equal units that sum to 1 would come out as {number(literal)} in "
        f"evaluation, after a mean of {number(mean)} in training. 1 − p/100 gives {number(float(meant))}.",
    )


def _called_training() -> Measured:
    found = enumerated("Classic")
    return Measured(
        found.values == 1,
        f"Six equal units with p = 0.5 take {found.values} different sums in training, over all masks, and one in evaluation, "
        f"{number(found.evaluation)}: what goes without dropout is testing.",
    )


MEASURES: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {
        "S84": _zeroes_units,
        "S85": _bagging,
        "S86": _redundant,
        "S87": _whole_network,
        "S88": _three_of_six,
        "S89": _divides,
        "S130": _weights_spread,
        "S178": _many_models,
        "S179": _exponentially_many,
        "S180": _compete,
        "S181": _half_is_best,
        "S182": _little_data,
        "S183": _longer,
        "S206": _sparse,
        "S324": _thinned,
        "S325": _classic,
        "S326": _a_picture,
        "E38": _mask_per_example,
        "E39": _exactly_three,
        "E40": _means_only,
        "E84": _in_conv_layers,
        "E85": _any_share,
        "E86": _averaged,
        "E87": _same_number,
        "E88": _no_gain_on_little,
        "E89": _more_steps,
        "E106": _no_zeros,
        "E172": _percent_taken_literally,
        "E173": _called_training,
        "E174": _weights_only,
    }
)
