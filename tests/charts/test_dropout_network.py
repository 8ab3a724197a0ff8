"""The Network tab of the Dropout page: what is drawn as live is what the masks let through, and the text says so."""

import re

import numpy as np
import pytest
import vl_convert

from charts.dropout import KNOBS
from charts.dropout_network import NETWORK_KNOBS, STEPS, network_blocks, network_knobs
from charts.figure import Figure
from core.dropout_network import error_without, twins_rate, two_twins_theory
from tests.charts.topics import marks

VIEWS = next(knob for knob in NETWORK_KNOBS if knob.name == "net_view").choices
EXTREMES = (
    {"p": 0.0},
    {"p": 1.0, "net_input_p": 1.0},
    {"p": 0.9999, "net_layer2": 0, "net_layer1": 1},
    {
        "net_layer1": 8,
        "net_layer2": 8,
        "net_layer3": 8,
        "net_activation": "ReLU",
        "net_input_p": 0.2,
        "p": 0.7,
    },
    {"net_layer2": 0, "net_layer3": 3, "net_activation": "identity", "seed": 7},
)
every_view = pytest.mark.parametrize("view", VIEWS)
every_extreme = pytest.mark.parametrize("given", [{}, *EXTREMES], ids=str)


def values(**given):
    return {**{knob.name: knob.default for knob in (*KNOBS, *NETWORK_KNOBS)}, **given}


def draw(**given):
    blocks = network_blocks(values(**given))
    (figure,) = (block for block in blocks if isinstance(block, Figure))
    return figure, "\n".join(block for block in blocks if isinstance(block, str))


def said(pattern, text):
    """Read a number off a text."""
    return float(
        re.search(pattern + r"(−?[\d,]+(?:\.\d+)?(?:e−?\d+)?)", text)[1].replace("−", "-").replace(",", "")
    )


def at(figure, step):
    """Return the edges with what the browser looks up for them in one step."""
    units = figure.data["units"]
    units = units[units.step == step].set_index(units.key[units.step == step] % 1000)
    edges = figure.data["edges"]
    low, high = units.loc[edges.source], units.loc[edges.target]
    live = low.kept.to_numpy() & high.kept.to_numpy()
    return units, edges, live, edges.w.to_numpy() * low.a.to_numpy(), low.a.to_numpy() * high.delta.to_numpy()


@every_extreme
def test_edges_add_up_to_the_units_above_them(given):
    figure, _ = draw(**given)
    name, p = values(**given)["net_activation"], values(**given)["p"]
    f = {"tanh": np.tanh, "ReLU": lambda z: np.maximum(z, 0), "identity": lambda z: z}[name]
    for step in (0, 1, 7, STEPS):
        units, edges, live, flow, gradient = at(figure, step)
        last = int(edges.target.max())
        for unit in sorted(set(edges.target)):
            z = flow[edges.target == unit].sum()
            scale = 1 if step == 0 else 0 if p == 1 else 1 / (1 - p)
            expected = z if unit == last else f(z) * scale * units.kept[unit]
            assert units.a[unit] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert (flow[~live & ~units.kept[edges.source].to_numpy()] == 0).all()
        assert (gradient[~live] == 0).all()
        assert live.all() == bool(units.kept.all())
    assert figure.data["edges"].flow_scale.min() > 0
    assert figure.data["units"].kept[figure.data["units"].step == 0].all()


@pytest.mark.parametrize("step", [0, 2])
def test_the_slider_draws_the_edges_of_its_step(step):
    figure, _ = draw(net_layer1=4, net_layer2=3)
    chart = figure.chart(1040)
    (slider,) = (param for param in chart["params"] if param["name"] == "now")
    assert (slider["bind"]["min"], slider["bind"]["max"]) == (0, STEPS)
    slider["value"] = step
    svg = vl_convert.vegalite_to_svg(chart, vl_version="6.4")
    _, _, live, _, _ = at(figure, step)
    assert (~live).any() == (step > 0)
    assert svg.count('stroke-dasharray="1,4"') == 2 * (~live).sum()  # forward and backward
    assert ("evaluation: all units" in svg) == (step == 0)


def test_counts_above_the_layers_and_below():
    figure, text = draw(net_input_p=0.3)
    units, columns = figure.data["units"], figure.data["columns"]
    for step in range(1, STEPS + 1):
        kept = units[units.step == step].groupby("x").kept.sum()
        labels = columns[columns.step == step].set_index("x").label
        counted = [int(re.match(r"\d+", str(label))[0]) for label in labels[:-1]]
        assert counted == kept.sort_index().tolist()[:-1]
    bars = figure.data["kept"]
    assert bars.steps.sum() == STEPS
    assert bars.expected.sum() == pytest.approx(STEPS)
    assert said("steps keep ", text) == pytest.approx((bars.k * bars.steps).sum() / STEPS, rel=6e-3)
    assert said("distribution has mean ", text) == 6
    assert said(r"different masks\*\* of ", text) == 2**15


@pytest.mark.parametrize("activation", ["tanh", "ReLU"])
def test_reading_of_gradients(activation):
    figure, text = draw(net_activation=activation, seed=2)
    units = figure.data["units"]
    training = units[(units.step > 0) & (units.x > 0) & (units.x < 1)]
    reached = (training.delta != 0).mean()
    assert said("dL/dz in ", text) == pytest.approx(100 * reached, rel=6e-3)
    assert said("was kept in ", text) == pytest.approx(100 * training.kept.mean(), rel=6e-3)
    assert "in all steps, is **0**" in text
    assert ("its own activation was 0" in text) == (activation == "ReLU")
    learning = np.mean([at(figure, step)[4] != 0 for step in range(1, STEPS + 1)])
    assert said("Of the weights ", text) == pytest.approx(100 * learning, rel=6e-3)


def test_mean_over_masks_and_evaluation():
    figure, text = draw()
    outputs, rules = figure.data["outputs"], figure.data["rules"]
    assert rules.output[0] == outputs.output[0]
    assert said(r"Evaluation gives \*\*", text) == pytest.approx(rules.output[0], rel=6e-3)
    assert said(r"probability, \*\*", text) == pytest.approx(rules.output[1], rel=6e-3)
    for linear in ({"net_activation": "identity"}, {"net_layer2": 0}):
        figure, text = draw(**linear)
        assert "equal in theory" in text
        assert figure.data["rules"].output[1] == pytest.approx(figure.data["rules"].output[0], rel=1e-12)
    assert "4,096 drawn masks" in draw(**EXTREMES[3])[1]
    assert "without masks they are the same" in draw(p=0.0)[1]
    assert "repairs the mean" in draw(p=1.0, net_activation="identity")[1]


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_one_mask_is_no_range(p):
    figure, text = draw(p=p)
    assert "Only one mask is possible" in text
    assert not re.search(r"e−\d|±|from (\S+) to \1", text)
    rules, reach = figure.data["rules"], figure.data["reach"].output
    assert np.ptp(reach) >= 1 - 1e-12 or np.ptp(figure.data["outputs"].output) > 1e-9
    assert abs(np.diff(rules.place)[0]) >= 0.29 * np.ptp(reach)
    assert said(r"\*\* of ", draw(p=p, net_input_p=0.5)[1]) == 2**3


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_twins(p):
    figure, text = draw(net_view="redundant inputs", p=p)
    theory = two_twins_theory(p=p, steps=120, rate=twins_rate(p))
    plane, dots = figure.data["plane"], figure.data["theory"]
    assert plane[["w1", "w2"]].to_numpy() == pytest.approx(theory.weights, abs=0.02)
    assert dots.w2.max() == pytest.approx(theory.weights[::6, 1].max())
    assert said(r"1/\(2 \+ λ\) = ", text) == pytest.approx(1 / (2 + p / (1 - p)), rel=6e-3)
    assert said("at most ", text) < 4.5
    errors = error_without(plane[["w1", "w2"]].iloc[-1].to_numpy())
    assert said("without dropout and by ", text) == pytest.approx(errors[1] - errors[0], rel=6e-3)
    plain = figure.data["paths"][figure.data["paths"].line == "first, no dropout"]
    assert (plain.w == 1).all()


def test_twins_at_the_ends():
    assert "nothing is learned" in draw(net_view="redundant inputs", p=1.0)[1]
    assert "no masks" in draw(net_view="redundant inputs", p=0.0)[1]
    assert "thrown as far as" in draw(net_view="redundant inputs", p=0.9999)[1]


def test_knobs_follow_the_view():
    names = {knob.name for knob in NETWORK_KNOBS}
    shown = [network_knobs(values(net_view=view)) for view in VIEWS]
    assert set().union(*shown) == names
    assert all(found[0] == "net_view" for found in shown)
    assert all(name.startswith("net_") for name in names)


@every_view
@every_extreme
def test_data_fit_their_specification(view, given):
    figure, text = draw(net_view=view, **given)
    plain, _ = draw(net_view=view)
    assert "NaN" not in text
    for width in (1040, 360):
        assert figure.spec(width) is plain.spec(width)
    assert figure.alt == plain.alt
    read = set()
    for unit in marks(figure.spec(1040)):
        read.add(unit.data)
        assert unit.fields() <= set(figure.data[unit.data].columns), unit.data
    assert read == set(figure.data)
    for name, frame in figure.data.items():
        assert 0 < len(frame) <= 900, name
        assert np.isfinite(frame.select_dtypes("number").to_numpy(float)).all(), name


@pytest.mark.parametrize(("view", "width"), list(zip(VIEWS, (360, 1040), strict=True)))
def test_figures_are_drawn(view, width):
    figure, _ = draw(net_view=view)
    svg = vl_convert.vegalite_to_svg(figure.chart(width), vl_version="6.4")
    assert 0.6 * width < float(re.search(r'width="([\d.]+)"', svg)[1]) < 1.15 * width
    assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", svg)
