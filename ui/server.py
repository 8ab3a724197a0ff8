"""What the server does beside the pages, so that a first visitor does not wait.

A browser that asks for a page first fetches Streamlit's own scripts, more than a hundred files. They are answered
without a detour, and while they are on their way what the page needs is imported and its default figure prepared.
"""

import gc
import inspect
import logging
import mimetypes
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager

from charts.addresses import page_of
from ui import messages
from ui.waiting import sharing

_ASSETS = Path(st.__file__).parent / "static"
_YEAR = 365 * 24 * 60 * 60
_IMPORT = re.compile(r'(?:from|import)\s*"\./([\w.~-]+\.js)"')  # of a script beside the one that holds it
_OBJECTS = 10_000  # that may be made between two looks of the garbage collector; a run makes some thousand
_LOG = logging.getLogger(__name__)


class Assets:
    """Answers for Streamlit's scripts, styles and fonts.

    Their names hold a hash of what is in them, so a browser keeps them for good. Starlette hands a file over piece by
    piece through other threads, some 8 ms each, which a hundred files make a second; a first visitor has no other wait
    of that length. What is not asked for plainly, or is no such file, is left to it.
    """

    def __init__(self, app: ASGIApp, folder: Path = _ASSETS) -> None:
        self._app = app
        # By address: nothing that is asked for is ever made a path of.
        self._files: Mapping[str, tuple[Path, bytes]] = {
            f"/{path.relative_to(folder).as_posix()}": (path, _type(path))
            for path in sorted((folder / "static").rglob("*"))
            if path.is_file()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        found = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            plain = not any(name in (b"range", b"if-range") for name, _ in scope["headers"])
            found = self._files.get(scope["path"]) if plain else None
        if found is None:
            await self._app(scope, receive, send)
            return
        path, kind = found
        try:
            content = path.read_bytes()
        except OSError:
            await self._app(scope, receive, send)
            return
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(content)).encode()),
            (b"cache-control", f"public, immutable, max-age={_YEAR}".encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content if scope["method"] == "GET" else b""})


def _type(path: Path) -> bytes:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8".encode() if kind.startswith("text/") else kind.encode()


class Ahead:
    """Prepares the page that a browser asks for, once, in a thread of its own; and has the browser prepare too.

    Streamlit's page asks for the scripts that draw a chart when the first chart arrives. The answer to who asks for a
    page names them, so that they are fetched and read while the server still computes; after those that the page itself
    names, which it cannot begin without.
    """

    def __init__(self, app: ASGIApp, folder: Path = _ASSETS) -> None:
        self._app = app
        links = (f"<./static/js/{name}>; rel=modulepreload; fetchpriority=low" for name in _drawing(folder))
        self._link = (b"link", ", ".join(links).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass every request on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        last = scope["path"].rsplit("/", 1)[-1]
        name = page_of(last)
        if name:
            _begin(name, lambda: _page(name))
        elif not last:
            _begin("home", _home)
        else:
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200 and self._link[1]:
                message = {**message, "headers": [*message["headers"], self._link]}
            await send(message)

        await self._app(scope, receive, sending)


def _drawing(folder: Path) -> list[str]:
    """Return the scripts that Streamlit's page asks for with the first chart; none where they are not as we know them."""
    scripts = folder / "static" / "js"
    try:
        begins = (folder / "index.html").read_text(encoding="utf-8")
        found: list[str] = []
        waiting = sorted(path.name for path in scripts.glob("ArrowVegaLiteChart.*.js"))
        while waiting:
            name = waiting.pop()
            if name in found or name in begins:
                continue
            found.append(name)
            waiting += _IMPORT.findall((scripts / name).read_text(encoding="utf-8"))
    except OSError:
        return []
    return found


# From the outside in: what a run says meets the last of them first.
MIDDLEWARE = (
    Middleware(Assets),
    Middleware(Ahead),
    Middleware(messages.First),
    Middleware(messages.Calm),
    Middleware(messages.Once),
)


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Import what every page needs as soon as the server runs."""
    # Streamlit would take the folder of that name for the menu until our own is declared: who came first, with a link
    # to a page, had its script run without ``app.py``, and was told that a page by its former name does not exist.
    PagesManager.uses_pages_directory = False
    _begin("all", _common)
    yield


_begun: set[str] = set()


def _begin(name: str, work: Callable[[], None]) -> None:
    """Do some work once, beside everything else; who needs it before it is done does it too."""
    if name in _begun:
        return
    _begun.add(name)

    def run() -> None:
        try:
            with sharing():
                work()
        except Exception:  # a visitor will meet it, where it is shown
            _LOG.exception("%s: not prepared", name)

    threading.Thread(target=run, name=f"prepare {name}", daemon=True).start()


def _common() -> None:
    import_module("ui.page")
    # With the first element of a process Streamlit has a look at the sources of all modules. What that finds is kept.
    inspect.stack()
    # The modules stay. The collector would walk through all they hold again and again, a tenth of a run's time. What is
    # garbage at this moment, or some early visitor's, stays with them: it is little, and to collect it first would hold
    # that visitor up.
    gc.freeze()
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])


def _home() -> None:
    from charts import landing, thumbnails
    from charts.figure import WIDE
    from ui import figure, navigation, search, settings  # noqa: F401

    figure.prepare(landing.valley(), WIDE)
    for name in navigation.offered():
        thumbnails.miniature(settings.allowed(thumbnails.topic_of(name)))


def _page(name: str) -> None:
    from charts.figure import WIDE
    from charts.thumbnails import topic_of
    from ui import figure, settings

    topic = settings.allowed(topic_of(name))
    figure.prepare(topic.glance(topic.defaults()).figure, WIDE)
