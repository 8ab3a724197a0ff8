"""Weight initializers: the spread that a layer starts with, and the draw of its matrix.

A layer computes y = xW with W of shape (fan_in, fan_out), the layout of Keras and of most NumPy code: column j
holds the weights into unit j. PyTorch stores the transpose, (out_features, in_features), and its fan_in is that
matrix's second axis. In the formulas n_in and n_out are fan_in and fan_out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.knobs import Knob

Array = npt.NDArray[np.float64]

_SQRT3 = math.sqrt(3.0)

TRUNCATION = 2.0
"""Where Keras cuts its normal draws, in standard deviations of the normal distribution before the cut."""
TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of N(0, 1) cut at ±2: √(1 − 4φ(2)/(2Φ(2) − 1)), as Keras and TensorFlow write it."""


def _check_fans(fan_in: int, fan_out: int) -> None:
    if fan_in < 1 or fan_out < 1:
        raise ValueError(f"fan_in = {fan_in}, fan_out = {fan_out}: need whole numbers from 1")


def fill_normal(out: Array, rng: np.random.Generator) -> None:
    """Draw all entries of a contiguous array from N(0, 1), in its order."""
    rng.standard_normal(out=out)


def fill_uniform(out: Array, rng: np.random.Generator) -> None:
    """Draw all entries of a contiguous array from U(−√3, √3), in its order."""
    rng.random(out=out)
    out -= 0.5
    out *= 2.0 * _SQRT3


def unit_normal(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw (fan_in, fan_out) entries from N(0, 1), untruncated."""
    draw = np.empty((fan_in, fan_out))
    fill_normal(draw, rng)
    return draw


def unit_truncated(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw (fan_in, fan_out) entries from N(0, 1) cut at ±2, divided by its standard deviation 0.8796.

    What falls outside is drawn again, so 95 % of the entries are those of ``unit_normal`` over 0.8796.
    """
    draw = rng.standard_normal((fan_in, fan_out))
    while (outside := np.abs(draw) > TRUNCATION).any():
        draw[outside] = rng.standard_normal(np.count_nonzero(outside))
    draw /= TRUNCATED_STD
    return draw


def unit_uniform(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Draw (fan_in, fan_out) entries from U(−√3, √3), which has standard deviation 1."""
    draw = np.empty((fan_in, fan_out))
    fill_uniform(draw, rng)
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


SPARSITY = 0.9


def nonzero_weights(fan_in: int, sparsity: float = SPARSITY) -> int:
    """Return how many of a unit's fan_in weights are not 0: max(1, fan_in − ⌈sparsity·fan_in⌉)."""
    return max(1, fan_in - math.ceil(sparsity * fan_in))


def unit_sparse(fan_in: int, fan_out: int, rng: np.random.Generator, sparsity: float = SPARSITY) -> Array:
    """Draw (fan_in, fan_out) entries of which k = ``nonzero_weights`` in every column are N(0, fan_in/k), the rest 0.

    A column holds the weights into one unit, as Martens has it; over all positions an entry has standard
    deviation 1. The normal numbers are those of ``unit_normal``.
    """
    draw = rng.standard_normal((fan_in, fan_out))
    k = nonzero_weights(fan_in, sparsity)
    order = np.argsort(rng.random((fan_in, fan_out)), axis=0)
    np.put_along_axis(draw, order[k:], 0.0, axis=0)
    draw *= math.sqrt(fan_in / k)
    return draw


def unit_identity(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Return √max(fan_in, fan_out) times the (fan_in, fan_out) identity: nothing random, an rms entry of 1."""
    return math.sqrt(max(fan_in, fan_out)) * np.eye(fan_in, fan_out)


def unit_constant(fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """Return (fan_in, fan_out) zeros: a constant has no spread, its mean is all there is."""
    return np.zeros((fan_in, fan_out))


FAMILIES: dict[str, Callable[..., Array]] = {
    "normal": unit_normal,
    "truncated normal": unit_truncated,
    "uniform": unit_uniform,
    "orthogonal": unit_orthogonal,
    "sparse": unit_sparse,
    "identity": unit_identity,
    "constant": unit_constant,
}
"""Unit draws, (fan_in, fan_out, rng, *options) → (fan_in, fan_out) with mean 0 and standard deviation 1 (the
identity: rms 1). Every scheme of a family with the same options is one such matrix times its ``std``, so that
schemes can be compared on common random numbers."""

SEQUENTIAL: dict[str, Callable[[Array, np.random.Generator], None]] = {
    "normal": fill_normal,
    "uniform": fill_uniform,
}
"""Families that take their entries from the stream one after the other, so that a smaller matrix of a stream is the
beginning of a larger one; each fills an array, (…) and a generator, in place."""
FIXED = frozenset({"identity", "constant"})
"""Families with nothing random in them: one matrix for all networks and layers of its shape."""


def _one(fan_in: int, fan_out: int) -> float:
    _check_fans(fan_in, fan_out)
    return 1.0


@dataclass(frozen=True)
class Initializer:
    """One scheme: the standard deviation of a weight, and the family of its distribution. W is (fan_in, fan_out).

    ``std(fan_in, fan_out)`` is the standard deviation of an entry and ``mean`` its expectation, both exact; for
    the identity, which is not random, ``std`` is the rms entry. Uniform schemes also carry
    ``bound(fan_in, fan_out)``: the entries lie within ±bound, and std = bound/√3. All raise ValueError for a fan
    below 1. ``aliases`` are other names of the scheme, for links. A scheme with ``knobs`` stands for its default;
    ``at`` gives it with other values. ``options`` are the further arguments of the family's unit draw.

    ``multiplier(fan_in, fan_out)`` is a factor m of the layer itself, y = x·(m·V): V, of standard deviation
    std/m, is what is stored and trained; ``std``, ``mean`` and ``draw`` are about W = m·V. So dL/dV = m·dL/dW,
    and a gradient step of rate η on V moves W like one of rate m²·η. It is 1 except in NTK parametrization.

    ``elementwise``: unit j of a layer sees nothing but unit j below. ``data_dependent``: ``draw`` is only the
    start, which ``core.propagation.propagate`` goes on to rescale on its batch.
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
    options: tuple[float, ...] = ()
    multiplier: Callable[[int, int], float] = _one
    elementwise: bool = False
    data_dependent: bool = False

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
        return self.mean + std * FAMILIES[self.family](fan_in, fan_out, rng, *self.options)


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


def _truncated(name: str, variance: Rule, formula: str, source: str, *aliases: str) -> Initializer:
    std = _checked(lambda fan_in, fan_out: math.sqrt(variance(fan_in, fan_out)))
    return Initializer(name, std, "truncated normal", formula, source, aliases=aliases)


_VALUE = Knob(
    "value", "float", 0.1, label="Value", low=-2.0, high=2.0, step=0.01, symbol="c", help="The value of every weight.",
)  # fmt: skip
_SPREAD = Knob(
    "std", "float", 0.1, label="Spread", low=1e-4, high=10.0, log=True, symbol="s",
    help="Standard deviation of a weight, whatever the width.",
)  # fmt: skip
_GAIN = Knob(
    "gain", "float", 1.0, label="Gain", low=0.05, high=10.0, step=0.01, symbol="g",
    help="Standard deviation of a weight times √fan_in: 1 is LeCun's scheme, √2 is He's.",
)  # fmt: skip
_SPARSITY = Knob(
    "sparsity", "float", SPARSITY, label="Sparsity", low=0.0, high=0.99, step=0.01, symbol="ρ",
    help="Share of a unit's incoming weights that are 0; at least one is not.",
)  # fmt: skip


def constant(value: float) -> Initializer:
    """Return the scheme in which every weight is ``value``."""
    return Initializer(
        "constant",
        _checked(lambda fan_in, fan_out: 0.0),
        "constant",
        "c",
        "like zeros, all units of a layer stay equal",
        mean=value,
        knobs=(_VALUE,),
        build=constant,
    )


def fixed_spread(std: float) -> Initializer:
    """Return the scheme N(0, std²), which does not look at the fans."""
    return Initializer(
        "fixed spread",
        _checked(lambda fan_in, fan_out: std),
        "normal",
        r"\mathcal N(0,\ s^2)",
        "torch.nn.init.normal_: a standard deviation of one's own",
        aliases=("N(0, s²)",),
        knobs=(_SPREAD,),
        build=fixed_spread,
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


def sparse(sparsity: float, gain: float) -> Initializer:
    """Return the scheme in which k of the fan_in weights into a unit are N(0, gain²/k) and the rest are 0.

    k is ``nonzero_weights(fan_in, sparsity)``. Martens takes k = 15 and N(0, 1), whatever the fan_in; here the
    spread follows k, so that a sum over the nonzero weights, and the standard deviation gain/√fan_in over all
    positions, are those of the dense scheme with this gain. ``torch.nn.init.sparse_`` counts the zeros the same
    way but along a column of its (out, in) matrix, that is for every input rather than for every unit, and
    leaves the nonzero weights at N(0, 0.01²).
    """
    return Initializer(
        "sparse",
        _checked(lambda fan_in, fan_out: gain / math.sqrt(fan_in)),
        "sparse",
        r"k \text{ of } n_\mathrm{in} \text{ weights of a unit } \mathcal N(0,\ g^2/k), \text{ the rest } 0,\quad "
        r"k = \max(1,\ n_\mathrm{in} - \lceil \rho\,n_\mathrm{in}\rceil)",
        "Martens 2010, Deep learning via Hessian-free optimization",
        knobs=(_SPARSITY, _GAIN),
        build=sparse,
        options=(sparsity,),
    )


_LECUN = "LeCun, Bottou, Orr, Müller 1998, Efficient BackProp"
_GLOROT = "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks"
_HE = "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers"

_KERAS = "; as Keras draws it: cut at two standard deviations, with σ divided by 0.8796 to keep the variance"
_FAN_OUT = "; torch.nn.init with mode='fan_out', which keeps the gradient instead of the signal"

_ENTRIES = (
    Initializer(
        "zeros",
        _checked(lambda fan_in, fan_out: 0.0),
        "constant",
        "0",
        "the counterexample of every course: all units of a layer stay equal",
    ),
    constant(0.1),
    Initializer(
        "identity",
        _checked(lambda fan_in, fan_out: 1 / math.sqrt(max(fan_in, fan_out))),
        "identity",
        r"W_{ij} = 1 \text{ if } i = j, \text{ else } 0",
        "Le, Jaitly, Hinton 2015, A simple way to initialize recurrent networks of rectified linear units; torch.nn.init.eye_",
        elementwise=True,
    ),
    _normal(
        "N(0, 0.01²)",
        lambda fan_in, fan_out: 1e-4,
        r"\mathcal N(0,\ 0.01^2)",
        "Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional networks",
    ),
    _normal("N(0, 1)", lambda fan_in, fan_out: 1.0, r"\mathcal N(0,\ 1)", "a draw without any scaling"),
    fixed_spread(0.1),
    _normal(
        "LeCun normal",
        lambda fan_in, fan_out: 1 / fan_in,
        r"\mathcal N(0,\ 1/n_\mathrm{in})",
        f"{_LECUN}; Klambauer et al. 2017 ask for it with SELU",
        "SELU's LeCun",
    ),
    _uniform(
        "LeCun uniform",
        lambda fan_in, fan_out: math.sqrt(3 / fan_in),
        r"\mathcal U\left(\pm\sqrt{3/n_\mathrm{in}}\right)",
        _LECUN,
    ),
    _truncated(
        "LeCun truncated",
        lambda fan_in, fan_out: 1 / fan_in,
        r"\mathcal N_{\pm 2}(0,\ 1/n_\mathrm{in})",
        _LECUN + _KERAS,
        "LeCun normal (Keras)",
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
    _truncated(
        "Glorot truncated",
        lambda fan_in, fan_out: 2 / (fan_in + fan_out),
        r"\mathcal N_{\pm 2}(0,\ 2/(n_\mathrm{in}+n_\mathrm{out}))",
        _GLOROT + _KERAS,
        "Glorot normal (Keras)",
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
    _truncated(
        "He truncated",
        lambda fan_in, fan_out: 2 / fan_in,
        r"\mathcal N_{\pm 2}(0,\ 2/n_\mathrm{in})",
        _HE + _KERAS,
        "He normal (Keras)",
    ),
    _normal(
        "He normal (fan_out)",
        lambda fan_in, fan_out: 2 / fan_out,
        r"\mathcal N(0,\ 2/n_\mathrm{out})",
        _HE + _FAN_OUT,
        "Kaiming normal (fan_out)",
    ),
    _uniform(
        "He uniform (fan_out)",
        lambda fan_in, fan_out: math.sqrt(6 / fan_out),
        r"\mathcal U\left(\pm\sqrt{6/n_\mathrm{out}}\right)",
        _HE + _FAN_OUT,
        "Kaiming uniform (fan_out)",
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
    Initializer(
        "NTK",
        _checked(lambda fan_in, fan_out: 1 / math.sqrt(fan_in)),
        "normal",
        r"V/\sqrt{n_\mathrm{in}},\ V_{ij} \sim \mathcal N(0,\ 1); \quad "
        r"\partial L/\partial V = \partial L/\partial W/\sqrt{n_\mathrm{in}},\ \eta_V = n_\mathrm{in}\,\eta_W",
        "Jacot, Gabriel, Hongler 2018, Neural tangent kernel",
        multiplier=_checked(lambda fan_in, fan_out: 1 / math.sqrt(fan_in)),
    ),
    sparse(SPARSITY, 1.0),
    custom(1.0),
)

INITIALIZERS: dict[str, Initializer] = {entry.name: entry for entry in _ENTRIES}
"""Schemes by name. Gains are 1 unless the name says otherwise (He's √2 is in its formula). The normal schemes
are untruncated, as in ``torch.nn.init``; those called truncated are what Keras names LeCun, Glorot and He normal.
``NTK`` has the forward pass of ``LeCun normal``; its gradient of the weights is smaller by √fan_in, and the rate
that moves its layer as far is fan_in times as large."""

LSUV = Initializer(
    "LSUV",
    _checked(lambda fan_in, fan_out: 1 / math.sqrt(max(fan_in, fan_out))),
    "orthogonal",
    r"Q/\sqrt{\mathrm{Var}\,(\varphi(h)\,Q)},\ Q \text{ orthonormal}",
    "Mishkin, Matas 2016, All you need is a good init",
    data_dependent=True,
)
"""Layer-sequential unit variance: an orthonormal matrix, divided by the standard deviation of what the layer gives on
a batch. Its spread is known only on data, so it is not in the registry; ``core.propagation`` takes it like any
entry."""

DATA_DEPENDENT: dict[str, Initializer] = {LSUV.name: LSUV}
"""Schemes by name that need a batch, to be offered beside ``INITIALIZERS`` where a batch runs through the layers."""
