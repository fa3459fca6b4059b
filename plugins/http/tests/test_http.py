"""httpx passes what every transport must."""

from pytest_scillm import TransportConformance
from scillm_http import Http


class TestHttp(TransportConformance):
    """Every standard test of a transport."""

    plugin = Http
