"""Figures made beforehand, for the floor of the interaction benchmark: a script forgets, a module does not."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from charts.topic import Topic, Values
from core.knobs import Value
from ui.figure import table

Link = tuple[tuple[str, tuple[str, ...]], ...]
MANY = "|"  # between the choices of a knob that takes several, where a stop is one text


class Drawn(NamedTuple):
    """What one chart element takes: specification with data, alternative text, click selection."""

    chart: dict[str, Any]
    alt: str
    click: str


class Prepared(NamedTuple):
    """What the bare page offers and draws: every choice of its control, the chosen one, a figure for each stop."""

    options: tuple[str, ...]
    start: str
    drawn: Mapping[str, Drawn]


def topic_of(page: str) -> Topic:
    """Return the topic of a page."""
    topic: Topic = import_module(f"charts.{page}").TOPIC
    return topic


def written(topic: Topic, knob: str, value: Value) -> str:
    """Write a value of a knob as one text."""
    text = topic.knobs[knob].text(value)
    return text if isinstance(text, str) else MANY.join(text)


def read(topic: Topic, link: Mapping[str, Sequence[str]]) -> dict[str, Value]:
    """Return the values of a link that act.

    Raises:
        ValueError: something in the link cannot be used.
    """
    values, problems = topic.parse(link)
    if problems:
        raise ValueError("; ".join(problems))
    return topic.settle(values)


def after(topic: Topic, values: Values, knob: str, stop: str) -> dict[str, Value]:
    """Return the values after a control was set to a stop, those that follow it included, as the panel does it."""
    text = stop.split(MANY) if topic.knobs[knob].kind == "choices" else stop
    changed: dict[str, Value] = {**values, knob: topic.knobs[knob].parse(text)}
    if knob in topic.depends:
        changed |= topic.complete(changed)
    return topic.settle(changed)


def draw(topic: Topic, values: Values, width: int) -> Drawn:
    """Make the whole main figure of some values."""
    figure = topic.view(values).figure
    data = {name: table(frame) for name, frame in figure.data.items()}
    # The alternative text is part of what Vega embeds: it must not change from stop to stop.
    return Drawn({**figure.spec(width), "datasets": data}, figure.alt, figure.click)


@lru_cache(maxsize=64)
def prepare(page: str, knob: str, width: int, stops: tuple[str, ...], link: Link) -> Prepared:
    """Return what to draw at some stops of one knob's control, the other values taken from a link."""
    topic = topic_of(page)
    values = read(topic, dict(link))
    drawn = {stop: draw(topic, after(topic, values, knob, stop), width) for stop in stops}
    choices = topic.offers(values).get(knob) or topic.knobs[knob].choices
    return Prepared(choices or stops, stops[0], drawn)
