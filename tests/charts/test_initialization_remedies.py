"""The Remedies tab: its numbers are core's, its specification is constant, and its texts say what was computed."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import initialization_remedies, progress, theme
from charts.figure import Figure
from charts.initialization_remedies import REMEDY_KNOBS, STYLES, remedy_blocks, remedy_knobs
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS
from core.knobs import number
from core.remedies import REMEDIES, backward_factor, propagate_remedied, remedied_theory
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
KNOBS = {knob.name: knob for knob in REMEDY_KNOBS}
DEFAULT = KNOBS["remedies"].default
NAMES = tuple(REMEDIES)
SETTINGS = {name: {k.name: k.default for k in entry.knobs} for name, entry in ACTIVATIONS.items()}
OWN = {name: {k.name: k.default for k in entry.knobs} for name, entry in INITIALIZERS.items()}


@cache
def blocks(
    activation="ReLU", scheme="Glorot normal", remedies=DEFAULT, depth=12, width=24, batch=32, seeds=4, seed=0,
    branch_scale=1.0, clip=1.0,
):  # fmt: skip
    return remedy_blocks(
        activation, SETTINGS[activation], scheme, OWN[scheme], remedies, depth, width, batch, seeds, seed,
        branch_scale, clip,
    )  # fmt: skip


CASES = (
    {},
    {"remedies": NAMES[5:]},
    {"remedies": NAMES[:5], "activation": "tanh", "scheme": "He uniform"},
    {"depth": 1, "remedies": NAMES[5:], "activation": "leaky ReLU"},
    {"depth": 100, "width": 16, "scheme": "N(0, 1)", "activation": "squared ReLU", "remedies": NAMES[5:]},
    {"scheme": "zeros", "remedies": ("none", "BatchNorm before", "clipping")},
    {"scheme": "constant", "seeds": 1},
    {"scheme": "identity", "activation": "step", "remedies": NAMES[1:6]},
    {"depth": 100, "width": 16, "scheme": "N(0, 0.01²)", "remedies": ("none", "clipping")},
    {"branch_scale": 0.0, "remedies": NAMES[5:9]},
)
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: ", ".join(map(str, case.values())) or "default"
)


def figure(**case):
    (found,) = [block for block in blocks(**case) if isinstance(block, Figure)]
    return found


def text(**case):
    return "\n".join(block for block in blocks(**case) if isinstance(block, str))


def pooled(rms):
    return np.sqrt(np.mean(rms**2, axis=1))


# Figure


def test_the_specification_is_constant_and_holds_no_data_or_color():
    for width in WIDE_AND_NARROW:
        specs = [figure(**case).spec(width) for case in CASES]
        assert all(spec is specs[0] for spec in specs)
        written = json.dumps(specs[0])
        assert "datasets" not in specs[0]
        assert not HEX.findall(written)
        assert len(written) < 16_000
    assert len({figure(**case).alt for case in CASES}) == 1


@every_case
def test_data_are_what_the_marks_read(case):
    drawn = figure(**case)
    units = [unit for unit in marks(drawn.spec()) if unit.data]
    assert {unit.data for unit in units} == set(drawn.data)
    for unit in units:
        assert unit.fields() <= set(drawn.data[unit.data].columns)
    for frame in drawn.data.values():
        assert len(frame)
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
            assert set(frame.dash if "dash" in frame else ()) <= set(range(len(theme.DASHES)))
    assert sum(map(len, drawn.data.values())) < 1_500
    json.dumps(drawn.chart(), allow_nan=False)


@every_case
def test_the_figure_is_drawn(case):
    for width in WIDE_AND_NARROW:
        svg = vl_convert.vegalite_to_svg(figure(**case).chart(width), vl_version=VERSION)
        assert 0.6 * width < float(re.search(r'width="([\d.]+)"', svg)[1]) < 1.15 * width
        for word in ("NaN", "Infinity", "undefined"):
            assert word not in svg


def test_every_data_set_matters():
    drawn = figure()
    whole = vl_convert.vegalite_to_svg(drawn.chart(1040), vl_version=VERSION)
    for name in drawn.data:
        chart = drawn.chart(1040)
        chart["datasets"] = {**chart["datasets"], name: []}
        assert vl_convert.vegalite_to_svg(chart, vl_version=VERSION) != whole, name


def test_lines_and_dots_are_those_of_core():
    setting = {"depth": 12, "width": 24, "batch": 32, "branch_scale": 0.5, "clip": 2.0}
    names = ("residual", "clipping", "BatchNorm before")
    chosen = [REMEDIES[name] for name in names]
    scheme = INITIALIZERS["He normal"]
    run = propagate_remedied(ACTIVATIONS["tanh"], scheme, chosen, **setting, seeds=4, seed=7)
    exact = remedied_theory(ACTIVATIONS["tanh"], scheme, chosen, **setting)
    drawn = figure(activation="tanh", scheme="He normal", remedies=names, branch_scale=0.5, clip=2.0, seed=7)
    frame = drawn.data["layers"]
    for k, name in enumerate(names):
        rows = frame[frame.name == name]
        assert list(rows.layer) == list(range(13))
        for quantity, rms, theory in (
            ("signal", run.signal_rms, exact.signal_rms),
            ("gradient", run.gradient_rms, exact.gradient_rms),
        ):
            np.testing.assert_allclose(rows[quantity], pooled(rms)[k], rtol=1e-12)
            dots = drawn.data["dots"]
            dots = dots[(dots.name == name) & dots.shown]
            np.testing.assert_allclose(dots[quantity], theory[k, dots.layer.to_numpy(int)], rtol=1e-12)
            assert len(dots) > 10
            low, high = np.quantile(rms[k], (0.1, 0.9), axis=0)
            np.testing.assert_allclose(rows[f"{quantity}_low"], low, rtol=1e-12)
            np.testing.assert_allclose(rows[f"{quantity}_high"], high, rtol=1e-12)
        assert set(rows.slot) == {STYLES[name].slot}


@every_case
def test_axes_hold_everything_that_is_drawn(case):
    data = figure(**case).data
    for quantity in ("signal", "gradient"):
        low, high = data["extent"][quantity]
        columns = [f"{quantity}{part}" for part in ("", "_low", "_high")]
        seen = np.append(data["layers"][columns].to_numpy(), data["dots"][quantity].to_numpy())
        seen = seen[np.isfinite(seen)]
        inside = (low <= seen * (1 + 1e-9)) & (seen <= high * (1 + 1e-9))
        assert inside.all() or seen.min() < 1e-300 or seen.max() > 1e300
        assert high / low > 9.9
        ends = np.sort(data["ends"][quantity].to_numpy())
        assert low * 0.999 <= ends[0]
        assert ends[-1] <= high * 1.001
        gaps = np.diff(np.log10(ends)) / np.log10(high / low)
        assert (gaps > 0.0899).all(), "labels of two lines would touch"


def test_every_remedy_has_a_style_of_its_own():
    assert set(STYLES) == set(REMEDIES)
    assert len(set(STYLES.values())) == len(STYLES)


def test_a_label_breaks_between_words():
    labels = set(figure().data["ends"].label) | set(figure(remedies=NAMES[5:]).data["ends"].label)
    assert "residual +\nBatchNorm" in labels
    assert {label.replace("\n", " ") for label in labels} <= set(NAMES)
    assert max(len(line) for label in labels for line in label.split("\n")) <= 12


def test_remedies_have_hues_that_the_default_schemes_of_the_page_leave_free():
    taken = {theme.SLOTS[hue] for hue in ("vermilion", "blue", "green", "purple", "ochre")}
    assert not taken & {style.slot for style in STYLES.values()}


@every_case
def test_every_axis_has_a_value_it_can_show(case):
    # An axis over nothing makes Vega complain of an infinite extent.
    data = figure(**case).data
    for quantity in ("signal", "gradient"):
        for name in ("layers", "dots", "extent"):
            assert (data[name][quantity] > 0).any(), name


# Texts


def row(name, **case):
    (line,) = [line for line in text(**case).split("\n") if line.startswith(f"| **{name}** |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_a_first_layer_unlike_the_others_is_said_by_itself():
    setting = {"depth": 12, "width": 24, "batch": 32}
    remedy = [REMEDIES["LayerNorm before"]]
    run = propagate_remedied(
        ACTIVATIONS["ReLU"], INITIALIZERS["Glorot normal"], remedy, **setting, seeds=4, seed=0
    )
    signal, gradient = pooled(run.signal_rms)[0], pooled(run.gradient_rms)[0]
    cells = row("LayerNorm before")
    first = f"×{number(signal[1] / signal[0])} ({number(math.sqrt(0.5))})"
    assert cells[0].startswith(f"{first}, then ")
    rest = number((gradient[1] / gradient[12]) ** (1 / 11))
    assert cells[2] == f"{rest} (1.00), then ×{number(gradient[0] / gradient[1])} ({number(math.sqrt(0.5))})"
    assert row("LayerNorm before", depth=50, width=64, batch=64, seeds=10)[0].endswith(", then level")
    assert "then" not in " ".join(row("residual"))


def test_the_line_that_is_furthest_from_theory_is_named():
    said = text(depth=50, width=64, batch=64, seeds=10)
    found = re.search(
        r"to ([\d.]+) times theory, furthest the gradient of LayerNorm before, (\S+) against 0.707", said
    )
    assert float(found[2]) / math.sqrt(0.5) == pytest.approx(float(found[1]), rel=0.01)
    assert "depth / width is 0.781" in said
    assert f"over 50 layers, measured ×{found[2]}." in said


def test_the_table_has_measurement_and_theory():
    setting = {"depth": 12, "width": 24, "batch": 32}
    run = propagate_remedied(
        ACTIVATIONS["ReLU"], INITIALIZERS["Glorot normal"], [REMEDIES["residual"]], **setting, seeds=4, seed=0
    )
    exact = remedied_theory(
        ACTIVATIONS["ReLU"], INITIALIZERS["Glorot normal"], [REMEDIES["residual"]], **setting
    )
    end, first = pooled(run.signal_rms)[0, [-1, 0]]
    (line,) = [line for line in text().split("\n") if line.startswith("| **residual** |")]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells[0] == f"{number((end / first) ** (1 / 12))} ({number(math.sqrt(1.5))})"
    assert cells[1] == f"{number(end)} ({number(1.5**6)})"
    assert cells[3] == f"{number(pooled(run.gradient_rms)[0, 0])} ({number(exact.gradient_rms[0, 0])})"
    assert cells[4] == "never"


def test_the_sentence_on_batchnorm():
    said = text(depth=10, width=64, batch=64)
    here = backward_factor(ACTIVATIONS["ReLU"], REMEDIES["BatchNorm before"], sigma_w=1.0, batch=64)
    assert r"\mathrm E\,\varphi'^2 / \mathrm{Var}\,\varphi = 1.467$" in said
    assert f"in one of 64 by {number(here, 4)}. Measured: 1." in said
    assert "×1.21 a layer" in said
    assert "the gradient grows toward the first layer" in said


def test_the_sentence_on_residual_connections():
    said = text()
    assert r"1 + \alpha^2\sigma_w^2\,\mathrm E\,\varphi^2/q = 1.5$" in said
    tamed = number((1 + 0.5 / 12) ** 6)
    twice = number((1 + 0.5 / 24) ** 12)
    assert rf"\alpha = 1/\sqrt L = {number(1 / math.sqrt(12))}$ it is ×{tamed} and ×{tamed}" in said
    assert f"×{twice} and ×{twice}." in said


def test_the_sentence_on_a_normalized_branch():
    # ReLU with LayerNorm: the gradient's rms is √(1 + L/2) with Glorot's weights.
    said = text(remedies=("residual + LayerNorm",))
    small, large = math.sqrt(7), math.sqrt(13)
    assert f"×{number(small)} over 12 layers, and ×{number(large)} over twice as many" in said
    assert f"×{number(large / small)} for the doubling" in said


def test_the_sentence_on_clipping():
    loud = {"remedies": ("none", "clipping"), "scheme": "N(0, 1)", "depth": 6}
    said = text(**loud)
    assert "in 4 of 4 networks" in said
    frame = figure(**loud).data["layers"]
    assert frame[frame.name == "clipping"].gradient.max() < 1
    quiet = text(**{**loud, "clip": 1e9})
    assert "leaves it alone" in quiet
    assert "of 4 networks" not in quiet
    ratio = r"the rms at layer 0 is ([\de.]+) times that at the top"
    assert re.search(ratio, said)[1] == re.search(ratio, quiet)[1]


def test_what_leaves_float64_is_said():
    case = CASES[4]
    said = text(**case)
    assert re.search(r"signal at layer \d+, float64 at \d+", said)
    assert "in theory too the signal leaves float64, at layer" in said


def test_weights_without_a_theory():
    for scheme in ("constant", "identity"):
        said = text(scheme=scheme)
        assert f"The weights of {scheme} are not independent with mean 0" in said
        dots = figure(scheme=scheme).data["dots"]
        assert dots[dots.shown][["signal", "gradient"]].isna().all(axis=None)
    assert "weights of 0 leave nothing to normalize" in text(**CASES[5])


@every_case
def test_texts_are_whole(case):
    for block in blocks(**case):
        if isinstance(block, str):
            assert block.count("$") % 2 == 0
            assert "e+" not in block
            assert "  " not in block.replace("|  |", "")
            assert "!" not in block
            assert not re.search(r"\bnan\b|\binf\b", block)


def test_the_caption_states_every_parameter():
    base = {"activation": "leaky ReLU", "scheme": "custom", "remedies": ("residual", "clipping")}
    changes = (
        {"activation": "ELU"}, {"scheme": "sparse"}, {"remedies": ("clipping", "residual")}, {"depth": 13}, {"width": 25},
        {"batch": 33}, {"seeds": 5}, {"seed": 1}, {"branch_scale": 0.25}, {"clip": 3.0},
    )  # fmt: skip
    captions = {figure(**{**base, **change}).caption for change in ({}, *changes)}
    assert len(captions) == len(changes) + 1
    assert "custom (g 1), leaky ReLU (" in figure(**base).caption


def test_what_acts_on_no_remedy_is_neither_said_nor_computed():
    one, other = (
        remedy_blocks("ReLU", {}, "He normal", {}, ("none",), 5, 16, 32, 2, 0, alpha, clip)
        for alpha, clip in ((1.0, 1.0), (0.5, 0.1))
    )
    assert one[0].caption == other[0].caption
    assert "branch scale" not in one[0].caption
    assert one[1:] == other[1:]


# Sizes


def test_a_large_setting_is_cut_and_said(monkeypatch):
    monkeypatch.setattr(initialization_remedies, "_WEIGHTS", 5_000)
    monkeypatch.setattr(initialization_remedies, "_WORK", 1_000_000)
    found = remedy_blocks("ReLU", {}, "He normal", {}, ("none", "residual"), 5, 200, 32, 20, 3, 1.0, 1.0)
    wide, few = re.search(r"width (\d+), batch 32, (\d+) networks", found[0].caption).groups()
    assert int(wide) == math.isqrt(1_000)
    assert 1 <= int(few) < 20
    assert f"The width is {wide} here instead of 200" in found[1]
    assert f"Networks drawn: {few} instead of 20" in found[1]
    assert "instead of" not in text()


def test_a_long_run_tells_how_far_it_is(monkeypatch):
    def told(seed):
        found = []
        with progress.listening(lambda share, said: found.append((share, said))):
            remedy_blocks("ReLU", {}, "He normal", {}, ("none", "residual"), 5, 16, 32, 2, seed, 1.0, 1.0)
        return found

    assert told(41) == []
    monkeypatch.setattr(initialization_remedies, "_TOLD", 0)
    assert told(42) == [(0.5, "1 of 2 passes"), (1.0, "2 of 2 passes")]


def test_numbers_of_remedies():
    assert blocks(remedies=()) == ["Choose at least one remedy."]
    with pytest.raises(ValueError, match="6 remedies: at most 5"):
        blocks(remedies=NAMES[:6])


def test_controls_follow_the_remedies():
    assert remedy_knobs({"remedies": ("none",)}) == ("remedies", "remedy_scheme", "remedy_batch")
    assert remedy_knobs({"remedies": DEFAULT})[3:] == ("branch_scale",)
    assert remedy_knobs({"remedies": ("clipping", "LayerNorm of the sum")})[3:] == (
        "branch_scale",
        "clip_norm",
    )
    assert set(remedy_knobs({"remedies": NAMES})) == set(KNOBS)
    assert KNOBS["remedies"].check(["PRE-norm"]) == ("residual + LayerNorm",)
