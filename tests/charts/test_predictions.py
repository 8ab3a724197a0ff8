"""Predictions: every page asks some, each drawn from the notes, shown by a view that exists, and judged by its run."""

import re

import pytest

from charts import predictions as reading
from charts.notes import Prediction, notes
from charts.predictions import SEEN
from charts.topic import Topic, Values
from tests.charts.topics import BY_NAME, TOPICS

LEAST = 6  # on every page

ALL = [(topic.name, each) for topic in TOPICS for each in notes(topic.name).predictions]
predictions = pytest.mark.parametrize(("page", "asked"), ALL, ids=[f"{page}-{each.id}" for page, each in ALL])
topics = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def values(topic: Topic, asked: Prediction) -> Values:
    scenario = topic.scenario(asked.scenario)
    return topic.fill(asked.view) if scenario is None else topic.scenario_values(scenario)


@topics
def test_every_page_asks_enough_and_judges_each(topic: Topic):
    asked = notes(topic.name).predictions
    assert len(asked) >= LEAST
    assert [each.id for each in asked] == list(topic.predictions)


@topics
def test_no_two_predictions_have_the_same_view_and_none_is_unreachable(topic: Topic):
    seen = [
        (tuple(sorted(topic.settle(values(topic, each)).items())), each.tab)
        for each in notes(topic.name).predictions
    ]
    assert len(set(seen)) == len(seen)


@topics
def test_right_answers_are_spread_over_the_places(topic: Topic):
    """Neither a place that never is right nor one that mostly is can be learned; only some questions have a fourth."""
    asked = notes(topic.name).predictions
    for place in range(3):
        share = sum(each.answer == place for each in asked) / len(asked)
        assert 1 / 8 < share < 1 / 2, f"place {place + 1} is right for {share:.0%}"


# A reason follows a colon or a comma; a comma within a list of names is none.
REASON = re.compile(r": |, (?!\w+ and \w+(?: \w+)?\.$)")


@predictions
def test_no_answer_stands_out(page: str, asked: Prediction):
    assert all(answer.endswith(".") for answer in asked.answers)
    assert len({bool(REASON.search(answer)) for answer in asked.answers}) == 1, "all have a reason, or none"


@predictions
def test_a_question_stands_alone(page: str, asked: Prediction):
    """It is read before its figure and its scenario's name, which is hidden as it may hold the answer."""
    text = reading.question(BY_NAME[page], asked)
    assert text.endswith("?")
    assert not re.search(r"\b(arrows?|here|shown here|the (four|five|two modes)|this figure|panel)\b", text)


@predictions
def test_a_prediction_is_drawn_from_the_notes_and_shown_by_a_view(page: str, asked: Prediction):
    topic, known = BY_NAME[page], notes(page)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", asked.id)
    ids = {each.id for each in (*known.claims, *known.errata, *known.questions)}
    assert asked.notes
    assert set(asked.notes) <= ids
    if asked.scenario:
        scenario = topic.scenario(asked.scenario)
        assert scenario is not None
        assert scenario.question
    for name, value in asked.view.items():
        assert topic.knobs[name].check(value) == value
        assert name in topic.shown(topic.fill(asked.view)), f"{name} is shown by no control"
    assert not asked.tab or asked.tab in topic.tab_names


@predictions
def test_the_run_gives_the_declared_answer(page: str, asked: Prediction):
    topic = BY_NAME[page]
    outcome = topic.predictions[asked.id](values(topic, asked))
    assert outcome.answer == asked.answer
    assert len(outcome.said) == len(asked.answers)
    assert len(set(outcome.said)) == len(asked.answers), "every answer misses something of its own"
    for line in outcome.said:
        assert re.search(r"\d", line), "no number of the run"
        assert "nan" not in line.lower().split()
        assert "!" not in line


@predictions
def test_other_seeds_are_judged_by_their_own_run(page: str, asked: Prediction):
    topic = BY_NAME[page]
    if "seed" not in topic.shown(values(topic, asked)):
        pytest.skip("nothing is drawn at random")
    for seed in (1, 2):
        outcome = topic.predictions[asked.id]({**values(topic, asked), "seed": seed})
        assert 0 <= outcome.answer < len(asked.answers)
        assert len(outcome.said) == len(asked.answers)


def test_progress_is_written_and_read():
    given = {
        topic.name: {each.id: each.answer for each in reading.offered(topic)[:3]}
        | {reading.offered(topic)[4].id: SEEN}
        for topic in TOPICS
    }
    assert reading.read(reading.write(given), BY_NAME) == (given, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "dropout",
        "dropout:",
        "dropout:x.1",
        "dropout:a.b.c",
        "x:y.1",
        "٣:٣.٣",
        "dropout:" + "a" * 9000,
    ],
)
def test_progress_that_is_none_is_named(text: str):
    answers, problems = reading.read([text], BY_NAME)
    assert answers == {}
    assert len(problems) == 1


def test_an_answer_out_of_range_is_refused():
    first = reading.offered(BY_NAME["dropout"])[0]
    most = len(first.answers)
    for number in (str(most + 1), "-1", "1e3", "９", "00019", "1" * 5000):
        answers, problems = reading.read([f"dropout:{first.id}.{number}"], BY_NAME)
        assert not answers
        assert len(problems) == 1
    assert reading.read([f"dropout:{first.id}.{most}"], BY_NAME)[0] == {"dropout": {first.id: most - 1}}
