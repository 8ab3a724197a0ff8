"""The tabs of the activations page that train networks: units that die on the way, and four functions side by side."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.describe import defaults, described, percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.raster import two_class_image
from charts.topic import Block, real, whole, word
from core.activations import ACTIVATIONS, sigmoid
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import Knob, aliases_of, number
from core.network import (
    SQUARED_ERROR,
    LearningRateSweep,
    Training,
    decision_grid,
    init_network,
    learning_rate_sweep,
    never_positive_theory,
    train,
)
from core.optimizers import OPTIMIZERS
from core.streams import stream

Array = np.ndarray
Bools = np.ndarray
Settings = Mapping[str, float]
Items = tuple[tuple[str, float], ...]  # settings that a cache can look up

_UNITS = 16  # of each hidden layer

# Dying units
_POINTS, _NOISE, _STEPS = 64, 0.1, 200
_DYING_INITIALIZER = INITIALIZERS["He normal"]
_COMPARED = ("ReLU", "leaky ReLU", "ELU", "GELU")
_LAYER_HUES = ("blue", "green", "purple")
_DIED, _REVIVED = -0.055, -0.15  # where the two lanes of events lie, below the axis of shares
_LANE = 0.024  # between the layers of a lane
_UNDEFINED = "–"
_HIGHEST = 1e9  # loss that a panel still shows; above it a log axis would show nothing else

# Side by side
_TRAINED = 4
_EXAMPLES, _SPREAD, _EPOCHS, _RECORD_EVERY = 100, 0.05, 400, 4
_SNAPSHOTS = (0, 4, 8, 12, 16, 24, 32, 40, 52, 64, 80, 100, 120, 144, 172, 204, 240, 288, 340, _EPOCHS)
_WINDOW, _PIXELS = 1.65, 36
_TRAIN_INITIALIZER = INITIALIZERS["Glorot normal"]
_TRAIN_OPTIMIZER = OPTIMIZERS["Adam"]
_DATA = 2  # place of the stream of the data; weights and batches have 0 and 1

DYING_KNOBS = (
    Knob(
        "hidden", "choice", "ReLU", label="Hidden units", choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS),
    ),
    Knob("data", "choice", "circles", label="Data", choices=tuple(DATASETS)),
    Knob("lr", "float", 0.5, label="Learning rate", low=0.001, high=10.0, log=True, symbol="η"),
    Knob("bias", "float", 0.0, label="Bias at the start", low=-2.0, high=1.0, step=0.1),
    Knob(
        "dead_batch", "int", 16, label="Batch size", low=1, high=_POINTS, log=True,
        help=f"Points in a mini-batch, of {_POINTS}; {_POINTS} takes all of them in every step.",
    ),
    Knob("hidden_layers", "int", 2, label="Hidden layers", low=2, high=3, step=1),
)  # fmt: skip
TRAIN_KNOBS = (
    Knob(
        "trained", "choices", ("sigmoid", "tanh", "ReLU", "GELU"), label="Trained side by side",
        choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS), most=_TRAINED,
    ),
    Knob("problem", "choice", "spiral", label="Problem", choices=tuple(DATASETS)),
    Knob(
        "train_lr", "float", 0.01, label="Learning rate of Adam", low=0.0003, high=1.0, log=True, symbol="η",
    ),
    Knob("train_layers", "int", 2, label="Hidden layers", low=1, high=4, step=1),
    Knob("train_seed", "int", 0, label="Seed of data and weights", low=0, high=9999, step=1),
)  # fmt: skip


def _shares(texts: Sequence[str], weights: Sequence[float]) -> list[progress.Share]:
    """Divide the work between runs by the time that each takes."""
    edges = np.concatenate([[0.0], np.cumsum(weights)]) / np.sum(weights)
    return [
        progress.Share(float(a), float(b), text) for a, b, text in zip(edges, edges[1:], texts, strict=False)
    ]


def as_items(settings: Settings) -> Items:
    """Return settings as a key of the caches, in the order of their names."""
    return tuple(sorted(settings.items()))


def _shape(layers: int) -> str:
    return "-".join(["2", *[str(_UNITS)] * layers, "1"])


def _sizes(layers: int) -> tuple[int, ...]:
    return (2, *[_UNITS] * layers, 1)


def _listed(names: Sequence[str]) -> str:
    """Write names as a list in a sentence: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cell(text: str) -> str:
    """Write a table's cell; a dash where a run that is no longer finite leaves it undefined."""
    return _UNDEFINED if text == "NaN" else text


def _drawn(loss: Array) -> Array:
    """Return the losses that a log axis shows, NaN elsewhere."""
    with np.errstate(invalid="ignore"):
        return np.where((loss > 0) & (loss <= _HIGHEST), loss, np.nan)


def _up_to(step: Array, loss: Array) -> tuple[Array, Array]:
    """Return the steps and losses of a line that ends at the top of its panel; NaN where there is no line.

    Where it leaves, a point is put on the border, on the straight line between two measured ones.
    """
    drawn = _drawn(loss)
    leaves = np.flatnonzero(np.isfinite(drawn[:-1]) & np.isfinite(loss[1:]) & (loss[1:] > _HIGHEST))
    before, after = np.log(loss[leaves]), np.log(loss[leaves + 1])
    exits = step[leaves] + (np.log(_HIGHEST) - before) / (after - before) * (step[leaves + 1] - step[leaves])
    place = leaves + 1
    return np.insert(step.astype(float), place, exits), np.insert(drawn, place, _HIGHEST)


def _last(values: Array, otherwise: float) -> float:
    """Return the last value that is a number."""
    kept = values[np.isfinite(values)]
    return float(kept[-1]) if len(kept) else otherwise


# Dying units: one run


@keep(entries=32)
def dying_run(
    hidden: str,
    knobs: Items,
    data: str,
    lr: float,
    bias: float,
    batch: int,
    layers: int,
    share: progress.Share,
) -> Training:
    """Return the training of a network of the Dying ReLU tab, which counts the units that die and come back."""
    points, labels = DATASETS[data].draw(_POINTS, _NOISE, stream(0))
    return train(
        init_network(_sizes(layers), _DYING_INITIALIZER, seed=0, bias=bias),
        points,
        labels,
        activation=ACTIVATIONS[hidden],
        rule=OPTIMIZERS["GD"].build(lr=lr),
        steps=_STEPS,
        knobs=dict(knobs),
        loss=SQUARED_ERROR,
        batch_size=_some(batch),
        report=share.report,
    )


def _some(batch: int) -> int | None:
    """Return the size of a mini-batch; None for all points, which takes one pass where a batch takes two."""
    return batch if batch < _POINTS else None


@lru_cache(maxsize=16)
def _run_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 130 if narrow else round((width - 270) / 2)
    tall = 270 if narrow else 300
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(grid=False))

    stop = alt.Chart(named("stop"))

    def said(late: bool) -> Panel:
        """Write what happens at a red rule on the side of it that has room."""
        side: Literal["left", "right"] = "right" if late else "left"
        return stop.mark_text(
            align=side, baseline="top", dx=-5 if late else 5, fontSize=theme.SMALL_SIZE, lineBreak="\n"
        ).encode(
            x=x,
            y=alt.value(2),
            text=f"{'late' if late else 'early'}:N",
            color=theme.ink("bad"),
            opacity=theme.SHOWN,
        )

    def panel(name: str, lines: list[Panel], y: alt.Y) -> Panel:
        return compose.layer(
            *lines,
            stop.mark_rule(strokeWidth=1.2).encode(x=x, color=theme.ink("bad"), opacity=theme.SHOWN),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=y, text="line:N", color=theme.color()),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
            width=inner,
            height=tall,
            name=name,
        )

    lowest = _REVIVED - 2 * _LANE
    share = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=[lowest, 1], nice=False),
        axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
    )
    loss = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=6),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )
    units = alt.Chart(named("units"))
    left = [
        units.mark_line(strokeWidth=1, opacity=0.35).encode(
            x=x, y=alt.Y("batch:Q"), detail="line:N", color=theme.color()
        ),
        units.mark_line().encode(x=x, y=share, detail="line:N", color=theme.color()),
        alt.Chart(named("events"))
        .mark_tick(orient="vertical", size=6, thickness=1.4)
        .encode(
            x=x,
            y=share,
            color=theme.color(),
            opacity=theme.SHOWN,
            tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("note:N", title="units")],
        ),
        alt.Chart(named("lanes"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE)
        .encode(x=alt.value(inner), y=share, text="label:N", color=theme.ink("muted")),
    ]
    right = [
        alt.Chart(named("loss")).mark_line().encode(x=x, y=loss, color=theme.color()),
        said(False),
        said(True),
    ]
    panels = [panel("dead", left, share), panel("descent", right, loss)]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared"}), theme.config())


def _run_figure(run: Training, setting: str) -> Figure:
    """Draw a run: ``setting`` says what was trained, for the caption."""
    step = run.step.astype(np.int16)
    layers = run.dead.shape[1]
    names = [f"layer {layer + 1}" for layer in range(layers)]
    slots = [theme.SLOTS[_LAYER_HUES[layer]] for layer in range(layers)]
    units: list[Part] = []
    events: list[Part] = []
    for layer, (name, slot) in enumerate(zip(names, slots, strict=True)):
        share, on_batch = (
            np.where(run.finite, shares[:, layer], np.nan) for shares in (run.dead, run.dead_on_batch)
        )
        units.append({"step": step, "y": share, "batch": on_batch, "line": name, "slot": np.int8(slot)})
        for lane, counts, verb in ((_DIED, run.died, "died"), (_REVIVED, run.revived, "revived")):
            moved = run.finite & (counts[:, layer] > 0)
            if moved.any():
                notes = [f"{count} of {name} {verb}" for count in counts[moved, layer]]
                events.append({"step": step[moved], "y": lane - layer * _LANE, "note": notes, "slot": np.int8(slot),
                               "shown": True})  # fmt: skip
    nothing: Part = {"step": [0], "y": _DIED, "note": "", "slot": theme.MUTED, "shown": False}
    loss_step, loss = _up_to(run.step, run.loss)
    end = _last(loss, 1.0)
    kept = loss[np.isfinite(loss)]
    flat = not len(kept) or not kept.max() > 1.2 * kept.min()  # a log axis needs more than one number
    stops = _stops(run)
    said, blanks = "\n".join(text for _, text in stops), [""] * (len(stops) - 1)
    ends = np.array([_last(run.dead[run.finite, layer], 0.0) for layer in range(layers)])
    hue = theme.SLOTS["vermilion"]
    middle = _LANE * (layers - 1) / 2
    return Figure(
        name="activations/dying-run",
        build=_run_spec,
        data={
            "units": rows(*units),
            "events": rows(*(events or [nothing])),
            "lanes": rows(y=[_DIED - middle, _REVIVED - middle], label=["die", "revive"]),
            "loss": rows(step=loss_step, y=loss, slot=np.int8(hue)),
            "stop": rows(
                step=[at for at, _ in stops] or [0],
                early=[said if stops and stops[0][0] <= _STEPS / 2 else "", *blanks],
                late=[said if stops and stops[0][0] > _STEPS / 2 else "", *blanks],
                shown=bool(stops),
            ),
            "dead_ends": rows(y=spread(ends, 0.075, 0.0, 1.0), line=names, slot=slots),
            "descent_ends": rows(
                y=[end, end / 3, end * 3] if flat else [end],
                line=["" if int(run.diverged_at) >= 0 else number(float(run.loss[-1])), *[""] * (2 * flat)],
                slot=hue,
            ),
            "titles": rows(dead=["Units that are dead, of each layer"], descent=["Loss on all data"]),
        },
        title="Units that die and revive while a network trains",
        caption=f"{setting}, {_STEPS} steps.",
        key=(
            "Dead: the slope is exactly 0 at every point. Lines: on all data. Thin: on the mini-batch of the step "
            "alone. Ticks below: steps at which a unit dies or revives on all data, in the color of its layer. Red: the loss "
            f"leaves the panel at {number(_HIGHEST)}, or the run is no longer finite; from there nothing is counted."
        ),
        alt="Share of dead units by layer, left, with deaths and revivals as ticks below, and loss, right, against the step.",
    )  # fmt: skip


def _stops(run: Training) -> list[tuple[int, str]]:
    """Return the steps at which the loss leaves the panel and the run stops being finite, with what to say there."""
    stops = []
    with np.errstate(invalid="ignore"):
        high = np.flatnonzero(np.isfinite(run.loss) & (run.loss > _HIGHEST))
    if len(high):
        stops.append((int(run.step[high[0]]), f"loss above {number(_HIGHEST)} from step {run.step[high[0]]}"))
    if run.diverged_at >= 0:
        stops.append((int(run.diverged_at), f"not finite from step {run.diverged_at}"))
    return stops


def _run_text(run: Training) -> str:
    """Say in numbers what a run did to its units."""
    layers = run.dead.shape[1]
    total = layers * _UNITS
    start, died, revived = (
        round(float(counts))
        for counts in (_UNITS * np.nansum(run.dead[0]), run.deaths.sum(), run.revivals.sum())
    )
    stopped = int(run.diverged_at)
    text = (
        f"Of {total} hidden units, {start} {_are(start)} dead on all data at the start. "
        f"{f'In {_STEPS} steps' if stopped < 0 else 'While the run is finite'} there {_are(died)} "
        f"{died} {_plural(died, 'death')} and {revived} {_plural(revived, 'revival')}"
    )
    if revived:
        last = int(run.step[np.flatnonzero(run.finite & (run.revived.sum(axis=1) > 0))[-1]])
        text += f", the last one at step {last}"
    final = run.dead[-1]
    if stopped < 0:
        shares = ", ".join(f"{percent(float(s))} of layer {k}" for k, s in enumerate(final, start=1))
        text += f"; at the end {shares} {_are(2)} dead. "
    else:
        text += ". "
    first = int(run.revivals[0])
    text += (
        "A dead unit of layer 1 cannot revive here: it sees the data, which never move, and the gradient of its own "
        f"weights is exactly 0; measured: {first} {_plural(first, 'revival')}. Higher layers revive when the layers "
        "below them move. "
    )
    return text + _loss_text(run)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _loss_text(run: Training) -> str:
    stopped, begin, end = int(run.diverged_at), float(run.loss[0]), float(run.loss[-1])
    if stopped >= 0:
        return (
            f"The run diverges: from step {stopped} on it is not finite, and nothing is counted from there."
        )
    text = f"The loss goes from {number(begin)} to {number(end)}, with {percent(float(run.accuracy[-1]))} of the points right."
    if not end <= begin:
        text += " It ends above where it began: the run was on its way to diverge."
    return text


# Dying units: the same with other functions


def _compared_text(runs: Mapping[str, Training], names: Mapping[str, str], data: str, bias: float) -> str:
    lines = []
    overflown = []
    for name, run in runs.items():
        stopped = int(run.diverged_at)
        ends = [
            percent(float(run.dead[-1].mean())),
            percent(float(run.never_positive[-1].mean())),
            str(int(run.deaths.sum())),
            str(int(run.revivals.sum())),
            number(float(run.loss[-1])),
            percent(float(run.accuracy[-1])),
        ]
        if stopped >= 0:
            overflown.append(f"{names[name]} from step {stopped}")
            ends = [cell if k in (2, 3) else _UNDEFINED for k, cell in enumerate(ends)]
        lines.append([f"**{names[name]}**", *ends, "never" if stopped < 0 else f"step {stopped}"])
    points, _ = DATASETS[data].draw(_POINTS, _NOISE, stream(0))
    expected = never_positive_theory(points, std=float(_DYING_INITIALIZER.std(2, _UNITS)), bias=bias)
    drawn = float(next(iter(runs.values())).never_positive[0, 0])
    error = math.sqrt(expected * (1 - expected) / _UNITS)
    head = [
        "", "dead at the end", "never positive at the end", "deaths", "revivals", "loss at the end", "points right",
        "not finite from",
    ]  # fmt: skip
    return (
        "The same network, data, seed, batches and rate with other functions. *Dead*: slope exactly 0 at every point; "
        "*never positive*: z ≤ 0 at every point, where a function with a slope left goes on learning.\n\n"
        + table(head, lines)
        + (
            f"\n\nNo longer finite: {_listed(overflown)} on. Deaths and revivals are counted up to there, and what "
            f"the end would have been is undefined ({_UNDEFINED})."
            if overflown
            else ""
        )
        + f"\n\nAt the start {percent(drawn)} of the units of layer 1 are never positive, whatever the function. "
        f"For normal weights and these points theory says {percent(expected)}"
        + (f", ±{percent(error, 2)} for {_UNITS} units." if error else ".")
    )


# Dying units: against the learning rate


@lru_cache(maxsize=16)
def _sweep_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 162 if narrow else round((width - 280) / 2)
    x = alt.X(
        "lr:Q", title="learning rate", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER, labelPadding=9, labelSeparation=5),
    )  # fmt: skip

    def begin(y: alt.Y) -> tuple[Panel, Panel]:
        """Mark the loss before training."""
        base = alt.Chart(named("start"))
        return (
            base.mark_rule(strokeDash=[2, 2], strokeWidth=1).encode(
                y=y, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            base.mark_text(align="left", dx=4, dy=7, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(0), y=y, text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN
            ),
        )

    def panel(name: str) -> Panel:
        scale = alt.Scale(domain=[0, 1]) if name == "dead" else alt.Scale(type="log", nice=False)
        axis = (
            alt.Axis(format="%", labelPadding=6)
            if name == "dead"
            else alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, labelPadding=6)
        )
        y = alt.Y("y:Q", title=None, scale=scale, axis=axis)
        base = alt.Chart(named(name))
        here = alt.Chart(named("here"))
        extra = [
            here.mark_text(align="right", baseline="top", dx=-4, fontSize=theme.SMALL_SIZE).encode(
                x=x, y=alt.value(2), text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN
            )
        ]
        return compose.layer(
            alt.Chart(named("diverged"))
            .mark_rect(opacity=0.14)
            .encode(x=x, x2="high:Q", color=theme.ink("bad")),
            here.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(
                x=x, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            base.mark_line().encode(x=x, y=y, detail="line:N", color=theme.color()),
            base.mark_point(filled=True, size=22).encode(
                x=x,
                y=y,
                color=theme.color(),
                opacity=alt.condition("datum.every", alt.value(1), alt.value(0)),
            ),
            base.mark_point(filled=False, size=60, strokeWidth=1.3).encode(
                x=x,
                y=y,
                color=theme.color(),
                opacity=alt.condition("datum.every", alt.value(0), alt.value(1)),
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(
                x=alt.value(inner), y=alt.Y("y:Q", scale=scale, axis=axis), text="line:N", color=theme.color()
            ),
            *(extra if name == "dead" else begin(alt.Y("y:Q", scale=scale, axis=axis))),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
            width=inner,
            height=240,
            name=name,
        )

    panels = [panel("dead"), panel("loss")]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared"}), theme.config())


@keep(entries=16)
def _sweep(
    hidden: str, knobs: Items, data: str, bias: float, batch: int, layers: int, share: progress.Share
) -> LearningRateSweep:
    points, labels = DATASETS[data].draw(_POINTS, _NOISE, stream(0))
    return learning_rate_sweep(
        points,
        labels,
        activation=ACTIVATIONS[hidden],
        initializer=_DYING_INITIALIZER,
        sizes=_sizes(layers),
        bias=bias,
        steps=_STEPS,
        knobs=dict(knobs),
        batch_size=_some(batch),
        report=share.report,
    )


def _sweep_blocks(sweep: LearningRateSweep, hidden: str, setting: str, chosen: float) -> list[Block]:
    """Draw a sweep and say what it shows; ``chosen`` is the rate of the run shown alone."""
    lr = sweep.lr
    finite = sweep.diverged_at < 0
    diverged = ~(finite & (sweep.loss <= sweep.start_loss))
    kept = finite.sum(axis=1)
    every = kept == finite.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        dead = np.where(finite, sweep.dead, 0).sum(axis=2) / kept  # NaN where no seed is left
        loss = np.median(
            np.where(finite, sweep.loss, np.inf), axis=1
        )  # a run that overflows is above all others
    dead_parts: list[Part] = []
    ends = []
    for layer, share in enumerate(dead):
        slot = theme.SLOTS[_LAYER_HUES[layer]]
        dead_parts.append(
            {"lr": lr, "y": share, "every": every, "line": f"layer {layer + 1}", "slot": np.int8(slot)}
        )
        ends.append((_last(share, 0.0), f"layer {layer + 1}", slot))
    start = float(np.median(sweep.start_loss))
    drawn = np.isfinite(loss) & (loss > 0) & (loss < 100 * start)
    shown_loss = np.where(drawn, loss, np.nan)
    # Where every run diverges the start is all there is, and a log axis needs two numbers.
    frame = [start] if drawn.any() else [start, start / 10, start * 10]
    hue = theme.SLOTS["vermilion"]
    half = np.sqrt(lr[1] / lr[0])
    bad = diverged.mean(axis=1) >= 0.5
    region = (
        rows(lr=np.maximum(lr[bad] / half, lr[0]), high=np.minimum(lr[bad] * half, lr[-1]))
        if bad.any()
        else rows(lr=[lr[0]], high=[lr[0]])
    )
    inside = bool(lr[0] <= chosen <= lr[-1])
    figure = Figure(
        name="activations/dying",
        build=_sweep_spec,
        data={
            "dead": rows(*dead_parts),
            "loss": rows(lr=lr, y=shown_loss, every=every, line="median loss", slot=np.int8(hue)),
            "diverged": region,
            "here": rows(lr=[min(max(chosen, lr[0]), lr[-1])], label="chosen rate", shown=inside),
            "dead_ends": rows(
                y=spread(np.array([end for end, _, _ in ends]), 0.08, 0.0, 1.0),
                line=[name for _, name, _ in ends],
                slot=[slot for _, _, slot in ends],
            ),
            "start": rows(y=frame, label="before training", shown=[k == 0 for k in range(len(frame))]),
            "loss_ends": rows(
                y=[_last(shown_loss, start)],
                line="median loss" if drawn.any() else "every run diverges",
                slot=hue,
            ),
            "titles": rows(
                dead=["Units that are dead on all data"], loss=["Loss after training, median of three seeds"]
            ),
        },
        title=f"Dead {hidden} units against the learning rate",
        caption=f"{setting}, {_STEPS} steps at each of {lr.size} rates, seeds 0 to 2; chosen rate {number(chosen)}.",
        key=(
            "Dead: the slope is exactly 0 at every point of the data; mean over the seeds whose run stays finite. Dots: "
            "all of them do; rings: one or two do. In the median a run that overflows has the highest loss. Red: at least half "
            "of the runs diverge, each rate with half of the step to its neighbors."
        ),
        alt="Share of dead units by layer, left, and loss, right, against the learning rate.",
    )
    return [figure, _sweep_text(sweep, dead, loss, diverged)]


def _sweep_text(sweep: LearningRateSweep, dead: Array, loss: Array, diverged: Bools) -> str:
    """Say what a sweep shows.

    Args:
        sweep: K rates, S seeds.
        dead: (layers, K), mean shares of the seeds that stay finite.
        loss: (K,), medians at the end.
        diverged: (K, S).
    """
    lr = sweep.lr
    text = ""
    if np.isfinite(dead[:, 0]).all():
        some = "" if np.all(sweep.diverged_at[0] < 0) else ", over the seeds that stay finite"
        share = _most_dead(dead[:, 0])
        text = f"At the smallest rate, {number(float(lr[0]))}, {share or 'no unit'} {_are(1 if not share else 2)} dead{some}. "
    calm = ~diverged.any(axis=1)
    if calm.any():
        worst = int(np.argmax(np.where(calm, dead.max(axis=0), -1.0)))
        most = _most_dead(dead[:, worst])
        if most:
            text += (
                f"Among the rates at which no run diverges, most are dead at {number(float(lr[worst]))}: "
                f"{most}, with a median loss of {number(float(loss[worst]))} "
                f"({number(float(np.median(sweep.start_loss)))} at the start). "
            )
        else:
            text += "At no rate at which no run diverges is a unit dead. "
    bad = diverged.mean(axis=1) >= 0.5
    if not bad.any():
        return text + "At no rate do half of the runs diverge."
    first = int(np.argmax(bad))
    text += f"The smallest rate at which at least half of the runs diverge is {number(float(lr[first]))}"
    if first:
        text += f"; the red begins halfway to it, at {number(math.sqrt(lr[first - 1] * lr[first]))}"
    return text + "."


def _most_dead(shares: Array) -> str:
    """Say how many units of the layer with most dead ones are dead, ``8.33% of layer 2``; nothing if none is."""
    worst = int(np.argmax(shares))
    return f"{percent(float(shares[worst]))} of layer {worst + 1}" if shares[worst] > 0 else ""


def dying_blocks(
    hidden: str, knobs: Settings, data: str, lr: float, bias: float, batch: int, layers: int
) -> list[Block]:
    """Train a small network and follow its dead units: one run, the same with other functions, a sweep of the rate.

    Args:
        hidden: an entry of ``ACTIVATIONS``, for all hidden units.
        knobs: its settings; the functions beside it have their defaults.
        data: an entry of ``DATASETS``.
        lr: learning rate of the run; the sweep has its own.
        bias: of every hidden unit at the start.
        batch: points in a mini-batch, 1 to 64; 64 takes all.
        layers: hidden layers, 2 or 3.

    Returns:
        the figure of the run and its text, the table, the figure of the sweep and its text.
    """
    settings = {name: defaults(ACTIVATIONS[name]) for name in _COMPARED} | {hidden: dict(knobs)}
    order = [hidden, *(name for name in settings if name != hidden)]
    # A sweep takes about as long as two runs, which measure at every step.
    shares = _shares(
        [*(f"Training with {name}" for name in order), "Training at 24 rates"], [*[1.0] * len(order), 2.0]
    )
    trained = {
        name: dying_run(name, as_items(settings[name]), data, lr, bias, batch, layers, share)
        for name, share in zip(order, shares, strict=False)
    }
    sweep = _sweep(hidden, as_items(knobs), data, bias, batch, layers, shares[-1])
    names = {name: described(name, settings[name]) for name in settings}
    batches = f"mini-batches of {batch}" if _some(batch) else "all of them in every step"
    setting = (
        f"{_shape(layers)} network, {names[hidden]}, {_DYING_INITIALIZER.name}, bias {number(bias)} at the start, "
        f"{_POINTS} points of {data} with noise {number(_NOISE)}, {batches}, squared error, gradient descent"
    )
    run = trained[hidden]
    blocks: list[Block] = [
        _run_figure(run, f"{setting} with learning rate {number(lr)}, seed 0"),
        _run_text(run),
        _compared_text({name: trained[name] for name in settings}, names, data, bias),
        *_sweep_blocks(sweep, hidden, setting, lr),
    ]
    progress.report(1.0, "Trained")
    return blocks


# Side by side


class _Trained(NamedTuple):
    """One network of the comparison: its run, and a picture of its probabilities at each snapshot."""

    run: Training
    pictures: tuple[str, ...]


@keep(entries=16)
def trained_run(
    name: str, knobs: Items, problem: str, lr: float, layers: int, seed: int, share: progress.Share
) -> _Trained:
    """Return one network of the Train tab, trained on a problem, with what its map needs."""
    points, labels = _examples(problem, seed)
    run = train(
        init_network(_sizes(layers), _TRAIN_INITIALIZER, seed=seed),
        points,
        labels,
        activation=ACTIVATIONS[name],
        rule=_TRAIN_OPTIMIZER.build(lr=lr),
        steps=_EPOCHS,
        knobs=dict(knobs),
        record_every=_RECORD_EVERY,
        snapshots=_SNAPSHOTS,
        report=share.report,
    )
    reach = _WINDOW * (
        1 - 1 / _PIXELS
    )  # a pixel shows its center, the picture ends at the edge of the last one
    field = decision_grid(
        run.snapshots,
        ACTIVATIONS[name],
        window=(-reach, reach, -reach, reach),
        size=_PIXELS,
        knobs=dict(knobs),
    )
    return _Trained(run, tuple(two_class_image(p) for p in sigmoid(field.output)))


def default_runs(names: Sequence[str]) -> dict[str, Training]:
    """Train networks as the Train tab does before any of its controls is moved; what either trained is kept."""
    choice = {knob.name: knob.default for knob in TRAIN_KNOBS}
    shares = _shares([f"Training with {name}" for name in names], [1.0] * len(names))
    return {
        name: trained_run(
            name,
            as_items(defaults(ACTIVATIONS[name])),
            word(choice, "problem"),
            real(choice, "train_lr"),
            whole(choice, "train_layers"),
            whole(choice, "train_seed"),
            share,
        ).run
        for name, share in zip(names, shares, strict=True)
    }


def _examples(problem: str, seed: int) -> tuple[Array, Array]:
    return DATASETS[problem].draw(_EXAMPLES, _SPREAD, stream(seed, _DATA))


@lru_cache(maxsize=16)
def _train_spec(width: int) -> Spec:
    return _side_by_side_spec(width, _TRAINED)


@lru_cache(maxsize=16)
def _train_spec_of_two(width: int) -> Spec:
    return _side_by_side_spec(width, 2)


@lru_cache(maxsize=16)
def _train_spec_of_one(width: int) -> Spec:
    return _side_by_side_spec(width, 1)


def _side_by_side_spec(width: int, panels: int) -> Spec:
    """Lay out the losses beside one, two or four pictures."""
    narrow = width < NARROW
    pair, gap = round(0.39 * width) + 16, 16
    tall = 250 if narrow else pair + 30
    if narrow:
        side = (width - 74) // 2 if panels > 1 else width - 58
    else:
        side = {1: tall, 2: (tall - 46) // 2}.get(panels, (pair - gap) // 2)
    across = {1: side, 2: side}.get(panels, pair)
    left = width - 135 if narrow else width - across - 199
    epoch = alt.param(
        name="now",
        value=_EPOCHS,
        bind=alt.binding_range(min=0, max=_EPOCHS, step=_RECORD_EVERY, name="Epoch "),
    )
    present = "datum.epoch <= now && now < datum.until"
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(nice=False, zero=True),
        axis=alt.Axis(grid=False, labelPadding=6),
    )
    y = alt.Y(
        "loss:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=6),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )
    curves = alt.Chart(named("curves"))
    moment = alt.Chart(named("moments")).transform_filter(present)
    loss = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
        alt.Chart(named("chance"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1)
        .encode(y=y, color=theme.ink("muted")),
        alt.Chart(named("chance"))
        .mark_text(align="right", dx=-4, dy=-7, fontSize=theme.SMALL_SIZE)
        .encode(x=alt.value(left), y=y, text="label:N", color=theme.ink("muted")),
        moment.mark_rule(strokeWidth=1, strokeDash=[3, 3]).encode(x=x, color=theme.ink("muted")),
        curves.mark_line().encode(x=x, y=y, detail="panel:N", color=theme.color(), strokeDash=theme.dash()),
        curves.transform_filter(present)
        .mark_point(filled=True, size=60, opacity=1)
        .encode(
            x=x,
            y=y,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("name:N", title="function"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("loss:Q", format=".4~g"),
            ],
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE, limit=120)
        .encode(x=alt.value(left), y=y, text="label:N", color=theme.color()),
        moment.mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE).encode(
            x=alt.value(0), y=alt.value(-8), text="label:N", color=theme.ink("ink")
        ),
        width=left,
        height=tall,
        name="loss",
    )

    def square(panel: int) -> Panel:
        plane = alt.Scale(domain=[-_WINDOW, _WINDOW], nice=False, zero=False)
        pictures = alt.Chart(named("pictures")).transform_filter(f"datum.panel == {panel}")
        return compose.layer(
            # All pictures of a panel lie on one another and one is seen: another one is there at once, without a blink.
            pictures.mark_image(aspect=False).encode(
                x=alt.value(0),
                x2=alt.value(side),
                y=alt.value(0),
                y2=alt.value(side),
                url="url:N",
                opacity=alt.condition(present, alt.value(1), alt.value(0)),
            ),
            alt.Chart(named("points"))
            .mark_point(filled=True, size=20 if narrow else 26)
            .encode(
                x=alt.X("x:Q", scale=plane, axis=None),
                y=alt.Y("y:Q", scale=plane, axis=None),
                color=theme.color(),
                shape=alt.Shape(
                    "kind:N", scale=alt.Scale(domain=["0", "1"], range=["circle", "triangle-up"]), legend=None
                ),
                opacity=alt.condition(f"datum.shown{panel}", alt.value(1), alt.value(0)),
            ),
            pictures.transform_filter(present)
            .mark_text(align="left", baseline="bottom", fontSize=theme.SMALL_SIZE + 0.5, limit=side + 10)
            .encode(x=alt.value(0), y=alt.value(-5), text="label:N", color=theme.color()),
            width=side,
            height=side,
            name=f"panel{panel}",
        )

    squares: Panel
    if panels == 1:
        squares = square(0)
    elif panels == 2:
        stack, apart = (compose.beside, gap) if narrow else (compose.below, 20)
        squares = stack(square(0), square(1), spacing=apart)
    else:
        upper, lower = (compose.beside(square(k), square(k + 1), spacing=gap) for k in (0, 2))
        squares = compose.below(upper, lower, spacing=20)
    join = compose.below if narrow else compose.beside
    both = join(loss, squares, resolve={"color": "shared", "shape": "shared"})
    return assemble(both, theme.config(), [compose.parameter(epoch)])


def _until(epochs: Sequence[int]) -> Array:
    """Return, for each snapshot, the epoch at which the next one takes over."""
    return np.array([*epochs[1:], _EPOCHS + 1], dtype=np.int16)


def _picture_label(name: str, accuracy: float, epoch: int) -> str:
    return (
        f"{name} NaN at {epoch}"
        if math.isnan(accuracy)
        else f"{name} {percent(accuracy, 2 if accuracy < 0.995 else 3)}"
    )


def _train_figure(
    trained: Mapping[str, _Trained], styles: Mapping[str, theme.Style], problem: str, seed: int, caption: str
) -> Figure:
    snapshots = np.array(_SNAPSHOTS, dtype=np.int16)
    until = _until(_SNAPSHOTS)
    curves: list[Part] = []
    pictures: list[Part] = []
    ends = []
    for panel, (name, (run, uris)) in enumerate(trained.items()):
        style = styles[name]
        loss = _drawn(run.loss)
        at = np.searchsorted(run.step, snapshots)
        over = np.zeros(len(run.step), np.int16)  # 0 is over at once: only snapshots have a dot
        over[at] = until
        curves.append(
            {"epoch": run.step.astype(np.int16), "loss": loss, "until": over, "panel": np.int8(panel), "name": name,
             "slot": np.int8(style.slot), "dash": np.int8(style.dash)}
        )  # fmt: skip
        labels = [
            _picture_label(name, float(accuracy), int(epoch))
            for accuracy, epoch in zip(run.accuracy[at], snapshots, strict=True)
        ]
        pictures.append(
            {"panel": np.int8(panel), "epoch": snapshots, "until": until, "url": list(uris), "label": labels,
             "slot": np.int8(style.slot)}
        )  # fmt: skip
        ends.append((_last(loss, math.log(2)), _end_label(name, run), style.slot))
    drawn = rows(*curves)
    seen = drawn.numbers("loss")
    seen = seen[np.isfinite(seen)]
    low, high = np.log10([min([*seen, math.log(2)]), max([*seen, math.log(2)])])
    low = min(low, high - 1)  # a decade at least, or the axis has no number
    placed = spread(np.log10([end for end, _, _ in ends]), 0.05 * (high - low), low, high)
    points, kinds = _examples(problem, seed)
    hues = np.array([theme.SLOTS[hue] for hue in theme.CLASSES], dtype=np.int8)
    shown = {f"shown{panel}": panel < len(trained) for panel in range(_TRAINED)}
    return Figure(
        name="activations/train",
        build={1: _train_spec_of_one, 2: _train_spec_of_two}.get(len(trained), _train_spec),
        data={
            "reach": rows(loss=[10.0**low, 10.0**high]),
            "curves": drawn,
            "pictures": rows(*pictures),
            "points": rows(x=points[:, 0], y=points[:, 1], kind=kinds.astype(str), slot=hues[kinds], **shown),
            "moments": rows(
                epoch=snapshots, until=until, label=[f"Cross-entropy; the pictures are of epoch {e}" for e in snapshots]
            ),
            "chance": rows(loss=[math.log(2)], label="ln 2: a coin"),
            "ends": rows(
                loss=10.0**placed, label=[label for _, label, _ in ends], slot=[slot for _, _, slot in ends]
            ),
        },
        title="One network, several activations",
        caption=caption,
        key=(
            "Pictures: the class a network gives to each place, the stronger the surer, with the share of points it has "
            f"right. Losses above {number(_HIGHEST)} are not drawn."
        ),
        hint="The slider moves the pictures through the epochs.",
        alt=(
            "Left: cross-entropy against the epoch, one line a function. Right: for each function a picture of the "
            "classes it gives to the plane at one epoch, with the data."
        ),
    )  # fmt: skip


def _end_label(name: str, run: Training) -> str:
    stopped = int(run.diverged_at)
    return name if stopped < 0 else f"{name}: NaN at {stopped}"


def _train_text(trained: Mapping[str, _Trained], names: Sequence[str]) -> str:
    lines = []
    for text, (run, _) in zip(names, trained.values(), strict=True):
        stopped = int(run.diverged_at)
        since = solved_from(run)
        lines.append(
            [
                f"**{text}**",
                _cell(number(float(run.loss[-1]))),
                _cell(percent(float(run.accuracy[-1]))),
                "never" if since is None else f"epoch {since}",
                "never" if stopped < 0 else f"epoch {stopped}",
            ]
        )
    solved = [name for name, (run, _) in trained.items() if solved_from(run) is not None]
    last = {name: float(run.loss[-1]) for name, (run, _) in trained.items() if np.isfinite(run.loss[-1])}
    if len(trained) == 1:
        (name,) = trained
        said = f"{name} {'gets' if solved else 'does not get'} every point right"
        if last:
            begin = number(float(trained[name].run.loss[0]))
            said += f"; its loss goes from {begin} to {number(last[name])}"
        rank = "try others"
    else:
        said = f"{_listed(solved)} {'gets' if len(solved) == 1 else 'get'} every point right" if solved else (
            "none gets every point right"
        )  # fmt: skip
        rank = "try others before you rank them"
        if len(last) > 1:
            best = min(last, key=lambda name: last[name])
            said += f"; the lowest loss is that of {best}, {number(last[best])}"
    head = ["", "loss at the end", "points right", "all right from", "not finite from"]
    return (
        f"After {_EPOCHS} epochs {said}. It is one problem with one seed: {rank}.\n\n"
        + table(head, lines)
        + f"\n\nMeasured every {_RECORD_EVERY} epochs. *All right from*: from there to the end."
    )


def solved_from(run: Training) -> int | None:
    """Return the first recorded epoch from which on every point is right, None if the last one is not."""
    wrong = np.flatnonzero(~(run.accuracy == 1))
    if not len(wrong):
        return int(run.step[0])
    return int(run.step[wrong[-1] + 1]) if wrong[-1] + 1 < len(run.step) else None


def train_blocks(
    names: Sequence[str],
    settings: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    problem: str,
    lr: float,
    layers: int,
    seed: int,
) -> list[Block]:
    """Train one network with up to four activations, everything else equal, and draw losses and boundaries.

    Args:
        names: up to four entries of ``ACTIVATIONS``, in the order of the panels.
        settings: the settings of each.
        styles: hue and dash of each.
        problem: an entry of ``DATASETS``.
        lr: learning rate of Adam.
        layers: hidden layers, 1 to 4.
        seed: of the data and the weights, the same for all.

    Returns:
        the figure and its text; one line of text if no function is named.

    Raises:
        ValueError: more than four names.
    """
    if len(names) > _TRAINED:
        raise ValueError(f"{len(names)} functions: there are {_TRAINED} panels")
    if not names:
        return ["Choose at least one function."]
    shares = _shares([f"Training with {name}" for name in names], [1.0] * len(names))
    trained = {
        name: trained_run(name, as_items(settings[name]), problem, lr, layers, seed, share)
        for name, share in zip(names, shares, strict=True)
    }
    texts = [described(name, settings[name]) for name in names]
    caption = (
        f"{_shape(layers)} network with {', '.join(texts)}; {_TRAIN_INITIALIZER.name} for all, biases 0, the same "
        f"draws; {_EXAMPLES} points of {problem} with noise {number(_SPREAD)}, all in every step, cross-entropy, "
        f"{_TRAIN_OPTIMIZER.name} with learning rate {number(lr)}, {_EPOCHS} epochs; seed {seed}."
    )
    progress.report(1.0, "Trained")
    return [_train_figure(trained, styles, problem, seed, caption), _train_text(trained, texts)]
