"""Activations: a function beside its slope, with the values at a cursor that moves in the browser."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import theme
from charts.activation_tabs import DYING_KNOBS, SIGNAL_KNOBS, compare_blocks, dying_blocks, signal_blocks
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread
from charts.topic import Block, Group, Scenario, Tab, Topic, Values, View, real, word, words
from core.activations import ACTIVATIONS
from core.knobs import Knob, aliases_of, latex, number

Array = np.ndarray

STYLES = theme.styles(
    ACTIVATIONS,
    fixed={
        "sigmoid": ("vermilion", 0),
        "tanh": ("purple", 0),
        "ReLU": ("blue", 0),
        "GELU": ("green", 0),
        "leaky ReLU": ("cyan", 0),
        "ELU": ("ochre", 0),
        "SELU": ("indigo", 0),
        "SiLU": ("crimson", 0),
        "hard sigmoid": ("vermilion", 1),
        "hard tanh": ("purple", 1),
        "ReLU6": ("blue", 1),
        "GELU (tanh)": ("green", 1),
        "GELU (sigmoid)": ("green", 2),
        "PReLU": ("cyan", 1),
        "CELU": ("ochre", 1),
        "Swish": ("crimson", 1),
        "hard swish": ("crimson", 2),
    },
)

_REACH = 6.0
_GRAIN = 0.05
_GRID = np.round(np.arange(-_REACH, _REACH + _GRAIN / 2, _GRAIN), 10)
_CURSOR = 3.0
_LAYERS = 10
_DIFFERENCE = 1e-5


def _own(activation: str, knob: str) -> str:
    """Name a function's own knob: ``leaky_relu_slope``."""
    letters = "".join(c if c.isalnum() else " " for c in activation.lower())
    return "_".join([*letters.split(), knob])


def _knobs() -> dict[str, Knob]:
    knobs = [
        Knob(
            "functions", "choices", ("sigmoid", "tanh", "ReLU", "GELU"), label="Functions",
            choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS), most=8,
        ),
        Knob(
            "weight", "float", 1.0, label="Weight before the unit", low=0.1, high=10.0, step=0.1, symbol="w",
            help="Draws f(wz) and its slope w·f′(wz): what a weight does to the curve and to the gradient.",
        ),
        *SIGNAL_KNOBS,
        *DYING_KNOBS,
    ]  # fmt: skip
    for name, entry in ACTIVATIONS.items():
        for knob in entry.knobs:
            knobs.append(knob.named(_own(name, knob.name), label=f"{name}: {knob.label or knob.name}"))
    return {knob.name: knob for knob in knobs}


def _chosen(values: Values) -> tuple[str, ...]:
    return words(values, "functions")


def _layout(values: Values) -> tuple[Group, ...]:
    own = tuple(_own(name, knob.name) for name in _chosen(values) for knob in ACTIVATIONS[name].knobs)
    # The knobs of the tabs have their controls there.
    tabs = tuple(knob.name for knob in (*SIGNAL_KNOBS, *DYING_KNOBS))
    return (Group(("functions", "weight", *own)), Group(tabs, resting=True))


def _settings(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, _own(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 300) / 2)
    tall = 300 if narrow else 410
    cursor = alt.param(
        name="cursor",
        value=_CURSOR,
        bind=alt.binding_range(min=-_REACH, max=_REACH, step=_GRAIN, name="Cursor z "),
    )
    here = f"abs(datum.z - cursor) < {_GRAIN / 10} && !datum.edge"
    x = alt.X(
        "z:Q", title="z", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, tickCount=7)
    )

    def panel(name: str) -> Panel:
        y = alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=False, padding=6))
        base = alt.Chart(named("curves"))
        now = base.transform_filter(here)
        layers = [
            alt.Chart(named("ghost"))
            .mark_line(strokeWidth=1.4, opacity=0.6)
            .encode(x=x, y=y, detail="name:N", color=theme.ink("muted")),
            now.mark_rule(strokeWidth=1, strokeDash=[3, 3]).encode(x=x, color=theme.ink("muted")),
            base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        ]
        if name == "slope":
            layers += [
                alt.Chart(named("measured"))
                .mark_point(filled=True, size=13, opacity=1)
                .encode(x=x, y=y, color=theme.ink("ink")),
                alt.Chart(named("peaks"))
                .mark_text(dy=-9, fontSize=theme.SMALL_SIZE + 0.5, fontWeight=600)
                .encode(x=x, y=y, text="label:N", color=theme.color()),
            ]
        layers += [
            alt.Chart(named("kinks"))
            .mark_point(filled=True, size=34)
            .encode(
                opacity=theme.SHOWN,
                x=x,
                y=y,
                color=theme.color(),
                tooltip=[alt.Tooltip("note:N", title="at the kink")],
            ),
            now.mark_point(filled=True, size=75, opacity=1).encode(
                x=x,
                y=y,
                color=theme.color(),
                tooltip=[
                    alt.Tooltip("name:N", title="function"),
                    alt.Tooltip("z:Q", format=".2~f"),
                    alt.Tooltip("value:Q", title="value", format=".6~g"),
                    alt.Tooltip("slope:Q", title="slope", format=".6~g"),
                ],
            ),
            now.transform_calculate(label=f"datum.name + '  ' + format(datum.{name}, '.3~g')")
            .mark_text(align="left", dx=9, limit=100, fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(inner), y=alt.Y(f"{name}_label:Q"), text="label:N", color=theme.color()),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
        ]
        return alt.layer(*layers).properties(width=inner, height=tall, name=name)

    panels = [panel("value"), panel("slope")]
    both = alt.vconcat(*panels) if narrow else alt.hconcat(*panels)
    return assemble(
        both.resolve_scale(color="shared", strokeDash="shared").add_params(cursor), theme.config()
    )


class _Curve(NamedTuple):
    """A function over the window; ``jump`` marks pairs of points that enclose a jump of value or slope."""

    z: Array
    value: Array
    slope: Array
    jump: Array
    kinks: Array

    @property
    def away(self) -> Array:
        """Points of the grid that differences do not reach across a kink from."""
        z: Array = self.z[~self.jump]
        if not len(self.kinks):
            return z
        apart: Array = np.abs(z[:, None] - self.kinks).min(axis=1)
        return z[apart > 2 * _DIFFERENCE]


def _curve(name: str, values: Values) -> _Curve:
    """Evaluate f(wz) and w·f'(wz); next to every kink stand two points, so that a jump is drawn upright."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    kinks = np.array([k / w for k in entry.kinks_at(**settings) if abs(k / w) <= _REACH])
    sides = np.concatenate([kinks - 1e-9, kinks + 1e-9])
    sides = sides[np.abs(sides) <= _REACH]
    z = np.concatenate([_GRID, sides])
    order = np.argsort(z, kind="stable")
    z = z[order]
    jump = order >= len(_GRID)
    return _Curve(z, entry.f(w * z, **settings), w * entry.df(w * z, **settings), jump, kinks)


def _differences(name: str, values: Values, z: Array) -> Array:
    """Measure the slope at z by centered differences of the value."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    rise: Array = entry.f(w * (z + _DIFFERENCE), **settings) - entry.f(w * (z - _DIFFERENCE), **settings)
    return rise / (2 * _DIFFERENCE)


def _figure(values: Values, curves: Mapping[str, _Curve]) -> Figure:
    w = real(values, "weight")
    ends = {
        column: _ends(np.array([getattr(curve, column)[-1] for curve in curves.values()]), curves, column)
        for column in ("value", "slope")
    }
    drawn: list[Part] = []
    measured: list[Part] = []
    peaks: list[Part] = []
    kinks: list[Part] = []
    for k, (name, curve) in enumerate(curves.items()):
        style = STYLES[name]
        drawn.append(
            {"z": curve.z, "value": curve.value, "slope": curve.slope, "edge": curve.jump, "name": name,
             "slot": np.int8(style.slot), "dash": np.int8(style.dash),
             "value_label": ends["value"][k], "slope_label": ends["slope"][k]}
        )  # fmt: skip
        away = curve.away[::12]
        measured.append({"z": away, "slope": _differences(name, values, away)})
        top = _peak(curve)
        if top is not None:
            peaks.append({"z": [curve.z[top]], "slope": curve.slope[top], "label": number(float(curve.slope[top])),
                          "slot": style.slot})  # fmt: skip
        for kink in curve.kinks:
            value, slope = _at(name, values, kink)
            kinks.append({"z": [kink], "value": value, "slope": slope, "slot": style.slot,
                          "shown": True, "note": f"{name}: slope {number(slope)} by convention"})  # fmt: skip
    nothing = rows(
        z=[0.0], value=0.0, slope=0.0, edge=True, name="", slot=theme.MUTED, dash=0, shown=False, label="", note="",
        value_label=0.0, slope_label=0.0,
    )  # fmt: skip
    inner = "z" if w == 1 else f"{number(w)}z"
    front = "" if w == 1 else f"{number(w)} · "
    listed = ", ".join(_describe(name, values) for name in curves)
    return Figure(
        name="activations/curves",
        build=_spec,
        data={
            "curves": rows(*drawn) if drawn else nothing,
            "measured": rows(*measured) if measured else nothing,
            "peaks": rows(*peaks) if peaks else nothing,
            "kinks": rows(*kinks) if kinks else nothing,
            "titles": rows(value=[f"Value f({inner})"], slope=[f"Slope {front}f′({inner})"]),
        },
        title="Activation functions and their slopes",
        caption=f"{listed}; weight w = {number(w)}; PyTorch's conventions.",
        key=(
            "Lines: closed form. Small dots: centered differences of the value, h = 1e−5. Numbers on the slopes: their "
            "largest value. Dots at kinks: the subgradient PyTorch takes."
        ),
        alt="Left: values of the chosen activation functions over z. Right: their slopes. Names stand at the line ends.",
        ghosts={"ghost": "curves"},
    )


def _ends(last: Array, curves: Mapping[str, _Curve], column: str) -> Array:
    """Place the names beside the ends of the lines, apart from one another."""
    if not curves:
        return last
    low = min(float(getattr(curve, column).min()) for curve in curves.values())
    high = max(float(getattr(curve, column).max()) for curve in curves.values())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return spread(last, 0.055 * (high - low), low, high)


def _peak(curve: _Curve) -> int | None:
    """Return the index of the largest slope, if that is one point inside the window."""
    top = int(np.argmax(curve.slope))
    if top in (0, len(curve.z) - 1) or np.sum(curve.slope >= curve.slope[top] - 1e-12) > 2:
        return None
    return top


def _describe(name: str, values: Values) -> str:
    settings = _settings(name, values)
    text = ", ".join(
        f"{knob.symbol or knob.name} {number(settings[knob.name], 4)}" for knob in ACTIVATIONS[name].knobs
    )
    return f"{name} ({text})" if text else name


def _at(name: str, values: Values, z: float) -> tuple[float, float]:
    """Return f(wz) and w·f'(wz) at one z."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    return float(entry.f(w * z, **settings)), w * float(entry.df(w * z, **settings))


def _reading(values: Values, curves: Mapping[str, _Curve]) -> str:
    if not curves:
        return "Choose at least one function to see its curve."
    slopes = {name: _at(name, values, _CURSOR)[1] for name in curves}
    listed = ", ".join(f"{name} {number(slope)}" for name, slope in slopes.items())
    products = ", ".join(f"{name} {number(slope**_LAYERS)}" for name, slope in slopes.items())
    tops = ", ".join(f"{name} {number(float(curve.slope.max()))}" for name, curve in curves.items())
    worst = max(
        float(
            np.max(np.abs(_differences(name, values, curve.away) - curve.slope[np.isin(curve.z, curve.away)]))
        )
        for name, curve in curves.items()
    )
    w = real(values, "weight")
    with_what = "slopes only and no weights" if w == 1 else f"each with its weight {number(w)}"
    return (
        f"At z = {number(_CURSOR)} the slopes are {listed}; through ten such layers, {with_what}, "
        f"their products are {products}. Largest slope in the window: {tops}. "
        f"Slopes measured by differences stay within {number(worst, 2)} of the formulas."
    )


def _why(values: Values) -> str:
    w = real(values, "weight")
    lines = [
        r"Backpropagation multiplies the gradient by $w\,f'(wz)$ at every unit it passes, so ten layers multiply "
        "ten such slopes. Where a slope is small, little comes back; where it is 0, nothing does."
    ]
    for name in _chosen(values):
        entry = ACTIVATIONS[name]
        value, slope = _at(name, values, _CURSOR)
        slope_text = f"f'({latex(w * _CURSOR)})" if w == 1 else f"{latex(w)}\\cdot f'({latex(w * _CURSOR)})"
        lines.append(
            f"**{_describe(name, values)}** ({entry.source}): $f(z) = {entry.formula}$, "
            f"$f'(z) = {entry.derivative}$. Range {entry.range(**_settings(name, values))}. "
            f"Here $f({latex(w * _CURSOR)}) = {latex(value, 4)}$ and the slope at $z = {latex(_CURSOR)}$ is "
            f"${slope_text} = {latex(slope, 4)}$."
            + (f" {entry.kink_note}" if entry.kink_note else "")
            + (f" {entry.convention}" if entry.convention else "")
        )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Evaluate the chosen functions and draw them."""
    curves = {name: _curve(name, values) for name in _chosen(values)}
    return View(
        figure=_figure(values, curves),
        reading=_reading(values, curves),
        why=_why(values),
        tabs=(
            Tab("Signal", lambda now=values: _signal(now), tuple(knob.name for knob in SIGNAL_KNOBS)),
            Tab("Compare", lambda now=values: _compare(now)),
            Tab("Dying ReLU", lambda now=values: _dying(now), tuple(knob.name for knob in DYING_KNOBS)),
        ),
    )


def _signal(values: Values) -> Sequence[Block]:
    names = _chosen(values)
    settings = {name: _settings(name, values) for name in names}
    described = [_describe(name, values) for name in names]
    return signal_blocks(names, settings, STYLES, described, real(values, "mu"), real(values, "sigma"))


def _compare(values: Values) -> Sequence[Block]:
    names = _chosen(values)
    return compare_blocks(names, {name: _settings(name, values) for name in names})


def _dying(values: Values) -> Sequence[Block]:
    hidden = word(values, "hidden")
    return dying_blocks(hidden, _settings(hidden, values), word(values, "data"), real(values, "bias"))


SCENARIOS = (
    Scenario(
        "Slopes decide",
        "Sigmoid's slope never passes 0.25 and ReLU's stays at 1. Drag the cursor outward and watch the two curves "
        "on the right that go to 0. Then drag w to 4: that weight lifts sigmoid's peak to 1.",
        question="Which of the four slopes is still near 1 at z = 3?",
    ),
    Scenario(
        "Sigmoid with weight 4",
        "A weight of 4 brings sigmoid's largest slope to 1, but only in a window of about one unit: the curve has "
        "become steeper and saturates sooner.",
        {"functions": ("sigmoid", "tanh"), "weight": 4.0},
        question="Does a large weight cure sigmoid's small slope?",
    ),
    Scenario(
        "Leaky family",
        "A small slope for negative z keeps a gradient alive where ReLU has none. Change the slope and see what it "
        "costs: with slope 1 nothing is left of the kink.",
        {"functions": ("ReLU", "leaky ReLU", "PReLU", "ELU", "SELU")},
        question="Which of these still learns when its input is −3?",
    ),
    Scenario(
        "Three ways to write GELU",
        "The exact GELU, its tanh form and its sigmoid form lie on top of each other. Move the cursor to 2.25 and "
        "point at the dots: the three values begin to differ in the fourth and in the third digit.",
        {"functions": ("GELU", "GELU (tanh)", "GELU (sigmoid)")},
        question="In which digit does the tanh form of GELU differ from the exact one?",
    ),
    Scenario(
        "Hard and soft",
        "The hard versions are straight lines: cheap, with slopes that are exactly 0 outside. Their kinks carry the "
        "convention: PyTorch takes slope 0 at both ends.",
        {"functions": ("sigmoid", "hard sigmoid", "tanh", "hard tanh")},
    ),
    Scenario(
        "Smooth gates",
        "SiLU, GELU and Mish dip below 0 before they rise: not monotone, and their slopes pass 1 on the way.",
        {"functions": ("ReLU", "GELU", "SiLU", "Mish")},
        question="Can the slope of an activation be negative?",
    ),
)

TOPIC = Topic(
    name="activations",
    prefix="act",
    title="Activations",
    question="What does this function do to a signal and to its gradient?",
    icon=":material/show_chart:",
    knobs=_knobs(),
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    free=tuple(knob.name for knob in (*SIGNAL_KNOBS, *DYING_KNOBS)),
    tabs=("Signal", "Compare", "Dying ReLU"),
)
