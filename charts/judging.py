"""What the judges of predictions share: which answer a measured thing is nearest to, and the tables that a tab draws."""

from collections.abc import Sequence, Set

import numpy as np

from charts.figure import Figure, Frame
from charts.topic import Block


def nearest(value: float, candidates: Sequence[float], *, log: bool = False) -> int:
    """Return the place of the candidate that a number is nearest to; of equal ones the first.

    Args:
        value: what was measured, finite; not negative if ``log``.
        candidates: what the answers say, in their order.
        log: whether closeness is one of ratios, in which 0 is infinitely far from all but 0.
    """
    at, places = np.array(value, float), np.asarray(candidates, float)
    same = places == at
    if log:
        with np.errstate(divide="ignore"):
            at, places = np.log(at), np.log(places)
    with np.errstate(invalid="ignore"):
        return int(np.argmin(np.where(same, 0.0, np.abs(places - at))))


def closest(found: Set[str], answers: Sequence[Set[str]]) -> int:
    """Return the place of the set that differs from what was found in the fewest members; of equal ones the first."""
    return min(range(len(answers)), key=lambda k: len(answers[k] ^ found))


def table(blocks: Sequence[Block], name: str, figure: str = "") -> Frame:
    """Return a table of the first figure among the blocks of a tab, or of the first whose name ends as told.

    Raises:
        StopIteration: there is no such figure.
        KeyError: it has no such table.
    """
    return next(b for b in blocks if isinstance(b, Figure) and b.name.endswith(figure)).data[name]
