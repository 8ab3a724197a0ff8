"""Dropout: Monte Carlo over masks on its way to the closed form of mean and variance."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import altair as alt
import numpy as np

from charts import compose, theme
from charts.figure import NARROW, Figure, Panel, Part, Spec, assemble, named, rows, spread, table
from charts.topic import Block, Values, real, whole, word
from core.dropout import (
    CONTRIBUTIONS,
    DROPOUT_MODES,
    DropoutMoments,
    DropoutRun,
    dropout_layer,
    dropout_moments,
    running_moments,
    variance_error,
)
from core.kept import keep
from core.knobs import number

Array = np.ndarray

_POINTS = 110  # of a line, evenly spread on the log axis
_TALL = 230
_LABEL = 15  # pixels that a name needs
_Z = 1.96  # two-sided 95% of a normal


class _Line(NamedTuple):
    """What a line follows: a mode's outputs in training, or those of its evaluation."""

    label: str
    mode: str
    trained: bool
    hue: str
    dash: int


# One line for each distribution: "Scaled twice" trains as "Inverted" does, "No scaling" as "Classic".
_LINES = (
    _Line("Inverted", "Inverted", True, "vermilion", 0),
    _Line("Classic", "Classic", True, "green", 0),
    _Line("Forgot eval()", "Forgot eval()", False, "blue", 1),
)
_QUANTITIES = ("mean", "var")


def draw_layer(
    p: float, inputs: int, masks: int, seed: int, contributions: str
) -> tuple[DropoutRun, dict[str, DropoutMoments]]:
    """Draw the masks once, use them in every mode; beside them the closed form of every mode.

    The arguments are those of ``dropout_layer``; what it returns is shared and must not be changed.
    """
    return _draw_layer(p, inputs, masks, seed, contributions, tuple(DROPOUT_MODES))


@keep(entries=8)
def _draw_layer(
    p: float, inputs: int, masks: int, seed: int, contributions: str, modes: tuple[str, ...]
) -> tuple[DropoutRun, dict[str, DropoutMoments]]:
    result = dropout_layer(p=p, inputs=inputs, masks=masks, seed=seed, contributions=contributions)
    return result, {mode: dropout_moments(result.contributions, p, mode) for mode in modes}


def inputs_text(values: Values) -> str:
    """Say in a caption how many inputs the unit has and what they contribute."""
    n = whole(values, "inputs")
    return f"{n} input{'s' if n > 1 else ''} with {CONTRIBUTIONS[word(values, 'contributions')].phrase}"


@lru_cache(maxsize=32)
def _spec(width: int) -> Spec:
    narrow = width < NARROW
    inner = width - 150 if narrow else round((width - 330) / 2)
    x = alt.X(
        "count:Q",
        title="masks",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, format="~s", offset=6, tickCount=3),
    )

    def panel(name: str) -> Panel:
        y = alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=False, nice=False))
        base = alt.Chart(named("estimates"))
        return compose.layer(
            alt.Chart(named("reach")).mark_point(opacity=0).encode(y=y),
            base.mark_area(opacity=0.16).encode(
                x=x, y=alt.Y(f"{name}_low:Q"), y2=f"{name}_high:Q", color=theme.color(), detail="line:N"
            ),
            base.mark_line().encode(x=x, y=y, color=theme.color(), detail="line:N", strokeDash=theme.dash()),
            alt.Chart(named("closed"))
            .mark_point(filled=True, size=theme.DOT, opacity=1)
            .encode(x=x, y=y, color=theme.ink("ink")),
            alt.Chart(named("ends"))
            .mark_text(align="left", dx=8, fontSize=theme.SMALL_SIZE + 0.5)
            .encode(x=alt.value(inner), y=y, text="line:N", color=theme.color()),
            alt.Chart(named("titles"))
            .mark_text(align="left", baseline="bottom", fontSize=theme.TEXT_SIZE)
            .encode(x=alt.value(0), y=alt.value(-8), text=f"{name}:N", color=theme.ink("ink")),
            width=inner,
            height=_TALL,
            name=name,
        )

    both = [panel(name) for name in _QUANTITIES]
    join, gap = (compose.below, 40) if narrow else (compose.beside, None)
    return assemble(join(*both, spacing=gap, resolve={"color": "shared"}), theme.config())


class _Followed(NamedTuple):
    """One line as far as it is drawn, arrays (drawn,): estimates, closed forms, 95% bands."""

    line: _Line
    drawn: Array
    mean: Array
    var: Array
    exact: tuple[float, float]  # mean and variance
    band: tuple[Array, Array]  # half-width around each


def _follow(line: _Line, result: DropoutRun, closed: dict[str, DropoutMoments]) -> _Followed:
    moments, k = closed[line.mode], result.modes.index(line.mode)
    outputs = result.train[k] if line.trained else result.evaluation[k]
    mean, var, cumulant4 = (
        (moments.train_mean, moments.train_var, moments.train_cumulant4)
        if line.trained
        else (moments.eval_mean, moments.eval_var, moments.eval_cumulant4)
    )
    picked = np.unique(np.round(np.geomspace(2, outputs.size, _POINTS)).astype(int)) - 1
    count = picked + 1
    estimate = running_moments(outputs)
    return _Followed(
        line,
        count,
        estimate.mean[picked],
        estimate.var[picked],
        (float(mean), float(var)),
        (_Z * np.sqrt(float(var) / count), _Z * variance_error(var, cumulant4, count)),
    )


def _figure(values: Values, result: DropoutRun, closed: dict[str, DropoutMoments]) -> Figure:
    followed = [_follow(line, result, closed) for line in _LINES]
    estimates: list[Part] = []
    dots: list[Part] = []
    edges: dict[str, list[Array]] = {name: [] for name in _QUANTITIES}
    for each in followed:
        (mean, var), (mean_band, var_band) = each.exact, each.band
        if not each.line.trained:  # the same closed form as another line's: one band is enough
            mean_band, var_band = np.full_like(mean_band, np.nan), np.full_like(var_band, np.nan)
        part: Part = {
            "count": each.drawn, "line": each.line.label,
            "slot": theme.SLOTS[each.line.hue], "dash": each.line.dash,
            "mean": each.mean, "mean_low": mean - mean_band, "mean_high": mean + mean_band,
            "var": each.var, "var_low": np.maximum(var - var_band, 0.0), "var_high": var + var_band,
        }  # fmt: skip
        estimates.append(part)
        dots.append({"count": each.drawn[3::6], "mean": mean, "var": var})
        columns = ("", "_low", "_high") if each.line.trained else ("",)
        for name in _QUANTITIES:
            edges[name] += [np.asarray(part[name + column]) for column in columns]
    reach = {}
    for name, found in edges.items():
        low, high = float(min(e.min() for e in found)), float(max(e.max() for e in found))
        pad = 0.04 * (high - low) or 0.5
        reach[name] = (low - pad if low < 0 or name == "mean" else 0.0, high + pad)
    ends = {
        name: spread(
            np.array([getattr(each, name)[-1] for each in followed]), _LABEL / _TALL * (high - low), low, high
        )
        for name, (low, high) in reach.items()
    }
    p = real(values, "p")
    return Figure(
        name="dropout/convergence",
        build=_spec,
        data={
            "estimates": rows(*estimates),
            "closed": rows(*dots),
            "ends": rows(
                **ends,
                line=[each.line.label for each in followed],
                slot=[theme.SLOTS[each.line.hue] for each in followed],
            ),
            "reach": rows(**{name: list(ends) for name, ends in reach.items()}),
            "titles": rows(mean=["Mean of the output"], var=["Variance of the output"]),
        },
        title="Monte Carlo on its way to the closed form",
        caption=(
            f"One linear unit, p_drop {number(p, 6)} (p_keep {number(1 - p, 6)}), {inputs_text(values)}, "
            f"2 to {values['masks']} masks, seed {values['seed']}. "
            "Inverted and Classic: training. Forgot eval(): evaluation, with masks of its own."
        ),
        key=(
            "Lines: mean and unbiased variance of the first outputs. Dots: closed form. Bands: ±1.96 standard errors, "
            "the variance's cut at 0."
        ),
        alt="Running estimates of mean, left, and variance, right, closing in on the closed form.",
    )


class _Compared(NamedTuple):
    """A moment as measured, its closed form, and the standard error that one expects of it."""

    measured: float
    exact: float
    error: float

    @property
    def off(self) -> float:
        """The distance from the closed form in standard errors; 0 where nothing is random."""
        return (self.measured - self.exact) / self.error if self.error > 0 else 0.0

    def cells(self) -> tuple[str, str, str]:
        """Write measurement, closed form, and how far apart they are; what is not random is said to be exact."""
        if self.error > 0:
            return number(self.measured, 4), number(self.exact, 4), number(self.off, 2)
        return number(round(self.measured, 12), 4), number(self.exact, 4), "exact"


def _compare(
    mode: str, result: DropoutRun, closed: dict[str, DropoutMoments]
) -> dict[str, tuple[_Compared, _Compared]]:
    """Compare mean and variance of a mode with their closed forms, in training and in evaluation."""
    k, masks, form = result.modes.index(mode), result.train.shape[1], closed[mode]
    return {
        when: (
            _Compared(float(mean), float(exact), float(np.sqrt(exact_var / masks))),
            _Compared(float(var), float(exact_var), float(variance_error(exact_var, cumulant4, masks))),
        )
        for when, mean, var, exact, exact_var, cumulant4 in (
            ("training", result.train_mean[k], result.train_var[k],
             form.train_mean, form.train_var, form.train_cumulant4),
            ("evaluation", result.eval_mean[k], result.eval_var[k],
             form.eval_mean, form.eval_var, form.eval_cumulant4),
        )
    }  # fmt: skip


def _moments(result: DropoutRun, closed: dict[str, DropoutMoments]) -> str:
    """Tabulate what every mode has in training and in evaluation, measured and in closed form."""
    lines = []
    for mode in result.modes:
        for k, (when, (mean, var)) in enumerate(_compare(mode, result, closed).items()):
            lines.append(("" if k else mode, when, *mean.cells(), *var.cells()))
    head = ("Mode", "", "Mean", "Closed form", "Errors off", "Variance", "Closed form", "Errors off")
    return table(head, lines)


def convergence_blocks(values: Values) -> Sequence[Block]:
    """Follow mean and variance of the unit's output as masks are drawn, for every distribution there is.

    Args:
        values: the page's; p, inputs, contributions, masks and seed act.

    Returns:
        a lead, a figure, a reading, and a table of all modes in training and in evaluation.
    """
    p = real(values, "p")
    result, closed = draw_layer(
        p,
        whole(values, "inputs"),
        whole(values, "masks"),
        whole(values, "seed"),
        word(values, "contributions"),
    )
    masks = result.train.shape[1]
    exact = closed["Inverted"]
    lead = (
        "After M masks the mean is off by about "
        r"$\sqrt{\mathrm{Var}/M}$, and the variance by about $\mathrm{Var}\sqrt{2/M}$ where outputs are nearly normal: "
        "four times the masks, half the error."
    )
    figure = _figure(values, result, closed)
    if float(exact.train_var) == 0:
        reading = (
            f"With p_drop = {number(p, 6)} (p_keep = {number(1 - p, 6)}) nothing is random: the first mask already gives "
            "the closed form."
        )
        return [lead, figure, reading, _moments(result, closed)]
    compared = [pair for mode in result.modes for pair in _compare(mode, result, closed).values()]
    worst = max(abs(each.off) for pair in compared for each in pair)
    reading = (
        f"After {masks} masks the 95% bands of inverted dropout are ± "
        f"{number(_Z * float(np.sqrt(exact.train_var / masks)), 2)} around the mean "
        f"{number(float(exact.train_mean), 4)} and ± "
        f"{number(_Z * float(variance_error(exact.train_var, exact.train_cumulant4, masks)), 2)} around the variance "
        f"{number(float(exact.train_var), 4)}. Of the four moments that are random and differ (mean and variance, over "
        f"training masks and over those of a forgotten eval()) the furthest ends **{number(worst, 2)} times its standard error** "
        f"from its closed form, {'outside' if worst > _Z else 'inside'} its band; one in twenty is expected outside."
    )
    return [lead, figure, reading, _moments(result, closed)]
