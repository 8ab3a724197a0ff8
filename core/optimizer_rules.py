"""The update rules of ``core.optimizers``: every optimizer's builder and the state it carries from step to step.

Each rule is a pure pair ``init(w) → state``, ``update(grad, state, w) → (step, state)``. The caller moves:
w_new = w + step. Nothing is changed in place, so a state can be kept, plotted or replayed. Gradients and points have
shape (..., d). A knob is a number or an array of shape S that broadcasts over the leading axes of w, as
``knob[..., None]``: one run covers many starts, a grid of learning rates, or both. Switches are plain bools.

Every rule follows PyTorch (``torch.optim``, float64 trajectories agree), or what its docstring names where PyTorch has
no such rule, and has three properties: float32 points and knobs give float32 steps; where every gradient so far was
exactly 0, the step is exactly 0 (0/0 counts as 0 when eps is 0), apart from weight decay; overflow gives inf or NaN,
never a warning or a clipped step.

``convention`` asks for another framework's formula where it differs. A framework that lacks a rule, or a knob of it,
changes nothing there. Keras decouples weight decay everywhere; optax has it as an argument of some rules only, and
elsewhere it stands for ``optax.add_decayed_weights`` chained before the rule, which is an L2 term. The one exception to
the second property is Yogi in optax's form, whose average of gradients does not start at 0.

States of one rule and convention fit each other whatever the learning rate, so that a schedule may rebuild the rule
with another lr at every step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Number = float | Array
State = Any  # a NamedTuple of arrays and numbers, each rule its own
Update = Callable[[Array, State, Array], tuple[Array, State]]

CONVENTIONS = ("PyTorch", "Keras", "optax")


class Rule(NamedTuple):
    """An optimizer with its knobs set.

    ``init(w)`` → state; ``update(grad, state, w)`` → (step, state) with w_new = w + step.
    """

    init: Callable[[Array], State]
    update: Update


# Shared parts of the rules

_UNIT = ("≥ 0 and < 1", lambda a: (a >= 0) & (a < 1))
_CLOSED_UNIT = ("≥ 0 and ≤ 1", lambda a: (a >= 0) & (a <= 1))
_RANGES: dict[str, tuple[str, Callable[[Array], NDArray[np.bool_]]]] = {
    **dict.fromkeys(("beta1", "beta2", "beta3"), _UNIT),
    **dict.fromkeys(("dampening", "rho", "nu", "nu1", "nu2"), _CLOSED_UNIT),
    "eta_minus": ("> 0 and < 1", lambda a: (a > 0) & (a < 1)),
    "eta_plus": ("> 1", lambda a: a > 1),
}
_ANY_SIZE: tuple[str, Callable[[Array], NDArray[np.bool_]]] = ("≥ 0", lambda a: a >= 0)


def _columns(**knobs: Number) -> list[Number]:
    """Check the knobs, each finite and in its range; give arrays a last axis, for the coordinates."""
    columns: list[Number] = []
    for name, value in knobs.items():
        array = np.asarray(value)
        if array.dtype.kind != "f":
            array = np.asarray(value, dtype=np.float64)
        needs, allows = _RANGES.get(name, _ANY_SIZE)
        allowed = np.isfinite(array) & allows(array)
        if not np.all(allowed):
            raise ValueError(f"{name} = {array[~allowed].flat[0]}: needs a finite number {needs}")
        # A Python float, unlike a NumPy scalar, leaves float32 arrays float32.
        columns.append(array[..., None] if array.ndim else float(array))
    return columns


def _switch(**switches: bool) -> None:
    """Check that the switches are plain bools: an array has no single answer."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} = {value}: needs true or false")


class _Framework(NamedTuple):
    """Which framework's formula is asked for; PyTorch's if none of these."""

    keras: bool
    optax: bool


def _framework(convention: str) -> _Framework:
    """Read the name of a convention."""
    if convention not in CONVENTIONS:
        raise ValueError(f"convention = {convention}: needs one of {', '.join(CONVENTIONS)}")
    return _Framework(convention == "Keras", convention == "optax")


def _zeros(w: Array, *knobs: Number) -> Array:
    """Return zeros of the shape and type that w takes once it has met these knobs."""
    w = np.asarray(w)
    return np.zeros(np.broadcast_shapes(w.shape, *map(np.shape, knobs)), np.result_type(w, *knobs))


def _rule(
    init: Callable[[Array], State],
    update: Callable[[Array, Any, Array], tuple[Array, Any]],
    lr: Number = 0.0,
    weight_decay: Number = 0.0,
    decoupled: bool = False,
) -> Rule:
    """Pair the two functions and add weight decay; a diverging run overflows, a result and not a warning.

    Weight decay is the gradient of ½ · weight_decay · ‖w‖², added to the loss's before the rule sees it; decoupled, it
    shrinks w by lr · weight_decay · w beside the rule's own step.
    """
    shrink = lr * weight_decay

    def apart(grad: Array, state: State, w: Array) -> tuple[Array, State]:
        step, new = update(grad, state, w)
        return step - shrink * w, new

    def penalized(grad: Array, state: State, w: Array) -> tuple[Array, State]:
        return update(grad + weight_decay * w, state, w)

    full = (apart if decoupled else penalized) if np.any(weight_decay) else update
    return Rule(init, np.errstate(all="ignore")(full))


def _quotient(eps: Number) -> Callable[[Array, Array], Array]:
    """Return the division whose denominator contains eps; where eps may vanish, 0/0 is 0."""
    if np.all(eps >= np.finfo(np.float32).tiny):
        return np.divide
    return lambda a, b: np.where((a == 0) & (b == 0), 0.0, a / b)


def _root(eps: Number, inside: bool) -> Callable[[Array], Array]:
    """Return s → √(s + eps) or √s + eps."""
    if inside:
        return lambda s: np.sqrt(s + eps)
    return lambda s: np.sqrt(s) + eps


def _average(decay: Number) -> Callable[[Array, Array], Array]:
    """Return (average, x) → decay · average + (1 − decay) · x."""
    fresh = 1 - decay
    return lambda average, x: decay * average + fresh * x


# Gradient descent and momentum


class NoState(NamedTuple):
    """Rules that remember nothing: gradient descent, sign descent."""


class MomentumState(NamedTuple):
    """velocity (..., d): the decayed sum of gradients, without lr (with it in Keras' form); t: steps taken."""

    velocity: Array
    t: int


class AverageState(NamedTuple):
    """m (..., d): the moving average of gradients, not bias-corrected."""

    m: Array


def gd(*, lr: Number = 1e-3, weight_decay: Number = 0.0, convention: str = "PyTorch") -> Rule:
    """Gradient descent: w ← w − lr·g (Cauchy, 1847). Decoupled and L2 decay are the same here."""
    _framework(convention)
    lr, weight_decay = _columns(lr=lr, weight_decay=weight_decay)

    def init(w: Array) -> NoState:
        return NoState()

    def update(grad: Array, state: NoState, w: Array) -> tuple[Array, NoState]:
        return -lr * grad, state

    return _rule(init, update, lr, weight_decay)


def heavy_ball(
    *,
    lr: Number = 1e-3,
    momentum: Number = 0.9,
    dampening: Number = 0.0,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Heavy ball: v ← μv + (1−dampening)g, w ← w − lr·v, with v = g at the first step (Polyak, 1964).

    Keras keeps lr inside the velocity: v ← μv + lr·g, w ← w − v, another path once lr changes between steps.
    """
    keras = _framework(convention).keras
    lr, momentum, dampening, weight_decay = _columns(
        lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay
    )
    # PyTorch without momentum ignores dampening altogether.
    share = 1 - dampening * (momentum != 0)
    damped = np.any(share != 1)

    def init(w: Array) -> MomentumState:
        return MomentumState(_zeros(w, lr, momentum, dampening, weight_decay), 0)

    def update(grad: Array, state: MomentumState, w: Array) -> tuple[Array, MomentumState]:
        g = share * grad if damped and state.t > 0 else grad
        velocity = momentum * state.velocity + (lr * g if keras else g)
        return (-velocity if keras else -lr * velocity), MomentumState(velocity, state.t + 1)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def nesterov(
    *, lr: Number = 1e-3, momentum: Number = 0.9, weight_decay: Number = 0.0, convention: str = "PyTorch"
) -> Rule:
    """Nesterov's momentum, PyTorch form: v ← μv + g, w ← w − lr(g + μv) (Nesterov, 1983).

    Keras keeps lr inside the velocity: v ← μv + lr·g, w ← w − (lr·g + μv).
    """
    keras = _framework(convention).keras
    lr, momentum, weight_decay = _columns(lr=lr, momentum=momentum, weight_decay=weight_decay)

    def init(w: Array) -> MomentumState:
        return MomentumState(_zeros(w, lr, momentum, weight_decay), 0)

    def update(grad: Array, state: MomentumState, w: Array) -> tuple[Array, MomentumState]:
        pull = lr * grad if keras else grad
        velocity = momentum * state.velocity + pull
        ahead = pull + momentum * velocity
        return (-ahead if keras else -lr * ahead), MomentumState(velocity, state.t + 1)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def qhm(
    *,
    lr: Number = 1.0,
    momentum: Number = 0.999,
    nu: Number = 0.7,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Quasi-hyperbolic momentum: m ← μm + (1−μ)g, w ← w − lr((1−ν)g + νm) (Ma, Yarats, 2019, and their qhoptim).

    ν = 0 is gradient descent, ν = 1 the heavy ball and ν = μ Nesterov's momentum, both with lr·(1−μ) for lr.
    """
    _framework(convention)
    lr, momentum, nu, weight_decay = _columns(lr=lr, momentum=momentum, nu=nu, weight_decay=weight_decay)
    fresh = 1 - momentum

    def init(w: Array) -> AverageState:
        return AverageState(_zeros(w, lr, momentum, nu, weight_decay))

    def update(grad: Array, state: AverageState, w: Array) -> tuple[Array, AverageState]:
        m = momentum * state.m + fresh * grad
        return -lr * ((1 - nu) * grad + nu * m), AverageState(m)

    return _rule(init, update, lr, weight_decay)


# Steps that look at signs only


class RpropState(NamedTuple):
    """size (..., d): the length of the next step before it grows or shrinks; sign (..., d): of the last gradient.

    After a change of sign, sign is 0 and that coordinate stands still for a step.
    """

    size: Array
    sign: Array


def sign_descent(*, lr: Number = 1e-3, weight_decay: Number = 0.0, convention: str = "PyTorch") -> Rule:
    """Sign descent: w ← w − lr·sign(g), every coordinate by the same length (Bernstein et al., 2018; optax)."""
    _framework(convention)
    lr, weight_decay = _columns(lr=lr, weight_decay=weight_decay)

    def init(w: Array) -> NoState:
        return NoState()

    def update(grad: Array, state: NoState, w: Array) -> tuple[Array, NoState]:
        return -lr * np.sign(grad), state

    return _rule(init, update, lr, weight_decay)


def lion(
    *,
    lr: Number = 1e-4,
    beta1: Number = 0.9,
    beta2: Number = 0.99,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Lion: w ← w − lr·sign(β₁m + (1−β₁)g), then m ← β₂m + (1−β₂)g (Chen et al., 2023; Keras, optax)."""
    _framework(convention)
    lr, beta1, beta2, weight_decay = _columns(lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay)
    lean, average = _average(beta1), _average(beta2)

    def init(w: Array) -> AverageState:
        return AverageState(_zeros(w, lr, beta1, beta2, weight_decay))

    def update(grad: Array, state: AverageState, w: Array) -> tuple[Array, AverageState]:
        return -lr * np.sign(lean(state.m, grad)), AverageState(average(state.m, grad))

    return _rule(init, update, lr, weight_decay, decoupled=True)


def rprop(
    *,
    lr: Number = 1e-2,
    eta_minus: Number = 0.5,
    eta_plus: Number = 1.2,
    step_min: Number = 1e-6,
    step_max: Number = 50.0,
    convention: str = "PyTorch",
) -> Rule:
    """Rprop: each coordinate's step grows while its gradient keeps its sign and shrinks when it flips.

    PyTorch form (Riedmiller, Braun, 1993, without backtracking): at a flip the step shrinks and that coordinate does
    not move; lr is the first step only. PyTorch holds every step to [step_min, step_max]. optax holds only those that
    change, and moves one step late: by what the previous gradient asked for, unless the sign has changed since.
    """
    optax = _framework(convention).optax
    lr, eta_minus, eta_plus, step_min, step_max = _columns(
        lr=lr, eta_minus=eta_minus, eta_plus=eta_plus, step_min=step_min, step_max=step_max
    )

    def init(w: Array) -> RpropState:
        zeros = _zeros(w, lr, eta_minus, eta_plus, step_min, step_max)
        return RpropState(zeros + lr, zeros)

    def update(grad: Array, state: RpropState, w: Array) -> tuple[Array, RpropState]:
        sign = np.sign(grad)
        agreement = sign * state.sign
        kept, flipped = agreement > 0, agreement < 0
        # Nothing to say of one's own where either gradient is 0: the size stays.
        size = np.where(kept, eta_plus * state.size, np.where(flipped, eta_minus * state.size, state.size))
        held = np.minimum(np.maximum(size, step_min), step_max)
        size = np.where(kept | flipped, held, size) if optax else held
        sign = np.where(flipped, 0.0, sign)
        step = -np.where(flipped, 0.0, state.size * state.sign) if optax else -size * sign
        return step, RpropState(size, sign)

    return _rule(init, update)


# Steps divided by the size of past gradients


class AdaGradState(NamedTuple):
    """total (..., d): the sum of squared gradients; t: steps taken."""

    total: Array
    t: int


class AdaDeltaState(NamedTuple):
    """square_average, step_average (..., d): moving averages of g² and of squared steps (before lr)."""

    square_average: Array
    step_average: Array


class RMSPropState(NamedTuple):
    """square_average (..., d): moving average of g²; average: of g, 0 unless centered; velocity: of the steps.

    The velocity is the momentum of the divided gradients, without lr (with it in Keras' and optax' form).
    """

    square_average: Array
    velocity: Array
    average: Array


def adagrad(
    *,
    lr: Number = 1e-2,
    lr_decay: Number = 0.0,
    initial_accumulator: Number = 0.0,
    eps: Number = 1e-10,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """AdaGrad: G ← G + g², w ← w − lr·g/(√G + eps) (Duchi, Hazan, Singer, 2011).

    Keras and optax have eps inside the root: √(G + eps).
    """
    keras, optax = _framework(convention)
    lr, lr_decay, initial_accumulator, eps, weight_decay = _columns(
        lr=lr, lr_decay=lr_decay, initial_accumulator=initial_accumulator, eps=eps, weight_decay=weight_decay
    )
    quotient, root = _quotient(eps), _root(eps, inside=keras or optax)

    def init(w: Array) -> AdaGradState:
        zeros = _zeros(w, lr, lr_decay, initial_accumulator, eps, weight_decay)
        return AdaGradState(zeros + initial_accumulator, 0)

    def update(grad: Array, state: AdaGradState, w: Array) -> tuple[Array, AdaGradState]:
        total = state.total + grad * grad
        rate = lr / (1 + state.t * lr_decay)
        return -rate * quotient(grad, root(total)), AdaGradState(total, state.t + 1)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def adadelta(
    *,
    lr: Number = 1.0,
    rho: Number = 0.9,
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """AdaDelta: the step's own scale replaces the learning rate (Zeiler, 2012)."""
    keras = _framework(convention).keras
    lr, rho, eps, weight_decay = _columns(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
    quotient, average = _quotient(eps), _average(rho)

    def init(w: Array) -> AdaDeltaState:
        zeros = _zeros(w, lr, rho, eps, weight_decay)
        return AdaDeltaState(zeros, zeros)

    def update(grad: Array, state: AdaDeltaState, w: Array) -> tuple[Array, AdaDeltaState]:
        square = average(state.square_average, grad * grad)
        delta = quotient(np.sqrt(state.step_average + eps) * grad, np.sqrt(square + eps))
        return -lr * delta, AdaDeltaState(square, average(state.step_average, delta * delta))

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def rmsprop(
    *,
    lr: Number = 1e-2,
    rho: Number = 0.99,
    momentum: Number = 0.0,
    centered: bool = False,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """RMSProp: s ← ρs + (1−ρ)g², w ← w − lr·g/(√s + eps) (Tieleman, Hinton, 2012).

    Centered, s less the square of the moving average of g takes the place of s, an estimate of the variance (Graves,
    2013); rounding that makes it negative counts as 0 (NaN in the frameworks). Keras and optax have eps inside the
    root, and lr inside the velocity.
    """
    keras, optax = _framework(convention)
    lr, rho, momentum, eps, weight_decay = _columns(
        lr=lr, rho=rho, momentum=momentum, eps=eps, weight_decay=weight_decay
    )
    _switch(centered=centered)
    other = keras or optax
    quotient, root, average = _quotient(eps), _root(eps, inside=other), _average(rho)
    rolling = np.any(momentum)

    def init(w: Array) -> RMSPropState:
        zeros = _zeros(w, lr, rho, momentum, eps, weight_decay)
        return RMSPropState(zeros, zeros, zeros)

    def update(grad: Array, state: RMSPropState, w: Array) -> tuple[Array, RMSPropState]:
        square = average(state.square_average, grad * grad)
        spread, mean = square, state.average
        if centered:
            mean = average(mean, grad)
            spread = np.maximum(square - mean * mean, 0.0)
        velocity = quotient(grad, root(spread))
        if other:
            velocity = lr * velocity
        if rolling:
            velocity = momentum * state.velocity + velocity
        return (-velocity if other else -lr * velocity), RMSPropState(square, velocity, mean)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


# Adam and its relatives


class AdamState(NamedTuple):
    """m, v (..., d): moving averages of g and g², not bias-corrected; t: steps taken.

    AdaBelief's v averages (g − m)², Yogi's moves towards g² by at most (1−β₂)g² a step.
    """

    m: Array
    v: Array
    t: int


class AMSGradState(NamedTuple):
    """m, v as in Adam; v_max (..., d): the largest v so far (the largest corrected v in optax' form); t: steps."""

    m: Array
    v: Array
    v_max: Array
    t: int


class NadamState(NamedTuple):
    """m, v as in Adam; mu_product: the product of the momenta μ₁…μ_t; t: steps taken."""

    m: Array
    v: Array
    mu_product: Number
    t: int


class AdaMaxState(NamedTuple):
    """m as in Adam; u (..., d): the decayed largest |g| so far (plus eps in PyTorch's form); t: steps taken."""

    m: Array
    u: Array
    t: int


class AdanState(NamedTuple):
    """m, d, v, previous (..., d) and t, the steps taken.

    m, d and v are moving averages of g, of g − previous and of the square of the gradient looked ahead to, not
    bias-corrected; previous is the last gradient.
    """

    m: Array
    d: Array
    v: Array
    previous: Array
    t: int


def _corrected_step(
    lr: Number, beta1: Number, beta2: Number, eps: Number, *, eps_hat: bool = False
) -> Callable[[Array, Array, int], Array]:
    """Return (m, v, t) → −lr · m̂/(√v̂ + eps), or with ε̂ beside the raw root: −lr·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + eps)."""
    quotient = _quotient(eps)

    def step(m: Array, v: Array, t: int) -> Array:
        scale = (1 - beta2**t) ** 0.5
        if eps_hat:
            return -lr * scale / (1 - beta1**t) * quotient(m, np.sqrt(v) + eps)
        return -lr / (1 - beta1**t) * quotient(m, np.sqrt(v) / scale + eps)

    return step


def adam(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    bias_correction: bool = True,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Adam: w ← w − lr·m̂/(√v̂ + eps), m̂ and v̂ bias-corrected (Kingma, Ba, 2015).

    Without bias correction it is w ← w − lr·m/(√v + eps). Keras puts eps beside the raw root √v (ε̂ of the paper's
    section 2).
    """
    keras = _framework(convention).keras
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    _switch(bias_correction=bias_correction)
    first, second, quotient = _average(beta1), _average(beta2), _quotient(eps)
    corrected = _corrected_step(lr, beta1, beta2, eps, eps_hat=keras)

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        t = state.t + 1
        m, v = first(state.m, grad), second(state.v, grad * grad)
        step = corrected(m, v, t) if bias_correction else -lr * quotient(m, np.sqrt(v) + eps)
        return step, AdamState(m, v, t)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def adamw(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-2,
    convention: str = "PyTorch",
) -> Rule:
    """AdamW: Adam's step, beside which w shrinks by 1 − lr·weight_decay (Loshchilov, Hutter, 2019)."""
    undecayed = adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps, convention=convention)
    lr, weight_decay = _columns(lr=lr, weight_decay=weight_decay)

    def init(w: Array) -> AdamState:
        zeros = _zeros(undecayed.init(w).m, weight_decay)
        return AdamState(zeros, zeros, 0)

    return _rule(init, undecayed.update, lr, weight_decay, decoupled=True)


def amsgrad(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """AMSGrad: Adam that divides by the root of the largest v so far (Reddi, Kale, Kumar, 2018).

    PyTorch and Keras keep the largest raw v and correct its bias with that of today, Keras with eps beside the raw
    root; optax keeps the largest corrected v.
    """
    keras, optax = _framework(convention)
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    first, second, quotient = _average(beta1), _average(beta2), _quotient(eps)
    corrected = _corrected_step(lr, beta1, beta2, eps, eps_hat=keras)

    def init(w: Array) -> AMSGradState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AMSGradState(zeros, zeros, zeros, 0)

    def update(grad: Array, state: AMSGradState, w: Array) -> tuple[Array, AMSGradState]:
        t = state.t + 1
        m, v = first(state.m, grad), second(state.v, grad * grad)
        v_max = np.maximum(state.v_max, v / (1 - beta2**t) if optax else v)
        if optax:
            step = -lr / (1 - beta1**t) * quotient(m, np.sqrt(v_max) + eps)
        else:
            step = corrected(m, v_max, t)
        return step, AMSGradState(m, v, v_max, t)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def nadam(
    *,
    lr: Number = 2e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    momentum_decay: Number = 4e-3,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Nadam: Adam with Nesterov's look-ahead and momenta β₁(1 − ½·0.96^(t·momentum_decay)) (Dozat, 2016).

    Keras' schedule is that of momentum_decay = 1; in optax the momentum is β₁ at every step, whatever momentum_decay.
    """
    keras, optax = _framework(convention)
    lr, beta1, beta2, momentum_decay, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, momentum_decay=momentum_decay, eps=eps, weight_decay=weight_decay
    )
    first, second, quotient = _average(beta1), _average(beta2), _quotient(eps)

    def momentum(t: int) -> Number:
        return beta1 * (1 - (0 if optax else 0.5) * 0.96 ** (t * momentum_decay))

    def init(w: Array) -> NadamState:
        zeros = _zeros(w, lr, beta1, beta2, momentum_decay, eps, weight_decay)
        one = 1 + 0 * (beta1 + momentum_decay)  # of the shape that the product of momenta will have
        return NadamState(zeros, zeros, one, 0)

    def update(grad: Array, state: NadamState, w: Array) -> tuple[Array, NadamState]:
        t = state.t + 1
        mu, mu_next = momentum(t), momentum(t + 1)
        product = state.mu_product * mu
        m, v = first(state.m, grad), second(state.v, grad * grad)
        ahead = (1 - mu) / (1 - product) * grad + mu_next / (1 - product * mu_next) * m
        step = -lr * quotient(ahead, np.sqrt(v / (1 - beta2**t)) + eps)
        return step, NadamState(m, v, product, t)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def adamax(
    *,
    lr: Number = 2e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """AdaMax: u ← max(β₂u, |g| + eps), w ← w − lr·m̂/u (Kingma, Ba, 2015, section 7).

    Keras leaves eps out of u and divides by u + eps.
    """
    keras = _framework(convention).keras
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    first, quotient = _average(beta1), _quotient(eps)

    def init(w: Array) -> AdaMaxState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AdaMaxState(zeros, zeros, 0)

    def update(grad: Array, state: AdaMaxState, w: Array) -> tuple[Array, AdaMaxState]:
        t = state.t + 1
        m = first(state.m, grad)
        u = np.maximum(beta2 * state.u, np.abs(grad) if keras else np.abs(grad) + eps)
        step = -lr / (1 - beta1**t) * quotient(m, u + eps if keras else u)
        return step, AdaMaxState(m, u, t)

    return _rule(init, update, lr, weight_decay, decoupled=keras)


def radam(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """RAdam: Adam's step times r_t, and the plain lr·m̂ while too few squares have been averaged (Liu et al., 2020).

    The effective number of squares is ρ_t = ρ_∞ − 2tβ₂ᵗ/(1−β₂ᵗ), ρ_∞ = 2/(1−β₂) − 1; PyTorch adapts once ρ_t > 5, with
    eps beside the raw root √v, optax once ρ_t ≥ 5, with eps beside the corrected root.
    """
    optax = _framework(convention).optax
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    first, second = _average(beta1), _average(beta2)
    # The factor r_t of a run that is not adapted yet may be NaN; it is never used then.
    corrected = _corrected_step(lr, beta1, beta2, eps, eps_hat=not optax)

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        t = state.t + 1
        m, v = first(state.m, grad), second(state.v, grad * grad)
        length, factor = _rectification(beta2, t)
        adapted = length >= 5 if optax else length > 5
        step = np.where(adapted, factor * corrected(m, v, t), -lr / (1 - beta1**t) * m)
        return step, AdamState(m, v, t)

    return _rule(init, update, lr, weight_decay)


def _rectification(beta2: Number, t: int) -> tuple[Number, Number]:
    """Return RAdam's effective number of squares ρ_t and its factor r_t, NaN or inf where ρ_t is at most 4."""
    decay = np.asarray(beta2)  # divides by 0 without an exception
    power = decay**t
    longest = 2 / (1 - decay) - 1
    length = longest - 2 * t * power / (1 - power)
    factor = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    return (length, factor) if decay.ndim else (float(length), float(factor))


def adabelief(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-16,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """AdaBelief: Adam whose v averages (g − m)², the surprise, instead of g² (Zhuang et al., 2020).

    As in the paper and in the authors' adabelief-pytorch with ``rectify=False``: eps is added to v at every step, and
    once more beside its corrected root; weight decay is decoupled. optax is the same with eps_root = eps.
    """
    optax = _framework(convention).optax
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    first, second = _average(beta1), _average(beta2)
    corrected = _corrected_step(lr, beta1, beta2, eps)

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        t = state.t + 1
        m = first(state.m, grad)
        surprise = grad - m
        v = second(state.v, surprise * surprise) + eps
        return corrected(m, v, t), AdamState(m, v, t)

    return _rule(init, update, lr, weight_decay, decoupled=not optax)


def adan(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.98,
    beta2: Number = 0.92,
    beta3: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Adan: averages of g, of its change Δ = g − g₋₁ and of (g + β₂Δ)², all bias-corrected (Xie et al., 2022).

    w ← (w − lr(m̂ + β₂d̂)/(√v̂ + eps))/(1 + lr·weight_decay), as in the authors' adan.py, whose β is 1 − β of the paper.
    optax takes β₂ from there but weighs by 1 − β₂, has eps inside the root as well, and decouples weight decay as AdamW
    does.
    """
    optax = _framework(convention).optax
    lr, beta1, beta2, beta3, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, beta3=beta3, eps=eps, weight_decay=weight_decay
    )
    first, change, second, quotient = _average(beta1), _average(beta2), _average(beta3), _quotient(eps)
    share = 1 - beta2 if optax else beta2
    inside = eps if optax else 0.0
    shrink = lr * weight_decay
    proximal = np.any(shrink) and not optax

    def init(w: Array) -> AdanState:
        zeros = _zeros(w, lr, beta1, beta2, beta3, eps, weight_decay)
        return AdanState(zeros, zeros, zeros, zeros, 0)

    def update(grad: Array, state: AdanState, w: Array) -> tuple[Array, AdanState]:
        t = state.t + 1
        delta = grad - state.previous if state.t else np.zeros_like(grad)
        ahead = grad + share * delta
        m, d, v = first(state.m, grad), change(state.d, delta), second(state.v, ahead * ahead)
        pull = m / (1 - beta1**t) + share * d / (1 - beta2**t)
        step = -lr * quotient(pull, np.sqrt(v / (1 - beta3**t) + inside) + eps)
        if proximal:
            step = (step - shrink * w) / (1 + shrink)
        return step, AdanState(m, d, v, np.broadcast_to(grad, m.shape).astype(m.dtype), t)

    return _rule(init, update, lr, weight_decay if optax else 0.0, decoupled=True)


def qhadam(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.995,
    beta2: Number = 0.999,
    nu1: Number = 0.7,
    nu2: Number = 1.0,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """QHAdam: w ← w − lr((1−ν₁)g + ν₁m̂)/(√((1−ν₂)g² + ν₂v̂) + eps) (Ma, Yarats, 2019, and their qhoptim).

    ν₁ = ν₂ = 1 is Adam, and qhoptim's default; the defaults here are those that the paper recommends.
    """
    _framework(convention)
    lr, beta1, beta2, nu1, nu2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, nu1=nu1, nu2=nu2, eps=eps, weight_decay=weight_decay
    )
    first, second, quotient = _average(beta1), _average(beta2), _quotient(eps)
    mixes = np.any(nu2 != 1)

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, nu1, nu2, eps, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        t = state.t + 1
        square = grad * grad
        m, v = first(state.m, grad), second(state.v, square)
        pull = (1 - nu1) * grad + nu1 * m / (1 - beta1**t)
        mixed = v / (1 - beta2**t)
        if mixes:
            mixed = (1 - nu2) * square + nu2 * mixed
        return -lr * quotient(pull, np.sqrt(mixed) + eps), AdamState(m, v, t)

    return _rule(init, update, lr, weight_decay)


def yogi(
    *,
    lr: Number = 1e-2,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    initial_accumulator: Number = 1e-6,
    eps: Number = 1e-3,
    weight_decay: Number = 0.0,
    convention: str = "PyTorch",
) -> Rule:
    """Yogi: Adam with v ← v − (1−β₂)·sign(v − g²)·g², so that v falls slowly (Zaheer et al., 2018).

    As in optax, with bias correction and v₀ = initial_accumulator, but m₀ = 0 as in the paper; optax starts m at
    initial_accumulator too, and so moves without any gradient.
    """
    optax = _framework(convention).optax
    lr, beta1, beta2, initial_accumulator, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, initial_accumulator=initial_accumulator, eps=eps,
        weight_decay=weight_decay,
    )  # fmt: skip
    first, fresh = _average(beta1), 1 - beta2
    corrected = _corrected_step(lr, beta1, beta2, eps)

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, initial_accumulator, eps, weight_decay)
        full = zeros + initial_accumulator
        return AdamState(full if optax else zeros, full, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        t = state.t + 1
        square = grad * grad
        m = first(state.m, grad)
        v = state.v - fresh * np.sign(state.v - square) * square
        return corrected(m, v, t), AdamState(m, v, t)

    return _rule(init, update, lr, weight_decay)
