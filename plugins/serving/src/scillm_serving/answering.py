"""From a request to its answer: the body read within limits, the work ended with the client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from scillm_serving.edge import KEY, ClientLeft, headers_of
from scillm_serving.exchange import Exchange
from scillm_serving.reading import decoded, structured
from scillm_serving.refusals import Refused
from scillm_serving.routes import Asked, Events, Reply, Route
from scillm_serving.rules import Rules
from scillm_serving.streams import send_events

_DRAINED_BYTES = 64 * 2**20
"""So much of a body that is too long is read and dropped, so that its sender reads the answer."""


class Endpoint:
    """Answers one route; an ASGI app.

    Args:
        route: What it answers.
        rules: What is allowed.
    """

    def __init__(self, route: Route, rules: Rules) -> None:
        self._route, self._rules = route, rules

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        exchange: Exchange = scope[KEY]
        exchange.route = self._route.path
        headers = headers_of(scope)
        raw = b""
        if self._route.takes is not None:
            _check_content_type(headers)
            raw = await _body(receive, headers, self._rules)
        asked = self._asked(scope, headers, raw, exchange.request_id)
        work = self._answered(asked, exchange)
        await _while_client_is_there(work, receive, self._rules.deadline_s)

    def _asked(
        self, scope: Any, headers: dict[str, str], raw: bytes, request_id: str
    ) -> Asked[Any]:
        from urllib.parse import parse_qsl

        route, body = self._route, None
        if route.takes is not None:
            body = structured(
                decoded(raw),
                route.takes,
                allows_unknown=route.allows_unknown,
                status=route.schema_status,
            )
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        return Asked(
            body=body,
            raw=raw,
            headers=headers,
            query=query,
            path=scope.get("path_params", {}),
            request_id=request_id,
        )

    async def _answered(self, asked: Asked[Any], exchange: Exchange) -> None:
        answer = await self._route.answer(asked)
        if isinstance(answer, Events):
            await send_events(answer, exchange, self._rules.keep_alive_s)
            return
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        await exchange.reply(reply.status, _encoded(reply.body), reply.headers)


def _encoded(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return msgspec.json.encode(attrs.asdict(body) if attrs.has(type(body)) else body)


def _check_content_type(headers: dict[str, str]) -> None:
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused(
            415,
            f"the body is said to be {kind!r:.80}: send JSON, with content-type: application/json",
            code="unsupported_media_type",
        )


async def _body(receive: Any, headers: dict[str, str], rules: Rules) -> bytes:
    """Read a body.

    Raises:
        Refused: 413, it is too long; 408, it does not come.
        ClientLeft: Nobody sends it any more.
    """
    told = headers.get("content-length", "")
    is_too_long = told.isdigit() and int(told) > rules.max_body_bytes
    most = -1 if is_too_long else rules.max_body_bytes
    body: bytes | None = None
    try:
        body = await asyncio.wait_for(_collected(receive, most), rules.body_s)
    except asyncio.TimeoutError:
        if not is_too_long:
            raise Refused(
                408,
                f"the body did not come within {rules.body_s:g} s",
                code="request_timeout",
                headers={"connection": "close"},
            ) from None
    if body is None:
        raise Refused(
            413,
            f"the body is longer than {rules.max_body_bytes} bytes",
            code="body_too_large",
            headers={"connection": "close"},
        )
    return body


async def _collected(receive: Any, most: int) -> bytes | None:
    """Return the body, None if it is longer than *most*; of a longer one only so much is kept."""
    parts: list[bytes] = []
    size = 0
    while True:
        part, has_more = await _part(receive)
        size += len(part)
        if size > most:
            if has_more:
                await _drained(receive, size)
            return None
        parts.append(part)
        if not has_more:
            return b"".join(parts)


async def _drained(receive: Any, size: int) -> None:
    has_more = True
    while has_more and size < _DRAINED_BYTES:
        part, has_more = await _part(receive)
        size += len(part)


async def _part(receive: Any) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message.get("body", b""), message.get("more_body", False)


async def _while_client_is_there(
    work: Coroutine[Any, Any, None], receive: Any, deadline_s: float
) -> None:
    """Do the work; stop it when the client leaves or the deadline passes.

    All of the work is done in one task: what it enters there, it leaves there.

    Raises:
        ClientLeft: The client did.
        Refused: 504, the deadline passed.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    both = {working, leaving}
    try:
        await asyncio.wait(both, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return
        if leaving.done():
            raise ClientLeft
        raise Refused(504, f"no whole answer within {deadline_s:g} s", code="timeout")
    finally:
        for task in both:
            task.cancel()
        for task in both:
            with suppress(asyncio.CancelledError, Exception):  # it was told above, or is nobody's
                await task


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the end of a body that the route does not take
