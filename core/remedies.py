"""Remedies for signals that fade or grow: normalization, residual connections and clipping, through many layers.

Convention: h^l = h^{l−1}·r + α·a^{l−1}·W^l for l = 1 … L, with r = 1 for a residual connection, else r = 0 and α = 1.
The branch sees a = φ(h), or φ(N(h)) with a normalization before φ, or N(φ(h)) with one after; a normalization of the
sum makes h^l = N(h^{l−1} + α·φ(h^{l−1})·W^l). No layer has a bias, and N has γ = 1, β = 0.
The input h⁰, the gradient δ^L at the top and the weights are those of ``core.propagation``, stream by stream, so that
without a remedy the result is the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.initializers import Initializer
from core.propagation import root_mean_square
from core.quadrature import gaussian_nodes
from core.streams import stream

Array = NDArray[np.floating[Any]]
Place = Literal["before", "after", "sum"]

EPS = 1e-5  # added to every variance, as in PyTorch

_SMALLEST_BATCH = 6  # that BatchNorm's theory takes: below, the gradient's second moment hardly exists
_ENTRIES_AT_ONCE = 2**21  # weights in memory together, unless one network alone has more


@dataclass(frozen=True)
class Norm:
    """A normalization to mean 0 and variance 1, over one axis of (..., batch, units): BatchNorm −2, LayerNorm −1."""

    name: str
    axis: int
    formula: str  # LaTeX of the operator


BATCH_NORM = Norm("BatchNorm", -2, r"\mathrm{BN}")
LAYER_NORM = Norm("LayerNorm", -1, r"\mathrm{LN}")


@dataclass(frozen=True)
class Remedy:
    """One way to build a layer, and where its gradient is clipped."""

    name: str
    formula: str  # LaTeX of h^l
    source: str
    norm: Norm | None = None
    place: Place = "before"  # of the norm: before φ, after φ, or around the sum
    residual: bool = False
    clips: bool = False
    aliases: tuple[str, ...] = ()

    def normalizes(self, place: Place) -> Norm | None:
        """Return the normalization at this place, None if there is none."""
        return self.norm if self.place == place else None


_IOFFE = "Ioffe, Szegedy 2015, Batch normalization: accelerating deep network training"
_BA = "Ba, Kiros, Hinton 2016, Layer normalization"
_HE = "He, Zhang, Ren, Sun 2016, Identity mappings in deep residual networks"
_XIONG = "Xiong et al. 2020, On layer normalization in the transformer architecture"

_ENTRIES = (
    Remedy("none", r"\varphi(h^{l-1})\,W^l", "a plain stack of layers"),
    Remedy(
        "BatchNorm before", r"\varphi(\mathrm{BN}(h^{l-1}))\,W^l", _IOFFE, norm=BATCH_NORM,
    ),
    Remedy(
        "BatchNorm after", r"\mathrm{BN}(\varphi(h^{l-1}))\,W^l", _IOFFE, norm=BATCH_NORM, place="after",
    ),
    Remedy("LayerNorm before", r"\varphi(\mathrm{LN}(h^{l-1}))\,W^l", _BA, norm=LAYER_NORM),
    Remedy(
        "LayerNorm after", r"\mathrm{LN}(\varphi(h^{l-1}))\,W^l", _BA, norm=LAYER_NORM, place="after",
    ),
    Remedy("residual", r"h^{l-1} + \alpha\,\varphi(h^{l-1})\,W^l", _HE, residual=True),
    Remedy(
        "residual + BatchNorm", r"h^{l-1} + \alpha\,\varphi(\mathrm{BN}(h^{l-1}))\,W^l", _HE, norm=BATCH_NORM,
        residual=True,
    ),
    Remedy(
        "residual + LayerNorm", r"h^{l-1} + \alpha\,\varphi(\mathrm{LN}(h^{l-1}))\,W^l", _XIONG, norm=LAYER_NORM,
        residual=True, aliases=("pre-norm",),
    ),
    Remedy(
        "LayerNorm of the sum", r"\mathrm{LN}(h^{l-1} + \alpha\,\varphi(h^{l-1})\,W^l)", _XIONG, norm=LAYER_NORM,
        place="sum", residual=True, aliases=("post-norm",),
    ),
    Remedy(
        "clipping", r"\varphi(h^{l-1})\,W^l", "Pascanu, Mikolov, Bengio 2013, On the difficulty of training RNNs",
        clips=True,
    ),
)  # fmt: skip

REMEDIES: dict[str, Remedy] = {entry.name: entry for entry in _ENTRIES}
"""Remedies by name. Clipping is by the global norm of all weights' gradients, as ``clip_grad_norm_`` of PyTorch (which
adds 1e-6 to the norm)."""


# One pass


class RemediedPass(NamedTuple):
    """One forward and one backward pass through L layers; each entry is an array (..., batch, width)."""

    signals: list[Array]  # h⁰ … h^L
    inputs: list[Array]  # a⁰ … a^{L−1}, what the weights see
    gradients: list[Array]  # dL/dh⁰ … dL/dh^L
    sums: list[Array]  # dL/d(h^{l−1}·r + α·a·W) for l = 1 … L, from which α·aᵀ·(·) is dL/dW^l


def _normalize(x: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """Return (x − mean)/√(var + eps) over an axis, and 1/√(var + eps)."""
    centered = x - x.mean(axis=axis, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(centered * centered, axis=axis, keepdims=True) + eps)
    centered *= inverse
    return centered, inverse


def _normalize_backward(dy: Array, y: Array, inverse: Array, axis: int) -> Array:
    """Return the gradient at x: the direct path, less what goes through the mean and through the variance."""
    dx: Array = dy - dy.mean(axis=axis, keepdims=True)
    dx -= y * np.mean(dy * y, axis=axis, keepdims=True)
    dx *= inverse
    return dx


def remedied_pass(
    activation: Activation,
    x: Array,
    weights: Sequence[Array],
    top: Array,
    remedy: Remedy,
    *,
    branch_scale: float = 1.0,
    eps: float = EPS,
    knobs: Mapping[str, float] | None = None,
) -> RemediedPass:
    """Send x up through the layers of a remedy and the gradient ``top`` down again.

    Statistics are those of training: of the batch itself, or of the sample, with the gradient through both of them.

    Args:
        activation: φ.
        x: (..., batch, width), the input h⁰.
        weights: L matrices (..., width, width).
        top: (..., batch, width), the gradient dL/dh^L.
        remedy: an entry of ``REMEDIES``; clipping leaves this pass alone.
        branch_scale: α, of residual connections only.
        eps: added to every variance.
        knobs: parameters of φ.
    """
    knobs = knobs or {}
    alpha = branch_scale if remedy.residual else 1.0
    before, after, around = remedy.normalizes("before"), remedy.normalizes("after"), remedy.normalizes("sum")
    signals, inputs = [x], []
    # What the way back needs of each layer: the argument of φ, and (output, 1/sd) of the normalizations.
    arguments: list[Array] = []
    kept: list[tuple[Array, Array]] = []
    for weight in weights:
        h = u = signals[-1]
        if before:
            u, inverse = _normalize(h, before.axis, eps)
            kept.append((u, inverse))
        a: Array = activation.f(u, **knobs)
        if after:
            a, inverse = _normalize(a, after.axis, eps)
            kept.append((a, inverse))
        total: Array = a @ weight
        if remedy.residual:
            total *= alpha
            total += h
        if around:
            total, inverse = _normalize(total, around.axis, eps)
            kept.append((total, inverse))
        arguments.append(u)
        inputs.append(a)
        signals.append(total)
    gradients, sums = [top], []
    for l in reversed(range(len(weights))):
        delta: Array = gradients[-1]
        if around:
            delta = _normalize_backward(delta, *kept[l], around.axis)
        sums.append(delta)
        back: Array = delta @ weights[l].mT
        if remedy.residual:
            back *= alpha
        if after:
            back = _normalize_backward(back, *kept[l], after.axis)
        back *= activation.df(arguments[l], **knobs)
        if before:
            back = _normalize_backward(back, *kept[l], before.axis)
        if remedy.residual:
            back += delta
        gradients.append(back)
    return RemediedPass(signals, inputs, gradients[::-1], sums[::-1])


# The experiment


@dataclass(frozen=True)
class Remedied:
    """What was measured, one row per remedy and network (seed); computed in float64.

    An infinity or NaN is where float64 itself ended.
    """

    signal_rms: Array  # (remedies, seeds, depth+1), of h^l for l = 0 … depth, over batch and units
    gradient_rms: Array  # (remedies, seeds, depth+1), of dL/dh^l, after clipping where a remedy clips
    gradient_norm: (
        Array  # (remedies, seeds), of all weights' gradients, before clipping; NaN where nothing clips
    )
    clip_factor: Array  # (remedies, seeds), what clipping multiplies the gradient by; 1 where nothing clips


def propagate_remedied(
    activation: Activation,
    initializer: Initializer,
    remedies: Sequence[Remedy],
    *,
    depth: int,
    width: int,
    batch: int,
    seeds: int,
    seed: int,
    branch_scale: float = 1.0,
    clip: float = math.inf,
    knobs: Mapping[str, float] | None = None,
    first: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> Remedied:
    """Measure signal and gradient by layer in ``seeds`` random networks of equal width for each remedy.

    All remedies get the same inputs, weights and top gradients. Every layer of every network has a stream of its own,
    so more depth or more seeds extends the result and redraws nothing.

    Args:
        activation: φ.
        initializer: draws every W^l; not one that depends on the data.
        remedies: entries of ``REMEDIES``, in the order of the result's first axis.
        depth: layers L, 1 or more.
        width: units in every layer, 1 or more.
        batch: input rows, 1 or more; with a single one BatchNorm passes nothing on but 0.
        seeds: networks, 1 or more.
        seed: non-negative integer from which all networks are drawn.
        branch_scale: α of residual connections, finite and 0 or more.
        clip: the largest global norm that clipping leaves alone, above 0.
        knobs: parameters of φ.
        first: index of the first network, 0 or more.
        report: is told how many of all passes are done.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(initializer, branch_scale, clip, depth=depth, width=width, batch=batch, seeds=seeds)
    for name, value in (("seed", seed), ("first", first)):
        if value < 0:
            raise ValueError(f"{name} = {value}: needs a whole number from 0")
    shape = (len(remedies), seeds)
    signal, gradient = np.empty((*shape, depth + 1)), np.empty((*shape, depth + 1))
    norms, factors = np.full(shape, math.nan), np.ones(shape)
    at_once = max(1, _ENTRIES_AT_ONCE // (depth * width * max(width, 2 * batch)))
    done, passes = 0, len(remedies) * math.ceil(seeds / at_once)
    for start in range(0, seeds, at_once):
        part = slice(start, min(start + at_once, seeds))
        networks = range(first + part.start, first + part.stop)
        x, top, weights = _draws(initializer, networks, depth, width, batch, seed)
        for k, remedy in enumerate(remedies):
            # Overflow to infinity and the NaN that follows are results here.
            with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
                run = remedied_pass(
                    activation, x, weights, top, remedy, branch_scale=branch_scale, knobs=knobs
                )
                signal[k, part], gradient[k, part] = _by_layer(run.signals), _by_layer(run.gradients)
                if remedy.clips:
                    alpha = branch_scale if remedy.residual else 1.0
                    norms[k, part] = alpha * initializer.multiplier(width, width) * _global_norm(run)
                    factors[k, part] = _clip_factor(norms[k, part], clip)
                    gradient[k, part] *= factors[k, part, None]
            done += 1
            if report is not None:
                report(done, passes)
    return Remedied(signal, gradient, norms, factors)


def _draws(
    initializer: Initializer, networks: range, depth: int, width: int, batch: int, seed: int
) -> tuple[Array, Array, list[Array]]:
    """Draw inputs and top gradients (networks, batch, width) and L weights (networks, width, width)."""

    def normal(*place: int) -> Array:
        return np.stack([stream(seed, n, *place).standard_normal((batch, width)) for n in networks])

    weights: list[Array] = [
        np.stack([initializer.draw(width, width, stream(seed, n, l)) for n in networks])
        for l in range(1, depth + 1)
    ]
    return normal(0), normal(0, 0), weights


def _clip_factor(norm: ArrayLike, clip: float) -> Array:
    """Return min(1, clip/norm), also for norms of 0, infinity (0 then) and NaN."""
    norm = np.asarray(norm)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.where(norm <= clip, 1.0, clip / norm)


def _by_layer(rows: Sequence[Array]) -> Array:
    """Return the rms by network and layer: L+1 arrays (networks, batch, width) → (networks, L+1)."""
    return np.stack([root_mean_square(r.reshape(len(r), -1)) for r in rows], axis=-1)


def _global_norm(run: RemediedPass) -> Array:
    """Return the norm of all aᵀ·δ together, (networks,), safe where squares leave float64."""
    by_layer = []
    for a, delta in zip(run.inputs, run.sums, strict=True):
        gradient = a.mT @ delta
        by_layer.append(root_mean_square(gradient.reshape(len(gradient), -1)) * math.sqrt(gradient[0].size))
    return root_mean_square(np.stack(by_layer, axis=-1)) * math.sqrt(len(by_layer))


def _check(initializer: Initializer, branch_scale: float, clip: float, **sizes: int) -> None:
    if initializer.data_dependent:
        raise ValueError(f"{initializer.name}: needs a scheme that does not look at the data")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} = {size}: needs a whole number from 1")
    if not 0 <= branch_scale < math.inf:
        raise ValueError(f"branch_scale = {branch_scale}: needs a finite number from 0")
    if not clip > 0:
        raise ValueError(f"clip = {clip}: needs a number above 0")


# Theory


@dataclass(frozen=True)
class RemediedTheory:
    """The wide-layer limit of ``Remedied``: roots of second moments, pooled over units, batch and networks.

    It is exact for infinite width, with one exception: BatchNorm after φ is taken for a large batch. A row is NaN for
    weights that are not independent with mean 0, and for BatchNorm before φ on a batch below 6, where the gradient's
    second moment hardly exists.
    """

    signal_rms: Array  # (remedies, depth+1), 1 at l = 0
    gradient_rms: Array  # (remedies, depth+1), after clipping; 1 at l = depth where nothing is clipped
    gradient_norm: Array  # (remedies,), of all weights' gradients, before clipping


class _Phi(NamedTuple):
    """φ with its settings, as a cache can look it up."""

    f: Callable[..., Array]
    df: Callable[..., Array]
    marks: tuple[float, ...]  # kinks and seams
    knobs: tuple[tuple[str, float], ...]


def _phi(activation: Activation, knobs: Mapping[str, float] | None) -> _Phi:
    marks = activation.kinks + activation.seams
    return _Phi(activation.f, activation.df, marks, tuple(sorted((knobs or {}).items())))


class _Roots(NamedTuple):
    """Root mean squares over a normal variable."""

    value: float  # √E φ²
    deviation: float  # √Var φ
    slope: float  # √E φ'²


class _Step(NamedTuple):
    """What a branch does in a layer, with weights of variance 1/n: roots of second moments and of factors.

    The batch's gradients have a covariance a²·G + b²·J over the batch, with J = 11ᵀ/batch and G = I − J, and those at
    the branch's input are (aa²·a² + ab²·b²)·G + bb²·b²·J.
    """

    second: float  # of what the weights see
    spread: float  # the root of its covariance's eigenvalue on G; NaN where nobody asks
    aa: float
    ab: float
    bb: float


@lru_cache(maxsize=1024)
def _roots(phi: _Phi, scale: float) -> _Roots:
    """Return the roots for φ(scale·z), z ~ N(0, 1), without leaving float64; NaN beyond it."""
    if not scale < math.inf:
        return _Roots(math.nan, math.nan, math.nan)
    x, w = gaussian_nodes(scale, phi.marks)
    knobs = dict(phi.knobs)
    y, slope = phi.f(x, **knobs), phi.df(x, **knobs)
    return _Roots(_root(y, w), _root(y - np.vecdot(y, w), w), _root(slope, w))


def _root(y: Array, w: Array) -> float:
    """Return √(Σ w·y²), also where a y² leaves float64."""
    size = float(np.max(np.abs(y)))
    if not 0 < size < math.inf:
        return size
    y = y / size
    return size * math.sqrt(float(np.vecdot(y * y, w)))


def _sphere_density(t: Array, dimension: int) -> Array:
    """Return the density of one coordinate of a uniform point on the unit sphere in so many dimensions, 4 or more."""
    log_norm = math.lgamma(dimension / 2) - math.lgamma((dimension - 1) / 2) - math.log(math.pi) / 2
    density: Array = math.exp(log_norm) * np.maximum(1 - t * t, 0.0) ** ((dimension - 3) / 2)
    return density


_END = 9.0  # a value of a normalized batch beyond it has probability 2e-19
_FINE = 2.0 ** np.arange(-4, 0)  # borders near 0, where activations have their features
_BORDERS = np.concatenate([np.arange(-_END, _END + 0.5), _FINE, -_FINE])
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def _between(low: Array, high: Array, cuts: Sequence[float]) -> tuple[Array, Array]:
    """Return Gauss–Legendre nodes and weights on panels from low to high, both (...), → (..., points)."""
    borders = np.clip(np.append(_BORDERS, cuts), low[..., None], high[..., None])
    borders.sort(axis=-1)
    half = np.diff(borders)[..., None] / 2
    nodes = borders[..., :-1, None] + half * (1 + _NODES)
    return nodes.reshape(*low.shape, -1), (half * _WEIGHTS).reshape(*low.shape, -1)


@lru_cache(maxsize=256)
def _normalized_batch(phi: _Phi, batch: int, square: float) -> _Step:
    """Return what φ(BN(h)) does for h normal and exchangeable over the batch, with eigenvalue 1 on G.

    Then BN(h) = √square·u, and u is uniform on the sphere of radius √batch in the batch − 1 dimensions of G. All that
    is needed are means over one and over two of its entries. ``square`` is var/(var + eps). The way back is that of
    the exact Jacobian (G − u·uᵀ/batch)/sd, whose sd does not depend on u and has E 1/var = batch/(batch − 3).
    """
    n, scale, knobs = batch, math.sqrt(square), dict(phi.knobs)
    cuts = [k / scale for k in phi.marks] if scale else []
    reach = np.array(min(_END, math.sqrt(n - 1)))
    first, w = _between(-reach, reach, cuts)
    w *= _sphere_density(first / math.sqrt(n - 1), n - 1) / math.sqrt(n - 1)
    # Given one entry the others are uniform again, on a sphere of one dimension less.
    radius = np.sqrt(n * np.maximum(1 - first * first / (n - 1), 1e-24) * (n - 2) / (n - 1))
    center = -first / (n - 1)
    other, pair = _between(np.maximum(center - radius, -_END), np.minimum(center + radius, _END), cuts)
    pair *= w[:, None] / radius[:, None]
    pair *= _sphere_density((other - center[:, None]) / radius[:, None], n - 2)

    def alone_and_paired(of_first: Array, of_other: Array) -> tuple[float, float]:
        return float(w @ (of_first * of_first)), float(of_first @ np.vecdot(pair, of_other))

    f, df = phi.f(scale * first, **knobs), phi.df(scale * first, **knobs)
    df_other = phi.df(scale * other, **knobs)
    second, product = alone_and_paired(f, phi.f(scale * other, **knobs))
    slope, slopes = alone_and_paired(df, df_other)
    tilt, tilts = alone_and_paired(first * df, other * df_other)
    # Squared, the Jacobian is G − through·u·uᵀ/n, over var. Trace of it times D², and times D·J·D, D = diag φ'.
    through = 2 * square - square * square
    whole = (n - 1) * slope - through * tilt
    mean_part = slope - (slope + (n - 1) * slopes) / n - through * (tilt + (n - 1) * tilts) / n
    return _Step(
        second=math.sqrt(second),
        spread=math.sqrt(max(second - product, 0.0)),
        aa=math.sqrt(max(whole - mean_part, 0.0) / (n - 1)),
        ab=math.sqrt(max(mean_part, 0.0) / (n - 1)),
        bb=0.0,
    )


def _step(phi: _Phi, remedy: Remedy, rms: float, spread: float, batch: int, eps: float) -> _Step:
    """Return what a branch does to a signal of this rms, and of this spread over the batch."""
    if remedy.normalizes("before") is BATCH_NORM:
        if batch < _SMALLEST_BATCH or not spread < math.inf:
            return _Step(*[math.nan] * 5)
        # Four digits of what eps takes away, so that a stack does not need a new table for every layer.
        square = round((spread / math.hypot(spread, math.sqrt(eps))) ** 2, 4)
        table = _normalized_batch(phi, batch, square)
        sd = math.hypot(spread * math.sqrt((batch - 3) / batch), math.sqrt(eps))
        return table._replace(aa=table.aa / sd, ab=table.ab / sd)
    sd = 1.0
    if remedy.normalizes("before"):
        sd = math.hypot(rms, math.sqrt(eps))
        rms /= sd
    roots = _roots(phi, rms)
    second = roots.value
    if remedy.normalizes("after"):
        sd = math.hypot(roots.deviation, math.sqrt(eps))
        second = roots.deviation / sd
    slope = roots.slope / sd
    return _Step(second, math.nan, slope, 0.0, slope)


def remedied_theory(
    activation: Activation,
    initializer: Initializer,
    remedies: Sequence[Remedy],
    *,
    depth: int,
    width: int,
    batch: int,
    branch_scale: float = 1.0,
    clip: float = math.inf,
    eps: float = EPS,
    knobs: Mapping[str, float] | None = None,
) -> RemediedTheory:
    """Return what wide networks do on average under each remedy, layer by layer.

    With σ_w² = width·std², independent weights and z ~ N(0, 1), a layer has the forward and the backward step

    - none: q ↦ σ_w²·E φ(√q z)², backward σ_w²·E φ'(√q z)²;
    - LayerNorm before φ: q ↦ σ_w²·E φ(z)², backward σ_w²·E φ'(z)²/q;
    - either norm after φ: q ↦ σ_w², backward σ_w²·E φ'(√q z)²/Var φ(√q z);
    - BatchNorm before φ: as LayerNorm, but divided by the variance over the batch, which is σ_w²·Var φ(z) from the
      second layer on: for a large batch E φ'²/Var φ a layer, whatever σ_w (π/(π−1) for ReLU). Here for the batch
      at hand, with the gradient's covariance over the batch;
    - a residual connection adds 1 to both, and α² before σ_w²; the signal and the branch are uncorrelated;
    - a norm of the sum divides both by the new q.

    Clipping multiplies every layer's gradient by the same min(1, clip/norm); the norm's square is the sum over layers
    of width²·batch·α²·E a²·E δ².

    Sources: Schoenholz et al. 2017, "Deep information propagation"; Yang et al. 2019, "A mean field theory of batch
    normalization"; Yang, Schoenholz 2017, "Mean field residual networks".

    Args: as for ``propagate_remedied``; ``eps`` as for ``remedied_pass``.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(initializer, branch_scale, clip, depth=depth, width=width, batch=batch)
    phi = _phi(activation, knobs)
    known = initializer.mean == 0 and not initializer.elementwise
    sigma_w = math.sqrt(width) * initializer.std(width, width) if known else math.nan
    shape = (len(remedies), depth + 1)
    signal, gradient, norms = np.empty(shape), np.empty(shape), np.empty(len(remedies))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for k, remedy in enumerate(remedies):
            skip, alpha = (1.0, branch_scale) if remedy.residual else (0.0, 1.0)
            rms = spread = 1.0 if known else math.nan
            signal[k, 0] = rms
            steps: list[_Step] = []
            shrink: list[float] = []
            for l in range(depth):
                steps.append(_step(phi, remedy, rms, spread, batch, eps))
                rms = math.hypot(skip * rms, alpha * sigma_w * steps[-1].second)
                spread = math.hypot(skip * spread, alpha * sigma_w * steps[-1].spread)
                sd = math.hypot(rms, math.sqrt(eps)) if remedy.normalizes("sum") else 1.0
                rms /= sd
                shrink.append(1 / sd)
                signal[k, l + 1] = rms
            gradient[k], norms[k] = _backward(steps, shrink, skip, alpha * sigma_w, batch)
            norms[k] *= alpha * width * initializer.multiplier(width, width)
            if remedy.clips:
                gradient[k] *= _clip_factor(norms[k], clip)
    return RemediedTheory(signal, gradient, norms)


def _backward(
    steps: Sequence[_Step], shrink: Sequence[float], skip: float, weight: float, batch: int
) -> tuple[Array, float]:
    """Return the gradient's rms by layer, (L+1,), and √Σ E a²·Σ_batch E δ² over layers."""
    a = b = math.nan if math.isnan(weight) else 1.0
    in_plane, along = math.sqrt((batch - 1) / batch), math.sqrt(1 / batch)
    rms, norm = [math.hypot(in_plane * a, along * b)], 0.0
    for step, factor in zip(reversed(steps), reversed(shrink), strict=True):
        a, b = factor * a, factor * b
        seen = math.hypot(in_plane * a, along * b)
        norm = math.hypot(norm, step.second * seen * math.sqrt(batch))
        a, b = (
            math.hypot(skip * a, weight * step.aa * a, weight * step.ab * b),
            math.hypot(skip * b, weight * step.bb * b),
        )
        rms.append(math.hypot(in_plane * a, along * b))
    return np.array(rms[::-1]), norm


def backward_factor(
    activation: Activation,
    remedy: Remedy,
    *,
    sigma_w: float,
    batch: int | None = None,
    knobs: Mapping[str, float] | None = None,
) -> float:
    """Return what one layer deep in a wide stack without residual connection multiplies E δ² by; eps = 0.

    It is NaN where φ is constant.

    Args:
        activation: φ.
        remedy: one with a normalization and no residual connection.
        sigma_w: √fan_in times the standard deviation of a weight, above 0.
        batch: rows that BatchNorm before φ normalizes, 6 or more; None is the limit of many.
        knobs: parameters of φ.

    Raises:
        ValueError: the remedy has no such factor, the same in every layer, or an argument is out of range.
    """
    if remedy.norm is None or remedy.residual:
        raise ValueError(f"{remedy.name}: needs a normalization without residual connection")
    if not 0 < sigma_w < math.inf:
        raise ValueError(f"sigma_w = {sigma_w}: needs a finite number above 0")
    phi = _phi(activation, knobs)
    if remedy.normalizes("after"):
        roots = _roots(phi, sigma_w)
        return _squared_ratio(sigma_w * roots.slope, roots.deviation)
    if remedy.norm is LAYER_NORM:
        roots = _roots(phi, 1.0)
        return _squared_ratio(roots.slope, roots.value)
    if batch is None:
        roots = _roots(phi, 1.0)
        return _squared_ratio(roots.slope, roots.deviation)
    if batch < _SMALLEST_BATCH:
        raise ValueError(f"batch = {batch}: needs a whole number from {_SMALLEST_BATCH}")
    table = _normalized_batch(phi, batch, 1.0)
    return _squared_ratio(table.aa, table.spread) * batch / (batch - 3)


def _squared_ratio(a: float, b: float) -> float:
    ratio = a / b if b else math.nan
    return ratio * ratio
