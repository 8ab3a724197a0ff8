"""The Rotation tab: constant specification, rows that can be drawn, and the counts of separate runs at every angle."""

import json
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_base import KNOBS, complete
from charts.optimizers_rotation import ROTATION_KNOBS, rotation_blocks
from core.descent import SurfaceProblem, descend, steps_to
from core.optimizers import OPTIMIZERS
from core.surfaces import SURFACES, rotate_start
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
OWN = {knob.name: knob for knob in ROTATION_KNOBS}
PAGE, FIRST, EACH = OWN["rot_rates"].choices
CASES = (
    {},
    {"rot_rates": FIRST, "rot_horizon": 60, "theta": 30.0, "start_x": -3.0},
    {"rot_rates": EACH, "rot_horizon": 40, "rot_methods": ("RMSProp", "GD"), "kappa": 5.0, "rot_path": "GD"},
    {"gd_lr": 0.7, "adam_lr": 10.0, "rot_horizon": 1000, "rot_methods": ("GD",), "rot_path": "GD"},
    {"start_x": 0.0, "start_y": 0.0, "rot_horizon": 20},
    {"surface": "Himmelblau", "rot_target": 1e-8, "rot_methods": ("AdamW", "Momentum"), "kappa": 3.0},
    {"rot_horizon": 20, "rot_target": 1e-8, "rot_path": "GD"},
)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


def values(**given):
    defaults = {name: knob.default for name, knob in {**KNOBS, **OWN}.items()}
    return {**defaults, **complete(given), **given}


@cache
def blocks(case=0):
    return rotation_blocks(values(**CASES[case]))


def figure(case=0):
    (found,) = [block for block in blocks(case) if isinstance(block, Figure)]
    return found


def text(case=0):
    return "\n".join(block for block in blocks(case) if isinstance(block, str))


def test_the_specification_is_constant_and_holds_no_data_or_color():
    for width in WIDE_AND_NARROW:
        specs = [figure(case).spec(width) for case in range(len(CASES))]
        assert all(spec is specs[0] for spec in specs)
        assert "datasets" not in specs[0]
        assert not HEX.findall(json.dumps(specs[0]))
        assert len(json.dumps(specs[0])) < 16_000


@every_case
def test_rows_can_be_drawn(case):
    drawn = figure(case)
    for mark in marks(drawn.spec(WIDE_AND_NARROW[0])):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    for frame in drawn.data.values():
        assert 0 < len(frame) < 1000
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
            assert np.isfinite(frame[name]).any()
        if "steps" in frame.select_dtypes("number"):
            assert (frame.steps >= 1).all()
    for word in ("inf", "nan", "NaN"):
        assert word not in text(case)


@pytest.mark.parametrize("case", [3])
def test_a_figure_draws_without_a_warning(case):
    chart = figure(case).chart(WIDE_AND_NARROW[1])
    chart["config"] = theme.print_config()
    assert vl_convert.vegalite_to_png(chart, vl_version=VERSION, scale=1)[1:4] == b"PNG"


def test_the_lines_are_the_counts_of_single_runs():
    lines = figure().data["lines"]
    rates = {"GD": 0.45, "Momentum": 0.05, "RMSProp": 0.1, "Adam": 0.3, "AdaGrad": 0.9, "Nesterov": 0.05}
    for name, rate in rates.items():
        for angle in (0.0, 15.0, 45.0):
            problem = SurfaceProblem(SURFACES["Quadratic bowl"], {"kappa": 50.0, "theta": angle})
            run = descend(problem, OPTIMIZERS[name].build(lr=rate), rotate_start((-5.0, -2.0), angle), 200)
            drawn = lines[(lines.name == name) & (lines.angle == angle)].steps.item()
            assert drawn == steps_to(run.value, 0.01 * run.value[0])
    assert "**GD (33), Momentum (37) and Nesterov (32)**" in text()
    assert "RMSProp (9 at 0°, 77 at 42°)" in text()
    assert "the very same counts" in text()


def test_theory_stands_on_the_lines():
    drawn = figure()
    lines, theory = drawn.data["lines"], drawn.data["theory"]
    assert len(theory) == 3 * 7
    for angle, steps in zip(theory.angle, theory.steps, strict=True):
        assert (lines[lines.angle == angle].steps == steps).any()


def test_the_start_keeps_its_place_among_the_axes_of_a_turned_page():
    drawn = figure(1)
    start = drawn.data["marks"].iloc[0]
    x, y, angle = -3.0, -2.0, np.radians(30.0)
    expected = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    assert (start.u, start.v) == pytest.approx(expected)
    assert drawn.data["page"].angle[0] == 30
    paths = drawn.data["paths"]
    for _, path in paths.groupby("name", observed=True):
        assert (path.u.iloc[0], path.v.iloc[0]) == pytest.approx(expected)


def test_rates_are_tuned_at_zero_or_at_each_angle():
    given = {"rot_methods": ("RMSProp", "Adam"), "rot_horizon": 100}
    page, first, each = (
        rotation_blocks(values(**given, rot_rates=how))[1].data["lines"] for how in (PAGE, FIRST, EACH)
    )
    assert (first[first.angle == 0].steps.to_numpy() <= page[page.angle == 0].steps.to_numpy()).all()
    assert (each.steps.to_numpy() <= first.steps.to_numpy()).all()
    assert each.groupby("name", observed=True).rate.nunique().max() > 1
    assert first.groupby("name", observed=True).rate.nunique().max() == 1


def test_runs_that_do_not_arrive_stand_at_the_horizon():
    lines = figure(3).data["lines"]
    assert lines.late.all()
    assert (lines.steps == 1000).all()
    assert "GD arrives at no angle; it diverges at every angle, first at step" in text(3)
    assert "more than 20" in figure(6).data["lines"].text.to_numpy()


def said(**given):
    return rotation_blocks(values(**given))[-1]


def test_who_never_arrives_has_not_seen_the_angle():
    alone = said(rot_methods=("GD",), gd_lr=0.01)
    assert alone == "Within 200 steps GD arrives at no angle."
    beside = said(rot_methods=("GD", "RMSProp", "AdaGrad"), gd_lr=0.01, rot_target=1e-8, rot_horizon=80)
    assert "Within 80 steps GD and AdaGrad arrive at no angle." in beside
    assert "The angle matters to RMSProp (61 at 0°, more than 80 at" in beside
    assert "coordinate" not in said(rot_methods=("GD",))


def test_the_last_sentence_follows_the_counts():
    assert "AdaGrad, RMSProp and Adam take longer than at 0°" in said()
    round_, steep = said(kappa=1.0), said(kappa=1000.0)
    assert "there is no valley to turn" in round_
    assert "lies along a turned valley" not in round_ + steep
    assert "Some angles save steps: AdaGrad (3 at 45°, 5 at 0°)" in steep


def test_a_small_target_is_a_factor():
    assert "target 1e−8 of f₀" in figure(6).caption
    assert figure(6).data["titles"].steps[0].startswith("Steps to 1e−8 of f₀")
    assert "target 1% of f₀" in figure().caption


def test_another_surface_leaves_the_bowl_at_its_defaults():
    assert "Only a quadratic bowl turns: here κ = 50" in text(5)
    assert "κ = 50" in figure(5).caption
    assert not figure(5).data["page"].shown.any()
    assert "Momentum η 0.05" in figure(5).caption
    assert "rates suggested for the bowl" in figure(5).caption
    assert "rates as set" not in figure(5).caption


def test_no_optimizer_no_figure():
    assert rotation_blocks(values(rot_methods=())) == ["Choose at least one optimizer."]
