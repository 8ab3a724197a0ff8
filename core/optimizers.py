"""Optimizers: each one a pure pair ``init(w) → state``, ``update(grad, state, w) → (step, state)``.

The caller moves: w_new = w + step. Nothing is changed in place, so a state can be kept, plotted or replayed.
Gradients and points have shape (..., d). A knob is a number or an array of shape S that broadcasts over the
leading axes of w, as ``knob[..., None]``: one run covers many starts, a grid of learning rates, or both.

Every rule follows PyTorch (``torch.optim``, float64 trajectories agree) and has three properties: float32
points and knobs give float32 steps; where every gradient so far was exactly 0, the step is exactly 0 (0/0
counts as 0 when eps is 0), apart from weight decay; overflow gives inf or NaN, never a warning or a clipped
step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.knobs import Knob
from core.quadratic import GD_THEORY, HEAVY_BALL_THEORY, NESTEROV_THEORY, LinearTheory

Array = NDArray[np.floating[Any]]
Number = float | Array
State = Any  # a NamedTuple of arrays and numbers, each rule its own


class Rule(NamedTuple):
    """An optimizer with its knobs set.

    ``init(w)`` → state; ``update(grad, state, w)`` → (step, state) with w_new = w + step.
    """

    init: Callable[[Array], State]
    update: Callable[[Array, State, Array], tuple[Array, State]]


@dataclass(frozen=True)
class Optimizer:
    """An entry of the registry.

    ``build`` takes the knobs by keyword; their defaults are PyTorch's. ``lr_unit`` says what lr means, and
    ``lr_factor`` turns it into a first guess on a surface (see ``suggested_lr``): "curvature" multiplies a
    gradient, so lr scales with 1/curvature; "length" is about the length of a step, so lr scales with the
    distance to go; "free" has no unit. ``aliases`` are other spellings and names it once had, for links. ``linear`` is
    what theory knows of a rule that is linear on a quadratic, without weight decay and dampening.
    """

    name: str
    build: Callable[..., Rule]
    knobs: tuple[Knob, ...]
    update_rule: str
    source: str
    torch: str
    convention: str
    lr_unit: Literal["curvature", "length", "free"]
    lr_factor: float
    aliases: tuple[str, ...] = ()
    linear: LinearTheory | None = None


def suggested_lr(optimizer: Optimizer, rate: float, width: float) -> float:
    """Return a learning rate to begin with, to two significant digits.

    Args:
        optimizer: an entry of ``OPTIMIZERS``.
        rate: a learning rate at which plain gradient descent works on the surface.
        width: width of the surface's window, in units of w.

    Raises:
        ValueError: rate or width is not a positive number.
    """
    for name, value in (("rate", rate), ("width", width)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} = {value}: needs a number above 0")
    unit = {"curvature": rate, "length": width, "free": 1.0}[optimizer.lr_unit]
    return float(f"{optimizer.lr_factor * unit:.2g}")


# Shared parts of the rules

_LIMIT: dict[str, Literal["<", "≤"]] = {"beta1": "<", "beta2": "<", "dampening": "≤", "rho": "≤"}


def _columns(**knobs: Number) -> list[Number]:
    """Check the knobs, each finite, ≥ 0 and in its range; give arrays a last axis, for the coordinates."""
    columns: list[Number] = []
    for name, value in knobs.items():
        array = np.asarray(value)
        if array.dtype.kind != "f":
            array = np.asarray(value, dtype=np.float64)
        limit = _LIMIT.get(name)
        allowed = np.isfinite(array) & (array >= 0)
        if limit:
            allowed &= array < 1 if limit == "<" else array <= 1
        if not np.all(allowed):
            needs = f"≥ 0 and {limit} 1" if limit else "≥ 0"
            raise ValueError(f"{name} = {array[~allowed].flat[0]}: needs a finite number {needs}")
        # A Python float, unlike a NumPy scalar, leaves float32 arrays float32.
        columns.append(array[..., None] if array.ndim else float(array))
    return columns


def _zeros(w: Array, *knobs: Number) -> Array:
    """Return zeros of the shape and type that w takes once it has met these knobs."""
    w = np.asarray(w)
    return np.zeros(np.broadcast_shapes(w.shape, *map(np.shape, knobs)), np.result_type(w, *knobs))


def _rule(init: Callable[[Array], State], update: Callable[[Array, State, Array], Any]) -> Rule:
    """Pair the two functions; a diverging run overflows, and that is a result, not a warning."""
    return Rule(init, np.errstate(all="ignore")(update))


def _l2(weight_decay: Number) -> Callable[[Array, Array], Array]:
    """Return (grad, w) → gradient of the loss plus ½ · weight_decay · ‖w‖²."""
    if np.any(weight_decay):
        return lambda grad, w: grad + weight_decay * w
    return lambda grad, w: grad


def _quotient(eps: Number) -> Callable[[Array, Array], Array]:
    """Return the division whose denominator contains eps; where eps may vanish, 0/0 is 0."""
    if np.all(eps >= np.finfo(np.float32).tiny):
        return np.divide
    return lambda a, b: np.where((a == 0) & (b == 0), 0.0, a / b)


# Gradient descent and momentum


class NoState(NamedTuple):
    """Plain gradient descent remembers nothing."""


class MomentumState(NamedTuple):
    """velocity (..., d): the decayed sum of gradients, without lr; t: steps taken."""

    velocity: Array
    t: int


def _gd(*, lr: Number = 1e-3, weight_decay: Number = 0.0) -> Rule:
    """Gradient descent: w ← w − lr·g (Cauchy, 1847)."""
    lr, weight_decay = _columns(lr=lr, weight_decay=weight_decay)
    regularized = _l2(weight_decay)

    def init(w: Array) -> NoState:
        return NoState()

    def update(grad: Array, state: NoState, w: Array) -> tuple[Array, NoState]:
        return -lr * regularized(grad, w), state

    return _rule(init, update)


def _momentum(
    *, lr: Number = 1e-3, momentum: Number = 0.9, dampening: Number = 0.0, weight_decay: Number = 0.0
) -> Rule:
    """Heavy ball: v ← μv + (1−dampening)g, w ← w − lr·v, with v = g at the first step (Polyak, 1964)."""
    lr, momentum, dampening, weight_decay = _columns(
        lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay
    )
    regularized = _l2(weight_decay)
    # PyTorch without momentum ignores dampening altogether.
    share = 1 - dampening * (momentum != 0)
    damped = np.any(share != 1)

    def init(w: Array) -> MomentumState:
        return MomentumState(_zeros(w, lr, momentum, dampening, weight_decay), 0)

    def update(grad: Array, state: MomentumState, w: Array) -> tuple[Array, MomentumState]:
        g = regularized(grad, w)
        if damped and state.t > 0:
            g = share * g
        velocity = momentum * state.velocity + g
        return -lr * velocity, MomentumState(velocity, state.t + 1)

    return _rule(init, update)


def _nesterov(*, lr: Number = 1e-3, momentum: Number = 0.9, weight_decay: Number = 0.0) -> Rule:
    """Nesterov's momentum, PyTorch form: v ← μv + g, w ← w − lr(g + μv) (Nesterov, 1983)."""
    lr, momentum, weight_decay = _columns(lr=lr, momentum=momentum, weight_decay=weight_decay)
    regularized = _l2(weight_decay)

    def init(w: Array) -> MomentumState:
        return MomentumState(_zeros(w, lr, momentum, weight_decay), 0)

    def update(grad: Array, state: MomentumState, w: Array) -> tuple[Array, MomentumState]:
        g = regularized(grad, w)
        velocity = momentum * state.velocity + g
        return -lr * (g + momentum * velocity), MomentumState(velocity, state.t + 1)

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
    """square_average (..., d): moving average of g²; velocity (..., d): momentum of the divided gradients."""

    square_average: Array
    velocity: Array


def _adagrad(
    *,
    lr: Number = 1e-2,
    lr_decay: Number = 0.0,
    initial_accumulator: Number = 0.0,
    eps: Number = 1e-10,
    weight_decay: Number = 0.0,
) -> Rule:
    """AdaGrad: G ← G + g², w ← w − lr·g/(√G + eps) (Duchi, Hazan, Singer, 2011)."""
    lr, lr_decay, initial_accumulator, eps, weight_decay = _columns(
        lr=lr, lr_decay=lr_decay, initial_accumulator=initial_accumulator, eps=eps, weight_decay=weight_decay
    )
    regularized, quotient = _l2(weight_decay), _quotient(eps)

    def init(w: Array) -> AdaGradState:
        zeros = _zeros(w, lr, lr_decay, initial_accumulator, eps, weight_decay)
        return AdaGradState(zeros + initial_accumulator, 0)

    def update(grad: Array, state: AdaGradState, w: Array) -> tuple[Array, AdaGradState]:
        g = regularized(grad, w)
        total = state.total + g * g
        rate = lr / (1 + state.t * lr_decay)
        return -rate * quotient(g, np.sqrt(total) + eps), AdaGradState(total, state.t + 1)

    return _rule(init, update)


def _adadelta(*, lr: Number = 1.0, rho: Number = 0.9, eps: Number = 1e-6, weight_decay: Number = 0.0) -> Rule:
    """AdaDelta: the step's own scale replaces the learning rate (Zeiler, 2012)."""
    lr, rho, eps, weight_decay = _columns(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
    regularized, quotient = _l2(weight_decay), _quotient(eps)
    fresh = 1 - rho

    def init(w: Array) -> AdaDeltaState:
        zeros = _zeros(w, lr, rho, eps, weight_decay)
        return AdaDeltaState(zeros, zeros)

    def update(grad: Array, state: AdaDeltaState, w: Array) -> tuple[Array, AdaDeltaState]:
        g = regularized(grad, w)
        square = rho * state.square_average + fresh * (g * g)
        delta = quotient(np.sqrt(state.step_average + eps) * g, np.sqrt(square + eps))
        return -lr * delta, AdaDeltaState(square, rho * state.step_average + fresh * (delta * delta))

    return _rule(init, update)


def _rmsprop(
    *,
    lr: Number = 1e-2,
    rho: Number = 0.99,
    momentum: Number = 0.0,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
) -> Rule:
    """RMSProp: s ← ρs + (1−ρ)g², w ← w − lr·g/(√s + eps) (Tieleman, Hinton, 2012)."""
    lr, rho, momentum, eps, weight_decay = _columns(
        lr=lr, rho=rho, momentum=momentum, eps=eps, weight_decay=weight_decay
    )
    regularized, quotient = _l2(weight_decay), _quotient(eps)
    fresh, rolling = 1 - rho, np.any(momentum)

    def init(w: Array) -> RMSPropState:
        zeros = _zeros(w, lr, rho, momentum, eps, weight_decay)
        return RMSPropState(zeros, zeros)

    def update(grad: Array, state: RMSPropState, w: Array) -> tuple[Array, RMSPropState]:
        g = regularized(grad, w)
        square = rho * state.square_average + fresh * (g * g)
        velocity = quotient(g, np.sqrt(square) + eps)
        if rolling:
            velocity = momentum * state.velocity + velocity
        return -lr * velocity, RMSPropState(square, velocity)

    return _rule(init, update)


# Adam and its relatives


class AdamState(NamedTuple):
    """m, v (..., d): moving averages of g and g², not bias-corrected; t: steps taken."""

    m: Array
    v: Array
    t: int


class AMSGradState(NamedTuple):
    """m, v as in Adam; v_max (..., d): the largest v so far; t: steps taken."""

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


def _adam(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
) -> Rule:
    """Adam: w ← w − lr·m̂/(√v̂ + eps), m̂ and v̂ bias-corrected (Kingma, Ba, 2015)."""
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    regularized, quotient = _l2(weight_decay), _quotient(eps)
    fresh1, fresh2 = 1 - beta1, 1 - beta2

    def init(w: Array) -> AdamState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        g = regularized(grad, w)
        t = state.t + 1
        m = beta1 * state.m + fresh1 * g
        v = beta2 * state.v + fresh2 * (g * g)
        root = np.sqrt(v) / (1 - beta2**t) ** 0.5
        return -lr / (1 - beta1**t) * quotient(m, root + eps), AdamState(m, v, t)

    return _rule(init, update)


def _adamw(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-2,
) -> Rule:
    """AdamW: Adam's step, beside which w shrinks by 1 − lr·weight_decay (Loshchilov, Hutter, 2019)."""
    adam = _adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps)
    lr, weight_decay = _columns(lr=lr, weight_decay=weight_decay)
    shrink = lr * weight_decay
    decays = np.any(shrink)

    def init(w: Array) -> AdamState:
        zeros = _zeros(adam.init(w).m, weight_decay)
        return AdamState(zeros, zeros, 0)

    def update(grad: Array, state: AdamState, w: Array) -> tuple[Array, AdamState]:
        step, new = adam.update(grad, state, w)
        return (step - shrink * w if decays else step), new

    return _rule(init, update)


def _amsgrad(
    *,
    lr: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
) -> Rule:
    """AMSGrad: Adam that divides by the root of the largest v so far (Reddi, Kale, Kumar, 2018)."""
    lr, beta1, beta2, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay
    )
    regularized, quotient = _l2(weight_decay), _quotient(eps)
    fresh1, fresh2 = 1 - beta1, 1 - beta2

    def init(w: Array) -> AMSGradState:
        zeros = _zeros(w, lr, beta1, beta2, eps, weight_decay)
        return AMSGradState(zeros, zeros, zeros, 0)

    def update(grad: Array, state: AMSGradState, w: Array) -> tuple[Array, AMSGradState]:
        g = regularized(grad, w)
        t = state.t + 1
        m = beta1 * state.m + fresh1 * g
        v = beta2 * state.v + fresh2 * (g * g)
        v_max = np.maximum(state.v_max, v)
        root = np.sqrt(v_max) / (1 - beta2**t) ** 0.5
        return -lr / (1 - beta1**t) * quotient(m, root + eps), AMSGradState(m, v, v_max, t)

    return _rule(init, update)


def _nadam(
    *,
    lr: Number = 2e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    momentum_decay: Number = 4e-3,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
) -> Rule:
    """Nadam: Adam with Nesterov's look-ahead and momenta β₁(1 − ½·0.96^(t·decay)) (Dozat, 2016)."""
    lr, beta1, beta2, momentum_decay, eps, weight_decay = _columns(
        lr=lr, beta1=beta1, beta2=beta2, momentum_decay=momentum_decay, eps=eps, weight_decay=weight_decay
    )
    regularized, quotient = _l2(weight_decay), _quotient(eps)
    fresh1, fresh2 = 1 - beta1, 1 - beta2

    def init(w: Array) -> NadamState:
        zeros = _zeros(w, lr, beta1, beta2, momentum_decay, eps, weight_decay)
        one = 1 + 0 * (beta1 + momentum_decay)  # of the shape that the product of momenta will have
        return NadamState(zeros, zeros, one, 0)

    def update(grad: Array, state: NadamState, w: Array) -> tuple[Array, NadamState]:
        g = regularized(grad, w)
        t = state.t + 1
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product = state.mu_product * mu
        m = beta1 * state.m + fresh1 * g
        v = beta2 * state.v + fresh2 * (g * g)
        ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
        step = -lr * quotient(ahead, np.sqrt(v / (1 - beta2**t)) + eps)
        return step, NadamState(m, v, product, t)

    return _rule(init, update)


# The registry


def _lr(default: float, high: float = 10.0) -> Knob:
    return Knob(
        "lr", "float", default, label="Learning rate", low=1e-6, high=high, log=True, symbol="η",
        help="What the direction of the step is multiplied by.",
    )  # fmt: skip


_MOMENTUM = Knob(
    "momentum", "float", 0.9, label="Momentum", low=0.0, high=1.0, step=0.01, symbol="μ",
    help="Share of the last velocity that is kept; 0 keeps none.",
)  # fmt: skip
_DAMPENING = Knob(
    "dampening", "float", 0.0, label="Dampening", low=0.0, high=1.0, step=0.05, symbol="τ",
    help="New gradients enter the velocity times 1 − dampening, except the first.",
)  # fmt: skip
_BETA1 = Knob(
    "beta1", "float", 0.9, label="Memory of gradients", low=0.0, high=0.9999, step=0.01, symbol="β₁",
    help="Decay of the average of gradients: it looks back about 1/(1 − β₁) steps.",
)  # fmt: skip
_BETA2 = Knob(
    "beta2", "float", 0.999, label="Memory of squares", low=0.0, high=0.99999, step=0.001, symbol="β₂",
    help="Decay of the average of squared gradients: it looks back about 1/(1 − β₂) steps.",
)  # fmt: skip
_RHO = Knob(
    "rho", "float", 0.99, label="Memory of squares", low=0.0, high=0.99999, step=0.01, symbol="ρ",
    help="Decay of the average of squared gradients: it looks back about 1/(1 − ρ) steps.",
)  # fmt: skip
_EPS = Knob(
    "eps", "float", 1e-8, label="Epsilon", low=0.0, high=1.0, log=True, symbol="ε",
    help="Added to the denominator, so that a small gradient does not make a large step.",
)  # fmt: skip
_WEIGHT_DECAY = Knob(
    "weight_decay", "float", 0.0, label="Weight decay", low=0.0, high=1.0, step=0.001, symbol="λ",
    help="L2 penalty: adds weight decay times w to the gradient.",
)  # fmt: skip
_DECOUPLED_DECAY = replace(
    _WEIGHT_DECAY, default=1e-2, help="Shrinks w by 1 − lr · weight decay, apart from the gradient."
)
_MOMENTUM_DECAY = Knob(
    "momentum_decay", "float", 4e-3, label="Momentum schedule", low=0.0, high=1.0, step=0.001, symbol="ψ",
    help="How fast the momentum rises from β₁/2 to β₁.",
)  # fmt: skip
_LR_DECAY = Knob(
    "lr_decay", "float", 0.0, label="Rate decay", low=0.0, high=1.0, step=0.001, symbol="κ",
    help="The learning rate at step t is lr / (1 + (t − 1) · decay).",
)  # fmt: skip
_ACCUMULATOR = Knob(
    "initial_accumulator", "float", 0.0, label="Initial sum", low=0.0, high=10.0, step=0.1, symbol="G₀",
    help="Where the sum of squared gradients starts; Keras and optax start at 0.1.",
)  # fmt: skip

_ENTRIES = (
    Optimizer(
        name="GD",
        aliases=("SGD",),
        build=_gd,
        knobs=(_lr(1e-3), _WEIGHT_DECAY),
        update_rule=r"w \leftarrow w - \eta\, g",
        source="Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847",
        torch="torch.optim.SGD(params, lr=lr, weight_decay=weight_decay)",
        convention="PyTorch: weight decay is an L2 term added to g",
        lr_unit="curvature",
        lr_factor=1.0,
        linear=GD_THEORY,
    ),
    Optimizer(
        name="Momentum",
        build=_momentum,
        knobs=(_lr(1e-3), _MOMENTUM, _DAMPENING, _WEIGHT_DECAY),
        update_rule=r"v \leftarrow \mu v + (1-\tau)\, g,\quad w \leftarrow w - \eta\, v",
        source="Polyak, Some methods of speeding up the convergence of iteration methods, 1964",
        torch=(
            "torch.optim.SGD(params, lr=lr, momentum=momentum, dampening=dampening, "
            "weight_decay=weight_decay)"
        ),
        convention="PyTorch: v₁ = g undamped, and the velocity holds no lr (Keras keeps lr inside it)",
        lr_unit="curvature",
        lr_factor=1 / 9,
        linear=HEAVY_BALL_THEORY,
    ),
    Optimizer(
        name="Nesterov",
        build=_nesterov,
        knobs=(_lr(1e-3), _MOMENTUM, _WEIGHT_DECAY),
        update_rule=r"v \leftarrow \mu v + g,\quad w \leftarrow w - \eta\,(g + \mu v)",
        source="Nesterov, A method of solving a convex programming problem with rate O(1/k²), 1983",
        torch="torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=True, weight_decay=weight_decay)",
        convention="PyTorch and Keras: w moves by lr(g + μv) with the new v, so the first step is (1+μ)·lr·g",
        lr_unit="curvature",
        lr_factor=1 / 9,
        linear=NESTEROV_THEORY,
    ),
    Optimizer(
        name="AdaGrad",
        aliases=("Adagrad",),
        build=_adagrad,
        knobs=(_lr(1e-2), _LR_DECAY, _ACCUMULATOR, replace(_EPS, default=1e-10), _WEIGHT_DECAY),
        update_rule=(
            r"G \leftarrow G + g^2,\quad "
            r"w \leftarrow w - \frac{\eta}{1+(t-1)\kappa}\,\frac{g}{\sqrt{G} + \varepsilon}"
        ),
        source="Duchi, Hazan, Singer, Adaptive subgradient methods, 2011",
        torch=(
            "torch.optim.Adagrad(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, "
            "initial_accumulator_value=initial_accumulator, eps=eps)"
        ),
        convention="PyTorch: the sum starts at 0, eps outside the root (Keras, optax: 0.1, inside)",
        lr_unit="length",
        lr_factor=1 / 10,
    ),
    Optimizer(
        name="AdaDelta",
        aliases=("Adadelta",),
        build=_adadelta,
        knobs=(_lr(1.0, high=100.0), replace(_RHO, default=0.9), replace(_EPS, default=1e-6), _WEIGHT_DECAY),
        update_rule=(
            r"s \leftarrow \rho s + (1-\rho) g^2,\quad "
            r"\delta = \sqrt{\tfrac{d + \varepsilon}{s + \varepsilon}}\; g,\quad "
            r"d \leftarrow \rho d + (1-\rho)\,\delta^2,\quad w \leftarrow w - \eta\, \delta"
        ),
        source="Zeiler, ADADELTA: an adaptive learning rate method, 2012",
        torch="torch.optim.Adadelta(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: lr = 1 as in the paper, eps inside both roots (Keras' default lr is 0.001)",
        lr_unit="free",
        lr_factor=1.0,
    ),
    Optimizer(
        name="RMSProp",
        aliases=("RMSprop",),
        build=_rmsprop,
        knobs=(_lr(1e-2), _RHO, replace(_MOMENTUM, default=0.0), _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"s \leftarrow \rho s + (1-\rho) g^2,\quad "
            r"v \leftarrow \mu v + \frac{g}{\sqrt{s} + \varepsilon},\quad w \leftarrow w - \eta\, v"
        ),
        source="Tieleman, Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012",
        torch=(
            "torch.optim.RMSprop(params, lr=lr, alpha=rho, eps=eps, weight_decay=weight_decay, "
            "momentum=momentum)"
        ),
        convention="PyTorch: ρ is its alpha, 0.99, and eps outside the root (Keras, optax: 0.9, inside)",
        lr_unit="length",
        lr_factor=1 / 90,
    ),
    Optimizer(
        name="Adam",
        build=_adam,
        knobs=(_lr(1e-3), _BETA1, _BETA2, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow w - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Kingma, Ba, Adam: a method for stochastic optimization, 2015",
        torch="torch.optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: eps beside the corrected root; weight decay is an L2 term (Keras: ε̂ = 1e-7)",
        lr_unit="length",
        lr_factor=1 / 30,
    ),
    Optimizer(
        name="AdamW",
        build=_adamw,
        knobs=(_lr(1e-3), _BETA1, _BETA2, _EPS, _DECOUPLED_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow (1-\eta\lambda)\,w"
            r" - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Loshchilov, Hutter, Decoupled weight decay regularization, 2019",
        torch="torch.optim.AdamW(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: decoupled decay of lr · weight decay, 0.01 by default",
        lr_unit="length",
        lr_factor=1 / 30,
    ),
    Optimizer(
        name="AMSGrad",
        build=_amsgrad,
        knobs=(_lr(1e-3), _BETA1, _BETA2, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"\bar v \leftarrow \max(\bar v, v),\quad "
            r"w \leftarrow w - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{\bar v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Reddi, Kale, Kumar, On the convergence of Adam and beyond, 2018",
        torch=(
            "torch.optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, "
            "amsgrad=True)"
        ),
        convention="PyTorch and Keras: largest raw v, then bias correction (optax: largest corrected v)",
        lr_unit="length",
        lr_factor=1 / 30,
    ),
    Optimizer(
        name="Nadam",
        aliases=("NAdam",),
        build=_nadam,
        knobs=(_lr(2e-3), _BETA1, _BETA2, _MOMENTUM_DECAY, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"\mu_t = \beta_1\bigl(1 - \tfrac12\, 0.96^{t\psi}\bigr),\quad "
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow w - \frac{\eta}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
            r"\Bigl(\frac{(1-\mu_t)\, g}{1-\prod_{i\le t}\mu_i}"
            r" + \frac{\mu_{t+1}\, m}{1-\prod_{i\le t+1}\mu_i}\Bigr)"
        ),
        source="Dozat, Incorporating Nesterov momentum into Adam, 2016",
        torch=(
            "torch.optim.NAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, "
            "momentum_decay=momentum_decay)"
        ),
        convention="PyTorch: momentum β₁(1 − ½·0.96^(0.004t)) (Keras: 0.96^t; optax: constant β₁)",
        lr_unit="length",
        lr_factor=1 / 30,
    ),
)

OPTIMIZERS: dict[str, Optimizer] = {entry.name: entry for entry in _ENTRIES}
