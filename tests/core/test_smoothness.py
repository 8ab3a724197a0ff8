"""Smoothness and covariate shift against a quadratic and a deep linear network, where both have a closed form."""

import numpy as np
import pytest

from core.batchnorm_network import cross_entropy, draw_arms, forward, init_network, loss_and_gradient
from core.smoothness import (
    covariate_shift,
    flatten,
    gradient_change,
    layer_slices,
    loss_along_gradient,
    network_smoothness,
    unflatten,
)

RNG = np.random.default_rng(3)
ROOT = RNG.normal(size=(5, 5))
A = ROOT @ ROOT.T
W = RNG.normal(size=(3, 5))  # three points at once
STEPS = [0.01, 0.1, 0.4]


def quadratic(w):
    return 0.5 * np.einsum("...i,ij,...j", w, A, w)


def slope(w):
    return w @ A


def test_loss_along_the_gradient_of_a_quadratic_is_a_parabola_in_the_step():
    g = slope(W)
    found = loss_along_gradient(quadratic, W, g, STEPS)
    step = np.array(STEPS)[:, None]
    curvature = np.einsum("ni,ij,nj->n", g, A, g)
    expected = quadratic(W) - step * (g**2).sum(axis=-1) + 0.5 * step**2 * curvature
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gradient_of_a_quadratic_changes_by_the_step_times_its_curvature():
    g = slope(W)
    found = gradient_change(slope, W, g, STEPS)
    turned = np.linalg.norm(g @ A, axis=-1)
    np.testing.assert_allclose(found.distance, np.array(STEPS)[:, None] * turned, rtol=1e-9)
    np.testing.assert_allclose(found.smoothness, turned / np.linalg.norm(g, axis=-1), rtol=1e-9)
    assert np.all(found.smoothness <= np.linalg.eigvalsh(A)[-1])
    there = slope(W[1] - STEPS[2] * g[1])
    angle = there @ g[1] / (np.linalg.norm(there) * np.linalg.norm(g[1]))
    assert found.cosine[2, 1] == pytest.approx(angle, rel=1e-12)


def test_effective_smoothness_is_the_largest_ratio_among_the_steps():
    # g(w) = w³: the ratio at step η is |w³ − (w − η·w³)³|/(η·|w|³), largest at the smallest step for w = 1.
    found = gradient_change(lambda w: w**3, [1.0], [1.0], [0.1, 0.5])
    assert found.smoothness == pytest.approx((1 - 0.9**3) / 0.1)
    assert found.distance == pytest.approx([1 - 0.9**3, 1 - 0.5**3])


def test_shift_of_a_quadratic_is_the_block_below_the_diagonal_times_the_update():
    after = W - 0.1 * slope(W)
    layers = [slice(0, 2), slice(2, 3), slice(3, 5)]
    found = covariate_shift(slope, W, after, layers)
    move = after - W
    assert np.all(found.distance[0] == 0)
    np.testing.assert_allclose(found.cosine[0], 1, rtol=1e-12)
    for l, part in enumerate(layers):
        below = slice(0, part.start)
        expected = np.linalg.norm(move[:, below] @ A[below, part], axis=-1)
        np.testing.assert_allclose(found.distance[l], expected, atol=1e-12)
        np.testing.assert_allclose(found.size[l], np.linalg.norm(slope(W)[:, part], axis=-1), rtol=1e-12)


def test_shift_of_a_linear_network_of_two_weights_by_hand():
    # L = ½·(w₁·w₂ − 1)²: dL/dw₂ = (w₁·w₂ − 1)·w₁, at (2, 1) it is 2, and at (−1, 1), the first updated alone, 2.
    def gradient(w):
        error = w[..., 0] * w[..., 1] - 1
        return np.stack([error * w[..., 1], error * w[..., 0]], axis=-1)

    layers = [slice(0, 1), slice(1, 2)]
    found = covariate_shift(gradient, [2.0, 1.0], [-1.0, 9.0], layers)
    assert found.distance == pytest.approx([0, 0])
    assert found.cosine == pytest.approx([1, 1])
    found = covariate_shift(gradient, [2.0, 1.0], [0.5, 9.0], layers)  # (0.5 − 1)·0.5 = −0.25
    assert found.distance == pytest.approx([0, 2.25])
    assert found.cosine == pytest.approx([1, -1])


def test_no_gradient_leaves_ratios_and_angles_undefined():
    found = gradient_change(slope, np.zeros(5), np.zeros(5), STEPS)
    assert np.all(found.distance == 0)
    assert np.isnan(found.smoothness)
    assert np.all(np.isnan(found.cosine))
    shift = covariate_shift(slope, np.zeros(5), np.zeros(5), [slice(0, 5)])
    assert shift.distance == [0]
    assert np.isnan(shift.cosine[0])


def test_overflow_is_a_value_and_no_warning():
    large = np.full(5, 1e300)
    assert not np.isfinite(loss_along_gradient(quadratic, large, slope(large), [1e10])[0])
    assert not np.isfinite(gradient_change(slope, large, slope(large), [1e10]).distance[0])


@pytest.mark.parametrize("steps", [[], [np.inf], [[0.1]]])
def test_steps_are_checked(steps):
    with pytest.raises(ValueError, match="steps"):
        loss_along_gradient(quadratic, W, slope(W), steps)


@pytest.mark.parametrize("steps", [[0.0], [-1.0], [np.nan]])
def test_a_change_needs_steps_above_0(steps):
    with pytest.raises(ValueError, match="above 0"):
        gradient_change(slope, W, slope(W), steps)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="same shape"):
        loss_along_gradient(quadratic, W, slope(W)[0], STEPS)
    with pytest.raises(ValueError, match="same shape"):
        covariate_shift(slope, W, W[0], [slice(0, 5)])


@pytest.mark.parametrize("layers", [[], [slice(0, 4)], [slice(0, 2), slice(3, 5)], [slice(1, 5)]])
def test_layers_have_to_divide_the_parameters(layers):
    with pytest.raises(ValueError, match="without a gap"):
        covariate_shift(slope, W, W, layers)


# Of a network


@pytest.fixture(scope="module", params=[True, False], ids=["with BN", "without"])
def network(request):
    x, labels = draw_arms(24, 3, noise=0.1, rng=np.random.default_rng(0))
    params = init_network((2, 5, 4, 3), normalized=request.param, seed=np.arange(6).reshape(3, 2))
    return params, x, labels


def test_a_vector_reads_back_as_the_network(network):
    params, _, _ = network
    vector = flatten(params)
    assert vector.shape == (3, 2, sum(a[0, 0].size for a in params.arrays))
    for a, b in zip(unflatten(vector, params).arrays, params.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    # Layer 2 is its weights, its biases and, where there are any, its γ and β.
    own = [params.weights[1][1, 1].ravel(), params.biases[1][1, 1]]
    own += [params.gammas[1][1, 1], params.betas[1][1, 1]] if params.normalized else []
    np.testing.assert_array_equal(vector[1, 1, layer_slices(params)[1]], np.concatenate(own))


def test_network_along_its_gradient_is_the_network_after_a_step(network):
    params, x, labels = network
    found = network_smoothness(params, x, labels, "tanh", rate=0.3, ahead=[0.05, 0.3])
    loss, gradient = loss_and_gradient(params, x, labels, "tanh")
    np.testing.assert_allclose(found.loss, loss)
    moved = params.moved(gradient, -0.3)
    there, turned = loss_and_gradient(moved, x, labels, "tanh")
    np.testing.assert_allclose(found.ahead[1], there, rtol=1e-12)
    apart = turned.moved(gradient, -1.0)
    np.testing.assert_allclose(found.change.distance[1], np.sqrt(apart.dot(apart)), rtol=1e-9)
    # To first order the loss falls by the step times the squared gradient.
    fallen = network_smoothness(params, x, labels, "tanh", rate=0.3, ahead=[1e-6]).ahead[0]
    np.testing.assert_allclose((loss - fallen) / 1e-6, gradient.dot(gradient), rtol=1e-3)


def test_shift_of_a_network_is_its_gradient_with_the_lower_layers_exchanged(network):
    params, x, labels = network
    found = network_smoothness(params, x, labels, "tanh", rate=0.3, ahead=[0.1])
    _, gradient = loss_and_gradient(params, x, labels, "tanh")
    moved = params.moved(gradient, -0.3)
    below = type(params)(
        *(
            tuple(new[:2]) + tuple(old[2:])
            for new, old in (
                (moved.weights, params.weights),
                (moved.biases, params.biases),
                (moved.gammas, params.gammas),
                (moved.betas, params.betas),
            )
        )
    )
    _, changed = loss_and_gradient(below, x, labels, "tanh")
    top = np.sqrt(
        ((changed.weights[2] - gradient.weights[2]) ** 2).sum(axis=(-2, -1))
        + ((changed.biases[2] - gradient.biases[2]) ** 2).sum(axis=-1)
    )
    np.testing.assert_allclose(found.shift.distance[2], top, rtol=1e-9)
    assert np.all(found.shift.distance[0] == 0)
    assert np.all(found.relative_shift > 0)
    whole = np.sqrt((found.shift.distance**2).sum(axis=0) / gradient.dot(gradient))
    np.testing.assert_allclose(found.relative_shift, whole, rtol=1e-9)


def test_scaling_the_weights_of_a_normalized_network_leaves_the_loss_and_divides_the_gradient():
    # L(c·w) = L(w) for the weights of normalized layers, so their gradient has size 1/c.
    x, labels = draw_arms(24, 3, noise=0.1, rng=np.random.default_rng(0))
    small, large = (init_network((2, 5, 4, 3), normalized=True, init_scale=c, seed=1) for c in (10.0, 40.0))
    one, other = (network_smoothness(p, x, labels, "tanh", rate=0.1, ahead=[0.1]) for p in (small, large))
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
    a, b = (loss_and_gradient(p, x, labels, "tanh")[1].weights[0] for p in (small, large))
    np.testing.assert_allclose(a, 4 * b, rtol=1e-3)
    assert cross_entropy(forward(small, x, "tanh").output, labels) == pytest.approx(float(one.loss))
