"""Kept results: bounds, order, what a result weighs, and arrays that nobody can write into."""

import threading
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.kept import freeze, keep, weigh


@dataclass(frozen=True)
class Run:
    path: Any
    rest: Any = None


def test_the_longest_unused_leave_first():
    asked = []

    @keep(entries=2)
    def double(x: int, *, twice: bool = False) -> int:
        """Say twice."""
        asked.append(x)
        return 2 * x

    assert [double(1), double(2), double(1), double(3), double(1), double(2)] == [2, 4, 2, 6, 2, 4]
    assert asked == [1, 2, 3, 2]
    double(2, twice=True)
    assert asked == [1, 2, 3, 2, 2]
    info = double.cache_info()
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (2, 5, 2, 2)
    assert (double.__name__, double.__doc__) == ("double", "Say twice.")
    double.cache_clear()
    assert double.cache_info()[:4] == (0, 0, 2, 0)
    double(1)
    assert asked == [1, 2, 3, 2, 2, 1]


def test_bytes_are_bounded_and_the_newest_stays():
    @keep(entries=100, most=100_000)
    def zeros(count: int) -> np.ndarray:
        return np.zeros(count)

    for k in range(50):
        zeros(1000 + k)
        assert zeros.cache_info().bytes <= 100_000
    assert 10 <= zeros.cache_info().currsize <= 12  # of 8 kB each
    big = zeros(100_000)
    assert zeros.cache_info().currsize == 1
    assert zeros(100_000) is big
    zeros(10)
    assert zeros.cache_info().currsize == 1
    assert zeros.cache_info().bytes < 1000


def test_what_grows_is_weighed_anew():
    @keep(entries=10, most=100_000)
    def growing(name: str) -> list[Any]:
        return []

    growing("old").append(1)
    growing("new").append(np.zeros(20_000))
    assert growing.cache_info().currsize == 2
    growing.grown("new")
    assert growing.cache_info().currsize == 1
    assert len(growing("new")) == 1
    growing.grown("old")  # has left: nothing to weigh, nothing computed
    assert growing.cache_info().currsize == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_bytes_are_those_of_what_is_there(seed):
    rng = np.random.default_rng(seed)

    @keep(entries=6, most=30_000)
    def growing(name: int, *, twice: bool = False) -> list[Any]:
        return [np.zeros(int(rng.integers(1, 1500)))]

    for _ in range(200):
        name, twice = int(rng.integers(12)), bool(rng.integers(2))
        match rng.integers(5):
            case 0:
                growing(name, twice=twice).append(np.zeros(int(rng.integers(1, 900))))
                growing.grown(name, twice=twice)
            case 1:
                growing.grown(name, twice=twice)  # there or not, and as heavy as before
            case 2 if rng.random() < 0.05:
                growing.cache_clear()
            case _:
                growing(name, twice=twice)
        held = [weigh(value) for value, _ in growing._found.values()]
        info = growing.cache_info()
        assert (info.bytes, info.currsize) == (sum(held), len(held))
        assert len(held) <= 6
        assert info.bytes <= 30_000 or len(held) == 1


def test_who_computes_last_is_not_counted_twice():
    @keep(entries=5)
    def made(x: int, again: bool = True) -> np.ndarray:
        if again:
            inner.append(made(x, False))
            found.setdefault(x, made._function(x, False))
        return found.setdefault(x, np.zeros(1000))

    inner: list[Any] = []
    found: dict[int, Any] = {}
    made(1)
    made(1)
    assert made.cache_info().bytes == sum(weigh(value) for value, _ in made._found.values())
    assert made.cache_info().currsize == 2


def test_an_error_is_not_kept():
    asked = []

    @keep(entries=2)
    def fails(x: int) -> int:
        asked.append(x)
        if len(asked) < 2:
            raise ValueError(x)
        return x

    with pytest.raises(ValueError):
        fails(1)
    assert fails(1) == 1


def test_threads_get_the_same_object():
    gate = threading.Barrier(4)

    @keep(entries=2)
    def made(x: int) -> list[int]:
        gate.wait(timeout=10)  # all four compute at the same time
        return [x]

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(made(1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(each is found[0] for each in found)
    assert made.cache_info().currsize == 1
    assert made.cache_info().bytes == weigh([1])  # once, though four were made


_BIG = np.zeros(10_000)  # 80 kB


def _closed() -> Any:
    run = np.zeros(10_000)
    return lambda: run


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(10_000),
        np.zeros((100, 100))[::50],  # a view keeps the whole
        [np.zeros(5_000), np.zeros(5_000)],
        {"a": (np.zeros(10_000),)},
        MappingProxyType({"a": np.zeros(10_000)}),
        Run(np.zeros(10_000)),
        Run(1.0, Run(np.zeros(10_000))),
        [_BIG, _BIG, {"again": _BIG}],  # once
        _closed(),
        partial(max, np.zeros(10_000)),
        "x" * 80_000,
        pd.DataFrame({"x": np.zeros(5_000), "y": np.zeros(5_000)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_result_weighs(value):
    assert 80_000 <= weigh(value) <= 81_500


def test_a_circle_ends():
    around: list[Any] = [np.zeros(1000)]
    around.append(around)
    assert 8000 <= weigh(around) <= 8500
    freeze(around)
    assert not around[0].flags.writeable


def test_kept_arrays_are_read_only():
    @keep(entries=2)
    def run() -> Run:
        return Run(np.zeros(3), {"more": [np.zeros(2), (np.zeros(1),)]})

    found = run()
    for array in (found.path, found.rest["more"][0], found.rest["more"][1][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
