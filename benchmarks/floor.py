"""The floor of the interaction benchmark: a bare page with one slider and one of the app's figures.

Everything is computed before the first press: a change costs one script run, one chart and nothing else.
The link says what to draw: ``?page=dropout&knob=p&width=1040&stop=0.4&stop=0.5&drop_seed=1``.
"""

from functools import lru_cache
from importlib import import_module
from typing import Any

import streamlit as st

from charts.topic import Topic
from ui.figure import table


@lru_cache(maxsize=256)
def prepare(
    page: str, knob: str, width: int, stops: tuple[str, ...], link: tuple[tuple[str, tuple[str, ...]], ...]
) -> dict[str, tuple[dict[str, Any], str, str]]:
    """Return chart, alternative text and click selection for every stop of the slider."""
    topic: Topic = import_module(f"charts.{page}").TOPIC
    prepared = {}
    for stop in stops:
        values, problems = topic.parse({**dict(link), topic.key(knob): [stop]})
        assert not problems, problems
        view = topic.make(topic.settle(values))
        figure = view.figure
        data = {name: table(frame) for name, frame in figure.data.items()}
        prepared[stop] = ({**figure.spec(width), "datasets": data}, figure.alt + view.reading, figure.click)
    return prepared


st.set_page_config(layout="wide")
query = {name: tuple(st.query_params.get_all(name)) for name in st.query_params}
page, knob, width = (query.pop(name)[0] for name in ("page", "knob", "width"))
stops = query.pop("stop")
prepared = prepare(page, knob, int(width), stops, tuple(sorted(query.items())))

spec, text, click = prepared[st.select_slider(knob, stops, key="floor")]
if click:
    st.vega_lite_chart(
        spec, width="content", key="main", alt=text, on_select="rerun", selection_mode=[click]
    )
else:
    st.vega_lite_chart(spec, width="content", key="main", alt=text)
