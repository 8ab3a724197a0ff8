"""Predictions about optimizers: other settings give other answers, and the numbers behind them are right."""

import math
import re

import numpy as np
import pytest

from charts import predictions
from charts.notes import notes
from charts.optimizers import TOPIC
from charts.optimizers_base import run
from charts.optimizers_predictions import angle, arrivals, growth, times, upright
from charts.topic import Values
from core.surfaces import SURFACES

ASKED = {each.id: each for each in notes("optimizers").predictions}


def values(name: str) -> Values:
    return predictions.values(TOPIC, ASKED[name])


# What is known without the app: a rate below its limit converges, at the limit the swing stays, a plain step has no memory,
# a linear neuron has convex losses.
OTHERWISE: tuple[tuple[str, dict[str, object], int], ...] = (
    ("first_at_minimum", {"rmsprop_lr": 1e-4}, 3),
    ("past_the_limit", {"gd_lr": 0.5}, 0),
    ("past_the_limit", {"gd_lr": 0.45}, 2),
    ("plateau", {"rmsprop_lr": 1e-5, "adam_lr": 1e-5, "sign_descent_lr": 1e-5}, 0),
    ("clipped_step", {"clip": "value"}, 2),
    ("same_start", {"momentum_momentum": 0.0}, 0),
    ("more_momentum", {"momentum_momentum": 0.9}, 0),
    ("more_momentum", {"momentum_momentum": 0.0}, 1),
    ("mini_batches", {"batch_size": 64}, 1),
    ("one_sample", {"batch_b": 64}, 2),
    ("noise", {"batch_sigma_max": 1.0}, 0),
    ("noise", {"batch_sigma_max": 3.0}, 1),
    ("near_a_saddle", {"gd_lr": 1e-5}, 2),
    ("newton_at_a_saddle", {"newton_lr": 0.1}, 2),
    ("without_correction", {"twin_beta2": 0.99, "adam_beta2": 0.99}, 2),
    ("without_correction", {"twin_beta2": 0.5, "adam_beta2": 0.5}, 1),
    ("days_averaged", {"avg_beta": 0.8}, 1),
    ("turned_valley", {"theta": 0.0}, 3),
    ("wide_networks", {"land_lr": 0.001}, 0),
    ("one_weight", {"land_activation": "identity"}, 0),
    ("amsgrad", {"adam_beta2": 0.99}, 0),
)


@pytest.mark.parametrize(("name", "changed", "answer"), OTHERWISE)
def test_another_run_may_have_another_answer(name, changed, answer):
    for knob, value in changed.items():
        assert TOPIC.knobs[knob].check(value) == value
    outcome = TOPIC.predictions[name]({**values(name), **changed})
    assert outcome.answer == answer != ASKED[name].answer
    assert len(set(outcome.said)) == len(ASKED[name].answers)


@pytest.mark.parametrize("name", ASKED)
def test_lines_are_short_and_plain_text(name):
    for line in TOPIC.predictions[name](values(name)).said:
        assert len(line) <= 220
        assert not re.search(r"[*~_`\[\]<>$]", line)
        assert re.fullmatch(r"[A-Z0-9].*\.", line)


def test_arrivals_are_the_first_steps_with_a_hundredth_of_the_loss():
    view = values("first_at_minimum")
    for name, step in arrivals(view).items():
        height = run(view)[name].value  # the bowl's minimum is 0
        assert height[step] <= 0.01 * height[0] < height[:step].min()


def test_a_valley_laid_along_the_axes_again_has_its_start_at_the_same_height_and_place():
    turned = values("turned_valley")
    laid = upright(turned)
    bowl = SURFACES["Quadratic bowl"]
    before, after = (
        bowl.f(np.array([v["start_x"], v["start_y"]]), kappa=v["kappa"], theta=v["theta"])
        for v in (turned, laid)
    )
    assert after == pytest.approx(before)
    # The eigenvectors at 45° are (1, 1) and (−1, 1), over √2.
    x, y = turned["start_x"], turned["start_y"]
    assert (laid["start_x"], laid["start_y"]) == pytest.approx(
        ((x + y) / math.sqrt(2), (y - x) / math.sqrt(2))
    )


def test_a_doubling_takes_as_many_steps_as_the_logarithm_says():
    path = np.stack([np.zeros(3), [1 / 1024, 1 / 512, 1 / 256]], axis=-1)
    assert growth(path) == pytest.approx((2.0, 10.0))
    assert growth(path[::-1]) == (0.5, math.inf)


def test_angles_and_words():
    assert angle(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == 45
    assert angle(np.array([3.0, 1.0]), np.array([0.3, 0.1])) == 0
    assert [times(count) for count in range(4)] == ["not once", "once", "twice", "3 times"]


def test_the_rates_and_the_valley_of_the_first_question_are_those_of_its_view():
    view = values("first_at_minimum")
    asked = predictions.question(TOPIC, ASKED["first_at_minimum"])
    told = dict(re.findall(r"(\w+) at (?:rate )?([\d.]+)(?=,| and)", asked))
    assert set(told) == set(view["optimizers"])
    assert all(float(rate) == view[f"{name.lower()}_lr"] for name, rate in told.items())
    assert f"{view['kappa']:g} times" in asked
