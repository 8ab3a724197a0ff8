"""Descent: run an optimizer on a problem and keep every step.

One call runs one start, thousands of starts or a grid of knobs: the leading axes of the start and of the
knobs broadcast. Gradients are clipped and points projected only on request, and a run that diverges carries
the step at which it did.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.optimizers import Array, Number, Rule, State

Ints = NDArray[np.intp]
Project = Callable[[Array], Array]

_REPORT_EVERY = 32  # steps
_BLOCK = 1 << 16  # points per call of f: few calls for one start, temporaries within cache for many


class Problem(Protocol):
    """What can be descended: f maps (..., d) → (...), grad maps (..., d) → (..., d)."""

    def f(self, w: Array, /) -> Array:
        """Return the loss."""

    def grad(self, w: Array, /) -> Array:
        """Return its gradient."""


class NoisyProblem(Protocol):
    """A problem whose gradient is a random estimate, for example with noise added."""

    def f(self, w: Array, /) -> Array:
        """Return the full loss."""

    def grad(self, w: Array, t: int, rng: np.random.Generator, /) -> Array:
        """Return the estimate drawn for step t."""


@runtime_checkable
class SteppedProblem(Protocol):
    """A problem whose gradient depends on the step and on nothing else, for example one mini-batch a step."""

    def f(self, w: Array, /) -> Array:
        """Return the full loss."""

    def grad_at(self, w: Array, t: int, /) -> Array:
        """Return the gradient that the optimizer sees at step t."""


class _WithKnobs(Protocol):
    @property
    def f(self) -> Callable[..., Array]: ...
    @property
    def grad(self) -> Callable[..., Array]: ...
    @property
    def hessian(self) -> Callable[..., Array]: ...


@dataclass(frozen=True)
class SurfaceProblem:
    """A surface with its knobs set, for example the angle and the condition number of the quadratic."""

    surface: _WithKnobs
    knobs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def f(self, w: Array) -> Array:
        """Return the loss, (..., d) → (...)."""
        return self.surface.f(w, **self.knobs)

    def grad(self, w: Array) -> Array:
        """Return the gradient, (..., d) → (..., d)."""
        return self.surface.grad(w, **self.knobs)

    def hessian(self, w: Array) -> Array:
        """Return the Hessian, (..., d) → (..., d, d)."""
        return self.surface.hessian(w, **self.knobs)


@dataclass(frozen=True)
class Descent:
    """A run of ``steps`` steps; index 0 is the start, and ... are the axes of starts and knobs.

    path: (steps+1, ..., d), the points. value: (steps+1, ...), the loss there. gradient: (steps+1, ..., d),
    as the optimizer saw it there. raw: (steps+1, ..., d), the gradient before clipping; the same array where
    nothing is clipped. diverged_at: (...), the first step whose point or value is not finite, −1 if there is
    none; a run that stands still because its state or the norm of its gradient overflowed counts from that
    step on. state: the states that go with the points, one NamedTuple whose fields have a first axis of
    steps+1, or None.
    """

    path: Array
    value: Array
    gradient: Array
    raw: Array
    diverged_at: Ints
    state: State = None


def descend(
    problem: Problem | NoisyProblem | SteppedProblem,
    rule: Rule | Callable[[int], Rule],
    start: ArrayLike,
    steps: int,
    *,
    keep_state: bool = False,
    rng: np.random.Generator | None = None,
    clip_norm: ArrayLike | None = None,
    clip_value: ArrayLike | None = None,
    project: Project | None = None,
    report: Callable[[int, int], object] | None = None,
) -> Descent:
    """Run an optimizer: w_{t+1} = w_t + step(grad(w_t)).

    Clipping follows PyTorch, the norm before the coordinates where both are given. ``clip_norm`` is
    ``clip_grad_norm_``: the gradient times min(1, clip_norm / (‖g‖ + 1e-6)). A gradient with an infinite
    coordinate becomes NaN there and 0 elsewhere, one with a NaN becomes NaN, and one whose norm overflows
    (above 1e154 in float64) becomes 0: the run stands still, and counts as diverged. ``clip_value`` is
    ``clip_grad_value_``: every coordinate brought into [−clip_value, clip_value], ±inf too; NaN stays.

    Args:
        problem: a surface or anything else with ``f`` and ``grad``; both must take leading axes. One with
            ``grad_at(w, t)``, such as mini-batches, knows the gradient of each step by itself.
        rule: an optimizer with its knobs set, ``OPTIMIZERS[name].build(...)``, or a schedule t → rule: what
            makes the step from t to t+1. Rules of a schedule share one kind of state and one shape of knobs.
        start: (..., d), its leading axes broadcast with those of the knobs.
        steps: number of updates, 0 or more.
        keep_state: also return the optimizer's states.
        rng: given, the problem is noisy and its gradient is ``grad(w, t, rng)``, called once for each t from
            0 to steps, so that a longer run begins with the shorter one.
        clip_norm: largest Euclidean norm of a gradient, ≥ 0, a number or (...) like a knob; inf clips none.
        clip_value: largest size of a coordinate of the gradient, likewise.
        project: (..., d) → (..., d), maps every new point back into the domain, for example a box. The start
            is taken as it is; a point that is not finite is not projected, for that would hide it.
        report: called as report(step, steps) every 32 steps and at the end; it may raise to end the run.

    Raises:
        ValueError: steps or a clipping threshold is negative, or start has no coordinates.
    """
    if steps < 0:
        raise ValueError(f"steps = {steps}: needs a whole number of at least 0")
    w = np.asarray(start)
    if w.ndim == 0:
        raise ValueError(f"start = {w}: needs the shape (..., d), a list of coordinates")
    if w.dtype.kind != "f":
        w = w.astype(np.float64)
    most = threshold("clip_norm", clip_norm), threshold("clip_value", clip_value)
    clip = clipping(*most)
    slope = _slope(problem, rng)
    scheduled = None if isinstance(rule, Rule) else rule
    rule_at = scheduled or (lambda t: cast(Rule, rule))
    init, update = rule_at(0)

    with np.errstate(all="ignore"):
        probe, _ = update(w, init(w), w)  # has met every knob, so it has their shape
        w = np.broadcast_to(
            w, np.broadcast_shapes(probe.shape, *(np.shape(m) for m in most if m is not None))
        )
        g = seen = slope(w, 0)
        if clip:
            g = clip(seen)
        shape = np.broadcast_shapes(w.shape, g.shape)  # the problem may have knobs with axes too
        path = np.empty((steps + 1, *shape), np.result_type(w, probe))
        gradient = np.empty_like(path)
        raw = np.empty_like(path) if clip else gradient
        path[0], raw[0], gradient[0] = w, seen, g
        w = path[0]
        state = init(w)
        states = [state]
        for t in range(steps):
            if scheduled:
                update = scheduled(t).update
            step, state = update(g, state, w)
            w = np.add(w, step, out=path[t + 1])
            if project:
                w[...] = np.where(_all_finite(w)[..., None], project(w), w)
            g = slope(w, t + 1)
            if clip:
                raw[t + 1] = g
                g = clip(g)
            gradient[t + 1] = g
            if keep_state:
                states.append(state)
            if report is not None and ((t + 1) % _REPORT_EVERY == 0 or t + 1 == steps):
                report(t + 1, steps)

        value = np.empty(path.shape[:-1], path.dtype)
        rows = max(1, _BLOCK // max(1, value[0].size))
        for i in range(0, steps + 1, rows):
            value[i : i + rows] = problem.f(path[i : i + rows])
        finite = np.isfinite(value) & _all_finite(path)
        if clip_norm is not None:
            finite &= np.isfinite(_norm(raw)[..., 0])

    diverged_at = _first(~finite)
    frozen = (diverged_at < 0) & ~_state_finite(state, shape)
    if frozen.any():
        overflowed_at = _first(~_replayed_states_finite(rule_at, path, gradient))
        diverged_at = np.where(frozen, overflowed_at, diverged_at)
    kept = type(state)(*map(np.stack, zip(*states, strict=True))) if keep_state else None
    return Descent(path, value, gradient, raw, diverged_at, kept)


def threshold(name: str, value: ArrayLike | None) -> Number | None:
    """Check a clipping threshold; give an array a last axis, for the coordinates."""
    if value is None:
        return None
    most = np.asarray(value, dtype=np.float64)
    if not np.all(most >= 0):  # also refuses NaN
        raise ValueError(f"{name} = {most[~(most >= 0)].flat[0]}: needs a number ≥ 0")
    return most[..., None] if most.ndim else float(most)


def _norm(g: Array) -> Array:
    """Return the Euclidean norm, (..., d) → (..., 1)."""
    return np.asarray(np.sqrt((g * g).sum(axis=-1, keepdims=True)))


def clipping(by_norm: Number | None, by_value: Number | None) -> Project | None:
    """Return gradient → clipped gradient, or None where nothing is clipped."""
    if by_norm is None and by_value is None:
        return None

    def clip(g: Array) -> Array:
        if by_norm is not None:
            g = g * np.minimum(by_norm / (_norm(g) + 1e-6), 1.0)
        if by_value is not None:
            g = np.clip(g, -by_value, by_value)
        return g

    return clip


def _slope(
    problem: Problem | NoisyProblem | SteppedProblem, rng: np.random.Generator | None
) -> Callable[[Array, int], Array]:
    """Return (w, t) → gradient, for any kind of problem."""
    if isinstance(problem, SteppedProblem):
        return problem.grad_at
    if rng is None:
        exact = cast(Problem, problem).grad
        return lambda w, t: exact(w)
    noisy = cast(NoisyProblem, problem).grad
    return lambda w, t: noisy(w, t, rng)


def _first(mask: NDArray[np.bool_]) -> Ints:
    """Return the first index along axis 0 at which the mask is true, −1 if none."""
    return np.where(mask.any(axis=0), mask.argmax(axis=0), -1)


def _all_finite(points: Array) -> NDArray[np.bool_]:
    """Return whether all coordinates are finite, (..., d) → (...)."""
    finite = np.isfinite(points)
    return np.asarray(np.logical_and.reduce([finite[..., i] for i in range(points.shape[-1])]))


def _state_finite(state: State, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return whether a state is finite, (...), for points of the given shape (..., d).

    A part may have axes of its own in front, (k, ..., d), for example the pairs that L-BFGS remembers.
    """
    finite = np.ones(shape, dtype=bool)
    for part in state:
        fine = np.isfinite(part)
        finite &= fine.all(axis=tuple(range(max(0, np.ndim(fine) - len(shape)))))
    return np.asarray(finite.all(axis=-1))


@np.errstate(all="ignore")
def _replayed_states_finite(
    rule_at: Callable[[int], Rule], path: Array, gradient: Array
) -> NDArray[np.bool_]:
    """Run the updates again on what was recorded; return whether each state is finite, (steps+1, ...)."""
    states = itertools.accumulate(
        zip(itertools.count(), gradient[:-1], path[:-1]),
        lambda state, seen: rule_at(seen[0]).update(seen[1], state, seen[2])[1],
        initial=rule_at(0).init(path[0]),
    )
    return np.stack([_state_finite(state, path.shape[1:]) for state in states])


def left_window(path: Array, window: ArrayLike) -> Ints:
    """Return the first step at which a path is outside the window, −1 if it never is.

    Args:
        path: (steps+1, ..., d); a point that is not finite is outside.
        window: (x_low, x_high, y_low, y_high), as many pairs as coordinates; the ends are still inside.
    """
    low, high = np.reshape(np.asarray(window), (-1, 2)).T
    inside = (low <= path) & (path <= high)
    return _first(~inside.all(axis=-1))


def steps_to(value: Array, target: ArrayLike) -> Ints:
    """Return the first step at which a value is at or below the target, −1 if it never is.

    Args:
        value: (steps+1, ...), for example ``Descent.value``.
        target: (...), in the units of value.
    """
    return _first(np.asarray(value) <= np.asarray(target))
