"""Runs against closed forms on the quadratic, clipping against PyTorch, and the bookkeeping of a run."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest

from core.descent import SurfaceProblem, descend, left_window, steps_to
from core.optimizers import OPTIMIZERS, Rule
from core.quadratic import (
    gd_limit,
    gd_path_quadratic,
    heavy_ball_limit,
    momentum_path_quadratic,
    nesterov_limit,
    quadratic_rates,
)
from core.surfaces import SURFACES, rotate_start

CURVATURES = np.array([0.08, 4.0])
START = np.array([-5.0, -2.0])
WINDOW = (-6.0, 3.0, -3.5, 3.0)
FIRST_FIGURE = {"GD": 0.45, "Momentum": 0.05, "RMSProp": 0.1, "Adam": 0.3}

every = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


class Quadratic:
    """½ Σ λᵢwᵢ² for any curvatures."""

    def __init__(self, curvatures=CURVATURES) -> None:
        self.curvatures = np.asarray(curvatures)

    def f(self, w):
        return 0.5 * (self.curvatures * w * w).sum(axis=-1)

    def grad(self, w):
        return self.curvatures * w


class Slope:
    """A plane: the same gradient everywhere."""

    def __init__(self, gradient) -> None:
        self.gradient = np.asarray(gradient)

    def f(self, w):
        return np.zeros(w.shape[:-1])

    def grad(self, w):
        return np.broadcast_to(self.gradient, w.shape)


class Noisy(Quadratic):
    """The quadratic with normal noise in its gradient; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def grad(self, w, t, rng):
        self.seen.append(t)
        return super().grad(w) + rng.normal(size=w.shape)


def quadratic_run(name: str, steps: int = 60, **knobs):
    return descend(Quadratic(), OPTIMIZERS[name].build(**knobs), START, steps)


# What a run records


def test_shapes_and_start():
    starts = np.random.default_rng(0).normal(size=(5, 2))
    rates = np.array([[0.1], [0.2], [0.3]])
    result = descend(Quadratic(), OPTIMIZERS["Adam"].build(lr=rates), starts, 7, keep_state=True)
    assert result.path.shape == result.gradient.shape == (8, 3, 5, 2)
    assert result.value.shape == (8, 3, 5)
    assert result.diverged_at.shape == (3, 5)
    assert result.state.m.shape == (8, 3, 5, 2)
    np.testing.assert_array_equal(result.path[0], np.broadcast_to(starts, (3, 5, 2)))


@every
def test_record_is_consistent(optimizer):
    problem = Quadratic()
    rule = optimizer.build(lr=0.1)
    result = descend(problem, rule, START, 10, keep_state=True)
    np.testing.assert_array_equal(result.value, problem.f(result.path))
    np.testing.assert_array_equal(result.gradient, problem.grad(result.path))
    state = rule.init(START)
    for t in range(10):
        for part, kept in zip(state, result.state, strict=True):
            np.testing.assert_array_equal(part, kept[t])
        step, state = rule.update(result.gradient[t], state, result.path[t])
        np.testing.assert_array_equal(result.path[t] + step, result.path[t + 1])
    for part, kept in zip(state, result.state, strict=True):
        np.testing.assert_array_equal(part, kept[10])


@every
def test_longer_run_begins_with_the_shorter_one(optimizer):
    rule = optimizer.build(lr=0.1)
    short, long = (descend(Quadratic(), rule, START, steps) for steps in (10, 25))
    np.testing.assert_array_equal(long.path[:11], short.path)
    np.testing.assert_array_equal(long.value[:11], short.value)


@every
def test_states_of_a_grid_stack(optimizer):
    for knob in optimizer.knobs:
        if knob.kind == "bool":
            continue
        values = np.array([knob.default, np.clip(0.5, knob.low, knob.high)])
        rule = optimizer.build(**{knob.name: values[:, None]})
        result = descend(Quadratic(), rule, np.tile(START, (3, 1)), 4, keep_state=True)
        assert result.path.shape == (5, 2, 3, 2)
        assert all(len(part) == 5 for part in result.state)


def test_states_only_on_request():
    assert quadratic_run("Adam").state is None


def test_inputs_are_left_alone():
    start = START.copy()
    start.flags.writeable = False
    result = descend(Quadratic(), OPTIMIZERS["GD"].build(lr=0.1), start, 3)
    result.path[0] = 0
    np.testing.assert_array_equal(start, START)


def test_no_steps_no_starts_one_coordinate():
    rule = OPTIMIZERS["Adam"].build()
    none = descend(Quadratic(), rule, START, 0)
    np.testing.assert_array_equal(none.path, [START])
    assert none.diverged_at == -1
    empty = descend(Quadratic(), rule, np.empty((0, 2)), 5)
    assert empty.path.shape == (6, 0, 2)
    assert empty.diverged_at.shape == (0,)
    line = descend(Quadratic([2.0]), OPTIMIZERS["GD"].build(lr=0.25), [1.0], 3)
    np.testing.assert_array_equal(line.path[:, 0], [1, 0.5, 0.25, 0.125])


def test_many_points_are_valued_in_blocks():
    starts = np.random.default_rng(3).normal(size=(40_000, 2))
    result = descend(Quadratic(), OPTIMIZERS["GD"].build(lr=0.1), starts, 5)
    np.testing.assert_array_equal(result.value, Quadratic().f(result.path))


def test_bad_arguments():
    rule = OPTIMIZERS["GD"].build()
    with pytest.raises(ValueError, match="steps = -1"):
        descend(Quadratic(), rule, START, -1)
    with pytest.raises(ValueError, match=r"start = 2\.0"):
        descend(Quadratic(), rule, 2.0, 1)


# Problems


def test_knobs_of_a_surface():
    bowl = SURFACES["Quadratic bowl"]
    rule = OPTIMIZERS["Adam"].build(lr=0.3)
    angles = np.array([0.0, 15.0, 45.0])
    together = descend(SurfaceProblem(bowl, {"theta": angles}), rule, START, 30, keep_state=True)
    assert together.path.shape == (31, 3, 2)
    assert together.state.v.shape == (31, 3, 2)
    for i, theta in enumerate(angles):
        alone = descend(SurfaceProblem(bowl, {"theta": theta}), rule, START, 30)
        np.testing.assert_allclose(together.path[:, i], alone.path, rtol=1e-12)
        np.testing.assert_allclose(together.value[:, i], alone.value, rtol=1e-12)
    np.testing.assert_array_equal(
        descend(SurfaceProblem(bowl), rule, START, 30).path, descend(bowl, rule, START, 30).path
    )


def test_noise_is_drawn_once_a_step():
    rule = OPTIMIZERS["GD"].build(lr=[0.1, 0.2])
    short, long = Noisy(), Noisy()
    first = descend(short, rule, START, 10, rng=np.random.default_rng(5))
    second = descend(long, rule, START, 20, rng=np.random.default_rng(5))
    assert short.seen == list(range(11))
    np.testing.assert_array_equal(second.path[:11], first.path)
    np.testing.assert_allclose(
        first.path[1:] - first.path[:-1],
        -np.array([[0.1], [0.2]]) * first.gradient[:-1],
        rtol=1e-9,
        atol=1e-12,
    )
    draws = np.random.default_rng(5).normal(size=(11, 2, 2))
    np.testing.assert_allclose(first.gradient - CURVATURES * first.path, draws, atol=1e-12)


# Clipping, projection and rules by step


def clipped(gradient, start=(0.0, 0.0), steps=1, lr=1.0, **clips):
    return descend(Slope(gradient), OPTIMIZERS["GD"].build(lr=lr), start, steps, **clips)


@pytest.mark.parametrize("most", [0.0, 1.0, 4.999, 5.0, 7.5, math.inf])
def test_clip_by_norm_on_a_plane(most):
    result = clipped([3.0, -4.0], clip_norm=most)
    share = min(1.0, most / (5.0 + 1e-6))  # PyTorch's 1e-6: the clipped norm stays just below the threshold
    np.testing.assert_allclose(result.gradient, share * result.raw, rtol=1e-15)
    np.testing.assert_array_equal(result.raw, [[3.0, -4.0]] * 2)
    np.testing.assert_array_equal(result.path[1], -result.gradient[0])
    assert result.diverged_at == -1


@pytest.mark.parametrize(
    ("most", "expected"), [(0.0, [0, 0]), (2.0, [0.5, -2]), (4.0, [0.5, -4]), (math.inf, [0.5, -4])]
)
def test_clip_by_value_on_a_plane(most, expected):
    result = clipped([0.5, -4.0], clip_value=most)
    np.testing.assert_array_equal(result.gradient, [expected] * 2)
    np.testing.assert_array_equal(result.raw, [[0.5, -4.0]] * 2)


def test_norm_is_clipped_before_the_coordinates():
    result = clipped([30.0, 40.0], clip_norm=5.0, clip_value=3.5)
    np.testing.assert_allclose(result.gradient[0], [3, 3.5], rtol=1e-6)  # the other way: (3.5, 3.5)


# The gradient, then what clip_grad_norm_(…, 1) and clip_grad_value_(…, 1) of PyTorch 2.13 make of it.
UNUSUAL = [
    ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    ([1e-200, 0.0], [1e-200, 0.0], [1e-200, 0.0]),
    ([3.0, 4.0], [0.599999880000024, 0.799999840000032], [1.0, 1.0]),
    ([1e200, 1e200], [0.0, 0.0], [1.0, 1.0]),
    ([math.inf, 1.0], [math.nan, 0.0], [1.0, 1.0]),
    ([math.nan, 1.0], [math.nan, math.nan], [math.nan, 1.0]),
    ([-math.inf, math.nan], [math.nan, math.nan], [-1.0, math.nan]),
]


@pytest.mark.parametrize(("gradient", "by_norm", "by_value"), UNUSUAL)
def test_unusual_gradients_are_clipped_as_pytorch_does(gradient, by_norm, by_value):
    for clips, expected in (({"clip_norm": 1.0}, by_norm), ({"clip_value": 1.0}, by_value)):
        result = clipped(gradient, **clips)
        np.testing.assert_allclose(result.gradient[0], expected, rtol=1e-15)
        np.testing.assert_array_equal(result.raw[0], gradient)
    # No gradient that is lost in this way goes unseen.
    lost = not np.isfinite(np.square(gradient).sum()) if max(np.abs(gradient)) < 1e150 else True
    assert (clipped(gradient, clip_norm=1.0).diverged_at == 0) == lost
    assert (clipped(gradient, clip_value=1.0).diverged_at >= 0) == bool(np.isnan(gradient).any())


def test_nothing_clipped_nothing_copied():
    result = quadratic_run("Adam")
    assert result.raw is result.gradient
    rule, starts = OPTIMIZERS["Adam"].build(lr=0.1), np.random.default_rng(0).normal(size=(4, 2))
    free = descend(Quadratic(), rule, starts, 30)
    for clips in ({"clip_norm": 1e3}, {"clip_value": 1e3}):
        same = descend(Quadratic(), rule, starts, 30, **clips)
        np.testing.assert_array_equal(same.path, free.path)
        np.testing.assert_array_equal(same.raw, same.gradient)


@pytest.mark.parametrize("clip", ["clip_norm", "clip_value"])
def test_thresholds_broadcast_like_knobs(clip):
    starts = np.random.default_rng(1).normal(size=(3, 2))
    most, rates = np.array([[0.1], [1.0]]), np.array([[[0.05]], [[0.2]]])
    together = descend(Quadratic(), OPTIMIZERS["Momentum"].build(lr=rates), starts, 9, **{clip: most})
    assert together.path.shape == together.raw.shape == (10, 2, 2, 3, 2)
    assert together.diverged_at.shape == (2, 2, 3)
    for i, j, k in itertools.product(range(2), range(2), range(3)):
        rule = OPTIMIZERS["Momentum"].build(lr=rates[i, 0, 0])
        alone = descend(Quadratic(), rule, starts[k], 9, **{clip: most[j, 0]})
        np.testing.assert_allclose(together.path[:, i, j, k], alone.path, rtol=1e-12)
        np.testing.assert_allclose(together.raw[:, i, j, k], alone.raw, rtol=1e-12)
    noisy = descend(
        Noisy(), OPTIMIZERS["GD"].build(), START, 2, rng=np.random.default_rng(0), clip_norm=[1, 2]
    )
    np.testing.assert_allclose(
        noisy.raw - CURVATURES * noisy.path,
        np.random.default_rng(0).normal(size=(3, 2, 2)),
        atol=1e-12,
    )


@pytest.mark.parametrize("clip", ["clip_norm", "clip_value"])
def test_thresholds_are_not_negative(clip):
    for bad in (-1.0, math.nan, [1.0, -2.0]):
        with pytest.raises(ValueError, match=f"{clip} = "):
            clipped([1.0, 1.0], **{clip: bad})


def test_clipping_tames_the_cliff():
    surface = SURFACES["Plateau and cliff"]
    rule = OPTIMIZERS["GD"].build(lr=surface.rate)
    wild, tame = (descend(surface, rule, (-6.0, 3.0), 60, clip_norm=c) for c in (None, 2.0))
    assert left_window(wild.path, surface.window) == 1
    assert left_window(tame.path, surface.window) == -1
    lengths = np.linalg.norm(np.diff(tame.path, axis=0), axis=-1)
    assert (lengths <= surface.rate * 2.0).all()
    assert tame.value[-1] < 0.5 < tame.value[0]


def into_box(w):
    return np.clip(w, -1, 1)


def test_projection_into_a_box():
    result = descend(Slope([0.3, -2.0]), OPTIMIZERS["GD"].build(lr=1.0), [0.5, -3.0], 6, project=into_box)
    np.testing.assert_array_equal(result.path[0], [0.5, -3])  # the start is taken as it is
    t = np.arange(1, 7)
    expected = np.stack([np.maximum(-1, 0.5 - 0.3 * t), np.minimum(1, -3 + 2.0 * t)], axis=-1)
    np.testing.assert_allclose(result.path[1:], expected, rtol=1e-14)
    both = descend(Slope([0.3, -2.0]), OPTIMIZERS["GD"].build(lr=[1.0, 0.1]), START, 6, project=into_box)
    assert (np.abs(both.path[1:]) <= 1).all()


@every
def test_projection_that_does_nothing(optimizer):
    rule = optimizer.build(lr=0.05)
    plain, kept = (descend(Quadratic(), rule, START, 10, project=p) for p in (None, lambda w: w))
    np.testing.assert_array_equal(kept.path, plain.path)


def test_projection_hides_no_overflow():
    result = descend(Slope([1e308, 0.0]), OPTIMIZERS["GD"].build(lr=10.0), [0.0, 5.0], 2, project=into_box)
    assert result.diverged_at == 1
    assert result.path[1, 0] == -math.inf
    assert result.path[1, 1] == 5  # the point is left as it is, not half of it


def test_rules_by_step():
    rates = [0.1, 0.4, 0.2]
    asked = []

    def rule_at(t):
        asked.append(t)
        return OPTIMIZERS["GD"].build(lr=rates[t])

    result = descend(Quadratic(), rule_at, START, 3)
    np.testing.assert_allclose(result.path[-1], START * np.prod([1 - r * CURVATURES for r in rates], axis=0))
    assert sorted(set(asked)) == [0, 1, 2]
    rule = OPTIMIZERS["Adam"].build(lr=0.1)
    by_step, plain = (descend(Quadratic(), r, START, 20, keep_state=True) for r in (lambda t: rule, rule))
    np.testing.assert_array_equal(by_step.path, plain.path)
    np.testing.assert_array_equal(by_step.state.v, plain.state.v)


class Counted:
    """A problem that knows its steps: the gradient of step t is t + 1."""

    f = Slope([0.0]).f

    def grad_at(self, w, t):
        return np.full(w.shape, t + 1.0)


def test_problems_that_know_their_steps():
    for rng in (None, np.random.default_rng(0)):
        result = descend(Counted(), OPTIMIZERS["GD"].build(lr=1.0), [0.0], 4, rng=rng, clip_value=3.5)
        np.testing.assert_array_equal(result.raw[:, 0], [1, 2, 3, 4, 5])
        np.testing.assert_array_equal(result.path[:, 0], [0, -1, -3, -6, -9.5])


def test_amsgrad_counterexample_in_its_box():
    """Reddi, Kale, Kumar 2018, section 3: gradients C, −1, −1 with C = 3; the best point of [−1, 1] is −1."""

    class Online(Counted):
        def grad_at(self, w, t):
            return np.full(w.shape, 3.0 if t % 3 == 0 else -1.0)

    ends = {}
    for name in ("Adam", "AMSGrad"):
        rules = [OPTIMIZERS[name].build(lr=0.5 / math.sqrt(t + 1), beta1=0.0, beta2=0.1) for t in range(900)]
        ends[name] = descend(Online(), rules.__getitem__, [0.0], 900, project=into_box).path[-1].item()
    assert ends["Adam"] > 0.9
    assert ends["AMSGrad"] < -0.9


# Divergence, windows and targets


def test_divergence_has_its_step():
    lr, lam = 1.0, 1e30
    result = descend(Quadratic([lam]), OPTIMIZERS["GD"].build(lr=lr), [1.0], 20)
    # |w_t| = 1e30^t; ½λw² overflows at t = 5 (10^330), w itself at t = 11.
    assert result.diverged_at == 5
    assert np.isfinite(result.path[:11]).all()
    assert not np.isfinite(result.path[11:]).any()
    assert np.isinf(result.value[5])


def test_divergence_of_one_run_among_many():
    rule = OPTIMIZERS["GD"].build(lr=[0.1, 1.0, 2.0])
    result = descend(Quadratic([1e30, 1.0]), rule, [[0.0, 1.0]], 20)
    np.testing.assert_array_equal(result.diverged_at, [-1, -1, -1])
    result = descend(Quadratic([1e30, 1.0]), rule, [[1.0, 1.0]], 20)
    alone = [
        descend(Quadratic([1e30, 1.0]), OPTIMIZERS["GD"].build(lr=lr), [1.0, 1.0], 20).diverged_at
        for lr in (0.1, 1.0, 2.0)
    ]
    np.testing.assert_array_equal(result.diverged_at, alone)
    assert (result.diverged_at > 0).all()


def test_divergence_at_the_start():
    result = descend(Quadratic(), OPTIMIZERS["Adam"].build(), [math.nan, 1.0], 3)
    assert result.diverged_at == 0


def test_value_that_is_infinite_only_in_between():
    class Spike(Slope):
        def f(self, w):
            return np.where(np.abs(w[..., 0] - 2) < 0.5, np.inf, 0.0)

    result = descend(Spike([-1.0]), OPTIMIZERS["GD"].build(lr=1.0), [0.0], 5)
    np.testing.assert_array_equal(result.path[:, 0], np.arange(6))
    assert result.diverged_at == 2


@pytest.mark.parametrize("name", ["AdaGrad", "RMSProp", "Adam", "AMSGrad", "Nadam"])
def test_state_that_overflows_is_no_convergence(name):
    rule = OPTIMIZERS[name].build(lr=[1.0, 0.1])
    result = descend(Slope([1e200, 1.0]), rule, START, 5)
    np.testing.assert_array_equal(result.path[-1, :, 0], START[0])  # g² = ∞, so the step is 0
    np.testing.assert_array_equal(result.diverged_at, [1, 1])
    assert (descend(Slope([1e100, 1.0]), rule, START, 5).diverged_at == -1).all()


def test_state_that_overflows_later():
    rule = OPTIMIZERS["AdaGrad"].build(lr=1.0)
    # Each squared gradient is 0.64e308, so the second sum is finite and the third is not.
    result = descend(Slope([0.8e154]), rule, [0.0], 6)
    assert result.diverged_at == 3


def test_states_with_axes_of_their_own():
    class Pairs(NamedTuple):
        pairs: np.ndarray
        total: np.ndarray

    def update(g, state, w):
        return 0 * g, Pairs(np.concatenate([state.pairs[1:], (state.total * g)[None]]), state.total + 1)

    rule = Rule(lambda w: Pairs(np.zeros((3, *w.shape)), np.ones((*w.shape[:-1], 1))), update)
    result = descend(Slope([[1e308, 1.0], [1.0, 1.0]]), rule, np.zeros((2, 2)), 5, keep_state=True)
    assert result.state.pairs.shape == (6, 3, 2, 2)
    np.testing.assert_array_equal(result.diverged_at, [2, -1])  # the second pair, 2e308, overflows


def test_left_window():
    path = np.array([[0.0, 0.0], [3.0, 3.0], [3.1, 0.0], [0.0, 0.0]])
    assert left_window(path, WINDOW) == 2
    assert left_window(path, ((-6, 3), (-3.5, 3))) == 2
    assert left_window(path[:2], WINDOW) == -1
    assert left_window(path - 10, WINDOW) == 0
    below = np.array([[0.0, 0.0], [0.0, -3.6]])
    lost = np.array([[0.0, 0.0], [math.nan, 0.0]])
    np.testing.assert_array_equal(left_window(np.stack([below, lost, 0 * lost], 1), WINDOW), [1, 1, 1])
    np.testing.assert_array_equal(left_window(np.stack([below, path[:2]], 1), WINDOW), [1, -1])


def test_steps_to():
    value = np.array([[9.0, 9.0, 9.0], [1.0, math.nan, 5.0], [2.0, 0.5, math.inf]])
    np.testing.assert_array_equal(steps_to(value, 1.0), [1, 2, -1])
    np.testing.assert_array_equal(steps_to(value, [9.0, 0.5, 5.0]), [0, 2, 1])


# What the pages say


@pytest.mark.parametrize(
    ("name", "distance"), [("GD", "0.55"), ("Momentum", "0.11"), ("RMSProp", "0.002"), ("Adam", "0.21")]
)
def test_distance_left_in_the_first_figure(name, distance):
    end = quadratic_run(name, lr=FIRST_FIGURE[name]).path[-1]
    digits = len(distance.split(".")[1])
    assert f"{np.linalg.norm(end):.{digits}f}" == distance


def test_gd_past_its_limit_leaves_the_window():
    assert gd_limit(4.0) == 0.5
    result = quadratic_run("GD", lr=0.504)
    # y_t = −2(−1.016)^t: |y| passes 3 at t = 26, where y is negative and the window goes down to −3.5.
    assert left_window(result.path, (-6.0, 3.0, -3.0, 3.0)) == math.ceil(math.log(1.5, 1.016)) == 26
    assert left_window(result.path, WINDOW) == 27
    assert left_window(quadratic_run("GD", lr=0.45).path, WINDOW) == -1
    growth = np.abs(result.path[1:, 1] / result.path[:-1, 1])
    np.testing.assert_allclose(growth, 0.504 * 4 - 1, rtol=1e-12)
    assert quadratic_run("GD", 50_000, lr=0.504).diverged_at > 0


@pytest.mark.parametrize(
    ("theta", "steps"), [(0.0, [33, 37, 9, 21]), (15.0, [33, 37, 41, 50]), (45.0, [33, 37, 77, 79])]
)
def test_rotating_the_valley(theta, steps):
    problem = SurfaceProblem(SURFACES["Quadratic bowl"], {"theta": theta})
    start = rotate_start(START, theta)
    runs = [
        descend(problem, OPTIMIZERS[name].build(lr=lr), start, 100).value for name, lr in FIRST_FIGURE.items()
    ]
    assert [steps_to(value, 0.01 * value[0]) for value in runs] == steps


def test_himmelblau_ends_in_two_minima():
    problem, start = SURFACES["Himmelblau"], [0.0, 0.0]
    ends = [descend(problem, OPTIMIZERS[n].build(lr=0.01), start, 500).path[-1] for n in ("GD", "Momentum")]
    np.testing.assert_allclose(ends, [[3, 2], [3.584428, -1.848127]], atol=1e-6)


def test_beale_with_momentum_diverges():
    surface = SURFACES["Beale"]
    result = descend(surface, OPTIMIZERS["Momentum"].build(lr=0.01), [1.0, 1.5], 100)
    assert left_window(result.path, surface.window) == 7
    assert result.diverged_at == 10
    assert np.isfinite(result.value[:10]).all()
    assert not np.isfinite(result.value[10])
    assert np.isnan(result.path[-1]).all()


# Closed forms on the quadratic

RATES = [0.01, 0.05, 0.45, 0.5, 0.52]
MOMENTA = [0.0, 0.3, 0.9, 0.99]
METHODS = [("Momentum", False), ("Nesterov", True)]


def one_step_matrix(name: str, lr: float, momentum: float, curvature: float) -> np.ndarray:
    """Push the unit vectors of (u, v) through the optimizer itself."""
    rule = OPTIMIZERS[name].build(lr=lr, momentum=momentum)
    columns = []
    for u, v in ((1.0, 0.0), (0.0, 1.0)):
        w = np.array([u])
        state = rule.init(w)._replace(velocity=np.array([v]), t=1)
        step, new = rule.update(curvature * w, state, w)
        columns.append([(w + step).item(), new.velocity.item()])
    return np.array(columns).T


@pytest.mark.parametrize(("name", "nesterov"), METHODS)
@pytest.mark.parametrize("curvature", [0.08, 4.0, 0.0, -1.0])
def test_rates_are_spectral_radii(name, nesterov, curvature):
    for lr, momentum in itertools.product([*RATES, 5.0], MOMENTA):
        matrix = one_step_matrix(name, lr, momentum, curvature)
        radius = np.abs(np.linalg.eigvals(matrix)).max()
        # eigvals loses half the digits at a double eigenvalue
        assert quadratic_rates(lr, momentum, curvature, nesterov=nesterov) == pytest.approx(radius, rel=1e-7)


def test_rates_without_momentum():
    lr = np.array([[0.1], [0.45], [0.5], [1e300]])
    expected = np.abs(1 - lr * CURVATURES)
    np.testing.assert_array_equal(quadratic_rates(lr, 0.0, CURVATURES), expected)
    np.testing.assert_allclose(quadratic_rates(lr, 0.0, CURVATURES, nesterov=True), expected, rtol=1e-15)


def test_heavy_ball_at_critical_damping():
    lr, lam = 0.04, 4.0
    critical = (1 - math.sqrt(lr * lam)) ** 2
    assert quadratic_rates(lr, critical, lam) == pytest.approx(math.sqrt(critical), abs=1e-7)
    assert quadratic_rates(lr, 0.9, lam) == pytest.approx(math.sqrt(0.9), rel=1e-15)


@pytest.mark.parametrize("kappa", [2.0, 50.0, 1000.0])
def test_best_heavy_ball(kappa):
    roots = np.sqrt([4.0 / kappa, 4.0])
    lr = (2 / roots.sum()) ** 2
    momentum = ((math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)) ** 2
    np.testing.assert_allclose(quadratic_rates(lr, momentum, roots**2), math.sqrt(momentum), atol=1e-7)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("curvature", [1e-6, 0.08, 4.0, 1e6])
def test_limits_are_where_the_rate_is_one(momentum, curvature):
    for limit, nesterov in (
        (heavy_ball_limit(curvature, momentum), False),
        (nesterov_limit(curvature, momentum), True),
    ):
        for factor, side in ((1 - 1e-6, -1), (1 + 1e-6, 1)):
            rate = quadratic_rates(factor * limit, momentum, curvature, nesterov=nesterov)
            assert np.sign(rate - 1) == side
    assert heavy_ball_limit(curvature, 0.0) == nesterov_limit(curvature, 0.0) == gd_limit(curvature)


def test_limits_refuse_what_has_none():
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="curvature = "):
            gd_limit(bad)
    with pytest.raises(ValueError, match=r"momentum = 1\.0"):
        heavy_ball_limit(4.0, 1.0)
    with pytest.raises(ValueError, match=r"momentum = -0\.5"):
        nesterov_limit(4.0, [0.5, -0.5])


@pytest.mark.parametrize("lr", [1e-6, *RATES])
def test_gd_path(lr):
    measured = quadratic_run("GD", 200, lr=lr).path
    theory = gd_path_quadratic(lr, CURVATURES, START, 200)
    np.testing.assert_allclose(theory, measured, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "nesterov"), METHODS)
@pytest.mark.parametrize("momentum", [*MOMENTA, (1 - math.sqrt(0.05 * 4.0)) ** 2])
def test_momentum_path(name, nesterov, momentum):
    for lr in (1e-6, 0.05, 0.3):
        measured = quadratic_run(name, 200, lr=lr, momentum=momentum).path
        theory = momentum_path_quadratic(lr, momentum, CURVATURES, START, 200, nesterov=nesterov)
        np.testing.assert_allclose(theory, measured, rtol=1e-10, atol=1e-12)


def test_paths_of_many_starts_and_rates():
    starts = np.random.default_rng(4).normal(size=(3, 2))
    lr = np.array([0.01, 0.2])[:, None]
    rule = OPTIMIZERS["Nesterov"].build(lr=lr, momentum=0.5)
    theory = momentum_path_quadratic(lr[..., None], 0.5, CURVATURES, starts, 33, nesterov=True)
    np.testing.assert_allclose(theory, descend(Quadratic(), rule, starts, 33).path, rtol=1e-10, atol=1e-12)
    theory = gd_path_quadratic(lr[..., None], CURVATURES, starts, 33)
    rule = OPTIMIZERS["GD"].build(lr=lr)
    np.testing.assert_allclose(theory, descend(Quadratic(), rule, starts, 33).path, rtol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 64])
def test_paths_have_every_step(steps):
    assert gd_path_quadratic(0.1, CURVATURES, START, steps).shape == (steps + 1, 2)
    path = momentum_path_quadratic(0.1, 0.9, CURVATURES, START, steps)
    assert path.shape == (steps + 1, 2)
    np.testing.assert_array_equal(path[0], START)


def test_paths_that_overflow():
    path = gd_path_quadratic(1.0, [1e30, 1.0], [1.0, 0.0], 20)
    assert np.isinf(path[11:, 0]).all()
    np.testing.assert_array_equal(path[:, 1], 0.0)
    path = momentum_path_quadratic(1.0, 0.9, [1e30, 1e30], [1.0, 0.0], 20)
    assert np.isfinite(path[:10]).all()
    assert not np.isfinite(path[12:, 0]).any()
    np.testing.assert_array_equal(path[:, 1], 0.0)


@pytest.mark.parametrize(("name", "nesterov"), [("GD", False), *METHODS])
def test_measured_rate_tends_to_the_predicted_one(name, nesterov):
    momentum = {} if name == "GD" else {"momentum": 0.9}
    value = quadratic_run(name, 2000, lr=0.05, **momentum).value
    predicted = quadratic_rates(0.05, momentum.get("momentum", 0.0), CURVATURES, nesterov=nesterov).max()
    a, b = 400, 900
    assert (value[b] / value[a]) ** (0.5 / (b - a)) == pytest.approx(predicted, rel=5e-3)
