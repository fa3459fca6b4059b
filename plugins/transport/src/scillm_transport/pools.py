"""Clients kept per event loop, and closed with it.

A client of asyncio belongs to the loop that it was made on. Used on another it fails, or
hangs; so each loop has its own, made on first use. It is closed when the loop ends by
``asyncio.run`` (which closes the async generators of its loop: one of them is ours), or by
``aclose``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from attrs import define

C = TypeVar("C")
K = TypeVar("K", bound=Hashable)


@define(eq=False)
class _Pool(Generic[K, C]):
    clients: dict[K, C]
    lifetime: AsyncGenerator[None, None]


class Pools(Generic[K, C]):
    """The clients of one transport.

    Args:
        open_client: Makes a client for a key, such as a ``Connection``, on the loop that uses it.
        close_client: Closes one, on that loop.
    """

    def __init__(
        self, open_client: Callable[[K], C], close_client: Callable[[C], Awaitable[None]]
    ) -> None:
        self._open, self._close = open_client, close_client
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool[K, C]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()
        _all.add(self)

    def inherited(self) -> None:
        """In a forked child, keep the parent's clients for ever: closing them would harm it."""
        for loop in self._pools:
            loop.set_exception_handler(lambda loop, context: None)
            with contextlib.suppress(AttributeError):  # uvloop's, which has no attribute to set
                loop.is_closed = lambda: True  # type: ignore[method-assign]
        _kept.append(dict(self._pools))
        self._pools, self._lock = weakref.WeakKeyDictionary(), threading.Lock()

    def client(self, key: K) -> C:
        """Return the running loop's client for *key*."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            clients: dict[K, C] = {}
            pool = _Pool(clients, self._lifetime(loop, clients))
            _begin(pool.lifetime)
            with self._lock:
                self._pools[loop] = pool
        client = pool.clients.get(key)
        if client is None:
            client = pool.clients[key] = self._open(key)
        return client

    async def aclose(self) -> None:
        """Close the clients of this loop, and have every other loop that runs close its own."""
        with self._lock:
            pools = list(self._pools.items())
            self._pools.clear()  # who calls from now on gets new clients
        for loop, pool in pools:
            if loop is asyncio.get_running_loop():
                await pool.lifetime.aclose()
            elif loop.is_running():
                # Not waited for: that loop's thread may be the one that waits for us.
                asyncio.run_coroutine_threadsafe(_aclose(pool.lifetime), loop)

    async def _lifetime(
        self, loop: asyncio.AbstractEventLoop, clients: dict[K, C]
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                pool = self._pools.get(loop)
                if pool is not None and pool.clients is clients:
                    del self._pools[loop]
            for client in clients.values():
                await self._close(client)


_all: weakref.WeakSet[Pools[Any, Any]] = weakref.WeakSet()
_kept: list[object] = []


def _forked() -> None:
    for pools in list(_all):
        pools.inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def _aclose(lifetime: AsyncGenerator[None, None]) -> None:
    await lifetime.aclose()


def _begin(lifetime: AsyncGenerator[None, None]) -> None:
    """Run a generator to its first yield, which makes the running loop close it at its end."""
    try:
        lifetime.__anext__().send(None)
    except StopIteration:
        return
