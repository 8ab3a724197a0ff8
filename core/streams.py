"""Random streams: one generator for each (seed, place), so that a longer run extends a shorter one."""

from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

_WORD = 2**32
_FEW = 20


def stream(seed: int, *place: int) -> np.random.Generator:
    """Return the generator of one place: ``stream(seed, layer)`` or ``stream(seed, step)``.

    The draws at one place do not depend on how many other places exist: depth 60 begins with the same
    50 layers as depth 50. Streams of different places are independent (NumPy's ``SeedSequence``).

    Args:
        seed: non-negative integer.
        place: any number of non-negative integers.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


def streams(seed: int, places: Iterable[tuple[int, ...]]) -> list[np.random.Generator]:
    """Return ``stream(seed, *place)`` for each place, all prepared together.

    Their draws are the same bit for bit. To begin a stream takes NumPy as long as a thousand normal numbers, so that
    many short ones are begun here at a third of the cost. These generators cannot ``spawn``.

    Args:
        seed: non-negative integer.
        places: tuples of one length, of non-negative integers.

    Raises:
        ValueError: a number is negative, or the places differ in length.
    """
    wanted = list(places)
    if len({len(place) for place in wanted}) > 1:
        raise ValueError("places of one length are needed")
    numbers = list(chain.from_iterable(wanted))
    if min((seed, *numbers)) < 0:
        raise ValueError("needs non-negative integers")
    # A few are begun sooner one by one; numbers of several words are left to NumPy.
    if len(wanted) < _FEW or seed >= _WORD**_POOL or max(numbers, default=0) >= _WORD:
        return [stream(seed, *place) for place in wanted]
    states = _states(seed, np.array(numbers, dtype=np.uint32).reshape(len(wanted), -1))
    return [np.random.Generator(np.random.PCG64(_Begun(words))) for words in states]  # type: ignore[arg-type]


# NumPy's SeedSequence, by M. E. O'Neill's seed_seq_fe, on all places at once. Its result is a part of NumPy's promise
# that streams stay as they are.
_POOL = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_LEFT, _RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF = np.uint32(16)
_Words = NDArray[np.uint32]


def _constants(first: int, factor: int, count: int) -> list[np.uint32]:
    """Return first·factorⁿ in one word, for n = 0 … count."""
    found = [first]
    for _ in range(count):
        found.append(found[-1] * factor % _WORD)
    return [np.uint32(number) for number in found]


def _hashed(value: _Words, before: np.uint32, after: np.uint32) -> _Words:
    value = (value ^ before) * after
    return value ^ (value >> _HALF)


def _mixed(x: _Words, y: _Words) -> _Words:
    value: _Words = _LEFT * x - _RIGHT * y
    return value ^ (value >> _HALF)


def _states(seed: int, places: _Words) -> NDArray[np.uint64]:
    """Return what PCG64 begins with at each place: (places, numbers) → (places, 4)."""
    words = [np.full(1, seed >> 32 * k & _WORD - 1, dtype=np.uint32) for k in range(_POOL)]
    keys = [np.ascontiguousarray(column) for column in places.T]
    constants = _constants(_INIT_A, _MULT_A, _POOL * (_POOL + len(keys)))
    turn = iter(pairwise(constants))
    pool = [_hashed(word, *next(turn)) for word in words]
    for source in range(_POOL):
        for target in range(_POOL):
            if target != source:
                pool[target] = _mixed(pool[target], _hashed(pool[source], *next(turn)))
    for key in keys:
        for target in range(_POOL):
            pool[target] = _mixed(pool[target], _hashed(key, *next(turn)))
    state = np.empty((len(places), 2 * _POOL), dtype=np.uint32)
    constants = _constants(_INIT_B, _MULT_B, 2 * _POOL)
    for k, (before, after) in enumerate(pairwise(constants)):
        state[:, k] = _hashed(pool[k % _POOL], before, after)
    return state[:, 0::2].astype(np.uint64) | state[:, 1::2].astype(np.uint64) << np.uint64(32)


class _Begun(ISeedSequence):
    """The words that a generator begins with, known already."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """Return the words, which are what PCG64 asks for."""
        return self._words
