"""Real servers on loopback, run by uvicorn in a thread of the test's process."""

import asyncio
import contextlib
import threading
import time

import httpx
import pytest

from scillm_serving import Rules, application
from scillm_serving.running import _listening, configured


class Running:
    """A server that runs; ``base`` is its address."""

    def __init__(self, app, rules):
        import uvicorn

        self._socket = _listening("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.server = uvicorn.Server(configured(app, rules))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve(sockets=[self._socket]))
        )
        self._thread.start()
        while not self.server.started and self._thread.is_alive():
            time.sleep(0.005)

    def stop(self):
        self.server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def serve():
    """Serve routes under rules; everything ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(routes, **rules):
            made = Rules(**{"graceful_s": 5, **rules})
            running = Running(application(routes, made, title="a test"), made)
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def client():
    """Asks servers."""
    with httpx.Client(timeout=20) as made:
        yield made
