"""The Ensemble tab: what its figures and sentences say is core's, and the specifications are constant."""

import re
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
import vl_convert

from charts import progress, theme
from charts.dropout_ensemble import BAND, ENSEMBLE_KNOBS, MASKS, NETWORKS, ensemble_blocks, ensemble_knobs
from charts.figure import Figure
from core.dropout_ensemble import SMALL_NETS, enumerate_ensemble, expected_distinct, kept_probability
from core.knobs import number
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

CASES = {
    NETWORKS: {},
    "nothing dropped": {"p": 0.0, "ens_units": 1},
    "all dropped": {"p": 1.0},
    "tanh": {"ens_net": "tanh hidden layer", "ens_units": 12, "p": 0.3, "ens_samples": 1},
    MASKS: {"ens_view": MASKS},
    "one unit": {"ens_view": MASKS, "ens_units": 1, "p": 1.0, "ens_samples": 1},
    "many masks": {"ens_view": MASKS, "ens_units": 12, "p": 0.97, "ens_samples": 1000},
    BAND: {"ens_view": BAND},
    "one layer": {"ens_view": BAND, "ens_layers": 1, "p": 0.2},
    "one pass": {"ens_view": BAND, "ens_samples": 1},
    "no noise": {"ens_view": BAND, "ens_layers": 1, "p": 0.0, "ens_decay": 0.1},
    "no units": {"ens_view": BAND, "ens_layers": 1, "p": 1.0},
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def blocks(**changes):
    values = {knob.name: knob.default for knob in ENSEMBLE_KNOBS} | {"p": 0.5, "seed": 0}
    return ensemble_blocks(MappingProxyType(values | changes))


def figures(case):
    return [block for block in blocks(**CASES[case]) if isinstance(block, Figure)]


def words(case):
    return " ".join(block for block in blocks(**CASES[case]) if isinstance(block, str))


@every_case
def test_data_are_whole_and_constant_specifications_name_them(case):
    defaults = {figure.name: figure for view in (NETWORKS, MASKS, BAND) for figure in figures(view)}
    for figure in figures(case):
        for width in WIDE_AND_NARROW:
            spec = figure.spec(width)
            assert spec == defaults[figure.name].spec(width)
            assert "datasets" not in spec
            assert not HEX.search(str(spec))
            for unit in marks(spec):
                assert unit.fields() <= set(figure.data[unit.data].columns), unit.data
            assert {unit.data for unit in marks(spec)} == set(figure.data)
        assert figure.alt == defaults[figure.name].alt
        for frame in figure.data.values():
            assert len(frame)
            assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any()
            assert frame.notna().any().all()  # else the browser finds no extent
            if "slot" in frame:
                assert set(frame.slot) <= set(range(len(theme.INKS)))
        assert sum(map(len, figure.data.values())) < 1500
        text = vl_convert.vegalite_to_svg(figure.chart(WIDE_AND_NARROW[1]), vl_version="6.4")
        assert "NaN" not in re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", text)
        assert 0.6 * 360 < float(re.search(r'width="([\d.]+)"', text)[1]) < 1.15 * 360
    assert not re.search(r"\bnan\b|\binf\b|NaN|None", words(case))


@every_case
def test_the_controls_of_a_view_are_knobs_of_the_tab(case):
    values = {knob.name: knob.default for knob in ENSEMBLE_KNOBS} | CASES[case]
    shown = ensemble_knobs(values)
    assert shown[0] == "ens_view"
    assert set(shown) <= {knob.name for knob in ENSEMBLE_KNOBS}


@pytest.mark.parametrize("net", SMALL_NETS)
def test_bars_and_marks_are_the_enumeration(net):
    (figure,) = (b for b in blocks(ens_net=net, p=0.3) if isinstance(b, Figure))
    found = enumerate_ensemble(net, units=8, p=0.3, seed=0)
    bars, marks_ = figure.data["bars"], figure.data["averages"]
    assert bars.share.sum() == pytest.approx(1)
    assert bars["count"].sum() == 256
    one = bars.iloc[len(bars) // 2]
    inside = (found.output[:, 0] >= one.low) & (found.output[:, 0] < one.high)
    assert one.share == pytest.approx(found.probability[inside].sum())
    at = [found.arithmetic[0], found.geometric[0], found.scaled[0]]
    np.testing.assert_allclose(marks_.x.iloc[[0, 2, 3]], at)
    errors, theory = figure.data["errors"].set_index("passes"), figure.data["theory"].set_index("passes")
    np.testing.assert_allclose(theory.y, found.sd[0] / np.sqrt(theory.index))
    np.testing.assert_allclose(errors.y[theory.index] / theory.y, 1, atol=0.25)
    text = blocks(ens_net=net, p=0.3)[-1]
    for value in (found.arithmetic[0], found.scaled[0]):
        assert f"**{number(float(value))}**" in text
    assert ("which is rounding" in text) == (SMALL_NETS[net].activation is None)


def test_masks_are_counted_and_compared_with_theory():
    first, second = figures(MASKS)
    np.testing.assert_allclose(first.data["bars"].theory, kept_probability(8, 0.5))
    assert first.data["bars"].share.sum() == pytest.approx(1)
    theory = first.data["theory"]
    np.testing.assert_allclose(theory.y, expected_distinct(8, 0.5, theory.passes))
    lines = first.data["distinct"].set_index("passes")
    np.testing.assert_allclose(lines.y[theory.passes], theory.y, rtol=0.02)
    assert f"theory {number(float(expected_distinct(8, 0.5, 100)), 4)}" in words(MASKS)
    least = second.data["least"]
    np.testing.assert_allclose(least.p, [0.8, 0.5, 0.1], atol=0.051)
    assert second.data["effective"].y.max() == pytest.approx(256)


@pytest.mark.parametrize(("p", "verb"), [(0.0, "keeps"), (1.0, "drops")])
def test_one_mask_is_not_called_many(p, verb):
    (figure,) = (b for b in blocks(p=p) if isinstance(b, Figure))
    assert figure.data["titles"].networks[0].startswith("The one network")
    assert figure.data["bars"]["count"].sum() == 1
    said = blocks(ens_view=MASKS, p=p)[2]
    assert f"only one of the 256 masks is possible, the one that {verb} every unit" in said
    assert "possible masks this run" not in said


def test_the_band_is_wide_in_the_gap_with_two_layers_and_cannot_be_with_one():
    ratios = {}
    for case in (BAND, "one layer"):
        (figure,) = figures(case)
        band, regions = figure.data["band"], figure.data["regions"].set_index("label")
        sd = (band.high - band.low) / 4
        np.testing.assert_allclose(sd, band.sd)
        gap = sd[band.x.abs() < 0.8 - 1e-9].mean()
        data = sd[(band.x.abs() > 0.8 - 1e-9) & (band.x.abs() < 2.4 + 1e-9)].mean()
        assert regions.sd["gap"] == pytest.approx(gap)
        assert regions.sd["data"].mean() == pytest.approx(data)
        right = sd[band.x > 2.4 + 1e-9].mean()
        assert regions.sd["beyond"].iloc[1] == pytest.approx(right)
        assert f"and {number(right, 2)} on the right" in words(case)
        assert ("closed form" in figure.key) == (case == "one layer")
        ratios[case] = gap / data
        assert f"{number(gap / data, 2)} times as wide" in words(case)
        truth = np.sin(2.2 * band.x) + 0.3 * band.x
        beyond = band.x.abs() > 2.4 + 1e-9
        covered = ((truth > band.low) & (truth < band.high))[beyond].mean()
        assert f"**{number(100 * covered)}%** beyond" in words(case)
        assert covered < 0.5
    assert ratios[BAND] > 1.5
    assert ratios["one layer"] < 1
    theory, sd = figure.data["theory"], band.set_index("x").sd
    assert theory.shown.all()
    np.testing.assert_allclose(sd[theory.x].to_numpy() / theory.sd, 1, atol=0.3)
    assert (np.diff(theory.sd**2, 2) > -1e-9).all()  # convex
    assert not figures(BAND)[0].data["theory"].shown.any()


def test_more_passes_keep_the_first_ones_and_the_network():
    few, many = (figures_of(ens_view=BAND, ens_samples=t) for t in (20, 100))
    assert few.data["passes"].equals(many.data["passes"])
    scaled = [f.data["curves"].y[f.data["curves"].line == "weight scaling"] for f in (few, many)]
    np.testing.assert_array_equal(*scaled)


def figures_of(**changes):
    return next(block for block in blocks(**changes) if isinstance(block, Figure))


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, ({"ens_net": "tanh hidden layer"}, {"ens_units": 3}, {"ens_samples": 7}, {"p": 0.2}, {"seed": 1})),
        ({"ens_view": MASKS}, ({"ens_units": 3}, {"ens_samples": 7}, {"p": 0.2}, {"seed": 1})),
        ({"ens_view": BAND, "ens_layers": 1}, ({"ens_samples": 7}, {"ens_decay": 0.01}, {"seed": 1})),
    ],
)  # fmt: skip
def test_the_caption_states_every_knob(base, changes):
    captions = [figures_of(**base | change).caption for change in ({}, *changes)]
    assert len(set(captions)) == len(captions)


def test_training_tells_how_far_it_is():
    heard = []
    with progress.listening(lambda share, text: heard.append(share)):
        blocks(ens_view=BAND, ens_layers=1, seed=77)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) > 3
