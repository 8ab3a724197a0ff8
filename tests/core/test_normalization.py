"""Batch normalization against PyTorch's sequences, hand-computed conventions and finite differences."""

from pathlib import Path

import numpy as np
import pytest

from core.normalization import (
    BATCHNORM_CONVENTIONS,
    RunningStats,
    batch_statistics,
    batchnorm_convention,
    follow,
    normalize,
    normalize_batch,
    normalize_batch_backward,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "normalization.npz")
UNBIASED = [name for name, rule in BATCHNORM_CONVENTIONS.items() if rule.unbiased]
BIASED = [name for name, rule in BATCHNORM_CONVENTIONS.items() if not rule.unbiased]
MOMENTA = {"ema": 0.1, "cumulative": None}
close = {"rtol": 1e-10, "atol": 1e-10}


def column(*values):
    return np.array(values, np.float64).reshape(-1, 1)


@pytest.mark.parametrize("case", ["nc", "ncl"])
@pytest.mark.parametrize("name", MOMENTA)
def test_sequence_equals_pytorch(case, name):
    gamma, beta, probe = (GOLDEN[f"{case}_{key}"] for key in ("gamma", "beta", "eval_x"))
    running = RunningStats.start(3)
    for step in range(5):
        y, running = normalize_batch(
            GOLDEN[f"{case}_x{step}"], gamma, beta, running, momentum=MOMENTA[name], convention="PyTorch"
        )
        np.testing.assert_allclose(y, GOLDEN[f"{case}_y{step}"], **close)
        np.testing.assert_allclose(running.mean, GOLDEN[f"{case}_{name}_mean{step}"], **close)
        np.testing.assert_allclose(running.var, GOLDEN[f"{case}_{name}_var{step}"], **close)
        y = normalize(probe, gamma, beta, running)
        np.testing.assert_allclose(y, GOLDEN[f"{case}_{name}_eval{step}"], **close)
    assert running.batches == 5
    assert running.undefined == 0


@pytest.mark.parametrize("case", ["nc", "ncl"])
@pytest.mark.parametrize("step", range(5))
def test_backward_equals_autograd(case, step):
    gradients = normalize_batch_backward(
        GOLDEN[f"{case}_x{step}"], GOLDEN[f"{case}_gamma"], GOLDEN[f"{case}_dy{step}"]
    )
    for got, key in zip(gradients, ("dx", "dgamma", "dbeta"), strict=True):
        np.testing.assert_allclose(got, GOLDEN[f"{case}_{key}{step}"], **close)


@pytest.mark.parametrize("case", ["nc", "ncl"])
def test_paper_is_the_cumulative_average(case):
    running = RunningStats.start(3)
    for step in range(5):
        _, running = normalize_batch(GOLDEN[f"{case}_x{step}"], 1, 0, running, convention="paper")
        np.testing.assert_allclose(running.mean, GOLDEN[f"{case}_cumulative_mean{step}"], **close)
        np.testing.assert_allclose(running.var, GOLDEN[f"{case}_cumulative_var{step}"], **close)


@pytest.mark.parametrize(
    ("convention", "means", "variances"),
    [
        # batches [1,2,4,9] and [0,2]: means 4 and 1, biased variances 9.5 and 1, unbiased 38/3 and 2
        ("PyTorch", (0.4, 0.46), (0.9 + 0.1 * 38 / 3, 0.9 * (0.9 + 0.1 * 38 / 3) + 0.2)),
        ("ONNX", (0.4, 0.46), (1.85, 0.9 * 1.85 + 0.1)),
        ("Keras", (0.04, 0.99 * 0.04 + 0.01), (1.085, 0.99 * 1.085 + 0.01)),
        ("paper", (4, 2.5), (38 / 3, (38 / 3 + 2) / 2)),
    ],
)
def test_stored_statistics_by_hand(convention, means, variances):
    running = RunningStats.start(1)
    for t, batch in enumerate([column(1, 2, 4, 9), column(0, 2)]):
        _, running = normalize_batch(batch, 1, 0, running, convention=convention)
        np.testing.assert_allclose(running.mean, means[t], rtol=1e-12)
        np.testing.assert_allclose(running.var, variances[t], rtol=1e-12)


def test_published_variances():
    stored = {
        name: normalize_batch(column(1, 2, 4, 9), 1, 0, RunningStats.start(1), convention=name)[1].var[0]
        for name in ("PyTorch", "ONNX", "Keras")
    }
    assert stored == pytest.approx({"PyTorch": 2.1666667, "ONNX": 1.85, "Keras": 1.085}, abs=5e-8)


@pytest.mark.parametrize("name", BATCHNORM_CONVENTIONS)
def test_every_convention(name):
    rule = BATCHNORM_CONVENTIONS[name]
    assert rule.name == name
    assert rule.source
    x = np.random.default_rng(1).normal(2, 3, (6, 4))
    y, running = normalize_batch(x, 1, 0, RunningStats.start(4), convention=name)
    # training normalizes with the biased variance and the convention's own eps everywhere
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + rule.eps), rtol=1e-12)
    weight = rule.new_weight()
    np.testing.assert_allclose(running.mean, weight * x.mean(0), rtol=1e-12)
    ddof = 1 if rule.unbiased else 0
    np.testing.assert_allclose(running.var, 1 - weight + weight * x.var(0, ddof=ddof), rtol=1e-12)
    back = rule.momentum_of(weight)
    assert back is None if rule.momentum is None else back == pytest.approx(rule.momentum)


def test_momentum_in_both_senses():
    assert BATCHNORM_CONVENTIONS["PyTorch"].new_weight(0.1) == 0.1
    assert BATCHNORM_CONVENTIONS["Keras"].new_weight(0.9) == pytest.approx(0.1)
    assert BATCHNORM_CONVENTIONS["Keras"].momentum_of(0.1) == pytest.approx(0.9)
    assert BATCHNORM_CONVENTIONS["PyTorch"].new_weight(None, batch=4) == 0.25
    assert BATCHNORM_CONVENTIONS["paper"].new_weight(0.1, batch=4) == 0.25  # the paper has no momentum
    with pytest.raises(ValueError, match="momentum = None"):
        BATCHNORM_CONVENTIONS["ONNX"].new_weight(None)


@pytest.mark.parametrize("convention", UNBIASED)
def test_one_value_per_feature_unbiased(convention):
    running = RunningStats(np.array([0.0, 0.0]), np.array([1.0, 7.0]))
    x, beta = np.array([[3.0, -1e8]]), np.array([0.25, -4.0])
    y, after = normalize_batch(x, np.array([2.0, 3.0]), beta, running, convention=convention)
    np.testing.assert_array_equal(y, beta[None])
    np.testing.assert_array_equal(after.var, running.var)
    weight = BATCHNORM_CONVENTIONS[convention].new_weight()
    np.testing.assert_allclose(after.mean, weight * x[0])
    assert (after.batches, after.undefined) == (1, 1)
    assert not np.shares_memory(after.var, running.var)


@pytest.mark.parametrize("convention", BIASED)
def test_one_value_per_feature_biased(convention):
    y, after = normalize_batch(column(3), 2, 0.25, RunningStats.start(1), convention=convention)
    assert y == 0.25
    weight = BATCHNORM_CONVENTIONS[convention].new_weight()
    np.testing.assert_allclose(after.var, 1 - weight)  # the biased variance of one value is 0, not 0/0
    assert after.undefined == 0


def test_cumulative_variance_averages_the_defined_batches():
    running = RunningStats.start(1)
    for batch in (column(5), column(0, 2), column(7), column(0, 4)):
        _, running = normalize_batch(batch, 1, 0, running, convention="paper")
    np.testing.assert_allclose(running.mean, (5 + 1 + 7 + 2) / 4)
    np.testing.assert_allclose(running.var, (2 + 8) / 2)
    assert (running.batches, running.undefined) == (4, 2)


def test_one_sample_with_length_is_no_single_value():
    x = np.array([[[1.0, 2.0, 4.0, 9.0]]])
    _, running = normalize_batch(x, 1, 0, RunningStats.start(1))
    np.testing.assert_allclose(running.var, 0.9 + 0.1 * 38 / 3)
    assert running.undefined == 0


@pytest.mark.parametrize("value", [0.0, 0.1, -1e8, 1 / 3, 1e300])
@pytest.mark.parametrize("count", [2, 3, 7, 64])
def test_constant_feature_gives_beta(value, count):
    y, running = normalize_batch(np.full((count, 2), value), 3.0, [0.5, -2.0], RunningStats.start(2))
    np.testing.assert_array_equal(y, np.tile([0.5, -2.0], (count, 1)))
    np.testing.assert_allclose(running.var, 0.9, rtol=1e-15)


@pytest.mark.parametrize("offset", [1e8, -1e8, 1e10])
def test_huge_offset(offset):
    noise = np.round(np.random.default_rng(3).normal(size=(32, 3)) * 64) / 64  # exact after the offset
    x = offset + noise
    mean, var = batch_statistics(x)
    np.testing.assert_allclose(mean, offset + noise.mean(0), rtol=1e-15)
    np.testing.assert_allclose(var, noise.var(0), rtol=1e-12)
    y, _ = normalize_batch(x, 1, 0, RunningStats.start(3))
    expected, _ = normalize_batch(noise, 1, 0, RunningStats.start(3))
    # the mean itself, near 1e10, can only be held to 1e-16 of itself
    np.testing.assert_allclose(y, expected, atol=abs(offset) * 4e-16)


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1.0, 1e9, 1e200, 1.7e308])
def test_scale_does_not_matter_without_eps(size):
    x = np.array([[1.0, -0.5], [-1.0, 0.25], [0.5, 1.0]])
    y, _ = normalize_batch(x * size, 1, 0, RunningStats.start(2), eps=0)
    # Rounded values times 1.7e308 have a mean that is not quite one of them: the output there is 0 to rounding.
    np.testing.assert_allclose(y, (x - x.mean(0)) / x.std(0), rtol=1e-13, atol=1e-16)
    dy = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])
    dx, dgamma, _ = normalize_batch_backward(x * size, 1, dy, eps=0)
    unit, unit_dgamma, _ = normalize_batch_backward(x, 1, dy, eps=0)
    if size > 1e-100:
        np.testing.assert_allclose(dx, unit / size, rtol=1e-12)
    np.testing.assert_allclose(dgamma, unit_dgamma, rtol=1e-12)


def test_overflowing_variance_is_reported_as_infinite():
    _, running = normalize_batch(column(1e200, -1e200), 1, 0, RunningStats.start(1))
    assert np.isinf(running.var)
    assert running.mean == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_value_spoils_its_own_feature_only(bad):
    rng = np.random.default_rng(4)
    x, dy = rng.normal(size=(2, 5, 3))
    clean = x.copy()
    x[2, 1] = bad
    running = RunningStats.start(3)
    y, after = normalize_batch(x, 1, 0, running)
    expected, expected_after = normalize_batch(clean, 1, 0, running)
    dx, dgamma, dbeta = normalize_batch_backward(x, 1, dy)
    assert np.isnan(y[:, 1]).all()
    assert np.isnan(after.var[1])
    assert not np.isfinite(after.mean[1])
    assert np.isnan(dx[:, 1]).all()
    assert np.isnan(dgamma[1])
    assert np.isfinite(dbeta).all()
    for got, want in ((y, expected), (after.mean, expected_after.mean), (after.var, expected_after.var)):
        np.testing.assert_array_equal(got[..., [0, 2]], want[..., [0, 2]])
    assert np.isfinite(dx[:, [0, 2]]).all()


def test_constant_feature_without_eps_is_undefined():
    y, _ = normalize_batch(np.full((3, 1), 0.1), 1, 0, RunningStats.start(1), eps=0)
    assert np.isnan(y).all()


def test_evaluation_by_hand_and_sample_by_sample():
    running = RunningStats(np.array([1.0, -2.0]), np.array([4.0, 0.25]), batches=3)
    kept = RunningStats(running.mean.copy(), running.var.copy(), 3)
    x = np.array([[1.0, -2.0], [3.0, 0.0], [1e8, 5.0]])
    y = normalize(x, [2.0, 1.0], [0.0, 1.0], running, eps=0)
    np.testing.assert_allclose(y, [[0, 1], [2, 5], [1e8 - 1, 15]], rtol=1e-15)
    for i in range(3):
        np.testing.assert_array_equal(
            normalize(x[i : i + 1], [2.0, 1.0], [0.0, 1.0], running, eps=0), y[i : i + 1]
        )
    np.testing.assert_array_equal(running.mean, kept.mean)
    np.testing.assert_array_equal(running.var, kept.var)
    assert running.batches == 3


def test_identity():
    x = np.random.default_rng(5).normal(5, 3, (16, 2))
    mean, var = batch_statistics(x)
    y, _ = normalize_batch(x, np.sqrt(var + 1e-5), mean, RunningStats.start(2))
    np.testing.assert_allclose(y, x, rtol=1e-13)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3), (3, 2, 4), (2, 2, 2, 3)])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_backward_against_finite_differences(shape, eps):
    rng = np.random.default_rng(6)
    x, dy = rng.normal(1, 2, (2, *shape))
    gamma, beta = rng.normal(size=(2, shape[1]))
    running = RunningStats.start(shape[1])

    def loss(x, gamma, beta):
        return np.sum(dy * normalize_batch(x, gamma, beta, running, eps=eps)[0])

    arguments = [x, gamma, beta]
    for k, analytic in enumerate(normalize_batch_backward(x, gamma, dy, eps=eps)):
        assert analytic.shape == arguments[k].shape
        for index in np.ndindex(arguments[k].shape):
            moved = []
            for h in (1e-5, -1e-5):
                shifted = [a.copy() for a in arguments]
                shifted[k][index] += h
                moved.append(loss(*shifted))
            assert analytic[index] == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=2e-7)


def test_backward_ignores_shift_and_scale():
    rng = np.random.default_rng(7)
    x, dy = rng.normal(size=(2, 9, 4))
    dx, _, _ = normalize_batch_backward(x, 1.5, dy, eps=0)
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-13)
    np.testing.assert_allclose((dx * x).sum(0), 0, atol=1e-13)
    assert np.abs(dx).max() > 0.1


def test_backward_of_a_single_value_is_zero():
    dx, dgamma, dbeta = normalize_batch_backward(np.array([[3.0, -7.0]]), [2.0, 5.0], np.array([[1.3, 0.7]]))
    np.testing.assert_array_equal(dx, [[0, 0]])
    np.testing.assert_array_equal(dgamma, [0, 0])
    np.testing.assert_array_equal(dbeta, [1.3, 0.7])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(dtype):
    x = np.random.default_rng(8).normal(1e3, 1, (8, 2)).astype(dtype)
    running = RunningStats.start(2, dtype=dtype)
    y, after = normalize_batch(x, 1, 0, running)
    arrays = (y, after.mean, after.var, normalize(x, 1, 0, after), *batch_statistics(x))
    arrays += normalize_batch_backward(x, 1, np.ones((8, 2)))
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5), rtol=1e-5, atol=1e-6)


def test_integers_are_read_as_float64():
    y, _ = normalize_batch(np.array([[1], [2], [4], [9]]), 1, 0, RunningStats.start(1), eps=0)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y[:, 0], np.array([-3, -2, 0, 5]) / np.sqrt(9.5))


def test_float32_values_beyond_its_square_root():
    x = np.array([[1e30], [-1e30]], np.float32)
    y, running = normalize_batch(x, 1, 0, RunningStats.start(1, dtype=np.float32))
    np.testing.assert_allclose(y, [[1], [-1]], rtol=1e-6)
    assert np.isinf(running.var)


def test_inputs_stay():
    rng = np.random.default_rng(9)
    x, dy = rng.normal(size=(2, 5, 2))
    gamma, beta, running = np.array([1.0, 2.0]), np.array([0.0, 1.0]), RunningStats.start(2)
    arrays = (x, dy, gamma, beta, running.mean, running.var)
    before = [a.copy() for a in arrays]
    normalize_batch(x, gamma, beta, running)
    normalize(x, gamma, beta, running)
    normalize_batch_backward(x, gamma, dy)
    batch_statistics(x)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batch_statistics(np.zeros(4)), r"shape \(4,\)"),
        (lambda: batch_statistics(np.zeros((0, 3))), r"shape \(0, 3\)"),
        (lambda: normalize_batch(np.zeros((2, 3)), 1, 0, RunningStats.start(2)), "running mean has shape"),
        (lambda: normalize_batch(np.zeros((2, 3)), [1, 2], 0, RunningStats.start(3)), "gamma has shape"),
        (lambda: normalize(np.zeros((2, 3)), 1, [0, 0], RunningStats.start(3)), "beta has shape"),
        (lambda: normalize(np.zeros((2, 1)), 1, 0, RunningStats.start(1), eps=-1e-5), "eps = -1e-05"),
        (lambda: normalize(np.zeros((2, 1)), 1, 0, RunningStats.start(1), eps=np.nan), "eps = nan"),
        (lambda: normalize(np.zeros((2, 1)), 1, 0, RunningStats.start(1, var=-2)), "running var = -2"),
        (lambda: normalize_batch_backward(np.zeros((2, 3)), 1, np.zeros((2, 2))), "dy has shape"),
        (lambda: RunningStats.start(0), "features = 0"),
        (lambda: RunningStats.start(1).update([0.0], [1.0], 0), "count = 0"),
        (lambda: RunningStats.start(1).update([0.0], [1.0], 4, momentum=1.5), "momentum = 1.5"),
        (lambda: batchnorm_convention("Torch"), "convention = Torch: needs one of PyTorch, Keras"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8, -1e12])
def test_an_offset_costs_no_digits_of_the_gradient(offset):
    rng = np.random.default_rng(4)
    # Multiples of 2⁻¹⁰ stay what they are beside an offset of a whole number.
    x = np.round(rng.standard_normal((7, 3)) * 1024) / 1024
    dy = rng.standard_normal((7, 3))
    near, far = (normalize_batch_backward(x + shift, 1.3, dy) for shift in (0.0, offset))
    for one, other in zip(near, far, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)
    running = RunningStats.start(3)
    y, _ = normalize_batch(x, 1.3, 0.2, running)
    shifted, _ = normalize_batch(x + offset, 1.3, 0.2, running)
    np.testing.assert_allclose(shifted, y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("value", [0.1, -3.7e5, 1e-300, 1 / 3])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 100])
def test_equal_values_leave_no_rest(value, n):
    y, _ = normalize_batch(np.full((n, 1), value), 2.0, 0.25, RunningStats.start(1), eps=1e-30)
    assert (y == 0.25).all()


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
@pytest.mark.parametrize("momentum", ["default", None])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_stream_is_followed_as_batch_by_batch(convention, momentum, count):
    if convention in ("Keras", "ONNX") and momentum is None:
        with pytest.raises(ValueError, match="momentum"):
            follow(np.zeros(2), np.ones(2), count, momentum=None, convention=convention)
        return
    rng = np.random.default_rng(count)
    mean, var = rng.normal(size=30), rng.exponential(size=30)
    var[20] = 1e308  # overflows
    states = [RunningStats.start(1, mean=2.5, var=0.3)]
    with np.errstate(over="ignore"):
        for m, v in zip(mean, var, strict=True):
            states.append(states[-1].update([m], [v], count, momentum=momentum, convention=convention))
    means, variances = follow(mean, var, count, start=(2.5, 0.3), momentum=momentum, convention=convention)
    np.testing.assert_array_equal(means, [float(state.mean[0]) for state in states])
    np.testing.assert_array_equal(variances, [float(state.var[0]) for state in states])


def test_nothing_is_followed_without_a_value():
    with pytest.raises(ValueError, match="count = 0"):
        follow(np.zeros(2), np.ones(2), 0)
