"""A small fully connected network, trained many copies at once: forward, hand-derived backward, dead units.

Layer l = 1 … L computes z^l = a^{l−1}·W^l + b^l from a⁰ = x, and a^l = φ(z^l) for the hidden layers l < L;
the output z^L has no activation. W has shape (..., fan_in, fan_out) and b (..., fan_out). The leading axes ...
are networks, say a grid of learning rates × seeds; all of them take each step together.

A unit is dead on some data where φ'(z) is exactly 0 at every point: no gradient passes through it, so nothing
moves its own weights. It may revive when the layers below change what reaches it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation, KnobValue, sigmoid
from core.initializers import Initializer
from core.optimizers import OPTIMIZERS, Optimizer, Rule, State
from core.streams import stream

Array = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]
Knobs = Mapping[str, KnobValue]

# Places of the streams of a seed: layer l of a network is (_WEIGHTS, l), the batch of a step (_BATCHES, step).
_WEIGHTS, _BATCHES = 0, 1

# A diverging run overflows, and that is a result with a step number, not a warning.
_quiet = np.errstate(all="ignore")


# Losses


@dataclass(frozen=True)
class Loss:
    """A loss of outputs and targets, both (..., n, outputs), averaged over points and outputs.

    ``value`` → (...); ``gradient`` → (..., n, outputs), of the value with respect to the outputs. An output
    above ``threshold`` counts as class 1.
    """

    name: str
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    threshold: float
    formula: str  # LaTeX, of one point, in the output z and the target t
    torch: str


@_quiet
def _cross_entropy(output: Array, target: Array) -> Array:
    """−t·log σ(z) − (1−t)·log(1−σ(z)) without σ; NaN or ∞ at z = ±∞, where an output has overflowed."""
    points = (np.maximum(output, 0) - target * output) + np.log1p(np.exp(-np.abs(output)))
    return np.asarray(points.mean(axis=(-2, -1)))


@_quiet
def _d_cross_entropy(output: Array, target: Array) -> Array:
    """(σ(z) − t)/N, in a form that keeps its relative accuracy where σ(z) is next to t."""
    points = (1 - target) * sigmoid(output) - target * sigmoid(-output)
    return points / math.prod(output.shape[-2:])


@_quiet
def _squared_error(output: Array, target: Array) -> Array:
    return np.asarray(((output - target) ** 2).mean(axis=(-2, -1)))


@_quiet
def _d_squared_error(output: Array, target: Array) -> Array:
    return 2 * (output - target) / math.prod(output.shape[-2:])


_LOSSES = (
    Loss(
        "cross-entropy",
        _cross_entropy,
        _d_cross_entropy,
        threshold=0.0,
        formula=r"-t \log \sigma(z) - (1 - t) \log(1 - \sigma(z))",
        torch="torch.nn.functional.binary_cross_entropy_with_logits(z, t)",
    ),
    Loss(
        "squared error",
        _squared_error,
        _d_squared_error,
        threshold=0.5,
        formula=r"(z - t)^2",
        torch="torch.nn.functional.mse_loss(z, t)",
    ),
)

LOSSES: dict[str, Loss] = {entry.name: entry for entry in _LOSSES}
CROSS_ENTROPY = LOSSES["cross-entropy"]


# The network


class Params(NamedTuple):
    """Weights (..., fan_in, fan_out) and biases (..., fan_out), layers 1 … L."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, the input first."""
        return (*(w.shape[-2] for w in self.weights), self.weights[-1].shape[-1])

    def __getitem__(self, networks: Any) -> "Params":  # type: ignore[override]
        """Pick some of the networks by an index of the leading axes."""
        raise NotImplementedError
