"""The Batch size tab: constant specifications, rows that can be drawn, and texts with the numbers of the run."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import batchnorm, theme
from charts.batchnorm_size import (
    EXAMPLES,
    SIZE_KNOBS,
    SIZE_VIEW_KNOBS,
    SIZE_VIEWS,
)
from charts.figure import Figure
from core.batch_stream import place_probe, probe_distribution
from core.knobs import number
from core.normalization import BATCHNORM_CONVENTIONS
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
KNOBS = {knob.name: knob for knob in SIZE_KNOBS}
BASE = {knob.name: knob.default for knob in (*batchnorm.KNOBS, *SIZE_KNOBS)}
ONE, VARIANCE, SINGLE = SIZE_VIEWS

CASES = (
    {},
    {"batch_size": 1, "convention": "Keras"},
    {"batch_size": 2, "in_batch": False},
    {"gamma": 0.0, "running_var": 0.0, "size_ones": 5, "size_layers": 1, "size_example": "5"},
    {
        "probe": 50.0, "sigma": 0.1, "gamma": -5.0, "batch_size": 100, "size_layers": 50, "size_ones": 500,
        "size_example": "5, 5, 5, 5",
    },
    {"probe": 5.0, "eps": 1.0, "batch_size": 512, "beta": 5.0, "size_example": "0, 2", "running_var": 100.0},
)  # fmt: skip
every_view = pytest.mark.parametrize("view", SIZE_VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


@cache
def blocks(view, case=0):
    return SIZE_VIEWS[view]({**BASE, **CASES[case], "size_view": view})


def figure(view, case=0):
    (found,) = [block for block in blocks(view, case) if isinstance(block, Figure)]
    return found


def text(view, case=0):
    return "\n".join(block for block in blocks(view, case) if isinstance(block, str))


def test_the_knobs_name_every_view():
    assert set(SIZE_VIEWS) < set(KNOBS["size_view"].choices)
    assert set(SIZE_VIEW_KNOBS) == set(SIZE_VIEWS)
    assert {name for names in SIZE_VIEW_KNOBS.values() for name in names} == set(KNOBS) - {"size_view"}
    assert KNOBS["size_view"].parse("N or N - 1") == VARIANCE


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    for width in WIDE_AND_NARROW:
        specs = [figure(view, case).spec(width) for case in range(len(CASES))]
        assert all(spec is specs[0] for spec in specs)
        written = json.dumps(specs[0])
        assert "datasets" not in specs[0]
        assert not HEX.findall(written)
        assert len(written) < 16_000


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(WIDE_AND_NARROW[0])):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    for frame in drawn.data.values():
        assert 0 < len(frame) < 500
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
    assert set(drawn.data) == set(figure(view).data)
    assert drawn.alt == figure(view).alt
    assert "inf" not in text(view, case)
    assert "nan" not in text(view, case)


@pytest.mark.parametrize(("view", "case"), [(view, case) for view in SIZE_VIEWS for case in (0, 3)])
def test_a_figure_draws_without_a_warning(view, case):
    chart = figure(view, case).chart(WIDE_AND_NARROW[1])
    chart["config"] = theme.print_config()
    assert vl_convert.vegalite_to_png(chart, vl_version=VERSION, scale=1)[1:4] == b"PNG"


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_one_sample_says_what_was_measured(convention):
    found = SIZE_VIEWS[ONE]({**BASE, "convention": convention})
    outputs = place_probe(in_batch=True)
    exact = probe_distribution(in_batch=True, eps=1e-5)
    assert f"{number(outputs.mean())} ± {number(outputs.std(ddof=1))}" in found[2]
    assert f"exactly {number(exact.mean)} ± {number(exact.std)}" in found[2]
    factor = 1.0 if BATCHNORM_CONVENTIONS[convention].unbiased else math.sqrt(8 / 7)
    (said,) = re.findall(r"\(expected ([\d.]+)\)", found[2])
    assert float(said) == float(number(factor))
    bands = found[1].data["bands"]
    np.testing.assert_allclose(
        bands["expected"], 1 if factor == 1 else np.sqrt(bands["size"] / (bands["size"] - 1)), rtol=1e-5
    )
    scatter = found[1].data["scatter"]
    mean = scatter[scatter.name == "batch mean, in σ"]
    np.testing.assert_allclose(mean.theory, 1 / np.sqrt(mean["size"]))
    np.testing.assert_allclose(mean.y, mean.theory, rtol=0.2)


def test_outputs_without_a_spread_are_clipped_and_said():
    found = text(ONE, 2)
    beyond = int(figure(ONE, 2).data["dots"].y.isna().sum())
    assert 0 < beyond < 200
    assert f"{beyond} dots lie beyond" in found
    exact = probe_distribution(batch_size=2, eps=1e-5).std
    assert f"at N = 2 only thanks to ε, of exactly {number(exact)}" in found
    assert "beyond" not in text(ONE)


def test_epsilon_and_gamma_act_in_every_number_of_one_sample():
    found = SIZE_VIEWS[ONE]({**BASE, "eps": 1.0, "sigma": 1.0, "gamma": -2.0})
    exact = probe_distribution(sigma=1.0, eps=1.0, gamma=-2.0, in_batch=True)
    assert f"exactly {number(exact.mean)} ± {number(exact.std)}" in found[2]
    assert "|γ|√((1 + δ²/2r²)/rN)" in set(found[1].data["scatter_ends"].label)
    assert "r = 1 + ε/σ² = 2" in found[2]
    ratio = float(re.search(r"At N = 512 the exact one of the output is ([\d.]+) times", found[2])[1])
    assert ratio == pytest.approx(1, abs=0.03)
    assert "|γ|" not in text(ONE)


@pytest.mark.parametrize("view", [ONE, SINGLE])
def test_a_feature_of_the_page_that_does_not_act_is_said(view):
    said = [b for b in SIZE_VIEWS[view]({**BASE, "drift": "shift"}) if isinstance(b, str)]
    assert any("does not change, whatever" in block for block in said)
    assert "does not change, whatever" not in text(view)


def test_the_published_numbers():
    found = text(VARIANCE)
    for published in ("2.1666667", "1.85", "1.085", "0.854"):
        assert published in found
    lines = figure(VARIANCE).data["lines"]
    last = lines[(lines.layer == 20) & (lines.name == "N = 64")]
    assert float(last.scale.iloc[0]) == pytest.approx((63 / 64) ** 10, rel=1e-4)
    assert float(lines[lines.name == "Keras, ONNX"].scale.iloc[-1]) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_what_it_says(name):
    assert tuple(float(part.replace("−", "-")) for part in name.split(",")) == EXAMPLES[name]


def test_a_batch_of_one_by_hand():
    found, frame = text(SINGLE), figure(SINGLE).data["steps"]
    assert "Expected more than 1 value per channel when training, got input size torch.Size([1, 4])" in found
    assert "0/0, 50 times" in found
    ends = frame[frame.step == 50].set_index("name")
    assert ends.variance["ONNX"] == pytest.approx(0.9**50, rel=1e-12)
    assert ends.variance["Keras"] == pytest.approx(0.99**50, rel=1e-12)
    assert ends.variance["PyTorch"] == ends.variance["paper"] == 1
    assert number(3 / math.sqrt(1e-5)) in found
    assert number(3 / math.sqrt(1e-3)) in found


def test_a_running_variance_that_starts_at_zero_is_drawn():
    values = {**BASE, "size_view": SINGLE, "running_var": 0.0}
    found = SIZE_VIEWS[SINGLE](values)
    (drawn,) = [block for block in found if isinstance(block, Figure)]
    for column in ("variance", "variance_theory"):
        assert drawn.data["steps"][column].notna().any()
    assert set(drawn.data["steps"].variance) == {drawn.data["extent"].variance.min()}
    assert "lower edge" in drawn.key
    assert "lower edge" not in figure(SINGLE).key
    said = "\n".join(block for block in found if isinstance(block, str))
    assert "the start is 0 already" in said
    assert "of the start is left" not in said


def test_a_batch_of_one_tends_to_the_root_of_epsilon():
    frame = figure(SINGLE, 4).data["steps"]
    ends = frame[frame.step == 500].set_index("name")
    limit = 5 * 45 / math.sqrt(1e-5)
    assert ends.output["ONNX"] == pytest.approx(limit, rel=0.01)
    assert ends.output_theory["ONNX"] == pytest.approx(limit, rel=1e-9)
