"""erf, Φ, φ and e^(−x²) against 700-digit series and Python's math module."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from core.special import elementwise, erf, exp_minus_square, normal_cdf, normal_pdf

FUNCTIONS = [erf, normal_cdf, normal_pdf, exp_minus_square]
DIGITS = 700  # Φ(−37) is the difference of two numbers that share 300


def _arctan_inverse(n: int) -> Decimal:
    """arctan(1/n) in the current precision."""
    term = total = Decimal(1) / n
    k = 1
    while abs(term) > Decimal(10) ** -DIGITS:
        term /= -n * n
        k += 2
        total += term / k
    return total


def exact_pdf(x: float) -> Decimal:
    """φ(x); π by Machin's formula."""
    with localcontext() as context:
        context.prec = DIGITS
        z, pi = Decimal(x), 4 * (4 * _arctan_inverse(5) - _arctan_inverse(239))
        return (-z * z / 2).exp() / (2 * pi).sqrt()


def exact_cdf(x: float) -> Decimal:
    """Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/15 + …) for |x| < 38."""
    with localcontext() as context:
        context.prec = DIGITS
        z = Decimal(x)
        term = total = z
        n = 1
        while abs(term) > Decimal(10) ** -DIGITS:
            n += 2
            term *= z * z / n
            total += term
        return Decimal(1) / 2 + total * exact_pdf(x)


def test_the_reference_is_right() -> None:
    np.testing.assert_allclose(float(exact_cdf(-10)), 7.619853024160526e-24, rtol=2e-15, atol=0)
    np.testing.assert_allclose(float(exact_cdf(-37)), 5.725571222524577e-300, rtol=2e-15, atol=0)
    np.testing.assert_allclose(float(exact_pdf(0)), 1 / math.sqrt(2 * math.pi), rtol=2e-15, atol=0)


def test_erf_is_right_to_2e_16() -> None:
    x = np.concatenate([np.random.default_rng(1).uniform(-6.5, 6.5, 20_000), np.linspace(-6.5, 6.5, 3329)])
    assert np.max(np.abs(erf(x) - [math.erf(v) for v in x])) <= 2e-16


def test_erf_keeps_relative_accuracy_at_tiny_values() -> None:
    x = 10.0 ** np.arange(-307.0, 0.0, 0.37)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=5e-16, atol=0)


def test_erf_is_odd_and_bounded() -> None:
    x = np.random.default_rng(2).normal(0, 3, 10_000)
    np.testing.assert_array_equal(erf(-x), -erf(x))
    assert np.max(np.abs(erf(x))) == 1


@pytest.mark.parametrize(
    "x", [-37.4, -37.0, -30.3, -26.7, -20.5, -10.0, -5.55, -1.0, -0.999, -0.5, -1e-9, 0.0, 0.3, 2.0, 8.5]
)
def test_normal_cdf_has_full_relative_accuracy(x: float) -> None:
    np.testing.assert_allclose(normal_cdf(x), float(exact_cdf(x)), rtol=2e-15, atol=0)


def test_normal_cdf_against_erfc() -> None:
    x = np.random.default_rng(3).uniform(-8, 8, 20_000)
    expected = [math.erfc(-v / math.sqrt(2)) / 2 for v in x]  # erfc's argument is rounded: ½x² more error
    np.testing.assert_allclose(normal_cdf(x), expected, rtol=2e-14, atol=0)


def test_normal_cdf_is_complementary_and_underflows_late() -> None:
    x = np.linspace(0, 37, 5000)
    np.testing.assert_allclose(normal_cdf(x) + normal_cdf(-x), 1, rtol=0, atol=2e-16)
    assert normal_cdf(-38.4) > 0
    assert normal_cdf(-39.0) == 0
    assert np.all(np.diff(normal_cdf(np.linspace(-38, 8, 10_001))) >= 0)


@pytest.mark.parametrize("x", [-37.4, -26.7, -10.01, -1.3, 0.0, 1e-9, 0.77, 5.5, 20.123, 37.1])
def test_normal_pdf_has_full_relative_accuracy(x: float) -> None:
    np.testing.assert_allclose(normal_pdf(x), float(exact_pdf(x)), rtol=2e-15, atol=0)


@pytest.mark.parametrize("x", [-26.4, -20.123, -3.7, 0.0, 1e-9, 0.77, 12.66492])
def test_exp_minus_square_has_full_relative_accuracy(x: float) -> None:
    expected = float((-Decimal(x) * Decimal(x)).exp())
    np.testing.assert_allclose(exp_minus_square(x), expected, rtol=2e-15, atol=0)


def test_limits() -> None:
    ends = np.array([-np.inf, np.inf])
    np.testing.assert_array_equal(erf(ends), [-1, 1])
    np.testing.assert_array_equal(normal_cdf(ends), [0, 1])
    np.testing.assert_array_equal(normal_pdf(ends), [0, 0])
    np.testing.assert_array_equal(exp_minus_square(ends), [0, 0])
    assert math.copysign(1, erf(-0.0)) == -1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_extremes_raise_no_signal_and_nan_stays_nan(function, dtype) -> None:
    info = np.finfo(dtype)
    x = np.array(
        [np.nan, -np.inf, np.inf, info.min, info.max, info.tiny, info.smallest_subnormal, -1e3, 1e3, 0], dtype
    )
    with np.errstate(all="raise"):
        y = function(x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0, 3)])
def test_shape_and_dtype_are_kept(function, shape) -> None:
    for dtype in (np.float32, np.float64):
        x = np.full(shape, 0.7, dtype)
        x.flags.writeable = False
        y = function(x)
        assert isinstance(y, np.ndarray)
        assert (y.shape, y.dtype) == (shape, dtype)
        np.testing.assert_allclose(y, function(0.7), rtol=2e-7)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float32_is_the_rounded_float64(function) -> None:
    x = np.linspace(-12, 12, 4001, dtype=np.float32)
    np.testing.assert_allclose(function(x), function(x.astype(np.float64)), rtol=5e-7, atol=1e-44)


def test_numbers_lists_and_integers_become_float64() -> None:
    assert erf(1).dtype == np.float64
    np.testing.assert_array_equal(erf([0, 1]), erf(np.array([0.0, 1.0])))


@pytest.mark.parametrize("x", [1j, "1", None])
def test_what_is_no_real_number_is_a_type_error(x) -> None:
    with pytest.raises(TypeError):
        erf(x)


def test_elementwise_keeps_name_doc_and_knobs() -> None:
    @elementwise
    def shifted(x, by=1.0):
        """Shift."""
        return x + by

    assert (shifted.__name__, shifted.__doc__) == ("shifted", "Shift.")
    assert shifted(np.float32(1), by=np.float64(2)).dtype == np.float32
    with pytest.raises(TypeError, match="bye"):
        shifted(1.0, bye=2.0)
