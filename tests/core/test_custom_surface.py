"""Typed surfaces: what the search finds on surfaces whose stationary points are known, and awkward formulas."""

import math
import warnings

import numpy as np
import pytest

from core.custom_surface import EXTENTS, MOST, custom_surface
from core.expressions import ExpressionError
from core.optimizers import OPTIMIZERS, suggested_lr
from core.surfaces import SURFACES, Surface

# Formula, half width, the entry of the registry that it is, over a window that holds at least this one.
KNOWN = {
    "Rosenbrock": ("(1-x)^2 + 100(y-x^2)^2", 3.0),
    "Himmelblau": ("(x^2+y-11)^2 + (x+y^2-7)^2", 5.0),
    "Booth": ("(x+2y-7)^2 + (2x+y-5)^2", 10.0),
    "Three-hump camel": ("2x^2 - 1.05x^4 + x^6/6 + xy + y^2", 5.0),
    "Styblinski–Tang": ("0.5(x^4-16x^2+5x) + 0.5(y^4-16y^2+5y)", 5.0),
    "Saddle": ("x^2 - y^2", 2.0),
    "Monkey saddle": ("x^3 - 3x*y^2", 2.0),
    "Two wells": ("(x+2)^2*(3x^2-14x+20)/40 + y^2/2", 3.5),
}
AWKWARD = {
    "constant": "3",
    "zero": "0*x",
    "nowhere defined": "sqrt(-1)",
    "nowhere finite": "1/(x-x)",
    "defined in a corner": "sqrt(x-4) + sqrt(y-4)",
    "a plane": "x + y",
    "a hill": "-x^2 - y^2",
    "minus infinity": "log(x^2+y^2)",
    "a pole": "1/x + y",
    "overflow": "exp(exp(x^2))",
    "steps": "sign(x)",
    "no slope beyond": "relu(x) + relu(y)",
    "huge": "1e300*(x^2+y^2)",
    "tiny": "1e-300*(x^2+y^2)",
    "fast": "sin(1e6x)",
    "powers": "x^y",
}


def quick(text: str, extent: float = 5.0) -> Surface:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return custom_surface(text, extent)


def minima(surface: Surface) -> np.ndarray:
    return np.array([m.point for m in surface.minima]).reshape(-1, 2)


# Surfaces that the registry knows


@pytest.mark.parametrize("name", KNOWN)
def test_search_finds_what_the_registry_lists(name):
    surface, known = quick(*KNOWN[name]), SURFACES[name]
    found = dict.fromkeys(surface.stationary)
    for expected in known.stationary:
        apart = {math.dist(point.point, expected.point): point for point in found}
        distance, nearest = min(apart.items(), key=lambda item: item[0])
        assert distance < 1e-7
        assert nearest.kind == expected.kind
        assert nearest.is_global == expected.is_global
        assert nearest.value == pytest.approx(expected.value, rel=1e-12, abs=1e-12)
        assert nearest.isolated
        assert nearest.smooth
        del found[nearest]
    assert not found, "more points than the surface has"
    assert surface.bounded_below == known.bounded_below
    assert surface.infimum == (None if known.infimum is None else pytest.approx(known.infimum, abs=1e-12))
    assert not surface.complete


@pytest.mark.parametrize(
    "text", [text for text, _ in KNOWN.values()] + ["sin(x)cos(y)", "20+x^2-10cos(2pi*x)+y^2"]
)
def test_gradient_vanishes_and_kinds_follow_from_the_hessian(text):
    surface = quick(text)
    assert surface.stationary
    for point in surface.stationary:
        grad, hessian = surface.grad(point.point), surface.hessian(point.point)
        assert np.linalg.norm(grad) <= 1e-11 * (1 + np.linalg.norm(hessian))
        assert point.value == surface.f(point.point)
        low, high = np.linalg.eigvalsh(hessian)
        if point.kind != "degenerate":
            expected = "minimum" if low > 0 else "maximum" if high < 0 else "saddle"
            assert point.kind == expected


def test_points_are_listed_once_minima_first_and_no_more_than_a_page_holds():
    surface = quick("20 + x^2 - 10cos(2pi*x) + y^2 - 10cos(2pi*y)", 5.12)
    points = np.array([s.point for s in surface.stationary])
    gaps = np.hypot(*(points[:, None] - points).T) + 10 * np.eye(len(points))
    assert gaps.min() > 0.1
    assert len(points) <= MOST
    assert {s.kind for s in surface.stationary} == {"minimum"}
    values = [s.value for s in surface.stationary]
    np.testing.assert_allclose(values, sorted(values), atol=1e-12)
    assert surface.stationary[0].point == (0, 0)
    assert [s.is_global for s in surface.stationary] == [True] + [False] * (len(points) - 1)


# Kinks, curves and plateaus of minima


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("abs(x) + abs(y-1)", (0, 1)),
        ("abs(x-0.3) + 2abs(y+0.7)", (0.3, -0.7)),
        ("max(x, -2x) + y^2", (0, 0)),
        ("hypot(x-1, 3y)", (1, 0)),
        ("sqrt(x^2 + y^2) + x/2", (0, 0)),
        ("abs(x) + x^2 + y^2", (0, 0)),
        ("20+e-20exp(-0.2sqrt((x^2+y^2)/2))-exp((cos(2pi*x)+cos(2pi*y))/2)", (0, 0)),
    ],
)
def test_a_minimum_at_a_kink_is_found_and_called_one(text, point):
    surface = quick(text)
    best = surface.stationary[0]
    assert best.kind == "minimum"
    assert best.is_global
    assert not best.smooth
    assert math.dist(best.point, point) < 1e-9
    assert surface.infimum == pytest.approx(float(surface.f(point)), abs=1e-9)


@pytest.mark.parametrize(("text", "degree"), [("x^4 + y^4", 4), ("x^8 + y^8", 8), ("(x-1)^4 + y^2", 4)])
def test_flat_minima(text, degree):
    surface = quick(text)
    (only,) = surface.stationary
    assert only.kind == "minimum"
    assert only.is_global
    assert only.smooth
    assert only.value <= 1e-30 ** (4 / degree)


@pytest.mark.parametrize(
    ("text", "extent", "on_curve"),
    [
        ("(1-xy)^2", 2.0, lambda w: w[:, 0] * w[:, 1] - 1),
        ("(x^2+y^2-1)^2", 2.0, lambda w: np.hypot(*w.T) - 1),
        ("x^2", 5.0, lambda w: w[:, 0]),
        ("abs(x)", 5.0, lambda w: w[:, 0]),
    ],
)
def test_of_a_curve_of_minima_some_are_listed(text, extent, on_curve):
    surface = quick(text, extent)
    w = minima(surface)
    assert 3 <= len(w) <= 40
    np.testing.assert_allclose(on_curve(w), 0, atol=1e-9)
    assert all(m.is_global and not m.isolated for m in surface.minima)
    assert surface.infimum == pytest.approx(0, abs=1e-20)
    assert "for example" in surface.note


def test_of_a_constant_few_points_are_listed():
    surface = quick("3")
    assert surface.infimum == 3
    assert 1 <= len(surface.stationary) <= 12
    assert all(s.kind == "minimum" and not s.isolated for s in surface.stationary)


# What is lowest


def test_a_lower_border_takes_the_title_of_the_global_minimum():
    surface = quick("x^3 - 3x + y^2", 4.0)
    (only,) = surface.minima
    np.testing.assert_allclose(only.point, (1, 0), atol=1e-12)
    assert not only.is_global
    assert surface.infimum is None
    assert not surface.bounded_below
    assert "f falls to −52" in surface.note


def test_lower_values_outside_the_window_show():
    surface = quick("x^3 - 3x + y^2", 1.5)
    assert surface.infimum == -2
    assert not surface.bounded_below


@pytest.mark.parametrize("text", ["x + y", "-x^2 - y^2", "log(x^2+y^2)", "1/x + y", "x*y"])
def test_without_a_minimum_there_is_no_infimum(text):
    surface = quick(text)
    assert not surface.minima
    assert surface.infimum is None
    assert surface.note.startswith("No minimum found")


# Every surface can be run


@pytest.mark.parametrize("extent", [0.1, 50.0])
@pytest.mark.parametrize("text", [*AWKWARD.values(), *(text for text, _ in list(KNOWN.values())[:2])])
def test_any_formula_makes_a_surface(text, extent):
    surface = quick(text, extent)
    assert surface.window == (-extent, extent, -extent, extent)
    for points in (surface.starts, [s.point for s in surface.stationary]):
        assert np.all(np.abs(np.reshape(points, (-1, 2))) <= extent)
    assert all(math.isfinite(s.value) for s in surface.stationary)
    assert 1e-5 <= surface.rate <= 4
    assert surface.rate == float(f"{surface.rate:.2g}")
    assert surface.note
    for optimizer in OPTIMIZERS.values():
        lr = suggested_lr(optimizer, surface.rate, 2 * extent)
        next(knob for knob in optimizer.knobs if knob.name == "lr").check(lr)


@pytest.mark.parametrize(
    ("text", "extent"),
    [*KNOWN.values(), ("exp(-x^2-y^2)", 3.0), ("log(x) + 1/x + y^2", 5.0), ("abs(x)+y^4", 5.0)],
)
def test_gradient_descent_goes_down_inside_the_window_at_the_suggested_rate(text, extent):
    surface = quick(text, extent)
    w = np.array(surface.starts[0])
    heights = [float(surface.f(w))]
    for _ in range(60):
        w = w - surface.rate * surface.grad(w)
        heights.append(float(surface.f(w)))
        assert np.abs(w).max() <= extent
    assert heights[-1] < heights[0]
    assert (np.diff(heights) <= 1e-11 * (1 + np.abs(heights[:-1]))).all()


@pytest.mark.parametrize("text", ["sqrt(x-4) + sqrt(y-4)", "log(x) + y^2", "1/(x*y)"])
def test_the_start_is_where_f_is_a_number(text):
    surface = quick(text)
    assert np.isfinite(surface.f(surface.starts[0]))
    assert np.isfinite(surface.grad(surface.starts[0])).all()
    assert np.any(surface.grad(surface.starts[0]))


def test_name_holds_the_formula_in_characters_that_markdown_leaves_alone():
    surface = quick("2x*y*3 + y**2")
    assert surface.name == "f(x, y) = 2·x·y·3 + y^2"
    assert surface.formula == r"2 x y \cdot 3 + y^{2}"
    assert quick(surface.name.removeprefix("f(x, y) = ")).f((2.0, 3.0)) == 45


@pytest.mark.parametrize("extent", [0.0, -1.0, 51.0, math.nan, math.inf])
def test_extents_outside_the_range_are_refused(extent):
    with pytest.raises(ValueError, match=r"extent = .*needs a number from 0\.1 to 50"):
        custom_surface("x^2", extent)
    assert EXTENTS == (0.1, 50.0)


def test_a_text_that_is_no_formula_is_refused():
    with pytest.raises(ExpressionError, match="expected a number"):
        custom_surface("x +", 5.0)
