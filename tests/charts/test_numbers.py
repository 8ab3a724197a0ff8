"""The numbers in the figures are those of core: nothing is moved, scaled or left out on the way."""

import json
import re

import numpy as np
import pytest

from charts.optimizers_base import run as run_optimizers
from core.activations import ACTIVATIONS
from core.batch_stream import place_probe, stream_batches, stream_batches_theory
from core.descent import SurfaceProblem, descend
from core.dropout import DROPOUT_MODES, dropout_layer, dropout_moments
from core.initializers import INITIALIZERS
from core.normalization import BATCHNORM_CONVENTIONS
from core.optimizers import OPTIMIZERS
from core.propagation import FLOAT32_MAX, FLOAT32_TINY, propagate, propagate_theory
from core.properties import second_derivative
from core.second_order import REFERENCES
from core.surfaces import SURFACES, OnlineProblem
from tests.charts.topics import BY_NAME, random_values


def view_of(topic, **values):
    topic = BY_NAME[topic]
    return topic.view(topic.fill(values))


def data_of(topic, **values):
    return view_of(topic, **values).figure.data


def defaults_of(entry):
    return {knob.name: knob.default for knob in entry.knobs}


# Activations


@pytest.mark.parametrize("weight", [1.0, 4.0, 0.37])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_curves_are_the_registry_s(name, weight):
    entry, knobs = ACTIVATIONS[name], defaults_of(ACTIVATIONS[name])
    data = data_of("activations", functions=(name,), weight=weight)
    curves = data["curves"]
    z = curves.z.to_numpy()
    assert np.all(np.diff(z) >= 0)
    assert (z[0], z[-1]) == (-6.0, 6.0)
    np.testing.assert_array_equal(curves.value, entry.f(weight * z, **knobs))
    drawn = curves.slope.notna().to_numpy()
    np.testing.assert_array_equal(curves.slope[drawn], weight * entry.df(weight * z[drawn], **knobs))
    corners = np.array(entry.kinks_at(**knobs)) / weight
    for gap in z[~drawn]:  # the line is broken only where the slope jumps
        assert np.min(np.abs(corners - gap)) < 1e-9
    dots = data["kinks"][data["kinks"].note.astype(str) != ""]
    inside = dots.z[np.abs(dots.z) < 6 - 1e-9]  # one at the very edge may be drawn or not
    np.testing.assert_allclose(np.sort(inside), np.sort(corners[np.abs(corners) < 6 - 1e-9]), atol=1e-12)
    for _, dot in dots.iterrows():  # at the kink itself the registry's subgradient
        at = np.array([corners[np.argmin(np.abs(corners - dot.z))]]) * weight
        assert dot.value == pytest.approx(entry.f(at, **knobs)[0], abs=1e-12)
        assert dot.slope == pytest.approx(weight * entry.df(at, **knobs)[0], rel=1e-12)


_STOPS = np.round(np.arange(-120, 121) * 0.05, 10)  # of the cursor


@pytest.mark.parametrize("weight", [1.0, 10.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_cursor_reads_the_registry_at_every_stop(name, weight):
    entry, knobs = ACTIVATIONS[name], defaults_of(ACTIVATIONS[name])
    figure = view_of("activations", functions=(name,), weight=weight, curvature=weight == 1).figure
    rows = {column: values.to_numpy() for column, values in figure.data["curves"].items()}
    # Which row is taken, and what it says of the cursor, as the specification reads it.
    spec = json.dumps(figure.spec())
    assert "cursor > datum.z - 0.005 && cursor < datum.z + 0.05 * datum.stops - 0.045" in spec
    assert "datum.value + datum.slope * (cursor - datum.z)" in spec
    cursor = _STOPS[:, None]
    taken = (cursor > rows["z"] - 0.005) & (cursor < rows["z"] + 0.05 * rows["stops"] - 0.045)
    assert (taken.sum(axis=1) == 1).all()
    row = taken.argmax(axis=1)
    value = rows["value"][row] + rows["slope"][row] * (_STOPS - rows["z"][row])
    np.testing.assert_allclose(value, entry.f(weight * _STOPS, **knobs), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(rows["slope"][row], weight * entry.df(weight * _STOPS, **knobs))
    if weight == 1:
        np.testing.assert_array_equal(rows["curvature"][row], second_derivative(entry, _STOPS, knobs))


@pytest.mark.parametrize("weight", [1.0, 10.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_points_that_are_left_out_are_not_missed(name, weight):
    """Beside lines through all points the drawn ones stay within a third of a pixel, on a panel of 410."""
    entry, knobs = ACTIVATIONS[name], defaults_of(ACTIVATIONS[name])
    curves = data_of("activations", functions=(name,), weight=weight)["curves"]
    jumps = np.array(entry.kinks_at(**knobs)) / weight
    z = np.arange(-600, 601) / 100  # five to a step of the grid, as weight 10 asks for
    z = np.sort(np.concatenate([z, jumps - 1e-9, jumps + 1e-9]) if weight > 1 else _STOPS)
    for column, exact in (
        ("value", entry.f(weight * z, **knobs)),
        ("slope", weight * entry.df(weight * z, **knobs)),
    ):
        off = np.abs(np.interp(z, curves.z, curves[column]) - exact)
        assert off.max() <= 0.3 / 410 * np.ptp(exact) + 1e-12, column


def test_a_straight_line_has_few_points():
    for name in ("identity", "ReLU", "leaky ReLU", "hard tanh", "step"):
        assert len(data_of("activations", functions=(name,))["curves"]) < 20
    assert len(data_of("activations", functions=("tanh",))["curves"]) == 241


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_measured_slopes_agree_with_the_line(name):
    entry, knobs = ACTIVATIONS[name], defaults_of(ACTIVATIONS[name])
    measured = data_of("activations", functions=(name,), weight=2.0)["measured"]
    assert len(measured) > 10
    np.testing.assert_allclose(
        measured.slope, 2 * entry.df(2 * measured.z.to_numpy(), **knobs), atol=1e-4
    )  # h·w²·f″ at a bend


def test_peaks_are_the_largest_slopes():
    peaks = data_of("activations", functions=("sigmoid", "tanh"))["peaks"]
    assert sorted(peaks.height) == pytest.approx([0.25, 1.0])
    assert set(peaks.label) == {"0.25", "1"}
    np.testing.assert_allclose(peaks.z, 0, atol=1e-9)


def test_the_own_knob_of_a_function_bends_its_curve():
    curves = data_of("activations", functions=("leaky ReLU",), leaky_relu_slope=0.3)["curves"]
    left = curves[curves.z < -1]
    np.testing.assert_allclose(left.value, 0.3 * left.z)


# Initialization


_INIT = {"depth": 12, "width": 24, "batch": 3, "seeds": 5, "sigma_b": 0.1, "seed": 3}
_SCHEMES = ("He normal", "N(0, 1)", "orthogonal", "constant")


@pytest.mark.parametrize("activation", ["ReLU", "tanh", "leaky ReLU"])
def test_initialization_lines_are_those_of_propagate(activation):
    data = data_of("initialization", schemes=_SCHEMES, activation=activation, **_INIT)["layers"]
    entries = [INITIALIZERS[name] for name in _SCHEMES]
    arguments = {k: v for k, v in _INIT.items() if k not in ("seeds", "seed")}
    measured = propagate(
        ACTIVATIONS[activation],
        entries,
        seeds=5,
        seed=3,
        knobs=defaults_of(ACTIVATIONS[activation]),
        **arguments,
    )
    theory = propagate_theory(
        ACTIVATIONS[activation], entries, knobs=defaults_of(ACTIVATIONS[activation]), **arguments
    )
    for k, name in enumerate(_SCHEMES):
        rows = data[data.name == name]
        np.testing.assert_array_equal(rows.layer, np.arange(13))
        for quantity in ("signal", "gradient"):
            rms = getattr(measured, f"{quantity}_rms")[k]
            np.testing.assert_allclose(rows[quantity], np.sqrt(np.mean(rms**2, axis=0)), rtol=1e-12)
            np.testing.assert_allclose(rows[f"{quantity}_low"], np.quantile(rms, 0.1, axis=0), rtol=1e-12)
            np.testing.assert_allclose(rows[f"{quantity}_high"], np.quantile(rms, 0.9, axis=0), rtol=1e-12)
            dots = rows[f"{quantity}_theory"].to_numpy()
            predicted = getattr(theory, f"{quantity}_rms")[k]
            shown = np.isfinite(dots)
            np.testing.assert_array_equal(dots[shown], predicted[shown])
            assert shown.any() == np.isfinite(predicted).any()


def test_what_a_log_axis_cannot_show_is_left_out_not_moved():
    data = data_of("initialization", schemes=("zeros", "He normal"), **(_INIT | {"sigma_b": 0.0}))["layers"]
    zeros = data[data.name == "zeros"]
    assert zeros.signal.notna().sum() == 1  # the input
    assert (data.signal.dropna() > 0).all()


@pytest.mark.parametrize("schemes", [("N(0, 1)",), ("N(0, 0.01²)", "N(0, 1)")])
def test_crosses_mark_the_first_layer_that_float32_cannot_hold(schemes):
    figure = data_of("initialization", schemes=schemes, depth=80, width=64, seeds=3)
    layers = figure["layers"]
    for quantity, column in (("signal", "layer"), ("gradient", "layer")):
        crosses = figure[f"{quantity}_deaths"]
        assert len(crosses) == len(schemes)
        for scheme, (_, cross) in zip(schemes, crosses.iterrows(), strict=True):
            line = layers[layers.name == scheme].set_index(column)[quantity]
            assert cross.y == line[cross.layer]
            lost = (line < FLOAT32_TINY) | (line > FLOAT32_MAX)
            expected = lost.idxmax() if quantity == "signal" else lost[::-1].idxmax()
            assert cross.layer == expected


def test_end_labels_of_lines_stand_at_their_ends():
    figure = data_of("initialization", schemes=("He normal", "N(0, 1)"), depth=20, width=64, seeds=3)
    for quantity, layer in (("signal", 20), ("gradient", 0)):
        layers = figure["layers"]
        ends = dict(zip(figure[f"{quantity}_ends"].label, figure[f"{quantity}_ends"].y, strict=True))
        for name in ("He normal", "N(0, 1)"):
            line = layers[(layers.name == name) & (layers.layer == layer)][quantity].item()
            assert ends[name] == pytest.approx(line, rel=1e-9)


# BatchNorm


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
@pytest.mark.parametrize("in_batch", [True, False])
def test_batchnorm_rows_are_those_of_the_stream(convention, in_batch):
    chosen = {
        "batch_size": 5, "steps": 37, "probe": 2.5, "mu": -1.0, "sigma": 2.0, "shift": 4.0, "shift_step": 20,
        "gamma": 1.5, "beta": -0.5, "running_mean": 3.0, "running_var": 7.0, "seed": 11,
    }  # fmt: skip
    rule = BATCHNORM_CONVENTIONS[convention]
    weight = {} if rule.fixed_weight() is None else {"weight": 0.25}
    data = data_of("batchnorm", convention=convention, in_batch=in_batch, **chosen, **weight)
    momentum = {"momentum": rule.momentum_of(0.25)} if weight else {}
    stream = stream_batches(convention=convention, in_batch=in_batch, **chosen, **momentum)
    theory = stream_batches_theory(
        convention=convention, **{k: v for k, v in chosen.items() if k != "seed"}, **momentum
    )
    rows = data["stream"]
    np.testing.assert_array_equal(rows.step, np.arange(38))
    for name in ("batch_mean", "batch_var", "train_output"):
        assert np.isnan(rows[name].iloc[0])
        np.testing.assert_array_equal(rows[name].iloc[1:], getattr(stream, name))
    for name in ("running_mean", "running_var", "eval_output", "true_mean", "true_var", "true_output"):
        np.testing.assert_array_equal(rows[name], getattr(stream, name))
    for name, closed in (
        ("theory_mean", theory.running_mean), ("theory_var", theory.running_var), ("theory_output", theory.eval_output)
    ):  # fmt: skip
        shown = rows[name].notna().to_numpy()
        assert shown.sum() >= 19
        np.testing.assert_array_equal(rows[name][shown], closed[shown])
    band = 1.96 * 2.0 / np.sqrt(5)
    np.testing.assert_allclose(rows.mean_high - rows.mean_low, 2 * band)
    np.testing.assert_allclose((rows.mean_high + rows.mean_low) / 2, stream.true_mean)


@pytest.mark.parametrize("batch_size", [1, 2, 8, 512])
def test_the_margin_counts_every_placement(batch_size):
    data = data_of("batchnorm", batch_size=batch_size, seed=2)
    placed = place_probe(batch_size=batch_size, seed=2, in_batch=True, count=200)
    margin = data["margin"]
    assert margin["count"].sum() == len(placed) == 200
    assert margin.low.min() <= placed.min()
    assert margin.high.max() >= placed.max()
    for _, row in margin.iterrows():
        inside = (placed >= row.low - 1e-12) & (placed <= row.high + 1e-12)
        assert inside.sum() >= row["count"] > 0


# Dropout


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_dropout_bars_count_every_mask(p):
    data = data_of("dropout", p=p, inputs=12, masks=500, seed=4)
    result = dropout_layer(p=p, inputs=12, masks=500, seed=4)
    bars = data["training"]
    assert set(bars["mode"]) == set(DROPOUT_MODES)
    for k, mode in enumerate(result.modes):
        mine = bars[bars["mode"] == mode]
        assert mine["count"].sum() == 500
        for _, bar in mine.iterrows():
            inside = (result.train[k] >= bar.low - 1e-12) & (result.train[k] <= bar.high + 1e-12)
            assert inside.sum() >= bar["count"] > 0
        np.testing.assert_allclose(
            (mine.top - mine.base) / mine["count"], (mine.top - mine.base).max() / mine["count"].max()
        )


def test_dropout_means_and_rules_are_the_run_s():
    data = data_of("dropout", p=0.3, inputs=20, masks=800, seed=1)
    result = dropout_layer(p=0.3, inputs=20, masks=800, seed=1)
    means = data["means"].set_index("mode")
    rules = data["rules"].set_index("base")
    for k, mode in enumerate(result.modes):
        assert means.x[mode] == pytest.approx(np.mean(result.train[k]), rel=1e-12)
        assert means.sd[mode] == pytest.approx(np.std(result.train[k], ddof=1), rel=1e-9, abs=1e-9)
        assert (means.base[mode] in rules.index) == bool(result.deterministic[k])
        if result.deterministic[k]:
            assert rules.x[means.base[mode]] == pytest.approx(result.evaluation[k, 0], rel=1e-12)


def test_dropout_theory_is_the_density_of_the_closed_form():
    data = data_of("dropout", p=0.5, inputs=200, masks=3000, seed=0)
    result = dropout_layer(p=0.5, inputs=200, masks=3000, seed=0)
    theory, bars = data["theory"], data["training"]
    for mode in ("Inverted", "Classic"):
        moments = dropout_moments(result.contributions, 0.5, mode)
        line = theory[theory["mode"] == mode]
        top = line.loc[line.top.idxmax()]
        assert top.x == pytest.approx(float(moments.train_mean), abs=np.diff(line.x).max())
        # The curve and the bars have one scale: their areas agree where both are drawn.
        mine = bars[bars["mode"] == mode]
        area = np.trapezoid(line.top - mine.base.iloc[0], line.x)
        assert area == pytest.approx(((mine.top - mine.base) * (mine.high - mine.low)).sum(), rel=0.05)


def test_the_verdicts_tell_right_from_wrong():
    rows = data_of("dropout", p=0.5, masks=5000)["rows"].set_index("mode")
    good = set(rows.index[rows.slot == rows.slot["Inverted"]])
    assert good == {name for name, mode in DROPOUT_MODES.items() if not mode.mistake}


# Optimizers


def descended(values, name):
    """Run one method with a topic's values, from the registries alone."""
    surface = SURFACES[values["surface"]]
    problem = SurfaceProblem(surface, {knob.name: values[knob.name] for knob in surface.knobs})
    entry = OPTIMIZERS.get(name) or REFERENCES[name]
    prefix = re.sub("[^a-z0-9]+", "_", name.lower())
    knobs = {knob.name: values[f"{prefix}_{knob.name}"] for knob in entry.knobs}
    if name in REFERENCES:
        rule = entry.build(problem, **knobs)
    else:
        rule = entry.build(convention=values["convention"], **knobs)
    project = surface.project if surface.box else None
    met = OnlineProblem(surface) if surface.online else problem
    return descend(met, rule, [values["start_x"], values["start_y"]], values["steps"], project=project)


# What the runs of these tests leave out; tests of the page's conditions have it.
PLAIN = {"noise": 0.0, "batch_size": 64, "clip": "none", "schedule": "constant", "twin": "none"}


def optimizer_runs():
    topic = BY_NAME["optimizers"]
    runs = [topic.scenario_values(scenario) for scenario in topic.scenarios]
    runs += [topic.fill({"surface": name, "optimizers": tuple(OPTIMIZERS)[:6]}) for name in SURFACES]
    runs += [topic.fill({"optimizers": (name,), "steps": 120}) for name in (*OPTIMIZERS, *REFERENCES)]
    runs += [{**random_values(topic, seed), **PLAIN} for seed in range(12)]
    known = [values for values in runs if values["surface"] in SURFACES]
    return [topic.settle(v) for v in known if topic.settle({**v, **PLAIN}) == topic.settle(v)]


@pytest.mark.parametrize("values", optimizer_runs(), ids=lambda v: f"{v['surface']}-{len(v['optimizers'])}")
def test_optimizer_paths_and_curves_are_those_of_descend(values):
    topic = BY_NAME["optimizers"]
    data = topic.view(values).figure.data
    surface = SURFACES[values["surface"]]
    low, high = np.array(surface.window[::2]), np.array(surface.window[1::2])
    results = run_optimizers(values)
    assert set(results) == set(values["optimizers"])
    for name in values["optimizers"]:
        result = descended(values, name)
        np.testing.assert_array_equal(results[name].path, result.path)

        rows = data["path"][data["path"].name == name]
        vertices = rows[~rows.border]
        np.testing.assert_array_equal(vertices[["x", "y"]].to_numpy(), result.path[vertices.step])
        finite = np.isfinite(result.path).all(axis=1)
        end = len(finite) if finite.all() else int(np.argmin(finite))
        inside = np.all((result.path[:end] >= low) & (result.path[:end] <= high), axis=1)
        np.testing.assert_array_equal(vertices.step, np.flatnonzero(inside))
        for _, crossing in rows[rows.border].iterrows():
            point = np.array([crossing.x, crossing.y], float)
            assert np.all((point >= low) & (point <= high))
            if np.max(np.abs(result.path[crossing.step - 1 : crossing.step + 1])) < 1e6:
                assert np.min(np.abs([point - low, point - high]) / (high - low)) < 1e-9
        assert (np.diff(rows.step.astype(int)) >= 0).all(), "drawn in the order of the rows"

        curve = data["curve"][data["curve"].name == name]
        if surface.infimum is None:
            height = np.hypot(*result.gradient.T)
        else:
            height = result.value - surface.infimum
        np.testing.assert_allclose(curve.gap, height[curve.step], rtol=1e-12)
        assert (curve.gap > 0).all()
        begin = height[0]
        if np.isfinite(begin) and begin > 0:
            shown = np.isfinite(height) & (height >= begin * 1e-13) & (height <= begin * 90)
            assert set(np.flatnonzero(shown)) <= set(curve.step), "a point is missing without a reason"


@pytest.mark.parametrize("surface", SURFACES)
def test_everything_on_a_surface_lies_in_its_window(surface):
    # A click is read as a fraction of the window, so the axes must end with it.
    data = data_of("optimizers", surface=surface)
    window = SURFACES[surface].window
    for name in ("isolines", "path", "names", "points", "start", "ghost_path"):
        for axis, low, high in (("x", *window[:2]), ("y", *window[2:])):
            values = data[name][axis].dropna()
            assert ((values >= low - 1e-5) & (values <= high + 1e-5)).all(), (name, axis)
    picture = data["raster"].iloc[0]
    assert (picture.x, picture.x1, picture.y, picture.y1) == window


@pytest.mark.parametrize("start", [-10.0, 24.0])
def test_a_start_outside_the_window_keeps_the_axes(start):
    data = data_of("optimizers", start_x=start)
    window = SURFACES["Quadratic bowl"].window
    for name in ("path", "names", "start"):
        assert data[name].x.dropna().between(window[0], window[1]).all(), name


@pytest.mark.parametrize("start", [-10.0, 24.0])
def test_an_exit_is_marked_only_where_a_path_leaves(start):
    values = BY_NAME["optimizers"].fill({"start_x": start, "optimizers": ("GD",)})
    data = BY_NAME["optimizers"].view(values).figure.data
    path = data["path"]
    rest = path[path.name == "GD"]
    assert rest.border.sum() == 1  # it comes in and stays
    assert not any("×" in label for label in data["names"].label.astype(str))


def test_minima_are_the_registry_s():
    for name, surface in SURFACES.items():
        data = data_of("optimizers", surface=name)
        drawn = data["points"][data["points"].shown]
        assert set(drawn.kind) <= {"minimum"}
        expected = {tuple(m.point) for m in surface.minima}
        assert {(x, y) for x, y in zip(drawn.x, drawn.y, strict=True)} <= expected
        assert len(drawn) == len(expected) or name, name


def test_the_closed_form_is_drawn_over_the_run():
    data = data_of("optimizers", optimizers=("GD", "Momentum", "Nesterov"))
    theory, curve = data["theory"], data["curve"]
    assert len(theory) > 50
    apart = [
        min(abs(np.log(gap) - np.log(curve.gap[curve.step == step])))
        for step, gap in zip(theory.step, theory.gap, strict=True)
    ]
    assert max(apart) < 1e-6


def test_a_diverging_run_is_said_with_its_step():
    topic = BY_NAME["optimizers"]
    values = topic.scenario_values(topic.scenario("Momentum overflows"))
    result = descended(values, "Momentum")
    view = topic.view(values)
    assert result.diverged_at > 0
    event = next(event for event in view.events if "Momentum" in event)
    assert str(int(result.diverged_at)) in event
    assert not any("GD" in event and "diverges" in event for event in view.events)


def test_the_ends_of_the_curves_are_named():
    data = data_of("optimizers")
    labels = " ".join(data["ends"].label.astype(str))
    for name in BY_NAME["optimizers"].knobs["optimizers"].default:
        assert name in labels
