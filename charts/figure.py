"""The Figure: what a page shows, a file holds, a link reproduces and a test checks."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import altair as alt
import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Spec = dict[str, Any]
Part = dict[str, object]  # columns of some rows of a data set
Panel = Any  # one view of a figure; Altair's methods return unions that no caller can use

WIDE = 1080  # pixels the main column offers on a 1440-pixel screen
NARROW = 640  # below this, panels stack


class Text(NamedTuple):
    """A column of text: ``labels[codes[i]]`` stands in row i. ``labels`` are sorted, as ``rows`` makes them."""

    codes: np.ndarray
    labels: tuple[str, ...]

    def words(self) -> list[str]:
        """Return the texts row by row."""
        return [self.labels[code] for code in self.codes.tolist()]


Column = np.ndarray | Text


class Frame:
    """Columns of equal length: a data set of a figure. It answers as a frame of pandas does, once something asks.

    What a page draws and a file holds is made from the columns alone, which do not change. pandas is imported for the
    verdict on a prediction, for a measurement or a test, when it is first needed: that takes a fifth of a second, for
    which a first visitor would wait.
    """

    __slots__ = ("_frame", "_made")

    def __init__(self, made: Mapping[str, Column]) -> None:
        self._made = made
        self._frame: pd.DataFrame | None = None

    @property
    def made(self) -> Mapping[str, Column]:
        """The columns; do not write into them."""
        return self._made

    def numbers(self, name: str) -> np.ndarray:
        """Return a column of numbers; do not write into it.

        Raises:
            TypeError: it holds texts.
        """
        column = self._made[name]
        if isinstance(column, Text):
            raise TypeError(f"{name} holds texts")
        return column

    @property
    def nbytes(self) -> int:
        """Bytes of the cells, and of the texts that stand in them."""
        return sum(
            each.codes.nbytes + sum(map(len, each.labels)) if isinstance(each, Text) else each.nbytes
            for each in self._made.values()
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return _length(self._made), len(self._made)

    @property
    def pandas(self) -> "pd.DataFrame":
        """The frame of pandas with these columns, made once; do not write into it, but into a copy."""
        if self._frame is None:
            self._frame = _built(self._made)
        return self._frame

    def equals(self, other: "Frame | pd.DataFrame") -> bool:
        """Say whether another frame, be it of pandas, has the same columns: names, types, labels, cells."""
        return bool(self.pandas.equals(other.pandas if isinstance(other, Frame) else other))

    def __getattr__(self, name: str) -> Any:
        """Let pandas answer."""
        if name.startswith("_") or name == "pandas":  # what is missing there is no name of pandas
            raise AttributeError(name)
        return getattr(self.pandas, name)

    def __getitem__(self, key: Any) -> Any:
        """Return a column, or what else pandas finds by such a key."""
        return self.pandas[key]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the columns."""
        return iter(self._made)

    def __contains__(self, name: object) -> bool:
        """Say whether there is a column of this name."""
        return name in self._made

    def __len__(self) -> int:
        """Count the rows."""
        return _length(self._made)

    def __repr__(self) -> str:
        """Write the first and the last rows."""
        return repr(self.pandas)


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
    data: Mapping[str, Frame]
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
        return {**self.spec(width), "datasets": {name: _records(frame) for name, frame in self.data.items()}}


def first_row(frame: Frame, names: Sequence[str] | None = None) -> Frame:
    """Return the first row, of some columns or of all: a line through one point draws nothing and keeps its scales.

    Raises:
        KeyError: there is no such column.
    """
    made = {name: frame.made[name] for name in (frame.made if names is None else names)}
    return _frame(
        {
            name: column._replace(codes=column.codes[:1]) if isinstance(column, Text) else column[:1]
            for name, column in made.items()
        }
    )


def blank(frame: Frame) -> Frame:
    """Return the first row, hidden if rows of ``frame`` can be."""
    row = first_row(frame)
    return beside(row, shown=False) if "shown" in row else row


def beside(frame: Frame, /, **more: object) -> Frame:
    """Return a frame with more columns, or others in place of those of the same name; a scalar repeats."""
    return _frame({**frame.made, **{name: _joined([value], [len(frame)]) for name, value in more.items()}})


def rows(*parts: Mapping[str, object], **columns: object) -> Frame:
    """Build a frame from columns, or from several parts with the same columns, one below the other.

    A scalar repeats over its part. Text is written by the numbers of its labels, numbers keep their type. Made column
    by column in NumPy: a figure is redrawn at every key press, and joining frames of pandas takes ten times as long.

    Raises:
        ValueError: the columns are not equally long.
    """
    pieces = parts or (columns,)
    lengths = [max((len(v) for v in part.values() if _is_column(v)), default=1) for part in pieces]
    return _frame({name: _joined([part[name] for part in pieces], lengths) for name in pieces[0]})


def _records(frame: Frame) -> list[dict[str, Any]]:
    """Return the rows one by one, None where a number is missing."""
    cells: list[list[Any]] = []
    for column in frame.made.values():
        if isinstance(column, Text):
            cells.append(column.words())
        else:
            cells.append([None if cell != cell else cell for cell in column.tolist()])
    return [dict(zip(frame.made, row, strict=True)) for row in zip(*cells, strict=True)]


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


def _frame(made: Mapping[str, Column]) -> Frame:
    """Check columns and put them together."""
    count = _length(made)
    for name, column in made.items():
        cells = column.codes if isinstance(column, Text) else column
        if cells.shape != (count,):
            raise ValueError(f"{name} has shape {cells.shape} in a frame of {count} rows")
        if cells.dtype.kind not in "biuf":
            raise TypeError(f"{name} holds {cells.dtype}: a figure shows numbers and texts")
        cells.flags.writeable = False  # many visitors share what is kept
    return Frame(made)


def _length(made: Mapping[str, Column]) -> int:
    """Return the rows of columns."""
    column = next(iter(made.values()), ())
    return len(column.codes) if isinstance(column, Text) else len(column)


def _built(made: Mapping[str, Column]) -> "pd.DataFrame":
    """Put columns together to a frame of pandas."""
    import pandas as pd

    def cells(column: Column) -> Any:
        if isinstance(column, Text):
            kind = pd.CategoricalDtype(list(column.labels))
            return pd.Categorical.from_codes(column.codes, dtype=kind, validate=False)
        return column

    return pd.DataFrame(
        {name: cells(column) for name, column in made.items()}, index=pd.RangeIndex(_length(made))
    )


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
