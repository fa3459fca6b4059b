"""From one exchange of HTTP to a Sender. All that is policy lies here, once for all transports."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from attrs import evolve, frozen
from scillm import BadRequestError, InvalidResponse, Request, Secret
from scillm.errors import StatusError

from scillm_transport.sse import Frames

if TYPE_CHECKING:
    from scillm import Event, Sender

if sys.version_info >= (3, 11):
    from asyncio import timeout as deadline
else:
    from async_timeout import timeout as deadline

MAX_REDIRECTS = 5
MAX_ERROR_BYTES = 64 * 1024
_USER_AGENT = "scillm/0.1.0"


@frozen
class Outgoing:
    """What goes over the wire: everything revealed and encoded, for the moment of sending."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    request: Request


@frozen
class Reply:
    """What came back: status, headers with lower-case names, and the body's blocks as they come."""

    status: int
    headers: Mapping[str, str]
    blocks: AsyncIterator[bytes]


Exchange = Callable[[Outgoing], AbstractAsyncContextManager[Reply]]
"""Carries out one request: follows no redirect, raises TimeoutError or ConnectionError."""


def sender(exchange: Exchange) -> Sender:
    """Make a Sender of an exchange.

    The Sender checks status and content type before it reads, bounds bodies and single
    events by ``request.max_bytes``, bounds a whole answer by ``timeouts.total_s``, follows
    redirects on the same host only, and never takes a stream that stops short for a whole.
    """

    async def send(request: Request) -> AsyncGenerator[Event, None]:
        outgoing = _outgoing(request)
        if request.frames == "json":
            frame = await _whole(exchange, outgoing)
            for event in request.events(frame):
                yield event
            return
        async with aclosing(_streamed(exchange, outgoing, MAX_REDIRECTS)) as events:
            async for event in events:
                yield event

    return send


def _outgoing(request: Request) -> Outgoing:
    headers = {"user-agent": _USER_AGENT, "accept-encoding": "identity", **request.wire_headers()}
    return Outgoing(request.method, request.url, headers, request.encode(), request)


async def _whole(exchange: Exchange, outgoing: Outgoing) -> bytes:
    request = outgoing.request
    try:
        async with deadline(request.timeouts.total_s):
            for _ in range(MAX_REDIRECTS + 1):
                async with exchange(outgoing) as reply:
                    if not 300 <= reply.status < 400:
                        await _check_status(outgoing, reply)
                        return await _body(reply, request.max_bytes)
                    outgoing = _redirected(outgoing, reply)
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise TimeoutError(
            str(error) or f"no whole answer from {request.url} within {request.timeouts.total_s:g} s"
        ) from error
    raise _too_many_redirects(outgoing)


async def _streamed(
    exchange: Exchange, outgoing: Outgoing, redirects: int
) -> AsyncGenerator[Event, None]:
    request = outgoing.request
    async with exchange(outgoing) as reply:
        if not 300 <= reply.status < 400:
            await _check_status(outgoing, reply)
            async with aclosing(_events(request, reply)) as events:
                async for event in events:
                    yield event
            return
        onward = _redirected(outgoing, reply)
    if not redirects:
        raise _too_many_redirects(outgoing)
    async with aclosing(_streamed(exchange, onward, redirects - 1)) as events:
        async for event in events:
            yield event


async def _events(request: Request, reply: Reply) -> AsyncGenerator[Event, None]:
    content_type = reply.headers.get("content-type", "")
    if "json" in content_type:  # the server did not stream, or tells an error with a good status
        for event in request.events(await _body(reply, request.max_bytes)):
            yield event
        return
    if not content_type.startswith("text/event-stream"):
        began = (await _body(reply, request.max_bytes))[:120].decode("utf-8", "replace")
        raise InvalidResponse(
            f"a stream was asked for, and the answer is {content_type or 'of no content type'}: {began!r}"
        )
    is_finished = False
    frames = Frames(request.max_bytes)
    async for block in reply.blocks:
        for frame in frames.feed(block):
            if frame == request.end:
                return
            for event in request.events(frame):
                is_finished = is_finished or event.is_final
                yield event
    for frame in frames.close():
        if frame == request.end:
            return
        for event in request.events(frame):
            is_finished = is_finished or event.is_final
            yield event
    if not is_finished:
        raise InvalidResponse(
            "the stream stopped short: it has neither a finish_reason nor an end mark, so the answer is not whole"
        )


async def _check_status(outgoing: Outgoing, reply: Reply) -> None:
    if reply.status < 400:
        return
    body = await _body(reply, MAX_ERROR_BYTES, must_fit=False)
    text = outgoing.request.redact(body.decode("utf-8", "replace"))
    raise StatusError(reply.status, text, reply.headers)


async def _body(reply: Reply, max_bytes: int, *, must_fit: bool = True) -> bytes:
    blocks, size = [], 0
    async for block in reply.blocks:
        blocks.append(block)
        size += len(block)
        if size > max_bytes:
            if must_fit:
                raise InvalidResponse(f"the answer is longer than {max_bytes} bytes, so it was not read to its end")
            break
    return b"".join(blocks)[:max_bytes]


def _redirected(outgoing: Outgoing, reply: Reply) -> Outgoing:
    """Return the request to the address that *reply* points to, if it may be followed."""
    target = urljoin(outgoing.url, reply.headers.get("location", ""))
    here, there = urlsplit(outgoing.url), urlsplit(target)
    same_host = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    if same_host and (reply.status in (307, 308) or outgoing.method == "GET"):
        return evolve(outgoing, url=target)
    held = "a key and " if any(isinstance(v, Secret) for v in outgoing.request.headers.values()) else ""
    raise BadRequestError(
        f"{outgoing.url} redirects ({reply.status}) to {there.scheme}://{there.netloc}{there.path}, and {held}"
        "the messages are not sent there unasked: if that address is right, pass it as api_base"
    )


def _too_many_redirects(outgoing: Outgoing) -> InvalidResponse:
    return InvalidResponse(f"{outgoing.request.url} redirects more than {MAX_REDIRECTS} times")
