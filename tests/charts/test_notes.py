"""The study notes on the pages: every claim, erratum and question is there, measured, and shown by a view that exists."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from charts import activation_notes as measured
from charts.activation_notes import MEASURES
from charts.notes import VERDICTS, Claim, notes
from charts.topic import Topic
from core.activations import ACTIVATIONS
from core.properties import Cost
from tests.charts.topics import TOPICS

NOTES = Path(__file__).parents[2] / "notes"
WANTED = {
    "activations": {"Q10", "Q14", "Q23", "Q37"},
    "initialization": {"Q42"},
    "batchnorm": {"Q4", "Q5", "Q39", "Q40"},
    "dropout": {"Q6", "Q7", "Q27", "Q28", "Q29"},
    "optimizers": {"Q12", "Q15", "Q16", "Q43"},
}


def ids(text: str) -> list[str]:
    return text.split()


# Every statement of the notes that belongs to the page, and every erratum about an activation that it shows.
CLAIMS = {
    "activations": ids(
        "S14 S15 S18 S19 S21 S23 S24 S25 S26 S29 S30 S32 S36 S37 S49 S123 S126 S168 S169 S170 S171 S255 S257 S258 S259 "
        "S262 S264 S265 S266 S273 S274"
    ),
}
ERRATA = {
    "activations": ids(
        "E5 E6 E7 E8 E9 E10 E11 E12 E13 E43 E54 E55 E80 E92 E93 E105 E120 E132 E133 E134 E136 E137 E140 E142 E143 E144 "
        "E145 E146 E147 E148 E157"
    ),
}
TIMED = ("S23", "S32", "E8", "E148")

topics = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
measures = pytest.mark.parametrize("id_", MEASURES)

ENTRIES = {
    entry.id: (topic, entry)
    for topic in TOPICS
    for entry in (*notes(topic.name).claims, *notes(topic.name).errata)
}
entries = pytest.mark.parametrize(("topic", "entry"), ENTRIES.values(), ids=ENTRIES)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what is timed by fixed numbers: no test depends on how fast a machine is."""
    monkeypatch.setattr(measured, "cost", lambda entry, n, repeats, rng: Cost(2e-9, 1.5, 1e-3, 0.125))


@topics
def test_the_questions_of_a_page(topic: Topic) -> None:
    found = notes(topic.name).questions
    ids = [entry.id for entry in found]
    assert set(ids) >= WANTED[topic.name]
    assert len(set(ids)) == len(ids)
    for entry in found:
        assert entry.question.rstrip().endswith("?")
        assert len(entry.answer.split()) >= 10
        assert topic.scenario(entry.scenario) is not None, entry.scenario


def test_every_page_has_its_file_and_no_other_is_there() -> None:
    assert {path.stem for path in NOTES.glob("*.toml")} == {topic.name for topic in TOPICS} == set(WANTED)


def test_nothing_of_the_notes_stands_twice() -> None:
    ids = [
        entry.id
        for topic in TOPICS
        for part in ("claims", "errata", "questions")
        for entry in getattr(notes(topic.name), part)
    ]
    assert len(set(ids)) == len(ids)


# Claims and errata


@topics
def test_a_page_has_the_claims_and_errata_that_belong_to_it(topic: Topic) -> None:
    assert [entry.id for entry in notes(topic.name).claims] == CLAIMS.get(topic.name, [])
    assert [entry.id for entry in notes(topic.name).errata] == ERRATA.get(topic.name, [])


@topics
def test_each_of_them_is_measured_and_nothing_else(topic: Topic) -> None:
    assert set(topic.measures) == {*CLAIMS.get(topic.name, []), *ERRATA.get(topic.name, [])}


def test_the_measures_are_those_of_the_claims() -> None:
    assert set(MEASURES) == {*CLAIMS["activations"], *ERRATA["activations"]}


@measures
def test_the_verdict_is_what_the_measurement_says(id_: str, clock: None) -> None:
    _, entry = ENTRIES[id_]
    holds = MEASURES[id_]().holds
    allowed = {"right": (True,), "wrong": (False,), "typo": (False, None)}.get(
        entry.verdict, (True, False, None)
    )
    assert holds in allowed, f"{entry.says} is called {entry.verdict}"
    assert isinstance(holds, bool | None)


@measures
def test_a_text_says_numbers_in_words_that_markdown_leaves_alone(id_: str, clock: None) -> None:
    holds, text = MEASURES[id_]()
    assert holds is None or re.search(r"\d", text), text
    assert not re.search(r"nan|\binf\b|np\.float|array\(|[{}~$*_`]", text), text
    assert not re.search(r"(?<![\d–])-\d|\de-\d", text), f"a hyphen for a minus: {text}"
    assert text.count("[") == text.count("]"), text
    assert text.count("(") == text.count(")"), text
    assert text[0].isupper() or text[0] in "σ½Φ0123456789" or text.startswith(("tanh", "sigmoid", "log")), (
        text
    )
    assert text.endswith("."), text
    assert len(re.findall(r"[.?] [A-ZσΦ½]", text)) <= 3, "more than a few sentences"


@pytest.mark.parametrize("id_", [id_ for id_ in MEASURES if id_ not in TIMED])
def test_a_measurement_gives_the_same_every_time(id_: str) -> None:
    assert MEASURES[id_]() == MEASURES[id_]()


@pytest.mark.parametrize("id_", TIMED)
def test_what_is_timed_is_said_to_be_of_this_machine_and_moment(id_: str, clock: None) -> None:
    text = MEASURES[id_]().text
    assert "the machine that runs the app, just now" in text
    assert re.search(r"1\.5 times|0\.13 ms|2 ns", text), text  # 65,536 times 2 ns are 0.13 ms


@pytest.mark.parametrize(("ratio", "holds"), [(0.2, True), (3.0, False)])
def test_relu_is_cheap_only_where_it_is(ratio: float, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "cost", lambda *args: Cost(1e-9, 1.0, 1e-4, ratio))
    assert MEASURES["S32"]().holds is holds


@entries
def test_a_claim_says_what_and_where(topic: Topic, entry: Claim) -> None:
    assert re.fullmatch(r"00\d:\d+(-\d+)?(,\d+)?(; 00\d:\d+(-\d+)?(,\d+)?)*", entry.place)
    assert entry.verdict in VERDICTS
    assert entry.says.endswith(".")
    assert (entry.verdict == "right") == (entry.right == "")
    for text in (entry.says, entry.right):
        assert text.count("$") % 2 == 0
        assert text == text.strip()


@entries
def test_the_view_of_a_claim_exists(topic: Topic, entry: Claim) -> None:
    assert entry.view or entry.tab, "nothing shows it"
    assert entry.tab in ("", *topic.tab_names)
    unknown = set(entry.view) - set(topic.knobs)
    assert not unknown
    for name, value in entry.view.items():
        assert topic.knobs[name].check(value) == value
    hidden = set(entry.view) - topic.shown(topic.fill(entry.view))
    assert not hidden


# The numbers behind the texts


def close(got: object, wanted: object, digits: float = 5e-3) -> bool:
    return bool(np.allclose(got, wanted, rtol=digits, atol=0))


def test_slopes_far_out() -> None:
    assert close(measured.slopes_at("sigmoid", (0, 5, 10)), [0.25, 0.00665, 4.54e-5])
    assert close(measured.slopes_at("tanh", (0, 5, 10)), [1, 1.816e-4, 8.245e-9])
    assert close(measured.slope("sigmoid", 3.0) ** 10, 3.5e-14, 0.02)
    assert close(measured.slope("tanh", 3.0) ** 10, 8.7e-21, 0.02)


def test_gelu_s_values_minimum_and_slopes() -> None:
    assert close([measured.value("GELU", z) for z in (0.5, 1, 2)], [0.3457, 0.8413, 1.9545], 1e-4)
    text = MEASURES["E146"]().text
    assert "0.346, 0.841, 1.954" in text
    assert "z = −0.752, −0.17" in text
    slopes = MEASURES["E147"]().text
    assert "z = 1.4142, which is √2, with 1.1289" in slopes
    assert "smallest with −0.129" in slopes
    # At √2, where the slope is largest, it is Φ(√2) + √2·φ(√2).
    peak = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)
    assert measured.slope("GELU", math.sqrt(2)) == pytest.approx(peak, abs=1e-12)


@pytest.mark.parametrize("z", [-3.0, -0.75, 0.5, 2.0, 6.0])
def test_gelu_by_integration_is_gelu_by_the_error_function(z: float) -> None:
    assert measured.gelu_by_integration(z) == pytest.approx(z * math.erfc(-z / math.sqrt(2)) / 2, abs=1e-13)


def gelu_tanh_by_hand(z: np.ndarray, cubic: float) -> np.ndarray:
    return z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + cubic * z**3)))


Z = np.linspace(-6, 6, 120_001)
GELU = Z / 2 * (1 + np.vectorize(math.erf)(Z / math.sqrt(2)))


@pytest.mark.parametrize(("cubic", "error"), [(0.044715, 4.73e-4), (0.044175, 4.90e-4), (0.04438, 3.89e-4)])
def test_the_cubic_constants_of_gelu(cubic: float, error: float) -> None:
    by_hand = np.abs(gelu_tanh_by_hand(Z, cubic) - GELU).max()
    assert measured.gelu_tanh_error(cubic) == pytest.approx(by_hand, rel=1e-6)
    assert close(by_hand, error, 3e-3)


def test_the_best_cubic_constant_and_the_typed_one() -> None:
    constant, error = measured.best_cubic()
    assert constant == pytest.approx(0.04438, abs=1.5e-5)
    for other in (constant - 5e-5, constant + 5e-5):
        assert np.abs(gelu_tanh_by_hand(Z, other) - GELU).max() > error
    apart = np.abs(gelu_tanh_by_hand(Z, 0.044175) - gelu_tanh_by_hand(Z, 0.044715)).max()
    assert measured.gelu_tanh_error(0.044175, "GELU (tanh)") == pytest.approx(apart, rel=1e-6)
    assert close(apart, 3.2e-4, 0.02)


def test_the_two_approximations_of_gelu(clock: None) -> None:
    text = MEASURES["E148"]().text
    assert "0.000473 (z = 2.7)" in text
    assert "0.0203 (z = 2.27)" in text


def test_the_mask_of_gelu() -> None:
    found = measured.masked(0.5)
    share = (1 + math.erf(0.5 / math.sqrt(2))) / 2
    assert found.exact == pytest.approx(0.5 * share, abs=1e-12)
    assert found.error == pytest.approx(0.5 * math.sqrt(share * (1 - share) / 100_000), rel=0.02)
    assert abs(found.drawn - found.exact) < 4 * found.error
    assert measured.masked(-1.0, 1000).drawn < 0


def test_second_derivatives_of_two_losses() -> None:
    found = measured.bowls(np.array([0.0, 1.0, 2.0]))
    assert close(found.squared, [0.125, -0.0555, -0.119])
    assert close(found.cross_entropy, [0.25, 0.1966, 0.105])
    np.testing.assert_allclose(found.squared_measured, found.squared, atol=1e-6)
    np.testing.assert_allclose(found.cross_entropy_measured, found.cross_entropy, atol=1e-6)


def test_sums_of_three_logits() -> None:
    e, logits = math.exp, (2, 2, -1)
    found = measured.sums()
    assert found["sigmoid"] == pytest.approx(sum(1 / (1 + e(-z)) for z in logits), abs=1e-14)
    assert found["tanh"] == pytest.approx(sum(math.tanh(z) for z in logits), abs=1e-14)
    assert found["softmax"] == pytest.approx(1, abs=1e-15)
    assert close(found["sigmoid"], 2.03)


def test_where_sigmoid_rounds_to_one() -> None:
    assert measured.exactly_one(np.float64) == 37
    assert measured.exactly_one(np.float32) == 17


def test_squaring_again_and_again() -> None:
    result, overflow = measured.squares_from(1.1, 8)
    assert result == pytest.approx(1.1**256, rel=1e-12)
    assert 2 ** (overflow - 1) * math.log(1.1) < math.log(np.finfo(float).max) < 2**overflow * math.log(1.1)
    assert measured.iterated("tanh", 1.1, 3) == pytest.approx(math.tanh(math.tanh(math.tanh(1.1))), rel=1e-14)


def test_a_learned_slope_ends_at_the_least_squares_solution() -> None:
    fit = measured.learned_slope()
    assert fit.start == 0.25
    assert fit.learned == pytest.approx(fit.best, abs=1e-6)
    assert fit.best == pytest.approx(0.1, abs=4 * 0.05 / math.sqrt(100))  # about 100 points lie below 0


def test_activations_with_a_monotone_slope_are_the_convex_ones() -> None:
    z = np.linspace(-8, 8, 401)
    convex = set()
    for name, entry in ACTIVATIONS.items():
        f = entry.f
        between = f((z[:, None] + z) / 2) <= (f(z)[:, None] + f(z)) / 2 + 1e-12
        if between.all():
            convex.add(name)
    # The step is flat on both sides: its slope is 0 throughout, and its jump is no slope.
    assert set(measured.monotone_slopes()) == convex | {"step"}


def test_who_enlarges_what_is_large_and_shrinks_what_is_small() -> None:
    assert measured.emphasizers() == ("squared ReLU",)


def test_slopes_of_relu_at_its_kink() -> None:
    assert measured.one_sided_slopes("ReLU") == (0.0, 1.0)
    assert measured.one_sided_slopes("leaky ReLU") == pytest.approx((0.01, 1.0), rel=1e-9)
    assert "0 from the left, 1 from the right and 0.5" in MEASURES["S30"]().text


def test_no_gradient_comes_through_a_step() -> None:
    found, hits = measured.weight_gradients(("step", "sigmoid", "ReLU"))
    assert found["step"] == 0
    assert min(found["sigmoid"], found["ReLU"]) > 1e-3
    assert hits == 0


def test_relu_through_fifty_layers() -> None:
    found = measured.relu_depth()
    # The second moment is halved in each layer, times n·Var w.
    for scheme, factor in {"LeCun normal": 0.5, "He normal": 1.0, "N(0, 1)": 64.0}.items():
        assert found.theory[scheme] == pytest.approx(factor**25, rel=1e-9)
        # The logarithm of one network's second moment has variance near 5·50/128; here are four.
        assert (
            2 * abs(math.log(found.measured[scheme] / found.theory[scheme])) < 3 * math.sqrt(5 * 50 / 128) / 2
        )
    assert close(found.theory["LeCun normal"], 2.98e-8)


def test_sigmoid_layers_squeeze_or_enlarge_a_change() -> None:
    assert close(measured.squeezed(1.0, 10.0, 1), 0.49995, 1e-4)
    assert close(measured.squeezed(1.0, 10.0, 8), 1.4e-5, 0.02)
    # To first order a layer with weight w multiplies a small change around the middle by w/4.
    for weight, layers in itertools.product((2.0, 8.0), (1, 3)):
        assert measured.squeezed(weight, 1e-6, layers) == pytest.approx(
            1e-6 * (weight / 4) ** layers, rel=1e-6
        )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8, 16])
def test_maxout_fits_the_parabola_to_half_over_k_squared(k: int) -> None:
    assert measured.parabola_error(k) == pytest.approx(1 / (2 * k * k), rel=1e-2)


@pytest.mark.parametrize(
    ("name", "mean"), [("tanh", 0.0), ("sigmoid", 0.5), ("ReLU", 0.39894), ("GELU", 0.28209)]
)
def test_mean_outputs(name: str, mean: float) -> None:
    assert measured.standard_mean(name) == pytest.approx(mean, abs=1e-5)


def test_tanh_as_its_formula_stands() -> None:
    assert measured.naive_tanh(0.5) == pytest.approx(math.tanh(0.5), rel=1e-15)
    assert math.isnan(measured.naive_tanh(800.0))


def test_differences_are_second_order() -> None:
    gaps = [
        measured.largest(measured.differences(np.sin, Z[::100], h) - np.cos(Z[::100])) for h in (1e-2, 1e-3)
    ]
    assert gaps[0] == pytest.approx(1e-4 / 6, rel=1e-3)
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=1e-2)


def test_training_comparisons_name_what_the_runs_gave() -> None:
    losses = {name: measured.spiral_loss(name) for name in ("ReLU", "tanh", "sigmoid")}
    assert all(0 < loss < 1 for loss in losses.values())
    # Until a network has learned something it predicts about ½ at every point, which costs ln 2.
    assert losses["sigmoid"] < math.log(2)
    for problem in ("moons", "regression"):
        for name in ("ReLU", "tanh"):
            found = measured.stability(name, problem)
            assert 0 < found.loss < math.inf
            assert found.fails_from > 0.03
