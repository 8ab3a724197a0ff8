"""The update rules of the programs: what ``core.optimizer_rules`` computes, as short functions of one point.

A function of a program takes the point w, the gradient g, a dictionary ``state`` that is empty at first, the step t = 1,
2, … and the settings that it uses; it returns the next point. Its text holds only what the settings need: no weight
decay of 0, no branch for another framework. Read with ``np.`` as ``torch.`` it works on tensors.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from core.optimizers import CONVENTIONS

RATIO = '''def ratio(a, b):
    """a / b, where 0 / 0 counts as 0: no gradient, no step."""
    return np.where((a == 0) & (b == 0), 0.0, a / b)'''


class Form(NamedTuple):
    """The settings of a method and the framework whose formula it follows."""

    settings: Mapping[str, float | bool]
    convention: str = "PyTorch"

    @property
    def keras(self) -> bool:
        """Whether Keras' formula is asked for."""
        return self.convention == "Keras"

    @property
    def optax(self) -> bool:
        """Whether optax' formula is asked for."""
        return self.convention == "optax"

    def has(self, name: str) -> bool:
        """Return whether a setting is on, or not 0."""
        return bool(self.settings[name])

    @property
    def may_vanish(self) -> bool:
        """Whether a denominator may be 0, for lack of eps; the bound is that of the rules."""
        return "eps" in self.settings and self.settings["eps"] < float(np.finfo(np.float32).tiny)

    def over(self, a: str, b: str) -> str:
        """Write a / b; b is a sum, or a call that stands alone."""
        if self.may_vanish:
            return f"ratio({a}, {b})"
        return f"{a} / ({b})" if " + " in re.sub(r"\(.*\)", "", b) else f"{a} / {b}"


Decay = Literal["L2", "apart", "proximal"]


class Rule(NamedTuple):
    """A rule's text: what it is, the lines that change its state, the step that w makes downwards, its weight decay."""

    doc: str
    lines: Sequence[str]
    step: str
    decay: Decay = "L2"


_RETURNS: Mapping[Decay, str] = {
    "L2": "return w - {}",
    "apart": "return w - lr * weight_decay * w - {}",
    "proximal": "return (w - {}) / (1 + lr * weight_decay)",
}


def _average(name: str, decay: str, of: str, start: str = "0.0") -> str:
    """Write the line that keeps a moving average in the state."""
    return f'{name} = state["{name}"] = {decay} * state.get("{name}", {start}) + (1 - {decay}) * {of}'


def _momentum(pull: str) -> str:
    return f'v = state["v"] = momentum * state.get("v", 0.0) + {pull}'


_FIRST, _SECOND = _average("m", "beta1", "g"), _average("v", "beta2", "g**2")
_HATS = "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)"
_HAT = "m_hat = m / (1 - beta1**t)"


def _gd(form: Form) -> Rule:
    return Rule("Gradient descent: down the slope.", (), "lr * g")


def _heavy_ball(form: Form) -> Rule:
    lines, pull = [], "g"
    if form.has("dampening") and form.has("momentum"):
        lines, pull = ["fresh = g if t == 1 else (1 - dampening) * g  # the first is not damped"], "fresh"
    if form.keras:
        lines.append(_momentum(f"lr * {pull}"))
        return Rule("Momentum, Keras' form: the velocity holds lr.", lines, "v", "apart")
    return Rule("Momentum: the velocity is a decayed sum of gradients.", [*lines, _momentum(pull)], "lr * v")


def _nesterov(form: Form) -> Rule:
    if form.keras:
        lines = ["pull = lr * g", _momentum("pull")]
        return Rule(
            "Nesterov's momentum, Keras' form: the velocity holds lr.",
            lines,
            "(pull + momentum * v)",
            "apart",
        )
    return Rule("Nesterov's momentum: one velocity ahead.", [_momentum("g")], "lr * (g + momentum * v)")


def _adagrad(form: Form) -> Rule:
    start = "initial_accumulator" if form.has("initial_accumulator") else "0.0"
    lines, rate = [f'total = state["total"] = state.get("total", {start}) + g**2'], "lr"
    if form.has("lr_decay"):
        lines, rate = [*lines, "rate = lr / (1 + (t - 1) * lr_decay)"], "rate"
    if form.keras or form.optax:
        step = f"{rate} * {form.over('g', 'np.sqrt(total + eps)')}"
        doc = "AdaGrad, eps inside the root: divides by the root of the sum of squares."
        return Rule(doc, lines, step, "apart" if form.keras else "L2")
    doc = "AdaGrad: divides by the root of the sum of all squared gradients."
    return Rule(doc, lines, f"{rate} * {form.over('g', 'np.sqrt(total) + eps')}")


def _adadelta(form: Form) -> Rule:
    lines = [
        _average("s", "rho", "g**2"),
        'd = state.get("d", 0.0)',
        f"delta = {form.over('(d + eps) ** 0.5 * g', 'np.sqrt(s + eps)')}",
        'state["d"] = rho * d + (1 - rho) * delta**2',
    ]
    doc = "AdaDelta: the size of past steps over the size of past gradients is the rate."
    return Rule(doc, lines, "lr * delta", "apart" if form.keras else "L2")


def _rmsprop(form: Form) -> Rule:
    other = form.keras or form.optax
    lines, square = [_average("s", "rho", "g**2")], "s"
    if form.has("centered"):
        lines += [
            _average("mean", "rho", "g"),
            "spread = np.clip(s - mean**2, 0.0, None)  # the variance; rounding does not make it negative",
        ]
        square = "spread"
    scaled = form.over("g", f"np.sqrt({square} + eps)" if other else f"np.sqrt({square}) + eps")
    step = f"lr * {scaled}"
    if form.has("momentum"):
        lines.append(_momentum(step if other else scaled))
        step = "v" if other else "lr * v"
    doc = "RMSProp: divides by the root of the averaged squares"
    return Rule(f"{doc}, eps inside." if other else f"{doc}.", lines, step, "apart" if form.keras else "L2")


def _adam(form: Form) -> Rule:
    lines = [_FIRST, _SECOND]
    if not form.settings.get("bias_correction", True):
        return Rule(
            "Adam without bias correction: both averages start at 0.",
            lines,
            f"lr * {form.over('m', 'np.sqrt(v) + eps')}",
            "apart" if form.keras else "L2",
        )
    if form.keras:
        return Rule(
            "Adam, Keras' form: eps beside the root of the raw v.", *_raw_root(form, lines), decay="apart"
        )
    step = f"lr * {form.over('m_hat', 'np.sqrt(v_hat) + eps')}"
    return Rule(
        "Adam: averages of g and of g**2, divided by the weight they have gathered.", [*lines, _HATS], step
    )


def _raw_root(form: Form, lines: Sequence[str], v: str = "v") -> tuple[list[str], str]:
    """Return the lines and the step with eps beside the root of the raw v, as in Keras."""
    rate = "rate = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)"
    return [*lines, rate], f"rate * {form.over('m', f'np.sqrt({v}) + eps')}"


def _adamw(form: Form) -> Rule:
    doc = "AdamW: Adam, and weight decay apart from the gradient."
    if form.keras:
        doc = "AdamW, Keras' form: eps beside the root of the raw v, and weight decay apart."
    return _adam(form)._replace(doc=doc, decay="apart")


def _amsgrad(form: Form) -> Rule:
    lines = [_FIRST, _SECOND]
    if form.optax:
        lines += [
            _HATS,
            'v_max = state["v_max"] = np.maximum(state.get("v_max", v_hat), v_hat)',
        ]
        step = f"lr * {form.over('m_hat', 'np.sqrt(v_max) + eps')}"
        return Rule("AMSGrad, optax' form: the largest corrected v so far.", lines, step)
    lines.append('v_max = state["v_max"] = np.maximum(state.get("v_max", v), v)')
    if form.keras:
        doc = "AMSGrad, Keras' form: the largest v so far, eps beside its root."
        return Rule(doc, *_raw_root(form, lines, "v_max"), decay="apart")
    lines.append("m_hat, v_hat = m / (1 - beta1**t), v_max / (1 - beta2**t)")
    step = f"lr * {form.over('m_hat', 'np.sqrt(v_hat) + eps')}"
    return Rule("AMSGrad: Adam with the largest v so far.", lines, step)


def _nadam(form: Form) -> Rule:
    step = f"lr * {form.over('ahead', 'np.sqrt(v / (1 - beta2**t)) + eps')}"
    if form.optax:
        ahead = "ahead = (1 - beta1) / (1 - beta1**t) * g + beta1 / (1 - beta1 ** (t + 1)) * m"
        return Rule("Nadam, optax' form: the momentum is beta1 throughout.", [_FIRST, _SECOND, ahead], step)
    lines = [
        "mu, following = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))",
        'product = state["product"] = state.get("product", 1.0) * mu',
        _FIRST,
        _SECOND,
        "ahead = (1 - mu) / (1 - product) * g + following / (1 - product * following) * m",
    ]
    return Rule("Nadam: Adam that looks one momentum ahead.", lines, step, "apart" if form.keras else "L2")


def _adamax(form: Form) -> Rule:
    start = 'state.get("u", np.zeros_like(g))'
    if form.keras:
        lines = [_FIRST, _HAT, f'u = state["u"] = np.maximum(beta2 * {start}, np.abs(g))']
        doc = "AdaMax, Keras' form: the decayed largest gradient, eps beside it."
        return Rule(doc, lines, f"lr * {form.over('m_hat', 'u + eps')}", "apart")
    lines = [_FIRST, _HAT, f'u = state["u"] = np.maximum(beta2 * {start}, np.abs(g) + eps)']
    return Rule("AdaMax: divides by the decayed largest gradient.", lines, f"lr * {form.over('m_hat', 'u')}")


def _radam(form: Form) -> Rule:
    lines = [
        _FIRST,
        _SECOND,
        "longest = 2 / (1 - beta2) - 1",
        "length = longest - 2 * t * beta2**t / (1 - beta2**t)  # as many squares count",
        f"if length {'<' if form.optax else '<='} 5:",
        "    return w - lr * m / (1 - beta1**t)  # too few for a scale",
        "r2 = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)",
    ]
    if form.optax:
        doc = "RAdam, optax' form: eps beside the corrected root."
        return Rule(doc, [*lines, _HATS], f"lr * r2**0.5 * {form.over('m_hat', 'np.sqrt(v_hat) + eps')}")
    lines.append("rate = lr * (r2 * (1 - beta2**t)) ** 0.5 / (1 - beta1**t)")
    doc = "RAdam: Adam that scales only once enough squares are averaged."
    return Rule(doc, lines, f"rate * {form.over('m', 'np.sqrt(v) + eps')}")


def _lion(form: Form) -> Rule:
    lines = ['m = state.get("m", 0.0)', 'state["m"] = beta2 * m + (1 - beta2) * g  # for the next step']
    doc = "Lion: the sign of an average of gradients."
    return Rule(doc, lines, "lr * np.sign(beta1 * m + (1 - beta1) * g)", "apart")


def _rprop(form: Form) -> Rule:
    lines = [
        'size, last = state.get("size", np.full_like(g, lr)), state.get("sign", np.zeros_like(g))',
        "sign = np.sign(g)",
        "kept, flipped = sign * last > 0, sign * last < 0",
    ]
    if form.optax:
        lines += [
            "move = np.where(flipped, 0.0, size * last)  # what the last gradient asked for",
            "new = np.where(kept, eta_plus * size, eta_minus * size)",
            'state["size"] = np.where(kept | flipped, np.clip(new, step_min, step_max), size)',
            'state["sign"] = np.where(flipped, 0.0, sign)',
        ]
        return Rule("Rprop, optax' form: moves one step late.", lines, "move")
    lines += [
        "size = np.where(kept, eta_plus * size, np.where(flipped, eta_minus * size, size))",
        'state["size"] = size = np.clip(size, step_min, step_max)',
        'state["sign"] = sign = np.where(flipped, 0.0, sign)  # after a flip it stands still',
    ]
    return Rule("Rprop: steps grow while the sign stays and shrink when it flips.", lines, "size * sign")


def _sign_descent(form: Form) -> Rule:
    return Rule("Sign descent: the same step in every coordinate.", (), "lr * np.sign(g)")


def _adabelief(form: Form) -> Rule:
    lines = [_FIRST, f"{_average('v', 'beta2', '(g - m) ** 2')} + eps", _HATS]
    step = f"lr * {form.over('m_hat', 'np.sqrt(v_hat) + eps')}"
    doc = "AdaBelief: divides by how far gradients are from their average."
    return Rule(doc, lines, step, "L2" if form.optax else "apart")


def _adan(form: Form) -> Rule:
    share = "(1 - beta2)" if form.optax else "beta2"
    lines = [
        'change = g - state.get("g", g)',
        'state["g"] = g',
        _FIRST,
        _average("d", "beta2", "change"),
        _average("v", "beta3", f"(g + {share} * change) ** 2"),
        f"pull = m / (1 - beta1**t) + {share} * d / (1 - beta2**t)",
    ]
    root = "np.sqrt(v / (1 - beta3**t) + eps) + eps" if form.optax else "np.sqrt(v / (1 - beta3**t)) + eps"
    doc = "Adan: averages of g, of its change and of the square of g looked ahead to."
    if form.optax:
        doc = "Adan, optax' form: 1 - beta2 where the authors have beta2, eps inside the root too."
    return Rule(doc, lines, f"lr * {form.over('pull', root)}", "apart" if form.optax else "proximal")


def _qhm(form: Form) -> Rule:
    doc = "Quasi-hyperbolic momentum: a mean of the gradient and of its average."
    return Rule(doc, [_average("m", "momentum", "g")], "lr * ((1 - nu) * g + nu * m)")


def _qhadam(form: Form) -> Rule:
    lines = [_FIRST, _SECOND, _HATS, "pull = (1 - nu1) * g + nu1 * m_hat"]
    square = "v_hat"
    if form.settings["nu2"] != 1:
        lines, square = [*lines, "square = (1 - nu2) * g**2 + nu2 * v_hat"], "square"
    doc = "QHAdam: Adam with a share of the gradient itself."
    return Rule(doc, lines, f"lr * {form.over('pull', f'np.sqrt({square}) + eps')}")


def _yogi(form: Form) -> Rule:
    start = "initial_accumulator" if form.has("initial_accumulator") else "0.0"
    lines = [
        _average("m", "beta1", "g", start if form.optax else "0.0"),
        f'v = state.get("v", np.full_like(g, {start}))',
        'state["v"] = v = v - (1 - beta2) * np.sign(v - g**2) * g**2',
        _HATS,
    ]
    doc = "Yogi, optax' form: m starts where v does." if form.optax else "Yogi: Adam whose v falls slowly."
    return Rule(doc, lines, f"lr * {form.over('m_hat', 'np.sqrt(v_hat) + eps')}")


_STILL = ("if not g.any():", "    return w  # a stationary point")


def _newton(form: Form) -> Rule:
    doc, lines = "Newton's method: to where the local quadratic is level.", [*_STILL, "h = hessian(w)"]
    if form.has("saddle_free"):
        doc = "Newton's method, saddle-free: with the sizes of the eigenvalues."
        lines += [
            "(a, b), (b, c) = h",
            "sizes = max(abs(a + c), ((a - c) ** 2 + 4 * b**2) ** 0.5)  # of both eigenvalues, summed",
            "h = (h @ h + abs(a * c - b**2) * np.eye(2)) / sizes  # its square is still h @ h",
        ]
    if form.has("shift"):
        lines.append("h = h + shift * np.eye(2)")
    if len(lines) == len(_STILL) + 1:
        lines = [*_STILL, "(a, b), (b, c) = hessian(w)"]
    else:
        lines.append("(a, b), (b, c) = h")
    lines.append("solved = np.stack([c * g[0] - b * g[1], a * g[1] - b * g[0]]) / (a * c - b * b)")
    return Rule(doc, lines, "lr * solved")


def _lbfgs(form: Form) -> Rule:
    lines = [
        *_STILL,
        'pairs, first = state.setdefault("pairs", []), "g" not in state',
        'if not first and (g - state["g"]) @ state["s"] > 1e-10:',
        '    pairs.append((state["s"], g - state["g"]))  # a step and the change of g along it',
        "    del pairs[:-memory]",
        "d, shares = g, []",
        "for s, y in reversed(pairs):",
        "    shares.append(s @ d / (s @ y))",
        "    d = d - shares[-1] * y",
        "if pairs:",
        "    s, y = pairs[-1]",
        "    d = d * (s @ y) / (y @ y)",
        "for s, y in pairs:",
        "    d = d + (shares.pop() - y @ d / (s @ y)) * s",
        "length = lr * (min(1.0, 1 / np.abs(g).sum()) if first else 1.0)",
    ]
    if form.has("line_search"):
        lines += [
            "for _ in range(41):",
            "    if f(w - length * d) <= f(w) - 1e-4 * length * (g @ d):",
            "        break",
            "    length = length / 2",
            "else:",
            "    length = 0.0",
        ]
    lines.append('state["g"], state["s"] = g, -length * d')
    return Rule("L-BFGS: past steps and changes of g stand for the Hessian.", lines, "length * d")


RULES: Mapping[str, Callable[[Form], Rule]] = {
    "GD": _gd,
    "Momentum": _heavy_ball,
    "Nesterov": _nesterov,
    "AdaGrad": _adagrad,
    "AdaDelta": _adadelta,
    "RMSProp": _rmsprop,
    "Adam": _adam,
    "AdamW": _adamw,
    "AMSGrad": _amsgrad,
    "Nadam": _nadam,
    "AdaMax": _adamax,
    "RAdam": _radam,
    "Lion": _lion,
    "Rprop": _rprop,
    "Sign descent": _sign_descent,
    "AdaBelief": _adabelief,
    "Adan": _adan,
    "QHM": _qhm,
    "QHAdam": _qhadam,
    "Yogi": _yogi,
    "Newton": _newton,
    "L-BFGS": _lbfgs,
}
"""The text of every method of the page, by its name."""


class Function(NamedTuple):
    """A rule as a function of a program: its body, and the settings that it reads, in their order."""

    body: str
    settings: tuple[str, ...]

    def text(self, name: str) -> str:
        """Write the function under a name."""
        return f"def {name}({', '.join(('w', 'g', 'state', 't', *self.settings))}):\n{self.body}"


def function(method: str, form: Form) -> Function:
    """Write the update of a method, one function of (w, g, state, t, settings) → the next w.

    Raises:
        KeyError: the method has no text, or a setting is missing. ValueError: the convention is unknown.
    """
    if form.convention not in CONVENTIONS:
        raise ValueError(f"convention = {form.convention}: needs one of {', '.join(CONVENTIONS)}")
    rule = RULES[method](form)
    lines, decay = list(rule.lines), rule.decay
    if not form.settings.get("weight_decay", 0.0):
        decay = "L2"
    elif decay == "L2":
        lines.insert(0, "g = g + weight_decay * w")
    ending = _RETURNS[decay].format(rule.step)
    body = "\n".join(f"    {line}" for line in [f'"""{rule.doc}"""', *lines, ending])
    read = tuple(name for name in form.settings if re.search(rf"\b{name}\b", body.partition("\n")[2]))
    return Function(body, read)
