"""Waiting for an experiment: what is shown, and that only so many long ones go on at once."""

import threading

import pytest

from charts import progress
from ui import waiting
from ui.waiting import Waiting


class Bar:
    """A place on a page that notes what it shows."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, str]] = []
        self.cleared = 0

    def progress(self, share: float, text: str) -> None:
        self.shown.append((share, text))

    def empty(self) -> None:
        self.cleared += 1


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the looks, which need a session."""
    seen: list[int] = []
    monkeypatch.setattr(waiting, "look", lambda: seen.append(1))
    monkeypatch.setattr(waiting, "_turns", threading.BoundedSemaphore(1))
    return seen


def test_a_quick_experiment_shows_nothing_but_can_be_ended_at_every_report(monkeypatch, looks):
    monkeypatch.setattr(waiting, "SOON", 60.0)
    bar = Bar()
    with Waiting(lambda: bar):
        progress.report(0.5, "half")
        progress.report(1.0, "all")
    assert (bar.shown, bar.cleared, len(looks)) == ([], 0, 2)


def test_a_longer_one_says_how_far_it_is_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(waiting, "SOON", 0.0)
    monkeypatch.setattr(waiting, "LONG", 60.0)
    places = []
    with Waiting(lambda: places.append(Bar()) or places[-1]):
        progress.report(0.25, "a quarter")
        progress.report(1.0, "all")
    (bar,) = places
    assert bar.shown == [(0.25, "a quarter"), (1.0, "all")]
    assert bar.cleared == 1
    progress.report(0.5, "nobody listens")
    assert len(bar.shown) == 2


def test_the_longest_take_turns(monkeypatch):
    monkeypatch.setattr(waiting, "SOON", 0.0)
    monkeypatch.setattr(waiting, "LONG", -1.0)
    first, second, waits, done = Bar(), Bar(), threading.Event(), threading.Event()
    monkeypatch.setattr(waiting, "look", waits.set)

    def other() -> None:
        with Waiting(lambda: second):
            progress.report(0.5, "second")
        done.set()

    with Waiting(lambda: first):
        progress.report(0.5, "first")
        thread = threading.Thread(target=other)
        thread.start()
        assert waits.wait(20), "the second one looks whether it has been ended"
        assert not done.is_set()
        assert [text for _, text in second.shown] != ["second"]
    thread.join(20)
    assert done.is_set()
    assert second.shown[-1] == (0.5, "second")
    assert "goes on after" in second.shown[0][1]


def test_a_turn_is_passed_on_by_whoever_is_ended(monkeypatch):
    monkeypatch.setattr(waiting, "SOON", 0.0)
    monkeypatch.setattr(waiting, "LONG", -1.0)
    for _ in range(3):
        bar = Bar()
        with pytest.raises(KeyboardInterrupt), Waiting(lambda: bar):  # noqa: B023, PT012
            progress.report(0.5, "on")
            raise KeyboardInterrupt
        assert bar.shown == [(0.5, "on")]
