"""Noise against its covariance, mini-batches against the full gradient and the closed forms of sampling."""

import itertools
import math

import numpy as np
import pytest

from core.descent import descend
from core.optimizers import OPTIMIZERS
from core.stochastic import MiniBatches, Noisy, batch_variance, sample_covariance
from core.streams import stream

CURVATURES = np.array([0.08, 4.0])
START = np.array([-5.0, -2.0])


class Quadratic:
    def f(self, w):
        return 0.5 * (CURVATURES.astype(w.dtype) * w * w).sum(axis=-1)

    def grad(self, w):
        return CURVATURES.astype(w.dtype) * w


class Targets:
    """Mean of ½ aₙ‖w − xₙ‖² over N samples."""

    def __init__(self, count: int = 12) -> None:
        rng = stream(7)
        self.x, self.a = rng.normal(size=(count, 2)), rng.uniform(0.5, 2, size=count)
        self.seen: list[np.ndarray] = []

    @property
    def sample_count(self) -> int:
        return len(self.x)

    def f(self, w):
        return self.sample_loss(w, np.arange(self.sample_count))

    def grad(self, w):
        return self.sample_grad(w, np.arange(self.sample_count))

    def sample_loss(self, w, rows):
        apart = w[..., None, :] - self.x[rows]
        return (0.5 * self.a[rows] * (apart * apart).sum(axis=-1)).mean(axis=-1)

    def sample_grad(self, w, rows):
        self.seen.append(rows)
        return (self.a[rows, None] * (w[..., None, :] - self.x[rows])).mean(axis=-2)


def gd(lr=0.1):
    return OPTIMIZERS["GD"].build(lr=lr)


# Noise


def test_noise_has_its_mean_and_covariance():
    count, sigma = 40_000, 0.5
    starts = np.broadcast_to(START, (count, 2))
    noise = Noisy(Quadratic(), sigma).grad(starts, 0, stream(0)) - CURVATURES * START
    assert np.abs(noise.mean(axis=0)).max() < 5 * sigma / math.sqrt(count)
    covariance = noise.T @ noise / count
    np.testing.assert_allclose(covariance, sigma**2 * np.eye(2), atol=6 * sigma**2 / math.sqrt(count))


def test_noise_spreads_gd_as_theory_says():
    lr, sigma, steps, count = 0.2, 0.3, 60, 4000
    starts = np.broadcast_to(START, (count, 2))
    ends = descend(Noisy(Quadratic(), sigma), gd(lr), starts, steps, rng=stream(1)).path[-1]
    # Each step multiplies the error by a = 1 − lr·λ and adds noise of variance (lr·σ)².
    a = 1 - lr * CURVATURES
    variance = (lr * sigma) ** 2 * (1 - a ** (2 * steps)) / (1 - a**2)
    assert np.all(np.abs(ends.mean(axis=0) - START * a**steps) < 5 * np.sqrt(variance / count))
    np.testing.assert_allclose(ends.var(axis=0), variance, rtol=5 * math.sqrt(2 / count))


def test_the_same_noise_for_every_optimizer_and_every_sigma():
    def drawn(name, sigma=1.0, steps=10):
        rule = OPTIMIZERS[name].build(lr=0.05)
        result = descend(Noisy(Quadratic(), sigma), rule, START, steps, rng=stream(3))
        return result.gradient - CURVATURES * result.path

    expected = stream(3).standard_normal((11, 2))
    for name in OPTIMIZERS:
        np.testing.assert_allclose(drawn(name), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(drawn("GD", sigma=0.01), 0.01 * expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(drawn("GD", steps=25)[:11], drawn("GD"))


def test_many_starts_and_sigmas_have_noise_of_their_own():
    sigma = np.array([[0.0], [1.0], [2.0]])
    result = descend(Noisy(Quadratic(), sigma), gd([0.1, 0.2]), START, 4, rng=stream(5))
    assert result.path.shape == (5, 3, 2, 2)
    noise = result.gradient - CURVATURES * result.path
    np.testing.assert_array_equal(noise[:, 0], 0)
    np.testing.assert_allclose(noise, sigma[..., None] * stream(5).standard_normal((5, 3, 2, 2)), atol=1e-13)


def test_no_noise_is_the_exact_gradient_and_float32_stays():
    rule = OPTIMIZERS["Adam"].build(lr=0.1)
    quiet = descend(Noisy(Quadratic(), 0.0), rule, START, 20, rng=stream(0))
    np.testing.assert_array_equal(quiet.path, descend(Quadratic(), rule, START, 20).path)
    assert quiet.value[-1] == Quadratic().f(quiet.path[-1])
    single = descend(Noisy(Quadratic(), 0.5), rule, START.astype(np.float32), 3, rng=stream(0))
    assert single.path.dtype == np.float32


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, [0.1, -0.5]])
def test_sigma_is_a_standard_deviation(bad):
    with pytest.raises(ValueError, match="sigma = "):
        Noisy(Quadratic(), bad)


# Mini-batches


@pytest.mark.parametrize("size", [1, 3, 5, 11, 12])
def test_an_epoch_visits_every_sample_once(size):
    batches = MiniBatches(Targets(), size, seed=2)
    per = batches.steps_per_epoch
    assert per == math.ceil(12 / size)
    orders = []
    for epoch in range(3):
        rows = [batches.indices(t) for t in range(epoch * per, (epoch + 1) * per)]
        assert [len(r) for r in rows] == [size] * (12 // size) + [12 % size] * (12 % size > 0)
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(12))
        orders.append(np.concatenate(rows).tolist())
    assert (orders[0] != orders[1]) == (size < 12)
    again = MiniBatches(Targets(), size, seed=2).indices(per + 1)
    np.testing.assert_array_equal(again, batches.indices(per + 1))


def test_seeds_shuffle_differently():
    first, second = (
        np.concatenate([MiniBatches(Targets(), 2, seed).indices(t) for t in range(6)]) for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_the_batches_of_an_epoch_average_to_the_full_gradient(size):
    problem = Targets()
    batches = MiniBatches(problem, size)
    mean = np.mean([batches.grad_at(START, t) for t in range(batches.steps_per_epoch)], axis=0)
    np.testing.assert_allclose(mean, problem.grad(START), rtol=1e-13)
    loss = np.mean([batches.loss_at(START, t) for t in range(batches.steps_per_epoch)])
    assert loss == pytest.approx(problem.f(START), rel=1e-13)


def test_a_short_last_batch_counts_as_much_as_a_full_one():
    problem = Targets()
    batches = MiniBatches(problem, 5)
    rows = [batches.indices(t) for t in range(3)]
    means = [problem.sample_grad(START, r) for r in rows]
    weighted = sum(len(r) * m for r, m in zip(rows, means, strict=True)) / 12
    np.testing.assert_allclose(weighted, problem.grad(START), rtol=1e-13)
    assert not np.allclose(np.mean(means, axis=0), problem.grad(START))


def test_the_full_batch_is_gradient_descent_to_the_last_bit():
    problem = Targets()
    rule = OPTIMIZERS["Adam"].build(lr=0.1)
    np.testing.assert_array_equal(
        descend(MiniBatches(problem, 12, seed=4), rule, START, 15).path,
        descend(problem, rule, START, 15).path,
    )


def test_descent_takes_the_batch_of_each_step():
    problem = Targets()
    batches = MiniBatches(problem, 5, seed=1)
    result = descend(batches, gd(), START, 7)
    for rows, t in zip(problem.seen, range(8), strict=True):
        np.testing.assert_array_equal(rows, batches.indices(t))
    for t in range(7):
        step = -0.1 * problem.sample_grad(result.path[t], batches.indices(t))
        np.testing.assert_allclose(result.path[t + 1] - result.path[t], step, rtol=1e-10)
    np.testing.assert_array_equal(result.value, problem.f(result.path))
    np.testing.assert_array_equal(
        batches.losses(result.path), [batches.loss_at(w, t) for t, w in enumerate(result.path)]
    )
    np.testing.assert_array_equal(descend(batches, gd(), START, 20).path[:8], result.path)
    np.testing.assert_array_equal(descend(batches, gd(), START, 7, rng=stream(9)).path, result.path)


def test_many_starts_meet_the_same_batches():
    starts = stream(11).normal(size=(4, 2))
    batches = MiniBatches(Targets(), 2)
    together = descend(batches, gd(np.array([[0.1], [0.3]])), starts, 9).path
    assert together.shape == (10, 2, 4, 2)
    for i, j in itertools.product(range(2), range(4)):
        alone = descend(batches, gd((0.1, 0.3)[i]), starts[j], 9).path
        np.testing.assert_allclose(together[:, i, j], alone, rtol=1e-13)


def test_batches_that_cannot_be_drawn():
    for size in (0, 13, -1):
        with pytest.raises(ValueError, match=rf"batch_size = {size}: .* 1 to 12"):
            MiniBatches(Targets(), size)
    with pytest.raises(ValueError, match="seed = -1"):
        MiniBatches(Targets(), 3, seed=-1)


# How much a batch's gradient varies


def test_covariance_of_single_samples():
    problem = Targets()
    points = np.array([START, [0.0, 0.0], [1.0, -3.0]])
    single = problem.a[:, None] * (START - problem.x)
    found = sample_covariance(problem, points)
    assert found.shape == (3, 2, 2)
    np.testing.assert_allclose(found[0], np.cov(single.T, ddof=0), rtol=1e-12)
    np.testing.assert_allclose(found[2], sample_covariance(problem, points[2]), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_variance_over_all_possible_batches(size):
    """Enumerate every batch of six samples: all subsets, and all ordered draws with replacement."""
    problem = Targets(6)
    covariance = sample_covariance(problem, START)
    draws = (
        (itertools.combinations(range(6), size), False),
        (itertools.product(range(6), repeat=min(size, 3)), True),
    )
    single = problem.a[:, None] * (START - problem.x)
    for batches, replacement in draws:
        means = single[np.array(list(batches))].mean(axis=1)
        b = min(size, 3) if replacement else size
        np.testing.assert_allclose(
            np.cov(means.T, ddof=0) if len(means) > 1 else np.zeros((2, 2)),
            batch_variance(covariance, b, 6, replacement=replacement),
            rtol=1e-10,
            atol=1e-15,
        )


def test_shuffled_epochs_have_the_variance_without_replacement():
    problem, epochs = Targets(), 1500
    batches = MiniBatches(problem, 3, seed=8)
    rows = np.array([batches.indices(batches.steps_per_epoch * k) for k in range(epochs)])
    single = problem.a[:, None] * (START - problem.x)
    expected = batch_variance(np.diag(sample_covariance(problem, START)), 3, 12)
    np.testing.assert_allclose(
        single[rows].mean(axis=1).var(axis=0), expected, rtol=5 * math.sqrt(2 / epochs)
    )


def test_variance_at_its_ends():
    assert batch_variance(2.0, 1, 1) == 0.0
    np.testing.assert_allclose(batch_variance(2.0, [1, 4, 7], 7), [2.0, 0.25, 0.0])
    assert batch_variance(2.0, 14, 7, replacement=True) == pytest.approx(1 / 7)
    for size in (0, 8, math.nan):
        with pytest.raises(ValueError, match="batch_size"):
            batch_variance(2.0, size, 7)
    with pytest.raises(ValueError, match="sample_count = 0"):
        batch_variance(2.0, 1, 0)
