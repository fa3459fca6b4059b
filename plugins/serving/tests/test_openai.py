import asyncio
import threading

import httpx
import openai
import pytest

from scillm import (
    Chunk,
    Kernel,
    RateLimitError,
    Request,
    Response,
    Route,
    Secret,
    Timeout,
    hookimpl,
)
from scillm_serving import openai as serving

MESSAGES = [{"role": "user", "content": "hi there"}]
USAGE = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


class Parrot:
    """A provider that says back what it is asked, word by word."""

    PROVIDERS = ("parrot",)

    def __init__(self):
        self.asked, self.closed = [], threading.Event()

    @hookimpl
    def resolve_model(self, call):
        return Route(provider="parrot", model=call.model)

    @hookimpl
    def prepare_request(self, call, route):
        self.asked.append(call)
        body = {"text": call.messages[-1]["content"], "model": route.model}
        return Request(route=route, url="parrot:", body=body, read=lambda frame: ())

    @hookimpl
    def send(self, request):
        return self._send

    async def _send(self, request):
        try:
            text, model = request.body["text"], request.body["model"]
            if model == "limited":
                raise RateLimitError("slowly")
            if model == "late":
                raise Timeout("too late")
            head = {"id": "p-1", "created": 1, "model": model, "object": "chat.completion.chunk"}
            for word in text.split(" "):
                choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                yield Chunk({**head, "choices": [choice]})
                if model == "endless":
                    await asyncio.sleep(60)
            end = {"index": 0, "delta": {}, "finish_reason": "stop"}
            yield Chunk({**head, "choices": [end]})
            yield Chunk({**head, "choices": [], "usage": USAGE})
        finally:
            self.closed.set()


@pytest.fixture
def parrot():
    """A provider that remembers what it was asked."""
    return Parrot()


@pytest.fixture
def running(serve, parrot):
    """An OpenAI-compatible server in front of the parrot."""
    kernel = Kernel.of(parrot)
    known = serving.listed("parrot-1", "limited", "late", "endless", "org/name")
    return serve(serving.routes(kernel.acompletion, known), token=Secret("sk-right"))


def official(running, key="sk-right", path="/v1"):
    """OpenAI's own client."""
    return openai.OpenAI(base_url=f"{running.base}{path}", api_key=key, max_retries=0, timeout=20)


@pytest.mark.parametrize("path", ["/v1", ""])
def test_the_official_client_lists_asks_and_streams(running, path):
    """With and without /v1 in its address."""
    with official(running, path=path) as client:
        assert client.models.list().data[0].id == "parrot-1"
        assert client.models.retrieve("org/name").id == "org/name"
        whole = client.chat.completions.create(model="parrot-1", messages=MESSAGES)
        assert whole.choices[0].message.content == "hithere"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage.total_tokens == 4
        with client.chat.completions.create(
            model="parrot-1",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            chunks = list(stream)
        words = [c.choices[0].delta.content for c in chunks if c.choices]
        assert words == ["hi", "there", None]
        assert chunks[-1].usage.total_tokens == 4


def test_every_parameter_reaches_the_one_who_answers(running, parrot):
    """OpenAI's as parameters, others in the body that is sent on."""
    with official(running) as client:
        client.chat.completions.create(
            model="parrot-1",
            messages=MESSAGES,
            temperature=0.5,
            n=2,
            stop=["x"],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
            extra_body={"of_my_own": [1]},
        )
    call = parrot.asked[0]
    assert (call.params["temperature"], call.params["n"], call.params["stop"]) == (0.5, 2, ["x"])
    assert call.params["tools"][0]["function"]["name"] == "f"
    assert call.extra_body == {"of_my_own": [1]}


@pytest.mark.parametrize(
    ("model", "key", "error"),
    [
        ("parrot-2", "sk-right", (openai.NotFoundError, "model_not_found")),
        ("parrot-1", "sk-wrong", (openai.AuthenticationError, "invalid_api_key")),
        ("limited", "sk-right", (openai.RateLimitError, "rate_limit")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_those_that_the_official_client_knows(running, model, key, error, stream):
    """An error before the first piece has its status, also where a stream was asked for."""
    with official(running, key) as client, pytest.raises(error[0]) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    assert caught.value.code == error[1]


def test_an_upstream_that_is_late_is_a_gateway_that_is_late(running):
    """504 and not 408: it was not the client who was slow."""
    with official(running) as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="late", messages=MESSAGES)
    assert caught.value.status_code == 504


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "parrot-1"}, "messages"),
        ({"messages": MESSAGES}, "model"),
        ({"model": "parrot-1", "messages": []}, "messages"),
        ({"model": "", "messages": MESSAGES}, "model"),
        ({"model": "parrot-1", "messages": "hi"}, "messages"),
        ({"model": "parrot-1", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "parrot-1", "messages": MESSAGES, "stream": "yes"}, "stream"),
    ],
)
def test_a_malformed_body_is_a_bad_request_that_says_where(running, body, param):
    """In OpenAI's shape."""
    headers = {"authorization": "Bearer sk-right"}
    answer = httpx.post(f"{running.base}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_the_call_is_ended_when_its_client_leaves(running, parrot):
    """Mid-stream."""
    with official(running) as client:
        stream = client.chat.completions.create(model="endless", messages=MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
    assert parrot.closed.wait(10)


def test_a_whole_answer_is_cut_into_pieces_for_who_asked_for_a_stream(serve):
    """And a function that knows no models takes any."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "whole"},
        "finish_reason": "stop",
    }

    async def answer(**arguments):
        return Response({"id": "w", "object": "chat.completion", "choices": [choice]})

    running = serve(serving.routes(answer))
    with official(running) as client:
        stream = client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream) == "whole"
    assert httpx.get(f"{running.base}/v1/models").status_code == 404
