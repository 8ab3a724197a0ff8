"""What the notes say about dropout: every row is there and measured, and the numbers behind the texts are right."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from charts import dropout_notes as measured
from charts.dropout_notes import MEASURES
from charts.notes import notes


def ids(text: str) -> list[str]:
    return text.split()


CLAIMS = ids("S84 S85 S86 S87 S88 S89 S130 S178 S179 S180 S181 S182 S183 S206 S324 S325 S326")
ERRATA = ids("E38 E39 E40 E84 E85 E86 E87 E88 E89 E106 E172 E173 E174")
QUESTIONS = {"Q6", "Q7", "Q27", "Q28", "Q29"}


def test_every_row_of_the_notes_is_there_and_measured() -> None:
    found = notes("dropout")
    assert [entry.id for entry in found.claims] == CLAIMS
    assert [entry.id for entry in found.errata] == ERRATA
    assert {entry.id for entry in found.questions} >= QUESTIONS
    assert list(MEASURES) == [*CLAIMS, *ERRATA]


def test_six_units_keep_a_binomial_number() -> None:
    found = measured.kept()
    assert (found.three_theory, found.none_theory) == (20 / 64, 1 / 64)
    assert found.mean == pytest.approx(3, abs=4 * math.sqrt(1.5 / 10_000))
    for share, exact in ((found.three, 20 / 64), (found.none, 1 / 64)):
        assert share == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000))


@pytest.mark.parametrize("p", [0.2, 0.5])
@pytest.mark.parametrize(
    ("mode", "train", "evaluation"),
    [
        ("Inverted", lambda k: 1 / k, 1.0),
        ("Classic", lambda k: 1.0, None),
        ("No scaling", lambda k: 1.0, 1.0),
    ],
)
def test_all_masks_of_six_units(
    mode: str, train: Callable[[float], float], evaluation: float | None, p: float
) -> None:
    """Mean and variance of a binomial share, times the scale."""
    found, scale = measured.enumerated(mode, p), train(1 - p)
    assert found.mean == pytest.approx(scale * (1 - p))
    assert found.var == pytest.approx(scale**2 * p * (1 - p) / 6)
    assert found.evaluation == pytest.approx(1 - p if evaluation is None else evaluation)
    assert found.values == 7


def test_where_the_bias_stands() -> None:
    assert measured.biased() == (2.0, 2.0, 1.5, 0.5)


def test_masks_of_examples_average_out() -> None:
    found = measured.per_example()
    assert found.masks == 4
    # A standard deviation of 400 values is within 4/√800 of the true one.
    assert found.own == pytest.approx(1 / math.sqrt(32), rel=4 / math.sqrt(800))
    assert found.shared == pytest.approx(1, rel=4 / math.sqrt(800))


@pytest.mark.parametrize(("p", "masks"), [(0.0, 1), (0.1, 64), (0.5, 64), (1.0, 1)])
def test_masks_that_can_be_drawn(p: float, masks: int) -> None:
    assert measured.possible_masks(p) == masks


def test_neighbors_give_back_what_they_share() -> None:
    found = measured.pixels()
    assert found.independent < 0.01
    assert found.channel == 0
    assert 0.5 < found.map < 1
    # Kept neighbors that hold the very same value give it back whole.
    same = np.broadcast_to(np.random.default_rng(0).standard_normal((40, 1, 1)), (40, 8, 8))
    keep = np.indices((8, 8)).sum(axis=0) % 2 == 0
    assert measured._given_back(same, np.broadcast_to(keep, same.shape)) == pytest.approx(1)


def test_two_inputs_that_say_the_same() -> None:
    found = measured.twins()
    assert found.plain == pytest.approx((1, 0))
    assert found.limit == pytest.approx(1 / 3)  # 1/(2 + p/(1 − p))
    assert found.dropout == pytest.approx((1 / 3, 1 / 3), abs=0.02)
    assert found.lost == pytest.approx((1, (2 / 3) ** 2), abs=0.03)


def test_a_weight_spreads_over_two_features() -> None:
    found = measured.spread_weights()
    assert found.trained == pytest.approx(found.closed, abs=0.1)
    assert abs(found.closed[0] - found.closed[1]) < 0.5 * abs(found.plain[0] - found.plain[1])


def test_a_softmax_layer_is_its_geometric_mean() -> None:
    assert measured.averages_apart("softmax layer") < 1e-12
    assert measured.averages_apart("ReLU hidden layer") > 1e-3


def test_zeros_of_trained_networks() -> None:
    """In training half of the units that are not 0 anyway are dropped; without dropout both counts are one."""
    found = measured.examined()
    assert found.zeros_masked[0] == found.zeros[0]
    assert found.zeros_masked[1] == pytest.approx(found.zeros[1] + 0.5 * (1 - found.zeros[1]), abs=0.01)
    assert all(1 / measured.HIDDEN < share <= 1 for share in found.even)
    assert found.masked[1] < found.masked[0]


def test_trained_networks() -> None:
    run = measured.trained()
    assert (run.diverged_at == -1).all()
    test = run.test_error[-1]
    for k in range(len(measured.POINTS)):
        best = measured.RATES.index(measured.best_rate(k))
        assert test[k, best].mean() == test[k].mean(axis=-1).min()
    plain, dropped = measured.steps_to(run.train_loss[:, 2], 0.5)
    assert 0 < plain < dropped <= run.step[-1]
    curve = run.train_loss[:, 2, 2].mean(axis=-1)
    assert curve[run.step == dropped] <= 0.5 < curve[run.step == dropped - 10]


def test_gain_by_the_number_of_points() -> None:
    """The corrections of S182 and E88: no clear effect on the fewest, a gain in between, less again on the most."""
    found = measured.changes()
    few, best, many = found.change[0], found.change[found.best], found.change[-1]
    assert 0 < found.best < len(measured.AMOUNTS) - 1
    assert abs(few.mean) < few.band
    assert best.mean == min(change.mean for change in found.change) < -best.band
    assert found.rise.mean == pytest.approx(many.mean - best.mean)
    assert found.rise.mean > found.rise.band
    assert list(found.plain) == sorted(found.plain, reverse=True)
    apart = measured._change(np.array([0.01, 0.02] * 8))
    assert apart == pytest.approx((0.015, 2.131 * 0.005 / math.sqrt(15)))


def test_gradients_of_two_masks() -> None:
    found = measured.agreement()
    assert found.pairs == 4 * 48 * 47 // 2
    assert 0 < found.mean < 1
    # Two numbers a unit; both masks keep the middle one of three units, where their gradients are (3, 4) and (4, 3).
    first, second = np.array([[7.0, 3, 0], [7, 4, 0]]), np.array([[0.0, 4, 9], [0, 3, 9]])
    keep = np.array([[True, True, False], [False, True, True]])
    cosines = measured.shared_cosines(np.stack([first, second]), keep)
    np.testing.assert_allclose(cosines, [[1, 24 / 25], [24 / 25, 1]])


def test_models_that_are_combined() -> None:
    found = measured.committee()
    assert found.together < found.single
    assert all(0 < error < 0.5 for error in found)
