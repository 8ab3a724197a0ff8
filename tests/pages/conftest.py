"""No head start for the figure where no browser draws it, and every control at hand, folded away or not."""

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import app_test

from ui import controls, page, predict


@pytest.fixture(autouse=True)
def _no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "HEAD_START", 0.0)
    monkeypatch.setattr(page, "FIRST_START", 0.0)


@pytest.fixture(autouse=True)
def _through_the_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on the server, see its lifespan. AppTest forgets it before every run: let it forget that of a class of its own.
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)
    monkeypatch.setattr(app_test, "PagesManager", type("Forgetful", (PagesManager,), {}))


@pytest.fixture(autouse=True)
def _every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "LEAN", False)  # test_folded.py has it as it is


@pytest.fixture(autouse=True)
def _no_double_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "PAUSE", 0.0)
