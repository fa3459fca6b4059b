"""What calls do and cost: spans, metrics, lines of JSON, prices. Off unless asked for.

Read ``plugin`` first. ``record`` is what is known of one call; ``spans``, ``meters``,
``prometheus`` and ``lines`` tell it to others; ``pricing`` puts the cost on the answer. All
names of OpenTelemetry stand in ``semconv``.
"""

from scillm_telemetry.lines import JsonFormatter
from scillm_telemetry.plugin import Telemetry

__all__ = ["JsonFormatter", "Telemetry"]
