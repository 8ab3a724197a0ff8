"""Initialization: how large signal and gradient are in every layer, for several schemes, theory over measurement."""

from functools import lru_cache

import altair as alt
import numpy as np
import pandas as pd

from charts import progress, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread
from charts.topic import Group, Scenario, Topic, Values, View, real, whole, word, words
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS, Initializer
from core.knobs import Knob, aliases_of, latex, number
from core.propagation import (
    FLOAT32_MAX,
    FLOAT32_TINY,
    MeanField,
    Propagation,
    first_bad,
    pooled_rms,
    propagate,
    propagate_theory,
)

Array = np.ndarray

STYLES = theme.styles(
    INITIALIZERS,
    fixed={
        "N(0, 1)": ("vermilion", 0),
        "He normal": ("blue", 0),
        "Glorot normal": ("green", 0),
        "PyTorch Linear": ("purple", 0),
        "N(0, 0.01²)": ("ochre", 0),
        "LeCun normal": ("cyan", 0),
        "orthogonal": ("crimson", 0),
        "constant": ("indigo", 0),
        "He uniform": ("blue", 1),
        "Glorot uniform": ("green", 1),
        "LeCun uniform": ("cyan", 1),
        "zeros": ("indigo", 2),
    },
)

# What the panels show: the decades around float32, or those where bands can be told apart.
WINDOWS = {"all of float32": (1e-42, 1e42), "twelve decades": (1e-10, 1e2), "five decades": (1e-3, 1e2)}
# Weights drawn in one run, a few seconds of work; beyond it fewer networks are drawn, and said.
_WEIGHTS = 150_000_000
_HOMOGENEOUS = "ReLU"  # the variance 5L/n of one network's logarithm is known for it
_PART = 4_000_000  # weights or signals of one part of a run, about a tenth of a second

KNOBS = (
    Knob(
        "schemes", "choices", ("N(0, 1)", "He normal", "Glorot normal", "PyTorch Linear", "N(0, 0.01²)"),
        label="Schemes", choices=tuple(INITIALIZERS), aliases=aliases_of(INITIALIZERS), most=6,
    ),
    Knob("activation", "choice", "ReLU", label="Activation", choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS)),
    Knob("depth", "int", 50, label="Depth", low=1, high=100, step=1, symbol="L"),
    Knob("width", "int", 64, label="Width", low=16, high=1024, log=True, symbol="n"),
    Knob("scale", "choice", "all of float32", label="Scale", choices=tuple(WINDOWS)),
    Knob("seeds", "int", 10, label="Networks", low=1, high=50, step=1, help="Networks drawn for every scheme."),
    Knob("batch", "int", 4, label="Batch", low=1, high=128, log=True),
    Knob(
        "sigma_b", "float", 0.0, label="Bias spread", low=0.0, high=2.0, step=0.05, symbol="σ_b",
        help="Standard deviation of the biases.",
    ),
    Knob("seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip


def _own(activation: str, knob: str) -> str:
    letters = "".join(c if c.isalnum() else " " for c in activation.lower())
    return "_".join([*letters.split(), knob])


def _all_knobs() -> dict[str, Knob]:
    knobs = {knob.name: knob for knob in KNOBS}
    for name, entry in ACTIVATIONS.items():
        for knob in entry.knobs:
            own = knob.named(_own(name, knob.name), label=f"{name}: {knob.label or knob.name}")
            knobs[own.name] = own
    for name, scheme in INITIALIZERS.items():
        for knob in scheme.knobs:
            own = knob.named(_own(name, knob.name), label=f"{name}: {knob.label or knob.name}")
            knobs[own.name] = own
    return knobs


def _layout(values: Values) -> tuple[Group, ...]:
    own = tuple(
        _own(word(values, "activation"), knob.name) for knob in ACTIVATIONS[word(values, "activation")].knobs
    )
    schemes = tuple(_own(name, knob.name) for name in _schemes(values) for knob in INITIALIZERS[name].knobs)
    return (
        Group(("schemes", *schemes, "activation", *own, "depth", "width", "scale")),
        Group(("seeds", "batch", "sigma_b", "seed"), "More"),
    )


@lru_cache(maxsize=32)
def _spec(width: int, window: str) -> Spec:
    narrow = width < NARROW
    inner = width - 165 if narrow else round((width - 282) / 2)
    tall = 300 if narrow else 430
    low, high = WINDOWS[window]
    exponents = range(
        -36 if low < 1e-36 else round(np.log10(low)),
        round(np.log10(high)) + 1,
        12 if high / low > 1e20 else 2 if high / low > 1e6 else 1,
    )
    axis = alt.Axis(
        values=[float(f"1e{e}") for e in exponents],
        tickCount=len(exponents),
        labelOverlap=False,
        labelExpr=theme.POWER,
    )

    def panel(name: str) -> Panel:
        # The gradient walks from the last layer to the first, so its axis does too: both fans open to the right.
        x = alt.X(
            "layer:Q",
            title="layer" if name == "signal" else "layer, from the last to the first",
            scale=alt.Scale(nice=False, zero=False, reverse=name == "gradient"),
            axis=alt.Axis(grid=False, tickMinStep=1),
        )
        scale = alt.Scale(type="log", domain=[low, high], nice=False, clamp=False)
        y = alt.Y(f"{name}:Q", title=None, scale=scale, axis=axis)
        base = alt.Chart(named("layers"))
        limits = alt.Chart(named("limits"))
        layers = [
            limits.mark_rule(strokeDash=[5, 4], strokeWidth=1, clip=True).encode(
                y=alt.Y("y:Q", scale=scale, axis=axis), color=theme.ink("muted")
            ),
            base.mark_area(opacity=0.2, clip=True).encode(
                x=x,
                y=alt.Y(f"{name}_low:Q", scale=scale),
                y2=f"{name}_high:Q",
                detail="name:N",
                color=theme.color(),
            ),
            alt.Chart(named("ghost"))
            .mark_line(strokeWidth=1.4, opacity=0.6, clip=True)
            .encode(x=x, y=y, detail="name:N", color=theme.ink("muted")),
            base.mark_line(clip=True).encode(
                x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            base.mark_point(filled=True, size=theme.DOT, opacity=1, clip=True).encode(
                x=x, y=alt.Y(f"{name}_theory:Q", scale=scale), color=theme.ink("ink")
            ),
            alt.Chart(named(f"{name}_deaths"))
            .mark_point(shape="cross", angle=45, filled=True, size=90, opacity=1, clip=True)
            .encode(
                x=x,
                y=alt.Y("y:Q", scale=scale),
                color=theme.color(),
                tooltip=[alt.Tooltip("note:N", title="float32")],
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=alt.Y("y:Q", scale=scale), text="label:N", color=theme.color()),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
        ]
        if name == "signal":
            layers.append(
                limits.mark_text(
                    align="left", dx=4, dy=-6, fontSize=theme.SMALL_SIZE - 0.5, clip=True
                ).encode(
                    x=alt.value(0), y=alt.Y("y:Q", scale=scale), text="label:N", color=theme.ink("muted")
                )
            )
        return alt.layer(*layers).properties(width=inner, height=tall, name=name)

    panels = [panel("signal"), panel("gradient")]
    both = alt.vconcat(*panels) if narrow else alt.hconcat(*panels)
    return assemble(both.resolve_scale(color="shared", strokeDash="shared"), theme.config())


@lru_cache(maxsize=4)
def _builder(window: str) -> "_Builder":
    return _Builder(window)


class _Builder:
    """The specification for one window; one object per window, so that it is recognized as the same."""

    def __init__(self, window: str) -> None:
        self.window = window

    def __call__(self, width: int) -> Spec:
        return _spec(width, self.window)


def _settings(values: Values) -> dict[str, float]:
    name = word(values, "activation")
    return {knob.name: real(values, _own(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


def _schemes(values: Values) -> tuple[str, ...]:
    return words(values, "schemes")


def _scheme(name: str, values: Values) -> Initializer:
    """Return a scheme with the values of its own knobs."""
    entry = INITIALIZERS[name]
    return entry.at(**{knob.name: real(values, _own(name, knob.name)) for knob in entry.knobs})


def _described(name: str, values: Values) -> str:
    """Name a scheme with the values of its own knobs, for the caption."""
    own = ", ".join(
        f"{knob.symbol or knob.name} {number(real(values, _own(name, knob.name)), 6)}"
        for knob in INITIALIZERS[name].knobs
    )
    return f"{name} ({own})" if own else name


def networks(values: Values) -> int:
    """Return how many networks are drawn: those asked for, as long as their weights stay below the cap."""
    weights = whole(values, "depth") * whole(values, "width") ** 2
    return max(1, min(whole(values, "seeds"), _WEIGHTS // weights))


def run(values: Values) -> tuple[Propagation, MeanField]:
    """Measure the chosen schemes on random networks, and ask mean-field theory for the same."""
    activation = ACTIVATIONS[word(values, "activation")]
    schemes = [_scheme(name, values) for name in _schemes(values)]
    depth, width, batch = whole(values, "depth"), whole(values, "width"), whole(values, "batch")
    sigma_b, knobs = real(values, "sigma_b"), _settings(values)
    total = networks(values)
    # A run that takes a moment goes in parts, so that a page can show how far it is and let go of it.
    part = max(1, min(total, _PART // (depth * width * max(width, batch * max(1, len(schemes))))))
    parts = []
    for first in range(0, total, part):
        parts.append(
            propagate(
                activation, schemes, depth=depth, width=width, batch=batch, seeds=min(part, total - first),
                seed=whole(values, "seed"), sigma_b=sigma_b, knobs=knobs, first=first, weight_gradients=False,
            )
        )  # fmt: skip
        if part < total:
            progress.report((first + part) / total, f"{min(first + part, total)} of {total} networks")
    measured = Propagation(
        np.concatenate([p.signal_rms for p in parts], axis=1),
        np.concatenate([p.gradient_rms for p in parts], axis=1),
        None,
    )
    theory = propagate_theory(
        activation, schemes, depth=depth, width=width, batch=batch, sigma_b=sigma_b, knobs=knobs
    )
    return measured, theory


def _visible(y: Array) -> Array:
    """Leave out what a log axis cannot carry: exact zeros and what float64 itself lost."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _figure(values: Values, measured: Propagation, theory: MeanField) -> Figure:
    names = _schemes(values)
    window = word(values, "scale")
    low, high = WINDOWS[window]
    depth = whole(values, "depth")
    layer = np.arange(depth + 1, dtype=np.int16)
    dotted = layer % max(1, depth // 16) == 0
    quantities = {
        "signal": (measured.signal_rms, theory.signal_rms),
        "gradient": (measured.gradient_rms, theory.gradient_rms),
    }
    parts: list[Part] = []
    mean = {name: pooled_rms(rms) for name, (rms, _) in quantities.items()}
    for k, scheme in enumerate(names):
        style = STYLES[scheme]
        columns: Part = {}
        for name, (rms, predicted) in quantities.items():
            below, above = np.quantile(rms[k], (0.1, 0.9), axis=0)
            columns |= {
                name: _visible(mean[name][k]),
                f"{name}_low": _visible(below),
                f"{name}_high": _visible(above),
                f"{name}_theory": _visible(np.where(dotted, predicted[k], np.nan)),
            }
        parts.append(
            {
                "layer": layer,
                "name": scheme,
                "slot": np.int8(style.slot),
                "dash": np.int8(style.dash),
                **columns,
            }
        )
    nothing = rows(
        layer=[0], name="", slot=theme.MUTED, dash=0, y=low / 10, note="", label="",
        **{f"{q}{part}": low / 10 for q in quantities for part in ("", "_low", "_high", "_theory")},
    )  # fmt: skip
    layers = rows(*parts) if parts else nothing
    extra = {}
    for name in quantities:
        extra[f"{name}_deaths"] = (
            _deaths(names, mean[name], name == "gradient", nothing) if names else nothing
        )
        last = mean[name][:, -1 if name == "signal" else 0]
        extra[f"{name}_ends"] = _ends(names, last, low, high, nothing)
    limits = [y for y in (FLOAT32_TINY, FLOAT32_MAX) if low < y < high]
    return Figure(
        name="initialization/fan",
        build=_builder(window),
        data={
            "layers": layers,
            "limits": rows(
                y=limits,
                label=[
                    "float32 smallest normal 1.2e−38" if y < 1 else "float32 largest 3.4e38" for y in limits
                ],
            )
            if limits
            else nothing,
            "titles": rows(
                signal=["Signal: rms of h at each layer"], gradient=["Gradient: rms of ∂L/∂h at each layer"]
            ),
            **extra,
        },
        title="Signal and gradient by layer",
        caption=_caption(values),
        key=(
            "Lines: root of the mean second moment over networks. Band: 10th to 90th percentile of the networks. "
            "Small dots: mean-field theory. Cross: where a float32 run would end."
        ),
        alt="Root mean square of the signal, left, and of the gradient, right, at every layer, one line a scheme.",
        ghosts={"ghost": "layers"},
    )


def _deaths(names: tuple[str, ...], mean: Array, backward: bool, nothing: pd.DataFrame) -> pd.DataFrame:
    """Mark the layer at which a float32 run would underflow or overflow."""
    found = []
    for k, scheme in enumerate(names):
        layer = first_bad(mean[k], backward=backward)
        if layer is not None and np.isfinite(mean[k, layer]):
            word = "underflows" if mean[k, layer] < 1 else "overflows"
            found.append((layer, mean[k, layer], f"{scheme} {word} at layer {layer}", STYLES[scheme].slot))
    if not found:
        return nothing
    return rows(
        layer=[f[0] for f in found],
        y=[f[1] for f in found],
        note=[f[2] for f in found],
        slot=[f[3] for f in found],
    )


def _ends(
    names: tuple[str, ...], last: Array, low: float, high: float, nothing: pd.DataFrame
) -> pd.DataFrame:
    """Place the names beside the ends of the lines."""
    if not names:
        return nothing
    logs = np.log10(np.where(last > 0, np.clip(last, low, high), low))
    bottom, top = np.log10(low), np.log10(high)
    placed = spread(logs, 0.042 * (top - bottom), bottom, top)
    return rows(y=10.0**placed, label=list(names), slot=[STYLES[name].slot for name in names])


def _caption(values: Values) -> str:
    knobs = ", ".join(f"{k} {number(v, 6)}" for k, v in _settings(values).items())
    activation = f"{values['activation']} ({knobs})" if knobs else word(values, "activation")
    return (
        f"{', '.join(_described(name, values) for name in _schemes(values)) or 'no scheme'}; "
        f"{activation}, depth {values['depth']}, width {values['width']}, batch {values['batch']}, "
        f"{networks(values)} networks a scheme, σ_b {number(real(values, 'sigma_b'))}, seed {values['seed']}. "
        "h = φ(h)W + b, W of shape (fan_in, fan_out), float64; same draws for all schemes of a family."
    )


def _reading(values: Values, measured: Propagation, theory: MeanField) -> str:
    names = _schemes(values)
    if not names:
        return "Choose at least one scheme to see its signal."
    depth = whole(values, "depth")
    signal, gradient = pooled_rms(measured.signal_rms), pooled_rms(measured.gradient_rms)
    parts = []
    for k, scheme in enumerate(names):
        text = f"**{scheme}** signal {_factor(signal[k], float(theory.signal_rms[k, -1]), depth)}"
        if signal[k, -1] > 0:
            text += f", gradient {_factor(gradient[k, ::-1], float(theory.gradient_rms[k, 0]), depth)}"
            dead = first_bad(signal[k])
            if dead is not None:
                text += f"; float32 {'under' if signal[k, dead] < 1 else 'over'}flows at layer {dead}"
        parts.append(text)
    noun = "layer" if depth == 1 else f"{depth} layers"
    return f"Rms over {noun}, factor a layer and where it ends: {'. '.join(parts)}."


def _factor(rms: Array, predicted: float, depth: int) -> str:
    """Write what a layer multiplies the rms by, beside theory, and the rms at the end; ``rms`` in walking order."""
    end = float(rms[-1])
    if end == 0:
        return (
            f"0 from layer {int(np.argmax(rms == 0))} on"
            if rms[1] == 0
            else "too small for float64 at the end"
        )
    if not np.isfinite(end):
        return f"beyond float64 after {int(np.argmax(~np.isfinite(rms)))} layers"
    text = f"×{number((end / float(rms[0])) ** (1 / depth), 4)}"
    if np.isfinite(predicted) and predicted > 0:
        text += f" (theory {number(predicted ** (1 / depth), 4)})"
    return f"{text} to {number(end)}"


def _events(values: Values, measured: Propagation) -> tuple[str, ...]:
    events = []
    asked, drawn = whole(values, "seeds"), networks(values)
    if drawn < asked:
        events.append(
            f"**{drawn} of {asked} networks drawn**: depth × width² × networks stops at {_WEIGHTS // 1_000_000} million weights."
        )
    for k, scheme in enumerate(_schemes(values)):
        lost = np.flatnonzero(~np.isfinite(measured.signal_rms[k]).all(axis=0))
        if lost.size:
            events.append(f"**{scheme}** leaves even float64 at layer {int(lost[0])}.")
    return tuple(events)


def _why(values: Values, measured: Propagation, theory: MeanField) -> str:
    width = whole(values, "width")
    activation = ACTIVATIONS[word(values, "activation")]
    sigma_b = real(values, "sigma_b")
    names = _schemes(values)
    lines = [
        r"A layer computes $h^l = \varphi(h^{l-1})\,W^l + b^l$ with independent weights of variance "
        r"$\sigma_w^2/n_\mathrm{in}$. For wide layers the second moment $q^l = \mathrm E\,(h^l)^2$ follows",
        r"$$q^l = \sigma_w^2\;\mathrm E\,\varphi(\sqrt{q^{l-1}}\,z)^2 + \sigma_b^2,\qquad "
        r"\chi^l = \sigma_w^2\;\mathrm E\,\varphi'(\sqrt{q^{l-1}}\,z)^2,\qquad z \sim \mathcal N(0, 1),$$",
        r"and the gradient's second moment is multiplied by $\chi^l$ on its way back. The dots are these "
        f"recursions for {activation.name}, $\\sigma_b = {latex(sigma_b)}$ and $n = {width}$; the figure shows roots, "
        r"$\sqrt{q^l}$.",
    ]
    for k, scheme in enumerate(names):
        entry = _scheme(scheme, values)
        if entry.mean != 0:
            lines.append(
                f"**{scheme}**: ${entry.formula}$. Its weights are not independent of one another, so this theory "
                "says nothing about it."
            )
            continue
        sigma_w2 = width * entry.std(width, width) ** 2
        q1, chi = float(theory.signal_rms[k, 1]) ** 2, float(theory.slope[k, -1])
        lines.append(
            rf"**{scheme}** ({entry.source}): $W_{{ij}} \sim {entry.formula}$, so $\sigma_w^2 = {latex(sigma_w2, 4)}$, the "
            rf"first layer has $q^1 = {latex(q1, 4)}$, and in the last $\chi = {latex(chi, 4)}$: the gradient's rms is "
            f"multiplied by {number(float(np.sqrt(chi)), 4)} a layer."
        )
    if activation.name == _HOMOGENEOUS and sigma_b == 0 and names:
        variance = 5 * real(values, "depth") / width
        lines.append(
            f"One network is not the mean of all: in a ReLU stack the logarithm of $q^L$ has variance near $5L/n = "
            f"{latex(variance)}$, so at this depth and width a typical network lies below the theory, and the mean over "
            "a few networks scatters around it."
        )
    return "\n\n".join(lines)


def make(values: Values) -> View:
    """Propagate and draw."""
    measured, theory = run(values)
    return View(
        figure=_figure(values, measured, theory),
        reading=_reading(values, measured, theory),
        why=_why(values, measured, theory),
        events=_events(values, measured),
    )


SCENARIOS = (
    Scenario(
        "Five schemes, fifty layers",
        "One line stays level: He's. The factor a layer is the slope of a line, so a scheme that is slightly off is "
        "hopeless at depth 50. Press the right arrow on the width: N(0, 1) gets steeper, He does not move.",
        question="Which of these five keeps a ReLU network's signal alive for fifty layers?",
    ),
    Scenario(
        "Glorot with ReLU",
        "Glorot was derived for a linear or tanh unit. ReLU drops half the second moment a layer, Glorot does not "
        "put it back: ×0.707 a layer, 3e−5 after 30.",
        {"schemes": ("Glorot normal", "He normal"), "depth": 30, "scale": "twelve decades"},
        question="Is Glorot good enough for 30 layers of ReLU?",
    ),
    Scenario(
        "tanh at the edge",
        "For tanh with small signals Glorot and LeCun are right, and the signal only fades as 1/√(2L). He starts "
        "too large: tanh saturates, the signal stays, and the gradient grows.",
        {
            "schemes": ("Glorot normal", "LeCun normal", "He normal"),
            "activation": "tanh",
            "scale": "five decades",
            "width": 128,
            "seeds": 5,
        },
        question="What does He's factor 2 do to a tanh network?",
    ),
    Scenario(
        "Sigmoid loses its gradient",
        "A sigmoid's signal looks healthy at every layer, since half of it is a constant. Its gradient is multiplied by "
        "0.24 a layer, with He's larger weights by 0.32: lost either way.",
        {"activation": "sigmoid", "schemes": ("LeCun normal", "Glorot normal", "He normal")},
        question="If the signal stays level, does the gradient too?",
    ),
    Scenario(
        "SELU's fixed point",
        "SELU with LeCun weights pulls the second moment to 1 from wherever it starts. With He weights it settles "
        "higher, and the gradient grows.",
        {
            "activation": "SELU",
            "schemes": ("LeCun normal", "He normal", "PyTorch Linear"),
            "scale": "twelve decades",
        },
        question="Which scheme does SELU need to normalize itself?",
    ),
    Scenario(
        "Zeros and constants",
        "All weights equal: zeros pass nothing on, a constant passes the same sum to every unit, so the whole layer "
        "acts as one unit.",
        {"schemes": ("zeros", "constant", "He normal")},
        question="May all weights of a network start at the same value?",
    ),
)

TOPIC = Topic(
    name="initialization",
    prefix="init",
    title="Initialization",
    question="Does a signal, and its gradient, survive fifty layers?",
    icon=":material/stacked_line_chart:",
    knobs=_all_knobs(),
    scenarios=SCENARIOS,
    make=make,
    layout=_layout,
)
