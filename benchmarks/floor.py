"""The floor of the interaction benchmark: a bare page with one control and one of the app's figures.

Everything is computed before the first press: a change costs one script run, one chart and nothing else.
The link says what to draw: ``?page=dropout&knob=p&width=1040&stop=0.4&stop=0.5&drop_seed=1``; the first stop is where
it begins. ``kind`` names another control than a slider. It stands in the sidebar, as in the app, so that the figure
has the same column; the configuration is the app's, whose folder both are served from.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import streamlit as st

# Streamlit looks beside the script first, where benchmarks/core.py would stand for the package of that name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
prepared = import_module("benchmarks.prepared")

st.set_page_config(layout="wide")
query = {name: tuple(st.query_params.get_all(name)) for name in st.query_params}
page, knob, width = (query.pop(name)[0] for name in ("page", "knob", "width"))
kind = query.pop("kind", ("slider",))[0]
stops = query.pop("stop")
offer = prepared.prepare(page, knob, int(width), stops, tuple(sorted(query.items())))


def _slider() -> str:
    return str(st.select_slider(knob, stops, key="floor"))


def _select() -> str:
    return str(st.selectbox(knob, offer.options, index=offer.options.index(offer.start), key="floor"))


def _segments() -> str:
    return str(st.segmented_control(knob, offer.options, default=offer.start, required=True, key="floor"))


def _toggle() -> str:
    return str(st.toggle(knob, value=offer.start == "true", key="floor")).lower()


def _chips() -> str:
    many = prepared.MANY
    return str(many.join(st.multiselect(knob, offer.options, default=offer.start.split(many), key="floor")))


CONTROLS: Mapping[str, Callable[[], str]] = {
    "slider": _slider,
    "select": _select,
    "segments": _segments,
    "toggle": _toggle,
    "chips": _chips,
}

with st.sidebar:
    stop = CONTROLS[kind]()
chart, text, click = offer.drawn[stop]
if click:
    st.vega_lite_chart(
        chart, width="content", key="main", alt=text, on_select="rerun", selection_mode=[click]
    )
else:
    st.vega_lite_chart(chart, width="content", key="main", alt=text)
