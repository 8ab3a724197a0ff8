"""Kept results: a cache that is bounded by its entries and by their bytes, whatever visitors ask for."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import lru_cache, partial, update_wrapper
from threading import Lock
from types import FunctionType, MappingProxyType, MethodType, NoneType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from core.knobs import Knob

_Value = TypeVar("_Value")

# What counts for nothing: numbers, and what a module holds anyway.
_NOTHING = frozenset({bool, int, float, NoneType, type, Knob})
_PLAIN = _NOTHING | {str, bytes, FunctionType}  # holds no arrays that could be written
_SMALL = 64  # bytes that an object counts for beside what it holds, about Python's own


def weigh(value: object) -> int:
    """Return about how many bytes a result holds, each object counted once.

    Arrays, tables, texts, containers and data classes are followed, and what a function has closed over: a view keeps
    its run that way. A view of an array counts for the array that it keeps alive, a table of pandas for eight bytes a
    cell, since it is weighed while a visitor waits.
    """
    seen: set[int] = set()
    waiting, total = [value], 0
    while waiting:
        it: Any = waiting.pop()
        kind = type(it)
        if kind in _NOTHING or id(it) in seen:
            continue
        seen.add(id(it))
        total += _SMALL
        if kind is str or kind is bytes:
            total += len(it)
        elif (held := _holds(kind)) is not None:  # type: ignore[arg-type]
            waiting.extend(held(it))
        elif isinstance(it, np.ndarray):
            if isinstance(it.base, np.ndarray):
                waiting.append(it.base)
            else:
                total += it.nbytes
        elif hasattr(kind, "nbytes"):  # a table of a figure, which is not known here
            total += it.nbytes
        elif hasattr(kind, "iloc"):  # a table or a column of pandas
            total += 8 * math.prod(it.shape)
    return total


_Held = Callable[[Any], Iterable[object]]


@lru_cache(maxsize=256)
def _holds(kind: Any) -> _Held | None:
    """Return what tells the objects that one of this type refers to, as far as they may hold results; None if none.

    Asked by type, for the objects of a view are many and their types few.
    """
    if is_dataclass(kind):
        names = tuple(kind.__dataclass_fields__)
        return lambda it: [getattr(it, name) for name in names]
    return next((held for types, held in _HELD if issubclass(kind, types)), None)


def _closed_over(function: FunctionType) -> Iterable[object]:
    cells = function.__closure__ or ()
    return (*(cell.cell_contents for cell in cells if _full(cell)), *(function.__defaults__ or ()))


_CONTAINERS = (tuple, list, dict, MappingProxyType)
_HELD: tuple[tuple[type | tuple[type, ...], _Held], ...] = (
    ((tuple, list, set, frozenset), lambda it: it),
    ((dict, MappingProxyType), lambda it: it.values()),
    (FunctionType, _closed_over),
    (partial, lambda it: (it.func, *it.args, *it.keywords.values())),
    (MethodType, lambda it: (it.__self__,)),
)


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
        kind = type(it)
        if kind in _PLAIN or id(it) in seen:
            continue
        seen.add(id(it))
        if isinstance(it, np.ndarray):
            it.flags.writeable = False
        elif issubclass(kind, _CONTAINERS) or is_dataclass(kind):
            held = _holds(kind)
            waiting.extend(held(it) if held else ())


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
            found = self._found.get(key)
            if found is not None:
                self._hits += 1
                self._found.move_to_end(key)
                return found[0]
            self._misses += 1
        value = self._function(*args, **named)
        freeze(value)
        mine = value, weigh(value)
        with self._lock:
            kept = self._found.setdefault(key, mine)
            if kept is mine:
                self._bytes += mine[1]
            else:
                self._found.move_to_end(key)
            gone = self._settle()
        del gone  # a large result takes a while to go; nobody waits for that
        return kept[0]

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
                self._bytes += weight - found[1]
            gone = self._settle()
        del gone

    def _settle(self) -> list[_Value]:
        """Take out the longest unused until the rest fits, and return them."""
        gone = []
        while len(self._found) > 1 and (len(self._found) > self._entries or self._bytes > self._most):
            value, weight = self._found.popitem(last=False)[1]
            self._bytes -= weight
            gone.append(value)
        return gone

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
