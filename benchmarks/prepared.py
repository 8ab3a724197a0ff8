"""Figures made beforehand, for the floor of the interaction benchmark: a script forgets, a module does not."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from charts.topic import Topic
from ui.figure import table

Link = tuple[tuple[str, tuple[str, ...]], ...]


class Drawn(NamedTuple):
    """What one chart element takes: specification with data, alternative text, click selection."""

    chart: dict[str, Any]
    alt: str
    click: str


@lru_cache(maxsize=64)
def prepare(page: str, knob: str, width: int, stops: tuple[str, ...], link: Link) -> Mapping[str, Drawn]:
    """Return what to draw at every stop of one knob's slider, the other values taken from a link."""
    topic: Topic = import_module(f"charts.{page}").TOPIC
    prepared = {}
    for stop in stops:
        query: dict[str, Sequence[str]] = {**dict(link), topic.key(knob): [stop]}
        values, problems = topic.parse(query)
        if problems:
            raise ValueError("; ".join(problems))
        view = topic.make(topic.settle(values))
        data = {name: table(frame) for name, frame in view.figure.data.items()}
        # The alternative text is part of what Vega embeds: it must not change from stop to stop.
        prepared[stop] = Drawn(
            {**view.figure.spec(width), "datasets": data}, view.figure.alt, view.figure.click
        )
    return prepared
