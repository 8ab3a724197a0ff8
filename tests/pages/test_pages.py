"""Every page and every scenario, opened by its link; what controls, buttons and tabs do."""

import json
from itertools import pairwise

import pytest
from streamlit import dataframe_util

from charts.export import slug
from charts.figure import Figure
from charts.notes import notes
from charts.topic import CUSTOM
from core.knobs import quote
from core.optimizers import OPTIMIZERS, suggested_lr
from core.surfaces import SURFACES
from tests.charts.topics import BY_NAME, HEAVY, SCENARIOS, TOPICS, others, random_values, showing
from tests.pages.app import (
    charts,
    control,
    link,
    press,
    same,
    shows,
    spec,
    start,
    tables,
    texts,
    toolbars,
    values,
    visit,
)
from ui import navigation
from ui.navigation import ENTRIES

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
every_scenario = pytest.mark.parametrize(
    ("topic", "scenario"), SCENARIOS, ids=[f"{t.name}-{s.name}" for t, s in SCENARIOS]
)
OPT, BN, INIT, ACT = (BY_NAME[name] for name in ("optimizers", "batchnorm", "initialization", "activations"))


# Arriving


def test_the_landing_page_shows_every_page():
    at = start().run()
    assert not at.exception
    assert len(ENTRIES) == len(TOPICS)
    assert len(charts(at)) == len(ENTRIES) + 1  # the valley that turns
    text = " ".join(texts(at))
    for topic in TOPICS:
        assert topic.question in text
    assert all(proto.alt for proto in charts(at))


@every_topic
def test_the_menu_says_what_the_topic_says(topic):
    entry = ENTRIES[topic.name]
    assert (entry.title, entry.question, entry.icon) == (topic.title, topic.question, topic.icon)
    assert entry.script == f"pages/{topic.name}.py"


@every_topic
def test_a_page_after_the_landing_page(topic):
    at = start().run().switch_page(f"pages/{topic.name}.py").run()
    shows(at, topic, topic.defaults())
    assert topic.question in " ".join(texts(at))


@every_topic
def test_a_page_as_the_first_request_of_a_session(topic):
    at = visit(topic)
    shows(at, topic, topic.defaults())
    assert not at.warning


@every_scenario
def test_a_scenario_by_its_link(topic, scenario):
    at = visit(topic, {topic.key("scenario"): scenario.name})
    shows(at, topic, topic.scenario_values(scenario))
    assert not at.warning
    assert control(at, topic, "scenario").value == scenario.name
    assert any(scenario.notice in text for text in texts(at))


@every_topic
def test_random_links(topic):
    for seed in range(4):
        chosen = random_values(topic, seed, affordable=True)
        at = visit(topic, topic.query(chosen))
        shows(at, topic, chosen)
        assert not at.warning
        assert at.run().exception.len == 0
        assert values(at, topic) == topic.settle(chosen), "a second run changes the values"


@every_topic
def test_a_link_that_is_copied_gives_the_same_page(topic):
    at = visit(topic, topic.query(random_values(topic, 11, affordable=True)))
    again = visit(topic, {k: v if len(v) > 1 else v[0] for k, v in link(at).items()})
    assert link(again) == link(at)
    assert [d.data.data for d in charts(again)[0].datasets] == [d.data.data for d in charts(at)[0].datasets]


@every_topic
def test_the_caption_can_be_copied(topic):
    view = topic.view(topic.defaults())
    text = toolbars(visit(topic))[0]["markdown"].replace("\\", "")
    assert text.startswith(f"![{view.figure.title}]({slug(view.figure.name)}.png)")
    assert view.figure.caption.replace("\\", "") in text


def test_a_page_draws_until_all_of_a_large_run_is_there():
    topic = next(t for t in TOPICS if t.name == "initialization")
    values = topic.fill(
        {"width": 512, "depth": 20, "seeds": 5, "schemes": ("He normal", "Glorot normal"), "seed": 3}
    )
    assert topic.make(values).rest is not None
    at = visit(topic, topic.query(values))
    shows(at, topic, values)
    assert "5 networks a scheme" in topic.glance(values).figure.caption


OPENING = [(t, s) for t in TOPICS for s in t.scenarios if s.tab and (t.name, s.tab) not in HEAVY]


@pytest.mark.parametrize(("topic", "scenario"), OPENING, ids=[f"{t.name}-{s.name}" for t, s in OPENING])
def test_a_link_to_a_scenario_opens_its_tab(topic, scenario):
    at = visit(topic, {topic.key("scenario"): scenario.name})
    assert link(at)[topic.key("tab")] == [scenario.tab]
    at = visit(topic, {topic.key("scenario"): scenario.name, topic.key("tab"): "Why"})
    assert link(at)[topic.key("tab")] == ["Why"]


@every_topic
def test_every_tab_by_its_link(topic):
    for name in topic.tab_names:
        at = visit(topic, {topic.key("tab"): name})
        assert not at.exception
        assert not at.warning
        shown = texts(at)
        why = topic.view(topic.defaults()).why
        assert sum(text.endswith(why) for text in shown) == 1  # in its tab, or else for the handout
        assert (notes(topic.name).questions[0].answer in " ".join(shown)) == (name == "From the notes")
        view = topic.view(topic.defaults())
        tab = next((tab for tab in view.tabs if tab.name == name), None)
        figures = [b for b in (tab.blocks() if tab else ()) if isinstance(b, Figure)]
        assert len(charts(at)) == 1 + len(figures)


FOLDS = [(t, fold) for t in TOPICS for fold in t.view(t.defaults()).folds]


@pytest.mark.parametrize(("topic", "fold"), FOLDS, ids=[f"{t.name}-{fold.title}" for t, fold in FOLDS])
def test_a_fold_is_drawn_when_it_is_opened(topic, fold):
    at = visit(topic)
    figures = [block for block in fold.blocks() if isinstance(block, Figure)]
    assert figures
    assert len(charts(at)) == 1
    at.session_state[f"_{topic.prefix}_{quote(fold.title)}"] = True
    at.run()
    assert not at.exception
    assert len(charts(at)) == 1 + len(figures)
    for number, figure in enumerate(figures, 1):
        drawn = tables(at, number)
        for data, frame in figure.data.items():
            same(drawn[data], frame)


TABS = [(t, tab) for t in TOPICS for tab in t.view(t.defaults()).tabs if tab.shown(t.defaults())]


def movable(topic, names):
    """Return the last of these knobs that a test can move, and another value of it."""
    for name in reversed(names):
        knob = topic.knobs[name]
        if knob.kind in ("int", "float") and not knob.log:
            up = knob.default + 3 * knob.step
            if up <= knob.high:
                return knob, up
            return knob, type(knob.default)(knob.high) if knob.default < knob.high else type(knob.default)(
                knob.low
            )
        if knob.kind == "choice" and len(names) > 1:
            return knob, next(choice for choice in knob.choices if choice != knob.default)
    knob = topic.knobs[names[0]]  # chooses what the tab shows
    return knob, knob.choices[1]


@pytest.mark.parametrize(("topic", "tab"), TABS, ids=[f"{t.name}-{tab.name}" for t, tab in TABS])
def test_the_controls_of_a_tab_move_that_tab_alone(topic, tab):
    at = visit(topic, {topic.key("tab"): tab.name})
    names = tab.shown(topic.defaults())
    for name in names:
        assert control(at, topic, name)
    knob, value = movable(topic, names)
    main, specs = [d.data.data for d in charts(at)[0].datasets], [proto.spec for proto in charts(at)]
    beside = [[d.data.data for d in proto.datasets] for proto in charts(at)[1:]]
    control(at, topic, knob.name).set_value(value).run()
    expected = {**topic.defaults(), knob.name: value}
    shows(at, topic, expected)
    assert [d.data.data for d in charts(at)[0].datasets] == main
    figures, former = (
        [b for t in topic.view(v).tabs if t.name == tab.name for b in t.blocks() if isinstance(b, Figure)]
        for v in (expected, topic.defaults())
    )
    if [figure.name for figure in figures] == [figure.name for figure in former]:
        assert [proto.spec for proto in charts(at)] == specs
    assert [[d.data.data for d in proto.datasets] for proto in charts(at)[1:]] != beside
    for number, figure in enumerate(figures, 1):
        drawn = tables(at, number)
        for data, frame in figure.data.items():
            same(drawn[data], frame)
    assert control(at, topic, "scenario").value == topic.scenarios[0].name
    at = visit(topic, {**topic.query(expected), topic.key("tab"): tab.name})
    assert control(at, topic, knob.name).value == expected[knob.name]


# Controls


def moved(topic, name):
    """Return values beside which a knob is shown, and another value for it."""
    before = showing(topic, name)
    knob = topic.knobs[name]
    after = others(topic, knob, before[name])[0]
    if knob.kind == "float" and not knob.log:
        step = knob.step
        after = before[name] + step if before[name] + step <= knob.high else before[name] - step
    if knob.kind == "choice":
        offered = topic.offers(before).get(name, knob.choices)
        after = next((o for o in offered if o != before[name]), None)
    return before, after


CONTROLS = [
    (topic, name)
    for topic in TOPICS
    for name in ("functions", "weight", "schemes", "activation", "depth", "seeds", "sigma_b", "batch_size", "steps",
                 "convention", "probe", "in_batch", "eps", "seed", "p", "inputs", "masks", "surface", "optimizers",
                 "start_x", "edit", "kappa", "gd_lr", "gd_weight_decay", "width")
    if name in topic.knobs and moved(topic, name)[1] is not None
]  # fmt: skip


@pytest.mark.parametrize(("topic", "name"), CONTROLS, ids=[f"{t.name}-{n}" for t, n in CONTROLS])
def test_a_control_changes_the_data_and_not_the_specification(topic, name):
    before, after = moved(topic, name)
    at = visit(topic, topic.query(before))
    old_spec, old = charts(at)[0].spec, [d.data.data for d in charts(at)[0].datasets]
    widget = control(at, topic, name)
    knob = topic.knobs[name]
    if knob.log:  # the nearest stop
        after = min(
            (knob.parse(o) for o in widget.options if knob.parse(o) != before[name]),
            key=lambda v: abs(v - after),
        )
    widget.set_value(
        knob.text(after) if knob.log else list(after) if isinstance(after, tuple) else after
    ).run()
    expected = {**before, name: after}
    if name in topic.depends:
        expected |= topic.complete(expected)
    shows(at, topic, expected)
    assert charts(at)[0].spec == old_spec
    acts = topic.view(expected).figure.caption != topic.view(before).figure.caption or name == "schemes"
    assert ([d.data.data for d in charts(at)[0].datasets] != old) == acts
    assert control(at, topic, "scenario").value == topic.scenario_of(topic.settle(expected))


def test_a_scale_that_reshapes_the_axes_changes_the_specification():
    at = visit(INIT)
    old = charts(at)[0].spec
    control(at, INIT, "scale").set_value("twelve decades").run()
    shows(at, INIT, {**INIT.defaults(), "scale": "twelve decades"})
    assert charts(at)[0].spec != old


@every_topic
def test_a_rerun_changes_nothing(topic):
    at = visit(topic)
    before = charts(at)[0].SerializeToString()
    at.run()
    assert charts(at)[0].SerializeToString() == before
    assert not at.exception


@every_topic
def test_choosing_scenarios_sets_the_controls(topic):
    at = visit(topic)
    for scenario in (*topic.scenarios[1:], topic.scenarios[0]):
        control(at, topic, "scenario").set_value(scenario.name).run()
        expected = topic.scenario_values(scenario)
        shows(at, topic, expected)
        for name, value in scenario.values.items():
            try:
                shown = control(at, topic, name).value
            except KeyError:
                continue  # another optimizer's setting, which has no control now
            knob = topic.knobs[name]
            assert (
                knob.parse(shown) if knob.log else tuple(shown) if isinstance(shown, list) else shown
            ) == value
        assert any(scenario.notice in text for text in texts(at))


@every_topic
def test_leaving_a_scenario_is_said(topic):
    at = visit(topic)
    name = {
        "activations": "weight",
        "initialization": "depth",
        "batchnorm": "steps",
        "dropout": "p",
        "optimizers": "steps",
    }
    knob = topic.knobs[name[topic.name]]
    control(at, topic, knob.name).set_value(type(knob.default)(knob.default + knob.step)).run()
    assert control(at, topic, "scenario").value == CUSTOM
    assert not any(topic.scenarios[0].notice in text for text in texts(at))
    control(at, topic, knob.name).set_value(knob.default).run()
    assert control(at, topic, "scenario").value == topic.scenarios[0].name


def test_the_menu_names_the_scenario_in_force_whatever_is_chosen_there():
    at = visit(OPT)
    control(at, OPT, "scenario").set_value(CUSTOM).run()
    shows(at, OPT, OPT.defaults())
    assert control(at, OPT, "scenario").value == OPT.scenarios[0].name


@every_topic
def test_reset_returns_to_the_default_view(topic):
    at = visit(topic, topic.query(random_values(topic, 5, affordable=True)))
    assert values(at, topic) != topic.defaults()
    press(at, "Pin")
    press(at, "Reset")
    shows(at, topic, topic.defaults())
    assert all(len(tables(at)[ghost]) == 1 for ghost in topic.view(topic.defaults()).figure.ghosts)
    assert control(at, topic, "scenario").value == topic.scenarios[0].name


@pytest.mark.parametrize("topic", [t for t in TOPICS if "seed" in t.knobs], ids=lambda topic: topic.name)
def test_a_new_seed(topic):
    beside = showing(topic, "seed")
    at = visit(topic, topic.query(beside))
    seeds = {values(at, topic)["seed"]}
    for _ in range(3):
        data = [d.data.data for d in charts(at)[0].datasets]
        press(at, "New seed")
        seed = values(at, topic)["seed"]
        assert seed not in seeds
        seeds.add(seed)
        shows(at, topic, {**beside, "seed": seed})
        assert control(at, topic, "seed").value == seed
        assert [d.data.data for d in charts(at)[0].datasets] != data
    assert control(at, topic, "scenario").value == topic.scenario_of(topic.settle(beside))


@pytest.mark.parametrize("topic", [t for t in TOPICS if "seed" not in t.knobs], ids=lambda topic: topic.name)
def test_no_seed_no_button(topic):
    assert not [b for b in visit(topic).button if "seed" in b.label]


@every_topic
def test_a_pinned_run_stays_behind_the_next(topic):
    name = {
        "activations": "weight",
        "initialization": "depth",
        "batchnorm": "steps",
        "dropout": "p",
        "optimizers": "steps",
    }
    knob = topic.knobs[name[topic.name]]
    at = visit(topic)
    ghosts = topic.view(topic.defaults()).figure.ghosts
    before, fixed = tables(at), charts(at)[0].spec
    assert all(len(before[ghost]) == 1 for ghost in ghosts)
    press(at, "Pin")
    control(at, topic, knob.name).set_value(type(knob.default)(knob.default + 2 * knob.step)).run()
    after = tables(at)
    for ghost, source in ghosts.items():
        assert len(after[ghost]) > 1
        assert after[ghost].equals(before[source])
        assert not after[source].equals(before[source])
    assert charts(at)[0].spec == fixed, "pinning embeds the chart anew"
    press(at, "Unpin")
    assert all(len(tables(at)[ghost]) == 1 for ghost in ghosts)
    assert not at.exception


@every_topic
def test_the_pin_survives_a_visit_elsewhere(topic):
    at = visit(topic)
    press(at, "Pin")
    other = next(t for t in TOPICS if t is not topic)
    at.switch_page(f"pages/{other.name}.py").run()
    shows(at, other, other.defaults())
    assert all(len(tables(at)[ghost]) == 1 for ghost in other.view(other.defaults()).figure.ghosts)
    at.switch_page(f"pages/{topic.name}.py").run()
    shows(at, topic, topic.defaults())
    assert all(len(tables(at)[ghost]) > 1 for ghost in topic.view(topic.defaults()).figure.ghosts)


def test_values_survive_a_visit_elsewhere():
    at = visit(BN)
    control(at, BN, "steps").set_value(83).run()
    at.switch_page("pages/dropout.py").run()
    at.switch_page("pages/batchnorm.py").run()
    shows(at, BN, {**BN.defaults(), "steps": 83})
    assert control(at, BN, "steps").value == 83


# Notes


@every_topic
def test_see_it_sets_the_scenario(topic):
    asked = [entry for entry in notes(topic.name).questions if entry.scenario]
    for number, entry in enumerate(asked):
        at = visit(topic, {topic.key("tab"): "From the notes"})
        (button,) = [b for b in at.button if b.key.endswith(f"_{entry.id}")]
        button.click().run()
        shows(at, topic, topic.scenario_values(topic.scenario(entry.scenario)))
        assert control(at, topic, "scenario").value == entry.scenario
        if number == 1:
            break


# Optimizers: controls that come and go


def edit(at, optimizer):
    return control(at, OPT, "edit").set_value(optimizer).run()


def stop(at, name, index):
    """Put a logarithmic slider on one of its stops and return the value there."""
    widget = control(at, OPT, name)
    text = widget.options[index]
    widget.set_value(text).run()
    return OPT.knobs[name].parse(text)


def choose(at, *names):
    return control(at, OPT, "optimizers").set_value(list(names)).run()


def test_a_hidden_optimizer_keeps_its_settings():
    at = visit(OPT)
    edit(at, "Adam")
    lr = stop(at, "adam_lr", 30)
    assert lr != OPT.knobs["adam_lr"].default
    path = tables(at)["path"].query("name == 'Adam'")[["x", "y"]]
    choose(at, "GD", "Momentum")
    assert "adam_lr" not in OPT.shown(values(at, OPT))
    assert "Adam" not in set(tables(at)["path"].name)
    choose(at, "GD", "Momentum", "Adam")
    assert values(at, OPT)["adam_lr"] == lr
    again = tables(at)["path"].query("name == 'Adam'")[["x", "y"]]
    assert path.reset_index(drop=True).equals(again.reset_index(drop=True))


def test_settings_of_optimizers_that_are_not_edited_act():
    at = visit(OPT)
    edit(at, "Adam")
    lr = stop(at, "adam_lr", 40)
    edit(at, "GD")
    with pytest.raises(KeyError):
        control(at, OPT, "adam_lr")
    assert values(at, OPT)["adam_lr"] == lr
    edit(at, "Adam")
    assert OPT.knobs["adam_lr"].parse(control(at, OPT, "adam_lr").value) == lr


def test_another_surface_moves_the_start_and_the_rates():
    at = visit(OPT)
    control(at, OPT, "steps").set_value(90).run()
    stop(at, "gd_lr", 40)
    for name in ("Rosenbrock", "Himmelblau", "Quadratic bowl"):
        control(at, OPT, "surface").set_value(name).run()
        surface = SURFACES[name]
        now = values(at, OPT)
        assert (now["start_x"], now["start_y"]) == surface.starts[0]
        span = surface.window[1] - surface.window[0]
        for optimizer in now["optimizers"]:
            rate = suggested_lr(OPTIMIZERS[optimizer], surface.rate, span)
            assert now[f"{optimizer.lower()}_lr"] == rate
        assert now["steps"] == 90
        assert control(at, OPT, "start_x").value == surface.starts[0][0]
        shows(at, OPT, OPT.fill({"surface": name, "steps": 90, "optimizers": now["optimizers"]}))


def test_a_hidden_optimizer_gets_the_rate_of_another_surface():
    at = visit(OPT)
    edit(at, "Adam")
    stop(at, "adam_lr", 30)
    edit(at, "GD")
    choose(at, "GD")
    control(at, OPT, "surface").set_value("Beale").run()
    choose(at, "GD", "Adam")
    surface = SURFACES["Beale"]
    expected = suggested_lr(OPTIMIZERS["Adam"], surface.rate, surface.window[1] - surface.window[0])
    assert values(at, OPT)["adam_lr"] == expected


def test_reset_reaches_hidden_settings():
    at = visit(OPT)
    choose(at, "GD", "AdamW")
    edit(at, "AdamW")
    assert stop(at, "adamw_lr", 30) != OPT.knobs["adamw_lr"].default
    edit(at, "GD")
    choose(at, "GD")
    press(at, "Reset")
    choose(at, *OPT.knobs["optimizers"].default, "AdamW")
    assert values(at, OPT)["adamw_lr"] == OPT.knobs["adamw_lr"].default


@pytest.mark.parametrize("names", [(name,) for name in OPTIMIZERS], ids=lambda names: names[0])
def test_any_optimizer_alone_by_its_link(names):
    at = visit(OPT, {"opt_optimizers": list(names)})
    shows(at, OPT, OPT.fill({"optimizers": names}))
    assert control(at, OPT, "edit").value == names[0]


def test_deselecting_the_edited_optimizer_edits_another():
    at = visit(OPT, {"opt_edit": "Adam"})
    choose(at, "GD", "Momentum")
    assert not at.exception
    assert control(at, OPT, "edit").value in ("GD", "Momentum")
    assert control(at, OPT, "gd_lr" if control(at, OPT, "edit").value == "GD" else "momentum_lr")
    choose(at)
    assert not at.exception
    choose(at, "RMSProp")
    assert control(at, OPT, "edit").value == "RMSProp"
    assert not at.exception


def test_a_value_between_the_stops_of_a_control_is_kept():
    query = {"opt_gd_lr": "0.12345", "opt_start_x": "-3.3333", "opt_theta": "12.345"}
    at = visit(OPT, query)
    shows(at, OPT, OPT.parse({k: [v] for k, v in query.items()})[0])
    control(at, OPT, "steps").set_value(70).run()
    now = values(at, OPT)
    assert (now["gd_lr"], now["start_x"], now["theta"], now["steps"]) == (0.12345, -3.3333, 12.345, 70)
    stop(at, "gd_lr", 20)
    now = values(at, OPT)
    assert now["gd_lr"] != 0.12345
    assert (now["start_x"], now["theta"]) == (-3.3333, 12.345)


def test_the_convention_brings_its_own_weight_and_epsilon():
    at = visit(BN)
    control(at, BN, "convention").set_value("Keras").run()
    now = values(at, BN)
    assert now == BN.fill({"convention": "Keras"})
    assert control(at, BN, "weight").value == pytest.approx(0.01)
    control(at, BN, "weight").set_value(0.3).run()
    control(at, BN, "convention").set_value("paper").run()
    assert not at.exception
    with pytest.raises(KeyError):
        control(at, BN, "weight")
    control(at, BN, "convention").set_value("PyTorch").run()
    assert values(at, BN)["weight"] == BN.defaults()["weight"]


def test_the_own_knob_of_a_function_comes_and_goes():
    at = visit(ACT, {"act_functions": ["ReLU", "leaky ReLU"]})
    name = next(n for n in ACT.shown(values(at, ACT)) if n.startswith("leaky_relu"))
    control(at, ACT, name).set_value(0.2).run()
    assert values(at, ACT)[name] == 0.2
    control(at, ACT, "functions").set_value(["ReLU"]).run()
    assert name not in ACT.shown(values(at, ACT))
    control(at, ACT, "functions").set_value(["ReLU", "leaky ReLU"]).run()
    assert values(at, ACT)[name] == 0.2


@every_topic
def test_logarithmic_controls_stop_at_round_ratios(topic):
    at = visit(topic, {topic.key("tab"): "Why"})
    for widget in at.select_slider:
        knob = topic.knobs[widget.key.removeprefix(f"{topic.prefix}_")]
        stops = [knob.parse(text) for text in widget.options]  # every stop is legal
        assert [knob.text(stop) for stop in stops] == widget.options
        assert stops == sorted(set(stops))
        assert {knob.low, knob.high, knob.default} <= set(stops)
        positive = [stop for stop in stops if stop > 0][1:]
        ratios = [b / a for a, b in pairwise(positive)]
        assert max(ratios) < 2.1
        assert widget.value == knob.text(knob.default)


@every_topic
def test_nothing_chosen_is_a_page_too(topic):
    for knob in topic.knobs.values():
        if knob.kind == "choices":
            at = visit(topic, {**topic.query(showing(topic, knob.name)), topic.key(knob.name): ""})
            assert not at.exception
            assert values(at, topic)[knob.name] == ()
            assert len(charts(at)) == 1


@every_topic
def test_the_page_sends_what_the_figure_holds(topic):
    at = visit(topic)
    sent = spec(at)
    wanted = topic.view(topic.defaults()).figure.spec()
    wanted.pop("datasets", None)
    assert json.dumps(sent["config"]) == json.dumps(wanted["config"])
    assert set(tables(at)) == set(topic.view(topic.defaults()).figure.data)


@pytest.mark.parametrize("page", ["home", "claims", *(topic.name for topic in TOPICS)])
def test_nothing_a_component_is_given_is_looked_at_as_a_table(page, monkeypatch):
    asked = []
    monkeypatch.setattr(dataframe_util, "determine_data_format", asked.append)
    at = start().switch_page(f"pages/{page}.py").run()
    assert not at.exception
    assert at.get("bidi_component")
    assert asked == []


def test_the_menu_is_made_once_a_session(monkeypatch):
    made = []
    make = navigation._sections
    monkeypatch.setattr(navigation, "_sections", lambda: made.append(1) or make())
    at = visit(BY_NAME["dropout"])
    at.run()
    assert not at.exception
    assert len(made) == 1
