"""Golden values of a small stack of layers: every pre-activation and every gradient, by autograd."""

import numpy as np
import torch

ACTIVATIONS = {
    "ReLU": torch.nn.functional.relu,
    "tanh": torch.tanh,
    "GELU": torch.nn.functional.gelu,
    "sigmoid": torch.sigmoid,
}
WIDTHS = (7, 12, 9, 15, 8, 6)
BATCH = 5


def golden() -> dict[str, np.ndarray]:
    """The shared x, top, W1 …, b1 …; then per activation h1 …, dh0 …, dW1 …."""
    rng = np.random.default_rng(2010)
    depth = len(WIDTHS) - 1
    out = {"x": rng.normal(size=(BATCH, WIDTHS[0])), "top": rng.normal(size=(BATCH, WIDTHS[-1]))}
    for l in range(1, depth + 1):
        m, n = WIDTHS[l - 1], WIDTHS[l]
        out[f"W{l}"] = rng.normal(0, np.sqrt(2 / m), (m, n))
        out[f"b{l}"] = rng.normal(0, 0.3, n)
    for name, phi in ACTIVATIONS.items():
        weights = [torch.from_numpy(out[f"W{l}"]).requires_grad_() for l in range(1, depth + 1)]
        signals = [torch.from_numpy(out["x"]).requires_grad_()]
        for l, weight in enumerate(weights, start=1):
            signals.append(phi(signals[-1]) @ weight + torch.from_numpy(out[f"b{l}"]))
            signals[-1].retain_grad()
        signals[-1].backward(torch.from_numpy(out["top"]))
        for l, h in enumerate(signals):
            out[f"{name} h{l}"] = h.detach().numpy()
            out[f"{name} dh{l}"] = h.grad.numpy()
        for l, weight in enumerate(weights, start=1):
            out[f"{name} dW{l}"] = weight.grad.numpy()
    return out
