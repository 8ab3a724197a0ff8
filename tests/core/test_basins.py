"""Basins: every pixel is what ``descend`` says of its start, and closed forms say when it arrives."""

from functools import partial

import numpy as np
import pytest

from core.basins import REACH, SIDES, basins, find_minima
from core.descent import SurfaceProblem, descend
from core.optimizers import OPTIMIZERS, suggested_lr
from core.schedules import SCHEDULES, scheduled
from core.stochastic import MiniBatches
from core.surfaces import SURFACES, Stationary

CASES = {
    "Himmelblau": ("Himmelblau", "Momentum", 1.0, 60),
    "Adam": ("Six-hump camel", "Adam", 1.0, 60),
    "too large a rate": ("Himmelblau", "GD", 3.0, 40),
    "all diverge": ("Goldstein–Price", "Momentum", 50.0, 30),
    "outside, then back": ("Griewank", "Momentum", 10.0, 60),
    "many minima": ("Rastrigin", "RMSProp", 1.0, 50),
    "a cusp": ("Ackley", "Nadam", 1.0, 40),
    "curves": ("Two-weight net", "Momentum", 1.0, 60),
    "rings": ("Drop-wave", "GD", 1.0, 60),
    "no minimum": ("Saddle", "Momentum", 1.0, 30),
    "three ways down": ("Monkey saddle", "GD", 1.0, 60),
    "no step": ("Himmelblau", "GD", 1.0, 0),
}


def built(surface, name, factor, **knobs):
    entry = OPTIMIZERS[name]
    width = surface.window[1] - surface.window[0]
    return entry.build(lr=factor * suggested_lr(entry, surface.rate, width), **knobs)


def at(surface, k, path, radius, value, gradient):
    """Tell at which steps a path is at a minimum, as the documentation of ``basins`` defines it."""
    minimum = surface.minima[k]
    with np.errstate(all="ignore"):
        if minimum.isolated:
            return ((path - minimum.point) ** 2).sum(axis=-1) <= radius**2
        gap = np.abs(value - minimum.value)
        size = np.sqrt((gradient**2).sum(axis=-1))
        return gap <= np.maximum(radius * size / 2, 8 * np.finfo(float).eps * (1 + abs(minimum.value)))


def first_of_the_last_stretch(there):
    """Return the first step from which on all of ``there`` is true; it ends true."""
    away = np.flatnonzero(~there)
    return int(away[-1]) + 1 if len(away) else 0


def fate(surface, run, radius):
    """Return minimum, arrived_at, left_at, side and diverged_at of one run with its whole path."""
    path, value, raw = run.path, run.value, run.raw
    low, high = np.reshape(surface.window, (2, 2)).T
    diverged = int(run.diverged_at)
    if diverged < 0:
        last = [
            at(surface, k, path[-1:], radius, value[-1:], raw[-1:])[0] for k in range(len(surface.minima))
        ]
        near = [k for k, there in enumerate(last) if there]
        if near:
            k = min(near, key=lambda k: ((path[-1] - surface.minima[k].point) ** 2).sum())
            return k, first_of_the_last_stretch(at(surface, k, path, radius, value, raw)), -1, -1, -1
    inside = ((path >= low) & (path <= high)).all(axis=-1)
    if inside[-1]:
        return -1, -1, -1, -1, diverged
    left = first_of_the_last_stretch(~inside)
    x, y = path[left]
    beyond = {
        "left": (low[0] - x) / (high[0] - low[0]),
        "right": (x - high[0]) / (high[0] - low[0]),
        "bottom": (low[1] - y) / (high[1] - low[1]),
        "top": (y - high[1]) / (high[1] - low[1]),
    }
    return (
        -1,
        -1,
        left,
        SIDES.index(max(beyond, key=lambda side: np.nan_to_num(beyond[side], nan=-np.inf))),
        diverged,
    )


def pixel(result, row, column):
    names = ("minimum", "arrived_at", "left_at", "side", "diverged_at")
    return tuple(int(getattr(result, name)[..., row, column]) for name in names)


def agrees(surface, result, problem, rule, steps, pixels=None, **how):
    size = len(result.x)
    for row, column in pixels or np.ndindex(size, size):
        run = descend(problem, rule, (result.x[column], result.y[row]), steps, **how)
        assert pixel(result, row, column) == fate(surface, run, result.radius), (row, column)


@pytest.mark.parametrize("case", CASES)
def test_every_pixel_is_what_descend_says(case):
    name, optimizer, factor, steps = CASES[case]
    surface = SURFACES[name]
    problem, rule = SurfaceProblem(surface), built(surface, optimizer, factor)
    result = basins(problem, rule, surface.window, 8, steps, surface.minima)
    assert result.radius == REACH * (surface.window[1] - surface.window[0])
    agrees(surface, result, problem, rule, steps)


def test_the_cases_reach_every_fate():
    seen = {"arrived": 0, "left": 0, "diverged": 0, "stayed": 0}
    for name, optimizer, factor, steps in CASES.values():
        surface = SURFACES[name]
        result = basins(
            SurfaceProblem(surface),
            built(surface, optimizer, factor),
            surface.window,
            8,
            steps,
            surface.minima,
        )
        seen["arrived"] += np.sum(result.minimum >= 0)
        seen["left"] += np.sum((result.left_at >= 0) & (result.diverged_at < 0))
        seen["diverged"] += np.sum(result.diverged_at >= 0)
        seen["stayed"] += np.sum((result.minimum < 0) & (result.left_at < 0))
    assert min(seen.values()) > 20


def test_clipping_schedules_and_boxes_are_those_of_descend():
    surface = SURFACES["Goldstein–Price"]
    problem, steps = SurfaceProblem(surface), 40
    factors = SCHEDULES["cosine"].factor(np.arange(steps), steps)
    build = partial(OPTIMIZERS["Momentum"].build, momentum=0.8)
    rule = scheduled(build, 2e-3, factors)
    how = {"clip_norm": 50.0, "clip_value": 30.0, "project": lambda w: np.clip(w, -1.5, 1.9)}
    result = basins(problem, rule, surface.window, 8, steps, surface.minima, radius=0.3, **how)
    assert len(set(result.minimum.flat)) > 3
    agrees(surface, result, problem, rule, steps, **how)


def test_mini_batches_are_those_of_descend():
    surface = SURFACES["Linear regression"]
    problem, rule = MiniBatches(surface.samples, 8, 3), built(surface, "GD", 0.5)
    result = basins(problem, rule, surface.window, 5, 40, surface.minima, radius=0.5)
    assert (result.minimum == 0).any()
    agrees(surface, result, problem, rule, 40)


def test_knobs_with_axes_are_runs_of_their_own():
    surface, rates = SURFACES["Himmelblau"], np.array([0.001, 0.01, 0.05])
    problem = SurfaceProblem(surface)
    swept = basins(
        problem, OPTIMIZERS["GD"].build(lr=rates[:, None, None]), surface.window, 9, 30, surface.minima
    )
    assert swept.minimum.shape == (3, 9, 9)
    for k, lr in enumerate(rates):
        alone = basins(problem, OPTIMIZERS["GD"].build(lr=float(lr)), surface.window, 9, 30, surface.minima)
        for name in ("minimum", "arrived_at", "left_at", "side", "diverged_at"):
            assert np.array_equal(getattr(swept, name)[k], getattr(alone, name))
    assert (swept.diverged_at[2] >= 0).any()
    assert (swept.diverged_at[0] < 0).all()


def test_blocks_do_not_show_and_are_reported():
    surface, told = SURFACES["Himmelblau"], []
    problem, rule = SurfaceProblem(surface), built(surface, "Momentum", 12.0)
    size = 100  # 40 rows to a block
    result = basins(
        problem, rule, surface.window, size, 25, surface.minima, report=lambda *done: told.append(done)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    agrees(
        surface,
        result,
        problem,
        rule,
        25,
        [(0, 0), (39, 99), (40, 0), (79, 50), (80, 50), (99, 99), (50, 31)],
    )


def test_a_listener_may_end_the_work():
    surface = SURFACES["Himmelblau"]

    def stop(done, blocks):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        basins(SurfaceProblem(surface), built(surface, "GD", 1.0), surface.window, 4, 1, (), report=stop)


def test_starts_are_the_centers_of_pixels():
    surface = SURFACES["Quadratic bowl"]
    result = basins(SurfaceProblem(surface), built(surface, "GD", 1.0), surface.window, 4, 0, surface.minima)
    assert np.allclose(result.x, [-4.875, -2.625, -0.375, 1.875], atol=1e-15)
    assert np.allclose(result.y, [-2.6875, -1.0625, 0.5625, 2.1875], atol=1e-15)


@pytest.mark.parametrize(("kappa", "theta", "lr"), [(1.0, 0.0, 0.1), (50.0, 0.0, 0.45), (10.0, 30.0, 0.3)])
def test_gradient_descent_on_a_quadratic_arrives_when_the_closed_form_does(kappa, theta, lr):
    surface, steps, radius = SURFACES["Quadratic bowl"], 200, 0.07
    problem = SurfaceProblem(surface, {"kappa": kappa, "theta": theta})
    result = basins(
        problem, OPTIMIZERS["GD"].build(lr=lr), surface.window, 11, steps, surface.minima, radius=radius
    )
    turn = np.radians(theta)
    x, y = np.meshgrid(result.x, result.y)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    t = np.arange(steps + 1)[:, None, None]
    distance = np.hypot((1 - lr * 4 / kappa) ** t * u, (1 - lr * 4) ** t * v)
    # |1 − lr·λ| < 1: the distance only falls.
    expected = np.where((distance <= radius).any(axis=0), (distance <= radius).argmax(axis=0), -1)
    assert np.array_equal(result.arrived_at, expected)
    assert np.array_equal(result.minimum, np.where(expected >= 0, 0, -1))


def test_gradient_descent_leaves_a_saddle_when_the_closed_form_does():
    surface, lr = SURFACES["Saddle"], 0.1
    result = basins(SurfaceProblem(surface), OPTIMIZERS["GD"].build(lr=lr), surface.window, 10, 300, ())
    y = np.broadcast_to(result.y[:, None], (10, 10))
    assert np.array_equal(result.left_at, np.floor(np.log(2 / np.abs(y)) / np.log(1 + 2 * lr)) + 1)
    assert np.array_equal(result.side, np.where(y > 0, SIDES.index("top"), SIDES.index("bottom")))
    assert (result.minimum == -1).all()
    assert (result.arrived_at == -1).all()
    assert (result.diverged_at == -1).all()


def test_where_the_gradient_is_zero_a_start_stays():
    """The center of an odd map of the saddle is its stationary point."""
    surface = SURFACES["Saddle"]
    result = basins(SurfaceProblem(surface), OPTIMIZERS["Adam"].build(lr=0.1), surface.window, 5, 50, ())
    assert pixel(result, 2, 2) == (-1, -1, -1, -1, -1)
    listed = (Stationary((0.0, 0.0), 0.0, "saddle"),)
    result = basins(SurfaceProblem(surface), OPTIMIZERS["Adam"].build(lr=0.1), surface.window, 5, 50, listed)
    assert pixel(result, 2, 2) == (0, 0, -1, -1, -1)


def test_a_run_that_only_passes_a_minimum_has_not_arrived():
    surface = SURFACES["Quadratic bowl"]
    problem = SurfaceProblem(surface, {"kappa": 1.0})
    # lr·λ = 2: each step mirrors the point; within reach it is from the start, or never.
    result = basins(problem, OPTIMIZERS["GD"].build(lr=0.5), surface.window, 8, 7, surface.minima, radius=2.0)
    apart = np.hypot(*np.meshgrid(result.x, result.y))
    assert np.array_equal(result.arrived_at, np.where(apart <= 2.0, 0, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size = 0"),
        ({"steps": -1}, "steps = -1"),
        ({"radius": 0.0}, "radius = 0.0"),
        ({"radius": np.nan}, "radius = nan"),
        ({"rule": OPTIMIZERS["GD"].build(lr=np.array([0.1, 0.2]))}, "need the shape"),
    ],
)
def test_arguments_are_checked(change, message):
    surface = SURFACES["Saddle"]
    given = {"rule": OPTIMIZERS["GD"].build(lr=0.1), "size": 4, "steps": 3} | change
    with pytest.raises(ValueError, match=message):
        basins(SurfaceProblem(surface), window=surface.window, minima=(), **given)


@pytest.mark.parametrize(
    "name",
    [s.name for s in SURFACES.values() if s.complete and all(m.isolated and m.smooth for m in s.minima)],
)
def test_the_search_finds_what_a_complete_surface_lists(name):
    surface = SURFACES[name]
    found = find_minima(SurfaceProblem(surface), surface.window)
    assert len(found) == len(surface.minima)
    for listed in surface.minima:
        near = min(found, key=lambda m: np.hypot(*np.subtract(m.point, listed.point)))
        assert np.allclose(near.point, listed.point, rtol=1e-7, atol=1e-7)
        assert near.value == pytest.approx(listed.value, rel=1e-9, abs=1e-9)
    assert [m.value for m in found] == sorted(m.value for m in found)


def test_the_search_leaves_out_curves_of_minima():
    surface = SURFACES["Two-weight net"]
    assert find_minima(SurfaceProblem(surface), surface.window) == ()
