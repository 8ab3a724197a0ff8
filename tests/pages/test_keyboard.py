"""What the browser asks for with a key is checked like any input, and steps go round the menu."""

import pytest

from charts import claims
from charts.topic import CUSTOM
from tests.charts.topics import BY_NAME, TOPICS
from ui import keyboard

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def asked(start, by):
    return {"from": start, "by": by, "number": 1}


@every_topic
def test_steps_go_through_the_menu_in_its_order_and_round(topic):
    names = [each.name for each in topic.scenarios]
    count = len(names)
    for here, following in zip(names, names[1:] + names[:1], strict=True):
        assert keyboard.scenario(topic, asked(here, 1)) == following
        assert keyboard.scenario(topic, asked(following, -1)) == here
        assert keyboard.scenario(topic, asked(here, count + 1)) == following
        assert keyboard.scenario(topic, asked(here, 0)) == here
    # Settings of one's own stand between the last and the first.
    assert keyboard.scenario(topic, asked(CUSTOM, 1)) == names[0]
    assert keyboard.scenario(topic, asked(CUSTOM, -1)) == names[-1]
    assert keyboard.scenario(topic, asked(CUSTOM, 2)) == names[1]


@pytest.mark.parametrize(
    "hostile",
    [
        *(None, [], "next", 1, {}, {"by": 1}, {"from": "Ravine", "by": 1}),
        *(asked("Ravine", by) for by in (None, "1", 1.0, True, [1], float("nan"), {})),
        *(asked(start, 1) for start in (None, 3, ["Ravine"], {})),
        {"from": "Ravine", "by": 1, "number": "1"},
    ],
    ids=repr,
)
def test_what_is_no_step_is_ignored(hostile):
    assert keyboard.scenario(BY_NAME["optimizers"], hostile) == ""


def test_one_scenario_is_no_menu():
    assert keyboard.scenario(claims.filters(TOPICS), asked("Everything", 1)) == ""


def test_a_page_has_the_keys_that_do_something_there():
    every = tuple(each.act for each in keyboard.SHORTCUTS)
    topic, single = BY_NAME["optimizers"], claims.filters(TOPICS)
    assert keyboard.acts(topic, fixed=False, toolbar=True) == every
    assert keyboard.acts(topic, fixed=True, toolbar=True) == ("play", "help")
    assert keyboard.acts(single, fixed=False, toolbar=False) == ("link", "help")
    for each in keyboard.SHORTCUTS:
        assert each.needs <= set(keyboard.NEEDS)


def test_each_key_is_a_single_one_of_its_own_and_not_taken():
    keys = [each.key for each in keyboard.SHORTCUTS]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 1 and key == key.lower() and not key.isspace() for key in keys)
    assert not {"r", "c", "/", "'", "\\"} & set(keys), "of Streamlit, of the browser, of the landing page"
