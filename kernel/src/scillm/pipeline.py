"""One call, from question to answer. Read this file first.

``Kernel.events`` is the whole idea: ask who answers, what to send, how to send it; then
pass on what comes. All else is a plugin that answers one of these questions or wraps
another's answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from attrs import evolve

from scillm import doors
from scillm.answers import Answer, Chunk, EmbeddingResponse, Event, ModelList, Response
from scillm.calls import NO_TIMEOUTS_GIVEN, Call, Request, Route
from scillm.errors import APIError, PluginError, ScillmError, UnknownModelError
from scillm.folding import Fold, no_event, unfold
from scillm.plugins import HOOKS, Plugins, past_machinery

T = TypeVar("T")
_SENDER: type[Any] = cast("type[Any]", Callable)


class Kernel:
    """Runs calls through one set of plugins. Holds no state of a call, so it can be shared.

    ``Kernel.installed()`` has every installed plugin, ``Kernel.of(a, b)`` exactly these. Two
    kernels in one process do not know of each other. Use it as a context manager, sync or
    async, or call ``close`` or ``aclose``, to give back connections.

    Args:
        plugins: The plugins to ask.
    """

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._hook: Any = plugins.manager.hook  # pluggy's relay, whose calls it cannot type

    @classmethod
    def installed(cls, *more: Any) -> Kernel:
        """Return a kernel with every installed plugin that is not blocked, and *more*.

        Raises:
            SettingError: A variable of one of them cannot be read.
        """
        plugins = Plugins.installed(*more)
        plugins.read_settings()
        return cls(plugins)

    @classmethod
    def of(cls, *plugins: Any) -> Kernel:
        """Return a kernel with exactly these plugins: modules, instances, or classes."""
        return cls(Plugins.of(*plugins))

    async def ask(self, call: Call) -> Answer:
        """Answer a call whole: the fold of its events."""
        folding = Fold()
        with _Blaming(self.plugins):
            async with aclosing(self.events(call)) as events:
                async for event in events:
                    folding.add(event)
        return self._finished(call, folding)

    def beneath(self, order: int) -> Kernel:
        """Return a kernel in which plugins whose ``ORDER`` is at most *order* do not wrap ``send``.

        The plugins are the same, and all their other hooks are asked. A strategy that answers
        by making other calls makes them there, so that what lies around it is not run twice.
        Closing that kernel closes the shared plugins.
        """
        outer = [i.name for i in self.plugins.infos.values() if i.is_active and i.order <= order]
        manager, inner = self.plugins.manager, Kernel(self.plugins)
        hooks = {name: getattr(self._hook, name) for name in HOOKS}
        around = [manager.get_plugin(name) for name in outer]
        hooks["send"] = manager.subset_hook_caller("send", around)
        inner._hook = SimpleNamespace(**hooks)
        return inner

    def stream(self, call: Call) -> Stream:
        """Answer a call piece by piece; ``.response`` holds the whole at the end."""
        return Stream(self, call)

    def events(self, call: Call) -> AsyncGenerator[Event, None]:
        """Return the events of an answer, unrefined; whoever takes them closes it."""
        route = self._asked("resolve_model", Route, call=call)
        request = self._asked("prepare_request", Request, call=call, route=route)
        if request.timeouts is NO_TIMEOUTS_GIVEN and call.timeouts is not NO_TIMEOUTS_GIVEN:
            request = evolve(request, timeouts=call.timeouts)
        sender = self._asked("send", _SENDER, call=call, request=request)
        events: AsyncGenerator[Event, None] = sender(request)
        return events

    def _asked(self, hook: str, kind: type[T], **arguments: Any) -> T:
        try:
            answer = getattr(self._hook, hook)(**arguments)
        except APIError as error:  # meant for the caller, to whom pluggy's frames say nothing
            raise error.with_traceback(past_machinery(error.__traceback__))  # noqa: B904  # the same
        except Exception as error:  # a plugin's bug must not look like the caller's
            who = self.plugins.blamed(error)
            raise PluginError(f"{who} failed in {hook}: {type(error).__name__}: {error}") from error
        if isinstance(answer, kind):
            return answer
        if answer is None:
            raise UnknownModelError(doors.nobody_answered(self.plugins, hook, **arguments))
        who = self.plugins.answering(hook, answer, arguments)
        raise PluginError(f"{who} answered {hook} with {answer!r}, which is no {kind.__name__}")

    def _finished(self, call: Call, folding: Fold) -> Answer:
        return self._asked("post_process", Answer, call=call, response=folding.answer())

    async def acompletion(
        self, model: str | None = None, messages: Any = (), **arguments: Any
    ) -> Any:
        """Ask for a chat completion; see ``scillm.completion``."""
        call = doors.chat(self.plugins, model, messages, **arguments)
        return await (self.stream(call).begun() if call.stream else self.ask(call))

    def completion(self, model: str | None = None, messages: Any = (), **arguments: Any) -> Any:
        """Ask for a chat completion from sync code; see ``scillm.completion``."""
        call = doors.chat(self.plugins, model, messages, **arguments)
        return self.stream(call).begun_sync() if call.stream else _run(self.ask(call))

    async def aembedding(self, model: str, input: Any, **arguments: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
        """Ask for the vectors of texts; see ``scillm.embedding``."""
        return await self.ask(doors.embedding(self.plugins, model, input, **arguments))  # type: ignore[return-value]

    def embedding(self, model: str, input: Any, **arguments: Any) -> EmbeddingResponse:  # noqa: A002  # OpenAI's name
        """Ask for the vectors of texts from sync code; see ``scillm.embedding``."""
        vectors: EmbeddingResponse = _run(self.aembedding(model, input, **arguments))
        return vectors

    async def amodels(self, provider: str, **arguments: Any) -> ModelList:
        """Ask a provider for its models; see ``scillm.models``."""
        return await self.ask(doors.models(self.plugins, provider, **arguments))  # type: ignore[return-value]

    def models(self, provider: str, **arguments: Any) -> ModelList:
        """Ask a provider for its models from sync code; see ``scillm.models``."""
        found: ModelList = _run(self.amodels(provider, **arguments))
        return found

    async def aclose(self) -> None:
        """Give back what the plugins hold; the kernel can be used again after.

        A plugin that fails to does not keep the others from it; the first error is raised last.
        """
        failed: list[Exception] = []
        for plugin in self.plugins.active():
            if (aclose := getattr(plugin, "aclose", None)) is not None:
                try:
                    await aclose()
                except Exception as error:  # noqa: BLE001  # raised below, when all had their turn
                    failed.append(error)
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Give back what the plugins hold, from sync code."""
        _run(self.aclose())

    async def __aenter__(self) -> Kernel:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Progress:
    """How far a stream has come. Apart from it, so that a forgotten stream can be collected."""

    def __init__(self) -> None:
        self.folding = Fold()
        self.response: Response | None = None


async def _pass_on(kernel: Kernel, call: Call, progress: _Progress) -> AsyncGenerator[Chunk, None]:
    has_all = "stream_options" in call.params  # else nobody expects a chunk without choices
    try:
        with _Blaming(kernel.plugins):
            async with aclosing(kernel.events(call)) as events:
                async for event in events:
                    for chunk in (event,) if isinstance(event, Chunk) else _cut(event):
                        progress.folding.add(chunk)
                        if has_all or chunk._raw.get("choices"):
                            yield chunk
    except APIError as error:
        error.partial = error.partial or progress.folding.answer()
        raise
    progress.response = kernel._finished(call, progress.folding)  # type: ignore[assignment]


class Stream:
    """An answer on its way: iterate it once, sync or async as it was made, then read ``response``.

    Leaving early needs ``aclose()`` (``close()`` in sync code), or a ``with`` block.
    """

    def __init__(self, kernel: Kernel, call: Call) -> None:
        self._progress = _Progress()
        self._chunks = _pass_on(kernel, call, self._progress)
        self._head: list[Chunk] = []
        self._pump: Any = None

    async def begun(self) -> Stream:
        """Wait for the first chunk, so that an error before it is raised here."""
        async for chunk in self._chunks:
            self._head.append(chunk)
            break
        return self

    def begun_sync(self) -> Stream:
        """Do as ``begun``, driven by the sync door."""
        from scillm._portal import Pump  # asyncio is only loaded where a call is made

        self._pump = Pump(self._chunks)
        self._head.extend(islice(self._pump, 1))
        return self

    @property
    def response(self) -> Response:
        """The whole answer; RuntimeError before the stream has ended."""
        if self._progress.response is None:
            raise RuntimeError(
                "the stream has not ended: iterate it to the end, then read .response"
            )
        return self._progress.response

    @property
    def partial(self) -> Response:
        """What has come so far, folded."""
        return self._progress.folding.answer()  # type: ignore[return-value]

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Chunk:
        if self._pump is not None:
            raise TypeError("this stream comes from completion(): iterate it with a plain `for`")
        if self._head:
            return self._head.pop()
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        """Leave early, or tidy up at the end: closes the connection if it is still in use."""
        if self._pump is not None:
            self.close()
            return
        self._head.clear()
        await self._chunks.aclose()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        if self._head:
            return self._head.pop()
        if self._pump is None:
            raise TypeError("this stream comes from acompletion(): iterate it with `async for`")
        chunk: Chunk = next(self._pump)
        return chunk

    def close(self) -> None:
        """Leave early, in sync code.

        Raises:
            TypeError: The stream comes from ``acompletion()``: await ``aclose()``.
        """
        if self._pump is None:
            raise TypeError("this stream comes from acompletion(): await its aclose()")
        self._head.clear()
        self._pump.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Blaming:
    """Names the plugin whose Sender let out an error that has no name."""

    __slots__ = ("plugins",)

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ScillmError):
            who = self.plugins.blamed(error)
            raise PluginError(
                f"the Sender of {who} failed: {type(error).__name__}: {error}"
            ) from error


def _cut(event: Event) -> Iterator[Chunk]:
    if isinstance(event, Response):
        return unfold(event)
    raise no_event(event)


def _run(work: Any) -> Any:
    from scillm._portal import run  # asyncio is only loaded where a call is made

    try:
        return run(work)
    except APIError as error:  # whose reader wants to know where it arose, not how we got there
        raise error.with_traceback(past_machinery(error.__traceback__))  # noqa: B904  # the same
