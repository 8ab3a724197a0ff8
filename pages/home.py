"""The landing page: search, where to start, the valley that turns, a card for each page, and symptoms.

Words come first, then the figures one by one, and nothing is imported before its turn.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui import navigation
from ui.squeeze import squeezed

if TYPE_CHECKING:
    from charts.topic import Topic

_WIDE = 1080  # pixels: lines end and figures stay large, however wide the screen is
_GAP = 15  # pixels between two cards
_EDGE = 15  # pixels from the outer edge of a card to what is in it
_BELOW = 20  # pixels that Streamlit leaves below a figure
_RULE = "color-mix(in srgb, currentColor 22%, transparent)"

# The place of the words is that of every page, whose own rules come after them.
_STYLE = squeezed(
    f"""
<style>
.stApp [data-testid="stMainBlockContainer"] {{ padding: 4.2rem 2.5rem 3rem; max-width: calc({_WIDE}px + 5rem); }}
@media (max-width: 640px) {{ .stApp [data-testid="stMainBlockContainer"] {{ padding: 4.2rem 1rem 3rem; }} }}
.stApp [data-testid="stMainBlockContainer"] h2 {{ padding: 0 0 .6rem; }}
.st-key-home_search {{ position: relative; z-index: 20; }}
.st-key-home_path, .st-key-home_valley, .st-key-home_symptoms {{ gap: 12px; }}
.st-key-home_path {{ margin-bottom: .8rem; gap: 4px; }}
.st-key-home_head {{ gap: 0 1rem; }}
.st-key-home_steps {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; }}
.st-key-home_steps > *, .st-key-home_steps [data-testid="stPageLink"] {{ width: 100% !important; height: 100%; }}
.st-key-home_steps a {{ height: 100%; padding: .4rem .8rem; border: 1px solid {_RULE}; color: inherit; }}
.st-key-home_valley {{ margin-bottom: 1rem; }}
.st-key-home_valley .vega-bindings {{ margin-top: -{_BELOW - 12}px; }}
.st-key-home_valley .vega-bind {{ font-size: .95rem; }}
.st-key-home_valley .vega-bind label {{ flex: 1; display: flex; flex-wrap: wrap; align-items: center; gap: 0 .8rem; }}
.st-key-home_valley .vega-bind input[type=range] {{ width: min(420px, 70vw) !important; height: 2.75rem !important; }}
.st-key-home_way {{ min-height: 44px; }}
.st-key-home_cards {{ gap: {_GAP}px; }}
[class*="st-key-card_"] {{ position: relative; }}
[class*="st-key-card_"] * {{ position: static; }}
[class*="st-key-card_"] a {{ padding-left: 0; background: none !important; }}
[class*="st-key-card_"] a::after {{ content: ""; position: absolute; inset: 0; z-index: 1; border-radius: inherit; }}
[class*="st-key-card_"] [data-testid="stElementToolbar"] {{ display: none; }}
[class*="st-key-card_"] [data-testid="stElementContainer"]:has([data-testid="stVegaLiteChart"]) {{
  margin-bottom: -{_BELOW}px; }}
[class*="st-key-card_"] > :last-child {{ margin-top: auto; }}
[class*="st-key-card_"] :is([data-testid="stVegaLiteChart"], [data-testid="stVegaLiteChart"] *) {{ max-width: 100%; }}
[class*="st-key-card_"] svg.marks {{ width: 100% !important; height: auto !important; }}
.st-key-home_symptoms {{ margin-top: 1rem; }}
.st-key-home_symptoms [data-testid="stVerticalBlock"] {{ gap: 0; }}
:is(.st-key-home_path, .st-key-home_symptoms) :is(a, [data-testid="stElementContainer"]:has(a)) {{
  min-height: 44px; margin: 0; }}
:is(.st-key-home_head, .st-key-home_symptoms) a {{ padding-left: 0; padding-right: 0; background: none; }}
:is(.st-key-home_path, .st-key-home_symptoms) a :is(span, p) {{ white-space: normal; overflow: visible; line-height: 1.3; }}
:is(.st-key-home_head, .st-key-home_symptoms) a:hover p {{ text-decoration: underline; }}
@media (max-width: 640px) {{ .st-key-home_valley .vega-bind-name {{ flex-basis: 100%; }} }}
</style>
"""
)


class _Link:
    """A link that is there at once, and knows its parameters when its topic is imported."""

    def __init__(self, page: str, label: str, icon: str | None = None) -> None:
        self.page = page
        self._script, self._label, self._icon = navigation.ENTRIES[page].script, label, icon
        self._place = st.empty()
        self.lead({})

    def lead(self, query: Mapping[str, str | list[str]]) -> None:
        """Draw the link anew, with parameters."""
        self._place.page_link(self._script, label=self._label, icon=self._icon, query_params=dict(query))


class _Card:
    """One page: its question at once, its default figure and the link to exactly that later."""

    def __init__(self, name: str, place: DeltaGenerator, across: int) -> None:
        self.page, self._across, entry = name, across, navigation.ENTRIES[name]
        with place.container(border=True, height="stretch", key=f"card_{name}"):
            self.link = _Link(name, f"**{entry.title}**", entry.icon)
            st.markdown(entry.question)
            self._figure = st.container()
            st.caption(entry.sentence)

    def draw(self, topic: "Topic", column: int) -> None:
        """Draw the figure, and lead the link to it.

        Args:
            topic: of the page.
            column: pixels that the cards of a row share.
        """
        from charts.search import to_scenario
        from charts.thumbnails import miniature
        from ui import figure

        width = (column - _GAP * (self._across - 1)) // self._across - 2 * _EDGE
        with self._figure:
            figure.draw(miniature(topic), width, f"thumbnail_{topic.name}")
        # Without a parameter the page would show what was last seen there.
        self.link.lead(to_scenario(topic, topic.scenarios[0].name))


def _cards(names: Sequence[str], most: int) -> list[_Card]:
    """Draw the words of the cards, at most so many side by side, in rows that are all full."""
    rows = -(-len(names) // most)
    cards: list[_Card] = []
    for row in range(rows):
        held = names[len(cards) : len(cards) + -(-(len(names) - len(cards)) // (rows - row))]
        cards += [
            _Card(name, place, len(held)) for name, place in zip(held, st.columns(len(held)), strict=True)
        ]
    return cards


def _colors() -> str:
    """Return the rules that need the theme's colors: Streamlit tells them to components alone."""
    from charts.theme import PAGE

    link = f"light-dark({PAGE['light']['linkColor']}, {PAGE['dark']['linkColor']})"
    return (
        "<style>"
        f":is(.st-key-home_path, .st-key-home_symptoms) a p {{ color: {link}; }}"
        f'[class*="st-key-card_"]:hover, .st-key-home_steps a:hover {{ border-color: {link}; }}'
        "</style>"
    )


def _topic(name: str) -> "Topic":
    from charts.thumbnails import topic_of
    from ui import settings

    return settings.allowed(topic_of(name))


def _topics() -> tuple["Topic", ...]:
    return tuple(map(_topic, navigation.offered()))


def _path() -> list[_Link]:
    """Draw where to start: five views that ask first, and the page of all claims."""
    from charts.search import PATH

    ways = [way for way in PATH if way.page in navigation.offered()]
    with st.container(key="home_path"):
        with st.container(key="home_head", horizontal=True, vertical_alignment="center"):
            st.markdown("**Start here**", width="stretch")
            claims = navigation.CLAIMS
            st.page_link(claims.script, label="All claims of the notes, with verdicts", width="content")
        with st.container(key="home_steps"):
            return [_Link(way.page, f"{number}. {way.says}") for number, way in enumerate(ways, 1)]


def _valley(width: int) -> DeltaGenerator:
    """Draw the valley; return the place of its link."""
    from charts import landing
    from ui import figure

    drawn = landing.valley()
    st.markdown("##### Which of these rules notice that the valley turns?")
    figure.draw(drawn, width, "valley")
    st.markdown(landing.reading())
    way = st.container(key="home_way")
    st.caption(f"{drawn.caption} {drawn.key}")
    return way


def _symptoms(topics: Mapping[str, "Topic"], across: int) -> None:
    """Draw what goes wrong elsewhere, each with the view in which it goes wrong too."""
    from charts.search import SYMPTOMS, follow

    found = [way for way in SYMPTOMS if way.page in topics]
    with st.container(key="home_symptoms"):
        st.markdown("##### Symptoms")
        st.caption("Each leads to a view in which the same goes wrong on purpose.")
        columns = st.columns(min(across, 2), gap="medium")
        each = -(-len(found) // len(columns))
        for number, way in enumerate(found):
            entry = navigation.ENTRIES[way.page]
            label = f"{way.says} :small[:gray[{entry.title}]]"
            with columns[number // each]:
                st.page_link(entry.script, label=label, query_params=follow(way, topics[way.page]))


def main() -> None:
    """Draw the page."""
    st.html(_STYLE)
    st.markdown("## Change it, check it against theory, keep the figure.")
    st.markdown("Every formula and claim of a set of deep-learning notes as an experiment.")
    # What other pages need too is imported behind the first words.
    from charts.topic import foreign
    from ui import controls, page, search, viewport
    from ui.waiting import rest

    # A page that is opened from here reads its link, also if it was the last one before.
    if controls.leave():
        search.forget()
    search.follow(_topics)
    arrived = page.arrives()
    page.start("")
    st.html(_colors())
    # Streamlit leaves a page's parameters in the address of the one it was opened from; back leads there.
    own = {name: st.query_params.get_all(name) for name in st.query_params if foreign(name)}
    if len(own) < len(st.query_params):
        st.query_params.from_dict(own)
    column = min(viewport.width(), _WIDE)
    across = 1 if column < 640 else 2 if column < 900 else 3

    with st.container(key="home_search"):
        search.field()
    steps = _path()
    valley = st.container(key="home_valley")
    offered = navigation.offered()
    below = st.container(key="home_cards")
    wrong = st.container()
    viewport.watch()

    from charts import landing
    from charts.search import PATH, step

    topics: dict[str, Topic] = {}
    way = None
    if landing.PAGE in offered:
        with valley:
            way = _valley(column)
    if arrived:
        rest(page.FIRST_START)
    with below:
        cards = _cards(tuple(offered), across)
    for card in cards:
        topics[card.page] = _topic(card.page)
        card.draw(topics[card.page], column)
    for asked, link in zip((way for way in PATH if way.page in offered), steps, strict=True):
        link.lead(step(asked, topics[asked.page]))
    if way is not None:
        topic = topics[landing.PAGE]
        with way:
            label = f"Open the valley at {{}} on {topic.title}"
            search.way(label, topic.name, landing.ANGLES, landing.FIRST, landing.queries(topic))
    with wrong:
        _symptoms(topics, across)
    search.fill(tuple(topics.values()))


main()
