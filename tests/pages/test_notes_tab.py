"""From the notes: what is measured, shown, filtered, and where its links lead."""

import pytest

from charts import activations
from charts.notes import notes
from tests.pages.app import address, control, shows, texts, visit

TOPIC = activations.TOPIC
TAB = TOPIC.key("tab")
FOUND = notes(TOPIC.name)


def opened(title):
    """Open the tab with one of its two lists unfolded."""
    at = visit(TOPIC, {TAB: "From the notes"})
    at.session_state[f"_act_{title}"] = True
    return at.run()


def listed(at, entries):
    """Return the ids of the entries whose sentence is shown, in order."""
    shown = " ".join(texts(at))
    return [entry.id for entry in entries if f":gray[{entry.id}, notes" in shown]


def filter_of(at, title):
    (found,) = [w for w in at.segmented_control if w.key == f"_act_{title}_verdict"]
    return found


def press(at, entry):
    (button,) = [b for b in at.button if b.key == f"_note_{entry.id}"]
    return button.click().run()


def test_nothing_is_listed_before_it_is_opened():
    at = visit(TOPIC, {TAB: "From the notes"})
    assert not listed(at, (*FOUND.claims, *FOUND.errata))
    assert not [w for w in at.segmented_control if w.key.endswith("_verdict")]


@pytest.mark.parametrize("title", ["Claims", "Errata"])
def test_claims_say_whether_they_hold(title):
    entries = FOUND.claims if title == "Claims" else FOUND.errata
    at = opened(title)
    assert not at.exception
    assert listed(at, entries) == [entry.id for entry in entries]
    shown = {entry.id: text for entry in entries for text in texts(at) if f":gray[{entry.id}, notes" in text}
    for entry in entries:
        holds, text = TOPIC.measures[entry.id]()
        if entry.verdict in ("gap", "depends"):  # neither true nor false as it stands
            holds = None
        said = {True: "Measured, holds:", False: "Measured, does not hold:", None: "Measured:"}[holds]
        assert f"**{said}** {text}" in shown[entry.id]


@pytest.mark.parametrize("title", ["Claims", "Errata"])
def test_claims_are_filtered_by_verdict(title):
    entries = FOUND.claims if title == "Claims" else FOUND.errata
    at = opened(title)
    assert filter_of(at, title).value == "all"
    for verdict in {entry.verdict for entry in entries}:
        at = filter_of(at, title).set_value(verdict).run()
        assert listed(at, entries) == [entry.id for entry in entries if entry.verdict == verdict]
    assert listed(filter_of(at, title).set_value("all").run(), entries) == [entry.id for entry in entries]
    assert set(address(at)) == {TAB}, "what is looked for is no part of the view"


@pytest.mark.parametrize("entry", FOUND.questions, ids=lambda entry: entry.id)
def test_a_question_leads_to_what_shows_it(entry):
    at = press(visit(TOPIC, {TAB: "From the notes"}), entry)
    scenario = TOPIC.scenario(entry.scenario)
    expected = TOPIC.fill(entry.view) if scenario is None else TOPIC.scenario_values(scenario)
    shows(at, TOPIC, expected)
    tab = scenario.tab if scenario is not None else entry.tab
    assert at.session_state[TAB] == (tab or "Why")


@pytest.mark.parametrize("id_", ["S18", "S126", "E134", "E80"])
def test_a_claim_leads_to_its_view_and_never_stays_in_the_list(id_):
    entry = next(e for e in (*FOUND.claims, *FOUND.errata) if e.id == id_)
    at = press(opened("Claims" if id_[0] == "S" else "Errata"), entry)
    shows(at, TOPIC, TOPIC.fill(entry.view))
    assert at.session_state[TAB] == (entry.tab or "Why")
    assert control(at, TOPIC, "functions").value == list(TOPIC.fill(entry.view)["functions"])
