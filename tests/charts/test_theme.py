"""The look lives in one module: its colors can be told apart, can be read, and are nowhere else."""

import re
import tomllib
from pathlib import Path

import pytest

from charts import activations, initialization, optimizers, optimizers_base, theme
from tests.charts.topics import HEX

ROOT = Path(__file__).parents[2]
GROUNDS = {"light": theme.PAGE["light"]["backgroundColor"], "dark": theme.PAGE["dark"]["backgroundColor"]}


def luminance(color):
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Return the contrast ratio of WCAG 2.2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast_is_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#ffffff", "#ffffff") == 1


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize(
    "ink", [ink for ink in theme.INKS if ink.use not in ("faint", "paper")], ids=lambda ink: ink.use
)
def test_every_ink_can_be_read(ink, ground):
    assert contrast(getattr(ink, ground), GROUNDS[ground]) >= 4.5


@pytest.mark.parametrize("ground", GROUNDS)
def test_text_and_links_can_be_read_on_the_page_and_in_the_sidebar(ground):
    page = theme.PAGE[ground]
    for below in ("backgroundColor", "secondaryBackgroundColor"):
        assert contrast(page["textColor"], page[below]) >= 4.5
        assert contrast(page["linkColor"], page[below]) >= 4.5
        assert contrast(page["primaryColor"], page[below]) >= 3  # handles and borders
    faint = getattr(theme.INKS[theme.FAINT], ground)
    assert 1.3 < contrast(faint, GROUNDS[ground]) < 4.5


def test_files_are_drawn_on_the_light_ground():
    config = theme.print_config()
    assert config["background"] == GROUNDS["light"]
    assert config["range"]["category"] == [ink.light for ink in theme.INKS]


def test_without_a_ground_there_is_no_paper():
    white, clear = (theme.ground_inks(ground) for ground in ("white", "transparent"))
    differ = {use for use, slot in theme.SLOTS.items() if white[slot] != clear[slot]}
    assert differ == {"paper"}
    assert theme.print_config("transparent")["range"]["category"][theme.SLOTS["paper"]] == "transparent"


def test_slots_are_the_places_of_the_inks():
    assert len({ink.use for ink in theme.INKS}) == len(theme.INKS)
    assert all(theme.INKS[slot].use == use for use, slot in theme.SLOTS.items())
    assert (theme.INKS[theme.INK].use, theme.INKS[theme.MUTED].use) == ("ink", "muted")
    assert set(theme.HUES) <= set(theme.SLOTS)
    for ground in GROUNDS:
        assert len({getattr(ink, ground) for ink in theme.INKS}) == len(theme.INKS)


@pytest.mark.parametrize(
    "module", [activations, initialization, optimizers], ids=lambda module: module.__name__
)
def test_no_two_names_look_the_same(module):
    names = module.STYLES if module is not optimizers else optimizers_base.STYLES
    styles = list(names.values())
    assert len(set(styles)) == len(styles)
    assert all(style.dash in range(len(theme.DASHES)) for style in styles)
    assert all(theme.INKS[style.slot].use in theme.HUES for style in styles)
    knob = next(k for k in module.TOPIC.knobs.values() if k.kind == "choices")
    assert set(names) == set(knob.choices)


def test_dashes_differ():
    assert len({str(dash) for dash in theme.DASHES}) == len(theme.DASHES)


def test_styles_keep_what_is_fixed_and_share_out_the_rest():
    styles = theme.styles(["a", "b", "c"], fixed={"b": ("green", 1), "gone": ("blue", 0)})
    assert styles["b"] == (theme.SLOTS["green"], 1)
    assert styles["a"] == (theme.SLOTS[theme.HUES[1]], 0), "a reserved pair stays reserved"
    assert len(set(styles.values())) == 3
    assert list(styles) == ["a", "b", "c"]


def test_too_many_names_are_refused():
    pairs = len(theme.HUES) * len(theme.DASHES)
    names = [str(i) for i in range(pairs)]
    assert len(set(theme.styles(names).values())) == pairs
    with pytest.raises(ValueError, match="one too many"):
        theme.styles([*names, "one too many"])


def test_streamlit_gets_the_theme():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    wanted = tomllib.loads(theme.theme_toml())["theme"]
    assert set(wanted) == set(GROUNDS)
    for ground in GROUNDS:
        assert config[ground] == wanted[ground]
        assert wanted[ground]["chartCategoricalColors"] == [getattr(ink, ground) for ink in theme.INKS]
        for name in ("chartSequentialColors", "chartDivergingColors"):
            assert len(wanted[ground][name]) == 10  # Streamlit takes no other number
        assert {k: v for k, v in wanted[ground].items() if isinstance(v, str)} == theme.PAGE[ground]


def test_sequential_colors_run_from_the_ground_to_the_ink():
    lights = [luminance(color) for color in theme.SEQUENTIAL]
    assert lights == sorted(lights, reverse=True)


def _sources():
    for folder in ("charts", "ui", "pages", "core"):
        yield from sorted((ROOT / folder).glob("**/*.py"))
    yield ROOT / "app.py"


@pytest.mark.parametrize("path", list(_sources()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_module_knows_a_color(path):
    text = path.read_text(encoding="utf-8")
    if path == ROOT / "charts" / "theme.py":
        assert len(HEX.findall(text)) > 40
        return
    assert HEX.findall(text) == []
    assert not re.search(r"\b(rgba?|hsla?)\s*\(", text)
