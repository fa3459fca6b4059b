"""Spans: one for each call, by the API of OpenTelemetry and whoever implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scillm_telemetry import attributes, content, semconv
from scillm_telemetry.record import Record
from scillm_telemetry.settings import EVENT, SPAN

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

    from scillm import Failure

SCOPE = "scillm"


class Spans:
    """Makes a span when a call begins, and ends it when the call does.

    Args:
        tracer_provider: Whose spans; None takes the process's own, whenever it is set up.
        logger_provider: The same, for the events that hold content.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, logger_provider: Any = None
    ) -> None:
        self._provider, self._logger_provider = tracer_provider, logger_provider
        self._tracer: tuple[Any, Any] = (None, None)

    def begin(self, record: Record) -> None:
        """Start a span under the one that is current where the call is made."""
        from opentelemetry import context, trace

        span = self._tracer_now(trace).start_span(
            f"{semconv.OPERATIONS[record.call.operation]} {attributes.model_asked(record)}".strip(),
            kind=trace.SpanKind.CLIENT,
            attributes=attributes.at_start(record),
            start_time=record.begun_ns,
        )
        if span.is_recording():
            span.set_attributes(attributes.of_request(record))
        inside = trace.set_span_in_context(span)

        def attach() -> Callable[[], None]:
            token = context.attach(inside)
            return lambda: context.detach(token)

        record.span, record.context, record.attach = span, inside, attach

    def end(self, record: Record) -> None:
        """End the span, with what became of the call."""
        span = record.span
        if span is None:
            return
        try:
            if span.is_recording():
                span.set_attributes(attributes.at_end(record))
                self._tell_content(record, span)
                _tell_error(record, span)
        finally:
            span.end(record.begun_ns + int((record.elapsed_s or 0.0) * 1e9))

    def _tracer_now(self, trace: Any) -> Any:
        """Return the tracer; asking a provider for one takes a lock, so it is kept."""
        provider = self._provider or trace.get_tracer_provider()
        if self._tracer[0] is not provider:
            self._tracer = provider, provider.get_tracer(SCOPE)
        return self._tracer[1]

    def _tell_content(self, record: Record, span: Span) -> None:
        if not record.where:
            return
        found = content.content(record)
        if SPAN in record.where:
            span.set_attributes(content.as_text(found))
        if EVENT in record.where:
            self._emit(
                {**attributes.at_start(record), **attributes.at_end(record), **found}, record
            )

    def _emit(self, found: dict[str, Any], record: Record) -> None:
        from opentelemetry import _logs

        provider = self._logger_provider or _logs.get_logger_provider()
        event = _logs.LogRecord(
            event_name=semconv.DETAILS_EVENT,
            attributes=found,
            context=record.context,
        )
        provider.get_logger(SCOPE).emit(event)


def tell_failure(record: Record, failure: Failure) -> None:
    """Note an attempt that failed on the span of its call."""
    if record.span is not None:
        told = {semconv.ERROR_TYPE: str(failure.kind)}
        more = {semconv.STATUS_CODE: failure.status} if failure.status is not None else {}
        record.span.add_event(semconv.ATTEMPT_FAILED, {**told, **more})


def _tell_error(record: Record, span: Span) -> None:
    """Set the status. A message may quote what was asked or said: it needs the leave of content."""
    from opentelemetry.trace import Status, StatusCode

    if record.result == "error":
        detail = record.failure.detail if record.failure else str(record.error)
        said = detail if SPAN in record.where else record.error_type
        span.set_status(Status(StatusCode.ERROR, said))
