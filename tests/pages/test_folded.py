"""Groups of controls that are folded away: made when opened, in force all the time."""

import pytest

from tests.charts.topics import BY_NAME, TOPICS
from tests.pages.app import control, link, shows, visit
from ui import controls


def folded(topic):
    """Return the groups with a title in the default view, each with the knobs of its own."""
    groups = [g for g in topic.layout(topic.defaults()) if g.title and g.knobs and not g.resting]
    return {g.title: g.knobs for g in groups}


WITH_GROUPS = [topic for topic in TOPICS if folded(topic)]


@pytest.fixture(autouse=True)
def lean(monkeypatch):
    monkeypatch.setattr(controls, "LEAN", True)


def open_group(at, topic, title):
    at.session_state[f"_{topic.prefix}_{title}"] = True
    return at.run()


@pytest.mark.parametrize("topic", WITH_GROUPS, ids=lambda topic: topic.name)
def test_a_group_has_controls_when_it_is_open(topic):
    at = visit(topic)
    for title, knobs in folded(topic).items():
        for name in knobs:
            with pytest.raises(KeyError):
                control(at, topic, name)
        open_group(at, topic, title)
        for name in knobs:
            assert control(at, topic, name).value is not None
    shows(at, topic, topic.defaults())


def test_a_value_set_in_a_group_holds_when_it_is_closed_again_and_comes_back():
    topic = BY_NAME["batchnorm"]
    at = open_group(visit(topic), topic, "Layer and seed")
    control(at, topic, "seed").set_value(7).run()
    expected = {**topic.defaults(), "seed": 7}
    shows(at, topic, expected)
    at.session_state[f"_{topic.prefix}_Layer and seed"] = False
    at.run()
    shows(at, topic, expected)
    control(at, topic, "steps").set_value(80).run()
    shows(at, topic, {**expected, "steps": 80})
    open_group(at, topic, "Layer and seed")
    assert control(at, topic, "seed").value == 7


def test_a_link_acts_on_what_is_folded_away_and_a_reset_undoes_it():
    topic = BY_NAME["batchnorm"]
    at = visit(topic, {"bn_seed": "7", "bn_gamma": "2.0"})
    expected = {**topic.defaults(), "seed": 7, "gamma": 2.0}
    shows(at, topic, expected)
    assert link(at)["bn_gamma"] == ["2"]
    (reset,) = [button for button in at.button if button.label == "Reset"]
    reset.click().run()
    shows(at, topic, topic.defaults())
