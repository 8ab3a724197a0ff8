"""What judges the predictions of the dropout page, by id: which answer the run of a view gives, and why.

Lines are Markdown in a box: no tildes, no unpaired brackets.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from charts import progress
from charts.describe import percent
from charts.dropout_convergence import draw_layer
from charts.dropout_depth import added_mistake, propagated_signal
from charts.dropout_ensemble import counted_masks, enumerated_networks, shares_kept
from charts.dropout_network import STEPS, network_run, trained_twins
from charts.dropout_nonlinearity import dropped_unit, layer_sweep
from charts.dropout_notes import possible_masks
from charts.dropout_regularizer import errors_at
from charts.judging import closest, nearest
from charts.topic import Outcome, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.dropout import DropoutMoments, DropoutRun
from core.dropout_ensemble import all_masks, effective_masks, kept_probability, mask_probability
from core.knobs import number

Array = np.ndarray

_CHANCE = 4.0  # standard errors that a mean over masks may stand off
_INSIDE = 2.0  # standard deviations within which an output lies in its hump
_ROUNDING = 1e-12
_WHOLE = progress.Share(0.0, 1.0, "Sending signals through the layers")


# One unit


def _layer(values: Values, p: float | None = None) -> tuple[DropoutRun, dict[str, DropoutMoments]]:
    """Return the run of the main figure, or the same with another p_drop."""
    return draw_layer(
        real(values, "p") if p is None else p,
        whole(values, "inputs"),
        whole(values, "masks"),
        whole(values, "seed"),
        word(values, "contributions"),
    )


def _sd(run: DropoutRun, mode: str = "Inverted") -> float:
    return math.sqrt(float(run.train_var[run.modes.index(mode)]))


def _where_to_scale(values: Values) -> Outcome:
    run, _ = _layer(values)
    p, masks = real(values, "p"), run.train.shape[1]
    error = np.sqrt(run.train_var / masks)
    right = {
        mode
        for k, mode in enumerate(run.modes)
        if abs(float(run.eval_mean[k] - run.train_mean[k])) <= _CHANCE * float(error[k])
    }
    ratio = {mode: number(float(run.ratio[k])) for k, mode in enumerate(run.modes)}
    answers = ({"Inverted", "Classic"}, {"Inverted"}, {"Scaled twice"}, {"No scaling"})
    return Outcome(
        closest(right & set[str]().union(*answers), answers),
        (
            f"Inverted divides in training, with eval / train {ratio['Inverted']}; Classic multiplies in evaluation, with "
            f"{ratio['Classic']}. What may be left is the chance of {masks:,} masks.",
            f"The row Inverted does that, with eval / train {ratio['Inverted']}. Classic multiplies by p_keep = "
            f"{number(1 - p)} in evaluation instead, and comes to {ratio['Classic']} as well.",
            f"Either factor repairs the whole mistake, so both together overdo it: the row Scaled twice has eval / train "
            f"{ratio['Scaled twice']}.",
            f"In the row No scaling evaluation is {ratio['No scaling']} times the mean of training: all units add up where "
            f"only {percent(1 - p)} of them did.",
        ),
    )


def _wide(values: Values) -> Outcome:
    half = 0.5
    (here, _), (before, _) = _layer(values), _layer(values, half)
    p = real(values, "p")
    wide, usual = _sd(here), _sd(before)
    classic, classic_before = _sd(here, "Classic"), _sd(before, "Classic")
    mean = float(here.train_mean[here.modes.index("Inverted")])
    variance = p / (1 - p)
    return Outcome(
        nearest(wide / usual, (1.0, classic / classic_before, math.sqrt(variance), variance), log=True),
        (
            f"Dividing repairs the mean, {number(mean)} here, and enlarges the scatter of what is kept: the standard "
            f"deviation is {number(wide)}, against {number(usual)} at {number(half)}.",
            f"So it is in the row Classic, {number(classic)} against {number(classic_before)}. Inverted then divides by "
            f"p_keep = {number(1 - p)}, which makes it {number(wide)}, against {number(usual)}.",
            f"The standard deviation is {number(wide)} against {number(usual)}, a ratio of {number(wide / usual)}. In theory "
            f"it is the root of p/(1 − p) = {number(variance)}.",
            f"That is the variance: p/(1 − p) is {number(variance)} here and 1 at {number(half)}. The hump shows standard "
            f"deviations, {number(wide)} against {number(usual)}.",
        ),
    )


def _copied(values: Values) -> Outcome:
    p = real(values, "p")
    (here, _), (copied, _) = _layer(values), _layer(values, 1 - p)
    k = here.modes.index("Inverted")
    means = [float(run.train_mean[k]) for run in (here, copied)]
    deviations = [_sd(run) for run in (here, copied)]
    ratio = (deviations[1] / deviations[0]) ** 2
    mean, spread = (" against ".join(number(v) for v in pair[::-1]) for pair in (means, deviations))
    theory = [p / (1 - p), (1 - p) / p]
    answers = (1.0, math.sqrt(theory[1] / theory[0]), theory[1] / theory[0])
    shrunk = means[1] / means[0] < (1 + p / (1 - p)) / 2
    return Outcome(
        1 if shrunk else (0, 2, 3)[nearest(ratio, answers, log=True)],
        (
            f"Both say {number(1 - p)}, but keep_prob is the probability to keep, the p of PyTorch that to drop. With p = "
            f"{number(1 - p)} the outputs have a standard deviation of {spread}.",
            f"Inverted dropout divides by what it keeps, now {number(p)} instead of {number(1 - p)}: the mean is {mean}. "
            f"Only the standard deviation tells, {spread}.",
            f"That is the standard deviation, {spread}. The variance is its square, and becomes {number(ratio)} times as "
            f"large, in theory {number(answers[2])} times.",
            f"p/(1 − p) goes from {number(theory[0])} to {number(theory[1])}, and the standard deviation is {spread}. "
            f"The mean, {mean}, gives nothing away.",
        ),
    )


def _hidden(values: Values) -> Outcome:
    run, closed = _layer(values)
    k, moments = run.modes.index("No scaling"), closed["No scaling"]
    ratio = float(run.ratio[k])
    away = abs(float(moments.eval_mean - moments.train_mean)) / math.sqrt(float(moments.train_var))
    beyond = percent(float(np.mean(run.train[k] > run.eval_mean[k])))
    wrong = 1 / (1 - real(values, "p"))
    return Outcome(
        2 if nearest(abs(ratio), (wrong, 1.0), log=True) == 1 else int(away < _INSIDE),
        (
            f"It is at {number(ratio)} times their mean. But they scatter so far that this is {number(away)} sd away from it, "
            f"and {beyond} of the outputs lie beyond.",
            f"It is {number(away)} sd away from their mean, and {beyond} of the outputs lie beyond it. No single one gives the "
            f"mistake away; the mean over many masks does, by a factor of {number(ratio)}.",
            f"Signs cancel within the sum. The factor that is missing multiplies the whole sum: evaluation is "
            f"{number(ratio)} times the mean of training.",
        ),
    )


# Masks


def _exactly_three(values: Values) -> Outcome:
    units, p, passes = whole(values, "ens_units"), real(values, "p"), whole(values, "ens_samples")
    shares = shares_kept(units, p, passes, whole(values, "seed"))
    counts = np.round(shares * passes).astype(int)
    half = units // 2
    share, exact = float(shares[half]), float(kept_probability(units, p)[half])
    beside = int(counts[half - 1] + counts[half + 1])
    least, most = np.flatnonzero(counts)[[0, -1]]
    return Outcome(
        min(range(4), key=lambda k: abs((1.0, 0.65, 1 / 3, 0.05)[k] - share)),
        (
            f"Three is the mean, no rule: every unit is dropped on its own. {counts[half]} of {passes} passes keep three; the "
            f"others keep from {least} to {most}.",
            f"It is the likeliest number, no more: {counts[half]} of {passes} passes keep three, in theory {percent(exact)}, and "
            f"{beside} keep two or four.",
            f"In {counts[half]} of {passes}, in theory {percent(exact)}. Two or four are kept in {beside}; over all, the number "
            f"goes from {least} to {most}.",
            f"No number is likelier: {counts[half]} of {passes} passes keep three, in theory {percent(exact)}. All of them keep "
            f"from {least} to {most}.",
        ),
    )


def _how_many(values: Values) -> Outcome:
    units, p, passes = whole(values, "ens_units"), real(values, "p"), whole(values, "ens_samples")
    possible, even = possible_masks(p, units), float(effective_masks(units, p))
    met = int(counted_masks(units, p, whole(values, "seed")).one[passes - 1])
    chances = mask_probability(all_masks(units), p)
    low, high = (number(float(v)) for v in (chances.min(), chances.max()))
    return Outcome(
        nearest(possible, (2.0**units, 2.0**units * p / 0.5, units + 1.0), log=True),
        (
            f"All {possible} have a probability above 0, from {low} to {high}; {passes} passes met {met} of them. At 0.5 "
            f"each has {number(0.5**units)}.",
            f"How many there are does not depend on p_drop, only how evenly they come: {possible} networks, with "
            f"probabilities from {low} to {high}.",
            f"More than one unit is rarely dropped, but rare is not impossible: the {passes} passes met {met} different "
            f"networks. All {possible} can come; it is as hard to guess which as with {number(even)} equally likely ones.",
        ),
    )


# The network


def _no_gradient(values: Values) -> Outcome:
    hidden = tuple(n for n in (whole(values, f"net_layer{k}") for k in (1, 2, 3)) if n)
    run = network_run(
        hidden, word(values, "net_activation"), real(values, "p"), real(values, "net_input_p"), whole(values, "seed")
    )  # fmt: skip
    found = run.training
    weights = found.gradient.weights

    def largest(parts: Sequence[Array]) -> float:
        return max(float(np.abs(part).max(initial=0.0)) for part in parts)

    into = largest([weights[l - 1].swapaxes(1, 2)[~mask] for l, mask in enumerate(found.masks) if l])
    out = largest([weights[l][~mask] for l, mask in enumerate(found.masks) if l])
    dropped = sum(int((~mask).sum()) for mask in found.masks[1:])
    learning = percent(float(np.mean(np.concatenate([w.ravel() != 0 for w in weights]))))
    most = number(largest(list(weights)))
    return Outcome(
        0 if into == 0 and out == 0 else 1 if into == 0 else 2,
        (
            f"At {dropped} dropped units in {STEPS} steps the largest gradient is {number(max(into, out))}, elsewhere "
            f"{most}. In a step, {learning} of all weights learn on average.",
            "The weights out of it are multiplied by its output, which is 0, and so is their gradient: in "
            f"{STEPS} steps at most {number(out)}, like that of the weights into it, {number(into)}.",
            f"The way back goes through the same mask: at {dropped} dropped units in {STEPS} steps the largest gradient of a "
            f"weight is {number(max(into, out))}.",
        ),
    )


def _sharing(values: Values) -> Outcome:
    p = real(values, "p")
    run = trained_twins(p, whole(values, "seed"))
    mean = run.weights[-1].mean(axis=0)
    sides = ((1.0, 0.0), (0.5, 0.5), (run.limit, run.limit))
    far = [math.dist(mean, side) for side in sides]
    ends, plain = (" and ".join(number(float(v)) for v in w) for w in (mean, run.plain[-1]))
    return Outcome(
        far.index(min(far)),
        (
            f"Without masks they stay at {plain}. A mask that drops the first input leaves the unit with nothing, and that "
            f"error has a gradient: on average the weights end at {ends}.",
            f"Equal shares are one half of it. The masks also act as a penalty on squares, which shrinks: the sum ends at "
            f"{number(float(mean.sum()))}.",
            f"On average they end at {ends}, in theory at {number(run.limit)} each: the penalty λ(w₁² + w₂²) with λ = "
            f"{number(p / (1 - p))} prefers equal shares, and small ones.",
        ),
    )


# Behind a nonlinearity, and through layers


def _behind(values: Values) -> Outcome:
    name, p, width = word(values, "nonlin_activation"), real(values, "p"), whole(values, "nonlin_width")
    seed, f = whole(values, "seed"), ACTIVATIONS[word(values, "nonlin_activation")].f
    unit = dropped_unit(p, width, real(values, "nonlin_mean"), seed)
    sweep = layer_sweep(name, p, width, seed)
    expected, scaled = unit.expect(f), float(f(np.array(unit.scaled)))
    gap = expected.value - scaled
    sure = abs(gap) > max(1.96 * expected.error, _ROUNDING)
    training, evaluation = number(expected.value), number(scaled)
    layer = f"{number(float(sweep.training[0, -1]))} in training, {number(float(sweep.evaluation[0]))} in evaluation"
    return Outcome(
        0 if not sure else 1 if gap > 0 else 2,
        (
            f"The mean of z is equal, not z: in training it scatters by {number(unit.sd)} around it. Behind {name} the unit has "
            f"a mean of {training} in training and {evaluation} in evaluation.",
            f"The unit has a mean of {training} in training and {evaluation} in evaluation, the layer beside it {layer}. Drops "
            f"of z below 0 are cut off, rises are not."
            if name == "ReLU"
            else f"The unit has a mean of {training} in training and {evaluation} in evaluation, the layer beside it {layer}.",
            f"No unit is missing, and none is scaled up: in front both means are {number(unit.scaled)}. Behind, training "
            f"has {training} and evaluation {evaluation}.",
        ),
    )


def _twenty(values: Values) -> Outcome:
    name, p, depth = word(values, "depth_activation"), real(values, "p"), whole(values, "depth_layers")
    run = propagated_signal(
        name, p, depth, whole(values, "depth_width"), bool(values["depth_corrected"]), whole(values, "seed"), _WHOLE
    )  # fmt: skip
    added = added_mistake(*run.pooled)[run.at("No scaling")]
    middle = max(depth // 2, 1)
    first, half, last = (number(float(added[k - 1])) for k in (1, middle, depth))
    one = 1 / (1 - p)
    return Outcome(
        nearest(float(added[-1]), (one, depth * one, one**depth), log=True)
        if 0 < added[-1] < math.inf
        else 2,
        (
            f"So it is in layer 1, with {first}. Each further layer gets an input that is too large and enlarges it again: "
            f"layer {depth} is at {last}.",
            f"Layer 1 has {first} and layer {middle} {half}: factors multiply from layer to layer, and layer {depth} is at "
            f"{last}.",
            f"Beside Inverted the row No scaling is {first} times too large in layer 1, {half} times in layer {middle} and "
            f"{last} times in layer {depth}.",
        ),
    )


# Many networks


def _one_for_all(values: Values) -> Outcome:
    units = whole(values, "ens_units")
    found = enumerated_networks(word(values, "ens_net"), units, real(values, "p"), whole(values, "seed"))
    scaled, mean, sd = (float(part[0]) for part in (found.scaled, found.arithmetic, found.sd))
    low, high = float(found.output[:, 0].min()), float(found.output[:, 0].max())
    off = abs(scaled - mean)
    passes = math.ceil((sd / off) ** 2) if off > _ROUNDING else 0
    near = f". The mean of {number(passes)} of them comes about as near" if passes > 1 else ""
    return Outcome(
        0 if off < _ROUNDING else 1 if off < sd else 2,
        (
            f"It gives class 1 a probability of {number(scaled)}, they {number(mean)} on average. The scaled weights have the "
            "right mean in front of the nonlinearity, not behind it and the softmax.",
            f"It answers {number(scaled)}, their mean is {number(mean)}: {number(off)} apart, where single networks have a "
            f"standard deviation of {number(sd)}{near}.",
            f"The networks answer from {number(low)} to {number(high)}, with a standard deviation of {number(sd)}. The scaled "
            f"one is {number(off)} away from their mean.",
        ),
    )


def _by_heart(values: Values) -> Outcome:
    p = real(values, "p")
    run = errors_at(
        whole(values, "reg_points"), real(values, "reg_noise"), whole(values, "reg_width"), p, whole(values, "seed")
    )  # fmt: skip
    at = int(np.argmin(np.abs(run.p - p)))
    (train, train_before), (test, test_before) = (
        (float(part[at].mean()), float(part[0].mean())) for part in (run.train, run.test)
    )
    given, new = (
        f"{percent(now)} instead of {percent(before)}"
        for now, before in ((train, train_before), (test, test_before))
    )
    return Outcome(
        0 if train < train_before and test < test_before else 1 if test < test_before else 2,
        (
            f"The training error goes the other way: {given}. Some of its labels are wrong, and harder to learn by heart "
            f"under masks. On new points the error is {new}.",
            f"On the training points, wrong labels included, it errs on {given}; on new points on {new}. Learning wrong "
            "labels by heart got harder.",
            f"Nothing is missing when the errors are counted: evaluation has all units. On new points the error is {new}, "
            f"on the training points {given}.",
        ),
    )


PREDICTIONS: Mapping[str, Callable[[Values], Outcome]] = MappingProxyType(
    {
        "where_to_scale": _where_to_scale,
        "exactly_three": _exactly_three,
        "no_gradient": _no_gradient,
        "wide": _wide,
        "copied": _copied,
        "how_many": _how_many,
        "hidden": _hidden,
        "sharing": _sharing,
        "by_heart": _by_heart,
        "behind": _behind,
        "twenty": _twenty,
        "one_for_all": _one_for_all,
    }
)
