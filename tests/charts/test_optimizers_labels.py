"""Names of paths inside the picture: beside their own path, over nothing."""

import numpy as np
import pytest

from charts import theme
from charts.optimizers import TOPIC
from charts.optimizers_labels import COLUMNS, ROWS, Path, place_names, trace

WINDOW = (-2.0, 2.0, 0.0, 10.0)


def path(name, points):
    x, y = np.array(points, float).T
    step = np.arange(len(x))
    return Path(name, x, y, step, trace(x, y, np.ones(len(x), int), WINDOW))


def dense(points, count=400):
    """Return many points of a polyline."""
    points = np.array(points, float)
    at = np.linspace(0, len(points) - 1, count)
    return np.stack([np.interp(at, np.arange(len(points)), points[:, k]) for k in (0, 1)], axis=1)


LINES = {
    "straight": [(-1.5, 2), (-0.5, 2), (0.5, 2), (1.5, 2)],
    "zigzag": [(-1.8, 8), (-0.6, 4), (0.3, 8), (1.2, 5)],
    "steep": [(1.7, 0.5), (1.7, 9)],
}


@pytest.mark.parametrize("line", LINES)
def test_a_trace_holds_every_cell_that_a_path_crosses(line):
    cells = trace(*np.array(LINES[line], float).T, np.ones(len(LINES[line]), int), WINDOW)
    x, y = dense(LINES[line]).T
    assert (
        cells[(y / 10 * ROWS).astype(int), ((x + 2) / 4 * COLUMNS).astype(int)].mean() > 0.9
    )  # corners may be cut
    assert cells.sum() < 3 * (COLUMNS + ROWS)


def test_pieces_are_not_joined():
    x, y = np.array([-1.5, -1.0, 1.0, 1.5]), np.full(4, 5.0)
    cells = trace(x, y, np.array([1, 1, 2, 2]), WINDOW)
    assert not cells[:, COLUMNS // 2].any()


def test_names_cover_no_path_no_mark_and_no_other_name():
    paths = [path(name, points) for name, points in LINES.items()]
    marks = np.array([[-1.5, 2.0], [1.2, 5.0]])
    places = place_names(paths, marks, WINDOW)
    assert all(places)
    boxes = []
    for each, place in zip(paths, places, strict=True):
        wide, tall = 0.5 * 6.0 * len(each.name) / 425 * 4, 0.5 * 12 / 330 * 10  # of the letters themselves
        for line in LINES.values():
            x, y = dense(line).T
            assert not ((np.abs(x - place.x) < wide) & (np.abs(y - place.y) < tall)).any(), each.name
        assert not ((np.abs(marks[:, 0] - place.x) < wide) & (np.abs(marks[:, 1] - place.y) < tall)).any()
        for x, y, w in boxes:
            assert abs(x - place.x) >= wide + w or abs(y - place.y) >= 2 * tall
        boxes.append((place.x, place.y, wide))
        assert -2 < place.x - wide < place.x + wide < 2


def test_a_name_without_room_is_left_out():
    x = np.linspace(-2, 2, 60)
    mesh = [
        path(str(k), [(u, y) for u, y in zip(x, np.where(np.arange(60) % 2, 10, 0), strict=True)])
        for k in range(2)
    ]
    assert place_names(mesh, np.empty((0, 2)), WINDOW) == [None, None]
    assert place_names([], np.empty((0, 2)), WINDOW) == []


def test_the_picture_names_its_paths_in_their_colors():
    data = TOPIC.view(TOPIC.defaults()).figure.data
    names, ends = data["names"], data["ends"].set_index("label").slot
    assert len(names) >= 2
    for row in names.itertuples():
        assert row.slot == ends[row.label]
    hidden = TOPIC.view(TOPIC.fill({"points": True})).figure.data["names"]
    assert list(hidden.label.astype(str)) == [""]


def test_marks_of_minima_lie_above_the_dots_of_the_paths():
    text = str(TOPIC.view(TOPIC.defaults()).figure.spec(1080))
    crosses, dots = text.rindex("'data': {'name': 'points'}"), text.rindex("'size': 140")
    assert crosses > dots
    assert f"'datum': {theme.PAPER}" in text
