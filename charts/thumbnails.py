"""Thumbnails: each page's default figure in miniature, from the same run and the same data.

Nothing here imports a page before its thumbnail is asked for: the landing page draws them one by one.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module

import altair as alt

from charts import compose, theme
from charts.addresses import PAGES
from charts.figure import Figure, Panel, Spec, assemble, named
from charts.topic import Topic

_HEIGHT = 150


def topic_of(name: str) -> Topic:
    """Return the topic of a page, importing that page alone.

    Raises:
        KeyError: there is no such page.
    """
    if name not in PAGES:
        raise KeyError(name)
    topic: Topic = import_module(f"charts.{name}").TOPIC
    return topic


def _bare(channel: type[alt.X] | type[alt.Y], field: str, **scale: object) -> Panel:
    plain: dict[str, object] = (
        {"nice": False} if scale.get("type") == "log" else {"nice": False, "zero": False}
    )
    return channel(f"{field}:Q", axis=None, scale=alt.Scale(**{**plain, **scale}))  # type: ignore[arg-type]


def _lines(data: str, x: str, y: str, **scale: object) -> Panel:
    return (
        alt.Chart(named(data))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x=_bare(alt.X, x), y=_bare(alt.Y, y, **scale), detail=alt.Detail("name:N"), color=theme.color()
        )
    )


def _activations() -> Panel:
    return _lines("curves", "z", "slope")


def _initialization() -> Panel:
    from charts import initialization

    low, high = initialization.WINDOWS["all of float32"]
    return _lines("layers", "layer", "signal", type="log", domain=[low, high])


def _batchnorm() -> Panel:
    base = alt.Chart(named("stream")).encode(x=_bare(alt.X, "step"))
    # Constant colors need one layer that carries the palette.
    palette = alt.Chart(named("ends")).mark_point(opacity=0).encode(color=theme.color())
    return compose.layer(
        palette,
        base.mark_line(strokeDash=[6, 4], strokeWidth=1.2).encode(
            y=_bare(alt.Y, "true_output"), color=theme.ink("ink")
        ),
        base.mark_point(filled=True, size=12).encode(
            y=_bare(alt.Y, "train_output"), color=theme.ink("vermilion")
        ),
        base.mark_line(strokeWidth=2).encode(y=_bare(alt.Y, "eval_output"), color=theme.ink("blue")),
    )


def _dropout() -> Panel:
    from charts import dropout

    y = _bare(alt.Y, "base", domain=[dropout.BOTTOM, dropout.TOP])
    training = alt.Chart(named("training")).mark_rect(opacity=0.62)
    rules = alt.Chart(named("rules")).mark_rule(strokeWidth=2.4)
    return compose.layer(
        training.encode(
            x=_bare(alt.X, "low"), x2=alt.X2("high:Q"), y=y, y2=alt.Y2("top:Q"), color=theme.color()
        ),
        rules.encode(x=_bare(alt.X, "x"), y=y, y2=alt.Y2("top:Q"), color=theme.ink("blue")),
    )


def _optimizers() -> Panel:
    picture = (
        alt.Chart(named("raster"))
        .mark_image(aspect=False)
        .encode(
            x=_bare(alt.X, "x"),
            x2=alt.X2("x1:Q"),
            y=_bare(alt.Y, "y"),
            y2=alt.Y2("y1:Q"),
            url=alt.Url("url:N"),
        )
    )
    paths = (
        alt.Chart(named("path"))
        .mark_line(strokeWidth=1.6, order=False)
        .encode(
            x=_bare(alt.X, "x"),
            y=_bare(alt.Y, "y"),
            detail=["name:N", "piece:N"],
            color=theme.color(),
        )
    )
    return compose.layer(picture, paths)


_DRAWINGS: Mapping[str, tuple[Callable[[], Panel], tuple[str, ...]]] = {
    "activations": (_activations, ("curves",)),
    "initialization": (_initialization, ("layers",)),
    "batchnorm": (_batchnorm, ("stream", "ends")),
    "dropout": (_dropout, ("training", "rules")),
    "optimizers": (_optimizers, ("raster", "path")),
}


class _Builder:
    """The specification of one page's thumbnail, equal for every run."""

    def __init__(self, name: str) -> None:
        self.name = name

    @lru_cache(maxsize=64)  # noqa: B019 - one builder per page, kept for good; a width per window
    def __call__(self, width: int) -> Spec:
        drawn = compose.layer(_DRAWINGS[self.name][0](), width=width, height=_HEIGHT)
        return assemble(drawn, theme.config())


_BUILDERS = {name: _Builder(name) for name in _DRAWINGS}


@lru_cache(maxsize=16)
def miniature(topic: Topic) -> Figure:
    """Return the default figure of a topic in miniature; that of a host's limits is another topic."""
    name, drawn = topic.name, topic.view(topic.defaults()).figure
    return Figure(
        name=f"{name}/thumbnail",
        build=_BUILDERS[name],
        data={data: drawn.data[data] for data in _DRAWINGS[name][1]},
        title=drawn.title,
        caption=drawn.caption,
        alt=drawn.alt,
        key=drawn.key,
    )
