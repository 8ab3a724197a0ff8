"""What goes to the browser is short, says the same as its source, and goes there once a page if it never changes."""

import json

import pytest
from streamlit import config

from tests.charts.topics import BY_NAME
from tests.pages.app import press, start, visit
from ui import delivery, history, keyboard, playback, squeeze, style, toolbar, viewport
from ui.squeeze import squeezed

SOURCES = {
    "toolbar script": toolbar._SCRIPT,
    "toolbar style": toolbar._STYLE,
    "delivery": delivery._SCRIPT,
    "history": history._SCRIPT,
    "keyboard": keyboard.SCRIPT,
    "keyboard style": keyboard._STYLE,
    "play": playback._SCRIPT,
    "viewport": viewport._SCRIPT,
    "style": style._SCREEN + style._DETAIL + style._PAPER + style._WHITE,
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


def sent(at):
    """Return what a page sends of our components, by name: a list of messages without their data."""
    found = {}
    for element in at.get("bidi_component"):
        message = type(element.proto)()
        message.CopyFrom(element.proto)
        message.ClearField("json")
        found.setdefault(message.component_name, []).append(message)
    return found


def test_scripts_are_in_one_message_that_never_changes_and_is_big_enough_to_be_sent_once():
    at = visit(BY_NAME["dropout"])
    before = sent(at)
    (scripts,) = before[squeeze.SCRIPTS]
    assert scripts.ByteSize() > config.get_option("global.minCachedMessageSize")
    press(at, "New seed")
    assert sent(at)[squeeze.SCRIPTS] == [scripts]
    for other in (visit(BY_NAME["optimizers"]), start().run()):
        (elsewhere,) = sent(other)[squeeze.SCRIPTS]
        assert (elsewhere.js_content, elsewhere.css_content) == (scripts.js_content, scripts.css_content)
    for name, messages in before.items():
        part = name.removeprefix("layerwise_")
        if name != squeeze.SCRIPTS:
            assert f"parts.{part} = " in scripts.js_content
            for message in messages:
                assert len(message.js_content) + len(message.css_content) + len(message.html_content) < 300


def test_a_part_has_a_name_of_its_own_and_comes_before_the_scripts_are_put_together():
    with pytest.raises(ValueError, match="taken"):
        squeeze.part("toolbar", "")
    squeeze._all("")
    with pytest.raises(RuntimeError, match="too late"):
        squeeze.part("another", "")


def test_the_link_is_sent_once():
    for element in visit(BY_NAME["batchnorm"]).get("bidi_component"):
        if element.proto.component_name == "layerwise_toolbar":
            data = json.loads(element.proto.json)
            assert data["link"] not in data["markdown"]
            assert data["markdown"].count(toolbar._LINK) == 1
