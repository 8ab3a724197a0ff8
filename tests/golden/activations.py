"""PyTorch's values and derivatives of every activation, from the PyTorch expression that its entry shows."""

from collections.abc import Mapping

import numpy as np

from core.activations import ACTIVATIONS

OTHER_KNOBS: dict[str, tuple[dict[str, float], ...]] = {
    "leaky ReLU": ({"slope": 0.0}, {"slope": 0.3}),
    "PReLU": ({"slope": -0.5}, {"slope": 0.01}),
    "RReLU": ({"lower": 0.05, "upper": 0.8},),
    "ELU": ({"alpha": 0.0}, {"alpha": 2.5}),
    "CELU": ({"alpha": 0.5}, {"alpha": 2.5}),  # exact in float32, to which PyTorch rounds alpha in df
    "softplus": ({"beta": 0.5}, {"beta": 10.0}),
    "Swish": ({"beta": 0.0}, {"beta": 0.3}, {"beta": 10.0}),
}
NOT_DIFFERENTIABLE = ("step",)  # torch.heaviside has no derivative


def cases() -> list[tuple[str, dict[str, float]]]:
    """Every activation with its default knobs, then with others."""
    return [(name, knobs) for name in ACTIVATIONS for knobs in ({}, *OTHER_KNOBS.get(name, ()))]


def key(name: str, knobs: Mapping[str, float], part: str) -> str:
    return "; ".join([name, *(f"{k}={v}" for k, v in knobs.items()), part])


def grid() -> np.ndarray:
    """Both signs of: kinks and their neighbours, 20.5, 1000, tiny and medium values; about 400 points."""
    kinks = [1.0, 2.5, 3.0, 6.0]
    special = [
        0.0,
        1e-300,
        1e-12,
        1e-6,
        1e-3,
        *kinks,
        19.9,
        20.0,
        20.1,
        20.5,
        37.0,
        40.0,
        100.0,
        700.0,
        1000.0,
    ]
    beside = [k * (1 + side * 1e-9) for k in kinks for side in (-1, 1)]
    regular = np.round(
        np.concatenate([np.arange(0.05, 6, 0.05), np.arange(6.2, 12, 0.2), np.arange(13, 36, 1.5)]), 6
    )
    positive = np.concatenate([special, beside, regular])
    return np.concatenate([-positive[::-1], positive])


def golden() -> dict[str, np.ndarray]:
    """Return ``x`` and, for each case, ``f`` and ``df`` (autograd), all float64 and of one length."""
    import torch

    x = grid()
    values = {"x": x}
    for name, knobs in cases():
        entry = ACTIVATIONS[name]
        z = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        names = {knob.name: knob.default for knob in entry.knobs} | knobs
        y = eval(entry.torch, {"torch": torch, "z": z, **names})
        values[key(name, knobs, "f")] = y.detach().numpy()
        if name not in NOT_DIFFERENTIABLE:
            y.sum().backward()
            values[key(name, knobs, "df")] = z.grad.numpy()
    return values
