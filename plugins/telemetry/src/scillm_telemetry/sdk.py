"""OpenTelemetry's SDK, set up by its own variables where the program has not done so.

A library leaves that to the program. A program without code of its own, such as a command
line, has the ``OTEL_*`` variables alone: where they name a collector or an exporter and
nobody has set up a provider by the first call that is traced, it is done here.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from scillm import Setting
from scillm_telemetry import settings as knob

LOG = logging.getLogger("scillm.telemetry")
_lock = threading.Lock()
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def set_up() -> None:
    """Give the process providers of spans and metrics, if it has none and the variables ask."""
    from opentelemetry import metrics, trace

    with _lock:
        if not _is_set(trace.get_tracer_provider()):
            if exporters := _exporters("traces", knob.TRACES_EXPORTER):
                trace.set_tracer_provider(_tracer_provider(exporters))
            else:
                LOG.warning(
                    "SCILLM_OTEL is on, and spans go nowhere: set up a tracer provider before the "
                    "first call, or install scillm-telemetry[sdk] and set "
                    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
                )
        if not _is_set(metrics.get_meter_provider()) and (
            exporters := _exporters("metrics", knob.METRICS_EXPORTER)
        ):
            metrics.set_meter_provider(_meter_provider(exporters))


def _is_set(provider: Any) -> bool:
    """Tell a provider that somebody has set up from the placeholder of the API."""
    return "Proxy" not in type(provider).__name__


def _exporters(signal: str, setting: Setting[str | None]) -> list[Any]:
    """Return the exporters that the variables name, and that are installed."""
    from importlib.metadata import entry_points

    named = knob.in_environment(setting) or (
        "otlp" if knob.in_environment(knob.OTLP_ENDPOINT) else ""
    )
    found = []
    for name in filter(None, (word.strip() for word in named.split(","))):
        if name == "none":
            continue
        protocol = knob.in_environment(knob.OTLP_PROTOCOL) or "http/protobuf"
        wanted = _PROTOCOLS.get(protocol, "") if name == "otlp" else name
        entries = entry_points(group=f"opentelemetry_{signal}_exporter", name=wanted)
        if not entries:
            LOG.warning(
                "no exporter %r for %s is installed, so none go there: "
                "pip install 'scillm-telemetry[sdk]' brings OTLP over HTTP",
                wanted or protocol,
                signal,
            )
        found += [entry.load()() for entry in entries]
    return found


def _tracer_provider(exporters: list[Any]) -> Any:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _meter_provider(exporters: list[Any]) -> Any:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    return MeterProvider([PeriodicExportingMetricReader(exporter) for exporter in exporters])
