"""Kept results: a cache that is bounded by its entries and by their bytes, whatever visitors ask for."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial, update_wrapper
from threading import Lock
from types import FunctionType, MappingProxyType, MethodType, NoneType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

_Value = TypeVar("_Value")

_NUMBERS = frozenset({bool, int, float, NoneType, type})
_SMALL = 64  # bytes that an object counts for beside what it holds, about Python's own


def weigh(value: object) -> int:
    """Return about how many bytes a result holds, each object counted once.

    Arrays, tables, texts, containers and data classes are followed, and what a function has closed over: a view keeps
    its run that way. A view of an array counts for the array that it keeps alive, a table for eight bytes a cell, since
    it is weighed while a visitor waits.
    """
    seen: set[int] = set()
    waiting, total = [value], 0
    while waiting:
        it = waiting.pop()
        kind = type(it)
        if kind in _NUMBERS or id(it) in seen:
            continue
        seen.add(id(it))
        total += _SMALL
        if kind is str or kind is bytes:
            total += len(it)  # type: ignore[arg-type]
        elif isinstance(it, np.ndarray):
            if isinstance(it.base, np.ndarray):
                waiting.append(it.base)
            else:
                total += it.nbytes
        elif hasattr(kind, "iloc"):  # a table or a column of pandas, which is not known here
            total += 8 * int(it.size)  # type: ignore[attr-defined]
        else:
            waiting.extend(_held(it))
    return total


def _held(it: object) -> Iterable[object]:
    """Return what an object refers to, as far as it may hold results."""
    if isinstance(it, tuple | list | set | frozenset):
        return it
    if isinstance(it, dict | MappingProxyType):
        return it.values()
    if is_dataclass(it) and not isinstance(it, type):
        return [getattr(it, name) for name in it.__dataclass_fields__]
    if isinstance(it, FunctionType):
        return (
            *(cell.cell_contents for cell in it.__closure__ or () if _full(cell)),
            *(it.__defaults__ or ()),
        )
    if isinstance(it, partial):
        return (it.func, *it.args, *it.keywords.values())
    return (it.__self__,) if isinstance(it, MethodType) else ()


def _full(cell: Any) -> bool:
    """Say whether a closed-over name has a value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def freeze(value: object) -> None:
    """Make every array of a result read-only, through containers and data classes, for many share what is kept."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        it = waiting.pop()
        if id(it) in seen:
            continue
        seen.add(id(it))
        if isinstance(it, np.ndarray):
            it.flags.writeable = False
        elif isinstance(it, tuple | list | dict | MappingProxyType) or is_dataclass(it):
            waiting.extend(_held(it))


class Info(NamedTuple):
    """How full a cache is and how often it was of use; the first four as ``functools.lru_cache`` has them."""

    hits: int
    misses: int
    maxsize: int
    currsize: int
    bytes: int


class Kept(Generic[_Value]):
    """A function whose results are kept by its arguments, within so many entries and so many bytes.

    Their arrays become read-only. The longest unused leave first; the newest stays even if it is heavier than all that
    is allowed. Threads may share it: what two of them compute at the same time is kept once, and both get the one that
    was there first.
    """

    def __init__(self, function: Callable[..., _Value], entries: int, most: int) -> None:
        """Keep at most ``entries`` results of a function, of ``most`` bytes together."""
        update_wrapper(self, function)
        self._function, self._entries, self._most = function, entries, most
        self._found: OrderedDict[Hashable, tuple[_Value, int]] = OrderedDict()
        self._bytes = self._hits = self._misses = 0
        self._lock = Lock()

    def __call__(self, *args: Hashable, **named: Hashable) -> _Value:
        """Return what is kept for these arguments, which have to be hashable; computed now if nothing is."""
        key = _key(args, named)
        with self._lock:
            if key in self._found:
                self._hits += 1
                self._found.move_to_end(key)
                return self._found[key][0]
            self._misses += 1
        value = self._function(*args, **named)
        freeze(value)
        weight = weigh(value)
        with self._lock:
            value, _ = self._found.setdefault(key, (value, weight))
            self._found.move_to_end(key)
            self._settle()
        return value

    def grown(self, *args: Hashable, **named: Hashable) -> None:
        """Weigh a result anew that has changed since it was kept; nothing happens if it has left."""
        key = _key(args, named)
        with self._lock:
            found = self._found.get(key)
        if found is None:
            return
        weight = weigh(found[0])
        with self._lock:
            if self._found.get(key) is found:
                self._found[key] = (found[0], weight)
                self._settle()

    def _settle(self) -> None:
        """Let go of the longest unused until the rest fits."""
        self._bytes = sum(weight for _, weight in self._found.values())
        while len(self._found) > 1 and (len(self._found) > self._entries or self._bytes > self._most):
            self._bytes -= self._found.popitem(last=False)[1][1]

    def cache_info(self) -> Info:
        """Return how full the cache is."""
        with self._lock:
            return Info(self._hits, self._misses, self._entries, len(self._found), self._bytes)

    def cache_parameters(self) -> dict[str, int]:
        """Return the bounds, ``maxsize`` in entries and ``most`` in bytes."""
        return {"maxsize": self._entries, "most": self._most}

    def cache_clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._found.clear()
            self._bytes = self._hits = self._misses = 0


def _key(args: tuple[Hashable, ...], named: Mapping[str, Hashable]) -> Hashable:
    return (args, tuple(sorted(named.items()))) if named else args


MOST = 8_000_000  # bytes, where nothing else is said: some of the heaviest results, all of most


def keep(entries: int, most: int = MOST) -> Callable[[Callable[..., _Value]], Kept[_Value]]:
    """Return a decorator that keeps a function's results by its arguments, as ``functools.lru_cache`` does.

    It takes somewhat longer than that one, which knows no bytes: it is for results that may be large.

    Args:
        entries: how many results at most.
        most: how many bytes they may have together; a result alone may have more.
    """
    return lambda function: Kept(function, entries, most)
