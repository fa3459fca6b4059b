"""httpcore's network, by asyncio itself.

httpcore's own goes through anyio, which opens a cancel scope for each piece that is read or
written: a fifth of what a call costs. This module is imported with httpcore, by the first
connection that is opened.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

from scillm_transport import deadline

PIECE_BYTES = 16 * 1024
MOST_PIECES = 16  # as many may wait to be read before the peer is made to wait
HELD_BYTES = 64 * 1024  # what is shorter goes out at once, when the answer is waited for
SECOND_ADDRESS_S = 0.25  # RFC 8305: so long until a host's next address is tried too


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections on the running loop."""

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any
    ) -> Wire:
        """Connect to the first address of *host* that answers."""
        loop = asyncio.get_running_loop()
        more: dict[str, Any] = {}
        if isinstance(loop, asyncio.BaseEventLoop) and not _is_number(host):  # uvloop has no such
            more["happy_eyeballs_delay"] = SECOND_ADDRESS_S
        with _connecting():
            async with deadline(timeout):
                connected: tuple[Any, Wire] = await loop.create_connection(Wire, host, port, **more)
        return connected[1]


class Wire(asyncio.BufferedProtocol, httpcore.AsyncNetworkStream):
    """One connection: asyncio calls the upper half of it, httpcore the lower."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._buffer = bytearray(PIECE_BYTES)
        self._come: deque[bytes] = deque()
        self._held: list[bytes] = []
        self._is_full = self._is_ended = False
        self._error: Exception | None = None
        self._change: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what bytes are sent by."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        """Lend the buffer; asyncio's own way allocates 256 kB for each piece."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take a piece out of the buffer."""
        self._come.append(bytes(memoryview(self._buffer)[:nbytes]))
        if len(self._come) == MOST_PIECES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The peer sends no more; None closes the connection."""
        self._is_ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by us or by the peer, or broken."""
        self._is_ended, self._error = True, exc
        self._wake()

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._is_full = False
        self._wake()

    def _wake(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next piece, ``b""`` at the end."""
        if self._held:
            self._send_held()
        while not self._come:
            if self._error is not None:
                raise httpcore.ReadError(str(self._error)) from self._error
            if self._is_ended:
                return b""
            await self._changed(timeout, httpcore.ReadTimeout)
        if len(self._come) == MOST_PIECES:
            self._transport.resume_reading()
        return self._come.popleft()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hold what is short until the next ``read``, so that head and body go out together."""
        self._held.append(buffer)
        if sum(map(len, self._held)) > HELD_BYTES:
            self._send_held()
            while self._is_full and not self._is_ended:
                await self._changed(timeout, httpcore.WriteTimeout)

    def _send_held(self) -> None:
        self._transport.write(b"".join(self._held))
        self._held.clear()

    async def _changed(self, timeout: float | None, late: type[Exception]) -> None:
        """Wait for whatever comes next."""
        change = self._change = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, _fail, change, late)
        try:
            await change
        finally:
            if timer is not None:
                timer.cancel()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Wire:
        """Go on in TLS; behind a proxy that may be TLS inside TLS."""
        if sys.version_info < (3, 11) and self.get_extra_info("ssl_object") is not None:
            raise httpcore.ConnectError(
                "Python 3.10 opens no TLS inside TLS: take a proxy with http://, or Python 3.11"
            )
        self._send_held()
        with _connecting():
            async with deadline(timeout):
                self._transport = await self._loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        return self

    def get_extra_info(self, info: str) -> Any:
        """Answer what httpcore asks of a connection that lies idle: whether it was closed."""
        if info == "is_readable":
            sock = self._transport.get_extra_info("socket")
            return self._is_ended or bool(self._come) or _is_readable(sock)
        return self._transport.get_extra_info(info)

    async def aclose(self) -> None:
        """Say goodbye, which TLS has a word for, and close without waiting for an answer."""
        self._transport.close()
        await asyncio.sleep(0)
        self._transport.abort()
        await asyncio.sleep(0)


def _is_number(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _fail(change: asyncio.Future[None], late: type[Exception]) -> None:
    if not change.done():
        change.set_exception(late())


def _is_readable(sock: socket.socket) -> bool:
    """Ask the system: between two sync calls the loop does not run, and hears of nothing."""
    if not hasattr(select, "poll"):  # Windows, whose select takes any number of sockets
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise httpcore.ConnectTimeout from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
