"""HTTP by httpx: the transport that is always there.

httpx's own pool looks at every connection for every request, which at 64 at a time costs
more than all else; here each connection is a transport of its own in a free list, so that
taking one is a ``pop``, and there is no limit but the caller's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scillm import hookimpl
from scillm_transport import (
    CONNECTION_SETTINGS,
    Connection,
    Exchange,
    Outgoing,
    Pools,
    Reply,
    connection_for,
    sender,
)

if TYPE_CHECKING:
    import httpx
    from scillm import Call, Request, Sender, Timeouts

MAX_IDLE = 64  # connections kept open per host for the next call


class Http:
    """The transport plugin; holds the connections of one kernel."""

    ORDER = 900
    SETTINGS = CONNECTION_SETTINGS

    def __init__(self) -> None:
        self._pools: Pools[_FreeList] = Pools(_FreeList, _FreeList.aclose)

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Take any request with an ``http`` or ``https`` address."""
        if not request.url.startswith(("http://", "https://")):
            return None
        return sender(self._exchange(connection_for(call, request.url)))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pools.aclose()

    def _exchange(self, connection: Connection) -> Exchange:
        @asynccontextmanager
        async def exchange(outgoing: Outgoing) -> AsyncGenerator[Reply, None]:
            import httpx  # 0.15 s of CPU: only a process that sends pays for it

            free = self._pools.client(connection)
            origin = urlsplit(outgoing.url)[:2]
            transport = free.take(origin, outgoing.url)
            try:
                reply = await transport.handle_async_request(_request(outgoing))
                try:
                    headers = {name.lower(): value for name, value in reply.headers.items()}
                    yield Reply(reply.status_code, headers, reply.aiter_bytes())
                finally:
                    await reply.aclose()
            except httpx.TimeoutException as error:
                raise TimeoutError(_late(error, outgoing)) from error
            except (httpx.TransportError, httpx.DecodingError) as error:
                raise ConnectionError(f"the exchange with {outgoing.url} broke: {_said(error)}") from error
            finally:
                await free.give_back(origin, transport)

        return exchange


class _FreeList:
    """Idle connections by origin; the one used last is taken first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: defaultdict[tuple[str, ...], list[httpx.AsyncHTTPTransport]] = defaultdict(list)

    def take(self, origin: tuple[str, ...], url: str) -> httpx.AsyncHTTPTransport:
        idle = self._idle[origin]
        return idle.pop() if idle else _open(self._connection, url.startswith("https://"))

    async def give_back(self, origin: tuple[str, ...], transport: httpx.AsyncHTTPTransport) -> None:
        idle = self._idle[origin]
        if len(idle) < MAX_IDLE:
            idle.append(transport)
        else:
            await transport.aclose()

    async def aclose(self) -> None:
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()


def _open(connection: Connection, is_tls: bool) -> httpx.AsyncHTTPTransport:
    import httpx
    from scillm_transport import tls_context

    needs_tls = is_tls or (connection.proxy or "").startswith("https://")
    return httpx.AsyncHTTPTransport(
        verify=tls_context(connection.verify) if needs_tls else _no_tls(),
        proxy=connection.proxy,
        trust_env=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=15.0),
    )


def _no_tls() -> object:
    """Return an empty context: a plain connection must not pay 50 ms for a bundle it never reads."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _request(outgoing: Outgoing) -> httpx.Request:
    import httpx

    extensions = {"timeout": _timeouts(outgoing.request.timeouts)}
    return httpx.Request(
        outgoing.method,
        outgoing.url,
        headers=dict(outgoing.headers),
        content=outgoing.body,
        extensions=extensions,
    )


def _timeouts(timeouts: Timeouts) -> dict[str, float | None]:
    return {
        "connect": timeouts.connect_s,
        "read": timeouts.read_s,
        "write": timeouts.write_s,
        "pool": timeouts.pool_s,
    }


def _late(error: httpx.TimeoutException, outgoing: Outgoing) -> str:
    phase = type(error).__name__.removesuffix("Timeout").lower()
    seconds = _timeouts(outgoing.request.timeouts).get(phase)
    return f"{outgoing.url} let the {phase} deadline of {seconds:g} s pass"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
