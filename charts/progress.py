"""Progress of a run: an experiment says how far it is, and whoever asked for it may listen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_listener: ContextVar[Callable[[float, str], object] | None] = ContextVar("listener", default=None)


def report(share: float, text: str) -> None:
    """Tell the listener, if there is one, that this share of the work (0 to 1) is done.

    A listener may raise to abandon the run; nothing of it is kept then.
    """
    listener = _listener.get()
    if listener is not None:
        listener(min(max(share, 0.0), 1.0), text)


@contextmanager
def listening(listener: Callable[[float, str], object]) -> Iterator[None]:
    """Send the reports of everything inside to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@dataclass(frozen=True)
class Share:
    """The part of a work that one run is, from ``low`` to ``high``; a cache takes all of them for equal."""

    low: float = field(compare=False)
    high: float = field(compare=False)
    text: str = field(compare=False)

    def report(self, step: int, steps: int) -> None:
        """Tell whoever waits how far the whole is, as a run is at ``step``."""
        done = self.low + (self.high - self.low) * step / max(steps, 1)
        report(done, f"{self.text}: step {step} of {steps}")
