"""The server: which of the three answers, and what else it is asked. Read this file first."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from attrs import frozen

from scillm import APIError, Kernel
from scillm.settings import boolean, variable
from scillm_codex_sidecar import COMMAND, ECHO, FORWARD_BASE, MODELS, auth
from scillm_codex_sidecar.limits import MAX_CONCURRENCY
from scillm_serving import Asked, Refused, Route, Rules, Server, openai
from scillm_serving.refusals import of_call

PORT = 8077
_HOPS = "x-scillm-hops"
_STRATEGIES = 359  # retry, cache, router are the client's business; how a key is sent is ours
_hops: ContextVar[str] = ContextVar("hops", default="")


@frozen(kw_only=True)
class Mode:
    """What answers.

    Attributes:
        name: ``"echo"``, ``"forward"`` or ``"cli"``.
        answer: Takes the arguments of ``acompletion``.
        models: Tells the models.
        is_closed: Whether there are no models but those.
        close: Gives back what it holds.
    """

    name: str
    answer: Callable[..., Awaitable[Any]]
    models: openai.Models
    is_closed: bool
    close: Callable[[], Awaitable[None]]


def make(rules: Rules) -> Any:
    """Return the app."""
    from scillm_serving.apps import application

    me = uuid.uuid4().hex
    mode = chosen(me)

    async def health(asked: Asked[None]) -> dict[str, Any]:
        """Say that it is well, and what answers."""
        return {
            "ok": True,
            "mode": mode.name,
            "concurrency": MAX_CONCURRENCY.value(),
            "auth_present": auth.is_present(),
            "forward_mode": mode.name == "forward",
        }

    def admit(asked: Asked[Any]) -> None:
        hops = asked.headers.get(_HOPS, "")
        if me in hops.split(","):
            raise Refused(
                508,
                "the sidecar forwards to itself: set CODEX_FORWARD_BASE to another server",
                code="loop_detected",
            )
        _hops.set(hops)

    return application(
        [
            Route(path="/healthz", method="GET", answer=health, is_open=True),
            *openai.routes(mode.answer, mode.models, is_closed=mode.is_closed, admit=admit),
        ],
        rules,
        title="codex sidecar",
        close=mode.close,
    )


def chosen(me: str) -> Mode:
    """Return what answers, as the settings say.

    Args:
        me: This server's own mark, by which it knows what it has forwarded itself.
    """
    told = ECHO.value() or variable("CODEX_ECHO_MODE") or ""
    has_other = bool(FORWARD_BASE.value() or COMMAND.value())
    if boolean(told) if told else not has_other:
        from scillm_codex_sidecar import echo

        return _of_own("echo", echo)
    if FORWARD_BASE.value():
        return _forward(me)
    from scillm_codex_sidecar.command import Command

    return _of_own("cli", Command())


def _of_own(name: str, plugin: Any) -> Mode:
    kernel = Kernel.of(plugin)
    ids = [each.strip() for each in MODELS.value().split(",") if each.strip()]
    models = openai.listed(*ids, capabilities={"chat": True})
    return Mode(
        name=name,
        answer=kernel.acompletion,
        models=models,
        is_closed=True,
        close=kernel.aclose,
    )


def _forward(me: str) -> Mode:
    from scillm_codex_sidecar import upstream

    whole = Kernel.installed(upstream)
    kernel, name = whole.beneath(_STRATEGIES), upstream.PROVIDERS[0]

    def on_the_way() -> dict[str, str]:
        return {_HOPS: ",".join(filter(None, (_hops.get(), me)))}

    async def answer(**arguments: Any) -> Any:
        try:
            return await kernel.acompletion(
                **arguments, custom_llm_provider=name, extra_headers=on_the_way()
            )
        except APIError as error:
            raise _with_hint(error) from error

    async def models() -> Iterable[Mapping[str, Any]]:
        try:
            found = await kernel.amodels(name, extra_headers=on_the_way())
        except APIError as error:
            raise _with_hint(error) from error
        return [_with_capabilities(each) for each in found.to_dict()["data"]]

    return Mode(name="forward", answer=answer, models=models, is_closed=False, close=whole.aclose)


def _with_hint(error: APIError) -> Refused:
    from scillm_codex_sidecar.upstream import hint

    refused = of_call(error)
    if more := hint(refused.status):
        refused.message = f"{refused.message}. Hint: {more}"
    return refused


def _with_capabilities(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Guess from its name whether a model chats, where the upstream does not say."""
    others = ("embed", "whisper", "tts", "rerank", "moderation", "dall-e")
    chats = not any(word in str(model.get("id", "")).lower() for word in others)
    return {**model, "capabilities": {"chat": chats, **(model.get("capabilities") or {})}}


SERVER = Server(make=make, port=PORT, summary="the sidecar of codex-agent")


def __getattr__(name: str) -> Any:
    if name == "app":  # for uvicorn: made when it asks, with what is set then
        made = globals()["app"] = make(Rules.set_by_environment())
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
