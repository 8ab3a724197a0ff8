"""The ensemble behind dropout: every mask of a few units enumerated, Monte Carlo over masks, and MC dropout.

A net with n units that may be dropped is 2ⁿ nets with shared weights; a mask m has the probability
p^(n−k)·(1−p)^k, with k the number of kept units. Dropout is inverted throughout, so weight scaling in evaluation is
the net with all units kept. p is p_drop; p_keep = 1 − p.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import ACTIVATIONS, Activation
from core.dropout import draw_mask, drop, drop_backward, dropout_moments, evaluate
from core.initializers import Initializer
from core.network import SQUARED_ERROR, Params, flatten, init_network, unflatten
from core.optimizers import Rule
from core.streams import stream

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]

MOST_UNITS = 12  # 4,096 masks
MOST_COUNTED = 24  # units whose masks are counted, not enumerated
CLASSES = 3
_HIDDEN = 16  # units of the hidden layer, which are never dropped
_LOGITS = 1.5  # how far the logits of the net with all units spread

# Places of the streams of a seed.
_UNITS, _WEIGHTS, _DRAWS, _REGRESSION, _TRAINING, _PASSES = range(6)


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to 1")


def _check_units(units: int, most: int = MOST_UNITS) -> None:
    if not 1 <= units <= most or units != int(units):
        raise ValueError(f"units = {units}: needs a whole number from 1 to {most}")


def _check_count(name: str, value: int) -> None:
    if not value >= 1 or value != int(value):
        raise ValueError(f"{name} = {value}: needs a whole number from 1")


# Masks


def all_masks(units: int) -> Mask:
    """Return every mask of some units, (2ⁿ, n): row k keeps unit i where bit i of k is 1.

    Row 0 drops everything, the last row keeps everything.

    Raises:
        ValueError: units is not a whole number from 1 to 12.
    """
    _check_units(units)
    return np.asarray(np.arange(2**units)[:, None] >> np.arange(units) & 1, dtype=np.bool_)


def mask_probability(masks: Mask, p: float) -> Array:
    """Return p^(n−k)·(1−p)^k for masks (..., n) that keep k units each: → (...)."""
    _check_p(p)
    kept = np.count_nonzero(masks, axis=-1)
    return np.asarray(float(p) ** (masks.shape[-1] - kept) * float(1 - p) ** kept)


def kept_probability(units: int, p: float) -> Array:
    """Return the binomial probabilities that 0, 1, …, n units are kept, (n + 1,); n is at most 24."""
    _check_units(units, MOST_COUNTED)
    _check_p(p)
    return np.array([math.comb(units, k) * p ** (units - k) * (1 - p) ** k for k in range(units + 1)])


def effective_masks(units: int, p: ArrayLike) -> Array:
    """Return 2^(n·H(p)), H the entropy of one unit in bits: as many equally likely masks are as hard to guess.

    Args:
        units: n.
        p: probability to drop, (...), each from 0 to 1; 0 and 1 leave one mask.
    """
    share = np.asarray(p, dtype=np.float64)
    if not np.all((share >= 0) & (share <= 1)):
        raise ValueError(f"p_drop = {share}: needs numbers from 0 to 1")
    bits = sum(-q * np.log2(np.where(q > 0, q, 1.0)) for q in (share, 1 - share))
    return np.asarray(2.0 ** (units * bits))


def expected_distinct(units: int, p: float, samples: ArrayLike) -> Array:
    """Return how many different masks T draws show on average: Σ over masks of 1 − (1 − P(mask))^T.

    At p = 0.5 that is 2ⁿ·(1 − (1 − 2⁻ⁿ)^T).

    Args:
        units: n.
        p: probability to drop.
        samples: T, (...), from 0.
    """
    _check_units(units)
    _check_p(p)
    draws = np.asarray(samples, dtype=np.float64)[..., None]
    kept = np.arange(units + 1)
    each = float(p) ** (units - kept) * float(1 - p) ** kept  # of one mask that keeps so many
    count = np.array([math.comb(units, int(k)) for k in kept])
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.where(draws > 0, draws * np.log1p(-each), 0.0)  # −∞ where the mask is certain
    return np.asarray((count * -np.expm1(missed)).sum(axis=-1))


def draw_indices(units: int, p: float, *, samples: int, runs: int, seed: int) -> Ints:
    """Draw masks and return their rows in ``all_masks``, (runs, samples).

    More samples, runs or units extend what was drawn; another p moves the same uniforms.
    """
    _check_units(units)
    _check_count("samples", samples)
    _check_count("runs", runs)
    weight = 1 << np.arange(units)
    return np.stack(
        [
            draw_mask((samples, MOST_UNITS), p, stream(seed, _DRAWS, run))[:, :units] @ weight
            for run in range(runs)
        ]
    )


def distinct_so_far(indices: Ints) -> Ints:
    """Count the different masks among the first 1, 2, …, T draws of each run, (runs, T) → (runs, T)."""
    new = np.zeros(indices.shape, dtype=np.intp)
    for row, drawn in zip(new, indices, strict=True):
        row[np.unique(drawn, return_index=True)[1]] = 1
    return np.asarray(new.cumsum(axis=-1))


# A small classifier, and all nets within it


@dataclass(frozen=True)
class SmallNet:
    """What stands between the units that are dropped and the softmax.

    ``activation`` is that of a hidden layer, None if there is no such layer: then the renormalized geometric mean of
    all nets is weight scaling exactly, since the logits are linear in the mask.
    """

    name: str
    activation: Activation | None
    description: str


SMALL_NETS: dict[str, SmallNet] = {
    net.name: net
    for net in (
        SmallNet("softmax layer", None, "the units feed a softmax layer"),
        SmallNet(
            "ReLU hidden layer", ACTIVATIONS["ReLU"],
            f"the units feed {_HIDDEN} ReLU units without dropout, then a softmax layer",
        ),
        SmallNet(
            "tanh hidden layer", ACTIVATIONS["tanh"],
            f"the units feed {_HIDDEN} tanh units without dropout, then a softmax layer",
        ),
    )
}  # fmt: skip


def small_net(name: str) -> SmallNet:
    """Return an entry of ``SMALL_NETS``; ValueError names the choices."""
    try:
        return SMALL_NETS[name]
    except KeyError:
        raise ValueError(f"net = {name}: needs one of {', '.join(SMALL_NETS)}") from None


def log_softmax(logits: Array) -> Array:
    """Return log softmax over the last axis, (..., classes), without overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def class_logits(net: str, units: Array, *, of: int, seed: int) -> Array:
    """Send the values of the n units, (..., n), through what stands above them: → logits (..., 3).

    Args:
        net: key of ``SMALL_NETS``.
        units: what is left of the units' values, after dropout or whole.
        of: n, the number that the weights are scaled for.
        seed: of the weights; each unit has its own stream, so more units extend the weights.
    """
    rule = small_net(net)
    wide = CLASSES if rule.activation is None else _HIDDEN
    incoming = np.stack([stream(seed, _WEIGHTS, i).standard_normal(_HIDDEN)[:wide] for i in range(of)])
    z = units @ incoming / math.sqrt(of)
    if rule.activation is None:
        return np.asarray(_LOGITS * z)
    outgoing = stream(seed, _WEIGHTS, MOST_UNITS).standard_normal((_HIDDEN, CLASSES))
    return np.asarray(_LOGITS * (rule.activation.f(z) @ outgoing) * math.sqrt(2 / _HIDDEN))


@dataclass(frozen=True)
class Ensemble:
    """All N = 2ⁿ nets within one, for one input. Classes come by their probability in the whole net, likeliest first.

    Attributes:
        masks: (N, n) from ``all_masks``.
        probability: (N,) of each mask.
        output: (N, classes) the probabilities that each masked net gives.
        arithmetic: (classes,) the mean of the outputs over masks, what Monte Carlo tends to.
        geometric: (classes,) exp of the mean log output, divided by its sum.
        scaled: (classes,) weight scaling: one pass with all units, dropout in evaluation.
        sd: (classes,) standard deviation of the outputs over masks.
    """

    masks: Mask
    probability: Array
    output: Array
    arithmetic: Array
    geometric: Array
    scaled: Array
    sd: Array


def enumerate_ensemble(net: str, *, units: int = 8, p: float = 0.5, seed: int = 0) -> Ensemble:
    """Enumerate the nets within a small classifier and average them in three ways.

    The n units have half-normal values, as after a ReLU; the weights are normal, scaled so that the logits of the
    whole net spread by about 1.5 at any n.

    Args:
        net: key of ``SMALL_NETS``.
        units: n, from 1 to 12.
        p: probability to drop.
        seed: of units and weights.

    Raises:
        ValueError: a value out of range.
    """
    masks = all_masks(units)
    probability = mask_probability(masks, p)
    values = np.abs([stream(seed, _UNITS, i).standard_normal() for i in range(units)])
    whole = log_softmax(class_logits(net, evaluate(values, p), of=units, seed=seed))
    order = np.argsort(-whole, kind="stable")
    dropped = drop(np.broadcast_to(values, masks.shape), p, masks)
    logs = log_softmax(class_logits(net, dropped, of=units, seed=seed))[:, order]
    output = np.exp(logs)
    arithmetic = probability @ output
    return Ensemble(
        masks=masks,
        probability=probability,
        output=output,
        arithmetic=arithmetic,
        geometric=np.exp(log_softmax(probability @ logs)),
        scaled=np.exp(whole[order]),
        sd=np.sqrt(probability @ (output - arithmetic) ** 2),
    )


# Which p is best


class BestRate(NamedTuple):
    """Error against p of a linear model trained with dropout, over training sets.

    p (P,); error (P,) and its standard error (P,) over the training sets; theory (P,); theory_best: the p with the
    least expected error.
    """

    p: Array
    error: Array
    standard_error: Array
    theory: Array
    theory_best: float


def regression_rates(
    p: ArrayLike, *, units: int, examples: int, noise: float, sets: int = 200, seed: int = 0
) -> BestRate:
    """Train linear regression under all masks at once and measure how far its weights end from the true ones.

    The minimizer of Σ over masks of P(mask)·‖y − drop(X)·w‖² solves (XᵀX ∘ E[mmᵀ])·w = E[m] ∘ Xᵀy, with m the
    scaled mask; both expectations are taken over the enumeration. The inputs are orthogonal, XᵀX = examples·I, so
    the solution is (1 − p)·w_OLS, and the expected error ‖w − w_true‖² = p²·‖w_true‖² + (1 − p)²·n·noise²/examples:
    least at p = N/(1 + N), N = n·noise²/examples, as ‖w_true‖ = 1. On a new input of unit second moments that is the
    squared error beyond the noise.

    Args:
        p: (P,) probabilities to drop, each from 0 to below 1.
        units: n, from 1 to 12.
        examples: size of a training set, at least n.
        noise: standard deviation of the targets around the true line.
        sets: number of training sets, with the same inputs, from 2.
        seed: of inputs, true weights and noise.

    Raises:
        ValueError: a value out of range.
    """
    rates = np.atleast_1d(np.asarray(p, dtype=np.float64))
    masks = all_masks(units)
    if not np.all((rates >= 0) & (rates < 1)):
        raise ValueError(f"p_drop = {rates}: needs numbers from 0 to below 1")
    if examples < units or sets < 2:
        raise ValueError(f"examples = {examples}, sets = {sets}: need at least {units} and 2")
    rng = stream(seed, _REGRESSION, examples)
    truth = rng.standard_normal(units)
    truth /= np.linalg.norm(truth)
    x = np.linalg.qr(rng.standard_normal((examples, units)))[0] * math.sqrt(examples)
    y = x @ truth[:, None] + noise * rng.standard_normal((sets, examples)).T
    squares, products = x.T @ x, x.T @ y
    errors = []
    for rate in rates:
        scaled = drop(np.ones(masks.shape), float(rate), masks)
        weighted = mask_probability(masks, float(rate))[:, None] * scaled
        w = np.linalg.solve(squares * (weighted.T @ scaled), weighted.sum(axis=0)[:, None] * products)
        errors.append(((w - truth[:, None]) ** 2).sum(axis=0))
    error = np.array(errors)
    share = units * noise**2 / examples
    return BestRate(
        rates,
        error.mean(axis=1),
        error.std(axis=1, ddof=1) / math.sqrt(sets),
        rates**2 + (1 - rates) ** 2 * share,
        share / (1 + share),
    )


# MC dropout


@dataclass(frozen=True)
class DropoutTraining:
    """K networks trained with dropout after every hidden layer, all from the same weights and uniforms.

    Attributes:
        p: (K,) probability to drop.
        params: with the leading axis (K,).
        loss: (steps, K) mean squared error in training, masks and all.
        diverged_at: (K,) the first step with a loss or a parameter that is not finite; −1 if there is none.
    """

    p: Array
    params: Params
    loss: Array
    diverged_at: Ints


def forward_dropout(
    params: Params,
    x: Array,
    p: Sequence[float],
    masks: Sequence[Sequence[Mask]],
    activation: Activation,
) -> tuple[Array, list[Array], list[Array]]:
    """Send x (n, inputs) up through K networks, the hidden units of each under its own masks.

    Args:
        params: with the leading axis (K,).
        x: the data.
        p: (K,) probabilities to drop.
        masks: by hidden layer and network, each (n, units), as ``drop`` takes them.
        activation: of the hidden layers.

    Returns:
        the output (K, n, outputs), the hidden layers' z (K, n, units), and what each layer sees, x first.
    """
    seen: list[Array] = [np.broadcast_to(x, (len(p), *x.shape))]
    pre: list[Array] = []
    for l, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        z = seen[-1] @ weight + bias[:, None, :]
        if l == len(params.weights) - 1:
            return z, pre, seen
        pre.append(z)
        h = activation.f(z)
        seen.append(np.stack([drop(h[k], rate, masks[l][k]) for k, rate in enumerate(p)]))
    raise ValueError("a network needs a layer")


def backward_dropout(
    params: Params,
    pre: list[Array],
    seen: list[Array],
    top: Array,
    p: Sequence[float],
    masks: Sequence[Sequence[Mask]],
    activation: Activation,
) -> Params:
    """Send dL/d(output), (K, n, outputs), down again through the same masks; return the gradient by parameter."""
    delta = top
    weights: list[Array] = []
    biases: list[Array] = []
    for l in reversed(range(len(params.weights))):
        weights.append(seen[l].mT @ delta)
        biases.append(delta.sum(axis=-2))
        if l > 0:
            back = delta @ params.weights[l].mT
            through = [drop_backward(back[k], rate, masks[l - 1][k]) for k, rate in enumerate(p)]
            delta = np.stack(through) * activation.df(pre[l - 1])
    return Params(tuple(reversed(weights)), tuple(reversed(biases)))


@np.errstate(all="ignore")  # a diverging run overflows, and that is a result with a step number
def train_dropout(
    x: ArrayLike,
    y: ArrayLike,
    hidden: Sequence[int],
    *,
    p: Sequence[float],
    activation: Activation,
    initializer: Initializer,
    rule: Rule,
    steps: int,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> DropoutTraining:
    """Train K networks on the squared error, each step on all points, every point under a mask of its own.

    Args:
        x: (n,) inputs.
        y: (n,) targets.
        hidden: units of the hidden layers.
        p: (K,) probabilities to drop a hidden unit.
        activation, initializer: of the hidden layers; where the weights start.
        rule: an optimizer with its knobs set, each a number or an array (K,).
        steps: number of updates, from 1.
        seed: of weights and masks; more steps extend a run.
        report: called as report(step, steps) every 25 steps and at the end.

    Raises:
        ValueError: a value out of range, or points and targets that do not fit.
    """
    points, targets = np.asarray(x, np.float64), np.asarray(y, np.float64)
    _check_count("steps", steps)
    for rate in p:
        _check_p(rate)
    if points.ndim != 1 or points.shape != targets.shape or len(points) < 1:
        raise ValueError(f"x of shape {points.shape} and y of shape {targets.shape}: need (n,) both")
    sizes = (1, *hidden, 1)
    start = flatten(init_network(sizes, initializer, seed=seed))
    vector = np.broadcast_to(start, (len(p), len(start))).copy()
    state = rule.init(vector)
    generators = [
        stream(seed, _TRAINING) for _ in p
    ]  # the same uniforms: a smaller p keeps what a larger one keeps
    points, targets = points[:, None], targets[:, None]
    losses = np.empty((steps, len(p)))
    diverged_at = np.full(len(p), -1)
    for step in range(steps):
        params = unflatten(vector, sizes)
        masks = [
            [draw_mask((len(points), units), rate, rng) for rate, rng in zip(p, generators, strict=True)]
            for units in hidden
        ]
        output, pre, seen = forward_dropout(params, points, p, masks, activation)
        losses[step] = SQUARED_ERROR.value(output, targets)
        top = SQUARED_ERROR.gradient(output, targets)
        gradient = backward_dropout(params, pre, seen, top, p, masks, activation)
        move, state = rule.update(flatten(gradient), state, vector)
        vector = vector + move
        finite = np.isfinite(losses[step]) & np.isfinite(vector).all(axis=-1)
        diverged_at = np.where((diverged_at < 0) & ~finite, step, diverged_at)
        if report is not None and (step % 25 == 0 or step == steps - 1):
            report(step + 1, steps)
    return DropoutTraining(np.asarray(p, np.float64), unflatten(vector, sizes), losses, diverged_at)


_BLOCK = 50  # passes at once


@np.errstate(all="ignore")
def dropout_passes(
    params: Params, x: ArrayLike, p: float, *, samples: int, activation: Activation, seed: int = 0
) -> Array:
    """Predict T times with dropout on, one mask a pass for all points: a pass is a function.

    Args:
        params: of one network with one input and one output.
        x: (n,) inputs.
        p: probability to drop a hidden unit.
        samples: T, from 1; more extend the passes.
        activation: of the hidden layers.
        seed: of the masks.

    Returns:
        (T, n).
    """
    _check_count("samples", samples)
    points = np.asarray(x, np.float64)[:, None]
    hidden = params.sizes[1:-1]
    found = []
    for block in range(-(-samples // _BLOCK)):
        rng = stream(seed, _PASSES, block)
        a: Array = np.broadcast_to(points, (_BLOCK, *points.shape))
        for weight, bias, units in zip(params.weights, params.biases, hidden, strict=False):
            a = drop(activation.f(a @ weight + bias), p, draw_mask((_BLOCK, 1, units), p, rng))
        found.append((a @ params.weights[-1] + params.biases[-1])[..., 0])
    return np.concatenate(found)[:samples]


@np.errstate(all="ignore")
def predict_scaled(params: Params, x: ArrayLike, p: float, activation: Activation) -> Array:
    """Predict once with all units, dropout in evaluation: (n,) → (n,)."""
    a: Array = np.asarray(x, np.float64)[:, None]
    for weight, bias in zip(params.weights[:-1], params.biases[:-1], strict=True):
        a = evaluate(activation.f(a @ weight + bias), p)
    return np.asarray((a @ params.weights[-1] + params.biases[-1])[..., 0])


@np.errstate(all="ignore")
def one_layer_sd(params: Params, x: ArrayLike, p: float, activation: Activation) -> Array:
    """Return the standard deviation over masks of a network with one hidden layer, exactly: (n,) → (n,).

    The output adds hᵢ(x)·vᵢ·mᵢ, so its variance is p/(1 − p)·Σ vᵢ²·hᵢ(x)². For ReLU each hᵢ² is convex in x, and so
    is the variance: it cannot be large between two places where it is small (Foong et al. 2020).

    Raises:
        ValueError: the network has not one hidden layer and one output.
    """
    if len(params.weights) != 2 or params.sizes[-1] != 1:
        raise ValueError(f"sizes = {params.sizes}: needs one hidden layer and one output")
    h = activation.f(np.asarray(x, np.float64)[:, None] @ params.weights[0] + params.biases[0])
    return np.asarray(np.sqrt(dropout_moments(h * params.weights[1][:, 0], p).train_var))
