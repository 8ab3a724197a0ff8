"""The Landscape tab: constant specifications, rows that can be drawn, and texts with the numbers of the run."""

import json
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import optimizers_landscape, theme
from charts.figure import Figure
from charts.optimizers_base import KNOBS as PAGE
from charts.optimizers_base import complete
from charts.optimizers_landscape import (
    LAND_KNOBS,
    LAZY,
    MINIMUM,
    ONE,
    SLICES,
    SWAPPED,
    WIDTH,
    land_blocks,
    land_shown,
)
from core.knobs import number
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
NARROW = WIDE_AND_NARROW[1]
KNOBS = {knob.name: knob for knob in LAND_KNOBS}
VIEWS = KNOBS["land_view"].choices
BASE = {name: knob.default for name, knob in {**PAGE, **KNOBS}.items()}
CASES = (
    {},
    {
        "surface": "Himmelblau", "land_units": 2, "land_data": "xor", "land_lr": 1.0, "land_samples": 2, "land_layers": 1,
        "land_activation": "step", "land_angle": 90,
    },
    {
        "surface": "Saddle", "start_x": 40.0, "start_y": -50.0, "land_through": MINIMUM, "land_units": 6, "land_lr": 0.001,
        "land_samples": 32, "land_layers": 1, "land_activation": "ReLU", "land_angle": 180,
    },
)  # fmt: skip
every_view = pytest.mark.parametrize("view", VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    # The widest networks cost a second and add nothing to what is tested here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers_landscape, "_WIDTHS", (2, 4, 8))
        patch.setattr(optimizers_landscape, "_WIDTH_STEPS", 60)
        patch.setattr(optimizers_landscape, "_SWAP_STEPS", 150)
        optimizers_landscape._widths.cache_clear()
        optimizers_landscape._swapped.cache_clear()
        yield
    optimizers_landscape._widths.cache_clear()
    optimizers_landscape._swapped.cache_clear()
    optimizers_landscape._width_spec.cache_clear()


def given(case):
    values = CASES[case]
    return {**BASE, **complete({"surface": values.get("surface", BASE["surface"])}), **values}


@cache
def blocks(view, case=0):
    return land_blocks({**given(case), "land_view": view})


def figure(view, case=0):
    (found,) = [block for block in blocks(view, case) if isinstance(block, Figure)]
    return found


def text(view, case=0):
    return "\n".join(block for block in blocks(view, case) if isinstance(block, str))


def test_every_knob_is_shown_by_some_view():
    shown = {name for view in VIEWS for name in land_shown({**BASE, "land_view": view})}
    assert shown == set(KNOBS)


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    specs = [figure(view, case).spec(NARROW) for case in range(len(CASES))]
    assert all(spec is specs[0] for spec in specs)
    written = json.dumps(specs[0])
    assert "datasets" not in specs[0]
    assert not HEX.findall(written)
    assert len(written) < 26_000
    assert {mark.data for mark in marks(specs[0])} == set(figure(view).data)


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(NARROW)):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    for frame in drawn.data.values():
        assert 0 < len(frame) < 1500
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
    assert drawn.alt == figure(view).alt
    assert "NaN" not in text(view, case)


@every_view
def test_a_figure_draws(view):
    chart = figure(view, 1).chart(NARROW)
    chart["config"] = theme.print_config()
    picture = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
    assert float(re.search(r'width="([\d.]+)"', picture)[1]) < 1.15 * NARROW
    assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", picture)


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_can_be_cut(name):
    values = {**BASE, **complete({"surface": name}), "surface": name, "land_through": MINIMUM}
    _, drawn, said = land_blocks(values)
    assert max(map(len, drawn.data.values())) < 1500
    assert ("disproves convexity**" in said) == (drawn.data["slice"].down.notna().sum() > 1)


def test_slices_say_what_bends():
    assert "no line was found that disproves convexity" in text(SLICES)
    assert "**56." in text(SLICES, 1)  # of Himmelblau's window
    assert "In **100%** of the window" in text(SLICES, 2)
    assert "the window’s center" in figure(SLICES, 2).caption, "the saddle has no minimum"


def test_a_custom_ridge_is_seen():
    values = {
        **BASE,
        "surface": "Your own f(x, y)",
        "formula": "-abs(x)",
        "land_through": "the window’s center",
    }
    assert "a ridge that second derivatives do not see" in land_blocks(values)[2]


def test_the_barrier_is_that_of_the_picture():
    ways = figure(SWAPPED).data["ways"]
    top = ways.y.max()
    assert f"halfway between the two the loss is **{number(top)}**" in text(SWAPPED)
    assert ways[ways.y == top].share.tolist() == [0.5]
    assert "eigenvalues −2 and 2" in text(SWAPPED)
    assert "makes 384 equal points" in text(SWAPPED)
    assert "The lowest" not in text(SWAPPED, 1), "two units are one pair"


def test_widths_tell_median_and_worst():
    runs, lines = (figure(WIDTH).data[name] for name in ("runs", "lines"))
    for width in (2, 4, 8):
        mine = runs.y[np.abs(np.log2(runs.width / width)) < 0.2]
        assert len(mine) == 20
        assert f"{width}: {number(mine.median())}, {number(mine.max())}" in text(WIDTH)
    assert lines.y.notna().all()


def test_small_steps_stand_on_the_linearized_network():
    moved = figure(LAZY).data["moved"]
    wide = moved[moved.width >= 64]
    np.testing.assert_allclose(wide.y, wide.theory, rtol=0.03)
    assert "the power −1.0;" in text(LAZY)
    assert "Here a poor start does persist" in text(LAZY, 2)
    assert "Little movement is not little learning" in text(LAZY)


def test_one_weight_tells_convex_from_not():
    assert "the cross-entropy **nowhere**" in text(ONE)
    assert re.search(r"squared error bends down at \*\*[1-9]", text(ONE))
    assert "it is infinite at" in text(ONE, 1)
    assert "does not make the loss of a single layer convex" in text(ONE, 2)
    assert "**nowhere** (it is infinite at all weights)" in text(ONE, 1)


@pytest.mark.parametrize("name", KNOBS["land_activation"].choices)
def test_one_weight_is_told_in_whole_sentences(name):
    said = land_blocks({**BASE, "land_view": ONE, "land_activation": name})[2]
    first, second = said.split(". ")[:2]
    assert re.search(r"the squared error bends down (at \*\*|\*\*nowhere)", first)
    assert second[0].isupper()
    assert ("not monotone" in first) == second.startswith("Being monotone")
