"""A small network in PyTorch: outputs, losses and gradients by autograd, and 20 steps of its own optimizers."""

from collections.abc import Callable

import numpy as np

SIZES = {"cross-entropy": (2, 5, 4, 1), "squared error": (3, 6, 2)}
POINTS = 9
STEPS = 20
LEAKY_SLOPE = 0.2
ACTIVATIONS = ("ReLU", "leaky ReLU", "ELU", "tanh", "GELU", "SiLU")
TRAINED = ("ReLU", "tanh")
# Knobs by the names of core/optimizers.py; PyTorch's names are its affair below.
OPTIMIZERS: dict[str, dict[str, float]] = {
    "GD": {"lr": 0.3},
    "Momentum": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.05},
    "AdamW": {"lr": 0.05, "weight_decay": 0.1},
}


def golden() -> dict[str, np.ndarray]:
    """Per loss: x, target, W1, b1, …; per activation output, loss, dW1, db1, …; per run path, losses.

    A path holds W1 row by row, b1, W2, … in each row, from the start to the last step.
    """
    import torch

    phi: dict[str, Callable[..., torch.Tensor]] = {
        "ReLU": torch.relu,
        "leaky ReLU": lambda z: torch.nn.functional.leaky_relu(z, LEAKY_SLOPE),
        "ELU": torch.nn.functional.elu,
        "tanh": torch.tanh,
        "GELU": torch.nn.functional.gelu,
        "SiLU": torch.nn.functional.silu,
    }
    losses = {
        "cross-entropy": torch.nn.functional.binary_cross_entropy_with_logits,
        "squared error": torch.nn.functional.mse_loss,
    }
    optimizers = {
        "GD": torch.optim.SGD,
        "Momentum": torch.optim.SGD,
        "Adam": torch.optim.Adam,
        "AdamW": torch.optim.AdamW,
    }
    rng = np.random.default_rng(1986)
    out: dict[str, np.ndarray] = {}
    for loss_name, sizes in SIZES.items():
        x = rng.normal(size=(POINTS, sizes[0]))
        binary = loss_name == "cross-entropy"
        target = rng.permutation(POINTS)[:, None] % 2.0 if binary else rng.normal(size=(POINTS, sizes[-1]))
        out |= {f"{loss_name}; x": x, f"{loss_name}; target": target}
        starts = []
        for l in range(1, len(sizes)):
            starts.append(rng.normal(0, 1.2 / np.sqrt(sizes[l - 1]), (sizes[l - 1], sizes[l])))
            starts.append(rng.normal(0, 0.3, sizes[l]))
            out |= {f"{loss_name}; W{l}": starts[-2], f"{loss_name}; b{l}": starts[-1]}

        def outputs(parameters: list[torch.Tensor], name: str, x: np.ndarray) -> torch.Tensor:
            z = torch.from_numpy(x)
            for i in range(0, len(parameters), 2):
                z = (phi[name](z) if i else z) @ parameters[i] + parameters[i + 1]
            return z

        for name in ACTIVATIONS:
            parameters = [torch.from_numpy(p.copy()).requires_grad_() for p in starts]
            z = outputs(parameters, name, x)
            value = losses[loss_name](z, torch.from_numpy(target))
            value.backward()
            key = f"{loss_name}; {name}"
            out |= {f"{key}; output": z.detach().numpy(), f"{key}; loss": value.detach().numpy()}
            for i, parameter in enumerate(parameters):
                out[f"{key}; d{'Wb'[i % 2]}{i // 2 + 1}"] = parameter.grad.numpy()

        for name in TRAINED:
            for rule, knobs in OPTIMIZERS.items():
                parameters = [torch.from_numpy(p.copy()).requires_grad_() for p in starts]
                optimizer = optimizers[rule](parameters, **knobs)
                path, values = [], []
                for step in range(STEPS + 1):
                    optimizer.zero_grad()
                    value = losses[loss_name](outputs(parameters, name, x), torch.from_numpy(target))
                    value.backward()
                    path.append(np.concatenate([p.detach().numpy().ravel() for p in parameters]))
                    values.append(value.item())
                    if step < STEPS:
                        optimizer.step()
                key = f"{loss_name}; {name}; {rule}"
                out |= {f"{key}; path": np.stack(path), f"{key}; losses": np.array(values)}
    return out
