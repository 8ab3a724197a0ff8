"""The tab of the BatchNorm page that trains a network with and without it: rates, distributions, shift, smoothness."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, progress, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.batchnorm_network import (
    NetworkRun,
    cross_entropy,
    distributions,
    draw_arms,
    forward,
    train_network,
)
from core.kept import keep
from core.knobs import Knob, number
from core.smoothness import NetworkSmoothness, network_smoothness
from core.streams import stream

Array = np.ndarray
Bools = np.ndarray

CLASSES, UNITS, POINTS, STEPS, SEEDS = 3, 16, 192, 120, 3
COIN = math.log(CLASSES)  # loss of a network that gives every class the same chance
LEARNED = COIN / 2  # a network has learned something if its loss ends at or below
RATES = 10.0 ** (np.arange(-9, 5) / 3)
SCALES = 10.0 ** (np.arange(-5, 4) / 3)
RECORDED = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, STEPS)
AHEAD = 2.0 ** np.arange(-1, 3)  # steps along the gradient, in units of the learning rate
_NOISE, _LOWEST, _HIGHEST = 0.1, 1e-6, 1e3
_EPS = 1e-5  # the default of the network
_SAME = 1e-3  # logits that differ by less are one
_DATA = 2  # place of the stream of the data; weights and batches have 0 and 1
_NAMES: Mapping[bool, str] = {True: "with BN", False: "without"}
_STYLES = {True: theme.Style(theme.SLOTS["green"], 0), False: theme.Style(theme.SLOTS["purple"], 1)}
_BOTH = (False, True)

NETWORK_KNOBS = (
    Knob(
        "net_view", "choice", "learning rates", label="Show",
        choices=("learning rates", "distributions", "shift or smoothness"),
    ),
    Knob("net_layers", "int", 6, label="Hidden layers", low=1, high=8, step=1),
    Knob("net_rate", "float", 0.1, label="Learning rate", low=0.001, high=20.0, log=True, symbol="η"),
    Knob(
        "net_scale", "float", 1.0, label="Scale of the start", low=0.01, high=10.0, log=True,
        help="Standard deviation of the hidden layers’ weights at the start, in units of He’s √(2/fan_in).",
    ),
    Knob("net_activation", "choice", "ReLU", label="Activation", choices=("ReLU", "leaky ReLU", "tanh", "sigmoid")),
    Knob("net_batch", "int", 32, label="Training batch", low=2, high=64, log=True),
)  # fmt: skip


class _Setting(NamedTuple):
    """What a network is trained with; a key for caches."""

    layers: int
    rate: float
    scale: float
    activation: str
    batch: int
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return (2, *[UNITS] * self.layers, CLASSES)

    @property
    def text(self) -> str:
        shape = "-".join(str(size) for size in self.sizes) if self.layers < 4 else (
            f"2-{self.layers} × {UNITS}-{CLASSES}"
        )  # fmt: skip
        return (
            f"{shape} network with {self.activation}; {POINTS} points of {CLASSES} spiral arms with noise {number(_NOISE)}, "
            f"cross-entropy; He normal start times a scale in the hidden layers, γ = 1, β = 0; plain gradient descent on "
            f"shuffled batches of {self.batch}, {STEPS} steps"
        )


def _setting(values: Values) -> _Setting:
    return _Setting(
        whole(values, "net_layers"),
        real(values, "net_rate"),
        real(values, "net_scale"),
        word(values, "net_activation"),
        whole(values, "net_batch"),
        whole(values, "seed"),
    )


def _seeds(seed: int) -> Array:
    return seed + np.arange(SEEDS)


def _data(seed: int) -> tuple[Array, Array]:
    return draw_arms(POINTS, CLASSES, noise=_NOISE, rng=stream(seed, _DATA))


def _share(normalized: bool, end: float = 1.0) -> progress.Share:
    """Return the part of the work that training with or without BN is; BN takes somewhat longer."""
    middle = 0.42 * end
    low, high = (middle, end) if normalized else (0.0, middle)
    return progress.Share(low, high, f"Training {_NAMES[normalized]}{'' if normalized else ' BN'}")


# Pieces of the specifications


def _title(name: str, above: int = 8, data: str = "titles") -> Panel:
    return (
        alt.Chart(named(data))
        .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
        .encode(x=alt.value(0), y=alt.value(-above), text=f"{name}:N", color=theme.ink("ink"))
    )


def _log_axis(tall: int) -> alt.Axis:
    return alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID, tickCount=max(3, tall // 45))


def _window(values: Array, *more: float) -> tuple[float, float]:
    """Return the ends of a log axis that holds all finite positive values, a decade at least."""
    seen = [*values[np.isfinite(values) & (values > 0)].tolist(), *more]
    low, high = (min(seen), max(seen)) if seen else (0.1, 1.0)
    return (
        (low, high)
        if high >= 10 * low
        else (low / math.sqrt(10 * low / high), high * math.sqrt(10 * low / high))
    )


def _apart(positions: Sequence[float], gap: float, low: float, high: float) -> Array:
    """Move labels apart on a log axis; ``gap`` is a share of its length."""
    a, b = math.log10(low), math.log10(high)
    kept = np.array([p if math.isfinite(p) and p > 0 else high for p in positions])
    return np.asarray(10.0 ** spread(np.log10(np.clip(kept, low, high)), gap * (b - a), a, b))


def _last(values: Array, otherwise: float) -> float:
    kept = values[np.isfinite(values)]
    return float(kept[-1]) if len(kept) else otherwise


# Learning rates and scales


class Sweep(NamedTuple):
    """Where a grid of networks ends; axes: the grid, then the seeds.

    ``loss`` is that of all points in training mode, infinite where a run is no longer finite; ``lost_at`` the step
    of the first loss that is not finite, −1 if none; ``same`` whether it is finite and no logit differs between any two
    points by more than 0.001.
    """

    x: Array
    loss: Mapping[bool, Array]
    lost_at: Mapping[bool, Array]
    same: Mapping[bool, Array]

    def median(self, normalized: bool) -> Array:
        """Return the median over the seeds, (n,); a run that is no longer finite counts as the highest."""
        return np.asarray(np.median(self.loss[normalized], axis=1))

    def learned(self, normalized: bool) -> Array:
        """Return at which places of the grid the median run learns, (n,)."""
        return np.asarray(self.median(normalized) <= LEARNED)


@keep(entries=8)
def sweeps(
    layers: int, rate: float, scale: float, activation: str, batch: int, seed: int
) -> Mapping[str, Sweep]:
    """Train every learning rate at one scale, and every scale at one rate, with and without BN, three seeds each.

    Returns:
        ``rate`` and ``scale``, the two sweeps.
    """
    setting = _Setting(layers, rate, scale, activation, batch, seed)
    x, labels = _data(seed)
    rates = np.concatenate([RATES, np.full(len(SCALES), rate)])[:, None]
    scales = np.concatenate([np.full(len(RATES), scale), SCALES])[:, None]
    losses, lost, same = {}, {}, {}
    for normalized in _BOTH:
        run = train_network(
            x, labels, setting.sizes, normalized=normalized, activation=activation, learning_rate=rates,
            init_scale=scales, batch_size=batch, steps=STEPS, seed=_seeds(seed), batch_seed=seed,
            report=_share(normalized).report,
        )  # fmt: skip
        with np.errstate(all="ignore"):
            output = forward(run.params, x, activation).output
            loss = cross_entropy(output, labels)
            constant = (output.max(axis=-2) - output.min(axis=-2)).max(axis=-1) <= _SAME
        fine = (run.diverged_at < 0) & np.isfinite(loss)
        losses[normalized] = np.where(fine, loss, np.inf)
        same[normalized] = fine & constant
        lost[normalized] = np.where(fine, -1, np.where(run.diverged_at < 0, STEPS, run.diverged_at))
    parts = {"rate": (RATES, slice(0, len(RATES))), "scale": (SCALES, slice(len(RATES), None))}
    return MappingProxyType(
        {
            name: Sweep(grid, *({k: v[at] for k, v in part.items()} for part in (losses, lost, same)))
            for name, (grid, at) in parts.items()
        }
    )


_PANELS = {"rate": "learning rate η", "scale": "scale of the weights at the start, times He’s"}


@lru_cache(maxsize=16)
def _rates_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 126 if narrow else round((width - 260) / 2)
    tall = 250
    lanes = {"with": -8, "without": -21}

    def panel(name: str) -> Panel:
        mine = f"datum.panel == '{name}'"
        x = alt.X(
            "x:Q", title=_PANELS[name], scale=alt.Scale(type="log", nice=False, padding=9),
            axis=alt.Axis(grid=False, labelExpr=theme.POWER, tickCount=4, labelSeparation=6),
        )  # fmt: skip
        y = alt.Y("y:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=8), axis=_log_axis(tall))
        runs = alt.Chart(named("runs")).transform_filter(mine)
        here = alt.Chart(named("here")).transform_filter(mine)
        lost = alt.Chart(named("lost")).transform_filter(mine)
        marks: list[Panel] = []
        for lane, above in lanes.items():
            base = lost.transform_filter(f"datum.lane == '{lane}'")
            marks += [
                base.mark_text(fontSize=theme.SMALL_SIZE - (2.5 if narrow else 1)).encode(
                    x=x, y=alt.value(above), text="label:N", color=theme.color(), opacity=theme.SHOWN,
                    tooltip=[alt.Tooltip("note:N", title="here")],
                ),
            ]  # fmt: skip
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=y, color=theme.ink("muted")),
            alt.Chart(named("levels"))
            .mark_rule(strokeDash=[5, 4], strokeWidth=1)
            .encode(y=y, color=theme.ink("muted")),
            alt.Chart(named("level_labels"))
            .transform_filter(mine)
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE)
            .encode(x=alt.value(inner), y=y, text="label:N", color=theme.ink("muted")),
            alt.Chart(named("lane"))
            .transform_filter(mine)
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE, lineBreak="\n")
            .encode(
                x=alt.value(inner), y=alt.value(-15), text="label:N", color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            here.mark_rule(strokeDash=[2, 3], strokeWidth=1).encode(
                x=x, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            *(
                here.mark_text(
                    align="right" if late else "left", baseline="top", dx=-4 if late else 4,
                    fontSize=theme.SMALL_SIZE,
                ).encode(
                    x=x, y=alt.value(2), text=f"{'late' if late else 'early'}:N", color=theme.ink("muted"),
                    opacity=theme.SHOWN,
                )
                for late in (False, True)
            ),
            runs.mark_area(opacity=0.16).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q", detail=["name:N", "piece:N"], color=theme.color()
            ),
            runs.mark_line().encode(
                x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()
            ),
            runs.mark_point(filled=True, size=34, opacity=1).encode(
                x=x, y=y, color=theme.color(),
                tooltip=[
                    alt.Tooltip("name:N", title="network"),
                    alt.Tooltip("x:Q", format=".3~g", title=name),
                    alt.Tooltip("y:Q", format=".3~g", title="loss"),
                ],
            ),
            *marks,
            alt.Chart(named("ends"))
            .transform_filter(mine)
            .mark_text(align="left", dx=8, fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color()),
            _title(name, above=36),
            width=inner, height=tall, name=name,
        )  # fmt: skip

    panels = [panel(name) for name in _PANELS]
    join, gap = (compose.below, 34) if narrow else (compose.beside, None)
    both = join(*panels, spacing=gap, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(both, theme.config())


def _rates_figure(found: Mapping[str, Sweep], setting: _Setting) -> Figure:
    runs: list[Part] = []
    lost: list[Part] = []
    last: dict[str, list[float]] = {}
    for panel, sweep in found.items():
        last[panel] = []
        for normalized in _BOTH:
            style = _STYLES[normalized]
            look: Part = {
                "panel": panel, "name": _NAMES[normalized], "slot": np.int8(style.slot), "dash": np.int8(style.dash),
            }  # fmt: skip
            loss = sweep.loss[normalized]
            shown = np.where(loss <= _HIGHEST, loss, np.nan)
            some = np.isfinite(shown).any(axis=1)
            low, high = (np.where(some, edge, np.nan) for edge in _edges(shown))
            median = sweep.median(normalized)
            median = np.where(median <= _HIGHEST, np.maximum(median, 1e-12), np.nan)
            # A band does not reach over a gap: every stretch without one is an area of its own.
            pieces = np.cumsum(~some).astype(str)
            runs.append(
                {**look, "x": sweep.x, "y": median, "low": low, "high": high, "piece": pieces}
            )  # fmt: skip
            gone = np.flatnonzero((loss > _HIGHEST).any(axis=1))
            if len(gone):
                said = [_gone(sweep, normalized, int(k)) for k in gone]
                lost.append(
                    {"panel": panel, "x": sweep.x[gone], "lane": "with" if normalized else "without",
                     "label": [s[0] for s in said], "note": [s[1] for s in said], "slot": np.int8(style.slot),
                     "shown": True}
                )  # fmt: skip
            last[panel].append(_last(median, np.nan))
    drawn = rows(*runs)
    bottom, top = _window(np.stack([drawn.numbers(name) for name in ("y", "low", "high")]), COIN, LEARNED)
    ends: list[Part] = []
    level_labels: list[Part] = []
    for panel, places in last.items():
        # The two levels have their labels on the same side.
        placed = _apart([*places, COIN, LEARNED], 0.07, bottom, top)
        level_labels.append(
            {"panel": panel, "y": placed[2:], "label": [f"ln {CLASSES}: chance", "half of it"]}
        )
        ends.append(
            {"panel": panel, "y": placed[:2], "label": [_NAMES[k] for k in _BOTH],
             "slot": [_STYLES[k].slot for k in _BOTH]}
        )  # fmt: skip
    # A lane without a row has no extent, and the browser warns of an axis that has none.
    hidden: list[Part] = [
        {"panel": panel, "x": found[panel].x[:1], "lane": lane, "label": "", "note": "", "slot": theme.MUTED, "shown": False}
        for panel in found for lane in ("with", "without")
    ]  # fmt: skip
    here = {"rate": setting.rate, "scale": setting.scale}
    return Figure(
        name="batchnorm/net_rates",
        build=_rates_spec,
        data={
            "runs": drawn,
            "lost": rows(*lost, *hidden),
            "levels": rows(y=[COIN, LEARNED]),
            "level_labels": rows(*level_labels),
            "lane": rows(
                panel=list(found), label="not finite\nfrom step", shown=[any(p["panel"] == n for p in lost) for n in found]
            ),
            "here": rows(*(_here(found[name].x, at, name) for name, at in here.items())),
            "ends": rows(*ends),
            "reach": rows(y=[bottom, top]),
            "titles": rows(
                rate=[f"Loss after {STEPS} steps, scale {number(setting.scale)}"],
                scale=[f"Loss after {STEPS} steps, η = {number(setting.rate)}"],
            ),
        },
        title="With and without BN over learning rates and scales of the start",
        caption=(
            f"{setting.text}; at scale {number(setting.scale)}, {len(RATES)} rates from {number(float(RATES[0]))} to "
            f"{number(float(RATES[-1]))}; at rate {number(setting.rate)}, {len(SCALES)} scales from "
            f"{number(float(SCALES[0]))} to {number(float(SCALES[-1]))}; weights of seeds {setting.seed} to "
            f"{setting.seed + SEEDS - 1}; data and order of seed {setting.seed}; ε 1e−5."
        ),
        key=(
            f"Line: median of {SEEDS} seeds, band: all of them. Loss of all points at once, in training mode. Numbers above: "
            f"the step from which the first of the seeds is no longer finite, or > where one ends above {number(_HIGHEST)}."
        ),
        alt="Loss after training against the learning rate and against the initial scale, with and without BN.",
    )  # fmt: skip


def _here(grid: Array, at: float, name: str) -> Part:
    """Mark in one panel the value that the other one is drawn at, with its words on the side that has room."""
    label = {"rate": "the other panel’s η", "scale": "the other panel’s scale"}[name]
    late = math.log(at / grid[0]) > 0.5 * math.log(grid[-1] / grid[0])
    return {
        "panel": name, "x": [float(np.clip(at, grid[0], grid[-1]))], "early": "" if late else label,
        "late": label if late else "", "shown": bool(grid[0] <= at <= grid[-1]),
    }  # fmt: skip


def _edges(values: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest finite value of each row, NaN where there is none."""
    low = np.where(np.isfinite(values), np.maximum(values, 1e-12), np.inf).min(axis=1)
    high = np.where(np.isfinite(values), np.maximum(values, 1e-12), -np.inf).max(axis=1)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def _gone(sweep: Sweep, normalized: bool, place: int) -> tuple[str, str]:
    """Say which seeds have left the panel, in a word and in a line."""
    steps = sweep.lost_at[normalized][place]
    over = steps[steps >= 0]
    finite = sweep.loss[normalized][place][steps < 0]
    high = finite[finite > _HIGHEST]
    said = []
    if len(over):
        said.append(f"{len(over)} of {SEEDS} not finite, the first from step {over.min()}")
    if len(high):
        said.append(f"{len(high)} of {SEEDS} end above {number(_HIGHEST)}, at {number(float(high.max()))}")
    label = str(over.min()) if len(over) else ">"
    return label, f"{_NAMES[normalized]}: {'; '.join(said)}"


def _rates_text(found: Mapping[str, Sweep], setting: _Setting) -> str:
    parts = [_range_text(found["rate"], "rates"), _range_text(found["scale"], "scales")]
    best = {k: _best(found["rate"], k) for k in _BOTH}
    bn, plain = best[True], best[False]
    said = (
        f"The lowest loss is {number(bn[1])} with BN (η = {number(bn[0])}) and {number(plain[1])} without "
        f"(η = {number(plain[0])})"
    )
    if math.isfinite(plain[1]) and math.isfinite(bn[1]):
        if plain[1] < bn[1]:
            said += ": once the rate is tuned, BN has no advantage left on this problem; what it gives is room for error"
        else:
            said += ": here BN is ahead at its best rate too"
    return (
        f"A network counts as trained if the median loss is at most {number(LEARNED)}, half of ln {CLASSES}. "
        + " ".join(parts)
        + f" {said}. {_same_text(found)}"
    )


def _same_text(found: Mapping[str, Sweep]) -> str:
    said = []
    for normalized in _BOTH:
        total = sum(sweep.loss[normalized].size for sweep in found.values())
        lost = sum(int((sweep.lost_at[normalized] >= 0).sum()) for sweep in found.values())
        same = sum(int(sweep.same[normalized].sum()) for sweep in found.values())
        who = "with BN" if normalized else "without BN"
        said.append(
            f"of the {total} networks {who}, {same} end with the same output for every point and {lost} overflow"
        )
    return f"Counted: {'; '.join(said)}."


def _best(sweep: Sweep, normalized: bool) -> tuple[float, float]:
    median = sweep.median(normalized)
    at = int(np.argmin(median))
    return float(sweep.x[at]), float(median[at])


def _stretch(sweep: Sweep, normalized: bool) -> tuple[float, float] | None:
    """Return the ends of the longest stretch of neighbors in the grid that all learn, None if there is none."""
    best: tuple[int, int] | None = None
    begin: int | None = None
    for k, good in enumerate([*sweep.learned(normalized).tolist(), False]):
        if good and begin is None:
            begin = k
        elif not good and begin is not None:
            if best is None or k - 1 - begin > best[1] - best[0]:
                best = (begin, k - 1)
            begin = None
    return None if best is None else (float(sweep.x[best[0]]), float(sweep.x[best[1]]))


def _range_text(sweep: Sweep, noun: str) -> str:
    said = []
    width = {}
    for normalized in (True, False):
        ends = _stretch(sweep, normalized)
        name = "With BN" if normalized else "without"
        if ends is None:
            said.append(f"{name} at none of the {noun} tried")
            continue
        width[normalized] = ends[1] / ends[0]
        low, high = (number(end) for end in ends)
        said.append(
            f"{name} from {low} to {high}, a factor of {number(width[normalized])}"
            if ends[1] > ends[0]
            else f"{name} at {low} alone"
        )
    return f"{noun.capitalize()} that train: {'; '.join(s[0].lower() + s[1:] for s in said)}."


# Distributions by layer


class Layers(NamedTuple):
    """What the hidden layers see as training goes on; R recorded steps, H layers."""

    quantiles: Mapping[bool, Array]  # (H, 5, R), of what φ gets, first seed
    drift: Mapping[
        str, Array
    ]  # by kind, (H, R): how far unit means have moved, in standard deviations at the start
    lost_at: Mapping[bool, Array]  # (S,)
    rms: tuple[
        float, float, float
    ]  # of y, deepest layer with BN at the end: measured, by γ and β, by ε as well


_KINDS = {
    "without": (False, "z without BN"),
    "before": (True, "z before BN"),
    "after": (True, "y after BN"),
}
_KIND_STYLES = {
    "without": _STYLES[False],
    "before": theme.Style(theme.SLOTS["ochre"], 2),
    "after": _STYLES[True],
}


@keep(entries=8)
def _runs(setting: _Setting) -> Mapping[bool, NetworkRun]:
    """Train three networks with and three without BN and keep what they were at the recorded steps."""
    x, labels = _data(setting.seed)
    return MappingProxyType(
        {
            normalized: train_network(
                x, labels, setting.sizes, normalized=normalized, activation=setting.activation,
                learning_rate=setting.rate, init_scale=setting.scale, batch_size=setting.batch, steps=STEPS,
                seed=_seeds(setting.seed), batch_seed=setting.seed, record=RECORDED,
                report=_share(normalized, 0.7).report,
            )
            for normalized in _BOTH
        }
    )  # fmt: skip


@keep(entries=8)
def layers_seen(layers: int, rate: float, scale: float, activation: str, batch: int, seed: int) -> Layers:
    """Measure the distribution of every layer, and how far its means drift, at the recorded steps."""
    setting = _Setting(layers, rate, scale, activation, batch, seed)
    x, _ = _data(seed)
    quantiles, drift, lost = {}, {}, {}
    rms = (math.nan, math.nan, math.nan)
    for normalized, run in _runs(setting).items():
        first = distributions(run.snapshots.at((slice(None), 0)), x, activation)
        quantiles[normalized] = first.after
        with np.errstate(all="ignore"):
            seen = forward(run.snapshots, x, activation)
        lost[normalized] = run.diverged_at
        if normalized:
            drift["before"], drift["after"] = _drift(seen.pre), _drift(seen.post)
            rms = _rms(
                run.params.gammas[-1][0], run.params.betas[-1][0], seen.pre[-1][-1, 0], seen.post[-1][-1, 0]
            )
        else:
            drift["without"] = _drift(seen.pre)
    return Layers(quantiles, drift, lost, rms)


def _rms(gamma: Array, beta: Array, z: Array, y: Array) -> tuple[float, float, float]:
    """Return the root mean square of y (n, units): measured, √(mean(γ² + β²)), and with what ε takes off γ²."""
    with np.errstate(all="ignore"):
        var = z.var(axis=0)
        squares = (
            (y**2).mean(),
            (gamma**2 + beta**2).mean(),
            (gamma**2 * var / (var + _EPS) + beta**2).mean(),
        )
        measured, exact, damped = np.sqrt(squares).tolist()
    return measured, exact, damped


def _drift(layers: Sequence[Array]) -> Array:
    """Return how far the means of units have moved, in standard deviations at the start, averaged over units and seeds.

    Args:
        layers: by layer, (R, S, n, units); the first of R is the start.

    Returns:
        (H, R); NaN from where a network has overflowed, and where no unit varies at the start.
    """
    found = []
    with np.errstate(all="ignore"):
        for values in layers:
            mean, std = values.mean(axis=-2), values[0].std(axis=-2)
            moved = np.abs(mean - mean[0])[:, std > 0] / std[std > 0]  # (R, units of all seeds)
            found.append(moved.mean(axis=1) if moved.shape[1] else np.full(len(mean), np.nan))
    return np.where(np.isfinite(found), found, np.nan)


@lru_cache(maxsize=16)
def _layers_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 62 if narrow else round((width - 270) * 0.29)
    last = width - 138 if narrow else width - 270 - 2 * inner
    tall = 170 if narrow else 270
    now = alt.param(name="now", value=STEPS, bind=alt.binding_range(min=0, max=STEPS, step=1, name="Step "))
    present = "datum.step <= now && now < datum.until"
    x = alt.X("layer:Q", title="hidden layer", scale=alt.Scale(nice=False, zero=False),
              axis=alt.Axis(grid=False, tickMinStep=1, format="d"))  # fmt: skip
    y = alt.Y("y:Q", title=None, scale=alt.Scale(nice=False, zero=False), axis=None)

    def column(name: str) -> Panel:
        band = (
            alt.Chart(named("bands")).transform_filter(f"datum.panel == '{name}'").transform_filter(present)
        )
        ticks = alt.Chart(named("ticks"))
        tooltip = [
            alt.Tooltip("layer:Q"),
            *(alt.Tooltip(f"v{k}:Q", format=".3~g", title=f"{k}%") for k in (5, 25, 50, 75, 95)),
        ]
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(x=x, y=y, color=theme.ink("muted")),
            ticks.mark_rule(strokeWidth=1, opacity=0.35).encode(
                x=alt.value(0), x2=alt.value(inner), y=y, color=theme.ink("faint")
            ),
            ticks.mark_text(align="right", dx=-6, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(0), y=y, text="label:N", color=theme.ink("muted")
            ),
            band.mark_bar(size=16, opacity=0.22).encode(
                x=x, y=alt.Y("q5:Q", axis=None), y2="q95:Q", color=theme.color(), tooltip=tooltip
            ),
            band.mark_bar(size=16, opacity=0.5).encode(
                x=x, y=alt.Y("q25:Q", axis=None), y2="q75:Q", color=theme.color(), tooltip=tooltip
            ),
            band.mark_tick(orient="horizontal", size=16, thickness=2.2).encode(
                x=x, y=alt.Y("q50:Q", axis=None), color=theme.ink("ink")
            ),
            _title(name, data="moments_now").transform_filter(present),
            width=inner,
            height=tall,
            name=name,
        )

    step = alt.X("step:Q", title="updates", scale=alt.Scale(type="log", nice=False, padding=6),
                 axis=alt.Axis(grid=False, labelExpr=theme.POWER, labelSeparation=6))  # fmt: skip
    far = alt.Y(
        "drift:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=6), axis=_log_axis(tall)
    )
    lines = alt.Chart(named("lines"))
    drift = compose.layer(
        alt.Chart(named("window")).mark_point(opacity=0).encode(y=far, color=theme.ink("muted")),
        # Hidden, not filtered: at step 0, which a logarithmic axis has no place for, an axis without rows would warn.
        alt.Chart(named("instants"))
        .mark_rule(strokeDash=[3, 3], strokeWidth=1)
        .encode(x=step, color=theme.ink("muted"), opacity=alt.condition(present, alt.value(1), alt.value(0))),
        lines.transform_filter("!datum.deepest")
        .mark_line(strokeWidth=1, opacity=0.35)
        .encode(x=step, y=far, detail=["kind:N", "layer:N"], color=theme.color()),
        lines.transform_filter("datum.deepest")
        .mark_line()
        .encode(
            x=step, y=far, detail="kind:N", color=theme.color(), strokeDash=theme.dash(),
        ),
        lines.transform_filter("datum.deepest")
        .mark_point(filled=True, size=24, opacity=1)
        .encode(
            x=step, y=far, color=theme.color(),
            tooltip=[alt.Tooltip("kind:N", title="of"), alt.Tooltip("step:Q", title="updates"),
                     alt.Tooltip("drift:Q", format=".3~g", title="standard deviations")],
        ),
        alt.Chart(named("drift_ends"))
        .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
        .encode(x=alt.value(last), y=far, text="label:N", color=theme.color()),
        _title("drift"),
        width=last, height=tall, name="drift",
    )  # fmt: skip
    panels = [column("without"), column("with"), drift]
    join = compose.below if narrow else compose.beside
    all_three = join(*panels, resolve={"color": "shared", "strokeDash": "shared"})
    return assemble(all_three, theme.config(), [compose.parameter(now)])


_LINEAR = 12.0  # quantiles up to which the axis of the distributions is linear
_FARTHEST = 1e6  # quantiles and drifts that are drawn


def _place(values: Array, linear: bool) -> Array:
    """Return where values stand on the axis: themselves, or asinh, which is linear about 0 and logarithmic far off."""
    return values if linear else np.arcsinh(values)


def _ladder(reach: float, linear: bool) -> Array:
    """Return the values at which the axis of the distributions has lines, both signs and 0."""
    if linear:
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if reach <= 4 * s or s == 5.0)
        positive = np.arange(1, math.floor(reach / step) + 1) * step
    else:
        powers = math.floor(math.log10(reach))
        by = math.ceil((powers + 1) / 4)
        positive = 10.0 ** np.arange(
            by if by > 1 else 0, powers + 1, by
        )  # 1 would touch 0 where powers are far apart
    return np.concatenate([-positive[::-1], [0.0], positive])


def _layers_figure(found: Layers, setting: _Setting) -> Figure:
    recorded = np.array(RECORDED, dtype=np.int16)
    until = np.array([*RECORDED[1:], STEPS + 1], dtype=np.int16)
    seen = np.concatenate([q.ravel() for q in found.quantiles.values()])
    # What is on its way to overflow would leave nothing else to see; the key says where it is cut.
    with np.errstate(invalid="ignore"):
        seen = seen[np.abs(seen) <= _FARTHEST]
    reach = max(float(np.abs(seen).max(initial=0.0)), 0.05)
    linear = reach <= _LINEAR
    ladder = _ladder(reach, linear)
    edge = float(_place(np.array([reach * 1.06]), linear)[0])
    bands: list[Part] = []
    for normalized in _BOTH:
        for layer in range(setting.layers):
            values = found.quantiles[normalized][layer]
            with np.errstate(invalid="ignore"):
                fine = (np.abs(values) <= _FARTHEST).all(axis=0)
            shown = np.where(fine, values, np.nan)
            names = (5, 25, 50, 75, 95)
            bands.append(
                {"panel": "with" if normalized else "without", "layer": np.int8(layer + 1), "step": recorded,
                 "until": until, "slot": np.int8(_STYLES[normalized].slot),
                 **{f"q{name}": _place(shown[k], linear).astype(np.float32) for k, name in enumerate(names)},
                 **{f"v{name}": shown[k].astype(np.float32) for k, name in enumerate(names)}}
            )  # fmt: skip
    lines: list[Part] = []
    ends = {}
    for kind, (_, name) in _KINDS.items():
        style = _KIND_STYLES[kind]
        for layer, drift in enumerate(found.drift[kind][:, 1:], start=1):
            with np.errstate(invalid="ignore"):
                drawn = np.where((drift > 1e-9) & (drift <= _FARTHEST), drift, np.nan)
            deepest = layer == setting.layers
            lines.append(
                {"kind": name, "layer": np.int8(layer), "step": recorded[1:], "drift": drawn, "deepest": deepest,
                 "slot": np.int8(style.slot), "dash": np.int8(style.dash)}
            )  # fmt: skip
            if deepest:
                ends[kind] = _last(drawn, math.nan)
    drawn_all = rows(*lines)
    low, high = _window(drawn_all.numbers("drift"))
    titles = {
        panel: [
            f"{'With' if k else 'Without'} BN: {'y' if k else 'z'} {_after(step, int(found.lost_at[k][0]), beyond)}"
            for step, beyond in zip(RECORDED, _beyond(found.quantiles[k]), strict=True)
        ]
        for k, panel in ((False, "without"), (True, "with"))
    }
    return Figure(
        name="batchnorm/net_layers",
        build=_layers_spec,
        data={
            "bands": rows(*bands),
            "ticks": rows(
                y=_place(ladder, linear), label=[number(float(v)) if v else "0" for v in ladder]
            ),
            "reach": rows(layer=[0.4, setting.layers + 0.6], y=[-edge, edge]),
            "lines": drawn_all,
            "window": rows(drift=[low, high]),
            "instants": rows(step=np.maximum(recorded, 1), until=until),
            "drift_ends": rows(
                drift=_apart([ends[kind] for kind in _KINDS], 0.085, low, high),
                label=[name for _, name in _KINDS.values()],
                slot=[style.slot for style in _KIND_STYLES.values()],
            ),
            "moments_now": rows(step=recorded, until=until, **titles),
            "titles": rows(drift=["Drift of a unit’s mean, in sd at the start"]),
        },
        title="What the activations of every layer see while a network trains",
        caption=(
            f"{setting.text}; learning rate {number(setting.rate)}, scale {number(setting.scale)}; distributions over all "
            f"points and the units of a layer, weights of seed {setting.seed}; drift: mean over units and seeds "
            f"{setting.seed} to {setting.seed + SEEDS - 1}; data and order of seed {setting.seed}; ε 1e−5."
        ),
        key=(
            "Bars: 5% to 95%, darker 25% to 75%, line: median. Thick lines: deepest hidden layer, thin ones: the others. "
            "z = aW + b; y: normalized, scaled by γ and shifted by β. Where distributions reach beyond "
            f"{number(_LINEAR)} their axis is logarithmic away from 0; nothing above {number(_FARTHEST)} is drawn."
        ),
        hint="Move the step below the figure.",
        alt=(
            "Quantiles of what the activation gets in every hidden layer at one step, without and with BN. How far the means "
            "of units have moved since the start, against the step."
        ),
    )  # fmt: skip


def _beyond(quantiles: Array) -> Bools:
    """Return at which steps some layer has a finite quantile too large to be drawn: (H, 5, R) → (R,)."""
    return np.asarray((np.isfinite(quantiles) & (np.abs(quantiles) > _FARTHEST)).any(axis=(0, 1)))


def _after(step: int, lost_at: int, beyond: bool) -> str:
    if 0 <= lost_at < step:
        return f"not finite from step {lost_at}"
    if beyond:
        return f"beyond {number(_FARTHEST)}, step {step}"
    return "at the start" if step == 0 else f"after {step} {'update' if step == 1 else 'updates'}"


_ASKED = (1, 10, 100)


def _layers_text(found: Layers, setting: _Setting) -> str:
    at = [RECORDED.index(step) for step in _ASKED]
    names = {
        "without": "without BN, z = aW + b",
        "before": "with BN, before it: z",
        "after": "with BN, after it: γẑ + β",
    }
    lines = [
        [f"**{name}**", *(_cell(float(found.drift[kind][-1, k])) for k in at)] for kind, name in names.items()
    ]
    head = [f"Hidden layer {setting.layers}", *(f"{n} {'update' if n == 1 else 'updates'}" for n in _ASKED)]
    stale = [float(found.drift["before"][-1, k]) for k in at]
    said = []
    for normalized in _BOTH:
        q = found.quantiles[normalized][-1]
        begin, end = (float(q[4, k] - q[0, k]) for k in (0, -1))
        name = "With BN" if normalized else "Without BN"
        lost = int(found.lost_at[normalized][0])
        said.append(
            f"{name} the middle 90% of what layer {setting.layers} passes to {setting.activation} span {number(begin)} at "
            + (
                f"the start; the run is not finite from step {lost} on."
                if lost >= 0
                else f"the start and {number(end)} after {STEPS} updates."
            )
        )
    measured, exact, damped = found.rms
    if math.isfinite(measured):
        line = (
            f"After BN the root mean square of that layer is {number(measured, 4)}, and γ and β alone give "
            f"√(mean(γ² + β²)) = {number(exact, 4)}"
        )
        if abs(measured - exact) <= 0.01 * exact:
            said.append(f"{line}: whatever the layers below do, it moves only as γ and β are learned.")
        else:
            said.append(
                f"{line}; with ε, which is not small beside the variance of z here, they give {number(damped, 4)}."
            )
    text = " ".join(said) + "\n\n" + table(head, lines)
    if all(math.isfinite(v) for v in stale):
        text += (
            "\n\nDrift of a unit’s mean over all points, in its standard deviations at the start. Statistics of the full set, "
            f"measured once at the start, would be off by {number(stale[0], 2)}, {number(stale[1], 2)} and "
            f"{number(stale[2], 2)} standard deviations after 1, 10 and 100 updates. To keep them right would take a pass "
            f"over all {POINTS} points after every update; the batch at hand has current ones at no cost."
        )
    return text


def _cell(value: float) -> str:
    return number(value, 2) if math.isfinite(value) else "–"


# Shift or smoothness


@keep(entries=8)
def smoothness(
    layers: int, rate: float, scale: float, activation: str, batch: int, seed: int
) -> Mapping[bool, NetworkSmoothness]:
    """Measure covariate shift and smoothness with and without BN: axes (R recorded steps, S seeds)."""
    setting = _Setting(layers, rate, scale, activation, batch, seed)
    x, labels = _data(seed)
    found = {}
    for normalized, run in _runs(setting).items():
        progress.report(0.7 + 0.15 * normalized, f"Measuring gradients, {_NAMES[normalized]}")
        found[normalized] = network_smoothness(
            run.snapshots, x, labels, activation, rate=rate, ahead=(rate * AHEAD).tolist()
        )
    return MappingProxyType(found)


_MEASURES = ("loss", "shift", "beta")


@lru_cache(maxsize=16)
def _smoothness_spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 130 if narrow else round((width - 3 * 118 - 48) / 3)
    tall = 160 if narrow else 260

    def panel(name: str) -> Panel:
        # The first updates matter most: the root of the step gives them room, and has a place for 0.
        x = alt.X("step:Q", title="updates", scale=alt.Scale(type="sqrt", nice=False, zero=True, padding=7),
                  axis=alt.Axis(grid=False, values=[0, 5, 20, 50, STEPS]))  # fmt: skip
        y = alt.Y("y:Q", title=None, scale=alt.Scale(type="log", nice=False, padding=6), axis=_log_axis(tall))
        mine = f"datum.panel == '{name}'"
        base = alt.Chart(named("lines")).transform_filter(mine)
        rule = alt.Chart(named("rules")).transform_filter(mine)
        return compose.layer(
            alt.Chart(named("reach"))
            .transform_filter(mine)
            .mark_point(opacity=0)
            .encode(y=y, color=theme.ink("muted")),
            rule.mark_rule(strokeDash=[5, 4], strokeWidth=1).encode(
                y=y, color=theme.ink("muted"), opacity=theme.SHOWN
            ),
            rule.mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE).encode(
                x=alt.value(inner), y=alt.Y("place:Q"), text="label:N", color=theme.ink("muted"),
                opacity=theme.SHOWN,
            ),
            base.mark_area(opacity=0.17).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q", detail="name:N", color=theme.color()
            ),
            base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            base.mark_point(filled=True, size=22, opacity=1).encode(
                x=x, y=y, color=theme.color(),
                tooltip=[
                    alt.Tooltip("name:N", title="network"),
                    alt.Tooltip("step:Q", title="updates"),
                    alt.Tooltip("y:Q", format=".3~g", title="line"),
                    alt.Tooltip("low:Q", format=".3~g", title="band from"),
                    alt.Tooltip("high:Q", format=".3~g", title="to"),
                ],
            ),
            alt.Chart(named("ends"))
            .transform_filter(mine)
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=y, text="label:N", color=theme.color()),
            _title(name),
            width=inner, height=tall, name=name,
        )  # fmt: skip

    panels = [panel(name) for name in _MEASURES]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared", "strokeDash": "shared"}), theme.config())


def _lines(found: NetworkSmoothness) -> dict[str, tuple[Array, Array, Array]]:
    """Return line, low and high edge of the band of every panel, (R,) each; NaN where not finite."""
    with np.errstate(all="ignore"):
        ahead = found.ahead[:, :, 0]
        parts = {"loss": (found.loss[:, 0], ahead.min(axis=0), ahead.max(axis=0))}
        for name, values in (("shift", found.relative_shift), ("beta", found.change.smoothness)):
            parts[name] = (np.median(values, axis=1), values.min(axis=1), values.max(axis=1))
    return {name: tuple(_positive(v) for v in part) for name, part in parts.items()}  # type: ignore[misc]


def _positive(values: Array) -> Array:
    """Return what a log axis shows: NaN for what is not finite, the ends of the axis for what lies beyond."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values), np.clip(values, _LOWEST, _HIGHEST), np.nan)


def _smoothness_figure(found: Mapping[bool, NetworkSmoothness], setting: _Setting) -> Figure:
    lines: list[Part] = []
    seen: dict[str, list[Array]] = {name: [] for name in _MEASURES}
    last: dict[str, dict[bool, float]] = {name: {} for name in _MEASURES}
    for normalized in _BOTH:
        style = _STYLES[normalized]
        for name, (line, low, high) in _lines(found[normalized]).items():
            lines.append(
                {"panel": name, "name": _NAMES[normalized], "step": np.array(RECORDED, dtype=np.int16), "y": line,
                 "low": low, "high": high, "slot": np.int8(style.slot), "dash": np.int8(style.dash)}
            )  # fmt: skip
            seen[name] += [line, low, high]
            last[name][normalized] = _last(line, math.nan)
    drawn = rows(*lines)
    edge = 2 / setting.rate
    reach: list[Part] = []
    ends: list[Part] = []
    extra_places: dict[str, float] = {}
    for name in _MEASURES:
        extra = [edge] if name == "beta" else [1.0] if name == "shift" else [COIN]
        bottom, top = _window(np.concatenate(seen[name]), *extra)
        reach.append({"panel": name, "y": [bottom, top]})
        placed = _apart([*last[name].values(), *extra], 0.09, bottom, top)
        ends.append(
            {"panel": name, "y": placed[:2], "label": [_NAMES[k] for k in _BOTH],
             "slot": [_STYLES[k].slot for k in _BOTH]}
        )  # fmt: skip
        extra_places[name] = float(placed[2])
    return Figure(
        name="batchnorm/smoothness",
        build=_smoothness_spec,
        data={
            "lines": drawn,
            "rules": rows(
                panel=list(_MEASURES),
                y=[COIN, 1.0, edge],
                place=list(extra_places.values()),
                label=[f"ln {CLASSES}", "", "2/η"],
                shown=[True, False, True],
            ),
            "reach": rows(*reach),
            "ends": rows(*ends),
            "titles": rows(
                loss=["Loss along the gradient"],
                shift=["Shift of a layer’s gradient"],
                beta=["Effective smoothness β"],
            ),
        },
        title="Covariate shift and smoothness, each measured",
        caption=(
            f"{setting.text}; learning rate {number(setting.rate)}, scale {number(setting.scale)}. Gradients of all points, "
            f"in training mode. Loss and gradient after steps of {_steps_text()} η along the gradient; G′: gradient of a "
            "layer once the layers below it have made one step η; all layers together. "
            f"Loss of seed {setting.seed}, the others median of seeds {setting.seed} to {setting.seed + SEEDS - 1}; data "
            f"and order of seed {setting.seed}; ε 1e−5."
        ),
        key=(
            "Band of the loss: lowest to highest after these steps; other bands: all seeds. β: largest change of the "
            "gradient per length of step. Above 2/η a step η overshoots where the loss is a parabola. "
            f"What lies outside {number(_LOWEST)} to {number(_HIGHEST)} is drawn at that end."
        ),
        alt="Loss along the gradient, covariate shift and effective smoothness against the step, with and without BN.",
    )  # fmt: skip


def _steps_text() -> str:
    *first, last = (number(float(a)) for a in AHEAD)
    return f"{', '.join(first)} and {last}"


_EARLY, _LATE = 10, 80  # the first updates end here, the last begin here


class _Compared(NamedTuple):
    """One measure with and without BN, over the first and the last updates: medians, or NaN."""

    early: Mapping[bool, float]
    late: Mapping[bool, float]


def _compared(found: Mapping[bool, NetworkSmoothness], name: str) -> _Compared:
    steps = np.array(RECORDED)
    parts = []
    for picked in (steps <= _EARLY, steps >= _LATE):
        medians = {}
        for normalized, run in found.items():
            values = _measure(run, name)[picked]
            kept = values[np.isfinite(values)]
            medians[normalized] = float(np.median(kept)) if len(kept) == values.size else math.nan
        parts.append(medians)
    return _Compared(*parts)


def _step_change(run: NetworkSmoothness) -> Array:
    there = run.change.distance[int(np.argmin(np.abs(AHEAD - 1)))]
    return np.asarray(there / np.sqrt((run.shift.size**2).sum(axis=0)))


# What is compared, each of all seeds, (R, S).
_TAKEN: Mapping[str, Callable[[NetworkSmoothness], Array]] = {
    "loss": lambda run: np.asarray(run.ahead.max(axis=0) / run.ahead.min(axis=0)),
    "shift": lambda run: run.relative_shift,
    "cosine": lambda run: np.asarray(run.shift.cosine[1:].mean(axis=0)),
    "predictiveness": _step_change,
    "beta": lambda run: run.change.smoothness,
}


def _measure(run: NetworkSmoothness, name: str) -> Array:
    """Return one measure of all seeds, (R, S); NaN where a run has diverged."""
    with np.errstate(all="ignore"):
        return _TAKEN[name](run)


_WORDS = {
    "shift": "shift ‖G − G′‖/‖G‖",
    "cosine": "cosine of G and G′, mean over the layers above the first",
    "predictiveness": "change of the gradient after a step η, ‖g − g′‖/‖g‖",
    "beta": "effective smoothness β",
    "loss": "highest to lowest loss along the gradient",
}


def _smoothness_text(found: Mapping[bool, NetworkSmoothness], setting: _Setting) -> str:
    compared = {name: _compared(found, name) for name in _WORDS}
    lines = [
        [f"**{text}**", *(_cell(part[k]) for part in compared[name] for k in (True, False))]
        for name, text in _WORDS.items()
    ]
    head = [
        "Median of steps and seeds",
        *(
            f"{when}, {_NAMES[k]}"
            for when in (f"updates 0 to {_EARLY}", f"{_LATE} to {STEPS}")
            for k in (True, False)
        ),
    ]
    said = [
        _verdict("Covariate shift", compared["shift"]),
        _verdict("Effective β", compared["beta"]),
    ]
    lost = [k for k, run in found.items() if not np.isfinite(run.loss[-1]).all()]
    if lost:
        said.append(
            f"Some runs {' and '.join(_NAMES[k] for k in lost)}{' BN' if lost[-1] is False else ''} are no longer finite at "
            "the end; what they leave undefined is a dash."
        )
    return (
        " ".join(said)
        + " Santurkar et al. (2018) found on larger networks that BN need not lower this shift, and that it makes loss and "
        f"gradient smoother. Here it is one network of {UNITS} units a layer, one problem and {SEEDS} seeds: it shows how the "
        "two are measured, and that they are two questions.\n\n" + table(head, lines)
    )


def _verdict(name: str, found: _Compared) -> str:
    parts = []
    for when, medians in (("first", found.early), ("last", found.late)):
        bn, plain = medians[True], medians[False]
        part = f"{_cell(bn)} with BN and {_cell(plain)} without in the {when} updates"
        if min(bn, plain) > _LOWEST:  # False for NaN
            ratio = max(bn, plain) / min(bn, plain)
            part += (
                ", about the same"
                if ratio <= 1.1
                else f", {'larger' if bn > plain else 'smaller'} with BN by a factor of {number(ratio, 2)}"
            )
        parts.append(part)
    return f"**{name}**: {'; '.join(parts)}."


# The tab


def _rates_blocks(values: Values) -> Sequence[Block]:
    setting = _setting(values)
    found = sweeps(*setting)
    return [
        "Does BN make a network train that does not without it? Every point is a network of its own, and everything but "
        "BN is the same.",
        _rates_figure(found, setting),
        _rates_text(found, setting),
    ]


def _layers_blocks(values: Values) -> Sequence[Block]:
    setting = _setting(values)
    found = layers_seen(*setting)
    return [
        "Do the distributions inside stay where they are? Move the step and watch the deepest layer; the drift of a "
        "unit’s mean tells how fast statistics measured at the start go stale.",
        _layers_figure(found, setting),
        _layers_text(found, setting),
    ]


def _smoothness_blocks(values: Values) -> Sequence[Block]:
    setting = _setting(values)
    found = smoothness(*setting)
    return [
        "Two explanations of BN: it lowers **internal covariate shift**, the change that updates below cause in a layer’s "
        "problem, or it makes the loss **smoother**, so that a gradient holds further ahead: the loss along it varies less, and "
        "the effective β is smaller. Each is measured along the same runs.",
        _smoothness_figure(found, setting),
        _smoothness_text(found, setting),
    ]


_VIEWS = {
    "learning rates": _rates_blocks,
    "distributions": _layers_blocks,
    "shift or smoothness": _smoothness_blocks,
}


def network_blocks(values: Values) -> Sequence[Block]:
    """Train a small network with and without BN and draw the view that ``net_view`` names.

    Args:
        values: those of ``NETWORK_KNOBS``, and ``seed``.

    Returns:
        a lead, the figure and its reading.
    """
    blocks = _VIEWS[word(values, "net_view")](values)
    progress.report(1.0, "Trained")
    return blocks
