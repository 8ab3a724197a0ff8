"""Every surface against finite differences, its textbook formula, and what is known of its landscape."""

import itertools
import math
import warnings

import numpy as np
import pytest

from core.descent import descend as run
from core.optimizers import OPTIMIZERS
from core.regression import linear_samples, logistic_samples
from core.surfaces import SURFACES, OnlineProblem, Stationary, Surface, rotate_start

LINE, CLASSES = linear_samples(), logistic_samples()
ALL = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES.keys())


def settings(surface: Surface) -> list[dict[str, float]]:
    """The default knobs, and every combination of each knob's ends and something between."""
    values = [(k.low, k.low + 0.37 * (k.high - k.low), k.high) for k in surface.knobs]
    names = [k.name for k in surface.knobs]
    return [{}] + [dict(zip(names, v, strict=True)) for v in itertools.product(*values) if names]


EACH_POINT = pytest.mark.parametrize(
    ("surface", "knobs", "points"),
    [pytest.param(s, k, s.stationary, id=f"{n} {k or ''}") for n, s in SURFACES.items() for k in settings(s)],
)


def sample(surface: Surface, count: int = 300, seed: int = 0) -> np.ndarray:
    x_low, x_high, y_low, y_high = surface.window
    return np.random.default_rng(seed).uniform((x_low, y_low), (x_high, y_high), (count, 2))


def grid(surface: Surface, nx: int, ny: int, zoom: float = 1.0) -> np.ndarray:
    """Points of shape (ny, nx, 2) over the window, or over one ``zoom`` times as large round its middle."""
    x_low, x_high, y_low, y_high = surface.window
    rx, ry = zoom * (x_high - x_low) / 2, zoom * (y_high - y_low) / 2
    cx, cy = (x_high + x_low) / 2, (y_high + y_low) / 2
    axes = np.linspace(cx - rx, cx + rx, nx), np.linspace(cy - ry, cy + ry, ny)
    return np.stack(np.meshgrid(*axes), axis=-1)


def within(surface: Surface, w: np.ndarray) -> np.ndarray:
    x_low, x_high, y_low, y_high = surface.window
    return (w[..., 0] >= x_low) & (w[..., 0] <= x_high) & (w[..., 1] >= y_low) & (w[..., 1] <= y_high)


def slope(function, w: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Fourth-order central difference: (..., 2) → (..., [outputs], 2)."""
    columns = []
    for e in np.eye(2) * h:
        near = function(w + e) - function(w - e)
        far = function(w + 2 * e) - function(w - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def descend(surface: Surface, start, rate: float, steps: int, momentum: float = 0.0, clip=math.inf):
    """Path (steps + 1, 2) of plain or heavy-ball descent, its gradient clipped by norm."""
    path, velocity = [np.array(start, dtype=float)], np.zeros(2)
    for _ in range(steps):
        g = surface.grad(path[-1])
        g = g * min(1.0, clip / max(math.hypot(*g), 1e-300))
        velocity = momentum * velocity - rate * g
        path.append(surface.project(path[-1] + velocity))
    return np.array(path)


def nearest(surface: Surface, w: np.ndarray) -> tuple[float, Stationary]:
    distances = [math.hypot(*(w - np.array(s.point))) for s in surface.stationary]
    return min(distances), surface.stationary[int(np.argmin(distances))]


# Registry


def test_names():
    assert list(SURFACES) == [
        "Quadratic bowl", "Elongated valley", "Rosenbrock", "Beale", "Himmelblau", "Booth", "Matyas",
        "Three-hump camel", "Six-hump camel", "Styblinski–Tang", "Goldstein–Price", "McCormick", "Rastrigin",
        "Ackley", "Griewank", "Levy", "Drop-wave", "Easom", "Saddle", "Monkey saddle", "Plateau and cliff",
        "Two-weight net", "Two wells", "Linear regression", "Logistic regression", "AMSGrad's example",
    ]  # fmt: skip
    assert all(name == s.name for name, s in SURFACES.items())


@ALL
def test_entry_is_filled_in(surface):
    assert surface.formula
    assert surface.source
    assert surface.note
    assert surface.starts
    assert surface.rate > 0
    assert surface.stationary or surface.best is not None
    assert (surface.box is None) == (surface.best is None)


@ALL
def test_starts_and_stationary_points_lie_in_the_window(surface):
    assert within(surface, np.array(surface.starts)).all()
    assert within(surface, np.reshape([s.point for s in surface.stationary], (-1, 2))).all()
    if surface.box is not None:
        low, high = surface.box
        assert within(surface, np.array([(low, low), (high, high)])).all()
        np.testing.assert_array_equal(surface.project(np.array(surface.starts)), surface.starts)


@ALL
def test_defaults_of_the_knobs_are_those_of_the_functions(surface):
    w = sample(surface, 20)
    knobs = {k.name: k.default for k in surface.knobs}
    for function in (surface.f, surface.grad, surface.hessian):
        np.testing.assert_array_equal(function(w), function(w, **knobs))


# Formulas


TEXTBOOK = {
    "Quadratic bowl": lambda x, y: 0.5 * (0.08 * x**2 + 4 * y**2),
    "Elongated valley": lambda x, y: 0.1 * x**2 + 2 * y**2,
    "Rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    "Beale": lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    "Himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "Booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "Matyas": lambda x, y: 0.26 * (x**2 + y**2) - 0.48 * x * y,
    "Three-hump camel": lambda x, y: 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2,
    "Six-hump camel": lambda x, y: (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2,
    "Styblinski–Tang": lambda x, y: 0.5 * (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y),
    "Goldstein–Price": lambda x, y: (
        (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2))
        * (30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2))
    ),
    "McCormick": lambda x, y: np.sin(x + y) + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1,
    "Rastrigin": lambda x, y: (
        20 + x**2 - 10 * np.cos(2 * np.pi * x) + y**2 - 10 * np.cos(2 * np.pi * y)
    ),
    "Ackley": lambda x, y: (
        -20 * np.exp(-0.2 * np.sqrt((x**2 + y**2) / 2))
        - np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2)
        + 20
        + np.e
    ),
    "Griewank": lambda x, y: 1 + (x**2 + y**2) / 4000 - np.cos(x) * np.cos(y / np.sqrt(2)),
    "Levy": lambda x, y: (
        np.sin(np.pi * (1 + (x - 1) / 4)) ** 2
        + ((x - 1) / 4) ** 2 * (1 + 10 * np.sin(np.pi * (1 + (x - 1) / 4) + 1) ** 2)
        + ((y - 1) / 4) ** 2 * (1 + np.sin(2 * np.pi * (1 + (y - 1) / 4)) ** 2)
    ),
    "Drop-wave": lambda x, y: (
        -(1 + np.cos(12 * np.sqrt(x**2 + y**2))) / (0.5 * (x**2 + y**2) + 2)
    ),
    "Easom": lambda x, y: -np.cos(x) * np.cos(y) * np.exp(-((x - np.pi) ** 2) - (y - np.pi) ** 2),
    "Saddle": lambda x, y: x**2 - y**2,
    "Monkey saddle": lambda x, y: x**3 - 3 * x * y**2,
    "Plateau and cliff": lambda x, y: 8 * (1 - np.exp(-x / 4)) ** 2 + y**2 / 2 * np.exp(-x / 4),
    "Two-weight net": lambda x, y: (1 - x * y) ** 2,
    "Two wells": lambda x, y: (
        2 + 0.3 * (x**4 / 4 - x**3 / 6 - 2 * x**2 + 2 * x) + 0.5 * y**2
    ),
    "Linear regression": lambda x, y: np.mean(
        (np.multiply.outer(x, LINE.x) + y[..., None] - LINE.y) ** 2, axis=-1
    ),
    "Logistic regression": lambda x, y: np.mean(
        np.logaddexp(0, (1 - 2 * CLASSES.y) * (np.multiply.outer(x, CLASSES.x) + y[..., None])), axis=-1
    ),
    "AMSGrad's example": lambda x, y: x / 3 + y / 3,
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTBOOK)
def test_value_is_that_of_the_textbook_formula(name):
    w = sample(SURFACES[name], 2000, seed=1)
    expected = TEXTBOOK[name](*w.T)
    np.testing.assert_allclose(SURFACES[name].f(w), expected, rtol=1e-10, atol=1e-12)


@ALL
def test_gradient_against_finite_differences(surface):
    w = sample(surface)
    w = w[np.hypot(*w.T) > 0.05]  # the difference must not reach across Ackley's cusp
    for knobs in settings(surface):
        grad = surface.grad(w, **knobs)
        scale = 1 + np.abs(grad) + np.abs(surface.f(w, **knobs))[:, None]
        error = np.abs(grad - slope(lambda v, knobs=knobs: surface.f(v, **knobs), w)) / scale
        assert error.max() < 1e-7, knobs


@ALL
def test_hessian_against_finite_differences(surface):
    w = sample(surface, seed=2)
    w = w[np.hypot(*w.T) > 0.05]
    for knobs in settings(surface):
        hessian = surface.hessian(w, **knobs)
        scale = 1 + np.abs(hessian) + np.abs(surface.grad(w, **knobs)).max(axis=-1)[:, None, None]
        error = np.abs(hessian - slope(lambda v, knobs=knobs: surface.grad(v, **knobs), w)) / scale
        assert error.max() < 1e-7, knobs


@ALL
def test_hessian_is_symmetric(surface):
    for knobs in settings(surface):
        hessian = surface.hessian(sample(surface), **knobs)
        np.testing.assert_array_equal(hessian, np.swapaxes(hessian, -1, -2))


# Stationary points


@EACH_POINT
def test_value_at_a_stationary_point(surface, knobs, points):
    for point in points:
        f = surface.f(point.point, **knobs)
        assert abs(f - point.value) <= 5e-15 * max(1, abs(point.value)), point


@EACH_POINT
def test_gradient_vanishes_at_a_stationary_point(surface, knobs, points):
    for point in points:
        grad, hessian = surface.grad(point.point, **knobs), surface.hessian(point.point, **knobs)
        assert np.linalg.norm(grad) <= 1e-11 * (1 + np.linalg.norm(hessian)), point


@EACH_POINT
def test_kind_follows_from_the_hessian(surface, knobs, points):
    for point in points:
        low, high = np.linalg.eigvalsh(surface.hessian(point.point, **knobs))
        size = max(-low, high)
        zero = 1e-9 * size
        signs = {
            "minimum": low > zero,
            "maximum": high < -zero,
            "saddle": low < -zero and high > zero,
            "degenerate": size == 0,
        }
        if not point.isolated:
            signs["minimum"] = abs(low) <= zero and high > 0
            signs["maximum"] = low < 0 and abs(high) <= zero
        assert signs[point.kind], point


@EACH_POINT
def test_values_nearby_agree_with_the_kind(surface, knobs, points):
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    circle = 1e-3 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for point in points:
        rise = surface.f(np.array(point.point) + circle, **knobs) - point.value
        # Along a curve of minima the value is the same up to the curve's bend; rounding adds a few ulp.
        slack = 1e-14 * (1 + abs(point.value)) + (0 if point.isolated else 1e-3 * np.abs(rise).max())
        if point.kind == "minimum":
            assert rise.min() > -slack, point
        elif point.kind == "maximum":
            assert rise.max() < slack, point
        else:
            assert rise.min() < 0 < rise.max(), point


@ALL
def test_stationary_points_are_listed_once(surface):
    points = np.reshape([s.point for s in surface.stationary], (-1, 2))
    gaps = np.hypot(*(points[:, None] - points[None]).T) + 10 * np.eye(len(points))
    assert (gaps > 1e-2).all()


@ALL
def test_no_point_is_lower_than_the_global_minimum(surface):
    best = [s for s in surface.stationary if s.is_global]
    if surface.box is not None:  # the border is part of the problem, and may hold the lowest point
        low, high = surface.box
        square = np.stack(np.meshgrid(*[np.linspace(low, high, 201)] * 2), axis=-1)
        assert surface.f(square).min() == surface.infimum
        return
    if not best:
        assert surface.infimum is None
        assert not surface.bounded_below
        return
    assert {s.value for s in best} == {surface.infimum}
    assert all(s.kind == "minimum" for s in best)
    assert all(s.value > surface.infimum for s in surface.minima if not s.is_global)
    zooms = (1.0, 4.0, 100.0) if surface.bounded_below else (1.0,)
    for zoom, knobs in itertools.product(zooms, settings(surface)):
        assert surface.f(grid(surface, 201, 201, zoom), **knobs).min() >= surface.infimum - 1e-14


@pytest.mark.parametrize("name", [n for n, s in SURFACES.items() if not s.bounded_below])
def test_unbounded_surfaces_fall_without_limit(name):
    surface = SURFACES[name]
    lows = [surface.f(grid(surface, 201, 201, zoom)).min() for zoom in (10, 100, 1000)]
    assert lows[0] > lows[1] > lows[2]
    assert lows[2] < -1000


def newton(surface: Surface, w: np.ndarray, steps: int = 60) -> np.ndarray:
    """Where Newton's method settles inside the window, whatever the kind of the stationary point."""
    limit = 0.1 * (surface.window[1] - surface.window[0])
    for _ in range(steps):
        with np.errstate(all="ignore"):
            hessian = surface.hessian(w)
            (a, b), (_, d) = np.moveaxis(hessian, 0, -1)
            gx, gy = surface.grad(w).T
            step = np.stack([b * gy - d * gx, b * gx - a * gy], axis=-1) / (a * d - b * b)[:, None]
            length = np.hypot(*step.T)
        keep = np.isfinite(length)
        w, step, length = w[keep], step[keep], length[keep]
        w = w + step * np.minimum(1, limit / np.maximum(length, 1e-300))[:, None]
    w = w[length < 1e-9]
    return w[within(surface, w)]


COMPLETE = pytest.mark.parametrize(
    "surface", [pytest.param(s, id=n) for n, s in SURFACES.items() if s.complete]
)
REGULAR = pytest.mark.parametrize(  # where a Hessian is zero Newton is slow, and the winding number decides
    "surface",
    [
        pytest.param(s, id=n)
        for n, s in SURFACES.items()
        if s.complete and s.stationary and all(p.kind != "degenerate" for p in s.stationary)
    ],
)


@REGULAR
def test_complete_list_is_what_newton_finds(surface):
    starts = grid(surface, 90, 91).reshape(-1, 2)
    found = newton(surface, starts + 1e-3 * np.sin(np.arange(starts.size)).reshape(starts.shape))
    points = np.array([s.point for s in surface.stationary])
    distance = np.hypot(*(found[:, None] - points[None]).T).T
    assert distance.min(axis=1).max() < 1e-6, "found a stationary point that is not listed"
    assert set(distance.argmin(axis=1)) == set(range(len(points))), "a listed point was not found"


@COMPLETE
def test_complete_list_matches_the_winding_number(surface):
    """The gradient turns along the border once for each minimum or maximum, minus once for each saddle."""
    x_low, x_high, y_low, y_high = surface.window
    corners = np.array([(x_low, y_low), (x_high, y_low), (x_high, y_high), (x_low, y_high), (x_low, y_low)])
    t = np.linspace(0, 1, 5_000, endpoint=False)[:, None]
    border = np.concatenate([a + t * (b - a) for a, b in itertools.pairwise(corners)] + [corners[-1:]])
    for _ in range(20):  # finer where the angle turns fast
        angle = np.arctan2(*surface.grad(border).T[::-1])
        turns = np.remainder(np.diff(angle) + np.pi, 2 * np.pi) - np.pi
        fast = np.flatnonzero(np.abs(turns) > 0.5)
        border = np.insert(border, fast + 1, (border[fast] + border[fast + 1]) / 2, axis=0)
    assert fast.size == 0
    index = {"minimum": 1, "maximum": 1, "saddle": -1, "degenerate": -2}
    assert round(turns.sum() / (2 * np.pi)) == sum(index[s.kind] for s in surface.stationary)


@COMPLETE
def test_every_dip_of_a_fine_grid_leads_to_a_listed_minimum(surface):
    w = grid(surface, 201, 201)
    f = surface.f(w)
    middle, low = f[1:-1, 1:-1], np.full((199, 199), np.inf)
    for i, j in itertools.product(range(3), repeat=2):
        if (i, j) != (1, 1):
            low = np.minimum(low, f[i : i + 199, j : j + 199])
    longest = (surface.window[1] - surface.window[0]) / 50
    for v in w[1:-1, 1:-1][middle < low] + 1e-4:  # beside the node, which may be a saddle itself
        # Newton with the absolute eigenvalues and a halved step: it can only go down, here or out of sight.
        for _ in range(400):
            values, vectors = np.linalg.eigh(surface.hessian(v))
            step = -vectors @ ((vectors.T @ surface.grad(v)) / np.maximum(np.abs(values), 1e-12))
            step *= min(1.0, longest / max(np.hypot(*step), 1e-300))
            while surface.f(v + step) > surface.f(v) and np.abs(step).max() > 1e-12:
                step = step / 2
            v = v + step
            if np.abs(step).max() <= 1e-12 or not within(surface, v):
                break
        if within(surface, v):
            distance, point = nearest(surface, v)
            assert distance < 1e-6
            assert point.kind == "minimum"


# Shapes, types, bad arguments


@ALL
def test_shapes_and_leading_axes(surface):
    w = sample(surface, 24)
    for function, tail in ((surface.f, ()), (surface.grad, (2,)), (surface.hessian, (2, 2))):
        flat = function(w)
        assert flat.shape == (24, *tail)
        assert function(w.reshape(2, 3, 4, 2)).shape == (2, 3, 4, *tail)
        np.testing.assert_array_equal(function(w.reshape(2, 3, 4, 2)).reshape(flat.shape), flat)
        one = function(w[5])
        assert one.shape == tail
        np.testing.assert_allclose(one, flat[5], rtol=1e-12, atol=1e-12)
        assert function(np.empty((0, 2))).shape == (0, *tail)
        assert function(w[:, None][::2, :, ::-1]).shape == (12, 1, *tail)


@ALL
def test_points_are_left_alone_and_results_are_new(surface):
    w = sample(surface, 5)
    before = w.copy()
    for function in (surface.f, surface.grad, surface.hessian):
        result = function(w)
        assert not np.shares_memory(result, w)
        result_was_zero = result == 0
        result[...] = np.where(result_was_zero, 1, 0)
        np.testing.assert_array_equal(w, before)
        np.testing.assert_array_equal(function(w) == 0, result_was_zero)


@ALL
def test_float_type_is_kept(surface):
    w = sample(surface, 40)
    for function in (surface.f, surface.grad, surface.hessian):
        exact = function(w)
        single = function(w.astype(np.float32))
        assert exact.dtype == np.float64
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, exact, rtol=2e-3, atol=2e-5 * np.abs(exact).max())
        assert function((1, 2)).dtype == np.float64


@ALL
def test_bad_arguments(surface):
    for function in (surface.f, surface.grad, surface.hessian):
        with pytest.raises(TypeError):
            function((1.0, 2.0), kapa=3.0)
        for shape in ((), (3,), (2, 1), (2, 0)):
            with pytest.raises(ValueError, match=r"needs \(\.\.\., 2\)"):
                function(np.zeros(shape))
        with pytest.raises(TypeError):
            function(np.zeros(2, dtype=complex))


@ALL
def test_knobs_outside_their_range_are_refused(surface):
    for knob in surface.knobs:
        for bad in (knob.low - 1, knob.high + 1, math.nan, np.array([knob.low, knob.high + 1])):
            for function in (surface.f, surface.grad, surface.hessian):
                with pytest.raises(ValueError, match=f"{knob.name} = .*needs .* from {knob.low} to"):
                    function((1.0, 2.0), **{knob.name: bad})


# Far away


@ALL
def test_a_thousand_away_everything_is_finite_and_exact(surface):
    w = np.array(list(itertools.product((-1e3, -1.0, 0.0, 1.0, 1e3), repeat=2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = surface.f(w)
        grad, hessian = surface.grad(w), surface.hessian(w)
    assert np.isfinite(f).all()
    assert np.isfinite(grad).all()
    assert np.isfinite(hessian).all()
    if surface.name in TEXTBOOK:
        expected = TEXTBOOK[surface.name](*w.T)
        np.testing.assert_allclose(f, expected, rtol=1e-12, atol=1e-9)


@ALL
def test_no_warning_however_far(surface):
    sizes = (0.0, 5e-324, 1e-300, 1e50, 1e100, 1e200, 1.7e308, math.inf, math.nan)
    axis = [sign * size for sign in (1, -1) for size in sizes]
    w = np.array(list(itertools.product(axis, repeat=2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (surface.f, surface.grad, surface.hessian):
            function(w)
            function(np.clip(w, -3e38, 3e38).astype(np.float32))
            for point in w:
                function(point)
    assert np.isnan(surface.f([math.nan, 1.0]))
    assert np.isnan(surface.f([1.0, math.nan]))


def test_overflow_is_returned_not_hidden():
    assert SURFACES["Rosenbrock"].f((1e100, 0.0)) == math.inf
    assert SURFACES["Rosenbrock"].grad((1e150, 0.0))[0] == math.inf
    assert SURFACES["Plateau and cliff"].f((-1e4, 1.0)) == math.inf
    assert SURFACES["Saddle"].f((0.0, 1e200)) == -math.inf
    assert SURFACES["Rosenbrock"].f(np.array([1e20, 0.0], np.float32)) == math.inf


def test_float_state_of_the_caller_is_left_alone():
    with np.errstate(over="raise", invalid="raise", under="raise"):
        before = np.geterr()
        assert SURFACES["Rosenbrock"].f((1e100, 0.0)) == math.inf
        assert SURFACES["Easom"].f((-100.0, 0.0)) == 0
        assert np.geterr() == before


# Accuracy on a log axis


@ALL
def test_rise_above_a_minimum_at_zero_has_no_cancellation(surface):
    """A ten-millionth away f is ½ dᵀHd ~ 1e-14, which a formula that subtracts would lose in its rounding."""
    for s in surface.stationary:
        if s.is_global and s.value == 0 and s.smooth:
            for d in 1e-7 * np.array([(1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (-0.8, 0.6)]):
                quadratic = 0.5 * d @ surface.hessian(s.point) @ d
                assert surface.f(np.array(s.point) + d) == pytest.approx(quadratic, rel=2e-3)


def test_ackley_is_a_cone_at_its_tip():
    ackley = SURFACES["Ackley"]
    for r in (1e-3, 1e-6, 1e-9, 1e-12, 1e-100, 1e-300):
        w = r * np.array([0.6, -0.8])
        assert ackley.f(w) == pytest.approx(2 * math.sqrt(2) * r, rel=30 * r + 1e-12)
        np.testing.assert_allclose(ackley.grad(w), 2 * math.sqrt(2) * w / r, rtol=40 * r + 1e-12)
    np.testing.assert_array_equal(ackley.grad((0.0, 0.0)), 0)
    assert ackley.f((0.0, 0.0)) == 0
    assert np.isfinite(ackley.hessian((0.0, 0.0))).all()


def test_ackley_lists_its_nearest_minima():
    ackley = SURFACES["Ackley"]
    inner = newton(ackley, grid(ackley, 101, 101).reshape(-1, 2))
    reach = np.abs(inner).max(axis=1)
    inner = inner[(reach > 0.1) & (reach < 1.2)]
    lows = inner[np.linalg.eigvalsh(ackley.hessian(inner)).min(axis=1) > 0]
    listed = np.array([s.point for s in ackley.minima if s.smooth])
    distance = np.hypot(*(lows[:, None] - listed[None]).T).T
    assert distance.min(axis=1).max() < 1e-6
    assert set(distance.argmin(axis=1)) == set(range(8))


# Rates and behavior


@ALL
def test_the_suggested_rate_goes_down_and_stays_finite(surface):
    path = descend(surface, surface.starts[0], surface.rate, 500)
    f = surface.f(path)
    assert np.isfinite(path).all()
    assert np.isfinite(f).all()
    assert f[-1] < f[0]
    assert (np.diff(f) <= 1e-12 * (1 + np.abs(f[:-1]))).all()
    if surface.bounded_below:
        assert within(surface, path).all()


def test_rates_on_the_quadratics():
    bowl, valley = SURFACES["Quadratic bowl"], SURFACES["Elongated valley"]
    assert bowl.rate == 0.45
    assert math.hypot(*descend(bowl, (-5, -2), 0.45, 60)[-1]) == pytest.approx(0.55, abs=0.01)
    assert abs(descend(bowl, (-5, -2), 0.499, 500)[-1, 1]) < 1e-0
    assert abs(descend(bowl, (-5, -2), 0.501, 500)[-1, 1]) > 4
    assert math.hypot(*descend(valley, (-5, -2), 0.4, 200)[-1]) < 1e-6
    assert abs(descend(valley, (-5, -2), 0.6, 20)[-1, 1]) > 1000


def test_the_tiny_start_beside_the_saddle_grows_as_computed():
    path = descend(SURFACES["Saddle"], (1.0, 1e-6), 0.1, 100)
    np.testing.assert_allclose(path[:, 1], 1e-6 * 1.2 ** np.arange(101), rtol=1e-12)


def test_momentum_passes_the_shallow_well():
    wells = SURFACES["Two wells"]
    start = wells.starts[0]
    ends = [descend(wells, start, wells.rate, 1000, momentum)[-1] for momentum in (0.0, 0.5, 0.9)]
    np.testing.assert_allclose(ends, [(2, 0), (2, 0), (-2, 0)], atol=1e-9)
    barrier = wells.stationary[2].value
    assert barrier - wells.stationary[0].value == pytest.approx(2.1484375)
    assert barrier - wells.stationary[1].value == pytest.approx(0.5484375)


def test_a_step_from_the_cliff_is_thrown_away_unless_clipped():
    cliff = SURFACES["Plateau and cliff"]
    start = cliff.starts[1]
    free, clipped = (descend(cliff, start, cliff.rate, 300, clip=c) for c in (math.inf, 1.0))
    assert math.hypot(*(free[1] - free[0])) > 30
    assert not within(cliff, free[1])
    assert np.linalg.norm(cliff.grad(free[1])) < 0.01  # lost on the plateau
    assert math.hypot(*free[-1]) > 20
    assert math.hypot(*clipped[-1]) < 1e-12
    plateau = np.array([(24.0, y) for y in np.linspace(-8, 8, 17)])
    assert np.linalg.norm(cliff.grad(plateau), axis=-1).max() < 0.05


def test_beale_is_constant_along_its_line():
    w = np.stack([np.linspace(-4, 4, 9), np.ones(9)], axis=-1)
    np.testing.assert_allclose(SURFACES["Beale"].f(w), 14.203125, rtol=1e-15)


# Problems with a box, and with another loss at each step

ONLINE = pytest.mark.parametrize(
    "surface", [pytest.param(s, id=n) for n, s in SURFACES.items() if s.online is not None]
)
BOXED = pytest.mark.parametrize(
    "surface", [pytest.param(s, id=n) for n, s in SURFACES.items() if s.box is not None]
)


@BOXED
def test_the_best_point_is_a_corner_that_gradient_descent_stays_at(surface):
    best = np.array(surface.best)
    assert surface.targets == (surface.best,)
    assert surface.infimum == surface.f(best)
    assert np.linalg.norm(surface.grad(best)) > 0
    np.testing.assert_array_equal(surface.project(best - surface.rate * surface.grad(best)), best)


@BOXED
def test_projection_is_the_nearest_point_and_hides_no_overflow(surface):
    low, high = surface.box
    w = np.array([[0.25, -0.5], [high + 2, 0.5], [low - 1e300, high + 1e-9], [math.inf, math.nan]])
    expected = np.array([[0.25, -0.5], [high, 0.5], [low, high], [math.inf, math.nan]])
    np.testing.assert_array_equal(surface.project(w), expected)
    assert surface.project(w[:2].astype(np.float32)).dtype == np.float32


def test_without_a_box_nothing_is_projected():
    w = np.array([1e9, math.inf])
    assert SURFACES["Himmelblau"].project(w) is w
    assert SURFACES["Himmelblau"].targets == tuple(m.point for m in SURFACES["Himmelblau"].minima)


@ONLINE
def test_the_average_of_the_losses_shown_is_the_surface(surface):
    w = sample(surface, 7)
    shown = np.mean([surface.online(w, t) for t in range(1, 31)], axis=0)
    np.testing.assert_allclose(shown, surface.grad(w), rtol=1e-14)
    assert surface.online(w.astype(np.float32), 1).dtype == np.float32


def test_the_large_gradient_comes_first():
    surface = SURFACES["AMSGrad's example"]
    along_x = [float(surface.online(np.zeros(2), t)[0]) for t in range(1, 8)]
    assert along_x == [3, -1, -1, 3, -1, -1, 3]
    problem = OnlineProblem(surface)
    np.testing.assert_array_equal(problem.grad_at(np.zeros(2), 0), [3, 1 / 3])
    assert problem.f(np.array([0.5, 1.0])) == 0.5


def test_online_problem_needs_losses_of_their_own():
    with pytest.raises(ValueError, match="Himmelblau has no loss of its own"):
        OnlineProblem(SURFACES["Himmelblau"])


@pytest.mark.parametrize(("name", "x"), [("Adam", 1.0), ("AMSGrad", -1.0)])
def test_adam_ends_at_the_worst_x_and_amsgrad_at_the_best(name, x):
    """Theorem 1 of the paper: β₁ = 0, β₂ = 1/(1 + C²), lr 0.1/√t, projected to [−1, 1]; here from the middle."""
    problem = OnlineProblem(SURFACES["AMSGrad's example"])
    build, knobs = OPTIMIZERS[name].build, {"beta1": 0.0, "beta2": 1 / (1 + 3**2)}
    path = run(
        problem,
        lambda t: build(lr=0.1 / math.sqrt(t + 1), **knobs),
        (0.0, 1.0),
        2_500,
        project=problem.project,
    ).path
    w = path[-1]
    assert w[0] == pytest.approx(x, abs=0.01)
    assert w[1] == pytest.approx(-1, abs=0.01)  # along y, where every step shows the average, both arrive
    assert np.abs(path).max() <= 1


def test_online_problem_is_one_that_descend_takes():
    problem = OnlineProblem(SURFACES["AMSGrad's example"])
    found = run(problem, OPTIMIZERS["GD"].build(lr=0.1), (0.0, 0.5), 6)
    np.testing.assert_allclose(found.path[:, 0], [0, -0.3, -0.2, -0.1, -0.4, -0.3, -0.2], atol=1e-15)
    np.testing.assert_allclose(found.path[:, 1], 0.5 - np.arange(7) / 30, atol=1e-15)


def test_losses_over_data_are_the_means_of_their_samples():
    for name in ("Linear regression", "Logistic regression"):
        surface = SURFACES[name]
        w = sample(surface, 50)
        np.testing.assert_allclose(surface.samples.losses(w).mean(axis=-1), surface.f(w), rtol=1e-13)
        grads = surface.samples.grads(w).mean(axis=-2)
        np.testing.assert_allclose(grads, surface.grad(w), rtol=1e-12, atol=1e-13)


# Rotation of the bowl


@pytest.mark.parametrize("theta", [0.0, 15.0, 45.0, 77.7, 90.0])
def test_a_start_turned_with_the_bowl_keeps_its_value(theta):
    bowl = SURFACES["Quadratic bowl"]
    start = rotate_start((-5.0, -2.0), theta)
    assert bowl.f(start, theta=theta) == pytest.approx(float(bowl.f((-5.0, -2.0))), rel=1e-14)
    grad, straight = bowl.grad(start, theta=theta), bowl.grad((-5.0, -2.0))
    np.testing.assert_allclose(grad, rotate_start(straight, theta), rtol=1e-13, atol=1e-13)


def test_rotation_is_exact_where_it_can_be():
    np.testing.assert_array_equal(rotate_start((-5.0, -2.0), 0), (-5.0, -2.0))
    np.testing.assert_array_equal(rotate_start((-5.0, -2.0), 90), (2.0, -5.0))
    np.testing.assert_array_equal(
        SURFACES["Quadratic bowl"].hessian((0.0, 0.0), theta=90.0), [[4, 0], [0, 4 / 50]]
    )
    h = SURFACES["Quadratic bowl"].hessian((0.0, 0.0), theta=45.0)
    assert h[0, 0] == h[1, 1]


@pytest.mark.parametrize("kappa", [1.0, 7.0, 1000.0])
def test_condition_number_and_axes_of_the_bowl(kappa):
    hessian = SURFACES["Quadratic bowl"].hessian((0.0, 0.0), kappa=kappa, theta=30.0)
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [4 / kappa, 4], rtol=1e-12)
    flat = np.array([math.cos(math.radians(30)), math.sin(math.radians(30))])
    np.testing.assert_allclose(hessian @ flat, 4 / kappa * flat, rtol=1e-12, atol=1e-15)


def test_knobs_broadcast_over_leading_axes():
    bowl = SURFACES["Quadratic bowl"]
    w, kappa, theta = sample(bowl, 4), np.array([[2.0], [50.0], [1000.0]]), np.array([0.0, 10.0, 45.0, 90.0])
    for function in (bowl.f, bowl.grad, bowl.hessian):
        block = function(w, kappa=kappa, theta=theta)
        for i, j in itertools.product(range(3), range(4)):
            one = function(w[j], kappa=float(kappa[i, 0]), theta=float(theta[j]))
            np.testing.assert_allclose(block[i, j], one, rtol=1e-14, atol=1e-14)
    assert bowl.f(w[0], kappa=kappa[:, 0]).shape == (3,)
    assert bowl.grad(w.astype(np.float32), kappa=kappa).dtype == np.float32
    assert rotate_start((-5.0, -2.0), theta).shape == (4, 2)
    assert rotate_start(w, theta).shape == (4, 2)
    assert rotate_start(w, kappa[:, :1] * 0).shape == (3, 4, 2)


# Facts from the literature

FACTS = [
    ("Rosenbrock", (1, 1), 0, "minimum"),
    ("Beale", (3, 0.5), 0, "minimum"),
    ("Beale", (0, 1), 14.203125, "saddle"),
    ("Beale", (0.1005379, -2.6445136), 9.8645123, "saddle"),
    ("Himmelblau", (3, 2), 0, "minimum"),
    ("Himmelblau", (-2.805118, 3.131313), 0, "minimum"),
    ("Himmelblau", (-3.779310, -3.283186), 0, "minimum"),
    ("Himmelblau", (3.584428, -1.848127), 0, "minimum"),
    ("Himmelblau", (3.385154, 0.073852), None, "saddle"),
    ("Himmelblau", (0.086678, 2.884255), None, "saddle"),
    ("Himmelblau", (-3.073026, -0.081353), None, "saddle"),
    ("Himmelblau", (-0.127961, -1.953715), None, "saddle"),
    ("Himmelblau", (-0.270845, -0.923039), 181.616522, "maximum"),
    ("Booth", (1, 3), 0, "minimum"),
    ("Matyas", (0, 0), 0, "minimum"),
    ("Three-hump camel", (0, 0), 0, "minimum"),
    ("Three-hump camel", (1.747552, -0.873776), 0.298638442, "minimum"),
    ("Three-hump camel", (-1.747552, 0.873776), 0.298638442, "minimum"),
    ("Three-hump camel", (1.070542, -0.535271), None, "saddle"),
    ("Three-hump camel", (-1.070542, 0.535271), None, "saddle"),
    ("Six-hump camel", (0.0898420, -0.7126564), -1.0316284534898774, "minimum"),
    ("Six-hump camel", (-0.0898420, 0.7126564), -1.0316284534898774, "minimum"),
    ("Styblinski–Tang", (-2.903534027771177,) * 2, -78.332331407542831, "minimum"),
    ("Styblinski–Tang", (-2.903534, 2.746803), -64.1956, "minimum"),
    ("Styblinski–Tang", (2.746803, 2.746803), -50.0589, "minimum"),
    ("Goldstein–Price", (0, -1), 3, "minimum"),
    ("Goldstein–Price", (-0.6, -0.4), 30, "minimum"),
    ("Goldstein–Price", (1.8, 0.2), 84, "minimum"),
    ("Goldstein–Price", (1.2, 0.8), 840, "minimum"),
    ("McCormick", (-0.547198, -1.547198), -1.913222954981, "minimum"),
    ("Rastrigin", (0, 0), 0, "minimum"),
    ("Ackley", (0, 0), 0, "minimum"),
    ("Griewank", (0, 0), 0, "minimum"),
    ("Levy", (1, 1), 0, "minimum"),
    ("Drop-wave", (0, 0), -1, "minimum"),
    ("Easom", (math.pi, math.pi), -1, "minimum"),
    ("Two-weight net", (0, 0), 1, "saddle"),
    ("Two-weight net", (0.5, 2), 0, "minimum"),
    ("Saddle", (0, 0), 0, "saddle"),
    ("Monkey saddle", (0, 0), 0, "degenerate"),
]


@pytest.mark.parametrize(("name", "point", "value", "kind"), FACTS)
def test_points_of_the_literature_are_listed(name, point, value, kind):
    distance, found = nearest(SURFACES[name], np.array(point, dtype=float))
    assert distance < 2e-6
    assert found.kind == kind
    if value is not None:
        assert found.value == pytest.approx(value, abs=6e-5 if abs(value) in (64.1956, 50.0589) else 1e-6)


INFIMA = {
    "Linear regression": 0.38697238320401340,  # both from the samples, in decimal arithmetic of 60 digits
    "Logistic regression": 0.38925043470468185,
    "AMSGrad's example": -2 / 3,
    "Six-hump camel": -1.0316284534898774,
    "Styblinski–Tang": -78.332331407542831,
    "Goldstein–Price": 3.0,
    "McCormick": -math.sin(2 * math.pi / 3) - math.pi / 3,
    "Drop-wave": -1.0,
    "Easom": -1.0,
    "Saddle": None,
    "Monkey saddle": None,
}


@ALL
def test_infimum(surface):
    expected = INFIMA.get(surface.name, 0.0)
    assert surface.infimum == (None if expected is None else pytest.approx(expected, rel=4e-16, abs=0))


COUNTS = {  # minima, saddles, maxima
    "Himmelblau": (4, 4, 1),
    "Three-hump camel": (3, 2, 0),
    "Six-hump camel": (6, 7, 2),
    "Styblinski–Tang": (4, 4, 1),
    "Goldstein–Price": (4, 4, 1),
    "Rastrigin": (121, 220, 100),
    "Levy": (40, 75, 35),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    kinds = [s.kind for s in SURFACES[name].stationary]
    assert tuple(kinds.count(k) for k in ("minimum", "saddle", "maximum")) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("Rosenbrock", 2508.0096),
        ("Booth", 9),
        ("Matyas", 25),
        ("Elongated valley", 20),
        ("Quadratic bowl", 50),
        ("Linear regression", 31.1316825),
    ],
)
def test_condition_numbers(name, condition):
    surface = SURFACES[name]
    low, high = np.linalg.eigvalsh(surface.hessian(surface.minima[0].point))
    assert high / low == pytest.approx(condition, rel=1e-7)
