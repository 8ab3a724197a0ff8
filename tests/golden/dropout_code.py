"""What the PyTorch program of the Dropout page holds, run as it stands.

Of each program a hash of its text is stored, so that a test notices when the page would show another one, and its
numbers: by mode the mean and variance in training, then those in evaluation.
"""

import contextlib
import hashlib
import io
from typing import Any

import numpy as np

from charts.dropout_code import programs
from core.knobs import Value

BASE: dict[str, Value] = {
    "p": 0.5, "convention": "PyTorch", "inputs": 50, "contributions": "positive, random", "masks": 2000, "seed": 0,
}  # fmt: skip

CASES: dict[str, dict[str, Value]] = {
    "default": {},
    "nothing dropped": {"p": 0.0, "convention": "Keras", "masks": 60},
    "everything dropped": {"p": 1.0, "convention": "TensorFlow 1", "masks": 60},
    "equal": {"p": 0.1, "inputs": 6, "contributions": "equal", "masks": 300, "convention": "Study notes"},
    "signs": {"p": 0.9, "contributions": "positive and negative", "seed": 7, "convention": "Paper of 2014"},
    "one": {"p": 0.35, "inputs": 1, "contributions": "positive and negative", "masks": 10, "seed": 3},
}  # fmt: skip


def text(case: str) -> str:
    """Return the program of a case."""
    return programs({**BASE, **CASES[case]})[1].text


def digest(program: str) -> str:
    return hashlib.sha256(program.encode()).hexdigest()


def golden() -> dict[str, np.ndarray]:
    """Return for each case its ``digest``, and for each mode the four ``moments``."""
    found: dict[str, np.ndarray] = {}
    for case in CASES:
        program = text(case)
        scope: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(program, case, "exec"), scope)
        found[f"{case}; digest"] = np.array(digest(program))
        for mode, moments in scope["moments"].items():
            found[f"{case}; {mode}"] = np.array(moments)
    return found
