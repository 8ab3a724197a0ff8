"""The Gap tab of the BatchNorm page: its views, what they say, and the clicks."""

import base64
import io
import json
import re

import numpy as np
import pytest
import vl_convert
from PIL import Image

from charts import batchnorm_gap, theme
from charts.batchnorm import TOPIC
from charts.batchnorm_gap import GAP_CLICKS, GAP_KNOBS, gap_blocks, gap_knobs
from charts.figure import Figure
from core.batch_gap import gap_theory
from core.normalization import BATCHNORM_CONVENTIONS
from tests.charts.topics import marks

KNOBS = {**TOPIC.knobs, **{knob.name: knob for knob in GAP_KNOBS}}
VIEWS = KNOBS["gap_view"].choices
DEFAULTS = {name: knob.default for name, knob in KNOBS.items()}
every_view = pytest.mark.parametrize("view", VIEWS)

CORNERS = (
    {
        "batch_size": 1,
        "convention": "Keras",
        "eps": 1e-3,
        "gap_steps": 0,
        "weight": 1.0,
        "gap_separation": 8.0,
    },
    {"batch_size": 512, "weight": 0.0, "gap_steps": 500, "gap_shift": 0.0, "gap_separation": 0.0, "seed": 4},
    {"batch_size": 2, "weight": 1.0, "sigma": 10.0, "eps": 1e-12, "gap_shift": 10.0, "convention": "paper"},
)


@pytest.fixture
def few(monkeypatch):
    """Measure with a few runs only, where no measured number is looked at."""
    for cached in (batchnorm_gap._blocks, batchnorm_gap._at_rest):
        cached.cache_clear()
    monkeypatch.setattr(batchnorm_gap, "_COMPUTED", 12)
    for name in ("_CURVE_RUNS", "_RUNS", "_SAMPLES"):
        monkeypatch.setattr(batchnorm_gap, name, 12)
    yield
    for cached in (batchnorm_gap._blocks, batchnorm_gap._at_rest):
        cached.cache_clear()


def blocks(view, **changes):
    return gap_blocks({**DEFAULTS, "gap_view": view, **changes})


def figure(view, **changes):
    (found,) = [block for block in blocks(view, **changes) if isinstance(block, Figure)]
    return found


def words(view, **changes):
    return "\n".join(block for block in blocks(view, **changes) if isinstance(block, str))


@every_view
@pytest.mark.parametrize("changes", CORNERS, ids=lambda changes: str(len(changes)))
def test_every_corner_has_its_figure(view, changes, few):
    drawn, base = figure(view, **changes), figure(view)
    assert drawn.name == base.name
    assert drawn.build is base.build
    assert drawn.alt == base.alt
    assert set(drawn.data) == set(base.data) == {unit.data for unit in marks(drawn.spec(358))} - {""}
    assert sum(map(len, drawn.data.values())) < 1500
    for name, frame in drawn.data.items():
        assert len(frame), name
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any(), name
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
    for unit in marks(drawn.spec(358)):
        if unit.data:
            assert unit.fields() <= set(drawn.data[unit.data].columns), unit.data
    text = words(view, **changes)
    assert "nan" not in text.lower()
    assert "−0 " not in text


@every_view
def test_specifications_are_constant(view, few):
    spec = figure(view).spec(358)
    assert spec is figure(view, **CORNERS[0]).spec(358)
    text = json.dumps(spec)
    assert "datasets" not in spec
    assert len(text) < 24_000
    assert not re.search(r"#[0-9a-fA-F]{3}", text)


def test_the_figures_fit_a_telephone(few):
    for view in ("map: batch size and weight", "sorted classes"):
        picture = vl_convert.vegalite_to_png(figure(view).chart(358), vl_version="6.4", scale=1)
        drawn = Image.open(io.BytesIO(picture)).width
        assert 0.85 * 358 < drawn < 1.06 * 358


@every_view
def test_captions_state_what_acts(view, few):
    base = figure(view)
    acts = set(gap_knobs({"gap_view": view})) - {"gap_view"}
    others = {"gap_shift": 2.5, "gap_steps": 33, "gap_separation": 3.5}
    for name, value in others.items():
        caption = figure(view, **{name: value}).caption
        assert (caption != base.caption) == (name in acts), name
    assert "seed 0" in base.caption
    assert "PyTorch" in base.caption
    if view in ("curves", "map: batch size and steps"):  # the same sentences
        return
    page = {"batch_size": 24, "weight": 0.27, "convention": "ONNX", "eps": 0.02, "sigma": 2.0, "seed": 9}
    for name, value in page.items():
        assert figure(view, **{name: value}).caption != base.caption, name


def test_the_map_is_vermilion_where_the_gap_is_large():
    url = figure("map: batch size and weight").data["raster"].url.iloc[0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"), int)
    height, width = pixels.shape[:2]
    for size, weight in [(8, 0.1), (400, 0.05), (400, 0.25), (300, 0.4), (100, 0.25)]:
        x = int(np.log(size / 0.8) / np.log(800) * width)
        y = int(np.log(weight / 1e-3) / np.log(1e3) * height)
        red, _, blue, _ = pixels[height - 1 - y, x]
        bad = float(gap_theory(size, weight, 20, 1.0).total) > 0.1
        assert (red > blue) == bad, (size, weight)


@pytest.mark.parametrize(
    ("view", "at"),
    [
        ("map: batch size and weight", lambda n, level: gap_theory(n, level, 20, 1.0, eps=1e-5 / 9)),
        ("map: batch size and steps", lambda n, level: gap_theory(n, 0.1, level, 1.0, eps=1e-5 / 9)),
    ],
)
def test_lines_cells_and_cut_are_the_theory(view, at):
    data = figure(view).data
    line = data["border"]
    inside = line[line["size"] > 4]
    near = at(np.rint(inside["size"]), np.rint(inside.level) if "steps" in view else inside.level).total
    assert len(inside) > 10
    assert np.abs(np.log(near / 0.1)).max() < 0.12
    cells = data["cells"]
    assert np.allclose(at(cells["size"], cells.level).total, cells.gap, rtol=1e-6)
    measured = data["measured"]
    assert np.allclose(at(8, measured.level).total, measured.theory, rtol=1e-9)
    assert np.abs(measured.gap / measured.theory - 1).max() < 0.12
    assert data["here_now"].to_numpy(float).tolist() == [[8, 0.1 if "weight" in view else 20]]


def test_a_click_leads_to_legal_values(few):
    for view, other in (("map: batch size and weight", "weight"), ("map: batch size and steps", "gap_steps")):
        drawn = figure(view)
        cells = drawn.data["cells"]
        for row in (cells.iloc[0], cells.iloc[100], cells.iloc[-1]):
            values = GAP_CLICKS[drawn.name]({"size": float(row["size"]), "level": float(row.level)})
            assert set(values) == {"batch_size", other}
            for name, value in values.items():
                assert KNOBS[name].check(value) == value
            moved = figure(view, **values).data["here_now"].iloc[0]
            assert (moved["size"], moved.level) == (row["size"], row.level)


def test_the_reading_has_the_numbers_of_the_theory():
    gap = gap_theory(8, 0.1, 20, 1.0, eps=1e-5 / 9)
    text = words("map: batch size and weight")
    assert f"**{float(gap.total):.3f}**" in text
    assert f"{100 * float((gap.batch / gap.total) ** 2):.0f}% is the noise of the batch" in text
    best = float(re.search(r"is a = ([\d.]+), with a gap of ([\d.]+)", text)[1])
    least = float(gap_theory(8, best, 20, 1.0).total)
    assert all(least <= float(gap_theory(8, best * k, 20, 1.0).total) for k in (0.9, 1.1))
    first = int(re.search(r"below 10% from N = (\d+) on", text)[1])
    assert gap_theory(first, 0.1).batch < 0.1 <= gap_theory(first - 1, 0.1).batch
    steps = int(re.search(r"below 10% after (\d+) steps", words("map: batch size and steps"))[1])
    assert 0.9**steps < 0.1 <= 0.9 ** (steps - 1)


def test_curves_say_when_the_gap_falls_below_ten_percent():
    text = words("curves", weight=0.02)
    steps = int(
        re.search(r"(\d+) for N = 256|(\d+) for N = 128", words("curves", weight=0.02, eps=1.0, sigma=0.5))[2]
    )
    at = [float(gap_theory(128, 0.02, s, 1.0, eps=4.0).total) for s in (steps - 1, steps)]
    assert at[1] < 0.1 <= at[0]
    # What is said of the lag is the exact lag, of every curve.
    lags = gap_theory([128, 2], 0.02, 0, 1.0, eps=1e-5 / 9).lag
    said = re.search(r"lag itself is below 10% after (\d+) to (\d+) steps", text)
    assert [int(steps) for steps in said.groups()] == np.ceil(np.log(lags / 0.1) / -np.log(0.98)).tolist()
    assert "catches up no sooner" in words("curves", weight=0.5)
    drawn = figure("curves").data
    for name in ("sizes", "weights"):
        assert np.median(np.abs(drawn[name].gap / drawn[name].theory - 1)) < 0.05


def test_curves_show_the_page_itself():
    drawn = figure("curves", batch_size=512, weight=0.5)
    assert "N 512" in set(drawn.data["sizes"].name.astype(str))
    assert "a 0.5" in set(drawn.data["weights"].name.astype(str))
    assert (
        figure("curves").data["sizes"].name.nunique() == figure("curves").data["weights"].name.nunique() == 4
    )


@pytest.mark.parametrize("eps", [1e-5, 1.0])
def test_the_gap_is_never_below_ten_percent_before_the_lag_is(eps, few):
    """What the texts say of the gap and of its lag fits together at any ε."""
    text = words("curves", batch_size=512, sigma=0.5, eps=eps)
    gap = re.findall(r"(\d+) for N = ", re.search(r"at a = 0.1: ([^.]*)\.", text)[1])
    lag = re.search(r"lag itself is below 10% after (\d+)", text)[1]
    assert min(map(int, gap)) >= int(lag)


def test_without_a_weight_or_a_change_nothing_falls(few):
    for view in ("curves", "map: batch size and steps"):
        for change in ({"weight": 0.0}, {"gap_shift": 0.0}):
            text = words(view, **change)
            assert "Every curve falls" not in text
            assert "Upward the lag dies out" not in text
    for change, view in (({"weight": 0.0}, VIEWS[0]), ({"gap_steps": 0}, VIEWS[1])):
        assert "(drawn at the edge)" in figure(view, **change).caption
        assert "(drawn at the edge)" not in figure(view).caption


@pytest.mark.parametrize("view", VIEWS[:2])
def test_a_part_that_leaves_the_cut_ends_at_its_edge(view):
    data = figure(view).data
    lag = data["parts"][data["parts"].name == "lag"]
    assert lag.gap.iloc[-1] == lag.gap.min() == data["parts"].gap.min() < data["measured"].gap.min()


@pytest.mark.parametrize(
    ("view", "knob", "values"),
    [(VIEWS[0], "weight", (0.03, 0.1, 0.3)), (VIEWS[1], "gap_steps", (3, 10, 30, 100))],
)
def test_the_upright_rule_runs_through_no_name(view, knob, values, few):
    sides = set()
    for value in values:
        data = figure(view, **{knob: value}).data
        ends, (rule,) = data["ends"], data["here_now"].level
        first, last = np.log(data["raster"][["level", "level1"]].iloc[0].astype(float))
        inside = ends[ends.level < ends.level.max()]
        assert len(inside)
        for end in inside.itertuples():
            # A name of three letters and its distance take 26 pixels of a panel that is never narrower than 170.
            start, ahead = (np.log([end.level, rule]) - first) / (last - first)
            sides.add("before" if end.before else "after")
            low, high = (start - 0.15, start) if end.before else (start, start + 0.15)
            assert not low < ahead < high
    assert sides == {"before", "after"}


@every_view
def test_what_the_page_does_and_the_tab_does_not_is_said(view, few):
    assert "whatever values" not in words(view)
    assert "no weight" not in words(view)
    for change in ({"source": "heavy tails"}, {"drift": "cycle"}):
        assert "whatever values" in words(view, **change)
    assert "The cumulative average weighs" in words(view, cumulative=True)
    assert "no weight" not in words(view, cumulative=True, convention="Keras")


def test_sorted_classes_vanish_in_training_alone():
    labels = figure("sorted classes", gap_steps=100).data["labels"]
    notes = dict(zip(labels.name.astype(str), labels.note.astype(str), strict=True))
    assert notes["in order, training"].startswith("0 apart, ")
    assert float(notes["in order, evaluation"].split()[0]) > 1.9
    lines = figure("sorted classes").data["lines"]
    ordered = lines[lines.name == "in order"]
    assert ordered.theory.min() >= 1.0 - 1e-6  # half of the distance, whatever the step
    assert np.abs(ordered.gap / ordered.theory - 1).max() < 0.05
    assert lines[lines.name == "shuffled"].gap.max() < 0.6


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_what_is_particular_is_said(convention, few):
    text = words("curves", convention=convention, batch_size=1)
    assert "Batch size 1" in text
    assert ("no weight" in text) == (BATCHNORM_CONVENTIONS[convention].fixed_weight() is None)
    assert ("√ε" in text) != BATCHNORM_CONVENTIONS[convention].unbiased


def test_knobs_of_the_tab():
    names = {knob.name for knob in GAP_KNOBS}
    assert all(name.startswith("gap_") for name in names)
    used = set()
    for view in VIEWS:
        shown = gap_knobs({"gap_view": view})
        assert set(shown) <= names
        used |= set(shown)
    assert used == names
