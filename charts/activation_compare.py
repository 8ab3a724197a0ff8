"""The Compare tab of the activations page: properties, differences, float32, and units with several inputs."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import defaults, described
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Action, Block, Values, real, whole, word, words
from core.activations import ACTIVATIONS, NaiveErrors, naive_errors
from core.kept import keep
from core.knobs import Knob, aliases_of, latex, number
from core.properties import borders, constant_pieces, cost, crossings, max_difference, properties, snapped
from core.special import normal_pdf
from core.streams import stream
from core.vector_activations import (
    MAXOUT_B,
    MAXOUT_PIECES,
    MAXOUT_W,
    VECTOR_ACTIVATIONS,
    maxout,
    maxout_envelope,
    parabola_pieces,
    softmax,
    softmax_jacobian,
    swiglu,
    swiglu_jacobian,
)

Array = np.ndarray
Settings = Mapping[str, float]

_REACH = 6.0
_DRAWS = 20_000
_H = 1e-5  # step of centered differences

_PARABOLA, _OWN = "parabola", "own pieces"
_OWN_PIECES = 6
_OWN_W = (*MAXOUT_W, 2.0, -2.0, 0.0)
_OWN_B = (*MAXOUT_B, -2.0, -2.0, 1.0)


class Chosen(NamedTuple):
    """What a view is made from: the values of the page's knobs, and its functions with their settings."""

    values: Values
    names: Sequence[str]
    settings: Mapping[str, Settings]
    styles: Mapping[str, theme.Style]
    described: Mapping[str, str]

    def knobs(self, name: str) -> Settings:
        """Return a function's settings on the page, or its defaults where the page does not show it."""
        return self.settings.get(name, defaults(ACTIVATIONS[name]))

    def text(self, name: str) -> str:
        """Return a function's name with its settings, for a caption."""
        return self.described.get(name) or described(name, self.knobs(name))


def _vector_knob(entry: str, knob: str) -> Knob:
    return next(k for k in VECTOR_ACTIVATIONS[entry].knobs if k.name == knob)


def _titles(name: str) -> Panel:
    """Write the title of a panel: a column of the data set "titles"."""
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _plain_x(title: str, field: str = "z") -> alt.X:
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=7),
    )


def _ends(data: str, inner: int, y: alt.Y) -> Panel:
    """Write names, which end in numbers, beside the ends of the lines."""
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=9, fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color())
    )


def _differ(a: Array, b: Array) -> float:
    """Return the largest difference of two arrays, for a statement on how well they agree."""
    return float(np.max(np.abs(a - b), initial=0.0))


# Properties


def _property_blocks(chosen: Chosen) -> list[Block]:
    """Return the table of properties, every entry computed, and the measurement of the cost."""
    names, settings = chosen.names, chosen.settings
    if not names:
        return ["Choose at least one function."]
    lines = []
    for name in names:
        found = properties(ACTIVATIONS[name], settings[name])
        lines.append(
            [
                f"**{name}**",
                str(found.range),
                "0 (zero-centered)" if found.zero_centred else number(found.mean),
                "yes" if found.monotone else "no",
                f"{number(found.largest_slope)} at {', '.join(map(str, found.largest_slope_at[:2]))}",
                number(found.lipschitz),
                found.smoothness,
                found.saturation,
                ", ".join(map(str, found.fixed_points[:3])) or "none",
                ", ".join(f"{number(m.value, 6)} at {number(m.at, 6)}" for m in found.minima[:1]) or "none",
                number(found.gain_backward, 4),
            ]
        )
    head = [
        "", "range", "mean under N(0, 1)", "monotone", "largest slope", "Lipschitz constant", "smoothness",
        "saturates", "fixed points", "isolated minimum", "1/√E f′²",
    ]  # fmt: skip
    kept = {name: dict(settings[name]) for name in names}
    return [
        "Every entry is computed from the function itself, none is typed.\n\n" + table(head, lines),
        Action("cost", "Measure the cost on this machine", lambda: [_cost(kept)]),
    ]


_COST_ELEMENTS = 65_536
_COST_REPEATS = 9


def _cost(settings: Mapping[str, Settings]) -> str:
    """Time every function now, beside ReLU and beside a matrix product."""
    # All rows share one time of ReLU and one of the product, so that they can be compared with one another.
    measured = {
        name: cost(ACTIVATIONS[name], _COST_ELEMENTS, _COST_REPEATS, stream(0, place), knobs)
        for place, (name, knobs) in enumerate({"ReLU": {}, **settings}.items())
    }
    relu = measured["ReLU"].seconds_per_element
    product = float(np.median([found.matmul_seconds for found in measured.values()]))
    lines = []
    for name in settings:
        seconds = measured[name].seconds_per_element
        share = 100 * _COST_ELEMENTS * seconds / product
        lines.append([f"**{name}**", number(1e9 * seconds), number(seconds / relu), f"{number(share)}%"])
    head = [
        "",
        "nanoseconds an element",
        "ReLU = 1",
        f"share of one 256³ product, {_COST_ELEMENTS:,} elements",
    ]
    return (
        f"Measured just now on the machine that runs this app: medians of {_COST_REPEATS} runs on {_COST_ELEMENTS:,} "
        "numbers in float64, each in turn with a product of two 256 × 256 matrices, which takes "
        f"{number(1e3 * product)} milliseconds. The functions are NumPy's; a compiled kernel has other ratios, and "
        "whatever else the machine does meanwhile is in these numbers.\n\n" + table(head, lines)
    )


# Differences

_FLOOR = 1e-10  # below it a difference is rounding and is not drawn
_CUBIC = 0.044715


@lru_cache(maxsize=16)
def _differences_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 185 if narrow else round((width - 400) / 2)
    x = _plain_x("z")

    def panel(name: str) -> Panel:
        log = name == "size"
        scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False, nice=False, padding=6)
        y = alt.Y(
            f"{name}:Q",
            title=None,
            scale=scale,
            axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID) if log else alt.Axis(),
        )
        layers = [
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y),
            alt.Chart(named("curves"))
            .mark_line()
            .encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            alt.Chart(named("largest"))
            .mark_point(filled=True, size=50)
            .encode(x=x, y=y, color=theme.color(), opacity=theme.SHOWN),
            _ends(f"{name}_ends", inner, y),
            _titles(name),
        ]
        if log:
            layers.append(
                alt.Chart(named("size_ends"))
                .mark_text(align="left", dx=9, dy=14, fontSize=theme.SMALL_SIZE)
                .encode(x=alt.value(inner), y=y, text="note:N", color=theme.color())
            )
        return compose.layer(*layers, width=inner, height=270 if narrow else 340, name=name)

    panels = [panel("signed"), panel("size")]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared", "strokeDash": "shared"}), theme.config())


def _gap(a: str, b: str, z: Array, chosen: Chosen) -> Array:
    """Return a(z) − b(z) with the settings of the page."""
    return np.asarray(ACTIVATIONS[a].f(z, **chosen.knobs(a)) - ACTIVATIONS[b].f(z, **chosen.knobs(b)))


def _difference_grid(a: str, b: str, chosen: Chosen, step: float) -> Array:
    """Return z over the window with the kinks of both functions, and two points beside a jump of their difference."""
    grid = np.round(np.arange(-_REACH, _REACH + step / 2, step), 10)
    kinks = np.array([k for name in (a, b) for k in ACTIVATIONS[name].kinks_at(**chosen.knobs(name))])
    left, right = (_gap(a, b, kinks + side, chosen) for side in (-1e-9, 1e-9))
    jumps = kinks[np.abs(right - left) > 1e-6]
    z: Array = np.unique(np.concatenate([grid, kinks, jumps - 1e-9, jumps + 1e-9]))
    inside: Array = z[np.abs(z) <= _REACH]
    return inside


class Agreement(NamedTuple):
    """Where two functions are equal."""

    throughout: tuple[str, ...]  # intervals, as text
    points: tuple[float, ...]  # where they meet otherwise, in the window

    def __str__(self) -> str:
        points = [number(z) for z in self.points]
        return "; ".join([*self.throughout, *([", ".join(points)] if points else [])]) or "nowhere"


def agreement(a: str, b: str, knobs_a: Settings, knobs_b: Settings) -> Agreement:
    """Find where two functions are equal: throughout an interval, or at single points of [−6, 6].

    A tail in which they agree to 1e-12 does not count.
    """
    one, other = ACTIVATIONS[a], ACTIVATIONS[b]

    def gap(z: Array) -> Array:
        return np.asarray(one.f(z, **knobs_a) - other.f(z, **knobs_b))

    marks = tuple(sorted(set(borders(one) + borders(other))))
    pieces = [place for value, place in constant_pieces(gap, marks) if value == 0]
    z = np.unique([*np.linspace(-_REACH, _REACH, 961), *marks])
    y = gap(z)
    felt = np.abs(y) > 1e-12
    zero = (y == 0) & np.concatenate([[False], felt[:-1]]) & np.concatenate([felt[1:], [False]])
    points = [float(v) for v in z[zero]]
    x = z[felt]
    for root in snapped(crossings(gap, x, 0.0)[0], marks).tolist():
        # A root between the same neighbors as a zero of the grid is that zero; a jump over 0 is no root.
        i = int(np.searchsorted(x, root))
        known = any(x[i - 1] < v < x[i] for v in z[zero])
        if not known and abs(float(gap(np.array(root)))) < 1e-9:
            points.append(root)
    inside = [v for v in points if not any(place.low <= v <= place.high for place in pieces)]
    return Agreement(tuple(str(place) for place in pieces), tuple(sorted(inside)))


def _difference_blocks(chosen: Chosen) -> list[Block]:
    """Draw the chosen functions less another one, and say how large the differences are and where."""
    against = word(chosen.values, "against")
    names = [name for name in words(chosen.values, "differ") if name != against]
    base, knobs = ACTIVATIONS[against], chosen.knobs(against)
    step = 0.05 if len(names) <= 4 else 0.1
    drawn: list[Part] = []
    marked: list[Part] = []
    notes: list[str] = []
    lines = []
    for name in names:
        entry, own, style = ACTIVATIONS[name], chosen.knobs(name), chosen.styles[name]
        z = _difference_grid(name, against, chosen, step)
        signed = _gap(name, against, z, chosen)
        size = np.where(np.abs(signed) < _FLOOR, np.nan, np.abs(signed))
        style_part: Part = {"slot": np.int8(style.slot), "dash": np.int8(style.dash)}
        drawn.append({"z": z, "signed": signed, "size": size, "name": name, **style_part})
        top, at = max_difference(entry, base, -_REACH, _REACH, knobs_a=own, knobs_b=knobs)
        at = 0.0 if abs(at) < 1e-9 else at
        notes.append(
            f"{number(top)} at {number(at)}"
            if top >= _FLOOR
            else ("equal" if top == 0 else f"under {number(_FLOOR)}")
        )
        marked.append(
            {"z": [at], "signed": _gap(name, against, np.array([at]), chosen), "size": top,
             "slot": np.int8(style.slot), "shown": top >= _FLOOR}
        )  # fmt: skip
        equal = agreement(name, against, own, knobs)
        lines.append([f"**{name}**", number(top), number(at) if top else "everywhere", str(equal)])
    figure = _difference_figure(drawn, marked, notes or [""], names, against, step, chosen)
    if not names:
        return [
            f"Choose a function other than {against}, or another one to compare with.", figure
        ]  # fmt: skip
    head = ["", "largest difference", "at z", "equal at z"]
    text = (
        f"The largest difference to {chosen.text(against)} for z from {number(-_REACH)} to {number(_REACH)}, "
        "located where the two slopes are equal, at a kink or at an end of the window, and of several places the rightmost:\n\n"
        + table(head, lines)
    )
    return [figure, text, *_cubic(chosen)]


def _cubic(chosen: Chosen) -> list[Block]:
    """Say what another cubic constant in the tanh form of GELU costs."""
    name, exact = "GELU (tanh)", ACTIVATIONS["GELU"]
    cubic = chosen.knobs(name).get("cubic", _CUBIC)
    if name not in words(chosen.values, "differ") or cubic == _CUBIC:
        return []
    usual, other = (
        max_difference(ACTIVATIONS[name], exact, -_REACH, _REACH, knobs_a={"cubic": c})
        for c in (_CUBIC, cubic)
    )
    return [
        f"With the constant {number(_CUBIC, 6)} the tanh form stays within {number(usual.value)} of the exact GELU "
        f"(largest at {number(usual.at)}); with {number(cubic, 6)} within {number(other.value)} "
        f"(at {number(other.at)})."
    ]


def _difference_figure(
    drawn: list[Part],
    marked: list[Part],
    notes: list[str],
    names: list[str],
    against: str,
    step: float,
    chosen: Chosen,
) -> Figure:
    nothing: Part = {"z": [0.0], "signed": 0.0, "size": np.nan, "name": "", "slot": theme.MUTED, "dash": 0}
    curves = rows(*(drawn or [nothing]))
    signed = curves.numbers("signed")
    signed = signed[np.isfinite(signed)]
    low, high = float(signed.min(initial=0.0)), float(signed.max(initial=0.0))
    if not high > low:
        low, high = -1.0, 1.0
    seen = curves.numbers("size")
    seen = seen[np.isfinite(seen)]
    least, most = (float(seen.min()), float(seen.max())) if seen.size else (1e-3, 1.0)
    least = min(least, most / 10)
    decades = math.log10(most / least)
    logs = math.log10(least), math.log10(most)
    last = [(part["signed"][-1], part["size"][-1]) for part in drawn] or [(0.0, np.nan)]  # type: ignore[index]
    labels: Part = {
        "label": names or [""],
        "slot": [chosen.styles[name].slot for name in names] or [theme.MUTED],
    }
    signed_ends = spread(np.array([s for s, _ in last]), 0.06 * (high - low), low, high)
    size_ends = 10 ** spread(np.log10([s for _, s in last]), 0.1 * decades, logs[0] + 0.05 * decades, logs[1])
    if not marked:
        marked = [{"z": [0.0], "signed": 0.0, "size": least, "slot": theme.MUTED,
                   "shown": False}]  # fmt: skip
    listed = ", ".join(chosen.text(name) for name in names) or "no function"
    return Figure(
        name="activations/differences",
        build=_differences_spec,
        data={
            "curves": curves,
            "largest": rows(*({**part, "size": max(float(part["size"]), least)} for part in marked)),  # type: ignore[arg-type]
            "signed_ends": rows(signed=signed_ends, **labels),
            "size_ends": rows(size=size_ends, note=notes, **labels),
            "reach": rows(z=[-_REACH, _REACH], signed=[low, high], size=[least, most]),
            "titles": rows(
                signed=[f"Difference: f(z) less {against}"],
                size=["Its absolute value, logarithmic"],
            ),
        },
        title=f"Differences to {against}",
        caption=(
            f"{listed}, less {chosen.text(against)}; z from {number(-_REACH)} to {number(_REACH)} in steps of "
            f"{number(step)} and beside kinks; the functions themselves, without the weight w."
        ),
        key=(
            "Dots, and numbers beside the names: the largest absolute difference in the window, with its place. "
            f"Gaps on the logarithmic axis: differences under "
            f"{number(_FLOOR)}, exact zeros among them."
        ),
        alt="Left: differences between activation functions over z. Right: their absolute values on a logarithmic axis.",
    )


# Float32

_FAR = 120.0
_FINE = 64  # points per unit of z
_CELL = 2.0  # of each stretch of z the figure shows the largest error
_LEAST = 1e-9
_HALF_STEP = 2.0**-24  # relative error of one rounding to float32


@lru_cache(maxsize=16)
def _float32_spec(width: int) -> Spec:
    narrow = width < NARROW
    strip = width - 180
    inner = strip if narrow else round((width - 345) / 2)
    x = _plain_x("z")
    row = alt.Y("name:N", axis=None, sort=None)
    overflow = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x),
        alt.Chart(named("overflow"))
        .mark_rule(strokeWidth=0.6)
        .encode(x=alt.value(0), x2=alt.value(strip), y=row, color=theme.ink("faint")),
        alt.Chart(named("overflow"))
        .mark_rule(strokeWidth=8)
        .encode(x=x, x2="high:Q", y=row, color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("names"))
        .mark_text(align="left", dx=9, limit=155, fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(strip), y=row, text="label:N", color=theme.color()),
        _titles("overflow"),
        width=strip,
        height=150,
        name="overflow",
    )

    def panel(name: str) -> Panel:
        scale = alt.Scale(type="log", nice=False)
        y = alt.Y(
            f"{name}:Q", title=None, scale=scale,
            axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
        )  # fmt: skip
        half = alt.Y("half:Q", title=None, scale=scale)
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y),
            alt.Chart(named("rounding"))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1)
            .encode(y=half, color=theme.ink("muted")),
            alt.Chart(named("errors"))
            .mark_line(strokeWidth=1.6)
            .encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            alt.Chart(named("rounding"))
            .mark_text(align="left", dx=9, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(inner), y=half, text="label:N", color=theme.ink("muted")),
            _titles(name),
            width=inner,
            height=230,
            name=name,
        )

    panels = [panel("naive"), panel("own")]
    join = compose.below if narrow else compose.beside
    resolve = {"color": "shared", "strokeDash": "shared", "x": "independent"}
    return assemble(compose.below(overflow, join(*panels), resolve=resolve), theme.config())


class Float32Run(NamedTuple):
    """One function in float32: errors point by point, and the intervals in which the plain formula fails."""

    errors: NaiveErrors
    bad: tuple[tuple[float, float], ...]

    @property
    def where(self) -> str:
        """Say in words where the plain formula gives ±∞ or NaN."""
        words = []
        for low, high in self.bad:
            if high == _FAR:
                words.append(f"z ≥ {number(low, 4)}")
            elif low == -_FAR:
                words.append(f"z ≤ {number(high, 4)}")
            else:
                words.append(f"{number(low, 4)} to {number(high, 4)}")
        return ", ".join(words) or "finite"

    def worst(self, which: str) -> tuple[float, float]:
        """Return the largest relative error and the z nearest 0 at which it is reached."""
        error = np.nan_to_num(getattr(self.errors, which))
        top = float(error.max())
        at = self.errors.z[error == top]
        return top, float(at[np.argmin(np.abs(at))])


@keep(entries=64)
def float32_run(name: str, knobs: tuple[tuple[str, float], ...]) -> Float32Run:
    """Return the errors of a function's plain formula in float32, and the stretches of z at which it gives no number."""
    z = np.arange(-_FAR * _FINE, _FAR * _FINE + 1) / _FINE
    errors = naive_errors(ACTIVATIONS[name], z, dict(knobs))
    edge = np.diff(np.concatenate([[0], errors.naive_bad.astype(int), [0]]))
    starts, stops = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1
    return Float32Run(errors, tuple((float(z[i]), float(z[j])) for i, j in zip(starts, stops, strict=True)))


def _cells(error: Array) -> Array:
    """Return the largest error of each cell of z; NaN where it is below the axis or not finite throughout."""
    per = round(_CELL * _FINE)
    largest: Array = np.nan_to_num(error[:-1].reshape(-1, per)).max(axis=1)
    return np.where(largest < _LEAST, np.nan, largest)


def _float32_blocks(chosen: Chosen) -> list[Block]:
    """Measure plain formulas in float32 beside those of the app."""
    names = [name for name in chosen.names if ACTIVATIONS[name].naive is not None]
    runs = {name: float32_run(name, tuple(sorted(chosen.knobs(name).items()))) for name in names}
    figure = _float32_figure(runs, chosen)
    others = [name for name in chosen.names if name not in names]
    rest = f"{', '.join(others)}: no exponential in the formula, so nothing to rearrange." if others else ""
    if not names:
        able = ", ".join(name for name, entry in ACTIVATIONS.items() if entry.naive is not None)
        return [
            " ".join(part for part in (rest, f"Choose a function with an exponential: {able}.") if part), figure
        ]  # fmt: skip
    lines = []
    for name, run in runs.items():
        (naive, naive_at), (own, own_at) = run.worst("naive"), run.worst("own")
        lines.append(
            [
                f"**{name}**",
                f"${ACTIVATIONS[name].naive_formula}$",
                "never" if not run.bad else run.where,
                f"{number(naive)} at {number(naive_at)}",
                f"{number(own)} at {number(own_at)}",
            ]
        )
    head = ["", "plain formula", "gives ∞ or NaN at", "its largest error elsewhere", "largest error here"]
    failing = {name: min(abs(z) for pair in run.bad for z in pair) for name, run in runs.items() if run.bad}
    first = (
        "Going out from 0, the plain formula first gives ∞ or NaN at |z| = "
        + ", ".join(f"{number(z, 4)} ({name})" for name, z in failing.items())
        + f"; eᶻ leaves float32 at {number(math.log(float(np.finfo(np.float32).max)), 4)}. "
        if failing
        else "None of these plain formulas gives ∞ or NaN here; what they lose is digits. "
    )
    worst = max(runs, key=lambda name: runs[name].worst("own")[0])
    error, at = runs[worst].worst("own")
    value = float(ACTIVATIONS[worst].f(np.array(at), **chosen.knobs(worst)))
    text = (
        f"{first}The forms that this app uses stay finite, with a relative error of at most {number(error)}: {worst} at "
        f"z = {number(at)}, where the value is {number(value)} (the smallest normal number of float32 is 1.2e−38).\n\n"
        + table(head, lines)
    )
    return [figure, text, *([rest] if rest else [])]


def _float32_figure(runs: Mapping[str, Float32Run], chosen: Chosen) -> Figure:
    middle = np.arange(-_FAR + _CELL / 2, _FAR, _CELL)
    errors: list[Part] = []
    overflow: list[Part] = []
    labels: list[Part] = []
    for name, run in runs.items():
        style = chosen.styles[name]
        part: Part = {"name": name, "slot": np.int8(style.slot)}
        errors.append(
            {"z": middle, "naive": _cells(run.errors.naive), "own": _cells(run.errors.own), **part,
             "dash": np.int8(style.dash)}
        )  # fmt: skip
        failed = np.array(run.bad or [(0.0, 0.0)])
        overflow.append({"z": failed[:, 0], "high": failed[:, 1], **part, "shown": bool(run.bad)})
        labels.append({"name": [name], "label": name, "slot": np.int8(style.slot)})
    nothing: Part = {"name": "", "slot": theme.MUTED}
    frame = rows(*(errors or [{"z": [0.0], "naive": np.nan, "own": np.nan, **nothing, "dash": 0}]))
    top = np.nanmax([1.0, *frame.numbers("naive"), *frame.numbers("own")])
    listed = ", ".join(chosen.text(name) for name in runs) or "no function with an exponential"
    return Figure(
        name="activations/float32",
        build=_float32_spec,
        data={
            "errors": frame,
            "overflow": rows(*(overflow or [{"z": [0.0], "high": 0.0, **nothing, "shown": False}])),
            "names": rows(*(labels or [{"name": [""], "label": "", "slot": theme.MUTED}])),
            "rounding": rows(half=[_HALF_STEP], label="one rounding"),
            "reach": rows(z=[-_FAR, _FAR], naive=[_LEAST, 2 * top], own=[_LEAST, 2 * top]),
            "titles": rows(
                overflow=["Plain formula in float32: no finite value"],
                naive=["Relative error of the plain formula"],
                own=["Relative error of the form used here"],
            ),
        },
        title="Plain formulas in float32",
        caption=(
            f"{listed}; z from {number(-_FAR)} to {number(_FAR)}, {_FINE} points per unit, rounded to float32; error "
            f"against float64, relative to the value or to the smallest normal float32, 1.2e−38; without the weight w."
        ),
        key=(
            f"Bars: ∞ or NaN where the value is finite. Dashed: the error of one rounding, {number(_HALF_STEP)}. "
            f"Lines: the largest finite error in every {number(_CELL)} units of z; "
            f"gaps: under {number(_LEAST)}, or nothing finite."
        ),
        alt=(
            "Top: where plain formulas overflow in float32. Below: relative errors over z on a logarithmic axis, of the "
            "plain formulas and of those used here."
        ),
    )


# Maxout

_PIECE_SLOTS = tuple(theme.SLOTS[hue] for hue in ("blue", "vermilion", "green", "purple", "ochre", "cyan"))


@lru_cache(maxsize=16)
def _maxout_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (170 if narrow else 200)
    x = _plain_x("z")
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, nice=False, padding=8))
    upper = compose.layer(
        alt.Chart(named("target"))
        .mark_line(strokeWidth=6, opacity=0.35)
        .encode(x=_plain_x(""), y=y, color=theme.ink("muted")),
        alt.Chart(named("pieces"))
        .mark_line(strokeWidth=1)
        .encode(x=x, y=y, detail="piece:N", color=theme.color()),
        alt.Chart(named("envelope"))
        .mark_line(strokeWidth=3.6, strokeCap="round")
        .encode(x=x, y=y, detail="piece:N", color=theme.color()),
        alt.Chart(named("crossings"))
        .mark_point(filled=True, size=40)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN),
        _ends("ends", inner, y),
        _titles("value"),
        width=inner,
        height=290 if narrow else 320,
        name="value",
    )
    density = alt.Y("density:Q", axis=None, stack=None, scale=alt.Scale(range=[110, 40], nice=False))
    lower = compose.layer(
        alt.Chart(named("density"))
        .mark_area(opacity=0.3)
        .encode(x=x, y=density, detail="piece:N", color=theme.color()),
        alt.Chart(named("winners"))
        .mark_rect()
        .encode(x=x, x2="high:Q", y=alt.value(0), y2=alt.value(9), color=theme.color()),
        alt.Chart(named("winners"))
        .mark_text(baseline="top", fontSize=theme.SMALL_SIZE)
        .encode(x=alt.X("center:Q", title="z"), y=alt.value(15), text="label:N", color=theme.color()),
        alt.Chart(named("crossings"))
        .mark_rule(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, y=alt.value(0), y2=alt.value(110), color=theme.ink("muted"), opacity=theme.SHOWN),
        alt.Chart(named("crossings"))
        .mark_text(baseline="bottom", dy=-3, fontSize=theme.SMALL_SIZE)
        .encode(x=alt.X("label_z:Q", title="z"), y=alt.value(0), text="label:N", color=theme.ink("ink")),
        _titles_at("winner", -18),
        width=inner,
        height=110,
        name="winner",
    )
    return assemble(compose.below(upper, lower, resolve={"color": "shared"}), theme.config())


def _titles_at(name: str, y: int) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(y), text=f"{name}:N", color=theme.ink("ink"))
    )


def _crossing(z: float, digits: int = 3) -> str:
    """Write where two pieces meet; what only rounding keeps from 0 is 0."""
    return number(0.0 if abs(z) < 1e-12 else z, digits)


def _line_text(slope: float, offset: float) -> str:
    """Write w z + b for people: ``−z + 0.5``, ``2z``, ``0``."""
    front = {0.0: "", 1.0: "z", -1.0: "−z"}.get(slope, f"{number(slope)}z")
    if not front:
        return number(offset)
    if offset == 0:
        return front
    return f"{front} {'+' if offset > 0 else '−'} {number(abs(offset))}"


def _maxout_pieces(values: Values) -> tuple[Array, Array]:
    """Return the slopes and offsets that the values ask for."""
    named_pieces = word(values, "maxout")
    if named_pieces in MAXOUT_PIECES:
        w, b = MAXOUT_PIECES[named_pieces]
        return np.array(w), np.array(b)
    k = whole(values, "pieces")
    if named_pieces == _PARABOLA:
        return parabola_pieces(k)
    own = range(1, k + 1)
    return np.array([real(values, f"w{i}") for i in own]), np.array([real(values, f"b{i}") for i in own])


def _maxout_blocks(chosen: Chosen) -> list[Block]:
    """Draw a maxout unit of one input: its pieces, their maximum, and how often each wins."""
    kind = word(chosen.values, "maxout")
    w, b = _maxout_pieces(chosen.values)
    found = maxout_envelope(w, b)
    parabola = kind == _PARABOLA
    far = 1.25 if parabola else 4.0  # the fit of the parabola is one on [−1, 1]
    draws = stream(0).standard_normal(_DRAWS)
    counted = np.bincount(maxout(draws, w, b).piece, minlength=w.size) / _DRAWS
    figure = _maxout_figure(kind, w, b, far)
    entry = VECTOR_ACTIVATIONS["maxout"]
    lines = []
    for piece in range(w.size):
        (place,) = np.nonzero(found.piece == piece)
        where, share = "nowhere", 0.0
        if place.size:
            where = f"{_crossing(float(found.low[place[0]]))} to {_crossing(float(found.high[place[0]]))}"
            share = float(found.share[place[0]])
        lines.append(
            [f"**{piece + 1}**", _line_text(float(w[piece]), float(b[piece])), where, f"{number(100 * share)}%",
             f"{number(100 * counted[piece])}%"]
        )  # fmt: skip
    meet = ", ".join(_crossing(float(z)) for z in found.low[1:])
    slopes = ", ".join(number(float(s)) for s in w[found.piece])
    relu = MAXOUT_PIECES["ReLU"]
    z = np.linspace(-far, far, 401)
    text = (
        f"${entry.formula}$ ({entry.source}). "
        + (
            f"The winners change at z = {meet}; "
            if len(found.piece) > 1
            else "One piece wins everywhere, so the unit is linear; "
        )
        + f"the slopes of the winners from left to right are {slopes}. They never fall, for a maximum of lines is convex, "
        "whatever the pieces. ReLU is the unit with the two pieces 0 and z: the two differ by "
        f"{number(_differ(maxout(z, *relu).value, ACTIVATIONS['ReLU'].f(z)))} here.\n\n"
        + table(
            ["piece", "line", "wins for z in", "share of N(0, 1)", f"of {_DRAWS:,} draws"],
            lines,
        )
    )
    blocks: list[Block] = [figure, text]
    if parabola:
        k = w.size
        grid = np.linspace(-1, 1, 400 * k + 1)  # holds the places where the error is largest
        error = _differ(maxout(grid, w, b).value, grid**2)
        blocks.append(
            f"On [−1, 1] the largest error against $z^2$ is {number(error, 5)}; no {k} pieces do better than "
            rf"$\frac{{1}}{{2k^2}} = {latex(1 / (2 * k * k), 5)}$. Twice the pieces cut the error to a quarter."
        )
    blocks.append(entry.convention)
    return blocks


def _maxout_figure(kind: str, w: Array, b: Array, far: float) -> Figure:
    found = maxout_envelope(w, b)
    low, high = np.clip(found.low, -far, far), np.clip(found.high, -far, far)
    seen = [i for i in range(len(found.piece)) if high[i] > low[i]]
    pieces: list[Part] = []
    for j in range(w.size):
        ends = np.array([-far, far])
        pieces.append({"z": ends, "y": w[j] * ends + b[j], "piece": f"{j + 1}", "slot": _PIECE_SLOTS[j]})
    envelope: list[Part] = []
    density: list[Part] = []
    winners: list[Part] = []
    centers = np.array([(low[i] + high[i]) / 2 for i in seen])
    placed = spread(centers, 0.27 * far, -0.93 * far, 0.93 * far)
    for i, center in zip(seen, placed, strict=True):
        j = int(found.piece[i])
        part: Part = {"piece": f"{j + 1}", "slot": _PIECE_SLOTS[j]}
        ends = np.array([low[i], high[i]])
        inside = np.linspace(low[i], high[i], max(2, round(80 * (high[i] - low[i]) / far)))
        envelope.append({"z": ends, "y": w[j] * ends + b[j], **part})
        density.append({"z": inside, "density": normal_pdf(inside), **part})
        winners.append({"z": [low[i]], "high": high[i], "center": center, "slot": _PIECE_SLOTS[j],
                        "label": f"{number(100 * float(found.share[i]), 2)}%"})  # fmt: skip
    meet = found.low[1:][np.abs(found.low[1:]) < far]
    at_zero = float(maxout(0.0, w, b).value)  # in the window, whatever the pieces
    bends: Part = {
        "z": [0.0],
        "y": at_zero,
        "label_z": 0.0,
        "label": "",
        "shown": False,
    }
    gap = 0.36 if meet.size < 4 else 0.29  # labels beside each other in a narrow column
    if meet.size:
        bends = {"z": meet, "y": maxout(meet, w, b).value, "label": [_crossing(float(z), 2) for z in meet],
                 "label_z": spread(meet, gap * far, -0.95 * far, 0.95 * far), "shown": True}  # fmt: skip
    span = [float(v) for part in pieces for v in part["y"]]  # type: ignore[attr-defined]
    bottom, top = min(span), max(span)
    if not top > bottom:
        bottom, top = bottom - 1, top + 1
    z = np.linspace(-far, far, 101)
    target: Part = {"z": z, "y": z**2} if kind == _PARABOLA else {"z": [0.0], "y": at_zero}
    right = np.array([float(w[j] * far + b[j]) for j in range(w.size)])
    listed = ", ".join(_line_text(float(s), float(o)) for s, o in zip(w, b, strict=True))
    return Figure(
        name="activations/maxout",
        build=_maxout_spec,
        data={
            "target": rows(target),
            "pieces": rows(*pieces),
            "envelope": rows(*envelope),
            "crossings": rows(bends),
            "ends": rows(
                y=spread(right, 0.07 * (top - bottom), bottom, top),
                label=[f"{j + 1}: {_line_text(float(w[j]), float(b[j]))}" for j in range(w.size)],
                slot=[_PIECE_SLOTS[j] for j in range(w.size)],
            ),
            "density": rows(*density),
            "winners": rows(*winners),
            "titles": rows(
                value=["Maximum of the pieces" + (", over z² in gray" if kind == _PARABOLA else "")],
                winner=["Which piece wins, and its share of N(0, 1)"],
            ),
        },
        title="A maxout unit",
        caption=f"Maxout of one input, {kind}: {listed}; z from {number(-far)} to {number(far)}.",
        key=(
            "Thin lines: the pieces. Thick: the winner. Below: the winner's color, the density of N(0, 1), and the share of "
            "all inputs that each piece wins."
        ),
        alt="Top: the linear pieces of a maxout unit and their maximum. Below: which piece wins over z.",
    )


# Softmax

_CLASSES = ("class 1", "class 2", "class 3")
_CLASS_STYLES = (("blue", 0), ("vermilion", 1), ("green", 2))
_COLDEST, _HOTTEST = 0.05, 20.0


@lru_cache(maxsize=16)
def _softmax_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 290) * 0.5)
    square = width - 90 if narrow else width - 290 - inner
    tall = 270 if narrow else 320
    x = alt.X(
        "T:Q", title="temperature T", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER, labelPadding=6),
    )  # fmt: skip
    scale = alt.Scale(domain=[0, 1])
    y = alt.Y("p:Q", title=None, scale=scale)
    left = compose.layer(
        alt.Chart(named("now"))
        .mark_rule(strokeWidth=1, strokeDash=[3, 3])
        .encode(x=x, color=theme.ink("muted")),
        alt.Chart(named("curves"))
        .mark_line()
        .encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("measured"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink")),
        alt.Chart(named("now"))
        .mark_point(filled=True, size=60, opacity=1)
        .encode(x=x, y=y, color=theme.color()),
        _ends("ends", inner, y),
        _titles("probability"),
        width=inner,
        height=tall,
        name="probability",
    )
    column = alt.X(
        "j:N", title=None, sort=None, scale=alt.Scale(paddingInner=0.04),
        axis=alt.Axis(labelAngle=0, labelPadding=6, domain=False, ticks=False, labelFontSize=theme.TEXT_SIZE),
    )  # fmt: skip
    line = alt.Y(
        "i:N", title=None, sort=None, scale=alt.Scale(paddingInner=0.04),
        axis=alt.Axis(domain=False, ticks=False, labelFontSize=theme.TEXT_SIZE, labelPadding=6),
    )  # fmt: skip
    cells = alt.Chart(named("jacobian"))
    right = compose.layer(
        cells.mark_rect().encode(
            x=column, y=line, color=theme.color(), opacity=alt.Opacity("strength:Q", scale=None, legend=None)
        ),
        cells.mark_text(fontSize=theme.SMALL_SIZE).encode(
            x=column, y=line, text="label:N", color=theme.ink("ink")
        ),
        _titles("jacobian"),
        width=square,
        height=tall,
        name="jacobian",
    )
    join, gap = (compose.below, 44) if narrow else (compose.beside, 30)
    resolve = {"color": "shared", "x": "independent", "y": "independent", "opacity": "independent"}
    return assemble(join(left, right, spacing=gap, resolve=resolve), theme.config())


@keep(entries=1)
def _gumbel() -> Array:
    """Return draws of the standard Gumbel distribution, (draws, 3)."""
    return stream(0).gumbel(size=(_DRAWS, 3))


def _softmax_blocks(chosen: Chosen) -> list[Block]:
    """Draw softmax of three logits against temperature, and its Jacobian at the present one."""
    values = chosen.values
    z = np.array([real(values, name) for name in ("z1", "z2", "z3")])
    t = real(values, "temperature")
    p, jacobian = softmax(z, t), softmax_jacobian(z, t)
    step = _H * t  # the scale on which p changes
    shifted = step * np.eye(3)
    differences = ((softmax(z + shifted, t) - softmax(z - shifted, t)) / (2 * step)).T
    temperatures = np.geomspace(_COLDEST, _HOTTEST, 13)
    drawn = (
        np.array([np.bincount(np.argmax(z + s * _gumbel(), axis=1), minlength=3) for s in temperatures])
        / _DRAWS
    )
    exact = np.array([softmax(z, s) for s in temperatures])
    entropy = -float(np.sum(p[p > 0] * np.log(p[p > 0])))
    entry = VECTOR_ACTIVATIONS["softmax"]
    listed = ", ".join(number(v) for v in z)
    sigmoids, tanhs = float(ACTIVATIONS["sigmoid"].f(z).sum()), float(ACTIVATIONS["tanh"].f(z).sum())
    rows_sum = float(np.max(np.abs(jacobian.sum(axis=1))))
    text = (
        f"${entry.formula}$ ({entry.source}). The logits {listed} at T = {number(t)} become "
        f"{', '.join(number(v) for v in p)}, with sum {number(float(p.sum()), 6)} and entropy {number(entropy)} of at most "
        f"ln 3 = {number(math.log(3), 4)}. Three sigmoids of the same logits sum to {number(sigmoids)} and three tanh to "
        f"{number(tanhs)}: each looks at its own logit only, so neither triple is a distribution over the three classes."
        "\n\n"
        f"Derivative: ${entry.derivative}$. Every row of the Jacobian sums to 0 (here to {number(rows_sum, 2)} at most), "
        "for raising all three logits alike changes nothing; every column sums to 0, for what one class gains the others "
        "lose. Centered differences "
        f"give the same matrix within {number(_differ(differences, jacobian), 2)}. With noise of the Gumbel "
        f"distribution times T added to the logits, the largest is class i with probability pᵢ: the shares of "
        f"{_DRAWS:,} draws stay within {number(_differ(drawn, exact), 2)} of the lines.\n\n{entry.convention}"
    )
    return [_softmax_figure(z, t, jacobian, temperatures, drawn), text]


def _softmax_figure(z: Array, t: float, jacobian: Array, temperatures: Array, drawn: Array) -> Figure:
    grid = np.geomspace(_COLDEST, _HOTTEST, 97)
    curves = softmax(z[None, :] / grid[:, None])
    p = softmax(z, t)
    slots = [theme.SLOTS[hue] for hue, _ in _CLASS_STYLES]
    parts: list[Part] = [
        {
            "T": grid,
            "p": curves[:, i],
            "name": _CLASSES[i],
            "slot": slots[i],
            "dash": _CLASS_STYLES[i][1],
        }
        for i in range(3)
    ]
    largest = float(np.max(np.abs(jacobian)))
    cells: list[Part] = []
    for i in range(3):
        for j in range(3):
            value = float(jacobian[i, j])
            cells.append(
                {
                    "i": [_CLASSES[i]],
                    "j": f"logit {j + 1}",
                    "label": number(value, 3 if abs(value) >= 1e-4 else 2),
                    "slot": theme.SLOTS["blue" if value >= 0 else "vermilion"],
                    "strength": 0.5 * abs(value) / largest if largest else 0.0,
                }
            )
        total = float(jacobian[i].sum())
        cells.append({"i": [_CLASSES[i]], "j": "sum", "label": number(total if abs(total) > 1e-12 else 0.0),
                      "slot": theme.MUTED, "strength": 0.0})  # fmt: skip
    return Figure(
        name="activations/softmax",
        build=_softmax_spec,
        data={
            "curves": rows(*parts),
            "measured": rows(*({"T": temperatures, "p": drawn[:, i]} for i in range(3))),
            "now": rows(T=[t] * 3, p=p, slot=slots),
            "ends": rows(
                p=spread(curves[-1], 0.06, 0.02, 0.98),
                label=[f"{name}: {number(float(v))}" for name, v in zip(_CLASSES, p, strict=True)],
                slot=slots,
            ),
            "jacobian": rows(*cells),
            "titles": rows(
                probability=[f"Probabilities; numbers at T = {number(t)}"],
                jacobian=[f"Jacobian at T = {number(t)}"],
            ),
        },
        title="Softmax of three logits",
        caption=(
            f"Softmax of the logits {', '.join(number(v) for v in z)}; T from {number(_COLDEST)} to {number(_HOTTEST)}, "
            f"the Jacobian at T = {number(t)}; {_DRAWS:,} draws at {temperatures.size} temperatures."
        ),
        key=(
            "Lines: softmax. Small dots: how often a logit is the largest once Gumbel noise times T is added. "
            "Matrix: slope of a probability by a logit, blue positive, orange negative, stronger for larger entries."
        ),
        alt="Left: three probabilities against temperature. Right: the three by three Jacobian matrix with its numbers.",
    )  # fmt: skip


# SwiGLU

_GATED = ((-2.0, "crimson"), (-1.0, "vermilion"), (0.0, "muted"), (1.0, "blue"), (2.0, "indigo"))
_PARTIALS = (("by a", "blue"), ("by b", "green"))


@lru_cache(maxsize=16)
def _swiglu_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 145 if narrow else round((width - 350) / 2)
    x = _plain_x("a, the gate", "a")

    def panel(name: str) -> Panel:
        y = alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=False, nice=False, padding=6))
        layers = [
            alt.Chart(named("now"))
            .mark_rule(strokeWidth=1, strokeDash=[3, 3])
            .encode(x=x, color=theme.ink("muted")),
            alt.Chart(named(f"{name}_lines"))
            .mark_line()
            .encode(x=x, y=y, detail="name:N", color=theme.color()),
        ]
        if name == "slope":
            layers.append(
                alt.Chart(named("measured"))
                .mark_point(filled=True, size=theme.DOT, opacity=1)
                .encode(x=x, y=y, color=theme.ink("ink"))
            )
        layers += [
            alt.Chart(named(f"{name}_now"))
            .mark_point(filled=True, size=60, opacity=1)
            .encode(x=x, y=y, color=theme.color()),
            _ends(f"{name}_ends", inner, y),
            _titles(name),
        ]
        return compose.layer(*layers, width=inner, height=270 if narrow else 340, name=name)

    panels = [panel("value"), panel("slope")]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared"}), theme.config())


def _pairs(a: Array, b: float) -> Array:
    """Return inputs (a, b) of a SwiGLU unit, (n, 2)."""
    return np.stack([a, np.full(a.shape, b)], axis=-1)


def _swiglu_slopes(a: Array, b: float, beta: float) -> tuple[Array, Array]:
    """Return (∂y/∂a, ∂y/∂b), (n, 2), by formula and by centered differences."""
    x = _pairs(a, b)
    steps = _H * np.eye(2)
    measured = [(swiglu(x + h, beta) - swiglu(x - h, beta))[:, 0] / (2 * _H) for h in steps]
    return swiglu_jacobian(x, beta)[:, 0, :], np.stack(measured, axis=-1)


def _swiglu_blocks(chosen: Chosen) -> list[Block]:
    """Draw a SwiGLU unit: its output for several values, and the two slopes that go back."""
    beta, gate = real(chosen.values, "swiglu_beta"), real(chosen.values, "gate")
    a = np.round(np.arange(-_REACH, _REACH + 0.05, 0.1), 10)
    formula, measured = _swiglu_slopes(a, 1.0, beta)
    here = np.array([gate])
    (slope_a, slope_b), _ = (v[0] for v in _swiglu_slopes(here, 1.0, beta))
    outputs = ", ".join(
        f"{number(float(swiglu(_pairs(here, b), beta)[0, 0]))} (b = {number(b)})" for b, _ in _GATED
    )
    entry = VECTOR_ACTIVATIONS["SwiGLU"]
    relu = ACTIVATIONS["ReLU"].f(a)
    gap = _differ(swiglu(_pairs(a, 1.0), beta)[:, 0], relu)
    dip = -properties(ACTIVATIONS["SiLU"]).minima[0].value
    limit = (
        "With β = 0 the gate is a/2, and the unit is the plain product ab/2. "
        if beta == 0
        else "Far left of 0 the gate is shut, and both slopes vanish. "
        f"On this window the gate differs from ReLU by at most {number(gap)}; over all a it is "
        f"{number(dip, 6)}/β = {number(dip / beta)}. "
    )
    text = (
        f"${entry.formula}$ ({entry.source}). At a = {number(gate)} with β = {number(beta)} the output is {outputs}: the "
        "gate decides how much of b passes, and b scales the gate in turn. "
        f"The slopes there, at b = 1, are ∂y/∂a = {number(float(slope_a))} and ∂y/∂b = {number(float(slope_b))}; the "
        "second is the gate itself. Centered "
        f"differences stay within {number(_differ(formula, measured), 2)} of the formulas.\n\n{limit}"
        "A feed-forward block with SwiGLU has three matrices where one with ReLU has two, so at equal parameters its hidden "
        f"layer is two thirds as wide.\n\nDerivatives: ${entry.derivative}$. {entry.convention}"
    )
    return [_swiglu_figure(a, formula, measured, beta, gate), text]


def _swiglu_figure(a: Array, formula: Array, measured: Array, beta: float, gate: float) -> Figure:
    here = np.array([gate])
    lines: list[Part] = []
    now: list[float] = []
    for b, hue in _GATED:
        value = swiglu(_pairs(a, b), beta)[:, 0]
        lines.append({"a": a, "value": value, "name": f"b = {number(b)}", "slot": theme.SLOTS[hue]})
        now.append(float(swiglu(_pairs(here, b), beta)[0, 0]))
    values = rows(*lines)
    slopes = rows(
        *(
            {"a": a, "slope": formula[:, i], "name": name, "slot": theme.SLOTS[hue]}
            for i, (name, hue) in enumerate(_PARTIALS)
        )
    )
    slopes_now = _swiglu_slopes(here, 1.0, beta)[0][0]
    data = {
        "value_lines": values,
        "slope_lines": slopes,
        "measured": rows(*({"a": a[::6], "slope": measured[::6, i]} for i in range(2))),
        "now": rows(a=[gate]),
        "titles": rows(
            value=[f"Output a·σ({'' if beta == 1 else number(beta)}a)·b; numbers at a = {number(gate)}"],
            slope=[f"Slopes by a and b, at b = 1; numbers at a = {number(gate)}"],
        ),
    }
    for name, frame, points, labels, hues in (
        ("value", values, np.array(now), [f"b = {number(b)}" for b, _ in _GATED], [h for _, h in _GATED]),
        ("slope", slopes, slopes_now, [n for n, _ in _PARTIALS], [h for _, h in _PARTIALS]),
    ):
        drawn = frame.numbers(name)
        low, high = float(drawn.min()), float(drawn.max())
        last = drawn.reshape(len(labels), -1)[:, -1]
        gap = 0.06 * (high - low)
        slots = [theme.SLOTS[hue] for hue in hues]
        texts = [f"{label}: {number(float(v))}" for label, v in zip(labels, points, strict=True)]
        data[f"{name}_ends"] = rows({name: spread(last, gap, low, high), "label": texts, "slot": slots})
        data[f"{name}_now"] = rows({"a": [gate] * len(labels), name: points, "slot": slots})
    return Figure(
        name="activations/swiglu",
        build=_swiglu_spec,
        data=data,
        title="A SwiGLU unit",
        caption=(
            f"SwiGLU of one gate a and one value b, β = {number(beta)}; a from {number(-_REACH)} to {number(_REACH)}, "
            f"numbers at a = {number(gate)}."
        ),
        key="Lines: closed form. Small dots: centered differences, h = 1e−5.",
        alt="Left: output of a SwiGLU unit against the gate for five values. Right: its two partial derivatives.",
    )


# The tab


def _maxout_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of a maxout unit: a number of pieces, and for own ones their slopes and offsets."""
    kind = word(values, "maxout")
    counted = ("pieces",) if kind in (_PARABOLA, _OWN) else ()
    own = range(1, whole(values, "pieces") + 1) if kind == _OWN else ()
    return ("maxout", *counted, *(("",) if own else ()), *(f"{letter}{i}" for i in own for letter in "wb"))


class Shown(NamedTuple):
    """One view of the tab: what it is made of, and the controls that it uses beside these values."""

    blocks: Callable[[Chosen], list[Block]]
    knobs: Callable[[Values], tuple[str, ...]] = lambda _: ()


VIEWS: Mapping[str, Shown] = {
    "properties": Shown(_property_blocks),
    "differences": Shown(_difference_blocks, lambda _: ("differ", "against")),
    "float32": Shown(_float32_blocks),
    "maxout": Shown(_maxout_blocks, _maxout_knobs),
    "softmax": Shown(_softmax_blocks, lambda _: ("z1", "z2", "z3", "temperature")),
    "SwiGLU": Shown(_swiglu_blocks, lambda _: ("swiglu_beta", "gate")),
}

COMPARE_KNOBS: tuple[Knob, ...] = (
    Knob("compare", "choice", "properties", label="View", choices=tuple(VIEWS)),
    Knob(
        "differ", "choices", ("GELU (tanh)", "GELU (sigmoid)"), label="Functions to compare", choices=tuple(ACTIVATIONS),
        aliases=aliases_of(ACTIVATIONS), most=4,
    ),
    Knob(
        "against", "choice", "GELU", label="Against", choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS),
        help="The function that they are compared with.",
    ),
    Knob(
        "maxout", "choice", next(iter(MAXOUT_PIECES)), label="Pieces of the unit",
        choices=(*MAXOUT_PIECES, _PARABOLA, _OWN),
    ),
    Knob(
        "pieces", "int", 3, label="Number of pieces", low=1, high=_OWN_PIECES, step=1, symbol="k",
    ),
    *(
        knob
        for i in range(_OWN_PIECES)
        for knob in (
            Knob(f"w{i + 1}", "float", _OWN_W[i], label=f"Slope of piece {i + 1}", low=-3.0, high=3.0, step=0.1),
            Knob(f"b{i + 1}", "float", _OWN_B[i], label=f"Offset of piece {i + 1}", low=-2.0, high=2.0, step=0.1),
        )
    ),
    *(
        Knob(f"z{i + 1}", "float", value, label=f"Logit of class {i + 1}", low=-10.0, high=10.0, step=0.1)
        for i, value in enumerate((2.0, 2.0, -1.0))
    ),
    _vector_knob("softmax", "temperature"),
    _vector_knob("SwiGLU", "beta").named("swiglu_beta"),
    Knob(
        "gate", "float", 1.0, label="Gate a", low=-_REACH, high=_REACH, step=0.1, symbol="a",
        help="Where output and slopes are read.",
    ),
)  # fmt: skip


def compare_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls that the tab shows beside these values: the view, and what that view uses."""
    return ("compare", *VIEWS[word(values, "compare")].knobs(values))


def compare_blocks(
    values: Values,
    names: Sequence[str],
    settings: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    described: Mapping[str, str],
) -> list[Block]:
    """Return the view of the Compare tab that the values choose.

    Args:
        values: every value of the page, those of ``COMPARE_KNOBS`` among them.
        names: the functions chosen on the page, up to eight.
        settings: of each of them, its own knobs.
        styles: hue and dash of every function.
        described: of each chosen function, its name with its settings, for captions.
    """
    return VIEWS[word(values, "compare")].blocks(Chosen(values, names, settings, styles, described))
