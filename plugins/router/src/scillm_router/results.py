"""What became of one request of many: five attributes, and a mapping in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from scillm import APIError, Response


@frozen(eq=False)
class Slot(Mapping[str, Any]):
    """The outcome of one request.

    As a mapping it is the answer, ``slot["choices"][0]["message"]["content"]``, with a field
    ``scillm_router``: ``error_type`` (``ok``, ``empty_content``, ``invalid_json`` where JSON was
    asked for, or ``provider_error``), ``json_valid`` (None where JSON was not asked for),
    ``provider``, ``timing_ms``, and where they apply ``schema_mode``, ``exception`` and
    ``retries``. A request that failed has no choices, and a field ``error``.

    Attributes:
        index: The place of the request among those that were given.
        request: The request, as it was given.
        response: The answer, or None.
        error: What was raised, or None.
        timing_ms: How long it took, in milliseconds.
        is_json: Whether JSON was asked for.
    """

    index: int
    request: Any = field(repr=False)
    response: Response | None = None
    error: Exception | None = None
    timing_ms: float = 0.0
    is_json: bool = False

    @property
    def content(self) -> str | None:
        """The text of the first choice; None if the request failed or there is no text."""
        choices = self.response.choices if self.response is not None else ()
        return choices[0].message.content if choices else None

    def __getitem__(self, name: str) -> Any:
        if name == "scillm_router":
            return self._notes()
        if self.response is not None:
            return self.response[name]
        return {"choices": (), "error": _told(self.error)}[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.response if self.response is not None else ("choices", "error")
        yield "scillm_router"

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _notes(self) -> dict[str, Any]:
        noted, is_valid = self._router_notes(), self._is_valid()
        notes = {
            "error_type": self._kind(is_valid=is_valid),
            "json_valid": is_valid,
            "provider": self._provider(),
            "timing_ms": self.timing_ms,
        }
        if self.error is not None:
            notes["exception"] = f"{type(self.error).__name__}: {self.error}"
        return {**notes, **{n: noted[n] for n in ("schema_mode", "retries") if noted.get(n)}}

    def _is_valid(self) -> bool | None:
        """Tell whether the answer is JSON and, where a schema was held against it, fits that."""
        if self.error is not None:
            return None
        if (verdict := self._router_notes().get("json_valid")) is not None:
            return bool(verdict)
        return _is_json(self.content) if self.is_json else None

    def _kind(self, *, is_valid: bool | None) -> str:
        if self.response is None:
            return "provider_error"
        if is_valid is False:
            return "invalid_json"
        choices = self.response.choices or ()
        has_calls = any(choice.tool_calls for choice in choices)
        return "ok" if self.content or has_calls else "empty_content"

    def _provider(self) -> str:
        if isinstance(self.error, APIError):
            return self.error.llm_provider
        served = self.response.served_by if self.response is not None else None
        return served.provider if served else ""

    def _router_notes(self) -> Mapping[str, Any]:
        if self.response is None:
            return {"retries": getattr(self.error, "retries", None)}
        notes: Mapping[str, Any] = self.response.additional_kwargs.get("router", {})
        return notes


def _told(error: Exception | None) -> dict[str, Any]:
    told: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, APIError):
        told |= {"status": error.status_code, "retryable": error.failure.is_transient}
    return told


def _is_json(content: str | None) -> bool:
    try:
        json.loads(content or "", parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return True


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
