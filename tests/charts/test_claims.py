"""The list of all claims: complete, filtered and counted as the files of the notes say, each put with its evidence."""

import json
import re
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert

from charts import claims, theme
from charts.notes import VERDICTS, Claim
from charts.topic import Measured
from tests.charts.topics import BY_NAME, HEX, TOPICS, WIDE_AND_NARROW, marks

NOTES = Path(__file__).parents[2] / "notes"
TABLES = {"claims": "claim", "errata": "erratum", "questions": "question"}
# (topic's title, kind, table of the file), in the order of the menu
WRITTEN = [
    (topic.title, kind, entry)
    for topic in TOPICS
    for file in [tomllib.loads((NOTES / f"{topic.name}.toml").read_text(encoding="utf-8"))]
    for kind, table in TABLES.items()
    for entry in file.get(table, [])
]
ENTRIES = claims.listed(TOPICS)
FILTERS = claims.filters(TOPICS)
CHOICES = [
    (name, choice)
    for name in ("topic", "kind", "verdict")
    for choice in FILTERS.knobs[name].choices
    if choice != "all"
]


def ids(entries):
    return [entry.id for entry in entries]


def chosen(**values):
    return ids(claims.chosen(ENTRIES, FILTERS.fill(values)))


def parts(**values):
    """Return the parts of the bars by topic and verdict."""
    frame = claims.figure(ENTRIES, FILTERS.fill(values)).data["parts"]
    return {(row.topic, row.verdict): row for row in frame.itertuples()}


def lines(place):
    """Return the lines of the notes at a place, as pairs of file and number."""
    found = set()
    for file, part in re.findall(r"(\d{3}):([\d,-]+)", place):
        for each in part.split(","):
            first, _, last = each.partition("-")
            found |= {(file, number) for number in range(int(first), int(last or first) + 1)}
    return found


def of(title, kind, entry):
    """Return what an entry of a file has for each filter."""
    return {"topic": title, "kind": kind, "verdict": entry.get("verdict", "question")}


# The list


def test_everything_in_the_files_is_listed_and_nothing_else():
    assert [(e.topic.title, e.kind, e.id) for e in ENTRIES] == [(t, k, e["id"]) for t, k, e in WRITTEN]
    assert chosen() == [entry["id"] for _, _, entry in WRITTEN]


def test_a_host_with_one_page_lists_that_one():
    (only,) = {entry.topic for entry in claims.listed((TOPICS[3],))}
    assert only is TOPICS[3]
    assert claims.filters((TOPICS[3],)).knobs["topic"].choices == ("all", TOPICS[3].title)


@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_one_filter(name, choice):
    wanted = [e["id"] for t, k, e in WRITTEN if of(t, k, e)[name] == choice]
    assert wanted
    assert chosen(**{name: choice}) == wanted


def test_every_choice_occurs_and_every_verdict_has_its_mark():
    assert tuple(claims.VERDICTS) == VERDICTS
    assert {c for n, c in CHOICES if n == "verdict"} == {
        e["verdict"] for _, k, e in WRITTEN if k != "questions"
    }


def test_filters_hold_together():
    wanted = [
        e["id"]
        for t, k, e in WRITTEN
        if (t, k, e.get("verdict")) == ("Dropout", "errata", "imprecise") and "mini-batch" in e["says"]
    ]
    assert wanted == ["E38"]
    assert chosen(topic="Dropout", kind="errata", verdict="imprecise", words="mini-batch") == wanted


@pytest.mark.parametrize("number", range(0, len(ENTRIES), 29))
def test_an_id_finds_its_entry_alone(number):
    wanted = ENTRIES[number].id
    assert chosen(words=wanted) == chosen(words=f" {wanted.lower()} ") == [wanted]


def test_all_words_have_to_occur_wherever_they_stand():
    both = chosen(words="batch Mean")
    assert both
    assert both == [i for i in chosen(words="MEAN") if i in chosen(words="batch")]
    assert chosen(words="no such words") == []


# Errata that judge the sentence of a claim

ALL_CLAIMS = [entry for _, kind, entry in WRITTEN if kind == "claims"]
ALL_ERRATA = [entry for _, kind, entry in WRITTEN if kind == "errata"]


@pytest.mark.parametrize("erratum", ALL_ERRATA, ids=lambda entry: entry["id"])
def test_an_erratum_names_the_claim_whose_sentence_it_judges(erratum):
    """That is one at the same lines with the same verdict: then both say the same of one sentence."""
    near = {
        entry["id"]
        for entry in ALL_CLAIMS
        if lines(entry["place"]) & lines(erratum["place"]) and entry["verdict"] == erratum["verdict"]
    }
    named = erratum.get("of", [])
    assert set(named) <= near
    assert bool(named) == bool(near)


def test_an_erratum_stands_with_its_claim():
    named = {entry["id"]: entry["of"] for entry in ALL_ERRATA if "of" in entry}
    rows = claims.gathered(ENTRIES)
    assert {row.entry.id for row in rows} == {e["id"] for _, _, e in WRITTEN} - set(named)
    assert {e.id: row.entry.id for row in rows for e in row.errata} == {i: of[0] for i, of in named.items()}
    assert [row.entry.id for row in rows] == [i for i in ids(ENTRIES) if i not in named], "the order stays"
    by = {entry.id: entry.amended for entry in ENTRIES if entry.amended}
    assert by == {i: tuple(e for e, of in named.items() if i in of) for of in named.values() for i in of}
    assert by["S200"] == ("E98",)


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ({"words": "E98"}, [("E98", [])]),
        ({"words": "S200"}, [("S200", [])]),
        ({"words": "002:135 wrong"}, [("S200", ["E98"]), ("S201", ["E99"])]),
        ({"words": "002:135 wrong", "kind": "errata"}, [("E98", []), ("E99", [])]),
    ],
    ids=str,
)
def test_an_erratum_without_its_claim_has_a_row(values, rows):
    found = claims.gathered(claims.chosen(ENTRIES, FILTERS.fill(values)))
    assert [(row.entry.id, ids(row.errata)) for row in found] == rows


def test_an_erratum_of_a_claim_on_a_page_that_is_not_offered_has_a_row():
    """E5 judges a sentence that Optimizers lists."""
    alone = claims.gathered(claims.listed((BY_NAME["activations"],)))
    assert "E5" in ids(row.entry for row in alone)
    assert "E5" not in ids(row.entry for row in claims.gathered(ENTRIES))


# Figure and sentence


@pytest.mark.parametrize(
    "values",
    [{}, {"kind": "errata"}, {"topic": "Dropout"}, {"words": "adam"}, {"words": "no such words"}],
    ids=str,
)
def test_the_bars_count_claims(values):
    kept = set(chosen(words=values.get("words", ""), kind="claims"))
    wanted = Counter((t, e["verdict"]) for t, _, e in WRITTEN if e["id"] in kept)
    found = parts(**values)
    assert {key: int(row.count) for key, row in found.items() if row.count != "0"} == wanted
    assert {verdict for _, verdict in found} == {e["verdict"] for e in ALL_CLAIMS}
    most = max(Counter(t for t, _, e in WRITTEN if e["id"] in kept).values(), default=1)
    for topic in {t for t, _ in found}:
        mine = [row for (t, _), row in found.items() if t == topic]
        assert mine[0].low == 0
        assert [row.high for row in mine[:-1]] == [row.low for row in mine[1:]]  # end to end
        for row in mine:
            assert row.high - row.low == pytest.approx(int(row.count) / most)
            assert (row.opacity > 0) == (row.count != "0")
    totals = claims.figure(ENTRIES, FILTERS.fill(values)).data["totals"]
    assert [int(n) for n in totals.total] == [
        sum(n for (t, _), n in wanted.items() if t == topic.title) for topic in TOPICS
    ]


@pytest.mark.parametrize("kind", ["all", *TABLES])
def test_what_other_filters_leave_out_is_dimmed_not_gone(kind):
    whole, some = parts(), parts(topic="Dropout", verdict="imprecise", kind=kind)
    for key, row in some.items():
        if row.count != "0":
            kept = key == ("Dropout", "imprecise") and kind in ("all", "claims")
            assert (row.opacity == whole[key].opacity) == kept
            assert (row.low, row.high, row.count) == (whole[key].low, whole[key].high, whole[key].count)


def test_verdicts_of_one_hue_differ():
    looks = [(look.ink, look.shade) for look in claims.VERDICTS.values()]
    assert len(set(looks)) == len(looks) == len(VERDICTS)
    for (_, verdict), row in parts().items():
        look = claims.VERDICTS[verdict]
        assert theme.INKS[row.slot].use == look.ink
        assert row.opacity in (0, look.shade)


@pytest.mark.parametrize("width", WIDE_AND_NARROW)
def test_the_specification_is_constant_and_reads_what_is_there(width):
    one = FILTERS.view(FILTERS.defaults()).figure
    other = FILTERS.view(FILTERS.fill({"topic": "Dropout", "kind": "questions", "words": "scale"})).figure
    spec = one.spec(width)
    assert other.spec(width) is spec
    assert one.alt == other.alt
    assert not HEX.findall(json.dumps(spec))
    assert {unit.data for unit in marks(spec)} - {""} == set(one.data)
    for unit in marks(spec):
        if unit.data:
            assert not unit.fields() - set(one.data[unit.data].columns)
    for figure in (one, other, claims.turned(one, 3)):
        assert vl_convert.vegalite_to_vega(figure.chart(width), vl_version="6.4")["marks"]


@pytest.mark.parametrize("verdict", ["right", "wrong"])
@pytest.mark.parametrize("kind", ["all", *TABLES])
def test_a_click_lists_what_the_part_counts_and_a_second_one_everything(verdict, kind):
    values = FILTERS.fill({"kind": kind, "words": "a"})
    click = FILTERS.click({"topic": "BatchNorm", "verdict": verdict, "turn": 0}, values)
    now = values | click
    listed = claims.chosen(ENTRIES, now)
    assert str(len(listed)) == parts(words="a")["BatchNorm", verdict].count != "0"
    assert {(e.topic.title, e.kind, e.verdict) for e in listed} == {("BatchNorm", "claims", verdict)}
    again = now | FILTERS.click({"topic": "BatchNorm", "verdict": verdict, "turn": 1}, now)
    assert again == FILTERS.fill({"words": "a"})


def test_the_figure_tells_one_click_from_the_next():
    figure = FILTERS.view(FILTERS.defaults()).figure
    one, two = claims.turned(figure, 1), claims.turned(figure, 2)
    assert list(one.data["parts"].turn.unique()) == [1]
    assert list(two.data["parts"].turn.unique()) == [2]
    assert one.data["names"] is figure.data["names"]


def test_the_sentence_counts():
    kinds = Counter(kind for _, kind, _ in WRITTEN)
    right = sum(e.get("verdict") == "right" for _, kind, e in WRITTEN if kind == "claims")
    text = claims.summary(ENTRIES)
    assert f"Of {kinds['claims']} claims in the notes {right} are right" in text
    assert f"{kinds['errata']} errata say" in text
    assert f"{kinds['questions']} questions lead" in text


def test_the_sentence_of_one_of_each():
    """A host may offer a page with one erratum or question."""
    first = {entry.kind: entry for entry in reversed(ENTRIES)}
    one = claims.summary([first["errata"], first["questions"]])
    assert one.startswith("1 erratum says ")
    assert "1 question leads to what answers it." in one
    assert claims.summary([e for e in ENTRIES if e.id == "S18"]) == (
        "Of 1 claim in the notes 1 is right as it stands."
    )


@pytest.mark.parametrize("values", [{}, {"topic": "Dropout", "words": "mask"}], ids=str)
def test_every_verdict_that_occurs_is_explained_with_the_count_of_the_figure(values):
    found = claims.meanings(ENTRIES, FILTERS.fill(values)).split("  \n")
    counted = {e["verdict"] for e in ALL_CLAIMS}
    counts = Counter()
    for (_, verdict), row in parts(**values).items():
        counts[verdict] += int(row.count)
    there = [verdict for verdict in VERDICTS if verdict in {of(*each)["verdict"] for each in WRITTEN}]
    assert len(found) == len(there)
    for line, verdict in zip(found, there, strict=True):
        assert line.startswith(f"{claims.mark(verdict)}**{verdict}** ")
        assert (f"**{verdict}** {counts[verdict]} :gray[" in line) == (verdict in counted)
        assert ("errata only" in line) == (verdict not in counted)
    assert len(claims.meanings([e for e in ENTRIES if e.id == "S18"], FILTERS.defaults()).split("\n")) == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, ""),
        ({"topic": "Dropout"}, "Dropout"),
        ({"topic": "Dropout", "verdict": "wrong", "words": " E38 "}, "Dropout, wrong, “E38”"),
    ],
)
def test_the_filters_in_force_are_named(values, text):
    assert claims.active(FILTERS.fill(values)) == text


# Entries


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_link_leads_to_what_shows_the_entry(entry):
    link, note, topic = entry.link, entry.note, entry.topic
    assert link.page == topic.name
    assert link.tab in ("", *topic.tab_names)
    filled = topic.fill(link.values)
    if getattr(note, "scenario", ""):
        assert topic.scenario_of(topic.settle(filled)) == note.scenario
        assert link.label == f"{topic.title}: {note.scenario}"
    else:
        assert filled == topic.fill(note.view)
        assert link.label.startswith(f"{topic.title}: ")


def claim(verdict):
    return Claim(
        "S0", "000:1", "He keeps it.", verdict, "" if verdict == "right" else "Only with ReLU.", tab="Why"
    )


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("holds", [True, False, None])
def test_what_was_measured_is_judged_unless_the_sentence_is_open(verdict, holds):
    text = claims.evidence(claim(verdict), Measured(holds, "It is 2."))
    if verdict in ("depends", "gap") or holds is None:
        assert "**Measured:** It is 2." in text
    else:
        assert f"**Measured, {'holds' if holds else 'does not hold'}:** It is 2." in text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_sentence_comes_with_verdict_place_and_correction(verdict):
    said = claims.sentence(claim(verdict), "Evidence.").split("  \n")
    assert said[0].startswith(f"{claims.mark(verdict)}**{verdict}** “He keeps it.”")
    assert "S0, notes, file 000, line 1]" in said[0]
    assert said[1:] == [*(["Only with ReLU."] if verdict != "right" else []), "Evidence."]


def test_claim_and_erratum_name_each_other():
    assert "line 1; amended by E1 and E2]" in claims.sentence(claim("wrong"), by=("E1", "E2"))
    assert "line 1; amends S1]" in claims.sentence(replace(claim("wrong"), of=("S1",)))
    assert claims.amendment(claim("wrong"), "Evidence.").split("  \n") == [
        "> **S0** “He keeps it.” Only with ReLU.",
        "> Evidence.",
    ]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("000:20", "file 000, line 20"),
        ("000:29-30; 002:48,50", "file 000, lines 29–30; file 002, lines 48, 50"),
    ],
)
def test_a_place_is_written_out(place, text):
    assert claims.where(place) == text


def test_no_text_is_taken_for_html():
    """A swatch is HTML, so the Markdown around it is read as such."""
    notes = [entry.note for entry in ENTRIES if isinstance(entry.note, Claim)]
    assert [note.id for note in notes if re.search(r"<[a-zA-Z/!?]", f"{note.says} {note.right}")] == []


def test_nothing_measured_and_not_measurable():
    assert claims.evidence(claim("right"), Measured(None, "")) == ""
    assert "S0 could not be measured" in claims.evidence(claim("right"), None)
    assert claims.known(None) == Measured(None, "")


def test_what_was_measured_is_kept():
    calls = []

    def measure():
        calls.append(1)
        return Measured(True, "Once.")

    assert claims.known(measure) is None
    assert claims.measure(measure) == claims.measure(measure) == claims.known(measure) == (True, "Once.")
    assert calls == [1]


def test_a_measurement_that_fails_is_not_kept():
    calls = []

    def measure():
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return Measured(None, "At last.")

    with pytest.raises(ZeroDivisionError):
        claims.measure(measure)
    assert claims.known(measure) is None
    assert claims.measure(measure).text == "At last."


def test_the_topics_measure_what_is_listed():
    """All are there, so that no row stays without evidence; what they find is tested in test_notes.py."""
    for entry in ENTRIES:
        if isinstance(entry.note, Claim):
            assert entry.id in BY_NAME[entry.topic.name].measures
