"""The Batches tab: constant specifications, rows that can be drawn, and texts with the numbers of the run."""

import json
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_batches import (
    BATCH_KNOBS,
    DIRECTIONS,
    ESCAPE,
    NOISE,
    SCALED,
    SEEN,
    batch_blocks,
    batch_shown,
)
from core.batch_gradients import directions
from core.escape import WELLS, momentum_sweep, noise_escape
from core.knobs import number
from core.optimizers import OPTIMIZERS
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VERSION = "6.4"
NARROW = WIDE_AND_NARROW[1]
KNOBS = {knob.name: knob for knob in BATCH_KNOBS}
VIEWS = KNOBS["batch_view"].choices
BASE = {name: knob.default for name, knob in KNOBS.items()}
CASES = (
    {"batch_well_steps": 60},
    {
        "batch_model": "Logistic regression", "batch_b": 1, "batch_way": 100, "batch_lr": 0.5, "batch_scaling": SCALED,
        "batch_between": 63, "batch_epochs": 1, "batch_well_lr": 0.4, "batch_sigma_max": 20.0, "batch_well_steps": 60,
        "batch_start": 3.5,
    },
    {
        "batch_b": 64, "batch_step": 63, "batch_way": 0, "batch_lr": 1.0, "batch_between": 2, "batch_epochs": 12,
        "batch_well_lr": 0.02, "batch_sigma_max": 1.0, "batch_well_steps": 10, "batch_start": 0.6, "batch_seed": 9999,
    },
    {"batch_b": 1, "batch_way": 100, "batch_well_steps": 60},
)  # fmt: skip
every_view = pytest.mark.parametrize("view", VIEWS)
every_case = pytest.mark.parametrize("case", range(len(CASES)))


@cache
def blocks(view, case=0):
    return batch_blocks({**BASE, **CASES[case], "batch_view": view})


def figure(view, case=0):
    (found,) = [block for block in blocks(view, case) if isinstance(block, Figure)]
    return found


def text(view, case=0):
    return "\n".join(block for block in blocks(view, case) if isinstance(block, str))


def test_every_knob_is_shown_by_some_view():
    shown = {name for view in VIEWS for name in batch_shown({**BASE, "batch_view": view})}
    assert shown == set(KNOBS)


@every_view
def test_the_specification_is_constant_and_holds_no_data_or_color(view):
    specs = [figure(view, case).spec(NARROW) for case in range(len(CASES))]
    assert all(spec is specs[0] for spec in specs)
    written = json.dumps(specs[0])
    assert "datasets" not in specs[0]
    assert not HEX.findall(written)
    assert len(written) < 26_000
    assert {mark.data for mark in marks(specs[0])} == set(figure(view).data)


@every_view
@every_case
def test_rows_can_be_drawn(view, case):
    drawn = figure(view, case)
    for mark in marks(drawn.spec(NARROW)):
        assert mark.fields() <= set(drawn.data[mark.data].columns)
    for frame in drawn.data.values():
        assert 0 < len(frame) < 1500
        for name in frame.select_dtypes("number"):
            assert not np.isinf(frame[name]).any()
    assert drawn.alt == figure(view).alt
    assert "NaN" not in text(view, case)
    assert "inf" not in text(view, case).replace("infinite", "")


@every_view
def test_a_figure_draws(view):
    chart = figure(view, 1).chart(NARROW)
    chart["config"] = theme.print_config()
    picture = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
    assert float(re.search(r'width="([\d.]+)"', picture)[1]) < 1.15 * NARROW
    assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", picture)


def test_directions_says_the_share_downhill():
    surface = SURFACES["Linear regression"]
    point = (np.array(surface.starts[0]) + np.array(surface.minima[0].point)) / 2
    found = directions(surface.samples, point, 4)
    assert f"**{number(100 * float(found.descends.mean()))}%** of the 64" in text(DIRECTIONS)
    red = figure(DIRECTIONS).data["gradients"].slot == theme.BAD
    assert red.sum() == (~found.descends).sum()
    assert "full gradient is 0" in text(DIRECTIONS, 1)
    assert "**100%** of the 64 mini-batches" in text(DIRECTIONS, 2)
    key = figure(DIRECTIONS).key
    assert not re.search("black|white|dark", key), "not the same in both themes"


def test_directions_says_where_a_batch_is_lowest():
    data = SURFACES["Linear regression"].samples
    row = directions(data, [0.0, 0.0], 1).batches[0][0]
    assert f"line {number(data.x[row])}·w + b = {number(data.y[row])}." in text(DIRECTIONS, 3)
    assert "which is the minimum of the full loss" in text(DIRECTIONS, 2)
    assert re.search(r"its label is [01], and its loss falls forever", text(DIRECTIONS, 1))
    for size, said in (
        (2, "labels are all [01], and"),
        (3, "a threshold on x parts its labels, and"),
        (64, "which is the"),
    ):
        given = {**BASE, "batch_view": DIRECTIONS, "batch_model": "Logistic regression", "batch_b": size}
        lead, _, read = batch_blocks(given)
        assert re.search(said, read)
        assert "minimum" not in lead


@every_case
def test_noise_stands_on_its_theory(case):
    error = figure(NOISE, case).data["error"]
    full = error[(error.name == "without replacement") & (error["size"] == 64)]
    assert full.y.isna().all()
    np.testing.assert_allclose(error.y, error.theory, rtol=0.12)
    free = error[error.name == "with replacement"]
    np.testing.assert_allclose(free.theory * np.sqrt(free["size"]), free.theory.iloc[0], rtol=1e-9)


def test_samples_seen_tells_costs_and_divergence():
    curves = figure(SEEN).data["curves"]
    assert curves.seen.max() == 12 * 64
    assert f"**{number(float(re.search(r'need .*?([0-9.]+)', text(SEEN))[1]))}**" in text(SEEN)
    assert "linear scaling rule" in text(SEEN, 1)
    assert "runs diverge, the first at step" in text(SEEN, 2)
    assert "Lines end where" in text(SEEN, 2)
    assert "Lines end where" not in text(SEEN)


def test_escape_says_what_runs_did():
    sigma = np.linspace(0, 12, 25)
    runs = noise_escape(OPTIMIZERS["GD"], 0.1, sigma, (WELLS.shallow, 0.0), steps=60)
    best = int(np.argmax(runs.deep))
    assert f"**{number(runs.deep[best] / 5)}%**, end in the deep well at σ = {number(sigma[best])}" in text(
        ESCAPE
    )
    swept = momentum_sweep(OPTIMIZERS["Momentum"], 0.1, np.arange(100) / 100, (3.0, 1.5), 3000)
    low, high = swept.momentum[swept.deep][[0, -1]]
    assert f"**μ from {number(low)} to {number(high)}**" in text(ESCAPE)
    assert "about between the wells" in text(ESCAPE)
    assert "out of both wells" in text(ESCAPE, 1)
    assert "about between" not in text(ESCAPE, 1)
    assert "at σ = 20 all." in text(ESCAPE, 1)
    lone = {**BASE, "batch_view": ESCAPE, "batch_well_lr": 0.4, "batch_well_steps": 10}
    assert "1 run diverges, at step" in batch_blocks(lone)[2]
    assert "no momentum up to 0.99 passes" in text(ESCAPE, 2)
    assert "none comes to the deep well" in text(ESCAPE, 2)
    assert "within 0.01 percentage points" in text(ESCAPE, 2)
    shares = figure(ESCAPE).data["shares"]
    deep = shares[shares.name == "deep well"].dropna()
    assert (np.abs(deep.y - deep.theory) < 0.09).all()
    assert ((deep.low <= deep.y) & (deep.y <= deep.high)).all()
