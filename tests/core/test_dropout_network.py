"""One input under many masks: gradients, exact zeros, means over masks; two twins against their closed form."""

from itertools import product

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.dropout_ensemble import kept_probability
from core.dropout_network import (
    cut_off,
    draw_masks,
    error_without,
    evaluated_pass,
    masked_pass,
    mean_output,
    twins_rate,
    two_twins,
    two_twins_theory,
)
from core.initializers import INITIALIZERS
from core.network import flatten, forward, init_network, unflatten

SIZES = (3, 4, 3, 2)
RATES = (0.2, 0.5, 0.3)
X = np.array([1.0, -0.6, 0.8])
TARGET = np.array([1.0, -0.5])
every_activation = pytest.mark.parametrize("name", ["ReLU", "tanh", "identity"])


def network(sizes=SIZES, seed=1, bias=0.1):
    return init_network(sizes, INITIALIZERS["He normal"], seed=seed, bias=bias)


def run(name="ReLU", steps=12, params=None, rates=RATES, sizes=SIZES):
    masks = draw_masks(sizes, rates, steps, seed=3)
    return masked_pass(
        params or network(sizes), X, TARGET[: sizes[-1]], ACTIVATIONS[name], rates=rates, masks=masks
    )


def by_hand(params, masks, rates, f):
    """Send X up one mask at a time, unit by unit."""
    outputs = []
    for t in range(len(masks[0])):
        a = [x * keep / (1 - rates[0]) for x, keep in zip(X, masks[0][t], strict=True)]
        for layer, (w, b) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
            z = [sum(a[i] * w[i, j] for i in range(len(a))) + b[j] for j in range(w.shape[1])]
            a = z
            if layer < len(params.weights):
                a = [f(v) * keep / (1 - rates[layer]) for v, keep in zip(z, masks[layer][t], strict=True)]
        outputs.append(a)
    return np.array(outputs)


@every_activation
def test_output_by_hand(name):
    f = {"ReLU": lambda z: max(z, 0.0), "tanh": np.tanh, "identity": lambda z: z}[name]
    found = run(name)
    output = by_hand(network(), found.masks, RATES, f)
    np.testing.assert_allclose(found.output, output, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.loss, ((output - TARGET) ** 2).mean(axis=1), rtol=1e-12)


@every_activation
def test_gradient_by_finite_differences(name):
    params, h = network(), 1e-6
    found = run(name)
    vector = flatten(params)
    differences = []
    for k in range(len(vector)):
        moved = [vector + sign * h * (np.arange(len(vector)) == k) for sign in (1, -1)]
        up, down = (run(name, params=unflatten(v, SIZES)).loss for v in moved)
        differences.append((up - down) / (2 * h))
    np.testing.assert_allclose(flatten(found.gradient), np.array(differences).T, rtol=1e-5, atol=1e-8)


def test_gradient_of_the_input_by_finite_differences():
    found, h = run("tanh"), 1e-6
    masks, params, activation = found.masks, network(), ACTIVATIONS["tanh"]
    for i, unit in enumerate(np.eye(3)):
        up, down = (
            masked_pass(params, X + s * h * unit, TARGET, activation, rates=RATES, masks=masks).loss
            for s in (1, -1)
        )
        np.testing.assert_allclose(found.deltas[0][:, i], (up - down) / (2 * h), rtol=1e-6, atol=1e-9)


@every_activation
def test_weights_of_a_dropped_unit_have_no_gradient(name):
    found = run(name, steps=40)
    for layer, mask in enumerate(found.masks):
        assert (~mask).any()
        assert (mask).any()
        out = found.gradient.weights[layer]
        assert (out[~mask] == 0).all()
        assert (found.deltas[layer][~mask] == 0).all()
        if layer:
            into = np.moveaxis(found.gradient.weights[layer - 1], 1, 2)
            assert (into[~mask] == 0).all()
            assert (found.gradient.biases[layer - 1][~mask] == 0).all()
        # Where mask, layer above and target leave something, what is kept does have one.
        if name != "ReLU":
            alive = np.all([m.any(axis=1) for m in found.masks], axis=0)
            assert alive.any()
            assert (np.abs(found.deltas[layer]).max(axis=1)[alive] > 0).all()


@every_activation
def test_evaluation_is_the_network_without_dropout(name):
    params = network()
    found = evaluated_pass(params, X, TARGET, ACTIVATIONS[name], rates=RATES)
    np.testing.assert_allclose(found.output, forward(params, X[None], ACTIVATIONS[name]).output, rtol=1e-13)
    free = run(name, steps=2, rates=(0.0, 0.0, 0.0))
    for mine, theirs in zip(found.deltas, free.deltas, strict=True):
        np.testing.assert_allclose(mine[0], theirs[1], rtol=1e-12)


@every_activation
def test_mean_over_all_masks_against_brute_force(name):
    params = network()
    masks = [np.array(bits, dtype=bool) for bits in product([False, True], repeat=sum(SIZES[:-1]))]
    every = np.split(np.array(masks), np.cumsum(SIZES[:-1])[:-1], axis=1)
    probability = np.prod(
        [np.where(m, 1 - r, r).prod(axis=1) for m, r in zip(every, RATES, strict=True)], axis=0
    )
    assert probability.sum() == pytest.approx(1)
    output = masked_pass(params, X, TARGET, ACTIVATIONS[name], rates=RATES, masks=every).output
    found = mean_output(params, X, ACTIVATIONS[name], rates=RATES)
    np.testing.assert_allclose(found.mean, probability @ output, rtol=1e-12)
    assert found.masks == 2**7
    assert (found.standard_error == 0).all()


def test_mean_over_masks_is_evaluation_where_the_output_is_linear_in_them():
    linear = mean_output(network(), X, ACTIVATIONS["identity"], rates=RATES)
    whole = evaluated_pass(network(), X, TARGET, ACTIVATIONS["identity"], rates=RATES)
    np.testing.assert_allclose(linear.mean, whole.output[0], rtol=1e-12)
    bent = mean_output(network(), X, ACTIVATIONS["ReLU"], rates=RATES)
    whole = evaluated_pass(network(), X, TARGET, ACTIVATIONS["ReLU"], rates=RATES)
    assert np.abs(bent.mean - whole.output[0]).max() > 0.01
    one = network((3, 6, 2))
    shallow = mean_output(one, X, ACTIVATIONS["ReLU"], rates=(0.0, 0.5))
    assert shallow.masks == 1
    whole = evaluated_pass(one, X, TARGET, ACTIVATIONS["ReLU"], rates=(0.0, 0.5))
    np.testing.assert_allclose(shallow.mean, whole.output[0], rtol=1e-12)


def test_many_units_are_drawn_and_agree_with_evaluation_where_they_must():
    sizes, rates = (3, 8, 8, 4, 1), (0.0, 0.5, 0.5, 0.5)
    params = network(sizes)
    found = mean_output(params, X, ACTIVATIONS["identity"], rates=rates)
    whole = evaluated_pass(params, X, [0.0], ACTIVATIONS["identity"], rates=rates).output[0]
    assert found.masks == 4096
    assert 0 < found.standard_error[0] < 0.2
    assert abs(found.mean[0] - whole[0]) < 4 * found.standard_error[0]


def test_masks_extend_and_nest():
    masks = draw_masks(SIZES, RATES, 5, seed=2)
    longer = draw_masks((3, 4, 3, 5, 2), (*RATES, 0.5), 9, seed=2)
    for short, long in zip(masks, longer, strict=False):
        np.testing.assert_array_equal(short, long[:5])
    wider = draw_masks((3, 6, 3, 2), RATES, 5, seed=2)
    np.testing.assert_array_equal(masks[1], wider[1][:, :4])
    rarer = draw_masks(SIZES, (0.4, 0.7, 0.6), 5, seed=2)
    assert all((few <= many).all() for few, many in zip(rarer, masks, strict=True))
    assert any((few != many).any() for few, many in zip(rarer, masks, strict=True))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_ends_of_p(p):
    rates = (p, p, p)
    found = run(rates=rates)
    expected = (
        network().biases[-1]
        if p
        else evaluated_pass(network(), X, TARGET, ACTIVATIONS["ReLU"], rates=rates).output
    )
    np.testing.assert_allclose(found.output, np.broadcast_to(expected, found.output.shape), atol=1e-12)
    assert all((m == (p == 0)).all() for m in found.masks)
    assert np.isfinite(flatten(found.gradient)).all()
    assert cut_off(SIZES, rates) == p


def test_kept_units_and_cut_off_by_counting():
    masks = np.array(list(product([0, 1], repeat=5)))
    weight = np.where(masks, 0.7, 0.3).prod(axis=1)
    counted = [weight[masks.sum(axis=1) == k].sum() for k in range(6)]
    np.testing.assert_allclose(kept_probability(5, 0.3), counted)
    blocked = ~(masks[:, :2].any(axis=1) & masks[:, 2:].any(axis=1))
    assert cut_off((2, 3, 1), (0.3, 0.3)) == pytest.approx(weight[blocked].sum())


@pytest.mark.parametrize("given", [{"x": X[:2]}, {"rates": (0.5,)}, {"masks": "short"}])
def test_refuses_what_does_not_fit(given):
    masks = draw_masks(SIZES, RATES, 2, seed=0)
    use = {"x": X, "rates": RATES, "masks": masks, **given}
    if use["masks"] == "short":
        use["masks"] = masks[:-1]
    x = use.pop("x")
    with pytest.raises(ValueError, match="need"):
        masked_pass(network(), x, TARGET, ACTIVATIONS["ReLU"], **use)


# Twins


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_twins_follow_their_expected_path(p):
    runs = two_twins(p=p, steps=60, runs=300, seed=5)
    theory = two_twins_theory(p=p, steps=60, rate=twins_rate(p))
    error = runs.std(axis=1, ddof=1) / np.sqrt(300)
    z = (runs.mean(axis=1) - theory.weights)[1:] / error[1:]
    assert np.abs(z).max() < 4.5
    assert np.abs(theory.weights[-1] - [1, 0]).max() > 0.05


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_theory_is_descent_on_the_expected_loss(p):
    rate = twins_rate(p)
    masks = np.array(list(product([0, 1], repeat=2)))
    weight = np.where(masks, 1 - p, p).prod(axis=1)
    w = np.array([0.9, -0.3])
    path = [w]
    for _ in range(20):
        seen = masks / (1 - p)
        w = w - rate * 2 * (weight[:, None] * (seen @ w - 1)[:, None] * seen).sum(axis=0)
        path.append(w)
    theory = two_twins_theory(p=p, steps=20, rate=rate, start=(0.9, -0.3))
    np.testing.assert_allclose(theory.weights, path, rtol=1e-12)
    # At the minimum ridge regression's normal equations hold: (XᵀX + λI)w = Xᵀy.
    ridge = np.linalg.solve(np.ones((2, 2)) + p / (1 - p) * np.eye(2), np.ones(2))
    np.testing.assert_allclose(theory.limit, ridge)


def test_plain_descent_keeps_the_split():
    assert (two_twins(p=0.0, steps=5, runs=3) == [1.0, 0.0]).all()
    moved = two_twins(p=0.0, steps=40, runs=2, start=(0.7, -0.4))
    np.testing.assert_allclose(moved[..., 0] - moved[..., 1], 1.1, rtol=1e-12)
    assert moved[-1].sum(axis=-1) == pytest.approx(1, abs=0.01)


def test_nothing_is_learned_at_one():
    assert (two_twins(p=1.0, steps=3, runs=2) == [1.0, 0.0]).all()
    assert (two_twins_theory(p=1.0, steps=3, rate=0.0).weights == [1.0, 0.0]).all()


def test_more_runs_and_steps_extend():
    long = two_twins(p=0.5, steps=8, runs=5, seed=7)
    np.testing.assert_array_equal(two_twins(p=0.5, steps=4, runs=3, seed=7), long[:5, :3])


def test_error_without_by_hand():
    np.testing.assert_allclose(error_without([0.75, 0.125]), [0.015625, 0.765625, 0.0625])
