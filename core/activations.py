"""Activation functions: value, derivative, kinks, range, knobs and source of each, in one registry.

All are elementwise and deterministic: (...) → (...), float32 in → float32 out, the input left alone. They
keep their relative accuracy in the tails: where a textbook formula overflows or cancels, the one used here
is rearranged so that every exponential decays. ±∞ gives the limit and NaN gives NaN, in the function and in
the derivative. A knob is a number, or an array that broadcasts against x (one slope per channel).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.knobs import Knob, number
from core.special import Array, elementwise, erf, exp_minus_square, normal_cdf, normal_pdf

INF = math.inf
KnobValue = float | Array


@dataclass(frozen=True)
class Interval:
    """An interval of the real line, by its bounds and whether each is attained; ``str`` gives ``[0, ∞)``."""

    low: float
    high: float
    low_attained: bool = False
    high_attained: bool = False

    def __str__(self) -> str:
        left, right = "[" if self.low_attained else "(", "]" if self.high_attained else ")"
        return f"{left}{number(self.low)}, {number(self.high)}{right}"


LINE = Interval(-INF, INF)
HALF_LINE = Interval(0.0, INF, low_attained=True)


@dataclass(frozen=True)
class Activation:
    """One activation function and all that is particular to it.

    ``f``, ``df`` and ``range`` take the knobs by keyword, with the defaults of PyTorch where it has them.
    """

    name: str
    f: Callable[..., Array]
    df: Callable[..., Array]
    formula: str  # LaTeX in z
    derivative: str  # LaTeX in z
    range: Callable[..., Interval]  # range(**knobs): infimum and supremum of f over the real line
    source: str
    knobs: tuple[Knob, ...] = ()
    kinks: tuple[float, ...] = ()  # where f′ (for the step, f) jumps, at the default knobs
    seams: tuple[float, ...] = ()  # where pieces meet without a kink: f″ jumps, or f′ once a knob moves
    kink_note: str = ""  # the subgradient at the kinks: here, in PyTorch, in JAX
    convention: str = ""  # where frameworks differ in the function itself
    torch: str = ""  # PyTorch expression in z and the knobs
    numpy: str = ""  # f as a plain NumPy expression in z, the knobs and erf, right for |z| up to 60
    numpy_slope: str = ""  # df likewise, with the same subgradients
    naive: Callable[..., Array] | None = None  # f by its textbook formula, where that has an exponential
    naive_formula: str = ""  # that formula, LaTeX in z
    aliases: tuple[str, ...] = ()  # other spellings and names it once had, for links

    def kinks_at(self, **knobs: float) -> tuple[float, ...]:
        """Return the points where f or f′ jumps at these knob values, in increasing order."""

        def jumps(z: float) -> bool:
            sides = np.array([z - 1e-12, z + 1e-12])
            return any(abs(np.diff(g(sides, **knobs))[0]) > 1e-9 for g in (self.f, self.df))

        return tuple(z for z in sorted(self.kinks + self.seams) if jumps(z))


def _check(name: str, value: KnobValue, above: float = -INF) -> None:
    """Raise ValueError unless the value, or each of its elements, is finite and above the bound."""
    if not np.all(np.isfinite(value) & np.greater(value, above)):
        bound = "" if above == -INF else f" above {number(above)}"
        raise ValueError(f"{name} = {value}: needs a finite number{bound}")


def _times(a: KnobValue, x: Array) -> Array:
    """Return a·x for a finite a, where 0·∞ is 0: a closed gate or a zero slope lets nothing through.

    A product beyond the largest float is ±∞, which is the rounded answer and no error.
    """
    with np.errstate(over="ignore"):
        return np.multiply(a, x, out=np.zeros_like(x), where=np.not_equal(a, 0) | np.isnan(x))


def _choose(x: Array, condition: NDArray[np.bool_], yes: ArrayLike, no: ArrayLike) -> Array:
    """Return ``yes`` where the condition holds, ``no`` elsewhere, and NaN where x is NaN."""
    return np.where(np.isnan(x), x, np.where(condition, yes, no))


def _decay(x: Array) -> Array:
    """Return e^(−|x|), the one exponential that cannot overflow."""
    e: Array = np.exp(-np.abs(x))
    return e


def _clip(x: Array, low: float, high: float) -> Array:
    clipped: Array = np.clip(x, low, high)
    return clipped


def _ratio(x: Array) -> tuple[Array, Array]:
    """Return m = min(|x|, 1) and r = 1/max(|x|, 1): |x| as the ratio m/r of two numbers from 0 to 1."""
    size: Array = np.abs(x)
    return np.minimum(size, 1), 1 / np.maximum(size, 1)


# Linear and step


@elementwise
def identity(x: Array) -> Array:
    """x itself, as a copy."""
    return x.copy()


@elementwise
def d_identity(x: Array) -> Array:
    """1."""
    return _choose(x, x > 0, 1, 1)


@elementwise
def step(x: Array) -> Array:
    """1 from 0 on, else 0."""
    return _choose(x, x >= 0, 1, 0)


@elementwise
def d_step(x: Array) -> Array:
    """0, at the jump as well."""
    return _choose(x, x >= 0, 0, 0)


# Sigmoidal


@elementwise
def sigmoid(x: Array) -> Array:
    """1/(1 + e^(−x)), as e^x/(1 + e^x) for x < 0."""
    e = _decay(x)
    return np.where(x >= 0, 1, e) / (1 + e)


@elementwise
def d_sigmoid(x: Array) -> Array:
    """σ(1 − σ), without the difference: e/(1 + e)² with e = e^(−|x|)."""
    e = _decay(x)
    return e / (1 + e) ** 2


@elementwise
def hard_sigmoid(x: Array) -> Array:
    """min(max(x + 3, 0), 6)/6."""
    return _clip(x + 3, 0, 6) / 6


@elementwise
def d_hard_sigmoid(x: Array) -> Array:
    """1/6 inside (−3, 3), else 0."""
    return _choose(x, np.abs(x) < 3, 1 / 6, 0)


@elementwise
def hard_sigmoid_onnx(x: Array) -> Array:
    """min(max(0.2x + 0.5, 0), 1)."""
    return _clip(0.2 * x + 0.5, 0, 1)


@elementwise
def d_hard_sigmoid_onnx(x: Array) -> Array:
    """0.2 on [−2.5, 2.5], else 0."""
    return _choose(x, np.abs(x) <= 2.5, 0.2, 0)


@elementwise
def tanh(x: Array) -> Array:
    """(e^x − e^(−x))/(e^x + e^(−x))."""
    y: Array = np.tanh(x)
    return y


@elementwise
def d_tanh(x: Array) -> Array:
    """1 − tanh², without the difference: sech² = (2e/(1 + e²))² with e = e^(−|x|)."""
    e = _decay(x)
    return (2 * e / (1 + e * e)) ** 2


@elementwise
def hard_tanh(x: Array) -> Array:
    """min(max(x, −1), 1)."""
    return _clip(x, -1, 1)


@elementwise
def d_hard_tanh(x: Array) -> Array:
    """1 inside (−1, 1), else 0."""
    return _choose(x, np.abs(x) < 1, 1, 0)


@elementwise
def softsign(x: Array) -> Array:
    """x/(1 + |x|), where |x| = m/r may be ∞."""
    m, r = _ratio(x)
    return np.copysign(m / (r + m), x)


@elementwise
def d_softsign(x: Array) -> Array:
    """1/(1 + |x|)²."""
    m, r = _ratio(x)
    return (r / (r + m)) ** 2


@elementwise
def arctan(x: Array) -> Array:
    """arctan x."""
    y: Array = np.arctan(x)
    return y


@elementwise
def d_arctan(x: Array) -> Array:
    """1/(1 + x²), where |x| = m/r, because x² may overflow."""
    m, r = _ratio(x)
    return r**2 / (r**2 + m**2)


# Rectifiers


@elementwise
def relu(x: Array) -> Array:
    """max(x, 0)."""
    y: Array = np.maximum(x, 0)
    return y


@elementwise
def d_relu(x: Array) -> Array:
    """1 for x > 0, else 0."""
    return _choose(x, x > 0, 1, 0)


@elementwise
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return _clip(x, 0, 6)


@elementwise
def d_relu6(x: Array) -> Array:
    """1 inside (0, 6), else 0."""
    return _choose(x, (x > 0) & (x < 6), 1, 0)


@elementwise
def leaky_relu(x: Array, slope: KnobValue = 0.01) -> Array:
    """x for x > 0, else slope·x."""
    _check("slope", slope)
    return np.where(x > 0, x, _times(slope, x))


@elementwise
def d_leaky_relu(x: Array, slope: KnobValue = 0.01) -> Array:
    """1 for x > 0, else slope."""
    _check("slope", slope)
    return _choose(x, x > 0, 1, slope)


@elementwise
def prelu(x: Array, slope: KnobValue = 0.25) -> Array:
    """Leaky ReLU whose slope is learned; the default is its initial value."""
    return leaky_relu(x, slope)


@elementwise
def d_prelu(x: Array, slope: KnobValue = 0.25) -> Array:
    """1 for x > 0, else slope."""
    return d_leaky_relu(x, slope)


def _evaluation_slope(lower: KnobValue, upper: KnobValue) -> KnobValue:
    """Mean of the slopes that randomized ReLU draws in training."""
    _check("lower", lower)
    _check("upper", upper)
    if np.any(np.greater(lower, upper)):
        raise ValueError(f"lower = {lower}: needs a number up to upper = {upper}")
    return (lower + upper) / 2


@elementwise
def rrelu(x: Array, lower: KnobValue = 1 / 8, upper: KnobValue = 1 / 3) -> Array:
    """Randomized leaky ReLU at evaluation: the slope is the mean of U(lower, upper).

    Raises:
        ValueError: lower > upper.
    """
    return leaky_relu(x, _evaluation_slope(lower, upper))


@elementwise
def d_rrelu(x: Array, lower: KnobValue = 1 / 8, upper: KnobValue = 1 / 3) -> Array:
    """1 for x > 0, else (lower + upper)/2."""
    return d_leaky_relu(x, _evaluation_slope(lower, upper))


@elementwise
def elu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """x for x > 0, else alpha·(e^x − 1)."""
    _check("alpha", alpha)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@elementwise
def d_elu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """1 for x > 0, else alpha·e^x."""
    _check("alpha", alpha)
    return np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


@elementwise
def celu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """x for x > 0, else alpha·(e^(x/alpha) − 1); alpha above 0."""
    _check("alpha", alpha, above=0)
    return np.where(x > 0, x, alpha * np.expm1(_times(1 / alpha, np.minimum(x, 0))))


@elementwise
def d_celu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """1 for x > 0, else e^(x/alpha)."""
    _check("alpha", alpha, above=0)
    return np.exp(_times(1 / alpha, np.minimum(x, 0)))


# With these two, mean 0 and variance 1 are a stable fixed point of a layer with weights of variance 1/fan_in.
SELU_ALPHA = 1.6732632423543772848
SELU_LAMBDA = 1.0507009873554804934


@elementwise
def selu(x: Array) -> Array:
    """λx for x > 0, else λα(e^x − 1), with λ = 1.0507… and α = 1.6733…."""
    return _times(SELU_LAMBDA, elu(x, SELU_ALPHA))


@elementwise
def d_selu(x: Array) -> Array:
    """λ for x > 0, else λα·e^x."""
    return SELU_LAMBDA * d_elu(x, SELU_ALPHA)


@elementwise
def softplus(x: Array, beta: KnobValue = 1.0) -> Array:
    """log(1 + e^(beta·x))/beta, as max(x, 0) + log(1 + e^(−|beta·x|))/beta; beta above 0."""
    _check("beta", beta, above=0)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(_times(beta, x)))) / beta


@elementwise
def d_softplus(x: Array, beta: KnobValue = 1.0) -> Array:
    """σ(beta·x)."""
    _check("beta", beta, above=0)
    return sigmoid(_times(beta, x))


@elementwise
def squared_relu(x: Array) -> Array:
    """max(x, 0)²; ∞ where the square is beyond the largest float."""
    with np.errstate(over="ignore"):
        return np.maximum(x, 0) ** 2


@elementwise
def d_squared_relu(x: Array) -> Array:
    """2·max(x, 0)."""
    return _times(2, np.maximum(x, 0))


# Gated: x times a smooth step


@elementwise
def gelu(x: Array) -> Array:
    """x·Φ(x), with Φ accurate in the far tail; in float64 throughout, as Φ underflows early in float32."""
    x = x.astype(np.float64)
    return _times(normal_cdf(x), x)


@elementwise
def d_gelu(x: Array) -> Array:
    """Φ(x) + x·φ(x)."""
    x = x.astype(np.float64)
    return normal_cdf(x) + _times(normal_pdf(x), x)


_TANH_CUBIC = 0.044715


def _tanh_gate(x: Array, cubic: KnobValue) -> tuple[Array, Array]:
    """Return u = 2√(2/π)(x + cubic·x³), for which ½(1 + tanh(u/2)) = σ(u), and u′.

    Beyond ±1000, where x³ could overflow, they are those at ±1000: there e^(−|u|) is 0 for any cubic above 0.
    """
    _check("cubic", cubic, above=0)
    x = _clip(x, -1000, 1000)
    front = 2 * math.sqrt(2 / math.pi)
    return front * x * (1 + cubic * x * x), front * (1 + 3 * cubic * x * x)


@elementwise
def gelu_tanh(x: Array, cubic: KnobValue = _TANH_CUBIC) -> Array:
    """½x(1 + tanh(√(2/π)(x + cubic·x³))), as x·σ(2√(2/π)(x + cubic·x³)); cubic above 0."""
    u, _ = _tanh_gate(x, cubic)
    return _times(sigmoid(u), x)


@elementwise
def d_gelu_tanh(x: Array, cubic: KnobValue = _TANH_CUBIC) -> Array:
    """σ(u) + x·σ′(u)·u′ with u = 2√(2/π)(x + cubic·x³)."""
    u, du = _tanh_gate(x, cubic)
    return sigmoid(u) + _times(d_sigmoid(u) * du, x)


@elementwise
def swish(x: Array, beta: KnobValue = 1.0) -> Array:
    """x·σ(beta·x)."""
    _check("beta", beta)
    return _times(sigmoid(_times(beta, x)), x)


@elementwise
def d_swish(x: Array, beta: KnobValue = 1.0) -> Array:
    """σ(u) + u·σ′(u) with u = beta·x."""
    _check("beta", beta)
    u = _times(beta, x)
    return sigmoid(u) + _times(d_sigmoid(u), u)


@elementwise
def silu(x: Array) -> Array:
    """x·σ(x)."""
    return swish(x)


@elementwise
def d_silu(x: Array) -> Array:
    """σ(x) + x·σ′(x)."""
    return d_swish(x)


_SIGMOID_GATE = 1.702


@elementwise
def gelu_sigmoid(x: Array) -> Array:
    """x·σ(1.702x)."""
    return swish(x, _SIGMOID_GATE)


@elementwise
def d_gelu_sigmoid(x: Array) -> Array:
    """σ(u) + u·σ′(u) with u = 1.702x."""
    return d_swish(x, _SIGMOID_GATE)


@elementwise
def hard_swish(x: Array) -> Array:
    """x·min(max(x + 3, 0), 6)/6."""
    return _times(hard_sigmoid(x), x)


@elementwise
def d_hard_swish(x: Array) -> Array:
    """0 for x ≤ −3, 1 for x ≥ 3, else x/3 + 1/2."""
    return np.where(x >= 3, 1, _choose(x, x <= -3, 0, x / 3 + 0.5))


def _mish_parts(x: Array) -> tuple[Array, Array, Array]:
    """Return e = e^(−|x|), and n and d with tanh(log(1 + e^x)) = n/d.

    The hyperbolic tangent of a logarithm is rational: with E = e^x it is (E² + 2E)/(E² + 2E + 2), for x > 0
    divided by E² throughout.
    """
    e = _decay(x)
    n = np.where(x > 0, 1 + 2 * e, e * (e + 2))
    return e, n, n + np.where(x > 0, 2 * e * e, 2)


@elementwise
def mish(x: Array) -> Array:
    """x·tanh(log(1 + e^x))."""
    _, n, d = _mish_parts(x)
    return _times(n / d, x)


@elementwise
def d_mish(x: Array) -> Array:
    """g + x·g′ for the gate g = tanh(log(1 + e^x)), where g′ = 4E(1 + E)/(E² + 2E + 2)² with E = e^x."""
    e, n, d = _mish_parts(x)
    slope = 4 * e * (1 + e) * np.where(x > 0, e, 1) / d**2
    return n / d + _times(slope, x)


# Periodic and radial


@elementwise
def sine(x: Array) -> Array:
    """sin x; NaN at ±∞, where there is no limit."""
    return np.sin(np.where(np.isinf(x), np.nan, x))


@elementwise
def d_sine(x: Array) -> Array:
    """cos x; NaN at ±∞, where there is no limit."""
    return np.cos(np.where(np.isinf(x), np.nan, x))


@elementwise
def gaussian(x: Array) -> Array:
    """e^(−x²)."""
    return exp_minus_square(x)


@elementwise
def d_gaussian(x: Array) -> Array:
    """−2x·e^(−x²)."""
    return _times(-2 * exp_minus_square(x), x)


# Textbook formulas, evaluated as they stand: what they lose is shown beside the functions above.

_Knobs = ParamSpec("_Knobs")


def _as_written(
    function: Callable[Concatenate[Array, _Knobs], Array],
) -> Callable[Concatenate[ArrayLike, _Knobs], Array]:
    """Let a formula run in the dtype of its input, knobs included, into overflow and NaN without a word."""
    plain = elementwise(function)

    @wraps(function)
    def wrapper(x: ArrayLike, /, *args: _Knobs.args, **kwargs: _Knobs.kwargs) -> Array:
        dtype = np.result_type(np.asarray(x).dtype, np.float32)
        rounded = {name: np.asarray(value, dtype) for name, value in kwargs.items()}
        with np.errstate(all="ignore"):
            return plain(x, *args, **rounded)  # type: ignore[arg-type]

    return wrapper


@_as_written
def naive_sigmoid(x: Array) -> Array:
    """e^x/(1 + e^x): ∞/∞ where e^x overflows, beyond 88.7 in float32."""
    y: Array = np.exp(x) / (1 + np.exp(x))
    return y


@_as_written
def naive_tanh(x: Array) -> Array:
    """(e^x − e^(−x))/(e^x + e^(−x)): ∞/∞ on both sides, and a difference of near equals around 0."""
    y: Array = (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))
    return y


@_as_written
def naive_elu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """x for x > 0, else alpha·(e^x − 1): the difference cancels near 0."""
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


@_as_written
def naive_celu(x: Array, alpha: KnobValue = 1.0) -> Array:
    """x for x > 0, else alpha·(e^(x/alpha) − 1): the difference cancels near 0."""
    return np.where(x > 0, x, alpha * (np.exp(x / alpha) - 1))


@_as_written
def naive_selu(x: Array) -> Array:
    """λx for x > 0, else λα(e^x − 1): the difference cancels near 0."""
    y: Array = SELU_LAMBDA * np.where(x > 0, x, SELU_ALPHA * (np.exp(x) - 1))
    return y


@_as_written
def naive_softplus(x: Array, beta: KnobValue = 1.0) -> Array:
    """log(1 + e^(beta·x))/beta: ∞ on the right, and 0 on the left as soon as 1 + e^(beta·x) rounds to 1."""
    y: Array = np.log(1 + np.exp(beta * x)) / beta
    return y


@_as_written
def naive_gelu(x: Array) -> Array:
    """½x(1 + erf(x/√2)): on the left the sum cancels, from about −5.5 in float32 to nothing."""
    y: Array = x / 2 * (1 + erf(x / math.sqrt(2)))
    return y


@_as_written
def naive_gelu_tanh(x: Array, cubic: KnobValue = _TANH_CUBIC) -> Array:
    """½x(1 + tanh(√(2/π)(x + cubic·x³))): on the left the sum cancels."""
    y: Array = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + cubic * x**3)))
    return y


@_as_written
def naive_gelu_sigmoid(x: Array) -> Array:
    """x/(1 + e^(−1.702x)): 0 on the left where e^(−1.702x) overflows, a little before the value underflows."""
    y: Array = x / (1 + np.exp(-_SIGMOID_GATE * x))
    return y


@_as_written
def naive_silu(x: Array) -> Array:
    """x/(1 + e^(−x)): 0 on the left where e^(−x) overflows, a little before the value underflows."""
    y: Array = x / (1 + np.exp(-x))
    return y


@_as_written
def naive_swish(x: Array, beta: KnobValue = 1.0) -> Array:
    """x/(1 + e^(−beta·x)): 0 on the left where e^(−beta·x) overflows, a little before the value underflows."""
    y: Array = x / (1 + np.exp(-beta * x))
    return y


@_as_written
def naive_mish(x: Array) -> Array:
    """x·tanh(log(1 + e^x)): 0 on the left as soon as 1 + e^x rounds to 1."""
    y: Array = x * np.tanh(np.log(1 + np.exp(x)))
    return y


@_as_written
def naive_gaussian(x: Array) -> Array:
    """e^(−x²): the rounding of x² grows to a relative error of x² roundings."""
    y: Array = np.exp(-(x**2))
    return y


def _leaky_range(slope: float) -> Interval:
    return LINE if slope > 0 else HALF_LINE


_SILU_MINIMUM = -0.2784645427610738  # at z = −1.2784645427610738: the minimum is where f(z) = z + 1


def _swish_range(beta: float) -> Interval:
    if beta == 0:
        return LINE
    extreme = _SILU_MINIMUM / beta
    return Interval(extreme, INF, True) if beta > 0 else Interval(-INF, extreme, False, True)


@lru_cache(maxsize=64)
def _gelu_tanh_minimum(cubic: float) -> float:
    """Return the smallest value of the tanh form of GELU: bisection on the sign of its slope left of 0."""
    low, high = -3.0, 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if d_gelu_tanh(middle, cubic) < 0 else (low, middle)
    return float(gelu_tanh(high, cubic)) * (1 + 2**-51)  # not above any rounded value beside it


_SLOPE = Knob(
    "slope",
    "float",
    0.01,
    label="Slope left of 0",
    low=0.0,
    high=1.0,
    step=0.01,
    symbol="a",
    help="What is left of the signal, and of the gradient, where z is negative.",
)
_ALPHA = Knob(
    "alpha",
    "float",
    1.0,
    label="Saturation α",
    low=0.1,
    high=5.0,
    step=0.1,
    symbol="α",
    help="The curve approaches −α on the far left.",
)
_BETA = Knob(
    "beta",
    "float",
    1.0,
    label="Sharpness β",
    low=0.1,
    high=20.0,
    step=0.1,
    symbol="β",
    help="The larger, the closer to ReLU.",
)

_ENTRIES = (
    Activation(
        "identity",
        identity,
        d_identity,
        formula=r"z",
        derivative=r"1",
        range=lambda: LINE,
        aliases=("linear",),
        source="Widrow & Hoff 1960 (ADALINE)",
        torch="torch.nn.Identity()(z)",
        numpy="z",
        numpy_slope="np.ones_like(z)",
    ),
    Activation(
        "step",
        step,
        d_step,
        formula=r"\begin{cases} 1 & z \ge 0 \\ 0 & z < 0 \end{cases}",
        derivative=r"0",
        range=lambda: Interval(0.0, 1.0, True, True),
        aliases=("Heaviside",),
        source="McCulloch & Pitts 1943",
        kinks=(0.0,),
        kink_note=(
            "f itself jumps at 0, f(0) = 1; f′ = 0 everywhere, also at 0. PyTorch’s heaviside takes the value "
            "at 0 as an argument and has no derivative; JAX’s has derivative 0."
        ),
        convention="PyTorch’s autograd stops at heaviside: detached, with 0·z added, it gives the slope 0.",
        torch="torch.heaviside(z, torch.ones_like(z)).detach() + 0 * z",
        numpy="np.where(z >= 0, 1.0, 0.0)",
        numpy_slope="np.zeros_like(z)",
    ),
    Activation(
        "sigmoid",
        sigmoid,
        d_sigmoid,
        formula=r"\sigma(z) = \frac{1}{1 + e^{-z}}",
        derivative=r"\sigma(z)\,(1 - \sigma(z))",
        range=lambda: Interval(0.0, 1.0),
        aliases=("logistic",),
        source="Rumelhart, Hinton & Williams 1986",
        torch="torch.sigmoid(z)",
        numpy="1 / (1 + np.exp(-z))",
        numpy_slope="(s := 1 / (1 + np.exp(-z))) * (1 - s)",
        naive=naive_sigmoid,
        naive_formula=r"\frac{e^{z}}{1 + e^{z}}",
    ),
    Activation(
        "hard sigmoid",
        hard_sigmoid,
        d_hard_sigmoid,
        formula=r"\tfrac{1}{6} \min(\max(z + 3,\, 0),\, 6)",
        derivative=r"\begin{cases} 1/6 & |z| < 3 \\ 0 & |z| \ge 3 \end{cases}",
        range=lambda: Interval(0.0, 1.0, True, True),
        source="Howard et al. 2019 (MobileNetV3)",
        kinks=(-3.0, 3.0),
        kink_note="f′(±3) = 0 here, in PyTorch and in JAX.",
        convention=(
            "PyTorch, JAX and Keras 3: slope 1/6. ONNX, and Keras before version 3: slope 0.2. PyTorch’s "
            "derivative is 1/6 rounded to float32 also in float64, 5e−9 off."
        ),
        torch="torch.nn.functional.hardsigmoid(z)",
        numpy="np.clip(z + 3, 0, 6) / 6",
        numpy_slope="np.where(np.abs(z) < 3, 1 / 6, 0.0)",
    ),
    Activation(
        "hard sigmoid (ONNX)",
        hard_sigmoid_onnx,
        d_hard_sigmoid_onnx,
        formula=r"\min(\max(0.2 z + 0.5,\, 0),\, 1)",
        derivative=r"\begin{cases} 0.2 & |z| \le 2.5 \\ 0 & |z| > 2.5 \end{cases}",
        range=lambda: Interval(0.0, 1.0, True, True),
        source="ONNX operator HardSigmoid; before it Theano and Keras",
        kinks=(-2.5, 2.5),
        kink_note=(
            "f′(±2.5) = 0.2 here and in PyTorch, whose clamp passes the gradient at its bounds; "
            "JAX’s clip halves it to 0.1."
        ),
        convention="PyTorch, JAX and Keras 3: slope 1/6. ONNX, and Keras before version 3: slope 0.2.",
        torch="torch.clamp(0.2 * z + 0.5, 0, 1)",
        numpy="np.clip(0.2 * z + 0.5, 0, 1)",
        numpy_slope="np.where(np.abs(z) <= 2.5, 0.2, 0.0)",
    ),
    Activation(
        "tanh",
        tanh,
        d_tanh,
        formula=r"\tanh z = \frac{e^{z} - e^{-z}}{e^{z} + e^{-z}}",
        derivative=r"1 - \tanh^2 z",
        range=lambda: Interval(-1.0, 1.0),
        source="LeCun, Bottou, Orr & Müller 1998",
        torch="torch.tanh(z)",
        numpy="np.tanh(z)",
        numpy_slope="1 - np.tanh(z) ** 2",
        naive=naive_tanh,
        naive_formula=r"\frac{e^{z} - e^{-z}}{e^{z} + e^{-z}}",
    ),
    Activation(
        "hard tanh",
        hard_tanh,
        d_hard_tanh,
        formula=r"\min(\max(z,\, -1),\, 1)",
        derivative=r"\begin{cases} 1 & |z| < 1 \\ 0 & |z| \ge 1 \end{cases}",
        range=lambda: Interval(-1.0, 1.0, True, True),
        source="Collobert 2004",
        kinks=(-1.0, 1.0),
        kink_note="f′(±1) = 0 here and in PyTorch; JAX takes 1.",
        torch="torch.nn.functional.hardtanh(z)",
        numpy="np.clip(z, -1, 1)",
        numpy_slope="np.where(np.abs(z) < 1, 1.0, 0.0)",
    ),
    Activation(
        "softsign",
        softsign,
        d_softsign,
        formula=r"\frac{z}{1 + |z|}",
        derivative=r"\frac{1}{(1 + |z|)^2}",
        range=lambda: Interval(-1.0, 1.0),
        source="Turian, Bergstra & Bengio 2009",
        seams=(0.0,),
        torch="torch.nn.functional.softsign(z)",
        numpy="z / (1 + np.abs(z))",
        numpy_slope="1 / (1 + np.abs(z)) ** 2",
    ),
    Activation(
        "arctan",
        arctan,
        d_arctan,
        formula=r"\arctan z",
        derivative=r"\frac{1}{1 + z^2}",
        range=lambda: Interval(-math.pi / 2, math.pi / 2),
        source="Kamruzzaman & Aziz 2002",
        torch="torch.atan(z)",
        numpy="np.arctan(z)",
        numpy_slope="1 / (1 + z**2)",
    ),
    Activation(
        "ReLU",
        relu,
        d_relu,
        formula=r"\max(z,\, 0)",
        derivative=r"\begin{cases} 1 & z > 0 \\ 0 & z \le 0 \end{cases}",
        range=lambda: HALF_LINE,
        source="Fukushima 1969; Nair & Hinton 2010",
        kinks=(0.0,),
        kink_note="f′(0) = 0 here, in PyTorch and in JAX.",
        torch="torch.relu(z)",
        numpy="np.maximum(z, 0)",
        numpy_slope="np.where(z > 0, 1.0, 0.0)",
    ),
    Activation(
        "ReLU6",
        relu6,
        d_relu6,
        formula=r"\min(\max(z,\, 0),\, 6)",
        derivative=r"\begin{cases} 1 & 0 < z < 6 \\ 0 & \text{else} \end{cases}",
        range=lambda: Interval(0.0, 6.0, True, True),
        source="Krizhevsky 2010",
        kinks=(0.0, 6.0),
        kink_note="f′(0) = f′(6) = 0 here, in PyTorch and in JAX.",
        torch="torch.nn.functional.relu6(z)",
        numpy="np.clip(z, 0, 6)",
        numpy_slope="np.where((z > 0) & (z < 6), 1.0, 0.0)",
    ),
    Activation(
        "leaky ReLU",
        leaky_relu,
        d_leaky_relu,
        formula=r"\begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}",
        derivative=r"\begin{cases} 1 & z > 0 \\ a & z \le 0 \end{cases}",
        range=lambda slope=0.01: _leaky_range(slope),
        source="Maas, Hannun & Ng 2013",
        knobs=(_SLOPE,),
        kinks=(0.0,),
        kink_note="f′(0) = a, the slope of the left side, here and in PyTorch; JAX takes 1.",
        convention="Default slope: PyTorch, JAX and ONNX 0.01; Keras 0.2 as a function, 0.3 as a layer.",
        torch="torch.nn.functional.leaky_relu(z, negative_slope=slope)",
        numpy="np.where(z > 0, z, slope * z)",
        numpy_slope="np.where(z > 0, 1.0, slope)",
    ),
    Activation(
        "PReLU",
        prelu,
        d_prelu,
        formula=r"\begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}",
        derivative=r"\begin{cases} 1 & z > 0 \\ a & z \le 0 \end{cases}",
        range=lambda slope=0.25: _leaky_range(slope),
        source="He, Zhang, Ren & Sun 2015",
        knobs=(_SLOPE.named("slope", default=0.25, low=-1.0, help="Learned; 0.25 is where it starts."),),
        kinks=(0.0,),
        kink_note="f′(0) = a, the slope of the left side, here and in PyTorch; Flax, on JAX, takes 1.",
        convention="Initial slope: PyTorch and the paper 0.25, Flax 0.01, Keras 0.",
        torch="torch.nn.functional.prelu(z, z.new_tensor([slope]))",
        numpy="np.where(z > 0, z, slope * z)",
        numpy_slope="np.where(z > 0, 1.0, slope)",
    ),
    Activation(
        "RReLU",
        rrelu,
        d_rrelu,
        formula=r"\begin{cases} z & z > 0 \\ \frac{l + u}{2} z & z \le 0 \end{cases}",
        derivative=r"\begin{cases} 1 & z > 0 \\ \frac{l + u}{2} & z \le 0 \end{cases}",
        range=lambda lower=1 / 8, upper=1 / 3: _leaky_range((lower + upper) / 2),
        source="Xu, Wang, Chen & Li 2015",
        knobs=(
            Knob(
                "lower",
                "float",
                1 / 8,
                label="Smallest slope",
                low=0.0,
                high=0.25,
                step=0.01,
                symbol="l",
                help="Training draws the slope from U(l, u); evaluation, shown here, uses the mean.",
            ),
            Knob(
                "upper",
                "float",
                1 / 3,
                label="Largest slope",
                low=0.25,
                high=1.0,
                step=0.01,
                symbol="u",
                help="Training draws the slope from U(l, u); evaluation, shown here, uses the mean.",
            ),
        ),
        kinks=(0.0,),
        kink_note="f′(0) = (l + u)/2, the slope of the left side, here and in PyTorch; JAX has no RReLU.",
        torch="torch.nn.functional.rrelu(z, lower=lower, upper=upper, training=False)",
        numpy="np.where(z > 0, z, (lower + upper) / 2 * z)",
        numpy_slope="np.where(z > 0, 1.0, (lower + upper) / 2)",
    ),
    Activation(
        "ELU",
        elu,
        d_elu,
        formula=r"\begin{cases} z & z > 0 \\ \alpha (e^{z} - 1) & z \le 0 \end{cases}",
        derivative=r"\begin{cases} 1 & z > 0 \\ \alpha e^{z} & z \le 0 \end{cases}",
        range=lambda alpha=1.0: Interval(min(-alpha, 0.0), INF, low_attained=alpha <= 0),
        source="Clevert, Unterthiner & Hochreiter 2015",
        knobs=(_ALPHA.named("alpha", low=0.0),),
        seams=(0.0,),
        kink_note="f′(0) = α here, in PyTorch and in JAX: a kink unless α = 1.",
        torch="torch.nn.functional.elu(z, alpha=alpha)",
        numpy="np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0))",
        numpy_slope="np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0)))",
        naive=naive_elu,
        naive_formula=r"\begin{cases} z & z > 0 \\ \alpha (e^{z} - 1) & z \le 0 \end{cases}",
    ),
    Activation(
        "CELU",
        celu,
        d_celu,
        formula=r"\begin{cases} z & z > 0 \\ \alpha (e^{z/\alpha} - 1) & z \le 0 \end{cases}",
        derivative=r"\begin{cases} 1 & z > 0 \\ e^{z/\alpha} & z \le 0 \end{cases}",
        range=lambda alpha=1.0: Interval(-alpha, INF),
        source="Barron 2017",
        knobs=(_ALPHA,),
        seams=(0.0,),
        convention="PyTorch’s derivative rounds α to float32 also in float64, which is off by up to 6e−8.",
        torch="torch.nn.functional.celu(z, alpha=alpha)",
        numpy="np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0) / alpha)",
        numpy_slope="np.exp(np.minimum(z, 0) / alpha)",
        naive=naive_celu,
        naive_formula=r"\begin{cases} z & z > 0 \\ \alpha (e^{z/\alpha} - 1) & z \le 0 \end{cases}",
    ),
    Activation(
        "SELU",
        selu,
        d_selu,
        formula=r"\lambda \begin{cases} z & z > 0 \\ \alpha (e^{z} - 1) & z \le 0 \end{cases}",
        derivative=r"\lambda \begin{cases} 1 & z > 0 \\ \alpha e^{z} & z \le 0 \end{cases}",
        range=lambda: Interval(-SELU_LAMBDA * SELU_ALPHA, INF),
        source="Klambauer, Unterthiner, Mayr & Hochreiter 2017",
        kinks=(0.0,),
        kink_note="f′(0) = λα = 1.758, the slope of the left side, here, in PyTorch and in JAX.",
        torch="torch.nn.functional.selu(z)",
        numpy=f"{SELU_LAMBDA} * np.maximum(z, 0) + {SELU_LAMBDA * SELU_ALPHA} * np.expm1(np.minimum(z, 0))",
        numpy_slope=f"np.where(z > 0, {SELU_LAMBDA}, {SELU_LAMBDA * SELU_ALPHA} * np.exp(np.minimum(z, 0)))",
        naive=naive_selu,
        naive_formula=r"\lambda \begin{cases} z & z > 0 \\ \alpha (e^{z} - 1) & z \le 0 \end{cases}",
    ),
    Activation(
        "softplus",
        softplus,
        d_softplus,
        formula=r"\tfrac{1}{\beta} \log(1 + e^{\beta z})",
        derivative=r"\sigma(\beta z)",
        range=lambda beta=1.0: Interval(0.0, INF),
        source="Dugas, Bengio, Bélisle, Nadeau & Garcia 2001",
        knobs=(_BETA,),
        convention="Exact on this page; PyTorch switches to z for βz > 20, which is off by up to 2.1e−9/β.",
        torch="torch.nn.functional.softplus(z, beta=beta)",
        numpy="np.logaddexp(0, beta * z) / beta",
        numpy_slope="(1 + np.tanh(beta * z / 2)) / 2",
        naive=naive_softplus,
        naive_formula=r"\tfrac{1}{\beta} \log(1 + e^{\beta z})",
    ),
    Activation(
        "GELU",
        gelu,
        d_gelu,
        formula=r"z\,\Phi(z) = \tfrac{z}{2} \left(1 + \operatorname{erf}\frac{z}{\sqrt 2}\right)",
        derivative=r"\Phi(z) + z\,\varphi(z)",
        range=lambda: Interval(-0.16997120747990366, INF, low_attained=True),
        aliases=("GELU (erf)",),
        source="Hendrycks & Gimpel 2016",
        convention="PyTorch and Keras default to this form; jax.nn.gelu to the tanh form.",
        torch="torch.nn.functional.gelu(z)",
        numpy="z / 2 * (1 + erf(z / np.sqrt(2)))",
        numpy_slope="(1 + erf(z / np.sqrt(2))) / 2 + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)",
        naive=naive_gelu,
        naive_formula=r"\tfrac{z}{2} \left(1 + \operatorname{erf}\frac{z}{\sqrt 2}\right)",
    ),
    Activation(
        "GELU (tanh)",
        gelu_tanh,
        d_gelu_tanh,
        formula=r"\tfrac{z}{2} \left(1 + \tanh\left(\sqrt{2/\pi}\,(z + c z^3)\right)\right)",
        derivative=(
            r"\tfrac{1}{2} (1 + \tanh u) + \tfrac{z}{2} (1 - \tanh^2 u)\,u', \quad "
            r"u = \sqrt{2/\pi}\,(z + c z^3), \quad u' = \sqrt{2/\pi}\,(1 + 3 c z^2)"
        ),
        range=lambda cubic=_TANH_CUBIC: Interval(_gelu_tanh_minimum(cubic), INF, low_attained=True),
        source="Hendrycks & Gimpel 2016",
        knobs=(
            Knob(
                "cubic",
                "float",
                _TANH_CUBIC,
                label="Cubic constant",
                low=0.04,
                high=0.05,
                step=0.000005,
                symbol="c",
                help="0.044715 in the paper and in PyTorch; with two digits swapped it reads 0.044175.",
            ),
        ),
        convention=(
            "jax.nn.gelu defaults to this form; PyTorch and Keras to the one with erf. At c = 0.044715 it is "
            'PyTorch’s gelu with approximate="tanh".'
        ),
        torch="z / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + cubic * z**3)))",
        numpy="z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + cubic * z**3)))",
        numpy_slope=(
            "(s := (1 + np.tanh(np.sqrt(2 / np.pi) * (z + cubic * z**3))) / 2) "
            "+ z * s * (1 - s) * np.sqrt(8 / np.pi) * (1 + 3 * cubic * z**2)"
        ),
        naive=naive_gelu_tanh,
        naive_formula=r"\tfrac{z}{2} \left(1 + \tanh\left(\sqrt{2/\pi}\,(z + c z^3)\right)\right)",
    ),
    Activation(
        "GELU (sigmoid)",
        gelu_sigmoid,
        d_gelu_sigmoid,
        formula=r"z\,\sigma(1.702 z)",
        derivative=r"\sigma(1.702 z) + 1.702 z\,\sigma(1.702 z)\,(1 - \sigma(1.702 z))",
        range=lambda: _swish_range(_SIGMOID_GATE),
        source="Hendrycks & Gimpel 2016",
        torch="z * torch.sigmoid(1.702 * z)",
        numpy="z / (1 + np.exp(-1.702 * z))",
        numpy_slope="(s := 1 / (1 + np.exp(-1.702 * z))) * (1 + 1.702 * z * (1 - s))",
        naive=naive_gelu_sigmoid,
        naive_formula=r"\frac{z}{1 + e^{-1.702 z}}",
    ),
    Activation(
        "SiLU",
        silu,
        d_silu,
        formula=r"z\,\sigma(z)",
        derivative=r"\sigma(z) + z\,\sigma(z)\,(1 - \sigma(z))",
        range=lambda: _swish_range(1.0),
        aliases=("Swish-1",),
        source="Hendrycks & Gimpel 2016; Elfwing, Uchibe & Doya 2017",
        torch="torch.nn.functional.silu(z)",
        numpy="z / (1 + np.exp(-z))",
        numpy_slope="(s := 1 / (1 + np.exp(-z))) * (1 + z * (1 - s))",
        naive=naive_silu,
        naive_formula=r"\frac{z}{1 + e^{-z}}",
    ),
    Activation(
        "Swish",
        swish,
        d_swish,
        formula=r"z\,\sigma(\beta z)",
        derivative=r"\sigma(\beta z) + \beta z\,\sigma(\beta z)\,(1 - \sigma(\beta z))",
        range=lambda beta=1.0: _swish_range(beta),
        source="Ramachandran, Zoph & Le 2017",
        knobs=(_BETA.named("beta", low=0.0, help="0 gives z/2, 1 SiLU, a large β nearly ReLU."),),
        torch="z * torch.sigmoid(beta * z)",
        numpy="z * (1 + np.tanh(beta * z / 2)) / 2",
        numpy_slope="(s := (1 + np.tanh(beta * z / 2)) / 2) * (1 + beta * z * (1 - s))",
        naive=naive_swish,
        naive_formula=r"\frac{z}{1 + e^{-\beta z}}",
    ),
    Activation(
        "hard swish",
        hard_swish,
        d_hard_swish,
        formula=r"\tfrac{z}{6} \min(\max(z + 3,\, 0),\, 6)",
        derivative=r"\begin{cases} 0 & z \le -3 \\ z/3 + 1/2 & |z| < 3 \\ 1 & z \ge 3 \end{cases}",
        range=lambda: Interval(-0.375, INF, low_attained=True),
        source="Howard et al. 2019 (MobileNetV3)",
        kinks=(-3.0, 3.0),
        kink_note="f′(−3) = 0 and f′(3) = 1, the slopes of the outer sides, here, in PyTorch and in JAX.",
        torch="torch.nn.functional.hardswish(z)",
        numpy="z * np.clip(z + 3, 0, 6) / 6",
        numpy_slope="np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, z / 3 + 0.5))",
    ),
    Activation(
        "Mish",
        mish,
        d_mish,
        formula=r"z \tanh(\log(1 + e^{z}))",
        derivative=r"\tanh s + z\,\sigma(z)\,(1 - \tanh^2 s), \quad s = \log(1 + e^{z})",
        range=lambda: Interval(-0.30884341301725043, INF, low_attained=True),
        source="Misra 2019",
        torch="torch.nn.functional.mish(z)",
        numpy="z * np.tanh(np.logaddexp(0, z))",
        numpy_slope="(t := np.tanh(np.logaddexp(0, z))) + z * (1 - t**2) / (1 + np.exp(-z))",
        naive=naive_mish,
        naive_formula=r"z \tanh(\log(1 + e^{z}))",
    ),
    Activation(
        "sine",
        sine,
        d_sine,
        formula=r"\sin z",
        derivative=r"\cos z",
        range=lambda: Interval(-1.0, 1.0, True, True),
        source="Sitzmann, Martel, Bergman, Lindell & Wetzstein 2020 (SIREN)",
        torch="torch.sin(z)",
        numpy="np.sin(z)",
        numpy_slope="np.cos(z)",
    ),
    Activation(
        "Gaussian",
        gaussian,
        d_gaussian,
        formula=r"e^{-z^2}",
        derivative=r"-2 z\,e^{-z^2}",
        range=lambda: Interval(0.0, 1.0, high_attained=True),
        source="Broomhead & Lowe 1988",
        torch="torch.exp(-(z**2))",
        numpy="np.exp(-(z**2))",
        numpy_slope="-2 * z * np.exp(-(z**2))",
        naive=naive_gaussian,
        naive_formula=r"e^{-z^2}",
    ),
    Activation(
        "squared ReLU",
        squared_relu,
        d_squared_relu,
        formula=r"\max(z,\, 0)^2",
        derivative=r"2 \max(z,\, 0)",
        range=lambda: HALF_LINE,
        source="So et al. 2021 (Primer)",
        seams=(0.0,),
        torch="torch.relu(z) ** 2",
        numpy="np.maximum(z, 0) ** 2",
        numpy_slope="2 * np.maximum(z, 0)",
    ),
)

ACTIVATIONS: dict[str, Activation] = {entry.name: entry for entry in _ENTRIES}


@dataclass(frozen=True)
class NaiveErrors:
    """What float32 makes of a function, in its textbook form and in ours, against float64; all (n,).

    ``naive`` and ``own`` are relative errors, ``naive`` NaN where the textbook form gives ±∞ or NaN although
    the value is finite: ``naive_bad``.
    """

    z: Array
    naive: Array
    own: Array
    naive_bad: NDArray[np.bool_]


def naive_errors(
    activation: Activation, z: ArrayLike, knobs: Mapping[str, float] | None = None
) -> NaiveErrors:
    """Measure the relative errors in float32 of ``naive`` and of ``f``, against ``f`` in float64.

    z, of shape (n,), and the knobs are rounded to float32 first, so that all three see the same numbers; the
    result holds the rounded z. An error is |y − f|/max(|f|, 1.2e−38): below the smallest normal float32, and where
    f is 0, it counts in units of that number, for less cannot be asked of float32.

    Raises:
        ValueError: the activation has no textbook formula to compare with.
    """
    if activation.naive is None:
        raise ValueError(f"{activation.name}: its formula has no exponential, so there is none to rearrange")
    short = np.asarray(z, np.float64).astype(np.float32)
    chosen = {knob.name: knob.default for knob in activation.knobs} | dict(knobs or {})
    given = {name: np.array(value, np.float32)[()] for name, value in chosen.items()}
    true = activation.f(short.astype(np.float64), **given)
    size = np.maximum(np.abs(true), np.finfo(np.float32).tiny)

    def error(y: Array) -> Array:
        bad = ~np.isfinite(y)
        return np.where(bad, np.nan, np.abs(np.where(bad, 0, y) - true) / size)

    written = activation.naive(short, **given)
    bad = ~np.isfinite(written) & np.isfinite(true)
    return NaiveErrors(short.astype(np.float64), error(written), error(activation.f(short, **given)), bad)
