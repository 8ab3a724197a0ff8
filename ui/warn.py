"""What a link or a visitor got wrong, in their own words but never as Markdown, HTML or a formula."""

from collections.abc import Sequence

import streamlit as st

_MOST = 4  # lines of a warning


def literal(text: str) -> str:
    """Show foreign text as it is: nothing in it is Markdown, HTML or a formula."""
    line = " ".join(text.split()).replace("`", "ˋ")
    return f"`{line}`" if line else ""


def warn(problems: Sequence[str], refused: Sequence[str] = ()) -> None:
    """Say what the link got wrong, and what was typed and not understood; nothing if nothing was.

    Args:
        problems: of the link, one line each.
        refused: of what was typed, one line each.
    """
    if problems:
        _list("Not used from the link, defaults instead:", problems, ":material/link_off:")
    if refused:
        _list("Not understood, the default is drawn instead:", refused, ":material/edit_off:")


def _list(head: str, lines: Sequence[str], icon: str) -> None:
    shown = [literal(line) for line in lines[:_MOST]]
    if len(lines) > _MOST:
        shown.append(f"and {len(lines) - _MOST} more")
    text = f"{head} {shown[0]}" if len(shown) == 1 else head + "".join(f"\n- {line}" for line in shown)
    st.warning(text, icon=icon)
