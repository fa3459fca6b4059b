"""The endpoint as a thing that tests start and look into."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING

from .connection import Connection, Ledger
from .grammar import parse_options

if TYPE_CHECKING:
    import ssl

    from .certificate import Certificate
    from .wire import Received

LOOPBACK = "127.0.0.1"


def new_loop(*, uvloop: bool = True) -> asyncio.AbstractEventLoop:
    """An event loop of uvloop's if it is installed, else asyncio's.

    Args:
        uvloop: whether to look for it.
    """
    if uvloop:
        # By name, so that type checkers do not ask for what is optional.
        with contextlib.suppress(ImportError):
            fast: asyncio.AbstractEventLoop = import_module("uvloop").new_event_loop()
            return fast
    return asyncio.new_event_loop()


async def listen(
    ledger: Ledger, port: int = 0, context: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Listen on loopback.

    Args:
        ledger: where requests are counted.
        port: the port; 0 is any that is free.
        context: for TLS.

    Returns:
        The server; its socket tells the port.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(ledger), LOOPBACK, port, ssl=context, backlog=4096
    )


def port_of(server: asyncio.Server) -> int:
    """The port on which a server listens."""
    return int(server.sockets[0].getsockname()[1])


class Endpoint:
    """An OpenAI-compatible endpoint on loopback, on a thread of its own.

    ```python
    with Endpoint() as endpoint:
        base = endpoint.url("s429.ok-ra1")
        ...  # any client with this base URL
        assert endpoint.requests[-1].headers["authorization"] == "Bearer sk-mock"
    ```

    Args:
        tls: serve https with a certificate of an authority made for this endpoint
            (needs `trustme`: the extra `tls`).
        keep: how many of the latest requests are kept for looking at.
        uvloop: use uvloop if it is installed.
    """

    def __init__(self, *, tls: bool = False, keep: int = 1000, uvloop: bool = True) -> None:
        self._ledger = Ledger(deque(maxlen=keep))
        self._ids = itertools.count(1)
        self._uvloop = uvloop
        self._certificate: Certificate | None = None
        if tls:
            from .certificate import Certificate

            self._certificate = Certificate()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    def __enter__(self) -> Endpoint:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start listening; returns when connections are taken."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="scillm-endpoint", daemon=True
        )
        self._thread.start()
        if not ready.wait(30) or not self._port:
            raise RuntimeError(
                "the endpoint did not start within 30 s; the thread's error is above"
            )

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._thread = None
        if self._certificate is not None:
            self._certificate.remove()

    @property
    def origin(self) -> str:
        """Scheme, host and port: `http://127.0.0.1:41235`."""
        return f"{'https' if self._certificate else 'http'}://{self.host}"

    @property
    def host(self) -> str:
        """Host and port: `127.0.0.1:41235`."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def ca_path(self) -> str:
        """The file (PEM) of the authority to trust, of an endpoint with TLS."""
        if self._certificate is None:
            raise RuntimeError("the endpoint serves http; Endpoint(tls=True) has a certificate")
        return self._certificate.ca_path

    def url(self, options: str = "") -> str:
        """A base URL that behaves as the options say, ending in `/v1`.

        Each call gives an URL with counters of its own, so a script always starts at its beginning.

        Args:
            options: see the package's docstring; "" answers well and at once.

        Raises:
            ValueError: an option that does not exist.
        """
        parse_options(options)
        joined = "-".join(filter(None, [options, f"id{next(self._ids)}"]))
        return f"{self.origin}/o/{joined}/v1"

    @property
    def requests(self) -> tuple[Received, ...]:
        """The latest requests, oldest first."""
        return tuple(self._ledger.log.copy())

    def requests_to(self, url: str) -> tuple[Received, ...]:
        """The requests below one URL that `url` gave, oldest first."""
        path = url.removeprefix(self.origin)
        return tuple(request for request in self.requests if request.path.startswith(path + "/"))

    @property
    def connections(self) -> int:
        """How many connections were made since the start or the last `reset`."""
        return self._ledger.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._ledger.open)

    def reset(self) -> None:
        """Forget requests and counters; scripts start anew."""
        self._ledger.reset()

    def wait_until(self, condition: Callable[[Endpoint], bool], timeout_s: float = 5.0) -> bool:
        """Wait for something that the endpoint sees a moment after the client did it.

        Args:
            condition: for example `lambda endpoint: endpoint.open_connections == 0`.
            timeout_s: seconds after which to give up.

        Returns:
            Whether it came true.
        """
        end_s = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition(self):
            if time.monotonic() > end_s:
                return False
            pause.wait(0.002)
        return True

    def _run(self, ready: threading.Event) -> None:
        """The thread: one loop from start to stop."""
        loop = self._loop = new_loop(uvloop=self._uvloop)
        try:
            loop.run_until_complete(self._serve(ready))
        finally:
            ready.set()
            loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        context = self._certificate.context if self._certificate else None
        server = await listen(self._ledger, context=context)
        self._port = port_of(server)
        ready.set()
        await self._stop.wait()
        server.close()
        await _close_connections(self._ledger)


async def _close_connections(ledger: Ledger) -> None:
    """Close what is open, so that no socket outlives the endpoint."""
    for connection in list(ledger.open):
        connection.abort()
    while ledger.open:  # noqa: ASYNC110  # once, at the end: an event would cost each connection
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.001)  # the tasks that these connections cancelled end
