"""What calls do and cost: spans, metrics, lines of JSON, prices. Off unless asked for.

Read ``plugin`` first. ``record`` is what is known of one call; ``spans``, ``meters``,
``prometheus`` and ``lines`` tell it to others; ``pricing`` puts the cost on the answer. All
names of OpenTelemetry stand in ``semconv``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scillm_telemetry.plugin import Telemetry

if TYPE_CHECKING:
    from scillm_telemetry.lines import JsonFormatter

__all__ = ["JsonFormatter", "Telemetry"]


def __getattr__(name: str) -> Any:
    """Import the formatter when it is first asked for."""
    if name != "JsonFormatter":
        raise AttributeError(f"module 'scillm_telemetry' has no attribute {name!r}")
    from scillm_telemetry.lines import JsonFormatter

    return JsonFormatter
