"""Dropout as a regularizer: the penalty by every mask, gradients by differences, training by a plain loop."""

import itertools
import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.dropout import draw_mask, drop, drop_backward
from core.dropout_training import (
    TASK_INPUTS,
    draw_regression,
    draw_task,
    dropout_penalty,
    dropout_regression,
    first_below,
    loss_and_gradient,
    mask_factors,
    masked_losses,
    participation,
    predict,
    ridge_weights,
    step_cost,
    train_dropout,
)
from core.initializers import INITIALIZERS
from core.network import CROSS_ENTROPY, LOSSES, Params, backward, flatten, forward, init_network, unflatten
from core.optimizers import OPTIMIZERS
from core.streams import stream

RATES = (0.0, 0.1, 0.5, 0.9)
SIZES = (TASK_INPUTS, 5, 4, 1)


# Linear regression


@pytest.fixture(scope="module")
def data():
    return draw_regression(12, twin=0.8, noise=1.0, seed=3)


@pytest.mark.parametrize("p", RATES)
def test_the_penalty_is_what_all_masks_add_on_average(p):
    rng = stream(5)
    x, y, w = rng.standard_normal((2, 3)), rng.standard_normal(2), rng.standard_normal(3)
    mean = 0.0
    for bits in itertools.product((0, 1), repeat=6):
        keep = np.reshape(bits, (2, 3))
        chance = np.prod(np.where(keep, 1 - p, p))
        mean += chance * np.sum((y - (x * keep / (1 - p)) @ w) ** 2)
    assert np.sum((y - x @ w) ** 2) + dropout_penalty(x, w, p) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("p", RATES)
def test_ridge_weights_solve_least_squares_with_rows_for_the_penalty(data, p):
    # The penalty is the squared error of d further points: feature j is √(p/(1−p)·Σx²), the target 0.
    rows = np.diag(np.sqrt(p / (1 - p) * np.sum(data.x**2, axis=0)))
    expected = np.linalg.lstsq(np.vstack([data.x, rows]), np.concatenate([data.y, np.zeros(6)]), rcond=None)[
        0
    ]
    np.testing.assert_allclose(ridge_weights(data.x, data.y, p), expected, rtol=1e-9, atol=1e-12)


def test_ridge_weights_at_the_ends_and_without_correlation(data):
    assert not ridge_weights(data.x, data.y, 1.0).any()
    x = np.linalg.qr(data.x)[0] * [1, 2, 3, 4, 5, 6]
    plain = ridge_weights(x, data.y, 0.0)
    p = np.array([[0.2], [0.7]])
    np.testing.assert_allclose(ridge_weights(x, data.y, p)[:, 0], (1 - p) * plain, rtol=1e-10)
    few = draw_regression(3, twin=0.5, noise=1.0, seed=0)
    shortest = np.linalg.lstsq(few.x, few.y, rcond=None)[0]
    np.testing.assert_allclose(ridge_weights(few.x, few.y, 0.0), shortest, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_measured_losses_have_the_penalized_mean(data, p):
    w = data.truth
    losses = masked_losses(data.x, data.y, w, p, masks=4000, seed=1)
    expected = np.sum((data.y - data.x @ w) ** 2) + dropout_penalty(data.x, w, p)
    assert abs(losses.mean() - expected) < 4 * losses.std(ddof=1) / math.sqrt(4000)
    np.testing.assert_array_equal(losses[:50], masked_losses(data.x, data.y, w, p, masks=50, seed=1))


def test_training_under_masks_ends_at_ridge_weights(data):
    run = dropout_regression(data.x, data.y, [0.2, 0.5, 0.8], seeds=range(40), steps=800, lr=0.1)
    error = run.weights.std(axis=1, ddof=1) / math.sqrt(40)
    off = run.weights.mean(axis=1) - ridge_weights(data.x, data.y, run.p)
    assert (error < 0.1).all()  # or the next line would say nothing
    assert (np.abs(off) < 4.5 * error).all()
    assert (run.diverged_at == -1).all()


def test_without_dropout_training_is_least_squares(data):
    run = dropout_regression(data.x, data.y, 0.0, seeds=[0, 1], steps=3000, lr=0.2)
    np.testing.assert_allclose(run.weights[0, 0], ridge_weights(data.x, data.y, 0.0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(run.weights[0, 0], run.weights[0, 1])


def test_regression_that_diverges_says_when(data):
    run = dropout_regression(data.x, data.y, [0.0, 0.5], seeds=[0], steps=800, lr=1e4)
    assert (run.diverged_at > 0).all()
    assert not np.isfinite(run.weights).any()


@pytest.mark.parametrize("twin", [0.0, 0.9, 1.0])
def test_the_test_error_is_the_mean_over_new_points(twin):
    new = draw_regression(40_000, twin=twin, noise=0.7, seed=8)
    w = np.array([0.5, 1.5, -1.0, 0.0, 0.3, 0.0])
    losses = (new.y - new.x @ w) ** 2
    assert abs(losses.mean() - new.test_error(w)) < 4 * losses.std() / 200
    assert np.corrcoef(new.x[:, 0], new.x[:, 1])[0, 1] == pytest.approx(twin, abs=0.02)


# The task and the masks


def test_more_points_extend_the_task_and_more_noise_flips_further_labels():
    small, large = (draw_task(n, noise=0.2, seeds=[4, 9]) for n in (10, 400))
    for few, many in zip(small, large, strict=True):
        np.testing.assert_array_equal(few, many[:, :10])
    x = large.x
    np.testing.assert_array_equal(large.truth[..., 0], x[..., 0] + x[..., 1] + x[..., 2] * x[..., 3] > 0)
    flipped = [draw_task(400, noise=f, seeds=[4, 9]) for f in (0.0, 0.2, 0.4)]
    wrong = [task.given != task.truth for task in flipped]
    assert not wrong[0].any()
    assert (wrong[1] <= wrong[2]).all()
    for share, found in ((0.2, wrong[1]), (0.4, wrong[2])):
        assert abs(found.mean() - share) < 4 * math.sqrt(share * (1 - share) / found.size)
    assert not np.array_equal(x[0], x[1])
    assert not np.array_equal(x, draw_task(400, noise=0.2, seeds=[4, 9], place=1).x)


@pytest.mark.parametrize("p", [*RATES, 1.0])
def test_factors_are_those_of_drop(p):
    uniforms = stream(2).random((3, 6, 7))
    factors = mask_factors(uniforms, np.array([0.3, p]))[1]
    mask = draw_mask((3, 6, 7), p, stream(2))
    z = stream(3).standard_normal((3, 6, 7))
    np.testing.assert_allclose(z * factors, drop(z, p, mask), rtol=1e-15)
    np.testing.assert_allclose(z * factors, drop_backward(z, p, mask), rtol=1e-15)


# The network


def networks():
    params = init_network(SIZES, INITIALIZERS["He normal"], seed=[0, 1])
    rng = stream(7)
    biases = tuple(b + 0.3 * rng.standard_normal(b.shape) for b in params.biases)
    return Params(params.weights, biases)


@pytest.fixture(scope="module")
def batch():
    task = draw_task(6, noise=0.3, seeds=[0, 1])
    rng = stream(11)
    factors = [mask_factors(rng.random((2, 6, units)), np.array([0.4]))[0] for units in SIZES[1:-1]]
    return task.x, task.given, factors


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_gradient_under_a_mask_is_that_of_differences(batch, loss):
    x, target, factors = batch
    vector = flatten(networks())
    _, gradient = loss_and_gradient(unflatten(vector, SIZES), x, target, loss, factors)
    h, measured = 1e-6, np.empty_like(vector)
    for k in range(vector.shape[-1]):
        up, down = vector.copy(), vector.copy()
        up[:, k] += h
        down[:, k] -= h
        ends = [loss_and_gradient(unflatten(v, SIZES), x, target, loss, factors)[0] for v in (up, down)]
        measured[:, k] = (ends[0] - ends[1]) / (2 * h)
    assert np.abs(measured).max() > 0.05
    np.testing.assert_allclose(flatten(gradient), measured, rtol=0, atol=1e-8)


def test_a_dropped_unit_learns_nothing(batch):
    x, target, factors = batch
    factors = [factors[0].copy(), factors[1]]
    factors[0][..., 2] = 0
    _, gradient = loss_and_gradient(networks(), x, target, factors=factors)
    assert not gradient.weights[0][..., 2].any()
    assert not gradient.weights[1][..., 2, :].any()
    assert gradient.weights[0][..., 0].any()


def test_without_masks_it_is_the_network_of_the_other_pages(batch):
    x, target, _ = batch
    params, relu = networks(), ACTIVATIONS["ReLU"]
    run = forward(params, x, relu)
    expected = backward(params, run, CROSS_ENTROPY.gradient(run.output, target), relu).gradient
    value, gradient = loss_and_gradient(params, x, target)
    np.testing.assert_allclose(value, CROSS_ENTROPY.value(run.output, target), rtol=1e-14)
    np.testing.assert_allclose(flatten(gradient), flatten(expected), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(predict(params, x), run.output)


# Training

SEEDS, COUNTS, STEPS = (3, 8), (5, 20), 12


@pytest.fixture(scope="module")
def trained():
    task, test = draw_task(20, noise=0.2, seeds=SEEDS), draw_task(50, noise=0.0, seeds=SEEDS, place=1)

    def run(**given):
        settings = {"seeds": SEEDS, "points": COUNTS, "steps": STEPS, "batch_size": 6, "p": (0.0, 0.5, 1.0)}
        settings |= given
        sizes, p = settings.pop("sizes", SIZES), settings.pop("p")
        return train_dropout(task.x, task.given, sizes, p, test=(test.x, test.truth), **settings)

    return run, task, test


def plain_loop(task, test, seed, n, p):
    """Train one network by the functions of ``core.dropout``, one after the other."""
    s = SEEDS.index(seed)
    vector = flatten(init_network(SIZES, INITIALIZERS["He normal"], seed=seed))
    rule = OPTIMIZERS["Adam"].build(lr=0.01)
    state = rule.init(vector)
    for step in range(STEPS):
        (w1, w2, w3), (b1, b2, b3) = (lambda q: (q.weights, q.biases))(unflatten(vector, SIZES))
        rows = (stream(seed, 1, step).random(6) * n).astype(int)
        x, t = task.x[s, rows], task.given[s, rows]
        m1, m2 = (draw_mask((6, u), p, stream(seed, 2, step, l)) for l, u in ((1, SIZES[1]), (2, SIZES[2])))
        z1 = x @ w1 + b1
        a1 = drop(np.maximum(z1, 0), p, m1)
        z2 = a1 @ w2 + b2
        a2 = drop(np.maximum(z2, 0), p, m2)
        top = (1 / (1 + np.exp(-(a2 @ w3 + b3))) - t) / 6
        d2 = drop_backward(top @ w3.T, p, m2) * (z2 > 0)
        d1 = drop_backward(d2 @ w2.T, p, m1) * (z1 > 0)
        parts = [x.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0), a2.T @ top, top.sum(0)]
        move, state = rule.update(np.concatenate([part.ravel() for part in parts]), state, vector)
        vector = vector + move
    params = unflatten(vector, SIZES)
    return params, predict(params, test.x[s])


@pytest.mark.parametrize(("k", "j", "s"), [(0, 0, 0), (1, 1, 1), (0, 1, 0), (1, 2, 1)])
def test_training_many_is_training_each(trained, k, j, s):
    run, task, test = trained
    result = run()
    params, output = plain_loop(task, test, SEEDS[s], COUNTS[k], float(result.p[j]))
    np.testing.assert_allclose(flatten(result.params.at((k, j, s))), flatten(params), rtol=1e-9, atol=1e-12)
    error = np.mean((output > 0) != (test.truth[s] == 1))
    assert result.test_error[-1, k, j, s] == pytest.approx(error)
    shown, labels = predict(params, task.x[s, : COUNTS[k]]), task.given[s, : COUNTS[k]]
    assert result.train_error[-1, k, j, s] == pytest.approx(np.mean((shown > 0) != (labels == 1)))
    assert result.train_loss[-1, k, j, s] == pytest.approx(np.mean(np.logaddexp(0, shown) - labels * shown))


def test_more_steps_extend_a_run_and_seeds_do_not_meet(trained):
    run, _, _ = trained
    whole = run(record=range(STEPS + 1))
    part = run(steps=5, record=(0, 5))
    np.testing.assert_array_equal(whole.test_loss[[0, 5]], part.test_loss)
    alone = run(p=0.5, points=(20,))
    np.testing.assert_allclose(alone.test_loss[0, 0, 0], whole.test_loss[-1, 1, 1], rtol=1e-10)
    assert (whole.test_loss[0, 0] == whole.test_loss[0, 1]).all()  # nothing learned yet
    assert (whole.test_loss[-1, :, 0] != whole.test_loss[-1, :, 1]).all()


def test_at_p_one_only_the_last_bias_learns(trained):
    run, _, _ = trained
    end, start = run(p=1.0), run(p=1.0, steps=0)
    for one, other in zip(end.params.weights, start.params.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (end.params.biases[-1] != 0).all()
    assert not end.params.biases[0].any()


def test_float32_stays_float32(trained):
    _, task, test = trained
    given = {"seeds": SEEDS, "test": (test.x, test.truth), "steps": 5}
    single = train_dropout(task.x.astype(np.float32), task.given, SIZES, 0.5, **given)
    double = train_dropout(task.x, task.given, SIZES, 0.5, **given)
    assert {w.dtype for w in single.params.weights} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single.test_loss, double.test_loss, rtol=1e-4)


def test_a_run_that_diverges_says_when(trained):
    run, _, _ = trained
    given = {"optimizer": OPTIMIZERS["GD"], "loss": LOSSES["squared error"], "lr": 1e60, "steps": 40}
    result = run(p=0.0, record=(0, 40), **given)
    assert (result.diverged_at > 0).all()
    assert (result.diverged_at < 40).all()
    assert np.isfinite(result.train_loss[0]).all()
    first = int(result.diverged_at.min())
    assert (run(p=0.0, **given | {"steps": first}).diverged_at == -1).all()


def test_progress_is_reported_to_the_end(trained):
    run, _, _ = trained
    seen = []
    run(report=lambda step, steps: seen.append((step, steps)))
    assert seen == [(0, 12), (10, 12), (12, 12)]


# Measures


def test_first_below_and_participation_by_hand():
    curve = np.array([[3.0, 3.0], [2.0, 1.0], [2.5, 0.5]])
    np.testing.assert_array_equal(first_below(np.array([0, 10, 20]), curve, 2.0), [10, 10])
    np.testing.assert_array_equal(first_below(np.array([0, 10, 20]), curve, 1.0), [math.nan, 10])
    np.testing.assert_allclose(participation([[1, -1, 1, -1], [0, 5, 0, 0], [1, 3, 0, 0]]), [1, 0.25, 0.4])
    assert math.isnan(participation([0.0, 0.0]))


def test_the_cost_has_all_its_parts():
    cost = step_cost(4, 0.5, batch_size=2, rounds=2, repeats=2)
    assert min(cost) > 0


# Refusals

SMALL = {"noise": 0.0, "seeds": [0]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_regression(0, twin=0.5, noise=1, seed=0), "n = 0"),
        (lambda: draw_regression(5, twin=1.5, noise=1, seed=0), "twin = 1.5"),
        (lambda: draw_regression(5, twin=0.5, noise=-1, seed=0), "noise = -1"),
        (lambda: draw_regression(5, [1.0], twin=0.5, noise=1, seed=0), "truth"),
        (lambda: dropout_penalty(np.ones((2, 2)), np.ones(2), 1.0), "p_drop = 1.0"),
        (lambda: ridge_weights(np.ones((2, 2)), np.ones(2), 1.5), "p_drop"),
        (lambda: dropout_regression(np.ones((2, 2)), np.ones(2), 1.0, seeds=[0]), "p_drop"),
        (lambda: dropout_regression(np.ones((2, 2)), np.ones(2), 0.5, seeds=[]), "seeds"),
        (lambda: dropout_regression(np.ones((2, 2)), np.ones(2), 0.5, seeds=[0], lr=0), "lr = 0"),
        (lambda: draw_task(3, noise=0.6, seeds=[0]), "noise = 0.6"),
        (lambda: draw_task(3, noise=0.1, seeds=[-1]), "seed = -1"),
        (lambda: small_run(p=2.0), "p_drop"),
        (lambda: small_run(sizes=(TASK_INPUTS, 3)), "sizes"),
        (lambda: small_run(sizes=(4, 3, 1)), "x of shape"),
        (lambda: small_run(points=[9]), "points = 9"),
        (lambda: small_run(record=[30]), "record"),
        (lambda: small_run(labels=0.5), "y of shape"),
    ],
)
def test_what_is_out_of_range_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def small_run(p=0.5, sizes=(TASK_INPUTS, 3, 1), labels=None, **given):
    task = draw_task(4, **SMALL)
    y = task.given if labels is None else np.full_like(task.given, labels)
    return train_dropout(task.x, y, sizes, p, seeds=[0], test=(task.x, task.truth), steps=2, **given)
