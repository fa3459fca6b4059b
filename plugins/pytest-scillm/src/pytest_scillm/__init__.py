"""Test kit for scillm plugins: suites to inherit, a scripted wire, a faulty endpoint.

Nothing is loaded until it is asked for: pytest imports this package in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_scillm.conformance.provider import ProviderConformance as ProviderConformance
    from pytest_scillm.conformance.samples import Samples as Samples
    from pytest_scillm.conformance.samples import openai_samples as openai_samples
    from pytest_scillm.conformance.strategy import StrategyConformance as StrategyConformance
    from pytest_scillm.conformance.transport import TransportConformance as TransportConformance
    from pytest_scillm.wire import Wire as Wire

_HOME = {
    "ProviderConformance": "conformance.provider",
    "Samples": "conformance.samples",
    "StrategyConformance": "conformance.strategy",
    "TransportConformance": "conformance.transport",
    "Wire": "wire",
    "openai_samples": "conformance.samples",
}


def __getattr__(name: str) -> Any:
    """Import a name of the kit when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'pytest_scillm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pytest_scillm.{_HOME[name]}"), name)
