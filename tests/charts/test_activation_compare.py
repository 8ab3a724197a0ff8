"""The Compare tab of the activations page: constant figures, and numbers that hold without the app."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert

from charts import theme
from charts.activation_compare import (
    COMPARE_KNOBS,
    VIEWS,
    agreement,
    compare_blocks,
    compare_knobs,
)
from charts.figure import Figure
from charts.topic import Action
from core.activations import ACTIVATIONS
from core.knobs import number
from core.properties import properties
from core.vector_activations import MAXOUT_PIECES
from tests.charts.topics import HEX, WIDE_AND_NARROW, draw, marks

KNOBS = {knob.name: knob for knob in COMPARE_KNOBS}
DEFAULTS = {name: knob.default for name, knob in KNOBS.items()}
STYLES = theme.styles(ACTIVATIONS)
SOME = ("sigmoid", "tanh", "ReLU", "GELU", "GELU (tanh)")
EIGHT = ("sigmoid", "tanh", "ReLU", "GELU", "softplus", "Mish", "Swish", "step")
DRAWN = [view for view in VIEWS if view != "properties"]
VERSION = "6.4"

every_view = pytest.mark.parametrize("view", VIEWS)
every_figure = pytest.mark.parametrize("view", DRAWN)
every_width = pytest.mark.parametrize("width", WIDE_AND_NARROW)


def defaults_of(name):
    return {knob.name: knob.default for knob in ACTIVATIONS[name].knobs}


def blocks(view, names=SOME, settings=None, **values):
    own = {name: {**defaults_of(name), **(settings or {}).get(name, {})} for name in names}
    described = {name: f"{name}, as described" for name in names}
    if view == "differences":  # has functions of its own
        values.setdefault("differ", tuple(names)[:4])
    return compare_blocks({**DEFAULTS, "compare": view, **values}, names, own, STYLES, described)


def figure_of(view, *args, **values):
    (figure,) = (block for block in blocks(view, *args, **values) if isinstance(block, Figure))
    return figure


def text_of(view, *args, **values):
    return "\n".join(block for block in blocks(view, *args, **values) if isinstance(block, str))


def table(text):
    """Return the lines of the one Markdown table in a text, cell by cell, without its head."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return lines[2:]


def value(cell):
    """Read a number that the app wrote."""
    return float(cell.replace("−", "-").replace("∞", "inf").rstrip("%"))


def random_values(view, seed):
    rng = np.random.default_rng([seed, DRAWN.index(view)])
    return {name: draw(knob, rng) for name, knob in KNOBS.items() if name != "compare"}


def some_runs(view):
    """Yield figures of one view that differ in everything a visitor can change."""
    yield figure_of(view)
    yield figure_of(view, EIGHT)
    yield figure_of(view, ())
    yield figure_of(view, ("ReLU", "leaky ReLU"), against="ReLU")
    for seed in range(12):
        yield figure_of(view, EIGHT if seed % 2 else ("GELU (sigmoid)", "PReLU"), **random_values(view, seed))


# Knobs


def test_every_knob_is_shown_somewhere_and_the_view_always_first():
    seen = set()
    for view in VIEWS:
        for kind in KNOBS["maxout"].choices:
            for pieces in range(1, 7):
                shown = compare_knobs({**DEFAULTS, "compare": view, "maxout": kind, "pieces": pieces})
                assert shown[0] == "compare"
                named = [name for name in shown if name]
                assert len(set(named)) == len(named)
                seen |= set(shown)
    assert seen - {""} == set(KNOBS)


@every_view
def test_a_knob_that_is_not_shown_changes_nothing(view):
    shown = compare_knobs({**DEFAULTS, "compare": view})
    rng = np.random.default_rng(3)
    hidden = {name: draw(knob, rng) for name, knob in KNOBS.items() if name not in shown}
    one, other = (
        [block for block in blocks(view, ("ReLU", "GELU"), **values) if not isinstance(block, Action)]
        for values in ({}, hidden)
    )
    assert len(one) == len(other)
    for before, after in zip(one, other, strict=True):
        if isinstance(before, Figure):
            assert before.caption == after.caption
            assert all(before.data[name].equals(after.data[name]) for name in before.data)
        else:
            assert before == after


@pytest.mark.parametrize("view", DRAWN)
def test_a_knob_that_is_shown_changes_the_figure_and_its_caption(view):
    base = {"maxout": "own pieces"} if view == "maxout" else {}
    before = figure_of(view, **base)
    for name in filter(None, compare_knobs({**DEFAULTS, **base, "compare": view})[1:]):
        knob = KNOBS[name]
        if knob.kind == "choices":
            other: object = knob.choices[:1]
        else:
            other = next(v for v in (*knob.choices[::-1], knob.high, 2) if v != {**DEFAULTS, **base}[name])
        after = figure_of(view, **{**base, name: knob.check(other)})
        assert any(not before.data[key].equals(after.data[key]) for key in before.data), name
        assert before.caption != after.caption, name


def test_only_as_many_own_pieces_as_are_chosen():
    values = {**DEFAULTS, "compare": "maxout", "maxout": "own pieces", "pieces": 2}
    assert compare_knobs(values) == ("compare", "maxout", "pieces", "", "w1", "b1", "w2", "b2")
    assert compare_knobs({**values, "maxout": "ReLU"}) == ("compare", "maxout")


# Figures


@every_figure
def test_a_specification_is_constant(view):
    first = figure_of(view)
    for other in some_runs(view):
        assert other.name == first.name
        assert other.build == first.build
        assert other.alt == first.alt
        assert {k: set(v.columns) for k, v in other.data.items()} == {
            k: set(v.columns) for k, v in first.data.items()
        }
    assert first.spec(800) is first.spec(800)


@every_figure
@every_width
def test_specification_and_data_name_each_other(view, width):
    figure = figure_of(view)
    spec = figure.spec(width)
    text = json.dumps(spec)
    assert not HEX.findall(text)
    assert len(text) < 16_000
    named = set()
    for unit in marks(spec):
        named.add(unit.data)
        assert unit.fields() <= set(figure.data[unit.data].columns), unit.data
        inks = [unit.encoding[channel] for channel in ("color", "fill", "stroke") if channel in unit.encoding]
        assert inks or not unit.visible
        for definition in unit.encoding.values():
            if "field" in definition and definition.get("type") == "quantitative":
                assert pd.api.types.is_numeric_dtype(figure.data[unit.data][definition["field"]])
    assert named == set(figure.data)


@every_figure
def test_data_are_never_empty_nor_infinite(view):
    for figure in some_runs(view):
        assert sum(map(len, figure.data.values())) <= 1_500
        for name, frame in figure.data.items():
            assert len(frame), name
            for column in frame.select_dtypes("number"):
                assert not np.isinf(frame[column]).any(), (name, column)
            if "slot" in frame:
                assert set(frame.slot) <= set(range(len(theme.INKS)))
            if "dash" in frame:
                assert set(frame.dash) <= set(range(len(theme.DASHES)))


@every_figure
@every_width
def test_a_figure_is_drawn(view, width):
    whole = None
    for figure in list(some_runs(view))[:5]:
        chart = json.dumps(figure.chart(width), allow_nan=False)
        svg = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
        assert not re.search("NaN|Infinity|undefined", svg)
        assert 0.6 * width < float(re.search(r'width="([\d.]+)"', svg)[1]) < 1.25 * width
        whole = whole or svg
    figure = figure_of(view)
    for name in figure.data:  # every data set that is not a placeholder shows, at one width as at another
        if name in ("reach", "target") or width != WIDE_AND_NARROW[0]:
            continue
        chart = figure.chart(width)
        chart["datasets"][name] = []
        assert vl_convert.vegalite_to_svg(chart, vl_version=VERSION) != whole, name


@every_figure
def test_texts_hold_numbers_and_no_accidents(view):
    for seed in range(8):
        for names in (EIGHT, ()):
            text = text_of(view, names, **random_values(view, seed))
            assert "nan" not in text.lower().replace("∞ or nan", "").replace("nanosecond", "").replace(
                "give nan", ""
            )
            assert "inf" not in text
            assert "{" not in re.sub(r"\$[^$]*\$", "", text)


# Properties


def test_the_table_says_what_core_computes():
    lines = table(text_of("properties", ("GELU", "ELU"), {"ELU": {"alpha": 2.0}}))
    assert [line[0] for line in lines] == ["**GELU**", "**ELU**"]
    assert "−0.169971 at −0.751792" in lines[0]
    assert lines[1][1] == "(−2, ∞)"
    found = properties(ACTIVATIONS["ELU"], {"alpha": 2.0})
    assert value(lines[1][-1]) == pytest.approx(found.gain_backward, rel=1e-3)


def test_the_cost_is_measured_on_a_click_only():
    (action,) = (block for block in blocks("properties", ("GELU", "ReLU")) if isinstance(block, Action))
    (text,) = action.run()
    lines = table(text)
    assert [line[0] for line in lines] == ["**GELU**", "**ReLU**"]
    for line in lines:
        assert all(value(cell) > 0 for cell in line[1:])
    assert value(lines[1][2]) == 1
    # All rows go by one time of the product, the one in the text, and by one of ReLU.
    product = value(re.search(r"which takes ([\d.e−]+) milliseconds", text)[1])
    for line in lines:
        assert value(line[1]) * 65_536 / 1e6 / product == pytest.approx(value(line[3]) / 100, rel=0.02)
        assert value(line[1]) / value(lines[1][1]) == pytest.approx(value(line[2]), rel=0.02)


def test_without_a_function_the_tab_says_what_to_do():
    assert blocks("properties", ()) == ["Choose at least one function."]
    assert "Choose a function other than GELU" in text_of("differences", ("GELU",))
    assert "nothing to rearrange" in text_of("float32", ("ReLU",))
    assert "Choose a function with an exponential" in text_of("float32", ())


# Differences


def _exact_gelu(z):
    return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in z])


GELUS = {
    "GELU (tanh)": lambda z: 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "GELU (sigmoid)": lambda z: z / (1 + np.exp(-1.702 * z)),
}


@pytest.mark.parametrize(
    ("name", "largest", "at"), [("GELU (tanh)", 4.73e-4, 2.70), ("GELU (sigmoid)", 0.0203, 2.27)]
)
def test_the_largest_errors_of_the_forms_of_gelu(name, largest, at):
    z = np.linspace(0, 6, 60_001)
    error = np.abs(GELUS[name](z) - _exact_gelu(z))
    assert error.max() == pytest.approx(largest, rel=3e-3)
    assert z[error.argmax()] == pytest.approx(at, abs=5e-3)
    dot = figure_of("differences", tuple(GELUS)).data["largest"].iloc[list(GELUS).index(name)]
    assert abs(dot.signed) == pytest.approx(error.max(), rel=1e-6)
    assert dot["size"] == pytest.approx(error.max(), rel=1e-6)
    assert abs(dot.z) == pytest.approx(z[error.argmax()], abs=2e-4)
    line = {cells[0]: cells for cells in table(text_of("differences", tuple(GELUS)))}[f"**{name}**"]
    assert line[1:3] == [number(error.max()), number(z[error.argmax()])]


@pytest.mark.parametrize("name", GELUS)
def test_the_lines_are_the_differences(name):
    curves = figure_of("differences", tuple(GELUS)).data["curves"]
    curve = curves[curves.name == name]
    z = curve.z.to_numpy()
    assert (z[0], z[-1]) == (-6, 6)
    np.testing.assert_allclose(curve.signed, GELUS[name](z) - _exact_gelu(z), atol=1e-15)
    drawn = curve["size"].notna()
    np.testing.assert_array_equal(curve["size"][drawn], np.abs(curve.signed[drawn]))
    assert (np.abs(curve.signed[~drawn]) < 1e-10).all()
    assert not drawn[z == 0].any()  # both are 0 there


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "GELU"])
def test_no_line_passes_its_largest_difference(name):
    figure = figure_of("differences", (name,))
    size, top = figure.data["curves"]["size"], figure.data["largest"]["size"].iloc[0]
    assert size.max() <= top * (1 + 1e-12)
    assert size.max() >= 0.98 * top


def test_a_jump_is_drawn_upright_and_a_kink_at_its_place():
    curve = figure_of("differences", ("step",), against="ReLU").data["curves"]
    at = np.flatnonzero(np.abs(curve.z) <= 1e-9)
    assert curve.signed.iloc[at].round(6).tolist() == [0, 1, 1]
    kinked = figure_of("differences", ("ReLU6",), against="hard sigmoid (ONNX)").data["curves"]
    assert {-2.5, 0.0, 2.5, 6.0} <= set(kinked.z)


@pytest.mark.parametrize(
    ("a", "b", "knobs", "throughout", "points"),
    [
        ("ReLU", "leaky ReLU", {}, ("[0, ∞)",), ()),
        ("ReLU6", "ReLU", {}, ("(−∞, 6]",), ()),
        ("SiLU", "Swish", {}, ("(−∞, ∞)",), ()),
        ("identity", "squared ReLU", {}, (), (0, 1)),
        ("leaky ReLU", "PReLU", {"slope": 0.25}, ("(−∞, ∞)",), ()),
        ("step", "sigmoid", {}, (), ()),
        ("hard tanh", "identity", {}, ("[−1, 1]",), ()),
        ("sine", "identity", {}, (), (0,)),
        ("step", "Gaussian", {}, (), (0,)),
    ],
)  # fmt: skip
def test_where_two_functions_are_equal(a, b, knobs, throughout, points):
    found = agreement(a, b, {**defaults_of(a), **knobs}, defaults_of(b))
    assert found.throughout == throughout
    assert found.points == pytest.approx(points, abs=1e-12)


def test_another_cubic_constant_is_compared_calmly():
    names = ("GELU", "GELU (tanh)")
    assert "0.044715" not in text_of("differences", names)
    if "cubic" not in defaults_of("GELU (tanh)"):
        pytest.skip("the tanh form has no such knob")
    text = text_of("differences", names, {"GELU (tanh)": {"cubic": 0.044175}})
    z = np.linspace(-6, 6, 120_001)
    for cubic in (0.044715, 0.044175):
        form = 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + cubic * z**3)))
        assert number(np.abs(form - _exact_gelu(z)).max()) in text
        assert number(cubic, 6) in text


def test_the_settings_of_the_page_hold_for_the_function_compared_with():
    curves = figure_of(
        "differences", ("ReLU", "leaky ReLU"), {"leaky ReLU": {"slope": 0.5}}, against="leaky ReLU"
    ).data
    left = curves["curves"][curves["curves"].z < 0]
    np.testing.assert_allclose(left.signed, -0.5 * left.z)
    caption = figure_of("differences", ("ReLU",), against="leaky ReLU").caption
    assert "leaky ReLU (a 0.01)" in caption


# Float32


def test_the_textbook_sigmoid_fails_where_the_exponential_overflows():
    figure = figure_of("float32", ("sigmoid", "tanh", "softplus", "Gaussian"))
    overflow = figure.data["overflow"]
    first = math.log(float(np.finfo(np.float32).max))
    for name, sides in {"sigmoid": (1,), "tanh": (-1, 1), "softplus": (1,)}.items():
        bars = overflow[overflow.name == name]
        assert len(bars) == len(sides)
        for side, (_, bar) in zip(sides, bars.iterrows(), strict=True):
            near, far = (bar.z, bar.high) if side > 0 else (-bar.high, -bar.z)
            assert first <= near <= first + 1 / 64
            assert far == 120
    assert not overflow[overflow.name == "Gaussian"].shown.any()


def test_errors_are_measured_against_float64():
    figure = figure_of("float32", ("sigmoid", "GELU"))
    errors = figure.data["errors"]
    assert errors.own.max() < 1e-6
    # 1 + erf(z/√2) is 0 in float32 from about −5.5 on: all digits are lost.
    gelu = errors[errors.name == "GELU"]
    assert gelu.naive[(gelu.z > -10) & (gelu.z < -6)].tolist() == pytest.approx([1, 1])
    # A cell shows the largest error among its points.
    z = np.arange(-2 * 64, 0, dtype=np.float64) / 64
    with np.errstate(over="ignore"):
        e = np.exp(z.astype(np.float32))
        naive = (e / (1 + e)).astype(np.float64)
    true = 1 / (1 + np.exp(-z))
    cell = errors[(errors.name == "sigmoid") & (errors.z == -1)]
    assert cell.naive.iloc[0] == pytest.approx(np.max(np.abs(naive - true) / true), rel=1e-6)


@pytest.mark.parametrize("name", [n for n, entry in ACTIVATIONS.items() if entry.naive is not None])
def test_our_forms_stay_finite_and_close(name):
    figure = figure_of("float32", (name,))
    assert figure.data["errors"].own.max() < 2e-5
    (line,) = table(text_of("float32", (name,)))
    assert line[1] == f"${ACTIVATIONS[name].naive_formula}$"
    naive, own = (value(cell.split(" at ")[0]) for cell in line[-2:])
    errors = figure.data["errors"]
    assert own == pytest.approx(errors.own.max(), rel=1e-2)
    assert naive == pytest.approx(errors.naive.max(), rel=1e-2)


# Maxout


@pytest.mark.parametrize("kind", [*MAXOUT_PIECES, "parabola", "own pieces"])
@pytest.mark.parametrize("pieces", [1, 3, 6])
def test_the_thick_line_is_the_maximum_of_the_thin_ones(kind, pieces):
    data = figure_of("maxout", maxout=kind, pieces=pieces).data
    thin = [part.sort_values("z") for _, part in data["pieces"].groupby("piece", observed=True)]
    for _, part in data["envelope"].groupby("piece", observed=True):
        for z, y in zip(part.z, part.y, strict=True):
            assert y == pytest.approx(max(np.interp(z, line.z, line.y) for line in thin), abs=1e-12)
    winners = data["winners"]
    assert winners.z.iloc[0] == data["pieces"].z.min()
    assert winners.high.iloc[-1] == data["pieces"].z.max()
    np.testing.assert_array_equal(winners.z[1:], winners.high[:-1])
    np.testing.assert_array_equal(data["crossings"].shown, len(winners) > 1)
    lines = table(text_of("maxout", maxout=kind, pieces=pieces))
    assert sum(value(line[3]) for line in lines) == pytest.approx(100, abs=0.2)
    assert sum(value(line[4]) for line in lines) == pytest.approx(100, abs=0.2)
    for line in lines:
        assert value(line[3]) == pytest.approx(value(line[4]), abs=1.8)  # five standard errors


def test_the_crossings_of_the_three_pieces():
    # −z − 0.5 = 0.2z + 0.5 at −1/1.2, and 0.2z + 0.5 = z at 0.5/0.8.
    crossings = figure_of("maxout").data["crossings"]
    np.testing.assert_allclose(crossings.z, [-1 / 1.2, 0.5 / 0.8])
    middle = 0.5 * (math.erf(0.625 / math.sqrt(2)) + math.erf(1 / 1.2 / math.sqrt(2)))
    assert value(table(text_of("maxout"))[1][3]) == pytest.approx(100 * middle, abs=0.05)


@pytest.mark.parametrize("pieces", range(1, 7))
def test_a_parabola_is_fitted_as_well_as_can_be(pieces):
    text = text_of("maxout", maxout="parabola", pieces=pieces)
    said = value(re.search(r"largest error against \$z\^2\$ is ([\d.e−]+);", text)[1])
    assert said == pytest.approx(1 / (2 * pieces**2), rel=1e-4)
    target = figure_of("maxout", maxout="parabola", pieces=pieces).data["target"]
    np.testing.assert_allclose(target.y, target.z**2)


def test_a_piece_that_never_wins_is_said_to():
    text = text_of("maxout", maxout="own pieces", pieces=3, w1=-1.0, b1=1.0, w2=0.0, b2=-2.0, w3=1.0, b3=1.0)
    assert [line[2] for line in table(text)] == ["−∞ to 0", "nowhere", "0 to ∞"]


@pytest.mark.parametrize(
    ("slope", "offset", "text"),
    [(0, 0.5, "1: 0.5"), (1, 0, "1: z"), (-1, -2, "1: −z − 2"), (0.2, 0.5, "1: 0.2z + 0.5"), (0, 0, "1: 0")],
)
def test_lines_are_written_as_people_do(slope, offset, text):
    ends = figure_of("maxout", maxout="own pieces", pieces=1, w1=float(slope), b1=float(offset)).data["ends"]
    assert ends.label.tolist() == [text]


# Softmax


@pytest.mark.parametrize("logits", [(2.0, 2.0, -1.0), (0.3, -1.2, 4.0), (-10.0, 10.0, 9.5)])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 20.0])
def test_softmax_lines_dots_and_jacobian(logits, temperature):
    named = dict(zip(("z1", "z2", "z3"), logits, strict=True))
    data = figure_of("softmax", temperature=temperature, **named).data
    curves = data["curves"].pivot_table(index="T", columns="name", values="p", observed=True)
    np.testing.assert_allclose(curves.sum(axis=1), 1, rtol=1e-14)
    e = np.exp(np.array(logits) / curves.index.to_numpy()[:, None])
    np.testing.assert_allclose(curves, e / e.sum(axis=1, keepdims=True), rtol=1e-10)
    p = np.exp(np.array(logits) / temperature)
    p /= p.sum()
    np.testing.assert_allclose(data["now"].p, p, rtol=1e-12)
    cells = data["jacobian"].pivot_table(
        index="i", columns="j", values="label", aggfunc="first", observed=True
    )
    for i in range(3):
        for j in range(3):
            exact = p[i] * ((i == j) - p[j]) / temperature
            assert value(cells.loc[f"class {i + 1}", f"logit {j + 1}"]) == pytest.approx(
                exact, rel=6e-2, abs=1e-12
            )
        assert cells.loc[f"class {i + 1}", "sum"] == "0"
    # What was drawn with Gumbel noise: 39 shares of 20,000 draws.
    exact = np.exp(np.array(logits)[:, None] / data["measured"]["T"].to_numpy().reshape(3, -1))
    exact = (exact / exact.sum(axis=0)).ravel()
    error = np.sqrt(exact * (1 - exact) / 20_000)
    assert np.all(np.abs(data["measured"].p - exact) <= 4.5 * error + 1e-4)


def test_sums_and_entropy_in_the_text():
    text = text_of("softmax", z1=1.0, z2=0.0, z3=-2.0, temperature=2.0)
    z = np.array([1.0, 0.0, -2.0])
    p = np.exp(z / 2) / np.exp(z / 2).sum()
    assert f"entropy {number(-np.sum(p * np.log(p)))} of" in text
    assert f"sigmoids of the same logits sum to {number(np.sum(1 / (1 + np.exp(-z))))} and" in text
    assert f"three tanh to {number(np.tanh(z).sum())}:" in text
    assert "with sum 1 and" in text


# SwiGLU


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.7, 20.0])
def test_swiglu_lines_are_the_formula(beta):
    data = figure_of("SwiGLU", swiglu_beta=beta, gate=-1.3).data
    for b in (-2, -1, 0, 1, 2):
        line = data["value_lines"][data["value_lines"].name == f"b = {number(b)}"]
        a = line.a.to_numpy()
        np.testing.assert_allclose(line.value, a * b / (1 + np.exp(-beta * a)), rtol=1e-12, atol=1e-15)
    gate = 1 / (1 + np.exp(-beta * a))
    slopes = {"by a": gate + beta * a * gate * (1 - gate), "by b": a * gate}
    for name, exact in slopes.items():
        line = data["slope_lines"][data["slope_lines"].name == name]
        np.testing.assert_allclose(line.slope, exact, rtol=1e-9, atol=1e-13)
    dots = data["measured"]
    np.testing.assert_allclose(dots.slope, np.concatenate([v[::6] for v in slopes.values()]), atol=1e-7)
    here = -1.3 / (1 + math.exp(1.3 * beta))
    np.testing.assert_allclose(data["value_now"].value, here * np.array([-2, -1, 0, 1, 2]), rtol=1e-12)
    assert data["slope_now"].slope.iloc[1] == pytest.approx(here, rel=1e-12)


def test_the_gate_against_relu():
    text = text_of("SwiGLU", swiglu_beta=2.0)
    a = np.linspace(-6, 6, 100_001)
    gap = np.abs(a / (1 + np.exp(-2 * a)) - np.maximum(a, 0)).max()
    assert f"0.278465/β = {number(gap)}" in text
    assert "product ab/2" in text_of("SwiGLU", swiglu_beta=0.0)
