"""The Regularizer tab: what is drawn and said is core's, counted here again."""

import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.dropout_regularizer import REGULARIZER_KNOBS, regularizer_blocks, regularizer_knobs
from charts.figure import Figure
from charts.topic import Action
from core.dropout_training import (
    TASK_INPUTS,
    draw_regression,
    draw_task,
    predict,
    ridge_weights,
    train_dropout,
)
from core.knobs import number
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VIEWS = next(knob for knob in REGULARIZER_KNOBS if knob.name == "reg_view").choices
SMALL = {"reg_width": 4, "reg_points": 32}
CASES = {
    "penalty": {},
    "penalty at 0": {"p": 0.0, "reg_twin": 0.0},
    "penalty at 1": {"p": 1.0, "reg_rows": 10, "reg_twin": 0.95},
    "error against p": {},
    "error against p at 0": {"p": 0.0},
    "error against p at 1": {"p": 1.0, "reg_noise": 0.0},
    "data and p": {},
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def blocks(case, **changes):
    view = next(view for view in VIEWS if case.startswith(view))
    values = {knob.name: knob.default for knob in REGULARIZER_KNOBS} | {"p": 0.5, "seed": 0} | SMALL
    return regularizer_blocks(values | {"reg_view": view} | CASES[case] | changes)


def figure(case, **changes):
    (found,) = (block for block in blocks(case, **changes) if isinstance(block, Figure))
    return found


def text(case, **changes):
    return " ".join(block for block in blocks(case, **changes) if isinstance(block, str))


@every_case
def test_data_are_whole_and_constant_specifications_name_them(case):
    drawn = figure(case)
    default = figure(next(view for view in VIEWS if case.startswith(view)))
    assert drawn.alt == default.alt
    for width in WIDE_AND_NARROW:
        spec = drawn.spec(width)
        assert spec is default.spec(width)
        assert "datasets" not in spec
        assert not HEX.search(str(spec))
        assert {unit.data for unit in marks(spec)} - {""} == set(drawn.data)
        for unit in marks(spec):
            assert unit.fields() <= set(drawn.data[unit.data].columns)
    for frame in drawn.data.values():
        assert len(frame)
        assert np.isfinite(frame.select_dtypes("number").to_numpy(float)).all()
    assert sum(map(len, drawn.data.values())) < 700
    vl_convert.vegalite_to_vega(drawn.chart(WIDE_AND_NARROW[1]), vl_version="6.4")


@every_case
def test_texts_hold_no_broken_number(case):
    assert "p_keep" in text(case) or "p_keep" in figure(case).caption or case == "data and p"
    for word in ("nan", "NaN", "inf", "∞", "None"):
        assert not re.search(rf"\b{word}\b", text(case) + figure(case).caption)


def test_every_view_shows_its_controls_and_no_other():
    names = {knob.name for knob in REGULARIZER_KNOBS}
    shown = [set(regularizer_knobs({"reg_view": view})) for view in VIEWS]
    assert set().union(*shown) == names
    assert all("reg_view" in some for some in shown)


# The penalty


def test_lines_are_ridge_regressions_and_dots_lie_near():
    data = figure("penalty").data
    run = draw_regression(20, twin=0.9, noise=2.0, seed=0)
    closed = data["closed"]
    for j in range(6):
        line = closed[closed.feature == f"x{j + 1}"]
        for p, weight in zip(line.p, line.weight, strict=True):
            if p < 1:
                rows = np.diag(np.sqrt(p / (1 - p) * np.sum(run.x**2, axis=0)))
                x, y = np.vstack([run.x, rows]), np.concatenate([run.y, np.zeros(6)])
                assert weight == pytest.approx(np.linalg.lstsq(x, y, rcond=None)[0][j], abs=1e-8)
            else:
                assert weight == 0
    dots = data["dots"]
    assert np.abs(dots.weight - dots.exact).max() < 0.06
    assert np.abs(dots.weight - dots.exact).max() > 0  # they are measured
    least = data["least"].iloc[0]
    assert least.error == data["curve"].error.min()
    floor = data["floor"].error.iloc[0]
    assert (data["curve"].error > floor).all()


def test_the_reading_of_the_penalty_is_the_closed_form_s():
    run = draw_regression(20, twin=0.9, noise=2.0, seed=0)
    here, start = (ridge_weights(run.x, run.y, p) for p in (0.5, 0.0))
    said = text("penalty")
    for value in (np.linalg.norm(here), np.linalg.norm(start), *here[:2]):
        assert number(float(value)) in said
    assert number(float(run.test_error(here)), 4) in said
    measured, error = (
        float(found.replace(",", "")) for found in re.search(r"masks is ([\d.,]+) ± ([\d.]+)", said).groups()
    )
    assert abs(measured - float(re.search(r"make ([\d.]+)", said)[1])) < 4 * error + 0.1


# Errors


@cache
def trained(n, p, seeds, points=None, noise=0.2):
    data, test = draw_task(n, noise=noise, seeds=seeds), draw_task(1000, noise=0.0, seeds=seeds, place=1)
    run = train_dropout(
        data.x.astype(np.float32), data.given, (TASK_INPUTS, 4, 1), p, seeds=seeds, test=(test.x, test.truth),
        points=points, steps=400, lr=0.01, batch_size=32,
    )  # fmt: skip
    wrong = (predict(run.params, test.x.astype(np.float32)) > 0) != (test.truth == 1)
    return run, wrong.mean(axis=(-2, -1))  # (K, P, S)


def test_lines_of_errors_are_counted_on_the_test_points():
    run, wrong = trained(32, (0.0, 0.5), tuple(range(8)))
    data = figure("error against p").data
    test = data["lines"][data["lines"].line == "test points"].set_index("p")
    train = data["lines"][data["lines"].line == "training points"].set_index("p")
    for k, p in enumerate((0.0, 0.5)):
        assert test.error[p] == pytest.approx(wrong[0, k].mean(), abs=1e-9)
        assert (test.low[p], test.high[p]) == pytest.approx((wrong[0, k].min(), wrong[0, k].max()))
        assert train.error[p] == pytest.approx(run.train_error[-1, 0, k].mean(), abs=1e-9)
        out = run.params.weights[1][0, k]
        assert number(float(out.astype(float).std())) in text("error against p")
    assert f"{12 * 4 + 1} parameters" in text("error against p")
    bars = data["bars"]
    np.testing.assert_allclose([bars[bars.slot == slot].share.sum() for slot in set(bars.slot)], 1)


def test_a_p_between_the_others_has_a_point_of_its_own():
    lines = figure("error against p", p=0.55).data["lines"]
    test = lines[lines.line == "test points"]
    assert list(test.p) == sorted({*np.arange(10) / 10, 0.55})
    _, wrong = trained(32, (0.55,), tuple(range(8)))
    assert test.set_index("p").error[0.55] == pytest.approx(wrong[0, 0].mean(), abs=1e-9)
    same = figure("error against p").data["lines"]
    shared = test[test.p != 0.55].error.to_numpy()
    np.testing.assert_array_equal(shared, same[same.line == "test points"].error)


def test_without_wrong_labels_or_dropout_nothing_stands_for_them():
    assert not figure("error against p at 1").data["noise"].shown.any()
    assert figure("error against p").data["noise"].shown.all()
    blue = figure("error against p at 0").data["bars"]
    assert sorted(blue.groupby("slot").share.sum().round(9)) == [0, 1]


def test_the_cost_is_measured_on_a_click_alone():
    (action,) = (block for block in blocks("error against p") if isinstance(block, Action))
    (said,) = action.run()
    lines = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert lines[0][2].strip() == "p_drop 0.5"
    seconds = [float(cell) for cell in lines[2][1:3]]
    assert min(seconds) > 0
    assert "fastest of several rounds" in said
    steps = [line for line in lines if line[0].strip().startswith("steps to a training loss")]
    assert len(steps) == 3
    for _, plain, dropped, ratio in steps:
        if "never" not in plain + dropped and float(plain) > 0:
            assert ratio.strip() == number(float(dropped) / float(plain))


# Data and p


def test_cells_are_paired_differences_of_the_test_error():
    seeds, points = tuple(range(6)), (16, 128)
    _, wrong = trained(1024, (0.0, 0.5), seeds, points)
    cells = figure("data and p").data["cells"]
    assert len(cells) == 42
    for k, n in enumerate(points):
        apart = 100 * (wrong[k, 1] - wrong[k, 0])
        cell = cells[(cells.points == n) & (cells.rate == 0.5)].iloc[0]
        assert cell.points_apart == pytest.approx(apart.mean(), abs=1e-9)
        assert cell.points_error == pytest.approx(apart.std(ddof=1) / np.sqrt(6), abs=1e-9)
        clear = abs(apart.mean()) > 2.571 * apart.std(ddof=1) / np.sqrt(6)
        assert bool(cell.sure) == clear != bool(cell.unsure)
    clearly = cells[cells.sure.astype(str) != ""]
    better, worse = (clearly.points_apart < 0).sum(), (clearly.points_apart > 0).sum()
    assert f"clearly better in {better}, clearly worse in {worse};" in text("data and p")
    assert [set(group.slot) for _, group in cells.groupby(cells.points_apart > 0)] == [
        {theme.SLOTS["blue"]},
        {theme.SLOTS["vermilion"]},
    ]


def test_cells_that_are_clear_are_outlined():
    data = figure("data and p").data
    cells = data["cells"]
    clear = (cells.sure.astype(str) != "").to_numpy()
    kind = np.where(clear, np.sign(cells.points_apart), 0).reshape(7, 6)
    around = np.pad(kind, 1)
    border = data["border"]
    changes = (around[:, 1:] != around[:, :-1]).sum() + (around[1:] != around[:-1]).sum()
    assert border.shown.sum() == changes > 0
    for edge in border.itertuples():
        assert (edge.east - edge.column, edge.north - edge.line) in ((0, 1), (1, 0))
        x, y = (edge.east + edge.column) / 2, (edge.north + edge.line) / 2
        beside = [(y, x - 0.5), (y, x + 0.5)] if edge.east == edge.column else [(y - 0.5, x), (y + 0.5, x)]
        one, other = (around[int(row) + 1, int(column) + 1] for row, column in beside)
        assert one != other


def test_training_less_is_compared_with_the_gain():
    said = text("data and p", reg_width=16)
    n, low, step, end, last, saved, gain = re.search(
        r"with (\d+) points the mean test error without dropout was ([\d.]+)% after (\d+) updates and ([\d.]+)% after (\d+)\."
        r".*change it by −([\d.]+) percentage points, where dropout changes it by −([\d.]+\d)",
        said,
    ).groups()
    assert f"with {n} points, **−{gain} ± " in said
    assert float(end) - float(low) == pytest.approx(float(saved), abs=0.11)
    assert int(step) < int(last) == 400
    assert "chosen because it shows the effect" in said
