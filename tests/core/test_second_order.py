"""Newton against closed forms and linear algebra, L-BFGS against PyTorch and the secant equation."""

import inspect
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.descent import SurfaceProblem, descend
from core.optimizers import OPTIMIZERS
from core.schedules import scheduled
from core.second_order import REFERENCES
from core.stochastic import Noisy
from core.streams import stream
from core.surfaces import SURFACES

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "lbfgs.npz")
CASES = [json.loads(str(case)) for case in GOLDEN["cases"]]
BOWL = SURFACES["Quadratic bowl"]
START = np.array([-5.0, -2.0])

newton, lbfgs = REFERENCES["Newton"].build, REFERENCES["L-BFGS"].build
every = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
every_surface = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES.keys())


class Bent:
    """½ wᵀHw + bᵀw."""

    def __init__(self, h, b=None) -> None:
        self.h = np.asarray(h, dtype=float)
        self.b = np.zeros(len(self.h)) if b is None else np.asarray(b, dtype=float)

    def f(self, w):
        return 0.5 * np.einsum("...i,ij,...j->...", w, self.h, w) + w @ self.b

    def grad(self, w):
        return w @ self.h + self.b

    def hessian(self, w):
        return np.broadcast_to(self.h.astype(w.dtype), (*w.shape, len(self.h)))


def run(build, problem, start=START, steps=1, **knobs):
    return descend(problem, build(problem, **knobs), start, steps)


# What both have


@every
def test_entries_are_complete(reference):
    assert reference.name in REFERENCES
    taken = inspect.signature(reference.build).parameters
    assert list(taken)[1:] == [knob.name for knob in reference.knobs]
    for knob in reference.knobs:
        assert taken[knob.name].default == knob.default
    assert reference.update_rule.count("{") == reference.update_rule.count("}")
    assert reference.convention
    assert reference.source


@every
def test_longer_run_begins_with_the_shorter_one(reference):
    problem = SURFACES["Himmelblau"]
    short, long = (run(reference.build, problem, [1.0, 4.0], steps).path for steps in (6, 15))
    np.testing.assert_array_equal(long[:7], short)


@every
def test_many_starts_and_knobs_equal_each_alone(reference):
    problem = SURFACES["Rosenbrock"]
    starts, lr = stream(1).uniform(-2, 2, size=(5, 2)), np.array([[0.2], [0.9]])
    for extra in ({}, {"saddle_free": True, "shift": 0.5}, {"memory": 2, "line_search": True}):
        if not set(extra) <= {knob.name for knob in reference.knobs}:
            continue
        together = run(reference.build, problem, starts, 12, lr=lr, **extra).path
        assert together.shape == (13, 2, 5, 2)
        for i in range(2):
            for j in range(5):
                alone = run(reference.build, problem, starts[j], 12, lr=lr[i, 0], **extra).path
                np.testing.assert_allclose(together[:, i, j], alone, rtol=1e-7)


@every
def test_problem_with_knobs_that_are_arrays(reference):
    angles = np.array([0.0, 20.0, 45.0])
    together = run(reference.build, SurfaceProblem(BOWL, {"theta": angles}), START, 6, lr=0.7).path
    for i, theta in enumerate(angles):
        alone = run(reference.build, SurfaceProblem(BOWL, {"theta": theta}), START, 6, lr=0.7).path
        np.testing.assert_allclose(together[:, i], alone, rtol=1e-9, atol=1e-12)


@every
def test_no_gradient_no_step(reference):
    for extra in ({}, {"line_search": True}, {"saddle_free": True}):
        if not set(extra) <= {knob.name for knob in reference.knobs}:
            continue
        for name, point in (
            ("Monkey saddle", (0.0, 0.0)),
            ("Saddle", (0.0, 0.0)),
            ("Rosenbrock", (1.0, 1.0)),
        ):
            result = run(reference.build, SURFACES[name], point, 3, **extra)
            np.testing.assert_array_equal(result.path, np.broadcast_to(point, (4, 2)))
            assert result.diverged_at == -1


@every
def test_float32_stays(reference):
    rule = reference.build(BOWL)
    w = START.astype(np.float32)
    step, state = rule.update(BOWL.grad(w), rule.init(w), w)
    assert step.dtype == np.float32
    step, state = rule.update(BOWL.grad(w + step), state, w + step)
    assert step.dtype == np.float32
    assert all(part.dtype == np.float32 for part in state)


@every
def test_bad_knobs(reference):
    with pytest.raises(TypeError):
        reference.build(BOWL, learning_rate=1.0)
    for bad in (-0.1, math.nan, math.inf, [0.5, -1.0]):
        with pytest.raises(ValueError, match="lr = "):
            reference.build(BOWL, lr=bad)


@every
def test_a_schedule_takes_it_as_it_takes_an_optimizer(reference):
    problem = Bent(np.diag([0.5, 3.0]))
    rules = scheduled(partial(reference.build, problem), 1.0, [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(
        descend(problem, rules, START, 3).path, run(reference.build, problem, START, 3, lr=0.5).path
    )


@every
@every_surface
def test_stays_finite_or_says_when_not(reference, surface):
    result = run(reference.build, surface, surface.starts[0], 40)
    fine = np.isfinite(result.path).all() and np.isfinite(result.value).all()
    assert (result.diverged_at < 0) == bool(fine)


# Newton

SYMMETRIC = {
    "valley": [[0.08, 0.0], [0.0, 4.0]],
    "turned": [[3.0, 1.0], [1.0, 2.0]],
    "saddle": [[2.0, 0.0], [0.0, -2.0]],
    "turned saddle": [[1.0, 3.0], [3.0, 0.5]],
    "top": [[-3.0, 1.0], [1.0, -2.0]],
    "trace 0": [[0.0, 2.0], [2.0, 0.0]],
    "huge": [[3e200, 1e200], [1e200, -2e200]],
    "tiny": [[3e-200, 1e-200], [1e-200, -2e-200]],
}
symmetric = pytest.mark.parametrize("h", SYMMETRIC.values(), ids=SYMMETRIC.keys())


@symmetric
def test_newton_solves_a_quadratic_in_one_step(h):
    b = np.array(h) @ [1.5, -0.25]
    result = run(newton, Bent(h, b))
    np.testing.assert_allclose(result.path[1], [-1.5, 0.25], rtol=1e-14)


@pytest.mark.parametrize("lr", [0.0, 0.3, 1.0, 1.7])
def test_damped_newton_shrinks_all_directions_alike(lr):
    path = run(newton, Bent([[3.0, 1.0], [1.0, 2.0]]), START, 10, lr=lr).path
    np.testing.assert_allclose(path, START * (1 - lr) ** np.arange(11)[:, None], rtol=1e-12, atol=1e-14)


@symmetric
@pytest.mark.parametrize("shift", [0.0, 0.75])
@pytest.mark.parametrize("saddle_free", [False, True])
def test_newton_against_eigenvectors(h, shift, saddle_free):
    problem = Bent(h)
    eigenvalues, vectors = np.linalg.eigh(problem.h)
    used = (np.abs(eigenvalues) if saddle_free else eigenvalues) + shift
    g = problem.grad(START)
    rule = newton(problem, shift=shift, saddle_free=saddle_free)
    step, _ = rule.update(g, rule.init(START), START)
    expected = -vectors @ ((vectors.T @ g) / used)
    np.testing.assert_allclose(step, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    if saddle_free:
        assert step @ (g / np.abs(g).max()) < 0


def test_saddle_free_newton_leaves_the_saddle_that_newton_goes_to():
    plain = run(newton, SURFACES["Saddle"], [1.0, 1e-6])
    np.testing.assert_allclose(plain.path[1], [0, 0], atol=1e-16)
    free = run(newton, SURFACES["Saddle"], [1.0, 1e-6], 5, saddle_free=True)
    np.testing.assert_allclose(free.path[:, 1], 1e-6 * 2.0 ** np.arange(6), rtol=1e-12)
    np.testing.assert_allclose(free.path[1:, 0], 0, atol=1e-16)


def test_newton_in_one_dimension():
    for curvature in (2.0, -2.0):
        for saddle_free, expected in ((False, 0.0), (True, 0.0 if curvature > 0 else 10.0)):
            end = run(newton, Bent([[curvature]]), [5.0], saddle_free=saddle_free).path[1]
            np.testing.assert_allclose(end, [expected], atol=1e-15)
    with pytest.raises(ValueError, match="3 weights"):
        run(newton, Bent(np.eye(3)), np.ones(3))


@pytest.mark.parametrize("saddle_free", [False, True])
@pytest.mark.parametrize("h", [[[0, 0], [0, 0]], [[1, 0], [0, 0]], [[1, 1], [1, 1]], [[-4, 2], [2, -1]]])
def test_a_singular_hessian_is_a_divergence_unless_shifted(h, saddle_free):
    problem = Bent(h, [1.0, -3.0])
    result = run(newton, problem, START, 4, saddle_free=saddle_free)
    assert result.diverged_at == 1
    assert not np.isfinite(result.path[1]).all()
    shifted = run(newton, problem, START, 4, saddle_free=saddle_free, shift=0.5)
    assert shifted.diverged_at == -1


def test_a_large_shift_is_gradient_descent():
    problem, shift = SURFACES["Himmelblau"], 1e9
    step = np.diff(run(newton, problem, [1.0, 1.0], 1, shift=shift).path, axis=0)[0]
    np.testing.assert_allclose(step, -problem.grad([1.0, 1.0]) / shift, rtol=1e-6)
    shifts = np.array([0.5, 2.0])
    both = run(newton, Bent(np.diag([1.0, 3.0])), START, shift=shifts).path[1]
    # w − (λ+δ)⁻¹λw = w·δ/(λ+δ)
    np.testing.assert_allclose(both, START * shifts[:, None] / (shifts[:, None] + [1.0, 3.0]), rtol=1e-14)


def test_newton_converges_quadratically():
    error = np.linalg.norm(run(newton, SURFACES["Rosenbrock"], [1.05, 1.1], 6).path - 1, axis=-1)
    assert error[6] < 1e-14 < error[5]
    assert np.all(error[1:6] < 10 * error[:5] ** 2)


def test_newton_turns_with_the_valley():
    """Its path is the same in coordinates that turn with the bowl; Adam's is not."""
    angles = np.array([0.0, 30.0])
    c, s = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    starts = np.stack([c * START[0] - s * START[1], s * START[0] + c * START[1]], axis=-1)
    problem = SurfaceProblem(BOWL, {"theta": angles})
    value = run(newton, problem, starts, 10, lr=0.3).value
    np.testing.assert_allclose(value[:, 0], value[:, 1], rtol=1e-10)
    adam = descend(problem, OPTIMIZERS["Adam"].build(lr=0.3), starts, 10).value
    assert not np.allclose(adam[:, 0], adam[:, 1], rtol=1e-2)


# L-BFGS


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{c['function']}-{i}" for i, c in enumerate(CASES)])
def test_lbfgs_equals_pytorch(i):
    case, expected = CASES[i], GOLDEN["path"][i]
    problem = SURFACES[case["function"]]
    path = run(lbfgs, problem, case["start"], len(expected) - 1, **case["knobs"]).path
    assert np.max(np.abs(path - expected) / (1 + np.abs(expected))) <= 1e-9
    assert not np.array_equal(expected[0], expected[-1])


def test_golden_moves_the_knobs():
    for knob, count in (("lr", 4), ("memory", 4)):
        assert len({case["knobs"][knob] for case in CASES}) >= count
    assert {case["knobs"]["line_search"] for case in CASES} == {False}


def test_first_step_by_hand():
    for b, length in (([3.0, -4.0], 1 / 7), ([0.3, 0.4], 1.0)):
        path = run(lbfgs, Bent(np.zeros((2, 2)), b), START, 1, lr=0.5).path
        np.testing.assert_allclose(path[1] - START, -0.5 * length * np.array(b), rtol=1e-14)


def test_the_estimate_maps_the_last_change_to_the_last_step():
    problem = SURFACES["Beale"]
    rule = lbfgs(problem, memory=3)
    result = descend(problem, rule, [1.0, 1.0], 8, keep_state=True)
    state = type(result.state)(*(part[8] for part in result.state))
    assert state.steps.shape == state.changes.shape == (3, 2)
    y = result.gradient[8] - result.gradient[7]
    s = result.path[8] - result.path[7]
    assert y @ s > 1e-10
    # −step is H̃g and linear in g for a fixed memory; feed it g = y by way of a state that learns this pair.
    step, _ = rule.update(y, state._replace(gradient=y - y, moved=s), result.path[8])
    np.testing.assert_allclose(-step, s, rtol=1e-10)


def test_lbfgs_on_a_quadratic_ends_soon():
    gradient = np.linalg.norm(run(lbfgs, SURFACES["Booth"], [-6.0, -2.0], 14).gradient, axis=-1)
    assert gradient[14] < 1e-12 < gradient[1]


def test_memory_fills_and_negative_curvature_is_refused():
    problem = Bent(np.diag([1.0, 3.0]))
    states = descend(problem, lbfgs(problem, lr=0.5, memory=3), START, 5, keep_state=True).state
    np.testing.assert_array_equal((states.changes != 0).any(axis=-1).sum(axis=-1), [0, 0, 1, 2, 3, 3])
    np.testing.assert_array_equal(states.t[:, 0], np.arange(6))
    hill = Bent(np.diag([-1.0, -1.0]))
    states = descend(hill, lbfgs(hill), START, 3, keep_state=True).state
    np.testing.assert_array_equal(states.changes, 0)
    np.testing.assert_array_equal(states.scale, 1)


def test_line_search_never_goes_up():
    for surface in SURFACES.values():
        if surface.bounded_below:
            result = run(lbfgs, surface, surface.starts[0], 40, line_search=True)
            assert result.diverged_at == -1
            assert (np.diff(result.value) <= 0).all()
            assert result.value[-1] < result.value[0]


def test_line_search_halves_until_armijo():
    hard = Bent([[100.0]])
    # From w = 1 the first trial is 1/100 of 100, to 0: taken. With lr = 30 the 30, 15, 7.5, 3.75 go up, as
    # (1 − t)² > 1 − 2e-4·t for t ≥ 2, and 1.875 is taken.
    assert run(lbfgs, hard, [1.0], line_search=True).path[1] == pytest.approx(0, abs=1e-15)
    assert run(lbfgs, hard, [1.0], lr=30.0, line_search=True).path[1] == pytest.approx(1 - 1.875, rel=1e-12)


def test_no_step_where_the_search_finds_none():
    class Uphill(Bent):
        def grad(self, w):
            return -super().grad(w)

    problem = Uphill(np.diag([1.0, 2.0]))
    np.testing.assert_array_equal(run(lbfgs, problem, START, 2, line_search=True).path, [START] * 3)


@pytest.mark.parametrize("memory", [0, -1, 2.5])
def test_memory_is_a_count(memory):
    with pytest.raises(ValueError, match=f"memory = {memory}"):
        lbfgs(BOWL, memory=memory)


def test_noisy_gradients_exact_curvature():
    problem = Bent(np.diag([1.0, 4.0]))
    result = descend(Noisy(problem, 0.1), newton(problem), START, 3, rng=stream(2))
    noise = result.gradient - problem.grad(result.path)
    # Newton's step leaves −H⁻¹ noise, wherever it started.
    np.testing.assert_allclose(result.path[1:], -noise[:-1] / [1.0, 4.0], rtol=1e-9, atol=1e-13)


def test_overflow_is_a_divergence():
    for build in (newton, lbfgs):
        assert run(build, BOWL, [1e200, 1e200], 5).diverged_at == 0
        assert run(build, BOWL, [math.nan, 1.0], 5).diverged_at == 0
    steep = run(lbfgs, SURFACES["Beale"], [4.0, 4.0], 60, lr=2.0)
    assert steep.diverged_at == -1 or not np.isfinite(steep.value[steep.diverged_at])
