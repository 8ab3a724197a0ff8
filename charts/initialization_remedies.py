"""The Remedies tab of the initialization page: what normalization, residual connections and clipping do to a stack."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, describe, progress, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, words
from core.activations import ACTIVATIONS, Activation
from core.initializers import INITIALIZERS, Initializer
from core.kept import keep
from core.knobs import Knob, aliases_of, latex, number
from core.propagation import first_bad, root_mean_square
from core.remedies import (
    BATCH_NORM,
    EPS,
    REMEDIES,
    Remedied,
    RemediedTheory,
    Remedy,
    backward_factor,
    propagate_remedied,
    remedied_theory,
)

Array = np.ndarray
Settings = Mapping[str, float]
Items = tuple[tuple[str, float], ...]

# The hue says what is normalized, the dash where. Hues that the page's default schemes leave free.
STYLES = theme.styles(
    REMEDIES,
    fixed={
        "none": ("muted", 0),
        "BatchNorm before": ("cyan", 0),
        "BatchNorm after": ("cyan", 2),
        "LayerNorm before": ("indigo", 0),
        "LayerNorm after": ("indigo", 2),
        "residual": ("crimson", 0),
        "residual + BatchNorm": ("cyan", 1),
        "residual + LayerNorm": ("indigo", 1),
        "LayerNorm of the sum": ("indigo", 3),
        "clipping": ("muted", 2),
    },
)

_MOST = 5

REMEDY_KNOBS = (
    Knob(
        "remedies", "choices",
        ("none", "BatchNorm before", "LayerNorm before", "residual", "residual + BatchNorm"),
        label="Remedies", choices=tuple(REMEDIES), aliases=aliases_of(REMEDIES), most=_MOST,
        help="Before and after: the activation.",
    ),
    Knob(
        "remedy_scheme", "choice", "Glorot normal", label="Scheme", choices=tuple(INITIALIZERS), aliases=aliases_of(INITIALIZERS),
        help="Draws the weights of every remedy.",
    ),
    Knob(
        "remedy_batch", "int", 64, label="Batch", low=32, high=128, log=True,
        help="Inputs of this tab: BatchNorm measures mean and variance over them, and needs more than the figure above.",
    ),
    Knob(
        "branch_scale", "float", 1.0, label="Branch scale", low=0.0, high=1.0, step=0.01, symbol="α",
        help="Factor of the branch beside a residual connection.",
    ),
    Knob(
        "clip_norm", "float", 1.0, label="Clip at norm", low=1e-3, high=1e6, log=True, symbol="c",
        help="Largest norm of all weights' gradients together that clipping leaves alone.",
    ),
)  # fmt: skip

# What a run may take: weights in memory, and multiplications, both of which large settings reach.
_WEIGHTS, _WORK = 12_000_000, 2_000_000_000
_TOLD = 400_000_000  # multiplications that nobody waits for
_LINE = 12  # characters of a label's line
_TALL, _TALL_NARROW = 400, 340
_DOTS = 16
_FAR = 1.5  # so many times theory is worth a word
_EVEN, _ODD = 0.005, 0.02  # ln of factors that count as one, and of a first or last factor that is another


def remedy_knobs(values: Values) -> tuple[str, ...]:
    """Name the controls that the tab shows beside these values: branch scale and threshold where they act."""
    chosen = [REMEDIES[name] for name in words(values, "remedies")]
    return (
        "remedies",
        "remedy_scheme",
        "remedy_batch",
        *(("branch_scale",) if any(remedy.residual for remedy in chosen) else ()),
        *(("clip_norm",) if any(remedy.clips for remedy in chosen) else ()),
    )


# The figure


@lru_cache(maxsize=16)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 140 if narrow else round((width - 260) / 2)

    def panel(name: str) -> Panel:
        # The gradient walks from the last layer to the first, so its axis does too: both fans open to the right.
        x = alt.X(
            "layer:Q",
            title="layer" if name == "signal" else "layer, from the last to the first",
            scale=alt.Scale(nice=False, zero=False, reverse=name == "gradient"),
            axis=alt.Axis(grid=False, tickMinStep=1, offset=6),
        )
        scale = alt.Scale(type="log", nice=False)
        axis = alt.Axis(labelExpr=theme.POWER, gridOpacity=theme.POWER_GRID)
        y = alt.Y(f"{name}:Q", title=None, scale=scale, axis=axis)
        base = alt.Chart(named("layers"))
        layers = [
            alt.Chart(named("extent")).mark_point(opacity=0).encode(y=y),
            base.mark_area(opacity=0.2).encode(
                x=x,
                y=alt.Y(f"{name}_low:Q", scale=scale),
                y2=f"{name}_high:Q",
                detail="name:N",
                color=theme.color(),
            ),
            base.mark_line().encode(x=x, y=y, detail="name:N", color=theme.color(), strokeDash=theme.dash()),
            alt.Chart(named("dots"))
            .mark_point(filled=True, size=theme.DOT, opacity=1)
            .encode(x=x, y=alt.Y(f"{name}:Q", scale=scale), color=theme.ink("ink"), opacity=theme.SHOWN),
            alt.Chart(named("ends"))
            .mark_text(
                align="left",
                baseline="middle",
                dx=8,
                fontSize=theme.SMALL_SIZE + 0.5,
                lineBreak="\n",
                lineHeight=theme.SMALL_SIZE + 2,
            )
            .encode(
                x=alt.value(inner),
                y=alt.Y(f"{name}:Q", scale=scale),
                text="label:N",
                color=theme.color(),
            ),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
        ]
        return compose.layer(*layers, width=inner, height=_TALL_NARROW if narrow else _TALL, name=name)

    panels = [panel("signal"), panel("gradient")]
    join = compose.below if narrow else compose.beside
    return assemble(join(*panels, resolve={"color": "shared", "strokeDash": "shared"}), theme.config())


def _pooled(rms: Array) -> Array:
    """Return the root of the mean square over networks: (remedies, seeds, layers) → (remedies, layers)."""
    return root_mean_square(np.moveaxis(rms, 1, -1))


def _visible(y: Array) -> Array:
    """Leave out what a log axis cannot carry."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def _extent(*values: Array) -> tuple[float, float]:
    """Return the ends of a log axis that shows all visible values, one decade apart at least."""
    seen = np.concatenate([_visible(v).ravel() for v in values])
    logs = np.log10(seen[np.isfinite(seen)]) if np.isfinite(seen).any() else np.zeros(1)
    low, high = float(logs.min()), float(logs.max())
    margin = max(0.03 * (high - low), (1 - (high - low)) / 2)
    return 10.0 ** max(low - margin, -300.0), 10.0 ** min(high + margin, 300.0)


def _placed(ends: Array, low: float, high: float) -> Array:
    """Return where the labels of lines that end there stand, so that two lines of text have room."""
    logs = np.log10(np.where(ends > 0, np.clip(ends, low, high), low))
    bottom, top = np.log10(low), np.log10(high)
    placed: Array = 10.0 ** spread(logs, 0.09 * (top - bottom), bottom, top)
    return placed


def _figure(names: Sequence[str], measured: Remedied, predicted: RemediedTheory, caption: str) -> Figure:
    depth = measured.signal_rms.shape[-1] - 1
    layer = np.arange(depth + 1, dtype=np.int16)
    dotted = layer % max(1, depth // _DOTS) == 0
    quantities = {
        "signal": (measured.signal_rms, predicted.signal_rms),
        "gradient": (measured.gradient_rms, predicted.gradient_rms),
    }
    parts: list[Part] = []
    dots: list[Part] = []
    for k, name in enumerate(names):
        columns: Part = {}
        theory: Part = {}
        for quantity, (rms, exact) in quantities.items():
            below, above = _band(rms[k])
            columns |= {
                quantity: _visible(_pooled(rms)[k]),
                f"{quantity}_low": _visible(below),
                f"{quantity}_high": _visible(above),
            }
            theory[quantity] = _visible(exact[k, dotted])
        style = STYLES[name]
        parts.append(
            {"layer": layer, "name": name, "slot": np.int8(style.slot), "dash": np.int8(style.dash), **columns}
        )  # fmt: skip
        dots.append({"layer": layer[dotted], "name": name, "shown": True, **theory})
    extent: dict[str, object] = {}
    hidden: Part = {"layer": [0], "name": "", "shown": False, **dict.fromkeys(quantities, np.nan)}
    ends: dict[str, object] = {
        "label": [textwrap.fill(name, _LINE) for name in names],
        "slot": [STYLES[name].slot for name in names],
    }
    for quantity, (rms, exact) in quantities.items():
        low, high = _extent(_pooled(rms), exact, *_band(rms))
        extent[quantity] = [low, high]
        if not any(np.isfinite(np.asarray(part[quantity], float)).any() for part in dots):
            hidden[quantity] = low  # a log axis needs a value
        ends[quantity] = _placed(_pooled(rms)[:, -1 if quantity == "signal" else 0], low, high)
    nothing = rows(
        layer=[0], name="", label="", slot=theme.MUTED, dash=0,
        **{f"{quantity}{part}": np.nan for quantity in quantities for part in ("", "_low", "_high")},
    )  # fmt: skip
    return Figure(
        name="initialization/remedies",
        build=_spec,
        data={
            "layers": rows(*parts) if parts else nothing,
            "dots": rows(*dots, hidden),
            "ends": rows(**ends) if names else nothing,
            "extent": rows(**extent),
            "titles": rows(
                signal=["Signal: rms of h at each layer"], gradient=["Gradient: rms of ∂L/∂h at each layer"]
            ),
        },
        title="What remedies do to signal and gradient",
        caption=caption,
        key=(
            "Lines: root of the mean second moment over networks. Band: 10th to 90th percentile of the networks. Small "
            "dots: theory for wide layers; for BatchNorm after the activation, for a large batch too."
        ),
        alt="Root mean square of the signal, left, and of the gradient, right, at every layer, one line a remedy.",
    )


def _band(rms: Array) -> tuple[Array, Array]:
    """Return the 10th and 90th percentile over networks, the second axis from the end; NaN where one is not finite."""
    if not rms.size:
        return rms[..., 0, :], rms[..., 0, :]
    whole = np.isfinite(rms).all(axis=-2)
    below, above = np.quantile(np.where(np.isfinite(rms), rms, 0.0), (0.1, 0.9), axis=-2)
    return np.where(whole, below, np.nan), np.where(whole, above, np.nan)


# The run


def _items(settings: Settings) -> Items:
    return tuple(sorted(settings.items()))


def _described(scheme: str, settings: Settings) -> str:
    """Name a scheme with its settings: ``custom (g 1.5)``."""
    text = ", ".join(
        f"{knob.symbol or knob.name} {number(settings[knob.name], 6)}" for knob in INITIALIZERS[scheme].knobs
    )
    return f"{scheme} ({text})" if text else scheme


def _tell(done: int, passes: int) -> None:
    progress.report(done / passes, f"{done} of {passes} passes")


@keep(entries=16)
def _run(
    activation: str,
    knobs: Items,
    scheme: str,
    scheme_knobs: Items,
    remedies: tuple[str, ...],
    depth: int,
    width: int,
    batch: int,
    seeds: int,
    seed: int,
    branch_scale: float,
    clip: float,
) -> tuple[Remedied, RemediedTheory]:
    """Measure, and ask theory for the same."""
    entry, chosen = ACTIVATIONS[activation], [REMEDIES[name] for name in remedies]
    drawn = INITIALIZERS[scheme].at(**dict(scheme_knobs))
    told = _multiplications(len(remedies), depth, width, batch) * seeds > _TOLD
    measured = propagate_remedied(
        entry, drawn, chosen, depth=depth, width=width, batch=batch, seeds=seeds, seed=seed,
        branch_scale=branch_scale, clip=clip, knobs=dict(knobs), report=_tell if told else None,
    )  # fmt: skip
    predicted = remedied_theory(
        entry, drawn, chosen, depth=depth, width=width, batch=batch, branch_scale=branch_scale, clip=clip,
        knobs=dict(knobs),
    )  # fmt: skip
    return measured, predicted


def _multiplications(remedies: int, depth: int, width: int, batch: int) -> int:
    """Return about how many products one network takes, up and down; elementwise work and draws count as so many."""
    return remedies * depth * width * batch * (2 * width + 50) + 30 * depth * width * width


# Words


def _cell(measured: float, predicted: float) -> str:
    """Write a measurement with its theory in parentheses, if there is one."""
    if math.isnan(predicted):
        return number(measured)
    return f"{number(measured)} ({number(predicted)})"


def _per_layer(end: float, start: float, layers: int) -> float:
    """Return the factor a layer that leads from start to end, NaN if there is none."""
    if not (0 < start < math.inf and 0 <= end < math.inf):
        return math.nan
    return float((end / start) ** (1 / layers))


def _rate(run: Array, exact: Array) -> str:
    """Write by what a layer multiplies a size, in walking order; a first or last layer unlike the others by itself."""
    depth = len(run) - 1

    def over(first: int, last: int) -> tuple[float, float]:
        return tuple(_per_layer(line[last], line[first], last - first) for line in (run, exact))  # type: ignore[return-value]

    usable = np.isfinite(exact) & (exact > 0) & np.isfinite(run) & (run > 0)
    if depth > 3 and usable.all():
        steps = np.diff(np.log(exact))
        middle = float(steps[1:-1].mean())
        odd = np.abs(steps[[0, -1]] - middle) > _ODD
        if np.all(np.abs(steps[1:-1] - middle) < _EVEN) and odd.sum() == 1:
            first, last = int(odd[0]), depth - int(odd[1])
            most = over(first, last)
            level = all(abs(math.log(factor)) < _EVEN for factor in most)
            parts = ["level" if level else _cell(*most)]
            single = f"×{_cell(*(over(0, 1) if odd[0] else over(depth - 1, depth)))}"
            return ", then ".join([single, *parts] if odd[0] else [*parts, single])
    return _cell(*over(0, depth))


def _leaves(signal: Array, gradient: Array) -> str:
    """Name the layers at which a float32 run would leave its normal range, and float64 has ended."""
    found = []
    for what, rms, backward in (("signal", signal, False), ("gradient", gradient, True)):
        layer = first_bad(rms, backward=backward)
        if layer is not None:
            lost = np.flatnonzero(~np.isfinite(rms))
            text = f"{what} at layer {layer}"
            if lost.size:
                text += f", float64 at {lost[-1 if backward else 0]}"
            found.append(text)
    return "; ".join(found) or "never"


def _table(names: Sequence[str], measured: Remedied, predicted: RemediedTheory) -> str:
    signal, gradient = _pooled(measured.signal_rms), _pooled(measured.gradient_rms)
    depth = signal.shape[-1] - 1
    lines: list[list[str]] = []
    for k, name in enumerate(names):
        ways = (
            (signal[k], predicted.signal_rms[k]),
            (gradient[k, ::-1], predicted.gradient_rms[k, ::-1]),
        )
        cells = [
            cell
            for run, exact in ways
            for cell in (_rate(run, exact), _cell(float(run[-1]), float(exact[-1])))
        ]
        lines.append([f"**{name}**", *cells, _leaves(signal[k], gradient[k])])
    head = [
        "",
        "signal, a layer",
        f"signal at layer {depth}",
        "gradient, a layer",
        "gradient at layer 0",
        "leaves float32's normal range",
    ]
    return table(head, lines)


def _agreement(names: Sequence[str], measured: Remedied, predicted: RemediedTheory, width: int) -> str:
    """Say how far the ends of the lines are from theory, and which is furthest."""
    ends = np.concatenate([_pooled(measured.signal_rms)[:, -1], _pooled(measured.gradient_rms)[:, 0]])
    exact = np.concatenate([predicted.signal_rms[:, -1], predicted.gradient_rms[:, 0]])
    known = np.isfinite(ends) & np.isfinite(exact) & (ends > 0) & (exact > 0)
    if not known.any():
        return ""
    ratio = np.where(known, ends, 1.0) / np.where(known, exact, 1.0)
    low, high = float(ratio[known].min()), float(ratio[known].max())
    text = f"At their ends the measured lines are {number(low)} to {number(high)} times theory"
    if high <= _FAR and low >= 1 / _FAR:
        return f"{text}. "
    worst = int(np.argmax(np.abs(np.log(ratio))))
    what = "signal" if worst < len(names) else "gradient"
    depth = measured.signal_rms.shape[-1] - 1
    return (
        f"{text}, furthest the {what} of {names[worst % len(names)]}, {number(float(ends[worst]))} against "
        f"{number(float(exact[worst]))}. Theory is for wide layers, and with BatchNorm after the activation for a large batch; "
        f"depth / width is {number(depth / width)} here, and a wider stack comes closer. "
    )


class _Setting(NamedTuple):
    """What all remedies of a run share."""

    activation: Activation
    knobs: dict[str, float]
    scheme: Initializer
    width: int
    batch: int
    branch_scale: float
    clip: float

    @property
    def sigma_w(self) -> float:
        return math.sqrt(self.width) * self.scheme.std(self.width, self.width)

    def theory(self, remedy: Remedy, *, depth: int, branch_scale: float) -> tuple[float, float]:
        """Return by what a stack of another depth or branch scale multiplies the rms of signal and gradient."""
        found = remedied_theory(
            self.activation, self.scheme, [remedy], depth=depth, width=self.width, batch=self.batch,
            branch_scale=branch_scale, knobs=self.knobs,
        )  # fmt: skip
        return float(found.signal_rms[0, -1]), float(found.gradient_rms[0, 0])


class _Case(NamedTuple):
    """One remedy of a run, with all that its sentence needs; by layer, from 0 to depth."""

    remedy: Remedy
    setting: _Setting
    gradient: Array  # rms over networks
    signal_theory: Array
    gradient_theory: Array
    norms: Array  # by network, before clipping
    norm_theory: float
    factors: Array  # by network
    typical_ratio: float  # gradient at layer 0 to that at the top, median over networks

    @property
    def depth(self) -> int:
        return len(self.gradient) - 1

    @property
    def total(self) -> float:
        """What theory says the gradient's rms is multiplied by on its way to the first layer."""
        return float(self.gradient_theory[0] / self.gradient_theory[-1])

    @property
    def measured_total(self) -> float:
        """What the measured gradient's rms is multiplied by on its way to the first layer."""
        return _per_layer(float(self.gradient[0]), float(self.gradient[-1]), 1)

    @property
    def first_steps(self) -> tuple[float, float]:
        """What theory multiplies second moments by, the signal's in the first layer and the gradient's in the last."""
        up = float(self.signal_theory[1] / self.signal_theory[0])
        down = float(self.gradient_theory[-2] / self.gradient_theory[-1])
        return up * up, down * down


def _cases(
    remedies: Sequence[Remedy], measured: Remedied, predicted: RemediedTheory, setting: _Setting
) -> list[_Case]:
    gradient = _pooled(measured.gradient_rms)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = measured.gradient_rms[..., 0] / measured.gradient_rms[..., -1]
    return [
        _Case(
            remedy, setting, gradient[k], predicted.signal_rms[k], predicted.gradient_rms[k], measured.gradient_norm[k],
            float(predicted.gradient_norm[k]), measured.clip_factor[k], float(np.median(ratios[k])),
        )
        for k, remedy in enumerate(remedies)
    ]  # fmt: skip


def _plain_text(case: _Case) -> str:
    q, chi = case.first_steps
    return (
        rf"the first layer multiplies the second moment of the signal by $\sigma_w^2\,\mathrm E\,\varphi(z)^2 = {latex(q)}$, "
        rf"the last one that of the gradient by $\sigma_w^2\,\mathrm E\,\varphi'(\sqrt{{q}}\,z)^2 = {latex(chi)}$."
    )


def _norm_text(case: _Case) -> str:
    """Say what a normalization without residual connection does to the gradient."""
    remedy, setting = case.remedy, case.setting
    knobs = setting.knobs
    limit = (
        backward_factor(setting.activation, remedy, sigma_w=setting.sigma_w, knobs=knobs)
        if setting.sigma_w
        else math.nan
    )
    before = remedy.normalizes("before") is not None
    over = r"\mathrm E\,\varphi^2" if before and remedy.norm is not BATCH_NORM else r"\mathrm{Var}\,\varphi"
    if math.isnan(limit):
        return "weights of 0 leave nothing to normalize."
    text = rf"a layer multiplies the second moment of the gradient by $\mathrm E\,\varphi'^2 / {over} = {latex(limit, 4)}$, "
    if before:
        text += r"with $z \sim \mathcal N(0, 1)$ whatever the scale of the weights, which the normalization takes out"
    else:
        text += rf"with $z \sim \mathcal N(0, \sigma_w^2)$, $\sigma_w^2 = {latex(setting.sigma_w**2)}$"
    if remedy.norm is BATCH_NORM:
        text += ", in a large batch"
        if before:
            here = backward_factor(
                setting.activation, remedy, sigma_w=setting.sigma_w, batch=setting.batch, knobs=knobs
            )
            text += f"; in one of {setting.batch} by {number(here, 4)}"
    if case.depth > 2 and 0 < case.gradient[1] < math.inf and case.gradient[-2] > 0:
        found = _per_layer(float(case.gradient[1]), float(case.gradient[-2]), case.depth - 2) ** 2
        text += f". Measured: {number(found, 4)}"
    return (
        f"{text}. In rms this is ×{number(math.sqrt(limit))} a layer: the signal is level from the second layer on, and "
        f"{_fate(math.sqrt(limit))}, ×{number(case.total)} over {_layers(case.depth)}"
        + (f", measured ×{number(case.measured_total)}." if case.measured_total < math.inf else ".")
    )


def _fate(factor: float) -> str:
    if factor > 1.02:
        return "the gradient grows toward the first layer"
    if factor < 0.98:
        return "the gradient fades toward the first layer"
    return "the gradient is level too but for the first layer"


def _layers(depth: int) -> str:
    return "one layer" if depth == 1 else f"{depth} layers"


def _residual_text(case: _Case) -> str:
    """Say how a residual connection without normalization grows, and what a smaller branch does about it."""
    setting, alpha = case.setting, case.setting.branch_scale
    tamed = 1 / math.sqrt(case.depth)
    here, twice = (
        " and ".join(
            f"×{number(rms)}" for rms in setting.theory(case.remedy, depth=depth, branch_scale=scale)
        )
        for depth, scale in ((case.depth, tamed), (2 * case.depth, tamed / math.sqrt(2)))
    )
    q, chi = case.first_steps
    return (
        "branch and connection are uncorrelated, so their second moments add: the signal's is multiplied by "
        rf"$1 + \alpha^2\sigma_w^2\,\mathrm E\,\varphi^2/q = {latex(q, 4)}$ in the first layer, the gradient's by "
        rf"$1 + \alpha^2\sigma_w^2\,\mathrm E\,\varphi'^2 = {latex(chi, 4)}$ in the last. Nothing can fade, but with $\alpha = "
        f"{latex(alpha)}$ the rms grows ×{number(float(case.signal_theory[-1]))} up and ×{number(case.total)} down. With "
        rf"$\alpha = 1/\sqrt L = {latex(tamed)}$ it is {here}, and over twice as many layers, with their own $\alpha$, {twice}."
    )


def _residual_norm_text(case: _Case) -> str:
    """Say that the gradient grows like a power of the depth only."""
    setting = case.setting
    _, twice = setting.theory(case.remedy, depth=2 * case.depth, branch_scale=setting.branch_scale)
    return (
        "the branch adds as much in every layer, however large the signal is: its second moment grows in proportion to the "
        "depth, and each further branch weighs less beside it. The gradient's rms grows "
        f"×{number(case.total)} over {_layers(case.depth)}, and ×{number(twice)} over twice as many, "
        f"×{number(twice / case.total)} for the doubling: like a power of the depth, not exponentially."
    )


def _sum_text(case: _Case) -> str:
    chi = _per_layer(case.total, 1.0, case.depth)
    return (
        "the normalization divides signal and gradient by the size of the sum, so a layer multiplies the second moment of the "
        r"gradient by $(1 + \alpha^2\sigma_w^2\,\mathrm E\,\varphi'^2) / (1 + \alpha^2\sigma_w^2\,\mathrm E\,\varphi^2) = "
        f"{latex(chi**2, 4)}$."
    )


def _clip_text(case: _Case) -> str:
    """Say that clipping moves the gradient's line as a whole, or not at all."""
    clip = case.setting.clip
    size, acts = float(root_mean_square(case.norms)), case.norms > clip
    said = f"the norm of all weights' gradients together is {number(size)}, root mean square over networks"
    if not math.isnan(case.norm_theory):
        said += f" (theory {number(case.norm_theory)})"
    if not np.isfinite(size):
        said += "; where it is beyond float64, clipping leaves zeros or NaN"
    if acts.any():
        said += (
            f". Beyond {number(clip)} it is scaled down, by {number(float(case.factors.min()))} at the most, in "
            f"{int(acts.sum())} of {len(acts)} networks"
        )
    else:
        said += f", and clipping at {number(clip)} leaves it alone: it makes no gradient larger"
    return (
        f"{said}. One number multiplies the gradients of all layers, so their ratios stay: in a typical network the rms at "
        f"layer 0 is {number(case.typical_ratio)} times that at the top, with clipping as without."
    )


def _beyond_text(case: _Case) -> str:
    """Say where theory's own numbers end, in float64."""
    lost = np.flatnonzero(~(np.isfinite(case.signal_theory) & np.isfinite(case.gradient_theory)))
    up = np.flatnonzero(~np.isfinite(case.signal_theory))
    if up.size:
        return (
            f"in theory too the signal leaves float64, at layer {up[0]}, and nothing comes back from there."
        )
    return f"in theory too the gradient leaves float64, at layer {lost[-1]}."


def _text_of(case: _Case) -> Callable[[_Case], str]:
    """Return what writes the sentence about a remedy, by what it is built from."""
    remedy = case.remedy
    if not (np.isfinite(case.signal_theory).all() and np.isfinite(case.gradient_theory).all()):
        return _beyond_text
    if remedy.clips:
        return _clip_text
    if remedy.normalizes("sum"):
        return _sum_text
    if remedy.residual:
        return _residual_norm_text if remedy.norm else _residual_text
    return _norm_text if remedy.norm else _plain_text


def remedy_blocks(
    activation: str,
    knobs: Settings,
    scheme: str,
    scheme_knobs: Settings,
    remedies: Sequence[str],
    depth: int,
    width: int,
    batch: int,
    seeds: int,
    seed: int,
    branch_scale: float,
    clip: float,
) -> list[Block]:
    """Send one signal, and one gradient, through the same weights under each remedy.

    Args:
        activation: an entry of ``ACTIVATIONS``.
        knobs: its settings.
        scheme: an entry of ``INITIALIZERS`` that draws the weights.
        scheme_knobs: its settings.
        remedies: up to five entries of ``REMEDIES``.
        depth, width: of the stack; a width beyond what the tab may take is reduced, and said.
        batch: inputs.
        seeds: networks; fewer are drawn where they would take too long, and said.
        seed: from which all networks are drawn.
        branch_scale: α of residual connections.
        clip: largest norm that clipping leaves alone.

    Returns:
        the figure and its text; one line of text if no remedy is named.

    Raises:
        ValueError: more than five remedies.
    """
    if len(remedies) > _MOST:
        raise ValueError(f"{len(remedies)} remedies: at most {_MOST}")
    if not remedies:
        return ["Choose at least one remedy."]
    entries = tuple(REMEDIES[name] for name in remedies)
    wide = min(width, math.isqrt(_WEIGHTS // depth))
    networks = max(1, min(seeds, _WORK // _multiplications(len(entries), depth, wide, batch)))
    # What no remedy of this run uses shall not make it another one.
    branch_scale = branch_scale if any(remedy.residual for remedy in entries) else 1.0
    clip = clip if any(remedy.clips for remedy in entries) else math.inf
    measured, predicted = _run(
        activation, _items(knobs), scheme, _items(scheme_knobs), tuple(remedies), depth, wide, batch, networks, seed,
        branch_scale, clip,
    )  # fmt: skip
    drawn = INITIALIZERS[scheme].at(**scheme_knobs)
    setting = _Setting(ACTIVATIONS[activation], dict(knobs), drawn, wide, batch, branch_scale, clip)
    caption = (
        f"{', '.join(remedies)}; {_described(scheme, scheme_knobs)}, {describe.described(activation, knobs)}, depth {depth}, "
        f"width {wide}, batch {batch}, {networks} networks, "
        + (f"branch scale α {number(branch_scale)}, " if any(remedy.residual for remedy in entries) else "")
        + (f"clipped at norm {number(clip)}, " if any(remedy.clips for remedy in entries) else "")
        + f"seed {seed}. Statistics of the batch (training), γ = 1, β = 0, ε = {number(EPS)}, no biases, float64; same draws for "
        "all."
    )
    cut = ""
    if wide < width:
        cut += f"The width is {wide} here instead of {width}: depth × width² stops at {_WEIGHTS // 1_000_000} million. "
    if networks < seeds:
        cut += f"Networks drawn: {networks} instead of {seeds}, to be quick at this size. "
    blocks: list[Block] = [
        _figure(remedies, measured, predicted, caption),
        cut
        + _agreement(remedies, measured, predicted, wide)
        + "Measured, with theory in parentheses:\n\n"
        + _table(remedies, measured, predicted),
    ]
    if np.isnan(predicted.signal_rms).all():
        blocks.append(
            f"The weights of {scheme} are not independent with mean 0, and theory says nothing about them."
        )
        return blocks
    lines = [
        f"**{case.remedy.name}**, $h^l = {case.remedy.formula}$: {_text_of(case)(case)}"
        for case in _cases(entries, measured, predicted, setting)
    ]
    blocks.append("\n\n".join(lines))
    return blocks
