"""A Router keeps the rules of every strategy."""

import pytest

from pytest_scillm import StrategyConformance
from scillm import Kernel
from scillm_router import Router


class TestRouter(StrategyConformance):
    """Without groups, so that it asks the probe itself."""

    plugin = None

    @pytest.fixture
    def kernel_of(self):
        """Make a Router's kernel over a probe."""
        return lambda probe: Router(kernel=Kernel.of(probe))._kernel


class TestGroup(StrategyConformance):
    """A group that is named as the probe's model is."""

    plugin = None

    @pytest.fixture
    def kernel_of(self):
        """Make a Router's kernel over a probe."""
        model = {"model_name": "probe/m", "litellm_params": {"model": "probe/m"}}
        return lambda probe: Router([model], kernel=Kernel.of(probe))._kernel
