"""What goes to the browser at every run is short, and says the same as its source."""

import pytest

from ui import delivery, history, style, toolbar, viewport
from ui.squeeze import squeezed

SOURCES = {
    "toolbar script": toolbar._SCRIPT,
    "toolbar style": toolbar._STYLE,
    "delivery": delivery._SCRIPT,
    "history": history._SCRIPT,
    "viewport": viewport.SCRIPT,
    "style": style._SCREEN + style._PAPER + style._WHITE,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_only_comments_and_space_at_the_edges_of_lines_go(source):
    short = squeezed(source)
    left = iter(short.split("\n"))
    now = next(left)
    for line in source.splitlines():
        if now is not None and line.strip() == now:
            now = next(left, None)
        else:
            assert line.strip() == "" or line.lstrip().startswith("//"), line
    assert now is None
    assert squeezed(short) == short
    assert len(short) < len(source)


def test_what_stands_in_a_line_stays():
    source = "  const a = '  // b  ';  // c\n\n // d\n/* e */\n  /* f */ g { h: i; }\n"
    assert squeezed(source) == "const a = '  // b  ';  // c\n/* f */ g { h: i; }"


@pytest.mark.parametrize("source", ["const a = `b\n  c`;", "a {}\n/* b\n   c */"])
def test_what_goes_over_lines_is_refused(source):
    with pytest.raises(ValueError, match="goes on"):
        squeezed(source)
