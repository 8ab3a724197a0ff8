"""Knobs read what they write, stay within their bounds, and say what they refuse."""

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.knobs import Knob, KnobError, latex, number, quote

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

FLOAT = Knob("rate", "float", 1.0, low=-2.5, high=40.0)
INT = Knob("steps", "int", 60, low=1, high=500)
BOOL = Knob("inside", "bool", True)
CHOICE = Knob(
    "surface", "choice", "bowl", choices=("bowl", "Two-weight net", "N(0, 0.01²)"), aliases={"old": "bowl"}
)
CHOICES = Knob(
    "names", "choices", ("GD",), choices=("GD", "Adam", "N(0, 1)", "é, ü"), most=3, aliases={"SGD": "GD"}
)
KNOBS = (FLOAT, INT, BOOL, CHOICE, CHOICES)

WIDE = Knob("wide", "float", 0.0, low=-1e300, high=1e300)

by_kind = pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.kind)


# Round trips


@given(st.floats(-1e300, 1e300))
def test_floats_survive_a_link_exactly(value):
    again = WIDE.parse(WIDE.text(value))
    assert again == value
    assert type(again) is float


@given(st.integers(1, 500))
def test_whole_numbers_survive_a_link(value):
    again = INT.parse(INT.text(value))
    assert again == value
    assert type(again) is int


@pytest.mark.parametrize("value", [True, False])
def test_booleans_survive_a_link(value):
    assert BOOL.parse(BOOL.text(value)) is value


@pytest.mark.parametrize("value", CHOICE.choices)
def test_a_choice_survives_a_link(value):
    assert CHOICE.parse(CHOICE.text(value)) == value


@given(st.lists(st.sampled_from(CHOICES.choices), unique=True, max_size=3))
def test_choices_survive_a_link_in_order(names):
    assert CHOICES.parse(CHOICES.text(tuple(names))) == tuple(names)


@given(st.floats(-1e300, 1e300))
def test_a_text_is_short_for_whole_floats_and_never_underscored(value):
    text = WIDE.text(value)
    assert "_" not in text
    assert len(text) <= 64
    if value == int(value) and abs(value) < 1e15:
        assert "." not in text
        assert "e" not in text


# Bounds


@pytest.mark.parametrize("knob", [FLOAT, INT], ids=lambda knob: knob.kind)
def test_bounds_are_inclusive(knob):
    for bound in (knob.low, knob.high):
        exact = int(bound) if knob.kind == "int" else bound
        assert knob.check(exact) == bound
        assert knob.parse(repr(exact)) == bound


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_taken_exactly_if_it_lies_within_the_bounds(value):
    if FLOAT.low <= value <= FLOAT.high:
        assert FLOAT.check(value) == value
        assert FLOAT.parse(repr(value)) == value
    else:
        with pytest.raises(KnobError):
            FLOAT.check(value)
        with pytest.raises(KnobError):
            FLOAT.parse(repr(value))


@pytest.mark.parametrize("step", [1, -1])
def test_the_next_number_beyond_a_bound_is_refused(step):
    bound = FLOAT.high if step > 0 else FLOAT.low
    with pytest.raises(KnobError):
        FLOAT.check(np.nextafter(bound, step * math.inf).item())


@given(st.integers())
def test_an_int_is_taken_exactly_if_it_lies_within_the_bounds(value):
    if 1 <= value <= 500:
        assert INT.check(value) == value
    else:
        with pytest.raises(KnobError):
            INT.check(value)


@given(st.floats(1.0, 500.0))
def test_a_fraction_is_no_whole_number(value):
    if value == int(value):
        assert INT.check(value) == int(value)
        assert type(INT.check(value)) is int
    else:
        with pytest.raises(KnobError):
            INT.check(value)


# What is refused

_HOSTILE = (
    "", " ", "nan", "NaN", "-nan", "inf", "-inf", "infinity", "1e400", "-1e400", "1_000", "1__0", "0x10", "0b1",
    "1,5", "1.2.3", "1e", "--1", "+-1", "1 000", "three", "True", "None", "null", "<script>alert(1)</script>",
    "'; DROP TABLE knobs; --", "../../etc/passwd", "%s%s%n", "{0.__class__}", "$(reboot)", "🙂", "‮12", "½", "Ⅷ",
    "x" * 100_000, "9" * 400, "0" * 100 + "1", "\x00", "1\x00", "\u202e", "[1](http://x)", "`1`", "1;2", "[]", "1j",
)  # fmt: skip


@pytest.mark.parametrize("text", _HOSTILE, ids=lambda text: repr(text[:20]))
@pytest.mark.parametrize("knob", [FLOAT, INT, CHOICE], ids=lambda knob: knob.kind)
def test_what_is_no_value_is_refused_with_value_and_range(knob, text):
    with pytest.raises(KnobError) as caught:
        knob.parse(text)
    message = str(caught.value)
    assert knob.name in message
    assert knob.range_text in message
    assert quote(text) in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "text", [t for t in _HOSTILE if t not in ("", "True")], ids=lambda text: repr(text[:20])
)
@pytest.mark.parametrize("knob", [BOOL, CHOICES], ids=lambda knob: knob.kind)
def test_booleans_and_choices_refuse_it_too(knob, text):
    with pytest.raises(KnobError) as caught:
        knob.parse(text)
    assert knob.name in str(caught.value)
    assert knob.range_text in str(caught.value)
    assert quote(text) in str(caught.value)


@by_kind
@given(text=st.text(max_size=80))
def test_any_text_gives_a_legal_value_or_a_short_message(knob, text):
    message, value = "", None
    try:
        value = knob.parse(text)
    except KnobError as error:
        message = str(error)
    if value is None:
        assert knob.name in message
        assert knob.range_text in message
        assert message.isprintable()
    else:
        assert knob.check(value) == value
        assert knob.parse(knob.text(value)) == value


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 10**400, "1", None, [1.0], (1.0,), {}, 1j, b"1", True]
)
@pytest.mark.parametrize("knob", [FLOAT, INT], ids=lambda knob: knob.kind)
def test_a_number_knob_refuses_other_types_and_what_is_not_finite(knob, value):
    with pytest.raises(KnobError, match=knob.name):
        knob.check(value)


@pytest.mark.parametrize("value", [1, 0, "true", None, [], 1.0])
def test_a_switch_takes_only_booleans(value):
    with pytest.raises(KnobError, match="true or false"):
        BOOL.check(value)


@pytest.mark.parametrize("value", ["GD", None, 3, {"GD"}, True])
def test_several_choices_need_a_sequence(value):
    with pytest.raises(KnobError, match="up to 3"):
        CHOICES.check(value)


@pytest.mark.parametrize("kind", ["float", "int"])
def test_infinity_is_refused_without_bounds_too(kind):
    with pytest.raises(KnobError):
        Knob("free", kind, 1).check(math.inf)


def test_a_default_out_of_range_is_refused():
    with pytest.raises(KnobError):
        Knob("rate", "float", 3.0, low=0.0, high=1.0)
    with pytest.raises(KnobError):
        FLOAT.named("rate", default=41.0)


# How a link writes things


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("True", True), ("1", True), ("yes", True), ("ON", True), (" true ", True),
        ("false", False), ("0", False), ("No", False), ("off", False),
    ],
)  # fmt: skip
def test_words_for_booleans(text, value):
    assert BOOL.parse(text) is value


@pytest.mark.parametrize(
    ("text", "value"), [("−1.5", -1.5), (" 3 ", 3.0), ("1e1", 10.0), ("+2", 2.0), (".5", 0.5), ("5.", 5.0)]
)
def test_ways_to_write_a_number(text, value):
    assert FLOAT.parse(text) == value


@pytest.mark.parametrize("text", ["60.0", "6e1", " 60"])
def test_a_whole_number_may_be_written_as_a_float(text):
    assert INT.parse(text) == 60


@pytest.mark.parametrize("knob", [FLOAT, INT, BOOL, CHOICE], ids=lambda knob: knob.kind)
def test_the_last_repeat_counts(knob):
    wrong = "no such value"
    text = knob.text(knob.default)
    assert knob.parse([wrong, text]) == knob.default
    with pytest.raises(KnobError):
        knob.parse([text, wrong])
    with pytest.raises(KnobError, match=knob.name):
        knob.parse([])


def test_repeats_are_several_choices():
    assert CHOICES.parse(["Adam", "GD"]) == ("Adam", "GD")
    assert CHOICES.parse(["Adam", "Adam", "GD"]) == ("Adam", "GD")
    assert CHOICES.parse([""]) == ()
    assert CHOICES.parse([]) == ()
    assert CHOICES.parse("Adam") == ("Adam",)


def test_too_many_choices_are_refused_with_their_number():
    with pytest.raises(KnobError, match=r"names: 4 chosen, needs up to 3"):
        CHOICES.parse(list(CHOICES.choices))
    assert len(CHOICES.parse(list(CHOICES.choices[:3]))) == 3
    free = Knob("names", "choices", (), choices=CHOICES.choices)
    assert free.parse(list(CHOICES.choices)) == CHOICES.choices


def test_one_wrong_choice_names_that_choice():
    with pytest.raises(KnobError, match="names = Adagrad"):
        CHOICES.parse(["GD", "Adagrad"])


def test_old_names_live_on():
    assert CHOICE.parse("old") == "bowl"
    assert CHOICES.parse(["SGD", "Adam"]) == ("GD", "Adam")
    assert CHOICES.parse(["SGD", "GD"]) == ("GD",)
    renamed = Knob("surface", "choice", "old", choices=("bowl",), aliases={"old": "bowl"})
    assert renamed.default == "bowl"


@pytest.mark.parametrize("aliases", [{"bowl": "saddle"}, {"old": "hill"}, {"old": "older", "older": "bowl"}])
@pytest.mark.parametrize("kind", ["choice", "choices"])
def test_a_former_name_is_out_of_use_and_leads_to_a_choice(kind, aliases):
    default = "bowl" if kind == "choice" else ("bowl",)
    with pytest.raises(ValueError, match="is in use or leads to no choice"):
        Knob("surface", kind, default, choices=("bowl", "saddle"), aliases=aliases)


@pytest.mark.parametrize("text", ["41", "-3", "1e3", "40.5"])
def test_a_number_out_of_range_is_named_as_it_was_written(text):
    with pytest.raises(KnobError, match=rf"^rate = {text}: needs a number from −2.5 to 40$"):
        FLOAT.parse(text)


def test_another_name_keeps_the_rest():
    other = FLOAT.named("adam_lr", default=2)
    assert (other.name, other.low, other.high, other.default) == ("adam_lr", FLOAT.low, FLOAT.high, 2.0)
    assert type(other.default) is float
    assert FLOAT.name == "rate"


# Words for people


@given(st.text(max_size=200))
def test_a_quote_is_one_short_printable_line(text):
    line = quote(text)
    assert len(line) <= 40
    assert line == "" or line.isprintable()
    if text.isprintable() and len(text) <= 40:
        assert line == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-1.0, "−1"), (0.5, "0.5"), (3.14159, "3.14"), (1234.5, "1230"),
        (0.001, "0.001"), (0.0001, "0.0001"), (0.00012345, "0.000123"), (0.00001, "1e−5"), (2.5e-7, "2.5e−7"),
        (999999, "1000000"), (1e6, "1e6"), (-1.5e9, "−1.5e9"), (1e300, "1e300"), (5e-324, "4.94e−324"),
        (0.9999, "1.00"), (9.996, "10.0"), (99.96, "100"), (999.6, "1000"), (9.999e9, "1.00e10"), (100.0, "100"),
        (2.996, "3.00"), (0.9499, "0.950"), (0.95, "0.95"), (-4.003e37, "−4.00e37"), (-4e37, "−4e37"), (33.0, "33"),
        (0.1 + 0.2, "0.3"), (0.3 + 1e-9, "0.300"), (1 - 1e-12, "1"), (0.00010004, "0.000100"), (100.04, "100"),
        (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert number(value) == text


@given(st.floats(-1e307, 1e307), st.integers(1, 8))
def test_a_written_number_is_right_to_its_digits(value, digits):
    text = number(value, digits)
    assert "-" not in text
    assert "+" not in text
    assert text.startswith("−") == (value < 0)
    assert text.removeprefix("−").count("−") <= 1
    back = float(text.replace("−", "-"))
    assume(value != 0)
    assert back == pytest.approx(value, rel=0.5000001 * 10.0 ** (1 - digits), abs=5e-324)
    mantissa = text.removeprefix("−").split("e")[0]
    assert len(mantissa.replace(".", "").strip("0")) <= digits
    # Zeros at the end say that the number was rounded, and a number without them is the value.
    if abs(back - value) > 2e-9 * abs(value) and "." in mantissa:
        assert len(mantissa.replace(".", "").lstrip("0")) == digits
    elif abs(back - value) < 1e-10 * abs(value):
        assert "." not in mantissa or not mantissa.endswith(("0", "."))
    assert ("e" in text) == (not 1e-4 <= abs(value) < 1e6)


def test_a_range_in_words():
    assert FLOAT.range_text == "a number from −2.5 to 40"
    assert INT.range_text == "a whole number from 1 to 500"
    assert BOOL.range_text == "true or false"
    assert all(name in CHOICE.range_text for name in CHOICE.choices)
    assert "3" in CHOICES.range_text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (16, 1024, "from 16 to 1024"),
        (-1234.5678, 0.99999, "from −1234.5678 to 0.99999"),
        (1 / 3, math.inf, "0.33333333"),
    ],
)
def test_a_limit_has_all_its_digits(low, high, said):
    knob = Knob("x", "float", low, low=low, high=high)
    assert said in knob.range_text
    if high < math.inf:
        with pytest.raises(KnobError, match=f"needs a number {re.escape(said)}$"):
            knob.check(high + 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.45, "0.45"),
        (-2.0, "(-2)"),
        (3.23e-6, r"3.23\cdot 10^{-6}"),
        (1e-5, "10^{-5}"),
        (1.0001e-5, r"1.00\cdot 10^{-5}"),
        (-0.9999, "(-1.00)"),
        (-2.5e10, r"(-2.5\cdot 10^{10})"),
        (math.inf, r"\infty"),
        (-math.inf, r"(-\infty)"),
        (math.nan, r"\text{NaN}"),
        (0.0, "0"),
    ],
)
def test_a_number_inside_a_formula_is_latex(value, text):
    assert latex(value) == text
