"""The Network tab of the Dropout page: a small network drawn with its masks, and two inputs that say the same."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import percent
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.activations import ACTIVATIONS
from core.dropout_ensemble import MOST_UNITS, expected_distinct, kept_probability
from core.dropout_network import (
    MaskedPass,
    MeanOutput,
    cut_off,
    draw_masks,
    error_without,
    evaluated_pass,
    masked_pass,
    mean_output,
    twins_rate,
    two_twins,
    two_twins_theory,
)
from core.initializers import INITIALIZERS
from core.kept import keep
from core.knobs import Knob, number
from core.network import Params, init_network

Array = np.ndarray

STEPS = 30  # masks to step through; step 0 is evaluation
_INPUT, _TARGET = (1.0, -0.6, 0.8), 1.0
_SCHEME = INITIALIZERS["He normal"]
_STRIDE = 1000  # between the units of two steps in a key
_TRAIN, _EVAL = theme.SLOTS["vermilion"], theme.SLOTS["blue"]  # as in the page's main figure
_POSITIVE, _NEGATIVE = theme.SLOTS["green"], theme.SLOTS["purple"]
_TWIN_STEPS, _TWIN_RUNS, _TWIN_BATCH, _TWIN_EVERY = 120, 200, 32, 6
_BESIDE: Mapping[str, Mapping[str, Any]] = {  # where a name stands beside its point
    "right": {"align": "left", "dx": 8, "dy": -6},
    "left": {"align": "right", "dx": -6, "dy": -8},
    "below": {"align": "right", "dx": 4, "dy": 15},
}
_SAME = 1e-12  # what differs by less is the same up to rounding
_FAR = 10.0  # a weight of a twin beyond this has been thrown there by a single step


@dataclass(frozen=True)
class _View:
    """One picture of the tab, with the knobs that it alone uses."""

    blocks: Callable[[Values], Sequence[Block]]
    knobs: tuple[str, ...]


NETWORK_KNOBS = (
    Knob("net_view", "choice", "masks", label="View", choices=("masks", "redundant inputs")),
    Knob("net_layer1", "int", 6, label="Hidden layer 1", low=1, high=8, step=1, unit="units"),
    Knob("net_layer2", "int", 6, label="Hidden layer 2", low=0, high=8, step=1, unit="units", help="0 leaves it out."),
    Knob("net_layer3", "int", 0, label="Hidden layer 3", low=0, high=8, step=1, unit="units", help="0 leaves it out."),
    Knob("net_activation", "choice", "tanh", label="Activation", choices=("tanh", "ReLU", "identity")),
    Knob(
        "net_input_p", "float", 0.0, label="p_drop of the inputs", low=0.0, high=1.0, step=0.05,
        help="Inputs are dropped less often than hidden units, or not at all.",
    ),
)  # fmt: skip


# Masks


class _Run(NamedTuple):
    sizes: tuple[int, ...]
    rates: tuple[float, ...]
    params: Params
    training: MaskedPass
    evaluation: MaskedPass
    mean: MeanOutput


@keep(entries=8)
def network_run(hidden: tuple[int, ...], activation: str, p: float, input_p: float, seed: int) -> _Run:
    """Draw a network and its masks, and send the input through under each of them."""
    sizes = (len(_INPUT), *hidden, 1)
    rates = (input_p, *(p for _ in hidden))
    params = init_network(sizes, _SCHEME, seed=seed)
    masks = draw_masks(sizes, rates, STEPS, seed)
    phi = ACTIVATIONS[activation]
    return _Run(
        sizes,
        rates,
        params,
        masked_pass(params, _INPUT, [_TARGET], phi, rates=rates, masks=masks),
        evaluated_pass(params, _INPUT, [_TARGET], phi, rates=rates),
        mean_output(params, _INPUT, phi, rates=rates, seed=seed),
    )


@lru_cache(maxsize=16)
def _masks_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 50 if narrow else (width - 96) // 2
    tall = 270 if narrow else 330
    now = alt.param(
        name="now", value=1, bind=alt.binding_range(min=0, max=STEPS, step=1, name="Training step ")
    )
    present = "datum.step == now"
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, 1], range=[30, inner - 30], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], range=[tall - 20, 44], nice=False))
    end_x, end_y = alt.X2("x2:Q"), alt.Y2("y2:Q")
    edges = (
        alt.Chart(named("edges"))
        .transform_calculate(
            from_key=f"datum.source + {_STRIDE} * now", to_key=f"datum.target + {_STRIDE} * now"
        )
        .transform_lookup("from_key", alt.LookupData(named("units"), "key", ["a", "kept"]))
        .transform_lookup("to_key", alt.LookupData(named("units"), "key", ["delta", "alive"]))
        .transform_calculate(
            live="datum.kept && datum.alive", flow="datum.w * datum.a", gradient="datum.a * datum.delta"
        )
    )
    moments = alt.Chart(named("moments")).transform_filter(present)

    def network(name: str, size: str, largest: str) -> Panel:
        """Draw the network with edges as wide as a quantity, in units of its largest size over all steps."""
        units = alt.Chart(named("units")).transform_filter(present)
        live = edges.transform_filter("datum.live").transform_calculate(
            thick=f"min(1, abs(datum.{size}) / datum.{largest})",
            slot=f"datum.{size} > 0 ? {_POSITIVE} : datum.{size} < 0 ? {_NEGATIVE} : {theme.FAINT}",
        )
        tips = [
            alt.Tooltip("w:Q", format=".3~g", title="weight"),
            alt.Tooltip("flow:Q", format=".3~g", title="weight × activation"),
            alt.Tooltip("gradient:Q", format=".3~g", title="dL/dweight"),
        ]
        return compose.layer(
            edges.transform_filter("!datum.live")
            .mark_rule(strokeWidth=1, strokeDash=[1, 4])
            .encode(x=x, y=y, x2=end_x, y2=end_y, color=theme.ink("faint")),
            live.mark_rule(strokeCap="round").encode(
                x=x, y=y, x2=end_x, y2=end_y, color=theme.color(),
                strokeWidth=alt.StrokeWidth(
                    "thick:Q", scale=alt.Scale(domain=[0, 1], range=[0.5, 8]), legend=None
                ),
                opacity=alt.value(0.75), tooltip=tips,
            ),
            # A disk of the ground first, so that no edge runs through a number.
            units.mark_point(shape="circle", size=1040, opacity=1, filled=True).encode(
                x=x, y=y, color=theme.ink("paper")
            ),
            units.transform_filter("datum.kept")
            .mark_point(shape="circle", size=1040, opacity=1, strokeWidth=1.5, filled=False)
            .encode(x=x, y=y, color=theme.ink("ink")),
            units.transform_filter("!datum.kept")
            .mark_point(
                shape="circle", size=1040, opacity=1, strokeWidth=1.2, filled=False, strokeDash=[2, 3]
            )
            .encode(x=x, y=y, color=theme.ink("faint")),
            units.transform_filter("!datum.kept")
            .mark_point(shape="M-1,-1L1,1M1,-1L-1,1", size=110, opacity=1, strokeWidth=1.3)
            .encode(x=x, y=y, color=theme.ink("muted")),
            units.transform_filter("datum.kept")
            .mark_text(fontSize=theme.SMALL_SIZE - 1, baseline="middle")
            .encode(x=x, y=y, text=f"{name}:N", color=theme.color(f"{name}_slot")),
            alt.Chart(named("columns"))
            .transform_filter(present)
            .mark_text(fontSize=theme.SMALL_SIZE, baseline="middle")
            .encode(x=x, y=alt.value(12), text="short:N" if narrow else "label:N", color=theme.ink("muted")),
            moments.mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE).encode(
                x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")
            ),
            width=inner, height=tall, name=name,
        )  # fmt: skip

    low = 130 if narrow else 150
    out = width - 160 if narrow else inner - 104
    count = width - 84 if narrow else inner - 72
    step = alt.X("step:Q", title="training step; 0: evaluation",
                 scale=alt.Scale(domain=[-0.8, STEPS + 0.8], nice=False),
                 axis=alt.Axis(grid=False, values=list(range(0, STEPS + 1, 5))))  # fmt: skip
    value = alt.Y("output:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=5))
    rules = alt.Chart(named("rules"))
    outputs = compose.layer(
        alt.Chart(named("reach")).mark_point(opacity=0).encode(y=value),
        rules.mark_rule(strokeWidth=1.6).encode(y=value, color=theme.color(), strokeDash=theme.dash()),
        alt.Chart(named("outputs")).mark_point(filled=True, size=34, opacity=0.85).encode(
            x=step, y=value, color=theme.color(),
            tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("output:Q", format=".4~g"),
                     alt.Tooltip("loss:Q", format=".4~g")],
        ),
        moments.mark_point(filled=False, size=130, strokeWidth=1.8, opacity=1).encode(
            x=step, y=value, color=theme.ink("ink")
        ),
        rules.mark_text(
            align="left", dx=8, dy=-3, fontSize=theme.SMALL_SIZE + 0.5, lineBreak="\n"
        ).encode(
            x=alt.value(out), y=alt.Y("place:Q"), text="label:N", color=theme.color()
        ),
        _title("output"),
        width=out, height=low, name="outputs",
    )  # fmt: skip
    units_kept = alt.X(
        "k:Q", title="hidden units kept", scale=alt.Scale(nice=False, padding=14),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d", offset=12),
    )  # fmt: skip
    steps = alt.Y("steps:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=4, format="d"))
    bars = alt.Chart(named("kept"))
    kept = compose.layer(
        bars.mark_rule(strokeWidth=9, opacity=0.75).encode(
            x=units_kept, y=steps, y2="zero:Q", color=theme.color()
        ),
        bars.mark_point(filled=True, size=1.6 * theme.DOT, opacity=1).encode(
            x=units_kept, y=alt.Y("expected:Q"), color=theme.ink("ink")
        ),
        moments.mark_point(shape="triangle-up", filled=True, size=70, yOffset=7).encode(
            x=units_kept, y=alt.Y("zero:Q"), color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        _title("kept"),
        width=count,
        height=low,
        name="kept",
    )
    both = (network("forward", "flow", "flow_scale"), network("backward", "gradient", "gradient_scale"))
    shared = {"color": "shared", "strokeDash": "shared"}
    if narrow:  # the networks next to the slider, which stands below
        every = compose.below(outputs, kept, *both, spacing=24, resolve=shared)
    else:
        lower = compose.beside(outputs, kept, spacing=28)
        every = compose.below(compose.beside(*both), lower, spacing=30, resolve=shared)
    return assemble(every, theme.config(), [compose.parameter(now)])


def _title(name: str) -> Panel:
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink"))
    )


def _short(value: float) -> str:
    """Write a number that fits into a unit: two decimals, fewer for large ones; an exact zero is a plain 0."""
    if value == 0 or abs(value) >= 1000:
        return number(value, 2)
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{places}f}".replace("-", "−")


def _places(sizes: Sequence[int]) -> tuple[list[Array], list[Array]]:
    """Return where units stand, x and y of each layer, both within [0, 1]; layers are centered."""
    gap = 1 / max(max(sizes) - 1, 4)
    xs = [np.full(n, layer / (len(sizes) - 1)) for layer, n in enumerate(sizes)]
    ys = [0.5 - gap * (np.arange(n) - (n - 1) / 2) for n in sizes]
    return xs, ys


def _masks_figure(run: _Run, setting: str) -> Figure:
    xs, ys = _places(run.sizes)
    first = np.concatenate([[0], np.cumsum(run.sizes)])
    both = (run.evaluation, run.training)
    masks = [np.concatenate([found.masks[k] for found in both]) for k in range(len(run.sizes) - 1)]
    seen = [np.concatenate([found.activations[k] for found in both]) for k in range(len(run.sizes) - 1)]
    seen.append(np.concatenate([found.output for found in both]))
    kept = np.concatenate(
        [*masks, np.ones((STEPS + 1, 1), dtype=np.bool_)], axis=1
    )  # the output is never dropped
    a = np.concatenate(seen, axis=1)
    delta = np.concatenate(
        [np.concatenate([f.deltas[k] for f in both]) for k in range(len(run.sizes))], axis=1
    )
    count = kept.shape[1]
    step, unit = np.repeat(np.arange(STEPS + 1), count), np.tile(np.arange(count), STEPS + 1)

    edges: list[Part] = []
    flows = [np.abs(s[:, :, None] * w).max() for s, w in zip(seen, run.params.weights, strict=False)]
    slopes = [max(float(np.abs(g).max()) for g in (f.gradient.weights[k] for f in both))
              for k in range(len(run.params.weights))]  # fmt: skip
    for layer, weight in enumerate(run.params.weights):
        source, target = (index.ravel() for index in np.indices(weight.shape))
        edges.append(
            {
                "source": (first[layer] + source).astype(np.int16), "target": (first[layer + 1] + target).astype(np.int16),
                "x": xs[layer][source], "y": ys[layer][source], "x2": xs[layer + 1][target], "y2": ys[layer + 1][target],
                "w": weight.ravel(), "flow_scale": max(flows) or 1.0, "gradient_scale": max(slopes) or 1.0,
            }
        )  # fmt: skip
    columns: list[Part] = []
    for layer in range(len(run.sizes)):
        counts = masks[layer].sum(axis=1) if layer < len(masks) else None
        labels = _counted(run, layer, counts)
        columns.append(
            {"step": np.arange(STEPS + 1), "x": layer / (len(run.sizes) - 1), "label": labels,
             "short": [label.removesuffix(" kept") for label in labels]}
        )  # fmt: skip
    hidden = np.concatenate(masks[1:], axis=1)
    total = hidden.sum(axis=1)
    output = a[:, -1]
    evaluated, mean = float(output[0]), float(run.mean.mean[0])
    low, high = float(min(output.min(), mean)), float(max(output.max(), mean))
    reach = high - low
    if reach <= 1e-9 * max(1.0, abs(high)):  # rounding is no range
        reach = 1.0
        low, high = low - reach / 2, high + reach / 2
    lines = (
        (f"evaluation\n{number(_tidy(evaluated))}", evaluated, _EVAL, 0),
        (f"mean of {_over(run)} masks\n{number(_tidy(mean))}", mean, theme.INK, 1),
    )
    n = hidden.shape[1]
    kinds = theme.INK, theme.MUTED
    return Figure(
        name="dropout/network",
        build=_masks_spec,
        data={
            "units": rows(
                step=step.astype(np.int8), key=(unit + _STRIDE * step).astype(np.int32),
                x=np.concatenate(xs)[unit].astype(np.float32), y=np.concatenate(ys)[unit].astype(np.float32),
                a=a.ravel(), delta=delta.ravel(), kept=kept.ravel(), alive=kept.ravel(),
                forward=[_short(v) for v in a.ravel()], backward=[_short(v) for v in delta.ravel()],
                forward_slot=np.where(a.ravel() != 0, *kinds).astype(np.int8),
                backward_slot=np.where(delta.ravel() != 0, *kinds).astype(np.int8),
            ),
            "edges": rows(*edges),
            "columns": rows(*columns),
            "moments": rows(
                step=np.arange(STEPS + 1), output=output, k=total, zero=0.0, shown=np.arange(STEPS + 1) > 0,
                forward=["Forward in evaluation: all units, no mask",
                         *(f"Forward in step {t}: activations" for t in range(1, STEPS + 1))],
                backward=["Backward without a mask: no training step",
                          *(f"Backward in step {t}: dL/dz, same mask" for t in range(1, STEPS + 1))],
            ),
            "outputs": rows(
                step=np.arange(STEPS + 1), output=output,
                loss=np.concatenate([f.loss for f in both]),
                slot=np.where(np.arange(STEPS + 1) > 0, _TRAIN, _EVAL),
            ),
            "rules": rows(
                output=[y for _, y, _, _ in lines], label=[text for text, *_ in lines],
                place=spread(np.array([y for _, y, _, _ in lines]), 0.3 * reach, low, high),
                slot=[slot for _, _, slot, _ in lines], dash=[dash for *_, dash in lines],
            ),
            "reach": rows(output=[low, high]),
            "kept": rows(
                k=np.arange(n + 1), steps=np.bincount(total[1:], minlength=n + 1), zero=0.0,
                expected=STEPS * kept_probability(n, run.rates[1]), slot=_TRAIN,
            ),
            "titles": rows(output=["Output, mask by mask"], kept=[f"Steps by hidden units kept, of {STEPS}"]),
        },
        title="A small network, its masks and what they let through",
        caption=setting,
        key=(
            "In a unit: forward, its activation as the next layer sees it; backward, dL/dz, at an input dL/dx. Crossed: "
            "dropped. Width of an edge: forward, |weight × activation|; backward, |dL/dweight|; widest where it is largest "
            "over all steps. Green: positive. Purple: negative. Dotted: carries nothing in this step. Output, mask by mask: "
            f"dots, training; dashed, the mean of {_over(run)} masks. Hidden units kept: small dots, binomial theory."
        ),
        alt=(
            "A small network under the mask of one training step, forward and backward; its output under every mask beside "
            "evaluation; and how many hidden units the masks keep."
        ),
        hint="Drag the training step below the figure.",
    )  # fmt: skip


def _counted(run: _Run, layer: int, counts: Array | None) -> list[str]:
    """Say above a layer how many of its units each step keeps, evaluation first."""
    if counts is None:
        return ["output"] * (STEPS + 1)
    units = run.sizes[layer]
    if layer == 0 and run.rates[0] == 0:
        return [f"{units} inputs"] * (STEPS + 1)
    noun = "inputs" if layer == 0 else "unit" if units == 1 else "units"
    return [f"{units} {noun}", *(f"{k} of {units} kept" for k in counts[1:])]


def _over(run: _Run) -> str:
    """Say how many masks the mean output is taken over: all, or how many were drawn."""
    return f"{run.mean.masks:,}" if run.mean.standard_error.any() else "all"


def _tidy(value: float) -> float:
    """Return 0 for what is 0 up to rounding."""
    return 0.0 if abs(value) < _SAME else value


def _masks_text(run: _Run, activation: str) -> list[str]:
    found, p = run.training, run.rates[1]
    hidden = np.concatenate(found.masks[1:], axis=1)
    units, kept = hidden.shape[1], hidden.sum(axis=1)
    blocks = [f"{_kept_text(kept, units, p)} {_distinct_text(run)}", _gradient_text(run, activation)]
    blocked = sum(not all(mask[t].any() for mask in found.masks) for t in range(STEPS))
    chance = cut_off(run.sizes, run.rates)
    if blocked:
        blocks.append(
            f"{blocked} of the {STEPS} masks {'drops' if blocked == 1 else 'drop'} a whole layer ({percent(chance)} expected). "
            "That cuts the input off: the biases are 0 here, so the output is 0 and no weight gets a gradient."
        )
    blocks.append(_mean_text(run, activation))
    return blocks


def _kept_text(kept: Array, units: int, p: float) -> str:
    """Say how many hidden units the steps keep."""
    low, high, noun = int(kept.min()), int(kept.max()), "unit" if units == 1 else "units"
    text = f"With p_drop = {number(p)} (p_keep = {number(1 - p)})"
    if p in (0, 1):
        if p:
            return f"{text} no step keeps a hidden unit."
        return f"{text} every step keeps {'the' if units == 1 else f'all {units}'} hidden {noun}."
    if low == high:
        text += f" each of the {STEPS} steps keeps {low} of {units} hidden {noun}"
    else:
        text += f" the {STEPS} steps keep {number(float(kept.mean()))} of {units} hidden {noun} on average, from {low} to {high}"
    return (
        f"{text}; the binomial distribution has mean {number(units * (1 - p))} and standard deviation "
        f"{number(math.sqrt(units * p * (1 - p)))}."
    )


def _distinct_text(run: _Run) -> str:
    """Say how many different masks the steps have, of how many."""
    random = [m for m, rate in zip(run.training.masks, run.rates, strict=True) if 0 < rate < 1]
    if not random:
        return "Only one mask is possible: nothing is left to chance, and every step trains the same network."
    drawn = np.concatenate(random, axis=1)
    different, size = len(np.unique(drawn, axis=0)), drawn.shape[1]
    found = (
        "All steps have **the same mask**,"
        if different == 1
        else f"The steps have **{different} different masks**"
    )
    text = f"{found} of {2**size:,} possible ones"
    rates = {rate for rate in run.rates if 0 < rate < 1}
    if size <= MOST_UNITS and len(rates) == 1:
        text += f" ({number(float(expected_distinct(size, rates.pop(), STEPS)))} different ones expected)"
    return f"{text}. Each is a subnetwork; all of them share these weights."


def _gradient_text(run: _Run, activation: str) -> str:
    found = run.training
    touched: list[Array] = []
    for layer, mask in enumerate(found.masks):
        touched.append(found.gradient.weights[layer][~mask])
        if layer:
            touched.append(found.gradient.weights[layer - 1].swapaxes(1, 2)[~mask])
    dropped = np.concatenate([gradient.ravel() for gradient in touched])
    hidden = np.concatenate(found.masks[1:], axis=1)
    reached = np.concatenate([delta != 0 for delta in found.deltas[1:-1]], axis=1)
    by_unit = reached.mean(axis=0)
    learning = np.concatenate([w.ravel() != 0 for w in found.gradient.weights])
    if dropped.size:
        text = (
            f"**Only what is live learns.** The largest gradient of any weight into or out of a dropped unit, in all steps, "
            f"is **{number(float(np.abs(dropped).max()))}**: plain gradient descent leaves such weights where they are in "
            "that step, momentum and weight decay still move them."
        )
    else:
        text = "No unit is dropped in any step."
    least, most = float(by_unit.min()), float(by_unit.max())
    by = f", from {percent(least)} to {percent(most)} by unit" if least < most else ""
    text += (
        f" A hidden unit had a gradient dL/dz in {percent(float(by_unit.mean()))} of the steps{by}; it was kept in "
        f"{percent(float(hidden.mean()))}. Of the weights {percent(float(learning.mean()))} had one in a step."
    )
    idle = hidden & ~reached
    flat = float(ACTIVATIONS[activation].df(np.zeros(1))[0]) == 0  # where the function is 0, so is its slope
    own = np.concatenate([a == 0 for a in found.activations[1:]], axis=1) & flat
    asleep, unreached = int((idle & own).sum()), int((idle & ~own).sum())
    parts = []
    if asleep:
        parts.append(f"{asleep} times because its own activation was 0")
    if unreached:
        parts.append(f"{unreached} times because nothing came down to it")
    return f"{text} A kept unit had none {' and '.join(parts)}." if parts else text


def _mean_text(run: _Run, activation: str) -> str:
    evaluated, mean = float(run.evaluation.output[0, 0]), float(run.mean.mean[0])
    error = float(run.mean.standard_error[0])
    outputs = run.training.output[:, 0]
    deviation = float(outputs.std(ddof=1))
    if not any(run.rates):
        return f"Every step gives the output of evaluation, **{number(_tidy(evaluated))}**: without masks they are the same."
    if deviation < _SAME * max(1.0, abs(float(outputs[0]))):
        text = f"Under each of the {STEPS} masks the output is {number(_tidy(float(outputs[0])))}."
    else:
        text = (
            f"Over the {STEPS} masks the output has mean {number(_tidy(float(outputs.mean())))} and standard deviation "
            f"{number(deviation)}."
        )
    text += f" Evaluation gives **{number(_tidy(evaluated))}**, the mean of "
    if error:
        text += f"{run.mean.masks:,} drawn masks **{number(mean)}** ± {number(1.96 * error, 2)} (95%)"
    else:
        text += f"all masks, each by its probability, **{number(_tidy(mean))}**"
    apart = abs(mean - evaluated)
    same = apart < _SAME * max(1.0, abs(evaluated))
    if 1 in run.rates:
        return f"{text}: where a whole layer is always dropped, no division by p_keep = 0 repairs the mean."
    linear = activation == "identity"
    if linear or (len(run.sizes) == 3 and run.rates[0] == 0):
        why = "every layer is linear" if linear else "one layer of masks feeds a linear output"
        here = "they agree up to rounding" if same else f"they are {number(apart, 2)} apart"
        return f"{text}. The two are equal in theory, because {why}; here {here}."
    if same:
        return f"{text}: the same."
    if apart < 1.96 * error:
        return f"{text}: {number(apart)} apart, within this 95% interval."
    return f"{text}: {number(apart)} apart, because masks below a nonlinearity do not average out."


def _masks_blocks(values: Values) -> Sequence[Block]:
    hidden = tuple(n for n in (whole(values, f"net_layer{k}") for k in (1, 2, 3)) if n)
    activation, p, input_p = word(values, "net_activation"), real(values, "p"), real(values, "net_input_p")
    seed = whole(values, "seed")
    run = network_run(hidden, activation, p, input_p, seed)
    inputs = (
        f", inputs p_drop {number(input_p)} (p_keep {number(1 - input_p)})"
        if input_p
        else ", inputs never dropped"
    )
    setting = (
        f"Units {'–'.join(map(str, run.sizes))}, {activation}, linear output; weights {_SCHEME.name}, biases 0; input "
        f"({', '.join(number(v) for v in _INPUT)}), L = (output − {number(_TARGET)})²; hidden units p_drop {number(p)} (p_keep "
        f"{number(1 - p)}), inverted{inputs}; {STEPS} masks, seed {seed}; weights are not updated between steps."
    )
    return [
        "Every training step draws a new mask and works with a smaller network. **Which weights can learn in this step, and "
        "which in the next?**",
        _masks_figure(run, setting),
        *_masks_text(run, activation),
    ]


# Two redundant inputs


class _Twins(NamedTuple):
    weights: Array  # (steps + 1, runs, 2)
    plain: Array  # (steps + 1, 2)
    theory: Array  # (steps + 1, 2)
    limit: float
    rate: float


@keep(entries=8)
def trained_twins(p: float, seed: int) -> _Twins:
    """Return training of a unit with two equal inputs, under masks, without them and in expectation."""
    rate = twins_rate(p)
    exact = two_twins_theory(p=p, steps=_TWIN_STEPS, rate=rate)
    weights = two_twins(p=p, steps=_TWIN_STEPS, rate=rate, runs=_TWIN_RUNS, batch=_TWIN_BATCH, seed=seed)
    plain = two_twins(p=0.0, steps=_TWIN_STEPS, rate=rate, runs=1, batch=_TWIN_BATCH, seed=seed)[:, 0]
    return _Twins(weights, plain, exact.weights, exact.limit, rate)


@lru_cache(maxsize=16)
def _twins_spec(width: int) -> Spec:
    narrow = width < NARROW
    left = width - 180 if narrow else round((width - 330) * 0.6)
    right = width - 96 if narrow else width - 330 - left
    tall = 240 if narrow else 280
    x = alt.X(
        "step:Q", title="training step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickMinStep=1)
    )
    y = alt.Y("w:Q", title=None, scale=alt.Scale(nice=False, padding=8), axis=alt.Axis(tickCount=5))
    paths = alt.Chart(named("paths"))
    theory = alt.Chart(named("theory"))
    course = compose.layer(
        paths.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=theme.color(), detail="line:N"
        ),
        alt.Chart(named("single"))
        .mark_line(strokeWidth=0.8, opacity=0.7)
        .encode(x=x, y=y, color=theme.color(), detail="line:N"),
        paths.mark_line().encode(x=x, y=y, color=theme.color(), strokeDash=theme.dash(), detail="line:N"),
        theory.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(left), y=y, text="label:N", color=theme.color()),
        _title("course"),
        width=left,
        height=tall,
        name="course",
    )

    first = alt.X(
        "w1:Q",
        title="weight of the first input",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=5),
    )
    second = alt.Y(
        "w2:Q",
        title="weight of the second input",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(tickCount=5),
    )
    marks, names = alt.Chart(named("marks")), alt.Chart(named("names"))
    plane = compose.layer(
        alt.Chart(named("fits")).mark_line(strokeWidth=1.2, strokeDash=[5, 4]).encode(
            x=first, y=second, color=theme.ink("muted")
        ),
        alt.Chart(named("plane")).mark_line().encode(x=first, y=second, order="step:Q", color=theme.color()),
        theory.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=first, y=second, color=theme.ink("ink"), opacity=theme.SHOWN
        ),
        marks.mark_point(filled=True, size=80).encode(
            x=first, y=second, color=theme.color(), opacity=theme.SHOWN, shape=alt.Shape(
                "kind:N", scale=alt.Scale(domain=["point", "goal"], range=["circle", "diamond"]), legend=None
            ),
        ),
        *(
            names.transform_filter(f"datum.place == '{place}'").mark_text(
                fontSize=theme.SMALL_SIZE + 0.5, **offset
            ).encode(x=first, y=second, text="label:N", color=theme.color(), opacity=theme.SHOWN)
            for place, offset in _BESIDE.items()
        ),
        _title("plane"),
        width=right, height=tall, name="plane",
    )  # fmt: skip
    join, gap = (compose.below, 36) if narrow else (compose.beside, 60)
    both = join(course, plane, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _twins_figure(run: _Twins, p: float, seed: int) -> Figure:
    step = np.arange(_TWIN_STEPS + 1)
    mean = run.weights.mean(axis=1)
    low, high = np.quantile(run.weights, (0.05, 0.95), axis=1)
    names = ("first", "second")
    paths: list[Part] = []
    single: list[Part] = []
    ends: list[tuple[str, float, int]] = []
    for k, name in enumerate(names):
        for label, w, below, above, slot in (
            (f"{name}, no dropout", run.plain[:, k], run.plain[:, k], run.plain[:, k], _EVAL),
            (f"{name}, dropout", mean[:, k], low[:, k], high[:, k], _TRAIN),
        ):
            paths.append(
                {"step": step, "w": w, "low": below, "high": above, "line": label, "slot": slot, "dash": k}
            )
            ends.append((label, float(w[-1]), slot))
        single.append({"step": step, "w": run.weights[:, 0, k], "line": name, "slot": _TRAIN})
    tops = np.array([y for _, y, _ in ends])
    bottom, top = (
        min(float(low.min()), float(run.plain.min())),
        max(float(high.max()), float(run.plain.max())),
    )
    dots = step[::_TWIN_EVERY]
    exact = np.isfinite(run.limit)
    goal = run.limit if exact else 0.0
    return Figure(
        name="dropout/twins",
        build=_twins_spec,
        data={
            "paths": rows(*paths),
            "single": rows(*single),
            "theory": rows(
                *(
                    {"step": dots, "w": run.theory[dots, k], "w1": run.theory[dots, 0], "w2": run.theory[dots, 1],
                     "shown": exact}
                    for k in range(2)
                )
            ),
            "ends": rows(
                w=spread(tops, 0.085 * (top - bottom or 1.0), bottom, top),
                label=[label for label, _, _ in ends], slot=[slot for *_, slot in ends],
            ),
            "plane": rows(step=step, w1=mean[:, 0], w2=mean[:, 1], slot=_TRAIN),
            "fits": rows(w1=[-0.1, 1.1], w2=[1.1, -0.1]),
            "marks": rows(
                w1=[1.0, goal], w2=[0.0, goal], kind=["point", "goal"], slot=[_EVAL, theme.INK], shown=[True, exact]
            ),
            "names": rows(
                w1=[1.0, goal, 0.3], w2=[0.0, goal, 0.7], place=["below", "left", "right"], shown=[True, exact, True],
                label=["no dropout: stays", "minimum", "no error"], slot=[_EVAL, theme.INK, theme.MUTED],
            ),
            "titles": rows(course=["Both weights while training"], plane=["The same path in the plane of the weights"]),
        },
        title="Two inputs that say the same",
        caption=(
            f"Linear unit, two identical inputs x = ±1, target x, start (1, 0); p_drop {number(p)} (p_keep "
            f"{number(1 - p)}) on the inputs, inverted, a mask for each example; gradient descent, learning rate "
            f"{number(run.rate)}, batches of {_TWIN_BATCH}, {_TWIN_STEPS} steps, {_TWIN_RUNS} runs, seed {seed}."
        ),
        key=(
            "Orange: mean over the runs; band: 5% to 95% of them; thin: one run. Blue: no dropout. Small dots: theory of "
            "the mean. In the plane, dashed: weights that add up to 1."
        ),
        alt="Two weights against the training step, with and without dropout, and their path in the plane.",
    )  # fmt: skip


def _twins_blocks(values: Values) -> Sequence[Block]:
    p, seed = real(values, "p"), whole(values, "seed")
    run = trained_twins(p, seed)
    return [
        "Two inputs carry the same signal, and at the start the unit listens to the first one only. The fit is perfect. **Does "
        "training change anything?**",
        _twins_figure(run, p, seed),
        _twins_text(run, p),
        _errors(run),
    ]


def _pair(weights: Array) -> str:
    return f"({number(float(weights[0]))}, {number(float(weights[1]))})"


def _twins_text(run: _Twins, p: float) -> str:
    plain = _pair(run.plain[-1])
    if p == 1:
        return f"With p_drop = 1 nothing arrives and nothing is learned: the weights stay {plain}, with dropout as without."
    if p == 0:
        return (
            "With p_drop = 0 there are no masks. The error is 0 from the start, so the gradient is 0, and the weights stay "
            f"{plain}. Raise p_drop."
        )
    mean = run.weights[-1].mean(axis=0)
    error = run.weights.std(axis=1, ddof=1) / math.sqrt(_TWIN_RUNS)
    # Where p_drop is nearly 1, no run may have kept an input yet: no spread, and nothing to compare.
    known = error > 0
    z = float((np.abs(run.weights.mean(axis=1) - run.theory)[known] / error[known]).max(initial=0.0))
    text = (
        f"Without dropout the gradient is 0 wherever $w_1 + w_2 = 1$, and the split stays {plain}. With p_drop = {number(p)} "
        f"(p_keep = {number(1 - p)}) the loss over all masks is $(1 - w_1 - w_2)^2 + \\lambda(w_1^2 + w_2^2)$ with λ = "
        f"p_drop/p_keep = {number(p / (1 - p))}: squares prefer equal shares. After {_TWIN_STEPS} steps the mean weights are "
        f"**{_pair(mean)}**, in theory {_pair(run.theory[-1])}; along the way they are at most {number(z, 2)} standard "
        f"errors apart. The minimum is 1/(2 + λ) = {number(run.limit)} each: an equal split, and a sum of "
        f"{number(2 * run.limit)} instead of 1, because the penalty also shrinks."
    )
    far = float(np.abs(run.weights).max())
    if far > _FAR:
        text += (
            f" At this p_drop a single kept example is scaled by {number(1 / (1 - p))}, and some run is thrown as far as "
            f"{number(far)}: the mean over {_TWIN_RUNS} runs says little."
        )
    return text


def _errors(run: _Twins) -> str:
    ends = (("without dropout", run.plain[-1]), ("with dropout, mean weights", run.weights[-1].mean(axis=0)))
    found = [error_without(w) for _, w in ends]
    lines = [
        [name, _pair(w), *(number(float(v)) for v in errors)]
        for (name, w), errors in zip(ends, found, strict=True)
    ]
    head = ("at the end", "weights", "squared error, both inputs", "without the first", "without the second")
    plain, dropped = (float(errors[1] - errors[0]) for errors in found)
    return (
        "How much does evaluation depend on the first input? Taking it away raises the squared error by "
        f"{number(plain)} without dropout and by {number(dropped)} with it.\n\n{table(head, lines)}"
    )


_VIEWS: Mapping[str, _View] = {
    "masks": _View(
        _masks_blocks, ("net_layer1", "net_layer2", "net_layer3", "net_activation", "net_input_p")
    ),
    "redundant inputs": _View(_twins_blocks, ()),
}


def network_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab beside these values: the view, and what it uses."""
    return ("net_view", *_VIEWS[word(values, "net_view")].knobs)


def network_blocks(values: Values) -> Sequence[Block]:
    """Draw a small network under its masks, or what dropout does to two redundant inputs.

    Args:
        values: the page's; those of ``NETWORK_KNOBS``, ``p`` and ``seed`` act.

    Returns:
        one figure with a lead and a reading.
    """
    return _VIEWS[word(values, "net_view")].blocks(values)
