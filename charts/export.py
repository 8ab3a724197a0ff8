"""Figures as files: pictures in print colors with title and every parameter, the drawn numbers, the specification.

Numbers and specification are made here. Of a picture this module makes the ``Sheet``, which ``charts.press`` prints
here or in another process; nothing large is loaded before that.
"""

import csv
import io
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

import numpy as np

from charts import press, theme
from charts.figure import Figure, Frame, Spec, Text
from charts.press import Sheet, wrap
from charts.topic import CUSTOM, Topic, Values
from core.knobs import Knob, Value

DIGITS = 6  # significant digits of exported numbers; the last ones of a float differ between machines
SMALLEST = 7.0  # points on paper, no text is smaller
SCALES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Size:
    """What a picture is for: its ``width`` on paper in millimeters and the ``column`` in pixels it is drawn for.

    ``margin`` is the white around it, ``text`` the caption's size, ``title`` the title's, all in pixels; a
    picture with a ``ratio`` has that of width to height.
    """

    label: str
    width: float
    column: int
    margin: int
    text: float
    title: float
    ratio: float = 0.0

    @property
    def points(self) -> float:
        """Width on paper in points."""
        return self.width * 72 / 25.4

    @property
    def floor(self) -> float:
        """Pixels that the smallest text needs, were the figure as wide as its column."""
        return math.ceil(10 * SMALLEST * (self.column + 2 * self.margin) / self.points) / 10


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "half": Size("Half page", 85.0, column=360, margin=8, text=11.0, title=13.0),
        "page": Size("Full page", 170.0, column=720, margin=12, text=12.0, title=15.0),
        "slide": Size("Slide, 16:9", 338.67, column=1040, margin=28, text=12.5, title=20.0, ratio=16 / 9),
    }
)
GROUNDS: tuple[str, ...] = theme.GROUNDS
PICTURES: tuple[str, ...] = press.ENDINGS
ENDINGS: tuple[str, ...] = (*PICTURES, "csv", "json")


class How(TypedDict, total=False):
    """How a figure becomes a file: the named arguments of ``render`` and of all that pass them on.

    ``size`` is one of ``SIZES`` ("page"), of no concern to ``csv``; ``scale`` the pixels of a PNG for one of the
    drawing, 1 to 4 (2); ``ground`` one of ``GROUNDS`` ("white"), of which ``transparent`` has the inks of white, but no
    halos around labels; ``caption`` whether title, caption and link stand in the picture (they do); ``link`` an address
    printed below the caption, as far as it fits into a few lines (none); ``reading`` what the run says, in Markdown, which
    made plain becomes part of the alternative text (nothing).
    """

    size: str
    scale: int
    ground: str
    caption: bool
    link: str
    reading: str


def render(figure: Figure, ending: str, **how: Unpack[How]) -> bytes:
    """Return a file's content; the same figure gives the same bytes.

    Args:
        figure: what to draw.
        ending: one of ``ENDINGS``.
        how: see ``How``.

    Raises:
        KeyError: no such ending, size or ground.
        ValueError: a scale out of range.
    """
    return _MAKERS[ending](figure, ending, _Options(**how))


def sheet(figure: Figure, ending: str, **how: Unpack[How]) -> Sheet:
    """Return what ``press.print_sheet`` makes a picture from; the arguments are those of ``render``.

    Raises:
        KeyError: no such size or ground, or an ending that is none of ``PICTURES``.
        ValueError: a scale out of range.
    """
    if ending not in PICTURES:
        raise KeyError(ending)
    return _sheet(figure, ending, _Options(**how))


@dataclass(frozen=True)
class _Options:
    """What ``How`` says, complete and checked."""

    size: str = "page"
    scale: int = 2
    ground: str = "white"
    caption: bool = True
    link: str = ""
    reading: str = ""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale {self.scale}: needs one of {', '.join(map(str, SCALES))}")
        if self.ground not in GROUNDS:
            raise KeyError(self.ground)
        if self.size not in SIZES:
            raise KeyError(self.size)

    @property
    def shape(self) -> Size:
        return SIZES[self.size]


def rounded(values: np.ndarray) -> np.ndarray:
    """Round numbers to ``DIGITS`` significant digits; NaN and the infinite stay.

    Args:
        values: any shape, float.

    Returns:
        float64 of the same shape, the nearest to the decimal number, so that it prints short.
    """
    x = np.asarray(values, dtype=np.float64)
    size = np.abs(x)
    plain = (size >= 1e-16) & (size < 1e21)  # powers of ten are exact up to 1e22
    result = x.copy()
    digits = DIGITS - 1 - np.floor(np.log10(size, where=plain, out=np.zeros_like(size))).astype(int)
    power = 10.0 ** np.abs(digits)
    up = plain & (digits >= 0)
    down = plain & (digits < 0)
    result[up] = np.round(x[up] * power[up]) / power[up]
    result[down] = np.round(x[down] / power[down]) * power[down]
    for index in zip(*np.nonzero(~plain & np.isfinite(x) & (x != 0)), strict=True):
        result[index] = float(f"{x[index]:.{DIGITS}g}")
    return result


def columns(frame: Frame) -> dict[str, list[Any]]:
    """Return a frame's columns as plain values, numbers rounded; what is not finite is None."""
    found: dict[str, list[Any]] = {}
    for name, column in frame.made.items():
        if isinstance(column, Text):
            found[name] = column.words()
        elif column.dtype.kind == "f":
            values = rounded(column)
            plain = values.tolist()
            if not np.isfinite(values).all():
                plain = [value if math.isfinite(value) else None for value in plain]
            found[name] = plain
        else:
            found[name] = column.tolist()
    return found


def specification(figure: Figure, **how: Unpack[How]) -> Spec:
    """Return the whole Vega-Lite specification: data, theme, and under ``usermeta`` what a reader should know.

    Title and caption stand above the figure, the one place that Vega-Lite has for them.
    """
    options = _Options(**how)
    shape, said = options.shape, plain(options.reading)
    texts = ((figure.caption, 0), (figure.key, 0), (options.link, press.LINK_LINES))
    words = [line for text, most in texts for line in wrap(text, shape.column, shape.text, most=most)]
    title = {"text": figure.title, "subtitle": words, "subtitleFontSize": shape.text, "offset": 18}
    return {
        **_drawing(figure, shape, options.ground),
        **({"title": title} if options.caption else {}),
        "padding": shape.margin,
        "description": f"{figure.alt} {said}".strip(),
        "usermeta": {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "key": figure.key,
            "link": options.link,
            "reading": said,
        },
    }


def _drawing(figure: Figure, size: Size, ground: str) -> Spec:
    """Return specification and data of the bare figure in print colors."""
    data = {}
    for name, frame in figure.data.items():
        cells = columns(frame)
        data[name] = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    return {
        **_readable(figure.spec(size.column), size.floor),
        "config": _readable(theme.print_config(ground), size.floor),
        "datasets": data,
        "padding": 0,
    }


def _readable(node: Any, floor: float) -> Any:
    """Copy a specification with every font size below ``floor`` raised to it."""
    if isinstance(node, dict):
        return {
            key: max(value, floor)
            if key in _FONT_SIZES and isinstance(value, int | float)
            else _readable(value, floor)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_readable(value, floor) for value in node]
    return node


_FONT_SIZES = frozenset({"fontSize", "labelFontSize", "titleFontSize", "subtitleFontSize"})


def _sheet(figure: Figure, ending: str, options: _Options) -> Sheet:
    size, inks = options.shape, theme.ground_inks(options.ground)
    written = (figure.title, figure.caption, figure.key, options.link) if options.caption else ("",) * 4
    title, caption, key, link = written
    return Sheet(
        ending=ending,
        name=slug(figure.name),
        drawing=json.dumps({**_drawing(figure, size, options.ground), "background": None}),
        title=title,
        caption=caption,
        key=key,
        link=link,
        heading=figure.title,
        # A picture is one thing to a screen reader: what is written in it has to be said here too.
        description=" ".join(part for part in (figure.alt, plain(options.reading), caption, key) if part),
        paper=theme.PAPERS[options.ground],
        ink=inks[theme.INK],
        muted=inks[theme.MUTED],
        font=theme.PRINT_FONT,
        fonts=theme.PRINT_FONTS,
        breadth=size.width,
        column=size.column,
        margin=size.margin,
        text=size.text,
        headline=size.title,
        ratio=size.ratio,
        scale=options.scale,
    )


def _printed(figure: Figure, ending: str, options: _Options) -> bytes:
    return press.print_sheet(_sheet(figure, ending, options))


def _csv(figure: Figure, ending: str, options: _Options) -> bytes:
    """Write all data sets one below the other, a column for every field, the first names the set."""
    sets = {name: columns(frame) for name, frame in figure.data.items()}
    fields = list(dict.fromkeys(["set", *(field for found in sets.values() for field in found)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    for name, found in sets.items():
        for row in zip(*found.values(), strict=True):
            writer.writerow({"set": name, **dict(zip(found, row, strict=True))})
    return buffer.getvalue().encode()


def _json(figure: Figure, ending: str, options: _Options) -> bytes:
    spec = specification(
        figure,
        size=options.size,
        ground=options.ground,
        caption=options.caption,
        link=options.link,
        reading=options.reading,
    )
    return (json.dumps(spec, ensure_ascii=False, allow_nan=False) + "\n").encode()


_MAKERS: Mapping[str, Callable[[Figure, str, _Options], bytes]] = {
    **dict.fromkeys(PICTURES, _printed),
    "csv": _csv,
    "json": _json,
}

_LONGEST_NAME = 80


def file_name(figure: Figure, ending: str, values: Values | None = None, topic: Topic | None = None) -> str:
    """Name a file by what is in it: the figure, then each value that is not the topic's default.

    Only small letters, digits, ``.``, ``-`` and ``_``, at most 80 characters. If the differences do not fit, the
    scenario they belong to stands for them, or as many as fit and a checksum of the rest.
    """
    parts = [slug(figure.name)]
    if values is not None and topic is not None:
        parts += _differences(values, topic)
    most = _LONGEST_NAME - len(ending) - 1
    name = "-".join(parts)
    if len(name) > most and values is not None and topic is not None:
        scenario = topic.scenario_of(topic.settle(values))
        name = "-".join(parts[:1] + ([slug(scenario)] if scenario != CUSTOM else parts[1:]))
    if len(name) > most:
        check = f"{zlib.crc32(name.encode()):08x}"
        name = f"{name[: most - 9].rstrip('-._')}-{check}"
    return f"{name}.{ending}"


def _differences(values: Values, topic: Topic) -> list[str]:
    """Name each value that is not what the page would fill in, in the order of the knobs."""
    now = topic.settle(values)
    plain, defaults = topic.fill({name: now[name] for name in topic.depends}), topic.defaults()
    expected = {**plain, **{name: defaults[name] for name in topic.depends}}
    parts = [_difference(topic.knobs[name], now[name]) for name in topic.knobs if now[name] != expected[name]]
    return [part for part in parts if part]


def _difference(knob: Knob, value: Value) -> str:
    """Say a value: a choice by itself, a number after the knob's name, a switch as the name or no- and the name."""
    if isinstance(value, bool):
        return slug(knob.name if value else f"no-{knob.name}")
    if isinstance(value, str):
        return slug(value)
    if isinstance(value, tuple):
        return "-".join(slug(each) for each in value) or slug(f"no-{knob.name}")
    return slug(f"{knob.name}{value:g}")


def slug(text: str) -> str:
    """Write a text in small letters, digits, ``.``, ``-`` and ``_``; Greek letters by their names."""
    letters = []
    for letter in unicodedata.normalize("NFKD", text.replace("−", "-")):
        if letter.isascii():
            letters.append(letter if letter.isalnum() or letter in "._-" else " ")
        elif unicodedata.name(letter, "").startswith("GREEK "):
            letters.append(unicodedata.name(letter).split()[-1])
        elif not unicodedata.combining(letter):
            letters.append(" ")
    return re.sub(r" +", "-", "".join(letters).strip(" .-_").lower())


def markdown(figure: Figure, name: str, link: str) -> str:
    """Write a figure as Markdown: the picture in the file ``name``, its caption, and the link if there is one."""
    target = f"<{name}>" if re.search(r"[\s()]", name) else name
    caption = _escaped(" ".join(part for part in (f"{figure.title}.", figure.caption, figure.key) if part))
    lines = [f"![{_escaped(figure.title)}]({target})", caption]
    if link:
        lines.append(f"[Open in Layerwise](<{link}>)")
    return "\n\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Escape what Markdown would read as its own."""
    return re.sub(r"([\\`*\[\]<>~$|#]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def plain(text: str) -> str:
    """Return what a Markdown text says as plain text on one line: no marks, links by their words, formulas in Unicode.

    For alternative texts, which are read aloud. It knows the Markdown of the pages, not all of it.
    """
    kept: list[str] = []

    def keep(words: str) -> str:
        """Put away what is no Markdown any more, behind a sign of its own."""
        kept.append(words)
        return chr(_FIRST + len(kept) - 1) if len(kept) < _LAST - _FIRST else words

    text = re.sub(r"`+([^`]+)`+", lambda found: keep(found[1]), text.translate(_NO_KEPT))
    text = re.sub(
        r"(?<!\\)(\$\$?)((?:[^$\\]|\\.)+)\1", lambda found: keep(_formula(found[2])), text, flags=re.DOTALL
    )
    text = re.sub(r"\\([!-/:-@\[-`{-~])", lambda found: keep(found[1]), text)
    text = re.sub(r"^[ |:-]*-{3}[ |:-]*$", "", text, flags=re.MULTILINE)  # the ruler of a table
    text = re.sub(r"^ *\|(.*)\| *$", lambda found: _row(found[1]), text, flags=re.MULTILINE)
    text = re.sub(r":material/\w+:", "", text)
    text = re.sub(r"!?\[([^\]]*)\]\((?:[^()]|\([^()]*\))*\)", r"\1", text)
    text = re.sub(r":[a-z][a-z-]*\[([^\]]*)\]", r"\1", text)
    text = re.sub(r"^\s*(?:#{1,6}|[-*+]|>+) +", "", text, flags=re.MULTILINE)
    # A mark within a word or beside a space is a sign: f*, w_t.
    for mark in (r"\*\*", r"\*", r"~~", r"__", r"_"):
        text = re.sub(rf"(?<![\w*]){mark}(?=[^\s*])(.+?)(?<=\S){mark}(?!\w)", r"\1", text, flags=re.DOTALL)
    while _KEPT.search(text):
        text = _KEPT.sub(lambda found: kept[ord(found[0]) - _FIRST], text)
    return " ".join(text.split())


_FIRST, _LAST = 0xE000, 0xF8FF  # signs for private use, which no text has
_KEPT = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_NO_KEPT = dict.fromkeys(range(_FIRST, _LAST + 1))


def _row(line: str) -> str:
    """Write a row of a table as a sentence."""
    return ", ".join(cell.strip() for cell in line.split("|") if cell.strip()) + "."


def _formula(tex: str) -> str:
    """Write a formula in one line of Unicode; a command that is not known stands by its name."""
    tokens = iter(re.findall(r"\\[A-Za-z]+\*?|\\.|[^\\]", tex, flags=re.DOTALL))
    return " ".join(_sequence(tokens).split())


def _sequence(tokens: Iterator[str]) -> str:
    """Write tokens up to the brace that closes the group, or to the end."""
    written = ""
    for token in tokens:
        if token == "}":
            break
        written += _term(token, tokens)
    return written


def _term(token: str, tokens: Iterator[str]) -> str:
    """Write a token with the arguments that it takes."""
    if token == "{":
        return _sequence(tokens)
    if token in _SCRIPTS:
        return _script(token, _argument(tokens))
    if token in _COMMANDS:
        count, write = _COMMANDS[token]
        return write(*[_argument(tokens) for _ in range(count)])
    if not token.startswith("\\"):
        return token
    name = token[1:].removeprefix("var").replace("ambda", "amda")  # as Unicode spells it
    case = "CAPITAL" if name[:1].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name}")
    except KeyError:
        return token[1:]


def _argument(tokens: Iterator[str]) -> str:
    token = next((token for token in tokens if not token.isspace()), "}")
    return "" if token == "}" else _term(token, tokens)


def _bound(text: str) -> str:
    """Put parentheses around what a fraction or a root would otherwise take apart."""
    return text if len(text.strip()) <= 1 or text.replace(".", "").isalnum() else f"({text.strip()})"


def _script(mark: str, text: str) -> str:
    """Write an index or a power in small letters, where there are some."""
    text = text.strip()
    if text and all(letter in _SCRIPTS[mark] for letter in text):
        return "".join(_SCRIPTS[mark][letter] for letter in text)
    whole = len(text) == 1 or (mark == "_" and text.isalnum())
    return f"{mark}{text}" if whole else f"{mark}({text})"


_SCRIPTS = {
    "^": dict(zip("0123456789+-−()nᵀ′*", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿᵀ′*", strict=True)),
    "_": dict(zip("0123456789+-−()ijt", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎ᵢⱼₜ", strict=True)),
}

_SIGNS = {
    "-": "−", "'": "′", "&": " ", "~": " ", "\\\\": "; ", "\\|": "‖", "\\lVert": "‖", "\\rVert": "‖", "\\lvert": "|",
    "\\rvert": "|", "\\mid": "|", "\\cdot": "·", "\\times": "×", "\\odot": "⊙", "\\sum": "∑", "\\prod": "∏", "\\int": "∫",
    "\\partial": "∂", "\\nabla": "∇", "\\infty": "∞", "\\pm": "±", "\\le": "≤", "\\leq": "≤", "\\ge": "≥", "\\geq": "≥",
    "\\ne": "≠", "\\neq": "≠", "\\approx": "≈", "\\sim": "~", "\\in": "∈", "\\to": "→", "\\rightarrow": "→",
    "\\leftarrow": "←", "\\dots": "…", "\\ldots": "…", "\\cdots": "…", "\\top": "ᵀ", "\\ell": "ℓ", "\\lfloor": "⌊",
    "\\rfloor": "⌋",
}  # fmt: skip
_ACCENTS = {"\\hat": "\u0302", "\\tilde": "\u0303", "\\bar": "\u0304", "\\dot": "\u0307", "\\vec": "\u20d7"}
_SPACES = ("\\,", "\\;", "\\:", "\\ ", "\\!", "\\quad", "\\qquad")
_FACES = ("\\text", "\\mathrm", "\\mathcal", "\\mathbf", "\\mathbb", "\\boldsymbol", "\\operatorname")
_SIZED = [f"\\{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r")]

# What a token takes and how it is written.
_COMMANDS: Mapping[str, tuple[int, Callable[..., str]]] = {
    **{token: (0, lambda sign=sign: sign) for token, sign in _SIGNS.items()},
    **{token: (1, lambda text, sign=sign: text + sign) for token, sign in _ACCENTS.items()},
    **dict.fromkeys(_SPACES, (0, lambda: " ")),
    **dict.fromkeys(_FACES, (1, str)),
    **dict.fromkeys(("\\left", "\\right", *_SIZED), (0, str)),
    **dict.fromkeys(("\\begin", "\\end"), (1, lambda environment: " ")),
    **dict.fromkeys(
        ("\\frac", "\\tfrac", "\\dfrac"), (2, lambda above, below: f"{_bound(above)}/{_bound(below)}")
    ),
    "\\sqrt": (1, lambda text: f"√{_bound(text)}"),
}
