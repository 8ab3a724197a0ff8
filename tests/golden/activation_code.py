"""What the PyTorch programs of the Activations page print and hold, run as they stand.

Of each program a hash of its text is stored, so that a test notices when the page would show another one, and of
its numbers every fourth point of the grid: 0.2 apart, from −6 to 6.
"""

import contextlib
import hashlib
import io

import numpy as np

from charts.activation_code import programs
from core.activations import ACTIVATIONS

GRID = np.arange(-120, 121) / 20
STRIDE = 4

_ADJUSTABLE = tuple(name for name, entry in ACTIVATIONS.items() if entry.knobs)
_LOW = {name: {knob.name: knob.low for knob in ACTIVATIONS[name].knobs} for name in _ADJUSTABLE}
_HIGH = {name: {knob.name: knob.high for knob in ACTIVATIONS[name].knobs} for name in _ADJUSTABLE}
_KINKED = tuple(name for name, entry in ACTIVATIONS.items() if entry.kinks)

# Names, settings and weight of each program.
CASES: dict[str, tuple[tuple[str, ...], dict[str, dict[str, float]], float]] = {
    "all": (tuple(ACTIVATIONS), {}, 1.0),
    "kinks": (_KINKED, {}, 2.5),
    "low": (_ADJUSTABLE, _LOW, 0.1),
    "high": (_ADJUSTABLE, _HIGH, 10.0),
    "typo": (("GELU", "GELU (tanh)"), {"GELU (tanh)": {"cubic": 0.044175}}, 1.0),
    "steep": (("GELU (tanh)", "softplus"), {}, 10.0),
}


def text(case: str) -> str:
    """Return the PyTorch program of a case."""
    names, settings, weight = CASES[case]
    return next(p.text for p in programs(names, settings, weight, GRID) if p.title == "PyTorch")


def digest(program: str) -> str:
    return hashlib.sha256(program.encode()).hexdigest()


def golden() -> dict[str, np.ndarray]:
    """Return for each case its ``digest`` and its ``value`` and ``slope`` (functions, points).

    Beside them stands ``approximate=tanh``: PyTorch's own tanh form of GELU, value and slope (2, points).
    """
    import torch

    found: dict[str, np.ndarray] = {}
    for case, (names, _, _) in CASES.items():
        program = text(case)
        scope: dict[str, object] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(program, case, "exec"), scope)
        found[f"{case}; digest"] = np.array(digest(program))
        for part in ("value", "slope"):
            results = scope[part]
            found[f"{case}; {part}"] = np.stack([results[name].numpy()[::STRIDE] for name in names])
    z = torch.tensor(GRID[::STRIDE], requires_grad=True)
    y = torch.nn.functional.gelu(z, approximate="tanh")
    y.sum().backward()
    found["approximate=tanh"] = np.stack([y.detach().numpy(), z.grad.numpy()])
    return found
