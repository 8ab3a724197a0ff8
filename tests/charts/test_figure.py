"""The figure's own tools: labels kept apart, frames, bins, ghosts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charts.figure import Figure, bins, rows, spread

HUGE = 1e6
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
