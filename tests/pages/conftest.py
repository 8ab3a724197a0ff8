"""No head start for the figure where no browser draws it, and every control at hand, folded away or not."""

import pytest

from ui import controls, page, predict


@pytest.fixture(autouse=True)
def _no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "HEAD_START", 0.0)
    monkeypatch.setattr(page, "FIRST_START", 0.0)


@pytest.fixture(autouse=True)
def _every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "LEAN", False)  # test_folded.py has it as it is


@pytest.fixture(autouse=True)
def _no_double_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "PAUSE", 0.0)
