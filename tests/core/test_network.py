import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.network import (
    LOSSES,
    SWEEP_RATES,
    Params,
    backward,
    dead_units,
    decision_grid,
    flatten,
    forward,
    init_network,
    learning_rate_sweep,
    never_positive_theory,
    train,
    unflatten,
)
from core.optimizers import OPTIMIZERS
from core.streams import stream
from tests.golden import network as golden_inputs

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "network.npz")
RELU, LEAKY, GELU, IDENTITY, TANH = (
    ACTIVATIONS[name] for name in ("ReLU", "leaky ReLU", "GELU", "identity", "tanh")
)
HE = INITIALIZERS["He normal"]
CROSS_ENTROPY, SQUARED = LOSSES["cross-entropy"], LOSSES["squared error"]
MEASURES = (
    "step",
    "loss",
    "accuracy",
    "dead",
    "dead_on_batch",
    "asleep",
    "never_positive",
    "died",
    "revived",
)

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def gd(lr):
    return OPTIMIZERS["GD"].build(lr=lr)


def circles(n=40):
    return DATASETS["circles"].draw(n, 0.1, stream(0, 0))


def small(seed=0, bias=0.0):
    return init_network((2, 6, 5, 1), HE, seed=seed, bias=bias)


def run_small(params=None, x=None, target=None, **changes):
    points, label = circles()
    arguments = {"activation": RELU, "rule": gd(0.3), "steps": 12} | changes
    return train(
        small() if params is None else params,
        points if x is None else x,
        label if target is None else target,
        **arguments,
    )


def assert_same_run(a, b, rtol=0.0):
    for name in MEASURES:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, err_msg=name)
    np.testing.assert_allclose(flatten(a.final), flatten(b.final), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(flatten(a.snapshots), flatten(b.snapshots), rtol=rtol, atol=rtol)


# Losses


def test_cross_entropy_at_every_size_of_logit():
    for z, loss, slope in [
        (0.0, math.log(2), -0.5),
        (50.0, math.exp(-50), -math.exp(-50)),
        (-3.0, math.log1p(math.exp(3)), -1 / (1 + math.exp(-3))),
        (1000.0, 0.0, 0.0),
        (-1000.0, 1000.0, -1.0),
        (-1e308, 1e308, -1.0),
    ]:
        for sign, target in ((1, 1.0), (-1, 0.0)):  # the loss of class 0 is the mirror image
            output, t = np.array([[sign * z]]), np.array([[target]])
            assert CROSS_ENTROPY.value(output, t) == pytest.approx(loss, rel=1e-15, abs=0)
            assert CROSS_ENTROPY.gradient(output, t)[0, 0] == pytest.approx(sign * slope, rel=1e-15, abs=0)


def test_soft_targets_of_cross_entropy():
    z, t = 0.7, 0.3
    sigma = 1 / (1 + math.exp(-z))
    output, target = np.array([[z]]), np.array([[t]])
    expected = -t * math.log(sigma) - (1 - t) * math.log(1 - sigma)
    assert CROSS_ENTROPY.value(output, target) == pytest.approx(expected, rel=1e-14)
    assert CROSS_ENTROPY.gradient(output, target)[0, 0] == pytest.approx(sigma - t, rel=1e-14)


@every_loss
@pytest.mark.parametrize("z", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_an_overflowed_output_has_no_finite_loss(loss, z, target):
    assert not np.isfinite(LOSSES[loss].value(np.array([[z]]), np.array([[target]])))


@every_loss
def test_losses_average_over_points_and_outputs(loss):
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(3, 4, 2)), rng.integers(0, 2, (3, 4, 2)).astype(float)
    one = LOSSES[loss]
    each = [[[one.value(z[None, None], t[None, None]) for z, t in zip(zs, ts, strict=True)]
             for zs, ts in zip(zz, tt, strict=True)] for zz, tt in zip(output, target, strict=True)]  # fmt: skip
    np.testing.assert_allclose(one.value(output, target), np.mean(each, axis=(1, 2)), rtol=1e-14)


@every_loss
def test_the_key_is_the_name(loss):
    assert LOSSES[loss].name == loss


# Forward and backward


def golden_start(loss):
    layers = range(1, len(golden_inputs.SIZES[loss]))
    return Params(*(tuple(GOLDEN[f"{loss}; {kind}{l}"] for l in layers) for kind in "Wb"))


def golden_knobs(name):
    return {"slope": golden_inputs.LEAKY_SLOPE} if name == "leaky ReLU" else None


@every_loss
@pytest.mark.parametrize("name", golden_inputs.ACTIVATIONS)
def test_outputs_losses_and_gradients_equal_autograd(loss, name):
    params, knobs, one = golden_start(loss), golden_knobs(name), LOSSES[loss]
    x, target = GOLDEN[f"{loss}; x"], GOLDEN[f"{loss}; target"]
    run = forward(params, x, ACTIVATIONS[name], knobs)
    key = f"{loss}; {name}"
    close = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(run.output, GOLDEN[f"{key}; output"], **close)
    np.testing.assert_allclose(one.value(run.output, target), GOLDEN[f"{key}; loss"], **close)
    gradient = backward(params, run, one.gradient(run.output, target), ACTIVATIONS[name], knobs).gradient
    for l, (weight, bias) in enumerate(zip(gradient.weights, gradient.biases, strict=True), start=1):
        np.testing.assert_allclose(weight, GOLDEN[f"{key}; dW{l}"], **close)
        np.testing.assert_allclose(bias, GOLDEN[f"{key}; db{l}"], **close)


@every_loss
@pytest.mark.parametrize("name", golden_inputs.TRAINED)
@pytest.mark.parametrize("rule", golden_inputs.OPTIMIZERS)
def test_twenty_steps_equal_the_optimizers_of_pytorch(loss, name, rule):
    run = train(
        golden_start(loss),
        GOLDEN[f"{loss}; x"],
        GOLDEN[f"{loss}; target"],
        activation=ACTIVATIONS[name],
        rule=OPTIMIZERS[rule].build(**golden_inputs.OPTIMIZERS[rule]),
        loss=LOSSES[loss],
        steps=golden_inputs.STEPS,
        snapshots=range(golden_inputs.STEPS + 1),
    )
    key = f"{loss}; {name}; {rule}"
    np.testing.assert_allclose(flatten(run.snapshots), GOLDEN[f"{key}; path"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(run.loss, GOLDEN[f"{key}; losses"], rtol=1e-10, atol=1e-10)
    assert run.loss[-1] < 0.9 * run.loss[0]


@every_activation
@every_loss
def test_gradients_equal_finite_differences(name, loss):
    rng = np.random.default_rng(7)
    activation, one = ACTIVATIONS[name], LOSSES[loss]
    sizes = (3, 5, 4, 2)
    vector = rng.normal(0, 0.7, sum((m + 1) * n for m, n in pairwise(sizes)))
    x, target = rng.normal(size=(6, 3)), rng.integers(0, 2, (6, 2)).astype(float)
    # All the neighbors are networks on one leading axis.
    h = 1e-6
    shifts = h * np.eye(vector.size)
    neighbors = unflatten(np.stack([vector + shifts, vector - shifts]), sizes)
    up, down = one.value(forward(neighbors, x, activation).output, target)
    params = unflatten(vector, sizes)
    run = forward(params, x, activation)
    back = backward(params, run, one.gradient(run.output, target), activation)
    np.testing.assert_allclose(flatten(back.gradient), (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


def test_gradients_by_pre_activation_equal_finite_differences():
    params, x = small(), circles(5)[0]
    t = np.array([[0.0], [1.0], [1.0], [0.0], [1.0]])
    run = forward(params, x, TANH)
    back = backward(params, run, SQUARED.gradient(run.output, t), TANH)
    assert [d.shape for d in back.deltas] == [(5, 6), (5, 5), (5, 1)]
    h = 1e-6
    z = run.pre[1]
    for point, unit in np.ndindex(z.shape):
        bump = np.zeros_like(z)
        bump[point, unit] = h
        losses = [
            SQUARED.value(np.tanh(z + side * bump) @ params.weights[2] + params.biases[2], t)
            for side in (1, -1)
        ]
        assert back.deltas[1][point, unit] == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-9)


def test_knobs_reach_the_slopes_as_well_and_may_differ_between_networks():
    params, (x, label) = small(), circles()
    slopes = np.array([0.01, 0.3, -0.5])
    together = run_small(activation=LEAKY, knobs={"slope": slopes[:, None, None]})
    assert together.loss.shape == (13, 3)
    for i, slope in enumerate(slopes):
        alone = train(
            params, x, label, activation=LEAKY, rule=gd(0.3), steps=12, knobs={"slope": float(slope)}
        )
        np.testing.assert_allclose(together.loss[:, i], alone.loss, rtol=1e-11)


def test_a_vector_holds_the_parameters_in_order_and_reads_back():
    params = Params(
        (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[7.0], [8.0]])),
        (np.array([5.0, 6.0]), np.array([9.0])),
    )
    np.testing.assert_array_equal(flatten(params), np.arange(1.0, 10.0))
    back = unflatten(np.arange(1.0, 10.0), (2, 2, 1))
    for a, b in zip((*params.weights, *params.biases), (*back.weights, *back.biases), strict=True):
        np.testing.assert_array_equal(a, b)
    assert params.sizes == back.sizes == (2, 2, 1)
    with pytest.raises(ValueError, match="vector of length 8"):
        unflatten(np.zeros(8), (2, 2, 1))


# Start


@pytest.mark.parametrize("scheme", INITIALIZERS)
def test_networks_of_a_list_of_seeds_are_those_of_each_seed(scheme):
    initializer = INITIALIZERS[scheme]
    together = init_network((2, 7, 3), initializer, seed=[4, 1, 9])
    assert together.weights[0].shape == (3, 2, 7)
    for i, seed in enumerate((4, 1, 9)):
        alone = init_network((2, 7, 3), initializer, seed=seed)
        np.testing.assert_array_equal(flatten(together.at(i)), flatten(alone))


def test_weights_have_the_spread_of_the_initializer_and_layers_differ():
    params = init_network((50, 60, 50, 60), HE, seed=2)
    for weight in params.weights:
        assert np.std(weight) == pytest.approx(HE.std(*weight.shape), rel=5 / math.sqrt(2 * 3000))
    first, _, third = (w.ravel() / np.std(w) for w in params.weights)
    assert abs(np.mean(first * third)) < 5 / math.sqrt(3000)


def test_a_deeper_network_begins_with_the_same_layers():
    shallow, deep = (init_network((2, *[5] * depth, 1), HE, seed=3) for depth in (2, 4))
    for a, b in zip(shallow.weights[:2], deep.weights[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_bias_is_that_of_the_hidden_units_and_may_be_a_grid():
    params = init_network((2, 4, 3, 1), HE, seed=[0, 1], bias=np.array([[0.0], [-1.0], [2.0]]))
    for bias in params.biases[:2]:
        assert bias.shape[:2] == (3, 2)
        np.testing.assert_array_equal(bias[1], -1.0)
        np.testing.assert_array_equal(bias[2], 2.0)
    np.testing.assert_array_equal(params.biases[2], np.zeros((3, 2, 1)))
    for weight in params.weights:
        np.testing.assert_array_equal(weight[0], weight[2])


# Dead units


def test_a_hand_made_layer_with_one_dead_unit_in_four():
    params = Params(
        (np.array([[1.0, -1.0, 0.0, 1.0]]), np.ones((4, 1))), (np.array([0.0, 0.0, 0.0, 1.5]), np.zeros(1))
    )
    x = np.array([[-1.0], [0.0], [1.0]])
    # z: x, −x, 0 (dead: the slope at the kink is 0) and x + 1.5.
    (dead,) = dead_units(params, x, RELU)
    np.testing.assert_array_equal(dead, [False, False, True, False])
    run = train(params, x, np.zeros(3), activation=RELU, rule=gd(0.1), steps=0)
    assert run.dead[0, 0] == 1 / 4
    assert run.asleep[0, 0] == (2 + 2 + 3 + 0) / 12
    assert run.never_positive[0, 0] == 1 / 4
    (dead,) = dead_units(params, x[:2], RELU)
    np.testing.assert_array_equal(dead, [True, False, True, False])


@pytest.mark.parametrize(
    ("name", "bias", "expected"),
    [
        ("ReLU", -100.0, [1, 1]),
        ("ReLU", 100.0, [0, 0]),
        ("hard tanh", -100.0, [1, 1]),
        ("hard tanh", 100.0, [1, 1]),
        ("ReLU6", 100.0, [1, 1]),
        ("squared ReLU", -100.0, [1, 1]),
        ("leaky ReLU", -100.0, [0, 0]),
        ("PReLU", -100.0, [0, 0]),
        ("ELU", -100.0, [0, 0]),
        ("tanh", -100.0, [0, 0]),
        ("softsign", -100.0, [0, 0]),
        ("step", 0.0, [1, 1]),
        ("identity", -100.0, [0, 0]),
    ],
)
def test_what_a_large_bias_kills(name, bias, expected):
    x, label = circles(39)  # one point of class 0 more than of class 1
    params = init_network((2, 6, 5, 1), INITIALIZERS["N(0, 0.01²)"], seed=0, bias=bias)
    dead = dead_units(params, x, ACTIVATIONS[name])
    assert [units.shape for units in dead] == [(6,), (5,)]
    np.testing.assert_array_equal([units.mean() for units in dead], expected)
    run = run_small(params, x, label, activation=ACTIVATIONS[name], steps=3)
    np.testing.assert_array_equal(run.dead[0], expected)
    # Nothing below a dead layer can learn, the output can.
    below = slice(0, 2 * 6 + 6 + 6 * 5 + 5)
    if expected == [1, 1]:
        np.testing.assert_array_equal(flatten(run.final)[below], flatten(params)[below])
    assert run.final.biases[-1] != params.biases[-1]


def test_a_leaky_unit_is_quiet_where_a_relu_is_dead():
    params = small(seed=[0, 1, 2], bias=-1.0)
    relu, leaky = (run_small(params, activation=a, steps=0) for a in (RELU, LEAKY))
    np.testing.assert_array_equal(relu.dead, relu.never_positive)
    np.testing.assert_array_equal(relu.dead[:, 0], leaky.never_positive[:, 0])
    assert relu.dead[0, 0].min() > 0
    np.testing.assert_array_equal(leaky.dead, 0)


@every_activation
def test_records_agree_with_dead_units_along_the_whole_run(name):
    x, _ = circles()
    run = run_small(
        small(seed=[0, 1], bias=-0.5),
        activation=ACTIVATIONS[name],
        rule=gd(0.5),
        steps=30,
        snapshots=range(31),
    )
    dead = dead_units(run.snapshots, x, ACTIVATIONS[name])
    for layer, units in enumerate(dead):
        np.testing.assert_array_equal(run.dead[:, layer], units.mean(axis=-1))
        np.testing.assert_array_equal(run.died[1:, layer], (~units[:-1] & units[1:]).sum(axis=-1))
        np.testing.assert_array_equal(run.revived[1:, layer], (units[:-1] & ~units[1:]).sum(axis=-1))
    np.testing.assert_array_equal(run.died[0], 0)
    np.testing.assert_array_equal(run.revived[0], 0)


def test_upper_layers_revive_and_the_first_one_cannot():
    points, label = DATASETS["moons"].draw(100, 0.1, stream(0, 0))
    params = init_network((2, 16, 16, 1), HE, seed=[0, 1, 2], bias=-0.5)
    run = train(params, points, label, activation=RELU, rule=gd(0.3), steps=150, loss=SQUARED)
    first, second = run.revived.sum(axis=0)
    # The data below layer 1 never move, and plain descent moves no weight whose gradient is 0.
    np.testing.assert_array_equal(first, 0)
    assert np.all(np.diff(run.dead[:, 0], axis=0) >= 0)
    assert second.sum() > 0
    assert np.any(np.diff(run.dead[:, 1], axis=0) < 0)


@pytest.mark.parametrize(
    ("lr", "died", "revived"),
    [
        (0.01, [0, 0], [0, 0]),  # a¹ = (1 − 0.02) − 0.02 = 0.96 is above 0.9 still
        (0.1, [0, 0], [0, 1]),  # a¹ = 0.6: unit A sees −0.6 + 0.9 > 0, unit B 0.8·0.6 − 0.2 > 0
        (0.5, [1, 1], [0, 1]),  # z¹ = 0 − 1 dies; A sees 0.9, B sees −1
    ],
)
def test_deaths_and_revivals_counted_by_hand(lr, died, revived):
    # One point x = 1; a¹ = 1. Above it A: −a¹ + 0.9 < 0 is dead, B: a¹ is alive; both have weight 1 to the output,
    # which is 1 with target 0: every gradient on the way through B is 2.
    params = Params(
        (np.array([[1.0]]), np.array([[-1.0, 1.0]]), np.ones((2, 1))),
        (np.zeros(1), np.array([0.9, 0.0]), np.zeros(1)),
    )
    run = train(params, np.ones((1, 1)), np.zeros(1), activation=RELU, rule=gd(lr), steps=1, loss=SQUARED)
    np.testing.assert_array_equal(run.dead[0], [0, 0.5])
    np.testing.assert_array_equal(run.died, [[0, 0], died])
    np.testing.assert_array_equal(run.revived, [[0, 0], revived])
    change = run.dead[1] - run.dead[0]
    np.testing.assert_array_equal(change * [1, 2], np.subtract(died, revived))


@pytest.mark.parametrize("bias", [-2.0, -0.5, 0.0, 0.7])
@pytest.mark.parametrize("data", ["circles", "spiral", "beside"])
def test_units_that_start_without_a_positive_point_are_as_many_as_theory_says(data, bias):
    if data == "beside":  # all points on one side of the origin: some directions see none of them
        x = np.array([[0.5, 1.0], [1.0, 0.2], [1.5, 0.9]])
    else:
        x, _ = DATASETS[data].draw(64, 0.1, stream(0))
    expected = never_positive_theory(x, std=float(HE.std(2, 20_000)), bias=bias)
    params = init_network((2, 20_000, 1), HE, seed=3, bias=bias)
    share = train(params, x, np.zeros(len(x)), activation=RELU, rule=gd(0.0), steps=0).never_positive[0, 0]
    assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / 20_000)
    assert (expected > 0) == (bias < 0 or data == "beside")


def test_the_theory_of_quiet_units_by_hand():
    angle = np.linspace(0, 2 * math.pi, 7201)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # h = 2 everywhere
    assert never_positive_theory(circle, std=0.5, bias=-1.5) == pytest.approx(
        1 - math.exp(-(1.5**2) / 2), rel=1e-6
    )
    assert never_positive_theory(circle, std=0.5, bias=1.5) == 0
    point = np.array([[0.3, -0.4]])  # z ~ N(bias, (0.5·std)²)
    for bias in (-0.4, 0.0, 0.4):
        expected = 0.5 * math.erfc(bias / 0.5 / math.sqrt(2))
        assert never_positive_theory(point, std=1.0, bias=bias) == pytest.approx(expected, abs=1e-6)
    origin = np.zeros((1, 2))
    assert [never_positive_theory(origin, std=1.0, bias=b) for b in (-1.0, 0.0, 1.0)] == [1, 1, 0]


def test_momentum_and_weight_decay_move_a_dead_unit():
    params = Params((np.array([[1.0]]), np.ones((1, 1))), (np.array([-1.5]), np.zeros(1)))
    x = np.array([[1.0]])
    rule = OPTIMIZERS["GD"].build(lr=0.5, weight_decay=1.0)
    run = train(params, x, np.ones(1), activation=RELU, rule=rule, steps=2, snapshots=(0, 1))
    # z = w + b = −0.5 shrinks to −0.25: still dead, but its weights move.
    np.testing.assert_array_equal(run.snapshots.weights[0][:, 0, 0], [1.0, 0.5])
    np.testing.assert_array_equal(run.dead[:, 0], 1)


# Training


def test_one_run_of_many_networks_equals_the_runs_one_by_one():
    points, label = circles()
    lrs, seeds = np.array([0.01, 0.1, 0.4, 1.0]), [3, 0, 5]
    for batch_size in (None, 7):
        options = {"activation": RELU, "steps": 25, "batch_size": batch_size, "snapshots": (0, 9, 25)}
        together = train(small(seed=seeds), points, label, rule=gd(lrs[:, None]), **options)
        assert together.loss.shape == (26, 4, 3)
        assert together.dead.shape == (26, 2, 4, 3)
        for i, lr in enumerate(lrs):
            for j, seed in enumerate(seeds):
                alone = train(small(seed=seed), points, label, rule=gd(lr), **options)
                for name in MEASURES[1:]:
                    np.testing.assert_allclose(
                        getattr(together, name)[..., i, j], getattr(alone, name), rtol=1e-9, err_msg=name
                    )
                snapshots = flatten(together.snapshots)[:, i, j]
                np.testing.assert_allclose(snapshots, flatten(alone.snapshots), rtol=1e-9, atol=1e-12)
                assert together.diverged_at[i, j] == alone.diverged_at


def test_data_may_differ_between_networks():
    xs, labels = zip(*(DATASETS[name].draw(20, 0.1, stream(1, 0)) for name in ("moons", "xor")), strict=True)
    together = run_small(x=np.stack(xs), target=np.stack(labels)[..., None], batch_size=8)
    for i, (x, label) in enumerate(zip(xs, labels, strict=True)):
        alone = run_small(x=x, target=label, batch_size=8)
        np.testing.assert_allclose(together.loss[:, i], alone.loss, rtol=1e-11)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 5])
def test_more_steps_extend_a_run(rule, batch_size):
    options = {
        "rule": OPTIMIZERS[rule].build(), "batch_size": batch_size, "record_every": 5, "snapshots": (0, 10)
    }  # fmt: skip
    short, long = run_small(steps=10, **options), run_small(steps=23, **options)
    np.testing.assert_array_equal(short.step, [0, 5, 10])
    np.testing.assert_array_equal(long.step, [0, 5, 10, 15, 20, 23])
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(long, name)[:3], getattr(short, name))
    np.testing.assert_array_equal(flatten(long.snapshots), flatten(short.snapshots))
    np.testing.assert_array_equal(flatten(short.snapshots.at(1)), flatten(short.final))


def test_the_same_seed_gives_the_same_run_and_another_one_other_batches():
    first, again, other = (run_small(batch_size=6, seed=seed, snapshots=(3,)) for seed in (1, 1, 2))
    assert_same_run(first, again)
    assert np.max(np.abs(first.loss[1:] - other.loss[1:])) > 1e-4


def test_a_batch_is_a_subset_of_the_data_and_changes_every_step():
    x, label = circles(6)
    params, lr = small(), 0.1
    run = run_small(params, x, label, rule=gd(lr), batch_size=1, steps=8, snapshots=range(9))
    used = []
    for step in range(8):
        here = run.snapshots.at(step)
        gradients = [
            flatten(run_gradient(here, x[i : i + 1], label[i : i + 1, None].astype(float))) for i in range(6)
        ]
        moved = flatten(run.snapshots.at(step + 1)) - flatten(here)
        errors = [np.max(np.abs(moved + lr * g)) for g in gradients]
        assert min(errors) < 1e-15
        used.append(int(np.argmin(errors)))
    assert len(set(used)) > 2


def run_gradient(params, x, target):
    run = forward(params, x, RELU)
    return backward(params, run, CROSS_ENTROPY.gradient(run.output, target), RELU).gradient


def test_a_batch_of_all_points_is_full_batch_up_to_rounding():
    full, shuffled = run_small(), run_small(batch_size=40)
    np.testing.assert_allclose(shuffled.loss, full.loss, rtol=1e-11)
    np.testing.assert_array_equal(shuffled.dead, full.dead)
    np.testing.assert_array_equal(shuffled.dead_on_batch, full.dead_on_batch)


def test_more_units_are_dead_on_a_batch_than_on_all_data():
    full = run_small()
    np.testing.assert_array_equal(full.dead_on_batch, full.dead)
    batch = run_small(batch_size=2)
    assert np.all(batch.dead_on_batch >= batch.dead)
    assert np.mean(batch.dead_on_batch) > np.mean(batch.dead) + 0.05
    # A single point: a unit is dead on it or not, so on average the share is that of the sleeping pairs.
    one = run_small(batch_size=1, rule=gd(0.0), steps=600, record_every=1)
    np.testing.assert_allclose(one.dead_on_batch.mean(axis=0), one.asleep[0], atol=0.05)


def test_loss_and_accuracy_are_those_of_the_outputs():
    x, label = circles()
    run = run_small(snapshots=(0, 12))
    for record, snapshot in ((0, 0), (-1, 1)):
        z = forward(run.snapshots.at(snapshot), x, RELU).output[:, 0]
        probability = 1 / (1 + np.exp(-z))
        right = np.where(label == 1, probability, 1 - probability)
        assert run.loss[record] == pytest.approx(-np.mean(np.log(right)), rel=1e-12)
        assert run.accuracy[record] == np.mean((z > 0) == label)
    squared = run_small(loss=SQUARED, steps=0)
    z = forward(small(), x, RELU).output[:, 0]
    assert squared.accuracy[0] == np.mean((z > 0.5) == label)


def test_accuracy_is_undefined_for_a_regression():
    run = run_small(target=np.linspace(-1, 1, 40), loss=SQUARED)
    assert np.all(np.isnan(run.accuracy))
    assert np.all(np.isfinite(run.loss))


def test_a_network_without_hidden_layers_is_linear_regression():
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(30, 3)), rng.normal(size=30)
    start = init_network((3, 1), HE, seed=0)
    run = train(start, x, target, activation=RELU, rule=gd(0.2), steps=400, loss=SQUARED, record_every=100)
    solution, residual, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(30)]), target)
    np.testing.assert_allclose(flatten(run.final), solution, atol=1e-10)
    assert run.loss[-1] == pytest.approx(residual[0] / 30)
    assert run.dead.shape == (5, 0)


def test_nothing_given_is_changed():
    x, label = circles()
    params = small(seed=[0, 1])
    before = [a.copy() for a in (x, label, *params.weights, *params.biases)]
    run_small(params, x, label, batch_size=5)
    dead_units(params, x, RELU)
    for old, new in zip(before, (x, label, *params.weights, *params.biases), strict=True):
        np.testing.assert_array_equal(old, new)


def test_float32_stays_float32():
    x, label = circles()
    double = small()
    single = Params(
        *(tuple(a.astype(np.float32) for a in group) for group in (double.weights, double.biases))
    )
    run = run_small(single, x.astype(np.float32), label, snapshots=(0, 12), batch_size=9)
    for array in (run.loss, flatten(run.final), flatten(run.snapshots)):
        assert array.dtype == np.float32
    np.testing.assert_allclose(run.loss, run_small(double, x, label, batch_size=9).loss, rtol=1e-4)


def test_one_point_is_enough():
    run = run_small(x=np.array([[0.3, 0.4]]), target=np.array([1]), steps=200)
    assert run.loss[-1] < 0.1 * run.loss[0]
    assert run.accuracy[-1] == 1


def test_reports_steps_and_ends_when_the_report_raises():
    calls = []
    run_small(steps=23, report=lambda *call: calls.append(call), report_every=10)
    assert calls == [(0, 23), (10, 23), (20, 23), (23, 23)]

    class Cancelled(Exception):
        pass

    def cancel(step, steps):
        calls.append((step, steps))
        if step == 10:
            raise Cancelled

    calls.clear()
    with pytest.raises(Cancelled):
        run_small(steps=23, report=cancel)
    assert calls == [(0, 23), (10, 23)]
    with pytest.warns(RuntimeWarning, match="overflow"):  # NumPy's settings are back
        np.float64(1e308) * 10


# Divergence


def test_divergence_begins_where_the_closed_form_overflows():
    # Outputs w + b with target 0: each step multiplies them by 1 − 4·lr, and their square overflows first.
    start = Params((np.array([[1.0]]),), (np.zeros(1),))
    lr = np.array([0.1, 0.5001, 1.0, 10.0, 1e3])
    run = train(
        start, [[1.0]], [0.0], activation=IDENTITY, rule=gd(lr), steps=400, loss=SQUARED, record_every=400
    )
    growth = np.log(np.abs(1 - 4 * lr))
    limit = np.log(np.finfo(float).max) / 2
    expected = [math.ceil(limit / g) if g > 0 and limit / g <= 400 else -1 for g in growth]
    np.testing.assert_array_equal(run.diverged_at, expected)
    assert expected[0] == expected[1] == -1
    assert expected[2:] == [324, 97, 43]


def test_divergence_is_a_step_number_and_what_follows_is_left_as_it_is():
    x, label = circles()
    lrs = np.array([0.1, 1.5, 20.0])
    run = train(
        small(seed=[0, 1, 2]), x, label, activation=LEAKY, rule=gd(lrs[:, None]), steps=60, loss=SQUARED
    )
    finite = np.isfinite(run.loss)
    np.testing.assert_array_equal(run.diverged_at[0], -1)
    assert np.all(run.diverged_at[2] > 0)
    for network in np.ndindex(3, 3):
        at = run.diverged_at[network]
        assert np.all(finite[:at, *network]) if at >= 0 else np.all(finite[:, *network])
        assert at < 0 or not finite[at, *network]
    # Without numbers there are no shares, and no revivals.
    for share in (run.dead, run.asleep, run.never_positive, run.accuracy[:, None]):
        assert np.all(np.isnan(share[-1][:, 2]))
    late = run.diverged_at[2].max() + 2
    assert run.revived[late:, :, 2].sum() == run.died[late:, :, 2].sum() == 0


def test_deaths_and_revivals_end_with_the_last_finite_step():
    x, label = circles()
    lrs = np.array([0.3, 1.5, 20.0])
    run = train(
        small(seed=[0, 1, 2]), x, label, activation=ACTIVATIONS["ELU"], rule=gd(lrs[:, None]), steps=60, loss=SQUARED,
        record_every=2,
    )  # fmt: skip
    assert run.finite.shape == run.loss.shape
    assert np.all(run.diverged_at[2] > 0)
    for network in np.ndindex(3, 3):
        at = run.diverged_at[network]
        kept = [k for k, step in enumerate(run.step) if at < 0 or step < at]
        assert np.all(np.isfinite(run.loss[:, *network][kept]))
        np.testing.assert_array_equal(np.flatnonzero(run.finite[:, *network]), kept)
        for counts, total in ((run.died, run.deaths), (run.revived, run.revivals)):
            np.testing.assert_array_equal(total[:, *network], counts[kept][:, :, *network].sum(axis=0))
        # What has died and not revived is dead at the last finite record.
        change = [6, 5] * (run.dead[kept[-1]] - run.dead[0])[:, *network]
        np.testing.assert_allclose((run.deaths - run.revivals)[:, *network], change, atol=1e-9)
    # Overflow itself makes slopes 0 and NaN: there is something that is left out.
    assert run.died.sum() > run.deaths.sum()


def test_divergence_between_records_is_seen():
    x, label = circles()
    options = {"activation": LEAKY, "rule": gd(20.0), "steps": 60, "loss": SQUARED}
    every, rare = (train(small(), x, label, record_every=k, **options) for k in (1, 60))
    assert every.diverged_at == rare.diverged_at == np.argmin(np.isfinite(every.loss))


def test_a_frozen_optimizer_counts_as_diverged():
    # Squares of the gradient overflow at the first step; Adam divides by them and stands still at a finite loss.
    start = Params((np.zeros((1, 1)),), (np.zeros(1),))
    rule = OPTIMIZERS["Adam"].build(lr=0.0)
    run = train(start, [[1e160]], [1.0], activation=RELU, rule=rule, steps=5, loss=SQUARED)
    np.testing.assert_array_equal(run.loss, 1.0)
    assert run.diverged_at == 1


def test_data_that_are_not_finite_diverge_at_once():
    x, label = circles()
    x = x.copy()
    x[3, 1] = math.nan
    run = run_small(x=x, target=label)
    assert run.diverged_at == 0
    assert np.all(np.isnan(run.loss))


# Decision grids


def test_a_grid_has_rows_of_y_and_columns_of_x():
    params = Params((np.array([[1.0], [10.0]]),), (np.array([0.5]),))
    grid = decision_grid(params, RELU, window=(-1, 1, 2, 4), size=3)
    np.testing.assert_array_equal(grid.x, [-1, 0, 1])
    np.testing.assert_array_equal(grid.y, [2, 3, 4])
    np.testing.assert_allclose(grid.output, grid.x + 10 * grid.y[:, None] + 0.5, rtol=1e-15)


def test_a_grid_of_snapshots_is_that_of_each():
    run = run_small(small(seed=[0, 1]), snapshots=(0, 5, 12))
    grid = decision_grid(run.snapshots, RELU, window=(-1.5, 1.5, -1.5, 1.5), size=5)
    assert grid.output.shape == (3, 2, 5, 5)
    one = run.snapshots.at((2, 1))
    for row, column in ((0, 0), (1, 4), (3, 2)):
        point = np.array([[grid.x[column], grid.y[row]]])
        assert grid.output[2, 1, row, column] == pytest.approx(
            forward(one, point, RELU).output[0, 0], rel=1e-12
        )


# The sweep


@pytest.fixture(scope="module")
def sweeps():
    x, label = DATASETS["circles"].draw(64, 0.1, stream(0, 0))
    return {
        name: learning_rate_sweep(x, label, activation=ACTIVATIONS[name], initializer=HE)
        for name in ("ReLU", "leaky ReLU", "ELU")
    }


def test_a_sweep_is_the_ends_of_its_runs(sweeps):
    x, label = DATASETS["circles"].draw(64, 0.1, stream(0, 0))
    sweep = sweeps["ReLU"]
    assert sweep.lr.shape == (24,)
    assert (
        sweep.loss.shape
        == sweep.start_loss.shape
        == sweep.accuracy.shape
        == sweep.diverged_at.shape
        == (24, 3)
    )
    assert sweep.dead.shape == sweep.never_positive.shape == (2, 24, 3)
    for k, seed in ((0, 1), (8, 2)):
        run = train(
            init_network((2, 16, 16, 1), HE, seed=seed), x, label,
            activation=RELU, rule=gd(SWEEP_RATES[k]), steps=200, loss=SQUARED,
        )  # fmt: skip
        assert sweep.loss[k, seed] == pytest.approx(run.loss[-1], rel=1e-6)
        assert sweep.start_loss[k, seed] == pytest.approx(run.loss[0], rel=1e-12)
        assert sweep.accuracy[k, seed] == run.accuracy[-1]
        np.testing.assert_array_equal(sweep.dead[:, k, seed], run.dead[-1])


def test_large_learning_rates_kill_relu_and_not_leaky_relu_or_elu(sweeps):
    sweep = sweeps["ReLU"]
    share = sweep.dead.mean(axis=(0, 2))
    sane, large = sweep.lr < 0.1, sweep.lr > 1.0
    assert np.all(share[sane] < 0.1)
    assert np.all(sweep.loss[sane & (sweep.lr > 0.05)] < 0.03)
    killed = sweep.dead[:, large]
    assert killed[np.isfinite(killed)].min() > 0.5
    assert killed[np.isfinite(killed)].mean() > 0.9
    assert not np.any(sweep.loss[large] < sweep.start_loss[large])
    # Dead is not failed: a third of the second layer and more, and yet a tenth of the variance of the labels.
    assert np.any((sweep.dead[1] > 0.3) & (sweep.loss < 0.1 * 0.25))
    for name in ("leaky ReLU", "ELU"):
        dead = sweeps[name].dead
        assert np.all(dead[np.isfinite(dead)] == 0)
        assert np.all(sweeps[name].diverged_at[large] > 0)


def test_knobs_bias_and_optimizer_of_a_sweep():
    x, label = circles()
    options = {"activation": LEAKY, "initializer": HE, "lrs": [0.01, 0.1], "sizes": (2, 4, 1), "steps": 5}
    flat = learning_rate_sweep(x, label, knobs={"slope": 0.0}, bias=-100.0, **options)
    np.testing.assert_array_equal(flat.dead, 1)
    adam = learning_rate_sweep(
        x, label, seeds=[7], optimizer=OPTIMIZERS["Adam"], optimizer_knobs={"beta1": 0.5}, **options
    )
    run = train(
        init_network((2, 4, 1), HE, seed=7), x, label,
        activation=LEAKY, rule=OPTIMIZERS["Adam"].build(lr=0.1, beta1=0.5), steps=5, loss=SQUARED,
    )  # fmt: skip
    assert adam.loss[1, 0] == pytest.approx(run.loss[-1], rel=1e-11)


def test_a_sweep_of_mini_batches_is_the_ends_of_its_runs():
    x, label = circles()
    options = {"activation": RELU, "steps": 20, "loss": SQUARED, "batch_size": 8}
    sweep = learning_rate_sweep(
        x, label, initializer=HE, lrs=[0.01, 0.2], sizes=(2, 6, 5, 1), seeds=[4, 5], **options
    )
    for k, lr in enumerate(sweep.lr):
        for s, seed in enumerate((4, 5)):
            run = train(init_network((2, 6, 5, 1), HE, seed=seed), x, label, rule=gd(lr), seed=0, **options)
            assert sweep.loss[k, s] == pytest.approx(run.loss[-1], rel=1e-9)
            np.testing.assert_array_equal(sweep.dead[:, k, s], run.dead[-1])


# Refusals


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf, math.nan])
def test_a_spread_of_weights_out_of_range(std):
    with pytest.raises(ValueError, match=r"^std = .* needs a finite number above 0"):
        never_positive_theory(np.zeros((3, 2)), std=std)


@pytest.mark.parametrize("x", [np.zeros((3, 3)), np.zeros((2, 3, 2)), np.zeros((0, 2))])
def test_points_of_the_plane(x):
    with pytest.raises(ValueError, match=r"^x of shape"):
        never_positive_theory(x, std=1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": -1},
        {"steps": 2.5},
        {"batch_size": 0},
        {"batch_size": 41},
        {"seed": -1},
        {"record_every": 0},
        {"report_every": 0},
        {"snapshots": (3, 13)},
        {"snapshots": (-1,)},
    ],
)
def test_numbers_out_of_range(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=rf"^{name} = .* needs a whole number from"):
        run_small(**changes)


@pytest.mark.parametrize("x", [np.zeros((40, 3)), np.zeros(40), np.zeros((0, 2))])
def test_points_that_do_not_fit(x):
    with pytest.raises(ValueError, match=r"^x of shape"):
        run_small(x=x)
    with pytest.raises(ValueError, match=r"^x of shape"):
        dead_units(small(), x, RELU)


@pytest.mark.parametrize("target", [np.zeros(39), np.zeros((40, 2)), np.zeros((1, 40)), np.float64(0)])
def test_targets_that_do_not_fit(target):
    with pytest.raises(ValueError, match=r"^targets of shape"):
        run_small(target=target)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sizes": (2,)}, "sizes"),
        ({"sizes": (2, 0, 1)}, "sizes"),
        ({"seed": -1}, "seed"),
        ({"seed": [0, -2]}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"bias": math.nan}, "bias"),
    ],
)
def test_starts_out_of_range(changes, name):
    arguments = {"sizes": (2, 3, 1), "initializer": HE, "seed": 0} | changes
    with pytest.raises(ValueError, match=rf"^{name} = .* needs"):
        init_network(arguments.pop("sizes"), arguments.pop("initializer"), **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 1},
        {"window": (1, -1, 0, 1)},
        {"window": (0, math.inf, 0, 1)},
        {"params": init_network((3, 1), HE, seed=0)},
        {"params": init_network((2, 2), HE, seed=0)},
    ],
)
def test_grids_out_of_range(changes):
    arguments = {"params": small(), "window": (-1, 1, -1, 1), "size": 4} | changes
    with pytest.raises(ValueError, match=r"needs"):
        decision_grid(arguments.pop("params"), RELU, **arguments)


@pytest.mark.parametrize("lrs", [0.1, [], [[0.1]]])
def test_learning_rates_are_a_list(lrs):
    x, label = circles()
    with pytest.raises(ValueError, match=r"^lrs of shape"):
        learning_rate_sweep(x, label, activation=RELU, initializer=HE, lrs=lrs)


def test_a_misspelt_keyword_is_refused():
    with pytest.raises(TypeError, match="rates"):
        run_small(rates=3)
    with pytest.raises(TypeError, match="slop"):
        run_small(activation=LEAKY, knobs={"slop": 0.1})
