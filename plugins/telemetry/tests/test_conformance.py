"""The plugin keeps the rules of strategies, whatever it is asked to tell."""

from typing import ClassVar

import pytest

from pytest_scillm import StrategyConformance
from scillm_telemetry import Telemetry


class TestIdle(StrategyConformance):
    """Nothing asked for."""

    plugin = Telemetry


class TestAll(StrategyConformance):
    """Everything at once, without a provider of spans."""

    plugin = Telemetry
    arguments: ClassVar = {
        "otel": True,
        "telemetry_content": "SPAN_AND_EVENT",
        "log_calls": True,
        "cost": True,
        "prices": {"probe/m": {"input_usd_per_mtok": 1}},
    }

    @pytest.fixture(autouse=True)
    def _counted(self, monkeypatch):
        monkeypatch.setenv("SCILLM_METRICS", "registry")


class TestCost(StrategyConformance):
    """Only the cost, from the library."""

    plugin = Telemetry
    arguments: ClassVar = {"cost": True}
