"""The Nonlinearity tab of the dropout page: the figures hold core's numbers, and the readings say what is drawn."""

import json
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
import vl_convert

from charts.dropout_nonlinearity import NONLIN_KNOBS, nonlin_knobs, nonlinearity_blocks
from charts.figure import Figure
from core.activations import ACTIVATIONS
from core.dropout_nonlinear import drop_unit, layer_mean, nonlinearity_gap, normal_mean
from core.knobs import number
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

ONE, WHERE, ALL = next(knob for knob in NONLIN_KNOBS if knob.name == "nonlin_view").choices
CASES = {
    "default": {},
    "two inputs": {"nonlin_width": 2, "nonlin_activation": "step", "p": 0.3},
    "concave and convex": {"nonlin_activation": "tanh", "nonlin_mean": -1.0, "p": 0.2},
    "no dropout": {"p": 0.0},
    "all dropped": {"p": 1.0, "nonlin_activation": "SiLU"},
    "a steep function": {"p": 0.97, "nonlin_activation": "squared ReLU", "nonlin_width": 12, "seed": 5},
}
VIEWS = {
    ONE: tuple(CASES),
    WHERE: ("default", "no dropout", "all dropped"),
    ALL: ("default", "all dropped", "a steep function"),
}
every_view = pytest.mark.parametrize(("view", "case"), [(v, c) for v, cases in VIEWS.items() for c in cases])


@cache
def blocks(view=ONE, case="default", **changes):
    values = {knob.name: knob.default for knob in NONLIN_KNOBS} | {"p": 0.5, "seed": 0, "nonlin_view": view}
    return nonlinearity_blocks(MappingProxyType(values | CASES[case] | changes))


def drawn(view=ONE, case="default", **changes):
    return next(block for block in blocks(view, case, **changes) if isinstance(block, Figure))


def unit_of(p=0.5, width=64, mean=0.5, seed=0):
    return drop_unit(width=width, p=p, mean=mean, seed=seed)


# Figures


@every_view
def test_every_data_set_is_there_finite_and_read(view, case):
    figure = drawn(view, case)
    for width in WIDE_AND_NARROW:
        assert {mark.data for mark in marks(figure.spec(width))} == set(figure.data)
        for mark in marks(figure.spec(width)):
            assert mark.fields() <= set(figure.data[mark.data].columns)
    for name, frame in figure.data.items():
        assert len(frame), name
        assert np.isfinite(frame.select_dtypes("number").to_numpy(float)).all(), name
    assert sum(len(frame) for frame in figure.data.values()) < 1500


@every_view
def test_a_specification_is_constant(view, case):
    figure, default = drawn(view, case), drawn(view)
    for width in WIDE_AND_NARROW:
        assert figure.spec(width) is default.spec(width)
        assert not HEX.findall(json.dumps(figure.spec(width)))
    assert set(figure.data) == set(default.data)
    assert (figure.alt, figure.name) == (default.alt, default.name)


def test_the_picture_needs_every_visible_data_set():
    chart = drawn(WHERE).chart(1040)
    whole = vl_convert.vegalite_to_svg(chart)
    assert "NaN" not in whole
    for name in {mark.data for mark in marks(drawn(WHERE).spec(1040)) if mark.visible}:
        less = {**chart, "datasets": {**chart["datasets"], name: []}}
        assert vl_convert.vegalite_to_svg(less) != whole, name


@pytest.mark.parametrize("view", VIEWS)
def test_the_caption_states_every_parameter(view):
    caption = drawn(view, p=0.37, seed=11, nonlin_width=24, nonlin_activation="ELU").caption
    for text in (
        "p_drop 0.37 (p_keep 0.63)",
        "seed 11",
        "24 inputs",
        "10,000 masks",
        "512 inputs with a mask each",
    ):
        assert text in caption
    assert ("ELU (α 1)" in caption) == (view != ALL)
    assert ("0.5·√2" in caption) == (view != WHERE)


# One function


def test_the_points_are_the_mean_over_masks_and_f_of_the_mean():
    data, unit = drawn().data, unit_of()
    relu = ACTIVATIONS["ReLU"].f
    np.testing.assert_allclose(data["points"].f, [np.maximum(unit.z, 0).mean(), unit.scaled])
    np.testing.assert_allclose(data["expected"].f, normal_mean("ReLU", unit.mean, unit.sd**2))
    np.testing.assert_array_equal(data["curve"].f, relu(data["curve"].z.to_numpy()))
    low, high = data["reach"].z
    inside = np.mean((unit.z >= low) & (unit.z <= high))
    assert data["bars"].height.sum() == pytest.approx(inside)
    assert inside > 0.985


def test_the_sweep_is_a_layer_at_every_rate_and_the_page_s_own():
    data = drawn(p=0.37, nonlin_activation="GELU").data
    line = data["sweep"][data["sweep"]["mode"] == "training"]
    layer = nonlinearity_gap(("GELU",), (*line.p, 0.37), width=64)
    np.testing.assert_array_equal(line["mean"], layer.training[0, :-1])
    np.testing.assert_array_equal(data["now"]["mean"], [layer.training[0, -1], layer.evaluation[0]])
    dots = data["theory"].iloc[: len(line)]
    np.testing.assert_allclose(dots["mean"], [layer_mean("GELU", p, 64) for p in dots.p])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "convex on these z, so training lies above"),
        (
            {"nonlin_activation": "tanh", "nonlin_mean": 3.0, "p": 0.1},
            "concave on these z, so training lies below",
        ),
        ({"nonlin_activation": "Gaussian", "nonlin_mean": 0.0}, "the concave part prevails"),
        (
            {"nonlin_activation": "tanh", "nonlin_mean": 0.0, "p": 0.8, "seed": 3},
            "the two parts cancel, up to the error",
        ),
        (
            {"nonlin_activation": "tanh", "nonlin_mean": 0.0, "p": 0.8, "seed": 3, "nonlin_width": 6},
            "the concave part prevails",
        ),
        ({"nonlin_activation": "softplus", "nonlin_mean": 4.0, "p": 0.1}, "here by less than two"),
        ({"nonlin_activation": "identity"}, "straight on all of these z"),
        ({"p": 0.0}, "training is evaluation"),
        ({"p": 1.0}, "nothing is kept"),
    ],
)
def test_the_reading_tells_the_bend(changes, words):
    reading = blocks(**changes)[2]
    assert words in reading
    assert "e−1" not in reading  # rounding is 0
    now = drawn(**changes).data["now"]["mean"]
    for value in now:
        assert f"**{number(value)}**" in reading


def cells(case="default", **changes):
    lines = [line for line in blocks(ONE, case, **changes)[3].splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("changes", [{}, {"p": 0.8, "seed": 4, "nonlin_activation": "sine"}])
def test_scaling_is_exact_where_the_table_says(changes):
    lines = cells(**changes)
    exact = {(net, mean) for net, mean, _, verdict in lines if verdict == "exact"}
    assert exact == {
        ("one unit, identity", "arithmetic mean"),
        ("softmax layer", "geometric mean, renormalized"),
    }
    others = [float(size.replace("−", "-")) for net, mean, size, _ in lines if (net, mean) not in exact]
    assert len(others) >= 3
    assert min(others) > 1e-3


def test_nothing_dropped_is_exact_everywhere_and_all_dropped_nowhere():
    assert {line[-1] for line in cells("no dropout")} == {"exact"}
    assert {line[-1] for line in cells("all dropped")} == {"not exact"}


# Where the gap is


def test_the_gap_by_mean_and_by_width_is_core_s():
    data = drawn(WHERE, nonlin_activation="softplus").data
    line = data["unit"]
    for k in (0, 9, 16, 32):
        gap = unit_of(mean=float(line["mean"][k])).gap("softplus")
        assert line.gap[k] == pytest.approx(gap.value, abs=1e-12)
        assert line.high[k] - line.low[k] == pytest.approx(2 * 1.96 * gap.error)
    assert np.all(np.abs(line.gap - data["normal"].gap) < 0.05)
    assert float(data["here"].gap.iloc[0]) == pytest.approx(unit_of().gap("softplus").value)
    layers = data["layers"]
    for name in ("He", "averaging"):
        row = layers[(layers.weights == name) & (layers.n == 16)].iloc[0]
        found = nonlinearity_gap(("softplus",), 0.5, width=16, weights=name)
        assert row.gap == found.gap[0, 0]


@pytest.mark.parametrize(
    ("name", "straight"), [("ReLU", True), ("step", True), ("tanh", False), ("ReLU6", True)]
)
def test_averaging_has_no_gap_where_z_meets_no_bend(name, straight):
    reading = blocks(WHERE, nonlin_activation=name)[2]
    assert ("exactly 0 at every number of inputs" in reading) == straight
    layers = drawn(WHERE, nonlin_activation=name).data["layers"]
    last = layers[layers.weights == "averaging"].iloc[-1]
    assert f"± {number((last.high - last.low) / 2, 2)} (95%) at 512" in reading or name == "step"


# Every activation


def test_rows_are_sorted_and_the_identity_has_no_gap_when_all_masks_are_counted():
    data = drawn(ALL, nonlin_width=10).data
    table = data["rows"].assign(evaluation=data["points"].value[: len(ACTIVATIONS)].to_numpy())
    table["training"] = data["points"].value[len(ACTIVATIONS) :].to_numpy()
    table = table.sort_values("row")
    gap = (table.training - table.evaluation).to_numpy()
    assert sorted(table.name) == sorted(ACTIVATIONS)
    assert np.all(np.diff(gap) <= 1e-12)
    unit = unit_of(width=10)
    for line in table.itertuples():
        assert line.training - line.evaluation == pytest.approx(unit.gap(line.name).value, abs=1e-14)
    identity = table[table.name == "identity"].iloc[0]
    assert abs(identity.training - identity.evaluation) < 1e-12
    assert identity.unit_gap == "0.00"
    assert table.unit_gap.iloc[0].startswith("+")
    assert table.unit_gap.iloc[-1].startswith("−")


def test_functions_whose_gaps_cancel_are_odd_about_their_value_at_0():
    reading = blocks(ALL)[2]
    named = reading.split("value at 0 (")[1].split(") the gaps")[0].split(", ")
    z = np.linspace(0.01, 9, 99)
    odd = [name for name, entry in ACTIVATIONS.items() if np.ptp(entry.f(z) + entry.f(-z)) < 1e-9]
    assert named == odd


def test_only_controls_that_act_are_shown():
    base = {knob.name: knob.default for knob in NONLIN_KNOBS}
    assert set(nonlin_knobs(base)) == set(base)
    assert "nonlin_activation" not in nonlin_knobs({**base, "nonlin_view": ALL})
    assert drawn(ALL).data["rows"].equals(drawn(ALL, nonlin_activation="tanh").data["rows"])
