"""The judges of the BatchNorm page's predictions: their numbers, and that another run gets another answer."""

import re

import numpy as np
import pytest

from charts.batchnorm import TOPIC
from charts.batchnorm_predictions import PREDICTIONS, disturbed, first_within, recovery
from charts.notes import notes
from charts.predictions import values


def view(name: str, **changes: object) -> dict[str, object]:
    asked = next(each for each in notes("batchnorm").predictions if each.id == name)
    return {**values(TOPIC, asked), **changes}


def test_the_first_place_within_a_share_and_never():
    run = np.array([1.0, 3.0, 3.7, 3.5, 4.1])
    assert first_within(run, 4.0, 0.1) == 2
    assert first_within(run, 9.0, 0.1) == len(run)


@pytest.mark.parametrize(("factor", "least", "most"), [(2.0, 9, 19), (0.5, 18, 32)])
def test_a_scale_recovers_as_the_average_of_variances_does(factor: float, least: int, most: int):
    # 0.9^k of the old variance is left: within 10% of the new deviation at k = 14, and at 25 on the way down.
    left = [1 + (factor**-2 - 1) * 0.9**k for k in range(60)]
    exact = next(k for k, share in enumerate(left) if abs(share**0.5 - 1) <= 0.1)
    found = [recovery(view("scale", factor=factor, seed=seed)) for seed in range(5)]
    assert least <= exact <= most
    assert all(least <= steps <= most for steps in found)


def test_the_rise_after_a_shift_scatters_over_seeds_as_it_says():
    said = [PREDICTIONS["shift"](view("shift", seed=seed)).said[1] for seed in range(40)]
    (expected, spread), *_ = [re.findall(r"([\d.]+)%", text)[:2] for text in said]
    taken = [float(re.search(r"([\d.]+)% of 3", text)[1]) for text in said]
    assert float(expected) == pytest.approx(100 * (1 - 0.9**10), abs=0.05)
    assert np.std(taken) == pytest.approx(float(spread), rel=0.45)  # four standard errors of 40 draws
    assert abs(np.mean(taken) - float(expected)) < 4 * float(spread) / 40**0.5


def test_an_outlier_disturbs_for_as_long_as_its_variance_takes_to_fade():
    # One of 8 values at 50σ, a tenth of each batch: the mean moves by 0.625σ, the variance by 31.25σ², ×0.9 a step.
    outputs = [(1 - 0.625 * 0.9**k) / (1 + 31.25 * 0.9**k) ** 0.5 for k in range(80)]
    exact = next(k for k, output in enumerate(outputs) if abs(output - 1) <= 0.1)
    assert abs(disturbed(view("outlier")) - exact) <= 4
    assert disturbed(view("outlier", outlier=0.0)) == 0


@pytest.mark.parametrize(
    ("name", "changes", "answer"),
    [
        ("warm_up", {"running_mean": 5.0, "running_var": 9.0}, 0),  # evaluation begins with the truth
        ("single", {"batch_size": 512}, 1),
        ("pair", {"batch_size": 512}, 0),
        ("pair", {"in_batch": False}, 2),  # the sample is none of the two values
        ("shift", {"cumulative": True}, 0),  # ten of seventy batches
        ("scale", {"shift_step": 119}, 2),  # one step is too few either way
        ("outlier", {"outlier": 0.0}, 0),
        ("sorted", {"source": "normal"}, 0),
        ("stack", {"size_layers": 1}, 1),
        ("one_unit", {"family_norm": "WeightNorm"}, 0),
        ("one_unit", {"family_norm": "RMSNorm"}, 1),
    ],
)
def test_another_run_is_judged_by_its_own_numbers(name: str, changes: dict[str, object], answer: int):
    assert PREDICTIONS[name](view(name, **changes)).answer == answer
