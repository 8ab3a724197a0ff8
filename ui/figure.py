"""A figure on a page: the constant specification with this run's data."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from charts.figure import FEW, Column, Figure, Spec, Text, columns


def table(frame: pd.DataFrame) -> pa.Table:
    """Convert a frame for the browser: text as a dictionary where that is shorter, NaN as null.

    Column by column, for ``Table.from_pandas`` spends more on looking at a small frame than on its cells.
    """
    named = columns(frame)
    return pa.Table.from_arrays([_cells(column) for column in named.values()], names=list(named))


_SHORT = 8  # rows of text that take fewer bytes than the frame of a dictionary, some 200


def _cells(column: Column) -> pa.Array:
    if isinstance(column, Text) and len(column.codes) <= _SHORT:
        return pa.array([column.labels[k] for k in column.codes.tolist()], pa.string())
    if isinstance(column, Text):
        labels = _labels if len(column.labels) <= FEW else _labels.__wrapped__
        return pa.DictionaryArray.from_arrays(column.codes, labels(column.labels))
    return pa.array(column, from_pandas=True)


@lru_cache(maxsize=256)
def _labels(labels: tuple[str, ...]) -> pa.Array:
    return pa.array(labels, pa.string())


@lru_cache(maxsize=128)
def _spec(build: Callable[[int], Spec], width: int) -> Spec:
    return build(width)


def prepare(figure: Figure, width: int) -> None:
    """Do what can be done for a figure before anybody sees it."""
    _spec(figure.build, width)
    for frame in figure.data.values():
        table(frame)


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
