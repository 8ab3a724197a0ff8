"""Optimizers against PyTorch trajectories, first-step closed forms and the properties every rule must have."""

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from core.descent import descend
from core.optimizers import OPTIMIZERS, Optimizer, suggested_lr
from core.surfaces import SURFACES

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "optimizers.npz")
CASES = [json.loads(str(case)) for case in GOLDEN["cases"]]

CURVATURES = np.array([0.08, 4.0])

every = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
every_knob = pytest.mark.parametrize(
    ("optimizer", "knob"),
    [pytest.param(o, k, id=f"{o.name}-{k.name}") for o in OPTIMIZERS.values() for k in o.knobs],
)


class Quadratic:
    """½ Σ λᵢwᵢ²."""

    def f(self, w):
        return 0.5 * (CURVATURES.astype(w.dtype) * w * w).sum(axis=-1)

    def grad(self, w):
        return CURVATURES.astype(w.dtype) * w


class Ridge:
    """A surface plus ½ · ridge · ‖w‖²."""

    def __init__(self, surface, ridge: float) -> None:
        self.surface, self.ridge = surface, ridge

    def f(self, w):
        return self.surface.f(w) + 0.5 * self.ridge * (w * w).sum(axis=-1)

    def grad(self, w):
        return self.surface.grad(w) + self.ridge * w


class Flat:
    def f(self, w):
        return np.zeros(w.shape[:-1])

    def grad(self, w):
        return np.zeros_like(w)


def run(optimizer: Optimizer, start, steps: int = 20, problem=None, **knobs):
    return descend(problem or Quadratic(), optimizer.build(**knobs), start, steps).path


def without_decay(optimizer: Optimizer) -> dict[str, float]:
    return {knob.name: 0.0 for knob in optimizer.knobs if knob.name == "weight_decay"}


# The registry


@every
def test_entry_is_complete(optimizer):
    assert OPTIMIZERS[optimizer.name] is optimizer
    assert optimizer.knobs[0].name == "lr"
    assert optimizer.knobs[0].log
    assert optimizer.lr_factor > 0
    assert re.search(r"\b(18|19|20)\d\d$", optimizer.source)
    assert optimizer.convention
    assert r"w \leftarrow" in optimizer.update_rule
    assert optimizer.update_rule.count("{") == optimizer.update_rule.count("}")


def test_menu():
    assert list(OPTIMIZERS) == [
        "GD", "Momentum", "Nesterov", "AdaGrad", "AdaDelta", "RMSProp", "Adam", "AdamW", "AMSGrad", "Nadam",
    ]  # fmt: skip


@every
def test_knobs_are_the_keywords_of_build(optimizer):
    parameters = inspect.signature(optimizer.build).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert {p.name: p.default for p in parameters} == {k.name: k.default for k in optimizer.knobs}


@every
def test_torch_line_passes_every_knob(optimizer):
    words = re.findall(r"\w+", optimizer.torch)
    assert {knob.name for knob in optimizer.knobs} <= set(words)


@every
def test_misspelt_knob(optimizer):
    with pytest.raises(TypeError):
        optimizer.build(learning_rate=0.1)


@every_knob
def test_build_takes_the_whole_range_of_a_knob(optimizer, knob):
    for value in (knob.low, knob.high):
        path = run(optimizer, [-5.0, -2.0], steps=2, **{knob.name: value})
        assert np.isfinite(path).all()


@every_knob
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, [0.1, -0.1]])
def test_build_refuses_bad_numbers(optimizer, knob, bad):
    with pytest.raises(ValueError, match=rf"{knob.name} = .*≥ 0"):
        optimizer.build(**{knob.name: bad})


@pytest.mark.parametrize(
    ("name", "knob", "bad"),
    [("Adam", "beta1", 1.0), ("Nadam", "beta2", 1.0), ("RMSProp", "rho", 1.01), ("Momentum", "dampening", 2)],
)
def test_build_refuses_values_above_the_range(name, knob, bad):
    with pytest.raises(ValueError, match=rf"{knob} = .*1$"):
        OPTIMIZERS[name].build(**{knob: bad})


# Numbers


@pytest.mark.parametrize(
    "i", range(len(CASES)), ids=[f"{c['optimizer']}-{c['function']}-{i % 2}" for i, c in enumerate(CASES)]
)
def test_trajectory_equals_pytorch(i):
    case, expected = CASES[i], GOLDEN["path"][i]
    rule = OPTIMIZERS[case["optimizer"]].build(**case["knobs"])
    path = descend(SURFACES[case["function"]], rule, GOLDEN["start"][i], len(expected) - 1).path
    assert np.max(np.abs(path - expected) / (1 + np.abs(expected))) <= 1e-12
    assert not np.array_equal(expected[0], expected[-1])


def test_golden_covers_the_registry():
    assert {case["optimizer"] for case in CASES} == set(OPTIMIZERS)


@every
def test_golden_moves_every_knob(optimizer):
    ours = [case["knobs"] for case in CASES if case["optimizer"] == optimizer.name]
    for knob in optimizer.knobs:
        assert len({knobs[knob.name] for knobs in ours}) > 1


def nadam_first(g):
    mu, mu_next = (0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (1, 2))
    return -0.1 * (g + mu_next * (1 - 0.9) * g / (1 - mu * mu_next)) / (np.abs(g) + 1e-8)


FIRST_STEP = {
    "GD": lambda g, w: -0.1 * g,
    "Momentum": lambda g, w: -0.1 * g,
    "Nesterov": lambda g, w: -0.1 * (1 + 0.9) * g,
    "AdaGrad": lambda g, w: -0.1 * g / (np.abs(g) + 1e-10),
    "AdaDelta": lambda g, w: -0.1 * np.sqrt(1e-6 / ((1 - 0.9) * g**2 + 1e-6)) * g,
    "RMSProp": lambda g, w: -0.1 * g / (np.sqrt(1 - 0.99) * np.abs(g) + 1e-8),
    "Adam": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8),
    "AdamW": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8) - 0.1 * 0.01 * w,
    "AMSGrad": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8),
    "Nadam": lambda g, w: nadam_first(g),
}


@every
def test_first_step_in_closed_form(optimizer):
    g, w = np.array([0.3, -1e-6, 50.0]), np.array([1.0, 2.0, -3.0])
    rule = optimizer.build(lr=0.1)
    step, _ = rule.update(g, rule.init(w), w)
    np.testing.assert_allclose(step, FIRST_STEP[optimizer.name](g, w), rtol=1e-12)


def test_adam_begins_with_the_sign_of_the_gradient():
    g, w = np.array([1e-3, -7.0, 1e4]), np.zeros(3)
    rule = OPTIMIZERS["Adam"].build(lr=0.3)
    step, _ = rule.update(g, rule.init(w), w)
    np.testing.assert_allclose(step, -0.3 * np.sign(g), rtol=2e-5)


def test_momentum_dampens_all_gradients_but_the_first():
    g, w = np.array([1.0, -2.0]), np.zeros(2)
    rule = OPTIMIZERS["Momentum"].build(lr=1.0, momentum=0.5, dampening=0.25)
    first, state = rule.update(g, rule.init(w), w)
    second, _ = rule.update(g, state, w)
    np.testing.assert_array_equal(first, -g)
    np.testing.assert_array_equal(second, -(0.5 * g + 0.75 * g))


def test_dampening_without_momentum_is_ignored_as_in_pytorch():
    start = [-5.0, -2.0]
    momentum = OPTIMIZERS["Momentum"]
    expected = run(OPTIMIZERS["GD"], start, lr=0.1)
    np.testing.assert_array_equal(run(momentum, start, lr=0.1, momentum=0, dampening=0.3), expected)
    both = run(momentum, start, lr=0.1, momentum=[0.0, 0.9], dampening=0.3)
    np.testing.assert_array_equal(both[:, 0], expected)
    np.testing.assert_array_equal(both[:, 1], run(momentum, start, lr=0.1, momentum=0.9, dampening=0.3))


def test_limits_where_two_rules_are_one():
    start = [-5.0, -2.0]
    gd = run(OPTIMIZERS["GD"], start, lr=0.1)
    np.testing.assert_array_equal(run(OPTIMIZERS["Nesterov"], start, lr=0.1, momentum=0), gd)
    adam = run(OPTIMIZERS["Adam"], start, lr=0.1)
    np.testing.assert_array_equal(run(OPTIMIZERS["AdamW"], start, lr=0.1, weight_decay=0), adam)
    # Without memory Adam and RMSProp are sign descent, up to eps.
    signs = run(OPTIMIZERS["Adam"], start, lr=0.1, beta1=0, beta2=0, eps=0)
    np.testing.assert_allclose(run(OPTIMIZERS["RMSProp"], start, lr=0.1, rho=0, eps=0), signs, rtol=1e-13)
    np.testing.assert_allclose(signs[1] - signs[0], [0.1, 0.1], rtol=1e-13)


def test_amsgrad_never_forgets_a_large_gradient():
    w = np.zeros(1)
    rules = [OPTIMIZERS[name].build(lr=1.0, beta1=0.0, beta2=0.5, eps=0) for name in ("Adam", "AMSGrad")]
    last = []
    for rule in rules:
        state = rule.init(w)
        for g in (100.0, *[1.0] * 60):
            step, state = rule.update(np.array([g]), state, w)
        last.append(step.item())
    assert last[0] == pytest.approx(-1.0)  # v has come down to 1
    assert last[1] == pytest.approx(-1 / math.sqrt(0.5 * 100**2))  # v_max has stayed at (1 − β₂)·100²


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "AdamW"])
def test_weight_decay_is_a_ridge(name):
    plain, start = SURFACES["Himmelblau"], [0.5, -1.0]
    lr = suggested_lr(OPTIMIZERS[name], 0.002, 0.2)
    decayed = run(OPTIMIZERS[name], start, 50, plain, lr=lr, weight_decay=0.3)
    ridge = run(OPTIMIZERS[name], start, 50, Ridge(plain, 0.3), lr=lr)
    np.testing.assert_allclose(decayed, ridge, rtol=1e-9)
    assert not np.allclose(decayed, run(OPTIMIZERS[name], start, 50, plain, lr=lr), rtol=1e-6)


def test_adamw_decay_is_apart_from_the_gradient():
    path = run(OPTIMIZERS["AdamW"], [-5.0, 2.0], 30, Flat(), lr=0.5, weight_decay=0.2)
    np.testing.assert_allclose(path, [[-5.0, 2.0]] * (1 - 0.5 * 0.2) ** np.arange(31)[:, None], rtol=1e-13)


# Properties of every rule


@every
def test_update_is_pure(optimizer):
    rule = optimizer.build(lr=[0.01, 0.1])
    rng = np.random.default_rng(0)
    w, g = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    _, state = rule.update(g, rule.init(w), w)
    arrays = [w, g, *(part for part in state if isinstance(part, np.ndarray))]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    first = rule.update(g, state, w)
    second = rule.update(g, state, w)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(first[0], second[0])
    assert type(first[1]) is type(state)
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(one, other)


@every
def test_many_starts_equal_one_by_one(optimizer):
    starts = np.random.default_rng(1).normal(0, 3, (4, 3, 2))
    together = run(optimizer, starts, lr=0.05)
    assert together.shape == (21, 4, 3, 2)
    for i, j in np.ndindex(4, 3):
        np.testing.assert_array_equal(together[:, i, j], run(optimizer, starts[i, j], lr=0.05))


@every_knob
def test_array_of_a_knob_equals_one_by_one(optimizer, knob):
    values = [knob.default, 0.5 * (knob.default + min(knob.high, 1.0)), knob.low]
    knobs = {"lr": 0.05} if knob.name != "lr" else {}
    together = run(optimizer, [-5.0, -2.0], **knobs, **{knob.name: values})
    assert together.shape == (21, 3, 2)
    for i, value in enumerate(values):
        alone = run(optimizer, [-5.0, -2.0], **knobs, **{knob.name: value})
        np.testing.assert_allclose(together[:, i], alone, rtol=1e-12)


@every
def test_grid_of_rates_over_many_starts(optimizer):
    starts = np.random.default_rng(2).normal(0, 3, (3, 2))
    rates = np.array([0.001, 0.1])
    grid = run(optimizer, starts, lr=rates[:, None])
    assert grid.shape == (21, 2, 3, 2)
    for i, lr in enumerate(rates):
        np.testing.assert_array_equal(grid[:, i], run(optimizer, starts, lr=lr))


@every
@pytest.mark.parametrize("eps", [None, 0.0, 1e-300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_gradient_moves_nothing(optimizer, eps, dtype):
    knobs = without_decay(optimizer)
    if eps is not None and any(knob.name == "eps" for knob in optimizer.knobs):
        knobs["eps"] = eps
    start = np.array([[1.5, -2.0], [0.0, 1e-300]], dtype)
    path = run(optimizer, start, 5, Flat(), lr=1.0, **knobs)
    np.testing.assert_array_equal(path, np.broadcast_to(start, path.shape))


@every
def test_zero_gradient_in_one_coordinate(optimizer):
    path = run(optimizer, [-5.0, 0.0], 10, lr=0.1, **without_decay(optimizer))
    assert path[-1, 0] > -5.0
    np.testing.assert_array_equal(path[:, 1], 0.0)


@every
def test_float_type_is_kept(optimizer):
    path = run(optimizer, np.array([-5.0, -2.0], np.float32), lr=0.1)
    assert path.dtype == np.float32
    double = run(optimizer, [-5.0, -2.0], lr=0.1)
    assert double.dtype == np.float64
    np.testing.assert_allclose(path, double, atol=1e-4)
    scalars = {knob.name: np.float64(knob.default) for knob in optimizer.knobs}
    assert run(optimizer, np.array([-5.0, -2.0], np.float32), **scalars).dtype == np.float32
    assert run(optimizer, np.array([-5, -2]), lr=0.1).dtype == np.float64


@every
@pytest.mark.parametrize("size", [1e-300, 1e160, 1e308, math.inf, math.nan])
def test_extreme_gradients_give_numbers_without_warnings(optimizer, size):
    w = np.array([1.0, -1.0])
    rule = optimizer.build(lr=0.1, **without_decay(optimizer))
    state = rule.init(w)
    g = np.array([size, -size])
    for _ in range(3):
        step, state = rule.update(g, state, w)
    assert step.shape == (2,)
    if math.isnan(size):
        assert np.isnan(step).all()
    elif math.isinf(size):
        assert not np.isfinite(step).any()
    else:
        assert step[0] == -step[1]


@every
def test_suggested_rate_descends_the_quadratic(optimizer):
    surface = SURFACES["Quadratic bowl"]
    low, high, *_ = surface.window
    rule = optimizer.build(lr=suggested_lr(optimizer, surface.rate, high - low))
    result = descend(surface, rule, surface.starts[0], 60)
    assert result.diverged_at == -1
    assert result.value[-1] < 0.9 * result.value[0]


def test_suggested_rates_of_the_default_picture():
    assert {name: suggested_lr(entry, 0.45, 9.0) for name, entry in OPTIMIZERS.items()} == {
        "GD": 0.45, "Momentum": 0.05, "Nesterov": 0.05, "AdaGrad": 0.9, "AdaDelta": 1.0,
        "RMSProp": 0.1, "Adam": 0.3, "AdamW": 0.3, "AMSGrad": 0.3, "Nadam": 0.3,
    }  # fmt: skip


@every
@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES.keys())
def test_suggested_rate_is_one_that_the_control_can_show(optimizer, surface):
    lr = suggested_lr(optimizer, surface.rate, surface.window[1] - surface.window[0])
    assert optimizer.knobs[0].check(lr) == float(f"{lr:.2g}")


@pytest.mark.parametrize(("rate", "width"), [(0, 9), (0.45, -1), (math.nan, 9), (0.45, math.inf)])
def test_suggested_rate_refuses_what_is_no_size(rate, width):
    with pytest.raises(ValueError, match="above 0"):
        suggested_lr(OPTIMIZERS["GD"], rate, width)
