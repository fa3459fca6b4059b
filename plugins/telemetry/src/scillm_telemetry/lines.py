"""One line of JSON for each call, through the standard library's logging."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from scillm_telemetry.record import Record
from scillm_telemetry.semconv import OPERATIONS

LOG = logging.getLogger("scillm.calls")
FIELDS = "scillm_call"  # the attribute of a log record that holds the fields of a call
_opening = threading.Lock()
_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes each log record as one line of JSON; give it to any handler.

    A line has ``time`` (ISO 8601, UTC), ``level``, ``logger`` and ``message``, what was passed
    as ``extra``, and ``exception`` where there is one; the line of a call has its fields in
    place of a message. What is not JSON is written as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _iso(record.created),
            "level": record.levelname,
            "logger": record.name,
        }
        call = getattr(record, FIELDS, None)
        line |= call if isinstance(call, dict) else {"message": record.getMessage()}
        more = vars(record)
        line |= {name: more[name] for name in more if name not in _BUILT_IN and name != FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _json(line)


class Lines:
    """Tells the logger ``scillm.calls`` of each call that is over."""

    def begin(self, record: Record) -> None:
        """Do nothing: a line is written at the end."""

    def end(self, record: Record) -> None:
        """Write the line: at level WARNING if the call failed, else INFO."""
        _open()
        level = logging.WARNING if record.result == "error" else logging.INFO
        if LOG.isEnabledFor(level):
            told = fields(record)
            LOG.log(level, _json(told), extra={FIELDS: told})


class _StandardError(logging.Handler):
    """Writes to what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # closed, a broken pipe, or no console
            self.handleError(record)


def _open() -> None:
    """See to it that lines arrive, where a program has not set up logging: on standard error."""
    with _opening:
        if LOG.level == logging.NOTSET:
            LOG.setLevel(logging.INFO)
        if not LOG.hasHandlers():
            handler = _StandardError()
            handler.setFormatter(JsonFormatter())
            LOG.addHandler(handler)


def fields(record: Record) -> dict[str, Any]:
    """Return what a line says of a call; what is not known is left out."""
    route, failure = record.answered_by, record.failure
    cost = record.cost
    found = {
        "event": "call",
        "operation": OPERATIONS[record.call.operation],
        "result": record.result,
        "model": record.call.model or (route.model if route else None),
        "provider": route.provider if route else None,
        "served_model": record.response_model or (route.model if route else None),
        "base": _base(route.base_url) if route else None,
        "stream": record.call.stream or None,
        "ms": _ms(record.elapsed_s),
        "first_ms": _ms(record.first_s) if record.call.stream else None,
        "input_tokens": record.tokens("prompt_tokens"),
        "output_tokens": record.tokens("completion_tokens"),
        "cached_tokens": record.tokens("prompt_tokens_details", "cached_tokens"),
        "reasoning_tokens": record.tokens("completion_tokens_details", "reasoning_tokens"),
        "cost_usd": cost.usd if cost else None,
        "retries": len(record.retried),
        "cache_hit": record.is_hit or None,
        "fallback": record.is_fallback or None,
        "deployment": record.notes.get("router", {}).get("deployment"),
        "finish_reasons": record.finish_reasons or None,
        "error": record.error_type,
        "status": failure.status if failure else None,
        "request_id": failure.request_id if failure else None,
        "response_id": record.response_id,
        **_trace(record),
    }
    return {name: value for name, value in found.items() if value is not None}


def _trace(record: Record) -> dict[str, str]:
    if record.span is None or not (context := record.span.get_span_context()).is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _base(url: str) -> str | None:
    """Return an address without what may be secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not match
        return None
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}" if where else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _iso(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(line: dict[str, Any]) -> str:
    try:
        return json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):  # a key that is no text, a circle
        return json.dumps({name: str(value) for name, value in line.items()}, ensure_ascii=False)
