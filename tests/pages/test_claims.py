"""The page of the claims: listed, filtered by widgets and links, measured in view only, and never down."""

from dataclasses import replace
from types import MappingProxyType
from urllib.parse import parse_qs

import pytest
import streamlit as st

from charts import claims as listing
from charts import progress
from charts.notes import Claim
from charts.topic import Measured
from tests.charts.topics import TOPICS
from tests.pages.app import charts, start, texts
from ui import claims, navigation, notes, settings, waiting

WAITING = "Being measured"
ENTRIES = listing.listed(TOPICS)
ROWS = [row.entry.id for row in listing.gathered(ENTRIES)]
BEGIN = listing.gathered(ENTRIES)[: claims.AT_ONCE]
AMENDED = [each.id for row in BEGIN for each in row.errata]  # told in the first rows


def stubs(measure):
    """Return the topics with measurements that call ``measure`` with the id, and give the text it returns."""

    def stub(id_):
        return lambda: Measured(True, measure(id_))

    return tuple(
        replace(topic, measures=MappingProxyType({id_: stub(id_) for id_ in topic.measures}))
        for topic in TOPICS
    )


@pytest.fixture
def measured(monkeypatch):
    """Replace all measurements by quick ones; the list has the ids that were asked for."""
    asked = []

    def measure(id_):
        asked.append(id_)
        return f"evidence of {id_}"

    made = stubs(measure)
    monkeypatch.setattr(claims, "topics", lambda: made)
    return asked


def visit(query=None):
    return start(query).switch_page("pages/claims.py").run()


def listed(at):
    """Return the ids of the rows in view, in order."""
    shown = " ".join(element.value for element in at.markdown)
    found = [
        (shown.find(f":gray[{e.id}{', notes' if isinstance(e.note, Claim) else ']'}"), e.id) for e in ENTRIES
    ]
    return [id_ for place, id_ in sorted(found) if place >= 0]


def told(at):
    """Return the ids of the errata that stand with their claims."""
    shown = " ".join(element.value for element in at.markdown)
    return [entry.id for entry in ENTRIES if f"> **{entry.id}** " in shown]


def control(at, name):
    (found,) = [
        w
        for kind in (at.selectbox, at.segmented_control, at.text_input)
        for w in kind
        if w.key == f"claims_{name}"
    ]
    return found


def press(at, label):
    (button,) = [b for b in at.button if b.label.startswith(label)]
    return button.click().run()


def test_the_page_lists_the_first_and_then_more(measured):
    at = visit()
    assert not at.exception
    assert not at.warning
    assert listed(at) == ROWS[: claims.AT_ONCE]
    assert sorted(told(at)) == sorted(AMENDED)
    assert AMENDED
    assert f"{claims.AT_ONCE + len(AMENDED)} of {len(ENTRIES)} shown." in texts(at)
    assert set(measured) == {*listed(at), *told(at)}, "nothing is measured that is not in view"
    for id_ in measured:
        assert any(f"**Measured, holds:** evidence of {id_}]" in t or f"**Measured:** evidence of {id_}]" in t
                   for t in texts(at))  # fmt: skip
    assert not any(WAITING in text for text in texts(at))
    press(at, "Show 20 more")
    assert listed(at) == ROWS[: 2 * claims.AT_ONCE]
    assert sorted(measured) == sorted(set(measured)), "what was measured is kept"
    assert listing.summary(ENTRIES) in " ".join(texts(at))
    assert charts(at)[0].alt


def test_another_filter_begins_with_the_first_again(measured):
    at = press(visit(), "Show 20 more")
    control(at, "kind").set_value("claims").run()
    assert listed(at) == [entry.id for entry in ENTRIES if entry.kind == "claims"][: claims.AT_ONCE]


def test_sentences_are_there_before_the_first_measurement(monkeypatch):
    """The run ends in the first measurement, as it does when a visitor changes a filter meanwhile."""
    made = stubs(lambda _: st.stop())
    monkeypatch.setattr(claims, "topics", lambda: made)
    at = visit()
    assert not at.exception
    assert len(listed(at)) == claims.AT_ONCE
    assert sum(WAITING in text for text in texts(at)) == claims.AT_ONCE + len(AMENDED)
    assert any(button.label.startswith("Show") for button in at.button)
    control(at, "kind").set_value("questions").run()  # nothing to measure
    assert not any(WAITING in text for text in texts(at))
    assert listed(at) == [entry.id for entry in ENTRIES if entry.kind == "questions"][: claims.AT_ONCE]


def test_a_measurement_that_fails_is_named_and_logged_and_the_others_go_on(monkeypatch, caplog):
    failing = ENTRIES[1].id

    def measure(id_):
        if id_ == failing:
            raise FloatingPointError("a matrix of no rank")
        return f"evidence of {id_}"

    made = stubs(measure)
    monkeypatch.setattr(claims, "topics", lambda: made)
    at = visit()
    assert not at.exception
    shown = texts(at)
    assert sum(f"{failing} could not be measured." in text for text in shown) == 1
    assert not any("no rank" in text for text in shown)
    assert sum("evidence of" in text for text in shown) == claims.AT_ONCE + len(AMENDED) - 1
    (record,) = [r for r in caplog.records if failing in r.getMessage()]
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"claims_words": "E38"}, lambda e: e.id == "E38"),
        ({"claims_topic": "Dropout", "claims_verdict": "imprecise"},
         lambda e: (e.topic.title, e.verdict) == ("Dropout", "imprecise")),
        ({"claims_kind": "questions", "claims_topic": "BatchNorm"},
         lambda e: (e.topic.title, e.kind) == ("BatchNorm", "questions")),
    ],
    ids=["an id", "a topic and a verdict", "a topic and a kind"],
)  # fmt: skip
def test_a_link_opens_the_filtered_list(measured, query, wanted):
    at = visit(query)
    assert not at.exception
    assert not at.warning
    assert sorted(listed(at) + told(at)) == sorted(entry.id for entry in ENTRIES if wanted(entry))
    for name, value in query.items():
        assert control(at, name.removeprefix("claims_")).value == value


def test_a_filter_by_its_control(measured):
    at = visit()
    control(at, "verdict").set_value("outdated").run()
    assert sorted(listed(at) + told(at)) == sorted(e.id for e in ENTRIES if e.verdict == "outdated")
    control(at, "words").set_value("PyTorch").run()
    assert set(listed(at)) < {entry.id for entry in ENTRIES if entry.verdict == "outdated"}
    press(at, "Clear the filters")
    assert listed(at) == ROWS[: claims.AT_ONCE]
    assert not [button for button in at.button if button.label.startswith("Clear")]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"claims_verdict": "doubtful"}, "verdict = doubtful"),
        ({"claims_topic": "\n# Softmax"}, "topic ="),
        ({"claims_words": "x" * 100}, "words ="),
        ({"claims_colour": "red"}, "no such parameter"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_value_is_named_in_one_line_and_everything_listed(measured, query, says):
    at = visit(query)
    assert not at.exception
    (warning,) = at.warning
    assert says in warning.value
    assert "\n" not in warning.value
    assert listed(at) == ROWS[: claims.AT_ONCE]


def test_nothing_found_is_said_and_can_be_cleared(measured):
    at = visit({"claims_topic": "Dropout", "claims_words": "[no](such) *words*"})
    assert not at.exception
    assert listed(at) == []
    assert measured == []
    (said,) = [text for text in texts(at) if text.startswith("Nothing")]
    assert said.endswith("fits: Dropout, `[no](such) *words*`."), "shown as it was typed"
    press(at, "Clear the filters")
    assert listed(at) == ROWS[: claims.AT_ONCE]


@pytest.mark.parametrize("kind", ["errata", "questions"])
def test_every_entry_links_to_what_shows_it(measured, kind):
    at = visit({"claims_kind": kind, "claims_topic": "Optimizers"})
    shown = [e for e in ENTRIES if (e.kind, e.topic.title) == (kind, "Optimizers")]
    found = at.get("page_link")
    assert len(found) == len(shown)
    for element, entry in zip(found, shown, strict=True):
        link, topic = entry.link, entry.topic
        assert element.proto.label == link.label
        assert element.proto.page == topic.name
        query = parse_qs(element.proto.query_string, keep_blank_values=True)
        values, problems = topic.parse(query)
        assert problems == []
        assert topic.settle(values) == topic.settle(topic.fill(link.values))
        assert query.get(topic.key("tab"), [""]) == [link.tab]


def test_a_row_links_to_the_views_of_its_errata_that_are_others(measured):
    """S168 has one figure, E80 another; S123 and E54 share one."""
    at = visit({"claims_words": "sigmoid threshold function"})
    assert (listed(at), told(at)) == (["S168"], ["E80"])
    assert [e.proto.label for e in at.get("page_link")] == [
        "Activations: the figure",
        "Activations: the figure (E80)",
    ]
    at = visit({"claims_words": "001:64"})
    assert (listed(at), told(at)) == (["S123"], ["E54"])
    assert len(at.get("page_link")) == 1


def test_measuring_waits_like_any_long_run(monkeypatch):
    """What a measurement reports is shown as its part of all that is measured, and the bar goes in the end."""
    heard = []

    class Heard(waiting.Waiting):
        def _report(self, share, text):
            heard.append((share, text))

    def measure():
        progress.report(0.5, "step 1 of 2")
        return Measured(True, "So it is 1.")

    def other():
        return Measured(True, "So it is 2.")

    monkeypatch.setattr(notes, "Waiting", Heard)
    first, second = (e.note for e in ENTRIES[:2])
    found = list(notes.measured([(first, measure), (second, other)], st.empty()))
    assert [each.text for each in found] == ["So it is 1.", "So it is 2."]
    assert heard == [
        (0.0, f"Measuring {first.id}"),
        (0.25, f"Measuring {first.id}"),
        (0.5, f"Measuring {second.id}"),
    ]


def test_the_page_is_in_the_menu_and_no_topic():
    assert "claims" not in navigation.ENTRIES
    assert navigation.CLAIMS.question == listing.filters(TOPICS).question
    assert navigation.CLAIMS.icon == listing.filters(TOPICS).icon
    assert (navigation.CLAIMS.title, navigation.CLAIMS.script) == ("Claims", "pages/claims.py")


def test_a_host_with_two_pages_lists_their_notes_alone(monkeypatch):
    monkeypatch.setattr(settings, "current", lambda: settings.Settings(pages=("dropout", "optimizers")))
    assert [topic.name for topic in claims.topics()] == ["dropout", "optimizers"]
    at = visit({"claims_words": "S89"})  # a quick one
    assert not at.exception
    assert control(at, "topic").options == ["all", "Dropout", "Optimizers"]
    assert listed(at) == ["S89"]


def test_without_controls_the_list_stays(measured):
    at = visit({"hide": "controls", "claims_words": "E38"})
    assert not at.exception
    assert listed(at) == ["E38"]
    assert not at.selectbox


def test_coming_back_from_an_experiment_the_list_is_as_it_was(measured):
    at = visit({"claims_topic": "Dropout"})
    at.switch_page("pages/dropout.py").run()
    at.switch_page("pages/claims.py").run()
    assert control(at, "topic").value == "Dropout"
    assert set(listed(at)) <= {entry.id for entry in ENTRIES if entry.topic.name == "dropout"}
