"""A page without some of its parts: ``?hide=controls`` and ``?hide=text``, for a figure in a lesson or in a frame."""

from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st

from core.knobs import quote

CONTROLS, TEXT = "controls", "text"
_PARTS = (CONTROLS, TEXT)


def hidden() -> frozenset[str]:
    """Return the parts that the address hides; what it names otherwise hides nothing."""
    return frozenset(_named()) & frozenset(_PARTS)


def problems() -> list[str]:
    """Say what the address would hide that is no part of a page."""
    wrong = [part for part in _named() if part not in _PARTS]
    return [
        f"hide = {quote(part)}: needs controls or text, or both with a comma between" for part in wrong[:3]
    ]


def whole(address: Mapping[str, list[str]]) -> str:
    """Return the query of the same view with nothing hidden and out of its frame.

    Args:
        address: all parameters of the view with the lists of their values.
    """
    kept = {name: texts for name, texts in address.items() if name not in ("hide", "embed", "embed_options")}
    return urlencode(kept, doseq=True)


def _named() -> list[str]:
    parts = [part.strip() for text in st.query_params.get_all("hide") for part in text.split(",")]
    return [part for part in parts if part]
