"""The figure's own tools: labels kept apart, frames, bins, ghosts."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charts.figure import Figure, Frame, beside, bins, blank, first_row, rows, spread
from core.kept import weigh
from ui.figure import table

HUGE = 1e6
ROOT = Path(__file__).parents[2]
positions = st.lists(st.floats(-HUGE, HUGE), min_size=0, max_size=12)


def interval(low, length):
    return low, low + length


@given(positions, st.floats(0, 100), st.floats(-HUGE, HUGE), st.floats(0, HUGE))
def test_labels_keep_gap_order_and_bounds(wanted, gap, low, length):
    low, high = interval(low, length)
    wanted = np.array(wanted)
    placed = spread(wanted, gap, low, high)
    slack = 1e-9 * (1 + abs(low) + abs(high))
    assert placed.shape == wanted.shape
    assert np.all(placed >= low - slack)
    assert np.all(placed <= high + slack)
    if len(wanted) > 1:
        fitting = min(gap, (high - low) / (len(wanted) - 1))
        order = np.argsort(np.clip(wanted, low, high), kind="stable")
        assert np.all(np.diff(placed[order]) >= fitting - slack)


@given(positions, st.floats(0, 100), st.floats(-HUGE, HUGE), st.floats(1, HUGE))
def test_labels_that_are_apart_stay(wanted, gap, low, length):
    low, high = interval(low, length)
    wanted = np.unique(np.clip(np.array(wanted), low, high))
    kept = [p for i, p in enumerate(wanted) if i == 0 or p - wanted[i - 1] >= gap]
    if len(kept) > 1 and np.min(np.diff(kept)) < gap:
        return  # dropping a label has brought two others together
    placed = spread(np.array(kept), gap, low, high)
    np.testing.assert_allclose(placed, kept, rtol=0, atol=1e-9 * (1 + abs(low) + abs(high)))


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=7),
    st.lists(st.floats(0, 1), min_size=2, max_size=7),
    st.floats(0, 0.3),
)
def test_no_other_placement_moves_the_labels_less(wanted, rivals, gap):
    n = min(len(wanted), len(rivals))
    wanted, rivals = np.array(wanted[:n]), np.sort(rivals[:n])
    gap = min(gap, 1 / (n - 1))
    placed = spread(wanted, gap, 0.0, 1.0)
    assert np.all(np.diff(placed[np.argsort(wanted, kind="stable")]) >= gap - 1e-12)
    # Any placement that keeps order, gap and bounds is sorted numbers in what the gaps leave, plus the gaps.
    rival = np.empty(n)
    rival[np.argsort(wanted, kind="stable")] = rivals * (1 - gap * (n - 1)) + gap * np.arange(n)
    assert np.sum((placed - wanted) ** 2) <= np.sum((rival - wanted) ** 2) + 1e-9


@given(positions, st.floats(0, 100), st.permutations(range(12)))
def test_the_order_of_the_input_does_not_matter(wanted, gap, shuffle):
    wanted = np.unique(np.array(wanted))
    shuffled = [i for i in shuffle if i < len(wanted)]
    placed = spread(wanted, gap, -HUGE, HUGE)
    np.testing.assert_array_equal(spread(wanted[shuffled], gap, -HUGE, HUGE), placed[shuffled])


def test_labels_by_hand():
    np.testing.assert_allclose(spread(np.array([0.5, 0.5]), 0.2, 0, 1), [0.4, 0.6])
    np.testing.assert_allclose(spread(np.array([1.0, 1.0, 0.0]), 0.2, 0, 1), [0.8, 1.0, 0.0])
    np.testing.assert_allclose(spread(np.array([0.9, 0.1]), 0.2, 0, 1), [0.9, 0.1])
    np.testing.assert_allclose(spread(np.array([3.0, 3.0, 3.0]), 10, 0, 1), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(spread(np.array([-4.0]), 1, 0, 1), [0.0])
    assert spread(np.array([]), 1, 0, 1).shape == (0,)


def test_labels_of_lines_that_are_gone():
    placed = spread(np.array([np.nan, np.inf, -np.inf, 0.5]), 0.1, 0.0, 1.0)
    assert placed[1] == 1.0
    assert placed[0] == pytest.approx(0.0)
    assert placed[2] == pytest.approx(0.1)
    assert placed[3] == 0.5


def test_labels_do_not_change_their_input():
    wanted = np.array([0.5, 0.5, np.nan])
    spread(wanted, 0.3, 0, 1)
    np.testing.assert_array_equal(wanted, [0.5, 0.5, np.nan])


def test_rows_repeat_scalars_and_make_text_categorical():
    frame = rows(x=np.array([1.0, 2.0]), name="a", slot=np.int8(3), on=np.array([True, False]))
    assert list(frame.columns) == ["x", "name", "slot", "on"]
    assert list(frame["name"]) == ["a", "a"]
    assert isinstance(frame["name"].dtype, pd.CategoricalDtype)
    assert frame.x.dtype == np.float64
    assert frame.on.dtype == bool


CELLS = {
    "number": st.floats(allow_nan=False, width=32) | st.integers(-9, 9),
    "small": st.builds(np.int8, st.integers(-9, 9)),
    "flag": st.booleans(),
    "text": st.sampled_from(["", "b", "B", "a b", "é", "10", "9"]),
}


@st.composite
def part(draw):
    """Draw some rows: each column a scalar, or a list or an array of one length."""
    length = draw(st.integers(1, 12))
    found = {}
    for name, cell in CELLS.items():
        form = draw(st.sampled_from([list, tuple, np.array, None]))
        found[name] = (
            draw(cell) if form is None else form(draw(st.lists(cell, min_size=length, max_size=length)))
        )
    return found


@settings(max_examples=25)
@given(st.lists(part(), min_size=1, max_size=4))
def test_rows_stack_their_parts_as_pandas_does(parts):
    frame = rows(*parts)
    one_by_one = [
        pd.DataFrame(p if any(map(np.ndim, p.values())) else {k: [v] for k, v in p.items()}) for p in parts
    ]
    truth = pd.concat(one_by_one, ignore_index=True)
    labels = sorted(set(truth.text))
    assert list(frame.text.cat.categories) == labels
    np.testing.assert_array_equal(frame.text.cat.codes, [labels.index(each) for each in truth.text])
    for name in ("number", "small", "flag"):
        assert frame[name].dtype.kind == np.concatenate([np.atleast_1d(p[name]) for p in parts]).dtype.kind
        np.testing.assert_array_equal(frame[name], truth[name])
    assert frame.equals(pd.DataFrame({name: frame[name] for name in frame}))
    assert table(frame).to_pylist() == truth[list(CELLS)].to_dict("records")


def test_rows_refuse_columns_of_different_lengths():
    with pytest.raises(ValueError, match="y has shape"):
        rows(x=[1.0, 2.0], y=[1.0])
    with pytest.raises(ValueError, match="name has shape"):
        rows(x=[1.0, 2.0, 3.0], name=["a", "b"])


def test_many_labels_and_none():
    names = [f"{k:03}" for k in range(300)]
    frame = rows(name=names[::-1], x=range(300))
    assert list(frame.name) == names[::-1]
    assert list(frame.name.cat.categories) == names
    assert frame.name.cat.codes.dtype == np.int16
    assert rows(x=np.array([]), name=np.array([], str)).shape == (0, 2)


def test_rows_refuse_what_a_figure_cannot_show():
    with pytest.raises(TypeError, match="when holds datetime64"):
        rows(when=np.array(["2026-01-01"], "datetime64[D]"))
    with pytest.raises(TypeError, match="name holds texts"):
        rows(name=["a"]).numbers("name")


def test_the_browser_gets_what_the_columns_hold():
    frame = rows(
        x=np.array([3.0, np.nan, -np.inf, 1e-300]),
        small=np.array([1, -2, 3, 4], np.int8),
        single=np.array([0.1, np.nan, 2.0, np.inf], np.float32),
        on=np.array([True, False, True, True]),
        name=["b", "é", "", "b"],
    )
    sent = table(frame)
    truth = pa.Table.from_pandas(frame.pandas, preserve_index=False)
    for column in frame:
        assert sent[column].to_pylist() == truth[column].to_pylist(), column
        assert sent[column].null_count == truth[column].null_count
        if column != "name":
            assert sent[column].type == truth[column].type
    table(rows(x=np.array([]), name=np.array([], str), on=np.array([], bool))).validate(full=True)
    apart = Frame({"x": np.arange(8.0)[::2], "on": (np.arange(8) % 3 == 0)[::-2]})
    assert table(apart).to_pydict() == {"x": [0.0, 2.0, 4.0, 6.0], "on": [False, False, True, False]}
    long = rows(name=np.array([f"{k} ü" for k in range(300)]), on=np.arange(300) % 3 == 0)
    sent = table(long)
    sent.validate(full=True)
    assert sent["name"].to_pylist() == list(long["name"])
    assert sent["on"].to_pylist() == list(long["on"])


@settings(max_examples=50)
@given(st.lists(st.floats() | st.just(np.nan), max_size=40), st.sampled_from([np.float64, np.float32]))
def test_a_missing_number_is_null_for_the_browser(cells, kind):
    with np.errstate(over="ignore"):
        column = np.array(cells, kind)
    sent = table(rows(x=column))
    sent.validate(full=True)
    assert sent.equals(pa.table({"x": pa.array(column, from_pandas=True)}))


def test_pandas_puts_a_frame_together_when_it_is_asked():
    frame = rows(x=np.array([3.0, np.nan]), name=["b", "a"], shown=[True, True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Frame, "pandas", property(lambda _: pytest.fail("asked")))
        table(frame), blank(frame), beside(frame, y=1.0), weigh(frame), _figure(data={"lines": frame}).chart()
        assert frame.shape == (2, 3)
        assert list(frame) == ["x", "name", "shown"]
        assert "name" in frame
        assert len(frame) == 2
        assert frame.numbers("x")[0] == 3.0
    assert frame.pandas is frame.pandas
    assert frame.x.isna().tolist() == [False, True]
    assert repr(frame) == repr(frame.pandas)
    assert not hasattr(frame, "y")
    assert copy.deepcopy(frame).equals(frame)
    assert pickle.loads(pickle.dumps(frame)).equals(frame.pandas)
    assert not frame.equals(beside(frame, x=1.0))


def test_what_lies_at_the_bottom_is_said_and_not_looked_for_forever(monkeypatch):
    def missing(_):
        raise AttributeError("gone")

    monkeypatch.setattr("charts.figure._built", missing)
    with pytest.raises(AttributeError):
        rows(x=[1.0]).x  # noqa: B018
    with pytest.raises(AttributeError):
        repr(Frame.__new__(Frame))
    with pytest.raises(AttributeError):
        rows(x=[1.0]).y = 2.0


def test_columns_are_read_only_and_weigh_what_they_hold():
    frame = rows(x=np.zeros(10_000), name=["x" * 500, "y" * 500] * 5_000)
    for column in (frame.numbers("x"), frame.made["name"].codes):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1
    assert 91_000 <= weigh(frame) <= 91_200


def test_a_first_visit_needs_no_pandas():
    script = """
import sys
from charts.figure import WIDE
from charts.topics import TOPICS
from ui import figure, page, server
for topic in TOPICS.values():
    view = topic.view(topic.defaults())
    figure.prepare(view.figure, WIDE)
    view.reading, view.why, view.events
print([name for name in sys.modules if name == "pandas" or name.startswith("pandas.")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_blank_is_the_first_row_hidden():
    frame = rows(x=np.array([3.0, np.nan]), name=["b", "a"], shown=[True, True])
    assert blank(frame).equals(frame.iloc[:1].assign(shown=False))
    assert blank(rows(x=[1.0, 2.0])).equals(rows(x=[1.0]))
    assert len(blank(rows(x=np.array([])))) == 0
    assert first_row(frame, ("name",)).equals(frame[["name"]].iloc[:1])
    with pytest.raises(KeyError, match="other"):
        first_row(frame, ("x", "other"))


def test_columns_are_put_beside_others():
    frame = rows(x=np.array([3.0, 1.0]), name=["b", "a"])
    found = beside(frame, x=[5.0, 6.0], on=True, word="c")
    assert found.pandas.astype(object).to_dict("list") == {
        "x": [5.0, 6.0], "name": ["b", "a"], "on": [True, True], "word": ["c", "c"],
    }  # fmt: skip
    assert frame.x.tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="y has shape"):
        beside(frame, y=[1.0])


@pytest.mark.parametrize("count", [1, 4, 200])
def test_text_is_sent_in_the_shorter_way(count):
    def size(sent):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, sent.schema) as writer:
            writer.write_table(sent)
        return sink.getvalue().size

    frame = rows(name=["batch norm", "none"] * count, x=1.0)
    sent = table(frame)
    plain = sent.set_column(0, "name", sent["name"].cast(pa.string()))
    coded = sent.set_column(0, "name", plain["name"].dictionary_encode())
    assert size(sent) <= size(plain)
    assert size(sent) <= size(coded)
    assert sent["name"].to_pylist() == list(frame.name)


@given(st.lists(st.floats(-2, 3) | st.just(np.nan) | st.just(np.inf), max_size=60), st.integers(1, 30))
def test_bins_count_every_finite_value_in_range(values, count):
    values = np.array(values, float)
    low, high, counts = bins(values, -1.0, 2.0, count)
    assert low.shape == high.shape == counts.shape == (count,)
    np.testing.assert_allclose(high - low, 3 / count)
    np.testing.assert_array_equal(low[1:], high[:-1])
    assert counts.sum() == np.sum(np.isfinite(values) & (values >= -1) & (values <= 2))
    assert (low[0], high[-1]) == (-1.0, 2.0)


def _figure(**changes):
    frames = {"lines": rows(x=[1.0, 2.0], y=[3.0, np.nan]), "other": rows(x=[0.0])}
    given = {
        "name": "test/lines", "build": lambda width: {"width": width}, "data": frames, "title": "", "caption": "",
        "alt": "", "ghosts": {"ghost": "lines"},
    }  # fmt: skip
    return Figure(**{**given, **changes})


def test_a_ghost_begins_as_one_row():
    figure = _figure()
    assert figure.data["ghost"].equals(figure.data["lines"].iloc[:1])
    assert set(figure.data) == {"lines", "other", "ghost"}


def test_pinning_replaces_the_ghosts_and_nothing_else():
    figure, past = (
        _figure(),
        _figure(data={"lines": rows(x=[5.0, 6.0], y=[7.0, 8.0]), "other": rows(x=[1.0])}),
    )
    pinned = figure.pinned(past)
    assert pinned.data["ghost"] is past.data["lines"]
    assert pinned.data["lines"] is figure.data["lines"]
    assert pinned.data["other"] is figure.data["other"]
    assert len(figure.data["ghost"]) == 1
    assert pinned.pinned(figure).data["ghost"] is figure.data["lines"]


def test_a_file_has_null_for_nan():
    chart = _figure().chart(500)
    assert chart["width"] == 500
    assert chart["datasets"]["lines"] == [{"x": 1.0, "y": 3.0}, {"x": 2.0, "y": None}]
