"""Layerwise: deep-learning notes as experiments. Start with ``streamlit run app.py``."""

import streamlit as st

from ui import navigation, settings

# The icon before the menu: in its absence the browser would fetch that of the page's entry from elsewhere.
st.set_page_config(page_icon=navigation.icon(), layout="wide", initial_sidebar_state="auto")
if settings.dress():
    st.rerun()
navigation.run().run()
