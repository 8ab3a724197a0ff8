"""The Signal and Choose tabs of the activations page: histograms, moments, links with gains, reasons."""

import numpy as np
import pytest

from charts.activation_choice import LINES, choice_blocks, choice_knobs
from charts.activation_signal import signal_blocks
from charts.activations import STYLES, TOPIC
from charts.figure import Figure
from charts.topic import Link
from charts.topics import TOPICS
from core.activations import ACTIVATIONS
from core.special import normal_cdf

every = pytest.mark.parametrize("name", ACTIVATIONS)


def tab(names, mu=0.0, sigma=1.0, settings=None):
    settings = settings or {}
    return signal_blocks(
        names, {n: settings.get(n, {}) for n in names}, STYLES, names, lambda f, k: f"{f}_{k}", mu, sigma
    )


@every
@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (-5.0, 0.1), (5.0, 5.0), (0.5, 2.0)])
def test_the_histogram_counts_all_draws_inside_the_axis(name, mu, sigma):
    figure = tab((name,), mu, sigma)[0]
    bars, lines = figure.data["bars"], figure.data["lines"]
    low, high = float(lines.low.iloc[0]), float(lines.high.iloc[0])
    assert low < mu < high
    assert bars.low.min() >= low
    assert bars.high.max() <= high + 1e-9
    assert (bars.top >= bars.base).all()
    assert (bars.top <= bars.base + 0.5).all()  # two rows: no bar reaches the one above
    for frame in figure.data.values():
        assert np.isfinite(frame.select_dtypes("number").to_numpy(float)).all()


def test_the_exact_shares_of_a_relu_are_those_of_the_normal_distribution():
    figure = tab(("ReLU",), sigma=2.0)[0]
    low, high = figure.data["lines"].low.iloc[0], figure.data["lines"].high.iloc[0]
    width = (high - low) / 80
    row = figure.data["theory"][figure.data["theory"].base < 0.5]  # the row of ReLU stands on 0
    left, right = row.low - width / 2, row.low + width / 2
    share = normal_cdf(right.to_numpy() / 2) - normal_cdf(np.maximum(left.to_numpy(), 0) / 2)
    share = share + np.where(left <= 0, 0.5, 0.0)  # all negative z are in the bin of 0
    assert len(row) > 15
    np.testing.assert_allclose(row.base / row.base.max(), share / share.max(), atol=5e-4)


def test_gains_lead_to_the_initialization_page():
    names = ("sigmoid", "leaky ReLU", "ReLU")
    blocks = tab(names, settings={"leaky ReLU": {"slope": 0.2}})
    found = {block.values["activation"]: block for block in blocks if isinstance(block, Link)}
    assert set(found) == set(names)
    assert found["ReLU"].values["custom_gain"] == pytest.approx(np.sqrt(2), abs=1e-4)
    assert found["leaky ReLU"].values["custom_gain"] == pytest.approx(np.sqrt(2 / (1 + 0.04)), abs=1e-4)
    assert found["leaky ReLU"].values["leaky ReLU_slope"] == 0.2


@pytest.mark.parametrize("scenario", TOPIC.scenarios, ids=lambda scenario: scenario.name)
def test_every_link_of_the_tabs_opens_a_legal_view(scenario):
    view = TOPIC.view(TOPIC.scenario_values(scenario))
    blocks = [block for t in view.tabs if t.name in ("Signal", "Choose") for block in t.blocks()]
    for link in (block for block in blocks if isinstance(block, Link)):
        check(link)


def check(link):
    topic = TOPICS[link.page or "activations"]
    values = topic.fill(link.values)
    for name, value in link.values.items():
        assert topic.knobs[name].check(value) == value
        assert name in topic.shown(values), f"{link.label}: {name} would not act"
    assert link.tab in ("", *topic.tab_names)
    again, problems = topic.parse(
        {k: v if isinstance(v, list) else [v] for k, v in topic.query(values).items()}
    )
    assert problems == []
    assert again == topic.settle(values)


def _ends():
    for role, options in LINES.items():
        for option in options:
            yield pytest.param(role, option, id=f"{role}-{option}")


@pytest.mark.parametrize(("role", "option"), list(_ends()))
def test_every_line_of_decisions_ends_in_a_function_with_reasons(role, option):
    values = {**TOPIC.defaults(), "role": role, "concern": option, "target": option}
    blocks = choice_blocks(values)
    assert isinstance(blocks[0], Figure)
    nodes = blocks[0].data["nodes"]
    assert set(nodes[nodes.chosen].label) == {role, option, LINES[role][option].take}
    links = [block for block in blocks if isinstance(block, Link)]
    assert links
    assert len(links) == len(LINES[role][option].reasons)
    for link in links:
        check(link)
    for text in (block for block in blocks if isinstance(block, str)):
        assert text.strip()
        assert "nan" not in text
    assert choice_knobs(values)[0] == "role"


def test_the_reasons_quote_what_is_known():
    def said(role, option):
        return " ".join(r.says() for r in LINES[role][option].reasons)

    assert "3.54e−14" in said("hidden layer", "nothing special")
    assert "50%" in said("hidden layer", "units die")
    assert "0.000473" in said("hidden layer", "transformer block")
    assert "mean 0 and second moment 1:" in said("hidden layer", "no normalization")
    assert "−0.9997" in said("output layer", "two classes")
    assert "2.03" in said("output layer", "one of several classes")
