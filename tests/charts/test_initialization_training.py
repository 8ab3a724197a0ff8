"""The tabs that train from different starts: their numbers are core's, and their pictures show them."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import initialization_training, progress, theme
from charts.figure import Frame
from charts.initialization_training import (
    DEPTHS,
    INIT_TRAIN_KNOBS,
    SYMMETRY_KNOBS,
    SYMMETRY_STEPS,
    init_train_blocks,
    symmetry_blocks,
)
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.knobs import KnobError, number
from core.network import Params, init_network, train
from core.optimizers import OPTIMIZERS
from core.streams import stream
from core.symmetry import COIN, STARTS, TOLERANCE, first_step, one_unit_theory, spread_theory, train_xor
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
STYLES = theme.styles(INITIALIZERS)
KNOBS = {name: {k.name: k.default for k in entry.knobs} for name, entry in ACTIVATIONS.items()}
FIVE = ("N(0, 1)", "He normal", "Glorot normal", "PyTorch Linear", "N(0, 0.01²)")
SMALL = (1, 4, 12)  # depths that a test can afford


@cache
def symmetry(start="constant + noise", constant=1.0, noise=1e-3, lr=0.2, units=8, activation="ReLU", seed=0):
    return symmetry_blocks(start, constant, noise, lr, units, activation, KNOBS[activation], seed)


@cache
def xor_run(start=None, constant=1.0, noise=1e-3, lr=0.2, units=8, activation="ReLU", seed=0):
    return train_xor(
        ACTIVATIONS[activation], list(STARTS.values()), units=units, constant=constant, noise=noise, lr=lr,
        steps=SYMMETRY_STEPS, seed=seed, knobs=KNOBS[activation],
    )  # fmt: skip


@pytest.fixture
def _few_depths(monkeypatch):
    monkeypatch.setattr(initialization_training, "DEPTHS", SMALL)


def stacks(schemes=FIVE, activation="ReLU", depth=4, problem="circles", lr=0.05, seed=0, own=None):
    settings = {name: {k.name: k.default for k in INITIALIZERS[name].knobs} for name in schemes}
    settings |= own or {}
    return init_train_blocks(settings, STYLES, activation, KNOBS[activation], depth, problem, lr, seed)


def one_stack(scheme, depth, activation="ReLU", problem="circles", lr=0.05, seed=0):
    """Train one network as the caption says, alone."""
    x, label = DATASETS[problem].draw(32, 0.05, stream(seed, 2))
    drawn = init_network((2, *[32] * depth, 1), scheme, seed=seed)
    params = Params(
        tuple(w.astype(np.float32) for w in drawn.weights), tuple(b.astype(np.float32) for b in drawn.biases)
    )
    return train(
        params, x.astype(np.float32), label, activation=ACTIVATIONS[activation], knobs=KNOBS[activation],
        rule=OPTIMIZERS["GD"].build(lr=lr), steps=150,
    )  # fmt: skip


def cells(text):
    """Return the rows of the Markdown table in a text, by the name in the first column."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| **")]
    return {line[0].strip("*"): line[1:] for line in lines}


def check(figure):
    """Hold what every figure has to hold: data without gaps in names, finite numbers, slots of the palette, and no color."""
    for width in WIDE_AND_NARROW:
        spec = figure.spec(width)
        assert figure.spec(width) is spec
        assert not HEX.findall(json.dumps(spec))
        assert {unit.data for unit in marks(spec)} - {""} == set(figure.data)
        for unit in marks(spec):
            assert unit.fields() <= set(figure.data[unit.data].columns), unit.data
        picture = vl_convert.vegalite_to_svg(figure.chart(width), vl_version=VERSION)
        assert 0.6 * width < float(re.search(r'width="([\d.]+)"', picture)[1]) < 1.15 * width
        assert not any(word in picture for word in ("Infinity", "undefined"))
        assert not re.search(r'"NaN|NaN"|NaN,|,NaN', picture)
    for name, frame in figure.data.items():
        assert len(frame), name
        numbers = frame.select_dtypes("number").to_numpy(float)
        assert not np.isinf(numbers).any(), name
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
    assert sum(map(len, figure.data.values())) < 1_700


CASES = {
    "default": {},
    "zeros": {"start": "zeros", "activation": "sigmoid"},
    "constant": {"start": "constant", "activation": "tanh", "constant": 0.5, "lr": 0.5},
    "random": {"start": "random", "units": 16, "activation": "GELU", "seed": 7},
    "tiny noise": {"noise": 1e-8, "units": 2, "lr": 0.01},
    "much noise": {"noise": 1.0, "constant": 0.2},
    "fast": {"lr": 5.0, "constant": 2.0, "activation": "squared ReLU", "units": 16},
    "step": {"activation": "step", "start": "random"},
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


# Symmetry


@every_case
def test_the_symmetry_figure_is_whole(case):
    check(symmetry(**case)[0])


@every_case
def test_lines_are_the_run(case):
    figure, run = symmetry(**case)[0], xor_run(**case)
    lines = figure.data["lines"]
    for s, name in enumerate(STARTS):
        part = lines[lines.name == name]
        step = part.step.to_numpy(int)
        assert (step[0], step[-1]) == (0, SYMMETRY_STEPS)
        assert np.all(part.chosen == (name == case.get("start", "constant + noise")))
        alive = np.isfinite(run.units[step, s]).all(axis=(-2, -1))
        np.testing.assert_array_equal(part.distinct[alive], run.distinct[step, s][alive])
        for column, values in (("spread", run.spread[step, s]), ("loss", run.loss[step, s])):
            shown = part[column].notna().to_numpy()
            np.testing.assert_array_equal(part[column][shown], values[shown])
            assert np.all(shown[np.isfinite(values) & (values > 1e-9) & (values < 1e6)])


@every_case
def test_tracks_begin_and_end_where_the_units_do(case):
    figure = symmetry(**case)[0]
    units = xor_run(**case).units[:, list(STARTS).index(case.get("start", "constant + noise"))]
    tracks = figure.data["tracks"]
    assert set(tracks.unit) == set(range(units.shape[1]))
    for unit, part in tracks.groupby("unit"):
        steps = part.step.to_numpy(int)
        assert (steps[0], steps[-1]) == (0, SYMMETRY_STEPS)
        np.testing.assert_array_equal(part[["w1", "w2"]], units[steps, unit, :2])
    np.testing.assert_array_equal(figure.data["begins"][["w1", "w2"]], units[0, :, :2])
    ends = figure.data["ends"]
    counts = [int(str(note).split()[0]) for note in ends.note]
    assert sum(counts) == units.shape[1]
    assert (
        len(ends) == xor_run(**case).distinct[-1, list(STARTS).index(case.get("start", "constant + noise"))]
    )
    extent = figure.data["extent"]
    for axis in ("w1", "w2"):
        assert extent[axis].min() <= tracks[axis].min() <= tracks[axis].max() <= extent[axis].max()
    assert np.ptp(extent.w1) == pytest.approx(np.ptp(extent.w2))


def test_tracks_stop_before_an_overflow():
    case = {"start": "random", "constant": 2.0, "lr": 5.0, "activation": "identity", "units": 16}
    (figure, text), run = symmetry(**case), xor_run(**case)
    check(figure)
    for s, name in enumerate(STARTS):
        if run.diverged_at[s] >= 0:
            assert cells(text)[name] == [
                number(float(run.gradient[s])), f"{run.distinct[0, s]} to NaN", "NaN", f"step {run.diverged_at[s]}",
            ]  # fmt: skip
            assert f"{name}: NaN at {run.diverged_at[s]}" in set(figure.data["loss_ends"].label)
    assert list(run.diverged_at >= 0) == [False, True, True, True]
    assert text.count("not finite from step") == 2
    said = re.search(r"to step (\d+)$", figure.data["titles"].tracks[0])
    last = int(said[1])
    assert np.abs(run.units[last, 3]).max() <= 1e4
    assert not np.abs(run.units[last + 1, 3]).max() <= 1e4
    assert figure.data["tracks"].step.max() == last


@every_case
def test_dots_are_theory(case):
    figure = symmetry(**case)[0]
    given = {"constant": 1.0, "lr": 0.2, "units": 8, "activation": "ReLU"} | case
    one = one_unit_theory(
        ACTIVATIONS[given["activation"]], units=given["units"], constant=given["constant"], lr=given["lr"],
        steps=SYMMETRY_STEPS, knobs=KNOBS[given["activation"]],
    )  # fmt: skip
    loss = figure.data["loss_theory"]
    assert loss.shown.all()
    np.testing.assert_allclose(loss.loss, one.loss[loss.step.to_numpy(int)], rtol=1e-12)
    small = figure.data["spread_theory"]
    expected = spread_theory(one, xor_run(**case).units[0, 2])
    if small.shown.all():
        np.testing.assert_allclose(small.spread, expected[small.step.to_numpy(int)], rtol=1e-12)
        assert small.spread.max() <= 0.5
    else:
        assert expected[0] > 0.5


@every_case
def test_the_table_is_the_run(case):
    text, run = symmetry(**case)[1], xor_run(**case)
    table = cells(text)
    assert list(table) == list(STARTS)
    for s, (gradient, distinct, loss, died) in enumerate(table.values()):
        assert gradient == number(float(run.gradient[s]))
        assert (distinct.split(" to ")[0], distinct.split(" to ")[-1]) == (
            str(run.distinct[0, s]),
            str(run.distinct[-1, s]),
        )
        assert loss == number(float(run.loss[-1, s]), 4)
        assert died == ("never" if run.diverged_at[s] < 0 else f"step {run.diverged_at[s]}")


@every_case
def test_the_text_says_when_units_part(case):
    text, run = symmetry(**case)[1], xor_run(**case)
    given = {"constant": 1.0, "lr": 0.2, "units": 8, "activation": "ReLU", "noise": 1e-3} | case
    parted = first_step(run.spread[:, 2] > TOLERANCE)
    assert "every gradient is exactly 0" in text
    assert "0.6931 = ln 2" in text
    assert "agree to the last bit" in text
    assert f"**With noise {number(given['noise'])}**" in text
    found = re.search(r"difference passes 0.05 at step (\d+)", text)
    assert (int(found[1]) if found else None) == (parted or None)
    assert ("already differ" in text) == (parted == 0)
    expected = re.search(r"theory: step (\d+)", text)
    if found and expected and given["activation"] in ("ReLU", "tanh", "GELU"):
        assert int(expected[1]) == pytest.approx(parted, rel=0.05, abs=2)
    assert f"At the end {run.distinct[-1, 2]} of {given['units']} units differ; the loss ends at" in text
    for s in (1, 2):
        assert f"the loss ends at {number(float(run.loss[-1, s]), 4)}." in text


def test_a_tenth_of_the_noise_takes_longer():
    text = symmetry()[1]
    later = int(re.search(r"not before step (\d+)", text)[1])
    run = xor_run(noise=1e-4)
    assert later == pytest.approx(first_step(run.spread[:, 2] > TOLERANCE), abs=3)


def test_the_floor_is_only_that_of_monotone_functions():
    for name, floor in (("ReLU", True), ("tanh", True), ("GELU", False)):
        figure, text = symmetry(activation=name)
        assert ("no single unit with a monotone" in text) == floor
        assert list(figure.data["loss_rules"].shown) == [True, floor]
    assert xor_run(activation="GELU").loss[-1, 1] < 0.1


def test_the_symmetry_caption_states_every_parameter():
    base = symmetry()[0].caption
    changes = (
        {"start": "zeros"}, {"constant": 1.3}, {"noise": 0.002}, {"lr": 0.3}, {"units": 5}, {"activation": "tanh"}, {"seed": 4},
    )  # fmt: skip
    assert len({base, *(symmetry(**change)[0].caption for change in changes)}) == len(changes) + 1
    leaky = symmetry_blocks("zeros", 1.0, 1e-3, 0.2, 3, "leaky ReLU", {"slope": 0.3}, 0)[0]
    assert "leaky ReLU" in leaky.caption
    assert "0.3)" in leaky.caption


@every_case
def test_every_line_has_a_value_its_axis_can_show(case):
    # An axis over nothing makes Vega complain of an infinite extent.
    lines = symmetry(**case)[0].data["lines"]
    for chosen in (True, False):
        part = lines[lines.chosen == chosen]
        assert (part.spread > 0).any()
        assert (part.loss > 0).any()


@pytest.mark.parametrize("units", [2, 8])
def test_equal_units_have_an_axis_of_differences(units):
    figure = symmetry(start="constant", units=units, activation="sigmoid")[0]
    part = figure.data["lines"][figure.data["lines"].chosen]
    assert part[part.name == "constant"].spread.isna().all()
    assert list(part[part.name == ""].spread) == [TOLERANCE]
    check(figure)


def test_log_axes_have_ticks_at_powers_of_ten(blocks):
    for figure in (symmetry()[0], blocks[0]):
        axes = re.findall(r'"values": \[([^\]]*)\]', json.dumps(figure.spec(1040)))
        assert axes
        for values in axes:
            exponents = [math.log10(float(v)) for v in values.split(",")]
            np.testing.assert_allclose(exponents, np.round(exponents), atol=1e-9)
        extent = figure.data["extent"].loss
        assert extent.min() <= 0.1
        assert extent.max() >= 1


def test_specifications_do_not_change():
    a, b = symmetry()[0], symmetry(start="random", units=16, activation="GELU", seed=7)[0]
    assert a.build is b.build
    assert a.alt == b.alt


# Does it train?


@pytest.fixture
def blocks(_few_depths):
    return stacks()


def test_the_train_figure_is_whole(blocks):
    check(blocks[0])


@pytest.mark.parametrize(
    ("schemes", "activation", "lr", "problem"),
    [
        (FIVE, "ReLU", 0.05, "circles"),
        (("zeros", "constant", "orthogonal", "custom"), "tanh", 0.3, "xor"),
        (("N(0, 1)",), "squared ReLU", 1.0, "moons"),
        (("zeros",), "step", 0.001, "spiral"),
        (("N(0, 1)", "He uniform"), "identity", 1.0, "spiral"),
    ],
)
@pytest.mark.usefixtures("_few_depths")
def test_every_number_is_that_of_a_network_alone(schemes, activation, lr, problem):
    figure, text = stacks(schemes, activation, 2, problem, lr)
    check(figure)
    curves, depths, table = figure.data["curves"], figure.data["depths"], cells(text)
    assert list(table) == list(schemes)
    assert list(depths.depth[depths.name == schemes[0]]) == [1, 2, 4, 12]
    marked = figure.data["stops"][figure.data["stops"].shown]
    stops = {str(note).split(" at ")[0]: at for note, at in zip(marked.note, marked.depth, strict=True)}
    for name in schemes:
        alone = {d: one_stack(INITIALIZERS[name], d, activation, problem, lr) for d in (1, 2, 4, 12)}
        last = {d: float(run.loss[-1]) for d, run in alone.items()}
        part = curves[curves.name == name]
        loss = alone[2].loss[part.step.to_numpy(int)].astype(float)
        shown = np.isfinite(loss) & (loss <= 10)
        assert np.array_equal(part.loss.notna(), shown)
        np.testing.assert_allclose(part.loss[shown], np.maximum(loss[shown], 1e-4), rtol=2e-3, atol=1e-6)
        died = int(alone[2].diverged_at)
        assert table[name][4] == ("never" if died < 0 else f"step {died}")
        labels = [str(label) for label in figure.data["curves_ends"].label]
        assert (name if died < 0 else f"{name}: NaN at {died}") in labels
        able = [d for d in last if last[d] < 0.99 * math.log(2)]  # a NaN is not
        later = [d for d in last if not able or d > max(able)]
        assert stops.get(name) == (later[0] if later else None)
        fate = table[name][5]
        missed = ", ".join(str(d) for d in last if able and d < max(able) and d not in able)
        if later:
            assert fate.startswith(str(later[0]))
            assert fate.endswith(f"; nor at {missed}") == bool(missed)
        else:
            assert fate == (f"{missed} only" if missed else "none")


@pytest.mark.usefixtures("_few_depths")
def test_schemes_that_are_left_out_are_named():
    settings = {"He normal": {}}

    def said(left_out, schemes=settings):
        args = (STYLES, "ReLU", {}, 4, "circles", 0.05, 0)
        return init_train_blocks(schemes, *args, left_out=left_out)[-1]

    assert "LSUV is not trained here." in said(("LSUV",))
    assert "not trained" not in said(())
    assert said(("LSUV",), {}) == "LSUV is not trained here. Choose at least one other scheme."


def test_the_head_of_the_table_says_over_what_the_mean_is_taken(blocks):
    assert "| gradient, factor a layer (theory, mean over 4 layers) |" in blocks[1]


@pytest.mark.usefixtures("_few_depths")
def test_a_share_without_a_value_is_a_dash():
    table = cells(stacks(depth=12)[1])
    assert table["N(0, 1)"][3] == "–"
    assert table["He normal"][3].endswith("%")


def test_the_table_has_the_factor_of_theory(blocks):
    # ReLU halves the second moment: χ = n·Var w / 2, exactly.
    table = cells(blocks[1])
    for name in FIVE:
        assert table[name][0] == number(math.sqrt(32 * INITIALIZERS[name].std(32, 32) ** 2 / 2))
    assert cells(stacks(("constant",))[1])["constant"][0] == "none"


@pytest.mark.usefixtures("_few_depths")
def test_the_story_of_the_default_view():
    figure, text = stacks(depth=12)
    table = cells(text)
    assert table["N(0, 1)"][4].startswith("step")
    assert table["N(0, 0.01²)"][5] == "1"
    assert table["PyTorch Linear"][5] == "12"
    assert table["He normal"][5] == "none"
    assert float(table["He normal"][2]) < 0.1
    assert "He normal" in re.search(r"schemes learns?: (.*?)\.", text)[1]
    assert figure.data["here"].depth.tolist() == [12]
    above = figure.data["stops"]
    assert above.loss[above.note.astype(str).str.startswith("N(0, 1) ")].item() == 10


@pytest.mark.usefixtures("_few_depths")
def test_settings_of_a_scheme_reach_the_run_and_the_caption():
    small, large = (stacks(("custom",), own={"custom": {"gain": gain}}) for gain in (0.2, 1.5))
    assert "custom (gain 0.2)" in small[0].caption
    assert cells(small[1])["custom"][0] == number(0.2 / math.sqrt(2))
    assert float(cells(large[1])["custom"][2]) < float(cells(small[1])["custom"][2])


@pytest.mark.usefixtures("_few_depths")
def test_the_train_caption_states_every_parameter():
    base = stacks(FIVE[1:2])[0].caption
    changes = (
        {"schemes": FIVE[2:3]}, {"activation": "tanh"}, {"depth": 1}, {"problem": "xor"}, {"lr": 0.07}, {"seed": 3},
    )  # fmt: skip
    assert (
        len({base, *(stacks(**{"schemes": FIVE[1:2], **c})[0].caption for c in changes)}) == len(changes) + 1
    )


@pytest.mark.usefixtures("_few_depths")
def test_progress_grows_to_one_and_a_second_look_trains_nothing(monkeypatch):
    initialization_training._stack.cache_clear()
    calls = []
    real = train
    monkeypatch.setattr(
        initialization_training, "train", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs)
    )
    heard = []
    with progress.listening(lambda share, text: heard.append((share, text))):
        stacks(depth=12)
    shares = [share for share, _ in heard]
    assert len(shares) > 20
    assert np.all(np.diff(shares) > -1e-12)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(calls) == 3
    stacks(depth=4)  # a depth of the sweep
    assert len(calls) == 3
    stacks(depth=5)
    assert len(calls) == 4


@pytest.mark.usefixtures("_few_depths")
def test_a_listener_can_abandon_the_run():
    class Enough(Exception):
        pass

    def stop(share, text):
        if share > 0.3:
            raise Enough

    with progress.listening(stop), pytest.raises(Enough):
        stacks(seed=1234)


def test_too_many_schemes_are_refused_and_none_is_said():
    assert stacks(()) == ["Choose at least one scheme."]
    with pytest.raises(ValueError, match="7 schemes"):
        stacks(tuple(INITIALIZERS)[:7])


# Knobs


def test_knobs_have_names_of_their_own_and_hard_ranges():
    knobs = (*SYMMETRY_KNOBS, *INIT_TRAIN_KNOBS)
    assert len({knob.name for knob in knobs}) == len(knobs)
    for knob in knobs:
        if knob.kind in ("int", "float"):
            for end in (knob.low, knob.high):
                assert knob.check(end if knob.kind == "float" else int(end)) == end
            with pytest.raises(KnobError):
                knob.parse(repr(knob.high * 2))
    assert pytest.approx(math.log(2)) == COIN
    assert max(DEPTHS) == next(k for k in knobs if k.name == "train_depth").high
    assert next(k for k in knobs if k.name == "train_depth").default in DEPTHS


def test_frames_keep_their_columns():
    one, other = symmetry()[0], symmetry(start="random", units=16, activation="GELU", seed=7)[0]
    for name, frame in one.data.items():
        assert list(frame.columns) == list(other.data[name].columns)
        assert isinstance(frame, Frame)
