"""Make the fonts of printed figures: ``python charts/fonts/make.py SOURCE_SANS NOTO_SANS_MATH``.

The first argument is a folder with SourceSans3-Regular.ttf and SourceSans3-Semibold.ttf (TTF in the npm package
``source-sans``), the second a file of Noto Sans Math (WOFF2 in ``@fontsource/noto-sans-math``), from which signs
come that the first lacks: one font holds them all, for a renderer may take a missing sign from any font of the
machine. Needs fonttools and brotli, which nothing else of the project does.

What comes out is a modified version, so by its license it may not be called Source; a name of its own also
keeps it apart from any Source Sans that a machine has. Hinting goes, for files are never drawn at a screen's few
pixels; kerning and marks stay. Localized forms go too: after Latin letters they would turn α, γ or θ into the
letters of phonetics that look like them.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAMILY = "Layerwise Sans"
WEIGHTS = {"Regular": 400, "Semibold": 600}
RANGES = (
    (0x20, 0x17F),  # Latin
    (0x1E20, 0x1E21),
    (0x1E90, 0x1E91),
    (0x2B0, 0x2FF),  # raised letters
    (0x300, 0x308),  # accents that stand on the letter before
    (0x391, 0x3F6),  # Greek
    (0x1D2C, 0x1D6A),  # raised and lowered letters
    (0x2010, 0x203A),  # punctuation, primes
    (0x2070, 0x209C),  # raised and lowered digits and letters
    (0x2113, 0x2113),
    (0x2150, 0x215E),  # fractions
    (0x2190, 0x21D4),  # arrows
    (0x2200, 0x22FF),  # operators
    (0x2308, 0x230B),
    (0x25A0, 0x25FF),  # shapes
    (0x27E8, 0x27E9),
)
SINGLE = [0x2C7C, 0x1DBB, 0x27C2, *map(ord, "ℝℕ𝔼")]
BORROWED = "⊙⊗⊕⌈⌉⌊⌋∝↦⋅∘∓∈∉∅∪∩⊂⊆∀∃∧∨∼∥⊥⟂≪≫≡ℝℕ𝔼∣⇔"
# A sign made from another: lowered letters from raised ones, as the lowered one stands below the raised one.
LOWERED = {"ᵢ": "ⁱ", "ⱼ": "ʲ", "ₖ": "ᵏ", "ₗ": "ˡ", "ₘ": "ᵐ", "ₙ": "ⁿ", "ₜ": "ᵗ", "ᵤ": "ᵘ"}


def main(folder: Path, mathematics: Path) -> None:
    """Write both weights as TTF for drawing and as WOFF2 to put into an SVG."""
    fonts: Any = import_module("fontTools.ttLib")
    subset: Any = import_module("fontTools.subset")
    for weight in WEIGHTS:
        font = fonts.TTFont(folder / f"SourceSans3-{weight}.ttf", recalcTimestamp=False)
        add_signs(font, fonts.TTFont(mathematics))
        options = subset.Options(
            hinting=False, layout_features=["kern", "mark", "mkmk", "ccmp"], notdef_outline=True
        )
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=[code for low, high in RANGES for code in range(low, high + 1)] + SINGLE)
        cutter.subset(font)
        rename(font, weight)
        name = f"{FAMILY.replace(' ', '')}-{weight}"
        font.save(HERE / f"{name}.ttf")
        font.flavor = "woff2"
        font.save(HERE / f"{name}.woff2")


def add_signs(font: Any, mathematics: Any) -> None:
    """Draw ∇ as a Δ upside down, lowered letters from raised ones, ᶻ from z, and borrow what else is missing."""
    cmap, glyphs = dict(font.getBestCmap()), font["glyf"]

    def glyph(sign: str) -> Any:
        return glyphs[cmap[ord(sign)]]

    drop = glyph("₁").yMin - glyph("¹").yMin
    add(font, "∇", font, "Δ", (1.0, -1.0), glyph("Δ").yMax + glyph("Δ").yMin)
    for sign, source in LOWERED.items():
        if ord(sign) not in cmap and ord(source) in cmap:
            add(font, sign, font, source, (1.0, 1.0), drop)
    scale = (glyph("ˣ").yMax - glyph("ˣ").yMin) / (glyph("x").yMax - glyph("x").yMin)
    if ord("ᶻ") not in cmap:
        add(font, "ᶻ", font, "z", (scale, scale), glyph("ˣ").yMin)
    for sign in BORROWED:
        if ord(sign) not in cmap:
            add(font, sign, mathematics, sign, (1.0, 1.0), 0)


def add(font: Any, sign: str, other: Any, source: str, scale: tuple[float, float], rise: int) -> None:
    """Add a sign: the one called ``source`` of a font with as many units an em, scaled, ``rise`` units higher."""
    if font["head"].unitsPerEm != other["head"].unitsPerEm:
        raise ValueError("the fonts differ in units an em")
    origin = other.getBestCmap()[ord(source)]
    pens: Any = import_module("fontTools.pens.ttGlyphPen")
    transform: Any = import_module("fontTools.pens.transformPen")
    decompose: Any = import_module("fontTools.pens.recordingPen")
    reverse: Any = import_module("fontTools.pens.reverseContourPen")
    pen = pens.TTGlyphPen(None)
    # Mirrored, outlines run the wrong way round.
    turned = reverse.ReverseContourPen(pen) if scale[1] < 0 else pen
    recording = decompose.DecomposingRecordingPen(other.getGlyphSet())
    other.getGlyphSet()[origin].draw(recording)
    recording.replay(transform.TransformPen(turned, (scale[0], 0, 0, scale[1], 0, rise)))
    name = f"u{ord(sign):04X}.made"
    glyph = pen.glyph()
    font["glyf"][name] = glyph
    glyph.recalcBounds(font["glyf"])
    font["hmtx"][name] = (round(scale[0] * other["hmtx"][origin][0]), glyph.xMin)
    font["maxp"].numGlyphs = len(font.getGlyphOrder())
    for table in font["cmap"].tables:
        if table.isUnicode() and (ord(sign) < 0x10000 or table.format == 12):
            table.cmap[ord(sign)] = name


def rename(font: Any, weight: str) -> None:
    """Give the font its own family, keep copyright and license."""
    names = font["name"]
    kept = [record for record in names.names if record.nameID in (0, 13, 14)]
    names.names = kept
    plain = weight == "Regular"
    for number, text in {
        1: FAMILY if plain else f"{FAMILY} {weight}",
        2: "Regular",
        3: f"{FAMILY} {weight} 1, from Source Sans 3 and Noto Sans Math",
        4: FAMILY if plain else f"{FAMILY} {weight}",
        5: "Version 1.000",
        6: f"{FAMILY.replace(' ', '')}-{weight}",
        10: "A subset of Source Sans 3 by Adobe with a few signs of Noto Sans Math, for the figures of Layerwise.",
        16: FAMILY,
        17: weight,
    }.items():
        names.setName(text, number, 3, 1, 0x409)
    font["OS/2"].usWeightClass = WEIGHTS[weight]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
