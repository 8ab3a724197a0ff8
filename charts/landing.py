"""The valley that turns: the landing page's figure, one run of the default optimizers at each of its angles."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Spec, assemble, named, rows
from charts.once import once
from charts.optimizers_base import BOWL, KNOBS, Method, complete, methods, surface_settings
from charts.search import Query, link
from charts.topic import Topic, Values, real, whole, word
from core.descent import SurfaceProblem, descend, steps_to
from core.knobs import Value, number
from core.surfaces import SURFACES, rotate_start

Array = np.ndarray

ANGLES = tuple(float(angle) for angle in range(0, 91, 5))
FIRST = 30.0  # of them, shown first
SHARE = 0.01  # of the loss at the start: there a run has arrived
PAGE = "optimizers"  # that shows more of the valley

_PARAMETER = "theta"  # of the figure, with a slider of its own
_START = (-3.5, 1.4)  # among the axes of the bowl; at 45° the scenario "Rotate the valley"
_STEPS = 100
_MIDDLE = 45.0
_REACH = 80  # steps that the bars have room for; all rules arrive before
_BEYOND = 8  # more of them, so that neither the last label of the axis nor a count is cut
_FRACTIONS = (10.0, 10**0.5, 1.0, 10**-0.5, 0.1, 10**-1.5, SHARE)  # of the loss at the start, one ring each
_VERTICES = 73
_LOW, _HIGH = np.array([-4.5, -4.5]), np.array([2.1, 2.1])  # the picture holds all paths at all angles
_MOST = 360  # pixels of height of the picture
_SIDE = 300  # pixels of width of the bars
_GAP = 12  # pixels between the parts
_HILL, _FLOOR = 0.2, 0.3  # how strong the ground is colored, and how much of that each ring takes away


def values(angle: float) -> dict[str, Value]:
    """Return what the Optimizers page needs to be told to show the valley at an angle in degrees."""
    x, y = rotate_start(_START, angle)
    return {
        "theta": float(angle),
        "start_x": round(float(x), 6),
        "start_y": round(float(y), 6),
        "steps": _STEPS,
    }


def _all(given: Values) -> dict[str, Value]:
    return {**{name: knob.default for name, knob in KNOBS.items()}, **complete(given), **given}


@lru_cache(maxsize=1)
def _paths() -> Mapping[str, tuple[Array, Array]]:
    """Let every rule of the default figure descend at all angles at once.

    Returns:
        rule → its path (steps + 1, angles, 2) and the step at which it has arrived, −1 for none (angles,).
    """
    settings, angles = _all(values(0.0)), np.array(ANGLES)
    knobs = {**surface_settings(settings), "theta": angles}
    problem = SurfaceProblem(SURFACES[word(settings, "surface")], knobs)
    start = rotate_start(_START, angles)
    found = {}
    for name, method in methods(settings).items():
        run = descend(problem, method.rule(), start, whole(settings, "steps"))
        path, arrived = run.path.copy(), steps_to(run.value, SHARE * run.value[0])
        path.setflags(write=False)
        arrived.setflags(write=False)
        found[name] = (path, arrived)
    return found


def arrivals() -> dict[str, tuple[int, ...]]:
    """Return, for every rule, the steps to 1% of the loss at the start at each angle; −1 where it takes more than 100."""
    return {name: tuple(int(step) for step in arrived) for name, (_, arrived) in _paths().items()}


def _count(steps: int) -> str:
    return number(steps) if steps >= 0 else f"more than {_STEPS}"


def _listed(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def reading() -> str:
    """Say which rules notice that the valley turns, with the steps that were counted."""
    found, middle = arrivals(), ANGLES.index(_MIDDLE)
    moved = {name: steps for name, steps in found.items() if len(set(steps)) > 1}
    same = [f"{name} ({_count(steps[0])})" for name, steps in found.items() if name not in moved]
    parts = []
    if moved:
        along, turned = (_listed(_count(steps[k]) for steps in moved.values()) for k in (0, middle))
        do = "do" if len(moved) > 1 else "does"
        parts.append(f"{_listed(moved)} {do}: {along} steps along the axes, {turned} at {number(_MIDDLE)}°.")
    if same:
        parts.append(f"{_listed(same)} {'do' if len(same) > 1 else 'does'} not.")
    return " ".join(parts)


@lru_cache(maxsize=4)
def queries(topic: Topic) -> tuple[Query, ...]:
    """Return, for each angle, the parameters of the link to the page of the valley at that angle."""
    return tuple(link(topic, topic.fill(values(angle))) for angle in ANGLES)


@lru_cache(maxsize=16)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 12 if narrow else width - _SIDE - 56
    tall = min(_MOST, left) if narrow else _MOST
    right = width - 24 if narrow else _SIDE
    # One unit is as long in x as in y, or the valley would change its shape as it turns.
    unit = float((_HIGH - _LOW)[1]) / tall
    middle, half = float((_LOW + _HIGH)[0]) / 2, unit * left / 2
    across = (
        [middle - half, middle + half] if not narrow or left > tall else [float(_LOW[0]), float(_HIGH[0])]
    )
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=across, nice=False, zero=False))
    y = alt.Y(
        "y:Q", axis=None, scale=alt.Scale(domain=[float(_LOW[1]), float(_HIGH[1])], nice=False, zero=False)
    )
    turn = alt.param(
        name=_PARAMETER,
        value=FIRST,
        bind=alt.binding_range(
            min=ANGLES[0], max=ANGLES[-1], step=ANGLES[1] - ANGLES[0], name="Turn the valley: θ in degrees"
        ),
    )

    def turned(data: str) -> alt.Chart:
        c, s = f"cos({_PARAMETER} * PI / 180)", f"sin({_PARAMETER} * PI / 180)"
        return alt.Chart(named(data)).transform_calculate(
            x=f"{c} * datum.u - {s} * datum.v", y=f"{s} * datum.u + {c} * datum.v"
        )

    def here(data: str) -> alt.Chart:
        return alt.Chart(named(data)).transform_filter(f"datum.angle == {_PARAMETER}")

    hill = (
        alt.Chart(named("hill"))
        .mark_rect(opacity=_HILL)
        .encode(
            x=compose.at_x(0), x2=alt.value(left), y=compose.at_y(0), y2=alt.value(tall), color=theme.color()
        )
    )
    floors = (
        turned("rings")
        .mark_line(filled=True, strokeWidth=0, opacity=_FLOOR, clip=True, order=False)
        .encode(x=x, y=y, detail=alt.Detail("line:N"), color=theme.ink("paper"))
    )
    last = len(_FRACTIONS) - 1
    rings, ellipse = (
        turned("rings")
        .transform_filter(f"datum.line {which} {last}")
        .mark_line(strokeWidth=thick, opacity=strong, clip=True, order=False)
        .encode(x=x, y=y, detail=alt.Detail("line:N"), color=theme.ink("muted"))
        for which, thick, strong in (("<", 0.7, 0.6), ("==", 1.5, 1.0))
    )
    halo, words = (
        turned("words")
        .mark_text(fontSize=theme.SMALL_SIZE, dy=-12, filled=not halo, strokeWidth=4, strokeJoin="round")
        .encode(x=x, y=y, text=alt.Text("label:N"), color=theme.ink("paper" if halo else "ink"))
        for halo in (True, False)
    )
    paths = (
        here("paths")
        .mark_line(strokeWidth=2, strokeJoin="round", order=False)
        .encode(x=x, y=y, detail=alt.Detail("name:N"), color=theme.color(), strokeDash=theme.dash())
    )
    dots = here("paths").mark_point(filled=True, size=12).encode(x=x, y=y, color=theme.color())
    ends = (
        here("ends")
        .mark_point(filled=True, size=90)
        .encode(
            x=x, y=y, color=theme.color(),
            tooltip=[alt.Tooltip("name:N", title="optimizer"), alt.Tooltip("label:N", title="steps")],
        )
    )  # fmt: skip
    start = (
        turned("marks")
        .mark_point(size=130, strokeWidth=2)
        .encode(x=x, y=y, color=theme.ink("ink"), shape=alt.Shape("shape:N", scale=None), angle=alt.value(0))
    )
    valley = compose.layer(
        *(hill, floors, rings, ellipse, paths, dots, halo, words, start, ends),
        width=left,
        height=tall,
        name="valley",
    )

    row = alt.Y(
        "row:O",
        axis=None,
        scale=alt.Scale(domain=list(range(len(_names()))), paddingInner=0.72, paddingOuter=0.5),
    )
    steps = alt.X(
        "steps:Q",
        title=f"steps to {number(100 * SHARE)}% of the loss at the start",
        scale=alt.Scale(domain=[0, _REACH + _BEYOND], nice=False),
        axis=alt.Axis(grid=False, values=list(range(0, _REACH + 1, 20)), domain=False, ticks=False),
    )
    bars = (
        here("ends")
        .mark_bar(cornerRadiusEnd=2)
        .encode(x=steps, y=row, color=theme.color(), opacity=alt.value(0.85))
    )
    before = (
        alt.Chart(named("ends"))
        .transform_filter(f"datum.angle == {ANGLES[0]}")
        .mark_tick(thickness=2, bandSize=24)
        .encode(x=steps, y=row, color=theme.ink("ink"))
    )
    names = (
        here("ends")
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE, fontWeight=600, dy=-14)
        .encode(x=compose.at_x(0), y=row, text=alt.Text("name:N"), color=theme.color())
    )
    counts = (
        here("ends")
        .mark_text(align="left", baseline="middle", fontSize=theme.TEXT_SIZE + 1, fontWeight=600, dx=6)
        .encode(x=steps, y=row, text=alt.Text("label:N"), color=theme.color())
    )
    table = compose.layer(
        *(bars, before, names, counts), width=right, height=4 * 56 if narrow else tall - 46, name="steps"
    )
    join, gap = (compose.below, _GAP) if narrow else (compose.beside, 44)
    resolve = {"color": "shared", "strokeDash": "shared", "x": "independent", "y": "independent"}
    both = join(valley, table, spacing=gap, resolve=resolve)
    return once(assemble(both, theme.config(), [compose.parameter(turn)]))


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(methods(_all(values(0.0))))


def _stated(method: Method) -> str:
    """State the rate of a method and all that it remembers by, also where that is the default."""
    settings = method.settings
    memory = [
        f"{knob.symbol} {number(settings[knob.name])}"
        for knob in method.entry.knobs
        if knob.kind == "float" and knob.name not in ("lr", "eps") and settings[knob.name]
    ]
    return " ".join((f"{method.label} lr {number(settings['lr'])}", *memory))


@lru_cache(maxsize=1)
def valley() -> Figure:
    """Return the figure: the paths of the default optimizers at every angle, one of which is shown, and their steps."""
    settings = _all(values(0.0))
    shown = methods(settings)
    knobs = surface_settings(settings)
    steep = SURFACES[BOWL].hessian(np.zeros(2), **{**knobs, "theta": 0.0})
    eigenvalues = np.diag(np.asarray(steep))
    height = float(0.5 * eigenvalues @ np.square(_START))
    around = np.linspace(0, 2 * np.pi, _VERTICES)
    rings = []
    for line, fraction in enumerate(_FRACTIONS):
        radius = np.sqrt(2 * fraction * height / eigenvalues)
        rings.append({
            "u": np.float32(radius[0] * np.cos(around)), "v": np.float32(radius[1] * np.sin(around)),
            "line": np.int8(line),
        })  # fmt: skip
    parts, ends = [], []
    for row, (name, (path, arrived)) in enumerate(_paths().items()):
        style = shown[name].style
        look = {"name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash)}
        for k, angle in enumerate(ANGLES):
            last = int(arrived[k]) if arrived[k] >= 0 else _STEPS
            points = path[: last + 1, k].astype(np.float32)
            parts.append({"x": points[:, 0], "y": points[:, 1], "angle": np.int8(angle), **look})
            ends.append({
                "x": points[-1:, 0], "y": points[-1:, 1], "angle": np.int8(angle), "row": np.int8(row),
                "steps": np.int16(last), "label": number(last) if arrived[k] >= 0 else f"> {_STEPS}",
                "name": name, "slot": np.int8(style.slot),
            })  # fmt: skip
    listed = "; ".join(_stated(method) for method in shown.values())
    tip = float(np.sqrt(2 * SHARE * height / eigenvalues[0]))  # of the smallest ellipse, away from the start
    start = ", ".join(number(part) for part in _START)
    return Figure(
        name="landing/valley",
        build=_spec,
        data={
            "hill": rows(slot=[theme.SLOTS["blue"]]),
            "rings": rows(*rings),
            "paths": rows(*parts),
            "ends": rows(*ends),
            "words": rows(u=[tip], v=[0.0], label=[f"{number(100 * SHARE)}% of the loss"]),
            "marks": rows(u=[_START[0], 0.0], v=[_START[1], 0.0], shape=["circle", "cross"]),
        },
        title="The valley that turns",
        caption=(
            f"{BOWL}, κ = {number(real(settings, 'kappa'))}, start ({start}) among its axes, which turn by θ. {listed}. "
            f"Rates chosen for this picture, not tuned fairly."
        ),
        key="Ring: start. Cross: the minimum. A path ends where the loss is "
        f"{number(100 * SHARE)}% of that at the start. Ticks on the bars: steps at 0°.",
        alt="Left: paths of four optimizers down an elongated valley at an angle. Right: how many steps each of them takes.",
    )
