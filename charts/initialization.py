"""Initialization: how large signal and gradient are in every layer, for several schemes, theory over measurement."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.describe import described
from charts.describe import own as own_knob
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.initialization_code import programs
from charts.initialization_layers import LAYERS_KNOBS, grid_click, layers_blocks, layers_knobs
from charts.initialization_notes import MEASURES
from charts.initialization_phase import PHASE_KNOBS, phase_blocks, phase_click
from charts.initialization_predictions import PREDICTIONS
from charts.initialization_remedies import REMEDY_KNOBS, remedy_blocks, remedy_knobs
from charts.initialization_training import (
    INIT_TRAIN_KNOBS,
    SYMMETRY_KNOBS,
    init_train_blocks,
    symmetry_blocks,
)
from charts.once import once
from charts.topic import Block, Group, Scenario, Tab, Topic, Values, View, Words, real, whole, word, words
from core.activations import ACTIVATIONS
from core.initializers import DATA_DEPENDENT, INITIALIZERS, Initializer
from core.kept import keep
from core.knobs import Knob, aliases_of, latex, number
from core.propagation import (
    FLOAT32_MAX,
    FLOAT32_TINY,
    MeanField,
    Propagation,
    first_bad,
    layer_widths,
    log_variance,
    mean_field_step,
    pooled_rms,
    propagate,
    propagate_theory,
)

Array = np.ndarray

SCHEMES: Mapping[str, Initializer] = {**INITIALIZERS, **DATA_DEPENDENT}

STYLES = theme.styles(
    SCHEMES,
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
_TEXT_LENGTH, _TEXT_HEIGHT = 0.45, 0.05  # share of a narrow panel that the text at a limit of float32 takes
# Weights drawn in one run, a few seconds of work; beyond it fewer networks are drawn, and said.
_WEIGHTS = 150_000_000
_PART = 16_000_000  # weights or signals of one part of a run, some three tenths of a second
# Families of independent entries, each of little weight: only their sums have the variance that theory gives ln q.
_INDEPENDENT = ("normal", "truncated normal", "uniform")
# A logarithmic factor a layer that counts.
_SLOWEST = 1e-3
# Half of float32's smallest number rounds to 0, and no entry of a layer is much larger than four times their rms.
_ALL_ZERO = 2.0**-150 / 4
LEVEL = 0.35  # ln of a factor below which a line counts as level


class Quantity(NamedTuple):
    """What a panel draws of every layer: measured (schemes, seeds, depth + 1), theory (schemes, depth + 1)."""

    title: str
    noun: str
    measured: Callable[[Propagation], Array]
    theory: Callable[[MeanField], Array]
    needs: str = ""  # what the run has to measure for it


def _got(array: Array | None) -> Array:
    assert array is not None, "the run was asked for it"
    return array


def _by_upper_layer(array: Array | None) -> Array:
    """Give weights, which begin at layer 1, a place at layer 0 with nothing in it."""
    return np.concatenate([np.full((*_got(array).shape[:-1], 1), np.nan), _got(array)], axis=-1)


def _squared(rms: Array) -> Array:
    """Return second moments; ∞ where float64 has none, which no axis shows."""
    with np.errstate(over="ignore"):
        return np.asarray(rms**2)


SIGNALS: Mapping[str, Quantity] = {
    "rms": Quantity(
        "Signal: rms of h at each layer", "rms", lambda run: run.signal_rms, lambda mf: mf.signal_rms
    ),
    "second moment": Quantity(
        "Signal: second moment of h at each layer",
        "second moment",
        lambda run: _squared(run.signal_rms),
        lambda mf: _squared(mf.signal_rms),
    ),
    "spread over the batch": Quantity(
        "Signal: spread of a unit over the batch, at each layer",
        "spread over the batch",
        lambda run: _got(run.neuron_std),
        lambda mf: _got(mf.neuron_std),
        "moments",
    ),
    "mean": Quantity(
        "Signal: size of the mean over batch and units, at each layer",
        "mean",
        lambda run: np.abs(_got(run.signal_mean)),
        lambda mf: _got(mf.mean_rms),
        "moments",
    ),
}
GRADIENTS: Mapping[str, Quantity] = {
    "of activations": Quantity(
        "Gradient: rms of ∂L/∂h at each layer", "gradient", lambda run: run.gradient_rms, lambda mf: mf.gradient_rms
    ),
    "of weights": Quantity(
        "Gradient: rms of ∂L/∂W at each layer", "weight gradient",
        lambda run: _by_upper_layer(run.weight_gradient_rms), lambda mf: _by_upper_layer(mf.weight_gradient_rms),
        "weight_gradients",
    ),
}  # fmt: skip
STATISTICS = ("mean", "median")
_WIDEST, _DEEPEST = 1024, 100

KNOBS = (
    Knob(
        "schemes", "choices", ("N(0, 1)", "He normal", "Glorot normal", "PyTorch Linear", "N(0, 0.01²)"),
        label="Schemes", choices=tuple(SCHEMES), aliases=aliases_of(SCHEMES), most=6,
    ),
    Knob("activation", "choice", "ReLU", label="Activation", choices=tuple(ACTIVATIONS), aliases=aliases_of(ACTIVATIONS)),
    Knob("depth", "int", 50, label="Depth", low=1, high=_DEEPEST, step=1, symbol="L", cap="depth"),
    Knob("width", "int", 64, label="Width", low=16, high=1024, log=True, symbol="n", cap="width"),
    Knob("scale", "choice", "all of float32", label="Scale", choices=tuple(WINDOWS)),
    Knob("seeds", "int", 10, label="Networks", low=1, high=50, step=1, help="Networks drawn for every scheme.", cap="seeds"),
    Knob("batch", "int", 4, label="Batch", low=1, high=128, log=True),
    Knob(
        "sigma_b", "float", 0.0, label="Bias spread", low=0.0, high=2.0, step=0.05, symbol="σ_b",
        help="Standard deviation of the biases.",
    ),
    Knob("signal", "choice", "rms", label="Signal panel", choices=tuple(SIGNALS)),
    Knob("gradient", "choice", "of activations", label="Gradient panel", choices=tuple(GRADIENTS)),
    Knob(
        "statistic", "choice", "mean", label="Over networks", choices=STATISTICS,
        help="Root of the mean second moment over networks, or the network in the middle.",
    ),
    Knob(
        "taper", "float", 1.0, label="Last width over first", low=0.125, high=8.0, log=True,
        help="Widths change geometrically from the first layer to the last, where fan_in and fan_out disagree.",
    ),
    Knob("input_scale", "float", 1.0, label="Input scale", low=0.01, high=100.0, log=True, help="Rms of the input."),
    Knob("seed", "int", 0, label="Seed", low=0, high=9999, step=1),
)  # fmt: skip


_TAB_KNOBS = (*LAYERS_KNOBS, *PHASE_KNOBS, *REMEDY_KNOBS, *SYMMETRY_KNOBS, *INIT_TRAIN_KNOBS)


def _names(knobs: Sequence[Knob]) -> tuple[str, ...]:
    return tuple(knob.name for knob in knobs)


def _all_knobs() -> dict[str, Knob]:
    knobs = {knob.name: knob for knob in KNOBS}
    for name, entry in ACTIVATIONS.items():
        for knob in entry.knobs:
            own = knob.named(own_knob(name, knob.name), label=f"{name}: {knob.label or knob.name}")
            knobs[own.name] = own
    for knob in _TAB_KNOBS:
        knobs[knob.name] = knob
    for name, scheme in SCHEMES.items():
        for knob in scheme.knobs:
            own = knob.named(own_knob(name, knob.name), label=f"{name}: {knob.label or knob.name}")
            knobs[own.name] = own
    return knobs


def _layout(values: Values) -> tuple[Group, ...]:
    own = tuple(
        own_knob(word(values, "activation"), knob.name)
        for knob in ACTIVATIONS[word(values, "activation")].knobs
    )
    schemes = tuple(own_knob(name, knob.name) for name in _schemes(values) for knob in SCHEMES[name].knobs)
    beside = (own_of for tab in ("Layers", "Remedies") for own_of in _tab_own(tab, values))
    tabs = dict.fromkeys(
        (
            *layers_knobs(values),
            *_names(PHASE_KNOBS),
            *remedy_knobs(values),
            *_names(SYMMETRY_KNOBS),
            *_names(INIT_TRAIN_KNOBS),
            *beside,
        )
    )
    return (
        Group(("schemes", *schemes, "activation", *own, "depth", "width", "scale")),
        Group(
            ("signal", "gradient", "statistic", "taper", "input_scale", "seeds", "batch", "sigma_b", "seed"),
            "More",
        ),
        Group(tuple(tabs), resting=True),
    )


def _tab_own(tab: str, values: Values) -> tuple[str, ...]:
    """Name the own knobs of the scheme that a tab uses and the panel does not show."""
    used = {
        "Layers": word(values, "one_scheme") if word(values, "layers_view") == "ridgelines" else "",
        "Remedies": word(values, "remedy_scheme"),
    }
    name = used[tab]
    if not name or name in _schemes(values):
        return ()
    return tuple(own_knob(name, knob.name) for knob in SCHEMES[name].knobs)


@lru_cache(maxsize=32)
def _spec(width: int, window: str) -> Spec:
    narrow = width < NARROW
    inner = width - 178 if narrow else round((width - 310) / 2)
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
                y2=alt.Y2(f"{name}_high:Q"),
                detail=alt.Detail("name:N"),
                color=theme.color(),
            ),
            alt.Chart(named("ghost"))
            .mark_line(strokeWidth=1.4, opacity=0.6, clip=True)
            .encode(x=x, y=y, detail=alt.Detail("name:N"), color=theme.ink("muted")),
            base.mark_line(clip=True).encode(
                x=x, y=y, detail=alt.Detail("name:N"), color=theme.color(), strokeDash=theme.dash()
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
                tooltip=[alt.Tooltip("note:N", title="cross")],
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(
                x=compose.at_x(inner),
                y=alt.Y("y:Q", scale=scale),
                text=alt.Text("label:N"),
                color=theme.color(),
            ),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(
                x=compose.at_x(0), y=compose.at_y(-8), text=alt.Text(f"{name}:N"), color=theme.ink("ink")
            ),
        ]
        if name == "signal":
            # The ground's color around the letters, so that no grid line crosses them out.
            layers += [
                limits.mark_text(
                    align=alt.expr("datum.back ? 'right' : 'left'"),
                    dx=alt.expr("datum.back ? -4 : 4"),
                    dy=-6,
                    fontSize=theme.SMALL_SIZE - 0.5,
                    clip=True,
                    filled=filled,
                    strokeWidth=0 if filled else 4,
                    strokeJoin="round",
                ).encode(x=alt.X("at:Q"), y=alt.Y("y:Q", scale=scale), text=alt.Text("label:N"), color=color)
                for filled, color in ((False, theme.ink("paper")), (True, theme.ink("muted")))
            ]
        return compose.layer(*layers, width=inner, height=tall, name=name)

    panels = [panel("signal"), panel("gradient")]
    join = compose.below if narrow else compose.beside
    both = join(*panels, resolve={"color": "shared", "strokeDash": "shared"})
    return once(assemble(both, theme.config()))


@keep(entries=4)
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
    return {knob.name: real(values, own_knob(name, knob.name)) for knob in ACTIVATIONS[name].knobs}


def _schemes(values: Values) -> tuple[str, ...]:
    return words(values, "schemes")


def _scheme(name: str, values: Values) -> Initializer:
    """Return a scheme with the values of its own knobs."""
    return SCHEMES[name].at(**_scheme_settings(name, values))


def _scheme_settings(name: str, values: Values) -> dict[str, float]:
    return {knob.name: real(values, own_knob(name, knob.name)) for knob in SCHEMES[name].knobs}


def _described(name: str, values: Values) -> str:
    """Name a scheme with the values of its own knobs, for the caption."""
    own = ", ".join(
        f"{knob.symbol or knob.name} {number(real(values, own_knob(name, knob.name)), 6)}"
        for knob in SCHEMES[name].knobs
    )
    return f"{name} ({own})" if own else name


def networks(values: Values) -> int:
    """Return how many networks are drawn: those asked for, as long as their weights stay below the cap."""
    widths = _widths(values)
    weights = sum(m * n for m, n in pairwise(widths))
    return max(1, min(whole(values, "seeds"), _WEIGHTS // weights))


def _widths(values: Values) -> tuple[int, ...]:
    """Return the widths of all layers; none is wider than the widest that the page offers."""
    width = whole(values, "width")
    return layer_widths(width, whole(values, "depth"), min(real(values, "taper"), _WIDEST / width))


class Run(NamedTuple):
    """The networks drawn so far, (schemes, networks, layers), and what theory says of all; NaN while there is none."""

    measured: Propagation
    theory: MeanField
    drawn: int


def run(values: Values) -> tuple[Propagation, MeanField]:
    """Measure the chosen schemes on random networks, and ask mean-field theory for the same."""
    found = _begin(values)
    while found.drawn < networks(values):
        found = _further(values, found)
    return found.measured, found.theory


def _part(values: Values) -> int:
    """Return how many networks a page draws before it shows them."""
    depth, width, batch = whole(values, "depth"), whole(values, "width"), whole(values, "batch")
    work = depth * width * max(width, batch * max(1, len(_schemes(values))))
    return max(1, min(networks(values), _PART // work))


def _needs(values: Values) -> set[str]:
    return {SIGNALS[word(values, "signal")].needs, GRADIENTS[word(values, "gradient")].needs}


def _begin(values: Values) -> Run:
    """Return theory alone for a run that will take a moment, theory and all networks for any other."""
    theory = _theory(
        word(values, "activation"),
        tuple(_settings(values).items()),
        tuple((name, tuple(_scheme_settings(name, values).items())) for name in _schemes(values)),
        _widths(values),
        whole(values, "batch"),
        real(values, "sigma_b"),
        real(values, "input_scale"),
        "moments" in _needs(values),
    )
    layers = (len(_schemes(values)), 1, whole(values, "depth") + 1)
    unknown = np.full(layers, np.nan)
    nothing = Propagation(unknown, unknown, unknown[..., 1:], unknown, unknown)
    found = Run(nothing, theory, 0)
    return _further(values, found) if _part(values) == networks(values) else found


@keep(entries=64)
def _theory(
    activation: str,
    settings: tuple[tuple[str, float], ...],
    schemes: tuple[tuple[str, tuple[tuple[str, float], ...]], ...],
    widths: tuple[int, ...],
    batch: int,
    sigma_b: float,
    input_scale: float,
    moments: bool,
) -> MeanField:
    """Return what mean-field theory gives for all networks alike: seeds and what is drawn of it do not enter."""
    return propagate_theory(
        ACTIVATIONS[activation],
        [SCHEMES[name].at(**dict(own)) for name, own in schemes],
        depth=len(widths) - 1, width=widths, batch=batch, sigma_b=sigma_b, knobs=dict(settings),
        input_scale=input_scale, moments=moments,
    )  # fmt: skip


def _further(values: Values, before: Run) -> Run:
    """Draw the next networks. They are those that a run of all at once would have drawn."""
    needs = _needs(values)
    count = min(_part(values), networks(values) - before.drawn)
    measured = propagate(
        ACTIVATIONS[word(values, "activation")],
        [_scheme(name, values) for name in _schemes(values)],
        depth=whole(values, "depth"), width=_widths(values), batch=whole(values, "batch"), seeds=count,
        seed=whole(values, "seed"), sigma_b=real(values, "sigma_b"), knobs=_settings(values), first=before.drawn,
        input_scale=real(values, "input_scale"), weight_gradients="weight_gradients" in needs,
        moments="moments" in needs,
    )  # fmt: skip
    if before.drawn:
        runs = (before.measured, measured)
        measured = Propagation(
            np.concatenate([r.signal_rms for r in runs], axis=1),
            np.concatenate([r.gradient_rms for r in runs], axis=1),
            *(
                _joined([getattr(r, name) for r in runs])
                for name in ("weight_gradient_rms", "signal_mean", "neuron_std")
            ),
        )
    return Run(measured, before.theory, before.drawn + count)


def _joined(parts: list[Array | None]) -> Array | None:
    """Join the networks of all parts; None if the run did not measure it."""
    found = [part for part in parts if part is not None]
    return np.concatenate(found, axis=1) if found else None


def _over_networks(values: Values, quantity: Quantity, measured: Propagation) -> Array:
    """Return one number a layer and scheme, (schemes, depth + 1): the networks' mean or their middle."""
    sizes = quantity.measured(measured)
    if values["statistic"] == "median":
        return np.asarray(np.median(sizes, axis=1))
    # A second moment is averaged as it is, everything else by its square.
    return np.asarray(np.mean(sizes, axis=1)) if quantity is SIGNALS["second moment"] else pooled_rms(sizes)


def _expected(values: Values, quantity: Quantity, theory: MeanField) -> Array:
    """Return theory for the same statistic: mean field for the mean; for the middle, where it is known, else NaN.

    Where ln q has variance κl/n, the typical network is exp(−κl/(2n)) of the mean (its rms the root of that).
    """
    mean = np.asarray(quantity.theory(theory))
    if values["statistic"] == "mean":
        return mean
    kappa = _log_variance(values)
    if kappa is None or quantity not in (
        SIGNALS["rms"],
        SIGNALS["second moment"],
        GRADIENTS["of activations"],
    ):
        return np.full_like(mean, np.nan)
    grown = np.concatenate([[0.0], np.cumsum(kappa / np.array(_widths(values)[1:]))])  # variance of ln q
    if quantity is GRADIENTS["of activations"]:
        grown = grown[-1] - grown
    typical = mean * np.exp(-grown / (2 if quantity is SIGNALS["second moment"] else 4))
    independent = [_scheme(name, values).family in _INDEPENDENT for name in _schemes(values)]
    fitted = [_scheme(name, values).data_dependent for name in _schemes(values)]
    known = np.array(independent, bool) & ~np.array(fitted, bool)
    return np.where(known[:, None], typical, np.nan)


def _log_variance(values: Values) -> float | None:
    """Return κ, n times what a layer adds to the variance of ln q; None where it is not known."""
    if real(values, "sigma_b") != 0:
        return None
    return log_variance(ACTIVATIONS[word(values, "activation")], _settings(values))


def _visible(y: Array) -> Array:
    """Leave out what a log axis cannot carry: exact zeros and what float64 itself lost."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _figure(values: Values, found: Run) -> Figure:
    measured, theory, drawn = found
    names = _schemes(values)
    window = word(values, "scale")
    low, high = WINDOWS[window]
    depth = whole(values, "depth")
    layer = np.arange(depth + 1, dtype=np.int16)
    dotted = layer % max(1, depth // 16) == 0
    shown = {"signal": SIGNALS[word(values, "signal")], "gradient": GRADIENTS[word(values, "gradient")]}
    quantities = {
        name: (quantity.measured(measured), _expected(values, quantity, theory))
        for name, quantity in shown.items()
    }
    mean = {name: _over_networks(values, quantity, measured) for name, quantity in shown.items()}
    # Until the first network is drawn, names and crosses stand where theory has them.
    settled = mean if drawn else {name: predicted for name, (_, predicted) in quantities.items()}
    columns: dict[str, Array] = {}
    for name, (sizes, predicted) in quantities.items():
        # Where a network has left even float64 there is no band: between two infinities nothing can be interpolated.
        finite = np.isfinite(sizes).all(axis=1)
        band = np.quantile(np.where(finite[:, None], sizes, 1.0), (0.1, 0.9), axis=1)
        below, above = np.where(finite, band, np.nan)
        columns |= {
            name: _visible(mean[name]),
            f"{name}_low": _visible(below),
            f"{name}_high": _visible(above),
            f"{name}_theory": _visible(np.where(dotted, predicted, np.nan)),
        }
    parts: list[Part] = [
        {
            "layer": layer,
            "name": scheme,
            "slot": np.int8(STYLES[scheme].slot),
            "dash": np.int8(STYLES[scheme].dash),
            **{name: column[k] for name, column in columns.items()},
        }
        for k, scheme in enumerate(names)
    ]
    nothing = rows(
        layer=[0], name="", slot=theme.MUTED, dash=0, y=low / 10, note="", label="", at=0, back=False,
        **{f"{q}{part}": low / 10 for q in quantities for part in ("", "_low", "_high", "_theory")},
    )  # fmt: skip
    layers = rows(*parts) if parts else nothing
    extra = {}
    for name in quantities:
        extra[f"{name}_deaths"] = (
            _deaths(names, settled[name], name == "gradient", nothing) if names else nothing
        )
        lines = np.where(
            np.isnan(settled[name]).all(axis=1, keepdims=True), quantities[name][1], settled[name]
        )
        beyond = lines if name == "signal" else lines[:, ::-1]
        last = np.array([_last(row) for row in beyond])
        extra[f"{name}_ends"] = _ends(names, last, low, high, nothing)
    limits = [y for y in (FLOAT32_TINY, FLOAT32_MAX) if low < y < high]
    back = [_crossed(settled["signal"], y, low, high) for y in limits]
    return Figure(
        name="initialization/fan",
        build=_builder(window),
        data={
            "layers": layers,
            "limits": rows(
                y=limits,
                label=["float32: 1.2e−38" if y < 1 else "float32: 3.4e38" for y in limits],
                back=back,
                at=[depth if right else 0 for right in back],
            )
            if limits
            else nothing,
            "titles": rows(signal=[shown["signal"].title], gradient=[shown["gradient"].title]),
            **extra,
        },
        title="Signal and gradient by layer",
        caption=_caption(values, drawn),
        key=(
            f"{_lines(values)} Band: 10th to 90th percentile of the networks. Small dots: {_dots(values)} "
            "Cross: where a line leaves float32's normal range."
            f"{' Dashed: the smallest and the largest number of that range.' if limits else ''}"
        ),
        alt="Size of the signal, left, and of the gradient, right, at every layer, one line a scheme.",
        ghosts={"ghost": "layers"},
    )


def _lines(values: Values) -> str:
    """Say which statistic over the networks the lines are."""
    if values["statistic"] == "median":
        return "Lines: the middle network."
    squared = SIGNALS[word(values, "signal")] is SIGNALS["second moment"]
    what = "mean of the second moment, rms of the gradient," if squared else "rms"
    return f"Lines: {what} over all networks; a few large ones can lift it to the edge of the band."


def _dots(values: Values) -> str:
    """Say which theory the dots are."""
    if values["statistic"] == "mean":
        return "mean-field theory."
    kappa = _log_variance(values)
    if kappa is None:
        return "none; of the typical network they are known for straight rays through 0 without biases."
    return f"theory of the typical network, exp(−κl/(2n)) of the mean with κ = {number(kappa)}, for independent weights."


def _last(row: Array) -> float:
    """Return the last number of a line that is one."""
    seen = row[np.isfinite(row)]
    return float(seen[-1]) if len(seen) else 0.0


def _deaths(names: tuple[str, ...], mean: Array, backward: bool, nothing: Frame) -> Frame:
    """Mark the layer at which a line leaves float32's normal range, or overflows."""
    found = []
    for k, scheme in enumerate(names):
        layer = first_bad(mean[k], backward=backward)
        if layer is not None and np.isfinite(mean[k, layer]):
            word = "leaves float32's normal range" if mean[k, layer] < 1 else "overflows in float32"
            found.append((layer, mean[k, layer], f"{scheme} {word} at layer {layer}", STYLES[scheme].slot))
    if not found:
        return nothing
    return rows(
        layer=[f[0] for f in found],
        y=[f[1] for f in found],
        note=[f[2] for f in found],
        slot=[f[3] for f in found],
    )


def _crossed(lines: Array, y: float, low: float, high: float) -> bool:
    """Return whether a line passes where a text above the height y would begin, and none where it would end."""
    if not lines.size:
        return False
    above = (lines >= y) & (lines <= y * (high / low) ** _TEXT_HEIGHT)
    part = math.ceil(_TEXT_LENGTH * (lines.shape[1] - 1))
    return bool(above[:, : part + 1].any() and not above[:, -part - 1 :].any())


def _ends(names: tuple[str, ...], last: Array, low: float, high: float, nothing: Frame) -> Frame:
    """Place the names beside the ends of the lines."""
    if not names:
        return nothing
    logs = np.log10(np.where(last > 0, np.clip(last, low, high), low))
    bottom, top = np.log10(low), np.log10(high)
    tall = top - bottom
    placed = spread(logs, 0.042 * tall, bottom + 0.02 * tall, top)  # above the numbers of the axis
    return rows(y=10.0**placed, label=list(names), slot=[STYLES[name].slot for name in names])


def _width_text(values: Values) -> str:
    widths = _widths(values)
    return f"width {widths[0]}" if len(set(widths)) == 1 else f"widths {widths[0]} to {widths[-1]}"


def _caption(values: Values, drawn: int) -> str:
    total = networks(values)
    counted = f"{total}" if drawn == total else f"{drawn} so far of {total}"
    activation = described(word(values, "activation"), _settings(values))
    return (
        f"{', '.join(_described(name, values) for name in _schemes(values)) or 'no scheme'}; "
        f"{activation}, depth {values['depth']}, {_width_text(values)}, batch {values['batch']}, "
        f"input rms {number(real(values, 'input_scale'))}, {values['signal']} and gradient {values['gradient']}, "
        f"{values['statistic']} of "
        f"{counted} networks a scheme, σ_b {number(real(values, 'sigma_b'))}, seed {values['seed']}. "
        "h = φ(h)W + b, W of shape (fan_in, fan_out), float64; same draws for all schemes of a family."
    )


def _reading(values: Values, found: Run) -> str:
    measured, theory, drawn = found
    names = _schemes(values)
    if not names:
        return "No scheme is chosen, so no signal is drawn."
    depth = whole(values, "depth")
    if not drawn:
        return f"Theory so far; the first of {networks(values)} networks with {depth} layers is being drawn."
    left, right = SIGNALS[word(values, "signal")], GRADIENTS[word(values, "gradient")]
    if left is SIGNALS["spread over the batch"] and values["batch"] == 1:
        return "One input has no spread over the batch: raise the batch, or choose another quantity."
    signal, gradient = (_over_networks(values, quantity, measured) for quantity in (left, right))
    expected = [_expected(values, quantity, theory) for quantity in (left, right)]
    begin = 1 if right is GRADIENTS["of weights"] else 0  # weights have no layer 0
    lines = []
    for k, scheme in enumerate(names):
        ends = []
        if left.noun in ("rms", "second moment") and signal[k, -1] > 0:
            leaves = _float32("signal", signal[k], expected[0][k], entries=left.noun == "rms")
            ends.append(", ".join(map(_unbroken, leaves)))
        down, foreseen = (sizes[k, begin:][::-1] for sizes in (gradient, expected[1]))
        ends.append(", ".join(map(_unbroken, _float32("gradient", down, None, top=depth))))
        factors = (*_factor(signal[k], expected[0][k]), *_factor(down, foreseen, top=depth))
        lines.append([f"**{_unbroken(scheme)}**", *factors, "; ".join(filter(None, ends)) or "no"])
    head = [
        "scheme",
        "signal × a layer (theory)",
        "ends at",
        "gradient × a layer (theory)",
        "ends at",
        _RANGE,
    ]
    if all(line[-1] == "no" for line in lines):
        head, lines = head[:-1], [line[:-1] for line in lines]
    first = _levelest(values, signal, left.noun) or f"Through {_layers_text(depth)}:"
    return f"{first}\n\n{table(head, lines)}"


_RANGE = "leaves float32's normal range"


def _unbroken(words: str) -> str:
    """Return words that stay on one line, so that a column does not become a word wide on a phone."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _layers_text(depth: int) -> str:
    return "1 layer" if depth == 1 else f"{depth} layers"


def _levelest(values: Values, signal: Array, quantity: str) -> str:
    """Say which scheme's signal ends nearest to where it began, if there are several to choose from."""
    names = _schemes(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(np.log(signal[:, -1] / signal[:, 0]))
    if len(names) < 2 or not np.isfinite(change).any():
        return ""
    k = int(np.nanargmin(np.where(np.isfinite(change), change, np.inf)))
    word = "stays level" if change[k] < LEVEL else "comes closest to level"
    start = "" if real(values, "input_scale") == 1 else f", {number(float(signal[k, 0]))} before them"
    after = _layers_text(signal.shape[1] - 1)
    return f"**{names[k]}** {word}: {quantity} {number(float(signal[k, -1]))} after {after}{start}."


def _float32(
    what: str, sizes: Array, predicted: Array | None, *, entries: bool = True, top: int | None = None
) -> list[str]:
    """Say at which layer a size leaves float32's normal range, overflows or is 0 throughout; nothing if it never does.

    Args:
        what: name of the size.
        sizes: (layers,) of one scheme, in walking order: from layer 0 up, or from layer ``top`` down.
        predicted: theory of the same, with which it is also said where the last factor leads on the depths that
            the page offers; None says nothing beyond the last layer.
        entries: whether ``sizes`` are of entries, so that all of them are 0 where their rms is far below the smallest
            number.
        top: layer at which a walk down begins.
    """

    def layer(step: int) -> int:
        return step if top is None else top - step

    left = first_bad(sizes)
    if left is not None:
        if np.isnan(sizes[left]):  # a gradient through a signal that has overflowed
            return []
        if not sizes[left] < 1:
            return [f"{what} overflows at layer {layer(left)}"]
        gone = first_bad(sizes, low=_ALL_ZERO) if entries else None
        zero = [] if gone is None else [f"all 0 near layer {layer(gone)}"]
        return [f"{what} at layer {layer(left)}", *zero]
    if predicted is None:
        return []
    # The last layer's factor, of theory where there is one: a single layer of a few networks is too noisy.
    line = predicted if np.isfinite(predicted[-2:]).all() and (predicted[-2:] > 0).all() else sizes
    back = 1 if line is predicted else (len(sizes) - 1) // 2
    if back < 1 or not line[-1 - back] > 0:
        return []
    rate = math.log(line[-1] / line[-1 - back]) / back
    if abs(rate) < _SLOWEST:
        return []
    near = len(sizes) - 1 + math.log((FLOAT32_TINY if rate < 0 else FLOAT32_MAX) / sizes[-1]) / rate
    if near > _DEEPEST:
        return []
    return [f"if deeper, {what}{'' if rate < 0 else ' overflows'} near layer {math.ceil(near)}"]


def _factor(sizes: Array, predicted: Array, top: int | None = None) -> tuple[str, str]:
    """Write what a layer multiplies a size by, beside theory, and the size at the end; both in walking order.

    The walk begins at layer 0 and leads up, or at layer ``top`` and leads down.
    """

    def where(step: int) -> str:
        return f"from layer {step} on" if top is None else f"from layer {top - step} down"

    steps = len(sizes) - 1
    end = float(sizes[-1])
    if end == 0:
        zero = int(np.argmax(sizes == 0))
        return "none", f"0 {where(zero)}" if zero <= 1 else f"too small for float64 {where(zero)}"
    if not np.isfinite(end):
        return "none", f"beyond float64 {where(int(np.argmax(~np.isfinite(sizes))))}"
    if steps < 1 or not sizes[0] > 0:
        return "none", number(end)
    text = number((end / float(sizes[0])) ** (1 / steps))
    if np.isfinite(predicted[-1]) and predicted[-1] > 0 and predicted[0] > 0:
        text += f" ({number(float(predicted[-1] / predicted[0]) ** (1 / steps))})"
    return text, number(end)


def _events(values: Values, found: Run) -> tuple[str, ...]:
    if not _schemes(values):
        return ("Choose at least one scheme to see its signal.",)
    events = []
    asked, drawn = whole(values, "seeds"), networks(values)
    if drawn < asked:
        events.append(
            f"**{drawn} of {asked} networks drawn**: depth × width² × networks stops at {_WEIGHTS // 1_000_000} million weights."
        )
    for k, scheme in enumerate(_schemes(values) if found.drawn else ()):
        lost = np.flatnonzero(~np.isfinite(found.measured.signal_rms[k]).all(axis=0))
        if lost.size:
            events.append(f"**{scheme}** leaves even float64 at layer {int(lost[0])}.")
    return tuple(events)


def _why(values: Values, theory: MeanField) -> str:
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
    lines += [_why_scheme(values, theory, k) for k in range(len(names))]
    kappa = _log_variance(values)
    if kappa is not None and names:
        variance = float(np.sum(kappa / np.array(_widths(values)[1:])))
        lines.append(
            rf"One network is not the mean of all: with {activation.name} and no biases the logarithm of $q^L$ has variance "
            rf"near $\kappa L/n = {latex(variance)}$, with $\kappa = \mathrm E\varphi^4/(\mathrm E\varphi^2)^2 - 1 = "
            rf"{latex(kappa)}$. At this depth and width a typical network lies below the theory, and the mean over a few "
            "networks scatters around it."
        )
    return "\n\n".join(lines)


def _why_scheme(values: Values, theory: MeanField, row: int) -> str:
    """Put the numbers of one scheme into the recursions, or say why they do not hold for it."""
    scheme = _schemes(values)[row]
    entry = _scheme(scheme, values)
    drawn = rf"**{scheme}** ({entry.source}): ${entry.formula}$"
    if entry.mean != 0:
        return (
            f"{drawn}. Its weights are not independent of one another, so this theory says nothing about it."
        )
    q1, chi = float(theory.signal_rms[row, 1]) ** 2, float(theory.slope[row, -1])
    if entry.elementwise:
        text = f"{drawn}: nothing is drawn and nothing adds up, each unit hands φ of its value to one unit above. "
        return text + (
            rf"The dots iterate $h \leftarrow \varphi(h)$ over normal inputs, with $q^1 = {latex(q1, 4)}$."
            if math.isfinite(q1)
            else "With biases, or layers of different widths, no theory is drawn."
        )
    first, second = _widths(values)[:2]
    if entry.data_dependent:
        given = (
            rf"each layer is then divided by what brings its outputs to variance 1, so $\sigma_w^2 = 1/\mathrm E\varphi^2 = "
            rf"{latex(_fitted(values, theory, row), 4)}$ in the first"
        )
    elif entry.std(first, second) == 0:
        return f"{drawn}: every signal and every gradient below the top is 0."
    else:
        given = rf"so $\sigma_w^2 = {latex(first * entry.std(first, second) ** 2, 4)}$"
    return (
        rf"{drawn}, {given}; the first layer has $q^1 = {latex(q1, 4)}$, and in the last $\chi = {latex(chi, 4)}$: the "
        f"gradient's rms is multiplied by {number(float(np.sqrt(chi)), 4)} a layer."
    )


def _fitted(values: Values, theory: MeanField, row: int) -> float:
    """Return σ_w² of a scheme that is fitted to its data, in the first layer."""
    power = mean_field_step(
        ACTIVATIONS[word(values, "activation")],
        float(theory.signal_rms[row, 0]) ** 2,
        1.0,
        0.0,
        _settings(values),
    )[0]
    return (float(theory.signal_rms[row, 1]) ** 2 - real(values, "sigma_b") ** 2) / float(power)


def make(values: Values) -> View:
    """Propagate and draw; a run that takes a moment network by network."""
    return _drawn(values, _begin(values))


def _drawn(values: Values, found: Run) -> View:
    done = found.drawn / networks(values)
    return View(
        figure=_figure(values, found),
        say=lambda: Words(_reading(values, found), _why(values, found.theory), _events(values, found)),
        done=done,
        rest=None if done == 1 else lambda: _drawn(values, _further(values, found)),
        tabs=(
            Tab(
                "Layers", lambda now=values: _layers(now), lambda v: (*layers_knobs(v), *_tab_own("Layers", v)),
                {"initialization/grid": grid_click},
            ),
            Tab(
                "Phase", lambda now=values: _phase(now), _names(PHASE_KNOBS), {"initialization/phase": phase_click}
            ),
            Tab("Remedies", lambda now=values: _remedies(now), lambda v: (*remedy_knobs(v), *_tab_own("Remedies", v))),
            Tab("Symmetry", lambda now=values: _symmetry(now), _names(SYMMETRY_KNOBS)),
            Tab("Train", lambda now=values: _train(now), _names(INIT_TRAIN_KNOBS)),
        ),
        programs=lambda: programs(
            [_scheme(name, values) for name in _schemes(values)],
            word(values, "activation"),
            _settings(values),
            depth=whole(values, "depth"),
            width=_widths(values),
            batch=whole(values, "batch"),
            networks=networks(values),
            seed=whole(values, "seed"),
            sigma_b=real(values, "sigma_b"),
            input_scale=real(values, "input_scale"),
        ),
    )  # fmt: skip


def _layers(values: Values) -> Sequence[Block]:
    return layers_blocks(
        values,
        lambda name: _scheme(name, values),
        lambda name: _described(name, values),
        _settings(values),
        STYLES,
    )


def _phase(values: Values) -> Sequence[Block]:
    return phase_blocks(
        word(values, "activation"),
        _settings(values),
        real(values, "phase_w2"),
        real(values, "phase_b2"),
        real(values, "phase_angle"),
        whole(values, "phase_layers"),
        whole(values, "seed"),
        _points(values),
    )


def _points(values: Values) -> dict[str, tuple[float, float]]:
    """Return (σ_w², σ_b²) of the chosen schemes that have such a point on the map."""
    first, second = _widths(values)[:2]
    entries = {name: _scheme(name, values) for name in _schemes(values)}
    return {
        name: (first * entry.std(first, second) ** 2, real(values, "sigma_b") ** 2)
        for name, entry in entries.items()
        if entry.mean == 0 and not entry.elementwise and not entry.data_dependent
    }


def _remedies(values: Values) -> Sequence[Block]:
    name = word(values, "remedy_scheme")
    return remedy_blocks(
        word(values, "activation"),
        _settings(values),
        name,
        _scheme_settings(name, values),
        words(values, "remedies"),
        whole(values, "depth"),
        whole(values, "width"),
        whole(values, "remedy_batch"),
        whole(values, "seeds"),
        whole(values, "seed"),
        real(values, "branch_scale"),
        real(values, "clip_norm"),
    )


def _symmetry(values: Values) -> Sequence[Block]:
    return symmetry_blocks(
        word(values, "symmetry"),
        real(values, "symmetry_constant"),
        real(values, "noise"),
        real(values, "symmetry_lr"),
        whole(values, "symmetry_units"),
        word(values, "activation"),
        _settings(values),
        whole(values, "seed"),
    )


def _train(values: Values) -> Sequence[Block]:
    return init_train_blocks(
        {
            name: _scheme_settings(name, values)
            for name in _schemes(values)
            if name in INITIALIZERS  # what depends on the data is fitted to a signal, not to this task
        },
        STYLES,
        word(values, "activation"),
        _settings(values),
        whole(values, "train_depth"),
        word(values, "train_problem"),
        real(values, "train_rate"),
        whole(values, "seed"),
        tuple(name for name in _schemes(values) if name not in INITIALIZERS),
    )


SCENARIOS = (
    Scenario(
        "Five schemes, fifty layers",
        "One line stays level: He's. The factor a layer is the slope of a line, so a scheme that is slightly off is "
        "hopeless at depth 50. Raise the width: N(0, 1) gets steeper, He does not move.",
        question="Which scheme keeps the signal of a ReLU network alive for fifty layers?",
    ),
    Scenario(
        "Glorot with ReLU",
        "Glorot was derived for a linear or tanh unit. ReLU drops half the second moment a layer, Glorot does not "
        "put it back: ×0.707 a layer, 3e−5 after 30.",
        {"schemes": ("Glorot normal", "He normal"), "depth": 30, "scale": "twelve decades"},
        question="How much of the signal is left after 30 ReLU layers with Glorot weights?",
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
        question="Fifty tanh layers get He's weights, of twice LeCun's variance. What becomes of signal and gradient?",
    ),
    Scenario(
        "Sigmoid loses its gradient",
        "A sigmoid's signal looks healthy at every layer, since half of it is a constant. Its gradient is multiplied by "
        "0.24 a layer, with He's larger weights by 0.32: lost either way.",
        {"activation": "sigmoid", "schemes": ("LeCun normal", "Glorot normal", "He normal")},
        question="Fifty sigmoid layers, LeCun, Glorot or He weights: the signal stays level. Does the gradient?",
    ),
    Scenario(
        "SELU's fixed point",
        "SELU with LeCun weights pulls the second moment to 1 from wherever it starts. With He weights, twice the "
        "variance, it never settles: signal and gradient both grow.",
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
        question="All hidden units start with the same weights, not zero. What does training make of them?",
        tab="Symmetry",
    ),
    Scenario(
        "PyTorch's default",
        "torch.nn.Linear draws from U(±1/√fan_in), of variance 1/(3 fan_in). ReLU needs six times that, tanh three times: "
        "a deep stack fades unless something else holds it up, mostly a normalization layer.",
        {"schemes": ("PyTorch Linear", "LeCun normal", "He normal"), "depth": 30},
        question="torch.nn.Linear draws from U(±1/√fan_in). By what factor does such a layer with ReLU multiply the signal?",
    ),
    Scenario(
        "He 2015: 0.01 in a VGG-B stack",
        "A fixed spread of 0.01 suits one width alone: here ×0.16 a layer. In VGG-B's convolutions it is nearer ×0.48, and "
        "He et al. count a gradient of 1/(1.7 · 10⁴) after ten layers. Raise the width and the line gets flatter.",
        {
            "schemes": ("N(0, 0.01²)", "He normal"),
            "depth": 10,
            "width": 512,
            "seeds": 5,
            "scale": "twelve decades",
        },
        question="Why did networks of 2014 with more than eight layers need a trick to train?",
    ),
    Scenario(
        "fan_in or fan_out",
        "In a stack that narrows from 512 to 64 units the two fans differ. He with fan_in keeps the signal level, with fan_out "
        "the gradient. Glorot takes the mean of both, and without He's factor 2 it fades either way. A square stack cannot "
        "tell the two fans apart.",
        {
            "schemes": ("He normal", "He normal (fan_out)", "Glorot normal"),
            "depth": 12,
            "width": 512,
            "taper": 0.125,
            "seeds": 5,
            "scale": "five decades",
        },
        question="ReLU layers narrow from 512 to 64 units. Which fan in He's formula keeps the signal level?",
    ),
    Scenario(
        "Edge of chaos",
        "tanh with σ_w² = 1.761 and σ_b² = 0.05: the gradient keeps its size, and two inputs stay apart for many layers. "
        "A little more and neighbors part, a little less and all inputs become one. The map shows where that line runs.",
        {
            "activation": "tanh",
            "schemes": ("custom", "LeCun normal", "He normal"),
            "custom_gain": 1.327,
            "sigma_b": 0.2236,
            "scale": "five decades",
            "phase_w2": 1.761,
            "phase_b2": 0.05,
        },
        question="Deep tanh networks with biases: what becomes of two different inputs if σ_w² is half or twice its "
        "critical value?",
        tab="Phase",
    ),
    Scenario(
        "σ = 1/M",
        "Study notes want weights of spread 1/M. In a linear stack it is 1/√M that stays level; open the exponent and move it "
        "from 1 to ½.",
        {"activation": "identity", "schemes": ("LeCun normal", "He normal"), "layers_view": "exponent"},
        question="A unit adds up M inputs with weights of both signs. By what must they be divided to keep the signal's size?",
        tab="Layers",
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
    free=("seed", *_names(_TAB_KNOBS)),
    tabs=("Layers", "Phase", "Remedies", "Symmetry", "Train"),
    code=True,
    measures=MEASURES,
    predictions=PREDICTIONS,
)
