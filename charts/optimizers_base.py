"""What the main figure of Optimizers and its tabs share: the page's surface, its chosen methods and their runs."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from charts import theme
from charts.topic import Values, real, whole, word, words
from core.custom_surface import custom_surface
from core.descent import Descent, NoisyProblem, Problem, SteppedProblem, SurfaceProblem, descend
from core.expressions import parse
from core.kept import keep
from core.knobs import Knob, Value, aliases_of, number
from core.optimizers import CONVENTIONS, OPTIMIZERS, Optimizer, Rule, suggested_lr
from core.schedules import SCHEDULES, scheduled
from core.second_order import REFERENCES, Reference
from core.stochastic import MiniBatches, Noisy
from core.surfaces import SURFACES, OnlineProblem, Surface

Array = np.ndarray

BOWL = "Quadratic bowl"
DEFAULT = ("GD", "Momentum", "RMSProp", "Adam")

OWN = "Your own f(x, y)"
FORMULA = "x^4 + y^4 - 4xy"
NONE = "none"
# Pixels that keep tick labels from the marks on a panel's edge, and from each other.
CLEAR, APART = 6, 5
ROOMY = 900  # pixels from which on a figure has room for long names beside what they name
_MEMORIES = ("momentum", "rho", "beta1", "beta2")  # knobs that a caption states at their defaults too
TWIN = " ′"  # follows the label of the second run of an optimizer

METHODS: Mapping[str, Optimizer | Reference] = {**OPTIMIZERS, **REFERENCES}
STYLES = theme.styles(
    METHODS,
    fixed={
        "GD": ("blue", 0),
        "Momentum": ("vermilion", 0),
        "RMSProp": ("green", 0),
        "Adam": ("purple", 0),
        "Nesterov": ("ochre", 0),
        "AdaGrad": ("cyan", 0),
        "AdaDelta": ("indigo", 0),
        "AdamW": ("crimson", 0),
    },
)


class Method(NamedTuple):
    """A method of the picture: its label there, its entry, its knobs' settings, how it is built and drawn."""

    label: str
    entry: Optimizer | Reference
    settings: Mapping[str, float | bool]
    build: Callable[..., Rule]
    style: theme.Style

    def rule(self, **changes: float | Array) -> Rule:
        """Return the update rule, with some knobs replaced, for example by arrays of shape (...) to sweep them."""
        return self.build(**{**self.settings, **changes})


@lru_cache(maxsize=512)
def own(optimizer: str, knob: str) -> str:
    """Name an optimizer's own knob: ``adam_lr``, ``l_bfgs_lr``."""
    return f"{re.sub('[^a-z0-9]+', '_', optimizer.lower())}_{knob}"


def _surface_knobs() -> dict[str, Knob]:
    found: dict[str, Knob] = {}
    for surface in SURFACES.values():
        for knob in surface.knobs:
            found.setdefault(knob.name, knob)
    return found


SURFACE_KNOBS = _surface_knobs()
_LEFT = min(s.window[0] for s in SURFACES.values())
_RIGHT = max(s.window[1] for s in SURFACES.values())
_BOTTOM = min(s.window[2] for s in SURFACES.values())
_TOP = max(s.window[3] for s in SURFACES.values())


def suggested(optimizer: str, surface: Surface) -> float:
    """Return the learning rate that a method starts with on a surface."""
    return _suggested(optimizer, *_scale(surface))


def _scale(surface: Surface) -> tuple[float, float]:
    """Return what learning rates hang on: a rate at which gradient descent works, and the window's width."""
    return surface.rate, surface.window[1] - surface.window[0]


def _suggested(optimizer: str, rate: float, width: float) -> float:
    entry = METHODS[optimizer]
    if isinstance(entry, Reference):
        return next(float(knob.default) for knob in entry.knobs if knob.name == "lr")  # type: ignore[arg-type]
    return suggested_lr(entry, rate, width)


def _twin_knobs() -> dict[str, Knob]:
    """Return a knob for every name of a setting, wide enough for every method that has it."""
    found: dict[str, Knob] = {}
    for entry in METHODS.values():
        for knob in entry.knobs:
            name = f"twin_{knob.name}"
            before = found.get(name, knob)
            found[name] = knob.named(
                name,
                low=min(before.low, knob.low),
                high=max(before.high, knob.high),
                default=before.default,
                log=before.log,
                step=before.step,
                label=f"Second run: {knob.label[:1].lower()}{knob.label[1:]}",
            )
    return found


def _schedule_knobs() -> dict[str, Knob]:
    found: dict[str, Knob] = {}
    for schedule in SCHEDULES.values():
        for knob in schedule.knobs:
            found.setdefault(f"schedule_{knob.name}", knob.named(f"schedule_{knob.name}"))
    return found


def _knobs() -> dict[str, Knob]:
    surface = SURFACES[BOWL]
    start = surface.starts[0]
    sampled = [s.samples.sample_count for s in SURFACES.values() if s.samples is not None]
    knobs = [
        Knob(
            "surface",
            "choice",
            BOWL,
            label="Surface",
            choices=(*SURFACES, OWN),
            aliases=aliases_of(SURFACES),
        ),
        Knob(
            "formula", "text", FORMULA, label="f(x, y) =", most=200, reader=parse,
            help="Numbers, x, y, pi, e, + − * / ^, parentheses, and functions such as sin, exp, log, sqrt, abs, tanh.",
        ),
        Knob(
            "extent", "float", 3.0, label="Window ±", low=0.5, high=50.0, log=True,
            help="The window of your function, in x and in y.",
        ),
        Knob(
            "optimizers",
            "choices",
            DEFAULT,
            label="Optimizers",
            choices=tuple(METHODS),
            aliases=aliases_of(METHODS),
            most=8,
        ),
        Knob("steps", "int", 60, label="Steps", low=1, high=500, step=1),
        Knob("start_x", "float", start[0], label="Start x", low=min(_LEFT, -50), high=max(_RIGHT, 50), step=0.05),
        Knob("start_y", "float", start[1], label="Start y", low=min(_BOTTOM, -50), high=max(_TOP, 50), step=0.05),
        Knob("edit", "choice", "GD", label="Settings of", choices=tuple(METHODS), aliases=aliases_of(METHODS)),
        Knob("points", "bool", False, label="Stationary points", help="Mark and name them all, not only the minima."),
        Knob("convention", "choice", "PyTorch", label="Formulas of", choices=CONVENTIONS,
             help="Where the frameworks compute a rule differently, whose form is used."),
        Knob("twin", "choice", NONE, label="Run again", choices=(NONE, *METHODS), aliases=aliases_of(METHODS),
             help="The same optimizer a second time, with settings of its own."),
        *_twin_knobs().values(),
        Knob("noise", "float", 0.0, label="Gradient noise", low=0.0, high=20.0, step=0.1, symbol="σ",
             help="Normal noise added to both coordinates of every gradient."),
        Knob("batch_size", "int", max(sampled), label="Mini-batch", low=1, high=max(sampled), step=1, symbol="B",
             help="Samples in the gradient of one step; all of them give the exact gradient."),
        Knob("seed", "int", 0, label="Seed", low=0, high=9999, step=1),
        Knob("clip", "choice", NONE, label="Clip gradients", choices=(NONE, "norm", "value")),
        Knob("clip_at", "float", 1.0, label="Clip at", low=0.001, high=1000.0, log=True,
             help="Largest norm of a gradient, or largest size of each of its coordinates."),
        Knob("schedule", "choice", "constant", label="Schedule", choices=tuple(SCHEDULES),
             help="What every learning rate is multiplied by from step to step."),
        *_schedule_knobs().values(),
        *SURFACE_KNOBS.values(),
    ]  # fmt: skip
    for name, entry in METHODS.items():
        for knob in entry.knobs:
            default = suggested(name, surface) if knob.name == "lr" else knob.default
            label = f"{name}: {knob.label[:1].lower()}{knob.label[1:]}"
            knobs.append(knob.named(own(name, knob.name), default=default, label=label))
    return {knob.name: knob for knob in knobs}


KNOBS: Mapping[str, Knob] = _knobs()


@lru_cache(maxsize=64)
def _rates(rate: float, width: float) -> Mapping[str, Value]:
    """Return the learning rates that all methods start with, by knob; ``suggested`` looks at no more of a surface."""
    return MappingProxyType({own(name, "lr"): _suggested(name, rate, width) for name in METHODS})


def complete(given: Values) -> dict[str, Value]:
    """Fill in what hangs on the surface: its canonical start and a learning rate for every optimizer."""
    surface = surface_of({**{n: KNOBS[n].default for n in ("surface", "formula", "extent")}, **given})
    start = surface.starts[0]
    picked = given.get("optimizers", DEFAULT)
    assert isinstance(picked, tuple)
    rates = _rates(*_scale(surface))
    twin = str(given.get("twin", NONE))
    again: dict[str, Value] = {}
    if twin != NONE:
        again = {f"twin_{k.name}": rates.get(own(twin, k.name), k.default) for k in METHODS[twin].knobs}
    return {
        "start_x": start[0],
        "start_y": start[1],
        "edit": picked[0] if picked else "GD",
        "batch_size": surface.samples.sample_count
        if surface.samples is not None
        else KNOBS["batch_size"].default,
        **rates,
        **again,
    }


def _settings(
    entry: Optimizer | Reference, values: Values, name: Callable[[str], str]
) -> dict[str, float | bool]:
    found: dict[str, float | bool] = {}
    for knob in entry.knobs:
        value = values[name(knob.name)]
        found[knob.name] = value if isinstance(value, bool) else real(values, name(knob.name))
    return found


def settings(name: str, values: Values) -> dict[str, float | bool]:
    """Return an optimizer's knobs as the page sets them."""
    return _settings(METHODS[name], values, lambda knob: own(name, knob))


def methods(values: Values) -> dict[str, Method]:
    """Return the methods of the picture by their labels, in the order in which they were chosen."""
    found = {
        name: Method(
            name, METHODS[name], settings(name, values), _builder(METHODS[name], values), STYLES[name]
        )
        for name in words(values, "optimizers")
    }
    twin = word(values, "twin")
    if twin != NONE:
        entry, label = METHODS[twin], twin + TWIN
        again = _settings(entry, values, lambda knob: f"twin_{knob}")
        found[label] = Method(label, entry, again, _builder(entry, values), theme.Style(theme.INK, 1))
    return found


def _builder(entry: Optimizer | Reference, values: Values) -> Callable[..., Rule]:
    if isinstance(entry, Reference):
        return partial(entry.build, problem_of(values))
    return partial(entry.build, convention=word(values, "convention"))


def surface_of(values: Values) -> Surface:
    """Return the surface of the page: an entry, or the function that was typed."""
    name = word(values, "surface")
    return custom_surface(word(values, "formula"), real(values, "extent")) if name == OWN else SURFACES[name]


def surface_key(values: Values) -> tuple[tuple[str, Value], ...]:
    """Return the values that say which surface it is, as a key of caches that ``surface_of`` takes again."""
    more = (
        ("formula", "extent") if values["surface"] == OWN else tuple(k.name for k in surface_of(values).knobs)
    )
    return tuple((name, values[name]) for name in ("surface", *more))


def surface_settings(values: Values) -> dict[str, float]:
    """Return the surface's knobs as the page sets them: κ and θ of the quadratic bowl."""
    return {knob.name: real(values, knob.name) for knob in surface_of(values).knobs}


def problem_of(values: Values) -> SurfaceProblem:
    """Return the page's surface as a problem, with its exact gradient."""
    return SurfaceProblem(surface_of(values), surface_settings(values))


def start_of(values: Values) -> Array:
    """Return the start, (2,)."""
    return np.array([real(values, "start_x"), real(values, "start_y")])


def noisy(values: Values) -> bool:
    """Return whether the gradient of a step is drawn at random: noise, or fewer samples than there are."""
    surface = surface_of(values)
    if surface.samples is not None:
        return whole(values, "batch_size") < surface.samples.sample_count
    return surface.online is None and real(values, "noise") > 0


def given_problem(values: Values) -> Problem | NoisyProblem | SteppedProblem:
    """Return the problem as the methods meet it: exact, with noise, one mini-batch a step, or online."""
    surface, exact = surface_of(values), problem_of(values)
    if surface.online is not None:
        return OnlineProblem(surface)
    if not noisy(values):
        return exact
    if surface.samples is not None:
        return MiniBatches(surface.samples, whole(values, "batch_size"), whole(values, "seed"))
    return Noisy(exact, real(values, "noise"))


def factors(values: Values) -> Array:
    """Return what the schedule multiplies every learning rate by, (steps,)."""
    schedule, steps = SCHEDULES[word(values, "schedule")], whole(values, "steps")
    knobs = {knob.name: values[f"schedule_{knob.name}"] for knob in schedule.knobs}
    return np.asarray(schedule.factor(np.arange(steps), steps, **knobs))


# What a run hangs on beside its method: what all of them meet.
_SHARED = (
    "start_x", "start_y", "steps", "noise", "batch_size", "seed", "clip", "clip_at", "convention", "schedule",
)  # fmt: skip

RunKey = tuple[str, tuple[tuple[str, float | bool], ...], tuple[tuple[str, Value], ...]]


def run_keys(values: Values) -> dict[str, RunKey]:
    """Return, for every method of the picture, what its run hangs on: label → (name, its settings, what all share).

    A key of caches: to move the rate of one method leaves those of the others as they are.
    """
    schedule = (f"schedule_{knob.name}" for knob in SCHEDULES[word(values, "schedule")].knobs)
    shared = (*surface_key(values), *((name, values[name]) for name in (*_SHARED, *schedule)))
    return {
        label: (method.entry.name, tuple(method.settings.items()), shared)
        for label, method in methods(values).items()
    }


@keep(entries=256)
def run_of(key: RunKey, keep_state: bool = False) -> Descent:
    """Let one method descend from the start.

    Args:
        key: what the run hangs on, of ``run_keys``.
        keep_state: also return the method's states.

    Returns:
        a ``Descent`` with a path (steps+1, 2).
    """
    name, knobs, shared = key
    values = dict(shared)
    entry, chosen = METHODS[name], dict(knobs)
    method = Method(name, entry, chosen, _builder(entry, values), STYLES[name])
    surface, problem, clip = surface_of(values), given_problem(values), word(values, "clip")
    constant = word(values, "schedule") == "constant"
    return descend(
        problem,
        method.rule() if constant else scheduled(method.rule, chosen["lr"], factors(values)),
        start_of(values),
        whole(values, "steps"),
        keep_state=keep_state,
        # A generator of its own for each, from one seed: all methods meet the same noise.
        rng=np.random.default_rng(whole(values, "seed")) if isinstance(problem, Noisy) else None,
        clip_norm=real(values, "clip_at") if clip == "norm" else None,
        clip_value=real(values, "clip_at") if clip == "value" else None,
        project=surface.project if surface.box is not None else None,
    )


def run(values: Values, keep_state: bool = False) -> Mapping[str, Descent]:
    """Let every method of the picture descend from the start; kept, so that the tabs share the page's run.

    Returns:
        label → ``Descent`` with paths (steps+1, 2), with states if ``keep_state``.
    """
    return {label: run_of(key, keep_state) for label, key in run_keys(values).items()}


class Quadratic(NamedTuple):
    """A surface whose Hessian is the same everywhere: its center, eigenvalues (2,) and eigenvectors (2, 2)."""

    center: Array
    eigenvalues: Array
    eigenvectors: Array


def quadratic(values: Values) -> Quadratic | None:
    """Recognize a quadratic: one Hessian all over the window, and gradients that follow from it, as no kink lets them."""
    return _quadratic(surface_key(values))


@keep(entries=64)
def _quadratic(key: tuple[tuple[str, Value], ...]) -> Quadratic | None:
    surface, knobs = surface_of(dict(key)), surface_settings(dict(key))
    window = surface.window
    if not surface.stationary:
        return None
    x, y = np.linspace(*window[:2], 12), np.linspace(*window[2:], 12)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    hessians, slopes = surface.hessian(grid, **knobs), surface.grad(grid, **knobs)
    predicted = (grid - surface.stationary[0].point) @ hessians[0, 0]
    size = np.abs(slopes).max()
    if not np.allclose(hessians, hessians[0, 0], rtol=1e-12, atol=1e-12):
        return None
    if not np.allclose(slopes, predicted, rtol=1e-9, atol=1e-12 * size):
        return None
    eigenvalues, eigenvectors = np.linalg.eigh(hessians[0, 0])
    return Quadratic(np.array(surface.stationary[0].point), eigenvalues, eigenvectors)


def distance(path: Array, surface: Surface) -> Array:
    """Return the distance to the nearest listed minimum, or to the best point of a box; NaN where there is none."""
    minima = np.array(surface.targets)
    if not len(minima):
        return np.full(path.shape[:-1], np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        apart: Array = np.linalg.norm(path[..., None, :] - minima, axis=-1).min(axis=-1)
    return apart


def describe(method: Method) -> str:
    """State a method's learning rate, its memories, and what else is not at PyTorch's default, as the controls name them."""
    parts = []
    for knob in method.entry.knobs:
        value = method.settings[knob.name]
        if knob.name == "lr" or value != knob.default or (knob.name in _MEMORIES and value):
            shown = ("on" if value else "off") if isinstance(value, bool) else number(value, 6)
            parts.append(f"{knob.symbol or knob.label.lower()} {shown}")
    return f"{method.label} " + ", ".join(parts)


def in_symbols(text: str, entry: Optimizer | Reference) -> str:
    """Write a registry's line of text, which names knobs as code does, with the symbols of the controls: lr as η.

    A hyphen before an exponent becomes a minus sign.
    """
    for knob in entry.knobs:
        if knob.symbol:
            text = re.sub(rf"\b{knob.name}\b", knob.symbol, text)
    return re.sub(r"(\de)-(?=\d)", r"\1−", text)


def place(values: Values, start: bool = True) -> str:
    """State the surface with its knobs and, unless left out, the start."""
    surface = surface_of(values)
    parts = [f"{k.symbol or k.name} = {number(real(values, k.name))}{k.unit}" for k in surface.knobs]
    if start:
        x, y = start_of(values)
        parts.append(f"start ({number(x, 6)}, {number(y, 6)})")
    return ", ".join([surface.name, *parts])


def conditions(values: Values) -> list[str]:
    """State what all methods share beside the surface: noise, mini-batches, clipping, schedule; empty if nothing."""
    said = []
    surface, clip, schedule = surface_of(values), word(values, "clip"), SCHEDULES[word(values, "schedule")]
    if noisy(values):
        seed = f"seed {values['seed']}"
        if surface.samples is not None:
            said.append(f"mini-batches of {values['batch_size']} of {surface.samples.sample_count}, {seed}")
        else:
            said.append(f"gradient noise σ {number(real(values, 'noise'))}, {seed}")
    if clip != NONE:
        said.append(f"gradients clipped by {clip} at {number(real(values, 'clip_at'))}")
    if schedule.name != "constant":
        knobs = [f"{k.label.lower()} {number(real(values, f'schedule_{k.name}'))}" for k in schedule.knobs]
        said.append(f"{schedule.name} schedule" + (f" ({', '.join(knobs)})" if knobs else ""))
    return said


def stated(values: Values) -> str:
    """State the conditions and the conventions, as sentences for a caption."""
    said = [f"{text[:1].upper()}{text[1:]}." for text in conditions(values)]
    framework = word(values, "convention")
    lacking = [
        method.label
        for method in methods(values).values()
        if isinstance(method.entry, Reference) or framework not in method.entry.defaults
    ]
    which = f" ({', '.join(lacking)}: those of the source)" if lacking else ""
    return " ".join([*said, f"{framework}'s formulas{which}; knobs not named are at their defaults."])
