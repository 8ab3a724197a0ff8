"""Figures as files: the print theme, with the title above and every parameter below it."""

import json
import re
import textwrap
from collections.abc import Callable, Mapping

import vl_convert

from charts import theme
from charts.figure import WIDE, Figure, Spec

_LETTER = 6.1  # pixels a letter of the caption takes


def printed(figure: Figure, width: int = WIDE) -> Spec:
    """Return a figure's whole specification for a file: data, light colors on white, title and caption."""
    caption = textwrap.wrap(f"{figure.caption} {figure.key}", round(width / _LETTER))
    return {
        **figure.chart(width),
        "config": theme.print_config(),
        "title": {"text": figure.title, "subtitle": caption, "offset": 24},
        "padding": 16,
    }


def _svg(spec: str) -> str:
    """Render to SVG; the renderer numbers its clipping paths through the life of the process, here anew."""
    drawing: str = vl_convert.vegalite_to_svg(spec)
    numbers: dict[str, str] = {}
    return re.sub(
        r"\bclip(\d+)\b", lambda found: numbers.setdefault(found[0], f"clip{len(numbers)}"), drawing
    )


# File endings and how each is made; a PNG has twice the pixels of the screen.
FORMATS: Mapping[str, Callable[[str], bytes]] = {
    "png": lambda spec: bytes(vl_convert.vegalite_to_png(spec, scale=2)),
    "svg": lambda spec: _svg(spec).encode(),
    "pdf": lambda spec: bytes(vl_convert.svg_to_pdf(_svg(spec))),
}


def render(figure: Figure, ending: str, width: int = WIDE) -> bytes:
    """Render a figure to a file's content, offline.

    Raises:
        KeyError: no such ending in ``FORMATS``.
    """
    return FORMATS[ending](json.dumps(printed(figure, width)))
