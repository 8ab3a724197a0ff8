"""The study notes on the pages: every claim, erratum and question is there, measured, and shown by a view that exists."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charts import activation_notes as measured
from charts import batchnorm_notes as norms
from charts import dropout_notes as masks
from charts import initialization_notes as starts
from charts import optimizers_notes as rules
from charts import theme
from charts.activation_notes import MEASURES
from charts.activation_training import TRAIN_KNOBS, train_blocks
from charts.notes import VERDICTS, Claim, Question, notes
from charts.topic import Topic
from core.activations import ACTIVATIONS
from core.knobs import number
from tests.charts.topics import TOPICS

NOTES = Path(__file__).parents[2] / "notes"
WANTED = {
    "activations": {"Q10", "Q14", "Q23", "Q37"},
    "initialization": {"Q1", "Q42"},
    "batchnorm": {"Q2", "Q3", "Q4", "Q5", "Q39", "Q40"},
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
    "initialization": ids(
        "S2 S62 S111 S112 S137 S138 S207 S208 S209 S210 S211 S212 S213 S289 S290 S291 S292 S293 S294 S295 S296"
    ),
    "batchnorm": ids(
        "S63 S64 S65 S66 S67 S68 S69 S70 S71 S72 S73 S74 S75 S76 S77 S78 S79 S80 S81 S82 S83 S132 S133 S134 S139 S140 S195 "
        "S199 S200 S201 S202 S203"
    ),
    "dropout": ids("S84 S85 S86 S87 S88 S89 S130 S178 S179 S180 S181 S182 S183 S206 S324 S325 S326"),
    "optimizers": ids(
        "S6 S16 S99 S100 S105 S109 S148 S149 S150 S151 S152 S153 S154 S155 S156 S157 S158 S214 S260 S309 S310 S311 S312 "
        "S313 S314"
    ),
}
ERRATA = {
    "activations": ids(
        "E5 E6 E7 E8 E9 E10 E11 E12 E13 E43 E54 E55 E80 E92 E93 E105 E120 E132 E133 E134 E136 E137 E140 E142 E143 E144 "
        "E145 E146 E147 E148 E157"
    ),
    "initialization": ids("E1 E49 E50 E60 E61 E107 E108 E109 E149 E150 E151 E152 E153 E154"),
    "batchnorm": ids("E29 E30 E31 E32 E33 E34 E35 E36 E37 E59 E95 E96 E97 E98 E99 E100 E101 E102 E103"),
    "dropout": ids("E38 E39 E40 E84 E85 E86 E87 E88 E89 E106 E172 E173 E174"),
    "optimizers": ids("E44 E45 E47 E67 E68 E69 E70 E71 E72 E110 E161 E162 E163"),
}
TIMED = ("S23", "S32", "E8")

topics = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
BY_TOPIC = {
    "activations": MEASURES,
    "initialization": starts.MEASURES,
    "batchnorm": norms.MEASURES,
    "dropout": masks.MEASURES,
    "optimizers": rules.MEASURES,
}
# Without the caches that keep what a page has measured once.
ALL_MEASURES = {
    id_: getattr(measure, "__wrapped__", measure)
    for measures_of_page in BY_TOPIC.values()
    for id_, measure in measures_of_page.items()
}
measures = pytest.mark.parametrize("id_", ALL_MEASURES)

ENTRIES = {
    entry.id: (topic, entry)
    for topic in TOPICS
    for entry in (*notes(topic.name).claims, *notes(topic.name).errata)
}
entries = pytest.mark.parametrize(("topic", "entry"), ENTRIES.values(), ids=ENTRIES)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what is timed by fixed numbers: no test depends on how fast a machine is."""
    times = measured.Times({"ReLU": 5e-10, "sigmoid": 4e-9, "tanh": 1.6e-9}, 5e-11)
    monkeypatch.setattr(measured, "times", lambda: times)


@topics
def test_the_questions_of_a_page(topic: Topic) -> None:
    found = notes(topic.name).questions
    ids = [entry.id for entry in found]
    assert set(ids) >= WANTED[topic.name]
    assert len(set(ids)) == len(ids)
    for entry in found:
        assert entry.question.rstrip().endswith("?")
        assert len(entry.answer.split()) >= 10
        if entry.scenario:
            assert topic.scenario(entry.scenario) is not None, entry.scenario
        else:
            legal(topic, entry)


def legal(topic: Topic, entry: Claim | Question) -> None:
    """Check that the view and the tab that show an entry exist, and that every value acts there."""
    assert entry.view or entry.tab, "nothing shows it"
    assert entry.tab in ("", *topic.tab_names)
    unknown = set(entry.view) - set(topic.knobs)
    assert not unknown
    for name, value in entry.view.items():
        assert topic.knobs[name].check(value) == value
    hidden = set(entry.view) - topic.shown(topic.fill(entry.view))
    assert not hidden


@pytest.mark.parametrize("shown", [{}, {"scenario": "a", "tab": "b"}, {"scenario": "a", "view": {"w": 1.0}}])
def test_a_question_is_shown_by_one_thing(shown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Q0: needs a scenario, or a view or a tab"):
        Question("Q0", "Why?", "Because.", **shown)


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


@pytest.mark.parametrize("topic", BY_TOPIC)
def test_the_measures_are_those_of_the_claims(topic: str) -> None:
    assert set(BY_TOPIC[topic]) == {*CLAIMS[topic], *ERRATA[topic]}


@measures
def test_the_verdict_is_what_the_measurement_says(id_: str, clock: None) -> None:
    _, entry = ENTRIES[id_]
    holds = ALL_MEASURES[id_]().holds
    allowed = {"right": (True,), "wrong": (False,), "typo": (False, None)}.get(
        entry.verdict, (True, False, None)
    )
    assert holds in allowed, f"{entry.says} is called {entry.verdict}"
    assert isinstance(holds, bool | None)


@measures
def test_a_text_says_numbers_in_words_that_markdown_leaves_alone(id_: str, clock: None) -> None:
    holds, text = ALL_MEASURES[id_]()
    assert holds is None or re.search(r"\d", text), text
    assert not re.search(r"nan|\binf\b|np\.float|array\(|[{}~$*_`]|<[a-zA-Z/!?]", text), text
    assert not re.search(r"(?<![\d–])-\d|\de-\d", text), f"a hyphen for a minus: {text}"
    assert text.count("[") == text.count("]"), text
    assert text.count("(") == text.count(")"), text
    assert text[0].isupper() or text[0] in "σ½Φ0123456789" or text.startswith(("tanh", "sigmoid", "log")), (
        text
    )
    assert text.endswith("."), text
    assert len(re.findall(r"[.?] [A-ZσΦ½]", text)) <= 3, "more than a few sentences"


@pytest.mark.parametrize("id_", [id_ for id_ in ALL_MEASURES if id_ not in TIMED])
def test_a_measurement_gives_the_same_every_time(id_: str) -> None:
    assert ALL_MEASURES[id_]() == ALL_MEASURES[id_]()


@pytest.mark.parametrize("id_", TIMED)
def test_what_is_timed_is_said_to_be_of_this_machine_and_rounded(id_: str, clock: None) -> None:
    text = ALL_MEASURES[id_]().text
    assert "the machine that runs the app" in text
    found = {
        "S23": "sigmoid takes about 8 and tanh about 3.",
        "S32": "ReLU takes about 0.5 ns a number, tanh about 2 and sigmoid about 4.",
        "E8": "about 80 multiplications and additions",
    }
    assert found[id_] in text


def test_times_are_taken_once() -> None:
    found = measured.times()
    assert all(0 < seconds < 1e-3 for seconds in (*found.functions.values(), found.multiply_add))
    assert measured.times() is found


@pytest.mark.parametrize(("relu", "holds"), [(1e-9, True), (3e-9, False)])
def test_relu_is_cheap_only_where_it_is(relu: float, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    times = measured.Times({"ReLU": relu, "sigmoid": 2e-9, "tanh": 1e-9}, 1e-11)
    monkeypatch.setattr(measured, "times", lambda: times)
    assert ALL_MEASURES["S32"]().holds is holds


@pytest.mark.parametrize("id_", ["S19", "S49", "E8", "E145"])
def test_nothing_is_measured_twice(id_: str) -> None:
    assert MEASURES[id_]() is MEASURES[id_]()


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
    legal(topic, entry)


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


def test_the_two_approximations_of_gelu() -> None:
    text = MEASURES["E148"]().text
    assert "0.000473 (z = 2.70)" in text
    assert "0.0203 (z = 2.27), 43.0 times as much" in text


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
    names = ("ReLU", "GELU", "tanh", "sigmoid")
    losses, epochs = measured.spiral_losses(names)
    # Until a network has learned something it predicts about ½ at every point, which costs ln 2.
    assert all(0 < loss < math.log(2) for loss in losses.values())
    shown = {knob.name: knob.default for knob in TRAIN_KNOBS}
    _, text = train_blocks(
        names, {name: {} for name in names}, theme.styles(names), *list(shown.values())[1:]
    )
    for name in names:
        assert f"| **{name}** | {number(losses[name])} |" in text
        assert f"{number(losses[name])} with {name}" in MEASURES["S49"]().text
    assert f"After {epochs} epochs" in text
    for name in ("tanh", "sigmoid"):
        assert f"{number(losses[name])} with {name}" in MEASURES["E10"]().text
    for problem in ("moons", "regression"):
        for name in ("ReLU", "tanh"):
            found = measured.stability(name, problem)
            assert 0 < found.loss < math.inf
            assert found.fails_from > 0.03


# The numbers behind the texts on initialization


def test_units_that_start_alike_stay_alike() -> None:
    found = starts.symmetry()
    zeros, constant = found["zeros"], found["constant, noise 0.0"]
    assert (zeros.spread, zeros.gradient, zeros.units, zeros.apart) == (0, 0, 1, 0)
    assert zeros.start == pytest.approx(math.log(2), abs=1e-15)
    assert zeros.loss == zeros.start
    assert (constant.units, constant.apart) == (1, 0)
    # One tanh unit on exclusive or with all weights 0.5: its value is tanh(0.5·(x + y)), so 0 or ±tanh 1.
    assert constant.spread == pytest.approx(math.tanh(1) / math.sqrt(2), rel=1e-12)
    for name in ("random", "random, output layer 0", *(f"constant, noise {n}" for n in starts._NOISE[1:])):
        assert found[name].units == 8
        assert found[name].loss < 0.05, name


def test_one_unit_cannot_learn_exclusive_or() -> None:
    """The limit by brute force over outputs p ≤ q ≤ r at x + y = −2, 0, 2, whose targets are 0, 1 (twice), 0."""
    grid = np.linspace(0, 1, 151)[1:-1]
    p, q, r = np.meshgrid(grid, grid, grid, indexing="ij")
    loss = -(np.log(1 - p) + 2 * np.log(q) + np.log(1 - r)) / 4
    least = loss[(p <= q) & (q <= r)].min()
    assert starts.one_unit_limit() == pytest.approx(least - math.log(150 / 149) / 4, abs=1e-4)
    constant = starts.symmetry()["constant, noise 0.0"]
    assert starts.one_unit_limit() < constant.loss < starts.one_unit_limit() + 0.02
    assert "below 0.477" in starts.MEASURES["S289"]().text


@pytest.mark.parametrize(("copies", "count"), [(1, 8), (2, 7), (8, 1)])
def test_distinct_units_are_counted(copies: int, count: int) -> None:
    params = starts._random()
    first, second = params.weights[0].copy(), params.weights[1].copy()
    first[:, :copies], second[:copies] = first[:, :1], second[:1]
    assert starts.distinct_units(starts.Params((first, second), params.biases)) == count


def test_a_change_of_the_outgoing_weight_alone_makes_a_unit_distinct() -> None:
    params = starts._constant(0.5)
    assert starts.distinct_units(params) == 1
    second = params.weights[1].copy()
    second[3] += 1e-3
    assert starts.distinct_units(starts.Params((params.weights[0], second), params.biases)) == 2


def test_neither_family_repeats_a_unit() -> None:
    normal, uniform = starts.draws("normal"), starts.draws("uniform")
    assert normal.equal == uniform.equal == 0
    # P(|z| < ½) is erf(½/√2) for a normal and ½/√3 for a uniform number of variance 1.
    for found, share in ((normal, math.erf(0.5 / math.sqrt(2))), (uniform, 0.5 / math.sqrt(3))):
        assert found.near == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 300_000))
        assert found.learned >= 36


def test_signs_of_weights_decide_for_positive_features_only() -> None:
    raw, scaled = starts.signs(False), starts.signs(True)
    assert (raw.above, raw.positive, raw.negative) == (1, 1, 0)
    # A unit's score is symmetric in its weights, so half of all pairs are active; inputs share the units' signs.
    assert raw.mixed == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(256))
    # The size of a normal number lies above its mean √(2/π) with probability 1 − erf(1/√π).
    assert scaled.above == pytest.approx(1 - math.erf(1 / math.sqrt(math.pi)), abs=0.01)
    assert 0.4 < scaled.positive < 0.6
    assert scaled.positive + scaled.negative == pytest.approx(1)


@pytest.mark.parametrize(
    ("activation", "scheme", "factor"),
    [
        ("identity", "LeCun normal", 1.0),
        ("identity", "Glorot normal", 1.0),
        ("ReLU", "LeCun normal", math.sqrt(1 / 2)),
        ("ReLU", "He normal", 1.0),
        ("ReLU", "PyTorch Linear", math.sqrt(1 / 6)),
    ],
)
@pytest.mark.parametrize("depth", [1, 50])
def test_signals_through_depth(activation: str, scheme: str, factor: float, depth: int) -> None:
    found = starts.ends(activation, scheme, depth=depth)
    assert found.signal_theory == pytest.approx(factor**depth, rel=1e-9)
    assert found.gradient_theory == pytest.approx(factor**depth, rel=1e-9)
    # The logarithm of one network's second moment has variance near 5L/n with ReLU, 2L/n without; here are four.
    spread = math.sqrt(5 * depth / 100) / math.sqrt(4) / 2
    for value in (found.signal, found.gradient):
        assert abs(math.log(value / factor**depth)) < 3 * spread + 0.1


@pytest.mark.parametrize("gain", [0.1, 0.9, 1.1])
def test_linear_layers_multiply_by_their_gain(gain: float) -> None:
    found = starts.ends("identity", "custom", gain)
    assert found.signal_theory == pytest.approx(gain**50, rel=1e-9)
    assert abs(math.log(found.signal / gain**50)) < 3 * math.sqrt(2 * 50 / 100) / 4 + 0.1


def test_one_over_m_at_width_1024() -> None:
    # Each layer multiplies the second moment by M·σ² = 1/M.
    assert "M = 1024 the theory for 1/M is 5.53e−76" in starts.MEASURES["S296"]().text
    assert close(math.sqrt(1 / 1024) ** 50, 5.53e-76, 1e-3)
    assert "(theory 1e−50)" in starts.MEASURES["E154"]().text


def test_fading_of_small_weights_in_tanh() -> None:
    """With small signals tanh is linear: a layer multiplies the rms by 0.01·√100 but for the first, larger one."""
    five, twenty = (starts.ends("tanh", "N(0, 0.01²)", depth=depth) for depth in (5, 20))
    first = math.sqrt(0.3942944904)  # √E tanh(z)², z ~ N(0, 1)
    assert close(twenty.signal_theory, first * 0.1**20, 0.01)
    assert close(twenty.signal_theory / five.signal_theory, 1e-15, 0.01)
    assert starts.moons_loss("N(0, 0.01²)", 1) < 0.4
    assert starts.moons_loss("N(0, 0.01²)", 5) == pytest.approx(math.log(2), abs=0.01)
    assert starts.moons_loss("LeCun normal", 5) < 0.1


@pytest.mark.parametrize(("fan_in", "fan_out"), [(1000, 10), (10, 1000), (100, 100)])
def test_variances_behind_a_layer_by_three_rules(fan_in: int, fan_out: int) -> None:
    found = starts.output_variances(fan_in, fan_out)
    exact = [fan_in / fan_out, 1, 2 * fan_in / (fan_in + fan_out)]
    # 400 inputs and up to fan_in·fan_out weights: a few percent.
    np.testing.assert_allclose(found, exact, rtol=0.08)


def test_truncated_draws() -> None:
    x = np.linspace(-2, 2, 400_001)
    density = np.exp(-x * x / 2)
    assert starts.truncated_std() == pytest.approx(
        math.sqrt(np.sum(density * x * x) / np.sum(density)), rel=1e-5
    )
    assert starts.truncated_std() == pytest.approx(0.87962566103423978, abs=1e-12)
    assert starts.truncated_std(50.0) == pytest.approx(1, abs=1e-12)
    found = starts.truncated()
    assert found.std == pytest.approx(starts.truncated_std(), abs=0.005)
    assert found.largest <= 2 < 4 < found.untruncated
    assert close(starts.ends("identity", "custom", starts.truncated_std()).signal_theory, 0.00164)


def test_limits_of_uniform_schemes() -> None:
    assert starts.limit("LeCun uniform", 400, 100) == pytest.approx(math.sqrt(3 / 400), rel=1e-14)
    assert starts.limit("Glorot uniform", 400, 100) == pytest.approx(math.sqrt(6 / 500), rel=1e-14)
    with pytest.raises(ValueError, match="He normal has no bound"):
        starts.limit("He normal", 4, 4)


def test_large_weights_saturate_tanh() -> None:
    # Signals of the second moment n·E tanh², about 92, lie beyond ±2.993 with probability about 0.75.
    q = starts.ends("tanh", "N(0, 1)", depth=20).signal_theory ** 2
    share = math.erfc(math.acosh(10) / math.sqrt(2 * q))
    assert starts.saturated("N(0, 1)") == pytest.approx(share, abs=0.08)
    assert starts.saturated("LeCun normal") == 0


@pytest.mark.parametrize("m", [1, 7, 100, 10_000])
def test_a_step_in_ntk_parametrization_is_m_times_shorter(m: int) -> None:
    same, more = starts.ntk_step(m), starts.ntk_step(m, factor=float(m))
    assert same.ntk == pytest.approx(same.standard, rel=1e-9)
    assert same.standard_moved / same.ntk_moved == pytest.approx(m, rel=1e-9)
    assert more.ntk_moved == pytest.approx(more.standard_moved, rel=1e-9)


def test_numpy_refuses_a_tuple_for_sizes() -> None:
    assert starts.refused_shape() == "TypeError"


# The numbers behind the texts about normalization


def test_a_batch_by_hand() -> None:
    found = norms.formula()
    assert (found.mean, found.var) == (4.0, 9.5)  # ((1−4)² + (2−4)² + 0 + (9−4)²)/4
    assert found.stored == pytest.approx(38 / 3)
    assert found.by_hand[2] == 1.0  # the mean comes out as β
    assert found.by_hand[3] == pytest.approx(1 + 2 * 5 / math.sqrt(9.5), abs=1e-5)
    assert norms.formula((1.0, 2.0, 3.0, 4.0)).stored == pytest.approx(5 / 3)


def test_outputs_and_gradients_of_batch_normalization() -> None:
    found = norms.output_range()
    # Outside 0 … 1 lies all but Φ(1) − ½ of a normal distribution.
    share = 1 - math.erf(1 / math.sqrt(2)) / 2
    assert found.outside == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 10_000))
    for factor, sigma in zip(found.factors, norms.SPREADS, strict=True):
        assert factor == pytest.approx(
            1 / math.sqrt(sigma**2 + 1e-5), rel=0.02
        )  # σ of 10,000 draws: within 2%


def test_the_identity_wants_the_standard_deviation() -> None:
    found = norms.identity()
    assert found.deviation < 1e-13
    # γ = v makes y − μ = v·(x − μ)/√(v + ε), so the spread of y is v·√v/√(v + ε), that is v.
    x = 5 + 3 * np.random.default_rng(np.random.SeedSequence(0, spawn_key=(3,))).standard_normal(1000)
    assert found.spread == pytest.approx(x.var(), rel=1e-5)
    assert found.variance == pytest.approx(np.max(np.abs(x - x.mean())) * (x.std() - 1), rel=1e-5)


def test_single_samples_and_pairs() -> None:
    assert (norms.singles(0.5) == 0.5).all()
    np.testing.assert_allclose(norms.in_training(norms.SINGLE[:2]), [1, -1], atol=1e-5)


def test_noise_of_batches_falls_with_the_root_and_shrinks_a_slope() -> None:
    found = norms.noise()
    assert found.slope_theory[0] == pytest.approx(1 / math.sqrt(math.pi))  # E|z₁ − z₂|/2
    for n, spread, slope, exact in zip(
        found.sizes, found.of_means, found.slope, found.slope_theory, strict=True
    ):
        batches = 64_000 // n
        assert spread == pytest.approx(1 / math.sqrt(n), rel=4 / math.sqrt(2 * batches))
        assert slope == pytest.approx(exact, abs=4 / math.sqrt(2 * 64_000))


def test_running_statistics_approach_the_truth() -> None:
    found = norms.tracked()
    np.testing.assert_allclose(found.mean_theory, [5 * (1 - 0.9**t) for t in found.batches])
    std = [3 / math.sqrt(32) * math.sqrt(0.1 / 1.9 * (1 - 0.81**t)) for t in found.batches]
    assert (np.abs(np.subtract(found.mean, found.mean_theory)) < 4 * np.array(std)).all()
    assert found.average[0] == pytest.approx(5, abs=4 * 3 / math.sqrt(32 * 50))


def test_one_pair_of_parameters_is_too_few() -> None:
    found = norms.pairs()
    # The best line for both is x = 2.5 + 5.5·x̂: what is left are ±4.5·x̂ and ±2.5.
    assert found.one == pytest.approx(math.hypot(4.5, 2.5), rel=0.05)
    assert found.each < 1e-14
    assert found.channels == (16,)
    assert (norms.fixed().learned, norms.fixed().stored) == (128, 128)


def test_learned_parameters_are_those_of_the_target() -> None:
    found = norms.learned()
    assert (found.gamma, found.beta) == (pytest.approx(2.5, abs=1e-6), pytest.approx(-1, abs=1e-6))
    assert found.error < 1e-9


def test_the_scale_of_weights_and_of_one_unit() -> None:
    for name in ("BatchNorm", "LayerNorm"):
        found = norms.rescaled(name)
        assert max(found.output, found.gradient) < 1e-12
        assert 0.1 < found.tiny < 0.9  # ε = 1e−5 counts beside a variance of about 5e−6
    by_unit = dict(zip(norms._FAMILY, norms.changed(norms._ONE_UNIT), strict=True))
    assert by_unit.pop("LayerNorm") > 0.1
    assert max(by_unit.values()) < 1e-12
    assert norms.changed("all inputs × 10", ("WeightNorm", "none")) == (pytest.approx(9), pytest.approx(9))


@pytest.mark.parametrize(
    ("treatment", "power"), [("divided by σ²", -1), ("divided by σ", 0), ("centered", 1)]
)
def test_the_spread_of_treated_inputs(treatment: str, power: int) -> None:
    np.testing.assert_allclose(norms.spread_after(treatment), np.array([0.1, 3, 10]) ** power, rtol=0.05)


def test_conditions_of_treated_inputs() -> None:
    # E[(x, 1)(x, 1)ᵀ] with mean (1, 1) and unit covariance: eigenvalues 1 and the roots of λ² − 4λ + 1.
    assert norms.conditioned("raw", 1.0, 1.0, 0.0).condition == pytest.approx(7 + 4 * math.sqrt(3))
    assert norms.conditioned("divided by σ").condition == pytest.approx((1 + 0.8) / (1 - 0.8))
    assert norms.conditioned("whitened").condition == pytest.approx(1)


def test_products_of_two_vectors() -> None:
    found = norms.products()
    assert (found.dot, found.projection, found.cosine) == (3, 0.6, 0.6)
    assert found.layer == pytest.approx(0.6)
    assert norms.direction().length == pytest.approx(1.5)


def test_gradients_and_signals_through_depth() -> None:
    assert norms.growth(batch=None) == pytest.approx(math.sqrt(math.pi / (math.pi - 1)), rel=1e-6)
    bn = norms.through("BatchNorm before").gradient
    assert bn ** (1 / 50) == pytest.approx(norms.growth(), rel=0.03)
    plain = norms.through("residual").signal
    assert norms.residual_signal(50) == 2.0**25
    assert abs(math.log(plain / 2.0**25)) < 1.5
    scaled = norms.through("residual", branch_scale=50**-0.5).signal
    assert scaled == pytest.approx(norms.residual_signal(50, 50**-0.5), rel=0.1)


def test_small_networks_with_and_without_normalization() -> None:
    chance = math.log(3)
    bn, plain = norms.losses(True), norms.losses(False)
    assert max(bn) < 0.6 * chance
    assert plain[0] == pytest.approx(chance, abs=0.05)
    assert norms.fed_accuracy("sorted by class", 32) < 0.5 < 0.8 < norms.fed_accuracy("shuffled", 32)
    assert norms.stale().start < norms.stale().fresh - 0.1
    moved = norms.moved(False)
    assert moved.before == moved.after  # without normalization there is nothing between them
    assert list(moved.after) == sorted(moved.after)
