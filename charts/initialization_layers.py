"""The Layers tab of the initialization page: what the values, slopes and updates of each layer look like."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, describe, progress, theme
from charts.figure import NARROW, Figure, Frame, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word, words
from core.activations import ACTIVATIONS, Activation
from core.initializers import INITIALIZERS, Initializer
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.layers import (
    Histogram,
    Stack,
    draw_stack,
    first_update,
    fitted,
    flat_shares,
    flat_theory,
    linear_rms,
    measured_histograms,
    power_law,
    single_input_rms,
    theory_histograms,
)
from core.propagation import MeanField, pooled_rms, propagate_theory, root_mean_square
from core.properties import Flat, flat_regions

Array = np.ndarray
Settings = Mapping[str, float]
Items = tuple[tuple[str, float], ...]

RULE = 1e-3  # Karpathy's ratio of update to weight
_CLOSE = 10.0  # a ratio within this factor of the rule passes

# What a view may compute: weights drawn, and values h kept, over all its networks; about a tenth of a second.
_WEIGHTS, _VALUES = 4_000_000, 1_200_000
_NARROWEST = 16
_HISTOGRAM_ROWS, _ROWS = 64, 32  # inputs at least

_RIDGES = 8
_BINS, _REACH = 50, 4.0
_EDGES = np.linspace(-_REACH, _REACH, _BINS + 1)
_MIRRORED = np.minimum(
    np.arange(_BINS), np.arange(_BINS)[::-1]
)  # a bin and its mirror image have the same number
_FILLED = 0.84  # of a row's height, by its highest bar
_SMALLEST = 1e-5  # a share below is not written out
_LINE = 20  # letters of a line of a label
_LABEL = 0.05  # height of a label, as a share of its panel's
_WORTH = 0.005  # shares below are not mentioned
_UNSEEN = 0.0005  # distance of a bin from theory that nobody sees
_RAGGED = 0.01  # distance of a bin from theory that asks for a word

_SINGLE = 800_000  # values of the exponent's networks
_LOST = 2.0  # a factor between measurement and theory that asks for a word

_GRID_ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "softsign", "ReLU", "leaky ReLU", "ELU", "SELU", "GELU", "SiLU",
)  # fmt: skip
_GRID_ROWS = 14
_GRID_HEIGHT, _LINE_HEIGHT = 400, 13.5  # pixels
_DEPTHS = (30, 60, 100)  # theory is computed to one of these and kept
_LEVEL, _FAR = 1.0, 6.0  # decades


class _Verdict(NamedTuple):
    word: str
    sign: str  # for narrow cells
    slot: int


_BOUNDS = (-_FAR, -_LEVEL, _LEVEL, _FAR)  # of log₁₀; an rms on a bound belongs to the verdict above it
_VERDICTS = (
    _Verdict("vanishes", "−−", theme.SLOTS["blue"]),
    _Verdict("shrinks", "−", theme.SLOTS["blue"]),
    _Verdict("level", "=", theme.SLOTS["green"]),
    _Verdict("grows", "+", theme.SLOTS["vermilion"]),
    _Verdict("explodes", "++", theme.SLOTS["vermilion"]),
)
_UNDEFINED = _Verdict("NaN", "?", theme.BAD)

LAYERS_KNOBS = (
    Knob(
        "layers_view", "choice", "ridgelines", label="View",
        choices=("ridgelines", "saturation", "update ratio", "exponent", "grid"),
    ),
    Knob(
        "one_scheme", "choice", "Glorot normal", label="Scheme", choices=tuple(INITIALIZERS),
        aliases=aliases_of(INITIALIZERS), help="The scheme whose layers are shown.",
    ),
    Knob("update_lr", "float", 0.01, label="Learning rate", low=1e-5, high=1.0, log=True),
    Knob(
        "exponent", "float", 1.0, label="Exponent", low=0.0, high=1.5, step=0.05, symbol="a",
        help="Weights are drawn with standard deviation σ = M^−a.",
    ),
    Knob("exponent_width", "int", 256, label="Width", low=16, high=1024, log=True, symbol="M", cap="width"),
    Knob("grid_depth", "int", 30, label="Depth", low=1, high=100, step=1, symbol="L", cap="depth"),
)  # fmt: skip

_SHOWN: dict[str, tuple[str, ...]] = {
    "ridgelines": ("one_scheme",),
    "saturation": (),
    "update ratio": ("update_lr",),
    "exponent": ("exponent", "exponent_width"),
    "grid": ("grid_depth",),
}


def layers_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls that the tab shows beside these values: the view, and what that view uses."""
    return ("layers_view", *_SHOWN[word(values, "layers_view")])


class _Size(NamedTuple):
    """How much is computed, within what a view may take."""

    depth: int
    width: int
    batch: int
    networks: int


class _Chosen(NamedTuple):
    """What a view is made from: the page's values, its schemes with their knobs, and how they are drawn."""

    values: Values
    scheme: Callable[[str], Initializer]
    described: Callable[[str], str]
    settings: Settings
    styles: Mapping[str, theme.Style]

    @property
    def activation(self) -> Activation:
        return ACTIVATIONS[word(self.values, "activation")]

    @property
    def activation_text(self) -> str:
        return describe.described(self.activation.name, self.settings)

    @property
    def flat(self) -> Flat:
        return _flat(self.activation.name, tuple(self.settings.items()))

    def size(self, schemes: int, inputs: int) -> _Size:
        """Return depth and batch of the page, and width and networks as far as they fit."""
        depth, batch = whole(self.values, "depth"), max(whole(self.values, "batch"), inputs)
        weights, signals = _WEIGHTS // (schemes * depth), _VALUES // (schemes * depth * batch)
        width = min(whole(self.values, "width"), max(_NARROWEST, min(math.isqrt(weights), signals)))
        fitting = min(weights // width**2, signals // width)
        return _Size(depth, width, batch, max(1, min(whole(self.values, "seeds"), fitting)))

    def stack(self, name: str, size: _Size) -> Stack:
        scheme = self.scheme(name)
        stack = draw_stack(
            scheme, **size._asdict(), seed=whole(self.values, "seed"), sigma_b=real(self.values, "sigma_b")
        )
        return fitted(stack, self.activation, self.settings) if scheme.data_dependent else stack

    def theory(self, names: Sequence[str], size: _Size) -> MeanField:
        return propagate_theory(
            self.activation,
            [self.scheme(name) for name in names],
            depth=size.depth,
            width=size.width,
            batch=size.batch,
            sigma_b=real(self.values, "sigma_b"),
            knobs=self.settings,
        )

    def normal(self, name: str, signal_rms: Array) -> Array:
        """Return the rms of h where h is normal, as the theory of shapes needs it, else NaN."""
        return np.where(self.scheme(name).elementwise, np.nan, signal_rms)

    def caption(self, names: Sequence[str], size: _Size) -> str:
        """State every parameter of a run, and where it differs from the page's."""
        asked = whole(self.values, "width")
        width = f"width {size.width}" + (f" in place of {asked}" if size.width < asked else "")
        return (
            f"{', '.join(self.described(name) for name in names) or 'no scheme'}; {self.activation_text}, depth {size.depth}, "
            f"{width}, batch {size.batch}, {_networks(size.networks)} a scheme, σ_b {number(real(self.values, 'sigma_b'))}, "
            f"seed {whole(self.values, 'seed')}."
        )


def _networks(count: int) -> str:
    return "1 network" if count == 1 else f"{count} networks"


@keep(entries=64)
def _flat(name: str, settings: Items) -> Flat:
    return flat_regions(ACTIVATIONS[name], low=-60.0, high=60.0, knobs=dict(settings))


# Pieces of specifications


def _title(field: str) -> Panel:
    """Write the title of a panel: a column of the data set "titles"."""
    return (
        alt.Chart(named("titles"))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-8), text=f"{field}:N", color=theme.ink("ink"))
    )


def _layer_axis() -> alt.X:
    return alt.X(
        "layer:Q",
        title="layer",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )


def _log_axis(field: str = "y") -> alt.Y:
    return alt.Y(
        f"{field}:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID),
    )


def _ends(data: str, inner: int, y: alt.Y) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color())
    )


def _theory_dots(data: str, x: alt.X, y: alt.Y) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink"), opacity=theme.SHOWN)
    )


def _dots(layer: Array, theory: Mapping[str, Array], instead: float) -> Frame:
    """Keep the dots of theory that can be drawn, by scheme; a hidden one at ``instead`` if there is none."""
    parts: list[Part] = []
    for name, values in theory.items():
        kept = np.isfinite(values)
        if kept.any():
            parts.append({"layer": layer[kept], "y": values[kept], "name": name, "shown": True})
    return rows(*parts) if parts else rows(layer=[1], y=instead, name="", shown=False)


def _side_by_side(panels: Sequence[Panel], narrow: bool) -> Spec:
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared"}), theme.config())


def _positive(y: Array) -> Array:
    """Leave out what a log axis cannot carry: exact zeros and what float64 itself lost."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _decades(*values: Array) -> tuple[float, float]:
    """Return the powers of ten around all values, a decade apart at least; (−1, 1) if there is none."""
    seen = np.concatenate([np.ravel(_positive(v)) for v in values])
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return -1.0, 1.0
    low, high = np.floor(np.log10(seen.min())), np.ceil(np.log10(seen.max()))
    return float(low), float(max(high, low + 1))


def _logs_apart(ends: Sequence[float], low: float, high: float, gap: float = 0.055) -> Array:
    """Keep labels beside the ends of lines on a log axis apart."""
    usable = [min(max(math.log10(end), low), high) if 0 < end < math.inf else low for end in ends]
    placed: Array = 10.0 ** spread(np.array(usable), gap * (high - low), low, high)
    return placed


def _last(y: Array) -> float:
    """Return the last value of a line that can be drawn, 0 if none can."""
    seen = y[np.isfinite(y)]
    return float(seen[-1]) if len(seen) else 0.0


def _percent(share: float, digits: int = 3) -> str:
    if 0 < share < _SMALLEST:
        return f"under {number(100 * _SMALLEST)}%"
    return "NaN" if math.isnan(share) else f"{number(100 * share, digits)}%"


def _points(difference: float) -> str:
    """Write a difference of two shares."""
    return f"{number(100 * difference, 2)} percentage points"


def _factor(measured: Array, expected: Array) -> float:
    """Return the largest factor between two lines where both are positive and finite; 1 if nowhere."""
    a, b = _positive(measured), _positive(expected)
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.exp(np.max(np.abs(np.log(a[both]) - np.log(b[both])), initial=0.0)))


# Ridgelines


@lru_cache(maxsize=16)
def _ridge_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 145 if narrow else round((width - 300) / 2)

    def panel(name: str) -> Panel:
        x = alt.X(
            "low:Q",
            title="value / rms of its layer",
            scale=alt.Scale(domain=[-_REACH, _REACH], nice=False),
            axis=alt.Axis(grid=False, tickCount=7),
        )
        y = alt.Y("base:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
        notes = alt.Chart(named(f"{name}_rows"))
        layers = [
            notes.mark_rule(strokeWidth=0.6).encode(y=y, color=theme.ink("faint")),
            alt.Chart(named(f"{name}_bars"))
            .mark_rect(opacity=0.55)
            .encode(x=x, x2="high:Q", y=y, y2="top:Q", color=theme.color()),
            alt.Chart(named(f"{name}_theory"))
            .mark_point(filled=True, size=theme.DOT, opacity=1)
            .encode(x=x, y=y, color=theme.ink("ink")),
            notes.mark_text(align="right", baseline="bottom", dx=-8, dy=-2, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(0), y=y, text="layer:N", color=theme.ink("ink")
            ),
            *(
                notes.mark_text(
                    align="left", baseline="bottom", dx=8, dy=dy, fontSize=theme.SMALL_SIZE + larger
                ).encode(x=alt.value(inner), y=y, text=f"{field}:N", color=theme.ink(use))
                for field, dy, larger, use in (
                    ("rms", -27, 0.5, "ink"),
                    ("zero", -14, -0.5, "muted"),
                    ("beyond", -2, -0.5, "muted"),
                )
            ),
            notes.transform_filter("datum.first")
            .mark_text(align="right", baseline="bottom", dx=-8, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(0), y=alt.value(4), text="heading:N", color=theme.ink("muted")),
            _title(name),
        ]
        return compose.layer(*layers, width=inner, height=420)

    return _side_by_side([panel("activations"), panel("gradients")], narrow)


class _Worst(NamedTuple):
    """The bin whose share is furthest from its exact share."""

    layer: int
    middle: float  # of the bin, in units of the rms
    share: float
    exact: float

    @property
    def apart(self) -> float:
        return abs(self.share - self.exact)


class _Ridges(NamedTuple):
    bars: list[Part]
    theory: list[Part]
    rows: list[Part]
    worst: _Worst


def _ridges(measured: Histogram, exact: Histogram, layers: Sequence[int], slot: int) -> _Ridges:
    """Lay out one panel, the first layer on top, every row to its own scale."""
    bars: list[Part] = []
    theory: list[Part] = []
    notes: list[Part] = []
    worst = _Worst(0, 0.0, 0.0, 0.0)
    step = 1 / len(layers)
    for row, layer in enumerate(layers):
        base = 1 - (row + 1) * step
        shares, predicted, zero = measured.shares[row], exact.shares[row], float(measured.zero[row])
        highest = np.nanmax([*shares, *predicted, 1e-9])
        scale = _FILLED * step / highest
        kept, dotted = shares > 0, predicted > 1e-4
        dotted &= (_MIRRORED % 2 == 0) | (predicted == np.max(predicted, initial=0.0))
        if kept.any():
            bars.append(
                {"low": _EDGES[:-1][kept], "high": _EDGES[1:][kept], "base": base, "top": base + scale * shares[kept],
                 "slot": np.int8(slot)}
            )  # fmt: skip
        if dotted.any():
            middle = (_EDGES[:-1] + _EDGES[1:])[dotted] / 2
            theory.append({"low": middle, "base": base + scale * predicted[dotted]})
        if np.isfinite(shares).all() and np.isfinite(predicted).all() and measured.rms[row] > 0:
            k = int(np.argmax(np.abs(shares - predicted)))
            found = _Worst(layer, float(_EDGES[k] + _EDGES[k + 1]) / 2, float(shares[k]), float(predicted[k]))
            worst = max(worst, found, key=lambda bin: bin.apart)
        beyond = 1 - zero - float(np.sum(shares))
        notes.append(
            {
                "base": [base],
                "layer": str(layer),
                "rms": f"rms {number(float(measured.rms[row]))}",
                "zero": f"{_percent(zero, 2)} exactly 0" if zero > 0 else "",
                "beyond": f"{_percent(beyond, 2)} outside" if beyond > _WORTH else "",
                "heading": "layer",
                "first": row == 0,
            }
        )
    return _Ridges(bars, theory, notes, worst)


def _ridgelines(chosen: _Chosen) -> list[Block]:
    name = word(chosen.values, "one_scheme")
    size = chosen.size(1, _HISTOGRAM_ROWS)
    layers = [int(l) for l in np.unique(np.round(np.linspace(1, size.depth, _RIDGES)))]
    measured = measured_histograms(
        chosen.activation, chosen.stack(name, size), layers, _EDGES, chosen.settings
    )
    mean = chosen.theory([name], size)
    exact = theory_histograms(
        chosen.activation, chosen.normal(name, mean.signal_rms[0, layers]), mean.gradient_rms[0, layers], _EDGES,
        top=len(layers) - 1, knobs=chosen.settings,
    )  # fmt: skip
    slot = chosen.styles[name].slot
    panels = {
        "activations": _ridges(measured[0], exact[0], layers, slot),
        "gradients": _ridges(measured[1], exact[1], layers, slot),
    }
    nothing = rows(low=[0.0], high=0.0, base=0.0, top=0.0, slot=theme.MUTED)
    hidden = rows(low=[np.nan], base=np.nan)
    data = {}
    for panel, drawn in panels.items():
        data[f"{panel}_bars"] = rows(*drawn.bars) if drawn.bars else nothing
        data[f"{panel}_theory"] = rows(*drawn.theory) if drawn.theory else hidden
        data[f"{panel}_rows"] = rows(*drawn.rows)
    figure = Figure(
        name="initialization/ridgelines",
        build=_ridge_spec,
        data={
            **data,
            "titles": rows(
                activations=[f"Activations {chosen.activation.name}(h) by layer"],
                gradients=["Gradients ∂L/∂h by layer"],
            ),
        },
        title="Values in each layer",
        caption=(
            f"{chosen.caption([name], size)} Gradient of the last layer drawn from N(0, 1). {_BINS} bins, every network in "
            "units of its own rms; each row to its own scale, values that are exactly 0 not drawn."
        ),
        key=(
            f"Bars: share of the values, at least {_HISTOGRAM_ROWS} inputs. Small dots: shares for h ~ N(0, q) with q of "
            "mean-field theory, and for a normal gradient times φ′(h). At the end of a row: rms, share that is exactly 0, share "
            f"outside ±{number(_REACH)} rms."
        ),
        alt="Histograms of the activations, left, and of the gradients, right, one row a layer, the first layer on top.",
    )
    return [figure, _ridge_text(name, size, layers, measured, exact, panels)]


def _ridge_text(
    name: str,
    size: _Size,
    layers: Sequence[int],
    measured: tuple[Histogram, Histogram],
    exact: tuple[Histogram, Histogram],
    panels: Mapping[str, _Ridges],
) -> str:
    parts = []
    for what, got, want, order in (
        ("activations", measured[0], exact[0], (0, -1)),
        ("gradients", measured[1], exact[1], (-1, 0)),
    ):
        start, end = order
        line = (
            f"From layer {layers[start]} to layer {layers[end]} the rms of the {what} goes from "
            f"{number(float(got.rms[start]))} to {number(float(got.rms[end]))}"
        )
        if np.isfinite(want.rms[[start, end]]).all():
            line += f"; theory says {number(float(want.rms[start]))} and {number(float(want.rms[end]))}"
        if np.isfinite(want.shares).all() and np.isfinite(got.shares).all():
            line += _worst_text(panels[what].worst)
        parts.append(line + ".")
    if not np.isfinite(exact[0].rms).all() and np.isfinite(measured[0].rms).all():
        parts.append(f"With {name} h is not normal, so that there are no dots.")
    lost = [layer for layer, rms in zip(layers, measured[0].rms, strict=True) if not np.isfinite(rms)]
    if lost:
        parts.append(f"**The signal leaves float64** at or before layer {lost[0]}; those rows are empty.")
    elif max(ridges.worst.apart for ridges in panels.values()) > _RAGGED:
        parts.append(
            f"The dots are those of infinitely wide layers. Here depth / width is {number(size.depth / size.width)}, and the "
            "larger it is, the further the bars are from them: of a product of many matrices few directions survive, so that the "
            "gradients of all inputs are multiples of one another, and the same may happen to the signals."
        )
    return " ".join(parts)


def _worst_text(worst: _Worst) -> str:
    """Say how far the histograms are from their exact shares, in the bin where that is most."""
    if worst.apart < _UNSEEN:
        return ", and every bin has its share"
    text = (
        f". The bin that is furthest from theory, around {number(worst.middle, 2)} rms in layer {worst.layer}, holds "
        f"{_percent(worst.share, 2)} where theory has {_percent(worst.exact, 2)}"
    )
    if worst.exact > _SMALLEST and worst.share > worst.exact:
        text += f", {number(worst.share / worst.exact, 2)} times as much"
    return text


# Saturation


@lru_cache(maxsize=16)
def _saturation_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 196 if narrow else round((width - 390) / 2)

    def panel(name: str) -> Panel:
        x = _layer_axis()
        y = alt.Y(
            f"{name}:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)
        )
        base = alt.Chart(named("shares"))
        layers = []
        if name == "zero":
            layers.append(
                base.mark_line(strokeWidth=1.1, opacity=0.8).encode(
                    x=x, y=y, detail="name:N", color=theme.color()
                )
            )
        drawn = alt.Y("dead:Q") if name == "zero" else y
        layers += [
            base.mark_line().encode(
                x=x, y=drawn, detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            _theory_dots(f"{name}_dots", x, alt.Y("y:Q")),
            _ends(f"{name}_ends", inner, alt.Y("y:Q")),
            _title(name),
        ]
        return compose.layer(*layers, width=inner, height=300)

    return _side_by_side([panel("saturated"), panel("zero")], narrow)


def _nothing_chosen(**columns: object) -> Part:
    """Return a line through one point, which draws nothing."""
    return {"layer": [1], "name": "", "slot": theme.MUTED, "dash": 0, **columns}


def _saturation(chosen: _Chosen) -> list[Block]:
    names = words(chosen.values, "schemes")
    size = chosen.size(max(1, len(names)), _ROWS)
    mean = chosen.theory(names, size)
    layer = np.arange(1, size.depth + 1, dtype=np.int16)
    dotted = (layer - 1) % max(1, size.depth // 16) == 0
    flat = chosen.flat
    parts: list[Part] = []
    lines: list[list[str]] = []
    theory: dict[str, dict[str, Array]] = {"saturated": {}, "zero": {}}
    apart = 0.0
    lost: list[str] = []
    drawn: dict[str, Array] = {}
    for k, name in enumerate(names):
        found = flat_shares(chosen.activation, chosen.stack(name, size), flat, chosen.settings)
        saturated, zero, dead = (share.mean(axis=0) for share in found)
        want_saturated, want_zero = flat_theory(
            chosen.activation, chosen.normal(name, mean.signal_rms[k, 1:]), flat
        )
        style = chosen.styles[name]
        parts.append(
            {"layer": layer, "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash),
             "saturated": saturated, "zero": zero, "dead": dead}
        )  # fmt: skip
        theory["saturated"][name] = np.where(dotted, want_saturated, np.nan)
        theory["zero"][name] = np.where(dotted, want_zero, np.nan)
        drawn[name] = np.array([saturated, zero, dead])
        both = np.isfinite(saturated) & np.isfinite(want_saturated)
        apart = max(apart, float(np.max(np.abs(saturated - want_saturated)[both], initial=0.0)))
        bad = np.flatnonzero(~np.isfinite(saturated))
        if bad.size:
            lost.append(f"**{name}** leaves float64 at layer {int(layer[bad[0]])}.")
        lines.append(
            [f"**{name}**", _percent(saturated[0]), _percent(saturated[-1]), _percent(float(want_saturated[-1])),
             _percent(zero[-1]), _percent(dead[0]), _percent(dead[-1])]
        )  # fmt: skip
    empty = dict.fromkeys(("saturated", "zero", "dead"), np.nan)
    if flat.threshold:
        limit = f"Saturated means |φ′| below {number(flat.threshold)}, 1% of its largest value."
    elif flat.largest == math.inf:
        limit = "Only slopes of exactly 0 count as saturated: φ′ has no largest value."
    else:
        limit = "Only slopes of exactly 0 count as saturated, and φ′ is 0 everywhere."
    figure = Figure(
        name="initialization/saturation",
        build=_saturation_spec,
        data={
            "shares": rows(*parts) if parts else rows(_nothing_chosen(**empty)),
            **{f"{panel}_dots": _dots(layer, by_name, 0.5) for panel, by_name in theory.items()},
            "saturated_ends": _share_ends(chosen, {name: line[0] for name, line in drawn.items()}, ""),
            "zero_ends": _share_ends(chosen, {name: line[2] for name, line in drawn.items()}, " dead"),
            "titles": rows(
                saturated=["Slopes that are saturated"],
                zero=["Slopes exactly 0 (thin) and dead units (thick)"],
            ),
        },
        title="Saturated and dead by layer",
        caption=f"{chosen.caption(names, size)} {limit}",
        key=(
            "Lines: shares of the units of a layer. A unit is dead where its slope is exactly 0 at every input of the batch, "
            f"at least {_ROWS} inputs. Small dots: shares for h ~ N(0, q), q of mean-field theory. Beside the lines: the share "
            "in the last layer, and all schemes that have the line."
        ),
        alt=(
            "Share of saturated slopes, left, and of slopes that are exactly zero and of dead units, right, by layer, one "
            "line a scheme."
        ),
    )
    if not names:
        return [figure, "Choose at least one scheme."]
    head = [
        "", "saturated in the first layer", "in the last", "theory", "slope 0 in the last", "dead in the first",
        "dead in the last",
    ]  # fmt: skip
    text = limit
    if np.isfinite([want for by_name in theory.values() for want in by_name.values()]).any():
        text += f" Measured shares stay within {_points(apart)} of theory."
    every = np.array(list(drawn.values()))
    zeros = every[:, 1][np.isfinite(every[:, 1])]
    if flat.threshold and zeros.any() and np.array_equal(every[:, 0], every[:, 1], equal_nan=True):
        text += (
            f" With {chosen.activation.name} every saturated slope is exactly 0, so that the thin lines on the right are those "
            "on the left."
        )
    text += f"\n\n{table(head, lines)}"
    text += "".join(f"\n\n{line}" for line in _same_lines(chosen, drawn))
    if np.any((zeros > 0) & (zeros < 1)):
        text += (
            "\n\nA unit that is flat at one input may still learn from another. Where the inputs grow alike with depth, the "
            "share of dead units approaches the share of zero slopes."
        )
    return [figure, "\n\n".join([text, *lost])]


def _share_ends(chosen: _Chosen, drawn: Mapping[str, Array], unit: str) -> Frame:
    """Label lines with their names and last share; lines that coincide share a label, in the ink of the one on top."""
    groups: dict[bytes, list[str]] = {}
    for name, line in drawn.items():
        groups.setdefault(line.tobytes(), []).append(name)
    at: list[float] = []
    labels: list[str] = []
    slots: list[int] = []
    for names in groups.values():
        end = _last(drawn[names[0]])
        lines = _wrapped([*(f"{name}," for name in _shortened(names, drawn)[:-1]),
                          f"{_shortened(names, drawn)[-1]} {_percent(end, 2)}{unit}"])  # fmt: skip
        # Labels at one height are placed from below to above.
        labels += lines[::-1]
        at += [end] * len(lines)
        slots += [chosen.styles[names[-1]].slot] * len(lines)
    if not labels:
        return rows(y=[0.5], label="", slot=theme.MUTED)
    return rows(y=spread(np.array(at), _LABEL, 0.0, 1.0), label=labels, slot=slots)


def _shortened(names: Sequence[str], among: Iterable[str]) -> list[str]:
    """Leave out "normal" where no other name begins alike."""
    begins = [name.split()[0] for name in among]
    return [name.removesuffix(" normal") if begins.count(name.split()[0]) == 1 else name for name in names]


def _wrapped(words: Sequence[str]) -> list[str]:
    """Put words into lines of at most ``_LINE`` letters, as far as single words fit."""
    lines = [words[0]]
    for following in words[1:]:
        if len(lines[-1]) + 1 + len(following) <= _LINE:
            lines[-1] += f" {following}"
        else:
            lines.append(following)
    return lines


def _same_lines(chosen: _Chosen, drawn: Mapping[str, Array]) -> list[str]:
    """Name the schemes that draw one and the same line, which would otherwise seem to be missing."""
    groups: dict[bytes, list[str]] = {}
    for name, lines in drawn.items():
        groups.setdefault(lines.tobytes(), []).append(name)
    said = []
    for names in groups.values():
        if len(names) > 1:
            line = f"{', '.join(names[:-1])} and {names[-1]} have the same shares in every layer"
            if len({(chosen.scheme(name).family, chosen.scheme(name).options) for name in names}) == 1:
                line += (
                    ": their weights are the same draws up to a scale, and the scale makes no difference here"
                )
            said.append(f"{line}.")
    return said


# Update against weight


@lru_cache(maxsize=16)
def _update_spec(width: int) -> Spec:
    inner = width - (175 if width < NARROW else 165)
    x, y = _layer_axis(), _log_axis()
    base = alt.Chart(named("ratios"))
    rule = alt.Chart(named("rule"))
    layers = [
        alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
        rule.mark_rule(strokeDash=[5, 4], strokeWidth=1.2).encode(y=alt.Y("y:Q"), color=theme.ink("muted")),
        rule.mark_text(align="left", dx=14, dy=-7, fontSize=theme.SMALL_SIZE).encode(
            x=alt.value(0), y=alt.Y("y:Q"), text="label:N", color=theme.ink("muted")
        ),
        base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        _theory_dots("dots", x, y),
        _ends("ends", inner, alt.Y("y:Q")),
        _title("ratio"),
    ]
    chart = compose.layer(*layers, width=inner, height=340)
    return assemble(chart, theme.config())


def _update(chosen: _Chosen) -> list[Block]:
    names = words(chosen.values, "schemes")
    lr = real(chosen.values, "update_lr")
    size = chosen.size(max(1, len(names)), _ROWS)
    mean = chosen.theory(names, size)
    layer = np.arange(1, size.depth + 1, dtype=np.int16)
    dotted = (layer - 1) % max(1, size.depth // 16) == 0
    parts: list[Part] = []
    lines: list[list[str]] = []
    ends: list[tuple[str, float]] = []
    dots: dict[str, Array] = {}
    seen = [np.array([RULE])]
    apart = 1.0
    for k, name in enumerate(names):
        found = first_update(chosen.activation, chosen.stack(name, size), lr=lr, knobs=chosen.settings)
        ratio = root_mean_square(found.ratio.T)
        top, weight = float(root_mean_square(found.top_rms)), root_mean_square(found.spread.T)
        with np.errstate(all="ignore"):
            theory = lr * top * mean.weight_gradient_rms[k] / weight
        style = chosen.styles[name]
        parts.append(
            {"layer": layer, "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash),
             "y": _positive(ratio)}
        )  # fmt: skip
        dots[name] = _positive(np.where(dotted, theory, np.nan))
        seen.append(ratio)
        if np.isfinite(_positive(ratio)).any():
            ends.append((name, _last(_positive(ratio))))
        apart = max(apart, _factor(ratio, theory))
        lines.append(_update_line(name, ratio, found.spread, lr))
    low, high = _decades(*seen)
    figure = Figure(
        name="initialization/update",
        build=_update_spec,
        data={
            "ratios": rows(*parts) if ends else rows(*parts, _nothing_chosen(y=RULE)),
            "dots": _dots(layer, dots, RULE),
            "rule": rows(y=[RULE], label="rule of thumb: 1e−3"),
            "extent": rows(y=[10.0**low, 10.0**high]),
            "ends": rows(
                y=_logs_apart([end for _, end in ends], low, high),
                label=[name for name, _ in ends],
                slot=[chosen.styles[name].slot for name, _ in ends],
            )
            if ends
            else rows(y=[RULE], label="", slot=theme.MUTED),
            "titles": rows(ratio=["Update over weight: lr · sd(∂L/∂W) / sd(W)"]),
        },
        title="First update against the weights",
        caption=(
            f"{chosen.caption(names, size)} One step of gradient descent on the whole batch, learning rate {number(lr)}; "
            f"softmax cross-entropy of the last layer's {size.width} outputs with random labels, averaged over the batch."
        ),
        key=(
            "Lines: ratio of standard deviations, root of the mean square over networks. Small dots: mean-field theory from "
            "the measured gradient at the top. Dashed: the rule of thumb of Karpathy's makemore."
        ),
        alt="Ratio of update to weight by layer on a logarithmic axis, one line a scheme, with a rule at one in a thousand.",
    )
    if not names:
        return [figure, "Choose at least one scheme."]
    head = [
        "", "first layer", "last layer", "layers within a factor 10 of 1e−3", "learning rate that puts the middle layer at 1e−3",
    ]  # fmt: skip
    text = (
        "A step should change a weight by about one part in a thousand: much less and the layer stands still, much more and it "
        f"is thrown away. With learning rate {number(lr)}:\n\n{table(head, lines)}"
    )
    if apart > 1:
        text += (
            f"\n\nTheory and measurement differ by a factor of at most {number(apart)}, over {_networks(size.networks)}; the "
            "larger depth / width, the more networks scatter."
        )
    return [
        figure,
        f"{text} The ratio is proportional to the learning rate: moving it shifts all lines alike.",
    ]


def _update_line(name: str, ratio: Array, deviation: Array, lr: float) -> list[str]:
    if not np.any(deviation):
        return [f"**{name}**", "weights without spread", "", "", ""]
    passing = int(np.sum((ratio >= RULE / _CLOSE) & (ratio <= RULE * _CLOSE)))
    middle = float(np.median(ratio))
    best = number(lr * RULE / middle) if 0 < middle < math.inf else "none"
    first, last = (number(float(r)) for r in ratio[[0, -1]])
    return [f"**{name}**", first, last, f"{passing} of {len(ratio)}", best]


# The exponent


@lru_cache(maxsize=16)
def _exponent_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 165 if narrow else round((width - 308) / 2)

    def panel(name: str) -> Panel:
        x, y = _layer_axis(), _log_axis()
        base = alt.Chart(named(f"{name}_lines"))
        layers = [
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
            base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
                x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
            ),
            _ends(f"{name}_ends", inner, alt.Y("y:Q")),
            _title(name),
        ]
        return compose.layer(*layers, width=inner, height=330)

    return _side_by_side([panel("linear"), panel("chosen")], narrow)


def _exponent(chosen: _Chosen) -> list[Block]:
    a, m, depth = (
        real(chosen.values, "exponent"),
        whole(chosen.values, "exponent_width"),
        whole(chosen.values, "depth"),
    )
    networks = max(4, min(whole(chosen.values, "seeds"), _SINGLE // (m * depth)))
    # The references have the colors of the schemes they are, LeCun's and He's.
    kinds = {
        _power(a): (power_law(a), theme.Style(theme.SLOTS["crimson"], 0)),
        _power(0.5): (power_law(0.5), chosen.styles["LeCun normal"]),
        "√(2/M)": (power_law(0.5, math.sqrt(2)), chosen.styles["He normal"]),
    }
    stds = [scheme.std(m, m) for scheme, _ in kinds.values()]
    layer = np.arange(depth + 1, dtype=np.int16)
    dotted = layer % max(1, depth // 16) == 0
    data = {}
    measured: dict[str, Array] = {}
    theory: dict[str, Array] = {}
    for panel, activation, settings in (
        ("linear", ACTIVATIONS["identity"], {}),
        ("chosen", chosen.activation, chosen.settings),
    ):
        run = single_input_rms(
            activation, stds, depth=depth, width=m, networks=networks, seed=whole(chosen.values, "seed"),
            knobs=settings,
        )  # fmt: skip
        measured[panel] = pooled_rms(run)
        theory[panel] = propagate_theory(
            activation, [scheme for scheme, _ in kinds.values()], depth=depth, width=m, knobs=settings
        ).signal_rms
    theory["linear"] = np.array([linear_rms(std, m, depth) for std in stds])
    low, high = _decades(*measured.values(), *theory.values())
    for panel, found in measured.items():
        data[f"{panel}_lines"] = rows(
            *(
                {"layer": layer, "name": label, "slot": np.int8(style.slot), "dash": np.int8(style.dash),
                 "y": _positive(found[k]), "theory": _positive(np.where(dotted, theory[panel][k], np.nan))}
                for k, (label, (_, style)) in enumerate(kinds.items())
            )
        )  # fmt: skip
        ends = [_last(_positive(line)) for line in found]
        data[f"{panel}_ends"] = rows(
            y=_logs_apart(ends, low, high),
            label=[f"{label}: {number(end)}" for label, end in zip(kinds, ends, strict=True)],
            slot=[style.slot for _, style in kinds.values()],
        )
    figure = Figure(
        name="initialization/exponent",
        build=_exponent_spec,
        data={
            **data,
            "extent": rows(y=[10.0**low, 10.0**high]),
            "titles": rows(
                linear=["Linear network: rms of h at each layer"],
                chosen=[f"{chosen.activation.name}: rms of h at each layer"],
            ),
        },
        title="Weights with σ = M^−a",
        caption=(
            f"a = {number(a)}, M = {m}, depth {depth}, {chosen.activation_text}, one input, {networks} networks, normal weights, "
            f"no biases, seed {whole(chosen.values, 'seed')}."
        ),
        key=(
            "Lines: root of the mean second moment over networks. Small dots: (Mσ²)^(l/2) for the linear network, mean-field "
            f"theory for the other. {_power(0.5)} is LeCun's scheme, √(2/M) He's."
        ),
        alt="Rms of the signal by layer for three standard deviations of the weights, linear network left, activation right.",
    )
    return [figure, _exponent_text(chosen, a, m, depth, networks, measured, theory)]


def _power(a: float) -> str:
    """Write M^−a."""
    return {0.0: "1", 0.5: "1/√M", 1.0: "1/M"}.get(a, f"M^−{number(a)}")


def _exponent_text(
    chosen: _Chosen,
    a: float,
    m: int,
    depth: int,
    networks: int,
    measured: Mapping[str, Array],
    theory: Mapping[str, Array],
) -> str:
    linear = float(linear_rms(float(m) ** -a, m, depth)[-1])
    notes = float(linear_rms(1 / 1024, 1024, 50)[-1])
    reached = float(measured["linear"][0, -1])
    gaps = [_factor(measured[panel], theory[panel]) for panel in ("linear", "chosen")]
    below = [
        _factor(np.fmin(measured[panel], theory[panel]), theory[panel]) for panel in ("linear", "chosen")
    ]
    own = theory["chosen"]
    noun = "layer" if depth == 1 else "layers"
    text = (
        rf"In a linear network a layer multiplies the rms by $\sqrt M\,\sigma = M^{{1/2-a}}$, here by "
        f"{number(float(m) ** (0.5 - a), 4)}: {number(linear)} after {depth} {noun}, measured {number(reached)}. "
        "Only a = ½ is flat. "
        f"The 1/M of the notes (a = 1) gives {number(notes, 2)} after 50 layers of width 1024. "
    )
    if a != 0.5:
        text += (
            f"With {chosen.activation.name} and a = {number(a)} theory ends at {number(float(own[0, -1]))}; "
        )
    else:
        text += f"With {chosen.activation.name}, "
    text += (
        f"{_power(0.5)} ends at {number(float(own[-2, -1]))} and √(2/M) at {number(float(own[-1, -1]))}. Measured lines stay "
        f"within a factor {number(gaps[0])} of the closed form on the left and {number(gaps[1])} of mean-field theory on the "
        "right. "
    )
    if max(gaps) > _LOST:
        text += f"At L/M = {number(depth / m)} networks differ by large factors, " + (
            f"and the mean over {_networks(networks)} misses the rare large ones that theory counts. "
            if max(below) == max(gaps)
            else f"and a rare large one lifts the mean over {_networks(networks)}. "
        )
    return text + (
        "For one input the outputs of a layer are exactly normal given the layer before, so that the measurement draws them and "
        "never the matrix: the distribution is the same, at any M."
    )


# The grid


@lru_cache(maxsize=16)
def _grid_spec(width: int) -> Spec:
    narrow = width < NARROW
    left, right = (92, 30) if narrow else (150, 45)
    inner = width - left - right
    x = alt.X("left:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("top:Q", axis=None, scale=alt.Scale(domain=[1, 0]))
    label = "short" if narrow else "label"
    cells = alt.Chart(named("cells"))
    lines = alt.Chart(named("schemes"))
    columns = alt.Chart(named("columns"))
    pick = alt.selection_point(
        name="grid", fields=["scheme", "activation", "depth"], on="click", empty=False, toggle=False
    )
    layers = [
        cells.mark_rect(cursor="pointer")
        .encode(
            x=x, x2="right:Q", y=y, y2="bottom:Q", color=theme.color(),
            opacity=alt.Opacity("strength:Q", scale=None),
            tooltip=[
                alt.Tooltip("label:N", title="scheme"),
                alt.Tooltip("activation:N"),
                alt.Tooltip("note:N", title="rms"),
            ],
        )
        .properties(name="clicks"),
        cells.mark_text(fontSize=theme.SMALL_SIZE, cursor="pointer").encode(
            x=alt.X("x:Q", axis=None), y=alt.Y("y:Q", axis=None), text="sign:N" if narrow else "word:N", color=theme.ink("ink")
        ),
        alt.Chart(named("both"))
        .mark_rect(filled=False, strokeWidth=1.6)
        .encode(x=x, x2="right:Q", y=y, y2="bottom:Q", color=theme.ink("ink"), opacity=theme.SHOWN),
        lines.mark_text(align="right", dx=-8, fontSize=theme.SMALL_SIZE, lineBreak="\n").encode(
            x=alt.value(0), y=alt.Y(f"{label}_y:Q", axis=None), text=f"{label}:N", color=theme.color()
        ),
        columns.mark_text(
            align="left" if narrow else "center", baseline="bottom" if not narrow else "middle",
            angle=300 if narrow else 0, dy=0 if narrow else -6, dx=6 if narrow else 0, fontSize=theme.SMALL_SIZE + 0.5,
        ).encode(x=alt.X("x:Q", axis=None), y=alt.value(0), text="label:N", color=theme.color()),
    ]  # fmt: skip
    if not narrow:
        layers.append(
            alt.Chart(named("halves"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(inner), y=alt.Y("y:Q", axis=None), text="label:N", color=theme.ink("muted"))
        )
    else:
        layers.append(
            alt.Chart(named("halves")).mark_text(fontSize=1, opacity=0).encode(
                y=alt.Y("y:Q", axis=None), text="label:N", color=theme.ink("muted")
            )
        )  # fmt: skip
    chart = compose.layer(*layers, width=inner, height=_GRID_HEIGHT, name="cells")
    return assemble(chart, theme.config(), [compose.parameter(pick, "clicks")])


def _verdict(rms: float) -> tuple[_Verdict, float]:
    """Return the word for an rms that began at 1, and how strongly to color it, 0 to 1."""
    if math.isnan(rms):
        return _UNDEFINED, 0.5
    decades = math.log10(rms) if 0 < rms < math.inf else math.inf * (1 if rms else -1)
    strength = 0.1 + 0.45 * min(abs(decades) / (2 * _FAR), 1.0)
    found = _VERDICTS[bisect_right(_BOUNDS, decades)]
    return found, 0.3 if abs(decades) <= _LEVEL else strength


class _GridRow(NamedTuple):
    """Schemes that theory cannot tell apart, and for every activation where signal and gradient end."""

    names: tuple[str, ...]
    signal: Array
    gradient: Array


def _grid_rows(
    chosen: _Chosen, activations: Sequence[str], depth: int
) -> tuple[list[_GridRow], tuple[str, ...]]:
    """Put schemes together that theory cannot tell apart, by the first of each; name those that have no theory."""
    width, sigma_b = whole(chosen.values, "width"), real(chosen.values, "sigma_b")
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in INITIALIZERS:
        entry = chosen.scheme(name)
        key = (f"{entry.std(width, width):.9e}", entry.mean, entry.elementwise, entry.data_dependent)
        groups.setdefault(key, []).append(name)
    schemes = [chosen.scheme(names[0]) for names in groups.values()]
    random = tuple(k for k, entry in enumerate(schemes) if entry.mean == 0 and not entry.elementwise)
    stds = tuple(schemes[k].std(width, width) for k in random)
    signal = np.full((len(schemes), len(activations)), np.nan)
    gradient = signal.copy()
    has, special = set(random), [k for k, entry in enumerate(schemes) if entry.elementwise]
    for c, name in enumerate(activations):
        function = ACTIVATIONS[name]
        settings = chosen.settings if name == chosen.activation.name else describe.defaults(function)
        run = _mean_field(
            name, tuple(settings.items()), stds, width, sigma_b, next(d for d in _DEPTHS if d >= depth)
        )
        signal[random, c], gradient[random, c] = run.signal_rms[:, depth], _carried(run.slope[:, :depth])
        if special:
            mean = propagate_theory(
                function, [schemes[k] for k in special], depth=depth, width=width, sigma_b=sigma_b, knobs=settings
            )  # fmt: skip
            # Theory that begins as NaN is none; one that becomes NaN has left float64.
            has.update(k for k, start in zip(special, mean.signal_rms[:, 0], strict=True) if start == start)
            signal[special, c], gradient[special, c] = mean.signal_rms[:, -1], mean.gradient_rms[:, 0]
        progress.report((c + 1) / len(activations), f"{c + 1} of {len(activations)} activations")
    grid = [
        _GridRow(tuple(names), signal[k], gradient[k]) for k, names in enumerate(groups.values()) if k in has
    ]
    # From the smallest signal to the largest, in the page's own activation.
    own = list(activations).index(chosen.activation.name)
    grid.sort(key=lambda row: float(np.nan_to_num(row.signal[own], nan=math.inf, posinf=math.inf)))
    return grid, tuple(name for k, names in enumerate(groups.values()) if k not in has for name in names)


@keep(entries=256)
def _mean_field(
    name: str, settings: Items, stds: tuple[float, ...], width: int, sigma_b: float, depth: int
) -> MeanField:
    """Return the theory of independent weights with these standard deviations; one run serves all smaller depths."""
    schemes = [
        Initializer("", lambda fan_in, fan_out, std=std: std, "normal", "", "")  # type: ignore[misc]
        for std in stds
    ]
    return propagate_theory(
        ACTIVATIONS[name], schemes, depth=depth, width=width, sigma_b=sigma_b, knobs=dict(settings)
    )


def _carried(slope: Array) -> Array:
    """Return the rms of a gradient that began at 1 and was multiplied by these factors of its square: (n, L) → (n,)."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(np.prod(np.sqrt(slope), axis=1))


def _group_label(names: Sequence[str], most: int, a_line: int) -> str:
    """Write a group of schemes in a few short lines: those that begin alike by that word alone."""
    first = [name.split()[0] for name in names]
    short = list(
        dict.fromkeys(a if first.count(a) > 1 else name for a, name in zip(first, names, strict=True))
    )
    shown = short if len(short) <= most else [*short[: most - 1], f"{len(short) - most + 1} more"]
    lines = [", ".join(shown[i : i + a_line]) for i in range(0, len(shown), a_line)]
    return ",\n".join(lines)


def _raised(label: str) -> float:
    """Return by how much a label of several lines stands higher, in heights of the grid: Vega centers the first line."""
    return label.count("\n") * _LINE_HEIGHT / 2 / _GRID_HEIGHT


def _grid(chosen: _Chosen) -> list[Block]:
    depth = whole(chosen.values, "grid_depth")
    own = chosen.activation.name
    activations = _GRID_ACTIVATIONS if own in _GRID_ACTIVATIONS else (*_GRID_ACTIVATIONS[:-1], own)
    found, without = _grid_rows(chosen, activations, depth)
    found = found[:_GRID_ROWS]
    across, down = 1 / len(activations), 1 / len(found)
    cells: list[Part] = []
    both: list[Part] = []
    schemes: list[Part] = []
    level: list[tuple[str, ...]] = []
    count = 0
    picked = set(words(chosen.values, "schemes"))
    for r, row in enumerate(found):
        wide, slim = _group_label(row.names, 4, 2), _group_label(row.names, 3, 1)
        middle = (r + 0.5) * down
        schemes.append(
            {
                "label_y": [middle - _raised(wide)],
                "label": wide,
                "short_y": middle - _raised(slim),
                "short": slim,
                "slot": np.int8(theme.INK if picked & set(row.names) else theme.MUTED),
            }
        )
        for c, name in enumerate(activations):
            halves = (float(row.signal[c]), float(row.gradient[c]))
            place = {"left": [(c + 0.015) * across], "right": (c + 0.985) * across}
            note = f"signal {number(halves[0])}, gradient {number(halves[1])}"
            verdicts = [_verdict(rms) for rms in halves]
            for half, (verdict, strength) in enumerate(verdicts):
                top = (r + 0.04 + 0.46 * half) * down
                bottom = top + 0.46 * down
                cells.append(
                    {**place, "top": top, "bottom": bottom, "x": (c + 0.5) * across, "y": (top + bottom) / 2,
                     "word": verdict.word, "sign": verdict.sign, "slot": np.int8(verdict.slot), "strength": strength,
                     "scheme": row.names[0], "depth": np.int16(depth), "label": ", ".join(row.names),
                     "activation": name, "note": note}
                )  # fmt: skip
            if all(verdict is _VERDICTS[2] for verdict, _ in verdicts):
                both.append({**place, "top": (r + 0.04) * down, "bottom": (r + 0.96) * down, "shown": True})
                if name == own:
                    level.append(row.names)
                count += 1
    first = (0.27 * down, 0.73 * down)
    figure = Figure(
        name="initialization/grid",
        build=_grid_spec,
        data={
            "cells": rows(*cells),
            "both": rows(*both) if both else rows(left=[0.0], right=0.0, top=0.0, bottom=0.0, shown=False),
            "schemes": rows(*schemes),
            "columns": rows(
                x=[(c + 0.5) * across for c in range(len(activations))],
                label=list(activations),
                slot=[theme.INK if name == own else theme.MUTED for name in activations],
            ),
            "halves": rows(y=first, label=["signal", "gradient"]),
        },
        title="Schemes and activations",
        caption=(
            f"Mean-field theory at depth {depth}, width {whole(chosen.values, 'width')}, σ_b "
            f"{number(real(chosen.values, 'sigma_b'))}; {chosen.activation_text}, the other activations at their defaults. "
            "Rms of the signal in the last layer and of the gradient in front of the first, both 1 where they begin."
        ),
        key=(
            "Upper half of a cell: signal; lower half: gradient. Level (=): within a factor 10. Shrinks (−), grows (+): up to a "
            "factor 1e6. Vanishes (−−), explodes (++): beyond. Framed: both level. Dark names: the chosen schemes and activation."
        ),
        alt=(
            "A grid of schemes by activations, each cell with a word for the size of the signal and one for that of the "
            "gradient, and a frame where both stay level."
        ),
        click="grid",
        hint="A click on a cell opens it in the figure above, at the depth of the grid.",
    )
    return [
        figure,
        _grid_text(own, depth, level, f"{count} of {len(found) * len(activations)}", found, without),
    ]


def _grid_text(
    own: str,
    depth: int,
    level: Sequence[tuple[str, ...]],
    count: str,
    found: Sequence[_GridRow],
    without: Sequence[str],
) -> str:
    noun = "layer" if depth == 1 else "layers"
    which = "; ".join(", ".join(names) for names in level) or "no scheme does"
    text = (
        f"Through {depth} {noun} **{count}** cells keep both signal and gradient within a factor 10. "
        f"With {own}: {which}. "
    )
    shared = [row.names for row in found if len(row.names) > 1]
    if shared:
        text += (
            "In layers of equal width "
            + "; ".join(f"{', '.join(names[:-1])} and {names[-1]}" for names in shared)
            + " have weights of the same variance, so that theory cannot tell them apart and they share a row. "
        )
    if without:
        text += (
            f"Left out, because mean-field theory needs independent weights around 0: {', '.join(without)}. "
        )
    if any("identity" in row.names for row in found):
        text += (
            "The identity, which draws nothing, has a theory of its own: its row iterates h ← φ(h) over normal inputs, and "
            "multiplies the gradient by φ′(h) on the way back."
        )
    return text.strip()


def grid_click(point: Mapping[str, object]) -> dict[str, Value]:
    """Turn a click on the grid into values of the page: the scheme beside He's, the activation, and the grid's depth.

    Returns:
        nothing if the click names no cell.
    """
    scheme, activation = str(point.get("scheme", "")), str(point.get("activation", ""))
    if scheme not in INITIALIZERS or activation not in ACTIVATIONS:
        return {}
    values: dict[str, Value] = {
        "schemes": tuple(dict.fromkeys((scheme, "He normal"))),
        "activation": activation,
    }
    depth = point.get("depth")
    if isinstance(depth, int | float) and not isinstance(depth, bool) and depth in range(1, max(_DEPTHS) + 1):
        values["depth"] = int(depth)
    return values


# The tab

VIEWS: dict[str, Callable[[_Chosen], list[Block]]] = {
    "ridgelines": _ridgelines,
    "saturation": _saturation,
    "update ratio": _update,
    "exponent": _exponent,
    "grid": _grid,
}


def layers_blocks(
    values: Values,
    scheme: Callable[[str], Initializer],
    described: Callable[[str], str],
    settings: Settings,
    styles: Mapping[str, theme.Style],
) -> list[Block]:
    """Return the view of the Layers tab that the values choose.

    Args:
        values: every value of the page, those of ``LAYERS_KNOBS`` among them.
        scheme: gives an entry of ``INITIALIZERS`` with its own knobs set.
        described: gives its name with those knobs, for captions.
        settings: of the page's activation, its own knobs.
        styles: hue and dash of every scheme.
    """
    return VIEWS[word(values, "layers_view")](_Chosen(values, scheme, described, settings, styles))
