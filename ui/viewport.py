"""How wide the main column is: a figure of several panels needs to know, and only the browser does."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.figure import WIDE
from ui.squeeze import part

_STEP = 40
_LEAST, _MOST = 320, 1600
_PHONE = 350
_KEY = "_viewport"
_COMPONENT = "_viewport_component"

# ``page.watchWidth`` begins to report the width of the column, as long as ``parent`` is on the page. The server says
# what it draws with, so that a page that already fits is not drawn twice.
_SCRIPT = f"""
// For those who do not see the page: the items of Streamlit's menu on a phone lie in no list, and a table that scrolls
// has to be reached by a key.
const mend = () => {{
  document.querySelectorAll('[data-testid="stSidebarNavItems"]').forEach((menu) => {{
    menu.setAttribute('role', 'presentation');
    [...menu.children].forEach((each) => {{ if (each.tagName !== 'LI') each.setAttribute('role', 'list'); }});
  }});
  document.querySelectorAll('[data-testid="stMarkdownContainer"] table').forEach((table) => {{
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0; else table.removeAttribute('tabindex');
  }});
}};
let mending = 0;
page.watchWidth = (parent, told, tell) => {{
  const own = parent.layerwiseWidth ??= {{ told }};
  own.tell = tell;
  const later = () => {{ clearTimeout(mending); mending = setTimeout(mend, 600); }};
  later();
  const stop = () => {{ clearTimeout(own.waiting); own.watch?.disconnect(); own.watch = null; }};
  const column = document.querySelector('[data-testid="stMainBlockContainer"]');
  if (!column || own.watch) return stop;
  const report = () => {{
    // Until our own rules are there the column is narrower; when they come it changes.
    if (!getComputedStyle(document.documentElement).getPropertyValue('--layerwise-column')) return;
    const style = getComputedStyle(column);
    const inner = column.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const step = inner < 640 ? 10 : {_STEP};
    const width = Math.max({_LEAST}, Math.min({_MOST}, Math.floor(inner / step) * step));
    if (width !== own.told) {{ own.told = width; own.tell('width', width); }}
  }};
  own.watch = new ResizeObserver(() => {{ clearTimeout(own.waiting); own.waiting = setTimeout(report, 150); later(); }});
  own.watch.observe(column);
  return stop;
}};
return ({{ parentElement, data, setStateValue }}) =>
  page.onceHere('', setStateValue, (setWidth) => page.watchWidth(parentElement, data.width, setWidth));
"""

_component = part("viewport", _SCRIPT)


def width() -> int:
    """Return the width of the main column in pixels, in steps.

    Until the browser answers it is that of a 1440-pixel screen, or of a phone if the browser says it is on one.
    """
    seen = st.session_state.get(_KEY)
    if isinstance(seen, int):
        return seen
    return _PHONE if "Mobi" in str(st.context.headers.get("User-Agent")) else WIDE


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
