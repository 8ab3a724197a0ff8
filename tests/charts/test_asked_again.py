"""What a topic says of some values is the same however often it is asked, and nobody can change it for the next."""

from dataclasses import replace

import numpy as np
import pytest

from charts.topic import CUSTOM, Topic
from tests.charts.topics import TOPICS, draw


def scenario(topic: Topic, values) -> str:
    """Find the scenario by its definition."""
    for each in topic.scenarios:
        wanted = topic.defaults() | topic.complete(each.values) | dict(each.values)
        left_open = set(topic.free) - set(each.values)
        if {k: v for k, v in values.items() if k not in left_open} == {
            k: v for k, v in wanted.items() if k not in left_open
        }:
            return each.name
    return CUSTOM


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_asked_again_a_topic_says_the_same(topic: Topic):
    rng = np.random.default_rng(4)
    drawn = [topic.fill({name: draw(knob, rng) for name, knob in topic.knobs.items()}) for _ in range(3)]
    for values in (*drawn, *(topic.scenario_values(each) for each in topic.scenarios)):
        shown = {name for group in topic.layout(values) for name in group.knobs}
        settled = topic.fill({name: value for name, value in values.items() if name in shown})
        link = {
            topic.key(name): topic.knobs[name].text(values[name]) for name in topic.knobs if name in shown
        }
        for _ in range(2):
            assert topic.shown(values) == shown
            assert topic.settle(values) == settled
            assert topic.scenario_of(settled) == scenario(topic, settled)
            assert topic.query(values) == {topic.key("scenario"): scenario(topic, settled), **link}
            topic.settle(values).clear()
            topic.defaults().clear()
            query = topic.query(values)
            for text in query.values():
                if isinstance(text, list):
                    text.append("more")
            query.clear()


def test_two_topics_of_one_name_are_kept_apart():
    topic = TOPICS[0]
    other = replace(topic, layout=lambda _: ())
    values = {name: knob.low if knob.kind == "float" else knob.default for name, knob in topic.knobs.items()}
    assert topic.settle(values) != topic.defaults()
    assert other.settle(values) == topic.defaults()
    assert other.shown(values) == frozenset()
