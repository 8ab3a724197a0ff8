"""Schedules against PyTorch, by hand and as rules of a descent."""

import json
import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from core.descent import descend
from core.optimizers import OPTIMIZERS, Rule
from core.schedules import SCHEDULES, scheduled

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "schedules.npz")
CASES = [json.loads(str(case)) for case in GOLDEN["cases"]]
CURVATURES = np.array([0.08, 4.0])
START = np.array([-5.0, -2.0])

every = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


class Velocity(NamedTuple):
    velocity: np.ndarray


class Quadratic:
    def f(self, w):
        return 0.5 * (CURVATURES * w * w).sum(axis=-1)

    def grad(self, w):
        return CURVATURES * w


# Factors


@every
def test_rates_equal_pytorch(schedule):
    ours = [(case, rates) for case, rates in zip(CASES, GOLDEN["rates"], strict=True)
            if case["schedule"] == schedule.name]  # fmt: skip
    assert {case["steps"] for case, _ in ours} == {1, 2, 7, 60, 101}
    for case, rates in ours:
        steps = case["steps"]
        factor = schedule.factor(np.arange(steps), steps, **case["knobs"])
        np.testing.assert_allclose(GOLDEN["lr"] * factor, rates[:steps], rtol=1e-12, atol=1e-13)
    for knob in schedule.knobs:
        assert len({case["knobs"][knob.name] for case, _ in ours}) > 1


HAND = [
    ("constant", 3, 9, {}, 1.0),
    ("step", 19, 60, {}, 1.0),
    ("step", 20, 60, {}, 0.1),
    ("step", 59, 60, {}, 0.01),
    ("exponential", 2, 60, {}, 0.9025),
    ("cosine", 0, 60, {}, 1.0),
    ("cosine", 30, 60, {}, 0.5),
    ("cosine", 20, 60, {"floor": 0.2}, 0.8),
    ("warm-up", 0, 60, {}, 0.1),
    ("warm-up", 5, 60, {}, 0.55),
    ("warm-up", 11, 60, {}, 1.0),
    ("warm-up and cosine", 0, 60, {}, 0.1),
    ("warm-up and cosine", 10, 60, {}, 1.0),
    ("warm-up and cosine", 35, 60, {"floor": 0.5}, 0.75),
    ("warm-up and cosine", 3, 4, {}, 0.37),  # shorter than its warm-up
    ("one-cycle", 0, 101, {"rise": 11 / 101}, 1 / 25),
    ("one-cycle", 5, 101, {"rise": 11 / 101}, 0.52),
    ("one-cycle", 10, 101, {"rise": 11 / 101}, 1.0),
    ("one-cycle", 100, 101, {"rise": 11 / 101}, 4e-6),
    ("one-cycle", 0, 4, {"rise": 0.25}, 1.0),  # the peak is the first step: PyTorch divides by 0 here
    ("one-cycle", 0, 1, {"rise": 1.0}, 1.0),
    ("1/√t", 0, 60, {}, 1.0),
    ("1/√t", 24, 60, {}, 0.2),
    ("1/t", 24, 60, {}, 0.04),
    ("1/t", 20, 60, {"decay": 0.05}, 0.5),
]


@pytest.mark.parametrize(("name", "t", "steps", "knobs", "expected"), HAND)
def test_factors_by_hand(name, t, steps, knobs, expected):
    assert SCHEDULES[name].factor(t, steps, **knobs) == pytest.approx(expected, rel=1e-13)


@every
def test_factors_are_shares_over_the_whole_range_of_the_knobs(schedule):
    for knob in (None, *schedule.knobs):
        for value in (knob.low, knob.high) if knob else (None,):
            settings = {knob.name: int(value) if knob.kind == "int" else value} if knob else {}
            for steps in (1, 2, 3, 60):
                factor = schedule.factor(np.arange(steps), steps, **settings)
                assert factor.shape == (steps,)
                assert ((factor >= 0) & (factor <= 1 + 1e-15)).all()


@every
def test_one_step_at_a_time_or_all_at_once(schedule):
    at = np.array([[0, 7], [59, 30]])
    together = schedule.factor(at, 60)
    assert together.shape == at.shape
    for t, factor in zip(at.flat, together.flat, strict=True):
        assert schedule.factor(int(t), 60) == pytest.approx(factor, rel=1e-14)


@every
def test_who_stretches(schedule):
    short, long = (schedule.factor(np.arange(40), steps) for steps in (40, 80))
    assert schedule.stretches == (not np.array_equal(short, long))


@every
def test_bad_arguments(schedule):
    with pytest.raises(TypeError, match="pace"):
        schedule.factor(0, 10, pace=1)
    with pytest.raises(ValueError, match="steps = 0"):
        schedule.factor(0, 0)
    for t in (-1, 10, math.nan):
        with pytest.raises(ValueError, match="t = "):
            schedule.factor(t, 10)
    for knob in schedule.knobs:
        with pytest.raises(ValueError, match=f"{knob.name} = "):
            schedule.factor(0, 10, **{knob.name: knob.low - 1})


# Rules of a descent


def run(build, factors, lr=0.05):
    return descend(Quadratic(), scheduled(build, lr, factors), START, len(factors), keep_state=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_constant_schedule_is_no_schedule(optimizer):
    plain = descend(Quadratic(), optimizer.build(lr=0.05), START, 20)
    np.testing.assert_array_equal(run(optimizer.build, np.ones(20)).path, plain.path)


@every
def test_gd_on_the_quadratic_is_a_product(schedule):
    factor = schedule.factor(np.arange(30), 30)
    shrink = np.cumprod(1 - 0.05 * factor[:, None] * CURVATURES, axis=0)
    np.testing.assert_allclose(run(OPTIMIZERS["GD"].build, factor).path[1:], START * shrink, rtol=1e-12)


def test_velocity_without_and_with_lr_inside():
    """PyTorch multiplies the whole velocity by the present rate, Keras each gradient by the one of its time."""

    def keras(*, lr, momentum=0.9):
        def update(grad, state, w):
            velocity = momentum * state.velocity - lr * grad
            return velocity, Velocity(velocity)

        return Rule(lambda w: Velocity(np.zeros_like(w)), update)

    factors = np.array([1.0, 0.1, 0.5])
    pytorch = run(partial(OPTIMIZERS["Momentum"].build, momentum=0.9), factors)
    inside = run(keras, factors)
    for result, rates in ((pytorch, lambda t, i: factors[t]), (inside, lambda t, i: factors[i])):
        for t in range(3):
            step = -sum(0.05 * rates(t, i) * 0.9 ** (t - i) * result.gradient[i] for i in range(t + 1))
            np.testing.assert_allclose(result.path[t + 1] - result.path[t], step, rtol=1e-12)
    assert not np.allclose(pytorch.path[2:], inside.path[2:])


def test_rates_of_a_grid_and_no_steps():
    factors = SCHEDULES["1/t"].factor(np.arange(12), 12)
    lr = np.array([0.01, 0.1])
    together = run(OPTIMIZERS["Adam"].build, factors, lr)
    for i in range(2):
        np.testing.assert_allclose(
            together.path[:, i], run(OPTIMIZERS["Adam"].build, factors, lr[i]).path, rtol=1e-13
        )
    assert run(OPTIMIZERS["Adam"].build, []).path.shape == (1, 2)


def test_a_rule_is_built_once_for_each_rate():
    built = []

    def build(*, lr):
        built.append(lr)
        return OPTIMIZERS["GD"].build(lr=lr)

    run(build, SCHEDULES["step"].factor(np.arange(60), 60), lr=1.0)
    np.testing.assert_allclose(built, [1, 0.1, 0.01])


def test_a_frozen_state_is_found_with_the_rules_of_its_steps():
    class Slope(Quadratic):
        def grad(self, w):
            return np.full(w.shape, 1e200)

    assert (
        descend(Slope(), scheduled(OPTIMIZERS["AdaGrad"].build, 1.0, [1, 0.5, 0.1]), [0.0], 3).diverged_at
        == 1
    )
