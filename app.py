"""Layerwise: deep-learning notes as experiments. Start with ``streamlit run app.py``.

The server imports this module once; for every visitor it is run as a script.
"""

import streamlit as st

if __name__ == "__main__":
    from ui import navigation, settings

    # The icon before the menu: in its absence the browser would fetch that of the page's entry from elsewhere.
    st.set_page_config(page_icon=navigation.icon(), layout="wide", initial_sidebar_state="auto")
    if settings.dress():
        st.rerun()
    navigation.run().run()
else:
    from ui import server

    app = st.App(__file__, lifespan=server.lifespan, middleware=server.MIDDLEWARE)
