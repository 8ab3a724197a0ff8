"""Activations: a function beside its slope, with the values at a cursor that moves in the browser."""

from collections.abc import Mapping
from functools import lru_cache

import altair as alt
import numpy as np
import pandas as pd

from charts import theme
from charts.figure import NARROW, Figure, Panel, Spec, assemble, named, rows, spread
from charts.topic import Group, Scenario, Topic, Values, View, real, words
from core.activations import ACTIVATIONS, Activation
from core.knobs import Knob, number

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
            choices=tuple(ACTIVATIONS), most=8,
        ),
        Knob(
            "weight", "float", 1.0, label="Weight before the unit", low=0.1, high=10.0, step=0.1, symbol="w",
            help="Draws f(wz) and its slope w·f′(wz): what a weight does to the curve and to the gradient.",
        ),
    ]  # fmt: skip
    for name, entry in ACTIVATIONS.items():
        for knob in entry.knobs:
            knobs.append(knob.named(_own(name, knob.name), label=f"{name}: {knob.label or knob.name}"))
    return {knob.name: knob for knob in knobs}


def _chosen(values: Values) -> tuple[str, ...]:
    return words(values, "functions")


def _layout(values: Values) -> tuple[Group, ...]:
    own = tuple(_own(name, knob.name) for name in _chosen(values) for knob in ACTIVATIONS[name].knobs)
    return (Group(("functions", "weight", *own)),)


def _settings(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, _own(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 310) / 2)
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
            alt.Chart(named(f"{name}_kinks"))
            .mark_point(filled=True, size=34, opacity=1)
            .encode(x=x, y=y, color=theme.color(), tooltip=[alt.Tooltip("note:N", title="at the kink")]),
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
            .mark_text(align="left", dx=9, fontSize=theme.TEXT_SIZE)
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


def _curve(name: str, values: Values) -> tuple[Array, Array, Array, Array]:
    """Return z, φ(wz), w·φ'(wz) and whether a point is one of a pair that encloses a jump."""
    entry, settings = ACTIVATIONS[name], _settings(name, values)
    w = real(values, "weight")
    z = np.round(np.arange(-_REACH, _REACH + _GRAIN / 2, _GRAIN), 10)
    kinks = np.array([k / w for k in entry.kinks_at(**settings) if abs(k / w) < _REACH])
    sides = np.concatenate([kinks - 1e-9, kinks + 1e-9])
    points = np.concatenate([z, sides])
    order = np.argsort(points, kind="stable")
    edge = np.concatenate([np.zeros(len(z), bool), np.ones(len(sides), bool)])
    # At the kink itself the slope is one subgradient: a dot of its own, not a point of the line.
    drawn = points[order]
    return drawn, entry.f(w * drawn, **settings), w * entry.df(w * drawn, **settings), edge[order]


def _figure(values: Values) -> Figure:
    names = _chosen(values)
    w = real(values, "weight")
    frames, measured, peaks, kinks = [], [], [], []
    for name in names:
        style, entry, settings = STYLES[name], ACTIVATIONS[name], _settings(name, values)
        z, value, slope, edge = _curve(name, values)
        corners = np.array([k / w for k in entry.kinks_at(**settings)])
        on_kink = np.isin(np.round(z, 12), np.round(corners, 12)) & ~edge
        frames.append(
            rows(
                z=z, value=value, slope=np.where(on_kink, np.nan, slope), edge=edge | on_kink, name=name,
                slot=np.int8(style.slot), dash=np.int8(style.dash),
            )
        )  # fmt: skip
        at_kinks = frames[-1][on_kink].assign(slope=slope[on_kink], edge=False)
        frames[-1] = pd.concat([frames[-1], at_kinks.assign(name=name)], ignore_index=True).sort_values(
            "z", kind="stable"
        )
        for corner in corners[np.abs(corners) <= _REACH]:
            at = np.array([corner * w])
            kinks.append(
                (
                    corner,
                    float(entry.f(at, **settings)[0]),
                    w * float(entry.df(at, **settings)[0]),
                    name,
                    style.slot,
                )
            )
        every = z[~edge][::12]
        away = (
            every[np.all(np.abs(every[:, None] - corners[None, :]) > 2 * _DIFFERENCE, axis=1)]
            if len(corners)
            else every
        )
        rise = entry.f(w * (away + _DIFFERENCE), **settings) - entry.f(w * (away - _DIFFERENCE), **settings)
        measured.append(rows(z=away, slope=rise / (2 * _DIFFERENCE), name=name))
        top = _peak(z, slope)
        if top is not None:
            peaks.append((*top, name, style.slot))
    nothing = rows(
        z=[0.0], value=0.0, slope=0.0, edge=False, name="", slot=theme.MUTED, dash=0, label="", note=""
    )
    curves = pd.concat(frames or [nothing], ignore_index=True)
    for column in ("value", "slope"):
        low, high = float(curves[column].min()), float(curves[column].max())
        if not high > low:
            low, high = low - 0.5, high + 0.5
        ends = (
            curves[np.isclose(curves.z, _REACH)]
            .drop_duplicates("name", keep="last")
            .set_index("name")[column]
        )
        wanted = np.array([float(ends[name]) for name in names])
        placed = spread(wanted, 0.055 * (high - low), low, high)
        curves[f"{column}_label"] = curves["name"].map(dict(zip(names, placed, strict=True))).astype(float)
    curves["name"] = curves["name"].astype("category")
    corner = rows(
        z=[k[0] for k in kinks], value=[k[1] for k in kinks], slope=[k[2] for k in kinks],
        note=[f"{k[3]}: slope {number(k[2])} by convention" for k in kinks], slot=[k[4] for k in kinks],
    ) if kinks else nothing.iloc[:0].assign(z=0.0)  # fmt: skip
    inner = "z" if w == 1 else f"{number(w)}z"
    front = "" if w == 1 else f"{number(w)} · "
    listed = ", ".join(_describe(name, values) for name in names)
    return Figure(
        name="activations/curves",
        build=_spec,
        data={
            "curves": curves,
            "measured": pd.concat(measured, ignore_index=True) if measured else nothing,
            "peaks": rows(
                z=[p[0] for p in peaks], slope=[p[1] for p in peaks], label=[number(p[1]) for p in peaks],
                slot=[p[3] for p in peaks],
            ) if peaks else nothing,
            "value_kinks": corner if kinks else nothing,
            "slope_kinks": corner if kinks else nothing,
            "titles": rows(value=[f"Value f({inner})"], slope=[f"Slope {front}f′({inner})"]),
        },
        title="Activation functions and their slopes",
        caption=f"{listed}; weight w = {number(w)}; PyTorch's conventions.",
        key=(
            "Lines: closed form. Dark dots: centered differences of the value, h = 1e−5. Numbers on the slopes: their "
            "largest value. Dots at kinks: the subgradient PyTorch takes."
        ),
        alt=f"Values and slopes of {listed or 'no function'}.",
        ghosts={"ghost": "curves"},
    )  # fmt: skip


def _peak(z: Array, slope: Array) -> tuple[float, float] | None:
    """Return where the slope is largest, if that is one point inside the window."""
    top = int(np.argmax(slope))
    if top in (0, len(z) - 1) or np.sum(slope >= slope[top] - 1e-12) > 2:
        return None
    return float(z[top]), float(slope[top])


def _describe(name: str, values: Values) -> str:
    settings = _settings(name, values)
    text = ", ".join(
        f"{knob.symbol or knob.name} {number(settings[knob.name], 4)}" for knob in ACTIVATIONS[name].knobs
    )
    return f"{name} ({text})" if text else name


def _at(entry: Activation, settings: Mapping[str, float], z: float, w: float) -> tuple[float, float]:
    point = np.array([w * z])
    return float(entry.f(point, **settings)[0]), w * float(entry.df(point, **settings)[0])


def _reading(values: Values) -> str:
    names = _chosen(values)
    if not names:
        return "Choose at least one function to see its curve."
    w = real(values, "weight")
    slopes = {name: _at(ACTIVATIONS[name], _settings(name, values), _CURSOR, w)[1] for name in names}
    listed = ", ".join(f"{name} {number(slope)}" for name, slope in slopes.items())
    products = ", ".join(f"{name} {number(slope**_LAYERS)}" for name, slope in slopes.items())
    tops = []
    worst = 0.0
    for name in names:
        entry, settings = ACTIVATIONS[name], _settings(name, values)
        z, _, slope, _ = _curve(name, values)
        top = int(np.argmax(slope))
        tops.append(f"{name} {number(float(slope[top]))}")
        corners = np.array([k / w for k in entry.kinks_at(**settings)] or [np.inf])
        away = z[np.min(np.abs(z[:, None] - corners[None, :]), axis=1) > 2 * _DIFFERENCE]
        rise = entry.f(w * (away + _DIFFERENCE), **settings) - entry.f(w * (away - _DIFFERENCE), **settings)
        worst = max(
            worst, float(np.max(np.abs(rise / (2 * _DIFFERENCE) - w * entry.df(w * away, **settings))))
        )
    return (
        f"At z = {number(_CURSOR)} the slopes are {listed}; through ten layers in a row, slopes only and no weights, "
        f"their products are {products}. Largest slope in the window: {', '.join(tops)}. "
        f"Slopes measured by differences stay within {number(worst, 2)} of the formulas."
    )


def _why(values: Values) -> str:
    w = real(values, "weight")
    lines = [
        r"Backpropagation multiplies the gradient by $w\,f'(wz)$ at every unit it passes, so ten layers multiply "
        "ten such slopes. Where a slope is small, little comes back; where it is 0, nothing does."
    ]
    for name in _chosen(values):
        entry, settings = ACTIVATIONS[name], _settings(name, values)
        value, slope = _at(entry, settings, _CURSOR, w)
        reach = entry.range(**settings)
        opening = "[" if reach.low_attained else "("
        closing = "]" if reach.high_attained else ")"
        lines.append(
            f"**{_describe(name, values)}** ({entry.source}): $f(z) = {entry.formula}$, "
            f"$f'(z) = {entry.derivative}$. Range {opening}{number(reach.low)}, {number(reach.high)}{closing}. "
            f"Here $f({number(w * _CURSOR)}) = {number(value, 4)}$ and the slope at $z = {number(_CURSOR)}$ is "
            f"${number(w)}\\cdotf'({number(w * _CURSOR)}) = {number(slope, 4)}$."
            + (f" {entry.kink_note}" if entry.kink_note else "")
            + (f" {entry.convention}" if entry.convention else "")
        )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Evaluate the chosen functions and draw them."""
    return View(figure=_figure(values), reading=_reading(values), why=_why(values))


SCENARIOS = (
    Scenario(
        "Slopes decide",
        "Sigmoid's slope never passes 0.25 and ReLU's stays at 1. Drag the cursor outward and watch the two curves "
        "on the right that go to 0. Then press the right arrow on w: a weight of 4 lifts sigmoid's peak to 1.",
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
        "The exact GELU, its tanh form and its sigmoid form lie on top of each other; move the cursor to 2.25 to "
        "read the differences.",
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
)
