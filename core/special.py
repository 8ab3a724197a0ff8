"""The error function and the normal distribution: smooth functions that NumPy does not have.

A function is stored as the coefficients of its Taylor polynomials around a fine grid. A call finds the
nearest grid point and evaluates one short polynomial.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Knobs = ParamSpec("Knobs")

SQRT_2PI = math.sqrt(2 * math.pi)


def elementwise(
    function: Callable[Concatenate[Array, Knobs], Array],
) -> Callable[Concatenate[ArrayLike, Knobs], Array]:
    """Let a function of a float array take numbers, lists and arrays: (...) → a new array (...).

    A float dtype is kept; integers and booleans become float64; anything else is a TypeError. Tails may
    underflow to 0 without a signal, also where the caller asks NumPy to raise on underflow.
    """

    @wraps(function)
    def wrapper(x: ArrayLike, /, *args: Knobs.args, **kwargs: Knobs.kwargs) -> Array:
        array = np.asarray(x)
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float64, casting="same_kind")
        with np.errstate(under="ignore"):
            return np.asarray(function(array, *args, **kwargs), dtype=array.dtype)

    return wrapper


def _polynomial(coefficients: Array, k: NDArray[np.intp], h: Array) -> Array:
    """Evaluate Σ coefficients[n, k]·hⁿ at each k and h by Horner's rule."""
    value: Array = coefficients[-1].take(k, mode="clip")
    for row in coefficients[-2::-1]:
        value *= h
        value += row.take(k, mode="clip")
    return value


def _nearest(x: Array, grain: int, end: float) -> tuple[NDArray[np.intp], Array, Array]:
    """Return k, a and h: min(|x|, end) is h away from the nearest grid point, a = k/grain.

    For NaN k is arbitrary (``take`` clips it into the table) and h is NaN.
    """
    size = np.minimum(np.abs(x.astype(np.float64)), end)
    point = np.rint(size * grain)
    with np.errstate(invalid="ignore"):  # the cast of NaN
        k = point.astype(np.intp)
    return k, point / grain, size - point / grain


_ERF_GRAIN, _ERF_END = 512, 6.0  # erf(6) rounds to 1


def _erf_coefficients() -> Array:
    """Taylor coefficients of erf at k/512, (7, points).

    erf(a + h) = erf(a) + 2/√π·e^(−a²)·∫₀ʰ e^(−2at−t²) dt.
    """
    a = np.arange(_ERF_END * _ERF_GRAIN + 1) / _ERF_GRAIN
    u = [np.ones_like(a), -2 * a]  # Taylor coefficients of e^(−2at−t²), from its own differential equation
    for n in range(2, 6):
        u.append(-2 * (a * u[-1] + u[-2]) / n)
    slope = 2 / math.sqrt(math.pi) * np.array([math.exp(-v * v) for v in a.tolist()])
    value = np.array([math.erf(v) for v in a.tolist()])
    return np.stack([value, *(slope * c / (n + 1) for n, c in enumerate(u))])


_MILLS_GRAIN, _MILLS_END = 64, 39.0  # Φ(−39) underflows to 0


def _mills_coefficients() -> Array:
    """Taylor coefficients of the Mills ratio R(a) = Φ(−a)/φ(a) at k/64, (7, points).

    The continued fraction a + 1/(a + 2/(a + 3/(a + …))) of 1/R converges fast from 1 on; below,
    ``math.erfc`` is accurate. The derivatives follow from R′ = aR − 1.
    """
    a = np.arange(_MILLS_END * _MILLS_GRAIN + 1) / _MILLS_GRAIN
    fraction = np.maximum(a, 1.0)
    for n in range(400, 0, -1):
        fraction = np.maximum(a, 1.0) + n / fraction
    near = [math.sqrt(math.pi / 2) * math.exp(v * v / 2) * math.erfc(v / math.sqrt(2)) for v in a[a < 1]]
    derivatives = [np.concatenate([near, 1 / fraction[a >= 1]])]
    derivatives.append(a * derivatives[0] - 1)
    for n in range(1, 6):
        derivatives.append(a * derivatives[-1] + n * derivatives[-2])
    return np.stack([d / math.factorial(n) for n, d in enumerate(derivatives)])


_ERF = _erf_coefficients()
_MILLS = _mills_coefficients()
_DENSITY = np.array([math.exp(-((k / _MILLS_GRAIN) ** 2) / 2) / SQRT_2PI for k in range(_MILLS.shape[1])])


@elementwise
def erf(x: Array) -> Array:
    """Error function 2/√π·∫₀ˣ e^(−t²) dt, (...) → (...), within 2e-16 in float64; odd, ±1 at ±∞."""
    k, _, h = _nearest(x, _ERF_GRAIN, _ERF_END)
    return np.copysign(_polynomial(_ERF, k, h), x)


@elementwise
def normal_cdf(x: Array) -> Array:
    """Φ(x) = P(N(0, 1) ≤ x), (...) → (...), with full relative accuracy down to underflow near −38.

    Left of 0 it is φ(x) times the Mills ratio, so nothing cancels; right of 0 it is 1 − Φ(−x).
    """
    k, a, h = _nearest(x, _MILLS_GRAIN, _MILLS_END)
    # e^(−x²/2) from the square of the grid point, which is exact; x² itself would be rounded.
    density = _DENSITY.take(k, mode="clip") * np.exp(-h * (a + h / 2))
    tail = density * _polynomial(_MILLS, k, h)
    return np.where(x > 0, 1 - tail, tail)


@elementwise
def exp_minus_square(x: Array, scale: float = 1.0) -> Array:
    """e^(−scale·x²) for scale 1 or ½, (...) → (...), with full relative accuracy down to underflow.

    Squaring x rounds, and the exponential would magnify that error |x|² times. So x is split into a short
    part, whose square is exact, and a remainder.
    """
    x = np.clip(x, -40, 40)  # both underflow before 40
    short = np.rint(x * 64) / 64
    return np.exp(-scale * short * short) * np.exp(-scale * (x - short) * (x + short))


@elementwise
def normal_pdf(x: Array) -> Array:
    """φ(x) = e^(−x²/2)/√(2π), the density of N(0, 1), (...) → (...), accurate down to underflow."""
    return exp_minus_square(x, 0.5) / SQRT_2PI
