"""From the notes: the study notes' claims with what was measured, and their questions with what shows them."""

import logging
from collections import Counter
from collections.abc import Generator, Sequence
from contextvars import copy_context

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import claims, progress, theme
from charts.notes import Claim, Question, notes
from charts.topic import WHY, Link, Measured, Topic
from ui import links
from ui.controls import Panel
from ui.squeeze import squeezed
from ui.waiting import Waiting

_ALL = "all"

_log = logging.getLogger("layerwise")


def _swatches() -> str:
    """Return the rules of style of the verdicts' swatches, in the colors of the figure.

    A swatch is all border: that is what printers print, unlike a ground.
    """
    inks = {ink.use: ink for ink in theme.INKS}
    rules = "".join(
        f".verdict-{name} {{ border-color: light-dark({inks[look.ink].light}, {inks[look.ink].dark}); "
        f"opacity: {look.shade:g}; }}\n"
        for name, look in claims.VERDICTS.items()
    )
    return f"""
[class^="verdict-"] {{ display: inline-block; width: 11px; border-top: 11px solid; margin-right: .45em; }}
{rules}"""


SWATCHES = squeezed(_swatches())


def draw(topic: Topic, panel: Panel) -> None:
    """Show a topic's questions, and its claims and errata with the measurement that judges them."""
    found = notes(topic.name)
    st.html(f"<style>{SWATCHES}</style>")
    for entry in found.questions:
        st.markdown(claims.sentence(entry))
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
        (_ALL, *(verdict for verdict in claims.VERDICTS if verdict in counts)),
        default=_ALL,
        required=True,
        format_func=lambda name: f"{name} {counts.get(name, len(entries))}",
        key=key,
    )
    return tuple(entry for entry in entries if verdict in (_ALL, entry.verdict))


def measured(
    waiting: Sequence[tuple[Claim, claims.Measure | None]], place: DeltaGenerator
) -> Generator[Measured | None]:
    """Measure what judges each claim, one after the other, with a bar if it takes longer than a moment.

    All of them wait as one long run: they take a turn among those of other visitors, and end when a control is changed.

    Args:
        waiting: claims with what measures them, None where nothing does.
        place: of the bar; nothing is left of the bar in it.

    Yields:
        for each claim what was measured, None if that failed, which goes to the log.
    """
    with Waiting(lambda: place):
        outer = (
            copy_context()
        )  # in which the bar listens: what one measurement reports is a part of the whole
        for done, (entry, measure) in enumerate(waiting):

            def tell(share: float, _: str, done: int = done, name: str = entry.id) -> None:
                outer.run(progress.report, (done + share) / len(waiting), f"Measuring {name}")

            found = claims.known(measure)
            if found is None and measure is not None:
                try:
                    with progress.listening(tell):
                        progress.report(0.0, "")
                        found = claims.measure(measure)
                except Exception:  # whatever a measurement may raise: the others are to be seen all the same
                    _log.exception(f"{entry.id} could not be measured")
            yield found


def _list(topic: Topic, panel: Panel, entries: tuple[Claim, ...]) -> None:
    """Show claims one below the other: sentence, verdict, correction, measurement, link."""
    waiting = [(entry, topic.measures.get(entry.id)) for entry in entries]
    found = list(measured(waiting, st.empty()))
    by = claims.amended(notes(topic.name).errata)
    for entry, what in zip(entries, found, strict=True):
        st.markdown(
            claims.sentence(entry, claims.evidence(entry, what), by.get(entry.id, ())), unsafe_allow_html=True
        )
        if entry.view or entry.tab:
            # The list stays open below whatever is changed above it: a claim of the main figure opens the derivation.
            links.draw(Link("See it", entry.view, tab=entry.tab or WHY), panel, f"_note_{entry.id}")
