"""Unit draws of random networks, kept while someone is likely to ask for them again.

Drawing is most of the work of a small run, and a control that moves depth, scheme, activation or bias needs the same
draws again. What is kept here is bounded by its bytes, whatever visitors ask for, and shared by all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from core.initializers import FAMILIES, FIXED, SEQUENTIAL
from core.streams import stream, streams

Array = NDArray[np.float64]
Draw = tuple[str, tuple[float, ...]]  # what two schemes must share to share a draw: family and options
Place = tuple[int, ...]  # of a stream, beyond the network
Key = tuple[Draw, int, Place, tuple[int, ...]]

NORMAL: Draw = ("normal", ())

_CHEAP = ("uniform",)  # drawn in a quarter of the time of a normal number, so that they leave first
_MOST_USES = 3  # that count
_SEEN = 8  # places of which the least used leaves
_FADING = 0.1  # how often one that was passed over loses a use
_LEAST = 64 * 1024  # bytes that a place counts for at least, so that there are not too many of them


@dataclass
class _Held:
    """Draws of one place for networks from 0 on, (networks, entries), and how often they were of use lately."""

    rows: Array
    uses: int


class Draws:
    """A store of unit draws, shared by threads.

    A place that is asked for with fewer networks, or in a sequential family with a smaller matrix, is the beginning of
    what is kept: moving the depth, or the width or the number of networks down, draws nothing anew. What leaves is the
    least used of a few at random. The longest unused would be the worst to let go: visitors take turns, and where
    their draws do not all fit, it is what will be asked for next.
    """

    def __init__(self, most: int, each: int) -> None:
        """Keep at most ``most`` bytes in all, and nothing of a place that takes more than ``each``."""
        self.most, self.each = most, each
        self.bytes = self.hits = self.misses = 0
        self._held: dict[Key, _Held] = {}
        self._lock = Lock()
        self._dice = Random(0)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()
            self.bytes = self.hits = self.misses = 0

    def kept(self) -> tuple[Array, ...]:
        """Return the arrays that are kept, (networks, entries) each."""
        with self._lock:
            return tuple(held.rows for held in self._held.values())

    def draw(
        self, draw: Draw, seed: int, networks: range, wanted: Sequence[tuple[Place, int, int]]
    ) -> list[Array]:
        """Draw a matrix of several networks at each of some places, from ``stream(seed, network, *place)``.

        Args:
            draw: the family, with the options of its unit draw.
            seed: non-negative integer.
            networks: consecutive indices of networks.
            wanted: places with the fan_in and fan_out of their matrices; the places are of one length.

        Returns:
            for each place (networks, fan_in, fan_out), read-only.
        """
        family, count = draw[0], len(networks)
        if family in FIXED:
            fixed = {fans: FAMILIES[family](*fans, stream(seed)) for fans in {(m, n) for _, m, n in wanted}}
            return [np.broadcast_to(fixed[m, n], (count, m, n)) for _, m, n in wanted]
        keys: list[Key] = [
            (draw, seed, place, () if family in SEQUENTIAL else (m, n)) for place, m, n in wanted
        ]
        found = self._find(keys, [m * n for _, m, n in wanted], networks)
        missing = [k for k, rows in enumerate(found) if rows is None or len(rows) < networks.stop]
        if missing:
            drawn = self._drawn(
                draw, seed, networks, [wanted[k] for k in missing], [found[k] for k in missing]
            )
            for k, new in zip(missing, drawn, strict=True):
                found[k] = new
            self._keep([(keys[k], new) for k, new in zip(missing, drawn, strict=True)], networks.stop)
        matrices = []
        for rows, (_, m, n) in zip(found, wanted, strict=True):
            assert rows is not None, "what was missing is drawn"
            first = networks.start if len(rows) >= networks.stop else 0  # of those drawn alone
            matrices.append(rows[first : first + count, : m * n].reshape(count, m, n))
        return matrices

    def _find(self, keys: Sequence[Key], sizes: Sequence[int], networks: range) -> list[Array | None]:
        """Return what is kept of each place, for fewer networks too if the next ones can be joined to them."""
        found: list[Array | None] = []
        with self._lock:
            for key, size in zip(keys, sizes, strict=True):
                held = self._held.get(key)
                if held is None or held.rows.shape[1] < size:
                    found.append(None)
                elif len(held.rows) >= networks.stop:
                    held.uses = min(held.uses + 1, 1 if key[0][0] in _CHEAP else _MOST_USES)
                    self.hits += 1
                    found.append(held.rows)
                    continue
                else:
                    joined = networks.stop * held.rows.shape[1] * held.rows.itemsize
                    fits = len(held.rows) >= networks.start and joined <= self.each
                    found.append(held.rows if fits else None)
                self.misses += 1
        return found

    def _drawn(
        self,
        draw: Draw,
        seed: int,
        networks: range,
        wanted: Sequence[tuple[Place, int, int]],
        known: Sequence[Array | None],
    ) -> list[Array]:
        """Draw places for these networks, (networks, entries); for all from 0 on where some are known already."""
        lacking = [range(networks.start if rows is None else len(rows), networks.stop) for rows in known]
        generators = iter(
            streams(
                seed, [(n, *place) for (place, *_), span in zip(wanted, lacking, strict=True) for n in span]
            )
        )
        drawn = []
        for (_, m, n), span, rows in zip(wanted, lacking, known, strict=True):
            new = np.empty((len(span), m * n if rows is None else rows.shape[1]))
            _fill(new, draw, (m, n), islice(generators, len(span)))
            drawn.append(new if rows is None else np.concatenate([rows, new]))
            drawn[-1].flags.writeable = False
        return drawn

    def _keep(self, drawn: Sequence[tuple[Key, Array]], stop: int) -> None:
        """Keep what begins with network 0 and is not too large, and let go of what was of no use."""
        with self._lock:
            for key, rows in drawn:
                if len(rows) < stop or rows.nbytes > self.each:
                    continue
                before = self._held.get(key)
                self.bytes += _weight(rows) - (_weight(before.rows) if before else 0)
                self._held[key] = _Held(rows, before.uses if before else 0)
            if self.bytes > self.most:
                self._settle()

    def _settle(self) -> None:
        """Let go of places until the rest fits."""
        keys = list(self._held)
        while self.bytes > self.most:
            seen = [int(self._dice.random() * len(keys)) for _ in range(_SEEN)]
            least = min(seen, key=lambda k: self._held[keys[k]].uses)
            for k in seen:
                if self._dice.random() < _FADING:
                    held = self._held[keys[k]]
                    held.uses = max(0, held.uses - 1)
            keys[least], keys[-1] = keys[-1], keys[least]
            self.bytes -= _weight(self._held.pop(keys.pop()).rows)


def _weight(rows: Array) -> int:
    return max(rows.nbytes, _LEAST)


def _fill(out: Array, draw: Draw, fans: tuple[int, int], generators: Iterator[np.random.Generator]) -> None:
    """Fill the rows of (networks, entries) with the unit draws of one generator each."""
    family, options = draw
    fill = SEQUENTIAL.get(family)
    for row, generator in zip(out, generators, strict=True):
        if fill is not None:
            fill(row, generator)
        else:
            row[:] = FAMILIES[family](*fans, generator, *options).ravel()
