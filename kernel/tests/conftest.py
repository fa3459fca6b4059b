"""What the kernel's tests share: a provider in a dozen lines, and a clean environment."""

from __future__ import annotations

import signal

import pytest

from scillm import Kernel, Request, Response, Route, hookimpl, settings

ASK = [{"role": "user", "content": "hi"}]


def whole(text="hi", **message):
    """A whole answer in OpenAI's shape."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": "stop",
    }
    return Response(
        {
            "id": "r-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        }
    )


class Echo:
    """A provider that yields the events it was given, else what the user said."""

    __name__ = "echo"
    PROVIDERS = ("echo",)

    def __init__(self, *events, error=None):
        self.events, self.error = events, error
        self.calls, self.requests, self.closed = [], [], 0

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("echo")
        return None if model is None else Route(provider="echo", model=model, base_url="echo:")

    @hookimpl
    def prepare_request(self, call, route):
        self.calls.append(call)
        body = {"messages": list(call.messages), **call.params}
        return Request(
            route=route,
            url="echo:",
            body=body,
            headers={"x-key": call.api_key or ""},
            read=lambda f: (),
        )

    @hookimpl
    def send(self, request):
        return self._send if request.url == "echo:" else None

    async def _send(self, request):
        self.requests.append(request)
        try:
            for event in self.events or (whole(request.body["messages"][-1]["content"]),):
                yield event
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """A job in the background is started deaf to Ctrl-C, and its children with it; these hear."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(name="whole")
def _whole():
    """Make a whole answer."""
    return whole


@pytest.fixture(name="echoing")
def _echoing():
    """Make a provider that yields these events, and raises this error at the end."""
    return Echo


@pytest.fixture
def echo():
    """The provider."""
    return Echo()


@pytest.fixture
def kernel(echo):
    """A kernel of that provider alone."""
    return Kernel.of(echo)


@pytest.fixture(autouse=True)
def _no_dotenv(monkeypatch):
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    settings.dotenv.cache_clear()
    yield
    settings.dotenv.cache_clear()
