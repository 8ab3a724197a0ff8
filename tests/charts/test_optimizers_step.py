"""The Step tab: every anatomy holds against independent arithmetic, its formulas read back, the figure keeps the rules."""

import json
import re
from functools import cache

import numpy as np
import pytest
import vl_convert

from charts import theme
from charts.figure import Figure
from charts.optimizers_anatomy import (
    ANATOMIES,
    LETTERS,
    NOW,
    PAST,
    REFERENCE_ANATOMIES,
    Quantity,
    anatomy,
    largest,
    matrix,
    root,
    rule_as_set,
    sign,
    smallest,
    vector,
)
from charts.optimizers_base import KNOBS, complete, run
from charts.optimizers_step import STEP_KNOBS, last_point, step_blocks
from core.descent import SurfaceProblem, descend
from core.knobs import latex
from core.optimizers import CONVENTIONS, OPTIMIZERS
from core.second_order import REFERENCES
from core.surfaces import SURFACES
from tests.charts.topics import HEX, WIDE_AND_NARROW, marks

STEPS = 9  # RAdam adapts from the sixth on
PROBLEM = SurfaceProblem(SURFACES["Himmelblau"])
START = np.array([1.0, 2.0])

# Every knob away from its default somewhere, both sides of every switch.
VARIANTS = (
    {"lr": 0.004},
    {"lr": 0.003, "weight_decay": 0.1},
    {"lr": 0.002, "weight_decay": 0.03, "dampening": 0.2, "momentum": 0.7, "lr_decay": 0.1, "centered": True,
     "momentum_decay": 0.4},
    {"lr": 0.001, "bias_correction": False, "eps": 0.0, "nu": 0.4, "nu1": 0.3, "nu2": 0.6, "beta2": 0.5},
)  # fmt: skip

# The symbol of a term after the step, and the field of the state that it must equal.
STORED = {
    "v_t": ("velocity", "v"), "m_t": ("m",), "G_t": ("total",), "s_t": ("square_average", "sign"), "d_t": ("step_average", "d"),
    "u_t": ("u",), r"\bar v_t": ("v_max",), r"\Pi_t": ("mu_product",), r"\bar g_t": ("average",), r"\Delta_t": ("size",),
}  # fmt: skip


# Formulas read back


class Reader:
    """A reader of the LaTeX that the anatomies write: symbols from a table, numbers, columns, arithmetic."""

    def __init__(self, text, symbols):
        self.text, self.at = text, 0
        self.symbols = sorted(symbols.items(), key=lambda item: -len(item[0]))

    def take(self, token):
        self.at += len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def must(self, token):
        assert self.take(token), (token, self.text[self.at :])

    def all(self):
        value = self.sum()
        assert not self.text[self.at :].strip(), self.text[self.at :]
        return value

    def sum(self):
        value = self.product()
        while True:
            if self.take("+"):
                value = value + self.product()
            elif self.take("-"):
                value = value - self.product()
            else:
                return value

    def product(self):
        negative = self.take("-")
        value = self.power()
        while any(self.take(token) for token in (r"\,", r"\cdot ", r"\odot ")):
            value = value * self.power()
        return -value if negative else value

    def power(self):
        value = self.atom()
        while self.take("^{"):
            power = self.sum()
            self.must("}")
            value = value**power
        return value

    def two(self, first, between, last):
        self.must(first)
        one = self.sum()
        self.must(between)
        other = self.sum()
        self.must(last)
        return one, other

    def atom(self):
        if self.take(r"\frac"):
            top, bottom = self.two("{", "}{", "}")
            zero = (top == 0) & (bottom == 0)
            return np.where(zero, 0.0, top / np.where(zero, 1.0, bottom))
        if self.take(r"\sqrt{"):
            value = np.sqrt(self.sum())
            self.must("}")
            return value
        if self.take(r"\max"):
            return np.maximum(*self.two(r"\left(", r",\, ", r"\right)"))
        if self.take(r"\min"):
            return np.minimum(*self.two(r"\left(", r",\, ", r"\right)"))
        for opening, closing, function in (
            (r"\operatorname{sign}\left(", r"\right)", np.sign), (r"\lvert", r"\rvert", np.abs),
            (r"\left(", r"\right)", lambda x: x), ("(", ")", lambda x: x),
        ):  # fmt: skip
            if self.take(opening):
                value = function(self.sum())
                self.must(closing)
                return value
        if self.take(r"\begin{pmatrix}"):
            entries = [self.sum()]
            while self.take(r"\\"):
                entries.append(self.sum())
            self.must(r"\end{pmatrix}")
            return np.array(entries, float)
        for symbol, value in self.symbols:
            if self.take(symbol):
                return value
        found = re.match(r"\s*(\d+(\.\d+)?)", self.text[self.at :])
        assert found, self.text[self.at :]
        self.at += found.end()
        return float(found.group(1))


def read(text, symbols=None):
    """Evaluate a formula."""
    with np.errstate(all="ignore"):
        return Reader(text, symbols or {}).all()


def close(one, other, rtol=1e-11):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-14 * np.max(np.abs(other), initial=0))


A, B = Quantity.of(np.array([3.0, -0.5]), "a"), Quantity.of(np.array([0.25, 8.0]), "b")
C = Quantity.of(-2.0, "c")


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        (A + B * C, [2.5, -16.5]),
        ((A + B) * C, [-6.5, -15]),
        (A - (B - C), [0.75, -10.5]),
        (A - B - C, [4.75, -6.5]),
        (1 - C * (A - 2), [3, -4]),
        (-C * (A + 1), [8, 1]),
        (A - (-C) * B, [2.5, -16.5]),
        (A + (-B), [2.75, -8.5]),
        (C * (-A), [6, -1]),
        (-(A - B), [-2.75, 8.5]),
        ((A - B) ** 2, [7.5625, 72.25]),
        (2 * (A * C) ** 2, [72, 2]),
        ((A / B) ** 2 / C, [-72, -0.001953125]),
        (A / (B + C), [-12 / 7, -1 / 12]),
        (A / B / C, [-6, 0.03125]),
        (root(B**2) - abs(A - 4), [-0.75, 3.5]),
        (sign(A - 1) * largest(A, smallest(B, 1)), [3, -1]),
        (0 * A / (C + 2), [0, 0]),
        (Quantity.of(0.9, "c") ** Quantity(3, "a", "3"), 0.729),
    ],
)
def test_what_is_written_is_what_is_computed(quantity, value):
    close(quantity.value, value)
    close(read(quantity.letters, {"a": A.value if np.ndim(quantity.value) else 3, "b": B.value,
                                  "c": C.value if np.ndim(quantity.value) else 0.9}), value)  # fmt: skip
    close(read(quantity.numbers), value)


# Anatomies


def settings(entry, variant):
    own = {knob.name: knob.default for knob in entry.knobs}
    return {**own, **{name: value for name, value in variant.items() if name in own}}


def taken(name, variant, convention="PyTorch", steps=STEPS):
    """Yield every step of a short run, taken apart."""
    entry = OPTIMIZERS[name]
    knobs = settings(entry, variant)
    rule = entry.build(**knobs, convention=convention)
    result = descend(PROBLEM, rule, START, steps, keep_state=True)
    for t in range(steps):
        before = type(result.state)(*(np.asarray(field)[t] for field in result.state))
        g, w = result.gradient[t], result.path[t]
        step, after = rule.update(g, before, w)
        yield (
            t + 1,
            before,
            g,
            w,
            step,
            after,
            anatomy(name, before, g, w, step, {**knobs, "convention": convention}, t + 1),
        )


every_rule = pytest.mark.parametrize("name", OPTIMIZERS)


def test_every_rule_has_its_anatomy():
    assert set(ANATOMIES) == set(OPTIMIZERS)
    knobs = {knob.name for entry in OPTIMIZERS.values() for knob in entry.knobs if knob.kind == "float"}
    assert knobs - {"initial_accumulator"} == set(LETTERS)


@pytest.mark.parametrize(
    ("name", "convention"),
    [(name, how) for name, entry in OPTIMIZERS.items() for how in (CONVENTIONS[0], *entry.differs)],
)
def test_the_arrows_add_up_to_the_step_and_the_terms_are_the_states(name, convention):
    stored = 0
    for variant in VARIANTS:
        for _, _, _, _, step, after, parts in taken(name, variant, convention):
            sizes = np.sum([np.abs(arrow.vector) for arrow in parts.arrows], axis=0)
            assert np.all(np.isfinite(step))
            assert np.all(np.abs(parts.step - step) <= 1e-12 * sizes)
            terms = {term.symbol: term.value for term in parts.terms}
            np.testing.assert_allclose(
                terms[r"\Delta w_t"], step, rtol=1e-10, atol=1e-13 * np.abs(step).max()
            )
            for symbol, value in terms.items():
                for field in STORED.get(symbol, ()):
                    if hasattr(after, field):
                        stored += 1
                        np.testing.assert_allclose(value, getattr(after, field), rtol=1e-12, atol=1e-300)
    assert stored or not after._fields


@every_rule
def test_every_formula_and_every_printed_number_reads_back(name):
    entry = OPTIMIZERS[name]
    for convention in ("PyTorch", *entry.differs):
        for variant in VARIANTS:
            knobs = settings(entry, variant)
            for t, before, g, w, _, _, parts in list(taken(name, variant, convention))[:: STEPS - 1]:
                exact = {LETTERS[k]: float(v) for k, v in knobs.items() if k in LETTERS}
                rounded = {symbol: float(f"{value:.6g}") for symbol, value in exact.items()}
                once = {"g": g, "w": w} | old_symbols(name, before)
                exact |= {"t": t} | once
                rounded |= {"t": t} | {symbol: three(value) for symbol, value in once.items()}
                for term in parts.terms:
                    if term.numbers:
                        # A formula in letters gives the value, and the numbers are those of the letters, rounded as printed.
                        np.testing.assert_allclose(
                            read(term.formula, exact), term.value, rtol=1e-9, atol=1e-12
                        )
                        np.testing.assert_allclose(
                            read(term.numbers), read(term.formula, rounded), rtol=1e-5, atol=1e-7
                        )
                    exact[term.symbol], rounded[term.symbol] = term.value, three(term.value)


def three(value):
    """Round to the three digits that are printed."""
    return np.array([float(f"{x:.3g}") for x in np.atleast_1d(value)]).reshape(np.shape(value))


def old_symbols(name, before):
    """Return the state before the step under the letters that the formulas have for it."""
    letters = {"velocity": "v_{t-1}", "m": "m_{t-1}", "v": "v_{t-1}", "total": "G_{t-1}", "square_average": "s_{t-1}",
               "step_average": "d_{t-1}", "average": r"\bar g_{t-1}", "v_max": r"\bar v_{t-1}", "mu_product": r"\Pi_{t-1}",
               "u": "u_{t-1}", "size": r"\Delta_{t-1}", "sign": "s_{t-1}", "d": "d_{t-1}", "previous": "g_{t-1}"}  # fmt: skip
    return {
        letters[field]: np.asarray(getattr(before, field), float)
        for field in before._fields
        if field in letters
    }


def test_corrected_averages_are_weighted_sums_of_all_gradients():
    b1, b2 = 0.9, 0.999
    seen = []
    for t, _, g, _, _, _, parts in taken("Adam", {"lr": 0.05}):
        seen.append(g)
        weights = np.array([b1 ** (t - i) for i in range(1, t + 1)])
        squares = np.array([b2 ** (t - i) for i in range(1, t + 1)])
        terms = {term.symbol: term.value for term in parts.terms}
        close(terms[r"\hat m_t"], weights @ np.array(seen) / weights.sum())
        close(terms[r"\hat v_t"], squares @ np.array(seen) ** 2 / squares.sum())


@pytest.mark.parametrize(("name", "power"), [("Momentum", 0), ("Nesterov", 1)])
def test_the_memory_is_the_decayed_sum_of_past_gradients(name, power):
    lr, mu = 0.002, 0.8
    seen = []
    for t, _, g, _, _, _, parts in taken(name, {"lr": lr, "momentum": mu}):
        past = sum((mu ** (t - 1 - i) * old for i, old in enumerate(seen)), np.zeros(2))
        arrows = {arrow.name: arrow.vector for arrow in parts.arrows}
        close(arrows[PAST], -lr * mu**power * past)
        close(arrows[NOW], -lr * (1 + power * mu) * g)
        seen.append(g)


def test_a_rule_without_a_recipe_tells_its_step():
    step = np.array([1.0, -2.0])
    parts = anatomy("somebody's own", (), np.ones(2), np.ones(2), step, {}, 1)
    assert np.array_equal(parts.step, step)


def reference_terms(name, t, surface="Himmelblau", start=START, **knobs):
    """Return the terms of a step of a reference after t others, and what it saw."""
    entry, problem = REFERENCES[name], SurfaceProblem(SURFACES[surface])
    knobs = {**{knob.name: knob.default for knob in entry.knobs}, **knobs}

    def build(**given):
        return entry.build(problem, **given)

    result = descend(problem, build(**knobs), start, t + 1, keep_state=True)
    before = type(result.state)(*(np.asarray(field)[t] for field in result.state))
    g, w, step = result.gradient[t], result.path[t], np.diff(result.path, axis=0)[t]
    parts = REFERENCE_ANATOMIES[name](problem, build, before, g, w, step, knobs)
    assert parts.mixes
    close(parts.step, step)
    return {term.symbol: term for term in parts.terms}, problem, result


@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("saddle_free", [False, True])
def test_newton_shows_what_it_inverts(shift, saddle_free):
    found, problem, result = reference_terms(
        "Newton", 0, start=np.array([0.0, 0.5]), shift=shift, saddle_free=saddle_free, lr=0.5
    )
    hessian = problem.hessian(result.path[0])
    close(found["H"].value, hessian)
    sizes, vectors = np.linalg.eigh(hessian)
    inverted = vectors @ np.diag((np.abs(sizes) if saddle_free else sizes) + shift) @ vectors.T
    inverse = next(term.value for symbol, term in found.items() if symbol.endswith("^{-1}"))
    close(inverse @ inverted, np.eye(2), rtol=1e-9)
    close(-0.5 * inverse @ result.gradient[0], found[r"\Delta w_t"].value, rtol=1e-9)
    assert matrix(inverse) in found[r"\Delta w_t"].numbers


def test_newton_where_nothing_can_be_inverted():
    problem = SurfaceProblem(SURFACES["Himmelblau"])

    class Flat:
        f = problem.f

        def __init__(self, h):
            self.h = np.array(h)

        def hessian(self, w):
            return self.h

    for h in ([[1.0, 2.0], [2.0, 4.0]], [[np.nan, 0.0], [0.0, 1.0]]):
        knobs = {"lr": 1.0, "shift": 0.0, "saddle_free": False}
        rest = (), np.ones(2), np.ones(2), np.full(2, np.inf), knobs
        parts = REFERENCE_ANATOMIES["Newton"](
            Flat(h), lambda h=h, **k: REFERENCES["Newton"].build(Flat(h), **k), *rest
        )
        symbols = {term.symbol: term.value for term in parts.terms}
        assert symbols.get(r"\det H", 0.0) == 0
        assert "H^{-1}" not in symbols


@pytest.mark.parametrize("t", [0, 1, 3, 8])
@pytest.mark.parametrize("line_search", [False, True])
def test_lbfgs_shows_pairs_direction_and_length(t, line_search):
    found, problem, result = reference_terms(
        "L-BFGS", t, "Rosenbrock", np.array([-1.2, 1.0]), lr=0.8, memory=5, line_search=line_search
    )
    g, w = result.gradient[t], result.path[t]
    s, y = np.diff(result.path[: t + 1], axis=0), np.diff(result.gradient[: t + 1], axis=0)
    learned = [i for i in range(t) if s[i] @ y[i] > 1e-10]
    assert found[r"\text{pairs, at most 5}"].value == min(5, len(learned))
    estimate = found[r"\tilde H"].value
    if learned:  # the secant equation of the last pair
        close(estimate @ y[learned[-1]], s[learned[-1]], rtol=1e-8)
    else:
        close(estimate, np.eye(2))
    d, alpha = found["d"].value, found[r"\alpha"].value
    close(d, -estimate @ g, rtol=1e-8)
    close(alpha * d, found[r"\Delta w_t"].value, rtol=1e-9)
    whole = 0.8 * (min(1, 1 / np.abs(g).sum()) if t == 0 else 1)
    halvings = found[r"\text{halvings } k"].value if line_search else 0
    assert alpha == pytest.approx(whole / 2**halvings, rel=1e-12)
    if line_search:
        assert problem.f(w + alpha * d) <= problem.f(w) + 1e-4 * alpha * (g @ d)
        assert halvings == 0 or problem.f(w + 2 * alpha * d) > problem.f(w) + 2e-4 * alpha * (g @ d)


def test_the_rule_is_printed_as_it_is_set():
    for name, entry in {**OPTIMIZERS, **REFERENCES}.items():
        defaults = {knob.name: knob.default for knob in entry.knobs}
        written = rule_as_set(entry.update_rule, defaults)
        assert (written == entry.update_rule) == (name not in ("Momentum", "RMSProp")), name
        # No letter of a knob that is off: dampening τ of Momentum, the velocity of RMSProp.
        assert r"\tau" not in written
        assert bool(re.search(r"\\mu(?!_)", written)) == bool(defaults.get("momentum")), name
    damped = rule_as_set(OPTIMIZERS["Momentum"].update_rule, {"momentum": 0.9, "dampening": 0.5})
    assert damped == OPTIMIZERS["Momentum"].update_rule
    assert rule_as_set(OPTIMIZERS["Momentum"].update_rule, {"momentum": 0.0, "dampening": 0.0}) == (
        r"w \leftarrow w - \eta\, g"
    )
    bare = rule_as_set(OPTIMIZERS["Adam"].update_rule, {"bias_correction": False})
    assert bare.endswith(r"\frac{m}{\sqrt{v} + \varepsilon}")
    assert r"\sqrt{s - \bar g^2}" in rule_as_set(OPTIMIZERS["RMSProp"].update_rule, {"centered": True})
    assert r"(\lvert H \rvert + \delta I)^{-1}" in rule_as_set(
        REFERENCES["Newton"].update_rule, {"saddle_free": True}
    )
    text = prose(optimizers=("Adam",), twin="Adam", twin_bias_correction=False, step_optimizer="Adam ′")
    assert "^t)" not in text
    assert "^t)" in prose(optimizers=("Adam",), step_optimizer="Adam")
    for name in REFERENCES:
        text = prose(optimizers=(name,), step_optimizer=name)
        assert "acts on each coordinate by itself" not in text
        assert "ties the coordinates" in text


def test_columns_are_written_without_parentheses():
    assert vector(np.array([-2.0, 3e-6])) == r"\begin{pmatrix} -2 \\ 3\cdot 10^{-6} \end{pmatrix}"
    assert latex(-2.0) == "(-2)"


# The tab

BASE = {knob.name: knob.default for knob in (*KNOBS.values(), *STEP_KNOBS)}
CASES = {
    "default": {},
    "first step": {"step_at": 0},
    "beyond the end": {"step_at": 499},
    "one step": {"steps": 1, "step_at": 0, "optimizers": ("Adam",)},
    "not in the picture": {"step_optimizer": "Lion"},
    "diverges": {
        "surface": "Beale", "optimizers": ("Momentum",), "momentum_lr": 0.01, "start_x": 1.0, "start_y": 1.5, "steps": 400,
        "step_at": 300,
    },
    "at the minimum": {"start_x": 0.0, "start_y": 0.0},
    "along an axis": {"start_y": 0.0, "step_optimizer": "RMSProp", "optimizers": ("RMSProp",)},
    "500 steps": {"steps": 500, "step_at": 420, "optimizers": ("Rprop",), "step_optimizer": "Rprop"},
    "Newton": {"optimizers": ("Newton",), "step_optimizer": "Newton", "surface": "Himmelblau"},
    "in rounding": {"steps": 500, "step_at": 498, "optimizers": ("Nesterov",), "surface": "Beale"},
}  # fmt: skip


def values(**given):
    return {**BASE, **complete(given), **given}


def figure(**given):
    return next(block for block in step_blocks(values(**given)) if isinstance(block, Figure))


def prose(**given):
    return "\n".join(block for block in step_blocks(values(**given)) if isinstance(block, str))


@cache
def walked(build, width):
    """Check a specification; return the fields that it reads, by data set."""
    spec = build(width)
    assert not HEX.findall(json.dumps(spec))
    found = {}
    for unit in marks(spec):
        if unit.data:
            found[unit.data] = found.get(unit.data, set()) | unit.fields()
    return found


def reads(drawn, width):
    """Return the fields that a figure reads, by data set: exactly those that it has."""
    found = walked(drawn.build, width)
    assert set(found) == set(drawn.data)
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_figure_keeps_the_rules(case):
    drawn, default = figure(**CASES[case]), figure()
    for width in WIDE_AND_NARROW:
        spec = drawn.spec(width)
        assert spec is default.spec(width)
        for data, fields in reads(drawn, width).items():
            assert fields <= set(drawn.data[data].columns), data
    for name, frame in drawn.data.items():
        assert 0 < len(frame) <= 900, name
        assert not np.isinf(frame.select_dtypes("number").to_numpy(float)).any(), name
        assert frame.notna().any().all(), name
        if "slot" in frame:
            assert set(frame.slot) <= set(range(len(theme.INKS)))
    assert drawn.data["rates"].down.any()
    assert drawn.data["arrows"].whole.sum() == 1
    assert drawn.alt == default.alt
    low, high = drawn.data["frame"].x, drawn.data["frame"].y
    assert np.isclose(np.ptp(low), np.ptp(high))  # equal scales
    for part in ("arrows", "isolines", "path", "names"):  # nothing widens the window
        x, y = drawn.data[part].x, drawn.data[part].y
        pad = 1e-9 * np.ptp(low)
        assert x.between(low.min() - pad, low.max() + pad).all()
        assert y.between(high.min() - pad, high.max() + pad).all()


def test_the_parts_run_tip_to_tail_from_the_point_to_the_next():
    for method in ("Momentum", "Adam", "AdamW"):
        shown = figure(step_optimizer=method, step_at=7, optimizers=("GD", method)).data["arrows"]
        whole = shown[shown.whole].iloc[0]
        parts = shown[(shown.slot == theme.INK)]
        assert len(parts) >= 2
        tip = np.zeros(2)
        for row in parts.itertuples():
            np.testing.assert_allclose([row.x, row.y], tip, atol=1e-12)
            tip = np.array([row.x + row.dx, row.y + row.dy])
        np.testing.assert_allclose(tip, [whole.dx, whole.dy], atol=1e-12)
        # Heads point along their arrows, clockwise from up.
        angle = np.radians(shown.angle.to_numpy(float))
        np.testing.assert_allclose(np.sin(angle) * shown.length, shown.dx, atol=1e-12)
        np.testing.assert_allclose(np.cos(angle) * shown.length, shown.dy, atol=1e-12)


def test_gradient_descent_goes_at_its_learning_rate_everywhere():
    drawn = figure(optimizers=("GD",), surface="Himmelblau", gd_lr=0.004)
    rates = drawn.data["rates"]
    np.testing.assert_allclose(rates[rates.name != ""].rate, 0.004, rtol=1e-9)
    assert len(drawn.data["arrows"]) == 1
    assert list(drawn.data["ends"].label) == ["x, y", ""]
    assert "along −g" in prose(optimizers=("GD",), surface="Himmelblau")


@pytest.mark.parametrize(
    "given",
    [
        {"schedule": "cosine", "convention": "Keras", "optimizers": ("Momentum",)},
        {"schedule": "1/t", "convention": "optax", "optimizers": ("RMSProp",), "rmsprop_momentum": 0.5},
        {"noise": 0.4, "clip": "value", "clip_at": 0.3, "optimizers": ("Adam",)},
        {"optimizers": ("L-BFGS",)},
        {"optimizers": ("Adam",), "twin": "Adam", "twin_lr": 0.01, "step_optimizer": "Adam ′"},
    ],
)
def test_the_step_is_that_of_the_run(given):
    given = {"surface": "Rosenbrock", "step_at": 6, **given}
    label = given.get("step_optimizer", given["optimizers"][0])
    path = run(values(**given))[label].path
    shown = figure(**{"step_optimizer": label, **given}).data["arrows"]
    whole = shown[shown.whole].iloc[0]
    np.testing.assert_allclose([whole.dx, whole.dy], path[7] - path[6], rtol=1e-9, atol=1e-14)
    assert f"**{label}**" in prose(**{"step_optimizer": label, **given})


def test_schedule_and_clipping_reach_the_arithmetic():
    text = prose(optimizers=("GD",), clip="norm", clip_at=0.5, gd_lr=0.25, step_at=0)
    assert "clipped from length 8.01 to 0.5" in text
    assert "is 0.125 long" in text


def test_what_cannot_be_shown_is_said():
    assert "makes no step from point 499: it has 60 steps" in prose(**CASES["beyond the end"])
    text = prose(**CASES["diverges"])
    assert "it diverged at step 10" in text
    assert "from point 9" in text
    assert "does not move from point" in prose(**CASES["at the minimum"])
    assert "**GD**" in prose(**CASES["not in the picture"])
    assert step_blocks(values(optimizers=())) == ["Choose an optimizer to take one of its steps apart."]
    assert "nan" not in prose(**CASES["in rounding"]).lower()


def test_the_last_step_is_the_one_before_the_end_or_the_divergence():
    rule = OPTIMIZERS["GD"].build(lr=0.5)
    beale = SurfaceProblem(SURFACES["Beale"])
    assert last_point(descend(PROBLEM, OPTIMIZERS["GD"].build(lr=1e-3), START, 5)) == 4
    gone = descend(beale, rule, [3.0, 3.0], 50)
    assert 0 <= last_point(gone) == gone.diverged_at - 1


def test_the_figure_is_drawn():
    chart = figure().chart(360)
    chart["config"] = theme.print_config()
    assert len(vl_convert.vegalite_to_png(json.dumps(chart))) > 10_000
