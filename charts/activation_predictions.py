"""What judges the predictions of the activations page, by id: which answer the numbers of a view give, and why.

Lines are Markdown in a box: no tildes, no unpaired brackets.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from charts import progress
from charts.activation_compare import float32_run
from charts.activation_training import as_items, dying_run, solved_from, trained_run
from charts.describe import numbers, own, percent
from charts.judging import closest, nearest
from charts.topic import Outcome, Values, real, whole, word, words
from core.activations import ACTIVATIONS
from core.knobs import number
from core.moments import signal_moments, slope_chain
from core.properties import max_difference, properties, second_derivative
from core.special import Array
from core.vector_activations import softmax

_AT = 3.0  # where the cursor of the main figure begins
_GRID: Array = np.round(np.arange(-120, 121) * 0.05, 10)  # the cursor's stops
_FINE: Array = np.linspace(0.0, 6.0, 6001)
_NEAR = 0.1  # a slope this near to 1 counts as 1
_CHAINS, _LAYERS = 400, 10
_WHOLE = progress.Share(0.0, 1.0, "Training")


def _knobs(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, own(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


def _slope(name: str, z: float, values: Values) -> float:
    """Return w·f′(wz), what the right panel of the main figure shows."""
    w = real(values, "weight")
    return float(w * ACTIVATIONS[name].df(w * z, **_knobs(name, values)))


def _slopes(values: Values) -> Outcome:
    at = {name: _slope(name, _AT, values) for name in words(values, "functions")}
    near = {name for name, slope in at.items() if abs(slope - 1) < _NEAR}
    gelu = properties(ACTIVATIONS["GELU"])
    z = number(_AT)
    return Outcome(
        closest(near, ({"ReLU"}, {"ReLU", "GELU"}, {"tanh", "ReLU", "GELU"}, set(at))),
        (
            f"GELU's slope at z = {z} is {number(at['GELU'])}: for large z it does what ReLU does. On the way there it "
            f"even reaches {number(gelu.largest_slope)}.",
            f"At z = {z} GELU has {number(at['GELU'])} and ReLU {number(at['ReLU'])}. Ten slopes like tanh's "
            f"{number(at['tanh'])} multiply to {number(at['tanh'] ** 10)}.",
            f"tanh has slope {number(_slope('tanh', 0.0, values))} at 0 only. At z = {z} it is {number(at['tanh'])}, and "
            f"even sigmoid has more, {number(at['sigmoid'])}.",
            f"Sigmoid's slope is {number(_slope('sigmoid', 0.0, values))} where it is steepest, and "
            f"{number(at['sigmoid'])} at z = {z}; tanh's is {number(at['tanh'])} there.",
        ),
    )


def _weighted(values: Values) -> Outcome:
    w, slope = real(values, "weight"), ACTIVATIONS["sigmoid"].df
    plain, with_weight = slope(_FINE), w * slope(w * _FINE)
    steeper = with_weight > plain
    crossing = float(_FINE[steeper][-1]) if steeper.any() else 0.0
    bounded = float(with_weight.max()) <= float(plain.max())
    top, far = number(float(with_weight[0])), number(_slope("sigmoid", _AT, values))
    before, z = number(float(slope(_AT))), number(_AT)
    return Outcome(
        0 if steeper.all() else 2 if bounded else 1,
        (
            f"At z = {z} it is {far} with the weight and {before} without. The weight multiplies the input too; beyond "
            f"|z| = {number(crossing)} that costs more than the factor {number(w)} gains.",
            f"At 0 it is {top} instead of {number(float(plain[0]))}, at z = {z} {far} instead of {before}. The two are "
            f"equal at |z| = {number(crossing)}.",
            f"That bound is σ′'s alone. The chain rule multiplies by the weight: at 0 the slope is "
            f"{number(w)} · {number(float(plain[0]))} = {top}.",
        ),
    )


def _centered(values: Values) -> Outcome:
    mu, sigma = real(values, "mu"), real(values, "sigma")
    mean = {
        name: round(
            signal_moments(ACTIVATIONS[name], mu=mu, sigma=sigma, knobs=_knobs(name, values)).mean, 12
        )
        for name in words(values, "functions")
    }
    low = properties(ACTIVATIONS["GELU"]).minima[0].value
    middle = {name for name, value in mean.items() if abs(value) < 0.01}
    return Outcome(
        closest(middle, (set(), {"tanh", "GELU"}, {"tanh"})),
        (
            f"tanh has f(−z) = −f(z), so that what a positive z adds, the negative one takes away: its mean is "
            f"{number(mean['tanh'])}.",
            f"GELU dips below 0, but only to {number(low)}, while its right side grows without a bound. Its mean is "
            f"{number(mean['GELU'])}.",
            f"The upright rules mark the means: {number(mean['tanh'])} for tanh, {number(mean['sigmoid'])} for sigmoid, "
            f"whose outputs are all positive, and {number(mean['GELU'])} for GELU.",
        ),
    )


def _negative(values: Values) -> Outcome:
    names = [name for name in words(values, "functions") if name != "ReLU"]
    found = {name: properties(ACTIVATIONS[name], _knobs(name, values)) for name in names}
    least = {name: each.smallest_slope for name, each in found.items()}
    most = {name: each.largest_slope for name, each in found.items()}
    falls, exceeds = max(least.values()) < -0.01, min(most.values()) > 1.01
    lowest, top = found["GELU"].minima[0], found["GELU"].largest_slope_at[0]
    return Outcome(
        2 * falls + exceeds,
        (
            f"Smoothing overshoots at both ends: GELU's slopes go from {number(least['GELU'])} to "
            f"{number(most['GELU'])}.",
            f"They fall before they rise. GELU is lowest at z = {number(lowest.at)}, and left of it its slope is "
            f"negative, down to {number(least['GELU'])}.",
            f"They climb to the line z from below, and to catch up they must be steeper than it: GELU's slope is "
            f"{number(most['GELU'])} at z = {number(top.low)}.",
            "; ".join(f"{name} has {number(least[name])} to {number(most[name])}" for name in names)
            + ". A negative slope turns the sign of a gradient.",
        ),
    )


def _at_minus_three(values: Values) -> Outcome:
    at = {name: _slope(name, -_AT, values) for name in words(values, "functions")}
    closed = {name for name, slope in at.items() if slope == 0}
    return Outcome(
        closest(closed, (set(), {"ReLU", "ELU", "SELU"}, {"ReLU"}, set(at) - {"PReLU"})),
        (
            f"ReLU is 0 for every negative z, and so is its slope: {number(at['ReLU'])} at z = {number(-_AT)}.",
            f"ELU and SELU approach a constant, but do not reach it: at z = {number(-_AT)} their slopes are "
            f"{number(at['ELU'])} and {number(at['SELU'])}.",
            f"ReLU's slope is {number(at['ReLU'])}. Leaky ReLU passes {number(at['leaky ReLU'])}, PReLU "
            f"{number(at['PReLU'])}, ELU {number(at['ELU'])} and SELU {number(at['SELU'])}. Drag the cursor there to see it.",
            f"Learned or set, any slope passes a gradient: leaky ReLU's is {number(at['leaky ReLU'])}, PReLU's starts at "
            f"{number(at['PReLU'])}. ELU has {number(at['ELU'])}.",
        ),
    )


def _step(values: Values) -> Outcome:
    away: Array = _GRID[_GRID != 0]
    slopes = np.abs(ACTIVATIONS["step"].df(away))
    steepest, at_jump = float(slopes.max()), _slope("step", 0.0, values)
    sigmoid, near = _slope("sigmoid", 0.0, values), _slope("sigmoid", 1.0, values)
    return Outcome(
        0 if np.isinf([steepest, at_jump]).any() else 1 if steepest > 0 else 2,
        (
            f"At 0 there is no slope to take; what a framework puts there, here {number(at_jump)}, acts for a single z. At "
            f"the other {len(away)} points of the figure it is {number(steepest)}.",
            f"Small would do, with patience: the sigmoid has {number(near)} at z = 1. The step has exactly "
            f"{number(steepest)}, and no learning rate makes up for that.",
            f"At {len(away)} points of the figure, all but z = 0, it is {number(steepest)}, however wrong the output is. "
            f"The sigmoid beside it has a slope of {number(sigmoid)} at 0.",
        ),
    )


def _bend(values: Values) -> Outcome:
    relu = ACTIVATIONS["ReLU"]
    right, kink = (float(v) for v in second_derivative(relu, np.array([1.0, 0.0])))
    left, after = (float(relu.df(z)) for z in (-1e-9, 1e-9))
    widths = (0.02, 0.002)
    soft = float(second_derivative(ACTIVATIONS["softplus"], np.array(0.0)))
    return Outcome(
        1 if np.isnan(kink) and right == 0 else 2 if right == 0 else 0,
        (
            f"That is the slope, {number(float(relu.df(1.0)))} at z = 1. It stays the same around there, so its own slope, "
            f"in the third panel, is {number(right)}.",
            f"Across 0 the slope goes from {number(left)} to {number(after)}: over a width of {number(widths[0])} that is "
            f"{number((after - left) / widths[0])}, over {number(widths[1])} it is {number((after - left) / widths[1])}. "
            "No number is the limit.",
            f"At z = 1 it is {number(right)}. At 0 the slope jumps from {number(left)} to {number(after)}, where that of "
            f"softplus rises gently, with f″ = {number(soft)}.",
        ),
    )


def _distribution(values: Values) -> Outcome:
    z = np.array([real(values, name) for name in ("z1", "z2", "z3")])
    each = ACTIVATIONS["sigmoid"].f(z)
    shares = softmax(z, real(values, "temperature"))
    total, listed = float(each.sum()), numbers(each)
    return Outcome(
        nearest(total, (0.5, 1.0, 2.0)),
        (
            f"Each is below 1, but they add up: {listed} make {number(total)}.",
            f"Each sigmoid sees its own logit only: {listed} sum to {number(total)}. Softmax makes "
            f"{numbers(shares)} of the same logits, which sum to {number(float(shares.sum()))}.",
            f"They are {listed}. Softmax divides by a sum over the classes, a sigmoid does not: the lines of softmax sum "
            f"to {number(float(shares.sum()))} at every temperature.",
        ),
    )


def _chain(values: Values) -> Outcome:
    mu, sigma = real(values, "mu"), real(values, "sigma")
    run = slope_chain(ACTIVATIONS["ReLU"], mu=mu, sigma=sigma, layers=_LAYERS, n=_CHAINS, seed=0)
    alive = np.isfinite(run.log10_products).sum(axis=0)  # after 0 … ten layers
    left = int(alive[-1])
    expected = _CHAINS * (1 - float(run.share_zero[-1]))
    return Outcome(
        nearest(left / _CHAINS, (0.0, 0.5, 1.0)),
        (
            f"In {left} of {_CHAINS}, with {number(expected)} expected: each layer ends about half of what is left. That is "
            "why the line of ReLU stops so early.",
            f"Half are left after one layer, {int(alive[1])} of {_CHAINS}; after two it is {int(alive[2])}, after ten "
            f"{left}.",
            f"The slope is 1 only where the input is positive, and each layer draws its input anew: {int(alive[1])} of "
            f"{_CHAINS} trials pass the first layer, {int(alive[2])} the second and {left} the tenth.",
        ),
    )


def _mistyped(values: Values) -> Outcome:
    exact, knobs = ACTIVATIONS["GELU"], _knobs("GELU (tanh)", values)
    published = {knob.name: float(knob.default) for knob in ACTIVATIONS["GELU (tanh)"].knobs}  # type: ignore[arg-type]
    typed, usual = (
        max_difference(ACTIVATIONS["GELU (tanh)"], exact, -6.0, 6.0, knobs_a=each)
        for each in (knobs, published)
    )
    coarse = max_difference(ACTIVATIONS["GELU (sigmoid)"], exact, -6.0, 6.0).value
    off = abs(knobs["cubic"] / published["cubic"] - 1)
    return Outcome(
        2 if typed.value > coarse else 1 if typed.value > off / 3 else 0,
        (
            f"It gets {number(typed.value)} away, at z = {number(typed.at)}. The published constant leaves "
            f"{number(usual.value)}, for the form is an approximation anyway.",
            f"The constant is off by {percent(off)}, the output by {number(typed.value)} at most: it multiplies z³, which is "
            "small near 0, and further out the tanh is flat.",
            f"Where z³ is large, the tanh is flat: {number(typed.value)} is the most. The sigmoid form, a coarser approximation, "
            f"gets {number(coarse)} away.",
        ),
    )


def _overflow(values: Values) -> Outcome:
    z, entry = 100.0, ACTIVATIONS["tanh"]
    assert entry.naive is not None
    with np.errstate(over="ignore", invalid="ignore"):
        given = float(entry.naive(np.array(z, np.float32)))
    largest = float(np.finfo(np.float32).max)
    bad = float32_run("tanh", ()).bad
    first = min((abs(at) for pair in bad for at in pair), default=np.inf)
    power = f"e¹⁰⁰ is {number(float(np.exp(z)))}, and float32 ends at {number(largest)}"
    return Outcome(
        2 if np.isnan(given) else 1 if np.isinf(given) else 0,
        (
            f"That is what tanh is, to all digits of float32. But {power}: the formula divides ∞ by ∞.",
            f"{power}. It overflows above the line and below it, and ∞/∞ is not ∞: from |z| = {number(first, 4)} on the plain "
            "formula gives no number.",
            f"{power}, so that ∞ is divided by ∞. This begins at |z| = {number(first, 4)}; the form used here gives "
            f"{number(float(entry.f(np.array(z, np.float32))))}.",
        ),
    )


def _all_right(values: Values) -> Outcome:
    runs = {
        name: trained_run(
            name, as_items(_knobs(name, values)), word(values, "problem"), real(values, "train_lr"),
            whole(values, "train_layers"), whole(values, "train_seed"), _WHOLE,
        ).run
        for name in words(values, "trained")
    }  # fmt: skip
    right = {name: percent(float(run.accuracy[-1])) for name, run in runs.items()}
    loss = {name: number(float(run.loss[-1])) for name, run in runs.items()}
    since = solved_from(runs["tanh"])
    tanh = "" if since is None else f", all of them from epoch {since} on"
    tops = {name: number(properties(ACTIVATIONS[name]).largest_slope) for name in ("sigmoid", "tanh")}
    failing = {name for name, run in runs.items() if run.accuracy[-1] != 1}
    return Outcome(
        closest(failing, ({"sigmoid"}, {"sigmoid", "tanh"}, set())),
        (
            f"Sigmoid ends with {right['sigmoid']} of the points right and a loss of {loss['sigmoid']}; tanh, which "
            f"saturates as well, with {loss['tanh']} and ReLU with {loss['ReLU']}.",
            f"tanh saturates too, but its slope reaches {tops['tanh']}, where sigmoid's ends at {tops['sigmoid']}. It has "
            f"{right['tanh']} of the points right{tanh}.",
            f"The shape is the same, the training is not: sigmoid has {right['sigmoid']} of the points right in the end, "
            f"tanh {right['tanh']} and ReLU {right['ReLU']}.",
        ),
    )


def _revive(values: Values) -> Outcome:
    hidden = word(values, "hidden")
    run = dying_run(
        hidden, as_items(_knobs(hidden, values)), word(values, "data"), real(values, "lr"), real(values, "bias"),
        whole(values, "dead_batch"), whole(values, "hidden_layers"), _WHOLE,
    )  # fmt: skip
    first, higher = int(run.revivals[0]), int(run.revivals[1:].sum())
    lost, above = int(run.deaths[0]), int(run.deaths[1:].sum())
    where = {part for part, count in (("first", first), ("higher", higher)) if count}
    return Outcome(
        closest(where, (set(), {"higher"}, {"first", "higher"})),
        (
            "Without a gradient nothing moves its own weights. But the layer below trains on and moves its inputs: "
            f"behind layer 1 there are {above} deaths and {higher} revivals.",
            f"Behind layer 1, {above} deaths and {higher} revivals, as the layer below goes on moving the inputs; in layer 1 "
            f"{lost} deaths and {first} revivals, for the data stay where they are.",
            f"Layer 1 has {lost} deaths and {first} revivals: it sees the data, which do not move. Above it there are "
            f"{higher} revivals.",
        ),
    )


PREDICTIONS: Mapping[str, Callable[[Values], Outcome]] = MappingProxyType(
    {
        "slopes": _slopes,
        "weight": _weighted,
        "at_minus_three": _at_minus_three,
        "centered": _centered,
        "distribution": _distribution,
        "step": _step,
        "bend": _bend,
        "negative": _negative,
        "overflow": _overflow,
        "mistyped": _mistyped,
        "trained": _all_right,
        "chain": _chain,
        "revive": _revive,
    }
)
