"""A visitor without a browser: Streamlit's protocol over one WebSocket, as far as sliders and charts need it.

It does what the browser does towards the server: it keeps what its widgets hold and the address, sends both with every
rerun, and keeps large messages for the runs that only refer to them. It draws nothing.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Slider_pb2 import Slider
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

PATIENCE = 60.0  # seconds until a run counts as lost

_ENDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
_BROKEN = (ForwardMsg.FINISHED_WITH_COMPILE_ERROR,)


@dataclass
class Answer:
    """What a rerun brought: when, in seconds of ``time.perf_counter``, how much, and what was wrong with it."""

    sent: float
    charted: float = 0.0  # arrival of the first chart, 0 if none came
    finished: float = 0.0
    size: int = 0  # bytes
    messages: int = 0
    drawn: str = ""  # hash of the first chart, its data included
    problems: list[str] = field(default_factory=list)


@dataclass
class _Kept:
    """A message that later runs may refer to, and the run that used it last."""

    message: ForwardMsg
    run: int


def _slider(widget: Any, state: WidgetState) -> None:
    if widget.type == Slider.SELECT_SLIDER:
        chosen = widget.raw_value if widget.set_value else [widget.options[int(i)] for i in widget.default]
        state.string_array_value.data[:] = chosen
    else:
        state.double_array_value.data[:] = widget.value if widget.set_value else widget.default


def _checkbox(widget: Any, state: WidgetState) -> None:
    state.bool_value = widget.value if widget.set_value else widget.default


def _selectbox(widget: Any, state: WidgetState) -> None:
    state.string_value = widget.raw_value if widget.set_value else widget.options[widget.default]


def _multiselect(widget: Any, state: WidgetState) -> None:
    chosen = widget.raw_values if widget.set_value else [widget.options[i] for i in widget.default]
    state.string_array_value.data[:] = chosen


def _buttons(widget: Any, state: WidgetState) -> None:
    chosen = widget.raw_values if widget.set_value else [widget.options[i].content for i in widget.default]
    state.string_array_value.data[:] = chosen


def _text(widget: Any, state: WidgetState) -> None:
    state.string_value = widget.value if widget.set_value else widget.default


# How each kind of widget says what it holds.
_WIDGETS: Mapping[str, Callable[[Any, WidgetState], None]] = {
    "slider": _slider,
    "checkbox": _checkbox,
    "selectbox": _selectbox,
    "multiselect": _multiselect,
    "button_group": _buttons,
    "text_input": _text,
}


class Visitor:
    """One session in an app.

    Args:
        address: of the server, ``http://127.0.0.1:8501``.
        page: its path there, empty for the first one.
        query: parameters of the link.
        reports: what components of the page report on arrival, by the component's name.
        greets: whether to ask for the page first and keep the cookie that comes with it, by which a balancer knows its
            visitors.
    """

    def __init__(
        self,
        address: str,
        page: str = "",
        query: Mapping[str, Sequence[str]] | None = None,
        reports: Mapping[str, Mapping[str, Any]] | None = None,
        greets: bool = False,
    ) -> None:
        self.address, self.page, self.reports = address, page, reports or {}
        self.query: dict[str, list[str]] = {name: list(texts) for name, texts in (query or {}).items()}
        self.greets = greets
        self.sliders: dict[str, Any] = {}  # by key
        self.components: dict[str, list[tuple[str, str]]] = {}  # by name: identity, fragment
        self.drawn = ""
        self._states: dict[str, WidgetState] = {}
        self._kept: dict[str, _Kept] = {}
        self._age = 2
        self._runs = 0
        self._script = ""
        self._seen: set[str] = set()
        self._socket: ClientConnection | None = None

    async def open(self) -> Answer:
        """Connect, run the page, and report what its components report; returns the last run's answer."""
        cookies = await asyncio.to_thread(self._greet) if self.greets else []
        self._socket = await connect(
            f"ws://{urlsplit(self.address).netloc}/_stcore/stream",
            additional_headers={"Cookie": "; ".join(cookies)} if cookies else None,
            subprotocols=["streamlit"],  # type: ignore[list-item]
            compression=None,  # as Streamlit's default has it
            max_size=None,
            ping_interval=None,
        )
        answer = await self.run()
        told = False
        for name, report in self.reports.items():
            for identity, _ in self.components.get(name, []):
                self._states[identity] = WidgetState(id=identity, json_value=json.dumps(report))
                told = True
        if told:
            again = await self.run()
            again.problems[:0] = answer.problems
            answer = again
        return answer

    def _greet(self) -> list[str]:
        """Ask for the page; return the cookies that came with it."""
        with urlopen(f"{self.address}/{self.page}", timeout=PATIENCE) as answer:
            return [each.split(";")[0] for each in answer.headers.get_all("Set-Cookie") or []]

    async def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def move(self, key: str, value: str) -> Answer:
        """Set a slider to a stop, as ``stops`` names it, and wait until the script has finished."""
        slider = self.sliders.get(key)
        if slider is None:
            return Answer(time.perf_counter(), problems=[f"no slider {key}"])
        state = WidgetState(id=slider.id)
        if slider.type == Slider.SELECT_SLIDER:
            state.string_array_value.data[:] = [value]
        else:
            state.double_array_value.data[:] = [float(value)]
        self._states[slider.id] = state
        if slider.query_param_key:
            self.query[slider.query_param_key] = [value]
        return await self.run()

    async def trigger(self, component: str, event: str, value: object) -> Answer:
        """Let the first component of a name report an event, and wait until its part of the script has finished."""
        identity, fragment = self.components[component][0]
        event_id = f"$$STREAMLIT_INTERNAL_KEY_{identity}__events"
        payload = json.dumps([{"event": event, "value": value}])
        return await self.run(WidgetState(id=event_id, json_trigger_value=payload), fragment)

    async def run(self, once: WidgetState | None = None, fragment: str = "") -> Answer:
        """Run the script, or one fragment of it, and read until it has finished for good."""
        sent = time.perf_counter()
        answer = Answer(sent)
        if self._socket is None:
            answer.problems.append("not connected")
            return answer
        self._seen = set()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._socket.send(self._request(once, fragment))
                while not answer.finished:
                    data = await self._socket.recv(decode=False)
                    now = time.perf_counter()
                    answer.size += len(data)
                    answer.messages += 1
                    self._take(ForwardMsg.FromString(data), now, answer, bool(fragment))
        except TimeoutError:
            answer.problems.append(f"no end within {PATIENCE:g} s")
        except (OSError, WebSocketException) as error:
            answer.problems.append(f"connection lost: {error}")
            self._socket = None
        return answer

    def _request(self, once: WidgetState | None, fragment: str) -> bytes:
        """Write the message that asks for a rerun."""
        message = BackMsg()
        ask = message.rerun_script
        ask.query_string = urlencode(self.query, doseq=True)
        if self._script:
            ask.page_script_hash = self._script
        else:
            ask.page_name = self.page
        ask.fragment_id = fragment
        ask.cached_message_hashes.extend(self._kept)
        ask.widget_states.widgets.extend(self._states.values())
        if once is not None:
            ask.widget_states.widgets.append(once)
        ask.context_info.timezone = "UTC"
        ask.context_info.locale = "en"
        ask.context_info.url = f"{self.address}/{self.page}"
        ask.context_info.color_scheme = "light"
        return bytes(message.SerializeToString())

    def _take(self, message: ForwardMsg, now: float, answer: Answer, part: bool) -> None:
        """Take one message as the browser does."""
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            kept = self._kept.get(message.ref_hash)
            if kept is None:
                answer.problems.append("a reference to a message that is not kept")
                return
            kept.run = self._runs
            self._element(kept.message, now, answer, message.ref_hash)
        elif kind == "delta":
            if message.metadata.cacheable:
                self._kept[message.hash] = _Kept(message, self._runs)
            self._element(message, now, answer, message.hash)
        elif kind == "new_session":
            self._script = message.new_session.page_script_hash
            self._age = message.new_session.config.max_cached_message_age
        elif kind == "navigation":
            self._script = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = parse_qs(message.page_info_changed.query_string, keep_blank_values=True)
        elif kind == "page_not_found":
            answer.problems.append("page not found")
        elif kind == "script_finished":
            self._end(message.script_finished, now, answer, part)

    def _element(self, message: ForwardMsg, now: float, answer: Answer, name: str) -> None:
        """Note what matters of an element: a widget's state, the first chart, an exception."""
        delta = message.delta
        if delta.WhichOneof("type") != "new_element":
            return
        kind = delta.new_element.WhichOneof("type")
        if kind is None:
            return
        element = getattr(delta.new_element, kind)
        if kind == "vega_lite_chart" and not answer.charted:
            answer.charted, answer.drawn = now, name
        elif kind == "exception":
            answer.problems.append(f"exception: {element.type} {element.message}")
        elif kind == "bidi_component":
            self._seen.add(element.id)
            placed = (element.id, delta.fragment_id)
            known = self.components.setdefault(element.component_name, [])
            if placed not in known:
                known[:] = [each for each in known if each[0] != element.id] + [placed]
        elif kind in _WIDGETS:
            self._seen.add(element.id)
            if kind == "slider":
                self.sliders[element.query_param_key or element.id.rsplit("-", 1)[-1]] = element
            if element.set_value or element.id not in self._states:
                state = WidgetState(id=element.id)
                _WIDGETS[kind](element, state)
                self._states[element.id] = state

    def _end(self, status: int, now: float, answer: Answer, part: bool) -> None:
        """Take the end of a run: messages grow old, and widgets that are gone are forgotten."""
        if status in _BROKEN:
            answer.problems.append("the script does not compile")
        if status in (*_ENDED, *_BROKEN):
            answer.finished = now
            if not part:
                self._states = {name: state for name, state in self._states.items() if name in self._seen}
        self._runs += 1
        if not part:
            oldest = self._runs - self._age
            self._kept = {name: kept for name, kept in self._kept.items() if kept.run >= oldest}

    def stops(self, key: str, low: float, high: float) -> list[str]:
        """Name the stops of a slider from ``low`` to ``high``."""
        slider = self.sliders[key]
        if slider.type == Slider.SELECT_SLIDER:
            return [text for text in slider.options if low <= float(text) <= high]
        count = int((slider.max - slider.min) / slider.step + 1e-9)
        numbers = (round(slider.min + slider.step * i, 10) for i in range(count + 1))
        return [f"{number:.10g}" for number in numbers if low <= number <= high]
