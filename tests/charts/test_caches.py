"""Caches: each bounded by entries, results by bytes too, nothing in them can be written, a flood leaves memory level."""

import gc
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charts import topic as topic_module
from charts.topic import Topic
from core.kept import MOST, Kept, weigh
from tests.charts.topics import BY_NAME, TOPICS

ROOT = Path(__file__).parents[2]
MODULES = tuple(
    f"{folder}.{path.stem}"
    for folder in ("core", "charts", "ui")
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.stem not in ("__init__", "__main__")
)

# Caches without a bound, and why they cannot grow.
UNBOUNDED = {
    "charts.gallery._mask": "takes no argument",
    "charts.press.renderer": "takes no argument",
}

# Larger than what else is kept, each with its reason: views hold a third of a megabyte at most, the uniforms of one
# dropout unit 1.6.
HEAVY = {"charts.topic._growing": 24_000_000, "core.dropout._uniforms": 24_000_000}

# One control of each page that has many values, beside settings that are soon computed.
FLOODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "activations": ("weight", {"functions": ("ReLU",)}),
    "initialization": (
        "input_scale",
        {"schemes": ("He normal",), "depth": 2, "seeds": 1, "width": 16, "batch": 1},
    ),
    "batchnorm": ("mu", {"steps": 2, "batch_size": 2}),
    "dropout": ("p", {"masks": 10, "inputs": 2}),
    "optimizers": ("start_x", {"steps": 2, "optimizers": ("GD",)}),
}


_DECORATED = re.compile(r"^ *@(cache|lru_cache|keep)\b(.*)\n(?: *@.*\n)* *def (\w+)\((.*)", re.MULTILINE)


def caches() -> Iterator[tuple[str, Any]]:
    """Yield every cache that is a name of a module, once."""
    found: dict[int, tuple[str, Any]] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, value in vars(module).items():
            if isinstance(value, Kept | _lru_cache_wrapper) and value.__module__ == name:
                found.setdefault(id(value), (f"{name}.{attribute}", value))
    yield from found.values()


def arrays(value: Any) -> Iterator[np.ndarray]:
    """Yield the arrays that a result hands out."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        it = waiting.pop()
        if id(it) in seen:
            continue
        seen.add(id(it))
        if isinstance(it, np.ndarray):
            yield it
        elif isinstance(it, Mapping):
            waiting.extend(it.values())
        elif isinstance(it, list | tuple):
            waiting.extend(it)
        elif is_dataclass(it) and not isinstance(it, type):
            waiting.extend(getattr(it, each.name) for each in fields(it))


def test_every_cache_is_bounded():
    unbounded, bounded = set(), 0
    for module in MODULES:
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        text = re.sub(r"``.*?``", "", text)  # what is only mentioned
        assert not re.search(r"functools\.\w*cache|\bcached_property\b|import .*cache as|st\.cache", text), (
            module
        )
        for decorator, given, function, arguments in _DECORATED.findall(text):
            limit = re.match(r"\((?:maxsize|entries)=(\d+)", given)
            if limit:
                bounded += 1
                assert 0 < int(limit[1]) <= 1024, (module, function)
                continue
            assert decorator == "cache", (module, function)
            unbounded.add(f"{module}.{function}")
            if UNBOUNDED.get(f"{module}.{function}") == "takes no argument":
                assert arguments.startswith(")"), function
        # No other form than that: each one that is written is imported once or says how much it holds.
        for word in re.findall(r"\blru_cache\b.*", text):
            assert re.match(r"lru_cache(\(maxsize=\d+\)|$|, )", word), (module, word)
    assert bounded > 150
    assert unbounded == UNBOUNDED.keys()


def test_results_are_bounded_in_bytes():
    """What a flood of the largest settings could fill all caches of results with, beside texts and specifications."""
    kept = {name: cache for name, cache in caches() if isinstance(cache, Kept)}
    assert len(kept) > 100
    for name, cache in kept.items():
        assert cache.cache_parameters()["most"] == HEAVY.get(name, MOST), name
    assert HEAVY.keys() <= kept.keys()
    # Layers that are drawn have a store of their own.
    assert importlib.import_module("core.propagation")._DRAWS.most <= 64_000_000


def test_a_plain_cache_hands_out_nothing_large_or_writable(filled):
    """Those that know no bytes hold texts, numbers, specifications, or arrays that they made read-only themselves."""
    held = 0
    for name, cache in caches():
        if isinstance(cache, Kept):
            continue
        most = cache.cache_parameters()["maxsize"]
        results = [it for it in gc.get_referents(cache) if not callable(it)]
        for result in results:
            held += 1
            for array in arrays(result):
                assert not array.flags.writeable, name
            if most is not None:
                assert weigh(result) * most <= 64_000_000, name
    assert held > 20


def test_what_is_kept_cannot_be_written(filled):
    count = 0
    for name, cache in caches():
        if isinstance(cache, Kept):
            for result, _ in cache._found.values():
                for array in arrays(result):
                    count += 1
                    assert not array.flags.writeable, name
    assert count > 100


@pytest.fixture(scope="module")
def filled() -> None:
    """Draw every page, and of each the tabs that need no training."""
    tabs = {"activations": ("Signal", "Compare"), "batchnorm": ("Gap", "Backward", "Family"),
            "dropout": ("Nonlinearity", "Network", "Ensemble"), "initialization": ("Layers",),
            "optimizers": ("Step", "Curves", "Theory", "Averages", "Landscape")}  # fmt: skip
    for name, opened in tabs.items():
        view = BY_NAME[name].view(BY_NAME[name].defaults())
        for tab in view.tabs:
            if tab.name in opened:
                tab.blocks()


# A flood

MANY = 12  # views a part


def flood(topic: Topic, part: int, parts: int, count: int) -> None:
    """Draw that many views nobody has drawn before."""
    name, values = FLOODS[topic.name]
    knob = topic.knobs[name]
    low, high = max(knob.low, 0.01), min(knob.high, 5.0)
    for k in range(count):
        share = (part + (k + 0.5) / count) / parts
        topic.view(topic.fill({**values, name: low + (high - low) * share}))


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_flood_of_settings_leaves_memory_level(topic, monkeypatch):
    """Few views are kept here, so that a short flood is one: after the first, as many objects live as before."""
    few = Kept(topic_module._growing.__wrapped__, 4, MOST)
    monkeypatch.setattr(topic_module, "_growing", few)
    topic.view(topic.fill(FLOODS[topic.name][1]))
    held = []
    for part in range(3):
        flood(topic, part, 3, MANY)
        gc.collect()
        held.append(sys.getallocatedblocks())
    assert few.cache_info()[1:4] == (few.cache_info().misses, 4, 4)
    assert few.cache_info().misses >= 3 * MANY
    few.cache_clear()
    gc.collect()
    one = (held[2] - sys.getallocatedblocks()) / 4
    # Were views kept without end, MANY of them would have been added.
    assert held[2] - held[1] < 3 * one, (held, one)
