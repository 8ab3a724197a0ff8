"""The gap between training and evaluation: theory against closed forms, the layer itself and simulation."""

import math

import numpy as np
import pytest

from core.batch_gap import (
    class_accuracy,
    class_accuracy_theory,
    class_gap_theory,
    class_outputs,
    gap_first_order,
    gap_theory,
    inverse_moments,
    lowest,
    measure_class_gap,
    measure_gap,
    past_of,
)
from core.normalization import BATCHNORM_CONVENTIONS, RunningStats, normalize, normalize_batch

every_kind = pytest.mark.parametrize("unbiased", [True, False])


@pytest.mark.parametrize("size", [5, 8, 33, 512])
@every_kind
def test_one_batch_alone_has_the_moments_of_chi_square(size, unbiased):
    # a = 1: v is χ²/(N−1) of a single batch, and E χ⁻² = 1/(ν−2), E χ⁻¹ = Γ((ν−1)/2)/(√2 Γ(ν/2))
    freedom = size - 1
    scale = 1.0 if unbiased else freedom / size
    half, whole = inverse_moments(size, 1.0, unbiased=unbiased)
    root = math.sqrt(freedom / 2) * math.exp(math.lgamma((freedom - 1) / 2) - math.lgamma(freedom / 2))
    assert half == pytest.approx(root / math.sqrt(scale), rel=1e-8)
    assert whole == pytest.approx(freedom / (freedom - 2) / scale, rel=1e-7)


@pytest.mark.parametrize(("size", "weight"), [(2, 0.3), (3, 0.7), (8, 0.1), (16, 0.5), (64, 0.02)])
def test_inverse_moments_are_those_of_the_sum_over_the_past(size, weight):
    # A grid over the Laplace transform of the sum written out, and a far finer one than the module's.
    shares = weight * (1 - weight) ** np.arange(math.ceil(30 / weight))
    y = np.linspace(-60, 30, 3001)[:, None]
    exponent = (size - 1) / 2 * np.log1p(2 * np.exp(y) * shares / (size - 1)).sum(axis=1) + 1e-3 * np.exp(
        y[:, 0]
    )
    density = np.exp(-exponent) * (y[1, 0] - y[0, 0])
    half, whole = inverse_moments(size, weight, eps=1e-3)
    assert half == pytest.approx(np.sum(np.exp(y[:, 0] / 2) * density) / math.sqrt(math.pi), rel=1e-6)
    assert whole == pytest.approx(np.sum(np.exp(y[:, 0]) * density), rel=1e-6)


def test_a_small_weight_stores_the_expectation():
    half, whole = inverse_moments([2, 8, 100], 0.0, eps=0.5)
    assert half == pytest.approx(1 / math.sqrt(1.5), rel=1e-6)
    assert whole == pytest.approx(1 / 1.5, rel=1e-6)
    biased = inverse_moments(4, 0.0, unbiased=False)[1]
    assert biased == pytest.approx(4 / 3, rel=1e-6)


def test_the_parts_are_what_they_say():
    gap = gap_theory(np.array([1, 2, 8, 300]), np.array([[0.01], [0.4]]), 3, 2.0, eps=0.1)
    assert gap.total == pytest.approx(np.sqrt(gap.batch**2 + gap.running**2 + gap.lag**2), rel=1e-12)
    # Perfect statistics leave 2 − 2·E[s], with E[s] = √(2/N)·Γ(N/2)/Γ((N−1)/2).
    for size in (2, 3, 10, 200):
        root = math.sqrt(2 / size) * math.exp(math.lgamma(size / 2) - math.lgamma((size - 1) / 2))
        assert gap_theory(size, 0.1).batch == pytest.approx(math.sqrt(2 - 2 * root), rel=1e-6)
    # The lag falls by 1 − a a step and is proportional to the shift; noise knows nothing of either.
    later, wider = gap_theory(8, 0.2, [0, 5], 1.0), gap_theory(8, 0.2, [0, 5], 3.0)
    assert later.lag[1] == pytest.approx(0.8**5 * later.lag[0], rel=1e-12)
    assert wider.lag == pytest.approx(3 * later.lag, rel=1e-12)
    assert np.ptp(later.running) == np.ptp(later.batch) == 0


@pytest.mark.parametrize("eps", [0.0, 0.3, 4.0])
@pytest.mark.parametrize(("weight", "steps"), [(0.001, 500), (0.1, 3), (0.1, 50), (0.5, 1)])
def test_large_batches_follow_the_first_order(weight, steps, eps):
    place = (weight, steps, 0.5)
    off = [
        float(gap_theory(size, *place, eps=eps).total / gap_first_order(size, *place, eps=eps)) - 1
        for size in (64, 512)
    ]
    assert abs(off[1]) < 0.01
    assert abs(off[1]) < abs(off[0]) / 4 + 1e-5  # the rest is of second order


@every_kind
def test_simulation_and_theory_agree_over_a_grid(unbiased):
    sizes, weights = np.array([2, 8, 60]), np.array([[0.02], [0.1], [0.5]])
    steps = [0, 2, 20]
    found = measure_gap(sizes, weights, steps, 1.5, eps=0.01, unbiased=unbiased, runs=900, seed=3)
    exact = gap_theory(sizes, weights, np.array(steps)[:, None, None], 1.5, eps=0.01, unbiased=unbiased).total
    assert found.total.shape == found.error.shape == (3, 3, 3)
    away = (found.total - exact) / found.error
    assert np.abs(away).max() < 4.5
    assert np.mean(away**2) < 3
    one = measure_gap(8, 0.1, 2, 1.5, runs=50)
    assert one.total.shape == ()


@pytest.mark.parametrize("convention", ["PyTorch", "Keras"])
@pytest.mark.parametrize(("size", "weight", "steps"), [(2, 0.1, 4), (6, 0.3, 2)])
def test_the_layer_itself_has_this_gap(convention, size, weight, steps):
    # 400 features are as many runs; batches go through the layer, value by value.
    rule, mu, sigma, shift, eps = BATCHNORM_CONVENTIONS[convention], 2.0, 3.0, 1.2, 0.2
    rng, features = np.random.default_rng(5), 3000
    state = RunningStats.start(features, mean=mu, var=sigma**2)
    for t in range(-60, steps):
        center = mu + (shift * sigma if t >= 0 else 0)
        batch = center + sigma * rng.standard_normal((size, features))
        _, state = normalize_batch(
            batch, 1, 0, state, eps=eps, momentum=rule.momentum_of(weight), convention=convention
        )
    batch = mu + shift * sigma + sigma * rng.standard_normal((size, features))
    training, _ = normalize_batch(batch, 1, 0, state, eps=eps, convention=convention)
    squares = np.mean((normalize(batch, 1, 0, state, eps=eps) - training) ** 2, axis=0)
    exact = gap_theory(size, weight, steps, shift, eps=eps / sigma**2, unbiased=rule.unbiased).total
    assert squares.mean() == pytest.approx(exact**2, abs=4 * squares.std() / math.sqrt(features))
    assert abs(squares.mean() / exact**2 - 1) < 0.2  # the bound above is no empty one


def test_one_value_a_batch():
    for unbiased, var in ((True, 1.0), (False, 0.0)):
        eps = 0.04
        gap = gap_theory(1, 0.5, 1, 2.0, eps=eps, unbiased=unbiased)
        assert gap.total == pytest.approx(math.sqrt((1 + 1 / 3 + 1) / (var + eps)), rel=1e-9)
        found = measure_gap(1, 0.5, 1, 2.0, eps=eps, unbiased=unbiased, runs=3000)
        assert abs(found.total - gap.total) < 4.5 * found.error


def test_weight_zero_and_one():
    assert gap_theory(8, 0.0, 500, 1.0).lag == pytest.approx(1.0, rel=1e-6)
    assert gap_theory(8, 1.0, 1, 1.0).lag == 0
    assert measure_gap(64, 0.0, 3, 1.0, runs=400).total == pytest.approx(
        float(gap_theory(64, 0.0, 3, 1.0).total), rel=0.02
    )


def test_runs_extend_one_another():
    short, long = (measure_gap([2, 8], 0.2, steps, 1.0, runs=20, seed=4) for steps in ([0, 3], [0, 3, 9]))
    assert np.array_equal(short.total, long.total[:2])
    assert not np.array_equal(short.total, measure_gap([2, 8], 0.2, [0, 3], 1.0, runs=20, seed=5).total)


@pytest.mark.parametrize("weight", [0.001, 0.01, 0.1, 0.7, 1.0])
def test_the_past_is_long_enough(weight):
    left = weight / (2 - weight) * (1 - weight) ** (2 * past_of(weight))
    assert left <= 1e-3 * (1 + 1e-9)


def test_the_lowest_point():
    weights = np.geomspace(0.001, 1, 48)
    bowl = np.sqrt(np.log(weights[:, None] / np.array([0.05, 0.3])) ** 2 + 2)
    assert lowest(weights, bowl) == pytest.approx([0.05, 0.3], rel=1e-9)
    assert lowest(weights, np.stack([weights, -weights + 2], axis=1)) == pytest.approx([0.001, 1])
    # To first order 3/((2−a)N) + (1−a)^(2s)Δ² is flat where 3/(N(2−a)²) = 2s(1−a)^(2s−1)Δ².
    found = float(
        lowest(np.geomspace(1e-3, 1, 200), gap_first_order(50, np.geomspace(1e-3, 1, 200), 20, 1.0))
    )
    assert 3 / (50 * (2 - found) ** 2) == pytest.approx(40 * (1 - found) ** 39, rel=0.01)


# Two classes


@pytest.mark.parametrize(("size", "weight", "separation"), [(4, 0.2, 2.0), (16, 0.05, 4.0)])
def test_classes_in_order_by_the_layer_itself(size, weight, separation):
    steps, features, eps = 6, 2000, 1e-3
    rng = np.random.default_rng(8)
    state = RunningStats.start(features, mean=-separation / 2)
    for t in range(-100, steps):
        batch = (separation / 2 if t >= 0 else -separation / 2) + rng.standard_normal((size, features))
        _, state = normalize_batch(batch, 1, 0, state, eps=eps, momentum=weight)
    squares, right = [], []
    for side in (-1, 1):
        batch = side * separation / 2 + rng.standard_normal((size, features))
        training, _ = normalize_batch(batch, 1, 0, state, eps=eps)
        evaluation = normalize(batch, 1, 0, state, eps=eps)
        squares.append(np.mean((evaluation - training) ** 2, axis=0))
        right.append(np.mean(side * evaluation > 0))
    exact = class_gap_theory(size, weight, steps, separation, in_order=True, eps=eps)
    each = np.mean(squares, axis=0)
    assert each.mean() == pytest.approx(float(exact) ** 2, abs=4 * each.std() / math.sqrt(features))
    assert exact >= separation / 2 / math.sqrt(1 + eps)
    theory = class_accuracy_theory(size, weight, steps, separation, in_order=True)
    assert np.mean(right) == pytest.approx(theory.evaluation, abs=0.02)


@pytest.mark.parametrize("in_order", [True, False])
def test_measured_classes_follow_theory(in_order):
    steps = [0, 4, 40]
    for eps in (0.0, 6.0):
        found = measure_class_gap(64, 0.1, steps, 3.0, in_order=in_order, eps=eps, runs=500)
        exact = class_gap_theory(64, 0.1, steps, 3.0, in_order=in_order, eps=eps)
        assert found.total == pytest.approx(exact, rel=0.01 if in_order else 0.04)


def test_shuffled_batches_are_mixtures():
    # Drawn value by value, with the running statistics at the truth.
    rng, size, separation = np.random.default_rng(2), 6, 3.0
    values = separation * (rng.integers(0, 2, (40_000, size)) - 0.5) + rng.standard_normal((40_000, size))
    spread = math.sqrt(1 + separation**2 / 4)
    training = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    expected = math.sqrt(np.mean((values / spread - training) ** 2))
    found = measure_class_gap(size, 0.0, [0], separation, in_order=False, runs=8000)
    assert found.total[0] == pytest.approx(expected, rel=0.02)
    # κ = 3 without separation: the same as one normal feature.
    assert class_gap_theory(9, 0.3, 5, 0.0, in_order=False) == pytest.approx(float(gap_first_order(9, 0.3)))


@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("in_order", [True, False])
def test_outputs_of_the_classes(size, in_order):
    outputs = class_outputs(size, 0.1, 30, 2.0, in_order=in_order, samples=6000, eps=1e-5)
    assert outputs.training.shape == outputs.evaluation.shape
    assert outputs.training[0].size >= 6000
    assert np.abs(outputs.training).max() <= math.sqrt(max(size - 1, 0)) + 1e-9  # no sample leaves ±√(N−1)
    means = outputs.training.mean(axis=(1, 2))
    if in_order:
        assert means == pytest.approx([0, 0], abs=1e-12)
    elif size > 1:
        assert means[0] < -0.3 < 0.3 < means[1]
    measured, theory = (
        class_accuracy(outputs),
        class_accuracy_theory(size, 0.1, 30, 2.0, in_order=in_order),
    )
    assert measured.evaluation == pytest.approx(theory.evaluation, abs=0.025)
    if in_order:
        assert measured.training == pytest.approx(theory.training, abs=0.025)


def test_shuffled_training_output_is_that_of_the_layer():
    rng, size, separation = np.random.default_rng(7), 5, 2.0
    batch = separation * (rng.integers(0, 2, (size, 20_000)) - 0.5)
    batch[0] = -separation / 2
    batch += rng.standard_normal(batch.shape)
    y, _ = normalize_batch(batch, 1, 0, RunningStats.start(20_000), eps=1e-5)
    own = class_outputs(size, 0.1, 0, separation, in_order=False, samples=20_000, eps=1e-5).training[0, :, 0]
    assert own.mean() == pytest.approx(y[0].mean(), abs=0.03)
    assert own.std() == pytest.approx(y[0].std(), abs=0.03)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "whole"),
        ({"weight": 1.1}, "weight"),
        ({"weight": math.nan}, "weight"),
        ({"steps": -1}, "steps"),
        ({"eps": -1.0}, "eps"),
    ],
)
def test_arguments_out_of_range_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        gap_theory(**{"batch_size": 8, "weight": 0.1, "steps": 1, **change})
