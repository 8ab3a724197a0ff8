"""A page: question, controls, figure, reading, tabs; the same order for every topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts.figure import Figure
from charts.topic import CODE, NOTES, WHY, Action, Block, Fold, Link, Tab, Topic, Values, View, readings
from core.knobs import quote
from ui import (
    delivery,
    figure,
    hide,
    history,
    links,
    notes,
    playback,
    predict,
    settings,
    toolbar,
    viewport,
)
from ui.controls import Panel
from ui.style import FRAMED, PRINT, SCREEN, lay
from ui.waiting import HEAD_START, Waiting, rest, sharing
from ui.warn import warn

# Seconds between the figure and everything else where a visit begins: the browser has yet to fetch what draws a figure,
# and fetches in the order in which it is asked.
FIRST_START = 0.4
_SHOWN = "_shown"  # values that the last run drew
# Above the derivation. A heading has a link of its own; without anything to tab to before the formulas, the browser
# looks through all their parts for it at every change (React Aria's tab panels do).
_DERIVATION = "###### Derivation, with the numbers of this run"
GROWING = "Drawing more networks into the figure; change a control at any time."


def arrives() -> bool:
    """Return whether a visit begins with this run. Ask before ``start``."""
    return _SHOWN not in st.session_state


def start(title: str) -> None:
    """Set the browser's title and the few rules of style that Streamlit's theme has no setting for."""
    st.session_state.setdefault(_SHOWN, None)  # from here on this is no new visit
    st.set_page_config(page_title=f"{title} · Layerwise" if title else "Layerwise")
    lay()
    if st.context.is_embedded:
        st.html(FRAMED)


def show(topic: Topic) -> None:
    """Draw a topic's page, within the limits of the host."""
    topic = settings.allowed(topic)
    panel = Panel(topic)
    arrived = arrives()
    width = viewport.width()
    hidden = hide.hidden()
    words = hide.TEXT not in hidden
    head = _Head(topic, words)
    lesson = predict.Lesson(topic, panel)
    if words and lesson.hides:
        with head.draw():
            _warn(panel, lesson)
        lesson.ask()
        if hide.CONTROLS not in hidden:
            with st.sidebar:
                lesson.switch()  # the other controls, the scenario's name first of all, would tell
        history.watch(panel)
        return

    def takes_long() -> DeltaGenerator:
        if not panel.entered:
            panel.write()  # whoever loads the page anew meanwhile gets what was asked for
        return head.draw().empty()

    with Waiting(takes_long):
        view = topic.glance(panel.values)
    said = head.draw()

    main = view.figure
    if panel.pin is not None:
        with sharing():
            main = main.pinned(topic.view(panel.pin).figure)

    def click(point: dict[str, Any]) -> None:
        if topic.click is not None:
            panel.set(topic.click(point, panel.values))

    key = f"{topic.prefix}_main"
    aside = words and lesson.aside
    if not aside:
        figure.draw(main, width, key, click)
        if main.play:
            playback.draw()
    shown, st.session_state[_SHOWN] = st.session_state[_SHOWN], panel.values
    if arrived:
        rest(FIRST_START)
    elif not panel.entered and shown != panel.values:
        rest(HEAD_START)
    with said:
        _say(topic, panel, view, words, lesson)
    _sidebar(panel, lesson, hidden)
    if words and not aside:
        with st.container(key=toolbar.reading_key(key)):
            st.markdown(view.reading)
        with st.container(key=f"{SCREEN}_key"):
            st.caption(f"{main.key} {main.hint}")
            if panel.pin is not None:
                st.caption(panel.pin_text())
            if view.rest is not None:
                st.progress(view.done, GROWING)
    elif view.rest is not None and not aside:
        st.progress(view.done, GROWING)
    _lower(topic, panel, view, main, width, aside)
    history.watch(panel)
    if view.rest is not None and not aside:
        # The next run draws more into the same figure. A control that has been changed meanwhile gets that run instead.
        topic.refine(panel.values)
        st.rerun()


class _Head:
    """What stands above the figure.

    The browser draws anew for every part that arrives on its own, and a change of a control would wait for that: so
    nothing is sent before the figure can follow at once, unless that takes so long that the page says how far it is.
    """

    def __init__(self, topic: Topic, words: bool) -> None:
        self._topic, self._words = topic, words
        self._said: DeltaGenerator | None = None

    def draw(self) -> DeltaGenerator:
        """Draw it if that is not done yet; return the place above the figure where something can be said."""
        if self._said is None:
            start(self._topic.title)
            if self._words:
                st.markdown(f"##### {self._topic.question}")
            self._said = st.container()
        return self._said


def _sidebar(panel: Panel, lesson: predict.Lesson, hidden: frozenset[str]) -> None:
    """Draw the controls."""
    if hide.CONTROLS in hidden:
        return
    with st.sidebar:
        if hide.TEXT not in hidden:
            lesson.switch()
        panel.draw()


def _say(topic: Topic, panel: Panel, view: View, words: bool, lesson: predict.Lesson) -> None:
    """Say above the figure what to notice, what the link got wrong and what happened in the run."""
    scenario = panel.scenario()
    if words:
        lesson.say()
    if words and lesson.aside:
        pass  # the scenario's line is about the main figure
    elif words and scenario is not None:
        question = f"*{scenario.question}* " if scenario.question and lesson.asked is None else ""
        st.markdown(f":small[**{scenario.name}.** {question}{scenario.notice}]")
    elif words:
        st.caption("Your own settings. Choose a scenario to return to one of ours.")
    _warn(panel, lesson)
    if words and view.events:
        st.info("  \n".join(view.events), icon=":material/flag:")


def _warn(panel: Panel, lesson: predict.Lesson) -> None:
    """Say what the link got wrong, and what was typed and not understood."""
    warn([*panel.problems, *hide.problems(), *lesson.problems], list(panel.refused.values()))


@dataclass(frozen=True)
class _Shared:
    """What the figures of a page share: topic, panel, the column's width, what is hidden, the links to the view.

    ``link`` holds every parameter and lasts; ``brief`` is for paper and holds what differs from the defaults of today.
    """

    topic: Topic
    panel: Panel
    width: int
    hidden: frozenset[str]
    link: str
    brief: str

    def save(self, drawn: Figure, key: str, reading: str, named: bool = True) -> None:
        """Draw the toolbar of a figure, or with the controls hidden only tie its reading to it.

        The link says which figure it was copied under if it is ``named``, for the command that renders links.
        """
        bare = hide.CONTROLS in self.hidden
        link = f"{self.link}&{urlencode({'figure': drawn.name.partition('/')[2]})}" if named else self.link
        toolbar.draw(drawn, key, self.topic, self.panel.values, link, self.brief, reading, bare)


def _address(query: Mapping[str, str | list[str]]) -> str:
    """Write a link to this page."""
    written = urlencode(query, doseq=True)
    return (st.context.url or "").split("?")[0] + (f"?{written}" if written else "")


@st.fragment
def _lower(topic: Topic, panel: Panel, view: View, main: Figure, width: int, aside: bool) -> None:
    """Draw the figure's toolbar, unless the figure stands aside, and the tabs; only the open one computes."""
    alone = panel.refresh()
    if alone:
        panel.write()
    hidden = hide.hidden()
    names = topic.tab_names
    opened = panel.tab
    link = _address({**topic.query(panel.values), topic.key("tab"): opened, **predict.address()})
    brief = _address(topic.brief(panel.values, "" if opened == WHY else opened))
    shared = _Shared(topic, panel, width, hidden, link, brief)
    pinned = "" if panel.pin is None else f" {panel.pin_text()}"
    if not aside:
        shared.save(replace(main, key=main.key + pinned), f"{topic.prefix}_main", view.reading, named=False)
        with st.container(key=f"{PRINT}_caption"):
            st.caption(f"{main.caption} {main.key}{pinned}")
            st.caption(shared.brief)
    if hide.TEXT in hidden:
        # The figures of a tab that the address names stay: they may be what the lesson is about.
        for each in view.tabs:
            if each.name == opened:
                _tab(shared, each)
    else:
        # Only the derivation is open at first: the other tabs compute.
        places = st.tabs(names, default=WHY, key=topic.key("tab"), on_change="rerun")
        for name, place in zip(names, places, strict=True):
            if not place.open:
                continue
            with place:
                if name == WHY:
                    st.markdown(f"{_DERIVATION}\n\n{view.why}")
                    _folds(shared, view.folds)
                elif name == CODE:
                    for program in view.code:
                        st.caption(program.title)
                        st.code(program.text, language="python")
                    st.caption("The figure as a file, without the app")
                    st.code(_command(topic, panel.values, main), language="sh", wrap_lines=True)
                elif name == NOTES:
                    notes.draw(topic, panel)
                else:
                    _tab(shared, next(each for each in view.tabs if each.name == name))
    if (
        opened != WHY and hide.TEXT not in hidden
    ):  # on paper the derivation follows the figure, whatever tab is open
        with st.container(key=f"{PRINT}_why"):
            st.markdown(view.why)
    if alone:
        panel.release()
    if hidden or st.context.is_embedded:
        st.caption(f"[Open the whole page](?{hide.whole(panel.address())})")
    delivery.deliver()


def _command(topic: Topic, values: Values, drawn: Figure) -> str:
    """Write the command that renders the main figure."""
    from charts.gallery import Place, command  # needed for this tab alone

    return command(Place(topic, topic.settle(values), drawn))


def _tab(shared: _Shared, tab: Tab) -> None:
    """Draw a tab that computes: its controls, then what it is made of."""
    values: Values = shared.panel.values
    if hide.CONTROLS not in shared.hidden:
        with st.container(key=f"{SCREEN}_controls"):
            values = shared.panel.controls(tab)
    waiting = st.empty()
    with Waiting(lambda: waiting):
        blocks = tab.blocks(values)
    _blocks(shared, blocks, f"{shared.topic.prefix}_{quote(tab.name)}", tab.clicks)


def _folds(shared: _Shared, folds: Sequence[Fold]) -> None:
    """Draw what is folded away below the derivation; a change of the page computes and sends what is open only."""
    for fold in folds:
        key = f"{shared.topic.prefix}_{quote(fold.title)}"
        place = st.expander(fold.title, key=f"_{key}", on_change="rerun")
        if place.open:
            with place:
                with sharing():
                    blocks = fold.blocks()
                _blocks(shared, blocks, key)


Clicks = Mapping[str, Callable[[Mapping[str, Any]], Values]]
_NO_CLICKS: Clicks = {}


def _clicked(
    panel: Panel, change: Callable[[Mapping[str, Any]], Values] | None
) -> Callable[[dict[str, Any]], None] | None:
    """Return what a click on a figure of a tab does: it may concern the whole page."""
    if change is None:
        return None

    def clicked(point: dict[str, Any]) -> None:
        values = change(point)
        if values:
            panel.set(values)
            st.rerun()

    return clicked


def _blocks(shared: _Shared, blocks: Sequence[Block], key: str, clicks: Clicks = _NO_CLICKS) -> None:
    """Draw what a tab is made of, in order; without text only its figures."""
    words = hide.TEXT not in shared.hidden
    row = None
    read = ""  # key of the figure whose reading comes next
    for number, (block, reading) in enumerate(readings(blocks)):
        here = f"{key}_{number}"
        if isinstance(block, Link):  # several in a row stand side by side
            if words:
                row = row or st.container(horizontal=True, gap="medium")
                with row:
                    links.draw(block, shared.panel, here)
            continue
        row = None
        match block:
            case Figure():
                figure.draw(block, shared.width, here, _clicked(shared.panel, clicks.get(block.name)))
                if words:
                    st.caption(f"{block.caption} {block.key} {block.hint}")
                read = here if reading else ""
                shared.save(block, here, reading)
            case Action():
                # What was measured stays until it is measured anew; it is no part of the link.
                place = f"_{here}_{block.name}"
                if words and st.button(
                    block.label, key=f"{place}_button", icon=":material/timer:", type="tertiary"
                ):
                    st.session_state[place] = block.run()
                _blocks(shared, st.session_state.get(place, ()), f"{here}_{block.name}")
            case _ if words and read:
                with st.container(key=toolbar.reading_key(read)):
                    st.markdown(block)
                read = ""
            case _ if words:
                st.markdown(block)
