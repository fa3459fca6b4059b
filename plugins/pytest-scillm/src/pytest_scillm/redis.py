"""A real Redis of a test's own: on loopback, in memory, killed and restarted at will."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

READY_S = 10.0


class RedisServer:
    """A ``redis-server`` on a free port; a context manager.

    ``kill`` ends it as a crash does, ``start`` brings it back on the same port with an empty
    memory.

    Raises:
        RuntimeError: There is no ``redis-server`` on the path, or it does not start.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as ``REDIS_URL`` wants it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(
                "no redis-server on the PATH: `make dev` brings one on Linux, or install your "
                "system's, such as Debian's redis-server"
            )
        self._folder = self._folder or tempfile.mkdtemp(prefix="redis-")
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly no".split()
        options += ["--logfile", str(Path(self._folder, "log"))]
        self._process = subprocess.Popen(  # noqa: S603  # our own options
            [program, *options, "--save", "", "--dir", self._folder]
        )
        self._wait()

    def kill(self) -> None:
        """End it without notice, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), self._connected() as client:
                client.sendall(b"PING\r\n")
                if client.recv(7) == b"+PONG\r\n":
                    return
            time.sleep(0.01)
        said = Path(self._folder, "log").read_text(encoding="utf-8", errors="replace")[-500:]
        self.kill()
        raise RuntimeError(f"redis-server did not answer in {READY_S:.0f} s; it said: {said}")

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=1.0)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
