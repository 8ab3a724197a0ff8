"""A specification that says everything once: what several layers share stands in the first of them."""

from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]

_SHARED = ("axis", "legend", "scale", "title")  # what Vega-Lite merges over the layers that share a scale
_PARTS = ("layer", "hconcat", "vconcat")

_Said = dict[str, dict[str, Any]]  # by channel, what a layer before has said of it


def once(spec: Spec) -> Spec:
    """Leave out what a layer repeats of another with which it shares the scale: a third of a large specification.

    Vega-Lite merges axis, legend and scale over such layers, so it compiles to the same chart. A title is read out
    with each mark and stays, unless it is none or the name of the field. What says something else stays as well.

    Args:
        spec: layers and concatenations of them, which share color and dash if ``resolve`` at the top says so.

    Returns:
        the specification, changed in place.
    """
    _walk(spec, {})
    return spec


def _walk(node: Spec, said: _Said) -> None:
    for channel, definition in node.get("encoding", {}).items() if "mark" in node else ():
        if isinstance(definition, dict) and "field" in definition:
            _leave_out(definition, said.setdefault(channel, {}))
    apart = node.get("resolve", {}).get("scale", {})
    for key in _PARTS:
        for part in node.get(key, ()):
            kept = {
                channel: known
                for channel, known in said.items()
                if _together(channel, key != "layer", apart.get(channel, ""))
            }
            _walk(part, kept)
            said.update(
                {c: known for c, known in kept.items() if _together(c, key != "layer", apart.get(c, ""))}
            )


def _together(channel: str, beside: bool, resolved: str) -> bool:
    """Say whether parts share the scale of a channel; those beside one another share only what they are told to."""
    return resolved == "shared" or (not beside and resolved != "independent")


def _leave_out(definition: Spec, known: dict[str, Any]) -> None:
    for name in _SHARED:
        if name not in definition:
            continue
        value = definition[name]
        if name not in known:
            known[name] = value
        elif known[name] == value and (name != "title" or _silent(definition)):
            del definition[name]


def _silent(definition: Mapping[str, Any]) -> bool:
    return definition["title"] is None or definition["title"] == definition["field"]
