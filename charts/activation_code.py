"""The programs of the Activations page: the main figure's numbers in NumPy and in PyTorch, written from the registry."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from charts.topic import Code
from core.activations import ACTIVATIONS, Activation

Array = np.ndarray
Settings = Mapping[str, Mapping[str, float]]

_WIDTH = 88


def programs(names: Sequence[str], settings: Settings, weight: float, grid: Array) -> tuple[Code, ...]:
    """Write the two programs that compute f(wz) and its slope w·f′(wz) on a grid.

    Each runs alone (``python file.py``), leaves the dictionaries ``value`` and ``slope``, by function, of arrays
    like ``grid``, and prints both at a few points.

    Args:
        names: keys of ``ACTIVATIONS``.
        settings: the knobs of each, by function; what is missing keeps its default.
        weight: w.
        grid: (n,) increasing z, all multiples of 1/k for some whole number k.

    Raises:
        KeyError: a name that is not in the registry.
        ValueError: a knob that the function does not have, or a grid of another kind.
    """
    chosen = {ACTIVATIONS[name].name: _given(ACTIVATIONS[name], settings.get(name, {})) for name in names}
    points = _points(np.asarray(grid, np.float64))
    return (
        Code("NumPy", _numpy(chosen, float(weight), points)),
        Code("PyTorch", _torch(chosen, float(weight), points)),
    )


def _given(entry: Activation, settings: Mapping[str, float]) -> dict[str, float]:
    knobs = {knob.name: knob.default for knob in entry.knobs}
    unknown = sorted(set(settings) - set(knobs))
    if unknown:
        raise ValueError(f"{entry.name} has no knob {', '.join(unknown)}")
    return {name: float(value) for name, value in {**knobs, **settings}.items()}  # type: ignore[arg-type]


def _points(grid: Array) -> tuple[int, int, int]:
    """Return whole numbers first, end and k with grid = arange(first, end)/k, to the last bit."""
    refused = ValueError("grid: needs neighboring multiples of 1/k for a whole number k")
    if len(grid) < 2 or not grid[-1] > grid[0]:
        raise refused
    k = round((len(grid) - 1) / (grid[-1] - grid[0]))
    first = round(float(grid[0]) * k)
    end = first + len(grid)
    if k < 1 or not np.array_equal(np.arange(first, end) / k, grid):
        raise refused
    return first, end, k


def _identifier(name: str) -> str:
    """Turn a name of the registry into one of Python: ``hard sigmoid (ONNX)`` → ``hard_sigmoid_onnx``."""
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _terms(expression: str) -> list[str]:
    """Split a sum into its terms, each but the first with its sign."""
    depth, start, terms = 0, 0, []
    for i, c in enumerate(expression):
        depth += (c == "(") - (c == ")")
        if depth == 0 and expression[i : i + 3] in (" + ", " - "):
            terms.append(expression[start:i])
            start = i + 1
    return [*terms, expression[start:]]


def function_text(name: str, knobs: Mapping[str, float], expression: str, comment: str = "") -> str:
    """Write one function: the knobs that its expression uses are keyword arguments with their values."""
    used = [f", {knob}={knobs[knob]!r}" for knob in knobs if knob in words_of(expression)]
    lines = [f"def {name}(z{''.join(used)}):"]
    lines += textwrap.wrap(comment, _WIDTH, initial_indent="    # ", subsequent_indent="    # ")
    body = f"    return {expression}"
    if len(body) > _WIDTH and len(_terms(expression)) > 1:
        body = "\n".join(["    return (", *(f"        {term}" for term in _terms(expression)), "    )"])
    return "\n".join([*lines, body])


def words_of(expression: str) -> set[str]:
    """Return the names that an expression uses."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in expression).split())


_TABLE = """for name in functions:
    print(f"{name}: z, value, slope")
    for x, y, dy in zip(z, value[name], slope[name]):
        if x in (-3, -1, 0, 1, 3):
            print(f"{x:6.2f} {y:14.10f} {dy:14.10f}")
"""


def _menu(functions: Mapping[str, str]) -> str:
    """Write the dictionary that maps each name to what computes it."""
    lines = [f'    "{name}": {function},' for name, function in functions.items()]
    return "\n".join(["functions = {", *lines, "}"]) if lines else "functions = {}"


def _weighted(weight: float, variable: str = "z") -> str:
    return variable if weight == 1 else f"w * {variable}"


def _numpy(chosen: Settings, weight: float, points: tuple[int, int, int]) -> str:
    functions, menu = [], {}
    for name, knobs in chosen.items():
        entry, call = ACTIVATIONS[name], _identifier(name)
        functions += [
            function_text(call, knobs, entry.numpy),
            function_text(f"d_{call}", knobs, entry.numpy_slope),
        ]
        menu[name] = f"({call}, d_{call})"
    first, end, k = points
    inner = _weighted(weight)
    head = ["import numpy as np"]
    if any("erf" in words_of(text) for text in functions):
        head = ["import math", "", *head, "", "erf = np.vectorize(math.erf)"]
    main = [
        _menu(menu),
        *([] if weight == 1 else [f"w = {weight!r}"]),
        f"z = np.arange({first}, {end}) / {k}",
        f"value = {{name: f({inner}) for name, (f, df) in functions.items()}}",
        f"slope = {{name: {_weighted(weight, f'df({inner})')} for name, (f, df) in functions.items()}}",
    ]
    return "\n\n\n".join(["\n".join(head), *functions, "\n".join(main) + "\n\n" + _TABLE])


def _torch(chosen: Settings, weight: float, points: tuple[int, int, int]) -> str:
    functions, menu = [], {}
    for name, knobs in chosen.items():
        entry, call = ACTIVATIONS[name], _identifier(name)
        functions.append(function_text(call, knobs, entry.torch, entry.convention))
        menu[name] = call
    first, end, k = points
    main = [
        _menu(menu),
        *([] if weight == 1 else [f"w = {weight!r}"]),
        f"z = torch.arange({first}, {end}, dtype=torch.float64) / {k}",
        "value, slope = {}, {}",
        "for name, f in functions.items():",
        "    x = z.clone().requires_grad_()",
        f"    y = f({_weighted(weight, 'x')})",
        "    y.sum().backward()" + ("" if weight == 1 else "  # the slope in z: w f′(wz)"),
        "    value[name], slope[name] = y.detach(), x.grad",
    ]
    return "\n\n\n".join(["import torch", *functions, "\n".join(main) + "\n\n" + _TABLE])
