"""Golden trajectories of optax' optimizers, float64: ``python -m tests.golden.make optimizers_optax``.

Made with optax 0.2.8 and jax 0.10.2 (``JAX_ENABLE_X64=1``) and the settings of ``tests.golden.optimizers``. An
optimizer without weight decay gets ``optax.add_decayed_weights`` before it. Knobs that optax lacks stay at what amounts
to leaving them out, or at the default.
"""

import numpy as np

from tests.golden.optimizers import FUNCTIONS, STARTS, STEPS, collect, defaults_of, rate_at

SURFACES = ("Quadratic bowl", "Himmelblau")
STORED = np.arange(0, STEPS + 1, 10)

_ADAM = "learning_rate=lr, b1=beta1, b2=beta2, eps=eps"
LINES = {
    "GD": "optax.sgd(learning_rate=lr)",
    "Momentum": "optax.sgd(learning_rate=lr, momentum=momentum)",
    "Nesterov": "optax.sgd(learning_rate=lr, momentum=momentum, nesterov=True)",
    "AdaGrad": "optax.adagrad(learning_rate=lr, initial_accumulator_value=initial_accumulator, eps=eps)",
    "AdaDelta": "optax.adadelta(learning_rate=lr, rho=rho, eps=eps, weight_decay=weight_decay)",
    "RMSProp": "optax.rmsprop(learning_rate=lr, decay=rho, eps=eps, centered=centered, momentum=momentum)",
    "Adam": f"optax.adam({_ADAM})",
    "AdamW": f"optax.adamw({_ADAM}, weight_decay=weight_decay)",
    "AMSGrad": f"optax.amsgrad({_ADAM})",
    "Nadam": f"optax.nadam({_ADAM})",
    "AdaMax": f"optax.adamax({_ADAM})",
    "RAdam": f"optax.radam({_ADAM})",
    "Lion": "optax.lion(learning_rate=lr, b1=beta1, b2=beta2, weight_decay=weight_decay)",
    "Rprop": (
        "optax.rprop(learning_rate=lr, eta_minus=eta_minus, eta_plus=eta_plus, min_step_size=step_min, "
        "max_step_size=step_max)"
    ),
    "Sign descent": "optax.sign_sgd(learning_rate=lr)",
    "AdaBelief": f"optax.adabelief({_ADAM}, eps_root=eps)",
    "Adan": (
        "optax.adan(learning_rate=lr, b1=beta1, b2=beta2, b3=beta3, eps=eps, eps_root=eps, "
        "weight_decay=weight_decay)"
    ),
    "Yogi": f"optax.yogi({_ADAM})",
}
ABSENT = {"dampening": 0.0, "lr_decay": 0.0}


def golden() -> dict[str, np.ndarray]:
    """Return what ``tests.golden.optimizers.collect`` does, for optax, and its ``defaults``."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    slopes = {name: jax.jit(jax.grad(lambda w, f=FUNCTIONS[name]: f(w[0], w[1]))) for name in SURFACES}

    def run(name: str, function: str, knobs: dict[str, float | bool], fading: bool) -> list[np.ndarray]:
        knobs.update({knob: value for knob, value in ABSENT.items() if knob in knobs})

        def make(lr):
            rule = eval(LINES[name], {"optax": optax, **knobs, "lr": lr})
            if "weight_decay" in knobs and "weight_decay" not in LINES[name]:
                rule = optax.chain(optax.add_decayed_weights(knobs["weight_decay"]), rule)
            return rule

        @jax.jit
        def move(w, state, lr):
            step, state = make(lr).update(slopes[function](w), state, w)
            return optax.apply_updates(w, step), state

        w = jax.numpy.array(STARTS[function])
        state = make(knobs["lr"]).init(w)
        path = [np.array(w)]
        for t in range(STEPS):
            w, state = move(w, state, rate_at(knobs["lr"], t, fading))
            path.append(np.array(w))
        return path

    return {**collect(tuple(LINES), SURFACES, STORED, run), "defaults": defaults_of(LINES, optax)}
