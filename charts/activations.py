"""Activations: a function beside its slope, with the values at a cursor that moves in the browser."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.activation_choice import CHOICE_KNOBS, choice_blocks, choice_knobs
from charts.activation_code import programs
from charts.activation_compare import COMPARE_KNOBS, compare_blocks, compare_knobs
from charts.activation_notes import MEASURES
from charts.activation_predictions import PREDICTIONS
from charts.activation_signal import SIGNAL_KNOBS, signal_blocks
from charts.activation_training import DYING_KNOBS, TRAIN_KNOBS, dying_blocks, train_blocks
from charts.describe import described
from charts.describe import own as own_knob
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread
from charts.once import once
from charts.topic import Block, Group, Scenario, Tab, Topic, Values, View, Words, real, whole, word, words
from core.activations import ACTIVATIONS
from core.kept import keep
from core.knobs import Knob, aliases_of, latex, number
from core.properties import Bound, Flat, borders, flat_regions, second_derivative, slope_bounds

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
        "Mish": ("indigo", 1),
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


_TAB_KNOBS = (*SIGNAL_KNOBS, *COMPARE_KNOBS, *DYING_KNOBS, *TRAIN_KNOBS, *CHOICE_KNOBS)
_ALWAYS = tuple(knob.name for knob in (*SIGNAL_KNOBS, *DYING_KNOBS, *TRAIN_KNOBS))


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
        Knob("curvature", "bool", False, label="Curvature f″"),
        *_TAB_KNOBS,
    ]  # fmt: skip
    for name, entry in ACTIVATIONS.items():
        for knob in entry.knobs:
            knobs.append(knob.named(own_knob(name, knob.name), label=f"{name}: {knob.label or knob.name}"))
    return {knob.name: knob for knob in knobs}


def _names(knobs: Sequence[Knob]) -> tuple[str, ...]:
    return tuple(knob.name for knob in knobs)


def _chosen(values: Values) -> tuple[str, ...]:
    return words(values, "functions")


def _layout(values: Values) -> tuple[Group, ...]:
    own = tuple(own_knob(name, knob.name) for name in _chosen(values) for knob in ACTIVATIONS[name].knobs)
    # The knobs of the tabs have their controls there.
    beside = (own_of for tab in ("Compare", "Dying ReLU", "Train") for own_of in _tab_own(tab, values))
    tabs = dict.fromkeys((*_ALWAYS, *filter(None, compare_knobs(values)), *choice_knobs(values), *beside))
    resting = Group(tuple(tabs), resting=True)
    if len(own) <= 3:
        return (Group(("functions", "weight", *own, "curvature")), resting)
    return (Group(("functions", "weight", "curvature")), Group(own, "Settings of the functions"), resting)


def _tab_own(tab: str, values: Values) -> tuple[str, ...]:
    """Name the own knobs of the functions that a tab uses and the panel does not show."""
    used = {
        "Compare": (*words(values, "differ"), word(values, "against"))
        if word(values, "compare") == "differences"
        else (),
        "Dying ReLU": (word(values, "hidden"),),
        "Train": words(values, "trained"),
    }
    names = [name for name in dict.fromkeys(used[tab]) if name not in _chosen(values)]
    return tuple(own_knob(name, knob.name) for name in names for knob in ACTIVATIONS[name].knobs)


def _settings(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, own_knob(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


_PANELS = ("value", "slope", "curvature")
_GAP = 9  # pixels between a panel and the names at its right
# By letters of the longest chosen name: pixels at the size of titles that such a name has with its number at a cursor.
_ROOMS = {7: 106, 10: 120, 14: 146, 19: 162}
_AXIS = 36  # pixels that an axis takes at the left of a panel
_SPACING = 24  # and that lie between two panels
_PEAK_SIZE = theme.SMALL_SIZE + 0.5
_ABOVE = 9  # pixels that a number stands above its place
_SMALLEST = (174, 264)  # pixels of the smallest panel, its padding left out
_CELL = 3  # pixels by which the room in it is counted
_CROSSED = 9.0  # pixels that a number may stand further away for every cell of a line it then leaves free


def room_of(names: Sequence[str]) -> int:
    """Return the pixels that names need at the line ends with their numbers, one of the few values of ``_ROOMS``."""
    longest = max(map(len, names), default=0)
    return next(room for letters, room in _ROOMS.items() if longest <= letters)


@keep(entries=8)
def _builder(columns: tuple[str, ...], room: int) -> "_Builder":
    return _Builder(columns, room)


class _Builder:
    """The specification for some panels and names of some length; one object for each, so that it is recognized."""

    def __init__(self, columns: tuple[str, ...], room: int) -> None:
        self.columns, self.room = columns, room

    def __call__(self, width: int) -> Spec:
        return _panels_spec(width, self.columns, self.room)


def _labeled(marks: alt.Chart, column: str) -> alt.Chart:
    """Add ``label``: the name and a column's number, with the three digits that ``core.knobs.number`` would write."""
    return (
        marks.transform_calculate(size=f"abs(datum.{column})")
        .transform_calculate(plain="datum.size == 0 || datum.size >= 1e-4 && datum.size < 1e6")
        .transform_calculate(full="format(datum.size, datum.plain ? '.3r' : '.2e')")
        .transform_calculate(
            label=f"datum.name + '  ' + (!isValid(datum.{column}) ? 'none' : (datum.{column} < 0 ? '−' : '') + "
            "replace(replace(abs(datum.size - toNumber(datum.full)) > 1e-9 * datum.size ? datum.full : "
            "format(datum.size, datum.plain ? '.3~r' : '.2~e'), '+', ''), '-', '−'))"
        )
    )


@lru_cache(maxsize=96)
def _panels_spec(width: int, columns: tuple[str, ...], longest: int) -> Spec:
    narrow = width < NARROW * len(columns) / 2
    # Room for the longest name with its number, whatever the cursor is at: nothing moves while it is dragged.
    size = theme.SMALL_SIZE if narrow or len(columns) > 2 else theme.TEXT_SIZE
    limit = math.ceil(longest * size / theme.TEXT_SIZE)
    room = _GAP + limit
    across = 1 if narrow else len(columns)
    inner = (width - _SPACING * (across - 1)) // across - _AXIS - room
    tall = 300 if narrow else 410
    cursor = alt.param(
        name="cursor",
        value=_CURSOR,
        bind=alt.binding_range(min=-_REACH, max=_REACH, step=_GRAIN, name="Cursor z "),
    )
    here = (
        f"cursor > datum.z - {_GRAIN / 10} && cursor < datum.z + {_GRAIN} * datum.stops - {_GRAIN * 9 / 10}"
    )
    x = alt.X(
        "z:Q", title="z", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, tickCount=7)
    )

    def panel(name: str) -> Panel:
        # Room for the numbers above the peaks.
        scale = alt.Scale(zero=False, nice=False, padding=18 if name == "slope" else 6)
        y = alt.Y(f"{name}:Q", title=None, scale=scale)
        base = alt.Chart(named("curves"))
        # A row stands for several stops of the cursor where all is straight. The same in every layer, so that Vega
        # does it once.
        now = (
            base.transform_filter(here)
            .transform_calculate(value="datum.value + datum.slope * (cursor - datum.z)")
            .transform_calculate(z="cursor")
        )
        ghost = alt.Chart(named("ghost"))
        layers = [
            ghost.mark_line(strokeWidth=1.4, opacity=0.6, clip=True).encode(
                x=x, y=y, detail=alt.Detail("name:N"), color=theme.ink("muted")
            ),
            now.mark_rule(strokeWidth=1, strokeDash=[3, 3], clip=True).encode(x=x, color=theme.ink("muted")),
            base.mark_line(clip=True)
            .encode(x=x, y=y, detail=alt.Detail("name:N"), color=theme.color(), strokeDash=theme.dash())
            .properties(name=f"{name}_lines"),
        ]
        if name != "value":
            layers.append(
                alt.Chart(named("measured"))
                .mark_point(filled=True, size=13, opacity=1, clip=True)
                .encode(x=x, y=y, color=theme.ink("ink"))
            )
        if name == "slope":
            layers += [
                # The ground's color around the letters, so that no line crosses them out.
                *(
                    alt.Chart(named("peaks"))
                    .mark_text(
                        dy=-_ABOVE,
                        fontSize=_PEAK_SIZE,
                        fontWeight=600,
                        clip=True,
                        filled=filled,
                        strokeWidth=0 if filled else 4,
                        strokeJoin="round",
                    )
                    .encode(
                        x=alt.X("label_z:Q"), y=alt.Y("label_height:Q"), text=alt.Text("label:N"), color=color
                    )
                    for filled, color in ((False, theme.ink("paper")), (True, theme.color()))
                ),
                *(
                    alt.Chart(named("under"))
                    .mark_text(
                        align="left",
                        baseline="top",
                        dy=3,
                        fontSize=theme.SMALL_SIZE - 0.5,
                        clip=True,
                        filled=filled,
                        strokeWidth=0 if filled else 4,
                        strokeJoin="round",
                    )
                    .encode(
                        x=alt.X("label_z:Q"), y=alt.Y("label_height:Q"), text=alt.Text("label:N"), color=color
                    )
                    for filled, color in ((False, theme.ink("paper")), (True, theme.ink("muted")))
                ),
                alt.Chart(named("flat"))
                .mark_rect(clip=True)
                .encode(
                    x=alt.X("low:Q"),
                    x2=alt.X2("high:Q"),
                    y=alt.Y("bottom:Q"),
                    y2=alt.Y2("top:Q"),
                    color=theme.color(),
                    tooltip=[alt.Tooltip("note:N", title="saturated")],
                ),
            ]
        layers += [
            alt.Chart(named("kinks"))
            .mark_point(filled=True, size=34, clip=True, shape="diamond" if name == "curvature" else "circle")
            .encode(
                opacity=theme.SHOWN,
                x=x,
                y=y,
                color=theme.color(),
                tooltip=[alt.Tooltip("note:N", title="at the kink")],
            ),
            now.mark_point(filled=True, size=75, opacity=1, clip=True).encode(
                x=x,
                y=y,
                color=theme.color(),
                tooltip=[
                    alt.Tooltip("name:N", title="function"),
                    alt.Tooltip("z:Q", format=".2~f"),
                    *(alt.Tooltip(f"{column}:Q", format=".6~g") for column in columns),
                ],
            ),
        ]
        # The names keep to a scale of their own, of the same data, that zooming leaves alone. Vega-Lite clips what
        # shares an axis with a zoom, unless it is told not to.
        own = alt.Y(f"{name}:Q", axis=None, scale=scale)
        names = [
            ghost.mark_line(opacity=0).encode(x=x, y=own, detail=alt.Detail("name:N")),
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=own),
            _labeled(
                now.transform_lookup(
                    lookup="name", from_=alt.LookupData(named("ends"), "name", [f"{name}_label"])
                ),
                name,
            )
            .mark_text(align="left", dx=_GAP, limit=limit, clip=False, fontSize=size)
            .encode(
                x=compose.at_x(inner),
                y=alt.Y(f"{name}_label:Q", axis=None),
                text=alt.Text("label:N"),
                color=theme.color(),
            ),
            alt.Chart(named("titles"))
            .mark_rule(opacity=0, clip=False, aria=False)
            .encode(x=compose.at_x(inner), x2=alt.value(inner + room), y=compose.at_y(0)),
            alt.Chart(named("titles"))
            .transform_calculate(
                title=f"datum.{name}"
                + (
                    ""
                    if name != columns[0]
                    else " + (datum.numbers ? '; numbers at z = ' + format(cursor, '.2~f') : '')"
                )
            )
            .mark_text(align="left", baseline="bottom", clip=False, fontSize=theme.TEXT_SIZE)
            .encode(x=compose.at_x(0), y=compose.at_y(-8), text=alt.Text("title:N"), color=theme.ink("ink")),
        ]
        both = compose.layer(*layers), compose.layer(*names)
        return compose.layer(*both, resolve={"y": "independent"}, width=inner, height=tall, name=name)

    panels = [panel(name) for name in columns]
    join = compose.below if narrow else compose.beside
    both = join(*panels, resolve={"color": "shared", "strokeDash": "shared"})
    spec = once(assemble(both, theme.config(), [compose.parameter(cursor)]))
    # Written out: Altair warns of a selection that two views share, which is what links them. It acts only with a key
    # held, as a plain wheel scrolls the page, and so does a finger on a phone.
    zoom = {
        "name": "zoom",
        "select": {
            "type": "interval",
            "zoom": "wheel![event.ctrlKey || event.metaKey]",
            "translate": "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
        },
        "bind": "scales",
        "views": _named_units(spec),  # Altair numbers the names it is given
    }
    spec["params"] = [*spec["params"], zoom]
    return spec


def _named_units(spec: Spec) -> list[str]:
    """Return the names of the marks that have one."""
    own = [spec["name"]] if "mark" in spec and "name" in spec else []
    parts = [part for key in ("hconcat", "vconcat", "layer") for part in spec.get(key, [])]
    return [*own, *(name for part in parts for name in _named_units(part))]


class _Curve(NamedTuple):
    """A function over the window. Points off the grid are those of ``edge``: they only make the line exact."""

    z: Array
    value: Array
    slope: Array
    curvature: Array  # NaN where it was not asked for, and at kinks and seams, where there is none
    edge: Array
    kinks: Array
    away: (
        Array  # indices of the points of the grid that differences do not reach across a kink or a seam from
    )
    measured: Array  # slope by centered differences at those

    def at(self, z: float) -> tuple[float, float]:
        """Return value and slope at a point of the grid."""
        k = np.flatnonzero((self.z == z) & ~self.edge)[0]
        return float(self.value[k]), float(self.slope[k])


Settings = tuple[tuple[str, float], ...]  # a function's settings, for caches


class _Points(NamedTuple):
    z: Array
    edge: Array  # off the grid
    side: Array  # beside a kink, where there is no curvature


@lru_cache(maxsize=8)
def _between(parts: int) -> tuple[Array, Array]:
    """Return the points that cut every step of the grid into so many parts, and the same rounded as the grid is."""
    exact = np.arange(-_REACH, _REACH, _GRAIN / parts)
    exact = exact[np.arange(len(exact)) % parts > 0]
    rounded = np.round(exact, 10)
    exact.flags.writeable = rounded.flags.writeable = False
    return exact, rounded


@lru_cache(maxsize=64)
def _oscillates(name: str) -> bool:
    """Say whether a function bends all over the line: it has no slope in the limit."""
    return bool(np.isnan(ACTIVATIONS[name].df(np.array(np.inf))))


@lru_cache(maxsize=256)
def _kinks(name: str, settings: Settings) -> tuple[float, ...]:
    """Return where a function jumps, or its slope."""
    return ACTIVATIONS[name].kinks_at(**dict(settings))


def _points(name: str, kinks: Array, w: float) -> _Points:
    """Return the grid, two points beside every kink, so that a jump is upright, and more where a weight bends f."""
    sides = np.concatenate([kinks - 1e-9, kinks + 1e-9])
    sides = sides[np.abs(sides) <= _REACH]
    fine = np.empty(0)
    if w > 2:
        exact, fine = _between(int(np.ceil(w / 2)))
        fine = fine if _oscillates(name) else fine[np.abs(w * exact) <= 8]
    z = np.concatenate([_GRID, fine, sides])
    order = np.argsort(z, kind="stable")
    return _Points(z[order], order >= len(_GRID), order >= len(_GRID) + len(fine))


def _curve(name: str, values: Values) -> _Curve:
    """Evaluate f(wz), w·f'(wz) and w²·f″(wz) over the window."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    kinks, marks = (
        np.array([k / w for k in places if abs(k / w) <= _REACH])
        for places in (_kinks(name, tuple(settings.items())), borders(entry))
    )
    z, edge, side = _points(name, kinks, w)
    curvature = np.full(z.shape, np.nan)
    if values["curvature"]:
        curvature[~side] = _curvature(name, tuple(settings.items()), w, z[~side].tobytes())
    away = np.flatnonzero(~edge)
    if len(marks):
        apart: Array = np.abs(z[away, None] - marks).min(axis=1)
        away = away[apart > 2 * _DIFFERENCE]
    # In one call: the functions cost more for each of them than for each number.
    f = entry.f(w * np.concatenate([z, z[away] - _DIFFERENCE, z[away] + _DIFFERENCE]), **settings)
    value, low, high = np.split(f, [len(z), len(z) + len(away)])
    return _Curve(
        z=z,
        value=value,
        slope=w * entry.df(w * z, **settings),
        curvature=curvature,
        edge=edge,
        kinks=kinks,
        away=away,
        measured=(high - low) / (2 * _DIFFERENCE),
    )


@keep(entries=128)
def _curvature(name: str, settings: Settings, w: float, at: bytes) -> Array:
    """Return w²·f″(wz) at the float64 numbers of ``at``, read-only."""
    result: Array = w * w * second_derivative(ACTIVATIONS[name], w * np.frombuffer(at), dict(settings))
    result.flags.writeable = False
    return result


@lru_cache(maxsize=256)
def _steepest(name: str, settings: Settings) -> Bound:
    """Return the largest slope of a function and where it has it."""
    return slope_bounds(ACTIVATIONS[name], dict(settings))[1]


def _largest_slope(name: str, values: Values, curve: _Curve) -> tuple[float, float | None]:
    """Return the largest slope in the window, and its place if that is a single point inside."""
    w = real(values, "weight")
    bound = _steepest(name, tuple(_settings(name, values).items()))
    seen = [place for place in bound.places if place.low / w <= _REACH and place.high / w >= -_REACH]
    if not seen or not np.isfinite(bound.value):
        return float(curve.slope.max()), None
    points = [place.low / w for place in seen if place.low == place.high]
    return w * bound.value, points[0] if len(seen) == len(points) == 1 else None


@keep(entries=256)
def _flat(name: str, settings: Settings) -> Flat:
    """Return where a function is saturated, for every weight of the page."""
    return flat_regions(ACTIVATIONS[name], low=-60.0, high=60.0, knobs=dict(settings))


def _bends(name: str, values: Values, z: Array) -> Array:
    """Measure the slope of the slope by centered differences at z."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    low, high = np.split(entry.df(w * np.concatenate([z - _DIFFERENCE, z + _DIFFERENCE]), **settings), 2)
    return w * (high - low) / (2 * _DIFFERENCE)


_ROUNDING = 1e-12  # by which points of a straight line may stand off it
_UNSEEN = 0.15 / 410  # of a panel's height: a fraction of a pixel


def _drawn(curve: _Curve, columns: Sequence[str]) -> Part:
    """Return the points of a curve that its lines and the cursor need.

    Those off the grid go where they hardly bend a line, and those within a straight line, which has one slope: the
    first of its points, with the number of the cursor's ``stops`` that it stands for, tells the rest. Off the grid
    that number is 0.
    """
    seen, grid = np.ones(curve.z.shape, bool), ~curve.edge
    panels = {column: getattr(curve, column) for column in columns}
    if curve.edge.any():
        bent = np.zeros(int(curve.edge.sum()), bool)
        for y in panels.values():
            off = np.abs(y[curve.edge] - np.interp(curve.z[curve.edge], curve.z[grid], y[grid]))
            bent |= ~(off <= _UNSEEN * np.ptp(y))  # also beside a point without a curvature
        seen[curve.edge] = bent
    kept: Array = np.flatnonzero(seen)
    stops: Array = grid[kept].astype(np.uint8)
    z, value, slope = (y[kept] for y in (curve.z, curve.value, curve.slope))
    rise: Array = np.abs(np.diff(value) - slope[:-1] * np.diff(z))
    joined = rise <= _ROUNDING * max(1.0, float(np.abs(value).max()))
    for y in panels.values():
        if y is not curve.value:
            joined &= y[kept[1:]] == y[kept[:-1]]
    if joined.any():
        before, after = np.append(False, joined), np.append(joined, False)
        stretch = np.cumsum(after & ~before)
        inside = np.flatnonzero(after & (stops > 0))  # the last of a straight line stands for itself
        _, first, counts = np.unique(stretch[inside], return_index=True, return_counts=True)
        stops[inside[first]] = counts
        needed = ~(before & after)
        needed[inside[first]] = True
        kept, stops = kept[needed], stops[needed]
    return {"z": curve.z[kept], **{column: y[kept] for column, y in panels.items()}, "stops": stops}


def _strips(
    values: Values, curves: Mapping[str, _Curve], low: float, high: float
) -> tuple[list[Part], float]:
    """Lay one thin strip per function below the slopes, over its saturated stretches; returns where they end."""
    w, tall = real(values, "weight"), high - low
    parts: list[Part] = []
    bottom = low
    for k, name in enumerate(curves):
        flat = _flat(name, tuple(_settings(name, values).items()))
        left = np.clip(flat.saturated[:, 0] / w, -_REACH, _REACH)
        right = np.clip(flat.saturated[:, 1] / w, -_REACH, _REACH)
        seen = right > left
        top = low - tall * (0.045 + 0.024 * k)
        bottom = top - tall * 0.017
        limit = f"slope under {number(w * flat.threshold)}" if flat.threshold else "slope 0"
        where = [
            f"{name}: {limit} for z from {number(a)} to {number(b)}" for a, b in flat.saturated[seen] / w
        ]
        if seen.any():
            parts.append(
                {"low": left[seen], "high": right[seen], "bottom": bottom, "top": top, "note": where,
                 "slot": np.int8(STYLES[name].slot)}
            )  # fmt: skip
    return parts, bottom


@lru_cache(maxsize=1)
def _axes() -> Frame:
    """Return what keeps the axes where no function is chosen: two lines of one point each, which draw nothing.

    The first stands for every stop of the cursor, so that the layers at the cursor have a row too, in the paper's color.
    """
    return rows(
        z=[-_REACH, _REACH], value=[0.0, 1.0], slope=[0.0, 1.0], curvature=[0.0, 1.0],
        stops=np.array([round(2 * _REACH / _GRAIN) + 1, 0], np.uint8),
        name=["", " "], slot=theme.PAPER, dash=0,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _nothing() -> Frame:
    """Return the row of a data set that has nothing to draw."""
    return rows(
        z=[0.0], value=0.0, slope=0.0, curvature=0.0, height=0.0, label_z=0.0, label_height=0.0, name="",
        slot=theme.MUTED, shown=False, label="", note="", low=0.0, high=0.0, bottom=0.0, top=0.0,
        **{f"{column}_label": 0.0 for column in _PANELS},
    )  # fmt: skip


def _figure(values: Values, curves: Mapping[str, _Curve]) -> Figure:
    w, curved = real(values, "weight"), bool(values["curvature"])
    columns = _PANELS if curved else _PANELS[:2]
    lows, highs = zip(*(_range(curves, column) for column in columns), strict=True)
    ends: Part = {"name": list(curves)}
    for column, low, high in zip(columns, lows, highs, strict=True):
        last = np.array([getattr(curve, column)[-1] for curve in curves.values()])
        ends[f"{column}_label"] = spread(last, 0.055 * (high - low), low, high)
    drawn: list[Part] = []
    measured: list[Part] = []
    peaks: list[tuple[float, float, str]] = []
    kinks: list[Part] = []
    no_bend = {"curvature": 0.0} if curved else {}
    strips, floor = _strips(values, curves, lows[1], highs[1])
    for name, curve in curves.items():
        style = STYLES[name]
        drawn.append(
            {**_drawn(curve, columns), "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash)}
        )
        away = curve.z[curve.away[::12]]
        measured.append(
            {"z": away, "slope": curve.measured[::12],
             **({"curvature": _bends(name, values, away)} if curved else {})}
        )  # fmt: skip
        steepest, at = _largest_slope(name, values, curve)
        if at is not None:
            peaks.append((at, steepest, name))
        if len(curve.kinks):
            kinks.append(
                {**_at_kinks(name, values, curve.kinks), **no_bend, "slot": style.slot, "shown": True}
            )
    inner = "z" if w == 1 else f"{number(w)}z"
    front = ["" if w == 1 else f"{number(w**k)} · " for k in (1, 2)]
    listed = ", ".join(_describe(name, values) for name in curves)
    titles = {
        "value": f"Value f({inner})",
        "slope": f"Slope {front[0]}f′({inner})",
        "curvature": f"Curvature {front[1]}f″({inner})",
    }
    return Figure(
        name="activations/curves",
        build=_builder(columns, room_of(tuple(curves))),
        data={
            "curves": rows(*drawn) if drawn else _axes(),
            "measured": rows(*measured)
            if measured
            else rows(z=[-_REACH], slope=0.0, curvature=0.0),  # in the corner of the axes
            "peaks": rows(
                z=[z for z, _, _ in peaks],
                slot=[STYLES[name].slot for *_, name in peaks],
                height=[height for _, height, _ in peaks],
                **_peak_labels(peaks, curves, lows[1], highs[1], floor),
            )
            if peaks
            else _nothing(),
            "kinks": rows(*kinks) if kinks else _nothing(),
            "flat": rows(*strips) if strips else _nothing(),
            "extent": rows(
                **{
                    column: [low if column != "slope" else min(low, floor), high]
                    for column, low, high in zip(columns, lows, highs, strict=True)
                }
            ),
            "ends": rows(**ends) if curves else _nothing(),
            # Below the last strip, in the padding of the panel.
            "under": rows(label_z=[-_REACH], label_height=[floor], label=["slope under 1% of its largest"])
            if strips
            else _nothing(),
            "titles": rows(**{column: [titles[column]] for column in columns}, numbers=[bool(curves)]),
        },
        title="Activation functions and their slopes",
        caption=f"{listed}; weight w = {number(w)}; PyTorch's conventions.",
        key=(
            "Lines: closed form. Small dots: centered differences, h = 1e−5. Numbers on the slopes: their largest value. "
            "Strips below them: where a slope is under 1% of its function's own largest. Dots at kinks: the subgradient "
            "PyTorch takes."
        ),
        hint="Ctrl and wheel, or a pinch, zooms; Shift and drag moves; a double-click returns.",
        alt="Left: values of the chosen activation functions over z. Right: their slopes. Names stand at the line ends.",
        ghosts={"ghost": "curves"},
    )


def _peak_labels(
    peaks: Sequence[tuple[float, float, str]],
    curves: Mapping[str, _Curve],
    low: float,
    high: float,
    floor: float,
) -> Part:
    """Write the largest slopes, each near its peak where the fewest lines pass, the dashed one and other labels included.

    A name goes with it where another peak has the same color. Room is counted on the smallest panel there is; on a
    larger one the same place is as free.

    Args:
        peaks: z, largest slope and name of each.
        curves: all functions of the panel.
        low: smallest slope in the panel.
        high: largest slope in the panel.
        floor: lowest place of the panel.

    Returns:
        columns label, label_z and label_height, a number a peak.
    """
    slots = [STYLES[name].slot for *_, name in peaks]
    labels = [
        f"{name} {number(slope)}" if slots.count(slot) > 1 else number(slope)
        for (_, slope, name), slot in zip(peaks, slots, strict=True)
    ]
    wide, tall = _SMALLEST
    scale = tall / (high - floor)  # pixels a unit of slope
    rows_down, rows_across = (tall + 2 * _ABOVE) // _CELL, wide // _CELL
    taken = np.zeros((rows_down, rows_across), np.int32)
    for curve in curves.values():
        seen = np.isfinite(curve.slope)
        across = (curve.z[seen] + _REACH) / (2 * _REACH) * wide
        down = (high - curve.slope[seen]) * scale + 2 * _ABOVE
        way = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(across), np.diff(down)))])
        along = np.arange(0.0, way[-1], _CELL / 2)
        row, column = (
            np.clip((np.interp(along, way, part) / _CELL).astype(int), 0, most - 1)
            for part, most in ((down, rows_down), (across, rows_across))
        )
        taken[row, column] = 1
    taken[:, int((_CURSOR + _REACH) / (2 * _REACH) * rows_across)] = 1
    lowest = int((high - low) * scale / _CELL) + 2 * _ABOVE // _CELL
    placed = []
    for (z, slope, _), label in zip(peaks, labels, strict=True):
        across, down = (z + _REACH) / (2 * _REACH) * wide, (high - slope) * scale + _ABOVE
        long = min(round(_PEAK_SIZE * (0.56 * len(label) + 0.4) / _CELL), rows_across)
        deep = round(1.2 * _PEAK_SIZE / _CELL)
        hits = _sums(taken, deep, long)[: lowest - deep]
        away_down, away_across = (
            np.abs((np.arange(count) + size / 2) * _CELL - at)
            for count, size, at in zip(hits.shape, (deep, long), (down, across), strict=True)
        )
        # No place further away than this can be better than the nearest one.
        i, j = away_down.argmin(), away_across.argmin()
        most = np.hypot(away_down[i], away_across[j]) + _CROSSED * hits[i, j]
        (top, bottom), (left, right) = (
            (away <= most).nonzero()[0][[0, -1]] for away in (away_down, away_across)
        )
        within = slice(top, bottom + 1), slice(left, right + 1)
        cost = np.hypot(away_down[within[0], None], away_across[within[1]]) + _CROSSED * hits[within]
        i, j = divmod(int(cost.argmin()), cost.shape[1])
        i, j = i + int(top), j + int(left)
        taken[i : i + deep, j : j + long] = 4  # a text over a text is worse than over a line
        placed.append(
            (
                (j + long / 2) * _CELL / wide * 2 * _REACH - _REACH,
                high - ((i + deep / 2) * _CELL - _ABOVE) / scale,
            )
        )
    return {
        "label": labels,
        "label_z": [at for at, _ in placed],
        "label_height": [min(height, high) for _, height in placed],
    }


def _sums(cells: Array, deep: int, long: int) -> Array:
    """Return the sum of every block of ``deep`` by ``long`` cells, by its upper left one."""
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), np.int32)
    np.cumsum(cells, axis=0, out=sums[1:, 1:], dtype=np.int32)
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:], dtype=np.int32)
    found: Array = sums[deep:, long:] - sums[:-deep, long:] - sums[deep:, :-long] + sums[:-deep, :-long]
    return found


def _at_kinks(name: str, values: Values, kinks: Array) -> Part:
    """Return place, value, slope by convention and what to say of a function's kinks."""
    entry, settings, w = ACTIVATIONS[name], _settings(name, values), real(values, "weight")
    slopes = w * entry.df(w * np.stack([kinks, kinks - 1e-9, kinks + 1e-9]), **settings)
    return {
        "z": kinks,
        "value": entry.f(w * kinks, **settings),
        "slope": slopes[0],
        "note": [
            f"{name}: slope {number(slope)} by convention, {number(left)} to {number(right)} across it, so that there is "
            "no f″"
            for slope, left, right in slopes.T.tolist()
        ],
    }


def _range(curves: Mapping[str, _Curve], column: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a panel, apart from each other."""
    seen = [getattr(curve, column)[np.isfinite(getattr(curve, column))] for curve in curves.values()]
    if not seen:
        return 0.0, 1.0
    low, high = min(float(v.min()) for v in seen), max(float(v.max()) for v in seen)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _describe(name: str, values: Values) -> str:
    return described(name, _settings(name, values))


def _reading(values: Values, curves: Mapping[str, _Curve]) -> str:
    if not curves:
        return "No function is chosen, so nothing is drawn."
    w = real(values, "weight")
    products = ", ".join(
        f"{name} {number(curve.at(_CURSOR)[1] ** _LAYERS)}" for name, curve in curves.items()
    )
    flat = {name: _saturation(name, values) for name in curves}
    tops = ", ".join(
        f"{name} {number(_largest_slope(name, values, curve)[0])}{flat[name]}"
        for name, curve in curves.items()
    )
    worst = max(float(np.max(np.abs(curve.measured - curve.slope[curve.away]))) for curve in curves.values())
    with_what = "slopes only, no weights" if w == 1 else f"each with its weight {number(w)}"
    ranges = ", and where it is under 1% of that" if any(flat.values()) else ""
    return (
        f"Through ten layers with the slopes at z = {number(_CURSOR)}, where the cursor starts: {products} ({with_what}). "
        f"Largest slope in the window{ranges}: {tops}. "
        f"Slopes measured by differences stay within {number(worst, 2)} of the formulas."
    )


def _saturation(name: str, values: Values) -> str:
    """Say in parentheses from where on a function's slope is under 1% of its own largest; nothing if it never is."""
    flat = _flat(name, tuple(_settings(name, values).items()))
    ends = flat.saturated / real(values, "weight")
    left = [float(b) for a, b in ends if a == -np.inf]
    right = [float(a) for a, b in ends if b == np.inf]
    if np.inf in left:
        return " (everywhere)"
    if left and right and abs(left[0] + right[0]) < 1e-9 * (1 + abs(right[0])):
        return f" (beyond ±{number(right[0])})" if right[0] else " (everywhere)"
    parts = [f"left of {number(edge)}" for edge in left] + [f"right of {number(edge)}" for edge in right]
    return f" ({' and '.join(parts)})" if parts else ""


def _why(values: Values, curves: Mapping[str, _Curve]) -> str:
    w = real(values, "weight")
    lines = [
        r"Backpropagation multiplies the gradient by $w\,f'(wz)$ at every unit it passes, so ten layers multiply "
        "ten such slopes. Where a slope is small, little comes back; where it is 0, nothing does."
    ]
    for name in curves:
        entry = ACTIVATIONS[name]
        value, slope = curves[name].at(_CURSOR)
        slope_text = f"f'({latex(w * _CURSOR)})" if w == 1 else f"{latex(w)}\\cdot f'({latex(w * _CURSOR)})"
        lines.append(
            f"**{_describe(name, values)}** ({entry.source}): $f(z) = {entry.formula}$, "
            f"$f'(z) = {entry.derivative}$. Range {entry.range(**_settings(name, values))}. "
            f"At $z = {latex(_CURSOR)}$, $f({latex(w * _CURSOR)}) = {latex(value, 4)}$, and the slope is "
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
        say=lambda: Words(
            _reading(values, curves),
            _why(values, curves),
            () if curves else ("Choose at least one function to see its curve.",),
        ),
        tabs=(
            Tab("Signal", lambda now=values: _signal(now), _names(SIGNAL_KNOBS)),
            Tab(
                "Compare",
                lambda now=values: _compare(now),
                lambda v: (*compare_knobs(v), *_tab_own("Compare", v)),
            ),
            Tab(
                "Dying ReLU",
                lambda now=values: _dying(now),
                lambda v: (*_names(DYING_KNOBS), *_tab_own("Dying ReLU", v)),
            ),
            Tab(
                "Train",
                lambda now=values: _train(now),
                lambda v: (*_names(TRAIN_KNOBS), *_tab_own("Train", v)),
            ),
            Tab("Choose", lambda now=values: choice_blocks(now), choice_knobs),
        ),
        programs=lambda: programs(
            _chosen(values),
            {name: _settings(name, values) for name in _chosen(values)},
            real(values, "weight"),
            _GRID,
        ),
    )


def _signal(values: Values) -> Sequence[Block]:
    names = _chosen(values)
    settings = {name: _settings(name, values) for name in names}
    listed = [_describe(name, values) for name in names]
    return signal_blocks(names, settings, STYLES, listed, own_knob, real(values, "mu"), real(values, "sigma"))


def _compare(values: Values) -> Sequence[Block]:
    names = dict.fromkeys((*_chosen(values), *words(values, "differ"), word(values, "against")))
    return compare_blocks(
        values,
        _chosen(values),
        {name: _settings(name, values) for name in names},
        STYLES,
        {name: _describe(name, values) for name in names},
    )


def _dying(values: Values) -> Sequence[Block]:
    hidden = word(values, "hidden")
    return dying_blocks(
        hidden,
        _settings(hidden, values),
        word(values, "data"),
        real(values, "lr"),
        real(values, "bias"),
        whole(values, "dead_batch"),
        whole(values, "hidden_layers"),
    )


def _train(values: Values) -> Sequence[Block]:
    names = words(values, "trained")
    return train_blocks(
        names,
        {name: _settings(name, values) for name in names},
        STYLES,
        word(values, "problem"),
        real(values, "train_lr"),
        whole(values, "train_layers"),
        whole(values, "train_seed"),
    )


SCENARIOS = (
    Scenario(
        "Slopes decide",
        "Sigmoid's own slope never passes 0.25; ReLU's is 1 for every z > 0. Drag the cursor outward: the slopes of sigmoid "
        "and tanh go to 0. Then set w to 4: the weight lifts sigmoid's peak to 4 · 0.25 = 1, and makes it narrower.",
        question="Of sigmoid, tanh, ReLU and GELU, which still have a slope near 1 at z = 3?",
    ),
    Scenario(
        "Sigmoid with weight 4",
        "A weight of 4 brings sigmoid's largest slope to 1, but only in a window of about one unit: the curve has "
        "become steeper and saturates sooner.",
        {"functions": ("sigmoid", "tanh"), "weight": 4.0},
        question="A weight of 4 is put in front of a sigmoid. What becomes of its slope, which was at most 0.25?",
    ),
    Scenario(
        "Leaky family",
        "A small slope for negative z keeps a gradient alive where ReLU has none. Change the slope and see what it "
        "costs: with slope 1 nothing is left of the kink.",
        {"functions": ("ReLU", "leaky ReLU", "PReLU", "ELU", "SELU")},
        question="The input is −3. Which of ReLU, leaky ReLU, PReLU, ELU and SELU pass no gradient at all?",
    ),
    Scenario(
        "Three ways to write GELU",
        "The exact GELU, its tanh form and its sigmoid form lie on top of each other. Move the cursor to 2.25 and "
        "point at the dots: the tanh form begins to differ in the fourth digit, the sigmoid form in the third.",
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
        question="The slope of ReLU is 0 or 1. Between which numbers do the slopes of GELU, SiLU and Mish lie?",
    ),
    Scenario(
        "Where the bend is",
        "The third panel is the slope's own slope. ReLU's is 0 on both sides and does not exist at the kink; smooth functions "
        "spread that bend over a few units. SiLU and GELU pay for it with a stretch of negative slope.",
        {"functions": ("ReLU", "softplus", "GELU", "SiLU"), "curvature": True},
        question="ReLU has slope 0 for z < 0 and 1 for z > 0. What is its second derivative at z = 1, and at z = 0?",
    ),
    Scenario(
        "Step and surrogate",
        "The step's slope is 0 wherever it has one, so nothing below it learns. A sigmoid with weight 10 looks alike and "
        "has slopes, though hardly any beyond |z| = 1. Lower the weight and watch the strips retreat.",
        {"functions": ("step", "sigmoid", "hard sigmoid"), "weight": 10.0},
        question="A step function separates two classes without an error. Why can gradients not train it?",
    ),
    Scenario(
        "A constant mistyped",
        "The tanh form of GELU with 0.044175 for 0.044715. Both stay within half a thousandth of the exact GELU; the third "
        "digit matters only where a checkpoint has to be matched. Move the constant and look for the smallest error.",
        {
            "functions": ("GELU", "GELU (tanh)", "GELU (sigmoid)"),
            "gelu_tanh_cubic": 0.044175,
            "compare": "differences",
        },
        question="Someone types 0.044175 for the 0.044715 in the tanh form of GELU. How far from the exact GELU does its "
        "output get?",
        tab="Compare",
    ),
    Scenario(
        "Formulas that overflow",
        "The plain formulas of sigmoid, tanh, softplus and ELU in float32: inf or NaN where an exponential overflows, "
        "lost digits where two numbers cancel. The same functions, arranged differently, stay within a few roundings.",
        {"functions": ("sigmoid", "tanh", "softplus", "ELU"), "compare": "float32"},
        question="tanh is (eᶻ − e⁻ᶻ)/(eᶻ + e⁻ᶻ). What does this formula give in float32 for z = 100?",
        tab="Compare",
    ),
    Scenario(
        "Units that die",
        "A small ReLU network loses units as it trains, and some come back. Lower the learning rate and count again; then "
        "choose leaky ReLU: about as many units are negative everywhere, and none of them stops learning.",
        {"functions": ("ReLU", "leaky ReLU", "ELU", "GELU"), "hidden": "ReLU"},
        question="A ReLU unit is dead: its slope is 0 at every point of the data. In which layers can it come back to life?",
        tab="Dying ReLU",
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
    free=tuple(knob.name for knob in _TAB_KNOBS),
    tabs=("Signal", "Compare", "Dying ReLU", "Train", "Choose"),
    code=True,
    measures=MEASURES,
    predictions=PREDICTIONS,
)
