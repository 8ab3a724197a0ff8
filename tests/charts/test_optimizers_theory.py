"""The Theory tab: constant specifications, rows that can be drawn, and runs that do what the closed forms say."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import optimizers_base as base
from charts import theme
from charts.figure import Figure
from charts.optimizers_theory import LINEAR, TAB, THEORY_KNOBS, theory_blocks, theory_shown
from charts.topic import Link
from core.knobs import number
from core.quadratic import noise_variance
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
KNOBS = {knob.name: knob for knob in THEORY_KNOBS}
VIEWS = KNOBS["theory_view"].choices
CURVATURES = np.array([0.08, 4.0])

CASES = (
    {},
    {"theory_optimizer": "GD", "gd_lr": 0.504, "steps": 500},
    {"theory_optimizer": "Nesterov", "steps": 1, "theory_noise": 0.0},
    {"start_x": 0.0, "start_y": 0.0, "theory_runs": 8},
    {"momentum_momentum": 1.0, "theory_noise": 5.0},
    {"momentum_lr": 10.0, "steps": 500, "optimizers": ("GD",), "momentum_weight_decay": 0.1},
    {"theory_optimizer": "GD", "kappa": 1.0, "gd_lr": 0.25, "start_y": 0.0},
    {"surface": "Rosenbrock", "theory_optimizer": "GD"},
    {"surface": "Himmelblau", "steps": 2},
    {"momentum_lr": 1e-6, "theta": 30.0},
)
every_view = pytest.mark.parametrize("view", VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


def values(**given):
    defaults = {knob.name: knob.default for knob in (*base.KNOBS.values(), *THEORY_KNOBS)}
    return {**defaults, **base.complete(given), **given}


@cache
def blocks(view, case=0):
    return theory_blocks(values(theory_view=view, **CASES[case]))


def parts(found, kind):
    return [block for block in found if isinstance(block, kind)]


def figure(view, case=0):
    (found,) = parts(blocks(view, case), Figure)
    return found


def text(view, case=0):
    return "\n".join(parts(blocks(view, case), str))


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    for width in WIDE_AND_NARROW:
        specs = [figure(view, case).spec(width) for case in range(len(CASES))]
        assert all(spec is specs[0] for spec in specs)
        assert "datasets" not in specs[0]
        assert not HEX.findall(json.dumps(specs[0]))


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(WIDE_AND_NARROW[0])):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    assert sum(len(frame) for frame in drawn.data.values()) < 1500
    for frame in drawn.data.values():
        assert len(frame)
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
    extent = drawn.data["extent"]
    assert (extent.max() > extent.min()).all()
    assert drawn.alt == figure(view).alt
    assert not re.search(r"nan|inf\b", text(view, case), re.IGNORECASE)


@pytest.mark.parametrize(("view", "case"), [(view, case) for view in VIEWS for case in (0, 3)])
def test_a_figure_draws_without_a_warning(view, case):
    chart = figure(view, case).chart(WIDE_AND_NARROW[1])
    chart["config"] = theme.print_config()
    assert vl_convert.vegalite_to_png(chart, vl_version=VERSION, scale=1)[1:4] == b"PNG"


def seen(frame, transforms, scrub):
    """Return the rows that a mark's filters leave."""
    for transform in transforms:
        code = transform["filter"].replace("datum.", "").replace("== scrub", f"== {scrub}")
        frame = frame.query(re.sub(r"^!(\w+)$", r"not \1", code))
    return frame


@every_view
@every_case
def test_every_filtered_view_has_a_finite_extent(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(WIDE_AND_NARROW[0])):
        for scrub in (0, 25, 100) if "scrub" in str(mark.transforms) else (0,):
            frame = seen(drawn.data[mark.data], mark.transforms, scrub)
            for channel in ("x", "x2", "y", "y2"):
                field = mark.encoding.get(channel, {}).get("field")
                if field and mark.encoding[channel].get("type") != "nominal":
                    assert frame[field].notna().any(), (mark.data, field)


def test_lines_of_rates_say_where_they_leave():
    data = figure("rates").data
    leaves = data["leaves"][data["leaves"].shown]
    assert list(leaves.label) == ["λ₂ ↑"]
    line = data["lines"][data["lines"].name == "λ₂"].dropna()
    assert leaves.lr.item() == line.lr.max() > 0.95
    assert line.rate.iloc[-1] > 1.03
    assert list(figure("rates", 6).data["leaves"].label) == ["λ₁, λ₂ ↑", ""]  # κ = 1: one curve


def test_controls_of_every_view():
    for view in VIEWS:
        shown = theory_shown(values(theory_view=view))
        assert set(shown) <= set(KNOBS)
        assert shown[:2] == ("theory_view", "theory_optimizer")
    assert set(theory_shown(values(theory_view="noise"))) == set(KNOBS)


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_is_its_quadratic_near_its_minimum_or_says_why_not(surface):
    given = values(surface=surface, theory_view="components", theory_optimizer="GD")
    found = theory_blocks(given)
    entry = SURFACES[surface]
    if not parts(found, Figure):
        assert not any(m.isolated and m.smooth for m in entry.minima)
        assert surface in found[0]
        assert parts(found, Link)
        return
    apart = float(re.search(r"differ by at most ([\d.e−]+)", found[2])[1].replace("−", "-"))
    exact = base.quadratic(given) is not None
    assert apart < (1e-12 if exact else 0.2)
    assert ("itself, started" in found[0]) == (not exact)


@pytest.mark.parametrize("name", LINEAR)
def test_lines_and_dots_are_run_and_closed_form(name):
    drawn = parts(theory_blocks(values(theory_optimizer=name, theta=25.0)), Figure)[0].data
    lines, dots = drawn["lines"], drawn["theory"][drawn["theory"].shown]
    assert len(dots) == 62
    for step, y in zip(dots.step, dots.y, strict=True):
        at = lines[lines.step == step].y
        assert np.abs(np.log(at / y)).min() < 1e-8  # what the rotation rounds off the steep component


def test_bars_add_up_to_the_loss():
    found = base.run(values(steps=60))["Momentum"].value
    bars = figure("components").data["parts"]
    total = bars[bars.name == "sum"].set_index("at").y
    steps = figure("components").data["scrubbed"].set_index("at").step
    np.testing.assert_allclose(total, found[steps.loc[total.index]], rtol=1e-9)
    both = bars[bars.name != "sum"].groupby("at").y.sum()
    np.testing.assert_allclose(both, total, rtol=1e-9)


@pytest.mark.parametrize("name", LINEAR)
def test_dots_of_the_rates_lie_on_the_lines(name):
    drawn = parts(theory_blocks(values(theory_view="rates", theory_optimizer=name)), Figure)[0].data
    lines = drawn["lines"]
    measured = drawn["measured"][drawn["measured"].shown].dropna()
    assert len(measured) > 40
    named = {n: lines[lines.name == n].dropna() for n in ("λ₁", "λ₂")}
    # Beside a steep piece of a line a dot lies far from what is interpolated: the median holds everywhere.
    gaps = [
        min(abs(np.interp(lr, line.lr, line.rate) - rate) for line in named.values())
        for lr, rate in zip(measured.lr, measured.rate, strict=True)
    ]
    assert np.median(gaps) < 1e-3


def test_links_go_where_theory_says():
    for name in LINEAR:
        found = theory_blocks(values(theory_view="rates", theory_optimizer=name))
        links = {link.label: link for link in parts(found, Link)}
        assert all(link.tab == TAB and name in link.values["optimizers"] for link in links.values())
        texts = {label: theory_blocks(link.values)[2] for label, link in links.items()}
        assert "at the limit" in texts["At the limit"]
        assert "neither arrives nor leaves" in texts["At the limit"]
        if name != "GD":
            assert "λ₁ = 0.08 is critically damped" in texts["Critical damping of λ₁"]
            assert "Both have the same rate" in texts["Best η and μ"]
    values_of = {link.label: link.values for link in parts(blocks("rates"), Link)}
    assert values_of["Best η and μ"]["momentum_lr"] == pytest.approx((2 / (math.sqrt(0.08) + 2)) ** 2)
    assert values_of["At the limit"]["momentum_lr"] == pytest.approx(0.95)


def test_numbers_of_the_reading():
    found = text("components")
    assert "5.26% of its limit 2(1+μ)/λ₂ = 0.95" in found
    assert f"predicted **{number(math.sqrt(0.9), 4)}**" in found
    assert "overflows at step" in text("components", 5)
    assert "The run diverges" in text("components", 1)
    assert "no learning rate converges" in text("rates", 4)
    assert "without effect here: weight decay 0.1" in text("components", 5)
    assert "not among the page's optimizers" in text("components", 5)
    assert "the minimum itself" in text("components", 3)


def test_the_floor_and_where_theory_stops():
    data, found = figure("noise").data, text("noise")
    floor = 0.5 * float(CURVATURES @ noise_variance(0.05, 0.9, CURVATURES, 1.0))
    half = 0.5 * float(CURVATURES @ noise_variance(0.025, 0.9, CURVATURES, 1.0))
    assert data["floor"].y.item() == pytest.approx(floor)
    assert f"a floor of **{number(floor)}**" in found
    assert f"Half the learning rate leaves {number(half)}" in found
    free = data["runs"].free[data["runs"].piece == 0].to_numpy()
    # Oscillating, the run without noise is below the floor at step 24 first, and for good from 35.
    assert data["stop"].step.item() == 35
    assert free[24] <= floor < min(free[23], free[34])
    assert not (free[35:] > floor).any()
    assert "From **step 35** on" in found
    assert "first time below is step 24" in found
    # Half σ²·lr/(1 − μ) far below the limit, whatever the curvature.
    assert f"here {number(0.05 / 2 / 0.1)}" in found
    assert "here 0.05:" in "\n".join(
        parts(theory_blocks(values(theory_view="noise", momentum_momentum=0.5)), str)
    )
    np.testing.assert_allclose(free[:20], base.run(values())["Momentum"].value[:20], rtol=1e-9)
    assert "no floor" in text("noise", 4)
    assert "Without noise all runs are one" in text("noise", 2)
    assert "below the floor already" in text("noise", 3)


def test_the_mean_of_many_runs_is_near_the_expected_loss():
    given = values(theory_view="noise", theory_runs=256, steps=200)
    drawn = parts(theory_blocks(given), Figure)[0].data
    dots = drawn["theory"][drawn["theory"].shown]
    ratio = drawn["runs"]["mean"][drawn["runs"].piece == 0].to_numpy()[dots.step] / dots.y
    assert len(ratio) == 41
    np.testing.assert_allclose(ratio, 1, rtol=0.25)
    other = parts(theory_blocks({**given, "theory_seed": 1}), Figure)[0].data["runs"]["mean"]
    assert (other != drawn["runs"]["mean"]).any()
