"""Schedules: what the learning rate is multiplied by from step to step.

Factors equal those of ``torch.optim.lr_scheduler``. Some schedules stretch over the run, so that a longer run
does not begin with the shorter one; ``Schedule.stretches`` says which.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.knobs import Knob
from core.optimizers import Number, Rule

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Schedule:
    """An entry of the registry.

    ``formula`` is LaTeX for the rate η_t of the step from t to t+1, t = 0 … T−1. ``torch`` makes PyTorch's
    scheduler from ``optimizer``, ``lr``, ``steps`` and the knobs. ``stretches``: the factors depend on the
    number of steps. ``shape`` (t, steps, **knobs) → factors trusts its arguments; ``factor`` checks them.
    """

    name: str
    shape: Callable[..., Array]
    knobs: tuple[Knob, ...]
    formula: str
    source: str
    torch: str
    stretches: bool = False

    def factor(self, t: ArrayLike, steps: int, **knobs: object) -> Array:
        """Return the multiplier of lr for the step from t to t+1.

        Args:
            t: (...), whole numbers from 0 to steps − 1.
            steps: length of the run, at least 1.
            knobs: the entry's own, each at its default unless given.

        Returns:
            (...), numbers from 0 to 1, up to the last digit.

        Raises:
            TypeError: a knob that the entry does not have.
            ValueError: t, steps or a knob outside its range.
        """
        allowed = {knob.name: knob for knob in self.knobs}
        for name in knobs:
            if name not in allowed:
                raise TypeError(
                    f"{self.name}: {name} is none of its knobs, {', '.join(allowed) or 'it has none'}"
                )
        if steps < 1:
            raise ValueError(f"steps = {steps}: needs a whole number of at least 1")
        at = np.asarray(t, dtype=np.float64)
        if not np.all((at >= 0) & (at <= steps - 1)):
            raise ValueError(f"t = {at}: needs steps from 0 to {steps - 1}")
        settings = {name: knob.check(knobs.get(name, knob.default)) for name, knob in allowed.items()}
        return np.asarray(self.shape(at, steps, **settings))


def scheduled(build: Callable[..., Rule], lr: Number, factors: ArrayLike) -> Callable[[int], Rule]:
    """Return t → rule for ``descend``: the rule built anew with the learning rate of each step.

    Building it anew keeps conventions apart: where the velocity holds lr, as in Keras, earlier gradients keep
    the rate they came in with; where it does not, as in PyTorch, the present rate applies to all of them.

    Args:
        build: takes lr by keyword, for example ``partial(OPTIMIZERS[name].build, momentum=0.9)``.
        lr: the learning rate that the factors multiply, a number or an array like any knob.
        factors: (steps,), ``Schedule.factor(np.arange(steps), steps)``.
    """
    values = np.asarray(factors, dtype=np.float64).tolist() or [1.0]  # no steps still have an initial state
    rules: dict[float, Rule] = {}

    def rule_at(t: int) -> Rule:
        factor = values[t]
        if factor not in rules:
            rules[factor] = build(lr=lr * factor)
        return rules[factor]

    return rule_at


# Factors, for t of any shape


def _cosine(passed: Array) -> Array:
    """Fall from 1 to 0 along half a cosine as ``passed`` goes from 0 to 1."""
    return np.asarray((1 + np.cos(np.pi * passed)) / 2)


def _ramp(t: Array, warmup: int, start: float) -> Array:
    """Rise from start to 1 over the first ``warmup`` steps, then stay."""
    return start + (1 - start) * np.minimum(t, warmup) / warmup


def _warmup_cosine(t: Array, steps: int, warmup: int, start: float, floor: float) -> Array:
    fall = floor + (1 - floor) * _cosine((t - warmup) / max(1, steps - warmup))
    return np.where(t < warmup, _ramp(t, warmup, start), fall)


def _one_cycle(t: Array, steps: int, rise: float, div_factor: float, final_div_factor: float) -> Array:
    first = 1 / div_factor
    last = first / final_div_factor
    peak, end = rise * steps - 1, steps - 1.0
    rising = (t <= peak) & (peak > 0)  # PyTorch divides by 0 where the peak is at step 0
    up = 1 + (first - 1) * _cosine(t / (peak or 1.0))
    down = last + (1 - last) * _cosine((t - peak) / ((end - peak) or 1.0))
    return np.where(rising, up, down)


# Knobs and entries

_EVERY = Knob(
    "every", "int", 20, label="Steps between drops", low=1, high=1000, symbol="k",
    help="The rate drops after every so many steps.",
)  # fmt: skip
_DROP = Knob(
    "drop", "float", 0.1, label="Factor of a drop", low=1e-3, high=1.0, step=0.05, symbol="γ",
    help="What the rate is multiplied by at each drop.",
)  # fmt: skip
_GAMMA = Knob(
    "gamma", "float", 0.95, label="Factor a step", low=1e-3, high=1.0, step=0.01, symbol="γ",
    help="What the rate is multiplied by at each step.",
)  # fmt: skip
_FLOOR = Knob(
    "floor", "float", 0.0, label="Final share", low=0.0, high=1.0, step=0.05, symbol="r",
    help="Share of the learning rate that the cosine ends at.",
)  # fmt: skip
_WARMUP = Knob(
    "warmup", "int", 10, label="Warm-up steps", low=1, high=1000, symbol="k",
    help="Number of steps over which the rate rises.",
)  # fmt: skip
_START = Knob(
    "start", "float", 0.1, label="First share", low=1e-3, high=1.0, step=0.05, symbol="s",
    help="Share of the learning rate at the first step; PyTorch's default is 1/3.",
)  # fmt: skip
_RISE = Knob(
    "rise", "float", 0.3, label="Rising share", low=0.0, high=1.0, step=0.05, symbol="ρ",
    help="Share of the run in which the rate rises.",
)  # fmt: skip
_DIV = Knob(
    "div_factor", "float", 25.0, label="Peak over first", low=1.0, high=1e4, log=True, symbol="a",
    help="How many times smaller than its peak the rate is at the first step.",
)  # fmt: skip
_FINAL_DIV = Knob(
    "final_div_factor", "float", 1e4, label="First over last", low=1.0, high=1e8, log=True, symbol="b",
    help="How many times smaller than at the first step the rate is at the last.",
)  # fmt: skip
_DECAY = Knob(
    "decay", "float", 1.0, label="Decay", low=1e-3, high=10.0, log=True, symbol="δ",
    help="The decay sets in after about 1/δ steps.",
)  # fmt: skip

_LR = "torch.optim.lr_scheduler."

_ENTRIES = (
    Schedule(
        name="constant",
        shape=lambda t, steps: np.ones_like(t),
        knobs=(),
        formula=r"\eta_t = \eta",
        source="Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847",
        torch=_LR + "LambdaLR(optimizer, lambda t: 1.0)",
    ),
    Schedule(
        name="step",
        shape=lambda t, steps, every, drop: drop ** np.floor(t / every),
        knobs=(_EVERY, _DROP),
        formula=r"\eta_t = \eta\,\gamma^{\lfloor t/k \rfloor}",
        source="He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2016",
        torch=_LR + "StepLR(optimizer, step_size=every, gamma=drop)",
    ),
    Schedule(
        name="exponential",
        shape=lambda t, steps, gamma: gamma**t,
        knobs=(_GAMMA,),
        formula=r"\eta_t = \eta\,\gamma^t",
        source="PyTorch, torch.optim.lr_scheduler.ExponentialLR",
        torch=_LR + "ExponentialLR(optimizer, gamma=gamma)",
    ),
    Schedule(
        name="cosine",
        shape=lambda t, steps, floor: floor + (1 - floor) * _cosine(t / steps),
        knobs=(_FLOOR,),
        formula=r"\eta_t = \eta\,\bigl(r + \tfrac{1-r}{2}(1 + \cos\tfrac{\pi t}{T})\bigr)",
        source="Loshchilov, Hutter, SGDR: stochastic gradient descent with warm restarts, 2017",
        torch=_LR + "CosineAnnealingLR(optimizer, T_max=steps, eta_min=floor * lr)",
        stretches=True,
    ),
    Schedule(
        name="warm-up",
        shape=lambda t, steps, warmup, start: _ramp(t, warmup, start),
        knobs=(_WARMUP, _START),
        formula=r"\eta_t = \eta\,\bigl(s + (1-s)\min(t/k, 1)\bigr)",
        source="Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017",
        torch=_LR + "LinearLR(optimizer, start_factor=start, total_iters=warmup)",
    ),
    Schedule(
        name="warm-up and cosine",
        shape=_warmup_cosine,
        knobs=(_WARMUP, _START, _FLOOR),
        formula=(
            r"\eta_t = \eta\,\begin{cases} s + (1-s)\,t/k & t < k \\"
            r" r + \tfrac{1-r}{2}\bigl(1 + \cos\tfrac{\pi (t-k)}{T-k}\bigr) & t \ge k \end{cases}"
        ),
        source="Goyal et al. 2017 for the warm-up, Loshchilov, Hutter 2017 for the cosine",
        torch=(
            f"{_LR}SequentialLR(optimizer, ["
            f"{_LR}LinearLR(optimizer, start_factor=start, total_iters=warmup), "
            f"{_LR}CosineAnnealingLR(optimizer, T_max=max(1, steps - warmup), eta_min=floor * lr)], "
            "milestones=[warmup])"
        ),
        stretches=True,
    ),
    Schedule(
        name="one-cycle",
        shape=_one_cycle,
        knobs=(_RISE, _DIV, _FINAL_DIV),
        formula=(
            r"\eta_t = \eta\,\begin{cases}"
            r" 1 - \tfrac12\bigl(1 - \tfrac1a\bigr)\bigl(1 + \cos\tfrac{\pi t}{p}\bigr) & t \le p = \rho T - 1 \\"
            r" \tfrac1{ab} + \tfrac12\bigl(1 - \tfrac1{ab}\bigr)"
            r"\bigl(1 + \cos\tfrac{\pi (t-p)}{T-1-p}\bigr) & t > p \end{cases}"
        ),
        source="Smith, Topin, Super-convergence: very fast training using large learning rates, 2018",
        torch=(
            f"{_LR}OneCycleLR(optimizer, max_lr=lr, total_steps=steps, pct_start=rise, div_factor=div_factor, "
            "final_div_factor=final_div_factor, cycle_momentum=False)"
        ),
        stretches=True,
    ),
    Schedule(
        name="1/√t",
        shape=lambda t, steps, decay: 1 / np.sqrt(1 + decay * t),
        knobs=(_DECAY,),
        formula=r"\eta_t = \eta / \sqrt{1 + \delta t}",
        source="Zinkevich, Online convex programming and generalized infinitesimal gradient ascent, 2003",
        torch=_LR + "LambdaLR(optimizer, lambda t: (1 + decay * t) ** -0.5)",
    ),
    Schedule(
        name="1/t",
        shape=lambda t, steps, decay: 1 / (1 + decay * t),
        knobs=(_DECAY,),
        formula=r"\eta_t = \eta / (1 + \delta t)",
        source="Robbins, Monro, A stochastic approximation method, 1951",
        torch=_LR + "LambdaLR(optimizer, lambda t: 1 / (1 + decay * t))",
    ),
)

SCHEDULES: dict[str, Schedule] = {entry.name: entry for entry in _ENTRIES}
