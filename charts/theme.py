"""The look: every color, font and size of Layerwise lives here and nowhere else.

Figures never hold a color. A mark carries a *slot*, a small integer, and the theme in force gives the slot its
color: on screen Streamlit's light or dark theme (``.streamlit/config.toml`` is written from this module), in a
file the print theme. So one specification serves every theme, and a slot means the same thing on every page.
"""

from collections.abc import Iterable
from typing import NamedTuple

import altair as alt


class Ink(NamedTuple):
    """One slot: what it is for and its color on a light and on a dark ground."""

    use: str
    light: str
    dark: str


# Hues after Okabe and Ito (2008), darkened for white and lightened for black until text in them passes 4.5:1.
INKS = (
    Ink("ink", "#1f2328", "#e8e6e1"),
    Ink("muted", "#6a7077", "#9aa1a9"),
    Ink("faint", "#b4b9be", "#565c64"),
    Ink("blue", "#0b62a8", "#5aa9f0"),
    Ink("vermilion", "#bf4a00", "#ff9150"),
    Ink("green", "#00755a", "#3fc79a"),
    Ink("purple", "#9c3a88", "#e488d2"),
    Ink("ochre", "#8a6100", "#e0b04a"),
    Ink("cyan", "#1a7795", "#74d0f2"),
    Ink("crimson", "#b0263f", "#ff8896"),
    Ink("indigo", "#5650b8", "#a9a6ff"),
    Ink("good", "#1d7a3a", "#5fca7d"),
    Ink("bad", "#b3261e", "#ff8a80"),
    Ink("paper", "#ffffff", "#14161a"),  # the ground, below what has to stand on its own
)
SLOTS = {ink.use: slot for slot, ink in enumerate(INKS)}
HUES = ("blue", "vermilion", "green", "purple", "ochre", "cyan", "crimson", "indigo")

INK, MUTED, FAINT = SLOTS["ink"], SLOTS["muted"], SLOTS["faint"]
GOOD, BAD, PAPER = SLOTS["good"], SLOTS["bad"], SLOTS["paper"]

# Second cue beside color: names that share a hue never share a dash.
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])

SEQUENTIAL = (
    "#eef4fa", "#d6e5f3", "#b9d3ea", "#98bedf", "#76a7d2", "#568fc3", "#3b77b0", "#286099", "#194a7e", "#0d3560",
)  # fmt: skip
DIVERGING = (
    "#8c3a0e", "#b85a26", "#d98a58", "#efbd9b", "#f8e5d8", "#dce9f5", "#a9cbe8", "#6ba3d3", "#3778b0", "#124f86",
)  # fmt: skip

PAGE = {
    "light": {
        "primaryColor": "#0b62a8",
        "backgroundColor": "#ffffff",
        "secondaryBackgroundColor": "#f4f4f1",
        "textColor": "#1f2328",
        "linkColor": "#0b62a8",
        "borderColor": "#d9dadb",
    },
    "dark": {
        "primaryColor": "#2a76bb",
        "backgroundColor": "#14161a",
        "secondaryBackgroundColor": "#1d2026",
        "textColor": "#e8e6e1",
        "linkColor": "#7cbcf5",
        "borderColor": "#3a3f47",
    },
}

RASTER = "#7b8289"  # loss surfaces: a gray, so that all paths stand out; its opacity carries the height on white and on black

# The pictures of two classes: the hues of the points on them, of which the opacity carries how sure a network is.
CLASSES = ("blue", "vermilion")
CLASS_RASTER = ("#2a78bd", "#d4641f")

# The phase diagram: gradients fade, gradients grow; the opacity says how fast.
PHASE_RASTER = ("#2a78bd", "#d4641f")

# Labels of a log axis: 0.001, 1, 100, 1e3, 1e−4, and of the ticks between them only those at 2 and 5.
_MANTISSA = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"
POWER = (
    f"indexof([1, 2, 5], {_MANTISSA}) < 0 ? '' : datum.value >= 0.001 && datum.value < 1000 ? format(datum.value, '~g') : "
    "replace(replace(format(datum.value, '.0~e'), 'e+', 'e'), '-', '−')"
)
POWER_GRID = {"condition": {"test": f"{_MANTISSA} == 1", "value": 0.6}, "value": 0.0}

TEXT_SIZE = 13
SMALL_SIZE = 11.5
LINE = 2.2
DOT = 15  # area of a dot of theory over a measured line


class Style(NamedTuple):
    """How a named thing is drawn everywhere: its color slot and its dash (an index into DASHES)."""

    slot: int
    dash: int


def shown(test: str) -> alt.OpacityValue:
    """Draw the marks that pass a test, and no other.

    Written as a channel: Altair takes five milliseconds to find out which one a condition, or a text, is meant for.
    """
    return alt.OpacityValue(0, condition={"test": test, "value": 1})


# A data set is never empty, or Vega loses its scales: a row with shown = false draws nothing.
SHOWN = shown("datum.shown")


def styles(names: Iterable[str], fixed: dict[str, tuple[str, int]] | None = None) -> dict[str, Style]:
    """Give every name its own pair of hue and dash; ``fixed`` reserves pairs for some names.

    Raises:
        ValueError: more names than pairs.
    """
    taken = {name: Style(SLOTS[hue], dash) for name, (hue, dash) in (fixed or {}).items()}
    free = [
        style
        for dash in range(len(DASHES))
        for hue in HUES
        if (style := Style(SLOTS[hue], dash)) not in taken.values()
    ]
    result: dict[str, Style] = {}
    for name in names:
        if name in taken:
            result[name] = taken[name]
        elif free:
            result[name] = free.pop(0)
        else:
            raise ValueError(f"no pair of hue and dash is left for {name}")
    return result


def color(field: str = "slot") -> alt.Color:
    """Encode a slot column as color, without a legend."""
    return alt.Color(
        f"{field}:O", scale=alt.Scale(domain=list(range(len(INKS))), range="category"), legend=None
    )


def ink(use: str) -> alt.ColorDatum:
    """Encode one slot as a constant color; some layer of the same view must use ``color``."""
    return alt.ColorDatum(SLOTS[use], type="ordinal")


def dash(field: str = "dash") -> alt.StrokeDash:
    """Encode a dash column as a stroke pattern, without a legend."""
    return alt.StrokeDash(
        f"{field}:O",
        scale=alt.Scale(domain=list(range(len(DASHES))), range=list(DASHES)),
        legend=None,
    )


def config() -> dict[str, object]:
    """Sizes and weights that hold on every ground; colors stay with the theme in force."""
    return {
        "axis": {
            "labelFontSize": SMALL_SIZE,
            "labelPadding": 6,  # marks on the edge of a plot reach beyond it
            "titleFontSize": TEXT_SIZE,
            "titleFontWeight": "normal",
            "labelFlush": False,
            "gridOpacity": 0.6,
            "tickCount": 6,
        },
        "title": {"fontSize": TEXT_SIZE + 1, "fontWeight": 600, "anchor": "start", "offset": 10},
        "text": {"fontSize": SMALL_SIZE},
        "line": {"strokeWidth": LINE},
        "view": {"stroke": None},
        "concat": {"spacing": 24},
    }


# Files. The font is shipped with the project, under a name of its own that no machine has already. (Vega
# reads a name that ends in a digit, Source Sans 3, as a size, and then measures no text.)
GROUNDS = ("white", "transparent", "dark")
PAPERS = {
    "white": PAGE["light"]["backgroundColor"],
    "transparent": "",
    "dark": PAGE["dark"]["backgroundColor"],
}
PRINT_FONT = "Layerwise Sans"
PRINT_FONTS = f'"{PRINT_FONT}", "Source Sans", sans-serif'
_PRINT_GRID = {"white": "#e3e4e6", "transparent": "#d9dadb", "dark": "#33373e"}


def ground_inks(ground: str) -> list[str]:
    """The inks on a ground of ``GROUNDS``, by slot; without a ground they are those of white, but paper is none."""
    inks = [entry.dark if ground == "dark" else entry.light for entry in INKS]
    if not PAPERS[ground]:
        inks[PAPER] = "transparent"
    return inks


def print_config(ground: str = "white") -> dict[str, object]:
    """The theme for files on a ground of ``GROUNDS``: its inks, the sizes of the screen, the shipped font."""
    merged = {key: dict(value) for key, value in config().items() if isinstance(value, dict)}
    inks = ground_inks(ground)
    merged["axis"] |= {
        "gridColor": _PRINT_GRID[ground],
        "domain": False,
        "ticks": False,
        "labelColor": inks[MUTED],
        "titleColor": inks[INK],
    }
    merged["title"] |= {"color": inks[INK], "subtitleColor": inks[MUTED]}
    merged["text"] |= {"color": inks[INK]}
    sequential = list(SEQUENTIAL[::-1] if ground == "dark" else SEQUENTIAL)
    return {
        **merged,
        "font": PRINT_FONTS,
        "background": PAPERS[ground] or "transparent",
        "range": {
            "category": inks,
            "heatmap": sequential,
            "ramp": sequential,
            "diverging": list(DIVERGING),
        },
        "legend": {"labelColor": inks[MUTED], "titleColor": inks[INK]},
        "header": {"labelColor": inks[INK], "titleColor": inks[INK]},
    }


def theme_toml() -> str:
    """The color tables of ``.streamlit/config.toml``; a test keeps the file equal to this."""
    lines: list[str] = []
    for ground in ("light", "dark"):
        lines.append(f"[theme.{ground}]")
        lines += [f'{key} = "{value}"' for key, value in PAGE[ground].items()]
        for key, values in (
            ("chartCategoricalColors", [getattr(entry, ground) for entry in INKS]),
            ("chartSequentialColors", list(SEQUENTIAL if ground == "light" else SEQUENTIAL[::-1])),
            ("chartDivergingColors", list(DIVERGING)),
        ):
            quoted = ", ".join('"' + value + '"' for value in values)
            lines.append(f"{key} = [{quoted}]")
        lines.append("")
    return "\n".join(lines)
