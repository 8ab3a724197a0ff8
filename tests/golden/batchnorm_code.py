"""What the PyTorch and Keras programs of the BatchNorm page hold, run as they stand.

Of each program a hash of its text is stored, so that a test notices when the page would show another one, and its
numbers. Keras 3.15.1 was used, on PyTorch (``KERAS_BACKEND=torch``); where it is not installed, its numbers of the
last time are kept, with the hash of the text that gave them.
"""

import contextlib
import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np

from charts.batchnorm_code import programs
from core.knobs import Value

FRAMEWORKS = ("PyTorch", "Keras")
PARTS = ("running_mean", "running_var", "train_output", "eval_output")

BASE: dict[str, Value] = {
    "batch_size": 8, "weight": 0.1, "cumulative": False, "steps": 23, "convention": "PyTorch", "probe": 8.0,
    "in_batch": True, "mu": 5.0, "sigma": 3.0, "source": "normal", "block": 4, "running_mean": 0.0, "running_var": 1.0,
    "drift": "none", "shift": 3.0, "factor": 2.0, "amplitude": 3.0, "period": 9, "shift_step": 12, "outlier": 50.0,
    "outlier_step": 7, "gamma": 1.0, "beta": 0.0, "eps": 1e-5, "seed": 0,
}  # fmt: skip

CASES: dict[str, dict[str, Value]] = {
    "default": {},
    "shift": {"drift": "shift", "convention": "Keras", "weight": 0.01, "eps": 1e-3, "gamma": -2.0, "beta": 0.5},
    "outside": {"convention": "ONNX", "in_batch": False, "drift": "scale", "source": "heavy tails"},
    "average": {"cumulative": True, "source": "two classes, shuffled", "drift": "cycle"},
    "paper": {"convention": "paper", "source": "two classes, sorted", "drift": "outlier", "running_mean": -1.0},
    "tiny": {"batch_size": 2, "in_batch": False, "mu": -1.0, "sigma": 0.1, "probe": -0.9, "eps": 1e-3, "seed": 5},
    "one": {"batch_size": 1},
    "one, biased": {"batch_size": 1, "convention": "Keras", "in_batch": False, "eps": 1e-2},
}  # fmt: skip


def text(case: str, title: str) -> str:
    """Return a program of a case."""
    return next(p.text for p in programs({**BASE, **CASES[case]}) if p.title == title)


def digest(program: str) -> str:
    return hashlib.sha256(program.encode()).hexdigest()


def golden() -> dict[str, np.ndarray]:
    """Return for each case and framework its ``digest``, and the lists of numbers or the ``refusal`` it ends with."""
    found: dict[str, np.ndarray] = {}
    stored = Path(__file__).with_suffix(".npz")
    if importlib.util.find_spec("keras") is None and stored.exists():
        with np.load(stored) as old:
            found |= {name: old[name] for name in old.files if name.startswith("Keras; ")}
    for title in FRAMEWORKS:
        if importlib.util.find_spec({"PyTorch": "torch", "Keras": "keras"}[title]) is None:
            continue
        for case in CASES:
            program = text(case, title)
            scope: dict[str, Any] = {}
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(program, case, "exec"), scope)
            found[f"{title}; {case}; digest"] = np.array(digest(program))
            for part in ("refusal",) if "refusal" in scope else PARTS:
                found[f"{title}; {case}; {part}"] = np.array(scope[part])
    return found
