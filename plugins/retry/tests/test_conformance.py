"""The plugin keeps the rules of strategies, however it is set."""

from typing import ClassVar

from pytest_scillm import StrategyConformance
from scillm_retry import Retry


class TestIdle(StrategyConformance):
    """No option given."""

    plugin = Retry
    arguments: ClassVar = {"retry_after": 0}


class TestAll(StrategyConformance):
    """Every option given."""

    plugin = Retry
    arguments: ClassVar = {
        "max_retries": 2,
        "retry_after": 0,
        "tenacious": True,
        "retry_meta": True,
        "on_attempt": lambda told: None,
        "on_success": lambda told: None,
        "on_giveup": lambda told: None,
    }


class TestOff(StrategyConformance):
    """Switched off."""

    plugin = Retry
    arguments: ClassVar = {"retry_enabled": False}
