"""Every activation against finite differences, PyTorch's stored values, 700-digit decimals and its own entry."""

import ast
import inspect
import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from core.activations import ACTIVATIONS, Activation, Interval, naive_errors
from tests.core.test_special import exact_cdf, exact_pdf
from tests.golden.activations import NOT_DIFFERENTIABLE, cases, grid, key

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "activations.npz")
# PyTorch's own rounding: softplus is linear for βz > 20, hard sigmoid's slope is 1/6 in float32.
TOLERANCE = {("softplus", "f"): 3e-9, ("softplus", "df"): 3e-9, ("hard sigmoid", "df"): 5e-9}

entries = pytest.mark.parametrize("entry", ACTIVATIONS.values(), ids=lambda a: a.name)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def settings(entry: Activation) -> list[dict[str, float]]:
    """Return knob values to try: the defaults, each knob at both ends of its range, and the golden ones."""
    ends = [{knob.name: end} for knob in entry.knobs for end in (knob.low, knob.high)]
    return [{}, *ends, *(knobs for name, knobs in cases() if name == entry.name and knobs)]


def parts(entry: Activation) -> tuple[Callable[..., np.ndarray], ...]:
    return entry.f, entry.df


def minimizer(entry: Activation, knobs: dict[str, float]) -> float:
    """Find the minimum left of 0 by bisection on the sign of the slope."""
    low, high = -2.9, 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if entry.df(middle, **knobs) < 0 else (low, middle)
    return high


def test_the_registry_holds_what_the_page_promises() -> None:
    assert len(ACTIVATIONS) == 28
    assert all(name == entry.name for name, entry in ACTIVATIONS.items())


@entries
def test_entry_is_complete(entry: Activation) -> None:
    assert entry.formula
    assert entry.derivative
    assert entry.source
    assert "z" in entry.torch
    for latex in (entry.formula, entry.derivative):
        assert latex.count("{") == latex.count("}")
        assert latex.count(r"\left") == latex.count(r"\right")
    for knob in entry.knobs:
        assert knob.label
        assert knob.help
        assert knob.symbol


@entries
def test_knob_defaults_are_the_keyword_defaults(entry: Activation) -> None:
    expected = {knob.name: knob.default for knob in entry.knobs}
    for function in (entry.f, entry.df):
        signature = list(inspect.signature(function).parameters.values())
        assert {p.name: p.default for p in signature[1:]} == expected
    assert {p.name: p.default for p in inspect.signature(entry.range).parameters.values()} == expected


@entries
def test_a_misspelt_knob_is_a_type_error(entry: Activation) -> None:
    for function in parts(entry):
        with pytest.raises(TypeError, match="slop"):
            function(1.0, slop=0.1)


@pytest.mark.parametrize(("name", "knobs"), cases(), ids=lambda v: str(v))
@pytest.mark.parametrize("part", ["f", "df"])
def test_equals_pytorch(name: str, knobs: dict[str, float], part: str) -> None:
    if part == "df" and name in NOT_DIFFERENTIABLE:
        assert key(name, knobs, part) not in GOLDEN
        return
    expected = GOLDEN[key(name, knobs, part)]
    error = np.abs(getattr(ACTIVATIONS[name], part)(GOLDEN["x"], **knobs) - expected)
    assert np.max(error / np.maximum(1, np.abs(expected))) <= TOLERANCE.get((name, part), 1e-12)


def test_the_golden_grid_is_the_one_in_the_script() -> None:
    x = GOLDEN["x"]
    np.testing.assert_array_equal(x, grid())
    differentiable = {key(n, k, "df") for n, k in cases() if n not in NOT_DIFFERENTIABLE}
    assert set(GOLDEN.files) == {"x"} | {key(n, k, "f") for n, k in cases()} | differentiable
    assert {0.0, 1.0, -1.0, 2.5, -2.5, 3.0, -3.0, 6.0, 20.5, -20.5, 1000.0, -1000.0} <= set(x.tolist())
    assert np.any((x == 0) & np.signbit(x))


@entries
def test_derivative_against_differences(entry: Activation) -> None:
    """Five-point centered differences, with an error of 1e-11 in the sharpest setting."""
    h = 2e-4
    joints = np.array([-np.inf, *entry.kinks, *entry.seams])
    x = np.random.default_rng(0).uniform(-8, 8, 4000)
    x = x[np.min(np.abs(x[:, None] - joints), axis=1) > 3 * h]
    for knobs in settings(entry):
        f = [entry.f(x + n * h, **knobs) for n in (-2, -1, 1, 2)]
        slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        np.testing.assert_allclose(entry.df(x, **knobs), slope, rtol=1e-9, atol=1e-9)


@entries
def test_kinks_are_where_the_one_sided_slopes_differ(entry: Activation) -> None:
    h = 1e-6
    for z in entry.kinks:
        left, right = (entry.f(z) - entry.f(z - h)) / h, (entry.f(z + h) - entry.f(z)) / h
        assert abs(left - right) > 0.1
        assert entry.kink_note
    if entry.kinks:
        assert "PyTorch" in entry.kink_note
        assert any(word in entry.kink_note for word in ("JAX", "Flax"))


@entries
def test_there_are_no_other_kinks(entry: Activation) -> None:
    x = np.linspace(-8, 8, 16_001) + 3e-4
    jumps = np.abs(np.diff(entry.df(x))) > 0.01
    found = [
        k for k in entry.kinks if any(a < k < b for a, b in zip(x[:-1][jumps], x[1:][jumps], strict=True))
    ]
    assert len(found) == np.count_nonzero(jumps)
    assert entry.kinks_at() == entry.kinks


def test_kinks_follow_the_knobs() -> None:
    assert ACTIVATIONS["ELU"].kinks_at(alpha=2.0) == (0.0,)
    assert ACTIVATIONS["ELU"].kinks_at(alpha=1.0) == ()
    assert ACTIVATIONS["CELU"].kinks_at(alpha=2.0) == ()
    assert ACTIVATIONS["leaky ReLU"].kinks_at(slope=0.5) == (0.0,)
    assert ACTIVATIONS["leaky ReLU"].kinks_at(slope=1.0) == ()


@pytest.mark.parametrize(
    ("name", "knobs", "z", "slope"),
    [
        ("ReLU", {}, 0, 0),
        ("ReLU6", {}, 0, 0),
        ("ReLU6", {}, 6, 0),
        ("leaky ReLU", {}, 0, 0.01),
        ("leaky ReLU", {"slope": 0.2}, 0, 0.2),
        ("PReLU", {}, 0, 0.25),
        ("RReLU", {}, 0, 11 / 48),
        ("ELU", {"alpha": 2.0}, 0, 2),
        ("CELU", {"alpha": 2.0}, 0, 1),
        ("SELU", {}, 0, 1.7580993408473766),
        ("hard tanh", {}, -1, 0),
        ("hard tanh", {}, 1, 0),
        ("hard sigmoid", {}, -3, 0),
        ("hard sigmoid", {}, 3, 0),
        ("hard sigmoid (ONNX)", {}, -2.5, 0.2),
        ("hard sigmoid (ONNX)", {}, 2.5, 0.2),
        ("hard swish", {}, -3, 0),
        ("hard swish", {}, 3, 1),
    ],
)
@dtypes
def test_subgradients(name: str, knobs: dict[str, float], z: float, slope: float, dtype) -> None:
    for zero_sign in (1, -1):
        x = dtype(z) if z else np.copysign(dtype(0), zero_sign)
        assert ACTIVATIONS[name].df(x, **knobs) == dtype(slope)


@entries
def test_range_holds_and_is_tight(entry: Activation) -> None:
    near, far = np.linspace(-20, 20, 400_001), np.array([-1e9, -1e6, -1e3, 1e3, 1e6, 1e9])
    for knobs in settings(entry):
        interval = entry.range(**knobs)
        y = np.concatenate([entry.f(near, **knobs), entry.f(far, **knobs)])
        inner = entry.f(near[np.abs(near) <= 2], **knobs)
        assert interval.low <= np.min(y)
        assert np.max(y) <= interval.high
        assert np.min(y) <= max(interval.low + 1e-7, -1e3)
        assert np.max(y) >= min(interval.high - 1e-7, 1e3)
        assert interval.low_attained or np.min(inner) > interval.low
        assert interval.high_attained or np.max(inner) < interval.high


def test_intervals_as_text() -> None:
    assert str(ACTIVATIONS["sigmoid"].range()) == "(0, 1)"
    assert str(ACTIVATIONS["ReLU"].range()) == "[0, ∞)"
    assert str(ACTIVATIONS["ELU"].range(alpha=2.0)) == "(−2, ∞)"
    assert str(ACTIVATIONS["Swish"].range(beta=-1.0)) == "(−∞, 0.278]"
    assert str(Interval(0.0, 6.0, True, True)) == "[0, 6]"


@entries
@dtypes
def test_exact_and_silent_far_out(entry: Activation, dtype) -> None:
    """At ±1000 the result is that of float64, and no signal is raised even when all are errors."""
    x = np.array([-1000, -104, -89, -40, 40, 89, 104, 1000], dtype)
    for knobs in settings(entry):
        for function in parts(entry):
            with np.errstate(all="raise"):
                y = function(x, **knobs)
            assert np.all(np.isfinite(y))
            exact = function(x.astype(np.float64), **knobs)
            np.testing.assert_allclose(y, exact, rtol=3e-5, atol=np.finfo(dtype).tiny)


@entries
@dtypes
def test_infinities_give_the_limit_and_nan_gives_nan(entry: Activation, dtype) -> None:
    info = np.finfo(dtype)
    for knobs in settings(entry):
        for function in parts(entry):
            with np.errstate(all="raise"):
                assert np.isnan(function(dtype(np.nan), **knobs))
                ends = function(np.array([-np.inf, np.inf], dtype), **knobs)
                last = function(np.array([info.min, info.max], dtype), **knobs)
                tiny = function(np.array([info.tiny, info.smallest_subnormal], dtype), **knobs)
            assert np.all(np.isfinite(tiny))
            if entry.name == "sine":  # no limit
                assert np.all(np.isnan(ends))
                continue
            bounded = np.isfinite(ends)
            np.testing.assert_array_equal(last[bounded], ends[bounded])
            assert np.all(np.abs(last[~bounded]) > info.max / 1000)
            np.testing.assert_array_equal(np.sign(last), np.sign(ends))


@pytest.mark.parametrize(
    ("name", "below", "above", "slope_below", "slope_above"),
    [
        ("sigmoid", 0, 1, 0, 0),
        ("tanh", -1, 1, 0, 0),
        ("softplus", 0, 1000, 0, 1),
        ("GELU", 0, 1000, 0, 1),
        ("GELU (tanh)", 0, 1000, 0, 1),
        ("GELU (sigmoid)", 0, 1000, 0, 1),
        ("SiLU", 0, 1000, 0, 1),
        ("Swish", 0, 1000, 0, 1),
        ("Mish", 0, 1000, 0, 1),
        ("hard swish", 0, 1000, 0, 1),
        ("ELU", -1, 1000, 0, 1),
        ("CELU", -1, 1000, 0, 1),
        ("Gaussian", 0, 0, 0, 0),
        ("squared ReLU", 0, 1e6, 0, 2000),
    ],
)
@dtypes
def test_limits_at_1000(name, below, above, slope_below, slope_above, dtype) -> None:
    x = np.array([-1000, 1000], dtype)
    np.testing.assert_array_equal(ACTIVATIONS[name].f(x), np.array([below, above], dtype))
    np.testing.assert_array_equal(ACTIVATIONS[name].df(x), np.array([slope_below, slope_above], dtype))


@entries
@dtypes
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (0, 3)])
def test_dtype_and_shape_are_kept_and_the_input_too(entry: Activation, dtype, shape) -> None:
    x = np.full(shape, -0.7, dtype)
    x.flags.writeable = False
    for knobs in settings(entry):
        for function in parts(entry):
            y = function(x, **knobs)
            assert isinstance(y, np.ndarray)
            assert (y.shape, y.dtype) == (shape, dtype)
            assert not np.shares_memory(x, y)
            assert y.flags.writeable
            np.testing.assert_allclose(y, function(-0.7, **knobs), rtol=1e-6, atol=1e-7)


@entries
def test_numpy_knobs_and_integers(entry: Activation) -> None:
    knobs = {knob.name: np.float64(knob.default) for knob in entry.knobs}
    for function in parts(entry):
        assert function(np.float32(0.3), **knobs).dtype == np.float32
        y = function([-2, 1], **knobs)
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y, function(np.array([-2.0, 1.0])))


def test_a_knob_may_be_an_array() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for entry in ACTIVATIONS.values():
        for knob in entry.knobs:
            columns = np.linspace(max(knob.low, 0.1), min(knob.high, 2.0), 3)
            for function in parts(entry):
                y = function(x, **{knob.name: columns})
                assert y.dtype == np.float32
                for c, value in enumerate(columns.tolist()):
                    np.testing.assert_allclose(y[:, c], function(x[:, c], **{knob.name: value}), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("leaky ReLU", {"slope": np.nan}, "slope = nan: needs a finite number"),
        ("PReLU", {"slope": np.inf}, "slope = inf: needs a finite number"),
        ("RReLU", {"lower": 0.5, "upper": 0.2}, "lower = 0.5: needs a number up to upper = 0.2"),
        ("ELU", {"alpha": np.nan}, "alpha = nan"),
        ("CELU", {"alpha": 0.0}, "alpha = 0.0: needs a finite number above 0"),
        ("softplus", {"beta": -1.0}, "beta = -1.0: needs a finite number above 0"),
        ("Swish", {"beta": -np.inf}, "beta = -inf"),
        ("GELU (tanh)", {"cubic": 0.0}, "cubic = 0.0: needs a finite number above 0"),
    ],
)
def test_bad_knobs_are_refused(name: str, knobs: dict[str, float], message: str) -> None:
    for function in parts(ACTIVATIONS[name]):
        with pytest.raises(ValueError, match=message):
            function(1.0, **knobs)


def _logistic(z: Decimal) -> Decimal:
    return 1 / (1 + (-z).exp())


def _soft_gate(z: Decimal) -> Decimal:
    square = (1 + z.exp()) ** 2
    return (square - 1) / (square + 1)


EXACT: dict[tuple[str, str], Callable[[Decimal], Decimal]] = {
    ("sigmoid", "f"): _logistic,
    ("sigmoid", "df"): lambda z: _logistic(z) * (1 - _logistic(z)),
    ("tanh", "df"): lambda z: 4 / (z.exp() + (-z).exp()) ** 2,
    ("softplus", "f"): lambda z: (1 + z.exp()).ln(),
    ("softplus", "df"): _logistic,
    ("ELU", "df"): lambda z: min(z, Decimal(0)).exp(),
    ("SiLU", "f"): lambda z: z * _logistic(z),
    ("SiLU", "df"): lambda z: _logistic(z) * (1 + z * (1 - _logistic(z))),
    ("Mish", "f"): lambda z: z * _soft_gate(z),
    ("Mish", "df"): lambda z: _soft_gate(z) + z * (1 - _soft_gate(z) ** 2) * _logistic(z),
    ("Gaussian", "f"): lambda z: (-z * z).exp(),
    ("Gaussian", "df"): lambda z: -2 * z * (-z * z).exp(),
    ("GELU", "f"): lambda z: z * exact_cdf(float(z)),
    ("GELU", "df"): lambda z: exact_cdf(float(z)) + z * exact_pdf(float(z)),
    ("softsign", "df"): lambda z: 1 / (1 + abs(z)) ** 2,
    ("arctan", "df"): lambda z: 1 / (1 + z * z),
}


@pytest.mark.parametrize(("name", "part"), EXACT)
def test_tails_keep_relative_accuracy(name: str, part: str) -> None:
    """Wherever the exact value is a normal float64 number, 1e-14 of it is the most that is lost."""
    sizes = [0.3, 5.0, 10.0, 20.5, 26.0, 37.0, 50.0, 350.0, 700.0]
    points = [-x for x in sizes] + sizes
    entry = ACTIVATIONS[name]
    compared = 0
    for x in points:
        if name == "GELU" and abs(x) > 37:
            continue
        with localcontext() as context:
            context.prec = 700
            exact = float(EXACT[name, part](Decimal(x)))
        if abs(exact) > 1e-305:
            compared += 1
            np.testing.assert_allclose(getattr(entry, part)(x), exact, rtol=1e-14, atol=0)
    assert compared >= 9


@pytest.mark.parametrize(
    ("name", "minimum", "at"),
    [("GELU", -0.169971, -0.751792), ("SiLU", -0.278465, -1.278465), ("Mish", -0.308843, -1.192431)],
)
def test_known_minima(name: str, minimum: float, at: float) -> None:
    entry = ACTIVATIONS[name]
    z = minimizer(entry, {})
    assert z == pytest.approx(at, abs=5e-7)
    assert float(entry.f(z)) == pytest.approx(minimum, abs=5e-7)


@pytest.mark.parametrize(
    "name", ["GELU", "GELU (tanh)", "GELU (sigmoid)", "SiLU", "Swish", "hard swish", "Mish"]
)
def test_the_minimum_is_the_end_of_the_range(name: str) -> None:
    entry = ACTIVATIONS[name]
    np.testing.assert_allclose(entry.f(minimizer(entry, {})), entry.range().low, rtol=2e-15, atol=0)


def test_known_slopes() -> None:
    x = np.linspace(-5, 5, 100_001)
    assert np.max(ACTIVATIONS["sigmoid"].df(x)) == ACTIVATIONS["sigmoid"].df(0.0) == 0.25
    assert np.max(ACTIVATIONS["tanh"].df(x)) == ACTIVATIONS["tanh"].df(0.0) == 1
    at_3 = [float(ACTIVATIONS[name].df(3.0)) for name in ("sigmoid", "tanh", "ReLU", "GELU")]
    assert [round(slope, 4) for slope in at_3] == [0.0452, 0.0099, 1, 1.0119]


@pytest.mark.parametrize(
    ("name", "error", "at"), [("GELU (tanh)", 4.73e-4, 2.70), ("GELU (sigmoid)", 0.0203, 2.27)]
)
def test_known_errors_of_the_gelu_approximations(name: str, error: float, at: float) -> None:
    x = np.linspace(-6, 6, 120_001)
    gap = np.abs(ACTIVATIONS[name].f(x) - ACTIVATIONS["GELU"].f(x))
    assert np.max(gap) == pytest.approx(error, rel=3e-3)
    assert abs(x[np.argmax(gap)]) == pytest.approx(at, abs=6e-3)


def test_identities_between_entries() -> None:
    x = np.linspace(-30, 30, 6001)
    f = {name: entry.f for name, entry in ACTIVATIONS.items()}
    close = {"rtol": 1e-13, "atol": 1e-15}
    np.testing.assert_allclose(f["tanh"](x), 2 * f["sigmoid"](2 * x) - 1, **close)
    np.testing.assert_allclose(f["Swish"](x, beta=1.702), f["GELU (sigmoid)"](x), **close)
    np.testing.assert_allclose(f["softplus"](x) - f["softplus"](-x), x, **close)
    np.testing.assert_array_equal(f["leaky ReLU"](x, slope=0.0), f["ReLU"](x))
    np.testing.assert_array_equal(f["CELU"](x), f["ELU"](x))
    np.testing.assert_array_equal(ACTIVATIONS["softplus"].df(x), f["sigmoid"](x))
    np.testing.assert_array_equal(f["squared ReLU"](x), f["ReLU"](x) ** 2)


def test_selu_keeps_mean_0_and_variance_1() -> None:
    """The fixed point that its two constants are made for, by a midpoint rule on the normal density."""
    z = (np.arange(-1_000_000, 1_000_000) + 0.5) * 1e-5
    weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * 1e-5
    y = ACTIVATIONS["SELU"].f(z)
    assert np.sum(weight * y) == pytest.approx(0, abs=1e-9)
    assert np.sum(weight * y * y) == pytest.approx(1, abs=1e-9)


def test_monotone_entries_never_fall() -> None:
    falling = {
        name
        for name, a in ACTIVATIONS.items()
        if any(y < x - 1e-15 for x, y in pairwise(a.f(np.linspace(-9, 9, 999))))
    }
    assert falling == {
        "GELU",
        "GELU (tanh)",
        "GELU (sigmoid)",
        "SiLU",
        "Swish",
        "hard swish",
        "Mish",
        "sine",
        "Gaussian",
    }


# The cubic constant of GELU's tanh form


@pytest.mark.parametrize("cubic", [0.04, 0.044175, 0.044715, 0.05])
def test_gelu_tanh_is_its_formula_for_every_constant(cubic: float) -> None:
    entry = ACTIVATIONS["GELU (tanh)"]
    for z in np.linspace(-5, 5, 41).tolist():
        with localcontext() as context:
            context.prec = 60
            x = Decimal(z)
            pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
            double = (-2 * (2 / pi).sqrt() * (x + Decimal(cubic) * x**3)).exp()
            exact = float(x / (1 + double))  # ½(1 + tanh u) = 1/(1 + e^(−2u))
        np.testing.assert_allclose(entry.f(z, cubic=cubic), exact, rtol=2e-14)
    low = entry.range(cubic=cubic).low
    near = entry.f(np.linspace(-0.8, -0.7, 200_001), cubic=cubic)
    assert low <= np.min(near)
    assert np.min(near) == pytest.approx(low, rel=1e-12)


def test_the_constant_decides_how_near_the_tanh_form_comes() -> None:
    """The largest gap to the exact form depends on the constant, and the paper's is nearer than the slip."""
    z = np.linspace(-6, 6, 24_001)
    tanh_form = ACTIVATIONS["GELU (tanh)"]
    gaps = {
        c: np.max(np.abs(tanh_form.f(z, cubic=c) - ACTIVATIONS["GELU"].f(z))) for c in (0.044715, 0.044175)
    }
    assert gaps[0.044715] == pytest.approx(4.73e-4, rel=3e-3)
    assert gaps[0.044175] > gaps[0.044715]


# NumPy expressions for readers


def expression(text: str, z: np.ndarray, entry: Activation, knobs: dict[str, float]) -> np.ndarray:
    defaults = {knob.name: knob.default for knob in entry.knobs}
    return eval(text, {"np": np, "erf": np.vectorize(math.erf), "z": z, **defaults, **knobs})


@entries
def test_numpy_expressions_equal_the_functions(entry: Activation) -> None:
    """Within ±60, kinks and their neighbors included, and silent: a RuntimeWarning fails the test."""
    kinks = np.array([*entry.kinks, *entry.seams, 0.0])
    beside = np.concatenate([np.nextafter(kinks, -np.inf), kinks, np.nextafter(kinks, np.inf)])
    z = np.concatenate([np.arange(-1200, 1201) / 20, beside, -beside])
    for knobs in settings(entry):
        for text, function in ((entry.numpy, entry.f), (entry.numpy_slope, entry.df)):
            exact = function(z, **knobs)
            found = expression(text, z, entry, knobs)
            assert found.shape == z.shape
            assert found.dtype == np.float64
            assert np.max(np.abs(found - exact) / np.maximum(1, np.abs(exact))) <= 1e-12


@entries
def test_numpy_expressions_use_nothing_else(entry: Activation) -> None:
    """Their names are z, knobs, np, erf, and what they themselves assign; no knob is left out of both."""
    used: set[str] = set()
    for text in (entry.numpy, entry.numpy_slope):
        names = [node for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)} - own
        assert "z" in loaded
        assert loaded <= {"z", "np", "erf"} | {knob.name for knob in entry.knobs}
        used |= loaded
    assert {knob.name for knob in entry.knobs} <= used


# Textbook formulas

WRITTEN = [entry for entry in ACTIVATIONS.values() if entry.naive is not None]
written = pytest.mark.parametrize("entry", WRITTEN, ids=lambda a: a.name)


def test_those_with_an_exponential_have_a_textbook_formula() -> None:
    smooth = (r"e^{", r"\tanh", r"\operatorname{erf}", r"\sigma")
    assert {e.name for e in WRITTEN} == {
        name for name, e in ACTIVATIONS.items() if any(word in e.formula for word in smooth)
    }
    assert all(bool(e.naive_formula) == (e.naive is not None) for e in ACTIVATIONS.values())
    assert all(e.naive_formula.count("{") == e.naive_formula.count("}") for e in WRITTEN)


@written
def test_the_textbook_formula_is_right_where_it_is_well_conditioned(entry: Activation) -> None:
    for knobs in settings(entry):
        z = np.linspace(-5, 5, 400) / max(1, knobs.get("beta", 1))  # an even count leaves out 0
        np.testing.assert_allclose(entry.naive(z, **knobs), entry.f(z, **knobs), rtol=1e-6)
    assert list(inspect.signature(entry.naive).parameters)[1:] == [knob.name for knob in entry.knobs]


@written
@dtypes
def test_the_textbook_formula_keeps_the_dtype_and_is_silent(entry: Activation, dtype) -> None:
    x = np.array([-np.inf, -1000, -90, 0, 90, 1000, np.inf, np.nan], dtype)
    knobs = {knob.name: np.float64(knob.default) for knob in entry.knobs}
    with np.errstate(all="raise"):
        y = entry.naive(x, **knobs)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    np.testing.assert_array_equal(y, entry.naive(x))


@pytest.mark.parametrize(
    ("name", "z", "wrong"),
    [
        ("sigmoid", 89.0, np.nan),
        ("sigmoid", 1000.0, np.nan),
        ("tanh", 89.0, np.nan),
        ("tanh", -1000.0, np.nan),
        ("tanh", 1e-8, 0.0),
        ("softplus", 89.0, np.inf),
        ("softplus", -20.0, 0.0),
        ("ELU", -1e-8, 0.0),
        ("CELU", -1e-8, 0.0),
        ("SELU", -1e-8, 0.0),
        ("GELU", -6.0, 0.0),
        ("GELU (tanh)", -6.0, 0.0),
        ("GELU (sigmoid)", -53.0, 0.0),
        ("SiLU", -90.0, 0.0),
        ("Swish", -90.0, 0.0),
        ("Mish", -20.0, 0.0),
    ],
)
def test_what_float32_makes_of_a_textbook_formula(name: str, z: float, wrong: float) -> None:
    """Overflow at 88.7, and digits lost to nothing; ours is within 4 units in the last place of float64's value."""
    entry = ACTIVATIONS[name]
    x = np.float32(z)
    np.testing.assert_equal(entry.naive(x), np.float32(wrong))
    exact = float(entry.f(np.float64(x)))
    assert exact != 0
    assert abs(float(entry.f(x)) - exact) <= _UNITS.get(name, 4) * np.spacing(np.abs(np.float32(exact)))


# Arguments of up to 90 are themselves rounded products there, and e^(−90) is subnormal.
_UNITS = {"GELU (tanh)": 20, "GELU (sigmoid)": 20, "SiLU": 20, "Swish": 20}


def test_overflow_begins_where_the_exponential_leaves_float32() -> None:
    end = math.log(float(np.finfo(np.float32).max))  # 88.72
    z = np.array([math.floor(end * 100) / 100, math.ceil(end * 100) / 100])
    for name in ("sigmoid", "tanh", "softplus"):
        assert naive_errors(ACTIVATIONS[name], z).naive_bad.tolist() == [False, True]
    assert naive_errors(ACTIVATIONS["softplus"], z / 2, {"beta": 2.0}).naive_bad.tolist() == [False, True]


@written
def test_errors_of_ours_stay_small_everywhere(entry: Activation) -> None:
    z = np.concatenate([np.linspace(-110, 110, 2201), [-1000, 1000, 1e-8, -1e-8]])
    for knobs in settings(entry):
        errors = naive_errors(entry, z, knobs)
        assert np.max(errors.own) < 2e-5
        assert np.all(np.isnan(errors.naive) == errors.naive_bad)
        assert not np.any(np.isinf(errors.naive))


def test_naive_errors_by_hand() -> None:
    tiny = float(np.finfo(np.float32).tiny)
    errors = naive_errors(ACTIVATIONS["sigmoid"], [0.0, 0.1, -150.0, 90.0])
    np.testing.assert_array_equal(errors.z, np.array([0.0, 0.1, -150.0, 90.0], np.float32).astype(float))
    np.testing.assert_array_equal(errors.naive_bad, [False, False, False, True])
    assert errors.naive[0] == errors.own[0] == 0  # ½ exactly
    written = np.exp(np.float32(0.1)) / (1 + np.exp(np.float32(0.1)))
    true = 1 / (1 + math.exp(-float(np.float32(0.1))))
    assert errors.naive[1] == pytest.approx(abs(float(written) - true) / true, rel=1e-6, abs=1e-16)
    # e^(−150) is far below what float32 holds: 0 is off by that value, in units of the smallest normal number.
    assert errors.naive[2] == errors.own[2] == pytest.approx(math.exp(-150) / tiny, rel=1e-12)
    assert np.isnan(errors.naive[3])
    assert errors.own[3] < 1e-7
    at_zero = naive_errors(ACTIVATIONS["SiLU"], [0.0])
    assert at_zero.naive.tolist() == at_zero.own.tolist() == [0.0]


def test_naive_errors_see_the_same_rounded_knobs() -> None:
    """At z = −1 and β = 0.1 a knob rounded for one side only would show as an error of its own."""
    z, beta = np.float32(-1), np.float32(0.1)
    errors = naive_errors(ACTIVATIONS["Swish"], [-1.0], {"beta": 0.1})
    true = -1 / (1 + math.exp(float(beta)))
    assert errors.own[0] == pytest.approx(
        abs(float(ACTIVATIONS["Swish"].f(z, beta=beta)) - true) / -true, abs=1e-15
    )


def test_there_is_nothing_to_compare_without_an_exponential() -> None:
    with pytest.raises(ValueError, match="ReLU: its formula has no exponential"):
        naive_errors(ACTIVATIONS["ReLU"], [0.0])
