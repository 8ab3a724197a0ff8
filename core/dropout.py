"""Dropout: what is scaled, when, and what the scaling repairs.

p is always p_drop, the probability to drop a unit (the p of PyTorch, the rate of Keras); p_keep = 1 − p is what
TensorFlow 1 and the paper of 2014 name. A mask is boolean, True where a unit is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.kept import keep
from core.knobs import number
from core.streams import stream, streams

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_CONTRIBUTIONS, _TRAINING, _EVALUATION = range(3)  # the places of the random streams


@dataclass(frozen=True)
class DropoutMode:
    """One way to use dropout, right or wrong.

    ``train_scale`` and ``eval_scale`` map p to the factor on the units in training and in evaluation;
    the two flags say where units are masked; ``mistake`` marks what people do by accident.
    """

    name: str
    train_scale: Callable[[float], float]
    eval_scale: Callable[[float], float]
    masks_in_training: bool
    masks_in_evaluation: bool
    mistake: bool
    description: str
    source: str


def _one(p: float) -> float:
    return 1.0


def _keep(p: float) -> float:
    return 1 - p


def _inverse_keep(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0  # nothing is kept at p = 1, and the output is defined as 0


DROPOUT_MODES: dict[str, DropoutMode] = {
    mode.name: mode
    for mode in (
        DropoutMode(
            name="No dropout",
            train_scale=_one,
            eval_scale=_one,
            masks_in_training=False,
            masks_in_evaluation=False,
            mistake=False,
            description="All units, always.",
            source="the full network",
        ),
        DropoutMode(
            name="Inverted",
            train_scale=_inverse_keep,
            eval_scale=_one,
            masks_in_training=True,
            masks_in_evaluation=False,
            mistake=False,
            description="Training divides the kept units by p_keep; evaluation does nothing.",
            source="torch.nn.Dropout, keras.layers.Dropout; Srivastava et al. 2014, section 10",
        ),
        DropoutMode(
            name="Classic",
            train_scale=_one,
            eval_scale=_keep,
            masks_in_training=True,
            masks_in_evaluation=False,
            mistake=False,
            description="Training only masks; evaluation multiplies the outgoing weights by p_keep.",
            source="Srivastava et al. 2014, section 4",
        ),
        DropoutMode(
            name="No scaling",
            train_scale=_one,
            eval_scale=_one,
            masks_in_training=True,
            masks_in_evaluation=False,
            mistake=True,
            description="Nobody scales: evaluation is 1/p_keep times the training mean.",
            source="classic dropout with the test-time factor left out",
        ),
        DropoutMode(
            name="Scaled twice",
            train_scale=_inverse_keep,
            eval_scale=_keep,
            masks_in_training=True,
            masks_in_evaluation=False,
            mistake=True,
            description="Both scale: evaluation is only p_keep times the training mean.",
            source="inverted training with the classic test-time factor",
        ),
        DropoutMode(
            name="Forgot eval()",
            train_scale=_inverse_keep,
            eval_scale=_inverse_keep,
            masks_in_training=True,
            masks_in_evaluation=True,
            mistake=True,
            description="Evaluation still masks: right on average, noisy for every single prediction.",
            source="torch.nn.Module.eval() not called",
        ),
    )
}


def dropout_mode(name: str) -> DropoutMode:
    """Return an entry of ``DROPOUT_MODES``; ValueError names the choices."""
    try:
        return DROPOUT_MODES[name]
    except KeyError:
        raise ValueError(f"mode = {name}: needs one of {', '.join(DROPOUT_MODES)}") from None


@dataclass(frozen=True)
class DropoutConvention:
    """How a framework or a text writes dropout.

    ``parameter`` is the name of its number, and ``keeps`` says whether that is the probability to keep; ``mode`` is
    the key of ``DROPOUT_MODES`` that it computes. In ``code`` the braces hold the place of the number. ``training``
    and ``evaluation`` say what is done in each, ``at_one`` what becomes of p_drop = 1.
    """

    name: str
    parameter: str
    keeps: bool
    mode: str
    code: str
    training: str
    evaluation: str
    at_one: str
    source: str

    def value(self, p: float) -> float:
        """Return the number that this convention writes for p_drop = p; ValueError outside [0, 1]."""
        _check_p(p)
        return 1 - p if self.keeps else p

    def setting(self, p: float) -> str:
        """Write the parameter with its number, ``keep_prob = 0.5``; a p that keeps is told from one that drops."""
        own = f"{self.parameter} (keep)" if self.keeps and self.parameter == "p" else self.parameter
        return f"{own} = {_plain(self.value(p))}"

    def call(self, p: float) -> str:
        """Write the line of code, or of the text, with its number in place."""
        return self.code.replace("{}", _plain(self.value(p)))


def _plain(value: float) -> str:
    """Write a number as code takes it, to six digits."""
    return number(value, 6).replace("−", "-")


DROPOUT_CONVENTIONS: dict[str, DropoutConvention] = {
    rule.name: rule
    for rule in (
        DropoutConvention(
            name="PyTorch",
            parameter="p",
            keeps=False,
            mode="Inverted",
            code="nn.Dropout(p={})",
            training="kept units divided by p_keep",
            evaluation="nothing",
            at_one="PyTorch takes p = 1 and returns zeros in training.",
            source="torch.nn.Dropout; p = 1 tried with PyTorch 2.13",
        ),
        DropoutConvention(
            name="Keras",
            parameter="rate",
            keeps=False,
            mode="Inverted",
            code="layers.Dropout(rate={})",
            training="kept units divided by p_keep",
            evaluation="nothing",
            at_one=(
                "Keras 3 builds a layer with rate = 1; in training the backend decides: zeros with PyTorch and JAX, an "
                "error with TensorFlow, which needs a rate below 1."
            ),
            source="keras.layers.Dropout, Keras 3, and the dropout of its three backends",
        ),
        DropoutConvention(
            name="TensorFlow 1",
            parameter="keep_prob",
            keeps=True,
            mode="Inverted",
            code="tf.nn.dropout(x, keep_prob={})",
            training="kept units divided by p_keep",
            evaluation="nothing, with keep_prob = 1",
            at_one="TensorFlow 1 refuses keep_prob = 0: it has to lie in (0, 1].",
            source="tf.nn.dropout(x, keep_prob); TensorFlow 1.15 calls it deprecated and has rate in its place",
        ),
        DropoutConvention(
            name="Paper of 2014",
            parameter="p",
            keeps=True,
            mode="Classic",
            code="r ~ Bernoulli({}), W_test = {} W",
            training="units masked, nothing scaled",
            evaluation="weights times p_keep",
            at_one="The formulas of the paper stay defined: nothing is retained, and weights times 0 give 0.",
            source="Srivastava et al. 2014, section 4: p is the probability to retain a unit",
        ),
        DropoutConvention(
            name="Study notes",
            parameter="p",
            keeps=False,
            mode="Classic",
            code="drop with p = {}, then weights × (1 − p)",
            training="units masked, nothing scaled",
            evaluation="weights times p_keep",
            at_one="The rule stays defined: everything is dropped, and weights times 0 give 0.",
            source="study notes, after the first paper: Hinton et al. 2012 halve the outgoing weights at p = 0.5",
        ),
    )
}


def dropout_convention(name: str) -> DropoutConvention:
    """Return an entry of ``DROPOUT_CONVENTIONS``; ValueError names the choices."""
    try:
        return DROPOUT_CONVENTIONS[name]
    except KeyError:
        choices = ", ".join(DROPOUT_CONVENTIONS)
        raise ValueError(f"convention = {name}: needs one of {choices}") from None


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to 1")


def _whole(name: str, value: int, low: int) -> int:
    if not value >= low or value != int(value):
        raise ValueError(f"{name} = {value}: needs a whole number from {low}")
    return int(value)


def _floating(x: ArrayLike) -> Array:
    array = np.asarray(x)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def draw_mask(shape: int | tuple[int, ...], p: float, rng: np.random.Generator) -> Mask:
    """Draw a mask: True (keep) with probability 1 − p, independently for each entry.

    One uniform per entry is compared with p, so the same generator gives nested masks: what a larger p
    keeps, a smaller one keeps too. p = 0 keeps everything, p = 1 nothing.

    Raises:
        ValueError: p outside [0, 1].
    """
    _check_p(p)
    return np.asarray(rng.random(shape) >= p)


def _apply(x: ArrayLike, scale: float, mask: Mask | None) -> Array:
    values = _floating(x)
    factor = values.dtype.type(scale)
    with np.errstate(over="ignore", invalid="ignore"):
        if mask is None:
            return np.asarray(values * factor)
        keep = np.asarray(mask)
        if keep.dtype != np.bool_:
            raise ValueError(f"mask has dtype {keep.dtype}: needs bool, True where a unit is kept")
        try:
            keep = np.broadcast_to(keep, values.shape)
        except ValueError:
            raise ValueError(f"mask has shape {keep.shape}: needs one that fits {values.shape}") from None
        return np.asarray(values * (factor * keep))


def drop(x: ArrayLike, p: float, mask: Mask, mode: str = "Inverted") -> Array:
    """Training: mask the units and scale the kept ones as the mode says.

    At p = 1 nothing is kept and the output is 0 in every mode that masks, as in PyTorch; 1/(1−p) is not
    taken. A masked unit is multiplied by 0, so a NaN or an infinity in it stays visible as NaN.

    Args:
        x: (...).
        p: probability to drop, from 0 to 1.
        mask: boolean, (...) or broadcasting to it, from ``draw_mask``; unused where the mode does not mask.
        mode: key of ``DROPOUT_MODES``.
    """
    rule = dropout_mode(mode)
    _check_p(p)
    return _apply(x, rule.train_scale(p), mask if rule.masks_in_training else None)


def drop_backward(dy: ArrayLike, p: float, mask: Mask, mode: str = "Inverted") -> Array:
    """Gradient of ``drop`` with respect to x: the same mask and the same scale, on dy (...)."""
    return drop(dy, p, mask, mode)


def evaluate(x: ArrayLike, p: float, mode: str = "Inverted", mask: Mask | None = None) -> Array:
    """Evaluation: scale as the mode says; deterministic unless the mode still masks.

    Raises:
        ValueError: the mode masks in evaluation and no mask is given.
    """
    rule = dropout_mode(mode)
    _check_p(p)
    if rule.masks_in_evaluation and mask is None:
        raise ValueError(f"mask = None: {rule.name} masks in evaluation and needs a mask")
    return _apply(x, rule.eval_scale(p), mask if rule.masks_in_evaluation else None)


class DropoutMoments(NamedTuple):
    """Mean, variance and fourth cumulant of a unit's output over masks, in training and in evaluation."""

    train_mean: Array
    train_var: Array
    eval_mean: Array
    eval_var: Array
    train_cumulant4: Array
    eval_cumulant4: Array


def _sum_moments(contributions: Array, p: float, scale: float, masked: bool) -> tuple[Array, Array, Array]:
    kept, spread = (float(1 - p), float(p * (1 - p))) if masked else (1.0, 0.0)
    scaled = contributions * contributions.dtype.type(scale)
    mean = kept * np.sum(scaled, axis=-1)
    var = spread * np.sum(scaled**2, axis=-1)
    cumulant4 = spread * (1 - 6 * spread) * np.sum(scaled**4, axis=-1)
    return mean, var, cumulant4


def dropout_moments(contributions: ArrayLike, p: float, mode: str = "Inverted") -> DropoutMoments:
    """Closed form of the output Σ cᵢ·maskᵢ·scale over all masks.

    Training: inverted has mean Σc and variance Σc²·p/(1−p), classic (1−p)·Σc and Σc²·p(1−p). At p = 1 the
    output is 0, and so are both. Evaluation: a scaled Σc without variance, unless the mode still masks.

    Args:
        contributions: (..., n), cᵢ = activation times weight; summed over the last axis.
        p: probability to drop, from 0 to 1.
        mode: key of ``DROPOUT_MODES``.

    Returns:
        Six arrays (...). The cumulants serve ``variance_error``.
    """
    rule = dropout_mode(mode)
    _check_p(p)
    c = _floating(contributions)
    with np.errstate(over="ignore", invalid="ignore"):
        train = _sum_moments(c, p, rule.train_scale(p), rule.masks_in_training)
        evaluation = _sum_moments(c, p, rule.eval_scale(p), rule.masks_in_evaluation)
    return DropoutMoments(train[0], train[1], evaluation[0], evaluation[1], train[2], evaluation[2])


def variance_error(var: ArrayLike, cumulant4: ArrayLike, samples: ArrayLike) -> Array:
    """Standard error √(κ₄/n + 2·var²/(n−1)) of the unbiased variance of n independent samples; n from 2."""
    n = np.asarray(samples, np.float64)
    if np.any(n < 2):
        raise ValueError(f"samples = {np.min(n):g}: needs a whole number from 2")
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.asarray(cumulant4) / n + 2 * np.square(_floating(var)) / (n - 1)
        # κ₄ ≥ −2·var², so the sum is never negative except by rounding.
        return np.asarray(np.sqrt(np.maximum(squared, 0)))


class RunningMoments(NamedTuple):
    """Estimates from the first 1, 2, ..., M samples, each (..., M).

    ``var`` is unbiased (ddof = 1) and NaN for a single sample; ``mean_error`` = √(var/k) likewise.
    """

    mean: Array
    var: Array
    mean_error: Array


def running_moments(samples: ArrayLike) -> RunningMoments:
    """Follow mean and unbiased variance as samples arrive along the last axis.

    Welford's increments (xₖ − meanₖ₋₁)(xₖ − meanₖ) are never negative, so an offset of 1e8 leaves the
    variance exact; more samples never change the entries before them.

    Args:
        samples: (..., M), M from 1.
    """
    x = _floating(samples)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"samples have shape {x.shape}: need at least one along the last axis")
    count = np.arange(1, x.shape[-1] + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        first = x[..., :1].astype(np.float64)
        rest = x - first
        mean = np.cumsum(rest, axis=-1) / count
        increments = np.zeros_like(rest)
        increments[..., 1:] = np.square(rest[..., 1:] - mean[..., :-1]) * (count[:-1] / count[1:])
        var = np.cumsum(increments, axis=-1) / np.maximum(count - 1, 1)
        var[..., 0] = np.nan
        error = np.sqrt(var / count)
        return RunningMoments((first + mean).astype(x.dtype), var.astype(x.dtype), error.astype(x.dtype))


@dataclass(frozen=True)
class Contributions:
    """One way to fill a unit's contributions cᵢ = activation times weight, which always sum to 1.

    ``draw(n, rng)`` gives (n,); ``phrase`` says in a caption what they are.
    """

    name: str
    phrase: str
    draw: Callable[[int, np.random.Generator], Array]
    description: str


def _equal(n: int, rng: np.random.Generator) -> Array:
    return np.full(n, 1 / n)


def _positive(n: int, rng: np.random.Generator) -> Array:
    raw = np.abs(rng.standard_normal(n))
    return np.asarray(raw / raw.sum())


def _signed(n: int, rng: np.random.Generator) -> Array:
    raw = rng.standard_normal(n)
    centered = raw - raw.mean()
    size = float(np.sum(centered**2))
    if n == 1 or size == 0:
        return np.full(n, 1 / n)  # a single contribution has to be the whole sum
    return np.asarray(1 / n + centered * np.sqrt((1 - 1 / n) / size))


CONTRIBUTIONS: dict[str, Contributions] = {
    kind.name: kind
    for kind in (
        Contributions(
            name="equal",
            phrase="equal contributions that sum to 1",
            draw=_equal,
            description="Each is 1/n, and Σc² = 1/n: the smallest noise that n inputs can have.",
        ),
        Contributions(
            name="positive, random",
            phrase="positive random contributions that sum to 1",
            draw=_positive,
            description="Absolute values of normal draws: uneven enough that Σc² is near (π/2)/n for many inputs.",
        ),
        Contributions(
            name="positive and negative",
            phrase="contributions of either sign that sum to 1, as their squares do",
            draw=_signed,
            description="Normal draws, shifted and scaled until Σc = Σc² = 1: most of them cancel, and more inputs "
            "do not make the noise smaller.",
        ),
    )
}


def contributions_of(name: str) -> Contributions:
    """Return an entry of ``CONTRIBUTIONS``; ValueError names the choices, which themselves hold commas."""
    try:
        return CONTRIBUTIONS[name]
    except KeyError:
        choices = "; ".join(CONTRIBUTIONS)
        raise ValueError(f"contributions = {name}: needs one of {choices}") from None


@dataclass(frozen=True)
class DropoutRun:
    """One unit with n inputs under M masks, in every mode K of the registry, in its order.

    Attributes:
        modes: (K,) keys of ``DROPOUT_MODES``.
        p: probability to drop.
        contributions: (n,) summing to 1: the output without dropout is 1.
        train, evaluation: (K, M) the unit's output under each mask. All modes share the training masks;
            evaluation masks, where a mode uses them, are others. A deterministic row is constant.
        deterministic: (K,) whether evaluation is one number.
        train_mean, train_var, eval_mean, eval_var: (K,) over the masks, variance unbiased (ddof = 1, so
            NaN for a single mask).
        ratio: (K,) eval_mean/train_mean, 1 when the scaling is right; inf or NaN where the training mean
            is 0.
    """

    modes: tuple[str, ...]
    p: float
    contributions: Array
    train: Array
    evaluation: Array
    deterministic: Mask
    train_mean: Array
    train_var: Array
    eval_mean: Array
    eval_var: Array
    ratio: Array


def _weighted_sum(contributions: Array, keep: Mask) -> Array:
    """Σᵢ cᵢ·keepᵢ for keep (n, ...), in a fixed order so that a sum never depends on how many there are."""
    total = np.zeros(keep.shape[1:])
    for weight, row in zip(contributions, keep, strict=True):
        total += weight * row
    return total


_PLACES = (_TRAINING, _EVALUATION)
_HEAVY = 500_000  # uniforms, 8 MB of them for the two places: more than these are drawn anew each time


def _draw_uniforms(inputs: int, masks: int, seed: int) -> Array:
    """Uniforms (inputs, 2, masks) of training and evaluation; each input has its own stream for each of the two.

    So either number extends the array.
    """
    drawn = np.empty((inputs, len(_PLACES), masks))
    begun = streams(seed, [(place, unit) for unit in range(inputs) for place in _PLACES])
    for row, rng in zip(drawn.reshape(-1, masks), begun, strict=True):
        rng.random(out=row)
    return drawn


@keep(entries=64, most=24_000_000)
def _uniforms(inputs: int, masks: int, seed: int) -> Array:
    """Keep them, for p is what one moves, and another p meets the same uniforms."""
    return _draw_uniforms(inputs, masks, seed)


def _in_every_mode(factors: list[tuple[float, bool]], full: float, masked: Array) -> tuple[Array, ...]:
    """Return outputs (K, M), and their mean and variance (K,), for K pairs of a scale and whether units are masked.

    Modes that do the same share one row of work.
    """
    different = list(dict.fromkeys(factors))
    outputs = np.stack([scale * (masked if cut else np.full(masked.size, full)) for scale, cut in different])
    over = running_moments(outputs)
    rows = [different.index(each) for each in factors]
    return outputs[rows], over.mean[rows, -1], over.var[rows, -1]


def dropout_layer(
    *,
    p: float = 0.5,
    inputs: int = 50,
    masks: int = 2000,
    seed: int = 0,
    contributions: str = "positive, random",
) -> DropoutRun:
    """Push one unit through the same masks in every mode, in training and in evaluation.

    More masks extend every row; another p, or other contributions, meet the same uniforms.

    Args:
        p: probability to drop, from 0 to 1.
        inputs: n, from 1.
        masks: M, from 1.
        seed: non-negative integer.
        contributions: key of ``CONTRIBUTIONS``.
    """
    _check_p(p)
    inputs, masks = _whole("inputs", inputs, 1), _whole("masks", masks, 1)
    weights = contributions_of(contributions).draw(inputs, stream(seed, _CONTRIBUTIONS))
    uniforms = (_uniforms if inputs * masks <= _HEAVY else _draw_uniforms)(inputs, masks, seed)
    trained, evaluated = _weighted_sum(weights, uniforms >= p)
    full = float(np.cumsum(weights)[-1])  # in the order of the others

    rules = DROPOUT_MODES.values()
    train, train_mean, train_var = _in_every_mode(
        [(m.train_scale(p), m.masks_in_training) for m in rules], full, trained
    )
    evaluation, eval_mean, eval_var = _in_every_mode(
        [(m.eval_scale(p), m.masks_in_evaluation) for m in rules], full, evaluated
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = eval_mean / train_mean
    return DropoutRun(
        modes=tuple(DROPOUT_MODES),
        p=p,
        contributions=weights,
        train=train,
        evaluation=evaluation,
        deterministic=np.array([not m.masks_in_evaluation for m in rules]),
        train_mean=train_mean,
        train_var=train_var,
        eval_mean=eval_mean,
        eval_var=eval_var,
        ratio=ratio,
    )
