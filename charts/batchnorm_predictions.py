"""What a run says about the predictions of the BatchNorm page, by the id that they have in the notes.

Each function reads what the figure of its view draws, finds the answer that is right there, and says for every answer
what it missed, with the numbers of the run. Texts are Markdown: no unpaired brackets, no tildes.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from charts.batchnorm_evaluation import evaluation_blocks
from charts.batchnorm_family import family_blocks
from charts.batchnorm_size import SIZE_VIEWS
from charts.describe import counted, percent
from charts.judging import nearest, table
from charts.topic import Outcome, Values, real, whole, word
from core.batch_stream import BatchStream
from core.knobs import latex, number
from core.normalization import BATCHNORM_CONVENTIONS

Array = np.ndarray

_ALIKE = 1.25  # errors that differ by less than this factor are called alike
_NEAR = 0.1  # relative distance at which running statistics have arrived, and outputs are undisturbed
_TIGHT = 0.01  # distance from −1 and 1 of outputs that count as those
_AFTER = 10  # steps after a shift of the mean at which the running mean is read
_CHANCE = 0.05  # distance from chance of an accuracy that counts as guessing
_SLIGHT = 0.02  # distance from evaluation of an accuracy that counts as no loss


def first_within(run: Array, truth: float, share: float) -> int:
    """Return the first place at which a run is within a share of a positive truth, its length if it never is."""
    near = np.abs(run / truth - 1) <= share
    return int(np.argmax(near)) if near.any() else len(run)


def _run(values: Values) -> tuple[BatchStream, Array]:
    """Return the stream of the main figure, and the sample's training output in its 200 batches."""
    from charts.batchnorm import run  # the page imports this module

    stream, _, placed = run(values)
    return stream, placed


# The main figure


def _warm_up(values: Values) -> Outcome:
    stream, _ = _run(values)
    truth, training, evaluated = (
        float(outputs[at])
        for outputs, at in ((stream.true_output, 1), (stream.train_output, 0), (stream.eval_output, 1))
    )
    off = abs(evaluated - truth), abs(training - truth)
    alike = max(off) < _ALIKE * min(off)
    return Outcome(
        2 if alike else int(np.argmin(off)),
        (
            f"It does not, but what it does depend on is still mostly the start: the stored statistics give "
            f"{number(evaluated)}, {number(off[0])} from the truth, the batch at hand {number(training)}, {number(off[1])} "
            "from it.",
            f"At step 1 the orange dot lies at {number(training)}, the blue line at {number(evaluated)}, the truth at "
            f"{number(truth)}. A single batch has moved the running mean by {percent(real(values, 'weight'))} of the way.",
            f"It is one layer, but with two sets of statistics: the batch's put the sample at {number(training)}, the "
            f"stored ones at {number(evaluated)}; the truth is {number(truth)}.",
        ),
    )


def _single(values: Values) -> Outcome:
    stream, _ = _run(values)
    outputs, beta, probe = stream.train_output, real(values, "beta"), real(values, "probe")
    truth, given = float(stream.true_output[1]), number(float(outputs[0]))
    lost = int(np.sum(np.isclose(outputs, beta)))
    return Outcome(
        nearest(float(outputs[0]), (beta, truth, probe)),
        (
            f"{lost} of {len(outputs)} orange dots lie at β = {number(beta)}, and those of any other sample would lie there "
            f"as well: that this one was {number(probe)} is lost.",
            f"{number(truth)} takes the true mean {number(real(values, 'mu'))} and the true spread "
            f"{number(real(values, 'sigma'))}. A batch of one knows neither, and training gives {given}.",
            f"The mean to subtract is not 0: it is the sample itself, {number(probe)}, so that nothing of it passes, and "
            f"training gives {given}.",
        ),
    )


def _pair(values: Values) -> Outcome:
    stream, placed = _run(values)
    gamma, beta, truth = real(values, "gamma"), real(values, "beta"), float(stream.true_output[-1])
    high, low = (int(np.sum(np.abs(placed - side) <= _TIGHT)) for side in (beta + gamma, beta - gamma))
    top, bottom, total = number(beta + gamma), number(beta - gamma), len(placed)
    rest = total - high - low
    if high + low >= 0.9 * total:
        answer = 1
    else:
        answer = 0 if np.mean(np.abs(placed - truth) < 0.5) > 0.5 else 2
    return Outcome(
        answer,
        (
            f"Its place is {number(truth)} in the feature, and {high} of {total} batches do give {top}. But {low} give "
            f"{bottom}, so that the mean over all is {number(float(placed.mean()))}.",
            f"{high} of {total} outputs lie at {top} and {low} at {bottom}, to within {number(_TIGHT)}"
            + (f"; in {counted(rest, 'batch')} the two values are so close that ε counts." if rest else "."),
            f"The other value only decides the side. In {high} of {total} batches it is the smaller one, and the sample comes "
            f"out at {top}; in {low} it is the larger one, and the output is {bottom}.",
        ),
    )


def _scatter(weight: float, batches: int) -> float:
    """Return the standard deviation of what some batches add to a running mean, in that of one batch's mean.

    The old running mean, which has forgotten its start, scatters as well; of it only what fades counts.
    """
    kept = (1 - weight) ** batches
    new, old = weight * (1 - kept**2) / (2 - weight), weight / (2 - weight)
    return math.sqrt(new + (1 - kept) ** 2 * old)


def _shift(values: Values) -> Outcome:
    stream, _ = _run(values)
    at, weight, shift = whole(values, "shift_step"), real(values, "weight"), real(values, "shift")
    late = min(at + _AFTER, whole(values, "steps"))
    before, after = float(stream.running_mean[at]), float(stream.running_mean[late])
    taken, expected = (after - before) / shift, 1 - (1 - weight) ** (late - at)
    rise = f"from {number(before)} to {number(after)}, {percent(taken)} of {number(shift)}"
    scatter = abs(_scatter(weight, late - at) * real(values, "sigma") / shift)
    scatter /= math.sqrt(whole(values, "batch_size"))
    return Outcome(
        nearest(taken, (weight, expected, 1.0)),
        (
            f"{percent(weight)} is what a single batch brings. From step {at} to {late} the running mean rises {rise}.",
            f"{percent(expected)} is expected, with a standard deviation of {percent(scatter)} from the noise of the batches: "
            f"each brings {percent(weight)} of what is still missing. Here the running mean rises {rise}.",
            f"A batch brings {percent(weight)} of what is still missing, not of the whole. The running mean rises {rise}; "
            f"at step {late} it is {number(float(stream.true_mean[late]) - after)} short.",
        ),
    )


def _keras(values: Values) -> Outcome:
    stream, _ = _run(values)
    start, mu, weight = real(values, "running_mean"), real(values, "mu"), real(values, "weight")
    steps, reached = whole(values, "steps"), float(stream.running_mean[-1])
    left, expected = (reached - mu) / (start - mu), (1 - weight) ** steps
    usual = BATCHNORM_CONVENTIONS["PyTorch"].fixed_weight()
    assert usual is not None, "PyTorch has a moving average by default"
    return Outcome(
        nearest(left, (expected, weight, 0.0)),
        (
            f"The running mean stands at {number(reached)} between {number(start)} and {number(mu)}: {percent(left)} is left, "
            rf"where ${latex(1 - weight)}^{{{steps}}}$ = {percent(expected)} is expected. PyTorch's default would leave "
            f"{percent((1 - usual) ** steps)}.",
            f"{percent(weight)} is what each batch brings, not what remains after {steps} of them: that is {percent(left)}, "
            f"and evaluation gives {number(float(stream.eval_output[-1]))} where the truth is "
            f"{number(float(stream.true_output[-1]))}.",
            f"Each of the {steps} batches brings {percent(weight)} of what is missing. Together they have moved the running "
            f"mean from {number(start)} to {number(reached)}, on the way to {number(mu)}.",
        ),
    )


def recovery(values: Values) -> int:
    """Return the steps from a change of scale until the running standard deviation is within 10% of the new one."""
    stream, _ = _run(values)
    since = stream.running_var[whole(values, "shift_step") :]
    return first_within(np.sqrt(since), float(np.sqrt(stream.true_var[-1])), _NEAR)


def _scale(values: Values) -> Outcome:
    small, large = sorted((real(values, "factor"), 1 / real(values, "factor")))
    down, up = (recovery({**values, "factor": factor}) for factor in (small, large))
    old = real(values, "sigma") ** 2
    both = f"{counted(up, 'step')} with the factor {number(large)}, {number(down)} with {number(small)}"
    return Outcome(
        2 if up == down else int(down < up),
        (
            f"The running standard deviation comes within {percent(_NEAR)} of the new one after {counted(up, 'step')}; on "
            f"the same draws with the factor {number(small)} after {number(down)}.",
            f"To come within {percent(_NEAR)} of the new standard deviation takes {both}. What is averaged are variances, and "
            "in an average the large ones rule.",
            f"The weight is the same, but the old variance {number(old)} is much beside {number(old * small**2)} and little "
            f"beside {number(old * large**2)}: to come within {percent(_NEAR)} of the new spread takes {both}.",
        ),
    )


def disturbed(values: Values) -> int:
    """Return the steps from the outlier until evaluation stays within 0.1·γ of a run without the outlier."""
    outputs = [_run(each)[0].eval_output for each in (values, {**values, "drift": "none"})]
    off = np.abs(outputs[0] - outputs[1]) > _NEAR * abs(real(values, "gamma"))
    return int(np.flatnonzero(off)[-1]) + 1 - whole(values, "outlier_step") if off.any() else 0


def _outlier(values: Values) -> Outcome:
    stream, _ = _run(values)
    steps, at, weight = disturbed(values), whole(values, "outlier_step"), real(values, "weight")
    before, after = (number(float(stream.running_var[step])) for step in (at - 1, at))
    return Outcome(
        nearest(steps, (1, 1 / weight, 4 / weight), log=True) if steps else 0,
        (
            f"In training it acts on one step only. What is stored goes on: the running variance leaps from {before} to "
            f"{after}, and evaluation is off by more than {number(_NEAR)} for {counted(steps, 'step')}.",
            f"The outlier enters with the weight {number(weight)} like any value, but lifts the running variance from {before} "
            f"to {after}. So much takes {counted(steps, 'step')} to fade until evaluation is within {number(_NEAR)} again.",
            f"Compared with a run without the outlier, evaluation is off by more than {number(_NEAR)} for "
            f"{counted(steps, 'step')}: the running variance has to come down from {after}.",
        ),
    )


def _sorted(values: Values) -> Outcome:
    stream, _ = _run(values)
    late = slice(len(stream.step) // 2, None)
    stored, truth = float(stream.running_var[late].mean()), float(stream.true_var[-1])
    most = float(stream.running_var[late].max())
    low, high = float(stream.running_mean[late].min()), float(stream.running_mean[late].max())
    share = stored / truth
    return Outcome(
        0 if 1 / _ALIKE < share < _ALIKE else 1 if share < 1 else 2,
        (
            f"Both classes are averaged, but what a batch knows is the spread within its own one: the orange dots have a mean "
            f"of {number(float(stream.batch_var.mean()))}, and the blue line stays near {number(stored)}.",
            f"In the second half the running variance is {number(stored)} on average and {number(most)} at most, where the "
            f"truth is {number(truth)}: a batch measures from the mean of its own class.",
            f"The running mean does swing, from {number(low)} to {number(high)}, but every batch's variance is taken about its "
            f"own mean: the running variance is {number(stored)}, and {number(most)} at most.",
        ),
    )


# The tabs


def _stack(values: Values) -> Outcome:
    lines = table(SIZE_VIEWS["N or N − 1"](values), "lines")
    size, layers = whole(values, "batch_size"), whole(values, "size_layers")
    own = lines[lines["name"] == f"N = {size}"].set_index("layer")["scale"]
    small = lines[lines["name"] == "N = 8"].set_index("layer")["scale"]
    one, end = 1 - float(own[1]), float(own[layers])
    lost = 1 - end
    return Outcome(
        0 if lost < one / 2 else 1 if lost < 2 * one else 2,
        (
            f"A single layer loses {percent(one)} already, and {counted(layers, 'layer')} lose {percent(lost)}: the line "
            f"N = {size} ends at {number(end)}.",
            f"In training it does. In evaluation the stored variance expects inputs of full scale, and the loss of "
            f"{percent(one)} repeats in every layer: the line N = {size} ends at {number(end)}.",
            f"The line N = {size} ends at {number(end)}: {percent(lost)} is lost, for each layer takes {percent(one)} of what "
            f"is left. With 8 values a batch {number(float(small[layers]))} would be left.",
        ),
    )


def _weight_scale(values: Values) -> Outcome:
    lines = table(family_blocks(values), "lines")
    ten = lines[np.isclose(lines["a"].to_numpy(float), 10)].set_index("name")["every"]
    chosen = word(values, "family_norm")
    factor, plain = float(ten[chosen]), float(ten["none"])
    return Outcome(
        nearest(factor, (0.1, 1.0, 10.0), log=True),
        (
            f"It is {number(factor)} of what it was, while without normalization it is {number(plain)} times as large. A step "
            f"then turns the weights by {number(factor / 10)} of the angle.",
            f"Because the output stays, the gradient cannot: weights ten times as large have to move ten times as far for the "
            f"same change of the output. The gradient is {number(factor)} of what it was.",
            f"That is the line without normalization, {number(plain)} times as large. With {chosen} the output does not change, "
            f"and the gradient is {number(factor)} of what it was.",
        ),
    )


def _one_unit(values: Values) -> Outcome:
    results = table(family_blocks(values), "results").set_index(["name", "change"])
    chosen, other = word(values, "family_norm"), "BatchNorm"
    one, every = "one unit's weights × 10", "all weights × 10"
    size = {
        (name, change): str(results.loc[(name, change), "exact"])
        for name in (chosen, other)
        for change in (one, every)
    }
    same = {change: bool(results.loc[(chosen, change), "same"]) for change in (one, every)}
    return Outcome(
        0 if same[one] else 1 if same[every] else 2,
        (
            f"The output of {chosen} changes by {size[chosen, one]} of its largest value, that of {other} by "
            f"{size[other, one]}, which is rounding. Not every normalization ignores every scale.",
            f"One unit's weights change it by {size[chosen, one]} of its largest value, for all units share its mean and "
            f"variance; all weights together by {size[chosen, every]}, which is rounding.",
            f"One unit's weights change the output, by {size[chosen, one]} of its largest value. All weights together change it "
            f"by {size[chosen, every]}, rounding: mean and standard deviation grow along.",
        ),
    )


def _forgotten(values: Values) -> Outcome:
    blocks = evaluation_blocks(values)
    lines, flat = table(blocks, "lines"), table(blocks, "flat")["y"].to_numpy(float)
    mixed = lines[lines["line"] == "all classes"].set_index("size")["y"]
    evaluated, chance = float(flat[0]), float(flat[-1])
    alone, few, many = float(mixed[1]), float(mixed[8]), float(mixed.iloc[-1])
    if abs(alone - chance) <= _CHANCE:
        answer = 2
    else:
        answer = 0 if alone > evaluated - _SLIGHT else 1
    return Outcome(
        answer,
        (
            f"A point alone is its own mean, so that nothing of it passes, and all points get the same answer: "
            f"{percent(alone)} are right, where evaluation has {percent(evaluated)}.",
            f"Noise is what small batches suffer from: {percent(few)} are right in batches of 8. A batch of one has no noise "
            f"and no signal either, and {percent(alone)} are right.",
            f"{percent(alone)} are right, where evaluation has {percent(evaluated)}: all points get the same answer. In batches "
            f"of {mixed.index[-1]} of all classes it is {percent(many)}, and the bug goes unnoticed.",
        ),
    )


PREDICTIONS: Mapping[str, Callable[[Values], Outcome]] = MappingProxyType(
    {
        "warm_up": _warm_up,
        "single": _single,
        "pair": _pair,
        "shift": _shift,
        "keras": _keras,
        "scale": _scale,
        "outlier": _outlier,
        "sorted": _sorted,
        "stack": _stack,
        "weight_scale": _weight_scale,
        "one_unit": _one_unit,
        "forgotten": _forgotten,
    }
)
