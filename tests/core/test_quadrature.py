import math

import numpy as np
import pytest

from core.quadrature import gaussian_mean, gaussian_nodes

Q = np.array([0.0, 1e-300, 1e-20, 1e-8, 1e-3, 0.3, 1.0, 7.0, 100.0, 1e4, 1e8, 1e20, 1e120])
MODERATE = Q[(Q >= 1e-8) & (Q <= 1e4)]


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def reference(fn, q):
    """Trapezoid rule in t with z = sinh t: exponentially accurate for analytic fn, unlike in method to core."""
    top = math.asinh(12.0)
    t = np.linspace(-top, top, 400_001)
    z = np.sinh(t)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * np.cosh(t)
    return np.sum(fn(math.sqrt(q) * z) * density) * (t[1] - t[0])


@pytest.mark.parametrize("power", range(0, 9))
def test_polynomials(power):
    q = Q[Q < 1e30]
    moment = math.prod(range(1, power, 2)) if power % 2 == 0 else 0
    with np.errstate(under="ignore"):
        exact = moment * q ** (power / 2)
        size = math.prod(range(1, power + 1, 2)) * q ** (power / 2)
        got = gaussian_mean(lambda x: x**power, q)
    np.testing.assert_allclose(
        got, exact, rtol=1e-12 if moment else 0, atol=0 if moment else 1e-14 * size.max()
    )
    assert np.all(np.abs(got - exact) <= 1e-13 * size)


def test_relu_family_at_every_size():
    np.testing.assert_allclose(gaussian_mean(relu, Q, (0.0,)), np.sqrt(Q / (2 * math.pi)), rtol=1e-13)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(gaussian_mean(lambda x: relu(x) ** 2, Q, (0.0,)), Q / 2, rtol=1e-13)
    leaky = gaussian_mean(lambda x: np.where(x > 0, 1.0, 0.01) ** 2, Q[1:], (0.0,))
    np.testing.assert_allclose(leaky, (1 + 1e-4) / 2, rtol=1e-13)


@pytest.mark.parametrize("kink", [-3.0, -1e-3, 0.0, 0.5, 6.0])
def test_step_at_a_kink(kink):
    q = Q[1:]
    exact = np.array([0.5 * math.erfc(kink / math.sqrt(2 * v)) for v in q])
    got = gaussian_mean(lambda x: (x >= kink).astype(float), q, (kink,))
    np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("limit", [1.0, 3.0])
def test_clipped_square(limit):
    q = Q[1:]
    a = limit / np.sqrt(q)
    inside = erf(a / math.sqrt(2))
    with np.errstate(under="ignore"):
        a = np.minimum(a, 1e3)
        exact = q * (inside - 2 * a * np.exp(-a * a / 2) / math.sqrt(2 * math.pi))
        exact += limit**2 * np.array([math.erfc(v / math.sqrt(2)) for v in a])
        got = gaussian_mean(lambda x: np.clip(x, -limit, limit) ** 2, q, (-limit, limit))
    w = a[a < 0.05]  # where q·(…) cancels, its power series takes its place
    series = 2 * w / 3 - w**3 / 15 + w**5 / 140 - w**7 / 1512
    exact[a < 0.05] = limit**2 * (1 - 2 * series / math.sqrt(2 * math.pi))
    np.testing.assert_allclose(got, exact, rtol=1e-12)


def test_erf_squared():
    # Williams 1997, Computing with infinite networks: 2/π·arcsin(2q/(1 + 2q)), as an arctangent
    exact = 2 / math.pi * np.arctan2(2 * Q, np.sqrt(1 + 4 * Q))
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(gaussian_mean(lambda x: erf(x) ** 2, Q), exact, rtol=1e-12)


def test_gaussian_and_its_square():
    np.testing.assert_allclose(
        gaussian_mean(lambda x: np.exp(-np.minimum(x * x, 700)), Q), 1 / np.sqrt(1 + 2 * Q), rtol=1e-12
    )


def test_oscillation_where_it_is_promised():
    q = Q[Q <= 9e4]
    exact = -np.expm1(-2 * q) / 2
    np.testing.assert_allclose(gaussian_mean(lambda x: np.sin(x) ** 2, q), exact, rtol=2e-12)
    q = np.linspace(0.01, 9e4, 40)
    np.testing.assert_allclose(gaussian_mean(np.cos, q), np.exp(-q / 2), rtol=0, atol=2e-12)


def test_exponential():
    q = np.array([0.0, 0.01, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(gaussian_mean(np.exp, q), np.exp(q / 2), rtol=1e-13)


def test_sigmoid_symmetry_makes_its_mean_a_half():
    np.testing.assert_allclose(gaussian_mean(sigmoid, Q), 0.5, rtol=1e-14)
    # sigmoid = (1 + tanh(x/2))/2 ties its second moment to tanh's
    tied = 0.25 * (1 + gaussian_mean(lambda x: np.tanh(x) ** 2, Q[1:] / 4))
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(gaussian_mean(lambda x: sigmoid(x) ** 2, Q[1:]), tied, rtol=1e-13)


SMOOTH = {
    "tanh²": lambda x: np.tanh(x) ** 2,
    "sech⁴": lambda x: (1 - np.tanh(x) ** 2) ** 2,
    "sigmoid²": lambda x: sigmoid(x) ** 2,
    "softplus²": lambda x: np.logaddexp(0, x) ** 2,
    "SiLU²": lambda x: (x * sigmoid(x)) ** 2,
    "steep Swish²": lambda x: (x * sigmoid(10 * x)) ** 2,
    "arctan'²": lambda x: (1 / (1 + x * x)) ** 2,
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("q", MODERATE)
def test_smooth_functions_against_another_rule(name, q):
    fn = SMOOTH[name]
    assert gaussian_mean(fn, q) == pytest.approx(reference(fn, q), rel=1e-11)


def test_tanh_limits():
    # tanh² → q for small q; for large q, 1 − E tanh² = E sech² → ∫ sech² / √(2πq) = 2/√(2πq)
    small, large = np.array([1e-9, 1e-12]), np.array([1e8, 1e12, 1e30])
    np.testing.assert_allclose(gaussian_mean(SMOOTH["tanh²"], small) / small, 1 - 2 * small, rtol=1e-12)
    sech2 = gaussian_mean(lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2, large)
    np.testing.assert_allclose(sech2 * np.sqrt(2 * math.pi * large), 2, rtol=1e-8)


def test_zero_is_exact():
    assert gaussian_mean(lambda x: np.cos(x) / 3, 0.0) == 1 / 3
    assert gaussian_mean(lambda x: (x >= 0).astype(float), 0.0, (0.0,)) == 1.0


def test_shapes_types_and_independence_of_the_rest_of_the_array():
    q = np.array([[0.5, 2.0, 1e9], [3.0, 0.0, 70.0]])
    grid = gaussian_mean(SMOOTH["tanh²"], q)
    assert grid.shape == q.shape
    assert grid.dtype == np.float64
    single = [[float(gaussian_mean(SMOOTH["tanh²"], v)) for v in row] for row in q]
    np.testing.assert_allclose(grid, single, rtol=1e-14)
    assert gaussian_mean(np.cos, 1.0).shape == ()
    assert gaussian_mean(np.cos, np.empty((0, 3))).shape == (0, 3)
    assert gaussian_mean(np.cos, 1).dtype == np.float64
    low = gaussian_mean(np.cos, np.array([1.0], dtype=np.float32))
    assert low.dtype == np.float32
    assert low[0] == np.float32(math.exp(-0.5))


def test_weights_are_a_distribution():
    _, w = gaussian_nodes(np.array([0.0, 1.0, 50.0, 1e150]), (-1.0, 2.0))
    assert np.all(w >= 0)
    np.testing.assert_allclose(w.sum(axis=-1), 1, rtol=1e-14)


def test_input_is_not_changed():
    q = np.array([1.0, 2.0])
    gaussian_mean(np.cos, q, (0.5,))
    np.testing.assert_array_equal(q, [1.0, 2.0])


@pytest.mark.parametrize("q", [-1.0, math.inf, math.nan])
def test_bad_q_is_refused(q):
    with pytest.raises(ValueError, match=r"q = .*from 0"):
        gaussian_mean(np.cos, np.array([1.0, q]))
