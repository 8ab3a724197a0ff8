"""The judges of the Initialization page's predictions: their numbers, and that another run gets another answer."""

import numpy as np
import pytest

from charts.initialization import TOPIC
from charts.initialization_predictions import PREDICTIONS, Line, levelest
from charts.notes import notes
from charts.predictions import values


def view(name: str, **changes: object) -> dict[str, object]:
    asked = next(each for each in notes("initialization").predictions if each.id == name)
    return {**values(TOPIC, asked), **changes}


def test_a_line_is_read_from_its_ends():
    line = Line(np.array([2.0, 4.0, 8.0]), np.array([0.25, 0.5, 1.0]), 7.0, 9.0)
    assert (line.up, line.factor) == (4, 2)
    assert (line.down, line.back) == (0.25, 0.5)
    assert (line.end, line.bottom) == ("8", "0.25")


def test_closeness_is_one_of_ratios():
    assert levelest((0.1, 3.0, 20.0)) == 1
    assert levelest((float("nan"), 0.0, 1e-30, float("inf"))) == 2


@pytest.mark.parametrize(
    ("name", "changes", "answer"),
    [
        ("alive", {"activation": "identity"}, 1),  # without ReLU it is Glorot's variance that is right
        ("compound", {"depth": 1}, 0),
        ("hundredth", {"depth": 1, "width": 16}, 1),
        ("glorot", {"activation": "identity"}, 0),
        ("glorot", {"depth": 1}, 1),
        ("default", {"activation": "identity"}, 1),  # √(1/3), nearest to √(1/2)
        ("fans", {"taper": 1.0, "width": 64}, 2),  # a square stack cannot tell
        ("sigmoid", {"activation": "identity"}, 1),  # He grows
        ("tanh", {"activation": "identity"}, 0),
        ("normalized", {"depth": 2}, 1),
    ],
)
def test_another_run_is_judged_by_its_own_numbers(name: str, changes: dict[str, object], answer: int):
    assert PREDICTIONS[name](view(name, **changes)).answer == answer
