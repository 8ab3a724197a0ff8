"""Tuning: sweeps are single runs side by side, objectives and ties by hand, limits and invariance from theory."""

import math

import numpy as np
import pytest

from core import tuning
from core.descent import SurfaceProblem, descend
from core.optimizers import OPTIMIZERS, suggested_lr
from core.quadratic import heavy_ball_limit
from core.stochastic import MiniBatches, Noisy
from core.streams import stream
from core.surfaces import SURFACES
from core.tuning import (
    DONE,
    OBJECTIVES,
    Outcome,
    Sweep,
    log_rates,
    outcome,
    rates_within,
    rotation_sweep,
    starts_around,
    sweep,
    tune,
)

BOWL = SURFACES["Quadratic bowl"]
ROSENBROCK = SURFACES["Rosenbrock"]
STARTS = np.array([[-1.2, 1.0], [-2.0, 2.0], [0.5, 0.0]])
PAGE = {"GD": 0.45, "Momentum": 0.05, "RMSProp": 0.1, "Adam": 0.3}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def bowl(**knobs):
    return SurfaceProblem(BOWL, knobs)


def made(final, arrived, initial=(1.0,), diverged=None, horizons=(10,)):
    """Return an outcome by hand: final (L, S), arrived (L, S)."""
    final, arrived = np.array([final], float), np.array(arrived)
    diverged = np.full(arrived.shape, -1) if diverged is None else np.array(diverged)
    return Outcome(horizons, 0.01, np.array(initial), final, arrived, diverged)


@every_optimizer
def test_a_sweep_is_single_runs_side_by_side(name):
    entry = OPTIMIZERS[name]
    middle = suggested_lr(entry, ROSENBROCK.rate, 4.0)
    rates = middle * np.array([0.1, 1.0, 30.0])
    problem = SurfaceProblem(ROSENBROCK)
    found = sweep(problem, entry.build, {"lr": rates}, STARTS, (7, 20), knobs={}, infimum=0.0).outcome
    assert found.final.shape == (2, 3, 3)
    for i, rate in enumerate(rates):
        for j, start in enumerate(STARTS):
            run = descend(problem, entry.build(lr=rate), start, 20)
            np.testing.assert_array_equal(found.final[:, i, j], run.value[[7, 20]])
            hit = np.flatnonzero(run.value <= 0.01 * run.value[0])
            assert found.arrived_at[i, j] == (hit[0] if len(hit) else -1)
            assert found.diverged_at[i, j] == run.diverged_at
    np.testing.assert_array_equal(found.initial, ROSENBROCK.f(STARTS))


def test_parts_of_the_starts_give_what_all_of_them_give(monkeypatch):
    def run():
        return sweep(
            SurfaceProblem(ROSENBROCK), OPTIMIZERS["Adam"].build, {"lr": [0.1, 1.0], "beta1": [0.0, 0.5, 0.9]},
            STARTS, (5, 9), knobs={"beta2": 0.9}, infimum=0.0,
        ).outcome  # fmt: skip

    whole = run()
    monkeypatch.setattr(tuning, "_POINTS", 60)
    parts = run()
    assert whole.final.shape == (2, 2, 3, 3)
    for field in ("initial", "final", "arrived_at", "diverged_at"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))


def test_a_sweep_reports_the_steps_of_all_its_parts_and_may_be_ended(monkeypatch):
    surface, seen = SURFACES["Quadratic bowl"], []
    monkeypatch.setattr(tuning, "_POINTS", 71 * 2)  # two starts a part
    options = {"knobs": {}, "infimum": 0.0}
    sweep(SurfaceProblem(surface), OPTIMIZERS["GD"].build, {"lr": [0.1]}, np.ones((4, 2)), [10, 70],
          report=lambda *done: seen.append(done), **options)  # fmt: skip
    assert seen == [(step, 140) for step in (32, 64, 70, 102, 134, 140)]
    with pytest.raises(ZeroDivisionError):
        sweep(SurfaceProblem(surface), OPTIMIZERS["GD"].build, {"lr": [0.1]}, np.ones((1, 2)), [70],
              report=lambda step, steps: 1 // 0, **options)  # fmt: skip


def test_the_axes_of_a_grid_come_in_the_order_of_the_knobs():
    found = sweep(
        bowl(), OPTIMIZERS["Momentum"].build, {"lr": [0.1, 0.2], "momentum": [0.0, 0.5, 0.9]}, [(-5.0, -2.0)], (12,),
        knobs={}, infimum=0.0,
    )  # fmt: skip
    assert found.names == ("lr", "momentum")
    alone = descend(bowl(), OPTIMIZERS["Momentum"].build(lr=0.2, momentum=0.5), (-5.0, -2.0), 12)
    assert found.outcome.final[0, 1, 1, 0] == alone.value[-1]


def test_the_loss_at_the_horizon_is_that_of_the_closed_form():
    rates = np.array([0.1, 0.3, 0.45])
    found = sweep(
        bowl(),
        OPTIMIZERS["GD"].build,
        {"lr": rates},
        [(-5.0, -2.0), (1.0, 3.0)],
        (0, 40),
        knobs={},
        infimum=0.0,
    )
    eigenvalues, starts = np.array([0.08, 4.0]), np.array([[-5.0, -2.0], [1.0, 3.0]])
    factors = (1 - rates[:, None, None] * eigenvalues) ** 80
    exact = 0.5 * (factors * starts**2 * eigenvalues).sum(axis=-1)
    np.testing.assert_allclose(found.outcome.final[1], exact, rtol=1e-11)
    np.testing.assert_allclose(found.outcome.final[0], np.broadcast_to(0.5 * starts**2 @ eigenvalues, (3, 2)))


@pytest.mark.parametrize("share", [0.5, 0.01, 1e-10])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_steps_on_a_round_bowl_follow_from_the_factor(share, rate):
    """With λ = 4 in both directions f shrinks by (1 − 4·lr)² a step."""
    found = outcome(
        bowl(kappa=1.0),
        OPTIMIZERS["GD"].build,
        [(-5.0, -2.0)],
        (200,),
        knobs={"lr": rate},
        infimum=0.0,
        share=share,
    )
    assert found.arrived_at[0] == math.ceil(math.log(share) / (2 * math.log(abs(1 - 4 * rate))))


def test_the_map_of_the_heavy_ball_breaks_off_at_the_exact_limit():
    momenta = np.array([0.0, 0.3, 0.6, 0.9])
    limits = heavy_ball_limit(4.0, momenta)
    rates = np.sort(np.concatenate([0.98 * limits, 1.02 * limits]))
    found = sweep(
        bowl(), OPTIMIZERS["Momentum"].build, {"lr": rates, "momentum": momenta}, [(-5.0, -2.0)], (900,), knobs={}, infimum=0.0
    )  # fmt: skip
    np.testing.assert_array_equal(found.outcome.grew()[..., 0], rates[:, None] > limits)


def test_a_run_that_diverges_says_when_and_counts_as_lost():
    found = sweep(
        SurfaceProblem(ROSENBROCK),
        OPTIMIZERS["GD"].build,
        {"lr": [1e-3, 1.0]},
        STARTS,
        (3, 30),
        knobs={},
        infimum=0.0,
    ).outcome
    assert (found.diverged_at[0] == -1).all()
    assert ((found.diverged_at[1] > 0) & (found.diverged_at[1] <= 30)).all()
    assert np.isinf(found.loss(1)[1]).all()
    assert np.isfinite(found.loss(1)[0]).all()
    late = found.diverged_at[1] > 3
    assert np.isfinite(found.loss(0)[1][late]).all()
    assert found.grew(1)[1].all()
    assert not found.grew(1)[0].any()


def test_noise_is_drawn_for_every_run_and_a_longer_one_begins_with_the_shorter():
    problem = Noisy(bowl(), 1.0)

    def run(horizons):
        starts = np.tile([-5.0, -2.0], (4, 1))
        return sweep(
            problem,
            OPTIMIZERS["GD"].build,
            {"lr": [0.1, 0.1]},
            starts,
            horizons,
            knobs={},
            infimum=0.0,
            rng=stream(3),
        ).outcome

    short, long = run((10,)), run((10, 25))
    np.testing.assert_array_equal(short.final[0], long.final[0])
    assert len(np.unique(long.final[1])) == 8


def test_every_start_may_have_a_problem_of_its_own(monkeypatch):
    surface = SURFACES["Linear regression"]
    problems = [MiniBatches(surface.samples, 4, seed) for seed in range(3)]
    starts, rates = np.array([[-1.0, 1.0], [0.5, 0.0], [0.5, 0.0]]), [0.01, 0.1]

    def run():
        return sweep(
            problems, OPTIMIZERS["Adam"].build, {"lr": rates}, starts, (9,), knobs={}, infimum=0.0
        ).outcome.final[0]

    found = run()
    for i, rate in enumerate(rates):
        for problem, start, final in zip(problems, starts, found[i], strict=True):
            rule = OPTIMIZERS["Adam"].build(lr=rate)
            assert final == pytest.approx(descend(problem, rule, start, 9).value[-1], rel=1e-12)
    monkeypatch.setattr(tuning, "_POINTS", 40)  # in parts
    np.testing.assert_allclose(run(), found, rtol=1e-12)
    with pytest.raises(ValueError, match="2 problems for 3 starts"):
        sweep(problems[:2], OPTIMIZERS["GD"].build, {"lr": rates}, starts, (9,), knobs={}, infimum=0.0)


def test_options_reach_the_descent():
    free, clipped = (
        sweep(
            bowl(),
            OPTIMIZERS["GD"].build,
            {"lr": [0.6]},
            [(-5.0, -2.0)],
            (60,),
            knobs={},
            infimum=0.0,
            **options,
        )
        for options in ({}, {"clip_norm": 0.5})
    )
    assert free.outcome.final[0, 0, 0] > 1e3 > clipped.outcome.final[0, 0, 0]


def test_starts_have_one_axis_of_their_own():
    build = OPTIMIZERS["GD"].build
    with pytest.raises(ValueError, match=r"starts have the shape \(2,\)"):
        outcome(bowl(), build, (1.0, 2.0), (5,), knobs={}, infimum=0.0)
    with pytest.raises(ValueError, match="starts have the shape"):
        outcome(bowl(), build, np.zeros((0, 2)), (5,), knobs={}, infimum=0.0)
    for horizons in ((), (-1,)):
        with pytest.raises(ValueError, match="horizons"):
            outcome(bowl(), build, [(1.0, 2.0)], horizons, knobs={}, infimum=0.0)
    with pytest.raises(ValueError, match="over"):
        sweep(bowl(), build, {}, [(1.0, 2.0)], (5,), knobs={}, infimum=0.0)


def test_a_start_at_the_minimum_has_arrived():
    found = outcome(bowl(), OPTIMIZERS["Adam"].build, [(0.0, 0.0)], (0, 5), knobs={"lr": 0.1}, infimum=0.0)
    assert found.arrived_at[0] == 0
    assert not found.final.any()
    assert not found.grew().any()


def test_log_rates_span_their_decades():
    rates = log_rates(0.3, 8, -2, 1.5)
    np.testing.assert_allclose(rates[[0, -1]], [0.003, 0.3 * 10**1.5])
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.5)
    assert pytest.approx(rates[4]) == 0.3
    for center, count in ((0.0, 5), (math.nan, 5), (math.inf, 5), (1.0, 1)):
        with pytest.raises(ValueError, match="needs"):
            log_rates(center, count)


def test_starts_around_extend_each_other_within_a_tenth_of_the_window():
    window = (-6.0, 3.0, -3.5, 3.0)
    starts = starts_around((-5.0, -2.0), window, 16)
    np.testing.assert_array_equal(starts[0], (-5.0, -2.0))
    for count in (1, 5):
        np.testing.assert_array_equal(starts_around((-5.0, -2.0), window, count), starts[:count])
    share = np.hypot(*((starts - starts[0]) / (9.0, 6.5)).T)
    assert share[-1] == pytest.approx(0.1)
    assert (share <= 0.1 + 1e-12).all()
    apart = np.abs(starts[:, None] - starts).max(axis=-1)[~np.eye(16, dtype=bool)]
    assert apart.min() > 0.1
    for count in (0, 17):
        with pytest.raises(ValueError, match="count"):
            starts_around((0, 0), window, count)


def test_objectives_by_hand():
    found = made(
        [[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, math.inf, math.nan], [0.5, 0.5, 0.5, -3.0]],
        [[3, 4, 5, 9], [1, 2, -1, -1], [2, 2, 11, -1]],
        initial=[1.0] * 4,
        diverged=[[-1] * 4, [-1, -1, 8, 9], [-1, -1, -1, 30]],
    )
    scores = {name: entry.score(found, 0) for name, entry in OBJECTIVES.items()}
    np.testing.assert_array_equal(scores["median loss"], [3.0, math.inf, 0.5])
    np.testing.assert_array_equal(scores["worst loss"], [8.0, math.inf, 0.5])
    np.testing.assert_array_equal(scores["median steps"], [4.5, math.inf, math.inf])
    np.testing.assert_array_equal(found.loss()[2], [0.5, 0.5, 0.5, -3.0])


def test_what_is_left_below_a_share_counts_as_that_share():
    found = made([[1e-40], [0.0], [-1.0], [3e-16]], [[7], [5], [6], [1]], initial=[4.0])
    np.testing.assert_allclose(
        OBJECTIVES["median loss"].score(found, 0), [4 * DONE, 4 * DONE, 4 * DONE, 4 * DONE]
    )


@pytest.mark.parametrize(
    ("losses", "steps", "objective", "best", "ends"),
    [
        ([3.0, 1.0, 2.0], [-1, -1, -1], "median loss", 1, {}),
        ([1.0, 2.0, 3.0], [-1, -1, -1], "median loss", 0, {"lr": "lowest"}),
        ([3.0, 2.0, 1.0], [-1, -1, -1], "median loss", 2, {"lr": "highest"}),
        ([0.0, 0.0, 0.0], [6, 5, 5], "median loss", 1, {}),
        ([0.2, 0.1, 0.1], [4, 4, 4], "median steps", 1, {}),
        ([math.nan, 5.0, math.inf], [-1, -1, -1], "median steps", 1, {}),
    ],
)
def test_the_best_its_ties_and_the_ends_of_the_grid(losses, steps, objective, best, ends):
    found = made([[loss] for loss in losses], [[step] for step in steps])
    tuned = tune(Sweep(("lr",), (np.array([0.1, 0.2, 0.4]),), found), OBJECTIVES[objective])
    assert tuned.index == (best,)
    assert tuned.values == ([0.1, 0.2, 0.4][best],)
    assert tuned.ends == ends
    assert tuned.reached == (objective == "median loss" or steps[best] >= 0)


def test_the_best_of_a_map_and_of_one_row():
    final = np.array([[[5.0], [4.0]], [[3.0], [2.0]], [[1.0], [0.5]]])
    found = Outcome((10,), 0.01, np.ones(1), final[None], np.full((3, 2, 1), -1), np.full((3, 2, 1), -1))
    swept = Sweep(("lr", "momentum"), (np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.9])), found)
    tuned = tune(swept, OBJECTIVES["median loss"])
    assert (tuned.index, tuned.values) == ((2, 1), (0.3, 0.9))
    assert tuned.ends == {"lr": "highest", "momentum": "highest"}
    np.testing.assert_array_equal(found.at(slice(1, 2)).final, final[None, 1:2])
    alone = Sweep(("lr", "momentum"), (np.array([0.1]), np.array([0.0, 0.9])), found.at(slice(1)))
    assert tune(alone, OBJECTIVES["median loss"]).ends == {"momentum": "highest"}


def test_a_rate_tuned_for_one_horizon_is_not_the_best_of_another():
    found = sweep(
        bowl(),
        OPTIMIZERS["Adam"].build,
        {"lr": log_rates(0.3, 25)},
        [(-5.0, -2.0)],
        (10, 60),
        knobs={},
        infimum=0.0,
    )
    near, far = (tune(found, OBJECTIVES["median loss"], horizon) for horizon in (0, 1))
    assert near.score == pytest.approx(found.outcome.final[0, :, 0].min())
    assert near.index != far.index
    assert found.outcome.final[1, near.index[0], 0] > 50 * far.score


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([9.0, 1.0, 9.0, 1.0], 0.0),
        ([2.0, 1.0, 2.0, 9.0], 2.0),
        ([1.0, 1.5, 2.0, math.inf], 2.0),
        ([math.inf] * 4, math.nan),
        ([0.0, 0.0, 1.0, 0.0], 1.0),
    ],
)
def test_how_far_a_good_rate_reaches(scores, expected):
    found = rates_within(np.array(scores), 10.0 ** np.arange(4), 2.0)
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("GD", (33, 33, 33)), ("Momentum", (37, 37, 37)), ("RMSProp", (9, 41, 77)), ("Adam", (21, 50, 79))],
)
def test_the_turned_valley(name, steps):
    found = rotation_sweep(OPTIMIZERS[name].build, PAGE[name], (0.0, 15.0, 45.0), knobs={}, steps=100)
    assert tuple(found.arrived_at[0]) == steps


@every_optimizer
def test_a_quarter_turn_only_swaps_the_coordinates(name):
    rate = suggested_lr(OPTIMIZERS[name], BOWL.rate, 9.0)
    found = rotation_sweep(OPTIMIZERS[name].build, rate, (0.0, 90.0), knobs={}, steps=60, kappa=20.0)
    assert found.arrived_at[0, 0] == found.arrived_at[0, 1]
    np.testing.assert_allclose(found.final[0, 0], found.final[0, 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, entry in OPTIMIZERS.items() if entry.linear])
def test_linear_rules_do_not_see_the_angle(name):
    angles = np.linspace(0, 90, 19)
    found = rotation_sweep(OPTIMIZERS[name].build, (0.05, 0.2), angles, knobs={}, steps=120, start=(3.0, 1.0))
    np.testing.assert_array_equal(found.arrived_at, found.arrived_at[:, :1] + np.zeros((1, 19), int))
    np.testing.assert_allclose(
        found.final, np.broadcast_to(found.final[:, :1], (2, 19)), rtol=1e-9, atol=1e-14
    )


def test_the_best_rate_at_an_angle():
    rates = np.array([0.05, 0.3, 0.45, 0.6])
    found = rotation_sweep(OPTIMIZERS["GD"].build, rates, (0.0, 30.0), knobs={}, steps=100)
    late = np.where(found.arrived_at < 0, 101, found.arrived_at)
    assert found.best(1) == int(np.argmin(late[:, 1])) == 2
    assert found.arrived_at[3, 0] == -1
    none = rotation_sweep(OPTIMIZERS["GD"].build, rates, (0.0,), knobs={}, steps=3)
    assert (none.arrived_at < 0).all()
    assert none.best(0) == int(np.argmin(none.final[:, 0]))


def test_angles_and_condition_numbers_have_their_range():
    for options in ({"kappa": 0.5}, {"steps": -1}):
        with pytest.raises(ValueError, match="needs"):
            rotation_sweep(OPTIMIZERS["GD"].build, 0.1, (0.0,), knobs={}, **options)
    with pytest.raises(ValueError, match="theta"):
        rotation_sweep(OPTIMIZERS["GD"].build, 0.1, (91.0,), knobs={})
