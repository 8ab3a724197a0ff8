"""The menu: which pages there are, in which section, under which address."""

import base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from charts.addresses import ALIASES
from ui import settings


class Entry(NamedTuple):
    """One page of the menu."""

    script: str
    title: str
    icon: str
    section: str
    question: str
    sentence: str


# The questions stand here, not only in the topics, so that the landing page can show them at once.
ENTRIES: Mapping[str, Entry] = {
    "activations": Entry(
        "pages/activations.py",
        "Activations",
        ":material/show_chart:",
        "Signal",
        "What does this function do to a signal and to its gradient?",
        "Slopes of sigmoid, tanh, ReLU and GELU: two of them go to 0 on both sides.",
    ),
    "initialization": Entry(
        "pages/initialization.py",
        "Initialization",
        ":material/stacked_line_chart:",
        "Signal",
        "Does a signal, and its gradient, survive fifty layers?",
        "Five initializations through fifty layers of ReLU: one line stays level.",
    ),
    "batchnorm": Entry(
        "pages/batchnorm.py",
        "BatchNorm",
        ":material/equalizer:",
        "Layers",
        "Why does the same sample come out differently in training and in evaluation?",
        "One sample: dots from training scatter around the truth, the line of evaluation has to find it.",
    ),
    "dropout": Entry(
        "pages/dropout.py",
        "Dropout",
        ":material/blur_on:",
        "Layers",
        "What do you have to scale, and when?",
        "Six ways to use dropout: where the blue rule lies outside the hump, there is a bug.",
    ),
    "optimizers": Entry(
        "pages/optimizers.py",
        "Optimizers",
        ":material/route:",
        "Training",
        "Which path does each rule take, and why?",
        "GD, Momentum, RMSProp and Adam in a narrow valley, from the same start.",
    ),
}

# Beside the pages that a host chooses from: what their notes say.
CLAIMS = Entry(
    "pages/claims.py",
    "Claims",
    ":material/fact_check:",
    "Notes",
    "Which sentences of the notes are right as they stand?",
    "Every claim, erratum and question of the notes, with what was measured.",
)


@lru_cache(maxsize=1)
def icon() -> str:
    """Return the browser's icon, as an address that holds it.

    A file of our own: an icon by name Streamlit fetches from elsewhere. It would read the file at every run.
    """
    content = (Path(__file__).parent / "icon.png").read_bytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


_MENU = "_menu"  # of a session; each of its pages looks into the file system when it is made


def offered() -> Mapping[str, Entry]:
    """Return the pages that this host offers, by name, in the order of the menu."""
    pages = settings.current().pages
    return {name: entry for name, entry in ENTRIES.items() if name in pages}


def run() -> StreamlitPage:
    """Declare the menu and return the page that the address names."""
    if _MENU not in st.session_state:
        st.session_state[_MENU] = _sections()
    # In a frame of another page (?embed=true) the menu would lead the frame away.
    return st.navigation(st.session_state[_MENU], position="hidden" if st.context.is_embedded else "top")


def _sections() -> dict[str, list[StreamlitPage]]:
    """Make the pages, by the section of the menu, former names among them."""
    sections: dict[str, list[StreamlitPage]] = {
        "": [st.Page("pages/home.py", title="Layerwise", icon=":material/layers:", default=True)]
    }
    for name, entry in offered().items():
        page = st.Page(entry.script, title=entry.title, icon=entry.icon, url_path=name)
        sections.setdefault(entry.section, []).append(page)
        for alias in (other for other, today in ALIASES.items() if today == name):
            away = st.Page(_moved(page), title=entry.title, url_path=alias, visibility="hidden")
            sections[entry.section].append(away)
    sections[CLAIMS.section] = [
        st.Page(CLAIMS.script, title=CLAIMS.title, icon=CLAIMS.icon, url_path="claims")
    ]
    return sections


def _moved(page: StreamlitPage) -> Callable[[], None]:
    """Return a page that hands another name's link over to the page of today, parameters and all."""

    def hand_over() -> None:
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        st.switch_page(page, query_params=query)

    return hand_over
