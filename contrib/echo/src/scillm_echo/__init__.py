"""A provider that says back what it was asked: the smallest plugin there is."""

import json

from scillm import Chunk, Request, Response, Route, hookimpl

PROVIDERS = ("echo",)


@hookimpl
def resolve_model(call):
    model = call.model_for("echo")
    return None if model is None else Route(provider="echo", model=model)


@hookimpl
def prepare_request(call, route):
    if route.provider != "echo":
        return None
    frames = "sse" if call.stream else "json"
    body = {"say": call.messages[-1]["content"], **call.params}
    return Request(
        route=route, url="echo:", body=body, read=_read, frames=frames, headers=call.headers
    )


def _read(frame):
    raw = json.loads(frame)
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": raw["tokens"],
        "total_tokens": raw["tokens"] + 1,
    }
    choice = {"index": 0, "finish_reason": raw["end"]}
    if "piece" in raw:
        return [
            Chunk({"choices": [{**choice, "delta": {"content": raw["piece"]}}], "usage": usage})
        ]
    return [
        Response(
            {
                "choices": [{**choice, "message": {"role": "assistant", "content": raw["said"]}}],
                "usage": usage,
            }
        )
    ]


@hookimpl
def send(request):
    return _send if request.url == "echo:" else None


async def _send(request):
    text = str(request.body["say"])
    answer = {"said": text, "tokens": len(text.split()), "end": "stop"}
    for event in request.events(json.dumps(answer).encode()):
        yield event
