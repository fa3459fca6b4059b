"""What is known of one call: filled in while it runs, told when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from attrs import define, field

from scillm import APIError, Chunk, Fold

if TYPE_CHECKING:
    from scillm import Call, Event, Failure, Request, Route
    from scillm_telemetry.pricing import Cost

Result = Literal["ok", "error", "cancelled", "left"]
CURRENT: ContextVar[Record | None] = ContextVar("scillm_telemetry_record", default=None)


@define(eq=False)
class Record:
    """One call.

    Attributes:
        call: What was asked.
        route: Who was asked, if anybody was found.
        request: What went out, if it came to that.
        where: Where its content goes, of span and event.
        begun_ns: When it was made, in nanoseconds since 1970.
        elapsed_s: How long it took; None while it runs.
        first_s: After how long the first piece of its answer came.
        failures: The attempts that failed, oldest first.
        error: What it ended in, if not in an answer.
        is_final: Whether an end of the answer was seen.
        served_by: Who answered.
        notes: What other plugins noted on the answer.
        usage: The tokens, as the provider counts them.
        cost: What it cost, if that was asked for.
        attach: Makes the call's span the current one; returns what undoes that.
        span: The span.
        context: What metrics are recorded in, so that they lead to the span.
    """

    call: Call
    route: Route | None = None
    request: Request | None = None
    where: tuple[str, ...] = ()
    begun_ns: int = field(factory=time.time_ns)
    elapsed_s: float | None = None
    first_s: float | None = None
    failures: list[Failure] = field(factory=list)
    error: BaseException | None = None
    is_final: bool = False
    served_by: Route | None = None
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] = field(factory=list)
    notes: dict[str, Mapping[str, Any]] = field(factory=dict)
    usage: Mapping[str, Any] | None = None
    service_tier: str | None = None
    cost: Cost | None = None
    attach: Callable[[], Callable[[], None]] | None = None
    span: Any = None
    context: Any = None
    _begun_s: float = field(factory=time.perf_counter)
    _folding: Fold | None = None

    def __attrs_post_init__(self) -> None:
        if self.where:
            self._folding = Fold()

    def see(self, event: Event) -> None:
        """Take note of an event that passes."""
        if self.first_s is None:
            self.first_s = time.perf_counter() - self._begun_s
            self.response_id, self.response_model = event.get("id"), event.get("model")
        if self.served_by is None:
            self.served_by = event.served_by
        if (usage := event.get("usage")) is not None:
            self.usage = usage
        if (tier := event.get("service_tier")) is not None:
            self.service_tier = tier
        for plugin, notes in event.additional_kwargs.items():
            self.notes[plugin] = {**self.notes.get(plugin, {}), **notes}
        if event.is_final:
            self.is_final = True
            self.finish_reasons += _reasons(event)
        if self._folding is not None:
            self._folding.add(event)

    def end(self, error: BaseException | None = None) -> None:
        """Take note that it is over."""
        self.elapsed_s = time.perf_counter() - self._begun_s
        self.error = error

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """The answer as far as it came; only where content is asked for."""
        return None if self._folding is None or self.first_s is None else self._folding.answer()

    @property
    def result(self) -> Result:
        """How it ended; a caller who leaves after the end of the answer has all of it."""
        if self.error is None:
            return "ok"
        if isinstance(self.error, GeneratorExit):
            return "ok" if self.is_final else "left"
        return "cancelled" if isinstance(self.error, asyncio.CancelledError) else "error"

    @property
    def failure(self) -> Failure | None:
        """The classified reason of an error."""
        return self.error.failure if isinstance(self.error, APIError) else None

    @property
    def error_type(self) -> str | None:
        """The kind of failure, or the name of an exception that has none."""
        if self.result != "error":
            return None
        return str(self.failure.kind) if self.failure else type(self.error).__qualname__

    @property
    def retried(self) -> list[Failure]:
        """The failures after which another attempt was made."""
        is_last_one_final = self.result == "error" and bool(self.failures)
        return self.failures[:-1] if is_last_one_final else self.failures

    @property
    def answered_by(self) -> Route | None:
        """Who answered, else who was asked."""
        return self.served_by or self.route

    @property
    def is_hit(self) -> bool:
        """Whether the answer came from a cache."""
        return bool(self.notes.get("cache", {}).get("hit"))

    @property
    def is_fallback(self) -> bool:
        """Whether a fallback of a Router answered."""
        return bool(self.notes.get("router", {}).get("fallback_used"))

    @property
    def attempted(self) -> tuple[Mapping[str, Any], ...]:
        """The deployments of a Router that failed before another one was asked."""
        noted = self.notes.get("router", {}).get("attempted")
        if noted is None and self.error is not None:
            noted = getattr(self.error, "attempted", ())[:-1]
        return tuple(noted or ())

    def tokens(self, name: str, detail: str | None = None) -> int | None:
        """Return a count of the usage: a field of it, or a field of one of its details."""
        usage = self.usage or {}
        found = usage.get(name) if detail is None else (usage.get(name) or {}).get(detail)
        return found if isinstance(found, int) else None


def _reasons(event: Event) -> list[str]:
    choices = event.get("choices") or ()
    reasons = (choice.get("finish_reason") for choice in choices)
    return [reason for reason in reasons if isinstance(reason, str)]


def server(route: Route | None) -> tuple[str, int | None]:
    """Return host and port of the provider, ``("", None)`` if it is nowhere on the net."""
    if route is None or not route.base_url:
        return "", None
    try:
        parts = urlsplit(route.base_url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # a port that is no number
        return "", None
    return parts.hostname or "", port


def is_chunk(event: Event) -> bool:
    """Whether an event is a piece of an answer and not the whole."""
    return isinstance(event, Chunk)
