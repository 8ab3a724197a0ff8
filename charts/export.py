"""Figures as files: pictures in print colors with title and every parameter, the drawn numbers, the specification.

One SVG is the source of every picture: Vega draws the figure, title and caption are set around it in the shipped
font, and PNG and PDF are made from that. So the three show the same, on any machine, whatever fonts it has.
"""

import base64
import io
import json
import math
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
import vl_convert
from PIL import ImageFont

from charts import theme
from charts.figure import Figure, Spec
from charts.topic import CUSTOM, Topic, Values
from core.knobs import Knob, Value

FONTS = Path(__file__).parent / "fonts"
DIGITS = 6  # significant digits of exported numbers; the last ones of a float differ between machines
SMALLEST = 7.0  # points on paper, no text is smaller
SCALES = (1, 2, 3, 4)

vl_convert.register_font_directory(str(FONTS))


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
ENDINGS: tuple[str, ...] = ("png", "svg", "pdf", "csv", "json")


def render(
    figure: Figure,
    ending: str,
    *,
    size: str = "page",
    scale: int = 2,
    ground: str = "white",
    caption: bool = True,
    link: str = "",
) -> bytes:
    """Return a file's content; the same figure gives the same bytes.

    Args:
        figure: what to draw.
        ending: one of ``ENDINGS``.
        size: one of ``SIZES``; of no concern to ``csv``.
        scale: pixels of a PNG for one of the drawing, 1 to 4.
        ground: one of ``GROUNDS``; ``transparent`` has the inks of white.
        caption: whether title, caption and link stand in the picture.
        link: address printed below the caption; none if empty.

    Raises:
        KeyError: no such ending, size or ground.
        ValueError: a scale out of range.
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale}: needs one of {', '.join(map(str, SCALES))}")
    if ground not in GROUNDS:
        raise KeyError(ground)
    return _MAKERS[ending](figure, _Options(SIZES[size], scale, ground, caption, link))


@dataclass(frozen=True)
class _Options:
    size: Size
    scale: int
    ground: str
    caption: bool
    link: str


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


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a frame's columns as plain values, numbers rounded; what is not finite is None."""
    found: dict[str, list[Any]] = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind == "f":
            values = rounded(column.to_numpy())
            plain: list[Any] = values.tolist()
            if not np.isfinite(values).all():
                plain = [value if math.isfinite(value) else None for value in plain]
        elif column.isna().any():
            plain = column.astype(object).where(column.notna(), None).tolist()
        else:
            plain = column.tolist()
        found[str(name)] = plain
    return found


def specification(
    figure: Figure, size: str = "page", ground: str = "white", caption: bool = True, link: str = ""
) -> Spec:
    """Return the whole Vega-Lite specification: data, theme, and under ``usermeta`` what a reader should know.

    Title and caption stand above the figure, the one place that Vega-Lite has for them.
    """
    shape = SIZES[size]
    words = [
        line for text in (figure.caption, figure.key, link) for line in wrap(text, shape.column, shape.text)
    ]
    title = {"text": figure.title, "subtitle": words, "subtitleFontSize": shape.text, "offset": 18}
    return {
        **_drawing(figure, shape, ground),
        **({"title": title} if caption else {}),
        "padding": shape.margin,
        "description": figure.alt,
        "usermeta": {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "key": figure.key,
            "link": link,
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


@dataclass(frozen=True)
class _Picture:
    """An SVG in parts: what is drawn, how large, and what it is drawn on."""

    width: float
    height: float
    body: str
    paper: str
    alt: str

    def svg(self, width: float = 0.0, fonts: bool = False) -> str:
        """Return the SVG ``width`` units wide, that of the drawing if it is 0; with the fonts inside if asked for."""
        shown = width or self.width
        style = _font_style('font-weight="600"' in self.body) if fonts else ""
        ground = (
            f'<rect width="{_text(self.width)}" height="{_text(self.height)}" fill="{self.paper}"/>'
            if self.paper
            else ""
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
            f'width="{_text(shown)}" height="{_text(shown * self.height / self.width)}" '
            f'viewBox="0 0 {_text(self.width)} {_text(self.height)}" role="img" aria-label={quoteattr(self.alt)}>'
            f"{style}{ground}{self.body}</svg>"
        )


def _picture(figure: Figure, options: _Options) -> _Picture:
    """Draw a figure and set title and caption around it."""
    size = options.size
    drawn: str = vl_convert.vegalite_to_svg(
        json.dumps({**_drawing(figure, size, options.ground), "background": None})
    )
    head, inner = drawn.split(">", 1)
    inner = _renumbered(inner.removesuffix("</svg>"))
    wide, high = (float(number) for number in _BOX.findall(head)[0])

    # A picture much narrower than its column keeps some of the room, or its text would grow on paper.
    least = 0.8 * size.column if not size.ratio else 0.0
    width = float(math.ceil(max(wide, least)) + 2 * size.margin)
    above, below, height = _lay_out(figure, options, width, high)
    if size.ratio:
        width = max(width, math.ceil(height * size.ratio))
        above, below, height = _lay_out(figure, options, width, high)  # a wider caption takes fewer lines
        height = max(height, width / size.ratio)
        width = height * size.ratio
    line = 1.35 * size.text
    inks = theme.ground_inks(options.ground)
    parts: list[str] = []
    y = float(size.margin)
    for text in above:
        y += size.title
        parts.append(_written(text, size.margin, y, size.title, inks[theme.INK], weight=600))
        y += 0.3 * size.title
    y += 0.9 * size.title if above else 0
    room = height - size.margin - len(below) * line - (size.text if below else 0) - y - high
    left = (width - wide) / 2 if size.ratio else size.margin
    parts.append(f'<g transform="translate({_text(left)},{_text(y + max(room, 0) / 2)})">{inner}</g>')
    y = height - size.margin - len(below) * line
    for text, use in below:
        y += line
        parts.append(_written(text, size.margin, y - 0.3 * size.text, size.text, inks[use]))
    return _Picture(
        width, height, "".join(parts), theme.PAPERS[options.ground], f"{figure.title}. {figure.alt}"
    )


_BOX = re.compile(r'width="([\d.]+)" height="([\d.]+)"')


def _lay_out(
    figure: Figure, options: _Options, width: float, high: float
) -> tuple[list[str], list[tuple[str, int]], float]:
    """Break title and caption into lines.

    Returns:
        lines above the figure, lines below it with their ink, and the height of it all.
    """
    size = options.size
    height = high + 2 * size.margin
    if not options.caption:
        return [], [], height
    inside = width - 2 * size.margin
    above = wrap(figure.title, inside, size.title, weight=600)
    texts = ((figure.caption, theme.INK), (figure.key, theme.MUTED), (options.link, theme.MUTED))
    below = [(line, ink) for text, ink in texts for line in wrap(text, inside, size.text)]
    height += len(above) * 1.3 * size.title + 0.9 * size.title
    height += len(below) * 1.35 * size.text + size.text
    return above, below, height


def wrap(text: str, width: float, size: float, weight: int = 400) -> list[str]:
    """Break a text into lines of at most ``width`` pixels; a word longer than a line is broken anywhere."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and measure(joined, size, weight) <= width:
            lines[-1] = joined
            continue
        while len(word) > 1 and measure(word, size, weight) > width:
            fits = len(word) - 1
            while fits > 1 and measure(word[:fits], size, weight) > width:
                fits -= 1
            cut = word.rfind("&", 0, fits) + 1 or fits  # an address between its parameters
            lines.append(word[:cut])
            word = word[cut:]
        lines.append(word)
    return lines


def measure(text: str, size: float, weight: int = 400) -> float:
    """Return the width of a text in pixels, in the shipped font without kerning, which would only narrow it."""
    return sum(_advance(letter, weight) for letter in text) * size / 1000


@lru_cache(maxsize=1024)
def _advance(letter: str, weight: int) -> float:
    return float(_font(weight).getlength(letter))


@lru_cache(maxsize=2)
def _font(weight: int) -> ImageFont.FreeTypeFont:
    path = FONTS / f"LayerwiseSans-{_FACES[weight]}.ttf"
    return ImageFont.truetype(str(path), 1000, layout_engine=ImageFont.Layout.BASIC)


_FACES = {400: "Regular", 600: "Semibold"}


@lru_cache(maxsize=2)
def _font_style(semibold: bool) -> str:
    """Return the rules that put the fonts into an SVG."""
    rules = []
    for weight, name in _FACES.items():
        if weight > 400 and not semibold:
            continue
        content = base64.b64encode((FONTS / f"LayerwiseSans-{name}.woff2").read_bytes()).decode()
        rules.append(
            f'@font-face{{font-family:"{theme.PRINT_FONT}";font-weight:{weight};'
            f"src:url(data:font/woff2;base64,{content})}}"
        )
    return f"<style>{''.join(rules)}</style>"


_FAMILIES = escape(theme.PRINT_FONTS, {'"': "&quot;"})


def _written(text: str, x: float, y: float, size: float, color: str, weight: int = 400) -> str:
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{_text(x)}" y="{_text(y)}" font-family="{_FAMILIES}" '
        f'font-size="{_text(size)}px"{bold} fill="{color}">{escape(text)}</text>'
    )


def _text(value: float) -> str:
    """Write a length of an SVG."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _renumbered(drawing: str) -> str:
    """Number clipping paths and gradients anew: the renderer counts them through the life of its process."""
    numbers: dict[str, str] = {}
    return re.sub(
        r"\b(clip|gradient_)(\d+)\b",
        lambda found: numbers.setdefault(found[0], f"{found[1]}{len(numbers)}"),
        drawing,
    )


def _png(figure: Figure, options: _Options) -> bytes:
    """Render to PNG, which says how many pixels make a meter on paper."""
    picture = _picture(figure, options)
    content = bytes(vl_convert.svg_to_png(picture.svg(), scale=options.scale))
    density = round(1000 * picture.width * options.scale / options.size.width)
    head = content[:33]  # signature and IHDR, after which the density has to stand
    body = b"pHYs" + struct.pack(">IIB", density, density, 1)
    return (
        head
        + struct.pack(">I", 9)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + _without_density(content[33:])
    )


def _without_density(chunks: bytes) -> bytes:
    """Drop a density that the renderer may have written."""
    kept, at = [], 0
    while at < len(chunks):
        end = at + 12 + int(struct.unpack(">I", chunks[at : at + 4])[0])
        if chunks[at + 4 : at + 8] != b"pHYs":
            kept.append(chunks[at:end])
        at = end
    return b"".join(kept)


def _svg(figure: Figure, options: _Options) -> bytes:
    return _picture(figure, options).svg(fonts=True).encode()


def _pdf(figure: Figure, options: _Options) -> bytes:
    """Render to PDF, as wide as on paper."""
    return _ordered(bytes(vl_convert.svg_to_pdf(_picture(figure, options).svg(options.size.points))))


def _ordered(content: bytes) -> bytes:
    """Number the objects of a PDF by where they are first referred to, and sort its lists of resources.

    The renderer writes both in any order. Nothing within an object that is drawn changes.
    """
    start = content.rindex(b"startxref")
    table = int(content[start:].split()[1])
    places = {
        number: int(entry[:10])
        for number, entry in enumerate(_ENTRY.findall(content, table, start))
        if entry.endswith(b"n")
    }
    ends = sorted([*places.values(), table])
    objects = {}
    for number, place in places.items():
        text = content[place : ends[ends.index(place) + 1]]
        head, mark, stream = text[text.index(b"obj") + 3 :].partition(b"stream\n")
        head = _RESOURCES.sub(lambda found: b"".join(sorted(found[0].splitlines(keepends=True))), head)
        objects[number] = head, mark + stream
    trailer = content[content.index(b"trailer", table) : start]
    numbers: dict[int, int] = {}
    waiting = [int(number) for number in _REFERENCE.findall(trailer)]
    while waiting:
        number = waiting.pop(0)
        if number not in numbers:
            numbers[number] = len(numbers) + 1
            waiting += [int(other) for other in _REFERENCE.findall(objects[number][0])]

    def renumbered(text: bytes) -> bytes:
        return _REFERENCE.sub(lambda found: b"%d 0 R" % numbers[int(found[1])], text)

    written = bytearray(content[: min(places.values())])
    offsets = []
    for old, new in numbers.items():
        offsets.append(len(written))
        written += b"%d 0 obj" % new + renumbered(objects[old][0]) + objects[old][1]
    size = len(numbers) + 1
    entries = b"".join(b"%010d 00000 n\r\n" % offset for offset in offsets)
    trailer = re.sub(rb"/Size \d+", b"/Size %d" % size, renumbered(trailer))
    end = b"startxref\n%d\n%%%%EOF" % len(written)
    return bytes(written) + b"xref\n0 %d\n0000000000 65535 f\r\n" % size + entries + trailer + end


_ENTRY = re.compile(rb"\d{10} \d{5} [nf]")
_REFERENCE = re.compile(rb"\b(\d+) 0 R\b")
_RESOURCES = re.compile(rb"(?:^ +/[A-Za-z]+\d+ \d+ 0 R\n){2,}", re.MULTILINE)


def _csv(figure: Figure, options: _Options) -> bytes:
    """Write all data sets one below the other, a column for every field, the first names the set."""
    frames = [
        pd.DataFrame(
            {
                "set": name,
                **{field: pd.Series(cells, dtype=object) for field, cells in columns(frame).items()},
            }
        )
        for name, frame in figure.data.items()
    ]
    buffer = io.StringIO()
    pd.concat(frames, ignore_index=True).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().encode()


def _json(figure: Figure, options: _Options) -> bytes:
    size = next(name for name, size in SIZES.items() if size is options.size)
    spec = specification(figure, size, options.ground, options.caption, options.link)
    return (json.dumps(spec, ensure_ascii=False, allow_nan=False) + "\n").encode()


_MAKERS: Mapping[str, Callable[[Figure, _Options], bytes]] = {
    "png": _png,
    "svg": _svg,
    "pdf": _pdf,
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
    caption = _plain(" ".join(part for part in (f"{figure.title}.", figure.caption, figure.key) if part))
    lines = [f"![{_plain(figure.title)}]({target})", caption]
    if link:
        lines.append(f"[Open in Layerwise](<{link}>)")
    return "\n\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Escape what Markdown would read as its own."""
    return re.sub(r"([\\`*\[\]<>~$|#]|(?<!\w)_|_(?!\w))", r"\\\1", text)
