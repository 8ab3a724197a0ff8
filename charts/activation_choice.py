"""The Choose tab of the activations page: from what a layer is for to a function, with reasons one can look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Part, Spec, assemble, named, rows
from charts.topic import Block, Link, Values
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS
from core.knobs import Knob, Value, number
from core.moments import signal_moments
from core.network import CROSS_ENTROPY, SQUARED_ERROR
from core.propagation import propagate_theory
from core.properties import max_difference, properties
from core.vector_activations import softmax


@dataclass(frozen=True)
class Reason:
    """Why: a sentence with numbers of this moment, and the view that shows it."""

    says: Callable[[], str]
    link: Link


@dataclass(frozen=True)
class Choice:
    """The end of one line of decisions: what to take, with which loss if it is an output, and why."""

    take: str
    reasons: tuple[Reason, ...]
    loss: str = ""


def _slope(name: str, z: float, **knobs: float) -> float:
    return float(ACTIVATIONS[name].df(np.array(z), **knobs))


def _value(name: str, z: float) -> float:
    return float(ACTIVATIONS[name].f(np.array(z)))


def _zero_share(name: str) -> float:
    return signal_moments(ACTIVATIONS[name], mu=0.0, sigma=1.0).share_zero


def _moment(name: str) -> tuple[float, float]:
    moments = signal_moments(ACTIVATIONS[name], mu=0.0, sigma=1.0)
    return moments.mean, moments.second


def _wrong(loss: str) -> float:
    """Return the gradient in the logit of a loss behind a sigmoid, for target 1 at logit −8."""
    z, one = np.array([[-8.0]]), np.ones((1, 1))
    if loss == "cross-entropy":
        return float(CROSS_ENTROPY.gradient(z, one)[0, 0])
    p = ACTIVATIONS["sigmoid"].f(z)
    return float((SQUARED_ERROR.gradient(p, one) * ACTIVATIONS["sigmoid"].df(z))[0, 0])


@lru_cache(maxsize=8)
def _depth(activation: str, scheme: str) -> str:
    """Say what fifty layers do to signal and gradient, by theory."""
    theory = propagate_theory(ACTIVATIONS[activation], [INITIALIZERS[scheme]], depth=50, width=64)
    signal, gradient = theory.signal_rms[0, -1], theory.gradient_rms[0, 0]
    return f"fifty layers multiply the signal's rms by {number(float(signal))} and the gradient's by {number(float(gradient))}."


_LOGITS = np.array([2.0, 2.0, -1.0])


def _functions(*names: str, **more: Value) -> dict[str, Value]:
    return {"functions": names, **more}


HIDDEN: Mapping[str, Choice] = {
    "nothing special": Choice(
        "ReLU",
        (
            Reason(
                lambda: (
                    f"Ten of its slopes at z = 3 multiply to {number(_slope('ReLU', 3.0) ** 10)}, ten of sigmoid's to "
                    f"{number(_slope('sigmoid', 3.0) ** 10)}."
                ),
                Link("Slopes at the cursor"),
            ),
            Reason(
                lambda: (
                    f"Its gain is known, √2 = {number(properties(ACTIVATIONS['ReLU']).gain_backward, 4)}, and it costs one "
                    "comparison."
                ),
                Link("Properties, and cost on this machine", {"compare": "properties"}, tab="Compare"),
            ),
            Reason(
                lambda: "With He initialization {}".format(_depth("ReLU", "He normal")),
                Link("Fifty layers", page="initialization"),
            ),
        ),
    ),
    "units die": Choice(
        "leaky ReLU, or ELU",
        (
            Reason(
                lambda: (
                    f"For z ~ N(0, 1), ReLU's slope is exactly 0 for {number(100 * _zero_share('ReLU'))}% of the inputs, leaky "
                    f"ReLU's for {number(100 * _zero_share('leaky ReLU'))}%."
                ),
                Link("A signal through both", _functions("ReLU", "leaky ReLU", "ELU"), tab="Signal"),
            ),
            Reason(
                lambda: (
                    "A unit whose input is negative everywhere keeps learning. First try a lower learning rate."
                ),
                Link("Units dying as they train", tab="Dying ReLU"),
            ),
        ),
    ),
    "transformer block": Choice(
        "GELU, or SwiGLU",
        (
            Reason(
                lambda: (
                    f"Smooth, and with a slope of {number(_slope('GELU', -0.5))} at −0.5 where ReLU has "
                    f"{number(_slope('ReLU', -0.5))}; its smallest value is "
                    f"{number(properties(ACTIVATIONS['GELU']).minima[0].value)}."
                ),
                Link("ReLU, GELU and SiLU", _functions("ReLU", "GELU", "SiLU", curvature=True)),
            ),
            Reason(
                lambda: (
                    "A checkpoint fixes the form: the tanh form is up to "
                    f"{number(max_difference(ACTIVATIONS['GELU'], ACTIVATIONS['GELU (tanh)'], -6.0, 6.0).value)} off the "
                    "exact one."
                ),
                Link(
                    "Differences between the forms",
                    _functions("GELU", "GELU (tanh)", "GELU (sigmoid)", compare="differences"),
                    tab="Compare",
                ),
            ),
            Reason(
                lambda: (
                    "Recent language models gate with SiLU instead: SwiGLU has a product, and three matrices."
                ),
                Link("SwiGLU", {"compare": "SwiGLU"}, tab="Compare"),
            ),
        ),
    ),
    "no normalization": Choice(
        "SELU with LeCun normal",
        (
            Reason(
                lambda: (
                    "It maps N(0, 1) to mean {} and second moment {}: a fixed point that deeper layers return to.".format(
                        *(number(round(v, 12), 4) for v in _moment("SELU"))
                    )
                ),
                Link("A signal through SELU", _functions("SELU", "ReLU", "tanh"), tab="Signal"),
            ),
            Reason(
                lambda: "Without any normalization {}".format(_depth("SELU", "LeCun normal")),
                Link(
                    "SELU, fifty layers deep",
                    {"activation": "SELU", "schemes": ("LeCun normal", "He normal", "Glorot normal")},
                    page="initialization",
                ),
            ),
        ),
    ),
    "gate or bounded state": Choice(
        "sigmoid for the gate, tanh for the state",
        (
            Reason(
                lambda: (
                    f"A gate has to reach both ends: σ(−4) = {number(_value('sigmoid', -4.0))}, "
                    f"σ(4) = {number(_value('sigmoid', 4.0))}. A state should be centered: for N(0, 1) tanh has mean "
                    f"{number(round(_moment('tanh')[0], 12))}, sigmoid {number(_moment('sigmoid')[0])}."
                ),
                Link("Sigmoid and tanh", _functions("sigmoid", "tanh", "hard sigmoid", "hard tanh")),
            ),
            Reason(
                lambda: (
                    f"Keep them out of saturation: at z = 5 the slopes are {number(_slope('sigmoid', 5.0))} and "
                    f"{number(_slope('tanh', 5.0))}."
                ),
                Link("Chains of slopes", _functions("sigmoid", "tanh"), tab="Signal"),
            ),
        ),
    ),
    "small device": Choice(
        "hard swish, or ReLU6",
        (
            Reason(
                lambda: (
                    "Hard swish is SiLU without an exponential, at most "
                    f"{number(max_difference(ACTIVATIONS['SiLU'], ACTIVATIONS['hard swish'], -6.0, 6.0).value)} from it."
                ),
                Link(
                    "Hard swish against SiLU",
                    _functions(
                        "SiLU",
                        "hard swish",
                        "ReLU6",
                        compare="differences",
                        differ=("hard swish",),
                        against="SiLU",
                    ),
                    tab="Compare",
                ),
            ),
            Reason(
                lambda: (
                    f"ReLU6 has the range {ACTIVATIONS['ReLU6'].range()}, known before any data: eight bits need no "
                    f"calibration and step by {number(ACTIVATIONS['ReLU6'].range().high / 255)}."
                ),
                Link("ReLU6 and hard swish", _functions("ReLU", "ReLU6", "hard swish")),
            ),
        ),
    ),
    "periodic signal": Choice(
        "sine",
        (
            Reason(
                lambda: (
                    f"Its slope never dies: at z = 3 it is {number(_slope('sine', 3.0))}, at z = 6 "
                    f"{number(_slope('sine', 6.0))}. It changes sign, so the first layer's scale decides."
                ),
                Link("Sine and its slopes", _functions("sine", "tanh", "ReLU", curvature=True)),
            ),
        ),
    ),
}

OUTPUT: Mapping[str, Choice] = {
    "any number": Choice(
        "identity",
        (
            Reason(
                lambda: (
                    "A target has no bounds, so the output should have none: "
                    f"{ACTIVATIONS['identity'].range()}, where tanh ends at {ACTIVATIONS['tanh'].range()}."
                ),
                Link("Identity, tanh and ReLU", _functions("identity", "tanh", "ReLU")),
            ),
            Reason(
                lambda: (
                    f"A ReLU at the output has slope 0 for {number(100 * _zero_share('ReLU'))}% of N(0, 1): such a point "
                    "teaches nothing."
                ),
                Link("A signal through ReLU", _functions("identity", "ReLU"), tab="Signal"),
            ),
        ),
        loss="squared error",
    ),
    "positive number": Choice(
        "softplus, or exp",
        (
            Reason(
                lambda: (
                    f"Always above 0, and its slope at −3 is still {number(_slope('softplus', -3.0))} where ReLU's is "
                    f"{number(_slope('ReLU', -3.0))}."
                ),
                Link("Softplus and ReLU", _functions("softplus", "ReLU")),
            ),
            Reason(
                lambda: "Written as log(1 + eᶻ) it overflows in float32; frameworks use another form.",
                Link("Softplus in float32", _functions("softplus", compare="float32"), tab="Compare"),
            ),
        ),
        loss="negative log-likelihood, or squared error of the logarithm",
    ),
    "two classes": Choice(
        "sigmoid, inside the loss",
        (
            Reason(
                lambda: (
                    f"With cross-entropy the gradient is p − t: {number(_wrong('cross-entropy'), 4)} for a logit of −8 and "
                    f"target 1. With the squared error it is {number(_wrong('squared error'))}, and nothing is learned."
                ),
                Link("Where sigmoid saturates", _functions("sigmoid", "tanh")),
            ),
            Reason(
                lambda: "Hand the loss the logit: eᶻ/(1 + eᶻ) ends in float32.",
                Link("Sigmoid in float32", _functions("sigmoid", compare="float32"), tab="Compare"),
            ),
        ),
        loss="cross-entropy on logits",
    ),
    "one of several classes": Choice(
        "softmax, inside the loss",
        (
            Reason(
                lambda: (
                    f"For logits 2, 2, −1 its outputs sum to {number(float(softmax(_LOGITS).sum()))}, three sigmoids to "
                    f"{number(float(ACTIVATIONS['sigmoid'].f(_LOGITS).sum()))}: only softmax gives a distribution."
                ),
                Link("Softmax", {"compare": "softmax"}, tab="Compare"),
            ),
        ),
        loss="cross-entropy on logits",
    ),
    "several labels at once": Choice(
        "one sigmoid a label",
        (
            Reason(
                lambda: (
                    f"Labels do not compete: for logits 2, 2, −1 two sigmoids say {number(_value('sigmoid', 2.0))} each, "
                    f"softmax gives them {number(float(softmax(_LOGITS)[0]))} each."
                ),
                Link("Softmax against sigmoids", {"compare": "softmax"}, tab="Compare"),
            ),
        ),
        loss="cross-entropy on logits, summed over labels",
    ),
}

LINES: Mapping[str, Mapping[str, Choice]] = {"hidden layer": HIDDEN, "output layer": OUTPUT}

CHOICE_KNOBS = (
    Knob("role", "choice", "hidden layer", label="The function is for a", choices=tuple(LINES)),
    Knob("concern", "choice", "nothing special", label="What matters there", choices=tuple(HIDDEN)),
    Knob("target", "choice", "two classes", label="What it predicts", choices=tuple(OUTPUT)),
)
_QUESTION = {"hidden layer": "concern", "output layer": "target"}
_ASKED = {"hidden layer": "what matters there", "output layer": "what it predicts"}


def choice_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls of the tab: the role, and the question that follows from it."""
    return ("role", _QUESTION[str(values["role"])])


@lru_cache(maxsize=16)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 10
    # On a phone the function stands in the text below alone.
    x = alt.X(f"{'narrow' if narrow else 'x'}:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    seen = "datum.column < 2" if narrow else "datum.column < 3"
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], reverse=True))
    size = theme.SMALL_SIZE if narrow else theme.TEXT_SIZE
    texts = alt.Chart(named("nodes")).transform_filter(seen)
    layers = [
        alt.Chart(named("edges"))
        .transform_filter(seen)
        .mark_line(interpolate="monotone", clip=False)
        .encode(
            x=x,
            y=y,
            detail="edge:N",
            order="order:Q",
            color=theme.color(),
            strokeWidth=alt.StrokeWidth("weight:Q", scale=None),
        ),
        texts.transform_filter("!datum.chosen")
        .mark_text(align="left", baseline="middle", dx=6, fontSize=size)
        .encode(x=x, y=y, text="label:N", color=theme.color()),
        texts.transform_filter("datum.chosen")
        .mark_text(align="left", baseline="middle", dx=6, fontSize=size + 1, fontWeight=600)
        .encode(x=x, y=y, text="label:N", color=theme.color()),
    ]
    return assemble(compose.layer(*layers, width=inner, height=240), theme.config())


# Where the columns of the line stand, on a wide screen and on a phone, and how much of it a letter takes.
_AT = ((0.0, 0.22, 0.62), (0.0, 0.48, 1.0))
_LETTER = (0.0095, 0.023)
_EASE = np.array([0.0, 0.15, 0.5, 0.85, 1.0])


def _figure(values: Values) -> Figure:
    role = str(values["role"])
    picked = str(values[_QUESTION[role]])
    options = LINES[role]
    roles = {name: (k + 0.5) / len(LINES) for k, name in enumerate(LINES)}
    nodes: list[Part] = []
    edges: list[Part] = []

    def node(column: int, y: float, label: str, on: bool) -> None:
        nodes.append(
            {"column": [column], "x": _AT[0][column], "narrow": _AT[1][column], "y": y, "label": label, "chosen": on,
             "slot": theme.SLOTS["blue"] if on else theme.MUTED}
        )  # fmt: skip

    def edge(column: int, label: str, y0: float, y1: float, on: bool) -> None:
        """Lead from the end of a label to the next column."""
        ways = []
        for at, letter in zip(_AT, _LETTER, strict=True):
            start = min(at[column] + letter * (len(label) + 2), at[column + 1] - 0.03)
            ways.append(np.linspace(start, at[column + 1], len(_EASE)))
        edges.append(
            {"column": column + 1, "x": ways[0], "narrow": ways[1], "y": y0 + (y1 - y0) * _EASE,
             "order": range(len(_EASE)), "edge": f"{len(edges):02d}", "weight": 2.4 if on else 1.0,
             "slot": theme.SLOTS["blue"] if on else theme.FAINT}
        )  # fmt: skip

    for name, y in roles.items():
        node(0, y, name, name == role)
    ordered = sorted(enumerate(options), key=lambda option: option[1] == picked)  # the chosen line on top
    for k, name in ordered:
        y, on = (k + 0.5) / len(options), name == picked
        node(1, y, name, on)
        node(2, y, options[name].take, on)
        edge(0, role, roles[role], y, on)
        edge(1, name, y, y, on)
    return Figure(
        name="activations/choice",
        build=_spec,
        data={"nodes": rows(*nodes), "edges": rows(*edges)},
        title="Choosing an activation",
        caption=f"Layer: {role}; {_ASKED[role]}: {picked}. Take {options[picked].take}.",
        alt="A line of decisions: what the layer is for, what matters there, and the function that follows.",
    )


def choice_blocks(values: Values) -> list[Block]:
    """Follow the decisions to a function, with its reasons, each a link to the view that shows it."""
    role = str(values["role"])
    chosen = LINES[role][str(values[_QUESTION[role]])]
    blocks: list[Block] = [_figure(values)]
    blocks.append(f"**Take {chosen.take}**" + (f", with {chosen.loss} as the loss." if chosen.loss else "."))
    for reason in chosen.reasons:
        blocks += [reason.says(), reason.link]
    return blocks
