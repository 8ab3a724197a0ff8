"""What our components are made of, on its way to the browser: without what only its readers need, and once a page.

A component's data are a dictionary whose values are numbers, texts and tuples. Of a list Streamlit would ask at every
run whether it is a table, and import pandas for that.

Streamlit sends the script of a component with its data, at every run. What it has sent before it sends as a reference
only if the whole message is the same and of some size. So the scripts of all components go in one message that never
changes, and each component has a few words of its own that call the part it is.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import streamlit as st

SCRIPTS = "layerwise_scripts"  # component and key of what is sent once
_PARTS: dict[str, str] = {}

# What comes first waits for the other: a component is there before its part, or the parts before any component.
_DOOR = (
    "const door = window.layerwise ??= (() => { const it = {}; "
    "it.ready = new Promise((open) => { it.open = open; }); return it; })();"
)

# What the parts share is in ``page``. A call that another one has followed may end later than that one has begun: what
# it would stop is the other's by then.
_HEAD = """
const page = {
  put(parent, html, css) {
    const made = document.createElement('div'), style = document.createElement('style');
    made.innerHTML = html; style.textContent = css;
    made.append(style); parent.append(made);
    return made;
  },
};
const parts = {};
"""
_FOOT = """
export default () => {
  door.call = (name, own) => {
    const turn = own.parentElement.layerwiseTurn = {}, stop = parts[name](own);
    return () => { if (own.parentElement.layerwiseTurn === turn) stop?.(); };
  };
  door.open();
};
"""


def squeezed(source: str) -> str:
    """Return a script, a style sheet or a piece of HTML without indentation, empty lines and lines of comment.

    Lines stay lines and nothing inside one is touched, so that a text in quotes stays as it is.

    Args:
        source: its comments stand in lines of their own, behind ``//`` or wholly between ``/*`` and ``*/``, or stay.

    Raises:
        ValueError: a text in backquotes or a comment goes over several lines, whose spaces would be part of it.
    """
    kept: list[str] = []
    for line in source.splitlines():
        bare = line.strip()
        if bare.count("`") % 2 or bare.count("/*") != bare.count("*/"):
            raise ValueError(f"{bare}: goes on in the next line")
        if (
            bare
            and not bare.startswith("//")
            and not (bare.startswith("/*") and bare.find("*/") == len(bare) - 2)
        ):
            kept.append(bare)
    return "\n".join(kept)


def part(name: str, script: str) -> Callable[..., Any]:
    """Return what draws a component whose script goes with those of all others; ``send`` sends them.

    Args:
        name: of the component, after ``layerwise_``.
        script: body of a function of ``page``, which all parts share: ``page.put(parent, html, css)`` makes what a part
            shows. It returns the function that Streamlit would find as the module's default export.

    Raises:
        ValueError: the name is taken.
        RuntimeError: the scripts have been put together already.
    """
    if name in _PARTS:
        raise ValueError(f"{name}: taken")
    if _all.cache_info().currsize:
        raise RuntimeError(f"{name}: comes too late")
    _PARTS[name] = squeezed(script)
    call = f"export default (own) => door.ready.then(() => door.call('{name}', own));"
    return st.components.v2.component(f"layerwise_{name}", js=f"{_DOOR}\n{call}")


def send(rules: str) -> None:
    """Send the scripts of all parts, and rules of style that nothing waits for. Call it once a page, near its top.

    Args:
        rules: the same at every call.
    """
    _all(rules)(key=SCRIPTS)


@lru_cache(maxsize=1)
def _all(rules: str) -> Callable[..., Any]:
    """Return the component that holds everything; it shows nothing."""
    written = (f"parts.{name} = (() => {{\n{script}\n}})();" for name, script in _PARTS.items())
    js = "\n".join((_DOOR, squeezed(_HEAD), *written, squeezed(_FOOT)))
    return st.components.v2.component(SCRIPTS, css=rules, js=js, isolate_styles=False)
