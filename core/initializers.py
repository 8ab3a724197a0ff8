"""Weight initializers: the spread that a layer starts with, and the draw of its matrix.

A layer computes y = xW with W of shape (fan_in, fan_out), the layout of Keras and of most NumPy code.
PyTorch stores the transpose, (out_features, in_features), and its fan_in is that matrix's second axis.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.knobs import Knob

Array = npt.NDArray[np.float64]

_SQRT3 = math.sqrt(3.0)


def _check_fans(fan_in: int, fan_out: int) -> None:
    if fan_in < 1 or fan_out < 1:
        raise ValueError(f"fan_in = {fan_in}, fan_out = {fan_out}: need whole numbers from 1")


def unit_normal(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw (fan_in, fan_out) entries from N(0, 1), untruncated."""
    return rng.standard_normal((fan_in, fan_out))


def unit_uniform(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw (fan_in, fan_out) entries from U(−√3, √3), which has standard deviation 1."""
    draw = rng.random((fan_in, fan_out))
    draw -= 0.5
    draw *= 2.0 * _SQRT3
    return draw


def unit_orthogonal(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw √max(fan_in, fan_out) times a Haar-distributed matrix with orthonormal rows or columns.

    The squares of the entries of an orthonormal (m, n) matrix sum to min(m, n), so that by symmetry an
    entry has standard deviation 1/√max(m, n); the factor makes it 1. The QR decomposition of a normal
    matrix is Haar-distributed once the diagonal of R is made positive (Mezzadri 2007,
    "How to generate random matrices from the classical compact groups").
    """
    tall, slim = max(fan_in, fan_out), min(fan_in, fan_out)
    q, r = np.linalg.qr(rng.standard_normal((tall, slim)))
    q *= np.where(np.diagonal(r) < 0, -math.sqrt(tall), math.sqrt(tall))
    return q if fan_in >= fan_out else np.ascontiguousarray(q.T)


def unit_constant(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Return (fan_in, fan_out) zeros: a constant has no spread, its mean is all there is."""
    return np.zeros((fan_in, fan_out))


FAMILIES: dict[str, Callable[[int, int, np.random.Generator], Array]] = {
    "normal": unit_normal,
    "uniform": unit_uniform,
    "orthogonal": unit_orthogonal,
    "constant": unit_constant,
}
"""Unit draws, (fan_in, fan_out, rng) → (fan_in, fan_out) with mean 0 and standard deviation 1. Every
scheme of a family is one such matrix times its ``std``, so that schemes can be compared on common random
numbers."""


@dataclass(frozen=True)
class Initializer:
    """One scheme: the standard deviation of a weight, and the family of its distribution.

    ``std(fan_in, fan_out)`` is the standard deviation of an entry and ``mean`` its expectation, both exact.
    Uniform schemes also carry ``bound(fan_in, fan_out)``: the entries lie within ±bound, and std = bound/√3.
    Both raise ValueError for a fan below 1. ``aliases`` are other names of the scheme, for links. A scheme with
    ``knobs`` stands for its default; ``at`` gives it with other values.
    """

    name: str
    std: Callable[[int, int], float]
    family: str
    formula: str
    source: str
    mean: float = 0.0
    bound: Callable[[int, int], float] | None = None
    aliases: tuple[str, ...] = ()
    knobs: tuple[Knob, ...] = ()
    build: "Callable[..., Initializer] | None" = None

    def at(self, **knobs: float) -> "Initializer":
        """Return the scheme with its knobs set, itself if it has none.

        Raises:
            KnobError: a value is out of range. TypeError: there is no such knob.
        """
        if self.build is None:
            if knobs:
                raise TypeError(f"{self.name} has no knob {', '.join(knobs)}")
            return self
        known = {knob.name: knob for knob in self.knobs}
        unknown = set(knobs) - set(known)
        if unknown:
            raise TypeError(f"{self.name} has no knob {', '.join(sorted(unknown))}")
        return self.build(**{name: knob.check(knobs.get(name, knob.default)) for name, knob in known.items()})

    def draw(self, fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
        """Draw W of shape (fan_in, fan_out): mean + std times the unit draw of the family.

        Raises:
            ValueError: a fan is below 1.
        """
        std = self.std(fan_in, fan_out)
        return self.mean + std * FAMILIES[self.family](fan_in, fan_out, rng)


Rule = Callable[[int, int], float]


def _checked(rule: Rule) -> Rule:
    def of_fans(fan_in: int, fan_out: int) -> float:
        _check_fans(fan_in, fan_out)
        return rule(fan_in, fan_out)

    return of_fans


def _normal(name: str, variance: Rule, formula: str, source: str, *aliases: str) -> Initializer:
    std = _checked(lambda fan_in, fan_out: math.sqrt(variance(fan_in, fan_out)))
    return Initializer(name, std, "normal", formula, source, aliases=aliases)


def _uniform(name: str, bound: Rule, formula: str, source: str, *aliases: str) -> Initializer:
    std = _checked(lambda fan_in, fan_out: bound(fan_in, fan_out) / _SQRT3)
    return Initializer(name, std, "uniform", formula, source, bound=_checked(bound), aliases=aliases)


def _constant(name: str, value: float, formula: str, source: str) -> Initializer:
    return Initializer(name, _checked(lambda fan_in, fan_out: 0.0), "constant", formula, source, mean=value)


_GAIN = Knob(
    "gain",
    "float",
    1.0,
    label="Gain",
    low=0.05,
    high=10.0,
    step=0.01,
    symbol="g",
    help="Standard deviation of a weight times √fan_in: 1 is LeCun's scheme, √2 is He's.",
)


def custom(gain: float) -> Initializer:
    """Return the scheme N(0, gain²/fan_in), the way ``torch.nn.init`` scales by a gain."""
    return Initializer(
        "custom",
        _checked(lambda fan_in, fan_out: gain / math.sqrt(fan_in)),
        "normal",
        r"\mathcal N(0,\ g^2/n_\mathrm{in})",
        "torch.nn.init.calculate_gain: a gain of one's own",
        knobs=(_GAIN,),
        build=custom,
    )


_LECUN = "LeCun, Bottou, Orr, Müller 1998, Efficient BackProp"
_GLOROT = "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks"
_HE = "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers"

_ENTRIES = (
    _constant("zeros", 0.0, r"0", "the counterexample of every course: all units of a layer stay equal"),
    _constant("constant", 0.1, r"0.1", "like zeros, all units of a layer stay equal; the value is 0.1"),
    _normal(
        "N(0, 0.01²)",
        lambda fan_in, fan_out: 1e-4,
        r"\mathcal N(0,\ 0.01^2)",
        "Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional networks",
    ),
    _normal("N(0, 1)", lambda fan_in, fan_out: 1.0, r"\mathcal N(0,\ 1)", "a draw without any scaling"),
    _normal("LeCun normal", lambda fan_in, fan_out: 1 / fan_in, r"\mathcal N(0,\ 1/n_\mathrm{in})", _LECUN),
    _uniform(
        "LeCun uniform",
        lambda fan_in, fan_out: math.sqrt(3 / fan_in),
        r"\mathcal U\left(\pm\sqrt{3/n_\mathrm{in}}\right)",
        _LECUN,
    ),
    _normal(
        "Glorot normal",
        lambda fan_in, fan_out: 2 / (fan_in + fan_out),
        r"\mathcal N(0,\ 2/(n_\mathrm{in}+n_\mathrm{out}))",
        _GLOROT,
        "Xavier normal",
    ),
    _uniform(
        "Glorot uniform",
        lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out)),
        r"\mathcal U\left(\pm\sqrt{6/(n_\mathrm{in}+n_\mathrm{out})}\right)",
        _GLOROT,
        "Xavier uniform",
    ),
    _normal(
        "He normal",
        lambda fan_in, fan_out: 2 / fan_in,
        r"\mathcal N(0,\ 2/n_\mathrm{in})",
        _HE,
        "Kaiming normal",
    ),
    _uniform(
        "He uniform",
        lambda fan_in, fan_out: math.sqrt(6 / fan_in),
        r"\mathcal U\left(\pm\sqrt{6/n_\mathrm{in}}\right)",
        _HE,
        "Kaiming uniform",
    ),
    Initializer(
        "orthogonal",
        _checked(lambda fan_in, fan_out: 1 / math.sqrt(max(fan_in, fan_out))),
        "orthogonal",
        r"W^\top W = I\ \text{or}\ W W^\top = I",
        "Saxe, McClelland, Ganguli 2014, Exact solutions to the nonlinear dynamics of learning",
    ),
    _uniform(
        "PyTorch Linear",
        lambda fan_in, fan_out: 1 / math.sqrt(fan_in),
        r"\mathcal U\left(\pm 1/\sqrt{n_\mathrm{in}}\right)",
        "torch.nn.Linear: kaiming_uniform_ with a=√5, variance 1/(3 fan_in)",
    ),
    custom(1.0),
)

INITIALIZERS: dict[str, Initializer] = {entry.name: entry for entry in _ENTRIES}
"""Schemes by name. Gains are 1 unless the name says otherwise (He's √2 is in its formula). The normal schemes
are untruncated, as in ``torch.nn.init``; Keras truncates LeCun, Glorot and He normal at two standard
deviations and divides σ by 0.8796 to keep the variance."""
