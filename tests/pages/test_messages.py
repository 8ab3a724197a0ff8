"""What the browser is told of a run: in which order, when, and what only once."""

import asyncio

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import create_reference_msg, populate_hash_if_needed

from ui import messages


def status(runs: bool) -> dict:
    message = ForwardMsg()
    message.session_status_changed.script_is_running = runs
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def sent(message: ForwardMsg) -> dict:
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def element(text: str) -> dict:
    message = ForwardMsg()
    message.delta.new_element.markdown.body = text
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


RUNS, RESTS, WORDS = status(True), status(False), element("words")
CLOSE = {"type": "websocket.close", "code": 1000}


def told(*steps: dict | float, middleware=messages.Calm) -> list[dict]:
    """Return what a browser gets of messages and of seconds between them."""
    got: list[dict] = []

    async def app(_scope, _receive, send) -> None:
        for step in steps:
            if isinstance(step, dict):
                await send(step)
            else:
                await asyncio.sleep(step)

    async def send(message: dict) -> None:
        got.append(message)

    asyncio.run(middleware(app)({"type": "websocket"}, None, send))
    return got


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ((RESTS, WORDS), (RESTS, WORDS)),
        # A short run is told of at its end, so that whatever a browser thought before, it rests then.
        ((RUNS, WORDS, RESTS), (WORDS, RUNS, RESTS)),
        ((RUNS, WORDS, 0.2, WORDS, RESTS), (WORDS, RUNS, WORDS, RESTS)),
        ((RUNS, RESTS, RUNS, WORDS, RESTS), (RUNS, RESTS, WORDS, RUNS, RESTS)),
        # What it knows is not said again: it would draw everything anew for that.
        ((RESTS, RESTS, WORDS, RESTS), (RESTS, WORDS)),
        ((RESTS, RUNS, 0.2, RESTS, RESTS), (RESTS, RUNS, RESTS)),
        # One run follows another before the browser has heard of the first.
        ((RUNS, RUNS, WORDS, 0.2, RESTS), (WORDS, RUNS, RUNS, RESTS)),
        ((RUNS, 0.03, RESTS, RUNS, 0.03, WORDS, 0.2, RESTS), (RUNS, RESTS, WORDS, RUNS, RESTS)),
        ((RUNS, WORDS, CLOSE), (WORDS, CLOSE)),
    ],
)
def test_a_short_run_is_told_of_at_its_end(monkeypatch: pytest.MonkeyPatch, steps, wanted) -> None:
    monkeypatch.setattr(messages, "MOMENT", 0.05)
    assert told(*steps) == list(wanted)


def test_what_is_long_or_text_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "ForwardMsg", None)  # whoever reads it fails
    large = element("x" * 100)
    text = {"type": "websocket.send", "text": "hello"}
    assert told(large, text, CLOSE) == [large, text, CLOSE]


def run(page: str, *rest: dict, title: str = "", icon: str = "icon") -> list[dict]:
    """Return the messages of a run as the entry point makes them: icon, menu, title, elements."""
    messages = [ForwardMsg() for _ in range(4)]
    messages[0].new_session.main_script_path = "app.py"
    messages[1].page_config_changed.favicon = icon
    messages[2].navigation.page_script_hash = page
    messages[3].page_config_changed.title = title or page
    return [{"type": "websocket.send", "bytes": each.SerializeToString()} for each in messages] + list(rest)


A, B = run("A", WORDS), run("B", WORDS)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (A, A),
        # What is the same as before is not said, another page is told of whole.
        ([*A, *A, *A], [*A, A[0], WORDS, A[0], WORDS]),
        ([*A, *B, *A], [*A, *B, *A]),
        ([*A, *B, *B], [*A, *B, B[0], WORDS]),
        ([*A, *run("A", title="other"), *A], [*A, *run("A", title="other"), *A]),
        ([*A, *run("A", icon="other")], [*A, *run("A", icon="other")]),
        # A run that is ended before its menu, or after it.
        ([*A, *A[:1], *A], [*A, A[0], A[0], WORDS]),
        ([*A, *A[:2], *B], [*A, A[0], *B]),
        ([*A, *B[:3], *A, *A], [*A, *B[:3], *A, A[0], WORDS]),
        ([*A, *B[:3], *B, *B], [*A, *B[:3], *B, B[0], WORDS]),
        # A fragment's run says nothing of it.
        ([*A, A[0], WORDS, *A], [*A, A[0], WORDS, A[0], WORDS]),
    ],
)
def test_menu_title_and_icon_are_told_once(steps, wanted) -> None:
    got = told(*steps, middleware=messages.Once)
    assert [each["bytes"] for each in got] == [each["bytes"] for each in wanted]


def test_who_connects_anew_is_told_all() -> None:
    assert told(*A, middleware=messages.Once) == told(*A, middleware=messages.Once) == A


# The figure first

PAUSE = 0.05


def begins(page: str = "A", fragment: str = "") -> dict:
    message = ForwardMsg()
    message.new_session.page_script_hash = page
    message.metadata.run.fragment_ids.extend([fragment] if fragment else [])
    return sent(message)


def chart(data: str, *path: int, name: str = "main", size: int = 20_000) -> ForwardMsg:
    message = ForwardMsg()
    drawn = message.delta.new_element.vega_lite_chart
    drawn.spec, drawn.id = data * size, name
    populate_hash_if_needed(message)
    message.metadata.delta_path.extend(path or (0, 3))
    return message


ENDS = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)
END = sent(ENDS)
ONE, TWO, THREE = (chart(letter) for letter in "abc")
BEGIN, OTHER, TABS = begins(), begins("B"), begins(fragment="tabs")
FIRST = [BEGIN, WORDS, sent(ONE), WORDS, END]


def again(message: ForwardMsg) -> dict:
    return sent(create_reference_msg(message))


def ordered(*steps: dict | float) -> list[str]:
    """Return what a browser gets, each as it is called here."""
    names = {
        BEGIN["bytes"]: "begin", OTHER["bytes"]: "other", END["bytes"]: "end", WORDS["bytes"]: "words",
        RUNS["bytes"]: "runs", TABS["bytes"]: "fragment",
    }  # fmt: skip
    for drawn, name in ((ONE, "one"), (TWO, "two"), (THREE, "three")):
        names[sent(drawn)["bytes"]], names[again(drawn)["bytes"]] = name, f"({name})"
    got = told(*steps, middleware=messages.First)
    return [names.get(each.get("bytes", b""), each["type"]) for each in got]


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "HEAD_START", PAUSE)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([], ""),
        # The figure, then all in order, the figure as a reference in its place.
        ([BEGIN, WORDS, sent(TWO), WORDS, 3 * PAUSE, END], "two begin words (two) words end"),
        ([BEGIN, WORDS, sent(TWO), 3 * PAUSE, WORDS, END], "two begin words (two) words end"),
        # Nothing is held up for longer than a figure takes, nor the end of a run.
        ([BEGIN, WORDS, sent(TWO), WORDS, END], "two begin words (two) words end"),
        ([BEGIN, WORDS, sent(TWO), WORDS, PAUSE / 5], "two"),
        ([BEGIN, WORDS, sent(TWO), 3 * PAUSE], "two begin words (two)"),
        # A control is moved on: what was kept of the run before is said before the next one's figure.
        (
            [BEGIN, WORDS, sent(TWO), BEGIN, WORDS, sent(THREE), WORDS, END, 3 * PAUSE],
            "two begin words (two) three begin words (three) words end",
        ),
        # A run that is ended before its figure leaves the next one without a place to know it by.
        ([BEGIN, BEGIN, WORDS, sent(TWO), END], "begin begin words two end"),
        ([BEGIN, WORDS, END, BEGIN, WORDS, sent(TWO), END], "begin words end begin words two end"),
        # As it was with another page, and on the way back.
        ([OTHER, WORDS, sent(TWO), END], "other words two end"),
        ([OTHER, WORDS, END, BEGIN, WORDS, sent(TWO)], "other words end begin words two"),
        # Something else stands before the figure, or the figure elsewhere, or it is another one.
        ([BEGIN, WORDS, WORDS, sent(TWO), END], "begin words words two end"),
        ([BEGIN, sent(TWO), END], "begin two end"),
        ([BEGIN, WORDS, sent(chart("b", 0, 4)), END], "begin words websocket.send end"),
        ([BEGIN, WORDS, sent(chart("b", name="else")), END], "begin words websocket.send end"),
        # One that the browser does not keep, or has: it goes in order, and the next one is known by its place.
        ([BEGIN, WORDS, sent(chart("b", size=10)), END], "begin words websocket.send end"),
        (
            [BEGIN, WORDS, again(ONE), END, BEGIN, WORDS, sent(TWO), 3 * PAUSE],
            "begin words (one) end two begin words (two)",
        ),
        # A run that takes long says so, and one that stops ends; neither waits for a figure.
        ([BEGIN, WORDS, RUNS, sent(TWO), END], "begin words runs two end"),
        ([BEGIN, END], "begin end"),
        ([BEGIN, CLOSE], "begin websocket.close"),
        ([BEGIN, WORDS, sent(TWO), CLOSE], "two begin words (two) websocket.close"),
        # A fragment draws figures of its own.
        ([TABS, sent(TWO), END], "fragment two end"),
        (
            [TABS, sent(TWO), END, BEGIN, WORDS, sent(THREE), 3 * PAUSE],
            "fragment two end three begin words (three)",
        ),
        ([BEGIN, WORDS, sent(TWO), TABS], "two begin words (two) fragment"),
    ],
)
def test_a_changed_figure_comes_before_all_else(pause, steps, wanted) -> None:
    assert ordered(*FIRST, *steps) == ["begin", "words", "one", "words", "end", *wanted.split()]


def test_a_figure_with_much_before_it_is_not_the_pages_own(pause) -> None:
    many = [WORDS] * 20
    steps = [BEGIN, *many, sent(ONE), END, BEGIN, *many, sent(TWO), END]
    assert told(*steps, middleware=messages.First) == steps


def test_nobody_is_overtaken_where_a_browser_reads_slowly(pause) -> None:
    got: list[dict] = []

    async def send(message: dict) -> None:
        await asyncio.sleep(PAUSE / 2)
        got.append(message)

    async def app(_scope, _receive, send) -> None:
        for step in (*FIRST, BEGIN, WORDS, sent(TWO), WORDS, WORDS):
            await send(step)
        await asyncio.sleep(1.5 * PAUSE)  # what was kept is on its way
        await send(END)

    asyncio.run(messages.First(app)({"type": "websocket"}, None, send))
    assert got == [*FIRST, sent(TWO), BEGIN, WORDS, again(TWO), WORDS, WORDS, END]


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_browser_that_leaves_meanwhile_is_no_error(pause, error, caplog) -> None:
    async def send(message: dict) -> None:
        if message == BEGIN and there:
            raise error

    there: list[bool] = []

    async def app(_scope, _receive, send) -> None:
        for step in FIRST:
            await send(step)
        there.append(True)
        # The figure comes, what was kept finds nobody.
        for step in (BEGIN, WORDS, sent(TWO)):
            await send(step)
        await asyncio.sleep(2 * PAUSE)

    asyncio.run(messages.First(app)({"type": "websocket"}, None, send))
    assert caplog.records == []


@pytest.mark.parametrize("middleware", [messages.First, messages.Calm, messages.Once])
def test_requests_pass(middleware) -> None:
    scopes = []

    async def app(*scope) -> None:
        scopes.append(scope)

    asyncio.run(middleware(app)({"type": "http"}, "receive", "send"))
    assert scopes == [({"type": "http"}, "receive", "send")]
