"""Files for visitors: pictures are printed by one worker, started on the first click, so that no page waits for them.

The renderer would hold the app's interpreter while it draws, and a quarter of a gigabyte for good. So the app makes
the sheet (``charts.export``) and a worker prints it (``charts.press``) in what time the machine has left. Where that is
none, another one tries again at a mere lower priority.
"""

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Unpack

from charts import export
from charts.export import How
from charts.figure import Figure
from charts.press import ANSWER, LAST, PRINTED, REQUEST, Sheet

WAITING = 4  # files in line, the one in print included
PATIENCE = 20.0  # seconds that a file may take; a browser waits for WAITING of these
MODEST = 0.15  # share of them after which a worker that comes last has waited for its turn long enough
MANY = 300  # files after which a worker makes room for a fresh one
IDLE = 120.0  # seconds without work after which the worker gives its memory back
COMMAND = (sys.executable, "-m", "charts.press")

_ROOT = Path(__file__).parents[1]
_LOG = logging.getLogger(__name__)


class Busy(RuntimeError):
    """Too many files are in line; the message is for the visitor."""


class Failed(RuntimeError):
    """A file could not be made; the message is for the visitor."""


def make(figure: Figure, ending: str, **how: Unpack[How]) -> bytes:
    """Return a file's content, the same bytes as ``export.render``; pictures come from the worker.

    The arguments are those of ``export.render``.

    Raises:
        KeyError: no such ending, size or ground.
        ValueError: a scale out of range.
        Busy: too many files are in line.
        Failed: the worker could not make the file.
    """
    if ending in export.PICTURES:
        wanted = f"“{figure.title}” as {ending.upper()}"
        return PRINTER.print(lambda: export.sheet(figure, ending, **how), wanted)
    return export.render(figure, ending, **how)


@dataclass
class _Worker:
    """A process that prints, its streams, and how many files it has been asked for.

    ``log`` is its standard error; ``last`` says that it takes only what time is left; ``late`` is set when it has been
    given up.
    """

    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    answers: IO[bytes]
    log: IO[bytes]
    last: bool
    asked: int = 0
    late: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def started(cls, command: Sequence[str], last: bool) -> "_Worker":
        log = _nameless()
        process = subprocess.Popen(
            [*command, LAST] if last else command,
            cwd=_ROOT,
            env={**os.environ, "RAYON_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        return cls(process, process.stdin, process.stdout, log, last)

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the content of the answer to a packed sheet.

        Raises:
            OSError, EOFError: the process is gone.
        """
        self.asked += 1
        self.requests.write(REQUEST.pack(len(request)) + request)
        self.requests.flush()
        status, size = ANSWER.unpack(self._read(ANSWER.size))
        return status, self._read(size)

    def _read(self, size: int) -> bytes:
        content = self.answers.read(size)
        if len(content) < size:
            raise EOFError
        return content

    def give_up(self) -> None:
        """End a process that takes too long; whoever reads its answer finds it gone."""
        self.late.set()
        self.process.kill()

    def end(self) -> str:
        """End the process, which keeps nothing that would be lost; return the last of its standard error."""
        self.process.kill()
        self.process.wait()
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):  # a request that was never read
                stream.close()
        with self.log as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 4000, 0))
            return log.read().decode(errors="replace")


def _nameless() -> IO[bytes]:
    """Open a file that is gone when it is closed; where none can be written, one that keeps nothing."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # pictures need no disk, and their failures tell most of what went wrong
        return open(os.devnull, "w+b")


class Printer:
    """Has sheets printed by a worker process, one at a time.

    There is at most one worker. It is started when there is something to print, and ended after ``many`` files, after
    ``idle`` seconds without any, when one takes too long, and with the app. It comes after everything else on the
    machine; if that leaves it nothing for a share of the ``patience`` seconds that a file may take, one that comes sooner
    makes this file instead.
    """

    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        waiting: int = WAITING,
        patience: float = PATIENCE,
        many: int = MANY,
        idle: float = IDLE,
    ) -> None:
        self._command, self._waiting = tuple(command), waiting
        self._patience, self._many, self._idle = patience, many, idle
        self._shares = (
            (True, MODEST),
            (False, 1 - MODEST),
        )  # of the patience, for a worker that comes last or not
        self._line = 0
        self._counting = threading.Lock()
        self._printing = threading.Lock()  # whoever holds it has the worker to himself
        self._worker: _Worker | None = None
        self._rest: threading.Timer | None = None

    @property
    def line(self) -> int:
        """How many files are in line, the one in print included."""
        return self._line

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The worker's process, None if there is none."""
        worker = self._worker
        return None if worker is None else worker.process

    def print(self, made: Callable[[], Sheet], wanted: str = "The picture") -> bytes:
        """Return the file of a sheet; several threads may ask at once, each waits for its turn.

        Args:
            made: makes the sheet, called when there is room in the line.
            wanted: what the messages call it.

        Raises:
            Busy: the line is full.
            Failed: the worker could not make the file in time, or not at all.
        """
        with self._place():
            request = made().packed()
            with self._printing:
                return self._print(request, wanted)

    def close(self) -> None:
        """End the worker now; a file in print fails. The next one to print starts another."""
        process = self.process
        if process is not None:
            process.kill()  # so that whoever is waiting for it lets go of it
        with self._printing:
            self._end()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Stand in line."""
        with self._counting:
            if self._line >= self._waiting:
                raise Busy(f"{self._line} files are in line already. Try again in a moment.")
            self._line += 1
        try:
            yield
        finally:
            with self._counting:
                self._line -= 1

    def _print(self, request: bytes, wanted: str) -> bytes:
        """Have a packed sheet printed, alone with the worker."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._worker is not None and self._worker.process.poll() is not None:
            self._end()  # it was ended from outside while it had nothing to do
        for last, share in self._shares:
            with contextlib.suppress(TimeoutError):
                status, answer = self._answer(request, wanted, last, share * self._patience)
                break
        else:
            raise Failed(f"{wanted} took more than {self._patience:g} seconds and was given up.")
        if status != PRINTED:
            _LOG.error("%s:\n%s", wanted, answer.decode(errors="replace"))
            raise Failed(f"{wanted} could not be made.")
        return answer

    def _answer(self, request: bytes, wanted: str, last: bool, patience: float) -> tuple[int, bytes]:
        """Return the worker's status and answer; ``last`` says which kind of worker is started if there is none.

        Raises:
            TimeoutError: there was none for so many seconds, and the worker is ended.
            Failed: it ended by itself, or could not be started.
        """
        try:
            worker = self._worker = self._worker or _Worker.started(self._command, last)
        except OSError:
            _LOG.exception("%s: no process", wanted)
            raise Failed(f"{wanted} could not be made, for no process could be started.") from None
        watch = threading.Timer(patience, worker.give_up)
        watch.daemon = True
        watch.start()
        try:
            found = worker.ask(request)
        except BaseException as problem:  # whatever interrupts an answer leaves the rest of it in the pipe
            said = self._end()
            if not isinstance(problem, OSError | EOFError):
                raise
            if worker.late.is_set():
                _LOG.warning("%s: no answer within %g seconds.\n%s", wanted, patience, said)
                raise TimeoutError from None
            _LOG.error("%s: the process that makes files ended.\n%s", wanted, said)
            raise Failed(f"{wanted} could not be made: the process ended. Try again.") from None
        finally:
            watch.cancel()
            watch.join()
        if worker.late.is_set() or worker.asked >= self._many or not worker.last:
            self._end()
        else:
            self._rest = threading.Timer(self._idle, self._idled)
            self._rest.daemon = True
            self._rest.start()
        return found

    def _idled(self) -> None:
        """End the worker, unless there has been something to print since."""
        with self._printing:
            if threading.current_thread() is self._rest:
                self._end()

    def _end(self) -> str:
        """End the worker if there is one; return the last of its standard error."""
        worker, self._worker = self._worker, None
        return "" if worker is None else worker.end()


PRINTER = Printer()  # for the whole process
atexit.register(PRINTER.close)
