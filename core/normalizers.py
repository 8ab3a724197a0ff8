"""The family of normalizations: who shares a statistic, what each leaves unchanged, and what inputs gain from it.

Shapes: inputs x are (N, D, L), N samples of D features at L positions; a layer with weights W (D, C) makes
z[n, c, l] = Σ_d x[n, d, l]·W[d, c], a linear layer for L = 1 and a convolution of width 1 otherwise; an entry of
``NORMALIZERS`` makes y (N, C, L) of it. Some entries divide z by a statistic of a set of its own values, others by the
lengths of weights and inputs. Everything is computed in float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.normalization import (
    Momentum,
    RunningStats,
    batch_statistics,
    normalize,
    normalize_batch,
    normalize_batch_backward,
)
from core.streams import stream

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Axes = Literal["", "C", "CL"]

INVARIANT = 1e-6  # relative change of the output below which a change of the input counts as none


# The statistics of one set of values


class Standardized(NamedTuple):
    """Sets of values less ``center``, over ``scale``: ``normal`` (M, S); the other two (S,)."""

    normal: Array
    center: Array
    scale: Array


def _standardize(columns: Array, eps: float) -> Standardized:
    """Subtract each column's mean and divide by √(variance + ε), as batch normalization does."""
    normal, _ = normalize_batch(columns, 1.0, 0.0, RunningStats.start(columns.shape[1]), eps=eps)
    mean, var = batch_statistics(columns)
    return Standardized(normal, mean, np.hypot(np.sqrt(var), np.sqrt(eps)))


def _standardize_backward(columns: Array, dnormal: Array, eps: float) -> Array:
    return normalize_batch_backward(columns, 1.0, dnormal, eps=eps)[0]


def _root_mean_square(columns: Array, eps: float) -> Array:
    """Return √(mean square + ε) of each column; a power of two keeps squares of 1e200 finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.max(np.abs(columns), axis=0)
        unit = np.ldexp(1.0, np.maximum(np.frexp(np.where(np.isfinite(size), size, 1.0))[1] - 1, -1000))
        return np.asarray(
            np.hypot(np.sqrt(np.mean((columns / unit) ** 2, axis=0)), np.sqrt(eps) / unit) * unit
        )


def _divide_by_rms(columns: Array, eps: float) -> Standardized:
    scale = _root_mean_square(columns, eps)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Standardized(columns / scale, np.zeros(columns.shape[1]), scale)


def _divide_by_rms_backward(columns: Array, dnormal: Array, eps: float) -> Array:
    normal, _, scale = _divide_by_rms(columns, eps)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((dnormal - normal * np.mean(dnormal * normal, axis=0)) / scale)


@dataclass(frozen=True)
class Statistic:
    """What a set of values is divided by: ``forward(columns, eps)``, and the gradient ``backward(columns, dnormal, eps)``.

    ``columns`` is (M, S), S sets of M values.
    """

    name: str
    forward: Callable[[Array, float], Standardized]
    backward: Callable[[Array, Array, float], Array]
    centered: bool


MEAN_AND_VARIANCE = Statistic("mean and variance", _standardize, _standardize_backward, centered=True)
MEAN_SQUARE = Statistic("mean square", _divide_by_rms, _divide_by_rms_backward, centered=False)


# Who shares


def _indices(shape: tuple[int, int, int]) -> tuple[Ints, Ints, Ints]:
    n, c, l = np.indices(shape)
    return n, c, l


def _alone(shape: tuple[int, int, int], groups: int) -> Ints:
    return np.arange(np.prod(shape)).reshape(shape)


def _by_channel(shape: tuple[int, int, int], groups: int) -> Ints:
    return _indices(shape)[1]


def _by_sample(shape: tuple[int, int, int], groups: int) -> Ints:
    return _indices(shape)[0]


def _by_position(shape: tuple[int, int, int], groups: int) -> Ints:
    n, _, l = _indices(shape)
    return n * shape[2] + l


def _by_instance(shape: tuple[int, int, int], groups: int) -> Ints:
    n, c, _ = _indices(shape)
    return n * shape[1] + c


def _by_group(shape: tuple[int, int, int], groups: int) -> Ints:
    channels = shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups = {groups}: needs a divisor of {channels}, the number of channels")
    n, c, _ = _indices(shape)
    return n * groups + c // (channels // groups)


# The registry


@dataclass(frozen=True)
class Normalizer:
    """One normalization of a layer's output.

    ``labels(shape, groups)`` maps (N, C, L) to whole numbers of that shape: cells with the same one share what they
    are divided by. ``statistic`` says what that is if it is taken from the cells themselves, None otherwise; then
    ``by_weights`` divides by ‖w_c‖, and ``by_inputs`` by ‖x_nl‖, the length of the input at that sample and position.
    ``gain`` names the axes along which the learned γ differs, "" for none; ``offset`` is whether there is a β of the
    same shape. ``stored`` names what is kept for evaluation; ``tracks`` is whether running statistics can be kept at
    all. ``eps`` is each framework's default; None means the machine epsilon of the dtype. ``shared`` says in words who
    shares. ``torch`` is the layer in PyTorch for C channels, L positions and G groups.
    """

    name: str
    formula: str
    shared: str
    source: str
    labels: Callable[[tuple[int, int, int], int], Ints]
    torch: str
    statistic: Statistic | None = None
    by_weights: bool = False
    by_inputs: bool = False
    gain: Axes = "C"
    offset: bool = True
    stored: tuple[str, ...] = ()
    tracks: bool = False
    grouped: bool = False
    eps: Mapping[str, float | None] = field(default_factory=lambda: MappingProxyType({}))

    def default_eps(self, convention: str = "PyTorch") -> float:
        """Return ε of a framework for float64, 0 where there is none.

        Raises:
            ValueError: a convention that this entry has no ε of, though it has one of another.
        """
        if not self.eps:
            return 0.0
        if convention not in self.eps:
            raise ValueError(f"convention = {convention}: needs one of {', '.join(self.eps)}")
        value = self.eps[convention]
        return float(np.finfo(np.float64).eps) if value is None else value

    def learned_shape(self, channels: int, positions: int) -> tuple[int, ...]:
        """Return the shape of γ (and β); () if nothing is learned."""
        return tuple({"C": channels, "L": positions}[axis] for axis in self.gain)

    @property
    def centered(self) -> bool:
        """Whether a mean is subtracted."""
        return self.statistic is not None and self.statistic.centered


_CLASSIC = MappingProxyType({"PyTorch": 1e-5, "Keras": 1e-3})

_ENTRIES = (
    Normalizer(
        name="BatchNorm",
        formula=r"\gamma_c\,\frac{z_{ncl}-\mu_c}{\sqrt{\sigma_c^2+\varepsilon}}+\beta_c",
        shared="all samples and positions of a channel",
        source="Ioffe and Szegedy 2015",
        labels=_by_channel,
        torch="nn.BatchNorm1d(C)",
        statistic=MEAN_AND_VARIANCE,
        stored=("running mean", "running variance", "number of batches"),
        tracks=True,
        eps=_CLASSIC,
    ),
    Normalizer(
        name="LayerNorm",
        formula=r"\gamma_{cl}\,\frac{z_{ncl}-\mu_n}{\sqrt{\sigma_n^2+\varepsilon}}+\beta_{cl}",
        shared="all channels and positions of a sample",
        source="Ba, Kiros and Hinton 2016",
        labels=_by_sample,
        torch="nn.LayerNorm([C, L])",
        statistic=MEAN_AND_VARIANCE,
        gain="CL",
        eps=_CLASSIC,
    ),
    Normalizer(
        name="LayerNorm (channels)",
        formula=r"\gamma_c\,\frac{z_{ncl}-\mu_{nl}}{\sqrt{\sigma_{nl}^2+\varepsilon}}+\beta_c",
        shared="all channels at one position of a sample, as in transformers",
        source="Ba, Kiros and Hinton 2016; Vaswani et al. 2017",
        labels=_by_position,
        torch="nn.LayerNorm(C)",
        statistic=MEAN_AND_VARIANCE,
        eps=_CLASSIC,
    ),
    Normalizer(
        name="InstanceNorm",
        formula=r"\gamma_c\,\frac{z_{ncl}-\mu_{nc}}{\sqrt{\sigma_{nc}^2+\varepsilon}}+\beta_c",
        shared="all positions of a channel of a sample",
        source="Ulyanov, Vedaldi and Lempitsky 2016",
        labels=_by_instance,
        torch="nn.InstanceNorm1d(C, affine=True)",
        statistic=MEAN_AND_VARIANCE,
        tracks=True,
        eps=_CLASSIC,
    ),
    Normalizer(
        name="GroupNorm",
        formula=r"\gamma_c\,\frac{z_{ncl}-\mu_{ng}}{\sqrt{\sigma_{ng}^2+\varepsilon}}+\beta_c",
        shared="all positions of a group of channels of a sample",
        source="Wu and He 2018",
        labels=_by_group,
        torch="nn.GroupNorm(G, C)",
        statistic=MEAN_AND_VARIANCE,
        grouped=True,
        eps=_CLASSIC,
    ),
    Normalizer(
        name="RMSNorm",
        formula=r"\gamma_c\,\frac{z_{ncl}}{\sqrt{\frac1C\sum_k z_{nkl}^2+\varepsilon}}",
        shared="all channels at one position of a sample; no mean is subtracted",
        source="Zhang and Sennrich 2019",
        labels=_by_position,
        torch="nn.RMSNorm(C)",
        statistic=MEAN_SQUARE,
        offset=False,
        eps=MappingProxyType({"PyTorch": None, "Keras": 1e-6}),
    ),
    Normalizer(
        name="WeightNorm",
        formula=r"\gamma_c\,\frac{z_{ncl}}{\lVert w_c\rVert}+\beta_c",
        shared="all cells of a channel, by the length of its weights; no value of the batch goes into it",
        source="Salimans and Kingma 2016",
        labels=_by_channel,
        torch="nn.utils.parametrizations.weight_norm(nn.Linear(D, C))",
        by_weights=True,
    ),
    Normalizer(
        name="cosine",
        formula=r"\frac{z_{ncl}}{\lVert w_c\rVert\,\lVert x_{nl}\rVert}",
        shared="all channels at one position of a sample, by the length of the input there; the length of a channel's weights "
        "is its own",
        source="Luo et al. 2018",
        labels=_by_position,
        torch="F.cosine_similarity(x[:, None], W.T, dim=-1)",
        by_weights=True,
        by_inputs=True,
        gain="",
        offset=False,
        eps=MappingProxyType({"PyTorch": 1e-8}),
    ),
)
NORMALIZERS: dict[str, Normalizer] = {entry.name: entry for entry in _ENTRIES}

PLAIN = Normalizer(
    name="none",
    formula=r"z_{ncl}",
    shared="nothing",
    source="",
    labels=_alone,
    torch="nn.Linear(D, C)",
    gain="",
    offset=False,
)


def normalizer(name: str) -> Normalizer:
    """Return an entry of ``NORMALIZERS``; ValueError names the choices."""
    try:
        return NORMALIZERS[name]
    except KeyError:
        raise ValueError(f"normalizer = {name}: needs one of {', '.join(NORMALIZERS)}") from None


# Forward and backward on activations


class Normalized(NamedTuple):
    """Forward pass: ``y``; ``normal`` before γ and β; what was subtracted and divided by; each (N, C, L)."""

    y: Array
    normal: Array
    center: Array
    scale: Array


def _activations(z: ArrayLike) -> Array:
    values = np.asarray(z, np.float64)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.size == 0:
        raise ValueError(f"z has shape {np.shape(z)}: needs (N, C) or (N, C, L), none of them 0")
    return values


def _learned(name: str, value: ArrayLike, entry: Normalizer, shape: tuple[int, ...]) -> Array:
    """Lay γ or β along the axes that it has."""
    array = np.asarray(value, np.float64)
    wanted = entry.learned_shape(shape[1], shape[2])
    if array.ndim == 0:
        return array
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}: {entry.name} needs {wanted} or a single number")
    return array.reshape(*array.shape, *[1] * (2 - array.ndim))


@lru_cache(maxsize=64)
def _order(
    labels_of: Callable[[tuple[int, int, int], int], Ints], shape: tuple[int, int, int], groups: int
) -> Ints:
    """Return the flat places of the cells of each set, (M, S), read-only."""
    labels = labels_of(shape, groups).ravel()
    sets = int(labels.max()) + 1
    order = np.argsort(labels, kind="stable").reshape(sets, -1).T
    order.flags.writeable = False
    return order


def _eps(entry: Normalizer, eps: float | None) -> float:
    value = entry.default_eps() if eps is None else eps
    if not 0 <= value < np.inf:
        raise ValueError(f"eps = {value}: needs a finite number from 0")
    return value


def _statistic(entry: Normalizer) -> Statistic:
    if entry.statistic is None:
        raise ValueError(f"{entry.name} takes nothing from activations: use layer()")
    return entry.statistic


def normalize_activations(
    entry: Normalizer,
    z: ArrayLike,
    gamma: ArrayLike = 1.0,
    beta: ArrayLike = 0.0,
    *,
    eps: float | None = None,
    groups: int = 2,
) -> Normalized:
    """Training: y = γ·(z − center)/√(statistic + ε) + β, with the statistics of z's own sets.

    Of the entries with a statistic only those that store one differ in evaluation: see ``evaluate_activations``. A set
    of one value less its mean is 0, so y = β. A NaN spoils the sets it is in and no other; with ε = 0 a constant set
    is 0/0, NaN.

    Args:
        entry: one with a statistic.
        z: (N, C, L), or (N, C) for one position.
        gamma, beta: of ``entry.learned_shape(C, L)``, or single numbers.
        eps: added to the variance or mean square, 0 or more; None takes PyTorch's default.
        groups: of channels, for an entry with ``grouped``; a divisor of C.

    Raises:
        ValueError: a shape or number does not fit, or the entry has no statistic of activations.
    """
    statistic = _statistic(entry)
    values = _activations(z)
    scale, shift = (_learned(n, v, entry, values.shape) for n, v in (("gamma", gamma), ("beta", beta)))
    order = _order(entry.labels, values.shape, groups)
    found = statistic.forward(values.ravel()[order], _eps(entry, eps))
    flat = np.empty((3, values.size))
    flat[0, order], flat[1, order], flat[2, order] = found
    normal, center, divisor = flat.reshape(3, *values.shape)
    return Normalized(scale * normal + shift, normal, center, divisor)


def normalize_activations_backward(
    entry: Normalizer,
    z: ArrayLike,
    gamma: ArrayLike,
    dy: ArrayLike,
    *,
    eps: float | None = None,
    groups: int = 2,
) -> tuple[Array, Array, Array]:
    """Gradient of ``normalize_activations`` with respect to z, γ and β.

    Args:
        entry, z, gamma, eps, groups: those of the forward pass.
        dy: gradient at the output, (N, C, L).

    Returns:
        dz (N, C, L), and dγ and dβ of the entry's learned shape.
    """
    statistic = _statistic(entry)
    values = _activations(z)
    upstream = np.asarray(dy, np.float64).reshape(values.shape)
    order = _order(entry.labels, values.shape, groups)
    columns, size = values.ravel()[order], _eps(entry, eps)
    normal, dz = np.empty(values.size), np.empty(values.size)
    normal[order] = statistic.forward(columns, size).normal
    inner = _learned("gamma", gamma, entry, values.shape) * upstream
    dz[order] = statistic.backward(columns, inner.ravel()[order], size)
    axes = (0,) if entry.gain == "CL" else (0, 2)
    dgamma = np.sum(upstream * normal.reshape(values.shape), axis=axes)
    return dz.reshape(values.shape), dgamma, np.sum(upstream, axis=axes)


def track(
    entry: Normalizer,
    z: ArrayLike,
    running: RunningStats,
    *,
    momentum: Momentum = "default",
    convention: str = "PyTorch",
) -> RunningStats:
    """Return the running statistics after one more batch, for an entry that can keep them.

    A channel with several sets (InstanceNorm, where PyTorch keeps none unless ``track_running_stats`` is set) stores
    the mean over them of their means and of their variances.

    Raises:
        ValueError: the entry has no running statistics.
    """
    if not entry.tracks:
        raise ValueError(f"{entry.name} keeps no running statistics: evaluation does what training does")
    values = _activations(z)
    columns = values.ravel()[_order(entry.labels, values.shape, 1)]
    mean, var = (part.reshape(-1, values.shape[1]).mean(axis=0) for part in batch_statistics(columns))
    return running.update(mean, var, len(columns), momentum=momentum, convention=convention)


def evaluate_activations(
    entry: Normalizer,
    z: ArrayLike,
    gamma: ArrayLike = 1.0,
    beta: ArrayLike = 0.0,
    *,
    running: RunningStats | None = None,
    eps: float | None = None,
    groups: int = 2,
) -> Array:
    """Evaluation: with ``running``, the stored statistics; without, what training does. State never changes.

    Args:
        running: statistics of an entry that stores them by default (BatchNorm), or was told to (InstanceNorm).

    Raises:
        ValueError: an entry that needs stored statistics gets none, or one that has none gets some.
    """
    if running is None:
        if entry.stored:
            raise ValueError(f"{entry.name} needs its running statistics in evaluation")
        return normalize_activations(entry, z, gamma, beta, eps=eps, groups=groups).y
    if not entry.tracks:
        raise ValueError(f"{entry.name} keeps no running statistics: evaluation does what training does")
    return normalize(_activations(z), gamma, beta, running, eps=_eps(entry, eps))


# A layer with its normalization


def _lengths(
    entry: Normalizer, x: Array, weight: Array, eps: float
) -> tuple[Array, NDArray[np.bool_], Array]:
    """Return what a layer without statistic divides by (N or 1, C, L or 1), which units have a length, and ‖w‖²."""
    square = np.sum(weight**2, axis=0)
    length, active = np.ones((1, 1, 1)), np.zeros(weight.shape[1], bool)
    if entry.by_weights:
        long = np.sqrt(square)
        length, active = np.maximum(long, eps)[None, :, None], long > eps
    if entry.by_inputs:
        length = length * np.maximum(np.sqrt(np.sum(x**2, axis=1)), eps)[:, None, :]
    return length, active, square


def _layer_inputs(x: ArrayLike, weight: ArrayLike) -> tuple[Array, Array, Array]:
    values, weights = _activations(x), np.asarray(weight, np.float64)
    if weights.ndim != 2 or weights.shape[0] != values.shape[1]:
        raise ValueError(f"weight has shape {weights.shape}: needs ({values.shape[1]}, C)")
    return values, weights, np.einsum("ndl,dc->ncl", values, weights)


def layer(
    entry: Normalizer,
    x: ArrayLike,
    weight: ArrayLike,
    gamma: ArrayLike = 1.0,
    beta: ArrayLike = 0.0,
    *,
    eps: float | None = None,
    groups: int = 2,
) -> Normalized:
    """Return the normalized output of a linear layer, by the batch at hand.

    With a statistic, z = xW is normalized as in ``normalize_activations``. Without, z is divided by lengths, each at
    least ε: a unit of zero weights gives 0/0, NaN, under WeightNorm, which has no ε, and 0 under cosine.

    Args:
        x: (N, D, L) or (N, D).
        weight: (D, C).
        gamma, beta, eps, groups: as in ``normalize_activations``.
    """
    values, weights, z = _layer_inputs(x, weight)
    if entry.statistic is not None:
        return normalize_activations(entry, z, gamma, beta, eps=eps, groups=groups)
    scale, shift = (_learned(n, v, entry, z.shape) for n, v in (("gamma", gamma), ("beta", beta)))
    length, _, _ = _lengths(entry, values, weights, _eps(entry, eps))
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = z / length
    return Normalized(
        scale * normal + shift, normal, np.zeros(z.shape), np.array(np.broadcast_to(length, z.shape))
    )


def layer_backward(
    entry: Normalizer,
    x: ArrayLike,
    weight: ArrayLike,
    gamma: ArrayLike,
    dy: ArrayLike,
    *,
    eps: float | None = None,
    groups: int = 2,
) -> Array:
    """Gradient of ``layer`` with respect to the weights, (D, C).

    Dividing by ‖w‖ takes out of the gradient what points along w; a statistic of z does the same by its own sums.
    """
    values, weights, z = _layer_inputs(x, weight)
    upstream = np.asarray(dy, np.float64).reshape(z.shape)
    if entry.statistic is not None:
        dz = normalize_activations_backward(entry, z, gamma, upstream, eps=eps, groups=groups)[0]
        return np.asarray(np.einsum("ndl,ncl->dc", values, dz))
    length, active, square = _lengths(entry, values, weights, _eps(entry, eps))
    raw = np.einsum("ndl,ncl->dc", values, _learned("gamma", gamma, entry, z.shape) * upstream / length)
    along = np.divide(np.sum(weights * raw, axis=0), square, out=np.zeros_like(square), where=active)
    return np.asarray(raw - weights * along)


# What changes nothing

SAMPLES, FEATURES, CHANNELS, POSITIONS = 8, 5, 6, 4  # of the data that invariances are tried on


class Trial(NamedTuple):
    """A layer's input (N, D, L), its weights (D, C) and a target of its output (N, C, L)."""

    x: Array
    weight: Array
    target: Array


def draw_trial(seed: int = 0) -> Trial:
    """Draw standard normal inputs, weights and targets; the features have means of their own."""
    rng = stream(seed, 0)
    x = rng.normal(size=(SAMPLES, FEATURES, POSITIONS)) + rng.normal(size=(FEATURES, 1))
    return Trial(x, rng.normal(size=(FEATURES, CHANNELS)), rng.normal(size=(SAMPLES, CHANNELS, POSITIONS)))


@dataclass(frozen=True)
class Change:
    """A change of a layer's input or weights, ``apply(x, weight)``; ``note`` says what it comes to in z."""

    name: str
    note: str
    apply: Callable[[Array, Array], tuple[Array, Array]]


def _with(array: Array, index: Any, factor: float = 1.0, shift: float = 0.0) -> Array:
    result = array.copy()
    result[index] = factor * result[index] + shift
    return result


_OF_FEATURES = np.linspace(-1.0, 1.0, FEATURES)  # the same vector, for all units

_CHANGES = (
    Change("all inputs × 10", "z × 10", lambda x, w: (10 * x, w)),
    Change("all inputs + 3", "one shift a channel", lambda x, w: (x + 3, w)),
    Change("one feature × 10", "mixes into all channels", lambda x, w: (_with(x, np.s_[:, 0], 10.0), w)),
    Change("one feature + 3", "one shift a channel", lambda x, w: (_with(x, np.s_[:, 0], shift=3.0), w)),
    Change("one sample × 10", "z of that sample × 10", lambda x, w: (_with(x, np.s_[0], 10.0), w)),
    Change(
        "one sample + 3",
        "one shift a channel, in that sample",
        lambda x, w: (_with(x, np.s_[0], shift=3.0), w),
    ),
    Change("all weights × 10", "z × 10", lambda x, w: (x, 10 * w)),
    Change("one unit's weights × 10", "one channel × 10", lambda x, w: (x, _with(w, np.s_[:, 0], 10.0))),
    Change(
        "one feature's weights × 10",
        "mixes into all channels",
        lambda x, w: (x, _with(w, np.s_[0], 10.0)),
    ),
    Change(
        "one vector added to every unit's weights",
        "one shift a position of a sample, the same for all channels",
        lambda x, w: (x, w + _OF_FEATURES[:, None]),
    ),
)
CHANGES: dict[str, Change] = {change.name: change for change in _CHANGES}


class Invariance(NamedTuple):
    """What a change did: ``size`` is the largest change of the output over its largest value."""

    change: str
    size: float
    invariant: bool


def _relative(after: Array, before: Array) -> float:
    return float(np.max(np.abs(after - before)) / np.max(np.abs(before)))


def invariances(
    entry: Normalizer, seed: int = 0, *, eps: float = 0.0, groups: int = 2
) -> tuple[Invariance, ...]:
    """Try every entry of ``CHANGES`` on a drawn layer and compare its output before and after.

    Args:
        seed: of the layer.
        eps: 0 by default, which shows the property itself; with ε > 0 a scale of z also changes its weight beside ε.
        groups: of channels, a divisor of ``CHANNELS``.

    Returns:
        one result a change; invariant is a size of at most ``INVARIANT``.
    """
    trial = draw_trial(seed)
    before = layer(entry, trial.x, trial.weight, eps=eps, groups=groups).y
    found = []
    for change in CHANGES.values():
        x, weight = change.apply(trial.x, trial.weight)
        size = _relative(layer(entry, x, weight, eps=eps, groups=groups).y, before)
        found.append(Invariance(change.name, size, size <= INVARIANT))
    return tuple(found)


def others_redrawn(entry: Normalizer, seed: int = 0, *, eps: float = 0.0, groups: int = 2) -> float:
    """Return by how much one sample's output changes, in training, when all other samples are drawn anew.

    The change is over the largest value of that output; 0 where nothing is shared between samples.
    """
    trial = draw_trial(seed)
    other = trial.x.copy()
    other[1:] = draw_trial(seed + 1).x[1:]
    before, after = (layer(entry, x, trial.weight, eps=eps, groups=groups).y[0] for x in (trial.x, other))
    return _relative(after, before)


class WeightScale(NamedTuple):
    """Gradient norms ‖∂L/∂W‖ at scaled weights, ``gradient`` (A,), and 1/a times that at a = 1, ``exact`` (A,)."""

    gradient: Array
    exact: Array


def squared_error_gradient(
    entry: Normalizer, trial: Trial, weight: Array, *, eps: float = 0.0, groups: int = 2
) -> Array:
    """Return ∂L/∂W (D, C) of L = ½·mean (y − target)² at given weights."""
    y = layer(entry, trial.x, weight, eps=eps, groups=groups).y
    return layer_backward(entry, trial.x, weight, 1.0, (y - trial.target) / y.size, eps=eps, groups=groups)


def weight_scale(
    entry: Normalizer,
    factors: ArrayLike,
    seed: int = 0,
    *,
    eps: float = 0.0,
    groups: int = 2,
    unit: int | None = None,
) -> WeightScale:
    """Return the gradient's norm when all weights, or those of one unit, are multiplied by each factor.

    Where the output does not change with the scale, L(aW) = L(W) gives ∇L(aW) = ∇L(W)/a.

    Args:
        factors: (A,) positive.
        unit: multiply the weights of this unit only and take the norm of their gradient; None takes all.
    """
    trial = draw_trial(seed)
    place = np.s_[:] if unit is None else np.s_[:, unit]

    def norm(factor: float) -> float:
        weight = _with(trial.weight, place, factor)
        gradient = squared_error_gradient(entry, trial, weight, eps=eps, groups=groups)
        return float(np.linalg.norm(gradient[place]))

    scales = np.asarray(factors, np.float64)
    return WeightScale(np.array([norm(a) for a in scales]), norm(1.0) / scales)


class Orthogonality(NamedTuple):
    """Cosines between weights and their gradient: the largest of a ``unit``, and that of the ``whole`` matrix."""

    unit: float
    whole: float


def orthogonality(entry: Normalizer, seed: int = 0, *, eps: float = 0.0, groups: int = 2) -> Orthogonality:
    """Measure how far the gradient is from a right angle to the weights; 0 where scaling them changes nothing."""
    trial = draw_trial(seed)
    w = trial.weight
    g = squared_error_gradient(entry, trial, w, eps=eps, groups=groups)
    unit = np.sum(w * g, axis=0) / (np.linalg.norm(w, axis=0) * np.linalg.norm(g, axis=0))
    whole = float(np.sum(w * g) / (np.linalg.norm(w) * np.linalg.norm(g)))
    return Orthogonality(float(np.max(np.abs(unit))), abs(whole))


# Inputs


class Affine(NamedTuple):
    """A treatment of inputs that was fitted: (x − offset) @ matrix, offset (D,), matrix (D, D)."""

    offset: Array
    matrix: Array

    def apply(self, x: ArrayLike) -> Array:
        """Treat inputs (n, D), those it was fitted on or others."""
        return np.asarray((np.asarray(x, np.float64) - self.offset) @ self.matrix)


@dataclass(frozen=True)
class Treatment:
    """What is done to inputs before a network sees them; ``fit(x)`` takes its numbers from inputs (n, D)."""

    name: str
    formula: str
    fit: Callable[[Array], Affine]


def _whiten(x: Array) -> Affine:
    """Decorrelate with the symmetric root of the covariance, which turns the data least."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    return Affine(x.mean(axis=0), (vectors / np.sqrt(values)) @ vectors.T)


_TREATMENTS = (
    Treatment("raw", "x", lambda x: Affine(np.zeros(x.shape[1]), np.eye(x.shape[1]))),
    Treatment("centered", r"x-\mu", lambda x: Affine(x.mean(axis=0), np.eye(x.shape[1]))),
    Treatment(
        "divided by σ²",
        r"\frac{x-\mu}{\sigma^2}",
        lambda x: Affine(x.mean(axis=0), np.diag(1 / x.var(axis=0))),
    ),
    Treatment(
        "divided by σ",
        r"\frac{x-\mu}{\sigma}",
        lambda x: Affine(x.mean(axis=0), np.diag(1 / x.std(axis=0))),
    ),
    Treatment("whitened", r"\Sigma^{-1/2}(x-\mu)", _whiten),
)
TREATMENTS: dict[str, Treatment] = {treatment.name: treatment for treatment in _TREATMENTS}


def input_moments(mean: float, ratio: float, correlation: float) -> tuple[Array, Array]:
    """Return mean (2,) and covariance (2, 2) of two features with standard deviations 1 and ``ratio``.

    Raises:
        ValueError: ratio not positive, or |correlation| not below 1.
    """
    if not ratio > 0 or not abs(correlation) < 1:
        raise ValueError(
            f"ratio = {ratio}, correlation = {correlation}: need a positive one and one within ±1"
        )
    mixed = correlation * ratio
    return np.full(2, float(mean)), np.array([[1.0, mixed], [mixed, ratio**2]])


def draw_inputs(mean: float, ratio: float, correlation: float, count: int, seed: int = 0) -> Array:
    """Draw (count, 2) inputs whose own mean and covariance are exactly those of ``input_moments``."""
    center, covariance = input_moments(mean, ratio, correlation)
    u = stream(seed, 1).normal(size=(count, 2))
    return np.asarray(_whiten(u).apply(u) @ np.linalg.cholesky(covariance).T + center)


def regression_hessian(mean: ArrayLike, covariance: ArrayLike) -> Array:
    """Return the Hessian of ½·mean (w·x + b − t)² in (w, b): E[(x, 1)(x, 1)ᵀ], (D + 1, D + 1).

    Args:
        mean: (D,) of the inputs.
        covariance: (D, D) of the inputs.
    """
    m = np.append(np.asarray(mean, np.float64), 1.0)
    hessian = np.outer(m, m)
    hessian[:-1, :-1] += np.asarray(covariance, np.float64)
    return hessian


class RegressionRun(NamedTuple):
    """Gradient descent on a linear regression of treated inputs.

    ``x`` (n, D) the treated inputs, ``eigenvalues`` (D + 1,) of the Hessian, ascending, ``condition`` their ratio,
    ``lr`` the rate, ``loss`` (steps + 1,) above the minimum, which is 0, and ``theory`` the same by eigenvalues.
    """

    x: Array
    eigenvalues: Array
    condition: float
    lr: float
    loss: Array
    theory: Array


def regress(x: ArrayLike, target: ArrayLike, *, steps: int) -> RegressionRun:
    """Fit w·x + b to targets by gradient descent from 0 with the rate 1/(largest eigenvalue of the Hessian).

    The loss is ½·mean (w·x + b − t)². Its distance from the minimum is ½ Σ_i λ_i (1 − lr·λ_i)^2t c_i², c the distance
    from the solution along the eigenvectors.

    Args:
        x: (n, D) inputs.
        target: (n,) an exact linear function of them, so that the smallest loss is 0.
        steps: number of steps.
    """
    values, wanted = np.asarray(x, np.float64), np.asarray(target, np.float64)
    design = np.column_stack([values, np.ones(len(values))])
    hessian = design.T @ design / len(design)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    lr = float(1 / eigenvalues[-1])
    solution = np.linalg.lstsq(design, wanted, rcond=None)[0]
    w, loss = np.zeros(design.shape[1]), np.empty(steps + 1)
    for step in range(steps + 1):
        error = design @ w - wanted
        loss[step] = 0.5 * np.mean(error**2)
        w = w - lr * design.T @ error / len(design)
    along = vectors.T @ solution
    fading = (1 - lr * eigenvalues) ** (2 * np.arange(steps + 1)[:, None])
    theory = 0.5 * np.sum(fading * eigenvalues * along**2, axis=1)
    return RegressionRun(values, eigenvalues, float(eigenvalues[-1] / eigenvalues[0]), lr, loss, theory)


class OwnStatistics(NamedTuple):
    """Accuracy on test inputs standardized by the training set's statistics, and by their own."""

    train: float
    own: float


def own_statistics(
    share: float = 0.9, count: int = 2000, seed: int = 0, *, spread: float = 0.5
) -> OwnStatistics:
    """Classify a test set whose classes are mixed otherwise than in training, standardized in both ways.

    One feature, N(−1, spread²) in the first class and N(1, spread²) in the second, half and half in training; the classifier
    says the second class above 0, the middle of the standardized training set.

    Args:
        share: of the second class in the test set.
        count: of values in each set.
        seed: of the draws.
        spread: standard deviation of each class.
    """
    rng = stream(seed, 2)

    def draw(part: float) -> tuple[Array, NDArray[np.bool_]]:
        second = np.arange(count) < round(part * count)
        return np.where(second, 1.0, -1.0) + spread * rng.normal(size=count), second

    train, _ = draw(0.5)
    test, second = draw(share)

    def accuracy(fitted_on: Array) -> float:
        return float(np.mean(((test - fitted_on.mean()) / fitted_on.std() > 0) == second))

    return OwnStatistics(accuracy(train), accuracy(test))


# Where they differ in what they can express


class Swamped(NamedTuple):
    """Squared correlation of each feature's normalized value with its own raw value, (D,), over samples."""

    batch: Array
    layer: Array


def swamped_share(scales: ArrayLike = (1.0, 1.0, 1.0, 1000.0), count: int = 400, seed: int = 0) -> Swamped:
    """Measure how much of each feature survives when features of different size are normalized together.

    BatchNorm maps each feature by a straight line, so all of it survives, 1. LayerNorm over features of different
    kind is ruled by the largest of them.

    Args:
        scales: (D,) standard deviation of each feature, at least two features; means are 0.
        count: of samples.
        seed: of the draws.
    """
    sizes = np.asarray(scales, np.float64)
    if sizes.ndim != 1 or len(sizes) < 2:
        raise ValueError(f"scales has shape {sizes.shape}: needs (D,) with two features at least")
    x = sizes * stream(seed, 3).normal(size=(count, len(sizes)))

    def survives(entry: Normalizer) -> Array:
        y = normalize_activations(entry, x, eps=0.0).normal[:, :, 0]
        return np.array([np.corrcoef(x[:, d], y[:, d])[0, 1] ** 2 for d in range(len(sizes))])

    return Swamped(survives(NORMALIZERS["BatchNorm"]), survives(NORMALIZERS["LayerNorm (channels)"]))


class Separability(NamedTuple):
    """Best accuracy of a threshold on the dot product and on the cosine."""

    dot: float
    cosine: float


def norm_only_separability(
    lengths: tuple[float, float] = (1.0, 3.0), count: int = 1000, seed: int = 0
) -> Separability:
    """Separate two classes of vectors whose directions are drawn alike and whose lengths differ.

    The weights point along the mean direction, and the directions scatter around it within ±0.5 radians.

    Args:
        lengths: of the vectors of each class.
        count: of vectors of each class.
        seed: of the draws.
    """
    angle = stream(seed, 4).uniform(-0.5, 0.5, size=2 * count)
    second = np.arange(2 * count) >= count
    x = np.where(second, lengths[1], lengths[0]) * np.stack([np.cos(angle), np.sin(angle)])
    weight = np.array([[1.0], [0.0]])

    def best(scores: Array) -> float:
        order = np.argsort(scores, kind="stable")
        below = np.cumsum(second[order])  # of the second class among the lowest
        above = second.sum() - below
        first_below = np.arange(1, len(order) + 1) - below
        right = (first_below + above) / len(order)
        return float(max(right.max(), (1 - right).max()))

    return Separability(
        best(layer(PLAIN, x.T, weight).y[:, 0, 0]), best(layer(NORMALIZERS["cosine"], x.T, weight).y[:, 0, 0])
    )


class SequenceSteps(NamedTuple):
    """Batches of sequences that end at different steps.

    ``running`` (T,) the mean number of sequences still running at each step, ``batch_error`` (T,) the root mean square
    distance of BatchNorm's mean at that step from the truth in units of σ, ``theory`` (T,) what 1/√n gives, and
    ``empty`` (T,) the share of batches in which no sequence reached the step. NaN where no batch reached it.
    ``layer_change`` is how much LayerNorm's output of one sequence changes when the others are drawn anew.
    """

    running: Array
    batch_error: Array
    theory: Array
    empty: Array
    layer_change: float


def sequence_steps(
    batch: int = 16, longest: int = 20, batches: int = 400, features: int = 4, seed: int = 0
) -> SequenceSteps:
    """Normalize each time step of sequences by the batch: the later the step, the fewer sequences have one.

    Lengths are uniform on 1 … ``longest``, values standard normal.

    Args:
        batch: sequences in a batch.
        longest: T, steps of the longest sequence.
        batches: number of batches drawn.
        features: of each step.
        seed: of the draws.
    """
    rng = stream(seed, 5)
    lengths = rng.integers(1, longest + 1, size=(batches, batch))
    alive = lengths[:, :, None] > np.arange(longest)
    values = rng.normal(size=(batches, batch, longest, features))
    count = alive.sum(axis=1)
    reached = count > 0
    totals = np.sum(values * alive[..., None], axis=1)
    means = totals / np.maximum(count, 1)[..., None]

    def over_batches(per_batch: Array) -> Array:
        """Return the mean over the batches that reached each step."""
        sums = np.sum(np.where(reached, per_batch, 0.0), axis=0)
        mean = np.full(longest, np.nan)
        np.divide(sums, reached.sum(axis=0), out=mean, where=reached.any(axis=0))
        return mean

    entry = NORMALIZERS["LayerNorm (channels)"]
    first = np.moveaxis(values[0], -1, 1)  # (sequences, features, steps)
    other = first.copy()
    other[1:] = rng.normal(size=other[1:].shape)
    before, after = (normalize_activations(entry, z, eps=0.0).y[0] for z in (first, other))
    return SequenceSteps(
        count.mean(axis=0),
        np.sqrt(over_batches(np.mean(means**2, axis=-1))),
        np.sqrt(over_batches(1 / np.maximum(count, 1))),
        1 - reached.mean(axis=0),
        _relative(after, before),
    )
