"""A surface from a typed formula: its window, its stationary points as far as a search finds them, a start, a rate.

What the registry of surfaces knows from algebra is searched for here: Newton's method from a grid of starts
for smooth stationary points, a compass search from the dips of a grid for minima at kinks.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.expressions import Expression, parse
from core.knobs import number
from core.surface_formulas import Array
from core.surfaces import Kind, Point, Stationary, Surface

Mask = NDArray[np.bool_]

EXTENTS = (0.1, 50.0)
"""Smallest and largest half width of the window; the suggested learning rates stay in their range within it."""

MOST = 80  # points listed; the lowest minima come first

_STARTS = 24  # Newton starts from 24 × 24 points
_GRID = 41  # dips are looked for on 41 × 41 points; odd, so that the origin and the axes are among them
_SAME = 1e-5  # in units of the extent: closer points are one
_APART = 0.25  # likewise: of a curve or plateau of stationary points, some at this distance are listed
_RING = 1e-3  # likewise: radius at which values nearby are compared
_ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)
_CORNERS = ((-0.8, 0.6), (0.8, 0.6), (-0.8, -0.6), (0.8, -0.6), (0.4, 0.3), (-0.4, 0.3), (0.4, -0.3))
_RATES = (
    1e-5,
    4.0,
)  # every optimizer's suggestion, up to 2.5 times this and down to a ninth, is one its control shows
_PROBE = 60  # steps of gradient descent that try a rate out


@lru_cache(maxsize=8)
def custom_surface(text: str, extent: float) -> Surface:
    """Build the surface of a typed formula over the window [−extent, extent]².

    Its stationary points are those that a search found, so ``complete`` is False. ``is_global`` marks the
    lowest minimum found, unless a point of a grid over the window, its border included, is lower still; then
    there is no ``infimum``. ``bounded_below`` is what values far outside suggest.

    Args:
        text: a formula, see ``core.expressions``.
        extent: half width of the window, from 0.1 to 50.

    Raises:
        ExpressionError: the text is no formula. ValueError: extent is outside its range.
    """
    if not EXTENTS[0] <= extent <= EXTENTS[1]:
        raise ValueError(f"extent = {extent}: needs a number from {EXTENTS[0]} to {EXTENTS[1]}")
    formula = parse(text)
    w = _square(extent, _GRID)
    heights = formula.f(w)
    lowest = _lowest(heights)
    points = _stationary(formula, extent, w, heights)
    start, rate = _begin(formula, extent)
    values = [point.value for point in points if point.is_global]
    far = min((_lowest(formula.f(zoom * w)) for zoom in (4.0, 100.0)), default=math.nan)
    return Surface(
        name="f(x, y) = " + formula.text.replace("*", "·"),
        f=formula.f,
        grad=formula.grad,
        hessian=formula.hessian,
        window=(-extent, extent, -extent, extent),
        starts=(start,),
        stationary=points,
        formula=formula.latex,
        source="typed on this page",
        rate=rate,
        note=_note(points, lowest),
        complete=False,
        bounded_below=bool(values) and not far < values[0] - _slack(values[0]),
    )


def _square(extent: float, count: int) -> Array:
    axis = np.linspace(-extent, extent, count)
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def _lowest(heights: Array) -> float:
    """Return the lowest value, −inf included; NaN where no value is a number."""
    known = heights[~np.isnan(heights)]
    return float(known.min()) if known.size else math.nan


def _slack(height: float) -> float:
    """Return how much of a value is rounding."""
    return 1e-12 * (1 + abs(height))


def _length(w: Array) -> Array:
    return np.asarray(np.hypot(w[..., 0], w[..., 1]))


def _note(points: tuple[Stationary, ...], lowest: float) -> str:
    if math.isnan(lowest) or lowest == math.inf:
        return "On a grid over the window f is nowhere a finite number."
    kinds = [point.kind for point in points]
    if "minimum" not in kinds:
        return f"No minimum found in the window; the lowest value on a grid over it is {number(lowest)}."
    best = points[0]
    example = "" if best.isolated else ", for example"
    listed = f"f = {number(best.value)}{example} at ({number(best.point[0])}, {number(best.point[1])})"
    counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
    counts = f"Points found, by kind: {counts}; there may be more."
    if best.is_global:
        return f"The lowest found in the window: {listed}. {counts}"
    return (
        f"The lowest minimum found: {listed}; elsewhere in the window f falls to {number(lowest)}. {counts}"
    )


# Stationary points


def _stationary(formula: Expression, extent: float, w: Array, heights: Array) -> tuple[Stationary, ...]:
    lowest, dips = _lowest(heights), _dips(w, heights)[:MOST]
    starts = _square(extent * (1 - 1 / _STARTS), _STARTS).reshape(-1, 2)
    smooth = _newton(formula, np.concatenate([dips, starts]), extent)
    found = _classified(formula, smooth, extent, lowest)
    cell = 2 * extent / (_GRID - 1)
    for kink in _kinks(formula, _away(dips, found, 1.5 * cell), extent, lowest):
        near = _RING if kink.isolated else _APART
        if len(_away(np.array([kink.point]), found, near * extent)):
            found.append(kink)
    order: list[Kind] = ["minimum", "saddle", "maximum", "degenerate"]
    found.sort(key=lambda p: (order.index(p.kind), round(p.value, 12), math.hypot(*p.point), p.point))
    if found and found[0].kind == "minimum":
        level = found[0].value + _slack(found[0].value)
        if lowest >= found[0].value - _slack(found[0].value):
            best = [point.kind == "minimum" and point.value <= level for point in found]
            found = [replace(point, is_global=at) for point, at in zip(found, best, strict=True)]
    return tuple(found[:MOST])


def _away(w: Array, found: list[Stationary], distance: float) -> Array:
    """Return the points that are farther than a distance from every minimum of a list."""
    minima = np.array([point.point for point in found if point.kind == "minimum"])
    return w if not len(minima) else w[_length(w[:, None] - minima).min(axis=1) > distance]


def _eigen(hessian: Array) -> tuple[Array, Array, Array]:
    """Return the eigenvalues of symmetric 2 × 2 matrices, larger first, and the direction of the larger."""
    a, b, d = hessian[..., 0, 0], hessian[..., 0, 1], hessian[..., 1, 1]
    middle, half = (a + d) / 2, np.hypot((a - d) / 2, b)
    angle = np.arctan2(2 * b, a - d) / 2
    return middle + half, middle - half, np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _newton_step(formula: Expression, w: Array) -> tuple[Array, Mask]:
    """Return Newton's step, along the directions that bend at all, and whether the slope is all but zero."""
    g = formula.grad(w)
    high, low, along = _eigen(formula.hessian(w))
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    size = np.maximum(np.abs(high), np.abs(low))
    step = np.zeros_like(w)
    for bend, direction in ((high, along), (low, across)):
        part = (g * direction).sum(axis=-1)
        part = np.where(np.abs(bend) > 1e-10 * size, part / bend, np.where(np.isnan(bend), math.nan, 0.0))
        step -= part[..., None] * direction
    return step, np.asarray(_length(g) <= 1e-9 * size)


def _newton(formula: Expression, starts: Array, extent: float) -> Array:
    """Return where Newton's method settles in the window, (n, 2), many points more than once."""
    settled: list[Array] = []
    w = starts
    with np.errstate(all="ignore"):
        for _ in range(50):
            step, level = _newton_step(formula, w)
            length = _length(step)
            w = w + step * np.minimum(1, 0.3 * extent / np.where(length > 0, length, 1))[:, None]
            done = np.asarray(length <= 1e-10 * extent) & level
            settled.append(w[done])
            # NaN fails the comparison and is dropped; so is a slope on which nothing bends.
            near = (np.abs(w) <= 1.5 * extent).all(axis=-1) & (length > 0)
            w = w[~done & near]
            if not len(w):
                break
        found: Array = np.concatenate(settled)
        for _ in range(2):
            step, _ = _newton_step(formula, found)
            better = _length(formula.grad(found + step)) < _length(formula.grad(found))
            found = np.where(better[:, None], found + step, found)
        found = _rounded(formula, found, 1e-6 * extent)
        found = np.where(np.abs(found) < 1e-14 * extent, 0.0, found)
    inside: Mask = (np.abs(found) <= extent).all(axis=-1) & np.isfinite(formula.f(found))
    return found[inside]


def _rounded(formula: Expression, w: Array, most: float, heights: bool = False) -> Array:
    """Round coordinates to as few decimals as leave the gradient as short (or f as low): 0, not 1e-17."""
    measure: Callable[[Array], Array] = formula.f if heights else lambda w: _length(formula.grad(w))
    size, exact = measure(w), w
    for decimals in (12, 9, 6, 3, 2, 1, 0):
        short = np.round(exact, decimals) + 0.0  # no negative zeros
        new = measure(short)
        good = (new <= size) & (np.abs(short - exact) <= most).all(axis=-1)
        w, size = np.where(good[:, None], short, w), np.where(good, new, size)
    return w


def _distinct(w: Array, apart: float) -> NDArray[np.intp]:
    """Return the indices of points of which no two are closer than a distance; earlier points stay."""
    left, kept = np.arange(len(w)), []
    while left.size:
        kept.append(left[0])
        left = left[_length(w[left] - w[left[0]]) > apart]
    return np.array(kept, dtype=np.intp)


def _classified(formula: Expression, w: Array, extent: float, lowest: float) -> list[Stationary]:
    """Turn the points where Newton's method settled into a list without repeats, each with its kind."""
    everything, all_heights = w, formula.f(w)
    w = w[_distinct(w, _SAME * extent)]
    high, low, _ = _eigen(formula.hessian(w))
    zero = 1e-7 * np.maximum(np.abs(high), np.abs(low))
    decided = np.minimum(np.abs(high), np.abs(low)) > zero
    kinds = np.where(low > zero, "minimum", np.where(high < -zero, "maximum", "saddle"))
    heights = formula.f(w)
    kinked = _kinked(*_rises(formula, w, heights, extent))
    found = [_point(w[i], heights[i], kinds[i].item(), smooth=not kinked[i]) for i in np.flatnonzero(decided)]

    # Where the Hessian is singular, values nearby decide; of a curve of such points only some are listed.
    w, heights, kinked = w[~decided], heights[~decided], kinked[~decided]
    spaced = _distinct(w, _APART * extent)
    wide, _ = _rises(formula, w[spaced], heights[spaced], extent)
    for point, height, rise, kink in zip(w[spaced], heights[spaced], wide, kinked[spaced], strict=True):
        slack = 1e-13 * (1 + abs(height))
        distance = _length(everything - point)
        near = (distance > 10 * _SAME * extent) & (distance < _APART * extent)
        alone = not np.any(near & (np.abs(all_heights - height) <= 1e-9 * (1 + abs(height))))
        below, above = bool(rise.min() >= -slack), bool(rise.max() <= slack)
        if below and above:
            # A plateau: none on the way down, and few points of the lowest.
            if height > lowest + _slack(lowest) or not len(_away(point[None], found, extent)):
                continue
            alone = False
        kind: Kind = "minimum" if below else "maximum" if above else "degenerate"
        found.append(_point(point, height, kind, isolated=alone, smooth=not kink))
    return found


def _rises(formula: Expression, w: Array, heights: Array, extent: float) -> tuple[Array, Array]:
    """Return how much higher f is on a circle round each point (n, 48), and on one of a tenth of its radius."""
    with np.errstate(all="ignore"):
        wide, close = (
            formula.f(w[:, None] + radius * extent * _CIRCLE) - heights[:, None]
            for radius in (_RING, _RING / 10)
        )
    return wide, close


def _kinked(wide: Array, close: Array) -> Mask:
    """Return whether f has a kink: ten times nearer it changes by a tenth, not by a hundredth or less."""
    return np.asarray(np.abs(close).max(axis=1) > 0.03 * np.abs(wide).max(axis=1))


def _point(w: Array, height: float, kind: Kind, *, isolated: bool = True, smooth: bool = True) -> Stationary:
    return Stationary((float(w[0]), float(w[1])), float(height) + 0.0, kind, False, isolated, smooth)


def _dips(w: Array, heights: Array) -> Array:
    """Return the inner points of a grid (n, n, 2) below which no neighbor lies, the lowest first."""
    f = np.where(np.isnan(heights), math.inf, heights)
    inner = f[1:-1, 1:-1]
    count = len(f) - 2
    low = np.isfinite(inner)
    strict = np.zeros_like(low)
    for i, j in itertools.product(range(3), repeat=2):
        if (i, j) != (1, 1):
            neighbor = f[i : i + count, j : j + count]
            low &= inner <= neighbor
            strict |= inner < neighbor
    dips = w[1:-1, 1:-1][low & strict]
    return dips[np.argsort(inner[low & strict], kind="stable")]


def _kinks(formula: Expression, w: Array, extent: float, lowest: float) -> list[Stationary]:
    """Return the minima that a compass search reaches and Newton's method does not: kinks, and very flat ones.

    The search goes to the lowest of 16 points around, and halves its reach where none is lower.
    """
    if not len(w):
        return []
    reach = np.full(len(w), 2 * extent / (_GRID - 1))
    height = formula.f(w)
    for _ in range(70):
        around = w[:, None] + reach[:, None, None] * _CIRCLE[::3]
        heights = formula.f(around)
        best = np.where(np.isnan(heights), math.inf, heights).argmin(axis=1)[:, None]
        down = np.take_along_axis(heights, best, 1)[:, 0]
        lower = down < height
        w = np.where(lower[:, None], np.take_along_axis(around, best[..., None], 1)[:, 0], w)
        height = np.where(lower, down, height)
        reach = np.where(lower, reach, reach / 2)
    w = _rounded(formula, w, 0.05 * extent, heights=True)
    w = w[_distinct(w, 1e-3 * extent)]
    height = formula.f(w)
    wide, close = _rises(formula, w, height, extent)
    slack = 1e-13 * (1 + np.abs(height))
    holds = np.minimum(wide, close).min(axis=1) >= -slack
    flat = wide.max(axis=1) <= slack
    level = _length(formula.grad(w)) <= 1e-11
    inside = (np.abs(w) < extent).all(axis=-1) & np.isfinite(height)
    good = holds & inside & np.where(flat, level & (height <= lowest + slack), _kinked(wide, close))
    alone = wide.min(axis=1) > slack
    return [
        _point(w[i], height[i], "minimum", isolated=bool(alone[i]), smooth=bool(flat[i]))
        for i in np.flatnonzero(good)
    ]


# Where to begin, and how fast


def _begin(formula: Expression, extent: float) -> tuple[Point, float]:
    """Return a start and a learning rate: the first start from which descent may be about as fast as 1/λ."""
    starts = _starts(formula, extent)
    found = []
    for start in starts:
        rate, guess = _rate(formula, np.array(start), extent)
        if rate >= guess / 8:
            return start, rate
        found.append(rate)
    return starts[0], found[0]


def _starts(formula: Expression, extent: float) -> list[Point]:
    """Return points toward the corners at which f and its gradient are finite and not level, best first.

    If there are none, it is one point of a grid, then one that is level, and at last the first corner.
    """
    corners = [(float(f"{extent * u:.4g}"), float(f"{extent * v:.4g}")) for u, v in _CORNERS]
    anywhere = [(float(u), float(v)) for u, v in _square(extent, _GRID).reshape(-1, 2)]
    level: list[Point] = []
    for group, most in ((corners, len(corners)), (anywhere, 1)):
        w = np.array(group)
        slope = _length(formula.grad(w))
        finite = np.isfinite(formula.f(w)) & np.isfinite(slope)
        usable = [group[i] for i in np.flatnonzero(finite & (slope > 0))]
        if usable:
            return usable[:most]
        level += [group[i] for i in np.flatnonzero(finite)[:1]]
    return (level or corners)[:1]


def _rate(formula: Expression, start: Array, extent: float) -> tuple[float, float]:
    """Return a learning rate for gradient descent, and 1/λ, the guess it began from.

    λ is the largest eigenvalue of the Hessian at the start by size. The rate is the largest, of four times the
    guess and its halves, at which the first steps go down and stay in the window; if none does, the guess.
    It has two significant digits.
    """
    with np.errstate(all="ignore"):
        high, low, _ = _eigen(formula.hessian(start))
        bend, slope = float(max(abs(high), abs(low))), float(_length(formula.grad(start)))
        guess = 1 / bend if 0 < bend < math.inf else extent / (20 * slope) if 0 < slope < math.inf else 0.1
        guess = min(max(guess, _RATES[0]), _RATES[1])
        rates = np.array([float(f"{np.clip(guess * 2.0**k, *_RATES):.2g}") for k in range(2, -18, -1)])
        w = np.broadcast_to(start, (len(rates), 2))
        first = height = formula.f(w)
        good = np.ones(len(rates), dtype=bool)
        for _ in range(_PROBE):
            w = w - rates[:, None] * formula.grad(w)
            new = formula.f(w)
            good &= (np.abs(w) <= extent).all(axis=-1) & (new <= height + 1e-12 * (1 + np.abs(height)))
            height = new
        good &= height < first
    return float(rates[good.argmax() if good.any() else 2]), guess
