"""Descent: run an optimizer on a problem and keep every step.

One call runs one start, thousands of starts or a grid of knobs: the leading axes of the start and of the
knobs broadcast. Nothing is clipped, and a run that diverges carries the step at which it did.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.optimizers import Array, Rule, State

Ints = NDArray[np.intp]

_BLOCK = 1 << 16  # points per call of f: few calls for one start, temporaries within cache for many


class Problem(Protocol):
    """What can be descended: f maps (..., d) → (...), grad maps (..., d) → (..., d)."""

    def f(self, w: Array, /) -> Array:
        """Return the loss."""

    def grad(self, w: Array, /) -> Array:
        """Return its gradient."""


class NoisyProblem(Protocol):
    """A problem whose gradient is a random estimate: noise added, or one mini-batch a step."""

    def f(self, w: Array, /) -> Array:
        """Return the full loss."""

    def grad(self, w: Array, t: int, rng: np.random.Generator, /) -> Array:
        """Return the estimate drawn for step t."""


class _WithKnobs(Protocol):
    @property
    def f(self) -> Callable[..., Array]: ...
    @property
    def grad(self) -> Callable[..., Array]: ...


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


@dataclass(frozen=True)
class Descent:
    """A run of ``steps`` steps; index 0 is the start, and ... are the axes of starts and knobs.

    path: (steps+1, ..., d), the points. value: (steps+1, ...), the loss there. gradient: (steps+1, ..., d),
    as the optimizer saw it there. diverged_at: (...), the first step whose point or value is not finite, −1
    if there is none; a run that stands still because its state overflowed counts from that step on. state:
    the states that go with the points, one NamedTuple whose fields have a first axis of steps+1, or None.
    """

    path: Array
    value: Array
    gradient: Array
    diverged_at: Ints
    state: State = None


def descend(
    problem: Problem | NoisyProblem,
    rule: Rule,
    start: ArrayLike,
    steps: int,
    *,
    keep_state: bool = False,
    rng: np.random.Generator | None = None,
) -> Descent:
    """Run an optimizer: w_{t+1} = w_t + step(grad(w_t)).

    Args:
        problem: a surface or anything else with ``f`` and ``grad``; both must take leading axes.
        rule: an optimizer with its knobs set, ``OPTIMIZERS[name].build(...)``.
        start: (..., d), its leading axes broadcast with those of the knobs.
        steps: number of updates, 0 or more.
        keep_state: also return the optimizer's states.
        rng: given, the problem is noisy and its gradient is ``grad(w, t, rng)``, called once for each t from
            0 to steps, so that a longer run begins with the shorter one.

    Raises:
        ValueError: steps is negative, or start has no coordinates.
    """
    if steps < 0:
        raise ValueError(f"steps = {steps}: needs a whole number of at least 0")
    w = np.asarray(start)
    if w.ndim == 0:
        raise ValueError(f"start = {w}: needs the shape (..., d), a list of coordinates")
    if w.dtype.kind != "f":
        w = w.astype(np.float64)
    slope = _slope(problem, rng)
    update = rule.update

    with np.errstate(all="ignore"):
        probe, _ = update(w, rule.init(w), w)  # has met every knob, so it has their shape
        w = np.broadcast_to(w, probe.shape)
        g = slope(w, 0)
        shape = np.broadcast_shapes(w.shape, g.shape)  # the problem may have knobs with axes too
        path = np.empty((steps + 1, *shape), np.result_type(w, probe))
        gradient = np.empty_like(path)
        path[0], gradient[0] = w, g
        w = path[0]
        state = rule.init(w)
        states = [state]
        for t in range(steps):
            step, state = update(g, state, w)
            w = np.add(w, step, out=path[t + 1])
            gradient[t + 1] = g = slope(w, t + 1)
            if keep_state:
                states.append(state)

        value = np.empty(path.shape[:-1], path.dtype)
        rows = max(1, _BLOCK // max(1, value[0].size))
        for i in range(0, steps + 1, rows):
            value[i : i + rows] = problem.f(path[i : i + rows])

    diverged_at = _first(~(np.isfinite(value) & _all_finite(path)))
    frozen = (diverged_at < 0) & ~_state_finite(state, shape)
    if frozen.any():
        overflowed_at = _first(~_replayed_states_finite(rule, path, gradient))
        diverged_at = np.where(frozen, overflowed_at, diverged_at)
    kept = type(state)(*map(np.stack, zip(*states, strict=True))) if keep_state else None
    return Descent(path, value, gradient, diverged_at, kept)


def _slope(problem: Problem | NoisyProblem, rng: np.random.Generator | None) -> Callable[[Array, int], Array]:
    """Return (w, t) → gradient, for either kind of problem."""
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
    """Return whether a state is finite, (...), for points of the given shape (..., d)."""
    finite = np.ones(shape, dtype=bool)
    for part in state:
        finite &= np.isfinite(part)
    return np.asarray(finite.all(axis=-1))


def _replayed_states_finite(rule: Rule, path: Array, gradient: Array) -> NDArray[np.bool_]:
    """Run the updates again on what was recorded; return whether each state is finite, (steps+1, ...)."""
    states = itertools.accumulate(
        zip(gradient[:-1], path[:-1], strict=True),
        lambda state, seen: rule.update(seen[0], state, seen[1])[1],
        initial=rule.init(path[0]),
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
