"""Formulas of ``core.expressions`` as Python: the function, its slopes and its second derivatives, written out.

The normal form of a parsed formula is, with ``**`` for ``^``, the text of a Python expression. It is read as a syntax
tree, never evaluated, differentiated by the rules of calculus and written for NumPy or PyTorch.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np

from core.expressions import CONSTANTS, FUNCTIONS, Calculus, Jet, parse

Node = ast.expr

_ZERO, _ONE = ast.Constant(0), ast.Constant(1)


class Word(NamedTuple):
    """A function of the grammar: how NumPy and PyTorch write it, and the slope of one of a single argument u.

    A function of two arguments a and b has its slope in terms of their slopes ``da`` and ``db``; with more, it is taken
    two by two. ``log(x)``: where the argument may have no value, the slope has none either.
    """

    numpy: str
    torch: str
    slope: str
    limited: bool = False


WORDS: Mapping[str, Word] = {
    "abs": Word("np.abs({})", "torch.abs({})", "sign(u)"),
    "acos": Word("np.arccos({})", "torch.acos({})", "-1 / sqrt(1 - u**2)", True),
    "asin": Word("np.arcsin({})", "torch.asin({})", "1 / sqrt(1 - u**2)", True),
    "atan": Word("np.arctan({})", "torch.atan({})", "1 / (1 + u**2)"),
    "cos": Word("np.cos({})", "torch.cos({})", "-sin(u)"),
    "cosh": Word("np.cosh({})", "torch.cosh({})", "sinh(u)"),
    "exp": Word("np.exp({})", "torch.exp({})", "exp(u)"),
    "hypot": Word("np.hypot({}, {})", "torch.hypot({}, {})", "(a * da + b * db) / hypot(a, b)"),
    "ln": Word("np.log({})", "torch.log({})", "1 / u", True),
    "log": Word("np.log({})", "torch.log({})", "1 / u", True),
    "max": Word("np.maximum({}, {})", "torch.maximum({}, {})", "half(a - b) * da + half(b - a) * db"),
    "min": Word("np.minimum({}, {})", "torch.minimum({}, {})", "half(b - a) * da + half(a - b) * db"),
    "relu": Word("np.maximum({}, 0.0)", "torch.relu({})", "step(u)"),
    "sigmoid": Word("sigmoid({})", "torch.sigmoid({})", "sigmoid(u) * sigmoid(-u)"),
    "sign": Word("np.sign({})", "torch.sign({})", "0"),
    "sin": Word("np.sin({})", "torch.sin({})", "cos(u)"),
    "sinh": Word("np.sinh({})", "torch.sinh({})", "cosh(u)"),
    "softplus": Word("np.logaddexp(0.0, {})", "torch.logaddexp(x.new_tensor(0.0), {})", "sigmoid(u)"),
    "sqrt": Word("np.sqrt({})", "torch.sqrt({})", "1 / (2 * sqrt(u))", True),
    "tan": Word("np.tan({})", "torch.tan({})", "1 / cos(u)**2"),
    "tanh": Word("np.tanh({})", "torch.tanh({})", "1 / cosh(u)**2"),
}
"""How every function of the grammar is written, by its name."""

SIGMOID = '''def sigmoid(u):
    """The logistic function."""
    return 1 / (1 + np.exp(-u))'''

# What slopes are made of beside the grammar: 1 above 0, and at 0 either 0 or a half.
_STEPS = {"step": "np.heaviside({}, 0.0)", "half": "np.heaviside({}, 0.5)"}


# Sums and products that leave out what is 0 or 1


def _number(node: Node) -> float | None:
    """Return the value of a literal, None for anything else."""
    if isinstance(node, ast.UnaryOp):
        size = _number(node.operand)
        return None if size is None else -size
    return node.value if isinstance(node, ast.Constant) else None  # type: ignore[return-value]


def _literal(value: float) -> Node:
    """Write a number; a negative one is the negation of a literal, as Python reads it."""
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _negated(a: Node) -> Node:
    return a.operand if isinstance(a, ast.UnaryOp) else _times(_literal(-1), a)


def _factors(a: Node) -> tuple[float, list[Node]]:
    """Split a product into its number and its other factors."""
    if (k := _number(a)) is not None:
        return k, []
    if isinstance(a, ast.UnaryOp):
        k, factors = _factors(a.operand)
        return -k, factors
    if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Mult):
        (k, left), (j, right) = _factors(a.left), _factors(a.right)
        if math.isfinite(k * j):
            return k * j, left + right
    return 1, [a]


def _raised(a: Node) -> tuple[Node, float]:
    """Split a power with a positive whole exponent into base and exponent; anything else is its own first power."""
    if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Pow):
        n = _number(a.right)
        if n is not None and n > 0 and n == int(n):
            return a.left, n
    return a, 1


def _times(a: Node, b: Node) -> Node:
    """Join all factors of two products: numbers in front, then other constants, powers of one base in one."""
    (k, left), (j, right) = _factors(a), _factors(b)
    size = k * j
    if size == 0:
        return _ZERO
    if not math.isfinite(size):
        return ast.BinOp(a, ast.Mult(), b)
    powers: dict[str, tuple[Node, float]] = {}
    for factor in left + right:
        base, n = _raised(factor)
        powers[ast.dump(base)] = base, n + powers.get(ast.dump(base), (base, 0))[1]
    factors = [_power(base, ast.Constant(n)) for base, n in powers.values()]
    factors.sort(key=lambda node: not _constant(node))
    if abs(size) != 1 or not factors:
        factors.insert(0, ast.Constant(abs(size)))
    product = reduce(lambda p, q: ast.BinOp(p, ast.Mult(), q), factors)
    return product if size > 0 else ast.UnaryOp(ast.USub(), product)


def _sum(a: Node, b: Node, sign: type[ast.operator], other: type[ast.operator]) -> Node:
    """Add or subtract, without parentheses round the second sum."""
    if isinstance(b, ast.BinOp) and isinstance(b.op, ast.Add | ast.Sub):
        last = sign if isinstance(b.op, ast.Add) else other
        return ast.BinOp(_sum(a, b.left, sign, other), last(), b.right)
    if isinstance(b, ast.UnaryOp):
        return ast.BinOp(a, other(), b.operand)
    return ast.BinOp(a, sign(), b)


def _plus(a: Node, b: Node) -> Node:
    if _number(a) == 0:
        return b
    if _number(b) == 0:
        return a
    if isinstance(a, ast.UnaryOp) and not isinstance(b, ast.UnaryOp):
        return _sum(b, a.operand, ast.Sub, ast.Add)
    return _sum(a, b, ast.Add, ast.Sub)


def _minus(a: Node, b: Node) -> Node:
    if _number(b) == 0:
        return a
    return _negated(b) if _number(a) == 0 else _sum(a, b, ast.Sub, ast.Add)


def _over(a: Node, b: Node) -> Node:
    if isinstance(a, ast.UnaryOp):
        return ast.UnaryOp(ast.USub(), _over(a.operand, b))
    return _ZERO if _number(a) == 0 else ast.BinOp(a, ast.Div(), b)


def _power(a: Node, n: Node) -> Node:
    exponent = _number(n)
    if exponent in (0, 1):
        return a if exponent else _ONE
    base, inner = _raised(a)
    if inner != 1 and exponent is not None and exponent == int(exponent):
        return _power(base, _literal(inner * exponent))
    return ast.BinOp(a, ast.Pow(), n)


def _call(name: str, *arguments: Node) -> Node:
    return ast.Call(ast.Name(name), list(arguments), [])


# Differentiation


def _constant(node: Node) -> bool:
    return not any(isinstance(n, ast.Name) and n.id in ("x", "y") for n in ast.walk(node))


def _slope(node: Node, by: str) -> Node:
    """Return the derivative of a tree by x or y."""
    if _constant(node):
        return _ZERO
    if isinstance(node, ast.Name):
        return _ONE if node.id == by else _ZERO
    if isinstance(node, ast.UnaryOp):
        return _negated(_slope(node.operand, by))
    if isinstance(node, ast.Call):
        return _called(node, by)
    assert isinstance(node, ast.BinOp)
    return _JOINED[type(node.op)](node.left, node.right, _slope(node.left, by), _slope(node.right, by))


def _called(node: ast.Call, by: str) -> Node:
    assert isinstance(node.func, ast.Name)
    name, arguments = node.func.id, node.args
    if name in _STEPS:
        return _ZERO
    if len(arguments) > 2:
        arguments = [_call(name, *arguments[:-1]), arguments[-1]]
    slope = ast.parse(WORDS[name].slope, mode="eval").body
    if len(arguments) == 1:
        inner = _slope(arguments[0], by)
        return _times(_put(slope, {"u": arguments[0]}), inner)
    a, b = arguments
    return _put(slope, {"a": a, "b": b, "da": _slope(a, by), "db": _slope(b, by)})


def _put(node: Node, parts: Mapping[str, Node]) -> Node:
    """Replace names by trees, and simplify on the way."""
    if isinstance(node, ast.Name):
        return parts.get(node.id, node)
    if isinstance(node, ast.UnaryOp):
        return _negated(_put(node.operand, parts))
    if isinstance(node, ast.Call):
        return ast.Call(node.func, [_put(a, parts) for a in node.args], [])
    if isinstance(node, ast.BinOp):
        return _SIMPLE[type(node.op)](_put(node.left, parts), _put(node.right, parts))
    return node


_SIMPLE: Mapping[type[ast.operator], Callable[[Node, Node], Node]] = {
    ast.Add: _plus, ast.Sub: _minus, ast.Mult: _times, ast.Div: _over, ast.Pow: _power,
}  # fmt: skip


def _quotient_slope(a: Node, b: Node, da: Node, db: Node) -> Node:
    if _number(db) == 0:
        return _over(da, b)
    if _number(da) == 0:
        return _over(_negated(_times(a, db)), _power(b, ast.Constant(2)))
    return _over(_minus(_times(da, b), _times(a, db)), _power(b, ast.Constant(2)))


def _power_slope(a: Node, b: Node, da: Node, db: Node) -> Node:
    if not _constant(b):
        rate = _plus(_times(db, _call("log", a)), _over(_times(b, da), a))
        return _times(ast.BinOp(a, ast.Pow(), b), rate)
    n = _number(b)
    less = _minus(b, _ONE) if n is None else _literal(n - 1)
    return _times(_times(b, _power(a, less)), da)


_JOINED: Mapping[type[ast.operator], Callable[[Node, Node, Node, Node], Node]] = {
    ast.Add: lambda a, b, da, db: _plus(da, db),
    ast.Sub: lambda a, b, da, db: _minus(da, db),
    ast.Mult: lambda a, b, da, db: _plus(_times(da, b), _times(a, db)),
    ast.Div: _quotient_slope,
    ast.Pow: _power_slope,
}


# Writing


class _Writer(NamedTuple):
    """A way to write a tree: the texts of functions, of constants, and of a constant argument of a function."""

    words: Mapping[str, str]
    name: str  # of the library
    argument: str = "{}"

    def tree(self, node: Node) -> Node:
        """Return the tree with the library's names; what is constant and not finite, such as 1/0, is its value."""
        if isinstance(node, ast.Constant):
            return node
        if _constant(node) and not (isinstance(node, ast.Name) and node.id in CONSTANTS):
            value = _value(node)
            if not math.isfinite(value):
                return _parsed(f"{self.name}.nan" if math.isnan(value) else f"{self.name}.inf", value < 0)
        if isinstance(node, ast.Name):
            return _parsed(f"{self.name}.{node.id}") if node.id in CONSTANTS else node
        if isinstance(node, ast.UnaryOp):
            return _signed(self.tree(node.operand))
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Pow) and not _constant(node.right) and not _positive(node.left):
                # Where the base is below 0 a power with a moving exponent has no value, whole ones included.
                return self.tree(_call("exp", _times(node.right, _call("log", node.left))))
            return ast.BinOp(self.tree(node.left), node.op, self.tree(node.right))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        text, parts = self.words[node.func.id], [self._argument(a) for a in node.args]
        if len(parts) == 1:
            return _parsed(text.format(ast.unparse(parts[0])))
        return reduce(lambda a, b: _parsed(text.format(ast.unparse(a), ast.unparse(b))), parts)

    def _argument(self, node: Node) -> Node:
        written = self.tree(node)
        if self.argument == "{}" or not _constant(node):
            return written
        return _parsed(self.argument.format(repr(_value(node))))

    def text(self, node: Node) -> str:
        """Write a tree."""
        return tidy(ast.unparse(ast.fix_missing_locations(self.tree(node))))


def _signed(a: Node) -> Node:
    """Negate by a sign before the first factor, -2 * x, not -(2 * x)."""
    if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Mult | ast.Div):
        return ast.BinOp(_signed(a.left), a.op, a.right)
    return ast.UnaryOp(ast.USub(), a)


def _parsed(text: str, negative: bool = False) -> Node:
    node = ast.parse(text, mode="eval").body
    return ast.UnaryOp(ast.USub(), node) if negative else node


_DONE: Mapping[type[ast.operator], Callable[[Calculus, Jet, Jet], Jet]] = {
    ast.Add: Calculus.add, ast.Sub: Calculus.subtract, ast.Mult: Calculus.multiply, ast.Div: Calculus.divide,
    ast.Pow: Calculus.power,
}  # fmt: skip


def _jet(node: Node) -> Jet:
    if isinstance(node, ast.Constant):
        return Jet(float(node.value))  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return Jet(CONSTANTS[node.id][0])
    if isinstance(node, ast.UnaryOp):
        return _ARITHMETIC.negate(_jet(node.operand))
    if isinstance(node, ast.BinOp):
        return _DONE[type(node.op)](_ARITHMETIC, _jet(node.left), _jet(node.right))
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    return FUNCTIONS[node.func.id].apply(_ARITHMETIC, *map(_jet, node.args))


_ARITHMETIC = Calculus(0)


def _value(node: Node) -> float:
    """Return the value of a constant tree as the formula's own arithmetic has it: 1/0 is inf."""
    with np.errstate(all="ignore"):
        return float(_jet(node).v)


def _positive(node: Node) -> bool:
    return _constant(node) and _value(node) > 0


def tidy(text: str) -> str:
    """Write short powers closely, x**2, and exponents without a leading 0, 1e-8."""
    text = re.sub(r"\b([\w.]+) \*\* (?:([\w.]+)\b(?![.(])|\((-[\w.]+)\))", r"\1**\2\3", text)
    return re.sub(r"(\de[-+]?)0(\d)", r"\1\2", text)


_NUMPY = _Writer({**{name: word.numpy for name, word in WORDS.items()}, **_STEPS}, "np")
_TORCH = _Writer({name: word.torch for name, word in WORDS.items()}, "torch", "x.new_tensor({})")


class Written(NamedTuple):
    """A formula as Python expressions in x and y: f, its slopes and second derivatives (xx, xy, yy), and f on tensors.

    ``limited``: there may be points at which f has no value.
    """

    f: str
    slopes: tuple[str, str]
    bends: tuple[str, str, str]
    torch: str
    limited: bool


def written(formula: str) -> Written:
    """Write a formula of ``core.expressions`` in Python.

    Raises:
        ExpressionError: the text is no formula.
    """
    read = parse(formula)
    tree = ast.parse(read.text.replace("^", "**"), mode="eval").body
    by_x, by_y = _slope(tree, "x"), _slope(tree, "y")
    bends = _slope(by_x, "x"), _slope(by_x, "y"), _slope(by_y, "y")
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    torch = _TORCH.text(tree)
    return Written(
        _NUMPY.text(tree),
        (_NUMPY.text(by_x), _NUMPY.text(by_y)),
        (_NUMPY.text(bends[0]), _NUMPY.text(bends[1]), _NUMPY.text(bends[2])),
        f"{torch} + 0 * (x + y)" if read.constant else torch,
        any(name in names and word.limited for name, word in WORDS.items()) or _bent(tree),
    )


def _bent(tree: Node) -> bool:
    """Return whether some power has an exponent that is not a whole literal, or a kink hides what has no value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            n = _number(node.right)
            if n is None or n != int(n):
                return True
    return False
