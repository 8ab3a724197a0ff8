"""The Depth tab of the dropout page: its figures hold core's numbers, and keep the rules of a figure."""

import json
import math

import numpy as np
import pytest
import vl_convert

from charts import progress, theme
from charts.dropout import KNOBS
from charts.dropout_depth import DEPTH_KNOBS, depth_blocks, depth_knobs
from charts.figure import Figure
from core.activations import ACTIVATIONS
from core.dropout import DROPOUT_MODES
from core.dropout_depth import depth_theory, propagate_dropout
from core.dropout_variants import DROPOUT_VARIANTS, variance_shift
from core.knobs import number
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

BASE = {knob.name: knob.default for knob in (*KNOBS, *DEPTH_KNOBS)} | {
    "depth_width": 24,
    "depth_layers": 8,
    "seed": 0,
}
QUANTITIES = next(knob for knob in DEPTH_KNOBS if knob.name == "depth_quantity").choices
NAMES = {
    "through depth": ["dropout/depth"],
    "variants": ["dropout/variants", "dropout/selu"],
    "before BatchNorm": ["dropout/variance_shift"],
}
CASES = {
    "default": {},
    "nothing dropped": {"p": 0.0, "depth_mu": 0.0},
    "everything dropped": {"p": 1.0, "depth_corrected": True},
    "beyond float64": {"p": 1 - 1e-9, "depth_layers": 50, "depth_width": 16},
    "one layer": {"p": 0.3, "depth_layers": 1},
    "tanh": {"depth_activation": "tanh", "depth_corrected": True},
}
every_view = pytest.mark.parametrize("view", NAMES)


def blocks(view, **values):
    return depth_blocks({**BASE, "depth_view": view, **values})


def figures(view, **values):
    return [block for block in blocks(view, **values) if isinstance(block, Figure)]


def prose(view, **values):
    return "\n".join(block for block in blocks(view, **values) if isinstance(block, str))


@every_view
@pytest.mark.parametrize("case", CASES)
def test_figures_keep_the_rules(view, case):
    for drawn, default in zip(figures(view, **CASES[case]), figures(view), strict=True):
        for width in WIDE_AND_NARROW:
            spec = drawn.spec(width)
            assert spec is default.spec(width)
            assert not HEX.findall(json.dumps(spec))
            assert {unit.data for unit in marks(spec)} - {""} == set(drawn.data)
            for unit in marks(spec):
                if unit.data:
                    assert unit.fields() <= set(drawn.data[unit.data].columns), unit.data
        for name, frame in drawn.data.items():
            assert 0 < len(frame) <= 400
            assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any(), name
            assert frame.notna().any().all(), name  # else the browser finds no extent
            if "slot" in frame:
                assert set(frame.slot) <= set(range(len(theme.INKS)))
        assert drawn.alt == default.alt
    assert "nan" not in prose(view, **CASES[case]).lower()


@every_view
def test_figures_are_drawn_and_named(view):
    drawn = figures(view)
    assert [figure.name for figure in drawn] == NAMES[view]
    for figure in drawn:
        assert figure.caption.count(number(0.5)) >= 2  # p_drop and p_keep
        vl_convert.vegalite_to_vega(figure.chart(WIDE_AND_NARROW[1]), vl_version="6.4")
    assert set(depth_knobs({**BASE, "depth_view": view})) - {""} <= {knob.name for knob in DEPTH_KNOBS}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_lines_are_the_run_and_the_dots_theory(quantity):
    settings = {"p": 0.5, "depth": 8, "weight_variance": 2.0}
    run = propagate_dropout(ACTIVATIONS["ReLU"], width=24, **settings)
    theory = depth_theory(ACTIVATIONS["ReLU"], **settings)
    (figure,) = figures("through depth", depth_quantity=quantity)
    lines = figure.data["lines"]
    inverted = list(DROPOUT_MODES).index("Inverted")

    def ratio(of):
        return np.sqrt(of[1].second / of[0].second)

    pick = {
        "second moment": lambda of, k: (of[0].second[k], of[1].second[k]),
        "variance": lambda of, k: (
            of[0].second[k] - of[0].mean[k] ** 2,
            of[1].second[k] - of[1].mean[k] ** 2,
        ),
        "mean": lambda of, k: (of[0].mean[k], of[1].mean[k]),
        "evaluation over training": lambda of, k: (ratio(of)[k], ratio(of)[k] / ratio(of)[inverted]),
    }[quantity]
    for k, mode in enumerate(DROPOUT_MODES):
        line = lines[lines["mode"] == mode]
        for side, found, exact in zip(("left", "right"), pick(run.pooled(), k), pick(theory, k), strict=True):
            if quantity == QUANTITIES[-1] and side == "right" and mode in ("No dropout", "Forgot eval()"):
                assert line[side].isna().all()
                continue
            np.testing.assert_allclose(line[side], found)
            np.testing.assert_allclose(line[f"{side}_theory"], exact)


def test_readings_hold_the_numbers_of_the_run():
    pooled = propagate_dropout(ACTIVATIONS["ReLU"], p=0.5, depth=8, width=24).pooled()
    second = [float(of.second[list(DROPOUT_MODES).index("Inverted"), -1]) for of in pooled]
    text = prose("through depth")
    for value in second:
        assert f"**{number(value)}**" in text
    assert f"theory {number(0.5 * 2**8)}" in text
    text = prose("through depth", depth_quantity=QUANTITIES[-1])
    assert f"p_keep^8 = {number(0.5**8)}" in text
    assert f"**{number(2**8)}** (theory {number(2**8)})" in text
    assert "σ_w² = 1 takes" in prose("through depth", depth_corrected=True)
    assert "odd" in prose("through depth", depth_activation="tanh", depth_quantity="mean")


def test_what_a_line_cannot_show_is_a_dot():
    (figure,) = figures("through depth", **CASES["one layer"])
    lines = figure.data["lines"]
    assert lines.left_lone[lines.shown].all()
    assert not figures("through depth")[0].data["lines"].left_lone.any()
    assert "1 layer of width" in figure.caption
    assert (
        "layer"
        not in prose("through depth", **CASES["one layer"])
        .split("Second moments of all modes")[1]
        .split(" of theory")[0]
    )


def test_a_line_that_ends_early_is_named_where_it_ends():
    case = {"p": 0.97, "depth_layers": 40}
    (figure,) = figures("through depth", **case)
    ends = figure.data["left_ends"].set_index(figure.data["left_ends"].label.astype(str))
    line = figure.data["lines"].query("mode == 'Inverted'").set_index("layer").left.dropna()
    last = int(line.index[-1])
    assert 1 <= last < 40
    end = ends.loc[f"Inverted: 0 from layer {last + 1}"]
    assert end.x == last
    assert ends.x["No dropout"] == 40
    lost = figure.data["lines"].query("mode == 'Forgot eval()'").set_index("layer").right.dropna()
    assert f"all modes up to layer {min(last, int(lost.index[-1]))} are within" in prose(
        "through depth", **case
    )


@pytest.mark.parametrize("view", ["through depth", "variants"])
def test_many_layers_tell_how_far_they_are(view):
    heard = []
    with progress.listening(lambda share, text: heard.append(share)):
        blocks(view, depth_layers=4, seed=77)
    assert heard == [0.25, 0.5, 0.75, 1.0]


def test_events_are_named():
    assert "Everything is dropped" in prose("through depth", p=1.0)
    assert "The signal is 0** in training from layer 1 on" in prose(
        "through depth", **CASES["beyond float64"]
    )


def test_a_lost_signal_is_a_gap_and_the_axis_stays():
    (figure,) = figures("through depth", p=1.0)
    lines = figure.data["lines"]
    assert lines[lines["mode"] == "Inverted"].left.isna().all()
    assert figure.data["left_ends"].set_index("label").shown.to_dict() == {
        mode: not DROPOUT_MODES[mode].masks_in_training for mode in figure.data["left_ends"].label
    }
    assert figure.data["reach"].y.is_monotonic_increasing


def test_variants_show_measured_beside_closed_form():
    points = figures("variants", p=0.4, depth_mu=2.0)[0].data["points"].set_index("variant")
    assert list(points.index) == list(DROPOUT_VARIANTS)
    for name, entry in DROPOUT_VARIANTS.items():
        for field, value in entry.moments(2.0, 1.0, 0.4)._asdict().items():
            assert points.loc[name, f"{field}_theory"] == pytest.approx(value)
            assert points.loc[name, field] == pytest.approx(value, abs=0.6)
    assert points.channel["Spatial"] == pytest.approx(4 * 0.4 / 0.6, rel=0.15)


def test_the_shift_is_drawn_for_both_orders():
    (figure,) = figures("before BatchNorm", depth_mu=0.5)
    lines = figure.data["lines"]
    before = lines[lines.order == "dropout, BatchNorm"]
    np.testing.assert_allclose(before.stored_theory, variance_shift(0.5, 1.0, before.p))
    np.testing.assert_allclose(before.stored, before.stored_theory, rtol=0.1)
    np.testing.assert_allclose(before.output * np.sqrt(before.stored_theory), 1, rtol=0.06)
    after = lines[lines.order == "BatchNorm, dropout"]
    np.testing.assert_allclose(after.output, 1, rtol=0.05)
    assert f"p_keep = {number(1 / (1 - 0.5))}" in prose("before BatchNorm", depth_mu=0.5)
    relu = 1 / math.sqrt(2 * math.pi), 0.5 - 1 / (2 * math.pi)
    assert number(float(variance_shift(*relu, 0.5))) in prose("before BatchNorm")
