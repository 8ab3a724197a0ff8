"""Dropout before a nonlinearity: against enumeration by hand, closed forms over the normal distribution, and sampling."""

import itertools
import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.dropout_nonlinear import (
    EXACT_INPUTS,
    WEIGHTS,
    drop_unit,
    layer_mean,
    nonlinearity_gap,
    normal_mean,
)

ROOT = math.sqrt(2)


def cdf(x):
    return 0.5 * math.erfc(-x / ROOT)


def pdf(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


NORMAL = {
    "identity": lambda m, s: m,
    "step": lambda m, s: cdf(m / s),
    "ReLU": lambda m, s: m * cdf(m / s) + s * pdf(m / s),
    "squared ReLU": lambda m, s: (m * m + s * s) * cdf(m / s) + m * s * pdf(m / s),
    "sine": lambda m, s: math.exp(-s * s / 2) * math.sin(m),
    "Gaussian": lambda m, s: math.exp(-m * m / (1 + 2 * s * s)) / math.sqrt(1 + 2 * s * s),
    "GELU": lambda m, s: (
        m * cdf(m / math.sqrt(1 + s * s)) + s * s / math.sqrt(1 + s * s) * pdf(m / math.sqrt(1 + s * s))
    ),
}


# z normal


@pytest.mark.parametrize("name", NORMAL)
def test_means_over_a_normal_z_are_the_closed_forms(name):
    means, sds = np.array([-3.0, 0.0, 0.7])[:, None], np.array([0.1, 1.5, 9.0])
    expected = [[NORMAL[name](m, s) for s in sds.tolist()] for m in means.ravel().tolist()]
    np.testing.assert_allclose(normal_mean(name, means, sds**2), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_without_a_spread_the_mean_is_f_of_the_mean(name):
    at = np.array([-1.3, 0.0, 2.1])
    np.testing.assert_array_equal(normal_mean(name, at, 0.0), ACTIVATIONS[name].f(at))


# One unit


def by_hand(contributions, bias, p):
    """Yield every mask's z and probability, mask by mask."""
    for mask in itertools.product((0, 1), repeat=len(contributions)):
        kept = sum(mask)
        z = bias + sum(c * m for c, m in zip(contributions, mask, strict=True)) / (1 - p)
        yield z, p ** (len(mask) - kept) * (1 - p) ** kept


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_unit_with_few_inputs_counts_all_masks(p):
    unit = drop_unit(width=4, p=p, mean=-0.4, seed=3)
    z, probability = map(np.array, zip(*sorted(by_hand(unit.contributions, unit.bias, p)), strict=True))
    order = np.argsort(unit.z)
    np.testing.assert_allclose(unit.z[order], z, atol=1e-13)
    np.testing.assert_allclose(unit.probability[order], probability, rtol=1e-13)
    assert unit.exact
    assert unit.expect(np.tanh).value == pytest.approx(float(probability @ np.tanh(z)), abs=1e-14)
    assert unit.gap("tanh").value == pytest.approx(float(probability @ np.tanh(z)) - math.tanh(-0.4 * ROOT))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.95])
@pytest.mark.parametrize("width", [1, 7, EXACT_INPUTS])
def test_mean_and_spread_of_z_are_as_asked(width, p):
    unit = drop_unit(width=width, p=p, mean=1.5)
    assert np.sum(unit.contributions**2) == pytest.approx(2)
    assert unit.scaled == pytest.approx(1.5 * ROOT)
    assert unit.mean == pytest.approx(1.5 * ROOT)
    assert unit.sd == pytest.approx(math.sqrt(2 * p / (1 - p)))
    assert unit.probability.sum() == pytest.approx(1)
    assert unit.expect(lambda z: z).value == pytest.approx(unit.mean)
    assert unit.expect(lambda z: (z - unit.mean) ** 2).value == pytest.approx(unit.sd**2, abs=1e-12)
    assert abs(unit.gap("identity").value) < 1e-12
    assert unit.gap("identity").error == 0


def test_drawn_masks_come_to_the_enumeration():
    unit = drop_unit(width=EXACT_INPUTS + 1, p=0.5, mean=0.5, masks=20_000)
    assert not unit.exact
    z, probability = map(np.array, zip(*by_hand(unit.contributions, unit.bias, 0.5), strict=True))
    for name in ("ReLU", "tanh", "GELU"):
        found = unit.expect(ACTIVATIONS[name].f)
        assert 0 < found.error < 0.02
        assert abs(found.value - float(probability @ ACTIVATIONS[name].f(z))) < 4 * found.error


def test_many_small_contributions_are_nearly_normal():
    unit = drop_unit(width=512, p=0.5, mean=0.5)
    theory = NORMAL["ReLU"](unit.mean, unit.sd)
    found = unit.expect(ACTIVATIONS["ReLU"].f)
    assert abs(found.value - theory) < 4 * found.error
    assert np.corrcoef(unit.z, drop_unit(width=512, p=0.45, mean=0.5).z)[0, 1] > 0.8  # the same uniforms


def test_a_shift_moves_the_unit_and_the_output_it_is_compared_with():
    unit, moved = (drop_unit(width=6, p=0.4, mean=m) for m in (0.0, 0.75))
    assert unit.gap("SiLU", 0.75 * ROOT).value == pytest.approx(moved.gap("SiLU").value, abs=1e-14)


def test_jensen_gives_the_sign():
    for mean in (-1.0, 0.0, 2.0):
        unit = drop_unit(width=8, p=0.5, mean=mean)
        for convex in ("ReLU", "softplus", "squared ReLU", "leaky ReLU"):
            assert unit.gap(convex).value >= -1e-12
    assert drop_unit(width=8, p=0.2, mean=4.0).gap("sigmoid").value < -1e-4
    assert drop_unit(width=8, p=0.2, mean=-4.0).gap("sigmoid").value > 1e-4


@pytest.mark.parametrize("width", [3, 40])
def test_at_p_one_only_the_bias_is_left(width):
    unit = drop_unit(width=width, p=1.0, mean=0.5)
    assert unit.mean == unit.bias
    assert unit.sd == 0
    assert unit.expect(np.tanh).value == pytest.approx(math.tanh(unit.bias))
    assert unit.scaled == pytest.approx(0.5 * ROOT)


# A layer


@pytest.fixture(scope="module")
def every():
    return nonlinearity_gap(tuple(ACTIVATIONS), (0.0, 0.2, 0.8, 1.0), width=32, seed=1)


def test_a_layer_is_what_theory_says(every):
    inside = slice(1, 3)
    away = np.abs(every.gap - every.gap_theory)[:, inside]
    assert np.all(away < 4 * every.error[:, inside])
    np.testing.assert_allclose(every.evaluation, every.evaluation_theory, atol=0.07)
    names = list(ACTIVATIONS)
    assert np.all(every.gap[names.index("ReLU"), inside] > 20 * every.error[names.index("ReLU"), inside])


def test_without_dropout_there_is_no_gap_and_at_p_one_no_signal(every):
    np.testing.assert_array_equal(every.gap[:, 0], 0)
    np.testing.assert_allclose(every.gap_theory[:, 0], 0, atol=1e-14)
    at_zero = [float(entry.f(np.zeros(()))) for entry in ACTIVATIONS.values()]
    np.testing.assert_allclose(every.training[:, 3], at_zero)
    np.testing.assert_array_equal(every.training_theory[:, 3], at_zero)


def test_the_default_layer_trains_at_080_and_evaluates_at_057():
    found = nonlinearity_gap(("ReLU",), 0.5, width=64)
    assert float(found.training[0, 0]) == pytest.approx(0.80, abs=0.02)
    assert float(found.evaluation[0]) == pytest.approx(0.57, abs=0.02)
    again = nonlinearity_gap(("tanh", "ReLU"), (0.3, 0.5), width=64)
    assert again.training[1, 1] == found.training[0, 0]


@pytest.mark.parametrize("width", [1, 3, 64, 512])
def test_theory_of_a_layer_holds_at_every_width(width):
    mean_chi = math.exp(math.lgamma((width + 1) / 2) - math.lgamma(width / 2)) * ROOT
    assert layer_mean("ReLU", 0.0, width) == pytest.approx(
        math.sqrt(2 / width) * mean_chi * pdf(0), rel=1e-11
    )
    for p in (1e-9, 0.3, 0.5, 0.95):
        # E f = E z²/2 for a symmetric z, whatever the width; and 1 unit of variance for each kept input.
        assert layer_mean("squared ReLU", p, width) == pytest.approx(1 / (1 - p), rel=1e-10)
        kept = range(width + 1)
        chance = [math.comb(width, k) * p ** (width - k) * (1 - p) ** k for k in kept]
        chi = [0.0, *(math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2)) * ROOT for k in kept[1:])]
        expected = math.sqrt(2 / width) / (1 - p) * pdf(0) * float(np.dot(chance, chi))
        assert layer_mean("ReLU", p, width) == pytest.approx(expected, rel=1e-9)


def test_a_wide_layer_has_the_limit():
    assert layer_mean("ReLU", 0.5, 512) == pytest.approx(2 * pdf(0), rel=3e-3)
    assert layer_mean("ReLU", 0.0, 512) == pytest.approx(ROOT * pdf(0), rel=1e-3)


def test_averaging_weights_close_the_gap_as_one_over_the_width():
    slope = 1 - math.tanh(1) ** 2
    bend = -2 * math.tanh(1) * slope
    for width in (256, 512):
        variance = 0.4 / 0.6 * math.pi / 2 / width
        gap = layer_mean("tanh", 0.4, width, "averaging") - math.tanh(1)
        assert gap == pytest.approx(bend / 2 * variance, rel=0.02)
    small, large = (nonlinearity_gap(("tanh",), 0.5, width=n, weights="averaging") for n in (8, 256))
    assert float(small.gap[0, 0]) < -0.03
    assert abs(float(large.gap[0, 0] - large.gap_theory[0, 0])) < 4 * float(large.error[0, 0])
    assert float(small.evaluation[0]) == pytest.approx(math.tanh(1), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drop_unit(width=0, p=0.5, mean=0.0), "width = 0"),
        (lambda: drop_unit(width=4, p=1.5, mean=0.0), "p_drop = 1.5"),
        (lambda: drop_unit(width=64, p=0.5, mean=0.0, masks=1), "masks = 1"),
        (lambda: nonlinearity_gap(("ReLU",), (0.1, -0.1), width=4), "p_drop"),
        (lambda: nonlinearity_gap(("relu6",), 0.5, width=4), "activation = relu6"),
        (lambda: nonlinearity_gap(("ReLU",), 0.5, width=4, weights="Xavier"), ", ".join(WEIGHTS)),
        (lambda: layer_mean("ReLU", 0.5, 0), "width = 0"),
        (lambda: layer_mean("ReLU", math.nan, 4), "p_drop = nan"),
        (lambda: normal_mean("ReLU", 0.0, -1.0), "-1"),
    ],
)
def test_values_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
