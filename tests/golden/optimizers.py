"""Golden trajectories: every optimizer through ``torch.optim``, float64, gradients by autograd.

Each optimizer is made by evaluating its own ``torch`` line from the registry, so the line that the app
prints is checked along with the numbers.
"""

import json

import numpy as np

STEPS = 100

STARTS = {
    "Quadratic bowl": (-5.0, -2.0),
    "Rosenbrock": (-1.2, 1.0),
    "Beale": (1.0, 1.0),
    "Himmelblau": (0.0, 0.0),
}

# A learning rate for each function, in the order of STARTS, small enough that runs do not turn chaotic.
_CURVATURE = (0.1, 5e-4, 0.01, 0.005)
_HEAVY = (0.05, 5e-5, 0.002, 0.002)
_LENGTH = (0.1, 0.02, 0.05, 0.05)

RATES = {
    "GD": _CURVATURE,
    "Momentum": _HEAVY,
    "Nesterov": _HEAVY,
    "AdaGrad": (0.9, 0.2, 0.3, 0.5),
    "AdaDelta": (1.0, 0.5, 1.0, 2.0),
    "RMSProp": (0.1, 0.005, 0.01, 0.02),
    "Adam": _LENGTH,
    "AdamW": _LENGTH,
    "AMSGrad": _LENGTH,
    "Nadam": _LENGTH,
}

# Beside the defaults, one setting that moves every other knob.
SETTINGS = {
    "GD": {"weight_decay": 0.05},
    "Momentum": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.02},
    "Nesterov": {"momentum": 0.7, "weight_decay": 0.02},
    "AdaGrad": {"lr_decay": 0.01, "initial_accumulator": 0.1, "eps": 1e-3, "weight_decay": 0.03},
    "AdaDelta": {"rho": 0.95, "eps": 1e-3, "weight_decay": 0.03},
    "RMSProp": {"rho": 0.9, "momentum": 0.5, "eps": 0.01, "weight_decay": 0.03},
    "Adam": {"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.03},
    "AdamW": {"beta1": 0.8, "beta2": 0.95, "eps": 0.1, "weight_decay": 0.2},
    "AMSGrad": {"beta1": 0.8, "beta2": 0.9, "eps": 0.1, "weight_decay": 0.03},
    "Nadam": {"beta1": 0.8, "beta2": 0.95, "momentum_decay": 0.1, "eps": 0.1, "weight_decay": 0.03},
}


def golden() -> dict[str, np.ndarray]:
    """Return ``cases`` (n,), JSON of optimizer, function and knobs; ``start`` (n, 2); ``path`` (n, 101, 2)."""
    import torch

    from core.optimizers import OPTIMIZERS

    def quadratic(x, y):
        return 0.5 * (0.08 * x**2 + 4 * y**2)

    def rosenbrock(x, y):
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def beale(x, y):
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    def himmelblau(x, y):
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    functions = dict(zip(STARTS, (quadratic, rosenbrock, beale, himmelblau), strict=True))

    def run(line: str, knobs: dict[str, float], function: str) -> np.ndarray:
        w = torch.tensor(STARTS[function], requires_grad=True)
        optimizer = eval(line, {"torch": torch, "params": [w], **knobs})
        path = [w.detach().numpy().copy()]
        for _ in range(STEPS):
            optimizer.zero_grad()
            functions[function](w[0], w[1]).backward()
            optimizer.step()
            path.append(w.detach().numpy().copy())
        return np.stack(path)

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
    cases, starts, paths = [], [], []
    for name, entry in OPTIMIZERS.items():
        defaults = {knob.name: knob.default for knob in entry.knobs}
        for function, lr in zip(STARTS, RATES[name], strict=True):
            for setting in ({}, SETTINGS[name]):
                knobs = {**defaults, "lr": lr, **setting}
                cases.append(json.dumps({"optimizer": name, "function": function, "knobs": knobs}))
                starts.append(STARTS[function])
                paths.append(run(entry.torch, knobs, function))
    torch.set_default_dtype(before)
    return {"cases": np.array(cases), "start": np.array(starts), "path": np.stack(paths)}


if __name__ == "__main__":
    from pathlib import Path

    np.savez_compressed(Path(__file__).with_suffix(".npz"), **golden())
