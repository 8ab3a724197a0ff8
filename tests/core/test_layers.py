"""Inside the layers: histograms, flat shares, the first update and σ = M^−a, against closed forms and brute force."""

import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS, LSUV
from core.layers import (
    draw_stack,
    first_update,
    fitted,
    flat_shares,
    flat_theory,
    linear_rms,
    measured_histograms,
    power_law,
    single_input_rms,
    theory_histograms,
)
from core.moments import signal_moments
from core.network import forward
from core.propagation import pooled_rms, propagate, propagate_theory, root_mean_square
from core.properties import flat_regions
from core.special import normal_cdf

every = pytest.mark.parametrize("name", ACTIVATIONS)
scheme = pytest.mark.parametrize("scheme", INITIALIZERS.values(), ids=lambda s: s.name)
EDGES = np.linspace(-4, 4, 51)
SMALL = {"depth": 5, "width": 12, "batch": 6, "networks": 3, "seed": 4}


def stack(name="He normal", **changes):
    return draw_stack(INITIALIZERS[name], **{**SMALL, **changes})


# The stack


@scheme
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
def test_a_stack_is_the_networks_of_propagate(scheme, sigma_b):
    tanh = ACTIVATIONS["tanh"]
    drawn = draw_stack(scheme, **SMALL, sigma_b=sigma_b)
    known = propagate(
        tanh, [scheme], depth=5, width=12, batch=6, seeds=3, seed=4, sigma_b=sigma_b, weight_gradients=False
    )
    run = forward(drawn.params, tanh.f(drawn.x), tanh)
    for l, h in enumerate(run.pre, start=1):
        np.testing.assert_allclose(
            root_mean_square(h.reshape(3, -1)), known.signal_rms[0, :, l], rtol=1e-10, atol=1e-300
        )
    outputs, gradients = measured_histograms(tanh, drawn, range(1, 6), EDGES)
    np.testing.assert_allclose(gradients.rms, pooled_rms(known.gradient_rms)[0, 1:], rtol=1e-10)
    assert np.all(outputs.rms <= 1)


def test_more_depth_and_more_networks_extend_a_stack():
    less, more = stack(), stack(depth=8, networks=5, batch=9)
    np.testing.assert_array_equal(more.x[:3, :6], less.x)
    for l in range(5):
        np.testing.assert_array_equal(more.params.weights[l][:3], less.params.weights[l])


def test_a_fitted_stack_is_that_of_lsuv():
    relu = ACTIVATIONS["ReLU"]
    drawn = fitted(draw_stack(LSUV, **SMALL, sigma_b=0.2), relu)
    known = propagate(relu, [LSUV], depth=5, width=12, batch=6, seeds=3, seed=4, sigma_b=0.2)
    run = forward(drawn.params, relu.f(drawn.x), relu)
    for l, h in enumerate(run.pre, start=1):
        rms = root_mean_square(h.reshape(3, -1))
        np.testing.assert_allclose(rms, known.signal_rms[0, :, l], rtol=1e-10)
        seen = h - drawn.params.biases[l - 1][:, None]
        np.testing.assert_allclose(seen.reshape(3, -1).std(axis=1), 1, rtol=1e-10)


@pytest.mark.parametrize(
    "change", [{"depth": 0}, {"width": 0}, {"batch": 0}, {"networks": 0}, {"seed": -1}, {"sigma_b": math.nan}]
)
def test_a_stack_refuses_what_makes_no_sense(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        stack(**change)


# Histograms


@every
def test_measured_shares_are_counts(name):
    entry = ACTIVATIONS[name]
    drawn = stack("LeCun normal", networks=1)
    outputs, gradients = measured_histograms(entry, drawn, [2, 5], EDGES)
    h = forward(drawn.params, entry.f(drawn.x), entry).pre
    for row, l in enumerate((2, 5)):
        values = entry.f(h[l - 1]).ravel()
        rms = math.sqrt(float(np.mean(values**2)))
        assert outputs.rms[row] == pytest.approx(rms, rel=1e-12)
        assert outputs.zero[row] == np.mean(values == 0)
        # A value may lie on an edge to within rounding, so that only the sums below a few edges are compared.
        for edge in (10, 30, 45):
            share = np.mean((values != 0) & (values < EDGES[edge] * (rms or 1)) & (values >= -4 * rms))
            assert outputs.shares[row, :edge].sum() == pytest.approx(share, abs=0.03)
    for found in (outputs, gradients):
        assert np.all(found.shares.sum(axis=1) + found.zero <= 1 + 1e-12)
    assert gradients.rms[1] == pytest.approx(math.sqrt(float(np.mean(drawn.top**2))), rel=1e-12)


@every
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_exact_shares_are_those_of_many_draws(name, scale):
    entry = ACTIVATIONS[name]
    n = 100_000
    rng = np.random.default_rng(7)
    h, g = scale * rng.standard_normal(n), rng.standard_normal(n)
    found = theory_histograms(entry, [scale], [1.0], EDGES)
    for exact, values in zip(found, (entry.f(h), g * entry.df(h)), strict=True):
        assert exact.zero[0] == pytest.approx(np.mean(values == 0), abs=0.01)
        rms = math.sqrt(float(np.mean(values**2))) or 1.0
        # Compared as distributions at a few places, for the two rms differ by what was drawn.
        for edge in (5, 15, 20, 24, 26, 30, 35, 45):
            inside = np.mean((values != 0) & (np.abs(values) <= 4 * rms) & (values < EDGES[edge] * rms))
            near = np.mean(
                (values != 0) & (np.abs(values - EDGES[edge] * rms) < 0.012 * rms)
            ) + 5 / math.sqrt(n)
            assert abs(exact.shares[0, :edge].sum() - inside) < near, edge
    moments = signal_moments(entry, mu=0.0, sigma=scale)
    assert found[0].rms[0] == pytest.approx(math.sqrt(moments.second), rel=2e-3)


def test_exact_shares_of_relu_in_closed_form():
    outputs, gradients = theory_histograms(ACTIVATIONS["ReLU"], [3e-40, 1.0, 7e50], [1.0, 1.0, 1.0], EDGES)
    # φ(h)/rms is √2·|z| half the time; δ/rms is √2·z half the time; the other half is 0.
    below = normal_cdf(EDGES / math.sqrt(2))
    for row in range(3):
        np.testing.assert_allclose(
            outputs.shares[row], np.where(EDGES[1:] > 0.01, np.diff(below), 0), atol=5e-4
        )
        np.testing.assert_allclose(gradients.shares[row], np.diff(below) / 2, atol=1e-9)
    np.testing.assert_allclose(outputs.zero, 0.5, atol=1e-12)
    np.testing.assert_allclose(gradients.zero, 0.5, atol=1e-12)


def test_the_gradient_of_the_last_layer_is_normal():
    _, gradients = theory_histograms(ACTIVATIONS["ReLU"], [1.0, 1.0], [1.0, 1.0], EDGES, top=1)
    np.testing.assert_array_equal(gradients.shares[1], np.diff(normal_cdf(EDGES)))
    assert gradients.zero[1] == 0
    assert gradients.zero[0] == pytest.approx(0.5)


def test_wide_networks_have_the_shares_of_theory():
    tanh, entry = ACTIVATIONS["tanh"], INITIALIZERS["He normal"]
    drawn = draw_stack(entry, depth=4, width=300, batch=60, networks=2, seed=1)
    mean = propagate_theory(tanh, [entry], depth=4, width=300)
    exact = theory_histograms(tanh, mean.signal_rms[0, 1:], mean.gradient_rms[0, 1:], EDGES, top=3)
    for got, want in zip(measured_histograms(tanh, drawn, range(1, 5), EDGES), exact, strict=True):
        np.testing.assert_allclose(got.shares, want.shares, atol=0.012)
        np.testing.assert_allclose(got.rms, want.rms, rtol=0.06)


def test_layers_that_are_not_finite_are_nan():
    square = ACTIVATIONS["squared ReLU"]
    drawn = draw_stack(INITIALIZERS["N(0, 1)"], depth=20, width=20, batch=4, networks=2, seed=0)
    outputs, gradients = measured_histograms(square, drawn, [1, 20], EDGES)
    assert np.isfinite(outputs.shares[0]).all()
    assert np.isnan(outputs.shares[1]).all()
    assert np.isnan(gradients.shares[0]).all()
    saturated, zero, dead = flat_shares(square, drawn)
    for share in (saturated, zero, dead):
        assert np.isfinite(share[:, 0]).all()
        assert np.isnan(share[:, -1]).all()
    assert np.isnan(theory_histograms(square, [math.inf, math.nan], [1.0, 1.0], EDGES)[0].shares).all()
    with pytest.raises(ValueError, match="layers"):
        measured_histograms(square, drawn, [0], EDGES)


# Flat slopes


@every
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 4.0])
def test_flat_theory_is_that_of_the_moments(name, scale):
    entry = ACTIVATIONS[name]
    saturated, zero = flat_theory(entry, [scale])
    moments = signal_moments(entry, mu=0.0, sigma=scale)
    assert zero[0] == pytest.approx(moments.share_zero, abs=1e-12)
    assert saturated[0] == pytest.approx(moments.share_saturated, abs=1e-12)


@every
def test_flat_shares_are_counts_of_slopes(name):
    entry = ACTIVATIONS[name]
    drawn = stack("LeCun normal")
    threshold = flat_regions(entry).threshold
    saturated, zero, dead = flat_shares(entry, drawn)
    for l, h in enumerate(forward(drawn.params, entry.f(drawn.x), entry).pre):
        if not np.isfinite(h).all() or np.abs(h).max() > 6:  # tails that underflow are no exact zeros
            break
        slope = np.abs(entry.df(h))
        assert saturated[:, l] == pytest.approx(
            ((slope < threshold) | (slope == 0)).mean(axis=(1, 2)), abs=1e-12
        )
        assert zero[:, l] == pytest.approx((slope == 0).mean(axis=(1, 2)), abs=1e-12)
        assert dead[:, l] == pytest.approx((slope == 0).all(axis=1).mean(axis=1), abs=1e-12)
    assert l > 0
    assert np.nanmax(dead - zero) <= 1e-12


def test_flat_theory_of_a_signal_that_is_not_known_is_nan():
    for share in flat_theory(ACTIVATIONS["ReLU"], [math.nan, 0.0, 1e-200]):
        assert math.isnan(share[0])
        np.testing.assert_allclose(share[1:], [1.0, 0.5])


# The first update


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "GELU", "softplus"])
@pytest.mark.parametrize("scheme", ["Glorot normal", "NTK", "orthogonal"])
def test_the_update_is_that_of_the_loss(name, scheme):
    entry = ACTIVATIONS[name]
    drawn = draw_stack(INITIALIZERS[scheme], depth=3, width=4, batch=5, networks=1, seed=2, sigma_b=0.1)
    m = INITIALIZERS[scheme].multiplier(4, 4)

    def loss(l, change):
        """Cross-entropy where the stored weights V = W/m of one layer are changed."""
        h = drawn.x[0]
        for k in range(3):
            v = drawn.params.weights[k][0] / m + (change if k == l else 0)
            h = entry.f(h) @ (m * v) + drawn.params.biases[k][0]
        p = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
        return -np.mean(np.log(p[np.arange(5), drawn.labels[0]]))

    found = first_update(entry, drawn, lr=0.3)
    for l in range(3):
        gradient = np.zeros((4, 4))
        for i in range(4):
            for j in range(4):
                step = np.zeros((4, 4))
                step[i, j] = 1e-5
                gradient[i, j] = (loss(l, step) - loss(l, -step)) / 2e-5
        stored = drawn.params.weights[l][0] / m
        assert found.spread[0, l] == pytest.approx(stored.std(), rel=1e-12)
        assert found.ratio[0, l] == pytest.approx(0.3 * gradient.std() / stored.std(), rel=1e-5)


def test_ntk_moves_slower_by_its_fan_in_at_the_same_rate():
    lecun, ntk = (first_update(ACTIVATIONS["tanh"], stack(name), lr=1.0) for name in ("LeCun normal", "NTK"))
    np.testing.assert_allclose(ntk.ratio, lecun.ratio / 12, rtol=1e-12)


def test_wide_networks_have_the_ratio_of_theory():
    relu, entry = ACTIVATIONS["ReLU"], INITIALIZERS["He normal"]
    drawn = draw_stack(entry, depth=4, width=256, batch=32, networks=4, seed=0)
    found = first_update(relu, drawn, lr=1.0)
    mean = propagate_theory(relu, [entry], depth=4, width=256, batch=32)
    theory = root_mean_square(found.top_rms) * mean.weight_gradient_rms[0] / entry.std(256, 256)
    np.testing.assert_allclose(root_mean_square(found.ratio.T), theory, rtol=0.25)


def test_extreme_weights_do_not_lose_their_ratio():
    relu = ACTIVATIONS["ReLU"]
    deep = draw_stack(INITIALIZERS["N(0, 0.01²)"], depth=80, width=16, batch=4, networks=1, seed=0)
    ratio = first_update(relu, deep, lr=1.0).ratio
    assert np.all(ratio > 0)
    assert np.all(ratio < 1e-80)
    none = first_update(relu, stack("zeros"), lr=1.0)
    assert np.all(none.spread == 0)
    assert not np.isfinite(none.ratio[:, :-1]).any()


# The exponent


def test_the_linear_network_in_closed_form():
    assert linear_rms(1 / 1024, 1024, 50)[-1] == pytest.approx(2.0**-250, rel=1e-12)
    assert f"{linear_rms(1 / 1024, 1024, 50)[-1]:.1e}" == "5.5e-76"
    np.testing.assert_allclose(linear_rms(1 / 8, 64, 30), 1.0)
    for a in (0.0, 0.35, 0.5, 1.0, 1.5):
        known = propagate_theory(ACTIVATIONS["identity"], [power_law(a)], depth=30, width=100).signal_rms[0]
        np.testing.assert_allclose(linear_rms(100**-a, 100, 30), known, rtol=1e-9)
        assert power_law(a, 2.0).std(100, 7) == pytest.approx(2 * 100**-a)


def test_one_layer_is_the_norm_of_the_input_times_a_normal_draw():
    gelu = ACTIVATIONS["GELU"]
    rms = single_input_rms(gelu, [0.2, 0.4], depth=1, width=50, networks=3, seed=5)
    x = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(0,))).standard_normal((3, 50))
    z = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(1,))).standard_normal((3, 50))
    for n in range(3):
        norm = math.sqrt(float(np.sum(gelu.f(x[n]) ** 2)))
        assert rms[0, n, 0] == pytest.approx(math.sqrt(float(np.mean(x[n] ** 2))))
        assert rms[0, n, 1] == pytest.approx(0.2 * norm * math.sqrt(float(np.mean(z[n] ** 2))))
    np.testing.assert_allclose(rms[1, :, 1], 2 * rms[0, :, 1])


@pytest.mark.parametrize(("name", "gain"), [("ReLU", 2.0), ("tanh", 1.0), ("identity", 1.0), ("GELU", 2.0)])
def test_draws_without_matrices_have_the_distribution_of_networks(name, gain):
    entry, width, depth, networks = ACTIVATIONS[name], 24, 6, 400
    std = math.sqrt(gain / width)
    quick = single_input_rms(entry, [std], depth=depth, width=width, networks=networks, seed=0)[0]
    known = propagate(
        entry, [power_law(0.0, std)], depth=depth, width=width, batch=1, seeds=networks, seed=1,
        weight_gradients=False,
    ).signal_rms[0]  # fmt: skip
    for l in (1, 3, 6):
        a, b = np.log(quick[:, l]), np.log(known[:, l])
        error = math.sqrt((a.var() + b.var()) / networks)
        assert abs(a.mean() - b.mean()) < 4 * error
        assert a.std() == pytest.approx(b.std(), rel=0.25)


def test_more_depth_extends_the_lines():
    relu = ACTIVATIONS["ReLU"]
    more = single_input_rms(relu, [0.1], depth=30, width=64, networks=2, seed=0)
    np.testing.assert_array_equal(
        more[..., :11], single_input_rms(relu, [0.1], depth=10, width=64, networks=2, seed=0)
    )
    with pytest.raises(ValueError, match="width"):
        single_input_rms(relu, [0.1], depth=1, width=0, networks=1, seed=0)
