"""What the tests of the figures share: the topics, random legal values, and a walk through a specification."""

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from charts import activations, batchnorm, dropout, initialization, optimizers
from charts.figure import Figure
from charts.optimizers_base import METHODS, own
from charts.topic import Block, Scenario, Tab, Topic, View
from core.knobs import Knob, Value

TOPICS: tuple[Topic, ...] = tuple(
    module.TOPIC for module in (activations, initialization, batchnorm, dropout, optimizers)
)
BY_NAME: Mapping[str, Topic] = {topic.name: topic for topic in TOPICS}
SCENARIOS: tuple[tuple[Topic, Scenario], ...] = tuple((t, s) for t in TOPICS for s in t.scenarios)

# Knobs that are allowed to change the specification, and knobs whose upper end costs seconds of computing.
RESHAPING: Mapping[str, frozenset[str]] = {
    "activations": frozenset({"curvature"}),
    "initialization": frozenset({"scale"}),
}
COSTLY: Mapping[str, Mapping[str, float]] = {
    "initialization": {"width": 96, "seeds": 4, "batch": 8, "depth": 40},
    "optimizers": {"fair_horizon": 100, "rot_horizon": 200, "land_layers": 12},
    "dropout": {"depth_width": 64, "depth_layers": 30, "nonlin_width": 96},
}

# Knobs of a tab that trains networks, half a second a value: left alone where many values are drawn.
SLOW: Mapping[str, tuple[str, ...]] = {
    "initialization": (
        *("remedies", "remedy_scheme", "remedy_batch", "branch_scale", "clip_norm"),
        *("symmetry", "symmetry_constant", "noise", "symmetry_lr", "symmetry_units"),
        *("train_depth", "train_problem", "train_rate", "exponent_width"),
        *("phase_w2", "phase_b2", "phase_angle", "phase_layers"),
    ),
    "batchnorm": (
        *("eval_weight", "eval_steps", "eval_order", "size_view"),
        *("net_view", "net_layers", "net_rate", "net_scale", "net_activation", "net_batch"),
    ),
    "optimizers": (
        *("basin_optimizer", "basin_factor", "basin_steps", "basin_reach", "basin_size"),
        *(
            "fair_pair",
            "fair_view",
            "rot_rates",
            "land_view",
            "land_layers",
            "land_seed",
            "batch_view",
            "batch_well_lr",
        ),
    ),
    "dropout": (
        *("ens_layers", "ens_decay", "ens_view", "reg_view"),
        *("reg_points", "reg_noise", "reg_width", "reg_rows", "reg_twin"),
    ),
    "activations": (
        *("hidden", "data", "lr", "bias", "dead_batch", "hidden_layers"),
        *("trained", "problem", "train_lr", "train_layers", "train_seed"),
    ),
}

# What may be typed into a knob that takes a text.
TEXTS: Mapping[str, tuple[str, ...]] = {
    "formula": ("x^2 + 2y^2", "sin(x)cos(y)", "3", "abs(x) + exp(y) - 1/x")
}

WIDE_AND_NARROW = (1040, 360)
HEX = re.compile(r"#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b")


def top(topic: Topic, knob: Knob) -> float:
    """Return the largest value of a knob that a test can afford."""
    return COSTLY.get(topic.name, {}).get(knob.name, knob.high)


def draw(knob: Knob, rng: np.random.Generator, high: float | None = None) -> Value:
    """Draw a legal value: often an end of the range, else anything between; choices in any order and number."""
    if knob.kind == "bool":
        return bool(rng.integers(2))
    if knob.kind == "choice":
        return str(rng.choice(knob.choices))
    if knob.kind == "text":
        return str(rng.choice(TEXTS[knob.name]))
    if knob.kind == "choices":
        count = rng.integers(0, (knob.most or len(knob.choices)) + 1)
        return tuple(str(name) for name in rng.permutation(knob.choices)[:count])
    low, high = knob.low, knob.high if high is None else high
    kind = rng.integers(4)
    if kind == 0:
        value = (low, high)[rng.integers(2)]
    elif kind == 1 and low > 0:
        value = np.exp(rng.uniform(np.log(low), np.log(high)))
    else:
        value = rng.uniform(low, high)
    value = min(max(float(value), low), high)
    return int(value) if knob.kind == "int" else value


def random_values(topic: Topic, seed: int, affordable: bool = False) -> dict[str, Value]:
    """Return every knob's value, about half of them drawn, the others at their defaults."""
    rng = np.random.default_rng([seed, len(topic.name)])
    values = topic.defaults()
    for name, knob in topic.knobs.items():
        value = draw(knob, rng, top(topic, knob) if affordable else None)
        if rng.random() < 0.5 and not (affordable and name in SLOW.get(topic.name, ())):
            values[name] = value
    for name, offered in topic.offers(values).items():
        if offered and values[name] not in offered:
            values[name] = offered[0]
    if affordable:
        for name, high in COSTLY.get(topic.name, {}).items():
            values[name] = min(values[name], type(values[name])(high))  # type: ignore[type-var, call-arg, arg-type]
    return values


def others(topic: Topic, knob: Knob, value: Value) -> list[Value]:
    """Return a few legal values of a knob that differ from ``value``; all of them if it is a choice."""
    found = _others(topic, knob, value)
    return found[:2] if knob.name in SLOW.get(topic.name, ()) else found


def _others(topic: Topic, knob: Knob, value: Value) -> list[Value]:
    if knob.kind == "bool":
        return [not value]
    if knob.kind == "text":
        return [text for text in TEXTS[knob.name] if text != value]
    if knob.kind == "choice":
        return [name for name in knob.choices if name != value]
    if knob.kind == "choices":
        full = knob.choices[: knob.most or None]
        return [v for v in ((), full, full[-1:], full[::-1]) if v != value]
    high = top(topic, knob)
    middle = np.sqrt(knob.low * high) if knob.low > 0 else (knob.low + high) / 2
    wanted = [int(v) if knob.kind == "int" else float(v) for v in (knob.low, middle, high)]
    return [v for v in wanted if v != value]


def showing(topic: Topic, name: str) -> dict[str, Value] | None:
    """Return values beside which the panel shows a knob: the defaults, or up to three choices away from them."""
    paths: list[dict[str, Value]] = [{}]
    for _ in range(4):
        for given in paths:
            if name in topic.shown(topic.fill(given)):
                return topic.fill(given)
        paths = [further for given in paths for further in _one_choice_away(topic, given)]
    return None


def _one_choice_away(topic: Topic, given: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Yield the choices next to some: at first all, then those that the last choice has brought with it."""
    *before, last = given or ("",)
    asked = frozenset(topic.knobs)
    if last:
        without = {knob: given[knob] for knob in before}
        asked = topic.shown(topic.fill(given)) - topic.shown(topic.fill(without))
    for knob in (topic.knobs[name] for name in topic.knobs if name in asked):
        if knob.kind in ("choice", "choices"):
            for choice in knob.choices:
                yield {**given, knob.name: (choice,) if knob.kind == "choices" else choice}
    numbers = [
        k for k in topic.knobs.values() if k.kind == "int" and k.name in topic.shown(topic.fill(given))
    ]
    for knob in topic.knobs.values():  # a quantity that is off
        if not given and knob.kind == "float" and knob.default == knob.low == 0:
            yield {knob.name: knob.high}
    if len(given) == 2:
        yield from ({**given, knob.name: int(knob.high)} for knob in numbers)


# All knobs in every test of every knob, or each of them in one of two such tests, which is what a run has time for.
THOROUGH = bool(os.environ.get("LAYERWISE_THOROUGH"))


def distinct(topic: Topic, turn: int = 0) -> list[str]:
    """Name a topic's knobs; of the settings that many optimizers have alike, those of the first that has each.

    ``turn``, 0 or 1, takes every second knob, unless the run is a thorough one.
    """
    again, seen = set(), set()
    for name, entry in METHODS.items():
        for knob in entry.knobs:
            again |= {own(name, knob.name), f"twin_{knob.name}"} if knob.name in seen else set()
            seen.add(knob.name)
    names = [name for name in topic.knobs if topic.name != "optimizers" or name not in again]
    return [name for k, name in enumerate(names) if THOROUGH or k % 2 == turn]


# Tabs that train for seconds: drawn once, in the default view, and by tests of their own.
HEAVY = frozenset(
    {
        ("initialization", "Train"),
        ("initialization", "Symmetry"),
        ("initialization", "Remedies"),
        ("batchnorm", "Network"),
        ("optimizers", "Basins"),
    }
)


_blocks: OrderedDict[int, tuple[View, dict[str, list[Block]]]] = OrderedDict()


def blocks(view: View, tab: Tab) -> list[Block]:
    """Return what a tab shows, drawn once for the views asked for last; holding the view keeps its identity."""
    kept = _blocks.setdefault(id(view), (view, {}))[1]
    _blocks.move_to_end(id(view))
    if len(_blocks) > 24:
        _blocks.popitem(last=False)
    if tab.name not in kept:
        kept[tab.name] = list(tab.blocks())
    return kept[tab.name]


def figures(view: View, heavy: bool = False, only: str = "") -> list[Figure]:
    """Return the main figure and those of every tab, of heavy ones only if asked for, or those of one tab."""
    page = view.figure.name.split("/")[0]
    tabs = [t for t in view.tabs if (heavy or (page, t.name) not in HEAVY) and only in ("", t.name)]
    found = [block for tab in tabs for block in blocks(view, tab)]
    folded = [block for fold in view.folds for block in fold.blocks()] if not only else []
    return [view.figure, *(block for block in [*found, *folded] if isinstance(block, Figure))]


def scenario_figures(topic: Topic, scenario: Scenario) -> list[Figure]:
    """Return the main figure of a scenario and the tab it opens; of the first scenario all tabs."""
    view = topic.view(topic.scenario_values(scenario))
    first = scenario is topic.scenarios[0]
    return figures(view, only="" if first else scenario.tab or "none")


def owner(view: View, values: Mapping[str, Value], name: str) -> str:
    """Name the tab that a knob belongs to beside these values; empty if it is one of the main figure."""
    return next((tab.name for tab in view.tabs if name in tab.shown(values)), "")


def pairs(one: View, other: View, tabs: bool = True, only: str = "") -> list[tuple[Figure, Figure]]:
    """Return the figures that two views of one topic have in common, the main one first; tabs may lack some."""
    if not tabs:
        return [(one.figure, other.figure)]
    theirs = {figure.name: figure for figure in figures(other, only=only)}
    return [(figure, theirs[figure.name]) for figure in figures(one, only=only) if figure.name in theirs]


class Mark(NamedTuple):
    """One unit of a specification: its data set ('' if it makes its own), mark, encodings and transforms."""

    data: str
    kind: str
    visible: bool
    encoding: Mapping[str, Any]
    transforms: tuple[Mapping[str, Any], ...]
    made: frozenset[str]

    def fields(self) -> set[str]:
        """Return every field of the data set that the unit reads; those it makes itself are left out."""
        found = set()
        for definition in definitions(self.encoding):
            if "field" in definition:
                found.add(definition["field"])
            if isinstance(definition.get("test"), str):
                found |= read(definition["test"])
        for transform in self.transforms:
            if "lookup" in transform:
                found.add(transform["lookup"])
                continue
            text = transform.get("filter") or transform.get("calculate")
            if not isinstance(text, str):
                raise AssertionError(f"a transform that this walk does not know: {transform}")
            found |= read(text)
        return found - self.made


def read(expression: str) -> set[str]:
    """Return the fields that a Vega expression reads."""
    return set(re.findall(r"datum\.(\w+)", expression)) | set(
        re.findall(r"datum\[['\"](\w+)['\"]\]", expression)
    )


def definitions(encoding: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every channel definition, those in lists and in conditions too."""
    for channel in encoding.values():
        for definition in channel if isinstance(channel, list) else [channel]:
            yield definition
            condition = definition.get("condition", [])
            yield from condition if isinstance(condition, list) else [condition]


def marks(node: Mapping[str, Any], inherited: Mapping[str, Any] | None = None) -> Iterator[Mark]:
    """Yield the units of a specification; data, encodings and transforms pass down to them."""
    if "repeat" in node or "facet" in node or "spec" in node:
        raise AssertionError("a composition that this walk does not know")
    state = dict(inherited or {"data": {}, "encoding": {}, "transform": ()})
    state["data"] = node.get("data", state["data"])
    state["encoding"] = {**state["encoding"], **node.get("encoding", {})}
    state["transform"] = (*state["transform"], *node.get("transform", ()))
    parts = [part for key in ("layer", "hconcat", "vconcat", "concat") for part in node.get(key, ())]
    for part in parts:
        yield from marks(part, state)
    if "mark" in node:
        if set(state["data"]) - {"name", "sequence"}:
            raise AssertionError(f"data within the specification: {state['data']}")
        made = {t["as"] for t in state["transform"] if "as" in t}
        for transform in state["transform"]:
            if "lookup" in transform:
                source = transform["from"]
                made |= set(source["fields"])
                read = [source["key"], *source["fields"]]
                yield Mark(
                    data=source["data"]["name"],
                    kind="lookup",
                    visible=False,
                    encoding={field: {"field": field, "type": "nominal"} for field in read},
                    transforms=(),
                    made=frozenset(),
                )
        if "sequence" in state["data"]:
            made.add(state["data"]["sequence"]["as"])
        mark = node["mark"]
        yield Mark(
            data=state["data"].get("name", ""),
            kind=mark if isinstance(mark, str) else mark["type"],
            visible=isinstance(mark, str) or mark.get("opacity", 1) != 0,
            encoding=state["encoding"],
            transforms=state["transform"],
            made=frozenset(made),
        )
