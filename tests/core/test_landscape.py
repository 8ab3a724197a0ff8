"""The shape of a loss: closed forms on surfaces, permutation symmetry, the linearized network, one weight."""

import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.descent import SurfaceProblem
from core.initializers import INITIALIZERS
from core.landscape import (
    bending_angles,
    chord,
    curvature_map,
    jacobian,
    lazy_runs,
    loss_between,
    one_weight,
    slice_along,
    swap_units,
    swapped_units,
    weight_losses,
    width_runs,
)
from core.network import CROSS_ENTROPY, flatten, forward, init_network, train, unflatten
from core.optimizers import OPTIMIZERS
from core.surfaces import SURFACES

TANH, GLOROT, HE = ACTIVATIONS["tanh"], INITIALIZERS["Glorot normal"], INITIALIZERS["He normal"]
GD, ADAM = OPTIMIZERS["GD"], OPTIMIZERS["Adam"]
CONVEX = ("Quadratic bowl", "Elongated valley", "Booth", "Matyas", "Linear regression", "Logistic regression")


def data(n=12, seed=0):
    x, labels = DATASETS["moons"].draw(n, 0.1, np.random.default_rng(seed))
    return x, labels.astype(float)


# Lines and curvature


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 137, 180])
def test_a_line_goes_from_border_to_border(angle):
    window = (-2.0, 3.0, -1.0, 4.0)
    cut = slice_along(SurfaceProblem(SURFACES["Himmelblau"]), (1.0, 0.5), angle, window, 51)
    for end in (cut.point[0], cut.point[-1]):
        gaps = np.abs([end[0] + 2, end[0] - 3, end[1] + 1, end[1] - 4])
        assert gaps.min() < 1e-12
        assert (end >= (-2 - 1e-12, -1 - 1e-12)).all()
        assert (end <= (3 + 1e-12, 4 + 1e-12)).all()
    np.testing.assert_allclose(np.linalg.norm(np.diff(cut.point, axis=0), axis=1), np.diff(cut.s), rtol=1e-9)


def test_a_line_refuses_a_point_outside():
    with pytest.raises(ValueError, match="window"):
        chord((4.0, 0.0), (1.0, 0.0), (-2, 3, -1, 4))
    with pytest.raises(ValueError, match="direction"):
        chord((0.0, 0.0), (0.0, 0.0), (-2, 3, -1, 4))
    with pytest.raises(ValueError, match="count = 1"):
        slice_along(SurfaceProblem(SURFACES["Saddle"]), (0, 0), 0, (-1, 1, -1, 1), 1)


@pytest.mark.parametrize("name", SURFACES)
def test_curvature_along_a_line_is_the_second_difference(name):
    surface = SURFACES[name]
    problem = SurfaceProblem(surface)
    cut = slice_along(problem, surface.starts[0], 33, surface.window, 9)
    h = 1e-4 * (surface.window[1] - surface.window[0])
    d = (cut.point[-1] - cut.point[0]) / (cut.s[-1] - cut.s[0])
    f = [problem.f(cut.point + k * h * d) for k in (-1, 0, 1)]
    second = (f[0] - 2 * f[1] + f[2]) / h**2
    scale = np.abs(second).max() + np.abs(f[1]).max() * 1e-15 / h**2
    np.testing.assert_allclose(cut.curvature, second, rtol=2e-3, atol=2e-3 * scale + 1e-7)


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("angle", [0, 17, 90, 120])
def test_convex_surfaces_bend_down_nowhere(name, angle):
    surface = SURFACES[name]
    assert curvature_map(SurfaceProblem(surface), surface.window, 31).share == 0
    assert not slice_along(SurfaceProblem(surface), surface.starts[0], angle, surface.window).down.any()


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("Saddle", lambda x, y: np.full(x.shape, True)),
        # det of the Hessian of (1 − xy)² is 4x²y² − (4xy − 2)² with the trace ≥ 0.
        ("Two-weight net", lambda x, y: 4 * x**2 * y**2 < (4 * x * y - 2) ** 2),
        ("Two wells", lambda x, y: 3 * x**2 - x - 4 < 0),
        ("Himmelblau", lambda x, y: (12 * x**2 + 4 * y - 42) * (12 * y**2 + 4 * x - 26) < 16 * (x + y) ** 2),
    ],
)
def test_negative_curvature_is_where_the_determinant_says(name, inside):
    surface = SURFACES[name]
    found = curvature_map(SurfaceProblem(surface), surface.window, 40)
    x, y = np.meshgrid(found.x, found.y)
    expected = inside(x, y)
    if name == "Himmelblau":
        expected |= (12 * x**2 + 4 * y - 42) < 0
    np.testing.assert_array_equal(found.negative, expected)
    assert found.share == pytest.approx(expected.mean())
    with pytest.raises(ValueError, match="size = 0"):
        curvature_map(SurfaceProblem(surface), surface.window, 0)


def test_a_ridge_bends_down_without_a_second_derivative():
    class Roof:
        @staticmethod
        def f(w):
            return -np.abs(w[..., 0])

        @staticmethod
        def hessian(w):
            return np.zeros((*w.shape[:-1], 2, 2))

    cut = slice_along(Roof(), (0.0, 0.0), 0, (-1, 1, -1, 1), 21)
    assert np.flatnonzero(cut.down).tolist() == [10]
    assert not slice_along(Roof(), (0.5, 0.0), 90, (-1, 1, -1, 1), 21).down.any()


@pytest.mark.parametrize(
    "hessian",
    [
        [[1, 0], [0, -1]],
        [[0, -2], [-2, 0]],
        [[3, 1], [1, -2]],
        [[-1, 0], [0, -4]],
        [[2, 0], [0, 1]],
        [[-1, 0], [0, -1]],
    ],
)
def test_the_angles_that_bend_down(hessian):
    h, found = np.array(hessian, float), bending_angles(hessian)
    angle = np.arange(0.25, 180, 0.5)
    d = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    down = np.einsum("ik,ij,jk->k", d, h, d) < 0
    if found is None:
        assert not down.any()
    else:
        low, high = found
        np.testing.assert_array_equal(down, (angle - low) % 180 < high - low)
    assert bending_angles([[0, 0], [0, 0]]) is None


# Networks


def test_swapped_units_are_the_same_function_and_halfway_is_symmetric():
    x, t = data()
    net = init_network((2, 4, 1), GLOROT, seed=3)
    other = swap_units(net, 1, 3)
    np.testing.assert_allclose(forward(other, x, TANH).output, forward(net, x, TANH).output, rtol=1e-12)
    assert np.any(flatten(net) != flatten(other))
    losses = loss_between(net, other, np.linspace(0, 1, 11), x, t[:, None], TANH, CROSS_ENTROPY)
    np.testing.assert_allclose(losses, losses[::-1], rtol=1e-10)
    half = unflatten((flatten(net) + flatten(other)) / 2, net.sizes)
    np.testing.assert_array_equal(half.weights[0][:, 1], half.weights[0][:, 3])
    assert losses[5] == pytest.approx(CROSS_ENTROPY.value(forward(half, x, TANH).output, t[:, None]))
    with pytest.raises(ValueError, match="units 0 and 4"):
        swap_units(net, 0, 4)


def test_every_pair_is_walked_from_the_trained_network():
    x, t = data(20)
    found = swapped_units(
        x, t, 3, activation=TANH, initializer=GLOROT, optimizer=ADAM, lr=0.05, steps=60, seed=1, count=5
    )
    assert found.pair.tolist() == [[0, 1], [0, 2], [1, 2]]
    run = train(
        init_network((2, 3, 1), GLOROT, seed=1), x, t, activation=TANH, rule=ADAM.build(lr=0.05), steps=60
    )
    assert (found.start, found.end) == (run.loss[0], run.loss[-1])
    np.testing.assert_allclose(found.loss[:, [0, -1]], found.end, rtol=1e-10)
    np.testing.assert_allclose(found.barrier, found.loss.max(axis=1) - found.end, rtol=1e-9)
    unit = np.concatenate(
        [run.final.weights[0].T, run.final.biases[0][:, None], run.final.weights[1]], axis=1
    )
    lengths = np.linalg.norm(unit, axis=1)
    assert found.alike[2] == pytest.approx(np.linalg.norm(unit[1] - unit[2]) / lengths[1:].mean())
    with pytest.raises(ValueError, match="units = 1"):
        swapped_units(x, t, 1, activation=TANH, initializer=GLOROT, optimizer=ADAM, lr=0.1, steps=1, seed=0)


def test_widths_are_trained_as_single_networks():
    x, t = data()
    done = []
    found = width_runs(
        x, t, (2, 5), (4, 7), hidden=2, activation=TANH, initializer=GLOROT, optimizer=ADAM, lr=0.02, steps=15,
        report=lambda step, steps: done.append(step / steps),
    )  # fmt: skip
    net = init_network((2, 5, 5, 1), GLOROT, seed=7)
    alone = train(net, x, t, activation=TANH, rule=ADAM.build(lr=0.02), steps=15)
    assert found.loss[1, 1] == pytest.approx(alone.loss[-1], rel=1e-12)
    assert found.start[1, 1] == pytest.approx(alone.loss[0], rel=1e-12)
    assert done == sorted(done)
    assert done[-1] == 1


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_the_jacobian_is_the_slope_of_the_output(name):
    x, _ = data(5)
    nets = init_network((2, 3, 1), GLOROT, seed=(0, 1))
    found = jacobian(nets, x, ACTIVATIONS[name])
    vector, h = flatten(nets), 1e-6
    assert found.shape == (2, 5, vector.shape[-1])
    for k in range(vector.shape[-1]):
        up, down = vector.copy(), vector.copy()
        up[:, k] += h
        down[:, k] -= h
        outputs = [forward(unflatten(v, nets.sizes), x, ACTIVATIONS[name]).output[..., 0] for v in (up, down)]
        np.testing.assert_allclose(found[..., k], (outputs[0] - outputs[1]) / (2 * h), atol=1e-8)


def test_the_linearized_network_is_exact_where_the_network_is_linear_in_what_moves():
    # One step, and tiny ones: to first order in the rate the network is its linearization.
    x, t = data(6)
    found = lazy_runs(
        x, 2 * t - 1, (3, 8), (0, 1, 2), activation=TANH, initializer=GLOROT, optimizer=GD, lr=1e-3, steps=3
    )
    np.testing.assert_allclose(found.moved, found.moved_theory, rtol=5e-3)
    np.testing.assert_allclose(found.loss, found.loss_theory, rtol=1e-4)
    # By hand: gradient descent on ½ of a linear least-squares problem with the Jacobian of the start.
    net = init_network((2, 8, 1), GLOROT, seed=2)
    slopes = jacobian(net, x, TANH)
    residual = forward(net, x, TANH).output[:, 0] - (2 * t - 1)
    way = np.zeros(slopes.shape[-1])
    for _ in range(40):
        way -= 0.5 / 8 * 2 * slopes.T @ (residual + slopes @ way) / 6
    longer = lazy_runs(
        x, 2 * t - 1, (8,), (2,), activation=TANH, initializer=GLOROT, optimizer=GD, lr=0.5, steps=40
    )
    assert longer.moved_theory[0, 0] == pytest.approx(
        np.linalg.norm(way) / np.linalg.norm(flatten(net)), rel=1e-9
    )
    assert longer.loss_theory[0, 0] == pytest.approx(np.mean((residual + slopes @ way) ** 2), rel=1e-9)


def test_wide_networks_move_less():
    x, t = data(8)
    found = lazy_runs(
        x, 2 * t - 1, (16, 256), range(6), activation=TANH, initializer=HE, optimizer=GD, lr=0.5, steps=60
    )
    apart = np.abs(found.moved / found.moved_theory - 1).max(axis=1)
    assert apart[1] < 0.02
    assert apart[1] < apart[0]
    ratio = np.median(found.moved[0]) / np.median(found.moved[1])
    assert 8 < ratio < 32, "16 times the width for about a sixteenth of the way"


# One weight

X, LABELS = (-2.0, -1.0, 0.5, 1.0, 2.0), (0, 0, 0, 1, 1)


def curves(name, count=241):
    return {
        loss.name: one_weight(ACTIVATIONS[name], loss, X, LABELS, low=-6, high=6, count=count)
        for loss in weight_losses(ACTIVATIONS[name])
    }


def test_the_sigmoid_has_the_second_derivatives_of_its_formulas():
    found = curves("sigmoid", 1201)
    w = found["squared error"].w[1:-1, None]
    x, t = np.array(X), np.array(LABELS)
    s = 1 / (1 + np.exp(-w * x))
    v = s * (1 - s)
    squared = (2 * x**2 * v * (v + (s - t) * (1 - 2 * s))).mean(axis=1)
    entropy = (x**2 * v).mean(axis=1)
    np.testing.assert_allclose(found["squared error"].bend[1:-1], squared, atol=2e-4)
    np.testing.assert_allclose(found["cross-entropy"].bend[1:-1], entropy, atol=2e-4)
    clear = np.abs(squared) > 1e-3
    np.testing.assert_array_equal(found["squared error"].down[1:-1][clear], (squared < 0)[clear])
    assert not found["cross-entropy"].down.any()


@pytest.mark.parametrize(
    ("name", "squared", "entropy"),
    [
        ("identity", False, False),
        ("sigmoid", True, False),
        ("hard sigmoid", True, False),
        ("tanh", True, True),
        ("ReLU", True, False),
        ("step", True, False),
        ("softplus", False, False),
    ],
)
def test_which_losses_of_a_monotone_neuron_are_convex(name, squared, entropy):
    found = curves(name)
    assert (bool(found["squared error"].down.any()), bool(found["cross-entropy"].down.any())) == (
        squared,
        entropy,
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_down_is_above_a_chord(name):
    for curve in curves(name, 61).values():
        inner = curve.loss[1:-1]
        with np.errstate(invalid="ignore"):
            above = inner - (curve.loss[2:] + curve.loss[:-2]) / 2
        assert (above[curve.down[1:-1]] > 0).all()
        assert not np.any(
            above[~curve.down[1:-1] & np.isfinite(above)]
            > 1e-10 * np.abs(inner[np.isfinite(inner)]).max(initial=0)
        )


def test_an_infinite_loss_is_told():
    step = curves("step")["cross-entropy"]
    assert np.isinf(step.loss).any()
    assert not step.down[np.isinf(step.loss)].any()
    with pytest.raises(ValueError, match="count = 2"):
        one_weight(TANH, weight_losses(TANH)[0], X, LABELS, low=-1, high=1, count=2)


def test_a_probability_and_its_logit_agree():
    logit = weight_losses(ACTIVATIONS["identity"])[1]
    one = one_weight(ACTIVATIONS["identity"], logit, X, LABELS, low=-6, high=6)
    np.testing.assert_allclose(curves("sigmoid")["cross-entropy"].loss, one.loss, rtol=1e-9)
    assert math.isclose(float(one.loss[120]), math.log(2))
