"""PyTorch's values and vector–Jacobian products of the vector activations, from the expression each entry shows."""

from collections.abc import Mapping

import numpy as np

from core.vector_activations import MAXOUT_B, MAXOUT_W, VECTOR_ACTIVATIONS, parabola_pieces

DEFAULTS: dict[str, dict[str, object]] = {"maxout": {"w": MAXOUT_W, "b": MAXOUT_B}}

OTHER_KNOBS: dict[str, tuple[dict[str, object], ...]] = {
    "maxout": (
        {"w": (0.0, 1.0), "b": (0.0, 0.0)},
        {"w": (1.0, 1.0, -2.0), "b": (0.0, 0.0, 0.0)},
        {"w": tuple(parabola_pieces(8)[0]), "b": tuple(parabola_pieces(8)[1])},
    ),
    "SwiGLU": ({"beta": 0.0}, {"beta": 1.702}, {"beta": 10.0}),
    "softmax": ({"temperature": 0.05}, {"temperature": 3.7}),
}


def cases() -> list[tuple[str, dict[str, object]]]:
    """Every entry with its defaults, then with others."""
    return [(name, knobs) for name in VECTOR_ACTIVATIONS for knobs in ({}, *OTHER_KNOBS.get(name, ()))]


def key(name: str, number: int, part: str) -> str:
    return f"{name}; case {number}; {part}"


def inputs() -> np.ndarray:
    """(40, 6): draws of three sizes, and rows with ties, ±20.5, ±1000, large gaps and −0."""
    rng = np.random.default_rng(20)
    draws = [size * rng.standard_normal((11, 6)) for size in (0.3, 2.0, 30.0)]
    rows = [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1000.0, -1000.0, 0.0, 1000.0, 3.0, -3.0],
        [-1000.0, -1000.0, -1000.0, 1000.0, 1000.0, 1000.0],
        [20.5, -20.5, 20.0, -20.0, 37.0, -37.0],
        [2.0, 2.0, 1.0, 2.0, 1.0, 0.0],
        [0.625, -0.8333333333333333, 0.5, -0.5, 1.0, -1.0],
        [-0.0, 1e-300, -1e-12, 50.0, 700.0, -700.0],
    ]
    return np.concatenate([*draws, np.array(rows)])


def layer() -> dict[str, np.ndarray]:
    """One maxout layer: x (9, 5), w (5, 4, 3), b (4, 3), upstream (9, 4)."""
    rng = np.random.default_rng(21)
    shapes = {"x": (9, 5), "w": (5, 4, 3), "b": (4, 3), "upstream": (9, 4)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def values(knobs: Mapping[str, object], name: str) -> dict[str, object]:
    entry = VECTOR_ACTIVATIONS[name]
    return {knob.name: knob.default for knob in entry.knobs} | DEFAULTS.get(name, {}) | dict(knobs)


def golden() -> dict[str, np.ndarray]:
    """Return ``x``, and for each case ``f``, an ``upstream`` and autograd's ``vjp``; and the maxout layer."""
    import torch

    x = inputs()
    rng = np.random.default_rng(22)
    found = {"x": x}
    for number, (name, knobs) in enumerate(cases()):
        z = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        arguments = {
            k: torch.tensor(v, dtype=torch.float64) if isinstance(v, tuple) else v
            for k, v in values(knobs, name).items()
        }
        y = eval(VECTOR_ACTIVATIONS[name].torch, {"torch": torch, "x": z, **arguments})
        upstream = rng.standard_normal(tuple(y.shape))
        y.backward(torch.tensor(upstream))
        found[key(name, number, "f")] = y.detach().numpy()
        found[key(name, number, "upstream")] = upstream
        found[key(name, number, "vjp")] = z.grad.numpy()
    found["log_softmax"] = torch.log_softmax(torch.tensor(x), dim=-1).numpy()
    p = torch.tensor(x)
    found["softmax jacobian"] = torch.vmap(torch.func.jacrev(lambda row: torch.softmax(row, -1)))(p).numpy()
    parts = {name: torch.tensor(value) for name, value in layer().items()}
    z = parts["x"].requires_grad_()
    y = (torch.einsum("ni,imk->nmk", z, parts["w"]) + parts["b"]).max(dim=-1).values
    y.backward(parts["upstream"])
    found |= {"layer; f": y.detach().numpy(), "layer; vjp": z.grad.numpy()}
    return found
