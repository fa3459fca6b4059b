"""HTTP by aiohttp: the fast lane, asked before httpx.

``SCILLM_DISABLE_AIOHTTP=1`` leaves every request, and ``SCILLM_FORCE_HTTPX_STREAM=1`` every
stream, to the next transport; both are read when a kernel is made.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
)

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from scillm import Call, Request, Sender, Timeouts

KEEP_ALIVE_S = 15.0
DISABLE = Setting(
    name="DISABLE_AIOHTTP", default=False, read=boolean, help="leave every request to httpx"
)
FORCE_HTTPX_STREAM = Setting(
    name="FORCE_HTTPX_STREAM", default=False, read=boolean, help="leave every stream to httpx"
)


class Aiohttp:
    """The transport plugin; holds the sessions of one kernel."""

    ORDER = 890
    SETTINGS: tuple[Setting[Any], ...] = (*CONNECTION_SETTINGS, DISABLE, FORCE_HTTPX_STREAM)

    def __init__(self) -> None:
        self._pools: Pools[Connection, aiohttp.ClientSession] = Pools(_open, _close)
        frames = (
            () if DISABLE.value() else ("json",) if FORCE_HTTPX_STREAM.value() else ("json", "sse")
        )
        self._frames: tuple[str, ...] = frames

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Take any request with an ``http`` or ``https`` address, unless told not to."""
        if request.frames not in self._frames or not request.url.startswith(
            ("http://", "https://")
        ):
            return None
        connection = connection_for(call, request.url)

        async def exchange(outgoing: Outgoing) -> Reply:
            return await _exchange(self._pools.client(connection), connection, outgoing)

        return sender(exchange, _explain)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pools.aclose()


def _open(connection: Connection) -> aiohttp.ClientSession:
    import aiohttp  # 0.1 s of CPU: only a process that sends pays for it

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()


async def _exchange(
    session: aiohttp.ClientSession, connection: Connection, outgoing: Outgoing
) -> Reply:
    request = outgoing.request
    reply = await session.request(
        outgoing.method,
        _url(outgoing.url),
        data=outgoing.body or None,
        headers=outgoing.headers,
        allow_redirects=False,
        proxy=connection.proxy,
        ssl=_tls(connection, outgoing.url),
        timeout=_timeout(request.timeouts, is_stream=request.frames == "sse"),
    )

    async def aclose() -> None:
        reply.release()  # which drops a connection whose body was not read to its end

    return Reply(reply.status, reply.headers, reply.content.iter_any(), aclose)


def _tls(connection: Connection, url: str) -> Any:
    if not url.startswith("https://") and not (connection.proxy or "").startswith("https://"):
        return True  # a plain connection must not pay for a bundle of certificates
    from scillm_transport import tls_context

    return tls_context(connection.verify)


@lru_cache(maxsize=256)
def _url(url: str) -> URL:
    from yarl import URL

    return URL(url, encoded=True)


@lru_cache(maxsize=64)
def _timeout(timeouts: Timeouts, *, is_stream: bool) -> aiohttp.ClientTimeout:
    """Return aiohttp's deadlines; a whole answer has one of its own, over all of it."""
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None,
        connect=timeouts.pool_s if is_stream else None,
        sock_connect=timeouts.connect_s,
        sock_read=timeouts.read_s if is_stream else None,
    )


def _explain(error: Exception, outgoing: Outgoing) -> Exception:
    import aiohttp

    if isinstance(error, aiohttp.ServerTimeoutError):
        return TimeoutError(f"{outgoing.url} let a deadline pass: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        told = getattr(error, "certificate_error", None) or error.os_error
        return ConnectionError(f"cannot connect to {error.host}:{error.port}: {told}")
    if isinstance(error, aiohttp.ClientError):
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return ConnectionError(f"the exchange with {outgoing.url} failed: {said}")
    return error
