"""Linear and logistic regression against least squares in fractions, finite differences and plain loops."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

from core.regression import (
    LOG_LOSS,
    SQUARED,
    Samples,
    line_loss,
    linear_samples,
    logistic_samples,
    separated,
)
from core.surfaces import SURFACES

BOTH = pytest.mark.parametrize(
    "samples", [linear_samples(), logistic_samples()], ids=["squared error", "log loss"]
)


def points(count: int = 40, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-4, 4, (count, 2))


def slope(function, w: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Fourth-order central difference: (..., 2) → (..., [outputs], 2)."""
    columns = []
    for e in np.eye(2) * h:
        near = function(w + e) - function(w - e)
        far = function(w + 2 * e) - function(w - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def one_by_one(samples: Samples, w: float, b: float) -> list[float]:
    """The losses by their definitions, in plain Python."""
    found = []
    for x, y in zip(samples.x.tolist(), samples.y.tolist(), strict=True):
        z = w * x + b
        if samples.loss is SQUARED:
            found.append((z - y) ** 2)
        else:
            probability = 1 / (1 + math.exp(-z))
            found.append(-math.log(probability if y == 1 else 1 - probability))
    return found


# The data


def test_samples_are_the_same_each_time_and_cannot_be_changed():
    for draw in (linear_samples, logistic_samples):
        a, b = draw(), draw()
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
        assert a.sample_count == len(a.x) == len(a.y) == 64
        assert np.any(draw(seed=1).x != a.x)
        with pytest.raises(ValueError, match="read-only"):
            a.x[0] = 0


def test_decimals_of_the_data_are_two():
    for values in (linear_samples().x, linear_samples().y, logistic_samples().x):
        np.testing.assert_array_equal(values, np.round(values, 2))


def test_classes_are_equal_in_number_and_overlap():
    samples = logistic_samples()
    assert sorted(set(samples.y.tolist())) == [0, 1]
    assert samples.y.sum() == 32
    assert not separated(samples)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1], True),
        ([0, 1, 2, 3], [1, 1, 0, 0], True),
        ([0, 1, 1, 2], [0, 0, 1, 1], True),
        ([0, 2, 1, 3], [0, 0, 1, 1], False),
        ([0, 1], [1, 1], True),
    ],
)
def test_separated(x, y, expected):
    assert separated(Samples(np.array(x, float), np.array(y, float), LOG_LOSS)) == expected


# Losses and derivatives


@BOTH
def test_losses_by_their_definitions(samples):
    for w, b in points(5):
        np.testing.assert_allclose(samples.losses((w, b)), one_by_one(samples, w, b), rtol=1e-10)
        assert samples.f((w, b)) == pytest.approx(np.mean(one_by_one(samples, w, b)), rel=1e-12)


@BOTH
def test_gradients_and_hessian_against_finite_differences(samples):
    w = points()
    rows = np.array([3, 3, 60, 17])
    for f, grad in (
        (samples.f, samples.grad),
        (samples.losses, samples.grads),
        (lambda v: samples.sample_loss(v, rows), lambda v: samples.sample_grad(v, rows)),
        (samples.grad, samples.hessian),
    ):
        expected = slope(f, w)
        np.testing.assert_allclose(grad(w), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@BOTH
def test_full_loss_is_the_mean_of_the_samples_and_of_equal_batches(samples):
    w = points().reshape(4, 5, 2, 2)
    np.testing.assert_allclose(samples.losses(w).mean(axis=-1), samples.f(w), rtol=1e-13)
    np.testing.assert_allclose(samples.grads(w).mean(axis=-2), samples.grad(w), rtol=1e-12, atol=1e-13)
    batches = np.random.default_rng(0).permutation(64).reshape(8, 8)
    mean = np.mean([samples.sample_grad(w, rows) for rows in batches], axis=0)
    np.testing.assert_allclose(mean, samples.grad(w), rtol=1e-12, atol=1e-13)


@BOTH
def test_a_batch_counts_a_row_as_often_as_it_occurs(samples):
    w = points(3)
    one = samples.losses(w)
    np.testing.assert_allclose(
        samples.sample_loss(w, [5, 5, 9]), (2 * one[..., 5] + one[..., 9]) / 3, rtol=1e-14
    )
    np.testing.assert_array_equal(samples.sample_loss(w, [7]), one[..., 7])
    np.testing.assert_array_equal(samples.sample_grad(w, [7]), samples.grads(w)[..., 7, :])


@BOTH
def test_many_points_are_each_point_alone(samples):
    """The blocks of a long list of points show nowhere."""
    w = points(1001)
    for function in (samples.f, samples.grad, samples.hessian):
        np.testing.assert_array_equal(function(w)[[0, 239, 240, 1000]], function(w[[0, 239, 240, 1000]]))
        np.testing.assert_array_equal(function(w[:, None])[:, 0], function(w))


@BOTH
def test_shapes_types_and_bad_arguments(samples):
    w = points(6).reshape(2, 3, 2)
    assert samples.losses(w).shape == (2, 3, 64)
    assert samples.grads(w).shape == (2, 3, 64, 2)
    assert samples.sample_grad(w, np.arange(5)).shape == (2, 3, 2)
    for function in (samples.f, samples.grad, samples.losses, samples.grads):
        assert function(w.astype(np.float32)).dtype == np.float32
        assert function((1, 2)).dtype == np.float64
        for shape in ((), (3,), (2, 1)):
            with pytest.raises(ValueError, match=r"needs \(\.\.\., 2\)"):
                function(np.zeros(shape))
    for rows in ([], [[1, 2]], 3):
        with pytest.raises(ValueError, match="rows has shape"):
            samples.sample_loss(w, rows)
    with pytest.raises(IndexError):
        samples.sample_loss(w, [64])


# The log loss far from zero


@pytest.mark.parametrize("z", [0.0, 1e-9, -1e-9, 30.0, -30.0, 700.0, -700.0, 1000.0, -1000.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_log_loss_is_exact_at_both_ends(z, y):
    with warnings.catch_warnings(), np.errstate(over="ignore", under="ignore"):
        warnings.simplefilter("error")
        value, first, second = (
            float(g(np.array(z), np.array(y))) for g in (LOG_LOSS.value, LOG_LOSS.slope, LOG_LOSS.bend)
        )
    wrong = -z if y == 1 else z  # the logit of the other label
    small = math.exp(-abs(wrong))
    assert value == pytest.approx(max(wrong, 0) + math.log1p(small), rel=1e-15, abs=0)
    probability = (1 if wrong >= 0 else small) / (1 + small)
    assert first == pytest.approx((-1 if y == 1 else 1) * probability, rel=1e-15, abs=1e-307)
    assert second == pytest.approx(small / (1 + small) ** 2, rel=1e-15, abs=0)


def test_far_away_the_log_loss_is_a_straight_line():
    samples = logistic_samples()
    w = np.array([1000.0, -1500.0])
    np.testing.assert_allclose(samples.f(2 * w), 2 * samples.f(w), rtol=1e-3)
    assert np.isfinite(samples.grad(w)).all()
    np.testing.assert_array_equal(samples.hessian(1e6 * w), 0)


# The least-squares line


def test_line_in_fractions():
    """The stored minimum, from the decimals of the data in exact arithmetic."""
    samples = linear_samples()
    x, y = ([Fraction(repr(v)) for v in values.tolist()] for values in (samples.x, samples.y))
    n, mean_x, mean_y = len(x), sum(x) / len(x), sum(y) / len(y)
    w = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )
    b = mean_y - w * mean_x
    lowest = sum((w * u + b - v) ** 2 for u, v in zip(x, y, strict=True)) / n
    (stored,) = SURFACES["Linear regression"].stationary
    assert stored.point == (float(w), float(b))
    assert stored.value == float(lowest)


def test_line_loss_is_the_mean_squared_error():
    samples, w = linear_samples(), np.concatenate([points(), 1000 * points(5)])
    for direct, moments in zip((samples.f, samples.grad, samples.hessian), line_loss(samples), strict=True):
        expected = direct(w)
        np.testing.assert_allclose(moments(w), expected, rtol=1e-12, atol=1e-12)


def test_line_loss_needs_two_different_x():
    same = Samples(np.ones(3), np.arange(3.0), SQUARED)
    with pytest.raises(ValueError, match="all x are equal"):
        line_loss(same)


def test_logistic_minimum_is_where_the_labels_balance():
    """At the minimum the expected number of ones is the number of ones, and so is their mean input."""
    samples = logistic_samples()
    (stored,) = SURFACES["Logistic regression"].stationary
    p = 1 / (1 + np.exp(-(stored.point[0] * samples.x + stored.point[1])))
    assert p.sum() == pytest.approx(32, rel=1e-14)
    assert p @ samples.x == pytest.approx(samples.x[samples.y == 1].sum(), rel=1e-14)
