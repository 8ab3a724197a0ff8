"""Variants of dropout: closed forms against counting every mask, samples, and published constants."""

import itertools
import math

import numpy as np
import pytest

from core.activations import selu
from core.dropout_variants import (
    ALPHA_PRIME,
    DROPOUT_VARIANTS,
    SELU_DROPS,
    alpha_affine,
    alpha_drop,
    dropout_variant,
    measure_variance_shift,
    measure_variant,
    propagate_selu,
    selu_theory,
    variance_shift,
)

every = pytest.mark.parametrize("name", DROPOUT_VARIANTS)
masking = pytest.mark.parametrize("name", [name for name in DROPOUT_VARIANTS if name != "Gaussian"])
SHAPE = (5, 3, 4)


class Draws:
    """A generator whose uniforms are given, and that counts what is asked of it."""

    def __init__(self, bits):
        self.bits = bits

    def random(self, shape):
        size = int(np.prod(shape))
        assert size == len(self.bits)
        return np.array(self.bits, float).reshape(shape)


@every
def test_p_zero_is_the_identity(name):
    x = np.random.default_rng(0).normal(size=SHAPE)
    weights = np.random.default_rng(1).normal(size=(4, 2))
    apply = dropout_variant(name).apply
    np.testing.assert_allclose(apply(x, 0.0, np.random.default_rng(2)), x)
    np.testing.assert_allclose(apply(x, 0.0, np.random.default_rng(2), weights), x @ weights)


# Two channels of two units of one sample; what one draw decides, by hand.
MASKS = {"Standard": 4, "Spatial": 2, "DropPath": 1, "DropConnect": 4, "Alpha": 4}


@masking
@pytest.mark.parametrize(("mean", "p"), [(1.0, 0.5), (0.0, 0.3), (-0.7, 0.8)])
def test_moments_are_those_of_all_masks_and_a_two_point_input(name, mean, p):
    # Inputs μ ± 1 with equal probability have the moments μ and 1: sixteen inputs, all masks, every one weighed.
    entry, count = DROPOUT_VARIANTS[name], MASKS[name]
    total = 0.0
    sums = dict.fromkeys(("a", "aa", "ab", "ac"), 0.0)
    for signs in itertools.product((-1, 1), repeat=4):
        x = mean + np.array(signs, float).reshape(1, 2, 2)
        for kept in itertools.product((0.0, 1.0), repeat=count):
            chance = math.prod(1 - p if k else p for k in kept) / 16
            y = entry.apply(x, p, Draws(kept)).ravel()
            total += chance
            for key, value in (("a", y[0]), ("aa", y[0] ** 2), ("ab", y[0] * y[1]), ("ac", y[0] * y[2])):
                sums[key] += chance * value
    assert total == pytest.approx(1)
    exact = entry.moments(mean, 1.0, p)
    assert exact.mean == pytest.approx(sums["a"], abs=1e-12)
    square = sums["a"] ** 2
    np.testing.assert_allclose(
        exact[1:4], [sums["aa"] - square, sums["ab"] - square, sums["ac"] - square], atol=1e-12
    )


@every
@pytest.mark.parametrize(("mean", "p"), [(1.0, 0.5), (0.0, 0.2), (2.0, 0.7)])
def test_measured_moments_agree_with_the_closed_form(name, mean, p):
    found = measure_variant(name, mean=mean, p=p, samples=8000, seed=3)
    for field, value, error, exact in zip(
        found.moments._fields,
        found.moments,
        found.error,
        DROPOUT_VARIANTS[name].moments(mean, 1.0, p),
        strict=True,
    ):
        assert abs(value - exact) <= 4 * error + 1e-12, field


@every
def test_only_dropped_connections_untie_two_sums(name):
    sums = DROPOUT_VARIANTS[name].moments(1.0, 1.0, 0.5).sums
    assert sums == pytest.approx(1 / 3 if name == "DropConnect" else 1)
    # By hand: Var without masks 1, with masks (1 + 1)/0.5 − 1 = 3.


@every
def test_everything_dropped_is_zero_but_for_gaussian_noise(name):
    y = DROPOUT_VARIANTS[name].apply(np.ones(SHAPE), 1.0, np.random.default_rng(0))
    exact = DROPOUT_VARIANTS[name].moments(1.0, 1.0, 1.0)
    if name == "Gaussian":
        assert np.isnan(y).all()
        assert math.isnan(exact.var)
    else:
        assert (y == 0).all()
        assert exact[:4] == (0, 0, 0, 0)


def test_alpha_dropout_has_the_constants_of_the_paper():
    np.testing.assert_allclose(ALPHA_PRIME, -1.7580993408473766, rtol=1e-15)
    np.testing.assert_allclose(selu(np.array(-60.0)), ALPHA_PRIME)
    for p in (0.05, 0.5, 0.9):
        q = 1 - p
        a, b = alpha_affine(p)
        assert a == pytest.approx((q + ALPHA_PRIME**2 * q * (1 - q)) ** -0.5)
        assert b == pytest.approx(-a * (1 - q) * ALPHA_PRIME)
        mean, var, *_ = DROPOUT_VARIANTS["Alpha"].moments(0.0, 1.0, p)
        assert (mean, var) == (pytest.approx(0, abs=1e-14), pytest.approx(1))
    mask = np.array([True, False])
    np.testing.assert_allclose(
        alpha_drop(np.array([2.0, 2.0]), 0.5, mask), np.array([2.0, ALPHA_PRIME]) * a_half() + b_half()
    )


def a_half():
    return (0.5 + ALPHA_PRIME**2 * 0.25) ** -0.5


def b_half():
    return -a_half() * 0.5 * ALPHA_PRIME


def test_selu_keeps_its_moments_under_alpha_dropout_and_loses_them_under_standard():
    p, depth = 0.3, 6
    theory = selu_theory(p=p, depth=depth)
    ways = list(SELU_DROPS)
    for way in ("No dropout", "Alpha"):
        np.testing.assert_allclose(theory.mean[ways.index(way)], 0, atol=1e-12)
        np.testing.assert_allclose(theory.second[ways.index(way)], 1, rtol=1e-12)
    standard = theory.second[ways.index("Standard")]
    assert standard[0] == pytest.approx(1 / 0.7)
    assert (np.diff(standard) > 0).all()
    found = propagate_selu(p=p, depth=depth, width=96, seed=1)
    np.testing.assert_allclose(found.second, theory.second, rtol=0.12)
    np.testing.assert_allclose(found.mean, theory.mean, atol=0.12)


def test_the_variance_shift_is_that_of_the_notes_and_of_running_statistics():
    mean, second = 1 / math.sqrt(2 * math.pi), 0.5  # ReLU of a standard normal
    assert float(variance_shift(mean, second - mean**2, 0.5)) == pytest.approx(0.842 / 0.341, rel=2e-3)
    rates = (0.0, 0.3, 0.6)
    exact = variance_shift(1.5, 1.0, rates)
    np.testing.assert_allclose(exact, [1.0, 3.25 / 0.7 - 2.25, 3.25 / 0.4 - 2.25])
    before = measure_variance_shift(1.5, rates, before=True, batches=60, seed=2)
    np.testing.assert_allclose(before.stored, exact, rtol=0.04)
    np.testing.assert_allclose(before.output, 1 / np.sqrt(exact), rtol=0.03)
    after = measure_variance_shift(1.5, rates, before=False, batches=60, seed=2)
    np.testing.assert_allclose(after.stored, 1, rtol=0.03)
    np.testing.assert_allclose(after.output, 1, rtol=0.02)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="Standard"):
        dropout_variant("other")
    with pytest.raises(ValueError, match="p_drop"):
        alpha_affine(1.0)
    with pytest.raises(ValueError, match="p_drop"):
        variance_shift(0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="var"):
        variance_shift(0.0, 0.0, 0.5)
    with pytest.raises(ValueError, match="samples"):
        measure_variant("Standard", mean=0.0, p=0.5, samples=30)
    with pytest.raises(ValueError, match="channels"):
        measure_variant("Standard", mean=0.0, p=0.5, channels=1)
    with pytest.raises(ValueError, match="p_drop"):
        measure_variance_shift(0.0, (1.0,), before=True)
