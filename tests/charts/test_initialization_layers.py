"""The Layers tab of the initialization page: every view for every setting, and numbers that are known otherwise."""

import json
import math
import re

import numpy as np
import pytest
import vl_convert

from charts import describe, theme
from charts.figure import Figure
from charts.initialization_layers import (
    LAYERS_KNOBS,
    RULE,
    grid_click,
    layers_blocks,
    layers_knobs,
)
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS
from core.knobs import number
from core.propagation import propagate, propagate_theory
from tests.charts.topics import HEX, marks

STYLES = theme.styles(INITIALIZERS)
VIEWS = LAYERS_KNOBS[0].choices
KNOBS = {knob.name: knob for knob in LAYERS_KNOBS}
PAGE = {
    "schemes": ("N(0, 1)", "He normal", "Glorot normal", "PyTorch Linear"),
    "activation": "ReLU",
    "depth": 20,
    "width": 32,
    "seeds": 3,
    "batch": 4,
    "sigma_b": 0.0,
    "seed": 0,
}
every_view = pytest.mark.parametrize("view", VIEWS)


def tab(view, **changes):
    values = {**PAGE, **{name: knob.default for name, knob in KNOBS.items()}, "layers_view": view, **changes}
    settings = describe.defaults(ACTIVATIONS[values["activation"]])
    return layers_blocks(values, INITIALIZERS.__getitem__, lambda name: name, settings, STYLES)


def figure(view, **changes):
    return next(block for block in tab(view, **changes) if isinstance(block, Figure))


def text(view, **changes):
    return "\n".join(block for block in tab(view, **changes) if isinstance(block, str))


EXTREMES = (
    {},
    {"depth": 1},
    {"depth": 100, "width": 1024, "batch": 128, "seeds": 50},
    {"schemes": ()},
    {"schemes": ("zeros", "constant", "identity", "sparse", "NTK", "orthogonal"), "one_scheme": "zeros"},
    {"activation": "squared ReLU", "one_scheme": "N(0, 1)", "depth": 60},
    {"activation": "step", "one_scheme": "constant"},
    {"activation": "tanh", "one_scheme": "identity", "sigma_b": 1.5},
    {"exponent": 0.0, "exponent_width": 1024, "depth": 100, "grid_depth": 1, "update_lr": 1.0},
    {"exponent": 1.5, "exponent_width": 1024, "depth": 100, "grid_depth": 100, "update_lr": 1e-5},
    {"exponent": 0.5, "exponent_width": 16, "activation": "leaky ReLU", "width": 16},
)
every_extreme = pytest.mark.parametrize("changes", EXTREMES, ids=lambda c: ",".join(c) or "default")


# Every view


@every_view
@every_extreme
def test_every_setting_gives_the_same_specification_and_complete_data(view, changes):
    base, found = figure(view), figure(view, **changes)
    assert found.name == base.name
    assert found.alt == base.alt
    assert set(found.data) == set(base.data)
    for width in (1040, 360):
        assert found.spec(width) is base.spec(width)
        assert {unit.data for unit in marks(found.spec(width))} == set(found.data)
        for unit in marks(found.spec(width)):
            assert unit.fields() <= set(found.data[unit.data].columns)
    for frame in found.data.values():
        assert len(frame)
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
    assert sum(map(len, found.data.values())) < 2000
    json.dumps(found.chart(), allow_nan=False)


@every_view
@every_extreme
def test_every_text_is_said_in_numbers(view, changes):
    said = text(view, **changes)
    assert said.strip()
    assert not re.search(r"\b(nan|inf|None|True|False)\b|np\.|array", said)
    assert not re.search(r"(?<![\w{/])-\d|e-\d", said), "a hyphen is no minus"
    prose = "\n".join(line for line in said.splitlines() if not line.startswith("|"))
    assert "  " not in prose
    assert figure(view, **changes).caption.endswith(".")


@every_view
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_drawn(view, activation):
    found = figure(view, activation=activation, depth=6)
    for frame in found.data.values():
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()


@every_view
@pytest.mark.parametrize("width", [1040, 360])
def test_a_view_is_drawn(view, width):
    found = figure(view)
    spec = json.dumps(found.spec(width))
    assert not HEX.findall(spec)
    assert len(spec) < 16_000
    svg = vl_convert.vegalite_to_svg(found.chart(width), vl_version="6.4")
    assert 0.6 * width < float(re.search(r'width="([\d.]+)"', svg)[1]) < 1.2 * width
    for word in ("NaN", "Infinity", "undefined"):
        assert word not in svg
    for unit in marks(found.spec(width)):
        if width == 1040 and unit.data and unit.visible and len(found.data[unit.data]) > 1:
            chart = found.chart(width)
            chart["datasets"] = {**chart["datasets"], unit.data: []}
            assert vl_convert.vegalite_to_svg(chart, vl_version="6.4") != svg, unit.data


@every_view
def test_a_view_shows_the_controls_it_uses(view):
    shown = layers_knobs({"layers_view": view})
    assert shown[0] == "layers_view"
    changed = {
        "one_scheme": "N(0, 1)", "update_lr": 0.5, "exponent": 0.3, "exponent_width": 40, "grid_depth": 12,
    }  # fmt: skip
    assert set(changed) == set(KNOBS) - {"layers_view"}
    before = figure(view)
    for name, value in changed.items():
        after = figure(view, **{name: value})
        same = before.caption == after.caption and all(
            before.data[k].equals(after.data[k]) for k in before.data
        )
        assert same == (name not in shown), name
        if name in shown:
            assert before.caption != after.caption, f"the caption does not state {name}"


@pytest.mark.parametrize("view", ["ridgelines", "saturation", "update ratio"])
def test_the_caption_says_what_was_cut_down(view):
    big = {"depth": 100, "width": 1024, "batch": 128, "seeds": 50}
    caption = figure(view, **big).caption
    width = int(re.search(r"width (\d+) in place of 1024", caption)[1])
    assert 16 <= width < 1024
    assert "depth 100" in caption
    assert "batch 128" in caption
    assert "in place of" not in figure(view).caption
    assert f"batch {64 if view == 'ridgelines' else 32}," in figure(view).caption


# Ridgelines


def test_rows_of_bars_stay_in_their_row():
    found = figure("ridgelines", depth=50)
    for panel in ("activations", "gradients"):
        bars, notes = found.data[f"{panel}_bars"], found.data[f"{panel}_rows"]
        assert list(notes.layer.astype(int)) == [1, 8, 15, 22, 29, 36, 43, 50]
        assert (np.diff(notes.base) < 0).all(), "the first layer is on top"
        assert (bars.top >= bars.base).all()
        assert (bars.top < bars.base + 0.85 / 8).all()
        dots = found.data[f"{panel}_theory"]
        for base in notes.base:
            row = dots[(dots.base >= base) & (dots.base < base + 1 / 8)]
            assert len(row) > 8
    # A ReLU's activations are not negative, and half of them are 0.
    assert (found.data["activations_bars"].low >= -1e-9).all()
    assert found.data["activations_rows"].zero.astype(str).str.contains("exactly 0").all()


def test_the_bin_that_is_furthest_from_theory_is_told():
    said = text("ridgelines", depth=50, width=64)
    found = re.findall(
        r"around (\S+) rms in layer (\d+), holds (\S+)% where theory has (\S+)%, (\S+) times", said
    )
    assert len(found) == 2
    for _, layer, share, exact, ratio in found:
        assert int(layer) in (1, 8, 15, 22, 29, 36, 43, 50)
        assert float(share) / float(exact) == pytest.approx(float(ratio), rel=0.06)
    assert "outside ±4 rms" in figure("ridgelines").key
    rows = figure("ridgelines").data["gradients_rows"]
    assert list(rows.heading[rows["first"]]) == ["layer"]


def test_the_rms_of_a_row_is_that_of_the_networks():
    rows = figure("ridgelines", one_scheme="He normal", batch=64).data["gradients_rows"]
    known = propagate(
        ACTIVATIONS["ReLU"], [INITIALIZERS["He normal"]], depth=20, width=32, batch=64, seeds=3, seed=0
    ).gradient_rms[0]
    for layer, said in zip(rows.layer.astype(int), rows.rms.astype(str), strict=True):
        expected = math.sqrt(float(np.mean(known[:, layer] ** 2)))
        assert float(said.removeprefix("rms ").replace("−", "-")) == pytest.approx(expected, rel=6e-3)


def test_a_run_that_leaves_float64_says_where():
    changes = {"activation": "squared ReLU", "one_scheme": "N(0, 1)", "depth": 60}
    assert "leaves float64" in text("ridgelines", **changes)
    assert "**N(0, 1)** leaves float64 at layer" in text("saturation", schemes=("N(0, 1)",), **changes)


# Saturation


def test_a_relu_is_saturated_half_the_time_and_its_units_die_with_depth():
    data = figure("saturation", depth=50, width=64).data
    shares = data["shares"]
    assert set(data["saturated_dots"].y) == set(data["zero_dots"].y) == {0.5}
    np.testing.assert_allclose(shares.saturated, shares.zero)
    assert (shares.dead <= shares.zero + 1e-12).all()
    for _, line in shares.groupby("name", observed=True):
        assert line.dead.iloc[-10:].mean() > line.dead.iloc[:3].mean() + 0.2


def test_lines_that_coincide_are_named():
    said = text("saturation")
    assert "N(0, 1), He normal and Glorot normal have the same shares" in said
    assert "same draws up to a scale" in said
    assert "same shares" not in text("saturation", activation="tanh", schemes=("N(0, 1)", "He normal"))


def test_lines_that_coincide_share_a_label():
    data = figure("saturation").data
    for panel, share in (("saturated", "saturated"), ("zero", "dead")):
        labels = [str(label) for label in data[f"{panel}_ends"].label]
        written = " ".join(labels[::-1])
        last = data["shares"].groupby("name", observed=True)[share].last()
        assert f"PyTorch Linear {number(100 * last['PyTorch Linear'], 2)}%" in written
        assert re.search(r"N\(0, 1\), He, Glorot \S+%", written)
        assert written.count("%") == 2
        assert ("dead" in written) == (panel == "zero")
        assert max(map(len, labels)) <= 27
        assert (np.diff(np.sort(data[f"{panel}_ends"].y)) > 0.0499).all()


def test_two_equal_panels_are_said():
    assert "With ReLU every saturated slope is exactly 0" in text("saturation")
    assert "exactly 0, so" not in text("saturation", activation="tanh")


@pytest.mark.parametrize("name", ["step", "squared ReLU"])
def test_activations_without_one_percent_of_a_slope(name):
    said = text("saturation", activation=name, depth=6)
    assert "Only slopes of exactly 0 count as saturated" in said
    assert ("φ′ has no largest value" in said) == (name == "squared ReLU")
    assert "under ReLU" not in said


@pytest.mark.parametrize("view", ["saturation", "update ratio"])
@pytest.mark.parametrize("schemes", [(), ("constant",), ("zeros",), ("N(0, 1)",)])
@pytest.mark.parametrize("activation", ["step", "squared ReLU", "ReLU"])
def test_every_axis_has_a_value_it_can_show(view, schemes, activation):
    # An axis over nothing makes Vega complain of an infinite extent.
    data = figure(view, schemes=schemes, activation=activation).data
    dots = [frame for name, frame in data.items() if name.endswith("dots")]
    assert dots
    for frame in dots:
        assert np.isfinite(frame.y).all()
        assert len(frame)
        assert frame.shown.any() == (len(schemes) > 0 and frame.name.iloc[0] in schemes)
    if view == "update ratio":
        assert (data["ratios"].y > 0).any()


# Updates


def test_the_ratio_follows_the_learning_rate():
    one, ten = (figure("update ratio", update_lr=lr).data["ratios"] for lr in (0.01, 0.1))
    np.testing.assert_allclose(ten.y, 10 * one.y)
    one, ten = (figure("update ratio", update_lr=lr).data["dots"] for lr in (0.01, 0.1))
    np.testing.assert_allclose(ten.y, 10 * one.y)


def test_the_proposed_learning_rate_puts_the_middle_layer_at_the_rule():
    line = next(l for l in text("update ratio").splitlines() if l.startswith("| **He normal**"))
    lr = float(line.split("|")[-2].replace("−", "-"))
    ratios = figure("update ratio", update_lr=lr).data["ratios"]
    assert np.median(ratios[ratios.name == "He normal"].y) == pytest.approx(RULE, rel=0.01)


def test_relu_has_one_slope_at_every_scale():
    dots = figure("update ratio", schemes=("He normal", "Glorot normal")).data["dots"]
    he, glorot = (dots[dots.name == name].y.to_numpy() for name in ("He normal", "Glorot normal"))
    np.testing.assert_allclose(he / he[0], glorot / glorot[0], rtol=1e-9)


# The exponent


def test_the_exponent_of_the_notes_is_computed():
    said = text("exponent", depth=50, exponent_width=1024, exponent=1.0)
    assert said.count("5.5e−76") == 1
    assert "5.53e−76 after 50 layers" in said
    lines = figure("exponent", depth=50, exponent_width=1024, exponent=1.0).data["linear_lines"]
    own = lines[lines.name == "1/M"]
    assert own.theory.dropna().iloc[-1] == pytest.approx(
        1024.0 ** (-own.layer[own.theory.notna()].iloc[-1] / 2)
    )
    assert own.y.iloc[-1] == pytest.approx(2.0**-250, rel=0.5)


@pytest.mark.parametrize(("panel", "flat"), [("linear", "1/√M"), ("chosen", "√(2/M)")])
def test_one_line_of_each_panel_is_flat(panel, flat):
    lines = figure("exponent", exponent_width=1024).data[f"{panel}_lines"]
    np.testing.assert_allclose(lines[lines.name == flat].theory.dropna(), 1.0, rtol=1e-6)
    for name in set(lines.name) - {flat}:
        assert not 0.1 < lines[lines.name == name].y.iloc[-1] < 10


def test_few_narrow_networks_miss_the_large_ones():
    said = text("exponent", exponent=0.5, exponent_width=16, depth=100, seeds=10)
    assert "At L/M = 6.25 networks differ by large factors" in said
    assert "misses the rare large ones" in said
    assert "L/M" not in text("exponent", exponent_width=1024)


def test_a_half_is_its_own_reference():
    assert set(figure("exponent", exponent=0.5).data["linear_lines"].name) == {"1/√M", "√(2/M)"}


# The grid


def cells(**changes):
    frame = figure("grid", **changes).data["cells"].sort_values(["top", "left"])
    return {
        (scheme, activation): tuple(part.word.astype(str))
        for (scheme, activation), part in frame.groupby(["scheme", "activation"], observed=True)
    }


@pytest.mark.parametrize("depth", [1, 7, 30, 45, 100])
def test_a_cell_says_what_theory_says(depth):
    words = cells(grid_depth=depth)
    for (scheme, activation), found in words.items():
        mean = propagate_theory(
            ACTIVATIONS[activation], [INITIALIZERS[scheme]], depth=depth, width=32,
            knobs=describe.defaults(ACTIVATIONS[activation]),
        )  # fmt: skip
        for rms, word in zip((mean.signal_rms[0, -1], mean.gradient_rms[0, 0]), found, strict=True):
            low, high = {
                "vanishes": (0, 1e-6), "shrinks": (1e-6, 0.1), "level": (0.1, 10), "grows": (10, 1e6),
                "explodes": (1e6, math.inf),
            }[word]  # fmt: skip
            assert low * 0.999 <= rms <= high * 1.001, (scheme, activation, word)


def test_the_known_verdicts():
    words = cells()
    assert words["He normal", "ReLU"] == ("level", "level")
    assert words["LeCun normal", "ReLU"] == ("shrinks", "shrinks")
    assert words["LeCun normal", "SELU"] == ("level", "level")
    assert words["PyTorch Linear", "ReLU"] == ("vanishes", "vanishes")
    assert words["N(0, 1)", "ReLU"] == ("explodes", "explodes")
    assert words["LeCun normal", "sigmoid"] == ("level", "vanishes")
    assert words["zeros", "tanh"] == ("vanishes", "vanishes")


def test_every_scheme_is_in_a_row_or_named_as_left_out():
    found = figure("grid").data["cells"]
    listed = {name for label in set(found.label.astype(str)) for name in label.split(", ")}
    left = re.search(r"Left out[^:]*: ([^.]*)\.", text("grid"))[1].split(", ")
    # "N(0, 1)" holds a comma of its own.
    whole = {name for name in INITIALIZERS if ", " not in name}
    assert whole <= listed | set(left)
    assert left == ["constant"]
    assert found.scheme.nunique() <= 14
    assert found.activation.nunique() == 10


def test_frames_count_the_cells_that_stay_level():
    both = figure("grid").data["both"]
    level = sum(pair == ("level", "level") for pair in cells().values())
    assert len(both) == level
    assert f"**{level} of {len(cells())}** cells" in text("grid")
    assert "identity" in text("grid")


def test_the_page_is_marked_in_the_grid():
    found = figure("grid", activation="Mish", schemes=("He uniform",))
    columns, schemes = found.data["columns"], found.data["schemes"]
    assert list(columns[columns.slot == theme.INK].label) == ["Mish"]
    assert len(schemes[schemes.slot == theme.INK]) == 1


def test_a_click_opens_a_cell():
    found = figure("grid")
    assert found.click == "grid"
    params = [p for layer in found.spec()["layer"] for p in layer.get("params", [])] + found.spec().get(
        "params", []
    )
    (pick,) = [p for p in params if p["name"] == found.click]
    assert pick["select"]["fields"] == ["scheme", "activation", "depth"]
    for cell in found.data["cells"].to_dict("records"):
        values = grid_click({name: cell[name] for name in pick["select"]["fields"]})
        assert values["activation"] == cell["activation"]
        assert values["schemes"][0] == cell["scheme"]
        assert values["depth"] == KNOBS["grid_depth"].default
        assert "He normal" in values["schemes"]
        assert set(values["schemes"]) <= set(INITIALIZERS)


@pytest.mark.parametrize(
    "point",
    [
        {},
        {"scheme": "He normal"},
        {"scheme": "none", "activation": "ReLU"},
        {"scheme": None, "activation": 3},
        {"depth": 30},
    ],
)
def test_a_click_beside_the_cells_does_nothing(point):
    assert grid_click(point) == {}


def test_a_click_opens_the_depth_of_the_grid():
    cell = figure("grid", grid_depth=7).data["cells"].iloc[0].to_dict()
    assert grid_click(cell)["depth"] == 7
    for depth in (None, 0, 101, 2.5, "7", True):
        assert "depth" not in grid_click({**cell, "depth": depth})


def test_the_row_of_the_identity_is_explained():
    assert "iterates h ← φ(h)" in text("grid")
    assert "iterates" not in text("grid", sigma_b=0.5)
