"""Links inside the app: to another view of the page, or to another page."""

from collections.abc import Callable

import streamlit as st

from charts.topic import Link
from ui.controls import Panel
from ui.navigation import offered
from ui.settings import allowed


def here(label: str, change: Callable[[], None], key: str) -> None:
    """Draw a button in a fragment whose change concerns the whole page."""

    def clicked() -> None:
        change()
        # By itself the fragment would run alone. Asked for in the callback, the rerun of the page belongs to the same
        # event, so that the controls outside the fragment and the address learn their new values.
        st.rerun()

    st.button(label, key=key, icon=":material/arrow_upward:", type="tertiary", on_click=clicked)


def draw(link: Link, panel: Panel, key: str) -> None:
    """Draw a link; one to this page sets its controls, one to another page, if the host offers it, opens it with its own."""
    if link.page in ("", panel.topic.name):
        here(link.label, lambda: panel.go(link), key)
        return
    away(link)


def away(link: Link) -> None:
    """Draw a link to a page, if the host offers it; it opens with the link's own values.

    Raises:
        KeyError: no page has that name.
    """
    entry = offered().get(link.page)
    if entry is None:
        return
    from charts.topics import TOPICS  # all pages: nobody waits for them before there is a link to one of them

    topic = allowed(TOPICS[link.page])
    query = topic.query(topic.fill(link.values)) | ({topic.key("tab"): link.tab} if link.tab else {})
    st.page_link(entry.script, label=link.label, icon=entry.icon, query_params=query)
