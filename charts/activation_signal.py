"""The Signal tab of the activations page: a normal signal before and after the functions, bin by bin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, bins, named, rows, spread, table
from charts.topic import Block, Link
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS
from core.knobs import Knob, number
from core.moments import Moments, SlopeChain, sample_moments, signal_moments, slope_chain
from core.propagation import FLOAT32_TINY, propagate_theory
from core.special import normal_pdf
from core.streams import stream

Array = np.ndarray
Settings = Mapping[str, float]

_DRAWS = 20_000
_BINS = 80
_FINE = 40_001  # points of the exact distribution: a bin's share is good to 2e-4
_REACH = 3.5  # standard deviations of the input that the axis shows
_FILLED = 0.8  # of a row's height, by its highest bar
_LAYERS = 60
_CHAINS = 400
_LOWEST = -45.0  # log₁₀ at which the panel of chains ends, below float32

SIGNAL_KNOBS = (
    Knob("mu", "float", 0.0, label="Mean of the input", low=-5.0, high=5.0, step=0.1, symbol="μ"),
    Knob("sigma", "float", 1.0, label="Spread of the input", low=0.1, high=5.0, step=0.1, symbol="σ"),
)


@lru_cache(maxsize=16)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - (130 if narrow else 250)
    x = alt.X(
        "low:Q", title="z, and f(z)", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False)
    )
    y = alt.Y("base:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    layers = [
        alt.Chart(named("lines"))
        .mark_rule(strokeWidth=0.6)
        .encode(x=x, x2="high:Q", y=y, color=theme.ink("faint")),
        alt.Chart(named("bars"))
        .mark_rect(opacity=0.55)
        .encode(x=x, x2="high:Q", y=y, y2="top:Q", color=theme.color()),
        alt.Chart(named("theory"))
        .mark_point(filled=True, size=theme.DOT, opacity=1)
        .encode(x=x, y=y, color=theme.ink("ink")),
        alt.Chart(named("means"))
        .mark_rule(strokeWidth=2)
        .encode(x=x, y=y, y2="top:Q", color=theme.color(), opacity=theme.SHOWN),
        alt.Chart(named("labels"))
        .mark_text(
            align="left", baseline="bottom", dx=10, dy=-14 if not narrow else 0, fontSize=theme.TEXT_SIZE
        )
        .encode(x=alt.value(inner), y=y, text="name:N", color=theme.color()),
    ]
    if not narrow:
        layers.append(
            alt.Chart(named("labels"))
            .mark_text(align="left", baseline="bottom", dx=10, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(inner), y=y, text="note:N", color=theme.ink("muted"))
        )
    return assemble(compose.layer(*layers, width=inner, height=360), theme.config())


def _shares(f_of: Array, weights: Array, low: float, high: float) -> Array:
    """Return the share of the distribution in each bin."""
    inside = np.isfinite(f_of)
    shares, _ = np.histogram(f_of[inside], bins=_BINS, range=(low, high), weights=weights[inside])
    return np.asarray(shares)


def _rounded(mean: float, scale: float) -> float:
    """Return 0 for the mean of an odd function, which quadrature gives to rounding."""
    return 0.0 if abs(mean) < 1e-12 * scale else mean


def _histogram(
    names: Sequence[str],
    settings: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    described: Sequence[str],
    moments: Mapping[str, Moments],
    mu: float,
    sigma: float,
) -> tuple[Figure, float]:
    """Draw z ~ N(μ, σ²) and every f(z) as histograms on one axis, with the exact shares over them.

    Returns:
        the figure, and the largest distance of a bin from its exact share in standard errors.
    """
    z = mu + sigma * stream(0, 0).standard_normal(_DRAWS)
    u = np.linspace(-9.0, 9.0, _FINE)
    weights = normal_pdf(u)
    weights /= weights.sum()
    low, high = min(mu - _REACH * sigma, -1.1), max(mu + _REACH * sigma, 1.1)
    count = len(names) + 1
    step = 1 / count
    bars: list[Part] = []
    theory: list[Part] = []
    means: list[Part] = []
    labels: list[Part] = []
    lines: list[Part] = []
    worst = 0.0
    drawn: Array
    exact: Array
    for row, name in enumerate(["before", *names]):
        if row == 0:
            drawn, exact, mean, deviation, slot = z, mu + sigma * u, mu, sigma, theme.MUTED
        else:
            f = ACTIVATIONS[name].f
            drawn, exact = f(z, **settings[name]), f(mu + sigma * u, **settings[name])
            mean, deviation = moments[name].mean, float(np.sqrt(moments[name].variance))
            slot = styles[name].slot
        left, right, counts = bins(drawn, low, high, _BINS)
        measured, shares = counts / _DRAWS, _shares(exact, weights, low, high)
        errors = np.sqrt(shares * (1 - shares) / _DRAWS)
        solid = shares > 1e-3
        if solid.any():
            worst = max(
                worst, float(np.max(np.abs(measured - shares)[solid] / np.maximum(errors[solid], 1e-9)))
            )
        base = 1 - (row + 1) * step
        scale = _FILLED * step / max(float(measured.max()), float(shares.max()), 1e-9)
        kept = counts > 0
        lines.append({"low": [low], "high": high, "base": base})
        if kept.any():
            bars.append(
                {"low": left[kept], "high": right[kept], "base": base, "top": base + scale * measured[kept],
                 "slot": np.int8(slot)}
            )  # fmt: skip
            dotted = (shares > 0) & ((np.arange(_BINS) % 2 == 0) | (shares == shares.max()))
            theory.append({"low": (left + right)[dotted] / 2, "base": base + scale * shares[dotted]})
        if low <= mean <= high:
            means.append(
                {"low": [mean], "base": base, "top": base + 0.92 * step, "slot": np.int8(slot), "shown": True}
            )
        beyond = 1 - float(shares.sum())
        note = f"mean {number(mean)}, sd {number(deviation)}"
        if measured.max() > 0.2:
            note += f"; highest bar {number(100 * float(measured.max()), 2)}%"
        if beyond > 0.005:
            note += f"; {number(100 * beyond, 2)}% outside"
        labels.append(
            {"base": [base], "name": "z" if row == 0 else name, "note": note, "slot": np.int8(slot)}
        )
    nothing = rows(low=[low], high=low, base=0.0, top=0.0, slot=theme.MUTED, shown=False)
    figure = Figure(
        name="activations/signal",
        build=_spec,
        data={
            "bars": rows(*bars) if bars else nothing,
            "theory": rows(*theory) if theory else nothing,
            "means": rows(*means) if means else nothing,
            "labels": rows(*labels),
            "lines": rows(*lines),
        },
        title="A signal before and after",
        caption=(
            f"z ~ N({number(mu)}, {number(sigma)}²), {_DRAWS:,} draws, seed 0, in {_BINS} bins; "
            f"{', '.join(described) or 'no function'}, without the weight w."
        ),
        key=(
            "Bars: share of the draws in each bin, every row to its own scale. Small dots: exact shares. "
            "Upright rules: exact means."
        ),
        alt="Histograms one below the other on one axis: the input z first, then the output of each function.",
    )
    return figure, worst


def _links(
    names: Sequence[str],
    settings: Mapping[str, Settings],
    own: Callable[[str, str], str],
    gains: Mapping[str, float],
) -> list[Block]:
    """Lead to the Initialization page with a function, its settings and the gain that suits its signal.

    ``own`` gives the name of a function's knob in links, the same on both pages. A gain out of the range of the
    page gets no link.
    """
    (knob,) = INITIALIZERS["custom"].knobs
    links: list[Block] = []
    ends = []
    for name in names:
        if not knob.low <= gains[name] <= knob.high:
            continue
        gain = round(gains[name], 4)
        factor, end = _through_depth(name, tuple(sorted(settings[name].items())), gain)
        ends.append(f"{name} ×{number(factor, 4)} a layer, to {number(end)}")
        values = {own(name, key): value for key, value in settings[name].items()}
        links.append(
            Link(
                f"{name} with gain {number(gains[name])}",
                {"activation": name, **values, "schemes": ("custom", "He normal", "Glorot normal"), "custom_gain": gain},
                page="initialization",
            )
        )  # fmt: skip
    if not links:
        return []
    text = (
        "A weight spread of 1/√E f′² over √fan_in keeps the gradient's size in one layer with this input. Deeper layers "
        f"see other inputs; after {_DEPTH} layers with that gain, theory says of the gradient's rms: {'; '.join(ends)}. "
        "See it measured:"
    )
    return [text, *links]


# Chains of slopes


@lru_cache(maxsize=16)
def _chain_spec(width: int) -> Spec:
    inner = width - (165 if width < NARROW else 190)
    x = alt.X(
        "layer:Q",
        title="layers",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )
    y = alt.Y("typical:Q", title="log₁₀ of the product of slopes", scale=alt.Scale(nice=False, zero=False))
    base = alt.Chart(named("chains"))
    layers: list[Panel] = [
        alt.Chart(named("limit"))
        .mark_rule(strokeDash=[5, 4], strokeWidth=1)
        .encode(y=alt.Y("typical:Q"), color=theme.ink("muted")),
        alt.Chart(named("limit"))
        .mark_text(align="left", dx=4, dy=-6, fontSize=theme.SMALL_SIZE)
        .encode(x=alt.value(0), y=alt.Y("typical:Q"), text="label:N", color=theme.ink("muted")),
        base.mark_area(opacity=0.18).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
        ),
        base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
        base.mark_point(filled=True, size=theme.DOT, opacity=1).encode(
            x=x, y=alt.Y("theory:Q"), color=theme.ink("ink")
        ),
        alt.Chart(named("ends"))
        .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE, limit=130)
        .encode(x=x, y=alt.Y("typical:Q"), text="label:N", color=theme.color()),
    ]
    return assemble(compose.layer(*layers, width=inner, height=300), theme.config())


def _chain_part(chain: SlopeChain) -> Part | None:
    """Return median and band of the chains that are alive, down to where the panel ends."""
    layers = np.arange(_LAYERS + 1)
    alive = np.where(np.isfinite(chain.log10_products), chain.log10_products, np.nan)
    some = np.isfinite(alive).sum(axis=0) >= 10
    if some.sum() < 2:
        return None
    low, middle, high = np.nanquantile(alive[:, some], (0.1, 0.5, 0.9), axis=0)
    theory = np.where(layers[some] % 4 == 0, chain.mean_log10_alive * layers[some], np.nan)
    inside = middle >= _LOWEST
    return {
        "layer": layers[some][inside].astype(np.int16),
        "typical": middle[inside],
        "low": np.maximum(low[inside], _LOWEST),
        "high": high[inside],
        "theory": theory[inside],
    }


def _chain_figure(
    parts: list[Part],
    ends: list[tuple[str, int, float, int]],
    described: Sequence[str],
    mu: float,
    sigma: float,
) -> Figure:
    chains = rows(*parts)
    low, high = float(np.nanmin(chains.numbers("low"))), float(np.nanmax(chains.numbers("high")))
    limit = float(np.log10(FLOAT32_TINY))
    shown = low <= limit
    placed = spread(np.array([end for _, _, end, _ in ends]), 0.065 * max(high - low, 1.0), low, high)
    return Figure(
        name="activations/chain",
        build=_chain_spec,
        data={
            "chains": chains,
            "limit": rows(
                typical=[limit if shown else high],
                label=f"float32 smallest normal {number(FLOAT32_TINY, 2)}" if shown else "",
            ),
            "ends": rows(
                layer=[layer for *_, layer in ends],
                typical=placed,
                label=[name for name, *_ in ends],
                slot=[slot for _, slot, *_ in ends],
            ),
        },
        title="Chains of slopes",
        caption=(
            f"{', '.join(described)}: product of |f′(z)| through layers, z ~ N({number(mu)}, {number(sigma)}²) anew in each, "
            "no weights."
        ),
        key=(
            f"Lines and bands: median, 10th to 90th percentile of those of {_CHAINS} chains that are not exactly 0. "
            "Small dots: layers times E log₁₀|f′|, given f′ ≠ 0; medians run above them where slopes are skewed."
        ),
        alt="Logarithm of the product of slopes against the number of layers, one line a function.",
    )


# The tab

_FAR = 1000  # layers beyond which nobody asks when a product ends
_DEPTH, _WIDTH = 50, 64  # the default networks of the Initialization page
_COLUMNS = ("mean", "variance", "second", "slope_second", "share_saturated", "share_zero")
_HEAD = (
    *("", "E f", "Var f", "E f²", "E f′²", "slope under 1%", "slope 0", "1/√E f²", "1/√E f′²"),
    f"product of slopes under {number(FLOAT32_TINY, 2)} from layer",
)


@lru_cache(maxsize=64)
def _through_depth(name: str, settings: tuple[tuple[str, float], ...], gain: float) -> tuple[float, float]:
    """Return by what a layer multiplies the gradient's rms through fifty layers of that gain, and its end."""
    theory = propagate_theory(
        ACTIVATIONS[name],
        [INITIALIZERS["custom"].at(gain=gain)],
        depth=_DEPTH,
        width=_WIDTH,
        knobs=dict(settings),
    )
    end = float(theory.gradient_rms[0, 0] / theory.gradient_rms[0, -1])
    return end ** (1 / _DEPTH), end


def signal_blocks(
    names: Sequence[str],
    settings: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    described: Sequence[str],
    own: Callable[[str, str], str],
    mu: float,
    sigma: float,
) -> list[Block]:
    """Send z ~ N(μ, σ²) through the chosen functions: histograms, moments by quadrature and by sample, chains.

    ``described`` names the functions with their settings, for the caption; ``own(function, knob)`` is the name of a
    function's knob in links.
    """
    exact, lines, parts, ends = {}, [], [], []
    worst = 0.0
    for name in names:
        entry, knobs = ACTIVATIONS[name], settings[name]
        moments = signal_moments(entry, mu=mu, sigma=sigma, knobs=knobs)
        moments = replace(moments, mean=_rounded(moments.mean, moments.second**0.5))
        exact[name] = moments
        drawn = sample_moments(entry, mu=mu, sigma=sigma, n=_DRAWS, seed=0, knobs=knobs)
        chain = slope_chain(entry, mu=mu, sigma=sigma, layers=_LAYERS, n=_CHAINS, seed=0, knobs=knobs)
        pairs = [
            (getattr(moments, field), getattr(drawn, field), getattr(drawn.error, field))
            for field in _COLUMNS
        ]
        # A spread below rounding makes no standard error to measure by.
        worst = max(
            [worst, *(abs(a - b) / error for a, b, error in pairs if error > 1e-12 * max(abs(a), 1e-12))]
        )
        under = chain.underflow_typical
        lines.append(
            [
                f"**{name}**",
                *(f"{number(a)} ({number(b)})" for a, b, _ in pairs),
                number(moments.gain_forward),
                number(moments.gain_backward),
                "never" if under is None else str(under) if under <= _FAR else f"beyond {_FAR}",
            ]
        )
        part = _chain_part(chain)
        if part is not None:
            style = styles[name]
            parts.append({**part, "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash)})
            ends.append((name, style.slot, float(part["typical"][-1]), int(part["layer"][-1])))  # type: ignore[index]
    before, apart = _histogram(names, settings, styles, described, exact, mu, sigma)
    blocks: list[Block] = [before]
    if not names:
        return [*blocks, "Choose at least one function."]
    blocks += [
        f"The bars stay within {number(apart, 2)} standard errors of their exact shares. In the table each cell is the "
        f"quadrature, and in parentheses {_DRAWS:,} draws; they differ by at most {number(worst, 2)} standard errors. "
        "*Slope under 1%* of the function's own largest: saturation, and for functions whose slope changes sign the "
        f"surroundings of its zeros. The last column: the layer from which exp(l · E ln|f′|) is below {number(FLOAT32_TINY, 2)}, "
        "the smallest normal number of float32, or half of the products are exactly 0. The functions are taken without "
        "the weight w.\n\n" + table(_HEAD, lines),
    ]
    if parts:
        blocks.append(_chain_figure(parts, ends, described, mu, sigma))
    else:
        blocks.append("Every product of slopes is exactly 0: no gradient passes even one layer.")
    if (mu, sigma) == (0.0, 1.0):
        blocks += _links(
            names, settings, own, {name: moments.gain_backward for name, moments in exact.items()}
        )
    else:
        blocks.append(
            "The Initialization page feeds its networks N(0, 1). Set μ = 0 and σ = 1 for links to fifty layers with the "
            "gain 1/√E f′²."
        )
    return blocks
