"""The main figure of Optimizers: what all methods share, the second run, the points, the arrows, and what scenarios say."""

import json
import math
import re

import numpy as np
import pyarrow as pa
import pytest

from charts.optimizers import TOPIC
from charts.optimizers_base import OWN, TWIN, given_problem, methods, run, surface_of
from core.descent import SurfaceProblem, descend
from core.optimizers import OPTIMIZERS
from core.schedules import SCHEDULES
from core.surfaces import SURFACES
from ui.figure import table


def values_of(**given):
    return TOPIC.fill(given)


def view_of(**given):
    return TOPIC.view(values_of(**given))


def ends(scenario):
    values = TOPIC.scenario_values(TOPIC.scenario(scenario))
    return {name: result.path[-1] for name, result in run(values).items()}


# What all methods share


def test_noise_is_the_same_for_all_methods_and_drawn_in_the_order_of_the_steps():
    values = values_of(optimizers=("GD", "Sign descent"), noise=2.0, seed=5, steps=40)
    results = run(values)
    noise = np.random.default_rng(5).standard_normal((41, 2)) * 2.0
    for result in results.values():
        exact = SURFACES["Quadratic bowl"].grad(result.path, kappa=50.0, theta=0.0)
        np.testing.assert_allclose(result.gradient - exact, noise, atol=1e-12)
    assert "Gradient noise σ 2, seed 5." in view_of(noise=2.0, seed=5).figure.caption


def test_a_mini_batch_is_the_mean_over_its_rows():
    values = values_of(surface="Logistic regression", optimizers=("GD",), batch_size=5, seed=3, steps=30)
    (result,) = run(values).values()
    samples = SURFACES["Logistic regression"].samples
    problem = given_problem(values)
    for t in range(30):
        rows = problem.indices(t)
        z = samples.x[rows] * result.path[t, 0] + result.path[t, 1]
        residual = 1 / (1 + np.exp(-z)) - samples.y[rows]
        np.testing.assert_allclose(
            result.gradient[t], [np.mean(residual * samples.x[rows]), np.mean(residual)], atol=1e-12
        )


def test_all_samples_are_the_exact_gradient():
    whole = run(values_of(surface="Linear regression", batch_size=64))
    problem = SurfaceProblem(SURFACES["Linear regression"])
    for name, method in methods(values_of(surface="Linear regression")).items():
        alone = descend(problem, method.rule(), SURFACES["Linear regression"].starts[0], 60)
        np.testing.assert_array_equal(whole[name].path, alone.path)


@pytest.mark.parametrize(("clip", "size"), [("norm", 0.7), ("value", 0.4)])
def test_clipping_limits_what_the_method_sees(clip, size):
    values = values_of(optimizers=("GD", "Momentum"), clip=clip, clip_at=size, steps=50)
    for result in run(values).values():
        raw = SURFACES["Quadratic bowl"].grad(result.path, kappa=50.0, theta=0.0)
        if clip == "value":
            expected = np.clip(raw, -size, size)
        else:
            norm = np.hypot(*raw.T)[:, None]
            expected = raw * np.minimum(1, size / (norm + 1e-6))
        np.testing.assert_allclose(result.gradient, expected, atol=1e-13)
    reading = TOPIC.view(values).reading
    count = int(np.sum(np.any(run(values)["GD"].raw != run(values)["GD"].gradient, axis=1)[:-1]))
    assert f"GD {count}" in reading


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_multiplies_every_step_of_gradient_descent(schedule):
    values = values_of(optimizers=("GD",), schedule=schedule, steps=25, gd_lr=0.2)
    (result,) = run(values).values()
    entry = SCHEDULES[schedule]
    factors = entry.factor(np.arange(25), 25, **{knob.name: knob.default for knob in entry.knobs})
    np.testing.assert_allclose(
        np.diff(result.path, axis=0), -0.2 * factors[:, None] * result.gradient[:-1], atol=1e-13
    )
    said = f"{schedule} schedule" in TOPIC.view(values).figure.caption.lower()
    assert said == (schedule != "constant")


def test_what_they_share_is_written_into_the_figure():
    titles = view_of(noise=1.0, clip="value", schedule="cosine").figure.data["titles"]
    (text,) = titles[titles.panel == "left"].text.astype(str)
    assert all(word in text for word in ("noise σ 1", "clipped by value at 1", "cosine"))
    plain = view_of().figure.data["titles"]
    assert list(plain[plain.panel == "left"].text.astype(str)) == [""]


def test_no_closed_form_is_drawn_where_it_does_not_hold():
    assert view_of().figure.data["theory"].shown.any()
    for given in ({"noise": 1.0}, {"clip": "norm"}, {"schedule": "cosine"}, {"gd_weight_decay": 0.1}):
        figure = view_of(optimizers=("GD",), **given).figure
        assert not figure.data["theory"].shown.any(), given
        assert "limit 2/λ₂" not in view_of(optimizers=("GD",), **given).reading, given


# A second run, conventions, presets


def test_the_second_run_has_settings_of_its_own():
    values = values_of(optimizers=("Adam",), twin="Adam", twin_lr=0.05, twin_bias_correction=False)
    first, second = run(values)["Adam"], run(values)["Adam" + TWIN]
    problem = SurfaceProblem(SURFACES["Quadratic bowl"], {"kappa": 50.0, "theta": 0.0})
    alone = descend(problem, OPTIMIZERS["Adam"].build(lr=0.05, bias_correction=False), [-5.0, -2.0], 60)
    np.testing.assert_array_equal(second.path, alone.path)
    assert not np.array_equal(first.path, second.path)
    assert "Adam ′ η 0.05" in TOPIC.view(values).figure.caption


def test_a_second_run_begins_as_the_first_does_by_default():
    values = values_of(optimizers=("RMSProp",), twin="RMSProp")
    np.testing.assert_array_equal(run(values)["RMSProp"].path, run(values)["RMSProp" + TWIN].path)


@pytest.mark.parametrize("framework", ["Keras", "optax"])
def test_the_convention_is_that_of_the_framework(framework):
    values = values_of(optimizers=("RMSProp",), convention=framework, rmsprop_eps=0.1)
    problem = SurfaceProblem(SURFACES["Quadratic bowl"], {"kappa": 50.0, "theta": 0.0})
    rule = OPTIMIZERS["RMSProp"].build(convention=framework, lr=values["rmsprop_lr"], eps=0.1)
    expected = descend(problem, rule, [-5.0, -2.0], 60).path
    np.testing.assert_array_equal(run(values)["RMSProp"].path, expected)
    assert f"{framework}'s formulas" in TOPIC.view(values).figure.caption


def test_presets_are_legal_values_of_the_knobs_in_view():
    for name in OPTIMIZERS:
        values = values_of(optimizers=(name,), edit=name)
        (offered,) = [p for group, p in TOPIC.presets(values).items() if group.startswith("More of")]
        for changes in offered.values():
            for knob, value in changes.items():
                assert TOPIC.knobs[knob].check(value) == value
                assert knob in TOPIC.shown(values)


# Marks


def test_every_stationary_point_in_the_window_is_marked_on_demand():
    surface = SURFACES["Six-hump camel"]
    drawn = view_of(surface="Six-hump camel", points=True).figure.data["points"]
    low_x, high_x, low_y, high_y = surface.window
    inside = [
        p for p in surface.stationary if low_x <= p.point[0] <= high_x and low_y <= p.point[1] <= high_y
    ]
    assert {(x, y) for x, y in zip(drawn.x, drawn.y, strict=True)} == {p.point for p in inside}
    for _, row in drawn.iterrows():
        assert str(row.point_name).startswith(str(row.kind))


def test_arrows_lead_to_the_next_point_and_downhill():
    values = values_of(surface="Himmelblau", optimizers=("GD",), steps=50)
    result = run(values)["GD"]
    rows = TOPIC.view(values).figure.data["path"]
    rows = rows[(rows["last"] > 0) & (rows.step < 50)]
    assert len(rows) >= 45
    step = rows.step.to_numpy()
    np.testing.assert_allclose(rows[["next_x", "next_y"]], result.path[step + 1], atol=1e-5)
    # On a screen, where a unit of y is as long as one of x / 0.78 in the square window.
    down = -result.gradient[step] * [1, 0.78]
    moved = np.diff(result.path, axis=0)[step] * [1, 0.78]
    well = np.hypot(*result.gradient[step].T) > 1e-3
    for angle, way in ((rows.downhill, down), (rows.ahead, moved)):
        turn = np.radians(angle.to_numpy(float)[well] / 10)
        along = way[well, 0] * np.sin(turn) + way[well, 1] * np.cos(turn)
        np.testing.assert_allclose(along / np.hypot(*way[well].T), 1, atol=1e-6)


def test_no_way_down_is_no_direction():
    values = values_of(surface="Saddle", optimizers=("GD",), start_x=0.0, start_y=0.0, steps=3)
    rows = TOPIC.view(values).figure.data["path"]
    assert (rows[rows["last"] > 0].downhill == -1).all()


def test_an_arrow_out_of_the_window_ends_at_its_border():
    values = values_of(optimizers=("GD",), gd_lr=0.6, steps=12)
    rows = TOPIC.view(values).figure.data["path"]
    rows = rows[rows["last"] > 0]
    assert ((rows.next_y >= -3.5) & (rows.next_y <= 3.0)).all()
    inner = rows[~rows.border]
    assert ((inner.next_y == -3.5) | (inner.next_y == 3.0)).any()


def test_to_move_one_rate_runs_one_method():
    before, after = (run(values_of(gd_lr=lr)) for lr in (0.11, 0.12))
    assert [name for name in before if before[name] is not after[name]] == ["GD"]
    moved = run(values_of(gd_lr=0.12, start_x=-4.9))
    assert all(moved[name].path[0, 0] == -4.9 for name in moved)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"seed": 6}, False),
        ({"noise": 0.4}, False),
        ({"clip_at": 0.3}, False),
        ({"schedule_floor": 0.5}, False),
        ({"convention": "Keras"}, False),
        ({"kappa": 20.0}, False),
        ({"steps": 21}, False),
        ({"edit": "Adam", "points": True}, True),
    ],
)
def test_a_run_is_computed_anew_for_all_that_it_hangs_on(given, same):
    base = {"optimizers": ("RMSProp",), "noise": 0.3, "clip": "norm", "clip_at": 0.5, "schedule": "cosine",
            "rmsprop_eps": 0.1, "steps": 20, "seed": 5}  # fmt: skip
    one, other = run(values_of(**base))["RMSProp"], run(values_of(**{**base, **given}))["RMSProp"]
    assert (one is other) == same
    assert same or one.path.shape != other.path.shape or not np.array_equal(one.path, other.path)


# Size


def test_the_default_figure_is_a_short_message():
    figure = TOPIC.view(TOPIC.defaults()).figure
    sent = len(json.dumps(figure.spec(1080)))
    for frame in figure.data.values():
        sink = pa.BufferOutputStream()
        drawn = table(frame)
        with pa.ipc.new_stream(sink, drawn.schema) as stream:
            stream.write_table(drawn)
        sent += sink.getvalue().size
    assert sent < 40_000


# A typed function


@pytest.mark.parametrize(
    "text", ["3", "x", "log(x)", "sqrt(-1 - x^2)", "1e300*exp(x^2)", "abs(x) + exp(y) - 1/x"]
)
def test_any_typed_function_can_be_drawn(text):
    view = view_of(surface=OWN, formula=text)
    assert "nan" not in view.reading.lower().replace("finan", "")
    for frame in view.figure.data.values():
        for column in frame.select_dtypes("number"):
            assert not np.isinf(frame[column].to_numpy(float)).any()


def test_a_typed_function_is_the_surface_that_it_describes():
    ours = values_of(
        surface=OWN,
        formula="(1-x)^2 + 100*(y-x^2)^2",
        start_x=-1.2,
        start_y=1.0,
        gd_lr=0.001,
        optimizers=("GD",),
    )
    registry = values_of(surface="Rosenbrock", gd_lr=0.001, optimizers=("GD",))
    np.testing.assert_allclose(run(ours)["GD"].path, run(registry)["GD"].path, rtol=1e-9)


# What the scenarios' notices say


def test_the_cliff_throws_and_clipping_holds():
    assert ends("Over the cliff")["GD"][0] > 20
    assert run(TOPIC.scenario_values(TOPIC.scenario("Over the cliff")))["GD"].path[1, 0] > 24
    clipped = ends("Clipped at the cliff")
    assert all(math.hypot(*clipped[name]) < 0.1 for name in ("GD", "Momentum"))


def test_the_plateau_stops_those_that_follow_the_size_of_the_gradient():
    after = {name: math.hypot(*end) for name, end in ends("Plateau").items()}
    assert all(after[name] < 0.5 for name in ("RMSProp", "Adam", "Sign descent"))
    assert all(after[name] > 5 for name in ("GD", "Momentum"))


def test_adagrad_is_left_behind():
    after = {name: math.dist(end, (1, 1)) for name, end in ends("AdaGrad stalls").items()}
    assert after["AdaGrad"] == max(after.values())


def test_adam_ends_at_the_worst_point_and_amsgrad_at_the_best():
    after = ends("Adam against AMSGrad")
    assert after["Adam"][0] > 0.85
    assert after["AMSGrad"][0] < -0.85


def test_momentum_passes_and_gradient_descent_stays():
    after = ends("Past the local minimum")
    assert math.dist(after["GD"], (2, 0)) < 1e-3
    assert math.dist(after["Momentum"], (-2, 0)) < 1e-2


def test_a_cosine_ends_nearer_than_a_constant_rate():
    minimum = SURFACES["Linear regression"].minima[0].point
    constant, cosine = ends("Mini-batches"), ends("Cosine to the end")
    for name in constant:
        assert math.dist(cosine[name], minimum) < math.dist(constant[name], minimum)


def test_newton_jumps_onto_the_saddle():
    after = ends("Newton at a saddle")
    assert math.hypot(*after["Newton"]) == 0
    assert math.hypot(*after["GD"]) > 10


def test_uncorrected_steps_are_longer_than_the_rate():
    results = run(TOPIC.scenario_values(TOPIC.scenario("Without bias correction")))
    longest = {name: np.abs(np.diff(r.path, axis=0)).max() for name, r in results.items()}
    assert longest["Adam"] <= 0.3 * 1.0001
    assert longest["Adam" + TWIN] > 3 * 0.3


def test_decay_moves_adamw_off_the_minimum_and_adam_hardly():
    after = ends("AdamW against Adam + L2")
    assert math.dist(after["Adam"], (3, 2)) < 0.1 < math.dist(after["AdamW"], (3, 2))


# What the printed words say


@pytest.mark.parametrize("scenario", ["Ravine", "Momentum overflows", "Escape a saddle", "Your own surface"])
def test_the_key_names_the_marks_of_the_picture_and_no_others(scenario):
    values = TOPIC.scenario_values(TOPIC.scenario(scenario))
    surface, key = surface_of(values), TOPIC.view(values).figure.key
    (low_x, high_x), (low_y, high_y) = window = np.reshape(surface.window, (2, 2))
    inside = [
        p for p in surface.stationary if low_x <= p.point[0] <= high_x and low_y <= p.point[1] <= high_y
    ]
    assert ("minima" in key) == any(p.kind == "minimum" for p in inside)
    assert ("saddles" in key) == any(p.kind == "saddle" and values["points"] for p in inside)
    leaving = [np.any((r.path < window[:, 0]) | (r.path > window[:, 1])) for r in run(values).values()]
    assert ("leaves the window" in key) == any(leaving)
    assert ("closed form" in key) == (surface.name == "Quadratic bowl")


def test_conditions_stand_line_by_line_where_there_is_little_room():
    figure = view_of(noise=2.0, clip="norm", schedule="cosine").figure
    shown = figure.data["titles"].set_index("panel")["text"]
    lines = [str(shown[f"left{k}"]) for k in (2, 1, 0)]
    assert all(lines)
    assert "; ".join(lines) == shown["left"]
    assert "left2" in str(figure.spec(720))
    assert "left2" not in str(figure.spec(1080))


@pytest.mark.parametrize("name", ["Beale", "Rosenbrock", "Ackley"])
def test_no_isoline_is_a_speck_or_a_sliver(name):
    window = SURFACES[name].window
    drawn = view_of(surface=name).figure.data["isolines"]
    assert drawn.line.nunique() > 5
    for _, line in drawn.groupby("line"):
        x = (line.x.to_numpy() - window[0]) / (window[1] - window[0]) * 537
        y = (line.y.to_numpy() - window[2]) / (window[3] - window[2]) * 419
        length = np.hypot(np.diff(x), np.diff(y)).sum()
        assert length >= 9.9
        if math.hypot(x[-1] - x[0], y[-1] - y[0]) < 9.9:
            area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
            assert 2 * area / length > 2.9


def test_a_run_that_overflows_has_one_step_for_each_event_everywhere():
    values = TOPIC.scenario_values(TOPIC.scenario("Momentum overflows"))
    view, result = TOPIC.view(values), run(values)["Momentum"]
    window = np.reshape(surface_of(values).window, (2, 2))
    outside = ~((result.path >= window[:, 0]) & (result.path <= window[:, 1])).all(axis=1)
    left = int(np.argmax(outside))
    (event,) = view.events
    assert (
        f"leaves the window at step {left}, is no longer a finite number from step {result.diverged_at} on"
        in event
    )
    assert f"× {left}" in list(view.figure.data["names"].label)
    beyond = int(np.argmax(~(result.value <= 100 * result.value[0])))
    assert f"Momentum ↑{beyond}" in list(view.figure.data["ends"].label)


def test_without_optimizers_the_loss_axis_has_no_label():
    data = view_of(optimizers=()).figure.data
    low, high = sorted(data["curve"].gap)
    labeled = [m * 10.0**k for m in (1, 2, 5) for k in range(-3, 4)]
    # Ticks of a log axis are whole numbers of a decade, or tenths of them in so short a one; 1.5 would be named 2.
    assert not any(0.95 * low <= value <= 1.05 * high for value in labeled)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rule_is_told_in_the_symbols_of_its_controls(name):
    why = view_of(optimizers=(name,), edit=name).why
    assert not re.search(r"\blr\b|\beps\b|\de-\d", why)
    assert f"**{name}** (η " in why
