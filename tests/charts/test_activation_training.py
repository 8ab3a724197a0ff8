"""The tabs that train networks: their numbers are core's, their pictures and their progress hold what they promise."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import vl_convert
from PIL import Image

from charts import activation_training, progress, theme
from charts.activation_training import DYING_KNOBS, TRAIN_KNOBS, dying_blocks, train_blocks
from charts.figure import Figure
from charts.raster import two_class_image
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.knobs import number
from core.network import LOSSES, forward, init_network, learning_rate_sweep, train
from core.optimizers import OPTIMIZERS
from core.streams import stream
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks
from ui.figure import table

VERSION = "6.4"
STYLES = theme.styles(ACTIVATIONS)
SETTINGS = {name: {k.name: k.default for k in entry.knobs} for name, entry in ACTIVATIONS.items()}
NAMES = ("sigmoid", "tanh", "ReLU", "GELU")


@cache
def dying(hidden="ReLU", data="circles", lr=0.5, bias=0.0, batch=16, layers=2, **changes):
    return dying_blocks(hidden, SETTINGS[hidden] | changes, data, lr, bias, batch, layers)


@cache
def trained(names=NAMES, problem="spiral", lr=0.01, layers=2, seed=0):
    return train_blocks(names, SETTINGS, STYLES, problem, lr, layers, seed)


@cache
def run_of(hidden="ReLU", data="circles", lr=0.5, bias=0.0, batch=16, layers=2, **changes):
    """Train what the tab says it trains, with core alone."""
    x, label = DATASETS[data].draw(64, 0.1, stream(0))
    return train(
        init_network((2, *[16] * layers, 1), INITIALIZERS["He normal"], seed=0, bias=bias), x, label,
        activation=ACTIVATIONS[hidden], knobs=SETTINGS[hidden] | changes, rule=OPTIMIZERS["GD"].build(lr=lr), steps=200,
        loss=LOSSES["squared error"], batch_size=None if batch == 64 else batch,
    )  # fmt: skip


@cache
def side_run(name, problem="spiral", lr=0.01, layers=2, seed=0):
    x, label = DATASETS[problem].draw(100, 0.05, stream(seed, 2))
    return train(
        init_network((2, *[16] * layers, 1), INITIALIZERS["Glorot normal"], seed=seed), x, label,
        activation=ACTIVATIONS[name], knobs=SETTINGS[name], rule=OPTIMIZERS["Adam"].build(lr=lr), steps=400,
        snapshots=range(401),
    )  # fmt: skip


def cells(text):
    """Return the rows of the Markdown table in a text, by the name in the first column."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| **")]
    return {line[0].strip("*").split(" (")[0]: line[1:] for line in lines}


# One case a row: usual, other depth and batches, a bias that kills, and runs that diverge in several ways.
CASES = {
    "default": {},
    "deep": {"layers": 3, "batch": 1, "lr": 0.1, "data": "moons"},
    "biased": {"bias": -1.5, "batch": 64, "data": "spiral"},
    "leaky": {"hidden": "leaky ReLU", "slope": 0.3, "data": "xor"},
    "identity": {"hidden": "identity", "lr": 10.0, "batch": 64, "bias": 1.0, "layers": 3},
    "squared": {
        "hidden": "squared ReLU",
        "lr": 10.0,
        "bias": -1.0,
        "batch": 4,
        "data": "spiral",
        "layers": 3,
    },
    "all dead": {"lr": 1.2, "batch": 64},
    "no slope": {"hidden": "step", "lr": 0.001},
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def last_finite(run):
    """Return the last step at which a run is finite."""
    return 200 if run.diverged_at < 0 else int(run.diverged_at) - 1


# Dying units: the numbers


@every_case
def test_a_run_is_drawn_as_core_trains_it(case):
    figure, run = dying(**case)[0], run_of(**case)
    layers = run.dead.shape[1]
    end = last_finite(run) + 1
    units = figure.data["units"]
    assert len(units) == 201 * layers
    for layer in range(layers):
        part = units[units.line == f"layer {layer + 1}"]
        np.testing.assert_array_equal(part.step, run.step)
        kept = part[:end]
        np.testing.assert_array_equal(kept.y, run.dead[:end, layer])
        np.testing.assert_array_equal(kept.batch, run.dead_on_batch[:end, layer])
        assert part[end:][["y", "batch"]].isna().all(axis=None)
    loss = figure.data["loss"].dropna()
    measured = loss[loss.step.isin(run.step) & (loss.y < 1e9)]
    shown = np.isfinite(run.loss) & (run.loss <= 1e9) & (run.loss > 0)
    np.testing.assert_array_equal(measured.step, run.step[shown])
    np.testing.assert_array_equal(measured.y, run.loss[shown])


@every_case
def test_every_death_and_revival_is_a_tick_in_its_lane(case):
    figure, run = dying(**case)[0], run_of(**case)
    ticks = figure.data["events"]
    ticks = ticks[ticks.shown]
    found = {(str(note).split()[-1], str(note).split()[3], step): int(str(note).split()[0])
             for note, step in zip(ticks.note, ticks.step, strict=True)}  # fmt: skip
    expected = {
        (word, str(layer + 1), step): count
        for word, counts in (("died", run.died), ("revived", run.revived))
        for (step, layer), count in np.ndenumerate(counts)
        if count and step <= last_finite(run)
    }
    assert found == expected
    died = ticks.note.astype(str).str.endswith("died").to_numpy(bool)
    if died.any() and not died.all():
        assert ticks.y[died].min() > ticks.y[~died].max()
    assert np.all(ticks.y < 0)


@every_case
def test_the_text_counts_as_core_counts(case):
    text, run = dying(**case)[1], run_of(**case)
    end = last_finite(run) + 1
    found = re.search(
        r"there (?:is|are) (\d+) deaths? and (\d+) revivals?(?:, the last one at step (\d+))?", text
    )
    assert (int(found[1]), int(found[2])) == (run.died[:end].sum(), run.revived[:end].sum())
    revivals = np.flatnonzero(run.revived[:end].sum(axis=1))
    assert (found[3] is None) == (len(revivals) == 0)
    if len(revivals):
        assert int(found[3]) == revivals[-1]
    start = round(16 * np.nansum(run.dead[0]))
    assert re.match(rf"Of {16 * run.dead.shape[1]} hidden units, {start} (is|are) dead", text)
    assert "measured: 0 revivals" in text
    if run.diverged_at >= 0:
        assert f"from step {run.diverged_at} on it is not finite" in text
        assert "at the end" not in text
    else:
        assert f"from {number(run.loss[0])} to {number(run.loss[-1])}," in text
        assert (("on its way to diverge") in text) == (run.loss[-1] > run.loss[0])


def test_the_default_run_loses_units_gains_some_back_and_learns():
    values = {knob.name: knob.default for knob in DYING_KNOBS}
    run = run_of(values["hidden"], values["data"], values["lr"], values["bias"], values["dead_batch"],
                 values["hidden_layers"])  # fmt: skip
    assert run.diverged_at == -1
    assert run.dead[-1].min() > 0.2
    assert run.revived.sum() >= 3
    assert run.loss[-1] < 0.1 * run.loss[0]


@pytest.mark.parametrize("hidden", ["ReLU", "ELU", "softplus"])
def test_the_table_holds_the_runs_of_the_other_functions(hidden):
    text = dying(hidden, data="moons", bias=-0.7)[2]
    found = cells(text)
    assert list(found) == list(dict.fromkeys(["ReLU", "leaky ReLU", "ELU", "GELU", hidden]))
    for name, row in found.items():
        run = run_of(name, data="moons", bias=-0.7)
        dead, quiet = (
            f"{number(100 * float(share[-1].mean()))}%" for share in (run.dead, run.never_positive)
        )
        loss, right = number(float(run.loss[-1])), f"{number(100 * float(run.accuracy[-1]))}%"
        end, diverged = last_finite(run) + 1, run.diverged_at >= 0
        counts = [str(run.died[:end].sum()), str(run.revived[:end].sum())]
        if diverged:
            assert row == ["–", "–", *counts, "–", "–", f"step {run.diverged_at}"]
        else:
            assert row == [dead, quiet, *counts, loss, right, "never"]
        assert (
            bool(re.search(rf"No longer finite: .*\b{name}.* from step {run.diverged_at}", text)) == diverged
        )
    first = run_of("ReLU", data="moons", bias=-0.7).never_positive[0, 0]
    assert f"At the start {number(100 * first)}% of the units of layer 1" in text


def test_what_overflow_leaves_is_not_counted():
    # At rate 10 slopes overflow from step 4: units "die" and "revive" in what is left of the run.
    for name in ("ReLU", "ELU", "GELU"):
        run = run_of(name, lr=10.0)
        assert run.diverged_at >= 4
        units = 16 * np.nansum(run.dead[0]) + run.deaths.sum() - run.revivals.sum()
        assert 0 <= units <= 32
        assert cells(dying(lr=10.0)[2])[name][2:4] == [str(run.deaths.sum()), str(run.revivals.sum())]
    assert run_of(lr=10.0).died.sum() > run_of(lr=10.0).deaths.sum()
    assert "NaN" not in "".join(dying(lr=10.0)[1:3])


def test_the_function_that_was_chosen_keeps_its_settings():
    steep, flat = (dying("leaky ReLU", slope=slope) for slope in (0.3, 0.01))
    assert cells(steep[2])["leaky ReLU"] != cells(flat[2])["leaky ReLU"]
    assert cells(steep[2])["ReLU"] == cells(flat[2])["ReLU"]
    assert "0.3)" in steep[0].caption
    assert steep[0].caption != flat[0].caption


@pytest.mark.parametrize("case", ["default", "deep", "identity"])
def test_the_sweep_is_core_s(case):
    given = {"hidden": "ReLU", "data": "circles", "bias": 0.0, "batch": 16, "layers": 2} | CASES[case]
    figure = dying(**CASES[case])[3]
    x, label = DATASETS[given["data"]].draw(64, 0.1, stream(0))
    sweep = learning_rate_sweep(
        x, label, activation=ACTIVATIONS[given["hidden"]], initializer=INITIALIZERS["He normal"], bias=given["bias"],
        sizes=(2, *[16] * given["layers"], 1), batch_size=None if given["batch"] == 64 else given["batch"],
        knobs=SETTINGS[given["hidden"]],
    )  # fmt: skip
    for layer, dead in enumerate(sweep.dead):
        part = figure.data["dead"][figure.data["dead"].line == f"layer {layer + 1}"]
        np.testing.assert_array_equal(part.lr, sweep.lr)
        finite = [
            [share for share, at in zip(*pair, strict=True) if at < 0]
            for pair in zip(dead, sweep.diverged_at, strict=True)
        ]
        np.testing.assert_allclose(part.y, [np.mean(shares) if shares else math.nan for shares in finite])
        assert list(part.every) == [len(shares) == 3 for shares in finite]
    drawn = figure.data["loss"].dropna()
    kept = np.where(sweep.diverged_at < 0, sweep.loss, math.inf)
    median = dict(zip(sweep.lr, np.median(kept, axis=1), strict=True))
    np.testing.assert_array_equal(drawn.y, [median[lr] for lr in drawn.lr])
    region = figure.data["diverged"]
    wide = region[region.high > region.lr]
    for k, lr in enumerate(sweep.lr):
        bad = np.mean((sweep.diverged_at[k] >= 0) | ~(sweep.loss[k] <= sweep.start_loss[k])) >= 0.5
        assert bad == bool(np.any((wide.lr <= lr * 1.0001) & (wide.high >= lr * 0.9999)))
    assert ("every run diverges" in list(figure.data["loss_ends"].line)) == (not len(drawn))


@pytest.mark.parametrize("case", ["default", "biased", "leaky", "no slope", "identity"])
def test_the_text_of_a_sweep_agrees_with_its_picture(case):
    figure, text = dying(**CASES[case])[3:]
    frame, region = figure.data["dead"], figure.data["diverged"]
    lr = np.unique(frame.lr)
    shares = {line: part.set_index("lr").y for line, part in frame.groupby("line", observed=True)}
    first = {line: share[lr[0]] for line, share in shares.items()}
    worst = max(first, key=lambda line: first[line])
    said = f"{number(100 * first[worst])}% of {worst} are" if first[worst] else "no unit is"
    if math.isnan(first[worst]):
        assert text.startswith("The smallest rate at which")
    else:
        assert text.startswith(f"At the smallest rate, 0.01, {said} dead. ")
    most = re.search(r"most are dead at ([\d.]+): ([\d.]+)% of (layer \d), with", text)
    if most:
        at = min(lr, key=lambda rate: abs(rate - float(most[1])))
        assert f"{number(100 * max(share[at] for share in shares.values()))}" == most[2]
        assert number(100 * shares[most[3]][at]) == most[2]
    elif case != "identity":  # it diverges at every rate
        assert "no run diverges is a unit dead" in text
    wide = region[region.high > region.lr]
    found = re.search(r"runs diverge is ([\d.]+)(?:; the red begins halfway to it, at ([\d.]+))?\.$", text)
    assert (found is None) == (not len(wide))
    if found is not None:
        begin = wide.lr.min()
        assert number(begin) == (found[2] or "0.01")
        rate = next(rate for rate in lr if number(rate) == found[1])
        before = lr[lr < rate]
        if len(before):
            assert begin == pytest.approx(math.sqrt(before[-1] * rate))


@pytest.mark.parametrize(("lr", "shown"), [(0.5, True), (0.001, False), (10.0, False)])
def test_the_run_is_marked_in_the_sweep_where_the_sweep_has_its_rate(lr, shown):
    here = dying(lr=lr)[3].data["here"]
    assert list(here.shown) == [shown]
    if shown:
        assert here.lr[0] == lr


# Side by side: the numbers


def test_losses_and_accuracies_are_those_of_core():
    figure, text = trained()
    curves, pictures, found = figure.data["curves"], figure.data["pictures"], cells(text)
    for panel, name in enumerate(NAMES):
        run = side_run(name)
        part = curves[curves.panel == panel]
        assert set(part.name) == {name}
        np.testing.assert_array_equal(part.epoch, np.arange(0, 401, 4))
        np.testing.assert_allclose(part.loss, run.loss[::4], rtol=1e-12)
        mine = pictures[pictures.panel == panel]
        for epoch, label in zip(mine.epoch, mine.label, strict=True):
            share = re.fullmatch(rf"{name} ([\d.]+)%", label)[1]
            assert float(share) == pytest.approx(100 * run.accuracy[epoch], abs=0.51)
            assert (share == "100") == (run.accuracy[epoch] == 1)
        right = run.accuracy[::4] == 1
        since = next((4 * k for k in range(101) if right[k:].all()), None)
        assert found[name] == [
            number(float(run.loss[-1])),
            f"{number(100 * float(run.accuracy[-1]))}%",
            "never" if since is None else f"epoch {since}",
            "never",
        ]
    assert "tanh, ReLU and GELU get every point right; the lowest loss is that of GELU" in text


def decode(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA"))


def test_a_picture_shows_what_the_network_says_at_the_center_of_each_pixel():
    pictures = trained()[0].data["pictures"]
    run = side_run("tanh")
    mine = pictures[pictures.panel == 1]
    size = decode(mine.url.iloc[0]).shape[0]
    centers = 1.65 * (2 * (np.arange(size) + 0.5) / size - 1)
    grid = np.stack(np.meshgrid(centers, centers[::-1]), axis=-1).reshape(-1, 2)  # the top row first
    for epoch, uri in zip(mine.epoch, mine.url, strict=True):
        output = forward(run.snapshots.at(epoch), grid, ACTIVATIONS["tanh"]).output.reshape(size, size)
        drawn = decode(uri).astype(int)
        warm = drawn[..., 0] > drawn[..., 2]
        sure = np.abs(output) > 1e-6
        np.testing.assert_array_equal(warm[sure], (output > 0)[sure])
        order = np.argsort(np.abs(output).ravel())
        assert np.all(np.diff(drawn[..., 3].ravel()[order]) >= 0), "the surer the stronger"


@pytest.mark.parametrize("epoch", range(0, 401, 4))
def test_every_epoch_of_the_slider_shows_one_snapshot(epoch):
    figure = trained()[0]
    for name, count in (("moments", 1), ("pictures", 4), ("curves", 4)):
        frame = figure.data[name]
        present = frame[(frame.epoch <= epoch) & (epoch < frame.until)]
        assert len(present) == count
        assert len(set(present.epoch)) == 1
    slider = figure.spec()["params"][0]["bind"]
    assert (slider["min"], slider["max"], slider["step"]) == (0, 400, 4)


def test_snapshots_are_denser_early():
    epochs = trained()[0].data["moments"].epoch.to_numpy()
    assert (epochs[0], epochs[-1]) == (0, 400)
    assert 15 <= len(epochs) <= 25
    assert np.all(np.diff(epochs)[1:] >= np.diff(epochs)[:-1])


@pytest.mark.parametrize("names", [("ReLU",), ("GELU", "identity"), ("sine", "Mish", "ReLU")])
def test_slots_without_a_function_stay_empty(names):
    figure = trained(names)[0]
    points = figure.data["points"]
    for panel in range(4):
        assert set(points[f"shown{panel}"]) == {panel < len(names)}
    assert set(figure.data["pictures"].panel) == set(range(len(names)))
    assert list(figure.data["ends"].label) == list(names)
    assert figure.spec() is trained(("tanh", "ReLU", "GELU", "Swish")[: len(names)])[0].spec()
    squares = {unit.data for unit in marks(figure.spec()) if unit.kind == "image"}
    assert squares == {"pictures"}
    count = sum(unit.kind == "image" for unit in marks(figure.spec()))
    assert count == {1: 1, 2: 2, 3: 4}[len(names)]


@pytest.mark.parametrize("names", [("step",), ("ReLU",), ("step", "identity"), NAMES])
def test_the_axis_of_losses_spans_a_decade(names):
    figure, text = trained(names)
    reach, loss = figure.data["reach"].loss, figure.data["curves"].loss.dropna()
    low, high = min(loss.min(), math.log(2)), max(loss.max(), math.log(2))
    np.testing.assert_allclose(sorted(reach), [min(low, high / 10), high])
    assert ("the lowest loss is that of" in text) == (len(names) > 1)
    assert ("rank" in text) == (len(names) > 1)
    if len(names) == 1:
        assert f"its loss goes from {number(loss.iloc[0])} to {number(loss.iloc[-1])}" in text


@pytest.mark.parametrize("name", ["sigmoid", "leaky ReLU"])
def test_the_default_run_is_what_the_tab_shows_first(name):
    run = activation_training.default_runs((name,))[name]
    values = {knob.name: knob.default for knob in TRAIN_KNOBS}
    shown = trained((name,), *list(values.values())[1:])[1]
    assert cells(shown)[name][0] == number(float(run.loss[-1]))
    np.testing.assert_allclose(run.loss, side_run(name).loss[::4], rtol=1e-12)
    trained(("tanh",))
    before = activation_training.trained_run.cache_info().misses
    assert activation_training.default_runs(("tanh", name))[name] is run
    assert activation_training.trained_run.cache_info().misses == before, "nothing is trained twice"


def test_the_data_are_those_that_are_trained_on():
    points = trained(problem="moons", seed=5)[0].data["points"]
    x, label = DATASETS["moons"].draw(100, 0.05, stream(5, 2))
    np.testing.assert_array_equal(points[["x", "y"]], x)
    np.testing.assert_array_equal(points.slot, [theme.SLOTS[theme.CLASSES[k]] for k in label])


def test_no_function_and_too_many():
    assert trained(()) == ["Choose at least one function."]
    with pytest.raises(ValueError, match="4 panels"):
        trained(tuple(ACTIVATIONS)[:5])


@pytest.mark.parametrize(
    ("solved", "said"),
    [([0, 0], "none gets every"), ([0, 1], "b gets every"), ([1, 1], "a and b get every")],
)
def test_who_gets_every_point_right(monkeypatch, solved, said):
    runs = dict(zip(("ReLU", "tanh"), map(side_run, ("ReLU", "tanh")), strict=True))
    results = {
        name: activation_training._Trained(run, ())
        for name, run in zip(("a", "b"), runs.values(), strict=True)
    }
    answers = {
        id(results[name].run): 8 if yes else None for name, yes in zip(("a", "b"), solved, strict=True)
    }
    monkeypatch.setattr(activation_training, "solved_from", lambda run: answers[id(run)])
    assert f"After 400 epochs {said} point right" in activation_training._train_text(results, ["a", "b"])


# The picture of two classes


def test_the_hue_changes_at_one_half_and_nowhere_else():
    p = np.linspace(0, 1, 40)[None, :].repeat(2, axis=0)
    drawn = decode(two_class_image(p)).astype(int)
    cold, warm = ([int(hue[i : i + 2], 16) for i in (1, 3, 5)] for hue in theme.CLASS_RASTER)
    np.testing.assert_array_equal(drawn[0, :, :3], np.where(p[0][:, None] > 0.5, warm, cold))
    assert np.all(drawn[..., 3] > 20), "the faintest is seen"
    np.testing.assert_array_equal(drawn[0, :, 3], drawn[0, ::-1, 3])
    assert len(set(drawn[0, :, 3])) == 7
    assert np.all(np.diff(drawn[0, 20:, 3]) >= 0)


def test_low_y_is_at_the_bottom_and_no_number_is_transparent():
    drawn = decode(two_class_image(np.array([[1.0, 1.0], [0.0, np.nan]])))
    assert drawn[1, 0, 0] > drawn[1, 0, 2]
    assert drawn[0, 0, 0] < drawn[0, 0, 2]
    assert drawn[0, 1, 3] == 0
    assert np.all(drawn[[0, 1, 1], [0, 0, 1], 3] == drawn[..., 3].max())


# Runs that diverge


@every_case
def test_figures_hold_finite_numbers_whatever_happens(case):
    for figure in (block for block in dying(**case) if isinstance(block, Figure)):
        check_data(figure)


def check_data(figure):
    for name, frame in figure.data.items():
        assert len(frame), name
        for column in frame.select_dtypes("number"):
            assert not np.isinf(frame[column]).any(), (name, column)
    json.dumps(figure.chart(), allow_nan=False)


@every_case
def test_the_end_of_a_run_is_marked_with_its_step(case):
    figure, run = dying(**case)[0], run_of(**case)
    stop = figure.data["stop"].astype({"early": str, "late": str})
    high = np.flatnonzero(np.isfinite(run.loss) & (run.loss > 1e9))
    expected = [int(run.step[high[0]])] if len(high) else []
    if run.diverged_at >= 0:
        expected.append(int(run.diverged_at))
        assert f"not finite from step {run.diverged_at}" in (stop.early + stop.late).iloc[0]
    if len(high):
        assert f"loss above 1e9 from step {high[0]}" in (stop.early + stop.late).iloc[0]
    assert list(stop.step[stop.shown]) == expected
    assert len(figure.data["loss"].dropna()) >= 1


def test_these_cases_do_diverge():
    assert run_of(**CASES["identity"]).diverged_at > 0
    assert run_of(**CASES["squared"]).diverged_at > 0
    run = run_of(**CASES["all dead"])
    assert run.diverged_at < 0
    assert run.loss[-1] > 1e9


def test_a_line_leaves_the_panel_where_it_crosses_the_border():
    step, loss = activation_training._up_to(
        np.array([0, 2, 4, 6, 8]), np.array([1.0, 10.0, 1e17, 10.0, np.inf])
    )
    np.testing.assert_allclose(step, [0, 2, 3, 4, 6, 8])
    np.testing.assert_allclose(loss, [1, 10, 1e9, np.nan, 10, np.nan])


def test_a_network_that_overflows_says_so_beside_its_line_and_in_the_table():
    # Adam moves by about its rate whatever the gradient, so a float64 network hardly overflows in 400 epochs: one
    # is made to by the data of its run.
    run = side_run("ReLU")
    broken = run.loss[::4].copy()
    broken[10:] = np.nan
    accuracy = np.where(np.isnan(broken), np.nan, run.accuracy[::4])
    run = replace(run, step=run.step[::4], loss=broken, accuracy=accuracy, diverged_at=np.array(39))
    uris = trained(("ReLU",))[0].data["pictures"].url.astype(str).tolist()
    result = {"ReLU": activation_training._Trained(run, tuple(uris))}
    figure = activation_training._train_figure(result, STYLES, "spiral", 0, "")
    check_data(figure)
    assert list(figure.data["ends"].label) == ["ReLU: NaN at 39"]
    pictures = figure.data["pictures"]
    assert set(pictures.label[pictures.epoch >= 40]) == {
        f"ReLU NaN at {e}" for e in pictures.epoch if e >= 40
    }
    row = cells(activation_training._train_text(result, ["ReLU"]))["ReLU"]
    assert row == ["–", "–", "never", "epoch 39"]


@pytest.mark.parametrize("name", ["squared ReLU", "identity", "sine", "step"])
def test_extremes_of_the_side_by_side_runs(name):
    for problem, lr, layers in (("spiral", 1.0, 4), ("xor", 0.0003, 1)):
        figure, text = trained((name, "ReLU"), problem, lr, layers, 9999)
        check_data(figure)
        run = side_run(name, problem, lr, layers, 9999)
        assert cells(text)[name][0] == number(float(run.loss[-1]))


# Progress


def clear():
    for cached in (
        activation_training.dying_run,
        activation_training._sweep,
        activation_training.trained_run,
    ):
        cached.cache_clear()


TABS = {
    "dying": lambda: dying.__wrapped__(data="xor", lr=0.2),
    "train": lambda: trained.__wrapped__(("ReLU", "tanh"), "circles", seed=3),
}
every_tab = pytest.mark.parametrize("tab", TABS)


@every_tab
def test_progress_goes_from_0_to_1(tab):
    clear()
    seen = []
    with progress.listening(lambda share, text: seen.append((share, text))):
        TABS[tab]()
    shares = [share for share, _ in seen]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert np.all(np.diff(shares) >= 0)
    assert max(np.diff(shares)) <= 0.05
    assert all(text for _, text in seen)
    again = []
    with progress.listening(lambda share, text: again.append(share)):
        TABS[tab]()
    assert again == [1], "nothing is trained twice"


class Abandoned(Exception):
    pass


@every_tab
def test_an_abandoned_run_leaves_nothing_behind(tab):
    expected = TABS[tab]()
    for limit in (0.0, 0.1, 0.9):
        clear()

        def listen(share, text, limit=limit):
            if share > limit:
                raise Abandoned

        with pytest.raises(Abandoned), progress.listening(listen):
            TABS[tab]()
        if limit < 0.1:
            assert activation_training.dying_run.cache_info().currsize == 0
            assert activation_training.trained_run.cache_info().currsize == 0
        assert activation_training._sweep.cache_info().currsize == 0
        for one, other in zip(expected, TABS[tab](), strict=True):
            if isinstance(one, Figure):
                assert all(frame.equals(other.data[name]) for name, frame in one.data.items())
            else:
                assert one == other


# Specifications


def all_figures():
    blocks = [*dying(), *trained(), *trained(("step",)), *trained(("tanh", "sine"))]
    return [block for block in blocks if isinstance(block, Figure)]


FIGURES = all_figures()
every_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
every_width = pytest.mark.parametrize("width", [*WIDE_AND_NARROW, 700])


def test_the_figures():
    names = [figure.name for figure in FIGURES]
    assert names == ["activations/dying-run", "activations/dying", *["activations/train"] * 3]


@every_figure
@every_width
def test_a_specification_holds_no_data_and_no_color(figure, width):
    spec = figure.spec(width)
    text = json.dumps(spec)
    assert "datasets" not in spec
    assert not HEX.findall(text)
    assert len(text) < 16_000
    assert {unit.data for unit in marks(spec)} == set(figure.data)
    for unit in marks(spec):
        assert unit.fields() <= set(figure.data[unit.data].columns), unit.data
        inks = [unit.encoding[channel] for channel in ("color",) if channel in unit.encoding]
        assert inks or unit.kind == "image"
        assert all("field" in ink or ink["datum"] in range(len(theme.INKS)) for ink in inks)
        for channel, definition in unit.encoding.items():
            for one in definition if isinstance(definition, list) else [definition]:
                if one.get("type") == "quantitative" and one["field"] not in unit.made:
                    assert pd.api.types.is_numeric_dtype(figure.data[unit.data][one["field"]]), channel


@every_case
def test_a_specification_is_the_same_for_every_run(case):
    for one, other in zip(dying(), dying(**case), strict=True):
        if isinstance(one, Figure):
            assert one.spec(800) is other.spec(800)
            assert set(one.data) == set(other.data)
            assert (one.alt, one.key) == (other.alt, other.key)
            assert all(list(one.data[name].columns) == list(other.data[name].columns) for name in one.data)


@every_figure
@every_width
def test_a_figure_is_drawn_and_fits(figure, width):
    text = vl_convert.vegalite_to_svg(figure.chart(width), vl_version=VERSION)
    drawn = float(re.search(r'width="([\d.]+)"', text)[1])
    assert 0.85 * width < drawn < 1.06 * width
    assert not re.search("NaN|Infinity|undefined", text)


@every_figure
def test_only_the_data_make_the_picture(figure):
    chart = figure.chart(1040)
    whole = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
    for name, frame in figure.data.items():
        if "shown" in frame and not frame.shown.any():
            continue
        without = {**chart, "datasets": {**chart["datasets"], name: []}}
        assert whole != vl_convert.vegalite_to_svg(without, vl_version=VERSION), name


@every_case
def test_every_case_can_be_drawn(case):
    for figure in (block for block in dying(**case) if isinstance(block, Figure)):
        text = vl_convert.vegalite_to_svg(figure.chart(360), vl_version=VERSION)
        assert not re.search("NaN|Infinity|undefined", text)


def test_moving_the_epoch_changes_what_is_seen():
    chart = trained()[0].chart(700)
    seen = set()
    for epoch in (0, 100, 101, 400):
        chart["params"][0]["value"] = epoch
        seen.add(vl_convert.vegalite_to_png(chart, vl_version=VERSION))
    assert len(seen) == 3


@every_figure
def test_a_figure_is_small(figure):
    total = 0
    for frame in figure.data.values():
        arrow = table(frame)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as writer:
            writer.write_table(arrow)
        total += sink.getvalue().size
    assert total < (150_000 if "pictures" in figure.data else 60_000)
    assert sum(map(len, figure.data.values())) < 1_600


# Knobs


def test_knobs_take_what_the_blocks_take():
    names = [knob.name for knob in (*DYING_KNOBS, *TRAIN_KNOBS)]
    assert len(set(names)) == len(names)
    assert [knob.name for knob in DYING_KNOBS] == [
        "hidden",
        "data",
        "lr",
        "bias",
        "dead_batch",
        "hidden_layers",
    ]
    assert len(TRAIN_KNOBS) == 5
    by_name = {knob.name: knob for knob in (*DYING_KNOBS, *TRAIN_KNOBS)}
    assert (by_name["dead_batch"].low, by_name["dead_batch"].high) == (1, 64)
    assert by_name["trained"].most == 4


@pytest.mark.parametrize(
    "changes",
    [{"lr": 0.3}, {"bias": -0.1}, {"batch": 8}, {"layers": 3}, {"data": "moons"}, {"hidden": "ELU"}],
)
def test_every_knob_is_in_the_captions_of_the_dying_tab(changes):
    before, after = dying(), dying(**changes)
    assert before[0].caption != after[0].caption
    assert before[3].caption != after[3].caption


@pytest.mark.parametrize(
    "changes", [{"names": ("ReLU",)}, {"problem": "xor"}, {"lr": 0.02}, {"layers": 1}, {"seed": 4}]
)
def test_every_knob_is_in_the_caption_of_the_side_by_side_figure(changes):
    assert trained()[0].caption != trained(**changes)[0].caption
