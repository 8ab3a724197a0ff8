"""What the load generator decides before it meets a server."""

import random

import numpy as np
import pytest

from benchmarks.load import MOVES, Plan, percentile, personal, thin
from charts.topics import TOPICS


def test_every_page_has_visitors_and_its_slider_is_a_knob_of_the_panel():
    assert list(MOVES) == list(TOPICS)
    for page, move in MOVES.items():
        topic = TOPICS[page]
        knob = topic.knobs[move.knob]
        assert knob.low <= move.low < move.high <= knob.high
        assert move.knob in topic.shown(topic.defaults())


@pytest.mark.parametrize("page", MOVES)
def test_a_setting_of_ones_own_is_understood_and_nobody_else_has_it(page):
    topic, moved, taken = TOPICS[page], MOVES[page].knob, set()
    default = topic.settle(topic.defaults())
    seen = [default]
    for k in range(12):
        values, problems = topic.parse(personal(topic, moved, taken, random.Random(k)))
        assert problems == []
        settled = topic.settle(values)
        assert settled not in seen
        assert settled[moved] == default[moved]
        assert any(moved in group.knobs for group in topic.layout(settled) if not group.resting)
        seen.append(settled)


def test_more_visitors_begin_with_the_same_ones_and_half_of_them_are_alone():
    plan = Plan(tuple(MOVES), {}, 1)
    thirty = plan.settings(30)
    assert thirty[:10] == plan.settings(10)
    assert sum(bool(setting) for setting in thirty) == 15
    alone = [(plan.page(k), str(setting)) for k, setting in enumerate(thirty) if setting]
    assert len(set(alone)) == 15


@pytest.mark.parametrize(("count", "most"), [(2, 24), (24, 24), (25, 24), (500, 24), (5, 2)])
def test_thinning_keeps_both_ends_and_the_order(count, most):
    stops = [str(i) for i in range(count)]
    kept = thin(stops, most)
    assert len(kept) == min(count, most)
    assert (kept[0], kept[-1]) == (stops[0], stops[-1])
    assert sorted(set(kept), key=int) == kept


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 100])
@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_percentile_is_the_inverse_of_the_distribution(count, share):
    times = np.random.default_rng(count).exponential(size=count)
    assert percentile(list(times), share) == np.quantile(times, share, method="inverted_cdf")
