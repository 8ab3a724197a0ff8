"""The Phase tab of the initialization page: its map, its runs, what it says, and the click."""

import base64
import io
import json
import math
import re

import numpy as np
import pytest
import vl_convert
from PIL import Image

from charts.figure import Figure
from charts.initialization_phase import PHASE_KNOBS, phase_blocks, phase_click
from core.activations import ACTIVATIONS
from core.mean_field import correlation_theory, critical_line, phase_map

every = pytest.mark.parametrize("name", ACTIVATIONS)
KNOBS = {knob.name: knob for knob in PHASE_KNOBS}


def settings(name):
    return {knob.name: float(knob.default) for knob in ACTIVATIONS[name].knobs}


def blocks(name="tanh", w=2.0, b=0.05, angle=60.0, layers=8, seed=0, schemes=None):
    return phase_blocks(name, settings(name), w, b, angle, layers, seed, schemes or {})


def figures(*args, **kwargs):
    return [block for block in blocks(*args, **kwargs) if isinstance(block, Figure)]


def words(*args, **kwargs):
    return "\n".join(block for block in blocks(*args, **kwargs) if isinstance(block, str))


def pixels(figure):
    url = figure.data["picture"].url.iloc[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"), int)


def named_sets(node):
    """Yield (name of data, fields) of every view of a specification."""
    if isinstance(node, dict):
        data = node.get("data")
        if isinstance(data, dict) and "name" in data and "encoding" in node:
            made = {t["as"] for t in node.get("transform", []) if "as" in t}
            fields = {
                e["field"]
                for channel in node["encoding"].values()
                for e in (channel if isinstance(channel, list) else [channel])
                if isinstance(e, dict) and "field" in e
            }
            yield data["name"], fields - made
        for child in node.values():
            yield from named_sets(child)
    elif isinstance(node, list):
        for child in node:
            yield from named_sets(child)


@every
def test_every_activation_has_its_map_and_its_regimes(name):
    # The corners of the map take turns: all of them, of some activations, are asked for below.
    corner = [(0.05, 0.0, 0.0), (6.0, 2.0, 180.0)][len(name) % 2]
    for w, b, angle in [(2.0, 0.05, 60.0), corner]:
        for figure in figures(name, w, b, angle, layers=5):
            assert sum(len(frame) for frame in figure.data.values()) < 2000
            for key, frame in figure.data.items():
                assert len(frame), key
                numbers = frame.select_dtypes("number").to_numpy(float)
                assert not np.isinf(numbers).any(), (name, key, w, b)
            for key, fields in named_sets(figure.spec(1080)):
                assert fields <= set(figure.data[key].columns), key


@pytest.mark.parametrize("width", [1080, 640, 358])
def test_specifications_do_not_change_and_hold_nothing_of_a_run(width):
    a, b = figures(), figures("ReLU", 5.0, 1.0, 130.0, 12, 3)
    for one, other in zip(a, b, strict=True):
        assert one.build is other.build
        text = json.dumps(one.spec(width))
        assert text == json.dumps(other.spec(width))
        assert "#" not in text.replace("#,", "")
        assert one.alt == other.alt


@pytest.mark.parametrize("w", [0.05, 6.0])
@pytest.mark.parametrize("b", [0.0, 2.0])
@pytest.mark.parametrize("name", ["tanh", "ReLU", "squared ReLU"])
def test_every_corner_can_be_asked_for(name, w, b):
    for angle in (0.0, 180.0):
        assert len(figures(name, w, b, angle, layers=30)) == 2


@pytest.mark.parametrize("name", ["tanh", "step", "squared ReLU"])
@pytest.mark.parametrize("width", [1080, 358])
def test_figures_fit_their_column(name, width):
    for figure in figures(name):
        chart = figure.chart(width)
        picture = Image.open(io.BytesIO(vl_convert.vegalite_to_png(chart, vl_version="6.4", scale=1)))
        assert picture.width <= width + 4
        assert picture.width > 0.85 * width


def test_the_picture_has_the_hue_of_the_gradient():
    figure = figures("tanh")[0]
    image = pixels(figure)
    height, width = image.shape[:2]
    line = critical_line(ACTIVATIONS["tanh"], [0.4, 1.2])
    for b, border in zip((0.4, 1.2), line, strict=True):
        row = image[height - 1 - int(b / 2 * height)]
        at = int(border / 6 * width)
        assert row[: at - 2, 2].min() > row[: at - 2, 0].max()  # blue before
        assert row[at + 2 :, 0].min() > row[at + 2 :, 2].max()  # and red beyond
        assert row[at, 3] < 20 < row[0, 3]
    assert np.all(np.diff(figure.data["lines"].sort_values("b").w) >= 0)


@every
def test_cells_hold_the_map(name):
    cells = figures(name)[0].data["cells"]
    w, b = cells.w.unique(), cells.b.unique()
    assert cells.shape[0] == w.size * b.size
    exact = phase_map(ACTIVATIONS[name], w, b, settings(name))
    for column, field in (
        ("q", exact.q_star),
        ("chi", exact.chi),
        ("c", exact.c_star),
        ("depth", exact.depth_scale),
    ):
        expected = np.where(np.isfinite(field), field, np.nan).ravel()
        np.testing.assert_allclose(cells[column], expected, rtol=1e-6)


def test_a_click_sets_the_knobs_and_the_ring_follows():
    figure = figures("tanh")[0]
    for row in figure.data["cells"].iloc[[0, 59, 400, -1]].to_dict("records"):
        chosen = phase_click(row)
        assert {name: KNOBS[name].check(value) for name, value in chosen.items()} == chosen
        again = figures("tanh", chosen["phase_w2"], chosen["phase_b2"])[0]
        ring = again.data["here_now"].iloc[0]
        assert (ring.w, ring.b) == pytest.approx((row["w"], row["b"]))
    spec = json.dumps(figure.spec(1080))
    assert json.dumps({"name": figure.click})[1:-1] in spec
    cells = next(view for view in _views(figure.spec(1080)) if view.get("data") == {"name": "cells"})
    assert cells["encoding"]["x"]["field"] == "w"


def _views(node):
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _views(child)
    elif isinstance(node, list):
        for child in node:
            yield from _views(child)


def test_dots_are_theory():
    main, regimes = figures("tanh", 3.0, 0.2, 45.0, 20)
    layers = main.data["layers"]
    theory = correlation_theory(ACTIVATIONS["tanh"], math.cos(math.pi / 4), 20, 3.0, 0.2)
    np.testing.assert_allclose(layers.c_theory, theory.c, atol=1e-12)
    np.testing.assert_allclose(layers.q_theory, theory.q, rtol=1e-12)
    border = float(critical_line(ACTIVATIONS["tanh"], [0.2])[0])
    for name, factor in (("below", 0.5), ("critical", 1.0), ("above", 2.0)):
        rows = regimes.data["layers"]
        expected = correlation_theory(ACTIVATIONS["tanh"], math.cos(math.pi / 4), 20, factor * border, 0.2)
        np.testing.assert_allclose(rows[rows.name == name].theory, expected.c, atol=1e-12)
        curve = regimes.data["curves"]
        curve = curve[curve.name == name]
        assert curve.c.iloc[-1] == pytest.approx(1)
    labels = list(regimes.data["ends"].label)
    assert [label.split(",")[0] for label in labels] == ["ordered", "critical", "chaotic"]


def test_the_band_holds_the_middle_of_the_networks():
    layers = figures("tanh", 3.0, 0.2, 45.0, 20)[0].data["layers"]
    assert (layers.c_low <= layers.c_high).all()
    assert (layers.q_low[1:] < layers.q_high[1:]).all()
    assert layers.c[0] == pytest.approx(math.cos(math.pi / 4))
    assert layers.q[0] == 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tanh", {"ordered", "chaotic"}),
        ("ReLU", {"decays", "explodes"}),
        ("leaky ReLU", {"decays", "explodes"}),
        ("GELU", {"decays", "explodes"}),
        ("SELU", {"ordered", "chaotic", "explodes"}),
        ("step", {"no gradient"}),
        ("sigmoid", {"ordered"}),
    ],
)
def test_phases_are_named_where_they_are(name, expected):
    for w, b in ((2.0, 0.05), (1.4, 0.5), (4.0, 1.0)):
        labels = figures(name, w, b)[0].data["labels"]
        assert set(labels.text) == expected
        for label in labels.itertuples():
            q, chi = (
                getattr(phase_map(ACTIVATIONS[name], [label.w], [label.b], settings(name)), field)[0, 0]
                for field in ("q_star", "chi")
            )
            assert {
                "ordered": chi < 1, "decays": chi < 1, "no gradient": chi == 0,
                "chaotic": chi > 1 and q < math.inf, "explodes": q == math.inf,
            }[label.text]  # fmt: skip
            assert abs(label.w - w) > 0.2 or abs(label.b - b) > 0.1  # not below the ring


@pytest.mark.parametrize(
    ("view", "phrases"),
    [
        (
            ("tanh", 2.0, 0.05),
            ["**chaotic**", "q* = 0.7218", "χ₁ = 1.048", "c* = 0.7441", "critical σ_w² is 1.761"],
        ),
        (("tanh", 1.0, 0.0), ["**critical**", "q* = 0", "no common limit"]),
        (
            ("ReLU", 2.0, 0.0),
            ["**critical**", "q* = 1", "Without biases, as here, c goes to 1 whatever σ_w is"],
        ),
        (("ReLU", 1.0, 0.3), ["**decays**", "q* = 0.6", "0.5·σ_w²"]),
        (("ReLU", 2.0, 0.3), ["**critical**", "q* = ∞", "grows there by σ_b² a layer"]),
        (("ReLU", 3.0, 0.0), ["**explodes**", "q* = ∞", "χ₁ = 1.5", "grows e-fold in 2.47 layers"]),
        (("step", 2.0, 0.0), ["**no gradient**", "χ₁ = 0", "part all the same"]),
        (("GELU", 2.0, 0.0), ["χ₁ = 0.5", "χ₁ jumps past 1"]),
        (("identity", 1.0, 0.0), ["whatever angle two inputs have", "1·σ_w²"]),
        (("squared ReLU", 1.0, 0.0, 60.0, 40), ["leaves float64", "χ₁ = ∞"]),
        (("squared ReLU", 0.1, 0.0, 60.0, 40), ["q is 0", "c has no value"]),
    ],
)
def test_the_text_says_what_is_there(view, phrases):
    text = words(*view)
    for phrase in phrases:
        assert phrase in text, text
    assert "nan" not in text.lower().replace("standard", "")


def test_what_holds_without_biases_is_said_without_biases():
    assert "Without biases" in words("ReLU", 2.0, 0.0)
    assert "The three regimes are one line" in words("ReLU", 2.0, 0.0)
    assert "Without biases" not in words("ReLU", 1.0, 0.3)
    lines = figures("ReLU", 2.0, 0.0)[1].data["layers"]
    first, *others = (part.c.to_numpy() for _, part in lines.groupby("name", observed=True))
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-9)


def test_networks_that_agree_are_not_measured_in_standard_errors():
    said = words("ReLU", 2.0, 0.0, 0.0)
    assert "all networks agree" in said
    assert "apart" not in said


def test_a_large_distance_has_its_reason():
    said = words("ReLU", 2.0, 0.05, 60.0, 40)
    assert "standard errors apart" in said
    assert "Theory is for infinite width." in said
    assert "0.4 at layer 40" in said
    assert re.search(r"there 1\d of 16 lie above theory", said)
    assert "infinite width" not in words("tanh", 1.0, 0.0, 60.0, 10)


def test_depth_scales_are_sizes():
    said = words("ReLU", 2.0, 0.05)
    assert "| 1.44 | decays |" in said
    assert "| 1.44, growing | explodes |" in said
    assert "−1.44" not in said
    assert "1/|ln χ₁| = 1.44" in words("ReLU", 4.0, 0.0)
    assert "| none |" in words("squared ReLU", 1.0, 0.0)


def test_a_correlation_of_rounding_is_zero():
    said = words("tanh", 6.0, 0.0, 90.0)
    assert "c⁰ = 0 (90°)" in said
    assert not re.search(r"c\S* = \d\S*e−1", said)


# The schemes of the page

SCHEMES = {"N(0, 1)": (64.0, 0.0), "He normal": (2.0, 0.0), "He uniform": (2.0, 0.0), "PyTorch Linear": (1 / 3, 0.0),
           "constant": (math.nan, 0.0)}  # fmt: skip


def test_schemes_are_marked_where_they_are():
    figure, *_ = figures(schemes=SCHEMES)
    marks = figure.data["schemes"]
    assert marks.shown.all()
    assert dict(zip(marks.label.astype(str), marks.w, strict=True)) == {
        "He normal and 1 more": 2.0, "PyTorch Linear": pytest.approx(1 / 3)
    }  # fmt: skip
    said = words(schemes=SCHEMES)
    assert (
        "the page's schemes at fan_in × variance of a weight and σ_b²: He normal, He uniform, PyTorch Linear"
        in said
    )
    assert "Off the map, as (σ_w², σ_b²): N(0, 1) (64, 0)." in said
    assert "constant" not in figure.caption
    assert "N(0, 1) (64, 0); He normal (2, 0)" in figure.caption
    base, *_ = figures()
    assert not base.data["schemes"].shown.any()
    assert "page" not in words() + base.caption
    assert base.spec(1080) == figure.spec(1080)


@pytest.mark.parametrize("bias", [0.0, 0.05, 0.9, 1.0, 2.0])
def test_names_of_schemes_stand_apart(bias):
    many = {f"scheme number {k}": (w, bias) for k, w in enumerate((0.0, 0.01, 0.4, 1.0, 1.1, 5.9))}
    marks = figures(schemes=many)[0].data["schemes"]
    for height in ("name_wide", "name_narrow"):
        assert marks[height].between(-0.05, 2.05).all()
        for one in marks.itertuples():
            for other in marks.itertuples():
                if one.Index < other.Index and abs(getattr(one, height) - getattr(other, height)) < 0.06:
                    apart = abs(one.name_w - other.name_w)
                    assert apart >= 0.12 * len(min(one, other, key=lambda mark: mark.name_w).label)


# Two inputs


def test_the_walk_of_theory_is_drawn_from_layer_to_layer():
    walks = figures("tanh", 3.0, 0.2, 45.0, 20)[1].data["walks"]
    border = float(critical_line(ACTIVATIONS["tanh"], [0.2])[0])
    for name, factor in (("below", 0.5), ("critical", 1.0), ("above", 2.0)):
        expected = correlation_theory(ACTIVATIONS["tanh"], math.cos(math.pi / 4), 20, factor * border, 0.2).c
        part = walks[walks.name == name]
        np.testing.assert_allclose(part.before, expected[:-1], atol=1e-12)
        np.testing.assert_allclose(part.c, expected[1:], atol=1e-12)
        assert list(part.layer) == list(range(20))


def test_lines_are_named_in_both_panels():
    spec = figures()[1].spec(1080)
    for panel in spec["hconcat"]:
        named = [layer["data"]["name"] for layer in panel["layer"] if layer["mark"]["type"] == "text"]
        assert "ends" in named


def test_a_linear_network_is_not_said_to_align_inputs():
    assert "c goes to 1" not in words("identity", 1.0, 0.0)


@pytest.mark.parametrize(("name", "view"), [("w", (3.1, 0.05)), ("b", (2.0, 0.15))])
def test_captions_state_the_point(name, view):
    main, regimes = figures("tanh", *view, 33.0, 7, 4)
    assert f"σ_w² {view[0]:g}" in main.caption
    for figure in (main, regimes):
        for phrase in (
            "tanh",
            f"σ_b² {view[1]:g}",
            "angle 33°",
            "7 layers",
            "seed 4",
            "width 100",
            "16 networks",
        ):
            assert phrase in figure.caption
    assert "leaky ReLU" in figures("leaky ReLU")[0].caption
    assert "0.01" in figures("leaky ReLU")[0].caption
