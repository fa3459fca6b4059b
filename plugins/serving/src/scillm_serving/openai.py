"""An OpenAI-compatible server out of one function that answers, such as ``scillm.acompletion``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

from attrs import field, frozen

from scillm import Call, Response, Stream
from scillm_serving.refusals import Refused
from scillm_serving.routes import Asked, Events, Reply, Route

Answer: TypeAlias = Callable[..., Awaitable[Any]]
"""Takes the arguments of ``acompletion``; returns a Response, or a Stream that has begun."""

Models: TypeAlias = Callable[[], Awaitable[Iterable[Mapping[str, Any]]]]


@frozen
class ChatMessage:
    """One message of a conversation; fields besides are the model's to read."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


@frozen
class ChatRequest:
    """What a chat completion is asked by; fields besides are passed on.

    Source: https://platform.openai.com/docs/api-reference/chat/create, November 2026.
    """

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning: dict[str, Any] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None


@frozen
class ModelAnswer:
    """One model."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "scillm"


@frozen
class ModelsAnswer:
    """The models that there are."""

    data: list[ModelAnswer]
    object: str = "list"


def listed(*ids: str, **more: Any) -> Models:
    """Return a function that tells these models, for ``routes``; *more* stands in each entry."""
    created = int(time.time())
    made = [
        {"id": name, "object": "model", "created": created, "owned_by": "scillm", **more}
        for name in ids
    ]

    async def models() -> Iterable[Mapping[str, Any]]:
        return made

    return models


def routes(
    answer: Answer,
    models: Models | None = None,
    *,
    is_closed: bool = True,
    admit: Callable[[Asked[Any]], None] | None = None,
) -> tuple[Route, ...]:
    """Return the routes of chat completions and of the list of models, with and without ``/v1``.

    Args:
        answer: Answers a chat; ``scillm.acompletion`` and a kernel's are such functions.
        models: Tells the models, as in OpenAI's list; ``listed("a", "b")`` makes one. Without it
            there is no list, and any id is passed on.
        is_closed: Whether an id that is not in the list is refused by 404 here. Where it is not,
            *answer* sees to it.
        admit: Looks at a chat, its headers too, before anything is asked; raises ``Refused``.
    """
    server = _Chats(answer, models, is_closed, admit)
    chat = Route(
        path="/v1/chat/completions",
        aliases=("/chat/completions",),
        answer=server.chat,
        takes=ChatRequest,
        allows_unknown=True,
        schema_status=400,  # as OpenAI answers
        streams=True,
    )
    if models is None:
        return (chat,)
    return (
        chat,
        Route(
            path="/v1/models",
            aliases=("/models",),
            method="GET",
            answer=server.models,
            returns=ModelsAnswer,
        ),
        Route(
            path="/v1/models/{model:path}",
            aliases=("/models/{model:path}",),
            method="GET",
            answer=server.model,
            returns=ModelAnswer,
        ),
    )


def unknown_model(model: str) -> Refused:
    """Return what a model that there is not is answered with."""
    said = f"the model {model!r:.200} does not exist: /v1/models lists those that do"
    return Refused(404, said, code="model_not_found", param="model")


@frozen
class _Chats:
    _answer: Answer
    _models: Models | None = None
    _is_closed: bool = field(default=True)
    _admit: Callable[[Asked[Any]], None] | None = None

    async def models(self, asked: Asked[None]) -> Any:
        """List the models."""
        return {"object": "list", "data": list(await self._known())}

    async def model(self, asked: Asked[None]) -> Any:
        """Tell one model."""
        wanted = asked.path["model"]
        for model in await self._known():
            if model["id"] == wanted:
                return model
        raise unknown_model(wanted)

    async def _known(self) -> Iterable[Mapping[str, Any]]:
        return await self._models() if self._models is not None else ()

    async def chat(self, asked: Asked[ChatRequest]) -> Any:
        """Answer a conversation, whole or as a stream of events."""
        from scillm_dialects.openai_server import body_of, call_of

        if self._admit is not None:
            self._admit(asked)
        call = call_of(asked.raw)
        await self._check(call)
        answer = await self._answer(**arguments(call))
        if call.stream:
            return Events(_frames(answer))
        if isinstance(answer, Stream):
            answer = await _whole(answer)
        return Reply(body_of(answer))

    async def _check(self, call: Call) -> None:
        if not call.model.strip():
            raise Refused(400, "model is empty: name one", code="missing_model", param="model")
        if not call.messages:
            raise Refused(400, "messages is empty: say something", code="schema", param="messages")
        if self._models is None or not self._is_closed:
            return
        if call.model not in {model["id"] for model in await self._models()}:
            raise unknown_model(call.model)


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments of ``acompletion`` that a body amounts to."""
    return {
        "model": call.model,
        "messages": call.messages,
        "stream": call.stream,
        "extra_body": call.extra_body,
        **call.params,
    }


async def _whole(stream: Stream) -> Response:
    async with aclosing(stream):
        async for _ in stream:
            pass
        return stream.response


async def _frames(answer: Stream | Response) -> AsyncIterator[bytes]:
    from scillm.folding import unfold
    from scillm_dialects.openai_server import frame_of

    if isinstance(answer, Response):
        for chunk in unfold(answer):
            yield frame_of(chunk)
        return
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            yield frame_of(chunk)
