"""Figures as files: a picture with title, parameters and the print theme, the same bytes every time."""

import io

import numpy as np
import pytest
from PIL import Image

from charts import theme
from charts.export import printed, render
from tests.charts.topics import TOPICS

MAINS = [topic.view(topic.defaults()).figure for topic in TOPICS]
every_main = pytest.mark.parametrize("figure", MAINS, ids=lambda figure: figure.name)


@every_main
def test_a_picture_is_drawn_on_white_with_something_on_it(figure):
    picture = np.asarray(Image.open(io.BytesIO(render(figure, "png"))).convert("RGB"))
    assert picture.shape[1] > 1500  # twice the pixels of the screen
    assert tuple(picture[0, 0]) == (255, 255, 255)
    assert (picture != 255).any(axis=2).mean() > 0.01


@every_main
def test_a_drawing_states_title_and_parameters(figure):
    drawing = render(figure, "svg").decode()
    assert drawing.startswith("<svg")
    assert figure.title.split()[0] in drawing
    written = " ".join(printed(figure)["title"]["subtitle"])
    for word in figure.caption.split():
        assert word in written
    assert theme.INKS[theme.INK].light in drawing


@pytest.mark.parametrize("ending", ["png", "svg"])  # a PDF lists its resources in any order
def test_the_same_figure_gives_the_same_bytes(ending):
    assert render(MAINS[0], ending) == render(MAINS[0], ending)


def test_the_starts_of_the_files():
    assert render(MAINS[0], "png").startswith(b"\x89PNG")
    assert render(MAINS[0], "pdf").startswith(b"%PDF")


def test_another_ending_is_refused():
    with pytest.raises(KeyError):
        render(MAINS[0], "bmp")
