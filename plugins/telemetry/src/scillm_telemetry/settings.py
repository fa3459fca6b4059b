"""Every knob of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scillm import BadRequestError, Setting
from scillm.settings import boolean

if TYPE_CHECKING:
    from scillm import Call

PROM, REGISTRY = "prom", "registry"
SPAN, EVENT = "span", "event"
_CAPTURE = {
    "true": (SPAN,),
    "span_only": (SPAN,),
    "event_only": (EVENT,),
    "span_and_event": (SPAN, EVENT),
    "no_content": (),
}


def _metrics(text: str) -> str:
    word = text.strip().lower()
    if word in (PROM, "prometheus"):
        return PROM
    if word == REGISTRY:
        return REGISTRY
    if word in ("", "0", "off", "false", "no"):
        return ""
    raise ValueError(f"expected {PROM}, {REGISTRY} or 0")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError("expected a port, from 0 to 65535")
    return number


def _content(text: str) -> tuple[str, ...]:
    """Read where content goes: a yes or no, or one of the words of OpenTelemetry."""
    word = text.strip().lower()
    if word in _CAPTURE:
        return _CAPTURE[word]
    try:
        return (SPAN,) if boolean(word) else ()
    except ValueError:
        raise ValueError(f"expected 0, 1 or one of {', '.join(sorted(_CAPTURE))}") from None


def _maybe(text: str) -> bool | None:
    return boolean(text)


OTEL = Setting(
    name="OTEL",
    default=False,
    read=boolean,
    option="otel",
    help="whether calls are told to OpenTelemetry, as spans and metrics",
)
CONTENT: Setting[Any] = Setting(
    name="TELEMETRY_CONTENT",
    default=None,
    read=_content,
    option="telemetry_content",
    help="whether spans hold what was asked and said: 1, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
)
CAPTURE: Setting[Any] = Setting(
    name="OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    default=None,
    read=_content,
    prefix="",
    help="the same, by OpenTelemetry's own name",
)
LOG_CALLS = Setting(
    name="LOG_CALLS",
    default=False,
    read=boolean,
    option="log_calls",
    help="whether the logger scillm.calls gets a line of JSON for each call",
)
METRICS = Setting(
    name="METRICS",
    default="",
    read=_metrics,
    help="prom counts calls and serves the counts for Prometheus; registry counts alone",
)
METRICS_ADDR = Setting(
    name="METRICS_ADDR", default="127.0.0.1", help="address at which the counts are served"
)
METRICS_PORT = Setting(
    name="METRICS_PORT", default=9464, read=_port, help="its port; 0 takes any that is free"
)
COST: Setting[bool | None] = Setting(
    name="COST",
    default=None,
    read=_maybe,
    option="cost",
    help="whether answers say what they cost; unset, where prices are given or calls are told",
)
PRICES: Setting[Any] = Setting(
    name="PRICES",
    default=None,
    option="prices",
    help="path of a JSON file of prices, which win over those of genai-prices; or a mapping",
)


def _foreign(name: str, meaning: str) -> Setting[str | None]:
    return Setting(name=name, default=None, prefix="", help=meaning)


TRACES_EXPORTER = _foreign("OTEL_TRACES_EXPORTER", "where spans go if the program does not say")
METRICS_EXPORTER = _foreign("OTEL_METRICS_EXPORTER", "where metrics go if it does not say")
OTLP_ENDPOINT = _foreign("OTEL_EXPORTER_OTLP_ENDPOINT", "address of an OTLP collector")
OTLP_PROTOCOL = _foreign("OTEL_EXPORTER_OTLP_PROTOCOL", "its protocol: http/protobuf or grpc")
MULTIPROC_DIR = _foreign(
    "PROMETHEUS_MULTIPROC_DIR", "folder in which several processes count together"
)

SETTINGS: tuple[Setting[Any], ...] = (
    OTEL,
    CONTENT,
    CAPTURE,
    LOG_CALLS,
    METRICS,
    METRICS_ADDR,
    METRICS_PORT,
    COST,
    PRICES,
    TRACES_EXPORTER,
    METRICS_EXPORTER,
    OTLP_ENDPOINT,
    OTLP_PROTOCOL,
    MULTIPROC_DIR,
)


_SWITCHES: tuple[Setting[Any], ...] = (OTEL, LOG_CALLS, METRICS, COST, PRICES)
_OPTIONS = frozenset(setting.option for setting in _SWITCHES if setting.option)


def is_silent(call: Call) -> bool:
    """Return whether nothing is asked for, by a call or by the environment; quickly."""
    if call.options and not _OPTIONS.isdisjoint(call.options):
        return False
    return all(setting.lookup() is None for setting in _SWITCHES)


def captured(call: Call) -> tuple[str, ...]:
    """Return where the content of *call* goes: to its span, to an event, to both, or nowhere.

    Raises:
        BadRequestError: The call says something that cannot be read.
    """
    given = CONTENT.value(call)
    if given is None:
        given = CAPTURE.value()
    if given is None or isinstance(given, tuple):
        return given or ()
    try:
        return _content(str(given))
    except ValueError as error:
        raise BadRequestError(f"telemetry_content={given!r} is not valid: {error}") from None


def in_environment(setting: Setting[str | None]) -> str:
    """Return a variable that a library reads by itself, which does not look into a .env file."""
    found = setting.lookup()
    return found[1] if found is not None and found[2] == "environment" else ""
