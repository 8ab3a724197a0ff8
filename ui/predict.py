"""Predict first: the question of a view before its figure, and what the prediction missed beside it.

Progress lives in the session. Whoever wants it has it in the address too, and so in copied links.
"""

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts import predictions
from charts.notes import Prediction
from charts.topic import LEARNING, WHY, Link, Topic
from core.knobs import quote
from ui.controls import Panel
from ui.navigation import offered
from ui.waiting import Waiting

ON, PROGRESS = LEARNING  # parameters of the address
_SWITCH, _KEEPER = "_predict_switch", "_predict_keeper"
_STATE = "_predict"
_YES = predictions.ASK[ON]
PAUSE = 0.5  # seconds in which a new question takes no answer


class Lesson:
    """Learning mode on one page, in one visitor's session."""

    def __init__(self, topic: Topic, panel: Panel) -> None:
        """Find the question of the view that the panel holds, if the visitor wants questions."""
        self.topic, self.panel = topic, panel
        self._state = _state()
        told: tuple[str, ...] = self._state["problems"]
        if told:  # until a control is changed
            seen = self._state.setdefault("seen", (topic.name, panel.values))
            told = told if seen == (topic.name, panel.values) else ()
        self.problems = told
        self.asked = self._find() if self.on else None

    @property
    def on(self) -> bool:
        """Whether questions come before figures."""
        return bool(self._state["on"])

    @property
    def _given(self) -> dict[str, int]:
        """The answers on this page, by prediction."""
        given: dict[str, int] = self._state["answers"].setdefault(self.topic.name, {})
        return given

    @property
    def _judged(self) -> dict[str, bool]:
        """What the runs of this session said of the answers on this page."""
        judged: dict[str, bool] = self._state["judged"].setdefault(self.topic.name, {})
        return judged

    @property
    def hides(self) -> bool:
        """Whether the figure waits for an answer."""
        return self.asked is not None and self.asked.id not in self._given

    @property
    def aside(self) -> bool:
        """Whether a tab shows the answer, so that the main figure stands aside."""
        asked = self.asked
        return (
            asked is not None
            and bool(predictions.tab(self.topic, asked))
            and self._state["both"] != (self.topic.name, asked.id)
        )

    def _find(self) -> Prediction | None:
        """Return the question about the present view; the one that was asked last if there are several."""
        found = predictions.matching(self.topic, self.topic.settle(self.panel.values))
        last = self._state["asked"].get(self.topic.name)
        return next((each for each in found if each.id == last), found[0] if found else None)

    # Drawing

    def switch(self) -> None:
        """Draw the switch, and keep the address as the session has it."""
        if st.session_state.get(_SWITCH) != self.on:
            st.session_state[_SWITCH] = self.on

        def turn() -> None:
            self._state["on"] = bool(st.session_state[_SWITCH])
            self._state["problems"] = ()
            self._state["both"] = None

        st.toggle(
            "Predict first",
            key=_SWITCH,
            on_change=turn,
            help="Ask the question of a view before its figure is drawn.",
        )
        if self.hides:
            st.caption("The controls follow with the figure.")
        _write(address())

    def ask(self) -> None:
        """Draw the question in place of the figure."""
        asked = self.asked
        if asked is None:
            return
        if self._state["drawn"][:2] != (self.topic.name, asked.id):
            self._state["drawn"] = (self.topic.name, asked.id, time.monotonic())
        with st.container(border=True, key="predict_card", gap="small"):
            all_ = predictions.offered(self.topic)
            st.caption(f"Question {all_.index(asked) + 1} of {len(all_)}. The figure follows your answer.")
            st.markdown(f"**{predictions.question(self.topic, asked)}**")
            for number, answer in enumerate(asked.answers):
                st.button(
                    answer,
                    key=f"_predict_{asked.id}_{number}",
                    width="stretch",
                    on_click=self._answer,
                    args=(asked, number),
                )
            st.button(
                "Show the figure without an answer",
                key=f"_predict_{asked.id}_seen",
                type="tertiary",
                on_click=self._answer,
                args=(asked, predictions.SEEN),
            )

    def say(self) -> None:
        """Draw above the figure what the prediction missed, and the way to the next question."""
        if not self.on:
            return
        asked = self.asked
        with st.container(border=True, key="predict_verdict", gap="small"):
            if asked is not None and asked.id in self._given:
                with Waiting(st.empty):
                    text = self._verdict(asked, self._given[asked.id])
                st.markdown(text)
            else:
                st.caption("This view has no question of its own.")
            self._onward()

    def _verdict(self, asked: Prediction, given: int) -> str:
        """Say what the run makes of the answer."""
        outcome = self.topic.predictions[asked.id](self.topic.settle(self.panel.values))
        self._judged[asked.id] = given == outcome.answer
        right = asked.answers[outcome.answer].rstrip(".")
        if given == outcome.answer:
            head = f":green-badge[as you predicted] **{right}.**"
        elif given == predictions.SEEN:
            head = f":gray-badge[not predicted] **{right}.**"
        else:
            said = asked.answers[given].rstrip(".")
            head = f":orange-badge[not as you predicted] You said: {said}. The run says: **{right}.**"
        line = outcome.said[outcome.answer if given == predictions.SEEN else given]
        return f":small[{predictions.question(self.topic, asked)}]  \n{head}  \n{line}"

    def _onward(self) -> None:
        """Offer the next question, here or on another page, and what to do with the answers."""
        with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
            following = self._following()
            if following is not None:
                st.button(
                    "Next question",
                    key="_predict_next",
                    icon=":material/arrow_forward:",
                    on_click=self._go,
                    args=(following,),
                )
            else:
                entry = next(
                    (each for name, each in offered().items() if not self._state["answers"].get(name)), None
                )
                if entry is not None:
                    st.page_link(
                        entry.script,
                        label=f"Go on with {entry.title}",
                        icon=entry.icon,
                        query_params={ON: _YES},
                    )
            if self.aside:
                st.button(
                    "Show the main figure too", key="_predict_both", type="tertiary", on_click=self._both
                )
            st.caption(predictions.standing(self.topic, self._given, self._judged), width="content")
            if self._given:
                st.button(
                    "Ask me again",
                    key="_predict_again",
                    type="tertiary",
                    on_click=self._forget,
                    help="Forget the answers given on this page.",
                )
            st.session_state.setdefault(_KEEPER, self._state["kept"])

            def keep() -> None:
                self._state["kept"] = bool(st.session_state[_KEEPER])

            st.checkbox(
                "Keep my answers in the link",
                key=_KEEPER,
                on_change=keep,
                help="The address and copied links then hold the answers on all pages.",
            )
            _write(address())

    def _following(self) -> Prediction | None:
        """Return the next question of this page without an answer, beginning behind the present one."""
        all_ = predictions.offered(self.topic)
        at = next((n for n, each in enumerate(all_) if each == self.asked), -1) + 1
        return next((each for each in (*all_[at:], *all_[:at]) if each.id not in self._given), None)

    # Callbacks

    def _answer(self, asked: Prediction, number: int) -> None:
        page, name, drawn = self._state["drawn"]
        if (page, name) == (self.topic.name, asked.id) and time.monotonic() - drawn < PAUSE:
            return  # the second half of a double-click on what stood there before
        self._given[asked.id] = number
        self._state["asked"][self.topic.name] = asked.id
        self.panel.open(predictions.tab(self.topic, asked))

    def _go(self, to: Prediction) -> None:
        self._state["asked"][self.topic.name] = to.id
        self.panel.go(
            Link("", predictions.values(self.topic, to), tab=predictions.tab(self.topic, to) or WHY)
        )

    def _both(self) -> None:
        if self.asked is not None:
            self._state["both"] = (self.topic.name, self.asked.id)

    def _forget(self) -> None:
        self._state["answers"][self.topic.name] = {}
        self._state["judged"][self.topic.name] = {}
        self._state["asked"].pop(self.topic.name, None)


def _state() -> dict[str, Any]:
    """Return the session's learning mode, with what an address brings that is not of our own writing."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = {
            "on": False,
            "answers": {},  # by page and prediction
            "judged": {},
            "asked": {},  # the last prediction by page
            "kept": False,
            "problems": (),
            "address": {ON: [], PROGRESS: []},
            "drawn": ("", "", 0.0),  # which question was drawn last, and when for the first time
            "both": None,
        }
    state: dict[str, Any] = st.session_state[_STATE]
    # On the way to another page Streamlit takes our parameters out of the address: that brings nothing.
    brought = {
        name: texts
        for name in (ON, PROGRESS)
        if (texts := st.query_params.get_all(name)) and texts != state["address"][name]
    }
    if brought:
        _adopt(state, brought)
        state["address"].update(brought)
    return state


def _adopt(state: dict[str, Any], brought: Mapping[str, list[str]]) -> None:
    """Take over what an address says of learning mode."""
    problems: list[str] = []
    if PROGRESS in brought:
        # All pages: nobody waits for them without progress in the address.
        from charts.topics import TOPICS

        answers, problems = predictions.read(brought[PROGRESS], TOPICS)
        for page, given in answers.items():
            state["answers"].setdefault(page, {}).update(given)
        state["on"] = state["kept"] = True
    if ON in brought:
        wanted = brought[ON][-1]
        state["on"] = state["on"] or wanted == _YES
        if wanted != _YES:
            problems.append(f"{ON} = {quote(wanted)}: needs {_YES}")
    state["problems"] = tuple(problems)
    state.pop("seen", None)


def address() -> dict[str, str | list[str]]:
    """Return what a link to a view holds of learning mode: nothing, unless it is on."""
    state = _state()
    if not state["on"]:
        return {}
    written = predictions.write(state["answers"]) if state["kept"] else []
    return {ON: _YES, **({PROGRESS: written} if written else {})}


def _write(wanted: Mapping[str, str | list[str]]) -> None:
    """Bring the address of the browser up to date, if it is not."""
    known = _state()["address"]
    for name in (ON, PROGRESS):
        value = wanted.get(name, [])
        texts = value if isinstance(value, list) else [value]
        known[name] = texts
        if st.query_params.get_all(name) == texts:
            continue
        if texts:
            st.query_params[name] = texts
        else:
            del st.query_params[name]
