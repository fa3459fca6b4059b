"""HTTP by Rust's reqwest, asked before aiohttp and httpx.

``SCILLM_PYREQWEST=1`` switches it on, ``SCILLM_FORCE_HTTPX_STREAM=1`` leaves every stream to the
next transport; both are read when a kernel is made.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import time
from collections.abc import AsyncGenerator, Awaitable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from scillm import Setting, hookimpl
from scillm.settings import boolean
from scillm_transport import (
    CONNECTION_SETTINGS,
    Connection,
    Outgoing,
    Pools,
    Reply,
    connection_for,
    sender,
    tls_context,
)

if TYPE_CHECKING:
    from pyreqwest.client import Client, ClientBuilder
    from pyreqwest.exceptions import PyreqwestError
    from pyreqwest.response import Response

    from scillm import Call, Request, Sender

T = TypeVar("T")
KEEP_ALIVE_S = 15.0
LAST_PAUSE_S = 0.05
LONGEST_S = 2.0**20  # what is longer, or without end, is as good as twelve days
ENABLE = Setting(name="PYREQWEST", default=False, read=boolean, help="carry requests by pyreqwest")
FORCE_HTTPX_STREAM = Setting(
    name="FORCE_HTTPX_STREAM", default=False, read=boolean, help="leave every stream to httpx"
)


@frozen
class _Way:
    """What a client is made for: reqwest fixes TLS and these deadlines for its lifetime."""

    connection: Connection
    connect_s: float | None
    abandoned_s: float | None
    is_tls: bool


class Pyreqwest:
    """The transport plugin; holds the clients of one kernel."""

    ORDER = 880
    SETTINGS: tuple[Setting[Any], ...] = (*CONNECTION_SETTINGS, ENABLE, FORCE_HTTPX_STREAM)

    def __init__(self) -> None:
        self._pools: Pools[_Way, Client] = Pools(_open, _close)
        self._is_on = ENABLE.value()
        self._is_on_for_streams = self._is_on and not FORCE_HTTPX_STREAM.value()

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Take any request with an ``http`` or ``https`` address, unless told not to."""
        is_on = self._is_on_for_streams if request.frames == "sse" else self._is_on
        if not is_on or not request.url.startswith(("http://", "https://")):
            return None
        connection = connection_for(call, request.url)

        async def exchange(outgoing: Outgoing) -> Reply:
            return await _exchange(self._pools.client(_way(connection, outgoing)), outgoing)

        return sender(exchange, _explain)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pools.aclose()


def _way(connection: Connection, outgoing: Outgoing) -> _Way:
    """Return what the client must be made for, coarse enough that there are few of them."""
    connect_s, read_s = outgoing.request.timeouts.connect_s, outgoing.request.timeouts.read_s
    return _Way(
        connection,
        connect_s and math.ceil(min(connect_s, LONGEST_S) * 10) / 10,
        # pyreqwest 0.15 detaches a request whose waiting task is cancelled, and lets it run on;
        # this ends it. When cancelling aborts the request, this field may go.
        read_s and 2.0 ** math.ceil(math.log2(min(read_s, LONGEST_S))),
        outgoing.url.startswith("https://") or (connection.proxy or "").startswith("https://"),
    )


def _open(way: _Way) -> Client:
    from pyreqwest.client import ClientBuilder  # only a process that sends pays for it
    from pyreqwest.proxy import ProxyBuilder

    _pause_at_exit()
    builder = ClientBuilder().follow_redirects(False).referer(False).no_proxy()
    builder = builder.pool_idle_timeout(timedelta(seconds=KEEP_ALIVE_S))
    if way.connect_s:
        builder = builder.connect_timeout(timedelta(seconds=way.connect_s))
    if way.abandoned_s:
        builder = builder.read_timeout(timedelta(seconds=way.abandoned_s))
    if way.connection.proxy:
        builder = builder.proxy(ProxyBuilder.all(way.connection.proxy))
    return _trusting(builder, way).build()


@cache
def _pause_at_exit() -> None:
    """Let pyreqwest's thread leave Python first: 0.15 aborts a process that ends on an answer."""
    atexit.register(time.sleep, LAST_PAUSE_S)


def _trusting(builder: ClientBuilder, way: _Way) -> ClientBuilder:
    if way.connection.verify is False:
        return builder.danger_accept_invalid_certs(True)
    if way.is_tls:  # a plain connection must not pay for a bundle of certificates
        for certificate in tls_context(way.connection.verify).get_ca_certs(binary_form=True):
            builder = builder.add_root_certificate_der(certificate)
    return builder


async def _close(client: Client) -> None:
    await client.close()


async def _exchange(client: Client, outgoing: Outgoing) -> Reply:
    read_s = outgoing.request.timeouts.read_s
    sending = client.request(outgoing.method, outgoing.url).headers(dict(outgoing.headers))
    if outgoing.body:
        sending = sending.body_bytes(outgoing.body)
    # A limit above 0 makes it wait for that many bytes before it hands over the first.
    streamed = sending.streamed_read_buffer_limit(0).build_streamed()
    reply = await _heeded(streamed.__aenter__(), read_s)
    blocks = _blocks(reply, read_s)

    async def aclose() -> None:
        await blocks.aclose()
        await streamed.__aexit__(None, None, None)  # drops a connection not read to its end

    return Reply(reply.status, reply.headers, blocks, aclose)


async def _blocks(reply: Response, read_s: float | None) -> AsyncGenerator[bytes, None]:
    reader = reply.body_reader
    while (block := await _heeded(reader.read_chunk(), read_s)) is not None:
        yield bytes(block)


async def _heeded(work: Awaitable[T], read_s: float | None) -> T:
    """Await *work* of pyreqwest, which swallows a cancellation that comes at once with its end."""
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    async with asyncio.timeout(read_s):
        done = await work
    if task.cancelling() > cancels:
        raise asyncio.CancelledError
    return done


def _explain(error: Exception, outgoing: Outgoing) -> Exception:
    from pyreqwest.exceptions import PyreqwestError

    if isinstance(error, TimeoutError) and (isinstance(error, PyreqwestError) or not str(error)):
        # pyreqwest 0.15 calls deadlines of other phases "connection timeout" too.
        timeouts = outgoing.request.timeouts
        told = f"connect {timeouts.connect_s} s, read {timeouts.read_s} s"
        return TimeoutError(f"{outgoing.url} let a deadline pass: {told}")
    if isinstance(error, PyreqwestError):
        return ConnectionError(f"the exchange with {outgoing.url} failed: {_said(error)}")
    return error


def _said(error: PyreqwestError) -> str:
    """Return the error with its causes, which alone tell what happened."""
    causes = getattr(error, "details", {}).get("causes") or ()
    return ": ".join([error.message, *(cause["message"] for cause in causes)])
