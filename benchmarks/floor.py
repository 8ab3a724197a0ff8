"""The floor of the interaction benchmark: a bare page with one slider and one of the app's figures.

Everything is computed before the first press: a change costs one script run, one chart and nothing else.
The link says what to draw: ``?page=dropout&knob=p&width=1040&stop=0.4&stop=0.5&drop_seed=1``.
"""

import sys
from importlib import import_module
from pathlib import Path

import streamlit as st

# Streamlit looks beside the script first, where benchmarks/core.py would stand for the package of that name.
sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
prepare = import_module("benchmarks.prepared").prepare

st.set_page_config(layout="wide")
query = {name: tuple(st.query_params.get_all(name)) for name in st.query_params}
page, knob, width = (query.pop(name)[0] for name in ("page", "knob", "width"))
stops = query.pop("stop")
drawn = prepare(page, knob, int(width), stops, tuple(sorted(query.items())))

chart, text, click = drawn[st.select_slider(knob, stops, key="floor")]
if click:
    st.vega_lite_chart(
        chart, width="content", key="main", alt=text, on_select="rerun", selection_mode=[click]
    )
else:
    st.vega_lite_chart(chart, width="content", key="main", alt=text)
