"""Any state of all controls, and any query string at all: finite data within the caps, no warning, nothing unescaped.

Every state and every hostile link is drawn from a number, which a failure names: ``LAYERWISE_SEED`` moves all of them.
"""

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from urllib.parse import parse_qs, quote_plus, urlencode

import numpy as np
import pandas as pd
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_base import OWN
from charts.topic import CUSTOM, Block, Topic, View
from core.knobs import Knob, Value
from tests.charts.topics import BY_NAME, COSTLY, HEAVY, SLOW, TEXTS, THOROUGH, TOPICS, blocks, marks
from tests.pages.app import address, charts, link, texts, values, visit
from ui.warn import literal

SEED = int(os.environ.get("LAYERWISE_SEED", "0"))
STATES = 1_000 if THOROUGH else 100  # a topic
BATCH = 25
# Of a data set and of a figure, whatever the controls: nine paths of 500 steps are the longest.
ROWS, BYTES = 5_000, 300_000

# What fast states leave out beside COSTLY: length, of which there is more of the same.
SHORT: Mapping[str, Mapping[str, float]] = {
    "initialization": {**COSTLY["initialization"], "width": 32, "seeds": 2, "depth": 12},
    "optimizers": {**COSTLY["optimizers"], "steps": 40},
    "dropout": COSTLY["dropout"],
}
LIMITS = COSTLY if THOROUGH else SHORT

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


# States of all controls


def number(knob: Knob, rng: np.random.Generator, high: float) -> Value:
    """Draw a number of a knob: an end of its range or next to one, its default, nothing, almost nothing, or any."""
    low = knob.low
    whole = knob.kind == "int"
    near = 1 if whole else 1e-9 * (high - low)
    corners = (
        low,
        high,
        low + near,
        high - near,
        float(knob.default),
        0.0,
        1.0,
        *(() if whole else (5e-324,)),
    )
    kind = rng.integers(4)
    if kind < 2:
        value = corners[rng.integers(len(corners))]
    elif kind == 2 and low > 0:
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    else:
        value = float(rng.uniform(low, high))
    value = min(max(value, low), high)
    return round(value) if whole else float(value)


def drawn(topic: Topic, knob: Knob, rng: np.random.Generator, costly: bool) -> Value:
    """Draw a legal value of a knob, at most what a test can afford unless ``costly``."""
    if knob.kind == "bool":
        return bool(rng.integers(2))
    if knob.kind == "choice":
        return knob.choices[rng.integers(len(knob.choices))]
    if knob.kind == "text":
        return TEXTS[knob.name][rng.integers(len(TEXTS[knob.name]))]
    if knob.kind == "choices":
        most = knob.most or len(knob.choices)
        count = (0, 1, most, rng.integers(most + 1))[rng.integers(4)]
        return tuple(knob.choices[k] for k in rng.permutation(len(knob.choices))[:count])
    high = knob.high if costly else LIMITS.get(topic.name, {}).get(knob.name, knob.high)
    return number(knob, rng, high)


def state(topic: Topic, seed: int, costly: bool = False) -> dict[str, Value]:
    """Return every knob's value, from one that is drawn to all of them; the rest follow as they do from a link.

    What a control does not offer beside the others is drawn too: a link may hold it.
    """
    rng = np.random.default_rng([seed, TOPICS.index(topic)])
    share = (2 / len(topic.knobs), 0.2, 0.6, 1.0)[seed % 4]
    given = {
        name: drawn(topic, knob, rng, costly)
        for name, knob in topic.knobs.items()
        if rng.random() < share and (costly or name not in SLOW.get(topic.name, ()))
    }
    full = topic.fill(given)
    caps = {} if costly else LIMITS.get(topic.name, {})
    return {**full, **{name: type(full[name])(min(full[name], high)) for name, high in caps.items()}}


def sound(figure: Figure) -> None:
    """Check what the browser gets of a figure: data sets and columns, slots of the palette, numbers, sizes."""
    assert {name for name, _ in fields(figure.build)} == set(figure.data)
    for name, wanted in fields(figure.build):
        assert wanted <= set(figure.data[name].columns), name
    size = 0
    for name, frame in figure.data.items():
        for column, palette in (("slot", theme.INKS), ("dash", theme.DASHES)):
            assert column not in frame or set(frame[column]) <= set(range(len(palette))), name
        assert 0 < len(frame) <= ROWS, f"{name}: {len(frame)} rows"
        for column, cells in frame.items():
            if isinstance(cells.dtype, pd.CategoricalDtype):
                size += 4 * len(cells) + sum(len(str(each)) for each in cells.cat.categories)
            elif isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "fiub":
                size += cells.to_numpy().nbytes
                assert cells.dtype.kind != "f" or not np.isinf(cells.to_numpy()).any(), f"{name}.{column}"
            else:
                size += sum(len(str(each)) for each in cells)
    assert size <= BYTES, f"{size} bytes"
    said(figure.title, figure.caption, figure.alt)


@lru_cache(maxsize=256)
def fields(build) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the data sets that a specification reads and the fields it reads of each."""
    return tuple((unit.data, frozenset(unit.fields())) for unit in marks(build(1040)) if unit.data)


def said(*lines: str) -> None:
    """Check sentences: there are some, and no number is written as a machine writes what is none."""
    for line in lines:
        assert line.strip()
        assert not re.search(r"\bnan\b|\binf\b|np\.float", line), line


def complete(view: View, number: int) -> None:
    """Check a view: the main figure and the texts always, in turn one of the tabs, the folds or the programs."""
    sound(view.figure)
    said(view.reading, view.why, *view.events)
    assert view.why.count("$") % 2 == 0
    page = view.figure.name.split("/")[0]
    tabs = [tab for tab in view.tabs if (page, tab.name) not in HEAVY]
    drawn: list[Block] = []
    if number % 25 == 3:  # in four of a hundred states, which have all tabs among them
        drawn += [block for tab in tabs[number // 25 % 4 :: 4] for block in blocks(view, tab)]
    if number % (25 if THOROUGH else 100) == 1:
        drawn += [block for fold in view.folds for block in fold.blocks()]
    for block in drawn:
        if isinstance(block, Figure):
            sound(block)
            json.dumps(block.chart(), allow_nan=False)
    if number % 25 == 2:
        for program in view.code:
            compile(program.text, program.title, "exec")


@pytest.mark.parametrize("batch", range(STATES // BATCH))
@every_topic
def test_any_state_of_all_controls(topic: Topic, batch: int) -> None:
    print(f"{topic.name}: seeds from {SEED + batch * BATCH}")
    for place in range(BATCH):
        seed = SEED + batch * BATCH + place
        costly = place % 10 == 0 if THOROUGH else place == 21
        asked = state(topic, seed, costly)
        try:
            given_back(topic, asked if costly else state(topic, seed, True))
            shown = topic.settle(asked)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                view = topic.make(shown)
                while view.rest is not None and place % 5 == 0:
                    view = view.rest()
                complete(view, seed)
                if place == 3 and THOROUGH:
                    pictured(view.figure)
        except Exception as problem:
            changed = {k: v for k, v in topic.settle(asked).items() if v != topic.knobs[k].default}
            problem.add_note(f"{topic.name}, seed {seed}: {changed}")
            raise


def given_back(topic: Topic, asked: Mapping[str, Value]) -> None:
    """Check that a link gives back its values, as they act and in their own types, and is the only link to them."""
    given = topic.query(asked)
    shown, problems = topic.parse(parse_qs(urlencode(given, doseq=True), keep_blank_values=True))
    assert problems == []
    assert shown == topic.settle(asked)
    assert topic.query(shown) == given
    assert all(type(value) is type(topic.knobs[name].default) for name, value in shown.items())


def pictured(figure: Figure) -> None:
    """Check that the renderer finds an extent for every axis: no coordinate is drawn that is none."""
    drawing = vl_convert.vegalite_to_svg(json.dumps(figure.chart(600), allow_nan=False), vl_version="6.4")
    drawing = re.sub(r'aria-[a-z]+="[^"]*"|>[^<]*<', "", drawing)
    assert not re.search("NaN|Infinity|undefined", drawing)


def quiet(records: list[logging.LogRecord]) -> None:
    """Check that nothing was logged, beside what Streamlit says where there is no browser."""
    assert not [
        r for r in records if r.levelno >= logging.WARNING and "ScriptRunContext" not in r.getMessage()
    ]


@every_topic
def test_a_page_takes_any_state(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(SEED + 1, SEED + (24 if THOROUGH else 4)):
        asked = topic.settle(state(topic, seed))
        at = visit(topic, topic.query(asked))
        where = f"{topic.name}, seed {seed}"
        assert not at.exception, (where, [e.value for e in at.exception])
        assert not at.error, where
        assert not at.warning, (where, at.warning[0].value)
        shown = values(at, topic)
        offered = topic.offers(asked)
        # A control that is narrowed beside the others moves to what it offers.
        same = [k for k in asked if shown[k] == asked[k] or (k in offered and asked[k] not in offered[k])]
        assert len(same) == len(asked), (where, {k: (asked[k], shown[k]) for k in asked if k not in same})
    quiet(caplog.records)


# Hostile query strings

ATTACKS: Mapping[str, tuple[str, ...]] = {
    "no numbers": ("NaN", "nan", "-nan", "Infinity", "-inf", "1e400", "-1e400", "1e-400", "9" * 400, "0x1F", "1_000",
                   "1,5", "１２", "٣", "½", "²", "1e", "--1", "+ 1", "1 2", "1;2", "0b1", "1j", ".", "-", "e5", "0" * 70),
    "no words": ("null", "None", "undefined", "[]", "{}", "[object Object]", '{"$gt": ""}', "true,false", "\\", "'", '"'),
    "HTML": ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "</p><iframe src=//x>",
             '"><b>x</b>', "javascript:alert(1)", "data:text/html,<b>x</b>", "<!--", "&lt;script&gt;", "&#60;b&#62;"),
    "Markdown": ("[x](https://example.org)", "![x](https://example.org/a.png)", "`x` <b>y</b>", "``` x ```", "**b** _i_",
                 "# Heading", "| a | b |", ":red[x]", ":material/home:", "<https://example.org>", "a\n\n# b", "~~s~~"),
    "formulas": ("$x^2$", "$$\\frac{1}{0}$$", "\\(x\\)", "\\href{javascript:alert(1)}{x}", "$`x`$", "` $x$ `"),
    "paths": ("../../../../etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd", "/dev/zero", "~root", "C:\\CON"),
    "programs": ("__import__('os').system('id')", "eval('1')", "lambda: 0", "x.__class__.__mro__", "`id`", "$(id)", "; ls",
                 "| cat /etc/passwd", "${jndi:ldap://x/a}", "{{7*7}}", "<%= 7*7 %>", "#{7*7}"),
    "SQL": ("' OR '1'='1", "'; DROP TABLE users; --", "1 OR 1=1", "1 UNION SELECT NULL", "admin'--", "%' AND 1=0"),
    "formats": ("%s%s%s%n", "%x%d%p", "{0.__class__}", "{}{}{}", "{values[key]}", "%(name)s", "\\x41\\u0041", "%0A%0Dx: y"),
    "characters": ("6\x000", "\x00", "\x1b[31mred", "\r\nSet-Cookie: a=b", "\u202e06", "\u2066a\u2069", "a\u200bb",
                   "\ufeffReLU", "\ud800", "x\udfffy", "🙂" * 30, "RеLU", "Аdam", "e\u0301" * 30, "Z" + "\u0301" * 200,
                   "\u2028x", "\ufffe", "İ", "ß", "\U000e0041", "﷽" * 20),
    "sizes": ("x" * 3_000, "<i>" * 2_000, "0." + "0" * 3_000 + "1", "(" * 3_000, " " * 3_000, "`" * 3_000, "\u202e" * 999),
    "twice encoded": ("%2565", "%253Cscript%253E", "%25252e%25252e%25252f", "%C0%AE%C0%AE/", "%u003cb%u003e", "%", "%zz"),
}  # fmt: skip

# Texts that a formula may be taken for: refused, or drawn without a warning.
FORMULAS = (
    "9**9**9**9**9", "x^x^x^x^x", "((((((((((((((((((((x))))))))))))))))))))", "(" * 90 + "x" + ")" * 90, "1e308*1e308*x",
    "0/0", "x/0", "1/(x-x)", "sqrt(-1-x^2)", "log(0*x)", "exp(exp(exp(x)))", "1e-320*x", "tan(x/0)", "abs(", "x y", "2x3y",
    "x.__class__", "__import__('os')", "lambda: x", "x if y else 1", "[x for x in y]", "x;y", "x\ny", "1j*x", "x@y", "x//y",
    "x%y", "x<<9999", "~x", "not x", "'x'*9", "x=1", "e^(1e9*x)", "-" * 100 + "x", "+".join(["x"] * 60), "π*x", "x²",
    "𝑥+y", "max(x,y)", "f(x)", "exp", "pi(x)", "1" * 190, "1e400", "-1e400+x", "nan", "inf", "x**-9999", "0^0", "0^(-x*x)",
)  # fmt: skip


def ways(text: str) -> Iterator[str]:
    """Write a text into an address in the ways that browsers and attackers do."""
    once = quote_plus(text.encode("utf-8", "surrogatepass"))
    yield once
    yield quote_plus(once)
    yield text.replace("&", "").replace("=", "").replace("+", " ").encode("utf-8", "replace").decode()


def targets(topic: Topic) -> list[str]:
    """Name a parameter of each kind: knobs, scenario, tab, none of the page, another page's, a former name."""
    kinds = {knob.kind: topic.key(name) for name, knob in topic.knobs.items() if knob.kind != "text"}
    other = TOPICS[TOPICS.index(topic) - 1]
    others = [topic.key("scenario"), topic.key("tab"), topic.key("none"), other.key(next(iter(other.knobs)))]
    return [*kinds.values(), *others, *(topic.key(name) for name in list(topic.aliases)[:1])]


@cache
def longest(topic: str) -> int:
    """Return how long the longest list is that a message of a topic may end in."""
    it = BY_NAME[topic]
    offers = [knob.range_text for knob in it.knobs.values()]
    return max(map(len, [*offers, ", ".join(each.name for each in it.scenarios), ", ".join(it.tab_names)]))


@cache
def kept(topic: str, items: tuple[tuple[str, Value], ...]) -> None:
    """Check that values are legal, and that their link reads as the same ones and carries nothing else."""
    it = BY_NAME[topic]
    found = dict(items)
    assert found.keys() == it.knobs.keys()
    assert all(it.knobs[name].check(value) == value for name, value in items)
    assert set(it.query(found)) <= {it.key("scenario"), *map(it.key, it.knobs)}
    given_back(it, found)


def harmless(topic: Topic, address: str) -> tuple[dict[str, Value], list[str]]:
    """Read a query string as Streamlit does, check all that comes of it, and return it with what is said of it."""
    found, problems = topic.parse(parse_qs(address, keep_blank_values=True))
    assert all(type(value) is type(topic.knobs[name].default) for name, value in found.items())
    kept(topic.name, tuple(found.items()))
    for line in problems:
        assert line.isprintable()
        assert len(line) < 90 + longest(topic.name)
        # On the page it is one span of code, in which nothing is Markdown, HTML or a formula.
        assert re.fullmatch(r"`[^`\n]+`", literal(line))
    return found, problems


@pytest.mark.parametrize("group", ATTACKS)
def test_a_hostile_value_is_refused_in_one_line(group: str) -> None:
    for topic in TOPICS:
        defaults = topic.fill({})
        for number, text in enumerate(ATTACKS[group]):
            aims = targets(topic)
            for way, written in enumerate(ways(text)):
                # Each text meets every kind of parameter once, in one of the ways.
                for target in aims[(number + way) % 3 :: 3]:
                    address = f"{target}={written}"
                    found, problems = harmless(topic, address)
                    assert len(problems) <= 1
                    assert not problems or found == defaults, address


@every_topic
def test_hostile_names_of_parameters(topic: Topic) -> None:
    for group in ATTACKS.values():
        for number, text in enumerate(group):
            name = quote_plus(text.encode("utf-8", "surrogatepass"))
            address = (f"{name}=1", f"{topic.prefix}_{name}=1", f"={name}", f"{name}")[number % 4]
            found, problems = harmless(topic, address)
            assert len(problems) == (1 if parse_qs(address, keep_blank_values=True) else 0)
            assert found == topic.fill({})


@every_topic
def test_any_mixture_of_hostile_parameters(topic: Topic) -> None:
    everything = [text for group in ATTACKS.values() for text in group]
    for seed in range(SEED, SEED + (1_000 if THOROUGH else 60)):
        rng = np.random.default_rng([seed, 1, TOPICS.index(topic)])
        names = [*map(topic.key, topic.knobs), *targets(topic), "hide", "embed", "utm_x", "_page", ""]
        parts = []
        for _ in range(rng.integers(1, 12)):
            name = names[rng.integers(len(names))]
            written = list(ways(everything[rng.integers(len(everything))]))[rng.integers(3)]
            parts += [f"{name}={written}"] * int(rng.integers(1, 4))
        good = state(topic, seed)
        kept = rng.permutation(sorted(topic.shown(good)))[:3]
        own = {topic.key(name): topic.knobs[name].text(good[name]) for name in kept}
        address = "&".join([*parts, urlencode(own, doseq=True)])
        try:
            found, _ = harmless(topic, address)
            beside = {name for name in kept if not any(p.startswith(f"{topic.key(name)}=") for p in parts)}
            assert all(found[name] == good[name] for name in beside if topic.knobs[name].kind != "text")
        except Exception as problem:
            problem.add_note(f"{topic.name}, seed {seed}: {address[:2_000]!a}")
            raise


def test_a_hostile_formula_is_refused_or_drawn() -> None:
    topic = BY_NAME["optimizers"]
    name = next(name for name, knob in topic.knobs.items() if knob.kind == "text")
    for text in FORMULAS:
        for given in ({}, {"surface": OWN, "optimizers": "GD"}):
            address = urlencode({topic.key(k): v for k, v in {**given, name: text}.items()})
            found, problems = harmless(topic, address)
            if not problems and given:
                try:
                    complete(topic.make(topic.settle(found)), 0)
                except Exception as problem:
                    problem.add_note(text)
                    raise


@every_topic
def test_a_page_survives_hostile_links(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    everything = [text for group in ATTACKS.values() for text in group]
    mine = everything[TOPICS.index(topic) :: len(TOPICS)]
    aims = targets(topic)
    for start in range(0, 16, 8):
        query = dict(zip(aims, mine[start:], strict=False))
        query |= {f"{mine[start + 9]}x": "1", "hide": mine[start + 10]}
        # Lone halves of a pair of characters cannot be in an address that a browser sends.
        query = {
            name.encode("utf-8", "replace").decode(): text.encode("utf-8", "replace").decode()
            for name, text in query.items()
        }
        at = visit(topic, query)
        assert not at.exception, [e.value for e in at.exception]
        assert not at.error
        assert len(at.warning) == 1
        legal = {topic.key("scenario"), topic.key("tab"), *map(topic.key, topic.knobs)}
        foreign = {
            t
            for pair in query.items()
            for t in pair
            if t not in legal and len(t) > 3 and re.search(r"[<>$`\[\]{}'\\;]", t)
        }
        for text in [*texts(at), charts(at)[0].alt, charts(at)[0].spec, str(link(at))]:
            outside = re.sub(r"`[^`]*`", "", text)
            assert not [each for each in foreign if each.strip() in outside]
        assert at.warning[0].value.count("`") % 2 == 0
        assert len(at.warning[0].value) < 3_000
        assert values(at, topic) == topic.settle(topic.parse({k: [v] for k, v in query.items()})[0])
    quiet(caplog.records)


def test_a_thousand_parameters_make_few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each message about the address carries all of it: one a parameter would make a gigabyte of a long link.
    from streamlit.runtime.state.query_params import QueryParams

    sent = []
    send = QueryParams._send_query_param_msg
    monkeypatch.setattr(QueryParams, "_send_query_param_msg", lambda self: (sent.append(1), send(self)))
    topic = BY_NAME["dropout"]
    at = visit(
        topic, {f"drop_{number}": "x" * 100 for number in range(990)} | {"drop_p": "0.25", "drop_seed": "?"}
    )
    assert not at.exception
    assert values(at, topic) == topic.settle(topic.fill({"p": 0.25}))
    assert len(sent) <= 1
    assert not [name for name in address(at) if name.startswith("drop_9")]
    assert CUSTOM in str(link(at))
