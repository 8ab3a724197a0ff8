"""The Figure: what a page shows, a file holds, a link reproduces and a test checks."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

import altair as alt
import numpy as np
import pandas as pd
from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]

Spec = dict[str, Any]
Part = dict[str, object]  # columns of some rows of a data set
Panel = Any  # one view of a figure; Altair's methods return unions that no caller can use

WIDE = 1080  # pixels the main column offers on a 1440-pixel screen
NARROW = 640  # below this, panels stack


@dataclass(frozen=True)
class Figure:
    """A chart whose specification is constant, with the data that change.

    ``build(width)`` returns the Vega-Lite specification for a column of that many pixels; it names its data
    sets and holds no data, no color and no number of this run, so that the browser redraws in place.
    ``data`` maps each named data set to its frame. ``caption`` states every parameter, ``key`` what each mark
    means where no label stands beside it, ``alt`` what a
    reader who cannot see it should know; it is constant too, for the browser takes it for a part of the chart, and the
    reading below the figure holds the numbers. ``ghosts`` maps a data set that holds a pinned run to the
    data set it is pinned from. ``click`` names the selection a click on the figure makes, if any. ``hint`` says what
    the mouse can do, on a page alone; ``play`` says that its scrubber may run by itself there.
    """

    name: str
    build: Callable[[int], Spec]
    data: Mapping[str, pd.DataFrame]
    title: str
    caption: str
    alt: str
    key: str = ""
    ghosts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    click: str = ""
    hint: str = ""
    play: bool = False

    def __post_init__(self) -> None:
        """Give every ghost a data set without visible rows, so that the specification can name it."""
        data = dict(self.data)
        for ghost, source in self.ghosts.items():
            data.setdefault(ghost, blank(data[source]))
        object.__setattr__(self, "data", data)

    def spec(self, width: int = WIDE) -> Spec:
        """Return the specification for a column of ``width`` pixels, without data."""
        return self.build(width)

    def pinned(self, other: "Figure") -> "Figure":
        """Return this figure with ``other``'s lines behind its own."""
        ghosts = {ghost: other.data[source] for ghost, source in self.ghosts.items()}
        return replace(self, data={**self.data, **ghosts})

    def chart(self, width: int = WIDE) -> Spec:
        """Return specification and data together, for a file."""
        frames = {
            name: frame.astype(object).where(frame.notna(), None).to_dict("records")
            for name, frame in self.data.items()
        }
        return {**self.spec(width), "datasets": frames}


def blank(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row of ``frame``: a line through one point draws nothing, and its scales stay as they are."""
    row = {
        name: column._replace(codes=column.codes[:1]) if isinstance(column, Text) else column[:1]
        for name, column in columns(frame).items()
    }
    if "shown" in row:
        row["shown"] = np.zeros(min(frame.shape[0], 1), bool)
    return _frame(row)


class Text(NamedTuple):
    """A column of text: ``labels[codes[i]]`` stands in row i. ``labels`` are sorted, as ``rows`` makes them."""

    codes: np.ndarray
    labels: tuple[str, ...]


Column = np.ndarray | Text


class _Made(pd.DataFrame):
    """A frame that knows the columns it was made from, until another is put in place of one.

    It is put together when something of pandas is first asked of it: what the browser gets is made from the columns
    alone. What is derived from it is a plain frame.
    """

    def __getattr__(self, name: str) -> Any:  # type: ignore[misc]  # final in its stubs, not in pandas
        """Put the frame together where pandas looks for what holds its cells."""
        own = vars(self)
        if name in _INSIDE and "_mgr" not in own and _COLUMNS in own:
            own.update(vars(_built(own[_COLUMNS])))
            return own[name]
        return super().__getattr__(name)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        own = vars(self)
        return super().shape if "_mgr" in own else (_length(own[_COLUMNS]), len(own[_COLUMNS]))

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set cells, and forget what the frame was made from."""
        _ = self._mgr
        vars(self).pop(_COLUMNS, None)
        super().__setitem__(key, value)


_INSIDE = frozenset({"_mgr", "_attrs", "_flags"})  # what a frame of pandas consists of


_COLUMNS = "_made_of"


def rows(*parts: Mapping[str, object], **columns: object) -> pd.DataFrame:
    """Build a frame from columns, or from several parts with the same columns, one below the other.

    A scalar repeats over its part. Text becomes categorical, numbers keep their type. Made column by column in
    NumPy: a figure is redrawn at every key press, and joining frames of pandas takes ten times as long.

    Raises:
        ValueError: the columns are not equally long.
    """
    pieces = parts or (columns,)
    lengths = [max((len(v) for v in part.values() if _is_column(v)), default=1) for part in pieces]
    return _frame({name: _joined([part[name] for part in pieces], lengths) for name in pieces[0]})


def columns(frame: pd.DataFrame) -> Mapping[str, Column]:
    """Return the columns of a frame; do not write into them.

    A frame that ``rows`` made has them at hand; pandas takes ten microseconds for each.

    Raises:
        ValueError: a text is missing; a figure has empty ones instead.
    """
    made: Mapping[str, Column] | None = vars(frame).get(_COLUMNS)
    if made is not None:
        return made
    found: dict[str, Column] = {}
    for name, series in frame.items():
        cells = series.array
        if isinstance(cells, pd.Categorical):
            if (cells.codes < 0).any():
                raise ValueError(f"{name} lacks a text")
            found[str(name)] = Text(cells.codes, tuple(cells.categories))
        else:
            found[str(name)] = np.asarray(cells)
    return found


def _joined(values: list[object], lengths: list[int]) -> Column:
    """Put the pieces of a column one below the other, scalars repeated."""
    if all(isinstance(v, str) for v in values):
        labels = tuple(sorted({str(v) for v in values}))
        if len(labels) == 1:
            return Text(np.zeros(sum(lengths), _code(1)), labels)
        codes = np.array([labels.index(str(v)) for v in values], _code(len(labels)))
        return Text(np.repeat(codes, lengths), labels)
    if all(isinstance(v, _SCALARS) for v in values):
        column = np.repeat(np.array(values), lengths)
    else:
        column = np.concatenate([_stretch(v, n) for v, n in zip(values, lengths, strict=True)])
    return _text(column.tolist()) if column.dtype.kind == "U" else column


_SCALARS = (int, float, np.generic)


def _text(cells: list[str]) -> Text:
    """Sort the labels of a column and write it by their numbers."""
    labels = tuple(sorted(set(cells)))
    code = {label: k for k, label in enumerate(labels)}
    return Text(np.fromiter(map(code.__getitem__, cells), _code(len(labels)), len(cells)), labels)


def _code(count: int) -> type[np.signedinteger[Any]]:
    """Return the type in which pandas numbers so many labels."""
    return np.int8 if count < 2**7 else np.int16 if count < 2**15 else np.int32


def _frame(made: dict[str, Column]) -> pd.DataFrame:
    """Build a frame without looking at its cells, and let it keep its columns."""
    cells = [column.codes if isinstance(column, Text) else column for column in made.values()]
    count = _length(made)
    for name, column in zip(made, cells, strict=True):
        if column.shape != (count,):
            raise ValueError(f"{name} has shape {column.shape} in a frame of {count} rows")
    if any(column.dtype.kind not in "biuf" for column in cells):  # nothing a figure should hold
        return pd.DataFrame({k: _categorical(v) if isinstance(v, Text) else v for k, v in made.items()})
    frame = object.__new__(_Made)
    vars(frame)[_COLUMNS] = made
    return frame


def _length(made: Mapping[str, Column]) -> int:
    """Return the rows of columns."""
    first = next(iter(made.values()), ())
    return len(first.codes) if isinstance(first, Text) else len(first)


def _built(made: Mapping[str, Column]) -> pd.DataFrame:
    """Put columns together to a frame of pandas; its constructor would go through all cells."""
    blocks = [
        (_categorical(column) if isinstance(column, Text) else column[None], np.array([k]))
        for k, column in enumerate(made.values())
    ]
    frame: pd.DataFrame = create_dataframe_from_blocks(
        blocks, index=pd.RangeIndex(_length(made)), columns=_header(tuple(made))
    )
    return frame


def _categorical(text: Text) -> pd.Categorical:
    return pd.Categorical.from_codes(text.codes, dtype=_labels(text.labels), validate=False)


def _labels(labels: tuple[str, ...]) -> pd.CategoricalDtype:
    """Return the type of a column with these labels, which pandas makes in a tenth of a millisecond.

    It is kept when asked for again, for many a text holds numbers of one run alone and would fill the cache.
    """
    if len(labels) > FEW:
        return pd.CategoricalDtype(list(labels))
    place = _place(labels)
    kept = place[-1] if place else None
    if kept is not None:
        return kept
    made = pd.CategoricalDtype(list(labels))
    place.append(made if place else None)  # nothing at first, the type from the second time on
    return made


FEW = 64  # labels that are worth keeping; more of them are texts of single rows


@lru_cache(maxsize=512)
def _place(_of: tuple[str, ...]) -> list[pd.CategoricalDtype | None]:
    return []


@lru_cache(maxsize=512)
def _header(names: tuple[str, ...]) -> pd.Index:
    return pd.Index(list(names))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table from its head and the cells of each line."""
    ruler = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ruler, *lines))


def _is_column(value: object) -> TypeGuard[Sequence[object]]:
    return value.ndim == 1 if isinstance(value, np.ndarray) else isinstance(value, list | tuple | range)


def _stretch(value: object, length: int) -> np.ndarray:
    """Return a column as it is, a scalar as often as its part has rows."""
    array = np.asarray(value)
    return array if array.ndim else np.full(length, array)


def bins(
    values: np.ndarray, low: float, high: float, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count finite values in equal bins.

    Returns:
        lower edges, upper edges and counts, each (count,).
    """
    counts, edges = np.histogram(values[np.isfinite(values)], bins=count, range=(low, high))
    return edges[:-1], edges[1:], counts


def named(data: str) -> alt.NamedData:
    """Refer to one of a figure's data sets."""
    return alt.NamedData(name=data)


def assemble(
    chart: alt.TopLevelMixin | Spec, config: Mapping[str, object], params: Sequence[Spec] = ()
) -> Spec:
    """Turn a chart over named data into a plain dictionary with the theme's sizes.

    Args:
        chart: of Altair, or put together by ``charts.compose``.
        config: the theme's.
        params: parameters of the whole, as ``charts.compose.parameter`` writes them.
    """
    spec: Spec = (
        {**chart, "$schema": alt.SCHEMA_URL} if isinstance(chart, dict) else chart.to_dict(validate=True)
    )
    spec.pop("datasets", None)
    if params:
        spec["params"] = [*spec.get("params", ()), *params]
    spec["autosize"] = {"type": "pad"}
    spec["config"] = {**config}
    return spec


def spread(positions: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Move label positions apart until they keep ``gap``, staying within [low, high] and in order.

    Args:
        positions: (n,) wanted positions, any order; not finite ones are put at ``low``.
        gap: smallest distance between two labels.
        low: lowest position allowed.
        high: highest position allowed.

    Returns:
        (n,) positions; if n labels do not fit, they share the interval evenly.
    """
    n = len(positions)
    wanted = [_within(float(p), low, high) for p in positions]
    if n < 2:
        return np.array(wanted, float)
    gap = min(gap, (high - low) / (n - 1))
    order = sorted(range(n), key=wanted.__getitem__)
    # Pool adjacent violators on the positions less their slots: the least movement that keeps the order.
    blocks: list[tuple[float, int]] = []
    for slot, k in enumerate(order):
        mean, size = wanted[k] - gap * slot, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    level = [mean for mean, size in blocks for _ in range(size)]
    result: np.ndarray = np.empty(n)
    for slot, k in enumerate(order):
        result[k] = min(max(level[slot], low), high - gap * (n - 1)) + gap * slot
    return result


def _within(position: float, low: float, high: float) -> float:
    """Clip a position, and put one that is no number at ``low``."""
    return low if math.isnan(position) else min(max(position, low), high)
