"""The Batches tab of the optimizers page: what a mini-batch does to a step, and what noise does in front of a barrier."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from charts import compose, raster, theme
from charts.describe import counted, numbers, percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.optimizers_base import APART, CLEAR
from charts.topic import Block, Values, real, whole, word
from core.batch_gradients import (
    BatchErrors,
    Directions,
    SamplesSeen,
    batch_errors,
    batch_line,
    batch_minimum,
    descent_share_theory,
    directions,
    noise_floor_theory,
    samples_seen,
)
from core.escape import (
    WELLS,
    EscapeTheory,
    MomentumSweep,
    NoiseEscape,
    intervals,
    momentum_sweep,
    noise_escape,
    noise_escape_theory,
    share_in_shallow_well,
    wilson,
)
from core.kept import keep
from core.knobs import Knob, number
from core.landscape import chord
from core.optimizers import OPTIMIZERS
from core.regression import Samples
from core.stochastic import batch_variance, sample_covariance
from core.surfaces import SURFACES

Array = np.ndarray

DIRECTIONS, NOISE, SEEN, ESCAPE = "directions", "noise and size", "samples seen", "noise escapes a well"
SAME, SCALED = "the same", "∝ B"

_MODELS = tuple(name for name, surface in SURFACES.items() if surface.samples is not None)
_MOST = max(s.samples.sample_count for s in SURFACES.values() if s.samples is not None)
_LEAST = 64  # batches in the fan
_SAME_POINT = 1e-9  # apart: rounding
_ARROW = 0.36  # of the window: the longest arrow
_DRAWS = 1000  # batches of every size
_DRAWN = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 40, 48, 56, 62, 63)
_SEEDS = 16
_CURVE = 90  # points of a curve
_CEILING = 1e4  # times the first f − f*: there the lines of what diverges end
_FAR_ABOVE = 2.0  # times the noise floor of small steps
_SHARES = (0.1, 0.01)  # of the first f − f*, to be reached
_RUNS, _SIGMAS = 500, 25
_MOMENTA = tuple(k / 100 for k in range(100))
_REST = 3000  # steps: a momentum of 0.99 has come to rest by then
_STARTS = 401

BATCH_KNOBS = (
    Knob("batch_view", "choice", DIRECTIONS, label="View", choices=(DIRECTIONS, NOISE, SEEN, ESCAPE)),
    Knob("batch_model", "choice", _MODELS[0], label="Model", choices=_MODELS),
    Knob("batch_b", "int", 4, label="Batch size", low=1, high=_MOST, step=1, symbol="B"),
    Knob(
        "batch_step", "int", 0, label="Mini-batch", low=0, high=_LEAST - 1, step=1,
        help="Which mini-batch of the shuffled epochs is picked out.",
    ),
    Knob(
        "batch_way", "int", 50, label="Point", low=0, high=100, step=5, unit="%",
        help="How far from the surface’s start to its minimum.",
    ),
    Knob(
        "batch_between", "int", 8, label="Batch size between", low=2, high=_MOST - 1, log=True, symbol="B",
        help="Beside single samples and all of them.",
    ),
    Knob("batch_lr", "float", 0.05, label="Learning rate", low=0.001, high=1.0, log=True, symbol="η"),
    Knob(
        "batch_scaling", "choice", SAME, label="Rate of a smaller batch", choices=(SAME, SCALED),
        help="The same as that of the full batch, or smaller in proportion to the batch.",
    ),
    Knob("batch_epochs", "int", 12, label="Epochs", low=1, high=30, step=1),
    Knob(
        "batch_sigma_max", "float", 12.0, label="Noise up to", low=1.0, high=20.0, step=0.5, symbol="σ",
        help="Standard deviation in each coordinate of the gradient.",
    ),
    Knob("batch_well_lr", "float", 0.1, label="Learning rate", low=0.02, high=0.4, step=0.01, symbol="η"),
    Knob("batch_well_steps", "int", 200, label="Noisy steps", low=10, high=400, step=10),
    Knob(
        "batch_start", "float", 3.0, label="Momentum starts at x", low=0.6, high=3.5, step=0.1,
        help="On the shallow well’s side, at y = 1.5.",
    ),
    Knob("batch_seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip

_VIEW_KNOBS: Mapping[str, tuple[str, ...]] = {
    DIRECTIONS: ("batch_model", "batch_b", "batch_way", "batch_step", "batch_seed"),
    NOISE: ("batch_model", "batch_way", "batch_seed"),
    SEEN: ("batch_model", "batch_between", "batch_lr", "batch_scaling", "batch_epochs", "batch_seed"),
    ESCAPE: ("batch_well_lr", "batch_sigma_max", "batch_well_steps", "batch_start", "batch_seed"),
}


def batch_shown(values: Values) -> tuple[str, ...]:
    """Name the knobs of the view that is open."""
    return ("batch_view", *_VIEW_KNOBS[word(values, "batch_view")])


# Small parts of specifications


def heading(name: str) -> Panel:
    """Return the title of a panel, a column of the data set of titles."""
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def labels(data: str, x: int, y: alt.Y) -> Panel:
    """Return names at the end of a panel, at ``x`` pixels, in the color of what they name."""
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(x), y=y, text="label:N", color=theme.color())
    )


def _log_y(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )


def _plain(channel: type[alt.X] | type[alt.Y], field: str, title: str | None) -> Any:
    return channel(
        field,
        title=title,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=5, labelPadding=CLEAR),
    )


def _share_y(field: str) -> alt.Y:
    return alt.Y(
        field,
        title=None,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(format="~%", tickCount=5, labelPadding=CLEAR),
    )


def _panels(width: int, left: Panel, right: Panel) -> Spec:
    join, gap = (compose.below, 44) if width < NARROW else (compose.beside, 28)
    both = join(left, right, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _logs(*parts: Array) -> tuple[float, float]:
    """Return the ends of a log axis with all positive finite numbers, half a decade apart at least."""
    seen = np.concatenate([np.ravel(part) for part in parts]).astype(float)
    logs = np.log10(seen[np.isfinite(seen) & (seen > 0)])
    low, high = (float(logs.min()), float(logs.max())) if logs.size else (-1.0, 0.0)
    margin = max(0.03 * (high - low), (0.5 - (high - low)) / 2)
    return 10 ** (low - margin), 10 ** (high + margin)


def _positive(y: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _log_places(ends: Array, low: float, high: float, gap: float = 0.07) -> Array:
    """Return where labels at these ends stand on a log axis."""
    logs = np.log10(np.clip(np.where(np.isfinite(ends) & (ends > 0), ends, low), low, high))
    bottom, top = math.log10(low), math.log10(high)
    placed: Array = 10.0 ** spread(logs, gap * (top - bottom), bottom, top)
    return placed


def _samples(values: Values) -> Samples:
    samples = SURFACES[word(values, "batch_model")].samples
    assert samples is not None
    return samples


def _point(values: Values) -> Array:
    """Return the point where gradients are compared, (2,)."""
    surface = SURFACES[word(values, "batch_model")]
    start, minimum = np.array(surface.starts[0]), np.array(surface.minima[0].point)
    share = real(values, "batch_way") / 100
    point: Array = (1 - share) * start + share * minimum
    return point


def _pair(point: Array) -> str:
    return f"({number(float(point[0]))}, {number(float(point[1]))})"


# Directions


@lru_cache(maxsize=16)
def _directions_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 66 if narrow else round((width - 150) * 0.52)
    right = width - 66 if narrow else width - 150 - left
    tall = 290 if narrow else 370
    x, y = _plain(alt.X, "x:Q", "weight w"), _plain(alt.Y, "y:Q", "bias b")
    arrows = alt.Chart(named("arrows"))
    # On the screen: the angle of an arrow from up.
    turned = alt.Angle("angle:Q", scale=alt.Scale(domain=[0, 360], range=[0, 360]))
    tips = arrows.transform_filter("datum.size > 0").transform_calculate(
        angle=f"90 - atan2((datum.y1 - datum.y) * {tall} / datum.span_y, (datum.x1 - datum.x) * {left} / datum.span_x)"
        " * 180 / PI"
    )
    picture: list[Panel] = [
        alt.Chart(named("corners")).mark_point(opacity=0).encode(x=x, y=y),
        alt.Chart(named("isolines"))
        .mark_line(strokeWidth=0.9, opacity=0.75)
        .encode(x=x, y=y, detail="line:N", order="vertex:Q", color=theme.color(), strokeDash=theme.dash()),
        arrows.mark_rule().encode(
            x=x, y=y, x2="x1:Q", y2="y1:Q", color=theme.color(),
            strokeWidth=alt.StrokeWidth("thick:Q", scale=None, legend=None),
            opacity=alt.Opacity("strong:Q", scale=None, legend=None),
        ),
        tips.mark_point(shape="triangle", filled=True, opacity=1).encode(
            x=alt.X("x1:Q"), y=alt.Y("y1:Q"), angle=turned, color=theme.color(),
            size=alt.Size("size:Q", scale=None, legend=None),
        ),
        alt.Chart(named("places"))
        .mark_point(shape="cross", angle=45, filled=True, size=80, opacity=1)
        .encode(x=x, y=y, color=theme.color(), opacity=theme.SHOWN),
        heading("map"),
    ]  # fmt: skip
    gx, gy = _plain(alt.X, "x:Q", "∂/∂w"), _plain(alt.Y, "y:Q", "∂/∂b")
    field: list[Panel] = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(x=gx, y=gy),
        alt.Chart(named("border"))
        .mark_line(strokeWidth=1.2, strokeDash=[6, 4])
        .encode(x=gx, y=gy, color=theme.ink("muted"), opacity=theme.SHOWN),
        alt.Chart(named("gradients"))
        .mark_point(filled=True, size=26, opacity=0.75)
        .encode(x=gx, y=gy, color=theme.color()),
        alt.Chart(named("ellipse"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=gx, y=gy, color=theme.ink("ink")),
        alt.Chart(named("marks"))
        .mark_point(filled=True, size=110, opacity=1)
        .encode(x=gx, y=gy, color=theme.color(), shape=alt.Shape("shape:N", scale=None, legend=None)),
        heading("gradients"),
    ]
    return _panels(
        width,
        compose.layer(*picture, width=left, height=tall, name="map"),
        compose.layer(*field, width=right, height=tall, name="gradients"),
    )


class _Fan(NamedTuple):
    """The gradients at one point, and the mini-batch that is picked out."""

    found: Directions
    chosen: int
    minimum: Array | None

    @property
    def rows(self) -> Array:
        return self.found.batches[self.chosen]


@keep(entries=32)
def _found(model: str, point: tuple[float, ...], size: int, seed: int) -> Directions:
    samples = SURFACES[model].samples
    assert samples is not None
    return directions(samples, point, size, least=_LEAST, seed=seed)


def _fan(values: Values) -> _Fan:
    samples = _samples(values)
    found = _found(
        word(values, "batch_model"),
        tuple(_point(values)),
        whole(values, "batch_b"),
        whole(values, "batch_seed"),
    )
    chosen = min(whole(values, "batch_step"), len(found.batches) - 1)
    return _Fan(found, chosen, batch_minimum(samples, found.batches[chosen]))


@keep(entries=32)
def _isolines(model: str, batch: tuple[int, ...], line: int, slot: int, dash: int) -> Part:
    """Trace the loss of a batch over the window of its surface; ``line`` is the number of the first isoline."""
    surface = SURFACES[model]
    assert surface.samples is not None
    x, y, points = raster.grid(surface.window, 41)
    loss = surface.samples.sample_loss(points, np.array(batch))
    above = loss - loss.min()  # a root of it spaces the isolines of a valley well
    lines = raster.isolines(x, y, (above / max(float(above.max()), np.finfo(float).tiny)) ** 0.35, 6)
    if not len(lines[0]):
        lines = np.full(1, np.nan), np.full(1, np.nan), np.zeros(1, int)
    return {
        "x": np.float32(lines[0]),
        "y": np.float32(lines[1]),
        "line": np.int16(line + lines[2]),
        "vertex": np.arange(len(lines[0]), dtype=np.int16),
        "slot": np.int8(slot),
        "dash": np.int8(dash),
    }


def _directions_figure(values: Values, fan: _Fan) -> Figure:
    model, size = word(values, "batch_model"), whole(values, "batch_b")
    surface, samples, point = SURFACES[model], _samples(values), _point(values)
    found, window = fan.found, surface.window
    span = np.array([window[1] - window[0], window[3] - window[2]])
    everything = tuple(range(samples.sample_count))
    uphill, picked = theme.BAD, theme.SLOTS["vermilion"]
    down = found.descends

    longest = np.abs(np.vstack([found.gradients, found.mean])).max(axis=0)
    with np.errstate(divide="ignore"):
        scale = float(_ARROW * np.min(np.where(longest > 0, span / longest, np.inf)))
    scale = scale if math.isfinite(scale) else 0.0

    def arrow(g: Array, slot: Array | int, thick: float, strong: float, size: float) -> Part:
        tip = point - scale * np.atleast_2d(g)
        return {
            "x": np.full(len(tip), point[0]), "y": np.full(len(tip), point[1]), "x1": tip[:, 0], "y1": tip[:, 1],
            "slot": np.int8(slot), "thick": thick, "strong": strong, "size": size,
            "span_x": span[0], "span_y": span[1],
        }  # fmt: skip

    blue = theme.SLOTS["blue"]
    hues = np.where(down, blue, uphill)
    covariance = batch_variance(found.covariance, size, samples.sample_count)
    values_, vectors = np.linalg.eigh(covariance)
    turn = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)]) * 2 * np.sqrt(np.maximum(values_, 0))[:, None]
    ellipse = found.mean + (vectors @ circle).T
    seen = np.vstack([found.gradients, ellipse, found.mean, np.zeros(2)])
    low, high = seen.min(axis=0), seen.max(axis=0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    low, high = low - margin, high + margin
    across = np.array([-found.mean[1], found.mean[0]])
    flat = found.flat
    ends = (
        np.zeros((2, 2))
        if flat
        else np.outer(chord(np.zeros(2), across, (low[0], high[0], low[1], high[1])), across)
    )
    least = fan.minimum
    inside = least is not None and bool(
        np.all((window[0], window[2]) <= least) and np.all(least <= (window[1], window[3]))
    )
    return Figure(
        name="optimizers/directions",
        build=_directions_spec,
        data={
            "corners": rows(x=list(window[:2]), y=list(window[2:])),
            "isolines": rows(
                _isolines(model, everything, 0, theme.MUTED, 0),
                _isolines(model, tuple(fan.rows.tolist()), 100, picked, 1),
            ),
            "arrows": rows(
                arrow(found.gradients, hues, 0.8, 0.3, 0.0),
                arrow(found.gradients[fan.chosen], picked, 2.4, 1.0, 70.0),
                arrow(found.mean, theme.INK, 2.8, 1.0, 80.0),
            ),
            "places": rows(
                x=[surface.minima[0].point[0], least[0] if inside and least is not None else point[0]],
                y=[surface.minima[0].point[1], least[1] if inside and least is not None else point[1]],
                slot=[theme.INK, picked],
                shown=[True, inside],
            ),
            "reach": rows(x=[low[0], high[0]], y=[low[1], high[1]]),
            "border": rows(x=ends[:, 0], y=ends[:, 1], shown=not flat),
            "gradients": rows(x=found.gradients[:, 0], y=found.gradients[:, 1], slot=np.int8(hues)),
            "ellipse": rows(x=ellipse[:, 0], y=ellipse[:, 1]),
            "marks": rows(
                x=[0.0, found.mean[0], found.gradients[fan.chosen, 0]],
                y=[0.0, found.mean[1], found.gradients[fan.chosen, 1]],
                slot=[theme.MUTED, theme.INK, picked],
                shape=["cross", "circle", "circle"],
            ),
            "titles": rows(
                map=["Steps against the gradients, from one point"],
                gradients=[f"The gradients: {len(found.batches)} mini-batches of {size}"],
            ),
        },
        title="Directions of mini-batch gradients",
        caption=(
            f"{model}, N = {samples.sample_count}, at {_pair(point)}, {values['batch_way']}% of the way from "
            f"{_pair(np.array(surface.starts[0]))} to the minimum; B = {size}, mini-batches of shuffled epochs, the last of "
            f"an epoch may be smaller; mini-batch {fan.chosen} picked out; arrows are −{number(scale)} times the "
            f"gradient; seed {values['batch_seed']}."
        ),
        key=(
            "Arrows and dots: blue downhill for the full loss, red not, orange the mini-batch that is picked out; in the "
            "color of the text all samples. Isolines: gray the full loss, dashed that mini-batch's, crosses where one point is "
            "lowest. Among the gradients: gray cross 0, dashed the "
            "border to uphill, small dots two standard deviations in theory."
        ),
        alt="A fan of mini-batch gradient arrows around the full gradient on the loss, and the gradients as points of a plane.",
    )


def _directions_blocks(values: Values) -> list[Block]:
    fan, size, samples = _fan(values), whole(values, "batch_b"), _samples(values)
    found = fan.found
    share, count = float(found.descends.mean()), len(found.batches)
    lines = []
    if found.flat:
        lines.append(
            "Here the full gradient is 0, and no direction is downhill: what mini-batches follow is noise alone."
        )
    else:
        theory = float(
            descent_share_theory(found.mean, batch_variance(found.covariance, size, samples.sample_count))
        )
        lines.append(
            f"**{percent(share)}** of the {count} mini-batches step downhill on the full loss; normal gradients with "
            "this mean "
            f"and covariance would in {percent(theory)}."
        )
        unbiased = found.gradients[[len(b) == size for b in found.batches]].mean(axis=0)
        error = float(np.linalg.norm(unbiased - found.mean) / np.linalg.norm(found.mean))
        near = "exactly" if error < 1e-9 else f"within {percent(error, 2)} of its length"
        lines.append(
            f"None has to point to the minimum, nor does the full gradient, but their mean is that gradient: {near} over the "
            f"mini-batches of {size} drawn here."
        )
    lines.append(_lowest(samples, fan, np.array(SURFACES[word(values, "batch_model")].minima[0].point)))
    return [
        "A mini-batch’s gradient is that of the loss of its samples alone. Where does a step against it go?",
        _directions_figure(values, fan),
        " ".join(lines),
    ]


def _lowest(samples: Samples, fan: _Fan, minimum: Array) -> str:
    """Say where the loss of the mini-batch that is picked out is lowest: at one point, along a line, or nowhere."""
    drawn, least, line = len(fan.rows), fan.minimum, batch_line(samples, fan.rows)
    text = f"Mini-batch {fan.chosen} ({counted(drawn, 'sample')}) "
    if least is not None:
        apart = float(np.linalg.norm(least - minimum))
        where = f"{number(apart)} from" if apart > _SAME_POINT else "which is"
        return text + f"is lowest at {_pair(least)}, {where} the minimum of the full loss."
    if line is not None:
        return text + (
            "fixes one combination of weight and bias and no single point: it is lowest along the whole line "
            f"{number(line[0])}·w + b = {number(line[1])}."
        )
    return text + (
        "has no lowest point: "
        + (
            f"{'its labels are all' if drawn > 1 else 'its label is'} {number(float(samples.y[fan.rows[0]]))}"
            if np.ptp(samples.y[fan.rows]) == 0
            else "a threshold on x parts its labels"
        )
        + ", and its loss falls forever."
    )


# Noise and size


@lru_cache(maxsize=16)
def _noise_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 175 if narrow else round((width - 400) * 0.54)
    right = width - 175 if narrow else width - 400 - left
    tall = 250 if narrow else 320
    x = alt.X(
        "size:Q",
        title="batch size B",
        scale=alt.Scale(type="log", base=2, nice=False, padding=8),
        axis=alt.Axis(grid=False, values=[2**k for k in range(13)], format="d"),
    )

    def panel(across: int, data: str, y: Callable[[str], alt.Y], ends: str) -> Panel:
        base = alt.Chart(named(data))
        return compose.layer(
            alt.Chart(named(f"{data}_reach")).mark_point(opacity=0).encode(y=y("y:Q")),
            base.mark_line().encode(
                x=x, y=y("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=y("theory:Q"), color=theme.ink("ink")
            ),
            labels(ends, across, y("y:Q")),
            heading(data),
            width=across,
            height=tall,
            name=data,
        )

    return _panels(
        width, panel(left, "error", _log_y, "error_ends"), panel(right, "descent", _share_y, "descent_ends")
    )


@keep(entries=16)
def _errors(model: str, point: tuple[float, ...], seed: int) -> BatchErrors:
    samples = SURFACES[model].samples
    assert samples is not None
    return batch_errors(samples, point, _DRAWS, seed=seed)


_WAYS = (("without replacement", "blue", 0), ("with replacement", "vermilion", 1))


def _noise_blocks(values: Values) -> list[Block]:
    samples, model, point = _samples(values), word(values, "batch_model"), _point(values)
    found = _errors(model, tuple(point), whole(values, "batch_seed"))
    count = samples.sample_count
    sizes = np.array([b for b in _DRAWN if b < count] + [count])
    at = sizes - 1
    rms, theory = found.rms[:, at], found.rms_theory[:, at]
    descent, normal = found.descent[:, at], found.descent_theory[:, at]
    flat = bool(np.linalg.norm(samples.grad(point)) <= 1e-10 * found.rms_theory[0, 0])
    if flat:
        descent, normal = np.full_like(descent, np.nan), np.full_like(normal, np.nan)
    low, high = _logs(rms, theory)

    def lines(y: Array, dots: Array) -> list[Part]:
        return [
            {
                "size": sizes,
                "y": y[k],
                "theory": dots[k],
                "name": name,
                "slot": theme.SLOTS[use],
                "dash": dash,
            }
            for k, (name, use, dash) in enumerate(_WAYS)
        ]

    # Without replacement the line ends one sample before the full batch, which has no error to draw.
    ends = np.array([float(rms[0, -2]), float(rms[1, -1])])
    shares = np.nan_to_num(descent[:, -1], nan=0.5)
    bottom = float(np.nanmin([0.5, *descent.ravel(), *normal.ravel()]))
    figure = Figure(
        name="optimizers/batch_noise",
        build=_noise_spec,
        data={
            "error": rows(*lines(_positive(rms), _positive(theory))),
            "error_reach": rows(y=[low, high]),
            "error_ends": rows(
                y=_log_places(ends, low, high), label=[name for name, *_ in _WAYS], slot=[theme.SLOTS[u] for _, u, _ in _WAYS]
            ),
            "descent": rows(*lines(descent, normal)),
            "descent_reach": rows(y=[bottom, 1.0]),
            "descent_ends": rows(
                y=spread(shares, 0.07 * (1 - bottom), bottom, 1.0),
                label=["" if flat else name for name, *_ in _WAYS],
                slot=[theme.SLOTS[u] for _, u, _ in _WAYS],
            ),
            "titles": rows(
                error=["Root mean square error of the gradient"], descent=["Share of mini-batches that step downhill"]
            ),
        },
        title="Noise by batch size",
        caption=(
            f"{model}, N = {count}, at {_pair(point)}, {values['batch_way']}% of the way from the start to the minimum; "
            f"{_DRAWS} mini-batches of every size, each size's within the next one's; errors against the full gradient; seed "
            f"{values['batch_seed']}."
        ),
        key="Small dots: σ₁/√B with replacement, and times √((N − B)/(N − 1)) without; for the share downhill, normal gradients.",
        alt="The error of mini-batch gradients against batch size on log axes, and the share of them that point downhill.",
    )  # fmt: skip
    kept = theory > 0
    off = float(np.max(np.abs(rms[kept] / theory[kept] - 1)))
    half = int(np.searchsorted(sizes, 16))
    text = (
        f"The error is {number(float(rms[0, 0]))} for single samples and {number(float(rms[0, half]))} for mini-batches of "
        f"{sizes[half]}: sixteen times the work for {number(float(rms[0, 0] / rms[0, half]))} times less noise. With "
        f"replacement theory says σ₁/√B, with σ₁ = {number(float(theory[0, 0]))}, and only more samples help. Without, "
        f"the factor √((N − B)/(N − 1)) brings it to 0 at B = N = {count}, where the mini-batch is the data. "
        f"The lines are within {percent(off, 2)} of theory."
    )
    if flat:
        text += " At the minimum the full gradient is 0, and no step is downhill."
    else:
        text += (
            f" Downhill go {percent(float(descent[0, 0]))} of single samples and {percent(float(descent[0, half]))} of "
            f"mini-batches of {sizes[half]}; normal gradients would in {percent(float(normal[0, 0]))} and "
            f"{percent(float(normal[0, half]))}."
        )
    return ["How much noise does a larger batch take away, and what does it cost?", figure, text]


# Samples seen


@lru_cache(maxsize=16)
def _seen_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 125 if narrow else round((width - 260) * 0.54)
    right = width - 125 if narrow else width - 260 - left
    tall = 250 if narrow else 330

    def panel(across: int, x: alt.X, title: str) -> Panel:
        base = alt.Chart(named("curves"))
        kept = base.transform_filter("datum.step > 0") if title == "steps" else base
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_log_y("y:Q")),
            kept.mark_area(opacity=0.18).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
            ),
            kept.mark_line().encode(
                x=x, y=_log_y("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            alt.Chart(named("floors"))
            .mark_point(filled=True, size=theme.DOT * 1.6, opacity=1)
            .encode(x=alt.value(across), y=_log_y("y:Q"), color=theme.ink("ink"), opacity=theme.SHOWN),
            labels("ends", across, _log_y("y:Q")),
            heading(title),
            width=across,
            height=tall,
            name=title,
        )

    seen = alt.X(
        "seen:Q", title="samples seen", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=5)
    )
    step = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER, labelSeparation=APART),
    )
    return _panels(width, panel(left, seen, "seen"), panel(right, step, "steps"))


_RACE_HUES = (("vermilion", 0), ("green", 1), ("blue", 2))


@keep(entries=32)
def _race(model: str, size: int, lr: float, epochs: int, seed: int) -> SamplesSeen:
    surface = SURFACES[model]
    assert surface.samples is not None
    seeds = range(seed, seed + _SEEDS)
    return samples_seen(surface.samples, OPTIMIZERS["GD"], size, lr, surface.starts[0], epochs, tuple(seeds))


def _seen_blocks(values: Values) -> list[Block]:
    samples, model = _samples(values), word(values, "batch_model")
    surface, count, epochs = SURFACES[model], samples.sample_count, whole(values, "batch_epochs")
    lr, scaled = real(values, "batch_lr"), word(values, "batch_scaling") == SCALED
    sizes = sorted({1, min(whole(values, "batch_between"), count - 1), count})
    runs = [
        _race(model, b, lr * b / count if scaled else lr, epochs, whole(values, "batch_seed")) for b in sizes
    ]
    best = float(surface.infimum or 0.0)
    minimum = np.array(surface.minima[0].point)
    covariance = sample_covariance(samples, minimum)
    parts: list[Part] = []
    levels, floors, cells, ends = [], [], [], []
    cut = False
    for run, (use, dash) in zip(runs, _RACE_HUES, strict=False):
        gone = run.diverged_at >= 0
        total = len(run.seen)
        last = (
            int(run.diverged_at[gone].min()) if gone.any() else total
        )  # the mean ends where the first run does
        gap = run.loss[:last] - best
        with np.errstate(over="ignore", invalid="ignore"):
            mean = gap.mean(axis=1)
            low, high = np.quantile(gap, (0.25, 0.75), axis=1)
        ceiling = _CEILING * float(gap[0, 0])
        above = np.flatnonzero(~(mean <= ceiling))
        seen_until = int(above[0]) if above.size else last
        kept = np.unique(
            np.concatenate(
                [np.linspace(0, seen_until - 1, _CURVE), np.geomspace(1, seen_until, 40) - 1]
            ).astype(int)
        )
        parts.append(
            {
                "seen": run.seen[kept].astype(np.int32),
                "step": kept.astype(np.int32),
                "y": _positive(mean[kept]),
                "low": _positive(low[kept]),
                "high": _positive(np.minimum(high[kept], ceiling)),
                "name": f"B = {run.batch_size}",
                "slot": np.int8(theme.SLOTS[use]),
                "dash": np.int8(dash),
            }
        )
        ends.append(float(mean[seen_until - 1]))
        cut |= seen_until < total
        levels.append(float(mean[-math.ceil(count / run.batch_size) :].mean()))
        floors.append(
            float(noise_floor_theory(covariance, run.batch_size, run.lr))
            if run.batch_size < count
            else math.nan
        )
        needed = [np.sort(run.seen_to(best + share * float(gap[0, 0]))) for share in _SHARES]
        cells.append(
            [
                f"**{run.batch_size}**",
                number(run.lr),
                number(total - 1),
                *(_reached(each, run.batch_size) for each in needed),
                f"{int(gone.sum())} of {_SEEDS} runs diverge, the first at step {last}"
                if gone.any()
                else number(levels[-1]),
                number(floors[-1]) if math.isfinite(floors[-1]) else "0",
            ]
        )
    columns = [
        np.concatenate([np.atleast_1d(np.asarray(part[name], float)) for part in parts])
        for name in ("y", "low", "high")
    ]
    bottom, top = _logs(*columns)
    within = np.array([bottom <= floor <= top for floor in floors])
    figure = Figure(
        name="optimizers/samples_seen",
        build=_seen_spec,
        data={
            "curves": rows(*parts),
            "reach": rows(y=[bottom, top]),
            "floors": rows(y=np.where(within, floors, top), shown=within),
            "ends": rows(
                y=_log_places(np.array(ends), bottom, top),
                label=[f"B = {run.batch_size}" for run in runs],
                slot=[theme.SLOTS[use] for use, _ in _RACE_HUES[: len(runs)]],
            ),
            "titles": rows(seen=["f − f* by samples seen"], steps=["The same runs by steps"]),
        },
        title="Loss by samples seen",
        caption=(
            f"{model}, N = {count}, from {_pair(np.array(surface.starts[0]))}; SGD, η {number(lr)} for the full batch, "
            + ("η · B/N for a mini-batch" if scaled else "the same for all")
            + f"; {epochs} epoch{'s' if epochs > 1 else ''} of shuffled mini-batches of {values['batch_between']}; "
            f"lines means, bands half of the runs, seeds {values['batch_seed']} to {whole(values, 'batch_seed') + _SEEDS - 1}."
        ),
        key="Dots on the right edge: η·tr C/(4B), where small steps on independent mini-batches would stay.",
        alt="Loss above its minimum by samples seen and by steps, one line each for three batch sizes.",
    )
    head = (
        "B",
        "lr",
        "steps",
        *(f"samples to {percent(s)} of the start" for s in _SHARES),
        "mean f − f* in the last epoch",
        "η·tr C/(4B)",
    )
    gradient = [
        float(np.median(run.seen_to(best + _SHARES[0] * (float(run.loss[0, 0]) - best)))) for run in runs
    ]
    text = _verdict(gradient, sizes, levels, scaled, epochs * count, floor=floors[0], wild=cut)
    if cut:
        text += f" Lines end where a run diverges or the mean passes {number(_CEILING)} times its start."
    return [
        "A step of the full batch costs N sample gradients. What does each sample gradient buy?",
        figure,
        text + "\n\n" + table(head, cells),
    ]


def _reached(seen: Array, size: int) -> str:
    """Write the median of samples seen, in steps too, or how many runs got there."""
    arrived = int(np.isfinite(seen).sum())
    middle = float(np.median(np.where(np.isfinite(seen), seen, np.inf)))
    if not math.isfinite(middle):
        return f"not reached ({arrived} of {len(seen)})" if arrived else "not reached"
    steps = math.ceil(middle / size)
    return f"{number(middle)} ({counted(steps, 'step')})"


def _verdict(
    seen: Sequence[float],
    sizes: Sequence[int],
    levels: Sequence[float],
    scaled: bool,
    total: int,
    *,
    floor: float,
    wild: bool,
) -> str:
    """Compare the cost of the first decrease; ``wild`` if a run is on its way up, ``floor`` is where theory has B = 1."""
    share = percent(_SHARES[0])
    if wild:
        return "The rate is too large for some batch size: its runs climb instead of descending."
    if scaled:
        return (
            "With the rate in proportion to the batch, an epoch of small steps goes about as far as one step on all "
            "samples, the "
            f"linear scaling rule: the means of the last epoch, {numbers(levels)} for B = {numbers(sizes)}, are "
            "within a factor of "
            f"{number(max(levels) / min(levels))}. A smaller batch then saves nothing but memory."
        )
    one, full = seen[0], seen[-1]
    if math.isfinite(one) and math.isfinite(full):
        text = (
            f"To {share} of the first f − f*, single samples need **{number(one)}** sample gradients and the full batch "
            f"**{number(full)}**: {number(full / one)} times as many. "
        )
    elif math.isfinite(one):
        text = (
            f"To {share} of the first f − f*, single samples need **{number(one)}** sample gradients; the full batch is not "
            f"there after {total}. "
        )
    else:
        text = f"Single samples do not come to {share} of the first f − f* in the median run, within {total} sample gradients. "
    text += (
        f"In the long run noise holds small batches up. Single samples hover at {number(levels[0])} in the last "
        "epoch; small steps "
        f"on independent samples would at {number(floor)}, in proportion to η/B."
    )
    if levels[0] > _FAR_ABOVE * floor:
        text += " At this rate steps are not small, and a few samples throw the run far out."
    return text


# Noise and momentum in front of a barrier


@lru_cache(maxsize=16)
def _escape_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 150 if narrow else round((width - 350) * 0.5)
    right = width - 150 if narrow else width - 350 - left
    tall = 250 if narrow else 330
    x = alt.X(
        "sigma:Q",
        title="σ of the noise",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(grid=False, labelPadding=CLEAR),
    )
    base = alt.Chart(named("shares"))
    noise: list[Panel] = [
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=_share_y("y:Q")),
        base.mark_area(opacity=0.2).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
        ),
        base.mark_line().encode(
            x=x, y=_share_y("y:Q"), detail="name:N", color=theme.color(), strokeDash=theme.dash()
        ),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=_share_y("theory:Q"), color=theme.ink("ink")
        ),
        labels("share_ends", left, _share_y("y:Q")),
        heading("noise"),
    ]
    mu = alt.X("momentum:Q", title="momentum μ", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False))
    reach = _plain(alt.Y, "y:Q", None)
    momentum: list[Panel] = [
        alt.Chart(named("wells"))
        .mark_rule(strokeWidth=1.2, strokeDash=[6, 4])
        .encode(y=reach, color=theme.color()),
        alt.Chart(named("momenta"))
        .mark_point(filled=True, size=28, opacity=1)
        .encode(
            x=mu, y=reach, color=theme.color(), shape=alt.Shape("shape:N", scale=None, legend=None),
            tooltip=[
                alt.Tooltip("momentum:Q"),
                alt.Tooltip("y:Q", title="furthest x", format=".4~g"),
                alt.Tooltip("end:N", title="ends"),
            ],
        ),
        labels("wells", right, alt.Y("y:Q")),
        heading("momentum"),
    ]  # fmt: skip
    return _panels(
        width,
        compose.layer(*noise, width=left, height=tall, name="noise"),
        compose.layer(*momentum, width=right, height=tall, name="momentum"),
    )


@keep(entries=8)
def _noise_runs(lr: float, most: float, steps: int, seed: int) -> tuple[NoiseEscape, EscapeTheory]:
    sigma = np.linspace(0, most, _SIGMAS)
    return (
        noise_escape(OPTIMIZERS["GD"], lr, sigma, (WELLS.shallow, 0.0), runs=_RUNS, steps=steps, seed=seed),
        noise_escape_theory(lr, sigma, WELLS.shallow, steps),
    )


@keep(entries=16)
def _momentum_runs(lr: float, start: float) -> MomentumSweep:
    return momentum_sweep(OPTIMIZERS["Momentum"], lr, _MOMENTA, (start, 1.5), _REST)


@lru_cache(maxsize=8)
def _stuck(lr: float) -> float:
    return share_in_shallow_well(lr, 400, _STARTS, OPTIMIZERS["GD"])


def _spoken_windows(windows: Sequence[tuple[float, float]]) -> str:
    *others, last = (number(a) if a == b else f"{number(a)} to {number(b)}" for a, b in windows)
    return f"{', '.join(others)} and {last}" if others else last


def _escape_blocks(values: Values) -> list[Block]:
    lr, most, steps = (
        real(values, "batch_well_lr"),
        real(values, "batch_sigma_max"),
        whole(values, "batch_well_steps"),
    )
    runs, theory = _noise_runs(lr, most, steps, whole(values, "batch_seed"))
    start = real(values, "batch_start")
    swept = _momentum_runs(lr, start)
    share, lost = runs.deep / runs.runs, runs.diverged / runs.runs
    low, high = wilson(runs.deep, runs.runs)
    low_lost, high_lost = wilson(runs.diverged, runs.runs)
    gone = np.maximum(0.0, 1 - theory.deep - theory.shallow)
    diverging = bool(runs.diverged.any())
    blank = np.full(_SIGMAS, np.nan)
    ends = np.array([share[-1], lost[-1]])
    momenta_slots = np.where(
        swept.diverged_at >= 0, theme.BAD, np.where(swept.deep, theme.GOOD, theme.SLOTS["vermilion"])
    )
    outcome = np.where(
        swept.diverged_at >= 0, "diverges", np.where(swept.deep, "in the deep well", "in the shallow well")
    )
    surface = WELLS.surface
    lowest, highest = surface.window[0], surface.window[1]
    inside = np.clip(swept.reach, lowest, highest)
    beyond = int((swept.reach != inside).sum())
    figure = Figure(
        name="optimizers/escape",
        build=_escape_spec,
        data={
            "shares": rows(
                {
                    "sigma": runs.sigma, "y": share, "low": low, "high": high, "theory": theory.deep,
                    "name": "deep well", "slot": np.int8(theme.SLOTS["blue"]), "dash": np.int8(0),
                },
                {
                    "sigma": runs.sigma, "y": lost if diverging else blank, "low": low_lost if diverging else blank,
                    "high": high_lost if diverging else blank, "theory": np.where(diverging, gone, np.nan),
                    "name": "diverged", "slot": np.int8(theme.BAD), "dash": np.int8(1),
                },
            ),
            "reach": rows(y=[0.0, 1.0]),
            "share_ends": rows(
                y=spread(ends, 0.07, 0.0, 1.0),
                label=["in the deep well", "diverged" if diverging else ""],
                slot=[theme.SLOTS["blue"], theme.BAD],
            ),
            "momenta": rows(
                momentum=swept.momentum,
                y=inside,
                slot=np.int8(momenta_slots),
                shape=np.where(swept.reach != inside, "triangle-down", "circle"),
                end=outcome,
            ),
            "wells": rows(
                y=[WELLS.deep, WELLS.barrier, WELLS.shallow, lowest, highest],
                label=["deep well", "pass", "shallow well", "", ""],
                slot=[theme.GOOD, theme.MUTED, theme.SLOTS["vermilion"], theme.SLOTS["paper"], theme.SLOTS["paper"]],
            ),
            "titles": rows(
                noise=["Share of noisy runs that end in the deep well"],
                momentum=["Furthest x of a run, by momentum"],
            ),
        },
        title="Out of the worse well",
        caption=(
            f"Two wells, η {number(lr)}. Noise: {_RUNS} runs for each of {_SIGMAS} σ "
            f"up to {number(real(values, 'batch_sigma_max'))} from ({number(WELLS.shallow)}, 0), the "
            "bottom of the shallow well, gradient descent with normal noise of deviation σ in each coordinate, after "
            f"{steps} steps; seed "
            f"{values['batch_seed']}. Momentum: heavy ball without noise from ({number(start)}, 1.5), μ from 0 to 0.99 "
            "in steps of "
            f"0.01, {_REST} steps."
        ),
        key=(
            "Noise: band Wilson's 95% intervals, small dots the exact chain. Momentum: green ends in the deep well, "
            "orange in the "
            "shallow one, red diverges; triangles lie beyond the window."
        ),
        alt="Share of noisy runs that leave the worse of two wells by noise, and how far runs with momentum come.",
    )  # fmt: skip
    return [
        "Runs in the worse of two wells: does noise trap them there, or set them free? And does momentum carry over "
        "the pass?",
        figure,
        _noise_reading(runs, theory, lr) + "\n\n" + _momentum_reading(swept, start, beyond),
    ]


def _noise_reading(runs: NoiseEscape, theory: EscapeTheory, lr: float) -> str:
    share, lost = runs.deep / runs.runs, runs.diverged / runs.runs
    best, most = int(np.argmax(share)), number(float(runs.sigma[-1]))
    low, high = wilson(runs.deep, runs.runs)
    text = (
        "Without noise no run leaves. "
        if runs.deep[0] == 0
        else f"Without noise {percent(float(share[0]))} of the runs leave. "
    )
    if share[best] > 0:
        text += f"The most, **{percent(float(share[best]))}**, end in the deep well at σ = {number(float(runs.sigma[best]))}"
        text += f"; at σ = {most} it is {percent(float(share[-1]))}. " if best < len(share) - 1 else ". "
    else:
        text += f"Up to σ = {most} none comes to the deep well either. "
    # A fall that the intervals do not bear out is chance.
    if high[-1] < low[best]:
        text += (
            "Too much noise throws them out of both wells. "
            if runs.diverged[-1] > runs.shallow[-1]
            else "Too much noise throws them about between the wells. "
        )
    known = np.isfinite(theory.deep)
    off = float(np.max(np.abs(share[known] - theory.deep[known]))) if known.any() else math.nan
    text += f"The shares are within {number(max(100 * off, 0.01), 2)} percentage points of the exact ones"
    text += " (dots stop where η·σ is below 0.02). " if not known.all() else ". "
    if runs.diverged.any():
        text += (
            f"From σ = {number(float(runs.sigma[np.argmax(runs.diverged > 0)]))} on some runs are thrown up a wall "
            "too steep for "
            f"the rate and **diverge**, at σ = {most} {'all' if lost[-1] == 1 else percent(float(lost[-1]))}. "
        )
    return text + (
        f"Gradient descent itself goes where it starts: of {_STARTS} starts across the window {percent(_stuck(lr))} "
        "end in the "
        "shallow well."
    )


def _momentum_reading(swept: MomentumSweep, start: float, beyond: int) -> str:
    height = float(WELLS.surface.f(np.array([start, 0.0])))
    barrier = float(WELLS.surface.f(np.array([WELLS.barrier, 0.0])))
    passing, ending = intervals(swept.passed, swept.momentum), intervals(swept.deep, swept.momentum)
    lost = int((swept.diverged_at >= 0).sum())
    if not passing:
        text = f"From x = {number(start)} no momentum up to 0.99 passes"
        text += (
            f": its height along x, {number(height)}, is below that of the pass, {number(barrier)}."
            if height < barrier
            else "."
        )
    else:
        text = f"From x = {number(start)} momentum passes the barrier for μ from {_spoken_windows(passing)}"
        back = swept.passed & ~swept.deep & (swept.diverged_at < 0)
        text += f" and ends in the deep well for **μ from {_spoken_windows(ending)}**. " if ending else ". "
        if back.any():
            text += (
                f"With μ from {_spoken_windows(intervals(back, swept.momentum))} the run comes back and ends in the "
                "shallow well "
                "again: momentum may help over a barrier, it does not look for the better side."
            )
    if lost:
        first = int(swept.diverged_at[swept.diverged_at >= 0].min())
        text += (
            f" {counted(lost, 'run')} diverge, the first at step {first}."
            if lost > 1
            else f" 1 run diverges, at step {first}."
        )
    if beyond:
        text += f" {counted(beyond, 'run')} {'come' if beyond > 1 else 'comes'} further than the window."
    unsettled = int((~swept.settled & (swept.diverged_at < 0)).sum())
    if unsettled:
        text += (
            f" {counted(unsettled, 'run')} still {'move' if unsettled > 1 else 'moves'} after {_REST} steps."
        )
    return text


_VIEWS: Mapping[str, Callable[[Values], list[Block]]] = {
    DIRECTIONS: _directions_blocks,
    NOISE: _noise_blocks,
    SEEN: _seen_blocks,
    ESCAPE: _escape_blocks,
}


def batch_blocks(values: Values) -> Sequence[Block]:
    """Draw the view of the tab that is open."""
    return _VIEWS[word(values, "batch_view")](values)
