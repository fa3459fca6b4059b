"""HTTP by aiohttp: the fast lane, asked before httpx.

``SCILLM_DISABLE_AIOHTTP=1`` leaves every request, and ``SCILLM_FORCE_HTTPX_STREAM=1`` every
stream, to the next transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from scillm import Setting, hookimpl
from scillm.settings import boolean
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
    import aiohttp
    from scillm import Call, Request, Sender, Timeouts
    from yarl import URL

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
        self._pools: Pools[aiohttp.ClientSession] = Pools(_open, _close)

    @hookimpl
    def send(self, call: Call, request: Request) -> Sender | None:
        """Take any request with an ``http`` or ``https`` address, unless told not to."""
        if not request.url.startswith(("http://", "https://")) or DISABLE.value():
            return None
        if request.frames == "sse" and FORCE_HTTPX_STREAM.value():
            return None
        return sender(self._exchange(connection_for(call, request.url)))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pools.aclose()

    def _exchange(self, connection: Connection) -> Exchange:
        @asynccontextmanager
        async def exchange(outgoing: Outgoing) -> AsyncGenerator[Reply, None]:
            import aiohttp  # 0.1 s of CPU: only a process that sends pays for it

            session = self._pools.client(connection)
            try:
                async with session.request(
                    outgoing.method,
                    _url(outgoing.url),
                    data=outgoing.body or None,
                    headers=outgoing.headers,
                    allow_redirects=False,
                    proxy=connection.proxy,
                    ssl=_tls(connection, outgoing.url),
                    timeout=_timeout(outgoing.request.timeouts),
                ) as reply:
                    headers = {name.lower(): value for name, value in reply.headers.items()}
                    yield Reply(reply.status, headers, reply.content.iter_any())
            except (aiohttp.ServerTimeoutError, asyncio.TimeoutError) as error:
                if type(error) in (TimeoutError, asyncio.TimeoutError):
                    raise  # not aiohttp's own: the deadline of the whole answer
                raise TimeoutError(f"{outgoing.url} let a deadline pass: {error}") from error
            except aiohttp.ClientError as error:
                raise ConnectionError(f"the exchange with {outgoing.url} broke: {_said(error)}") from error

        return exchange


def _open(connection: Connection) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        raise_for_status=False,
    )


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()


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
def _timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None,
        connect=timeouts.pool_s,
        sock_connect=timeouts.connect_s,
        sock_read=timeouts.read_s,
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
