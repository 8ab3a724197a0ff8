"""The programs of the Dropout page: the unit of its main figure in NumPy and in PyTorch.

Both draw the contributions and masks that ``core.dropout.dropout_layer`` draws, from the same streams, so that they
give its numbers: mean and variance over masks in training and in evaluation, in every mode.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from charts.topic import Code, Values, real, whole, word
from core.dropout import DROPOUT_MODES, DropoutMode, dropout_convention

_STREAM = '''def stream(seed, *place):
    """A generator of its own for every place: more inputs or masks redraw nothing."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))'''

_MASKS = '''def draw_masks(part):
    """Masks (M, n), True where an input is kept; each input has its own stream."""
    return np.stack([stream(seed, part, i).random(masks) >= p_drop for i in range(n)], axis=1)'''

# By ``core.dropout.CONTRIBUTIONS``: the function that fills the contributions.
_CONTRIBUTIONS: Mapping[str, str] = {
    "equal": '''def contributions():
    """What each input adds, (n,): activation times weight, all the same."""
    return np.full(n, 1 / n)''',
    "positive, random": '''def contributions():
    """What each input adds, (n,): activation times weight, positive, sum 1."""
    raw = np.abs(stream(seed, 0).standard_normal(n))
    return raw / raw.sum()''',
    "positive and negative": '''def contributions():
    """What each input adds, (n,): activation times weight, of either sign; Σc and Σc² are 1."""
    centered = stream(seed, 0).standard_normal(n)
    centered -= centered.mean()
    return 1 / n + centered * np.sqrt((1 - 1 / n) / np.sum(centered**2))''',
}

_VARIANCE = '''def variance(y):
    """Unbiased: divided by M - 1. The first value is taken off, so that equal values give 0."""
    return {}'''

_TABLE = """
print("mode, training mean and variance, evaluation mean and variance, eval / train")
for mode, (train_mean, train_var, eval_mean, eval_var) in moments.items():
    ratio = eval_mean / train_mean if train_mean else float("nan")
    print(f"{mode:14s} {train_mean:13.10f} {train_var:13.10f}", end="")
    print(f" {eval_mean:13.10f} {eval_var:13.10f} {ratio:8.4f}")
"""


class _Scale(NamedTuple):
    """A factor on the units: its function of p, and how the program writes it around an array."""

    of: Callable[[float], float]
    text: str
    at_one: str = ""  # at p = 1, where it differs


_SCALES = (
    _Scale(lambda p: 1.0, "{}"),
    _Scale(lambda p: 1 - p, "p_keep * {}"),
    _Scale(lambda p: 1 / (1 - p), "{} / p_keep", "0 * {}"),  # nothing is kept: 1 / p_keep is not taken
)
_TRIED = (0.1, 0.3, 0.8)  # values of p that tell scales apart


def _scaled(scale: Callable[[float], float], p: float, units: str) -> str:
    """Write an array times a mode's factor; ValueError if no text here gives that factor."""
    for known in _SCALES:
        if all(abs(scale(q) - known.of(q)) < 1e-12 for q in _TRIED):
            return (known.at_one if p == 1 and known.at_one else known.text).format(units)
    raise ValueError("scale: none that the program can write")


def _line(mode: DropoutMode, p: float, wrap: str) -> str:
    """Write a mode's entry: what the unit puts out in training, and in evaluation."""
    train = _scaled(mode.train_scale, p, "kept" if mode.masks_in_training else "whole")
    evaluation = _scaled(mode.eval_scale, p, "other" if mode.masks_in_evaluation else "whole")
    return f'    "{mode.name}": ({wrap.format(train)}, {wrap.format(evaluation)}),'


def _modes(p: float, wrap: str) -> list[str]:
    """Write the dictionary of all modes."""
    # At p = 1 the division is not taken.
    end = ["# Nothing is kept: 1 / p_keep is not defined, and the output is 0."] if p == 1 else []
    start = "modes = {  # what the unit puts out in training, and in evaluation"
    return [*end, start, *(_line(mode, p, wrap) for mode in DROPOUT_MODES.values()), "}"]


def _program(values: Values, head: Sequence[str], run: Sequence[str]) -> str:
    """Join the imports and functions of a program, the numbers of the page and what is done with them."""
    p, n = real(values, "p"), whole(values, "inputs")
    convention = dropout_convention(word(values, "convention"))
    drawn = _CONTRIBUTIONS[word(values, "contributions")]
    if n == 1:
        drawn = _CONTRIBUTIONS["equal"]  # a single contribution is the whole sum
    setting = [
        f"p_drop = {p!r}  # the probability to drop",
        "p_keep = 1 - p_drop",
        f"# {convention.name}: {convention.call(p)}; the row {convention.mode}.",
        f"n, masks, seed = {n}, {whole(values, 'masks')}, {whole(values, 'seed')}",
        "",
    ]
    imports, *functions = head
    body = "\n".join([*setting, *run, ""])
    return "\n\n\n".join([imports, _STREAM, drawn, _MASKS, *functions, body]) + _TABLE


def programs(values: Values) -> tuple[Code, Code]:
    """Write the two programs that push one unit through the same masks in every mode.

    Each runs alone (``python file.py``) and leaves ``moments``: by mode, in the order of ``DROPOUT_MODES``, the mean and
    unbiased variance over masks of the output in training, then those in evaluation. They agree with
    ``dropout_layer`` to rounding. The PyTorch program adds the mode ``nn.Dropout``, whose masks PyTorch draws.

    Args:
        values: of the page's knobs: p, convention, inputs, contributions, masks, seed.

    Raises:
        KeyError: a value is missing, or the contributions are unknown.
        ValueError: an unknown convention, or a mode with a scale that the program cannot write.
    """
    p = real(values, "p")
    numpy = [
        "c = contributions()",
        "kept, other = draw_masks(1) @ c, draw_masks(2) @ c  # the unit's output under each mask",
        "whole = np.full(masks, c.sum())  # and with all inputs",
        *_modes(p, "{}"),
        "moments = {",
        "    mode: [f(y) for y in both for f in (np.mean, variance)] for mode, both in modes.items()",
        "}",
    ]
    torch = [
        "c = torch.from_numpy(contributions())",
        "whole = torch.ones(masks, n, dtype=torch.float64)  # all inputs, under each mask",
        "kept, other = (whole * torch.from_numpy(draw_masks(part)) for part in (1, 2))",
        *_modes(p, "unit({})"),
        "# nn.Dropout is inverted and draws masks of its own; eval() switches it off.",
        "layer = nn.Dropout(p_drop)",
        "torch.manual_seed(seed)",
        'modes["nn.Dropout"] = (unit(layer.train()(whole)), unit(layer.eval()(whole)))',
        "moments = {",
        "    mode: [f(y).item() for y in both for f in (torch.mean, variance)]",
        "    for mode, both in modes.items()",
        "}",
    ]
    return (
        Code("NumPy: the main figure", _program(values, _NUMPY_HEAD, numpy)),
        Code("PyTorch: the main figure", _program(values, _TORCH_HEAD, torch)),
    )


_NUMPY_HEAD = ("import numpy as np", _VARIANCE.format("np.var(y - y[0], ddof=1)"))
_TORCH_HEAD = (
    "import numpy as np\nimport torch\nfrom torch import nn",
    '''def unit(x):
    """The sum of inputs (M, n), each times what it contributes: the output under each mask."""
    return x @ c''',
    _VARIANCE.format("torch.var(y - y[0])"),
)
