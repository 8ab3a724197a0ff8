"""The Streamlit side: navigation, controls that live in the URL, figures on a page, the notes panel."""
