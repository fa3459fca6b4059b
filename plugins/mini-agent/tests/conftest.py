"""A model whose turns a test writes, as a provider; and a kernel of it."""

import json
import os
from collections import deque

import pytest

from scillm import Kernel, Request, Response, Route, hookimpl, settings


def says(text, **more):
    """A turn in which the model answers."""
    return {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}


def calls(*wanted, text=None, **more):
    """A turn in which the model calls tools: pairs of a name and its arguments."""
    made = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": made}
    return {"message": message, "finish_reason": "tool_calls", **more}


class Scripted:
    """A provider that says what the script has next; ``asked`` keeps what it was asked.

    A turn is a dict, an exception to raise, or a function of the request's body.
    """

    PROVIDERS = ("scripted",)

    def __init__(self, *turns):
        self.turns, self.asked = deque(turns), []

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("scripted")
        return None if model is None else Route(provider="scripted", model=model)

    @hookimpl
    def prepare_request(self, call, route):
        if route.provider != "scripted":
            return None
        body = {"model": route.model, "messages": list(call.messages), **call.params}
        return Request(route=route, url="scripted:", body=body, read=lambda frame: ())

    @hookimpl
    def send(self, request):
        return self._send if request.url == "scripted:" else None

    async def _send(self, request):
        self.asked.append(request.body)
        turn = self.turns.popleft()
        if callable(turn):
            turn = turn(request.body)
        if hasattr(turn, "__await__"):
            turn = await turn
        if isinstance(turn, Exception):
            raise turn
        turn = dict(turn)
        usage = turn.pop("usage", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
        extra = {"cost": turn.pop("cost")} if "cost" in turn else {}
        yield Response(
            {
                "id": "s",
                "object": "chat.completion",
                "created": 1,
                "model": request.route.model,
                "choices": [{"index": 0, **turn}],
                "usage": usage,
                **extra,
            }
        )


@pytest.fixture
def scripted():
    """Make a kernel whose model follows a script; the model is its attribute ``scripted``."""
    kernels = []

    def make(*turns):
        model = Scripted(*turns)
        kernel = Kernel.of(model)
        kernel.scripted = model
        kernels.append(kernel)
        return kernel

    make.says, make.calls = says, calls
    yield make
    for kernel in kernels:
        kernel.close()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    """No variable and no .env of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("SCILLM_", "LITELLM_", "MINI_AGENT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    settings.dotenv.cache_clear()
    yield
    settings.dotenv.cache_clear()
