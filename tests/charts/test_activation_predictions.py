"""Predictions about activations: another view gets another answer, and numbers that theory knows are those."""

import math
import re

import pytest

from charts.activations import TOPIC
from charts.notes import notes
from charts.topic import Outcome

ASKED = {each.id: each for each in notes("activations").predictions}


def outcome(name: str, **changed) -> Outcome:
    asked = ASKED[name]
    scenario = TOPIC.scenario(asked.scenario)
    values = TOPIC.fill(asked.view) if scenario is None else TOPIC.scenario_values(scenario)
    return TOPIC.predictions[name]({**values, **changed})


@pytest.mark.parametrize(
    ("name", "changed", "answer"),
    [
        (
            "slopes",
            {"weight": 0.1},
            0,
        ),  # at z = 0.3 tanh and GELU are steep, but a tenth of that is not near 1
        ("weight", {"weight": 0.5}, 2),  # half of 0.25, and flatter at 0
        ("centered", {"mu": 3.0}, 0),
        ("distribution", {"z1": -0.5, "z2": -0.5, "z3": -1.4}, 1),  # 0.378 + 0.378 + 0.198
        ("distribution", {"z1": -2.0, "z2": -2.0, "z3": -2.0}, 0),
        ("mistyped", {"gelu_tanh_cubic": 0.1}, 2),
        ("chain", {"mu": 5.0}, 2),  # z is positive in all but 3 of ten million draws
        ("trained", {"train_layers": 1, "train_lr": 0.0003}, 1),
        ("revive", {"lr": 0.001}, 0),
    ],
)
def test_another_run_gets_another_answer(name: str, changed: dict, answer: int):
    assert answer != ASKED[name].answer
    assert outcome(name, **changed).answer == answer


def test_a_weight_makes_sigmoid_flatter_from_where_theory_has_it():
    # σ′ is 1/(4 cosh²(z/2)): w·σ′(wz) = σ′(z) where cosh(wz/2) = √w cosh(z/2).
    found = float(re.search(r"\|z\| = (\d+\.\d+)", outcome("weight").said[1])[1])
    assert math.cosh(2 * found) == pytest.approx(2 * math.cosh(found / 2), rel=2e-3)


def test_the_plain_tanh_ends_where_the_exponential_leaves_float32():
    found = float(re.search(r"\|z\| = (\d+\.\d+)", outcome("overflow").said[2])[1])
    assert found == pytest.approx(math.log((2 - 2**-23) * 2.0**127), abs=1 / 64 + 0.005)


def test_half_of_the_chains_are_left_after_each_layer():
    text = outcome("chain").said[2]
    one, two, ten = (
        int(n) for n in re.search(r"(\d+) of 400 .*layer, (\d+) .* (\d+) the tenth", text).groups()
    )
    assert abs(one - 200) < 4 * 10
    assert abs(two - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)
    assert two >= ten
