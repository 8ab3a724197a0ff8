"""Search: everything that has a name is in the index, and its link opens a view that shows it; the valley that turns."""

import json
from collections import Counter

import numpy as np
import pytest

from charts import activation_training, initialization_training, landing, predictions, progress, search
from charts.figure import Figure
from charts.limits import limited
from charts.notes import notes
from charts.optimizers_base import run
from charts.thumbnails import topic_of
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.normalizers import NORMALIZERS
from core.optimizers import OPTIMIZERS
from core.streams import stream
from core.surfaces import SURFACES
from core.vector_activations import VECTOR_ACTIVATIONS
from tests.charts.topics import BY_NAME, TOPICS

INDEX = search.index(tuple(TOPICS))
REGISTRIES = {
    "activation": {**ACTIVATIONS, **VECTOR_ACTIVATIONS},
    "initializer": INITIALIZERS,
    "optimizer": OPTIMIZERS,
    "surface": SURFACES,
    "normalizer": NORMALIZERS,
}


def opened(entry):
    """Read an entry's link as its page does: the values, and the tab."""
    topic = BY_NAME[entry.page]
    query = {name: value if isinstance(value, list) else [value] for name, value in entry.query.items()}
    values, problems = topic.parse(query)
    assert problems == [], entry
    return values, query.get(topic.key("tab"), [""])[0]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_entry_of_a_registry_is_found_and_shown(kind):
    found = {entry.title: entry for entry in INDEX if entry.kind == kind}
    assert set(REGISTRIES[kind]) <= set(found)
    for name, entry in found.items():
        values, tab = opened(entry)
        topic = BY_NAME[entry.page]
        held = [
            knob
            for knob in topic.shown(values)
            if values[knob] == name or (isinstance(values[knob], tuple) and name in values[knob])
        ]
        assert held, entry
        assert tab in ("", *topic.tabs)


def test_every_link_opens_what_its_kind_says():
    for entry in INDEX:
        topic = BY_NAME[entry.page]
        values, tab = opened(entry)
        assert any(name.startswith(f"{topic.prefix}_") for name in entry.query), "the page would ignore it"
        if entry.kind == "scenario":
            scenario = topic.scenario(entry.title)
            assert topic.scenario_of(topic.settle(values)) == scenario.name
            assert tab == scenario.tab
        elif entry.kind == "tab":
            assert (tab, topic.settle(values)) == (entry.title, topic.settle(topic.defaults()))
        elif entry.kind in ("claim", "erratum"):
            said = notes(topic.name)
            (claim,) = [each for each in (*said.claims, *said.errata) if each.id == entry.words]
            assert {name: values[name] for name in claim.view} == dict(claim.view)
            assert tab == (claim.tab or ("" if claim.view else "From the notes"))


def test_nothing_is_missing_and_nothing_comes_twice():
    kinds = Counter((entry.page, entry.kind) for entry in INDEX)
    for topic in TOPICS:
        said = notes(topic.name)
        for kind, things in (
            ("scenario", topic.scenarios), ("tab", topic.tab_names), ("claim", said.claims),
            ("erratum", said.errata), ("question", said.questions), ("page", (topic,)),
        ):  # fmt: skip
            assert kinds[topic.name, kind] == len(things), (topic.name, kind)
    assert max(Counter((entry.kind, entry.page, entry.title) for entry in INDEX).values()) == 1
    assert {entry.kind for entry in INDEX} <= set(search.KINDS)


def test_what_is_packed_is_what_was_found_and_small():
    packed = search.packed(INDEX, TOPICS)
    assert len(json.dumps(packed, separators=(",", ":")).encode()) < 60_000
    queries = []
    for entry, (kind, page, title, query, *words) in zip(INDEX, packed["entries"], strict=True):
        if isinstance(query, int):
            queries.append(queries[query])
        else:
            queries.append({packed["names"][k]: v for k, v in zip(query[::2], query[1::2], strict=True)})
        own = packed["entries"][title][4] if isinstance(title, int) else title
        place = (packed["kinds"][kind], packed["pages"][page][0])
        assert (*place, own, queries[-1], "".join(words)) == (
            entry.kind, entry.page, entry.title, entry.query, entry.words,
        )  # fmt: skip


def test_a_page_without_a_topic_is_found_by_its_name_and_its_words():
    places = (search.Place("claims", "Claims", "Which sentences are right?"),)
    index = search.index(tuple(TOPICS), places)
    (added,) = [each for each in index if each.page == "claims"]
    assert (added.kind, added.title, added.query, added.words) == ("page", "Claims", {}, places[0].words)
    assert [each for each in index if each is not added] == list(INDEX)
    packed = search.packed(index, (*TOPICS, *places))
    kind, page, title, query, _ = packed["entries"][index.index(added)]
    assert (packed["kinds"][kind], packed["pages"][page], title, query) == (
        "page",
        ("claims", "Claims"),
        "Claims",
        [],
    )


def test_fewer_pages_and_smaller_ones_have_links_that_work():
    topic = limited(BY_NAME["initialization"], {"depth": 12, "width": 16})
    entries = search.index((topic,))
    assert {entry.page for entry in entries} == {"initialization"}
    for entry in entries:
        query = {name: value if isinstance(value, list) else [value] for name, value in entry.query.items()}
        assert topic.parse(query)[1] == [], entry


def test_a_prediction_is_asked_before_it_is_shown():
    asked = [entry for entry in search.index(TOPICS) if entry.kind == "prediction"]
    assert len(asked) == sum(len(predictions.offered(topic)) for topic in TOPICS)
    for entry in asked:
        assert entry.query.items() >= predictions.ASK.items()
        topic = BY_NAME[entry.page]
        values, _ = topic.parse({name: [v] if isinstance(v, str) else v for name, v in entry.query.items()})
        found = predictions.matching(topic, topic.settle(values))
        assert entry.title in [predictions.question(topic, each) for each in found]


@pytest.mark.parametrize("way", [*search.SYMPTOMS, *search.PATH], ids=lambda way: way.says)
def test_every_way_leads_somewhere(way):
    topic = BY_NAME[way.page]
    query = {name: [value] for name, value in search.follow(way, topic).items()}
    values, problems = topic.parse(query)
    assert problems == []
    scenario = topic.scenario_of(topic.settle(values))
    assert scenario == (way.scenario or topic.scenarios[0].name)
    tab = topic.scenario(scenario).tab if way.scenario else way.tab
    assert query.get(topic.key("tab"), [""]) == [tab]


@pytest.mark.parametrize("way", search.PATH, ids=lambda way: way.says)
def test_every_step_leads_to_a_view_that_asks_first(way):
    topic = BY_NAME[way.page]
    query = search.step(way, topic)
    for name, value in predictions.ASK.items():
        assert query.pop(name) == value
    values, problems = topic.parse({name: [value] for name, value in query.items()})
    assert problems == []
    assert predictions.matching(topic, topic.settle(values))


# Symptoms: the view shows what the sentence says, measured on what it draws. Trained networks are asked for the one run
# that the sentence is about, not for the sweeps beside it.


def shown(way):
    topic = BY_NAME[way.page]
    query = {name: [value] for name, value in search.follow(way, topic).items()}
    values, problems = topic.parse(query)
    assert problems == []
    return topic, values, query.get(topic.key("tab"), [""])[0]


def _no_number(topic, values, tab):
    assert tab == ""
    assert any("no longer a finite number" in line for line in topic.view(values).events)


def _coin(topic, values, tab):
    assert tab == "Train"
    asked = {"schemes": ("Glorot normal", "PyTorch Linear", "N(0, 0.01²)")}
    assert set(asked["schemes"]) < set(values["schemes"])
    depth, seed = values["train_depth"], values["seed"]
    schemes = tuple((name, ()) for name in asked["schemes"])
    run = initialization_training._stack(
        schemes,
        values["activation"],
        (),
        depth,
        values["train_problem"],
        values["train_rate"],
        seed,
        progress.Share(0.0, 1.0, ""),
    )
    assert (run.diverged_at == -1).all()
    np.testing.assert_allclose(run.loss, np.log(2), atol=0.02)


def _evaluation_far_off(topic, values, tab):
    assert tab == ""
    stream = topic.view(values).figure.data["stream"]
    last = stream[stream["step"] == stream["step"].max()]
    off = np.abs(last["eval_output"] - last["true_output"])
    assert off.max() > 3 * np.abs(stream["train_output"] - stream["true_output"]).median()


def _company(topic, values, tab):
    assert (tab, values["size_view"]) == ("Batch size", "forgotten eval()")
    blocks = next(each for each in topic.view(values).tabs if each.name == tab).blocks()
    lines = next(block for block in blocks if isinstance(block, Figure)).data["lines"]
    for _, line in lines.groupby("line", observed=True):
        right = line.sort_values("size")["y"].to_numpy()
        assert right[0] == pytest.approx(1 / 4, abs=0.01), "alone, every point gets the same answer"
    full = lines[lines["size"] == lines["size"].max()]
    assert full["y"].max() > 0.9 > 2 * full["y"].min(), "the same points, in other company"


def _another_scale(topic, values, tab):
    assert tab == ""
    data = topic.view(values).figure.data
    mean = data["means"].set_index("mode").loc["No scaling"]
    rules = data["rules"].set_index("base")["x"]
    assert rules[mean["base"]] / mean["x"] == pytest.approx(1 / (1 - values["p"]), rel=0.05)


def _faded(topic, values, tab):
    assert tab == ""
    layers = topic.view(values).figure.data["layers"]
    for _, line in layers.groupby("name", observed=True):
        line = line.sort_values("layer")
        assert line["signal"].min() > 0.1
        assert line["gradient"].iloc[0] < 1e-20 * line["gradient"].iloc[-1]


def _dead(topic, values, tab):
    assert tab == "Dying ReLU"
    hidden, data = values["hidden"], values["data"]
    rest = (values["lr"], values["bias"], values["dead_batch"], values["hidden_layers"])
    run = activation_training.dying_run(hidden, (), data, *rest, progress.Share(0.0, 1.0, ""))
    points, _ = DATASETS[data].draw(activation_training._POINTS, activation_training._NOISE, stream(0))
    outputs = np.maximum(points @ run.final.weights[0] + run.final.biases[0], 0)
    assert (outputs == 0).all(axis=0).any()


def _restless(topic, values, tab):
    assert tab == ""
    curve = topic.view(values).figure.data["curve"]
    for name in values["optimizers"]:
        gap = curve[curve["name"] == name].sort_values("step")["gap"].to_numpy(float)
        third, fourth = gap[100:150], gap[150:]
        assert gap[0] > 10 * np.median(third), name
        assert np.median(fourth) > np.median(third) / 5, "falls no further"
        assert (np.diff(gap[100:]) > 0).mean() > 0.3, "jumps about"


SEEN = {
    "The loss becomes NaN or infinite after some steps.": _no_number,
    "The loss stays at ln C, as if the network guessed.": _coin,
    "Training looks fine, and evaluation is far off.": _evaluation_far_off,
    "Answers change with what else is in the batch.": _company,
    "Evaluation is on another scale than training.": _another_scale,
    "Gradients of the first layers are nearly 0.": _faded,
    "Some units give 0 for every input.": _dead,
    "The loss stops falling and keeps jumping about.": _restless,
}


@pytest.mark.parametrize("way", search.SYMPTOMS, ids=lambda way: way.says)
def test_a_symptom_is_there_to_be_seen(way):
    SEEN[way.says](*shown(way))


# The valley


def test_every_path_of_the_valley_is_the_run_of_the_page_that_its_link_opens():
    topic, drawn = topic_of("optimizers"), landing.valley().data
    steps = landing.arrivals()
    for angle in landing.ANGLES[:: len(landing.ANGLES) // 4]:
        k = landing.ANGLES.index(angle)
        query = search.link(topic, topic.fill(landing.values(angle)))
        values, problems = topic.parse({name: [value] for name, value in query.items()})
        assert problems == []
        for name, result in run(values).items():
            share = result.value / result.value[0]
            assert share[steps[name][k]] <= landing.SHARE < share[steps[name][k] - 1]
            path = drawn["paths"]
            own = path[(path["angle"] == angle) & (path["name"] == name)]
            np.testing.assert_allclose(own[["x", "y"]], result.path[: steps[name][k] + 1], atol=2e-5)


def test_the_valley_at_45_degrees_is_the_scenario():
    topic = topic_of("optimizers")
    values = topic.settle(topic.fill(landing.values(45.0)))
    assert topic.scenario_of(values) == "Rotate the valley"


def test_turning_changes_only_the_rules_that_scale_coordinates():
    found = landing.arrivals()
    assert [name for name, steps in found.items() if len(set(steps)) == 1] == ["GD", "Momentum"]
    turned = {name: steps[landing.ANGLES.index(45.0)] for name, steps in found.items()}
    for name in ("RMSProp", "Adam"):
        assert turned[name] > 3 * found[name][0]
    assert landing.reading() == (
        f"RMSProp and Adam do: {found['RMSProp'][0]} and {found['Adam'][0]} steps along the axes, "
        f"{turned['RMSProp']} and {turned['Adam']} at 45°. GD ({turned['GD']}) and Momentum ({turned['Momentum']}) do not."
    )


def test_the_caption_states_what_each_rule_remembers():
    caption = landing.valley().caption
    for said in (
        "GD lr 0.45;",
        "Momentum lr 0.05 μ 0.9;",
        "RMSProp lr 0.1 ρ 0.99;",
        "Adam lr 0.3 β₁ 0.9 β₂ 0.999.",
    ):
        assert said in caption


def test_the_label_stands_at_the_tip_of_the_ellipse_that_paths_end_in():
    data = landing.valley().data
    rings = data["rings"]
    smallest = rings[rings["line"] == rings["line"].max()]
    assert data["words"]["u"][0] == pytest.approx(smallest["u"].max(), rel=1e-6)
    assert data["words"]["label"][0] == "1% of the loss"
    # On the ellipse the bowl has the same height everywhere; the last points lie inside it, those before outside.
    along, across = smallest["u"].max(), smallest["v"].max()
    for (angle, _), path in data["paths"].groupby(["angle", "name"], observed=True):
        turn = np.deg2rad(float(angle))
        u = np.cos(turn) * path["x"] + np.sin(turn) * path["y"]
        v = np.cos(turn) * path["y"] - np.sin(turn) * path["x"]
        height = ((u / along) ** 2 + (v / across) ** 2).to_numpy()
        assert height[-1] <= 1.001
        assert (height[:-1] >= 0.999).all()


def test_the_valley_stays_in_the_picture():
    data = landing.valley().data
    for width in (1080, 800, 358):
        valley, bars = (landing.valley().spec(width).get(key) for key in ("hconcat", "vconcat"))
        picture = (valley or bars)[0]
        text = json.dumps(picture)
        assert '"clip": true' in text
        scales = [
            layer["encoding"] for layer in picture["layer"] if "scale" in layer["encoding"].get("y", {})
        ]
        (low, high), (left, right) = (scales[0][axis]["scale"]["domain"] for axis in "yx")
        assert data["paths"]["x"].between(left, right).all()
        assert data["paths"]["y"].between(low, high).all()
        # One unit is as long along x as along y.
        assert (right - left) / picture["width"] == pytest.approx((high - low) / picture["height"])
    assert data["ends"]["steps"].max() <= landing._REACH
