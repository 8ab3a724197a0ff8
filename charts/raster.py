"""Surfaces and class probabilities as pictures: one PNG data URI for a raster, line segments for the isolines and the paths."""

import base64
import io
from typing import NamedTuple

import contourpy
import numpy as np
from PIL import Image

from charts import theme

Array = np.ndarray
Window = tuple[float, float, float, float]

_STRONGEST = 0.38
_TINY = 1e-290


def grid(window: Window, size: int) -> tuple[Array, Array, Array]:
    """Return x (size,), y (size,) and the points (size, size, 2) of a window, rows from low y to high y."""
    x = np.linspace(window[0], window[1], size)
    y = np.linspace(window[2], window[3], size)
    return x, y, np.stack(np.meshgrid(x, y), axis=-1)


def depth(values: Array, lowest: float) -> Array:
    """Map losses to [0, 1] on a log scale above the lowest value, so that valleys keep their shape.

    The scale spans from the lowest 0.5 % of the values to the largest, at most seven decades. NaN stays NaN; ∞ is at
    the top and −∞ at the bottom.
    """
    above = np.asarray(values, float)
    with np.errstate(over="ignore"):  # from −1e308 to 1e308 is ∞, which is at the top
        above = np.subtract(above, lowest, out=above.copy(), where=np.isfinite(above))
    finite = above[np.isfinite(above)]
    top = float(finite.max()) if finite.size else 0.0
    if not top > 0:
        return np.where(np.isfinite(above), 0.0, np.where(above > 0, 1.0, np.where(above < 0, 0.0, np.nan)))
    if top < _TINY:  # seven decades lower there are no numbers
        above, finite, top = above / top, finite / top, 1.0
    floor = min(max(float(np.quantile(finite, 0.005)), top * 1e-7), top / 10)  # a plateau still stands out
    above = np.clip(above, floor, top)
    result: Array = np.clip(np.log(above / floor) / np.log(top / floor), 0.0, 1.0)
    return result


_STEPS = 48  # shades that are smooth to the eye and make a short file


def image(levels: Array) -> str:
    """Return levels in [0, 1], rows from low y to high y, as a PNG data URI whose opacity is the level.

    Where there is no number, the picture is hatched.
    """
    height, width = levels.shape
    hatched = np.add.outer(np.arange(height), np.arange(width)) % 6 < 2
    levels = np.where(np.isnan(levels), hatched.astype(float), levels)
    # A palette of one hue in as many opacities: a byte a pixel, and a tenth of the time of four.
    picture = Image.fromarray(np.round(levels[::-1] * _STEPS).astype(np.uint8), "P")
    picture.putpalette([int(theme.RASTER[i : i + 2], 16) for i in (1, 3, 5)] * (_STEPS + 1))
    opacity = bytes(np.round(np.arange(_STEPS + 1) / _STEPS * 255 * _STRONGEST).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, transparency=opacity)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_SHADES = 7  # of each class: with one for "no number", a pixel takes four bits
_FAINTEST_CLASS, _STRONGEST_CLASS = 0.10, 0.48


def two_class_image(probability: Array) -> str:
    """Return probabilities of class 1, rows from low y to high y, as a PNG data URI in two hues.

    The opacity grows with the distance from ½, in seven shades a class, the faintest of them visible: the hue
    changes at ½, which is the boundary. NaN is transparent.
    """
    hues = [[int(hue[i : i + 2], 16) for i in (1, 3, 5)] for hue in theme.CLASS_RASTER]
    shades = np.linspace(_FAINTEST_CLASS, _STRONGEST_CLASS, _SHADES)
    p = np.asarray(probability, float)[::-1]
    sure = np.nan_to_num(np.abs(2 * p - 1))
    index = np.minimum((sure * _SHADES).astype(np.uint8), _SHADES - 1) + 1 + _SHADES * (p > 0.5)
    picture = Image.fromarray(np.where(np.isnan(p), 0, index).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *(hues[0] * _SHADES), *(hues[1] * _SHADES)])
    opacity = bytes([0, *np.round(255 * np.tile(shades, 2)).astype(int)])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, bits=4, transparency=opacity)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_STRAIGHT = 0.0008  # of the window: a vertex nearer to its neighbors' chord than this cannot be seen


def _simpler(line: Array, span: Array) -> Array:
    """Drop vertices of a line (n, 2) that its neighbors' chord passes through, a few at a time."""
    for _ in range(6):
        before, here, after = line[:-2] / span, line[1:-1] / span, line[2:] / span
        chord, off = after - before, here - before
        length = np.hypot(*chord.T)
        apart = np.abs(chord[:, 0] * off[:, 1] - chord[:, 1] * off[:, 0]) / np.where(length > 0, length, 1)
        straight = (apart < _STRAIGHT) & (length > 0) & (length < 0.12)
        # Of neighbors only one goes, so that a slow bend is not taken for a straight line.
        drop = straight & (np.arange(len(straight)) % 2 == 0)
        if not drop.any():
            break
        line = line[np.concatenate([[True], ~drop, [True]])]
    return line


def thinned(points: Array, lengths: Array, within: Array) -> Array:
    """Say which vertices of lines are needed, so that no other lies further from what is drawn than it may.

    The ends stay. All lines are split at once, level by level, where a vertex is furthest from its chord.

    Args:
        points: (n, 2) vertices, line after line.
        lengths: (lines,) vertices of each line, at least 1.
        within: (2,) how far along x and along y a vertex may be from the lines through the rest, above 0; distances
            in both count as in an ellipse.

    Returns:
        (n,) whether the vertex stays.

    Source: Douglas and Peucker 1973, Cartographica 10.
    """
    scaled = points / within
    ends = np.cumsum(lengths) - 1
    kept = np.zeros(len(points), bool)
    first, last = ends - lengths + 1, ends
    kept[first] = kept[last] = True
    while True:
        open_ = last - first > 1
        first, last = first[open_], last[open_]
        if not len(first):
            return kept
        inner = last - first - 1
        begin = np.cumsum(inner) - inner
        chord = np.repeat(np.arange(len(first)), inner)
        vertex = np.arange(len(chord)) - begin[chord] + first[chord] + 1
        start, along = scaled[first], scaled[last] - scaled[first]
        off, along_ = scaled[vertex] - start[chord], along[chord]
        # From the piece between the ends, not from the line through them: a closed line has no other.
        square = np.einsum("ij,ij->i", along, along)
        share = np.einsum("ij,ij->i", off, along_) / np.where(square > 0, square, 1)[chord]
        off = off - np.clip(share, 0, 1)[:, None] * along_
        apart = np.einsum("ij,ij->i", off, off)
        far = np.maximum.reduceat(apart, begin)
        # The first of those that are furthest.
        split = np.full(len(first), len(points))
        furthest = np.flatnonzero(apart == far[chord])
        np.minimum.at(split, chord[furthest], vertex[furthest])
        open_ = far > 1
        first, split, last = first[open_], split[open_], last[open_]
        kept[split] = True
        first, last = np.concatenate([first, split]), np.concatenate([split, last])


def isolines(
    x: Array, y: Array, levels: Array, count: int, within: Array | None = None
) -> tuple[Array, Array, Array]:
    """Trace ``count`` isolines of a field of levels in [0, 1], without vertices that nobody could see.

    Args:
        x, y: (columns,) and (rows,), where the levels are.
        levels: (rows, columns).
        count: of isolines.
        within: (2,) how far a line may be from what is traced, along x and along y (``thinned``); without it about a
            thousandth of the field.

    Returns:
        x, y and line number of every vertex, three arrays of one length.
    """
    tracer = contourpy.contour_generator(x, y, np.ma.masked_invalid(levels))
    lines: list[Array] = [
        np.asarray(line)
        for level in np.arange(1, count + 1) / (count + 1)
        for line in tracer.lines(float(level))
        if len(line) > 3
    ]
    if not lines:
        return np.empty(0), np.empty(0), np.empty(0, int)
    if within is None:
        span = np.array([np.ptp(x), np.ptp(y)])
        lines = [_simpler(line, span) for line in lines]
    lengths = np.array([len(line) for line in lines])
    points, number = np.concatenate(lines), np.repeat(np.arange(len(lines)), lengths)
    if within is not None:
        kept = thinned(points, lengths, within)
        points, number = points[kept], number[kept]
    return points[:, 0], points[:, 1], number


def clip_path(path: Array, window: Window) -> tuple[Array, Array, Array, Array]:
    """Cut a path at the border of a window, exactly, without moving any point inside it.

    Args:
        path: (steps + 1, 2) points in order; the first that is not finite ends the path.
        window: x_low, x_high, y_low, y_high.

    Returns:
        points (m, 2); the step each belongs to (m,); the number of the unbroken piece (m,); and whether the
        point lies on the border, where the path leaves or comes back (m,).
    """
    finite = np.isfinite(path).all(axis=1)
    end = len(path) if finite.all() else int(np.argmin(finite))
    low = np.array([window[0], window[2]])
    high = np.array([window[1], window[3]])
    points: list[Array] = []
    steps: list[int] = []
    pieces: list[int] = []
    border: list[bool] = []

    def add(point: Array, step: int, piece: int, edge: bool) -> None:
        points.append(point)
        steps.append(step)
        pieces.append(piece)
        border.append(edge)

    inside = np.logical_and(path[:end] >= low, path[:end] <= high).all(axis=1).reshape(-1)
    if end and inside.all():
        return np.array(path[:end]), np.arange(end), np.ones(end, int), np.zeros(end, bool)
    piece = 0
    for step in range(end):
        if step > 0 and not (inside[step - 1] and inside[step]):
            start, move = path[step - 1], path[step] - path[step - 1]
            enter, leave = _cut(start, move, low, high)
            if enter.share <= leave.share:
                if not inside[step - 1]:
                    piece += 1
                    add(_on_border(start, move, enter), step, piece, True)
                if not inside[step]:
                    add(_on_border(start, move, leave), step, piece, True)
        if inside[step]:
            if step == 0:
                piece += 1
            add(path[step], step, piece, False)
    if not points:
        return np.empty((0, 2)), np.empty(0, int), np.empty(0, int), np.empty(0, bool)
    return np.clip(np.array(points), low, high), np.array(steps), np.array(pieces), np.array(border)


def shorten(start: Array, end: Array, window: Window) -> Array:
    """Return where moves from inside a window end, or where they cross its border: (n, 2), (n, 2) → (n, 2).

    Raises:
        ValueError: a start is outside the window.
    """
    low, high = np.array([window[0], window[2]]), np.array([window[1], window[3]])
    if not ((start >= low) & (start <= high)).all():
        raise ValueError("a move to be shortened needs to start inside the window")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        move = end - start
        room = np.where(move > 0, high - start, low - start) / np.where(move == 0, 1, move)
        share = np.minimum(np.where(move == 0, 1, room).min(axis=1, keepdims=True), 1)
        result: Array = np.clip(np.where(share < 1, start + share * move, end), low, high)
    return result


class _Crossing(NamedTuple):
    """Where a segment meets a box: the share of the way, and the coordinate that the border it meets fixes."""

    share: float
    axis: int = 0
    border: float | None = None


def _cut(start: Array, move: Array, low: Array, high: Array) -> tuple[_Crossing, _Crossing]:
    """Return where a segment enters a box and leaves it; it misses if the share of enter is the larger (Liang, Barsky 1984)."""
    enter, leave = _Crossing(0.0), _Crossing(1.0)
    for axis in range(2):
        if move[axis] == 0:
            if not low[axis] <= start[axis] <= high[axis]:
                return _Crossing(1.0), _Crossing(0.0)
            continue
        near, far = (low[axis], high[axis]) if move[axis] > 0 else (high[axis], low[axis])
        with np.errstate(over="ignore"):  # a move of almost nothing meets the border after ∞ of it
            first = _Crossing((near - start[axis]) / move[axis], axis, near)
            last = _Crossing((far - start[axis]) / move[axis], axis, far)
        enter, leave = max(enter, first, key=_share), min(leave, last, key=_share)
    return enter, leave


def _share(crossing: _Crossing) -> float:
    return crossing.share


def _on_border(start: Array, move: Array, crossing: _Crossing) -> Array:
    """Return the point of a crossing; its border's coordinate is exact, which start + share · move is not after a long way."""
    point: Array = start + crossing.share * move
    if crossing.border is not None:
        point[crossing.axis] = crossing.border
    return point
