"""The computed property table against closed forms, the registry's own entries and brute force."""

import math

import numpy as np
import pytest

from core.activations import ACTIVATIONS, Activation, gelu, tanh
from core.properties import (
    Place,
    cost,
    fixed_points,
    flat_regions,
    max_difference,
    minima,
    properties,
    second_derivative,
    slope_bounds,
)
from core.special import normal_cdf, normal_pdf

INF = math.inf
SETTINGS = [
    (entry, knobs)
    for entry in ACTIVATIONS.values()
    for knobs in ({}, *({k.name: end} for k in entry.knobs for end in (k.low, k.high)))
]

settings = pytest.mark.parametrize(
    ("entry", "knobs"), SETTINGS, ids=[f"{a.name} {k}" if k else a.name for a, k in SETTINGS]
)
entries = pytest.mark.parametrize("entry", ACTIVATIONS.values(), ids=lambda a: a.name)


def grid(entry: Activation) -> np.ndarray:
    """Uneven points, dense around 0 and around the kinks, and far out; not the grid that core searches."""
    rng = np.random.default_rng(0)
    near = [k + rng.uniform(-0.01, 0.01, 50) for k in entry.kinks + entry.seams]
    return np.sort(np.concatenate([rng.uniform(-15, 15, 20_000), 1e3 * rng.standard_cauchy(500), *near]))


@settings
def test_slope_bounds_hold_and_are_taken(entry: Activation, knobs: dict[str, float]) -> None:
    smallest, largest = slope_bounds(entry, knobs)
    slopes = entry.df(grid(entry), **knobs)
    assert smallest.value - 1e-14 <= slopes.min()
    assert slopes.max() <= largest.value + 1e-14
    for bound in (smallest, largest):
        assert bound.places
        for place in bound.places:
            if place.low != place.high:  # constant: anywhere inside
                inside = np.clip(np.array([-1e3, -7.0, -0.1, 0.3, 7.0]), place.low + 1e-9, place.high - 1e-9)
                np.testing.assert_array_equal(entry.df(inside, **knobs), bound.value)
            elif math.isinf(place.low):
                assert entry.df(place.low, **knobs) == bound.value
            else:
                beside = entry.df(np.array([place.low - 1e-9, place.low, place.low + 1e-9]), **knobs)
                assert np.min(np.abs(beside - bound.value)) <= 1e-7 * max(1.0, abs(bound.value))


def silu_peak() -> float:
    """Where SiLU is steepest: x·tanh(x/2) = 2, by bisection."""
    low, high = 1.0, 3.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if middle * math.tanh(middle / 2) < 2 else (low, middle)
    return low


ROOT2 = math.sqrt(2)
STEEPEST = {
    "identity": (1.0, Place(-INF, INF)),
    "step": (0.0, Place(-INF, INF)),
    "sigmoid": (0.25, 0.0),
    "hard sigmoid": (1 / 6, Place(-3.0, 3.0)),
    "hard sigmoid (ONNX)": (0.2, Place(-2.5, 2.5, True, True)),
    "tanh": (1.0, 0.0),
    "softsign": (1.0, 0.0),
    "arctan": (1.0, 0.0),
    "ReLU": (1.0, Place(0.0, INF)),
    "ReLU6": (1.0, Place(0.0, 6.0)),
    "leaky ReLU": (1.0, Place(0.0, INF)),
    "ELU": (1.0, Place(0.0, INF, True)),
    "SELU": (1.7580993408473766, 0.0),
    "softplus": (1.0, INF),
    "GELU": (float(normal_cdf(ROOT2) + ROOT2 * normal_pdf(ROOT2)), ROOT2),
    "SiLU": (float(ACTIVATIONS["SiLU"].df(silu_peak())), silu_peak()),
    "GELU (sigmoid)": (float(ACTIVATIONS["SiLU"].df(silu_peak())), silu_peak() / 1.702),
    "hard swish": (1.5, 3.0),
    "sine": (1.0, 0.0),
    "Gaussian": (math.sqrt(2 / math.e), -math.sqrt(0.5)),
    "squared ReLU": (INF, INF),
}


@pytest.mark.parametrize("name", STEEPEST)
def test_largest_slope(name: str) -> None:
    value, where = STEEPEST[name]
    row = properties(ACTIVATIONS[name])
    assert row.largest_slope == pytest.approx(value, rel=1e-15)
    (place,) = row.largest_slope_at
    if isinstance(where, Place):
        assert place == where
    else:
        assert place.low == place.high == pytest.approx(where, abs=1e-10)


def test_smallest_slopes() -> None:
    gelu_row = properties(ACTIVATIONS["GELU"])
    assert gelu_row.smallest_slope == pytest.approx(1 - gelu_row.largest_slope, abs=1e-15)
    assert gelu_row.smallest_slope_at[0].low == pytest.approx(-ROOT2, abs=1e-10)
    assert [p.low for p in properties(ACTIVATIONS["sine"]).smallest_slope_at] == pytest.approx(
        [-math.pi, math.pi], abs=1e-10
    )
    assert properties(ACTIVATIONS["ReLU"]).smallest_slope_at == (Place(-INF, 0.0, False, True),)
    assert properties(ACTIVATIONS["tanh"]).smallest_slope_at == (Place(-INF, -INF), Place(INF, INF))
    swish = properties(ACTIVATIONS["Swish"], {"beta": 20.0})
    assert swish.largest_slope_at[0].low == pytest.approx(silu_peak() / 20, abs=1e-10)


def test_a_place_reads_as_a_point_or_an_interval() -> None:
    assert str(Place(0.0, INF, True)) == "[0, ∞)"
    assert str(Place(1.4142, 1.4142, True, True)) == "1.41"
    assert str(Place(INF, INF)) == "∞"


@settings
def test_lipschitz_constant(entry: Activation, knobs: dict[str, float]) -> None:
    constant = properties(entry, knobs).lipschitz
    x = grid(entry)
    y = entry.f(x, **knobs)
    steepest = np.max(np.abs(np.diff(y)) / np.diff(x))
    if constant == INF:
        assert steepest > 1e2
    else:
        assert steepest <= constant * (1 + 1e-6) + 1e-9
        assert steepest >= 0.999 * constant


@settings
def test_monotone_and_mean(entry: Activation, knobs: dict[str, float]) -> None:
    row = properties(entry, knobs)
    assert row.monotone == bool(np.all(np.diff(entry.f(grid(entry), **knobs)) >= -1e-13))
    z, w = np.polynomial.hermite_e.hermegauss(120)
    assert row.mean == pytest.approx(np.sum(w * entry.f(z, **knobs)) / w.sum(), abs=0.03)
    assert row.zero_centred == (abs(row.mean) < 1e-12)
    assert str(row.range) == str(entry.range(**knobs))


def test_zero_centred() -> None:
    centred = {name for name, entry in ACTIVATIONS.items() if properties(entry).zero_centred}
    assert centred == {"identity", "tanh", "hard tanh", "softsign", "arctan", "SELU", "sine"}


ANALYTIC = "identity, sigmoid, tanh, arctan, softplus, GELU, GELU (tanh), GELU (sigmoid), SiLU, Swish, Mish, sine, Gaussian"
KINKED = (
    "hard sigmoid, hard sigmoid (ONNX), hard tanh, ReLU, ReLU6, leaky ReLU, PReLU, RReLU, SELU, hard swish"
)
SMOOTHNESS = {
    "discontinuous": "step",
    "C0": KINKED,
    "C1": "softsign, ELU, CELU, squared ReLU",
    "C∞": ANALYTIC,
}


def test_smoothness() -> None:
    found = {name: properties(entry).smoothness for name, entry in ACTIVATIONS.items()}
    assert found == {name: order for order, names in SMOOTHNESS.items() for name in names.split(", ")}


def test_smoothness_follows_the_knobs() -> None:
    assert properties(ACTIVATIONS["PReLU"], {"slope": 1.0}).smoothness == "C∞"
    assert properties(ACTIVATIONS["ELU"], {"alpha": 2.0}).smoothness == "C0"
    assert properties(ACTIVATIONS["CELU"], {"alpha": 2.0}).smoothness == "C1"
    assert properties(ACTIVATIONS["Swish"], {"beta": 20.0}).smoothness == "C∞"


def test_saturation_sides() -> None:
    sides = {name: properties(entry).saturation for name, entry in ACTIVATIONS.items()}
    none = {"identity", "leaky ReLU", "PReLU", "RReLU", "sine"}
    both = {
        "step",
        "sigmoid",
        "hard sigmoid",
        "hard sigmoid (ONNX)",
        "tanh",
        "hard tanh",
        "softsign",
        "arctan",
    }
    both |= {"ReLU6", "Gaussian"}
    for name, side in sides.items():
        assert side == ("none" if name in none else "both" if name in both else "left")
    assert properties(ACTIVATIONS["leaky ReLU"], {"slope": 0.0}).saturation == "left"


@settings
def test_fixed_points_are_fixed_and_none_is_missing(entry: Activation, knobs: dict[str, float]) -> None:
    found = fixed_points(entry, knobs)
    for place in found:
        inside = np.clip(np.linspace(-20, 20, 41), place.low, place.high)
        np.testing.assert_allclose(entry.f(inside, **knobs), inside, rtol=2e-15, atol=1e-12)
    x = grid(entry)
    excess = entry.f(x, **knobs) - x
    for i in np.flatnonzero(excess[1:] * excess[:-1] < 0):
        assert any(place.low <= x[i + 1] and x[i] <= place.high for place in found)


FIXED = {
    "identity": [Place(-INF, INF)],
    "step": [1.0],
    "sigmoid": [0.6590460684074066],
    "hard sigmoid": [0.6],
    "hard sigmoid (ONNX)": [0.625],
    "tanh": [0.0],
    "hard tanh": [Place(-1.0, 1.0, True, True)],
    "ReLU": [Place(0.0, INF, True)],
    "ReLU6": [Place(0.0, 6.0, True, True)],
    "ELU": [Place(0.0, INF, True)],
    "SELU": [-1.2588171640638233, 0.0],
    "softplus": [],
    "GELU": [0.0],
    "hard swish": [0.0, Place(3.0, INF, True)],
    "sine": [0.0],
    "Gaussian": [0.6529186404192047],
    "squared ReLU": [0.0, 1.0],
}


@pytest.mark.parametrize("name", FIXED)
def test_known_fixed_points(name: str) -> None:
    found = fixed_points(ACTIVATIONS[name])
    assert len(found) == len(FIXED[name])
    for place, expected in zip(found, FIXED[name], strict=True):
        if isinstance(expected, Place):
            assert place == expected
        else:
            assert place.low == place.high == pytest.approx(expected, abs=1e-14)


def test_a_leaky_unit_of_slope_one_fixes_the_line() -> None:
    assert fixed_points(ACTIVATIONS["PReLU"], {"slope": 1.0}) == (Place(-INF, INF),)


@settings
def test_minima(entry: Activation, knobs: dict[str, float]) -> None:
    x = grid(entry)
    for at, value in minima(entry, knobs):
        assert value == entry.f(at, **knobs)
        assert np.all(entry.f(np.array([at - 1e-3, at + 1e-3]), **knobs) > value)
        assert value <= entry.f(x[np.abs(x - at) < 0.05], **knobs).min()
        assert value >= entry.range(**knobs).low - 1e-15
    low = entry.range(**knobs)
    bottom = np.isclose(entry.f(x, **knobs), low.low, rtol=0, atol=1e-9).mean()
    if low.low_attained and bottom < 0.2:  # no flat bottom
        assert min(value for _, value in minima(entry, knobs)) == pytest.approx(low.low, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("GELU", -0.751791524693564, -0.16997120747990366),
        ("SiLU", -1.2784645427610738, -0.2784645427610738),
        ("Mish", -1.192431214515495, -0.30884341301725043),
        ("hard swish", -1.5, -0.375),
        ("sine", -math.pi / 2, -1.0),
    ],
)
def test_known_minima(name: str, at: float, value: float) -> None:
    (found,) = minima(ACTIVATIONS[name])
    assert found.at == pytest.approx(at, abs=1e-14)
    assert found.value == pytest.approx(value, abs=1e-15)


def test_a_kink_can_be_a_minimum_and_a_flat_bottom_is_none() -> None:
    assert minima(ACTIVATIONS["PReLU"], {"slope": -0.5}) == ((0.0, 0.0),)
    for name in ("ReLU", "sigmoid", "step", "squared ReLU", "tanh"):
        assert minima(ACTIVATIONS[name]) == ()


def test_gains() -> None:
    relu = properties(ACTIVATIONS["ReLU"])
    assert relu.gain_backward == pytest.approx(ROOT2, rel=1e-14)
    assert relu.gain_forward == pytest.approx(ROOT2, rel=1e-14)
    assert properties(ACTIVATIONS["tanh"]).gain_forward == pytest.approx(1.5925374197228312, rel=1e-12)
    gelu_second = 1 / 3 + 1 / (2 * math.sqrt(3) * math.pi)
    assert properties(ACTIVATIONS["GELU"]).gain_forward == pytest.approx(gelu_second**-0.5, rel=1e-13)
    assert properties(ACTIVATIONS["SELU"]).gain_forward == pytest.approx(1, rel=1e-13)
    assert properties(ACTIVATIONS["SELU"]).gain_backward == pytest.approx(1.0715749925**-0.5, rel=1e-10)
    assert properties(ACTIVATIONS["step"]).gain_backward == INF


# Flat regions


@settings
def test_flat_regions_split_the_line(entry: Activation, knobs: dict[str, float]) -> None:
    flat = flat_regions(entry, knobs=knobs)
    x = grid(entry)
    x = x[np.abs(x) < 12]
    slope = np.abs(entry.df(x, **knobs))

    def inside(intervals: np.ndarray) -> np.ndarray:
        hit = (intervals[:, 0] <= x[:, None]) & (x[:, None] <= intervals[:, 1])
        return hit.any(axis=-1)

    np.testing.assert_array_equal(inside(flat.saturated), (slope < flat.threshold) | (slope == 0))
    np.testing.assert_array_equal(inside(flat.zero), slope == 0)
    assert np.all(np.abs(entry.df(flat.roots, **knobs)) <= 1e-13)


@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("sigmoid", math.log((1 + math.sqrt(0.99)) / (1 - math.sqrt(0.99)))),
        ("tanh", math.acosh(10)),
        ("arctan", math.sqrt(99)),
        ("softsign", 9.0),
        ("hard tanh", 1.0),
    ],
)
def test_edges_of_saturation(name: str, edge: float) -> None:
    flat = flat_regions(ACTIVATIONS[name])
    np.testing.assert_allclose(flat.saturated, [[-INF, -edge], [edge, INF]], rtol=1e-14)


def test_no_share_of_a_slope_without_bound() -> None:
    flat = flat_regions(ACTIVATIONS["squared ReLU"])
    assert (flat.largest, flat.threshold) == (INF, 0.0)
    np.testing.assert_array_equal(flat.saturated, [[-INF, 0.0]])
    np.testing.assert_array_equal(flat_regions(ACTIVATIONS["step"]).saturated, [[-INF, INF]])


# The second derivative

SECOND = {
    "identity": lambda x: 0 * x,
    "sigmoid": lambda x: -ACTIVATIONS["sigmoid"].df(x) * np.tanh(x / 2),
    "tanh": lambda x: -2 * tanh(x) / np.cosh(x) ** 2,
    "softsign": lambda x: -2 * np.sign(x) / (1 + np.abs(x)) ** 3,
    "arctan": lambda x: -2 * x / (1 + x * x) ** 2,
    "ReLU": lambda x: 0 * x,
    "ELU": lambda x: np.where(x > 0, 0, np.exp(np.minimum(x, 0))),
    "softplus": lambda x: ACTIVATIONS["sigmoid"].df(x),
    "GELU": lambda x: normal_pdf(x) * (2 - x * x),
    "hard swish": lambda x: np.where(np.abs(x) < 3, 1 / 3, 0),
    "sine": lambda x: -np.sin(x),
    "Gaussian": lambda x: (4 * x * x - 2) * np.exp(-x * x),
    "squared ReLU": lambda x: np.where(x > 0, 2, 0),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative_in_closed_form(name: str) -> None:
    entry = ACTIVATIONS[name]
    edges = np.array(
        [k + d for k in entry.kinks + entry.seams for d in (-0.1, -1e-6, -1e-9, 1e-9, 1e-6, 0.1)]
    )
    x = np.concatenate([np.linspace(-9, 9, 721) + 0.00123, edges, [-30.0, 30.0, -1000.0, 1000.0]])
    with np.errstate(over="ignore", under="ignore"):
        exact = SECOND[name](np.clip(x, -700, 700) if name == "tanh" else x)
    np.testing.assert_allclose(second_derivative(entry, x), exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["sigmoid", "ELU", "Gaussian", "GELU"])
def test_second_derivative_keeps_its_digits_in_a_tail(name: str) -> None:
    x = np.array([-5.1, -9.0, -15.0])
    np.testing.assert_allclose(second_derivative(ACTIVATIONS[name], x), SECOND[name](x), rtol=1e-8)


@settings
def test_second_derivative_is_the_slope_of_the_slope(entry: Activation, knobs: dict[str, float]) -> None:
    marks = np.array(entry.kinks + entry.seams)
    x = np.linspace(-7, 7, 141) + 0.0037
    h = 2e-4 / max([1.0, *knobs.values()])
    difference = (entry.df(x + h, **knobs) - entry.df(x - h, **knobs)) / (2 * h)
    tolerance = 1e-6 * max([1.0, *knobs.values()])
    np.testing.assert_allclose(second_derivative(entry, x, knobs), difference, rtol=1e-6, atol=tolerance)
    assert np.all(np.isnan(second_derivative(entry, np.concatenate([marks, [INF, -INF, math.nan]]), knobs)))


def test_second_derivative_of_any_shape() -> None:
    entry = ACTIVATIONS["tanh"]
    assert second_derivative(entry, 1.0).shape == ()
    assert second_derivative(entry, np.zeros((0, 3))).shape == (0, 3)
    x = np.array([[0.5, -0.5]], np.float32)
    got = second_derivative(entry, x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[-0.7268619813835874, 0.7268619813835874]], rtol=1e-6)
    with pytest.raises(TypeError, match="slop"):
        second_derivative(entry, x, {"slop": 1.0})


# Differences and cost


def test_largest_difference_of_gelu_and_its_approximations() -> None:
    form = max_difference(ACTIVATIONS["GELU"], ACTIVATIONS["GELU (tanh)"], -6, 6)
    assert form.value == pytest.approx(4.73e-4, abs=5e-7)
    assert form.at == pytest.approx(2.70, abs=5e-3)
    gate = max_difference(ACTIVATIONS["GELU"], ACTIVATIONS["GELU (sigmoid)"], -6, 6)
    assert gate.value == pytest.approx(0.0203, abs=5e-5)
    assert gate.at == pytest.approx(2.27, abs=5e-3)
    for found, other in ((form, ACTIVATIONS["GELU (tanh)"]), (gate, ACTIVATIONS["GELU (sigmoid)"])):
        z = np.linspace(found.at - 0.01, found.at + 0.01, 20_001)
        size = np.abs(gelu(z) - other.f(z))
        assert found.value == pytest.approx(size.max(), rel=1e-12)
        assert np.abs(gelu(found.at) - other.f(found.at)) == pytest.approx(found.value, rel=1e-12)
        slope = abs(ACTIVATIONS["GELU"].df(found.at) - other.df(found.at))
        assert slope < 1e-14


@pytest.mark.parametrize(
    ("a", "b", "low", "high", "value", "at"),
    [
        ("ReLU", "identity", -3.0, 2.0, 3.0, -3.0),  # at an end
        ("ReLU", "leaky ReLU", -1000.0, 5.0, 10 - 1e-15, -1000.0),
        ("hard tanh", "identity", -2.0, 2.5, 1.5, 2.5),
        ("step", "identity", -0.5, 0.5, 1.0, 0.0),  # at a jump
        ("ReLU", "softplus", -30.0, 30.0, math.log(2), 0.0),  # at a kink
        ("tanh", "tanh", -1.0, 1.0, 0.0, 1.0),
        ("sine", "identity", 0.0, 1.0, 1 - math.sin(1), 1.0),
    ],
)
def test_largest_difference(a: str, b: str, low: float, high: float, value: float, at: float) -> None:
    for first, second in ((a, b), (b, a)):
        found = max_difference(ACTIVATIONS[first], ACTIVATIONS[second], low, high)
        assert found.value == pytest.approx(value, rel=1e-14, abs=1e-15)
        assert found.at == pytest.approx(at, abs=1e-10)


def test_knobs_go_to_their_own_activation() -> None:
    leaky, relu = ACTIVATIONS["leaky ReLU"], ACTIVATIONS["ReLU"]
    assert max_difference(leaky, relu, -1, 1, knobs_a={"slope": 0.5}) == (0.5, -1)
    assert max_difference(relu, leaky, -1, 1, knobs_b={"slope": 0.25}) == (0.25, -1)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (-INF, 0.0), (0.0, math.nan)])
def test_difference_needs_an_interval(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low"):
        max_difference(ACTIVATIONS["tanh"], ACTIVATIONS["sine"], low, high)


@entries
def test_cost_is_positive(entry: Activation) -> None:
    measured = cost(entry, 100, 1, np.random.default_rng(0))
    assert all(0 < value < INF for value in vars(measured).values())


@pytest.mark.parametrize(("n", "repeats"), [(0, 1), (1, 0)])
def test_cost_needs_work(n: int, repeats: int) -> None:
    with pytest.raises(ValueError, match="= 0"):
        cost(ACTIVATIONS["tanh"], n, repeats, np.random.default_rng(0))


def test_a_misspelt_knob_is_a_type_error() -> None:
    for call in (properties, slope_bounds, fixed_points, minima):
        with pytest.raises(TypeError, match="slop"):
            call(ACTIVATIONS["leaky ReLU"], {"slop": 0.1})
