"""No head start for the figure where no browser draws it."""

import pytest

from ui import page


@pytest.fixture(autouse=True)
def _no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "HEAD_START", 0.0)
