"""Golden values of the normalization family, computed with PyTorch in float64."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

N, C, L, D, GROUPS = 4, 6, 3, 5, 3
STEPS = 3
EPS = {"PyTorch": 1e-5, "Keras": 1e-3}  # of the centered ones
RMS_EPS = {"PyTorch": None, "Keras": 1e-6}


def _last(layer: nn.Module):
    """Apply a layer over the last axis to the channels."""
    return lambda x: layer(x.transpose(1, 2)).transpose(1, 2)


def modules(eps: float, rms_eps: float | None) -> dict[str, tuple[nn.Module, object]]:
    """Return, by the name of the entry, PyTorch's layer and how it is called on (N, C, L)."""
    layers = {
        "BatchNorm": nn.BatchNorm1d(C, eps=eps),
        "LayerNorm": nn.LayerNorm([C, L], eps=eps),
        "LayerNorm (channels)": nn.LayerNorm(C, eps=eps),
        "InstanceNorm": nn.InstanceNorm1d(C, eps=eps, affine=True, track_running_stats=True),
        "GroupNorm": nn.GroupNorm(GROUPS, C, eps=eps),
        "RMSNorm": nn.RMSNorm(C, eps=rms_eps),
    }
    over_last = ("LayerNorm (channels)", "RMSNorm")
    return {
        name: (layer.double(), _last(layer) if name in over_last else layer) for name, layer in layers.items()
    }


def golden() -> dict[str, np.ndarray]:
    """Training steps of every layer, with gradients, and running statistics and evaluation of the first input."""
    rng = np.random.default_rng(20180322)
    offset, spread = rng.normal(size=(1, C, 1)), rng.uniform(0.1, 5, size=(1, C, 1))
    out = {f"x{t}": offset + spread * rng.normal(size=(N, C, L)) for t in range(STEPS)}
    out |= {f"dy{t}": rng.normal(size=(N, C, L)) for t in range(STEPS)}
    out |= {
        "input": rng.normal(size=(N, D)),
        "weight": rng.normal(size=(D, C)),
        "dy": rng.normal(size=(N, C)),
    }
    for convention in EPS:
        for name, (layer, call) in modules(EPS[convention], RMS_EPS[convention]).items():
            key = f"{convention}/{name}"
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(rng.normal(1, 0.5, layer.weight.shape)))
                if getattr(layer, "bias", None) is not None:
                    layer.bias.copy_(torch.from_numpy(rng.normal(size=layer.bias.shape)))
                    out[f"{key}/beta"] = layer.bias.numpy().copy()
                out[f"{key}/gamma"] = layer.weight.numpy().copy()
            tracks = getattr(layer, "running_mean", None) is not None
            for t in range(STEPS if tracks else 1):  # the others do the same at every step
                layer.train()
                layer.zero_grad()
                x = torch.from_numpy(out[f"x{t}"]).requires_grad_()
                y = call(x)
                y.backward(torch.from_numpy(out[f"dy{t}"]))
                out[f"{key}/y{t}"], out[f"{key}/dx{t}"] = y.detach().numpy(), x.grad.numpy()
                out[f"{key}/dgamma{t}"] = layer.weight.grad.numpy().copy()
                if getattr(layer, "bias", None) is not None:
                    out[f"{key}/dbeta{t}"] = layer.bias.grad.numpy().copy()
                if tracks:
                    out[f"{key}/mean{t}"] = layer.running_mean.numpy().copy()
                    out[f"{key}/var{t}"] = layer.running_var.numpy().copy()
                layer.eval()
                with torch.no_grad():
                    out[f"{key}/eval{t}"] = call(torch.from_numpy(out["x0"])).numpy()
    return out | _lengths(out)


def _lengths(out: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return output and gradient by the weights of WeightNorm, with its own g and bias, and of the cosine."""
    x, upstream = torch.from_numpy(out["input"]), torch.from_numpy(out["dy"])
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(D, C).double())
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    with torch.no_grad():
        v.copy_(torch.from_numpy(out["weight"].T))
        g.copy_(torch.linspace(0.5, 2, C, dtype=torch.float64)[:, None])
        layer.bias.copy_(torch.linspace(-1, 1, C, dtype=torch.float64))
    y = layer(x)
    y.backward(upstream)
    found = {
        "WeightNorm/gamma": g.detach().numpy().ravel().copy(),
        "WeightNorm/beta": layer.bias.detach().numpy().copy(),
        "WeightNorm/y": y.detach().numpy(),
        "WeightNorm/dweight": v.grad.numpy().T.copy(),
    }
    w = torch.from_numpy(out["weight"]).requires_grad_()
    y = F.cosine_similarity(x[:, None], w.T, dim=-1)
    y.backward(upstream)
    return found | {"cosine/y": y.detach().numpy(), "cosine/dweight": w.grad.numpy()}
