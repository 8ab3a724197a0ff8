"""The press: sheets in plain values, printed to SVG, PNG and PDF; by itself, ``python -m charts.press``, a worker.

One SVG is the source of every picture: Vega draws the figure, title and caption are set around it in the shipped
font, and PNG and PDF are made from that. So the three show the same, on any machine, whatever fonts it has.

The renderer keeps hundreds of megabytes and holds the interpreter while it draws, so an app leaves printing to the
worker. That one starts fast because this module needs nothing but the renderer and the font metrics, and those only
when something is printed; for a PNG without a ground also NumPy.
"""

import base64
import contextlib
import io
import json
import math
import os
import re
import signal
import struct
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

FONTS = Path(__file__).parent / "fonts"
PRINTED, FAILED = 0, 1  # what a worker's answer begins with


@dataclass(frozen=True)
class Sheet:
    """Everything a picture is made from, in plain values that any process can be sent.

    ``name`` begins the identifiers within an SVG. ``drawing`` is the figure's whole Vega-Lite specification as JSON.
    ``title`` is written above it, ``caption``, ``key`` and ``link`` below, what is empty nowhere; of a long link only
    the beginning, and all of it in what the file says of itself. ``heading`` and ``description`` are for those who do
    not see it. ``paper`` is the color of the ground, empty if there is none,
    ``ink`` and ``muted`` those of the texts; ``font`` the shipped font and ``fonts`` what replaces it elsewhere too.
    ``breadth`` is the width on paper in millimeters; ``column``, ``margin``, ``text`` (the caption's size) and
    ``headline`` (the title's) are pixels of the drawing; ``ratio`` is width to height, 0 for any. ``scale`` is the
    pixels of a PNG for one of the drawing.
    """

    ending: str
    name: str
    drawing: str
    title: str
    caption: str
    key: str
    link: str
    heading: str
    description: str
    paper: str
    ink: str
    muted: str
    font: str
    fonts: str
    breadth: float
    column: int
    margin: int
    text: float
    headline: float
    ratio: float
    scale: int

    @property
    def points(self) -> float:
        """Width on paper in points."""
        return self.breadth * 72 / 25.4

    def packed(self) -> bytes:
        """Return the sheet as ``unpacked`` reads it."""
        return json.dumps(asdict(self)).encode()


def unpacked(content: bytes) -> Sheet:
    """Return the sheet that was packed.

    Raises:
        ValueError, TypeError: it is none.
    """
    return Sheet(**json.loads(content))


def print_sheet(sheet: Sheet) -> bytes:
    """Return a picture's file; the same sheet gives the same bytes.

    Raises:
        KeyError: no such ending.
        ValueError: the renderer takes no such specification.
    """
    return _PRINTERS[sheet.ending](sheet, _picture(sheet))


@cache
def renderer() -> Any:
    """Load the renderer and let it know the shipped fonts.

    Raises:
        FileNotFoundError: one of them is missing; the renderer would quietly take another.
    """
    import vl_convert

    for face in _FACES.values():
        if not (font := FONTS / f"LayerwiseSans-{face}.ttf").is_file():
            raise FileNotFoundError(f"no font {font}")
    vl_convert.register_font_directory(str(FONTS))
    return vl_convert


@dataclass(frozen=True)
class _Picture:
    """An SVG in parts: what is drawn, how large, and what it is drawn on."""

    sheet: Sheet
    width: float
    height: float
    body: str

    def svg(self, width: float = 0.0, fonts: bool = False, paper: str = "") -> str:
        """Return the SVG, with the fonts inside if asked for.

        It is ``width`` units wide and lies on ``paper``, if these are empty as wide as the drawing and on the sheet's.
        """
        sheet, shown, paper = self.sheet, width or self.width, paper or self.sheet.paper
        style = _font_style(sheet.font, 'font-weight="600"' in self.body) if fonts else ""
        ground = (
            f'<rect width="{_text(self.width)}" height="{_text(self.height)}" fill="{paper}"/>'
            if paper
            else ""
        )
        source = (
            f'<metadata><source xmlns="{_DUBLIN}">{escape(sheet.link)}</source></metadata>'
            if sheet.link
            else ""
        )
        title, words = quoteattr(f"{sheet.name}-title"), quoteattr(f"{sheet.name}-description")
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
            f'width="{_text(shown)}" height="{_text(shown * self.height / self.width)}" '
            f'viewBox="0 0 {_text(self.width)} {_text(self.height)}" role="img" lang="en" '
            f"aria-labelledby={quoteattr(f'{sheet.name}-title {sheet.name}-description')}>"
            f"<title id={title}>{escape(sheet.heading)}</title>"
            f"<desc id={words}>{escape(sheet.description)}</desc>{source}"
            f"{style}{ground}{self.body}</svg>"
        )


_DUBLIN = "http://purl.org/dc/elements/1.1/"


def _picture(sheet: Sheet) -> _Picture:
    """Draw a figure and set title and caption around it."""
    drawn: str = renderer().vegalite_to_svg(sheet.drawing)
    head, inner = drawn.split(">", 1)
    inner = _renumbered(inner.removesuffix("</svg>"))
    wide, high = (float(number) for number in _BOX.findall(head)[0])

    # A picture much narrower than its column keeps some of the room, or its text would grow on paper.
    least = 0.8 * sheet.column if not sheet.ratio else 0.0
    width = float(math.ceil(max(wide, least)) + 2 * sheet.margin)
    above, below, height = _lay_out(sheet, width, high)
    if sheet.ratio:
        width = max(width, math.ceil(height * sheet.ratio))
        above, below, height = _lay_out(sheet, width, high)  # a wider caption takes fewer lines
        height = max(height, width / sheet.ratio)
        width = height * sheet.ratio
    line = 1.35 * sheet.text
    parts: list[str] = []
    y = float(sheet.margin)
    for text in above:
        y += sheet.headline
        parts.append(_written(sheet, text, y, sheet.headline, sheet.ink, weight=600))
        y += 0.3 * sheet.headline
    y += 0.9 * sheet.headline if above else 0
    depth = line * sum(len(lines) for lines, _, _ in below)
    room = height - sheet.margin - depth - (sheet.text if below else 0) - y - high
    left = (width - wide) / 2 if sheet.ratio else sheet.margin
    parts.append(f'<g transform="translate({_text(left)},{_text(y + max(room, 0) / 2)})">{inner}</g>')
    y = height - sheet.margin - depth
    for lines, color, address in below:
        written = ""
        for text in lines:
            y += line
            written += _written(sheet, text, y - 0.3 * sheet.text, sheet.text, color)
        parts.append(f"<a href={quoteattr(address, _QUOTES)}>{written}</a>" if address else written)
    return _Picture(sheet, width, height, "".join(parts))


_BOX = re.compile(r'width="([\d.]+)" height="([\d.]+)"')


_Paragraph = tuple[list[str], str, str]


def _lay_out(sheet: Sheet, width: float, high: float) -> tuple[list[str], list[_Paragraph], float]:
    """Break title and caption into lines.

    Returns:
        lines above the figure; paragraphs below it, each its lines, its color and where it leads; the height of it all.
    """
    inside = width - 2 * sheet.margin
    above = wrap(sheet.title, inside, sheet.headline, weight=600)
    address = sheet.link if _ADDRESS.match(sheet.link) else ""
    texts = (
        (sheet.caption, 0, sheet.ink, ""),
        (sheet.key, 0, sheet.muted, ""),
        (sheet.link, LINK_LINES, sheet.muted, address),
    )
    below = [
        (wrap(text, inside, sheet.text, most=most), color, leads)
        for text, most, color, leads in texts
        if text
    ]
    height = high + 2 * sheet.margin
    if above:
        height += len(above) * 1.3 * sheet.headline + 0.9 * sheet.headline
    if below:
        height += sum(len(lines) for lines, _, _ in below) * 1.35 * sheet.text + sheet.text
    return above, below, height


LINK_LINES = 4  # of an address that holds every parameter, which is to be clicked or copied rather than read
_ADDRESS = re.compile(r"https?://[^\s/]")  # leads somewhere by itself, and runs nothing


def wrap(text: str, width: float, size: float, weight: int = 400, most: int = 0) -> list[str]:
    """Break a text into lines of at most ``width`` pixels; a word longer than a line is broken anywhere.

    No-break spaces hold: "lr 0.3" stays together.

    If ``most`` is not 0, there are at most so many lines, and … stands for what is left out.
    """
    lines: list[str] = []
    for word in filter(None, re.split(r"[ \t\n]+", text)):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and measure(joined, size, weight) <= width:
            lines[-1] = joined
            continue
        while len(word) > 1 and measure(word, size, weight) > width:
            fits, units = 1, _advance(word[0], weight) + _advance(word[1], weight)
            while units * size / 1000 <= width:
                fits += 1
                units += _advance(word[fits], weight)
            cut = word.rfind("&", 0, fits) + 1 or fits  # an address between its parameters
            lines.append(word[:cut])
            word = word[cut:]
        lines.append(word)
    if most and len(lines) > most:
        last = lines[most - 1]
        while last and measure(f"{last}…", size, weight) > width:
            last = last[:-1]
        lines[most - 1 :] = [f"{last}…"]
    return lines


def measure(text: str, size: float, weight: int = 400) -> float:
    """Return the width of a text in pixels, in the shipped font without kerning, which would only narrow it."""
    return sum(_advance(letter, weight) for letter in text) * size / 1000


@lru_cache(maxsize=1024)
def _advance(letter: str, weight: int) -> float:
    return float(_font(weight).getlength(letter))


@lru_cache(maxsize=2)
def _font(weight: int) -> Any:
    from PIL import ImageFont

    path = FONTS / f"LayerwiseSans-{_FACES[weight]}.ttf"
    return ImageFont.truetype(str(path), 1000, layout_engine=ImageFont.Layout.BASIC)


_FACES = {400: "Regular", 600: "Semibold"}


@lru_cache(maxsize=2)
def _font_style(font: str, semibold: bool) -> str:
    """Return the rules that put the fonts into an SVG."""
    rules = []
    for weight, name in _FACES.items():
        if weight > 400 and not semibold:
            continue
        content = base64.b64encode((FONTS / f"LayerwiseSans-{name}.woff2").read_bytes()).decode()
        rules.append(
            f'@font-face{{font-family:"{font}";font-weight:{weight};'
            f"src:url(data:font/woff2;base64,{content})}}"
        )
    return f"<style>{''.join(rules)}</style>"


def _written(sheet: Sheet, text: str, y: float, size: float, color: str, weight: int = 400) -> str:
    """Write a line at the left margin."""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{_text(sheet.margin)}" y="{_text(y)}" font-family={quoteattr(sheet.fonts, _QUOTES)} '
        f'font-size="{_text(size)}px"{bold} fill="{color}">{escape(text)}</text>'
    )


_QUOTES = {'"': "&quot;"}


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


def _svg(sheet: Sheet, picture: _Picture) -> bytes:
    return picture.svg(fonts=True).encode()


def _png(sheet: Sheet, picture: _Picture) -> bytes:
    """Render to PNG, which says what it shows and how many pixels make a meter on paper."""
    if sheet.paper:
        content = bytes(renderer().svg_to_png(picture.svg(), scale=sheet.scale))
    else:
        content = _clear(picture, sheet.scale)
    density = round(1000 * picture.width * sheet.scale / sheet.breadth)
    told = [
        _chunk(b"pHYs", struct.pack(">IIB", density, density, 1)),
        *(
            _chunk(b"iTXt", b"%s\0\0\0en\0\0%s" % (word, text.encode()))
            for word, text in _told(sheet, b"Description").items()
        ),
    ]
    start = 33  # signature and IHDR, after which the density has to stand
    return content[:start] + b"".join(told) + _without_density(content[start:])


def _told(sheet: Sheet, description: bytes) -> dict[bytes, str]:
    """Return what a file says of itself; what stands for the description has another name in each kind of file."""
    source = {b"Source": sheet.link} if sheet.link else {}
    return {b"Title": sheet.heading, description: sheet.description, **source}


def _clear(picture: _Picture, scale: int) -> bytes:
    """Render to PNG without a ground.

    The renderer writes wrong colors where a pixel is neither clear nor opaque: no channel above the opacity. So the
    picture is drawn on white, W = αC + 255(1 − α), and on black, B = αC, which give the opacity α = 1 − (W − B)/255 and
    the color C = B/α.
    """
    import numpy as np
    from PIL import Image

    white, black = (
        np.asarray(Image.open(io.BytesIO(renderer().svg_to_png(picture.svg(paper=paper), scale=scale))))
        for paper in ("white", "black")
    )
    # Where the channels differ by rounding, the highest opacity counts: no color is above it.
    lost = white[..., :3] - black[..., :3]
    pixels = np.zeros(white.shape, np.uint8)
    pixels[..., 3] = 255 - np.minimum(np.minimum(lost[..., 0], lost[..., 1]), lost[..., 2])
    seen = pixels[..., 3] > 0
    opacity = pixels[seen, 3:].astype(np.uint16)  # times 255 it stays below 2^16
    pixels[seen, :3] = (255 * black[seen, :3].astype(np.uint16) + opacity // 2) // opacity
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _without_density(chunks: bytes) -> bytes:
    """Drop a density that the renderer may have written."""
    kept, at = [], 0
    while at < len(chunks):
        end = at + 12 + int(struct.unpack(">I", chunks[at : at + 4])[0])
        if chunks[at + 4 : at + 8] != b"pHYs":
            kept.append(chunks[at:end])
        at = end
    return b"".join(kept)


def _pdf(sheet: Sheet, picture: _Picture) -> bytes:
    """Render to PDF, as wide as on paper."""
    content = bytes(renderer().svg_to_pdf(picture.svg(sheet.points)))
    return _ordered(content, _told(sheet, b"Subject"))


def _ordered(content: bytes, told: Mapping[bytes, str]) -> bytes:
    """Number the objects of a PDF by where they are first referred to, and sort its lists of resources.

    The renderer writes both in any order. Nothing within an object that is drawn changes; ``told`` is added to what
    the file says of itself.
    """
    start = content.rindex(b"startxref")
    table = int(content[start:].split()[1])
    places = {
        number: int(entry[:10])
        for number, entry in enumerate(_ENTRY.findall(content, table, start))
        if entry.endswith(b"n")
    }
    ends = dict(zip(sorted(places.values()), [*sorted(places.values()), table][1:], strict=True))
    objects = {}
    for number, place in places.items():
        text = content[place : ends[place]]
        head, mark, stream = text[text.index(b"obj") + 3 :].partition(b"stream\n")
        head = _RESOURCES.sub(lambda found: b"".join(sorted(found[0].splitlines(keepends=True))), head)
        objects[number] = head, mark + stream
    trailer = content[content.index(b"trailer", table) : start]
    numbers: dict[int, int] = {}
    waiting = [int(number) for number in _REFERENCE.findall(trailer)]
    for number in waiting:
        if number not in numbers:
            numbers[number] = len(numbers) + 1
            waiting += [int(other) for other in _REFERENCE.findall(objects[number][0])]
    if said := _INFO.search(trailer):
        lines = b"".join(
            b"  /%s <feff%s>\n" % (word, text.encode("utf-16-be").hex().encode())
            for word, text in told.items()
        )
        head, rest = objects[int(said[1])]
        objects[int(said[1])] = head.replace(b"<<\n", b"<<\n" + lines, 1), rest

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
_INFO = re.compile(rb"/Info (\d+) 0 R")

_PRINTERS: Mapping[str, Callable[[Sheet, _Picture], bytes]] = {"png": _png, "svg": _svg, "pdf": _pdf}
ENDINGS: tuple[str, ...] = tuple(_PRINTERS)


# The worker. A request is the length of a packed sheet, four bytes with the highest first, and the sheet; an answer
# is one byte, PRINTED or FAILED, a length, and the file or a traceback.
REQUEST, ANSWER = struct.Struct(">I"), struct.Struct(">BI")


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Print every sheet that ``source`` holds to ``target``, until it ends; a bad sheet is answered, not fatal."""
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        (size,) = REQUEST.unpack(head)
        content = source.read(size)
        if len(content) < size:  # whoever asked is gone
            return
        try:
            status, answer = PRINTED, print_sheet(unpacked(content))
        except Exception:
            status, answer = FAILED, traceback.format_exc().encode(errors="replace")
        target.write(ANSWER.pack(status, len(answer)) + answer)
        target.flush()


LAST = "last"  # as an argument: whatever else the machine has to do comes first


def _stand_back(last: bool) -> None:
    """Let others come first: with ``last`` all of them, where the system can do that, else by a lower priority.

    A lower priority alone holds up an app on the same cores. Its threads hand the interpreter to each other, every half a
    millisecond while a long run is on, and each then waits until the printing one has had its slice, of milliseconds.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    if last and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    """Serve the standard streams, at lower priority than whoever asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted app closes the streams, which ends this too
    _stand_back(LAST in sys.argv[1:])
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed stays out of the answers
    with contextlib.suppress(Exception):  # every request meets it again, and is answered with it
        renderer()  # while the app makes the first sheet
    with open(answers, "wb") as target:
        serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
