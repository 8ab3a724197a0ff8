"""What the PyTorch programs of the Optimizers page hold, run as they stand.

Of each program a hash of its text is stored, so that a test notices when the page would show another one, and its
paths.
"""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from charts.optimizers_base import KNOBS, METHODS, OWN, complete, own
from charts.optimizers_code import programs
from core.knobs import Value
from core.optimizers import CONVENTIONS
from core.schedules import SCHEDULES
from core.surfaces import SURFACES

# Values that together move every knob of every method away from its default, by the knob's name.
MOVED: dict[str, float | bool] = {
    "momentum": 0.6, "dampening": 0.3, "weight_decay": 0.03, "lr_decay": 0.01, "initial_accumulator": 0.1, "rho": 0.8,
    "eps": 0.1, "centered": True, "beta1": 0.8, "beta2": 0.95, "beta3": 0.9, "bias_correction": False,
    "momentum_decay": 0.1, "eta_minus": 0.3, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.3, "nu": 0.4, "nu1": 0.4,
    "nu2": 0.5, "shift": 300.0, "saddle_free": True, "memory": 2.0, "line_search": True,
}  # fmt: skip

FORMULAS = (
    "x^4 + y^4 - 4xy",
    "log(x) + y^2",
    "max(x^2, y, 1) + 2^x + abs(y) + hypot(x, 3)",
    "x^y + tanh(x)*sigmoid(y) + softplus(x) + relu(-x)",
    "sqrt(x)/(1 + y^2) + acos(y/9)",
    "3 + 1/2",
)


def filled(given: Mapping[str, Value]) -> dict[str, Value]:
    """Return all values of the page."""
    return {**{name: knob.default for name, knob in KNOBS.items()}, **complete(given), **given}


def _cases() -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {"default": {}, "nothing": {"optimizers": ()}}
    names = tuple(METHODS)
    for convention in CONVENTIONS:
        for first in range(0, len(names), 8):
            chosen = names[first : first + 8]
            moved = {
                own(name, knob.name): MOVED[knob.name]
                for name in chosen
                for knob in METHODS[name].knobs
                if knob.name != "lr"
            }
            case = {"surface": "Himmelblau", "start_x": -1.0, "start_y": -1.0, "convention": convention}
            found[f"{convention}, {chosen[0]}"] = {**case, "steps": 15, "optimizers": chosen}
            found[f"{convention}, {chosen[0]}, moved"] = {**case, "steps": 15, "optimizers": chosen, **moved}
    for name in SURFACES:
        found[name] = {"surface": name, "optimizers": ("GD", "Lion", "Newton"), "steps": 12}
    for name in SCHEDULES:
        chosen = ("GD", "Momentum", "Rprop", "Lion", "L-BFGS")
        found[f"schedule {name}"] = {"schedule": name, "optimizers": chosen, "steps": 25, "schedule_every": 7}
    shared: dict[str, Value] = {
        "noise": 0.7,
        "seed": 3,
        "steps": 25,
        "optimizers": ("Momentum", "Yogi", "L-BFGS"),
    }
    for name, batch in (("Two wells", 64), ("Linear regression", 5), ("Logistic regression", 64)):
        clip = {"clip": "norm" if batch == 5 else "value", "clip_at": 0.5}
        found[f"{name}, drawn"] = {"surface": name, "batch_size": batch, **shared, **clip}
    for formula in FORMULAS:
        # PyTorch's Rprop and its sign of NaN are left out: they stand still where f has no value.
        found[formula] = {
            "surface": OWN,
            "formula": formula,
            "optimizers": ("GD", "Adam", "Yogi"),
            "steps": 25,
        }
    turned: dict[str, Value] = {"kappa": 20.0, "theta": 30.0, "twin": "Adam", "twin_lr": 0.1, "steps": 25}
    found["twin"] = turned
    found["another twin"] = {**turned, "twin_bias_correction": False, "convention": "Keras"}
    peak = {"schedule": "one-cycle", "schedule_rise": 0.05, "steps": 20}
    found["a peak at once"] = {**peak, "optimizers": ("Nesterov", "Adam"), "nesterov_momentum": 0.0}
    still = {
        "surface": "Saddle",
        "start_x": 1.0,
        "start_y": 0.0,
        "steps": 20,
        "adam_eps": 0.0,
        "adadelta_eps": 0.0,
    }
    found["no eps"] = {**still, "optimizers": ("Adam", "AdaDelta")}
    found["overflow"] = {
        "surface": "Himmelblau", "optimizers": ("GD", "Momentum", "Adam"), "gd_lr": 0.1, "momentum_lr": 0.1, "steps": 40,
    }  # fmt: skip
    return found


CASES = _cases()


@cache
def _programs(case: str) -> dict[str, str]:
    return {program.title: program.text for program in programs(filled(CASES[case]))}


def text(case: str, title: str = "PyTorch") -> str:
    """Return a program of a case."""
    return _programs(case)[title]


def digest(program: str) -> str:
    return hashlib.sha256(program.encode()).hexdigest()


def execute(program: str) -> dict[str, Any]:
    """Run a program and return its names; PyTorch's default type stays as it was."""
    with contextlib.ExitStack() as after, contextlib.redirect_stdout(io.StringIO()):
        if "import torch" in program:
            import torch

            after.callback(torch.set_default_dtype, torch.get_default_dtype())
            after.enter_context(warnings.catch_warnings())
            warnings.simplefilter(
                "ignore", UserWarning
            )  # SequentialLR steps its parts as PyTorch itself warns of
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(program, "program", "exec"), scope)
    return scope


def points(scope: dict[str, Any]) -> np.ndarray:
    """Return the paths that a program left, (methods, steps+1, 2)."""
    paths = [np.stack([np.asarray(w) for w in path]) for path in scope["paths"].values()]
    return np.stack(paths) if paths else np.empty((0, 0, 2))


def golden() -> dict[str, np.ndarray]:
    """Return for each case its ``digest`` and its ``paths`` (methods, steps+1, 2)."""
    found: dict[str, np.ndarray] = {}
    for case in CASES:
        program = text(case)
        found[f"{case}; digest"] = np.array(digest(program))
        found[f"{case}; paths"] = points(execute(program))
    return found
