"""What judges the predictions of the Optimizers page, by their ids.

Each function takes the values of a view, measures on the runs that its figure draws which answer is right, and says
for every answer what it missed. Lines are Markdown: no asterisks, tildes or unpaired brackets. The order of the lines
is that of the answers in ``notes/optimizers.toml``.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from charts.describe import numbers, percent
from charts.judging import closest, table
from charts.optimizers_base import (
    TWIN,
    distance,
    problem_of,
    run,
    settings,
    start_of,
    surface_of,
    surface_settings,
)
from charts.optimizers_batches import batch_blocks
from charts.optimizers_landscape import land_blocks
from charts.optimizers_notes import bends
from charts.topic import Outcome, Values, real, whole, word
from core.averages import held, noise_share, windows
from core.descent import Descent, steps_to
from core.escape import WELLS, wilson
from core.knobs import number
from core.surfaces import rotate_start

Array = np.ndarray

_ARRIVED = 0.01  # of the loss at the start, above the minimum: there a run has come to the minimum
_LAST = 50  # steps at the end of a run over which its distance is averaged
_NEAR = 1e-3  # of the distance at the start: nearer than this a run is at the minimum
_SHORT = 100  # steps that are fewer than a visitor would call long
_LITTLE = 0.1  # of a network's parameters: less is hardly a move
_HALF = 0.5
_FEW = 0.05  # of all runs


# The numbers


def arrivals(values: Values) -> dict[str, int]:
    """Return for every method of the picture its first step with 1% of the start's f − f*, −1 if there is none."""
    lowest = surface_of(values).infimum or 0.0
    found = {}
    for label, result in run(values).items():
        height = result.value - lowest
        found[label] = int(steps_to(height, _ARRIVED * height[0]))
    return found


def upright(values: Values) -> Values:
    """Return the values that lay a turned quadratic bowl along the axes, its start at the same place among its own."""
    x, y = start_of(values)
    # To turn back by θ is to reflect, to turn by θ and to reflect again.
    u, v = rotate_start((x, -y), surface_settings(values)["theta"]) * (1, -1)
    return {**values, "theta": 0.0, "start_x": float(u), "start_y": float(v)}


def angle(one: Array, other: Array) -> float:
    """Return the angle between two vectors that are not 0, in degrees to three places: what is less is rounding."""
    cosine = float(one @ other / (np.hypot(*one) * np.hypot(*other)))
    return round(math.degrees(math.acos(min(1.0, max(-1.0, cosine)))), 3)


def growth(path: Array) -> tuple[float, float]:
    """Return the factor by which the first step multiplies y, and after how many steps at that factor y is 1.

    Args:
        path: (steps+1, 2), with y small at the start.

    Returns:
        factor and steps, infinite if y does not grow.
    """
    factor = abs(float(path[1, 1] / path[0, 1]))
    return factor, math.log(1 / abs(float(path[0, 1]))) / math.log(factor) if factor > 1 else math.inf


def _first_step(result: Descent) -> Array:
    step: Array = result.path[1] - result.path[0]
    return step


def _pair(vector: Array) -> str:
    return f"({numbers(float(v) for v in vector)})"


def times(count: int) -> str:
    """Say how often something happens."""
    return {0: "not once", 1: "once", 2: "twice"}.get(count, f"{count} times")


# What they say: paths


def _by(step: int, steps: int) -> str:
    return str(step) if step >= 0 else f"more than {steps}"


def _first_at_minimum(values: Values) -> Outcome:
    found, steps = arrivals(values), whole(values, "steps")
    order = sorted(found, key=lambda name: math.inf if found[name] < 0 else found[name])
    took = {name: _by(step, steps) for name, step in found.items()}
    first = {name: _pair(_first_step(result)) for name, result in run(values).items()}
    best, second = order[:2]
    why = {
        "GD": f"Its first step is {first['GD']}: far across the valley, where the slope is steep, and hardly along it.",
        "Momentum": f"It sets out with {first['Momentum']} and has to gather speed before it is fast along the valley.",
        "RMSProp": "It divides by the size of its gradients, so its first step goes as far along the valley as across: "
        f"{first['RMSProp']}.",
        "Adam": f"It also sets out as far along the valley as across, with {first['Adam']}, but RMSProp does with "
        f"{first['RMSProp']}.",
    }
    return Outcome(
        list(found).index(best),
        tuple(
            f"{name} takes {took[name]} steps to 1% of the loss, {second if name == best else best} "
            f"{took[second if name == best else best]}. {why[name]}"
            for name in found
        ),
    )


def _past_the_limit(values: Values) -> Outcome:
    path = run(values)["GD"].path
    begin, end = np.abs(path[0]), np.abs(path[-1])
    ratio = float((end[1] / begin[1]) ** (1 / (len(path) - 1)))
    across = f"from {number(float(begin[1]))} to {number(float(end[1]))}"
    along = f"from {number(float(begin[0]))} to {number(float(end[0]))}"
    return Outcome(
        0 if abs(ratio - 1) < 1e-6 else 1 if ratio > 1 else 2,
        (
            f"That would be so at exactly 2/λ₂. Here every swing is {number(ratio, 4)} times the last, which takes GD's "
            f"distance across the valley {across} in {len(path) - 1} steps.",
            f"In {len(path) - 1} steps GD's distance across the valley goes {across}. Along the valley, where the slope is "
            f"gentle, the same rate is fine: there it goes {along}.",
            f"Along the valley it does come nearer, {along}. But across the valley it goes {across}, and more steps make "
            "it worse.",
        ),
    )


_PLATEAU = tuple(
    frozenset(names)
    for names in (
        (),
        ("Momentum",),
        ("Momentum", "RMSProp", "Adam", "Sign descent"),
        ("RMSProp", "Adam", "Sign descent"),
    )
)


def _plateau(values: Values) -> Outcome:
    found, results, steps = arrivals(values), run(values), whole(values, "steps")
    there = {name: step for name, step in found.items() if step >= 0}
    slope = float(np.hypot(*results["GD"].gradient[0]))
    first = {name: float(np.hypot(*_first_step(result))) for name, result in results.items()}
    far = {name: float(distance(result.path[-1], surface_of(values))) for name, result in results.items()}
    rate = {name: float(settings(name, values)["lr"]) for name in ("GD", "Momentum")}
    arrived = ", ".join(f"{name} at step {step}" for name, step in there.items()) or "none"
    return Outcome(
        closest(frozenset(there), _PLATEAU),
        (
            f"Those that do are {arrived}. The gradient is only {number(slope)} long, but rules that divide by its size do not "
            "feel that.",
            f"Momentum does gather speed, but its first step is {number(first['Momentum'])} long, and after {steps} steps "
            f"it is still {number(far['Momentum'])} from the minimum.",
            f"Momentum's velocity is a sum of gradients, and the first is {number(slope)} long. It ends "
            f"{number(far['Momentum'])} from the minimum; GD, with {number(rate['GD'] / rate['Momentum'])} times its rate, "
            f"{number(far['GD'])}.",
            f"Those that do are {arrived}. Adam's first step is {number(first['Adam'])} long, GD's only {number(first['GD'])}.",
        ),
    )


def _clipped_step(values: Values) -> Outcome:
    result, most = run(values)["GD"], real(values, "clip_at")
    raw, cut = result.raw[0], result.gradient[0]
    before, after, turned = float(np.hypot(*raw)), float(np.hypot(*cut)), angle(raw, cut)
    shorter, aside = after < before * (1 - 1e-9), turned > 0
    step = float(np.hypot(*_first_step(result)))
    by_value = angle(raw, np.clip(raw, -most, most))
    return Outcome(
        2 if shorter and aside else 1 if aside else 0,
        (
            f"The gradient goes from {number(before)} to {number(after)}, and GD moves by {number(step)} where it would "
            f"have moved by {number(step * before / after)}.",
            f"The step turns by {number(turned)}°: both coordinates shrink by the same factor, {number(before / after)}. "
            "What changes is how far it leads.",
            f"The length, yes: {number(before)} to {number(after)}. The direction turns by {number(turned)}°; clipping by "
            f"value, which cuts each coordinate by itself, would turn it by {number(by_value)}°.",
        ),
    )


def _same_start(values: Values) -> Outcome:
    results, surface = run(values), surface_of(values)
    minima = np.array([m.point for m in surface.minima])
    ends = [results[name].path[-1] for name in ("GD", "Momentum")]
    at = [int(np.argmin(np.hypot(*(minima - end).T))) for end in ends]
    away = [float(np.hypot(*(minima[k] - start_of(values)))) for k in at]
    nearest = float(np.hypot(*(minima - start_of(values)).T).min())
    apart = float(np.hypot(*(minima[at[0]] - minima[at[1]])))
    return Outcome(
        0 if at[0] == at[1] else 1 if away[1] > away[0] else 2,
        (
            f"The two minima are {number(apart)} apart. The first steps are the same, but every later step of Momentum "
            f"also holds {number(float(settings('Momentum', values)['momentum']))} times the step before it.",
            f"The nearest minimum is {number(nearest)} from the start. GD's is {number(away[0])} away, Momentum's "
            f"{number(away[1])}.",
            f"GD has no memory that could carry it far: its minimum is {number(away[0])} from the start, Momentum's "
            f"{number(away[1])}.",
        ),
    )


_USUAL = 0.9  # μ of most programs


def _crossings(path: Array) -> int:
    """Count how often a path passes between the two wells."""
    return int(np.count_nonzero(np.diff(path[:, 0] < WELLS.barrier)))


def _more_momentum(values: Values) -> Outcome:
    usual = run({**values, "momentum_momentum": _USUAL})["Momentum"].path
    path = run(values)["Momentum"].path
    mu, crossed, before = real(values, "momentum_momentum"), _crossings(path), _crossings(usual)
    deep = (path[-1, 0] < WELLS.barrier) == (WELLS.deep < WELLS.barrier)
    farthest, end = number(float(path[:, 0].min())), number(float(path[-1, 0]))
    return Outcome(
        0 if deep else 2 if crossed else 1,
        (
            f"With μ = {number(_USUAL)} that happens, it ends at x = {number(float(usual[-1, 0]))}. With {number(mu)} it "
            f"loses too little speed to stay: it gets to x = {farthest} and ends at {end}.",
            f"It has more than enough speed: it gets to x = {farthest}, far beyond the pass at {number(WELLS.barrier)}, "
            f"and ends at {end}.",
            f"It gets to x = {farthest}, beyond the deep well at {number(WELLS.deep)}, and crosses the pass "
            f"{times(crossed)}. With μ = {number(_USUAL)} it crosses {times(before)} and rests at "
            f"{number(float(usual[-1, 0]))}.",
        ),
    )


# What they say: noise


def _mini_batches(values: Values) -> Outcome:
    surface, exact = surface_of(values), problem_of(values)
    samples = surface.samples
    assert samples is not None
    path = run(values)["GD"].path
    full = run({**values, "batch_size": samples.sample_count})["GD"].path
    away = distance(path, surface)
    last = away[-_LAST:]
    mean, near, start = float(last.mean()), float(away.min()), float(away[0])
    still = float(np.hypot(*exact.grad(path[-1])))
    ends = float(distance(full[-1], surface))
    return Outcome(
        1 if last.max() < _NEAR * start else 2 if np.ptp(last) < _NEAR * start else 0,
        (
            f"In the last {len(last)} steps GD is between {number(float(last.min()))} and {number(float(last.max()))} from "
            f"the minimum. With all {samples.sample_count} samples a step it ends {number(ends)} from it.",
            f"The errors average out over many steps, but the steps stay as long: in the last {len(last)} GD is "
            f"{number(mean)} from the minimum on average. With all samples a step it ends {number(ends)} from it.",
            f"This loss has no other minimum. GD came as near as {number(near)}; where it stands in the end, the full "
            f"gradient is {number(still)} long, so it does not rest there, the next batch moves it.",
        ),
    )


def _one_sample(values: Values) -> Outcome:
    blocks = batch_blocks(values)
    gradients = table(blocks, "gradients")[["x", "y"]].to_numpy(dtype=float)
    mean = table(blocks, "marks")[["x", "y"]].to_numpy(dtype=float)[1]
    down, count = int(np.sum(gradients @ mean > 0)), len(gradients)
    low, high = wilson(down, count)
    told = f"{down} of {count} lead downhill"
    return Outcome(
        2 if down == count else 0 if low <= _HALF <= high or down < count / 2 else 1,
        (
            f"{told}; chance would bring {number(count / 2)}, give or take {number(1.96 * math.sqrt(count) / 2, 2)}. The "
            "samples have a trend in common, so their gradients do too.",
            f"{told}, {percent(down / count)}. The {count - down} red ones lead uphill, but the mean of all arrows is "
            "the step on all samples.",
            f"{told}; the {count - down} red ones do not. What lowers the loss of one sample may raise that of the others.",
        ),
    )


def _noise(values: Values) -> Outcome:
    data = table(batch_blocks(values), "shares")
    deep = data[data["name"] == "deep well"]
    sigma, share, low, high, theory = (
        deep[name].to_numpy(dtype=float) for name in ("sigma", "y", "low", "high", "theory")
    )
    best = int(np.argmax(share))
    none, top, end = (percent(float(share[k])) for k in (0, best, -1))
    at, last = number(float(sigma[best])), number(float(sigma[-1]))
    if share[best] < _FEW:
        far = f"up to σ = {last} at most {top} of the runs end in the deep well"
        return Outcome(
            0,
            (
                f"In this range it does: {far}. Noise that weak does not get them over the pass.",
                f"Not in this range: {far}. Stronger noise would free some.",
                f"Not in this range: {far}. It takes stronger noise for both.",
            ),
        )
    freed = (
        f"Only without noise: {none}. At σ = {at} it is {top}, so noise frees runs rather than trapping them."
    )
    if not high[-1] < low[best]:  # a fall that the intervals do not bear out is chance
        rises = f"it comes to {top} at σ = {at} and is {end} at σ = {last}"
        return Outcome(1, (freed, f"Up to here {rises}.", f"Not up to here: {rises}, which may be chance."))
    exact = [float(theory[k]) for k in (best, -1)]
    computed = f"; computed exactly, {' and '.join(map(percent, exact))}" if np.isfinite(exact).all() else ""
    return Outcome(
        2,
        (
            freed,
            f"At first it does, from {none} to {top} at σ = {at}. But noise does not know the better side: at σ = {last} it is "
            f"{end}.",
            f"Without noise it is {none}, at σ = {at} it is {top}, at σ = {last} it is {end}{computed}.",
        ),
    )


# What they say: saddles


def _near_a_saddle(values: Values) -> Outcome:
    path = run(values)["GD"].path
    factor, needed = growth(path)
    there = int(steps_to(-np.abs(path[:, 1]), -1.0))
    tenfold = math.log(10) / math.log(factor) if factor > 1 else math.inf
    start, arrived = number(abs(float(path[0, 1]))), there if there >= 0 else math.ceil(min(needed, 1e9))
    slope = number(abs(float(run(values)["GD"].gradient[0, 1])))
    return Outcome(
        1 if 0 <= there < _SHORT or needed < _SHORT else 2 if math.isfinite(needed) else 0,
        (
            f"Almost 0 is not 0: across the ridge its gradient is {slope}, and grows as the distance does. At step "
            f"{arrived} it is 1 away.",
            f"It is 1 away at step {arrived}. Ten times nearer to the ridge would cost only {number(tenfold, 2)} more "
            "steps: the wait grows with the logarithm.",
            f"So it would be if all steps were as long as the first. They grow with the distance, {number(factor)} times "
            f"from one to the next, and from {start} to 1 it takes {arrived} of them.",
        ),
    )


def _newton_at_a_saddle(values: Values) -> Outcome:
    results, surface = run(values), surface_of(values)
    newton, gd = results["Newton"], results["GD"]
    saddle = np.array(next(s.point for s in surface.stationary if s.kind == "saddle"))
    off, end = (float(np.hypot(*(newton.path[k] - saddle))) for k in (1, -1))
    bend = float(np.linalg.eigvalsh(problem_of(values).hessian(newton.path[0]))[0])
    left = float(np.hypot(*(gd.path[-1] - saddle)))
    up = float(newton.path[1, 1] - newton.path[0, 1])
    return Outcome(
        0 if end < 1e-6 else 1 if end > left else 2,
        (
            f"Its distance from the saddle is {number(off)} after one step and {number(end)} after {len(newton.path) - 1}. "
            f"GD is {number(left)} away by then.",
            f"It sees the curvature of {number(bend)} along y, and divides by it: a negative number turns the step "
            f"round, so y changes by {number(up)}, toward the saddle.",
            f"Its first step, {number(float(np.hypot(*_first_step(newton))))} long, leads right to the saddle. There the "
            f"gradient is 0, and no other follows: in the end Newton is {number(end)} away from it, GD {number(left)}.",
        ),
    )


# What they say: averages, Adam


def _adam_first_step(values: Values) -> Outcome:
    results = run(values)
    adam, gd = _first_step(results["Adam"]), _first_step(results["GD"])
    g = results["Adam"].gradient[0]
    x, y = np.abs(adam)
    lr = float(settings("Adam", values)["lr"])
    return Outcome(
        0 if y > 3 * x else 1 if x > 3 * y else 2,
        (
            f"GD does: its first step is {_pair(gd)}. Adam's is {_pair(adam)}, for it divides each coordinate of the "
            "gradient by its own size.",
            f"Nothing is made up for: of the gradient {_pair(g)} only the signs are left, and the step against it is "
            f"{_pair(adam)}. GD's is {_pair(gd)}.",
            f"Of the gradient {_pair(g)} only the signs are left: against it Adam goes {number(lr)} in each coordinate, GD "
            f"{_pair(gd)}. On its first step Adam is sign descent.",
        ),
    )


def _without_correction(values: Values) -> Outcome:
    results, knobs = run(values), settings("Adam", values)
    corrected, raw = (float(np.abs(_first_step(results[name])).max()) for name in ("Adam", f"Adam{TWIN}"))
    m, root = 1 - float(knobs["beta1"]), math.sqrt(1 - float(knobs["beta2"]))
    ratio = raw / corrected
    return Outcome(
        2 if abs(ratio - 1) < 0.1 else 0 if ratio > 1 else 1,
        (
            f"It is {number(raw)} in each coordinate, the corrected one {number(corrected)}. The average m is "
            f"{number(m)} of the gradient, but √v, by which it is divided, only {number(root)} of its size.",
            f"The average m is too small, {number(m)} of the gradient. But it is divided by √v, which is smaller still, "
            f"{number(root)} of its size: that makes {number(raw)} instead of {number(corrected)}.",
            f"The two errors cancel only where 1 − β₁ is √(1 − β₂). Here that is {number(m)} over {number(root)}: the "
            f"first step is {number(raw)}, {number(ratio)} times the corrected one.",
        ),
    )


_MEANS = (7, 10, 19, 100)  # days of the plain means that are offered


def _days_averaged(values: Values) -> Outcome:
    beta, days = real(values, "avg_beta"), whole(values, "avg_days")
    found = windows(beta)
    scatter = float(noise_share(beta, days))
    plain = [1 / math.sqrt(n) for n in _MEANS]
    nominal, longer = (percent(float(held(beta, n))) for n in (found.nominal, found.equal_noise))
    means = [f"a plain mean of {n} by {number(s)}" for n, s in zip(_MEANS, plain, strict=True)]
    own = f"the moving average scatters by {number(scatter)} of what one day does"
    return Outcome(
        int(np.argmin(np.abs(np.array(plain) - scatter))),
        (
            f"Half of the weight does lie in the last {number(found.half_life)} days, but older days count too: {own}, "
            f"{means[0]}.",
            f"1/(1 − β) = {number(found.nominal)} days hold {nominal} of the weight, and the rest still helps: "
            f"{own}, {means[1]}.",
            f"{own[:1].upper()}{own[1:]}, {means[2]}. In general it is (1 + β)/(1 − β) days, nearly twice the "
            f"{number(found.nominal)} of the rule of thumb.",
            f"All {days} days count, but days long past hardly do: the last {number(found.equal_noise)} hold "
            f"{longer} of the weight. So {own}, {means[3]}.",
        ),
    )


_TURNED = tuple(
    frozenset(names)
    for names in (
        ("GD", "Momentum"),
        ("RMSProp", "Adam"),
        ("GD", "Momentum", "RMSProp", "Adam"),
        (),
    )
)


def _turned_valley(values: Values) -> Outcome:
    turned, before = arrivals(values), arrivals(upright(values))
    steps = whole(values, "steps")
    slower = frozenset(
        name for name, step in turned.items() if before[name] >= 0 and not 0 <= step <= before[name]
    )
    there = {name: _by(step, steps) for name, step in turned.items()}
    linear = (
        f"GD takes {before['GD']} steps upright and {there['GD']} turned, Momentum {before['Momentum']} and "
        f"{there['Momentum']}"
    )
    usual = surface_of(values).starts[0]
    nearer = (
        ", from this start nearer than Ravine's," if np.hypot(*start_of(values)) < np.hypot(*usual) else ""
    )
    scaled = (
        f"RMSProp takes {before['RMSProp']} steps upright and {there['RMSProp']} turned, Adam "
        f"{before['Adam']} and {there['Adam']}"
    )
    return Outcome(
        closest(slower, _TURNED),
        (
            f"To 1% of the loss {linear}: they see slopes, not axes, and their paths turn with the valley.",
            f"To 1% of the loss{nearer} {scaled}. At {number(real(values, 'theta'))}° x and y are equally steep, and "
            "there is nothing left for them to balance.",
            f"Not those whose paths turn with the valley: {linear} to 1% of the loss. RMSProp and Adam do: "
            f"{before['RMSProp']} and {there['RMSProp']}, {before['Adam']} and {there['Adam']}.",
            f"The valley is the same, but some rules hold on to the axes: to 1% of the loss{nearer} {scaled}.",
        ),
    )


def _amsgrad(values: Values) -> Outcome:
    results, surface = run(values), surface_of(values)
    assert surface.box is not None
    assert surface.best is not None
    x = [float(results[name].path[-1, 0]) for name in ("Adam", "AMSGrad")]
    adam, other = (v > sum(surface.box) / 2 for v in x)
    ends = f"Adam ends at x = {number(x[0])}, AMSGrad at {number(x[1])}"
    beta = float(settings("Adam", values)["beta2"])
    return Outcome(
        {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}[adam, other],
        (
            f"{ends}. The sum does ask for the left, but Adam divides each gradient by about its own size: what counts is "
            "how many ask for a side.",
            f"{ends}; the loss is lowest at {number(surface.best[0])}. Adam's steps are about as long for small gradients "
            f"as for large ones: with β₂ = {number(beta)} its average is mostly the last square.",
            f"It is the other way round: {ends}. What Adam forgets with β₂ = {number(beta)}, AMSGrad keeps: the largest "
            "average so far.",
            f"{ends}. AMSGrad divides all gradients by the same large number, so that their sizes count again.",
        ),
    )


# What they say: landscapes


def _one_weight(values: Values) -> Outcome:
    found = bends(word(values, "land_activation"))
    convex = (found.squared >= 0, found.cross_entropy >= 0)
    least = (
        f"the second derivative goes down to {number(found.squared)} with the squared error and to "
        f"{number(found.cross_entropy)} with cross-entropy"
    )
    return Outcome(
        {(True, True): 0, (False, False): 1, (True, False): 2, (False, True): 3}[convex],
        (
            f"A monotone sigmoid is not enough: {least}. Where it is negative, in red, the curve is not convex.",
            f"The sigmoid bends both ways, but the loss behind it can mend that: {least}, above 0 in the whole picture.",
            f"The square is convex in the output, but not in the weight behind it: {least}.",
            f"Between −6 and 6 {least}. The logarithm undoes the flat ends of the sigmoid, the square does not.",
        ),
    )


def _swapped_units(values: Values) -> Outcome:
    ways = table(land_blocks(values), "ways")
    share = ways["share"].to_numpy(dtype=float)
    y, names = ways["y"].to_numpy(dtype=float), ways["name"].astype(str).to_numpy()
    half = np.isclose(share, _HALF)
    end, middle = float(y[share == 0].mean()), y[half]
    worst = int(np.argmax(middle))
    count, higher = len(middle), int(np.sum(middle > end * (1 + 1e-6)))
    lower = int(np.sum(middle < end * (1 - 1e-6)))
    top = f"{number(float(middle[worst]))} for units {names[half][worst]}"
    return Outcome(
        int(np.argmax([higher, count - higher - lower, lower])),
        (
            f"At both ends it is {number(end)}, halfway up to {top}. For {higher} of {count} pairs it is higher: with all "
            "these equal minima the loss cannot be convex.",
            f"Only the ends are one function, with a loss of {number(end)}. Halfway both units are the same mean of two, "
            f"and the loss is up to {top}.",
            f"Averaging the outputs of two networks may help; averaging weights makes both units equal. From {number(end)} "
            f"the loss rises to {top}, and for {lower} of {count} pairs it is lower.",
        ),
    )


def _wide_networks(values: Values) -> Outcome:
    blocks = land_blocks(values)
    moved, loss = table(blocks, "moved"), table(blocks, "loss")
    width = moved["width"].to_numpy(dtype=float)
    move = moved["y"].to_numpy(dtype=float)
    start, end = (
        loss[loss["name"] == name]["y"].to_numpy(dtype=float) for name in ("at the start", "at the end")
    )
    left = float(end[-1] / start[-1])
    wide, narrow = f"{number(float(width[-1]))} units", f"{number(float(width[0]))} units"
    moves = f"with {wide} the parameters move by {percent(float(move[-1]))} of their length"
    error = f"the error goes from {number(float(start[-1]))} to {number(float(end[-1]))}"
    return Outcome(
        2 if not move[-1] < _LITTLE else 0 if left > _HALF else 1,
        (
            f"The first half holds: {moves}. But {error}: many weights that each give a little give enough.",
            f"{moves[:1].upper()}{moves[1:]}, with {narrow} by {percent(float(move[0]))}, and still {error}.",
            f"It is the narrowest that moves most, by {percent(float(move[0]))}; {moves}. The more weights share the work, "
            f"the less each has to do.",
        ),
    )


PREDICTIONS: Mapping[str, Callable[[Values], Outcome]] = MappingProxyType(
    {
        "first_at_minimum": _first_at_minimum,
        "past_the_limit": _past_the_limit,
        "plateau": _plateau,
        "clipped_step": _clipped_step,
        "same_start": _same_start,
        "more_momentum": _more_momentum,
        "mini_batches": _mini_batches,
        "one_sample": _one_sample,
        "noise": _noise,
        "near_a_saddle": _near_a_saddle,
        "newton_at_a_saddle": _newton_at_a_saddle,
        "adam_first_step": _adam_first_step,
        "without_correction": _without_correction,
        "days_averaged": _days_averaged,
        "turned_valley": _turned_valley,
        "wide_networks": _wide_networks,
        "one_weight": _one_weight,
        "swapped_units": _swapped_units,
        "amsgrad": _amsgrad,
    }
)
