"""Predictions about dropout: another view gets another answer, and counts are those of the binomial distribution."""

import math
import re

import pytest

from charts.dropout import TOPIC
from charts.notes import notes
from charts.topic import Outcome

ASKED = {each.id: each for each in notes("dropout").predictions}


def outcome(name: str, **changed) -> Outcome:
    asked = ASKED[name]
    scenario = TOPIC.scenario(asked.scenario)
    values = TOPIC.fill(asked.view) if scenario is None else TOPIC.scenario_values(scenario)
    return TOPIC.predictions[name]({**values, **changed})


@pytest.mark.parametrize(
    ("name", "changed", "answer"),
    [
        ("exactly_three", {"p": 0.9}, 3),  # with probability 0.015
        ("wide", {"p": 0.5}, 0),
        ("copied", {"p": 0.5}, 0),
        ("hidden", {"contributions": "positive, random"}, 0),
        ("sharing", {"p": 0.0}, 0),
        ("behind", {"nonlin_activation": "identity"}, 0),
        ("behind", {"nonlin_activation": "tanh", "nonlin_mean": 2.0}, 2),  # concave there
        ("twenty", {"depth_layers": 1}, 0),
        ("one_for_all", {"p": 0.0}, 0),
    ],
)
def test_another_run_gets_another_answer(name: str, changed: dict, answer: int):
    assert answer != ASKED[name].answer
    assert outcome(name, **changed).answer == answer


@pytest.mark.parametrize("seed", range(8))
def test_three_of_six_are_kept_as_often_as_the_binomial_distribution_says(seed: int):
    found = int(re.search(r"In (\d+) of 100", outcome("exactly_three", seed=seed).said[2])[1])
    share = math.comb(6, 3) / 2**6
    assert abs(found - 100 * share) < 4 * math.sqrt(100 * share * (1 - share))


@pytest.mark.parametrize("seed", [3, 4])
def test_most_predictions_hold_whatever_the_seed(seed: int):
    for name in ("where_to_scale", "no_gradient", "wide", "copied", "how_many", "hidden", "behind", "twenty"):
        assert outcome(name, seed=seed).answer == ASKED[name].answer, name
