"""The surfaces of the programs: every entry of ``core.surfaces`` as the text of f, its gradient and its Hessian.

Most are a formula in the grammar of ``core.expressions``, whose derivatives are written out by rule; the others are
written by hand, where a name for a part makes them shorter or a value at one point needs care.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from charts.optimizers_code_formula import SIGMOID, Written, written
from core.knobs import number

WIDTH = 96  # of a line of a program, where it can be broken

_LONG = 700  # characters of a derivative; a longer one is taken by differences


@dataclass(frozen=True)
class Text:
    """A surface in a program, as lines of Python.

    ``f``, ``gradient`` and ``hessian`` are bodies of functions of w, in which x and y are its coordinates.
    ``torch`` is the body of f on tensors, that of NumPy with ``torch.`` for ``np.`` unless given. ``setup`` stands before
    the functions, in both programs; ``data`` names arrays of samples that it makes. Such a surface's functions take the
    arrays, all samples unless given. ``online``: the gradient is a function of w and the step t, and so is the loss of a
    step, ``torch_step`` on tensors. ``limited``: where f has no value, its slope counts as none.
    """

    f: Sequence[str]
    gradient: Sequence[str]
    hessian: Sequence[str]
    torch: Sequence[str] = ()
    setup: Sequence[str] = ()
    helpers: Sequence[str] = ()
    data: Sequence[str] = ()
    torch_step: Sequence[str] = ()
    limited: bool = False

    @property
    def online(self) -> bool:
        """Whether each step shows a loss of its own."""
        return bool(self.torch_step)

    @property
    def arguments(self) -> str:
        """The arguments of f, and of the gradient unless it is online."""
        return ", ".join(["w", *(f"{name}={name}" for name in self.data)])

    def _function(self, name: str, doc: str, body: Sequence[str], arguments: str) -> str:
        uses = any(re.search(r"\b[xy]\b", line) for line in body) and not self.data
        lines = [f'"""{doc}"""', *(["x, y = w"] if uses else []), *body]
        return f"def {name}({arguments}):\n" + "\n".join(f"    {line}" for line in lines)

    def numpy_functions(self, doc: str, gradient: str, second: bool) -> list[str]:
        """Write f, its gradient and, if it is needed, its Hessian.

        Args:
            doc: docstring of f. gradient: that of the gradient. second: with the Hessian.
        """
        arguments = "w, t" if self.online else self.arguments
        found = [
            self._function("f", doc, self.f, self.arguments),
            self._function("gradient", gradient, self.gradient, arguments),
        ]
        if second:
            found.append(self._function("hessian", "The second derivatives of f.", self.hessian, "w"))
        text = "\n".join(found)
        return [*(h for h in self.helpers if re.search(rf"\b{h[4 : h.index('(')]}\(", text)), *found]

    def torch_functions(self, doc: str) -> list[str]:
        """Write f for tensors, and the loss of one step where it differs."""
        body = self.torch or [line.replace("np.", "torch.") for line in self.f]
        found = [self._function("f", doc, body, self.arguments)]
        if self.online:
            found.append(self._function("step_loss", "The loss that step t shows.", self.torch_step, "w, t"))
        return found


def folded(text: str, indent: int = 0, before: int = 0) -> str:
    """Break a long line before the signs of a sum, or else at the commas of its last brackets.

    Args:
        text: an expression or a statement on one line.
        indent: how far the line is indented; ``text`` itself is not.
        before: how many characters stand before it on its line, beside the indent.
    """
    if indent + before + len(text) < WIDTH:
        return text
    head = "".join(re.findall(r"^(?:return |\w+ = )", text))
    terms = _split(text[len(head) :], " + ", " - ")
    if len(terms) > 1:
        lines = [terms[0]]
        for term in terms[1:]:
            if indent + 4 + len(lines[-1]) + len(term) > WIDTH:
                lines.append(term.lstrip())
            else:
                lines[-1] += term
        inner = "".join(f"{' ' * (indent + 4)}{line}\n" for line in lines)
        return f"{head}(\n{inner}{' ' * indent})"
    start, end = _brackets(text)
    parts = _split(text[start:end], ", ")
    if len(parts) == 1:
        return text
    pad = " " * (indent + 4)
    whole = ", ".join(parts)
    if indent + 4 + len(whole) <= WIDTH:
        inner = f"{pad}{whole}\n"
    else:
        inner = "".join(f"{pad}{folded(part, indent + 4)},\n" for part in parts)
    return f"{text[:start]}\n{inner}{' ' * indent}{text[end:]}"


def _brackets(text: str) -> tuple[int, int]:
    """Return the span of what the brackets at the end hold, those of f([a, b]) taken as one pair; (0, 0) if none."""
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] in ")]}") - (text[i] in "([{")
        if depth == 0:
            if i == len(text) - 1:
                return 0, 0
            start, end = i + 1, len(text) - 1
            inner = _brackets(text[start:end])
            alone = inner[0] == 1 and inner[1] == end - start - 1
            return (start + inner[0], start + inner[1]) if alone else (start, end)
    return 0, 0


def _split(text: str, *separators: str) -> list[str]:
    """Split at separators outside brackets and quotes; a sign stays with the term that it precedes."""
    parts, depth, start, quoted = [], 0, 0, False
    for i, letter in enumerate(text):
        quoted ^= letter == '"'
        depth += (letter in "([{") - (letter in ")]}")
        for mark in separators:
            if depth == 0 and not quoted and text.startswith(mark, i):
                parts.append(text[start:i])
                start = i + (len(mark) if mark == ", " else 0)
    return [*parts, text[start:]]


def _array(*entries: str) -> list[str]:
    """Write the return of a gradient (x, y) or of a Hessian (xx, xy, yy); long parts get names first."""
    parts = [f"{float(entry)!r}" if re.fullmatch(r"-?\d+", entry) else entry for entry in entries]
    names = ("by_x", "by_y") if len(parts) == 2 else ("xx", "xy", "yy")
    whole = f"return np.array({_ROWS[len(parts)].format(*parts)})"
    if len(whole) + 4 <= WIDTH:
        return [whole]
    named = [statement(f"{name} = {part}") for name, part in zip(names, parts, strict=True)]
    return [
        *(line for lines in named for line in lines),
        f"return np.array({_ROWS[len(parts)].format(*names)})",
    ]


_ROWS = {2: "[{}, {}]", 3: "[[{0}, {1}], [{1}, {2}]]"}


def statement(text: str) -> list[str]:
    """Fold a statement of a function's body."""
    return [line.removeprefix("    ") if i else line for i, line in enumerate(folded(text, 4).split("\n"))]


# What is taken by differences where a formula is too long to write
_DIFFERENCES = (
    "h = 1e-6  # central differences: the slope is too long to write",
    "return np.array([(f(w + d) - f(w - d)) / (2 * h) for d in h * np.eye(2)])",
)
_SECOND_DIFFERENCES = (
    "h = 1e-5  # central differences: too long to write",
    "return np.array([(gradient(w + d) - gradient(w - d)) / (2 * h) for d in h * np.eye(2)])",
)


def from_formula(formula: str, setup: Sequence[str] = ()) -> Text:
    """Write a surface from its formula.

    Raises:
        ExpressionError: the text is no formula.
    """
    found: Written = written(formula)
    slopes, bends = _array(*found.slopes), _array(*found.bends)
    if found.limited:
        # No slope where f has no value, whatever its derivative says there: 1/x of log(x) for x < 0.
        slope = slopes.pop().removeprefix("return ")
        slopes += statement(f"return np.where(np.isnan(f(w)), np.nan, {slope})")
    return Text(
        f=statement(f"return {found.f}"),
        gradient=_DIFFERENCES if sum(map(len, found.slopes)) > _LONG else slopes,
        hessian=_SECOND_DIFFERENCES if sum(map(len, found.bends)) > 2 * _LONG else bends,
        torch=statement(f"return {found.torch}"),
        setup=setup,
        helpers=(SIGMOID,),
        limited=found.limited,
    )


# Surfaces written by hand


def _bowl(settings: Mapping[str, float]) -> Text:
    kappa, theta = settings["kappa"], settings["theta"]
    flat = f"low, high = 4 / {kappa!r}, 4.0  # eigenvalues: the condition number is {number(kappa, 6)}"
    if theta == 0:
        return Text(
            setup=(flat,),
            f=("return 0.5 * (low * x**2 + high * y**2)",),
            gradient=("return np.array([low * x, high * y])",),
            hessian=("return np.array([[low, 0.0], [0.0, high]])",),
        )
    return Text(
        setup=(flat, f"angle = math.radians({theta!r})", "c, s = math.cos(angle), math.sin(angle)"),
        f=(
            "u, v = c * x + s * y, c * y - s * x  # along the axes of the bowl",
            "return 0.5 * (low * u**2 + high * v**2)",
        ),
        gradient=(
            "gu, gv = low * (c * x + s * y), high * (c * y - s * x)",
            "return np.array([c * gu - s * gv, s * gu + c * gv])",
        ),
        hessian=(
            "turn = np.array([[c, -s], [s, c]])",
            "return turn @ np.diag([low, high]) @ turn.T",
        ),
    )


_GOLDSTEIN_PRICE = Text(
    f=(
        "p, q = x + y + 1, 2 * x - 3 * y",
        "first = 1 + p**2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)",
        "second = 30 + q**2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)",
        "return first * second",
    ),
    gradient=(
        "p, q = x + y + 1, 2 * x - 3 * y  # the factors are polynomials of one of these each",
        "first = 1 + p**2 * (36 - 20 * p + 3 * p**2)",
        "second = 30 + q**2 * (18 - 16 * q + 3 * q**2)",
        "by_p = 12 * p * (p - 2) * (p - 3) * second",
        "by_q = 12 * q * (q - 1) * (q - 3) * first",
        "return np.array([by_p + 2 * by_q, by_p - 3 * by_q])",
    ),
    hessian=(
        "p, q = x + y + 1, 2 * x - 3 * y",
        "first = 1 + p**2 * (36 - 20 * p + 3 * p**2)",
        "second = 30 + q**2 * (18 - 16 * q + 3 * q**2)",
        "pp = (72 - 120 * p + 36 * p**2) * second",
        "pq = 144 * p * (p - 2) * (p - 3) * q * (q - 1) * (q - 3)",
        "qq = (36 - 96 * q + 36 * q**2) * first",
        "xx, xy, yy = pp + 4 * pq + 4 * qq, pp - pq - 6 * qq, pp - 6 * pq + 9 * qq",
        "return np.array([[xx, xy], [xy, yy]])",
    ),
)

_ACKLEY = Text(
    f=(
        "r = np.hypot(x, y)",
        "ripple = np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2)",
        "return 20 + np.e - 20 * np.exp(-0.2 * r / 2**0.5) - ripple",
    ),
    torch=(
        "r = torch.linalg.vector_norm(w)  # its slope at the tip is 0 by definition",
        "ripple = torch.exp((torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y)) / 2)",
        "return 20 + torch.e - 20 * torch.exp(-0.2 * r / 2**0.5) - ripple",
    ),
    gradient=(
        "r = np.hypot(x, y) or 1.0  # the tip at 0 has no slope: it counts as 0",
        "cone = 4 / 2**0.5 * np.exp(-0.2 * r / 2**0.5) / r * w",
        "ripple = np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2)",
        "return cone + np.pi * ripple * np.sin(2 * np.pi * w)",
    ),
    hessian=(
        "r = np.hypot(x, y) or 1.0",
        "along, slope = w / r, 4 / 2**0.5 * np.exp(-0.2 * r / 2**0.5)",
        "ripple = np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2)",
        "turn, pull = 2 * np.pi * w, np.outer(along, along)",
        "cone = slope / r * (along @ along * np.eye(2) - pull) - 0.2 / 2**0.5 * slope * pull",
        "waves = np.diag(2 * np.cos(turn)) - np.outer(np.sin(turn), np.sin(turn))",
        "return cone + np.pi**2 * ripple * waves",
    ),
)

_LEVY = Text(
    f=(
        "p, q = 1 + (x - 1) / 4, 1 + (y - 1) / 4",
        "rise = np.sin(np.pi * p) ** 2 + (p - 1) ** 2 * (1 + 10 * np.sin(np.pi * p + 1) ** 2)",
        "return rise + (q - 1) ** 2 * (1 + np.sin(2 * np.pi * q) ** 2)",
    ),
    gradient=(
        "p, q = 1 + (x - 1) / 4, 1 + (y - 1) / 4",
        "by_p = (",
        "    np.pi * np.sin(2 * np.pi * p)",
        "    + 2 * (p - 1) * (1 + 10 * np.sin(np.pi * p + 1) ** 2)",
        "    + 10 * np.pi * (p - 1) ** 2 * np.sin(2 * np.pi * p + 2)",
        ")",
        "by_q = (",
        "    2 * (q - 1) * (1 + np.sin(2 * np.pi * q) ** 2)",
        "    + 2 * np.pi * (q - 1) ** 2 * np.sin(4 * np.pi * q)",
        ")",
        "return np.array([by_p, by_q]) / 4",
    ),
    hessian=(
        "p, q = 1 + (x - 1) / 4, 1 + (y - 1) / 4",
        "pp = (",
        "    2 * np.pi**2 * np.cos(2 * np.pi * p)",
        "    + 2 * (1 + 10 * np.sin(np.pi * p + 1) ** 2)",
        "    + 40 * np.pi * (p - 1) * np.sin(2 * np.pi * p + 2)",
        "    + 20 * np.pi**2 * (p - 1) ** 2 * np.cos(2 * np.pi * p + 2)",
        ")",
        "qq = (",
        "    2 * (1 + np.sin(2 * np.pi * q) ** 2)",
        "    + 8 * np.pi * (q - 1) * np.sin(4 * np.pi * q)",
        "    + 8 * np.pi**2 * (q - 1) ** 2 * np.cos(4 * np.pi * q)",
        ")",
        "return np.diag([pp, qq]) / 16",
    ),
)

_DROP_WAVE = Text(
    f=("r = np.hypot(x, y)", "return -(1 + np.cos(12 * r)) / (2 + r**2 / 2)"),
    torch=(
        "r = torch.linalg.vector_norm(w)",
        "return -(1 + torch.cos(12 * r)) / (2 + r**2 / 2)",
    ),
    gradient=(
        "r = np.hypot(x, y)",
        "top, bottom = 1 + np.cos(12 * r), 2 + r**2 / 2",
        "return (144 * np.sinc(12 * r / np.pi) + top / bottom) / bottom * w  # sinc(u/pi) is sin(u)/u",
    ),
    hessian=(
        "r = np.hypot(x, y)",
        "along = w / (r or 1.0)",
        "top, bottom = 1 + np.cos(12 * r), 2 + r**2 / 2",
        "across = (144 * np.sinc(12 * r / np.pi) + top / bottom) / bottom  # the slope over r",
        "bend = (144 * np.cos(12 * r) + top / bottom) / bottom",
        "bend -= 24 * r * np.sin(12 * r) / bottom**2 + 2 * r**2 * top / bottom**3",
        "return across * np.eye(2) + (bend - across) * np.outer(along, along)",
    ),
)

_EASOM = Text(
    f=("return -np.cos(x) * np.cos(y) * np.exp(-((x - np.pi) ** 2) - (y - np.pi) ** 2)",),
    gradient=(
        "c, s, u = np.cos(w), np.sin(w), w - np.pi",
        "bell = np.exp(-u @ u)",
        "return bell * (s + 2 * u * c) * c[::-1]",
    ),
    hessian=(
        "c, s, u = np.cos(w), np.sin(w), w - np.pi",
        "bell = np.exp(-u @ u)",
        "xx, yy = (3 * c - 4 * u * s - 4 * u**2 * c) * c[::-1]",
        "xy = -np.prod(s + 2 * u * c)",
        "return bell * np.array([[xx, xy], [xy, yy]])",
    ),
)

_CLIFF = Text(
    f=("wall = np.exp(-x / 4)", "return 8 * (1 - wall) ** 2 + y**2 / 2 * wall"),
    gradient=(
        "wall = np.exp(-x / 4)",
        "return np.array([wall * (4 * (1 - wall) - y**2 / 8), wall * y])",
    ),
    hessian=(
        "wall = np.exp(-x / 4)",
        "xx, xy = wall * (2 * wall - 1 + y**2 / 32), -wall * y / 4",
        "return np.array([[xx, xy], [xy, wall]])",
    ),
)

_TWO_WELLS = Text(
    f=("return (x + 2) ** 2 * (3 * x**2 - 14 * x + 20) / 40 + y**2 / 2",),
    gradient=("return np.array([0.3 * (x**2 - 4) * (x - 0.5), y])",),
    hessian=("return np.array([[0.3 * (3 * x**2 - x - 4), 0.0], [0.0, 1.0]])",),
)

_AMSGRAD = Text(
    f=("return (x + y) / 3",),
    gradient=("return np.array([3.0 if t % 3 == 1 else -1.0, 1 / 3])",),
    torch_step=("return (3.0 if t % 3 == 1 else -1.0) * x + y / 3",),
    hessian=("return np.zeros((2, 2))",),
)

_DATA = "data = np.random.default_rng(np.random.SeedSequence(0, spawn_key=({},)))"

_LINE = Text(
    setup=(
        _DATA.format(0),
        "inputs = np.round(data.normal(1.5, 0.8, 64), 2)",
        "targets = np.round(inputs + 0.5 + data.normal(0.0, 0.6, 64), 2)",
    ),
    data=("inputs", "targets"),
    f=("residuals = w[0] * inputs + w[1] - targets", "return (residuals**2).mean()"),
    gradient=(
        "residuals = w[0] * inputs + w[1] - targets",
        "return 2 * np.array([(residuals * inputs).mean(), residuals.mean()])",
    ),
    hessian=(
        "square, mean = (inputs**2).mean(), inputs.mean()",
        "return 2 * np.array([[square, mean], [mean, 1.0]])",
    ),
)

_CLASSES = Text(
    setup=(
        _DATA.format(1),
        "targets = np.repeat([0.0, 1.0], 32)",
        "inputs = np.round(0.5 + 2 * targets + data.normal(0.0, 1.0, 64), 2)",
    ),
    data=("inputs", "targets"),
    f=(
        "z = (2 * targets - 1) * (w[0] * inputs + w[1])  # above 0 where the class is right",
        "return np.logaddexp(0, -z).mean()",
    ),
    torch=(
        "z = (2 * targets - 1) * (w[0] * inputs + w[1])  # above 0 where the class is right",
        "return -torch.nn.functional.logsigmoid(z).mean()",
    ),
    gradient=(
        "errors = 1 / (1 + np.exp(-(w[0] * inputs + w[1]))) - targets",
        "return np.array([(errors * inputs).mean(), errors.mean()])",
    ),
    hessian=(
        "p = 1 / (1 + np.exp(-(w[0] * inputs + w[1])))",
        "bend = p * (1 - p)",
        "across = (bend * inputs).mean()",
        "return np.array([[(bend * inputs**2).mean(), across], [across, bend.mean()]])",
    ),
)

SURFACE_TEXTS: Mapping[str, str | Text | Callable[[Mapping[str, float]], Text]] = {
    "Quadratic bowl": _bowl,
    "Elongated valley": "0.1*x^2 + 2*y^2",
    "Rosenbrock": "(1 - x)^2 + 100*(y - x^2)^2",
    "Beale": "(1.5 - x + x*y)^2 + (2.25 - x + x*y^2)^2 + (2.625 - x + x*y^3)^2",
    "Himmelblau": "(x^2 + y - 11)^2 + (x + y^2 - 7)^2",
    "Booth": "(x + 2*y - 7)^2 + (2*x + y - 5)^2",
    "Matyas": "0.26*(x^2 + y^2) - 0.48*x*y",
    "Three-hump camel": "2*x^2 - 1.05*x^4 + x^6/6 + x*y + y^2",
    "Six-hump camel": "4*x^2 - 2.1*x^4 + x^6/3 + x*y - 4*y^2 + 4*y^4",
    "Styblinski–Tang": "(x^4 - 16*x^2 + 5*x + y^4 - 16*y^2 + 5*y)/2",
    "Goldstein–Price": _GOLDSTEIN_PRICE,
    "McCormick": "sin(x + y) + (x - y)^2 - 1.5*x + 2.5*y + 1",
    "Rastrigin": "20 + x^2 - 10*cos(2*pi*x) + y^2 - 10*cos(2*pi*y)",
    "Ackley": _ACKLEY,
    "Griewank": "1 + (x^2 + y^2)/4000 - cos(x)*cos(y/sqrt(2))",
    "Levy": _LEVY,
    "Drop-wave": _DROP_WAVE,
    "Easom": _EASOM,
    "Saddle": "x^2 - y^2",
    "Monkey saddle": "x^3 - 3*x*y^2",
    "Plateau and cliff": _CLIFF,
    "Two-weight net": "(1 - x*y)^2",
    "Two wells": _TWO_WELLS,
    "Linear regression": _LINE,
    "Logistic regression": _CLASSES,
    "AMSGrad's example": _AMSGRAD,
}
"""The text of every surface of the page, by its name: a formula, or a text, which may depend on the surface's knobs."""


def surface_text(name: str, settings: Mapping[str, float]) -> Text:
    """Return the text of a surface with its knobs set.

    Raises:
        KeyError: no surface of that name has a text.
    """
    found = SURFACE_TEXTS[name]
    if isinstance(found, str):
        return from_formula(found)
    return found if isinstance(found, Text) else found(settings)
