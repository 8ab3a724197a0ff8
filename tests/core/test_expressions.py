"""The typed formulas: what is read and what is refused, and derivatives against differences and the registry."""

import itertools
import math
import warnings

import numpy as np
import pytest

from core.expressions import (
    CONSTANTS,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NODES,
    Expression,
    ExpressionError,
    parse,
)
from core.surfaces import SURFACES

W = np.random.default_rng(5).uniform(0.2, 1.9, (60, 2)) * [1, -1]  # x > 0 > y, no kink near


def slope(function, w: np.ndarray, h: float = 2e-4) -> np.ndarray:
    """Fourth-order central difference: (..., 2) → (..., [outputs], 2)."""
    columns = []
    for e in np.eye(2) * h:
        near = function(w + e) - function(w - e)
        far = function(w + 2 * e) - function(w - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def value(text: str, x: float = 1.5, y: float = -0.75) -> float:
    return float(parse(text).f((x, y)))


# Reading

X, Y = 1.5, -0.75


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", X),
        ("x+y*2", X + Y * 2),
        ("x - y - 1", X - Y - 1),
        ("x/y/2", X / Y / 2),
        ("x/(y/2)", X / (Y / 2)),
        ("-x^2", -(X**2)),
        ("(-x)^2", X**2),
        ("2^3^2", 512.0),
        ("2^-x", 2**-X),
        ("2**x", 2**X),
        ("x*-y", -X * Y),
        ("--x", X),
        ("+x", X),
        ("x--y", X + Y),
        ("-x*y", -X * Y),
        ("2x", 2 * X),
        ("2 x y", 2 * X * Y),
        ("3(x+1)", 3 * (X + 1)),
        ("(x+1)(y-1)", (X + 1) * (Y - 1)),
        ("x(y+1)", X * (Y + 1)),
        ("2x^2", 2 * X**2),
        ("2xy^2", 2 * X * Y**2),
        ("x^2 y", X**2 * Y),
        ("x^(2)y", X**2 * Y),
        ("xy", X * Y),
        ("xyx", X * Y * X),
        ("2sin(x)cos(y)", 2 * math.sin(X) * math.cos(Y)),
        ("2pi x", 2 * math.pi * X),
        ("x²y³", X**2 * Y**3),
        ("−x·y×π÷2", -X * Y * math.pi / 2),
        ("X + Sin(Y)", X + math.sin(Y)),
        ("2e", 2 * math.e),
        ("2e-x", 2 * math.e - X),
        ("2e3", 2000.0),
        ("1.5e-2x", 0.015 * X),
        (".5 + 1.", 1.5),
        ("1/2*x", X / 2),
        ("x/2 + y", X / 2 + Y),
        ("max(x, y, 2)", 2.0),
        ("min(x,y)", Y),
        ("log(x) + ln(x)", 2 * math.log(X)),
        ("hypot(x, y, 2)", math.sqrt(X**2 + Y**2 + 4)),
        ("  x\t+\n1 ", X + 1),
        ("(((x)))", X),
        ("0^0 + 0*x", 1.0),
    ],
)
def test_reading(text, expected):
    assert value(text, X, Y) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "normal", "latex"),
    [
        ("(1-x)^2+100(y-x^2)^2", "(1 - x)^2 + 100*(y - x^2)^2", None),
        ("x-(y-1)", "x - (y - 1)", r"x - \left(y - 1\right)"),
        ("x-(-y)", "x - (-y)", r"x - \left(-y\right)"),
        ("x-(-2y)", "x - (-2*y)", r"x - \left(-2 y\right)"),
        ("x/(2y)", "x/(2*y)", r"\frac{x}{2 y}"),
        ("2*3", "2*3", r"2 \cdot 3"),
        ("exp(-x^2)^2", "exp(-x^2)^2", r"\left(e^{-x^{2}}\right)^{2}"),
        ("sqrt(abs(x))", "sqrt(abs(x))", r"\sqrt{\left|x\right|}"),
        ("1e-5x", "1e-05*x", r"10^{-5} x"),
        ("2.50x", "2.5*x", "2.5 x"),
        ("sin(x)^2", "sin(x)^2", r"\sin\left(x\right)^{2}"),
        ("π e", "pi*e", r"\pi e"),
        ("(-x)^2", "(-x)^2", r"\left(-x\right)^{2}"),
        ("x^(-1)", "x^(-1)", "x^{-1}"),
        ("(x/y)^2", "(x/y)^2", r"\left(\frac{x}{y}\right)^{2}"),
    ],
)
def test_normal_form_and_latex(text, normal, latex):
    found = parse(text)
    assert found.text == normal
    if latex is not None:
        assert found.latex == latex


def random_formula(rng: np.random.Generator, depth: int) -> str:
    """A random formula of the grammar, parentheses everywhere."""
    if depth == 0 or rng.random() < 0.15:
        return str(rng.choice(["x", "y", "2", "0.5", "pi", "3e-2"]))
    kind = rng.integers(6)
    a, b = (random_formula(rng, depth - 1) for _ in range(2))
    if kind < 4:
        return f"({a}){'+-*/'[kind]}({b})"
    if kind == 4:
        return f"-({a})"
    return f"({a})^({b})" if rng.random() < 0.4 else f"{rng.choice(['sin', 'exp', 'abs', 'tanh'])}({a})"


def test_normal_form_reads_back_as_the_same_formula():
    rng, read = np.random.default_rng(0), 0
    for _ in range(150):
        text = random_formula(rng, 4)
        if len(text) > MAX_LENGTH:
            continue
        first = parse(text)
        if len(first.text) > MAX_LENGTH:
            continue
        again = parse(first.text)
        assert again == first
        np.testing.assert_array_equal(again.f(W), first.f(W))
        read += 1
    assert read > 50


def test_equal_formulas_are_equal():
    assert parse("2x") == parse(" 2·x ")
    assert parse("2x") != parse("x*2")
    assert parse("pi^2").constant
    assert not parse("0*x").constant
    assert isinstance(parse("x"), Expression)


# Refusing


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 1, "nothing to read"),
        ("  ", 1, "nothing to read"),
        ("x + sinn(x)", 5, "sinn at character 5: not a function; known are .*sin, sinh"),
        ("2*z", 3, "z at character 3: not a name; known are x, y, pi, e, "),
        ("1/2x", 4, "x at character 4: after a division it is not clear"),
        ("x/2(y)", 4, "after a division"),
        ("x/y sin(x)", 5, "sin at character 5: after a division"),
        ("e^2x", 4, "x at character 4: it is not clear whether this belongs to the exponent"),
        ("x^yx", 4, "not clear"),
        ("2^3(x)", 4, "not clear"),
        ("x²²", 3, "a power of a power needs parentheses"),
        ("sin x", 1, r"sin at character 1: needs its argument in parentheses, as in sin\(x\)"),
        ("sin^2(x)", 1, "needs its argument in parentheses"),
        ("1,5x", 2, "decimals have a point"),
        ("(1,5)", 3, "decimals have a point"),
        ("(x", 3, r"the end at character 3: expected \)"),
        ("sin(x", 6, r"expected \)"),
        ("x)", 2, r"\) at character 2: there is no \( that it closes"),
        ("()", 2, "expected a number"),
        ("x +", 4, "the end at character 4: expected a number, x, y, a function or"),
        ("*x", 1, "expected a number"),
        ("x**", 4, "expected a number"),
        ("x2", 2, "expected an operator"),
        ("2 3", 3, "3 at character 3: expected an operator"),
        ("max(x)", 1, "needs two or more arguments, found 1"),
        ("atan(y, x)", 1, "needs one argument, found 2"),
        ("max(x,)", 7, "expected a number"),
        ("|x|", 1, "not part of a formula"),
        ("x = 1", 3, "= at character 3: not part of a formula; allowed are"),
        ("x\0", 2, r"U\+0000 at character 2: not part"),
        ("x\u202e", 2, r"U\+202E at character 2"),
        ("x٣", 2, "not part of a formula"),
        ("1e999", 1, "too large a number"),
        ("x" * (MAX_LENGTH + 1), MAX_LENGTH + 1, f"{MAX_LENGTH + 1} characters: at most {MAX_LENGTH}"),
        ("(" * (MAX_DEPTH + 1) + "x", MAX_DEPTH + 2, "nested deeper"),
        ("x" * (MAX_NODES // 2 + 2), None, "too long"),
    ],
)  # fmt: skip
def test_errors_say_what_was_found_and_where(text, position, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        parse(text)
    if position is not None:
        assert caught.value.position == position
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


HOSTILE = [
    "__import__('os').system('true')",
    "x.__class__.__mro__",
    "().__class__",
    "lambda: 0",
    "[x for x in ()]",
    "exec(x)",
    "eval(x)",
    "open(x)",
    "x; import os",
    "f'{x}'",
    '"x"',
    "x if x else y",
    "x := 1",
    "x@y",
    "0x10",
    "1_000",
    "1j",
    "True",
    "None",
    "${x}",
    "<script>alert(1)</script>",
    "\\frac{x}{y}",
    "x\x00y",
    "\ud800",
    "x" * 1_000_000,
    "(" * 1_000_000,
    "-" * MAX_LENGTH,
    "(" * (MAX_LENGTH // 2) + ")" * (MAX_LENGTH // 2),
    "x^" * (MAX_LENGTH // 2),
    "sin(" * (MAX_LENGTH // 4),
    "2^-" * 60 + "x",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_refused(text):
    with pytest.raises(ExpressionError):
        parse(text)


def test_random_texts_give_a_formula_or_an_error():
    rng = np.random.default_rng(1)
    alphabet = [*"xy()+-*/^,. 0123456789e²π\0'\"_", "sin", "max(", "pi", "d"]
    read, positions = 0, []
    for _ in range(800):
        text = "".join(rng.choice(alphabet, rng.integers(1, 12)))
        try:
            found = parse(text)
        except ExpressionError as error:
            positions.append((error.position, len(text) + 1))
        else:
            read += 1
            assert found.f(W).shape == (60,)
            assert found.hessian(W).shape == (60, 2, 2)
    assert read > 20
    assert len(positions) > 20
    assert all(1 <= position <= end for position, end in positions)


def test_only_listed_names_are_known():
    for name in ("os", "np", "numpy", "self", "parse", "builtins", "f", "w"):
        with pytest.raises(ExpressionError, match="not a name"):
            parse(name)


@pytest.mark.parametrize("text", ["9^9^9^9^9^9", "x^9999999999", "x^-1e300", "(x^1e9)^1e9", "1e308*1e308*x"])
def test_huge_exponents_end_in_inf_or_zero(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parse(text)
        for w in ((2.0, 1.0), (-3.0, 0.5), (0.0, 0.0)):
            found.f(w), found.grad(w), found.hessian(w)
    assert found.f((2.0, 1.0)) in (0, math.inf)


# Derivatives


CURVES = [
    f"{name}({inner})"
    for name, f in FUNCTIONS.items()
    if f.curve
    for inner in ("0.7x", "0.8+0.2*x*y+0.1*x^2")
]
FORMULAS = [
    *(c for c in CURVES if not c.startswith(("asin", "acos"))),
    "asin(x/3)", "acos(x*y/9)", "x+y", "3x", "x*y", "x/y", "1/(x^2+y^2)", "x^2", "x^3", "x^4", "x^5", "x^7 y^0",
    "x^-1", "x^-2 y", "y^3", "x^0.5", "x^1", "(x*y)^3", "2^x", "e^(x*y)", "x^y", "(x^2+1)^(y*x)", "x^x",
    "max(x,y)", "min(x,y^2,3)", "hypot(x,y)", "hypot(x*y,x-1)", "hypot(x,2)", "-x", "2-x", "x-y*x",
    "sin(x)cos(y)exp(-x^2/3)", "log(1+x^2*y^2)", "tanh(3x)/(1+y^2)", "sqrt(x^2+y^4)",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_derivatives_against_finite_differences(text):
    found = parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function, derivative in ((found.f, found.grad), (found.grad, found.hessian)):
            exact, expected = derivative(W), slope(function, W)
            assert np.isfinite(exact).all()
            scale = 1 + np.abs(exact) + np.abs(function(W)).max()
            assert (np.abs(exact - expected) / scale).max() < 1e-8
    hessian = found.hessian(W)
    np.testing.assert_array_equal(hessian, np.swapaxes(hessian, -1, -2))


def test_every_function_is_in_the_list_of_formulas():
    used = " ".join(FORMULAS)
    assert all(f"{name}(" in used for name in FUNCTIONS)
    assert set(CONSTANTS) == {"pi", "e"}


REGISTRY = {
    "Elongated valley": "0.1x^2 + 2y^2",
    "Rosenbrock": "(1-x)^2 + 100(y-x^2)^2",
    "Beale": "(1.5-x+xy)^2 + (2.25-x+xy^2)^2 + (2.625-x+xy^3)^2",
    "Himmelblau": "(x^2+y-11)^2 + (x+y^2-7)^2",
    "Booth": "(x+2y-7)^2 + (2x+y-5)^2",
    "Matyas": "0.26(x^2+y^2) - 0.48xy",
    "Three-hump camel": "2x^2 - 1.05x^4 + x^6/6 + xy + y^2",
    "Six-hump camel": "(4-2.1x^2+x^4/3)*x^2 + xy + (-4+4y^2)*y^2",
    "Styblinski–Tang": "0.5(x^4-16x^2+5x) + 0.5(y^4-16y^2+5y)",
    "Goldstein–Price": "(1+(x+y+1)²(19-14x+3x²-14y+6xy+3y²))(30+(2x-3y)²(18-32x+12x²+48y-36xy+27y²))",
    "McCormick": "sin(x+y) + (x-y)^2 - 1.5x + 2.5y + 1",
    "Rastrigin": "20 + x^2 - 10cos(2pi*x) + y^2 - 10cos(2pi*y)",
    "Ackley": "20+e-20exp(-0.2sqrt((x^2+y^2)/2)) - exp((cos(2pi*x)+cos(2pi*y))/2)",
    "Griewank": "1 + (x^2+y^2)/4000 - cos(x)cos(y/sqrt(2))",
    "Drop-wave": "-(1+cos(12sqrt(x^2+y^2)))/(2+(x^2+y^2)/2)",
    "Easom": "-cos(x)cos(y)exp(-(x-pi)^2-(y-pi)^2)",
    "Saddle": "x^2-y^2",
    "Monkey saddle": "x^3-3x*y^2",
    "Plateau and cliff": "8(1-e^(-x/4))^2 + y^2/2*e^(-x/4)",
    "Two-weight net": "(1-xy)^2",
    "Two wells": "(x+2)^2*(3x^2-14x+20)/40 + y^2/2",
}


@pytest.mark.parametrize("name", REGISTRY)
def test_typed_surfaces_are_those_of_the_registry(name):
    surface, typed = SURFACES[name], parse(REGISTRY[name])
    x_low, x_high, y_low, y_high = surface.window
    w = np.random.default_rng(2).uniform((x_low, y_low), (x_high, y_high), (200, 2))
    for ours, theirs in ((typed.f, surface.f), (typed.grad, surface.grad), (typed.hessian, surface.hessian)):
        expected = theirs(w)
        np.testing.assert_allclose(ours(w), expected, rtol=1e-12, atol=1e-12 * (1 + np.abs(expected).max()))


# Kinks, edges and what is not defined


@pytest.mark.parametrize(
    ("text", "w", "grad"),
    [
        ("abs(x)", (0, 0), (0, 0)),
        ("abs(x) + 3y", (-2, 0), (-1, 3)),
        ("relu(x)", (0, 1), (0, 0)),
        ("sign(x)*y", (0, 1), (0, 0)),
        ("max(x, y)", (1, 1), (0.5, 0.5)),
        ("min(x, 2y)", (2, 1), (0.5, 1)),
        ("max(x, -x)", (0, 0), (0, 0)),
        ("hypot(x, y)", (0, 0), (0, 0)),
        ("sqrt(x^2 + y^2)", (0, 0), (0, 0)),
        ("sqrt(x^2)", (0, 1), (0, 0)),
        ("sqrt(x)", (0, 0), (math.inf, 0)),
        ("(x^4)^0.5", (0, 0), (0, 0)),
        ("x^2", (0, 0), (0, 0)),
        ("x^3", (-2, 0), (12, 0)),
        ("x^1", (0, 0), (1, 0)),
        ("x^0", (0, 0), (0, 0)),
        ("x^5", (0, 0), (0, 0)),
        ("(-2)^x", (2, 0), (math.nan, math.nan)),
        ("0^x", (2, 0), (0, 0)),
        ("exp(x) + y", (1e4, 0), (math.inf, 1)),
        ("exp(800cos(x))", (0, 0), (0, 0)),
        ("x/0 + y", (0, 0), (math.nan, math.nan)),
    ],
)
def test_gradients_at_kinks_and_edges(text, w, grad):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parse(text).grad(np.array(w, float))
    np.testing.assert_array_equal(found, grad)


@pytest.mark.parametrize("n", range(-4, 8))
@pytest.mark.parametrize("x", [-3.0, -1.0, 0.0, 2.0])
def test_whole_powers_are_exact(n, x):
    found, w = parse(f"x^({n})"), np.array([x, 7.0])
    if x == 0 and n < 0:
        assert abs(found.f(w)) == math.inf
        return
    assert found.f(w) == pytest.approx(x**n, rel=1e-15)
    first = 0 if n == 0 else n * (x ** (n - 1) if n != 1 else 1)
    second = 0 if n in (0, 1) else n * (n - 1) * (x ** (n - 2) if n != 2 else 1)
    np.testing.assert_allclose(found.grad(w), [first, 0], rtol=1e-15)
    np.testing.assert_allclose(found.hessian(w), [[second, 0], [0, 0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "w"),
    [
        ("log(x)", (-1, 0)), ("sqrt(x)", (-1, 0)), ("asin(x)", (2, 0)), ("acos(y)", (0, -2)), ("x^0.5", (-1, 0)),
        ("x^y", (-1, 2)), ("0/x", (0, 0)), ("x", (math.nan, 0)), ("sqrt(-1) + x", (1, 1)), ("max(x, log(y))", (5, -1)),
    ],
)  # fmt: skip
def test_where_f_is_not_defined_everything_is_nan(text, w):
    found = parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (found.f, found.grad, found.hessian):
            assert np.isnan(function(np.array(w, float))).all()


@pytest.mark.parametrize("text", ["3", "x", "x*y", "abs(x)+exp(y)", "max(x,y)/hypot(x,y)", "x^y"])
def test_shapes_types_and_leading_axes(text):
    found = parse(text)
    for function, tail in ((found.f, ()), (found.grad, (2,)), (found.hessian, (2, 2))):
        flat = function(W)
        assert flat.shape == (60, *tail)
        np.testing.assert_array_equal(function(W.reshape(3, 4, 5, 2)).reshape(flat.shape), flat)
        np.testing.assert_allclose(function(W[7]), flat[7], rtol=1e-13)
        assert function(np.empty((0, 2))).shape == (0, *tail)
        assert function(W.astype(np.float32)).dtype == np.float32
        assert function((1, 2)).dtype == np.float64
        before = W.copy()
        function(W)[...] = 0
        np.testing.assert_array_equal(W, before)
        with pytest.raises(ValueError, match=r"needs \(\.\.\., 2\)"):
            function(np.zeros(3))
        with pytest.raises(TypeError):
            function((1.0, 2.0), kappa=3.0)


def test_no_warning_however_far():
    sizes = (0.0, 5e-324, 1e-300, 1.0, 1000.0, 1e200, math.inf, math.nan)
    w = np.array(list(itertools.product([s * size for s in (1, -1) for size in sizes], repeat=2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in FORMULAS:
            found = parse(text)
            for function in (found.f, found.grad, found.hessian):
                function(w)


@pytest.mark.parametrize("text", ["sigmoid(x)", "softplus(x)", "tanh(x)"])
def test_stable_a_thousand_away(text):
    found = parse(text)
    for x in (1000.0, -1000.0):
        limit = {"sigmoid(x)": x > 0, "softplus(x)": max(x, 0), "tanh(x)": math.copysign(1, x)}[text]
        assert found.f((x, 0.0)) == limit
        np.testing.assert_array_equal(found.grad((x, 0.0)), [text == "softplus(x)" and x > 0, 0])
        np.testing.assert_array_equal(found.hessian((x, 0.0)), 0)
