"""The algebra of batch normalization on one feature: its gradient in three terms, the identity, and folding."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.normalization import RunningStats, normalize_batch

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class GradientTerms:
    """dL/dx of batch normalization in training, for one feature of N samples.

    ``factor`` is γ/√(σ² + ε), ``normal`` (N,) the batch normalized, x̂, and ``upstream`` (N,) dL/dy. The three paths
    of the gradient, each (N,), are ``direct`` = factor·dy, ``through_mean`` = −factor·mean(dy) and ``through_var`` =
    −factor·x̂·mean(dy·x̂); ``dx`` is their sum. ``mean`` and ``var`` are those of the batch, var with divisor N.
    """

    mean: float
    var: float
    eps: float
    factor: float
    normal: Array
    upstream: Array
    direct: Array
    through_mean: Array
    through_var: Array
    dx: Array
    dgamma: float
    dbeta: float

    @property
    def mean_dy(self) -> float:
        """Average of dy: what the path through the batch mean takes out."""
        return self.dbeta / len(self.dx)

    @property
    def slope(self) -> float:
        """Average of dy·x̂: what the path through the batch variance takes out, for each unit of x̂."""
        return self.dgamma / len(self.dx)

    @property
    def least_squares_slope(self) -> float:
        """Slope of the line through dy over x̂ by least squares, ``slope``·(σ² + ε)/σ²; NaN where x̂ is constant."""
        return self.slope * (self.var + self.eps) / self.var if self.var > 0 else float("nan")

    @property
    def sum_dx(self) -> float:
        """Σ dx as it comes out; exactly 0 but for rounding."""
        return float(self.dx.sum())

    @property
    def sum_dx_normal(self) -> float:
        """Σ dx·x̂ as it comes out."""
        return float(np.sum(self.dx * self.normal))

    @property
    def sum_dx_normal_theory(self) -> float:
        """Σ dx·x̂ in closed form: factor·ε/(σ² + ε)·Σ dy·x̂, because Σ x̂² is N·σ²/(σ² + ε) and not N."""
        return self.factor * self.eps / (self.var + self.eps) * self.dgamma


def _feature(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: needs (N,) with at least one sample")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: needs finite numbers")
    return array


def _moments(x: Array, eps: float) -> tuple[float, float, Array]:
    """Return mean, biased variance and x − mean; refuses what would be 0/0."""
    if not 0 <= eps < np.inf:
        raise ValueError(f"eps = {eps}: needs a finite number from 0")
    rest = x - x.mean()
    rounding = rest.mean()  # of the mean: with an offset of 1e8 it counts
    rest = rest - rounding
    var = float(np.mean(rest * rest))
    if var + eps == 0:
        raise ValueError("eps = 0 and all samples equal: x̂ is 0/0")
    return float(x.mean() + rounding), var, rest


def gradient_terms(x: ArrayLike, gamma: float, dy: ArrayLike, eps: float = 1e-5) -> GradientTerms:
    """Split the gradient of training-mode batch normalization at its input into its three paths.

    dL/dx = γ/√(σ² + ε)·(dy − mean(dy) − x̂·mean(dy·x̂)); the sum is ``normalize_batch_backward`` on one feature.

    Args:
        x: (N,) the samples of one feature.
        gamma: scale of the layer.
        dy: (N,) the gradient at the output.
        eps: added to the biased variance, 0 or more.

    Raises:
        ValueError: shapes differ, a value is not finite, or x̂ is 0/0.

    Source: Ioffe and Szegedy 2015, section 3, with the sums taken together.
    """
    batch, upstream = _feature("x", x), _feature("dy", dy)
    if upstream.shape != batch.shape:
        raise ValueError(f"dy has shape {upstream.shape}: needs {batch.shape}, the shape of x")
    mean, var, rest = _moments(batch, eps)
    deviation = np.sqrt(var + eps)
    normal, factor = rest / deviation, float(gamma / deviation)
    dbeta = float(upstream.sum())
    # Σ x̂ = 0, so dy may lose its mean first: a constant dy then gives exactly 0 and no rounding error.
    dgamma = float(np.sum((upstream - upstream.mean()) * normal))
    size = len(batch)
    direct = factor * upstream
    through_mean = np.full(size, -factor * dbeta / size)
    through_var = -factor * normal * dgamma / size
    return GradientTerms(
        mean=mean,
        var=var,
        eps=eps,
        factor=factor,
        normal=normal,
        upstream=upstream,
        direct=direct,
        through_mean=through_mean,
        through_var=through_var,
        # Differences of like numbers first, or the sum over the batch keeps rounding errors times γ/σ.
        dx=factor * (upstream - dbeta / size - normal * dgamma / size),
        dgamma=dgamma,
        dbeta=dbeta,
    )


def finite_difference(
    x: ArrayLike, gamma: float, dy: ArrayLike, eps: float = 1e-5, *, beta: float = 0.0
) -> Array:
    """Measure dL/dx (N,) of L = Σ dy·y by central differences of the forward pass.

    Sample i is moved by ±h and ±2h with the rest of the batch held, h = 7e-4·√(σ² + ε); dL/dx_i is
    (8·(L(h) − L(−h)) − (L(2h) − L(−2h)))/12h. For samples near 1 its own error and that of rounding are then both
    below 1e-10 of γ/√(σ² + ε). Arguments as in ``gradient_terms``.

    Source: Fornberg 1988, table 1, order 4.
    """
    batch, upstream = _feature("x", x), _feature("dy", dy)
    if upstream.shape != batch.shape:
        raise ValueError(f"dy has shape {upstream.shape}: needs {batch.shape}, the shape of x")
    _, var, _ = _moments(batch, eps)
    size = len(batch)
    step = np.finfo(np.float64).eps ** 0.2 * np.sqrt(var + eps)
    # Each moved batch is a feature of its own: feature i of a block has sample i moved.
    moved = np.concatenate([batch[:, None] + k * step * np.eye(size) for k in (-2, -1, 1, 2)], axis=1)
    y, _ = normalize_batch(moved, gamma, beta, RunningStats.start(4 * size), eps=eps)
    loss = (upstream @ y).reshape(4, size)
    return np.asarray((8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * step))


class GradientScale(NamedTuple):
    """Norm of dL/dx when the batch is multiplied by ``scales`` and dy is held.

    ``spread`` is the standard deviation of the scaled batch, ``norm`` what ``gradient_terms`` gives, ``theory`` the
    closed form, each (S,).
    """

    scales: Array
    spread: Array
    norm: Array
    theory: Array


def gradient_scale(x: ArrayLike, gamma: float, dy: ArrayLike, eps: float, scales: ArrayLike) -> GradientScale:
    """Multiply a batch by each of ``scales`` (S,), above 0, and return how large dL/dx then is.

    Closed form: with dy split into its mean, the part b·u along u = (x − mean)/σ, b = mean(dy·u), and a rest r,

    ‖dx‖² = γ²/(c²σ² + ε)·(‖r‖² + N·b²·(ε/(c²σ² + ε))²).

    So dx falls as 1/(c·σ) where c·σ is well above √ε, and stops growing below it.
    """
    batch, upstream, factors = _feature("x", x), _feature("dy", dy), _feature("scales", scales)
    if np.any(factors <= 0):
        raise ValueError(f"scales: {factors.min()} is among them, needs numbers above 0")
    _, var, rest = _moments(batch, eps)
    norm = np.array([np.linalg.norm(gradient_terms(c * batch, gamma, upstream, eps).dx) for c in factors])
    along = rest / np.sqrt(var) if var > 0 else np.zeros_like(rest)
    varied = upstream - upstream.mean()
    b = float(np.mean(varied * along))
    rest_norm = float(np.sum((varied - b * along) ** 2))
    total = factors**2 * var + eps
    theory = abs(gamma) * np.sqrt((rest_norm + len(batch) * b * b * (eps / total) ** 2) / total)
    return GradientScale(factors, factors * np.sqrt(var), norm, theory)


def identity_parameters(mean: ArrayLike, var: ArrayLike, eps: float = 1e-5) -> tuple[Array, Array]:
    """Return the γ and β, shaped like ``mean`` and ``var``, that make batch normalization with them the identity.

    γ = √(σ² + ε), a standard deviation and no variance, and β = μ.

    Source: Ioffe and Szegedy 2015, section 3.
    """
    return np.sqrt(np.asarray(var, np.float64) + eps), np.array(mean, np.float64)


def identity_error(x: ArrayLike, gamma: float, beta: float, eps: float = 1e-5) -> float:
    """Return the rms of y − x over a batch x (N,) in training; 0 where the layer is the identity."""
    batch = _feature("x", x)[:, None]
    y, _ = normalize_batch(batch, gamma, beta, RunningStats.start(1), eps=eps)
    return float(np.sqrt(np.mean((y - batch) ** 2)))


def identity_error_theory(
    mean: float, var: float, gamma: ArrayLike, beta: ArrayLike, eps: float = 1e-5
) -> Array:
    """Closed form of ``identity_error`` from the batch's mean and biased variance; γ and β broadcast.

    y − x = (γ − s)·x̂ + β − μ with s = √(σ² + ε), and x̂ has mean 0 and mean square σ²/s²; so the square of the rms
    is (γ − s)²·σ²/s² + (β − μ)².
    """
    deviation = np.sqrt(var + eps)
    stretch = (np.asarray(gamma, np.float64) - deviation) * np.sqrt(var) / deviation
    return np.asarray(np.hypot(stretch, np.asarray(beta, np.float64) - mean))


def fold(
    weight: ArrayLike,
    bias: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Fold batch normalization in evaluation into the linear layer y = xW + b before it.

    W′ = W·diag(γ/√(σ̂² + ε)) and b′ = (b − μ̂)·γ/√(σ̂² + ε) + β, one factor for each unit, that is each column.

    Args:
        weight: (fan_in, units).
        bias: (units,).
        gamma, beta, mean, var: (units,) or a single number; mean and var the running statistics.
        eps: added to the variance.

    Returns:
        weight (fan_in, units) and bias (units,) of one linear layer that does the work of both.

    Raises:
        ValueError: a shape does not fit or a variance is negative.
    """
    w, b = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    if w.ndim != 2 or b.shape != w.shape[1:]:
        raise ValueError(f"weight {w.shape} and bias {b.shape}: need (fan_in, units) and (units,)")
    stored = np.asarray(var, np.float64)
    if np.any(stored < 0):
        raise ValueError(f"var = {stored.min()}: needs 0 or more")
    for name, value in (("gamma", gamma), ("beta", beta), ("mean", mean), ("var", var)):
        if np.shape(value) not in ((), b.shape):
            raise ValueError(f"{name} has shape {np.shape(value)}: needs {b.shape} or a single number")
    factor = np.asarray(gamma, np.float64) / np.sqrt(stored + eps)
    return w * factor, (b - np.asarray(mean)) * factor + np.asarray(beta)
