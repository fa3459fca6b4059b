"""From one exchange of HTTP to a Sender. All that is policy lies here, once for all transports."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from attrs import evolve, field, frozen

from scillm import BadRequestError, InvalidResponse, Request, ScillmError, Secret
from scillm.errors import StatusError
from scillm_transport.reading import Reading

if TYPE_CHECKING:
    from scillm import Event, Sender

if sys.version_info >= (3, 11):
    from asyncio import timeout as deadline
else:
    from async_timeout import timeout as deadline

__all__ = ["Exchange", "Explain", "Outgoing", "Reply", "deadline", "sender"]

MAX_REDIRECTS = 5
MAX_ERROR_BYTES = 64 * 1024
DRAIN_S = 0.05
_USER_AGENT = "scillm/0.1.0"


@frozen
class Outgoing:
    """What goes over the wire: everything revealed and encoded, for the moment of sending."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request: Request


@frozen
class Reply:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: A mapping that ignores the case of names.
        blocks: The body as it comes, decompressed.
        aclose: Gives the connection back, or drops it if the body was not read to its end; also
            closes *blocks*, if they need it.
    """

    status: int
    headers: Mapping[str, str]
    blocks: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]


class _Late(TimeoutError):
    """Our own deadline passed, which no client library need explain."""


_TOLD = (ScillmError, StatusError, _Late)

Exchange = Callable[[Outgoing], Awaitable[Reply]]
"""Carries out one request and returns when the headers are there; follows no redirect."""

Explain = Callable[[Exception, Outgoing], Exception]
"""Turns an error of the client library into a TimeoutError or ConnectionError; else returns it."""


def sender(exchange: Exchange, explain: Explain) -> Sender:
    """Make a Sender of an exchange.

    The Sender checks status and content type before it reads, bounds bodies and single
    events by ``request.max_bytes``, bounds a whole answer by ``timeouts.total_s``, follows
    redirects on the same host only, and never takes a stream that stops short for a whole.

    Args:
        exchange: Carries out one request.
        explain: Names the errors that the exchange, or reading its blocks, raises.
    """

    async def send(request: Request) -> AsyncGenerator[Event, None]:
        outgoing = _outgoing(request)
        with _Explaining(explain, outgoing):
            if request.frames == "json":
                for event in request.events(await _whole(exchange, outgoing)):
                    yield event
                return
            reply = await _begun(exchange, outgoing)
            try:
                reading = await _reading(request, reply)
                async for block in reply.blocks:
                    for event in reading.feed(block):
                        yield event
                    if reading.is_over:
                        await _drain(reply)
                        break
                for event in reading.close():
                    yield event
            finally:
                await reply.aclose()

    return send


class _Explaining:
    """Raises what *explain* says of an error that only the client library knows."""

    __slots__ = ("_explain", "_outgoing")

    def __init__(self, explain: Explain, outgoing: Outgoing) -> None:
        self._explain, self._outgoing = explain, outgoing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, _TOLD):
            return
        known = self._explain(error, self._outgoing)
        if known is not error:  # the cause may hold the key
            raise type(known)(self._outgoing.request.redact(str(known))) from None


def _outgoing(request: Request) -> Outgoing:
    headers = {
        "user-agent": _USER_AGENT,
        "accept": "text/event-stream" if request.frames == "sse" else "application/json",
        "accept-encoding": "identity",
        **request.wire_headers(),
    }
    return Outgoing(request.method, request.url, headers, request.encode(), request)


async def _whole(exchange: Exchange, outgoing: Outgoing) -> bytes:
    request = outgoing.request
    timeout = deadline(request.timeouts.total_s)
    try:
        async with timeout:
            reply = await _replied(exchange, outgoing)
            try:
                return await _body(reply, request.max_bytes)
            finally:
                await reply.aclose()
    except (TimeoutError, asyncio.TimeoutError):
        if not _has_expired(timeout):
            raise  # a phase's deadline, which the client library tells
        raise _Late(
            f"no whole answer from {request.url} within {request.timeouts.total_s:g} s"
        ) from None


def _has_expired(timeout: Any) -> bool:
    """Say whether our own deadline passed; a method in the standard library, a property before."""
    expired = timeout.expired
    return bool(expired() if callable(expired) else expired)


async def _begun(exchange: Exchange, outgoing: Outgoing) -> Reply:
    """Return the reply of a stream, whose headers must come within the deadlines of two phases."""
    timeouts = outgoing.request.timeouts
    phases = (timeouts.connect_s, timeouts.read_s)
    limit_s = None if None in phases else sum(seconds for seconds in phases if seconds)
    timeout = deadline(limit_s)
    try:
        async with timeout:
            return await _replied(exchange, outgoing)
    except (TimeoutError, asyncio.TimeoutError):
        if not _has_expired(timeout):
            raise  # a phase's deadline, which the client library tells
        raise _Late(f"{outgoing.url} did not begin to answer within {limit_s:g} s") from None


async def _replied(exchange: Exchange, outgoing: Outgoing) -> Reply:
    """Return the reply whose body is the answer: a good one, behind any redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        reply = await exchange(outgoing)
        if reply.status < 300:
            return reply
        try:
            if reply.status >= 400:
                raise await _status_error(outgoing, reply)
            outgoing = _redirected(outgoing, reply)
        finally:
            await reply.aclose()
    raise InvalidResponse(f"{outgoing.request.url} redirects more than {MAX_REDIRECTS} times")


async def _reading(request: Request, reply: Reply) -> Reading:
    """Look at what kind of body comes before it is read."""
    content_type = reply.headers.get("content-type", "").lower()
    if "json" in content_type:  # the server did not stream, or tells an error with a good status
        return Reading(request, await _body(reply, request.max_bytes))
    if content_type.startswith("text/event-stream"):
        return Reading(request)
    began = (await _body(reply, request.max_bytes))[:120].decode("utf-8", "replace")
    raise InvalidResponse(
        f"a stream was asked for, and {content_type or 'no content type'} came: {began!r}"
    )


async def _drain(reply: Reply) -> None:
    """Read what little is left behind the end mark, so that the connection can be used again."""
    with suppress(Exception):  # the answer is whole; a connection that breaks now is not used again
        async with deadline(DRAIN_S):
            async for _ in reply.blocks:
                continue


async def _status_error(outgoing: Outgoing, reply: Reply) -> StatusError:
    body = await _body(reply, MAX_ERROR_BYTES, must_fit=False)
    text = outgoing.request.redact(body.decode("utf-8", "replace"))
    return StatusError(reply.status, text, reply.headers)


async def _body(reply: Reply, max_bytes: int, *, must_fit: bool = True) -> bytes:
    blocks, size = [], 0
    async for block in reply.blocks:
        blocks.append(block)
        size += len(block)
        if size > max_bytes:
            if must_fit:
                raise InvalidResponse(
                    f"the answer is longer than {max_bytes} bytes, so it was not read on"
                )
            break
    return b"".join(blocks)[:max_bytes]


def _redirected(outgoing: Outgoing, reply: Reply) -> Outgoing:
    """Return the request to the address that *reply* points to, if it may be followed."""
    target = urljoin(outgoing.url, reply.headers.get("location", ""))
    here, there = urlsplit(outgoing.url), urlsplit(target)
    same_host = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    if same_host and (reply.status in (307, 308) or outgoing.method == "GET"):
        return evolve(outgoing, url=target)
    held = (
        "a key and "
        if any(isinstance(v, Secret) for v in outgoing.request.headers.values())
        else ""
    )
    raise BadRequestError(
        f"{outgoing.url} redirects ({reply.status}) to "
        f"{there.scheme}://{there.netloc}{there.path}, and {held}the messages "
        "are not sent there unasked: if that address is right, pass it as api_base"
    )
