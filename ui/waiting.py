"""Waiting for an experiment: quick ones show nothing, longer ones say how far they are, and the longest take turns."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import progress

# Seconds between the figure and everything else when a control has changed. The browser draws what arrives together
# in one go: sent at once, the text, its formulas and the controls would hold the figure up by half its time.
HEAD_START = 0.12
AWHILE = 0.03  # seconds after which an experiment shares the interpreter with short runs
SOON = 0.15  # seconds until a page says how far an experiment is
LONG = 0.4  # seconds after which an experiment needs a turn to go on
AT_ONCE = 2  # experiments of that length in this process; more would hold up everybody's sliders
_LOOK = 0.01  # seconds between looks whether a control has been changed meanwhile

# Whoever computes for long gives way to the short runs of others: between two reports it waits until the interpreter
# is free, at most so many times as long as it has worked since the last wait.
WAY = 4.0
_PIECE = 0.002  # seconds of work that are worth a look
_NAP = 0.001
_FREE = 0.0004  # seconds after a nap within which whoever has the interpreter to himself is back

# Seconds after which whoever computes hands the interpreter on, while somebody computes for long. A run of a page asks
# for it at every message that it sends, and at Python's own 5 ms would wait that long each time. Among short runs alone
# it is better kept: to hand it on costs, and makes all of them late.
_SHARED = 0.0005
_ALONE = 0.005

_turns = threading.BoundedSemaphore(AT_ONCE)
_sharing = 0  # how many do something that takes long
_sharers = threading.Lock()


@contextmanager
def sharing() -> Iterator[None]:
    """Hand the interpreter on more often while something is done that may take long.

    ``Waiting`` does so for what reports; what does not report is put inside where it is asked for.
    """
    global _sharing
    with _sharers:
        _sharing += 1
        sys.setswitchinterval(_SHARED)
    try:
        yield
    finally:
        with _sharers:
            _sharing -= 1
            if not _sharing:
                sys.setswitchinterval(_ALONE)


def look() -> None:
    """Let Streamlit end this run if a control has been changed since it began."""
    "_" in st.session_state  # noqa: B015


def rest(seconds: float) -> None:
    """Wait, unless a control is changed."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        look()


def give_way(worked: float) -> None:
    """Let others go first who want the interpreter now.

    Their runs are short. One that shared it with them evenly would make each of them twice as long, so it naps until it
    is back in no time, which says that nobody else is there.

    Args:
        worked: seconds of work since the last time; the wait is at most ``WAY`` times as long.
    """
    now = looked = time.perf_counter()
    end, nap = now + WAY * worked, 0.0  # at first only hand the interpreter on
    while now < end:
        began = now
        time.sleep(nap)
        now = time.perf_counter()
        if now - began - nap < _FREE:
            return
        nap = _NAP
        if now - looked > _LOOK:
            look()
            looked = now


class Waiting:
    """Listens to the experiments inside ``with``, and shows how far they are if they take a moment.

    Every report passes through Streamlit, which ends the run there when a control has been changed since, and gives way
    to short runs. Whoever has no turn waits between two reports, and so holds nobody up.

    Args:
        place: makes the place for the bar; called at most once, when there is something to show.
    """

    def __init__(self, place: Callable[[], DeltaGenerator]) -> None:
        self._place = place
        self._bar: DeltaGenerator | None = None
        self._began = 0.0
        self._worked = 0.0  # seconds that this thread had worked when it last gave way
        self._turn = False
        self._shares = False
        self._open = ExitStack()
        self._listening: AbstractContextManager[None] = progress.listening(self._report)

    def __enter__(self) -> "Waiting":
        """Begin to listen."""
        self._began = time.monotonic()
        self._worked = time.thread_time()
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, pass the turn on and take the bar away."""
        self._listening.__exit__(kind, error, trace)
        self._open.close()
        if self._bar is not None and kind is None:
            self._bar.empty()

    def _report(self, share: float, text: str) -> None:
        """Take a report of an experiment."""
        worked = time.thread_time() - self._worked
        if worked > _PIECE:
            give_way(worked)
            self._worked += worked
        passed = time.monotonic() - self._began
        if passed > AWHILE and not self._shares:
            self._shares = True
            self._open.enter_context(sharing())
        if passed < SOON:
            look()
            return
        self._bar = self._bar or self._place()
        if passed > LONG and not self._turn:
            self._take(share)
        self._bar.progress(share, text)

    def _take(self, share: float) -> None:
        """Wait for a turn."""
        if not _turns.acquire(blocking=False):
            assert self._bar is not None
            self._bar.progress(share, f"{AT_ONCE} other long runs are on; this one goes on after them.")
            while not _turns.acquire(timeout=_LOOK):
                look()
        self._turn = True
        self._open.callback(_turns.release)
