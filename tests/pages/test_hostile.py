"""Links that are wrong in every way: the page renders, says what was wrong, keeps the rest, and executes nothing."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest

from charts.topic import Topic
from core.knobs import quote
from tests.charts.topics import BY_NAME
from tests.pages.app import address, charts, link, press, shows, texts, values, visit

ACT, INIT, BN, DROP, OPT = (
    BY_NAME[name] for name in ("activations", "initialization", "batchnorm", "dropout", "optimizers")
)
SPAN = re.compile(r"`[^`]*`")


class Case(NamedTuple):
    """A link to a page: the parameters that are wrong, and others beside them that are right."""

    topic: Topic
    wrong: dict
    right: Mapping = MappingProxyType({})

    def __str__(self):
        name, value = next(iter(self.wrong.items()))
        return f"{self.topic.name}-{name}={str(value)[:24]!r}".encode("ascii", "backslashreplace").decode()


def raw(topic, address, **right):
    """Make a case of a query string as it stands in the address bar."""
    wrong = {}
    for name, value in parse_qsl(address, keep_blank_values=True):
        wrong[name] = (
            value
            if name not in wrong
            else [*([wrong[name]] if isinstance(wrong[name], str) else wrong[name]), value]
        )
    return Case(topic, wrong, right)


CASES = [
    # Wrong types
    Case(ACT, {"act_weight": "heavy"}, {"act_functions": ["ReLU", "GELU"]}),
    Case(BN, {"bn_steps": "sixty"}, {"bn_batch_size": "32"}),
    Case(BN, {"bn_in_batch": "maybe"}, {"bn_steps": "40"}),
    Case(BN, {"bn_in_batch": "2"}),
    Case(DROP, {"drop_p": "true"}, {"drop_inputs": "10"}),
    Case(DROP, {"drop_masks": "None"}),
    Case(INIT, {"init_depth": "null"}, {"init_width": "32"}),
    Case(INIT, {"init_depth": "[5]"}),
    Case(OPT, {"opt_steps": "{}"}, {"opt_surface": "Rosenbrock"}),
    Case(OPT, {"opt_gd_lr": "0,05"}, {"opt_steps": "80"}),
    # No numbers, too large, too small, other ways to write one
    Case(ACT, {"act_weight": "NaN"}),
    Case(ACT, {"act_weight": "-inf"}, {"act_functions": "tanh"}),
    Case(ACT, {"act_weight": "1e400"}),
    Case(ACT, {"act_weight": "-0.1"}),
    Case(BN, {"bn_steps": "inf"}, {"bn_seed": "7"}),
    Case(BN, {"bn_steps": "1e400"}),
    Case(BN, {"bn_steps": "-1"}),
    Case(BN, {"bn_steps": "1_00"}, {"bn_probe": "2.5"}),
    Case(BN, {"bn_seed": "3.5"}),
    Case(BN, {"bn_eps": "0"}),
    Case(BN, {"bn_sigma": "-3"}),
    Case(DROP, {"drop_p": "1.0000001"}, {"drop_seed": "4"}),
    Case(DROP, {"drop_p": "nan"}),
    Case(DROP, {"drop_inputs": "0x10"}),
    Case(DROP, {"drop_seed": "1e3000"}),
    Case(DROP, {"drop_masks": "9" * 400}),
    Case(INIT, {"init_width": "1000000"}),
    Case(INIT, {"init_depth": "101"}),
    Case(INIT, {"init_seeds": "0"}, {"init_depth": "12"}),
    Case(INIT, {"init_sigma_b": "1__0"}),
    Case(OPT, {"opt_steps": "-Infinity"}),
    Case(OPT, {"opt_start_x": "1e308"}),
    Case(OPT, {"opt_gd_lr": "-0.5"}, {"opt_optimizers": ["GD", "Adam"]}),
    Case(OPT, {"opt_adam_beta1": "1.5"}, {"opt_adam_lr": "0.2"}),
    # Code of every kind
    Case(ACT, {"act_functions": "<script>alert(1)</script>"}, {"act_weight": "2"}),
    Case(ACT, {"act_scenario": "<img src=x onerror=alert(1)>"}, {"act_weight": "3"}),
    Case(ACT, {"act_weight": "'; DROP TABLE users; --"}),
    Case(ACT, {"<script>alert(1)</script>": "1"}, {"act_weight": "3"}),
    Case(BN, {"bn_convention": "../../../../etc/passwd"}),
    Case(BN, {"bn_convention": "{0.__class__.__mro__}"}),
    Case(BN, {"bn_mu": "%s%n%x%d"}),
    Case(BN, {"bn_gamma": "${jndi:ldap://x/a}"}),
    Case(DROP, {"drop_p": "__import__('os').system('id')"}),
    Case(DROP, {"drop_scenario": "file:///etc/passwd"}),
    Case(INIT, {"init_activation": "eval(1)"}),
    Case(INIT, {"init_schemes": "javascript:alert(1)"}),
    Case(OPT, {"opt_surface": "1 OR 1=1"}, {"opt_steps": "33"}),
    Case(OPT, {"opt_edit": "<b>GD</b>"}),
    Case(OPT, {"__class__": "1", "_opt_values": "1", "_menu": "0", "_page": "x"}, {"opt_steps": "33"}),
    # Markdown, formulas, icons
    Case(ACT, {"act_weight": "[click](https://example.org)"}),
    Case(ACT, {"act_weight": "`code`"}),
    Case(ACT, {"act_functions": "``` x"}),
    Case(BN, {"bn_mu": "**bold** _it_ ~~s~~"}),
    Case(BN, {"bn_mu": "$x^2$"}),
    Case(BN, {"bn_mu": ":material/home: :smile: :red[x]"}),
    Case(DROP, {"drop_p": "# Heading"}),
    Case(DROP, {"drop_p": "![i](https://example.org/x.png)"}),
    Case(INIT, {"init_scale": "a | b\n--|--\n1 | 2"}),
    Case(OPT, {"opt_surface": "`` ` `` [x](y) `"}),
    Case(OPT, {"[x](https://example.org)": "`1`"}),
    # Characters
    Case(ACT, {"act_weight": "🙂🙃"}),
    Case(ACT, {"act_functions": "ReLU\u202e"}),
    Case(BN, {"bn_steps": "\u202e06"}),
    Case(BN, {"bn_steps": "6\x000"}),
    Case(BN, {"bn_convention": "PyTorch\x00"}),
    Case(DROP, {"drop_p": "0.5\x1b[31m"}),
    Case(DROP, {"drop_p": "½"}),
    Case(INIT, {"init_activation": "ReLU\u200b"}),
    Case(INIT, {"init_depth": "\r\n\t"}),
    Case(OPT, {"opt_surface": "Röśénbröck"}),
    Case(OPT, {"\u202eopt_steps": "5", "opt_stеps": "5"}),  # the second one has a Cyrillic letter
    # Length and number
    Case(ACT, {"act_weight": "x" * 100_000}, {"act_functions": "GELU"}),
    Case(BN, {"bn_convention": "<i>" * 34_000}),
    Case(INIT, {"init_" + "a" * 100_000: "1"}),
    Case(OPT, {"opt_steps": "0." + "0" * 100_000 + "1"}),
    Case(OPT, {"opt_optimizers": list(OPT.knobs["optimizers"].choices[:9])}, {"opt_steps": "20"}),
    Case(ACT, {"act_functions": list(ACT.knobs["functions"].choices)}, {"act_weight": "2"}),
    Case(INIT, {"init_schemes": ["He normal"] + ["no scheme"] * 500}),
    Case(DROP, {f"drop_x{i}": "1" for i in range(300)}, {"drop_p": "0.25"}),
    Case(BN, {f"bn_{name}": "wrong" for name in BN.knobs}),
    # Repeats, blanks, names of other pages
    raw(ACT, "act_weight=2&act_weight=abc"),
    raw(BN, "bn_steps=10&bn_steps="),
    raw(BN, "bn_steps=&bn_batch_size=&bn_convention="),
    raw(DROP, "drop_p=%00&drop_p=%ff", drop_seed="3"),
    raw(DROP, "drop_p=%252e5"),
    raw(DROP, "=&&==&%=1"),
    raw(INIT, "init_depth=%E2%80%AE12&init_schemes=%3Cscript%3E"),
    raw(OPT, "drop_p=0.5&bn_steps=3", opt_steps="44"),
    raw(OPT, "opt_=1&opt=2&opt_opt_steps=3&steps=4&OPT_STEPS=5"),
    raw(OPT, "opt_scenario=", opt_steps="44"),
    raw(OPT, "opt_scenario=Ravine&opt_scenario=Nowhere"),
    raw(OPT, "opt_optimizers=GD%2CAdam"),
    raw(OPT, "opt_optimizers=GD&opt_optimizers=gradient+descent"),
]  # fmt: skip


def as_lists(query):
    return {name: [value] if isinstance(value, str) else list(value) for name, value in query.items()}


def test_there_are_enough_of_them():
    assert len(CASES) >= 60
    assert {case.topic.name for case in CASES} == set(BY_NAME)


@pytest.fixture(scope="module")
def frame():
    """Return the words of the warning around what it quotes, for a plain wrong value."""
    (warning,) = visit(ACT, {"act_weight": "wrong"}).warning
    return SPAN.sub("`…`", warning.value).split("`…`")[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_link(case, frame):
    topic = case.topic
    query = {**case.right, **case.wrong}
    at = visit(topic, query)

    # No error, and exactly the view of what was right.
    expected, none = topic.parse(as_lists(case.right))
    assert none == []
    shows(at, topic, expected)
    assert not at.error

    # One line for each problem, at least for the first ones, which quotes it within code and nowhere else.
    _, problems = topic.parse(as_lists(query))
    assert problems
    (warning,) = at.warning
    assert warning.value.count("`") % 2 == 0
    quoted = " ".join(SPAN.findall(warning.value))
    around = SPAN.sub("", warning.value)
    assert around.startswith(frame.strip())
    assert re.fullmatch(r"[-\s]*(and \d+ more)?", around.removeprefix(frame.strip())), around
    assert warning.value.count("\n") == (len(problems) > 1) * min(len(problems), 5)
    assert len(warning.value) < 2_500
    for name, value in list(case.wrong.items())[:3]:
        last = value if isinstance(value, str) else value[-1]
        knob = (
            topic.knobs.get(name.removeprefix(f"{topic.prefix}_"))
            if name.startswith(f"{topic.prefix}_")
            else None
        )
        if knob is not None:
            assert knob.name in quoted
            assert plain(knob.range_text) in quoted
            if not (knob.kind == "choices" and isinstance(value, list) and set(value) <= set(knob.choices)):
                assert plain(quote(last)) in quoted or as_number(last) in quoted
        elif name == topic.key("scenario"):
            assert all(plain(scenario.name) in quoted for scenario in topic.scenarios)
            assert plain(quote(last)) in quoted
        else:
            assert plain(quote(name)) in quoted

    # Nothing of it anywhere else on the page.
    legal = {choice for knob in topic.knobs.values() for choice in knob.choices}
    legal |= {scenario.name for scenario in topic.scenarios}
    foreign = {text for n, v in as_lists(case.wrong).items() for text in (n, *v) if hostile(text)} - legal
    for text in texts(at):
        outside = SPAN.sub("", text)
        assert not [f for f in foreign if f in outside]
    assert not [f for f in foreign if f in charts(at)[0].alt or f in charts(at)[0].spec]
    assert not [
        f for f in foreign if any(f in part for pair in link(at).items() for part in (pair[0], *pair[1]))
    ]

    # It stays well when it runs again, and the line goes with the first change.
    at.run()
    assert not at.exception
    assert values(at, topic) == topic.settle(expected)
    assert len(at.warning) == 1
    press(at, "Reset")
    assert not at.exception
    assert not at.warning or topic.settle(expected) == topic.defaults()


def as_number(text):
    """Return a number out of range as a message writes it, or what no message says."""
    try:
        return str(float(text))
    except ValueError:
        return "\x00"


def plain(text):
    return " ".join(text.split()).replace("`", "ˋ").strip()


def hostile(text):
    return len(text) > 5 and not re.fullmatch(r"[\w.+−-]+", text)


@pytest.mark.parametrize("topic", BY_NAME.values(), ids=lambda topic: topic.name)
def test_the_wrong_value_leaves_the_address(topic):
    name = {
        "activations": "weight",
        "initialization": "depth",
        "batchnorm": "steps",
        "dropout": "p",
        "optimizers": "steps",
    }
    key = topic.key(name[topic.name])
    at = visit(topic, {key: "wrong"})
    assert key not in address(at)


def other_letters(knob):
    """Return how a link may write a value other than the default that no control writes so; None if there is none."""
    match knob.kind:
        case "choice" | "choices":
            names = [name for name in knob.choices if name != knob.default and name.swapcase() != name]
            texts = [name.swapcase() for name in names[: 1 if knob.kind == "choice" else 2]]
        case "bool":
            texts = ["no" if knob.default else "yes"]
        case "float" if knob.log:
            texts = [f"{knob.default * 1.5:.3e}"]
        case _:
            texts = []
    return texts or None


@pytest.mark.parametrize("topic", BY_NAME.values(), ids=lambda topic: topic.name)
def test_a_value_in_other_letters_is_in_the_address_as_its_control_writes_it(topic):
    kinds = {}
    for name, knob in topic.knobs.items():
        if name not in topic.shown(topic.defaults()):
            continue
        if (texts := other_letters(knob)) and (wanted := knob.text(knob.parse(texts))) != texts:
            kinds.setdefault((knob.kind, knob.log), (name, texts, wanted))
    at = visit(topic, {topic.key(name): texts for name, texts, _ in kinds.values()})
    assert not at.warning
    # Beside the other values one of them may not act, and what does not act is in no address.
    acting = topic.shown(values(at, topic))
    found = [(name, wanted) for name, _, wanted in kinds.values() if name in acting]
    assert len(found) >= max(1, len(kinds) - 1)
    for name, wanted in found:
        assert address(at)[topic.key(name)] == (wanted if isinstance(wanted, list) else [wanted])


@pytest.mark.parametrize("topic", BY_NAME.values(), ids=lambda topic: topic.name)
@pytest.mark.parametrize("value", ["No such tab", "<script>alert(1)</script>", "", "x" * 100_000])
def test_a_wrong_tab_opens_the_first(topic, value):
    at = visit(topic, {topic.key("tab"): value})
    shows(at, topic, topic.defaults())
    (warning,) = at.warning
    quoted = " ".join(SPAN.findall(warning.value))
    assert "tab" in quoted
    assert quote(value) in quoted
    assert all(name in quoted for name in topic.tab_names)
    assert not any(hostile(value) and value in SPAN.sub("", text) for text in texts(at))


def test_parameters_that_come_with_links_are_passed_over():
    at = visit(OPT, {"utm_source": "mail", "fbclid": "x", "embed": "true", "opt_steps": "42"})
    shows(at, OPT, OPT.fill({"steps": 42}))
    assert not at.warning


def test_a_bad_link_on_the_way_back_to_a_page():
    # The page has had controls in this session, and the address holds good values beside bad ones.
    at = visit(DROP, {"drop_p": "0.3"})
    at.switch_page("pages/batchnorm.py").run()
    for name, value in {"drop_p": "0.25", "drop_inputs": "many", "drop_none": "1"}.items():
        at.query_params[name] = value
    at.switch_page("pages/dropout.py").run()
    shows(at, DROP, DROP.fill({"p": 0.25}))
    (warning,) = at.warning
    assert "drop_none" in warning.value
    assert "many" in warning.value
    assert not {"drop_inputs", "drop_none"} & set(address(at))
