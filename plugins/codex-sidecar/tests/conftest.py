"""The sidecar on loopback, run by uvicorn in a thread of the test's process."""

import asyncio
import contextlib
import threading
import time

import httpx
import openai
import pytest

from scillm import settings
from scillm_codex_sidecar import server
from scillm_serving import Rules
from scillm_serving.running import _listening

VARIABLES = [
    "CODEX_SIDECAR_ECHO",
    "CODEX_ECHO_MODE",
    "CODEX_FORWARD_BASE",
    "CODEX_FORWARD_TOKEN",
    "CODEX_CMD",
    "CODEX_INPUT_MODE",
    "CODEX_PROMPT_FLAG",
    "CODEX_SIDECAR_MODELS",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "CHUTES_API_KEY",
    "CHUTES_API_BASE",
    "CODEX_API_KEY",
    "MAX_CONCURRENCY",
    "ABS_TIMEOUT_S",
    "IDLE_TIMEOUT_S",
    "RETRIES",
]


class Running:
    """A sidecar that runs; ``base`` is its address."""

    def __init__(self, make, rules):
        import uvicorn

        self._socket = _listening("127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._make = make
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(uvicorn, rules)))
        self.server = None
        self._thread.start()
        while not (self.server and self.server.started) and self._thread.is_alive():
            time.sleep(0.005)

    async def _serve(self, uvicorn, rules):
        config = uvicorn.Config(self._make(rules), log_config=None, timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(config)
        await self.server.serve(sockets=[self._socket])

    def stop(self):
        self.server.should_exit = True
        self._thread.join(20)
        self._socket.close()


@pytest.fixture
def sidecar(monkeypatch, tmp_path):
    """Start a sidecar with these variables and no others of its own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    monkeypatch.setenv("CODEX_AUTH_PATH", str(tmp_path / "auth.json"))
    settings.dotenv.cache_clear()
    with contextlib.ExitStack() as stack:

        def start(**variables):
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            running = Running(server.make, Rules())
            stack.callback(running.stop)
            return running

        yield start
    settings.dotenv.cache_clear()


@pytest.fixture
def client():
    """OpenAI's own client, for a sidecar."""
    with contextlib.ExitStack() as stack:

        def make(running, key="none"):
            made = openai.OpenAI(base_url=running.base, api_key=key, max_retries=0, timeout=20)
            return stack.enter_context(made)

        yield make


@pytest.fixture
def get():
    """Ask for a path."""
    with httpx.Client(timeout=20) as made:
        yield lambda running, path: made.get(f"{running.base}{path}")
