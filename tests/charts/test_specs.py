"""Specifications: constant, without data and colors, with every field they read, and drawable."""

import io
import json
import re
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import vl_convert
from PIL import Image

from charts import theme
from charts.thumbnails import miniature
from tests.charts.topics import (
    BY_NAME,
    HEX,
    RESHAPING,
    SCENARIOS,
    THOROUGH,
    TOPICS,
    WIDE_AND_NARROW,
    distinct,
    figures,
    marks,
    others,
    owner,
    pairs,
    random_values,
    scenario_figures,
    showing,
)
from ui.figure import table

VERSION = "6.4"

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
every_scenario = pytest.mark.parametrize(
    ("topic", "scenario"), SCENARIOS, ids=[f"{t.name}-{s.name}" for t, s in SCENARIOS]
)
every_width = pytest.mark.parametrize("width", WIDE_AND_NARROW)


def default_figures():
    """Return every figure of every default view, the thumbnails too."""
    drawn = [figure for topic in TOPICS for figure in figures(topic.view(topic.defaults()), heavy=True)]
    return [*drawn, *(miniature(topic) for topic in TOPICS)]


DEFAULTS = default_figures()
every_figure = pytest.mark.parametrize("figure", DEFAULTS, ids=lambda figure: figure.name)


def png(figure, width, frames=None):
    """Draw a figure to a PNG file, some data sets replaced by rows."""
    chart = figure.chart(width)
    chart["datasets"] = {**chart["datasets"], **(frames or {})}
    return vl_convert.vegalite_to_png(chart, vl_version=VERSION, scale=1)


def svg(figure, width, frames=None):
    chart = figure.chart(width)
    chart["datasets"] = {**chart["datasets"], **(frames or {})}
    return vl_convert.vegalite_to_svg(chart, vl_version=VERSION)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))


def differ(a, b):
    return a.shape != b.shape or bool(np.any(a != b))


# Constancy

# Knobs whose longer names take another specification, which makes room for them.
FITTED = {"activations": frozenset({"functions"})}


@pytest.mark.parametrize(
    ("topic", "name"),
    [(t, name) for t in TOPICS for name in distinct(t, 1)],
    ids=lambda v: v if isinstance(v, str) else v.name,
)
def test_a_knob_changes_data_never_the_specification(topic, name):
    base = showing(topic, name)
    before = topic.view(base)
    reshapes = name in RESHAPING.get(topic.name, ())
    tab = owner(before, base, name)
    for number, value in enumerate(others(topic, topic.knobs[name], base[name])[: 2 if THOROUGH else 1]):
        after = topic.view(topic.fill({**base, name: value}))
        assert before.figure.name == after.figure.name
        # Other values meet the tabs in the tests of random values.
        for one, other in pairs(before, after, tabs=number == 0 and bool(tab), only=tab):
            for width in WIDE_AND_NARROW:
                mine, theirs = one.spec(width), other.spec(width)
                equal = mine is theirs or json.dumps(mine) == json.dumps(theirs)
                assert equal == (mine == theirs)
                main = one.name == before.figure.name
                fitted = main and name in FITTED.get(topic.name, ())
                assert fitted or equal != (reshapes and main), f"{name} = {value!r}"
            assert set(one.data) == set(other.data)
            assert one.alt == other.alt  # to the browser it is a part of the chart


@every_topic
def test_specifications_are_the_same_object_again(topic):
    # Streamlit and the browser recognize a chart by its specification, and building one costs 20 ms.
    values = random_values(topic, 2, affordable=True)
    shaping = {*RESHAPING.get(topic.name, ()), *FITTED.get(topic.name, ())}
    values |= {name: topic.knobs[name].default for name in shaping}
    for one, other in pairs(topic.view(topic.defaults()), topic.view(values)):
        assert one.build == other.build
        assert one.spec(800) is one.spec(800)


# What a specification holds


@every_figure
@every_width
def test_a_specification_holds_no_data_and_no_color(figure, width):
    spec = figure.spec(width)
    text = json.dumps(spec)
    assert "datasets" not in spec
    assert not HEX.findall(text)
    assert "rgb" not in text
    for unit in marks(spec):  # refuses data within
        inks = [unit.encoding[channel] for channel in ("color", "fill", "stroke") if channel in unit.encoding]
        assert inks or not unit.visible or unit.kind == "image", "a mark without a slot has Vega's own blue"
        for ink in inks:
            assert "field" in ink or ink["datum"] in range(len(theme.INKS)), "a color is a slot"
    assert json.loads(text) == spec


@every_figure
@every_width
def test_data_sets_and_specification_name_each_other(figure, width):
    named = {unit.data for unit in marks(figure.spec(width))} - {""}
    assert named == set(figure.data)


@every_scenario
def test_every_field_exists_and_has_a_type(topic, scenario):
    for figure in scenario_figures(topic, scenario):
        read = {}
        for unit in marks(figure.spec()):
            if not unit.data:
                continue
            frame = figure.data[unit.data]
            missing = unit.fields() - set(frame.columns)
            assert not missing, f"{unit.data} has no {missing}"
            read.setdefault(unit.data, set()).update(unit.fields())
            for channel, definitions in unit.encoding.items():
                for definition in definitions if isinstance(definitions, list) else [definitions]:
                    if "field" not in definition:
                        continue
                    if channel not in ("x2", "y2"):  # these take the type of x and y
                        assert definition.get("type"), (
                            f"{channel} of {unit.data} has no type: nothing would be drawn"
                        )
                    if definition.get("type") == "quantitative" and definition["field"] not in unit.made:
                        assert pd.api.types.is_numeric_dtype(frame[definition["field"]]), definition["field"]
        for name, frame in figure.data.items():
            assert read[name], f"nothing of {name} is read"
            assert {"x", "y"} - set(frame.columns) or len(frame.dropna(how="all")), name


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_field_of_a_thumbnail_exists(topic):
    figure = miniature(topic)
    for unit in marks(figure.spec(300)):
        assert unit.fields() <= set(figure.data[unit.data].columns)


def test_the_walk_finds_a_misspelt_field():
    figure = BY_NAME["optimizers"].view(BY_NAME["optimizers"].defaults()).figure
    text = json.dumps(figure.spec()).replace('"field": "gap"', '"field": "gab"')
    found = [
        unit
        for unit in marks(json.loads(text))
        if unit.data and unit.fields() - set(figure.data[unit.data].columns)
    ]
    assert found


# Drawing


@every_scenario
def test_a_figure_compiles(topic, scenario):
    # Default figures are drawn at both widths below.
    width = WIDE_AND_NARROW[topic.scenarios.index(scenario) % 2]
    for figure in scenario_figures(topic, scenario):
        vega = vl_convert.vegalite_to_vega(figure.chart(width), vl_version=VERSION)
        assert {data["name"] for data in vega["data"]} >= set(figure.data)
        assert vega["marks"]


@every_figure
def test_a_figure_is_drawn(figure):
    picture = png(figure, 360)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    across, down = struct.unpack(">II", picture[16:24])
    assert 0.6 * 360 < across < 1.15 * 360
    assert 100 < down < 1400
    image = pixels(picture)
    assert image.shape == (down, across, 4)
    assert len(np.unique(image.reshape(-1, 4), axis=0)) > 20, "hardly anything is drawn"
    for width in WIDE_AND_NARROW if THOROUGH else (1040,):
        text = svg(figure, width)
        assert 0.6 * width < float(re.search(r'width="([\d.]+)"', text)[1]) < 1.15 * width
        # What a label says may be NaN, what is drawn may not.
        text = re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", text)
        for word in ("NaN", "Infinity", "undefined"):
            assert word not in text


@pytest.mark.parametrize("figure", DEFAULTS if THOROUGH else DEFAULTS[::3], ids=lambda figure: figure.name)
def test_only_the_data_make_the_picture(figure):
    # A misspelt data set would leave its layer empty without a word.
    visible = {unit.data for unit in marks(figure.spec()) if unit.visible}
    whole = svg(figure, 1040)
    checked = 0
    for name in sorted(visible & set(figure.data) - set(figure.ghosts)):
        if not _placeholder(figure.data[name]):
            assert whole != svg(figure, 1040, {name: []}), name
            checked += 1
    assert checked >= len(visible) / 2


def _placeholder(frame):
    """Tell a row that stands in for nothing: not shown, without a position, or without a word."""
    if len(frame) > 1:
        return False
    if "shown" in frame:
        return not frame.shown.iloc[0]
    texts = frame.select_dtypes(["category", "object", "string"]).astype(str).to_numpy().ravel()
    empty = len(texts) > 0 and not any(text not in ("", "nan") for text in texts)
    return empty or bool(frame.select_dtypes("number").isna().any(axis=None))


@pytest.mark.parametrize("figure", [f for f in DEFAULTS if f.ghosts], ids=lambda figure: figure.name)
def test_a_ghost_without_a_pin_draws_nothing(figure):
    for ghost, source in figure.ghosts.items():
        assert len(figure.data[ghost]) == 1
        drawn = figure.data[ghost].drop(columns="shown", errors="ignore")
        row = figure.data[source][list(drawn.columns)].iloc[:1]
        assert drawn.astype(object).equals(row.astype(object))
    nothing = {ghost: [] for ghost in figure.ghosts}
    assert not differ(pixels(png(figure, 1040)), pixels(png(figure, 1040, nothing)))


@every_topic
def test_a_pinned_run_is_drawn_behind(topic):
    name = {
        "activations": "weight",
        "initialization": "width",
        "batchnorm": "seed",
        "dropout": "p",
        "optimizers": "gd_lr",
    }
    knob = topic.knobs[name[topic.name]]
    here = topic.view(topic.defaults()).figure
    there = topic.view({**topic.defaults(), knob.name: others(topic, knob, knob.default)[1]}).figure
    pinned = here.pinned(there)
    for ghost, source in here.ghosts.items():
        assert pinned.data[ghost].equals(there.data[source])
    for data in set(here.data) - set(here.ghosts):
        assert pinned.data[data] is here.data[data]
    assert pinned.spec() is here.spec()
    assert svg(here, 1040) != svg(pinned, 1040)
    assert all(len(here.data[ghost]) == 1 for ghost in here.ghosts), "pinning changed the figure itself"


# Size


def payload(figure, skip=()):
    """Return the bytes that the browser gets."""
    total = 0
    for name, frame in figure.data.items():
        if name in skip:
            continue
        arrow = table(frame)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as writer:
            writer.write_table(arrow)
        total += sink.getvalue().size
    return total


@every_figure
def test_a_default_view_is_small(figure):
    size = payload(figure, skip=("raster",))
    print(f"{figure.name}: {size} bytes, {sum(map(len, figure.data.values()))} rows")
    assert size < 60_000
    assert max(map(len, figure.data.values())) <= 1_600
    mains = {topic.view(topic.defaults()).figure.name for topic in TOPICS}
    assert len(json.dumps(figure.spec())) < (18_000 if figure.name in mains else 26_000)


@pytest.mark.parametrize(
    "figure", [f for f in DEFAULTS if "raster" in f.data], ids=lambda figure: figure.name
)
def test_a_raster_is_one_small_picture(figure):
    (uri,) = figure.data["raster"].url
    assert uri.startswith("data:image/png;base64,")
    assert len(uri) < 12_000


@every_scenario
def test_no_scenario_sends_too_many_rows(topic, scenario):
    for figure in scenario_figures(topic, scenario):
        assert max(map(len, figure.data.values())) <= 1_600
        assert payload(figure, skip=("raster",)) < 80_000


@every_figure
def test_tables_keep_every_value(figure):
    for frame in figure.data.values():
        arrow = table(frame)
        assert arrow.column_names == list(frame.columns)
        assert arrow.schema.metadata is None
        for column in frame:
            back = arrow[column].to_pandas()
            if pd.api.types.is_numeric_dtype(frame[column]):
                np.testing.assert_array_equal(back.to_numpy(), frame[column].to_numpy())
            else:
                assert list(back.astype(str)) == list(frame[column].astype(str))


@every_figure
def test_a_file_holds_plain_numbers(figure):
    text = json.dumps(figure.chart(), allow_nan=False)
    chart = json.loads(text)
    assert set(chart["datasets"]) == set(figure.data)
    for name, frame in figure.data.items():
        assert len(chart["datasets"][name]) == len(frame)
        for column in frame.select_dtypes("number"):
            values = [row[column] for row in chart["datasets"][name]]
            expected = [None if pd.isna(v) else v for v in frame[column]]
            assert values == expected
    assert {k: v for k, v in chart.items() if k != "datasets"} == figure.spec()


@every_width
def test_titles_and_names_are_seen_beside_a_zoom(width):
    # Vega-Lite clips the marks of a view whose scales a zoom is bound to, unless they say otherwise.
    figure = BY_NAME["activations"].view(BY_NAME["activations"].defaults()).figure
    whole = pixels(png(figure, width))
    blank = figure.data["titles"].astype(str).replace(".+", " ", regex=True).to_dict("records")
    assert differ(whole, pixels(png(figure, width, {"titles": blank})))
    away = figure.data["ends"].assign(value_label=-1.0, slope_label=-0.1).to_dict("records")
    assert differ(whole, pixels(png(figure, width, {"ends": away})))
