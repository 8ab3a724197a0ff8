"""Forgotten eval() and stored statistics: the numbers are core's, counted here batch by batch."""

from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
import vl_convert

from charts import progress
from charts.batchnorm_evaluation import EVALUATION_KNOBS, evaluation_blocks
from charts.figure import Figure
from core.batchnorm_network import (
    accuracy,
    draw_arms,
    evaluate,
    forward,
    observe,
    recalibrate,
    train_network,
)
from core.knobs import number
from core.streams import stream
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

VALIDATED = "shuffled, then validated in training mode"
CASES = {
    "default": {},
    "recalibrated": {"eval_recalibrate": True},
    "validated": {"eval_order": VALIDATED, "eval_recalibrate": True},
    "sorted": {"eval_order": "sorted by class", "eval_weight": 0.001},
    "one step": {"eval_steps": 1, "eval_weight": 1.0, "seed": 3},
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def blocks(**changes):
    values = {knob.name: knob.default for knob in EVALUATION_KNOBS} | {"seed": 0, "eval_steps": 60}
    return evaluation_blocks(MappingProxyType(values | changes))


def parts(case):
    """Return the two figures of a case, each followed by its reading."""
    found = blocks(**CASES[case])
    at = [k for k, block in enumerate(found) if isinstance(block, Figure)]
    return [found[k] for i in at for k in (i, i + 1)]


@cache
def points(place, n):
    rng = stream(0, 2, place)
    x, labels = draw_arms(n, 4, noise=0.06, rng=rng)
    order = rng.permutation(n)
    return x[order], labels[order]


@cache
def trained(weight=0.1):
    x, labels = points(0, 512)
    return train_network(
        x, labels, (2, 24, 24, 24, 4), normalized=True, learning_rate=0.1, batch_size=32, steps=60, momentum=weight,
        record=(0, 60),
    )  # fmt: skip


def right(output, labels):
    return float((output.argmax(axis=-1) == labels).mean())


@every_case
def test_data_are_whole_and_constant_specifications_name_them(case):
    for figure, default in zip(parts(case)[::2], parts("default")[::2], strict=True):
        for width in WIDE_AND_NARROW:
            spec = figure.spec(width)
            assert spec == default.spec(width)
            assert "datasets" not in spec
            assert not HEX.search(str(spec))
            assert {unit.data for unit in marks(spec)} - {""} == set(figure.data)
        for frame in figure.data.values():
            assert len(frame)
            numeric = frame.select_dtypes("number").to_numpy(float)
            assert not np.isinf(numeric).any()
        assert sum(map(len, figure.data.values())) < 400
        vl_convert.vegalite_to_vega(figure.chart(WIDE_AND_NARROW[1]), vl_version="6.4")


def test_the_flat_line_is_evaluation_and_recalibration_adds_one():
    x, _ = points(0, 512)
    test, truth = points(2, 1024)
    run = trained()
    stored = right(evaluate(run.params, run.running, test), truth)
    anew = right(evaluate(run.params, recalibrate(run.params, x, batch_size=32), test), truth)
    for case, shown in (("default", False), ("recalibrated", True)):
        flat = parts(case)[0].data["flat"]
        np.testing.assert_allclose(flat.y, [stored, anew, 0.25])
        assert flat.shown.tolist() == [True, shown, True]
    text = parts("recalibrated")[3]
    for share in (stored, anew):
        assert f"**{number(100 * share)}%**" in text


@pytest.mark.parametrize(("classes", "name"), [(4, "all classes"), (2, "two classes"), (1, "one class")])
def test_forgotten_evaluation_is_counted_batch_by_batch(classes, name):
    test, truth = points(2, 1024)
    params = trained().params
    lines = parts("default")[0].data["lines"]
    line = lines[lines.line == name].set_index("size")
    shares = []
    for k in range(5):
        shuffled = stream(0, 3, k).permutation(1024)
        counted = 0.0
        for first in range(0, 4, classes):
            chosen = shuffled[(truth[shuffled] >= first) & (truth[shuffled] < first + classes)]
            for begin in range(0, len(chosen), 64):
                batch = chosen[begin : begin + 64]
                counted += (forward(params, test[batch]).output.argmax(axis=1) == truth[batch]).sum()
        shares.append(counted / 1024)
    expected = np.mean(shares), min(shares), max(shares)
    np.testing.assert_allclose(line.loc[64, ["y", "low", "high"]].to_numpy(float), expected)
    assert line.loc[1, "y"] == line.loc[1, "low"] == line.loc[1, "high"] == 0.25  # theory: one class of four


def test_small_and_one_sided_batches_hurt_and_the_text_says_by_how_much():
    figure, text, *_ = parts("default")
    lines = figure.data["lines"]
    mixed = lines[lines.line == "all classes"].y.to_numpy()
    one = lines[lines.line == "one class"].y.to_numpy()
    assert mixed[-1] > mixed[3] + 0.1 > mixed[0] + 0.2
    assert one.max() < 0.4
    for share in (mixed[-1], mixed[3], one.min(), one.max()):
        assert f"{number(100 * float(share))}%" in text


def test_units_are_measured_against_the_statistics_of_all_training_points():
    x, _ = points(0, 512)
    run = trained()
    units = parts("recalibrated")[2].data["units"]
    z = x @ run.params.weights[0] + run.params.biases[0]
    stored = units.iloc[:24]
    np.testing.assert_allclose(stored["mean"], (run.running[0].mean - z.mean(axis=0)) / z.std(axis=0, ddof=1))
    np.testing.assert_allclose(stored.ratio, run.running[0].var / z.var(axis=0, ddof=1))
    off = [np.abs(units["mean"].iloc[rows]).max() for rows in (slice(0, 72), slice(72, 144))]
    assert off[1] < 0.05 < off[0]  # recalibration lands next to the exact ones
    assert not parts("default")[2].data["units"].shown.iloc[72:].any()


def test_validation_in_training_mode_moves_the_statistics_alone():
    figure = parts("validated")[2]
    curves = figure.data["curves"]
    stored = curves[curves.line == "as stored"]
    assert stored.batch.max() == 60 + 32
    assert figure.data["trained"].batch.tolist() == [60]
    x, labels = points(1, 1024)
    test, truth = points(2, 1024)
    run = trained()
    moved = observe(run.params, run.running, x[np.argsort(labels, kind="stable")], batch_size=32)
    assert stored.y.iloc[-1] == pytest.approx(float(accuracy(evaluate(run.params, moved, test), truth)))
    before = float(stored.y[stored.batch == 60].iloc[0])
    anew = curves[curves.line == "recalibrated"].y.iloc[-1]
    assert stored.y.iloc[-1] < before - 0.1 < anew
    assert not parts("default")[2].data["trained"].shown.any()


def test_sorted_batches_leave_nothing_to_recalibrate():
    look = parts("sorted")[2].data["curves"]
    assert look.groupby("line", observed=True).y.last().max() < 0.6
    assert "cannot mend weights" in parts("sorted")[3]


def test_words_fit_what_is_drawn_and_counted():
    assert "Green" not in parts("default")[2].key
    assert "Green: recalibrated." in parts("recalibrated")[2].key
    figure, text = parts("one step")[2:]
    assert "batches of 32, 1 step, shuffled" in figure.caption
    assert "After 1 batch the stored" in text
    assert "about 1/a = 1 batch, of" in text


def test_the_caption_states_every_knob():
    changes = ({}, {"eval_weight": 0.05}, {"eval_steps": 3}, {"eval_order": VALIDATED}, {"seed": 1})
    captions = [blocks(**{"eval_steps": 2} | change)[1].caption for change in changes]
    assert len(set(captions)) == len(captions)


def test_training_tells_how_far_it_is():
    heard = []
    with progress.listening(lambda share, text: heard.append(share)):
        blocks(eval_steps=35)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) > 3
