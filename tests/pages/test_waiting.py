"""Waiting for an experiment: what is shown, and that only so many long ones go on at once."""

import sys
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


class Clock:
    """Time for one thread: a nap takes as long as asked for, and longer by what the others take of it."""

    def __init__(self, others: list[float]) -> None:
        self.now, self.others, self.naps = 0.0, others, []

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds + (self.others.pop(0) if self.others else 0.0)


@pytest.mark.parametrize(
    ("others", "naps"),
    [([], 1), ([0.002], 2), ([0.002, 0.001, 0.003], 4)],
    ids=["alone", "one run", "several"],
)
def test_a_long_run_gives_way_until_nobody_else_is_there(monkeypatch, others, naps):
    clock = Clock(others)
    monkeypatch.setattr(waiting, "time", clock)
    waiting.give_way(1.0)
    assert len(clock.naps) == naps
    assert clock.naps[0] == 0  # alone it loses nothing


def test_a_long_run_goes_on_however_many_others_there_are(monkeypatch):
    clock = Clock([0.002] * 10_000)
    monkeypatch.setattr(waiting, "time", clock)
    waiting.give_way(0.05)
    assert 0.05 * waiting.WAY <= clock.now < 0.05 * waiting.WAY + 0.01


def test_reports_give_way_for_what_was_worked_since(monkeypatch):
    given = []
    monkeypatch.setattr(waiting, "give_way", given.append)
    worked = iter([10.0, 10.001, 10.03, 10.031])
    monkeypatch.setattr(waiting.time, "thread_time", lambda: next(worked))
    with Waiting(Bar):
        for _ in range(3):
            progress.report(0.5, "half")
    assert given == [pytest.approx(0.03)]


def test_the_interpreter_is_handed_on_more_often_only_while_something_takes_long(monkeypatch):
    alone = sys.getswitchinterval()
    monkeypatch.setattr(waiting, "AWHILE", 60.0)
    with Waiting(Bar):
        progress.report(0.5, "short")
        assert sys.getswitchinterval() == alone
    monkeypatch.setattr(waiting, "AWHILE", -1.0)
    with Waiting(Bar):
        progress.report(0.5, "long")
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        with Waiting(Bar):
            progress.report(0.5, "another")
            progress.report(1.0, "another")
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert sys.getswitchinterval() == alone


def test_a_run_that_is_ended_by_a_control_shares_no_more(monkeypatch):
    alone = sys.getswitchinterval()
    monkeypatch.setattr(waiting, "AWHILE", -1.0)

    def ended():
        with Waiting(Bar):
            progress.report(0.5, "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ended()
    assert sys.getswitchinterval() == alone


def test_who_is_done_first_leaves_the_others_sharing():
    alone = sys.getswitchinterval()
    here, there = threading.Event(), threading.Event()

    def other():
        with waiting.sharing():
            here.set()
            there.wait(60)

    thread = threading.Thread(target=other)
    with waiting.sharing():
        thread.start()
        here.wait(60)
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    there.set()
    thread.join()
    assert sys.getswitchinterval() == alone
