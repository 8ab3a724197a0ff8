"""The page of the claims: what all notes say, filtered, each with the measurement that judges it and a link to it."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import claims
from charts.claims import Entry, Row
from charts.figure import NARROW
from charts.notes import Claim
from charts.topic import Link, Tab, Topic, Values
from ui import figure, hide, history, links, navigation, notes, page, settings, viewport
from ui.controls import Panel
from ui.squeeze import squeezed
from ui.warn import literal, warn

AT_ONCE = 20  # rows, and as many more with each click
_SHARE = 0.58  # of the column, for the figure; what the verdicts mean stands beside it
_PREFIX = "claims"
_LENGTH, _CLICKS = f"_{_PREFIX}_length", f"_{_PREFIX}_clicks"

_ADD = (
    "A verdict is our judgment of a sentence as it stands; the numbers below it are measured here, when it is first in "
    "view. Every claim and erratum stands in a file of `notes/` with the view that shows it, and has a function that "
    "measures it: “Add a claim of the notes” in the README says how to add one. A question has an answer and what shows it."
)

# Lines that can be read, a rule between entries, links large enough for a finger. What says how many are shown keeps
# its height while it is a bar.
_STYLE = squeezed(
    f"""
<style>
.st-key-{_PREFIX}_filters, .st-key-{_PREFIX}_state, .st-key-{_PREFIX}_list {{ max-width: 1180px; }}
.st-key-{_PREFIX}_list {{ gap: 0; }}
.st-key-{_PREFIX}_list [data-testid="stHorizontalBlock"] {{ padding: .55rem 0; gap: .2rem 2rem;
  border-top: 1px solid color-mix(in srgb, currentColor 16%, transparent); }}
.st-key-{_PREFIX}_list [data-testid="stPageLink-NavLink"] {{ min-height: 40px; }}
.st-key-{_PREFIX}_filters :has(> input) {{ min-height: 40px; }}
.st-key-{_PREFIX}_state {{ min-height: 3.2rem; justify-content: center; }}
.st-key-{_PREFIX}_state button, .st-key-{_PREFIX}_more button {{ min-height: 40px; }}
.st-key-{_PREFIX}_list [data-testid="stVerticalBlock"] {{ gap: .4rem; }}
.st-key-{_PREFIX}_list blockquote {{ margin: 0; padding: 0 0 0 .8rem; font-size: .875rem;
  color: color-mix(in srgb, var(--st-text-color) 80%, transparent); }}
@media (max-width: 640px) {{
  .st-key-{_PREFIX}_filters [data-testid="stHorizontalBlock"] {{ gap: .5rem .8rem; }}
  .st-key-{_PREFIX}_filters [data-testid="stColumn"] {{ flex: 1 1 calc(50% - .4rem); min-width: calc(50% - .4rem); }}
}}
{notes.SWATCHES}
</style>
"""
)


def topics() -> tuple[Topic, ...]:
    """Return the topics of the pages that this host offers, within its caps."""
    from charts.topics import TOPICS  # all pages: their notes and what measures them

    return tuple(settings.allowed(TOPICS[name]) for name in navigation.offered())


def show() -> None:
    """Draw the page: counts, filters, list; what is in view is measured last, and nothing else is."""
    found = topics()
    filters = claims.filters(found)
    entries = claims.listed(found)
    panel = Panel(filters)
    page.start(filters.title)
    st.html(_STYLE)
    st.markdown(f"##### {filters.question}")
    warn([*panel.problems, *hide.problems()], list(panel.refused.values()))
    _overview(filters, panel, entries)
    values: Values = panel.values
    if hide.CONTROLS not in hide.hidden():
        with st.container(key=f"{_PREFIX}_filters"):
            values = panel.controls(Tab("", tuple, tuple(filters.knobs)))
    chosen = claims.chosen(entries, values)
    rows = claims.gathered(chosen)
    shown = rows[: _length(values)]
    said = _said(values, sum(1 + len(row.errata) for row in shown), len(chosen))
    place = _state(panel, said if chosen else _nothing(values, entries), bool(claims.active(values)))
    with st.container(key=f"{_PREFIX}_list"):
        waiting = [part for row in shown for part in _row(row)]
    _more(values, len(shown), len(rows))
    st.caption(_ADD)
    history.watch(panel, bar=False)
    _measure(waiting, place, said)


def _overview(filters: Topic, panel: Panel, entries: Sequence[Entry]) -> None:
    """Draw the verdicts by topic, what they mean, and how many there are."""

    clicks = st.session_state.get(_CLICKS, 0)

    def click(point: dict[str, Any]) -> None:
        st.session_state[_CLICKS] = clicks + 1
        if filters.click is not None:
            panel.set(filters.click(point, panel.values))

    view = filters.view(panel.values)
    drawn = claims.turned(view.figure, clicks)
    column, key = viewport.width(), f"{_PREFIX}_main"
    meanings = f":small[{claims.meanings(entries, panel.values)}]"
    if column < NARROW:
        figure.draw(drawn, column, key, click)
        st.expander("What the verdicts mean").markdown(meanings, unsafe_allow_html=True)
    else:
        chart, words = st.columns([_SHARE, 1 - _SHARE], gap="medium", vertical_alignment="center")
        with chart:
            figure.draw(drawn, int(column * _SHARE) - 24, key, click)
        words.markdown(meanings, unsafe_allow_html=True)
    st.markdown(f"{view.reading} :small[:gray[{view.figure.hint}]]")


def _length(values: Values) -> int:
    """Return how many rows are shown of what these filters let through."""
    kept, length = st.session_state.get(_LENGTH, (None, AT_ONCE))
    return length if kept == dict(values) else AT_ONCE


def _said(values: Values, shown: int, chosen: int) -> str:
    """Say how many of the entries that pass are shown, and what is filtered."""
    named = claims.active(values, literal)
    count = f"{shown} of {chosen} shown" if shown < chosen else f"{chosen} shown"
    return f"{count}: {named}." if named else f"{count}."


def _nothing(values: Values, entries: Sequence[Entry]) -> str:
    return f"Nothing among {len(entries)} entries fits: {claims.active(values, literal)}."


def _state(panel: Panel, said: str, filtered: bool) -> DeltaGenerator:
    """Say what is listed, and offer to clear the filters if there are any; return the place of the words."""
    with st.container(key=f"{_PREFIX}_state", horizontal=True, vertical_alignment="center"):
        place = st.empty()
        place.caption(said)
        if filtered:
            st.button(
                "Clear the filters",
                key=f"_{_PREFIX}_clear",
                on_click=panel.reset,
                icon=":material/filter_alt_off:",
            )
    return place


class _Waiting(NamedTuple):
    """A claim that is shown before it is measured: where it stands, how it is put, and what measures it."""

    note: Claim
    measure: claims.Measure | None
    slot: DeltaGenerator
    put: Callable[[str], str]


def _row(row: Row) -> list[_Waiting]:
    """Draw an entry with the errata of its sentence, and the links to what shows them; return what is to be measured."""
    said, beside = st.columns([4, 1])
    entry, waiting = row.entry, []
    with said:
        if isinstance(entry.note, Claim):
            waiting += _claim(entry, partial(claims.sentence, entry.note, by=entry.amended))
        else:
            st.markdown(claims.sentence(entry.note))
        for each in row.errata:
            if isinstance(each.note, Claim):
                waiting += _claim(each, partial(claims.amendment, each.note))
    with beside:
        for link in _links(row):
            links.away(link)
    return waiting


def _claim(entry: Entry, put: Callable[[str], str]) -> list[_Waiting]:
    """Draw a claim or an erratum, put in words with the evidence that there is; return it if it is yet to be measured."""
    slot, note = st.empty(), entry.note
    assert isinstance(note, Claim)
    measure = entry.topic.measures.get(note.id)
    known = claims.known(measure)
    slot.markdown(
        put(claims.PENDING if known is None else claims.evidence(note, known)), unsafe_allow_html=True
    )
    return [_Waiting(note, measure, slot, put)] if known is None else []


def _links(row: Row) -> list[Link]:
    """Return the links of a row: that of its entry, and those of its errata that lead to other views, each by its id."""
    found = [row.entry.link]
    for each in row.errata:
        link = each.link
        if all(
            (link.page, link.tab, link.values) != (known.page, known.tab, known.values) for known in found
        ):
            found.append(replace(link, label=f"{link.label} ({each.id})"))
    return found


def _more(values: Values, shown: int, rows: int) -> None:
    """Offer the next rows."""
    left = rows - shown
    if left <= 0:
        return

    def more() -> None:
        st.session_state[_LENGTH] = (dict(values), shown + AT_ONCE)

    with st.container(key=f"{_PREFIX}_more"):
        st.button(f"Show {min(left, AT_ONCE)} more", key=f"_{_PREFIX}_next", on_click=more)


def _measure(waiting: Sequence[_Waiting], place: DeltaGenerator, said: str) -> None:
    """Measure what is in view, one claim after the other, each written as it is found.

    Streamlit ends the run between two of them if a filter has been changed meanwhile.
    """
    if not waiting:
        return
    asked = [(each.note, each.measure) for each in waiting]
    with closing(
        notes.measured(asked, place)
    ) as measured:  # whoever leaves early gives the turn back at once
        for each, found in zip(waiting, measured, strict=True):
            each.slot.markdown(each.put(claims.evidence(each.note, found)), unsafe_allow_html=True)
    place.caption(said)
