"""The tabs of the initialization page that train: units that start equal, and stacks that learn or do not."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.describe import described
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS, Initializer
from core.kept import keep
from core.knobs import Knob, number
from core.network import Params, init_network, train
from core.optimizers import OPTIMIZERS
from core.propagation import propagate_theory
from core.properties import properties
from core.streams import stream
from core.symmetry import (
    COIN,
    ONE_UNIT,
    STARTS,
    TOLERANCE,
    OneUnit,
    SymmetryRun,
    distinct_units,
    first_step,
    one_unit_theory,
    spread_theory,
    train_xor,
)

Array = np.ndarray
Settings = Mapping[str, float]
Items = tuple[tuple[str, float], ...]  # settings that a cache can look up

SYMMETRY_STEPS = 2000
_NOISY, _EQUAL = "constant + noise", "constant"  # the starts that have a theory
_START_STYLES = theme.styles(
    STARTS,
    fixed={
        "zeros": ("indigo", 2),
        "constant": ("indigo", 0),
        "constant + noise": ("green", 0),
        "random": ("vermilion", 0),
    },
)
_TRACK = 64  # points of a unit's track
_DRAWN = np.unique(
    np.concatenate([np.arange(0, 20, 2), np.geomspace(20, 200, 24), np.linspace(200, SYMMETRY_STEPS, 73)])
    .round()
    .astype(int)
)
_DOTTED = np.unique(
    np.concatenate([[0, 25, 50, 75, 100, 150], np.linspace(200, SYMMETRY_STEPS, 19)]).astype(int)
)
_FARTHEST = 1e4  # weights up to which tracks are drawn
_LINEAR = 0.5  # differences up to which the theory of small ones is drawn

WIDTH, POINTS, STEPS = 32, 32, 150
DEPTHS = (1, 2, 4, 8, 12, 16, 20, 30, 40)
_NOISE, _EVERY = 0.05, 5
_ROOMY = 900  # pixels from which the lines of the loss have room for a long text
_DATA = 2  # place of the stream of the data; weights and batches have 0 and 1
_MOST = 6
_LEARNED = 0.99 * COIN  # a stack has learned something if its loss ends below
_HIGHEST = 10.0  # losses above it are said, not drawn
_LOWEST = 1e-4

SYMMETRY_KNOBS = (
    Knob("symmetry", "choice", "constant + noise", label="Weights at the start", choices=tuple(STARTS)),
    Knob(
        "symmetry_constant", "float", 1.0, label="Constant", low=0.2, high=2.0, step=0.1, symbol="c",
        help="What equal weights are equal to; random ones have it as their standard deviation.",
    ),
    Knob(
        "noise", "float", 1e-3, label="Noise", low=1e-8, high=1.0, log=True, symbol="ε",
        help="Standard deviation of what is added to the constant.",
    ),
    Knob("symmetry_lr", "float", 0.2, label="Learning rate", low=0.01, high=5.0, log=True, symbol="η"),
    Knob("symmetry_units", "int", 8, label="Hidden units", low=2, high=16, step=1, symbol="H"),
)  # fmt: skip
INIT_TRAIN_KNOBS = (
    Knob("train_depth", "int", 20, label="Hidden layers", low=1, high=40, step=1, cap="depth"),
    Knob("train_problem", "choice", "circles", label="Problem", choices=tuple(DATASETS)),
    Knob("train_rate", "float", 0.05, label="Learning rate", low=0.001, high=1.0, log=True, symbol="η"),
)


def _items(settings: Settings) -> Items:
    return tuple(sorted(settings.items()))


# Ticks at powers of ten alone, which is what a low panel has room for.
_POWERS = alt.Axis(
    values=[float(f"1e{e}") for e in range(-12, 10)],
    labelExpr=theme.POWER,
    gridOpacity=theme.POWER_GRID,
)


def _log_extent(values: Array, low: float, high: float) -> tuple[float, float]:
    """Return the window of a log axis that holds ``low``, ``high`` and every value between the axis' limits."""
    seen = values[np.isfinite(values) & (values > 0)]
    return float(min([low, *seen])), float(max([high, *seen]))


def _log_spread(positions: Array, gap: float, low: float, high: float) -> Array:
    """Move labels apart on a log axis; ``gap`` is a share of its length."""
    a, b = math.log10(low), math.log10(high)
    logs = np.log10(np.clip(np.nan_to_num(positions, nan=low, posinf=high), low, high))
    return np.asarray(10.0 ** spread(logs, gap * (b - a), a, b))


# Symmetry


class _Symmetric(NamedTuple):
    """The four starts side by side, and the theory of the equal ones."""

    run: SymmetryRun
    theory: OneUnit
    predicted: Array  # (T+1,), the largest difference between two units for "constant + noise"
    tenth: int | None  # the step at which a tenth of the noise would have told units apart


@keep(entries=16)
def _symmetric(
    activation: str, knobs: Items, units: int, constant: float, noise: float, lr: float, seed: int
) -> _Symmetric:
    entry = ACTIVATIONS[activation]
    progress.report(0.0, f"Training {len(STARTS)} networks")
    run = train_xor(
        entry, list(STARTS.values()), units=units, constant=constant, noise=noise, lr=lr, steps=SYMMETRY_STEPS,
        seed=seed, knobs=dict(knobs),
    )  # fmt: skip
    progress.report(0.6, "Following one unit")
    theory = one_unit_theory(
        entry, units=units, constant=constant, lr=lr, steps=SYMMETRY_STEPS, knobs=dict(knobs)
    )
    predicted = spread_theory(theory, run.units[0, _place(_NOISY)])
    return _Symmetric(run, theory, predicted, first_step(predicted / 10 > TOLERANCE))


def _place(start: str) -> int:
    return list(STARTS).index(start)


@lru_cache(maxsize=64)
def _monotone(activation: str, knobs: Items) -> bool:
    return properties(ACTIVATIONS[activation], dict(knobs)).monotone


_ROWS = ("distinct", "spread", "loss")


@lru_cache(maxsize=16)
def _symmetry_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 76 if narrow else round(0.4 * width)
    inner = width - 192 if narrow else width - left - 232
    tall = 124
    extent = alt.Chart(named("extent")).mark_point(opacity=0).encode(color=theme.ink("muted"))

    def plane(field: str) -> alt.Scale:
        return alt.Scale(zero=False, nice=False)

    x = alt.X("w1:Q", title="w₁", scale=plane("w1"), axis=alt.Axis(tickCount=5))
    y = alt.Y("w2:Q", title="w₂", scale=plane("w2"), axis=alt.Axis(tickCount=5))
    tracks = compose.layer(
        extent.encode(x=alt.X("w1:Q", scale=plane("w1")), y=alt.Y("w2:Q", scale=plane("w2"))),
        alt.Chart(named("tracks"))
        .mark_line(strokeWidth=1.5, opacity=0.6)
        .encode(x=x, y=y, detail="unit:N", order="step:Q", color=theme.color()),
        alt.Chart(named("begins"))
        .mark_point(filled=False, size=42, strokeWidth=1.4, opacity=1)
        .encode(x=x, y=y, color=theme.ink("muted")),
        alt.Chart(named("ends"))
        .mark_point(filled=True, size=46, opacity=1)
        .encode(x=x, y=y, color=theme.color(), tooltip=[alt.Tooltip("note:N", title="at the end")]),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=7, dy=12, fontSize=theme.SMALL_SIZE + 0.5, fontWeight=600)
        .encode(x=x, y=y, text="label:N", color=theme.color()),
        _title("tracks"),
        width=left,
        height=left if narrow else 3 * tall + 84,
        name="tracks",
    )

    def panel(name: str) -> Panel:
        last = name == _ROWS[-1]
        step = alt.X(
            "step:Q",
            title="step" if last else None,
            scale=alt.Scale(nice=False, zero=True),
            axis=alt.Axis(grid=False, labels=last, ticks=last),
        )
        if name == "distinct":
            height = alt.Y(
                f"{name}:Q",
                title=None,
                scale=alt.Scale(nice=False, zero=True),
                axis=alt.Axis(tickMinStep=1, tickCount=4, format="d"),
            )
        else:
            height = alt.Y(
                f"{name}:Q",
                title=None,
                scale=alt.Scale(type="log", nice=False),
                axis=_POWERS,
            )
        lines = alt.Chart(named("lines"))
        layers = [
            extent.encode(y=height),
            alt.Chart(named(f"{name}_rules"))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1)
            .encode(y=height, color=theme.ink("muted"), opacity=theme.SHOWN),
            alt.Chart(named(f"{name}_rules"))
            .mark_text(align="right", dx=-3, dy=-7 if name == "loss" else 9, fontSize=theme.SMALL_SIZE - 0.5)
            .encode(
                x=alt.value(inner),
                y=height,
                text=f"{'short' if width < _ROOMY else 'label'}:N",
                color=theme.ink("muted"),
                opacity=theme.SHOWN,
            ),
            lines.transform_filter("!datum.chosen")
            .mark_line(strokeWidth=1.2, opacity=0.75)
            .encode(x=step, y=height, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            lines.transform_filter("datum.chosen")
            .mark_line(strokeWidth=theme.LINE + 0.4)
            .encode(x=step, y=height, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        ]
        if name != "distinct":
            layers.append(
                alt.Chart(named(f"{name}_theory"))
                .mark_point(filled=True, size=theme.DOT, opacity=1)
                .encode(x=step, y=height, color=theme.ink("ink"), opacity=theme.SHOWN)
            )
        layers += [
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=height, text="label:N", color=theme.color()),
            _title(name),
        ]
        return compose.layer(*layers, width=inner, height=tall, name=name)

    column = compose.below(*(panel(name) for name in _ROWS), spacing=14)
    join = compose.below if narrow else compose.beside
    return assemble(join(tracks, column, resolve={"color": "shared", "strokeDash": "shared"}), theme.config())


def _title(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _along(units: Array) -> Array:
    """Pick the steps at which tracks are drawn, evenly along the way that all units go together: (T+1, H, 4) → (n,)."""
    moves = np.sqrt(((np.diff(units[..., :2], axis=0)) ** 2).sum(axis=(-2, -1)))
    way = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(moves), moves, 0.0))])
    picked = np.interp(np.linspace(0.0, way[-1], _TRACK), way, np.arange(len(way)))
    return np.unique(np.concatenate([[0, len(way) - 1], picked.round()]).astype(int))


def _groups(units: Array) -> list[list[int]]:
    """Return which units are one, at one step: (H, 4) → lists of their numbers."""
    groups: list[list[int]] = []
    for unit in range(len(units)):
        joined = [g for g in groups if distinct_units(units[[*g, unit]]) == distinct_units(units[g])]
        groups = [g for g in groups if g not in joined] + [[*(u for g in joined for u in g), unit]]
    return groups


def _symmetry_figure(found: _Symmetric, start: str, caption: str, monotone: bool) -> Figure:
    run, at = found.run, _place(start)
    units = run.units[:, at]
    style = _START_STYLES[start]
    slot = np.int8(style.slot)
    # A run that is on its way to overflow is drawn as far as there is something to see.
    gone = first_step(np.asarray(~(np.abs(units) <= _FARTHEST).all(axis=(-2, -1))))
    last = len(units) - 1 if gone is None else max(gone - 1, 0)
    until = "" if gone is None else f", to step {last}"
    steps = _along(units[: last + 1])
    count = units.shape[1]
    tracks: list[Part] = [
        {"step": steps.astype(np.int16), "w1": units[steps, unit, 0], "w2": units[steps, unit, 1],
         "unit": np.int8(unit), "slot": slot}
        for unit in range(count)
    ]  # fmt: skip
    ends = []
    for group in _groups(units[last]):
        center = units[last, group].mean(axis=0)
        noun = "1 unit" if len(group) == 1 else f"{len(group)} units"
        ends.append((center[0], center[1], "" if len(group) == 1 else noun, noun))
    flat = units[: last + 1, :, :2][steps].reshape(-1, 2)
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2
    half = max(0.58 * float((flat.max(axis=0) - flat.min(axis=0)).max()), 0.05)

    lines: list[Part] = []
    for s, name in enumerate(STARTS):
        look = _START_STYLES[name]
        values = {"spread": run.spread[_DRAWN, s], "loss": run.loss[_DRAWN, s]}
        kept = {
            key: np.where(np.isfinite(v) & (v > 1e-12) & (v < 1e9), v, np.nan) for key, v in values.items()
        }
        count_of = run.distinct[_DRAWN, s].astype(float)
        lines.append(
            {"step": _DRAWN.astype(np.int16), "distinct": np.where(count_of > 0, count_of, np.nan), **kept,
             "name": name, "slot": np.int8(look.slot), "dash": np.int8(look.dash), "chosen": name == start}
        )  # fmt: skip
    if not np.isfinite(np.asarray(lines[at]["spread"], float)).any():
        # A log axis needs a value: a line through one point, which draws nothing.
        lines.append(
            {**lines[at], "step": [0], "distinct": np.nan, "spread": TOLERANCE, "loss": np.nan, "name": ""}
        )
    drawn = rows(*lines)
    bottom, top = _log_extent(drawn.numbers("spread"), TOLERANCE / 10, 2.0)
    least, most = _log_extent(drawn.numbers("loss"), 0.1, 2.0)
    # Where a run has overflowed there is no last value; its name goes to the top.
    died = dict(zip(STARTS, run.diverged_at.tolist(), strict=True))
    final = {row: np.where(run.diverged_at < 0, getattr(run, row)[-1], np.inf) for row in _ROWS}
    linear = _small(found.predicted, bottom)
    loss = found.theory.loss[_DOTTED]
    inside = np.isfinite(loss) & (loss >= least) & (loss <= most)
    slots = [_START_STYLES[name].slot for name in STARTS]
    heights = {
        "distinct": spread(np.minimum(final["distinct"], count), 0.125 * count, 0.0, count),
        "spread": _log_spread(final["spread"], 0.125, bottom, top),
        "loss": _log_spread(final["loss"], 0.125, least, most),
    }
    names = [name if died[name] < 0 else f"{name}: NaN at {died[name]}" for name in STARTS]
    # A log axis has no 0.
    zeros = [f"{name}: 0" if last == 0 else name for name, last in zip(names, final["spread"], strict=True)]
    differ, least_of_one = f"{number(TOLERANCE)}: units differ", number(ONE_UNIT, 4)
    floors = f"ln 2; below it {least_of_one}, the least for one unit"
    return Figure(
        name="initialization/symmetry",
        build=_symmetry_spec,
        data={
            "tracks": rows(*tracks),
            "begins": rows(w1=units[0, :, 0], w2=units[0, :, 1]),
            "ends": rows(
                w1=[e[0] for e in ends], w2=[e[1] for e in ends], label=[e[2] for e in ends], note=[e[3] for e in ends],
                slot=slot,
            ),
            "extent": rows(
                w1=[middle[0] - half, middle[0] + half], w2=[middle[1] - half, middle[1] + half],
                distinct=[0.0, count * 1.08], spread=[bottom, top], loss=[least, most],
            ),
            "lines": drawn,
            "distinct_rules": rows(distinct=[0.0], label="", short="", shown=False),
            "spread_rules": rows(spread=[TOLERANCE], label=differ, short=differ, shown=True),
            "loss_rules": rows(
                loss=[COIN, ONE_UNIT], label=[floors if monotone else "ln 2", ""],
                short=[f"ln 2; {least_of_one} for one unit" if monotone else "ln 2", ""], shown=[True, monotone],
            ),
            "spread_theory": rows(step=linear, spread=found.predicted[linear], shown=True)
            if len(linear)
            else rows(step=[0], spread=bottom, shown=False),
            "loss_theory": rows(step=_DOTTED[inside], loss=loss[inside], shown=True)
            if inside.any()
            else rows(step=[0], loss=least, shown=False),
            **{
                f"{row}_ends": rows(
                    **{row: heights[row]}, label=zeros if row == "spread" else names, slot=slots
                )
                for row in _ROWS
            },
            "titles": rows(
                tracks=[f"Incoming weights, {start}{until}"],
                distinct=["Units that differ"],
                spread=["Largest difference between two units"],
                loss=["Loss"],
            ),
        },
        title="Hidden units that start equal stay equal",
        caption=caption,
        key=(
            "Weights: open circles start, dots end. By step: the chosen start is the thick line. Small dots: theory, of "
            f"one unit in place of all equal ones and of small differences to first order. Units count as one if w₁, w₂ and "
            f"b agree to {number(TOLERANCE)}. Dashed on the loss: ln 2 = {number(COIN, 4)}, and the least that one unit with "
            "a monotone function can reach."
        ),
        alt=(
            "Left: the two incoming weights of every hidden unit as training moves them. Right, against the step: the number "
            "of units that differ, the largest difference between two, and the loss, one line a start."
        ),
    )  # fmt: skip


def _small(predicted: Array, low: float) -> Array:
    """Pick the steps at which the theory of small differences is drawn: while they are small, and above ``low``."""
    large = first_step(~(predicted <= _LINEAR))
    count = len(predicted) if large is None else large
    steps = np.unique(np.linspace(0, max(count - 1, 0), 14).astype(int))
    return np.asarray(steps[(steps < count) & (predicted[steps] >= low)])


def _same(a: str, b: str) -> str:
    return a if a == b else f"{a} to {b}"


def _count(run: SymmetryRun, start: int) -> str:
    return str(run.distinct[-1, start]) if run.diverged_at[start] < 0 else "NaN"


def _end(run: SymmetryRun, start: int) -> str:
    stopped = int(run.diverged_at[start])
    if stopped >= 0:
        return f"it diverges, and is not finite from step {stopped} on"
    return f"the loss ends at {number(float(run.loss[-1, start]), 4)}"


def _symmetry_text(found: _Symmetric, constant: float, noise: float, units: int, monotone: bool) -> str:
    run, zero, equal, noisy = found.run, _place("zeros"), _place(_EQUAL), _place(_NOISY)
    parts = []
    if run.gradient[zero] == 0:
        away = float(np.max(np.abs(run.loss[:, zero] - COIN)))
        kept = f"stays at {number(COIN, 4)} = ln 2" + (f", within {number(away, 2)}" if away else "")
        parts.append(f"**Zeros**: every gradient is exactly 0, no weight ever moves, and the loss {kept}.")
    else:
        parts.append(
            f"**Zeros**: the largest entry of the first gradient is {number(float(run.gradient[zero]))}; {_end(run, zero)}."
        )
    with np.errstate(invalid="ignore"):
        apart = float(np.nanmax(np.abs(run.loss[:, equal] - found.theory.loss), initial=0.0))
    largest = float(np.nanmax(run.spread[:, equal], initial=0.0))
    exact = (
        "they agree to the last bit at every step"
        if largest == 0
        else f"they differ by at most {number(largest, 2)}"
    )
    parts.append(
        f"**Constant {number(constant)}**: the weights move, but {units} units are one unit, {exact}; "
        f"{_end(run, equal)}. All the way the loss is that of a single unit that trains with {units}η on its outgoing "
        f"weight and η/{units} on the incoming ones, within {number(apart, 2)}."
        + (
            f" On XOR no single unit with a monotone function gets below ¾ ln 3 − ½ ln 2 = {number(ONE_UNIT, 4)}."
            if monotone
            else ""
        )
    )
    measured, expected = first_step(run.spread[:, noisy] > TOLERANCE), first_step(found.predicted > TOLERANCE)
    text = f"**With noise {number(noise)}**, "
    if measured == 0:
        text += f"the units already differ by more than {number(TOLERANCE)} at the start"
    elif measured is None:
        text += (
            f"no difference passes {number(TOLERANCE)} in {SYMMETRY_STEPS} steps, the largest is "
            f"{number(float(np.nanmax(run.spread[:, noisy], initial=0.0)))}"
        )
    else:
        text += f"the first difference passes {number(TOLERANCE)} at step {measured}"
    if measured != 0:
        text += f" (theory: {'not within them' if expected is None else f'step {expected}'})"
        if expected is not None:
            tenth = (
                f"not within {SYMMETRY_STEPS} steps"
                if found.tenth is None
                else f"not before step {found.tenth}"
            )
            text += f"; with a tenth of the noise, theory says, {tenth}"
    if run.diverged_at[noisy] < 0:
        text += f". At the end {int(run.distinct[-1, noisy])} of {units} units differ"
    parts.append(f"{text}; {_end(run, noisy)}.")
    head = ["start", "largest entry of the first gradient", "units that differ, start to end", "loss at the end",
            "not finite from"]  # fmt: skip
    lines = [
        [
            f"**{name}**",
            number(float(run.gradient[s])),
            _same(str(run.distinct[0, s]), _count(run, s)),
            number(float(run.loss[-1, s]), 4),
            "never" if run.diverged_at[s] < 0 else f"step {run.diverged_at[s]}",
        ]
        for s, name in enumerate(STARTS)
    ]
    return "\n\n".join([*parts, table(head, lines)])


def symmetry_blocks(
    start: str,
    constant: float,
    noise: float,
    lr: float,
    units: int,
    activation: str,
    knobs: Settings,
    seed: int,
) -> list[Block]:
    """Train a 2-H-1 network on XOR from four starts and follow its hidden units.

    Args:
        start: an entry of ``STARTS``, whose tracks are drawn.
        constant: what equal weights are equal to.
        noise: standard deviation of what "constant + noise" adds.
        lr: learning rate of gradient descent.
        units: hidden units, 2 to 16.
        activation: an entry of ``ACTIVATIONS``.
        knobs: its settings.
        seed: of the draws.

    Returns:
        the figure and its text.
    """
    found = _symmetric(activation, _items(knobs), units, constant, noise, lr, seed)
    monotone = _monotone(activation, _items(knobs))
    caption = (
        f"2-{units}-1 network with {described(activation, knobs)}, weights: {start}; constant {number(constant)}, noise "
        f"{number(noise)}, random weights N(0, {number(constant)}²), biases 0; the four points of XOR, all in every step, "
        f"cross-entropy, gradient descent with learning rate {number(lr)}, {SYMMETRY_STEPS} steps, float64; seed {seed}."
    )
    blocks: list[Block] = [
        _symmetry_figure(found, start, caption, monotone),
        _symmetry_text(found, constant, noise, units, monotone),
    ]
    progress.report(1.0, "Trained")
    return blocks


# Does it train?


class _Stack(NamedTuple):
    """One depth trained with every scheme."""

    step: Array  # (R,)
    loss: Array  # (R, S)
    accuracy: Array  # (S,), at the end
    diverged_at: Array  # (S,), −1 if never


Schemes = tuple[tuple[str, Items], ...]


def _scheme(name: str, settings: Items) -> Initializer:
    return INITIALIZERS[name].at(**dict(settings))


@keep(entries=128)
def _stack(
    schemes: Schemes,
    activation: str,
    knobs: Items,
    depth: int,
    problem: str,
    lr: float,
    seed: int,
    share: progress.Share,
) -> _Stack:
    points, labels = DATASETS[problem].draw(POINTS, _NOISE, stream(seed, _DATA))
    drawn = [init_network((2, *[WIDTH] * depth, 1), _scheme(name, own), seed=seed) for name, own in schemes]
    # float32, as a framework would: what leaves its range here does so there.
    params = Params(
        tuple(np.stack(w).astype(np.float32) for w in zip(*(p.weights for p in drawn), strict=True)),
        tuple(np.stack(b).astype(np.float32) for b in zip(*(p.biases for p in drawn), strict=True)),
    )
    run = train(
        params,
        points.astype(np.float32),
        labels,
        activation=ACTIVATIONS[activation],
        rule=OPTIMIZERS["GD"].build(lr=lr),
        steps=STEPS,
        knobs=dict(knobs),
        record_every=_EVERY,
        report=share.report,
    )
    return _Stack(run.step, run.loss.astype(float), run.accuracy[-1].astype(float), run.diverged_at)


@lru_cache(maxsize=16)
def _train_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 172 if narrow else round((width - 322) / 2)
    tall = 260 if narrow else 340
    scale = alt.Scale(type="log", nice=False)
    y = alt.Y("loss:Q", title=None, scale=scale, axis=_POWERS)

    def panel(name: str, x: alt.X, lines: list[Panel]) -> Panel:
        coin = alt.Chart(named("coin"))
        return compose.layer(
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
            coin.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(y=y, color=theme.ink("muted")),
            coin.mark_text(align="right", dx=-3, dy=-7, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(inner), y=y, text=f"{name}:N", color=theme.ink("muted")
            ),
            *lines,
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=9, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color()),
            _title(name),
            width=inner,
            height=tall,
            name=name,
        )

    step = alt.X("step:Q", title="step", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(grid=False))
    depth = alt.X(
        "depth:Q",
        title="hidden layers",
        scale=alt.Scale(nice=False, zero=True),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )
    by_depth = alt.Chart(named("depths"))
    left = panel(
        "curves",
        step,
        [
            alt.Chart(named("curves"))
            .mark_line()
            .encode(x=step, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash())
        ],
    )
    right = panel(
        "depths",
        depth,
        [
            alt.Chart(named("here"))
            .mark_rule(strokeDash=[3, 3], strokeWidth=1)
            .encode(x=depth, color=theme.ink("muted")),
            by_depth.mark_line(strokeWidth=1.6).encode(
                x=depth, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            by_depth.mark_point(filled=True, size=22, opacity=1).encode(
                x=depth,
                y=y,
                color=theme.color(),
                opacity=theme.SHOWN,
                tooltip=[
                    alt.Tooltip("name:N", title="scheme"),
                    alt.Tooltip("depth:Q", title="hidden layers"),
                    alt.Tooltip("loss:Q", title="loss at the end", format=".4~g"),
                ],
            ),
            alt.Chart(named("stops"))
            .mark_point(shape="cross", angle=45, filled=True, size=130, opacity=1)
            .encode(
                x=depth,
                y=y,
                color=theme.color(),
                opacity=theme.SHOWN,
                tooltip=[alt.Tooltip("note:N", title="stops learning")],
            ),
        ],
    )
    join = compose.below if narrow else compose.beside
    return assemble(join(left, right, resolve={"color": "shared", "strokeDash": "shared"}), theme.config())


def _drawn(loss: Array) -> Array:
    """Return the losses that the panels show: NaN above, and the lowest one below."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(loss <= _HIGHEST, np.maximum(loss, _LOWEST), np.nan))


class _Sweep(NamedTuple):
    """Every depth, trained with every scheme: D depths, S schemes."""

    depth: Array  # (D,)
    loss: Array  # (D, S), at the end; NaN or above where it diverged
    diverged_at: Array  # (D, S)

    def learned(self) -> Array:
        """Return whether the loss ended more than 1% below that of a coin, (D, S)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.isfinite(self.loss) & (self.loss < _LEARNED))

    def stop(self, scheme: int) -> int | None:
        """Return the index of the depth from which on a scheme learns nothing, None if it learns at the last."""
        able = np.flatnonzero(self.learned()[:, scheme])
        found = int(able[-1]) + 1 if len(able) else 0
        return found if found < len(self.depth) else None


def _train_figure(
    run: _Stack,
    sweep: _Sweep,
    names: Sequence[str],
    styles: Mapping[str, theme.Style],
    here: int,
    caption: str,
) -> Figure:
    curves: list[Part] = []
    depths: list[Part] = []
    left, right, stops = [], [], []
    for s, name in enumerate(names):
        look: Part = {"name": name, "slot": np.int8(styles[name].slot), "dash": np.int8(styles[name].dash)}
        loss, ends = _drawn(run.loss[:, s]), _drawn(sweep.loss[:, s])
        curves.append({"step": run.step.astype(np.int16), "loss": loss, **look})
        depths.append({"depth": sweep.depth.astype(np.int8), "loss": ends, "shown": True, **look})
        slot = styles[name].slot
        died = int(run.diverged_at[s])
        left.append((_or_top(loss[-1]), name if died < 0 else f"{name}: NaN at {died}", slot))
        stop = sweep.stop(s)
        right.append((_or_top(ends[-1]), name if stop is None else f"{name}: {sweep.depth[stop]}", slot))
        if stop is not None:
            fate = int(sweep.diverged_at[stop, s])
            why = f"loss {number(float(sweep.loss[stop, s]))}" if fate < 0 else f"not finite from step {fate}"
            stops.append(
                (int(sweep.depth[stop]), _or_top(ends[stop]), f"{name} at {sweep.depth[stop]}: {why}", slot)
            )
    # A log axis needs a value: a point of a line, which draws nothing.
    if not any(np.isfinite(np.asarray(part["loss"], float)).any() for part in curves):
        curves.append({**curves[0], "step": [0], "loss": COIN, "name": ""})
    if not any(np.isfinite(np.asarray(part["loss"], float)).any() for part in depths):
        depths.append({**depths[0], "depth": [here], "loss": COIN, "name": "", "shown": False})
    drawn, by_depth = rows(*curves), rows(*depths)
    seen = np.concatenate([drawn.numbers("loss"), by_depth.numbers("loss"), [s[1] for s in stops]])
    low, high = _log_extent(seen, 0.1, COIN * 2)

    def placed(ends: Sequence[tuple[float, str, int]]) -> dict[str, object]:
        heights = _log_spread(np.array([min(end, high) for end, _, _ in ends]), 0.052, low, high)
        return {"loss": heights, "label": [e[1] for e in ends], "slot": [e[2] for e in ends]}

    return Figure(
        name="initialization/train",
        build=_train_spec,
        data={
            "curves": drawn,
            "depths": by_depth,
            "stops": rows(
                depth=[s[0] for s in stops], loss=[min(s[1], high) for s in stops], note=[s[2] for s in stops],
                slot=[s[3] for s in stops], shown=True,
            )
            if stops
            else rows(depth=[1], loss=low, note="", slot=theme.MUTED, shown=False),
            "coin": rows(loss=[COIN], curves=["ln 2: a coin"], depths=[""]),
            "here": rows(depth=[here]),
            "extent": rows(loss=[low, high]),
            "curves_ends": rows(**placed(left)),
            "depths_ends": rows(**placed(right)),
            "titles": rows(
                curves=[f"Loss with {here} hidden {'layer' if here == 1 else 'layers'}"],
                depths=["Loss at the end, by depth"],
            ),
        },
        title="Which starts let a deep stack learn",
        caption=caption,
        key=(
            f"By depth: dashed, {here} hidden {'layer' if here == 1 else 'layers'}. Cross, and number after a name: of the "
            f"depths tried, the one from which on no loss ends at least 1% below ln 2. Losses above {number(_HIGHEST)} are not "
            f"drawn, a cross at the top is such a one; those below {number(_LOWEST)} are drawn there."
        ),
        alt=(
            "Left: loss against the step at one depth, one line a scheme. Right: loss after training against the depth, with "
            "a cross where each scheme stops learning."
        ),
    )  # fmt: skip


def _or_top(loss: float) -> float:
    """Put what is not drawn at the top."""
    return float(loss) if math.isfinite(loss) else _HIGHEST


def _factors(schemes: Schemes, activation: str, knobs: Items, depth: int) -> Array:
    """Return what theory multiplies the gradient's rms by in a layer, the geometric mean over the stack: (S,)."""
    theory = propagate_theory(
        ACTIVATIONS[activation],
        [_scheme(name, own) for name, own in schemes],
        depth=depth,
        width=WIDTH,
        knobs=dict(knobs),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.exp(0.5 * np.log(theory.slope).mean(axis=1)))


def _train_text(
    run: _Stack,
    sweep: _Sweep,
    schemes: Schemes,
    activation: str,
    knobs: Items,
    here: int,
    left_out: Sequence[str],
) -> str:
    names = [name for name, _ in schemes]
    factor = _factors(schemes, activation, knobs, here)
    learned = sweep.learned()
    at = int(np.flatnonzero(sweep.depth == here)[0])
    able = [name for s, name in enumerate(names) if learned[at, s]]
    lines, stopped = [], []
    for s, name in enumerate(names):
        stop, died = sweep.stop(s), int(run.diverged_at[s])
        fate = "none"
        gaps = sweep.depth[:stop][~learned[:stop, s]]
        if stop is not None:
            depth = int(sweep.depth[stop])
            fate = str(depth)
            if sweep.diverged_at[stop, s] >= 0:
                fate += f" (not finite from step {sweep.diverged_at[stop, s]})"
            elif factor[s] < 1:
                stopped.append((name, depth, float(factor[s]) ** depth))
        if len(gaps):
            missed = ", ".join(map(str, gaps))
            fate = f"{missed} only" if stop is None else f"{fate}; nor at {missed}"
        lines.append(
            [
                f"**{name}**",
                number(float(factor[s])) if math.isfinite(factor[s]) else "none",
                number(float(run.loss[0, s])),
                number(float(run.loss[-1, s])),
                "–" if math.isnan(run.accuracy[s]) else f"{number(100 * float(run.accuracy[s]))}%",
                "never" if died < 0 else f"step {died}",
                fate,
            ]
        )  # fmt: skip
    noun = "layer" if here == 1 else "layers"
    verb = "learns" if len(able) <= 1 else "learn"
    text = f"With {here} hidden {noun}, {len(able) or 'none'} of {len(names)} schemes {verb}" + (
        f": {', '.join(able)}." if able else "."
    )
    if stopped:
        listed = "; ".join(f"{name} {number(value, 2)} at {depth}" for name, depth, value in stopped)
        text += f" The factor a layer, to the power of the depth at which a scheme stops: {listed}."
    text += (
        f" Gradient descent with one rate for all, one draw of the weights: near its border a depth is a matter of luck. "
        f"Depths tried: {', '.join(map(str, sweep.depth))}."
    )
    if left_out:
        text += f" {_not_trained(left_out)}"
    mean = f", mean over {here} layers" if here > 1 else ""
    head = ["", f"gradient, factor a layer (theory{mean})", "loss at the start", "loss at the end", "points right",
            "not finite from", "depth that stops learning"]  # fmt: skip
    return f"{text}\n\n{table(head, lines)}"


def _not_trained(left_out: Sequence[str]) -> str:
    """Say which schemes of the page this tab leaves out."""
    verb = "is" if len(left_out) == 1 else "are"
    return f"{' and '.join(left_out)} {verb} not trained here."


def init_train_blocks(
    schemes: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    activation: str,
    knobs: Settings,
    depth: int,
    problem: str,
    lr: float,
    seed: int,
    left_out: Sequence[str] = (),
) -> list[Block]:
    """Train the same stack from every scheme, at one depth and at all of ``DEPTHS``.

    Args:
        schemes: up to six entries of ``INITIALIZERS`` with the settings of each.
        styles: hue and dash of each.
        activation: an entry of ``ACTIVATIONS``.
        knobs: its settings.
        depth: hidden layers of the left panel, 1 to 40.
        problem: an entry of ``DATASETS``.
        lr: learning rate of gradient descent.
        seed: of data and weights.
        left_out: schemes of the page that are not among ``schemes``, which the text says.

    Returns:
        the figure and its text; one line of text if no scheme is named.

    Raises:
        ValueError: more than six schemes.
    """
    if len(schemes) > _MOST:
        raise ValueError(f"{len(schemes)} schemes: at most {_MOST}")
    if not schemes:
        choose = f"Choose at least one {'other ' if left_out else ''}scheme."
        return [f"{_not_trained(left_out)} {choose}" if left_out else choose]
    which: Schemes = tuple((name, _items(own)) for name, own in schemes.items())
    tried = sorted({*DEPTHS, depth})
    edges = np.concatenate([[0.0], np.cumsum([2 + d for d in tried])])
    edges /= edges[-1]
    runs = {
        d: _stack(
            which,
            activation,
            _items(knobs),
            d,
            problem,
            lr,
            seed,
            progress.Share(float(a), float(b), f"{d} layers"),
        )
        for d, a, b in zip(tried, edges, edges[1:], strict=False)
    }
    sweep = _Sweep(
        np.array(tried),
        np.array([run.loss[-1] for run in runs.values()]),
        np.array([run.diverged_at for run in runs.values()]),
    )
    names = [
        f"{name} ({', '.join(f'{knob} {number(value)}' for knob, value in own)})" if own else name
        for name, own in which
    ]
    caption = (
        f"{', '.join(names)}; {depth} hidden layers of {WIDTH} with {described(activation, knobs)}, biases 0, the same draws "
        f"for all schemes of a family; {POINTS} points of {problem} with noise {number(_NOISE)}, all in every step, "
        f"cross-entropy, gradient descent with learning rate {number(lr)}, {STEPS} steps, float32; seed {seed}."
    )
    for name, own in which:
        factor = INITIALIZERS[name].at(**dict(own)).multiplier(WIDTH, WIDTH)
        if factor != 1:
            caption += (
                f" {name} trains the product W = {number(factor)} V; steps on V itself would be "
                f"{number(factor**2)} as large."
            )
    progress.report(1.0, "Trained")
    return [
        _train_figure(runs[depth], sweep, [name for name, _ in which], styles, depth, caption),
        _train_text(runs[depth], sweep, which, activation, _items(knobs), depth, left_out),
    ]
