"""The Curves tab: the figure holds core's numbers and the closed forms, the leaderboard is right, figures keep the rules."""

import itertools
import json
import math
from functools import cache, lru_cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_base import KNOBS, complete, methods, run
from charts.optimizers_curves import CURVE_KNOBS, _Line, curves_blocks, exact_path, standings
from core.optimizers import OPTIMIZERS
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

QUANTITIES, SCALES = (knob.choices for knob in CURVE_KNOBS)
PAIRS = ("first moment", "second moment", "effective learning rate")
BASE = {knob.name: knob.default for knob in (*KNOBS.values(), *CURVE_KNOBS)}
EIGHT = ("GD", "Momentum", "Nesterov", "AdaGrad", "AdaDelta", "RMSProp", "Adam", "Lion")
NAN = {
    "surface": "Beale",
    "optimizers": ("GD", "Momentum", "Adam"),
    "gd_lr": 0.01,
    "momentum_lr": 0.01,
    "start_x": 1.0,
    "start_y": 1.5,
    "steps": 400,
}
CASES = {
    "default": {},
    "eight, 500 steps": {"optimizers": EIGHT, "steps": 500},
    "diverges": NAN,
    "no minimum": {"surface": "Saddle"},
    "one step": {"steps": 1, "optimizers": ("Adam",)},
    "at the minimum": {"start_x": 0.0, "start_y": 0.0},
    "grows": {"gd_lr": 0.6, "steps": 300},
    "overflows": {"gd_lr": 10.0, "steps": 500, "optimizers": ("GD", "Momentum"), "momentum_lr": 10.0},
}


def values(**given):
    return {**BASE, **complete(given), **given}


@lru_cache(maxsize=4)
def blocks(items):
    return curves_blocks(dict(items))


def figure(**given):
    shown = blocks(tuple(values(**given).items()))
    return next((block for block in shown if isinstance(block, Figure)), None)


def prose(**given):
    return "\n".join(block for block in blocks(tuple(values(**given).items())) if isinstance(block, str))


def line(drawn, name, panel="x"):
    """Return step → value of a method's line as it is drawn."""
    frame = drawn.data["lines"]
    rows = frame[(frame.name == name) & (frame.panel == panel) & frame.shown]
    return dict(zip(rows.step.astype(int), rows.value.astype(float), strict=True))


@cache
def walked(build, width):
    """Check a specification; return the fields that it reads, by data set."""
    spec = build(width)
    assert not HEX.findall(json.dumps(spec))
    found = {}
    for unit in marks(spec):
        if unit.data:
            found[unit.data] = found.get(unit.data, set()) | unit.fields()
    return found


def reads(drawn, width):
    """Return the fields that a figure reads, by data set: exactly those that it has."""
    found = walked(drawn.build, width)
    assert set(found) == set(drawn.data)
    return found


@pytest.mark.parametrize(
    ("case", "quantity"),
    [
        *(("default", quantity) for quantity in QUANTITIES),
        *itertools.product(list(CASES)[1:], ("f − f*", "step length", *PAIRS[1:])),
    ],
)
def test_the_figure_keeps_the_rules(case, quantity):
    for scale in SCALES if case in ("default", "one step") else SCALES[:1]:
        drawn = figure(curve_quantity=quantity, curve_scale=scale, **CASES[case])
        if drawn is None:
            # Nothing is left to draw: all is 0, or no rule keeps such a thing, or point 0 of a log axis is the only one.
            nothing = case == "at the minimum" or (case == "overflows" and quantity == "second moment")
            assert nothing or (case == "one step" and quantity == PAIRS[2] and scale != "linear")
            assert "No method in the picture" in prose(
                curve_quantity=quantity, curve_scale=scale, **CASES[case]
            )
            continue
        default = figure(curve_quantity=quantity, curve_scale=scale)
        assert drawn.name == default.name
        for width in WIDE_AND_NARROW:
            spec = drawn.spec(width)
            assert spec is default.spec(width)
            for data, fields in reads(drawn, width).items():
                assert fields <= set(drawn.data[data].columns), data
        for name, frame in drawn.data.items():
            assert 0 < len(frame) <= 1500, name
            assert np.isfinite(frame.select_dtypes("number").to_numpy(float)).all(), name
            if "value" in frame:
                assert (frame.value > 0).all()
                low, high = drawn.data["reach"].value
                assert frame.value.between(low, high).all()
            if "panel" in frame:
                assert set(frame.panel) == set("xy" if quantity in PAIRS else "x")
        if scale != "linear":
            assert (drawn.data["lines"].step > 0).all()
        assert drawn.alt == default.alt
        assert "nan" not in prose(curve_quantity=quantity, curve_scale=scale, **CASES[case]).lower()


def test_the_kinds_of_figure_have_names_of_their_own():
    names = {
        (quantity in PAIRS, scale): figure(curve_quantity=quantity, curve_scale=scale).name
        for quantity in QUANTITIES
        for scale in SCALES
    }
    assert sorted(names.values()) == [
        "optimizers/curves", "optimizers/curves_log", "optimizers/curves_xy", "optimizers/curves_xy_log",
    ]  # fmt: skip


def test_quantities_are_what_they_say():
    given = values(surface="Himmelblau", optimizers=("GD", "Adam"), steps=25)
    surface = SURFACES["Himmelblau"]
    minima = np.array([m.point for m in surface.minima])
    for name, result in run(given, keep_state=True).items():
        path = result.path
        expected = {
            "f − f*": [surface.f(w) for w in path],
            "gradient norm": [math.hypot(*surface.grad(w)) for w in path],
            "distance to the nearest minimum": [min(math.dist(w, m) for m in minima) for w in path],
            "step length": [math.nan, *(math.dist(a, b) for a, b in itertools.pairwise(path))],
        }
        for quantity, numbers in expected.items():
            drawn = line(figure(**{**given, "curve_quantity": quantity}), name)
            assert len(drawn) >= 20
            for step, value in drawn.items():
                assert value == pytest.approx(numbers[step], rel=1e-9)
    m, v = np.zeros(2), np.zeros(2)
    adam = run(given, keep_state=True)["Adam"]
    for t in range(1, 26):
        m, v = 0.9 * m + 0.1 * adam.gradient[t - 1], 0.999 * v + 0.001 * adam.gradient[t - 1] ** 2
        for i, panel in enumerate("xy"):
            for quantity, value in (("first moment", abs(m[i])), ("second moment", math.sqrt(v[i]))):
                drawn = line(figure(**{**given, "curve_quantity": quantity}), "Adam", panel)
                assert drawn[t] == pytest.approx(value, rel=1e-9)
    rates = figure(**{**given, "curve_quantity": "effective learning rate"})
    assert line(rates, "GD", "y").values() == pytest.approx(
        [given["gd_lr"]] * len(line(rates, "GD", "y")), rel=1e-6
    )
    assert max(line(rates, "GD", "y")) == 24  # the last point has no step


@pytest.mark.parametrize(
    "quantity", ["f − f*", "gradient norm", "distance to the nearest minimum", "step length"]
)
def test_theory_lies_on_the_lines(quantity):
    given = {"optimizers": ("GD", "Momentum", "Nesterov"), "theta": 30.0, "curve_quantity": quantity}
    drawn = figure(**given)
    dots = drawn.data["theory"]
    dots = dots[dots.shown]
    assert len(dots) >= 60
    everything = [line(drawn, name) for name in given["optimizers"]]
    for row in dots.itertuples():
        assert any(abs(known[row.step] / row.value - 1) < 1e-9 for known in everything if row.step in known)
    said = prose(**given).split("closed forms are within ")[1].split(" ")[0]
    assert float(said.replace("−", "-")) < 1e-10


@pytest.mark.parametrize(
    "given",
    [
        {"gd_weight_decay": 0.1, "optimizers": ("GD",)},
        {"momentum_dampening": 0.5, "optimizers": ("Momentum",)},
        {"surface": "Himmelblau", "optimizers": ("GD",)},
        {"optimizers": ("Adam",)},
        {"clip": "norm", "clip_at": 0.1, "optimizers": ("GD",)},
        {"noise": 0.5, "optimizers": ("GD",)},
    ],
)
def test_no_theory_where_it_does_not_hold(given):
    complete_values = values(**given)
    (method,) = methods(complete_values).values()
    assert exact_path(complete_values, method) is None
    assert not figure(**given).data["theory"].shown.any()
    assert "closed forms" not in prose(**given)


def test_the_leaderboard_of_the_ravine():
    found = {s.method.label: s for s in standings(values())}
    assert {name: s.coarse for name, s in found.items()} == {
        "GD": 33,
        "Momentum": 37,
        "RMSProp": 9,
        "Adam": 21,
    }
    assert standings(values())[0].method.label == "RMSProp"
    result = run(values())["GD"]
    assert found["GD"].final == result.value[-1]
    assert found["GD"].length == pytest.approx(np.hypot(*np.diff(result.path, axis=0).T).sum())
    text = prose()
    assert "**RMSProp 9, Adam 21, GD 33, Momentum 37**" in text
    assert "(0, 0), 0.55 away" in text  # x has 5·(1 − 0.45·0.08)^60 left
    assert abs(5 * (1 - 0.45 * 0.08) ** 60 - 0.55) < 0.005


def test_every_way_to_end_is_told():
    text = prose(**NAN)
    assert "Diverged: Momentum at step 10." in text
    assert standings(values(**NAN))[-1].method.label == "Momentum"
    drawn = figure(**NAN)
    assert drawn.data["events"].shown.sum() == 1
    assert "Momentum × 10" in set(drawn.data["ends"].label)
    assert max(line(drawn, "Momentum")) < 10
    grown = figure(gd_lr=0.6, steps=300)
    label = next(label for label in grown.data["ends"].label if label.startswith("GD"))
    assert label == f"GD ↑ {max(line(grown, 'GD'))}"
    # GD past its limit leaves the window [-3.5, 3] in y where 2·1.4^t exceeds it, every other step on the upper side.
    since = next(s.where for s in standings(values(gd_lr=0.6)) if s.method.label == "GD")
    assert since == "outside the window since step 2"
    assert "lists no lowest point" in prose(surface="Saddle")
    assert "Not within 60 steps" in prose(optimizers=("GD",), gd_lr=1e-6)
    # From the minimum every target is met at step 0.
    assert all((s.coarse, s.fine, s.length) == (0, 0, 0) for s in standings(values(start_x=0.0, start_y=0.0)))
    assert curves_blocks(values(optimizers=())) == ["Choose an optimizer to draw its curves."]


def test_a_long_line_keeps_its_extremes_and_its_ends():
    drawn = figure(optimizers=EIGHT, steps=500)
    low = drawn.data["reach"].value.min()
    for name in EIGHT:
        kept = line(drawn, name)
        whole = run(values(optimizers=EIGHT, steps=500))[name].value
        inside = {t: v for t, v in enumerate(whole) if v >= low}
        assert len(kept) <= 200
        assert min(kept.values()) == min(inside.values())
        assert max(kept.values()) == max(inside.values())
        assert {min(inside), max(inside)} <= set(kept)


def test_a_line_that_comes_back_for_one_step_leaves_no_dot():
    result = run(values(optimizers=("GD",), steps=9))["GD"]
    (method,) = methods(values(optimizers=("GD",))).values()

    def drawn(*numbers):
        return list(_Line(method, "x", np.array(numbers, float), result, (1.0, 10.0), log=False).drawn)

    assert drawn(5, 4, 0.5, 2, 0.5, 0.4, 2, 3, 0.1) == [0, 1, 6, 7]
    assert drawn(5, 0.5, 20, 2) == [0, 3]  # the end, beside its name
    assert drawn(5, math.nan, 2, math.nan, 3, 4) == [0, 2, 4, 5]  # gaps inside the panel
    assert drawn(20, 2, 20, 30) == [1]  # all there is


def test_lead_and_caption_fit_what_is_shown():
    for quantity in QUANTITIES:
        leads = [blocks(tuple(values(curve_quantity=quantity, curve_scale=s).items()))[0] for s in SCALES]
        assert ("a constant factor a step. Which" in leads[0]) == (quantity not in PAIRS)
        assert ("a power of the step" in leads[1]) == (quantity not in PAIRS)
    assert figure().caption.startswith("f − f*: ")
    assert figure(curve_quantity="step length").caption.startswith("Length of the step: ")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_draws_what_it_keeps(name):
    for quantity in ("first moment", "second moment"):
        given = {"optimizers": (name,), "curve_quantity": quantity, "steps": 20}
        state = run(values(**given), keep_state=True)[name].state
        fields = {
            "first moment": {"m", "velocity"},
            "second moment": {"v", "v_max", "total", "square_average", "u"},
        }[quantity]
        keeps = bool(fields & set(state._fields)) and (name, quantity) != ("RMSProp", "first moment")
        assert (figure(**given) is not None) == keeps
        assert (f"has a {quantity} to draw" in prose(**given)) == (not keeps)


@pytest.mark.parametrize(("quantity", "width"), [("f − f*", 1040), ("second moment", 360)])
def test_the_figure_is_drawn(quantity, width):
    chart = figure(curve_quantity=quantity, curve_scale="logarithmic").chart(width)
    chart["config"] = theme.print_config()
    assert len(vl_convert.vegalite_to_png(json.dumps(chart))) > 8_000
