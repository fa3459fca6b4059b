"""Time that passes at once, a kernel with the plugin, and an environment without settings."""

import asyncio
import os
import selectors

import pytest

import scillm_openai_like
from scillm import Kernel
from scillm_retry import Retry

MESSAGE = {"role": "assistant", "content": "ok"}
OK = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}


class Jump(selectors.DefaultSelector):
    """Waits for nothing: where a loop would wait, its clock is moved."""

    now_s = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "the loop waits for what never comes"
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds take no time and are exact."""

    def __init__(self):
        self.jump = Jump()
        super().__init__(self.jump)

    def time(self):
        return self.jump.now_s


class Clock:
    """Runs coroutines in virtual time; ``now_s`` is what its clock shows."""

    def __init__(self):
        self.loop = VirtualLoop()

    @property
    def now_s(self):
        return self.loop.time()

    def run(self, work):
        result = self.loop.run_until_complete(work)
        assert not asyncio.all_tasks(self.loop)
        return result


@pytest.fixture
def clock():
    """Virtual time."""
    clock = Clock()
    yield clock
    clock.loop.run_until_complete(clock.loop.shutdown_asyncgens())
    clock.loop.close()


@pytest.fixture
def ok():
    """A whole answer, as it comes over the wire."""
    return OK


@pytest.fixture
def longest():
    """Chance that always draws the longest wait, so that waits can be told exactly."""
    return lambda low, high: high


@pytest.fixture
def kernel(wire, longest):
    """The plugin, one provider, and the scripted wire."""
    return Kernel.of(wire, scillm_openai_like, Retry(draw=longest))


@pytest.fixture
def ask(kernel, clock):
    """Ask in virtual time; returns the answer, or raises what came."""

    def asked(**arguments):
        arguments = {"api_key": "sk-secret", **arguments}
        return clock.run(
            kernel.acompletion("openai/m", [{"role": "user", "content": "hi"}], **arguments)
        )

    return asked


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SCILLM_", "LITELLM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
