"""Optimizers against PyTorch, Keras and optax, closed forms, and the properties every rule must have."""

import inspect
import json
import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from core.descent import descend
from core.optimizers import CONVENTIONS, OPTIMIZERS, Optimizer, suggested_lr
from core.surfaces import SURFACES
from tests.golden.optimizers import SETTINGS, rate_at

FILES = {"PyTorch": "optimizers", "Keras": "optimizers_keras", "optax": "optimizers_optax"}
GOLDEN = {
    framework: np.load(Path(__file__).parents[1] / "golden" / f"{name}.npz")
    for framework, name in FILES.items()
}
CASES = {
    framework: [json.loads(str(case)) for case in golden["cases"]] for framework, golden in GOLDEN.items()
}

CURVATURES = np.array([0.08, 4.0])

DECOUPLED = {"AdamW", "Lion", "AdaBelief", "Adan"}  # whose decay is apart from the gradient, PyTorch's form
SIGNS = {"Lion", "Rprop", "Sign descent"}  # whose steps know of the gradient's size only in their state

every = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
every_knob = pytest.mark.parametrize(
    ("optimizer", "knob"),
    [
        pytest.param(o, k, id=f"{o.name}-{k.name}")
        for o in OPTIMIZERS.values()
        for k in o.knobs
        if k.kind == "float"
    ],
)
every_switch = pytest.mark.parametrize(
    ("optimizer", "knob"),
    [
        pytest.param(o, k, id=f"{o.name}-{k.name}")
        for o in OPTIMIZERS.values()
        for k in o.knobs
        if k.kind == "bool"
    ],
)
# PyTorch's form of every rule, and the forms of it that differ.
every_form = pytest.mark.parametrize(
    ("optimizer", "convention"),
    [pytest.param(o, c, id=f"{o.name}-{c}") for o in OPTIMIZERS.values() for c in ("PyTorch", *o.differs)],
)
every_owner = pytest.mark.parametrize(
    ("optimizer", "framework"),
    [pytest.param(o, f, id=f"{o.name}-{f}") for o in OPTIMIZERS.values() for f in o.defaults],
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
    assert all(optimizer.conventions.values())
    assert set(optimizer.differs) <= set(optimizer.defaults) - {"PyTorch"} <= set(CONVENTIONS)
    assert ("PyTorch" in optimizer.defaults) == bool(optimizer.torch)
    assert r"w \leftarrow" in optimizer.update_rule
    assert optimizer.update_rule.count("{") == optimizer.update_rule.count("}")


def test_menu():
    assert list(OPTIMIZERS) == [
        "GD", "Momentum", "Nesterov", "AdaGrad", "AdaDelta", "RMSProp", "Adam", "AdamW", "AMSGrad", "Nadam",
        "AdaMax", "RAdam", "Lion", "Rprop", "Sign descent", "AdaBelief", "Adan", "QHM", "QHAdam", "Yogi",
    ]  # fmt: skip


def test_rules_linear_on_a_quadratic_carry_their_theory():
    assert [o.name for o in OPTIMIZERS.values() if o.linear] == ["GD", "Momentum", "Nesterov"]


@every
def test_knobs_are_the_keywords_of_build(optimizer):
    parameters = inspect.signature(optimizer.build).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    keywords = {k.name: k.default for k in optimizer.knobs} | {"convention": "PyTorch"}
    assert {p.name: p.default for p in parameters} == keywords


@every
def test_torch_line_passes_every_knob(optimizer):
    words = re.findall(r"\w+", optimizer.torch)
    beyond = {"bias_correction"}  # PyTorch always corrects
    assert not words or {knob.name for knob in optimizer.knobs} - beyond <= set(words)


@every
def test_misspelt_knob(optimizer):
    with pytest.raises(TypeError):
        optimizer.build(learning_rate=0.1)


@every
def test_unknown_convention(optimizer):
    with pytest.raises(ValueError, match="convention = TensorFlow: needs one of PyTorch, Keras, optax"):
        optimizer.build(convention="TensorFlow")


@every_knob
def test_build_takes_the_whole_range_of_a_knob(optimizer, knob):
    for value in (knob.low, knob.high):
        path = run(optimizer, [-5.0, -2.0], steps=2, **{knob.name: value})
        assert np.isfinite(path).all()


@every_knob
def test_build_refuses_bad_numbers(optimizer, knob):
    for bad in (-0.1, math.nan, math.inf, [0.1, -0.1]):
        with pytest.raises(ValueError, match=rf"{knob.name} = .*: needs a finite number [≥>] [01]"):
            optimizer.build(**{knob.name: bad})


@every_switch
@pytest.mark.parametrize("bad", [1.0, 0, "no", [True, False]])
def test_build_refuses_what_is_no_switch(optimizer, knob, bad):
    with pytest.raises(ValueError, match=rf"{knob.name} = .*: needs true or false"):
        optimizer.build(**{knob.name: bad})


@pytest.mark.parametrize(
    ("name", "knob", "bad"),
    [
        ("Adam", "beta1", 1.0),
        ("Nadam", "beta2", 1.0),
        ("Adan", "beta3", 1.0),
        ("RMSProp", "rho", 1.01),
        ("Momentum", "dampening", 2),
        ("QHM", "nu", 1.01),
        ("QHAdam", "nu2", 1.01),
        ("Rprop", "eta_minus", 1.0),
        ("Rprop", "eta_plus", 1.0),
        ("Rprop", "eta_minus", 0.0),
    ],
)
def test_build_refuses_values_above_the_range(name, knob, bad):
    with pytest.raises(ValueError, match=rf"{knob} = .*[≥>] [01]"):
        OPTIMIZERS[name].build(**{knob: bad})


# Numbers


def follow(problem, build, start, steps: int, lr: float, fading: bool):
    """Run a rule that is built anew for each step's learning rate."""
    w = start
    path, state = [w], build(lr=lr).init(w)
    for t in range(steps):
        step, state = build(lr=rate_at(lr, t, fading)).update(problem.grad(w), state, w)
        w = w + step
        path.append(w)
    return np.stack(path)


@every_owner
def test_trajectories_equal_the_frameworks(optimizer, framework):
    golden = GOLDEN[framework]
    ours = [i for i, case in enumerate(CASES[framework]) if case["optimizer"] == optimizer.name]
    assert {CASES[framework][i]["fading"] for i in ours} == {False, True}
    assert len({CASES[framework][i]["function"] for i in ours}) == (6 if framework == "PyTorch" else 2)
    steps = golden["steps"]
    assert steps[-1] == 100
    for i in ours:
        case, start, expected = CASES[framework][i], golden["start"][i], golden["path"][i]
        knobs = dict(case["knobs"])
        lr, problem = knobs.pop("lr"), SURFACES[case["function"]]
        build = partial(optimizer.build, convention=framework, **knobs)
        if case["fading"]:
            path = follow(problem, build, start, steps[-1], lr, fading=True)
        else:
            path = descend(problem, build(lr=lr), start, steps[-1]).path
        assert np.max(np.abs(path[steps] - expected) / (1 + np.abs(expected))) <= 1e-12
        assert not np.array_equal(expected[0], expected[-1])


@every_owner
def test_defaults_are_the_frameworks(optimizer, framework):
    own = json.loads(str(GOLDEN[framework]["defaults"]))[optimizer.name]
    theirs = {knob: value for knob, value in own.items() if knob != "momentum" or optimizer.name == "RMSProp"}
    defaults = optimizer.defaults[framework]
    assert theirs.items() <= defaults.items()
    assert theirs or framework == "optax"
    names = {knob.name for knob in optimizer.knobs}
    assert set(defaults) == (names - {"lr"} if framework == "optax" else names)
    assert all(
        knob.check(defaults[knob.name]) == defaults[knob.name]
        for knob in optimizer.knobs
        if knob.name in defaults
    )


def test_golden_covers_the_registry():
    for framework, cases in CASES.items():
        assert {c["optimizer"] for c in cases} == {
            o.name for o in OPTIMIZERS.values() if framework in o.defaults
        }
    untested = {o.name for o in OPTIMIZERS.values() if not o.defaults}
    assert untested == {"QHM", "QHAdam"} <= set(REFERENCES)


@every
def test_golden_moves_every_knob(optimizer):
    ours = [
        case["knobs"] for case in (*CASES["PyTorch"], *CASES["optax"]) if case["optimizer"] == optimizer.name
    ]
    fixed = {"bias_correction"} | ({"initial_accumulator"} if optimizer.name == "Yogi" else set())
    for knob in optimizer.knobs:
        if ours and knob.name not in fixed:
            assert len({knobs[knob.name] for knobs in ours}) > 1


@every
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_differs_names_the_conventions_whose_path_differs(optimizer, convention):
    """With moved knobs and a rate that fades, every difference of a formula shows."""
    differs = []
    for setting in SETTINGS.get(optimizer.name, ({"weight_decay": 0.1},)):
        one, other = (
            follow(
                Quadratic(),
                partial(optimizer.build, convention=form, **setting),
                np.array([-5.0, -2.0]),
                20,
                0.05,
                True,
            )
            for form in ("PyTorch", convention)
        )
        differs.append(not np.allclose(one, other, rtol=1e-12))
    assert any(differs) == (convention in optimizer.differs)


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
    "AdaMax": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8),
    "RAdam": lambda g, w: -0.1 * g,
    "Lion": lambda g, w: -0.1 * np.sign(g),
    "Rprop": lambda g, w: -0.1 * np.sign(g),
    "Sign descent": lambda g, w: -0.1 * np.sign(g),
    "AdaBelief": lambda g, w: -0.1 * g / (np.sqrt((0.9 * g) ** 2 + 1e-16 / (1 - 0.999)) + 1e-16),
    "Adan": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8),
    "QHM": lambda g, w: -0.1 * (0.3 + 0.7 * 0.001) * g,
    "QHAdam": lambda g, w: -0.1 * g / (np.abs(g) + 1e-8),
    "Yogi": lambda g, w: -0.1 * g / (np.sqrt(1e-3 - np.sign(1e-6 - g * g) * g * g) + 1e-3),
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


# Rules that no framework has in the default form, written out a second time, after the papers, for one coordinate


def qhm(gradients, lr, momentum, nu):
    """Ma and Yarats' equation 3, with the average as an explicit sum."""
    for t, g in enumerate(gradients):
        average = (1 - momentum) * sum(momentum ** (t - i) * gradients[i] for i in range(t + 1))
        yield lr * ((1 - nu) * g + nu * average)


def qhadam(gradients, lr, beta1, beta2, nu1, nu2, eps):
    """Weighted means, whose weights β^(t−i) add up to one."""
    for t, g in enumerate(gradients):
        back = np.arange(t, -1, -1)
        past = np.array(gradients[: t + 1])
        m = np.average(past, weights=beta1**back)
        v = np.average(past**2, weights=beta2**back)
        yield lr * ((1 - nu1) * g + nu1 * m) / (math.sqrt((1 - nu2) * g * g + nu2 * v) + eps)


def adan(gradients, lr, beta1, beta2, beta3, eps):
    """Algorithm 1 of Xie et al. in the paper's β, the shares of the new, with bias correction as weighted means."""
    b1, b2, b3 = 1 - beta1, 1 - beta2, 1 - beta3
    changes = np.diff(gradients, prepend=gradients[0])
    past = np.array(gradients)
    for t in range(len(gradients)):
        back = np.arange(t, -1, -1)
        m = np.average(past[: t + 1], weights=(1 - b1) ** back)
        d = np.average(changes[: t + 1], weights=(1 - b2) ** back)
        v = np.average((past + (1 - b2) * changes)[: t + 1] ** 2, weights=(1 - b3) ** back)
        yield lr * (m + (1 - b2) * d) / (math.sqrt(v) + eps)


def yogi(gradients, lr, beta1, beta2, initial_accumulator, eps):
    m, v = 0.0, initial_accumulator
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v += (1 - beta2) * g * g * (1 if g * g > v else -1)
        yield lr * m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + eps)


def adabelief(gradients, lr, beta1, beta2, eps):
    m, v = 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * (g - m) ** 2 + eps
        yield lr * m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + eps)


REFERENCES = {
    "QHM": (qhm, {"lr": 0.3, "momentum": 0.8, "nu": 0.6}),
    "QHAdam": (qhadam, {"lr": 0.2, "beta1": 0.8, "beta2": 0.9, "nu1": 0.6, "nu2": 0.7, "eps": 0.01}),
    "Adan": (adan, {"lr": 0.2, "beta1": 0.9, "beta2": 0.8, "beta3": 0.95, "eps": 0.01}),
    "Yogi": (yogi, {"lr": 0.2, "beta1": 0.8, "beta2": 0.9, "initial_accumulator": 0.5, "eps": 0.01}),
    "AdaBelief": (adabelief, {"lr": 0.2, "beta1": 0.8, "beta2": 0.9, "eps": 0.01}),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_steps_equal_the_paper(name):
    reference, knobs = REFERENCES[name]
    gradients = np.random.default_rng(3).normal(0.5, 1.0, 25)
    rule, w = OPTIMIZERS[name].build(**knobs), np.zeros(1)
    state, steps = rule.init(w), []
    for g in gradients:
        step, state = rule.update(np.array([g]), state, w)
        steps.append(step.item())
    np.testing.assert_allclose(steps, [-step for step in reference(gradients, **knobs)], rtol=1e-12)


def test_quasi_hyperbolic_rules_contain_the_others():
    start = [-5.0, -2.0]
    qhm = partial(run, OPTIMIZERS["QHM"], start, lr=0.1)
    np.testing.assert_allclose(qhm(nu=0), run(OPTIMIZERS["GD"], start, lr=0.1), rtol=1e-12)
    heavy = run(OPTIMIZERS["Momentum"], start, lr=0.1 * (1 - 0.8), momentum=0.8)
    np.testing.assert_allclose(qhm(nu=1, momentum=0.8), heavy, rtol=1e-10)
    ahead = run(OPTIMIZERS["Nesterov"], start, lr=0.1 * (1 - 0.8), momentum=0.8)
    np.testing.assert_allclose(qhm(nu=0.8, momentum=0.8), ahead, rtol=1e-10)
    adam = run(OPTIMIZERS["Adam"], start, lr=0.1)
    np.testing.assert_allclose(run(OPTIMIZERS["QHAdam"], start, lr=0.1, beta1=0.9, nu1=1), adam, rtol=1e-12)
    huge, w = np.array([1e200]), np.zeros(1)
    rules = [OPTIMIZERS["Adam"].build(), OPTIMIZERS["QHAdam"].build(beta1=0.9, nu1=1)]
    assert [rule.update(huge, rule.init(w), w)[0].item() for rule in rules] == [0.0, 0.0]  # not NaN


def test_rules_without_memory_are_sign_descent():
    start = [-5.03, -2.01]
    signs = run(OPTIMIZERS["Sign descent"], start, lr=0.1)
    np.testing.assert_array_equal(run(OPTIMIZERS["Lion"], start, lr=0.1, beta1=0), signs)
    for name, knobs in {
        "QHAdam": {"nu1": 0, "nu2": 0},
        "AdaMax": {"beta1": 0, "beta2": 0},
        "Adan": {"beta1": 0, "beta2": 0, "beta3": 0},
        "Adam": {"beta1": 0, "beta2": 0},
    }.items():
        np.testing.assert_allclose(run(OPTIMIZERS[name], start, lr=0.1, eps=0, **knobs), signs, rtol=1e-11)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_bias_correction_of_adam_under_a_constant_gradient(convention):
    g, w, eps, t = np.array([0.3, -20.0]), np.zeros(2), 1e-8, np.arange(1, 41)[:, None]
    steps = {}
    for corrected in (True, False):
        rule = OPTIMIZERS["Adam"].build(lr=0.1, bias_correction=corrected, eps=eps, convention=convention)
        state, steps[corrected] = rule.init(w), []
        for _ in t:
            step, state = rule.update(g, state, w)
            steps[corrected].append(step)
    np.testing.assert_allclose(steps[True], -0.1 * np.sign(g) * np.ones_like(t), rtol=2e-6)
    raw = (1 - 0.9**t) * g / (np.sqrt(1 - 0.999**t) * np.abs(g) + eps)
    np.testing.assert_allclose(steps[False], -0.1 * raw, rtol=1e-11)
    # The first step without correction is lr·(1 − β₁)/√(1 − β₂), three times too long.
    np.testing.assert_allclose(np.abs(steps[False][0]), 0.1 * 0.1 / math.sqrt(0.001), rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_rounding_never_makes_a_centered_spread_negative(convention):
    g, w, rho = np.linspace(0.1, 3, 50), np.zeros(50), 0.5
    rule = OPTIMIZERS["RMSProp"].build(lr=1e-9, rho=rho, centered=True, convention=convention)
    state = rule.init(w)
    for _ in range(100):
        step, state = rule.update(g, state, w)
        assert np.isfinite(step).all()
    spread = state.square_average - state.average**2
    assert (spread < 0).any()  # so it would be NaN
    floor = 1e-8 if convention == "PyTorch" else 1e-4  # eps beside the root, or inside it
    np.testing.assert_allclose(step[spread <= 0], -1e-9 * g[spread <= 0] / floor, rtol=1e-12)


def test_radam_begins_with_five_steps_that_are_not_adapted():
    g, w = np.array([100.0, -0.01]), np.zeros(2)
    rule = OPTIMIZERS["RAdam"].build(lr=0.1)
    state, steps = rule.init(w), []
    for _ in range(6):
        step, state = rule.update(g, state, w)
        steps.append(step)
    np.testing.assert_allclose(steps[:5], [-0.1 * g] * 5, rtol=1e-12)  # m̂ = g
    assert np.ptp(np.abs(steps[5])) < 1e-6 < np.abs(steps[5]).min() < 0.1  # √v̂ = |g|, and r₆ < 1


def test_adamax_divides_by_the_largest_gradient_for_long():
    rule, w = OPTIMIZERS["AdaMax"].build(lr=1.0, beta1=0.0, beta2=0.9, eps=0), np.zeros(1)
    state = rule.init(w)
    for g in (100.0, *[1.0] * 10):
        step, state = rule.update(np.array([g]), state, w)
    assert step.item() == pytest.approx(-1 / (0.9**10 * 100), rel=1e-12)


def rprop_steps(gradients, **knobs):
    rule, w = OPTIMIZERS["Rprop"].build(lr=0.1, **knobs), np.zeros(1)
    state, steps = rule.init(w), []
    for g in gradients:
        step, state = rule.update(np.array([g]), state, w)
        steps.append(step.item())
    return steps


def test_rprop_grows_shrinks_and_stands_still_by_hand():
    gradients = [2.0, 1e-200, 3.0, -1.0, -1.0, -1.0, 0.0, -5.0]
    expected = [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0864, 0.0, 0.0864]
    np.testing.assert_allclose(rprop_steps(gradients), expected, rtol=1e-14)
    # optax moves a step late, and not at all where the sign has changed since.
    late = [0.0, -0.1, -0.12, 0.0, 0.0, 0.072, 0.0864, 0.0]
    np.testing.assert_allclose(rprop_steps(gradients, convention="optax"), late, rtol=1e-14)


def test_rprop_holds_its_steps_within_the_limits():
    np.testing.assert_array_equal(rprop_steps([1.0] * 4, step_max=0.05), [-0.05] * 4)
    np.testing.assert_array_equal(rprop_steps([1.0, -1.0, -1.0], step_min=0.08), [-0.1, 0.0, 0.08])
    np.testing.assert_array_equal(
        rprop_steps([1.0, 1.0, 1.0], step_max=0.05, convention="optax"), [0.0, -0.1, -0.05]
    )


def test_momentum_with_a_changing_rate_depends_on_where_the_rate_is():
    g, w = np.array([1.0]), np.zeros(1)
    steps = {}
    for convention in ("PyTorch", "Keras"):
        build = partial(OPTIMIZERS["Momentum"].build, momentum=0.5, convention=convention)
        _, state = build(lr=1.0).update(g, build(lr=1.0).init(w), w)
        steps[convention], _ = build(lr=0.1).update(g, state, w)
    assert steps["PyTorch"].item() == pytest.approx(-0.1 * 1.5)
    assert steps["Keras"].item() == pytest.approx(-(0.5 * 1.0 + 0.1))


def test_yogi_of_optax_moves_without_a_gradient():
    optimizer, start = OPTIMIZERS["Yogi"], [1.5, -2.0]
    assert (run(optimizer, start, 3, Flat(), lr=0.1, convention="optax")[1] < start).all()
    np.testing.assert_array_equal(run(optimizer, start, 3, Flat(), lr=0.1), [start] * 4)


@pytest.mark.parametrize(
    "name",
    [o.name for o in OPTIMIZERS.values() if without_decay(o) and o.name not in DECOUPLED],
)
def test_weight_decay_is_a_ridge(name):
    plain, start = SURFACES["Himmelblau"], [0.5, -1.0]
    lr = suggested_lr(OPTIMIZERS[name], 0.002, 0.2)
    decayed = run(OPTIMIZERS[name], start, 50, plain, lr=lr, weight_decay=100.0)
    ridge = run(OPTIMIZERS[name], start, 50, Ridge(plain, 100.0), lr=lr)
    np.testing.assert_allclose(decayed, ridge, rtol=1e-9)
    assert not np.allclose(decayed, run(OPTIMIZERS[name], start, 50, plain, lr=lr), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "convention"),
    [
        *((name, "PyTorch") for name in sorted(DECOUPLED)),
        *((o.name, "Keras") for o in OPTIMIZERS.values() if "Keras" in o.defaults),
        ("Adan", "optax"),
    ],
)
def test_decay_apart_from_the_gradient(name, convention):
    path = run(OPTIMIZERS[name], [-5.0, 2.0], 30, Flat(), lr=0.5, weight_decay=0.2, convention=convention)
    factor = 1 / (1 + 0.5 * 0.2) if (name, convention) == ("Adan", "PyTorch") else 1 - 0.5 * 0.2
    np.testing.assert_allclose(path, [[-5.0, 2.0]] * factor ** np.arange(31)[:, None], rtol=1e-12)


# Properties of every rule


@every_form
def test_update_is_pure(optimizer, convention):
    rule = optimizer.build(lr=[0.01, 0.1], convention=convention)
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
    assert not any(np.shares_memory(g, part) for part in first[1] if isinstance(part, np.ndarray))
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


@every_form
def test_grid_of_rates_over_many_starts(optimizer, convention):
    starts = np.random.default_rng(2).normal(0, 3, (3, 2))
    rates = np.array([0.001, 0.1])
    grid = run(optimizer, starts, lr=rates[:, None], convention=convention)
    assert grid.shape == (21, 2, 3, 2)
    for i, lr in enumerate(rates):
        np.testing.assert_array_equal(grid[:, i], run(optimizer, starts, lr=lr, convention=convention))


@every_form
def test_zero_gradient_moves_nothing(optimizer, convention):
    knobs = {**without_decay(optimizer), "convention": convention}
    if (optimizer.name, convention) == ("Yogi", "optax"):  # whose own test is above
        knobs["initial_accumulator"] = 0.0
    for eps in (None, 0.0, 1e-300):
        if eps is not None and any(knob.name == "eps" for knob in optimizer.knobs):
            knobs["eps"] = eps
        for dtype in (np.float32, np.float64):
            start = np.array([[1.5, -2.0], [0.0, 1e-300]], dtype)
            path = run(optimizer, start, 5, Flat(), lr=1.0, **knobs)
            np.testing.assert_array_equal(path, np.broadcast_to(start, path.shape))


@every
def test_zero_gradient_in_one_coordinate(optimizer):
    path = run(optimizer, [-5.0, 0.0], 10, lr=0.1, **without_decay(optimizer))
    assert path[-1, 0] > -5.0
    np.testing.assert_array_equal(path[:, 1], 0.0)


@every_form
def test_float_type_is_kept(optimizer, convention):
    path = run(optimizer, np.array([-5.0, -2.0], np.float32), lr=0.1, convention=convention)
    assert path.dtype == np.float32
    double = run(optimizer, [-5.0, -2.0], lr=0.1, convention=convention)
    assert double.dtype == np.float64
    np.testing.assert_allclose(path, double, atol=1e-4)
    scalars = {knob.name: np.float64(knob.default) for knob in optimizer.knobs if knob.kind == "float"}
    assert run(optimizer, np.array([-5.0, -2.0], np.float32), **scalars).dtype == np.float32
    assert run(optimizer, np.array([-5, -2]), lr=0.1).dtype == np.float64


@every_form
def test_extreme_gradients_give_numbers_without_warnings(optimizer, convention):
    w = np.array([1.0, -1.0])
    rule = optimizer.build(lr=0.1, convention=convention, **without_decay(optimizer))
    for size in (1e-300, 1e160, 1e308, math.inf, math.nan):
        g, state = np.array([size, -size]), rule.init(w)
        for _ in range(3):
            step, state = rule.update(g, state, w)
        assert step.shape == (2,)
        if math.isnan(size):
            assert np.isnan(step).all()
        elif math.isinf(size) and optimizer.name not in SIGNS:
            assert not np.isfinite(step).any()
        elif (optimizer.name, convention) != ("Yogi", "optax"):  # which leans to one side from the start
            np.testing.assert_array_equal(step[0], -step[1])


@every
@pytest.mark.parametrize("name", ["Quadratic bowl", "Rosenbrock"])
def test_suggested_rate_descends(optimizer, name):
    surface = SURFACES[name]
    low, high, *_ = surface.window
    rule = optimizer.build(lr=suggested_lr(optimizer, surface.rate, high - low))
    result = descend(surface, rule, surface.starts[0], 60)
    assert result.diverged_at == -1
    assert result.value[-1] < 0.9 * result.value[0]


def test_suggested_rates_of_the_default_picture():
    assert {name: suggested_lr(entry, 0.45, 9.0) for name, entry in OPTIMIZERS.items()} == {
        "GD": 0.45, "Momentum": 0.05, "Nesterov": 0.05, "AdaGrad": 0.9, "AdaDelta": 1.0,
        "RMSProp": 0.1, "Adam": 0.3, "AdamW": 0.3, "AMSGrad": 0.3, "Nadam": 0.3, "AdaMax": 0.3, "RAdam": 0.68,
        "Lion": 0.15, "Rprop": 0.1, "Sign descent": 0.15, "AdaBelief": 0.3, "Adan": 0.3, "QHM": 1.1, "QHAdam": 0.3,
        "Yogi": 0.3,
    }  # fmt: skip


@every
def test_suggested_rate_is_one_that_the_control_can_show(optimizer):
    for surface in SURFACES.values():
        lr = suggested_lr(optimizer, surface.rate, surface.window[1] - surface.window[0])
        assert optimizer.knobs[0].check(lr) == float(f"{lr:.2g}"), surface.name


@pytest.mark.parametrize(("rate", "width"), [(0, 9), (0.45, -1), (math.nan, 9), (0.45, math.inf)])
def test_suggested_rate_refuses_what_is_no_size(rate, width):
    with pytest.raises(ValueError, match="above 0"):
        suggested_lr(OPTIMIZERS["GD"], rate, width)
