"""Mini-batch gradients: enumeration, the variance of a mean, the normal limit, and descent by samples."""

from itertools import combinations, product

import numpy as np
import pytest

from core.batch_gradients import (
    ShuffledRuns,
    batch_errors,
    batch_line,
    batch_minimum,
    descent_share_theory,
    directions,
    noise_floor_theory,
    samples_seen,
)
from core.descent import descend
from core.optimizers import OPTIMIZERS
from core.regression import LOG_LOSS, SQUARED, Samples, linear_samples, logistic_samples
from core.stochastic import MiniBatches, batch_variance, sample_covariance
from core.surfaces import SURFACES

GD = OPTIMIZERS["GD"]
POINT = np.array([-0.3, 2.0])
SMALL = Samples(np.array([-1.0, 0.5, 2.0, 3.0]), np.array([0.0, 1.0, 0.5, 2.0]), SQUARED)
BINARY = Samples(np.array([-1.0, 0.5, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]), LOG_LOSS)
MODELS = {"linear": linear_samples(), "logistic": logistic_samples(), "small": SMALL, "binary": BINARY}
every_model = pytest.mark.parametrize("samples", MODELS.values(), ids=MODELS)


@every_model
def test_single_samples_are_every_sample_once_and_average_to_the_full_gradient(samples):
    found = directions(samples, POINT, 1, least=samples.sample_count)
    assert sorted(int(rows[0]) for rows in found.batches) == list(range(samples.sample_count))
    np.testing.assert_allclose(found.gradients.mean(axis=0), found.mean, rtol=1e-12, atol=1e-14)
    assert not found.flat
    # A step downhill lowers the full loss, a step of the others does not: by the losses themselves.
    step = 1e-7 * found.gradients / np.linalg.norm(found.gradients, axis=1, keepdims=True)
    lower = samples.f(POINT - step) < samples.f(POINT)
    np.testing.assert_array_equal(lower, found.descends)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_directions_are_the_batches_of_shuffled_epochs(size):
    found = directions(SMALL, POINT, size, least=7, seed=3)
    batches = MiniBatches(SMALL, size, 3)
    assert len(found.batches) % batches.steps_per_epoch == 0
    assert 7 <= len(found.batches) < 7 + batches.steps_per_epoch
    for t, gradient in enumerate(found.gradients):
        np.testing.assert_allclose(gradient, batches.grad_at(POINT, t), rtol=1e-12)
    if size == 4:
        np.testing.assert_allclose(found.gradients, np.broadcast_to(found.mean, (7, 2)))


def test_at_the_minimum_nothing_is_downhill_of_the_full_loss():
    surface = SURFACES["Linear regression"]
    assert directions(surface.samples, surface.minima[0].point, 1).flat
    with pytest.raises(ValueError, match="least = 0"):
        directions(SMALL, POINT, 1, least=0)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_drawn_errors_are_those_of_all_batches(size):
    found = batch_errors(SMALL, POINT, 20_000, seed=1)
    single, mean = SMALL.grads(POINT), SMALL.grad(POINT)
    for k, batches in enumerate((list(combinations(range(4), size)), list(product(range(4), repeat=size)))):
        all_ = np.array([single[list(batch)].mean(axis=0) for batch in batches])
        exact = np.sqrt(((all_ - mean) ** 2).sum(axis=1).mean())
        assert found.rms_theory[k, size - 1] == pytest.approx(exact, rel=1e-12, abs=1e-14)
        assert found.rms[k, size - 1] == pytest.approx(exact, rel=0.03, abs=1e-14)
        assert found.descent[k, size - 1] == pytest.approx(np.mean(all_ @ mean > 1e-12), abs=0.015)
    assert found.rms[0, -1] == 0
    with pytest.raises(ValueError, match="draws = 0"):
        batch_errors(SMALL, POINT, 0)


def test_the_share_downhill_of_normal_gradients():
    rng = np.random.default_rng(0)
    mean, root = np.array([1.0, -0.5]), np.array([[2.0, 0.0], [1.0, 0.5]])
    drawn = mean + rng.standard_normal((200_000, 2)) @ root.T
    assert float(descent_share_theory(mean, root @ root.T)) == pytest.approx(
        np.mean(drawn @ mean > 0), abs=0.004
    )
    assert float(descent_share_theory(mean, np.zeros((2, 2)))) == 1
    assert np.isnan(descent_share_theory(np.zeros(2), np.zeros((2, 2))))


def test_a_lowest_point_of_a_batch():
    rows = np.array([0, 1, 3])
    slope, offset = np.polyfit(SMALL.x[rows], SMALL.y[rows], 1)
    np.testing.assert_allclose(batch_minimum(SMALL, rows), [slope, offset], rtol=1e-10)
    for name in ("Linear regression", "Logistic regression"):
        surface = SURFACES[name]
        everything = np.arange(surface.samples.sample_count)
        np.testing.assert_allclose(
            batch_minimum(surface.samples, everything), surface.minima[0].point, rtol=1e-9
        )
    np.testing.assert_allclose(BINARY.grad(batch_minimum(BINARY, range(4))), 0, atol=1e-12)
    assert batch_minimum(SMALL, [2]) is None
    assert batch_minimum(BINARY, [0, 3]) is None, "a threshold parts the labels"
    assert batch_minimum(BINARY, [1, 3]) is None, "one label only"


def test_a_batch_of_equal_inputs_is_lowest_along_a_line_if_at_all():
    assert batch_line(SMALL, [2]) == (2.0, 0.5)
    assert batch_line(SMALL, [0, 1]) is None
    assert batch_line(BINARY, [1]) is None, "log loss of one label falls forever"
    for loss, y in ((SQUARED, [0.3, 2.0, 1.0]), (LOG_LOSS, [1.0, 0.0, 1.0])):
        equal = Samples(np.full(3, 1.7), np.array(y), loss)
        x, z = batch_line(equal, [0, 1, 2])
        for w in (-2.0, 0.0, 5.0):
            np.testing.assert_allclose(equal.grad(np.array([w, z - x * w])), 0, atol=1e-14)


def test_squared_error_of_targets_0_and_1_is_not_taken_for_log_loss():
    line = Samples(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0]), SQUARED)
    np.testing.assert_allclose(batch_minimum(line, range(3)), np.polyfit(line.x, line.y, 1), atol=1e-12)


@pytest.mark.parametrize("name", ["Linear regression", "Logistic regression"])
def test_every_batch_is_lowest_at_a_point_or_along_a_line_or_falls_forever(name):
    samples, rng = SURFACES[name].samples, np.random.default_rng(5)
    for size in (1, 2, 3, 5, 8):
        for _ in range(15):
            rows = rng.choice(samples.sample_count, size, replace=False)
            x, y = samples.x[rows], samples.y[rows]
            parted = samples.loss is LOG_LOSS and any(
                np.all(x[y == a][:, None] <= x[y != a]) for a in (0.0, 1.0)
            )
            point, line = batch_minimum(samples, rows) is not None, batch_line(samples, rows) is not None
            if np.ptp(x) > 0:
                assert (point, line) == (not parted, False)
            else:
                assert (point, line) == (False, samples.loss is SQUARED or np.ptp(y) > 0)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_runs_of_many_seeds_are_those_of_each(size):
    seeds = (0, 5, 11)
    together = descend(ShuffledRuns(SMALL, size, seeds), GD.build(lr=0.03), np.tile(POINT, (3, 1)), 9)
    for k, seed in enumerate(seeds):
        alone = descend(MiniBatches(SMALL, size, seed), GD.build(lr=0.03), POINT, 9)
        np.testing.assert_allclose(together.path[:, k], alone.path, rtol=1e-12)
        np.testing.assert_allclose(together.value[:, k], alone.value, rtol=1e-12)


def test_samples_are_counted_not_steps():
    run = samples_seen(SMALL, GD, 3, 0.01, POINT, 2, (0, 1))
    assert run.seen.tolist() == [0, 3, 4, 7, 8]
    assert run.loss.shape == (5, 2)
    assert np.isnan(run.seen_to(0.0)).all()
    assert (run.seen_to(float(run.loss[0, 0])) == 0).all()
    middle = float(run.loss[2, 0])
    assert run.seen_to(middle)[0] == run.seen[np.argmax(run.loss[:, 0] <= middle)]
    wild = samples_seen(SMALL, GD, 1, 50.0, POINT, 60, (0,))
    assert wild.diverged_at[0] > 0


def test_small_steps_hover_at_the_noise_floor():
    surface = SURFACES["Linear regression"]
    samples, minimum = surface.samples, np.array(surface.minima[0].point)
    covariance = sample_covariance(samples, minimum)
    lr, size = 0.02, 4

    class Independent:
        f = staticmethod(samples.f)

        @staticmethod
        def grad(w, t, rng):
            rows = rng.integers(64, size=(*w.shape[:-1], size))
            return np.take_along_axis(samples.grads(w), rows[..., None], axis=-2).mean(axis=-2)

    run = descend(
        Independent(), GD.build(lr=lr), np.tile(minimum, (200, 1)), 400, rng=np.random.default_rng(2)
    )
    hover = float((run.value[250:] - surface.infimum).mean())
    floor = float(noise_floor_theory(covariance, size, lr))
    assert floor == pytest.approx(lr * np.trace(batch_variance(covariance, size, 64, replacement=True)) / 4)
    assert hover == pytest.approx(floor, rel=0.15)
