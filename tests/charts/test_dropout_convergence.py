"""Dropout's convergence and conventions: running moments, bands and rows, each counted again here."""

import itertools
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts.dropout import SCENARIOS, TOPIC, run
from charts.dropout_convergence import convergence_blocks
from charts.figure import Figure
from core.dropout import CONTRIBUTIONS, DROPOUT_CONVENTIONS, DROPOUT_MODES, dropout_layer, dropout_moments
from core.knobs import number
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

CASES = {
    "default": {},
    "nothing dropped": {"p": 0.0},
    "everything dropped": {"p": 1.0, "convention": "Keras"},
    "one input, ten masks": {"inputs": 1, "masks": 10, "p": 0.9, "seed": 3},
    "both signs": {"contributions": "positive and negative", "p": 0.8, "inputs": 20, "masks": 300},
    "equal": {"contributions": "equal", "inputs": 40, "masks": 700, "p": 0.3, "convention": "Paper of 2014"},
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def blocks(case):
    return convergence_blocks(TOPIC.fill(CASES[case]))


def figure(case):
    (found,) = (block for block in blocks(case) if isinstance(block, Figure))
    return found


def view(**values):
    return TOPIC.view(TOPIC.fill(values))


def drawn(case):
    values = TOPIC.fill(CASES[case])
    names = ("p", "inputs", "masks", "seed", "contributions")
    return dropout_layer(**{name: values[name] for name in names})


# Convergence


@every_case
def test_data_are_whole_and_constant_specifications_name_them(case):
    for mine, default in (
        (figure(case), figure("default")),
        (view(**CASES[case]).figure, view().figure),
    ):
        for width in WIDE_AND_NARROW:
            spec = mine.spec(width)
            assert spec == default.spec(width)
            assert not HEX.search(str(spec))
            assert {unit.data for unit in marks(spec)} - {""} == set(mine.data)
            for unit in marks(spec):
                assert not unit.data or unit.fields() <= set(mine.data[unit.data].columns)
        assert mine.alt == default.alt
        for frame in mine.data.values():
            assert len(frame)
            assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()
        assert sum(map(len, mine.data.values())) < 900
        vl_convert.vegalite_to_vega(mine.chart(WIDE_AND_NARROW[1]), vl_version="6.4")


@every_case
def test_lines_are_running_moments(case):
    run, estimates = drawn(case), figure(case).data["estimates"]
    for name, outputs in (
        ("Inverted", run.train[run.modes.index("Inverted")]),
        ("Classic", run.train[run.modes.index("Classic")]),
        ("Forgot eval()", run.evaluation[run.modes.index("Forgot eval()")]),
    ):
        line = estimates[estimates.line == name]
        assert (line["count"].min(), line["count"].max()) == (2, run.train.shape[1])
        for _, row in line[::9].iterrows():
            first = outputs[: int(row["count"])]
            assert row["mean"] == pytest.approx(np.mean(first), rel=1e-9, abs=1e-12)
            assert row["var"] == pytest.approx(np.var(first, ddof=1), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("case", ["default", "both signs", "equal"])
def test_bands_shrink_onto_the_closed_form(case):
    p, data = TOPIC.fill(CASES[case])["p"], figure(case).data
    c = drawn(case).contributions
    squares = np.sum(c**2)
    cumulant = p * (1 - p) * (1 - 6 * p * (1 - p)) * np.sum(c**4)
    for name, scale in (("Inverted", 1 / (1 - p)), ("Classic", 1.0)):
        line = data["estimates"][data["estimates"].line == name]
        mean, var = scale * (1 - p), scale**2 * p * (1 - p) * squares
        count = line["count"].to_numpy()
        half = 1.96 * np.sqrt(var / count)
        np.testing.assert_allclose(line.mean_low, mean - half)
        np.testing.assert_allclose(line.mean_high, mean + half)
        half = 1.96 * np.sqrt(scale**4 * cumulant / count + 2 * var**2 / (count - 1))
        np.testing.assert_allclose(line.var_high, var + half)
        np.testing.assert_allclose(line.var_low, np.maximum(var - half, 0), atol=1e-15)
        dots = data["closed"][["mean", "var"]].to_numpy()
        assert np.isclose(dots, [mean, var], rtol=1e-12, atol=0).all(axis=1).any()


def test_the_table_has_every_mode_and_what_is_not_random_is_exact():
    *_, reading, table = blocks("default")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [line[0] for line in lines[::2]] == list(DROPOUT_MODES)
    random = {(line[1], lines[k - k % 2][0]) for k, line in enumerate(lines) if "exact" not in line}
    masked = [name for name, mode in DROPOUT_MODES.items() if mode.masks_in_training]
    assert random == {*(("training", name) for name in masked), ("evaluation", "Forgot eval()")}
    run = drawn("default")
    squares = float(np.sum(run.contributions**2))
    inverted = lines[2]
    assert inverted[3] == "1"
    assert inverted[2] == number(float(np.mean(run.train[1])), 4)
    assert inverted[4] == number((np.mean(run.train[1]) - 1) / math.sqrt(squares / 2000), 2)
    assert inverted[6] == number(squares, 4)
    off = [abs(float(line[k].replace("−", "-"))) for line in lines for k in (4, 7) if line[k] != "exact"]
    (said,) = re.findall(r"\*\*([\d.]+) times its standard error\*\*", reading)
    assert float(said) == max(off)


@pytest.mark.parametrize("case", ["nothing dropped", "everything dropped"])
def test_without_noise_the_reading_says_so(case):
    assert "nothing is random" in blocks(case)[2]
    assert blocks(case)[3].count("exact") == 24


def test_captions_state_every_knob_that_acts():
    changes = [{}, {"p": 0.4}, {"inputs": 9}, {"masks": 50}, {"seed": 1}, {"contributions": "equal"}]
    for make in (lambda v: convergence_blocks(v)[1], lambda v: TOPIC.make(v).figure):
        captions = {make(TOPIC.fill(change)).caption for change in changes}
        assert len(captions) == len(changes)
    assert "0.9999" in view(p=0.9999).figure.caption  # not rounded to "everything dropped"


# The main figure


@pytest.mark.parametrize("name", DROPOUT_CONVENTIONS)
def test_a_convention_marks_its_row_and_moves_nothing(name):
    rule = DROPOUT_CONVENTIONS[name]
    mine, other = view(p=0.2, convention=name), view(p=0.2)
    (chosen,) = mine.figure.data["chosen"].to_dict("records")
    lines = mine.figure.data["rows"].set_index("mode")
    assert chosen["base"] == lines.base[rule.mode]
    assert chosen["setting"] == rule.setting(0.2)
    for data in set(mine.figure.data) - {"chosen"}:
        assert mine.figure.data[data].equals(other.figure.data[data])
    assert rule.call(0.2) in mine.figure.caption
    assert f"`{rule.call(0.2)}`, the row {rule.mode}" in mine.reading
    assert "p_drop = 0.2 and p_keep = 0.8" in mine.reading
    for each in DROPOUT_CONVENTIONS.values():
        assert f"`{each.call(0.2)}`" in mine.why
        assert (f"**{each.name}**" in mine.why) == (each.name == name)
    assert rule.at_one in view(p=1.0, convention=name).reading


@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 0.9])
def test_verdicts_have_three_digits_each(p):
    for text, ratio in zip(
        view(p=p).figure.data["rows"].verdict, run(TOPIC.fill({"p": p}))[0].ratio, strict=True
    ):
        written = text.removeprefix("eval / train ").split(",")[0]
        assert len(written.replace(".", "").lstrip("0")) == 3, text
        assert float(written) == pytest.approx(ratio, rel=5.1e-3)


@pytest.mark.parametrize(("p", "inputs"), [(0.5, 50), (0.5, 6), (0.1, 500), (0.9, 30), (0.5, 1)])
def test_bars_of_equal_contributions_count_kept_units(p, inputs):
    """A bar holds a whole number of possible outputs, so that the histogram is no comb."""
    data = view(p=p, inputs=inputs, masks=400, contributions="equal", seed=0).figure.data["training"]
    run = dropout_layer(p=p, inputs=inputs, masks=400, contributions="equal", seed=0)
    for mode, scale in (("Inverted", 1 / (1 - p)), ("Classic", 1.0)):
        kept = np.round(run.train[run.modes.index(mode)] / scale * inputs).astype(int)
        bars = data[data["mode"] == mode]
        possible = np.arange(inputs + 1) * scale / inputs
        held = [np.sum((possible > bar.low) & (possible < bar.high)) for bar in bars.itertuples()]
        inner = held[1:-1] or held
        assert len(set(inner)) == 1, "every bar holds as many outputs"
        for bar in bars.itertuples():
            inside = (kept * scale / inputs > bar.low) & (kept * scale / inputs < bar.high)
            assert inside.sum() == bar.count


@pytest.mark.parametrize("contributions", CONTRIBUTIONS)
def test_every_output_is_in_a_bar_and_on_the_axis(contributions):
    data = view(p=0.7, inputs=30, masks=300, contributions=contributions, seed=0).figure.data
    run = dropout_layer(p=0.7, inputs=30, masks=300, contributions=contributions, seed=0)
    low, high = data["reach"].x
    assert data["training"].low.min() >= low - 0.2
    for k, mode in enumerate(run.modes):
        bars = data["training"][data["training"]["mode"] == mode]
        assert bars["count"].sum() == 300
        for output in run.train[k]:
            assert ((bars.low - 1e-12 <= output) & (output <= bars.high + 1e-12)).any()
            assert low <= output <= high


def test_a_narrow_hump_has_finer_bars():
    data = view(inputs=500, seed=0).figure.data["training"]
    classic = data[data["mode"] == "Classic"]
    sd = math.sqrt(0.25 * np.sum(dropout_layer(inputs=500, masks=2, seed=0).contributions ** 2))
    assert (classic.high - classic.low).max() < 0.5 * sd
    assert len(classic) > 10


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ({}, {"Inverted", "Classic", "No scaling", "Scaled twice", "Forgot eval()"}),
        ({"inputs": 1}, set()),
        ({"inputs": 2}, set()),
        ({"inputs": 7, "contributions": "equal"}, set()),
        ({"p": 0.99}, {"Inverted", "Scaled twice", "Forgot eval()"}),
        ({"p": 0.0}, set()),
    ],
)
def test_a_density_stands_only_over_a_hump(values, drawn):
    """None over a few separate outputs, none where a standard deviation is less than about 3 of 740 pixels."""
    data = view(**values).figure.data
    assert set(data["theory"]["mode"]) - {""} == drawn
    assert len(data["theory"])


def test_the_default_picture_is_typical():
    run = drawn("default")
    for mode, masked in (("Inverted", run.train), ("Forgot eval()", run.evaluation)):
        outputs = masked[run.modes.index(mode)]
        var = float(np.sum(run.contributions**2))  # at p = 0.5
        assert abs(np.mean(outputs) - 1) < 2 * math.sqrt(var / outputs.size)
        assert abs(np.var(outputs, ddof=1) - var) < 2 * var * math.sqrt(2 / outputs.size)
    assert "inside its band" in blocks("default")[2]


def test_where_noise_is_as_large_as_the_mean_no_output_gives_a_mistake_away():
    words = "no single output gives it away"
    assert words in view(contributions="positive and negative").reading
    assert words not in view().reading


def test_the_ends_are_explained():
    nothing, everything = view(p=0.0), view(p=1.0)
    assert "identity" in nothing.reading
    assert not nothing.events
    assert "PyTorch takes p = 1 and returns zeros" in everything.reading
    assert everything.events
    right = view(p=0.0).figure.data["rows"].slot
    assert right.nunique() == 1  # without dropout nobody makes a mistake


def test_scenarios():
    assert len(SCENARIOS) >= 8
    assert {scenario.tab for scenario in SCENARIOS} == {"", *TOPIC.tabs}
    for one, other in itertools.pairwise(SCENARIOS):
        assert one.values != other.values


def test_what_the_scenarios_promise():
    """Forgetting to scale costs 11% at p_drop 0.1; the scatter is three times as wide at 0.9 as at 0.5; 16 times."""
    assert 1 / DROPOUT_MODES["Classic"].eval_scale(0.1) == pytest.approx(1.11, abs=0.005)
    at = {p: float(dropout_moments([0.5, 0.3, 0.2], p).train_var) for p in (0.2, 0.5, 0.8, 0.9)}
    assert at[0.9] == pytest.approx(9 * at[0.5])
    assert at[0.8] == pytest.approx(16 * at[0.2])
