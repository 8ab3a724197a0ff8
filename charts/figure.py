"""The Figure: what a page shows, a file holds, a link reproduces and a test checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeGuard

import altair as alt
import numpy as np
import pandas as pd

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
    row = frame.iloc[:1]
    return row.assign(shown=False) if "shown" in row else row


def rows(*parts: Mapping[str, object], **columns: object) -> pd.DataFrame:
    """Build a frame from columns, or from several parts with the same columns, one below the other.

    A scalar repeats over its part. Text becomes categorical, numbers keep their type. Made column by column in
    NumPy: a figure is redrawn at every key press, and joining frames of pandas takes ten times as long.
    """
    pieces = parts or (columns,)
    lengths = [max((len(v) for v in part.values() if _is_column(v)), default=1) for part in pieces]
    data: dict[str, object] = {}
    for name in pieces[0]:
        column = np.concatenate([_stretch(part[name], n) for part, n in zip(pieces, lengths, strict=True)])
        if column.dtype.kind == "U":
            labels, codes = np.unique(column, return_inverse=True)
            data[name] = pd.Categorical.from_codes(codes, labels.tolist())
        else:
            data[name] = column
    return pd.DataFrame(data, copy=False)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table from its head and the cells of each line."""
    ruler = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ruler, *lines))


def _is_column(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple | np.ndarray | range) and np.ndim(value) == 1


def _stretch(value: object, length: int) -> np.ndarray:
    """Return a column as it is, a scalar as often as its part has rows."""
    array = np.asarray(value)
    return array if array.ndim else np.broadcast_to(array, (length,))


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


def assemble(chart: alt.TopLevelMixin, config: Mapping[str, object]) -> Spec:
    """Turn an Altair chart over named data into a plain dictionary with the theme's sizes."""
    spec: Spec = chart.to_dict(validate=True)
    spec.pop("datasets", None)
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
    wanted: np.ndarray = np.clip(
        np.nan_to_num(np.asarray(positions, float), nan=low, posinf=high, neginf=low), low, high
    )
    if n < 2:
        return wanted
    gap = min(gap, (high - low) / (n - 1))
    order = np.argsort(wanted, kind="stable")
    placed = wanted[order]
    # Pool adjacent violators on the positions less their slots: the least movement that keeps the order.
    shifted = placed - gap * np.arange(n)
    blocks: list[list[float]] = []
    for value in shifted:
        blocks.append([value, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            other, count = blocks.pop()
            blocks.append([(mean * size + other * count) / (size + count), size + count])
    level = np.concatenate([np.full(int(size), mean) for mean, size in blocks])
    level = np.clip(level, low, high - gap * (n - 1))
    result: np.ndarray = np.empty(n)
    result[order] = level + gap * np.arange(n)
    return result
