"""What the two panels of the initialization page can draw: each quantity, statistic and shape of the stack."""

import re

import numpy as np
import pytest

from charts.initialization import GRADIENTS, SCHEMES, SIGNALS, TOPIC, networks
from core.activations import ACTIVATIONS
from core.propagation import layer_widths, propagate, propagate_theory

SMALL = {"depth": 8, "width": 32, "batch": 6, "seeds": 7, "sigma_b": 0.1, "seed": 5}
NAMES = ("He normal", "Glorot uniform", "LSUV")


def view(**values):
    return TOPIC.view(TOPIC.fill({**SMALL, "schemes": NAMES, "activation": "tanh", **values}))


def reading(values):
    """Return the reading with plain spaces, where its table has some that do not break."""
    return TOPIC.view(values).reading.replace("\N{NO-BREAK SPACE}", " ")


def lines(column, **values):
    frame = view(**values).figure.data["layers"]
    return np.array([frame[frame.name == name][column].to_numpy() for name in NAMES])


def run(**changes):
    kw = {**SMALL, "width": layer_widths(32, 8, changes.pop("taper", 1.0)), **changes}
    schemes = [SCHEMES[name] for name in NAMES]
    measured = propagate(ACTIVATIONS["tanh"], schemes, **kw, moments=True)
    theory = propagate_theory(
        ACTIVATIONS["tanh"], schemes, moments=True,
        **{k: v for k, v in kw.items() if k in ("depth", "width", "batch", "sigma_b", "input_scale")},
    )  # fmt: skip
    return measured, theory


@pytest.mark.parametrize("name", SIGNALS)
def test_the_signal_panel_draws_what_it_says(name):
    measured, theory = run()
    sizes = {
        "rms": measured.signal_rms,
        "second moment": measured.signal_rms**2,
        "spread over the batch": measured.neuron_std,
        "mean": np.abs(measured.signal_mean),
    }[name]
    expected = {
        "rms": theory.signal_rms,
        "second moment": theory.signal_rms**2,
        "spread over the batch": theory.neuron_std,
        "mean": theory.mean_rms,
    }[name]
    power = 1 if name == "second moment" else 2
    drawn = lines("signal", signal=name)
    np.testing.assert_allclose(drawn, np.mean(sizes**power, axis=1) ** (1 / power), rtol=1e-12)
    np.testing.assert_allclose(lines("signal_theory", signal=name), expected, rtol=1e-12)
    assert SIGNALS[name].title == view(signal=name).figure.data["titles"].signal.iloc[0]
    assert name in view(signal=name).figure.caption


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_gradient_panel_draws_what_it_says(name):
    measured, theory = run()
    drawn, dots = lines("gradient", gradient=name), lines("gradient_theory", gradient=name)
    if name == "of weights":
        assert np.isnan(drawn[:, 0]).all()
        drawn, dots = drawn[:, 1:], dots[:, 1:]
        sizes, expected = measured.weight_gradient_rms, theory.weight_gradient_rms
    else:
        sizes, expected = measured.gradient_rms, theory.gradient_rms
    np.testing.assert_allclose(drawn, np.sqrt(np.mean(sizes**2, axis=1)), rtol=1e-12)
    np.testing.assert_allclose(dots, expected, rtol=1e-12)


def test_the_median_is_that_of_the_networks():
    measured, _ = run()
    np.testing.assert_allclose(
        lines("signal", statistic="median"), np.median(measured.signal_rms, axis=1), rtol=1e-12
    )
    assert np.isnan(lines("signal_theory", statistic="median")).all()  # unknown for tanh


def test_the_typical_relu_network_lies_below_the_mean():
    base = {"schemes": ("He normal",), "activation": "ReLU", "depth": 50, "width": 100, "sigma_b": 0.0}
    mean, middle = (
        view(**base, statistic=statistic, signal="second moment").figure.data["layers"]
        for statistic in ("mean", "median")
    )
    dotted = middle.signal_theory.notna()
    expected = mean.signal_theory[dotted] * np.exp(-5 * middle.layer[dotted].astype(float) / 200)
    np.testing.assert_allclose(middle.signal_theory[dotted], expected, rtol=1e-9)
    assert middle.signal_theory[dotted].iloc[-1] == pytest.approx(np.exp(-5 * 48 / 200), rel=1e-9)


def test_typical_networks_are_measured_where_theory_puts_them():
    values = TOPIC.fill(
        {"schemes": ("He normal",), "depth": 40, "width": 64, "batch": 1, "seeds": 50, "statistic": "median",
         "signal": "second moment"}
    )  # fmt: skip
    frame = TOPIC.view(values).figure.data["layers"]
    gap = np.log(frame.signal.iloc[-1]) - np.log(np.exp(-5 * 40 / 128))
    assert abs(gap) < 4 * 1.2533 * np.sqrt(5 * 40 / 64 / 50)  # standard error of a median of normals


@pytest.mark.parametrize("taper", [0.25, 4.0])
def test_a_stack_that_tapers(taper):
    measured, theory = run(taper=taper)
    np.testing.assert_allclose(
        lines("signal", taper=taper), np.sqrt(np.mean(measured.signal_rms**2, axis=1)), rtol=1e-12
    )
    np.testing.assert_allclose(lines("gradient_theory", taper=taper), theory.gradient_rms, rtol=1e-12)
    assert f"widths 32 to {round(32 * taper)}" in view(taper=taper).figure.caption


def test_no_layer_is_wider_than_the_page_offers_and_networks_stay_bounded():
    values = TOPIC.fill({"width": 1024, "taper": 8.0, "depth": 100, "seeds": 50})
    assert networks(values) == 1
    values = TOPIC.fill({"width": 512, "taper": 8.0, "depth": 10, "seeds": 50})
    assert 1 < networks(values) <= 50


def test_the_scale_of_the_input():
    measured, _ = run(input_scale=10.0)
    np.testing.assert_allclose(
        lines("signal", input_scale=10.0), np.sqrt(np.mean(measured.signal_rms**2, axis=1)), rtol=1e-12
    )
    assert lines("signal_theory", input_scale=10.0)[:, 0] == pytest.approx(10.0)
    assert "input rms 10" in view(input_scale=10.0).figure.caption


# A run that takes a moment grows in the figure

LARGE = {"width": 512, "depth": 20, "batch": 4, "seeds": 5, "schemes": ("He normal", "Glorot normal")}


@pytest.fixture(scope="module")
def grown():
    """All views of a large run, as a page shows them one after the other."""
    values = TOPIC.fill(LARGE)
    views = [TOPIC.make(values)]
    while views[-1].rest is not None:
        views.append(views[-1].rest())
    return views


def test_a_large_run_begins_with_theory_and_grows_to_all_networks(grown):
    counts = [round(each.done * 5) for each in grown]
    assert counts[0] == 0
    assert counts[-1] == 5
    assert len(counts) >= 3
    assert counts == sorted(set(counts))
    first, *others = grown
    assert first.figure.data["layers"].signal.isna().all()
    assert first.figure.data["layers"].signal_theory.notna().any()
    for each in others:
        assert each.figure.data["layers"].signal.notna().all()
        assert each.figure.spec() == first.figure.spec()
    for count, each in zip(counts[:-1], grown[:-1], strict=True):
        assert f"{count} so far of 5 networks" in each.figure.caption
        assert each.figure.data["layers"].signal_theory.equals(grown[-1].figure.data["layers"].signal_theory)


def test_a_run_in_parts_is_the_run_at_once(grown):
    values = TOPIC.fill(LARGE)
    at_once = propagate(
        ACTIVATIONS["ReLU"], [SCHEMES[name] for name in LARGE["schemes"]], depth=20, width=512, batch=4, seeds=5, seed=0
    )  # fmt: skip
    layers = grown[-1].figure.data["layers"]
    drawn = np.array([layers[layers.name == name].signal for name in LARGE["schemes"]])
    np.testing.assert_allclose(drawn, np.sqrt((at_once.signal_rms**2).mean(axis=1)), rtol=1e-12)
    assert TOPIC.view(values).figure.caption == grown[-1].figure.caption
    assert TOPIC.glance(values).rest is None


@pytest.mark.parametrize(
    ("scheme", "rate"),
    [("PyTorch Linear", 6**-0.5), ("N(0, 0.01²)", 0.01 * 32**0.5)],
    ids=lambda v: str(v)[:7],
)
def test_the_reading_says_where_the_normal_range_ends_beyond_the_last_layer(scheme, rate):
    text = reading(TOPIC.fill({"schemes": (scheme,), "width": 64, "depth": 20}))
    said = int(re.search(r"if deeper, signal near layer (\d+)", text)[1])
    exact = np.log(np.finfo(np.float32).tiny) / np.log(rate)
    assert said == pytest.approx(exact, rel=0.02)


def test_the_reading_looks_no_further_than_the_depth_that_can_be_chosen():
    rate = 2**-0.5  # of Glorot normal, which would leave the normal range at layer 252
    assert np.log(np.finfo(np.float32).tiny) / np.log(rate) > TOPIC.knobs["depth"].high
    assert "float32" not in reading(TOPIC.fill({"schemes": ("Glorot normal",), "depth": 20}))


def test_a_signal_is_zero_in_float32_where_the_reading_says_so():
    """A run in float32 of its own: nonzero where it leaves the normal range, all 0 near the layer that is named."""
    text = reading(TOPIC.fill({"schemes": ("N(0, 0.01²)",)}))
    left, gone = map(
        int,
        re.search(r"signal at layer (\d+), all 0 near layer (\d+)", text).groups(),
    )
    rng = np.random.default_rng(0)
    h = rng.standard_normal((4, 64), np.float32)
    shares = [1.0]
    while shares[-1] > 0:
        h = np.maximum(h, 0) @ (np.float32(0.01) * rng.standard_normal((64, 64), np.float32))
        shares.append(float(np.mean(h != 0)))
    assert shares[left] > 0.95
    assert abs(len(shares) - 1 - gone) <= 1


def test_the_level_scheme_is_named_with_the_size_of_its_row():
    text = reading(TOPIC.defaults())
    said = re.search(r"^\*\*(.+)\*\* stays level: rms (\S+) after 50 layers\.", text)
    cells = [
        cell.strip() for line in text.splitlines() if f"**{said[1]}** |" in line for cell in line.split("|")
    ]
    assert cells[3] == said[2]
    assert [line.count("|") for line in text.splitlines()[2:]] == [7] * (2 + len(TOPIC.defaults()["schemes"]))


def test_a_level_stack_has_no_end_in_float32():
    assert "float32" not in reading(TOPIC.fill({"schemes": ("He normal",)}))


@pytest.mark.parametrize(
    "name", ["identity", "LSUV", "zeros", "sparse", "constant", "orthogonal", "He normal"]
)
@pytest.mark.parametrize("given", [{}, {"activation": "sigmoid", "sigma_b": 1.0}, {"activation": "tanh"}])
def test_the_derivation_of_a_scheme_agrees_with_what_is_drawn(name, given):
    values = TOPIC.fill({**SMALL, "schemes": (name,), **given})
    view = TOPIC.view(values)
    assert "NaN" not in view.why
    assert "nan" not in view.why
    if "gradient's rms is multiplied by" in view.why:
        said = float(view.why.split("gradient's rms is multiplied by ")[1].split(" a layer")[0])
        drawn = view.figure.data["layers"].gradient_theory.to_numpy()
        assert said == pytest.approx(drawn[-2] / drawn[-1], rel=1e-3)


def test_a_gradient_that_float32_loses_is_said_with_its_layer():
    values = TOPIC.fill({"activation": "sigmoid", "schemes": ("N(0, 0.01²)",)})
    frame = TOPIC.view(values).figure.data["layers"]
    first = frame.layer[frame.gradient < np.finfo(np.float32).tiny].max()
    assert f"gradient at layer {first}, all 0 near layer " in reading(values)


def test_a_gradient_that_is_zero_is_zero_below_the_top():
    text = reading(TOPIC.fill({"activation": "step", "schemes": ("He normal",), "depth": 30}))
    assert "| none | 0 from layer 29 down |" in text


def test_one_input_has_no_spread_over_the_batch():
    view = TOPIC.view(TOPIC.fill({"batch": 1, "signal": "spread over the batch"}))
    assert "raise the batch" in view.reading


@pytest.mark.parametrize("name", ["orthogonal", "identity", "LSUV"])
def test_the_typical_network_is_drawn_for_independent_weights_only(name):
    values = TOPIC.fill({**SMALL, "schemes": ("He normal", name), "statistic": "median", "sigma_b": 0.0})
    frame = TOPIC.view(values).figure.data["layers"]
    assert frame[frame.name == name].signal_theory.isna().all()
    assert frame[frame.name == "He normal"].signal_theory.notna().any()
