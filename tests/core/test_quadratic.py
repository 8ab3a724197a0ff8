"""Closed forms on the quadratic against eigenvalues, grid searches, Lyapunov equations, simulation and limits."""

import math

import numpy as np
import pytest

from core.descent import descend, steps_to
from core.optimizers import OPTIMIZERS
from core.quadratic import (
    ALTERNATING,
    CRITICAL,
    DIVERGING,
    LIMIT,
    OVERDAMPED,
    UNDERDAMPED,
    Moments,
    NoisyBowl,
    best_lrs,
    critical_momentum,
    heavy_ball_limit,
    measured_rate,
    moments,
    nesterov_limit,
    noise_variance,
    optimal_gd,
    optimal_heavy_ball,
    optimal_nesterov,
    quadratic_rates,
    regime,
    steps_predicted,
    textbook_nesterov,
)

LOW, HIGH = 0.08, 4.0
CURVATURES = np.array([LOW, HIGH])
START = np.array([-5.0, -2.0])
LINEAR = {name: entry for name, entry in OPTIMIZERS.items() if entry.linear is not None}
FORMS = (False, True)

forms = pytest.mark.parametrize("nesterov", FORMS, ids=["heavy ball", "Nesterov"])
linear = pytest.mark.parametrize("name", LINEAR)
pairs = pytest.mark.parametrize("pair", [optimal_gd, optimal_heavy_ball, optimal_nesterov, textbook_nesterov])


def step_matrix(lr, momentum, curvature, nesterov):
    """One step on (u, v), written down from the update rule."""
    v = np.array([curvature, momentum])
    u = np.array([1.0, 0.0])
    move = lr * (np.array([curvature, 0.0]) + momentum * v) if nesterov else lr * v
    return np.array([u - move, v])


def settings(name, **knobs):
    """Keep those of the knobs that an optimizer has."""
    own = {knob.name for knob in LINEAR[name].knobs}
    return {key: value for key, value in knobs.items() if key in own}


def worst(lr, momentum, low, high, nesterov):
    return quadratic_rates(
        np.asarray(lr)[..., None], np.asarray(momentum)[..., None], [low, high], nesterov=nesterov
    ).max(-1)


# The best settings


@pytest.mark.parametrize("kappa", [1.0, 2.0, 50.0, 1e4])
@pairs
def test_optimal_pairs_have_the_rate_they_promise(pair, kappa):
    found = pair(0.5, 0.5 * kappa)
    rate = worst(found.lr, found.momentum, 0.5, 0.5 * kappa, pair in (optimal_nesterov, textbook_nesterov))
    # At critical damping two roots meet, and the root of a rounding error is what is left.
    assert rate == pytest.approx(float(found.rate), abs=3e-8)


@pytest.mark.parametrize("kappa", [3.0, 50.0])
@linear
def test_no_pair_of_a_grid_beats_the_optimal_one(name, kappa):
    theory = LINEAR[name].linear
    tuned = theory.optimal(1.0, kappa)
    mu = np.linspace(0, 0.98, 99)[:, None] if settings(name, momentum=0) else np.zeros((1, 1))
    lr = np.linspace(0.01, 4 / kappa, 400)
    rates = worst(*np.broadcast_arrays(lr, mu), 1.0, kappa, theory.nesterov)
    assert rates.min() >= tuned.rate
    assert rates.min() == pytest.approx(float(tuned.rate), abs=0.02)


def test_published_values():
    assert optimal_gd(LOW, HIGH).lr == pytest.approx(2 / 4.08)
    assert optimal_gd(1.0, 3.0).rate == 0.5
    assert optimal_heavy_ball(1.0, 9.0) == pytest.approx((0.25, 0.25, 0.5))
    assert optimal_nesterov(1.0, 5.0) == pytest.approx((0.25, 1 / 3, 0.5))
    assert textbook_nesterov(1.0, 9.0) == pytest.approx((1 / 9, 0.5, 2 / 3))
    assert (optimal_nesterov(1.0, 50.0).rate < textbook_nesterov(1.0, 50.0).rate).all()


@pairs
def test_pairs_are_vectorised_and_refuse_what_is_no_range(pair):
    low, high = np.array([[0.1], [1.0]]), np.array([2.0, 5.0, 9.0])
    found = pair(low, high)
    for part, each in zip(found, pair(1.0, 5.0), strict=True):
        assert part.shape == (2, 3)
        assert part[1, 1] == each
    with pytest.raises(ValueError, match=r"high = 1\.0: needs"):
        pair(2.0, 1.0)
    with pytest.raises(ValueError, match=r"curvature = 0\.0"):
        pair(0.0, 1.0)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5658, 0.9])
@forms
def test_best_learning_rates_of_a_momentum(nesterov, momentum):
    first, last = (float(lr) for lr in best_lrs(LOW, HIGH, momentum, nesterov=nesterov))
    best = worst(first, momentum, LOW, HIGH, nesterov)
    grid = worst(np.linspace(0.002, 1.0, 2000), momentum, LOW, HIGH, nesterov)
    assert grid.min() >= best - 1e-9
    assert grid.min() == pytest.approx(float(best), abs=5e-3)
    assert worst(last, momentum, LOW, HIGH, nesterov) == pytest.approx(float(best), abs=1e-7)
    for outside in (first * 0.99, last * 1.01):
        assert worst(outside, momentum, LOW, HIGH, nesterov) > best + 1e-6
    assert (last > 1.01 * first) == (not nesterov and momentum == 0.9)
    if momentum == 0:
        assert first == pytest.approx(float(optimal_gd(LOW, HIGH).lr))


def test_best_learning_rates_at_the_optimal_momentum_are_the_optimal_pair():
    for tuned, nesterov in ((optimal_heavy_ball(LOW, HIGH), False), (optimal_nesterov(LOW, HIGH), True)):
        np.testing.assert_allclose(
            best_lrs(LOW, HIGH, tuned.momentum, nesterov=nesterov), tuned.lr, rtol=1e-7
        )


# Regimes


@forms
def test_at_the_critical_momentum_both_roots_are_one(nesterov):
    for a in (0.004, 0.2, 0.81, 1.0, 2.5):
        mu = float(critical_momentum(a / HIGH, HIGH, nesterov=nesterov))
        if nesterov and a > 1:
            assert math.isnan(mu)
            continue
        first, second = np.linalg.eigvals(step_matrix(a / HIGH, mu, HIGH, nesterov))
        assert abs(first - second) < 1e-7
        if a > 0.9:  # at momentum 0 below, so only one side
            continue
        assert regime(a / HIGH, mu, HIGH, nesterov=nesterov) == CRITICAL
        assert regime(a / HIGH, mu * 1.001, HIGH, nesterov=nesterov) == UNDERDAMPED
        assert regime(a / HIGH, mu * 0.999, HIGH, nesterov=nesterov) == OVERDAMPED


@forms
def test_regimes_are_those_of_the_eigenvalues(nesterov):
    a, mu = np.meshgrid(np.linspace(0.03, 5.0, 37), np.linspace(0.013, 0.97, 23))
    names = regime(a, mu, 1.0, nesterov=nesterov)
    assert set(names.ravel()) == {OVERDAMPED, UNDERDAMPED, ALTERNATING, DIVERGING}
    for each_a, each_mu, name in zip(a.ravel(), mu.ravel(), names.ravel(), strict=True):
        roots = np.linalg.eigvals(step_matrix(each_a, each_mu, 1.0, nesterov))
        largest = roots[np.argmax(np.abs(roots))]
        if abs(largest) >= 1:
            assert name == DIVERGING
        elif abs(largest.imag) > 1e-9:
            assert name == UNDERDAMPED
        else:
            assert name == (OVERDAMPED if largest.real > 0 else ALTERNATING)


def test_at_the_limit_and_beyond():
    for momentum in (0.0, 0.5, 0.9):
        for nesterov, limit in (
            (False, heavy_ball_limit(3.0, momentum)),
            (True, nesterov_limit(3.0, momentum)),
        ):
            assert regime(limit, momentum, 3.0, nesterov=nesterov) == LIMIT
            assert regime(limit * (1 + 1e-9), momentum, 3.0, nesterov=nesterov) == DIVERGING
            assert regime(limit * (1 - 1e-9), momentum, 3.0, nesterov=nesterov) == ALTERNATING
    assert regime(0.0, 0.5, 1.0) == LIMIT
    assert regime(1.0, 0.0, 1.0) == CRITICAL  # both roots are 0: one step arrives


# Steps and rates of runs


def test_predicted_steps():
    assert steps_predicted(0.1, 1e-6) == 3
    assert steps_predicted(0.5, 0.25) == 1
    assert steps_predicted(0.5, 0.24) == 2
    np.testing.assert_array_equal(steps_predicted([0.0, 0.9, 1.0, 1.1], 1e-6), [1, 66, math.inf, math.inf])
    np.testing.assert_array_equal(steps_predicted([0.0, 0.9, 1.1], 1.0), 0)
    value = 0.964 ** (2 * np.arange(400))
    assert steps_predicted(0.964, 1e-6) == steps_to(value, 1e-6)
    for bad in (-0.1, math.nan):
        with pytest.raises(ValueError, match="rate"):
            steps_predicted(bad, 1e-6)
    with pytest.raises(ValueError, match="share"):
        steps_predicted(0.5, 0.0)


@linear
def test_measured_rates_are_the_predicted_ones(name):
    theory = LINEAR[name].linear
    limit = float(theory.limit(HIGH, {"momentum": 0.8}))
    lr = limit * np.array([0.02, 0.1, 0.3, 0.7, 0.98, 1.1])
    rule = LINEAR[name].build(**settings(name, lr=lr, momentum=0.8))
    path = descend(NoisyBowl(CURVATURES), rule, np.ones((len(lr), 2)), 2000).path
    theory_rates = theory.rates(CURVATURES, {"lr": lr[:, None], "momentum": 0.8})
    assert (theory_rates[-1] > 1).any()
    np.testing.assert_allclose(measured_rate(path), theory_rates, rtol=1e-3)


def test_measured_rate_of_made_up_runs():
    t = np.arange(3000)[:, None]
    with np.errstate(under="ignore", over="ignore"):
        path = np.array([0.5, 1.0, 3.0, -0.9]) ** t
    np.testing.assert_allclose(measured_rate(path), [0.5, 1.0, 3.0, 0.9], rtol=1e-12)
    assert math.isnan(measured_rate([1.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert math.isnan(measured_rate([1.0]))


# Noise


@forms
def test_the_variance_solves_the_lyapunov_equation(nesterov):
    rng = np.random.default_rng(1)
    for _ in range(60):
        curvature, momentum = 10 ** rng.uniform(-2, 2), rng.uniform(0, 0.98)
        limit = (nesterov_limit if nesterov else heavy_ball_limit)(curvature, momentum)
        lr, sigma = limit * rng.uniform(0.02, 0.98), rng.uniform(0.1, 3)
        matrix = step_matrix(lr, momentum, curvature, nesterov)
        entry = sigma * np.array([-lr * (1 + momentum) if nesterov else -lr, 1.0])
        covariance = np.linalg.solve(np.eye(4) - np.kron(matrix, matrix), np.outer(entry, entry).ravel())
        found = noise_variance(lr, momentum, curvature, sigma, nesterov=nesterov)
        assert found == pytest.approx(covariance[0], rel=1e-7)


def test_variances_without_momentum_at_the_limit_and_beyond():
    lr = np.array([0.1, 0.3, 0.49])
    expected = lr * 4 / (HIGH * (2 - lr * HIGH))
    for nesterov in FORMS:
        np.testing.assert_allclose(
            noise_variance(lr, 0.0, HIGH, 2.0, nesterov=nesterov), expected, rtol=1e-13
        )
        assert noise_variance(0.5, 0.0, HIGH, 1.0, nesterov=nesterov) == math.inf
        assert noise_variance(0.6, 0.0, HIGH, 1.0, nesterov=nesterov) == math.inf
        assert noise_variance(0.1, 0.5, HIGH, 0.0, nesterov=nesterov) == 0
        # Small learning rates: lr σ²/(2λ(1−μ)), the variance of the diffusion.
        small = noise_variance(1e-7, 0.9, HIGH, 1.0, nesterov=nesterov)
        assert small == pytest.approx(1e-7 / (2 * HIGH * 0.1), rel=1e-4)
    for bad in ({"momentum": 1.0}, {"sigma": -1.0}, {"curvature": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            noise_variance(**{"lr": 0.1, "momentum": 0.5, "curvature": 1.0, "sigma": 1.0, **bad})


@forms
def test_moments_follow_the_covariance_of_every_step(nesterov):
    lr, mu, sigma, steps = 0.1, 0.7, 1.5, 25
    found = moments(lr, mu, CURVATURES, START, sigma, steps, nesterov=nesterov)
    for i, curvature in enumerate(CURVATURES):
        matrix = step_matrix(lr, mu, curvature, nesterov)
        entry = sigma * np.array([-lr * (1 + mu) if nesterov else -lr, 1.0])
        state, covariance = np.array([START[i], 0.0]), np.zeros((2, 2))
        for t in range(steps + 1):
            assert found.mean[t, i] == pytest.approx(state[0], rel=1e-12)
            assert found.variance[t, i] == pytest.approx(covariance[0, 0], rel=1e-12)
            state, covariance = matrix @ state, matrix @ covariance @ matrix.T + np.outer(entry, entry)


@linear
def test_moments_are_those_of_many_runs_and_end_at_the_floor(name):
    theory = LINEAR[name].linear
    mu = 0.6 if settings(name, momentum=0) else 0.0
    rule = LINEAR[name].build(**settings(name, lr=0.2, momentum=mu))
    runs = descend(
        NoisyBowl(CURVATURES, 1.5), rule, np.tile(START, (4000, 1)), 30, rng=np.random.default_rng(5)
    )
    found = moments(0.2, mu, CURVATURES, START, 1.5, 30, nesterov=theory.nesterov)
    spread = np.sqrt(found.variance / 4000)
    assert (np.abs(runs.path.mean(axis=1) - found.mean) <= 4.5 * spread + 1e-12).all()
    np.testing.assert_allclose(runs.path.var(axis=1)[1:], found.variance[1:], rtol=0.11)
    np.testing.assert_allclose(runs.value.mean(axis=1), found.loss(CURVATURES), rtol=0.1)
    long = moments(0.2, mu, CURVATURES, START, 1.5, 2000, nesterov=theory.nesterov).variance[-1]
    np.testing.assert_allclose(
        long, noise_variance(0.2, mu, CURVATURES, 1.5, nesterov=theory.nesterov), rtol=1e-12
    )


def test_moments_at_the_edges():
    for steps in (0, 1, 2, 7):
        found = moments(0.1, 0.5, CURVATURES, START, 1.0, steps)
        assert found.mean.shape == found.variance.shape == (steps + 1, 2)
    np.testing.assert_allclose(found.variance[1], 0.01)
    assert not moments(0.1, 0.5, CURVATURES, START, 0.0, 9).variance.any()
    starts = np.zeros((3, 1, 2)) + START
    many = moments(np.array([0.1, 0.2])[:, None], 0.5, CURVATURES, starts, 1.0, 7)
    np.testing.assert_array_equal(many.variance[:, 2, 0], found.variance)
    wild = moments(5.0, 0.9, [1e30, 1.0], [1.0, 0.0], 1.0, 40)
    assert not np.isfinite(wild.loss([1e30, 1.0])[-1])
    assert wild.mean[:, 1].tolist() == [0.0] * 41


def test_expected_loss_by_hand():
    found = Moments(np.array([[1.0, -2.0]]), np.array([[0.5, 0.25]]))
    assert found.loss([2.0, 4.0]) == 0.5 * (2 * 1.5 + 4 * 4.25)


def test_noisy_bowl():
    bowl = NoisyBowl(CURVATURES, 2.0)
    assert bowl.f(START) == 0.5 * (LOW * 25 + HIGH * 4)
    np.testing.assert_array_equal(bowl.grad(START), CURVATURES * START)
    drawn = bowl.grad(np.tile(START, (20_000, 1)), 0, np.random.default_rng(0)) - CURVATURES * START
    assert drawn.std() == pytest.approx(2.0, rel=0.02)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03
