"""The Landscape tab of the optimizers page: lines through a loss, equal minima, width, small steps, one weight."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
from PIL import Image

from charts import compose, progress, raster, theme
from charts.describe import counted, numbers, percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread
from charts.optimizers_base import (
    CLEAR,
    place,
    problem_of,
    start_of,
    surface_key,
    surface_of,
    surface_settings,
)
from charts.optimizers_batches import heading, labels
from charts.topic import Block, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.descent import SurfaceProblem
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.landscape import (
    Curvature,
    LazyRuns,
    SwappedUnits,
    WidthRuns,
    bending_angles,
    curvature_map,
    lazy_runs,
    one_weight,
    slice_along,
    swapped_units,
    weight_losses,
    width_runs,
)
from core.optimizers import OPTIMIZERS
from core.streams import stream
from core.surfaces import SURFACES

Array = np.ndarray

SLICES, SWAPPED, WIDTH, LAZY, ONE = "slices", "swapped units", "width", "small steps", "one weight"
START, CENTER, MINIMUM = "the start", "the window’s center", "a minimum"

_CELLS = 121  # a side of the map of negative curvature
_VERTICES = 1300  # of all isolines
_PLACES = 181  # on a line
_POINTS, _NOISE = 40, 0.1  # of the data
_SWAP_LR, _SWAP_STEPS = 0.05, 400
_WIDTHS, _SEEDS, _WIDTH_LR, _WIDTH_STEPS = (2, 4, 8, 16, 64), 20, 0.03, 400
_LAZY_WIDTHS, _LAZY_SEEDS, _LAZY_STEPS = (4, 8, 16, 32, 64, 128, 256, 512), 10, 100
_INPUTS, _LABELS = (-2.0, -1.0, 0.5, 1.0, 2.0), (0, 0, 0, 1, 1)
_WEIGHTS = 6.0  # the one weight goes from minus this to this
_DATA = 2  # place of the stream of the data; weights and batches have 0 and 1
_ACTIVATION = ACTIVATIONS["tanh"]
_WIDTH_ACTIVATION = ACTIVATIONS["ReLU"]
_ALIKE = 0.1  # of their mean length: two units that hardly differ
_LEARNED = 0.5  # of the first loss: below, a network has learned something
_HIGHEST = 1e6  # a loss that a panel still shows

LAND_KNOBS = (
    Knob("land_view", "choice", SLICES, label="View", choices=(SLICES, SWAPPED, WIDTH, LAZY, ONE)),
    Knob(
        "land_through", "choice", START, label="Line through", choices=(START, CENTER, MINIMUM),
        aliases={"the window's center": CENTER},
    ),
    Knob("land_angle", "int", 30, label="Direction", low=0, high=180, step=1, unit="°", help="From the x axis."),
    Knob("land_data", "choice", "moons", label="Data", choices=tuple(DATASETS)),
    Knob("land_units", "int", 4, label="Hidden units", low=2, high=6, step=1),
    Knob("land_layers", "int", 2, label="Hidden layers", low=1, high=3, step=1),
    Knob(
        "land_lr", "float", 0.5, label="Learning rate × width", low=0.001, high=1.0, log=True,
        help="The rate of a network is this over its width.",
    ),
    Knob("land_samples", "int", 8, label="Samples", low=2, high=32, step=1),
    Knob(
        "land_activation", "choice", "sigmoid", label="Activation", choices=tuple(ACTIVATIONS),
        aliases=aliases_of(ACTIVATIONS),
    ),
    Knob("land_seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip

_VIEW_KNOBS: Mapping[str, tuple[str, ...]] = {
    SLICES: ("land_through", "land_angle"),
    SWAPPED: ("land_data", "land_units", "land_seed"),
    WIDTH: ("land_layers", "land_seed"),
    LAZY: ("land_lr", "land_samples", "land_seed"),
    ONE: ("land_activation",),
}


def land_shown(values: Values) -> tuple[str, ...]:
    """Name the knobs of the view that is open."""
    return ("land_view", *_VIEW_KNOBS[word(values, "land_view")])


# Small parts of specifications


def _plain(channel: type[alt.X] | type[alt.Y], field: str, title: str | None) -> Any:
    return channel(
        field,
        title=title,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=5, labelPadding=CLEAR),
    )


def _log_y(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )


def _widths_x(ticks: Sequence[int]) -> alt.X:
    return alt.X(
        "width:Q",
        title="units of a hidden layer",
        scale=alt.Scale(type="log", base=2, nice=False, padding=14),
        axis=alt.Axis(grid=False, values=list(ticks), format="d"),
    )


def _panels(width: int, left: Panel, right: Panel) -> Spec:
    join, gap = (compose.below, 44) if width < NARROW else (compose.beside, 28)
    both = join(left, right, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _reach(*parts: Array) -> list[float]:
    """Return the ends of an axis with all finite numbers and a little room."""
    seen = np.concatenate([np.ravel(part) for part in parts]).astype(float)
    seen = seen[np.isfinite(seen)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.5 * max(abs(high), 1.0)
    return [low - margin, high + margin]


def _log_reach(*parts: Array) -> list[float]:
    """Return the ends of a log axis with all positive finite numbers, half a decade apart at least."""
    seen = np.concatenate([np.ravel(part) for part in parts]).astype(float)
    logs = np.log10(seen[np.isfinite(seen) & (seen > 0)])
    low, high = (float(logs.min()), float(logs.max())) if logs.size else (-1.0, 0.0)
    margin = max(0.03 * (high - low), (0.5 - (high - low)) / 2)
    return [10 ** (low - margin), 10 ** (high + margin)]


def _shown_log(y: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _bends(y: Array, down: Array) -> Array:
    """Return the pieces of a curve that bend down, each with the places on both sides, NaN elsewhere."""
    wide = down.copy()
    wide[1:] |= down[:-1]
    wide[:-1] |= down[1:]
    bent = np.where(wide & np.isfinite(y), y, np.nan)
    if np.isnan(bent).all():
        bent[np.isfinite(y).argmax()] = y[
            np.isfinite(y).argmax()
        ]  # a line of one point draws nothing, and has an extent
    return bent


def _two_curves(x: alt.X, y: Callable[[str], alt.Y], data: str) -> list[Panel]:
    """Draw a curve, and over it the pieces that bend down."""
    base = alt.Chart(named(data))
    return [
        base.mark_line().encode(x=x, y=y("y:Q"), color=theme.color()),
        base.mark_line(strokeWidth=4).encode(x=x, y=y("down:Q"), color=theme.ink("bad")),
    ]


# Slices


@lru_cache(maxsize=16)
def _slices_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 66 if narrow else round((width - 160) * 0.5)
    right = width - 66 if narrow else width - 160 - left
    tall = 280 if narrow else 360
    x, y = _plain(alt.X, "x:Q", "x"), _plain(alt.Y, "y:Q", "y")
    picture: list[Panel] = [
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(x=x, x2="x1:Q", y=y, y2="y1:Q", url="url:N"),
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.7, opacity=0.6)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.color()),
        alt.Chart(named("line")).mark_line(strokeWidth=2).encode(x=x, y=y, color=theme.ink("blue")),
        alt.Chart(named("point"))
        .mark_point(size=110, strokeWidth=2, filled=False, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink")),
        heading("map"),
    ]
    s = _plain(alt.X, "s:Q", "distance along the line")

    def height(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=5))

    cut: list[Panel] = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=height("y:Q")),
        *_two_curves(s, height, "slice"),
        alt.Chart(named("here"))
        .mark_point(size=110, strokeWidth=2, filled=False)
        .encode(x=s, y=height("y:Q"), color=theme.ink("ink"), opacity=theme.SHOWN),
        heading("cut"),
    ]
    return _panels(
        width,
        compose.layer(*picture, width=left, height=tall, name="map"),
        compose.layer(*cut, width=right, height=tall, name="cut"),
    )


def _mask_image(mask: Array) -> str:
    """Return a mask, rows from low y to high y, as a PNG data URI in the hue of what is bad."""
    ink = theme.INKS[theme.BAD]
    tones = [[int(tone[i : i + 2], 16) for i in (1, 3, 5)] for tone in (ink.light, ink.dark)]
    picture = Image.fromarray(mask[::-1].astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *((a + b) // 2 for a, b in zip(*tones, strict=True))])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, bits=1, transparency=bytes([0, 80]))
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@keep(entries=32)
def _curvature(key: tuple[tuple[str, Value], ...]) -> tuple[Curvature, str, Part]:
    """Return the curvature over the window of a surface, its picture and the isolines of the loss."""
    values = dict(key)
    surface = surface_of(values)
    problem = SurfaceProblem(surface, surface_settings(values))
    found = curvature_map(problem, surface.window, _CELLS)
    x, y, points = raster.grid(surface.window, 49)
    with np.errstate(all="ignore"):
        f = problem.f(points)
    known = f[np.isfinite(f)]
    lowest = float(known.min()) if known.size else 0.0
    highest = float(known.max()) if known.size else 1.0
    levels = raster.depth(np.where(np.isfinite(f), f, highest), lowest)
    # A surface with a hundred wells gets fewer isolines.
    drawn = (raster.isolines(x, y, levels, count) for count in (7, 4, 2, 1))
    lines = next((each for each in drawn if len(each[0]) <= _VERTICES), (np.empty(0),) * 3)
    if not len(lines[0]):
        lines = np.full(1, np.nan), np.full(1, np.nan), np.zeros(1, int)
    part: Part = {
        "x": np.float32(lines[0]), "y": np.float32(lines[1]), "line": np.int16(lines[2]),
        "vertex": np.arange(len(lines[0]), dtype=np.int16), "slot": np.int8(theme.MUTED),
    }  # fmt: skip
    return found, _mask_image(found.negative), part


def _through(values: Values) -> tuple[Array, str]:
    """Return the point that the line goes through, and what to call it."""
    surface = surface_of(values)
    window = surface.window
    low, high = np.array([window[0], window[2]]), np.array([window[1], window[3]])
    chosen = word(values, "land_through")
    if chosen == START:
        start = start_of(values)
        inside = np.clip(start, low, high)
        return inside, chosen if np.all(inside == start) else "the place of the window nearest to the start"
    inner = [np.array(p) for p in surface.targets if np.all(low <= p) and np.all(np.array(p) <= high)]
    if chosen == MINIMUM and inner:
        return inner[0], chosen
    return (low + high) / 2, CENTER


def _slices_blocks(values: Values) -> list[Block]:
    surface, problem, angle = surface_of(values), problem_of(values), whole(values, "land_angle")
    found, picture, isolines = _curvature(surface_key(values))
    point, called = _through(values)
    cut = slice_along(problem, point, angle, surface.window, _PLACES)
    f = np.where(np.isfinite(cut.f), cut.f, np.nan)
    at = float(problem.f(point))
    where = f"({number(float(point[0]))}, {number(float(point[1]))})"
    figure = Figure(
        name="optimizers/slices",
        build=_slices_spec,
        data={
            "raster": rows(
                url=[picture], x=surface.window[0], x1=surface.window[1], y=surface.window[2], y1=surface.window[3]
            ),
            "isolines": rows(isolines),
            "line": rows(x=cut.point[[0, -1], 0], y=cut.point[[0, -1], 1]),
            "point": rows(x=point[:1], y=point[1:]),
            "slice": rows(s=cut.s, y=f, down=_bends(f, cut.down), slot=np.int8(theme.SLOTS["blue"])),
            "reach": rows(y=_reach(f)),
            "here": rows(
                s=[0.0], y=[at if math.isfinite(at) else _reach(f)[0]], shown=[math.isfinite(at)]
            ),
            "titles": rows(map=["Where some direction bends down"], cut=[f"f along the line at {angle}°"]),
        },
        title="A line through the loss",
        caption=(
            f"{place(values, start=False)}; line through {called}, {where}, at {angle}° from the x axis, from border "
            "to border; "
            f"map: smaller eigenvalue of the Hessian below 0 at {_CELLS} × {_CELLS} places."
        ),
        key="Red: bends down, on the map in some direction, on the curve along the line.",
        alt="A map of the window with the region of negative curvature and a line, and the loss along that line.",
    )  # fmt: skip
    bends = float(cut.down.mean())
    lines = [
        f"Along this line {percent(bends)} of the places bend down"
        + (
            ": the loss lies above a chord there, and **one such line disproves convexity**."
            if bends
            else "."
        )
    ]
    with np.errstate(all="ignore"):
        hessian = problem.hessian(point)
    fan = bending_angles(hessian) if np.isfinite(hessian).all() else None
    if fan is not None:
        wide = fan[1] - fan[0]
        lines.append(
            "At the circle every direction bends down."
            if wide >= 180
            else f"At the circle the directions from {number(fan[0] % 180)}° on, {number(wide)}° of 180°, bend down."
        )
    if math.isnan(found.share):
        lines.append("The surface has no Hessian at the places of the map.")
    elif found.negative.any():
        where_known = "window" if np.isfinite(found.lowest).all() else "places with second derivatives"
        lines.append(f"In **{percent(found.share)}** of the {where_known} some direction does.")
    else:
        lines.append(
            "No place of the map bends down in any direction. "
            + (
                "This line shows a ridge that second derivatives do not see."
                if bends
                else "A sample of places proves nothing, but no line was found that disproves convexity here."
            )
        )
    return [
        "A function is convex if it is so along every line. Turn the line: does one bend down anywhere?",
        figure,
        " ".join(lines),
    ]


# Swapped units


@lru_cache(maxsize=16)
def _swapped_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 70 if narrow else round((width - 220) * 0.56)
    right = width - 130 if narrow else width - 220 - left
    tall = 250 if narrow else 320
    share = alt.X(
        "share:Q",
        title="share of the way",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(grid=False, format="~%"),
    )

    def height(field: str) -> alt.Y:
        return alt.Y(field, title=None, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=5))

    ways: list[Panel] = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=height("y:Q")),
        alt.Chart(named("ways"))
        .mark_line()
        .encode(
            x=share, y=height("y:Q"), detail="name:N", color=theme.color(),
            strokeWidth=alt.StrokeWidth("thick:Q", scale=None, legend=None),
            tooltip=[alt.Tooltip("name:N", title="units"), alt.Tooltip("y:Q", title="loss", format=".4~g")],
        ),
        alt.Chart(named("way_ends"))
        .mark_text(baseline="bottom", dy=-5, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=share, y=height("y:Q"), text="label:N", color=theme.color()),
        heading("ways"),
    ]  # fmt: skip
    s = _plain(alt.X, "s:Q", "distance from the saddle")
    base = alt.Chart(named("saddle"))
    saddle: list[Panel] = [
        base.mark_line().encode(
            x=s, y=height("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=s, y=height("theory:Q"), color=theme.ink("ink")
        ),
        labels("saddle_ends", right, height("y:Q")),
        heading("saddle"),
    ]
    return _panels(
        width,
        compose.layer(*ways, width=left, height=tall, name="ways"),
        compose.layer(*saddle, width=right, height=tall, name="saddle"),
    )


@keep(entries=8)
def _swapped(data: str, units: int, seed: int) -> SwappedUnits:
    x, labels = DATASETS[data].draw(_POINTS, _NOISE, stream(seed, _DATA))
    return swapped_units(
        x, labels.astype(float), units, activation=_ACTIVATION, initializer=INITIALIZERS["Glorot normal"],
        optimizer=OPTIMIZERS["Adam"], lr=_SWAP_LR, steps=_SWAP_STEPS, seed=seed,
    )  # fmt: skip


def _swapped_blocks(values: Values) -> list[Block]:
    data, units, seed = word(values, "land_data"), whole(values, "land_units"), whole(values, "land_seed")
    found = _swapped(data, units, seed)
    order = np.argsort(found.barrier)
    best, half = int(order[-1]), len(found.share) // 2
    names = [f"{a + 1} and {b + 1}" for a, b in found.pair]
    main = theme.SLOTS["vermilion"]
    ways: list[Part] = [
        {
            "share": found.share, "y": found.loss[k], "name": names[k],
            "slot": np.int8(main if k == best else theme.FAINT), "thick": 2.6 if k == best else 1.0,
        }
        for k in order
    ]  # fmt: skip
    reach = _reach(found.loss, np.array([1.06 * found.loss.max()]))
    s = np.linspace(-2, 2, 41)
    net = SURFACES["Two-weight net"]
    lines: list[Part] = []
    ends = []
    for name, sign, use, dash in (("along (1, 1)", 1, "blue", 0), ("along (1, −1)", -1, "green", 1)):
        f = net.f(np.stack([s, sign * s], axis=-1) / math.sqrt(2))
        lines.append(
            {
                "s": s, "y": f, "theory": np.where(np.arange(41) % 4 == 0, (1 - sign * s * s / 2) ** 2, np.nan),
                "name": name, "slot": np.int8(theme.SLOTS[use]), "dash": np.int8(dash),
            }
        )  # fmt: skip
        ends.append((name, float(f[-1]), theme.SLOTS[use]))
    low, high = np.linalg.eigvalsh(net.hessian(np.zeros(2)))
    figure = Figure(
        name="optimizers/swapped_units",
        build=_swapped_spec,
        data={
            "ways": rows(*ways),
            "reach": rows(y=reach),
            "way_ends": rows(share=[0.5], y=[float(found.loss[best, half])], label=[f"units {names[best]}"], slot=[main]),
            "saddle": rows(*lines),
            "saddle_ends": rows(
                y=spread(np.array([end for _, end, _ in ends]), 0.6, 0.0, 9.0),
                label=[name for name, *_ in ends],
                slot=[slot for *_, slot in ends],
            ),
            "titles": rows(
                ways=["Loss on the way to two swapped units"], saddle=["(1 − w₁w₂)² through its saddle at 0"]
            ),
        },
        title="Equal minima, and what lies between",
        caption=(
            f"{data.capitalize()}, {_POINTS} points, noise {number(_NOISE)}; 2-{units}-1, {_ACTIVATION.name}, cross-entropy, "
            "Glorot normal, "
            f"Adam, η {number(_SWAP_LR)}, {_SWAP_STEPS} steps on all data; seed {seed}."
        ),
        key="One line for each pair of units, orange the pair with the highest barrier. Small dots: (1 ∓ s²/2)².",
        alt="Loss on straight ways between networks that differ by two swapped units, and the saddle of two weights.",
    )  # fmt: skip
    middle, barrier = found.loss[best, half], found.barrier[best]
    lines_ = [
        f"Training brings the loss from {number(found.start)} to **{number(found.end)}**. With units {names[best]} in each "
        "other’s place the network computes the same, so that is a place just as good, and halfway between the two "
        "the loss is "
        f"**{number(float(middle))}**. A convex function never rises between two equal points; this one rises by "
        f"{number(float(barrier))}."
    ]
    least = int(order[0])
    if len(order) > 1:
        alike = ", which hardly differ" if found.alike[least] < _ALIKE else ""
        lines_.append(
            f"The lowest of the {len(order)} barriers, {number(float(found.barrier[least]))}, is that of units "
            f"{names[least]}{alike}."
        )
    lines_.append(
        f"The {units} units can stand in {math.factorial(units)} orders; with tanh, each may also change its sign, "
        "which makes "
        f"{math.factorial(units) * 2**units} equal points. The smallest case is on the right: at 0 the Hessian has "
        "the eigenvalues "
        f"{number(float(low))} and {number(float(high))}, a saddle between two valleys."
    )
    return [
        "Let two hidden units change places: the network stays the same function. What lies on the straight way there?",
        figure,
        " ".join(lines_),
    ]


# Width


@lru_cache(maxsize=16)
def _width_spec(width: int) -> Spec:
    inner = width - (115 if width < NARROW else 140)
    tall = 280 if width < NARROW else 350
    x = _widths_x(_WIDTHS)
    base = alt.Chart(named("lines"))
    layers: list[Panel] = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_log_y("y:Q")),
        alt.Chart(named("runs"))
        .mark_point(filled=True, size=30, opacity=0.55)
        .encode(x=x, y=_log_y("y:Q"), color=theme.color()),
        base.mark_line().encode(
            x=x, y=_log_y("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        labels("ends", inner, _log_y("y:Q")),
        heading("width"),
    ]
    return assemble(compose.layer(*layers, width=inner, height=tall, name="width"), theme.config())


@keep(entries=8)
def _widths(layers: int, seed: int) -> WidthRuns:
    x, labels = DATASETS["spiral"].draw(_POINTS, 0.0, stream(seed, _DATA))
    text = f"Training {len(_WIDTHS)} × {_SEEDS} networks"

    def report(done: int, total: int) -> None:
        progress.report(done / total, text)

    return width_runs(
        x, labels.astype(float), _WIDTHS, tuple(range(seed, seed + _SEEDS)), hidden=layers, activation=_WIDTH_ACTIVATION,
        initializer=INITIALIZERS["Glorot normal"], optimizer=OPTIMIZERS["Adam"], lr=_WIDTH_LR, steps=_WIDTH_STEPS, report=report,
    )  # fmt: skip


def _width_blocks(values: Values) -> list[Block]:
    layers, seed = whole(values, "land_layers"), whole(values, "land_seed")
    found = _widths(layers, seed)
    loss = np.where((found.diverged_at < 0) & np.isfinite(found.loss), found.loss, np.nan)
    lost = int((found.diverged_at >= 0).sum())
    with np.errstate(all="ignore"):
        median, worst, best = np.nanmedian(loss, axis=1), np.nanmax(loss, axis=1), np.nanmin(loss, axis=1)
    rng = stream(seed, 3)
    jitter = 2.0 ** rng.uniform(-0.12, 0.12, loss.shape)
    reach = _log_reach(loss)
    bottom, top = math.log10(reach[0]), math.log10(reach[1])
    ends = np.log10(np.array([worst[-1], median[-1]]))
    figure = Figure(
        name="optimizers/width",
        build=_width_spec,
        data={
            "runs": rows(
                width=(found.width[:, None] * jitter).ravel(), y=_shown_log(loss.ravel()), slot=np.int8(theme.SLOTS["blue"])
            ),
            "lines": rows(
                *(
                    {
                        "width": found.width.astype(float), "y": _shown_log(y), "name": name,
                        "slot": np.int8(theme.SLOTS[use]), "dash": np.int8(dash),
                    }
                    for name, y, use, dash in (("worst", worst, "vermilion", 1), ("median", median, "blue", 0))
                )
            ),
            "reach": rows(y=reach),
            "ends": rows(
                y=10 ** spread(ends, 0.07 * (top - bottom), bottom, top),
                label=["worst", "median"],
                slot=[theme.SLOTS["vermilion"], theme.SLOTS["blue"]],
            ),
            "titles": rows(width=[f"Loss after training, {_SEEDS} starts for each width"]),
        },
        title="Final loss by width",
        caption=(
            f"Spiral, {_POINTS} points without noise; {counted(layers, 'hidden layer')}, {_WIDTH_ACTIVATION.name}, "
            "cross-entropy, "
            f"Glorot normal, Adam, η {number(_WIDTH_LR)}, {_WIDTH_STEPS} steps on all data; seeds {seed} to "
            f"{seed + _SEEDS - 1}."
        ),
        key="One dot for each start, a little beside its width so that dots stay apart.",
        alt="Final loss of small networks against their width on log axes, one dot a start, with median and worst.",
    )  # fmt: skip
    told = "; ".join(
        f"{w}: {number(float(m))}, {number(float(x))}"
        for w, m, x in zip(found.width, median, worst, strict=True)
    )
    text = (
        f"Median and worst loss by width: {told}. From {found.width[0]} to {found.width[-1]} units the median falls "
        "by a factor of "
        f"{number(float(median[0] / median[-1]))}, and the worst start is {number(float(worst[-1] / best[-1]))} times "
        "the best at the "
        f"widest, {number(float(worst[0] / best[0]))} times at the narrowest. What helps is the width: more units leave more "
        "directions to go down. It says nothing about how many minima there are, and nothing about other data than these."
    )
    if lost:
        text += f" {lost} of the runs diverged and are left out."
    return [
        "Do larger networks have worse minima, or better ones? Each width from many starts:",
        figure,
        text,
    ]


# Small steps


@lru_cache(maxsize=16)
def _lazy_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 125 if narrow else round((width - 270) * 0.52)
    right = width - 125 if narrow else width - 270 - left
    tall = 250 if narrow else 320
    x = _widths_x([w for w in _LAZY_WIDTHS if not narrow or round(math.log2(w)) % 2 == 0])

    def panel(across: int, data: str) -> Panel:
        base = alt.Chart(named(data))
        return compose.layer(
            alt.Chart(named(f"{data}_reach")).mark_point(opacity=0).encode(y=_log_y("y:Q")),
            base.mark_area(opacity=0.18).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
            ),
            base.mark_line().encode(
                x=x, y=_log_y("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=_log_y("theory:Q"), color=theme.ink("ink")
            ),
            labels(f"{data}_ends", across, _log_y("y:Q")),
            heading(data),
            width=across,
            height=tall,
            name=data,
        )

    return _panels(width, panel(left, "moved"), panel(right, "loss"))


@keep(entries=8)
def _lazy(lr: float, samples: int, seed: int) -> LazyRuns:
    x, labels = DATASETS["moons"].draw(samples, _NOISE, stream(seed, _DATA))
    return lazy_runs(
        x, 2.0 * labels - 1, _LAZY_WIDTHS, tuple(range(seed, seed + _LAZY_SEEDS)), activation=_ACTIVATION,
        initializer=INITIALIZERS["He normal"], optimizer=OPTIMIZERS["GD"], lr=lr, steps=_LAZY_STEPS,
    )  # fmt: skip


def _lazy_blocks(values: Values) -> list[Block]:
    lr, samples, seed = real(values, "land_lr"), whole(values, "land_samples"), whole(values, "land_seed")
    found = _lazy(lr, samples, seed)
    # Where the linearized network diverges it says nothing about the real one.
    stable = found.loss_theory <= found.start
    fine = np.isfinite(found.loss) & np.isfinite(found.moved) & (found.loss < _HIGHEST)
    moved_theory = np.median(np.where(stable, found.moved_theory, np.inf), axis=1)
    loss_theory = np.median(np.where(stable, found.loss_theory, np.inf), axis=1)

    def part(name: str, y: Array, theory: Array, use: str, dash: int) -> tuple[Part, float]:
        clean = np.where(fine, y, np.inf)
        low, high = np.quantile(clean, (0.25, 0.75), axis=1, method="nearest")
        middle = np.median(clean, axis=1)
        line: Part = {
            "width": found.width.astype(float), "y": _shown_log(middle), "low": _shown_log(low), "high": _shown_log(high),
            "theory": _shown_log(theory), "name": name, "slot": np.int8(theme.SLOTS[use]), "dash": np.int8(dash),
        }  # fmt: skip
        return line, float(middle[-1])

    nothing = np.full(len(found.width), np.nan)
    moved, moved_end = part("moved", found.moved, moved_theory, "blue", 0)
    before, before_end = part("at the start", found.start, nothing, "muted", 1)
    after, after_end = part("at the end", found.loss, loss_theory, "blue", 0)
    moved_reach = _log_reach(*(np.asarray(moved[k]) for k in ("low", "high", "theory")))
    loss_reach = _log_reach(
        *(np.asarray(each[k]) for each in (before, after) for k in ("low", "high", "theory"))
    )
    bottom, top = math.log10(loss_reach[0]), math.log10(loss_reach[1])
    ends = np.log10(_finite_end(np.array([before_end, after_end]), loss_reach[1]))
    figure = Figure(
        name="optimizers/lazy",
        build=_lazy_spec,
        data={
            "moved": rows(moved),
            "moved_reach": rows(y=moved_reach),
            "moved_ends": rows(
                y=_finite_end(np.array([moved_end]), moved_reach[1]), label=["median"], slot=[theme.SLOTS["blue"]]
            ),
            "loss": rows(before, after),
            "loss_reach": rows(y=loss_reach),
            "loss_ends": rows(
                y=10 ** spread(ends, 0.07 * (top - bottom), bottom, top),
                label=["at the start", "at the end"],
                slot=[theme.MUTED, theme.SLOTS["blue"]],
            ),
            "titles": rows(moved=["Relative change of the parameters"], loss=["Mean squared error"]),
        },
        title="Small steps by width",
        caption=(
            f"Moons, {counted(samples, 'sample')}, noise {number(_NOISE)}, targets −1 and 1; 2-m-1, "
            f"{_ACTIVATION.name}, He normal; "
            f"gradient descent, η {number(lr)}/m, {_LAZY_STEPS} steps on all samples; lines medians, bands half of "
            f"the seeds {seed} "
            f"to {seed + _LAZY_SEEDS - 1}."
        ),
        key="Small dots: medians of the networks linearized at their start.",
        alt="Relative change of the parameters and loss before and after training against the width, on log axes.",
    )  # fmt: skip
    clean = np.where(fine, found.moved, np.inf)
    first, last = (float(np.median(clean[k])) for k in (0, -1))
    slope = math.log(last / first) / math.log(found.width[-1] / found.width[0])
    near = abs(float(moved_theory[-1]) / last - 1)
    left = np.median(np.where(fine, found.loss, np.inf), axis=1) / np.median(found.start, axis=1)
    text = (
        f"With {found.width[0]} units the parameters move by {percent(first)} of their length, with {found.width[-1]} by "
        f"**{percent(last)}**: like m to the power {number(slope, 2)}; in the limit of wide networks it is −1. The network "
        f"linearized at its start says so too, within {percent(near, 2)} at the widest. The loss falls to "
        f"{percent(float(left[0]))} of its start at {found.width[0]} units and to **{percent(float(left[-1]))}** at "
        f"{found.width[-1]}. "
    )
    text += (
        "Little movement is not little learning: many weights each give a little. The random start persists in the "
        "weights of a "
        "wide network, its poor loss does not."
        if left[-1] < _LEARNED
        else "Here a poor start does persist, at every width: the steps are too small, or too few, for any network."
    )
    odd = int((~stable).sum())
    if odd:
        text += (
            f" For {odd} of {stable.size} networks the rate is too large for the linearized one, which diverges and is left "
            "out."
        )
    if not fine.all():
        text += f" {int((~fine).sum())} of the networks diverge."
    return [
        "How far do parameters travel if the steps are small and the samples few, and does a poor start persist?",
        figure,
        text,
    ]


def _finite_end(ends: Array, high: float) -> Array:
    """Put labels of lines that have no finite end to the top."""
    found: Array = np.where(np.isfinite(ends) & (ends > 0), ends, high)
    return found


# One weight


@lru_cache(maxsize=16)
def _one_spec(width: int) -> Spec:
    narrow = width < NARROW
    each = width - 70 if narrow else (width - 170) // 2
    tall = 230 if narrow else 320
    x = _plain(alt.X, "w:Q", "weight w")

    def height(field: str) -> alt.Y:
        return alt.Y(
            field, title=None, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=5, labelPadding=CLEAR)
        )

    def panel(data: str) -> Panel:
        return compose.layer(
            alt.Chart(named(f"{data}_reach")).mark_point(opacity=0).encode(x=x, y=height("y:Q")),
            *_two_curves(x, height, data),
            heading(data),
            width=each,
            height=tall,
            name=data,
        )

    return _panels(width, panel("squared"), panel("entropy"))


def _one_blocks(values: Values) -> list[Block]:
    name = word(values, "land_activation")
    activation = ACTIVATIONS[name]
    losses = weight_losses(activation)
    curves = [
        one_weight(activation, loss, _INPUTS, _LABELS, low=-_WEIGHTS, high=_WEIGHTS, count=181)
        for loss in losses
    ]
    data, texts = {}, []
    for key, curve in zip(("squared", "entropy"), curves, strict=True):
        y = np.where(np.isfinite(curve.loss), curve.loss, np.nan)
        data[key] = rows(w=curve.w, y=y, down=_bends(y, curve.down), slot=np.int8(theme.SLOTS["blue"]))
        data[f"{key}_reach"] = rows(w=[-_WEIGHTS, _WEIGHTS], y=[0.0, _reach(y)[1]])
        share = float(curve.down.mean())
        text = f"at **{percent(share)}** of the weights" if share else "**nowhere**"
        infinite = float(np.isinf(curve.loss).mean())
        if infinite:
            text += f" (it is infinite at {percent(infinite) + ' of the' if infinite < 1 else 'all'} weights)"
        texts.append(text)
    steps = np.diff(activation.f(np.linspace(-20, 20, 801)))
    monotone = bool(np.all(steps >= -1e-12) or np.all(steps <= 1e-12))
    figure = Figure(
        name="optimizers/one_weight",
        build=_one_spec,
        data={**data, "titles": rows(
            **{key: [f"{loss.name.capitalize()}, {loss.reads}"] for key, loss in zip(("squared", "entropy"), losses, strict=True)}
        )},
        title="One neuron, one weight",
        caption=(
            f"a = φ(wx) with φ the {name}, at its default settings; inputs {numbers(_INPUTS)} with labels t "
            f"{numbers(_LABELS)}; mean loss at 181 weights."
        ),
        key="Red: bends down, the loss lies above a chord.",
        alt="Squared error and cross-entropy of one neuron against its one weight, pieces that bend down marked.",
    )  # fmt: skip
    (squared, entropy), bent = losses, any(curve.down.any() for curve in curves)
    text = (
        f"With {name}, which is {'monotone' if monotone else 'not monotone'}, the {squared.name} bends down {texts[0]} and the "
        f"{entropy.name} {texts[1]}. "
    )
    rule = "cross-entropy is convex in the weights, the squared error is not."
    if monotone and bent:
        text += (
            "A monotone activation does not make the loss of a single layer convex; what the loss does with the output decides: "
            f"with the sigmoid, {rule}"
        )
    elif monotone:
        text += f"That does not follow from being monotone: with the sigmoid, {rule}"
    else:
        text += f"Being monotone is not what decides: with the sigmoid, which is, {rule}"
    return [
        "Does a monotone activation make the loss of a single layer convex? One neuron with one weight, two losses:",
        figure,
        text,
    ]


_VIEWS: Mapping[str, Callable[[Values], list[Block]]] = {
    SLICES: _slices_blocks,
    SWAPPED: _swapped_blocks,
    WIDTH: _width_blocks,
    LAZY: _lazy_blocks,
    ONE: _one_blocks,
}


def land_blocks(values: Values) -> Sequence[Block]:
    """Draw the view of the tab that is open."""
    return _VIEWS[word(values, "land_view")](values)
