"""HTTP by httpx: the transport that is always there.

httpx's own pool looks at every connection for every request, which at 64 at a time costs
more than all else; here each connection is a transport of its own in a free list, so that
taking one is a ``pop``, and there is no limit but the caller's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from scillm import hookimpl
from scillm_transport import (
    CONNECTION_SETTINGS,
    Connection,
    Outgoing,
    Pools,
    Reply,
    connection_for,
    sender,
)

if TYPE_CHECKING:
    import httpx

    from scillm import Call, Request, Sender, Timeouts

MAX_IDLE = 256  # connections kept open per host for the next call
KEEP_ALIVE_S = 15.0


class Http:
    """The transport plugin; holds the connections of one kernel."""

    ORDER = 900
    SETTINGS = CONNECTION_SETTINGS

    def __init__(self) -> None:
        self._pools: Pools[Connection, _FreeList] = Pools(_FreeList, _FreeList.aclose)

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Take any request with an ``http`` or ``https`` address."""
        if not request.url.startswith(("http://", "https://")):
            return None
        connection = connection_for(call, request.url)

        async def exchange(outgoing: Outgoing) -> Reply:
            return await self._pools.client(connection).exchange(outgoing)

        return sender(exchange, _explain)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pools.aclose()


class _FreeList:
    """Idle connections by origin; the one used last is taken first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: defaultdict[str, list[httpx.AsyncHTTPTransport]] = defaultdict(list)

    async def exchange(self, outgoing: Outgoing) -> Reply:
        idle = self._idle["/".join(outgoing.url.split("/", 3)[:3])]
        transport = idle.pop() if idle else _open(self._connection, outgoing.url)
        try:
            reply = await transport.handle_async_request(_request(outgoing))
        except BaseException:
            await transport.aclose()
            raise

        async def aclose() -> None:
            await reply.aclose()
            if len(idle) < MAX_IDLE:
                idle.append(transport)
            else:
                await transport.aclose()

        return Reply(reply.status_code, reply.headers, _blocks(reply), aclose)

    async def aclose(self) -> None:
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()


def _blocks(reply: httpx.Response) -> AsyncIterator[bytes]:
    """Return the body as it comes; nobody asked for compression, so there is nothing to decode."""
    if "content-encoding" in reply.headers:
        return reply.aiter_bytes()
    stream: Any = reply.stream  # of bytes, without the layers that decode and count them
    blocks: AsyncIterator[bytes] = stream.__aiter__()
    return blocks


def _open(connection: Connection, url: str) -> httpx.AsyncHTTPTransport:
    import httpx  # 0.15 s of CPU: only a process that sends pays for it

    is_tls = url.startswith("https://") or (connection.proxy or "").startswith("https://")
    return httpx.AsyncHTTPTransport(
        verify=_tls(connection) if is_tls else _no_tls(),
        proxy=connection.proxy,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S
        ),
    )


def _tls(connection: Connection) -> Any:
    from scillm_transport import tls_context

    return tls_context(connection.verify)


def _no_tls() -> Any:
    import ssl  # an empty context: a plain connection must not pay for a bundle that it never reads

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _request(outgoing: Outgoing) -> httpx.Request:
    import httpx

    return httpx.Request(
        outgoing.method,
        outgoing.url,
        headers=outgoing.headers,
        content=outgoing.body,
        extensions={"timeout": _phases(outgoing.request.timeouts)},
    )


def _phases(timeouts: Timeouts) -> dict[str, float | None]:
    return {
        "connect": timeouts.connect_s,
        "read": timeouts.read_s,
        "write": timeouts.write_s,
        "pool": timeouts.pool_s,
    }


def _explain(error: Exception, outgoing: Outgoing) -> Exception:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        phase = type(error).__name__.removesuffix("Timeout").lower()
        seconds = _phases(outgoing.request.timeouts).get(phase)
        return TimeoutError(f"{outgoing.url} let the {phase} deadline of {seconds:g} s pass")
    if isinstance(error, (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL)):
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return ConnectionError(f"the exchange with {outgoing.url} failed: {said}")
    return error
