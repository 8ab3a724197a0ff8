"""Charts put together as dictionaries are what Altair would have written."""

import altair as alt
import pytest

from charts import compose
from charts.figure import assemble, named

CURVES = alt.Chart(named("curves"))
LINE = CURVES.mark_line(clip=True).encode(x="z:Q", y=alt.Y("value:Q", title=None), detail="name:N")
DOTS = CURVES.mark_point(filled=True, size=20).encode(
    x="z:Q", y="value:Q", opacity=alt.condition("datum.shown", alt.value(1), alt.value(0))
)
WORDS = (
    alt.Chart(named("titles"))
    .transform_filter("datum.panel == 'left'")
    .mark_text(align="left")
    .encode(x=alt.value(0), text="text:N")
)
CURSOR = alt.param(name="cursor", value=1, bind=alt.binding_range(min=0, max=2, step=0.1, name="z "))


def plain(chart: alt.TopLevelMixin) -> dict:
    spec = assemble(chart, {})
    spec.pop("datasets", None)
    return spec


@pytest.mark.parametrize(
    "parts", [(LINE, DOTS), (LINE, WORDS), (LINE,)], ids=["one data set", "two", "alone"]
)
def test_layers(parts: tuple[alt.Chart, ...]) -> None:
    wanted = plain(alt.layer(*parts).properties(width=300, height=200, name="panel"))
    assert assemble(compose.layer(*parts, width=300, height=200, name="panel"), {}) == wanted


@pytest.mark.parametrize(
    ("ours", "theirs"), [(compose.beside, alt.hconcat), (compose.below, alt.vconcat)], ids=["beside", "below"]
)
def test_panels_with_scales_and_a_parameter(ours, theirs) -> None:
    wanted = plain(
        theirs(
            alt.layer(alt.layer(LINE, DOTS), WORDS).resolve_scale(y="independent").properties(width=300),
            alt.layer(LINE, WORDS).properties(width=200),
            spacing=20,
        )
        .resolve_scale(color="shared", x="independent")
        .add_params(CURSOR)
    )
    left = compose.layer(compose.layer(LINE, DOTS), WORDS, resolve={"y": "independent"}, width=300)
    right = compose.layer(LINE, WORDS, width=200)
    both = ours(left, right, spacing=20, resolve={"color": "shared", "x": "independent"})
    assert assemble(both, {}, [compose.parameter(CURSOR)]) == wanted


def test_a_property_that_is_none_is_left_to_the_theme() -> None:
    assert compose.below(LINE, WORDS, spacing=None) == compose.below(LINE, WORDS)
    assert compose.below(LINE, WORDS, spacing=0)["spacing"] == 0


def test_a_selection_names_its_views() -> None:
    pick = alt.selection_point(name="pick", fields=["z"], on="click", nearest=True, empty=False)
    wanted = plain(alt.layer(LINE, DOTS.add_params(pick).properties(name="dots")))
    ours = assemble(compose.layer(LINE, DOTS.properties(name="dots")), {}, [compose.parameter(pick, "dots")])
    # Altair numbers the name that it is given.
    (made,) = wanted["params"]
    assert made["views"] == [wanted["layer"][1]["name"]]
    assert {**made, "views": ["dots"]} == ours["params"][0]


def test_what_is_put_together_is_left_as_it_is() -> None:
    one = compose.layer(LINE, DOTS)
    before = repr(one)
    assemble(compose.beside(one, one, resolve={"x": "shared"}), {"font": "serif"})
    assert repr(one) == before
