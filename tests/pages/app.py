"""What the tests of the pages share: opening a page by a link, reading what it shows, moving its controls."""

import json
import logging
from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
import pyarrow as pa
from streamlit.testing.v1 import AppTest

from charts.topic import Topic

ROOT = Path(__file__).parents[2]

logging.getLogger("streamlit").setLevel(logging.ERROR)  # it warns that there is no browser


def start(query=None) -> AppTest:
    """Prepare the app with the parameters of a link, a dictionary of texts or lists of texts."""
    at = AppTest.from_file(ROOT / "app.py", default_timeout=30)
    for name, value in (query or {}).items():
        at.query_params[name] = value
    return at


def visit(topic: Topic, query=None) -> AppTest:
    """Open a page by a link as the first thing in a session."""
    return start(query).switch_page(f"pages/{topic.name}.py").run()


def charts(at):
    return [element.proto for element in at.get("vega_lite_chart")]


def tables(at, number=0):
    """Return the data sets of a chart as the browser gets them."""
    found = {}
    for data in charts(at)[number].datasets:
        found[data.name] = pa.ipc.open_stream(data.data.data).read_all().to_pandas()
    return found


def spec(at, number=0):
    return json.loads(charts(at)[number].spec)


def toolbars(at):
    """Return what each figure's toolbar holds for the browser: links, Markdown, and a file that was asked for."""
    found = [element.proto for element in at.get("bidi_component")]
    return [json.loads(proto.json) for proto in found if proto.component_name == "layerwise_toolbar"]


def link(at):
    """Return the parameters of the link that the page offers for copying."""
    return parse_qs(toolbars(at)[0]["link"].split("?", 1)[1], keep_blank_values=True)


def address(at):
    """Return the page's own parameters that the address is to hold."""
    (told,) = (
        json.loads(element.proto.json)
        for element in at.get("bidi_component")
        if element.proto.component_name == "layerwise_history"
    )
    return parse_qs(told["query"], keep_blank_values=True)


def values(at, topic: Topic):
    """Return the values that the page says it shows."""
    found, problems = topic.parse(link(at))
    assert problems == []
    return found


def texts(at):
    """Return everything that the page renders as Markdown."""
    kinds = (at.markdown, at.caption, at.info, at.warning, at.error, at.title, at.header, at.subheader)
    return [element.value for kind in kinds for element in kind]


def control(at, topic: Topic, name):
    """Return the control of a knob."""
    key = topic.key(name)
    kinds = (at.slider, at.select_slider, at.selectbox, at.multiselect, at.toggle, at.segmented_control)
    for kind in (*kinds, at.text_input):
        for widget in kind:
            if widget.key == key:
                return widget
    raise KeyError(key)


def press(at, label):
    """Press the button whose label begins so."""
    (button,) = [b for b in at.button if b.label.startswith(label)]
    return button.click().run()


def shows(at, topic: Topic, expected):
    """Check that a page draws exactly what the topic makes of some values, without an error."""
    assert not at.exception, [e.value for e in at.exception]
    view = topic.view(expected)
    drawn = tables(at)
    for name, frame in view.figure.data.items():
        if name not in view.figure.ghosts:
            same(drawn[name], frame)
    assert any(view.reading == element.value for element in at.markdown)
    assert charts(at)[0].alt == view.figure.alt
    assert {**spec(at), "datasets": None} != {"datasets": None}
    assert values(at, topic) == topic.settle(expected)


def same(drawn: pd.DataFrame, frame: pd.DataFrame):
    assert list(drawn.columns) == list(frame.columns)
    assert len(drawn) == len(frame)
    for column in frame:
        if pd.api.types.is_numeric_dtype(frame[column]):
            pd.testing.assert_series_equal(
                drawn[column].astype(float), frame[column].astype(float), check_names=False, check_index=False
            )
        else:
            assert list(drawn[column].astype(str)) == list(frame[column].astype(str))
