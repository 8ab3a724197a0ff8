import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core import propagation
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS, LSUV, Initializer
from core.propagation import (
    FLOAT32_MAX,
    FLOAT32_TINY,
    first_bad,
    forward_backward,
    layer_widths,
    log_variance,
    mean_field_step,
    pooled_rms,
    propagate,
    propagate_theory,
    root_mean_square,
)
from core.streams import stream

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "propagation.npz")
RELU, TANH = ACTIVATIONS["ReLU"], ACTIVATIONS["tanh"]
HE, LECUN = INITIALIZERS["He normal"], INITIALIZERS["LeCun normal"]
FIVE = [INITIALIZERS[n] for n in ("N(0, 1)", "He normal", "Glorot normal", "PyTorch Linear", "N(0, 0.01²)")]
SMALL = {"depth": 4, "width": 6, "batch": 3, "seeds": 2, "seed": 11}
FIELDS = ("signal_rms", "gradient_rms", "weight_gradient_rms")
MORE = ("signal_mean", "neuron_std", "zero_slope_share", "dead_share")
SCHEMES = {**INITIALIZERS, "LSUV": LSUV}

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def steps(name, sigma_w2, sigma_b2, count, q=1.0):
    """q⁰ … q^count and χ of each step, by iterating the map."""
    q, chi = np.asarray(q, dtype=float), math.nan
    out = [(q, chi)]
    for _ in range(count):
        q, chi = mean_field_step(ACTIVATIONS[name], q, sigma_w2, sigma_b2)
        out.append((q, chi))
    return np.array(out, dtype=float).T


# The mean-field map against tables and closed forms

TABLE = [
    # φ, σ_w², {layer: q}, to ten printed decimals
    ("ReLU", 2, {1: 1, 2: 1, 5: 1, 10: 1}),
    ("ReLU", 1, {1: 0.5, 2: 0.25, 5: 0.03125, 10: 2.0**-10}),
    ("tanh", 1, {1: 0.3942944904, 2: 0.2364504105, 5: 0.1034406081, 10: 0.0522000828}),
    ("sigmoid", 1, {1: 0.2933790359, 2: 0.2660915631, 5: 0.2646870455, 10: 0.2646868752}),
    ("GELU", 2, {1: 0.8504429651, 2: 0.7058970663, 5: 0.3269169471, 10: 0.0292562928}),
    ("SELU", 1, {1: 1, 2: 1, 5: 1, 10: 1}),
]


@pytest.mark.parametrize(("name", "sigma_w2", "expected"), TABLE)
def test_second_moments_of_the_table(name, sigma_w2, expected):
    q, _ = steps(name, sigma_w2, 0, 10)
    for layer, value in expected.items():
        assert q[layer] == pytest.approx(value, rel=0, abs=5.1e-11)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "chi", "count", "tolerance"),
    [
        ("ReLU", 2, 1, 10, 1e-14),
        ("ReLU", 1, 0.5, 10, 1e-14),
        ("sigmoid", 1, 0.0557207068, 60, 1e-9),
        ("GELU", 2, 0.5, 80, 1e-6),  # the limit at q = 0, approached like √q
        ("SELU", 1, 1.0715749925, 10, 1e-10),
        ("tanh", (5 / 3) ** 2, 1.2098, 200, 5e-5),
    ],
)
def test_slopes_at_the_fixed_point(name, sigma_w2, chi, count, tolerance):
    assert steps(name, sigma_w2, 0, count)[1, -1] == pytest.approx(chi, rel=tolerance)


@pytest.mark.parametrize(
    ("sigma_b2", "sigma_w2"), [(0.05, 1.76095463961), (0.1, 1.98607264114), (0.3, 2.50512718968)]
)
def test_edge_of_chaos_of_tanh(sigma_b2, sigma_w2):
    assert steps("tanh", sigma_w2, sigma_b2, 400)[1, -1] == pytest.approx(1, abs=1e-10)


def test_tanh_decays_like_half_over_depth():
    q = steps("tanh", 1, 0, 3000)[0]
    assert 2 * 3000 * q[-1] == pytest.approx(1, rel=0.01)


def test_step_at_q_zero_and_with_biases():
    q, chi = mean_field_step(ACTIVATIONS["sigmoid"], 0.0, 3.0, 0.2)
    assert (q, chi) == (pytest.approx(3 * 0.25 + 0.2, rel=1e-15), pytest.approx(3 / 16, rel=1e-15))


def test_step_broadcasts_and_agrees_with_single_calls():
    q = np.array([1e-8, 0.1, 1.0, 30.0, 1e6])
    w = np.array([[0.5], [2.0]])
    both = mean_field_step(TANH, q, w, 0.1)
    assert both[0].shape == both[1].shape == (2, 5)
    for i in range(2):
        for j in range(5):
            single = mean_field_step(TANH, q[j], w[i, 0], 0.1)
            np.testing.assert_allclose([b[i, j] for b in both], single, rtol=1e-13)


@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("q", [1e-290, 1e-9, 1.0, 1e9, 1e290])
def test_leaky_relu_with_any_slope_at_any_size(slope, q):
    knob = ACTIVATIONS["leaky ReLU"].knobs[0].name
    got = mean_field_step(ACTIVATIONS["leaky ReLU"], q, 1.5, 0.0, {knob: slope})
    half = 1.5 * (1 + slope**2) / 2
    np.testing.assert_allclose(got, [half * q, half], rtol=1e-13)


@every_activation
def test_step_against_a_dense_sum(name):
    # A midpoint rule with 2·10⁶ cells: 1e-12 where φ is smooth, 1e-6 per jump.
    z = (np.arange(2_000_000) + 0.5) * (24 / 2_000_000) - 12
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (24 / 2_000_000)
    activation = ACTIVATIONS[name]
    for q in (0.05, 1.0, 9.0):
        x = math.sqrt(q) * z
        expected = [np.sum(g(x) ** 2 * density) for g in (activation.f, activation.df)]
        got = mean_field_step(activation, q, 1.0, 0.0)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-14)
        if not activation.kinks + activation.seams:
            np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("bad", [{"q": -1.0}, {"sigma_w2": math.nan}, {"sigma_b2": -0.1}, {"q": math.inf}])
def test_step_refuses_impossible_variances(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} = .*from 0"):
        mean_field_step(TANH, **{"q": 1.0, "sigma_w2": 1.0, "sigma_b2": 0.0, **bad})


# Theory by layer


def test_theory_iterates_the_step():
    theory = propagate_theory(TANH, [LECUN, HE], depth=12, width=40, batch=3, sigma_b=0.2)
    for i, sigma_w2 in enumerate((1.0, 2.0)):
        q, chi = steps("tanh", sigma_w2, 0.04, 12)
        np.testing.assert_allclose(theory.signal_rms[i], np.sqrt(q), rtol=1e-13)
        np.testing.assert_allclose(theory.slope[i], chi[1:], rtol=1e-13)
        below = np.cumprod(np.append(1.0, chi[:0:-1]))[::-1]
        np.testing.assert_allclose(theory.gradient_rms[i], np.sqrt(below), rtol=1e-12)
        phi2 = (q[1:] - 0.04) / sigma_w2
        np.testing.assert_allclose(theory.weight_gradient_rms[i] ** 2, 3 * phi2 * below[1:], rtol=1e-12)


@pytest.mark.parametrize("width", [1, 64, 1024])
def test_theory_of_the_default_schemes_with_relu(width):
    theory = propagate_theory(RELU, FIVE, depth=100, width=width)
    factor = np.sqrt([width / 2, 1, 1 / 2, 1 / 6, 1e-4 * width / 2])[:, None]
    layers = np.arange(101)
    np.testing.assert_allclose(theory.signal_rms, factor**layers, rtol=1e-12)
    np.testing.assert_allclose(theory.gradient_rms, factor ** layers[::-1], rtol=1e-12)


def test_theory_stays_exact_where_the_second_moment_leaves_float64():
    theory = propagate_theory(ACTIVATIONS["identity"], FIVE[::4], depth=100, width=1024)
    np.testing.assert_allclose(theory.signal_rms[0], 32.0 ** np.arange(101), rtol=1e-12)
    tiny = propagate_theory(ACTIVATIONS["identity"], FIVE[::4], depth=100, width=1)
    np.testing.assert_allclose(tiny.signal_rms[1], 0.01 ** np.arange(101), rtol=1e-12)  # q = 1e-400


def test_theory_of_zeros_is_the_bias_and_of_a_constant_is_nan():
    schemes = [INITIALIZERS["zeros"], INITIALIZERS["constant"]]
    theory = propagate_theory(TANH, schemes, depth=3, width=8, sigma_b=0.3)
    np.testing.assert_array_equal(theory.signal_rms[0], [1, 0.3, 0.3, 0.3])
    np.testing.assert_array_equal(theory.gradient_rms[0], [0, 0, 0, 1])
    for field in (*FIELDS, "slope"):
        assert np.all(np.isnan(getattr(theory, field)[1]))


@every_activation
def test_theory_exists_for_every_activation(name):
    theory = propagate_theory(ACTIVATIONS[name], [LECUN, INITIALIZERS["orthogonal"]], depth=3, width=16)
    assert np.all(np.isfinite(theory.signal_rms))
    np.testing.assert_allclose(theory.signal_rms[0], theory.signal_rms[1], rtol=1e-14)
    assert theory.signal_rms.shape == theory.gradient_rms.shape == (2, 4)
    assert theory.weight_gradient_rms.shape == theory.slope.shape == (2, 3)


# One pass against PyTorch and against finite differences

GOLDEN_NAMES = sorted({key.split(" ")[0] for key in GOLDEN.files if " " in key})


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_pytorch(name):
    depth = sum(key.startswith("W") for key in GOLDEN.files)
    weights = [GOLDEN[f"W{l}"] for l in range(1, depth + 1)]
    biases = [GOLDEN[f"b{l}"] for l in range(1, depth + 1)]
    run = forward_backward(ACTIVATIONS[name], GOLDEN["x"], weights, biases, GOLDEN["top"])
    for l in range(depth + 1):
        np.testing.assert_allclose(run.signals[l], GOLDEN[f"{name} h{l}"], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(run.gradients[l], GOLDEN[f"{name} dh{l}"], rtol=1e-12, atol=1e-13)
        rms = root_mean_square(run.gradients[l].ravel())
        assert rms == pytest.approx(np.sqrt(np.mean(GOLDEN[f"{name} dh{l}"] ** 2)), rel=1e-12)
    for l in range(1, depth + 1):
        gradient = run.activations[l - 1].T @ run.gradients[l]
        np.testing.assert_allclose(gradient, GOLDEN[f"{name} dW{l}"], rtol=1e-12, atol=1e-13)


def test_rows_with_their_own_std_and_mean_see_their_own_weights():
    rng = np.random.default_rng(0)
    x, top, unit = rng.normal(size=(2, 5)), rng.normal(size=(2, 3)), rng.normal(size=(5, 3))
    std, mean = np.array([[0.5], [2.0]]), np.array([[0.1], [-1.0]])
    run = forward_backward(TANH, x, [unit], [0.0], top, std=std, mean=mean)
    for row in range(2):
        weights = [mean[row] + std[row] * unit]
        alone = forward_backward(TANH, x[[row]], weights, [0.0], top[[row]])
        np.testing.assert_allclose(run.signals[1][row], alone.signals[1][0], rtol=1e-13)
        np.testing.assert_allclose(run.gradients[0][row], alone.gradients[0][0], rtol=1e-13)


def test_pass_leaves_inputs_alone_and_keeps_float32():
    rng = np.random.default_rng(1)
    x, w, top = (rng.normal(size=s).astype(np.float32) for s in ((4, 5), (5, 3), (4, 3)))
    copies = [a.copy() for a in (x, w, top)]
    run = forward_backward(RELU, x, [w], [np.zeros(3, np.float32)], top)
    assert {a.dtype for part in run for a in part} == {np.dtype(np.float32)}
    for now, before in zip((x, w, top), copies, strict=True):
        np.testing.assert_array_equal(now, before)


def test_pass_needs_a_bias_for_each_layer():
    with pytest.raises(ValueError):
        forward_backward(RELU, np.ones((1, 2)), [np.eye(2)] * 2, [0.0], np.ones((1, 2)))


# The experiment against its definition


def by_hand(activation, scheme, *, depth, width, batch, seeds, seed, sigma_b=0.0, input_scale=1.0):
    """The experiment as its docstring tells it, one network at a time, with the drawn weights themselves."""
    widths = [width] * (depth + 1) if isinstance(width, int) else width
    out = {name: np.empty((seeds, depth + (name != "weight_gradient_rms"))) for name in (*FIELDS, *MORE)}
    for n in range(seeds):
        h = input_scale * stream(seed, n, 0).standard_normal((batch, widths[0]))
        delta = stream(seed, n, 0, 0).standard_normal((batch, widths[-1]))
        signals, weights = [h], []
        for l in range(1, depth + 1):
            w = scheme.draw(widths[l - 1], widths[l], stream(seed, n, l))
            phi = activation.f(signals[-1])
            if scheme.data_dependent:
                w = w / np.std(phi @ w)
            weights.append(w)
            b = sigma_b * stream(seed, n, l, 0).standard_normal((1, widths[l]))
            signals.append(phi @ w + b)
        out["signal_rms"][n] = [np.sqrt(np.mean(h**2)) for h in signals]
        out["signal_mean"][n] = [np.mean(h) for h in signals]
        out["neuron_std"][n] = [np.sqrt(np.mean(np.var(h, axis=0, ddof=1))) for h in signals]
        flat = [activation.df(h) == 0 for h in signals]
        out["zero_slope_share"][n] = [np.mean(f) for f in flat]
        out["dead_share"][n] = [np.mean(np.all(f, axis=0)) for f in flat]
        out["gradient_rms"][n, depth] = np.sqrt(np.mean(delta**2))
        for l in range(depth, 0, -1):
            dw = activation.f(signals[l - 1]).T @ delta * scheme.multiplier(*weights[l - 1].shape)
            out["weight_gradient_rms"][n, l - 1] = np.sqrt(np.mean(dw**2))
            delta = (delta @ weights[l - 1].T) * activation.df(signals[l - 1])
            out["gradient_rms"][n, l - 1] = np.sqrt(np.mean(delta**2))
    return out


@every_scheme
@pytest.mark.parametrize(
    ("width", "batch", "sigma_b", "input_scale"),
    [(6, 3, 0.0, 1.0), (6, 20, 0.4, 0.3), ((9, 5, 5, 2, 7), 3, 0.1, 2.0)],  # large batches differ inside
)
def test_experiment_is_its_definition(scheme, width, batch, sigma_b, input_scale):
    kw = {**SMALL, "width": width, "batch": batch, "sigma_b": sigma_b, "input_scale": input_scale}
    others = [INITIALIZERS[n] for n in ("orthogonal", "constant", "He normal", "LeCun uniform")]
    run = propagate(TANH, [*others, SCHEMES[scheme]], **kw, moments=True)
    hand = by_hand(TANH, SCHEMES[scheme], **kw)
    for field in (*FIELDS, "signal_mean", "neuron_std"):
        np.testing.assert_allclose(getattr(run, field)[-1], hand[field], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", ["ReLU", "hard tanh", "tanh", "step"])
def test_shares_of_flat_slopes_are_their_definition(name):
    kw = {**SMALL, "width": (9, 6, 5, 8, 7), "batch": 2}
    run = propagate(ACTIVATIONS[name], [LECUN, HE], **kw, slopes=True)
    hand = by_hand(ACTIVATIONS[name], HE, **kw)
    for field in ("zero_slope_share", "dead_share"):
        np.testing.assert_allclose(getattr(run, field)[1], hand[field], rtol=1e-14)
    expected = {"ReLU": 0.5, "tanh": 0.0, "step": 1.0}
    if name in expected:
        assert abs(run.zero_slope_share[..., 0].mean() - expected[name]) <= 4 * 0.5 / math.sqrt(36)
    assert np.all(run.dead_share <= run.zero_slope_share)


def test_what_was_not_asked_for_is_none():
    run = propagate(RELU, FIVE, **SMALL, weight_gradients=False)
    assert [getattr(run, field) for field in (FIELDS[2], *MORE)] == [None] * 5
    theory = propagate_theory(RELU, FIVE, depth=3, width=4)
    assert (theory.neuron_std, theory.mean_rms) == (None, None)


def test_one_row_has_no_variance_over_the_batch():
    run = propagate(RELU, [HE], **{**SMALL, "batch": 1}, moments=True)
    assert np.all(np.isnan(run.neuron_std))
    assert np.all(np.isfinite(run.signal_mean))


def test_identical_rows_have_no_variance_at_all():
    run = propagate(TANH, [INITIALIZERS["zeros"]], **{**SMALL, "batch": 7}, sigma_b=0.3, moments=True)
    assert np.all(run.neuron_std[..., 1:] == 0)


# Tapered stacks


@pytest.mark.parametrize(
    ("width", "depth", "taper", "expected"),
    [
        (64, 3, 1.0, (64, 64, 64, 64)),
        (64, 3, 1 / 8, (64, 32, 16, 8)),
        (10, 2, 4.0, (10, 20, 40)),
        (10, 2, 0.5, (10, 7, 5)),  # 7.07
        (2, 2, 0.01, (2, 1, 1)),
    ],
)
def test_widths_of_a_tapered_stack(width, depth, taper, expected):
    assert layer_widths(width, depth, taper) == expected


def test_a_list_of_equal_widths_is_a_width():
    one, many = (propagate(TANH, FIVE, **{**SMALL, "width": w}) for w in (6, layer_widths(6, 4)))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(many, field))


@pytest.mark.parametrize("width", [(4, 4), (4,) * 6, (4, 4, 0, 4, 4), (4, 4, -1, 4, 4)])
def test_widths_that_do_not_fit_are_refused(width):
    with pytest.raises(ValueError, match=r"width = .*needs 5 whole numbers from 1"):
        propagate(RELU, [HE], **{**SMALL, "width": width})
    with pytest.raises(ValueError, match=r"width = .*needs 5 whole numbers from 1"):
        propagate_theory(RELU, [HE], depth=4, width=width)


@pytest.mark.parametrize(("name", "value"), [("taper", 0.0), ("taper", math.inf), ("width", 0), ("depth", 0)])
def test_impossible_tapers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}: needs"):
        layer_widths(**{"width": 8, "depth": 2, "taper": 0.5, name: value})


def test_theory_of_a_taper_by_hand():
    # A linear net 8 → 4 → 2: He has σ² = 2/fan_in, Glorot 2/(fan_in + fan_out), fan_out 2/fan_out.
    schemes = [INITIALIZERS[n] for n in ("He normal", "Glorot normal", "He normal (fan_out)", "orthogonal")]
    theory = propagate_theory(
        ACTIVATIONS["identity"], schemes, depth=2, width=(8, 4, 2), batch=3, input_scale=2.0
    )
    np.testing.assert_allclose(
        theory.signal_rms**2,
        4 * np.array([[1, 2, 4], [1, 8 / 6, 8 / 6 * 8 / 6], [1, 4, 16], [1, 1, 1]]),
        rtol=1e-13,
    )
    np.testing.assert_allclose(
        theory.gradient_rms**2,
        [[1, 1, 1], [(4 / 6) * (4 / 6), 4 / 6, 1], [4, 2, 1], [1 / 4, 1 / 2, 1]],
        rtol=1e-13,
    )
    # dL/dW: batch · second moment below · that of the gradient above
    below, above = theory.signal_rms[:, :-1] ** 2, theory.gradient_rms[:, 1:] ** 2
    np.testing.assert_allclose(theory.weight_gradient_rms**2, 3 * below * above, rtol=1e-13)


# Weight gradients against finite differences of a loss


@pytest.mark.parametrize("scheme", ["He normal", "NTK", "sparse", "constant"])
@pytest.mark.parametrize("activation", ["tanh", "GELU"])
def test_weight_gradients_are_the_slopes_of_the_loss(scheme, activation):
    phi, entry = ACTIVATIONS[activation].f, INITIALIZERS[scheme]
    widths, batch, seed = (5, 4, 3, 2), 3, 6
    x = stream(seed, 0, 0).standard_normal((batch, 5))
    top = stream(seed, 0, 0, 0).standard_normal((batch, 2))
    m = [entry.multiplier(*fans) for fans in pairwise(widths)]
    stored = [entry.draw(widths[l], widths[l + 1], stream(seed, 0, l + 1)) / m[l] for l in range(3)]

    def loss():
        h = x
        for l, v in enumerate(stored):
            h = phi(h) @ (m[l] * v)
        return np.sum(top * h)

    run = propagate(ACTIVATIONS[activation], [entry], depth=3, width=widths, batch=batch, seeds=1, seed=seed)
    for l, v in enumerate(stored):
        slopes = np.empty_like(v)
        for at in np.ndindex(v.shape):
            kept, sides = v[at], []
            for step in (1e-5, -1e-5):
                v[at] = kept + step
                sides.append(loss())
            v[at] = kept
            slopes[at] = (sides[0] - sides[1]) / 2e-5
        assert run.weight_gradient_rms[0, 0, l] == pytest.approx(np.sqrt(np.mean(slopes**2)), rel=1e-7)


def test_ntk_has_lecun_s_signal_and_a_weight_gradient_smaller_by_the_root_of_fan_in():
    kw = {**SMALL, "width": (9, 4, 16, 25, 36)}
    run = propagate(TANH, [INITIALIZERS["NTK"], LECUN], **kw)
    np.testing.assert_allclose(run.signal_rms[0], run.signal_rms[1], rtol=1e-14)
    np.testing.assert_allclose(run.gradient_rms[0], run.gradient_rms[1], rtol=1e-14)
    ratio = run.weight_gradient_rms[1] / run.weight_gradient_rms[0]
    np.testing.assert_allclose(ratio, [[3, 2, 4, 5]] * 2, rtol=1e-13)
    theory = propagate_theory(TANH, [INITIALIZERS["NTK"], LECUN], depth=4, width=kw["width"])
    np.testing.assert_allclose(
        theory.weight_gradient_rms[1] / theory.weight_gradient_rms[0], [3, 2, 4, 5], rtol=1e-13
    )


# LSUV and the identity


@pytest.mark.parametrize("name", ["ReLU", "tanh", "sigmoid", "GELU"])
@pytest.mark.parametrize("width", [12, (12, 9, 20, 3, 5)])
def test_lsuv_gives_every_layer_unit_variance_on_its_batch(name, width):
    run = propagate(ACTIVATIONS[name], [LSUV], **{**SMALL, "width": width}, moments=True)
    variance = run.signal_rms**2 - run.signal_mean**2
    np.testing.assert_allclose(variance[..., 1:], 1, rtol=1e-12)
    theory = propagate_theory(ACTIVATIONS[name], [LSUV], depth=4, width=width)
    np.testing.assert_allclose(theory.signal_rms, 1, rtol=1e-13)


def test_lsuv_leaves_a_layer_without_variance_as_it_is():
    # ReLU of negative inputs is 0, and no scale makes the variance of that 1.
    top = np.ones((2, 3))
    run = forward_backward(RELU, -np.ones((2, 4)), [np.ones((4, 3))], [0.0], top, unit_variance=[slice(0, 2)])
    np.testing.assert_array_equal(run.signals[1], 0)
    far = propagate_theory(ACTIVATIONS["step"], [LSUV], depth=3, width=4)
    np.testing.assert_allclose(far.signal_rms[0], 1)
    np.testing.assert_array_equal(far.gradient_rms[0], [0, 0, 0, 1])


def test_identity_composes_the_activation_with_itself():
    # A midpoint rule over the one input; the gradient of ReLU jumps, hence its wider margin.
    z = (np.arange(400_000) + 0.5) * (20 / 400_000) - 10
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (20 / 400_000)
    for name in ("tanh", "GELU", "sigmoid", "ReLU"):
        phi, slope = ACTIVATIONS[name].f, ACTIVATIONS[name].df
        theory = propagate_theory(
            ACTIVATIONS[name],
            [INITIALIZERS["identity"]],
            depth=3,
            width=7,
            batch=4,
            input_scale=1.5,
            moments=True,
        )
        path = [1.5 * z]
        for _ in range(3):
            path.append(phi(path[-1]))
        for l in range(4):
            mean, second = (np.sum(path[l] ** k * density) for k in (1, 2))
            assert theory.signal_rms[0, l] ** 2 == pytest.approx(second, rel=1e-9)
            assert theory.neuron_std[0, l] ** 2 == pytest.approx(second - mean**2, rel=1e-8)
            expected = mean**2 + (second - mean**2) / 28
            assert theory.mean_rms[0, l] ** 2 == pytest.approx(expected, rel=1e-8)
            passed = np.prod([slope(h) ** 2 for h in path[l:3]], axis=0) if l < 3 else np.ones_like(z)
            assert theory.gradient_rms[0, l] ** 2 == pytest.approx(np.sum(passed * density), rel=1e-4)
            if l:
                above = theory.gradient_rms[0, l] ** 2
                assert theory.weight_gradient_rms[0, l - 1] ** 2 == pytest.approx(
                    4 * second * above, rel=1e-8
                )


@pytest.mark.parametrize("change", [{"width": (6, 6, 5)}, {"sigma_b": 0.1}])
def test_identity_has_no_theory_where_units_are_lost_or_biases_enter(change):
    theory = propagate_theory(
        TANH, [INITIALIZERS["identity"], LECUN], **{"depth": 2, "width": 6, **change}, moments=True
    )
    for field in (*FIELDS, "slope", "neuron_std", "mean_rms"):
        assert np.all(np.isnan(getattr(theory, field)[0]))
        assert np.all(np.isfinite(getattr(theory, field)[1]))


# One unit over the batch: q(1 − c), against closed forms


def arc_cosine(c):
    """E[φ(u)φ(v)]/q for ReLU (Cho and Saul 2009)."""
    angle = np.arccos(c)
    return (np.sin(angle) + c * (math.pi - angle)) / (2 * math.pi)


def arc_cosine_2(c):
    """E[φ(u)²φ(v)²]/q² for ReLU."""
    angle = np.arccos(c)
    return (3 * np.sin(angle) * c + (math.pi - angle) * (1 + 2 * c * c)) / (2 * math.pi)


PAIRS = {
    # half of E(φ(u) − φ(v))² for u, v of variance q and correlation c
    "identity": lambda q, c: q * (1 - c),
    "ReLU": lambda q, c: q * (0.5 - arc_cosine(c)),
    "leaky ReLU": lambda q, c: q * (0.99**2 * (0.5 - arc_cosine(c)) + 0.01 * (1 - c)),
    "squared ReLU": lambda q, c: q * q * (1.5 - arc_cosine_2(c)),
    "step": lambda q, c: np.arccos(c) / (2 * math.pi),
    "sine": lambda q, c: (1 - math.exp(-2 * q)) / 2 - math.exp(-q) * math.sinh(q * c),
    "Gaussian": lambda q, c: 1 / math.sqrt(1 + 4 * q) - 1 / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2),
}
"""The leaky ReLU is 0.99·ReLU + 0.01·identity, and E[(z − z')(φ(z) − φ(z'))]/2 = q(1 − c)/2."""


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("q", [0.01, 1.0, 6.0, 25.0])
def test_difference_of_two_inputs_in_closed_form(name, q):
    # The first layer starts from c = 0; a bias beforehand would move c, so layers are asked one by one.
    theory = propagate_theory(
        ACTIVATIONS[name], [LECUN], depth=1, width=5, input_scale=math.sqrt(q), moments=True
    )
    rel = 1e-4 if name == "sine" and q > 10 else 1e-8
    assert theory.neuron_std[0, 1] ** 2 == pytest.approx(PAIRS[name](q, 0.0), rel=rel)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("sigma_b", [0.0, 0.7])
def test_differences_by_layer_follow_the_closed_form(name, sigma_b):
    theory = propagate_theory(
        ACTIVATIONS[name], [LECUN, HE], depth=8, width=5, sigma_b=sigma_b, moments=True, input_scale=0.8
    )
    for k, sigma_w2 in enumerate((1, 2)):
        for l in range(8):
            q, apart = theory.signal_rms[k, l] ** 2, theory.neuron_std[k, l] ** 2
            if q > 30:
                break
            assert theory.neuron_std[k, l + 1] ** 2 == pytest.approx(
                sigma_w2 * PAIRS[name](q, 1 - apart / q), rel=2e-8, abs=1e-14
            )


def test_per_unit_variance_of_the_table():
    theory = propagate_theory(RELU, [HE], depth=20, width=64, moments=True)
    np.testing.assert_allclose(
        theory.neuron_std[0, [1, 5, 10, 20]] ** 2, [0.6817, 0.2641, 0.1285, 0.0516], atol=5.1e-5
    )


@every_activation
def test_difference_against_a_dense_sum_in_two_variables(name):
    # A midpoint rule over both inputs, 1e-3 where φ bends, 1e-9 where it is smooth.
    z = (np.arange(1200) + 0.5) * (16 / 1200) - 8
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (16 / 1200)
    activation = ACTIVATIONS[name]
    theory = propagate_theory(activation, [LECUN], depth=2, width=5, moments=True)
    q, apart = theory.signal_rms[0, 1], theory.neuron_std[0, 1]
    c = 1 - (apart / q) ** 2
    u = q * z[:, None]
    v = q * (c * z[:, None] + math.sqrt(1 - c * c) * z)
    expected = np.einsum("i,j,ij", density, density, (activation.f(u) - activation.f(v)) ** 2) / 2
    smooth = not activation.kinks
    assert theory.neuron_std[0, 2] ** 2 == pytest.approx(expected, rel=1e-8 if smooth else 5e-3)


def test_a_sine_of_too_wide_an_argument_is_left_out():
    sine = ACTIVATIONS["sine"]
    wide = propagate_theory(sine, [LECUN], depth=1, width=4, input_scale=9.0, moments=True)
    assert np.isnan(wide.neuron_std[0, 1])
    assert np.isfinite(wide.signal_rms).all()


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_differences_keep_their_digits_at_any_size(scale):
    theory = propagate_theory(RELU, [HE], depth=3, width=4, input_scale=scale, moments=True)
    one = propagate_theory(RELU, [HE], depth=3, width=4, moments=True)
    np.testing.assert_allclose(theory.neuron_std, scale * one.neuron_std, rtol=1e-9)
    np.testing.assert_allclose(theory.mean_rms, scale * one.mean_rms, rtol=1e-9)


def test_inputs_that_meet_stay_together():
    # tanh with small weights: c → 1 while q(1 − c) falls below any digit of q
    theory = propagate_theory(
        TANH, [INITIALIZERS["PyTorch Linear"]], depth=60, width=4, sigma_b=1.0, moments=True
    )
    tail = theory.neuron_std[0, 30:] / theory.neuron_std[0, 29:-1]
    assert theory.neuron_std[0, -1] < 1e-20
    np.testing.assert_allclose(tail, np.sqrt(theory.slope[0, 29:]), rtol=1e-5)


# More second moments in closed form


def normal_cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def elu_moments(q, alpha):
    """E φ² and E φ'² of ELU for N(0, q): Gaussian integrals of e^z and e^2z over z < 0."""
    s = math.sqrt(q)
    once, twice = math.exp(q / 2) * normal_cdf(-s), math.exp(2 * q) * normal_cdf(-2 * s)
    return q / 2 + alpha**2 * (twice - 2 * once + 0.5), 0.5 + alpha**2 * twice


def clipped_moments(q):
    """E φ² and E φ'² of hard tanh: the part inside by parts, the rest at ±1."""
    s = 1 / math.sqrt(q)
    inside = math.erf(s / math.sqrt(2))
    density = math.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    return q * (inside - 2 * s * density) + (1 - inside), inside


SELU_L, SELU_A = 1.050700987355480493419334985, 1.673263242354377284817042992
CLOSED = {
    "ELU": lambda q: elu_moments(q, 1.0),
    "SELU": lambda q: tuple(SELU_L**2 * v for v in elu_moments(q, SELU_A)),
    "hard tanh": clipped_moments,
    "sine": lambda q: ((1 - math.exp(-2 * q)) / 2, (1 + math.exp(-2 * q)) / 2),
    "Gaussian": lambda q: ((1 + 4 * q) ** -0.5, 4 * q * (1 + 4 * q) ** -1.5),
    "squared ReLU": lambda q: (1.5 * q * q, 2 * q),
    "step": lambda q: (0.5, 0.0),
    "ReLU": lambda q: (q / 2, 0.5),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("q", [0.01, 0.5, 1.0, 4.0, 20.0])
def test_second_moments_in_closed_form(name, q):
    expected = CLOSED[name](q)
    np.testing.assert_allclose(mean_field_step(ACTIVATIONS[name], q, 1.0, 0.0), expected, rtol=1e-9)
    theory = propagate_theory(
        ACTIVATIONS[name], [INITIALIZERS["He normal"]], depth=1, width=9, input_scale=math.sqrt(q)
    )
    assert theory.signal_rms[0, 1] ** 2 == pytest.approx(2 * expected[0], rel=1e-9)
    assert theory.slope[0, 0] == pytest.approx(2 * expected[1], rel=1e-9)


@every_activation
def test_experiment_is_its_definition_for_every_activation(name):
    run = propagate(ACTIVATIONS[name], [LECUN], **SMALL)
    hand = by_hand(ACTIVATIONS[name], LECUN, **SMALL)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(run, field)[0], hand[field], rtol=1e-10, atol=1e-300)


def test_shapes():
    run = propagate(RELU, FIVE, **SMALL)
    assert run.signal_rms.shape == run.gradient_rms.shape == (5, 2, 5)
    assert run.weight_gradient_rms.shape == (5, 2, 4)


def test_knobs_reach_the_activation_and_a_misspelt_one_is_refused():
    leaky = ACTIVATIONS["leaky ReLU"]
    knob = leaky.knobs[0].name
    linear = propagate(ACTIVATIONS["identity"], [LECUN], **SMALL)
    run = propagate(leaky, [LECUN], knobs={knob: 1.0}, **SMALL)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(run, field), getattr(linear, field), rtol=1e-14)
    for call in (
        lambda: propagate(leaky, [LECUN], knobs={"slop": 1.0}, **SMALL),
        lambda: propagate_theory(leaky, [LECUN], depth=2, width=4, knobs={"slop": 1.0}),
    ):
        with pytest.raises(TypeError):
            call()


def test_more_depth_extends_the_forward_pass_bit_for_bit():
    kw = {"width": 32, "batch": 4, "seeds": 3, "seed": 5, "sigma_b": 0.1}
    short, long = (propagate(TANH, FIVE, depth=depth, **kw) for depth in (50, 60))
    np.testing.assert_array_equal(long.signal_rms[..., :51], short.signal_rms)
    np.testing.assert_array_equal(long.gradient_rms[..., -1], short.gradient_rms[..., -1])


def test_more_seeds_extend_the_result_bit_for_bit():
    kw = {"depth": 12, "width": 32, "batch": 4, "seed": 5}
    few, many = (propagate(RELU, FIVE, seeds=seeds, **kw) for seeds in (3, 7))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(many, field)[:, :3], getattr(few, field))
    rest = propagate(RELU, FIVE, seeds=4, first=3, **kw)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(many, field)[:, 3:], getattr(rest, field))


def test_networks_in_parts_are_the_networks_at_once(monkeypatch):
    whole = propagate(TANH, FIVE, **{**SMALL, "seeds": 5})
    monkeypatch.setattr("core.propagation._ENTRIES_AT_ONCE", 2 * 4 * 6 * 15)
    parts = propagate(TANH, FIVE, **{**SMALL, "seeds": 5})
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))


def test_other_schemes_do_not_change_a_scheme():
    alone = propagate(TANH, [HE], **SMALL)
    among = propagate(TANH, [*FIVE, INITIALIZERS["orthogonal"]], **SMALL)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(among, field)[1], getattr(alone, field)[0], rtol=1e-12)


def test_streams_of_input_top_weights_and_biases_differ():
    places = [(n, *place) for n in range(2) for place in ((0,), (0, 0), (1,), (1, 0), (2,), (2, 0))]
    firsts = [stream(0, *place).standard_normal() for place in places]
    assert len(set(firsts)) == len(places)


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_schemes_of_one_family_are_scaled_copies_in_a_relu_net(batch):
    run = propagate(RELU, FIVE, depth=20, width=16, batch=batch, seeds=2, seed=3)
    ratio = math.sqrt(1 / 2)  # Glorot over He in square layers
    layers = np.arange(21)
    np.testing.assert_allclose(run.signal_rms[2], run.signal_rms[1] * ratio**layers, rtol=1e-12)
    np.testing.assert_allclose(run.gradient_rms[2], run.gradient_rms[1] * ratio ** layers[::-1], rtol=1e-12)
    # the weight gradient's level moves with the scale, its slope over depth does not
    scaled = run.weight_gradient_rms[1] * ratio**19
    np.testing.assert_allclose(run.weight_gradient_rms[2], scaled, rtol=1e-12)


@pytest.mark.parametrize("name", ["ReLU", "leaky ReLU", "identity"])
@pytest.mark.parametrize("widths", [16, (20, 12, 9, 9, 7, 14)])
def test_schemes_that_share_a_pass_get_what_passes_of_their_own_give(name, widths, monkeypatch):
    schemes = list(SCHEMES.values())
    kw = {"depth": 5, "width": widths, "batch": 3, "seeds": 2, "seed": 4, "moments": True, "slopes": True}
    shared = propagate(ACTIVATIONS[name], schemes, **kw)
    monkeypatch.setattr(propagation, "_copies", lambda *_: None)
    own = propagate(ACTIVATIONS[name], schemes, **kw)
    for field in (*FIELDS, *MORE):
        np.testing.assert_allclose(getattr(shared, field), getattr(own, field), rtol=1e-12, atol=1e-14)


def test_a_scheme_that_leaves_the_middle_of_float64_has_a_pass_of_its_own(monkeypatch):
    far = replace(HE, std=lambda *_: 1e40)
    kw = {"depth": 9, "width": 8, "batch": 2, "seeds": 2, "seed": 0}
    shared = propagate(RELU, [far, HE], **kw)
    assert not np.isfinite(shared.signal_rms[0, :, -1]).any()
    monkeypatch.setattr(propagation, "_copies", lambda *_: None)
    np.testing.assert_array_equal(shared.signal_rms[0], propagate(RELU, [far, HE], **kw).signal_rms[0])


def test_orthogonal_linear_net_keeps_every_length():
    run = propagate(ACTIVATIONS["identity"], [INITIALIZERS["orthogonal"]], **{**SMALL, "depth": 100})
    for field in FIELDS[:2]:
        rms = getattr(run, field)
        np.testing.assert_allclose(rms, rms[..., :1] * np.ones(101), rtol=1e-11)


# Experiment against theory


def assert_agreement(name, scheme, seeds=60, **kw):
    """The mean over networks lies within 4 measured standard errors of theory, and these are small."""
    activation, entry = ACTIVATIONS[name], SCHEMES[scheme]
    run = propagate(activation, [entry], seeds=seeds, seed=1, moments=True, **kw)
    theory = propagate_theory(activation, [entry], moments=True, **kw)
    for field in (*FIELDS, "neuron_std"):
        second = getattr(run, field)[0] ** 2
        expected = getattr(theory, field)[0] ** 2
        error = second.std(axis=0, ddof=1) / math.sqrt(seeds)
        assert np.all(np.abs(second.mean(axis=0) - expected) <= 4 * error + 1e-14 * expected), field
        assert np.all(error < 0.1 * second.mean(axis=0)), field  # so that agreement means something
    # The mean over a whole layer is one nearly normal number a network: its square spreads by √2 times its mean.
    second, expected = run.signal_mean[0] ** 2, theory.mean_rms[0] ** 2
    if not entry.elementwise:
        assert np.all(np.abs(second.mean(axis=0) / expected - 1) < 4 * math.sqrt(2 / seeds))


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("ReLU", "He normal"),
        ("ReLU", "He uniform"),
        ("ReLU", "He truncated"),
        ("ReLU", "PyTorch Linear"),
        ("ReLU", "NTK"),
        ("ReLU", "identity"),
        ("tanh", "LeCun normal"),
        ("tanh", "orthogonal"),
        ("tanh", "identity"),
        ("sigmoid", "LeCun normal"),
        ("SELU", "LeCun normal"),
        ("GELU", "He normal"),
    ],
)
def test_mean_over_networks_agrees_with_theory(name, scheme):
    size = {"depth": 3, "width": 64} if scheme == "orthogonal" else {"depth": 5, "width": 128}
    assert_agreement(name, scheme, **size, batch=4)  # 5·depth/width < 0.25


def test_lsuv_agrees_with_theory_up_to_one_over_width():
    kw = {"depth": 3, "width": 64, "batch": 4}
    run = propagate(TANH, [LSUV], seeds=60, seed=1, moments=True, **kw)
    theory = propagate_theory(TANH, [LSUV], moments=True, **kw)
    for field in (*FIELDS, "neuron_std"):
        second, expected = getattr(run, field)[0] ** 2, getattr(theory, field)[0] ** 2
        error = second.std(axis=0, ddof=1) / math.sqrt(60)
        assert np.all(np.abs(second.mean(axis=0) - expected) < 4 * error + expected / 64), field


@pytest.mark.parametrize(("name", "scheme"), [("ReLU", "He normal (fan_out)"), ("tanh", "Glorot normal")])
@pytest.mark.parametrize("taper", [0.5, 2.0])
def test_tapered_stacks_agree_with_theory(name, scheme, taper):
    widths = layer_widths(150, 4, taper)
    assert_agreement(name, scheme, depth=4, width=widths, batch=6, input_scale=1.5, sigma_b=0.2)


def test_sparse_weights_agree_with_the_theory_of_dense_ones_while_many_are_left():
    half = INITIALIZERS["sparse"].at(sparsity=0.5)
    kw = {"depth": 4, "width": 128, "batch": 4}
    run = propagate(TANH, [half], seeds=60, seed=4, **kw)
    theory = propagate_theory(TANH, [half], **kw)
    np.testing.assert_allclose(
        theory.signal_rms, propagate_theory(TANH, [LECUN], **kw).signal_rms, rtol=1e-14
    )
    for field in FIELDS:
        second = getattr(run, field)[0] ** 2
        error = second.std(axis=0, ddof=1) / math.sqrt(60)
        assert np.all(np.abs(second.mean(axis=0) - getattr(theory, field)[0] ** 2) < 4 * error)


def test_mean_with_biases_agrees_with_theory():
    kw = {"depth": 5, "width": 128, "batch": 4, "sigma_b": 0.5}
    run = propagate(TANH, [LECUN, INITIALIZERS["zeros"]], seeds=60, seed=2, **kw)
    theory = propagate_theory(TANH, [LECUN, INITIALIZERS["zeros"]], **kw)
    second = run.signal_rms**2
    error = second.std(axis=1, ddof=1) / math.sqrt(60)
    assert np.all(np.abs(second.mean(axis=1) - theory.signal_rms**2) < 4 * error)


# Extremes


def test_default_scenario_leaves_float32_where_it_should():
    theory = propagate_theory(RELU, FIVE, depth=100, width=64)
    assert [first_bad(rms) for rms in theory.signal_rms] == [52, None, None, 98, 31]


@pytest.mark.parametrize("name", ["ReLU", "tanh", "identity", "sigmoid", "squared ReLU"])
@pytest.mark.parametrize(("depth", "width", "batch"), [(100, 1, 1), (1, 1, 1), (100, 7, 1), (100, 64, 2)])
def test_edges_run_without_a_warning(name, depth, width, batch):
    schemes = list(SCHEMES.values())
    kw = {"depth": depth, "width": width, "batch": batch}
    run = propagate(ACTIVATIONS[name], schemes, **kw, seeds=2, seed=0, moments=True, slopes=True)
    assert np.all(np.isfinite(run.signal_rms[..., 0]))
    assert np.all(run.signal_rms[~np.isnan(run.signal_rms)] >= 0)
    propagate_theory(ACTIVATIONS[name], schemes, **kw, moments=True)


def test_rms_survives_where_squares_do_not():
    run = propagate(ACTIVATIONS["identity"], FIVE, depth=100, width=64, batch=2, seeds=2, seed=0)
    loud, quiet = 64.0, 1e-2  # unit draws shared: N(0, 0.01²) is N(0, 1) times 0.01 a layer
    assert np.all(run.signal_rms[0, :, -1] > 1e80)
    ratio = np.log10(run.signal_rms[4] / run.signal_rms[0])
    np.testing.assert_allclose(ratio, np.log10(quiet) * np.arange(101) * np.ones((2, 1)), atol=1e-9)
    wide = [Initializer("wide", lambda m, n: 1e2 * loud, "normal", "", "")]
    run = propagate(ACTIVATIONS["identity"], wide, depth=60, width=4, batch=2, seeds=2, seed=0)
    assert np.all(np.isfinite(run.signal_rms))
    assert np.all(run.signal_rms[..., -1] > 1e200)
    assert np.all(np.isfinite(run.weight_gradient_rms))
    narrow = [Initializer("narrow", lambda m, n: 1e-5, "normal", "", "")]
    run = propagate(ACTIVATIONS["identity"], narrow, depth=50, width=4, batch=2, seeds=2, seed=0)
    assert np.all(run.signal_rms > 0)
    assert np.all(run.signal_rms[..., -1] < 1e-220)
    assert np.all(run.weight_gradient_rms > 0)


def test_overflow_of_float64_is_recorded_not_hidden():
    bursting = [Initializer("bursting", lambda m, n: 1e10, "normal", "", "")]
    run = propagate(ACTIVATIONS["identity"], bursting, depth=40, width=4, batch=2, seeds=1, seed=0)
    rms = run.signal_rms[0, 0]
    assert first_bad(rms) == 4
    first = first_bad(rms, low=0, high=np.finfo(np.float64).max)
    assert 28 <= first <= 32
    assert not np.any(np.isfinite(rms[first:]))
    theory = propagate_theory(ACTIVATIONS["identity"], bursting, depth=40, width=4)
    assert abs(first_bad(theory.signal_rms[0], low=0, high=np.finfo(np.float64).max) - first) <= 1


def test_zeros_are_exact():
    run = propagate(RELU, [INITIALIZERS["zeros"]], **SMALL)
    assert np.all(run.signal_rms[..., 1:] == 0)
    assert np.all(run.gradient_rms[..., :-1] == 0)
    assert np.all(run.weight_gradient_rms[..., :-1] == 0)


@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e-300, 5e-324, 1e170, 1e300])
def test_root_mean_square(scale):
    x = np.array([[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [2.0, 2.0, -2.0, 2.0]])
    np.testing.assert_allclose(
        root_mean_square(x * scale), [2.5 * scale, 0, 2 * scale], rtol=1e-15, atol=5e-324
    )
    assert root_mean_square(np.array([math.inf, 1.0])) == math.inf
    assert np.isnan(root_mean_square(np.array([math.nan, 1.0])))


def test_first_bad():
    assert first_bad([1.0, 1e-37, 1e-39, 1e-40]) == 2
    assert first_bad([1.0, 1e38, 1e39]) == 2
    assert first_bad([1.0, FLOAT32_TINY, FLOAT32_MAX]) is None
    assert first_bad([1.0, math.inf, math.nan]) == 1
    assert first_bad([1.0, math.nan]) == 1
    assert first_bad([1.0, 0.0, 0.0]) is None
    assert first_bad([1e-50, 1e-40, 1e-30, 1.0], backward=True) == 1
    assert first_bad([1.0, 5.0, 20.0], high=10) == 2
    assert first_bad([]) is None
    with pytest.raises(ValueError, match="needs one row"):
        first_bad(np.ones((2, 3)))


def test_float32_limits():
    assert np.finfo(np.float32).tiny == FLOAT32_TINY
    assert np.finfo(np.float32).max == FLOAT32_MAX


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth", 0),
        ("width", 0),
        ("batch", -1),
        ("seeds", 0),
        ("seed", -1),
        ("first", -1),
        ("sigma_b", -0.1),
        ("input_scale", 0.0),
    ],
)
def test_arguments_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}: needs"):
        propagate(RELU, [HE], **{**SMALL, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("depth", 0), ("width", 0), ("batch", 0), ("sigma_b", math.nan), ("input_scale", -1.0)],
)
def test_theory_refuses_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}: needs"):
        propagate_theory(RELU, [HE], **{"depth": 3, "width": 4, name: value})


def test_no_schemes_give_empty_results():
    assert propagate(RELU, [], **SMALL).signal_rms.shape == (0, 2, 5)
    assert propagate_theory(RELU, [], depth=4, width=6).signal_rms.shape == (0, 5)


def test_the_root_over_networks_pools_second_moments_without_leaving_float64():
    rms = np.array([[[1.0, 3e200, 0.0], [7.0, 4e200, 0.0]]])
    np.testing.assert_allclose(pooled_rms(rms), [[5.0, np.sqrt(12.5) * 1e200, 0.0]], rtol=1e-14)
    assert pooled_rms(np.full((2, 3, 4), np.inf)).shape == (2, 4)


# One network against the mean of all


@pytest.mark.parametrize(
    ("name", "knobs", "kappa"),
    [
        ("ReLU", {}, 5.0),
        ("identity", {}, 2.0),
        ("leaky ReLU", {"slope": 0.5}, 6 * (1 + 0.5**4) / 1.25**2 - 1),
    ],
)
def test_the_logarithm_of_one_network_has_the_variance_that_is_said(name, knobs, kappa):
    assert log_variance(ACTIVATIONS[name], knobs) == pytest.approx(kappa, rel=1e-15)
    depth, width, seeds = 8, 96, 600
    run = propagate(
        ACTIVATIONS[name], [INITIALIZERS["He normal"]], depth=depth, width=width, batch=1, seeds=seeds, seed=2, knobs=knobs
    )  # fmt: skip
    logs = 2 * np.log(run.signal_rms[0])
    # The first layer and the last are plain chi-squares, 2/n; the error of a variance of normals is √(2/seeds) of it.
    expected = (kappa * (depth - 1) + 2 + 2) / width
    assert np.var(logs[:, -1], ddof=1) == pytest.approx(expected, rel=4.5 * np.sqrt(2 / seeds))


@pytest.mark.parametrize("name", ["tanh", "GELU", "SELU", "sigmoid", "ReLU6", "hard tanh"])
def test_no_closed_form_is_claimed_for_what_is_no_straight_ray(name):
    assert log_variance(ACTIVATIONS[name]) is None


def test_no_closed_form_is_claimed_for_a_function_that_is_zero():
    dead = replace(ACTIVATIONS["ReLU"], f=lambda z: np.zeros_like(z))
    assert log_variance(dead) is None
