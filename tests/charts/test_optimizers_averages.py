"""The Averages tab: constant specifications, rows that can be drawn, and texts with the numbers of the run."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import optimizers_base, theme
from charts.figure import Figure
from charts.optimizers_averages import AVERAGES_KNOBS, averages_blocks, averages_shown
from core.averages import INGREDIENTS, SERIES
from core.descent import SurfaceProblem, descend
from core.knobs import number
from core.optimizers import OPTIMIZERS
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, draw, marks

VERSION = "6.4"
KNOBS = {knob.name: knob for knob in AVERAGES_KNOBS}
VIEWS = KNOBS["avg_view"].choices
AVERAGE, WEIGHTS, RMSPROP, ADAM = VIEWS

CASES = (
    {},
    {"avg_beta": 0.0, "avg_noise": 0.0, "avg_rho": 0.0, "avg_beta1": 0.0, "avg_beta2": 0.0, "avg_days": 30, "steps": 1},
    {
        "avg_beta": 0.999, "avg_days": 400, "avg_formula": True, "avg_rho": 0.9999, "avg_beta2": 0.9999, "steps": 500,
        "surface": "Rosenbrock", "gd_lr": 1.0,
    },
    {"avg_series": "zigzag", "avg_formula": True, "start_x": 0.0, "start_y": 0.0, "rmsprop_eps": 0.0, "adam_eps": 0.0},
    {"avg_series": "noise alone", "avg_noise": 0.0, "surface": "Saddle", "start_x": 1.0, "start_y": 0.0, "adam_eps": 1.0},
    {"avg_series": "step", "avg_beta": 0.5, "surface": "Beale", "gd_lr": 10.0, "adam_lr": 10.0, "rmsprop_lr": 10.0},
)  # fmt: skip
every_view = pytest.mark.parametrize("view", VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


def values(**given):
    defaults = {name: knob.default for name, knob in {**optimizers_base.KNOBS, **KNOBS}.items()}
    return {**defaults, **optimizers_base.complete(given), **given}


@cache
def blocks(view, case=0):
    return averages_blocks(values(**CASES[case], avg_view=view))


def figure(view, case=0):
    (found,) = [block for block in blocks(view, case) if isinstance(block, Figure)]
    return found


def said(found):
    return "\n".join(block for block in found if isinstance(block, str))


def test_every_knob_is_in_view_somewhere_and_only_where_it_acts():
    assert {name for view in VIEWS for name in averages_shown(values(avg_view=view))} == set(KNOBS)
    for view in VIEWS:
        shown = averages_shown(values(avg_view=view))
        assert shown[0] == "avg_view"
        before = json.dumps([str(block) for block in averages_blocks(values(avg_view=view))])
        for name, knob in KNOBS.items():
            if name not in shown:
                other = (
                    not knob.default
                    if knob.kind == "bool"
                    else knob.choices[-1]
                    if knob.kind == "choice"
                    else type(knob.default)(knob.high)
                )
                after = averages_blocks(values(avg_view=view, **{name: other}))
                assert json.dumps([str(block) for block in after]) == before, name


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    for width in WIDE_AND_NARROW:
        specs = [figure(view, case).spec(width) for case in range(len(CASES))]
        assert all(spec is specs[0] for spec in specs)
        written = json.dumps(specs[0])
        assert "datasets" not in specs[0]
        assert not HEX.findall(written)
        assert len(written) < 26_000


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for width in WIDE_AND_NARROW:
        found = list(marks(drawn.spec(width)))
        assert {mark.data for mark in found} == set(drawn.data)
        for mark in found:
            assert mark.fields() <= set(drawn.data[mark.data].columns)
    assert sum(map(len, drawn.data.values())) <= 1_600
    for name, frame in drawn.data.items():
        assert len(frame), name
        for column in frame.select_dtypes("number"):
            assert not np.isinf(frame[column]).any()
    assert drawn.alt == figure(view).alt
    text = said(blocks(view, case))
    assert not re.search(r"\b(inf|nan|NaN)\b|∞", text + drawn.caption)


@pytest.mark.parametrize(("view", "case"), [(view, case) for view in VIEWS for case in (0, 2, 4)])
def test_a_figure_draws_without_a_warning(view, case):
    chart = figure(view, case).chart(WIDE_AND_NARROW[1])
    chart["config"] = theme.print_config()
    svg = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
    svg = re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", svg)
    for word in ("NaN", "Infinity", "undefined"):
        assert word not in svg


def test_random_values_are_drawn():
    names = [f"{o}_{k}" for o in ("gd", "adam", "rmsprop") for k in ("lr", "eps")]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        given = {name: draw(knob, rng) for name, knob in KNOBS.items()}
        given |= {n: draw(optimizers_base.KNOBS[n], rng) for n in names if n in optimizers_base.KNOBS}
        surface = str(rng.choice(list(SURFACES)))
        found = averages_blocks(values(**given, surface=surface, steps=30))
        text = said(found) + "".join(block.caption for block in found if isinstance(block, Figure))
        assert not re.search(r"\b(inf|nan|NaN)\b|∞", text), text
        for block in found:
            if isinstance(block, Figure):
                for frame in block.data.values():
                    assert not any(np.isinf(frame[c]).any() for c in frame.select_dtypes("number"))


# Averages


def test_the_notes_bracket_is_shown_going_to_minus_80():
    given = {"avg_series": "constant", "avg_noise": 0.0, "avg_formula": True, "avg_days": 400}
    found = averages_blocks(values(**given))
    misplaced = found[1].data["misplaced"]
    assert misplaced.y.iloc[-1] == pytest.approx(-80)
    np.testing.assert_allclose(misplaced.limit, -80)
    assert misplaced.shown.all()
    assert found[1].data["reach"].left.min() < -80
    assert "(1 − βθ)/(1 − β) = −80" in set(found[1].data["series_ends"].label)
    assert "**−80**" in found[2]
    hidden = figure(AVERAGE).data["misplaced"]
    assert not hidden.shown.any()
    assert "notes" not in said(blocks(AVERAGE))


def test_a_limit_out_of_reach_is_said_and_does_not_make_the_scale():
    found = averages_blocks(values(avg_series="constant", avg_formula=True, avg_beta=0.999, avg_days=30))
    data = found[1].data
    assert data["misplaced"].limit.isna().all()
    assert data["reach"].left.min() > -400
    share = number(100 * (1 - 0.999**30))
    assert f"**{number(-8990)}**, of which {share}% is reached after 30 days" in found[2]


@pytest.mark.parametrize("name", SERIES)
def test_without_noise_the_dots_lie_on_the_line(name):
    days = averages_blocks(values(avg_series=name, avg_noise=0.0))[1].data["days"]
    dotted = days.raw_theory.notna()
    assert dotted.sum() > 10
    np.testing.assert_allclose(days.raw[dotted], days.raw_theory[dotted], atol=1e-12)
    np.testing.assert_allclose(days.x, days.level)


def test_the_published_noise_of_the_average():
    text = said(blocks(AVERAGE))
    assert "in the long run √((1 − β)/(1 + β)) = 0.2294" in text
    assert "(1 + β)/(1 − β) = 19 days" in text
    assert "1/(1 − β) = 10 days scatters by 0.316" in text
    assert "it falls to 1% on day 44." in text
    days = figure(AVERAGE).data["days"]
    for kind in ("raw", "corrected", "simple"):
        dotted = days[f"noise_{kind}_theory"].notna()
        measured, exact = days[f"noise_{kind}"][dotted], days[f"noise_{kind}_theory"][dotted]
        np.testing.assert_allclose(measured, exact, rtol=5 / math.sqrt(2 * 2000))


# Weights


def test_the_published_windows_are_drawn_and_said():
    text = said(blocks(WEIGHTS))
    for part in (
        "**10 days** hold **65.1%**",
        "the last 6.58 days",
        "is 9 days old",
        "**19 days**",
        "1/(1 − μ) = **10**",
    ):
        assert part in text
    flags = figure(WEIGHTS).data["flags"]
    np.testing.assert_allclose(flags["at"], [6.5788, 9, 10, 19], atol=1e-4)
    assert (np.diff(flags.top) < 0).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.97, 0.999])
@pytest.mark.parametrize("days", [30, 77, 400])
def test_bars_hold_all_the_weight_that_is_shown(beta, days):
    data = averages_blocks(values(avg_view=WEIGHTS, avg_beta=beta, avg_days=days))[1].data
    bars, sums = data["bars"], data["sums"]
    there = bars.weight.notna()
    widths = (bars.high - bars.low)[there]
    last = min(days, int(sums.n.max()))
    assert widths.sum() == last
    assert (bars.weight[there] * widths).sum() == pytest.approx(1 - beta**last, abs=1e-12)
    assert sums.share.max() == pytest.approx(1 - beta**last, abs=1e-12)
    assert (bars.corrected[there] * widths).sum() == pytest.approx(
        (1 - beta**last) / (1 - beta**days), abs=1e-12
    )
    assert len(bars) <= 61
    assert data["flags"]["at"].max() < sums.n.max()


def test_without_a_memory_nothing_is_averaged():
    found = averages_blocks(values(avg_view=WEIGHTS, avg_beta=0.0))
    flags = found[1].data["flags"]
    assert not flags[flags.label.str.startswith("half-life")].shown.any()
    assert "0 days" not in found[2]
    assert "instead of 1" not in found[2]
    assert "**1.00 days** holds **99.9%**" in averages_blocks(values(avg_view=WEIGHTS, avg_beta=0.001))[2]
    assert "**1.001001** instead of 1" in averages_blocks(values(avg_view=WEIGHTS, avg_beta=0.001))[2]
    assert "β^100, is below 1e−9" in averages_blocks(values(avg_view=WEIGHTS, avg_beta=0.5))[2]


@every_view
def test_one_is_singular(view):
    given = {**CASES[1], "avg_formula": True, "avg_view": view}
    for days in ({}, {"avg_beta1": 0.9, "avg_beta2": 0.999, "avg_rho": 0.9}):
        found = averages_blocks(values(**{**given, **days}))
        written = said(found) + found[1].caption
        assert not re.search(r"(?<![\d.])1 (steps|days)|1 day\*\* hold\b", written)


# RMSProp


def test_rmsprop_shows_its_own_run():
    given = {"surface": "Rosenbrock", "steps": 40, "avg_rho": 0.95, "rmsprop_lr": 0.03}
    found = averages_blocks(values(avg_view=RMSPROP, **given))
    run = descend(
        SurfaceProblem(SURFACES["Rosenbrock"]),
        OPTIMIZERS["RMSProp"].build(lr=0.03, rho=0.95),
        [-1.2, 1.0],
        40,
    )
    steps = found[1].data["steps"]
    for i, name in enumerate("xy"):
        rows = steps[steps.coordinate == name]
        np.testing.assert_allclose(rows.square, run.gradient[:-1, i] ** 2)
        np.testing.assert_allclose(rows.length * 0.03, np.abs(np.diff(run.path[:, i])), atol=1e-14)
        np.testing.assert_allclose(rows.rate * np.abs(run.gradient[:-1, i]), rows.length * 0.03, rtol=1e-9)
        dotted = rows.theory.notna()
        np.testing.assert_allclose(rows.s[dotted], rows.theory[dotted], rtol=1e-12)
    assert f"= **{number(1 / math.sqrt(0.05))} η** in both coordinates" in found[2]


def test_rmsprop_where_nothing_moves():
    found = averages_blocks(values(avg_view=RMSPROP, start_x=0.0, start_y=0.0))
    assert "nothing moves" in found[2]
    assert not found[1].data["rates_ends"].shown.any() or found[1].data["steps"].rate.notna().any()


def test_rmsprop_without_memory_takes_equal_steps():
    text = averages_blocks(values(avg_view=RMSPROP, avg_rho=0.0))[2]
    assert "there is no memory" in text
    assert "looks back" not in text


# Adam


def test_adam_without_memory_has_nothing_to_correct():
    given = {"avg_view": ADAM, "avg_beta1": 0.0, "avg_beta2": 0.0, "adam_eps": 0.5, "steps": 5}
    found = averages_blocks(values(**given))
    assert "every step is **0.667 η** long" in found[3]
    gap = found[1].data["gap"]
    one = [gap[gap.name == name].y.to_numpy() for name in ("scaling", "both", "both, corrected")]
    np.testing.assert_allclose(one[1], one[0])
    np.testing.assert_allclose(one[2], one[0])


def test_the_published_steps_of_adam_without_correction():
    text = said(blocks(ADAM))
    assert "| both, uncorrected | 3.16 | 6.53 | 1.26 |" in text
    assert "| both, corrected (Adam) | 1.00 | 1.00 | 1.00 |" in text
    assert "(1 − β₁)/√(1 − β₂) = **3.16 η**" in text
    assert "here 3.162 and 3.162 η" in text
    assert "6.57 η at step 12" in text
    lines = figure(ADAM).data["factor"]
    assert set(lines.name) == set(INGREDIENTS)


def test_the_closed_form_lies_on_the_lines_of_gd_and_the_average():
    gap, theory = figure(ADAM).data["gap"], figure(ADAM).data["gap_theory"]
    assert theory.shown.all()
    half = len(theory) // 2
    for name, dots in (("GD", theory[:half]), ("average", theory[half:])):
        line = gap[gap.name == name].set_index("step").y
        np.testing.assert_allclose(line[dots.step], dots.y, rtol=1e-9)


def test_divergence_is_dated_in_the_table_and_on_the_line():
    found = averages_blocks(values(avg_view=ADAM, surface="Rosenbrock", gd_lr=1.0))
    run = descend(SurfaceProblem(SURFACES["Rosenbrock"]), OPTIMIZERS["GD"].build(lr=1.0), [-1.2, 1.0], 60)
    assert f"| GD | 1 | 1 | 1 | not finite at step {int(run.diverged_at)} |" in found[2]
    labels = set(found[1].data["gap_ends"].label)
    assert any(re.fullmatch(r"GD ↑\d+", label) for label in labels)


def test_what_the_page_adds_to_the_gradients_is_said_not_to_act():
    for view in (RMSPROP, ADAM):
        noisy = averages_blocks(values(avg_view=view, noise=1.0))
        assert "does not act here" in noisy[1].caption
        assert "not act here" not in figure(view).caption
