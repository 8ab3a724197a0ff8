"""Settings of a host: which pages it offers, how large an experiment may be, light or dark; from the environment.

``LAYERWISE_PAGES`` names pages with commas between, ``LAYERWISE_MAX_WIDTH``, ``_DEPTH``, ``_GRID``, ``_SEEDS`` and
``_SAMPLES`` cap sizes, ``LAYERWISE_THEME`` is ``light``, ``dark`` or ``auto``. What cannot be used is said in one line
of the log and ignored: a page with a typing error in its settings is still a page. The host names under which the app
answers are Streamlit's own setting, ``STREAMLIT_SERVER_ALLOWED_HOSTS``.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from streamlit import config

from charts.addresses import PAGES, page_of
from core.knobs import CAPS, quote

if TYPE_CHECKING:  # the home page starts without it
    from charts.topic import Topic

THEMES = ("auto", "light", "dark")
_SECTIONS = ("light", "dark")
_MOST_DIGITS = 9

_log = logging.getLogger("layerwise")


@dataclass(frozen=True)
class Settings:
    """What a host has set: the pages it offers, in the order of the menu, its caps by kind of size, and its theme."""

    pages: tuple[str, ...] = PAGES
    limits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    theme: str = "auto"


def read(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings from the variables of an environment; an empty one counts as not set.

    Returns:
        the settings, and one line for each variable that could not be used and is ignored.
    """
    problems: list[str] = []

    def refuse(variable: str, text: str, needs: str) -> None:
        problems.append(f"{variable} = {quote(text)}: needs {needs}; ignored")

    pages: tuple[str, ...] = PAGES
    text = environment.get("LAYERWISE_PAGES", "").strip()
    if text:
        named = [name.strip() for name in text.split(",") if name.strip()]
        chosen = {page_of(name) for name in named}
        if not chosen or "" in chosen:
            refuse("LAYERWISE_PAGES", text, "names of pages with commas between, of " + ", ".join(PAGES))
        else:
            pages = tuple(name for name in PAGES if name in chosen)

    limits: dict[str, int] = {}
    for kind, what in CAPS.items():
        variable = f"LAYERWISE_MAX_{kind.upper()}"
        text = environment.get(variable, "").strip()
        if not text:
            continue
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0:
            limits[kind] = int(text)
        else:
            refuse(variable, text, f"a whole number from 1, of {what}")

    theme = "auto"
    text = environment.get("LAYERWISE_THEME", "").strip()
    if text.lower() in THEMES:
        theme = text.lower()
    elif text:
        refuse("LAYERWISE_THEME", text, "one of " + ", ".join(THEMES))
    return Settings(pages, MappingProxyType(limits), theme), problems


@lru_cache(maxsize=1)
def current() -> Settings:
    """Return the settings of this process, read once; what is wrong with them goes to the log."""
    settings, problems = read(os.environ)
    for problem in problems:
        _log.error(problem)
    return settings


_limited: dict[str, "Topic"] = {}  # by name: as many as there are topics


def allowed(topic: "Topic") -> "Topic":
    """Return a topic within this host's caps; the topic itself if there are none."""
    limits = current().limits
    if not limits:
        return topic
    if topic.name not in _limited:
        from charts.limits import limited  # only a host with caps needs it

        _limited[topic.name] = limited(topic, limits)
    return _limited[topic.name]


def dress() -> bool:
    """Give Streamlit the host's theme; True if that has changed its configuration, so that this run began without it.

    Streamlit has no setting for which of a light and a dark theme comes first. With one alone every visitor gets it,
    and the menu offers no other.
    """
    theme = current().theme
    if theme == "auto" or config.get_option("theme.base") == theme:
        return False
    chosen = config.get_options_for_section(f"theme.{theme}")
    for section in _SECTIONS:
        for option in config.get_options_for_section(f"theme.{section}"):
            config.set_option(f"theme.{section}.{option}", None)
    for option, value in chosen.items():
        if value is not None:
            config.set_option(f"theme.{option}", value)
    config.set_option("theme.base", theme)  # last: whoever finds it set finds all of it
    return True
