"""Loss surfaces over two weights: formula, derivatives, window, starts and stationary points.

``SURFACES`` maps a name (menu label, legend entry and link value) to a ``Surface``. Positions and values of
stationary points are stored to 17 significant digits; those that look rounded are exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core import surface_formulas as formulas
from core.knobs import Knob
from core.regression import Samples, line_loss, linear_samples, logistic_samples
from core.surface_formulas import Array, Evaluate, gradient, hessian, value

Kind = Literal["minimum", "maximum", "saddle", "degenerate"]
Point = tuple[float, float]
Axis = tuple[tuple[float, float, Kind], ...]


@dataclass(frozen=True)
class Stationary:
    """A point where the gradient is zero.

    ``kind`` follows from the signs of the Hessian's eigenvalues; "degenerate" is a point where they do not
    decide and that is neither minimum nor maximum. ``is_global``: no point of the window is lower (nor of
    the plane, if the surface is bounded below). ``isolated`` is False for one point of a whole curve of
    such points, ``smooth`` is False where f has a kink and the gradient is zero by definition only (on a
    surface that a visitor typed, a kink can be a minimum whose gradient is another subgradient than zero).
    """

    point: Point
    value: float
    kind: Kind
    is_global: bool = False
    isolated: bool = True
    smooth: bool = True


@dataclass(frozen=True)
class Surface:
    """A function of two weights with analytic derivatives.

    ``f``, ``grad`` and ``hessian`` map points (..., 2) to (...), (..., 2) and (..., 2, 2). They take the
    ``knobs`` as keywords, scalars or arrays that broadcast with the leading axes, and keep the float type of
    the points. Overflow far out comes back as inf or NaN, without a warning. They raise ``ValueError`` for
    points of another shape or a knob outside its range, ``TypeError`` for an unknown keyword.

    ``window`` (x_low, x_high, y_low, y_high) is what is drawn, ``starts`` are canonical, the first is the
    default. ``rate`` is a learning rate at which plain gradient descent stays finite and goes down from the
    first start. ``stationary`` holds for every value of the knobs; ``complete`` says that the window has no
    other stationary point. ``formula`` is LaTeX in x and y, ``source`` a paper or book, ``note`` what is
    special. ``aliases`` are other spellings and names it once had, for links.

    ``samples`` are the data of a loss that is a mean over samples; it has mini-batches. ``online`` (w, t) →
    (..., 2) is the gradient of the loss shown at step t = 1, 2, … where each step shows another one and f is
    their average. ``box`` (low, high) limits both coordinates: the surface is a problem on this square only,
    points are projected to it, and ``best`` is its lowest point where that is on the border and the gradient
    not zero; a surface without a box is a problem on the whole plane and has no ``best``.
    """

    name: str
    f: Evaluate
    grad: Evaluate
    hessian: Evaluate
    window: tuple[float, float, float, float]
    starts: tuple[Point, ...]
    stationary: tuple[Stationary, ...]
    formula: str
    source: str
    rate: float
    note: str = ""
    complete: bool = True
    bounded_below: bool = True
    knobs: tuple[Knob, ...] = ()
    aliases: tuple[str, ...] = ()
    samples: Samples | None = None
    online: Callable[[Array, int], Array] | None = None
    box: tuple[float, float] | None = None
    best: Point | None = None

    @property
    def minima(self) -> tuple[Stationary, ...]:
        """The listed minima, global and local."""
        return tuple(s for s in self.stationary if s.kind == "minimum")

    @property
    def infimum(self) -> float | None:
        """f*, the value of the global minimum, or of the best point of the box; None if there is neither.

        On a surface that is not bounded below, but has a lowest point in its window, it is that one's.
        """
        if self.best is not None:
            return float(self.f(self.best))
        return next((s.value for s in self.stationary if s.is_global), None)

    @property
    def targets(self) -> tuple[Point, ...]:
        """Where a run should end: the minima, or the best point of the box."""
        return tuple(s.point for s in self.minima) if self.best is None else (self.best,)

    def project(self, w: Array) -> Array:
        """Return the nearest point of the box, (..., 2) → (..., 2); the point itself where there is no box.

        A coordinate that is not finite stays as it is, so that a run that overflows is seen to.
        """
        if self.box is None:
            return w
        return np.where(np.isfinite(w), np.clip(w, *self.box), w)


@dataclass(frozen=True)
class OnlineProblem:
    """A surface whose steps show one loss each: the gradient is that of step t, f is the average loss.

    ``core.descent.descend`` takes it as it is. Its steps count from 0, those of ``Surface.online`` from 1.
    """

    surface: Surface

    def __post_init__(self) -> None:
        """Refuse a surface that shows the same loss at every step."""
        if self.surface.online is None:
            raise ValueError(f"{self.surface.name} has no loss of its own for each step")

    def f(self, w: Array) -> Array:
        """Return the average loss, (..., 2) → (...)."""
        return self.surface.f(w)

    def grad_at(self, w: Array, t: int) -> Array:
        """Return the gradient of the loss shown for the step from t to t+1, (..., 2) → (..., 2)."""
        assert self.surface.online is not None
        return self.surface.online(w, t + 1)

    def project(self, w: Array) -> Array:
        """Return the nearest point of the surface's box, (..., 2) → (..., 2)."""
        return self.surface.project(w)


def rotate_start(start: ArrayLike, theta: ArrayLike) -> Array:
    """Turn a start with the axes of the quadratic bowl, so that it keeps its place among them.

    Args:
        start: (..., 2), coordinates along the eigenvectors of 4/κ and of 4.
        theta: angle in degrees, broadcast with the leading axes of ``start``.

    Returns:
        (..., 2), the same point in x and y.
    """
    u, v = np.moveaxis(np.asarray(start, dtype=float), -1, 0)
    c, s = formulas.rotation(np.asarray(theta, dtype=float))
    return np.stack(np.broadcast_arrays(c * u - s * v, s * u + c * v), axis=-1)


def _mirrored(points: tuple[Stationary, ...], signs: tuple[Point, ...]) -> tuple[Stationary, ...]:
    """Images of each point under sign changes; one that lies on an axis is its own image, and comes once."""
    images = (
        replace(s, point=(sx * s.point[0] + 0.0, sy * s.point[1] + 0.0))  # + 0.0: no negative zeros
        for s in points
        for sx, sy in signs
    )
    return tuple(dict.fromkeys(images))


def _opposite(*points: Stationary) -> tuple[Stationary, ...]:
    """Each point and its mirror image through the origin."""
    return _mirrored(points, ((1, 1), (-1, -1)))


def _quadrants(*points: Stationary) -> tuple[Stationary, ...]:
    """Points of the first quadrant and their images in the other three."""
    return _mirrored(points, ((1, 1), (-1, 1), (1, -1), (-1, -1)))


def _separable(xs: Axis, ys: Axis) -> tuple[Stationary, ...]:
    """Stationary points of a(x) + b(y) from those of a and b: (position, value, kind) each."""
    lowest = min(a for _, a, _ in xs) + min(b for _, b, _ in ys)
    return tuple(
        Stationary((x, y), a + b, kind_x if kind_x == kind_y else "saddle", a + b == lowest)
        for (x, a, kind_x), (y, b, kind_y) in product(xs, ys)
    )


_ORIGIN = Stationary((0.0, 0.0), 0.0, "minimum", True)

_RASTRIGIN_RIGHT: Axis = (
    (0.50254603655467463, 20.251272990990113, "maximum"),
    (0.9949586376523348, 0.99495905709329139, "minimum"),
    (1.5076407318703584, 22.261458884805919, "maximum"),
    (1.9899122337085496, 3.9798311905540875, "minimum"),
    (2.5127433182000849, 26.281841177512231, "maximum"),
    (2.9848557010394812, 8.9546012414870106, "minimum"),
    (3.5178591381704409, 32.312440977260395, "maximum"),
    (3.9797838603007538, 15.919243792461531, "minimum"),
    (4.5229936595845188, 40.353290193838956, "maximum"),
    (4.9746913908950513, 24.873722934542224, "minimum"),
)
_RASTRIGIN_AXIS: Axis = (
    *((-x, a, kind) for x, a, kind in reversed(_RASTRIGIN_RIGHT)),
    (0.0, 0.0, "minimum"),
    *_RASTRIGIN_RIGHT,
)
_STYBLINSKI_AXIS: Axis = (
    (-2.9035340277711771, -39.166165703771415, "minimum"),
    (0.1567312567803401, 0.19561235905535807, "maximum"),
    (2.746802770990837, -25.029446655283943, "minimum"),
)
_LEVY_X: Axis = (
    (-8.244554665464945, 6.0558514249730797, "minimum"),
    (-6.4961994283080653, 37.715268282387383, "maximum"),
    (-4.2054349857182037, 2.4000794081802463, "minimum"),
    (-2.7053160403868707, 8.5407415898608383, "maximum"),
    (1.0, 0.0, "minimum"),
    (2.7688604518537935, 2.0761167558090912, "maximum"),
    (3.7910821904505098, 1.1604532106739116, "minimum"),
    (6.1090588088192378, 17.103587739218841, "maximum"),
    (7.7230821507904613, 3.53592220199619, "minimum"),
    (9.9378739879079543, 54.012509188773882, "maximum"),
)
_LEVY_Y: Axis = (
    (-8.9590233206079378, 6.2245305257135599, "minimum"),
    (-8.0894753704424007, 10.225989180207916, "maximum"),
    (-6.9484522784875189, 3.974450143275383, "minimum"),
    (-6.1145634572714051, 6.2257786077245005, "maximum"),
    (-4.930286250610244, 2.2242709774088094, "minimum"),
    (-4.158843090997565, 3.2252862820731998, "maximum"),
    (-2.8906496084617133, 0.97371159557684978, "minimum"),
    (-2.2566622186778071, 1.2237006012831849, "maximum"),
    (1.0, 0.0, "minimum"),
    (4.2566622186778071, 1.2237006012831849, "maximum"),
    (4.8906496084617133, 0.97371159557684978, "minimum"),
    (6.158843090997565, 3.2252862820731998, "maximum"),
    (6.930286250610244, 2.2242709774088094, "minimum"),
    (8.1145634572714051, 6.2257786077245005, "maximum"),
    (8.9484522784875189, 3.974450143275383, "minimum"),
)
_DROP_WAVE_RINGS: Axis = (
    (0.26179938779914944, 0.0, "maximum"),
    (0.52021555887321432, -0.93624532780794165, "minimum"),
    (0.78539816339744831, 0.0, "maximum"),
    (1.0415100263421078, -0.78575133465235817, "minimum"),
    (1.3089969389957472, 0.0, "maximum"),
    (1.5640602821972157, -0.61949943677381759, "minimum"),
    (1.8325957145940461, 0.0, "maximum"),
)
_C = 3.0  # the large gradient of AMSGrad's example; the average over three steps is (C − 2)/3 = 1/3
_LINE = linear_samples()
_LINE_LOSS = line_loss(_LINE)
_CLASSES = logistic_samples()
_EASOM_SIDES = (1.3049954504376675, 4.978189856741919)  # both sides of the needle at π
_EASOM_ZEROS = (1.5707963267948966, 4.7123889803846899)  # cos = 0


def _one_in_three(w: Array, t: int) -> Array:
    """Gradient of f_t = g_t x + y/3 with g_t = C at t = 1, 4, 7, … and −1 at the other steps."""
    slope = np.empty_like(w, dtype=w.dtype if w.dtype.kind == "f" else float)
    slope[..., 0] = _C if t % 3 == 1 else -1.0
    slope[..., 1] = (_C - 2) / 3
    return slope


_ENTRIES = (
    Surface(
        name="Quadratic bowl",
        aliases=("Quadratic",),
        f=value(formulas.bowl),
        grad=gradient(formulas.bowl_gradient),
        hessian=hessian(formulas.bowl_hessian),
        window=(-6.0, 3.0, -3.5, 3.0),
        starts=((-5.0, -2.0),),
        stationary=(_ORIGIN,),
        formula=r"\tfrac12(\lambda_1 u^2 + \lambda_2 v^2),\quad \lambda_2 = 4 = \kappa\lambda_1,\quad"
        r" u = x\cos\theta + y\sin\theta,\ v = y\cos\theta - x\sin\theta",
        source="Goh 2017, Why Momentum Really Works, Distill",
        rate=0.45,
        note="Gradient descent converges if and only if the rate is below 2/λ₂ = 0.5, at every angle.",
        knobs=(
            Knob("kappa", "float", 50.0, "Condition number", 1, 1000, log=True, symbol="κ", help="λ₂/λ₁"),
            Knob("theta", "float", 0.0, "Rotation", 0, 90, step=1, unit="°", symbol="θ"),
        ),
    ),
    Surface(
        name="Elongated valley",
        f=value(lambda x, y: 0.1 * x * x + 2 * y * y),
        grad=gradient(lambda x, y: (0.2 * x, 4 * y)),
        hessian=hessian(lambda x, y: (0.2, 0.0, 4.0)),
        window=(-6.0, 3.0, -3.5, 3.0),
        starts=((-5.0, -2.0),),
        stationary=(_ORIGIN,),
        formula=r"0.1x^2 + 2y^2",
        source="Zhang, Lipton, Li and Smola, Dive into Deep Learning, section 12.6",
        rate=0.4,
        note="Condition number 20: rate 0.4 converges, rate 0.6 diverges along y.",
    ),
    Surface(
        name="Rosenbrock",
        f=value(lambda x, y: (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x)),
        grad=gradient(lambda x, y: (-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x))),
        hessian=hessian(lambda x, y: (2 + 1200 * x * x - 400 * y, -400 * x, 200.0)),
        window=(-2.0, 2.0, -1.0, 3.0),
        starts=((-1.2, 1.0), (-2.0, 2.0)),
        stationary=(Stationary((1.0, 1.0), 0.0, "minimum", True),),
        formula=r"(1-x)^2 + 100(y-x^2)^2",
        source="Rosenbrock 1960, The Computer Journal 3",
        rate=0.001,
        note="A curved valley; at its minimum the condition number is 2508.",
    ),
    Surface(
        name="Beale",
        f=value(formulas.beale),
        grad=gradient(formulas.beale_gradient),
        hessian=hessian(formulas.beale_hessian),
        window=(-4.5, 4.5, -4.5, 4.5),
        starts=((1.0, 1.0), (1.0, 1.5)),
        stationary=(
            Stationary((3.0, 0.5), 0.0, "minimum", True),
            Stationary((0.0, 1.0), 14.203125, "saddle"),
            Stationary((0.10053793732415836, -2.644513585023125), 9.8645122847555602, "saddle"),
        ),
        formula=r"(1.5-x+xy)^2 + (2.25-x+xy^2)^2 + (2.625-x+xy^3)^2",
        source="Beale 1958, On an Iterative Method for Finding a Local Minimum",
        rate=0.01,
        note="Flat near y = 1, walls of degree 8 in the corners.",
    ),
    Surface(
        name="Himmelblau",
        f=value(lambda x, y: (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2),
        grad=gradient(
            lambda x, y: (
                4 * x * (x * x + y - 11) + 2 * (x + y * y - 7),
                2 * (x * x + y - 11) + 4 * y * (x + y * y - 7),
            )
        ),
        hessian=hessian(lambda x, y: (12 * x * x + 4 * y - 42, 4 * (x + y), 12 * y * y + 4 * x - 26)),
        window=(-5.0, 5.0, -5.0, 5.0),
        starts=((0.0, 0.0), (-1.0, -1.0)),
        stationary=(
            Stationary((3.0, 2.0), 0.0, "minimum", True),
            Stationary((-2.8051180869527449, 3.131312518250573), 0.0, "minimum", True),
            Stationary((-3.7793102533777469, -3.2831859912861694), 0.0, "minimum", True),
            Stationary((3.5844283403304917, -1.8481265269644036), 0.0, "minimum", True),
            Stationary((3.3851541836070209, 0.073851879837749288), 13.31192627040559, "saddle"),
            Stationary((0.086677504555396352, 2.8842547011747761), 67.71915008752614, "saddle"),
            Stationary((-3.0730257507643896, -0.081353044287967512), 104.01516291755811, "saddle"),
            Stationary((-0.12796134673068007, -1.9537149802445764), 178.33723920192746, "saddle"),
            Stationary((-0.27084459066734761, -0.92303855647998146), 181.6165215225827, "maximum"),
        ),
        formula=r"(x^2+y-11)^2 + (x+y^2-7)^2",
        source="Himmelblau 1972, Applied Nonlinear Programming",
        rate=0.01,
        note="Four minima of equal depth: which one is reached depends on the rule.",
    ),
    Surface(
        name="Booth",
        f=value(lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2),
        grad=gradient(lambda x, y: (10 * x + 8 * y - 34, 8 * x + 10 * y - 38)),
        hessian=hessian(lambda x, y: (10.0, 8.0, 10.0)),
        window=(-10.0, 10.0, -10.0, 10.0),
        starts=((-6.0, -2.0),),
        stationary=(Stationary((1.0, 3.0), 0.0, "minimum", True),),
        formula=r"(x+2y-7)^2 + (2x+y-5)^2",
        source="Jamil and Yang 2013, A Literature Survey of Benchmark Functions",
        rate=0.1,
        note="A quadratic with condition number 9, its axes turned by 45°.",
    ),
    Surface(
        name="Matyas",
        # 0.26(x² + y²) − 0.48xy cancels along the valley; a sum of squares does not.
        f=value(lambda x, y: 0.24 * (x - y) * (x - y) + 0.02 * (x * x + y * y)),
        grad=gradient(lambda x, y: (0.48 * (x - y) + 0.04 * x, 0.48 * (y - x) + 0.04 * y)),
        hessian=hessian(lambda x, y: (0.52, -0.48, 0.52)),
        window=(-10.0, 10.0, -10.0, 10.0),
        starts=((-9.0, -3.0),),
        stationary=(_ORIGIN,),
        formula=r"0.26(x^2+y^2) - 0.48xy",
        source="Jamil and Yang 2013, A Literature Survey of Benchmark Functions",
        rate=1.5,
        note="A quadratic with condition number 25, its axes turned by 45°.",
    ),
    Surface(
        name="Three-hump camel",
        f=value(lambda x, y: x * x * (1.75 + x * x * (x * x / 6 - 1.05)) + (y + x / 2) ** 2),
        grad=gradient(lambda x, y: (x * (4 + x * x * (x * x - 4.2)) + y, x + 2 * y)),
        hessian=hessian(lambda x, y: (4 + x * x * (5 * x * x - 12.6), 1.0, 2.0)),
        window=(-5.0, 5.0, -5.0, 5.0),
        starts=((-2.0, 2.0),),
        stationary=(
            _ORIGIN,
            *_opposite(
                Stationary((1.7475523458302889, -0.87377617291514445), 0.29863844223685982, "minimum"),
                Stationary((1.07054229182366, -0.53527114591182999), 0.87736155776314018, "saddle"),
            ),
        ),
        formula=r"2x^2 - 1.05x^4 + \tfrac16x^6 + xy + y^2",
        source="Jamil and Yang 2013, A Literature Survey of Benchmark Functions",
        rate=0.02,
        note="The global minimum is 0 at the origin; −1.03 belongs to the six-hump camel.",
    ),
    Surface(
        name="Six-hump camel",
        f=value(lambda x, y: x * x * (4 + x * x * (x * x / 3 - 2.1)) + x * y + 4 * y * y * (y * y - 1)),
        grad=gradient(
            lambda x, y: (x * (8 + x * x * (2 * x * x - 8.4)) + y, x + y * (16 * y * y - 8)),
        ),
        hessian=hessian(lambda x, y: (8 + x * x * (10 * x * x - 25.2), 1.0, 48 * y * y - 8)),
        window=(-3.0, 3.0, -2.0, 2.0),
        starts=((-1.5, 1.5), (1.5, 1.2)),
        stationary=(
            *_opposite(
                Stationary(
                    (0.089842013100318062, -0.71265640302073963), -1.0316284534898774, "minimum", True
                ),
                Stationary((1.7036067149699808, -0.79608356867262512), -0.21546382438371764, "minimum"),
                Stationary((1.6071047529201972, 0.56865145488413137), 2.1042503103112583, "minimum"),
            ),
            Stationary((0.0, 0.0), 0.0, "saddle"),
            *_opposite(
                Stationary((1.1092053368047864, -0.76826809250953984), 0.54371860097818514, "saddle"),
                Stationary((1.6380679841897786, 0.22867406904439407), 2.2293571975307147, "saddle"),
                Stationary((1.2960702671671092, 0.6050843880386585), 2.2294708180298599, "saddle"),
                Stationary((1.2302298765166526, 0.16233458445899497), 2.4962953510235769, "maximum"),
            ),
        ),
        formula=r"(4-2.1x^2+\tfrac13x^4)x^2 + xy + (4y^2-4)y^2",
        source="Dixon and Szegö 1978, Towards Global Optimisation 2",
        rate=0.01,
        note="Six minima in three pairs, seven saddles, two maxima.",
    ),
    Surface(
        name="Styblinski–Tang",
        aliases=("Styblinski-Tang",),
        f=value(lambda x, y: 0.5 * (x * (x * (x * x - 16) + 5) + y * (y * (y * y - 16) + 5))),
        grad=gradient(lambda x, y: (x * (2 * x * x - 16) + 2.5, y * (2 * y * y - 16) + 2.5)),
        hessian=hessian(lambda x, y: (6 * x * x - 16, 0.0, 6 * y * y - 16)),
        window=(-5.0, 5.0, -5.0, 5.0),
        starts=((0.0, 0.0),),
        stationary=_separable(_STYBLINSKI_AXIS, _STYBLINSKI_AXIS),
        formula=r"\tfrac12(x^4-16x^2+5x) + \tfrac12(y^4-16y^2+5y)",
        source="Styblinski and Tang 1990, Neural Networks 3",
        rate=0.02,
        note="Four minima of three depths, −78.33, −64.20 (twice) and −50.06.",
    ),
    Surface(
        name="Goldstein–Price",
        aliases=("Goldstein-Price",),
        f=value(formulas.goldstein_price),
        grad=gradient(formulas.goldstein_price_gradient),
        hessian=hessian(formulas.goldstein_price_hessian),
        window=(-2.0, 2.0, -2.0, 2.0),
        starts=((0.5, -1.5), (0.0, 0.0)),
        stationary=(
            Stationary((0.0, -1.0), 3.0, "minimum", True),
            Stationary((-0.6, -0.4), 30.0, "minimum"),
            Stationary((1.8, 0.2), 84.0, "minimum"),
            Stationary((1.2, 0.8), 840.0, "minimum"),
            Stationary((-0.4, -0.6), 35.0, "saddle"),
            Stationary((0.6, 0.4), 990.0, "saddle"),
            Stationary((1.2, -0.2), 99.0, "saddle"),
            Stationary((1.4, 0.6), 980.0, "saddle"),
            Stationary((0.8, 0.2), 1155.0, "maximum"),
        ),
        formula=r"[1+(x+y+1)^2(19-14x+3x^2-14y+6xy+3y^2)]"
        r"\,[30+(2x-3y)^2(18-32x+12x^2+48y-36xy+27y^2)]",
        source="Goldstein and Price 1971, Mathematics of Computation 25",
        rate=1e-4,
        note="Values from 3 to a million: the walls in the corners need a rate far smaller than the bottom.",
    ),
    Surface(
        name="McCormick",
        # The textbook form with its linear terms gathered: f = sin s + s/2 + (d − 1)², s = x + y, d = x − y.
        f=value(lambda x, y: np.sin(x + y) + 0.5 * (x + y) + (x - y - 1) * (x - y - 1)),
        grad=gradient(
            lambda x, y: (
                np.cos(x + y) + 0.5 + 2 * (x - y - 1),
                np.cos(x + y) + 0.5 - 2 * (x - y - 1),
            )
        ),
        hessian=hessian(lambda x, y: (2 - np.sin(x + y), -2 - np.sin(x + y), 2 - np.sin(x + y))),
        window=(-1.5, 4.0, -3.0, 4.0),
        starts=((3.5, -2.0), (-1.0, 3.0)),
        stationary=(
            Stationary((-0.54719755119659775, -1.5471975511965977), -1.9132229549810364, "minimum", True),
            Stationary((2.5943951023931955, 1.5943951023931955), 1.2283696986087568, "minimum"),
            Stationary((1.5471975511965977, 0.54719755119659775), 1.9132229549810364, "saddle"),
        ),
        formula=r"\sin(x+y) + (x-y)^2 - 1.5x + 2.5y + 1",
        source="McCormick 1976, Mathematical Programming 10",
        rate=0.1,
        note="−1.91 is the minimum of the window only: further down the valley x − y = 1 each next minimum is"
        " lower by π.",
        bounded_below=False,
    ),
    Surface(
        name="Rastrigin",
        f=value(formulas.rastrigin),
        grad=gradient(formulas.rastrigin_gradient),
        hessian=hessian(formulas.rastrigin_hessian),
        window=(-5.12, 5.12, -5.12, 5.12),
        starts=((-2.0, 3.5),),
        stationary=_separable(_RASTRIGIN_AXIS, _RASTRIGIN_AXIS),
        formula=r"20 + x^2 - 10\cos 2\pi x + y^2 - 10\cos 2\pi y",
        source="Rastrigin 1974, Systems of Extremal Control",
        rate=0.002,
        note="121 minima in the window, one of them global.",
    ),
    Surface(
        name="Ackley",
        f=value(formulas.ackley),
        grad=gradient(formulas.ackley_gradient),
        hessian=hessian(formulas.ackley_hessian),
        window=(-5.0, 5.0, -5.0, 5.0),
        starts=((-2.2, 3.4), (0.3, 0.2)),
        stationary=(
            Stationary((0.0, 0.0), 0.0, "minimum", True, smooth=False),
            *_opposite(
                Stationary((0.95216654595017167, 0.0), 2.5799275570298722, "minimum"),
                Stationary((0.0, 0.95216654595017167), 2.5799275570298722, "minimum"),
                Stationary((0.96847765870772438, 0.96847765870772438), 3.5744518772576801, "minimum"),
                Stationary((0.96847765870772438, -0.96847765870772438), 3.5744518772576801, "minimum"),
            ),
        ),
        formula=r"20 + e - 20\,e^{-0.2\sqrt{(x^2+y^2)/2}} - e^{(\cos 2\pi x + \cos 2\pi y)/2}",
        source="Ackley 1987, A Connectionist Machine for Genetic Hillclimbing",
        rate=0.01,
        note="The global minimum is a cusp: the slope tends to 2√2 there, and the gradient at the point itself,"
        " which does not exist, is returned as 0. Of the local minima the nearest eight are listed.",
        complete=False,
    ),
    Surface(
        name="Griewank",
        f=value(formulas.griewank),
        grad=gradient(formulas.griewank_gradient),
        hessian=hessian(formulas.griewank_hessian),
        window=(-10.0, 10.0, -10.0, 10.0),
        starts=((-8.0, 7.0),),
        stationary=_quadrants(
            _ORIGIN,
            Stationary((3.1400226338955398, 4.4384444809207141), 0.0073960403341150827, "minimum"),
            Stationary((6.2800452793799047, 0.0), 0.0098646720610062134, "minimum"),
            Stationary((0.0, 8.8768889290956562), 0.019719489248184803, "minimum"),
            Stationary((9.420067886213592, 4.4384444372010608), 0.027125384395415616, "minimum"),
            Stationary((6.2800452175502937, 8.8768888853745511), 0.029584161212070008, "minimum"),
            Stationary((1.5723679104393218, 2.2225533025787544), 1.001851785452283, "saddle"),
            Stationary((4.7108205344793181, 2.2181104087569535), 1.0067816553099955, "saddle"),
            Stationary((1.5660847019886009, 6.6632170057198848), 1.0117164599688458, "saddle"),
            Stationary((7.8555563708924234, 2.2269962074289898), 1.0166611342786161, "saddle"),
            Stationary((4.7171037585267746, 6.6676599434582422), 1.0166660691163318, "saddle"),
            Stationary((7.8492731160232476, 6.6587740572152327), 1.026506069456991, "saddle"),
            Stationary((3.1431642363549054, 0.0), 2.0024686354182355, "maximum"),
            Stationary((0.0, 4.4473302757643815), 2.0049397419465622, "maximum"),
            Stationary((6.2863284921434614, 4.44733029775552), 2.0148142836469802, "maximum"),
            Stationary((9.4294927245990724, 0.0), 2.0222177187824205, "maximum"),
            Stationary((3.1431642674554182, 8.8946606065510759), 2.022227603277811, "maximum"),
            Stationary((9.4294928179033789, 8.8946606945205268), 2.0419766868374092, "maximum"),
        ),
        formula=r"1 + \tfrac{1}{4000}(x^2+y^2) - \cos x\,\cos\tfrac{y}{\sqrt2}",
        source="Griewank 1981, Journal of Optimization Theory and Applications 34",
        rate=0.5,
        note="A ripple of height 2 on a bowl that rises by 0.05 up to the corners: minima of almost equal depth.",
    ),
    Surface(
        name="Levy",
        f=value(formulas.levy),
        grad=gradient(formulas.levy_gradient),
        hessian=hessian(formulas.levy_hessian),
        window=(-10.0, 10.0, -10.0, 10.0),
        starts=((-6.0, 7.0),),
        stationary=_separable(_LEVY_X, _LEVY_Y),
        formula=r"\sin^2\pi p + (p-1)^2[1+10\sin^2(\pi p+1)] + (q-1)^2[1+\sin^2 2\pi q],\quad"
        r" p = 1+\tfrac{x-1}{4},\ q = 1+\tfrac{y-1}{4}",
        source="Levy and Montalvo 1985; this form: Laguna and Martí 2005",
        rate=0.02,
        note="Separable, with 40 minima in the window.",
    ),
    Surface(
        name="Drop-wave",
        f=value(formulas.drop_wave),
        grad=gradient(formulas.drop_wave_gradient),
        hessian=hessian(formulas.drop_wave_hessian),
        window=(-2.0, 2.0, -2.0, 2.0),
        starts=((1.2, 0.7), (0.15, 0.1)),
        stationary=(
            Stationary((0.0, 0.0), -1.0, "minimum", True),
            *_quadrants(
                *(
                    Stationary(point, ring, kind, isolated=False)
                    for r, ring, kind in _DROP_WAVE_RINGS
                    for point in ((r, 0.0), (0.0, r))
                )
            ),
        ),
        formula=r"-\frac{1+\cos 12r}{2+\tfrac12 r^2},\quad r = \sqrt{x^2+y^2}",
        source="Surjanovic and Bingham 2013, Virtual Library of Simulation Experiments",
        rate=0.005,
        note="Whole circles are stationary; four points of each are listed.",
        complete=False,
    ),
    Surface(
        name="Easom",
        f=value(formulas.easom),
        grad=gradient(formulas.easom_gradient),
        hessian=hessian(formulas.easom_hessian),
        window=(-1.0, 7.0, -1.0, 7.0),
        starts=((2.0, 2.2), (0.0, 5.0)),
        stationary=(
            Stationary((math.pi, math.pi), -1.0, "minimum", True),
            *(Stationary((x, math.pi), 0.0090056781485738574, "maximum") for x in _EASOM_SIDES),
            *(Stationary((math.pi, y), 0.0090056781485738574, "maximum") for y in _EASOM_SIDES),
            *(
                Stationary((x, y), -8.1102238915700659e-5, "minimum")
                for x, y in product(_EASOM_SIDES, _EASOM_SIDES)
            ),
            *(Stationary((x, y), 0.0, "saddle") for x, y in product(_EASOM_ZEROS, _EASOM_ZEROS)),
        ),
        formula=r"-\cos x\,\cos y\; e^{-(x-\pi)^2-(y-\pi)^2}",
        source="Easom 1990, A Survey of Global Optimization Techniques",
        rate=0.2,
        note="A needle on a plateau: a step outside it the gradient all but vanishes.",
    ),
    Surface(
        name="Saddle",
        f=value(lambda x, y: (x - y) * (x + y)),
        grad=gradient(lambda x, y: (2 * x, -2 * y)),
        hessian=hessian(lambda x, y: (2.0, 0.0, -2.0)),
        window=(-2.0, 2.0, -2.0, 2.0),
        starts=((1.0, 1e-6), (-1.5, 0.01)),
        stationary=(Stationary((0.0, 0.0), 0.0, "saddle"),),
        formula=r"x^2 - y^2",
        source="textbook example",
        rate=0.1,
        note="Unbounded below; gradient descent multiplies y by 1 + 2·rate at each step.",
        bounded_below=False,
    ),
    Surface(
        name="Monkey saddle",
        f=value(lambda x, y: x * (x * x - 3 * y * y)),
        grad=gradient(lambda x, y: (3 * (x - y) * (x + y), -6 * x * y)),
        hessian=hessian(lambda x, y: (6 * x, -6 * y, -6 * x)),
        window=(-2.0, 2.0, -2.0, 2.0),
        starts=((1.0, 0.0),),
        stationary=(Stationary((0.0, 0.0), 0.0, "degenerate"),),
        formula=r"x^3 - 3xy^2",
        source="Hilbert and Cohn-Vossen 1932, Anschauliche Geometrie",
        rate=0.05,
        note="Unbounded below, three ways down; the Hessian at the origin is zero.",
        bounded_below=False,
    ),
    Surface(
        name="Plateau and cliff",
        f=value(formulas.cliff),
        grad=gradient(formulas.cliff_gradient),
        hessian=hessian(formulas.cliff_hessian),
        window=(-8.0, 24.0, -8.0, 8.0),
        starts=((16.0, 3.0), (-6.0, 3.0)),
        stationary=(_ORIGIN,),
        formula=r"8(1-E)^2 + \tfrac12 y^2E,\quad E = e^{-x/4}",
        source="an example made for this page, after Morse's potential (1929); on clipping see Pascanu, Mikolov"
        " and Bengio 2013",
        rate=0.5,
        note="To the right the gradient vanishes like exp(−x/4), to the left stands a wall: one step from it"
        " lands far out on the plateau.",
    ),
    Surface(
        name="Two-weight net",
        f=value(lambda x, y: (1 - x * y) * (1 - x * y)),
        grad=gradient(lambda x, y: (-2 * y * (1 - x * y), -2 * x * (1 - x * y))),
        hessian=hessian(lambda x, y: (2 * y * y, 4 * x * y - 2, 2 * x * x)),
        window=(-2.0, 2.0, -2.0, 2.0),
        starts=((-1.5, 1.4), (0.1, 1.8)),
        stationary=(
            Stationary((0.0, 0.0), 1.0, "saddle"),
            *_opposite(
                Stationary((1.0, 1.0), 0.0, "minimum", True, isolated=False),
                Stationary((0.5, 2.0), 0.0, "minimum", True, isolated=False),
                Stationary((2.0, 0.5), 0.0, "minimum", True, isolated=False),
            ),
        ),
        formula=r"(1-xy)^2",
        source="smallest case of Saxe, McClelland and Ganguli 2014, Exact Solutions to the Nonlinear Dynamics"
        " of Learning in Deep Linear Neural Networks",
        rate=0.1,
        note="Two weights in a row fit the target 1. All of the curve xy = 1 is minimal; six of its points are"
        " listed.",
        complete=False,
    ),
    Surface(
        name="Two wells",
        f=value(lambda x, y: (x + 2) ** 2 * (20 + x * (3 * x - 14)) / 40 + 0.5 * y * y),
        grad=gradient(lambda x, y: (0.3 * (x - 2) * (x + 2) * (x - 0.5), y)),
        hessian=hessian(lambda x, y: (0.3 * (x * (3 * x - 1) - 4), 0.0, 1.0)),
        window=(-3.5, 3.5, -2.5, 2.5),
        starts=((3.0, 1.5), (0.6, -1.5)),
        stationary=(
            Stationary((-2.0, 0.0), 0.0, "minimum", True),
            Stationary((2.0, 0.0), 1.6, "minimum"),
            Stationary((0.5, 0.0), 2.1484375, "saddle"),
        ),
        formula=r"\tfrac{1}{40}(x+2)^2(3x^2-14x+20) + \tfrac12y^2",
        source="an example made for this page",
        rate=0.1,
        note="The barrier is 2.15 above the deep well and 0.55 above the shallow one.",
    ),
    Surface(
        name="Linear regression",
        f=_LINE_LOSS[0],
        grad=_LINE_LOSS[1],
        hessian=_LINE_LOSS[2],
        window=(-2.0, 4.0, -4.0, 5.0),
        starts=((-1.5, 3.5), (3.0, -3.0)),
        stationary=(
            Stationary((0.98574043762234475, 0.47339265250571353), 0.38697238320401340, "minimum", True),
        ),
        formula=r"\tfrac{1}{N}\sum_{i=1}^{N} (w x_i + b - y_i)^2,\quad N = 64,\ w = x \text{ and } b = y"
        r"\text{ in the picture}",
        source="Legendre 1805, Nouvelles méthodes pour la détermination des orbites des comètes",
        rate=0.2,
        note="Mean squared error of a line through 64 generated samples. The inputs have mean 1.5, so weight and"
        " bias can stand in for each other: a valley with condition number 31.",
        samples=_LINE,
    ),
    Surface(
        name="Logistic regression",
        f=_CLASSES.f,
        grad=_CLASSES.grad,
        hessian=_CLASSES.hessian,
        window=(-2.0, 6.0, -9.0, 4.0),
        starts=((-1.0, 2.0), (5.0, -1.0)),
        stationary=(
            Stationary((1.8602754619331001, -2.8866533072283638), 0.38925043470468185, "minimum", True),
        ),
        formula=r"-\tfrac{1}{N}\sum_{i=1}^{N} \ln P(y_i \mid x_i),\quad P(1 \mid x_i) = \sigma(w x_i + b),\quad"
        r" N = 64,\ w = x \text{ and } b = y \text{ in the picture}",
        source="Cox 1958, The Regression Analysis of Binary Sequences",
        rate=1.0,
        note="Mean log loss of 64 generated samples of two classes. They overlap, so the minimum is finite; far from"
        " it the loss grows like a straight line.",
        samples=_CLASSES,
    ),
    Surface(
        name="AMSGrad's example",
        f=value(lambda x, y: (x + y) / 3),
        grad=gradient(lambda x, y: ((_C - 2) / 3, (_C - 2) / 3)),
        hessian=hessian(lambda x, y: (0.0, 0.0, 0.0)),
        window=(-1.25, 1.25, -1.25, 1.25),
        starts=((0.0, 0.0), (1.0, 1.0)),
        stationary=(),
        formula=r"\tfrac13(x + y) = \text{average of } f_t,\quad f_t = g_t x + \tfrac13 y,\quad"
        r" g_t = 3 \text{ if } t \bmod 3 = 1 \text{ and } -1 \text{ otherwise}",
        source="Reddi, Kale and Kumar 2018, On the Convergence of Adam and Beyond, with C = 3",
        rate=0.1,
        note="Along x the steps show the gradients 3, −1, −1 in turn, along y their average 1/3 each time: the best"
        " point of the square is its corner (−1, −1). Adam with β₁ = 0 and β₂ = 0.1 goes to x = 1.",
        online=_one_in_three,
        box=(-1.0, 1.0),
        best=(-1.0, -1.0),
    ),
)

SURFACES: dict[str, Surface] = {surface.name: surface for surface in _ENTRIES}
