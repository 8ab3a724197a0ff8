"""The gradient of batch normalization in three terms, the identity, and folding, against independent truths."""

import numpy as np
import pytest

from core.batchnorm_algebra import (
    finite_difference,
    fold,
    gradient_scale,
    gradient_terms,
    identity_error,
    identity_error_theory,
    identity_parameters,
)
from core.normalization import RunningStats, normalize, normalize_batch, normalize_batch_backward

RNG = np.random.default_rng(3)
BATCHES = {
    "example": np.array([1.0, 2.0, 4.0, 9.0]),
    "normal": RNG.normal(5, 3, 7),
    "nearly constant": 5 + 1e-3 * RNG.normal(size=5),
    "offset": 1e8 + RNG.normal(size=6),
    "two": np.array([-1.0, 3.0]),
}
EPS = (1e-5, 1e-3, 0.5)
every_batch = pytest.mark.parametrize("x", BATCHES.values(), ids=BATCHES)
every_eps = pytest.mark.parametrize("eps", EPS)


def upstream(x):
    return np.random.default_rng(len(x)).normal(size=len(x))


@every_batch
@every_eps
def test_terms_add_up_to_the_gradient_of_the_layer(x, eps):
    dy = upstream(x)
    terms = gradient_terms(x, -1.7, dy, eps)
    near = x - x[0]  # an offset changes no gradient
    dx, dgamma, dbeta = normalize_batch_backward(near[:, None], -1.7, dy[:, None], eps=eps)
    size = abs(terms.factor) * np.abs(dy).max()
    assert terms.dx == pytest.approx(dx[:, 0], rel=1e-12, abs=1e-12 * size)
    summed = terms.direct + terms.through_mean + terms.through_var
    assert summed == pytest.approx(terms.dx, rel=1e-12, abs=1e-12 * size)
    assert (terms.dgamma, terms.dbeta) == pytest.approx((dgamma[0], dbeta[0]), rel=1e-12, abs=1e-12)
    assert (terms.mean_dy, terms.slope) == pytest.approx((dy.mean(), np.mean(dy * terms.normal)), rel=1e-12)
    assert terms.mean == pytest.approx(x.mean(), rel=1e-15)


@every_batch
@every_eps
def test_each_path_is_the_gradient_with_the_others_closed(x, eps):
    # The Jacobian of one path: hold the other statistics at their numbers and move one sample by hand.
    dy, gamma, h = upstream(x), 1.3, 1e-4
    x = x - x.mean()  # moving one sample by hand loses digits at an offset of 1e8
    mean, var = x.mean(), x.var()

    def loss(moved, mean_of, var_of):
        m = mean_of.mean()
        v = np.mean((var_of - mean) ** 2)
        return np.sum(dy * gamma * (moved - m) / np.sqrt(v + eps))

    terms = gradient_terms(x, gamma, dy, eps)
    step = h * np.sqrt(var + eps)
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        for term, (a, b, c) in {
            "direct": (True, False, False),
            "through_mean": (False, True, False),
            "through_var": (False, False, True),
        }.items():
            high, low = (
                loss(moved if a else x, moved if b else x, moved if c else x) for moved in (up, down)
            )
            assert (high - low) / (2 * step) == pytest.approx(
                getattr(terms, term)[i], rel=1e-6, abs=1e-6 * abs(terms.factor)
            ), term


@every_batch
@every_eps
def test_finite_differences_agree(x, eps):
    dy = upstream(x)
    terms = gradient_terms(x, 2.0, dy, eps)
    # An offset of 1e8 leaves eight digits of each sample, and four of each step.
    tolerance = 1e-9 if np.abs(x).max() < 100 else 1e-3
    measured = finite_difference(x, 2.0, dy, eps, beta=0.3)
    assert measured == pytest.approx(terms.dx, rel=0, abs=tolerance * abs(terms.factor) * np.abs(dy).max())


@every_batch
@every_eps
def test_sums_over_the_batch(x, eps):
    dy = upstream(x)
    terms = gradient_terms(x, 0.8, dy, eps)
    rounding = 1e-14 * abs(terms.factor) * np.abs(dy).sum()
    assert abs(terms.sum_dx) < rounding
    assert terms.sum_dx_normal == pytest.approx(terms.sum_dx_normal_theory, rel=1e-9, abs=rounding)
    assert abs(terms.sum_dx_normal_theory) > 10 * rounding  # or nothing was tested
    line = np.polynomial.Polynomial.fit(terms.normal, dy, 1).convert().coef
    assert terms.least_squares_slope == pytest.approx(line[1], rel=1e-9)


def test_sum_with_x_hat_by_hand():
    # x = [0, 2], eps = 3: var 1, √(var + eps) = 2, x̂ = ∓1/2; dy = [0, 1]: Σ dy·x̂ = 1/2, factor 1/2.
    terms = gradient_terms([0.0, 2.0], 1.0, [0.0, 1.0], 3.0)
    assert terms.normal.tolist() == [-0.5, 0.5]
    assert terms.dx == pytest.approx([0.5 * (0 - 0.5 + 0.125), 0.5 * (1 - 0.5 - 0.125)])
    assert terms.sum_dx_normal_theory == pytest.approx(0.5 * 3 / 4 * 0.5)
    assert terms.sum_dx_normal == pytest.approx(3 / 16)


def test_directions_that_batchnorm_removes():
    x = BATCHES["example"]
    assert np.all(gradient_terms(x, 1.5, np.ones(4), 1e-5).dx == 0)
    normal = gradient_terms(x, 1.5, np.ones(4), 1e-5).normal
    terms = gradient_terms(x, 1.5, normal, 1e-5)
    assert terms.dx == pytest.approx(terms.direct * 1e-5 / (terms.var + 1e-5), rel=1e-6)
    one = gradient_terms([4.0], 2.0, [3.0])
    assert one.dx == 0
    assert np.isnan(one.least_squares_slope)
    assert finite_difference([4.0], 2.0, [3.0]) == 0


@pytest.mark.parametrize("dy", [upstream(np.arange(4)), np.ones(4), np.array([-1.0, -0.5, 0.0, 1.5])])
def test_norm_against_the_scale_of_the_batch(dy):
    x, scales = BATCHES["example"], np.array([1e-5, 1e-3, 0.1, 1.0, 10.0])
    found = gradient_scale(x, -2.0, dy, 1e-5, scales)
    assert found.spread == pytest.approx(scales * x.std())
    dx = [normalize_batch_backward(c * x[:, None], -2.0, dy[:, None], eps=1e-5)[0] for c in scales]
    truth = np.array([np.linalg.norm(d) for d in dx])
    assert found.norm == pytest.approx(truth, rel=1e-9, abs=1e-9)
    assert found.theory == pytest.approx(truth, rel=1e-9, abs=1e-9)


def test_ten_times_the_batch_divides_the_gradient_by_ten():
    x, dy = BATCHES["normal"], upstream(BATCHES["normal"])
    found = gradient_scale(x, 1.0, dy, 0.0, [1.0, 10.0])
    assert found.norm[0] / found.norm[1] == pytest.approx(10, rel=1e-12)


@every_batch
@every_eps
def test_identity(x, eps):
    gamma, beta = identity_parameters(x.mean(), x.var(), eps)
    size = np.abs(x).max()
    assert identity_error(x, float(gamma), float(beta), eps) < 1e-14 * size
    rms = identity_error(x, float(x.var()), 0.5, eps)
    assert rms == pytest.approx(identity_error_theory(x.mean(), x.var(), x.var(), 0.5, eps), rel=1e-9)
    assert rms > 1e-6


def test_the_variance_as_gamma_is_no_identity():
    # σ = 3: γ = σ² = 9 stretches by 3, so the error is (9 − 3)·rms(x̂) = 6.
    x = np.array([2.0, 8.0])
    assert identity_error(x, 9.0, 5.0, 0.0) == pytest.approx(6)
    assert identity_error(x, 3.0, 5.0, 0.0) == 0


def test_folded_layer_equals_linear_then_evaluation():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(50, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    gamma, beta, mean, var = (
        np.array([1.5, -0.3]),
        np.array([0.2, 4.0]),
        rng.normal(size=2),
        np.array([9, 0.1]),
    )
    expected = normalize(x @ weight + bias, gamma, beta, RunningStats(mean, var), eps=1e-3)
    w, b = fold(weight, bias, gamma, beta, mean, var, 1e-3)
    assert w.shape == (3, 2)
    assert x @ w + b == pytest.approx(expected, rel=1e-12, abs=1e-13)
    trained, _ = normalize_batch(x @ weight + bias, gamma, beta, RunningStats(mean, var), eps=1e-3)
    assert np.abs(x @ w + b - trained).max() > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_terms([[1.0]], 1.0, [1.0]), "needs \\(N,\\)"),
        (lambda: gradient_terms([], 1.0, []), "at least one"),
        (lambda: gradient_terms([1.0, np.nan], 1.0, [1.0, 1.0]), "finite"),
        (lambda: gradient_terms([1.0, 2.0], 1.0, [1.0]), "the shape of x"),
        (lambda: finite_difference([1.0, 2.0], 1.0, [1.0]), "the shape of x"),
        (lambda: gradient_terms([1.0, 1.0], 1.0, [1.0, 0.0], 0.0), "0/0"),
        (lambda: gradient_terms([1.0, 2.0], 1.0, [1.0, 0.0], -1.0), "eps"),
        (lambda: gradient_scale([1.0, 2.0], 1.0, [1.0, 0.0], 1e-5, [0.0]), "above 0"),
        (lambda: fold(np.ones((3, 2)), np.ones(3), 1, 0, 0, 1), "fan_in"),
        (lambda: fold(np.ones((3, 2)), np.ones(2), np.ones(3), 0, 0, 1), "gamma"),
        (lambda: fold(np.ones((3, 2)), np.ones(2), 1, 0, 0, -1), "var"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
