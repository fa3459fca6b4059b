"""What every strategy (a plugin that wraps ``send``) must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_scillm.conformance.suite import Suite
from scillm import (
    APIError,
    BadRequestError,
    Call,
    InvalidResponse,
    Request,
    Response,
    Route,
    UnknownModelError,
    hookimpl,
    unfold,
)
from scillm.errors import StatusError

if TYPE_CHECKING:
    from scillm import Event, Kernel
    from scillm.calls import Sender


_MAY_PASS = (
    ConnectionError("cut"),
    TimeoutError("late"),
    StatusError(429, "", {"retry-after": "0"}),
    StatusError(503),
    InvalidResponse("odd"),
)


def answer(text: str) -> Response:
    """Make a whole answer that says *text*."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Response(
        {"id": "s-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


class Probe:
    """A provider that says back what it was asked, in pieces, and counts what happens to it."""

    __name__ = "probe"
    PROVIDERS = ("probe",)

    def __init__(
        self,
        error: Exception | None = None,
        fail_after: int = 0,
        has_sender: bool = True,
        hangs: bool = False,
    ) -> None:
        self.error, self.fail_after = error, fail_after
        self.has_sender, self.hangs = has_sender, hangs
        self.begun = self.closed = 0

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        model = call.model_for("probe")
        return None if model is None else Route(provider="probe", model=model)

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request:
        body = {"messages": list(call.messages)}
        return Request(
            route=route,
            url="probe:",
            body=body,
            read=lambda frame: (),
            frames="sse" if call.stream else "json",
        )

    @hookimpl
    def send(self) -> Sender | None:
        return self._send if self.has_sender else None

    async def _send(self, request: Request) -> AsyncGenerator[Event, None]:
        self.begun += 1
        try:
            if self.hangs:
                await asyncio.Event().wait()
            content = (request.body or {})["messages"][-1]["content"]
            whole = answer(content)
            pieces: list[Event] = list(unfold(whole)) if request.frames == "sse" else [whole]
            for number, piece in enumerate(pieces):
                await asyncio.sleep(0)
                if self.error is not None and number == self.fail_after:
                    raise self.error
                yield piece
        finally:
            self.closed += 1


class StrategyConformance(Suite):
    """Inherit, fill in the attributes, run pytest.

    Attributes:
        plugin: The plugin: its module, or its class (a fresh instance is made for each test).
        arguments: Options that switch the strategy on.
    """

    plugin: ClassVar[Any]
    arguments: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def kernel_of(self) -> Callable[[Probe], Kernel]:
        """Make a kernel of the strategy and a probe."""
        from scillm import Kernel

        plugin = self.plugin() if isinstance(self.plugin, type) else self.plugin
        return lambda probe: Kernel.of(plugin, probe)

    def _ask(self, kernel: Kernel, text: str = "hi", **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        return kernel.acompletion("probe/m", messages, **self.arguments, **more)

    def test_a_whole_answer_passes(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """What the provider says arrives, and who said it."""
        response = asyncio.run(self._ask(kernel_of(Probe()), "abc"))
        assert response.text == "abc"
        assert response.served_by == Route(provider="probe", model="m")

    def test_events_pass_in_order(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """A stream arrives piece by piece, complete and in order."""

        async def main() -> tuple[str, Any]:
            stream = await self._ask(kernel_of(Probe()), "abc", stream=True)
            return "".join([chunk.text async for chunk in stream]), stream.response

        text, response = asyncio.run(main())
        assert text == response.text == "abc"

    def test_a_permanent_error_comes_out_as_itself(
        self, kernel_of: Callable[[Probe], Kernel]
    ) -> None:
        """What no repetition can mend is raised as the provider's error, asked once."""
        probe = Probe(error=BadRequestError("no"))
        with pytest.raises(BadRequestError):
            asyncio.run(self._ask(kernel_of(probe)))
        assert probe.begun == probe.closed == 1

    def test_early_stop_closes_the_sender(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """A caller who leaves a stream closes what is under it at once."""
        probe = Probe()

        async def main() -> None:
            stream = await self._ask(kernel_of(probe), stream=True)
            await stream.aclose()
            assert probe.closed == probe.begun == 1

        asyncio.run(main())

    def test_cancelling_closes_the_sender(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """A cancelled call leaves nothing running."""
        probe = Probe(hangs=True)

        async def main() -> None:
            task = asyncio.ensure_future(self._ask(kernel_of(probe)))
            for _ in range(100):  # as many turns as a strategy may take to begin
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert probe.closed == probe.begun

        asyncio.run(main())

    @pytest.mark.parametrize("error", _MAY_PASS, ids=lambda error: type(error).__name__)
    def test_no_second_attempt_after_the_first_event(
        self, kernel_of: Callable[[Probe], Kernel], error: Exception
    ) -> None:
        """Once a piece was handed over, an error is raised: a repetition would say it twice."""
        probe = Probe(error=error, fail_after=1)

        async def main() -> list[str]:
            stream = await self._ask(kernel_of(probe), "abc", stream=True)
            seen: list[str] = []
            with pytest.raises(APIError):
                async for chunk in stream:
                    seen.append(chunk.text)  # noqa: PERF401  # what came before the error counts
            return seen

        assert asyncio.run(main()) == ["abc"]
        assert probe.begun == probe.closed == 1

    def test_leaves_nothing_alone(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """Where nobody answers ``send`` there is nothing to wrap, and the kernel says so."""
        with pytest.raises(UnknownModelError):
            asyncio.run(self._ask(kernel_of(Probe(has_sender=False))))

    def test_calls_do_not_mix(self, kernel_of: Callable[[Probe], Kernel]) -> None:
        """Twenty calls at a time each get their own answer."""

        async def main() -> list[str]:
            kernel = kernel_of(Probe())
            answers = await asyncio.gather(*(self._ask(kernel, str(n)) for n in range(20)))
            return [response.text for response in answers]

        assert asyncio.run(main()) == [str(n) for n in range(20)]
