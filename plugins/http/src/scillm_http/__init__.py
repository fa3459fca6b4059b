"""HTTP by httpcore, httpx's engine: the transport that is always there.

httpx's own pool looks at every connection for every request, which at 64 at a time costs
more than all else; here idle connections lie in a free list, so that taking one is a ``pop``,
and there is no limit but the caller's. httpx itself is loaded for a compressed answer alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from functools import lru_cache
from string import punctuation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from attrs import field, frozen

from scillm import hookimpl
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
    import httpcore

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


@frozen
class _Address:
    """Where a request goes, in httpcore's terms."""

    url: httpcore.URL
    host: bytes  # the header
    origin: httpcore.Origin = field(init=False)

    @origin.default
    def _origin(self) -> httpcore.Origin:
        return self.url.origin


class _FreeList:
    """Idle connections by origin; the one used last is taken first."""

    def __init__(self, connection: Connection) -> None:
        import httpcore  # 0.07 s of CPU: only a process that sends pays for it

        from scillm_http.network import Network

        self._verify, self._network = connection.verify, Network()
        self._through: httpcore.AsyncConnectionPool | None = None
        if connection.proxy is not None:
            self._through = httpcore.AsyncConnectionPool(
                proxy=_proxy(connection),
                ssl_context=tls_context(connection.verify),
                keepalive_expiry=KEEP_ALIVE_S,
                network_backend=self._network,
            )
        self._idle: defaultdict[str, list[httpcore.AsyncConnectionInterface]] = defaultdict(list)

    async def exchange(self, outgoing: Outgoing) -> Reply:
        address = _address(outgoing.url)
        idle = self._idle[str(address.origin)]
        connection = await _taken(idle) or await self._opened(address, outgoing)
        try:
            reply = await connection.handle_async_request(_request(address, outgoing))
        except BaseException:
            await connection.aclose()
            raise
        headers = {
            name.decode("ascii").lower(): value.decode("latin-1") for name, value in reply.headers
        }
        stream: Any = reply.stream
        blocks = _decoded(reply) if "content-encoding" in headers else stream.__aiter__()

        async def aclose() -> None:
            await blocks.aclose()
            await reply.aclose()
            if connection.is_idle() and len(idle) < MAX_IDLE:
                idle.append(connection)
            else:
                await connection.aclose()

        return Reply(reply.status, headers, blocks, aclose)

    async def _opened(
        self, address: _Address, outgoing: Outgoing
    ) -> httpcore.AsyncConnectionInterface:
        import httpcore

        if self._through is not None:
            return self._through.create_connection(address.origin)
        host, limit_s = address.url.host.decode("ascii"), outgoing.request.timeouts.connect_s
        tls = tls_context(self._verify) if address.url.scheme == b"https" else None
        wire = await self._network.connect_tcp(host, address.origin.port, limit_s)
        if tls is not None:
            wire = await wire.start_tls(tls, host, limit_s)
        return httpcore.AsyncHTTP11Connection(address.origin, wire, KEEP_ALIVE_S)

    async def aclose(self) -> None:
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()


async def _taken(
    idle: list[httpcore.AsyncConnectionInterface],
) -> httpcore.AsyncConnectionInterface | None:
    while idle:
        connection = idle.pop()
        if not connection.has_expired():
            return connection
        await connection.aclose()
    return None


def _proxy(connection: Connection) -> httpcore.Proxy:
    import httpcore

    parts = urlsplit(connection.proxy or "")
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    return httpcore.Proxy(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        auth=auth,
        ssl_context=tls_context(connection.verify) if parts.scheme == "https" else None,
    )


@lru_cache(maxsize=256)
def _address(text: str) -> _Address:
    """Read an address; what is not ASCII in it is written as the net has it."""
    import httpcore

    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        raise ConnectionError(f"{text} is not an address: {error}") from None
    path = quote(parts.path or "/", safe=punctuation)
    query = quote(parts.query, safe=punctuation)
    target = f"{path}?{query}" if query else path
    url = httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)
    shown = b"[%b]" % host if b":" in host else host
    return _Address(url, shown if port is None else b"%b:%d" % (shown, port))


def _request(address: _Address, outgoing: Outgoing) -> httpcore.Request:
    import httpcore

    headers = {"content-length": str(len(outgoing.body))} if outgoing.body else {}
    headers.update(outgoing.headers)
    return httpcore.Request(
        outgoing.method,
        address.url,
        headers=[(b"host", address.host), *((k.encode(), v.encode()) for k, v in headers.items())],
        content=outgoing.body,
        extensions={"timeout": _phases(outgoing.request.timeouts)},
    )


async def _decoded(reply: httpcore.Response) -> AsyncGenerator[bytes, None]:
    """Undo a compression that nobody asked for."""
    import httpx

    stream: Any = reply.stream
    compressed = httpx.Response(reply.status, headers=reply.headers, content=stream)
    try:
        async for block in compressed.aiter_bytes():
            yield block
    except httpx.DecodingError as error:
        raise ConnectionError(f"the answer cannot be decompressed: {error}") from error


def _phases(timeouts: Timeouts) -> dict[str, float | None]:
    return {
        "connect": timeouts.connect_s,
        "read": timeouts.read_s,
        "write": timeouts.write_s,
        "pool": timeouts.pool_s,
    }


def _explain(error: Exception, outgoing: Outgoing) -> Exception:
    import httpcore

    if isinstance(error, httpcore.TimeoutException):
        phase = type(error).__name__.removesuffix("Timeout").lower()
        seconds = _phases(outgoing.request.timeouts).get(phase)
        return TimeoutError(f"{outgoing.url} let the {phase} deadline of {seconds:g} s pass")
    if isinstance(error, (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)):
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return ConnectionError(f"the exchange with {outgoing.url} failed: {said}")
    return error
