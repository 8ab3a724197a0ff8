"""A figure on a page: the constant specification with this run's data."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st

from charts.figure import Column, Figure, Frame, Spec, Text


def table(frame: Frame) -> pa.Table:
    """Convert a frame for the browser: text as a dictionary where that is shorter, NaN as null.

    Out of the memory of its columns: whatever else makes an Arrow array of Python's or NumPy's imports pandas first.
    """
    return pa.Table.from_arrays([_cells(column) for column in frame.made.values()], names=list(frame.made))


_FEW = 64  # labels that are worth keeping; more of them are texts of single rows
_SHORT = 8  # rows of text that take fewer bytes than the frame of a dictionary, some 200


def _cells(column: Column) -> pa.Array:
    if not isinstance(column, Text):
        return _numbers(column)
    if len(column.codes) <= _SHORT:
        return _texts(column.words())
    labels = _kept(column.labels) if len(column.labels) <= _FEW else _texts(column.labels)
    return pa.DictionaryArray.from_arrays(_numbers(column.codes), labels)


def _numbers(column: np.ndarray) -> pa.Array:
    """Convert integers, truth values and floats, of which NaN is null."""
    missing = np.isnan(column) if column.dtype.kind == "f" else None
    lacks = int(np.count_nonzero(missing)) if missing is not None else 0
    there = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing is not None and lacks else None
    held = (
        np.packbits(column, bitorder="little") if column.dtype.kind == "b" else np.ascontiguousarray(column)
    )
    kind = pa.from_numpy_dtype(column.dtype)
    return pa.Array.from_buffers(kind, len(column), [there, pa.py_buffer(held)], lacks)


def _texts(texts: Sequence[str]) -> pa.Array:
    written = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, written)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(written), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(written))]
    )


@lru_cache(maxsize=256)
def _kept(labels: tuple[str, ...]) -> pa.Array:
    return _texts(labels)


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
