"""The normalization family against PyTorch, hand computation, finite differences and tables of invariances."""

from pathlib import Path

import numpy as np
import pytest

from core.normalization import RunningStats, normalize_batch
from core.normalizers import (
    CHANGES,
    CHANNELS,
    NORMALIZERS,
    PLAIN,
    TREATMENTS,
    Trial,
    draw_inputs,
    draw_trial,
    evaluate_activations,
    input_moments,
    invariances,
    layer,
    layer_backward,
    norm_only_separability,
    normalize_activations,
    normalize_activations_backward,
    normalizer,
    orthogonality,
    others_redrawn,
    own_statistics,
    regress,
    regression_hessian,
    sequence_steps,
    squared_error_gradient,
    swamped_share,
    track,
    weight_scale,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "normalizers.npz")
ALL = {"none": PLAIN, **NORMALIZERS}
POOLED = [name for name, entry in NORMALIZERS.items() if entry.statistic]
LENGTHS = [name for name, entry in NORMALIZERS.items() if not entry.statistic]
TRACKED = [name for name, entry in NORMALIZERS.items() if entry.tracks]
close = {"rtol": 1e-10, "atol": 1e-10}
every = pytest.mark.parametrize("name", ALL)
pooled = pytest.mark.parametrize("name", POOLED)
conventions = pytest.mark.parametrize("convention", ["PyTorch", "Keras"])


def golden(convention, name):
    key = f"{convention}/{name}"
    beta = GOLDEN.get(f"{key}/beta", 0.0)
    return key, GOLDEN[f"{key}/gamma"], beta


# PyTorch


@pooled
@conventions
def test_forward_and_backward_equal_pytorch(name, convention):
    entry = NORMALIZERS[name]
    eps = entry.default_eps(convention)
    key, gamma, beta = golden(convention, name)
    assert gamma.shape == entry.learned_shape(6, 3)
    assert (f"{key}/beta" in GOLDEN) == entry.offset
    steps = 3 if entry.tracks else 1
    for t in range(steps):
        x, dy = GOLDEN[f"x{t}"], GOLDEN[f"dy{t}"]
        run = normalize_activations(entry, x, gamma, beta, eps=eps, groups=3)
        np.testing.assert_allclose(run.y, GOLDEN[f"{key}/y{t}"], **close)
        dx, dgamma, dbeta = normalize_activations_backward(entry, x, gamma, dy, eps=eps, groups=3)
        np.testing.assert_allclose(dx, GOLDEN[f"{key}/dx{t}"], **close)
        np.testing.assert_allclose(dgamma, GOLDEN[f"{key}/dgamma{t}"], **close)
        if entry.offset:
            np.testing.assert_allclose(dbeta, GOLDEN[f"{key}/dbeta{t}"], **close)


@pytest.mark.parametrize("name", TRACKED)
def test_running_statistics_and_evaluation_equal_pytorch(name):
    entry, (key, gamma, beta) = NORMALIZERS[name], golden("PyTorch", name)
    running = RunningStats.start(6)
    for t in range(3):
        running = track(entry, GOLDEN[f"x{t}"], running)
        np.testing.assert_allclose(running.mean, GOLDEN[f"{key}/mean{t}"], **close)
        np.testing.assert_allclose(running.var, GOLDEN[f"{key}/var{t}"], **close)
        kept = running.mean.copy()
        y = evaluate_activations(entry, GOLDEN["x0"], gamma, beta, running=running)
        np.testing.assert_allclose(y, GOLDEN[f"{key}/eval{t}"], **close)
        np.testing.assert_array_equal(running.mean, kept)


def test_keras_stores_the_biased_variance():
    z = np.array([1.0, 2.0, 4.0, 9.0]).reshape(-1, 1)
    for convention, var in (("PyTorch", 0.9 + 0.1 * 38 / 3), ("Keras", 0.99 + 0.01 * 9.5)):
        running = track(NORMALIZERS["BatchNorm"], z, RunningStats.start(1), convention=convention)
        np.testing.assert_allclose(running.var, [var], rtol=1e-12)


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_equal_pytorch(name):
    entry = NORMALIZERS[name]
    gamma, beta = (GOLDEN.get(f"{name}/{part}", start) for part, start in (("gamma", 1.0), ("beta", 0.0)))
    x, weight = GOLDEN["input"], GOLDEN["weight"]
    np.testing.assert_allclose(layer(entry, x, weight, gamma, beta).y[:, :, 0], GOLDEN[f"{name}/y"], **close)
    gradient = layer_backward(entry, x, weight, gamma, GOLDEN["dy"])
    np.testing.assert_allclose(gradient, GOLDEN[f"{name}/dweight"], **close)


def test_batchnorm_is_the_one_of_its_own_page():
    x, gamma, beta = GOLDEN["x1"], np.linspace(1, 2, 6), np.linspace(-1, 1, 6)
    y, running = normalize_batch(x, gamma, beta, RunningStats.start(6))
    entry = NORMALIZERS["BatchNorm"]
    np.testing.assert_allclose(normalize_activations(entry, x, gamma, beta).y, y, rtol=1e-14)
    np.testing.assert_allclose(track(entry, x, RunningStats.start(6)).var, running.var, rtol=1e-14)


# By hand


# axes over which a statistic is taken when z is seen as (N, G, C/G, L)
AXES = {
    "BatchNorm": (0, 3),
    "LayerNorm": (1, 2, 3),
    "LayerNorm (channels)": (1, 2),
    "InstanceNorm": (3,),
    "GroupNorm": (2, 3),
    "RMSNorm": (1, 2),
}


def test_every_entry_with_a_statistic_has_its_axes_here():
    assert set(AXES) == set(POOLED)


@pooled
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_statistics_by_axes(name, groups):
    entry = NORMALIZERS[name]
    z = np.random.default_rng(1).normal(2.0, 3.0, size=(3, 6, 4))
    seen = z.reshape(3, groups, 6 // groups, 4) if entry.grouped else z.reshape(3, 6, 1, 4)
    axes = AXES[name]
    mean = seen.mean(axes, keepdims=True) if entry.centered else 0.0
    scale = np.sqrt(((seen - mean) ** 2).mean(axes, keepdims=True) + 0.5)
    run = normalize_activations(entry, z, eps=0.5, groups=groups)
    np.testing.assert_allclose(run.normal, ((seen - mean) / scale).reshape(z.shape), rtol=1e-12)
    np.testing.assert_allclose(run.scale, np.broadcast_to(scale, seen.shape).reshape(z.shape), rtol=1e-12)


def test_groups_are_layers_at_one_end_and_instances_at_the_other():
    z = np.random.default_rng(2).normal(size=(3, 6, 4))
    group, one, each = (NORMALIZERS[n] for n in ("GroupNorm", "LayerNorm", "InstanceNorm"))
    np.testing.assert_array_equal(
        normalize_activations(group, z, groups=1).y, normalize_activations(one, z).y
    )
    np.testing.assert_array_equal(
        normalize_activations(group, z, groups=6).y, normalize_activations(each, z).y
    )


def test_layer_normalization_by_hand():
    y = normalize_activations(NORMALIZERS["LayerNorm"], [[0.2, 0.5, 0.1, 2000.0]]).y
    # the small three are alike beside 2000: −1/√3 each, and √3
    np.testing.assert_allclose(y.ravel(), [-(3**-0.5)] * 3 + [3**0.5], atol=3e-4)


def test_root_mean_square_by_hand():
    run = normalize_activations(NORMALIZERS["RMSNorm"], [[3.0, 4.0]], eps=0.0)
    np.testing.assert_allclose(run.normal.ravel(), np.array([3.0, 4.0]) / np.sqrt(12.5), rtol=1e-14)


@pooled
def test_hostile_values(name):
    entry = NORMALIZERS[name]
    z = np.random.default_rng(3).normal(size=(3, 6, 4))
    far = normalize_activations(entry, z + 1e8).normal
    if entry.centered:  # an offset is gone but for the rounding of the input itself
        np.testing.assert_allclose(far, normalize_activations(entry, z).normal, atol=1e-6)
    else:
        np.testing.assert_allclose(far, 1.0, atol=1e-6)
    huge = normalize_activations(entry, z * 1e200, eps=0.0).normal
    np.testing.assert_allclose(huge, normalize_activations(entry, z, eps=0.0).normal, rtol=1e-12)
    constant = normalize_activations(entry, np.full((3, 6, 4), 7.0), 2.0, 0.5).y
    np.testing.assert_allclose(constant, 0.5 if entry.centered else 2.5, rtol=1e-12)
    spoiled = z.copy()
    spoiled[1, 2, 3] = np.nan
    labels = entry.labels(z.shape, 2)
    lost = np.isnan(normalize_activations(entry, spoiled).y)
    np.testing.assert_array_equal(lost, labels == labels[1, 2, 3])


def test_one_value_gives_beta():
    y = normalize_activations(NORMALIZERS["BatchNorm"], [[5.0, -3.0]], 2.0, [0.5, 0.25]).y
    np.testing.assert_array_equal(y.ravel(), [0.5, 0.25])


def test_unit_of_zero_weights():
    x, weight = np.ones((2, 2)), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert np.isnan(layer(NORMALIZERS["WeightNorm"], x, weight).y[:, 0]).all()
    cosine = layer(NORMALIZERS["cosine"], x, weight).y[:, :, 0]
    np.testing.assert_allclose(cosine, [[0.0, 1.0]] * 2, rtol=1e-14)
    assert np.isfinite(layer_backward(NORMALIZERS["cosine"], x, weight, 1.0, np.ones((2, 2)))).all()


def test_refusals_say_what_is_needed():
    z = np.zeros((2, 6, 3))
    with pytest.raises(ValueError, match="divisor of 6"):
        normalize_activations(NORMALIZERS["GroupNorm"], z, groups=4)
    with pytest.raises(ValueError, match="needs one of BatchNorm"):
        normalizer("BachNorm")
    with pytest.raises(ValueError, match="no running statistics"):
        track(NORMALIZERS["LayerNorm"], z, RunningStats.start(6))
    with pytest.raises(ValueError, match="needs its running statistics"):
        evaluate_activations(NORMALIZERS["BatchNorm"], z)
    with pytest.raises(ValueError, match="use layer"):
        normalize_activations(NORMALIZERS["WeightNorm"], z)
    with pytest.raises(ValueError, match=r"needs \(6, 3\)"):
        normalize_activations(NORMALIZERS["LayerNorm"], z, np.ones(6))
    with pytest.raises(ValueError, match="needs \\(6, C\\)"):
        layer(PLAIN, z, np.zeros((5, 2)))


@pooled
def test_evaluation_differs_from_training_only_with_running_statistics(name):
    entry, z = NORMALIZERS[name], np.random.default_rng(4).normal(2.0, size=(3, 6, 4))
    trained = normalize_activations(entry, z).y
    if not entry.stored:
        np.testing.assert_array_equal(evaluate_activations(entry, z), trained)
    if entry.tracks:
        stored = evaluate_activations(entry, z, running=RunningStats.start(6))
        np.testing.assert_allclose(stored, z / np.sqrt(1 + 1e-5), rtol=1e-12)


# Gradients


def slope(f, at):
    """Return the gradient of f at an array by central differences."""
    result = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        for sign in (1, -1):
            moved = at.copy()
            moved[place] += sign * 1e-6
            result[place] += sign * f(moved) / 2e-6
    return result


@every
def test_gradient_by_weights_is_that_of_the_loss(name):
    entry = ALL[name]
    full = draw_trial(3)
    trial = Trial(full.x[:3, :, :2], full.weight, full.target[:3, :, :2])

    def loss(weight):
        return 0.5 * np.mean((layer(entry, trial.x, weight, eps=0.1, groups=3).y - trial.target) ** 2)

    gradient = squared_error_gradient(entry, trial, trial.weight, eps=0.1, groups=3)
    np.testing.assert_allclose(gradient, slope(loss, trial.weight), atol=1e-8)


# Invariances: Ba, Kiros and Hinton 2016, table 1, and what follows from the axes

SCALES = {"all inputs × 10", "all weights × 10"}
UNITS = {"all weights × 10", "one unit's weights × 10"}
SHIFTS = {"all inputs + 3", "one feature + 3"}
UNCHANGED = {
    "none": set(),
    "BatchNorm": SCALES | UNITS | SHIFTS,
    "LayerNorm": SCALES | {"one sample × 10"},
    "LayerNorm (channels)": SCALES | {"one sample × 10", "one vector added to every unit's weights"},
    "InstanceNorm": SCALES | UNITS | SHIFTS | {"one sample × 10", "one sample + 3"},
    "GroupNorm": SCALES | {"one sample × 10"},
    "RMSNorm": SCALES | {"one sample × 10"},
    "WeightNorm": UNITS,
    "cosine": SCALES | UNITS | {"one sample × 10"},
}


@every
@pytest.mark.parametrize("seed", [0, 7])
def test_invariances(name, seed):
    found = invariances(ALL[name], seed)
    assert [result.change for result in found] == list(CHANGES)
    assert {result.change for result in found if result.invariant} == UNCHANGED[name]
    for result in found:  # nothing lies in between
        assert result.size < 1e-13 or result.size > 0.05


def test_groups_decide_about_units():
    # With one channel a group, a unit's scale and shift are its own.
    found = {r.change for r in invariances(NORMALIZERS["GroupNorm"], groups=CHANNELS) if r.invariant}
    assert found == UNCHANGED["InstanceNorm"]


def test_epsilon_spoils_a_scale_by_its_share():
    # A variance v beside ε: y ∝ 1/√(1 + ε/v) before, 1/√(1 + ε/100v) after; the smallest v of z counts.
    trial, eps = draw_trial(0), 1e-3
    z = np.einsum("ndl,dc->ncl", trial.x, trial.weight)
    found = {r.change: r.size for r in invariances(NORMALIZERS["BatchNorm"], eps=eps)}
    var = z.var(axis=(0, 2))
    before, after = (1 / np.sqrt(1 + eps / (f * var)) for f in (1, 100))
    largest = np.abs((z - z.mean(axis=(0, 2), keepdims=True)) / z.std(axis=(0, 2), keepdims=True)).max(
        axis=(0, 2)
    )
    exact = np.max((after - before) * largest) / np.max(before * largest)
    assert found["all weights × 10"] == pytest.approx(exact, rel=1e-9)


@every
def test_only_batchnorm_looks_at_other_samples(name):
    change = others_redrawn(ALL[name])
    assert change > 0.1 if name == "BatchNorm" else change == 0


@every
def test_gradient_falls_as_the_scale(name):
    entry, factors = ALL[name], np.array([0.1, 1.0, 100.0])
    found = weight_scale(entry, factors)
    np.testing.assert_allclose(found.exact, found.exact[1] / factors, rtol=1e-14)
    alone = weight_scale(entry, factors, unit=0)
    angles = orthogonality(entry)
    for scales, run, angle in (
        ("all weights × 10", found, angles.whole),
        ("one unit's weights × 10", alone, angles.unit),
    ):
        if scales in UNCHANGED[name]:
            np.testing.assert_allclose(run.gradient, run.exact, rtol=1e-12)
            assert angle < 1e-13
        else:
            assert abs(run.gradient[2] / run.exact[2] - 1) > 0.05
            assert angle > 0.05


def test_epsilon_is_a_weight_scale_of_its_own():
    # y(aW, ε) = y(W, ε/a²), so the gradient is 1/a of that at W with ε/a².
    entry = NORMALIZERS["BatchNorm"]
    small = weight_scale(entry, [0.1], eps=0.01).gradient[0]
    assert small == pytest.approx(10 * weight_scale(entry, [1.0], eps=1.0).gradient[0], rel=1e-12)


# Inputs


@pytest.mark.parametrize(
    ("mean", "ratio", "correlation"), [(0.0, 1.0, 0.0), (1.0, 1.0, 0.0), (3.0, 10.0, 0.95)]
)
def test_inputs_have_exactly_the_moments(mean, ratio, correlation):
    x = draw_inputs(mean, ratio, correlation, 50, seed=2)
    center, covariance = input_moments(mean, ratio, correlation)
    np.testing.assert_allclose(x.mean(axis=0), center, atol=1e-12)
    np.testing.assert_allclose(np.cov(x.T, bias=True), covariance, atol=1e-10)


def test_condition_by_hand():
    # Mean (1, 1), unit variances: eigenvalues 1 and 2 ± √3.
    eigenvalues = np.linalg.eigvalsh(regression_hessian([1.0, 1.0], np.eye(2)))
    np.testing.assert_allclose(eigenvalues, [2 - 3**0.5, 1.0, 2 + 3**0.5], rtol=1e-12)


def conditions(mean, ratio, correlation):
    x = draw_inputs(mean, ratio, correlation, 60)
    target = x @ [1.0, -1.0 / ratio] + 0.5
    return {name: regress(t.fit(x).apply(x), target, steps=30).condition for name, t in TREATMENTS.items()}


def test_condition_of_each_treatment():
    found = conditions(0.5, 4.0, 0.6)
    mean, covariance = input_moments(0.5, 4.0, 0.6)
    scale = np.diag([1, 1 / 4])
    for name, (m, s) in {
        "raw": (mean, covariance),
        "centered": (0 * mean, covariance),
        "divided by σ²": (0 * mean, scale @ scale @ covariance @ scale @ scale),
        "divided by σ": (0 * mean, scale @ covariance @ scale),
        "whitened": (0 * mean, np.eye(2)),
    }.items():
        assert found[name] == pytest.approx(np.linalg.cond(regression_hessian(m, s)), rel=1e-9), name
    assert found["divided by σ"] == pytest.approx(1.6 / 0.4)  # (1 + ρ)/(1 − ρ)
    assert set(found) == set(TREATMENTS)


def test_dividing_by_the_variance_does_not_give_variance_one():
    x = draw_inputs(1.0, 4.0, 0.3, 80)
    np.testing.assert_allclose(TREATMENTS["divided by σ²"].fit(x).apply(x).std(axis=0), [1.0, 0.25])
    np.testing.assert_allclose(TREATMENTS["divided by σ"].fit(x).apply(x).std(axis=0), [1.0, 1.0])


@pytest.mark.parametrize("name", TREATMENTS)
def test_descent_is_its_closed_form(name):
    x = draw_inputs(1.0, 3.0, 0.5, 60)
    run = regress(TREATMENTS[name].fit(x).apply(x), x @ [1.0, -1 / 3] + 0.5, steps=40)
    assert run.lr * run.eigenvalues[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(run.loss, run.theory, rtol=1e-9, atol=1e-25)


def test_statistics_of_the_test_set_move_the_boundary():
    found = own_statistics()
    # The threshold of the own statistics lies at the test set's mean, 0.8: Φ((1 − 0.8)/0.5) of nine tenths, and Φ(3.6).
    assert found.own == pytest.approx(0.9 * 0.6554 + 0.1 * 0.9998, abs=0.03)
    assert found.train == pytest.approx(0.9772, abs=0.01)
    balanced = own_statistics(share=0.5)
    assert balanced.own == pytest.approx(balanced.train, abs=0.01)


# What they can and cannot express


def test_features_of_different_size_swamp_each_other():
    found = swamped_share()
    np.testing.assert_allclose(found.batch, 1.0, rtol=1e-12)
    assert np.all(found.layer[:3] < 0.05)
    alike = swamped_share(scales=(1.0,) * 4)
    assert np.all(alike.layer > 0.5)
    with pytest.raises(ValueError, match="two features"):
        swamped_share(scales=(1.0,))


def test_lengths_separate_only_for_the_dot_product():
    found = norm_only_separability()
    assert found.dot == 1.0  # cos 0.5 · 3 is above 1
    assert found.cosine < 0.55
    same = norm_only_separability(lengths=(2.0, 2.0))
    assert same.dot == pytest.approx(same.cosine)


def test_sequences_that_end_leave_few_to_average():
    steps = sequence_steps(batches=200)
    alive = (20 - np.arange(20)) / 20
    np.testing.assert_allclose(steps.running, 16 * alive, atol=0.5)
    np.testing.assert_allclose(steps.empty, (1 - alive) ** 16, atol=0.12)
    np.testing.assert_allclose(steps.batch_error / steps.theory, 1.0, atol=0.2)
    assert steps.batch_error[-1] > 2.5 * steps.batch_error[0]
    assert steps.layer_change == 0
