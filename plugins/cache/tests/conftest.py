"""What these tests share."""

import asyncio

import pytest

from scillm import Request, Response, Route, hookimpl, unfold

ASK = [{"role": "user", "content": "hi"}]


class Slow:
    """A provider that counts, and answers when it is let."""

    __name__ = "slow"
    PROVIDERS = ("slow",)

    def __init__(self):
        self.begun, self.errors, self.gate, self.says = 0, [], None, ""

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("slow")
        return None if model is None else Route(provider="slow", model=model, base_url="slow:")

    @hookimpl
    def prepare_request(self, call, route):
        body = {"model": route.model, "messages": list(call.messages), **call.params}
        if call.stream:
            body["stream"] = True
        return Request(
            route=route,
            url="slow:",
            body=body,
            read=lambda f: (),
            frames="sse" if call.stream else "json",
        )

    @hookimpl
    def send(self, request):
        return self._send if request.url == "slow:" else None

    async def _send(self, request):
        self.begun += 1
        number = self.begun
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        message = {"role": "assistant", "content": self.says or f"answer {number}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = Response(
            {
                "id": "a",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
        )
        for event in unfold(whole) if request.frames == "sse" else (whole,):
            yield event


@pytest.fixture
def slow():
    """The provider."""
    return Slow()


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("RUN_ID", "REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
