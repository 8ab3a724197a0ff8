import streamlit as st

from charts.thumbnails import thumbnail
from ui import figure, navigation, page, viewport

navigation.require()
page.start("")

st.markdown("## Change it, check it against theory, keep the figure.")
st.markdown(
    "Layerwise turns the sentences of deep-learning notes into experiments. Each page asks one question, "
    "draws theory and measurement on one chart, and gives you a link to exactly what you see."
)
column = viewport.width()
across = 1 if column < 640 else 3
width = (column if across == 1 else column // across) - 56

offered = navigation.offered()
places = [place for _ in range(0, len(offered) + 1, across) for place in st.columns(across)]
for place, (name, entry) in zip(places, offered.items(), strict=False):
    with place.container(border=True, height="stretch"):
        st.page_link(entry.script, label=f"**{entry.title}**", icon=entry.icon)
        st.markdown(entry.question)
        figure.draw(thumbnail(name), width, f"thumbnail_{name}")
        st.caption(entry.sentence)
with places[len(offered)].container(border=True, height="stretch"):
    st.markdown("**On every page**")
    st.markdown(
        "1. Pick a scenario and answer its question before you look.\n"
        "2. Change one control. Pin the run first to keep it in gray behind the next.\n"
        "3. Read the sentence below the figure: its numbers come from this run.\n"
        "4. Open *Why* for the formula with your numbers put in.\n"
        "5. Copy the link: it holds every parameter, the seed included."
    )
viewport.watch()
