"""Links last: what a link says comes back exactly, whatever the defaults become, and former names are understood."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest

from charts import gallery
from charts.__main__ import Refused, _Link, _scenario, _values
from charts.addresses import ALIASES, PAGES, page_of
from charts.gallery import address
from charts.topic import CUSTOM, Group, foreign
from core.knobs import Knob
from tests.charts.test_command import same, written
from tests.charts.topics import BY_NAME, THOROUGH, TOPICS, draw, random_values

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)

LINKS = 100  # random links a topic
FILES = 10 if THOROUGH else 2  # of which so many are drawn


def opened(link):
    """Take a link apart as a browser does: the last part of its path, and its parameters."""
    parts = urlsplit(link)
    return parts.path.rsplit("/", 1)[-1], parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)


def shown(topic, values):
    return {name: values[name] for name in topic.shown(values)}


# There and back


@every_topic
def test_a_link_is_the_same_link_after_it_was_opened(topic):
    seen = set()
    for seed in range(LINKS):
        values = random_values(topic, 3000 + seed)
        tab = ("", *topic.tab_names)[seed % (len(topic.tab_names) + 1)]
        link = address(topic, values, tab, "https://layerwise.example/app")
        page, query = opened(link)
        again, problems = topic.parse(query)
        assert (page, problems) == (topic.name, []), f"seed {seed}"
        assert again == topic.settle(values), f"seed {seed}"
        assert query[topic.key("scenario")] == [topic.scenario_of(again)], f"seed {seed}"
        assert query.get(topic.key("tab"), [""]) == [tab], f"seed {seed}"
        assert address(topic, again, tab, "https://layerwise.example/app/") == link, f"seed {seed}"
        assert topic.canonical(query) == query, f"seed {seed}"
        seen |= {(name, value) for name, value in again.items() if name in topic.shown(again)}
    assert len(seen) > 3 * len(topic.knobs), "the links differ in nothing"


@every_topic
def test_the_short_link_of_a_picture_opens_the_same_view_today(topic):
    for seed in range(10):
        values = topic.settle(random_values(topic, 3000 + seed))
        short = opened(f"?{urlencode(topic.brief(values, topic.tabs[0]), doseq=True)}")[1]
        assert topic.parse(short) == (values, []), f"seed {seed}"
        assert short[topic.key("tab")] == [topic.tabs[0]]
    assert topic.brief(topic.defaults()) == {}


@every_topic
def test_the_address_of_the_browser_opens_the_view_that_it_stands_above(topic):
    for seed in range(5):
        values = random_values(topic, 3000 + seed)
        query = opened(f"?{urlencode(topic.address(values), doseq=True)}")[1]
        assert topic.parse(query) == (topic.settle(values), []), f"seed {seed}"
        # Every shown knob in turn at its default, which beside the others may not be what follows.
        for name in topic.shown(values):
            one = {**values, name: topic.knobs[name].default}
            query = opened(f"?{urlencode(topic.address(one), doseq=True)}")[1]
            assert topic.parse(query) == (topic.settle(one), []), f"seed {seed}, {name}"
    for scenario in topic.scenarios:
        wanted = topic.settle(topic.scenario_values(scenario))
        query = opened(f"?{urlencode(topic.address(wanted), doseq=True)}")[1]
        assert topic.parse(query) == (wanted, [])
        assert query.get(topic.key("scenario"), [topic.scenarios[0].name]) == [scenario.name]
    assert topic.address(topic.defaults()) == {}


@every_topic
def test_every_scenario_and_seed_has_a_link(topic):
    for number, scenario in enumerate(topic.scenarios):
        values = topic.scenario_values(scenario)
        if "seed" in topic.knobs and "seed" not in scenario.values:
            values["seed"] = number + 1
        _, query = opened(address(topic, values, scenario.tab))
        assert query[topic.key("scenario")] == [scenario.name]
        assert topic.parse(query) == (topic.settle(values), [])


@pytest.mark.parametrize(
    "text",
    [
        "x & y = 1",
        "a+b%20c",
        "100%",
        "#?/;:@",
        "ä + ∂𝑥²",
        "'\"<b>",
        " both ends ",
        "a\tb",
        "\u200b",
        "&amp;",
        "",
        "+",
    ],
)
def test_a_text_with_any_characters_comes_back(text):
    own = BY_NAME["dropout"]
    note = Knob("note", "text", "none", most=40)
    topic = replace(
        own, knobs={**own.knobs, "note": note}, layout=lambda values: (*own.layout(values), Group(("note",)))
    )
    page, query = opened(address(topic, topic.fill({"note": text}), "From the notes"))
    assert page == "dropout"
    assert topic.parse(query) == (topic.fill({"note": text}), [])


@pytest.mark.parametrize(
    "formula", [" x+ +y ", "x^2 + 2y^2", "x*y/(1+abs(x))-3e-2", "10*(1-cos(2*pi*x))+y²", "−x·y"]
)
def test_a_formula_comes_back(formula):
    topic = BY_NAME["optimizers"]
    values = topic.fill({**topic.scenario("Your own surface").values, "formula": formula})
    assert topic.knobs["formula"].check(formula) == formula
    assert "formula" in topic.shown(values)
    assert topic.parse(opened(address(topic, values))[1]) == (topic.settle(values), [])


# Later


@every_topic
def test_a_link_survives_other_defaults_and_other_scenarios(topic):
    for seed in range(25):
        values = random_values(topic, 4000 + seed)
        _, query = opened(address(topic, values))
        rng = np.random.default_rng(seed)
        knobs = {name: replace(knob, default=draw(knob, rng)) for name, knob in topic.knobs.items()}
        first, *others = topic.scenarios
        moved = [replace(s, values=o.values) for s, o in zip(others, others[::-1], strict=True)]
        later = replace(topic, knobs=knobs, scenarios=(first, *moved))
        assert later.defaults() != topic.defaults()
        again, problems = later.parse(query)
        assert problems == []
        assert later.shown(again) == topic.shown(values), f"seed {seed}"
        assert shown(later, again) == shown(topic, values), f"seed {seed}"


def renamed(topic):
    """Return the topic as if everything in it had had another name."""
    return replace(
        topic,
        aliases={f"once_{name}": name for name in topic.knobs},
        tab_aliases={f"Once {name}": name for name in topic.tab_names},
        scenarios=tuple(replace(s, aliases=(f"Once {s.name}", f"{s.name}?")) for s in topic.scenarios),
    )


def earlier(topic, query):
    """Write a link of today as it was when everything had its other name."""
    once = {}
    for parameter, texts in query.items():
        name = parameter.removeprefix(f"{topic.prefix}_")
        own = name in topic.knobs
        former = texts if own or texts == [CUSTOM] else [f"Once {texts[-1]}"]
        once[topic.key(f"once_{name}") if own else parameter] = former
    return once


@every_topic
def test_a_link_survives_other_names(topic):
    topic = renamed(topic)
    for seed, scenario in enumerate(topic.scenarios):
        values = topic.scenario_values(scenario)
        tab = topic.tab_names[seed % len(topic.tab_names)]
        _, today = opened(address(topic, values, tab))
        once = earlier(topic, today)
        assert not set(once) & set(today) - {topic.key("scenario"), topic.key("tab")}
        assert topic.canonical(once) == today
        assert topic.parse(once) == topic.parse(today) == (topic.settle(values), [])
        alone = {topic.key("scenario"): [f"{scenario.name}?"]}
        assert topic.parse(alone) == (values, [])
        # What is written has the names of today alone.
        assert topic.query(topic.parse(once)[0]) == topic.query(values)
        assert topic.scenario_of(topic.parse(once)[0]) == scenario.name


def test_the_name_of_today_wins():
    topic = replace(BY_NAME["dropout"], aliases={"rate": "p", "drop": "p"})
    for query in ({"drop_rate": ["0.2"], "drop_p": ["0.3"]}, {"drop_p": ["0.3"], "drop_rate": ["x"]}):
        assert topic.parse(query) == (topic.fill({"p": 0.3}), [])
        assert topic.canonical(query) == {"drop_p": ["0.3"]}
    assert topic.parse({"drop_rate": ["0.2"], "drop_drop": ["0.4"]})[1] == []
    values, problems = topic.parse({"drop_rate": ["0.2"], "drop_p": ["7"]})
    assert values == topic.defaults()
    assert len(problems) == 1
    assert "p = 7:" in problems[0]
    values, problems = topic.parse({"drop_rate": ["often"]})
    assert values == topic.defaults()
    assert problems[0].startswith("p = often: needs a number from 0 to 1")


def test_what_a_parameter_sets():
    topic = replace(BY_NAME["dropout"], aliases={"rate": "p"})
    named = {
        name: topic.knob_of(name)
        for name in ("drop_p", "drop_rate", "p", "rate", "bn_p", "drop_", "drop_tab")
    }
    assert {name: knob for name, knob in named.items() if knob} == {"drop_p": "p", "drop_rate": "p"}
    foreign = {"embed": ["true"], "p": ["0.2"], "drop_q": [], "drop_tab": ["Nowhere"], "drop_scenario": []}
    assert topic.canonical(foreign) == foreign


@pytest.mark.parametrize(
    ("parameter", "passes"),
    [
        *((name, True) for name in ("embed", "embed_options", "hide", "figure", "fbclid", "gclid")),
        *((name, True) for name in ("utm_source", "utm_campaign")),
        *((name, False) for name in ("hideous", "embedded", "embed_", "figures", "gclid2", "utm", "")),
        *((name, False) for name in ("Hide", "drop_hide", "p", "utmost")),
    ],
)
def test_what_is_meant_for_no_page_passes(parameter, passes):
    assert foreign(parameter) == passes
    values, problems = DROPOUT.parse({parameter: ["1"], "drop_p": ["0.2"]})
    assert values["p"] == 0.2
    assert bool(problems) != passes


DROPOUT = BY_NAME["dropout"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aliases": {"p": "inputs"}}, "former name p of a knob is in use"),
        ({"aliases": {"rate": "q"}}, "rate leads to no knob"),
        ({"aliases": {"tab": "p"}}, "tab of a knob is in use"),
        ({"aliases": {"scenario": "p"}}, "scenario of a knob is in use"),
        ({"tab_aliases": {"Depth": "Network"}}, "Depth of a tab is in use"),
        ({"tab_aliases": {"Deep": "depth"}}, "Deep leads to no tab"),
        ({"former": ("Light dropout",)}, "Light dropout of a scenario is in use"),
        ({"former": (CUSTOM,)}, "Custom of a scenario is in use"),
        ({"former": ("Once", "Once")}, "two scenarios have the same former name"),
        ({"knobs": {**DROPOUT.knobs, "tab": Knob("tab", "int", 1)}}, "no knob is named scenario or tab"),
    ],
)
def test_former_names_that_cannot_be_are_refused(changes, said):
    first, *others = DROPOUT.scenarios
    former = changes.pop("former", ())
    scenarios = (replace(first, aliases=former), *others)
    with pytest.raises(ValueError, match=said):
        replace(DROPOUT, scenarios=scenarios, **changes)


def test_pages_have_other_names():
    assert all(name == name.casefold() and "_" not in name and name not in PAGES for name in ALIASES)
    assert set(ALIASES.values()) <= set(PAGES)
    assert [page_of(name) for name in (*PAGES, "Dropout", "Batch_Norm")] == [*PAGES, "dropout", "batchnorm"]
    assert page_of("") == page_of("os") == page_of("dropout/scaling") == ""


def test_the_command_takes_former_names(monkeypatch):
    own = DROPOUT
    topic = renamed(own)
    monkeypatch.setattr(gallery, "topic", lambda page: {own.name: topic}[page])
    monkeypatch.setitem(ALIASES, "once", own.name)
    values = topic.fill({"p": 0.25, "inputs": 40, "depth_layers": 7})
    _, today = opened(address(topic, values, "Depth"))
    for query in (today, earlier(topic, today)):
        link = _Link(f"https://a.example/once?{urlencode(query, doseq=True)}")
        assert (link.topic, link.tab) == (topic, "Depth")
        assert topic.fill(link.values) == topic.settle(values)
    assert _values(topic, {}, {"once_p": ["0.25"], "drop_once_inputs": ["40"]})[1] == {
        "p": 0.25,
        "inputs": 40,
    }
    with pytest.raises(Refused, match="--once_p is --p, which is given too"):
        _values(topic, {}, {"p": ["0.2"], "once_p": ["0.3"]})
    for scenario in topic.scenarios:
        assert _scenario(topic, f"ONCE {scenario.name}") == scenario.values


def test_the_command_knows_what_others_call_a_parameter():
    topic = BY_NAME["optimizers"]
    for given, knob, value in (
        ({"learning_rate": ["0.02"]}, "gd_lr", 0.02),
        ({"edit": ["Adam"], "epsilon": ["1e-6"]}, "adam_eps", 1e-6),
        ({"edit": ["Adam"], "beta_1": ["0.8"]}, "adam_beta1", 0.8),
        ({"edit": ["AdamW"], "optimizers": ["AdamW"], "wd": ["0.1"]}, "adamw_weight_decay", 0.1),
    ):
        assert _values(topic, {}, given)[1][knob] == value
    with pytest.raises(Refused, match="has no such parameter"):
        _values(BY_NAME["dropout"], {}, {"learning_rate": ["0.1"]})


# In a file


@every_topic
def test_a_link_draws_in_a_file_what_it_draws_on_the_page(topic, tmp_path):
    for seed in range(FILES):
        values = random_values(topic, 500 + seed, affordable=True)
        link = f"https://layerwise.example/app/{address(topic, values)}"
        page, problems = topic.parse(opened(link)[1])
        assert not problems
        assert same(written(tmp_path, link), topic.view(page).figure), f"seed {seed}"
