"""Figures as files: legible at their size, complete, in the shipped fonts, the same bytes every time."""

import csv
import html
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFont

from charts import export, theme
from charts.export import ENDINGS, GROUNDS, SIZES, file_name, markdown, plain, render, rounded
from charts.figure import Figure, rows
from charts.press import FONTS, measure, print_sheet, renderer, wrap
from charts.topics import TOPICS
from tests.charts.topics import THOROUGH, random_values

VIEWS = {topic.name: topic.view(topic.defaults()) for topic in TOPICS.values()}
MAINS = {name: view.figure for name, view in VIEWS.items()}
SMALL = MAINS["dropout"]  # quick to draw
LINK = "https://example.org/batchnorm?" + urlencode({f"bn_{letter}": 0.5 for letter in "abcdefghijklmnop"})


# Each figure is drawn at one size in turn, in a thorough run at all of them.
TURNS = [
    (name, size)
    for number, name in enumerate(MAINS)
    for turn, size in enumerate(SIZES)
    if THOROUGH or number % len(SIZES) == turn
]


@lru_cache
def drawing(name: str, size: str) -> str:
    return render(MAINS[name], "svg", size=size, link=LINK).decode()


def wave(count: int) -> Figure:
    """A figure of few marks, whose every seventh value is missing."""
    x = np.arange(count)
    spec = {
        "data": {"name": "wave"},
        "mark": "line",
        "width": 200,
        "encoding": {field: {"field": field, "type": "quantitative"} for field in "xy"},
    }
    data = {"wave": rows(x=x, y=np.where(x % 7, np.sin(x), np.nan))}
    return Figure(
        "topic/wave", lambda width: spec, data, "A wave", "A sine, amplitude 1.", "Sine.", "Line: x."
    )


WAVE = wave(60)


@lru_cache
def waved(ending: str, **how: object) -> bytes:
    return render(WAVE, ending, size="half", **how)


def box(svg: str) -> tuple[float, float]:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return float(found[1]), float(found[2])


def texts(svg: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)<", svg)]


every_main = pytest.mark.parametrize("name", MAINS)


# What a size promises.
@pytest.mark.parametrize(("name", "size"), TURNS)
def test_a_picture_is_legible_complete_and_whole(name, size):
    svg, figure = drawing(name, size), MAINS[name]
    assert_legible(svg, size)
    assert_within(svg)
    written = "".join(texts(svg))
    for text in (figure.title, figure.caption, figure.key, LINK):
        assert text.replace(" ", "") in written.replace(" ", "")
    assert not missing(set(written) - {" "})


def assert_legible(svg: str, size: str) -> None:
    """No text is under seven points on paper, and a slide has the shape of one."""
    wide, high = box(svg)
    sizes = [float(number) for number in re.findall(r'font-size="([\d.]+)px"', svg)]
    assert len(sizes) > 10
    points = min(sizes) * SIZES[size].width / 25.4 * 72 / wide
    assert points >= 7 - 1e-9
    if SIZES[size].ratio:
        assert wide / high == pytest.approx(16 / 9, abs=1e-3)


def assert_within(svg: str) -> None:
    """Drawn on a ground that is larger on every side, the picture leaves what was added blank."""
    more = 12
    wide, high = box(svg)
    head, body = re.sub(r"<style>.*?</style>", "", svg).split(">", 1)
    head = re.sub(r' (width|height|viewBox)="[^"]*"', "", head)
    size = f'width="{wide + 2 * more}" height="{high + 2 * more}"'
    larger = f'{head} {size} viewBox="{-more} {-more} {wide + 2 * more} {high + 2 * more}">{body}'
    picture = np.asarray(Image.open(io.BytesIO(renderer().svg_to_png(larger))).convert("RGBA"))
    inside = picture[more + 1 : -more - 1, more + 1 : -more - 1]
    ink = (inside[..., :3] != 255).any(axis=-1)
    assert ink.mean() > 0.005
    # The white ground covers the picture alone: around it nothing is drawn, and its margin is white.
    around = picture[..., 3].copy()
    around[more - 1 : -more + 1, more - 1 : -more + 1] = 0
    assert not around.any()
    assert not ink[:2].any()
    assert not ink[-3:].any()
    assert not ink[:, :2].any()
    assert not ink[:, -3:].any()


def test_every_size_has_its_turn():
    assert {size for _, size in TURNS} == set(SIZES)
    assert {name for name, _ in TURNS} == set(MAINS)


def test_title_parameters_and_link_can_be_left_out():
    full, bare = (waved("svg", caption=caption, link=LINK).decode() for caption in (True, False))
    said = {WAVE.title, WAVE.caption, WAVE.key}
    assert said <= set(texts(full))
    assert not said & set(texts(bare))
    assert WAVE.caption not in bare
    assert ("example.org" in full, "example.org" in bare) == (True, False)
    assert box(bare)[1] < box(full)[1]


def test_foreign_text_stays_text():
    figure = replace(WAVE, title='a < b & "c"', caption="<script>1</script> ]]> & more", key="")
    svg = render(figure, "svg", size="half", link='x"><a>').decode()
    assert "<script>" not in svg
    assert 'a < b & "c"' in texts(svg)
    assert any('x"><a>' in text for text in texts(svg))


def test_a_long_link_is_printed_in_part_and_kept_whole():
    long = "https://example.org/page?" + "&".join(f"name_{number}=0.5" for number in range(99))
    svg = waved("svg", link=long).decode()
    printed = [text for text in texts(svg) if "name_" in text]
    assert len(printed) == 4
    assert printed[-1].endswith("…")
    assert long.startswith("".join(printed)[:-1])
    assert all(measure(text, SIZES["half"].text) <= SIZES["half"].column for text in printed)
    root = ElementTree.fromstring(svg)
    (leads,) = root.findall(".//{*}a")
    assert leads.attrib["href"] == root.findtext("{*}metadata/{*}source") == long
    assert ["".join(each.itertext()) for each in leads] == printed
    spec = json.loads(waved("json", link=long))
    assert (spec["usermeta"]["link"], spec["title"]["subtitle"][-1][-1]) == (long, "…")


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "page?a=1", "/page", "http:///page", "data:text/html,1", "xhttps://a.b", ""],
)
def test_only_an_address_of_the_web_is_a_link(link):
    svg = waved("svg", link=link).decode()
    assert (link in texts(svg), "<a" in svg) == (bool(link), False)


# Lines of text.
def test_lines_are_no_wider_than_allowed_and_lose_nothing():
    text = "A short line, then " + "averyveryverylongword" * 9 + " and & the rest of it"
    for width in (30.0, 100.0, 333.0):
        lines = wrap(text, width, 12)
        assert all(measure(line, 12) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        short = wrap(text, width, 12, most=2)
        assert short[0] == lines[0]
        assert lines[1].startswith(short[1].removesuffix("…"))
        assert short[1].endswith("…")
        assert measure(short[1], 12) <= width
        assert wrap(text, width, 12, most=len(lines)) == lines
    assert wrap("", 100, 12) == []
    assert wrap("wide", 1, 12) == list("wide")


def test_a_text_is_as_wide_as_the_renderer_draws_it():
    text = "Signal and gradient: ∂L/∂h, 0.01² ≤ σ"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="40"><text x="0" y="30" '
        f'font-family="{theme.PRINT_FONT}" font-size="20">{text}</text></svg>'
    )
    picture = np.asarray(Image.open(io.BytesIO(renderer().svg_to_png(svg))))
    drawn = np.nonzero(picture[..., 3].any(axis=0))[0].max()
    assert measure(text, 20) == pytest.approx(drawn, abs=4)  # kerning, and room beside the last letter


@pytest.mark.parametrize("weight", [400, 600])
def test_a_greek_letter_looks_the_same_after_latin_ones(weight):
    letters, before, step = "αβγδεζηθικλμνξοπρστυφϕχψωΓΔΘΙΛΞΠΣΦΧΨΩ", "n ", 60
    start = measure(before, 40, weight)

    def drawn(lead: str, x: float) -> np.ndarray:
        lines = "".join(
            f'<text x="{x}" y="{step * number + 45}" font-family="{theme.PRINT_FONT}" font-size="40" '
            f'font-weight="{weight}">{lead}{letter}</text>'
            for number, letter in enumerate(letters)
        )
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="{step * len(letters)}">{lines}</svg>'
        )
        picture = np.asarray(Image.open(io.BytesIO(renderer().svg_to_png(svg))))
        return picture[:, int(start) :, 3].reshape(len(letters), -1).astype(int)

    alone, after = drawn("", start), drawn(before, 0.0)
    assert (alone.max(axis=1) > 200).all()
    assert "".join(np.array(list(letters))[abs(alone - after).max(axis=1) > 60]) == ""


# The fonts.
FACES = [ImageFont.truetype(str(path), 40) for path in sorted(FONTS.glob("*.ttf"))]


def missing(letters: set[str]) -> set[str]:
    """Return the letters that one of the fonts draws as it draws a sign that no font has."""
    lacking = set()
    for face in FACES:
        none = face.getmask("\U0010ffff")
        blank = (none.size, bytes(none))
        masks = {letter: face.getmask(letter) for letter in letters}
        lacking |= {letter for letter, mask in masks.items() if (mask.size, bytes(mask)) == blank}
    return lacking


def test_the_fonts_are_two_and_come_with_their_license():
    assert len(FACES) == 2
    assert "SIL OPEN FONT LICENSE" in (FONTS / "OFL.txt").read_text()
    assert {face.getname()[0] for face in FACES} <= {theme.PRINT_FONT, f"{theme.PRINT_FONT} Semibold"}
    assert missing({"語", "a"}) == {"語"}  # the test can see what is missing


def test_the_fonts_have_every_sign_that_a_figure_could_show():
    """Words of figures and data come from the modules' texts, and what a visitor types is ASCII."""
    root = Path(export.__file__).parents[1]
    found = set(
        "".join(path.read_text() for part in ("charts", "core") for path in root.glob(f"{part}/*.py"))
    )
    assert len(found) > 150
    assert not missing(
        {letter for letter in found if letter.isprintable()} - {" ", "３"}
    )  # refused as a digit


def test_the_fonts_have_the_signs_of_mathematics():
    assert not missing(set("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹⁻₋ᵢⱼₖₙₜᵀⁿ"))
    assert not missing(set("∂∇√‖∞≤≥≈≠×·−′″±½°∑∏∫←↑→↓…–—’“”") | {"\u0302"})


def test_every_text_is_set_in_the_shipped_font_and_an_svg_brings_it_along():
    svg = drawing("dropout", "half")
    assert {html.unescape(family) for family in re.findall(r'font-family="([^"]*)"', svg)} == {
        theme.PRINT_FONTS
    }
    assert svg.count("@font-face") == 2
    # Nothing is fetched; a link is no part of the picture.
    assert not re.findall(r"(?:href|src)=\"(?!data:)|url\((?!data:|#)", re.sub(r"<a href=", "", svg))


# The grounds.
@pytest.mark.parametrize("ground", GROUNDS)
def test_a_ground_fills_the_picture(ground):
    picture = np.asarray(Image.open(io.BytesIO(waved("png", ground=ground, scale=1))).convert("RGBA"))
    expected = {"white": (255, 255, 255, 255), "transparent": (0, 0, 0, 0), "dark": (20, 22, 26, 255)}
    corners = {tuple(map(int, picture[y, x])) for y in (0, -2) for x in (0, -2)}
    assert corners == {expected[ground]}


def test_without_a_ground_colors_keep_their_opacity():
    """The renderer by itself gives the half opaque one as (128, 100, 50, 128)."""
    marks = [
        {"mark": {"type": "rect", "color": "#c86432", "opacity": opacity}, "encoding": {"x": at, "x2": to}}
        for opacity, at, to in ((0.5, {"value": 0}, {"value": 20}), (1, {"value": 20}, {"value": 40}))
    ]
    spec = {"data": {"name": "wave"}, "width": 60, "height": 20, "layer": marks, "view": {"stroke": None}}
    figure = replace(WAVE, build=lambda width: spec, data={"wave": rows(x=[0])})
    content = render(figure, "png", size="half", scale=1, ground="transparent", caption=False)
    pixels, counts = np.unique(
        np.asarray(Image.open(io.BytesIO(content))).reshape(-1, 4), axis=0, return_counts=True
    )
    common = {tuple(pixel) for pixel, count in zip(pixels.tolist(), counts, strict=True) if count > 300}
    # In a PNG of eight bits the color of a half opaque pixel is exact to one.
    half, full, none = sorted(common, key=lambda pixel: (pixel[3] == 0, pixel[3]))
    assert half == pytest.approx((200, 100, 50, 128), abs=1)
    assert (full, none) == ((200, 100, 50, 255), (0, 0, 0, 0))


def test_without_a_ground_a_picture_laid_on_white_is_that_on_white():
    sheet = export.sheet(WAVE, "png", size="half", scale=1, ground="transparent", link=LINK)
    clear, white = (
        Image.open(io.BytesIO(print_sheet(replace(sheet, paper=paper)))).convert("RGBA")
        for paper in ("", theme.PAPERS["white"])
    )
    paper = Image.new("RGBA", clear.size, "white")
    paper.alpha_composite(clear)
    assert abs(np.asarray(paper, int) - np.asarray(white, int)).max() <= 2
    assert len(np.unique(np.asarray(clear)[..., 3])) > 50


def test_without_a_ground_nothing_is_cleared_with_white():
    name, size = TURNS[0]
    assert drawing(name, size).count(theme.PAPERS["white"]) > 1  # halos, beside the ground itself
    assert theme.PAPERS["white"] not in render(MAINS[name], "svg", size=size, ground="transparent").decode()


def test_no_ink_of_one_ground_is_on_the_other():
    dark = render(SMALL, "svg", size="half", ground="dark").decode()
    assert theme.ground_inks("dark")[theme.INK] in dark
    light_only = {entry.light for entry in theme.INKS} - {entry.dark for entry in theme.INKS}
    assert not (light_only & set(re.findall(r"#[0-9a-f]{6}", dark)))


# The bytes.
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_figure_gives_the_same_bytes(ending):
    one, other = (render(SMALL, ending, size="half", scale=1) for _ in range(2))
    assert one == other
    assert len(one) > 1000


def test_a_file_says_how_large_it_is_on_paper():
    half = waved("pdf")
    assert half.startswith(b"%PDF")
    page = [float(n) for n in re.search(rb"/MediaBox \[([^\]]*)\]", half)[1].split()]
    assert page[2] / 72 * 25.4 == pytest.approx(85, abs=0.01)
    for scale in (1, 3):
        picture = Image.open(io.BytesIO(waved("png", scale=scale)))
        picture.load()
        assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(85, abs=0.05)
        wide, high = box(waved("svg").decode())
        assert picture.size == pytest.approx((wide * scale, high * scale), abs=scale)


def test_what_does_not_exist_is_refused():
    for wrong in ({"ending": "bmp"}, {"size": "poster"}, {"ground": "pink"}):
        with pytest.raises(KeyError):
            render(SMALL, **{"ending": "json", **wrong})
    with pytest.raises(ValueError, match="1, 2, 3, 4"):
        render(SMALL, "png", scale=9)


# The numbers.
def test_numbers_are_rounded_to_six_digits_and_print_short():
    values = np.array([np.pi * 10.0**k for k in range(-300, 300)] + [0.0, -0.1, 1e-320, 123456.5, -7e22])
    expected = [float(f"{value:.6g}") for value in values]
    assert rounded(values).tolist() == expected
    assert np.isnan(rounded(np.array([np.nan]))).all()
    assert rounded(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
    assert rounded(np.zeros((0, 3))).shape == (0, 3)


@every_main
def test_a_table_read_back_gives_the_drawn_values(name):
    figure = MAINS[name]
    read = list(csv.DictReader(io.StringIO(render(figure, "csv").decode())))
    assert next(iter(read[0])) == "set"
    for source, frame in figure.data.items():
        mine = [row for row in read if row["set"] == source]
        assert len(mine) == len(frame)
        others = set(read[0]) - {"set", *frame}
        assert not any(row[field] for row in mine for field in others)
        for field in frame:
            cells, column = [row[field] for row in mine], frame[field]
            if column.dtype.kind in "fiu":
                numbers = [float(cell) if cell else np.nan for cell in cells]
                np.testing.assert_allclose(numbers, column.to_numpy(float), rtol=5.01e-6, atol=1e-320)
            else:
                assert cells == ["" if pd.isna(value) else str(value) for value in column]


def test_the_specification_is_whole():
    figure = SMALL
    spec = json.loads(render(figure, "json", size="half", ground="dark", link=LINK))
    assert set(spec["datasets"]) == set(figure.data)
    assert spec["usermeta"]["caption"] == figure.caption
    assert spec["usermeta"]["title"] == spec["title"]["text"] == figure.title
    assert spec["usermeta"]["link"] == LINK
    assert spec["config"]["background"] == theme.PAGE["dark"]["backgroundColor"]
    subtitle = "".join(spec["title"]["subtitle"]).replace(" ", "")
    assert subtitle == f"{figure.caption}{figure.key}{LINK}".replace(" ", "")
    assert "title" not in json.loads(waved("json", caption=False))
    assert WAVE.title in renderer().vegalite_to_svg(json.loads(waved("json")))


def test_many_rows_and_gaps_are_exported_too():
    count = 6000
    figure = wave(count)
    assert len(render(figure, "csv").splitlines()) == count + 1
    values = json.loads(render(figure, "json"))["datasets"]["wave"]
    assert (len(values), values[0], values[1]) == (count, {"x": 0, "y": None}, {"x": 1, "y": 0.841471})
    assert len(render(figure, "svg")) > count * 5


# What is said to those who do not see the picture.
READING = "**Take** $\\hat x_{10}$ < `a & b`: [more](https://example.org)."
SAID = "Take x\u0302₁₀ < a & b: more."


def test_an_svg_is_labelled_by_its_title_and_description():
    root = ElementTree.fromstring(waved("svg", reading=READING))
    labels = root.attrib["aria-labelledby"].split()
    found = {each.attrib["id"]: each.text for each in root if "id" in each.attrib}
    assert root.attrib["role"] == "img"
    title, description = (found[label] for label in labels)
    assert title == WAVE.title
    assert description == f"{WAVE.alt} {SAID} {WAVE.caption} {WAVE.key}".strip()
    bare = ElementTree.fromstring(waved("svg", reading=READING, caption=False))
    assert bare[1].text == f"{WAVE.alt} {SAID}"


def test_png_pdf_and_json_say_the_same():
    picture = Image.open(io.BytesIO(waved("png", reading=READING, link=LINK)))
    picture.load()
    assert (picture.text["Title"], picture.text["Source"]) == (WAVE.title, LINK)
    assert SAID in picture.text["Description"]
    content = waved("pdf", reading=READING, link=LINK)
    told = dict(re.findall(rb"/(Title|Subject|Source) <feff([0-9a-f]+)>", content))
    written = {name.decode(): bytes.fromhex(text.decode()).decode("utf-16-be") for name, text in told.items()}
    assert written == {"Title": WAVE.title, "Subject": picture.text["Description"], "Source": LINK}
    assert (
        "Source" not in Image.open(io.BytesIO(waved("png", reading=READING, link=LINK, caption=False))).info
    )
    spec = json.loads(waved("json", reading=READING))
    assert spec["usermeta"]["reading"] == SAID
    assert spec["description"] == f"{WAVE.alt} {SAID}"


def test_a_pdf_lists_where_its_objects_are():
    content = waved("pdf", reading=READING)
    table = int(content[content.rindex(b"startxref") :].split()[1])
    places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n", content[table:])]
    assert len(places) > 10
    for number, place in enumerate(places, 1):
        assert content[place:].startswith(b"%d 0 obj" % number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*Slope* under 1% of f*, q* = 2*3, a_b_c and _so_ on.", "Slope under 1% of f*, q* = 2*3, a_b_c and so on."),
        ("## Head\n\n- one\n- **two**\n\n> three", "Head one two three"),
        ("|  | a | **b** |\n| --- | ---: | --- |\n| $|x|$ | 1 | −2 |", "a, b. |x|, 1, −2."),
        (":small[**x** is *y*] :material/flag: \\*z\\* costs \\$5", "x is y *z* costs $5"),
        (r"$\sqrt{\frac{3}{(2-a)N} + (1-a)^{2s}}$", "√(3/((2−a)N) + (1−a)^(2s))"),
        (r"$y = \gamma_c\,\frac{z_{nc}-\mu}{\sigma^2+\varepsilon}$", "y = γ_c (z_nc−μ)/(σ²+ε)"),
        (r"$$g^\top \left(\bar x\right) \le \Lambda\lambda \cdot \max_i \mathrm{rms}$$", "gᵀ (x\u0304) ≤ Λλ · maxᵢ rms"),
        ("`$a$ *b* \\*` and **$x$ *c***", "$a$ *b* \\* and x c"),
        ("**$", "**$"),
        ("$x^{\\frac$", "x^/"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_text_made_plain(text, expected):
    assert plain(text) == expected


@every_main
def test_no_reading_keeps_a_mark(name):
    """Nor do the texts of the derivation, which have many formulas."""
    for text in (VIEWS[name].reading, VIEWS[name].why):
        said = plain(text)
        assert not re.search(r"\*\*|\\|[$`]|\n|---|\]\(|[\ue000-\uf8ff]", said)
        assert len(said) > 0.4 * len(text)
        words = re.findall(r"[a-z]{5,}", re.sub(r"\$\$?[^$]*\$\$?|\]\([^)]*\)|:material[^:]*:", "", text))
        assert set(words) <= set(re.findall(r"[a-z]{5,}", said))


def test_only_pictures_need_the_renderer(monkeypatch):
    """The app makes tables, specifications and sheets; the worker alone draws."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    renderer.cache_clear()
    assert WAVE.name in waved("json").decode()
    assert render(WAVE, "csv").startswith(b"set,")
    assert export.sheet(WAVE, "png", link=LINK).link == LINK
    with pytest.raises(ImportError):
        render(WAVE, "png")
    renderer.cache_clear()


def test_the_press_loads_nothing_large_before_it_prints():
    program = (
        "import sys, charts.press; "
        "print({'PIL', 'altair', 'numpy', 'pandas', 'vl_convert'} & {name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=Path(export.__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()"
    assert not {"PIL", "ImageFont", "vl_convert"} & set(vars(export))


# Names and Markdown.
def test_a_name_says_what_differs_from_the_defaults():
    topic = TOPICS["optimizers"]
    figure = MAINS["optimizers"]
    assert file_name(figure, "svg") == "optimizers-trajectories.svg"
    assert file_name(figure, "svg", topic.defaults(), topic) == "optimizers-trajectories.svg"
    given = topic.fill({"surface": "Rosenbrock"})  # brings rates of its own, which are no difference
    assert file_name(figure, "png", given, topic) == "optimizers-trajectories-rosenbrock.png"
    rate = next(name for name in topic.shown(given) if name.endswith("lr"))
    given = {**given, rate: 0.0123}
    assert file_name(figure, "png", given, topic) == f"optimizers-trajectories-rosenbrock-{rate}0.0123.png"


@pytest.mark.parametrize("name", TOPICS)
def test_names_are_short_and_safe(name):
    topic = TOPICS[name]
    for seed in range(15):
        made = file_name(MAINS[name], "json", random_values(topic, seed), topic)
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*\.json", made)
        assert len(made) <= 80
    for scenario in topic.scenarios:
        assert len(file_name(MAINS[name], "svg", topic.scenario_values(scenario), topic)) <= 80


def test_names_that_do_not_fit_still_differ():
    topic = TOPICS["optimizers"]
    names = {file_name(MAINS["optimizers"], "svg", random_values(topic, seed), topic) for seed in range(30)}
    assert len(names) >= 29
    assert export.slug("N(0, 0.01²) σ/√N  x̂") == "n-0-0.012-sigma-n-x"


def test_markdown_is_picture_caption_and_link():
    figure = replace(SMALL, title="A [small] one", caption="f* of p_drop, x_ < 3.", key="")
    text = markdown(figure, "a-b.svg", "https://example.org/?a=1&b=(2)")
    assert text.splitlines() == [
        "![A \\[small\\] one](a-b.svg)",
        "",
        "A \\[small\\] one. f\\* of p_drop, x\\_ \\< 3.",
        "",
        "[Open in Layerwise](<https://example.org/?a=1&b=(2)>)",
    ]
    assert "Open" not in markdown(figure, "a.svg", "")
    assert "(<a b.svg>)" in markdown(figure, "a b.svg", "")
