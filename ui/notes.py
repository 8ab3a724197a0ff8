"""From the notes: questions of the study notes beside the scenario that answers them."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent.parent / "notes"


@dataclass(frozen=True)
class Question:
    """A question of the notes, its short answer and the scenario that shows it."""

    id: str
    question: str
    answer: str
    scenario: str


@lru_cache(maxsize=16)
def questions(topic: str) -> tuple[Question, ...]:
    """Read the questions of a topic from ``notes/<topic>.toml``."""
    text = (_FOLDER / f"{topic}.toml").read_text(encoding="utf-8")
    return tuple(Question(**entry) for entry in tomllib.loads(text)["question"])


def draw(topic: str, choose: Callable[[str], None]) -> None:
    """Show a topic's questions; each one's button sets the controls to its scenario."""
    for entry in questions(topic):
        st.markdown(f"**{entry.question}** :small[:gray[{entry.id}]]  \n{entry.answer}")
        clicked = st.button(
            f"See it: {entry.scenario}",
            key=f"_note_{entry.id}",
            icon=":material/arrow_upward:",
            type="tertiary",
            on_click=choose,
            args=(entry.scenario,),
        )
        if clicked:  # the tabs are a fragment: by itself it would run alone, and the figure stay as it was
            st.rerun()
