"""Golden values of weight initializers: what PyTorch asks its generator for, in float64."""

import math
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from torch.nn import init

SHAPES = ((30, 50), (50, 30), (64, 64), (1, 7))  # (fan_in, fan_out)

NORMAL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "LeCun normal": lambda w: init.kaiming_normal_(w, nonlinearity="linear"),
    "Glorot normal": init.xavier_normal_,
    "He normal": lambda w: init.kaiming_normal_(w, nonlinearity="relu"),
    "He normal, fan_out": lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    "N(0, 0.01²)": lambda w: init.normal_(w, std=0.01),
    "N(0, 1)": init.normal_,
}
UNIFORM: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "LeCun uniform": lambda w: init.kaiming_uniform_(w, nonlinearity="linear"),
    "Glorot uniform": init.xavier_uniform_,
    "He uniform": lambda w: init.kaiming_uniform_(w, nonlinearity="relu"),
    "He uniform, fan_out": lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
    "PyTorch Linear": lambda w: torch.nn.Linear(w.shape[1], w.shape[0], dtype=w.dtype).weight,
}


def asked(fill: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int]) -> tuple[float, float]:
    """Return the arguments of the first draw: (mean, std) of a normal, (low, high) of a uniform one."""
    calls: list[tuple[float, float]] = []

    def record(tensor: torch.Tensor, a: float, b: float, **kwargs: object) -> torch.Tensor:
        calls.append((a, b))
        return tensor

    fan_in, fan_out = shape
    with patch.object(torch.Tensor, "normal_", record), patch.object(torch.Tensor, "uniform_", record):
        fill(torch.empty(fan_out, fan_in, dtype=torch.float64))
    return calls[0]


def golden() -> dict[str, np.ndarray]:
    """Keys ``name|fan_in|fan_out``: the std of a normal, the bound of a uniform, W itself if orthogonal or identity.

    ``sparse`` is how many weights of a column of a (fan_in, fan_out) matrix are not 0 at a sparsity of 0.9.
    """
    out: dict[str, np.ndarray] = {}
    generator = torch.Generator().manual_seed(2014)
    for shape in SHAPES:
        key = "|{}|{}".format(*shape)
        for name, fill in NORMAL.items():
            mean, std = asked(fill, shape)
            assert mean == 0
            out[name + key] = np.array(std)
        for name, fill in UNIFORM.items():
            low, high = asked(fill, shape)
            assert math.isclose(low, -high)
            out[name + key] = np.array(high)
        weight = torch.empty(shape[1], shape[0], dtype=torch.float64)
        out["orthogonal" + key] = init.orthogonal_(weight, generator=generator).T.numpy().copy()
        out["identity" + key] = init.eye_(torch.empty(*shape, dtype=torch.float64)).numpy().copy()
        weight = init.sparse_(torch.empty(*shape, dtype=torch.float64), 0.9, generator=generator)
        counts = torch.count_nonzero(weight, dim=0).unique()
        out["sparse" + key] = np.array(counts.item())
    return out
