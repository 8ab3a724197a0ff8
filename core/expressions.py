"""Formulas in x and y that a visitor types: a closed grammar, nothing evaluated as code.

Grammar, from the loosest binding to the tightest:

    sum      = product {("+" | "-") product}
    product  = sign {("*" | "/") sign | power}          (no operator: a product, as in 2x or 3(x + 1))
    sign     = ("+" | "-") sign | power
    power    = atom [("^" | "**") ("+" | "-") power]    (from the right, so 2^3^2 = 2^9; -x^2 = -(x^2))
    atom     = number | "x" | "y" | "pi" | "e" | name "(" sum {"," sum} ")" | "(" sum ")"

What could be read in two ways, such as 1/2x or e^2x, is refused. Derivatives are exact; they come from
dual numbers of second order: every operation maps a value with its gradient and Hessian to another. At a kink
they follow the libraries: abs′(0) = 0, relu′(0) = 0, where ``min`` and ``max`` tie each side counts half. Where
an inner derivative is 0 and the outer one infinite, as in √(x² + y²) at the origin, their product is 0.
"""

import functools
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from core.knobs import quote
from core.surface_formulas import Array, Evaluate, Parts, gradient, hessian, value

MAX_LENGTH = 200
MAX_DEPTH = 24
MAX_NODES = 150


class ExpressionError(ValueError):
    """A text that is no formula; ``position`` is the character where reading stopped, from 1."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


# Dual numbers of second order

Part = Any  # an array, a number, or None for a derivative that is 0 whatever x and y are
Times = Callable[[Part, Part], Part]

_ONE = 1.0  # the derivative of x by x: as a factor it is left out


@dataclass(frozen=True, slots=True)
class Jet:
    """A value v with ∂x, ∂y, ∂xx, ∂xy and ∂yy; those above the order asked for are None, so are structural zeros.

    A ``v`` of type ``float`` (not NumPy's) is a constant.
    """

    v: Part
    x: Part = None
    y: Part = None
    xx: Part = None
    xy: Part = None
    yy: Part = None


@dataclass(frozen=True)
class Curve:
    """A function g of one number: ``value`` (u), ``first`` (u, g) and ``second`` (u, g, g′); None is 0 throughout."""

    value: Callable[[Part], Part]
    first: Callable[[Part, Part], Part]
    second: Callable[[Part, Part, Part], Part]


def _zero_times_infinity(a: Part, b: Part) -> Part:
    """Return a · b with 0 · ∞ = 0: where an inner derivative is 0, so is the whole, as for √(x²) at 0."""
    product = np.asarray(a * b)
    return np.where(np.isnan(product) & ((np.asarray(a) == 0) | (np.asarray(b) == 0)), 0.0, product)


def _plus(a: Part, b: Part) -> Part:
    if a is None:
        return b
    return a if b is None else a + b


def _minus(a: Part, b: Part) -> Part:
    if b is None:
        return a
    return -b if a is None else a - b


def _raised(u: Part, n: float) -> Part:
    """uⁿ for n ≠ 0; a small whole power is a product, which is fast and rounds as one expects."""
    if n == 1:
        return u
    if n not in (2, 3, 4):
        return np.power(u, n)
    square = u * u
    return square if n == 2 else square * (u if n == 3 else square)


@dataclass(frozen=True, slots=True)
class Calculus:
    """Rules of differentiation up to an order, 0 to 2, with a product of one's choice for derivatives."""

    order: int
    product: Times = operator.mul

    def times(self, a: Part, b: Part) -> Part:
        """Return a · b for parts, either of which may be absent."""
        if a is None or b is None:
            return None
        if a is _ONE:
            return b
        return a if b is _ONE else self.product(a, b)

    def chain(self, u: Jet, v: Part, first: Part, second: Part) -> Jet:
        """Return g(u) from g, g′ and g″ at u: g′u_i and g″u_i u_j + g′u_ij."""
        if self.order == 0:
            return Jet(v)
        times = self.times
        x, y = times(first, u.x), times(first, u.y)
        if self.order == 1:
            return Jet(v, x, y)
        bend_x, bend_y = times(second, u.x), times(second, u.y)
        return Jet(
            v,
            x,
            y,
            _plus(times(bend_x, u.x), times(first, u.xx)),
            _plus(times(bend_x, u.y), times(first, u.xy)),
            _plus(times(bend_y, u.y), times(first, u.yy)),
        )

    def apply(self, curve: Curve, u: Jet) -> Jet:
        """Return a function of one number."""
        v = curve.value(u.v)
        if self.order == 0:
            return Jet(v)
        first = curve.first(u.v, v)
        return self.chain(u, v, first, curve.second(u.v, v, first) if self.order == 2 else None)

    def _linear(self, join: Callable[[Part, Part], Part], a: Jet, b: Jet) -> Jet:
        if self.order == 0:
            return Jet(join(a.v, b.v))
        return Jet(
            join(a.v, b.v),
            join(a.x, b.x),
            join(a.y, b.y),
            join(a.xx, b.xx),
            join(a.xy, b.xy),
            join(a.yy, b.yy),
        )

    def add(self, a: Jet, b: Jet) -> Jet:
        """Return a + b."""
        return self._linear(_plus, a, b)

    def subtract(self, a: Jet, b: Jet) -> Jet:
        """Return a − b."""
        return self._linear(_minus, a, b)

    def negate(self, a: Jet) -> Jet:
        """Return −a."""
        return self._linear(_minus, Jet(None), a)

    def multiply(self, a: Jet, b: Jet) -> Jet:
        """Return a · b."""
        v = a.v * b.v
        if self.order == 0:
            return Jet(v)
        times = self.times

        def second(aij: Part, bij: Part, ai: Part, bj: Part, aj: Part, bi: Part) -> Part:
            return _plus(_plus(times(aij, b.v), times(a.v, bij)), _plus(times(ai, bj), times(aj, bi)))

        x = _plus(times(a.x, b.v), times(a.v, b.x))
        y = _plus(times(a.y, b.v), times(a.v, b.y))
        if self.order == 1:
            return Jet(v, x, y)
        return Jet(
            v,
            x,
            y,
            second(a.xx, b.xx, a.x, b.x, a.x, b.x),
            second(a.xy, b.xy, a.x, b.y, a.y, b.x),
            second(a.yy, b.yy, a.y, b.y, a.y, b.y),
        )

    def divide(self, a: Jet, b: Jet) -> Jet:
        """Return q = a/b; from a = qb follow q_i = (a_i − qb_i)/b and q_ij = (a_ij − q_i b_j − q_j b_i − qb_ij)/b."""
        q = np.true_divide(a.v, b.v)
        if self.order == 0:
            return Jet(q)
        times = self.times

        def over(top: Part) -> Part:
            return None if top is None else np.true_divide(top, b.v)

        x, y = over(_minus(a.x, times(q, b.x))), over(_minus(a.y, times(q, b.y)))
        if self.order == 1:
            return Jet(q, x, y)

        def second(aij: Part, bij: Part, qi: Part, bj: Part, qj: Part, bi: Part) -> Part:
            return over(_minus(_minus(aij, times(q, bij)), _plus(times(qi, bj), times(qj, bi))))

        return Jet(
            q,
            x,
            y,
            second(a.xx, b.xx, x, b.x, x, b.x),
            second(a.xy, b.xy, x, b.y, y, b.x),
            second(a.yy, b.yy, y, b.y, y, b.y),
        )

    def power(self, a: Jet, b: Jet) -> Jet:
        """Return a^b: exact for a whole constant b, whatever the sign of a; else exp(b ln a), NaN for a < 0."""
        if type(b.v) is float:
            return self._fixed_power(a, b.v)
        if type(a.v) is float:
            rate = math.log(a.v) if a.v > 0 else 0.0 if a.v == 0 else math.nan
            v = np.power(a.v if a.v >= 0 else math.nan, b.v)
            return self.chain(b, v, rate * v, rate * rate * v)
        v = np.power(np.where(np.asarray(a.v) < 0, math.nan, a.v), b.v)
        if self.order == 0:
            return Jet(v)
        return self.chain(self.multiply(b, self.apply(_LOG, a)), v, v, v)

    def _fixed_power(self, a: Jet, n: float) -> Jet:
        """Return aⁿ with the derivatives na^(n−1) and n(n−1)a^(n−2); 0^0 = 1, as in every library."""
        if n == 0:
            return Jet(np.ones_like(a.v))
        if n == 1:
            return a
        v = _raised(a.v, n)
        if self.order == 0:
            return Jet(v)
        first = n * _raised(a.v, n - 1)
        if self.order == 1:
            return self.chain(a, v, first, None)
        return self.chain(a, v, first, 2.0 if n == 2 else n * (n - 1) * _raised(a.v, n - 2))

    def _pick(self, a: Jet, b: Jet, v: Part, ahead: Part, level: Part) -> Jet:
        """Return a where it is ahead, b where it is behind, and half of both where they are level."""
        if self.order == 0:
            return Jet(v)

        def mix(p: Part, q: Part) -> Part:
            if p is None and q is None:
                return None
            p, q = 0.0 if p is None else p, 0.0 if q is None else q
            return np.where(ahead, p, np.where(level, 0.5 * p + 0.5 * q, q))

        return Jet(v, mix(a.x, b.x), mix(a.y, b.y), mix(a.xx, b.xx), mix(a.xy, b.xy), mix(a.yy, b.yy))

    def maximum(self, a: Jet, b: Jet) -> Jet:
        """Return the larger one."""
        return self._pick(a, b, np.maximum(a.v, b.v), a.v > b.v, a.v == b.v)

    def minimum(self, a: Jet, b: Jet) -> Jet:
        """Return the smaller one."""
        return self._pick(a, b, np.minimum(a.v, b.v), a.v < b.v, a.v == b.v)

    def hypot(self, a: Jet, b: Jet) -> Jet:
        """Return r = √(a² + b²); with (p, q) = (a, b)/r, r_i = pa_i + qb_i and r_ij = t_i t_j/r + pa_ij + qb_ij.

        t_i = pb_i − qa_i is the motion across the direction (p, q). Where r = 0, p = q = 0.
        """
        r = np.hypot(a.v, b.v)
        if self.order == 0:
            return Jet(r)
        divisor = np.where(np.asarray(r) == 0, 1.0, r)
        times, p, q = self.times, a.v / divisor, b.v / divisor
        x = _plus(times(p, a.x), times(q, b.x))
        y = _plus(times(p, a.y), times(q, b.y))
        if self.order == 1:
            return Jet(r, x, y)
        across_x = _minus(times(p, b.x), times(q, a.x))
        across_y = _minus(times(p, b.y), times(q, a.y))

        def second(aij: Part, bij: Part, ti: Part, tj: Part) -> Part:
            turn = times(ti, tj)
            turn = None if turn is None else turn / divisor
            return _plus(turn, _plus(times(p, aij), times(q, bij)))

        return Jet(
            r,
            x,
            y,
            second(a.xx, b.xx, across_x, across_x),
            second(a.xy, b.xy, across_x, across_y),
            second(a.yy, b.yy, across_y, across_y),
        )


# Words: every function is one entry


@dataclass(frozen=True)
class Function:
    """A function of the grammar.

    ``latex`` holds the arguments in place of ``@``; ``power`` says that it is set as a power, like eˣ. A
    function of one number has its ``curve``; one of two or more has the rule ``pair`` that joins two.
    """

    latex: str
    curve: Curve | None = None
    pair: Callable[[Calculus, Jet, Jet], Jet] | None = None
    power: bool = False

    def apply(self, calculus: Calculus, *jets: Jet) -> Jet:
        """Return its jet; one argument for a curve, two or more for a pair."""
        if self.curve is not None:
            return calculus.apply(self.curve, jets[0])
        assert self.pair is not None
        return functools.reduce(functools.partial(self.pair, calculus), jets)


def _never(*_: Part) -> None:
    """Return the derivative of what is constant piece by piece."""


def _sigmoid(u: Part) -> Part:
    return 1 / (1 + np.exp(-u))


def _bell(u: Part) -> Part:
    """σ(u)σ(−u), exact to the last digits at both ends."""
    return _sigmoid(u) * _sigmoid(-u)


def _around(word: str) -> str:
    return word + r"\left(@\right)"


_LOG = Curve(np.log, lambda u, v: 1 / u, lambda u, v, d: -d * d)

FUNCTIONS: dict[str, Function] = {
    "abs": Function(r"\left|@\right|", Curve(np.abs, lambda u, v: np.sign(u), _never)),
    "acos": Function(
        _around(r"\arccos"),
        Curve(np.arccos, lambda u, v: -1 / np.sqrt((1 - u) * (1 + u)), lambda u, v, d: u * d * d * d),
    ),
    "asin": Function(
        _around(r"\arcsin"),
        Curve(np.arcsin, lambda u, v: 1 / np.sqrt((1 - u) * (1 + u)), lambda u, v, d: u * d * d * d),
    ),
    "atan": Function(
        _around(r"\arctan"), Curve(np.arctan, lambda u, v: 1 / (1 + u * u), lambda u, v, d: -2 * u * d * d)
    ),
    "cos": Function(_around(r"\cos"), Curve(np.cos, lambda u, v: -np.sin(u), lambda u, v, d: -v)),
    "cosh": Function(_around(r"\cosh"), Curve(np.cosh, lambda u, v: np.sinh(u), lambda u, v, d: v)),
    "exp": Function("e^{@}", Curve(np.exp, lambda u, v: v, lambda u, v, d: v), power=True),
    "hypot": Function(_around(r"\operatorname{hypot}"), pair=Calculus.hypot),
    "ln": Function(_around(r"\ln"), _LOG),
    "log": Function(_around(r"\ln"), _LOG),
    "max": Function(_around(r"\max"), pair=Calculus.maximum),
    "min": Function(_around(r"\min"), pair=Calculus.minimum),
    "relu": Function(
        _around(r"\operatorname{relu}"),
        Curve(lambda u: np.maximum(u, 0.0), lambda u, v: np.heaviside(u, 0.0), _never),
    ),
    "sigmoid": Function(
        _around(r"\sigma"), Curve(_sigmoid, lambda u, v: _bell(u), lambda u, v, d: -d * np.tanh(u / 2))
    ),
    "sign": Function(_around(r"\operatorname{sign}"), Curve(np.sign, _never, _never)),
    "sin": Function(_around(r"\sin"), Curve(np.sin, lambda u, v: np.cos(u), lambda u, v, d: -v)),
    "sinh": Function(_around(r"\sinh"), Curve(np.sinh, lambda u, v: np.cosh(u), lambda u, v, d: v)),
    "softplus": Function(
        _around(r"\operatorname{softplus}"),
        Curve(lambda u: np.logaddexp(0.0, u), lambda u, v: _sigmoid(u), lambda u, v, d: _bell(u)),
    ),
    "sqrt": Function(r"\sqrt{@}", Curve(np.sqrt, lambda u, v: 0.5 / v, lambda u, v, d: -0.5 * d / u)),
    "tan": Function(_around(r"\tan"), Curve(np.tan, lambda u, v: 1 + v * v, lambda u, v, d: 2 * v * d)),
    "tanh": Function(
        _around(r"\tanh"), Curve(np.tanh, lambda u, v: np.cosh(u) ** -2.0, lambda u, v, d: -2 * v * d)
    ),
}
CONSTANTS = {"pi": (math.pi, r"\pi"), "e": (math.e, "e")}
VARIABLES = "xy"


# Nodes. Each is made with its text, its LaTeX and its evaluation at once; ranks say where parentheses are due.

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)


@dataclass(frozen=True, eq=False)
class _Node:
    """A part of a formula; ``rank`` and ``latex_rank`` are how tightly its outermost operation binds."""

    text: str
    latex: str
    rank: int
    latex_rank: int
    run: Callable[[Calculus, Array, Array], Jet]
    constant: bool

    def text_within(self, rank: int) -> str:
        return self.text if self.rank >= rank else f"({self.text})"

    def latex_within(self, rank: int) -> str:
        return self.latex if self.latex_rank >= rank else rf"\left({self.latex}\right)"


def _fixed(value: float) -> Callable[[Calculus, Array, Array], Jet]:
    jet = Jet(value)
    return lambda calculus, x, y: jet


def _node(
    text: str, latex: str, rank: int, apply: Callable[..., Jet], *parts: _Node, power: bool = False
) -> _Node:
    """Join parts by an operation; an operation on constants is done once, here."""
    runs = [part.run for part in parts]
    constant = all(part.constant for part in parts)

    def run(calculus: Calculus, x: Array, y: Array) -> Jet:
        return apply(calculus, *[one(calculus, x, y) for one in runs])

    latex_rank = _POWER if power else rank
    if not constant:
        return _Node(text, latex, rank, latex_rank, run, False)
    with np.errstate(all="ignore"):
        nothing = np.empty(0)
        number = float(run(Calculus(0), nothing, nothing).v)
    return _Node(text, latex, rank, latex_rank, _fixed(number), True)


def _number(text: str) -> _Node:
    number = float(text)
    short = repr(number).removesuffix(".0").replace("e+", "e")
    mantissa, _, exponent = short.partition("e")
    if not exponent:
        return _Node(short, short, _ATOM, _ATOM, _fixed(number), True)
    power = f"10^{{{int(exponent)}}}"
    latex = power if mantissa == "1" else rf"{mantissa} \cdot {power}"
    return _Node(short, latex, _ATOM, _PRODUCT, _fixed(number), True)


def _variable(name: str) -> _Node:
    def run(calculus: Calculus, x: Array, y: Array) -> Jet:
        seed = _ONE if calculus.order else None
        return Jet(x, seed) if name == "x" else Jet(y, None, seed)

    return _Node(name, name, _ATOM, _ATOM, run, False)


def _negation(a: _Node) -> _Node:
    return _node("-" + a.text_within(_POWER), "-" + a.latex_within(_POWER), _SIGN, Calculus.negate, a)


def _sum(sign: str, a: _Node, b: _Node) -> _Node:
    apply = {"+": Calculus.add, "-": Calculus.subtract}[sign]
    text, latex = b.text, b.latex
    if b.rank == _SUM or text.startswith("-"):
        text, latex = f"({text})", rf"\left({latex}\right)"
    return _node(f"{a.text} {sign} {text}", f"{a.latex} {sign} {latex}", _SUM, apply, a, b)


def _product(sign: str, a: _Node, b: _Node) -> _Node:
    text = f"{a.text_within(_PRODUCT)}{sign}{b.text_within(_POWER)}"
    if sign == "/":
        return _node(text, rf"\frac{{{a.latex}}}{{{b.latex}}}", _PRODUCT, Calculus.divide, a, b)
    left, right = a.latex_within(_PRODUCT), b.latex_within(_POWER)
    between = r" \cdot " if right[0].isdigit() or right.startswith(r"\frac") else " "
    return _node(text, f"{left}{between}{right}", _PRODUCT, Calculus.multiply, a, b)


def _power(a: _Node, b: _Node) -> _Node:
    text = f"{a.text_within(_ATOM)}^{b.text_within(_POWER)}"
    return _node(text, f"{a.latex_within(_ATOM)}^{{{b.latex}}}", _POWER, Calculus.power, a, b)


def _call(name: str, arguments: list[_Node]) -> _Node:
    entry = FUNCTIONS[name]
    text = f"{name}({', '.join(a.text for a in arguments)})"
    latex = entry.latex.replace("@", ", ".join(a.latex for a in arguments))
    return _node(text, latex, _ATOM, entry.apply, *arguments, power=entry.power)


# Reading


@dataclass(frozen=True)
class _Token:
    """A word of the text: its kind (number, name, ^2 as a superscript, one of the operators, or end)."""

    kind: str
    text: str
    position: int
    spaced: bool


_SPELLINGS = {"−": "-", "–": "-", "·": "*", "⋅": "*", "×": "*", "÷": "/", "**": "^"}
_SUPERSCRIPTS = {"²": "2", "³": "3"}
_WORD = re.compile(
    r"(?P<space>[ \t\r\n\u00a0\u2009]+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z]+|π)"
    r"|(?P<superscript>[²³])"
    r"|(?P<operator>\*\*|[-+*/^(),−–·⋅×÷])"
)
_BEGINS = {"name", "("}  # what may follow a factor without an operator
_EXAMPLE = "x^2 + 3*y^2"


def _shown(character: str) -> str:
    """Write a character; one that cannot be seen, by its code."""
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def _tokens(text: str) -> Iterator[_Token]:
    at, spaced = 0, False
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            why = "not part of a formula; allowed are numbers, x, y, + - * / ^ ( ) and functions"
            _refuse(_shown(text[at]), at + 1, why)
        word, kind = match.group(), str(match.lastgroup)
        if kind == "operator":
            kind = word = _SPELLINGS.get(word, word)
        if kind == "name":
            word = "pi" if word == "π" else word.lower()
            if len(word) > 1 and set(word) <= set(VARIABLES):
                for i, letter in enumerate(word):
                    yield _Token("name", letter, at + 1 + i, spaced and i == 0)
                kind = "space"
        if kind != "space":
            yield _Token(kind, word, at + 1, spaced)
        spaced = match.lastgroup == "space"
        at = match.end()
    yield _Token("end", "the end", len(text) + 1, spaced)


def _refuse(found: str, position: int, why: str) -> NoReturn:
    raise ExpressionError(f"{quote(found)} at character {position}: {why}", position)


class _Parser:
    """Recursive descent over the tokens, one method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"{len(text)} characters: at most {MAX_LENGTH} are read", MAX_LENGTH + 1)
        self.tokens = list(_tokens(text))
        self.at = self.depth = self.nodes = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, why: str) -> NoReturn:
        _refuse(self.next.text, self.next.position, why)

    def take(self, *kinds: str) -> _Token | None:
        """Return the next token and go past it, if it is one of these."""
        token = self.next
        if token.kind not in kinds:
            return None
        self.at += 1
        return token

    def made(self, node: _Node) -> _Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fail(f"the formula is too long; at most {MAX_NODES} numbers, names and operators are read")
        return node

    def deeper(self, rule: Callable[[], _Node]) -> _Node:
        """Follow a rule one level down."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        node = rule()
        self.depth -= 1
        return node

    def read(self) -> _Node:
        if self.next.kind == "end":
            raise ExpressionError(f"nothing to read: write a formula in x and y, such as {_EXAMPLE}", 1)
        node = self.sum()
        if self.next.kind == ")":
            self.fail("there is no ( that it closes")
        if self.next.kind == ",":
            self.fail("a comma only separates the arguments of a function; decimals have a point, as in 1.5")
        if self.next.kind != "end":
            self.fail("expected an operator, + - * / or ^, before it")
        return node

    def sum(self) -> _Node:
        node = self.product()
        while sign := self.take("+", "-"):
            node = self.made(_sum(sign.kind, node, self.product()))
        return node

    def product(self) -> _Node:
        node, divided = self.sign(), False
        while True:
            if sign := self.take("*", "/"):
                node, divided = self.made(_product(sign.kind, node, self.sign())), sign.kind == "/"
            elif self.next.kind in _BEGINS:
                if divided:
                    self.fail("after a division it is not clear what this multiplies; write * or parentheses")
                node = self.made(_product("*", node, self.power()))
            else:
                return node

    def sign(self) -> _Node:
        sign = self.take("+", "-")
        if sign is None:
            return self.power()
        node = self.deeper(self.sign)
        return node if sign.kind == "+" else self.made(_negation(node))

    def power(self) -> _Node:
        node = self.atom()
        if found := self.take("superscript"):
            node = self.made(_power(node, _number(_SUPERSCRIPTS[found.text])))
            if self.next.kind in ("superscript", "^"):
                self.fail("a power of a power needs parentheses")
        if self.take("^"):
            node = self.made(_power(node, self.deeper(self.exponent)))
            closed = self.tokens[self.at - 1].kind == ")"
            if self.next.kind in _BEGINS and not self.next.spaced and not closed:
                self.fail("it is not clear whether this belongs to the exponent; write * or parentheses")
        return node

    def exponent(self) -> _Node:
        sign = self.take("+", "-")
        node = self.power()
        return self.made(_negation(node)) if sign and sign.kind == "-" else node

    def atom(self) -> _Node:
        if token := self.take("number"):
            if not math.isfinite(float(token.text)):
                _refuse(token.text, token.position, "too large a number; the largest is about 1.8e308")
            return self.made(_number(token.text))
        if self.take("("):
            return self.deeper(self.parenthesis)
        if self.next.kind == "name":
            return self.made(self.name())
        self.fail("expected a number, x, y, a function or (")

    def parenthesis(self) -> _Node:
        node = self.sum()
        self.close()
        return node

    def close(self) -> None:
        if self.take(")") is None:
            if self.next.kind == ",":
                self.fail(
                    "a comma only separates the arguments of a function; decimals have a point, as in 1.5"
                )
            self.fail("expected )" if self.next.kind == "end" else "expected an operator or ) before it")

    def name(self) -> _Node:
        token = self.next
        self.at += 1
        word = token.text
        if word in VARIABLES:
            return _variable(word)
        if word in CONSTANTS:
            number, latex = CONSTANTS[word]
            return _Node(word, latex, _ATOM, _ATOM, _fixed(number), True)
        entry = FUNCTIONS.get(word)
        if entry is None:
            kind = "function" if self.next.kind == "(" else "name"
            known = ", ".join((*VARIABLES, *CONSTANTS, *FUNCTIONS))
            _refuse(word, token.position, f"not a {kind}; known are {known}")
        if self.take("(") is None:
            _refuse(word, token.position, f"needs its argument in parentheses, as in {word}(x)")
        arguments = [self.deeper(self.sum)]
        while self.take(","):
            arguments.append(self.deeper(self.sum))
        if (len(arguments) == 1) == (entry.curve is None):
            needs = "two or more arguments" if entry.curve is None else "one argument"
            _refuse(word, token.position, f"needs {needs}, found {len(arguments)}")
        self.close()
        return _call(word, arguments)


# Expressions


@dataclass(frozen=True)
class Expression:
    """A formula in x and y.

    ``text`` is its normal form, which ``parse`` reads back to the same formula; ``latex`` is for display.
    ``f``, ``grad`` and ``hessian`` map points (..., 2) to (...), (..., 2) and (..., 2, 2). They keep the float
    type; where f is not defined all three are NaN, overflow is inf or NaN, without a warning.
    ``constant`` says that neither x nor y occurs.
    """

    text: str
    latex: str
    constant: bool
    f: Evaluate = field(repr=False, compare=False)
    grad: Evaluate = field(repr=False, compare=False)
    hessian: Evaluate = field(repr=False, compare=False)


def parse(text: str) -> Expression:
    """Read a formula.

    Args:
        text: at most 200 characters of the grammar above. Also read: − · × ÷ π ² ³, capital letters, xy for
            x·y, and ``ln`` for ``log``.

    Raises:
        ExpressionError: the text is none; the message names what was found, where, and what is allowed.
    """
    root = _Parser(text).read()

    def evaluate(order: int) -> Callable[[Array, Array], Parts]:
        return lambda x, y: _derivatives(root, order, x, y)

    return Expression(
        root.text,
        root.latex,
        root.constant,
        value(lambda x, y: evaluate(0)(x, y)[0]),
        gradient(evaluate(1)),
        hessian(evaluate(2)),
    )


def _derivatives(root: "_Node", order: int, x: Array, y: Array) -> Parts:
    """Return all parts of one order: (f,), (f_x, f_y) or (f_xx, f_xy, f_yy)."""
    found = root.run(Calculus(order), x, y)
    if order == 0:
        return (found.v,)
    parts = _highest(found, order)
    undefined = np.isnan(found.v)
    lost = [np.isnan(part) & ~undefined for part in parts]
    if any(np.any(part) for part in lost):
        careful = _highest(root.run(Calculus(order, _zero_times_infinity), x, y), order)
        parts = tuple(np.where(bad, new, old) for bad, new, old in zip(lost, careful, parts, strict=True))
    if np.any(undefined):
        parts = tuple(np.where(undefined, math.nan, part) for part in parts)
    return parts


def _highest(found: Jet, order: int) -> tuple[Part, ...]:
    parts = (found.x, found.y) if order == 1 else (found.xx, found.xy, found.yy)
    return tuple(0.0 if part is None else part for part in parts)
