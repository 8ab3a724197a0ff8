"""Anatomy of one step: every quantity of an update rule as letters, as numbers put in, and as a value, from one expression.

``ANATOMIES`` maps each name of ``OPTIMIZERS`` to its recipe. A recipe writes the rule down with ``Quantity``, which keeps the
formula, the same formula with numbers, and its value together, so that what is printed is what was computed.
``REFERENCE_ANATOMIES`` does the same for the methods of ``REFERENCES``, whose matrices tie the coordinates to each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

import numpy as np

from core.knobs import latex
from core.optimizers import Rule, State
from core.second_order import Curved

Array = np.ndarray
Operand = Union["Quantity", float, int]

_SUM, _PRODUCT, _ATOM = range(3)  # how tightly an expression holds together

# The letters of knobs, as the update rules of ``OPTIMIZERS`` write them.
LETTERS: Mapping[str, str] = {
    "lr": r"\eta",
    "momentum": r"\mu",
    "dampening": r"\tau",
    "weight_decay": r"\lambda",
    "beta1": r"\beta_1",
    "beta2": r"\beta_2",
    "beta3": r"\beta_3",
    "rho": r"\rho",
    "eps": r"\varepsilon",
    "lr_decay": r"\kappa",
    "momentum_decay": r"\psi",
    "nu": r"\nu",
    "nu1": r"\nu_1",
    "nu2": r"\nu_2",
    "eta_minus": r"\eta^-",
    "eta_plus": r"\eta^+",
    "step_min": r"\Delta_{\min}",
    "step_max": r"\Delta_{\max}",
}


def _entry(x: float) -> str:
    return f"-{latex(-x)}" if x < 0 else latex(x)


def vector(value: Array) -> str:
    """Write a vector as a column of numbers in LaTeX."""
    entries = [_entry(float(x)) for x in np.asarray(value, float)]
    return r"\begin{pmatrix} " + r" \\ ".join(entries) + r" \end{pmatrix}"


def matrix(value: Array) -> str:
    """Write a matrix (d, d) in LaTeX, without parentheses around its negative numbers."""
    lines = [" & ".join(_entry(float(x)) for x in line) for line in np.asarray(value, float)]
    return r"\begin{pmatrix} " + r" \\ ".join(lines) + r" \end{pmatrix}"


def written(value: Any) -> str:
    """Write a number, a vector (d,) or a matrix (d, d) in LaTeX."""
    return (latex, vector, matrix)[np.ndim(value)](value)


@dataclass(frozen=True)
class Quantity:
    """An expression: its value, a number or a vector (d,), its letters and the same with numbers in LaTeX.

    Arithmetic works coordinate by coordinate; 0/0 is 0, as in the rules; overflow gives inf or NaN.
    """

    value: Any
    letters: str
    numbers: str
    level: int = _ATOM

    @classmethod
    def of(cls, value: Any, letters: str) -> "Quantity":
        """Return a quantity that is known: its letters, and its value as its numbers."""
        return cls(value, letters, written(value if np.ndim(value) else float(value)))

    def _within(self, level: int) -> "Quantity":
        """Put parentheses around what holds together less tightly than its surroundings."""
        if self.level >= level:
            return self
        return Quantity(self.value, rf"\left({self.letters}\right)", rf"\left({self.numbers}\right)")

    def _to_the_right(self) -> "Quantity":
        """Put parentheses around what begins with a minus, after an operator."""
        return self._within(_ATOM) if self.letters.startswith("-") else self

    def __add__(self, other: Operand) -> "Quantity":
        return _joined(np.add, self, _operand(other)._to_the_right(), " + ", _SUM)

    def __radd__(self, other: Operand) -> "Quantity":
        return _operand(other) + self

    def __sub__(self, other: Operand) -> "Quantity":
        return _joined(np.subtract, self, _operand(other)._within(_PRODUCT)._to_the_right(), " - ", _SUM)

    def __rsub__(self, other: Operand) -> "Quantity":
        return _operand(other) - self

    def __mul__(self, other: Operand) -> "Quantity":
        left, right = self._within(_PRODUCT), _operand(other)._within(_PRODUCT)._to_the_right()
        between = r"\cdot " if right.letters[0].isdigit() else r"\,"
        return _joined(np.multiply, left, right, between, _PRODUCT, _times(left, right))

    def __rmul__(self, other: Operand) -> "Quantity":
        return _operand(other) * self

    def __truediv__(self, other: Operand) -> "Quantity":
        other = _operand(other)
        with np.errstate(all="ignore"):
            zero = np.equal(self.value, 0) & np.equal(other.value, 0)
            value = np.where(zero, 0.0, np.divide(self.value, np.where(zero, 1.0, other.value)))
        return Quantity(
            value if value.ndim else float(value),
            rf"\frac{{{self.letters}}}{{{other.letters}}}",
            rf"\frac{{{self.numbers}}}{{{other.numbers}}}",
            _PRODUCT,
        )

    def __rtruediv__(self, other: Operand) -> "Quantity":
        return _operand(other) / self

    def __neg__(self) -> "Quantity":
        inner = self._within(_PRODUCT)
        return Quantity(-inner.value, f"-{inner.letters}", f"-{inner.numbers}", _PRODUCT)

    def __pow__(self, other: Operand) -> "Quantity":
        base, power = self._within(_ATOM), _operand(other)
        with np.errstate(all="ignore"):
            value = np.power(base.value, power.value)
        return Quantity(
            value, f"{base.letters}^{{{power.letters}}}", f"{base.numbers}^{{{power.numbers}}}", _PRODUCT
        )

    def __abs__(self) -> "Quantity":
        return Quantity(
            np.abs(self.value), rf"\lvert {self.letters} \rvert", rf"\lvert {self.numbers} \rvert"
        )


def _operand(other: Operand) -> Quantity:
    return other if isinstance(other, Quantity) else Quantity.of(other, latex(float(other)))


def _times(left: Quantity, right: Quantity) -> str:
    """Return the sign between two factors written as numbers."""
    if np.ndim(left.value) and np.ndim(right.value):
        return r" \odot "
    return r"\," if np.ndim(right.value) else r"\cdot "


def _joined(
    operation: np.ufunc, left: Quantity, right: Quantity, sign: str, level: int, between_numbers: str = ""
) -> Quantity:
    with np.errstate(all="ignore"):
        value = operation(left.value, right.value)
    return Quantity(
        value,
        f"{left.letters}{sign}{right.letters}",
        f"{left.numbers}{between_numbers or sign}{right.numbers}",
        level,
    )


def _applied(operation: Callable[..., Any], pattern: str, *inner: Quantity) -> Quantity:
    """Apply a function; ``pattern`` is its LaTeX with a %s for each argument."""
    with np.errstate(all="ignore"):
        value = operation(*(each.value for each in inner))
    return Quantity(
        value,
        pattern % tuple(each.letters for each in inner),
        pattern % tuple(each.numbers for each in inner),
    )


def root(inner: Quantity) -> Quantity:
    """Return the square root."""
    return _applied(np.sqrt, r"\sqrt{%s}", inner)


def sign(inner: Quantity) -> Quantity:
    """Return the sign of every coordinate, 0 at 0."""
    return _applied(np.sign, r"\operatorname{sign}\left(%s\right)", inner)


def largest(one: Quantity, other: Operand) -> Quantity:
    """Return the larger of two, coordinate by coordinate."""
    return _applied(np.maximum, r"\max\left(%s,\, %s\right)", one, _operand(other))


def smallest(one: Quantity, other: Operand) -> Quantity:
    """Return the smaller of two, coordinate by coordinate."""
    return _applied(np.minimum, r"\min\left(%s,\, %s\right)", one, _operand(other))


class Term(NamedTuple):
    """A named quantity of a step: its symbol, its formula in letters and in numbers (LaTeX), and its value."""

    symbol: str
    formula: str
    numbers: str
    value: Any


class Arrow(NamedTuple):
    """A part of a step: its name and its vector (d,)."""

    name: str
    vector: Array


@dataclass(frozen=True)
class Anatomy:
    """A step taken apart.

    ``terms`` lead from the gradient to the step, in the order in which the rule computes them. ``arrows`` add up to the
    step; where the rule is not linear in its parts (a sign), one arrow is the whole of it. ``mixes``: a matrix ties the
    coordinates to each other; elsewhere every operation acts on each by itself.
    """

    terms: tuple[Term, ...]
    arrows: tuple[Arrow, ...]
    mixes: bool = False

    @property
    def step(self) -> Array:
        """Return the sum of the arrows, (d,)."""
        total: Array = np.sum([arrow.vector for arrow in self.arrows], axis=0)
        return total


NOW, PAST, DECAY, CHANGE, SIGNED, WHOLE = (
    "this gradient", "past gradients", "weight decay", "change of the gradient", "sign step", "step",
)  # fmt: skip
Parts = Mapping[str, Quantity]
Knobs = Mapping[str, float | bool | str]


class Case:
    """One step as a recipe reads it: what went in, by its letters; ``name`` collects what comes out."""

    def __init__(self, before: State, grad: Array, w: Array, knobs: Knobs, t: int) -> None:
        """Take the state, the gradient and the point before the step with number t = 1, 2, …, and the rule's knobs.

        ``knobs`` may name a ``convention``; it is PyTorch's if they do not.
        """
        self.before, self.knobs, self.count = before, knobs, t
        self.g, self.w = Quantity.of(np.asarray(grad, float), "g"), Quantity.of(np.asarray(w, float), "w")
        self.t = Quantity(t, "t", str(t))
        self.keras, self.optax = knobs.get("convention") == "Keras", knobs.get("convention") == "optax"
        self.decay_apart = False
        self.terms: list[Term] = []

    def knob(self, name: str) -> Quantity:
        """Return a knob under its letter."""
        value = float(self.knobs[name])
        return Quantity(value, LETTERS[name], latex(value, 6))

    def rest(self, name: str) -> Quantity:
        """Return 1 less a knob, its numbers already taken together."""
        value = 1 - float(self.knobs[name])
        return Quantity(value, rf"\left(1 - {LETTERS[name]}\right)", latex(value, 6))

    def on(self, name: str) -> bool:
        """Tell whether a knob is there and neither 0 nor off."""
        return bool(self.knobs.get(name, False))

    def old(self, field: str, letters: str) -> Quantity:
        """Return a part of the state before the step."""
        value = getattr(self.before, field)
        return Quantity.of(np.asarray(value, float) if np.ndim(value) else float(value), letters)

    def name(self, symbol: str, quantity: Quantity) -> Quantity:
        """Give an expression a name of its own, under which later ones use it, and note it down."""
        self.terms.append(Term(symbol, quantity.letters, quantity.numbers, quantity.value))
        return Quantity.of(quantity.value, symbol)

    def cases(self, symbol: str, formula: str, value: Array) -> Quantity:
        """Note down a vector whose formula differs from coordinate to coordinate."""
        self.terms.append(Term(symbol, formula, "", value))
        return Quantity.of(value, symbol)

    def pull(self, decoupled: bool = False) -> tuple[Quantity, dict[str, Quantity]]:
        """Return the gradient with weight decay's L2 term and the parts it consists of.

        Decoupled decay is left to ``step``, which takes it off beside the rule's own move.
        """
        self.decay_apart = decoupled and self.on("weight_decay")
        if decoupled or not self.on("weight_decay"):
            return self.g, {NOW: self.g}
        added = self.knob("weight_decay") * self.w
        return self.name("g'", self.g + added), {NOW: self.g, DECAY: added}

    def step(self, moved: Quantity, parts: Parts) -> dict[str, Quantity]:
        """Note down the step and return its parts, decoupled weight decay included."""
        found = dict(parts)
        if self.decay_apart:
            shrink = self.knob("lr") * self.knob("weight_decay") * self.w
            moved, found[DECAY] = moved - shrink, -shrink
        self.name(r"\Delta w_t", moved)
        return found

    def bias(self, knob: str) -> Quantity:
        """Return 1 − βᵗ, what a moving average that started at 0 is too small by."""
        return 1 - self.knob(knob) ** self.t

    def divisor(self, square: Quantity, inside: bool = False) -> Quantity:
        """Return √s + ε, or √(s + ε)."""
        eps = self.knob("eps")
        return root(square + eps) if inside else root(square) + eps

    def first(self, g: Quantity, parts: Parts, knob: str = "beta1") -> tuple[Quantity, dict[str, Quantity]]:
        """Note down m, the moving average of gradients, and return its parts too."""
        rest, kept = self.rest(knob), self.knob(knob) * self.old("m", "m_{t-1}")
        m = self.name("m_t", kept + rest * g)
        return m, {**_through(parts, lambda part: rest * part), PAST: kept}

    def second(self, g: Quantity, knob: str = "beta2") -> Quantity:
        """Note down v, the moving average of squares."""
        kept = self.knob(knob) * self.old("v", "v_{t-1}")
        return self.name("v_t", kept + self.rest(knob) * g**2)

    def corrected_step(
        self, m: Quantity, v: Quantity, parts: Parts, eps_hat: bool = False
    ) -> dict[str, Quantity]:
        """Note down the averages without the bias of their start at 0, and the step −lr·m̂/(√v̂ + ε).

        With ``eps_hat`` the ε stands beside the raw root, and the corrections are moved to the rate.
        """
        lr = self.knob("lr")
        if eps_hat:
            rate = self.name(r"\eta_t", lr * root(self.bias("beta2")) / self.bias("beta1"))
            divisor = self.divisor(v)
            return self.step(-rate * (m / divisor), _through(parts, lambda part: -rate * (part / divisor)))
        m_hat = self.name(r"\hat m_t", m / self.bias("beta1"))
        divisor = self.divisor(self.name(r"\hat v_t", v / self.bias("beta2")))
        shares = _through(parts, lambda part: -lr * (part / self.bias("beta1") / divisor))
        return self.step(-lr * (m_hat / divisor), shares)


def _through(parts: Parts, linear: Callable[[Quantity], Quantity]) -> dict[str, Quantity]:
    """Send every part through the same linear map."""
    return {name: linear(part) for name, part in parts.items()}


Explain = Callable[[Case], Parts]


@dataclass(frozen=True)
class Recipe:
    """How a rule's step is taken apart, and which fields of its state are its first and its second moment.

    ``explain`` notes down the terms and returns the parts that add up to the step. The first moment remembers
    gradients, the second their squares (their sizes, unless ``squared``); empty where a rule keeps none.
    """

    explain: Explain
    first: str = ""
    second: str = ""
    squared: bool = True


# Gradient descent and momentum


def _gd(c: Case) -> Parts:
    lr = c.knob("lr")
    g, parts = c.pull()
    return c.step(-lr * g, _through(parts, lambda part: -lr * part))


def _momentum(c: Case) -> Parts:
    lr, mu, last = c.knob("lr"), c.knob("momentum"), c.old("velocity", "v_{t-1}")
    g, parts = c.pull(decoupled=c.keras)
    if c.count > 1 and c.on("dampening") and c.on("momentum"):  # the first gradient enters undamped
        share = c.rest("dampening")
        g, parts = share * g, _through(parts, lambda part: share * part)
    if c.keras:
        v = c.name("v_t", mu * last + lr * g)
        moved = {**_through(parts, lambda part: -lr * part), PAST: -mu * last}
        return c.step(-v, moved)
    v = c.name("v_t", mu * last + g)
    return c.step(-lr * v, _through({**parts, PAST: mu * last}, lambda part: -lr * part))


def _nesterov(c: Case) -> Parts:
    lr, mu, last = c.knob("lr"), c.knob("momentum"), c.old("velocity", "v_{t-1}")
    g, parts = c.pull(decoupled=c.keras)
    shares = _through(parts, lambda part: -lr * ((1 + mu) * part))
    if c.keras:
        v = c.name("v_t", mu * last + lr * g)
        return c.step(-(lr * g + mu * v), {**shares, PAST: -(mu**2) * last})
    v = c.name("v_t", mu * last + g)
    return c.step(-lr * (g + mu * v), {**shares, PAST: -lr * (mu**2 * last)})


def _qhm(c: Case) -> Parts:
    lr, nu = c.knob("lr"), c.knob("nu")
    g, own = c.pull()
    m, parts = c.first(g, own, "momentum")
    blended = {name: nu * part for name, part in parts.items()}
    blended |= {name: c.rest("nu") * part + blended[name] for name, part in own.items()}
    return c.step(-lr * (c.rest("nu") * g + nu * m), _through(blended, lambda part: -lr * part))


# Steps that look at signs only


def _sign_descent(c: Case) -> Parts:
    g, _ = c.pull()
    moved = -c.knob("lr") * sign(g)
    return c.step(moved, {SIGNED: moved})


def _lion(c: Case) -> Parts:
    beta1, beta2, last = c.knob("beta1"), c.knob("beta2"), c.old("m", "m_{t-1}")
    g, _ = c.pull(decoupled=True)
    moved = -c.knob("lr") * sign(c.name("c_t", beta1 * last + c.rest("beta1") * g))
    parts = c.step(moved, {SIGNED: moved})
    c.name("m_t", beta2 * last + c.rest("beta2") * g)
    return parts


def _rprop(c: Case) -> Parts:
    low, high = c.knob("step_min"), c.knob("step_max")
    last, last_sign = c.old("size", r"\Delta_{t-1}"), c.old("sign", "s_{t-1}")
    agreement = c.name("a_t", sign(c.g) * last_sign)
    kept, flipped = agreement.value > 0, agreement.value < 0
    grow, shrink = c.knob("eta_plus"), c.knob("eta_minus")
    factor = c.cases(
        "k_t",
        rf"{grow.letters} \text{{ if }} a_t > 0,\ {shrink.letters} \text{{ if }} a_t < 0,\ \text{{else }} 1",
        np.where(kept, grow.value, np.where(flipped, shrink.value, 1.0)),
    )
    size = smallest(largest(factor * last, low), high)
    if c.optax:  # only lengths that change are held within their limits, and the last ones are walked
        held = np.where(kept | flipped, size.value, last.value)
        c.cases(
            r"\Delta_t", rf"{size.letters} \text{{ if }} a_t \neq 0,\ \text{{else }} \Delta_{{t-1}}", held
        )
        walked = c.cases(
            "p_t", r"0 \text{ if } a_t < 0,\ \text{else } s_{t-1}", np.where(flipped, 0.0, last_sign.value)
        )
        moved = -last * walked
    else:
        size = c.name(r"\Delta_t", size)
        signs = rf"0 \text{{ if }} a_t < 0,\ \text{{else }} {sign(c.g).letters}"
        moved = -size * c.cases("s_t", signs, np.where(flipped, 0.0, np.sign(c.g.value)))
    return c.step(moved, {SIGNED: moved})


# Steps divided by the size of past gradients


def _adagrad(c: Case) -> Parts:
    lr = c.knob("lr")
    g, parts = c.pull(decoupled=c.keras)
    divisor = c.divisor(c.name("G_t", c.old("total", "G_{t-1}") + g**2), inside=c.keras or c.optax)
    rate = c.name(r"\eta_t", lr / (1 + (c.t - 1) * c.knob("lr_decay"))) if c.on("lr_decay") else lr
    return c.step(-rate * (g / divisor), _through(parts, lambda part: -rate * (part / divisor)))


def _adadelta(c: Case) -> Parts:
    lr, rho, eps = c.knob("lr"), c.knob("rho"), c.knob("eps")
    g, parts = c.pull(decoupled=c.keras)
    s = c.name("s_t", rho * c.old("square_average", "s_{t-1}") + c.rest("rho") * g**2)
    d = c.old("step_average", "d_{t-1}")

    def scaled(part: Quantity) -> Quantity:
        return root(d + eps) * part / root(s + eps)

    delta = c.name(r"\delta_t", scaled(g))
    found = c.step(-lr * delta, _through(parts, lambda part: -lr * scaled(part)))
    c.name("d_t", rho * d + c.rest("rho") * delta**2)
    return found


def _rmsprop(c: Case) -> Parts:
    lr, rho, other = c.knob("lr"), c.knob("rho"), c.keras or c.optax
    g, parts = c.pull(decoupled=c.keras)
    s = c.name("s_t", rho * c.old("square_average", "s_{t-1}") + c.rest("rho") * g**2)
    if c.on("centered"):
        mean = c.name(r"\bar g_t", rho * c.old("average", r"\bar g_{t-1}") + c.rest("rho") * g)
        s = c.name(r"\sigma_t^2", largest(s - mean**2, 0))
    divisor = c.divisor(s, inside=other)

    def divided(part: Quantity) -> Quantity:
        return lr * (part / divisor) if other else part / divisor

    moved, parts = divided(g), _through(parts, divided)
    if c.on("momentum"):
        mu, last = c.knob("momentum"), c.old("velocity", "v_{t-1}")
        moved, parts = c.name("v_t", mu * last + moved), {**parts, PAST: mu * last}
    if other:
        return c.step(-moved, _through(parts, lambda part: -part))
    return c.step(-lr * moved, _through(parts, lambda part: -lr * part))


# Adam and its relatives


def _adam(c: Case) -> Parts:
    g, own = c.pull(decoupled=c.keras)
    m, parts = c.first(g, own)
    v = c.second(g)
    if c.knobs.get("bias_correction", True):
        return c.corrected_step(m, v, parts, eps_hat=c.keras)
    lr, divisor = c.knob("lr"), c.divisor(v)
    return c.step(-lr * (m / divisor), _through(parts, lambda part: -lr * (part / divisor)))


def _adamw(c: Case) -> Parts:
    g, own = c.pull(decoupled=True)
    m, parts = c.first(g, own)
    return c.corrected_step(m, c.second(g), parts, eps_hat=c.keras)


def _amsgrad(c: Case) -> Parts:
    g, own = c.pull(decoupled=c.keras)
    m, parts = c.first(g, own)
    v, last = c.second(g), c.old("v_max", r"\bar v_{t-1}")
    if not c.optax:
        return c.corrected_step(m, c.name(r"\bar v_t", largest(last, v)), parts, eps_hat=c.keras)
    lr, v_hat = c.knob("lr"), c.name(r"\hat v_t", v / c.bias("beta2"))
    m_hat = c.name(r"\hat m_t", m / c.bias("beta1"))
    divisor = c.divisor(c.name(r"\bar v_t", largest(last, v_hat)))
    shares = _through(parts, lambda part: -lr * (part / c.bias("beta1") / divisor))
    return c.step(-lr * (m_hat / divisor), shares)


def _nadam(c: Case) -> Parts:
    lr, beta, psi = c.knob("lr"), c.knob("beta1"), c.knob("momentum_decay")
    g, own = c.pull(decoupled=c.keras)

    def schedule(t: Quantity) -> Quantity:
        return beta if c.optax else beta * (1 - 0.5 * Quantity.of(0.96, "0.96") ** (t * psi))

    mu, ahead = c.name(r"\mu_t", schedule(c.t)), c.name(r"\mu_{t+1}", schedule(c.t + 1))
    product = c.name(r"\Pi_t", c.old("mu_product", r"\Pi_{t-1}") * mu)
    m, parts = c.first(g, own)
    divisor = c.divisor(c.name(r"\hat v_t", c.second(g) / c.bias("beta2")))
    now = c.name("p_t", (1 - mu) / (1 - product))
    then = c.name("q_t", ahead / (1 - product * ahead))
    blended = {name: then * part for name, part in parts.items()}
    blended |= {name: now * part + blended[name] for name, part in own.items()}
    return c.step(
        -lr * ((now * g + then * m) / divisor), _through(blended, lambda part: -lr * (part / divisor))
    )


def _adamax(c: Case) -> Parts:
    lr, eps = c.knob("lr"), c.knob("eps")
    g, own = c.pull(decoupled=c.keras)
    m, parts = c.first(g, own)
    decayed = c.knob("beta2") * c.old("u", "u_{t-1}")
    u = c.name("u_t", largest(decayed, abs(g) if c.keras else abs(g) + eps))
    divisor = u + eps if c.keras else u
    m_hat = c.name(r"\hat m_t", m / c.bias("beta1"))
    shares = _through(parts, lambda part: -lr * (part / c.bias("beta1") / divisor))
    return c.step(-lr * (m_hat / divisor), shares)


def _radam(c: Case) -> Parts:
    lr, beta, t = c.knob("lr"), c.knob("beta2"), c.t
    g, own = c.pull()
    m, parts = c.first(g, own)
    v = c.second(g)
    longest = c.name(r"\rho_\infty", 2 / (1 - beta) - 1)
    length = c.name(r"\rho_t", longest - 2 * t * beta**t / c.bias("beta2"))
    if not (length.value >= 5 if c.optax else length.value > 5):  # too few squares: not adapted yet
        m_hat = c.name(r"\hat m_t", m / c.bias("beta1"))
        return c.step(-lr * m_hat, _through(parts, lambda part: -lr * (part / c.bias("beta1"))))
    top, bottom = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
    rectified = c.name("r_t", root(top / bottom))
    rate = c.name(r"\eta_t", rectified * lr)
    if c.optax:
        divisor = c.divisor(c.name(r"\hat v_t", v / c.bias("beta2")))
    else:
        rate = c.name(r"\eta'_t", rate * root(c.bias("beta2")))
        divisor = c.divisor(v)
    m_hat = c.name(r"\hat m_t", m / c.bias("beta1"))
    shares = _through(parts, lambda part: -rate * (part / c.bias("beta1") / divisor))
    return c.step(-rate * (m_hat / divisor), shares)


def _adabelief(c: Case) -> Parts:
    beta = c.knob("beta2")
    g, own = c.pull(decoupled=not c.optax)
    m, parts = c.first(g, own)
    v = c.name("v_t", beta * c.old("v", "v_{t-1}") + c.rest("beta2") * (g - m) ** 2 + c.knob("eps"))
    return c.corrected_step(m, v, parts)


def _adan(c: Case) -> Parts:
    lr, eps, beta2 = c.knob("lr"), c.knob("eps"), c.knob("beta2")
    g, own = c.pull(decoupled=True)
    zero = Quantity.of(np.zeros_like(c.g.value), "0")
    change = c.name(r"\Delta g_t", g - c.old("previous", "g_{t-1}") if c.count > 1 else zero)
    share = c.rest("beta2") if c.optax else beta2
    m, parts = c.first(g, own)
    d = c.name("d_t", beta2 * c.old("d", "d_{t-1}") + c.rest("beta2") * change)
    v = c.second(g + share * change, "beta3")
    m_hat, d_hat = c.name(r"\hat m_t", m / c.bias("beta1")), c.name(r"\hat d_t", d / c.bias("beta2"))
    v_hat = c.name(r"\hat v_t", v / c.bias("beta3"))
    divisor = root(v_hat + eps) + eps if c.optax else root(v_hat) + eps
    moved = -lr * ((m_hat + share * d_hat) / divisor)
    found = _through(parts, lambda part: -lr * (part / c.bias("beta1") / divisor))
    found[CHANGE] = -lr * (share * d_hat / divisor)
    if c.optax or not c.on("weight_decay"):
        return c.step(moved, found)
    c.decay_apart = False  # the authors' decay divides the point that is reached
    shrink = lr * c.knob("weight_decay")
    moved = c.name("u_t", moved)
    found = _through({**found, DECAY: -shrink * c.w}, lambda part: part / (1 + shrink))
    return c.step((moved - shrink * c.w) / (1 + shrink), found)


def _qhadam(c: Case) -> Parts:
    lr, nu1, nu2 = c.knob("lr"), c.knob("nu1"), c.knob("nu2")
    g, own = c.pull()
    m, parts = c.first(g, own)
    v_hat = c.name(r"\hat v_t", c.second(g) / c.bias("beta2"))
    m_hat = c.name(r"\hat m_t", m / c.bias("beta1"))
    divisor = c.divisor(c.rest("nu2") * g**2 + nu2 * v_hat)
    blended = {name: nu1 * (part / c.bias("beta1")) for name, part in parts.items()}
    blended |= {name: c.rest("nu1") * part + blended[name] for name, part in own.items()}
    shares = _through(blended, lambda part: -lr * (part / divisor))
    return c.step(-lr * ((c.rest("nu1") * g + nu1 * m_hat) / divisor), shares)


def _yogi(c: Case) -> Parts:
    g, own = c.pull()
    m, parts = c.first(g, own)
    last = c.old("v", "v_{t-1}")
    v = c.name("v_t", last - c.rest("beta2") * sign(last - g**2) * g**2)
    return c.corrected_step(m, v, parts)


ANATOMIES: Mapping[str, Recipe] = {
    "GD": Recipe(_gd),
    "Momentum": Recipe(_momentum, "velocity"),
    "Nesterov": Recipe(_nesterov, "velocity"),
    "QHM": Recipe(_qhm, "m"),
    "Sign descent": Recipe(_sign_descent),
    "Lion": Recipe(_lion, "m"),
    "Rprop": Recipe(_rprop),
    "AdaGrad": Recipe(_adagrad, "", "total"),
    "AdaDelta": Recipe(_adadelta, "", "square_average"),
    "RMSProp": Recipe(_rmsprop, "", "square_average"),
    "Adam": Recipe(_adam, "m", "v"),
    "AdamW": Recipe(_adamw, "m", "v"),
    "AMSGrad": Recipe(_amsgrad, "m", "v_max"),
    "Nadam": Recipe(_nadam, "m", "v"),
    "AdaMax": Recipe(_adamax, "m", "u", squared=False),
    "RAdam": Recipe(_radam, "m", "v"),
    "AdaBelief": Recipe(_adabelief, "m", "v"),
    "Adan": Recipe(_adan, "m", "v"),
    "QHAdam": Recipe(_qhadam, "m", "v"),
    "Yogi": Recipe(_yogi, "m", "v"),
}


def anatomy(
    name: str,
    before: State,
    grad: Array,
    w: Array,
    step: Array,
    knobs: Knobs,
    t: int,
) -> Anatomy:
    """Take a step apart.

    Args:
        name: an entry of ``OPTIMIZERS``; of another rule only the step itself is told.
        before: the state before the step, its fields (d,) or numbers.
        grad, w, step: the gradient that the rule saw, the point it stood at, and how it moved, (d,) each.
        knobs: the settings that the rule was built with; ``convention`` too, if it is not PyTorch's.
        t: number of the step, 1 for the first.
    """
    recipe = ANATOMIES.get(name)
    case = Case(before, grad, w, knobs, t)
    if recipe is None:
        return Anatomy(
            (Term(r"\Delta w_t", "", "", np.asarray(step, float)),), (Arrow(WHOLE, np.asarray(step, float)),)
        )
    parts = recipe.explain(case)
    arrows = tuple(Arrow(part, np.asarray(q.value, float)) for part, q in parts.items())
    return Anatomy(tuple(case.terms), arrows)


# The references


def _mixed(terms: Sequence[Term], step: Array) -> Anatomy:
    return Anatomy(tuple(terms), (Arrow(WHOLE, step),), mixes=True)


def _columns(apply: Callable[[Array], Array]) -> Array:
    """Return the matrix of a linear map that a rule applies, (2, 2), from what it makes of the unit vectors."""
    return np.stack([apply(unit) for unit in np.eye(2)], axis=1)


def newton_anatomy(
    problem: Curved,
    build: Callable[..., Rule],
    before: State,
    grad: Array,
    w: Array,
    step: Array,
    knobs: Knobs,
) -> Anatomy:
    """Take Newton's step apart: the Hessian, what is inverted, its inverse, and the step.

    Args:
        problem: the exact one, whose Hessian the rule sees.
        build: makes the rule from its knobs; the inverse is what the rule itself makes of unit gradients.
        before, grad, w, step, knobs: as in ``anatomy``.
    """
    lr, shift = float(knobs["lr"]), float(knobs["shift"])
    hessian = np.asarray(problem.hessian(w), float)
    terms = [Term("H", "", "", hessian)]
    if not np.all(np.isfinite(hessian)):
        return _mixed([*terms, Term(r"\Delta w_t", "", "", step)], step)
    inverted, letters = hessian, "H"
    if knobs["saddle_free"]:
        sizes, vectors = np.linalg.eigh(hessian)
        inverted, letters = (vectors * np.abs(sizes)) @ vectors.T, r"\lvert H \rvert"
        terms.append(Term(r"\lambda(H)", "", "", sizes))
        terms.append(Term(letters, "", "", inverted))
    if shift:
        shifted = inverted + shift * np.eye(2)
        numbers = rf"{matrix(inverted)} + {latex(shift, 6)}\, I"
        terms.append(Term("B", rf"{letters} + \delta I", numbers, shifted))
        inverted, letters = shifted, "B"
    plain = build(lr=1.0, shift=shift, saddle_free=bool(knobs["saddle_free"]))
    with np.errstate(all="ignore"):
        inverse = _columns(lambda unit: -plain.update(unit, before, w)[0])
    if np.all(np.isfinite(inverse)):
        name = rf"{letters}^{{-1}}"
        terms.append(Term(name, "", "", inverse))
        numbers = rf"-{latex(lr, 6)}\cdot {matrix(inverse)} {vector(grad)}"
        terms.append(Term(r"\Delta w_t", rf"-\eta\, {name} g", numbers, step))
    else:
        (a, b), (_, c) = inverted
        terms.append(Term(rf"\det {letters}", "", "", float(a * c - b * b)))
        terms.append(Term(r"\Delta w_t", "", "", step))
    return _mixed(terms, step)


def lbfgs_anatomy(
    problem: Curved,
    build: Callable[..., Rule],
    before: State,
    grad: Array,
    w: Array,
    step: Array,
    knobs: Knobs,
) -> Anatomy:
    """Take a step of L-BFGS apart: the pairs it remembers, the inverse Hessian they stand for, direction and length.

    Args:
        problem: not needed.
        build: makes the rule from its knobs; the matrix is what the rule itself makes of unit gradients.
        before, grad, w, step, knobs: as in ``anatomy``.
    """
    lr = float(knobs["lr"])
    plain = build(lr=1.0, memory=knobs["memory"], line_search=False)
    with np.errstate(all="ignore"):
        after = plain.update(grad, before, w)[1]
        # A last step of 0 teaches nothing: what the rule makes of other gradients is the matrix of this step.
        still = after._replace(moved=np.zeros_like(after.moved), t=np.ones_like(after.t))
        estimate = _columns(lambda unit: -plain.update(unit, still, w)[0])
        direction = plain.update(grad, still, w)[0]
    pairs, most = int(np.any(after.changes != 0, axis=-1).sum()), int(float(knobs["memory"]))
    terms = [
        Term(rf"\text{{pairs, at most {most}}}", "", "", float(pairs)),
        Term(r"\tilde H", "", "", estimate),
        Term("d", r"-\tilde H g", rf"-{matrix(estimate)} {vector(grad)}", direction),
    ]
    letters, length = r"\eta", lr
    if np.any(grad) and not np.any(before.t > 0):
        letters = r"\eta\, \min\left(1,\, 1 / \lVert g \rVert_1\right)"
        with np.errstate(over="ignore"):
            length = lr * min(1.0, 1 / float(np.abs(grad).sum()))
    numbers, size = latex(length), float(np.abs(direction).max())
    if knobs["line_search"] and 0 < size < np.inf and np.all(np.isfinite(step)):
        unit = direction / size
        taken = float((step / size) @ unit / (unit @ unit))
        if taken > 0:
            halvings = round(float(np.log2(length / taken)))
            terms.append(Term(r"\text{halvings } k", "", "", float(halvings)))
            letters, numbers = rf"{letters}\, 2^{{-k}}", rf"{numbers}\cdot 2^{{-{halvings}}}"
            length *= 0.5**halvings
        else:
            letters, numbers, length = r"\text{no length lowers } f \text{ enough}", "", 0.0
    terms.append(Term(r"\alpha", letters, numbers, length))
    terms.append(Term(r"\Delta w_t", r"\alpha\, d", rf"{latex(length)}\, {vector(direction)}", step))
    return _mixed(terms, step)


REFERENCE_ANATOMIES: Mapping[str, Callable[..., Anatomy]] = {
    "Newton": newton_anatomy,
    "L-BFGS": lbfgs_anatomy,
}


# The rule as it is set

# A knob, the value that changes the formula, and what is replaced in the default formula, as regular expressions.
_SWITCHES: Sequence[tuple[str, bool, Sequence[tuple[str, str]]]] = (
    (
        "momentum",
        False,
        (
            (
                r"v \\leftarrow \\mu v \+ (.*),\\quad w \\leftarrow w - \\eta\\, v$",
                r"w \\leftarrow w - \\eta\\, \1",
            ),
        ),
    ),
    ("dampening", False, ((r"\(1-\\tau\)\\, ", ""),)),
    ("bias_correction", False, ((r"/\(1-\\beta_\d\^t\)", ""),)),
    (
        "centered",
        True,
        (
            (r"(?=v \\leftarrow)", r"\\bar g \\leftarrow \\rho \\bar g + (1-\\rho) g,\\quad "),
            (r"\\sqrt\{s\}", r"\\sqrt{s - \\bar g^2}"),
        ),
    ),
    ("saddle_free", True, ((r"\(H", r"(\\lvert H \\rvert"),)),
)


def rule_as_set(update_rule: str, knobs: Knobs) -> str:
    """Return a rule's formula (LaTeX) with its switches as they are set: without bias correction, centered, saddle-free."""
    for name, value, edits in _SWITCHES:
        if knobs.get(name, not value) == value:
            for pattern, new in edits:
                update_rule = re.sub(pattern, new, update_rule)
    return update_rule
