"""Figures as files: the print theme, with the title above and every parameter below it."""

import json
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


# File endings and how each is made; a PNG has twice the pixels of the screen.
FORMATS: Mapping[str, Callable[[str], bytes]] = {
    "png": lambda spec: bytes(vl_convert.vegalite_to_png(spec, scale=2)),
    "svg": lambda spec: vl_convert.vegalite_to_svg(spec).encode(),
    "pdf": lambda spec: bytes(vl_convert.vegalite_to_pdf(spec)),
}


def render(figure: Figure, ending: str, width: int = WIDE) -> bytes:
    """Render a figure to a file's content, offline.

    Raises:
        KeyError: no such ending in ``FORMATS``.
    """
    return FORMATS[ending](json.dumps(printed(figure, width)))
