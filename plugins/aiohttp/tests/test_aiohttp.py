"""aiohttp passes what every transport must, and steps aside when told to."""

import pytest

from pytest_scillm import TransportConformance
from scillm import Call, Request, Route
from scillm_aiohttp import Aiohttp


class TestAiohttp(TransportConformance):
    """Every standard test of a transport."""

    plugin = Aiohttp


@pytest.mark.parametrize(
    ("variable", "takes"),
    [
        (None, {"json": True, "sse": True}),
        ("SCILLM_DISABLE_AIOHTTP", {"json": False, "sse": False}),
        ("SCILLM_FORCE_HTTPX_STREAM", {"json": True, "sse": False}),
    ],
)
def test_settings_leave_requests_to_the_next_transport(monkeypatch, variable, takes):
    """All of them, or streams alone; read when a kernel is made."""
    if variable:
        monkeypatch.setenv(variable, "1")
    plugin = Aiohttp()
    for frames, is_taken in takes.items():
        route = Route(provider="p", model="m")
        request = Request(route=route, url="http://h/", read=lambda f: (), frames=frames)
        assert (plugin.send(call=Call(), request=request) is not None) is is_taken


def test_another_scheme_is_left_alone():
    """Only http and https are its own."""
    request = Request(route=Route(provider="p", model="m"), url="echo:", read=lambda f: ())
    assert Aiohttp().send(call=Call(), request=request) is None
