"""What these tests share: a provider whose deployments do as they are told, and a clock."""

import pytest

from scillm import Chunk, Kernel, Request, Response, Route, hookimpl
from scillm.errors import StatusError


def whole(text, tokens=5):
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"total_tokens": tokens}
    return Response({"object": "chat.completion", "choices": [choice], "usage": usage})


class Fleet:
    """A provider: a model answers by its name, or fails as ``fails`` says, step by step."""

    __name__ = "fleet"
    PROVIDERS = ("fleet",)

    def __init__(self):
        self.asked, self.calls, self.fails, self.gate = [], [], {}, None

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("fleet")
        return (
            None
            if model is None
            else Route(provider="fleet", model=model, base_url=call.api_base or "")
        )

    @hookimpl
    def prepare_request(self, call, route):
        self.calls.append(call)
        body = {"messages": list(call.messages), **call.params}
        return Request(
            route=route,
            url="fleet:",
            body=body,
            read=lambda f: (),
            frames="sse" if call.stream else "json",
        )

    @hookimpl
    def send(self, request):
        return self._send if request.url == "fleet:" else None

    async def _send(self, request):
        model = request.route.model
        self.asked.append(model)
        if self.gate is not None:
            await self.gate(model)
        steps = self.fails.get(model, [])
        step = steps.pop(0) if len(steps) > 1 else (steps or [None])[0]
        if step == "midway":
            yield Chunk({"choices": [{"index": 0, "delta": {"content": "be"}}]})
            raise ConnectionError("cut")
        if isinstance(step, int):
            step = StatusError(step)
        if step is not None:
            raise step
        yield whole(f"by {model}")


class Clock:
    """Seconds that the test sets."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def fleet():
    """The provider."""
    return Fleet()


@pytest.fixture
def clock():
    """The clock."""
    return Clock()


@pytest.fixture
def kernel(fleet):
    """A kernel of that provider alone: nothing retries."""
    return Kernel.of(fleet)
