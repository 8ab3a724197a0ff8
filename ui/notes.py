"""From the notes: the study notes' claims with what was measured, and their questions with a scenario."""

import streamlit as st

from charts.notes import Claim, notes
from charts.topic import Link, Measured, Topic
from ui import links
from ui.controls import Panel

# A verdict's color in Markdown: the same three as everywhere, and gray where nothing is right or wrong.
_COLORS = {
    "right": "green",
    "imprecise": "orange",
    "depends": "orange",
    "wrong": "red",
    "typo": "gray",
    "outdated": "orange",
    "gap": "gray",
}


def draw(topic: Topic, panel: Panel) -> None:
    """Show a topic's questions, and its claims and errata with the measurement that judges them."""
    found = notes(topic.name)
    for entry in found.questions:
        st.markdown(f"**{entry.question}** :small[:gray[{entry.id}]]  \n{entry.answer}")
        links.here(
            f"See it: {entry.scenario}",
            lambda scenario=entry.scenario: panel.choose(scenario),  # type: ignore[misc]
            f"_note_{entry.id}",
        )
    for title, entries in (("Claims", found.claims), ("Errata", found.errata)):
        if entries:
            place = st.expander(
                f"{title} of the notes: {len(entries)}", key=f"_{topic.prefix}_{title}", on_change="rerun"
            )
            if place.open:  # what is not looked at is not measured
                with place:
                    _list(topic, panel, entries)


def _list(topic: Topic, panel: Panel, entries: tuple[Claim, ...]) -> None:
    """Show claims one below the other: sentence, verdict, correction, measurement, link."""
    for entry in entries:
        measure = topic.measures.get(entry.id)
        measured = measure() if measure is not None else Measured(None, "")
        color = _COLORS[entry.verdict]
        text = (
            f":{color}-badge[{entry.verdict}] “{entry.says}” :small[:gray[{entry.id}, notes {entry.place}]]"
        )
        if entry.right:
            text += f"  \n{entry.right}"
        if measured.text:
            text += f"  \n:small[**Measured:** {measured.text}]"
        st.markdown(text)
        if entry.view or entry.tab:
            links.draw(Link("See it", entry.view, tab=entry.tab), panel, f"_note_{entry.id}")
