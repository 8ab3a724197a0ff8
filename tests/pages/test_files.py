"""Files from the worker: the bytes of the engine, a short line, and no process that hangs or stays behind."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from charts import export, press
from charts.figure import Figure, rows
from charts.press import ANSWER, FAILED, PRINTED, REQUEST
from ui import files
from ui.files import Busy, Failed, Printer

SPEC = {
    "data": {"name": "line"},
    "mark": "line",
    "width": 200,
    "encoding": {field: {"field": field, "type": "quantitative"} for field in "xy"},
}
FIGURE = Figure(
    "a/line", lambda width: SPEC, {"line": rows(x=[0, 1], y=[2.0, 1.0])}, "A line", "Two ends, σ 1", "A."
)
SHEET = export.sheet(FIGURE, "svg", reading="It *falls*.")

# Stands in for the press: answers with the title it reads, after what the title asks for.
STAND_IN = """
import json, os, struct, sys, time
while head := sys.stdin.buffer.read(4):
    title = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))["title"]
    if title == "hang" or title == "starve" and "last" in sys.argv: time.sleep(60)
    if title == "die": print("a last word", file=sys.stderr, flush=True); os._exit(3)
    if title == "half": os.write(1, struct.pack(">BI", 0, 99) + b"part"); os._exit(0)
    answer = f"{title} {os.getpid()}".encode()
    os.write(1, struct.pack(">BI", title == "bad", len(answer)) + answer)
"""


@pytest.fixture
def stand_in() -> Iterator:
    """Return a printer whose worker is the stand-in; its last process is gone when the test is over."""
    made = []

    def printer(**limits: float) -> Printer:
        made.append(Printer([sys.executable, "-I", "-S", "-c", STAND_IN], **limits))
        return made[-1]

    yield printer
    for each in made:
        process = each.process
        each.close()
        assert each.process is None
        assert process is None or process.poll() is not None


def ask(printer: Printer, title: str) -> tuple[str, int]:
    """Return what the stand-in answers: the title, and its process."""
    answer = printer.print(lambda: replace(SHEET, title=title), "The thing").decode().split()
    return answer[0], int(answer[1])


def test_the_worker_prints_the_same_bytes_and_the_app_draws_nothing(monkeypatch):
    how = {"scale": 1, "ground": "transparent", "reading": "*So*."}
    expected = {ending: export.render(FIGURE, ending, **how) for ending in export.ENDINGS}
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    press.renderer.cache_clear()
    # On a machine that is full of tests a worker that comes last may wait longer than a visitor should.
    monkeypatch.setattr(files, "PRINTER", files.Printer(patience=600.0))
    try:
        found = {ending: files.make(FIGURE, ending, **how) for ending in export.ENDINGS}
        process = files.PRINTER.process
        with pytest.raises(Failed, match=r"^“A line” as SVG could not be made\.$"):
            files.make(replace(FIGURE, build=lambda width: {"mark": "no such"}), "svg")
        if hasattr(os, "getpriority"):  # pages come first
            mine, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, process.pid))
            assert its == min(mine + 10, 19)
        if hasattr(os, "SCHED_IDLE"):  # and nothing has to wait for a slice of the worker's
            assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
        assert files.PRINTER.process is process  # a figure that cannot be drawn costs no worker
    finally:
        files.PRINTER.close()
        press.renderer.cache_clear()
    assert found == expected
    assert process.returncode is not None
    with pytest.raises(KeyError):
        files.make(FIGURE, "bmp")
    with pytest.raises(ValueError):
        files.make(FIGURE, "png", scale=9)


def test_there_is_no_process_before_there_is_work(stand_in):
    printer = stand_in()
    assert printer.process is None
    title, process = ask(printer, "one")
    assert title == "one"
    assert ask(printer, "two") == ("two", process) == ("two", printer.process.pid)


@pytest.mark.parametrize("title", ["die", "half"])
def test_a_worker_that_ends_is_started_anew(stand_in, title, caplog):
    printer = stand_in()
    _, first = ask(printer, "one")
    with pytest.raises(Failed, match=r"The thing could not be made: the process ended\."):
        ask(printer, title)
    assert printer.process is None
    assert ("a last word" in caplog.text) == (title == "die")
    assert ask(printer, "two")[1] != first
    printer.process.kill()  # from outside, while there is nothing to do
    printer.process.wait()
    assert ask(printer, "three")[0] == "three"


def test_a_worker_that_hangs_is_given_up(stand_in):
    printer = stand_in(patience=0.3)
    with pytest.raises(Failed, match=r"The thing took more than 0\.3 seconds and was given up\."):
        ask(printer, "hang")
    assert printer.process is None
    assert printer.line == 0


def test_a_worker_that_no_time_is_left_for_is_replaced_for_that_file(stand_in):
    printer = stand_in(patience=10.0)
    printer._shares = ((True, 0.02), (False, 0.98))
    title, process = ask(printer, "starve")
    assert title == "starve"
    assert printer.process is None  # the next file can wait for its turn again
    assert process > 0


def test_a_failure_is_told_without_its_traceback(stand_in, caplog):
    with pytest.raises(Failed, match=r"^The thing could not be made\.$"):
        ask(stand_in(), "bad")
    assert "bad" in caplog.text


def test_no_process_to_be_had():
    printer = Printer(["/no/such/program"])
    with pytest.raises(Failed, match="no process could be started"):
        ask(printer, "one")
    assert printer.line == 0


def test_the_line_is_short_and_everyone_in_it_is_served(stand_in):
    printer = stand_in(waiting=3)
    asked, answers = threading.Barrier(4, timeout=60), []

    def visitor(number: int) -> None:
        def sheet() -> press.Sheet:
            asked.wait()  # all are in line before the first is printed
            return replace(SHEET, title=f"v{number}")

        answers.append(printer.print(sheet).decode().split())

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while printer.line < 3:
        time.sleep(0.001)
    with pytest.raises(Busy, match=r"^3 files are in line already\. Try again in a moment\.$"):
        printer.print(pytest.fail)
    asked.wait()
    for thread in threads:
        thread.join()
    assert {title for title, _ in answers} == {"v0", "v1", "v2"}
    assert len({process for _, process in answers}) == 1
    assert printer.line == 0
    assert ask(printer, "after")[0] == "after"


def test_a_sheet_that_cannot_be_made_leaves_the_line(stand_in):
    printer = stand_in(waiting=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            printer.print(lambda: 1 // 0)
    assert printer.process is None


def test_a_worker_is_replaced_after_many_files(stand_in):
    printer = stand_in(many=2)
    processes = [ask(printer, "one")[1] for _ in range(4)]
    assert processes[0] == processes[1] != processes[2] == processes[3]
    assert printer.process is None


def test_an_idle_worker_gives_its_memory_back(stand_in):
    printer = stand_in(idle=0.2)
    ask(printer, "one")
    process = printer.process
    process.wait(timeout=30)
    assert ask(printer, "two")[1] != process.pid


def test_a_worker_ends_with_the_app():
    """Killed, the app can do nothing more for it: the closed pipe has to be enough."""
    program = (
        "import os, signal, subprocess, sys; "
        f"process = subprocess.Popen({[sys.executable, '-m', 'charts.press']!r}, "
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stdout); "
        "print('started', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    # Its output is read to the end, which comes when the last process that could write is gone.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=files._ROOT,
        capture_output=True,
        timeout=60,
        env={"PYTHONPATH": ""},
    )
    assert done.stdout == b"started\n"


# What goes over the pipes.
def test_a_sheet_survives_the_pipe():
    assert press.unpacked(SHEET.packed()) == SHEET
    assert json.loads(SHEET.packed())["description"] == "A. It falls. Two ends, σ 1"
    with pytest.raises(TypeError):
        press.unpacked(b'{"ending": "svg"}')


def test_the_press_answers_every_request_and_ends_with_its_input():
    good, bad = (sheet.packed() for sheet in (SHEET, replace(SHEET, ending="bmp")))
    requests = b"".join(REQUEST.pack(len(each)) + each for each in (bad, b"no sheet", good))
    target = io.BytesIO()
    press.serve(io.BytesIO(requests + REQUEST.pack(99) + b"cut short"), target)
    answers, rest = [], target.getvalue()
    while rest:
        status, size = ANSWER.unpack(rest[: ANSWER.size])
        answers.append((status, rest[ANSWER.size : ANSWER.size + size]))
        rest = rest[ANSWER.size + size :]
    assert [status for status, _ in answers] == [FAILED, FAILED, PRINTED]
    assert b"KeyError: 'bmp'" in answers[0][1]
    assert answers[2][1] == press.print_sheet(SHEET)
