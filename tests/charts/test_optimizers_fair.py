"""The Fair tab: constant specifications, rows that can be drawn, and texts with the numbers of separate runs."""

import json
import math
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_base import BOWL, KNOBS, complete, settings, suggested
from charts.optimizers_fair import FAIR_KNOBS, PAIRS, fair_blocks, fair_shown
from core.descent import SurfaceProblem, descend
from core.knobs import number
from core.optimizers import OPTIMIZERS
from core.quadratic import heavy_ball_limit
from core.stochastic import MiniBatches
from core.surfaces import SURFACES
from core.tuning import OBJECTIVES, log_rates, starts_around
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
OWN = {knob.name: knob for knob in FAIR_KNOBS}
VIEWS = OWN["fair_view"].choices
RATES, MAP, RANKING = VIEWS

CASES = (
    {},
    {"surface": "Rosenbrock", "fair_objective": "median steps", "fair_horizon": 10, "fair_starts": 1, "fair_budget": 9},
    {"surface": "Beale", "fair_objective": "worst loss", "fair_methods": ("GD",), "fair_horizon": 20},
    {"start_x": 0.0, "start_y": 0.0, "fair_starts": 1, "fair_methods": ("GD", "Adam"),
     "fair_horizon": 10, "fair_pair": "Adam: beta1 × beta2"},
    {"momentum_momentum": 1.0, "gd_lr": 10.0, "nesterov_weight_decay": 0.1, "fair_horizon": 30, "fair_budget": 9},
    {"surface": "McCormick", "noise": 2.0, "clip": "norm", "fair_methods": ("RMSProp", "Adam"),
     "fair_horizon": 30, "fair_pair": "Adam: lr × beta2"},
)  # fmt: skip
every_view = pytest.mark.parametrize("view", VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


def values(**given):
    defaults = {name: knob.default for name, knob in {**KNOBS, **OWN}.items()}
    return {**defaults, **complete(given), **given}


@cache
def blocks(view, case=0):
    return fair_blocks(values(**CASES[case], fair_view=view))


def figure(view, case=0):
    (found,) = [block for block in blocks(view, case) if isinstance(block, Figure)]
    return found


def text(view, case=0):
    return "\n".join(block for block in blocks(view, case) if isinstance(block, str))


@every_view
def test_the_controls_of_a_view_exist_and_all_are_shown_somewhere(view):
    assert set(fair_shown({"fair_view": view})) - {""} <= set(OWN)
    assert {name for v in VIEWS for name in fair_shown({"fair_view": v})} - {""} == set(OWN)


def test_every_pair_of_knobs_belongs_to_its_optimizer():
    assert {pair.optimizer for pair in PAIRS.values()} >= {"Momentum", "Nesterov", "RMSProp", "Adam"}
    for pair in PAIRS.values():
        assert {pair.across, pair.up} <= {knob.name for knob in OPTIMIZERS[pair.optimizer].knobs}


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    for width in WIDE_AND_NARROW:
        same = [case for case in range(len(CASES)) if figure(view, case).name == figure(view).name]
        specs = [figure(view, case).spec(width) for case in same]
        assert len(specs) > 2
        assert all(spec is specs[0] for spec in specs)
        for spec in (specs[0], figure(MAP, 3).spec(width)):
            assert "datasets" not in spec
            assert not HEX.findall(json.dumps(spec))
            assert len(json.dumps(spec)) < 19_000


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(WIDE_AND_NARROW[0])):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    for frame in drawn.data.values():
        assert 0 < len(frame) < 1000
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
            assert np.isfinite(frame[name]).any()
    for frame in drawn.data.values():
        for name in {"score", "rate", "now", "later", "x0", "x1", "y0", "y1"} & set(
            frame.select_dtypes("number")
        ):
            assert not (frame[name] <= 0).any()
    for word in ("inf", "nan", "NaN"):
        assert word not in text(view, case)


@pytest.mark.parametrize(("view", "case"), [(RATES, 1), (MAP, 3)])
def test_a_figure_draws_without_a_warning(view, case):
    chart = figure(view, case).chart(WIDE_AND_NARROW[1])
    chart["config"] = theme.print_config()
    assert vl_convert.vegalite_to_png(chart, vl_version=VERSION, scale=1)[1:4] == b"PNG"


@cache
def tuned_by_hand(name, budget=25, horizon=100, starts=8):
    """Return rates, and the median f − f* of single runs with each of them and with the page's."""
    surface, entry = SURFACES[BOWL], OPTIMIZERS[name]
    rates = log_rates(suggested(name, surface), budget)
    begin = starts_around(surface.starts[0], surface.window, starts)
    problem, page = SurfaceProblem(surface, {"kappa": 50.0, "theta": 0.0}), settings(name, values())
    finals = []
    for rate in [*rates, page["lr"]]:
        ends = descend(problem, entry.build(**{**page, "lr": rate}), begin, horizon).value[-1]
        finals.append(np.median(np.where(np.isfinite(ends), ends, np.inf)))
    return rates, np.array(finals[:-1]), finals[-1]


def test_the_rates_drawn_are_medians_of_single_runs():
    drawn = figure(RATES)
    lines, best, page = (drawn.data[name] for name in ("lines", "best", "page"))
    for name in ("GD", "Adam"):
        rates, finals, own = tuned_by_hand(name)
        line = lines[lines.name == name]
        np.testing.assert_allclose(line.rate, rates)
        there = np.isfinite(line.score.to_numpy())
        np.testing.assert_allclose(line.score[there], finals[there], rtol=1e-9)
        assert (finals[~there] > 10 * 8).all()
        top = best[best.name == name].iloc[0]
        assert (top.rate, top.score) == pytest.approx((rates[np.argmin(finals)], finals.min()))
        assert np.isclose(page.score, own).any()


def test_growth_begins_beside_the_exact_limit():
    drawn = figure(RATES)
    np.testing.assert_allclose(sorted(drawn.data["limits"].rate), sorted([0.5, 0.95, 0.5 * 1.9 / 2.8]))
    assert "exact limit 0.5 (between them)" in text(RATES)
    assert text(RATES).count("(between them)") == 3
    rates, finals, _ = tuned_by_hand("GD")
    first = rates[np.argmax(finals > 8.5)]
    assert np.isclose(drawn.data["growing"].rate, first).any()


def test_theory_falls_silent_where_it_does_not_hold():
    assert "exact limit" not in text(RATES, 1)
    limits = figure(RATES, 4).data["limits"]
    np.testing.assert_allclose(limits.rate[limits.shown], [0.5])  # μ = 1 and weight decay have no limit


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"noise": 20.0}, "noise decides"),
        ({"surface": "Linear regression", "batch_size": 1}, "mini-batches decide"),
        ({"clip": "norm"}, "clipping decides"),
    ],
)
def test_the_exact_limit_is_left_out_where_gradients_are_not_exact(given, why):
    _, drawn, said = fair_blocks(
        values(**given, fair_methods=("GD",), fair_horizon=20, fair_budget=9, fair_starts=2)
    )
    assert "exact limit " not in said
    assert why in said
    assert not drawn.data["limits"].shown.any()


def test_an_exact_limit_apart_from_the_growth_seen_says_on_which_side():
    said = fair_blocks(values(fair_methods=("GD", "Momentum"), fair_horizon=10))[2]
    assert "0.577 and 0.808, exact limit 0.95 (above them: after 10 steps" in said


def test_every_start_has_mini_batches_of_its_own():
    given = {"surface": "Linear regression", "batch_size": 4, "seed": 3, "fair_horizon": 20, "fair_budget": 9}
    _, drawn, _ = fair_blocks(values(**given, fair_methods=("GD",), fair_starts=3))
    assert "every start with batches of its own, seeds 3 to 5" in drawn.caption
    surface = SURFACES["Linear regression"]
    begin = starts_around(surface.starts[0], surface.window, 3)
    line = drawn.data["lines"].iloc[4]
    rule = OPTIMIZERS["GD"].build(lr=line.rate)
    ends = [descend(MiniBatches(surface.samples, 4, 3 + k), rule, begin[k], 20).value[-1] for k in range(3)]
    assert line.score == pytest.approx(np.median(ends) - surface.infimum, rel=1e-6)


def test_the_end_of_a_budget_is_said():
    assert "**At the end of the budget**" in text(RATES)
    assert "AdamW (highest)" in text(RATES)
    short = fair_blocks(values(fair_methods=("GD",), gd_lr=0.1))[2]
    assert "No best rate is at an end of its budget." in short


def test_the_horizon_and_the_objective_stand_in_the_figure():
    for view in VIEWS:
        written = " ".join(figure(view).data["titles"].astype(str).to_numpy().ravel())
        assert "median f − f* after 100 steps" in written.lower().replace("f − f*", "f − f*")
    assert "at most 10" in figure(RATES, 1).data["titles"].text[0]


def test_the_ranking_is_in_order_and_carries_rates_to_the_longer_horizon():
    drawn = figure(RANKING)
    lines = drawn.data["lines"]
    assert (np.diff(lines.now) >= 0).all()
    for name in ("GD", "Momentum"):
        _, finals, own = tuned_by_hand(name)
        _, longer, _ = tuned_by_hand(name, horizon=500)
        row = lines[lines.name == name].iloc[0]
        assert row.now == pytest.approx(finals.min())
        assert row.now_before == pytest.approx(own)
        floor = 1e-16 * float(SURFACES[BOWL].f(np.array([-5.0, -2.0])))
        assert row.later_before == pytest.approx(max(longer[np.argmin(finals)], floor), rel=0.2)
        assert row.later == pytest.approx(max(longer.min(), floor), rel=0.2)
    assert "With 5 times the horizon, 500 steps" in text(RANKING)
    at_500 = fair_blocks(values(fair_view=RANKING, fair_horizon=500, fair_methods=("GD",)))[2]
    assert "With 2 times the horizon, 1000 steps" in at_500
    assert (
        "RMSProp, AdaGrad, AdamW, Nesterov, Momentum and Adam alike, below 1e−16 of their start, then GD."
        in text(RANKING)
    )
    assert (np.sort(lines.later.to_numpy())[:-1] <= floor * 1.2).all()
    assert "(the first 2, below 1e−16 of their start, by their steps to 1%)" in text(RANKING)


def test_the_map_shows_single_runs_and_the_exact_border():
    drawn = figure(MAP)
    cells, border = drawn.data["cells"], drawn.data["border"]
    assert len(cells) == 31 * 25
    assert len(cells) + sum(map(len, drawn.data.values())) - len(cells) < 1500
    momenta = 1 - border.y.to_numpy()
    np.testing.assert_allclose(border.x, heavy_ball_limit(4.0, np.clip(momenta, 0, None)), rtol=1e-9)
    bad = cells.slot == theme.SLOTS["vermilion"]
    rate, momentum = np.sqrt(cells.x0 * cells.x1), 1 - np.sqrt(cells.y0 * cells.y1)
    beyond = rate > heavy_ball_limit(4.0, np.clip(momentum, 0, None))
    assert (beyond & ~bad).sum() + (~beyond & bad).sum() <= 12  # of 775: 100 steps are not the long run
    assert "By theory 0 of 775 cells lie on another side" in text(MAP)
    surface = SURFACES[BOWL]
    begin = starts_around(surface.starts[0], surface.window, 4)
    k = 12 * 31 + 20
    rule = OPTIMIZERS["Momentum"].build(lr=float(rate[k]), momentum=float(momentum[k]))
    ends = descend(SurfaceProblem(surface, {"kappa": 50.0, "theta": 0.0}), rule, begin, 100).value[-1]
    assert float(cells.text[k].replace("−", "-")) == pytest.approx(np.median(ends), rel=0.01)


def test_the_fastest_in_the_long_run_is_polyaks():
    points = figure(MAP).data["points"]
    fastest = points.iloc[2]
    root = math.sqrt(0.08), math.sqrt(4.0)
    factor = (root[1] - root[0]) / sum(root)
    assert (fastest.x, fastest.y) == pytest.approx(((2 / sum(root)) ** 2, 1 - factor**2))
    assert "fastest pair is η 0.768 with momentum 0.566, a factor 0.752 a step" in text(MAP)

    def slowest(rate, momentum):
        return max(np.abs(np.roots([1, rate * k - 1 - momentum, momentum])).max() for k in (0.08, 4.0))

    cells = figure(MAP).data["cells"]
    pairs = zip(np.sqrt(cells.x0 * cells.x1), 1 - np.sqrt(cells.y0 * cells.y1), strict=True)
    best = min((slowest(rate, momentum), rate, momentum) for rate, momentum in pairs)
    assert f"η {number(best[1])} with momentum {number(best[2])}, a factor {number(best[0])}" in text(MAP)


def test_a_map_of_two_memories_is_a_figure_of_its_own():
    drawn = figure(MAP, 3)
    assert drawn.name == "optimizers/fair_memories"
    assert figure(MAP).name == "optimizers/fair_grid"
    assert not drawn.data["border"].shown.any()


def test_where_nothing_can_be_tuned_the_tab_says_so():
    for view in VIEWS:
        (said,) = fair_blocks(values(surface="Saddle", fair_view=view))
        assert "no lowest value of f is known" in said
    for view in (RATES, RANKING):
        assert fair_blocks(values(fair_methods=(), fair_view=view)) == ["Choose at least one optimizer."]


def test_the_caption_states_what_the_page_adds():
    assert "gradient noise σ 2, seed 0" in figure(RATES, 5).caption
    assert "clipped by norm at 1" in figure(RATES, 5).caption
    assert "the lowest of the window only" in figure(RATES, 5).caption
    assert f"η {number(0.45)}" in figure(RATES).caption


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nobody_arrives_is_said(objective):
    found = fair_blocks(
        values(
            surface="Easom", start_x=-1.0, start_y=-1.0, fair_objective=objective, fair_starts=1, fair_horizon=10,
            fair_methods=("GD", "Momentum"), fair_view=RANKING,
        )
    )  # fmt: skip
    assert isinstance(found[1], Figure)
    assert ("nobody arrives" in found[2]) == (objective == "median steps")
