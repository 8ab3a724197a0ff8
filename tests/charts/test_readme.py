"""What the README shows and counts is what there is."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from charts.notes import notes
from charts.topics import TOPICS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[[^\]]+\]\((docs/[^)]+)\)", README)
MOST = 2_000_000  # bytes of a picture


def badge(label: str) -> str:
    (found,) = re.findall(rf"img\.shields\.io/badge/{label}-(\S+?)-\w+\)", README)
    return unquote(found)


def test_badges_are_true():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = re.findall(r"^streamlit==(\S+)$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    assert badge("python").replace(" ", "") == project["project"]["requires-python"].replace(">=", "≥")
    assert [badge("streamlit")] == pinned
    assert badge("license") == project["project"]["license"]
    assert badge("core") == "NumPy only"
    (core,) = [c for c in project["tool"]["importlinter"]["contracts"] if c["name"] == "core is NumPy only"]
    assert core["type"] == "forbidden"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_there_and_small(name: str):
    assert 10_000 < (ROOT / name).stat().st_size < MOST


def test_the_run_is_animated():
    assert "docs/optimizers.gif" in PICTURES


def test_counts_are_those_of_the_notes():
    found = [notes(page) for page in TOPICS]
    claims, errata, asked = (
        sum(len(getattr(each, kind)) for each in found) for kind in ("claims", "errata", "questions")
    )
    assert f"all {claims} claims, {errata} errata and {asked} questions" in " ".join(README.split())
    for each in found:
        assert f"{len(each.claims)} claims and {len(each.errata)} errata" in " ".join(README.split())
