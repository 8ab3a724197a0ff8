"""Every topic: what its scenarios show, what its links say, and that its knobs follow from the registries."""

import importlib.util
import re
import sys
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pandas as pd
import pytest

from charts.figure import Figure
from charts.topic import CUSTOM, Link, Scenario, Topic
from core.activations import ACTIVATIONS
from core.dropout import DROPOUT_MODES
from core.initializers import DATA_DEPENDENT, INITIALIZERS
from core.knobs import quote
from core.normalization import BATCHNORM_CONVENTIONS
from core.optimizers import OPTIMIZERS
from core.second_order import REFERENCES
from core.surfaces import SURFACES
from tests.charts.topics import (
    BY_NAME,
    RESHAPING,
    SCENARIOS,
    THOROUGH,
    TOPICS,
    blocks,
    distinct,
    figures,
    others,
    owner,
    pairs,
    random_values,
    showing,
)

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
every_scenario = pytest.mark.parametrize(
    ("topic", "scenario"), SCENARIOS, ids=[f"{t.name}-{s.name}" for t, s in SCENARIOS]
)


def as_query(link):
    """Send the parameters of a link through an address, as a browser does."""
    return parse_qs(urlencode(link, doseq=True), keep_blank_values=True)


def same_data(a, b):
    return all(a.data[name].equals(b.data[name]) for name in a.data if name not in a.ghosts)


# Scenarios


@every_scenario
def test_a_scenario_shows_what_it_must(topic, scenario):
    view = topic.view(topic.scenario_values(scenario))
    assert scenario.notice
    assert any(c.isdigit() for c in view.reading), view.reading
    assert view.why.count("$") % 2 == 0
    assert "$" in view.why
    for text in (view.reading, view.why, *view.events, view.figure.caption, view.figure.alt):
        assert text.strip()
        assert "nan" not in text.replace("finan", "")
        assert "np.float" not in text
    assert bool(view.code) == topic.code
    for program in view.code:
        compile(program.text, program.title, "exec")
    # Of the first scenario all tabs; then the one that it is about and one more in turn, so that all are met often.
    assert len({tab.name for tab in view.tabs}) == len(view.tabs)
    place = topic.scenarios.index(scenario)
    turn = view.tabs[place % len(view.tabs)]
    drawn = [view.figure, *(block for fold in view.folds for block in fold.blocks())]
    for tab in view.tabs:
        if THOROUGH or not place or tab is turn or tab.name == scenario.tab:
            assert blocks(view, tab)
            drawn += blocks(view, tab)
    for block in drawn:
        assert not isinstance(block, str) or block.strip()
        if isinstance(block, Link):
            linked = BY_NAME[block.page or topic.name]
            assert block.label
            assert block.tab in ("", *linked.tab_names)
            assert all(linked.knobs[name].check(value) == value for name, value in block.values.items())
        if isinstance(block, Figure):
            assert block.title
            assert block.caption
            assert block.alt
            for name, frame in block.data.items():
                assert len(frame) > 0, f"{name} is empty"
                for column in frame.select_dtypes("number"):
                    assert not np.isinf(frame[column].to_numpy(float)).any(), f"{name}.{column} is infinite"


@every_topic
def test_scenarios_are_told_apart(topic):
    names = [scenario.name for scenario in topic.scenarios]
    assert len(names) >= 3
    assert len(set(names)) == len(names)
    assert CUSTOM not in names
    for scenario in topic.scenarios:
        assert topic.scenario_of(topic.settle(topic.scenario_values(scenario))) == scenario.name
    assert topic.scenario_values(topic.scenarios[0]) == topic.fill({})
    assert topic.settle(topic.fill({})) == topic.defaults()


@every_scenario
def test_a_scenario_sets_only_what_its_panel_shows(topic, scenario):
    values = topic.scenario_values(scenario)
    assert set(scenario.values) <= topic.shown(values)
    assert topic.settle(values) == values


@every_topic
def test_the_free_knobs_leave_a_scenario_in_force(topic):
    for name in set(topic.free) & set(topic.knobs):
        values = topic.defaults()
        values[name] = others(topic, topic.knobs[name], values[name])[0]
        assert topic.scenario_of(values) == topic.scenarios[0].name
    name = next(n for n in topic.shown(topic.defaults()) if n not in topic.free)
    assert topic.scenario_of({**topic.defaults(), name: None}) == CUSTOM


@every_topic
def test_the_same_values_give_the_same_view(topic):
    values = topic.defaults()
    first, again = topic.make(values), topic.make(dict(reversed(values.items())))
    assert (first.reading, first.why, first.events) == (again.reading, again.why, again.events)
    for a, b in zip(figures(first), figures(again), strict=True):
        assert a.caption == b.caption
        for name in a.data:
            pd.testing.assert_frame_equal(a.data[name].pandas, b.data[name].pandas)


@pytest.mark.parametrize("topic", [t for t in TOPICS if "seed" in t.knobs], ids=lambda topic: topic.name)
def test_the_seed_is_stated_and_matters(topic):
    beside = showing(topic, "seed")
    one = topic.view({**beside, "seed": 7}).figure
    other = topic.view({**beside, "seed": 8}).figure
    assert "seed 7" in one.caption
    assert "seed 8" in other.caption
    assert not same_data(one, other)


# Two different pictures never have the same caption


def _knobs():
    for topic in TOPICS:
        for name in distinct(topic, 0):
            yield pytest.param(topic, name, id=f"{topic.name}-{name}")


@pytest.mark.parametrize(("topic", "name"), list(_knobs()))
def test_a_caption_states_every_value_that_changes_the_picture(topic, name):
    base = showing(topic, name)
    assert base is not None, "no panel ever shows this knob"
    if name in RESHAPING.get(topic.name, ()):
        return  # its axis shows it
    before = topic.view(base)
    tab = owner(before, base, name)
    for number, value in enumerate(others(topic, topic.knobs[name], base[name])[: 2 if THOROUGH else 1]):
        changed = topic.fill({**{k: v for k, v in base.items() if name not in topic.depends}, name: value})
        after = topic.view(changed)
        if before.figure.caption != after.figure.caption:
            continue  # stated beside every tab
        # Other tabs do not hear of a tab's own knob: tests of the pages hold that.
        for one, other in pairs(before, after, tabs=number < (2 if tab else 1), only=tab):
            assert same_data(one, other) or one.caption != other.caption, f"{name} = {value}"


@every_scenario
def test_a_scenario_ends_when_something_it_sets_is_changed(topic, scenario):
    values = topic.scenario_values(scenario)
    for name in scenario.values:
        other = others(topic, topic.knobs[name], values[name])[0]
        assert topic.scenario_of({**values, name: other}) != scenario.name, name


# Links


@every_topic
def test_a_link_states_every_value_that_acts(topic):
    for seed in range(20):
        values = random_values(topic, seed)
        link = topic.query(values)
        assert set(link) == {topic.key("scenario"), *map(topic.key, topic.shown(values))}
    assert set(topic.query(topic.defaults())) == {
        topic.key("scenario"),
        *map(topic.key, topic.shown(topic.defaults())),
    }


@every_topic
def test_what_the_panel_does_not_show_does_not_act(topic):
    for seed in range(20):
        values = random_values(topic, seed, affordable=True)
        settled = topic.settle(values)
        assert topic.settle(settled) == settled
        assert topic.shown(settled) == topic.shown(values)
        hidden = {name: topic.knobs[name].default for name in topic.knobs if name not in topic.shown(values)}
        assert topic.settle({**values, **hidden}) == settled


@every_scenario
def test_a_scenario_is_a_link(topic, scenario):
    values, problems = topic.parse({topic.key("scenario"): [scenario.name]})
    assert problems == []
    assert values == topic.scenario_values(scenario)
    assert topic.scenario_of(values) == scenario.name
    assert topic.query(values)[topic.key("scenario")] == scenario.name


@every_scenario
def test_a_link_may_change_one_value_of_a_scenario(topic, scenario):
    values = topic.scenario_values(scenario)
    name = next(
        n
        for n in sorted(topic.shown(values))
        if topic.knobs[n].kind in ("int", "float") and n not in topic.free
    )
    value = others(topic, topic.knobs[name], values[name])[0]
    link = {topic.key("scenario"): [scenario.name], topic.key(name): [topic.knobs[name].text(value)]}
    changed, problems = topic.parse(link)
    assert problems == []
    assert changed == {**values, name: value}
    assert topic.scenario_of(changed) in {CUSTOM, *(s.name for s in topic.scenarios)} - {scenario.name}


@every_topic
def test_no_parameters_are_the_default_view(topic):
    assert topic.parse({}) == (topic.defaults(), [])
    assert topic.parse({topic.key("scenario"): [CUSTOM]}) == (topic.defaults(), [])


@every_topic
def test_an_unknown_scenario_is_named_with_those_there_are(topic):
    values, (problem,) = topic.parse({topic.key("scenario"): ["No such view"]})
    assert values == topic.defaults()
    assert "No such view" in problem
    assert all(scenario.name in problem for scenario in topic.scenarios)
    values, problems = topic.parse({topic.key("scenario"): []})
    assert values == topic.defaults()
    assert len(problems) == 1


@every_topic
@pytest.mark.parametrize(
    "name",
    ["nonsense", "{prefix}_nonsense", "{prefix}", "_{knob}", "{knob}", "{prefix}_{prefix}_{knob}", "", "<b>"],
)
def test_an_unknown_parameter_is_named(topic, name):
    knob = next(iter(topic.shown(topic.defaults())))
    name = name.format(prefix=topic.prefix, knob=knob)
    values, problems = topic.parse({name: ["1"]})
    assert values == topic.defaults()
    assert len(problems) == 1
    assert quote(name) in problems[0]


@every_topic
@pytest.mark.parametrize("name", ["embed", "embed_options", "utm_source", "fbclid", "gclid"])
def test_parameters_of_other_sites_pass(topic, name):
    assert topic.parse({name: ["1"]}) == (topic.defaults(), [])


@every_topic
def test_a_bad_value_costs_only_itself(topic):
    good = random_values(topic, 3)
    link = as_query(topic.query(good))
    del link[topic.key("scenario")]
    for name in sorted(topic.shown(good)):
        knob = topic.knobs[name]
        values, problems = topic.parse({**link, topic.key(name): ["1_000 🙂"]})
        assert len(problems) == 1, problems
        assert name in problems[0]
        assert "1_000" in problems[0]
        assert knob.range_text in problems[0]
        rest = {n: good[n] for n in topic.shown(good) if n != name}
        assert values == topic.fill(rest)


@every_topic
def test_every_number_is_refused_outside_its_range(topic):
    for name, knob in topic.knobs.items():
        if knob.kind not in ("int", "float"):
            continue
        assert -1e9 < knob.low < knob.high < 1e9, "a control needs both ends"
        for text in ("nan", "inf", "1e400", repr(knob.high + 1), repr(knob.low - 1), ""):
            values, problems = topic.parse({topic.key(name): [text]})
            assert values == topic.defaults(), (name, text)
            assert len(problems) == 1
            assert knob.range_text in problems[0]


@every_topic
def test_many_wrongs_make_one_line_each(topic):
    query = {topic.key(name): ["wrong"] for name in topic.knobs} | {"foreign": ["1"]}
    values, problems = topic.parse(query)
    assert values == topic.defaults()
    assert len(problems) == len(topic.knobs) + 1
    assert all("\n" not in line for line in problems)


# The panel


@every_topic
def test_keys_are_unique_and_prefixed(topic):
    keys = [topic.key(name) for name in topic.knobs]
    assert len(set(keys)) == len(keys)
    assert all(name == knob.name for name, knob in topic.knobs.items())
    assert not {"scenario", "tab", "main"} & set(topic.knobs)


def test_no_prefix_begins_another():
    prefixes = [f"{topic.prefix}_" for topic in TOPICS]
    assert len(set(prefixes)) == len(prefixes)
    for prefix in prefixes:
        assert not [other for other in prefixes if other != prefix and other.startswith(prefix)]


@every_topic
def test_the_panel_shows_each_knob_once(topic):
    for seed in range(30):
        values = random_values(topic, seed)
        names = [name for group in topic.layout(values) for name in group.knobs]
        assert len(set(names)) == len(names)
        assert set(names) <= set(topic.knobs)


@every_topic
def test_narrowed_choices_are_choices(topic):
    for seed in range(30):
        values = random_values(topic, seed)
        for name, offered in topic.offers(values).items():
            assert set(offered) <= set(topic.knobs[name].choices)


@every_topic
def test_dependent_defaults_are_legal(topic):
    for name in topic.depends:
        for value in topic.knobs[name].choices:
            for other, default in topic.complete({name: value}).items():
                assert topic.knobs[other].check(default) == default


@pytest.mark.parametrize("surface", SURFACES)
def test_a_surface_s_own_start_lies_in_its_window(surface):
    values = BY_NAME["optimizers"].fill({"surface": surface})
    window = SURFACES[surface].window
    assert window[0] <= values["start_x"] <= window[1]
    assert window[2] <= values["start_y"] <= window[3]


@pytest.mark.parametrize("surface", SURFACES)
def test_a_click_is_a_start_within_the_window(surface):
    topic = BY_NAME["optimizers"]
    values = topic.fill({"surface": surface})
    window = SURFACES[surface].window
    for u in np.linspace(0, 1, 41):
        start = topic.click({"u": u, "v": 1 - u}, values)
        assert set(start) == {"start_x", "start_y"}
        for name, low, high, part in (("start_x", *window[:2], u), ("start_y", *window[2:], 1 - u)):
            assert topic.knobs[name].check(start[name]) == start[name]
            assert low <= start[name] <= high
            assert start[name] == pytest.approx(low + part * (high - low), abs=(high - low) / 40)


# Refusals at start-up


def _topic(**changes):
    topic = BY_NAME["dropout"]
    return replace(topic, **changes)


def test_a_scenario_out_of_range_is_refused():
    first = Scenario("First", "")
    with pytest.raises(ValueError, match="p = 2"):
        _topic(scenarios=(first, Scenario("Second", "", {"p": 2.0})))
    with pytest.raises(KeyError):
        _topic(scenarios=(first, Scenario("Second", "", {"q": 0.5})))
    with pytest.raises(ValueError, match="first scenario"):
        _topic(scenarios=(Scenario("First", "", {"p": 0.1}),))
    assert isinstance(_topic(scenarios=(first, Scenario("Second", "", {"p": 0.1}))), Topic)


# What follows from the registries


def test_every_entry_is_offered():
    offered = {topic.name: topic.knobs for topic in TOPICS}
    assert offered["activations"]["functions"].choices == tuple(ACTIVATIONS)
    assert offered["initialization"]["activation"].choices == tuple(ACTIVATIONS)
    assert offered["initialization"]["schemes"].choices == (*INITIALIZERS, *DATA_DEPENDENT)
    assert offered["batchnorm"]["convention"].choices == tuple(BATCHNORM_CONVENTIONS)
    assert offered["optimizers"]["optimizers"].choices == (*OPTIMIZERS, *REFERENCES)
    assert offered["optimizers"]["edit"].choices == (*OPTIMIZERS, *REFERENCES)
    assert offered["optimizers"]["surface"].choices == (*SURFACES, "Your own f(x, y)")


def _owned(topic, entries, choose):
    """Yield each entry's own knob beside the topic's knob that the panel adds when the entry is chosen."""
    for name, entry in entries.items():
        shown = topic.shown(topic.fill(choose(name)))
        for knob in entry.knobs:
            found = [topic.knobs[n] for n in shown if n == knob.name or n.endswith(f"_{knob.name}")]
            yield name, knob, found


@pytest.mark.parametrize(
    ("topic", "entries", "choose"),
    [
        ("activations", ACTIVATIONS, lambda name: {"functions": (name,)}),
        ("initialization", ACTIVATIONS, lambda name: {"activation": name}),
        ("optimizers", OPTIMIZERS, lambda name: {"optimizers": (name,)}),
        ("optimizers", SURFACES, lambda name: {"surface": name, "optimizers": ()}),
    ],
    ids=["activations", "initialization", "optimizers", "surfaces"],
)
def test_every_knob_of_an_entry_has_a_control(topic, entries, choose):
    topic = BY_NAME[topic]
    for name, knob, found in _owned(topic, entries, choose):
        assert len(found) == 1, (name, knob.name)
        assert (found[0].low, found[0].high, found[0].kind) == (knob.low, knob.high, knob.kind), (
            name,
            knob.name,
        )
        if knob.name != "lr":  # its default comes from the surface
            assert found[0].default == knob.default


@pytest.fixture
def fresh(monkeypatch):
    """Import a module of charts/ anew, so that it sees a changed registry, without touching the one in use."""

    def anew(name, known_as):
        source = importlib.util.find_spec(f"charts.{name}")
        spec = importlib.util.spec_from_file_location(known_as, source.origin)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    def load(name):
        if importlib.util.find_spec(f"charts.{name}_base"):
            anew(f"{name}_base", f"charts.{name}_base")
        return anew(name, f"fresh_{name}").TOPIC

    return load


@pytest.mark.parametrize(
    ("name", "registry", "model", "choose"),
    [
        ("activations", ACTIVATIONS, "ELU", {"functions": ("Newcomer",)}),
        ("initialization", ACTIVATIONS, "ELU", {"activation": "Newcomer"}),
        ("initialization", INITIALIZERS, "He normal", {"schemes": ("Newcomer",)}),
        ("batchnorm", BATCHNORM_CONVENTIONS, "Keras", {"convention": "Newcomer"}),
        ("dropout", DROPOUT_MODES, "No scaling", {}),
        ("optimizers", OPTIMIZERS, "Adam", {"optimizers": ("Newcomer",)}),
        ("optimizers", SURFACES, "Rosenbrock", {"surface": "Newcomer"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_new_entry_needs_no_other_change(name, registry, model, choose, monkeypatch, fresh):
    monkeypatch.setitem(registry, "Newcomer", replace(registry[model], name="Newcomer"))
    topic = fresh(name)
    values = topic.fill(choose)
    again, problems = topic.parse(as_query(topic.query(values)))
    assert problems == []
    assert again == values
    for knob in getattr(registry[model], "knobs", ()):
        assert [n for n in topic.shown(values) if n == knob.name or n.endswith(f"_{knob.name}")]
    figure = topic.make(values).figure
    words = [
        text
        for frame in figure.data.values()
        for c in frame.select_dtypes("category")
        for text in frame[c].unique()
    ]
    assert any("Newcomer" in str(text) for text in [figure.caption, *words])


@every_topic
def test_a_refusal_names_the_limits_as_they_are(topic):
    for knob in topic.knobs.values():
        if knob.kind in ("int", "float"):
            ends = re.fullmatch(r"a (?:whole )?number from (\S+) to (\S+)", knob.range_text).groups()
            low, high = (float(end.replace("−", "-")) for end in ends)
            assert (low, high) == pytest.approx((knob.low, knob.high), rel=1e-9, abs=0), knob.name
