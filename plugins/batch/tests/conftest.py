"""What these tests share."""

from __future__ import annotations

import json

import pytest

import scillm
from pytest_scillm.endpoint import Endpoint


@pytest.fixture(scope="session")
def gateway():
    """A server that keeps all requests."""
    with Endpoint(keep=100_000) as running:
        yield running


@pytest.fixture(autouse=True)
def _closed(monkeypatch):
    monkeypatch.setenv("SCILLM_MAX_RETRIES", "1")
    yield
    scillm.close()


@pytest.fixture
def where(gateway):
    """Arguments of a call to the server, by its options."""

    def where(options=""):
        base = gateway.url(options)
        return {
            "model": "openai_like/m",
            "api_base": base,
            "api_key": "sk-x",
            "retry_after": 0.01,
            "max_retries": 2,
        }

    return where


@pytest.fixture
def answers(gateway):
    """What the server was asked, as bodies."""

    def answers(base):
        return [json.loads(request.body) for request in gateway.requests_to(base)]

    return answers
