"""What a run tells the browser: in which order, when, and what it need not be told again.

Streamlit's messages are passed on, kept back for a moment or left out; what is in them is not changed. What is said here
of the browser is what Streamlit 1.67 does there.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import create_reference_msg

from ui.waiting import HEAD_START

MOMENT = 0.25  # seconds of a run that nobody has to be told of
_STATUS = 64  # bytes; a message that is longer says more than whether a script runs
_MENU = 8192  # bytes; a message that is longer says more than what pages there are
_FIGURE = 2_000_000  # bytes; a message that is longer is no figure of a page
_LEAD = 8  # elements before a figure; one with more of them is not the page's main figure
# What the server raises if a browser has left meanwhile. The app is told of it otherwise.
_GONE = (OSError, RuntimeError)


class _Between:
    """Stands between the app and the socket of every browser; requests pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but what the app says to a browser, which ``_line`` does."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        say, close = self._line(send)
        try:
            await self._app(scope, receive, say)
        finally:
            close()

    def _line(self, send: Send) -> tuple[Send, Callable[[], None]]:
        """Return what takes the messages to one browser, and what ends it."""
        raise NotImplementedError


class First(_Between):
    """Hands a changed figure to the browser before all else that its run says.

    When a run begins, the browser draws every element of the page anew, and a figure that follows a slider would wait
    for that. So what begins the run is kept back until the figure is there, which takes the place of the one before it;
    and what comes after it until the browser has had time to draw it. Then all of it is said in order, the figure once
    more as a reference: that the browser has it already, it sees by the hash.
    """

    def _line(self, send: Send) -> tuple[Send, Callable[[], None]]:
        line = _Line(send)
        return line.say, line.close


class _Line:
    """The messages to one browser, in the order of ``First``."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._page = ""  # of the run that is on, by Streamlit's hash
        self._figure: _Place | None = None  # where this run has drawn its first chart
        self._wanted: _Place | None = None  # where the run before it had, if it was of the same page
        self._seeks = False  # whether this run has yet to draw a chart
        self._before = 0  # elements that this run has sent while it has to
        self._wait: asyncio.Task[None] | None = None  # until what follows the figure is said
        self._turn = asyncio.Lock()  # whoever sends what was kept is not to be overtaken

    async def say(self, message: Message) -> None:
        """Send a message, or keep it for a while."""
        async with self._turn:
            if not await self._keeps(message):
                await self._release()
                await self._send(message)

    async def _keeps(self, message: Message) -> bool:
        """Return whether a message is kept until what was kept before it is sent."""
        if message["type"] != "websocket.send":
            return False
        said = _said(message, _FIGURE if self._seeks else _MENU)
        kind = said.WhichOneof("type") if said is not None else None
        if said is not None and kind == "new_session":
            await self._release()
            keeps = self._begins(said)
        elif self._wait is not None:
            # With the end of a run the browser forgets messages that are some runs old. It names those that it has when a
            # control changes; should the end come after that, the next run would refer to what is gone.
            keeps = kind != "script_finished"
        elif said is not None and self._seeks and kind in ("delta", "ref_hash"):
            if self._finds(said):
                if self._held and self._figure == self._wanted and said.metadata.cacheable:
                    await self._send(message)
                    again = create_reference_msg(said).SerializeToString()
                    message = {"type": "websocket.send", "bytes": again}
                    self._wait = asyncio.create_task(self._later())
                keeps = self._wait is not None
            else:
                self._before += 1
                keeps = bool(self._held and self._wanted and self._before <= self._wanted.before)
        else:
            keeps = False
        if keeps:
            self._held.append(message)
        return keeps

    def close(self) -> None:
        """Forget what has not been said."""
        self._stop()
        self._held.clear()

    def _begins(self, said: ForwardMsg) -> bool:
        """Take note of a run that begins; return whether it is to be said after its figure."""
        if said.metadata.run.fragment_ids:
            self._seeks = False
            return False
        same = said.new_session.page_script_hash == self._page
        self._wanted = self._figure if same and self._figure and self._figure.before <= _LEAD else None
        self._page, self._figure = said.new_session.page_script_hash, None
        self._seeks, self._before = True, 0
        return self._wanted is not None

    def _finds(self, said: ForwardMsg) -> bool:
        """Return whether an element is the first chart of the run, and take note of where it is."""
        path = tuple(said.metadata.delta_path)
        if said.delta.new_element.WhichOneof("type") == "vega_lite_chart":
            self._figure = _Place(path, said.delta.new_element.vega_lite_chart.id, self._before)
        elif said.ref_hash and self._wanted is not None and path == self._wanted.path:
            self._figure = self._wanted  # the browser has it from an earlier run; this one goes in order
        self._seeks = self._figure is None
        return not self._seeks

    async def _later(self) -> None:
        await asyncio.sleep(HEAD_START)
        async with self._turn:
            self._wait = None  # from here on it is not to be stopped
            with suppress(*_GONE):
                await self._release()

    async def _release(self) -> None:
        """Send what was kept; in turn, see ``say``."""
        self._stop()
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def _stop(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None


class _Place(NamedTuple):
    """Where a run draws a chart: its path among the elements, Streamlit's name for it, how many came before it."""

    path: tuple[int, ...]
    name: str
    before: int


class Calm(_Between):
    """Tells the browser that a script runs only when it has run for a moment.

    The browser draws every element anew for that message, and again for the one that the script has ended; a figure
    that follows a slider would wait for the first. What a short run has to say is said at its end, both at once.
    """

    def _line(self, send: Send) -> tuple[Send, Callable[[], None]]:
        held: list[Message] = []
        turn = 0  # counts what is said of running, so that a moment that has passed knows whether it still matters
        told: bool | None = None
        waits: asyncio.Task[None] | None = None  # kept, or the event loop could lose it before it is done

        async def release() -> None:
            nonlocal told
            while held:
                told = True
                await send(held.pop(0))

        async def later(mine: int) -> None:
            await asyncio.sleep(MOMENT)
            if mine == turn:
                with suppress(*_GONE):
                    await release()

        async def sending(message: Message) -> None:
            nonlocal turn, told, waits
            runs = _runs(message)
            if runs is None:
                await send(message)
                return
            turn += 1
            if runs:
                held.append(message)
                waits = asyncio.create_task(later(turn))
            elif held or told is not False:
                await release()
                told = False
                await send(message)

        def close() -> None:
            nonlocal turn
            turn += 1

        return sending, close


class Once(_Between):
    """Tells the browser what menu, title and icon are only when it does not know.

    Every run says so. The browser would take the menu apart and put it together again, and tell itself of it in messages
    that cost it some milliseconds, while a figure waits. One that is told of something new is told all of it, in order:
    the menu of another page says what its icon is if nothing else does.
    """

    def _line(self, send: Send) -> tuple[Send, Callable[[], None]]:
        known: list[bytes] = []  # what the browser was told last, in order
        place, new = 0, False  # how much of it the run that is on has said, and whether it said something new

        async def sending(message: Message) -> None:
            nonlocal place, new
            said = _said(message, _MENU)
            kind = said.WhichOneof("type") if said is not None else None
            if kind == "new_session":
                place, new = 0, False
            elif kind in ("navigation", "page_config_changed"):
                data = message["bytes"]
                if known[place : place + 1] == [data]:
                    place += 1
                    return
                for each in [] if new else known[:place]:
                    await send({"type": "websocket.send", "bytes": each})
                known[place:] = [data]
                place, new = place + 1, True
            await send(message)

        return sending, lambda: None


def _said(message: Message, most: int) -> ForwardMsg | None:
    """Read a message to the browser of at most so many bytes; None if it is no such message."""
    data = message.get("bytes")
    if message["type"] != "websocket.send" or data is None or len(data) > most:
        return None
    said: ForwardMsg = ForwardMsg.FromString(data)
    return said


def _runs(message: Message) -> bool | None:
    """Return whether a message says that a script runs, or runs no more; None if it says neither."""
    said = _said(message, _STATUS)
    if said is None or said.WhichOneof("type") != "session_status_changed":
        return None
    return bool(said.session_status_changed.script_is_running)
