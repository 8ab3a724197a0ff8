"""Vector activations against PyTorch's stored values, finite differences, exact decimals and special cases."""

import inspect
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

from core.activations import ACTIVATIONS, Activation
from core.vector_activations import (
    MAXOUT_PIECES,
    VECTOR_ACTIVATIONS,
    VectorActivation,
    log_softmax,
    maxout,
    maxout_envelope,
    maxout_jacobian,
    maxout_value,
    maxout_vjp,
    parabola_pieces,
    softmax,
    softmax_jacobian,
    softmax_vjp,
    swiglu,
)
from tests.golden.vector_activations import cases, inputs, key, layer

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "vector_activations.npz")
INF, NAN = math.inf, math.nan

entries = pytest.mark.parametrize("entry", VECTOR_ACTIVATIONS.values(), ids=lambda a: a.name)
numbered = pytest.mark.parametrize(("number", "case"), list(enumerate(cases())), ids=lambda v: str(v))


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == np.float64
    assert got.shape == expected.shape
    assert np.all(np.abs(got - expected) <= 1e-12 * np.maximum(1, np.abs(expected)))


@entries
def test_entry_is_complete(entry: VectorActivation) -> None:
    assert VECTOR_ACTIVATIONS[entry.name] is entry
    assert entry.source
    assert "x" in entry.torch
    for latex in (entry.formula, entry.derivative):
        assert latex
        assert latex.count("{") == latex.count("}")
    for knob in entry.knobs:
        assert knob.label
        assert knob.help
        assert knob.symbol


@entries
def test_knobs_and_arrays_are_the_keywords(entry: VectorActivation) -> None:
    defaults = {knob.name: knob.default for knob in entry.knobs}
    for function, first in ((entry.f, 1), (entry.vjp, 2), (entry.jacobian, 1)):
        parameters = list(inspect.signature(function).parameters.values())[first:]
        assert [p.name for p in parameters] == [*defaults, *entry.arrays]
        assert {p.name: p.default for p in parameters if p.name in defaults} == defaults


@entries
def test_a_misspelt_knob_is_a_type_error(entry: VectorActivation) -> None:
    for call in (entry.f, entry.jacobian):
        with pytest.raises(TypeError, match="temprature"):
            call([1.0, 2.0], temprature=1.0)


@numbered
def test_equals_pytorch(number: int, case: tuple[str, dict]) -> None:
    name, knobs = case
    entry = VECTOR_ACTIVATIONS[name]
    x, upstream = GOLDEN["x"], GOLDEN[key(name, number, "upstream")]
    np.testing.assert_array_equal(x, inputs())
    assert_close(entry.f(x, **knobs), GOLDEN[key(name, number, "f")])
    assert_close(entry.vjp(x, upstream, **knobs), GOLDEN[key(name, number, "vjp")])


def test_log_softmax_and_jacobian_equal_pytorch() -> None:
    assert_close(log_softmax(GOLDEN["x"]), GOLDEN["log_softmax"])
    assert_close(softmax_jacobian(GOLDEN["x"]), GOLDEN["softmax jacobian"])


def test_a_maxout_layer_equals_pytorch() -> None:
    parts = layer()
    x, w, b, upstream = (parts[name] for name in ("x", "w", "b", "upstream"))
    assert_close(maxout_value(x, w, b), GOLDEN["layer; f"])
    assert_close(maxout_vjp(x, upstream, w, b), GOLDEN["layer; vjp"])
    assert maxout_jacobian(x, w, b).shape == (9, 4, 5)
    np.testing.assert_allclose(
        np.einsum("bij,bi->bj", maxout_jacobian(x, w, b), upstream),
        GOLDEN["layer; vjp"],
        rtol=1e-13,
        atol=1e-14,
    )


@numbered
def test_jacobian_is_the_slope_and_vjp_its_transpose(number: int, case: tuple[str, dict]) -> None:
    name, knobs = case
    entry = VECTOR_ACTIVATIONS[name]
    rng = np.random.default_rng(number)
    x = rng.standard_normal((2, 5, 6))
    jacobian = entry.jacobian(x, **knobs)
    y = entry.f(x, **knobs)
    assert jacobian.shape == (*y.shape, 6)
    h = 1e-6
    for j in range(6):
        step = h * np.eye(6)[j]
        difference = (entry.f(x + step, **knobs) - entry.f(x - step, **knobs)) / (2 * h)
        np.testing.assert_allclose(jacobian[..., j], difference, rtol=1e-6, atol=3e-8)
    upstream = rng.standard_normal(y.shape)
    product = np.einsum("...ij,...i->...j", jacobian, upstream)
    np.testing.assert_allclose(entry.vjp(x, upstream, **knobs), product, rtol=1e-12, atol=1e-14)


@entries
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_its_input(entry: VectorActivation, dtype: type) -> None:
    x = np.array([[1000.0, -1000.0, 20.5, 0.0], [1.0, 1.0, -2.0, 0.5]], dtype)
    before = x.copy()
    y = entry.f(x)
    outputs = (y, entry.vjp(x, np.ones(y.shape)), entry.jacobian(x))
    assert all(out.dtype == dtype and np.all(np.isfinite(out)) for out in outputs)
    assert not any(np.shares_memory(x, out) for out in outputs)
    np.testing.assert_array_equal(x, before)
    if dtype == np.float32:
        for got, exact in zip(outputs, (entry.f(before.astype(float)),), strict=False):
            np.testing.assert_allclose(got, exact, rtol=2e-6)


@entries
def test_shapes_from_no_rows_up(entry: VectorActivation) -> None:
    row = entry.f([1, 2, 3, 4])
    assert row.dtype == np.float64
    m = row.shape[-1]
    for batch in ((), (0,), (1,), (3, 2)):
        x = np.broadcast_to(np.array([1.0, 2.0, 3.0, 4.0]), (*batch, 4))
        np.testing.assert_array_equal(entry.f(x), np.broadcast_to(row, (*batch, m)))
        assert entry.jacobian(x).shape == (*batch, m, 4)
        assert entry.vjp(x, np.ones((*batch, m))).shape == (*batch, 4)
    for bad in (1.0, [], np.ones((3, 0))):
        with pytest.raises(ValueError, match="shape"):
            entry.f(bad)


@entries
def test_nan_comes_through(entry: VectorActivation) -> None:
    x = np.array([NAN, 1.0])
    assert np.isnan(entry.f(x)).any()
    assert np.isnan(entry.jacobian(x)).any()
    assert np.isnan(entry.vjp(x, np.ones(entry.f(x).shape))).any()


# Maxout


@pytest.mark.parametrize(
    ("preset", "reference"),
    [("ReLU", ACTIVATIONS["ReLU"]), ("leaky ReLU", ACTIVATIONS["leaky ReLU"])],
    ids=lambda v: getattr(v, "name", v),
)
def test_two_pieces_are_a_rectifier(preset: str, reference: Activation) -> None:
    z = np.array([-INF, -1000.0, -1.0, -1e-300, 0.0, 1e-300, 2.5, 1000.0, INF])
    np.testing.assert_array_equal(maxout_value(z, *MAXOUT_PIECES[preset]), reference.f(z))
    z = z[1:-1]
    np.testing.assert_array_equal(maxout_vjp(z, np.ones(7), *MAXOUT_PIECES[preset]), reference.df(z))


def test_absolute_value() -> None:
    z = np.linspace(-3, 3, 13)
    np.testing.assert_array_equal(maxout_value(z, *MAXOUT_PIECES["absolute value"]), np.abs(z))


def test_value_and_piece_of_any_shape() -> None:
    w, b = (-1.0, 0.2, 1.0), (-0.5, 0.5, 0.0)
    z = np.array([[-2.0, -0.5], [0.0, 3.0]])
    value, piece = maxout(z, w, b)
    np.testing.assert_allclose(value, [[1.5, 0.4], [0.5, 3.0]], rtol=1e-15)
    np.testing.assert_array_equal(piece, [[0, 1], [1, 2]])
    assert maxout(3, w, b).value == 3.0
    assert maxout(3.0, w, b).piece.shape == ()


def test_the_first_of_equal_pieces_wins() -> None:
    value, piece = maxout(np.array([0.0, 1.0]), (1.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(value, [0.0, 3.0])
    np.testing.assert_array_equal(piece, [0, 1])
    np.testing.assert_array_equal(maxout_vjp([0.0], [1.0], (1.0, 3.0), (0.0, 0.0)), [1.0])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8, 16])
def test_the_best_pieces_for_a_parabola(k: int) -> None:
    x = np.linspace(-1, 1, 48_001)  # holds the ends and the middle of every piece
    error = maxout_value(x, *parabola_pieces(k)) - x**2
    assert np.max(error) == pytest.approx(1 / (2 * k * k), rel=1e-12)
    assert np.min(error) == pytest.approx(-1 / (2 * k * k), rel=1e-12)


def test_maxout_shapes_that_do_not_fit() -> None:
    for w, b in (((1.0, 2.0), (1.0,)), ((), ()), (1.0, 1.0), (np.ones((2, 3)), np.ones((2, 3)))):
        with pytest.raises(ValueError, match="needs"):
            maxout(1.0, w, b)
    with pytest.raises(ValueError, match=r"needs \(\.\.\., 3\)"):
        maxout(np.ones(4), np.ones((3, 2, 5)), np.ones((2, 5)))
    with pytest.raises(ValueError, match="k = 0"):
        parabola_pieces(0)


# SwiGLU


def test_swiglu_is_silu_times_the_second_half() -> None:
    a, b = np.linspace(-30, 30, 7), np.array([3.0, -1.0, 0.0, 2.0, 1e3, -5.0, 0.1])
    np.testing.assert_allclose(swiglu(np.r_[a, b]), ACTIVATIONS["SiLU"].f(a) * b, rtol=1e-15)
    np.testing.assert_array_equal(swiglu([3.0, 5.0], beta=0.0), [7.5])
    assert swiglu([1e200, 1e200]) == INF
    assert swiglu([-1e200, 1e200]) == 0
    with pytest.raises(ValueError, match="even"):
        swiglu([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="beta"):
        swiglu([1.0, 2.0], beta=NAN)


# Softmax


def exact_softmax(x: list[float], temperature: float) -> list[Decimal]:
    with localcontext() as context:
        context.prec = 150
        powers = [(Decimal(v) / Decimal(temperature)).exp() for v in x]
        return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("x", [[0.1, 0.2, 0.3], [50.0, 0.0, -3.0], [-700.0, -690.0, -2000.0], [3.0]], ids=str)
def test_softmax_family_against_decimals(x: list[float], temperature: float) -> None:
    exact = exact_softmax(x, temperature)
    p = np.array([float(v) for v in exact])
    np.testing.assert_allclose(softmax(x, temperature), p, rtol=3e-14, atol=0)
    with localcontext() as context:
        context.prec = 150
        logs = [float(v.ln()) for v in exact]
        n = range(len(x))
        jacobian = np.array(
            [[float(exact[i] * ((i == j) - exact[j]) / Decimal(temperature)) for j in n] for i in n]
        )
        u = [Decimal(i * i) - 2 for i in n]
        mean = sum(a * b for a, b in zip(exact, u, strict=True))
        vjp = np.array([float(exact[i] * (u[i] - mean) / Decimal(temperature)) for i in n])
    # Also where p rounds to 1: log p, the diagonal p(1 − p) and the gradient keep their digits.
    np.testing.assert_allclose(log_softmax(x, temperature), logs, rtol=3e-14, atol=0)
    np.testing.assert_allclose(softmax_jacobian(x, temperature), jacobian, rtol=3e-13, atol=1e-307)
    np.testing.assert_allclose(softmax_vjp(x, np.array(u, float), temperature), vjp, rtol=3e-13, atol=1e-307)


@pytest.mark.parametrize("pieces", MAXOUT_PIECES.values(), ids=MAXOUT_PIECES)
def test_the_envelope_is_the_maximum_piece_by_piece(pieces: tuple) -> None:
    _check_envelope(*pieces)


@pytest.mark.parametrize("k", range(1, 7))
def test_the_envelope_of_a_parabola_meets_midway(k: int) -> None:
    w, b = parabola_pieces(k)
    found = maxout_envelope(w, b)
    np.testing.assert_array_equal(found.piece, np.arange(k))
    # Tangents at the middles of equal intervals meet at the ends of the intervals.
    np.testing.assert_allclose(found.low[1:], np.linspace(-1, 1, k + 1)[1:-1], atol=1e-14)
    _check_envelope(w, b)


@pytest.mark.parametrize("seed", range(20))
def test_the_envelope_of_random_pieces(seed: int) -> None:
    w, b = np.random.default_rng(seed).uniform(-3, 3, (2, 1 + seed % 6))
    _check_envelope(w, b)


def _check_envelope(w: np.ndarray, b: np.ndarray) -> None:
    found = maxout_envelope(w, b)
    assert found.low[0] == -INF
    assert found.high[-1] == INF
    np.testing.assert_array_equal(found.low[1:], found.high[:-1])
    assert np.all(found.high > found.low)
    z = np.linspace(-9, 9, 20_011)
    inside = (z[:, None] > found.low + 1e-9) & (z[:, None] < found.high - 1e-9)
    assert inside.any(axis=1).mean() > 0.99
    for piece, won in zip(found.piece, inside.T, strict=True):
        np.testing.assert_array_equal(maxout(z[won], w, b).piece, piece)
    assert found.share.sum() == pytest.approx(1, abs=1e-15)
    draws = np.random.default_rng(1).standard_normal(40_000)
    counted = np.bincount(maxout(draws, w, b).piece, minlength=len(w))[found.piece] / draws.size
    error = np.sqrt(found.share * (1 - found.share) / draws.size)
    assert np.all(np.abs(counted - found.share) <= 5 * error + 1e-4)


def test_the_envelope_by_hand() -> None:
    # −z and z meet at 0; 0.2z is below their maximum everywhere, 0.2z + 1 wins between −5/6 and 5/4.
    assert maxout_envelope([-1, 0.2, 1], [0, 0, 0]).piece.tolist() == [0, 2]
    found = maxout_envelope([1, 0.2, -1], [0, 1, 0])
    assert found.piece.tolist() == [2, 1, 0]
    np.testing.assert_allclose(found.low[1:], [-5 / 6, 5 / 4], rtol=1e-15)
    np.testing.assert_allclose(
        found.share,
        [
            0.5 * math.erfc(5 / 6 / math.sqrt(2)),
            0.5 * (math.erf(1.25 / math.sqrt(2)) + math.erf(5 / 6 / math.sqrt(2))),
            0.5 * math.erfc(1.25 / math.sqrt(2)),
        ],
        rtol=1e-14,
    )


def test_the_envelope_in_special_cases() -> None:
    assert maxout_envelope([2], [1]).share.tolist() == [1]
    assert maxout_envelope([1, 1, 1], [0, 2, 2]).piece.tolist() == [
        1
    ]  # parallel: the highest, then the first
    # Three lines through one point, up to rounding: the middle one wins nowhere.
    w = np.array([-0.7, 0.1, 0.9])
    assert maxout_envelope(w, 0.3 - w * 0.7).piece.tolist() == [0, 2]
    far = maxout_envelope([0, 1], [0, -9])  # the share of a far tail keeps its digits
    assert far.share[1] == pytest.approx(0.5 * math.erfc(9 / math.sqrt(2)), rel=1e-13)


@pytest.mark.parametrize(("w", "b"), [([], []), ([1, 2], [1]), ([[1]], [[1]]), ([NAN], [0]), ([1], [INF])])
def test_the_envelope_refuses(w: list, b: list) -> None:
    with pytest.raises(ValueError, match="needs finite"):
        maxout_envelope(w, b)


def test_softmax_sums_and_symmetries() -> None:
    x = GOLDEN["x"]
    for temperature in (0.05, 1.0, 20.0):
        np.testing.assert_allclose(softmax(x, temperature).sum(axis=-1), 1, rtol=1e-15)
        np.testing.assert_allclose(
            softmax(x + 64.0, temperature), softmax(x, temperature), rtol=1e-10, atol=1e-15
        )
        jacobian = softmax_jacobian(x, temperature)
        np.testing.assert_array_equal(jacobian, jacobian.swapaxes(-1, -2))
        np.testing.assert_allclose(jacobian.sum(axis=-1), 0, atol=1e-15)
    assert np.linalg.matrix_rank(softmax_jacobian([0.1, 0.2, 0.3])) == 2


def test_softmax_at_infinity() -> None:
    np.testing.assert_array_equal(softmax([INF, 0.0, -INF]), [1, 0, 0])
    np.testing.assert_array_equal(log_softmax([INF, 0.0]), [0, -INF])
    np.testing.assert_array_equal(softmax([-INF, 2.0, 2.0]), [0, 0.5, 0.5])
    np.testing.assert_array_equal(softmax([-INF]), [1])
    np.testing.assert_array_equal(softmax([-1e308, 1e308]), [0, 1])
    for no_limit in ([INF, INF], [-INF, -INF], [INF, INF, -INF], [NAN, 1.0]):
        assert np.all(np.isnan(softmax(no_limit)))
        assert np.all(np.isnan(log_softmax(no_limit)))
        assert np.all(np.isnan(softmax_jacobian(no_limit)))


def test_softmax_rows_are_independent() -> None:
    np.testing.assert_array_equal(softmax([[INF, INF], [0.0, 0.0]]), [[NAN, NAN], [0.5, 0.5]])


@pytest.mark.parametrize("temperature", [0.0, -1.0, INF, NAN])
def test_softmax_needs_a_temperature(temperature: float) -> None:
    for call in (softmax, log_softmax, softmax_jacobian):
        with pytest.raises(ValueError, match="temperature"):
            call([1.0, 2.0], temperature)
