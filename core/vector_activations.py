"""Activations of a whole vector: maxout, SwiGLU and softmax, where one output depends on several inputs.

They work on the last axis, (..., n) → (..., m), keep float32 and float64, leave the input alone, and turn NaN
into NaN. An entry gives the derivative in two forms: the vector–Jacobian product of backpropagation, and the
Jacobian matrix to look at.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.activations import d_swish, swish
from core.knobs import Knob, number
from core.special import Array, normal_cdf


@dataclass(frozen=True)
class VectorActivation:
    """One vector activation and all that is particular to it; knobs and arrays go by keyword."""

    name: str
    f: Callable[..., Array]  # f(x, **knobs): (..., n) → (..., m)
    vjp: Callable[..., Array]  # vjp(x, upstream, **knobs): (..., n), (..., m) → (..., n), Jᵀ·upstream
    jacobian: Callable[..., Array]  # jacobian(x, **knobs): (..., n) → (..., m, n), J[i, j] = ∂yᵢ/∂xⱼ
    formula: str  # LaTeX
    derivative: str  # LaTeX
    source: str
    knobs: tuple[Knob, ...] = ()
    arrays: tuple[str, ...] = ()  # keywords that take an array rather than a number
    convention: str = ""  # where frameworks differ
    torch: str = ""  # PyTorch expression in x, the knobs and the arrays


def _vector(x: ArrayLike) -> Array:
    """Return x as a float array with a last axis; integers become float64."""
    array = np.asarray(x)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64, casting="same_kind")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"x has shape {array.shape}: needs (..., n) with n from 1")
    return array


def _diagonal(values: Array) -> Array:
    """Return diagonal matrices: (..., n) → (..., n, n)."""
    n = values.shape[-1]
    matrix = np.zeros((*values.shape, n), values.dtype)
    matrix[..., range(n), range(n)] = values
    return matrix


# Maxout

MAXOUT_W = (-1.0, 0.2, 1.0)
MAXOUT_B = (-0.5, 0.5, 0.0)

MAXOUT_PIECES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "three pieces": (MAXOUT_W, MAXOUT_B),
    "ReLU": ((0.0, 1.0), (0.0, 0.0)),
    "leaky ReLU": ((0.01, 1.0), (0.0, 0.0)),
    "absolute value": ((-1.0, 1.0), (0.0, 0.0)),
}


class Maxout(NamedTuple):
    """What a maxout unit returns, and which of its pieces returned it."""

    value: Array  # (...)
    piece: NDArray[np.intp]  # (...), index of the winning piece


def parabola_pieces(k: int) -> tuple[Array, Array]:
    """Return w and b, both (k,), of the best maxout fit of x² on [−1, 1] with k pieces: its error is 1/(2k²).

    The pieces are the tangents at the middles of k equal intervals, raised by half of their largest error.

    Raises:
        ValueError: k < 1.
    """
    if k < 1:
        raise ValueError(f"k = {k}: needs a whole number from 1")
    middle = (2 * np.arange(k) + 1) / k - 1
    return 2 * middle, 1 / (2 * k * k) - middle**2


def _pieces(x: Array, w: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Return the value of every piece, with the pieces on the last axis, and w as an array of x's type."""
    w, b = np.asarray(w, x.dtype), np.asarray(b, x.dtype)
    if w.ndim not in (1, 3) or b.shape != w.shape[-2:] or not b.size:
        raise ValueError(f"w has shape {w.shape}, b {b.shape}: needs (k,), (k,) or (n, m, k), (m, k)")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if w.ndim == 1:
            # 0·∞ is 0: a flat piece stays flat, so that the two pieces of ReLU are ReLU at −∞ too.
            wide = np.broadcast_to(x[..., None], (*x.shape, w.size))
            scaled = np.multiply(w, wide, out=np.zeros_like(wide), where=(w != 0) | np.isnan(wide))
            return scaled + b, w
        if x.shape[-1:] != w.shape[:1]:
            raise ValueError(f"x has shape {x.shape}, w {w.shape}: needs (..., {w.shape[0]})")
        return np.tensordot(x, w, 1) + b, w


def maxout(x: ArrayLike, w: ArrayLike = MAXOUT_W, b: ArrayLike = MAXOUT_B) -> Maxout:
    """Largest of k linear pieces, and which it was (Goodfellow et al. 2013).

    Args:
        x: with w (k,) any shape (...): every entry is the one input of a unit of its own.
            With w (n, m, k) shape (..., n): the inputs of a layer of m units.
        w, b: slopes and offsets of the pieces, (k,) and (k,), or (n, m, k) and (m, k).

    Returns:
        max_j (w_j x + b_j) and the piece that attains it, (...) or (..., m). Of several equal pieces the
        first wins.

    Raises:
        ValueError: the shapes do not fit, or there is no piece.
    """
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float64, casting="same_kind")
    values, _ = _pieces(x, w, b)
    piece = np.argmax(values, axis=-1)  # NaN counts as the largest, so it gets through
    return Maxout(np.take_along_axis(values, piece[..., None], axis=-1)[..., 0], np.asarray(piece))


def maxout_value(x: ArrayLike, w: ArrayLike = MAXOUT_W, b: ArrayLike = MAXOUT_B) -> Array:
    """Return max_j (w_j x + b_j), (..., n) → (..., n) for w (k,) and (..., n) → (..., m) for w (n, m, k)."""
    return maxout(_vector(x), w, b).value


def _winning_slopes(x: Array, w: ArrayLike, b: ArrayLike) -> Array:
    """Return the slopes of the winners: (..., n) for w (k,), else (..., m, n)."""
    piece = maxout(x, w, b).piece
    w = np.asarray(w, x.dtype)
    if w.ndim == 1:
        return np.where(np.isnan(x), x, w[piece])
    slopes = np.moveaxis(w, 0, -1)[np.arange(w.shape[1]), piece]
    unknown = np.any(np.isnan(x), axis=-1, keepdims=True)[..., None]
    return np.where(unknown, np.asarray(math.nan, x.dtype), slopes)


def maxout_vjp(x: ArrayLike, upstream: ArrayLike, w: ArrayLike = MAXOUT_W, b: ArrayLike = MAXOUT_B) -> Array:
    """Return Jᵀ·upstream, (..., n): only the winning piece passes the gradient on."""
    x = _vector(x)
    slopes, upstream = _winning_slopes(x, w, b), np.asarray(upstream, x.dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if slopes.ndim == x.ndim:
            return np.asarray(slopes * upstream)
        return np.asarray(np.vecdot(slopes.swapaxes(-1, -2), upstream[..., None, :]))


def maxout_jacobian(x: ArrayLike, w: ArrayLike = MAXOUT_W, b: ArrayLike = MAXOUT_B) -> Array:
    """Return ∂yᵢ/∂xⱼ, (..., n, n) and diagonal for w (k,), (..., m, n) for w (n, m, k)."""
    x = _vector(x)
    slopes = _winning_slopes(x, w, b)
    return slopes if slopes.ndim > x.ndim else _diagonal(slopes)


class Envelope(NamedTuple):
    """Which piece of a maxout unit wins where, from left to right; all (winners,)."""

    piece: NDArray[np.intp]  # index of the piece; one that never wins is not listed
    low: Array  # where it begins to win, −∞ for the first
    high: Array  # where it ends, +∞ for the last
    share: Array  # probability that it wins for z ~ N(0, 1): Φ(high) − Φ(low)


def maxout_envelope(w: ArrayLike = MAXOUT_W, b: ArrayLike = MAXOUT_B) -> Envelope:
    """Return the upper envelope of the lines w_j z + b_j: the winners in order of slope, and where they meet.

    A maximum of lines is convex, so the slopes of the winners increase and each wins on one interval. A piece
    that wins on no more than 1e-12 is left out, as is the later one of two equal pieces.

    Args:
        w, b: slopes and offsets, both (k,).

    Raises:
        ValueError: the shapes are not (k,) with k from 1, or a number is not finite.
    """
    w, b = np.asarray(w, np.float64), np.asarray(b, np.float64)
    if w.ndim != 1 or w.shape != b.shape or not w.size or not np.all(np.isfinite(w) & np.isfinite(b)):
        raise ValueError(f"w has shape {w.shape}, b {b.shape}: needs finite (k,), (k,)")
    winners: list[int] = []
    low: list[float] = []
    for j in np.lexsort((np.arange(w.size), -b, w)).tolist():  # of equal slopes the highest, then the first
        if winners and w[winners[-1]] == w[j]:
            continue
        start = -math.inf
        while winners:
            top = winners[-1]
            with np.errstate(over="ignore"):
                start = float((b[top] - b[j]) / (w[j] - w[top]))
            if start > low[-1] + 1e-12 * max(1.0, abs(start)):
                break
            winners.pop()
            low.pop()
            start = -math.inf
        winners.append(j)
        low.append(start)
    left, right = np.array(low), np.array([*low[1:], math.inf])
    mirrored = left > 0  # right of 0 the difference is that of the small tails
    share = np.where(mirrored, normal_cdf(-left) - normal_cdf(-right), normal_cdf(right) - normal_cdf(left))
    return Envelope(np.array(winners, dtype=np.intp), left, right, share)


# SwiGLU


def _halves(x: ArrayLike) -> tuple[Array, Array]:
    x = _vector(x)
    if x.shape[-1] % 2:
        raise ValueError(f"x has shape {x.shape}: needs (..., n) with n even, the gate first")
    return x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]


def swiglu(x: ArrayLike, beta: float = 1.0) -> Array:
    """Swish_β(a)·b of the halves x = (a, b), (..., 2m) → (..., m); β = 1 is SiLU(a)·b (Shazeer 2020).

    Raises:
        ValueError: the last axis is odd, or beta is not finite.
    """
    a, b = _halves(x)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return swish(a, beta) * b


def swiglu_vjp(x: ArrayLike, upstream: ArrayLike, beta: float = 1.0) -> Array:
    """Return Jᵀ·upstream, (..., 2m): (u·b·Swish_β′(a), u·Swish_β(a))."""
    a, b = _halves(x)
    u = np.asarray(upstream, a.dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.concatenate([u * b * d_swish(a, beta), u * swish(a, beta)], axis=-1)


def swiglu_jacobian(x: ArrayLike, beta: float = 1.0) -> Array:
    """Return ∂yᵢ/∂xⱼ, (..., m, 2m): two diagonal blocks."""
    a, b = _halves(x)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.concatenate([_diagonal(b * d_swish(a, beta)), _diagonal(swish(a, beta))], axis=-1)


# Softmax


def _softmax_parts(x: ArrayLike, temperature: float) -> tuple[Array, NDArray[np.intp], Array, Array]:
    """Return (x − max x)/T, the index of the maximum, and numerators e^((x − max x)/T) and their sum.

    The sum leaves out the largest term, which is 1: what the others add to it may be far below rounding.
    """
    x = _vector(x)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature = {number(temperature)}: needs a finite number above 0")
    top = np.argmax(x, axis=-1)[..., None]
    largest = np.take_along_axis(x, top, axis=-1)
    # A logit that is infinitely above the rest takes all; several at the same ±∞ have no limit: NaN.
    alone = np.isfinite(largest) | ((x == largest).sum(axis=-1, keepdims=True) == 1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        shifted = np.where((x == largest) & alone, 0, x - largest) / np.asarray(temperature, x.dtype)
        e = np.exp(shifted)
        others = e.copy()
        np.put_along_axis(others, top, 0, axis=-1)
        return shifted, top, e, others.sum(axis=-1, keepdims=True)


def softmax(x: ArrayLike, temperature: float = 1.0) -> Array:
    """e^(xᵢ/T)/Σⱼ e^(xⱼ/T) over the last axis, (..., n) → (..., n), with the maximum subtracted first.

    One logit at +∞ gets all the mass, and −∞ gets none. Where several are equal at the infinite maximum
    there is no limit, and the row is NaN.

    Raises:
        ValueError: temperature is not above 0, or x has no entries.
    """
    _, _, e, rest = _softmax_parts(x, temperature)
    with np.errstate(under="ignore"):
        return e / (1 + rest)


def log_softmax(x: ArrayLike, temperature: float = 1.0) -> Array:
    """Return log softmax(x/T), (..., n) → (..., n), also where the probability underflows or rounds to 1."""
    shifted, _, _, rest = _softmax_parts(x, temperature)
    with np.errstate(under="ignore"):
        return shifted - np.log1p(rest)


def softmax_vjp(x: ArrayLike, upstream: ArrayLike, temperature: float = 1.0) -> Array:
    """Return Jᵀ·upstream = p ⊙ (u − p·u)/T, (..., n).

    u is taken relative to its entry at the largest logit, which changes nothing (Σp = 1) and keeps the
    digits where p is nearly one-hot.
    """
    _, top, e, rest = _softmax_parts(x, temperature)
    u = np.broadcast_to(np.asarray(upstream, e.dtype), e.shape)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        p = e / (1 + rest)
        u = u - np.take_along_axis(u, top, axis=-1)
        centred = u - np.asarray(np.vecdot(p, u))[..., None]
        return np.asarray(p * centred / np.asarray(temperature, e.dtype))


def softmax_jacobian(x: ArrayLike, temperature: float = 1.0) -> Array:
    """Return ∂pᵢ/∂xⱼ = (diag(p) − p·pᵀ)/T, (..., n, n): symmetric, rows sum to 0, rank n − 1.

    The diagonal pᵢ(1 − pᵢ) is the sum of the pᵢ·pⱼ beside it, so nothing cancels where p is nearly one-hot.
    """
    p = softmax(x, temperature)
    n = p.shape[-1]
    with np.errstate(over="ignore", under="ignore"):
        products = p[..., :, None] * p[..., None, :]
        products[..., range(n), range(n)] *= 0  # keeps NaN
        return (_diagonal(products.sum(axis=-1)) - products) / np.asarray(temperature, p.dtype)


_ENTRIES = (
    VectorActivation(
        "maxout",
        maxout_value,
        maxout_vjp,
        maxout_jacobian,
        formula=r"\max_{j \le k} (w_j z + b_j)",
        derivative=r"w_{j^*}, \quad j^* = \arg\max_j (w_j z + b_j)",
        source="Goodfellow, Warde-Farley, Mirza, Courville & Bengio 2013",
        arrays=("w", "b"),
        convention=(
            "Where pieces are equal, the first takes the gradient, here and in PyTorch’s max(dim); "
            "PyTorch’s amax and JAX’s max share it equally."
        ),
        torch="(x.unsqueeze(-1) * w + b).max(dim=-1).values",
    ),
    VectorActivation(
        "SwiGLU",
        swiglu,
        swiglu_vjp,
        swiglu_jacobian,
        formula=r"a\,\sigma(\beta a) \odot b, \quad z = (a, b)",
        derivative=(
            r"\frac{\partial y}{\partial a} = b \odot \bigl(\sigma(\beta a) + "
            r"\beta a\,\sigma(\beta a)\,(1 - \sigma(\beta a))\bigr), \quad "
            r"\frac{\partial y}{\partial b} = a\,\sigma(\beta a)"
        ),
        source="Shazeer 2020",
        knobs=(
            Knob(
                "beta",
                "float",
                1.0,
                label="Sharpness β",
                low=0.0,
                high=20.0,
                step=0.1,
                symbol="β",
                help="0 gives the product ab/2, 1 a SiLU gate, a large β nearly a ReLU gate.",
            ),
        ),
        convention="The first half is the gate, as in the paper. PyTorch’s glu gates with the second half.",
        torch="(lambda a, b: a * torch.sigmoid(beta * a) * b)(*x.chunk(2, dim=-1))",
    ),
    VectorActivation(
        "softmax",
        softmax,
        softmax_vjp,
        softmax_jacobian,
        formula=r"p_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}",
        derivative=r"\frac{\partial p_i}{\partial z_j} = \frac{p_i\,(\delta_{ij} - p_j)}{T}",
        source="Bridle 1990",
        knobs=(
            Knob(
                "temperature",
                "float",
                1.0,
                label="Temperature T",
                low=0.05,
                high=20.0,
                step=0.05,
                log=True,
                symbol="T",
                help="Low: nearly all mass on the largest logit. High: nearly uniform.",
            ),
        ),
        convention="PyTorch and JAX give NaN for a logit of +∞; here it takes all the mass, which is the limit.",
        torch="torch.softmax(x / temperature, dim=-1)",
    ),
)

VECTOR_ACTIVATIONS: dict[str, VectorActivation] = {entry.name: entry for entry in _ENTRIES}
