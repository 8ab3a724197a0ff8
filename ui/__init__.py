"""The Streamlit side: navigation, controls bound to the URL, figures on a page, the notes panel."""
