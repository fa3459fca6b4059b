"""The standard tests of every HTTP transport."""

import pytest

from pytest_scillm import TransportConformance

pytest.importorskip("pyreqwest", reason="pyreqwest has no release for this Python")

from scillm_pyreqwest import Pyreqwest


class TestPyreqwest(TransportConformance):
    plugin = Pyreqwest
    can_fork = False  # its threads are those of the parent, and it refuses to run without them
