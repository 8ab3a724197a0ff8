"""The Backward tab of the BatchNorm page and the blocks on identity and folding: what they draw is what core says."""

import json
import re

import numpy as np
import pytest
import vl_convert

from charts.batchnorm import KNOBS
from charts.batchnorm_backward import (
    BACKWARD_KNOBS,
    BATCHES,
    UPSTREAMS,
    backward_blocks,
    identity_blocks,
)
from charts.figure import Figure
from core.normalization import normalize_batch_backward
from tests.charts.topics import marks

EXTREMES = (
    {"gamma": 0.0, "mu": 0.0, "sigma": 0.1},
    {"gamma": -5.0, "beta": 3.0, "mu": -20.0, "sigma": 10.0, "eps": 1.0},
    {"eps": 1e-12, "batch_size": 1, "sigma": 1.0},
)
every_batch = pytest.mark.parametrize("batch", BATCHES)
every_upstream = pytest.mark.parametrize("upstream", UPSTREAMS)


def values(**given):
    return {**{knob.name: knob.default for knob in (*KNOBS, *BACKWARD_KNOBS)}, **given}


def split(blocks):
    figures = {block.name: block for block in blocks if isinstance(block, Figure)}
    return figures, "\n".join(block for block in blocks if isinstance(block, str))


def backward(**given):
    return split(backward_blocks(values(**given)))


def identity(**given):
    return split(identity_blocks(values(**given)))


def every_figure(**given):
    return [*backward(**given)[0].values(), *identity(**given)[0].values()]


def said(pattern, text):
    """Read a number off a text."""
    return float(re.search(pattern + r"(−?\d+(?:\.\d+)?(?:e−?\d+)?)", text)[1].replace("−", "-"))


@every_batch
@every_upstream
def test_bars_lead_from_term_to_term_to_the_gradient(batch, upstream):
    figures, text = backward(back_batch=batch, back_dy=upstream, gamma=-1.5, seed=3)
    figure = figures["batchnorm/backward"]
    bars, samples, points = (figure.data[name] for name in ("terms", "samples", "points"))
    x = BATCHES[batch].draw(5.0, 3.0, 3)
    dy = points.dy.to_numpy()
    dx = normalize_batch_backward(x[:, None], -1.5, dy[:, None], eps=1e-5)[0][:, 0]
    size = np.abs(bars["size"]).max()
    direct, mean, var, total = (
        bars[bars.term == term] for term in ("direct", "through mean", "through variance", "dL/dx")
    )
    assert (direct.start == 0).all()
    assert (total.start == 0).all()
    assert mean.start.to_numpy() == pytest.approx(direct.end.to_numpy())
    assert var.start.to_numpy() == pytest.approx(mean.end.to_numpy())
    for end in (var.end, total.end, samples.measured):
        assert end.to_numpy() == pytest.approx(dx, rel=1e-7, abs=1e-9 * size)
    deviation = np.sqrt(x.var() + 1e-5)
    assert (points.dy - points.fitted).to_numpy() * -1.5 / deviation == pytest.approx(dx, abs=1e-9 * size)
    assert text.count("\n| ") == len(x) + 2
    assert abs(said(r"Σ dL/dx = ", text)) < 1e-13 * size
    assert said(r"Σ dL/dx·x̂ = ", text) == pytest.approx(
        np.sum(dx * (x - x.mean())) / deviation, rel=6e-3, abs=1e-12 * size
    )


def test_dots_are_the_least_squares_line():
    fit = backward(back_batch="nearly constant", back_dy="random")[0]["batchnorm/backward"].data
    points, dots = fit["points"], fit["fit"][~fit["fit"].line]
    slope, offset = np.polyfit(points.normal, points.dy, 1)
    assert dots.dy.to_numpy() == pytest.approx(offset + slope * dots.normal.to_numpy(), abs=1e-9)


@every_batch
@pytest.mark.parametrize("upstream", [name for name in UPSTREAMS if name != "1 everywhere"])
def test_scale_figure_and_the_factor_of_ten(batch, upstream):
    figures, text = backward(back_batch=batch, back_dy=upstream)
    drawn = figures["batchnorm/scale"].data["scale"]
    assert drawn.norm.to_numpy() == pytest.approx(drawn.theory.to_numpy(), rel=1e-4)
    x = BATCHES[batch].draw(5.0, 3.0, 0)
    dy = figures["batchnorm/backward"].data["points"].dy.to_numpy()
    norms = [
        np.linalg.norm(normalize_batch_backward(c * x[:, None], 1.0, dy[:, None], eps=1e-5)[0])
        for c in (1, 10)
    ]
    assert said("divided by ", text) == pytest.approx(norms[0] / norms[1], rel=1e-3)


def test_the_power_of_the_scale_is_said():
    assert "above, it follows 1/σ³" in backward(back_dy="x̂ itself")[1]
    for upstream in ("first sample only", "random"):
        assert "stops following 1/σ." in backward(back_dy=upstream)[1]


def test_a_common_shift_has_no_gradient():
    figures, text = backward(back_dy="1 everywhere")
    assert set(figures) == {"batchnorm/backward"}
    assert "largest |dL/dx| is 0" in text
    assert said("dL/dβ = ", text) == 4
    assert "γ = 0 lets nothing" in backward(gamma=0.0)[1]


def test_range_of_outputs_is_no_unit_interval():
    text = backward()[1]
    assert -5 < said("between ", text) < -3
    assert 3 < said(" and ", text[text.index("between") :]) < 5
    assert said("in theory ", text) == pytest.approx(34.1, abs=0.06)  # Φ(1) − Φ(0)


@pytest.mark.parametrize("given", [{}, *EXTREMES])
def test_identity_marks_and_curves(given):
    figures, _ = identity(**given)
    data = figures["batchnorm/identity"].data
    curves, found = data["curves"], data["marks"]
    scale = float(curves.error.max())
    assert curves.error.to_numpy() == pytest.approx(curves.theory.to_numpy(), abs=1e-12 * scale)
    right, variance, own = found.error
    assert right < 1e-13 * scale
    assert found.gamma[0] ** 2 == pytest.approx(found.gamma[1] + values(**given)["eps"])
    assert variance == pytest.approx(
        abs(found.gamma[1] - found.gamma[0]) * np.sqrt(found.gamma[1]) / found.gamma[0]
    )
    at_own = curves[(curves.slot == found.slot[2]) & (curves.gamma == values(**given)["gamma"])]
    assert own == pytest.approx(at_own.error.to_numpy(), rel=1e-12)
    assert found.sort_values("gamma").row.tolist() == [2, 1, 0]


@pytest.mark.parametrize("given", [{}, *EXTREMES])
def test_folding_is_exact_to_rounding(given):
    text = identity(**given)[1]
    assert said("differ by at most ", text) < 1e-13
    assert said("are off by up to ", text) > 1e-3


@pytest.mark.parametrize("given", [{}, *EXTREMES, {"back_batch": "one outlier", "back_dy": "x̂ itself"}])
def test_data_fit_their_specifications(given):
    for figure in every_figure(**given):
        assert figure.spec(700) is figure.spec(700)
        for width in (1080, 358):
            units = list(marks(figure.spec(width)))
            assert {unit.data for unit in units} == set(figure.data)
            for unit in units:
                assert unit.fields() <= set(figure.data[unit.data].columns)
        for name, frame in figure.data.items():
            assert len(frame), name
            assert not np.isinf(frame.select_dtypes("number").to_numpy()).any(), name
        assert sum(map(len, figure.data.values())) < 300


@pytest.mark.parametrize("given", [{}, EXTREMES[0]])
def test_figures_are_drawn(given):
    for figure in every_figure(**given):
        svg = vl_convert.vegalite_to_svg(json.dumps(figure.chart(358)))
        assert 0.6 * 358 < float(re.search(r'width="([\d.]+)"', svg)[1]) < 1.15 * 358
        assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"', "", svg)
