"""What may fail around the app: visitors who leave, several at once, disks that cannot be written, clocks, fonts.

A visitor's state is the address, so a reload, an expired session and a restarted server are the same: a new session
that reads it. What was half computed is dropped, nothing is written to a disk, no clock time is read.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache

import pytest

from charts import dropout_depth, export, press, progress
from charts.figure import Figure
from charts.topic import Topic, _growing
from tests.charts.topics import BY_NAME, TOPICS, random_values
from tests.pages.app import ROOT, control, link, shows, values, visit
from ui import delivery, files
from ui.files import Failed, Printer

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
two_topics = pytest.mark.parametrize(
    "topic", [BY_NAME["dropout"], BY_NAME["batchnorm"]], ids=lambda topic: topic.name
)
MAIN = {
    "activations": "weight",
    "initialization": "depth",
    "batchnorm": "steps",
    "dropout": "p",
    "optimizers": "steps",
}


class Gone(Exception):
    """Stands in for what Streamlit raises in a run that is no longer wanted."""


def moved(at, topic: Topic) -> dict:
    """Move the main slider of a page by one step and return the values it then has to show."""
    knob = topic.knobs[MAIN[topic.name]]
    before = values(at, topic)
    after = type(knob.default)(before[knob.name] + knob.step)
    control(at, topic, knob.name).set_value(after).run()
    return {**before, knob.name: after}


# Visitors who leave, and several at once


def forget() -> None:
    """Drop everything that the figures of dropout through layers, and the views of all pages, have been kept of."""
    for kept in (*vars(dropout_depth).values(), _growing):
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()


def same(one: Figure, other: Figure) -> None:
    for name, frame in one.data.items():
        assert other.data[name].equals(frame), name


def test_a_run_that_nobody_waits_for_leaves_nothing_half_done() -> None:
    topic = BY_NAME["dropout"]
    view = topic.view(topic.defaults())
    (tab,) = [tab for tab in view.tabs if tab.name == "Depth"]

    def drawn() -> list[Figure]:
        return [block for block in tab.blocks() if isinstance(block, Figure)]

    forget()
    expected, left = drawn(), 0
    for moment in (1, 2, 5, 9):
        forget()
        reports: list[float] = []

        def leave(share: float, _: str, reports: list[float] = reports, moment: int = moment) -> None:
            reports.append(share)
            if len(reports) == moment:
                raise Gone

        with progress.listening(leave), contextlib.suppress(Gone):
            drawn()
        left += len(reports) == moment
        # Whoever asks next gets all of it.
        for one, other in zip(expected, drawn(), strict=True):
            same(one, other)
    assert left >= 3


@two_topics
def test_two_tabs_know_nothing_of_each_other(topic: Topic) -> None:
    one, other = visit(topic), visit(topic)
    now = moved(one, topic)
    shows(one, topic, now)
    other.run()
    shows(other, topic, topic.defaults())
    further = moved(other, topic)
    assert further == now
    one.run()
    shows(one, topic, now)


def test_visitors_who_ask_for_the_same_at_once_get_the_same() -> None:
    topic = BY_NAME["initialization"]
    asked = topic.fill({"depth": 30, "width": 48, "seeds": 6, "seed": 11})
    _growing.cache_clear()
    expected = topic.view(asked)
    _growing.cache_clear()
    begin, found = threading.Barrier(4), []

    def ask() -> None:
        begin.wait()
        found.append(topic.view(asked))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for view in found:
        assert view.done == 1.0
        assert view.reading == expected.reading
        same(expected.figure, view.figure)


@two_topics
def test_a_session_that_is_lost_lives_on_in_the_address(topic: Topic) -> None:
    # An expired session, a reload and a restarted server are one: a new session gets the address, and no more.
    asked = topic.settle(random_values(topic, 8, affordable=True))
    address = link(visit(topic, topic.query(asked)))
    _growing.cache_clear()
    after = visit(topic, address)
    assert values(after, topic) == asked
    assert link(after) == address


# Disks


_writing: list[str] = []
_watched = threading.Event()


@cache
def _hook() -> None:
    """Watch what is opened; for good, but nothing comes of it outside of a test that asks for it."""
    sys.addaudithook(_watch)


def _watch(event: str, args: tuple) -> None:
    """Refuse to write, as a read-only file system does, while a test asks for it."""
    if not _watched.is_set():
        return
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    if event == "open" and isinstance(args[2], int) and args[2] & writes:
        path = str(args[0])
        if isinstance(args[0], int):  # a pipe, or a file that was opened before
            return
        if path.startswith("/dev/") or path.endswith(".pyc") or ".pyc." in path:
            return
    elif event not in (
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.symlink",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
    ):
        return
    if not str(args[0]).endswith("__pycache__"):
        _writing.append(f"{event} {args[0]}")
    raise OSError(30, "Read-only file system", str(args[0]))


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let nothing be written anywhere, nor a home or a temporary folder be found; return what tried to."""
    _hook()
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", None)
    _writing.clear()
    _watched.set()
    yield _writing
    _watched.clear()


def test_the_watch_sees_what_is_written(tmp_path, read_only: list[str]) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (tmp_path / "a").write_text("x")
    with pytest.raises(OSError):
        tempfile.mkstemp()
    assert len(read_only) >= 2
    assert (ROOT / "app.py").read_text()


@every_topic
def test_a_page_writes_nothing(topic: Topic, read_only: list[str]) -> None:
    _growing.cache_clear()
    at = visit(topic)
    shows(at, topic, moved(at, topic))
    assert read_only == []


def test_without_a_temporary_folder_files_are_made(
    read_only: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    figure = BY_NAME["dropout"].view(BY_NAME["dropout"].defaults()).figure
    printer = Printer(patience=300.0)  # on a busy machine too the first worker is the one that answers
    monkeypatch.setattr(files, "PRINTER", printer)
    try:
        assert files.make(figure, "svg").endswith(b"</svg>")
        assert printer.process is not None
        assert read_only, "a temporary file has been tried"
        read_only.clear()
        assert files.make(figure, "csv").count(b"\n") > 10
        assert files.make(figure, "json").startswith(b"{")
        assert read_only == []
    finally:
        printer.close()
    # A worker that ends has left no last words, and is still told from one that is there.
    gone = Printer([sys.executable, "-I", "-S", "-c", "import sys; sys.exit('a last word')"])
    with pytest.raises(Failed, match="the process ended"):
        gone.print(lambda: export.sheet(figure, "svg"), "The picture")
    assert "the process that makes files ended" in caplog.text
    assert gone.process is None
    assert gone.line == 0


# Clocks


def test_a_clock_that_is_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = BY_NAME["batchnorm"]
    real, reads = time.time, []

    def wild() -> float:
        reads.append(1)
        return real() - 86_400 * len(reads)

    monkeypatch.setattr(time, "time", wild)
    at = visit(topic)
    shows(at, topic, moved(at, topic))
    assert not at.warning


def test_nothing_reads_the_time_of_day() -> None:
    for folder in ("core", "charts", "ui", "pages"):
        for path in (ROOT / folder).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            found = re.findall(r"\btime\.time\(|\bdatetime\b|\blocaltime\b|\bgmtime\b|\bstrftime\b", text)
            assert not found, (path.name, found)


# Fonts


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[None]:
    """Take the shipped fonts away."""
    kept = (press.renderer, press._advance, press._font, press._font_style)
    for each in kept:
        each.cache_clear()
    monkeypatch.setattr(press, "FONTS", tmp_path)
    yield
    for each in kept:
        each.cache_clear()


def test_without_fonts_a_picture_with_words_is_an_error_and_never_another_font(no_fonts: None) -> None:
    figure = BY_NAME["dropout"].view(BY_NAME["dropout"].defaults()).figure
    for ending in export.PICTURES:
        with pytest.raises(OSError):
            export.render(figure, ending)


def test_without_fonts_the_toolbar_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    start = f"import pathlib, charts.press as p; p.FONTS = pathlib.Path({str(tmp_path)!r}); p.main()"
    printer = Printer([sys.executable, "-c", start])
    monkeypatch.setattr(files, "PRINTER", printer)
    figure = BY_NAME["dropout"].view(BY_NAME["dropout"].defaults()).figure
    order = delivery.Delivery("bar", 1)
    try:
        order.make("a.svg", "image/svg+xml", lambda: files.make(figure, "svg"))
        assert order.done.is_set()
        assert set(order.answer) == {"problem"}
        assert order.answer["problem"].endswith(" as SVG could not be made."), "that, and not to try again"
        assert f"no font {tmp_path}" in caplog.text, "what is missing is in the log"
        assert printer.process is not None, "the process that makes files is still there"
    finally:
        printer.close()
    assert printer.line == 0
