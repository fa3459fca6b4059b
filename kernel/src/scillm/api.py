"""The module-level functions: one default kernel, made on first use, with all that is installed."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from scillm import doors
from scillm.answers import EmbeddingResponse, ModelList, Response
from scillm.pipeline import Kernel, Stream

if TYPE_CHECKING:
    from typing import TypeAlias

    Messages: TypeAlias = Iterable[Mapping[str, Any]]

_lock = threading.Lock()
_kernel: Kernel | None = None


def _forget() -> None:
    """In a forked child the parent's lock may be held for ever."""
    global _lock  # noqa: PLW0603  # the child's own
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def kernel() -> Kernel:
    """Return the process's default kernel: every installed plugin that is not blocked."""
    global _kernel  # noqa: PLW0603  # one default kernel per process, made when first needed
    with _lock:
        if _kernel is None:
            _kernel = Kernel.installed()
        return _kernel


@overload
def completion(
    model: str | None = ..., messages: Messages = ..., *, stream: Literal[True], **arguments: Any
) -> Stream: ...
@overload
def completion(
    model: str | None = ...,
    messages: Messages = ...,
    *,
    stream: Literal[False] = ...,
    **arguments: Any,
) -> Response: ...
def completion(model: str | None = None, messages: Messages = (), **arguments: Any) -> Any:
    """Ask for a chat completion and wait for it.

    Args:
        model: ``"provider/model"``, or the provider's own name together with
            *custom_llm_provider*; None takes ``SCILLM_MODEL``, else the default installed.
        messages: Chat messages in OpenAI's shape, oldest first; mappings or answers' messages.
        custom_llm_provider: Provider, named apart from the model.
        api_base: Address of the provider (also *base_url*), with or without ``/v1`` at the end.
        api_key: Key to send; None takes the provider's own variable. An authorization or
            x-api-key among *extra_headers* wins.
        extra_headers: Headers to send besides.
        timeout: Seconds that each request may take, and that a stream may pause; or a
            ``Timeouts``. Default 600. A call that is repeated makes several requests.
        stream: Whether to return a Stream of chunks as they come. Default no.
        temperature, top_p, max_tokens, max_completion_tokens, stop, seed, n, tools, tool_choice,
        response_format, reasoning, reasoning_effort, ...: OpenAI's parameters; None is unset.
        extra_body: Fields put into the request's body as they are.
        allowed_openai_params: Names to send even where the provider is not known to take them.
        metadata: Marks of your own, for plugins; not sent.
        **arguments: Options of plugins, as ``scillm env`` lists them.

    Returns:
        A Response; with ``stream=True`` a Stream, whose ``response`` holds the whole at the end.

    Raises:
        UnsupportedParamsError: An argument that nobody takes; the message names the nearest.
        APIError: The call failed; the subclass says how.
    """
    return kernel().completion(model, messages, **arguments)


@overload
async def acompletion(
    model: str | None = ..., messages: Messages = ..., *, stream: Literal[True], **arguments: Any
) -> Stream: ...
@overload
async def acompletion(
    model: str | None = ...,
    messages: Messages = ...,
    *,
    stream: Literal[False] = ...,
    **arguments: Any,
) -> Response: ...
async def acompletion(model: str | None = None, messages: Messages = (), **arguments: Any) -> Any:
    """Ask for a chat completion; the arguments are those of ``completion``."""
    return await kernel().acompletion(model, messages, **arguments)


def embedding(model: str, input: str | Iterable[Any], **arguments: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
    """Ask for the vectors of texts and wait for them.

    Args:
        model: ``"provider/model"``.
        input: One text, or several, or token ids.
        **arguments: As in ``completion``; ``dimensions``, ``encoding_format``, ``user``.
    """
    return kernel().embedding(model, input, **arguments)


async def aembedding(model: str, input: str | Iterable[Any], **arguments: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
    """Ask for the vectors of texts; the arguments are those of ``embedding``."""
    return await kernel().aembedding(model, input, **arguments)


def models(provider: str, **arguments: Any) -> ModelList:
    """Ask a provider for its models and wait for them.

    Args:
        provider: Its name, as before the slash in ``"provider/model"``.
        **arguments: ``api_base``, ``api_key``, ``extra_headers``, ``timeout``.
    """
    return kernel().models(provider, **arguments)


async def amodels(provider: str, **arguments: Any) -> ModelList:
    """Ask a provider for its models; the arguments are those of ``models``."""
    return await kernel().amodels(provider, **arguments)


async def aclose() -> None:
    """Give back what the default kernel holds: connections, child processes."""
    if _kernel is not None:
        await _kernel.aclose()


def close() -> None:
    """Give back what the default kernel holds, from sync code."""
    if _kernel is not None:
        _kernel.close()


# help() shows every argument that the doors read.
_shown = inspect.signature(partial(doors.chat, None))  # type: ignore[arg-type]  # never called
_shown = _shown.replace(return_annotation="Response | Stream")
vars(completion)["__signature__"] = vars(acompletion)["__signature__"] = _shown
