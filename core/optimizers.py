"""Optimizers: each one a pure pair ``init(w) → state``, ``update(grad, state, w) → (step, state)``.

The registry of the rules in ``core.optimizer_rules``, which says what they share: shapes, knobs that broadcast,
float types, what happens at 0/0 and at overflow. The knobs' defaults are PyTorch's; of a rule that PyTorch lacks, those
of the reference that its ``convention`` names.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from core import optimizer_rules as rules
from core.knobs import Knob
from core.optimizer_rules import CONVENTIONS, Array, Number, Rule, State
from core.quadratic import GD_THEORY, HEAVY_BALL_THEORY, NESTEROV_THEORY, LinearTheory

__all__ = [
    "CONVENTIONS", "OPTIMIZERS", "Array", "Number", "Optimizer", "Rule", "State", "suggested_lr",
]  # fmt: skip

Settings = Mapping[str, float | bool]

_NO_DEFAULT_LR = ("optax",)  # its optimizers must be given one


@dataclass(frozen=True)
class Optimizer:
    """An entry of the registry.

    ``build(convention="PyTorch", **knobs)`` → ``Rule``; it takes the knobs by keyword and one of ``CONVENTIONS``.
    ``update_rule`` and ``convention`` describe the default form, ``conventions`` says in one line each how another
    framework's formula differs. ``defaults`` holds, for each framework that has the optimizer, what it sets the knobs
    to if nobody says otherwise: a knob that the framework lacks is at what it amounts to there, a learning rate that
    must be given (optax) is left out, and momentum, which is 0 in every framework, stays at ours.

    ``torch`` is the line that makes it in PyTorch, "" where ``torch.optim`` lacks it. ``lr_unit`` says what lr means, and
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
    conventions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, Settings] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Complete the defaults, given as what differs from the knobs' own."""
        own = {knob.name: knob.default for knob in self.knobs}
        full = {
            framework: MappingProxyType({
                name: value
                for name, value in {**own, **given}.items()
                if name != "lr" or framework not in _NO_DEFAULT_LR
            })
            for framework, given in self.defaults.items()
        }  # fmt: skip
        object.__setattr__(self, "defaults", MappingProxyType(full))

    @property
    def differs(self) -> tuple[str, ...]:
        """The conventions whose formula differs from the default's."""
        return tuple(self.conventions)


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
    _WEIGHT_DECAY,
    default=1e-2,
    help="Multiplies w by 1 − learning rate · weight decay, apart from the gradient.",
)
_MOMENTUM_DECAY = Knob(
    "momentum_decay", "float", 4e-3, label="Momentum schedule", low=0.0, high=1.0, step=0.001, symbol="ψ",
    help="How fast the momentum rises from β₁/2 to β₁.",
)  # fmt: skip
_LR_DECAY = Knob(
    "lr_decay", "float", 0.0, label="Rate decay", low=0.0, high=1.0, step=0.001, symbol="κ",
    help="At step t the learning rate is divided by 1 + (t − 1) · decay.",
)  # fmt: skip
_ACCUMULATOR = Knob(
    "initial_accumulator", "float", 0.0, label="Initial sum", low=0.0, high=10.0, step=0.1, symbol="G₀",
    help="Where the sum of squared gradients starts; Keras and optax start at 0.1.",
)  # fmt: skip

_CENTERED = Knob(
    "centered", "bool", False, label="Centered",
    help="Divides by the spread of the gradients: the square of their average is taken from that of the squares.",
)  # fmt: skip
_BIAS_CORRECTION = Knob(
    "bias_correction", "bool", True, label="Bias correction",
    help="Divides both averages, which start at 0, by the weight that they have gathered so far.",
)  # fmt: skip
_NU = Knob(
    "nu", "float", 0.7, label="Weight of the average", low=0.0, high=1.0, step=0.05, symbol="ν",
    help="Share of the averaged gradient in the step; the rest is the gradient itself.",
)  # fmt: skip
_BETA3 = replace(
    _BETA2, name="beta3", default=0.99, symbol="β₃",
    help="Decay of the average of squares: it looks back about 1/(1 − β₃) steps.",
)  # fmt: skip
_FIRST_STEP = replace(
    _lr(1e-2),
    label="First step",
    help="Length of the first step in every coordinate; later ones set their own.",
)
_ETA_MINUS = Knob(
    "eta_minus", "float", 0.5, label="Shrinking", low=0.01, high=0.99, step=0.01, symbol="η⁻",
    help="What a step is multiplied by when its gradient has changed sign.",
)  # fmt: skip
_ETA_PLUS = Knob(
    "eta_plus", "float", 1.2, label="Growth", low=1.01, high=5.0, step=0.01, symbol="η⁺",
    help="What a step is multiplied by when its gradient has kept its sign.",
)  # fmt: skip
_STEP_MIN = Knob(
    "step_min", "float", 1e-6, label="Smallest step", low=0.0, high=1.0, log=True, symbol="Δ min",
    help="No step of a coordinate is shorter, except one of 0.",
)  # fmt: skip
_STEP_MAX = Knob(
    "step_max", "float", 50.0, label="Largest step", low=1e-3, high=1000.0, log=True, symbol="Δ max",
    help="No step of a coordinate is longer.",
)  # fmt: skip
_ADAN_BETA2 = replace(
    _BETA2, default=0.92, label="Memory of changes", high=0.9999, step=0.01,
    help="Decay of the average of changes of the gradient, and the weight that they have in the step.",
)  # fmt: skip
_YOGI_BETA2 = replace(_BETA2, help="1 − β₂ is the share of g² by which v moves towards it in a step.")
_YOGI_START = replace(
    _ACCUMULATOR, default=1e-6, label="Initial v", low=0.0, high=1.0, log=True, step=None, symbol="v₀",
    help="Where v starts.",
)  # fmt: skip
_PROXIMAL_DECAY = replace(
    _WEIGHT_DECAY,
    help="Divides w by 1 + learning rate · weight decay after the step, apart from the gradient.",
)
_LION_BETA2 = "Decay of the average of gradients between steps; the step itself looks at it with β₁."
_BELIEF_BETA2 = "Decay of the average of squared surprises g − m: it looks back about 1/(1 − β₂) steps."
_QHM_MOMENTUM = "Decay of the average of gradients: it looks back about 1/(1 − μ) steps."
_NU2 = "Share of the averaged square in the denominator; the rest is the square of the gradient itself."
_L2 = "weight decay is an L2 term added to g"

_ENTRIES = (
    Optimizer(
        name="GD",
        aliases=("SGD",),
        build=rules.gd,
        knobs=(_lr(1e-3), _WEIGHT_DECAY),
        update_rule=r"w \leftarrow w - \eta\, g",
        source="Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847",
        torch="torch.optim.SGD(params, lr=lr, weight_decay=weight_decay)",
        convention="PyTorch: weight decay is an L2 term added to g",
        lr_unit="curvature",
        lr_factor=1.0,
        linear=GD_THEORY,
        defaults={"PyTorch": {}, "Keras": {"lr": 0.01}, "optax": {}},
    ),
    Optimizer(
        name="Momentum",
        build=rules.heavy_ball,
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
        conventions={
            "Keras": "v ← μv + lr·g, w ← w − v: another path once lr changes; decoupled weight decay"
        },
        defaults={"PyTorch": {}, "Keras": {"lr": 0.01}, "optax": {}},
    ),
    Optimizer(
        name="Nesterov",
        build=rules.nesterov,
        knobs=(_lr(1e-3), _MOMENTUM, _WEIGHT_DECAY),
        update_rule=r"v \leftarrow \mu v + g,\quad w \leftarrow w - \eta\,(g + \mu v)",
        source="Nesterov, A method of solving a convex programming problem with rate O(1/k²), 1983",
        torch="torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=True, weight_decay=weight_decay)",
        convention="PyTorch and Keras: w moves by lr(g + μv) with the new v, so the first step is (1+μ)·lr·g",
        lr_unit="curvature",
        lr_factor=1 / 9,
        linear=NESTEROV_THEORY,
        conventions={"Keras": "lr inside the velocity: another path once lr changes; decoupled weight decay"},
        defaults={"PyTorch": {}, "Keras": {"lr": 0.01}, "optax": {}},
    ),
    Optimizer(
        name="AdaGrad",
        aliases=("Adagrad",),
        build=rules.adagrad,
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
        conventions={
            "Keras": "eps inside the root, √(G + ε); decoupled weight decay",
            "optax": "eps inside the root, √(G + ε)",
        },
        defaults={
            "PyTorch": {},
            "Keras": {"lr": 1e-3, "initial_accumulator": 0.1, "eps": 1e-7},
            "optax": {"initial_accumulator": 0.1, "eps": 1e-7},
        },
    ),
    Optimizer(
        name="AdaDelta",
        aliases=("Adadelta",),
        build=rules.adadelta,
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
        conventions={"Keras": "decoupled weight decay"},
        defaults={"PyTorch": {}, "Keras": {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}, "optax": {}},
    ),
    Optimizer(
        name="RMSProp",
        aliases=("RMSprop",),
        build=rules.rmsprop,
        knobs=(_lr(1e-2), _RHO, replace(_MOMENTUM, default=0.0), _CENTERED, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"s \leftarrow \rho s + (1-\rho) g^2,\quad "
            r"v \leftarrow \mu v + \frac{g}{\sqrt{s} + \varepsilon},\quad w \leftarrow w - \eta\, v"
        ),
        source="Tieleman, Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012",
        torch=(
            "torch.optim.RMSprop(params, lr=lr, alpha=rho, eps=eps, weight_decay=weight_decay, "
            "momentum=momentum, centered=centered)"
        ),
        convention="PyTorch: ρ is its alpha, 0.99, and eps outside the root (Keras, optax: 0.9, inside)",
        lr_unit="length",
        lr_factor=1 / 90,
        conventions={
            "Keras": "eps inside the root, √(s + ε); lr inside the velocity; decoupled weight decay",
            "optax": "eps inside the root, √(s + ε); lr inside the velocity",
        },
        defaults={"PyTorch": {}, "Keras": {"lr": 1e-3, "rho": 0.9, "eps": 1e-7}, "optax": {"rho": 0.9}},
    ),
    Optimizer(
        name="Adam",
        build=rules.adam,
        knobs=(_lr(1e-3), _BETA1, _BETA2, _BIAS_CORRECTION, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow w - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Kingma, Ba, Adam: a method for stochastic optimization, 2015",
        torch="torch.optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: eps beside the corrected root; weight decay is an L2 term (Keras: ε̂ = 1e-7)",
        lr_unit="length",
        lr_factor=1 / 30,
        conventions={"Keras": "eps beside the raw root √v, the ε̂ of the paper; decoupled weight decay"},
        defaults={"PyTorch": {}, "Keras": {"eps": 1e-7}, "optax": {}},
    ),
    Optimizer(
        name="AdamW",
        build=rules.adamw,
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
        conventions={"Keras": "eps beside the raw root √v, the ε̂ of Adam's paper"},
        defaults={
            "PyTorch": {},
            "Keras": {"eps": 1e-7, "weight_decay": 0.004},
            "optax": {"weight_decay": 1e-4},
        },
    ),
    Optimizer(
        name="AMSGrad",
        build=rules.amsgrad,
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
        conventions={
            "Keras": "eps beside the raw root; decoupled weight decay",
            "optax": "the largest bias-corrected v, not the largest raw v",
        },
        defaults={"PyTorch": {}, "Keras": {"eps": 1e-7}, "optax": {}},
    ),
    Optimizer(
        name="Nadam",
        aliases=("NAdam",),
        build=rules.nadam,
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
        conventions={
            "Keras": "decoupled weight decay; its momentum schedule 0.96ᵗ is the setting ψ = 1",
            "optax": "the momentum is β₁ at every step, without a schedule",
        },
        defaults={
            "PyTorch": {},
            "Keras": {"lr": 1e-3, "momentum_decay": 1.0, "eps": 1e-7},
            "optax": {},
        },
    ),
    Optimizer(
        name="AdaMax",
        aliases=("Adamax",),
        build=rules.adamax,
        knobs=(_lr(2e-3), _BETA1, _BETA2, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad "
            r"u \leftarrow \max(\beta_2 u,\ |g| + \varepsilon),\quad "
            r"w \leftarrow w - \eta\,\frac{m/(1-\beta_1^t)}{u}"
        ),
        source="Kingma, Ba, Adam: a method for stochastic optimization, section 7, 2015",
        torch="torch.optim.Adamax(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: eps inside the maximum, |g| + ε (Keras: beside it, u + ε)",
        lr_unit="length",
        lr_factor=1 / 30,
        conventions={"Keras": "u ← max(β₂u, |g|) and a division by u + ε; decoupled weight decay"},
        defaults={"PyTorch": {}, "Keras": {"lr": 1e-3, "eps": 1e-7}, "optax": {}},
    ),
    Optimizer(
        name="RAdam",
        build=rules.radam,
        knobs=(_lr(1e-3), _BETA1, _BETA2, _EPS, _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow w - \eta\,\frac{m}{1-\beta_1^t}\cdot\begin{cases}"
            r"r_t\,\frac{\sqrt{1-\beta_2^t}}{\sqrt{v} + \varepsilon} & \rho_t > 5\\ 1 & \text{else}\end{cases},"
            r"\quad r_t = \sqrt{\tfrac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}},"
            r"\quad \rho_t = \rho_\infty - \tfrac{2t\beta_2^t}{1-\beta_2^t},"
            r"\quad \rho_\infty = \tfrac{2}{1-\beta_2} - 1"
        ),
        source="Liu et al., On the variance of the adaptive learning rate and beyond, 2020",
        torch="torch.optim.RAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)",
        convention="PyTorch: steps lr·m̂ while ρ_t ≤ 5, then r_t times Adam's with eps beside the raw root √v",
        lr_unit="curvature",  # until it adapts, its steps are multiples of the gradient
        lr_factor=1.5,
        conventions={"optax": "adapts once ρ_t ≥ 5, with eps beside the corrected root"},
        defaults={"PyTorch": {}, "optax": {}},
    ),
    Optimizer(
        name="Lion",
        build=rules.lion,
        knobs=(
            _lr(1e-4),
            _BETA1,
            replace(_BETA2, default=0.99, help=_LION_BETA2),
            replace(_DECOUPLED_DECAY, default=0.0),
        ),
        update_rule=(
            r"w \leftarrow (1-\eta\lambda)\,w - \eta\,\operatorname{sign}\bigl(\beta_1 m + (1-\beta_1) g\bigr),"
            r"\quad m \leftarrow \beta_2 m + (1-\beta_2) g"
        ),
        source="Chen et al., Symbolic discovery of optimization algorithms, 2023",
        torch="",
        convention="The authors' reference, Keras and optax: the step looks at m before its update; decoupled decay",
        lr_unit="length",
        lr_factor=1 / 60,
        defaults={"Keras": {"lr": 1e-3}, "optax": {"weight_decay": 1e-3}},
    ),
    Optimizer(
        name="Rprop",
        build=rules.rprop,
        knobs=(_FIRST_STEP, _ETA_MINUS, _ETA_PLUS, _STEP_MIN, _STEP_MAX),
        update_rule=(
            r"\Delta \leftarrow \begin{cases}\eta^+ \Delta & g\,g_{-1} > 0\\ \eta^- \Delta,\ g \leftarrow 0 & "
            r"g\,g_{-1} < 0\\ \Delta & \text{else}\end{cases}\quad "
            r"\text{within } [\Delta_{\min}, \Delta_{\max}],\quad "
            r"w \leftarrow w - \Delta\,\operatorname{sign}(g)"
        ),
        source="Riedmiller, Braun, A direct adaptive method for faster backpropagation learning, 1993",
        torch=(
            "torch.optim.Rprop(params, lr=lr, etas=(eta_minus, eta_plus), step_sizes=(step_min, step_max))"
        ),
        convention="PyTorch: after a change of sign a coordinate stands still for a step; lr is only the first step",
        lr_unit="length",
        lr_factor=1 / 90,
        conventions={
            "optax": "moves one step late; holds a step within its limits only when it grows or shrinks"
        },
        defaults={"PyTorch": {}, "optax": {}},
    ),
    Optimizer(
        name="Sign descent",
        aliases=("signSGD", "Sign SGD"),
        build=rules.sign_descent,
        knobs=(_lr(1e-3), _WEIGHT_DECAY),
        update_rule=r"w \leftarrow w - \eta\,\operatorname{sign}(g)",
        source="Bernstein et al., signSGD: compressed optimisation for non-convex problems, 2018",
        torch="",
        convention=f"optax (sign_sgd): sign(0) = 0; {_L2}",
        lr_unit="length",
        lr_factor=1 / 60,
        defaults={"optax": {}},
    ),
    Optimizer(
        name="AdaBelief",
        build=rules.adabelief,
        knobs=(
            _lr(1e-3),
            _BETA1,
            replace(_BETA2, help=_BELIEF_BETA2),
            replace(_EPS, default=1e-16),
            replace(_DECOUPLED_DECAY, default=0.0),
        ),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad "
            r"v \leftarrow \beta_2 v + (1-\beta_2) (g-m)^2 + \varepsilon,\quad "
            r"w \leftarrow (1-\eta\lambda)\,w"
            r" - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Zhuang et al., AdaBelief optimizer: adapting stepsizes by the belief in observed gradients, 2020",
        torch="",
        convention="The paper, and adabelief-pytorch with rectify=False: eps joins v at every step; decoupled decay",
        lr_unit="length",
        lr_factor=1 / 30,
        conventions={"optax": f"{_L2}; eps is its eps and its eps_root"},
        defaults={"optax": {}},
    ),
    Optimizer(
        name="Adan",
        build=rules.adan,
        knobs=(_lr(1e-3), replace(_BETA1, default=0.98), _ADAN_BETA2, _BETA3, _EPS, _PROXIMAL_DECAY),
        update_rule=(
            r"\Delta = g - g_{-1},\quad m \leftarrow \beta_1 m + (1-\beta_1) g,\quad "
            r"d \leftarrow \beta_2 d + (1-\beta_2)\,\Delta,\quad "
            r"v \leftarrow \beta_3 v + (1-\beta_3)(g + \beta_2 \Delta)^2,\quad "
            r"w \leftarrow \frac{1}{1+\eta\lambda}\Bigl(w - \eta\,\frac{m/(1-\beta_1^t) + \beta_2\,d/(1-\beta_2^t)}"
            r"{\sqrt{v/(1-\beta_3^t)} + \varepsilon}\Bigr)"
        ),
        source="Xie et al., Adan: adaptive Nesterov momentum algorithm, 2022",
        torch="",
        convention="The authors' adan.py, whose β is 1 − β of the paper; w is divided by 1 + lr · weight decay",
        lr_unit="length",
        lr_factor=1 / 30,
        conventions={
            "optax": "weighs Δ and d by 1 − β₂ instead of β₂; eps inside the root as well; AdamW's weight decay"
        },
        defaults={"optax": {}},
    ),
    Optimizer(
        name="QHM",
        build=rules.qhm,
        knobs=(
            _lr(1.0),
            replace(_MOMENTUM, default=0.999, high=0.9999, help=_QHM_MOMENTUM),
            _NU,
            _WEIGHT_DECAY,
        ),
        update_rule=(
            r"m \leftarrow \mu m + (1-\mu)\, g,\quad w \leftarrow w - \eta\,\bigl((1-\nu)\, g + \nu\, m\bigr)"
        ),
        source="Ma, Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2019",
        torch="",
        convention=f"The authors' qhoptim, with the defaults that the paper recommends; {_L2}",
        lr_unit="curvature",
        lr_factor=2.5,
    ),
    Optimizer(
        name="QHAdam",
        build=rules.qhadam,
        knobs=(
            _lr(1e-3),
            replace(_BETA1, default=0.995),
            _BETA2,
            _NU.named("nu1", symbol="ν₁"),
            _NU.named("nu2", default=1.0, symbol="ν₂", label="Weight of the squares' average", help=_NU2),
            _EPS,
            _WEIGHT_DECAY,
        ),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad "
            r"w \leftarrow w - \eta\,\frac{(1-\nu_1)\, g + \nu_1\, m/(1-\beta_1^t)}"
            r"{\sqrt{(1-\nu_2)\, g^2 + \nu_2\, v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Ma, Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2019",
        torch="",
        convention=f"The authors' qhoptim, with the defaults that the paper recommends; {_L2}",
        lr_unit="length",
        lr_factor=1 / 30,
    ),
    Optimizer(
        name="Yogi",
        build=rules.yogi,
        knobs=(_lr(1e-2), _BETA1, _YOGI_BETA2, _YOGI_START, replace(_EPS, default=1e-3), _WEIGHT_DECAY),
        update_rule=(
            r"m \leftarrow \beta_1 m + (1-\beta_1) g,\quad "
            r"v \leftarrow v - (1-\beta_2)\operatorname{sign}(v - g^2)\, g^2,\quad "
            r"w \leftarrow w - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \varepsilon}"
        ),
        source="Zaheer et al., Adaptive methods for nonconvex optimization, 2018",
        torch="",
        convention="optax, but m starts at 0 as in the paper: v starts at 1e-6, both are bias-corrected",
        lr_unit="length",
        lr_factor=1 / 30,
        conventions={"optax": "m starts at the initial v too, so that the first steps hold a little of it"},
        defaults={"optax": {}},
    ),
)

OPTIMIZERS: dict[str, Optimizer] = {entry.name: entry for entry in _ENTRIES}
