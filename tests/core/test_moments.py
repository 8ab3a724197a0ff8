"""Moments, shares and chains against closed forms, brute-force integration and samples."""

import math
from fractions import Fraction

import numpy as np
import pytest

from core.activations import ACTIVATIONS, Activation
from core.moments import Moments, sample_moments, signal_moments, slope_chain

INF = math.inf
TINY = float(np.finfo(np.float32).tiny)
FIELDS = list(Moments.__dataclass_fields__)
SIGNALS = [(0.0, 1.0), (0.5, 2.0), (-1.5, 0.3), (3.0, 0.05), (-5.0, 5.0), (0.0, 20.0)]
SETTINGS = [
    (entry, knobs)
    for entry in ACTIVATIONS.values()
    for knobs in ({}, *({k.name: end} for k in entry.knobs for end in (k.low, k.high)))
]

settings = pytest.mark.parametrize(
    ("entry", "knobs"), SETTINGS, ids=[f"{a.name} {k}" if k else a.name for a, k in SETTINGS]
)
entries = pytest.mark.parametrize("entry", ACTIVATIONS.values(), ids=lambda a: a.name)
signals = pytest.mark.parametrize(("mu", "sigma"), SIGNALS)


def cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def pdf(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def moments(name: str, mu: float, sigma: float, **knobs: float) -> Moments:
    return signal_moments(ACTIVATIONS[name], mu=mu, sigma=sigma, knobs=knobs)


def mean_of(fn, entry: Activation, mu: float, sigma: float) -> float:
    """E fn(z) by ten-point Gauss–Legendre on equal panels in z, more of them near 0, cut at the kinks."""
    end = 14 * sigma
    marks = np.array([*entry.kinks, *entry.seams, *np.linspace(-4, 4, 801)])
    borders = np.concatenate([np.linspace(mu - end, mu + end, 1201), marks[np.abs(marks - mu) < end]])
    borders.sort()
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = np.diff(borders)[:, None] / 2
    z = borders[:-1, None] + half * (1 + nodes)
    with np.errstate(under="ignore"):
        density = np.exp(-(((z - mu) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
        return float(np.sum(half * weights * density * fn(z)))


# Quadrature


@signals
@settings
def test_moments_equal_brute_force(
    entry: Activation, knobs: dict[str, float], mu: float, sigma: float
) -> None:
    got = signal_moments(entry, mu=mu, sigma=sigma, knobs=knobs)
    mean = mean_of(lambda z: entry.f(z, **knobs), entry, mu, sigma)
    size = mean_of(lambda z: np.abs(entry.f(z, **knobs)), entry, mu, sigma)
    slope_size = mean_of(lambda z: np.abs(entry.df(z, **knobs)), entry, mu, sigma)
    second = mean_of(lambda z: entry.f(z, **knobs) ** 2, entry, mu, sigma)
    assert got.mean == pytest.approx(mean, rel=0, abs=1e-12 * size)
    assert got.second == pytest.approx(second, rel=1e-12)
    centred = mean_of(lambda z: (entry.f(z, **knobs) - mean) ** 2, entry, mu, sigma)
    assert got.variance == pytest.approx(centred, rel=1e-10, abs=1e-15 * second)
    slope = mean_of(lambda z: entry.df(z, **knobs), entry, mu, sigma)
    assert got.slope_mean == pytest.approx(slope, rel=0, abs=1e-12 * slope_size)
    slope_second = mean_of(lambda z: entry.df(z, **knobs) ** 2, entry, mu, sigma)
    assert got.slope_second == pytest.approx(slope_second, rel=1e-12)
    assert got.gain_forward == pytest.approx(second**-0.5, rel=1e-12)
    assert got.gain_backward == (pytest.approx(slope_second**-0.5, rel=1e-12) if slope_second else INF)


@signals
@settings
def test_stein(entry: Activation, knobs: dict[str, float], mu: float, sigma: float) -> None:
    """σ²·E φ′ = E (z − μ)·φ(z), where a jump of φ counts with the density there: ties slopes to values."""
    got = signal_moments(entry, mu=mu, sigma=sigma, knobs=knobs)
    center = entry.f(mu, **knobs)
    covariance = mean_of(lambda z: (z - mu) * (entry.f(z, **knobs) - center), entry, mu, sigma)
    size = mean_of(lambda z: np.abs((z - mu) * (entry.f(z, **knobs) - center)), entry, mu, sigma)
    jumps = [np.diff(entry.f(np.array([k - 1e-12, k + 1e-12]), **knobs))[0] for k in entry.kinks]
    jumped = sum(j * pdf((k - mu) / sigma) for j, k in zip(jumps, entry.kinks, strict=True) if abs(j) > 1e-6)
    assert sigma**2 * got.slope_mean + sigma * jumped == pytest.approx(covariance, rel=0, abs=1e-11 * size)


@pytest.mark.parametrize("mu", [-3.0, 0.0, 0.7, 5.0])
@pytest.mark.parametrize("sigma", [1e-6, 0.3, 1.0, 50.0, 1e6])
def test_rectifiers_in_closed_form(mu: float, sigma: float) -> None:
    t = mu / sigma
    upper, density = cdf(t), pdf(t) if abs(t) < 40 else 0.0
    mean = mu * upper + sigma * density
    second = (mu**2 + sigma**2) * upper + mu * sigma * density
    relu = moments("ReLU", mu, sigma)
    scale = abs(mu) + sigma
    assert relu.mean == pytest.approx(mean, rel=1e-12, abs=1e-14 * scale * upper)
    assert relu.second == pytest.approx(second, rel=1e-11, abs=1e-14 * scale**2 * upper)
    assert relu.slope_mean == pytest.approx(upper, rel=1e-13)
    assert relu.slope_second == pytest.approx(upper, rel=1e-13)
    assert relu.share_zero == relu.share_saturated == pytest.approx(cdf(-t), rel=1e-13)
    step = moments("step", mu, sigma)
    assert step.mean == pytest.approx(upper, rel=1e-13)
    assert step.second == pytest.approx(upper, rel=1e-13)
    assert step.variance == pytest.approx(upper * cdf(-t), rel=1e-12)
    assert (step.slope_second, step.gain_backward, step.share_zero) == (0.0, INF, 1.0)
    leaky = moments("leaky ReLU", mu, sigma, slope=0.2)
    assert leaky.slope_second == pytest.approx(upper + 0.04 * cdf(-t), rel=1e-13)
    assert leaky.share_zero == leaky.share_saturated == 0
    squared = moments("squared ReLU", mu, sigma)
    assert squared.mean == pytest.approx(second, rel=1e-11, abs=1e-14 * scale**2 * upper)
    assert squared.slope_mean == pytest.approx(2 * mean, rel=1e-12, abs=1e-13 * scale * upper)
    assert squared.share_saturated == squared.share_zero == relu.share_zero


@pytest.mark.parametrize("mu", [-2.0, 0.0, 1.3])
@pytest.mark.parametrize("sigma", [0.2, 1.0, 7.0])
@pytest.mark.parametrize(
    ("name", "low", "high", "scale"),
    [
        ("hard tanh", -1.0, 1.0, 1.0),
        ("hard sigmoid", -3.0, 3.0, 1 / 6),
        ("hard sigmoid (ONNX)", -2.5, 2.5, 0.2),
        ("ReLU6", 0.0, 6.0, 1.0),
    ],
)
def test_hard_functions_in_closed_form(
    name: str, low: float, high: float, scale: float, mu: float, sigma: float
) -> None:
    def rectified(mark: float) -> float:  # E max(z − mark, 0)
        t = (mu - mark) / sigma
        return (mu - mark) * cdf(t) + sigma * pdf(t)

    got = moments(name, mu, sigma)
    inside = cdf((high - mu) / sigma) - cdf((low - mu) / sigma)
    floor = float(ACTIVATIONS[name].f(low))
    assert got.mean == pytest.approx(floor + scale * (rectified(low) - rectified(high)), rel=1e-12, abs=1e-14)
    assert got.slope_mean == pytest.approx(scale * inside, rel=1e-12)
    assert got.slope_second == pytest.approx(scale**2 * inside, rel=1e-12)
    assert got.share_zero == got.share_saturated == pytest.approx(1 - inside, rel=1e-12)


@pytest.mark.parametrize("mu", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 9.0])
def test_gelu_sine_and_gaussian_in_closed_form(mu: float, sigma: float) -> None:
    v = sigma**2
    t = mu / math.sqrt(1 + v)
    gelu = moments("GELU", mu, sigma)
    assert gelu.mean == pytest.approx(mu * cdf(t) + v / math.sqrt(1 + v) * pdf(t), rel=1e-12)
    if mu == 0:
        second = v * (1 / 4 + math.asin(v / (1 + v)) / (2 * math.pi))
        second += v**2 / (math.pi * (1 + v) * math.sqrt(1 + 2 * v))
        assert gelu.second == pytest.approx(second, rel=1e-13)
    sine = moments("sine", mu, sigma)
    half = math.exp(-v / 2)
    assert sine.mean == pytest.approx(half * math.sin(mu), abs=1e-14)
    assert sine.second == pytest.approx((1 - math.exp(-2 * v) * math.cos(2 * mu)) / 2, rel=1e-12)
    assert sine.slope_mean == pytest.approx(half * math.cos(mu), abs=1e-14)
    assert sine.slope_second == pytest.approx((1 + math.exp(-2 * v) * math.cos(2 * mu)) / 2, rel=1e-12)
    bump = moments("Gaussian", mu, sigma)
    assert bump.mean == pytest.approx(math.exp(-(mu**2) / (1 + 2 * v)) / math.sqrt(1 + 2 * v), rel=1e-12)
    assert bump.second == pytest.approx(math.exp(-2 * mu**2 / (1 + 4 * v)) / math.sqrt(1 + 4 * v), rel=1e-12)


def test_sine_stays_resolved() -> None:
    for sigma in (30.0, 100.0, 300.0):
        assert moments("sine", 0.4, sigma).second == pytest.approx(0.5, rel=1e-11)
        assert moments("sine", 0.4, sigma).share_saturated == pytest.approx(
            2 * math.asin(0.01) / math.pi, rel=1e-9
        )


def test_symmetry_and_the_fixed_point_of_selu() -> None:
    for name in ("tanh", "arctan", "softsign", "hard tanh", "sine", "identity"):
        assert abs(moments(name, 0.0, 1.7).mean) < 1e-15
    assert moments("sigmoid", 0.0, 3.0).mean == pytest.approx(0.5, rel=1e-15)
    assert moments("sigmoid", 1.2, 3.0).mean == pytest.approx(
        1 - moments("sigmoid", -1.2, 3.0).mean, rel=1e-14
    )
    selu = moments("SELU", 0.0, 1.0)
    assert abs(selu.mean) < 1e-15
    assert selu.variance == pytest.approx(1, rel=1e-14)
    assert selu.slope_second == pytest.approx(1.0715749925, rel=1e-10)


@pytest.mark.parametrize("sigma", [1e-3, 1e-8, 1e-12, 1e-100])
@pytest.mark.parametrize(
    "name", ["identity", "tanh", "sigmoid", "GELU", "SiLU", "Mish", "softplus", "ReLU", "sine"]
)
def test_variance_of_a_narrow_signal(name: str, sigma: float) -> None:
    """To first order Var φ = φ′(μ)²·σ², though φ(z) rounds to a few values or to one."""
    entry = ACTIVATIONS[name]
    got = signal_moments(entry, mu=0.7, sigma=sigma)
    assert got.variance == pytest.approx(float(entry.df(0.7)) ** 2 * sigma**2, rel=2 * sigma**2 + 1e-12)
    assert got.mean == pytest.approx(float(entry.f(0.7)), rel=sigma**2 + 1e-14)


@pytest.mark.parametrize(("mu", "sigma"), [(10.0, 0.1), (20.0, 1.5), (30.0, 0.5)])
def test_variance_on_a_saturated_side(mu: float, sigma: float) -> None:
    """tanh z = 1 − 2e^(−2z) + 2e^(−4z) − …, and lognormal covariances are known."""

    def covariance(a: float, b: float) -> float:
        v = sigma**2
        return math.exp(-(a + b) * mu + (a * a + b * b) * v / 2) * math.expm1(a * b * v)

    exact = 4 * covariance(2, 2) - 8 * covariance(2, 4) + 4 * covariance(4, 4) + 8 * covariance(2, 6)
    assert moments("tanh", mu, sigma).variance == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("sigmoid", math.log((1 + math.sqrt(0.99)) / (1 - math.sqrt(0.99)))),
        ("tanh", math.acosh(10)),
        ("arctan", math.sqrt(99)),
        ("softsign", 9.0),
    ],
)
@pytest.mark.parametrize("sigma", [0.3, 1.0, 40.0, 1e5])
def test_share_saturated(name: str, edge: float, sigma: float) -> None:
    got = moments(name, 0.0, sigma)
    assert got.share_saturated == pytest.approx(math.erfc(edge / sigma / math.sqrt(2)), rel=1e-11)
    assert got.share_zero == 0
    shifted = moments(name, 2.0, sigma)
    both = cdf((-edge - 2) / sigma) + cdf((2 - edge) / sigma)
    assert shifted.share_saturated == pytest.approx(both, rel=1e-11)


def test_shares_of_one_sided_tails() -> None:
    assert moments("ELU", 0.0, 2.0).share_saturated == pytest.approx(cdf(math.log(0.01) / 2), rel=1e-12)
    assert moments("softplus", 0.0, 2.0).share_saturated == pytest.approx(
        cdf(math.log(1 / 99) / 2), rel=1e-12
    )
    # Underflow is no zero: sigmoid's slope rounds to 0 beyond 745, ReLU's is 0.
    assert moments("sigmoid", 0.0, 1000.0).share_zero == 0
    assert moments("GELU", -100.0, 1.0).share_zero == 0
    assert moments("identity", 0.0, 1.0).share_saturated == 0


@entries
def test_a_signal_without_spread_is_one_point(entry: Activation) -> None:
    for mu in (-1000.0, -3.0, 0.0, 0.4, 6.0):
        got = signal_moments(entry, mu=mu, sigma=0)
        value, slope = float(entry.f(mu)), float(entry.df(mu))
        assert (got.mean, got.variance, got.slope_mean) == (value, 0.0, slope)
        assert got.second == pytest.approx(value**2, rel=1e-15)
        assert {got.share_zero, got.share_saturated} <= {0.0, 1.0}
    assert moments("ReLU", 0.0, 0.0).share_zero == 1
    assert moments("sigmoid", -1000.0, 0.0).share_zero == 0
    assert moments("sigmoid", -1000.0, 0.0).share_saturated == 1
    assert moments("Gaussian", 0.0, 0.0).share_zero == 1


@entries
@pytest.mark.parametrize("mu", [-1e300, -1000.0, 0.0, 1000.0])
@pytest.mark.parametrize("sigma", [1e-300, 1e-3, 300.0, 1e9, 1e200])
def test_extreme_signals(entry: Activation, mu: float, sigma: float) -> None:
    got = signal_moments(entry, mu=mu, sigma=sigma)
    assert not any(math.isnan(value) for value in vars(got).values())
    assert 0 <= got.share_zero <= got.share_saturated + 1e-15 <= 1 + 1e-14
    assert 0 <= got.variance <= got.second * (1 + 1e-12)


def test_what_leaves_float64_is_infinite() -> None:
    assert moments("squared ReLU", 0.0, 1e100).second == INF
    assert moments("squared ReLU", 0.0, 1e200).mean == INF
    assert moments("squared ReLU", 0.0, 1e70).second == pytest.approx(1.5e280, rel=1e-12)
    assert moments("sigmoid", -1000.0, 1.0).gain_backward == INF
    assert moments("sigmoid", -500.0, 1e-3).gain_backward == pytest.approx(math.exp(500), rel=1e-4)


# Samples


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (0.5, 2.0), (-2.0, 3.0)])
@settings
def test_sample_agrees_within_four_errors(
    entry: Activation, knobs: dict[str, float], mu: float, sigma: float
) -> None:
    exact = signal_moments(entry, mu=mu, sigma=sigma, knobs=knobs)
    got = sample_moments(entry, mu=mu, sigma=sigma, n=20_000, seed=7, knobs=knobs)
    for field in FIELDS:
        value, known, error = (getattr(m, field) for m in (got, exact, got.error))
        if value != known:
            assert abs(value - known) <= 4 * error + 1e-12 * abs(known), field


def test_standard_errors_are_those_of_repeated_samples() -> None:
    runs = [sample_moments(ACTIVATIONS["GELU"], mu=0.2, sigma=1.0, n=400, seed=s) for s in range(300)]
    for field in FIELDS:
        if field == "share_zero":
            continue
        spread = np.std([getattr(run, field) for run in runs])
        claimed = np.mean([getattr(run.error, field) for run in runs])
        assert claimed == pytest.approx(spread, rel=0.2), field


def test_a_larger_sample_extends_a_smaller_one() -> None:
    entry = ACTIVATIONS["identity"]
    small, twice = (sample_moments(entry, mu=0.0, sigma=1.0, n=n, seed=3) for n in (10, 20))
    draws = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(0,))).standard_normal(20)
    assert small.mean == pytest.approx(draws[:10].mean(), rel=1e-14)
    assert twice.mean == pytest.approx(draws.mean(), rel=1e-14)
    assert twice.variance == pytest.approx(draws.var(ddof=1), rel=1e-14)
    assert (small.n, twice.n) == (10, 20)
    assert sample_moments(entry, mu=0.0, sigma=1.0, n=10, seed=3) == small
    assert sample_moments(entry, mu=0.0, sigma=1.0, n=10, seed=4).mean != small.mean


def test_a_sample_without_spread() -> None:
    got = sample_moments(ACTIVATIONS["step"], mu=1.0, sigma=0.0, n=2, seed=0)
    assert (got.mean, got.variance, got.share_zero, got.error.mean) == (1.0, 0.0, 1.0, 0.0)
    assert got.gain_backward == got.error.gain_backward == INF
    assert got.error.share_zero > 0


# Chains of slopes


def chain(
    name: str, *, mu: float = 0.0, sigma: float = 1.0, layers: int = 8, n: int = 4, seed: int = 0, **knobs
):
    return slope_chain(ACTIVATIONS[name], mu=mu, sigma=sigma, layers=layers, n=n, seed=seed, knobs=knobs)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 4.0])
def test_mean_log_of_sine(sigma: float) -> None:
    """log|cos z| = −log 2 − Σ (−1)^k cos(2kz)/k, whose mean is known term by term."""
    terms = [(-1) ** k / k * math.exp(-2 * (k * sigma) ** 2) for k in range(1, 400)]
    exact = (-math.log(2) - math.fsum(terms)) / math.log(10)
    assert chain("sine", sigma=sigma).mean_log10 == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("sigma", [1e-6, 0.3, 1.0, 30.0, 1000.0])
def test_mean_logs_in_closed_form(sigma: float) -> None:
    log_size = math.log(sigma) - (0.5772156649015329 + math.log(2)) / 2  # E log|z|
    ten = math.log(10)
    bump = chain("Gaussian", sigma=sigma)
    assert bump.mean_log10 == pytest.approx((math.log(2) + log_size - sigma**2) / ten, rel=1e-10)
    squared = chain("squared ReLU", sigma=sigma)
    assert squared.mean_log10 == -INF
    assert squared.mean_log10_alive == pytest.approx((math.log(2) + log_size) / ten, rel=1e-12)
    elu = chain("ELU", sigma=sigma)
    assert elu.mean_log10 == pytest.approx(-sigma / math.sqrt(2 * math.pi) / ten, rel=1e-11)


def test_mean_log_where_the_slope_underflows() -> None:
    sigma = 1000.0  # half of the slopes of a sigmoid are below 5e-324
    exact = -sigma * math.sqrt(2 / math.pi) - math.pi**2 / (3 * sigma * math.sqrt(2 * math.pi))
    got = chain("sigmoid", sigma=sigma, n=4000, layers=1)
    assert got.mean_log10 * math.log(10) == pytest.approx(exact, rel=1e-9)
    assert np.all(np.isfinite(got.log10_products))
    assert np.all(got.share_zero == 0)
    gelu = chain("GELU", mu=-1e4, sigma=0.0)
    asymptote = -(1e8) / 2 + math.log(1e4 / math.sqrt(2 * math.pi))
    assert gelu.mean_log10 * math.log(10) == pytest.approx(asymptote, rel=1e-6)


@pytest.mark.parametrize("mu", [-1.0, 0.0, 2.0])
def test_piecewise_linear_chains(mu: float) -> None:
    got = chain("leaky ReLU", mu=mu, slope=0.1)
    assert got.mean_log10 == pytest.approx(-cdf(-mu), rel=1e-12)
    np.testing.assert_array_equal(got.share_zero, 0)
    dead = chain("ReLU", mu=mu)
    l = np.arange(9)
    np.testing.assert_allclose(dead.share_zero, 1 - cdf(mu) ** l, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dead.log10_expected, l * math.log10(cdf(mu)), rtol=1e-12)
    np.testing.assert_array_equal(dead.log10_largest, 0)
    assert dead.mean_log10 == -INF
    assert dead.mean_log10_alive == pytest.approx(0, abs=1e-15)


@settings
def test_chains_agree_with_theory(entry: Activation, knobs: dict[str, float]) -> None:
    layers, n = 20, 2000
    got = slope_chain(entry, mu=0.3, sigma=1.5, layers=layers, n=n, seed=1, knobs=knobs)
    assert got.log10_products.shape == (n, layers + 1)
    assert np.all(got.log10_products[:, 0] == 0)
    assert not np.any(np.isnan(got.log10_products))
    with np.errstate(invalid="ignore"):
        steps = np.diff(got.log10_products)
    alive = steps[np.isfinite(steps)]
    if alive.size:
        error = np.std(alive) / math.sqrt(alive.size)
        assert np.mean(alive) == pytest.approx(got.mean_log10_alive, abs=4 * error + 1e-12)
    share = np.mean(np.isneginf(got.log10_products), axis=0)
    spread = np.sqrt(got.share_zero * (1 - got.share_zero) / n)
    assert np.all(np.abs(share - got.share_zero) <= 4.5 * spread + 1e-12)
    assert np.all(got.log10_products <= got.log10_largest + 1e-9)
    mean_slope = mean_of(lambda z: np.abs(entry.df(z, **knobs)), entry, 0.3, 1.5)
    if mean_slope:
        np.testing.assert_allclose(
            got.log10_expected, np.arange(layers + 1) * math.log10(mean_slope), rtol=3e-6, atol=1e-12
        )
    else:
        np.testing.assert_array_equal(got.log10_expected[1:], -INF)


def test_more_layers_and_more_chains_extend() -> None:
    large = chain("tanh", layers=12, n=7).log10_products
    np.testing.assert_array_equal(chain("tanh", layers=5, n=7).log10_products, large[:, :6])
    np.testing.assert_array_equal(chain("tanh", layers=12, n=3).log10_products, large[:3])


def first_below(largest: Fraction) -> int:
    product, layer = Fraction(1), 0
    while product >= Fraction(TINY):
        product, layer = product * largest, layer + 1
    return layer


@pytest.mark.parametrize(
    ("name", "largest"),
    [("sigmoid", Fraction(1, 4)), ("hard sigmoid", Fraction(1, 6)), ("hard sigmoid (ONNX)", Fraction(1, 5))],
)
def test_layers_until_the_largest_product_underflows(name: str, largest: Fraction) -> None:
    assert chain(name).underflow_largest == first_below(largest)


def test_layers_until_underflow() -> None:
    assert chain("sigmoid").underflow_largest == 64
    for name in ("tanh", "ReLU", "GELU", "identity", "squared ReLU", "sine"):
        assert chain(name).underflow_largest is None
    step = chain("step")
    assert (step.underflow_typical, step.underflow_largest, step.mean_log10) == (1, 1, -INF)
    assert chain("identity").underflow_typical is None
    assert chain("leaky ReLU", slope=0.1).underflow_typical == 76  # half a decade a layer
    assert chain("Swish", beta=0.0).underflow_typical == chain("Swish", beta=0.0).underflow_largest == 127
    for name in ("sigmoid", "tanh", "GELU", "Mish", "Gaussian"):
        got = chain(name)
        below = got.underflow_typical
        assert below * got.mean_log10 < math.log10(TINY) <= (below - 1) * got.mean_log10


def test_half_of_the_chains_dead_is_a_dead_typical_chain() -> None:
    assert chain("ReLU").underflow_typical == 1
    got = chain("ReLU", mu=2.0, layers=40)
    assert got.share_zero[got.underflow_typical] >= 0.5 > got.share_zero[got.underflow_typical - 1]


def test_a_chain_at_one_point() -> None:
    got = chain("sigmoid", mu=0.0, sigma=0.0, layers=3)
    np.testing.assert_allclose(got.log10_products[0], np.arange(4) * math.log10(0.25), rtol=1e-14)
    assert got.mean_log10 == pytest.approx(math.log10(0.25), rel=1e-15)
    dead = chain("Gaussian", mu=0.0, sigma=0.0, layers=2)
    np.testing.assert_array_equal(dead.log10_products[0], [0, -INF, -INF])
    np.testing.assert_array_equal(dead.share_zero, [0, 1, 1])


# Bad arguments


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mu": INF}, "mu = ∞"),
        ({"mu": math.nan}, "mu = NaN"),
        ({"sigma": -1.0}, "sigma = −1"),
        ({"sigma": INF}, "sigma = ∞"),
        ({"n": 0}, "n = 0"),
        ({"layers": 0}, "layers = 0"),
    ],
)
def test_arguments_out_of_range(changes: dict[str, float], match: str) -> None:
    arguments = {"mu": 0.0, "sigma": 1.0, "n": 2, "seed": 0, "layers": 1} | changes
    with pytest.raises(ValueError, match=match):
        slope_chain(ACTIVATIONS["tanh"], **arguments)
    layers = arguments.pop("layers")
    if layers:
        with pytest.raises(ValueError, match=match):
            sample_moments(ACTIVATIONS["tanh"], **arguments)
    if "n" not in changes and layers:
        with pytest.raises(ValueError, match=match):
            signal_moments(ACTIVATIONS["tanh"], mu=arguments["mu"], sigma=arguments["sigma"])


def test_a_sample_of_one_has_no_error() -> None:
    with pytest.raises(ValueError, match="n = 1"):
        sample_moments(ACTIVATIONS["tanh"], mu=0.0, sigma=1.0, n=1, seed=0)


def test_a_misspelt_knob_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="slop"):
        moments("leaky ReLU", 0.0, 1.0, slop=0.1)
