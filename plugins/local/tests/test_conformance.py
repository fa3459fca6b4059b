"""The embedded model passes what every provider must: its host runs, the wire answers for it."""

from pytest_scillm import ProviderConformance
from scillm_local import Local


class TestLocal(ProviderConformance):
    """Every standard test of a provider."""

    plugin, model = Local, "local/smollm2-135m"
    takes_key = False  # it runs on this machine
