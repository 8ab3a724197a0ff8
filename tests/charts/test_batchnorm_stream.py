"""The main figure of the BatchNorm page: what its sources and drifts say, and that old links give the same picture."""

import re

import numpy as np
import pytest

from charts import batchnorm, theme
from charts.batchnorm import TOPIC, experiment
from core.batch_stream import DRIFTS, SOURCES, place_probe, stream_batches_theory
from core.normalization import BATCHNORM_CONVENTIONS


def view(**values):
    return TOPIC.view(TOPIC.fill(values))


@pytest.mark.parametrize(
    "query",
    [
        {"bn_shift": ["3"], "bn_shift_step": ["60"], "bn_steps": ["120"]},
        {"bn_shift": ["3"], "bn_steps": ["120"]},  # an address leaves out what is at its default
        {"bn_shift": ["3"], "bn_steps": ["120"], "bn_scenario": ["The mean shifts"]},
        {"bn_shift": ["3"], "bn_steps": ["120"], "bn_scenario": ["Custom"]},
    ],
)
def test_an_old_link_to_a_shift_shows_the_shift(query):
    values, problems = TOPIC.parse(query)
    assert problems == []
    assert TOPIC.scenario_of(TOPIC.settle(values)) == "The mean shifts"
    true_mean = TOPIC.view(values).figure.data["stream"].true_mean
    np.testing.assert_array_equal(true_mean, [5.0] * 61 + [8.0] * 60)


def test_an_old_link_without_a_shift_is_the_default_view():
    values, problems = TOPIC.parse({"bn_shift": ["0.0"], "bn_shift_step": ["60"], "bn_weight": ["0.1"]})
    assert problems == []
    assert TOPIC.settle(values) == TOPIC.defaults()
    assert TOPIC.view(values).figure.caption == view().figure.caption


def test_a_link_with_another_change_ignores_the_shift():
    values, _ = TOPIC.parse({"bn_drift": ["cycle"], "bn_shift": ["3"]})
    assert values["drift"] == "cycle"
    assert "shifted" not in TOPIC.view(values).figure.caption


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("cumulative", [False, True])
def test_texts_hold_the_expected_statistics(source, drift, cumulative):
    """The last numbers of the closed form stand in reading and explanation, whatever the data are."""
    values = {"source": source, "drift": drift, "cumulative": cumulative, "running_mean": 2.0, "steps": 47}
    shown = view(**values)
    theory = stream_batches_theory(**experiment(TOPIC.fill(values)))
    stated = [float(text) for text in re.findall(r"\(expected (\S+) ±", shown.reading)]
    assert stated == pytest.approx([theory.running_mean[-1], theory.running_var[-1]], rel=5e-3)
    written = re.findall(r"E\[\\hat\\mu_\{47\}\](?:[^$]*?) = ([\d.]+)\$", shown.why)
    assert [float(text) for text in written] == pytest.approx([theory.running_mean[-1]], rel=5e-3)
    assert SOURCES[source].told(5.0, 3.0, 10) in shown.figure.caption
    assert ("over all batches" in shown.figure.caption) == cumulative
    assert ("outlier" in " ".join(shown.events)) == (drift == "outlier")


def test_every_change_has_its_explanation():
    assert set(batchnorm._MEMORY) == set(DRIFTS) - {"none"}


@pytest.mark.parametrize(("weight", "size"), [(0.1, 8), (0.02, 64), (0.5, 2)])
def test_the_outlier_s_trace_ends_where_it_is_said_to(weight, size):
    values = {"drift": "outlier", "weight": weight, "batch_size": size, "steps": 500}
    (event,) = view(**values).events
    last = int(re.search(r"from step (\d+) on", event)[1])
    arguments = experiment(TOPIC.fill(values))
    struck, still = (stream_batches_theory(**{**arguments, "drift": drift}) for drift in ("outlier", "none"))
    traces = np.maximum(
        np.abs(struck.running_mean - still.running_mean) / 3,
        np.abs(struck.running_var - still.running_var) / 9,
    )
    assert traces[last] <= 0.1 < traces[last - 1]
    moved = [
        float(text)
        for text in re.search(r"mean by (\S+)σ and the running variance by (\S+)σ²", event).groups()
    ]
    assert moved[0] == pytest.approx(weight * 50 / size, rel=5e-3)
    assert moved[1] == pytest.approx(weight * (2500 / size - 1 / size), rel=5e-3)


def test_the_cumulative_average_ends_the_trace_too():
    values = {"drift": "outlier", "cumulative": True, "outlier": 15.0, "steps": 400}
    (event,) = view(**values).events
    last = int(re.search(r"from step (\d+) on", event)[1])
    arguments = experiment(TOPIC.fill(values))
    struck, still = (stream_batches_theory(**{**arguments, "drift": drift}) for drift in ("outlier", "none"))
    trace = np.abs(struck.running_mean - still.running_mean) / 3
    var = np.abs(struck.running_var - still.running_var) / 9
    assert np.maximum(trace, var)[last] <= 0.1 + 1e-12
    assert np.maximum(trace, var)[last - 1] > 0.1 - 1e-12


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_the_cumulative_average_is_a_choice_where_the_framework_has_it(convention):
    shown = TOPIC.shown(TOPIC.fill({"convention": convention}))
    assert ("cumulative" in shown) == (convention == "PyTorch")
    assert ("weight" in shown) == (convention != "paper")
    both = TOPIC.settle(TOPIC.fill({"convention": convention, "cumulative": True}))
    assert (experiment(both)["momentum"] is None) == (convention in ("PyTorch", "paper"))


def test_every_output_of_a_batch_of_one_is_seen():
    figure = view(batch_size=1).figure
    (bar,) = figure.data["margin"].itertuples()
    assert bar.low < 0 < bar.high
    assert bar.low + bar.high == pytest.approx(0, abs=1e-12)
    assert bar.high - bar.low >= 0.019 * abs(figure.data["verdict"].y[0])
    assert figure.data["margin"]["count"].sum() == 200


def test_a_scale_of_zero_keeps_its_axes():
    shown = view(gamma=0.0, beta=2.0)
    data = shown.figure.data
    assert "γ = 0: every output is β = 2" in shown.reading
    for name in ("reach", "span"):
        assert data[name].y.tolist() == pytest.approx([1.9, 2.1])
    (bar,) = data["margin"].itertuples()
    assert bar.high - bar.low < 0.1 * (2.1 - 1.9)
    ends = sorted(data["ends"][data["ends"].panel == "output"].y)
    assert np.diff(ends) == pytest.approx([0.11 * (2.1 - 1.9)] * 2)


@pytest.mark.parametrize("eps", [1e-5, 1.0])
def test_theory_of_the_training_output_counts_epsilon(eps):
    values = {"eps": eps, "sigma": 0.5, "probe": 6.0, "batch_size": 16}
    stated = re.search(r"in theory (\S+) ± (\S+)\)", view(**values).reading).groups()
    placed = place_probe(
        mu=5.0, sigma=0.5, batch_size=16, probe=6.0, eps=eps, in_batch=True, count=20_000, seed=5
    )
    assert float(stated[0]) == pytest.approx(placed.mean(), rel=0.02)
    assert float(stated[1]) == pytest.approx(placed.std(), rel=0.03)


@pytest.mark.parametrize(
    ("size", "said"), [(1, "has variance 0"), (2, "no mean and no finite"), (3, "no finite")]
)
def test_outputs_outside_small_batches_are_explained(size, said):
    assert said in view(batch_size=size, in_batch=False).reading
    assert said not in view(batch_size=size).reading
    assert said not in view(batch_size=4, in_batch=False).reading


def test_every_batch_of_one_is_undefined():
    assert "of every batch (60 of 60) is 0/0" in view(batch_size=1).events[0]


@pytest.mark.parametrize("drift", ["shift", "scale", "cycle", "outlier"])
def test_nothing_fades_at_weight_zero_and_nothing_moves_by_zero(drift):
    why = view(weight=0.0, drift=drift, steps=120).why
    assert "the start stays" in why
    assert "fades" not in why
    still = view(drift=drift, steps=120, shift=0.0, factor=1.0, amplitude=0.0, outlier=0.0)
    assert "swing" not in still.reading
    assert not re.search("Since the shift|The variance changed|low-pass", still.why)


def test_every_scenario_asks():
    assert all(scenario.question for scenario in TOPIC.scenarios)


@pytest.mark.parametrize("size", [1, 8])
def test_every_color_of_the_figure_has_its_name_at_the_end_of_its_panel(size):
    data = view(batch_size=size).figure.data
    ends = data["ends"]
    for panel, dots in {"mean": "batch_mean", "var": "batch_var", "output": "train_output"}.items():
        names = set(ends[(ends.panel == panel) & (ends.slot == theme.SLOTS["vermilion"])].label)
        drawn = data["stream"][dots].notna().any()
        assert names == ({"training" if panel == "output" else "batch"} if drawn else set())


def test_the_key_says_whether_the_sample_sits_in_its_batch():
    assert "the sample is one of the N" in view().figure.key
    assert "the sample is not one of the N" in view(in_batch=False).figure.key


@pytest.mark.parametrize(("width", "last"), [(1080, ["output"]), (360, ["output", "var"])])
def test_the_step_axis_is_named_below_the_last_of_the_panels_that_share_it(width, last):
    found = [
        panel["name"]
        for panel in walk(view().figure.spec(width))
        if any(layer.get("encoding", {}).get("x", {}).get("title") == "step" for layer in panel["layer"])
    ]
    assert sorted(found) == last


def walk(spec):
    """Return the panels of a specification of concatenated ones."""
    if "layer" in spec:
        return [spec]
    return [found for key in ("hconcat", "vconcat") for part in spec.get(key, ()) for found in walk(part)]
