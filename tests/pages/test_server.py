"""The server beside the pages: Streamlit's own files without a detour, and pages prepared while they are on their way."""

import asyncio
import gc
import logging
import re
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import streamlit as st
from streamlit.web.server.app_discovery import discover_asgi_app

from charts.addresses import ALIASES, PAGES
from charts.figure import WIDE
from charts.topics import TOPICS
from tests.pages.app import ROOT, charts, visit
from ui import figure, server

FOLDER = Path(st.__file__).parent / "static"
ELSEWHERE = [{"type": "http.response.start", "status": 418, "headers": []}]


async def _elsewhere(_scope, _receive, send) -> None:
    await send(ELSEWHERE[0])


def asked(middleware, path: str, method: str = "GET", headers=(), kind: str = "http") -> list[dict]:
    """Return what a request is answered with."""
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": kind, "method": method, "path": path, "headers": list(headers)}
    asyncio.run(middleware(scope, None, send))
    return sent


@pytest.fixture(scope="module")
def assets() -> server.Assets:
    return server.Assets(_elsewhere)


FILES = sorted(
    path.relative_to(FOLDER).as_posix() for path in (FOLDER / "static").rglob("*") if path.is_file()
)


def test_every_file_of_streamlit_comes_as_it_is(assets: server.Assets) -> None:
    kinds = {".js": b"javascript", ".css": b"text/css", ".woff2": b"font/woff2"}
    assert FILES
    for name in FILES:
        start, body = asked(assets, f"/{name}")
        headers = dict(start["headers"])
        assert start["status"] == 200
        assert body["body"] == (FOLDER / name).read_bytes()
        assert int(headers[b"content-length"]) == len(body["body"])
        assert headers[b"cache-control"] == b"public, immutable, max-age=31536000"
        assert kinds.get(Path(name).suffix, b"") in headers[b"content-type"]


def test_the_head_of_a_file_has_no_body(assets: server.Assets) -> None:
    start, body = asked(assets, f"/{FILES[0]}", "HEAD")
    assert dict(start["headers"])[b"content-length"] == str((FOLDER / FILES[0]).stat().st_size).encode()
    assert body["body"] == b""


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/", "GET", ()),
        ("/index.html", "GET", ()),
        ("/static/js/none.js", "GET", ()),
        ("/static/../index.html", "GET", ()),
        ("//static/js", "GET", ()),
        ("/static/js", "GET", ()),
        (f"/{FILES[0]}", "POST", ()),
        (f"/{FILES[0]}", "GET", ((b"range", b"bytes=0-9"),)),
        (f"/{FILES[0]}/", "GET", ()),
    ],
)
def test_everything_else_is_left_to_streamlit(assets, path, method, headers) -> None:
    assert asked(assets, path, method, headers) == ELSEWHERE


def test_a_file_that_is_gone_is_left_to_streamlit(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "one.js").write_text("1")
    assets = server.Assets(_elsewhere, tmp_path)
    assert asked(assets, "/static/one.js")[1]["body"] == b"1"
    (tmp_path / "static" / "one.js").unlink()
    assert asked(assets, "/static/one.js") == ELSEWHERE


def test_a_socket_is_left_to_streamlit(assets: server.Assets) -> None:
    assert asked(assets, f"/{FILES[0]}", kind="websocket") == ELSEWHERE


# What is prepared


async def _page(_scope, _receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})


@pytest.mark.parametrize("path", ["/", "/dropout", "/course/batch-norm"])
def test_a_page_names_the_scripts_that_draw_its_charts(begun, path: str) -> None:
    (start,) = asked(server.Ahead(_page), path)
    header = dict(start["headers"])[b"link"].decode()
    assert len(header) < 3000, "a proxy takes 4 kB of headers, if it is not told to take more"
    named = re.findall(r"<\./([^>]+)>; rel=modulepreload; fetchpriority=low", header)
    assert len(named) == len(set(named)) > 10
    assert set(named) <= set(FILES)
    assert any("/ArrowVegaLiteChart." in name for name in named)
    begins = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not [name for name in named if name in begins], "it is asked for anyway"
    assert dict(start["headers"])[b"content-type"] == b"text/html"


@pytest.mark.parametrize("path", ["/static/js/none.js", "/_stcore/health"])
def test_what_is_no_page_names_none(begun, path: str) -> None:
    (start,) = asked(server.Ahead(_page), path)
    assert start["headers"] == [(b"content-type", b"text/html")]


def test_where_the_scripts_are_others_none_are_named(begun, tmp_path: Path) -> None:
    (start,) = asked(server.Ahead(_page, tmp_path), "/")
    assert b"link" not in dict(start["headers"])
    (tmp_path / "index.html").write_text("")
    (start,) = asked(server.Ahead(_page, tmp_path), "/")
    assert b"link" not in dict(start["headers"])


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Note what is begun, and do none of it."""
    found: dict = {}
    monkeypatch.setattr(server, "_begin", lambda name, work: found.setdefault(name, work))
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((f"/{page}", page) for page in PAGES),
        *((f"/{alias}", page) for alias, page in ALIASES.items()),
        ("/course/dropout", "dropout"),
        ("/", "home"),
        ("/course/", "home"),
    ],
)
def test_a_request_for_a_page_prepares_it(begun: dict, path: str, name: str) -> None:
    assert asked(server.Ahead(_elsewhere), path) == ELSEWHERE
    assert set(begun) == {name}


@pytest.mark.parametrize(
    ("path", "method"),
    [("/claims", "GET"), ("/favicon.png", "GET"), ("/dropout/_stcore/health", "GET"), ("/dropout", "POST")],
)
def test_other_requests_prepare_nothing(begun: dict, path: str, method: str) -> None:
    assert asked(server.Ahead(_elsewhere), path, method) == ELSEWHERE
    assert not begun


def test_what_is_begun_is_done_once_and_may_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_begun", set())
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise ValueError("no")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            server._begin("one", work)
        for thread in threading.enumerate():
            if thread.name == "prepare one":
                thread.join()
    assert calls == [1]
    assert "one: not prepared" in caplog.text


@pytest.mark.parametrize("page", PAGES)
def test_the_first_visitor_of_a_prepared_page_builds_nothing(page: str) -> None:
    figure._spec.cache_clear()
    server._page(page)
    built = figure._spec.cache_info()
    at = visit(TOPICS[page])
    assert not at.exception
    assert charts(at)
    drawn = TOPICS[page].glance(TOPICS[page].defaults()).figure
    assert figure._spec(drawn.build, WIDE)
    assert built.misses == 1
    assert figure._spec.cache_info().misses == 1


@pytest.fixture
def collector() -> Iterator[None]:
    """Let the garbage collector be afterwards as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_the_landing_page_is_prepared_and_the_collector_leaves_the_modules_alone(collector: None) -> None:
    assert gc.get_freeze_count() == 0
    server._common()
    assert gc.get_freeze_count() > 100_000
    assert gc.get_threshold()[0] == 10_000
    server._home()
    assert {"ui.page", "ui.search", "charts.landing"} <= set(sys.modules)


# The two lives of app.py


def test_streamlit_finds_the_server_in_the_entry_point() -> None:
    found = discover_asgi_app(ROOT / "app.py")
    assert found.is_asgi_app
    assert found.import_string == "app:app"


def test_imported_it_is_the_server_and_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    app = import_module("app").app
    assert isinstance(app, st.App)
    assert app._resolve_script_path() == ROOT / "app.py"
    monkeypatch.delitem(sys.modules, "app")
