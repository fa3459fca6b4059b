"""Asked by a schema first; where that gives nothing that fits it, once more for a JSON object."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from attrs import evolve

from scillm import APIError, BadRequestError, FailureKind, Response, fold
from scillm_json_mode.checking import InvalidJSON, Parsed, Wish, checked

if TYPE_CHECKING:
    from scillm import Call, Event, Request, Sender

_REFUSED = frozenset({FailureKind.BAD_REQUEST, FailureKind.UNPROCESSABLE})
_ASK = "Answer with one JSON object, and nothing else, that fits this JSON Schema: "


def schema_first(call: Call, inner: Sender, wish: Wish, *, repairs_cut: bool) -> Sender:
    """Return a Sender that asks once more, for a JSON object, if the schema is refused or missed.

    A stream is asked again only if it is refused before its first event.

    Raises:
        BadRequestError: The call has no schema.
    """
    if wish.schema is None:
        raise BadRequestError(
            "response_mode='schema_first' needs a schema: give json_schema=..., a JSON Schema or "
            "an attrs class"
        )

    async def send(request: Request) -> AsyncGenerator[Event, None]:
        first = _First(inner, wish, repairs_cut=repairs_cut)
        ask = first.handed_on if call.stream else first.held
        async with aclosing(ask(request)) as events:
            async for event in events:
                yield event
        if first.why is None:
            return
        is_told = False
        async with aclosing(inner(_for_an_object(request, wish))) as events:
            async for event in events:
                yield event if is_told else _noted(event, "json_object", first.why)
                is_told = True

    return send


class _First:
    """The first attempt, by the schema; ``why`` says what was wrong with it, if anything."""

    def __init__(self, inner: Sender, wish: Wish, *, repairs_cut: bool) -> None:
        self._inner, self._wish, self._repairs_cut = inner, wish, repairs_cut
        self.why: str | None = None

    async def handed_on(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events as they come."""
        has_begun = False
        try:
            async with aclosing(self._inner(request)) as events:
                async for event in events:
                    yield event if has_begun else _noted(event, "json_schema")
                    has_begun = True
        except APIError as error:
            if has_begun or error.failure.kind not in _REFUSED:
                raise
            self.why = error.message

    async def held(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events when the whole has come, if it fits the schema."""
        async with aclosing(self.handed_on(request)) as coming:
            events = [event async for event in coming]
        if self.why is None:
            self.why = _missed(events, self._wish, repairs_cut=self._repairs_cut)
        for event in events if self.why is None else ():
            yield event


def judged(answer: Response, wish: Wish, *, repairs_cut: bool) -> Response:
    """Return the answer with a note whether it fits the schema; one that does not is no error."""
    try:
        looked_at = checked(answer, wish, repairs_cut=repairs_cut)
    except InvalidJSON as error:
        bare = answer if wish.kind is None else Parsed(answer.to_dict(), answer.served_by)
        return bare.with_notes("router", {"json_valid": False, "parse_error": error.message})
    return looked_at.with_notes("router", {"json_valid": True, "parse_error": None})


def _missed(events: list[Event], wish: Wish, *, repairs_cut: bool) -> str | None:
    """Return why the answer does not fit the schema, None if it does."""
    answer = fold(events)
    if not isinstance(answer, Response):
        return None
    try:
        checked(answer, wish, repairs_cut=repairs_cut)
    except InvalidJSON as error:
        return error.message
    return None


def _for_an_object(request: Request, wish: Wish) -> Request:
    """Return the request for a JSON object, the schema in its messages."""
    body = dict(request.body or {})
    schema = json.dumps(wish.schema, ensure_ascii=False)
    body["messages"] = [*body.get("messages", ()), {"role": "user", "content": _ASK + schema}]
    body["response_format"] = {"type": "json_object"}
    return evolve(request, body=body)


def _noted(event: Event, mode: str, why: str | None = None) -> Event:
    """Return the event, saying how it was asked for; a Router's own notes stay."""
    before: dict[str, Any] = dict(event.additional_kwargs.get("router") or {})
    is_fallback = why is not None or bool(before.get("fallback_used"))
    notes = {"schema_mode": mode, "fallback_used": is_fallback, "schema_error": why}
    return event.with_notes("router", notes)
