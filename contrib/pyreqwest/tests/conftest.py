"""The transport is off unless asked for; here it is asked for."""

import pytest


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCILLM_PYREQWEST", "1")
