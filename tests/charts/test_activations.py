"""The main figure of the activations page: its numbers at the cursor, the room of its names, its labels."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from PIL import ImageFont

from charts import theme
from charts.activations import TOPIC, room_of
from core.activations import ACTIVATIONS
from core.knobs import number
from core.properties import second_derivative

FONT = ImageFont.truetype(
    str(Path("charts/fonts/LayerwiseSans-Regular.ttf")), 1000, layout_engine=ImageFont.Layout.BASIC
)
VERSION = "6.4"
STOPS = np.round(np.arange(-120, 121) * 0.05, 10)  # of the cursor


def own(name):
    return {knob.name: knob.default for knob in ACTIVATIONS[name].knobs}


def at_the_cursor(name, weight, z):
    """Return value, slope and curvature of f(wz)."""
    entry, knobs = ACTIVATIONS[name], own(name)
    bend = second_derivative(entry, weight * z, knobs)
    return entry.f(weight * z, **knobs), weight * entry.df(weight * z, **knobs), weight**2 * bend


@pytest.mark.parametrize("weight", [0.1, 4.0])
@pytest.mark.parametrize(
    "names", [("sigmoid", "tanh", "GELU", "Mish", "ELU", "SELU"), ("hard sigmoid", "GELU (tanh)", "sine")]
)
def test_the_numbers_at_the_cursor_are_written_as_everywhere(names, weight):
    figure = TOPIC.view(TOPIC.fill({"functions": names, "weight": weight})).figure
    drawn = vl_convert.vegalite_to_svg(figure.chart(900), vl_version=VERSION)
    texts = set(re.findall(r">([^<>]+)</text>", drawn))
    for name in names:
        value, slope, _ = at_the_cursor(name, weight, np.array([3.0]))
        for exact in (value, slope):
            assert {f"{name}  {number(float(exact[0]))}", f"{name} {number(float(exact[0]))}"} & texts, name


@cache
def needed(name):
    """Return the pixels of the longest label that a function has at any stop of the cursor, at any weight."""
    with np.errstate(all="ignore"):
        numbers = {
            number(float(v)) if np.isfinite(v) else "none"
            for weight in (0.1, 0.3, 1.0, 3.0, 10.0)
            for column in at_the_cursor(name, weight, STOPS)
            for v in column
        }
    return max(FONT.getlength(f"{name}  {text}") for text in numbers) * theme.TEXT_SIZE / 1000


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_name_has_room_with_every_number_at_the_cursor(name):
    assert needed(name) <= room_of([name])
    assert room_of([name, "ReLU"]) == room_of(["ReLU", name]) >= room_of(["ReLU"]) >= room_of([])


def test_no_room_is_larger_than_its_names_need():
    rooms = {room_of([name]) for name in ACTIVATIONS}
    for room in rooms:
        assert max(needed(name) for name in ACTIVATIONS if room_of([name]) == room) > 0.9 * room
    assert len(rooms) <= 4  # each has its own specification


def test_an_empty_choice_promises_no_numbers():
    empty, full = (TOPIC.view(TOPIC.fill({"functions": names})).figure for names in ((), ("ReLU",)))
    texts = [vl_convert.vegalite_to_svg(figure.chart(900), vl_version=VERSION) for figure in (empty, full)]
    assert ["numbers at z" in text for text in texts] == [False, True]
    assert ["slope under 1%" in text for text in texts] == [False, True]


def test_the_reading_speaks_of_the_slopes_where_the_cursor_starts():
    reading = TOPIC.view(TOPIC.defaults()).reading
    for name in TOPIC.defaults()["functions"]:
        slope = float(ACTIVATIONS[name].df(np.array([3.0]), **own(name))[0])
        assert f"{name} {number(slope**10)}" in reading.split("(slopes only")[0]
    assert "z = 3, where the cursor starts" in reading
    assert "step 0 (everywhere)" in TOPIC.view(TOPIC.fill({"functions": ("step",)})).reading
