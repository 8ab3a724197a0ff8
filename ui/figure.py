"""A figure on a page: the constant specification with this run's data."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st

from charts.figure import Figure, Spec


def table(frame: pd.DataFrame) -> pa.Table:
    """Convert a frame for the browser: text as a dictionary, NaN as null.

    Column by column, for ``Table.from_pandas`` spends more on looking at a small frame than on its cells.
    """
    columns = {}
    for name in frame.columns:
        values = frame[name].array
        if isinstance(values, pd.Categorical):
            labels = pa.array(list(values.categories), pa.string())
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(values.codes.astype("int32")), labels)
        else:
            columns[name] = pa.array(np.asarray(values), from_pandas=True)
    return pa.table(columns)


@lru_cache(maxsize=128)
def _spec(build: Callable[[int], Spec], width: int) -> Spec:
    return build(width)


def draw(
    figure: Figure,
    width: int,
    key: str,
    on_click: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Draw a figure into a column of ``width`` pixels.

    Args:
        figure: what to draw; its specification is reused, so the browser only takes the new data.
        width: of the column, in pixels.
        key: identity of the chart on the page.
        on_click: called with the clicked datum when the figure has a click selection.
    """
    chart: dict[str, Any] = {
        **_spec(figure.build, width),
        "datasets": {name: table(frame) for name, frame in figure.data.items()},
    }
    if figure.click and on_click is not None:

        def clicked() -> None:
            state = st.session_state.get(key)
            points = state["selection"].get(figure.click) if state else None
            if points:
                on_click(dict(points[0]))

        st.vega_lite_chart(
            chart,
            width="content",
            on_select=clicked,
            selection_mode=[figure.click],
            key=key,
            alt=figure.alt,
        )
    else:
        st.vega_lite_chart(chart, width="content", key=key, alt=figure.alt)
