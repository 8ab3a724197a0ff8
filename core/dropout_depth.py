"""Dropout in every layer of a deep net: how each way of scaling compounds, in training and in evaluation.

Convention: h¹ has standard normal entries (the input), y^l = d(φ(h^l)) with d the dropout of a mode, and
h^{l+1} = y^l·W^l for l = 1 … L; W has entries N(0, σ_w²/width). What is measured is y^l, the output of layer l, which
so has been masked and scaled l times. p is p_drop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.activations import Activation
from core.dropout import DROPOUT_MODES, Mask, draw_mask, drop, dropout_mode, evaluate
from core.quadrature import gaussian_mean
from core.streams import stream

Array = NDArray[np.floating[Any]]

_INPUT, _WEIGHTS, _TRAINING, _EVALUATION = range(4)  # the places of the random streams
_ENTRIES = 2**17  # weights of one layer in all networks, about
_MOST_NETWORKS = 64


class LayerMoments(NamedTuple):
    """Mean and second moment of what layers put out, each (modes, depth); of a run (modes, networks, depth)."""

    mean: Array
    second: Array

    @property
    def variance(self) -> Array:
        """E y² − (E y)²: over units, inputs and masks together."""
        return np.asarray(self.second - self.mean**2)


@dataclass(frozen=True)
class DropoutDepth:
    """What ``propagate_dropout`` measured; the modes share weights, inputs and masks.

    Attributes:
        modes: the K modes, keys of ``DROPOUT_MODES``.
        networks: R, how many networks there are.
        inputs: how many inputs each of them sees.
        train, evaluation: moments of y^1 … y^L over units and inputs, (K, R, L). An overflow shows as inf or NaN.
    """

    modes: tuple[str, ...]
    networks: int
    inputs: int
    train: LayerMoments
    evaluation: LayerMoments

    def pooled(self) -> tuple[LayerMoments, LayerMoments]:
        """Return the moments in training and in evaluation over all networks, (K, L) each."""
        with np.errstate(over="ignore", invalid="ignore"):
            both = [LayerMoments(*(part.mean(axis=1) for part in of)) for of in (self.train, self.evaluation)]
        return both[0], both[1]


def keeping_variance(activation: Activation) -> float:
    """Return the σ_w² = 1/E φ(z)² that keeps a standard normal signal's size without dropout; 2 for ReLU (He).

    Raises:
        ValueError: φ is 0 for every input.
    """
    second = float(gaussian_mean(lambda z: activation.f(z) ** 2, 1.0, activation.kinks_at()))
    if second <= 0:
        raise ValueError(f"{activation.name} is 0 everywhere: no weights keep its size")
    return 1 / second


def corrected_variance(activation: Activation, p: float) -> float:
    """Return σ_w² = (1 − p)/E φ(z)², which keeps a standard normal signal's size under inverted dropout in training.

    Source: Pretorius, Van Biljon, Kroon, Kamper 2018, "Critical initialisation for deep signal propagation in noisy
    rectifier neural networks": σ_w² = 2/μ₂ with μ₂ = 1/(1−p) the second moment of the noise.
    """
    return keeping_variance(activation) * (1 - p)


def homogeneous(activation: Activation) -> bool:
    """Say whether φ(c·z) = c·φ(z) for every c > 0, as for ReLU: then a factor passes through every layer."""
    z = np.array([-3.0, -0.7, 0.0, 0.2, 2.0])
    return bool(np.allclose(activation.f(8 * z), 8 * activation.f(z), rtol=1e-12, atol=0))


def log_scatter(activation: Activation, *, p: float, depth: int, width: int) -> float:
    """Return the standard deviation of the log second moment of y^L in one network for one input, under masks.

    For a homogeneous φ each layer multiplies the second moment by the mean of y² over its units, of relative variance
    (E φ⁴/((1−p)(E φ²)²) − 1)/width: to first order the logs add. With ReLU the fraction is 6/(1−p). The mean over
    networks lies above a typical one by half the square of this, in logs.

    Args:
        activation: homogeneous, see ``homogeneous``.
        p: probability to drop, below 1; 0 for evaluation.
        depth, width: L and units a layer.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to below 1")
    kinks = activation.kinks_at()
    fourth = float(gaussian_mean(lambda z: activation.f(z) ** 4, 1.0, kinks))
    second = float(gaussian_mean(lambda z: activation.f(z) ** 2, 1.0, kinks))
    return float(np.sqrt(depth * (fourth / ((1 - p) * second**2) - 1) / width))


def networks_for(width: int) -> int:
    """Return how many networks a run measures: the narrower, the more; the depth never changes it."""
    return int(np.clip(_ENTRIES // width**2, 1, _MOST_NETWORKS))


def _check(p: float, depth: int, width: int, weight_variance: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p_drop = {p}: needs a number from 0 to 1")
    for name, value in (("depth", depth), ("width", width)):
        if value < 1 or value != int(value):
            raise ValueError(f"{name} = {value}: needs a whole number from 1")
    if not 0 <= weight_variance < np.inf:
        raise ValueError(f"weight_variance = {weight_variance}: needs a finite number from 0")


def input_signal(networks: int, inputs: int, width: int, seed: int) -> Array:
    """Draw h¹, standard normal, (networks, inputs, width)."""
    return stream(seed, _INPUT).standard_normal((networks, inputs, width))


def layer_weights(networks: int, width: int, seed: int, layer: int) -> Array:
    """Draw W^l of variance 1/width for every network, (networks, width, width); one stream a layer."""
    draws = stream(seed, _WEIGHTS, layer).standard_normal((networks, width, width))
    return np.asarray(draws / np.sqrt(width))


class _Path(NamedTuple):
    """One way through the net: two modes that mask and scale alike share it."""

    mode: str
    training: bool

    def key(self, p: float) -> tuple[float, bool, bool]:
        """Tell paths apart: the factor, whether units are masked, and with whose masks."""
        rule = dropout_mode(self.mode)
        masked = rule.masks_in_training if self.training else rule.masks_in_evaluation
        scale = rule.train_scale(p) if self.training else rule.eval_scale(p)
        return scale, masked, masked and self.training

    def through(self, a: Array, p: float, training: Mask, evaluation: Mask) -> Array:
        """Apply dropout as the path does; the masks fit a."""
        if self.training:
            return drop(a, p, training, self.mode)
        return evaluate(a, p, self.mode, evaluation)


def _paths(modes: Sequence[str], p: float) -> tuple[list[_Path], list[list[int]]]:
    """Return the different paths, and for training and evaluation which of them each mode takes."""
    places: dict[tuple[float, bool, bool], int] = {}
    paths: list[_Path] = []
    taken: list[list[int]] = [[], []]
    for which, training in enumerate((True, False)):
        for mode in modes:
            path = _Path(mode, training)
            if path.key(p) not in places:
                places[path.key(p)] = len(paths)
                paths.append(path)
            taken[which].append(places[path.key(p)])
    return paths, taken


def propagate_dropout(
    activation: Activation,
    *,
    p: float = 0.5,
    depth: int = 20,
    width: int = 128,
    weight_variance: float = 2.0,
    inputs: int = 8,
    seed: int = 0,
    networks: int | None = None,
    modes: Sequence[str] = tuple(DROPOUT_MODES),
    report: Callable[[int, int], None] | None = None,
) -> DropoutDepth:
    """Send the same inputs through the same networks under the same masks, in every mode, trained and evaluated.

    A larger depth extends every row, and another p moves the same uniforms. Every input has masks of its own.

    Args:
        activation: φ, with the settings of its registry entry.
        p: probability to drop, from 0 to 1.
        depth: L, how many layers; every one ends in dropout.
        width: units a layer.
        weight_variance: σ_w².
        inputs: how many inputs each network sees.
        seed: non-negative integer.
        networks: how many; ``networks_for(width)`` if None.
        modes: keys of ``DROPOUT_MODES``.
        report: called as report(layer, depth) after every layer.

    Raises:
        ValueError: an argument is out of range, or a mode unknown.
    """
    _check(p, depth, width, weight_variance)
    count = networks_for(width) if networks is None else networks
    paths, taken = _paths(modes, p)
    shape = (count, inputs, width)
    h = np.stack([input_signal(*shape, seed)] * len(paths), axis=1)  # (R, paths, inputs, width)
    mean, second = (np.empty((len(paths), count, depth)) for _ in range(2))
    for l in range(depth):
        masks = [draw_mask(shape, p, stream(seed, place, l)) for place in (_TRAINING, _EVALUATION)]
        with np.errstate(over="ignore", invalid="ignore"):
            a = activation.f(h)
            y = np.stack([path.through(a[:, k], p, *masks) for k, path in enumerate(paths)], axis=1)
            mean[..., l] = y.mean(axis=(2, 3)).T
            second[..., l] = np.square(y).mean(axis=(2, 3)).T
            if l < depth - 1:
                w = np.sqrt(weight_variance) * layer_weights(count, width, seed, l)
                h = (y.reshape(count, -1, width) @ w).reshape(y.shape)
        if report is not None:
            report(l + 1, depth)
    found = [LayerMoments(mean[at], second[at]) for at in taken]
    return DropoutDepth(tuple(modes), count, inputs, found[0], found[1])


def depth_theory(
    activation: Activation,
    *,
    p: float,
    depth: int,
    weight_variance: float,
    modes: Sequence[str] = tuple(DROPOUT_MODES),
) -> tuple[LayerMoments, LayerMoments]:
    """Return the moments that ``propagate_dropout`` measures, for wide layers and in the mean over networks.

    With q¹ = 1, a scale s and a probability k to keep (1 where nothing is masked): E y^l = s·k·E φ(√q^l z),
    E (y^l)² = s²·k·E φ(√q^l z)² and q^{l+1} = σ_w²·E (y^l)², z ~ N(0, 1). For ReLU the second moment is so at any width;
    one network fluctuates around it.

    Returns:
        moments in training and in evaluation, (modes, depth) each; NaN from the layer on where q leaves float64.

    Source: the recursion of Poole et al. 2016 with the factor that Schoenholz et al. 2017, "Deep information propagation",
    give for dropout.
    """
    _check(p, depth, 1, weight_variance)
    paths, taken = _paths(modes, p)
    keys = [path.key(p) for path in paths]
    scale = np.array([key[0] for key in keys])
    kept = np.array([1 - p if masked else 1.0 for _, masked, _ in keys])
    kinks = activation.kinks_at()
    q = np.ones(len(paths))
    mean, second = (np.full((len(paths), depth), np.nan) for _ in range(2))
    for l in range(depth):
        inside = np.isfinite(q)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            first = gaussian_mean(activation.f, q[inside], kinks)
            square = gaussian_mean(lambda h: activation.f(h) ** 2, q[inside], kinks)
            mean[inside, l] = (scale * kept)[inside] * first
            second[inside, l] = (scale**2 * kept)[inside] * square
            q = weight_variance * second[:, l]
    return LayerMoments(mean[taken[0]], second[taken[0]]), LayerMoments(mean[taken[1]], second[taken[1]])
