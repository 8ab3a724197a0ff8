"""Moving averages against hand computation and closed forms; the ingredients of Adam against its factors."""

import math

import numpy as np
import pytest

from core.averages import (
    INGREDIENTS,
    SERIES,
    adam_ablation,
    constant_gradient_steps,
    days_until,
    ewma,
    held,
    measure_scatter,
    misplaced_average,
    misplaced_bracket,
    misplaced_limit,
    momentum_weights,
    noise_share,
    simple_average,
    weights,
    windows,
)
from core.descent import SurfaceProblem, descend
from core.optimizers import OPTIMIZERS
from core.streams import stream
from core.surfaces import SURFACES

BETAS = (0.0, 0.5, 0.9, 0.999)
T = np.arange(1, 401)

every_series = pytest.mark.parametrize("name", SERIES)
every_beta = pytest.mark.parametrize("beta", BETAS)
every_entry = pytest.mark.parametrize("name", INGREDIENTS)


# Series


@every_series
@every_beta
@pytest.mark.parametrize("corrected", [False, True])
def test_the_expected_average_is_the_average_of_the_level(name, beta, corrected):
    series = SERIES[name]
    np.testing.assert_allclose(
        series.expected_average(T, beta, corrected=corrected),
        ewma(series.level(T), beta, corrected=corrected),
        rtol=1e-11,
        atol=1e-11,
    )


def test_levels_by_hand():
    def level(name, *days):
        return SERIES[name].level(np.array(days))

    np.testing.assert_allclose(level("temperatures", 365 / 4, 365 / 2, 3 * 365 / 4), [20, 10, 0], atol=1e-12)
    np.testing.assert_allclose(level("constant", 1, 400), 10)
    np.testing.assert_allclose(level("step", 1, 20, 21, 400), [5, 5, 15, 15])
    np.testing.assert_allclose(level("zigzag", 1, 2, 3), [-6, 10, -6])
    np.testing.assert_allclose(level("noise alone", 1, 2), 0)


def test_a_longer_series_begins_with_the_shorter_one():
    series = SERIES["step"]
    short, long = (series.draw(n, noise=2.0, rng=stream(3)) for n in (30, 400))
    np.testing.assert_array_equal(short, long[:30])
    np.testing.assert_array_equal(series.draw(30, noise=0.0, rng=stream(3)), series.level(T[:30]))
    with pytest.raises(ValueError, match="days = 0"):
        series.draw(0, noise=1.0, rng=stream(3))


# The average


def test_the_average_by_hand():
    x = [10.0, 20.0, 30.0]
    np.testing.assert_allclose(ewma(x, 0.5), [5, 12.5, 21.25])
    np.testing.assert_allclose(ewma(x, 0.5, corrected=True), [10, 12.5 / 0.75, 21.25 / 0.875])
    np.testing.assert_allclose(ewma(x, 0.5, start=10.0), [10, 15, 22.5])
    # Correction takes V₀ out: the result does not depend on it.
    np.testing.assert_allclose(ewma(x, 0.5, corrected=True, start=7.0), ewma(x, 0.5, corrected=True))
    np.testing.assert_array_equal(ewma(x, 0.0), x)
    np.testing.assert_array_equal(ewma([4], 0.9, corrected=True), [4])


def test_the_average_broadcasts_over_series_and_decays():
    x = stream(0).standard_normal((12, 3, 1))
    beta = np.array([0.0, 0.9])
    both = ewma(x, beta, corrected=True)
    assert both.shape == (12, 3, 2)
    for i in range(3):
        for j in range(2):
            np.testing.assert_array_equal(both[:, i, j], ewma(x[:, i, 0], beta[j], corrected=True))


def test_what_is_not_finite_stays_in_the_average():
    average = ewma([1.0, np.inf, -np.inf, 1.0], 0.5)
    assert average[0] == 0.5
    assert average[1] == np.inf
    assert np.isnan(average[2:]).all()
    assert np.isfinite(ewma(np.full(3, 1e308), 0.9)).all()


@pytest.mark.parametrize("beta", [-0.1, 1.0, np.nan, np.inf])
def test_a_decay_out_of_range_is_refused(beta):
    for call in (
        lambda: ewma([1.0], beta),
        lambda: misplaced_bracket([1.0], beta),
        lambda: misplaced_limit(1.0, beta),
        lambda: weights(beta, 3),
        lambda: windows(beta),
        lambda: held(beta, 3),
        lambda: noise_share(beta, 3),
        lambda: SERIES["constant"].expected_average(3, beta),
    ):
        with pytest.raises(ValueError, match=f"beta = {beta}"):
            call()
    with pytest.raises(ValueError, match="momentum"):
        momentum_weights(beta, 3)
    with pytest.raises(ValueError, match="shape"):
        ewma(1.0, 0.9)


def test_the_bracket_of_the_notes_converges_to_minus_80():
    assert misplaced_limit(10.0, 0.9) == pytest.approx(-80, abs=1e-12)
    assert misplaced_bracket(np.full(1000, 10.0), 0.9)[-1] == pytest.approx(-80, abs=1e-10)
    np.testing.assert_allclose(misplaced_bracket([10.0, 10.0], 0.9), [-8, -15.2])


@every_beta
def test_the_bracket_of_the_notes_is_a_turned_and_blown_up_average(beta):
    x = SERIES["temperatures"].draw(400, noise=3.0, rng=stream(1))
    np.testing.assert_allclose(
        misplaced_bracket(x, beta), misplaced_average(ewma(x, beta), T, beta), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("window", [1, 4, 10, 99])
def test_the_mean_over_a_window(window):
    x = stream(2).standard_normal((10, 2))
    expected = [x[max(0, t - window + 1) : t + 1].mean(axis=0) for t in range(10)]
    np.testing.assert_allclose(simple_average(x, window), expected, atol=1e-14)


def test_a_mean_over_no_days_is_refused():
    with pytest.raises(ValueError, match="window = 0"):
        simple_average([1.0], 0)


# Weights and windows


@every_beta
@pytest.mark.parametrize("count", [1, 7, 300])
def test_weights_give_the_average(beta, count):
    x = stream(4).standard_normal(count)
    for corrected in (False, True):
        w = weights(beta, count, corrected=corrected)
        assert w @ x[::-1] == pytest.approx(ewma(x, beta, corrected=corrected)[-1], abs=1e-12)
        assert w.sum() == pytest.approx(1 if corrected else 1 - beta**count, abs=1e-12)
    assert weights(beta, count).sum() == pytest.approx(float(held(beta, count)), abs=1e-12)


@every_beta
def test_the_velocity_is_the_average_over_one_minus_mu(beta):
    np.testing.assert_allclose(momentum_weights(beta, 50) * (1 - beta), weights(beta, 50), rtol=1e-14)
    assert momentum_weights(beta, 20_000).sum() == pytest.approx(1 / (1 - beta), rel=1e-8)


def test_the_published_windows():
    found = windows(0.9)
    assert found.nominal == pytest.approx(10)
    assert found.half_life == pytest.approx(6.5788, abs=1e-4)
    assert found.mean_age == pytest.approx(9)
    assert found.equal_noise == pytest.approx(19)
    assert float(held(0.9, 10)) == pytest.approx(0.6513, abs=1e-4)
    assert float(noise_share(0.9, 10_000)) == pytest.approx(0.22942, abs=1e-5)
    assert 1 / math.sqrt(found.equal_noise) == pytest.approx(float(noise_share(0.9, 10_000)), rel=1e-12)
    assert windows(0.0) == (1, 0, 0, 1)


@pytest.mark.parametrize("beta", BETAS[1:])
def test_windows_are_what_they_say(beta):
    found, w = windows(beta), weights(beta, 40_000)
    assert float(held(beta, found.half_life)) == pytest.approx(0.5, abs=1e-12)
    assert w @ np.arange(40_000) == pytest.approx(found.mean_age, rel=1e-9)
    assert 1 / (w @ w) == pytest.approx(found.equal_noise, rel=1e-9)
    # The mean age is the lag behind a steady rise.
    assert 40_000 - ewma(np.arange(1.0, 40_001), beta)[-1] == pytest.approx(found.mean_age, rel=1e-9)


@pytest.mark.parametrize(
    ("beta", "share"), [(0.0, 0.01), (0.9, 0.01), (0.999, 0.5), (0.5, 0.125), (0.5, 2.0)]
)
def test_the_first_day_on_which_the_bias_is_small(beta, share):
    t = days_until(beta, share)
    assert beta**t <= share
    assert t == 1 or beta ** (t - 1) > share
    with pytest.raises(ValueError, match="share"):
        days_until(beta, 0.0)


# Scatter


@every_beta
@pytest.mark.parametrize("t", [1, 2, 30])
def test_the_exact_scatter_is_the_norm_of_the_weights(beta, t):
    for corrected in (False, True):
        expected = np.linalg.norm(weights(beta, t, corrected=corrected))
        assert float(noise_share(beta, t, corrected=corrected)) == pytest.approx(expected, rel=1e-12)


def test_the_measured_scatter_is_near_the_exact_one():
    found = measure_scatter(0.9, 60, 19, series=1000, seed=5)
    t = np.arange(1, 61)
    near = 5 / math.sqrt(2 * found.series)  # five standard errors of a standard deviation
    np.testing.assert_allclose(found.raw, noise_share(0.9, t), rtol=near)
    np.testing.assert_allclose(found.corrected, noise_share(0.9, t, corrected=True), rtol=near)
    np.testing.assert_allclose(found.simple, 1 / np.sqrt(np.minimum(t, 19)), rtol=near)
    longer = measure_scatter(0.9, 80, 19, series=1000, seed=5)
    np.testing.assert_array_equal(longer.raw[:60], found.raw)


# The ingredients of Adam


@every_entry
@pytest.mark.parametrize(
    ("beta1", "beta2", "eps"), [(0.9, 0.999, 0.0), (0.9, 0.999, 1e-8), (0.0, 0.0, 0.0), (0.5, 0.9999, 0.5)]
)
def test_steps_on_a_constant_gradient_have_the_exact_length(name, beta1, beta2, eps):
    entry, t = INGREDIENTS[name], np.arange(1, 61)
    measured = constant_gradient_steps(entry, 60, beta1=beta1, beta2=beta2, eps=eps)
    np.testing.assert_allclose(measured, entry.factor(t, beta1, beta2, eps), rtol=1e-11)
    few = np.array([3, 50])
    np.testing.assert_allclose(entry.factor(few, beta1, beta2, eps), measured[few - 1], rtol=1e-11)


def test_the_published_factors_of_adam_without_correction():
    def factor(name, *t):
        return INGREDIENTS[name].factor(np.array(t), 0.9, 0.999, 0.0)

    np.testing.assert_allclose(factor("both", 1, 10, 1000), [3.16, 6.53, 1.26], atol=0.005)
    np.testing.assert_allclose(factor("both, corrected", 1, 10, 1000), 1)
    assert factor("scaling", 1)[0] == pytest.approx(math.sqrt(1000))
    assert factor("RMSProp with momentum", 20_000)[0] == pytest.approx(10, rel=1e-6)


@pytest.fixture(scope="module")
def ablation():
    problem = SurfaceProblem(SURFACES["Rosenbrock"])
    return problem, adam_ablation(
        problem, [-1.2, 1.0], 40, rate=1e-3, lr=0.05, beta1=0.8, beta2=0.99, eps=1e-8
    )


@pytest.mark.parametrize(
    ("name", "optimizer", "knobs"),
    [
        ("GD", "GD", {"lr": 1e-3}),
        ("average", "Momentum", {"lr": 2e-4, "momentum": 0.8}),
        ("scaling", "RMSProp", {"lr": 0.05, "rho": 0.99}),
        ("both, corrected", "Adam", {"lr": 0.05, "beta1": 0.8, "beta2": 0.99}),
        ("RMSProp with momentum", "RMSProp", {"lr": 0.05, "rho": 0.99, "momentum": 0.8}),
    ],
)
def test_with_the_right_switches_it_is_the_optimizer(ablation, name, optimizer, knobs):
    problem, runs = ablation
    expected = descend(problem, OPTIMIZERS[optimizer].build(**knobs), [-1.2, 1.0], 40)
    np.testing.assert_allclose(runs[name].path, expected.path, rtol=1e-12)
    assert INGREDIENTS[name].optimizer == optimizer


@every_entry
def test_the_runs_follow_the_averages_of_their_own_gradients(ablation, name):
    entry, run = INGREDIENTS[name], ablation[1][name]
    if name == "RMSProp with momentum":
        divided = run.gradient / (np.sqrt(ewma(run.gradient**2, 0.99)) + 1e-8)
        step = -0.05 * ewma(divided, 0.8) / (1 - 0.8)
    else:
        corrected = "corrected" in name
        g = run.gradient
        step = ewma(g, 0.8, corrected=corrected) if entry.optimizer in ("Momentum", "Adam") else g
        if entry.scaled:
            step = step / (np.sqrt(ewma(g**2, 0.99, corrected=corrected)) + 1e-8)
        step = -(0.05 if entry.scaled else 1e-3) * step
    np.testing.assert_allclose(np.diff(run.path, axis=0), step[:-1], rtol=1e-8, atol=1e-12)


@every_entry
def test_every_rule_stands_still_where_the_gradient_is_zero(name):
    runs = adam_ablation(
        SurfaceProblem(SURFACES["Saddle"]), [0.0, 0.0], 5, rate=0.1, lr=0.1, beta1=0.9, beta2=0.999, eps=0.0
    )
    assert (runs[name].path == 0).all()


def test_divergence_is_dated():
    runs = adam_ablation(
        SurfaceProblem(SURFACES["Rosenbrock"]),
        [-1.2, 1.0],
        40,
        rate=1.0,
        lr=0.1,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
    )
    assert {name for name, run in runs.items() if run.diverged_at >= 0} == {
        name for name, entry in INGREDIENTS.items() if not entry.scaled
    }
