"""BatchNorm after training: what a network answers when ``eval()`` is forgotten, and statistics that are stored badly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.describe import counted, percent
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread
from charts.topic import Block, Values, real, whole, word
from core.batchnorm_network import (
    BNParams,
    Order,
    Running,
    accuracy,
    cross_entropy,
    draw_arms,
    evaluate,
    forward,
    observe,
    recalibrate,
    train_network,
)
from core.kept import keep
from core.knobs import Knob, number
from core.streams import stream

Array = np.ndarray

_CLASSES, _NOISE, _TRAIN, _VALIDATION, _TEST = 4, 0.06, 512, 1024, 1024
_SIZES = (2, 24, 24, 24, _CLASSES)
_RATE, _BATCH, _EPS = 0.1, 32, 1e-5
_EVALUATED = tuple(2**k for k in range(9))  # batch sizes; a class has 256 points to test with
_SHUFFLES = 5
_RECORDS = 24  # steps at which the network is looked at
_LEAST_REACH = (0.2, 2.0)  # what the axes of offsets and of ratios show at least, to either side
_NEAR = 0.02  # of the accuracy: what counts as no gap
_DATA, _ORDER = 2, 3  # places of the streams of a seed; weights and batches have 0 and 1


@dataclass(frozen=True)
class _Batches:
    """One way the batches come: how the network is trained, and whether validation follows in training mode."""

    order: Order
    validated: bool
    note: str
    caption: str


_ORDERS = {
    "shuffled": _Batches("shuffled", False, "", "shuffled"),
    "sorted by class": _Batches(
        "sorted by class",
        False,
        "Here the network was trained on batches of one class, normalized each with its own statistics, and it has "
        "not learned to tell the classes apart. Recalibration mends statistics; it cannot mend weights.",
        "sorted by class",
    ),
    "shuffled, then validated in training mode": _Batches(
        "shuffled",
        True,
        f"The last {_VALIDATION // _BATCH} batches are a validation set sorted by class, sent through without "
        "`eval()`. No parameter moved, and yet the stored statistics followed the last classes.",
        f"shuffled, then {_VALIDATION:,} points sorted by class in training mode without updates, in batches of {_BATCH}",
    ),
}

EVALUATION_KNOBS = (
    Knob(
        "eval_weight", "float", 0.1, label="Weight of the new batch in training", low=0.001, high=1.0, log=True,
        symbol="a", help="PyTorch's default is 0.1; that of Keras is 0.01, a momentum of 0.99.",
    ),
    Knob("eval_steps", "int", 200, label="Training steps", low=1, high=400, step=10),
    Knob("eval_order", "choice", "shuffled", label="Batches", choices=tuple(_ORDERS)),
    Knob(
        "eval_recalibrate", "bool", False, label="Recalibrate",
        help="One pass over the training data in training mode that averages the statistics of all batches anew, "
        "as PyTorch's update_bn does. The parameters stay.",
    ),
)  # fmt: skip


# The run


class _Looked(NamedTuple):
    """A trained network, looked at after R numbers of batches; H hidden layers."""

    batches: Array  # (R,), batches seen
    stored: Array  # (R,), accuracy on the test points in evaluation, statistics as stored
    recalibrated: Array  # (R,), with statistics measured anew
    training: Array  # (R,), in training mode, all test points in one batch
    params: BNParams  # at the end
    running: Running  # stored at the end
    anew: Running  # recalibrated at the end
    exact: Running  # of the training data in one batch, at the end
    stored_loss: float
    recalibrated_loss: float
    diverged_at: int


def _points(seed: int, place: int, n: int) -> tuple[Array, Array]:
    """Draw points in random order: they come out along the arms, and a batch would be one stretch of them."""
    rng = stream(seed, _DATA, place)
    points, labels = draw_arms(n, _CLASSES, noise=_NOISE, rng=rng)
    order = rng.permutation(n)
    return points[order], labels[order]


@keep(entries=8)
def _look(weight: float, steps: int, order: str, seed: int, share: progress.Share) -> _Looked:
    """Train a network and look at it on the way."""
    batches = _ORDERS[order]
    x, labels = _points(seed, 0, _TRAIN)
    test, truth = _points(seed, 2, _TEST)
    record = np.unique(np.round(np.linspace(0, steps, min(steps + 1, _RECORDS))).astype(int))
    run = train_network(
        x, labels, _SIZES, normalized=True, learning_rate=_RATE, batch_size=_BATCH, steps=steps, seed=seed,
        batch_seed=seed, momentum=weight, eps=_EPS, order=batches.order, record=tuple(record), report=share.report,
    )  # fmt: skip
    stored = accuracy(evaluate(run.snapshots, run.snapshot_running, test, eps=_EPS), truth)
    anew = recalibrate(run.snapshots, x, batch_size=_BATCH, eps=_EPS)
    recalibrated = accuracy(evaluate(run.snapshots, anew, test, eps=_EPS), truth)
    training = accuracy(forward(run.snapshots, test, eps=_EPS).output, truth)
    running = run.running
    if batches.validated:
        seen = []
        points, classes = _points(seed, 1, _VALIDATION)
        points = points[np.argsort(classes, kind="stable")]
        for begin in range(0, _VALIDATION, _BATCH):
            part = points[begin : begin + _BATCH]
            running = observe(run.params, running, part, batch_size=_BATCH, momentum=weight, eps=_EPS)
            seen.append(float(accuracy(evaluate(run.params, running, test, eps=_EPS), truth)))
        record = np.concatenate([record, steps + 1 + np.arange(len(seen))])
        stored = np.concatenate([stored, seen])
        recalibrated, training = (
            np.concatenate([a, np.full(len(seen), a[-1])]) for a in (recalibrated, training)
        )
    last = recalibrate(run.params, x, batch_size=_BATCH, eps=_EPS)
    return _Looked(
        record,
        stored,
        recalibrated,
        training,
        run.params,
        running,
        last,
        recalibrate(run.params, x, eps=_EPS),
        float(cross_entropy(evaluate(run.params, running, test, eps=_EPS), truth)),
        float(cross_entropy(evaluate(run.params, last, test, eps=_EPS), truth)),
        int(run.diverged_at),
    )


class _Forgotten(NamedTuple):
    """Accuracy in training mode, by classes in a batch, over (batch sizes, shuffles)."""

    accuracy: dict[int, Array]


_COMPOSITIONS = {_CLASSES: "all classes", 2: "two classes", 1: "one class"}
_COMPOSITION_HUES = {_CLASSES: "vermilion", 2: "purple", 1: "ochre"}


@keep(entries=8)
def _forget(weight: float, steps: int, order: str, seed: int, share: progress.Share) -> _Forgotten:
    """Send the test points through the trained network in training mode, in batches of several sizes and kinds."""
    params = _look(weight, steps, order, seed, share).params
    test, truth = _points(seed, 2, _TEST)
    found = {}
    for classes in _COMPOSITIONS:
        orders = []
        for k in range(_SHUFFLES):
            shuffled = stream(seed, _ORDER, k).permutation(_TEST)
            # Classes that share a batch are shuffled among themselves: (0, 1, …) first, then the next ones.
            orders.append(shuffled[np.argsort(truth[shuffled] // classes, kind="stable")])
        index = np.stack(orders)
        right = []
        for size in _EVALUATED:
            batches = index.reshape(_SHUFFLES, -1, size)
            output = forward(params, test[batches], eps=_EPS).output
            right.append(accuracy(output, truth[batches]).mean(axis=-1))
        found[classes] = np.array(right)
    return _Forgotten(found)


# Forgotten eval()


@lru_cache(maxsize=16)
def _forgotten_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (160 if narrow else 170)
    x = alt.X(
        "size:Q", title="points in an evaluation batch",
        scale=alt.Scale(type="log", base=2, domain=[1, _EVALUATED[-1]], nice=False),
        axis=alt.Axis(grid=False, values=list(_EVALUATED), labelExpr="format(datum.value, 'd')", labelOverlap=narrow),
    )  # fmt: skip
    y = alt.Y("y:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    lines = alt.Chart(named("lines"))
    flat = alt.Chart(named("flat"))
    chart = compose.layer(
        lines.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=theme.color(), detail="line:N"
        ),
        flat.mark_rule(strokeWidth=theme.LINE).encode(
            y=y, color=theme.color(), strokeDash=theme.dash(), opacity=theme.SHOWN
        ),
        lines.mark_line().encode(x=x, y=y, color=theme.color(), detail="line:N"),
        lines.mark_point(filled=True, size=30, opacity=1).encode(
            x=x,
            y=y,
            color=theme.color(),
            tooltip=[
                alt.Tooltip("line:N", title="batches"),
                alt.Tooltip("size:Q", title="points"),
                alt.Tooltip("y:Q", title="right", format=".1%"),
            ],
        ),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink")),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text="accuracy:N", color=theme.ink("ink")),
        width=inner,
        height=240 if narrow else 280,
        name="accuracy",
    )
    return assemble(chart, theme.config())


def _setting(weight: float, steps: int, order: str, seed: int) -> str:
    """State everything that the network depends on, for a caption."""
    return (
        f"{_CLASSES} classes, the arms of a spiral of 0.6 turns, noise {number(_NOISE)}; {_TRAIN} points to train on, "
        f"{_TEST:,} to test; network {'-'.join(map(str, _SIZES))}, ReLU, He, BatchNorm before every ReLU, ε 1e−5; SGD, "
        f"η {number(_RATE)}, batches of {_BATCH}, {counted(steps, 'step')}, {_ORDERS[order].caption}; weight of the new batch "
        f"{number(weight)}, PyTorch's convention; seed {seed}"
    )


def _forgotten_figure(look: _Looked, found: _Forgotten, recalibrated: bool, setting: str) -> Figure:
    sizes = np.array(_EVALUATED)
    flat = [("evaluation", float(look.stored[-1]), "blue", 0, True)]
    flat.append(("recalibrated", float(look.recalibrated[-1]), "green", 1, recalibrated))
    flat.append(("chance", 1 / _CLASSES, "muted", 2, True))
    shown = [line for line in flat if line[-1]]
    lines: list[Part] = []
    ends = [(name, y, use) for name, y, use, _, _ in shown]
    for classes, name in _COMPOSITIONS.items():
        values = found.accuracy[classes]
        slot = theme.SLOTS[_COMPOSITION_HUES[classes]]
        lines.append(
            {"size": sizes, "y": values.mean(axis=1), "low": values.min(axis=1), "high": values.max(axis=1),
             "line": name, "slot": np.int8(slot)}
        )  # fmt: skip
        ends.append((name, float(values[-1].mean()), _COMPOSITION_HUES[classes]))
    return Figure(
        name="batchnorm/forgotten_eval",
        build=_forgotten_spec,
        data={
            "lines": rows(*lines),
            "flat": rows(
                y=[y for _, y, _, _, _ in flat],
                slot=[theme.SLOTS[use] for _, _, use, _, _ in flat],
                dash=[dash for _, _, _, dash, _ in flat],
                shown=[visible for *_, visible in flat],
            ),
            "theory": rows(size=[1], y=[1 / _CLASSES]),
            "ends": rows(
                y=spread(np.array([y for _, y, _ in ends]), 0.065, 0.0, 1.0),
                label=[name for name, _, _ in ends],
                slot=[theme.SLOTS[use] for _, _, use in ends],
                shown=True,
            ),
            "titles": rows(accuracy=["Test points classified right"]),
        },
        title="A network whose eval() was forgotten",
        caption=(
            f"{setting}; evaluation with the statistics as stored{', and with recalibrated ones' if recalibrated else ''}. "
            f"In training mode {_SHUFFLES} shuffles of the test points."
        ),
        key=(
            "Flat: evaluation, where the batch does not matter. Curves: training mode with batches of all, two or one of the "
            "classes, mean over the shuffles; bands: lowest to highest. Small dot: theory for a single point."
        ),
        alt="Accuracy against the size of the evaluation batch: flat in evaluation, three curves in training mode.",
    )


def _forgotten_text(look: _Looked, found: _Forgotten) -> str:
    evaluated = float(look.stored[-1])
    mixed, one = (found.accuracy[classes].mean(axis=1) for classes in (_CLASSES, 1))
    single = float(mixed[0])
    middle = _EVALUATED.index(8)
    text = (
        f"In evaluation **{percent(evaluated)}** of the test points come out right, whatever batch they arrive in. "
        f"With `eval()` forgotten it is {percent(float(mixed[-1]))} in batches of {_EVALUATED[-1]} of all classes, "
        f"{percent(float(mixed[middle]))} in batches of {_EVALUATED[middle]}, and {percent(single)} one at a time: "
        f"a single point minus its own mean is 0, so all points get the same logits, and one class of {_CLASSES} is "
        f"right, {percent(1 / _CLASSES)} in theory. In batches of one class it is {percent(float(one.min()))} to "
        f"{percent(float(one.max()))}, however large they are"
    )
    text += (
        ": normalized with its own mean and variance, one class takes the place of all."
        if float(one.max()) < evaluated - 0.1
        else "."
    )
    above = mixed > evaluated + _NEAR
    if above.any() and float(look.recalibrated[-1]) > evaluated + 0.1:
        size = _EVALUATED[int(np.argmax(above))]
        text += (
            f" In batches of {size} of all classes forgetting `eval()` even looks better than evaluation, "
            f"{percent(float(mixed[_EVALUATED.index(size)]))}: the stored statistics are off, as the next figure shows."
        )
    return text


# Stored statistics


@lru_cache(maxsize=16)
def _stored_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 170 if narrow else round((width - 330) * 0.46)
    right = width - 80 if narrow else (width - 330 - left) // 2
    tall = 170 if narrow else 260

    def heading(name: str) -> Panel:
        return (
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
        )

    x = alt.X(
        "batch:Q", title="batches seen", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickMinStep=1)
    )
    y = alt.Y("y:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    curves = alt.Chart(named("curves"))
    end = alt.Chart(named("trained"))
    history = compose.layer(
        end.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(
            x=x, color=theme.ink("muted"), opacity=theme.SHOWN
        ),
        end.mark_text(align="right", baseline="bottom", dx=-5, fontSize=theme.SMALL_SIZE).encode(
            x=x, y=alt.value(tall - 4), text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN
        ),
        curves.mark_line().encode(
            x=x,
            y=y,
            detail="line:N",
            color=theme.color(),
            strokeDash=theme.dash(),
            opacity=theme.SHOWN,
        ),
        alt.Chart(named("curve_ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(left), y=y, text="label:N", color=theme.color(), opacity=theme.SHOWN),
        heading("history"),
        width=left,
        height=tall,
        name="history",
    )

    layer = alt.X(
        "place:Q", title="layer",
        scale=alt.Scale(domain=[0.5, len(_SIZES) - 1.5], nice=False),
        axis=alt.Axis(grid=False, values=list(range(1, len(_SIZES) - 1)), format="d"),
    )  # fmt: skip

    def units(name: str, scale: alt.Scale, axis: alt.Axis) -> Panel:
        value = alt.Y(f"{name}:Q", title=None, scale=scale, axis=axis)
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=value),
            alt.Chart(named("exact"))
            .mark_rule(strokeDash=[6, 4], strokeWidth=1.3)
            .encode(y=value, color=theme.ink("ink")),
            alt.Chart(named("units"))
            .mark_point(filled=True, size=22)
            .encode(
                x=layer,
                y=value,
                color=theme.color(),
                opacity=alt.condition("datum.shown", alt.value(0.8), alt.value(0)),
            ),
            heading(name),
            width=right,
            height=tall,
            name=name,
        )

    mean = units("mean", alt.Scale(nice=False), alt.Axis())
    ratio = units(
        "ratio",
        alt.Scale(type="log", nice=False),
        alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )
    panels = (history, mean, ratio)
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    return assemble(join(*panels, spacing=gap, resolve={"color": "shared"}), theme.config())


class _Offsets(NamedTuple):
    """How far statistics are from exact ones, every unit of every layer: arrays of length units."""

    place: Array  # on the axis of layers
    mean: Array  # (mean − exact mean)/exact standard deviation
    ratio: Array  # variance/exact variance


def _offsets(running: Running, exact: Running) -> _Offsets:
    places, means, ratios = [], [], []
    for h, (here, true) in enumerate(zip(running, exact, strict=True), start=1):
        count = len(true.mean)
        kept = true.var > 0  # a unit whose z never varies has no standard deviation to measure in
        with np.errstate(divide="ignore", invalid="ignore"):
            means.append(np.where(kept, (here.mean - true.mean) / np.sqrt(true.var), np.nan))
            ratios.append(np.where(kept & (here.var > 0), here.var / true.var, np.nan))
        places.append(h + 0.7 * ((np.arange(count) + 0.5) / count - 0.5))
    return _Offsets(*(np.concatenate(part) for part in (places, means, ratios)))


def _reach(offsets: Sequence[_Offsets]) -> Frame:
    """Return the ends of both axes, the same with and without recalibration, a little beyond the points."""
    mean = np.concatenate([[_LEAST_REACH[0]], *(1.08 * np.abs(o.mean) for o in offsets)])
    logs = np.concatenate([[math.log(_LEAST_REACH[1])], *(1.08 * np.abs(np.log(o.ratio)) for o in offsets)])
    far, factor = float(np.nanmax(mean)), math.exp(float(np.nanmax(logs)))
    return rows(mean=[-far, far], ratio=[1 / factor, factor])


def _stored_figure(look: _Looked, recalibrated: bool, steps: int, setting: str) -> Figure:
    curves = (
        ("training mode", look.training, "vermilion", 0, True),
        ("as stored", look.stored, "blue", 0, True),
        ("recalibrated", look.recalibrated, "green", 1, recalibrated),
    )
    shown = [curve for curve in curves if curve[-1]]
    recalibration = (
        f"Recalibrated: average over the training data in batches of {_BATCH}. " if recalibrated else ""
    )
    kinds = (("blue", look.running, True), ("green", look.anew, recalibrated))
    offsets = [(use, _offsets(running, look.exact), visible) for use, running, visible in kinds]
    last = int(look.batches[-1])
    return Figure(
        name="batchnorm/recalibration",
        build=_stored_spec,
        data={
            "curves": rows(
                *(
                    {"batch": look.batches, "y": y, "line": name, "slot": theme.SLOTS[use], "dash": dash,
                     "shown": visible}
                    for name, y, use, dash, visible in curves
                )
            ),
            "curve_ends": rows(
                y=spread(np.array([float(y[-1]) for _, y, *_ in shown]), 0.085, 0.0, 1.0),
                label=[name for name, *_ in shown],
                slot=[theme.SLOTS[use] for _, _, use, _, _ in shown],
                shown=True,
            ),
            "trained": rows(batch=[steps], label="validation", shown=last > steps),
            "units": rows(
                *(
                    {"place": o.place, "mean": o.mean, "ratio": o.ratio, "slot": np.int8(theme.SLOTS[use]),
                     "shown": visible}
                    for use, o, visible in offsets
                )
            ),
            "exact": rows(mean=[0.0], ratio=[1.0]),
            "reach": _reach([o for _, o, _ in offsets]),
            "titles": rows(
                history=["Test points classified right"],
                mean=["Mean less the exact, in σ"],
                ratio=["Variance over the exact"],
            ),
        },
        title="Running statistics, and what recalibration makes of them",
        caption=(
            f"{setting}. Test points classified right: at {counted(len(look.batches), 'number')} of batches; in training "
            f"mode all test points are one batch. {recalibration}"
            "Mean and variance: every unit at the end; exact: the training data as one batch."
        ),
        key=f"Blue: as stored. {'Green: recalibrated. ' if recalibrated else ''}Dashed, over the layers: exact.",
        alt="Accuracy while training; the error of every unit's stored mean and variance by layer.",
    )  # fmt: skip


def _off(offsets: _Offsets) -> str:
    """Say how far statistics are from the exact ones."""
    ratio = offsets.ratio[np.isfinite(offsets.ratio)]
    mean = np.abs(offsets.mean[np.isfinite(offsets.mean)])
    if not len(ratio) or not len(mean):
        return "nowhere defined"
    return (
        f"off by up to {number(float(mean.max()))} σ in the mean, and the variance is {number(float(ratio.min()))} to "
        f"{number(float(ratio.max()))} of the exact one"
    )


def _stored_text(look: _Looked, recalibrated: bool, weight: float, order: str) -> str:
    seen = int(look.batches[-1])
    gap = look.recalibrated - look.stored
    worst = int(np.argmax(gap))
    before = (
        f"After {counted(seen, 'batch')} the stored statistics are {_off(_offsets(look.running, look.exact))}. They look "
        f"back over about 1/a = {counted(1 / weight, 'batch')}, of the network as it was then, and the start still has "
        f"the weight $(1-a)^{{{seen}}}$ = {number((1 - weight) ** seen)}. Evaluation gets **{percent(float(look.stored[-1]))}** "
        f"right (loss {number(look.stored_loss)})"
    )
    if recalibrated:
        text = (
            f"{before}; recalibrated, **{percent(float(look.recalibrated[-1]))}** (loss "
            f"{number(look.recalibrated_loss)}), with statistics {_off(_offsets(look.anew, look.exact))}. "
            "No parameter has changed."
        )
        if gap[worst] > _NEAR:
            text += (
                f" Along the run recalibration gains most at batch {int(look.batches[worst])}: from "
                f"{percent(float(look.stored[worst]))} to {percent(float(look.recalibrated[worst]))}."
            )
    else:
        text = (
            f"{before}, training mode {percent(float(look.training[-1]))} with all test points in one batch."
        )
        between = look.training - look.stored
        widest = int(np.argmax(between))
        if between[widest] > _NEAR:
            text += (
                f" The two are furthest apart at batch {int(look.batches[widest])}: "
                f"{percent(float(look.stored[widest]))} against {percent(float(look.training[widest]))}."
            )
    note = _ORDERS[order].note
    text += f" {note}" if note else ""
    if look.diverged_at >= 0:
        text += f" The training run is not finite from step {look.diverged_at} on."
    return text


def evaluation_blocks(values: Values) -> Sequence[Block]:
    """Train a small classifier with BatchNorm, then use it wrongly: ``eval()`` forgotten, statistics stored badly.

    Args:
        values: the page's; those of ``EVALUATION_KNOBS`` and the seed act.

    Returns:
        two figures, each with a lead and a reading.
    """
    weight, steps = real(values, "eval_weight"), whole(values, "eval_steps")
    order, seed = word(values, "eval_order"), whole(values, "seed")
    recalibrated = bool(values["eval_recalibrate"])
    share = progress.Share(0.0, 1.0, "Training a network with BatchNorm")
    look = _look(weight, steps, order, seed, share)
    found = _forget(weight, steps, order, seed, share)
    setting = _setting(weight, steps, order, seed)
    return [
        "**Forgotten `eval()`.** A trained network answers in training mode: what a point is taken for depends on "
        "its company. How large must a batch be, and what must be in it, to do no harm?",
        _forgotten_figure(look, found, recalibrated, setting),
        _forgotten_text(look, found),
        "**Statistics as stored.** Evaluation is only as good as the running mean and variance. They lag behind the "
        "weights when the weight of the new batch is small or the run short; one pass over the data mends them.",
        _stored_figure(look, recalibrated, steps, setting),
        _stored_text(look, recalibrated, weight, order),
    ]
