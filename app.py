"""Layerwise: deep-learning notes as experiments. Start with ``streamlit run app.py``."""

import streamlit as st

from ui import navigation, settings

st.set_page_config(page_icon=navigation.ICON, layout="wide", initial_sidebar_state="auto")
if settings.dress():
    st.rerun()
navigation.run().run()
