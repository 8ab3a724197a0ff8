"""Two-dimensional formulas with analytic first and second derivatives, written in coordinates x and y.

``value``, ``gradient`` and ``hessian`` lift a formula in (x, y) to points of shape (..., 2).
``core.surfaces`` adds windows, starts and stationary points.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Parts = tuple[ArrayLike, ...]
Evaluate = Callable[..., Array]

STEEP = 4.0  # λ₂ of the quadratic bowl
TWO_PI = 2 * math.pi
ROOT_HALF = math.sqrt(0.5)
_SCALARS = (float, int, np.generic)


def _coordinates(w: ArrayLike) -> tuple[Array, Array]:
    points = np.asarray(w)
    if points.dtype.kind != "f":
        points = points.astype(np.float64, casting="same_kind")
    if points.ndim == 0 or points.shape[-1] != 2:
        raise ValueError(f"w has shape {points.shape}: needs (..., 2)")
    return points[..., 0], points[..., 1]


def _on_points(formula: Callable[..., Parts], order: tuple[int, ...], tail: tuple[int, ...]) -> Evaluate:
    """Evaluate the parts of a formula on points; part ``order[i]`` becomes entry i of the last axes."""

    def evaluate(w: ArrayLike, **knobs: Any) -> Array:
        x, y = _coordinates(w)
        # Far out, a value that exceeds the float range is inf and inf - inf is NaN, and so is what a typed
        # formula divides by 0: all are returned as they are, for the caller to report. NumPy's warning would
        # only repeat it.
        with np.errstate(all="ignore"):
            parts = formula(x, y, **knobs)
            # One point, as each step of a run asks for it, needs none of what follows.
            if x.ndim == 0 and all(isinstance(part, _SCALARS) for part in parts):
                return np.array([parts[part] for part in order], x.dtype).reshape(tail)
            shape = np.broadcast(x, *parts).shape
            out = np.empty((*shape, len(order)), x.dtype)
            for entry, part in enumerate(order):
                out[..., entry] = parts[part]
        return out.reshape(shape + tail)

    return evaluate


def value(formula: Callable[..., ArrayLike]) -> Evaluate:
    """Lift f(x, y, **knobs) to points: (..., 2) → (...)."""
    return _on_points(lambda x, y, **knobs: (formula(x, y, **knobs),), order=(0,), tail=())


def gradient(formula: Callable[..., Parts]) -> Evaluate:
    """Lift (∂f/∂x, ∂f/∂y) to points: (..., 2) → (..., 2)."""
    return _on_points(formula, order=(0, 1), tail=(2,))


def hessian(formula: Callable[..., Parts]) -> Evaluate:
    """Lift (∂²f/∂x², ∂²f/∂x∂y, ∂²f/∂y²) to points: (..., 2) → (..., 2, 2), symmetric."""
    return _on_points(formula, order=(0, 1, 1, 2), tail=(2, 2))


# Quadratic bowl: f = ½(λ₁u² + λ₂v²), with the axes u and v turned by θ.


def rotation(theta: float | Array) -> tuple[Array, Array]:
    """Return cos θ and sin θ of an angle in degrees, exact at 0 and 90 and equal at 45."""
    return np.sin(np.radians(90.0 - theta)), np.sin(np.radians(theta))


def _eigen(kappa: float | Array, theta: float | Array) -> tuple[float | Array, Array, Array]:
    # Plain numbers are those of a run, which asks at each of its steps.
    if type(kappa) in (float, int) and type(theta) in (float, int):
        return _plain_eigen(cast(float, kappa), cast(float, theta))
    return _eigen_of(kappa, theta)


@lru_cache(maxsize=256)
def _plain_eigen(kappa: float, theta: float) -> tuple[float | Array, Array, Array]:
    return _eigen_of(kappa, theta)


def _eigen_of(kappa: float | Array, theta: float | Array) -> tuple[float | Array, Array, Array]:
    for name, knob, low, high in (("kappa", kappa, 1, 1000), ("theta", theta, 0, 90)):
        inside = (knob >= low) & (knob <= high)
        if not (inside is True or np.all(inside)):
            raise ValueError(f"{name} = {knob}: needs numbers from {low} to {high}")
    return STEEP / kappa, *rotation(theta)


def bowl(x: Array, y: Array, kappa: float | Array = 50.0, theta: float | Array = 0.0) -> Array:
    """Quadratic with eigenvalues 4/κ along u = (cos θ, sin θ) and 4 along v = (−sin θ, cos θ)."""
    flat, c, s = _eigen(kappa, theta)
    u, v = c * x + s * y, c * y - s * x
    return 0.5 * (flat * u * u + STEEP * v * v)


def bowl_gradient(x: Array, y: Array, kappa: float | Array = 50.0, theta: float | Array = 0.0) -> Parts:
    """Gradient of ``bowl``."""
    flat, c, s = _eigen(kappa, theta)
    gu, gv = flat * (c * x + s * y), STEEP * (c * y - s * x)
    return c * gu - s * gv, s * gu + c * gv


def bowl_hessian(x: Array, y: Array, kappa: float | Array = 50.0, theta: float | Array = 0.0) -> Parts:
    """Hessian of ``bowl``: the same everywhere."""
    flat, c, s = _eigen(kappa, theta)
    return flat * c * c + STEEP * s * s, (flat - STEEP) * c * s, flat * s * s + STEEP * c * c


# Beale: Σ rₖ² with rₖ = tₖ − x(1 − yᵏ), k = 1, 2, 3.

_BEALE = (1.5, 2.25, 2.625)


def _beale(x: Array, y: Array) -> tuple[list[Array], list[Array], list[Array]]:
    """Residuals r, ∂r/∂x and ∂r/∂y."""
    y2 = y * y
    dx: list[Array] = [y - 1, y2 - 1, y * y2 - 1]
    r: list[Array] = [t + x * d for t, d in zip(_BEALE, dx, strict=True)]
    return r, dx, [x, 2 * x * y, 3 * x * y2]


def beale(x: Array, y: Array) -> Array:
    """Three squared residuals."""
    r, _, _ = _beale(x, y)
    return r[0] * r[0] + r[1] * r[1] + r[2] * r[2]


def beale_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``beale``: 2 Jᵀr."""
    r, dx, dy = _beale(x, y)
    return (
        2 * (r[0] * dx[0] + r[1] * dx[1] + r[2] * dx[2]),
        2 * (r[0] * dy[0] + r[1] * dy[1] + r[2] * dy[2]),
    )


def beale_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``beale``: 2 JᵀJ plus the curvature of the residuals."""
    r, dx, dy = _beale(x, y)
    return (
        2 * sum(a * a for a in dx),
        2 * sum(a * b for a, b in zip(dx, dy, strict=True)) + 2 * r[0] + 4 * y * r[1] + 6 * y * y * r[2],
        2 * sum(b * b for b in dy) + 4 * x * r[1] + 12 * x * y * r[2],
    )


# Goldstein–Price: a product h(p)·g(t) of two quartics in p = x + y + 1 and t = 2x − 3y, both positive.
# Hence nine stationary points: p in {0, 2, 3} times t in {0, 1, 3}, all of them rational.


def _price(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    p, t = x + y + 1, 2 * x - 3 * y
    h = 1 + p * p * (36 + p * (3 * p - 20))
    far = t - 3
    return p, t, h, 3 + far * far * (3 + t * (3 * t + 2))


def _price_slopes(p: Array, t: Array) -> tuple[Array, Array]:
    return 12 * p * (p - 2) * (p - 3), 12 * t * (t - 1) * (t - 3)


def goldstein_price(x: Array, y: Array) -> Array:
    """Product of two quartics; 30 + t²(18 − 16t + 3t²) is written 3 + (t − 3)²(3t² + 2t + 3)."""
    _, _, h, g = _price(x, y)
    return h * g


def goldstein_price_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``goldstein_price``: h′g ∇p + hg′ ∇t."""
    p, t, h, g = _price(x, y)
    dh, dg = _price_slopes(p, t)
    return dh * g + 2 * h * dg, dh * g - 3 * h * dg


def goldstein_price_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``goldstein_price``."""
    p, t, h, g = _price(x, y)
    dh, dg = _price_slopes(p, t)
    pp = g * (72 + p * (36 * p - 120))
    tt = h * (36 + t * (36 * t - 96))
    pt = dh * dg
    return pp + 4 * pt + 4 * tt, pp - pt - 6 * tt, pp - 6 * pt + 9 * tt


# Rastrigin: Σ x² + 20 sin²(πx), which is the textbook x² − 10 cos 2πx + 10 without its cancellation.


def _turn(x: Array) -> Array:
    """Part of x beyond the nearest whole number: sin(2πx) of it is as exact at 1000 as at 0."""
    return x - np.rint(x)


def _sine_squared(x: Array) -> Array:
    """sin²(πx)."""
    s: Array = np.sin(math.pi * _turn(x))
    return s * s


def _hills(x: Array) -> Array:
    return x * x + 20 * _sine_squared(x)


def _hills_slope(x: Array) -> Array:
    wave: Array = np.sin(TWO_PI * _turn(x))
    return 2 * x + 10 * TWO_PI * wave


def _hills_bend(x: Array) -> Array:
    wave: Array = np.cos(TWO_PI * _turn(x))
    return 2 + 10 * TWO_PI * TWO_PI * wave


def rastrigin(x: Array, y: Array) -> Array:
    """Bowl with a ripple, separable."""
    return _hills(x) + _hills(y)


def rastrigin_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``rastrigin``."""
    return _hills_slope(x), _hills_slope(y)


def rastrigin_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``rastrigin``: diagonal."""
    return _hills_bend(x), 0.0, _hills_bend(y)


# Ackley: 20(1 − exp(−a r)) + e(1 − exp(−S)), a = √2/10, S = sin²πx + sin²πy: a cone plus a ripple.

_CONE = 0.2 * ROOT_HALF


def _positive(r: Array) -> Array:
    """r, with 1 in place of 0: a divisor for what is 0 at the origin."""
    return np.where(r == 0, 1, r)


def ackley(x: Array, y: Array) -> Array:
    """Cone with a ripple, exact to the last digits near its tip."""
    cone: Array = np.expm1(-_CONE * np.hypot(x, y))
    ripple: Array = np.expm1(-_sine_squared(x) - _sine_squared(y))
    return -20 * cone - math.e * ripple


def _ackley_parts(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Distance r, slope of the cone and e^(1 − S)."""
    r = np.hypot(x, y)
    return r, 20 * _CONE * np.exp(-_CONE * r), np.exp(1 - _sine_squared(x) - _sine_squared(y))


def ackley_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``ackley``; at the tip, where none exists, (0, 0)."""
    r, cone, ripple = _ackley_parts(x, y)
    r = _positive(r)
    return (
        cone * (x / r) + math.pi * ripple * np.sin(TWO_PI * _turn(x)),
        cone * (y / r) + math.pi * ripple * np.sin(TWO_PI * _turn(y)),
    )


def ackley_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``ackley``; at the tip, where none exists, that of the ripple alone."""
    r, cone, ripple = _ackley_parts(x, y)
    r = _positive(r)
    nx, ny, along = x / r, y / r, -_CONE * cone
    tx, ty = TWO_PI * _turn(x), TWO_PI * _turn(y)
    sx, sy, bend = np.sin(tx), np.sin(ty), math.pi**2 * ripple
    return (
        cone * (ny / r) * ny + along * nx * nx + bend * (2 * np.cos(tx) - sx * sx),
        (along - cone / r) * nx * ny - bend * sx * sy,
        cone * (nx / r) * nx + along * ny * ny + bend * (2 * np.cos(ty) - sy * sy),
    )


# Griewank: with b = y/√2, 1 − cos x cos b = sin²((x − b)/2) + sin²((x + b)/2), free of cancellation.


def griewank(x: Array, y: Array) -> Array:
    """Very wide bowl, (x² + y²)/4000, with a ripple of height 2."""
    b = ROOT_HALF * y
    minus: Array = np.sin((x - b) / 2)
    plus: Array = np.sin((x + b) / 2)
    return (x * x + y * y) / 4000 + minus * minus + plus * plus


def griewank_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``griewank``."""
    b = ROOT_HALF * y
    return x / 2000 + np.sin(x) * np.cos(b), y / 2000 + ROOT_HALF * np.cos(x) * np.sin(b)


def griewank_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``griewank``."""
    b = ROOT_HALF * y
    both = np.cos(x) * np.cos(b)
    return 1 / 2000 + both, -ROOT_HALF * np.sin(x) * np.sin(b), 1 / 2000 + both / 2


# Levy: A(v) + B(u) with v = (x − 1)/4, u = (y − 1)/4 (the textbook's w is 1 + v).
# A = sin²πv + v²(1 + 10 sin²(πv + 1)) and B = u²(1 + sin²2πu), both of period 1 but for the squares.


def levy(x: Array, y: Array) -> Array:
    """Sum of A(v) and B(u)."""
    v, u = (x - 1) / 4, (y - 1) / 4
    shifted: Array = np.sin(math.pi * _turn(v) + 1)
    return _sine_squared(v) + v * v * (1 + 10 * shifted * shifted) + u * u * (1 + _sine_squared(2 * u))


def levy_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``levy``: (A′/4, B′/4)."""
    v, u = (x - 1) / 4, (y - 1) / 4
    p, q = TWO_PI * _turn(v), TWO_PI * _turn(2 * u)
    shifted = np.sin(p / 2 + 1)
    da = math.pi * np.sin(p) + 2 * v * (1 + 10 * shifted * shifted) + 10 * math.pi * v * v * np.sin(p + 2)
    db = 2 * u * (1 + _sine_squared(2 * u)) + TWO_PI * u * u * np.sin(q)
    return da / 4, db / 4


def levy_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``levy``: diagonal, (A″/16, B″/16)."""
    v, u = (x - 1) / 4, (y - 1) / 4
    p, q = TWO_PI * _turn(v), TWO_PI * _turn(2 * u)
    shifted = np.sin(p / 2 + 1)
    dda = 2 * math.pi**2 * np.cos(p) + 2 * (1 + 10 * shifted * shifted)
    dda = dda + 40 * math.pi * v * np.sin(p + 2) + 20 * math.pi**2 * v * v * np.cos(p + 2)
    ddb = 2 * (1 + _sine_squared(2 * u)) + 8 * math.pi * u * np.sin(q) + 8 * math.pi**2 * u * u * np.cos(q)
    return dda / 16, 0.0, ddb / 16


# Drop-wave: −(1 + cos 12r)/D with D = 2 + r²/2, a function of the distance r alone.


def _drop(r: Array) -> tuple[Array, Array]:
    """1 + cos 12r, as a square so that it stays exact where it is small, and D."""
    half: Array = np.cos(6 * r)
    return 2 * half * half, 2 + r * r / 2


def _drop_pull(r: Array) -> Array:
    """f′(r)/r, which has a limit at 0."""
    top, bottom = _drop(r)
    wave: Array = 144 * np.sinc(12 * r / math.pi)
    return (wave + top / bottom) / bottom


def drop_wave(x: Array, y: Array) -> Array:
    """Rings round a drop."""
    top, bottom = _drop(np.hypot(x, y))
    return -top / bottom


def drop_wave_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``drop_wave``: (f′(r)/r) · (x, y)."""
    pull = _drop_pull(np.hypot(x, y))
    return pull * x, pull * y


def drop_wave_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``drop_wave``: f″ along the ray, f′/r across it."""
    r = np.hypot(x, y)
    nx, ny = x / _positive(r), y / _positive(r)
    top, bottom = _drop(r)
    ratio, across = r / bottom, _drop_pull(r)
    along = (144 * np.cos(12 * r) + top / bottom - 24 * ratio * np.sin(12 * r)) / bottom
    more = along - 2 * ratio * ratio * top / bottom - across
    return across + more * nx * nx, more * nx * ny, across + more * ny * ny


# Easom: −g(x)g(y) with g(x) = cos x · exp(−(x − π)²).


def _needle(x: Array) -> tuple[Array, Array, Array]:
    """g, g′ and g″."""
    u = x - math.pi
    c, s = np.cos(x), np.sin(x)
    bell = np.exp(-u * u)
    bu = bell * u  # first, so that 0 · u² is 0 where u² overflows
    return bell * c, -bell * s - 2 * bu * c, 4 * bu * s + (4 * bu * u - 3 * bell) * c


def easom(x: Array, y: Array) -> Array:
    """A needle on a plateau."""
    return -_needle(x)[0] * _needle(y)[0]


def easom_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``easom``."""
    (gx, dx, _), (gy, dy, _) = _needle(x), _needle(y)
    return -dx * gy, -gx * dy


def easom_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``easom``."""
    (gx, dx, bx), (gy, dy, by) = _needle(x), _needle(y)
    return -bx * gy, -dx * dy, -gx * by


# Plateau and cliff: 8(1 − E)² + ½y²E with E = exp(−x/4).


def cliff(x: Array, y: Array) -> Array:
    """Morse's potential along x (flat to the right, a wall to the left); y matters only off the plateau."""
    rise = np.expm1(-x / 4)
    return 8 * rise * rise + 0.5 * y * y * np.exp(-x / 4)


def cliff_gradient(x: Array, y: Array) -> Parts:
    """Gradient of ``cliff``."""
    wall = np.exp(-x / 4)
    return -wall * (4 * np.expm1(-x / 4) + y * y / 8), wall * y


def cliff_hessian(x: Array, y: Array) -> Parts:
    """Hessian of ``cliff``."""
    wall = np.exp(-x / 4)
    return wall * (np.expm1(-x / 4) + wall + y * y / 32), -wall * y / 4, wall
