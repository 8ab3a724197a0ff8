"""Words that captions and texts share: a function with its settings, shares, counts, lists of numbers."""

import math
from collections.abc import Iterable, Mapping

from core.activations import ACTIVATIONS, Activation
from core.knobs import number


def defaults(entry: Activation) -> dict[str, float]:
    """Return the settings that an activation has before any is moved, by the name of its knob."""
    return {knob.name: float(knob.default) for knob in entry.knobs}  # type: ignore[arg-type]


def described(name: str, settings: Mapping[str, float]) -> str:
    """Name an entry of ``ACTIVATIONS`` with its settings: ``leaky ReLU (a 0.2)``.

    Raises:
        KeyError: there is no such entry, or ``settings`` lacks one of its knobs.
    """
    text = ", ".join(
        f"{knob.symbol or knob.name} {number(settings[knob.name], 6)}" for knob in ACTIVATIONS[name].knobs
    )
    return f"{name} ({text})" if text else name


def own(name: str, knob: str) -> str:
    """Name the own knob of a registry's entry, in links of every page: ``leaky_relu_slope``."""
    letters = "".join(c if c.isalnum() else " " for c in name.lower())
    return "_".join([*letters.split(), knob])


def percent(share: float, digits: int = 3) -> str:
    """Write a share of 1 in percent."""
    return "NaN" if math.isnan(share) else f"{number(100 * share, digits)}%"


def counted(count: float, noun: str) -> str:
    """Write how many there are of something: ``1 batch``, ``2 batches``."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number(count)} {noun if number(count) == '1' else plural}"


def numbers(values: Iterable[float], digits: int = 3) -> str:
    """Write numbers one after the other, with commas."""
    return ", ".join(number(float(value), digits) for value in values)
