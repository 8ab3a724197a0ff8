"""The tab that trains with and without BN: its measurements against closed forms, its figures, its sentences."""

import re

import numpy as np
import pytest

from charts import batchnorm_network as tab
from charts.figure import Figure
from core.batchnorm_network import cross_entropy, draw_arms, forward, train_network
from core.knobs import number
from core.streams import stream
from tests.charts.topics import HEX, marks

DEFAULTS = {knob.name: knob.default for knob in tab.NETWORK_KNOBS}
SMALL = {"net_layers": 2, "net_batch": 16, "net_activation": "tanh", "seed": 1}
WILD = {"net_layers": 6, "net_batch": 8, "net_activation": "ReLU", "net_rate": 20.0, "seed": 0}
VIEWS = tuple(tab._VIEWS)


def blocks(view, values):
    return tab.network_blocks({**DEFAULTS, **values, "net_view": view})


def setting(values):
    return tab._setting({**DEFAULTS, **values})


def test_views_are_the_choices_of_the_knob():
    assert next(k for k in tab.NETWORK_KNOBS if k.name == "net_view").choices == VIEWS


# Measurements


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("panel", "place"), [("rate", 8), ("scale", 2)])
def test_a_point_of_a_sweep_is_a_network_trained_alone(normalized, panel, place):
    sweep = tab.sweeps(*setting(SMALL))[panel]
    x, labels = draw_arms(tab.POINTS, tab.CLASSES, noise=0.1, rng=stream(1, 2))
    chosen = {"learning_rate": 0.1, "init_scale": 1.0}
    chosen[{"rate": "learning_rate", "scale": "init_scale"}[panel]] = float(sweep.x[place])
    run = train_network(
        x, labels, (2, 16, 16, 3), normalized=normalized, activation="tanh", batch_size=16, steps=tab.STEPS,
        seed=3, batch_seed=1, **chosen,
    )  # fmt: skip
    alone = cross_entropy(forward(run.params, x, "tanh").output, labels)
    np.testing.assert_allclose(
        sweep.loss[normalized][place, 2], alone, rtol=1e-6
    )  # seed 3 is the third of 1, 2, 3
    assert sweep.lost_at[normalized][place, 2] == -1


def test_longest_stretch_that_learns():
    low, high = tab.LEARNED / 2, tab.LEARNED * 2
    pattern = [low, high, low, low, low, high, low]
    sweep = tab.Sweep(
        10.0 ** np.arange(7),
        {k: np.array(v)[:, None] for k, v in {True: pattern, False: [high] * 7}.items()},
        {}, {},
    )  # fmt: skip
    assert tab._stretch(sweep, True) == (100.0, 10000.0)
    assert tab._stretch(sweep, False) is None
    assert "a factor of 100;" in tab._range_text(sweep, "rates")
    assert "without at none of the rates tried" in tab._range_text(sweep, "rates")


def test_one_seed_that_overflows_does_not_move_the_median():
    sweep = tab.Sweep(
        np.ones(1), {True: np.array([[np.inf, 0.2, 0.1]]), False: np.array([[np.inf, np.inf, 0.1]])}, {}, {}
    )
    assert sweep.median(True) == [0.2]
    assert not np.isfinite(sweep.median(False)[0])


@pytest.fixture(scope="module")
def seen():
    return tab.layers_seen(*setting(SMALL)), tab._runs(setting(SMALL))


def test_drift_after_bn_is_that_of_beta(seen):
    # The batch mean of y is β exactly and starts at 0; its standard deviation starts at √(var/(var + ε)), next to 1.
    found, runs = seen
    for layer, beta in enumerate(runs[True].snapshots.betas):
        np.testing.assert_allclose(
            found.drift["after"][layer], np.abs(beta).mean(axis=(1, 2)), rtol=1e-3, atol=1e-12
        )


def test_drift_of_the_first_layer_is_what_its_weights_do_to_the_mean_of_the_data(seen):
    found, runs = seen
    x, _ = tab._data(1)
    for kind, normalized in (("without", False), ("before", True)):
        w, b = runs[normalized].snapshots.weights[0], runs[normalized].snapshots.biases[0]
        moved = np.abs(np.einsum("i,rsij->rsj", x.mean(axis=0), w - w[0]) + b - b[0])
        std = np.sqrt(np.einsum("sij,ik,skj->sj", w[0], np.cov(x.T, bias=True), w[0]))
        np.testing.assert_allclose(
            found.drift[kind][0], (moved / std).mean(axis=(1, 2)), rtol=1e-9, atol=1e-12
        )


def test_root_mean_square_after_bn_is_that_of_gamma_and_beta(seen):
    measured, exact, damped = seen[0].rms
    assert measured == pytest.approx(damped, rel=1e-12)
    assert measured == pytest.approx(exact, rel=1e-3)


def test_quantiles_rise_and_are_those_of_all_units(seen):
    found, runs = seen
    x, _ = tab._data(1)
    z = x @ runs[False].snapshots.weights[0][5, 0] + runs[False].snapshots.biases[0][5, 0]
    np.testing.assert_allclose(
        found.quantiles[False][0, :, 5], np.quantile(z, [0.05, 0.25, 0.5, 0.75, 0.95]), rtol=1e-9
    )
    for q in found.quantiles.values():
        assert np.all(np.diff(q, axis=1) >= 0)


@pytest.mark.parametrize("reach", [0.06, 3.0, 12.0, 13.0, 5e3, 9.9e5])
def test_lines_of_the_axis_stand_at_their_values(reach):
    linear = reach <= tab._LINEAR
    ladder = tab._ladder(reach, linear)
    assert 3 <= len(ladder) <= 11
    assert np.all(np.abs(ladder) <= reach * (1 + 1e-9))
    np.testing.assert_allclose(ladder, -ladder[::-1])
    place = tab._place(ladder, linear)
    np.testing.assert_allclose(place if linear else np.sinh(place), ladder, rtol=1e-9)
    assert np.min(np.diff(place)) > 0.03 * (place[-1] - place[0])


# Figures


@pytest.fixture(scope="module", params=VIEWS)
def pair(request):
    """One view at quiet and at wild values."""
    return [blocks(request.param, values) for values in (SMALL, WILD)]


def test_a_view_is_a_lead_a_figure_and_a_reading(pair):
    for lead, figure, reading in pair:
        assert isinstance(figure, Figure)
        assert re.search(r"\d", reading)
        assert lead.count(".") + lead.count("?") <= 3


def test_specifications_are_constant_and_fit_their_data(pair):
    (_, one, _), (_, other, _) = pair
    assert one.name == other.name
    assert one.alt == other.alt
    spec = one.spec(358)
    assert spec is other.spec(358)
    assert not HEX.findall(str(spec))
    used = {}
    for unit in marks(spec):
        if unit.data:
            used.setdefault(unit.data, set()).update(unit.fields())
    for figure in (one, other):
        assert set(used) == set(figure.data)
        for name, fields in used.items():
            assert fields <= set(figure.data[name].columns), name


def test_data_are_few_finite_or_gaps_and_never_empty(pair):
    for _, figure, _ in pair:
        assert sum(map(len, figure.data.values())) < 1000
        for name, frame in figure.data.items():
            assert len(frame), name
            assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any(), name


def test_captions_name_every_parameter(pair):
    _, figure, _ = pair[1]
    for part in (
        "2-6 × 16-3 network with ReLU",
        "batches of 8,",
        "rate 20",
        "scale 1",
        "seed 0",
        "192 points",
    ):
        assert part in figure.caption


def test_overflow_is_said_with_its_step():
    found = tab.layers_seen(*setting(WILD))
    at = int(found.lost_at[False][0])
    assert at >= 0
    _, figure, reading = blocks("distributions", WILD)
    assert f"not finite from step {at} on" in reading
    titles = figure.data["moments_now"]
    late = titles[titles.step > at]["without"].astype(str)
    assert set(late) == {f"Without BN: z not finite from step {at}"}
    _, figure, reading = blocks("learning rates", WILD)
    sweep = tab.sweeps(*setting(WILD))["rate"]
    lost = figure.data["lost"]
    mine = lost[(lost.panel == "rate") & (lost.lane == "without") & lost.shown]
    steps = sweep.lost_at[False]
    expected = [str(row[row >= 0].min()) for row in steps if (row >= 0).any()]
    assert [label for label in mine.label.astype(str) if label != ">"] == expected
    total = sum(int((s.lost_at[False] >= 0).sum()) for s in tab.sweeps(*setting(WILD)).values())
    assert f"and {total} overflow; of" in reading


def test_the_reading_states_the_drift_of_the_figure():
    found = tab.layers_seen(*setting(SMALL))
    reading = blocks("distributions", SMALL)[2]
    for step in (1, 10, 100):
        assert number(float(found.drift["before"][-1, tab.RECORDED.index(step)]), 2) in reading


def test_the_reading_compares_medians_of_the_first_and_last_updates():
    found = tab.smoothness(*setting(SMALL))
    reading = blocks("shift or smoothness", SMALL)[2]
    steps = np.array(tab.RECORDED)
    for picked in (steps <= 10, steps >= 80):
        bn, plain = (np.median(found[k].relative_shift[picked]) for k in (True, False))
        assert f"{number(float(bn), 2)} with BN and {number(float(plain), 2)} without" in reading


def test_verdict_leaves_out_what_is_undefined_or_nothing():
    verdict = tab._verdict("X", tab._Compared({True: np.nan, False: 1.0}, {True: 0.0, False: 1.0}))
    assert (
        verdict
        == "**X**: – with BN and 1 without in the first updates; 0 with BN and 1 without in the last updates."
    )
    verdict = tab._verdict("X", tab._Compared({True: 1.0, False: 4.0}, {True: 1.0, False: 1.05}))
    assert "smaller with BN by a factor of 4;" in verdict
    assert "about the same" in verdict
