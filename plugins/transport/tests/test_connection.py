"""Proxies and TLS, from arguments and the environment."""

from __future__ import annotations

import ssl

import pytest

from scillm import BadRequestError, Call
from scillm_transport import Connection, connection_for, tls_context
from scillm_transport.connection import reread_environment

URL = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    reread_environment()
    yield
    reread_environment()


def test_nothing_set_is_direct_and_checked():
    """And the same value each time, so that one pool serves."""
    assert connection_for(Call(), URL) == Connection(None, True)
    assert connection_for(Call(), URL) is connection_for(Call(), URL)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, URL, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h/", None),
        ({"http_proxy": "http://p:1"}, "http://h/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, URL, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, URL, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.com, .api.example.com"}, URL, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, URL, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample.com"}, URL, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8080/v1", None),
        ({"SCILLM_PROXY": "http://p:1"}, "http://localhost/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:80/v1", None),
        ({"HTTPS_PROXY": "http://p:1", "SCILLM_PROXY": "http://q:2"}, URL, "http://q:2"),
    ],
)
def test_the_environment_names_a_proxy(monkeypatch, variables, url, proxy):
    """As curl and httpx read it; our own variable wins."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    reread_environment()
    assert connection_for(Call(), url).proxy == proxy


def test_an_argument_wins(monkeypatch):
    """Over all variables."""
    monkeypatch.setenv("SCILLM_PROXY", "http://q:2")
    monkeypatch.setenv("SCILLM_SSL_VERIFY", "false")
    reread_environment()
    assert connection_for(Call(), URL) == Connection("http://q:2", False)
    call = Call(options={"proxy": "http://r:3", "ssl_verify": True})
    assert connection_for(call, URL) == Connection("http://r:3", True)


def test_a_context_is_made_once():
    """Making one costs tens of milliseconds."""
    assert tls_context(True) is tls_context(True)
    assert tls_context(True).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(False).verify_mode is ssl.CERT_NONE


def test_a_missing_bundle_is_an_error(tmp_path):
    """With what was given, and what to give."""
    with pytest.raises(BadRequestError, match="is no readable bundle of CA certificates"):
        tls_context(str(tmp_path / "none.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(BadRequestError, match="is no readable bundle"):
        tls_context(str(tmp_path / "empty.pem"))
