"""Figures as files: legible at their size, complete, in the shipped fonts, the same bytes every time."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
import vl_convert
from PIL import Image, ImageFont

from charts import export, theme
from charts.export import ENDINGS, FONTS, GROUNDS, SIZES, file_name, markdown, render, rounded
from charts.figure import Figure, rows
from charts.topics import TOPICS
from tests.charts.topics import random_values

VIEWS = {topic.name: topic.view(topic.defaults()) for topic in TOPICS.values()}
MAINS = {name: view.figure for name, view in VIEWS.items()}
SMALL = MAINS["dropout"]  # quick to draw
LINK = "https://example.org/batchnorm?" + urlencode({f"bn_{letter}": 0.5 for letter in "abcdefghijklmnop"})


@lru_cache
def drawing(name: str, size: str) -> str:
    return render(MAINS[name], "svg", size=size, link=LINK).decode()


def box(svg: str) -> tuple[float, float]:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return float(found[1]), float(found[2])


def texts(svg: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)<", svg)]


# What a size promises.
every_size = pytest.mark.parametrize("size", SIZES)
every_main = pytest.mark.parametrize("name", MAINS)


@every_size
@every_main
def test_no_text_is_under_seven_points_on_paper(name, size):
    svg = drawing(name, size)
    wide, high = box(svg)
    sizes = [float(number) for number in re.findall(r'font-size="([\d.]+)px"', svg)]
    assert len(sizes) > 10
    points = min(sizes) * SIZES[size].width / 25.4 * 72 / wide
    assert points >= 7 - 1e-9
    if SIZES[size].ratio:
        assert wide / high == pytest.approx(16 / 9, abs=1e-3)


@every_size
@every_main
def test_nothing_is_drawn_beyond_the_edge(name, size):
    """Drawn on a ground that is larger on every side, the picture leaves what was added blank."""
    more = 12
    svg = re.sub(r"<style>.*?</style>", "", drawing(name, size))
    wide, high = box(svg)
    head, body = svg.split(">", 1)
    head = re.sub(r' (width|height|viewBox)="[^"]*"', "", head)
    size_ = f'width="{wide + 2 * more}" height="{high + 2 * more}"'
    larger = f'{head} {size_} viewBox="{-more} {-more} {wide + 2 * more} {high + 2 * more}">{body}'
    picture = np.asarray(Image.open(io.BytesIO(vl_convert.svg_to_png(larger))).convert("RGBA"))
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


@every_main
def test_a_picture_states_title_parameters_and_link(name):
    figure = MAINS[name]
    written = "".join(texts(drawing(name, "page"))).replace(" ", "")
    for text in (figure.title, figure.caption, figure.key, LINK):
        assert text.replace(" ", "") in written
    bare = render(figure, "svg", caption=False, link=LINK).decode()
    assert figure.caption.replace(" ", "") not in "".join(texts(bare)).replace(" ", "")
    assert "example.org" not in bare


def test_foreign_text_stays_text():
    figure = replace(SMALL, title='a < b & "c"', caption="<script>1</script> ]]> & more", key="")
    svg = render(figure, "svg", size="half", link='x"><a>').decode()
    assert "<script>" not in svg
    assert 'a < b & "c"' in texts(svg)
    assert any('x"><a>' in text for text in texts(svg))


# Lines of text.
def test_lines_are_no_wider_than_allowed_and_lose_nothing():
    text = "A short line, then " + "averyveryverylongword" * 9 + " and & the rest of it"
    for width in (30.0, 100.0, 333.0):
        lines = export.wrap(text, width, 12)
        assert all(export.measure(line, 12) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert export.wrap("", 100, 12) == []
    assert export.wrap("wide", 1, 12) == list("wide")


def test_a_text_is_as_wide_as_the_renderer_draws_it():
    text = "Signal and gradient: ∂L/∂h, 0.01² ≤ σ"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="40"><text x="0" y="30" '
        f'font-family="{theme.PRINT_FONT}" font-size="20">{text}</text></svg>'
    )
    picture = np.asarray(Image.open(io.BytesIO(vl_convert.svg_to_png(svg))))
    drawn = np.nonzero(picture[..., 3].any(axis=0))[0].max()
    assert export.measure(text, 20) == pytest.approx(drawn, abs=4)  # kerning, and room beside the last letter


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


@every_main
def test_the_fonts_have_every_sign_of_a_picture(name):
    assert not missing(set("".join(texts(drawing(name, "page")))) - {" "})


def test_the_fonts_have_the_signs_of_mathematics():
    assert not missing(set("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹⁻₋ᵢⱼₖₙₜᵀⁿ"))
    assert not missing(set("∂∇√‖∞≤≥≈≠×·−′″±½°∑∏∫←↑→↓…–—’“”") | {"\u0302"})


def test_every_text_is_set_in_the_shipped_font_and_an_svg_brings_it_along():
    svg = drawing("dropout", "half")
    assert {html.unescape(family) for family in re.findall(r'font-family="([^"]*)"', svg)} == {
        theme.PRINT_FONTS
    }
    assert svg.count("@font-face") == 2
    assert not re.findall(r"(?:href|src)=\"(?!data:)|url\((?!data:|#)", svg)  # nothing is fetched


# The grounds.
@pytest.mark.parametrize("ground", GROUNDS)
def test_a_ground_fills_the_picture(ground):
    picture = np.asarray(Image.open(io.BytesIO(render(SMALL, "png", ground=ground, scale=1))).convert("RGBA"))
    expected = {"white": (255, 255, 255, 255), "transparent": (0, 0, 0, 0), "dark": (20, 22, 26, 255)}
    corners = {tuple(map(int, picture[y, x])) for y in (0, -2) for x in (0, -2)}
    assert corners == {expected[ground]}
    inks = theme.ground_inks(ground)
    assert inks[theme.INK] in render(SMALL, "svg", ground=ground).decode()


def test_no_ink_of_one_ground_is_on_the_other():
    dark = render(SMALL, "svg", ground="dark").decode()
    light_only = {entry.light for entry in theme.INKS} - {entry.dark for entry in theme.INKS}
    assert not (light_only & set(re.findall(r"#[0-9a-f]{6}", dark)))


# The bytes.
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_figure_gives_the_same_bytes(ending):
    assert len({render(SMALL, ending) for _ in range(3 if ending == "pdf" else 2)}) == 1


def test_a_file_says_how_large_it_is_on_paper():
    half = render(SMALL, "pdf", size="half")
    assert half.startswith(b"%PDF")
    page = [float(n) for n in re.search(rb"/MediaBox \[([^\]]*)\]", half)[1].split()]
    assert page[2] / 72 * 25.4 == pytest.approx(85, abs=0.01)
    for scale in (1, 3):
        picture = Image.open(io.BytesIO(render(SMALL, "png", size="half", scale=scale, link=LINK)))
        picture.load()
        assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(85, abs=0.05)
        wide, high = box(drawing("dropout", "half"))
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
        assert all(row[field] == "" for row in mine for field in row if field not in {"set", *frame})
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
    assert "title" not in json.loads(render(figure, "json", caption=False))
    assert figure.title.split()[0] in vl_convert.vegalite_to_svg(spec)


def test_many_rows_and_gaps_are_exported_too():
    count = 6000
    data = rows(x=np.arange(count), y=np.where(np.arange(count) % 7, np.sin(np.arange(count)), np.nan))
    spec = {
        "data": {"name": "wave"},
        "mark": "line",
        "width": 200,
        "encoding": {f: {"field": f, "type": "quantitative"} for f in "xy"},
    }
    figure = Figure("topic/many", lambda width: spec, {"wave": data}, "Many rows", "A sine.", "A sine.")
    assert len(render(figure, "csv").splitlines()) == count + 1
    values = json.loads(render(figure, "json"))["datasets"]["wave"]
    assert (len(values), values[0], values[1]) == (count, {"x": 0, "y": None}, {"x": 1, "y": 0.841471})
    assert len(render(figure, "svg")) > count * 5
    assert render(figure, "png").startswith(b"\x89PNG")


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
    for seed in range(40):
        made = file_name(MAINS[name], "json", random_values(topic, seed), topic)
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*\.json", made)
        assert len(made) <= 80
    for scenario in topic.scenarios:
        assert len(file_name(MAINS[name], "svg", topic.scenario_values(scenario), topic)) <= 80


def test_names_that_do_not_fit_still_differ():
    topic = TOPICS["optimizers"]
    names = {file_name(MAINS["optimizers"], "svg", random_values(topic, seed), topic) for seed in range(60)}
    assert len(names) >= 58
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
