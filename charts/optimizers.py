"""Optimizers: paths of update rules over a loss surface, and how far above the minimum they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np
import pandas as pd

from charts import raster, theme
from charts.figure import NARROW, Figure, Part, Spec, assemble, named, rows, spread
from charts.topic import Group, Scenario, Topic, Values, View, real, whole, word, words
from core.descent import (
    Descent,
    SurfaceProblem,
    descend,
    left_window,
    steps_to,
)
from core.knobs import Knob, Value, aliases_of, latex, number
from core.optimizers import OPTIMIZERS, suggested_lr
from core.quadratic import gd_limit
from core.surfaces import SURFACES, Surface, rotate_start

Array = np.ndarray

STYLES = theme.styles(
    OPTIMIZERS,
    fixed={
        "GD": ("blue", 0),
        "Momentum": ("vermilion", 0),
        "RMSProp": ("green", 0),
        "Adam": ("purple", 0),
        "Nesterov": ("ochre", 0),
        "AdaGrad": ("cyan", 0),
        "AdaDelta": ("indigo", 0),
        "AdamW": ("crimson", 0),
    },
)

_BOWL = "Quadratic bowl"
_DEFAULT = ("GD", "Momentum", "RMSProp", "Adam")
_CELLS = 41  # a click is resolved to 1/40 of the window
_DROP = 1e-14  # the loss panel ends this far below its start, and 100 times above it


def _own(optimizer: str, knob: str) -> str:
    """Name an optimizer's own knob: ``adam_lr``."""
    return f"{optimizer.lower()}_{knob}"


def _surface_knobs() -> dict[str, Knob]:
    found: dict[str, Knob] = {}
    for surface in SURFACES.values():
        for knob in surface.knobs:
            found.setdefault(knob.name, knob)
    return found


_SURFACE_KNOBS = _surface_knobs()
_LEFT = min(s.window[0] for s in SURFACES.values())
_RIGHT = max(s.window[1] for s in SURFACES.values())
_BOTTOM = min(s.window[2] for s in SURFACES.values())
_TOP = max(s.window[3] for s in SURFACES.values())


def _knobs() -> dict[str, Knob]:
    start = SURFACES[_BOWL].starts[0]
    knobs = [
        Knob(
            "surface", "choice", _BOWL, label="Surface", choices=tuple(SURFACES), aliases=aliases_of(SURFACES)
        ),
        Knob(
            "optimizers",
            "choices",
            _DEFAULT,
            label="Optimizers",
            choices=tuple(OPTIMIZERS),
            aliases=aliases_of(OPTIMIZERS),
            most=6,
        ),
        Knob("steps", "int", 60, label="Steps", low=1, high=500, step=1),
        Knob("start_x", "float", start[0], label="Start x", low=_LEFT, high=_RIGHT, step=0.05),
        Knob("start_y", "float", start[1], label="Start y", low=_BOTTOM, high=_TOP, step=0.05),
        Knob("edit", "choice", "GD", label="Settings of", choices=tuple(OPTIMIZERS)),
        *_SURFACE_KNOBS.values(),
    ]
    surface = SURFACES[_BOWL]
    for name, entry in OPTIMIZERS.items():
        for knob in entry.knobs:
            default = _suggested(name, surface) if knob.name == "lr" else knob.default
            label = f"{name}: {knob.label[:1].lower()}{knob.label[1:]}"
            knobs.append(knob.named(_own(name, knob.name), default=default, label=label))
    return {knob.name: knob for knob in knobs}


def _suggested(optimizer: str, surface: Surface) -> float:
    return suggested_lr(OPTIMIZERS[optimizer], surface.rate, surface.window[1] - surface.window[0])


def _complete(given: Values) -> dict[str, Value]:
    """Fill in what hangs on the surface: its canonical start and a learning rate for every optimizer."""
    surface = SURFACES[str(given.get("surface", _BOWL))]
    start = surface.starts[0]
    chosen = given.get("optimizers", _DEFAULT)
    assert isinstance(chosen, tuple)
    return {
        "start_x": start[0],
        "start_y": start[1],
        "edit": chosen[0] if chosen else "GD",
        **{_own(name, "lr"): _suggested(name, surface) for name in OPTIMIZERS},
    }


def _layout(values: Values) -> tuple[Group, ...]:
    surface = SURFACES[word(values, "surface")]
    chosen = words(values, "optimizers")
    edited = word(values, "edit") if values["edit"] in chosen else (chosen[0] if chosen else "")
    groups = [Group(("surface", "optimizers", "steps"))]
    if edited:
        first, *others = [_own(edited, knob.name) for knob in OPTIMIZERS[edited].knobs]
        groups += [Group(("edit", first)), Group(tuple(others), f"More of {edited}")]
    groups.append(Group((*(knob.name for knob in surface.knobs), "start_x", "start_y"), "Start and surface"))
    # Knobs of the other chosen optimizers act, so they belong to the link though their controls rest.
    resting = tuple(
        _own(name, knob.name) for name in chosen if name != edited for knob in OPTIMIZERS[name].knobs
    )
    return (*groups, Group(resting, resting=True))


def _offers(values: Values) -> Mapping[str, tuple[str, ...]]:
    chosen = words(values, "optimizers")
    return {"edit": chosen}


def _click(point: Mapping[str, float], values: Values) -> dict[str, Value]:
    """Turn a click, in fractions of the window, into a start on a round coordinate."""
    window = SURFACES[word(values, "surface")].window

    def place(fraction: float, low: float, high: float) -> float:
        grain = 10.0 ** np.floor(np.log10((high - low) / _CELLS))
        return float(np.clip(np.round((low + fraction * (high - low)) / grain) * grain, low, high))

    return {
        "start_x": round(place(point["u"], window[0], window[1]), 6),
        "start_y": round(place(point["v"], window[2], window[3]), 6),
    }


# The specification


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 56 if narrow else round((width - 190) * 0.62)
    right = width - 150 if narrow else width - 190 - left
    tall = min(430, max(260, round(left * 0.78)))

    scrub = alt.param(
        name="scrub",
        value=100,
        bind=alt.binding_range(min=0, max=100, step=1, name="Scrub through the run, % "),
    )
    passed = "datum.step <= ceil(scrub / 100 * datum.last)"
    present = "datum.step == ceil(scrub / 100 * datum.last)"
    x = alt.X("x:Q", title="x", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    y = alt.Y("y:Q", title="y", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False))
    pick = alt.selection_point(
        name="start", fields=["u", "v"], nearest=True, on="click", empty=False, toggle=False
    )

    picture = (
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(x=x, x2="x1:Q", y=y, y2="y1:Q", url="url:N")
    )
    lines = (
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.6, opacity=0.55)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.color())
    )
    ghost = (
        alt.Chart(named("ghost_path"))
        .mark_line(strokeWidth=1.4, opacity=0.6)
        .encode(x=x, y=y, detail=["name:N", "piece:N"], order="order:Q", color=theme.ink("muted"))
    )
    path = (
        alt.Chart(named("path"))
        .transform_filter(passed)
        .mark_line(strokeWidth=2, strokeJoin="round")
        .encode(
            x=x,
            y=y,
            detail=["name:N", "piece:N"],
            order="order:Q",
            color=theme.color(),
            strokeDash=theme.dash(),
        )
    )
    dots = (
        alt.Chart(named("path"))
        .transform_filter(f"datum.dot && {passed}")
        .mark_point(filled=True, size=9, opacity=0.9)
        .encode(x=x, y=y, color=theme.color())
    )
    now = (
        alt.Chart(named("path"))
        .transform_filter(f"!datum.border && {present}")
        .mark_point(filled=True, size=95, opacity=1)
        .encode(
            x=x,
            y=y,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("name:N", title="optimizer"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("x:Q", format=".5~g"),
                alt.Tooltip("y:Q", format=".5~g"),
            ],
        )
    )
    exits = (
        alt.Chart(named("exits"))
        .mark_text(fontSize=theme.SMALL_SIZE, fontWeight=600, clip=False)
        .encode(x=x, y=y, text="label:N", color=theme.color())
    )
    start = (
        alt.Chart(named("start"))
        .mark_point(shape="circle", size=130, strokeWidth=2, filled=False)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    minima = (
        alt.Chart(named("minima"))
        .mark_point(shape="cross", size=110, angle=45, filled=True)
        .encode(
            x=x,
            y=y,
            color=theme.ink("ink"),
            opacity=theme.SHOWN,
            tooltip=[
                alt.Tooltip("label:N", title="minimum"),
                alt.Tooltip("value:Q", title="f", format=".6~g"),
            ],
        )
    )
    cells = alt.sequence(0, _CELLS * _CELLS, as_="i")
    click = (
        alt.Chart(cells)
        .transform_calculate(
            u=f"(datum.i % {_CELLS}) / {_CELLS - 1}", v=f"floor(datum.i / {_CELLS}) / {_CELLS - 1}"
        )
        .mark_point(opacity=0, size=60, tooltip=None)
        .encode(
            x=alt.X("u:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
            y=alt.Y("v:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
        )
        .add_params(pick)
    )
    drawn = alt.layer(picture, lines, ghost, path, dots, minima, start, now, exits)
    surface = (
        alt.layer(drawn, click)
        .resolve_scale(x="independent", y="independent")
        .properties(width=left, height=tall, name="surface")
    )

    step = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )
    gap = alt.Y(
        "gap:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=6, labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )
    curve_ghost = (
        alt.Chart(named("ghost_curve"))
        .mark_line(strokeWidth=1.4, opacity=0.6, clip=True)
        .encode(x=step, y=gap, detail=["name:N", "piece:Q"], color=theme.ink("muted"))
    )
    curve = (
        alt.Chart(named("curve"))
        .mark_line()
        .encode(x=step, y=gap, detail=["name:N", "piece:Q"], color=theme.color(), strokeDash=theme.dash())
    )
    exact = (
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT)
        .encode(x=step, y=gap, color=theme.ink("ink"), opacity=theme.SHOWN)
    )
    marker = (
        alt.Chart(named("curve"))
        .transform_filter(present)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=step,
            y=gap,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("name:N", title="optimizer"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("gap:Q", format=".4~g"),
            ],
        )
    )
    ends = (
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
        .encode(x=step, y=gap, text="label:N", color=theme.color())
    )
    heading = (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="text:N", color=theme.ink("ink"))
    )
    loss = alt.layer(curve_ghost, curve, exact, marker, ends, heading).properties(
        width=right, height=tall, name="loss"
    )
    panels = [surface, loss]
    both = alt.vconcat(*panels) if narrow else alt.hconcat(*panels)
    return assemble(both.resolve_scale(color="shared").add_params(scrub), theme.config())


# The run


@lru_cache(maxsize=64)
def _background(name: str, knobs: tuple[tuple[str, float], ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a surface: the raster as one row, the isolines as vertices."""
    surface = SURFACES[name]
    settings = dict(knobs)

    def levels(size: int) -> tuple[Array, Array, Array]:
        x, y, points = raster.grid(surface.window, size)
        values = surface.f(points, **settings)
        lowest = float(values.min()) if surface.infimum is None else surface.infimum
        return x, y, raster.depth(values, lowest)

    shade = raster.image(levels(161)[2])
    window = surface.window
    picture = rows(url=[shade], x=window[0], x1=window[1], y=window[2], y1=window[3])
    x, y, line = raster.isolines(*levels(61), 9)
    isolines = pd.DataFrame(
        {
            "x": np.float32(x),
            "y": np.float32(y),
            "line": np.int16(line),
            "vertex": np.arange(len(x), dtype=np.int16),
            "slot": np.full(len(x), theme.MUTED, np.int8),
        }
    )
    return picture, isolines


def _settings(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, _own(name, knob.name)) for knob in OPTIMIZERS[name].knobs}


def run(values: Values) -> dict[str, Descent]:
    """Let every chosen optimizer descend from the start; the results hold paths of shape (steps + 1, 2)."""
    problem = _problem(values)
    start = np.array([values["start_x"], values["start_y"]], float)
    chosen = words(values, "optimizers")
    return {
        name: descend(
            problem, OPTIMIZERS[name].build(**_settings(name, values)), start, whole(values, "steps")
        )
        for name in chosen
    }


def _surface_settings(values: Values) -> dict[str, float]:
    return {knob.name: real(values, knob.name) for knob in SURFACES[word(values, "surface")].knobs}


def _problem(values: Values) -> SurfaceProblem:
    return SurfaceProblem(SURFACES[word(values, "surface")], _surface_settings(values))


def _path_rows(name: str, result: Descent, surface: Surface, steps: int) -> tuple[Part, Part]:
    """Cut a path at the window: its rows, and a row for the first place where it leaves."""
    points, step, piece, border = raster.clip_path(result.path, surface.window)
    style = STYLES[name]
    every = max(1, steps // 80)
    path: Part = {
        "x": points[:, 0],
        "y": points[:, 1],
        "step": step.astype(np.int16),
        "piece": piece.astype(np.int16),
        "order": np.arange(len(step), dtype=np.int16),
        "border": border,
        "dot": ~border & (step % every == 0),
        "name": name,
        "slot": np.int8(style.slot),
        "dash": np.int8(style.dash),
        "last": np.int16(steps),
    }
    # A border point is an exit where a piece ends; where a piece begins, the path comes in.
    first = np.flatnonzero(border & np.append(np.diff(piece) != 0, True))[:1]
    exits: Part = {
        "x": points[first, 0],
        "y": points[first, 1],
        "label": np.array([f"× {step[i]}" for i in first], str),
        "slot": np.int8(style.slot),
    }
    return path, exits


def _height(result: Descent, surface: Surface) -> Array:
    """Return what the right panel draws: f − f*, or the length of the gradient where f has no minimum."""
    if surface.infimum is None:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.hypot(result.gradient[..., 0], result.gradient[..., 1])
    return result.value - surface.infimum


def _curves(results: Mapping[str, Descent], surface: Surface, values: Values) -> dict[str, pd.DataFrame]:
    """Return what the right panel draws: the curves, down to where log axes end, and their names at the ends."""
    steps = whole(values, "steps")
    heights = {name: _height(result, surface) for name, result in results.items()}
    begin = next((float(h[0]) for h in heights.values()), 1.0)
    begin = begin if np.isfinite(begin) and begin > 0 else 1.0
    low, high = begin * _DROP, begin * 100
    parts: list[Part] = []
    ends: list[tuple[str, int, float]] = []
    for name, height in heights.items():
        drawn = np.flatnonzero(np.isfinite(height) & (height >= low) & (height <= high))
        if not len(drawn):
            continue
        style, gap = STYLES[name], height[drawn]
        parts.append(
            {
                "step": drawn.astype(np.int16),
                "gap": gap,
                "piece": np.cumsum(np.diff(drawn, prepend=drawn[0]) > 1).astype(np.int16),
                "name": name,
                "slot": np.int8(style.slot),
                "dash": np.int8(style.dash),
                "last": np.int16(steps),
            }
        )
        last = int(drawn[-1])
        # An arrow says that the run goes on beyond the panel, and from which step.
        label = name if last == steps else f"{name} {'↑' if gap[-1] > begin else '↓'}{last}"
        ends.append((label, style.slot, float(gap[-1])))
    if not parts:
        empty = rows(step=[0], gap=[begin], piece=0, name="", slot=theme.MUTED, dash=0, last=steps, label="")
        return {"curve": empty, "ends": empty}
    curve = rows(*parts)
    bottom, top = float(np.log10(curve["gap"].min())), float(np.log10(curve["gap"].max()))
    placed = spread(np.log10([gap for _, _, gap in ends]), 0.052 * max(top - bottom, 0.5), bottom, top)
    return {
        "curve": curve,
        "ends": rows(
            step=np.full(len(ends), steps),
            gap=10.0**placed,
            label=[label for label, _, _ in ends],
            slot=[slot for _, slot, _ in ends],
        ),
    }


@dataclass(frozen=True)
class _Quadratic:
    """A surface whose Hessian is the same everywhere: its center, eigenvalues (2,) and eigenvectors (2, 2)."""

    center: Array
    eigenvalues: Array
    eigenvectors: Array


def _quadratic(surface: Surface, settings: Mapping[str, float]) -> _Quadratic | None:
    """Recognize a quadratic by its Hessian at four points of the window."""
    window = surface.window
    corners = np.array([(window[0], window[2]), (window[1], window[3]), (window[0], window[3]), (0.1, 0.2)])
    hessians = surface.hessian(corners, **settings)
    if not surface.stationary or not np.allclose(hessians, hessians[0], rtol=1e-12, atol=1e-12):
        return None
    eigenvalues, eigenvectors = np.linalg.eigh(hessians[0])
    return _Quadratic(np.array(surface.stationary[0].point), eigenvalues, eigenvectors)


def _exact(values: Values, results: Mapping[str, Descent]) -> dict[str, Array]:
    """Return the closed-form loss at every step, for the rules and surfaces that have one."""
    surface = SURFACES[word(values, "surface")]
    surface_settings = _surface_settings(values)
    bowl = _quadratic(surface, surface_settings)
    if bowl is None or surface.infimum is None:
        return {}
    steps = whole(values, "steps")
    start = np.array([values["start_x"], values["start_y"]], float)
    exact = {}
    for name in results:
        linear = OPTIMIZERS[name].linear
        if linear is None:
            continue
        settings = _settings(name, values)
        if settings["weight_decay"] or settings.get("dampening"):
            continue
        along = (start - bowl.center) @ bowl.eigenvectors
        path = linear.path(bowl.eigenvalues, along, steps, settings)
        with np.errstate(over="ignore"):
            exact[name] = 0.5 * (path**2 @ bowl.eigenvalues)
    return exact


def _theory_rows(exact: Mapping[str, Array], curve: pd.DataFrame) -> pd.DataFrame:
    """Keep the closed form where the panel shows the run it belongs to."""
    low, high = curve["gap"].min() * 0.5, curve["gap"].max() * 2
    parts: list[Part] = []
    for gap in exact.values():
        kept = np.isfinite(gap) & (gap >= low) & (gap <= high)
        # Some thirty dots a line keep the run visible below its theory.
        kept &= np.arange(len(gap)) % max(1, len(gap) // 30) == 0
        parts.append({"step": np.flatnonzero(kept).astype(np.int16), "gap": gap[kept], "shown": True})
    parts = [part for part in parts if len(part["gap"])]  # type: ignore[arg-type]
    return rows(*parts) if parts else rows(step=[0], gap=[float(curve["gap"].iloc[0])], shown=False)


# The figure and its words


def _distance(result: Descent, surface: Surface) -> Array:
    """Return the distance to the nearest minimum at every step; NaN where the surface lists none."""
    minima = np.array([m.point for m in surface.minima])
    if not len(minima):
        return np.full(len(result.path), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        apart: Array = np.linalg.norm(result.path[:, None, :] - minima, axis=-1).min(axis=1)
    return apart


def _events(results: Mapping[str, Descent], surface: Surface, values: Values) -> tuple[str, ...]:
    """Name what a path does beyond the picture: leaving the window, overflowing, standing still."""
    window = np.reshape(surface.window, (2, 2))
    events = []
    for name, result in results.items():
        left = int(left_window(result.path, window))
        overflow = int(result.diverged_at)
        if overflow >= 0:
            events.append(
                f"**{name} diverges**: outside the window from step {left}, no longer a finite number at step {overflow}."
            )
        elif left == 0:
            events.append(f"**{name}** starts outside the window.")
        elif left > 0:
            x, y = result.path[-1]
            back = bool(np.all((result.path[-1] >= window[:, 0]) & (result.path[-1] <= window[:, 1])))
            where = "and is back inside at the end" if back else f"and ends at ({number(x)}, {number(y)})"
            events.append(f"**{name} leaves the window at step {left}** {where}.")
        elif np.all(result.gradient[0] == 0):
            events.append(f"**{name}** does not move: the gradient at the start is exactly 0.")
    return tuple(events)


def _reading(results: Mapping[str, Descent], exact: Mapping[str, Array], values: Values) -> str:
    surface = SURFACES[word(values, "surface")]
    steps = whole(values, "steps")
    if not results:
        return "Choose at least one optimizer to see its path."
    sentences = []
    finite = {n: r for n, r in results.items() if r.diverged_at < 0}
    if finite and surface.minima:
        left = sorted((float(_distance(r, surface)[-1]), n) for n, r in finite.items())
        listed = ", ".join(f"{name} {number(d)}" for d, name in left)
        sentences.append(f"Distance to the nearest minimum after {steps} steps: {listed}.")
    elif finite:
        listed = ", ".join(f"{name} {number(float(r.value[-1]))}" for name, r in finite.items())
        sentences.append(f"Loss after {steps} steps: {listed}; this surface has no minimum.")
    if surface.infimum is not None:
        target = 0.01
        reached = []
        for name, result in results.items():
            height = result.value - surface.infimum
            step = int(steps_to(height, target * height[0])) if np.isfinite(height[0]) else -1
            if step > 0:
                reached.append((step, name))
        if reached:
            step, name = min(reached)
            sentences.append(f"{name} is first to bring f − f* to 1% of its start, at step {step}.")
    bowl = _quadratic(surface, _surface_settings(values))
    if (
        bowl is not None
        and bowl.eigenvalues[0] > 0
        and "GD" in results
        and not _settings("GD", values)["weight_decay"]
    ):
        limit = float(gd_limit(bowl.eigenvalues[-1]))
        lr = _settings("GD", values)["lr"]
        verdict = "converges" if lr < limit else "cannot converge"
        sentences.append(
            f"GD {verdict}: its rate {number(lr)} is {number(lr / limit)} of the limit 2/λ₂ = {number(limit)}."
        )
    gaps = [
        float(np.max(np.abs(gap - (results[n].value - (surface.infimum or 0.0))) / (1 + np.abs(gap))))
        for n, gap in exact.items()
        if np.isfinite(gap).all() and results[n].diverged_at < 0
    ]
    if gaps:
        sentences.append(
            f"Dots are the closed form ({', '.join(exact)}); the runs stay within {number(max(gaps), 2)} of it."
        )
    return " ".join(sentences)


def _describe(name: str, values: Values) -> str:
    """State an optimizer's settings; those at PyTorch's default are left to the convention line."""
    settings = _settings(name, values)
    parts = [f"lr {number(settings['lr'])}"]
    for knob in OPTIMIZERS[name].knobs:
        if knob.name != "lr" and (settings[knob.name] != knob.default or knob.name == "momentum"):
            parts.append(f"{knob.symbol or knob.name} {number(settings[knob.name])}")
    return f"{name} " + " ".join(parts)


def _place(values: Values) -> str:
    surface = SURFACES[word(values, "surface")]
    knobs = [f"{k.symbol or k.name} = {number(real(values, k.name))}{k.unit}" for k in surface.knobs]
    start = f"start ({number(real(values, 'start_x'), 6)}, {number(real(values, 'start_y'), 6)})"
    return ", ".join([surface.name, *knobs, start])


def _figure(values: Values, results: Mapping[str, Descent], exact: Mapping[str, Array]) -> Figure:
    surface = SURFACES[word(values, "surface")]
    steps = whole(values, "steps")
    settings = tuple(sorted(_surface_settings(values).items()))
    picture, isolines = _background(surface.name, settings)
    pieces = [_path_rows(name, result, surface, steps) for name, result in results.items()]
    x, y = real(values, "start_x"), real(values, "start_y")
    paths = [path for path, _ in pieces if len(path["x"])]  # type: ignore[arg-type]
    exits = [exit_ for _, exit_ in pieces if len(exit_["x"])]  # type: ignore[arg-type]
    # Every data set must be there: where there is nothing to draw, it holds one row that draws nothing.
    center = ((surface.window[0] + surface.window[1]) / 2, (surface.window[2] + surface.window[3]) / 2)
    nothing = rows(
        x=[center[0]], y=[center[1]], step=-1, piece=0, order=0, border=True, dot=False, name="", slot=theme.MUTED,
        dash=0, last=steps, label="", line=0, vertex=0, value=0.0, shown=False,
    )  # fmt: skip
    curves = _curves(results, surface, values)
    window = surface.window
    minima = [
        m
        for m in surface.minima
        if window[0] <= m.point[0] <= window[1] and window[2] <= m.point[1] <= window[3]
    ]
    start_inside = window[0] <= x <= window[1] and window[2] <= y <= window[3]
    panel = "f − f*, log scale" if surface.infimum is not None else "‖∇f‖, log scale (f has no minimum)"
    listed = "; ".join(_describe(name, values) for name in results)
    return Figure(
        name="optimizers/trajectories",
        build=_spec,
        data={
            "raster": picture,
            "isolines": isolines if len(isolines) else nothing,
            "path": rows(*paths) if paths else nothing,
            "exits": rows(*exits) if exits else nothing,
            "start": rows(x=[x], y=[y], shown=True) if start_inside else nothing,
            "minima": rows(
                x=[m.point[0] for m in minima],
                y=[m.point[1] for m in minima],
                value=[m.value for m in minima],
                label=["global" if m.is_global else "local" for m in minima],
                shown=True,
            )
            if minima
            else nothing,
            "theory": _theory_rows(exact, curves["curve"]),
            "titles": rows(text=[panel]),
            **curves,
        },
        title=f"Paths on {surface.name}",
        caption=(
            f"{_place(values)}; {steps} steps. {listed}. PyTorch's conventions; knobs not named are at its defaults. "
            "Rates chosen for this picture, not tuned fairly."
        ),
        key=(
            "Ring: start. Crosses: minima. Big dots: the scrubbed step. × with a number: the step at which a path leaves "
            "the window. ↑ or ↓ with a number: the last step of a curve inside its panel. Small dots: closed form. "
            "Click the surface to move the start."
        ),
        alt="Left: paths of the chosen optimizers over a loss surface. Right: how far above the minimum they are.",
        ghosts={"ghost_path": "path", "ghost_curve": "curve"},
        click="start",
    )


def _why(values: Values, results: Mapping[str, Descent]) -> str:
    surface = SURFACES[word(values, "surface")]
    lines = [
        f"The surface is $f(x, y) = {surface.formula}$ ({surface.source}). {surface.note}",
        "Every rule sees only the gradient at the point where it stands, and moves by its own step:",
    ]
    bowl = _quadratic(surface, _surface_settings(values))
    for name, result in results.items():
        entry = OPTIMIZERS[name]
        first, move = result.gradient[0], result.path[1] - result.path[0]
        lines.append(
            f"**{name}** ({_describe(name, values).removeprefix(name).strip()}): ${entry.update_rule}$  \n"
            f"At the start $g = ({latex(first[0])},\\ {latex(first[1])})$ and the first step is "
            f"$({latex(move[0])},\\ {latex(move[1])})$. {entry.convention}."
        )
        settings = _settings(name, values)
        plain = (
            not settings["weight_decay"] and not settings.get("dampening") and settings.get("momentum", 0) < 1
        )
        if bowl is not None and bowl.eigenvalues[0] > 0 and entry.linear is not None and plain:
            linear = entry.linear
            limit = float(linear.limit(float(bowl.eigenvalues[-1]), settings))
            rate = linear.rates(bowl.eigenvalues, settings)
            lines.append(
                f"On this quadratic with $\\lambda = ({latex(bowl.eigenvalues[0])},\\ {latex(bowl.eigenvalues[1])})$ it "
                f"converges for rates below ${linear.formula} = {latex(limit)}$. In the long run the two "
                f"eigencomponents are multiplied by {number(rate[0], 4)} and {number(rate[1], 4)} a step."
            )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Run the chosen optimizers and draw them."""
    results = run(values)
    exact = _exact(values, results)
    surface = SURFACES[word(values, "surface")]
    return View(
        figure=_figure(values, results, exact),
        reading=_reading(results, exact, values),
        why=_why(values, results),
        events=_events(results, surface, values),
    )


# The mirror image of the canonical start, somewhat nearer: turned, all four paths stay in the window. The number of
# steps a linear rule needs depends on neither.
_TURNED = rotate_start((-3.5, 1.4), 45.0)

SCENARIOS = (
    Scenario(
        "Ravine",
        "GD zigzags across the steep axis and crawls along the flat one. Press the right arrow on GD's rate "
        "once: past 2/λ₂ = 0.5 its path leaves the picture.",
        question="Which of the four reaches the minimum first?",
    ),
    Scenario(
        "Past the limit",
        "GD's rate 0.504 is just above 2/λ₂ = 0.5: the steep component changes sign and grows by 1.6% a step.",
        {"gd_lr": 0.504, "optimizers": ("GD", "Momentum", "Nesterov")},
        question="Does a rate 1% above the limit still converge, only more slowly?",
    ),
    Scenario(
        "Rotate the valley",
        "The same valley turned by 45°, and the start with it. GD and Momentum need 33 and 37 steps to 1% of the loss, "
        "as before. RMSProp and Adam lose their lead: their scaling works on the axes of x and y.",
        {
            "theta": 45.0,
            "start_x": round(float(_TURNED[0]), 6),
            "start_y": round(float(_TURNED[1]), 6),
            "steps": 100,
        },
        question="Which optimizers are slower in the turned valley?",
    ),
    Scenario(
        "Four minima",
        "From the center of Himmelblau's function GD ends at (3, 2) and Momentum at (3.58, −1.85): the speed it "
        "has gathered carries it into another basin.",
        {
            "surface": "Himmelblau",
            "start_x": 0.0,
            "start_y": 0.0,
            "optimizers": ("GD", "Momentum"),
            "gd_lr": 0.01,
            "momentum_lr": 0.01,
            "steps": 120,
        },
        question="Do GD and Momentum end in the same minimum when they start at the same point?",
    ),
    Scenario(
        "Escape a saddle",
        "All start one millionth off the ridge of x² − y². GD's distance from it grows by 1 + 2·lr a step; "
        "RMSProp and Adam divide by the tiny gradient and leave at once.",
        {"surface": "Saddle", "steps": 80},
        question="How long does GD stay at a saddle it starts one millionth away from?",
    ),
    Scenario(
        "Momentum overflows",
        "On Beale's steep walls Momentum with rate 0.01 is thrown out and ends in NaN; GD with the same rate "
        "follows the valley to the minimum.",
        {
            "surface": "Beale",
            "optimizers": ("GD", "Momentum", "Adam"),
            "gd_lr": 0.01,
            "momentum_lr": 0.01,
            "start_x": 1.0,
            "start_y": 1.5,
            "steps": 400,
        },
        question="GD arrives with rate 0.01. Does Momentum, with the same rate?",
    ),
    Scenario(
        "Two weights",
        "The loss (1 − w₁w₂)² of a two-weight net: a valley of minima along w₁w₂ = 1, twice, with a saddle between "
        "them at the origin, where the Hessian has the eigenvalues −2 and +2.",
        {"surface": "Two-weight net"},
        question="How many minima has the loss of a network with only two weights?",
    ),
)

TOPIC = Topic(
    name="optimizers",
    prefix="opt",
    title="Optimizers",
    question="Which path does each rule take, and why?",
    icon=":material/route:",
    knobs=_knobs(),
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
    complete=_complete,
    offers=_offers,
    depends=("surface",),
    free=("edit",),
    click=_click,
)
