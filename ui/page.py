"""A page: question, controls, figure, reading, tabs; the same order for every topic."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from charts import progress
from charts.figure import Figure
from charts.topic import CODE, NOTES, WHY, Action, Block, Fold, Link, Topic, Values, View
from core.knobs import quote
from ui import figure, links, navigation, notes, playback, viewport
from ui.controls import Panel

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { padding: 4.2rem 2.5rem 3rem; max-width: 1640px; }
[data-testid="stMainBlockContainer"] > [data-testid="stVerticalBlock"] { gap: 0.6rem; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] { gap: 0.7rem; }
[data-testid="stSidebarHeader"] { min-height: 0; height: 2.2rem; padding-bottom: 0; }
[data-testid="stSidebarContent"], .vega-bind, [data-testid="stVegaLiteChart"] { font-variant-numeric: tabular-nums; }
[data-testid="stMarkdownContainer"] table { display: block; width: fit-content; max-width: 100%; overflow-x: auto; }
.katex-display { overflow-x: auto; overflow-y: hidden; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 4.2rem 1rem 3rem; } }
.vega-bind { display: flex; gap: .6rem; align-items: center; font-size: .85rem; }
.vega-bind-name { min-width: 0 !important; width: auto !important; }
.vega-bind input[type=range] { width: min(320px, 45vw); }
</style>
"""


# Seconds between the figure and everything below it when a control has changed. The browser draws what arrives
# together in one go: sent at once, the text, its formulas and the controls would hold the figure up by half its time.
HEAD_START = 0.06
GROWING = "Drawing more networks into the figure; change a control at any time."


def start(title: str) -> None:
    """Set the browser's title and the few rules of style that Streamlit's theme has no setting for."""
    st.set_page_config(page_title=f"{title} · Layerwise" if title else "Layerwise", page_icon=navigation.ICON)
    st.html(STYLE)


def show(topic: Topic) -> None:
    """Draw a topic's page."""
    navigation.require()
    start(topic.title)
    panel = Panel(topic)
    width = viewport.width()

    st.markdown(f"##### {topic.question}")
    said = st.container()
    waiting = st.empty()

    # Every report passes through Streamlit, which ends this run there when a control has been changed since.
    with progress.listening(waiting.progress):
        view = topic.glance(panel.values)
    waiting.empty()
    with said:
        _say(topic, panel, view)

    main = view.figure
    if panel.pin is not None:
        main = main.pinned(topic.view(panel.pin).figure)

    def click(point: dict[str, Any]) -> None:
        if topic.click is not None:
            panel.set(topic.click(point, panel.values))

    figure.draw(main, width, f"{topic.prefix}_main", click)
    if main.play:
        playback.draw()
    if not panel.entered:
        time.sleep(HEAD_START)
    with st.sidebar:
        panel.draw()
    st.markdown(view.reading)
    st.caption(f"{main.key} {main.hint}")
    if panel.pin is not None:
        st.caption(panel.pin_text())
    growing = st.empty()
    if view.rest is not None:
        growing.progress(view.done, GROWING)
    _lower(topic, panel, view, main, width)
    viewport.watch()
    if view.rest is not None:
        # The next run draws more into the same figure. A control that has been changed meanwhile gets that run instead.
        topic.refine(panel.values)
        st.rerun()


def _say(topic: Topic, panel: Panel, view: View) -> None:
    """Say above the figure what to notice, what the link got wrong and what happened in the run."""
    scenario = panel.scenario()
    if scenario is not None:
        question = f"*{scenario.question}* " if scenario.question else ""
        st.markdown(f":small[**{scenario.name}.** {question}{scenario.notice}]")
    else:
        st.caption("Your own settings. Choose a scenario to return to one of ours.")
    if panel.problems:
        shown = panel.problems[:4]
        more = len(panel.problems) - len(shown)
        text = "; ".join(_literal(line) for line in shown) + (f"; and {more} more" if more > 0 else "")
        st.warning(f"Not used from the link, defaults instead: {text}", icon=":material/link_off:")
    if panel.refused:
        typed = "; ".join(_literal(line) for line in panel.refused.values())
        st.warning(f"Not understood, the default is drawn instead: {typed}", icon=":material/edit_off:")
    if view.events:
        st.info("  \n".join(view.events), icon=":material/flag:")


def _literal(text: str) -> str:
    """Show foreign text as it is: nothing in it is Markdown, HTML or a formula."""
    line = " ".join(text.split()).replace("`", "ˋ")
    return f"`{line}`" if line else ""


def _toolbar(topic: Topic, panel: Panel, main: Figure) -> None:
    """Offer the link to exactly this figure, and its caption."""
    address = st.context.url or ""
    # On arrival the tabs, which come after, have not yet said which of them is open.
    tab = st.session_state.get(topic.key("tab")) or st.query_params.get(topic.key("tab"))
    opened = tab if tab in topic.tab_names else WHY
    query = urlencode({**topic.query(panel.values), topic.key("tab"): opened}, doseq=True)
    link = f"{address.split('?')[0]}?{query}"
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        with st.popover("Copy link", icon=":material/link:", type="tertiary"):
            st.caption("Opens this view with every parameter, whatever the defaults become.")
            st.code(link, language=None, wrap_lines=True)
        with st.popover("Caption", icon=":material/notes:", type="tertiary"):
            st.caption("States every parameter; paste it below the figure.")
            st.code(f"{main.title}. {main.caption} {main.key}", language=None, wrap_lines=True)
        figure.save(main, f"{topic.prefix}_main")


@st.fragment
def _lower(topic: Topic, panel: Panel, view: View, main: Figure, width: int) -> None:
    """Draw the figure's buttons and the tabs; only the open one computes."""
    panel.refresh()
    _toolbar(topic, panel, main)
    names = topic.tab_names
    # Only the derivation is open at first: the other tabs compute.
    places = st.tabs(names, default=WHY, key=f"{topic.prefix}_tab", on_change="rerun", bind="query-params")
    for name, place in zip(names, places, strict=True):
        if not place.open:
            continue
        with place:
            if name == WHY:
                st.markdown(view.why)
                _folds(topic, panel, view.folds, width)
            elif name == CODE:
                for program in view.code:
                    st.caption(program.title)
                    st.code(program.text, language="python")
            elif name == NOTES:
                notes.draw(topic, panel)
            else:
                tab = next(tab for tab in view.tabs if tab.name == name)
                values = panel.controls(tab)
                waiting = st.empty()
                with progress.listening(waiting.progress):
                    blocks = tab.blocks(values)
                waiting.empty()
                _blocks(topic, panel, blocks, width, f"{topic.prefix}_{quote(name)}", tab.clicks)


def _folds(topic: Topic, panel: Panel, folds: Sequence[Fold], width: int) -> None:
    """Draw what is folded away below the derivation; a change of the page computes and sends what is open only."""
    for fold in folds:
        key = f"{topic.prefix}_{quote(fold.title)}"
        place = st.expander(fold.title, key=f"_{key}", on_change="rerun")
        if place.open:
            with place:
                _blocks(topic, panel, fold.blocks(), width, key)


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


def _blocks(
    topic: Topic, panel: Panel, blocks: Sequence[Block], width: int, key: str, clicks: Clicks = _NO_CLICKS
) -> None:
    """Draw what a tab is made of, in order."""
    row = None
    for number, block in enumerate(blocks):
        here = f"{key}_{number}"
        if isinstance(block, Link):  # several in a row stand side by side
            row = row or st.container(horizontal=True, gap="medium")
            with row:
                links.draw(block, panel, here)
            continue
        row = None
        match block:
            case Figure():
                figure.draw(block, width, here, _clicked(panel, clicks.get(block.name)))
                st.caption(f"{block.caption} {block.key} {block.hint}")
                figure.save(block, here)
            case Action():
                # What was measured stays until it is measured anew; it is no part of the link.
                place = f"_{here}_{block.name}"
                if st.button(block.label, key=f"{place}_button", icon=":material/timer:", type="tertiary"):
                    st.session_state[place] = block.run()
                _blocks(topic, panel, st.session_state.get(place, ()), width, f"{here}_{block.name}")
            case _:
                st.markdown(block)
