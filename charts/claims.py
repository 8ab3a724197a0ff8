"""Claims of the notes: what all topics' notes say in one list, filtered and counted, and how an entry of it is put.

Claims are counted. An erratum that judges the sentence of a claim is told with it and changes no count; no erratum can be
right, so that with the errata the counts would say how often a sentence was taken up, not how often it holds.

The filters are a topic of their own: the same panel, links and browser history serve them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import altair as alt

from charts import compose, theme
from charts.figure import NARROW, Figure, Part, Spec, assemble, beside, named, rows
from charts.notes import Claim, Question, notes
from charts.topic import Group, Link, Measured, Scenario, Topic, Values, View, Words, word
from core.kept import keep
from core.knobs import Knob, Value, quote

ALL = "all"
CLAIMS, ERRATA, QUESTIONS = "claims", "errata", "questions"
KINDS = (CLAIMS, ERRATA, QUESTIONS)
_LONGEST = 60  # characters to search for


class Verdict(NamedTuple):
    """How a verdict looks and what it means.

    ``ink`` and ``shade`` (an opacity) are its color, in the figure and in the swatch beside its name; several share a hue.
    An open one is neither true nor false: what was measured stands beside it without a judgment.
    """

    ink: str
    shade: float
    meaning: str
    open: bool = False


# In the order of the menus and of the figure.
VERDICTS: Mapping[str, Verdict] = MappingProxyType(
    {
        "right": Verdict("good", 1.0, "true as it stands"),
        "imprecise": Verdict("ochre", 1.0, "true once it is worded more closely"),
        "depends": Verdict("ochre", 0.55, "true in some settings, not in others", open=True),
        "wrong": Verdict("bad", 1.0, "not true"),
        "typo": Verdict("muted", 1.0, "a slip in a word or a formula"),
        "outdated": Verdict("ochre", 0.25, "was the practice once, and is no longer"),
        "gap": Verdict("muted", 0.5, "left open by the notes, answered here", open=True),
    }
)
_DIMMED, _FADED = 0.25, 0.6  # opacities of what the filters leave out: of a part of a bar, of its number


@dataclass(frozen=True)
class Entry:
    """A sentence or a question of the notes, with the topic that it belongs to and its kind, one of ``KINDS``.

    ``words`` is everything that it says, in small letters, for the search; ``amended`` names the errata among all entries
    that judge its sentence.
    """

    topic: Topic
    kind: str
    note: Claim | Question
    words: str
    amended: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The name of the entry in the notes: E38."""
        return self.note.id

    @property
    def verdict(self) -> str:
        """The verdict, empty for a question."""
        return self.note.verdict if isinstance(self.note, Claim) else ""

    @property
    def link(self) -> Link:
        """The way to what shows the entry."""
        view, tab = self.note.view, self.note.tab
        label = tab or "the figure"
        if isinstance(self.note, Question) and self.note.scenario:
            scenario = self.topic.scenario(self.note.scenario)
            label = self.note.scenario
            if scenario is not None:
                view, tab = scenario.values, scenario.tab
        return Link(f"{self.topic.title}: {label}", view, page=self.topic.name, tab=tab)


@lru_cache(maxsize=8)
def listed(topics: tuple[Topic, ...]) -> tuple[Entry, ...]:
    """Return every claim, erratum and question of these topics' notes, in the order of the topics."""
    by = amended([note for topic in topics for note in notes(topic.name).errata])
    return tuple(
        Entry(topic, kind, note, _words(topic, note), by.get(note.id, ()))
        for topic in topics
        for kind, found in (
            (CLAIMS, notes(topic.name).claims),
            (ERRATA, notes(topic.name).errata),
            (QUESTIONS, notes(topic.name).questions),
        )
        for note in found
    )


def amended(errata: Iterable[Claim]) -> dict[str, tuple[str, ...]]:
    """Return by the id of a claim the ids of the errata that judge its sentence."""
    found: dict[str, tuple[str, ...]] = {}
    for erratum in errata:
        for claim in erratum.of:
            found[claim] = (*found.get(claim, ()), erratum.id)
    return found


class Row(NamedTuple):
    """A row of the list: an entry, and the errata of its sentence that are told with it."""

    entry: Entry
    errata: tuple[Entry, ...] = ()


def gathered(entries: Sequence[Entry]) -> tuple[Row, ...]:
    """Return the rows of a list of entries: an erratum stands with the first claim of the list whose sentence it judges.

    Its claim may be left out by a filter, or belong to a page that the host does not offer: then it has a row of its own.
    """
    claims = {entry.id for entry in entries if entry.kind == CLAIMS}
    by: dict[str, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.note, Claim) and (of := [claim for claim in entry.note.of if claim in claims]):
            by.setdefault(of[0], []).append(entry)
    told = {entry.id for found in by.values() for entry in found}
    return tuple(Row(entry, tuple(by.get(entry.id, ()))) for entry in entries if entry.id not in told)


def _words(topic: Topic, note: Claim | Question) -> str:
    if isinstance(note, Claim):
        said = f"{note.place} {where(note.place)} {note.verdict} {note.says} {note.right}"
    else:
        said = f"{note.question} {note.answer} {note.scenario}"
    return f"{note.id} {topic.title} {note.tab} {said}".casefold()


# Filters


@lru_cache(maxsize=8)
def filters(topics: tuple[Topic, ...]) -> Topic:
    """Return the filters of the list as a topic whose view is the figure and the sentence above the list.

    Its knobs are ``topic``, ``kind``, ``verdict`` and ``words``; they offer what occurs in the notes.
    """
    entries = listed(topics)
    there = {entry.verdict for entry in entries}
    knobs = (
        Knob("topic", "choice", ALL, "Topic", choices=(ALL, *(topic.title for topic in topics))),
        Knob("kind", "choice", ALL, "Kind", choices=(ALL, *KINDS)),
        Knob(
            "verdict", "choice", ALL, "Verdict", choices=(ALL, *(name for name in VERDICTS if name in there))
        ),
        Knob(
            "words",
            "text",
            "",
            "Words or id",
            most=_LONGEST,
            help="All of them have to occur; E38 finds that entry.",
        ),
    )
    return Topic(
        name="claims",
        prefix="claims",
        title="Claims",
        question="Which sentences of the notes are right as they stand?",
        icon=":material/fact_check:",
        knobs=MappingProxyType({knob.name: knob for knob in knobs}),
        scenarios=(Scenario("Everything", "Every claim, erratum and question of the notes."),),
        make=lambda values: View(figure(entries, values), lambda: Words(summary(entries), "")),
        layout=lambda _: (Group(tuple(knob.name for knob in knobs)),),
        click=_click,
        free=(),
    )


def _click(point: Mapping[str, Any], values: Values) -> dict[str, Value]:
    """Return what a click on a part of a bar filters: the claims it counts; everything if they were chosen already."""
    wanted: dict[str, Value] = {
        "topic": str(point.get("topic", ALL)),
        "verdict": str(point.get("verdict", ALL)),
        "kind": CLAIMS,
    }
    if all(values[name] == value for name, value in wanted.items()):
        return dict.fromkeys(wanted, ALL)
    return wanted


def chosen(entries: Sequence[Entry], values: Values) -> tuple[Entry, ...]:
    """Return the entries that pass all filters."""
    topic, kind, verdict = (word(values, name) for name in ("topic", "kind", "verdict"))
    return tuple(
        entry
        for entry in _found(entries, values)
        if topic in (ALL, entry.topic.title) and kind in (ALL, entry.kind) and verdict in (ALL, entry.verdict)
    )


def _found(entries: Sequence[Entry], values: Values) -> list[Entry]:
    """Return the entries in which the words occur, whatever the other filters."""
    wanted = word(values, "words").casefold().split()
    ids = {entry.id.casefold() for entry in entries}

    def has(entry: Entry, part: str) -> bool:
        return part == entry.id.casefold() if part in ids else part in entry.words

    return [entry for entry in entries if all(has(entry, part) for part in wanted)]


def active(values: Values, literal: Callable[[str], str] = lambda text: f"“{text}”") -> str:
    """Name the filters in force, empty if everything passes; ``literal`` shows the words that were typed."""
    words = word(values, "words").strip()
    parts = [word(values, name) for name in ("topic", "kind", "verdict") if values[name] != ALL]
    return ", ".join((*parts, *((literal(quote(words)),) if words else ())))


# Words


def summary(entries: Sequence[Entry]) -> str:
    """Say in one sentence how many entries there are and how many claims are right."""
    claims = _counted(entries)
    kinds = Counter(entry.kind for entry in entries)
    right = sum(entry.verdict == "right" for entry in claims)
    parts = []
    if claims:
        parts.append(
            f"Of {len(claims)} {_word(len(claims), 'claim', CLAIMS)} in the notes {right} "
            f"{_word(right, 'is right as it stands', 'are right as they stand')}."
        )
    errata, asked = kinds[ERRATA], kinds[QUESTIONS]
    if errata:
        parts.append(
            f"{errata} {_word(errata, 'erratum says', 'errata say')} what is amiss in the wording, and where."
        )
    if asked:
        parts.append(
            f"{asked} {_word(asked, 'question leads to what answers it', 'questions lead to what answers them')}."
        )
    return " ".join(parts)


def _word(count: int, one: str, more: str) -> str:
    return one if count == 1 else more


def where(place: str) -> str:
    """Write a place of the notes out: 000:20 is file 000, line 20.

    Args:
        place: files with their lines, 000:29-30; 002:48,50.
    """
    parts = (part.strip().split(":") for part in place.split(";"))
    return "; ".join(
        f"file {file}, {'lines' if '-' in lines or ',' in lines else 'line'} "
        f"{lines.replace('-', '–').replace(',', ', ')}"
        for file, lines in parts
    )


def mark(verdict: str) -> str:
    """Return, as HTML, the swatch of a verdict; a rule of style for its class gives it the color of the figure."""
    return f'<i class="verdict-{verdict}"></i>'


def meanings(entries: Sequence[Entry], values: Values) -> str:
    """Return, as Markdown with HTML, for each verdict of the notes its swatch, how many claims have it and what it means.

    A verdict that errata alone have is explained and not counted.
    """
    there = {entry.verdict for entry in entries}
    claims = _counted(entries)
    counts = Counter(entry.verdict for entry in _found(claims, values))
    counted = {entry.verdict for entry in claims}
    return "  \n".join(
        f"{mark(name)}**{name}** {f'{counts[name]} ' if name in counted else ''}:gray[{look.meaning}"
        f"{'' if name in counted else '; errata only'}]"
        for name, look in VERDICTS.items()
        if name in there
    )


def sentence(note: Claim | Question, evidence: str = "", by: Sequence[str] = ()) -> str:
    """Return, as Markdown, a sentence of the notes with its verdict and its right wording, or a question and its answer.

    That of a claim has the swatch of its verdict, which is HTML.

    Args:
        note: what the notes say.
        evidence: a last line, from ``evidence`` or ``PENDING``.
        by: ids of the errata that judge the same sentence.
    """
    if isinstance(note, Question):
        return f"**{note.question}** :small[:gray[{note.id}]]  \n{note.answer}"
    source = "; ".join(
        (
            f"{note.id}, notes, {where(note.place)}",
            *((f"amends {_and(note.of)}",) if note.of else ()),
            *((f"amended by {_and(by)}",) if by else ()),
        )
    )
    first = f"{mark(note.verdict)}**{note.verdict}** “{note.says}” :small[:gray[{source}]]"
    return "  \n".join((first, *(line for line in (note.right, evidence) if line)))


def amendment(note: Claim, evidence: str = "") -> str:
    """Return, as Markdown, an erratum that stands with the claim it amends, with no verdict for it has the claim's."""
    first = f"**{note.id}** “{note.says}” {note.right}"
    return "  \n".join(f"> {line}" for line in (first, evidence) if line)


def _and(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)


def _counted(entries: Iterable[Entry]) -> list[Entry]:
    """Return what the figure counts: the claims."""
    return [entry for entry in entries if entry.kind == CLAIMS]


_HOLDS = {True: "Measured, holds:", False: "Measured, does not hold:", None: "Measured:"}
PENDING = ":small[:gray[Being measured.]]"


def evidence(note: Claim, measured: Measured | None) -> str:
    """Return, as Markdown, what was measured about a claim; None stands for a measurement that failed."""
    if measured is None:
        return f":small[{note.id} could not be measured.]"
    if not measured.text:
        return ""
    holds = None if VERDICTS[note.verdict].open else measured.holds
    return f":small[**{_HOLDS[holds]}** {measured.text}]"


# Measurements, kept for all visitors.

Measure = Callable[[], Measured]


@keep(entries=512)
def _place(_measure: Measure) -> list[Measured]:
    return []


def known(measure: Measure | None) -> Measured | None:
    """Return what was measured before, None if nothing was; without a measure there is nothing to say."""
    if measure is None:
        return Measured(None, "")
    found = _place(measure)
    return found[0] if found else None


def measure(it: Measure) -> Measured:
    """Measure, or return what was measured before. What it raises passes through, and nothing is kept then."""
    found = known(it)
    if found is None:
        found = it()
        _place(it)[:] = [found]
        _place.grown(it)
    return found


# The figure

_LEFT, _RIGHT = 104, 34  # pixels for the topics' names and for the totals
_STEP = 40
_LETTER, _DIGIT = 6.6, 8.0  # pixels of a letter and of a digit, at least


@lru_cache(maxsize=64)
def _build(width: int) -> Spec:
    plot = max(width - _LEFT - _RIGHT, 120)

    def x(field: str = "low") -> alt.X:
        return alt.X(f"{field}:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False))

    y = alt.Y(
        "topic:N",
        sort=None,
        title=None,
        axis=alt.Axis(ticks=False, domain=False, labelLimit=_LEFT),
        scale=alt.Scale(paddingInner=0.14 if width >= NARROW else 0.05, paddingOuter=0.05),
    )
    pick = alt.selection_point(
        name="part", fields=["topic", "verdict", "turn"], on="click", empty=False, toggle=False
    )
    parts = alt.Chart(named("parts"))
    strength: dict[str, Any] = {"scale": None, "legend": None}
    bars = (
        parts.mark_bar(x2Offset=-1.5, cursor="pointer")
        .encode(
            x=x(),
            x2="high:Q",
            y=y,
            color=theme.color(),
            opacity=alt.Opacity("opacity:Q", **strength),
            tooltip=alt.Tooltip("said:N", title=" "),
        )
        .properties(name="clicks")
    )
    text: dict[str, Any] = {"baseline": "middle", "tooltip": None}
    counts = (
        parts.transform_filter(f"(datum.high - datum.low) * {plot} >= {_DIGIT} * (length(datum.count) + 0.8)")
        .mark_text(**text)
        .encode(
            x=x("middle"),
            y=y,
            text="count:N",
            color=theme.color("text_slot"),
            opacity=alt.Opacity("strength:Q", **strength),
        )
    )
    names = (
        alt.Chart(named("names"))
        .transform_filter(f"datum.room * {plot} >= {_LETTER} * length(datum.verdict)")
        .mark_text(align="left", dy=-_STEP / 2 - 7, **text)
        .encode(x=x(), y=y, text="verdict:N", color=theme.ink("muted"))
    )
    totals = (
        alt.Chart(named("totals"))
        .mark_text(align="left", dx=5, **text)
        .encode(x=x(), y=y, text="total:N", color=theme.ink("muted"))
    )
    layers = compose.layer(bars, counts, names, totals, width=plot, height={"step": _STEP})
    return assemble(layers, theme.config(), [compose.parameter(pick, "clicks")])


def figure(entries: Sequence[Entry], values: Values) -> Figure:
    """Draw how many claims of each topic have each verdict, among those in which the words occur.

    What the other filters leave out is dimmed.
    """
    claims = _counted(entries)
    counts = Counter((entry.topic.title, entry.verdict) for entry in _found(claims, values))
    topics = list(dict.fromkeys(entry.topic.title for entry in entries))
    verdicts = [name for name in VERDICTS if any(entry.verdict == name for entry in claims)]
    most = max((sum(counts[topic, name] for name in verdicts) for topic in topics), default=0) or 1
    of, kind, verdict = (word(values, name) for name in ("topic", "kind", "verdict"))
    parts: list[Part] = []
    names: list[Part] = []
    totals: list[Part] = []
    for number, topic in enumerate(topics):
        low = 0.0
        for name in verdicts:
            look, count = VERDICTS[name], counts[topic, name]
            high = low + count / most
            kept = of in (ALL, topic) and verdict in (ALL, name) and kind in (ALL, CLAIMS)
            strength = float(count > 0) * (1.0 if kept else _DIMMED)
            parts.append(
                {
                    "topic": topic,
                    "verdict": name,
                    "turn": 0,
                    "said": f"{topic}: {count} {_word(count, 'claim', CLAIMS)} {name}",
                    "count": str(count),
                    "low": low,
                    "high": high,
                    "middle": (low + high) / 2,
                    "slot": theme.SLOTS[look.ink],
                    "text_slot": theme.SLOTS["paper" if look.shade == 1 and kept else "ink"],
                    "opacity": look.shade * strength,
                    "strength": float(count > 0) * (1.0 if kept else _FADED),
                }
            )
            if number == 0:
                names.append({"topic": topic, "verdict": name, "low": low, "room": high - low})
            low = high
        totals.append({"topic": topic, "low": low, "total": str(round(low * most))})
    return Figure(
        name="claims/verdicts",
        build=_build,
        data={"parts": rows(*parts), "names": rows(*names), "totals": rows(*totals)},
        title="Verdicts on the claims of the notes by topic",
        caption="",  # nothing here has parameters: the bars count the notes
        alt="Stacked bars, one a topic: how many claims of the notes have each verdict.",
        click="part",
        hint="Click a part of a bar to list its claims, and again to list everything.",
    )


def turned(drawn: Figure, turn: int) -> Figure:
    """Return the figure with the number of clicks so far: the browser tells of a click only what has changed since."""
    return replace(drawn, data={**drawn.data, "parts": beside(drawn.data["parts"], turn=turn)})
