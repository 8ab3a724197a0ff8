"""Basins of attraction: in which minimum the runs from all over a window end, and after how many steps.

Every pixel of the window is a start of its own. The runs go in blocks that fit the cache and keep no path: a
first pass finds where each of them ends, a second one since when it is there. What ``core.descent.descend``
would say of a start, this says too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.descent import (
    Ints,
    Problem,
    Project,
    SteppedProblem,
    SurfaceProblem,
    clipping,
    descend,
    threshold,
)
from core.optimizers import Array, Rule, State
from core.surfaces import Stationary

Window = tuple[float, float, float, float]
Bools = NDArray[np.bool_]

SIDES = ("left", "right", "bottom", "top")
REACH = 0.01  # of the window's width: how near to a minimum counts as there

_BLOCK = 1 << 12  # starts at a time: the arrays of a step stay in the cache, and a step has enough to do
_RECORDED = 1 << 20  # points that a replay with ``descend`` keeps at a time
_FAR = 1e6  # window sizes: from there a loss may overflow and come back


@dataclass(frozen=True)
class Basins:
    """What becomes of every start; ... are axes of the knobs, rows go from low y to high y.

    x, y: (size,), the starts, centers of the pixels. minimum: (..., size, size), the index of the minimum within
    whose reach the run ends, −1 if none. arrived_at: the first step from which on it is within that reach, −1 if
    there is none. left_at: the first step from which on it is outside the window, −1 if it ends inside or at a
    minimum. side: where it crossed the border then, an index into ``SIDES``, −1 likewise. diverged_at: as in
    ``Descent``; such a run has reached no minimum. radius: the reach, in units of w.
    """

    x: Array
    y: Array
    minimum: Ints
    arrived_at: Ints
    left_at: Ints
    side: Ints
    diverged_at: Ints
    radius: float


class _Run(NamedTuple):
    """What all blocks share."""

    problem: Problem | SteppedProblem
    rule: Rule | Callable[[int], Rule]
    window: Window
    steps: int
    minima: Sequence[Stationary]
    radius: float
    clip_norm: float | None
    clip_value: float | None
    project: Project | None


def basins(
    problem: Problem | SteppedProblem,
    rule: Rule | Callable[[int], Rule],
    window: Window,
    size: int,
    steps: int,
    minima: Sequence[Stationary],
    *,
    radius: float | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    project: Project | None = None,
    report: Callable[[int, int], object] | None = None,
) -> Basins:
    """Run an optimizer from every pixel of a window.

    A run is at an isolated minimum within ``radius`` of it. It is at a curve of minima, of which some points are
    listed (``isolated=False``), where 2·|f − f_k| ≤ radius·‖∇f‖: that quotient is the distance to a valley's
    bottom, to first order; of the listed points of that value the nearest counts.

    Args:
        problem: f and its exact gradient, or one with ``grad_at(w, t)``, whose gradient depends on the step alone; all
            of them take leading axes.
        rule: an optimizer with its knobs set, or a schedule t → rule. Knobs may be arrays (..., 1, 1).
        window: (x_low, x_high, y_low, y_high).
        size: pixels a side, at least 1.
        steps: number of updates, 0 or more.
        minima: what can be reached; empty if there is nothing.
        radius: in units of w, above 0; by default ``REACH`` of the window's width.
        clip_norm: as in ``descend``, a number.
        clip_value: likewise.
        project: likewise.
        report: called with the number of blocks done and of all of them; it may raise to end the work.

    Raises:
        ValueError: size, steps or radius is out of range, or a knob's last two axes are not 1.
    """
    if radius is None:
        radius = REACH * (window[1] - window[0])
    for name, value, low in (("size", size, 1), ("steps", steps, 0)):
        if value < low:
            raise ValueError(f"{name} = {value}: needs a whole number of at least {low}")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius = {radius}: needs a number above 0")
    middle = (np.arange(size) + 0.5) / size
    x = window[0] + middle * (window[1] - window[0])
    y = window[2] + middle * (window[3] - window[2])
    starts = np.stack(np.meshgrid(x, y), axis=-1)
    run = _Run(problem, rule, window, steps, minima, radius, clip_norm, clip_value, project)

    with np.errstate(all="ignore"):
        one = starts[:1, :1]
        init, update = _rule_at(rule)(0)
        probe = update(one, init(one), one)[0] + _slope(problem)(one, 0)  # has met every knob
        if probe.shape[-3:-1] != (1, 1):
            raise ValueError(f"knobs broadcast to {probe.shape[:-1]}: need the shape (..., 1, 1)")
        lead = probe.shape[:-3]
        fates = np.full((5, *lead, size, size), -1, dtype=np.intp)
        height = max(1, _BLOCK // (size * max(1, int(np.prod(lead)))))
        rows = range(0, size, height)
        for done, row in enumerate(rows):
            fates[..., row : row + height, :] = _block(run, starts[row : row + height], lead)
            if report:
                report(done + 1, len(rows))
    minimum, arrived_at, left_at, side, diverged_at = fates
    return Basins(x, y, minimum, arrived_at, left_at, side, diverged_at, radius)


def _slope(problem: Problem | SteppedProblem) -> Callable[[Array, int], Array]:
    """Return (w, t) → gradient."""
    if isinstance(problem, SteppedProblem):
        return problem.grad_at
    exact = problem.grad
    return lambda w, t: exact(w)


def _rule_at(rule: Rule | Callable[[int], Rule]) -> Callable[[int], Rule]:
    return (lambda t: rule) if isinstance(rule, Rule) else rule


def _walk(run: _Run, w: Array) -> Iterator[tuple[int, Array, Array, State]]:
    """Yield the step, the points, the gradient there before clipping and the state, beginning with the start."""
    rule_at, slope, project = _rule_at(run.rule), _slope(run.problem), run.project
    clip = clipping(threshold("clip_norm", run.clip_norm), threshold("clip_value", run.clip_value))
    g, state = slope(w, 0), rule_at(0).init(w)
    yield 0, w, g, state
    for t in range(run.steps):
        step, state = rule_at(t).update(clip(g) if clip else g, state, w)
        w = w + step
        if project:
            finite = np.isfinite(w[..., 0]) & np.isfinite(w[..., 1])
            w = np.where(finite[..., None], project(w), w)
        g = slope(w, t + 1)
        yield t + 1, w, g, state


def _block(run: _Run, starts: Array, lead: tuple[int, ...]) -> Ints:
    """Return minimum, arrived_at, left_at, side and diverged_at of some starts (rows, columns, 2), stacked."""
    everywhere = np.broadcast_to(starts, (*lead, *starts.shape))
    peak = np.abs(everywhere)
    for _, w, g, state in _walk(run, everywhere):  # noqa: B007
        np.maximum(peak, np.abs(w), out=peak)
    diverged_at = _diverged(run, starts, ~_calm(run, w, peak, g, state))
    minimum = np.where(diverged_at < 0, _reached(run, w, g), -1)
    leaving = (minimum < 0) & ~_inside(run.window, w)
    since, side = _settled(run, starts, minimum, leaving)
    return np.stack(
        [minimum, np.where(minimum < 0, -1, since), np.where(leaving, since, -1), side, diverged_at]
    )


def _calm(run: _Run, w: Array, peak: Array, g: Array, state: State) -> Bools:
    """Return where a run cannot have diverged: it stayed near the window and everything is finite at the end.

    A point or a state that is not finite never becomes finite again.
    """
    fine = (peak <= _FAR * np.abs(run.window).max()).all(axis=-1) & np.isfinite(run.problem.f(w))
    fine &= np.isfinite(g).all(axis=-1)
    for part in state:
        # A part may have axes of its own in front, like the pairs of L-BFGS.
        whole = np.isfinite(part)
        fine &= whole.all(axis=tuple(range(max(0, np.ndim(whole) - w.ndim)))).all(axis=-1)
    return np.asarray(fine)


def _diverged(run: _Run, starts: Array, suspects: Bools) -> Ints:
    """Return when each run diverged, by replaying those that may have, with everything kept."""
    diverged_at = np.full(suspects.shape, -1, dtype=np.intp)
    where = np.argwhere(suspects.any(axis=tuple(range(suspects.ndim - 2))))
    runs = int(np.prod(suspects.shape[:-2])) * (run.steps + 1)
    count = max(1, _RECORDED // runs)
    for i in range(0, len(where), count):
        row, column = where[i : i + count].T
        some = starts[row, column][None]  # (1, n, 2): the knobs' axes stay in front
        result = descend(
            run.problem, run.rule, some, run.steps, clip_norm=run.clip_norm, clip_value=run.clip_value, project=run.project
        )  # fmt: skip
        diverged_at[..., row, column] = result.diverged_at.reshape(*suspects.shape[:-2], -1)
    return diverged_at


def _inside(window: Window, w: Array) -> Bools:
    x, y = w[..., 0], w[..., 1]
    return np.asarray((x >= window[0]) & (x <= window[1]) & (y >= window[2]) & (y <= window[3]))


def _square(w: Array, point: Array) -> Array:
    """Return the squared distance, (...)."""
    dx, dy = w[..., 0] - point[..., 0], w[..., 1] - point[..., 1]
    return np.asarray(dx * dx + dy * dy)


def _on_curve(run: _Run, w: Array, g: Array, value: Array) -> Bools:
    """Return where points are within reach of a valley's bottom at this value, by f and the gradient there."""
    gap = np.abs(run.problem.f(w) - value)
    rounding = 8 * np.finfo(gap.dtype).eps * (1 + np.abs(value))
    norm = np.sqrt((g * g).sum(axis=-1))
    return np.asarray(gap <= np.maximum(0.5 * run.radius * norm, rounding))


def _reached(run: _Run, w: Array, g: Array) -> Ints:
    """Return the index of the minimum that each point is at, −1 if it is at none."""
    best: Array = np.full(w.shape[:-1], np.inf)
    index = np.full(w.shape[:-1], -1, dtype=np.intp)
    for k, each in enumerate(run.minima):
        apart = _square(w, np.array(each.point))
        at = apart <= run.radius**2 if each.isolated else _on_curve(run, w, g, np.array(each.value))
        nearer = at & (apart < best)
        index[nearer], best[nearer] = k, apart[nearer]
    return index


def _settled(run: _Run, starts: Array, minimum: Ints, leaving: Bools) -> tuple[Ints, Ints]:
    """Return since when each run is where it ends, a minimum or outside the window, and how it left."""
    since = np.zeros(minimum.shape, dtype=np.intp)
    side = np.full(minimum.shape, -1, dtype=np.intp)
    arriving, leaves = bool((minimum >= 0).any()), bool(leaving.any())
    if not (arriving or leaves):
        return since, side
    nowhere = (np.nan, np.nan)  # the index −1
    aim = np.array([*(m.point for m in run.minima), nowhere])[minimum]
    level = np.array([*(m.value for m in run.minima), np.nan])[minimum]
    curved = ~np.array([*(m.isolated for m in run.minima), True])[minimum]
    curves = bool(curved.any())
    for t, w, g, _ in _walk(run, np.broadcast_to(starts, (*minimum.shape, 2))):
        there: Bools = _square(w, aim) <= run.radius**2 if arriving else np.zeros(minimum.shape, bool)
        if curves:
            there = np.where(curved, _on_curve(run, w, g, level), there)
        if leaves:
            there = np.where(leaving, ~_inside(run.window, w), there)
            crossed = leaving & there & (since == t)
            if crossed.any():
                side[crossed] = _side(run.window, w[crossed])
        np.copyto(since, t + 1, where=~there)
    return since, side


def _side(window: Window, w: Array) -> Ints:
    """Return beyond which side of the window points (n, 2) are farthest, in window sizes; −1 if they are NaN."""
    x, y = w[..., 0], w[..., 1]
    width, height = window[1] - window[0], window[3] - window[2]
    beyond = np.stack(
        [(window[0] - x) / width, (x - window[1]) / width, (window[2] - y) / height, (y - window[3]) / height]
    )
    beyond = np.where(np.isnan(beyond), -np.inf, beyond)
    return np.where(beyond.max(axis=0) > 0, beyond.argmax(axis=0), -1)


def find_minima(problem: SurfaceProblem, window: Window, size: int = 161) -> tuple[Stationary, ...]:
    """Search a window for isolated smooth minima, lowest first: Newton's method from the hollows of a grid.

    Minima closer together than two cells of the grid may be missed, and so is one whose Hessian is singular.

    Args:
        problem: f, its gradient and its Hessian.
        window: (x_low, x_high, y_low, y_high); minima outside it are left out.
        size: points of the grid a side, at least 3.
    """
    x, y = np.linspace(*window[:2], size), np.linspace(*window[2:], size)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    with np.errstate(all="ignore"):
        f = np.pad(problem.f(grid), 1, constant_values=np.inf)
        around = [np.roll(f, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        w = grid[(f <= np.minimum.reduce(around))[1:-1, 1:-1]]
        for _ in range(20):
            w = w + _newton(problem.grad(w), problem.hessian(w))
        g, h = problem.grad(w), problem.hessian(w)
        a, b, d = h[:, 0, 0], h[:, 0, 1], h[:, 1, 1]
        trace, determinant = a + d, a * d - b * b
        good = (trace > 0) & (determinant > 1e-12 * trace * trace) & _inside(window, w)
        good &= np.sqrt((g * g).sum(axis=-1)) <= 1e-9 * (1 + trace)
    w = w[good]
    w = w[np.argsort(problem.f(w), kind="stable")]
    kept: list[Array] = []
    close = (window[1] - window[0]) / size
    for point in w:
        if all(_square(point, other) > close * close for other in kept):
            kept.append(point)
    return tuple(
        Stationary((float(p[0]), float(p[1])), float(problem.f(p)), "minimum", is_global=i == 0)
        for i, p in enumerate(kept)
    )


def _newton(g: Array, h: Array) -> Array:
    """Return Newton's step −H⁻¹g, (n, 2); where H is singular it is not finite."""
    a, b, c, d = h[:, 0, 0], h[:, 0, 1], h[:, 1, 0], h[:, 1, 1]
    x, y = g[:, 0], g[:, 1]
    return np.asarray(np.stack([b * y - d * x, c * x - a * y], axis=-1) / (a * d - b * c)[:, None])
