"""Charts over, beside and below each other, put together as plain dictionaries.

Altair copies a whole tree, with every property that nobody has set, each time it is put into another one, resolved or
given a parameter: a figure of 26 marks takes it more than a second, which the first visitor would wait for. The marks
and their encodings are Altair's and checked by it; what joins them is a few keys, written here.
"""

from collections.abc import Mapping

import altair as alt
from altair.utils.schemapi import UndefinedType

from charts.figure import Panel, Spec


def layer(*parts: Panel, resolve: Mapping[str, str] | None = None, **properties: object) -> Spec:
    """Draw charts over each other, the first one lowest.

    Args:
        parts: Altair charts, or what these functions return.
        resolve: by channel, whether its scale is ``shared`` or ``independent``.
        properties: of the composition: ``width``, ``height``, ``name``, ``padding``, ``spacing``; one that is None is
            left to the theme.
    """
    return _joined("layer", parts, resolve, properties)


def beside(*parts: Panel, resolve: Mapping[str, str] | None = None, **properties: object) -> Spec:
    """Draw charts from left to right; arguments as for ``layer``."""
    return _joined("hconcat", parts, resolve, properties)


def below(*parts: Panel, resolve: Mapping[str, str] | None = None, **properties: object) -> Spec:
    """Draw charts from top to bottom; arguments as for ``layer``."""
    return _joined("vconcat", parts, resolve, properties)


def parameter(param: alt.Parameter, *views: str) -> Spec:
    """Write a parameter of a whole figure, for the ``params`` of ``assemble``.

    Args:
        param: a value that all views share, or a selection.
        views: names of those that a selection is made in.

    Raises:
        TypeError: ``param`` is an expression.
    """
    if isinstance(param.param, UndefinedType):  # an expression stands where it is used
        raise TypeError(f"{param.name}: not a value or a selection")
    written: Spec = param.param.to_dict()
    return {**written, "views": list(views)} if views else written


def at_x(pixels: float) -> alt.XValue:
    """Stand so many pixels from the left edge of a view. Altair takes a value too, and five milliseconds for it."""
    return alt.XValue(pixels)  # type: ignore[no-untyped-call]


def at_y(pixels: float) -> alt.YValue:
    """Stand so many pixels below the upper edge of a view."""
    return alt.YValue(pixels)  # type: ignore[no-untyped-call]


def _joined(
    how: str, parts: tuple[Panel, ...], resolve: Mapping[str, str] | None, properties: Mapping[str, object]
) -> Spec:
    specs = [part if isinstance(part, dict) else _plain(part) for part in parts]
    joined: Spec = {}
    if specs[0].get("data") is not None and all(spec.get("data") == specs[0]["data"] for spec in specs):
        # Said once for all, as Altair does.
        joined["data"] = specs[0]["data"]
        specs = [{key: value for key, value in spec.items() if key != "data"} for spec in specs]
    joined |= {how: specs, **{name: value for name, value in properties.items() if value is not None}}
    if resolve:
        joined["resolve"] = {"scale": dict(resolve)}
    return joined


def _plain(chart: alt.TopLevelMixin) -> Spec:
    # Not validated a second time: encode() has checked what it took, and the tests compile every specification.
    spec: Spec = chart.to_dict(validate=False, context={"top_level": False})
    return spec
