"""Metrics by the API of OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm_telemetry import attributes, semconv
from scillm_telemetry.record import Record

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider


@frozen
class _Instruments:
    tokens: Histogram
    duration: Histogram
    first_chunk: Histogram

    @classmethod
    def of(cls, provider: MeterProvider) -> _Instruments:
        meter = provider.get_meter("scillm")
        return cls(
            meter.create_histogram(
                semconv.TOKEN_USAGE,
                unit="{token}",
                description="Number of input and output tokens used.",
                explicit_bucket_boundaries_advisory=semconv.TOKEN_BUCKETS,
            ),
            meter.create_histogram(
                semconv.DURATION,
                unit="s",
                description="GenAI operation duration.",
                explicit_bucket_boundaries_advisory=semconv.SECONDS_BUCKETS,
            ),
            meter.create_histogram(
                semconv.FIRST_CHUNK,
                unit="s",
                description="Time to receive the first chunk of a stream.",
                explicit_bucket_boundaries_advisory=semconv.SECONDS_BUCKETS,
            ),
        )


class Meters:
    """Records duration, tokens and the time to the first chunk of each call.

    Args:
        meter_provider: Whose metrics; None takes the process's own, whenever it is set up.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._provider = meter_provider
        self._made: tuple[Any, _Instruments | None] = (None, None)

    def begin(self, record: Record) -> None:
        """Do nothing: all is recorded at the end."""

    def end(self, record: Record) -> None:
        """Record what the call took. Tokens of an answer from a cache were not used again."""
        instruments, told = self._instruments(), attributes.of_metrics(record)
        error = {semconv.ERROR_TYPE: record.error_type} if record.error_type else {}
        context = record.context
        instruments.duration.record(record.elapsed_s or 0.0, {**told, **error}, context)
        if record.call.stream and record.first_s is not None:
            instruments.first_chunk.record(record.first_s, told, context)
        if record.is_hit:
            return
        for kind, name in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            if (count := record.tokens(name)) is not None:
                instruments.tokens.record(count, {**told, semconv.TOKEN_TYPE: kind}, context)

    def _instruments(self) -> _Instruments:
        from opentelemetry import metrics

        provider = self._provider or metrics.get_meter_provider()
        known, instruments = self._made
        if instruments is None or known is not provider:
            instruments = _Instruments.of(provider)
            self._made = provider, instruments
        return instruments
