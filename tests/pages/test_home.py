"""The landing page: what it shows, where its links lead, and what it makes of what a browser sends."""

import json
from urllib.parse import parse_qs

import pytest
import streamlit as st

from charts import landing, search, thumbnails
from tests.charts.topics import BY_NAME, TOPICS
from tests.pages.app import charts, same, shows, start, tables, texts
from ui import search as field
from ui import settings
from ui.navigation import CLAIMS, ENTRIES


@pytest.fixture(scope="module")
def home():
    at = start().run()
    assert not at.exception
    return at


def links(at):
    """Return the links of the page: label, page and parameters."""
    return [element.proto for element in at.get("page_link")]


def sent(at, component):
    """Return what a component of ours gets."""
    (proto,) = [each.proto for each in at.get("bidi_component") if each.proto.component_name == component]
    return json.loads(proto.json)


def test_the_page_draws_the_valley_and_every_default_figure(home):
    assert len(charts(home)) == 1 + len(TOPICS)
    for name, frame in landing.valley().data.items():
        same(tables(home)[name], frame)
    for number, topic in enumerate(TOPICS, 1):
        figure = topic.view(topic.defaults()).figure
        assert charts(home)[number].alt == figure.alt
        for name, drawn in tables(home, number).items():
            same(drawn, figure.data[name])


def test_every_link_opens_what_it_promises(home):
    """Cards lead to the default view, steps and symptoms along their ways, each with parameters of the page's own."""
    found = [(link.page.strip("/"), parse_qs(link.query_string)) for link in links(home)]
    ways = [(topic.name, {topic.key("scenario"): topic.scenarios[0].name}) for topic in TOPICS]
    ways += [(way.page, search.step(way, BY_NAME[way.page])) for way in search.PATH]
    ways += [(way.page, search.follow(way, BY_NAME[way.page])) for way in search.SYMPTOMS]
    ways += [("claims", {})]
    assert len(found) == len(ways)
    for page, query in ways:
        assert (page, {name: [value] for name, value in query.items()}) in found


def test_the_index_is_sent_once_and_the_same(home):
    places = field._places()
    packed = search.packed(search.index(tuple(TOPICS), places), (*TOPICS, *places))
    assert sent(home, "layerwise_index") == json.loads(json.dumps(packed))
    assert packed["pages"][-1] == ("claims", "Claims")


def test_the_search_is_sent_once(home):
    """The field holds the scripts of all three parts; the others call theirs."""
    found = {each.proto.component_name: each.proto.js_content for each in home.get("bidi_component")}
    for name, function in (("layerwise_index", "fill"), ("layerwise_way", "way")):
        assert f"function {function}(" in found["layerwise_search"]
        assert f"it.{function}(own)" in found[name]
        assert len(found[name]) < 400


def test_path_and_search_come_before_any_figure(monkeypatch):
    monkeypatch.setattr(landing, "valley", st.stop)
    at = start().run()
    assert charts(at) == []
    labels = [link.label for link in links(at)]
    assert all(any(way.says in label for label in labels) for way in search.PATH)
    assert "layerwise_search" in [each.proto.component_name for each in at.get("bidi_component")]


def test_the_words_of_all_cards_come_after_the_valley_and_before_their_figures(monkeypatch):
    monkeypatch.setattr(thumbnails, "miniature", lambda _topic: st.stop())
    at = start().run()
    assert len(charts(at)) == 1
    said = texts(at)
    assert all(entry.question in said for entry in ENTRIES.values())


@pytest.mark.parametrize("number", [True, -1, 10**9, 1.5, float("nan"), "0", None, [0], {"number": 0}])
def test_a_number_that_no_entry_has_is_ignored(monkeypatch, number):
    monkeypatch.setattr(field.st, "session_state", {"_search_go": number})
    assert field._take("_search", 500) is None
    assert field.st.session_state == {}


def test_a_choice_opens_its_view_even_on_the_page_seen_last():
    topic = BY_NAME["optimizers"]
    entries = search.index(tuple(TOPICS), field._places())
    at = start().run()
    for title in ("Saddle", "Beale"):
        (number,) = [k for k, each in enumerate(entries) if (each.kind, each.title) == ("surface", title)]
        at.session_state["_search_go"] = number
        at.run()
        assert not at.exception
        shows(at, topic, topic.fill({"surface": title}))
        at.switch_page("pages/home.py").run()
        assert "opt_surface" not in at.query_params


@pytest.mark.parametrize("key", ["_search_go", "_valley_way_go"])
def test_a_choice_does_not_outlive_its_visit(key):
    at = start().run()
    at.session_state[key] = 3
    at.switch_page("pages/dropout.py").run()
    at.switch_page("pages/home.py").run()
    assert not at.exception
    assert len(charts(at)) == 1 + len(TOPICS), "the landing page stays"
    assert key not in at.session_state


def test_a_choice_is_opened_before_anything_is_drawn(monkeypatch):
    at = start().run()
    monkeypatch.setattr(landing, "valley", lambda: pytest.fail("the page was drawn"))
    at.session_state["_valley_way_go"] = landing.ANGLES.index(75.0)
    at.run()
    assert not at.exception
    shows(at, BY_NAME["optimizers"], BY_NAME["optimizers"].fill(landing.values(75.0)))


def test_the_claims_are_opened_from_the_search(monkeypatch):
    entries = search.index(tuple(TOPICS), field._places())
    (number,) = [k for k, each in enumerate(entries) if each.page == "claims"]
    opened = []
    monkeypatch.setattr(field.st, "session_state", {"_search_go": number})
    monkeypatch.setattr(
        field.st, "switch_page", lambda script, query_params: opened.append((script, query_params))
    )
    field.follow(lambda: TOPICS)
    assert opened == [(CLAIMS.script, {})]
    assert field.st.session_state == {}


def test_a_host_with_fewer_pages_has_their_links_only(monkeypatch):
    monkeypatch.setattr(settings, "current", lambda: settings.Settings(pages=("dropout",)))
    at = start().run()
    assert not at.exception
    assert len(charts(at)) == 1
    assert [page for page, _ in sent(at, "layerwise_index")["pages"]] == ["dropout", "claims"]
    assert {link.page.strip("/") for link in links(at)} == {"dropout", "claims"}
