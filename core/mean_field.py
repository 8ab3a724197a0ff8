"""Where a deep random network ends: fixed points of its second moment and of the correlation of two inputs.

Convention of ``core.propagation``: q^l = σ_w²·E[φ(√q^{l−1} z)²] + σ_b² with q⁰ = 1, χ = σ_w²·E[φ'(√q z)²]. Two
inputs of one length have pre-activations of one second moment q and of correlation c, and the next layer's is
C(c) = (σ_w²·E[φ(u₁)φ(u₂)] + σ_b²)/(σ_w²·E[φ(u₁)²] + σ_b²), (u₁, u₂) normal with variance q and correlation c
(Poole et al. 2016, "Exponential expressivity …"; Schoenholz et al. 2017, "Deep information propagation").

At a fixed point 0 < q* < ∞ the slope C'(1) is χ₁, the factor of the gradient. Where q tends to 0 or ∞ it is not: in a
ReLU network without biases C is the same at every q and for every σ_w, C'(1) = 1, and c tends to 1, while χ₁ = σ_w²/2.
The second moment E[φ(√q z)²] grows with q for every registered φ but the Gaussian, for which it falls slowly; so
q^l tends to the first fixed point that lies on its way from 1.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import Activation
from core.initializers import FAMILIES
from core.kept import keep
from core.propagation import mean_field_step
from core.properties import Function, bind, borders
from core.quadrature import check_variance
from core.streams import stream

Array = NDArray[np.floating[Any]]

# The table of an activation: Chebyshev polynomials on elements of t = ln q, from 7e-13 to 1.4e12. Both moments are
# analytic for |Im t| < π/2, so 18 nodes an element of length 2 leave 2e-10.
_LOW, _HIGH, _ELEMENT, _ORDER = -28.0, 28.0, 2.0, 18
_TIE = 1e-12  # two second moments this close, relatively, are one
_ENDLESS = 1e-11  # a fixed point that needs σ_w² this close to its supremum lies beyond the table: ∞
_VANISHED = 1e-9  # without biases, a fixed point below is 0 up to rounding
_SAME = 1e-5  # in the limits q → 0 and q → ∞ a slope C'(1) is known to this
_TERMS = 64  # of the series of C on a map
_SPACING = 0.1  # of ln q between the points at which a map's series are computed
_SCAN = np.concatenate([[1e-3], np.geomspace(0.02, 150.0, 120)])  # σ_w² between which a border is looked for
_SECTIONS = np.arange(1, 16) / 16  # where a bracket of a border is cut

# Quadrature over z ~ N(0, 1): panels with a Gauss–Legendre rule, cut at kinks and graded towards features. That of
# core.quadrature also follows oscillations at a large q, which no fixed point needs, at ten times the points.
_SQRT_2PI = math.sqrt(2 * math.pi)


class _Rule(NamedTuple):
    """A rule for a panel, the borders that every line has, and the finest feature of a smooth φ around 0."""

    nodes: Array
    weights: Array
    even: Array
    finest: float  # in units of φ's argument


def _rule(order: int, reach: float, panels: int, finest: float) -> _Rule:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return _Rule(nodes, weights, np.linspace(-reach, reach, panels + 1), finest)


_LINE_RULE = _rule(10, 8.5, 20, 0.125)  # 1e-13, for one integral
_PLANE_RULE = _rule(9, 7.5, 12, 0.25)  # 1e-9, for an integral of integrals


def _around(points: Array, first: float) -> Array:
    """Return borders around features at ``points`` (rows, k), ``first`` away and then doubling up to 1: (rows, …)."""
    doublings = max(0, math.ceil(math.log2(1 / first)))
    steps = first * 2.0 ** np.arange(doublings)
    offsets = np.concatenate([-steps[::-1], [0.0], steps])
    return np.asarray((points[:, :, None] + offsets).reshape(len(points), -1))


def _panels(cuts: Array, rule: _Rule) -> tuple[Array, Array]:
    """Return Gauss–Legendre nodes and weights of N(0, 1) for panels cut at ``cuts`` (rows, k): (rows, nodes) each."""
    even = np.broadcast_to(rule.even, (len(cuts), rule.even.size))
    ends = np.concatenate([even, np.clip(cuts, rule.even[0], rule.even[-1])], axis=1)
    ends.sort(axis=1)
    half = 0.5 * np.diff(ends)[..., None]
    z = ends[:, :-1, None] + half * (1 + rule.nodes)
    weight = half * rule.weights * (np.exp(-0.5 * z * z) / _SQRT_2PI)
    return z.reshape(len(cuts), -1), weight.reshape(len(cuts), -1)


def _scaled_panels(scale: Array, marks: tuple[float, ...]) -> tuple[Array, Array]:
    """Return nodes and weights for φ(scale·z), scales (rows,) of one size: cut at φ's marks, graded towards 0."""
    places = np.array([m for m in marks if m != 0]) / scale[:, None]
    graded = _around(np.zeros((len(scale), 1)), min(1.0, _LINE_RULE.finest / float(scale.max())))
    return _panels(np.concatenate([graded, places], axis=1), _LINE_RULE)


class _Table(NamedTuple):
    """E[φ(√q z)²] and E[φ'(√q z)²] of one activation over all q, to 1e-9 relatively."""

    f: Function
    marks: tuple[float, ...]  # where φ is not smooth
    t: Array  # (nodes,) increasing ln q
    second: Array  # (nodes,) E φ²
    log_second: Array  # (elements, order) Chebyshev coefficients of ln E φ²
    slope: Array  # (elements, order) those of E φ'²
    slope_at_zero: float  # limits of E φ'² as q → 0 and q → ∞
    slope_at_infinity: float
    jumps: bool  # φ itself is not continuous


def _table_of(activation: Activation, knobs: Mapping[str, float] | None) -> _Table:
    return _table(activation.f, activation.df, borders(activation), tuple(sorted((knobs or {}).items())))


@keep(entries=64)
def _table(
    f: Callable[..., Array],
    df: Callable[..., Array],
    marks: tuple[float, ...],
    items: tuple[tuple[str, float], ...],
) -> _Table:
    knobs = dict(items)
    angles = (np.arange(_ORDER) + 0.5) * math.pi / _ORDER
    starts = np.arange(_LOW, _HIGH, _ELEMENT)
    t = starts[:, None] + _ELEMENT / 2 * (1 - np.cos(angles))
    second, slope = np.empty_like(t), np.empty_like(t)
    for i, row in enumerate(np.exp(t / 2)):
        z, weight = _scaled_panels(row, marks)
        x = row[:, None] * z
        second[i] = np.vecdot(f(x, **knobs) ** 2, weight)
        slope[i] = np.vecdot(df(x, **knobs) ** 2, weight)
    # From values at the nodes −cos(angle) to coefficients.
    to_coefficients = 2 / _ORDER * np.cos(np.arange(_ORDER)[:, None] * (math.pi - angles))
    to_coefficients[0] /= 2
    near, far = np.array([-5e-324, 5e-324]), np.array([-math.inf, math.inf])
    sides = np.array([[k - 1e-12, k + 1e-12] for k in marks])
    return _Table(
        partial(f, **knobs),
        marks,
        t.ravel(),
        second.ravel(),
        np.log(second) @ to_coefficients.T,
        slope @ to_coefficients.T,
        float(np.mean(df(near, **knobs) ** 2)),
        float(np.mean(df(far, **knobs) ** 2)),
        bool(sides.size and np.any(np.abs(np.diff(f(sides, **knobs))) > 1e-9)),
    )


def _chebyshev(coefficients: Array, t: Array) -> Array:
    """Evaluate a table's element-wise series at t (...), inside its range (Clenshaw)."""
    place = (np.clip(t, _LOW, _HIGH) - _LOW) / _ELEMENT
    element = np.minimum(place.astype(np.intp), len(coefficients) - 1)
    x = 2 * (place - element) - 1
    twice = 2 * x
    columns = coefficients.T[:, element]
    one, two = columns[-1].copy(), np.zeros_like(x)
    for column in columns[-2:0:-1]:
        one, two = twice * one - two + column, one
    value: Array = x * one - two + columns[0]
    return value


def _limit(table: _Table, w: Array, b: Array) -> Array:
    """Return the limit of q^l from q⁰ = 1 for σ_w² w (n, m) and σ_b² b (n,), one row a bias; 0 and ∞ included.

    Solved for σ_w², a fixed point reads σ_w² = (q − σ_b²)/E φ²: along a row that is a function of q alone, and the
    first q at which it reaches the row's σ_w², upward or downward from 1, is the limit.
    """
    q = np.exp(table.t)
    needed = (q - b[:, None]) / table.second  # σ_w² that makes q a fixed point
    start = float(np.exp(_chebyshev(table.log_second, np.zeros(1)))[0])
    at_one = w * start + b[:, None]
    split = int(np.searchsorted(table.t, 0.0))
    up_t, down_t = np.append(0.0, table.t[split:]), np.append(0.0, table.t[:split][::-1])
    first = ((1 - b) / start)[:, None]
    climb = np.maximum.accumulate(np.concatenate([first, needed[:, split:]], axis=1), axis=1)
    descent = np.minimum.accumulate(np.concatenate([first, needed[:, :split][:, ::-1]], axis=1), axis=1)
    rising = at_one > 1
    low, high = np.zeros(w.shape), np.zeros(w.shape)
    result = np.full(w.shape, np.nan)
    for i, row in enumerate(w):
        up = np.searchsorted(climb[i], row * (1 + _ENDLESS))
        down = np.searchsorted(-descent[i], -row)
        endless, vanishing = rising[i] & (up == up_t.size), ~rising[i] & (down == down_t.size)
        result[i, endless], result[i, vanishing] = math.inf, 0.0
        up, down = np.clip(up, 1, up_t.size - 1), np.clip(down, 1, down_t.size - 1)
        low[i] = np.where(rising[i], up_t[up - 1], down_t[down])
        high[i] = np.where(rising[i], up_t[up], down_t[down - 1])
    result[np.abs(at_one - 1) <= _TIE] = 1.0
    todo = np.isnan(result)
    biases = np.broadcast_to(b[:, None], w.shape)[todo]

    def excess(t: Array) -> Array:
        value: Array = np.log(w[todo] * np.exp(_chebyshev(table.log_second, t)) + biases) - t
        return value

    if todo.any():
        result[todo] = np.exp(_root(excess, low[todo], high[todo]))
    result[(b == 0)[:, None] & (result < _VANISHED)] = 0.0
    return result


def _root(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Find a root between low and high, elementwise, by false position (Illinois rule)."""
    at_low, at_high = function(low), function(high)
    middle = low
    for _ in range(40):
        gap = at_high - at_low
        share = np.divide(-at_low, gap, out=np.full_like(gap, 0.5), where=gap != 0)
        middle = low + np.clip(share, 0, 1) * (high - low)
        value = function(middle)
        if np.all(np.abs(value) < 1e-13):
            break
        crossed = np.sign(value) != np.sign(at_low)
        # The end that stays counts half, or it would stay for good.
        at_low, at_high = np.where(crossed, at_low / 2, value), np.where(crossed, value, at_high / 2)
        low, high = np.where(crossed, low, middle), np.where(crossed, middle, high)
    return middle


def _gradient_factor(table: _Table, w: Array, q: Array) -> Array:
    """Return χ₁ = σ_w²·E φ'² at a limit q, 0 and ∞ included."""
    inside = np.where((q > 0) & (q < math.inf), q, 1.0)
    slope = np.maximum(_chebyshev(table.slope, np.log(inside)), 0.0)
    slope = np.where(q == 0, table.slope_at_zero, np.where(q == math.inf, table.slope_at_infinity, slope))
    factor: Array = w * slope
    return factor


@dataclass(frozen=True)
class PhaseMap:
    """Limits of deep random networks over a grid; rows are biases σ_b², columns weights σ_w²."""

    sigma_w2: Array  # (m,)
    sigma_b2: Array  # (n,)
    q_star: Array  # (n, m) limit of q^l from q⁰ = 1; 0 and ∞ are values
    chi: Array  # (n, m) χ₁, the factor of the gradient's second moment a layer, at that limit
    c_star: Array  # (n, m) limit of the correlation from any 0 ≤ c⁰ < 1; NaN where it depends on c⁰
    depth_scale: Array  # (n, m) −1/ln χ₁ in layers: negative where gradients grow, ∞ at χ₁ = 1


def phase_map(
    activation: Activation, sigma_w2: ArrayLike, sigma_b2: ArrayLike, knobs: Mapping[str, float] | None = None
) -> PhaseMap:
    """Compute q*, χ₁, c* and the depth scale over a grid of weights and biases.

    q* and χ₁ are right to 1e-9, relatively, where q* is below 1e9, and c* to 0.01 (1e-5 where φ has no kinks;
    ``phase_point`` is exact). q* is ∞
    from σ_w² = 1/lim(E φ²/q) on, where there is such a limit. c* is NaN where two inputs keep whatever angle they
    have in the limit: in a linear network, and where q* = 0 and φ has one slope at 0. χ₁ knows only φ', so it is 0 for a
    step, which tears neighbors apart all the same: its c* is below 1.

    Args:
        activation: φ.
        sigma_w2: (m,) fan_in times the variance of a weight, each above 0.
        sigma_b2: (n,) variances of a bias, each 0 or more.
        knobs: parameters of φ.

    Raises:
        ValueError: an argument is out of range.
    """
    w, b = check_variance("sigma_w2", sigma_w2), check_variance("sigma_b2", sigma_b2)
    if w.ndim != 1 or b.ndim != 1 or not w.size or not b.size or np.any(w == 0):
        raise ValueError("sigma_w2 and sigma_b2 need one dimension each, and sigma_w2 numbers above 0")
    table = _table_of(activation, knobs)
    grid = np.broadcast_to(w, (b.size, w.size))
    q = _limit(table, grid, b)
    chi = _gradient_factor(table, grid, q)
    return PhaseMap(w, b, q, chi, _common_limit(table, grid, b, q), depth_scale(chi))


def depth_scale(chi: ArrayLike) -> Array:
    """Return −1/ln χ₁ (...): layers over which the gradient's second moment falls e-fold, if negative grows so.

    0 for χ₁ = 0 and, from below, for χ₁ = ∞; ∞ where χ₁ is 1 up to rounding.
    """
    chi = np.asarray(chi, float)
    with np.errstate(divide="ignore"):
        log = np.log(chi)
        scale: Array = np.where(np.abs(log) < _TIE, math.inf, -1 / np.where(log == 0, 1.0, log))
    return scale


def _common_limit(table: _Table, w: Array, b: Array, q: Array) -> Array:
    """Return c* (n, m) at the limits q (n, m): the smallest fixed point of C in [0, 1]."""
    result = np.ones(q.shape)
    for end, place in ((0.0, _LOW), (math.inf, _HIGH)):
        at_end = q == end
        if at_end.any():  # only the weights count, so C is one for all of these
            result[at_end] = _attractor(table, np.array([place]), np.ones(1), _SAME)
    inside = (q > 0) & (q < math.inf)
    if inside.any():
        moment = q[inside]
        biases = np.broadcast_to(b[:, None], q.shape)[inside]
        t = np.log(moment)
        weights = w[inside] * np.exp(_chebyshev(table.log_second, t))
        result[inside] = _attractor(table, t, weights / (weights + biases), 1e-9)
    return result


def _attractor(table: _Table, t: Array, share: Array, same: float) -> Array:
    """Return the smallest fixed point in [0, 1] of C(c) = share·E φφ/E φ² + 1 − share at ln q = t: all (n,).

    C is a power series with coefficients of at least 0 (Mehler): convex on [0, 1], with C(1) = 1. So c* = 1 if
    C'(1) ≤ 1, and otherwise Newton's method from 0 climbs to the only fixed point below 1. NaN where C(c) = c.
    """
    slope = share * np.exp(t) * _chebyshev(table.slope, t) / np.exp(_chebyshev(table.log_second, t))  # C'(1)
    result = np.where(np.abs(slope - 1) <= same, math.nan, 1.0)
    todo = (slope > 1 - same) | table.jumps
    if not todo.any():
        return result
    knots, series, mass, power = _series(table, t[todo])
    series = _between(knots, series, t[todo]) * share[todo]
    series[0] += 1 - share[todo]
    mass, power = _between(knots, np.stack([mass, power]), t[todo])
    mass = mass * share[todo]
    identity = series[1] > 1 - 1e-6
    level = (np.abs(slope[todo] - 1) <= same) & (not table.jumps)
    c = np.where(identity, math.nan, 1.0)
    active = np.flatnonzero(~identity & ~level)
    c[active] = 0.0
    for _ in range(60):
        if not active.size:
            break
        at, rows = c[active], series[:, active]
        value, gradient = rows[-1].copy(), np.zeros(active.size)
        for row in rows[-2::-1]:
            gradient *= at
            gradient += value
            value *= at
            value += row
        value += mass[active] * at ** power[active]
        gradient += mass[active] * power[active] * at ** (power[active] - 1)
        step = np.where(gradient < 1, (value - at) / np.maximum(1 - gradient, 1e-12), 0.0)
        c[active] = np.clip(at + step, 0.0, 1.0)
        active = active[step > 1e-9]
    result[todo] = c
    return result


def _series(table: _Table, t: Array) -> tuple[Array, Array, Array, Array]:
    """Return E φ(u₁)φ(u₂)/E φ² as a series in c at knots of ln q that cover t, with what stands for its tail.

    The coefficients are the squares of a_k = E[φ(√q z)·h_k(z)], h_k the normalized Hermite polynomials. The tail is
    one term, mass·c^power, that makes value and slope at c = 1 exact.

    Returns:
        knots (p,), coefficients (terms, p), mass (p,), power (p,).
    """
    low, high = float(t.min()), float(t.max())
    count = 1 if low == high else max(4, min(200, math.ceil((high - low) / _SPACING)))
    knots = np.linspace(low, high, count)
    z, weight = _scaled_panels(np.exp(knots / 2), table.marks)
    y = table.f(np.exp(knots / 2)[:, None] * z)
    second = np.vecdot(y * y, weight)
    weighted = y * weight
    before, now = np.zeros_like(z), np.ones_like(z)
    series = np.empty((_TERMS, count))
    for k in range(_TERMS):
        series[k] = np.vecdot(weighted, now) ** 2 / second
        before *= -math.sqrt(k)
        before += z * now
        before /= math.sqrt(k + 1)
        before, now = now, before
    mass = np.maximum(1 - series.sum(axis=0), 0.0)
    rest = np.exp(knots) * _chebyshev(table.slope, knots) / second - np.arange(_TERMS) @ series
    power = np.divide(rest, mass, out=np.full_like(mass, _TERMS), where=mass > 1e-12)
    return knots, series, mass, np.maximum(power, 2.0 * _TERMS if table.jumps else float(_TERMS))


def _between(knots: Array, rows: Array, t: Array) -> Array:
    """Interpolate rows (k, p) over evenly spaced knots (p,) at t (n,) by the cubic through four neighbors: (k, n)."""
    if knots.size == 1:
        return np.repeat(rows, t.size, axis=1)
    place = (t - knots[0]) / (knots[1] - knots[0])
    start = np.clip(place.astype(np.intp) - 1, 0, knots.size - 4)
    x = place - start
    weights = (
        -(x - 1) * (x - 2) * (x - 3) / 6,
        x * (x - 2) * (x - 3) / 2,
        -x * (x - 1) * (x - 3) / 2,
        x * (x - 1) * (x - 2) / 6,
    )
    result: Array = weights[0] * rows[:, start]
    for i in (1, 2, 3):
        result += weights[i] * rows[:, start + i]
    return result


def critical_line(
    activation: Activation, sigma_b2: ArrayLike, knobs: Mapping[str, float] | None = None
) -> Array:
    """Return the smallest σ_w² (n,) at which χ₁ = 1, for biases σ_b² (n,): the edge of chaos.

    To 1e-9, relatively. For ReLU it is 2 at every bias: there q* turns to ∞. NaN where no σ_w² from 0.001 to 150
    gets there, as for the step.

    Raises:
        ValueError: a bias is negative or not finite.
    """
    # An exact 1 counts as reached although its computed value may lie just below.
    return _border(activation, sigma_b2, knobs, lambda table, w, q: _gradient_factor(table, w, q) >= 1 - _TIE)


def explosion_line(
    activation: Activation, sigma_b2: ArrayLike, knobs: Mapping[str, float] | None = None
) -> Array:
    """Return the smallest σ_w² (n,) at which q* = ∞, for biases σ_b² (n,); as for ``critical_line``.

    NaN for a bounded φ.
    """
    return _border(activation, sigma_b2, knobs, lambda table, w, q: q == math.inf)


def _border(
    activation: Activation,
    sigma_b2: ArrayLike,
    knobs: Mapping[str, float] | None,
    beyond: Callable[[_Table, Array, Array], NDArray[np.bool_]],
) -> Array:
    """Return for every bias the first σ_w² beyond a border, by a scan and then bisection."""
    b = np.atleast_1d(check_variance("sigma_b2", sigma_b2))
    table = _table_of(activation, knobs)
    scan = np.broadcast_to(_SCAN, (b.size, _SCAN.size))
    over = beyond(table, scan, _limit(table, scan, b))
    first = np.argmax(over, axis=1)
    found = over.any(axis=1) & (first > 0)
    high = _SCAN[first]
    low = _SCAN[np.maximum(first - 1, 0)]
    for _ in range(9):
        cuts = low[:, None] + (high - low)[:, None] * _SECTIONS
        ends = np.concatenate([low[:, None], cuts, high[:, None]], axis=1)
        above = np.concatenate(
            [beyond(table, cuts, _limit(table, cuts, b)), np.ones((b.size, 1), bool)], axis=1
        )
        place = np.argmax(above, axis=1)
        low, high = ends[np.arange(b.size), place], ends[np.arange(b.size), place + 1]
    return np.where(found, high, math.nan)


# Two inputs, layer by layer


def _step(
    activation: Activation, q: float, c: float, w: float, b: float, knobs: Mapping[str, float]
) -> tuple[float, float]:
    """Return the next q and c of two inputs, from finite q ≥ 0 and −1 ≤ c ≤ 1; c is NaN where q is 0 or ∞."""
    f, rule = bind(activation, knobs)[0], _PLANE_RULE
    after = float(mean_field_step(activation, q, w, b, knobs)[0])
    if not 0 < after < math.inf:
        return after, math.nan
    if c >= 1 or q == 0:
        return after, 1.0
    # Given a common part m = √(q|c|) z of both, the two are independent: E φφ = E[G(m)²], or E[G(m)·G(−m)] if c < 0,
    # with G(m) = E φ(m + τz), τ² = q(1 − |c|). G is smooth on the scale of τ, and where φ is, on that of φ.
    marks = np.array([0.0, *(k for k in borders(activation) if k != 0)])
    common, tau = math.sqrt(q * abs(c)), math.sqrt(q * (1 - abs(c)))
    outer, weights = np.zeros(1), np.ones(1)
    if common > 0:
        places = np.concatenate([marks, -marks[1:]]) if c < 0 else marks
        finest = tau / 2 if borders(activation) else max(rule.finest, tau / 2)
        cuts = _around(places[None] / common, min(1.0, max(finest / common, 1e-9)))
        z, weight = _panels(cuts, rule)
        kept = weight[0] > 1e-15
        outer, weights = common * z[0, kept], weight[0, kept]

    def given(m: Array) -> tuple[Array, Array]:
        """Return values φ(m + τz) and their weights, both (m, nodes)."""
        if tau == 0:
            return f(m)[:, None], np.ones((m.size, 1))
        places = (marks - m[:, None]) / tau
        graded = _around(places[:, :1], min(1.0, rule.finest / tau))
        z, weight = _panels(np.concatenate([graded, places[:, 1:]], axis=1), rule)
        return f(m[:, None] + tau * z), weight

    y, weight = given(outer)
    size = float(np.max(np.abs(y))) or 1.0  # squares of y may leave float64 where E φ² does not
    factor = w * (size / math.sqrt(after)) ** 2
    with np.errstate(under="ignore"):
        y = y / size
        mean = np.vecdot(y, weight)
        if c < 0:
            opposite = np.vecdot(*given(-outer)) / size
            shared = float(np.vecdot(weights, mean * opposite))
            return after, float(np.clip(factor * shared + b / after, -1.0, 1.0))
        # So 1 − c keeps its digits: it is the variance of φ given the common part.
        apart = float(np.vecdot(weights, np.vecdot((y - mean[:, None]) ** 2, weight)))
    return after, float(np.clip(1 - factor * apart, -1.0, 1.0))


def correlation_step(
    activation: Activation,
    q: ArrayLike,
    c: ArrayLike,
    sigma_w2: ArrayLike,
    sigma_b2: ArrayLike,
    knobs: Mapping[str, float] | None = None,
) -> Array:
    """Return C(c), the next layer's correlation of two inputs of one second moment; all arguments broadcast.

    By quadrature in two dimensions that splits at kinks: to 1e-8, and 1 − C(c) relatively so for c near 1. A φ that
    oscillates is followed up to q = 10.

    Args:
        activation: φ.
        q: second moment of the pre-activations, finite and 0 or more.
        c: their correlation, from −1 to 1.
        sigma_w2, sigma_b2: fan_in times the variance of a weight, variance of a bias, finite and 0 or more.
        knobs: parameters of φ.

    Returns:
        (...) correlations; NaN where the next layer is 0, and its correlation has no meaning.

    Raises:
        ValueError: an argument is out of range.
    """
    c = np.asarray(c, float)
    if not np.all(np.abs(c) <= 1):
        raise ValueError(f"c = {c}: needs correlations from −1 to 1")
    q = check_variance("q", q)
    w, b = check_variance("sigma_w2", sigma_w2), check_variance("sigma_b2", sigma_b2)
    spread = np.broadcast(q, c, w, b)
    values = [_step(activation, q_, c_, w_, b_, knobs or {})[1] for q_, c_, w_, b_ in spread]
    return np.array(values).reshape(spread.shape)


@dataclass(frozen=True)
class Correlation:
    """Second moment q^l and correlation c^l of two inputs by layer l = 0 … L, along the last axis.

    Where q leaves float64, or becomes 0, c has no value from there on: NaN.
    """

    q: Array
    c: Array


_SETTLED = 1e-12  # a layer that changes q and c by less is the last to be computed


def correlation_theory(
    activation: Activation,
    c0: float,
    layers: int,
    sigma_w2: float,
    sigma_b2: float,
    *,
    q0: float = 1.0,
    knobs: Mapping[str, float] | None = None,
) -> Correlation:
    """Follow the mean-field q^l and c^l of two inputs with q⁰ and c⁰ through L layers: arrays (L + 1,).

    Raises:
        ValueError: an argument is out of range.
    """
    _check(c0, layers)
    (q0, w, b) = (
        float(check_variance(*pair)) for pair in (("q0", q0), ("sigma_w2", sigma_w2), ("sigma_b2", sigma_b2))
    )
    q, c = np.full(layers + 1, math.nan), np.full(layers + 1, math.nan)
    q[0], c[0] = q0, c0
    for l in range(layers):
        if q[l] == math.inf:
            q[l + 1] = math.inf if w > 0 else b
            continue
        if math.isnan(c[l]):  # q was 0, and only biases can be there
            q[l + 1] = float(mean_field_step(activation, q[l], w, b, knobs)[0])
            continue
        q[l + 1], c[l + 1] = _step(activation, float(q[l]), float(c[l]), w, b, knobs or {})
        if abs(q[l + 1] - q[l]) <= _SETTLED * q[l] and abs(c[l + 1] - c[l]) <= _SETTLED:
            q[l + 2 :], c[l + 2 :] = q[l + 1], c[l + 1]
            break
    return Correlation(q, c)


def _check(c0: float, layers: int) -> None:
    if not -1 <= c0 <= 1:
        raise ValueError(f"c0 = {c0}: needs a correlation from −1 to 1")
    if layers < 1:
        raise ValueError(f"layers = {layers}: needs a whole number from 1")


def correlation_measured(
    activation: Activation,
    c0: float,
    layers: int,
    sigma_w2: ArrayLike,
    sigma_b2: float,
    *,
    width: int,
    seeds: int,
    seed: int,
    first: int = 0,
    knobs: Mapping[str, float] | None = None,
) -> Correlation:
    """Measure q^l and c^l of two inputs in ``seeds`` random networks for each σ_w²: arrays (weights, seeds, L + 1).

    The inputs have second moment 1 and correlation c⁰ exactly. q is the mean over both of h²/width, c the cosine of the
    angle between them. All σ_w² see the same unit draws, which are those of ``core.propagation``: one stream
    for every (seed, network, layer), so more layers or networks extend the result.

    Args:
        activation: φ.
        c0: correlation of the inputs, −1 to 1.
        layers: L, 1 or more.
        sigma_w2: (k,) fan_in times the variance of a weight.
        sigma_b2: variance of a bias.
        width: units in every layer, 2 or more.
        seeds: networks, 1 or more.
        seed: non-negative integer from which all networks are drawn.
        first: index of the first network, so that a run can be computed in parts.
        knobs: parameters of φ.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(c0, layers)
    w, b = np.atleast_1d(check_variance("sigma_w2", sigma_w2)), float(check_variance("sigma_b2", sigma_b2))
    if width < 2 or seeds < 1:
        raise ValueError(f"width = {width}, seeds = {seeds}: needs whole numbers from 2 and 1")
    f, _ = bind(activation, knobs)
    q, c = np.empty((w.size, seeds, layers + 1)), np.empty((w.size, seeds, layers + 1))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for k in range(seeds):
            network = first + k
            u, v = stream(seed, network, 0).standard_normal((2, width))
            u *= math.sqrt(width / (u @ u))
            v -= (u @ v) / width * u
            v *= math.sqrt(width / (v @ v))
            pair = np.stack([u, c0 * u + math.sqrt(max(1 - c0 * c0, 0.0)) * v])
            h = np.broadcast_to(pair, (w.size, 2, width))
            q[:, k, 0], c[:, k, 0] = 1.0, c0
            for l in range(1, layers + 1):
                weights = FAMILIES["normal"](width, width, stream(seed, network, l))
                h = np.sqrt(w / width)[:, None, None] * (f(h).reshape(-1, width) @ weights).reshape(h.shape)
                if b:
                    h = h + math.sqrt(b) * stream(seed, network, l, 0).standard_normal(width)
                q[:, k, l], c[:, k, l] = _overlap(h)
    return Correlation(q, c)


def _overlap(h: Array) -> tuple[Array, Array]:
    """Return second moment and cosine of pairs (k, 2, width), also where squares leave float64: (k,) each."""
    size = np.max(np.abs(h), axis=-1)
    finite = (size > 0) & (size < math.inf)
    scaled = h / np.where(finite, size, 1.0)[..., None]
    rms = size * np.sqrt(np.vecdot(scaled, scaled) / h.shape[-1])
    unit = scaled / np.sqrt(np.vecdot(scaled, scaled))[..., None]
    cosine = np.vecdot(unit[:, 0], unit[:, 1])
    return np.mean(rms * rms, axis=-1), np.clip(np.where(finite.all(axis=-1), cosine, math.nan), -1.0, 1.0)


class PhasePoint(NamedTuple):
    """Limits at one σ_w² and σ_b², as in ``PhaseMap``, and what becomes of two inputs there."""

    q_star: float
    chi: float
    c_star: float
    depth_scale: float
    correlation_slope: (
        float  # C'(c*): what is left of a distance from c* after a layer; NaN where q* is 0 or ∞
    )


def phase_point(
    activation: Activation, sigma_w2: float, sigma_b2: float, knobs: Mapping[str, float] | None = None
) -> PhasePoint:
    """Compute the limits at one point, c* to 1e-8 from ``correlation_step``.

    Raises:
        ValueError: an argument is out of range.
    """
    grid = phase_map(activation, [sigma_w2], [sigma_b2], knobs)
    q, chi, c, scale = (
        float(field[0, 0]) for field in (grid.q_star, grid.chi, grid.c_star, grid.depth_scale)
    )
    if not 0 < q < math.inf:
        return PhasePoint(q, chi, c, scale, math.nan)

    def after(at: float) -> float:
        return _step(activation, q, at, sigma_w2, sigma_b2, knobs or {})[1]

    if c < 1:
        c = _fixed_point(after, c)
    if not c < 1:
        return PhasePoint(q, chi, c, scale, chi)
    gap = min(1e-4, (1 - c) / 4)
    return PhasePoint(q, chi, c, scale, (after(c + gap) - after(c - gap)) / (2 * gap))


def _fixed_point(function: Callable[[float], float], near: float) -> float:
    """Return the fixed point in [0, 1) of a convex C with C(0) ≥ 0 and C(1) = 1, starting near it."""
    low, high = 0.0, 1.0  # C(c) ≥ c at low; beyond the fixed point C(c) < c
    at, before = near, math.nan
    value_before = math.nan
    for _ in range(60):
        value = function(at) - at
        if abs(value) < 1e-14 or high - low < 1e-12:
            break
        low, high = (at, high) if value > 0 else (low, at)
        slope = (value - value_before) / (at - before) if at != before else math.nan
        following = at - value / slope if slope < 0 else math.nan
        before, value_before = at, value
        at = following if low < following < high else 0.5 * (low + high)
    return at
