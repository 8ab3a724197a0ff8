"""The tabs of the activations page: a signal through a function, computed properties, dying units."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import altair as alt
import numpy as np

from charts import progress, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread
from charts.topic import Block
from core.activations import ACTIVATIONS
from core.datasets import DATASETS
from core.initializers import INITIALIZERS
from core.knobs import Knob, aliases_of, number
from core.moments import SlopeChain, sample_moments, signal_moments, slope_chain
from core.network import LearningRateSweep, learning_rate_sweep
from core.propagation import FLOAT32_TINY
from core.properties import properties
from core.streams import stream

_LAYERS = 60
_CHAINS = 400
_DRAWS = 20_000
_LOWEST = -45.0  # log₁₀ at which the panel of chains ends, below float32
_POINTS = 64
_STEPS = 200

SIGNAL_KNOBS = (
    Knob("mu", "float", 0.0, label="Mean of the input", low=-5.0, high=5.0, step=0.1, symbol="μ"),
    Knob("sigma", "float", 1.0, label="Spread of the input", low=0.1, high=5.0, step=0.1, symbol="σ"),
)
DYING_KNOBS = (
    Knob(
        "hidden",
        "choice",
        "ReLU",
        label="Hidden units",
        choices=tuple(ACTIVATIONS),
        aliases=aliases_of(ACTIVATIONS),
    ),
    Knob("data", "choice", "circles", label="Data", choices=tuple(DATASETS)),
    Knob("bias", "float", 0.0, label="Bias at the start", low=-2.0, high=1.0, step=0.1),
)

Settings = Mapping[str, float]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    ruler = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ruler, *lines))


# A signal through it


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
        .encode(x=alt.value(inner), y=alt.Y("typical:Q"), text="label:N", color=theme.color()),
    ]
    return assemble(alt.layer(*layers).properties(width=inner, height=300), theme.config())


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


def signal_blocks(
    names: Sequence[str],
    settings: Mapping[str, Settings],
    styles: Mapping[str, theme.Style],
    described: Sequence[str],
    mu: float,
    sigma: float,
) -> list[Block]:
    """Send z ~ N(μ, σ²) through the chosen functions: moments by quadrature and by sample, and chains of slopes.

    ``described`` names the functions with their settings, for the caption.
    """
    lines, parts, ends = [], [], []
    worst = 0.0
    for name in names:
        entry, knobs = ACTIVATIONS[name], settings[name]
        exact = signal_moments(entry, mu=mu, sigma=sigma, knobs=knobs)
        drawn = sample_moments(entry, mu=mu, sigma=sigma, n=_DRAWS, seed=0, knobs=knobs)
        chain = slope_chain(entry, mu=mu, sigma=sigma, layers=_LAYERS, n=_CHAINS, seed=0, knobs=knobs)
        pairs = [
            (getattr(exact, field), getattr(drawn, field), getattr(drawn.error, field))
            for field in ("mean", "second", "slope_second", "share_saturated", "share_zero")
        ]
        worst = max([worst, *(abs(a - b) / error for a, b, error in pairs if error > 0)])
        under = chain.underflow_typical
        lines.append(
            [
                f"**{name}**",
                *(f"{number(a)} ({number(b)})" for a, b, _ in pairs),
                number(exact.gain_backward),
                "never" if under is None else str(under),
            ]
        )
        part = _chain_part(chain)
        if part is not None:
            style = styles[name]
            parts.append({**part, "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash)})
            ends.append((name, style.slot, float(part["typical"][-1])))  # type: ignore[index]
    head = ["", "E f", "E f²", "E f′²", "saturated", "slope 0", "1/√E f′²", "float32 ends at layer"]
    text = (
        f"The input is z ~ N({number(mu)}, {number(sigma)}²). Each cell: quadrature, and in parentheses {_DRAWS:,} draws; "
        f"they differ by at most {number(worst, 2)} standard errors. *Saturated*: slope under 1% of the function's largest. "
        "The last column: the layer at which the typical product of slopes leaves float32 or is exactly 0.\n\n"
        + _table(head, lines)
    )
    blocks: list[Block] = [text if names else "Choose at least one function."]
    if not parts:  # every product is exactly 0: a line through one point, which draws nothing
        origin: Part = {name: [0.0] for name in ("typical", "low", "high", "theory")}
        parts.append({"layer": [0], **origin, "name": "", "slot": theme.MUTED, "dash": 0})
        ends.append(("every product is exactly 0" if names else "", theme.MUTED, 0.0))
    blocks.append(_chain_figure(parts, ends, described, mu, sigma))
    if not names:
        return blocks
    gains = ", ".join(line[0] + " " + line[6] for line in lines)
    blocks.append(
        f"Weights with standard deviation 1/√E f′² over √fan_in keep the gradient's size at this input: {gains}. "
        "The Initialization page sends signals through fifty such layers."
    )
    return blocks


def _chain_figure(
    parts: list[Part], ends: list[tuple[str, int, float]], described: Sequence[str], mu: float, sigma: float
) -> Figure:
    chains = rows(*parts)
    low, high = float(chains["low"].min()), float(chains["high"].max())
    limit = float(np.log10(FLOAT32_TINY))
    shown = low <= limit
    placed = spread(np.array([end for _, _, end in ends]), 0.065 * max(high - low, 1.0), low, high)
    return Figure(
        name="activations/chain",
        build=_chain_spec,
        data={
            "chains": chains,
            "limit": rows(
                typical=[limit if shown else high], label="float32 smallest normal 1.2e−38" if shown else ""
            ),
            "ends": rows(
                typical=placed, label=[name for name, _, _ in ends], slot=[slot for _, slot, _ in ends]
            ),
        },
        title="Chains of slopes",
        caption=(
            f"{', '.join(described)}: product of |f′(z)| through layers, z ~ N({number(mu)}, {number(sigma)}²) anew in each, "
            "no weights."
        ),
        key=(
            f"Lines and bands: median, 10th to 90th percentile of those of {_CHAINS} chains that are not exactly 0. "
            "Small dots: layers times E log₁₀|f′|, given f′ ≠ 0."
        ),
        alt="Logarithm of the product of slopes against the number of layers, one line a function.",
    )


# Properties


def compare_blocks(names: Sequence[str], settings: Mapping[str, Settings]) -> list[Block]:
    """Return the table of properties of the chosen functions, every entry computed."""
    if not names:
        return ["Choose at least one function."]
    lines = []
    for name in names:
        found = properties(ACTIVATIONS[name], settings[name])
        lines.append(
            [
                f"**{name}**",
                str(found.range),
                "0 (zero-centered)" if found.zero_centred else number(found.mean),
                "yes" if found.monotone else "no",
                f"{number(found.largest_slope)} at {', '.join(map(str, found.largest_slope_at[:2]))}",
                number(found.lipschitz),
                found.smoothness,
                found.saturation,
                ", ".join(map(str, found.fixed_points[:3])) or "none",
                ", ".join(f"{number(m.value, 6)} at {number(m.at, 6)}" for m in found.minima[:1]) or "none",
                number(found.gain_backward, 4),
            ]
        )
    head = [
        "", "range", "mean under N(0, 1)", "monotone", "largest slope", "Lipschitz constant", "smoothness",
        "saturates", "fixed points", "minimum", "1/√E f′²",
    ]  # fmt: skip
    return ["Every entry is computed from the function itself, none is typed.\n\n" + _table(head, lines)]


# Dying units


@lru_cache(maxsize=16)
def _dying_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 250) / 2)
    x = alt.X(
        "lr:Q", title="learning rate", scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, labelExpr=theme.POWER),
    )  # fmt: skip

    def panel(name: str) -> Panel:
        scale = alt.Scale(domain=[0, 1]) if name == "dead" else alt.Scale(type="log", nice=False)
        axis = (
            alt.Axis(format="%")
            if name == "dead"
            else alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID)
        )
        base = alt.Chart(named(name))
        return alt.layer(
            alt.Chart(named("diverged"))
            .mark_rect(opacity=0.14)
            .encode(x=x, x2="high:Q", color=theme.ink("bad")),
            base.mark_line(point=alt.OverlayMarkDef(size=22)).encode(
                x=x, y=alt.Y("y:Q", title=None, scale=scale, axis=axis), detail="line:N", color=theme.color()
            ),
            alt.Chart(named(f"{name}_ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(
                x=alt.value(inner), y=alt.Y("y:Q", scale=scale, axis=axis), text="line:N", color=theme.color()
            ),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
        ).properties(width=inner, height=240, name=name)

    panels = [panel("dead"), panel("loss")]
    both = alt.vconcat(*panels) if narrow else alt.hconcat(*panels)
    return assemble(both.resolve_scale(color="shared"), theme.config())


@lru_cache(maxsize=32)
def _sweep(hidden: str, knobs: tuple[tuple[str, float], ...], data: str, bias: float) -> LearningRateSweep:
    points, labels = DATASETS[data].draw(_POINTS, 0.1, stream(0))
    return learning_rate_sweep(
        points,
        labels,
        activation=ACTIVATIONS[hidden],
        initializer=INITIALIZERS["He normal"],
        bias=bias,
        steps=_STEPS,
        knobs=dict(knobs),
        report=lambda step, steps: progress.report(step / steps, f"Training: step {step} of {steps}"),
    )


def dying_blocks(hidden: str, knobs: Settings, data: str, bias: float) -> list[Block]:
    """Train a small network at 24 learning rates with three seeds; show which units die, and what it costs."""
    sweep = _sweep(hidden, tuple(sorted(knobs.items())), data, bias)
    lr = sweep.lr
    diverged = (sweep.diverged_at >= 0) | ~(sweep.loss <= sweep.start_loss)
    with np.errstate(invalid="ignore", over="ignore"):
        dead = np.mean(sweep.dead, axis=2)
        loss = np.median(sweep.loss, axis=1)
    hues = ("blue", "green", "purple", "ochre")
    dead_parts: list[Part] = []
    for layer, share in enumerate(dead):
        kept = np.isfinite(share)
        dead_parts.append(
            {"lr": lr[kept], "y": share[kept], "line": f"layer {layer + 1}", "slot": theme.SLOTS[hues[layer]]}
        )
    drawn = np.isfinite(loss) & (loss > 0) & (loss < 100 * float(np.median(sweep.start_loss)))
    loss_part: Part = {
        "lr": lr[drawn],
        "y": loss[drawn],
        "line": "median loss",
        "slot": theme.SLOTS["vermilion"],
    }
    half = np.sqrt(lr[1] / lr[0])
    bad = diverged.mean(axis=1) >= 0.5
    region = (
        rows(lr=lr[bad] / half, high=np.minimum(lr[bad] * half, lr[-1]))
        if bad.any()
        else rows(lr=[lr[0]], high=[lr[0]])
    )
    ends = np.array([float(part["y"][-1]) for part in dead_parts])  # type: ignore[index]
    placed = spread(ends, 0.08, 0.0, 1.0)
    figure = Figure(
        name="activations/dying",
        build=_dying_spec,
        data={
            "dead": rows(*dead_parts),
            "loss": rows(loss_part),
            "diverged": region,
            "dead_ends": rows(
                y=placed, line=[str(p["line"]) for p in dead_parts], slot=[p["slot"] for p in dead_parts]
            ),
            "loss_ends": rows(y=[float(loss[drawn][-1])], line="median loss", slot=theme.SLOTS["vermilion"]),
            "titles": rows(
                dead=["Units that are dead on all data"], loss=["Loss after training, median of three seeds"]
            ),
        },
        title=f"Dead {hidden} units against the learning rate",
        caption=(
            f"2-16-16-1 network, {hidden}, He normal, bias {number(bias)} at the start, {_POINTS} points of {data}, "
            f"squared error, {_STEPS} full-batch steps of gradient descent, {lr.size} rates, seeds 0 to 2."
        ),
        key="Dead: the slope is exactly 0 at every point of the data. Red: at least half of the runs diverge.",
        alt="Share of dead units by layer, left, and loss, right, against the learning rate.",
    )
    calm = ~diverged.any(axis=1)
    worst = int(np.argmax(np.where(calm, dead.max(axis=0), -1.0)))
    first = float(lr[int(np.argmax(bad))]) if bad.any() else None
    text = (
        f"At the smallest rate {number(float(lr[0]))}, {number(100 * float(dead[:, 0].max()))}% of a layer's units are "
        f"dead; among the rates at which no run diverges, most are dead at {number(float(lr[worst]))}: "
        f"{number(100 * float(dead[:, worst].max()))}% of a layer, with a median loss of {number(float(loss[worst]))} "
        f"({number(float(np.median(sweep.start_loss[worst])))} at the start). "
        + (
            f"From {number(first)} on at least half of the runs diverge."
            if first is not None
            else "No rate diverges."
        )
    )
    return [figure, text]
