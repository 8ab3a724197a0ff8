"""What the PyTorch programs of the Initialization page hold, run as they stand.

Of each program a hash of its text is stored, so that a test notices when the page would show another one, and its
numbers at the sizes below.
"""

import contextlib
import hashlib
import io
from typing import Any, NamedTuple

import numpy as np

from charts.initialization_code import programs
from core.initializers import DATA_DEPENDENT, INITIALIZERS, Initializer


class Case(NamedTuple):
    """The arguments of one program."""

    schemes: tuple[Initializer, ...]
    activation: str
    knobs: dict[str, float]
    sizes: dict[str, Any]


_SMALL = {"depth": 6, "width": 9, "batch": 2, "networks": 2, "seed": 3}
_SQUARES = tuple(INITIALIZERS[name] for name in ("LeCun normal", "He uniform", "orthogonal"))

_ALL = (*INITIALIZERS.values(), *DATA_DEPENDENT.values())

CASES = {
    "all": Case(_ALL, "ReLU", {}, _SMALL),
    "tapered": Case(_ALL, "ReLU", {}, {**_SMALL, "width": [20, 15, 11, 8, 12, 9, 10], "input_scale": 0.5}),
    "gain": Case(
        (INITIALIZERS["custom"].at(gain=1.3),), "tanh", {}, {**_SMALL, "width": 16, "sigma_b": 0.25}
    ),
    "deep": Case(_SQUARES, "SELU", {}, {"depth": 50, "width": 16, "batch": 4, "networks": 1, "seed": 0}),
    "knob": Case(_SQUARES, "leaky ReLU", {"slope": 0.3}, {**_SMALL, "depth": 1}),
    "erf": Case(_SQUARES, "GELU", {}, {**_SMALL, "batch": 1, "networks": 1, "sigma_b": 0.1}),
    "detached": Case(_SQUARES, "step", {}, {**_SMALL, "sigma_b": 0.1}),
}


def text(case: str, title: str = "PyTorch") -> str:
    """Return a program of a case."""
    schemes, activation, knobs, sizes = CASES[case]
    written = programs(schemes, activation, knobs, **sizes)
    return next(p.text for p in written if p.title == title)


def digest(program: str) -> str:
    return hashlib.sha256(program.encode()).hexdigest()


def golden() -> dict[str, np.ndarray]:
    """Return for each case its ``digest``, and ``signal`` and ``gradient`` (schemes, networks, depth + 1)."""
    found: dict[str, np.ndarray] = {}
    for case in CASES:
        program = text(case)
        scope: dict = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(program, case, "exec"), scope)
        found[f"{case}; digest"] = np.array(digest(program))
        for part in ("signal", "gradient"):
            found[f"{case}; {part}"] = np.stack(list(scope[part].values()))
    return found
