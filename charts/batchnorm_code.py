"""The programs of the BatchNorm page: its stream of batches in NumPy, in PyTorch and in Keras.

All three draw what ``core.batch_stream.stream_batches`` draws, from the same streams, so that they give its numbers:
the running statistics after every step, and the sample's output in training and in evaluation.
"""

from collections.abc import Mapping
from typing import NamedTuple

from charts.topic import Code, Values, real, whole, word
from core.knobs import number
from core.normalization import BATCHNORM_CONVENTIONS, BatchNormConvention

_STREAM = '''def stream(seed, *place):
    """A generator of its own for every step: more steps redraw nothing."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))'''

_TABLE = """

print("step, running mean and variance, the sample's output in training and in evaluation")
for t in sorted({1, *range(10, steps + 1, 10), steps}):
    print(f"{t:4d} {running_mean[t]:14.10f} {running_var[t]:14.10f}", end="")
    print(f" {train_output[t - 1]:14.10f} {eval_output[t]:14.10f}")
"""


class _Rule(NamedTuple):
    """How running statistics are kept: a fixed weight of the new batch, or None for the average of all batches."""

    convention: BatchNormConvention
    weight: float | None

    @property
    def stays(self) -> str:
        """Say what happens to the running variance where the batch's is 0/0."""
        return f"# The unbiased variance of one value is 0/0: the {self.convention.name} convention keeps the old one."

    def stores(self, framework: str) -> str:
        """Say that a framework stores the other of the two variances."""
        its, here = (
            ("biased", "N/(N - 1) times that") if self.convention.unbiased else ("unbiased", "the biased one")
        )
        return f"# {framework} stores the {its} variance; here it is {here} ({self.convention.name})."


def programs(values: Values) -> tuple[Code, Code, Code]:
    """Write the three programs that send the page's stream of batches through batch normalization.

    Each runs alone (``python file.py``), leaves the lists ``running_mean``, ``running_var`` and ``eval_output``, of
    steps + 1 numbers, and ``train_output``, of as many as there are steps, and prints them at every tenth step.
    They agree with ``stream_batches`` to rounding. PyTorch refuses a batch of one value: that program ends with the
    error's text.

    Args:
        values: of the page's knobs, all of them.

    Raises:
        KeyError: a value is missing, or the convention is unknown.
    """
    convention = BATCHNORM_CONVENTIONS[word(values, "convention")]
    rule = _Rule(convention, _weight(values, convention))
    inside = bool(values["in_batch"])
    shared, setting = [_STREAM, _draw(values)], _setting(values, rule)

    def joined(head: str, *functions: str, run: str) -> str:
        return "\n\n\n".join([head, *shared, *functions, setting + run])

    refused = whole(values, "batch_size") == 1
    torch = _torch_refusal(values, rule) if refused else _torch_run(values, rule, inside) + _TABLE
    return (
        Code(
            "NumPy", joined("import numpy as np", _NORMALIZE, run=_numpy_run(values, rule, inside) + _TABLE)
        ),
        Code("PyTorch", joined(_TORCH_HEAD, run=torch)),
        Code("Keras", joined(_KERAS_HEAD, _KERAS_HELPER, run=_keras_run(values, rule, inside) + _TABLE)),
    )


# What they share


def _weight(values: Values, convention: BatchNormConvention) -> float | None:
    """Return the weight of every new batch, None for the cumulative average, which not every convention has."""
    if values["cumulative"]:
        try:
            return convention.fixed_weight(None)
        except ValueError:
            pass
    weight = real(values, "weight")
    return None if convention.fixed_weight(convention.momentum_of(weight)) is None else weight


class _Lines(NamedTuple):
    """What a source or a drift adds to the function that draws batch t, and the numbers that it reads."""

    lines: tuple[str, ...] = ()
    values: str = ""  # of a source: an expression for the values, in units of σ about μ
    mean: str = "mu"
    std: str = "sigma"
    settings: tuple[str, ...] = ()


_NORMAL = "stream(seed, t).standard_normal(batch_size)"

# Keys of ``core.batch_stream.SOURCES`` and ``DRIFTS``.
_SOURCES: Mapping[str, _Lines] = {
    "normal": _Lines(values=_NORMAL),
    "heavy tails": _Lines(
        ("z = stream(seed, t).standard_t(5, batch_size)  # its variance is 5/3",), "np.sqrt(3 / 5) * z"
    ),
    "two classes, shuffled": _Lines(
        ("pairs = stream(seed, t).standard_normal((batch_size, 2))",),
        "np.copysign(0.8, pairs[:, 0]) + 0.6 * pairs[:, 1]",
    ),
    "two classes, sorted": _Lines(
        ("side = -1 if (t - 1) // block % 2 == 0 else 1  # one class after the other",),
        f"0.8 * side + 0.6 * {_NORMAL}",
        settings=("block",),
    ),
}
_DRIFTS: Mapping[str, _Lines] = {
    "none": _Lines(),
    "shift": _Lines(mean="(mu + shift if t > shift_step else mu)", settings=("shift", "shift_step")),
    "scale": _Lines(std="(factor * sigma if t > shift_step else sigma)", settings=("factor", "shift_step")),
    "cycle": _Lines(
        ("angle = 2 * np.pi * max(t - shift_step, 0) / period",),
        mean="(mu + amplitude * np.sin(angle))",
        settings=("amplitude", "period", "shift_step"),
    ),
    "outlier": _Lines(("if t == outlier_step:", "    x[0] = outlier"), settings=("outlier", "outlier_step")),
}


def _draw(values: Values) -> str:
    """Write the function that draws batch t."""
    source, drift = _origin(values)
    lines = ["def draw(t):", '    """Return batch t: N values of the feature."""']
    if drift is _DRIFTS["none"] and not source.lines:
        return "\n".join([*lines, f"    return mu + sigma * {source.values}"])
    body = [*source.lines, f"x = {source.values}  # in sigma, about mu", *drift.lines]
    return "\n".join(
        [*lines, *(f"    {line}" for line in body), f"    return {drift.mean} + {drift.std} * x"]
    )


def _origin(values: Values) -> tuple[_Lines, _Lines]:
    """Return the lines of the source and of the drift; a shift by nothing is no drift."""
    drift = word(values, "drift")
    still = drift == "shift" and real(values, "shift") == 0
    return _SOURCES[word(values, "source")], _DRIFTS["none" if still else drift]


def _setting(values: Values, rule: _Rule) -> str:
    """Write the numbers of the page."""

    def knob(name: str) -> str:
        return repr(values[name])

    lines = [f"mu, sigma = {knob('mu')}, {knob('sigma')}"]
    for part in _origin(values):
        if part.settings:
            lines.append(f"{', '.join(part.settings)} = {', '.join(map(knob, part.settings))}")
    lines += [
        f"batch_size, steps, seed = {knob('batch_size')}, {knob('steps')}, {knob('seed')}",
        f"probe = {knob('probe')}  # the sample; it never moves the running statistics",
        f"gamma, beta, eps = {knob('gamma')}, {knob('beta')}, {knob('eps')}",
    ]
    if rule.weight is not None:
        lines.append(
            f"a = {rule.weight!r}  # weight of the new batch: PyTorch's momentum; {number(1 - rule.weight, 4)} in "
            "Keras and ONNX"
        )
    return "\n".join(lines) + "\n\n"


# NumPy

_NORMALIZE = '''def normalize(x, mean, var):
    """In training: mean and biased variance of the batch; in evaluation: what is stored."""
    return gamma * (x - mean) / np.sqrt(var + eps) + beta'''


def _numpy_run(values: Values, rule: _Rule, inside: bool) -> str:
    start = f"{values['running_mean']!r}], [{values['running_var']!r}"
    undefined = rule.convention.unbiased and whole(values, "batch_size") == 1
    if undefined:
        variance = [f"    {rule.stays}", "    running_var.append(running_var[-1])"]
    else:
        own = "x.var(ddof=1)" if rule.convention.unbiased else "x.var()"
        kind = "unbiased: divided by N - 1" if rule.convention.unbiased else "biased: divided by N"
        variance = [f"    running_var.append((1 - a) * running_var[-1] + a * {own})  # {kind}"]
    lines = [
        f"running_mean, running_var = [{start}]",
        "train_output, eval_output = [], [normalize(probe, running_mean[0], running_var[0])]",
        "for t in range(1, steps + 1):",
        "    x = draw(t)",
        *(
            ["    seen = np.append(x[:-1], probe)  # the sample takes the place of the last value"]
            if inside
            else ["    seen = x  # the sample stands beside its batch"]
        ),
        "    train_output.append(normalize(probe, seen.mean(), seen.var()))",
        *([] if rule.weight is not None else ["    a = 1 / t  # the average of all batches"]),
        "    running_mean.append((1 - a) * running_mean[-1] + a * x.mean())",
        *variance,
        "    eval_output.append(normalize(probe, running_mean[-1], running_var[-1]))",
    ]
    return "\n".join(lines)


# PyTorch

_TORCH_HEAD = "import numpy as np\nimport torch\nfrom torch import nn"


def _torch_layer(values: Values, rule: _Rule) -> list[str]:
    cumulative = "None)  # the average of all"
    return [
        "layer = nn.BatchNorm1d(1, dtype=torch.float64, eps=eps, momentum="
        + (cumulative if rule.weight is None else "a)"),
        "nn.init.constant_(layer.weight, gamma)",
        "nn.init.constant_(layer.bias, beta)",
        f"layer.running_mean.fill_({values['running_mean']!r})",
        f"layer.running_var.fill_({values['running_var']!r})",
        "sample = torch.tensor([[probe]], dtype=torch.float64)",
    ]


def _torch_run(values: Values, rule: _Rule, inside: bool) -> str:
    new = "1 / t" if rule.weight is None else "a"
    correction = (
        []
        if rule.convention.unbiased
        else [
            f"    {rule.stores('PyTorch')}",
            f"    layer.running_var.fill_((1 - {new}) * running_var[-1] + {new} * x.var(correction=0).item())",
        ]
    )
    if inside:
        training = [
            "    seen = torch.cat([x[:-1], sample])  # the sample takes the place of the last value",
            "    y = nn.functional.batch_norm(",
            "        seen, None, None, layer.weight, layer.bias, training=True, eps=eps",
            "    )",
        ]
    else:
        training = [
            "    batch = x.mean(0), x.var(0, correction=0)  # the sample stands beside its batch",
            "    y = nn.functional.batch_norm(sample, *batch, layer.weight, layer.bias, eps=eps)",
        ]
    lines = [
        *_torch_layer(values, rule),
        "",
        "running_mean, running_var = [layer.running_mean.item()], [layer.running_var.item()]",
        "train_output, eval_output = [], [layer.eval()(sample).item()]",
        "for t in range(1, steps + 1):",
        "    x = torch.from_numpy(draw(t))[:, None]",
        *training,
        "    train_output.append(y[-1].item())",
        "    layer.train()(x)  # moves the running statistics",
        *correction,
        "    running_mean.append(layer.running_mean.item())",
        "    running_var.append(layer.running_var.item())",
        "    eval_output.append(layer.eval()(sample).item())",
    ]
    return "\n".join(lines)


def _torch_refusal(values: Values, rule: _Rule) -> str:
    lines = [
        *_torch_layer(values, rule),
        "",
        'print("evaluation:", layer.eval()(sample).item())',
        "try:",
        "    layer.train()(torch.from_numpy(draw(1))[:, None])  # a batch of one value",
        "except ValueError as error:",
        "    refusal = str(error)",
        '    print("training:", refusal)',
    ]
    return "\n".join(lines) + "\n"


# Keras

_KERAS_HEAD = "import keras  # with any backend\nimport numpy as np"

_KERAS_HELPER = '''def first(y):
    """Return the only number of an array; Keras normalizes in 32 bits: seven digits."""
    return keras.ops.convert_to_numpy(y).item()'''


def _keras_run(values: Values, rule: _Rule, inside: bool) -> str:
    fixed = rule.weight is not None
    new = "a" if fixed else "1 / t"
    if not rule.convention.unbiased:
        correction = []
    elif whole(values, "batch_size") == 1:
        correction = [f"    {rule.stays}", "    layer.moving_variance.assign([running_var[-1]])"]
    else:
        correction = [
            f"    {rule.stores('Keras')}",
            f"    layer.moving_variance.assign([(1 - {new}) * running_var[-1] + {new} * x.var(ddof=1)])",
        ]
    lines = [
        "layer = keras.layers.BatchNormalization(epsilon=eps" + (", momentum=1 - a)" if fixed else ")"),
        "layer.build((None, 1))",
        "layer.gamma.assign([gamma])",
        "layer.beta.assign([beta])",
        f"layer.moving_mean.assign([{values['running_mean']!r}])",
        f"layer.moving_variance.assign([{values['running_var']!r}])",
        "sample = np.array([[probe]])",
        "",
        "running_mean, running_var = [first(layer.moving_mean)], [first(layer.moving_variance)]",
        "train_output, eval_output = [], [first(layer(sample, training=False))]",
        "for t in range(1, steps + 1):",
        "    x = draw(t)[:, None]",
        *(
            ["    seen = np.append(x[:-1], sample, axis=0)  # the sample takes the place of the last value"]
            if inside
            else ["    seen = x  # the sample stands beside its batch"]
        ),
        "    y = keras.ops.batch_normalization(",
        "        sample, seen.mean(0), seen.var(0), -1, layer.beta, layer.gamma, eps",
        "    )",
        "    train_output.append(first(y))",
        *([] if fixed else ["    layer.momentum = 1 - 1 / t  # the average of all batches"]),
        "    layer(x, training=True)  # moves the running statistics",
        *correction,
        "    running_mean.append(first(layer.moving_mean))",
        "    running_var.append(first(layer.moving_variance))",
        "    eval_output.append(first(layer(sample, training=False)))",
    ]
    return "\n".join(lines)
