"""Batch size: the same outputs as one placement at a time, closed forms, fractions and hand computation."""

import math

import numpy as np
import pytest

from core.batch_size import (
    HARD_INPUTS,
    batch_size_for,
    hard_outcome,
    one_sample_outputs,
    probe_sizes,
    scatter_asymptote,
    stack_scale,
    stack_scale_theory,
    stored_step,
    variance_ways,
)
from core.batch_stream import place_probe, probe_distribution
from core.normalization import BATCHNORM_CONVENTIONS

UNBIASED = [name for name, rule in BATCHNORM_CONVENTIONS.items() if rule.unbiased]
BIASED = [name for name, rule in BATCHNORM_CONVENTIONS.items() if not rule.unbiased]


@pytest.mark.parametrize("in_batch", [True, False])
def test_outputs_are_those_of_one_size_at_a_time(in_batch):
    shared = {
        "mu": -2.0, "sigma": 0.5, "probe": -1.2, "gamma": 2.0, "beta": 0.3, "count": 20, "in_batch": in_batch, "seed": 4
    }  # fmt: skip
    run = probe_sizes((1, 2, 7, 64), **shared)
    for k, n in enumerate(run.sizes):
        np.testing.assert_array_equal(run.outputs[k], place_probe(batch_size=int(n), **shared))


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_evaluation_uses_what_the_convention_stores(convention):
    run = probe_sizes((1, 2, 16), mu=1, sigma=2, probe=4, count=4000, eps=1e-14, convention=convention)
    assert np.isnan(run.eval_output[0])
    assert np.isnan(run.eval_expected[0])
    factor = np.array([1.0, 1.0]) if convention in UNBIASED else np.sqrt([2, 16 / 15])
    np.testing.assert_allclose(run.eval_expected[1:], 1.5 * factor, rtol=1e-12)
    np.testing.assert_allclose(run.eval_output[1:], run.eval_expected[1:], rtol=0.05)
    np.testing.assert_allclose(run.mean_std * np.sqrt(run.sizes), 1, rtol=0.05)
    wide = probe_sizes((1, 2, 16), mu=1, sigma=2, probe=4, count=4000, eps=4.0, convention=convention)
    for tried in (run, wide):
        for k, exact in enumerate(tried.theory):
            assert tried.outputs[k].std() == pytest.approx(exact.std, rel=0.06, abs=1e-12)


def test_the_asymptote_is_the_end_of_the_exact_form():
    for delta, eps in ((0.0, 0.0), (1.0, 0.0), (-3.0, 0.0), (1.0, 0.5), (-3.0, 4.0)):
        shared = {"probe": delta, "batch_size": 20_000, "gamma": -2, "eps": eps, "in_batch": True}
        exact = probe_distribution(mu=0, sigma=1, **shared).std
        assert scatter_asymptote(20_000, delta, -2, eps) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("convention", "stored", "var"),
    [
        ("PyTorch", 38 / 3, 0.9 + 3.8 / 3),
        ("ONNX", 9.5, 1.85),
        ("Keras", 9.5, 1.085),
        ("paper", 38 / 3, 38 / 3),
    ],
)
def test_one_step_by_hand(convention, stored, var):
    step = stored_step((1, 2, 4, 9), convention)
    assert step.batch_var == pytest.approx(9.5, rel=1e-14)
    assert step.stored_var == pytest.approx(stored, rel=1e-14)
    assert step.running_var == pytest.approx(var, rel=1e-14)
    assert step.running_mean == pytest.approx(4 * step.weight, rel=1e-14)


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_one_value_stores_nothing_or_zero(convention):
    step = stored_step((5,), convention, var=7.0)
    if convention in UNBIASED:
        assert math.isnan(step.stored_var)
        assert step.running_var == 7
    else:
        assert step.stored_var == 0
        assert step.running_var == pytest.approx(7 * (1 - step.weight), rel=1e-14)
    assert step.running_mean == pytest.approx(5 * step.weight, rel=1e-14)


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
@pytest.mark.parametrize("size", [2, 8, 64])
def test_a_stack_shrinks_by_bessels_factor(size, convention):
    measured = stack_scale(size, 20, convention=convention, eps=1e-12)
    theory = stack_scale_theory(size, 20, convention=convention)
    assert theory[0] == 1
    assert theory[20] == pytest.approx(((size - 1) / size) ** 10 if convention in UNBIASED else 1, rel=1e-13)
    np.testing.assert_allclose(measured, theory, rtol=1e-5)


def test_the_published_scale():
    assert stack_scale(64, 20)[-1] == pytest.approx(0.854, abs=5e-4)
    with pytest.raises(ValueError, match="batch size = 1"):
        stack_scale(1, 3)


@pytest.mark.parametrize(("scale", "layers"), [(0.95, 20), (0.5, 1), (0.999, 50), (0.01, 2)])
def test_the_smallest_batch_for_a_scale(scale, layers):
    n = batch_size_for(scale, layers)
    assert stack_scale_theory(n, layers)[-1] >= scale
    assert n == 2 or stack_scale_theory(n - 1, layers)[-1] < scale
    with pytest.raises(ValueError, match="scale"):
        batch_size_for(1.0, layers)


def test_huge_offsets_by_hand():
    for offset in (0.0, 1e4, 1e8, 1e12):
        ways = variance_ways((1, 2, 4, 9), offset)
        assert ways.exact == ways.two_passes == 9.5
        assert ways.error < 1e-14
    assert variance_ways((1, 2, 4, 9), 1e4).squares == pytest.approx(9.5, abs=0.1)
    # squares near 1e16 are spaced by 2, so their means cannot differ by 9.5
    assert abs(variance_ways((1, 2, 4, 9), 1e8).squares - 9.5) > 0.4
    # at 1e16 the values themselves are rounded: exact means exact of what the batch holds
    assert variance_ways((1, 2, 4, 9), 1e16).exact == np.var([0, 2, 4, 8])


@pytest.mark.parametrize("name", HARD_INPUTS)
def test_a_hard_batch_spoils_its_own_feature_only(name):
    outcome = hard_outcome(name, gamma=2.0, beta=0.5)
    assert np.isfinite(outcome.before)
    assert outcome.neighbor_same


def test_what_hard_batches_do():
    constant = hard_outcome("5, 5, 5, 5", gamma=2.0, beta=0.5)
    np.testing.assert_array_equal(constant.train, 0.5)
    assert np.isnan(hard_outcome("5, 5, 5, 5 with ε = 0").train).all()
    assert constant.later == pytest.approx(hard_outcome("values + 1e8", gamma=2.0, beta=0.5).later, abs=0.05)
    offset = hard_outcome("values + 1e8")
    assert offset.train.mean() == pytest.approx(0, abs=2e-8)  # the mean is held to 1.5e-8
    assert offset.train.var() == pytest.approx(1, rel=1e-3)
    assert offset.running_mean == pytest.approx(1e7, rel=1e-6)
    assert offset.after < -1e6
    huge = hard_outcome("one value 1e200", gamma=2.0, beta=0.5)
    # one of four values far out: x̂ = √3 and −1/√3
    np.testing.assert_allclose(huge.train, 0.5 + 2 * np.array([-1, -1, -1, 3]) / math.sqrt(3), rtol=1e-12)
    assert huge.running_var == math.inf
    assert huge.after == huge.later == 0.5
    for name in ("one value ∞", "one value NaN"):
        lost = hard_outcome(name)
        assert np.isnan([*lost.train, lost.running_mean, lost.running_var, lost.after, lost.later]).all()


def test_batchnorm_and_layernorm_of_one_sample():
    batch, layer = one_sample_outputs((1, 2, 4, 9), gamma=3.0, beta=-1.0, eps=0.0)
    with_eps, _ = one_sample_outputs((1, 2, 4, 9), gamma=3.0, beta=-1.0)
    np.testing.assert_array_equal(with_eps, -1.0)
    np.testing.assert_allclose(layer, 3 * np.array([-3, -2, 0, 5]) / math.sqrt(9.5) - 1, rtol=1e-12)
    assert np.isnan(batch).all()  # 0/0 without ε
