"""From the notes: the study notes' claims with what was measured, and their questions with what shows them."""

import time
from collections import Counter

import streamlit as st

from charts import progress
from charts.notes import Claim, Question, notes
from charts.topic import WHY, Link, Measured, Topic
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
_ALL = "all"
_SOON = 0.2  # seconds of measuring that need no progress bar

# Sentences that are neither true nor false: what was measured stands beside them without a judgment.
_OPEN = ("gap", "depends")
_HOLDS = {True: "Measured, holds:", False: "Measured, does not hold:", None: "Measured:"}


def draw(topic: Topic, panel: Panel) -> None:
    """Show a topic's questions, and its claims and errata with the measurement that judges them."""
    found = notes(topic.name)
    for entry in found.questions:
        st.markdown(f"**{entry.question}** :small[:gray[{entry.id}]]  \n{entry.answer}")
        _show(entry, panel)
    for title, entries in (("Claims", found.claims), ("Errata", found.errata)):
        if entries:
            place = st.expander(
                f"{title} of the notes: {len(entries)}", key=f"_{topic.prefix}_{title}", on_change="rerun"
            )
            if place.open:  # what is not looked at is not measured
                with place:
                    _list(topic, panel, _chosen(entries, f"_{topic.prefix}_{title}_verdict"))


def _show(entry: Question, panel: Panel) -> None:
    """Draw the link from a question to what shows it."""
    key = f"_note_{entry.id}"
    if not entry.scenario:
        links.draw(Link(f"See it: {entry.tab or 'the figure'}", entry.view, tab=entry.tab or WHY), panel, key)
        return

    def choose() -> None:
        panel.choose(entry.scenario)
        scenario = panel.topic.scenario(entry.scenario)
        panel.open(scenario.tab if scenario is not None and scenario.tab else WHY)

    links.here(f"See it: {entry.scenario}", choose, key)


def _chosen(entries: tuple[Claim, ...], key: str) -> tuple[Claim, ...]:
    """Offer the verdicts that occur, and return the claims with the one that was picked."""
    counts = Counter(entry.verdict for entry in entries)
    verdict = st.segmented_control(
        "Verdict",
        (_ALL, *(verdict for verdict in _COLORS if verdict in counts)),
        default=_ALL,
        required=True,
        format_func=lambda name: f"{name} {counts.get(name, len(entries))}",
        key=key,
    )
    return tuple(entry for entry in entries if verdict in (_ALL, entry.verdict))


def _measure(topic: Topic, entries: tuple[Claim, ...]) -> dict[str, Measured]:
    """Measure what judges the claims, with a bar if it takes longer than a moment."""
    found: dict[str, Measured] = {}
    waiting, begin = st.empty(), time.monotonic()
    for done, entry in enumerate(entries):

        def tell(share: float, _: str, done: int = done, name: str = entry.id) -> None:
            if time.monotonic() - begin > _SOON:
                waiting.progress((done + share) / len(entries), f"Measuring {name}")

        measure = topic.measures.get(entry.id)
        with progress.listening(tell):
            progress.report(0.0, "")
            found[entry.id] = measure() if measure is not None else Measured(None, "")
    waiting.empty()
    return found


def _list(topic: Topic, panel: Panel, entries: tuple[Claim, ...]) -> None:
    """Show claims one below the other: sentence, verdict, correction, measurement, link."""
    found = _measure(topic, entries)
    for entry in entries:
        measured = found[entry.id]
        color = _COLORS[entry.verdict]
        text = (
            f":{color}-badge[{entry.verdict}] “{entry.says}” :small[:gray[{entry.id}, notes {entry.place}]]"
        )
        if entry.right:
            text += f"  \n{entry.right}"
        if measured.text:
            holds = None if entry.verdict in _OPEN else measured.holds
            text += f"  \n:small[**{_HOLDS[holds]}** {measured.text}]"
        st.markdown(text)
        if entry.view or entry.tab:
            # The list stays open below whatever is changed above it: a claim of the main figure opens the derivation.
            links.draw(Link("See it", entry.view, tab=entry.tab or WHY), panel, f"_note_{entry.id}")
