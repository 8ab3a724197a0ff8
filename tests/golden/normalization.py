"""Golden values of batch normalization, computed with PyTorch in float64."""

import numpy as np
import torch

CASES = {"nc": (), "ncl": (5,)}  # axes after (N, C)
MOMENTA = {"ema": 0.1, "cumulative": None}
BATCH_SIZES = (4, 5, 6, 7, 8)
FEATURES = 3


def golden() -> dict[str, np.ndarray]:
    """Five training batches each, then one evaluation: keys ``case_...`` and ``case_momentum_...``."""
    rng = np.random.default_rng(20150211)
    out: dict[str, np.ndarray] = {}
    for case, tail in CASES.items():
        layout = (1, FEATURES, *[1] * len(tail))
        offset = np.array([0.0, -3.0, 100.0]).reshape(layout)
        spread = np.array([1.0, 5.0, 0.1]).reshape(layout)
        gamma, beta = rng.normal(1, 0.5, FEATURES), rng.normal(0, 1, FEATURES)
        out |= {f"{case}_gamma": gamma, f"{case}_beta": beta}
        probe = offset + spread * rng.normal(size=(6, FEATURES, *tail))
        out[f"{case}_eval_x"] = probe
        for step, size in enumerate(BATCH_SIZES):
            out[f"{case}_x{step}"] = offset + spread * rng.normal(size=(size, FEATURES, *tail))
            out[f"{case}_dy{step}"] = rng.normal(size=(size, FEATURES, *tail))
        for name, momentum in MOMENTA.items():
            layer = torch.nn.BatchNorm1d(FEATURES, eps=1e-5, momentum=momentum, dtype=torch.float64)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(gamma))
                layer.bias.copy_(torch.from_numpy(beta))
            for step in range(len(BATCH_SIZES)):
                layer.train()
                layer.zero_grad()
                x = torch.from_numpy(out[f"{case}_x{step}"]).requires_grad_()
                y = layer(x)
                y.backward(torch.from_numpy(out[f"{case}_dy{step}"]))
                out[f"{case}_y{step}"] = y.detach().numpy()
                out[f"{case}_dx{step}"] = x.grad.numpy()
                out[f"{case}_dgamma{step}"] = layer.weight.grad.numpy().copy()
                out[f"{case}_dbeta{step}"] = layer.bias.grad.numpy().copy()
                out[f"{case}_{name}_mean{step}"] = layer.running_mean.numpy().copy()
                out[f"{case}_{name}_var{step}"] = layer.running_var.numpy().copy()
                layer.eval()
                with torch.no_grad():
                    out[f"{case}_{name}_eval{step}"] = layer(torch.from_numpy(probe)).numpy()
    return out
