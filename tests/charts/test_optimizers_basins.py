"""The Basins tab: the picture, its numbers and its sentences are core's, and the specification is constant."""

import base64
import io
import math
import re
from functools import cache
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import vl_convert
from PIL import Image

from charts import progress, theme
from charts.describe import percent
from charts.figure import Figure
from charts.optimizers_base import KNOBS, complete, problem_of, settings, surface_of
from charts.optimizers_basins import BASIN_KNOBS, basin_click, basin_image, basins_blocks
from charts.topic import Link
from core.basins import REACH, basins
from core.descent import descend
from core.knobs import number
from core.optimizers import OPTIMIZERS
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

QUICK = {"basin_size": "64", "basin_steps": 60}
CASES = {
    "Himmelblau": {"surface": "Himmelblau"},
    "one minimum": {},
    "GD alone": {"surface": "Six-hump camel", "basin_optimizer": "GD"},
    "no minimum": {"surface": "Monkey saddle"},
    "many minima": {"surface": "Rastrigin"},
    "unlisted minima": {"surface": "Ackley", "basin_steps": 50},
    "curves": {"surface": "Two-weight net", "basin_shade": False},
    "all diverge": {"surface": "Goldstein–Price", "basin_factor": 10.0, "start_x": 50.0},
    "saddles too": {"surface": "Himmelblau", "basin_optimizer": "Newton"},
    "clipped, on a schedule": {"surface": "Beale", "clip": "norm", "clip_at": 3.0, "schedule": "cosine"},
    "a box": {"surface": "AMSGrad's example", "noise": 1.0},
    "mini-batches": {"surface": "Linear regression", "batch_size": 8, "basin_reach": 10.0},
    "noise": {"surface": "Himmelblau", "noise": 1.0},
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def values(case):
    given = {**QUICK, **CASES[case]}
    every = {name: knob.default for name, knob in KNOBS.items()}
    own = {knob.name: knob.default for knob in BASIN_KNOBS}
    return MappingProxyType({**every, **complete(given), **own, **given})


@cache
def blocks(case):
    return tuple(basins_blocks(values(case)))


def figure(case):
    return next(block for block in blocks(case) if isinstance(block, Figure))


def words(case):
    return " ".join(block for block in blocks(case) if isinstance(block, str))


def picture(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGBA"))


@every_case
def test_data_are_whole_and_a_constant_specification_names_them(case):
    drawn, usual = figure(case), figure("Himmelblau")
    for width in WIDE_AND_NARROW:
        spec = drawn.spec(width)
        assert spec == usual.spec(width)
        assert "datasets" not in spec
        assert not HEX.search(str(spec))
        for unit in marks(spec):
            if unit.data:
                assert unit.fields() <= set(drawn.data[unit.data].columns), unit.data
        assert {unit.data for unit in marks(spec)} - {""} == set(drawn.data)
    assert drawn.alt == usual.alt
    for name, frame in drawn.data.items():
        assert len(frame)
        numbers = frame.select_dtypes("number").to_numpy(float)
        assert np.isfinite(numbers).all(), name
        for column in {"slot", "halo"} & set(frame):
            assert set(frame[column]) <= set(range(len(theme.INKS)))
    assert sum(map(len, drawn.data.values())) < 1000
    assert len(drawn.data["map"].url.iloc[0]) < 40_000
    assert not re.search(r"\bnan\b|\binf\b|NaN|None|  ", words(case) + drawn.caption + drawn.key)


@pytest.mark.parametrize(
    ("case", "width"), [("Himmelblau", WIDE_AND_NARROW[0]), ("all diverge", WIDE_AND_NARROW[1])]
)
def test_the_figure_fits_its_column(case, width):
    text = vl_convert.vegalite_to_svg(figure(case).chart(width), vl_version="6.4")
    assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<|data:image[^"]*', "", text)
    assert 0.8 * width < float(re.search(r'width="([\d.]+)"', text)[1]) < 1.12 * width


@every_case
def test_the_shares_are_those_of_all_starts(case):
    bars = figure(case).data["bars"]
    assert bars.share.sum() == pytest.approx(1, abs=1e-12)
    if bars.compared.all():
        assert bars.plain.sum() == pytest.approx(1, abs=1e-12)
    curve = figure(case).data["curve"]
    assert (curve.groupby("name", observed=True).share.diff().dropna() >= 0).all()


def test_the_numbers_are_core_s():
    here = values("Himmelblau")
    surface = surface_of(here)
    rule = OPTIMIZERS["Momentum"].build(**settings("Momentum", here))
    result = basins(problem_of(here), rule, surface.window, 64, 60, surface.minima)
    assert result.radius == pytest.approx(REACH * 10)
    said = words("Himmelblau")
    for k, minimum in enumerate(surface.minima):
        x, y = minimum.point
        share = percent(float(np.mean(result.minimum == k)))
        assert f"{share} to ({number(x)}, {number(y)})" in said
    arrived = np.sort(result.arrived_at[result.arrived_at >= 0])
    assert (
        f"Half of those that arrive are there by step {int(np.quantile(arrived, 0.5, method='nearest'))},"
        in said
    )
    curve = figure("Himmelblau").data["curve"].query("name == 'Momentum'")
    for step, share in zip(curve.step, curve.share, strict=True):
        assert share == np.mean((result.arrived_at >= 0) & (result.arrived_at <= step))
    parted = (result.minimum[1:] != result.minimum[:-1]).sum() + (
        result.minimum[:, 1:] != result.minimum[:, :-1]
    ).sum()
    assert f"neighbors end in different places in {percent(parted / (2 * 64 * 63))} of all pairs" in said


def test_the_learning_rate_is_multiplied_and_stated():
    rate = settings("Momentum", values("all diverge"))["lr"]
    assert f"Momentum η {number(10 * rate)}, μ 0.9 (10 times the rate set)" in figure("all diverge").caption
    assert "diverge" in words("all diverge")
    assert "the first at step" in words("all diverge")


def test_what_acts_beside_the_surface_is_stated():
    assert "clipped by norm at 3" in figure("clipped, on a schedule").caption
    assert "Cosine schedule" in figure("clipped, on a schedule").caption
    assert "Exact gradients, without noise." in figure("noise").caption
    assert "Exact gradients" not in figure("a box").caption
    assert "Mini-batches of 8" in figure("mini-batches").caption
    assert np.array_equal(
        picture(figure("noise").data["map"].url.iloc[0]),
        picture(figure("Himmelblau").data["map"].url.iloc[0]),
    )


def test_newton_stops_at_saddles_and_gradient_descent_does_not():
    bars = figure("saddles too").data["bars"].set_index("name")
    assert bars.share["saddle or top"] > 0.2
    assert bars.plain["saddle or top"] == 0


def test_minima_that_a_list_lacks_are_found():
    assert len(figure("unlisted minima").data["minima"]) == 121
    assert len(surface_of(values("unlisted minima")).minima) == 9


def test_pixels_have_the_hue_of_their_minimum():
    drawn, here = figure("Himmelblau"), values("Himmelblau")
    image = picture(drawn.data["map"].url.iloc[0])[::-1]  # from low y to high y
    zoom = len(image) // 64
    surface = surface_of(here)
    rule = OPTIMIZERS["Momentum"].build(**settings("Momentum", here))
    for row, column in ((3, 3), (50, 10), (40, 60), (20, 55), (63, 0)):
        start = [-5 + 10 * (column + 0.5) / 64, -5 + 10 * (row + 0.5) / 64]
        run = descend(problem_of(here), rule, start, 60)
        apart = [math.dist(run.path[-1], m.point) for m in surface.minima]
        ink = theme.INKS[theme.SLOTS[theme.HUES[int(np.argmin(apart))]]]
        tone = [(int(ink.light[i : i + 2], 16) + int(ink.dark[i : i + 2], 16)) // 2 for i in (1, 3, 5)]
        cell = image[row * zoom : (row + 1) * zoom, column * zoom : (column + 1) * zoom]
        if min(apart) <= 0.1:
            assert (cell[..., :3] == tone).all()
            assert (cell[..., 3] == cell[0, 0, 3]).all()
        else:
            assert (cell[..., 3] == 0).all()


def test_codes_of_the_picture():
    hue, shade = np.array([[0, 0], [-1, -4]]), np.array([[0.0, 1.0], [0.5, 0.5]])
    image = picture(basin_image(hue, shade))
    half = len(image) // 2
    strong, faint, nothing, gray = image[-1, 0], image[-1, -1], image[half // 2, 0], image[0, -1]
    assert strong[3] > 2 * faint[3] > 0
    assert nothing[3] == 0
    assert 0 < gray[3] < 255
    for code in (-2, -3):
        opacity = picture(basin_image(np.full((2, 2), code), np.zeros((2, 2))))[..., 3]
        assert 0.2 < np.mean(opacity > 0) < 0.6  # hatched


def test_neighbors_among_many_minima_differ_in_hue():
    drawn = figure("many minima")
    image = picture(drawn.data["map"].url.iloc[0])[::-1]
    minima = drawn.data["minima"]
    points = minima[["x", "y"]].to_numpy()
    inner = np.abs(points).max(axis=1) < 4.5
    place = np.floor((points + 5.12) / 10.24 * len(image)).astype(int)
    hues = {tuple(p): tuple(image[j, i, :3]) for p, (i, j) in zip(points[inner], place[inner], strict=True)}
    for one, hue in hues.items():
        assert all(hue != other for point, other in hues.items() if 0 < math.dist(one, point) < 1.2)


def test_a_click_names_the_center_of_a_pixel():
    drawn = figure("no minimum")
    transforms = next(
        unit for unit in marks(drawn.spec(1040)) if not unit.data and unit.transforms
    ).transforms
    formulas = {t["as"]: t["calculate"] for t in transforms if "calculate" in t}
    frame = drawn.data["frame"].iloc[0].to_dict()
    centers = -2 + 4 * (np.arange(64) + 0.5) / 64  # of x and of y
    for u, v in ((0, 0), (1, 0), (40, 0), (0, 1), (6, 21), (40, 40)):
        names = {"datum": SimpleNamespace(**frame, u=u, v=v), "floor": math.floor}
        point = {axis: eval(formulas[axis], names) for axis in "xy"}
        assert all(np.abs(centers - point[axis]).min() < 1e-12 for axis in "xy")
        assert basin_click(point) == {"start_x": point["x"], "start_y": point["y"]}
    assert np.ptp(
        [
            eval(formulas["x"], {"datum": SimpleNamespace(**frame, u=u, v=0), "floor": math.floor})
            for u in range(41)
        ]
    ) == (centers[-1] - centers[0])


def test_what_runs_end_at_has_its_name():
    box, curves = ("a box", "curves")
    assert "no minimum, only a best point of the box" in words(box)
    assert "to the best point (−1, −1)" in words(box)
    assert "At the best point: within" in figure(box).caption
    assert "curves of minima, of which 6 points are listed" in words(curves)
    assert "end at another listed point" in words(curves)
    for case in (box, curves):
        drawn = figure(case)
        assert "the minimum" not in drawn.key + words(case)
        assert "minimum" not in drawn.data["titles"].to_numpy().ravel().tolist()[0]
    assert "In which of the 4 minima" in words("Himmelblau")
    assert "one minimum in the window" in words("one minimum")


def test_links_lead_to_surfaces_with_several_minima():
    for case in ("one minimum", "no minimum"):
        links = [block for block in blocks(case) if isinstance(block, Link)]
        assert len(links) == 3
        for link in links:
            assert len(surface_of({**values(case), **link.values}).minima) > 1
            assert link.tab == "Basins"
    assert not [block for block in blocks("Himmelblau") if isinstance(block, Link)]


def test_the_run_from_the_start_is_drawn():
    path = figure("Himmelblau").data["path"]
    here = values("Himmelblau")
    run = descend(
        problem_of(here), OPTIMIZERS["Momentum"].build(**settings("Momentum", here)), [0.0, 0.0], 60
    )
    assert path.shown.all()
    for x, y in zip(path.x, path.y, strict=True):
        assert np.abs(run.path - [x, y]).max(axis=1).min() < 1e-12
    assert not figure("all diverge").data["start"].shown.any()  # it lies outside


def test_progress_is_reported_and_a_listener_may_stop_it():
    told = []
    fresh = {**values("Himmelblau"), "basin_steps": 51, "basin_factor": 1.5}
    with progress.listening(lambda share, text: told.append((share, text))):
        basins_blocks(fresh)
    assert told == [
        (0.5, "Running Momentum from 64 × 64 starts"),
        (1.0, "Running GD from 64 × 64 starts"),
        (1.0, "Done"),
    ]

    def stop(share, text):
        raise InterruptedError

    with progress.listening(stop), pytest.raises(InterruptedError):
        basins_blocks({**fresh, "basin_steps": 52})
