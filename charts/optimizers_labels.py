"""Names of paths inside the picture of a surface: each beside its own path, where nothing else is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charts.raster import Window

Array = np.ndarray

# The picture as it is where it is smallest with names in it, in cells of a few pixels.
CELL = 5
COLUMNS, ROWS = 85, 66
_LETTER, _TALL = 6.8 / CELL, 15 / CELL  # of a bold name at the small size, in cells
_NEAR = 1.6  # cells between a path and its name
_ALONE = (3, 1)  # cells around a name that hold no other path: wide, then narrow
_MOST = 80  # points of a path beside which a name is tried


class Place(NamedTuple):
    """Where a name stands: its center in the units of the surface, and the step from which its path is there."""

    x: float
    y: float
    step: int


def trace(x: Array, y: Array, piece: Array, window: Window) -> Array:
    """Return the cells that a path crosses.

    Args:
        x, y: (n,) its points, in order, all inside the window.
        piece: (n,) the number of the unbroken piece each point belongs to.
        window: x_low, x_high, y_low, y_high.

    Returns:
        (ROWS, COLUMNS) booleans, rows from low y to high y.
    """
    across, up = _cells(x, y, window)
    found = np.zeros((ROWS, COLUMNS), bool)
    _mark(found, across, up)
    joined = np.flatnonzero(np.diff(piece) == 0)
    begin = np.stack([across[joined], up[joined]])
    move = np.stack([across[joined + 1], up[joined + 1]]) - begin
    count = np.ceil(2 * np.abs(move).max(axis=0, initial=0)).astype(int)
    segment = np.repeat(np.arange(len(joined)), count)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(count) - count, count)) / np.maximum(
        count[segment], 1
    )
    _mark(found, *(begin[:, segment] + share * move[:, segment]))
    return found


def _cells(x: Array, y: Array, window: Window) -> tuple[Array, Array]:
    """Return points in cells from the lower left corner."""
    low_x, high_x, low_y, high_y = window
    return (
        (np.asarray(x, float) - low_x) / (high_x - low_x) * COLUMNS,
        (np.asarray(y, float) - low_y) / (high_y - low_y) * ROWS,
    )


def _mark(cells: Array, across: Array, up: Array) -> None:
    cells[np.clip(up.astype(int), 0, ROWS - 1), np.clip(across.astype(int), 0, COLUMNS - 1)] = True


class Path(NamedTuple):
    """A path to be named: its name, its points (n,) with their steps (n,), and the cells it crosses."""

    name: str
    x: Array
    y: Array
    step: Array
    cells: Array


def place_names(paths: Sequence[Path], marks: Array, window: Window) -> list[Place | None]:
    """Find a place beside every path where its name covers nothing and stands nearer to no other path.

    Turns of a path come first, in the order of its steps, then its other points.

    Args:
        paths: those of the picture.
        marks: (k, 2) points with a mark on them, which names leave free.
        window: x_low, x_high, y_low, y_high.

    Returns:
        for each path a place, None where there is none.
    """
    marked = np.zeros((ROWS, COLUMNS), bool)
    for column, row in zip(*_cells(marks[:, 0], marks[:, 1], window), strict=True):
        c, r = int(column), int(row)
        marked[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = True
    crossed = np.sum([path.cells for path in paths], axis=0, initial=0) if paths else np.zeros_like(marked)
    placed: list[Place | None] = []
    for path in paths:
        box = _free(path, _sums(marked | (crossed > 0)), _sums(marked | (crossed > path.cells)), window)
        if box is None:
            placed.append(None)
            continue
        left, right, bottom, top, step = box
        marked[int(bottom) : int(np.ceil(top)), int(left) : int(np.ceil(right))] = True
        low_x, high_x, low_y, high_y = window
        placed.append(
            Place(
                low_x + (left + right) / 2 / COLUMNS * (high_x - low_x),
                low_y + (bottom + top) / 2 / ROWS * (high_y - low_y),
                int(step),
            )
        )
    return placed


def _free(path: Path, taken: Array, others: Array, window: Window) -> tuple[float, ...] | None:
    """Return the first free box for a name, in cells: left, right, bottom, top, and the step of its point."""
    at = _points(path)
    across, up = _cells(path.x[at], path.y[at], window)
    wide = _LETTER * len(path.name)
    # Above, below, on the right, on the left of the point.
    left = np.stack([across - wide / 2, across - wide / 2, across + _NEAR, across - _NEAR - wide], axis=1)
    bottom = np.stack([up + _NEAR, up - _NEAR - _TALL, up - _TALL / 2, up - _TALL / 2], axis=1)
    boxes = np.stack([left, left + wide, bottom, bottom + _TALL], axis=-1).reshape(-1, 4)
    inside = (boxes[:, [0, 2]] >= 0).all(axis=1) & (boxes[:, 1] <= COLUMNS) & (boxes[:, 3] <= ROWS)
    free = inside & (_count(taken, boxes) == 0)
    for alone in _ALONE:
        good = np.flatnonzero(free & (_count(others, boxes + alone * np.array([-1, 1, -1, 1])) == 0))
        if len(good):
            return (*boxes[good[0]].tolist(), float(path.step[at[good[0] // 4]]))
    return None


def _points(path: Path) -> Array:
    """Return the points of a path beside which its name is tried: its turns first, then some of all."""
    move = np.diff(np.stack([path.x, path.y]), axis=1)
    turn = np.flatnonzero((move[:, 1:] * move[:, :-1] < 0).any(axis=0)) + 1
    every = np.arange(len(path.x))[:: max(1, len(path.x) // _MOST)]
    return np.concatenate([turn[:_MOST], every])


def _sums(cells: Array) -> Array:
    """Return how many cells are set below and to the left of every corner, (ROWS + 1, COLUMNS + 1)."""
    return np.pad(cells.astype(np.int32), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)


def _count(sums: Array, boxes: Array) -> Array:
    """Return how many of the set cells boxes (n, 4) touch, of left, right, bottom, top in cells."""
    left, bottom = (
        np.clip(np.floor(boxes[:, k]), 0, most).astype(int) for k, most in ((0, COLUMNS), (2, ROWS))
    )
    right, top = (np.clip(np.ceil(boxes[:, k]), 0, most).astype(int) for k, most in ((1, COLUMNS), (3, ROWS)))
    counts: Array = sums[top, right] - sums[bottom, right] - sums[top, left] + sums[bottom, left]
    return counts
