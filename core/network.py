"""A small fully connected network, trained many copies at once: forward, hand-derived backward, dead units.

Layer l = 1 … L computes z^l = a^{l−1}·W^l + b^l from a⁰ = x, and a^l = φ(z^l) for the hidden layers l < L;
the output z^L has no activation. W has shape (..., fan_in, fan_out) and b (..., fan_out). The leading axes ...
are networks, say a grid of learning rates × seeds; all of them take each step together.

A unit is dead on some data where φ'(z) is exactly 0 at every point: no gradient passes through it, and none
reaches its own weights. It may revive when the layers below change what it sees, or when momentum or weight
decay still move it.
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
CROSS_ENTROPY, SQUARED_ERROR = LOSSES["cross-entropy"], LOSSES["squared error"]


# The network


@dataclass(frozen=True)
class Params:
    """Weights (..., fan_in, fan_out) and biases (..., fan_out) of the layers 1 … L."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, the input first."""
        return (*(w.shape[-2] for w in self.weights), self.weights[-1].shape[-1])

    def at(self, index: Any) -> "Params":
        """Pick networks by an index of the leading axes."""
        return Params(tuple(w[index] for w in self.weights), tuple(b[index] for b in self.biases))


class Forward(NamedTuple):
    """A pass upward, lists by layer."""

    inputs: list[Array]  # a⁰ … a^{L−1}, (..., n, fan_in): what layers 1 … L see
    pre: list[Array]  # z¹ … z^L, (..., n, fan_out)

    @property
    def output(self) -> Array:
        """z^L, (..., n, outputs)."""
        return self.pre[-1]


class Backward(NamedTuple):
    """A pass downward."""

    gradient: Params  # of the loss, by parameter
    deltas: list[Array]  # dL/dz¹ … dL/dz^L, (..., n, fan_out)
    slopes: list[Array]  # φ'(z) of the hidden layers 1 … L−1, (..., n, units)


def init_network(
    sizes: Sequence[int], initializer: Initializer, *, seed: int | Sequence[int], bias: ArrayLike = 0.0
) -> Params:
    """Draw the parameters of one network, or of one per seed.

    Args:
        sizes: units of every layer, the input first and the output last.
        initializer: draws each weight matrix, every layer of every network from a stream of its own, so that
            the schemes of a family share their draws.
        seed: a non-negative integer, or a list of S of them for networks with the leading axis (S,).
        bias: where the biases of the hidden units start, a number or an array that broadcasts with the
            leading axis: (B, 1) gives networks (B, S) with the same weights. The output starts at bias 0.

    Raises:
        ValueError: fewer than two sizes, a size below 1, a negative seed or a bias that is not finite.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes = {tuple(sizes)}: needs two or more whole numbers from 1")
    seeds = np.asarray(seed)
    if np.any((seeds < 0) | (seeds % 1 != 0)):
        raise ValueError(f"seed = {seed}: needs whole numbers from 0")
    start = np.asarray(bias, dtype=np.float64)
    if not np.all(np.isfinite(start)):
        raise ValueError(f"bias = {start}: needs finite numbers")
    lead = np.broadcast_shapes(seeds.shape, start.shape)
    weights, biases = [], []
    for l, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        draws = [initializer.draw(fan_in, fan_out, stream(int(s), _WEIGHTS, l)) for s in seeds.flat]
        drawn = np.reshape(draws, (*seeds.shape, fan_in, fan_out))
        weights.append(np.broadcast_to(drawn, (*lead, fan_in, fan_out)).copy())
        hidden = l < len(sizes) - 1
        biases.append(np.broadcast_to(start[..., None] if hidden else 0.0, (*lead, fan_out)).copy())
    return Params(tuple(weights), tuple(biases))


@_quiet
def forward(params: Params, x: Array, activation: Activation, knobs: Knobs | None = None) -> Forward:
    """Send x (..., n, sizes[0]) up through the network; every z is kept.

    Args:
        params: leading axes broadcast with those of x.
        x: the data, one point a row.
        activation: φ of the hidden layers.
        knobs: parameters of φ, numbers, or arrays of a shape like (..., 1, 1) for each network its own.
    """
    inputs: list[Array] = [x]
    pre: list[Array] = []
    for weight, bias in zip(params.weights, params.biases, strict=True):
        if pre:
            inputs.append(activation.f(pre[-1], **(knobs or {})))
        pre.append(inputs[-1] @ weight + bias[..., None, :])
    return Forward(inputs, pre)


@_quiet
def backward(
    params: Params, run: Forward, top: Array, activation: Activation, knobs: Knobs | None = None
) -> Backward:
    """Send the gradient dL/dz^L down again.

    dL/dW^l = (a^{l−1})ᵀ·δ^l, dL/db^l = Σ δ^l over the points, δ^{l−1} = (δ^l·(W^l)ᵀ) ⊙ φ'(z^{l−1}).

    Args:
        params, activation, knobs: those of the forward pass.
        run: what ``forward`` returned.
        top: dL/dz^L (..., n, outputs), for example ``loss.gradient(run.output, targets)``.
    """
    slopes = _slopes(run, activation, knobs)
    deltas = [top]
    for weight, slope in zip(reversed(params.weights[1:]), reversed(slopes), strict=True):
        deltas.append((deltas[-1] @ weight.mT) * slope)
    deltas.reverse()
    weights = tuple(a.mT @ delta for a, delta in zip(run.inputs, deltas, strict=True))
    return Backward(Params(weights, tuple(delta.sum(axis=-2) for delta in deltas)), deltas, slopes)


def _slopes(run: Forward, activation: Activation, knobs: Knobs | None) -> list[Array]:
    return [activation.df(z, **(knobs or {})) for z in run.pre[:-1]]


def flatten(params: Params) -> Array:
    """Lay all parameters of a network in one vector (..., d): W¹ row by row, b¹, W², b², …, b^L."""
    shapes = [w.shape[:-2] for w in params.weights] + [b.shape[:-1] for b in params.biases]
    lead = np.broadcast_shapes(*shapes)
    parts: list[Array] = []
    for w, b in zip(params.weights, params.biases, strict=True):
        rows = np.broadcast_to(w, (*lead, *w.shape[-2:])).reshape(*lead, math.prod(w.shape[-2:]))
        parts += [rows, np.broadcast_to(b, (*lead, b.shape[-1]))]
    return np.concatenate(parts, axis=-1)


def unflatten(vector: Array, sizes: Sequence[int]) -> Params:
    """Read ``flatten``'s vector (..., d) back as parameters, which are views of it.

    Raises:
        ValueError: the vector is not as long as the sizes need.
    """
    needed = sum((m + 1) * n for m, n in pairwise(sizes))
    if vector.shape[-1] != needed:
        raise ValueError(f"vector of length {vector.shape[-1]}: sizes {tuple(sizes)} need {needed}")
    weights, biases, at = [], [], 0
    for m, n in pairwise(sizes):
        weights.append(vector[..., at : at + m * n].reshape(*vector.shape[:-1], m, n))
        at += m * n
        biases.append(vector[..., at : at + n])
        at += n
    return Params(tuple(weights), tuple(biases))


# Dead units


def dead_units(
    params: Params, x: ArrayLike, activation: Activation, knobs: Knobs | None = None
) -> tuple[Bools, ...]:
    """Return which units have slope φ'(z) = 0 exactly at every point of x, (..., units) by hidden layer.

    The rule is the same for every activation: a ReLU dies on one side, a hard tanh on either, a leaky ReLU
    never. A unit with a NaN is not counted as dead.

    Raises:
        ValueError: x does not fit the network.
    """
    run = forward(params, _points(x, params.sizes), activation, knobs)
    return tuple(np.asarray((slope == 0).all(axis=-2)) for slope in _slopes(run, activation, knobs))


def never_positive_theory(x: ArrayLike, *, std: float, bias: float = 0.0, angles: int = 3600) -> float:
    """Return the probability that a unit of layer 1 starts with z ≤ 0 at every point.

    Its weights are N(0, std²): a length r whose square over 2·std² is exponential, in a direction u of the plane
    that is uniform. The largest w·x is r·h(u), with h the support function of the points, max over x of u·x; so
    P(r·h(u) ≤ −bias) is averaged over u, the one integral, by the midpoint rule.

    Args:
        x: (n, 2), the data.
        std: standard deviation of each weight, above 0.
        bias: that of the unit.
        angles: directions in the average.

    Raises:
        ValueError: x is not (n, 2), or std is not a finite number above 0.
    """
    points = _points(x, (2,))
    if points.ndim != 2:
        raise ValueError(f"x of shape {points.shape}: needs (n, 2)")
    if not 0 < std < math.inf:
        raise ValueError(f"std = {std}: needs a finite number above 0")
    angle = (np.arange(angles) + 0.5) * (2 * math.pi / angles)
    height = (points @ np.stack([np.cos(angle), np.sin(angle)])).max(axis=0)
    longer = np.exp(-0.5 * (bias / (std * np.where(height == 0, math.inf, height))) ** 2)  # P(r > |bias/h|)
    # h > 0: r must not pass −bias/h; h < 0: r must reach it; h = 0: the sign of the bias decides.
    share = np.where(height > 0, (1 - longer) * (bias < 0), np.where(bias > 0, longer * (height < 0), 1.0))
    return float(share.mean())


def _all_points(holds: Bools, values: Array) -> Array:
    """Return 1 for a unit where it holds at all points, else 0, and NaN where a value is NaN: → (..., units)."""
    return np.where(np.isnan(values).any(axis=-2), math.nan, holds.all(axis=-2))


# Training


@dataclass(frozen=True)
class Training:
    """A run, at R recorded steps; ... are the axes of networks, H the hidden layers 1 … L−1.

    What is recorded at step t belongs to the parameters after t updates. A share is NaN where a NaN leaves it
    undefined, and no unit dies or revives there.

    Attributes:
        step: (R,).
        loss: (R, ...), on all data.
        accuracy: (R, ...), on all data; NaN unless every target is 0 or 1.
        dead: (R, H, ...), share of units with slope 0 at every point of all data.
        dead_on_batch: (R, H, ...), the same on the batch of the next update alone.
        asleep: (R, H, ...), share of pairs of a unit and a point with slope 0.
        never_positive: (R, H, ...), share of units with z ≤ 0 at every point: for ReLU the dead ones, while a
            leaky ReLU still learns there.
        died, revived: (R, H, ...), units dead on all data at this record and not at the one before, and the
            other way around; 0 at the first record.
        diverged_at: (...), the first step with a loss, a parameter or a number in the optimizer's state that is
            not finite; −1 if there is none.
        snapshot_step: (S,).
        snapshots: (S, ...), the parameters after so many updates.
        final: (...), the parameters after the last update.
    """

    step: Ints
    loss: Array
    accuracy: Array
    dead: Array
    dead_on_batch: Array
    asleep: Array
    never_positive: Array
    died: Ints
    revived: Ints
    diverged_at: Ints
    snapshot_step: Ints
    snapshots: Params
    final: Params

    @property
    def finite(self) -> Bools:
        """Which records lie before ``diverged_at``, (R, ...): later ones hold what overflow left, not units."""
        steps = self.step.reshape(-1, *[1] * self.diverged_at.ndim)
        return np.asarray((self.diverged_at < 0) | (steps < self.diverged_at))

    @property
    def deaths(self) -> Ints:
        """Sum of ``died`` while the run is finite, (H, ...)."""
        return np.asarray((self.died * self.finite[:, None]).sum(axis=0))

    @property
    def revivals(self) -> Ints:
        """Sum of ``revived`` while the run is finite, (H, ...)."""
        return np.asarray((self.revived * self.finite[:, None]).sum(axis=0))


@_quiet
def train(
    params: Params,
    x: ArrayLike,
    targets: ArrayLike,
    *,
    activation: Activation,
    rule: Rule,
    steps: int,
    knobs: Knobs | None = None,
    loss: Loss = CROSS_ENTROPY,
    batch_size: int | None = None,
    seed: int = 0,
    record_every: int = 1,
    snapshots: Sequence[int] = (),
    report: Callable[[int, int], None] | None = None,
    report_every: int = 10,
) -> Training:
    """Train one network, or many that differ in parameters, optimizer knobs, activation knobs or data.

    The leading axes of all of these broadcast. The same seed gives the same run, and more steps extend it.

    Args:
        params: where the networks start, for example from ``init_network``.
        x: (..., n, sizes[0]), the data.
        targets: (n,) or (..., n, outputs).
        activation: φ of the hidden layers.
        rule: an optimizer with its knobs set, ``OPTIMIZERS[name].build(lr=…)``; it sees a network's
            parameters as one vector.
        steps: number of updates, 0 or more.
        knobs: parameters of φ, numbers, or arrays of a shape like (..., 1, 1) for each network its own.
        loss: an entry of ``LOSSES``.
        batch_size: points in a mini-batch, drawn without replacement for each step and the same for all
            networks; None takes all points, in their order.
        seed: of the mini-batches.
        record_every: steps between records; step 0 and the last one are always recorded.
        snapshots: steps whose parameters to keep, each from 0 to ``steps``; they come out in increasing order.
        report: called as report(step, steps) before every ``report_every``-th update and at the end; an
            exception that it raises ends the run.
        report_every: 1 or more.

    Raises:
        ValueError: a number is out of range, or data and network do not fit.
    """
    sizes = params.sizes
    x = _points(x, sizes)
    t = _targets(targets, x, sizes)
    n = x.shape[-2]
    for name, value, low, high in (
        ("steps", steps, 0, math.inf),
        ("batch_size", n if batch_size is None else batch_size, 1, n),
        ("seed", seed, 0, math.inf),
        ("record_every", record_every, 1, math.inf),
        ("report_every", report_every, 1, math.inf),
        *(("snapshots", s, 0, steps) for s in snapshots),
    ):
        if not low <= value <= high or value % 1 != 0:
            limit = f"from {low}" if high == math.inf else f"from {low} to {high}"
            raise ValueError(f"{name} = {value}: needs a whole number {limit}")
    labels = bool(np.isin(t, (0, 1)).all())

    vector, state = _spread(params, rule, x, t, knobs or {})
    lead = vector.shape[:-1]
    diverged_at = np.full(lead, -1)
    records = _Records(lead)
    wanted, kept = set(snapshots), list[Array]()
    for step in range(steps + 1):
        here = unflatten(vector, sizes)
        rows: slice | Ints = slice(None)
        if batch_size is not None:
            rows = stream(seed, _BATCHES, step).permutation(n)[:batch_size]
        target = t[..., rows, :]
        run = forward(here, x[..., rows, :], activation, knobs)
        back = backward(here, run, loss.gradient(run.output, target), activation, knobs)
        value = loss.value(run.output, target)
        finite = np.isfinite(value) & np.isfinite(vector).all(axis=-1) & _finite(state, vector.shape)
        if step % record_every == 0 or step == steps:
            slopes = back.slopes
            if batch_size is not None:
                run = forward(here, x, activation, knobs)
                slopes, value = _slopes(run, activation, knobs), loss.value(run.output, t)
                finite &= np.isfinite(value)
            accuracy = _accuracy(run.output, t, loss.threshold) if labels else math.nan
            records.add(step, value, accuracy, run.pre[:-1], slopes, back.slopes)
        diverged_at = np.where((diverged_at < 0) & ~finite, step, diverged_at)
        if step in wanted:
            kept.append(vector)
        if report is not None and (step % report_every == 0 or step == steps):
            report(step, steps)
        if step < steps:
            move, state = rule.update(flatten(back.gradient), state, vector)
            vector = vector + move
    stacked = np.array(kept, dtype=vector.dtype).reshape(len(kept), *vector.shape)
    return Training(
        **records.arrays(),
        diverged_at=diverged_at,
        snapshot_step=np.array(sorted(wanted), dtype=np.intp),
        snapshots=unflatten(stacked, sizes),
        final=unflatten(vector, sizes),
    )


class _Records:
    """What a run has measured so far."""

    def __init__(self, lead: tuple[int, ...]) -> None:
        self._lead = lead
        self._lists: dict[str, list[ArrayLike]] = {}
        self._dead: list[Array] | None = None

    def add(
        self,
        step: int,
        loss: Array,
        accuracy: ArrayLike,
        pre: list[Array],
        slopes: list[Array],
        batch_slopes: list[Array],
    ) -> None:
        """Measure the hidden layers at a step: z and slopes on all data, slopes on the batch."""
        dead = [_all_points(slope == 0, slope) for slope in slopes]
        on_batch = dead
        if batch_slopes is not slopes:
            on_batch = [_all_points(slope == 0, slope) for slope in batch_slopes]
        changes = list(zip(self._dead or dead, dead, strict=True))
        self._dead = dead
        measured: dict[str, ArrayLike] = {
            "step": step,
            "loss": np.broadcast_to(loss, self._lead),
            "accuracy": np.broadcast_to(accuracy, self._lead),
            "dead": self._by_layer([units.mean(axis=-1) for units in dead]),
            "dead_on_batch": self._by_layer([units.mean(axis=-1) for units in on_batch]),
            "asleep": self._by_layer([_share(slope == 0, slope) for slope in slopes]),
            "never_positive": self._by_layer([_all_points(z <= 0, z).mean(axis=-1) for z in pre]),
            "died": self._by_layer([((was == 0) & (now == 1)).sum(axis=-1) for was, now in changes], int),
            "revived": self._by_layer([((was == 1) & (now == 0)).sum(axis=-1) for was, now in changes], int),
        }
        for name, value in measured.items():
            self._lists.setdefault(name, []).append(value)

    def _by_layer(self, layers: list[Array], dtype: type = float) -> Array:
        stacked: Array = np.empty((len(layers), *self._lead), dtype)
        for h, layer in enumerate(layers):
            stacked[h] = layer
        return stacked

    def arrays(self) -> dict[str, Any]:
        """Stack the records by name."""
        return {name: np.stack(values) for name, values in self._lists.items()}


def _share(holds: Bools, values: Array) -> Array:
    """Return the share of unit-point pairs for which it holds, NaN where a value is NaN: → (...)."""
    return np.where(np.isnan(values).any(axis=(-2, -1)), math.nan, holds.mean(axis=(-2, -1)))


def _accuracy(output: Array, target: Array, threshold: float) -> Array:
    return _share((output > threshold) == (target == 1), output)


def _finite(state: State, shape: tuple[int, ...]) -> Bools:
    """Return whether an optimizer's state is finite, (...), for vectors of the given shape (..., d)."""
    finite = np.ones(shape, dtype=bool)
    for part in state:
        finite &= np.isfinite(part)
    return np.asarray(finite.all(axis=-1))


def _spread(params: Params, rule: Rule, x: Array, targets: Array, knobs: Knobs) -> tuple[Array, State]:
    """Give the parameter vector the axes of everything it will meet; return it and the optimizer's state."""
    vector = flatten(params)
    probe, _ = rule.update(vector, rule.init(vector), vector)  # has met every knob of the optimizer
    shapes = [np.shape(knob)[:-2] for knob in knobs.values()]
    lead = np.broadcast_shapes(probe.shape[:-1], x.shape[:-2], targets.shape[:-2], *shapes)
    dtype = np.result_type(vector, probe, x, targets)
    vector = np.broadcast_to(vector, (*lead, vector.shape[-1])).astype(dtype)
    return vector, rule.init(vector)


def _floats(values: ArrayLike, dtype: Any = np.float64) -> Array:
    array = np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(dtype)


def _points(x: ArrayLike, sizes: tuple[int, ...]) -> Array:
    """Check that x is (..., n, sizes[0]) with n ≥ 1."""
    points = _floats(x)
    if points.ndim < 2 or points.shape[-1] != sizes[0] or points.shape[-2] < 1:
        raise ValueError(f"x of shape {points.shape}: needs (..., n, {sizes[0]}) with n from 1")
    return points


def _targets(targets: ArrayLike, x: Array, sizes: tuple[int, ...]) -> Array:
    """Check the targets against the points, and give (n,) its last axis."""
    array = _floats(targets, x.dtype)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim < 1 or array.shape[-2:] != (x.shape[-2], sizes[-1]):
        needs = f"({x.shape[-2]},) or " if sizes[-1] == 1 else ""
        raise ValueError(
            f"targets of shape {np.shape(targets)}: need {needs}(..., {x.shape[-2]}, {sizes[-1]})"
        )
    return array


# What pages draw


class DecisionGrid(NamedTuple):
    """Outputs of a network over a window of the plane."""

    x: Array  # (size,), left to right
    y: Array  # (size,), bottom to top
    output: Array  # (..., size, size), by y and x; a logit if the loss is cross-entropy


def decision_grid(
    params: Params,
    activation: Activation,
    *,
    window: tuple[float, float, float, float],
    size: int,
    knobs: Knobs | None = None,
) -> DecisionGrid:
    """Evaluate a network, or all snapshots of a run at once, on a grid over the plane.

    Args:
        params: a network with two inputs and one output; ``Training.snapshots`` is one with a leading axis.
        activation: φ of the hidden layers.
        window: (x_low, x_high, y_low, y_high), the ends included.
        size: grid points a side, 2 or more.
        knobs: parameters of φ.

    Raises:
        ValueError: the network has other sizes, the window is empty or not finite, or size is below 2.
    """
    if (params.sizes[0], params.sizes[-1]) != (2, 1):
        raise ValueError(f"sizes = {params.sizes}: a grid needs two inputs and one output")
    if size < 2:
        raise ValueError(f"size = {size}: needs a whole number from 2")
    low_x, high_x, low_y, high_y = window
    if not (-math.inf < low_x < high_x < math.inf and -math.inf < low_y < high_y < math.inf):
        raise ValueError(f"window = {window}: needs finite x_low < x_high and y_low < y_high")
    x, y = np.linspace(low_x, high_x, size), np.linspace(low_y, high_y, size)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    output = forward(params, points, activation, knobs).output
    return DecisionGrid(x, y, output.reshape(*output.shape[:-2], size, size))


SWEEP_RATES = tuple(float(rate) for rate in np.geomspace(0.01, 3.0, 24))


@dataclass(frozen=True)
class LearningRateSweep:
    """The ends of K × S runs: K learning rates, S seeds, H hidden layers; all data, NaN as in ``Training``.

    Attributes:
        lr: (K,).
        start_loss, loss: (K, S), before the first step and after the last; a run that ends above its start is
            on its way to diverge, or died on the way.
        accuracy: (K, S).
        dead, never_positive: (H, K, S), shares of the units of a layer as in ``Training``.
        diverged_at: (K, S), as in ``Training``.
    """

    lr: Array
    start_loss: Array
    loss: Array
    accuracy: Array
    dead: Array
    never_positive: Array
    diverged_at: Ints


def learning_rate_sweep(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    activation: Activation,
    initializer: Initializer,
    lrs: ArrayLike = SWEEP_RATES,
    sizes: Sequence[int] = (2, 16, 16, 1),
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 200,
    bias: float = 0.0,
    knobs: Knobs | None = None,
    loss: Loss = SQUARED_ERROR,
    optimizer: Optimizer = OPTIMIZERS["GD"],
    optimizer_knobs: Mapping[str, float] | None = None,
    batch_size: int | None = None,
    report: Callable[[int, int], None] | None = None,
    report_every: int = 10,
) -> LearningRateSweep:
    """Train every learning rate with every seed, all in one run and on the same mini-batches, those of seed 0.

    The defaults show three regions: rates at which hardly a unit dies, rates at which many die and the loss is
    low all the same, and rates that diverge. The last needs the squared error, whose gradient grows with the
    output; that of cross-entropy is bounded, and at high rates a ReLU network dies instead of overflowing.

    Args:
        x: (n, sizes[0]), the data.
        targets: (n,) or (n, outputs).
        activation: φ of the hidden layers.
        initializer: where the weights start; a seed's network starts the same at every learning rate.
        lrs: (K,), the learning rates; 24 from 0.01 to 3, evenly on a log axis, if not given.
        sizes, seeds, bias: as for ``init_network``.
        steps, knobs, loss, batch_size, report, report_every: as for ``train``.
        optimizer: an entry of ``OPTIMIZERS``.
        optimizer_knobs: its knobs other than lr.

    Raises:
        ValueError: a number is out of range, or data and network do not fit.
    """
    rates = np.asarray(lrs, dtype=np.float64)
    if rates.ndim != 1 or rates.size < 1:
        raise ValueError(f"lrs of shape {rates.shape}: needs a list of one or more numbers")
    run = train(
        init_network(sizes, initializer, seed=seeds, bias=bias),
        x,
        targets,
        activation=activation,
        rule=optimizer.build(lr=rates[:, None], **(optimizer_knobs or {})),
        steps=steps,
        knobs=knobs,
        loss=loss,
        batch_size=batch_size,
        record_every=max(1, steps),
        report=report,
        report_every=report_every,
    )
    return LearningRateSweep(
        rates,
        run.loss[0],
        run.loss[-1],
        run.accuracy[-1],
        run.dead[-1],
        run.never_positive[-1],
        run.diverged_at,
    )
