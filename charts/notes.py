"""The study notes as data: claims, errata and questions of a topic, each with the view that shows it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.knobs import Value

_FOLDER = Path(__file__).parent.parent / "notes"

# What can be said of a sentence of the notes, and the mark it gets.
VERDICTS = ("right", "imprecise", "depends", "wrong", "typo", "outdated", "gap")


@dataclass(frozen=True)
class Claim:
    """A sentence of the notes, or an erratum to one.

    ``says`` is the sentence, ``right`` how it should read where it is not right as it stands; ``view`` and ``tab``
    lead to the figure that shows it. ``of`` names the claims whose very sentence an erratum judges: the list of all
    claims then shows it with them, and both have one verdict.
    """

    id: str
    place: str
    says: str
    verdict: str
    right: str = ""
    view: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    tab: str = ""
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a verdict that is none, and a correction that is missing."""
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: verdict {self.verdict} is none of {', '.join(VERDICTS)}")
        if self.verdict != "right" and not self.right:
            raise ValueError(f"{self.id}: {self.verdict}, but nothing says what is right")


@dataclass(frozen=True)
class Question:
    """A question of the notes, its short answer and what shows it: a scenario, or a ``view`` and a ``tab``."""

    id: str
    question: str
    answer: str
    scenario: str = ""
    view: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    tab: str = ""

    def __post_init__(self) -> None:
        """Refuse a question that nothing shows, and one that a scenario and a view show."""
        if bool(self.scenario) == bool(self.view or self.tab):
            raise ValueError(f"{self.id}: needs a scenario, or a view or a tab")


@dataclass(frozen=True)
class Prediction:
    """A question to answer before looking, with two to four answers of which ``answers[answer]`` is right.

    What shows it is a scenario, whose question it then asks, or a ``view`` and a ``tab`` with a ``question`` of their
    own. ``notes`` names the questions, errata and claims that it is drawn from.
    """

    id: str
    answers: tuple[str, ...]
    answer: int
    notes: tuple[str, ...]
    question: str = ""
    scenario: str = ""
    view: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    tab: str = ""

    def __post_init__(self) -> None:
        """Refuse one that nothing or two things show, and answers that leave no choice."""
        if bool(self.scenario) == bool(self.view or self.tab):
            raise ValueError(f"{self.id}: needs a scenario, or a view or a tab")
        if bool(self.scenario) == bool(self.question):
            raise ValueError(f"{self.id}: a scenario has a question, and a view needs one")
        if not 2 <= len(self.answers) <= 4 or len(set(self.answers)) < len(self.answers):
            raise ValueError(f"{self.id}: needs two to four different answers")
        if not 0 <= self.answer < len(self.answers):
            raise ValueError(f"{self.id}: answer {self.answer} is none of them")


@dataclass(frozen=True)
class Notes:
    """What the notes say about one topic, and what to predict before looking."""

    claims: tuple[Claim, ...]
    errata: tuple[Claim, ...]
    questions: tuple[Question, ...]
    predictions: tuple[Prediction, ...] = ()


@lru_cache(maxsize=16)
def notes(topic: str) -> Notes:
    """Read ``notes/<topic>.toml``.

    Raises:
        ValueError: an entry has an unknown verdict, or nothing that shows it.
    """
    tables = tomllib.loads((_FOLDER / f"{topic}.toml").read_text(encoding="utf-8"))
    return Notes(
        claims=tuple(Claim(**_fields(entry)) for entry in tables.get("claim", [])),
        errata=tuple(Claim(**_fields(entry)) for entry in tables.get("erratum", [])),
        questions=tuple(Question(**_fields(entry)) for entry in tables.get("question", [])),
        predictions=tuple(Prediction(**_fields(entry)) for entry in tables.get("prediction", [])),
    )


def _fields(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the file with its lists and its view as knobs take them."""
    view = MappingProxyType({name: _frozen(value) for name, value in entry.get("view", {}).items()})
    return {name: _frozen(value) for name, value in entry.items()} | {"view": view}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
