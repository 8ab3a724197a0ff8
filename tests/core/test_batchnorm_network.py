"""A network with batch normalization: derivatives, both modes, stored statistics and training, each by another way."""

import math

import numpy as np
import pytest

from core.batchnorm_network import (
    ORDERS,
    accuracy,
    backward,
    batch_rows,
    cross_entropy,
    d_cross_entropy,
    distributions,
    draw_arms,
    evaluate,
    forward,
    init_network,
    loss_and_gradient,
    observe,
    recalibrate,
    start_running,
    train_network,
    update_running,
)
from core.network import CROSS_ENTROPY
from core.normalization import (
    BATCHNORM_CONVENTIONS,
    RunningStats,
    normalize,
    normalize_batch,
    normalize_batch_backward,
)
from core.streams import stream

SIZES = (2, 5, 4, 3)
both = pytest.mark.parametrize("normalized", [True, False])


def data(n=24, classes=3, place=0):
    return draw_arms(n, classes, noise=0.1, rng=stream(0, 7, place))


def moved_away(params, place=0):
    """Return parameters none of which is at its special start."""
    rng = stream(1, 8, place)
    return params.with_arrays([a + 0.3 * rng.standard_normal(a.shape) for a in params.arrays])


def network(normalized=True, sizes=SIZES, **given):
    return moved_away(init_network(sizes, normalized=normalized, **given))


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.arrays, b.arrays, strict=True))


# Derivatives


@both
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_the_gradient_is_that_of_finite_differences_in_every_parameter(normalized, activation):
    x, labels = data()
    params = network(normalized, seed=[0, 1])  # two networks at once
    _, gradient = loss_and_gradient(params, x, labels, activation)
    h = 1e-5
    for k, array in enumerate(params.arrays):
        measured = np.empty_like(array)
        for index in np.ndindex(array.shape[1:]):
            ends = []
            for sign in (1, -1):
                changed = [a.copy() for a in params.arrays]
                changed[k][(slice(None), *index)] += sign * h
                output = forward(params.with_arrays(changed), x, activation).output
                ends.append(cross_entropy(output, labels))
            measured[(slice(None), *index)] = (ends[0] - ends[1]) / (2 * h)
        scale = max(np.abs(measured).max(), 1e-3)
        np.testing.assert_allclose(gradient.arrays[k], measured, rtol=0, atol=1e-6 * scale)


def test_the_bias_below_a_normalization_has_no_gradient_and_no_effect():
    x, labels = data()
    params = network()
    _, gradient = loss_and_gradient(params, x, labels)
    for bias in gradient.biases[:-1]:
        np.testing.assert_allclose(bias, 0, atol=1e-15)
    other = params.with_arrays([*params.weights, *(b + 3 for b in params.biases[:-1]), *params.arrays[5:]])
    np.testing.assert_allclose(forward(other, x).output, forward(params, x).output, atol=1e-12)


def test_each_layer_is_the_normalization_of_one_layer():
    x, labels = data()
    params = network()
    run = forward(params, x, "tanh")
    gradient, deltas = backward(params, run, d_cross_entropy(run.output, labels), "tanh")
    for h, (gamma, beta) in enumerate(zip(params.gammas, params.betas, strict=True)):
        y, _ = normalize_batch(run.pre[h], gamma, beta, RunningStats.start(len(gamma)))
        np.testing.assert_allclose(run.post[h], y, atol=1e-13)
        above = deltas[h + 1] if h + 1 < len(deltas) else d_cross_entropy(run.output, labels)
        dy = (above @ params.weights[h + 1].T) * (1 - np.tanh(y) ** 2)
        dx, d_gamma, d_beta = normalize_batch_backward(run.pre[h], gamma, dy)
        np.testing.assert_allclose(deltas[h], dx, atol=1e-14)
        np.testing.assert_allclose(gradient.gammas[h], d_gamma, atol=1e-14)
        np.testing.assert_allclose(gradient.betas[h], d_beta, atol=1e-14)


# Loss


def test_with_two_classes_the_loss_is_the_logistic_one_of_the_difference():
    z = np.array([[-3.0], [0.2], [800.0]])
    target = np.array([[0.0], [1.0], [1.0]])
    output = np.concatenate([np.zeros_like(z), z], axis=-1)
    labels = target[:, 0].astype(int)
    assert cross_entropy(output, labels) == pytest.approx(CROSS_ENTROPY.value(z, target), rel=1e-14)
    np.testing.assert_allclose(
        d_cross_entropy(output, labels)[:, 1:], CROSS_ENTROPY.gradient(z, target), rtol=1e-12, atol=1e-16
    )


def test_ties_and_what_is_not_a_number_count_by_chance():
    output = np.array([[1.0, 1.0, 0.0], [np.nan, 2.0, 3.0], [0.0, 5.0, 1.0]])
    assert accuracy(output, [0, 0, 1]) == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert accuracy(output, [2, 2, 2]) == pytest.approx((0 + 1 / 3 + 0) / 3)
    stacked = np.stack([output, output])  # labels may differ by network or batch
    np.testing.assert_allclose(accuracy(stacked, [[0, 0, 1], [2, 2, 2]]), [11 / 18, 1 / 9])


# The two modes


def test_evaluation_takes_each_point_by_itself_and_changes_nothing():
    x, _ = data()
    params = network()
    running = recalibrate(params, x)
    before = [s.mean.copy() for s in running] + [s.var.copy() for s in running] + [x.copy()]
    whole = evaluate(params, running, x)
    alone = np.concatenate([evaluate(params, running, x[k : k + 1]) for k in range(len(x))])
    np.testing.assert_allclose(alone, whole, atol=1e-14)
    after = [s.mean for s in running] + [s.var for s in running] + [x]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    hidden = x
    for h in range(2):
        z = hidden @ params.weights[h] + params.biases[h]
        hidden = np.maximum(normalize(z, params.gammas[h], params.betas[h], running[h]), 0)
    np.testing.assert_allclose(whole, hidden @ params.weights[2] + params.biases[2], atol=1e-13)


def test_a_batch_of_one_says_the_same_of_every_point():
    x, labels = data(24)
    params = network()
    run = forward(params, x[:, None, :])  # 24 batches of one
    assert np.ptp(run.output, axis=0).max() == 0
    assert accuracy(run.output, labels[:, None]).mean() == pytest.approx(1 / 3)
    stored = observe(params, start_running(params), x, batch_size=1)
    for stats in stored:
        assert stats.undefined == stats.batches == len(x)
        np.testing.assert_array_equal(stats.var, 1)


@both
def test_without_normalization_both_modes_are_one(normalized):
    x, _ = data()
    params = network(normalized)
    batch, single = forward(params, x).output, evaluate(params, recalibrate(params, x), x)
    assert np.allclose(batch, single, atol=1e-12) != normalized


def test_normalization_undoes_the_scale_of_the_hidden_weights():
    x, _ = data()
    one, ten = (
        forward(init_network(SIZES, normalized=True, init_scale=s), x, eps=0).output for s in (1.0, 10.0)
    )
    np.testing.assert_allclose(one, ten, rtol=1e-10, atol=1e-12)
    raw = [forward(init_network(SIZES, normalized=False, init_scale=s), x).output.std() for s in (1.0, 10.0)]
    assert raw[1] == pytest.approx(100 * raw[0])  # two hidden layers of ReLU


# Stored statistics


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_what_training_stores_is_what_each_layer_would_store_of_the_same_batches(convention):
    x, labels = data()
    steps = 7
    run = train_network(
        x, labels, SIZES, normalized=True, learning_rate=0.2, batch_size=5, steps=steps, convention=convention,
        record=range(steps + 1),
    )  # fmt: skip
    stored = [RunningStats.start(units) for units in SIZES[1:-1]]
    for step in range(steps):
        a = x[batch_rows(labels, step, batch_size=5, seed=0)]
        params = run.snapshots.at(step)
        for h in range(2):
            z = a @ params.weights[h] + params.biases[h]
            y, stored[h] = normalize_batch(
                z, params.gammas[h], params.betas[h], stored[h], eps=1e-5, convention=convention
            )
            a = np.maximum(y, 0)
            for kept, here in ((run.snapshot_running[h].mean, stored[h].mean),
                               (run.snapshot_running[h].var, stored[h].var)):  # fmt: skip
                np.testing.assert_allclose(kept[step + 1], here, rtol=1e-11, atol=1e-13)
    assert same(run.snapshots.at(-1), run.params)


def test_recalibration_on_all_points_gives_the_statistics_of_the_data():
    x, _ = data()
    params = network(seed=[0, 1])
    running = recalibrate(params, x)
    z = x @ params.weights[0] + params.biases[0][:, None, :]
    np.testing.assert_allclose(running[0].mean, z.mean(axis=1), atol=1e-14)
    np.testing.assert_allclose(running[0].var, z.var(axis=1, ddof=1), rtol=1e-12)
    # With them evaluation is training mode, but for N against N − 1.
    scaled = tuple(s._replace(var=s.var * (1 - 1 / len(x))) for s in running)
    np.testing.assert_allclose(evaluate(params, scaled, x), forward(params, x).output, atol=1e-11)


def test_recalibration_in_batches_averages_them():
    x, _ = data(24)
    params = network()
    running = recalibrate(params, x, batch_size=10)  # 10, 10 and 4
    z = x @ params.weights[0] + params.biases[0]
    parts = (z[:10], z[10:20], z[20:])
    np.testing.assert_allclose(running[0].mean, np.mean([p.mean(axis=0) for p in parts], axis=0))
    np.testing.assert_allclose(running[0].var, np.mean([p.var(axis=0, ddof=1) for p in parts], axis=0))


def test_with_weight_1_only_the_last_batch_is_stored():
    x, _ = data(24)
    params = network()
    stored = observe(params, recalibrate(params, x), x, batch_size=8, momentum=1.0)
    last = update_running(start_running(params), forward(params, x[16:]), momentum=1.0)
    for a, b in zip(stored, last, strict=True):
        np.testing.assert_array_equal(a.mean, b.mean)
        np.testing.assert_array_equal(a.var, b.var)


# Training


@both
@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_training_is_gradient_descent_and_a_grid_trains_as_each_network_alone(normalized, mu):
    x, labels = data()
    rates, scales = np.array([[0.05], [0.3]]), np.array([0.5, 2.0])
    shared = {"normalized": normalized, "batch_size": 7, "steps": 6, "sgd_momentum": mu, "activation": "tanh"}
    grid = train_network(x, labels, SIZES, learning_rate=rates, init_scale=scales, **shared)
    assert grid.loss.shape == (6, 2, 2)
    params = init_network(SIZES, normalized=normalized, init_scale=2.0)
    velocity = [np.zeros_like(a) for a in params.arrays]
    for step in range(6):
        rows = batch_rows(labels, step, batch_size=7, seed=0)
        loss, gradient = loss_and_gradient(params, x[rows], labels[rows], "tanh")
        assert loss == pytest.approx(grid.loss[step, 0, 1], rel=1e-10)
        velocity = [mu * v + g for v, g in zip(velocity, gradient.arrays, strict=True)]
        params = params.with_arrays([a - 0.05 * v for a, v in zip(params.arrays, velocity, strict=True)])
    for a, b in zip(grid.params.at((0, 1)).arrays, params.arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_more_steps_extend_a_run_and_a_report_hears_of_it():
    x, labels = data()
    heard = []
    short, long = (
        train_network(x, labels, SIZES, normalized=True, batch_size=5, steps=steps, report_every=3,
                      record=(0, 4), report=lambda *at: heard.append(at))
        for steps in (4, 9)
    )  # fmt: skip
    np.testing.assert_array_equal(short.loss, long.loss[:4])
    assert same(short.params, long.snapshots.at(1))
    assert same(long.snapshots.at(0), init_network(SIZES, normalized=True))
    assert heard == [(0, 4), (3, 4), (4, 4), (0, 9), (3, 9), (6, 9), (9, 9)]
    assert long.diverged_at == -1
    assert long.snapshot_step.tolist() == [0, 4]


def test_a_run_that_overflows_names_its_step_and_leaves_the_others_alone():
    x, labels = data()
    run = train_network(
        x, labels, SIZES, normalized=False, learning_rate=[0.1, 1e300], batch_size=24, steps=5
    )
    assert run.diverged_at[0] == -1
    first = int(run.diverged_at[1])
    assert first > 0
    assert np.isfinite(run.loss[:first, 1]).all()
    assert not np.isfinite(run.loss[first, 1])
    assert np.isfinite(run.loss[:, 0]).all()


def test_normalization_lets_a_large_initial_scale_learn():
    x, labels = draw_arms(60, 3, noise=0.02, rng=stream(0))
    ends = {
        normalized: train_network(x, labels, (2, 12, 12, 3), normalized=normalized, learning_rate=0.3,
                                  init_scale=30.0, batch_size=30, steps=60).loss[-1]
        for normalized in (True, False)
    }  # fmt: skip
    assert ends[True] < 0.6 < ends[False]


@pytest.mark.parametrize("order", ORDERS)
def test_an_epoch_holds_every_point_once(order):
    _, labels = data(10)
    seen = np.concatenate([batch_rows(labels, s, batch_size=4, seed=3, order=order) for s in range(5)])
    for epoch in (seen[:10], seen[10:]):
        assert sorted(epoch) == list(range(10))
        assert (np.diff(labels[epoch]) >= 0).all() == (order == "sorted by class")


# Data and distributions


def test_arms_are_balanced_turned_copies_of_one_another():
    x, labels = draw_arms(12, 4, noise=0.0, rng=stream(0))
    assert np.bincount(labels).tolist() == [3, 3, 3, 3]
    points = x[:, 0] + 1j * x[:, 1]
    np.testing.assert_allclose(points[1::4], points[::4] * 1j, atol=1e-14)
    np.testing.assert_allclose(np.abs(points[::4]), 0.2 + 1.1 * np.array([1, 3, 5]) / 6)


def test_distributions_are_those_of_the_pass():
    x, _ = data()
    params = init_network(SIZES, normalized=True, seed=[0, 1])
    found = distributions(params, x, levels=(0.0, 0.5, 1.0))
    run = forward(params, x)
    assert found.before.shape == found.after.shape == (2, 3, 2)
    np.testing.assert_array_equal(found.before[1, 0], run.pre[1].min(axis=(1, 2)))
    np.testing.assert_array_equal(found.after[0, 2], run.normal[0].max(axis=(1, 2)))
    np.testing.assert_allclose(found.means[0], run.means[0], atol=1e-14)
    np.testing.assert_allclose(found.variances[1], run.variances[1], rtol=1e-12)


def test_moving_and_inner_product_go_over_all_parameters():
    params, other = network(seed=[0, 1]), network(seed=[2, 3])
    flat_a, flat_b = (np.concatenate([a.reshape(2, -1) for a in p.arrays], axis=1) for p in (params, other))
    np.testing.assert_allclose(params.dot(other), (flat_a * flat_b).sum(axis=1))
    moved = params.moved(other, np.array([0.5, -2.0]))
    np.testing.assert_allclose(
        np.concatenate([a.reshape(2, -1) for a in moved.arrays], axis=1),
        flat_a + np.array([[0.5], [-2.0]]) * flat_b,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sizes": (2, 3)}, "sizes"),
        ({"sizes": (2, 4, 1)}, "sizes"),
        ({"sizes": (3, 4, 3)}, "x of shape"),
        ({"sizes": (2, 4, 2)}, "labels"),
        ({"batch_size": 25}, "batch_size"),
        ({"steps": -1}, "steps"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"init_scale": 0.0}, "init_scale"),
        ({"seed": -1}, "seed"),
        ({"record": (9,)}, "record"),
        ({"order": "backward"}, "order"),
        ({"activation": "no such"}, "activation"),
        ({"sgd_momentum": 1.0}, "sgd_momentum"),
        ({"momentum": 2.0}, "momentum"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, named):
    x, labels = data()
    given = {"sizes": SIZES, "normalized": True, "batch_size": 8, "steps": 2} | change
    with pytest.raises(ValueError, match=named):
        train_network(x, labels, **given)
