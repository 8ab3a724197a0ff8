"""What an activation does to a normal signal and to its gradient: moments, flat shares, chains of slopes.

The signal is z ~ N(μ, σ²). Everything is computed twice, by quadrature and from a sample, to be drawn side by
side. Slopes are those of the registry; where φ itself jumps (the step), the jump is no slope.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.activations import INF, Activation
from core.knobs import number
from core.propagation import FLOAT32_TINY
from core.properties import Flat, Function, bind, borders, crossings, flat_regions
from core.special import SQRT_2PI, Array, normal_cdf
from core.streams import stream


@dataclass(frozen=True)
class Moments:
    """Moments of φ(z) and φ′(z) for z ~ N(μ, σ²)."""

    mean: float  # E φ
    second: float  # E φ²
    variance: float  # Var φ
    slope_mean: float  # E φ′
    slope_second: float  # E φ′²
    share_saturated: float  # P(|φ′| < 1 % of its largest over the line); see ``flat_regions``
    share_zero: float  # P(φ′ = 0)
    gain_forward: float  # 1/√E φ², ∞ if that is 0
    gain_backward: float  # 1/√E φ′², ∞ if that is 0


@dataclass(frozen=True)
class SampleMoments(Moments):
    """Moments estimated from n draws, and the standard error of each."""

    error: Moments
    n: int


def _check(mu: float, sigma: float) -> None:
    if not -INF < mu < INF:
        raise ValueError(f"mu = {number(mu)}: needs a finite number")
    if not 0 <= sigma < INF:
        raise ValueError(f"sigma = {number(sigma)}: needs a finite number from 0")


# Quadrature: Gauss–Legendre panels in u = (z − μ)/σ, as far out as the normal density stays above underflow.

_END = 36.0
_BULK = 9.0  # |u| beyond has probability 2e-19
_RESOLVED = 300.0  # the widest σ at which an oscillating φ is followed
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def _integration_matrix() -> Array:
    """Matrix from values at the nodes to the integrals from −1 to each node of their interpolant."""
    legendre = np.polynomial.legendre
    degree = np.arange(len(_NODES))
    to_coefficients = (degree + 0.5)[:, None] * legendre.legvander(_NODES, len(_NODES) - 1).T * _WEIGHTS
    return np.asarray(legendre.legval(_NODES, legendre.legint(to_coefficients, lbnd=-1)))


_UP_TO = _integration_matrix()


def _standardized(z: Array, mu: float, sigma: float) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray((z - mu) / sigma)


def _panels(mu: float, sigma: float, cuts: Array) -> Array:
    """Return the borders of the panels in u, increasing; u = 0, z = 0 and all cuts in z are among them.

    Around z = 0, where activations have their features, panels start 0.001 wide and double; they stay below
    2 in z and ½ in u. Beyond σ = 300 the 2 is given up.
    """
    step = min(0.5, 2 / sigma) if sigma <= _RESOLVED else 0.5
    steps = math.ceil(_BULK / step)
    bulk = _BULK / steps * np.arange(-steps, steps + 1)
    tail = np.arange(_BULK + 0.5, _END + 0.25, 0.5)
    fine = 2.0 ** np.arange(-10, math.ceil(math.log2(max(sigma, 2))) + 2)
    marks = _standardized(np.concatenate([cuts, [0.0], fine, -fine]), mu, sigma)
    return np.unique(np.concatenate([-tail, bulk, tail, np.clip(marks, -_END, _END)]))


def _nodes(panels: Array) -> tuple[Array, Array]:
    """Return points u and weights, the normal density included: both (panels, 12)."""
    half = np.diff(panels)[:, None] / 2
    u = panels[:-1, None] + half * (1 + _NODES)
    return u, half * _WEIGHTS * np.exp(-u * u / 2) / SQRT_2PI


_ONE_POINT: tuple[Array, Array] = np.zeros((1, 1)), np.ones((1, 1))  # points and weights at σ = 0


def _graded_nodes(panels: Array, singular: Array) -> tuple[Array, Array]:
    """Return points u and weights for a function with logarithms at the borders that are singular.

    On a panel that ends at one, u − border = width·s⁶: in s the logarithm is harmless.
    """
    panels = np.unique(np.concatenate([panels, (singular[1:] + singular[:-1]) / 2]))
    s, weights = np.polynomial.legendre.leggauss(24)
    s, weights = (1 + s) / 2, weights / 2
    from_left, from_right = np.isin(panels[:-1], singular)[:, None], np.isin(panels[1:], singular)[:, None]
    graded, width = from_left | from_right, np.diff(panels)[:, None]
    steps = width * np.where(graded, s**6, s)
    u = np.where(from_right, panels[1:, None] - steps, panels[:-1, None] + steps)
    w = width * weights * np.where(graded, 6 * s**5, 1.0)
    return u, w * np.exp(-u * u / 2) / SQRT_2PI


def _root_mean_square(y: Array, w: Array) -> float:
    """Return √(Σ w·y²), also where a y² leaves float64."""
    size = float(np.abs(y).max())
    if not 0 < size < INF:
        return size
    return size * math.sqrt(float(np.sum(w * (y / size) ** 2)))


def _integrated_deviation(
    f: Function, df: Function, marks: tuple[float, ...], mu: float, sigma: float, panels: Array
) -> Array:
    """Return φ(z) − φ(μ) at the nodes, (panels, 12), as the integral of φ′ from μ on plus the jumps of φ.

    It keeps the digits that subtraction loses where φ hardly varies: at a small σ, or on a saturated side.
    """
    u, _ = _nodes(panels)
    slope = sigma / 2 * np.diff(panels)[:, None] * df(mu + sigma * u)
    whole, center = slope @ _WEIGHTS, int(np.searchsorted(panels, 0.0))
    right = np.cumsum(whole[center:]) - whole[center:]
    left = -np.cumsum(whole[:center][::-1])[::-1]
    deviation = np.concatenate([left, right])[:, None] + slope @ _UP_TO
    for mark in marks:
        below, above = f(np.array([mark - 1e-12, mark + 1e-12])).tolist()
        if abs(above - below) > 1e-9:
            deviation += (above - below) * (u > _standardized(np.array(mark), mu, sigma))
    return deviation


def _share(intervals: Array, mu: float, sigma: float) -> float:
    """Return P(z in one of the intervals), each from its nearer tail, so that small shares keep their digits."""
    a, b = _standardized(intervals, mu, sigma).T
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    return float(np.sum(normal_cdf(b) - normal_cdf(a)))


def _within(z: Array, intervals: Array) -> NDArray[np.bool_]:
    inside = (intervals[:, 0] <= z[..., None]) & (z[..., None] <= intervals[:, 1])
    return np.asarray(inside.any(axis=-1))


def _is_zero(z: Array, slope: Array, flat: Flat) -> NDArray[np.bool_]:
    """Whether φ′ is exactly 0 as formula, and not a tail that underflows."""
    return np.asarray((slope == 0) & (_within(z, flat.zero) | np.isin(z, flat.roots)))


def _regions(activation: Activation, mu: float, sigma: float, knobs: Mapping[str, float] | None) -> Flat:
    reach = _BULK * min(sigma, _RESOLVED) + 1
    return flat_regions(activation, low=mu - reach, high=mu + reach, knobs=knobs)


def _gain(rms: float) -> float:
    return 1 / rms if rms else INF


def signal_moments(
    activation: Activation, *, mu: float, sigma: float, knobs: Mapping[str, float] | None = None
) -> Moments:
    """Return the moments of φ(z) and φ′(z), z ~ N(mu, sigma²), by quadrature on panels split at every kink.

    Good to about 1e-13 of E|φ|, E φ² and so on. The variance is good to 1e-10 of itself, up to sigma = 4 also
    where φ hardly varies. The shares are exact: the edges of flat regions are roots, and the normal
    distribution function gives what lies between them. sigma = 0 is the single point mu. A φ that oscillates
    is followed up to sigma = 300.

    Raises:
        ValueError: mu is not finite, sigma is negative or not finite, or a knob is out of range.
    """
    _check(mu, sigma)
    f, df = bind(activation, knobs)
    flat, marks = _regions(activation, mu, sigma, knobs), borders(activation)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if sigma == 0:
            u, w = _ONE_POINT
        else:
            panels = _panels(mu, sigma, np.array(marks))
            u, w = _nodes(panels)
        z = mu + sigma * u
        y, slope = f(z), df(z)
        mean, slope_mean = float(np.sum(w * y)), float(np.sum(w * slope))
        deviation = y - mean
        if 0 < sigma <= 4:
            deviation = _integrated_deviation(f, df, marks, mu, sigma, panels)
            deviation -= np.sum(w * deviation)
        rms, slope_rms = _root_mean_square(y, w), _root_mean_square(slope, w)
        spread = _root_mean_square(deviation, w) if math.isfinite(mean) else INF
        if sigma == 0:
            zero = float(_is_zero(z, slope, flat)[0, 0])
            saturated = max(zero, float(abs(slope[0, 0]) < flat.threshold))
        else:
            zero, saturated = _share(flat.zero, mu, sigma), _share(flat.saturated, mu, sigma)
    return Moments(
        mean=mean,
        second=rms * rms,
        variance=spread * spread,
        slope_mean=slope_mean,
        slope_second=slope_rms * slope_rms,
        share_saturated=saturated,
        share_zero=zero,
        gain_forward=_gain(rms),
        gain_backward=_gain(slope_rms),
    )


def sample_moments(
    activation: Activation,
    *,
    mu: float,
    sigma: float,
    n: int,
    seed: int,
    knobs: Mapping[str, float] | None = None,
) -> SampleMoments:
    """Estimate what ``signal_moments`` computes from n draws of z; a larger n extends the same draws.

    The standard error of a share is √(p(1 − p)/n + 1/(4n²)), which is not 0 where nothing was drawn; those of
    the gains follow to first order from the moments'.

    Raises:
        ValueError: as for ``signal_moments``, or n below 2.
    """
    _check(mu, sigma)
    if n < 2:
        raise ValueError(f"n = {n}: needs a whole number from 2")
    f, df = bind(activation, knobs)
    flat = _regions(activation, mu, sigma, knobs)
    z = mu + sigma * stream(seed, 0).standard_normal(n)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        y, slope = f(z), df(z)
        zero = _is_zero(z, slope, flat)
        saturated = zero | (np.abs(slope) < flat.threshold)
        mean, second, tilt, power = (float(np.mean(v)) for v in (y, y**2, slope, slope**2))
        errors = [float(np.std(v, ddof=1) / math.sqrt(n)) for v in (y, y**2, slope, slope**2)]
        squares = (y - mean) ** 2
        variance = float(np.sum(squares)) / (n - 1)
        excess = float(np.mean(squares**2)) - variance * variance * (n - 3) / (n - 1)
        shares = [float(np.mean(flag)) for flag in (saturated, zero)]
        error = Moments(
            mean=errors[0],
            second=errors[1],
            variance=float(np.sqrt(np.maximum(excess, 0) / n)),
            slope_mean=errors[2],
            slope_second=errors[3],
            share_saturated=math.sqrt(shares[0] * (1 - shares[0]) / n + 0.25 / n**2),
            share_zero=math.sqrt(shares[1] * (1 - shares[1]) / n + 0.25 / n**2),
            gain_forward=_gain(math.sqrt(second)) * errors[1] / second / 2 if second else INF,
            gain_backward=_gain(math.sqrt(power)) * errors[3] / power / 2 if power else INF,
        )
    return SampleMoments(
        mean=mean,
        second=second,
        variance=variance,
        slope_mean=tilt,
        slope_second=power,
        share_saturated=shares[0],
        share_zero=shares[1],
        gain_forward=_gain(math.sqrt(second)),
        gain_backward=_gain(math.sqrt(power)),
        error=error,
        n=n,
    )


# Chains of slopes


@dataclass(frozen=True)
class SlopeChain:
    """The product of |φ′(z)| through layers 0 … L, z drawn anew in each: slopes only, no weights.

    All logarithms are to base 10; −∞ is a product that is exactly 0.
    """

    log10_products: Array  # (n, L+1), one row per chain; 0 at l = 0
    mean_log10: float  # E log₁₀|φ′|, −∞ where φ′ = 0 has a positive probability
    mean_log10_alive: float  # the same, given φ′ ≠ 0; NaN if φ′ is 0 everywhere
    log10_expected: Array  # (L+1,), of E ∏|φ′| = (E|φ′|)^l, which a few large products carry
    log10_largest: Array  # (L+1,), of (sup|φ′|)^l, which no product exceeds
    share_zero: Array  # (L+1,), of chains that are exactly 0: 1 − (1 − p)^l
    underflow_typical: int | None  # first l at which the typical product is below 1.18e-38; None: never
    underflow_largest: int | None  # first l at which every product is below it; None: never


_TINY = 1e-300


def _tail(log_slope: Function, end: float) -> Function:
    """Continue log|φ′| beyond z = end as a polynomial plus a·log|z| + b/z + c/z², which exponential tails are.

    The polynomial has the lowest degree that fits the tail before the end: 1 for a sigmoid, 2 for GELU, 3 for
    GELU's tanh form. Good to about 1e-5 of the logarithm.
    """
    at = np.linspace(0.5, 1.0, 16)
    known = log_slope(end * at)

    def rest(t: Array) -> Array:
        return np.stack([np.log(t), 1 / t, 1 / t**2], axis=-1)

    for degree in (1, 2, 3):
        basis = np.concatenate([np.vander(at, degree + 1), rest(at)], axis=-1)
        weights = np.linalg.lstsq(basis, known, rcond=None)[0]
        if np.max(np.abs(basis @ weights - known)) < 1e-10 * np.max(np.abs(known)):
            break
    return lambda z: np.polyval(weights[:-3], z / end) + rest(z / end) @ weights[-3:]


def _log_slope(df: Function, z: Array, flat: Flat) -> Array:
    """Return log|φ′(z)|: −∞ where φ′ is 0 as formula, but finite in a tail that underflows."""

    def log_slope(x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.abs(df(x))))

    result = log_slope(z)
    lost = (result < math.log(_TINY)) & ~_within(z, flat.zero)
    for side in (-1.0, 1.0) if lost.any() else ():
        along = np.sort(side * 2.0 ** np.arange(-3, 1024))
        ends, _ = crossings(log_slope, along, math.log(_TINY))
        if ends.size:
            beyond = lost & (side * z > np.abs(ends).max())
            result[beyond] = _tail(log_slope, side * float(np.abs(ends).max()))(z[beyond])
    return result


def _by_depth(layers: int, per_layer: float) -> Array:
    """Return l·per_layer for l = 0 … layers, with 0·∞ = 0: no layer multiplies by nothing."""
    return np.concatenate([[0.0], np.arange(1, layers + 1) * per_layer])


def _log10(x: float) -> float:
    return math.log10(x) if x else -INF


def _below_tiny(log10_slope: float) -> int | None:
    """Return the first l at which 10^(l·log10_slope) is below float32's smallest normal number, or None."""
    if not log10_slope < 0:
        return None
    return math.floor(math.log10(FLOAT32_TINY) / log10_slope + 1e-12) + 1


def _half_dead(zero: float) -> int | None:
    """Return the first l at which half of the chains are 0, if a share ``zero`` of those alive dies in each."""
    layers = math.log(0.5) / math.log1p(-zero) if 0 < zero < 1 else (1.0 if zero else INF)
    return math.ceil(layers) if layers < INF else None


def slope_chain(
    activation: Activation,
    *,
    mu: float,
    sigma: float,
    layers: int,
    n: int,
    seed: int,
    knobs: Mapping[str, float] | None = None,
) -> SlopeChain:
    """Multiply |φ′(z)| through ``layers`` layers, z ~ N(mu, sigma²) independent in each, in n chains.

    Beside the chains stands what is known without drawing: E log|φ′| by quadrature, with the logarithmic
    singularities at the roots of φ′ taken care of, and E|φ′|. The typical product is that of the median
    chain: 0 once half of the chains are, else 10^(l·mean_log10_alive). More layers, or more chains, extend
    a result and redraw nothing.

    Raises:
        ValueError: as for ``signal_moments``, or layers or n below 1.
    """
    _check(mu, sigma)
    for name, value in (("layers", layers), ("n", n)):
        if value < 1:
            raise ValueError(f"{name} = {value}: needs a whole number from 1")
    _, df = bind(activation, knobs)
    flat = _regions(activation, mu, sigma, knobs)
    products = np.zeros((n, layers + 1))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for l in range(1, layers + 1):
            drawn = mu + sigma * stream(seed, l).standard_normal(n)
            products[:, l] = products[:, l - 1] + _log_slope(df, drawn, flat) / math.log(10)
        if sigma == 0:
            u, w = _ONE_POINT
            zero = float(_is_zero(u + mu, df(u + mu), flat)[0, 0])
        else:
            points = np.concatenate([flat.roots, borders(activation)])
            singular = np.unique(_standardized(points, mu, sigma))
            u, w = _graded_nodes(_panels(mu, sigma, points), singular[np.abs(singular) < _END])
            zero = _share(flat.zero, mu, sigma)
        z = mu + sigma * u
        logs = _log_slope(df, z, flat)
        alive = ~_is_zero(z, df(z), flat)
        # A node may round onto a root of φ′. It carries a weight of about 1e-16, which no finite logarithm magnifies.
        logs[alive & np.isneginf(logs)] = math.log(_TINY)
        mean_alive = float(np.sum(w[alive] * logs[alive])) / (1 - zero) if zero < 1 else math.nan
        expected = float(np.sum(w * np.abs(df(z))))
    mean_alive /= math.log(10)
    largest = _log10(flat.largest)
    ends = [l for l in (_half_dead(zero), _below_tiny(mean_alive)) if l is not None]
    return SlopeChain(
        log10_products=products,
        mean_log10=-INF if zero else mean_alive,
        mean_log10_alive=mean_alive,
        log10_expected=_by_depth(layers, _log10(expected)),
        log10_largest=_by_depth(layers, largest),
        share_zero=0.0 - np.expm1(_by_depth(layers, math.log1p(-zero) if zero < 1 else -INF)),
        underflow_typical=min(ends, default=None),
        underflow_largest=_below_tiny(largest),
    )
