"""The programs of the Initialization page: rms of signal and gradient by layer in NumPy and in PyTorch.

Both draw what ``core.propagation.propagate`` draws, from the same streams, so that they give its numbers; the one in
PyTorch takes the gradient from autograd.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from charts.activation_code import function_text, words_of
from charts.topic import Code
from core.activations import ACTIVATIONS
from core.initializers import TRUNCATED_STD, Initializer

_WIDTH = 88

# One function a family of ``core.initializers.FAMILIES``; {} is where its options go.
_DRAWS: Mapping[str, str] = {
    "normal": '''def normal(m, n, rng):
    """Entries from N(0, 1)."""
    return rng.standard_normal((m, n))''',
    "truncated normal": f'''def truncated_normal(m, n, rng):
    """Entries from N(0, 1), drawn again outside ±2, over the standard deviation of the rest."""
    draw = rng.standard_normal((m, n))
    while (outside := np.abs(draw) > 2).any():
        draw[outside] = rng.standard_normal(np.count_nonzero(outside))
    return draw / {TRUNCATED_STD!r}''',
    "uniform": '''def uniform(m, n, rng):
    """Entries from U(-√3, √3): standard deviation 1."""
    return (2 * rng.random((m, n)) - 1) * np.sqrt(3)''',
    "orthogonal": '''def orthogonal(m, n, rng):
    """Orthonormal rows or columns, times what makes the standard deviation of an entry 1."""
    q, r = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))
    q *= np.where(np.diagonal(r) < 0, -1, 1) * np.sqrt(max(m, n))  # signs: Haar-distributed
    return q if m >= n else q.T''',
    "sparse": '''def sparse(m, n, rng, sparsity={}):
    """All but k of the m weights into a unit are 0; over all of them the variance is 1."""
    draw = rng.standard_normal((m, n))
    k = max(1, m - int(np.ceil(sparsity * m)))
    order = np.argsort(rng.random((m, n)), axis=0)
    np.put_along_axis(draw, order[k:], 0.0, axis=0)
    return draw * np.sqrt(m / k)''',
    "identity": '''def identity(m, n, rng):
    """Nothing random: the identity, times what makes the rms entry 1."""
    return np.sqrt(max(m, n)) * np.eye(m, n)''',
    "constant": '''def constant(m, n, rng):
    """No spread at all: what is left is the mean."""
    return np.zeros((m, n))''',
}

# What a variance can be divided by, in words of the program.
_DIVISORS: Mapping[str, Callable[[int, int], int]] = {
    "1": lambda m, n: 1,
    "m": lambda m, n: m,
    "n": lambda m, n: n,
    "(m + n)": lambda m, n: m + n,
    "max(m, n)": max,
}
_FANS = ((12, 12), (7, 30), (30, 7), (400, 100))  # told apart by them

_STREAM = '''def stream(seed, *place):
    """A generator of its own for every place: more layers or networks redraw nothing."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))'''

_RMS = '''def rms(x):
    """Root of the mean square; x is scaled first, for its squares may leave float64."""
    size = np.max(np.abs(x))
    return size * np.sqrt(np.mean((x / size) ** 2)) if 0 < size < np.inf else size'''

_LOOP = """signal, gradient = {}, {}  # by scheme: (networks, depth + 1)
with np.errstate(over="ignore", invalid="ignore"):  # an overflow is a result here
    for name, scheme in schemes.items():
        runs = np.array([run(*scheme, network) for network in range(networks)])
        signal[name], gradient[name] = runs[:, 0], runs[:, 1]"""

_TABLE = """for name in schemes:
    print(f"{name}: layer, rms of h, rms of dL/dh, over all networks")
    for layer in sorted({0, 1, depth // 2, depth}):
        h, delta = rms(signal[name][:, layer]), rms(gradient[name][:, layer])
        print(f"{layer:4d} {h:16.9e} {delta:16.9e}")
"""


def programs(
    schemes: Sequence[Initializer],
    activation: str,
    knobs: Mapping[str, float] | None = None,
    *,
    depth: int,
    width: int | Sequence[int],
    batch: int,
    networks: int,
    seed: int,
    sigma_b: float = 0.0,
    input_scale: float = 1.0,
) -> tuple[Code, Code]:
    """Write the two programs that send a signal up through random layers and a gradient down again.

    Each runs alone (``python file.py``), leaves the dictionaries ``signal`` and ``gradient``, by scheme, of arrays
    (networks, depth+1), the rms over batch and units at the layers 0 … depth, and prints the rms over all networks at
    four layers. They agree with ``propagate`` to rounding; where a network is chaotic, rounding grows by its factor
    a layer.

    Args:
        schemes: entries of ``INITIALIZERS`` or ``DATA_DEPENDENT``, with their knobs set by ``at``, of distinct names.
        activation: key of ``ACTIVATIONS``.
        knobs: its parameters; what is missing keeps its default.
        depth, width, batch, seed, sigma_b, input_scale: as for ``propagate``; a list of widths needs depth+1 of them.
        networks: how many to draw, ``propagate``'s ``seeds``.

    Raises:
        KeyError: an unknown activation, or a scheme of a family that has no snippet here.
        ValueError: a knob that the activation does not have, two schemes of one name, or a scheme whose variance is
            none that the program can write.
    """
    entry = ACTIVATIONS[activation]
    given = {knob.name: float(knob.default) for knob in entry.knobs}  # type: ignore[arg-type]
    unknown = sorted(set(knobs or {}) - set(given))
    if unknown:
        raise ValueError(f"{activation} has no knob {', '.join(unknown)}")
    given |= {name: float(value) for name, value in (knobs or {}).items()}
    if len({scheme.name for scheme in schemes}) < len(schemes):
        raise ValueError("schemes: two have one name")
    sizes: dict[str, float] = {"depth": depth, "batch": batch, "networks": networks, "seed": seed}
    if sigma_b != 0:
        sizes["sigma_b"] = float(sigma_b)
    if input_scale != 1:
        sizes["input_scale"] = float(input_scale)
    families = dict.fromkeys((scheme.family, scheme.options) for scheme in schemes)
    draws = [_DRAWS[family].format(*options) for family, options in families]
    setting = [f"{name} = {value!r}" for name, value in sizes.items()]
    setting.append(_widths(width))
    columns = _Columns(schemes)
    shared = [_STREAM, *draws, _RMS, "\n".join(setting) + "\n\n" + columns.menu(schemes)]
    functions = [function_text("phi", given, entry.numpy), function_text("d_phi", given, entry.numpy_slope)]
    head = "import numpy as np"
    if any("erf" in words_of(text) for text in functions):
        head = f"import math\n\n{head}\n\nerf = np.vectorize(math.erf)"
    torch = function_text("phi", given, entry.torch, entry.convention)
    biased, scaled = sigma_b != 0, input_scale != 1
    return (
        Code("NumPy", _joined(head, *functions, *shared, _numpy_run(columns, biased, scaled))),
        Code("PyTorch", _joined(_TORCH_HEAD, torch, *shared, _torch_run(columns, biased, scaled))),
    )


_TORCH_HEAD = "import numpy as np\nimport torch"


def _joined(*parts: str) -> str:
    return "\n\n\n".join([*parts, _LOOP + "\n\n" + _TABLE])


def _widths(width: int | Sequence[int]) -> str:
    """Write the units of the layers 0 … depth."""
    if isinstance(width, Sequence) and len(set(width)) == 1:
        width = int(width[0])
    if isinstance(width, Sequence):
        line = f"widths = [{', '.join(str(int(n)) for n in width)}]"
        return "\n".join(textwrap.wrap(line, _WIDTH, subsequent_indent=" " * 10))
    return f"widths = [{width}] * (depth + 1)"


class _Columns:
    """What stands in a line of the table of schemes: the mean only if one is not 0, the fit only if one has it."""

    def __init__(self, schemes: Sequence[Initializer]) -> None:
        self.shifted = any(scheme.mean != 0 for scheme in schemes)
        self.fitted = any(scheme.data_dependent for scheme in schemes)

    @property
    def arguments(self) -> str:
        return ", ".join(
            ["draw", "std", *(["mean"] if self.shifted else []), *(["fit"] if self.fitted else [])]
        )

    @property
    def weight(self) -> str:
        drawn = "std(m, n) * draw(m, n, stream(seed, network, layer))"
        return f"mean + {drawn}" if self.shifted else drawn

    def menu(self, schemes: Sequence[Initializer]) -> str:
        """Write the table, from names to what draws their weights."""
        parts = ["unit draw", "standard deviation for fan_in m and fan_out n"]
        parts += ["mean"] if self.shifted else []
        parts += ["whether to fit it to the batch"] if self.fitted else []
        lines = []
        for scheme in schemes:
            values = [scheme.family.replace(" ", "_"), f"lambda m, n: {_std(scheme)}"]
            values += [repr(float(scheme.mean))] if self.shifted else []
            values += [str(scheme.data_dependent)] if self.fitted else []
            lines.append(f'    "{scheme.name}": ({", ".join(values)}),')
        if not lines:
            return "schemes = {}"
        return "\n".join([f"# {', '.join(parts)}", "schemes = {", *lines, "}"])


def _std(scheme: Initializer) -> str:
    """Write the standard deviation in m = fan_in and n = fan_out."""
    for divisor, size in _DIVISORS.items():
        found = [scheme.std(m, n) * math.sqrt(size(m, n)) for m, n in _FANS]
        if all(math.isclose(gain, found[0], rel_tol=1e-12) for gain in found):
            return _scaled(found[0], divisor)
    raise ValueError(f"{scheme.name}: its standard deviation is none that a program can write")


def _scaled(gain: float, divisor: str) -> str:
    """Write gain/√divisor, as the root of a ratio where gain² is one of small numbers."""
    rounded = float(f"{gain:.14g}")
    if divisor == "1":
        return repr(rounded)
    ratio = Fraction(gain**2).limit_denominator(9)
    if ratio == 0 or not math.isclose(ratio, gain**2, rel_tol=1e-12):
        return f"{rounded!r} / np.sqrt({divisor.strip('()') if divisor[0] == '(' else divisor})"
    below = divisor if ratio.denominator == 1 else f"({ratio.denominator} * {divisor})"
    return f"np.sqrt({ratio.numerator} / {below})"


_PURPOSE = '    """Send h up and dL/dh down through (fan_in, fan_out) weights; return their rms by layer."""'
_FANS_OF_LAYER = "        m, n = widths[layer - 1 : layer + 1]"
_TOP = "stream(seed, network, 0, 0).standard_normal((batch, widths[depth]))"


def _numpy_run(columns: _Columns, biased: bool, scaled: bool) -> str:
    fit = "        if fit:\n            weight /= np.std(phi(h) @ weight) or 1"
    lines = [
        f"def run({columns.arguments}, network):",
        _PURPOSE,
        f"    h = {_input(scaled)}",
        "    signals, weights = [h], []",
        "    for layer in range(1, depth + 1):",
        _FANS_OF_LAYER,
        f"        weight = {columns.weight}",
        *([fit] if columns.fitted else []),
        "        h = phi(h) @ weight",
        *(["        h += sigma_b * stream(seed, network, layer, 0).standard_normal(n)"] if biased else []),
        "        weights.append(weight)",
        "        signals.append(h)",
        f"    delta = {_TOP}",
        "    gradients = [delta]",
        "    for weight, h in zip(weights[::-1], signals[-2::-1]):",
        "        delta = (delta @ weight.T) * d_phi(h)",
        "        gradients.append(delta)",
        "    return [rms(h) for h in signals], [rms(delta) for delta in gradients[::-1]]",
    ]
    return "\n".join(lines)


def _input(scaled: bool) -> str:
    return (
        "input_scale * " if scaled else ""
    ) + "stream(seed, network, 0).standard_normal((batch, widths[0]))"


def _torch_run(columns: _Columns, biased: bool, scaled: bool) -> str:
    bias = "torch.from_numpy(stream(seed, network, layer, 0).standard_normal(n))"
    fit = "        if fit:\n            weight /= (phi(h) @ weight).detach().std(correction=0).item() or 1"
    lines = [
        f"def run({columns.arguments}, network):",
        _PURPOSE,
        f"    x = {_input(scaled)}",
        "    h = torch.from_numpy(x).requires_grad_()",
        "    signals = [h]",
        "    for layer in range(1, depth + 1):",
        _FANS_OF_LAYER,
        f"        weight = torch.from_numpy({columns.weight})",
        *([fit] if columns.fitted else []),
        "        h = phi(h) @ weight",
        *([f"        h = h + sigma_b * {bias}"] if biased else []),
        "        h.retain_grad()",
        "        signals.append(h)",
        f"    top = {_TOP}",
        "    (h * torch.from_numpy(top)).sum().backward()  # a loss whose dL/dh at the top is this",
        "    return [rms(h.detach().numpy()) for h in signals], [rms(h.grad.numpy()) for h in signals]",
    ]
    return "\n".join(lines)
