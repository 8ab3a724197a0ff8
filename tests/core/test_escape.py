"""Leaving a well: closed forms, the Markov chain against draws and by hand, momentum against single runs."""

import math

import numpy as np
import pytest

from core.descent import SurfaceProblem, descend
from core.escape import (
    WELLS,
    in_deep_well,
    intervals,
    momentum_sweep,
    noise_escape,
    noise_escape_theory,
    share_in_shallow_well,
    wilson,
)
from core.optimizers import OPTIMIZERS

GD, MOMENTUM = OPTIMIZERS["GD"], OPTIMIZERS["Momentum"]


def normal_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def slope(x):
    return 0.3 * (x - 2) * (x + 2) * (x - 0.5)


def test_the_wells_are_told_apart_by_the_pass():
    points = np.array([[-2, 0], [2, 0], [0.5, 0], [0.49, 9], [np.nan, 0], [-np.inf, 0], [0.51, -9]])
    assert in_deep_well(points).tolist() == [True, False, False, True, False, False, False]
    assert (WELLS.deep, WELLS.shallow, WELLS.barrier) == (-2.0, 2.0, 0.5)


@pytest.mark.parametrize("hits", [0, 1, 13, 50, 99, 100])
def test_wilson_holds_the_shares_whose_score_test_accepts(hits):
    low, high = (float(end) for end in wilson(hits, 100))
    assert 0 <= low < high <= 1
    for end in (low, high):
        if 0 < end < 1:
            # At its ends the observed share is exactly z standard errors away.
            assert abs(hits / 100 - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / 100), rel=1e-9)
    assert (low == 0) == (hits == 0)
    assert (high == 1) == (hits == 100)


@pytest.mark.parametrize(("hits", "count"), [(-1, 10), (11, 10), (0, 0)])
def test_wilson_refuses_what_is_no_count(hits, count):
    with pytest.raises(ValueError, match=r"hits = "):
        wilson(hits, count)


def test_no_noise_stays_and_one_step_is_normal():
    still = noise_escape(GD, 0.1, [0.0], (2.0, 0.0), runs=5, steps=30)
    assert (still.deep[0], still.shallow[0], still.diverged[0]) == (0, 5, 0)
    assert noise_escape_theory(0.1, [0.0], 2.0, 30) == ([0.0], [1.0])
    assert noise_escape_theory(0.1, [0.0], 0.4, 30) == ([1.0], [0.0])
    found = noise_escape_theory(0.1, [4.0], 1.0, 1)
    assert found.deep[0] == pytest.approx(normal_cdf((0.5 - (1 - 0.1 * slope(1.0))) / 0.4), rel=1e-12)
    assert np.isnan(noise_escape_theory(0.1, [0.1], 2.0, 5).deep[0])
    assert noise_escape_theory(0.4, [0.0], 20.0, 30) == ([0.0], [0.0])


def test_two_steps_are_an_integral():
    lr, sigma, start = 0.1, 3.0, 1.5
    s = lr * sigma
    center = start - lr * slope(start)
    xi = np.linspace(-9, 9, 20_001)
    x = center + s * xi
    ahead = (0.5 - (x - lr * slope(x))) / s
    weights = np.exp(-0.5 * xi**2) / math.sqrt(2 * math.pi) * (xi[1] - xi[0])
    exact = float(sum(w * normal_cdf(z) for w, z in zip(weights[::10], ahead[::10], strict=True)) * 10)
    found = noise_escape_theory(lr, [sigma], start, 2)
    assert found.deep[0] == pytest.approx(exact, abs=1e-8)
    assert found.shallow[0] == pytest.approx(1 - exact, abs=1e-8)


@pytest.mark.parametrize(("lr", "sigma"), [(0.1, (2.0, 4.0, 12.0)), (0.3, (1.0, 3.5, 6.0)), (0.02, (8.0,))])
def test_runs_follow_the_chain(lr, sigma):
    runs = 1500
    drawn = noise_escape(GD, lr, sigma, (2.0, 0.0), runs=runs, steps=80, seed=4)
    exact = noise_escape_theory(lr, sigma, 2.0, 80)
    assert ((drawn.deep + drawn.shallow + drawn.diverged) == runs).all()
    for counted, share in ((drawn.deep, exact.deep), (drawn.shallow, exact.shallow)):
        error = np.sqrt(share * (1 - share) / runs)
        assert (np.abs(counted / runs - share) < 4 * error + 0.004).all()


def test_diverging_runs_are_in_no_well():
    drawn = noise_escape(GD, 0.4, [0.0, 20.0], (2.0, 0.0), runs=50, steps=60)
    assert drawn.diverged[0] == 0
    assert drawn.diverged[1] == 50
    with pytest.raises(ValueError, match="runs = 0"):
        noise_escape(GD, 0.1, [1.0], (2.0, 0.0), runs=0)


def test_momentum_is_swept_as_single_runs_go():
    mu = np.array([0.0, 0.5, 0.86, 0.87, 0.97, 0.98])
    found = momentum_sweep(MOMENTUM, 0.1, mu, (3.0, 1.5), 1500)
    problem = SurfaceProblem(WELLS.surface)
    for k, one in enumerate(mu):
        alone = descend(problem, MOMENTUM.build(lr=0.1, momentum=float(one)), (3.0, 1.5), 1500)
        assert found.reach[k] == pytest.approx(alone.path[:, 0].min(), rel=1e-12)
        assert found.deep[k] == (np.linalg.norm(alone.path[-1] - (-2, 0)) < 0.01)
    assert found.settled.all()
    assert found.passed.tolist() == [False, False, False, True, True, True]
    assert found.deep.tolist() == [False, False, False, True, True, False]


def test_too_little_height_never_passes_and_divergence_is_told():
    low = momentum_sweep(MOMENTUM, 0.02, np.arange(0, 1, 0.1), (2.5, 0.0), 600)  # f(2.5, 0) is below the pass
    assert not low.passed.any()
    wild = momentum_sweep(MOMENTUM, 0.4, [0.0, 0.5], (9.0, 0.0), 50)
    assert (wild.diverged_at > 0).all()
    assert not wild.deep.any()
    assert np.isfinite(wild.reach).all()


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([0, 0, 0, 0], []),
        ([1, 1, 1, 1], [(0.0, 3.0)]),
        ([1, 0, 1, 1], [(0.0, 0.0), (2.0, 3.0)]),
        ([0, 1, 0, 0], [(1.0, 1.0)]),
    ],
)
def test_intervals(holds, expected):
    assert intervals(holds, np.arange(4.0)) == expected
    with pytest.raises(ValueError, match="same"):
        intervals(holds, np.arange(3.0))


def test_gradient_descent_ends_on_its_own_side():
    assert share_in_shallow_well(0.1, 300, 401, GD) == pytest.approx((3.5 - 0.5) / 7, abs=1 / 401)
    with pytest.raises(ValueError, match="starts = 0"):
        share_in_shallow_well(0.1, 1, 0, GD)
