"""How wide the main column is: a figure of several panels needs to know, and only the browser does."""

import streamlit as st

from charts.figure import WIDE

_STEP = 40
_KEY = "_viewport"

_REPORT = f"""
export default function ({{ parentElement, setStateValue }}) {{
  const column = document.querySelector('[data-testid="stMainBlockContainer"]');
  if (!column) return;
  let told = null;
  const report = () => {{
    const style = getComputedStyle(column);
    const inner = column.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const width = Math.max(320, Math.min(1600, inner < 640 ? Math.floor(inner / 10) * 10
      : Math.floor(inner / {_STEP}) * {_STEP}));
    if (width !== told) {{ told = width; setStateValue('width', width); }}
  }};
  let waiting = 0;
  const watch = new ResizeObserver(() => {{ clearTimeout(waiting); waiting = setTimeout(report, 150); }});
  watch.observe(column);
  return () => {{ clearTimeout(waiting); watch.disconnect(); }};
}}
"""

_component = st.components.v2.component("layerwise_viewport", js=_REPORT)


def width() -> int:
    """Return the width of the main column in pixels, in steps; a 1440-pixel screen's until the browser answers."""
    seen = st.session_state.get(_KEY, WIDE)
    return seen if isinstance(seen, int) else WIDE


def watch() -> None:
    """Keep asking the browser; a change of the width reruns the page once. Call it once a page, at its end."""
    result = _component(key="_viewport_component", on_width_change=_changed)
    seen = result.get("width")
    if isinstance(seen, int | float) and not isinstance(seen, bool):
        st.session_state[_KEY] = int(seen)


def _changed() -> None:
    """Take the new width over before the page runs again."""
    seen = st.session_state["_viewport_component"].get("width")
    if isinstance(seen, int | float) and not isinstance(seen, bool):
        st.session_state[_KEY] = int(min(max(seen, 320), 1600))
