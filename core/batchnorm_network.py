"""A small classifier with batch normalization, trained many copies at once: forward, hand-derived backward.

Hidden layer l = 1 … H computes z = a·W + b, then y = γ·ẑ + β with ẑ = (z − mean)/√(var + eps), then a = φ(y);
the output is a·W + b, logits of k classes under the mean cross-entropy of their softmax. A network without
normalization has y = z and neither γ nor β. W has shape (..., fan_in, fan_out), the others (..., units). The
leading axes ... are networks, say a grid of learning rates × initial scales; all of them take each step together.

Training and evaluation are two functions: ``forward`` normalizes with the statistics of the batch it is given,
``evaluate`` with stored ones, the ``Running`` of a network, which ``train_network`` keeps and ``recalibrate``
measures anew.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import ACTIVATIONS, Activation
from core.normalization import Momentum, RunningStats
from core.streams import stream

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Order = Literal["shuffled", "sorted by class"]
Running = tuple[RunningStats, ...]  # by hidden layer, mean and var (..., units); empty without normalization

ORDERS: tuple[Order, ...] = ("shuffled", "sorted by class")

# Places of the streams of a seed: layer l of a network is (_WEIGHTS, l), epoch e of its batches (_BATCHES, e).
_WEIGHTS, _BATCHES = 0, 1

# A diverging run overflows, and that is a result with a step number, not a warning.
_quiet = np.errstate(all="ignore")


# Data


def draw_arms(n: int, classes: int, *, noise: float, rng: np.random.Generator) -> tuple[Array, Ints]:
    """Draw a spiral of several arms, one a class, of 0.6 turns each.

    Point i belongs to class i mod ``classes``. The share s of its way along the arm is evenly spaced, its radius
    0.2 + 1.1·s, its angle 2π·(0.6·s + class/classes); the noise is normal, added to each coordinate.

    Args:
        n: number of points, 1 or more.
        classes: 2 or more.
        noise: standard deviation, 0 or more.
        rng: the source of all randomness.

    Returns:
        points (n, 2), labels (n,) from 0.

    Raises:
        ValueError: a number is out of range.
    """
    for name, value, low in (("n", n, 1), ("classes", classes, 2)):
        if value < low or value % 1 != 0:
            raise ValueError(f"{name} = {value}: needs a whole number from {low}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise = {noise}: needs a finite number from 0")
    index = np.arange(n)
    labels = index % classes
    share = (index // classes + 0.5) / math.ceil(n / classes)
    radius, angle = 0.2 + 1.1 * share, 2 * math.pi * (0.6 * share + labels / classes)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return points + noise * rng.standard_normal((n, 2)), labels


# The network


@dataclass(frozen=True)
class BNParams:
    """Parameters of the networks; also what has their shapes, such as a gradient.

    ``weights`` (..., fan_in, fan_out) and ``biases`` (..., fan_out) are those of all layers, the output last;
    ``gammas`` and ``betas`` (..., units) those of the hidden layers, empty in a network without normalization.
    The bias of a layer that is normalized has no effect: the mean takes it out, and its gradient is 0.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    gammas: tuple[Array, ...] = ()
    betas: tuple[Array, ...] = ()

    @property
    def normalized(self) -> bool:
        """Whether the hidden layers are normalized."""
        return bool(self.gammas)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, the input first."""
        return (*(w.shape[-2] for w in self.weights), self.weights[-1].shape[-1])

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays: the weights, the biases, the γ, the β."""
        return (*self.weights, *self.biases, *self.gammas, *self.betas)

    def with_arrays(self, arrays: Sequence[Array]) -> "BNParams":
        """Return the same network with other arrays, in the order of ``arrays``."""
        layers = len(self.weights)
        hidden = len(self.gammas)
        ends = np.cumsum([0, layers, layers, hidden, hidden])
        return BNParams(*(tuple(arrays[a:b]) for a, b in pairwise(ends)))

    def at(self, index: Any) -> "BNParams":
        """Pick networks by an index of the leading axes."""
        return self.with_arrays([array[index] for array in self.arrays])

    def moved(self, direction: "BNParams", rate: ArrayLike) -> "BNParams":
        """Return the parameters plus ``rate`` (...) times ``direction``."""
        step = np.asarray(rate)
        return self.with_arrays(
            [
                a + step.reshape(*step.shape, *[1] * rank) * d
                for a, d, rank in zip(self.arrays, direction.arrays, self._ranks, strict=True)
            ]
        )

    def dot(self, other: "BNParams") -> Array:
        """Return the inner product over all parameters, (...)."""
        products = [
            (a * b).sum(axis=tuple(range(-rank, 0)))
            for a, b, rank in zip(self.arrays, other.arrays, self._ranks, strict=True)
        ]
        return np.asarray(sum(products))

    @property
    def _ranks(self) -> list[int]:
        layers = len(self.weights)
        return [2] * layers + [1] * (len(self.arrays) - layers)


class Pass(NamedTuple):
    """A pass upward in training mode, lists by layer; the hidden layers are 1 … H."""

    inputs: list[Array]  # a⁰ … a^H, (..., n, fan_in): what each layer sees
    pre: list[Array]  # z¹ … z^H, (..., n, units), before normalization
    means: list[Array]  # (..., units), of the batch; empty without normalization
    variances: list[Array]  # (..., units), biased
    normal: list[Array]  # ẑ¹ … ẑ^H, (..., n, units)
    post: list[Array]  # y¹ … y^H, (..., n, units), what φ sees; pre itself without normalization
    output: Array  # logits, (..., n, k)


def init_network(
    sizes: Sequence[int], *, normalized: bool, init_scale: ArrayLike = 1.0, seed: ArrayLike = 0
) -> BNParams:
    """Draw networks: weights N(0, 2/fan_in) (He), times ``init_scale`` in the hidden layers; b = β = 0, γ = 1.

    The output layer keeps He's own scale, so that the scale acts on what normalization can undo. A seed's draws
    are the same at every scale, with and without normalization.

    Args:
        sizes: units of every layer: the input, one or more hidden layers, the classes.
        normalized: whether the hidden layers have batch normalization.
        init_scale: (...), above 0.
        seed: whole numbers from 0, (...); broadcasts with the scale.

    Raises:
        ValueError: fewer than three sizes, a size below 1, one class, or a scale or seed out of range.
    """
    if len(sizes) < 3 or min(sizes) < 1 or sizes[-1] < 2:
        raise ValueError(
            f"sizes = {tuple(sizes)}: needs an input, hidden layers from 1 unit, and 2 or more classes"
        )
    scale, seeds = np.asarray(init_scale, dtype=np.float64), np.asarray(seed)
    if not np.all((scale > 0) & (scale < math.inf)):
        raise ValueError(f"init_scale = {scale}: needs finite numbers above 0")
    if np.any((seeds < 0) | (seeds % 1 != 0)):
        raise ValueError(f"seed = {seeds}: needs whole numbers from 0")
    lead = np.broadcast_shapes(scale.shape, seeds.shape)
    weights = []
    for l, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        draws = [
            stream(int(s), _WEIGHTS, l).standard_normal((fan_in, fan_out)) for s in np.ravel(seeds)
        ]  # fmt: skip
        drawn = np.reshape(draws, (*seeds.shape, fan_in, fan_out)) * math.sqrt(2 / fan_in)
        factor = scale[..., None, None] if l < len(sizes) - 1 else 1.0
        weights.append(np.broadcast_to(drawn * factor, (*lead, fan_in, fan_out)).copy())
    hidden = sizes[1:-1] if normalized else ()
    return BNParams(
        tuple(weights),
        tuple(np.zeros((*lead, units)) for units in sizes[1:]),
        tuple(np.ones((*lead, units)) for units in hidden),
        tuple(np.zeros((*lead, units)) for units in hidden),
    )


@_quiet
def forward(
    params: BNParams, x: ArrayLike, activation: Activation | str = "ReLU", *, eps: float = 1e-5
) -> Pass:
    """Training mode: every hidden layer is normalized with mean and biased variance of this very batch.

    Its ``output`` is also what a network gives whose ``eval()`` was forgotten.

    Args:
        params: leading axes broadcast with those of x.
        x: (..., n, sizes[0]), the batch.
        activation: φ of the hidden layers, an entry of ``ACTIVATIONS`` or its name, with its default settings.
        eps: added to the variance, 0 or more.
    """
    phi = _activation(activation)
    run = Pass([_points(x, params)], [], [], [], [], [], np.empty(0))
    for h in range(len(params.weights) - 1):
        z = run.inputs[-1] @ params.weights[h] + params.biases[h][..., None, :]
        y = z
        if params.normalized:
            mean = z.mean(axis=-2, keepdims=True)
            rest = z - mean
            var = np.mean(rest * rest, axis=-2, keepdims=True)
            normal = rest / np.sqrt(var + eps)
            y = params.gammas[h][..., None, :] * normal + params.betas[h][..., None, :]
            run.means.append(mean[..., 0, :])
            run.variances.append(var[..., 0, :])
            run.normal.append(normal)
        run.pre.append(z)
        run.post.append(y)
        run.inputs.append(phi.f(y))
    return run._replace(output=run.inputs[-1] @ params.weights[-1] + params.biases[-1][..., None, :])


@_quiet
def evaluate(
    params: BNParams,
    running: Running,
    x: ArrayLike,
    activation: Activation | str = "ReLU",
    *,
    eps: float = 1e-5,
) -> Array:
    """Evaluation mode: every hidden layer is normalized with its stored statistics; each point by itself.

    Args:
        params: leading axes broadcast with those of x and of ``running``.
        running: by hidden layer; ignored by a network without normalization.
        x: (..., n, sizes[0]).
        activation, eps: as for ``forward``.

    Returns:
        logits (..., n, k). Nothing that was passed in is changed.

    Raises:
        ValueError: x does not fit, or ``running`` has another number of layers.
    """
    phi = _activation(activation)
    a = _points(x, params)
    if params.normalized and len(running) != len(params.gammas):
        raise ValueError(f"running has {len(running)} layers: needs {len(params.gammas)}")
    for h in range(len(params.weights) - 1):
        y = a @ params.weights[h] + params.biases[h][..., None, :]
        if params.normalized:
            factor = params.gammas[h] / np.sqrt(running[h].var + eps)
            y = (y - running[h].mean[..., None, :]) * factor[..., None, :] + params.betas[h][..., None, :]
        a = phi.f(y)
    return np.asarray(a @ params.weights[-1] + params.biases[-1][..., None, :])


@_quiet
def backward(
    params: BNParams, run: Pass, top: Array, activation: Activation | str = "ReLU", *, eps: float = 1e-5
) -> tuple[BNParams, list[Array]]:
    """Send the gradient at the logits down again.

    dL/dW = aᵀ·δ and dL/db = Σδ with δ = dL/dz; below φ, dy = (δ·Wᵀ) ⊙ φ′(y), dL/dγ = Σ dy·ẑ, dL/dβ = Σ dy; and
    through the normalization δ = γ/√(var + eps) · (dy − mean(dy) − ẑ·mean(dy·ẑ)), the direct path, the path
    through the batch mean and the one through the batch variance.

    Args:
        params, activation, eps: those of the forward pass.
        run: what ``forward`` returned.
        top: dL/dlogits, (..., n, k), for example ``d_cross_entropy(run.output, labels)``.

    Returns:
        the gradient, and δ of the hidden layers 1 … H, (..., n, units) each.

    Source: Ioffe and Szegedy 2015, section 3, with the two sums taken together.
    """
    phi = _activation(activation)
    delta = top
    weights, biases, gammas, betas, deltas = (
        list[Array](),
        list[Array](),
        list[Array](),
        list[Array](),
        list[Array](),
    )
    for h in range(len(params.weights) - 1, -1, -1):
        weights.append(run.inputs[h].mT @ delta)
        biases.append(delta.sum(axis=-2))
        if h == 0:
            break
        dy = (delta @ params.weights[h].mT) * phi.df(run.post[h - 1])
        delta = dy
        if params.normalized:
            n = dy.shape[-2]
            normal = run.normal[h - 1]
            d_beta = dy.sum(axis=-2)
            d_gamma = (dy * normal).sum(axis=-2)
            gammas.append(d_gamma)
            betas.append(d_beta)
            factor = params.gammas[h - 1] / np.sqrt(run.variances[h - 1] + eps)
            inner = dy - (d_beta / n)[..., None, :] - normal * (d_gamma / n)[..., None, :]
            delta = factor[..., None, :] * inner
        deltas.append(delta)
    parts = [tuple(reversed(part)) for part in (weights, biases, gammas, betas)]
    return BNParams(*parts), deltas[::-1]


# Loss


@_quiet
def cross_entropy(output: Array, labels: ArrayLike) -> Array:
    """Return −log softmax(output)[label], averaged over the points: (..., n, k), (..., n) → (...)."""
    shifted = output - output.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(-np.where(_one_hot(output, labels), logs, 0).sum(axis=-1).mean(axis=-1))


@_quiet
def d_cross_entropy(output: Array, labels: ArrayLike) -> Array:
    """Return the gradient of ``cross_entropy`` at the logits, (softmax − one-hot)/n, (..., n, k)."""
    shares = np.exp(output - output.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.asarray((shares - _one_hot(output, labels)) / output.shape[-2])


def accuracy(output: Array, labels: ArrayLike) -> Array:
    """Return the share of points whose largest logit is that of their class, (...).

    A point with a tie, or with a logit that is NaN, counts as right with chance 1/ties, as if drawn by lot; so a
    network that says the same of every class has 1/k.
    """
    top = output.max(axis=-1, keepdims=True)
    best = (output == top) | np.isnan(top)
    right = (best & _one_hot(output, labels)).any(axis=-1)
    return np.asarray((right / best.sum(axis=-1)).mean(axis=-1))


def _one_hot(output: Array, labels: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each logit is that of the point's class, (..., n, k)."""
    return np.asarray(np.asarray(labels)[..., None] == np.arange(output.shape[-1]))


def loss_and_gradient(
    params: BNParams,
    x: ArrayLike,
    labels: ArrayLike,
    activation: Activation | str = "ReLU",
    *,
    eps: float = 1e-5,
) -> tuple[Array, BNParams]:
    """Return the loss (...) of a batch in training mode and its gradient with respect to every parameter."""
    run = forward(params, x, activation, eps=eps)
    gradient, _ = backward(params, run, d_cross_entropy(run.output, labels), activation, eps=eps)
    return cross_entropy(run.output, labels), gradient


# Stored statistics


def start_running(params: BNParams) -> Running:
    """Return the statistics before the first batch: means 0, variances 1, shaped (..., units) by layer."""
    return tuple(RunningStats(np.zeros_like(g), np.ones_like(g)) for g in params.gammas)


def update_running(
    running: Running, run: Pass, *, momentum: Momentum = "default", convention: str = "PyTorch"
) -> Running:
    """Return the statistics after one more batch, that of the forward pass ``run``.

    ``momentum`` and ``convention`` are those of ``RunningStats.update``.
    """
    n = run.inputs[0].shape[-2]
    return tuple(
        stats.update(mean, var, n, momentum=momentum, convention=convention)
        for stats, mean, var in zip(running, run.means, run.variances, strict=True)
    )


def observe(
    params: BNParams,
    running: Running,
    x: ArrayLike,
    activation: Activation | str = "ReLU",
    *,
    batch_size: int,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
    eps: float = 1e-5,
) -> Running:
    """Send data through in training mode, batch after batch, and store their statistics; no parameter moves.

    This is what happens to a model that is validated without ``eval()``: the loss is only looked at, and yet the
    stored statistics follow the validation data.

    Args:
        params: the networks.
        running: the statistics so far; not changed.
        x: (n, sizes[0]), in the order in which it is sent; a last batch may be smaller.
        activation, eps: as for ``forward``.
        batch_size: 1 to n.
        momentum, convention: how statistics are stored, see ``RunningStats.update``.

    Raises:
        ValueError: x does not fit, or batch_size is not a whole number from 1 to n.
    """
    points = _points(x, params)
    n = points.shape[-2]
    _whole("batch_size", batch_size, 1, n)
    for begin in range(0, n, batch_size):
        run = forward(params, points[..., begin : begin + batch_size, :], activation, eps=eps)
        running = update_running(running, run, momentum=momentum, convention=convention)
    return running


def recalibrate(
    params: BNParams,
    x: ArrayLike,
    activation: Activation | str = "ReLU",
    *,
    batch_size: int | None = None,
    eps: float = 1e-5,
) -> Running:
    """Measure the statistics anew with the parameters as they are: the average of those of all batches of x.

    As ``torch.optim.swa_utils.update_bn`` does, with x in its order: reset, one pass in training mode, the
    cumulative average of means and unbiased variances.

    Args:
        params: the networks.
        x: (n, sizes[0]), the training data in random order; a last batch may be smaller and counts like the others.
        activation, eps: as for ``forward``.
        batch_size: None takes all points as one batch, whose statistics are then those of the data exactly.

    Raises:
        ValueError: x does not fit, or batch_size is not a whole number from 1 to n.
    """
    n = _points(x, params).shape[-2]
    size = n if batch_size is None else batch_size
    return observe(params, start_running(params), x, activation, batch_size=size, momentum=None, eps=eps)


# Training


@dataclass(frozen=True)
class NetworkRun:
    """A run of T steps; ... are the axes of networks.

    Attributes:
        loss: (T, ...), of the batch of each step in training mode, before its update.
        params: after the last update.
        running: the statistics stored after the last batch; empty without normalization.
        diverged_at: (...), the first step with a loss that is not finite, T if only a parameter at the end is not;
            −1 if all are finite.
        snapshot_step: (R,), increasing.
        snapshots: (R, ...), the parameters after so many updates.
        snapshot_running: (R, ...), the stored statistics after so many batches.
    """

    loss: Array
    params: BNParams
    running: Running
    diverged_at: Ints
    snapshot_step: Ints
    snapshots: BNParams
    snapshot_running: Running


def batch_rows(
    labels: ArrayLike, step: int, *, batch_size: int, seed: int, order: Order = "shuffled"
) -> Ints:
    """Return which points are in the batch of a step (from 0), (batch_size,).

    Epochs follow one another without a gap, so a batch may span two. "shuffled" draws a new order for each epoch;
    "sorted by class" takes the points by label in every epoch, as a file does that nobody shuffles.

    Raises:
        ValueError: batch_size is not a whole number from 1 to the number of points, or the order is unknown.
    """
    classes = np.asarray(labels)
    n = len(classes)
    _whole("batch_size", batch_size, 1, n)
    if order not in ORDERS:
        raise ValueError(f"order = {order}: needs one of {', '.join(ORDERS)}")
    begin = step * batch_size
    first, last = begin // n, (begin + batch_size - 1) // n
    if order == "shuffled":
        epochs = [stream(seed, _BATCHES, e).permutation(n) for e in range(first, last + 1)]
    else:
        epochs = [np.argsort(classes, kind="stable")] * (last + 1 - first)
    offset = begin - first * n
    return np.asarray(np.concatenate(epochs)[offset : offset + batch_size])


@_quiet
def train_network(
    x: ArrayLike,
    labels: ArrayLike,
    sizes: Sequence[int],
    *,
    normalized: bool,
    activation: Activation | str = "ReLU",
    learning_rate: ArrayLike = 0.1,
    init_scale: ArrayLike = 1.0,
    batch_size: int = 32,
    steps: int = 200,
    seed: ArrayLike = 0,
    batch_seed: int = 0,
    sgd_momentum: float = 0.0,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
    eps: float = 1e-5,
    order: Order = "shuffled",
    record: Sequence[int] = (),
    report: Callable[[int, int], None] | None = None,
    report_every: int = 10,
) -> NetworkRun:
    """Train networks by mini-batch gradient descent, all on the same batches.

    The same seeds give the same run, and more steps extend it. v ← μv + g, w ← w − ηv as in ``torch.optim.SGD``.

    Args:
        x: (n, sizes[0]), the data.
        labels: (n,), whole numbers from 0 to sizes[-1] − 1.
        sizes: units of every layer: the input, the hidden layers, the classes.
        normalized: whether the hidden layers have batch normalization.
        activation: φ of the hidden layers, an entry of ``ACTIVATIONS`` or its name, with its default settings.
        learning_rate: η, (...), 0 or more.
        init_scale, seed: as for ``init_network``; both broadcast with the learning rate.
        batch_size: 1 to n.
        steps: number of updates, 0 or more.
        batch_seed: of the order of the points.
        sgd_momentum: μ of the optimizer, 0 up to 1; not to be taken for that of the statistics.
        momentum, convention: how statistics are stored, see ``RunningStats.update``.
        eps: added to the variance.
        order: of the points, see ``batch_rows``.
        record: steps whose parameters and stored statistics to keep, each from 0 to ``steps``.
        report: called as report(step, steps) before every ``report_every``-th update and at the end; an
            exception that it raises ends the run.
        report_every: 1 or more.

    Raises:
        ValueError: a number is out of range, or data and network do not fit.
    """
    rates = np.asarray(learning_rate, dtype=np.float64)
    if not np.all((rates >= 0) & (rates < math.inf)):
        raise ValueError(f"learning_rate = {rates}: needs finite numbers from 0")
    if not 0 <= sgd_momentum < 1:
        raise ValueError(f"sgd_momentum = {sgd_momentum}: needs a number from 0 to below 1")
    _whole("steps", steps, 0)
    _whole("report_every", report_every, 1)
    for kept in record:
        _whole("record", kept, 0, steps)
    params = init_network(sizes, normalized=normalized, init_scale=init_scale, seed=seed)
    lead = np.broadcast_shapes(rates.shape, params.weights[0].shape[:-2])
    params = _spread(params, lead)
    points = _points(x, params)
    classes = np.asarray(labels)
    if classes.shape != (len(points),) or not np.isin(classes, np.arange(sizes[-1])).all():
        raise ValueError(f"labels: need {len(points)} whole numbers from 0 to {sizes[-1] - 1}")

    running = start_running(params)
    velocity: BNParams | None = None
    loss = np.empty((steps, *lead))
    wanted = sorted(set(record))
    snapshots: list[tuple[BNParams, Running]] = []
    for step in range(steps + 1):
        if step in wanted:
            snapshots.append((params, running))
        if report is not None and (step % report_every == 0 or step == steps):
            report(step, steps)
        if step == steps:
            break
        rows = batch_rows(classes, step, batch_size=batch_size, seed=batch_seed, order=order)
        run = forward(params, points[rows], activation, eps=eps)
        loss[step] = cross_entropy(run.output, classes[rows])
        running = update_running(running, run, momentum=momentum, convention=convention)
        gradient, _ = backward(params, run, d_cross_entropy(run.output, classes[rows]), activation, eps=eps)
        if sgd_momentum:
            velocity = gradient if velocity is None else gradient.moved(velocity, sgd_momentum)
            gradient = velocity
        params = params.moved(gradient, -rates)
    bad = ~np.isfinite(np.concatenate([loss, _finite(params, lead)[None]]))
    return NetworkRun(
        loss,
        params,
        running,
        np.where(bad.any(axis=0), bad.argmax(axis=0), -1),
        np.array(wanted, dtype=np.intp),
        params.with_arrays(
            [np.stack(a) for a in zip(*(p.arrays for p, _ in snapshots), strict=True)]
            if snapshots
            else [a[None][:0] for a in params.arrays]
        ),
        tuple(
            RunningStats(
                np.array([r[h].mean for _, r in snapshots]).reshape(len(snapshots), *last.mean.shape),
                np.array([r[h].var for _, r in snapshots]).reshape(len(snapshots), *last.var.shape),
            )
            for h, last in enumerate(running)
        ),
    )


def _spread(params: BNParams, lead: tuple[int, ...]) -> BNParams:
    """Give all arrays the leading axes of the run."""
    ranks = params._ranks
    return params.with_arrays(
        [
            np.broadcast_to(a, (*lead, *a.shape[-rank:])).copy()
            for a, rank in zip(params.arrays, ranks, strict=True)
        ]
    )


def _finite(params: BNParams, lead: tuple[int, ...]) -> Array:
    """Return 0 for networks whose parameters are all finite, NaN for the others, (...)."""
    return np.asarray(np.broadcast_to(params.dot(params) * 0, lead))


# What layers see


class Distributions(NamedTuple):
    """Pre-activations of the hidden layers on some data, in training mode; ... are the axes of networks."""

    before: Array  # (H, Q, ...), quantiles of z over points and units
    after: Array  # (H, Q, ...), of y = γẑ + β; those of z without normalization
    means: list[Array]  # by layer, (..., units): mean of z over the points
    variances: list[Array]  # by layer, (..., units): biased variance of z over the points


@_quiet
def distributions(
    params: BNParams,
    x: ArrayLike,
    activation: Activation | str = "ReLU",
    *,
    levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    eps: float = 1e-5,
) -> Distributions:
    """Measure what each hidden layer's normalization gets and gives, all units of a layer together.

    Args:
        params: networks, or all snapshots of a run at once.
        x: (n, sizes[0]).
        activation, eps: as for ``forward``.
        levels: Q shares between 0 and 1.

    Returns:
        quantiles and moments; NaN for networks that have overflowed.
    """
    run = forward(params, x, activation, eps=eps)
    q = np.asarray(levels, dtype=np.float64)
    return Distributions(
        np.stack([np.quantile(z, q, axis=(-2, -1)) for z in run.pre]),
        np.stack([np.quantile(y, q, axis=(-2, -1)) for y in run.post]),
        [z.mean(axis=-2) for z in run.pre],
        [z.var(axis=-2) for z in run.pre],
    )


# Checks


def _activation(activation: Activation | str) -> Activation:
    if isinstance(activation, Activation):
        return activation
    try:
        return ACTIVATIONS[activation]
    except KeyError:
        raise ValueError(f"activation = {activation}: needs one of {', '.join(ACTIVATIONS)}") from None


def _whole(name: str, value: float, low: int, high: float = math.inf) -> None:
    if not low <= value <= high or value % 1 != 0:
        limit = f"from {low}" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"{name} = {value}: needs a whole number {limit}")


def _points(x: ArrayLike, params: BNParams) -> Array:
    """Check that x is (..., n, sizes[0]) with n ≥ 1."""
    points = np.asarray(x)
    points = points if points.dtype.kind == "f" else points.astype(np.float64)
    if points.ndim < 2 or points.shape[-1] != params.sizes[0] or points.shape[-2] < 1:
        raise ValueError(f"x of shape {points.shape}: needs (..., n, {params.sizes[0]}) with n from 1")
    return points
