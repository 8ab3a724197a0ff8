"""A host's settings: what is read from the environment, and that its caps hold for every way to a value."""

import os
import subprocess
import sys
from types import MappingProxyType

import pytest
from streamlit import config

from charts import dropout
from charts.addresses import PAGES
from charts.limits import limited
from charts.notes import notes
from charts.topic import CUSTOM, Topic
from core.knobs import CAPS, Knob, KnobError
from tests.charts.topics import TOPICS, random_values
from tests.pages.app import ROOT, control, shows, texts, values, visit
from ui import settings

# Small enough to reach every knob that names a kind of size; the grid of starts keeps its lower choice.
TIGHT = {"width": 20, "depth": 7, "grid": 20, "seeds": 3, "samples": 12}
LIMITED = [(topic, limited(topic, TIGHT)) for topic in TOPICS]
REACHED = [pair for pair in LIMITED if pair[0] is not pair[1]]
IDS = [topic.name for topic, _ in REACHED]


def capped(topic: Topic) -> dict[str, Knob]:
    return {name: knob for name, knob in topic.knobs.items() if knob.capped}


# The environment


def test_nothing_set_changes_nothing():
    for environment in ({}, {"LAYERWISE_PAGES": " ", "LAYERWISE_MAX_WIDTH": "", "LAYERWISE_THEME": ""}):
        found, problems = settings.read(environment)
        assert (found.pages, dict(found.limits), found.theme, problems) == (PAGES, {}, "auto", [])


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("optimizers", ("optimizers",)),
        ("optimizers, dropout,", ("dropout", "optimizers")),  # the menu keeps its order
        ("Init,init", ("initialization",)),
    ],
)
def test_pages(text, pages):
    found, problems = settings.read({"LAYERWISE_PAGES": text})
    assert found.pages == pages
    assert not problems


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("LAYERWISE_PAGES", "dropout, dropuot", PAGES),
        ("LAYERWISE_PAGES", ",,", PAGES),
        *(
            (f"LAYERWISE_MAX_{kind.upper()}", text, (what,))
            for kind, what in CAPS.items()
            for text in ("0", "-3")
        ),
        *(
            ("LAYERWISE_MAX_WIDTH", text, ("whole number",))
            for text in ("12.5", "1e3", "²", "9" * 5000, "many")
        ),
        ("LAYERWISE_THEME", "drak\nERROR all is lost", settings.THEMES),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_and_ignored(variable, text, says):
    found, problems = settings.read({variable: text})
    assert (found.pages, dict(found.limits), found.theme) == (PAGES, {}, "auto")
    (line,) = problems
    assert line.startswith(variable)
    assert all(word in line for word in says)
    assert "\n" not in line
    assert len(line) < 300


def test_what_is_wrong_goes_to_the_log_once(monkeypatch, caplog):
    monkeypatch.setenv("LAYERWISE_MAX_DEPTH", "deep")
    monkeypatch.setenv("LAYERWISE_MAX_WIDTH", "32")
    monkeypatch.setattr(settings, "_limited", {})
    settings.current.cache_clear()
    try:
        assert settings.current() is settings.current()
        assert dict(settings.current().limits) == {"width": 32}
        assert [record.levelname for record in caplog.records if "LAYERWISE_MAX_DEPTH" in record.message] == [
            "ERROR"
        ]
        narrow = settings.allowed(dropout.TOPIC)
        assert narrow.knobs["inputs"].high == 32
        assert settings.allowed(dropout.TOPIC) is narrow
    finally:
        settings.current.cache_clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_alone_takes_the_place_of_the_two(monkeypatch, theme):
    sections = ("theme", "theme.light", "theme.dark")
    before = {section: config.get_options_for_section(section) for section in sections}
    monkeypatch.setattr(settings, "current", lambda: settings.Settings(theme=theme))
    wanted = {name: value for name, value in before[f"theme.{theme}"].items() if value is not None}
    assert {"backgroundColor", "chartCategoricalColors"} <= wanted.keys()
    try:
        assert settings.dress()
        now = config.get_options_for_section("theme")
        assert now["base"] == theme
        assert {name: now[name] for name in wanted} == wanted
        assert now["baseFontSize"] == before["theme"]["baseFontSize"]
        for section in sections[1:]:  # without them Streamlit sends one theme
            assert set(config.get_options_for_section(section).values()) == {None}
        assert not settings.dress()
    finally:
        for section, options in before.items():
            for name, value in options.items():
                config.set_option(f"{section}.{name}", value)


def test_without_a_theme_the_configuration_stays(monkeypatch):
    before = config.get_options_for_section("theme.dark")
    monkeypatch.setattr(settings, "current", settings.Settings)
    assert not settings.dress()
    assert config.get_options_for_section("theme.dark") == before


def test_the_log_of_a_process_names_what_is_wrong():
    """As a host sees it: nothing has configured a log, and the line is on the standard error output."""
    environment = {**os.environ, "LAYERWISE_PAGES": "droput"}
    code = "from ui import settings; print(len(settings.current().pages))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(len(PAGES))
    assert "LAYERWISE_PAGES = droput: needs" in done.stderr


# Caps of a knob


def whole(low: int, high: int, default: int, **more: object) -> Knob:
    return Knob("n", "int", default, low=low, high=high, cap="width", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("knob", "most", "low", "high", "default"),
    [
        (whole(1, 100, 50, step=1), 20, 1, 20, 20),
        (whole(1, 100, 10, step=1), 20, 1, 20, 10),
        (whole(8, 256, 64, step=8), 30, 8, 24, 24),  # the last stop of its slider within the cap
        (whole(16, 1024, 64, log=True), 100, 16, 100, 64),
        (whole(16, 1024, 64, log=True), 3, 16, 17, 17),  # a slider needs two ends
    ],
)
def test_a_capped_number(knob, most, low, high, default):
    less = knob.limited(most)
    assert (less.low, less.high, less.default) == (low, high, default)
    assert less.check(high) == high
    with pytest.raises(KnobError, match=f"from {low} to {high}, the most that this host allows"):
        less.parse(str(high + 1))
    assert less.within(knob.high) == high
    assert less.within(low) == low
    assert knob.limited(int(knob.high)) is knob


def test_a_capped_choice():
    knob = Knob("n", "choice", "128", choices=("64", "128", "256"), cap="grid", aliases={"large": "256"})
    less = knob.limited(100)
    assert (less.choices, less.default, dict(less.aliases)) == (("64",), "64", {})
    assert less.within("256") == "64"
    assert knob.limited(1).choices == ("64",)
    assert knob.limited(128).default == "128"
    assert knob.limited(256) is knob


def test_a_cap_has_a_name():
    with pytest.raises(ValueError, match="no cap"):
        Knob("n", "int", 1, low=1, high=2, cap="height")
    with pytest.raises(KeyError):
        limited(dropout.TOPIC, {"height": 3})


# Caps of a topic


def test_every_kind_of_size_is_that_of_a_knob_and_every_one_is_reached():
    assert {knob.cap for topic in TOPICS for knob in topic.knobs.values()} - {""} == CAPS.keys()
    for topic, less in LIMITED:
        assert {n for n, knob in topic.knobs.items() if knob.cap} == capped(less).keys()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_no_caps_or_wide_ones_leave_a_topic_as_it_is(topic):
    assert limited(topic, {}) is topic
    assert limited(topic, dict.fromkeys(CAPS, 10**6)) is topic


@pytest.mark.parametrize(("topic", "less"), REACHED, ids=IDS)
def test_no_way_leads_past_a_cap(topic, less):
    knobs = capped(less)
    assert knobs
    largest = {name: topic.knobs[name].check(_largest(topic.knobs[name])) for name in knobs}

    def holds(values):
        for name, knob in knobs.items():
            if name in values:
                knob.check(values[name])

    holds(less.defaults())
    holds(less.fill(largest))
    holds(less.settle(largest | topic.defaults() | largest))
    for scenario in less.scenarios:
        holds(less.scenario_values(scenario))
    for seed in range(20):
        values = random_values(topic, seed)
        holds(less.fill(values))
        holds(less.complete(values))
        # Buttons that set several knobs, and what lies in a click, name none of these sizes.
        for buttons in topic.presets(values).values():
            assert not any(knobs.keys() & preset.keys() for preset in buttons.values())
    query = {topic.key(name): _listed(topic.knobs[name].text(value)) for name, value in largest.items()}
    read, problems = less.parse(query)
    assert read == less.fill({})
    assert len(problems) == len(knobs)
    assert all("the most that this host allows" in line for line in problems)
    found = notes(topic.name)
    for entry in (*found.questions, *found.claims, *found.errata):
        holds(less.fill(entry.view))


def _largest(knob: Knob) -> object:
    return max(knob.choices, key=int) if knob.kind == "choice" else knob.high


def _listed(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


@pytest.mark.parametrize(("topic", "less"), REACHED, ids=IDS)
def test_a_scenario_says_what_it_has_less_of(topic, less):
    names = [scenario.name for scenario in less.scenarios]
    assert len(names) == len(set(names))
    for before in topic.scenarios:
        now = less.scenario(before.name)  # by its own name or, merged into another, by that
        assert now is not None
        assert less.scenario_of(less.scenario_values(now)) == now.name
        if now.name != before.name:
            assert f"“{before.name}” shows the same here." in now.notice
            continue
        asked = topic.scenario_values(before)
        for name, value in before.values.items():
            knob = less.knobs[name]
            if knob.capped and knob.within(value) != value:
                assert f"{knob.label} {knob.within(value)} instead of {value}" in now.notice
        panel = {n for group in topic.layout(asked) if not group.resting for n in group.knobs}
        lowered = any(less.scenario_values(now)[n] != asked[n] for n in panel | before.values.keys())
        if not before.tab:
            assert ("Limited on this host" in now.notice) == lowered


def test_scenarios_that_a_cap_makes_equal_become_one():
    first, *_ = dropout.TOPIC.scenarios
    extra = type(first)("Many masks", "More of them.", MappingProxyType({"masks": 9000}), aliases=("Lots",))
    topic = Topic(**{**vars(dropout.TOPIC), "scenarios": (*dropout.TOPIC.scenarios, extra)})
    less = limited(topic, {"samples": 500})
    assert "Many masks" not in [scenario.name for scenario in less.scenarios]
    for name in ("Many masks", "Lots"):
        assert less.scenario(name) is less.scenarios[0]
        assert less.parse({topic.key("scenario"): [name]}) == (less.fill({}), [])
    assert less.scenarios[0].notice.endswith("“Many masks” shows the same here.")
    assert less.scenario_of(less.fill({"seed": 77})) != CUSTOM


def test_a_page_within_its_caps(monkeypatch):
    less = limited(dropout.TOPIC, {"samples": 500, "width": 40})
    monkeypatch.setattr(dropout, "TOPIC", less)  # what the page's script imports
    at = visit(less, {less.key("masks"): "3000"})
    shows(at, less, less.defaults())
    assert less.defaults()["masks"] == 500
    assert any("masks = 3000: needs" in text and "this host allows" in text for text in texts(at))
    assert any(
        "Limited on this host: " in text and "Masks drawn 500 instead of" in text for text in texts(at)
    )
    assert list(control(at, less, "masks").options)[-1] == "500"
    control(at, less, "inputs").set_value("40").run()
    assert values(at, less)["inputs"] == 40
    assert not at.exception
