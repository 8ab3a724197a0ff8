"""The picture of a surface: its levels, its file, its isolines, and paths cut at the border."""

import base64
import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from charts import raster
from core.surfaces import SURFACES

WINDOW = (-2.0, 3.0, -1.0, 1.0)


# Levels


@given(st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=2, max_size=60, unique=True))
def test_levels_are_monotone_and_within_bounds(values):
    values = np.array(values)
    levels = raster.depth(values, float(values.min()))
    assert np.all((levels >= 0) & (levels <= 1))
    order = np.argsort(values)
    assert np.all(np.diff(levels[order]) >= 0)
    assert levels[np.argmin(values)] == 0
    assert levels[np.argmax(values)] == pytest.approx(1)


@pytest.mark.parametrize("name", SURFACES)
def test_the_levels_of_a_surface_use_the_whole_scale(name):
    surface = SURFACES[name]
    knobs = {knob.name: knob.default for knob in surface.knobs}
    _, _, points = raster.grid(surface.window, 61)
    values = surface.f(points, **knobs)
    lowest = float(values.min()) if surface.infimum is None else surface.infimum
    levels = raster.depth(values, lowest)
    assert levels.shape == (61, 61)
    assert levels.min() == 0
    assert levels.max() == 1
    assert np.std(levels) > 0.05, "the picture is flat"


def test_a_decade_of_loss_is_the_same_step_everywhere():
    levels = raster.depth(np.geomspace(1e-3, 1e3, 7), 0.0)
    np.testing.assert_allclose(np.diff(levels[1:]), np.diff(levels[1:]).mean(), rtol=1e-9)


def test_a_flat_field_has_no_levels():
    np.testing.assert_array_equal(raster.depth(np.full((4, 5), 3.0), 3.0), np.zeros((4, 5)))


def test_a_plateau_above_the_lowest_value():
    values = np.full(1000, 3.0)
    values[0] = 0.0
    levels = raster.depth(values, 0.0)
    assert np.all(np.isfinite(levels))
    assert levels[0] == 0


def test_the_grid_runs_from_low_to_high():
    x, y, points = raster.grid(WINDOW, 11)
    assert (x[0], x[-1], y[0], y[-1]) == WINDOW
    assert points.shape == (11, 11, 2)
    np.testing.assert_array_equal(points[3, 7], [x[7], y[3]])


# The picture


def decode(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_a_picture_has_the_size_of_its_levels_and_high_y_on_top():
    levels = np.zeros((20, 30))
    levels[-1] = 1.0  # high y
    levels[0, 0] = 0.5  # low x, low y
    picture = decode(raster.image(levels))
    assert picture.format == "PNG"
    assert picture.size == (30, 20)
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert np.all(alpha[0] == alpha.max())
    assert 0 < alpha[-1, 0] < alpha.max()
    assert np.all(alpha[1:-1] == 0)


def test_a_picture_gets_darker_with_the_level_and_keeps_one_hue():
    pixels = np.asarray(decode(raster.image(np.linspace(0, 1, 200)[None, :])).convert("RGBA"))[0]
    assert np.all(np.diff(pixels[:, 3].astype(int)) >= 0)
    assert pixels[0, 3] == 0
    assert 60 < pixels[-1, 3] < 200, "lines and points must stay visible above it"
    assert len(np.unique(pixels[:, :3], axis=0)) == 1


def test_the_same_levels_give_the_same_bytes():
    levels = np.random.default_rng(0).random((9, 9))
    assert raster.image(levels) == raster.image(levels.copy())


# Isolines


def test_isolines_of_a_plane_lie_on_their_levels():
    x = np.linspace(0, 1, 21)
    levels = np.broadcast_to(x, (21, 21))
    px, py, number = raster.isolines(x, x, levels, 4)
    assert px.shape == py.shape == number.shape
    assert sorted(set(number)) == [0, 1, 2, 3]
    for line, level in enumerate((0.2, 0.4, 0.6, 0.8)):
        np.testing.assert_allclose(px[number == line], level, atol=1e-12)
        assert np.ptp(py[number == line]) == pytest.approx(1)


def apart(points, line):
    """Return the distance of points from a chain of vertices, one segment after the other."""
    start, along = line[:-1], np.diff(line, axis=0)
    off = points[:, None] - start
    share = np.sum(off * along, axis=-1) / np.maximum(np.sum(along**2, axis=-1), 1e-300)
    return np.linalg.norm(off - np.clip(share, 0, 1)[..., None] * along, axis=-1).min(axis=1)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_thinned_line_leaves_out_lies_on_it(seed):
    rng = np.random.default_rng(seed)
    lines = [np.cumsum(rng.normal(size=(n, 2)), axis=0) for n in (1, 2, 3, 90, 200)]
    lines[3][-1] = lines[3][0]  # closed
    within = np.array([2.0, 0.7])
    lengths = np.array([len(line) for line in lines])
    kept = raster.thinned(np.concatenate(lines), lengths, within)
    for line, stays in zip(lines, np.split(kept, np.cumsum(lengths)[:-1]), strict=True):
        assert stays[[0, -1]].all()
        if len(line) > 2:
            assert apart(line / within, line[stays] / within).max() <= 1 + 1e-9
    assert kept.sum() < 0.7 * len(kept)


def test_every_vertex_that_stays_is_needed():
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    straight = np.column_stack([np.linspace(0, 1, 50), np.linspace(0, 3, 50)])
    kept = raster.thinned(np.concatenate([circle, straight]), np.array([400, 50]), np.array([0.01, 0.01]))
    # An arc of angle a is 1 − cos(a/2) from its chord: 23 of them at least, and halving takes twice as many at most.
    assert 23 <= kept[:400].sum() - 1 <= 46
    np.testing.assert_array_equal(np.flatnonzero(kept[400:]), [0, 49])


@pytest.mark.parametrize("name", ["Quadratic bowl", "Himmelblau", "Easom"])
def test_thinned_isolines_stay_within_half_a_pixel(name):
    surface, pixels = SURFACES[name], np.array([859, 430])
    x, y, points = raster.grid(surface.window, 61)
    values = surface.f(points)
    levels = raster.depth(values, float(values.min()))
    unit = np.array([np.ptp(x), np.ptp(y)]) / pixels
    px, py, number = raster.isolines(x, y, levels, 5, 0.5 * unit)
    full_x, full_y, full = raster.isolines(x, y, levels, 5, 1e-9 * unit)
    assert set(number) == set(full)
    assert len(px) < 0.8 * len(full_x)
    for line in set(full):
        traced = np.column_stack([full_x, full_y])[full == line] / unit
        drawn = np.column_stack([px, py])[number == line] / unit
        assert apart(traced, drawn).max() <= 0.5 + 1e-6


def test_no_isolines_in_a_flat_field():
    x = np.linspace(0, 1, 5)
    assert [len(part) for part in raster.isolines(x, x, np.zeros((5, 5)), 4)] == [0, 0, 0]


# Paths cut at the border


def cut(path, window=WINDOW):
    return raster.clip_path(np.asarray(path, float), window)


def test_a_path_inside_is_left_alone():
    path = np.array([[0, 0], [1, 0.5], [3, 1], [-2, -1]])  # the border belongs to the window
    points, step, piece, border = cut(path)
    np.testing.assert_array_equal(points, path)
    np.testing.assert_array_equal(step, [0, 1, 2, 3])
    assert len(set(piece)) == 1
    assert not border.any()


def test_a_path_that_leaves_and_comes_back():
    points, step, piece, border = cut([[0, 0], [4, 0], [4, 0.5], [2, 0.5]])
    np.testing.assert_allclose(points, [[0, 0], [3, 0], [3, 0.5], [2, 0.5]])
    np.testing.assert_array_equal(step, [0, 1, 3, 3])
    np.testing.assert_array_equal(border, [False, True, True, False])
    assert piece[0] == piece[1]
    assert piece[2] == piece[3]
    assert piece[1] != piece[2]


def test_a_step_across_the_window_without_a_vertex_inside():
    points, step, piece, border = cut([[-3, 0], [5, 0]])
    np.testing.assert_allclose(points, [[-2, 0], [3, 0]])
    np.testing.assert_array_equal(step, [1, 1])
    assert border.all()
    assert piece[0] == piece[1]


def test_a_step_across_a_corner():
    points, _, piece, border = cut([[-3, 0], [0, 1.5]])  # y = 0.5 x + 1.5
    np.testing.assert_allclose(points, [[-2, 0.5], [-1, 1]])
    assert border.all()
    assert len(set(piece)) == 1


def test_a_step_that_misses_the_window():
    points, step, piece, border = cut([[-3, 0], [0, 4], [4, 4]])
    assert points.shape == (0, 2)
    assert len(step) == len(piece) == len(border) == 0


def test_a_start_outside():
    points, step, piece, border = cut([[5, 0], [1, 0], [1, 0.5]])
    np.testing.assert_allclose(points, [[3, 0], [1, 0], [1, 0.5]])
    np.testing.assert_array_equal(step, [1, 1, 2])
    np.testing.assert_array_equal(border, [True, False, False])
    assert len(set(piece)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_path_ends_where_it_is_no_longer_finite(bad, axis):
    path = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.5, 0.5], [0.0, 0.5]])
    path[3, axis] = bad
    points, step, _, border = cut(path)
    np.testing.assert_array_equal(points, path[:3])
    np.testing.assert_array_equal(step, [0, 1, 2])
    assert not border.any()


def test_a_path_that_is_not_finite_from_the_start():
    assert len(cut([[np.nan, 0], [0, 0]])[0]) == 0


def test_a_single_point():
    assert len(cut([[0, 0]])[0]) == 1
    assert len(cut([[9, 0]])[0]) == 0


def test_an_enormous_last_step_leaves_in_its_direction():
    points, _, _, border = cut([[0, 0], [1e300, 1e299]])
    np.testing.assert_allclose(points[1], [3, 0.3])
    assert border[1]


def test_an_enormous_step_across_the_window_crosses_all_of_it():
    points, _, _, border = cut([[0, 0], [0.5, 1e18], [1.5, -1e18]])
    np.testing.assert_allclose(points, [[0, 0], [0, 1], [1, 1], [1, -1]], atol=1e-9)
    assert border[1:].all()


coordinate = st.floats(-6, 6) | st.sampled_from([-2.0, 3.0, -1.0, 1.0, np.nan, np.inf])


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=14))
def test_what_is_cut_of_any_path(vertices):
    path = np.array(vertices)
    kept = path.copy()
    points, step, piece, border = cut(path)
    np.testing.assert_array_equal(path, kept)
    low, high = np.array(WINDOW[::2]), np.array(WINDOW[1::2])
    finite = np.isfinite(path).all(axis=1)
    end = len(path) if finite.all() else int(np.argmin(finite))
    inside = np.flatnonzero(np.all((path[:end] >= low) & (path[:end] <= high), axis=1))

    # Every vertex inside is there once, unmoved and in order.
    np.testing.assert_array_equal(step[~border], inside)
    np.testing.assert_array_equal(points[~border], path[inside])
    # Every crossing lies exactly on the border and on the segment of its step.
    for point, t in zip(points[border], step[border], strict=True):
        assert np.all((point >= low) & (point <= high))
        assert np.any((point == low) | (point == high)) or np.min(np.abs([point - low, point - high])) < 1e-12
        a, b = path[t - 1], path[t]
        along = np.clip(np.dot(point - a, b - a) / max(np.dot(b - a, b - a), 1e-300), 0, 1)
        np.testing.assert_allclose(a + along * (b - a), point, atol=1e-9)
    # Within a piece the path runs on without a gap: its drawn length is the length that lies inside.
    assert np.all(np.diff(piece) >= 0)
    assert np.all(np.diff(step) >= 0)
    drawn = sum(np.linalg.norm(np.diff(points[piece == p], axis=0), axis=1).sum() for p in set(piece))
    assert drawn == pytest.approx(_length_inside(path[:end], low, high), abs=1e-9)


def _length_inside(path, low, high):
    """Sum the lengths of the segments within a box, by cutting each at every border line it meets."""
    total = 0.0
    for a, b in itertools.pairwise(path):
        cuts = {0.0, 1.0}
        for axis in range(2):
            for border in (low[axis], high[axis]):
                if a[axis] != b[axis]:
                    cuts.add(float((border - a[axis]) / (b[axis] - a[axis])))
        places = sorted(t for t in cuts if 0 <= t <= 1)
        for s, t in itertools.pairwise(places):
            middle = a + (s + t) / 2 * (b - a)
            if np.all((middle >= low - 1e-12) & (middle <= high + 1e-12)):
                total += (t - s) * float(np.linalg.norm(b - a))
    return total
