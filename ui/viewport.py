"""How wide the main column is: a figure of several panels needs to know, and only the browser does."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.figure import WIDE
from ui.squeeze import squeezed

_STEP = 40
_LEAST, _MOST = 320, 1600
_KEY = "_viewport"
_COMPONENT = "_viewport_component"

# For the script of a component: begins to report the width of the column, as long as ``parent`` is on the page. The
# server says what it draws with, so that a page that already fits is not drawn twice.
SCRIPT = f"""
function watchWidth(parent, told, tell) {{
  const own = parent.layerwiseWidth ??= {{ told }};
  own.tell = tell;
  const stop = () => {{ clearTimeout(own.waiting); own.watch?.disconnect(); own.watch = null; }};
  const column = document.querySelector('[data-testid="stMainBlockContainer"]');
  if (!column || own.watch) return stop;
  const report = () => {{
    const style = getComputedStyle(column);
    const inner = column.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const step = inner < 640 ? 10 : {_STEP};
    const width = Math.max({_LEAST}, Math.min({_MOST}, Math.floor(inner / step) * step));
    if (width !== own.told) {{ own.told = width; own.tell('width', width); }}
  }};
  own.watch = new ResizeObserver(() => {{ clearTimeout(own.waiting); own.waiting = setTimeout(report, 150); }});
  own.watch.observe(column);
  return stop;
}}
"""

_component = st.components.v2.component(
    "layerwise_viewport",
    js=squeezed(
        f"""
{SCRIPT}
export default ({{ parentElement, data, setStateValue }}) => watchWidth(parentElement, data.width, setStateValue);
"""
    ),
)


def width() -> int:
    """Return the width of the main column in pixels, in steps; a 1440-pixel screen's until the browser answers."""
    seen = st.session_state.get(_KEY, WIDE)
    return seen if isinstance(seen, int) else WIDE


def watch() -> None:
    """Keep asking the browser; a change of the width reruns the page once. Call it once a page, at its end.

    A page with controls asks with ``history.watch`` instead, which does both.
    """
    take(_component(key=_COMPONENT, data={"width": width()}, on_width_change=lambda: changed(_COMPONENT)))


def changed(component: str) -> None:
    """Take the new width over before the page runs again, from the callback of a component by its key."""
    take(st.session_state[component])


def take(told: Mapping[str, Any]) -> None:
    """Take the width over that a component reports, if it does."""
    seen = told.get("width")
    if isinstance(seen, int | float) and not isinstance(seen, bool):
        st.session_state[_KEY] = int(min(max(seen, _LEAST), _MOST))
