"""Layerwise: deep-learning notes as experiments. Start with ``streamlit run app.py``."""

import streamlit as st

from ui import navigation, settings

if settings.dress():
    st.rerun()
navigation.run().run()
