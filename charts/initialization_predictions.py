"""What a run says about the predictions of the Initialization page, by the id that they have in the notes.

Each function reads what the figure of its view draws, finds the answer that is right there, and says for every answer
what it missed, with the numbers of the run. Texts are Markdown: no unpaired brackets, no tildes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from charts.describe import counted, percent
from charts.judging import nearest, table
from charts.topic import Outcome, Values, View, real, whole
from core.initializers import INITIALIZERS
from core.knobs import latex, number
from core.layers import linear_rms

_SOME = 2.0  # factor from which a size counts as grown, and its inverse as faded
_MANY = 10.0  # factor from which it has grown, or faded, by orders of magnitude
_ONE_ANGLE = 0.1  # change of a correlation that counts as none


class Line(NamedTuple):
    """One scheme in the fan: rms by layer, (depth + 1,) each, NaN where the figure draws nothing."""

    signal: np.ndarray
    gradient: np.ndarray
    low: float  # where the band of networks ends at the last layer
    high: float

    @property
    def up(self) -> float:
        """What all layers multiply the signal by."""
        return float(self.signal[-1] / self.signal[0])

    @property
    def down(self) -> float:
        """What all layers multiply the gradient by, on its way from the last layer to the first."""
        return float(self.gradient[0] / self.gradient[-1])

    @property
    def factor(self) -> float:
        """What a layer multiplies the signal by, the geometric mean."""
        return float(self.up ** (1 / (len(self.signal) - 1)))

    @property
    def back(self) -> float:
        """What a layer multiplies the gradient by, the geometric mean."""
        return float(self.down ** (1 / (len(self.gradient) - 1)))

    @property
    def end(self) -> str:
        """Where the line of the signal ends, in words."""
        return number(float(self.signal[-1]))

    @property
    def bottom(self) -> str:
        """Where the line of the gradient ends, at the first layer, in words."""
        return number(float(self.gradient[0]))


def levelest(values: Sequence[float]) -> int:
    """Return the place of the value closest to 1 by its ratio; what is not a positive number is farthest."""
    sizes = np.asarray(values, float)
    known = np.isfinite(sizes) & (sizes > 0)
    return int(np.argmin(np.where(known, np.abs(np.log(np.where(known, sizes, 1.0))), np.inf)))


def _view(values: Values) -> View:
    """Return what the page shows, with all its networks drawn."""
    from charts.initialization import TOPIC  # the page imports this module

    return TOPIC.view(values)


def _fan(values: Values) -> dict[str, Line]:
    """Return the lines of the main figure by scheme."""
    layers = _view(values).figure.data["layers"]
    return {
        str(name): Line(
            part["signal"].to_numpy(float),
            part["gradient"].to_numpy(float),
            float(part["signal_low"].iloc[-1]),
            float(part["signal_high"].iloc[-1]),
        )
        for name, part in layers.groupby("name", observed=True)
    }


def _tab(values: Values, name: str, figure: str, data: str) -> dict[str, Any]:
    """Return a table of a figure in a tab, in parts of pandas by the name of the line."""
    tab = next(tab for tab in _view(values).tabs if tab.name == name)
    found = table(tab.blocks(values), data, figure)
    return {str(line): part for line, part in found.groupby("name", observed=True)}


def _layers(values: Values) -> str:
    return counted(whole(values, "depth"), "layer")


# The main figure


def _alive(values: Values) -> Outcome:
    fan, depth = _fan(values), whole(values, "depth")
    names = ("N(0, 1)", "Glorot normal", "He normal", "PyTorch Linear")
    one, glorot, he, torch = (fan[name] for name in names)
    others = [name for name in fan if name != "He normal"]
    second = others[levelest([fan[name].up for name in others])]
    return Outcome(
        levelest([line.up for line in (one, glorot, he, torch)]),
        (
            f"1 is the spread of each weight, and a unit adds up {whole(values, 'width')} of them: ×{number(one.factor)} a "
            f"layer, to {one.end} at layer {depth}.",
            f"It keeps the signal of linear layers. ReLU takes half the second moment of each, so that the rms goes "
            f"×{number(glorot.factor)} a layer, to {glorot.end} at layer {depth}.",
            f"Its line ends at {he.end}, that of {second} at {fan[second].end}: twice the variance gives back the half that ReLU "
            "takes.",
            f"×{number(torch.factor)} a layer is mild in three layers; at layer {depth} it has come to {torch.end}.",
        ),
    )


def _compound(values: Values) -> Outcome:
    fan, depth, gain = _fan(values), whole(values, "depth"), real(values, "custom_gain")
    own, lecun = fan["custom"], fan["LeCun normal"]
    power = rf"${latex(gain)}^{{{depth}}}$ = {number(gain**depth)}"
    return Outcome(
        nearest(own.up, (gain, 1 + depth * (gain - 1), gain**depth), log=True),
        (
            f"The gain is the same everywhere, what it multiplies is not: the signal becomes {number(own.up)} times as large, "
            f"and {power} is expected.",
            f"A layer adds {percent(gain - 1)} of what reaches it, not of the input. On this logarithmic axis that is a straight "
            f"line, to {number(own.up)} times the input.",
            f"The signal becomes {number(own.up)} times as large; {power} is expected. With a gain of 1, LeCun's, it is "
            f"{number(lecun.up)}.",
        ),
    )


def _hundredth(values: Values) -> Outcome:
    name, width, depth = "N(0, 0.01²)", whole(values, "width"), whole(values, "depth")
    line, std = _fan(values)[name], INITIALIZERS[name].std(width, width)
    gain = math.sqrt(width) * std
    sum_of = f"√{width} · {number(std)} = {number(gain)}"
    return Outcome(
        nearest(line.up, (std, gain**depth, std**depth), log=True),
        (
            f"The first layer alone leaves {number(float(line.signal[1]))}. The {depth - 1} layers above it multiply as well, "
            f"and {line.end} is left.",
            f"{line.end} is left, ×{number(line.factor)} a layer: {width} terms of mixed sign and spread {number(std)} add up "
            f"to {sum_of}.",
            f"A unit adds up {width} terms of mixed sign, so that a layer multiplies by {sum_of} at most and not by "
            f"{number(std)}: {line.end} is left.",
        ),
    )


def _glorot(values: Values) -> Outcome:
    fan = _fan(values)
    glorot, he = fan["Glorot normal"], fan["He normal"]
    half, depth = math.sqrt(0.5), whole(values, "depth")
    return Outcome(
        nearest(glorot.up, (1.0, half, half**depth), log=True),
        (
            f"In linear layers it would. Behind ReLU half of the second moment is missing in every layer, and {glorot.end} of "
            f"the signal is left after {_layers(values)}.",
            f"{number(half)} is what one layer leaves. The next one takes its half again, and {glorot.end} is left after "
            f"{_layers(values)}.",
            f"{glorot.end} of the signal is left and {glorot.bottom} of the gradient. He's line, twice the variance, ends at "
            f"{he.end}.",
        ),
    )


def _default(values: Values) -> Outcome:
    fan = _fan(values)
    torch, lecun, he = (fan[name] for name in ("PyTorch Linear", "LeCun normal", "He normal"))
    sixth = math.sqrt(1 / 6)
    return Outcome(
        nearest(torch.factor, (sixth, math.sqrt(0.5), 1.0), log=True),
        (
            f"Measured ×{number(torch.factor)}, in theory √(1/6) = {number(sixth)}: after {_layers(values)} {torch.end} of the "
            "signal is left.",
            f"That is LeCun's line, ×{number(lecun.factor)} a layer. A uniform draw within ±1/√n has a third of the variance "
            f"1/n, and goes ×{number(torch.factor)}.",
            f"That is He's line, which ends at {he.end}. The default of Linear knows nothing of ReLU, goes "
            f"×{number(torch.factor)} a layer and ends at {torch.end}.",
        ),
    )


def _uniform(values: Values) -> Outcome:
    fan = _fan(values)
    normal, uniform = fan["He normal"], fan["He uniform"]
    bands = [f"{number(line.low)} to {number(line.high)}" for line in (normal, uniform)]
    overlap = max(normal.low, uniform.low) <= min(normal.high, uniform.high)
    return Outcome(
        1 if overlap else (2, 0)[levelest((normal.up, uniform.up))],
        (
            f"No weight is extreme, but a sum of many only knows their variance: ×{number(uniform.factor)} a layer, with "
            f"normal draws ×{number(normal.factor)}.",
            f"×{number(normal.factor)} a layer with normal draws, ×{number(uniform.factor)} with uniform ones. The networks of "
            f"one kind differ more: {bands[0]} and {bands[1]} at the last layer.",
            f"More weights are small, a few are large, and the variance is the same. The lines end at {normal.end} and "
            f"{uniform.end}, and networks of normal draws alone lie from {bands[0]}.",
        ),
    )


def _fans(values: Values) -> Outcome:
    from charts.initialization import LEVEL  # the page imports this module

    fan, widest = _fan(values), whole(values, "width")
    fan_in, fan_out = fan["He normal"], fan["He normal (fan_out)"]
    ends = f"√({widest}/{number(widest * real(values, 'taper'))}) = {number(real(values, 'taper') ** -0.5)}"
    ups = fan_in.up, fan_out.up
    return Outcome(
        2 if max(abs(math.log(up)) for up in ups) < LEVEL else levelest(ups),
        (
            f"With fan_in the signal ends at {fan_in.end}, with fan_out at {fan_out.end}, near {ends}. For the gradient it is "
            f"the other way round: {fan_in.bottom} and {fan_out.bottom}.",
            f"fan_out is the number of terms on the way back, and keeps the gradient: it ends at {fan_out.bottom}. The signal "
            f"grows to {fan_out.end}.",
            f"In one layer they differ little. Over all {whole(values, 'depth')} the differences multiply to {ends}: the "
            f"signal ends at {fan_in.end} with fan_in, at {fan_out.end} with fan_out.",
        ),
    )


def _tanh(values: Values) -> Outcome:
    fan, depth = _fan(values), whole(values, "depth")
    he, lecun = fan["He normal"], fan["LeCun normal"]
    if he.up > _SOME and he.down > _SOME:
        answer = 0
    else:
        answer = 2 if he.up < 1 / _SOME and he.down < 1 / _SOME else 1
    return Outcome(
        answer,
        (
            f"√2 a layer would be {number(2 ** (depth / 2))} at layer {depth}. tanh bounds the signal, which ends at {he.end}; "
            f"the gradient alone grows, to {he.bottom}.",
            f"He's signal ends at {he.end}, its gradient at {he.bottom}. LeCun's lines fade slowly, to {lecun.end} and "
            f"{lecun.bottom}.",
            f"Only a part of the units saturates. The signal ends at {he.end}, above LeCun's {lecun.end}, and where tanh still "
            f"has a slope the larger weights win: the gradient ends at {he.bottom}.",
        ),
    )


def _sigmoid(values: Values) -> Outcome:
    fan = _fan(values)
    lecun, he = fan["LeCun normal"], fan["He normal"]
    most = max(line.down for line in fan.values())
    return Outcome(
        0 if 1 / _MANY < most < _MANY else 1 if most > 1 else 2,
        (
            f"The weights are the same, but the gradient meets the slope of sigmoid, {number(0.25)} at most: LeCun's signal "
            f"ends at {lecun.end}, its gradient at {lecun.bottom}.",
            f"That takes more than 1 a layer. Slopes of at most {number(0.25)} leave ×{number(lecun.back)} with LeCun and "
            f"×{number(he.back)} with He.",
            f"LeCun's signal ends at {lecun.end} and its gradient at {lecun.bottom}. He's larger weights end at {he.bottom}: "
            "they help, and not nearly enough.",
        ),
    )


# The tabs


def _equal(values: Values) -> Outcome:
    lines = _tab(values, "Symmetry", "symmetry", "lines")
    units, noise = whole(values, "symmetry_units"), number(real(values, "noise"))
    ends = {
        name: (part["loss"].iloc[0], part["loss"].iloc[-1], part["distinct"].iloc[-1])
        for name, part in lines.items()
    }
    (first, last, differ), (_, noisy, apart), (_, zero, _) = (
        tuple(float(each) for each in ends[name]) for name in ("constant", "constant + noise", "zeros")
    )
    if differ > 1:
        answer = 0
    else:
        answer = 2 if last == first else 1
    kept = f"The loss goes from {number(first)} to {number(last)}"
    return Outcome(
        answer,
        (
            f"Units that are equal get equal gradients, and nothing ever tells them apart: in the end "
            f"{counted(differ, 'unit')} of {units} is left. Noise of {noise} at the start gives {number(apart)}.",
            f"{kept}: {units} units do the work of {number(differ)}. With noise of {noise} at the start "
            f"{number(apart)} differ in the end, and the loss is {number(noisy)}.",
            f"That is the start at zero, whose loss stays at {number(zero)}. {kept}: equal weights do move, all of them alike.",
        ),
    )


def _sum_of_terms(values: Values) -> Outcome:
    # Whatever exponent the tab is set to: the notes' 1/M is asked about.
    at_one = {**values, "exponent": 1.0}
    lines = _tab(at_one, "Layers", "exponent", "linear_lines")
    m, depth = whole(values, "exponent_width"), whole(values, "depth")
    root, mean = (float(lines[name]["y"].iloc[-1]) for name in ("1/√M", "1/M"))
    unscaled = float(linear_rms(1.0, m, depth)[-1])
    return Outcome(
        levelest((root, mean, unscaled)),
        (
            f"In the linear network 1/√M ends at {number(root)}, 1/M at {number(mean)}: {m} terms of mixed sign add up to "
            f"about {number(math.sqrt(m))} times one of them.",
            f"The mean of {m} terms of mixed sign is not as large as one of them, but {number(1 / math.sqrt(m))} of it: 1/M "
            f"ends at {number(mean)} after {_layers(values)}.",
            f"They cancel only in part: {m} terms add up to about {number(math.sqrt(m))} times one of them, and after "
            f"{_layers(values)} the signal would be at {number(unscaled)}.",
        ),
    )


def _normalized(values: Values) -> Outcome:
    lines = _tab(values, "Remedies", "remedies", "layers")
    gradients = {name: part["gradient"].to_numpy(float) for name, part in lines.items()}
    grown = {name: float(line[0] / line[-1]) for name, line in gradients.items()}
    before, plain, skips = (grown[name] for name in ("BatchNorm before", "none", "residual + BatchNorm"))
    top = number(float(lines["BatchNorm before"]["signal"].iloc[-1]))
    each = before ** (1 / whole(values, "depth"))
    return Outcome(
        1 if 1 / _MANY < before < _MANY else 0 if before > 1 else 2,
        (
            f"It arrives {number(before)} times as large, ×{number(each)} a layer, while the signal ends at {top}. With "
            f"residual connections beside BatchNorm it is {number(skips)} times.",
            f"The signal is: it ends at {top}. On the way back every BatchNorm divides by the spread of what it got, which ReLU "
            f"has made small, and the gradient arrives {number(before)} times as large.",
            f"Without BatchNorm it fades to {number(plain)} with these weights. With it the weights' scale cancels, and the "
            f"gradient arrives {number(before)} times as large.",
        ),
    )


def _edge(values: Values) -> Outcome:
    fan, lines = _fan(values), _tab(values, "Phase", "correlation", "layers")
    below, at, above = (float(lines[name]["c"].iloc[-1]) for name in ("below", "critical", "above"))
    c0 = math.cos(math.radians(real(values, "phase_angle")))
    low, high = fan["LeCun normal"], fan["He normal"]
    if low.up < 1 / _MANY and high.up > _MANY:
        answer = 1
    else:
        answer = 0 if max(abs(below - c0), abs(above - c0)) < _ONE_ANGLE else 2
    layers = counted(whole(values, "phase_layers"), "layer")
    return Outcome(
        answer,
        (
            f"Their correlation begins at {number(c0)}. After {layers} it is {number(below)} at half the critical σ_w² and "
            f"{number(above)} at twice; on the border itself {number(at)}.",
            f"tanh and the biases hold every signal: in the fan, LeCun's ends at {low.end} on one side of the border, He's at "
            f"{high.end} on the other. What goes is the difference of inputs: c is {number(below)} or {number(above)}.",
            f"From {number(c0)} the correlation goes to {number(below)} at half the critical σ_w², and to {number(above)} at "
            f"twice, where any two inputs end as far apart. On the border it is {number(at)}.",
        ),
    )


PREDICTIONS: Mapping[str, Callable[[Values], Outcome]] = MappingProxyType(
    {
        "alive": _alive,
        "compound": _compound,
        "equal": _equal,
        "hundredth": _hundredth,
        "sum": _sum_of_terms,
        "glorot": _glorot,
        "default": _default,
        "uniform": _uniform,
        "fans": _fans,
        "sigmoid": _sigmoid,
        "tanh": _tanh,
        "normalized": _normalized,
        "edge": _edge,
    }
)
