"""Dropout against its closed forms: by enumeration, by Monte Carlo and by finite differences."""

import itertools
import math

import numpy as np
import pytest

from core.dropout import (
    CONTRIBUTIONS,
    DROPOUT_CONVENTIONS,
    DROPOUT_MODES,
    contributions_of,
    draw_mask,
    drop,
    drop_backward,
    dropout_convention,
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


@pytest.mark.parametrize("contributions", CONTRIBUTIONS)
@pytest.mark.parametrize("width", [20, 200])
@pytest.mark.parametrize("p", [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
def test_monte_carlo_within_four_standard_errors(p, width, contributions):
    """Every mode, in training and in evaluation; the closed forms written out, not those of core."""
    masks, keep = 2000, 1 - p
    run = dropout_layer(p=p, inputs=width, masks=masks, seed=5, contributions=contributions)
    squares, fourths = np.sum(run.contributions**2), np.sum(run.contributions**4)
    masked_mean, masked_var = keep, p * keep * squares
    masked_fourth = p * keep * (1 - 6 * p * keep) * fourths
    forms = {  # scale and whether masked, in training and in evaluation
        "No dropout": ((1, False), (1, False)),
        "Inverted": ((1 / keep, True), (1, False)),
        "Classic": ((1, True), (keep, False)),
        "No scaling": ((1, True), (1, False)),
        "Scaled twice": ((1 / keep, True), (keep, False)),
        "Forgot eval()": ((1 / keep, True), (1 / keep, True)),
    }
    assert set(forms) == set(run.modes)
    for k, mode in enumerate(run.modes):
        measured = ((run.train_mean[k], run.train_var[k]), (run.eval_mean[k], run.eval_var[k]))
        for (mean, var), (scale, masked) in zip(measured, forms[mode], strict=True):
            exact, exact_var = (scale * masked_mean, scale**2 * masked_var) if masked else (scale, 0.0)
            error = math.sqrt(
                max(scale**4 * masked_fourth / masks + 2 * exact_var**2 / (masks - 1), 0) if masked else 0
            )
            assert abs(mean - exact) <= 4 * math.sqrt(exact_var / masks) + 1e-12, mode
            assert abs(var - exact_var) <= 4 * error + 1e-13, mode


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


@pytest.mark.parametrize("name", CONTRIBUTIONS)
@pytest.mark.parametrize("n", [1, 2, 3, 50, 500])
def test_contributions_sum_to_one(name, n):
    kind = CONTRIBUTIONS[name]
    assert kind.name == name
    c = kind.draw(n, np.random.default_rng(n))
    assert c.shape == (n,)
    assert c.sum() == pytest.approx(1, abs=1e-12)
    run = dropout_layer(inputs=n, masks=3, contributions=name)
    np.testing.assert_array_equal(run.contributions, kind.draw(n, stream(0, 0)))
    assert run.train_mean[0] == pytest.approx(1, abs=1e-12)


def test_kinds_of_contributions():
    rng = np.random.default_rng(11)
    np.testing.assert_array_equal(CONTRIBUTIONS["equal"].draw(4, rng), 0.25)
    assert (CONTRIBUTIONS["positive, random"].draw(500, rng) > 0).all()
    for n in (3, 50, 500):
        c = CONTRIBUTIONS["positive and negative"].draw(n, rng)
        assert c.min() < 0 < c.max()
        assert np.sum(c**2) == pytest.approx(1)
        moments = dropout_moments(c, 0.5)
        assert moments.train_var == pytest.approx(moments.train_mean**2)  # at any width


def test_contributions_meet_the_same_masks():
    """Equal contributions count the kept units; the others weigh the same ones."""
    runs = [dropout_layer(p=0.4, inputs=9, masks=50, seed=3, contributions=name) for name in CONTRIBUTIONS]
    keep = np.stack([draw_mask(50, 0.4, stream(3, 1, unit)) for unit in range(9)])
    for run in runs:
        np.testing.assert_allclose(run.train[2], run.contributions @ keep, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(9 * runs[0].train[2], keep.sum(0), rtol=1e-13)


# What each convention computes on x with a mask, by its own number, in training and in evaluation.
WRITTEN = {
    "PyTorch": (lambda x, m, p: x * m / (1 - p), lambda x, p: x),
    "Keras": (lambda x, m, rate: x * m / (1 - rate), lambda x, rate: x),
    "TensorFlow 1": (lambda x, m, keep_prob: x * m / keep_prob, lambda x, keep_prob: x),
    "Paper of 2014": (lambda x, m, p: x * m, lambda x, p: p * x),
    "Study notes": (lambda x, m, p: x * m, lambda x, p: (1 - p) * x),
}


@pytest.mark.parametrize("name", DROPOUT_CONVENTIONS)
@pytest.mark.parametrize("p", [0.0, 0.2, 0.7])
def test_a_convention_computes_its_mode(name, p):
    rule = DROPOUT_CONVENTIONS[name]
    assert rule.name == name
    x = np.random.default_rng(12).normal(size=40)
    mask = draw_mask(40, p, np.random.default_rng(13))
    train, evaluation = WRITTEN[name]
    np.testing.assert_allclose(train(x, mask, rule.value(p)), drop(x, p, mask, rule.mode), rtol=1e-14)
    np.testing.assert_allclose(evaluation(x, rule.value(p)), evaluate(x, p, rule.mode), rtol=1e-14)
    assert not DROPOUT_MODES[rule.mode].mistake


def test_a_convention_writes_its_number():
    assert [rule.setting(0.2) for rule in DROPOUT_CONVENTIONS.values()] == [
        "p = 0.2",
        "rate = 0.2",
        "keep_prob = 0.8",
        "p (keep) = 0.8",
        "p = 0.2",
    ]
    assert DROPOUT_CONVENTIONS["PyTorch"].call(1e-9) == "nn.Dropout(p=1e-9)"
    assert DROPOUT_CONVENTIONS["TensorFlow 1"].call(0.9995) == "tf.nn.dropout(x, keep_prob=0.0005)"
    for rule in DROPOUT_CONVENTIONS.values():
        assert rule.setting(0.3).split()[-1] in rule.call(0.3)
        assert "{" not in rule.call(0.3)
        assert all((rule.training, rule.evaluation, rule.at_one, rule.source))


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
        (
            lambda: dropout_layer(contributions="odd"),
            "contributions = odd: needs one of equal; positive, random",
        ),
        (lambda: contributions_of(""), "contributions = : needs"),
        (lambda: dropout_convention("torch"), "convention = torch: needs one of PyTorch, Keras"),
        (lambda: DROPOUT_CONVENTIONS["Keras"].value(1.5), "p_drop = 1.5"),
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
