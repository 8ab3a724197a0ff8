"""Limits of a host: a topic whose larger sizes are out of reach, the same for its controls, its links and its runs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from charts.topic import CUSTOM, Scenario, Topic, Values
from core.knobs import CAPS, Knob, Value

Limits = Mapping[str, int]  # kind of size, a key of CAPS → the most of it


@dataclass(frozen=True, eq=False)
class _Limited(Topic):
    """A topic that never leaves its knobs' ranges, whatever a link of the app or a dependent default asks for."""

    def fill(self, given: Values) -> dict[str, Value]:
        """Complete a partial set of values, none above its knob's range."""
        return _within(self.knobs, super().fill(given))


def limited(topic: Topic, limits: Limits) -> Topic:
    """Return a topic with its knobs capped; the topic itself if no cap reaches any of them.

    Ranges end at the caps and defaults are lowered. A scenario that asks for more runs with the cap and says so; one
    that comes to the same as an earlier one leaves the menu, and its name leads to that one.

    Args:
        topic: the topic as it is without limits.
        limits: kind of size, a key of ``CAPS`` → the most of it, 1 or more.

    Raises:
        KeyError: a kind of size that does not exist.
    """
    for kind in limits:
        CAPS[kind]
    knobs = {
        name: knob.limited(limits[knob.cap]) if knob.cap in limits else knob
        for name, knob in topic.knobs.items()
    }
    if not any(knob.capped for knob in knobs.values()):
        return topic
    whole = {each.name: getattr(topic, each.name) for each in fields(topic)}
    found = _Limited(
        **{
            **whole,
            "knobs": MappingProxyType(knobs),
            "complete": lambda given: _within(knobs, topic.complete(given)),
            "scenarios": tuple(_lowered(topic, knobs, scenario) for scenario in topic.scenarios),
        }
    )
    return replace(found, scenarios=_merged(topic, found))


def _within(knobs: Mapping[str, Knob], values: Values) -> dict[str, Value]:
    """Return the values with those that are above a capped knob's range at its end."""
    return {
        name: knobs[name].within(value) if knobs[name].capped else value for name, value in values.items()
    }


def _lowered(topic: Topic, knobs: Mapping[str, Knob], scenario: Scenario) -> Scenario:
    """Return a scenario within the knobs' ranges, which says what it has less of."""
    asked = topic.scenario_values(scenario)
    values = _within(knobs, asked)
    groups = topic.layout(asked)
    # What stands in tabs is told only by a scenario that sets it or leads into one.
    seen = {name for group in groups if scenario.tab or not group.resting for name in group.knobs}
    less = [
        f"{knob.label or name} {knob.text(values[name])} instead of {knob.text(asked[name])}"
        for name, knob in knobs.items()
        if values[name] != asked[name] and (name in seen or name in scenario.values)
    ]
    return replace(
        scenario,
        values=MappingProxyType(_within(knobs, scenario.values)),
        notice=f"{scenario.notice} Limited on this host: {', '.join(less)}." if less else scenario.notice,
    )


def _merged(topic: Topic, found: Topic) -> tuple[Scenario, ...]:
    """Return the scenarios of a limited topic without those that its caps have made equal to an earlier one."""
    same: dict[str, list[Scenario]] = {}
    for before, now in zip(topic.scenarios, found.scenarios, strict=True):
        first = found.scenario_of(found.scenario_values(now))
        if first in (now.name, CUSTOM) or topic.scenario_of(topic.scenario_values(before)) != now.name:
            same[now.name] = []
        else:
            same[first].append(now)
    return tuple(
        replace(
            scenario,
            notice=" ".join([scenario.notice, *(f"“{each.name}” shows the same here." for each in others)]),
            aliases=(
                *scenario.aliases,
                *(name for each in others for name in (each.name, *each.aliases)),
            ),
        )
        for scenario in found.scenarios
        if scenario.name in same
        for others in (same[scenario.name],)
    )
