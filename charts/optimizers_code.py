"""The programs of the Optimizers page: the paths of its main figure in NumPy and in PyTorch.

Both let the methods meet what ``charts.optimizers_base.run`` lets them meet: the same start, noise or mini-batches from
the same streams, clipping, schedule, box and formulas. So they give its numbers, up to rounding.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from charts.optimizers_base import NONE, OWN, Method, methods, noisy, start_of, surface_of, surface_settings
from charts.optimizers_code_formula import tidy
from charts.optimizers_code_rules import RATIO, RULES, Form, Function, function
from charts.optimizers_code_surfaces import SURFACE_TEXTS, Text, folded, from_formula, statement, surface_text
from charts.topic import Code, Values, real, whole, word, words
from core.schedules import SCHEDULES, Schedule
from core.surfaces import Surface

Settings = Mapping[str, float | bool]


def programs(values: Values) -> tuple[Code, Code]:
    """Write the two programs that let the page's methods descend from its start.

    Each runs alone (``python file.py``), leaves ``paths``, by label the list of steps + 1 points, and ``losses``, the
    values of f there, and prints f − f*, or f where there is no f*, at every tenth step. They agree with
    ``optimizers_base.run`` to rounding, unless the run is chaotic. The PyTorch program takes its optimizers from
    ``torch.optim`` where that has the formula of the page, and writes the others by hand. PyTorch's sign of NaN is 0: a
    rule that looks at signs stands still there where a typed f has no value, and goes to NaN in the figure.

    Args:
        values: of the page's knobs, all of them.

    Raises:
        KeyError: a value is missing, or a surface, method or schedule has no text.
    """
    page = _page(values)
    return Code("NumPy", _numpy(page)), Code("PyTorch", _torch(page))


def has_text(values: Values) -> bool:
    """Return whether the surface, the methods and the schedule of the page all have their text; a new entry has none."""
    chosen = {*words(values, "optimizers"), word(values, "twin")}
    known = values["surface"] == OWN or values["surface"] in SURFACE_TEXTS
    return known and values["schedule"] in FACTORS and chosen <= {*RULES, NONE}


# What both share


class _Update(NamedTuple):
    """A method in a program: its function with a name, and the settings that this reads, as arguments of a call."""

    method: Method
    function: Function
    name: str
    arguments: str


class _Page(NamedTuple):
    """The page's values as a program needs them; ``rate_knobs`` are the schedule's own."""

    values: Values
    surface: Surface
    text: Text
    updates: Sequence[_Update]
    schedule: Schedule
    rate_knobs: Settings
    noise: bool
    batches: bool
    clip: str

    @property
    def convention(self) -> str:
        """The framework whose formulas are followed."""
        return word(self.values, "convention")

    @property
    def steps(self) -> int:
        """The length of the run."""
        return whole(self.values, "steps")

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes from step to step."""
        return bool(self.schedule.knobs)

    @property
    def curved(self) -> bool:
        """Whether a method asks for second derivatives."""
        return any("hessian(" in update.function.body for update in self.updates)


def _page(values: Values) -> _Page:
    surface, schedule = surface_of(values), SCHEDULES[word(values, "schedule")]
    if word(values, "surface") == OWN:
        text = from_formula(word(values, "formula"))
    else:
        text = surface_text(surface.name, surface_settings(values))
    rate_knobs = {
        knob.name: whole(values, name) if knob.kind == "int" else real(values, name)
        for knob in schedule.knobs
        for name in [f"schedule_{knob.name}"]
    }
    batches = noisy(values) and surface.samples is not None
    noise = noisy(values) and not batches
    updates = _updates(methods(values), word(values, "convention"))
    return _Page(values, surface, text, updates, schedule, rate_knobs, noise, batches, word(values, "clip"))


def _updates(shown: Mapping[str, Method], convention: str) -> list[_Update]:
    """Write the functions of all methods; a second run with another formula gets a function of its own."""
    found: list[_Update] = []
    for method in shown.values():
        written = function(method.entry.name, Form(method.settings, convention))
        name = method.entry.build.__name__.strip("_")
        if any(other.name == name and other.function != written for other in found):
            name += "_again"
        settings = {setting: method.settings[setting] for setting in written.settings}
        found.append(_Update(method, written, name, _arguments(_whole_numbers(method, settings))))
    return found


def _whole_numbers(method: Method, settings: Settings) -> dict[str, float | bool]:
    """Return the settings, those that count something as whole numbers."""
    counts = {knob.name for knob in method.entry.knobs if knob.step == 1 and knob.low >= 1}
    return {name: int(value) if name in counts else value for name, value in settings.items()}


def _literal(value: float) -> str:
    return tidy(repr(value))


def _arguments(settings: Settings) -> str:
    return ", ".join(f"{name}={_literal(value)}" for name, value in settings.items())


def _functions(updates: Sequence[_Update]) -> dict[str, str]:
    """Return the text of every function once, by its name."""
    return {update.name: update.function.text(update.name) for update in updates}


def _title(page: _Page) -> str:
    what = "a function that was typed" if word(page.values, "surface") == OWN else page.surface.name
    formulas = f"; formulas of {page.convention}" if page.updates else ""
    return f'"""Descent on {what}{formulas}."""'


def _doc(page: _Page) -> str:
    if word(page.values, "surface") == OWN:
        return "The function that was typed."
    return (
        f"{page.surface.name}: the average of what the steps show."
        if page.text.online
        else f"{page.surface.name}."
    )


def _point(page: _Page) -> str:
    """Write the arguments of a step's gradient."""
    if page.text.online:
        return "w, t"
    return ", ".join(["w", *(f"{name}[rows]" for name in page.text.data if page.batches)])


_BATCH = '''def batch(t):
    """The rows of step t: every epoch visits each sample once, in an order of its own."""
    epoch, place = divmod(t - 1, -(-len(inputs) // batch_size))
    source = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return source.permutation(len(inputs))[place * batch_size :][:batch_size]'''

# By ``core.schedules.SCHEDULES``: what learning rates are multiplied by for the step from t to t + 1. Nothing for the
# constant one, whose program has no such function.
FACTORS: Mapping[str, Sequence[str]] = {
    "constant": (),
    "step": ("return drop ** (t // every)",),
    "exponential": ("return gamma**t",),
    "cosine": ("return floor + (1 - floor) * (1 + np.cos(np.pi * t / steps)) / 2",),
    "warm-up": ("return start + (1 - start) * min(t / warmup, 1)",),
    "warm-up and cosine": (
        "if t < warmup:",
        "    return start + (1 - start) * t / warmup",
        "passed = (t - warmup) / max(1, steps - warmup)",
        "return floor + (1 - floor) * (1 + np.cos(np.pi * passed)) / 2",
    ),
    "one-cycle": (
        "peak, first = rise * steps - 1, 1 / div_factor",
        "if t <= peak and peak > 0:",
        "    return 1 + (first - 1) * (1 + np.cos(np.pi * t / peak)) / 2",
        "last, passed = first / final_div_factor, (t - peak) / ((steps - 1 - peak) or 1.0)",
        "return last + (1 - last) * (1 + np.cos(np.pi * passed)) / 2",
    ),
    "1/√t": ("return (1 + decay * t) ** -0.5",),
    "1/t": ("return 1 / (1 + decay * t)",),
}


def _factor(page: _Page) -> str:
    """Write the function that learning rates are multiplied by."""
    head = ", ".join(["t", *(f"{name}={_literal(value)}" for name, value in page.rate_knobs.items())])
    doc = f'"""The {page.schedule.name} schedule: a multiple of lr for the step from t to t + 1."""'
    return "\n    ".join([f"def factor({head}):", doc, *FACTORS[page.schedule.name]])


def _setting(page: _Page) -> list[str]:
    """Write the numbers of the page."""
    values, (x, y) = page.values, start_of(page.values).tolist()
    lines = [f"start, steps = ({_literal(x)}, {_literal(y)}), {page.steps}"]
    if page.batches:
        lines.append(f"batch_size, seed = {whole(values, 'batch_size')}, {whole(values, 'seed')}")
    if page.noise:
        noise = _literal(real(values, "noise"))
        lines.append(f"sigma, seed = {noise}, {whole(values, 'seed')}  # of the noise in each coordinate")
    if page.clip != NONE:
        lines.append(f"most = {_literal(real(values, 'clip_at'))}  # gradients are clipped by {page.clip}")
    return lines


def _registry(name: str, entries: Mapping[str, str], comment: str) -> list[str]:
    """Write a dictionary, an entry a line."""
    lines = [f'"{label}": {folded(text, 4, len(label) + 4)},' for label, text in entries.items()]
    if not lines:
        return [f"{name} = {{}}"]
    return [f"{name} = {{  # {comment}", *(f"    {line}" for line in lines), "}"]


def _table(page: _Page) -> list[str]:
    lowest = page.surface.infimum
    what, value = ("f", "values[t]") if lowest is None else ("f - f*", "values[t] - lowest")
    return [
        "",
        *([] if lowest is None else [f"lowest = {_literal(lowest)}  # f*"]),
        f'print("{what}")',
        'print("step", *(f"{name:>15}" for name in losses))',
        "for t in sorted({*range(0, steps + 1, 10), steps}):",
        f'    print(f"{{t:4d}}", *(f"{{{value}:15.6e}}" for values in losses.values()))',
        "",
    ]


def _program(
    title: str, imports: Sequence[str], setup: Sequence[str], functions: Sequence[str], run: Sequence[str]
) -> str:
    """Join the parts of a program; of the imports, those that it uses."""
    run_text, setup_text = "\n".join(run), "\n".join(setup)
    rest = "\n".join([setup_text, *functions, run_text])
    used = [line for line in imports if re.search(rf"\b{line.split()[-1]}\.", rest)]
    head = "\n".join([title, "", *used, *(["", setup_text] if setup else [])])
    return "\n\n\n".join([head, *functions, run_text])


# NumPy

# Clipping, by the page's choices: the gradient that the methods see.
_NUMPY_CLIPS: Mapping[str, Sequence[str]] = {
    NONE: (),
    "norm": ("g = g * np.minimum(1.0, most / (np.linalg.norm(g) + 1e-6))",),
    "value": ("g = np.clip(g, -most, most)",),
}


def _numpy(page: _Page) -> str:
    text = page.text
    doc = "The gradient of the loss that step t shows." if text.online else "The gradient of f."
    if page.batches:
        doc = "The gradient of f, or of the mean over some samples."
    functions = text.numpy_functions(_doc(page), doc, page.curved)
    if page.batches:
        functions.append(_BATCH)
    updates = _functions(page.updates)
    if any("ratio(" in update for update in updates.values()):
        functions.append(RATIO)
    functions += updates.values()
    settings, rate = "**settings", []
    if page.scheduled:
        functions.append(_factor(page))
        settings, rate = "**now", ['now = {**settings, "lr": settings["lr"] * factor(t - 1)}']
    slope = f"g = gradient({_point(page)})"
    if page.noise:
        slope += " + sigma * rng.standard_normal(2)"
    low, high = page.surface.box or (0, 0)
    step = [
        *(["rows = batch(t)"] if page.batches else []),
        slope,
        *_NUMPY_CLIPS[page.clip],
        *rate,
        f"w = update(w, g, state, t, {settings})",
        *([f"w = np.clip(w, {low}, {high})"] if page.surface.box else []),
        "paths[name].append(w)",
    ]
    entries = {u.method.label: f"({u.name}, dict({u.arguments}))" for u in page.updates}
    run = [
        *_setting(page),
        *_registry("methods", entries, "label: its update and the settings"),
        "",
        "paths, losses = {}, {}",
        'with np.errstate(all="ignore"):  # a run that overflows goes on, as inf and NaN',
        "    for name, (update, settings) in methods.items():",
        "        w, state = np.array(start), {}",
        *(["        rng = np.random.default_rng(seed)  # the same noise for all"] if page.noise else []),
        "        paths[name] = [w]",
        "        for t in range(1, steps + 1):",
        *(f"            {line}" for line in step),
        "        losses[name] = [f(w) for w in paths[name]]",
        *_table(page),
    ]
    return _program(_title(page), ("import math", "import numpy as np"), text.setup, functions, run)


# PyTorch

_BY_HAND = '''class ByHand(torch.optim.Optimizer):
    """An update of (w, g, state, t, settings) as an optimizer."""

    def __init__(self, params, update, **settings):
        super().__init__(params, settings)
        self.update = update

    @torch.no_grad()
    def step(self{closure}):
        {gradient}for group in self.param_groups:
            settings = {{name: group[name] for name in self.defaults}}
            for w in group["params"]:
                state = self.state[w]
                t = state["t"] = state.get("t", 0) + 1
                w.copy_(self.update(w, w.grad, state, t, **settings))'''

_HESSIAN = '''def hessian(w):
    """The second derivatives of f."""
    return torch.autograd.functional.hessian(f, w)'''

_TORCH_CLIPS: Mapping[str, Sequence[str]] = {
    NONE: (),
    "norm": ("torch.nn.utils.clip_grad_norm_([w], most)",),
    "value": ("torch.nn.utils.clip_grad_value_([w], most)",),
}

# What ``torch.optim`` refuses though the page allows it, and why.
_REFUSED: Mapping[str, tuple[Callable[[Settings], bool], str]] = {
    "Nesterov": (
        lambda settings: settings["momentum"] == 0,
        "torch.optim.SGD refuses nesterov=True without momentum.",
    ),
}
_REFUSED_SCHEDULES: Mapping[str, tuple[Callable[[int, Settings], bool], str]] = {
    "one-cycle": (
        lambda steps, knobs: knobs["rise"] * steps == 1,
        "OneCycleLR divides by 0 where its peak is at step 0.",
    ),
}


def _by_hand(update: _Update, convention: str) -> str:
    """Say why a method is not one of ``torch.optim`` with the page's settings; nothing if it is."""
    entry, settings = update.method.entry, update.method.settings
    if not entry.torch:
        return f"torch.optim has no {entry.name}."
    maker = entry.torch.partition("(")[0]
    if update.function != function(entry.name, Form(settings)):
        return f"{maker} has another formula than {convention}."
    for knob in entry.knobs:
        if settings[knob.name] != knob.default and not re.search(rf"\b{knob.name}\b", entry.torch):
            return f"{maker} has no such {knob.label.lower()}."
    if Form(settings).may_vanish:
        return f"Without eps {maker} divides 0 by 0 where the gradient is 0."
    refuses, why = _REFUSED.get(entry.name, (lambda settings: False, ""))
    return why if refuses(settings) else ""


class _Numbers(ast.NodeTransformer):
    """Puts numbers in the place of names."""

    def __init__(self, numbers: Settings) -> None:
        self.numbers = numbers

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a name that stands for a number."""
        return ast.Constant(self.numbers[node.id]) if node.id in self.numbers else node


def _filled(line: str, numbers: Settings, defaults: Settings) -> str:
    """Put the settings into a registry's line of PyTorch; those that it would set so by itself are left out."""
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    kept = []
    for keyword in call.keywords:
        names = {n.id for n in ast.walk(keyword.value) if isinstance(n, ast.Name)}
        if not names or any(n not in defaults or numbers[n] != defaults[n] for n in names):
            kept.append(keyword)
    call.keywords = kept
    return tidy(ast.unparse(ast.fix_missing_locations(_Numbers(numbers).visit(call))))


def _optimizer(update: _Update, convention: str) -> str:
    """Write what makes a method's optimizer of its parameters."""
    if _by_hand(update, convention):
        return f"lambda params: ByHand(params, {update.name}, {update.arguments})"
    settings = _whole_numbers(update.method, update.method.settings)
    # PyTorch's own: momentum, which the page never starts at 0, is 0 there, and lr is always said.
    own = {**getattr(update.method.entry, "defaults", {}).get("PyTorch", {}), "momentum": 0.0}
    own.pop("lr", None)
    return f"lambda params: {_filled(update.method.entry.torch, settings, own)}"


def _torch_schedule(page: _Page) -> tuple[list[str], str]:
    """Write the functions that make PyTorch's scheduler of an optimizer, and their call."""
    refuses, why = _REFUSED_SCHEDULES.get(page.schedule.name, (lambda steps, knobs: False, ""))
    doc = f'"""The {page.schedule.name} schedule."""'
    if refuses(page.steps, page.rate_knobs):
        lines = [f"# {why}", "return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)"]
        return [
            _factor(page),
            "\n    ".join(["def schedule(optimizer):", doc, *lines]),
        ], "schedule(optimizer)"
    lines = statement(f"return {_filled(page.schedule.torch, page.rate_knobs, {})}")
    if any(re.search(r"\blr\b", line) for line in lines):
        return [
            "\n    ".join(["def schedule(optimizer, lr):", doc, *lines])
        ], 'schedule(optimizer, optimizer.defaults["lr"])'
    return ["\n    ".join(["def schedule(optimizer):", doc, *lines])], "schedule(optimizer)"


def _torch(page: _Page) -> str:
    text, names = page.text, page.text.data
    setup = ["torch.set_default_dtype(torch.float64)", *text.setup]
    if names:
        tensors = ", ".join(f"torch.from_numpy({name})" for name in names)
        setup.append(f"{', '.join(names)} = {tensors}")
    functions = text.torch_functions(_doc(page))
    if page.curved:
        functions.append(_HESSIAN)
    if page.batches:
        functions.append(_BATCH)
    closing = any("LBFGS" in u.method.entry.torch and not _by_hand(u, page.convention) for u in page.updates)
    functions += _hand_written(page, closing)
    scheduler, after = [], []
    if page.scheduled:
        made, call = _torch_schedule(page)
        functions += made
        scheduler, after = [f"    scheduler = {call}"], ["scheduler.step()"]
    loss = f"{'step_loss' if text.online else 'f'}({_point(page)})"
    backward = ["loss = " + loss, "loss.backward()"] if closing or text.limited else [f"{loss}.backward()"]
    slope = [
        *(["rows = batch(t)"] if page.batches else []),
        "optimizer.zero_grad()",
        *backward,
        *(
            ["if loss.isnan():", "    w.grad.fill_(torch.nan)  # no slope where f has no value"]
            if text.limited
            else []
        ),
        *(["w.grad += sigma * torch.from_numpy(rng.standard_normal(2))"] if page.noise else []),
        *_TORCH_CLIPS[page.clip],
    ]
    if closing:
        functions.append(
            "\n    ".join(
                ["def closure():", '"""The loss; leaves its gradient in w."""', *slope, "return loss"]
            )
        )
        slope = []
    low, high = page.surface.box or (0, 0)
    box = ["with torch.no_grad():", f"    w.clamp_({low}, {high})"] if page.surface.box else []
    step = [*slope, f"optimizer.step({'closure' if closing else ''})", *after, *box]
    entries = {u.method.label: _optimizer(u, page.convention) for u in page.updates}
    run = [
        *_setting(page),
        *_registry("optimizers", entries, "label: what makes it"),
        "",
        "paths, losses = {}, {}",
        "for name, make in optimizers.items():",
        "    w = torch.tensor(start, requires_grad=True)",
        "    optimizer = make([w])",
        *scheduler,
        *(["    rng = np.random.default_rng(seed)  # the same noise for all"] if page.noise else []),
        "    paths[name] = [w.detach().clone()]",
        "    for t in range(1, steps + 1):",
        *(f"        {line}" for line in step),
        "        paths[name].append(w.detach().clone())",
        "    losses[name] = [f(w).item() for w in paths[name]]",
        *_table(page),
    ]
    imports = ("import math", "import numpy as np", "import torch")
    return _program(_title(page), imports, setup, functions, run)


def _hand_written(page: _Page, closing: bool) -> list[str]:
    """Write the updates that ``torch.optim`` lacks, each with the reason, and the optimizer that they need."""
    reasons = {u.name: _by_hand(u, page.convention) for u in page.updates}
    texts = {name: text for name, text in _functions(page.updates).items() if reasons[name]}
    if not texts:
        return []
    found = [f"# {reasons[name]}\n{text}" for name, text in texts.items()]
    if any("ratio(" in text for text in texts.values()):
        found.insert(0, RATIO)
    gradient = "with torch.enable_grad():\n            closure()\n        " if closing else ""
    wrapper = _BY_HAND.format(closure=", closure" if closing else "", gradient=gradient)
    return [*(text.replace("np.", "torch.") for text in found), wrapper]
