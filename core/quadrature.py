"""Expectations over a normal variable, E[fn(√q z)] with z ~ N(0, 1), right for every width √q.

Gauss–Hermite quadrature fails twice here: at a kink, and for large q, where tanh(√q z) is nearly a step.
The integral is therefore cut into panels, each with a Gauss–Legendre rule. Away from 0 the panels double
in width, starting from a fraction of the argument's own unit, so that what fn does around 0 is resolved
at any q; kinks are panel borders.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]

_FINEST = 0.125  # width of the first panel, in units of fn's argument
_WIDEST = 5.0  # widest panel in the same units, enough for cos 2x, while √q stays below …
_RESOLVED = 300.0
_BULK = 7.0  # where z's uniform panels end; |z| > 7 has probability 2.6e-12
_TAIL = np.array([8.5, 12.0])  # borders beyond it; at 12 the normal density is 2e-32
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_SQRT_2PI = math.sqrt(2 * math.pi)


def gaussian_nodes(scale: ArrayLike, kinks: Iterable[float] = ()) -> tuple[Array, Array]:
    """Return points x = scale·z and weights w so that E[fn(scale·z)] = Σ fn(x)·w.

    Args:
        scale: (...) standard deviations, 0 or more.
        kinks: arguments x at which fn or a derivative of it jumps.

    Returns:
        x and w, both (..., points). Up to a scale of 300 their number grows with the largest scale and
        functions that oscillate like sin² are resolved; beyond, with its logarithm, and they are not.
    """
    s = np.asarray(scale, dtype=np.float64)[..., None]
    placed = np.where(np.isfinite(s), np.maximum(s, 1e-300), 1.0)  # keeps the divisions below finite
    fine = placed <= _RESOLVED
    first = np.minimum(0.5, _FINEST / placed)
    last = np.minimum(1.0, np.where(fine, 32 * first, 1.0))  # doubling ends at 4 units, or at z = 1
    doublings = max(1, math.ceil(np.log2(last / first).max(initial=0.0)))
    rising = first * (last / first) ** (np.arange(doublings) / doublings)
    widest = np.where(fine, np.minimum(1.0, _WIDEST / placed), 1.0)
    uniform = math.ceil(((_BULK - last) / widest).max(initial=1.0))
    level = last + (_BULK - last) * (np.arange(uniform + 1) / uniform)
    right = np.concatenate([rising, level, np.broadcast_to(_TAIL, (*s.shape[:-1], _TAIL.size))], axis=-1)
    end = _TAIL[-1]
    cuts = np.clip(np.array([k for k in kinks if k != 0]) / placed, -end, end)
    borders = np.concatenate([-right, np.zeros_like(placed), right, cuts], axis=-1)
    borders.sort(axis=-1)
    half = 0.5 * np.diff(borders)[..., None]
    z = borders[..., :-1, None] + half * (1 + _NODES)
    w = half * _WEIGHTS * (np.exp(-0.5 * z * z) / _SQRT_2PI)
    shape = (*s.shape[:-1], -1) if s.size else (*s.shape[:-1], 0)
    return s * z.reshape(shape), w.reshape(shape)


def gaussian_mean(fn: Callable[[Array], Array], q: ArrayLike, kinks: Iterable[float] = ()) -> Array:
    """Return E[fn(√q z)] for z ~ N(0, 1), to about 1e-13 of E|fn| and exactly fn(0) at q = 0.

    Args:
        fn: elementwise function of an array, of at most polynomial growth.
        q: (...) variances, finite and 0 or more. float32 gives a float32 answer, computed in float64.
        kinks: arguments at which fn or a derivative of it jumps.

    Returns:
        (...) expectations.

    Raises:
        ValueError: a q is negative, infinite or NaN.
    """
    q = np.asarray(q)
    dtype = q.dtype if np.issubdtype(q.dtype, np.floating) else np.dtype(np.float64)
    q = check_variance("q", q)
    mean = np.empty(q.shape)
    scale = np.sqrt(q)
    for group in by_size(scale):
        x, w = gaussian_nodes(scale[group], kinks)
        mean[group] = np.vecdot(fn(x), w)
    return np.where(q == 0, fn(np.zeros(())), mean).astype(dtype)


def by_size(scale: ArrayLike) -> Iterator[NDArray[np.bool_]]:
    """Yield masks that sort scales by size, since the largest of a group sets its number of points."""
    size = np.searchsorted((4.0, 32.0, _RESOLVED, 1e9), scale)
    for group in range(5):
        mask = size == group
        if mask.any():
            yield mask


def check_variance(name: str, value: ArrayLike) -> Array:
    """Return ``value`` as a float64 array; ValueError unless every entry is finite and 0 or more."""
    array = np.asarray(value, dtype=np.float64)
    bad = ~((array >= 0) & (array < math.inf))
    if bad.any():
        raise ValueError(f"{name} = {array[bad].flat[0]}: needs finite numbers from 0")
    return array
