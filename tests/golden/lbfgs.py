"""Golden trajectories of L-BFGS: ``torch.optim.LBFGS`` by the registry's own line, float64, gradients by autograd."""

import json

import numpy as np

STEPS = 30

# Function: start, and settings under which the run is not chaotic.
CASES = {
    "Quadratic bowl": ((-5.0, -2.0), [{}, {"memory": 1}, {"lr": 0.5, "memory": 2}]),
    "Rosenbrock": ((-1.2, 1.0), [{}, {"memory": 3}, {"lr": 0.5, "memory": 1}]),
    "Beale": ((1.0, 1.0), [{}, {"lr": 0.3, "memory": 2}]),
    "Himmelblau": ((0.0, 0.0), [{}, {"lr": 0.4, "memory": 1}]),
    "Booth": ((-6.0, -2.0), [{}, {"lr": 0.7, "memory": 1}]),
    "Saddle": ((1.0, 1e-6), [{}]),  # pairs with negative curvature are refused
}


def golden() -> dict[str, np.ndarray]:
    """Return ``cases`` (n,), JSON of function, start and knobs; ``path`` (n, 31, 2)."""
    import torch

    from core.second_order import REFERENCES

    functions = {
        "Quadratic bowl": lambda x, y: 0.5 * (0.08 * x**2 + 4 * y**2),
        "Rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        "Beale": lambda x, y: (
            (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        ),
        "Himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
        "Booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
        "Saddle": lambda x, y: x**2 - y**2,
    }

    def run(line: str, function: str, start: tuple[float, float], knobs: dict[str, float]) -> np.ndarray:
        w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimizer = eval(line, {"torch": torch, "params": [w], **knobs})
        path = [w.detach().numpy().copy()]

        def closure():
            optimizer.zero_grad()
            loss = functions[function](w[0], w[1])
            loss.backward()
            return loss

        for _ in range(STEPS):
            optimizer.step(closure)
            path.append(w.detach().numpy().copy())
        return np.stack(path)

    entry = REFERENCES["L-BFGS"]
    defaults = {knob.name: knob.default for knob in entry.knobs}
    cases, paths = [], []
    for function, (start, settings) in CASES.items():
        for setting in settings:
            knobs = {**defaults, **setting}
            cases.append(json.dumps({"function": function, "start": start, "knobs": knobs}))
            paths.append(run(entry.torch, function, start, knobs))
    return {"cases": np.array(cases), "path": np.stack(paths)}


if __name__ == "__main__":
    from pathlib import Path

    np.savez_compressed(Path(__file__).with_suffix(".npz"), **golden())
