"""Whoever leaves, at whatever step, leaves nothing behind: no task, socket, turn or flight."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import suppress

import pytest

from scillm import APIError, Kernel, Request, Response, Route, Timeout, hookimpl, unfold
from scillm.errors import StatusError
from scillm_auth import Auth
from scillm_cache import Caching, Replay
from scillm_hedge import Hedge
from scillm_json_mode import JsonMode
from scillm_pacing import Pacing
from scillm_retry import Retry

# Each of the first steps; where timers are waited for, steps are many, and few of them matter.
STEPS = [*range(150), *(int(150 * 1.5**n) for n in range(1, 16))]
SETTLED_S = 5.0
ASK = [{"role": "user", "content": "hi"}]
WORDS = '```json\n{"ok": true}\n```'


class Counting:
    """A provider that awaits often, may fail first, and counts what is under way."""

    __name__ = "counting"
    PROVIDERS = ("counting",)

    def __init__(self):
        self.under_way, self.begun, self.failures = 0, 0, 0
        self.hangs = False

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("counting")
        return model and Route(provider="counting", model=model, base_url="counting:")

    @hookimpl
    def prepare_request(self, call, route):
        if route.provider != "counting":
            return None
        frames = "sse" if call.stream else "json"
        body = {"messages": list(call.messages), **call.params}
        headers = {"authorization": "Bearer sk1"}
        return Request(
            route=route, url="counting:", body=body, headers=headers, read=tuple, frames=frames
        )

    @hookimpl
    def send(self, request):
        return self._send if request.url == "counting:" else None

    async def _send(self, request):
        self.under_way += 1
        self.begun += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if self.hangs:
                await asyncio.Event().wait()
            if self.failures:
                self.failures -= 1
                raise StatusError(429 if self.failures % 2 else 401, "", {"retry-after": "0"})
            message = {"role": "assistant", "content": WORDS}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = Response({"object": "chat.completion", "model": "m", "choices": [choice]})
            for event in unfold(whole) if request.frames == "sse" else (whole,):
                await asyncio.sleep(0)
                yield event
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.under_way -= 1


PACED = {
    "SCILLM_RATE_LIMIT_QPS": "1000",
    "SCILLM_RATE_LIMIT_RPM": "100000",
    "SCILLM_RATE_LIMIT_TPM": "100000000",
    "SCILLM_MAX_CONCURRENCY": "2",
    "SCILLM_COOLDOWN_429_S": "0.001",
}
JSON = {"response_format": {"type": "json_object"}, "auto_json_sanitize": True}
SINGLY = {
    "retry": (Retry, {"max_retries": 5, "retry_after": 0.0}, {}),
    "auth": (Auth, {}, {}),
    "cache": (Caching, {"cache": True}, {}),
    "hedge": (Hedge, {"hedge_delay_ms": 0}, {}),
    "pacing": (Pacing, {}, PACED),
    "json": (JsonMode, JSON, {}),
}
ALL = {
    "all": (
        [each[0] for each in SINGLY.values()],
        {name: value for each in SINGLY.values() for name, value in each[1].items()},
        {name: value for each in SINGLY.values() for name, value in each[2].items()},
    )
}
STACKS = {name: ([plugin], more, env) for name, (plugin, more, env) in SINGLY.items()} | ALL


class Stack:
    """Strategies around the provider, and what must be empty when nothing is under way."""

    def __init__(self, plugins, more):
        self.provider, self.more = Counting(), more
        self.plugins = [plugin() for plugin in plugins]
        self.kernel = Kernel.of(*self.plugins, self.provider)
        self.numbers = itertools.count()

    async def ask(self, content, *, stream):
        messages = [{"role": "user", "content": content}]
        answer = await self.kernel.acompletion("counting/m", messages, stream=stream, **self.more)
        if not stream:
            return answer.text
        async with answer:
            return "".join([chunk.text async for chunk in answer])

    async def settle(self):
        """Wait until what was cancelled has closed what it opened."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, left = await asyncio.wait(others, timeout=SETTLED_S)
            assert not left

    def assert_clean(self):
        assert len(asyncio.all_tasks()) == 1
        assert self.provider.under_way == 0
        for plugin in self.plugins:
            if isinstance(plugin, Caching):
                assert len(plugin._flights) == 0
            if isinstance(plugin, Pacing):
                for place in plugin._places.values():
                    for turnstile in (place.slots, place.queue):
                        assert (turnstile._inside, len(turnstile._waiting)) == (0, 0)


@pytest.fixture(params=STACKS)
def stack_of(request, monkeypatch):
    """Make one of the stacks."""
    plugins, more, env = STACKS[request.param]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return lambda: Stack(plugins, more)


@pytest.mark.parametrize("failures", [0, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_cancelled_at_any_step_leaves_nothing(stack_of, stream, failures):
    """Step by step of the event loop until the call ends by itself; then the next call works."""

    async def at(steps):
        stack = stack_of()
        stack.provider.failures = failures
        task = asyncio.ensure_future(stack.ask("x", stream=stream))
        for _ in range(steps):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError, APIError):
            await task
        assert was_done or task.cancelled(), "the cancellation was swallowed"
        await stack.settle()
        stack.assert_clean()
        stack.provider.failures = 0
        assert WORDS[8:19] in await stack.ask("x", stream=stream)
        await stack.settle()
        stack.assert_clean()
        await stack.kernel.aclose()
        return was_done

    for steps in STEPS:
        if asyncio.run(at(steps)):
            return
    pytest.fail("the call takes more steps than any call should")


def test_one_of_many_that_is_cancelled_takes_nothing_from_the_others(stack_of):
    """Identical and different calls together; whoever leads, queues or waits may go."""

    async def at(steps, victim):
        stack = stack_of()
        contents = ["same", "same", "a", "b", "same"]
        tasks = [
            asyncio.ensure_future(stack.ask(content, stream=number % 2 == 1))
            for number, content in enumerate(contents)
        ]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[victim].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for number, answer in enumerate(done):
            if number == victim and isinstance(answer, asyncio.CancelledError):
                continue
            assert WORDS[8:19] in answer
        await stack.settle()
        stack.assert_clean()
        await stack.kernel.aclose()

    for steps in range(0, 60, 3):
        for victim in range(5):
            asyncio.run(at(steps, victim))


def test_a_stream_that_is_left_after_any_piece_leaves_nothing(stack_of):
    """By aclose, in the middle of a loop."""

    async def after(pieces):
        stack = stack_of()
        stream = await stack.kernel.acompletion("counting/m", ASK, stream=True, **stack.more)
        async with stream:
            for _ in range(pieces):
                await anext(stream)
        stack.assert_clean()
        assert WORDS[8:19] in await stack.ask("hi", stream=False)
        stack.assert_clean()
        await stack.kernel.aclose()

    for pieces in range(3):
        asyncio.run(after(pieces))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("budget_s", [1e-9, 0.001, 0.02, 0.06])
def test_a_budget_that_ends_in_the_middle_leaves_nothing(monkeypatch, stream, budget_s):
    """The attempt is cut, whatever stands around it, and whoever asked goes on."""
    plugins, more, env = STACKS["all"]
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    async def main():
        stack = Stack(plugins, {**more, "retry_time_budget_s": budget_s})
        stack.provider.hangs = True
        with pytest.raises(Timeout, match="all attempts may take"):
            await stack.ask("x", stream=stream)
        stack.assert_clean()
        await asyncio.sleep(0.001)
        stack.provider.hangs = False
        stack.more = more
        assert WORDS[8:19] in await stack.ask("x", stream=stream)
        stack.assert_clean()
        await stack.kernel.aclose()

    asyncio.run(main())


def test_a_call_that_is_cancelled_while_it_asks_redis_leaves_nothing(redis_server, monkeypatch):
    """Neither a connection in the middle of an answer nor a turn."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    for name, value in PACED.items():
        monkeypatch.setenv(name, value)

    async def main():
        stack = Stack([Caching, Pacing], {"cache": True})
        await stack.ask("begin", stream=False)
        for steps in range(0, 300, 3):
            task = asyncio.ensure_future(stack.ask(f"{steps}", stream=bool(steps % 2)))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await stack.settle()
            stack.assert_clean()
        answers = [stack.ask(f"after {n}", stream=False) for n in range(20)]
        assert all(WORDS[8:19] in answer for answer in await asyncio.gather(*answers))
        stack.assert_clean()
        await stack.kernel.aclose()

    asyncio.run(main())


def test_a_recorded_call_that_is_cancelled_at_any_step_leaves_one_file(tmp_path, monkeypatch):
    """Whole, and nothing beside it."""
    for steps in range(30):
        folder = tmp_path / str(steps)
        monkeypatch.setenv("SCILLM_RECORD", str(folder))

        async def main(steps=steps):
            stack = Stack([Replay], {})
            task = asyncio.ensure_future(stack.ask("x", stream=True))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await stack.settle()
            stack.assert_clean()

        asyncio.run(main())
        files = list(folder.iterdir()) if folder.exists() else []
        assert len(files) == (steps > 0)
        assert all(json.loads(file.read_text())["v"] == 1 for file in files)
