"""References beside the optimizers: Newton's method, which sees the Hessian, and L-BFGS, which estimates it.

Like the optimizers they are pure pairs ``init(w) → state``, ``update(grad, state, w) → (step, state)``,
vectorised over leading axes; unlike them they are built for a problem, whose Hessian or loss they call. They
begin with their default lr, 1, on every surface: it is no rate to tune, but the whole step to the minimum of
a quadratic. Where the gradient is exactly 0 they do not move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.knobs import Knob
from core.optimizers import Array, Number, Rule


class Curved(Protocol):
    """A problem whose loss and Hessian can be asked for: a surface, a ``SurfaceProblem``."""

    @property
    def f(self) -> Callable[..., Array]:
        """The loss, (..., d) → (...)."""

    @property
    def hessian(self) -> Callable[..., Array]:
        """Its Hessian, (..., d) → (..., d, d)."""


@dataclass(frozen=True)
class Reference:
    """An entry of the registry, with the fields of an ``Optimizer`` that make sense here.

    ``build(problem, **knobs)`` → rule; the problem is the exact one, also where the run's gradients are noisy.
    ``torch`` is PyTorch's line, "" where it has none.
    """

    name: str
    build: Callable[..., Rule]
    knobs: tuple[Knob, ...]
    update_rule: str
    source: str
    torch: str
    convention: str
    aliases: tuple[str, ...] = ()


def _column(name: str, value: Number) -> Number:
    """Check that a knob is finite and ≥ 0; give an array a last axis, for the coordinates."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    allowed = np.isfinite(array) & (array >= 0)
    if not np.all(allowed):
        raise ValueError(f"{name} = {array[~allowed].flat[0]}: needs a finite number ≥ 0")
    return array[..., None] if array.ndim else float(array)


# Newton's method


class NewtonState(NamedTuple):
    """Newton's method remembers nothing."""


def _newton(problem: Curved, *, lr: Number = 1.0, shift: Number = 0.0, saddle_free: bool = False) -> Rule:
    """Newton's method: w ← w − lr·(H + shift·I)⁻¹g; saddle-free with |H|, whose eigenvalues are |λ|."""
    lr, shift = _column("lr", lr), _column("shift", shift)
    matrix_shift = shift if isinstance(shift, float) else shift[..., None]

    def init(w: Array) -> NewtonState:
        return NewtonState()

    @np.errstate(all="ignore")
    def update(grad: Array, state: NewtonState, w: Array) -> tuple[Array, NewtonState]:
        h = problem.hessian(w)
        if saddle_free:
            h = _absolute(h)
        if np.any(shift):
            h = h + matrix_shift * np.eye(h.shape[-1], dtype=h.dtype)
        step = -lr * _solve(h, grad)
        return np.where((grad == 0).all(axis=-1, keepdims=True), 0.0, step), state

    return Rule(init, update)


def _scaled(h: Array) -> tuple[Array, NDArray[np.intc]]:
    """Return h·2⁻ᵉ with entries below 1, and e (..., 1, 1): products do not overflow, no digit changes."""
    exponent = np.frexp(np.abs(h).max(axis=(-2, -1), keepdims=True))[1]
    return np.ldexp(h, -exponent), exponent


def _entries(h: Array) -> tuple[Array, Array, Array]:
    """Return a, b, c of [[a, b], [b, c]], each (...)."""
    return h[..., 0, 0], h[..., 0, 1], h[..., 1, 1]


def _absolute(h: Array) -> Array:
    """Return |H|, with the eigenvectors of H and the sizes of its eigenvalues; (..., d, d), d = 1 or 2.

    Eigenvalues of one sign make it ±H. Otherwise it is (H² + |det H|·I)/(|λ₁| + |λ₂|): the theorem of Cayley
    and Hamilton for |H|, whose square is H² and whose determinant is |det H|.
    """
    if h.shape[-1] == 1:
        return np.abs(h)
    scaled, exponent = _scaled(h)
    a, b, c = _entries(scaled)
    across = b * (a + c)
    mixed = np.stack([a * (a - c) + 2 * b * b, across, across, c * (c - a) + 2 * b * b], axis=-1)
    mixed = mixed.reshape(h.shape) / np.hypot(a - c, 2 * b)[..., None, None]
    of_one_sign = np.where((a + c < 0)[..., None, None], -scaled, scaled)
    return np.ldexp(np.where((a * c < b * b)[..., None, None], mixed, of_one_sign), exponent)


def _solve(h: Array, g: Array) -> Array:
    """Return H⁻¹g by Cramer's rule, (..., d) with d = 1 or 2; inf or NaN where H is singular."""
    scaled, exponent = _scaled(h)
    if h.shape[-1] == 1:
        solved = g / scaled[..., 0]
    elif h.shape[-1] == 2:
        a, b, c = _entries(scaled)
        p, q = g[..., 0], g[..., 1]
        solved = np.stack([c * p - b * q, a * q - b * p], axis=-1) / (a * c - b * b)[..., None]
    else:
        raise ValueError(f"{h.shape[-1]} weights: Newton's step is solved for 1 or 2")
    return np.asarray(np.ldexp(solved, -exponent[..., 0]))


# L-BFGS

_CURVATURE = 1e-10  # PyTorch remembers a pair only if y·s is above it
_DECREASE = 1e-4  # Armijo's share of the decrease that the slope promises
_HALVINGS = 40


class LBFGSState(NamedTuple):
    """What L-BFGS remembers: pairs of steps and changes of the gradient, oldest first, 0 where there is none yet.

    gradient, moved (..., d): gradient and step of the last update. steps, changes (memory, ..., d): s and y.
    scale (..., 1): the curvature sᵀy/yᵀy, inverted, that stands for all directions never seen. t (..., 1):
    updates with a gradient other than 0.
    """

    gradient: Array
    moved: Array
    steps: Array
    changes: Array
    scale: Array
    t: Array


def _lbfgs(problem: Curved, *, lr: Number = 1.0, memory: int = 10, line_search: bool = False) -> Rule:
    """L-BFGS: w ← w − lr·H̃g, where H̃ maps the last changes of g to the steps that made them (Nocedal, 1980)."""
    lr = _column("lr", lr)
    pairs = int(memory)
    if pairs != memory or pairs < 1:
        raise ValueError(f"memory = {memory}: needs a whole number of at least 1")

    def init(w: Array) -> LBFGSState:
        zeros = np.zeros(np.broadcast_shapes(np.shape(w), np.shape(lr)), np.result_type(w, lr))
        none = np.zeros((pairs, *zeros.shape), zeros.dtype)
        count = zeros[..., :1]
        return LBFGSState(zeros, zeros, none, none, count + 1, count)

    @np.errstate(all="ignore")
    def update(grad: Array, state: LBFGSState, w: Array) -> tuple[Array, LBFGSState]:
        live = (grad != 0).any(axis=-1, keepdims=True)
        y, s = grad - state.gradient, state.moved
        ys = _dot(y, s)
        learns = live & (state.t > 0) & (ys > _CURVATURE)
        steps, changes = (
            np.where(learns, np.concatenate([kept[1:], np.broadcast_to(new, kept[:1].shape)]), kept)
            for kept, new in ((state.steps, s), (state.changes, y))
        )
        scale = np.where(learns, ys / _dot(y, y), state.scale)

        direction = _two_loops(-grad, steps, changes, scale)
        first = np.minimum(1.0, 1 / np.abs(grad).sum(axis=-1, keepdims=True))
        length = lr * np.where(state.t > 0, 1.0, first)
        slope = _dot(grad, direction)
        if line_search:
            length = _backtrack(problem, w, direction, length, slope)
        goes = live & ~(slope > 0)  # NaN goes on, and is seen
        step = np.where(goes, length * direction, 0.0)
        new = LBFGSState(grad, step, steps, changes, scale, state.t + 1)
        return step, LBFGSState(*(np.where(live, now, old) for now, old in zip(new, state, strict=True)))

    return Rule(init, update)


def _dot(a: Array, b: Array) -> Array:
    """Return the inner product over the coordinates, (..., 1)."""
    return np.asarray((a * b).sum(axis=-1, keepdims=True))


def _two_loops(q: Array, steps: Array, changes: Array, scale: Array) -> Array:
    """Apply the estimated inverse Hessian to q (Nocedal and Wright 2006, algorithm 7.4); empty pairs do nothing."""
    curvature = _dot(steps, changes)
    inverse = np.where(curvature > 0, 1 / curvature, 0.0)
    shares = []
    for s, y, r in zip(steps[::-1], changes[::-1], inverse[::-1], strict=True):
        shares.append(r * _dot(s, q))
        q = q - shares[-1] * y
    q = scale * q
    for s, y, r, share in zip(steps, changes, inverse, shares[::-1], strict=True):
        q = q + (share - r * _dot(y, q)) * s
    return q


def _backtrack(problem: Curved, w: Array, direction: Array, length: Array, slope: Array) -> Array:
    """Halve the length until f falls by 1e-4 of what the slope promises; 0 where 40 halvings are not enough."""
    here = problem.f(w)[..., None]
    found = np.zeros(here.shape, dtype=bool)
    for _ in range(_HALVINGS + 1):
        there = problem.f(w + length * direction)[..., None]
        found = found | (there <= here + _DECREASE * length * slope)
        if found.all():
            return length
        length = np.where(found, length, length / 2)
    return np.where(found, length, 0.0)


# The registry

_LR = Knob(
    "lr", "float", 1.0, label="Learning rate", low=0.01, high=2.0, step=0.05, symbol="η",
    help="Share of the step to where the local quadratic has its minimum; below 1 it is damped.",
)  # fmt: skip
_SHIFT = Knob(
    "shift", "float", 0.0, label="Shift", low=0.0, high=100.0, step=0.1, symbol="δ",
    help="Added to the eigenvalues of the Hessian; a large one turns the step towards −g/δ.",
)  # fmt: skip
_SADDLE_FREE = Knob(
    "saddle_free", "bool", False, label="Saddle-free",
    help="Takes the size of each eigenvalue, so that the step goes down where the surface curves down.",
)  # fmt: skip
_MEMORY = Knob(
    "memory", "int", 10, label="Memory", low=1, high=10, step=1, symbol="m",
    help="Pairs of steps and gradient changes that are remembered.",
)  # fmt: skip
_LINE_SEARCH = Knob(
    "line_search", "bool", False, label="Line search",
    help="Halves the step until the loss falls by at least 1e-4 of what the slope promises.",
)  # fmt: skip

_ENTRIES = (
    Reference(
        name="Newton",
        build=_newton,
        knobs=(_LR, _SHIFT, _SADDLE_FREE),
        update_rule=r"w \leftarrow w - \eta\,(H + \delta I)^{-1} g",
        source=(
            "Nocedal, Wright, Numerical optimization, 2006, chapter 3; saddle-free: Dauphin et al., "
            "Identifying and attacking the saddle point problem, 2014"
        ),
        torch="",
        convention="The whole step lr = 1 goes to any stationary point, saddles too; no step is finite where H is singular",
        aliases=("Newton's method",),
    ),
    Reference(
        name="L-BFGS",
        build=_lbfgs,
        knobs=(_LR, _MEMORY, _LINE_SEARCH),
        update_rule=(
            r"w \leftarrow w - \eta\,\tilde H g,\quad \tilde H y_i = s_i"
            r" \text{ for the last pair } s_i = w_{i+1} - w_i,\ y_i = g_{i+1} - g_i"
        ),
        source="Nocedal, Updating quasi-Newton matrices with limited storage, 1980",
        torch=(
            "torch.optim.LBFGS(params, lr=lr, max_iter=1, history_size=memory, tolerance_grad=0, "
            "tolerance_change=0)"
        ),
        convention=(
            "PyTorch with max_iter=1 and its tolerances at 0: first step min(1, 1/‖g‖₁)·lr, pairs with "
            "yᵀs > 1e-10 only; the line search is Armijo's (PyTorch's: strong Wolfe)"
        ),
        aliases=("LBFGS",),
    ),
)

REFERENCES: dict[str, Reference] = {entry.name: entry for entry in _ENTRIES}
