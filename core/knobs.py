"""Knobs: the named, bounded values that controls, links, the command line and tests share."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, Protocol

Value = float | int | bool | str | tuple[str, ...]
Kind = Literal["float", "int", "bool", "choice", "choices", "text"]

_LONGEST_QUOTE = 40

# What a host may cap, and what it is; a knob names its own kind of size in ``cap``. Knobs that end at 16 or less, of
# which even the largest value is soon computed, name none.
CAPS: Mapping[str, str] = MappingProxyType(
    {
        "width": "units of a layer, inputs of a unit",
        "depth": "layers",
        "grid": "cells of a map along a side, learning rates of a sweep",
        "seeds": "networks or starts over which is averaged",
        "samples": "masks, passes, noisy runs or training points",
    }
)


class KnobError(ValueError):
    """A value that a knob cannot take; the message names the value and what is allowed."""


def quote(text: str) -> str:
    """Shorten a foreign value to one printable line of at most 40 characters, for use in a message."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


@dataclass(frozen=True)
class Knob:
    """One parameter of an experiment: its name, its range or choices, its default and its unit.

    ``low`` and ``high`` are hard limits, both inclusive. ``step`` is only the grain of a control: a link
    or a command may name any value in between. ``aliases`` maps names that a choice once had to its name
    of today, so that old links live on. A text is handed to ``reader``, which raises ``ValueError`` with
    what is wrong in it; ``most`` is how many characters it may have. ``cap`` names the kind of size that the knob is,
    a key of ``CAPS``, if a host may limit it; ``capped`` says that this host does.
    """

    name: str
    kind: Kind
    default: Value
    label: str = ""
    low: float = -math.inf
    high: float = math.inf
    step: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    most: int = 0
    unit: str = ""
    help: str = ""
    symbol: str = ""
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reader: Callable[[str], object] | None = None
    cap: str = ""
    capped: bool = False

    def __post_init__(self) -> None:
        """Refuse a default that the knob itself would refuse, and former names that are in use or lead nowhere."""
        for alias, today in self.aliases.items():
            if alias in self.choices or today not in self.choices:
                raise ValueError(f"{self.name}: the former name {alias} is in use or leads to no choice")
        if self.cap and self.cap not in CAPS:
            raise ValueError(f"{self.name}: no cap is named {self.cap}")
        object.__setattr__(self, "default", self.check(self.default))

    @property
    def range_text(self) -> str:
        """What the knob takes, in words: ``a number from 0.1 to 5``, ``one of ReLU, tanh``."""
        return self._range + (", the most that this host allows" if self.capped else "")

    @property
    def _range(self) -> str:
        if self.kind == "bool":
            return "true or false"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "choices":
            limit = f"up to {self.most}" if self.most else "any"
            return f"{limit} of " + ", ".join(self.choices)
        if self.kind == "text":
            return f"a text of up to {self.most} characters"
        noun = "a whole number" if self.kind == "int" else "a number"
        return f"{noun} from {_in_full(self.low)} to {_in_full(self.high)}"

    def _refuse(self, value: object) -> KnobError:
        return KnobError(f"{self.name} = {quote(str(value))}: needs {self.range_text}")

    def _choice(self, value: object) -> str:
        """Find a choice by its name, an alias, or either in another case."""
        text = str(value)
        if text in self.choices:
            return text
        names = {**self.aliases, **{name: name for name in self.choices}}
        found = {name for key, name in names.items() if key.casefold() == text.casefold()}
        if len(found) != 1:
            raise self._refuse(value)
        return found.pop()

    def _read(self, value: object) -> str:
        """Check a text with the reader, whose complaint goes into the message."""
        if not isinstance(value, str) or len(value) > self.most:
            raise self._refuse(value)
        if self.reader is not None:
            try:
                self.reader(value)
            except ValueError as error:
                raise KnobError(f"{self.name} = {quote(value)}: {error}") from None
        return value

    def check(self, value: object) -> Value:
        """Return ``value`` in the knob's own type.

        Raises:
            KnobError: wrong type, not finite, outside [low, high], not among the choices, or a text that the
                reader refuses.
        """
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise self._refuse(value)
        if self.kind == "choice":
            return self._choice(value)
        if self.kind == "text":
            return self._read(value)
        if self.kind == "choices":
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise self._refuse(value)
            unique = tuple(dict.fromkeys(self._choice(v) for v in value))
            if self.most and len(unique) > self.most:
                raise KnobError(f"{self.name}: {len(unique)} chosen, needs {self.range_text}")
            return unique
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(value)
        if value in (math.inf, -math.inf) or not self.low <= value <= self.high:  # also refuses NaN
            raise self._refuse(value)
        if self.kind == "int":
            if value != int(value):
                raise self._refuse(value)
            return int(value)
        return float(value)

    def parse(self, text: str | Sequence[str]) -> Value:
        """Read a value from a link or a command line; a sequence holds the repeats of one parameter.

        Raises:
            KnobError: the message names the value and the allowed range.
        """
        if self.kind == "choices":
            parts = [text] if isinstance(text, str) else list(text)
            return self.check([p for p in parts if p != ""])
        if not isinstance(text, str):
            if not text:
                raise self._refuse("nothing")
            text = text[-1]
        if self.kind == "bool":
            word = text.strip().lower()
            if word in ("true", "1", "yes", "on"):
                return True
            if word in ("false", "0", "no", "off"):
                return False
            raise self._refuse(text)
        if self.kind in ("choice", "text"):
            return self.check(text)
        clean = text.strip().replace("\u2212", "-")
        if "_" in clean or not clean.isascii() or len(clean) > 64:  # float() would take 1_000 and ３
            raise self._refuse(text)
        try:
            value = float(clean)
        except ValueError:
            raise self._refuse(text) from None
        try:
            return self.check(value)
        except KnobError:
            raise self._refuse(text) from None  # as it was written: 9, not 9.0

    @staticmethod
    def text(value: Value) -> str | list[str]:
        """Write a value as a link carries it; ``parse`` reads it back unchanged."""
        if isinstance(value, tuple):
            return list(value) or [""]
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            return str(value)
        return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

    def limited(self, most: int) -> "Knob":
        """Return this knob with no value above ``most``, and its default no higher; the knob itself if nothing changes.

        A control needs two positions, so the two lowest always remain; of a choice, whose names have to be whole
        numbers, the lowest.
        """
        if self.kind == "choice":
            kept = tuple(name for name in self.choices if int(name) <= most) or (min(self.choices, key=int),)
            if kept == self.choices:
                return self
            aliases = {alias: name for alias, name in self.aliases.items() if name in kept}
            default = self.default if self.default in kept else max(kept, key=int)
            return replace(
                self, choices=kept, aliases=MappingProxyType(aliases), default=default, capped=True
            )
        step = self.step or 1
        high = self.low + max(1, (most - self.low) // step) * step  # a slider ends on one of its stops
        if high >= self.high:
            return self
        return replace(self, high=high, default=self.within(self.default, high), capped=True)

    def within(self, value: Value, high: float | None = None) -> Value:
        """Return the value, or where it lies above the knob's range (or above ``high``) the largest that is in it."""
        if self.kind == "choice":
            return value if value in self.choices else max(self.choices, key=int)
        assert isinstance(value, int | float)
        return self.check(min(value, self.high if high is None else high))

    def named(self, name: str, **changes: object) -> "Knob":
        """Return this knob under another name, with any other fields changed."""
        return replace(self, name=name, **changes)  # type: ignore[arg-type]


class _Named(Protocol):
    """An entry of a registry that has other names."""

    @property
    def aliases(self) -> tuple[str, ...]: ...


def aliases_of(registry: Mapping[str, _Named]) -> dict[str, str]:
    """Return alias → key for every entry of a registry."""
    return {alias: key for key, entry in registry.items() for alias in entry.aliases}


_HELD = (
    1e-9  # by which part of itself a number may stand off what is written and still count as written exactly
)


def number(value: float, digits: int = 3) -> str:
    """Write a number for people: ``digits`` significant digits, scientific only outside 1e-4 … 1e6.

    What the digits hold exactly, to a billionth of the value, is written short: 1, 0.25, 4e37. What was rounded keeps
    its zeros, so that it does not look exact: 1.00 for 0.9999, 4.00e37 for 4.003e37. Uses the minus sign of
    typography, never the hyphen.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-4 <= size < 1e6:
        rounded = float(f"{size:.{digits}g}")
        places = max(0, digits - 1 - math.floor(math.log10(rounded)))
        mantissa, exponent = f"{rounded:.{places}f}", ""
    else:
        mantissa, exponent = f"{size:.{digits - 1}e}".split("e")
        exponent = f"e{int(exponent)}"
        rounded = float(mantissa + exponent)
    if "." in mantissa and abs(size - rounded) <= _HELD * size:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return ("−" if value < 0 else "") + mantissa + exponent.replace("-", "−")


def _in_full(limit: float) -> str:
    """Write a limit with as many digits as it has, for what is said of a range must hold at its ends."""
    for digits in range(3, 17):
        text = number(limit, digits)
        if math.isinf(limit) or abs(float(text.replace("−", "-")) - limit) <= _HELD * abs(limit):
            break
    return text


def latex(value: float, digits: int = 3) -> str:
    r"""Write a number as ``number`` does, for use inside a formula: ``3.2\cdot 10^{-6}``, ``\infty``, ``(-2)``.

    A negative number comes in parentheses, so that it may follow an operator.
    """
    text = number(abs(value), digits)
    if math.isnan(value):
        return r"\text{NaN}"
    if text == "∞":
        text = r"\infty"
    elif "e" in text:
        mantissa, exponent = text.split("e")
        power = f"10^{{{exponent.replace('−', '-')}}}"
        text = power if mantissa == "1" else rf"{mantissa}\cdot {power}"
    return f"(-{text})" if value < 0 else text
