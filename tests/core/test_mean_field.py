"""Limits of deep random networks: closed forms, brute iteration, and networks that are drawn."""

import math

import numpy as np
import pytest

from core import mean_field
from core.activations import ACTIVATIONS
from core.mean_field import (
    correlation_measured,
    correlation_step,
    correlation_theory,
    critical_line,
    depth_scale,
    explosion_line,
    phase_map,
    phase_point,
)
from core.propagation import mean_field_step
from core.special import normal_cdf, normal_pdf

every = pytest.mark.parametrize("name", ACTIVATIONS)

C = np.array([-1, -0.999999, -0.9, -0.3, -1e-9, 0, 1e-9, 0.3, 0.9, 0.99, 0.9999, 1 - 1e-8, 1 - 1e-13, 1])
EDGE = np.sqrt(1 - C * C)
ANGLE = np.arccos(C)
ARC_0 = 0.5 + np.arcsin(C) / np.pi  # Cho and Saul 2009, degrees 0, 1, 2, normalized
ARC_1 = (EDGE + (np.pi - ANGLE) * C) / np.pi
ARC_2 = ((np.pi - ANGLE) * (1 + 2 * C * C) + 3 * EDGE * C) / (3 * np.pi)


def leaky(slope):
    # φ = (1 − a)·relu + a·identity, and E[relu(u)·v] = c/2 for unit variances.
    return (((1 - slope) ** 2 / 2) * ARC_1 + slope * C) / ((1 - slope) ** 2 / 2 + slope)


CLOSED = {
    "identity": lambda q: C,
    "ReLU": lambda q: ARC_1,
    "leaky ReLU": lambda q: leaky(0.01),
    "PReLU": lambda q: leaky(0.25),
    "RReLU": lambda q: leaky((1 / 8 + 1 / 3) / 2),
    "step": lambda q: ARC_0,
    "squared ReLU": lambda q: ARC_2,
    "sine": lambda q: np.sinh(q * C) / math.sinh(q),
    "Gaussian": lambda q: math.sqrt(1 + 4 * q) / np.sqrt((1 + 2 * q) ** 2 - 4 * q * q * C * C),
}


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("name", CLOSED)
def test_a_layer_correlates_two_inputs_as_the_closed_form_says(name, q):
    step = correlation_step(ACTIVATIONS[name], q, C, 1.7, 0.0)
    np.testing.assert_allclose(step, CLOSED[name](q), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["ReLU", "PReLU", "step"])
@pytest.mark.parametrize("q", [1e-100, 1e40, 1e150])
def test_homogeneous_functions_do_so_at_every_size(name, q):
    np.testing.assert_allclose(
        correlation_step(ACTIVATIONS[name], q, C, 1.0, 0.0), CLOSED[name](q), rtol=0, atol=1e-8
    )


def test_near_one_the_distance_keeps_its_digits():
    # 1 − C(c) of ReLU is (1 − c) − (2√2/3π)(1 − c)^1.5 + …
    gap = 1.0 - (1.0 - np.array([1e-4, 1e-7, 1e-10]))  # as floats have it
    step = correlation_step(ACTIVATIONS["ReLU"], 1.0, 1 - gap, 2.0, 0.0)
    np.testing.assert_allclose(
        1 - step, gap - 2 * math.sqrt(2) / (3 * math.pi) * gap**1.5, rtol=1e-5, atol=3e-16
    )


def clipped_given(mean, tau, low, high):
    """E of a normal variable clipped to [low, high]."""
    a, b = (low - mean) / tau, (high - mean) / tau
    inside = mean * (normal_cdf(b) - normal_cdf(a)) + tau * (normal_pdf(a) - normal_pdf(b))
    return low * normal_cdf(a) + high * normal_cdf(-b) + inside


@pytest.mark.parametrize(
    ("name", "low", "high", "scale", "shift"),
    [("hard tanh", -1, 1, 1, 0), ("ReLU6", 0, 6, 1, 0), ("hard sigmoid", -3, 3, 1 / 6, 0.5)],
)
@pytest.mark.parametrize("q", [0.2, 2.0, 30.0])
def test_kinks_away_from_zero(name, low, high, scale, shift, q):
    # Given u₁ = √q z the other input is normal: one of the two integrals has a closed form.
    c = np.array([-0.97, -0.4, 0.0, 0.5, 0.9, 0.999])
    z = np.linspace(-9, 9, 400_001)
    density = normal_pdf(z) * (z[1] - z[0])
    s = math.sqrt(q)
    first = shift + scale * np.clip(s * z, low, high)
    both = [
        density @ (first * (shift + scale * clipped_given(s * a * z, s * math.sqrt(1 - a * a), low, high)))
        for a in c
    ]
    expected = (1.5 * np.array(both) + 0.1) / (1.5 * (density @ first**2) + 0.1)
    np.testing.assert_allclose(correlation_step(ACTIVATIONS[name], q, c, 1.5, 0.1), expected, atol=1e-8)


@every
def test_a_layer_by_two_other_integrals(name):
    # A sum over a fine grid of (u₁, u₂) drawn apart: crude, independent, and of the whole registry.
    activation = ACTIVATIONS[name]
    z = np.linspace(-7, 7, 1401)
    p = normal_pdf(z) * (z[1] - z[0])
    for c in (-0.6, 0.35, 0.8):
        u = np.sqrt(1.3) * z
        v = np.sqrt(1.3) * (c * z[:, None] + math.sqrt(1 - c * c) * z[None, :])
        both = p @ (activation.f(u)[:, None] * activation.f(v)) @ p
        one = p @ activation.f(u) ** 2
        expected = (2 * both + 0.3) / (2 * one + 0.3)
        tolerance = 3e-3 if name == "step" else 1e-5
        assert correlation_step(activation, 1.3, c, 2.0, 0.3) == pytest.approx(expected, abs=tolerance)


@every
def test_the_ends_of_the_correlation(name):
    activation = ACTIVATIONS[name]
    assert correlation_step(activation, 0.8, 1.0, 1.0, 0.2) == 1.0
    odd = np.all(activation.f(np.array([0.3, 2.0])) == -activation.f(np.array([-0.3, -2.0])))
    if odd:
        assert correlation_step(activation, 0.8, -1.0, 1.0, 0.0) == pytest.approx(-1, abs=1e-9)
        assert correlation_step(activation, 0.8, 0.0, 1.0, 0.0) == pytest.approx(0, abs=1e-9)
    q, _ = mean_field_step(activation, 0.8, 1.0, 0.2)
    slope = mean_field_step(activation, 0.8, 1.0, 0.2)[1] * 0.8 / q  # C'(1) = σ_w² q E φ'²/q'
    if name != "step":  # which jumps: its C has no slope at 1
        gap = 1e-8
        assert (1 - correlation_step(activation, 0.8, 1 - gap, 1.0, 0.2)) / gap == pytest.approx(
            float(slope), rel=5e-4
        )


def test_arrays_broadcast():
    a = correlation_step(ACTIVATIONS["tanh"], [[0.5], [2.0]], [0.1, 0.2, 0.3], 2.0, 0.1)
    assert a.shape == (2, 3)
    assert a[1, 2] == correlation_step(ACTIVATIONS["tanh"], 2.0, 0.3, 2.0, 0.1)


# Fixed points

GRID_W, GRID_B = np.array([0.3, 0.9, 1.7, 2.6, 5.5]), np.array([0.0, 0.1, 1.2])


@every
def test_limits_are_those_of_brute_iteration(name):
    activation = ACTIVATIONS[name]
    w, b = np.meshgrid(GRID_W, GRID_B)
    q, steps = np.ones(w.shape), 500
    for _ in range(steps):
        q = np.minimum(mean_field_step(activation, q, w, b)[0], 1e5)
    result = phase_map(activation, GRID_W, GRID_B)
    limit = np.where(q > 5e4, math.inf, np.where(q < 1e-15, 0.0, q))
    np.testing.assert_allclose(result.q_star, limit, rtol=1e-8, atol=1e-12)
    inside = (result.q_star > 0) & np.isfinite(result.q_star)
    chi = mean_field_step(activation, np.where(inside, result.q_star, 1.0), w, b)[1]
    np.testing.assert_allclose(result.chi[inside], chi[inside], rtol=1e-8, atol=1e-12)


@every
def test_common_limits_are_those_of_brute_iteration(name):
    activation = ACTIVATIONS[name]
    result = phase_map(activation, [0.9, 2.6], [0.1])
    for j, w in enumerate((0.9, 2.6)):
        exact = phase_point(activation, w, 0.1)
        q, c = result.q_star[0, j], result.c_star[0, j]
        if not 0 < q < math.inf:
            assert exact.c_star == c or math.isnan(c)
            continue
        assert c == pytest.approx(exact.c_star, abs=0.01)
        at = 0.2
        for _ in range(60):
            at = float(correlation_step(activation, q, at, w, 0.1))
        assert at == pytest.approx(exact.c_star, abs=1e-7 + max(exact.correlation_slope, 0.0) ** 60)
        assert correlation_step(activation, q, exact.c_star, w, 0.1) == pytest.approx(exact.c_star, abs=1e-8)


def test_the_edge_of_chaos_of_tanh():
    line = critical_line(ACTIVATIONS["tanh"], [0.0, 0.05, 0.1, 0.3])
    np.testing.assert_allclose(line, [1, 1.76095463961, 1.98607264114, 2.50512718968], rtol=1e-9)
    assert np.isnan(explosion_line(ACTIVATIONS["tanh"], [0.1])).all()


# Slopes of a function at −∞ and ∞: E φ²/q and E φ'² tend to half the sum of their squares.
HOMOGENEOUS = {"identity": (1, 1), "ReLU": (0, 1), "leaky ReLU": (0.01, 1), "PReLU": (0.25, 1)}


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_homogeneous_functions_have_one_border_at_every_bias(name):
    left, right = HOMOGENEOUS[name]
    half = (left**2 + right**2) / 2
    biases = np.array([0.0, 0.05, 0.7, 2.0])
    activation = ACTIVATIONS[name]
    np.testing.assert_allclose(critical_line(activation, biases), 1 / half, rtol=1e-9)
    np.testing.assert_allclose(explosion_line(activation, biases), 1 / half, rtol=1e-9)
    w = np.array([0.2, 0.6, 0.95, 1.05, 2.0]) / half
    result = phase_map(activation, w, biases)
    np.testing.assert_allclose(result.chi, np.broadcast_to(w * half, (4, 5)), rtol=1e-9)
    assert np.isinf(result.q_star[:, 3:]).all()
    np.testing.assert_allclose(
        result.q_star[:, :3], biases[:, None] / (1 - w[:3] * half), rtol=1e-9
    )  # q = wq/2 + b
    if left != right:
        assert np.all(result.c_star == 1)
    else:  # a linear network keeps the angle, if not biases bring inputs together
        assert np.isnan(result.c_star[0]).all()
        assert np.all(result.c_star[1:, :3] == 1)


def test_relu_on_its_border():
    flat, growing = phase_map(ACTIVATIONS["ReLU"], [2.0], [0.0, 0.05]).q_star[:, 0]
    assert flat == 1.0
    assert growing == math.inf
    # With biases q grows by σ_b² a layer.
    q = correlation_theory(ACTIVATIONS["ReLU"], 0.5, 20, 2.0, 0.05).q
    np.testing.assert_allclose(q, 1 + 0.05 * np.arange(21), rtol=1e-12)


@pytest.mark.parametrize("w", [0.3, 2.0, 5.0])
def test_without_biases_relu_aligns_two_inputs_whatever_the_weights(w):
    c = correlation_theory(ACTIVATIONS["ReLU"], 0.0, 60, w, 0.0).c
    expected = [0.0]
    for _ in range(60):
        last = expected[-1]
        expected.append((math.sqrt(1 - last**2) + (math.pi - math.acos(last)) * last) / math.pi)
    np.testing.assert_allclose(c, expected, atol=1e-8)
    assert phase_point(ACTIVATIONS["ReLU"], w, 0.0).c_star == 1.0


def test_known_limits():
    selu = phase_point(ACTIVATIONS["SELU"], 1.0, 0.0)
    assert selu.q_star == pytest.approx(1, abs=1e-9)
    assert selu.chi == pytest.approx(1.0715749925, rel=1e-9)
    sigmoid = phase_point(ACTIVATIONS["sigmoid"], 1.0, 0.0)
    assert sigmoid.q_star == pytest.approx(0.2646868752, rel=1e-9)
    assert sigmoid.chi == pytest.approx(0.0557207068, rel=1e-8)
    gelu = phase_point(ACTIVATIONS["GELU"], 2.0, 0.0)
    assert (gelu.q_star, gelu.chi) == (0.0, pytest.approx(0.5))
    relu = phase_point(ACTIVATIONS["ReLU"], 1.0, 0.0)
    assert (relu.q_star, relu.chi, relu.c_star) == (0.0, 0.5, 1.0)
    assert phase_point(ACTIVATIONS["tanh"], 1.0, 0.0).q_star == 0.0
    assert phase_point(ACTIVATIONS["tanh"], (5 / 3) ** 2, 0.0).chi == pytest.approx(1.2098, abs=5e-5)


def test_odd_functions_forget_everything_in_chaos_without_biases():
    point = phase_point(ACTIVATIONS["tanh"], 3.0, 0.0)
    assert point.c_star == pytest.approx(0, abs=1e-9)
    assert math.isnan(phase_point(ACTIVATIONS["tanh"], 0.8, 0.0).c_star)


def test_a_step_tears_neighbors_apart_although_its_slope_is_zero():
    point = phase_point(ACTIVATIONS["step"], 2.0, 0.0)
    assert point.chi == 0
    assert point.depth_scale == 0
    # C(c) = ½ + arcsin(c)/π without biases
    assert 0.5 + math.asin(point.c_star) / math.pi == pytest.approx(point.c_star, abs=1e-7)
    assert point.c_star < 0.9
    assert np.isnan(critical_line(ACTIVATIONS["step"], [0.0, 1.0])).all()


def test_a_limit_depends_on_where_it_starts():
    # GELU at σ_w² = 2.3: q falls to 0 from 1, and grows without end from 10.
    activation = ACTIVATIONS["GELU"]
    assert phase_point(activation, 2.3, 0.0).q_star == 0
    assert mean_field_step(activation, 10.0, 2.3, 0.0)[0] > 10
    assert explosion_line(activation, [0.0])[0] == pytest.approx(
        1 / mean_field_step(activation, 1.0, 1.0, 0.0)[0]
    )


@every
def test_the_critical_line_has_chi_one_on_it_or_jumps_across(name):
    activation = ACTIVATIONS[name]
    biases = np.array([0.0, 0.4, 1.5])
    for w, b in zip(critical_line(activation, biases), biases, strict=True):
        if math.isnan(w):
            assert np.all(phase_map(activation, [1.0, 50.0, 149.0], [b]).chi < 1)
            continue
        below, above = phase_map(activation, [w * (1 - 1e-6), w * (1 + 1e-6)], [b]).chi[0]
        assert below < 1 <= above + 1e-9


def test_depth_scales():
    np.testing.assert_allclose(depth_scale([math.exp(-0.1), math.exp(0.5)]), [10, -2])
    assert depth_scale(0.0) == 0
    assert depth_scale(1.0) == math.inf
    # In the ordered phase distances from c* = 1 shrink by χ₁ a layer, as gradients do.
    point = phase_point(ACTIVATIONS["tanh"], 1.4, 0.1)
    c = correlation_theory(ACTIVATIONS["tanh"], 0.5, 60, 1.4, 0.1).c
    assert (1 - c[60]) / (1 - c[50]) == pytest.approx(math.exp(-10 / point.depth_scale), rel=1e-3)
    # In the chaotic one by the slope of C at c*.
    point = phase_point(ACTIVATIONS["tanh"], 4.0, 0.1)
    c = correlation_theory(ACTIVATIONS["tanh"], 0.5, 40, 4.0, 0.1).c
    ratio = (c[30] - point.c_star) / (c[20] - point.c_star)
    assert ratio == pytest.approx(point.correlation_slope**10, rel=1e-2)


@every
def test_knobs_act(name):
    activation = ACTIVATIONS[name]
    for knob in activation.knobs:
        value = float(knob.low + 0.9 * (knob.high - knob.low))
        base, other = (phase_map(activation, [1.1], [0.3], k).q_star[0, 0] for k in ({}, {knob.name: value}))
        assert base != other
    with pytest.raises(TypeError):
        phase_map(activation, [1.1], [0.3], {"no such knob": 1.0})


# Layer by layer


@every
def test_second_moments_are_those_of_propagation(name):
    activation = ACTIVATIONS[name]
    found = correlation_theory(activation, 0.3, 12, 1.3, 0.2)
    q = 1.0
    for l in range(12):
        q = float(mean_field_step(activation, q, 1.3, 0.2)[0]) if q < 1e150 else math.inf
        assert found.q[l + 1] == pytest.approx(q, rel=1e-9)
    assert np.all(np.abs(found.c[found.q < math.inf]) <= 1)


def test_layers_beyond_float64_have_no_correlation():
    up = correlation_theory(ACTIVATIONS["squared ReLU"], 0.3, 30, 3.0, 0.0)
    end = int(np.argmax(np.isinf(up.q)))
    assert 5 < end < 20
    assert np.isinf(up.q[end:]).all()
    assert np.isnan(up.c[end:]).all()
    assert np.isfinite(up.c[:end]).all()
    down = correlation_theory(ACTIVATIONS["squared ReLU"], 0.3, 30, 0.1, 0.0)
    assert down.q[-1] == 0
    assert np.isnan(down.c[-1])


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    tanh = ACTIVATIONS["tanh"]
    a, b = (correlation_theory(tanh, 0.3, layers, 2.0, 0.1) for layers in (10, 25))
    np.testing.assert_array_equal(a.c, b.c[:11])
    few = correlation_measured(tanh, 0.3, 4, [1.0, 2.0], 0.1, width=16, seeds=2, seed=5)
    many = correlation_measured(tanh, 0.3, 6, [1.0, 2.0], 0.1, width=16, seeds=3, seed=5)
    np.testing.assert_allclose(few.c, many.c[:, :2, :5], rtol=1e-12)
    last = correlation_measured(tanh, 0.3, 6, [2.0], 0.1, width=16, seeds=1, seed=5, first=2)
    np.testing.assert_allclose(last.c[0, 0], many.c[1, 2], rtol=1e-12)
    np.testing.assert_allclose(last.q[0, 0], many.q[1, 2], rtol=1e-12)


@pytest.mark.parametrize("c0", [-1.0, -0.3, 0.0, 0.8, 1.0])
def test_inputs_have_the_angle_and_the_size_asked_for(c0):
    linear = correlation_measured(ACTIVATIONS["identity"], c0, 1, [1.0], 0.0, width=4000, seeds=1, seed=1)
    assert linear.c[0, 0, 1] == pytest.approx(c0, abs=4 * (1 - c0**2) / math.sqrt(4000) + 1e-9)
    assert linear.q[0, 0, 1] == pytest.approx(1, abs=4 * math.sqrt(2 / 4000))


@pytest.mark.parametrize(
    ("name", "w", "b"),
    [("tanh", 1.2, 0.1), ("tanh", 4.0, 0.1), ("ReLU", 2.0, 0.0), ("GELU", 2.0, 0.3), ("sine", 3.0, 0.0)],
)
def test_networks_follow_the_theory(name, w, b):
    found = correlation_measured(ACTIVATIONS[name], 0.4, 6, [w], b, width=400, seeds=24, seed=3)
    theory = correlation_theory(ACTIVATIONS[name], 0.4, 6, w, b)
    for measured, expected in ((found.c[0], theory.c), (found.q[0], theory.q)):
        error = measured.std(axis=0, ddof=1) / math.sqrt(24)
        assert np.all(np.abs(measured.mean(axis=0) - expected)[1:] < 4 * error[1:])
        assert np.all(error[1:] < 0.1)


def test_dead_networks_have_no_correlation():
    found = correlation_measured(ACTIVATIONS["squared ReLU"], 0.4, 40, [0.05], 0.0, width=8, seeds=2, seed=0)
    assert np.all(found.q[..., -1] == 0)
    assert np.isnan(found.c[..., -1]).all()


def test_arguments_are_checked():
    tanh = ACTIVATIONS["tanh"]
    for w, b in (([0.0], [0.1]), ([1.0], [-0.1]), ([[1.0]], [0.1]), ([math.nan], [0.1]), ([], [0.1])):
        with pytest.raises(ValueError):
            phase_map(tanh, w, b)
    with pytest.raises(ValueError):
        correlation_step(tanh, 1.0, 1.1, 1.0, 0.0)
    with pytest.raises(ValueError):
        correlation_step(tanh, math.inf, 0.1, 1.0, 0.0)
    with pytest.raises(ValueError):
        correlation_theory(tanh, 0.1, 0, 1.0, 0.0)
    with pytest.raises(ValueError):
        correlation_theory(tanh, -2.0, 5, 1.0, 0.0)
    with pytest.raises(ValueError):
        correlation_measured(tanh, 0.1, 5, [1.0], 0.0, width=1, seeds=1, seed=0)
    with pytest.raises(ValueError):
        critical_line(tanh, [-1.0])


def test_a_table_is_kept():
    tanh = ACTIVATIONS["tanh"]
    before = mean_field._table_of(tanh, {})
    assert mean_field._table_of(tanh, None) is before
