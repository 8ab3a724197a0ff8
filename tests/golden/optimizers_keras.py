"""Golden trajectories of Keras' optimizers, float64: ``python -m tests.golden.make optimizers_keras``.

Made with Keras 3.15.1 on its torch backend (``KERAS_BACKEND=torch``, PyTorch 2.13.0) and the settings of
``tests.golden.optimizers``. Knobs that Keras lacks stay at what amounts to leaving them out.
"""

import numpy as np

from tests.golden.optimizers import FUNCTIONS, STARTS, STEPS, collect, defaults_of, rate_at

SURFACES = ("Quadratic bowl", "Himmelblau")
STORED = np.arange(0, STEPS + 1, 10)

_ADAM = "learning_rate=lr, beta_1=beta1, beta_2=beta2, epsilon=eps, weight_decay=weight_decay"
LINES = {
    "GD": "keras.optimizers.SGD(learning_rate=lr, weight_decay=weight_decay)",
    "Momentum": "keras.optimizers.SGD(learning_rate=lr, momentum=momentum, weight_decay=weight_decay)",
    "Nesterov": (
        "keras.optimizers.SGD(learning_rate=lr, momentum=momentum, nesterov=True, weight_decay=weight_decay)"
    ),
    "AdaGrad": (
        "keras.optimizers.Adagrad(learning_rate=lr, initial_accumulator_value=initial_accumulator, "
        "epsilon=eps, weight_decay=weight_decay)"
    ),
    "AdaDelta": "keras.optimizers.Adadelta(learning_rate=lr, rho=rho, epsilon=eps, weight_decay=weight_decay)",
    "RMSProp": (
        "keras.optimizers.RMSprop(learning_rate=lr, rho=rho, momentum=momentum, centered=centered, "
        "epsilon=eps, weight_decay=weight_decay)"
    ),
    "Adam": f"keras.optimizers.Adam({_ADAM})",
    "AdamW": f"keras.optimizers.AdamW({_ADAM})",
    "AMSGrad": f"keras.optimizers.Adam({_ADAM}, amsgrad=True)",
    "Nadam": f"keras.optimizers.Nadam({_ADAM})",
    "AdaMax": f"keras.optimizers.Adamax({_ADAM})",
    "Lion": (
        "keras.optimizers.Lion(learning_rate=lr, beta_1=beta1, beta_2=beta2, weight_decay=weight_decay)"
    ),
}
ABSENT = {"dampening": 0.0, "lr_decay": 0.0, "momentum_decay": 1.0}


def golden() -> dict[str, np.ndarray]:
    """Return what ``tests.golden.optimizers.collect`` does, for Keras, and its ``defaults``."""
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    keras.config.set_floatx("float64")

    def run(name: str, function: str, knobs: dict[str, float | bool], fading: bool) -> list[np.ndarray]:
        knobs.update({knob: value for knob, value in ABSENT.items() if knob in knobs})
        optimizer = eval(LINES[name], {"keras": keras, **knobs})
        w = keras.Variable(np.array(STARTS[function]))
        path = [np.array(STARTS[function])]
        for t in range(STEPS):
            optimizer.learning_rate = rate_at(knobs["lr"], t, fading)
            at = torch.tensor(path[-1], requires_grad=True)
            FUNCTIONS[function](at[0], at[1]).backward()
            optimizer.apply([at.grad], [w])
            path.append(w.numpy().copy())
        return path

    return {**collect(tuple(LINES), SURFACES, STORED, run), "defaults": defaults_of(LINES, keras)}
