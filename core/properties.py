"""What can be said about an activation by looking at it: every entry of the property table, computed.

Nothing here knows a formula. Functions are searched on a grid that covers the whole line, finely around 0 and
logarithmically beyond, and every root or maximum found is then refined; kinks and seams are grid points, and
what happens on either side of them is looked at separately. Features closer together than the grid, 0.05 up
to |z| = 12 (less close to 0) and 3 % of |z| beyond, can be missed.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from core.activations import ACTIVATIONS, INF, Activation, Interval
from core.knobs import number
from core.quadrature import gaussian_mean
from core.special import Array, elementwise

Function = Callable[[Array], Array]

SATURATED = 0.01  # a slope below this share of the largest counts as saturated


@dataclass(frozen=True)
class Place(Interval):
    """Where something holds: at a point (low = high, perhaps ±∞), or throughout an interval.

    A bound that is not attained is only approached: a limit at ±∞ or from one side.
    """

    def __str__(self) -> str:
        if self.low < self.high:
            return super().__str__()
        approached = abs(self.low) < INF and not (self.low_attained or self.high_attained)
        return f"{number(self.low)} (approached)" if approached else number(self.low)


class Bound(NamedTuple):
    """A supremum or infimum over the real line, and everywhere it is taken or approached."""

    value: float
    places: tuple[Place, ...]


class Extremum(NamedTuple):
    """A local minimum: position and value."""

    at: float
    value: float


def bind(activation: Activation, knobs: Mapping[str, float] | None) -> tuple[Function, Function]:
    """Return φ and φ′ at these knob values; calling them with a misspelt knob is a TypeError."""
    return partial(activation.f, **(knobs or {})), partial(activation.df, **(knobs or {}))


def borders(activation: Activation) -> tuple[float, ...]:
    """Return the points between which φ is one smooth formula, in increasing order."""
    return tuple(sorted(activation.kinks + activation.seams))


# Searching the line

_FAR = np.geomspace(12, 1e8, 541)
_NEAR = np.geomspace(1e-4, 12, 396)
_LINE = np.concatenate([-_FAR, -_NEAR, np.linspace(-12, 12, 481), _NEAR, _FAR])
_PROBES = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 5.0])
_SIXTEENTHS = np.linspace(0, 1, 17)


def line_grid(marks: Iterable[float], low: float = 0.0, high: float = 0.0) -> Array:
    """Return increasing points of the whole line, among them each mark and its two neighbors in float64.

    On [low, high] they are at most ¼ apart, unless it is longer than 6000.
    """
    marks = list(marks)
    length = high - low
    window = np.linspace(low, high, 4 * math.ceil(length) + 1 if 0 < length <= 6000 else 0)
    beside = [math.nextafter(m, side) for m in marks for side in (-INF, INF)]
    return np.unique(np.concatenate([_LINE, window, marks, beside]))


def constant_pieces(fn: Function, marks: Sequence[float]) -> list[tuple[float, Place]]:
    """Return (value, interval) wherever fn is one number from mark to mark; neighbors of one value are joined.

    Judged near the marks: a tail that only rounds to its limit is not constant.
    """

    def takes(point: float, value: float) -> bool:
        return math.isfinite(point) and bool(fn(np.array(point)) == value)

    found: list[tuple[float, Place]] = []
    for low, high in pairwise((-INF, *marks, INF)):
        if math.isfinite(low):
            points = low + _PROBES * (1.0 if math.isinf(high) else (high - low) / 6)
        else:
            points = high - _PROBES if math.isfinite(high) else np.concatenate([-_PROBES, _PROBES])
        values = fn(points)
        value = float(values[0])
        if np.any(values != value):
            continue
        if found and found[-1][0] == value and found[-1][1].high == low and takes(low, value):
            low = found.pop()[1].low
        found.append((value, Place(low, high, takes(low, value), takes(high, value))))
    return found


def crossings(fn: Function, x: Array, levels: ArrayLike) -> tuple[Array, Array]:
    """Return where fn crosses the levels, to the last digit, and which level each time: (roots,), (roots,).

    Args:
        fn: elementwise function.
        x: (points,) increasing. Between two neighbors one crossing is found if there is an odd number.
        levels: (levels,) values.
    """
    level = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    above = fn(x) > level[:, None]
    of, i = np.nonzero(above[:, 1:] != above[:, :-1])
    low, high, start, level = x[i], x[i + 1], above[of, i][:, None], level[of]
    rows = np.arange(len(i))
    for _ in range(14 if len(i) else 0):
        with np.errstate(under="ignore"):
            points = low[:, None] + (high - low)[:, None] * _SIXTEENTHS
        points[:, -1] = high
        first = np.argmax((fn(points[:, 1:]) > level[:, None]) != start, axis=-1)
        low, high = points[rows, first], points[rows, first + 1]
    nearer = np.abs(fn(low) - level) <= np.abs(fn(high) - level)
    return np.where(nearer, low, high), level


def snapped(roots: Array, marks: Sequence[float]) -> Array:
    """Return the roots, with those that lie within 1e-12 of a mark moved onto it."""
    for mark in marks:
        roots = np.where(np.abs(roots - mark) < 1e-12, mark, roots)
    return roots


def peaks(fn: Function, x: Array, y: Array) -> list[tuple[float, float]]:
    """Return (height, place) of the local maxima that come near the highest one; places to about 1e-8.

    Args:
        fn: elementwise function.
        x, y: (points,) grid and fn on it; its two ends do not count as maxima.
    """
    first = np.flatnonzero(np.concatenate([[True], y[1:] != y[:-1]]))  # of each run of equal values
    run = y[first]
    inner = np.flatnonzero((run[1:-1] > run[:-2]) & (run[1:-1] > run[2:])) + 1
    inner = inner[run[inner] >= np.max(y) - 0.02 * abs(np.max(y))]
    at, top = x[first[inner]], run[inner]
    low, high = x[first[inner] - 1], x[first[inner + 1]]
    rows = np.arange(len(inner))
    for _ in range(9 if len(inner) else 0):
        points = low[:, None] + (high - low)[:, None] * _SIXTEENTHS
        values = fn(points)
        best = np.clip(np.argmax(values, axis=-1), 1, 15)
        higher = values[rows, best] > top + 1e-15 * np.abs(top)  # more than rounding
        at, top = np.where(higher, points[rows, best], at), np.where(higher, values[rows, best], top)
        low, high = points[rows, best - 1], points[rows, best + 1]
    return list(zip(top.tolist(), at.tolist(), strict=True))


def supremum(fn: Function, marks: Sequence[float], x: Array, y: Array) -> Bound:
    """Return the supremum of fn over the real line, limits at ±∞ and on either side of a mark included.

    Args:
        fn: elementwise function, smooth between the marks; NaN at ±∞ if it has no limit there.
        marks: where fn or a derivative of it may jump.
        x, y: (points,) from ``line_grid``, and fn on them.
    """

    def point(value: float, z: float) -> tuple[float, Place]:
        taken = math.isfinite(z) and bool(abs(fn(np.array(z)) - value) <= 1e-12 * abs(value))
        return value, Place(z, z, taken, taken)

    # An interval says more than its end, and an end or a limit more than a point found by search.
    sides = [[math.nextafter(m, -INF), m, math.nextafter(m, INF)] for m in marks]
    groups = (
        constant_pieces(fn, marks),
        [point(float(np.max(fn(np.array(side)))), side[1]) for side in sides],
        [point(v, z) for z in (-INF, INF) if not math.isnan(v := float(fn(np.array(z))))],
        [point(*peak) for peak in peaks(fn, x, y)],
    )
    top = max(value for group in groups for value, _ in group)
    best: list[Place] = []
    for group in groups:
        best = best or [place for value, place in group if value == top or value >= top - 1e-12 * abs(top)]
    # Of the many peaks of a periodic function, those nearest 0.
    nearest = min((abs(p.low) for p in best if p.low == p.high), default=INF)
    return Bound(top, tuple(p for p in best if p.low != p.high or abs(p.low) <= nearest + 1e-6))


def slope_bounds(activation: Activation, knobs: Mapping[str, float] | None = None) -> tuple[Bound, Bound]:
    """Return the smallest and the largest slope φ′ over the line, and where; a jump of φ is no slope.

    Values are good to the last digits. Places are the interval on which φ′ has that value throughout, the
    kink at which it is approached, ±∞ for a limit, or a point, to about 1e-8.
    """
    _, df = bind(activation, knobs)
    marks = borders(activation)
    x = line_grid(marks)
    y = df(x)
    smallest = supremum(lambda z: -df(z), marks, x, -y)
    return Bound(0.0 - smallest.value, smallest.places), supremum(df, marks, x, y)


@dataclass(frozen=True)
class Flat:
    """Where an activation passes little or no gradient. Intervals are rows (low, high), ±∞ included."""

    largest: float  # sup |φ′| over the line; ∞ if unbounded
    threshold: float  # 1 % of it, or 0 where a share of it says nothing: for an unbounded slope
    saturated: Array  # (intervals, 2), where |φ′| is below the threshold, or exactly 0
    zero: Array  # (intervals, 2), where φ′ = 0 throughout, as formula: tails that underflow are not
    roots: Array  # (roots,), where φ′ passes through 0


def flat_regions(
    activation: Activation,
    *,
    low: float = -12.0,
    high: float = 12.0,
    knobs: Mapping[str, float] | None = None,
) -> Flat:
    """Return where |φ′| is below 1 % of its own largest value, and where it is exactly 0.

    A slope without bound (squared ReLU) has no 1 %: there only the exact zeros count as saturated, as they
    do for the step, whose slope is 0 everywhere.

    Args:
        activation: φ.
        low, high: window, up to 6000 long, to which a φ′ without a limit at ±∞ (sine) is confined.
        knobs: parameters of φ.
    """
    _, df = bind(activation, knobs)
    marks = borders(activation)
    smallest, largest = slope_bounds(activation, knobs)
    steepest = max(abs(smallest.value), abs(largest.value))
    threshold = SATURATED * steepest if steepest < INF else 0.0
    x, ends = line_grid(marks, low, high), (-INF, INF)
    if np.isnan(df(np.array(INF))):
        x, ends = x[(x >= low) & (x <= high)], (low, high)
    edges, level = crossings(df, x, np.unique([-threshold, 0.0, threshold]))
    edges = snapped(edges, marks)
    zero = [place for value, place in constant_pieces(df, marks) if value == 0]
    cuts = np.unique(np.concatenate([edges, marks]))
    middle = np.zeros(1)
    if cuts.size:
        middle = np.concatenate([[cuts[0] - 1], (cuts[:-1] + cuts[1:]) / 2, [cuts[-1] + 1]])
    cuts = np.concatenate([ends[:1], cuts, ends[1:]])
    flat = np.abs(df(middle)) < threshold
    for place in zero:
        flat |= (place.low <= middle) & (middle <= place.high)
    starts = np.flatnonzero(flat & ~np.concatenate([[False], flat[:-1]]))
    stops = np.flatnonzero(flat & ~np.concatenate([flat[1:], [False]]))
    return Flat(
        largest=steepest,
        threshold=threshold,
        saturated=np.stack([cuts[starts], cuts[stops + 1]], axis=-1),
        zero=np.array([(place.low, place.high) for place in zero]).reshape(-1, 2),
        roots=edges[(level == 0) & ~np.isin(edges, marks)],
    )


# The second derivative

_ORDER = np.arange(13)
_NODES = np.cos(np.pi * (_ORDER + 0.5) / 13)
_TO_CHEBYSHEV = 2 / 13 * np.cos(np.pi * _ORDER[:, None] * (_ORDER + 0.5) / 13)
_TO_CHEBYSHEV[0] /= 2
_EPS = float(np.finfo(np.float64).eps)


def _one_sided(df: Function, x: Array, low: Array, high: Array) -> Array:
    """Return the derivative of df at x, (points,), from windows that stay inside [low, high].

    df is interpolated at 13 Chebyshev points in windows that shrink fourfold, from |x| or 1 to 1e-4. Wide ones
    do not resolve df, which shows in the last coefficients; narrow ones magnify its rounding. The window with
    the smallest sum of the two errors is taken.
    """
    size = np.maximum(1, np.abs(x))
    half = size[:, None] * 4.0 ** -np.arange(8 + math.ceil(math.log2(size.max(initial=1)) / 2))
    left, right = np.maximum(x[:, None] - half, low[:, None]), np.minimum(x[:, None] + half, high[:, None])
    center, half = (left + right) / 2, (right - left) / 2
    values = df(center[..., None] + half[..., None] * _NODES)
    # Relative to one of them: where df is constant its derivative is then exactly 0.
    coefficients = (values - values[..., :1]) @ _TO_CHEBYSHEV.T
    error = np.abs(coefficients[..., -3:]).max(axis=-1) + _EPS * np.abs(values).max(axis=-1)
    best = np.argmin(error / half, axis=-1)
    rows = np.arange(len(x))
    t = np.arccos(np.clip((x - center[rows, best]) / half[rows, best], -1, 1))
    slope = np.polynomial.chebyshev.chebder(coefficients[rows, best], axis=-1) / half[rows, best][:, None]
    return np.asarray(np.vecdot(slope, np.cos(_ORDER[:-1] * t[:, None])))


def second_derivative(
    activation: Activation, x: ArrayLike, knobs: Mapping[str, float] | None = None
) -> Array:
    """Return φ″(x), (...) → (...), by differentiating φ′ numerically on the smooth piece that x lies in.

    Good to about 1e-9 of the size of φ″ around x. NaN at kinks and seams, where φ″ has no value, and where x
    is not finite.
    """
    _, df = bind(activation, knobs)
    marks = np.array((-INF, *borders(activation), INF))

    @elementwise
    def derivative(z: Array) -> Array:
        flat = z.astype(np.float64).ravel()
        smooth = np.isfinite(flat) & ~np.isin(flat, marks)
        result = np.full(flat.shape, np.nan)
        piece = np.searchsorted(marks, flat[smooth])
        result[smooth] = _one_sided(df, flat[smooth], marks[piece - 1], marks[piece])
        return result.reshape(z.shape)

    return derivative(x)


# The property table


@dataclass(frozen=True)
class Properties:
    """What the property table says about one activation at given knob values."""

    range: Interval
    mean: float  # E φ(z), z ~ N(0, 1)
    zero_centred: bool  # that mean is 0
    monotone: bool  # never decreasing
    largest_slope: float
    largest_slope_at: tuple[Place, ...]
    smallest_slope: float
    smallest_slope_at: tuple[Place, ...]
    lipschitz: float  # smallest K with |φ(a) − φ(b)| ≤ K·|a − b|; ∞ where there is none
    smoothness: str  # "C∞", "C1", "C0" or "discontinuous"
    saturation: str  # the sides on which φ′ → 0: "left", "right", "both" or "none"
    fixed_points: tuple[Place, ...]  # φ(z) = z, in increasing order
    minima: tuple[Extremum, ...]  # strict local minima; of several equally deep the one nearest 0
    gain_backward: float  # 1/√E φ′², z ~ N(0, 1): weights of this gain keep the gradient's second moment
    gain_forward: float  # 1/√E φ²: weights of this gain return the signal's second moment to 1


def properties(activation: Activation, knobs: Mapping[str, float] | None = None) -> Properties:
    """Compute the row of the property table for one activation.

    Raises:
        ValueError: a knob is out of range. TypeError: there is no such knob.
    """
    f, df = bind(activation, knobs)
    marks = borders(activation)
    smallest, largest = (_polished(activation, bound, knobs) for bound in slope_bounds(activation, knobs))
    jumps = np.array([_jump(f, m) for m in marks])
    steepest = max(abs(smallest.value), abs(largest.value))
    mean = float(gaussian_mean(f, 1.0, marks))
    flat = [bool(df(np.array(end)) == 0) for end in (-INF, INF)]
    return Properties(
        range=activation.range(**(knobs or {})),
        mean=mean,
        zero_centred=abs(mean) < 1e-12,
        monotone=bool(smallest.value >= 0 and np.all(jumps >= 0)),
        largest_slope=largest.value,
        largest_slope_at=largest.places,
        smallest_slope=smallest.value,
        smallest_slope_at=smallest.places,
        lipschitz=INF if np.any(jumps) else steepest,
        smoothness=_smoothness(f, df, marks),
        saturation={(1, 1): "both", (1, 0): "left", (0, 1): "right", (0, 0): "none"}[flat[0], flat[1]],
        fixed_points=fixed_points(activation, knobs),
        minima=minima(activation, knobs),
        gain_backward=_inverse_root(float(gaussian_mean(lambda z: df(z) ** 2, 1.0, marks))),
        gain_forward=_inverse_root(float(gaussian_mean(lambda z: f(z) ** 2, 1.0, marks))),
    )


def _inverse_root(second_moment: float) -> float:
    return 1 / math.sqrt(second_moment) if second_moment else INF


def _jump(fn: Function, mark: float) -> float:
    """Return fn just right of the mark minus fn just left of it; rounding counts as 0."""
    left, right = fn(np.array([mark - 1e-12, mark + 1e-12])).tolist()
    return right - left if abs(right - left) > 1e-9 else 0.0


def _smoothness(f: Function, df: Function, marks: Sequence[float]) -> str:
    """Return the first derivative that jumps; beyond the second none is looked for."""

    def curvature_jump(i: int) -> float:
        left, mark, right = (-INF, *marks, INF)[i : i + 3]
        ends = np.array([left, mark]), np.array([mark, right])
        before, after = _one_sided(df, np.full(2, mark), *ends).tolist()
        return float(abs(after - before))

    if any(_jump(f, m) for m in marks):
        return "discontinuous"
    if any(_jump(df, m) for m in marks):
        return "C0"
    return "C1" if any(curvature_jump(i) > 1e-6 for i in range(len(marks))) else "C∞"


def _polished(activation: Activation, bound: Bound, knobs: Mapping[str, float] | None) -> Bound:
    """Return the bound with its smooth peaks moved to where φ″ = 0, found by a secant of width 2e-6."""
    known = (-INF, 0.0, *borders(activation), INF)
    step = np.array([-1e-6, 1e-6])

    def moved(place: Place) -> Place:
        z = place.low
        if place.low != place.high or z in known:
            return place
        left, right = second_derivative(activation, z + step, knobs).tolist()
        z -= 1e-6 * (left + right) / (right - left) if left * right < 0 else 0.0
        return Place(z, z, True, True)

    return Bound(bound.value, tuple(moved(place) for place in bound.places))


def fixed_points(activation: Activation, knobs: Mapping[str, float] | None = None) -> tuple[Place, ...]:
    """Return all real solutions of φ(z) = z, in increasing order: points, and intervals of them.

    A tail that only rounds to z, such as GELU's, is no interval of fixed points.
    """
    f, _ = bind(activation, knobs)
    marks = borders(activation)

    def excess(z: Array) -> Array:
        return np.asarray(f(z) - z)

    intervals = [place for value, place in constant_pieces(excess, marks) if value == 0]
    x = line_grid(marks)
    y = excess(x)
    zeros, x = x[y == 0], x[y != 0]
    found = list(intervals)
    for root in snapped(crossings(excess, x, 0.0)[0], marks).tolist() if x.size else []:
        # Around a root at which φ′ = 1 the excess rounds to 0; a grid point there is the better answer.
        i = int(np.searchsorted(x, root))
        exact = zeros[(zeros > x[i - 1]) & (zeros < x[i])]
        z = min(exact.tolist(), key=abs, default=root)
        inside = any(place.low <= z <= place.high for place in intervals)
        if not inside and abs(excess(np.array(z))) <= 1e-9 * max(1.0, abs(z)):
            found.append(Place(z, z, True, True))
    return tuple(sorted(found, key=lambda place: place.low))


def minima(activation: Activation, knobs: Mapping[str, float] | None = None) -> tuple[Extremum, ...]:
    """Return the strict local minima of φ, from the left; of several equally deep ones that nearest 0.

    A flat bottom (ReLU) is no strict minimum, an infimum at ±∞ (sigmoid) is none either.
    """
    f, df = bind(activation, knobs)
    marks = borders(activation)
    roots = snapped(crossings(df, line_grid(marks), 0.0)[0], marks)
    beside = 1e-9 * np.maximum(1, np.abs(roots))
    roots = roots[(df(roots - beside) < 0) & (df(roots + beside) > 0)]
    found: list[Extremum] = []
    for root in sorted(roots.tolist(), key=abs):
        value = float(f(np.array(root)))
        if all(abs(value - other.value) > 1e-12 * max(1.0, abs(value)) for other in found):
            found.append(Extremum(root, value))
    return tuple(sorted(found))


class Difference(NamedTuple):
    """The largest difference between two activations, and where it is."""

    value: float
    at: float


def max_difference(
    a: Activation,
    b: Activation,
    low: float,
    high: float,
    *,
    knobs_a: Mapping[str, float] | None = None,
    knobs_b: Mapping[str, float] | None = None,
) -> Difference:
    """Return the largest |a(z) − b(z)| for z in [low, high]; of several equal ones the rightmost.

    Raises:
        ValueError: the bounds are not finite, or low is not below high.
    """
    if not -INF < low < high < INF:
        raise ValueError(f"low = {number(low)}, high = {number(high)}: needs finite numbers, low below high")
    (f, df), (g, dg) = bind(a, knobs_a), bind(b, knobs_b)
    x = np.concatenate([line_grid(borders(a) + borders(b)), np.linspace(low, high, 2001)])
    x = np.unique(x[(x >= low) & (x <= high)])

    def size(z: Array) -> Array:
        return np.abs(f(z) - g(z))

    y = size(x)
    best = [(float(y[i]), float(x[i])) for i in (0, len(x) - 1, int(np.argmax(y)))] + peaks(size, x, y)
    top = max(value for value, _ in best)
    at = max(z for value, z in best if value >= top - 1e-12 * top)
    # At a smooth peak the slopes are equal, which locates it better than its height does.
    beside = np.clip([at - 1e-6, at + 1e-6], low, high)
    for root in crossings(lambda z: np.asarray(df(z) - dg(z)), beside, 0.0)[0].tolist():
        if float(size(np.array(root))) >= top - 1e-12 * top:
            at = root
    return Difference(top, at)


# Cost


@dataclass(frozen=True)
class Cost:
    """Measured medians on the machine that runs this, in float64."""

    seconds_per_element: float
    relu_ratio: float  # to ReLU's time per element
    matmul_seconds: float  # one product of two 256 × 256 matrices
    matmul_ratio: float  # φ of that product's 65,536 entries, to the product


_MATRIX = 256


def cost(
    activation: Activation,
    n: int,
    repeats: int,
    rng: np.random.Generator,
    knobs: Mapping[str, float] | None = None,
) -> Cost:
    """Measure what φ costs on n standard normal numbers, beside ReLU and beside one matrix product.

    The three are timed in turn, ``repeats`` times, so that whatever else the machine does meets all alike.

    Raises:
        ValueError: n or repeats below 1.
    """
    for name, value in (("n", n), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"{name} = {value}: needs a whole number from 1")
    f, _ = bind(activation, knobs)
    relu, _ = bind(ACTIVATIONS["ReLU"], None)
    x = rng.standard_normal(n)
    left, right = rng.standard_normal((2, _MATRIX, _MATRIX))
    tasks: tuple[Callable[[], object], ...] = (lambda: f(x), lambda: relu(x), lambda: left @ right)
    seconds = np.empty((repeats, len(tasks)))
    for task in tasks:  # the first call of each pays for memory and threads
        task()
    for row in seconds:
        for i, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            row[i] = time.perf_counter() - start
    own, base, product = np.maximum(np.median(seconds, axis=0), 1e-9).tolist()  # the grain of the clock
    return Cost(own / n, own / base, product, own / n * _MATRIX**2 / product)
