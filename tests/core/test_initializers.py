import math
from pathlib import Path

import numpy as np
import pytest

from core.initializers import (
    DATA_DEPENDENT,
    FAMILIES,
    INITIALIZERS,
    LSUV,
    TRUNCATED_STD,
    nonzero_weights,
)
from core.knobs import KnobError
from core.streams import stream

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "initializers.npz")
SHAPES = [(300, 200), (200, 300), (250, 250)]
NAMES = [
    *("zeros", "constant", "N(0, 0.01²)", "N(0, 1)", "LeCun normal", "LeCun uniform", "Glorot normal"),
    *("Glorot uniform", "He normal", "He uniform", "orthogonal", "PyTorch Linear"),
    *("LeCun truncated", "Glorot truncated", "He truncated", "He normal (fan_out)", "He uniform (fan_out)"),
    *("identity", "sparse", "NTK", "fixed spread", "custom"),
]
RANDOM = [name for name, entry in INITIALIZERS.items() if entry.family not in ("constant", "identity")]

every = pytest.mark.parametrize("name", INITIALIZERS)
shapes = pytest.mark.parametrize("shape", SHAPES)


def test_registry_has_the_named_schemes_under_their_own_names():
    assert set(NAMES) <= set(INITIALIZERS)
    assert all(entry.name == name for name, entry in INITIALIZERS.items())
    assert all(entry.formula and entry.source and entry.family in FAMILIES for entry in INITIALIZERS.values())


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "identity"])
@shapes
def test_draw_has_the_declared_shape_mean_and_std(name, shape):
    entry = INITIALIZERS[name]
    w = entry.draw(*shape, stream(1, 2))
    std = entry.std(*shape)
    assert w.shape == shape
    assert w.dtype == np.float64
    centered = w - entry.mean
    assert abs(centered.mean()) <= 4 * std / math.sqrt(w.size)
    square = centered**2
    assert abs(square.mean() - std**2) <= 4 * square.std() / math.sqrt(w.size)


@every
def test_draw_is_mean_plus_std_times_the_unit_draw_and_repeats(name):
    entry = INITIALIZERS[name]
    w = entry.draw(6, 4, stream(3, 5))
    unit = FAMILIES[entry.family](6, 4, stream(3, 5), *entry.options)
    np.testing.assert_array_equal(w, entry.mean + entry.std(6, 4) * unit)
    np.testing.assert_array_equal(w, entry.draw(6, 4, stream(3, 5)))
    if name in RANDOM:
        assert not np.array_equal(w, entry.draw(6, 4, stream(3, 6)))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("constant", "identity")])
@shapes
def test_unit_draws_have_unit_spread(family, shape):
    square = FAMILIES[family](*shape, stream(2, 0)) ** 2
    assert abs(square.mean() - 1) <= 4 * square.std() / math.sqrt(square.size)


def test_normal_draw_is_not_truncated():
    z = FAMILIES["normal"](400, 300, stream(0, 1))
    beyond = math.erfc(math.sqrt(2))  # two standard deviations
    share = np.mean(np.abs(z) > 2)
    assert abs(share - beyond) < 4 * math.sqrt(beyond * (1 - beyond) / z.size)
    assert np.abs(z).max() > 4


@pytest.mark.parametrize("name", [n for n, e in INITIALIZERS.items() if e.bound])
@shapes
def test_uniform_draw_fills_its_bound_evenly(name, shape):
    entry = INITIALIZERS[name]
    bound = entry.bound(*shape)
    assert bound == pytest.approx(entry.std(*shape) * math.sqrt(3), rel=1e-15)
    w = entry.draw(*shape, stream(4, 0))
    assert np.abs(w).max() <= bound * (1 + 1e-15)
    assert w.max() > 0.999 * bound
    assert w.min() < -0.999 * bound
    counts, _ = np.histogram(w, bins=20, range=(-bound, bound))
    chi2 = np.sum((counts - w.size / 20) ** 2) / (w.size / 20)
    assert chi2 < 19 + 4 * math.sqrt(2 * 19)


def test_bound_and_uniform_family_go_together():
    assert all((e.bound is not None) == (e.family == "uniform") for e in INITIALIZERS.values())


def test_pytorch_linear_variance_is_a_third_over_fan_in():
    assert INITIALIZERS["PyTorch Linear"].std(300, 7) ** 2 == pytest.approx(1 / 900, rel=1e-15)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (64, 64), (1, 5), (5, 1), (1, 1)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape):
    w = INITIALIZERS["orthogonal"].draw(*shape, stream(5, 0))
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(min(shape)), rtol=0, atol=1e-12)
    assert np.mean(w**2) == pytest.approx(INITIALIZERS["orthogonal"].std(*shape) ** 2, rel=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
def test_orthogonal_is_haar_distributed(shape):
    draws = np.stack([INITIALIZERS["orthogonal"].draw(*shape, stream(6, i)) for i in range(800)])
    # Haar: entries have mean 0, variance 1/max, fourth moment 3/(n(n+2)); a QR without the sign fix
    # gives a first column of one sign pattern and a negative mean on the diagonal.
    n = max(shape)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0)) < 4.5 * error)
    for power, moment in ((2, 1 / n), (4, 3 / (n * (n + 2)))):
        spread = (draws**power).std(axis=0) / math.sqrt(len(draws))
        assert np.all(np.abs((draws**power).mean(axis=0) - moment) < 4.5 * spread)


def test_zeros_and_constant():
    assert np.all(INITIALIZERS["zeros"].draw(3, 4, stream(0, 0)) == 0)
    assert np.all(INITIALIZERS["constant"].draw(3, 4, stream(0, 0)) == 0.1)


@every
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (-1, 2)])
def test_fans_below_one_are_refused_by_name(name, shape):
    entry = INITIALIZERS[name]
    for call in (
        entry.std,
        entry.bound or entry.std,
        entry.multiplier,
        lambda m, n: entry.draw(m, n, stream(0, 0)),
    ):
        with pytest.raises(ValueError, match=f"fan_in = {shape[0]}, fan_out = {shape[1]}"):
            call(*shape)


@pytest.mark.parametrize("key", GOLDEN.files)
def test_golden_pytorch(key):
    label, fan_in, fan_out = key.split("|")
    name = label.replace(", fan_out", " (fan_out)")
    fans = (int(fan_in), int(fan_out))
    entry = INITIALIZERS[name]
    if entry.family == "orthogonal":
        ours, theirs = entry.draw(*fans, stream(0, 0)), GOLDEN[key]
        for gram in (lambda w: w @ w.T, lambda w: w.T @ w):
            identity = np.allclose(gram(theirs), np.eye(len(gram(theirs))), atol=1e-12)
            assert identity == np.allclose(gram(ours), np.eye(len(gram(ours))), atol=1e-12)
        assert np.mean(theirs**2) == pytest.approx(entry.std(*fans) ** 2, rel=1e-12)
        return
    if entry.family == "identity":
        np.testing.assert_allclose(entry.draw(*fans, stream(0, 0)), GOLDEN[key], rtol=0, atol=3e-16)
        return
    if entry.family == "sparse":
        assert nonzero_weights(fans[0]) == max(1, int(GOLDEN[key]))  # PyTorch may leave a unit without any
        return
    size = entry.bound or entry.std  # PyTorch draws a uniform by its bound, a normal by its std
    assert size(*fans) == pytest.approx(float(GOLDEN[key]), rel=1e-14)


def test_golden_covers_both_modes_of_he():
    assert {"He normal", "He normal, fan_out", "He uniform, fan_out"} <= {
        k.split("|")[0] for k in GOLDEN.files
    }


# Truncated normal: a cut at ±2 in closed form


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def test_the_constant_of_the_truncated_normal_is_its_standard_deviation():
    inside = math.erf(2 / math.sqrt(2))
    assert math.sqrt(1 - 4 * density(2) / inside) == pytest.approx(TRUNCATED_STD, rel=1e-15)


@pytest.mark.parametrize("name", ["LeCun truncated", "Glorot truncated", "He truncated"])
def test_truncated_draws_have_the_moments_of_the_cut_distribution(name):
    fans = (400, 500)
    entry, plain = INITIALIZERS[name], INITIALIZERS[name.replace("truncated", "normal")]
    assert entry.std(*fans) == plain.std(*fans)
    w = entry.draw(*fans, stream(7, 0))
    sigma = entry.std(*fans) / TRUNCATED_STD
    assert np.abs(w).max() <= 2 * sigma * (1 + 1e-15)
    assert np.abs(w).max() > 1.999 * sigma
    # E z⁴ of the cut normal: 3·E z² − 2·2³·φ(2)/P by parts
    inside = math.erf(2 / math.sqrt(2))
    fourth = (3 * TRUNCATED_STD**2 - 16 * density(2) / inside) * sigma**4
    for power, moment in ((2, entry.std(*fans) ** 2), (4, fourth)):
        error = (w**power).std() / math.sqrt(w.size)
        assert abs((w**power).mean() - moment) < 4 * error


def test_truncated_draws_share_the_numbers_of_the_normal_that_lie_inside():
    z = FAMILIES["normal"](50, 40, stream(8, 0))
    cut = FAMILIES["truncated normal"](50, 40, stream(8, 0)) * TRUNCATED_STD
    inside = np.abs(z) <= 2
    np.testing.assert_allclose(cut[inside], z[inside], rtol=1e-14)
    assert not np.any(np.isclose(cut[~inside], z[~inside]))


# Sparse, identity, NTK, fixed spread, LSUV


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (3, 5), (1, 1)])
def test_sparse_has_k_weights_into_every_unit(sparsity, shape):
    entry = INITIALIZERS["sparse"].at(sparsity=sparsity, gain=1.5)
    w = entry.draw(*shape, stream(9, 0))
    k = max(1, shape[0] - math.ceil(sparsity * shape[0]))
    assert np.all(np.count_nonzero(w, axis=0) == k)
    # the weights that stay are those of the dense scheme, rescaled so that a unit's sum keeps its variance
    dense = INITIALIZERS["custom"].at(gain=1.5).draw(*shape, stream(9, 0))
    np.testing.assert_allclose(w[w != 0], dense[w != 0] * math.sqrt(shape[0] / k), rtol=1e-13)


def test_sparse_positions_are_uniform_and_its_spread_is_exact():
    entry = INITIALIZERS["sparse"].at(sparsity=0.8)
    draws = np.stack([entry.draw(10, 6, stream(10, i)) for i in range(3000)])
    share = (draws != 0).mean(axis=0)
    assert np.all(np.abs(share - 0.2) < 4.5 * math.sqrt(0.16 / 3000))
    square = draws**2
    assert abs(square.mean() - entry.std(10, 6) ** 2) < 4 * square.std() / math.sqrt(square.size)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_identity_passes_every_unit_on(shape):
    w = INITIALIZERS["identity"].draw(*shape, stream(0, 0))
    np.testing.assert_allclose(w, np.eye(*shape), rtol=0, atol=3e-16)
    assert np.sqrt(np.mean(w**2)) == pytest.approx(INITIALIZERS["identity"].std(*shape), rel=1e-15)


@shapes
def test_ntk_stores_unit_weights_and_has_lecun_s_forward_pass(shape):
    ntk, lecun = INITIALIZERS["NTK"], INITIALIZERS["LeCun normal"]
    assert ntk.std(*shape) / ntk.multiplier(*shape) == pytest.approx(1, rel=1e-15)
    np.testing.assert_allclose(ntk.draw(*shape, stream(1, 0)), lecun.draw(*shape, stream(1, 0)), rtol=1e-14)
    for name, entry in INITIALIZERS.items():
        assert (entry.multiplier(*shape) == 1) == (name != "NTK")


def test_fan_out_modes_swap_the_fans():
    for name in ("He normal", "He uniform"):
        assert INITIALIZERS[f"{name} (fan_out)"].std(30, 50) == INITIALIZERS[name].std(50, 30)


def test_values_and_spreads_of_ones_own():
    assert np.all(INITIALIZERS["constant"].at(value=-0.3).draw(3, 4, stream(0, 0)) == -0.3)
    assert INITIALIZERS["constant"].at(value=-0.3).mean == -0.3
    assert INITIALIZERS["fixed spread"].at(std=0.01).std(7, 9) == 0.01
    np.testing.assert_array_equal(
        INITIALIZERS["fixed spread"].at(std=0.01).draw(7, 9, stream(1, 1)),
        INITIALIZERS["N(0, 0.01²)"].draw(7, 9, stream(1, 1)),
    )


@pytest.mark.parametrize("name", [n for n, e in INITIALIZERS.items() if e.knobs])
def test_every_scheme_with_knobs_keeps_its_identity(name):
    entry = INITIALIZERS[name]
    for knob in entry.knobs:
        for value in (knob.low, knob.high):
            other = entry.at(**{knob.name: value})
            assert (other.name, other.family, other.knobs) == (entry.name, entry.family, entry.knobs)
            assert np.all(np.isfinite(other.draw(20, 10, stream(0, 1))))
            assert (
                other.std(20, 10) != entry.std(20, 10)
                or other.mean != entry.mean
                or other.options != entry.options
            )


def test_names_and_aliases_are_unique():
    names = [*INITIALIZERS, *DATA_DEPENDENT]
    names += [alias for e in [*INITIALIZERS.values(), *DATA_DEPENDENT.values()] for alias in e.aliases]
    assert len({name.casefold() for name in names}) == len(names)


def test_lsuv_starts_orthonormal_and_is_not_in_the_registry():
    assert "LSUV" not in INITIALIZERS
    assert DATA_DEPENDENT == {"LSUV": LSUV}
    assert [e for e in INITIALIZERS.values() if e.data_dependent] == []
    w = LSUV.draw(6, 4, stream(0, 0))
    np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-14)


@pytest.mark.parametrize("gain", [0.05, 0.5, 1.0, math.sqrt(2), 10.0])
def test_a_gain_of_ones_own_scales_like_the_named_schemes(gain):
    entry = INITIALIZERS["custom"].at(gain=gain)
    assert entry.std(300, 7) == pytest.approx(gain / math.sqrt(300), rel=1e-15)
    np.testing.assert_allclose(
        entry.draw(30, 20, stream(1, 1)),
        gain * INITIALIZERS["LeCun normal"].draw(30, 20, stream(1, 1)),
        rtol=1e-14,
    )
    assert INITIALIZERS["custom"].at().std(5, 5) == INITIALIZERS["LeCun normal"].std(5, 5)


def test_a_gain_out_of_range_or_a_knob_that_is_none_is_refused():
    with pytest.raises(KnobError, match=r"gain = 11\.0: needs a number from 0\.05 to 10"):
        INITIALIZERS["custom"].at(gain=11.0)
    with pytest.raises(TypeError, match="no knob scale"):
        INITIALIZERS["custom"].at(scale=1.0)
    with pytest.raises(TypeError, match="no knob gain"):
        INITIALIZERS["He normal"].at(gain=1.0)
    assert INITIALIZERS["He normal"].at() is INITIALIZERS["He normal"]
