"""The Family tab of the BatchNorm page: its figures against the registry, closed forms and the rules of a figure."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.batchnorm import KNOBS
from charts.batchnorm_family import FAMILY_KNOBS, STYLES, VIEWS, family_blocks, family_click, family_knobs
from charts.figure import Figure
from core.knobs import number
from core.normalizers import NORMALIZERS, TREATMENTS
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

BASE = {knob.name: knob.default for knob in (*KNOBS, *FAMILY_KNOBS)}
every_view = pytest.mark.parametrize("view", VIEWS)
every = pytest.mark.parametrize("name", NORMALIZERS)
HARD = {
    "family_norm": "GroupNorm", "family_groups": "6", "family_sample": 4, "family_channel": 6, "family_position": 3,
    "gamma": -5.0, "beta": -5.0, "eps": 1.0, "seed": 9999, "input_mean": 3.0, "input_ratio": 10.0,
    "input_correlation": 0.95,
}  # fmt: skip
EASY = {
    "family_groups": "1",
    "gamma": 0.0,
    "eps": 1e-12,
    "input_mean": 0.0,
    "input_ratio": 1.0,
    "input_correlation": 0.0,
}


def blocks(view, **values):
    return family_blocks({**BASE, "family_view": view, **values})


def figure(view, **values):
    found = [block for block in blocks(view, **values) if isinstance(block, Figure)]
    assert len(found) == 1
    return found[0]


def prose(view, **values):
    return "\n".join(block for block in blocks(view, **values) if isinstance(block, str))


@every_view
@pytest.mark.parametrize("values", [{}, HARD, EASY], ids=["default", "hard", "easy"])
def test_figures_keep_the_rules(view, values):
    drawn = figure(view, **values)
    for width in WIDE_AND_NARROW:
        spec = drawn.spec(width)
        assert spec is figure(view).spec(width)
        text = json.dumps(spec)
        assert not HEX.findall(text)
        assert {unit.data for unit in marks(spec)} == set(drawn.data)
        for unit in marks(spec):
            assert unit.fields() <= set(drawn.data[unit.data].columns), unit.data
            for channel in ("color", "fill", "stroke"):
                assert channel not in unit.encoding or {"field", "datum"} & set(unit.encoding[channel])
    for name, frame in drawn.data.items():
        assert 0 < len(frame) <= 1_000
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any(), name
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
    assert drawn.alt == figure(view).alt
    assert "nan" not in prose(view, **values).lower()
    assert "inf" not in prose(view, **values).lower()


@every_view
@pytest.mark.parametrize("width", WIDE_AND_NARROW)
def test_figures_fit_the_column(view, width):
    drawn = vl_convert.vegalite_to_svg(figure(view).chart(width), vl_version="6.4")
    assert 0.6 * width < float(re.search(r'width="([\d.]+)"', drawn)[1]) <= width + 2
    drawn = re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", drawn)
    assert not re.search("NaN|Infinity|undefined", drawn)


@every_view
def test_controls_are_knobs_of_the_tab(view):
    names = family_knobs({**BASE, "family_view": view})
    assert names[0] == "family_view"
    assert set(names) <= {knob.name for knob in FAMILY_KNOBS}
    for name in names[1:]:  # each does something here
        knob = next(knob for knob in FAMILY_KNOBS if knob.name == name)
        other = next(
            v
            for v in (*knob.choices, knob.low, knob.high)
            if v != knob.default and v not in (np.inf, -np.inf)
        )
        there, here = figure(view, **{name: knob.check(other)}), figure(view)
        assert any(not there.data[k].equals(here.data[k]) for k in here.data), name


def test_every_knob_is_shown_somewhere():
    shown = {name for view in VIEWS for name in family_knobs({**BASE, "family_view": view})}
    assert shown == {knob.name for knob in FAMILY_KNOBS}
    assert not shown & {knob.name for knob in KNOBS}


# Who shares

SAME = {  # the axes of (sample, channel, position) on which a cell agrees with those it shares with
    "BatchNorm": ("c",),
    "LayerNorm": ("n",),
    "LayerNorm (channels)": ("n", "l"),
    "InstanceNorm": ("n", "c"),
    "RMSNorm": ("n", "l"),
    "WeightNorm": ("c",),
    "cosine": ("n", "l"),  # by the length of its input; by that of its weights the channel besides
}


@every
def test_the_marked_set_is_the_one_that_shares(name):
    values = {
        "family_norm": name,
        "family_groups": "3",
        "family_sample": 3,
        "family_channel": 5,
        "family_position": 1,
    }
    cells = figure(VIEWS[0], **values).data["cells"]
    place = list(NORMALIZERS).index(name)
    for drawn in (place, len(NORMALIZERS), len(NORMALIZERS) + 1):
        mine = cells[cells.place == drawn]
        marked = {"n": 2, "c": 4, "l": 0}
        if name == "GroupNorm":  # channels 5 and 6, of the third pair
            expected = (mine.n == 2) & (mine.c // 2 == 2)
        else:
            expected = np.logical_and.reduce([mine[axis] == marked[axis] for axis in SAME[name]])
        if name == "cosine":
            expected |= mine.c == marked["c"]
            assert (mine.row == mine.channel).all()
        else:
            assert (mine.row == 0).all()
        assert (mine.start == expected).all()
        assert mine.here.sum() == 1
        assert mine[mine.here][["n", "c", "l"]].iloc[0].tolist() == [2, 4, 0]
        # What the mouse does: cells that share with the pointed one have its number in the column of this panel.
        assert (mine.mine == mine[f"g{place}"]).all()


@every
def test_the_arithmetic_of_every_cell_ends_in_its_output(name):
    drawn = figure(VIEWS[0], family_norm=name, gamma=2.0, beta=-0.5)
    cells, sums = drawn.data["cells"], drawn.data["sums"]
    before, after = (cells[cells.place == len(NORMALIZERS) + k].value.to_numpy() for k in (0, 1))
    for cell in range(0, len(sums), 7):
        row = sums.iloc[cell]
        assert row.line0.endswith(f"z = {number(float(before[cell]))}")
        assert row.line3.rsplit("= ", 1)[-1] == number(float(after[cell]))
    assert sums.here.sum() == 1
    entry = NORMALIZERS[name]
    assert all(("mean" in line) == (entry.statistic is not None) for line in sums.line1)
    assert ("2 ·" in sums.line3.iloc[0]) == bool(entry.gain)
    assert ("− 0.5" in sums.line3.iloc[0]) == entry.offset


def test_the_arithmetic_of_one_cell_by_hand():
    drawn = figure(VIEWS[0], eps=1.0)
    cells = drawn.data["cells"]
    z = cells[cells.place == len(NORMALIZERS)]
    channel = z[z.c == 2].value.to_numpy(float)
    mean, var = channel.mean(), channel.var()
    row = drawn.data["sums"][drawn.data["sums"].here].iloc[0]
    assert row.line1 == f"12 values have mean {number(mean)} and variance {number(var)}."
    value = float(z[z.here].value.iloc[0])
    assert row.line2.endswith(f"/ √({number(var)} + 1) = {number((value - mean) / np.sqrt(var + 1))}")


def test_a_click_names_a_cell():
    point = {"sample": 4, "channel": 1, "position": 3}
    assert family_click(point) == {"family_sample": 4, "family_channel": 1, "family_position": 3}
    for name, value in family_click(point).items():
        assert next(knob for knob in FAMILY_KNOBS if knob.name == name).check(value) == value
    assert family_click({"sample": None}) == {}
    assert family_click({}) == {}


# Invariances


def test_the_table_says_what_is_unchanged():
    results = figure(VIEWS[1]).data["results"]
    assert len(results) == 9 * 11
    kept = {
        (row.name_, row.change) for row in results.rename(columns={"name": "name_"}).itertuples() if row.same
    }
    assert ("BatchNorm", "one unit's weights × 10") in kept
    assert ("LayerNorm", "one unit's weights × 10") not in kept
    assert ("WeightNorm", "all inputs × 10") not in kept
    assert ("BatchNorm", "the other samples drawn anew") not in kept
    plain = results[(results.name == "none") & (results.change == "all inputs × 10")].iloc[0]
    assert plain.written == "9"  # ten times as large
    assert set(results[results.same].written) == {"unchanged"}
    assert "only under BatchNorm" in prose(VIEWS[1])


def test_epsilon_is_told_apart():
    small, large = (prose(VIEWS[1], eps=eps) for eps in (1e-12, 1.0))
    assert "ε = 1e−12" in small
    assert "ε = 1 " in large
    assert "No ε" in prose(VIEWS[1], family_norm="cosine")


# Weight scale


def test_lines_fall_as_the_scale_where_they_should():
    drawn = figure(VIEWS[2], eps=1e-12)
    lines, ends = drawn.data["lines"], drawn.data["ends"]
    for name in NORMALIZERS:
        mine = lines[lines.name == name]
        np.testing.assert_allclose(mine.every * mine.a, 1.0, rtol=1e-9)
    units = {
        n
        for n in NORMALIZERS
        if np.allclose(lines[lines.name == n].unit * lines[lines.name == n].a, 1, rtol=1e-6)
    }
    assert units == {"BatchNorm", "InstanceNorm", "WeightNorm", "cosine"}
    assert set(ends[ends.panel == "every"].label) == {"none", "every normalization"}
    named = ", ".join(ends[ends.panel == "unit"].label)
    assert all(name in named for name in STYLES)
    theory = drawn.data["theory"]
    np.testing.assert_allclose(theory.every * theory.a, 1.0)
    assert "to rounding" not in prose(VIEWS[2], eps=1e-5)
    assert "to rounding" in prose(VIEWS[2], family_norm="WeightNorm")


def test_epsilon_parts_the_lines_and_their_labels():
    drawn = figure(VIEWS[2], eps=1.0)
    lines = drawn.data["lines"]
    first = lines[(lines.name == "BatchNorm")].iloc[0]
    assert first.a == pytest.approx(0.1)
    assert first.every < 8.0  # far below 1/a: ε rules small weights
    text = prose(VIEWS[2], eps=1.0)
    assert "ε this large breaks the right angle" in text
    assert "makes them longer" not in text
    off = float(np.max(np.abs(lines[lines.name == "BatchNorm"].pipe(lambda mine: mine.every * mine.a) - 1)))
    assert f"off by up to {number(off, 2)}" in text
    assert "0 but for ε, and a plain step" in prose(VIEWS[2], eps=1e-5)


# Inputs


def test_inputs_and_their_condition():
    values = {"input_mean": 2.0, "input_ratio": 4.0, "input_correlation": 0.6}
    drawn = figure(VIEWS[3], **values)
    points = drawn.data["points"]
    raw = points[points.treatment == 0]
    assert raw.u.mean() == pytest.approx(2.0)
    assert raw.v.std(ddof=0) == pytest.approx(4.0)
    names = drawn.data["names"]
    assert list(names.name) == list(TREATMENTS)
    second = np.array([[1 + 4, 2.4 + 4, 2], [2.4 + 4, 16 + 4, 2], [2, 2, 1]])  # E[(x, 1)(x, 1)ᵀ] by hand
    assert names.note.iloc[0] == f"condition {number(float(np.linalg.cond(second)))}"
    assert names.note.iloc[3] == "condition 4"  # (1 + ρ)/(1 − ρ)
    assert names.note.iloc[4] == "condition 1"
    for treatment, extent in drawn.data["extents"].groupby("treatment"):
        mine = points[points.treatment == treatment]
        assert extent.u.max() > mine[["u", "v"]].abs().max().max()
        assert extent.u.max() == extent.v.max()
    assert "standard deviations of 1 and 0.25" in prose(VIEWS[3], **values)


def test_a_curve_ends_where_it_crosses_the_floor():
    losses = figure(VIEWS[3]).data["losses"]
    for name, mine in losses.groupby("name", observed=True):
        shown = mine[mine.loss.notna()]
        assert (np.diff(shown.loss) < 0).all()
        assert shown.loss.min() >= 0.999e-9 * shown.loss.max()
        assert (np.diff(shown.step) > 0).all()
        dotted = mine[mine.theory.notna()]
        if name == "raw":
            np.testing.assert_allclose(dotted.loss, dotted.theory, rtol=1e-9)
            assert len(shown) == 101
    whitened = losses[(losses.name == "whitened") & losses.loss.notna()]
    assert 0 < whitened.step.max() < 1  # one step does it


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"input_mean": 3.0, "input_ratio": 10.0},
        {"input_mean": 0.0, "input_ratio": 1.0, "input_correlation": 0.0},
    ],
)
def test_every_curve_is_named_at_its_own_end(values):
    data = figure(VIEWS[3], **values).data
    rows = []
    for name, mine in data["losses"].groupby("name", observed=True):
        last = mine[mine.loss.notna()].iloc[-1]
        (label,) = (row for row in data["ends"].itertuples() if name in (row.early, row.late, row.beyond))
        assert label.slot == last.slot
        assert label.step == last.step
        if last.step == 100 and last.loss > 1.001e-9 * mine.loss.max():
            assert label.beyond == name
        else:
            assert label.y < last.loss  # below the floor, where no curve passes
            assert (label.early == name) == (last.step <= 50)
            begin = label.step if label.early == name else label.step - 3 * len(name)
            rows.append((round(np.log10(label.y), 6), begin, begin + 3 * len(name)))
    rows.sort()
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(rows))


def test_the_example_of_own_statistics_is_written_out():
    text = prose(VIEWS[3])
    assert "90% of the second class, seed 0: 97.8% are right" in text
    assert "(in theory 97.7%)" in text  # Φ(2)
    assert "to 0.8 (in theory 69.0%)" in text  # 0.9·Φ(0.4) + 0.1·Φ(3.6)
