"""Dropout as an ensemble: enumeration against brute force, Monte Carlo and theory against enumeration."""

import itertools
import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.dropout_ensemble import (
    CLASSES,
    SMALL_NETS,
    all_masks,
    backward_dropout,
    class_logits,
    distinct_so_far,
    draw_indices,
    dropout_passes,
    effective_masks,
    enumerate_ensemble,
    expected_distinct,
    forward_dropout,
    kept_probability,
    mask_probability,
    one_layer_sd,
    predict_scaled,
    regression_rates,
    train_dropout,
)
from core.initializers import INITIALIZERS
from core.network import Params, flatten, forward, init_network, unflatten
from core.optimizers import OPTIMIZERS
from core.streams import stream

HE, RELU, TANH = INITIALIZERS["He normal"], ACTIVATIONS["ReLU"], ACTIVATIONS["tanh"]
every_net = pytest.mark.parametrize("net", SMALL_NETS)
RATES = (0.0, 0.1, 0.5, 0.8, 1.0)


# Masks


@pytest.mark.parametrize("units", [1, 3, 6])
def test_all_masks_are_all_and_have_the_probability_of_independent_units(units):
    masks = all_masks(units)
    assert {tuple(row) for row in masks.tolist()} == set(itertools.product((False, True), repeat=units))
    assert not masks[0].any()
    assert masks[-1].all()
    for p in RATES:
        expected = [math.prod((1 - p) if kept else p for kept in row) for row in masks.tolist()]
        np.testing.assert_allclose(mask_probability(masks, p), expected, rtol=1e-14)
        kept = masks.sum(axis=1)
        counted = [mask_probability(masks, p)[kept == k].sum() for k in range(units + 1)]
        np.testing.assert_allclose(kept_probability(units, p), counted, rtol=1e-12, atol=1e-15)
        assert kept_probability(units, p)[0] == pytest.approx(p**units)
        assert kept_probability(24, p).sum() == pytest.approx(1)


def test_effective_masks_count_all_of_them_at_one_half_alone():
    np.testing.assert_allclose(effective_masks(6, [0.5, 0.2, 0.1]), [64, 20.1, 7.0], rtol=5e-3)
    np.testing.assert_allclose(effective_masks(9, [0.0, 1.0]), 1)
    grid = np.linspace(0, 1, 101)
    assert grid[effective_masks(5, grid).argmax()] == 0.5
    for p in (0.2, 0.7):  # the definition, over the masks themselves
        q = mask_probability(all_masks(5), p)
        assert effective_masks(5, p) == pytest.approx(2 ** -(q @ np.log2(q)))


@pytest.mark.parametrize("p", RATES)
def test_distinct_masks_are_as_many_as_expected(p):
    draws = np.array([0, 1, 2, 7, 40, 1000])
    q = mask_probability(all_masks(4), p)
    brute = [float((1 - (1 - q) ** t).sum()) for t in draws]
    np.testing.assert_allclose(expected_distinct(4, p, draws), brute, rtol=1e-10)
    if p == 0.5:
        np.testing.assert_allclose(expected_distinct(4, p, draws), 16 * (1 - (15 / 16) ** draws), rtol=1e-12)
    drawn = distinct_so_far(draw_indices(4, p, samples=40, runs=150, seed=1))
    error = drawn[:, -1].std(ddof=1) / math.sqrt(150)
    assert abs(drawn[:, -1].mean() - expected_distinct(4, p, 40)) <= 4 * error + 1e-9


def test_drawn_masks_extend_and_are_counted_one_by_one():
    drawn = draw_indices(6, 0.3, samples=50, runs=3, seed=2)
    assert np.array_equal(drawn[:2, :20], draw_indices(6, 0.3, samples=20, runs=2, seed=2))
    assert np.array_equal(drawn & 0b111, draw_indices(3, 0.3, samples=50, runs=3, seed=2))
    fewer = draw_indices(6, 0.6, samples=50, runs=3, seed=2)
    assert np.array_equal(fewer & drawn, fewer)  # what a larger p keeps, a smaller one keeps too
    expected = [[len(set(row[: t + 1])) for t in range(50)] for row in drawn.tolist()]
    assert distinct_so_far(drawn).tolist() == expected


# All networks


@every_net
@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("units", [1, 7])
def test_the_averages_are_those_of_every_masked_net(net, p, units):
    found = enumerate_ensemble(net, units=units, p=p, seed=3)
    values = np.abs([stream(3, 0, i).standard_normal() for i in range(units)])

    def softmax(units_left):
        e = np.exp(class_logits(net, np.asarray(units_left), of=units, seed=3))
        return e / e.sum()

    order = np.argsort(-softmax(values))
    arithmetic, logs = np.zeros(CLASSES), np.zeros(CLASSES)
    for row in itertools.product((0, 1), repeat=units):
        q = math.prod((1 - p) if kept else p for kept in row)
        if q:
            out = softmax([v * kept / (1 - p) if kept else 0.0 for v, kept in zip(values, row, strict=True)])
            arithmetic += q * out
            logs += q * np.log(out)
    np.testing.assert_allclose(found.arithmetic, arithmetic[order], rtol=1e-10)
    np.testing.assert_allclose(found.geometric, (np.exp(logs) / np.exp(logs).sum())[order], rtol=1e-10)
    np.testing.assert_allclose(found.scaled, softmax(values)[order], rtol=1e-10)
    assert (np.diff(found.scaled) <= 0).all()


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("units", [1, 5, 12])
def test_the_geometric_mean_is_weight_scaling_for_a_softmax_layer_alone(p, units):
    for net, rule in SMALL_NETS.items():
        found = enumerate_ensemble(net, units=units, p=p, seed=1)
        apart = np.abs(found.geometric - found.scaled).max()
        if rule.activation is None or p == 0:
            assert apart < 1e-12
        elif units > 1:
            assert apart > 1e-3
        if p > 0 and units > 1:
            assert np.abs(found.arithmetic - found.scaled).max() > 1e-4


@every_net
def test_monte_carlo_tends_to_the_arithmetic_mean(net):
    found = enumerate_ensemble(net, units=5, p=0.4, seed=0)
    samples = found.output[draw_indices(5, 0.4, samples=500, runs=200, seed=0)]
    means = samples.mean(axis=1)
    assert (np.abs(means.mean(axis=0) - found.arithmetic) < 4 * found.sd / math.sqrt(100_000)).all()
    spread = np.sqrt(((means - found.arithmetic) ** 2).mean(axis=0))
    np.testing.assert_allclose(spread, found.sd / math.sqrt(500), rtol=4 / math.sqrt(400))  # theory: sd/√T


# Which p is best


@pytest.mark.parametrize(("each", "best"), [(1, 0.8), (4, 0.5), (36, 0.1)])
def test_the_error_follows_the_bias_and_variance_of_a_shrunken_estimate(each, best):
    grid = np.linspace(0, 0.95, 20)
    found = regression_rates(grid, units=5, examples=5 * each, noise=2.0, sets=200, seed=1)
    assert found.theory_best == pytest.approx(best)
    fine = regression_rates(np.linspace(0, 0.99, 100), units=1, examples=each, noise=2.0, sets=2)
    assert fine.p[fine.theory.argmin()] == pytest.approx(best)
    assert found.theory[0] == pytest.approx(5 * 4 / (5 * each))  # least squares: n·noise²/examples
    assert (np.abs(found.error - found.theory) < 4 * found.standard_error).all()
    assert abs(found.p[found.error.argmin()] - best) < 0.11


def test_training_under_all_masks_shrinks_least_squares_by_p_keep():
    # The same data by hand: orthogonal inputs, so that dropout multiplies the least-squares weights by 1 − p.
    rng = stream(4, 3, 12)
    truth = rng.standard_normal(3)
    truth /= np.linalg.norm(truth)
    x = np.linalg.qr(rng.standard_normal((12, 3)))[0] * math.sqrt(12)
    errors = []
    for noise in rng.standard_normal((5, 12)):
        ols = np.linalg.lstsq(x, x @ truth + 1.5 * noise, rcond=None)[0]
        errors.append([((1 - p) * ols - truth) @ ((1 - p) * ols - truth) for p in (0.0, 0.3, 0.7)])
    found = regression_rates((0.0, 0.3, 0.7), units=3, examples=12, noise=1.5, sets=5, seed=4)
    np.testing.assert_allclose(found.error, np.mean(errors, axis=0), rtol=1e-10)


# MC dropout


def fixed_masks(p, hidden, n, seed):
    rng = np.random.default_rng(seed)
    return [[rng.random((n, units)) >= rate for rate in p] for units in hidden]


@pytest.mark.parametrize("hidden", [(4,), (3, 5)])
def test_the_gradient_goes_through_the_same_masks(hidden):
    p, x = (0.0, 0.4), np.linspace(-1, 1, 6)[:, None]
    sizes = (1, *hidden, 1)
    vector = flatten(init_network(sizes, HE, seed=[1, 2], bias=0.1))
    masks = fixed_masks(p, hidden, 6, 0)
    top = np.random.default_rng(1).standard_normal((2, 6, 1))

    def value(v):
        return (forward_dropout(unflatten(v, sizes), x, p, masks, TANH)[0] * top).sum(axis=(-2, -1))

    params = unflatten(vector, sizes)
    _, pre, seen = forward_dropout(params, x, p, masks, TANH)
    gradient = flatten(backward_dropout(params, pre, seen, top, p, masks, TANH))
    for i in range(vector.shape[-1]):
        step = np.zeros(vector.shape[-1])
        step[i] = 1e-6
        np.testing.assert_allclose(
            gradient[:, i], (value(vector + step) - value(vector - step)) / 2e-6, atol=1e-7
        )


def test_weight_scaling_and_training_without_dropout_are_the_plain_network():
    x = np.linspace(-2, 2, 9)
    params = init_network((1, 6, 4, 1), HE, seed=0, bias=0.2)
    plain = forward(params, x[:, None], RELU).output[:, 0]
    for p in (0.0, 0.6):
        np.testing.assert_allclose(predict_scaled(params, x, p, RELU), plain, rtol=1e-13)
    passes = dropout_passes(params, x, 0.0, samples=3, activation=RELU)
    np.testing.assert_allclose(passes, np.tile(plain, (3, 1)), rtol=1e-12)
    masks = fixed_masks((0.0,), (6, 4), 9, 0)
    one = Params(tuple(w[None] for w in params.weights), tuple(b[None] for b in params.biases))
    np.testing.assert_allclose(forward_dropout(one, x[:, None], (0.0,), masks, RELU)[0][0, :, 0], plain)


def test_the_sd_of_one_layer_is_that_over_all_its_masks():
    params = init_network((1, 6, 1), HE, seed=3, bias=0.3)
    x = np.linspace(-2, 2, 7)
    h = RELU.f(x[:, None] @ params.weights[0] + params.biases[0])
    masks = all_masks(6)
    for p in (0.0, 0.3, 0.8):
        outputs = (h[None] * masks[:, None] / (1 - p)) @ params.weights[1][:, 0]
        q = mask_probability(masks, p)
        sd = np.sqrt(q @ (outputs - q @ outputs) ** 2)
        np.testing.assert_allclose(one_layer_sd(params, x, p, RELU), sd, rtol=1e-10, atol=1e-12)
    passes = dropout_passes(params, x, 0.3, samples=4000, activation=RELU, seed=1)
    np.testing.assert_allclose(passes.std(axis=0), one_layer_sd(params, x, 0.3, RELU), rtol=0.06)
    assert np.array_equal(passes[:70], dropout_passes(params, x, 0.3, samples=70, activation=RELU, seed=1))
    with pytest.raises(ValueError, match="one hidden layer"):
        one_layer_sd(init_network((1, 2, 2, 1), HE, seed=0), x, 0.3, RELU)


def training(p, steps=30, rule=None, hidden=(8, 8), **more):
    x = np.linspace(-1, 1, 12)
    rule = rule or OPTIMIZERS["Adam"].build(lr=0.02)
    return train_dropout(
        x, np.sin(3 * x), hidden, p=p, activation=RELU, initializer=HE, rule=rule, steps=steps, **more
    )


def test_networks_trained_together_are_those_trained_alone_and_more_steps_extend_them():
    both = training((0.1, 0.5), seed=2)
    for k, p in enumerate((0.1, 0.5)):
        alone = training((p,), seed=2)
        np.testing.assert_allclose(alone.loss[:, 0], both.loss[:, k], rtol=1e-9)
        np.testing.assert_allclose(flatten(alone.params.at(0)), flatten(both.params.at(k)), rtol=1e-7)
    assert np.array_equal(training((0.1, 0.5), steps=10, seed=2).loss, both.loss[:10])
    assert (both.diverged_at == -1).all()
    dry = training((0.0,), steps=200)
    assert dry.loss[-1, 0] < 0.1 * dry.loss[0, 0]


def test_everything_dropped_leaves_the_bias_of_the_output():
    run = training((1.0,), steps=20)
    passes = dropout_passes(run.params.at(0), [-1.0, 2.0], 1.0, samples=2, activation=RELU)
    np.testing.assert_array_equal(passes, np.full((2, 2), run.params.biases[-1][0, 0]))


def test_divergence_is_told_with_its_step():
    run = training((0.0, 0.5), steps=60, rule=OPTIMIZERS["GD"].build(lr=np.array([0.01, 1e4])))
    assert run.diverged_at[0] == -1
    step = int(run.diverged_at[1])
    assert 0 < step < 59
    assert np.isfinite(run.loss[:step, 1]).all()


def test_progress_ends_with_the_last_step():
    heard = []
    training((0.5,), steps=30, report=lambda step, steps: heard.append((step, steps)))
    assert heard == [(1, 30), (26, 30), (30, 30)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: all_masks(13),
        lambda: all_masks(0),
        lambda: mask_probability(all_masks(2), 1.1),
        lambda: effective_masks(3, [-0.1]),
        lambda: enumerate_ensemble("softmax", units=3),
        lambda: draw_indices(3, 0.5, samples=0, runs=1, seed=0),
        lambda: regression_rates([1.0], units=2, examples=4, noise=1.0),
        lambda: regression_rates([0.5], units=4, examples=3, noise=1.0),
        lambda: training((1.5,)),
        lambda: training((0.5,), steps=0),
    ],
)
def test_values_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="need"):
        call()
