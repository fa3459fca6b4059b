"""How the model is asked: one call through a kernel, whole or piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm.answers import plain

if TYPE_CHECKING:
    from scillm import Kernel, Response

_LEAST_SENT = ("role", "content")


@frozen
class Reply:
    """What the model said in one turn."""

    content: str | None
    calls: list[dict[str, Any]]
    finish_reason: str | None
    model: str | None
    usage: dict[str, Any] | None
    cost_usd: float | None


Ask = Callable[
    [str | None, Sequence[Mapping[str, Any]], Mapping[str, Any], Callable[[str], None] | None],
    Awaitable[Reply],
]


def asker(kernel: Kernel | None) -> Ask:
    """Return what asks a model through *kernel*, the process's own if it is None."""

    async def ask(
        model: str | None,
        messages: Sequence[Mapping[str, Any]],
        arguments: Mapping[str, Any],
        say: Callable[[str], None] | None,
    ) -> Reply:
        if kernel is None:
            from scillm import api

            asked = api.kernel()
        else:
            asked = kernel
        if say is None:
            return _read(await asked.acompletion(model, messages, **arguments))
        stream = await asked.acompletion(model, messages, stream=True, **arguments)
        async with stream:
            async for chunk in stream:
                if chunk.text:
                    say(chunk.text)
            return _read(stream.response)

    return ask


def plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a message as plain dicts, of an answer's only what is set."""
    copied: dict[str, Any] = plain(message)
    return {k: v for k, v in copied.items() if v is not None or k in _LEAST_SENT}


def _read(answer: Response) -> Reply:
    choice = answer.choices[0] if answer.choices else None
    message = choice.message if choice else None
    calls = plain(message.get("tool_calls")) if message else None
    served = answer.served_by
    named = f"{served.provider}/{served.model}" if served else answer.model
    return Reply(
        content=message.content if message else None,
        calls=calls or [],
        finish_reason=choice.finish_reason if choice else None,
        model=named,
        usage=answer.usage.to_dict() if answer.usage else None,
        cost_usd=answer.cost,
    )
