"""The questions of the study notes: each is there, answered, and shown by a scenario that exists."""

import tomllib
from pathlib import Path

import pytest

from tests.charts.topics import TOPICS

NOTES = Path(__file__).parents[2] / "notes"
WANTED = {
    "activations": {"Q10", "Q14", "Q23", "Q37"},
    "initialization": {"Q42"},
    "batchnorm": {"Q4", "Q5", "Q39", "Q40"},
    "dropout": {"Q6", "Q7", "Q27", "Q28", "Q29"},
    "optimizers": {"Q12", "Q15", "Q16", "Q43"},
}


def questions(name):
    return tomllib.loads((NOTES / f"{name}.toml").read_text(encoding="utf-8"))["question"]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_questions_of_a_page(topic):
    entries = questions(topic.name)
    ids = [entry["id"] for entry in entries]
    assert set(ids) >= WANTED[topic.name]
    assert len(set(ids)) == len(ids)
    for entry in entries:
        assert entry["question"].rstrip().endswith("?")
        assert len(entry["answer"].split()) >= 10
        assert topic.scenario(entry["scenario"]) is not None, entry["scenario"]


def test_every_page_has_its_file_and_no_other_is_there():
    assert {path.stem for path in NOTES.glob("*.toml")} == {topic.name for topic in TOPICS} == set(WANTED)


def test_no_question_is_answered_twice():
    ids = [entry["id"] for topic in TOPICS for entry in questions(topic.name)]
    assert len(set(ids)) == len(ids)
