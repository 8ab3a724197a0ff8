"""What the judges of predictions share: the nearest number, the closest set, a figure's table."""

import pandas as pd
import pytest

from charts.dropout import TOPIC
from charts.judging import closest, nearest, table


@pytest.mark.parametrize(
    ("value", "candidates", "log", "place"),
    [
        (4.0, (1.0, 6.0, 20.0), False, 1),
        (4.0, (1.0, 18.0), False, 0),
        (4.0, (0.5, 18.0), True, 1),  # 8 times the one, less than a fifth of the other
        (3.0, (2.0, 4.0), False, 0),  # equally near: the first
        (1.0, (1.0, 1.0, 9.0), True, 0),
        (0.0, (1.0, 0.0), True, 1),
        (0.001, (0.0, 50.0), True, 1),  # nothing is infinitely far from something
        (0.001, (0.0, 50.0), False, 0),
    ],
)
def test_the_nearest_candidate(value: float, candidates: tuple[float, ...], log: bool, place: int):
    assert nearest(value, candidates, log=log) == place


@pytest.mark.parametrize(("found", "place"), [("ab", 0), ("c", 1), ("", 2), ("abd", 0), ("d", 2)])
def test_the_set_with_most_in_common(found: str, place: int):
    assert closest(set(found), ({"a", "b"}, {"c"}, frozenset())) == place


def test_the_table_of_a_figure():
    tab = next(tab for tab in TOPIC.view(TOPIC.defaults()).tabs if tab.name == "Ensemble")
    blocks = tab.blocks(TOPIC.defaults())
    figure = next(block for block in blocks if hasattr(block, "data"))
    for name, data in figure.data.items():
        pd.testing.assert_frame_equal(table(blocks, name).pandas, data.pandas)
        pd.testing.assert_frame_equal(table(blocks, name, figure.name[-5:]).pandas, data.pandas)
    with pytest.raises(KeyError):
        table(blocks, "no such table")
    with pytest.raises(StopIteration):
        table(blocks, name, "no such figure")
