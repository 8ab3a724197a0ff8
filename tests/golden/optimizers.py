"""Golden trajectories: every optimizer that ``torch.optim`` has, float64, gradients by autograd.

Each optimizer is made by evaluating its own ``torch`` line from the registry, so the line that the app
prints is checked along with the numbers. ``optimizers_keras`` and ``optimizers_optax`` do the same for the other two
conventions, on fewer surfaces, and take their settings from here.
"""

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

STEPS = 100
STORED = np.arange(0, STEPS + 1, 5)

STARTS = {
    "Quadratic bowl": (-5.0, -2.0),
    "Rosenbrock": (-1.2, 1.0),
    "Beale": (1.0, 1.0),
    "Himmelblau": (0.0, 0.0),
    "Booth": (-5.0, 4.0),
    "Styblinski–Tang": (0.5, -0.3),
}

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "Quadratic bowl": lambda x, y: 0.5 * (0.08 * x**2 + 4 * y**2),
    "Rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
    "Beale": lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
    "Himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "Booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "Styblinski–Tang": lambda x, y: 0.5 * (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y),
}

# A learning rate for each function, in the order of STARTS, small enough that runs do not turn chaotic.
_CURVATURE = (0.1, 5e-4, 0.01, 0.005, 0.02, 0.005)
_HEAVY = (0.05, 5e-5, 0.002, 0.002, 0.005, 0.001)
_LENGTH = (0.1, 0.02, 0.05, 0.05, 0.1, 0.05)

RATES = {
    "GD": _CURVATURE,
    "Momentum": _HEAVY,
    "Nesterov": _HEAVY,
    "AdaGrad": (0.9, 0.2, 0.3, 0.5, 0.9, 0.3),
    "AdaDelta": (1.0, 0.5, 1.0, 2.0, 2.0, 1.0),
    "RMSProp": (0.1, 0.005, 0.01, 0.02, 0.05, 0.02),
    "Adam": _LENGTH,
    "AdamW": _LENGTH,
    "AMSGrad": _LENGTH,
    "Nadam": _LENGTH,
    "AdaMax": _LENGTH,
    "RAdam": _CURVATURE,
    "Lion": _LENGTH,
    "Rprop": _LENGTH,
    "Sign descent": _LENGTH,
    "AdaBelief": _LENGTH,
    "Adan": _LENGTH,
    "Yogi": _LENGTH,
}

# Beside the defaults, settings that together move every other knob.
SETTINGS: dict[str, tuple[dict[str, float | bool], ...]] = {
    "GD": ({"weight_decay": 0.05},),
    "Momentum": ({"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.02},),
    "Nesterov": ({"momentum": 0.7, "weight_decay": 0.02},),
    "AdaGrad": ({"lr_decay": 0.01, "initial_accumulator": 0.1, "eps": 1e-3, "weight_decay": 0.03},),
    "AdaDelta": ({"rho": 0.95, "eps": 1e-3, "weight_decay": 0.03},),
    "RMSProp": (
        {"rho": 0.9, "momentum": 0.5, "eps": 0.01, "weight_decay": 0.03},
        {"rho": 0.9, "centered": True, "eps": 0.1, "weight_decay": 0.03},
        {"rho": 0.95, "momentum": 0.5, "centered": True, "eps": 0.1},
    ),
    "Adam": ({"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.03},),
    "AdamW": ({"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.2},),
    "AMSGrad": ({"beta1": 0.8, "beta2": 0.9, "eps": 0.1, "weight_decay": 0.03},),
    "Nadam": ({"beta1": 0.8, "beta2": 0.95, "momentum_decay": 0.1, "eps": 0.1, "weight_decay": 0.03},),
    "AdaMax": ({"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.03},),
    "RAdam": (
        {"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.03},
        {"beta2": 0.6},  # ρ_∞ = 4: never adapts
    ),
    "Lion": ({"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.2},),
    "Rprop": (
        {"eta_minus": 0.3, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.3},
        {"step_max": 0.03},  # below some first steps
    ),
    "Sign descent": ({"weight_decay": 0.2},),
    "AdaBelief": ({"beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.03},),
    "Adan": ({"beta1": 0.9, "beta2": 0.8, "beta3": 0.95, "eps": 1e-3, "weight_decay": 0.2},),
    "Yogi": ({"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.03},),
}


def rate_at(lr: float, t: int, fading: bool) -> float:
    """Return the learning rate of step t, from 0: constant, or fading as 1/(1 + t/20)."""
    return lr / (1 + t / 20) if fading else lr


def cases(
    names: Sequence[str], functions: Sequence[str]
) -> Iterator[tuple[str, str, dict[str, float | bool], bool]]:
    """Yield optimizer, function, knobs and whether the rate fades: all settings on all functions, fading on the last."""
    from core.optimizers import OPTIMIZERS

    for name in names:
        defaults = {knob.name: knob.default for knob in OPTIMIZERS[name].knobs}
        for function in functions:
            lr = RATES[name][list(STARTS).index(function)]
            for setting in ({}, *SETTINGS[name]):
                knobs = {**defaults, "lr": lr, **setting}
                yield name, function, knobs, False
                if function == functions[-1]:
                    yield name, function, knobs, True


def collect(
    names: Sequence[str],
    functions: Sequence[str],
    stored: Sequence[int],
    run: Callable[[str, str, dict[str, float | bool], bool], Sequence[np.ndarray]],
) -> dict[str, np.ndarray]:
    """Run all cases; return ``cases`` (n,), JSON, ``start`` (n, 2), ``steps`` (k,) and ``path`` (n, k, 2) there."""
    texts, starts, paths = [], [], []
    for name, function, knobs, fading in cases(names, functions):
        path = np.stack(run(name, function, knobs, fading))
        texts.append(json.dumps({"optimizer": name, "function": function, "knobs": knobs, "fading": fading}))
        starts.append(STARTS[function])
        paths.append(path[stored])
    return {
        "cases": np.array(texts),
        "start": np.array(starts),
        "steps": np.array(stored),
        "path": np.stack(paths),
    }


def own_defaults(line: str, framework: object) -> dict[str, float | bool]:
    """Return what a framework sets the knobs of a line to by itself; knobs without a default are left out.

    Args:
        line: a call with keyword arguments only whose values are knobs' names, tuples of them, or constants.
        framework: the module that the line begins with.
    """
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    target: Any = framework
    for part in ast.unparse(call.func).split(".")[1:]:
        target = getattr(target, part)
    parameters = inspect.signature(target).parameters
    found: dict[str, float | bool] = {}
    for keyword in call.keywords:
        default = parameters[str(keyword.arg)].default
        names, values = [keyword.value], [default]
        if isinstance(keyword.value, ast.Tuple):
            names, values = keyword.value.elts, default
        for name, value in zip(names, values, strict=True):
            if not isinstance(name, ast.Name) or value is inspect.Parameter.empty:
                continue
            if value is not None or name.id != "lr":
                found[name.id] = value or 0.0  # None switches weight decay and momentum off
    return found


def defaults_of(lines: Mapping[str, str], framework: object) -> np.ndarray:
    """Return JSON of optimizer → knob → the framework's default."""
    return np.array(json.dumps({name: own_defaults(line, framework) for name, line in lines.items()}))


def golden() -> dict[str, np.ndarray]:
    """Return what ``collect`` does, for PyTorch, and its ``defaults``."""
    import torch

    from core.optimizers import OPTIMIZERS

    lines = {name: entry.torch for name, entry in OPTIMIZERS.items() if entry.torch}

    def run(name: str, function: str, knobs: dict[str, float | bool], fading: bool) -> list[np.ndarray]:
        w = torch.tensor(STARTS[function], requires_grad=True)
        optimizer = eval(lines[name], {"torch": torch, "params": [w], **knobs})
        path = [w.detach().numpy().copy()]
        for t in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate_at(knobs["lr"], t, fading)
            optimizer.zero_grad()
            FUNCTIONS[function](w[0], w[1]).backward()
            optimizer.step()
            path.append(w.detach().numpy().copy())
        return path

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
    found = collect(tuple(lines), tuple(STARTS), STORED, run)
    torch.set_default_dtype(before)
    arguments = {name: line.replace("(params, ", "(") for name, line in lines.items()}
    return {**found, "defaults": defaults_of(arguments, torch)}
