"""The counts of this process at an address, for Prometheus to fetch.

A port belongs to the process and not to a kernel: kernels that name one share its server,
which stops when the last of them is closed.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from attrs import define, field

from scillm_telemetry.settings import MULTIPROC_DIR, in_environment

_lock = threading.Lock()
_servers: dict[tuple[str, int], Server] = {}


@define(eq=False)
class Server:
    """A server of counts, and who wants it."""

    key: tuple[str, int]
    httpd: Any
    thread: threading.Thread
    owners: set[int] = field(factory=set)
    is_open: bool = True

    @property
    def url(self) -> str:
        """Where the counts are."""
        host = f"[{self.key[0]}]" if ":" in self.key[0] else self.key[0]
        return f"http://{host}:{self.httpd.server_port}/metrics"


def serve(address: str, port: int, owner: object) -> Server:
    """Serve the counts for *owner*, or share the server that does.

    Raises:
        OSError: The port is taken, or the address is not this machine's.
    """
    from prometheus_client import start_http_server

    with _lock:
        server = _servers.get((address, port))
        if server is None:
            httpd, thread = start_http_server(port, address, registry=_registry())
            server = _servers[address, port] = Server((address, port), httpd, thread)
        server.owners.add(id(owner))
        return server


def release(server: Server, owner: object) -> None:
    """Want a server no longer; the last who does stops it."""
    with _lock:
        server.owners.discard(id(owner))
        if server.owners or _servers.get(server.key) is not server:
            return
        del _servers[server.key]
    server.httpd.shutdown()
    server.httpd.server_close()
    server.thread.join()


def _registry() -> Any:
    """Return the process's counts or, where several processes count together, those of all."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    if not in_environment(MULTIPROC_DIR):
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it has no annotations
    return together


def _forget() -> None:
    """In a forked child nobody serves what it has inherited: give the port back."""
    global _lock  # noqa: PLW0603  # the child's own: the parent's may be held for ever
    _lock = threading.Lock()
    for server in _servers.values():
        server.httpd.socket.close()
        server.is_open = False
    _servers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
