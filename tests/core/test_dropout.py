"""Dropout against its closed forms: by enumeration, by Monte Carlo and by finite differences."""

import itertools
import math

import numpy as np
import pytest

from core.dropout import (
    DROPOUT_MODES,
    draw_mask,
    drop,
    drop_backward,
    dropout_layer,
    dropout_mode,
    dropout_moments,
    evaluate,
    running_moments,
    variance_error,
)
from core.streams import stream

P = [0.0, 0.1, 0.5, 0.8, 0.95]
MASKING = [name for name, mode in DROPOUT_MODES.items() if mode.masks_in_training]
DETERMINISTIC = [name for name, mode in DROPOUT_MODES.items() if not mode.masks_in_evaluation]


def test_registry():
    assert list(DROPOUT_MODES) == [
        "No dropout",
        "Inverted",
        "Classic",
        "No scaling",
        "Scaled twice",
        "Forgot eval()",
    ]
    for name, mode in DROPOUT_MODES.items():
        assert mode.name == name
        assert mode.description
        assert mode.source


@pytest.mark.parametrize("mode", DROPOUT_MODES)
@pytest.mark.parametrize("p", P)
def test_what_is_a_mistake(mode, p):
    """A mode is right when evaluation is deterministic and equals the mean over training masks."""
    rule = DROPOUT_MODES[mode]
    moments = dropout_moments([0.2, 0.3, 0.5], p, mode)
    right = moments.eval_var == 0 and moments.eval_mean == pytest.approx(moments.train_mean)
    assert right == (not rule.mistake or p == 0)


@pytest.mark.parametrize("mode", DROPOUT_MODES)
@pytest.mark.parametrize("p", [*P, 1.0])
def test_moments_by_enumeration(mode, p):
    """All 2⁶ masks of six units, each with its probability."""
    c = np.array([0.3, -0.2, 0.25, 0.05, 1.4, -0.6])
    masks = [np.array(bits) for bits in itertools.product([False, True], repeat=6)]
    weights = np.array([(1 - p) ** m.sum() * p ** (6 - m.sum()) for m in masks])
    assert weights.sum() == pytest.approx(1)
    moments = dropout_moments(c, p, mode)
    for outputs, mean, var, cumulant4 in (
        (
            [drop(c, p, m, mode).sum() for m in masks],
            moments.train_mean,
            moments.train_var,
            moments.train_cumulant4,
        ),
        (
            [evaluate(c, p, mode, m).sum() for m in masks],
            moments.eval_mean,
            moments.eval_var,
            moments.eval_cumulant4,
        ),
    ):
        exact = weights @ outputs
        exact_var = weights @ (outputs - exact) ** 2
        assert mean == pytest.approx(exact, abs=1e-13)
        assert var == pytest.approx(exact_var, abs=1e-12 * (1 + exact_var))
        exact4 = weights @ (outputs - exact) ** 4 - 3 * exact_var**2
        assert cumulant4 == pytest.approx(exact4, abs=1e-10 * (1 + abs(exact4)))


def test_formulas_of_the_literature():
    c, p = np.array([0.5, 1.5, -2.0]), 0.3
    square = 0.25 + 2.25 + 4
    assert dropout_moments(c, p, "Inverted").train_var == pytest.approx(square * p / (1 - p))
    assert dropout_moments(c, p, "Classic").train_var == pytest.approx(square * p * (1 - p))
    halved = dropout_moments(np.ones(6), 0.5, "Classic")
    assert (halved.train_mean, halved.train_var, halved.eval_mean) == (3, 1.5, 3)


@pytest.mark.parametrize("mode", DROPOUT_MODES)
@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("width", [20, 200])
def test_monte_carlo_within_four_standard_errors(mode, p, width):
    masks = 2000
    run = dropout_layer(p=p, inputs=width, masks=masks, seed=5)
    k = run.modes.index(mode)
    moments = dropout_moments(run.contributions, p, mode)
    for mean, var, exact, exact_var, cumulant4 in (
        (run.train_mean[k], run.train_var[k], moments.train_mean, moments.train_var, moments.train_cumulant4),
        (run.eval_mean[k], run.eval_var[k], moments.eval_mean, moments.eval_var, moments.eval_cumulant4),
    ):
        assert abs(mean - exact) <= 4 * math.sqrt(exact_var / masks) + 1e-13
        assert abs(var - exact_var) <= 4 * variance_error(exact_var, cumulant4, masks)


@pytest.mark.parametrize("mode", DROPOUT_MODES)
def test_layer_equals_drop_and_evaluate(mode):
    """The run sums contributions once for all modes; unit by unit it is the same."""
    p, inputs, masks = 0.4, 12, 30
    run = dropout_layer(p=p, inputs=inputs, masks=masks, seed=2)
    k = run.modes.index(mode)
    train, other = (
        np.stack([draw_mask(masks, p, stream(2, place, unit)) for unit in range(inputs)], axis=1)
        for place in (1, 2)
    )
    units = np.tile(run.contributions, (masks, 1))
    np.testing.assert_allclose(run.train[k], drop(units, p, train, mode).sum(1), rtol=1e-13)
    np.testing.assert_allclose(run.evaluation[k], evaluate(units, p, mode, other).sum(1), rtol=1e-13)
    np.testing.assert_allclose(run.train_mean[k], run.train[k].mean(), rtol=1e-13)
    np.testing.assert_allclose(run.train_var[k], run.train[k].var(ddof=1), rtol=1e-12, atol=1e-30)
    np.testing.assert_allclose(run.eval_mean[k], run.evaluation[k].mean(), rtol=1e-13)
    np.testing.assert_allclose(run.ratio[k], run.eval_mean[k] / run.train_mean[k])
    assert run.deterministic[k] == (np.ptp(run.evaluation[k]) == 0)


def test_default_layer():
    run = dropout_layer()
    assert run.train.shape == run.evaluation.shape == (6, 2000)
    assert (run.contributions > 0).all()
    assert run.contributions.sum() == pytest.approx(1)
    std = dict(zip(run.modes, np.sqrt(run.train_var), strict=True))
    mean = dict(zip(run.modes, run.train_mean, strict=True))
    rule = dict(zip(run.modes, run.eval_mean, strict=True))
    expected = {
        "No dropout": (1, 0, 1),
        "Inverted": (1, 0.18, 1),
        "Classic": (0.5, 0.09, 0.5),
        "No scaling": (0.5, 0.09, 1),
        "Scaled twice": (1, 0.18, 0.5),
        "Forgot eval()": (1, 0.18, 1),
    }
    for name, (m, s, e) in expected.items():
        assert mean[name] == pytest.approx(m, abs=0.017)
        assert std[name] == pytest.approx(s, abs=0.01)
        assert rule[name] == pytest.approx(e, abs=0.017)


def test_more_masks_and_inputs_extend():
    short, long = (dropout_layer(inputs=9, masks=masks, seed=1) for masks in (40, 70))
    np.testing.assert_array_equal(short.contributions, long.contributions)
    np.testing.assert_array_equal(short.train, long.train[:, :40])
    np.testing.assert_array_equal(short.evaluation, long.evaluation[:, :40])
    wide = dropout_layer(inputs=14, masks=40, seed=1)
    ratio = wide.contributions[:9] / short.contributions
    np.testing.assert_allclose(ratio, ratio[0])


def test_evaluation_masks_are_not_the_training_masks():
    run = dropout_layer(seed=1)
    k = run.modes.index("Forgot eval()")
    correlation = np.corrcoef(run.train[k], run.evaluation[k])[0, 1]
    assert abs(correlation) < 4 / math.sqrt(2000)


def test_masks_are_nested_in_p():
    drawn = [draw_mask((40, 50), p, np.random.default_rng(3)) for p in (0, 0.1, 0.3, 0.7, 0.95, 1)]
    assert drawn[0].all()
    assert not drawn[-1].any()
    for more, fewer in itertools.pairwise(drawn):
        assert (more >= fewer).all()
        assert more.sum() > fewer.sum()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_share_of_kept_units(p):
    kept = draw_mask((300, 200), p, np.random.default_rng(4)).mean()
    assert abs(kept - (1 - p)) < 4 * math.sqrt(p * (1 - p) / 60_000)


@pytest.mark.parametrize("mode", DROPOUT_MODES)
def test_p_zero_is_the_identity(mode):
    x = np.random.default_rng(5).normal(size=(4, 7))
    mask = draw_mask(x.shape, 0, np.random.default_rng(6))
    np.testing.assert_array_equal(drop(x, 0, mask, mode), x)
    np.testing.assert_array_equal(evaluate(x, 0, mode, mask), x)
    np.testing.assert_array_equal(drop_backward(x, 0, mask, mode), x)


@pytest.mark.parametrize("mode", MASKING)
def test_p_one_gives_zero(mode):
    x = np.random.default_rng(5).normal(size=(4, 7))
    mask = draw_mask(x.shape, 1, np.random.default_rng(6))
    np.testing.assert_array_equal(drop(x, 1, mask, mode), 0)
    moments = dropout_moments(x, 1, mode)
    np.testing.assert_array_equal(moments.train_mean, 0)
    np.testing.assert_array_equal(moments.train_var, 0)


def test_inverted_scale_at_p_one_is_zero_not_infinite():
    assert DROPOUT_MODES["Inverted"].train_scale(1) == 0
    np.testing.assert_array_equal(drop([3.0, 4.0], 1, np.array([True, False])), 0)


def test_layer_at_p_one():
    run = dropout_layer(p=1, inputs=3, masks=10)
    ratio = dict(zip(run.modes, run.ratio, strict=True))
    assert ratio["No dropout"] == 1
    assert ratio["Inverted"] == ratio["No scaling"] == math.inf
    assert np.isnan([ratio["Classic"], ratio["Scaled twice"], ratio["Forgot eval()"]]).all()


@pytest.mark.parametrize("mode", DETERMINISTIC)
def test_evaluation_is_deterministic(mode):
    x = np.random.default_rng(7).normal(size=50)
    plain = evaluate(x, 0.6, mode)
    np.testing.assert_array_equal(plain, evaluate(x, 0.6, mode, np.zeros(50, bool)))
    np.testing.assert_allclose(plain, x * {"Classic": 0.4, "Scaled twice": 0.4}.get(mode, 1.0))


def test_forgotten_eval_needs_a_mask():
    x, mask = np.array([1.0, 2.0]), np.array([True, False])
    with pytest.raises(ValueError, match="mask = None"):
        evaluate(x, 0.5, "Forgot eval()")
    np.testing.assert_array_equal(evaluate(x, 0.5, "Forgot eval()", mask), [2, 0])


@pytest.mark.parametrize("mode", DROPOUT_MODES)
def test_backward_against_finite_differences(mode):
    rng = np.random.default_rng(8)
    x, dy = rng.normal(size=(2, 3, 5))
    mask = draw_mask(x.shape, 0.4, rng)
    gradient = drop_backward(dy, 0.4, mask, mode)
    for index in np.ndindex(x.shape):
        moved = []
        for h in (1e-3, -1e-3):
            shifted = x.copy()
            shifted[index] += h
            moved.append(np.sum(dy * np.square(drop(shifted, 0.4, mask, mode)) / 2))
        slope = gradient[index] * drop(x, 0.4, mask, mode)[index]
        assert slope == pytest.approx((moved[0] - moved[1]) / 2e-3, abs=1e-10)
    if DROPOUT_MODES[mode].masks_in_training:
        np.testing.assert_array_equal(gradient[~mask], 0)


def test_channel_mask_broadcasts():
    x = np.ones((2, 3, 4))
    mask = np.array([[True, False, True], [False, True, True]])[..., None]
    np.testing.assert_array_equal(drop(x, 0.5, mask)[:, :, 0], [[2, 0, 2], [0, 2, 2]])


def test_bad_values_stay_visible():
    x = np.array([np.nan, np.inf, 1e308, 1e308])
    mask = np.array([False, False, True, False])
    np.testing.assert_array_equal(drop(x, 0.9, mask), [np.nan, np.nan, np.inf, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", DROPOUT_MODES)
def test_dtypes_and_inputs(dtype, mode):
    x = np.arange(4, dtype=dtype)
    before, mask = x.copy(), np.array([True, False, True, True])
    p = np.float64(0.25)
    out = [drop(x, p, mask, mode), evaluate(x, p, mode, mask), drop_backward(x, p, mask, mode)]
    out += [*dropout_moments(x, p, mode), *running_moments(x)]
    assert {np.asarray(a).dtype for a in out} == {np.dtype(dtype)}
    np.testing.assert_array_equal(x, before)
    assert not any(np.shares_memory(x, a) for a in out)
    assert drop(np.array([1, 2, 3, 4]), p, mask, mode).dtype == np.float64


@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
def test_running_moments_equal_each_prefix(offset):
    noise = np.round(np.random.default_rng(9).normal(size=(3, 40)) * 16) / 16
    moments = running_moments(offset + noise)
    assert np.isnan(moments.var[:, 0]).all()
    assert np.isnan(moments.mean_error[:, 0]).all()
    for k in range(1, 41):
        np.testing.assert_allclose(
            moments.mean[:, k - 1], offset + noise[:, :k].mean(1), rtol=1e-15, atol=1e-15
        )
        if k > 1:
            var = noise[:, :k].var(1, ddof=1)
            np.testing.assert_allclose(moments.var[:, k - 1], var, rtol=1e-12)
            np.testing.assert_allclose(moments.mean_error[:, k - 1], np.sqrt(var / k), rtol=1e-12)


def test_running_moments_extend_and_survive_a_jump():
    samples = np.r_[np.full(50, 1e8 + 0.1), np.zeros(50)]
    moments = running_moments(samples)
    np.testing.assert_array_equal(moments.var[1:50], 0)
    np.testing.assert_array_equal(running_moments(samples[:70]).var, moments.var[:70])
    np.testing.assert_allclose(moments.var[-1], samples.var(ddof=1), rtol=1e-12)


def test_running_moments_show_nan_from_where_it_begins():
    moments = running_moments([1.0, 2.0, np.nan, 3.0])
    np.testing.assert_array_equal(np.isnan(moments.mean), [False, False, True, True])


def test_variance_error_by_monte_carlo():
    """Spread of the sample variance over 4,000 repeats of 12 masks each."""
    c, p, n, repeats = np.array([0.5, 0.2, 0.2, 0.1]), 0.2, 12, 4000
    masks = draw_mask((repeats, n, 4), p, np.random.default_rng(10))
    variances = (masks @ c / (1 - p)).var(axis=1, ddof=1)
    moments = dropout_moments(c, p)
    predicted = variance_error(moments.train_var, moments.train_cumulant4, n)
    squares = (variances - moments.train_var) ** 2
    assert abs(squares.mean() - predicted**2) < 4 * squares.std() / math.sqrt(repeats)
    assert abs(variances.mean() - moments.train_var) < 4 * predicted / math.sqrt(repeats)


def test_variance_error_of_two_normal_samples():
    """(a − b)²/2 is chi-squared with one degree of freedom: variance 2."""
    assert variance_error(1.0, 0.0, 2) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_mask(3, -0.1, np.random.default_rng(0)), "p_drop = -0.1"),
        (lambda: draw_mask(3, math.nan, np.random.default_rng(0)), "p_drop = nan"),
        (lambda: drop(np.ones(2), 1.5, np.ones(2, bool)), "p_drop = 1.5: needs a number from 0 to 1"),
        (lambda: drop(np.ones(2), 0.5, np.ones(2)), "mask has dtype float64"),
        (lambda: drop(np.ones(2), 0.5, np.ones(3, bool)), r"mask has shape \(3,\)"),
        (lambda: evaluate(np.ones(2), 2, "Classic"), "p_drop = 2"),
        (lambda: dropout_moments(np.ones(2), -1), "p_drop = -1"),
        (lambda: dropout_mode("inverted"), "mode = inverted: needs one of No dropout, Inverted"),
        (lambda: dropout_layer(p=7), "p_drop = 7"),
        (lambda: dropout_layer(inputs=0), "inputs = 0"),
        (lambda: dropout_layer(masks=1.5), "masks = 1.5"),
        (lambda: running_moments([]), r"shape \(0,\)"),
        (lambda: variance_error(1.0, 0.0, 1), "samples = 1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_misspelt_keyword():
    with pytest.raises(TypeError):
        dropout_layer(p_drop=0.5)
