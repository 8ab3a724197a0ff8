"""Golden learning rates: every schedule through ``torch.optim.lr_scheduler``, made from its own ``torch`` line."""

import json
import warnings

import numpy as np

LR = 0.3
STEPS = (1, 2, 7, 60, 101)

# Beside the defaults, settings that move every knob.
SETTINGS = {
    "constant": [{}],
    "step": [{}, {"every": 7, "drop": 0.5}, {"every": 1, "drop": 0.9}],
    "exponential": [{}, {"gamma": 0.8}],
    "cosine": [{}, {"floor": 0.1}],
    "warm-up": [{}, {"warmup": 25, "start": 0.4}, {"warmup": 1}],
    "warm-up and cosine": [{}, {"warmup": 3, "start": 0.25, "floor": 0.2}],
    "one-cycle": [
        {},
        {"rise": 0.55, "div_factor": 10.0, "final_div_factor": 20.0},
        {"rise": 1.0},
        {"rise": 0.0},
    ],
    "1/√t": [{}, {"decay": 0.1}],
    "1/t": [{}, {"decay": 0.02}],
}


def golden() -> dict[str, np.ndarray]:
    """Return ``cases`` (n,), JSON of schedule, steps and knobs; ``rates`` (n, 101), NaN after the last step."""
    import torch

    from core.schedules import SCHEDULES

    def run(line: str, steps: int, knobs: dict[str, float]) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
        known = {"torch": torch, "optimizer": optimizer, "lr": LR, "steps": steps, **knobs}
        schedule = eval(line, known)
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    cases, rates = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR steps its parts in a way that PyTorch itself warns of
        for name, entry in SCHEDULES.items():
            defaults = {knob.name: knob.default for knob in entry.knobs}
            for steps in STEPS:
                for setting in SETTINGS[name]:
                    knobs = {**defaults, **setting}
                    try:
                        found = run(entry.torch, steps, knobs)
                    except ZeroDivisionError:  # OneCycleLR with its peak at the first step
                        continue
                    cases.append(json.dumps({"schedule": name, "steps": steps, "knobs": knobs}))
                    rates.append(found + [np.nan] * (max(STEPS) - steps))
    return {"cases": np.array(cases), "lr": np.array(LR), "rates": np.array(rates)}


if __name__ == "__main__":
    from pathlib import Path

    np.savez_compressed(Path(__file__).with_suffix(".npz"), **golden())
