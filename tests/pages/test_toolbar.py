"""What a browser asks of the toolbar is checked like any input, and what is asked for gets a name that says it."""

import pytest

from tests.charts.topics import BY_NAME
from ui import delivery, toolbar

TOPIC = BY_NAME["dropout"]
ORDER = {"number": 7, "ending": "png", "scale": 2, "size": "page", "ground": "white", "caption": True}


@pytest.fixture
def ask(monkeypatch):
    """Order a file; returns what becomes of it: its name, or None if it is refused, nothing if it is ignored."""
    said = []
    monkeypatch.setattr(toolbar.delivery, "refuse", lambda *_: said.append(None))
    monkeypatch.setattr(toolbar.delivery, "order", lambda _bar, _number, name, *_: said.append(name))
    values = TOPIC.defaults()
    figure = TOPIC.view(values).figure

    def order(**changes):
        said.clear()
        toolbar._order("bar", {**ORDER, **changes}, figure, TOPIC, values, "", "")
        return said

    return order


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "dropout-scaling.png"),
        ({"scale": 4, "size": "half", "ground": "dark"}, "dropout-scaling-4x-half-dark.png"),
        ({"ending": "svg", "scale": 3}, "dropout-scaling.svg"),
        ({"ending": "csv", "size": "slide", "ground": "dark"}, "dropout-scaling.csv"),
    ],
)
def test_a_name_says_what_differs(ask, changes, name):
    assert ask(**changes) == [name]


@pytest.mark.parametrize(
    "changes",
    [
        *({"ending": ending} for ending in ("exe", "", None, ["png"], {}, "../png")),
        *({"size": size} for size in ("A5", None, [], {"page": 1})),
        *({"ground": ground} for ground in ("pink", 3, [])),
        *({"scale": scale} for scale in (0, 5, 2.0, True, "2", None, [2], float("nan"))),
        *({"caption": caption} for caption in (1, "yes", None)),
    ],
    ids=repr,
)
def test_a_hostile_order_is_refused(ask, changes):
    assert ask(**changes) == [None]


def test_an_order_without_a_number_is_ignored(ask):
    assert ask(number="7") == ask(number=None) == []


def test_an_answer_that_has_come_is_not_sent_again_with_the_next(monkeypatch):
    def answered(toolbar, sent):
        found = delivery.Delivery(toolbar, 1, sent=sent)
        found.done.set()
        return found

    mine, others, unsent = answered("mine", 5.0), answered("other", 5.0), answered("mine", 0.0)
    pending = [mine, others, unsent]
    monkeypatch.setattr(delivery, "_pending", lambda: pending)
    delivery.order("mine", 2, "a.csv", "text/csv", lambda: b"1")
    assert pending[:2] == [others, unsent]
    assert pending[2].done.wait(20)
    assert (pending[2].number, pending[2].answer["name"]) == (2, "a.csv")
