"""Two requests, of which the first success wins."""

import asyncio
import contextlib
import sys
import threading
from typing import ClassVar

import pytest

from pytest_scillm import StrategyConformance
from scillm import (
    APIError,
    BadRequestError,
    Kernel,
    RateLimitError,
    Request,
    Response,
    Route,
    hookimpl,
    unfold,
)
from scillm.errors import StatusError
from scillm.extras import hedged_acompletion
from scillm_hedge import Hedge

ASK = [{"role": "user", "content": "hi"}]


class Scripted:
    """A provider whose n-th request waits for a gate or fails."""

    __name__ = "scripted"
    PROVIDERS = ("scripted",)

    def __init__(self, *steps):
        self.steps, self.begun, self.closed = steps, [], 0

    @hookimpl
    def resolve_model(self, call):
        model = call.model_for("scripted")
        return None if model is None else Route(provider="scripted", model=model)

    @hookimpl
    def prepare_request(self, call, route):
        frames = "sse" if call.stream else "json"
        return Request(route=route, url="scripted:", read=lambda f: (), frames=frames)

    @hookimpl
    def send(self, request):
        return self._send

    async def _send(self, request):
        number = len(self.begun)
        self.begun.append(request.route.model)
        step = self.steps[min(number, len(self.steps) - 1)]
        try:
            if step == "hang":
                await asyncio.Event().wait()
            if isinstance(step, float):
                await asyncio.sleep(step)
            if isinstance(step, Exception):
                raise step
            message = {"role": "assistant", "content": f"by {number}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = Response({"object": "chat.completion", "choices": [choice]})
            for event in unfold(whole) if request.frames == "sse" else (whole,):
                yield event
        finally:
            self.closed += 1


class TestOff(StrategyConformance):
    """As every strategy, switched off."""

    plugin = Hedge


class TestOn(StrategyConformance):
    """And on."""

    plugin = Hedge
    arguments: ClassVar = {"hedge_delay_ms": 5000}


def ask(provider, **more):
    """Ask once; returns the answer, or what was raised, and how many tasks are left."""

    async def main():
        kernel = Kernel.of(Hedge(), provider)
        try:
            answer = await kernel.acompletion("scripted/m", ASK, **more)
            if more.get("stream"):
                async with answer:
                    async for _ in answer:
                        pass
                answer = answer.response
        except Exception as error:  # noqa: BLE001  # the test looks at it
            answer = error
        return answer, len(asyncio.all_tasks()) - 1

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_a_second_goes_out_when_the_first_is_late(stream):
    """It wins, the first is ended, and the answer says so."""
    provider = Scripted("hang", "ok")
    answer, left = ask(provider, hedge_delay_ms=5, stream=stream)
    assert answer.text == "by 1"
    assert answer.additional_kwargs["hedge"] == {"started": True, "winner": "second"}
    assert (len(provider.begun), provider.closed, left) == (2, 2, 0)


def test_an_answer_in_time_costs_one_request():
    """And nothing is noted."""
    provider = Scripted("ok")
    answer, left = ask(provider, hedge_delay_ms=5000)
    assert (answer.text, len(provider.begun), left) == ("by 0", 1, 0)
    assert not answer.additional_kwargs


def test_the_first_may_win_after_all():
    """Then the second is ended."""
    provider = Scripted(0.03, "hang")
    answer, left = ask(provider, hedge_delay_ms=5)
    assert answer.additional_kwargs["hedge"]["winner"] == "first"
    assert (provider.closed, left) == (2, 0)


def test_a_quick_failure_does_not_win():
    """The other is waited for."""
    answer, _ = ask(Scripted(0.03, StatusError(429)), hedge_delay_ms=5)
    assert answer.text == "by 0"


def test_if_both_fail_the_first_error_is_raised():
    """As if there had been no second."""
    provider = Scripted(StatusError(429, "first"))
    error, left = ask(provider, hedge_delay_ms=5000)
    assert isinstance(error, RateLimitError)
    assert (len(provider.begun), left) == (1, 0)


def test_a_caller_who_leaves_leaves_nothing_behind():
    """Both are ended."""
    provider = Scripted("hang")

    async def main():
        kernel = Kernel.of(Hedge(), provider)
        task = asyncio.ensure_future(kernel.acompletion("scripted/m", ASK, hedge_delay_ms=1))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0
    assert (len(provider.begun), provider.closed) == (2, 2)


def test_a_percentile_waits_until_enough_is_known():
    """Then as long as most answers took."""
    provider = Scripted(*["ok"] * 10, "hang", "ok")

    async def main():
        kernel = Kernel.of(Hedge(), provider)
        return [
            await kernel.acompletion("scripted/m", ASK, hedge_delay_ms="p95") for _ in range(11)
        ]

    answers = asyncio.run(main())
    assert [bool(answer.additional_kwargs) for answer in answers] == [False] * 10 + [True]


def test_the_variable_switches_it_on(monkeypatch):
    """As the argument does."""
    monkeypatch.setenv("SCILLM_HEDGE_DELAY_MS", "5")
    assert ask(Scripted("hang", "ok"))[0].text == "by 1"


@pytest.mark.parametrize("wrong", ["soon", -1, "p0", "p100", True, "pp"])
def test_what_is_no_delay_is_refused(wrong):
    """Before anything is sent."""
    provider = Scripted("ok")
    error, _ = ask(provider, hedge_delay_ms=wrong)
    assert isinstance(error, BadRequestError)
    assert not provider.begun


@pytest.mark.parametrize(
    ("steps", "text", "models"),
    [
        (("hang", "ok"), "by 1", ["a", "b"]),
        (("ok",), "by 0", ["a"]),
        ((StatusError(503), "ok"), "by 1", ["a", "b"]),
    ],
)
def test_two_models_are_raced(steps, text, models):
    """The second is asked when the first is late or fails."""
    provider = Scripted(*steps)

    async def main():
        answer = await hedged_acompletion(
            Kernel.of(provider),
            primary_model="scripted/a",
            backup_model="scripted/b",
            hedge_ms=20,
            messages=ASK,
        )
        return answer.text, len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == (text, 0)
    assert provider.begun == models


class Stubborn(Scripted):
    """A provider whose first request takes a while to close."""

    async def _send(self, request):
        number = len(self.begun)
        try:
            async for event in super()._send(request):
                yield event
        finally:
            if number == 0:
                self.is_closing = True
                for _ in range(20):
                    await asyncio.sleep(0)


def test_whoever_cancels_while_the_loser_closes_is_heard():
    """The cancellation is not taken for that of the loser."""
    provider = Stubborn("hang", "ok")
    provider.is_closing = False

    async def main():
        kernel = Kernel.of(Hedge(), provider)
        task = asyncio.ensure_future(kernel.acompletion("scripted/m", ASK, hedge_delay_ms=1))
        for _ in range(10_000):
            await asyncio.sleep(0)
            if provider.is_closing:
                break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(50):
            await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0
    assert provider.closed == 2


def test_whoever_cancels_two_models_while_the_loser_closes_is_heard():
    """The same for the function that asks two models."""

    class Two:
        is_closing = False

        async def acompletion(self, model, messages):
            if model == "b":
                return Response({"object": "chat.completion", "choices": []})
            try:
                await asyncio.Event().wait()
            finally:
                self.is_closing = True
                for _ in range(20):
                    await asyncio.sleep(0)

    async def main():
        two = Two()
        asked = hedged_acompletion(
            two, primary_model="a", backup_model="b", messages=ASK, hedge_ms=1
        )
        task = asyncio.ensure_future(asked)
        for _ in range(10_000):
            await asyncio.sleep(0)
            if two.is_closing:
                break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_failures_do_not_count_among_the_times_of_answers():
    """A host that fails fast would make every answer late."""
    provider = Scripted(*[StatusError(500)] * 20, "ok")
    hedge = Hedge()

    async def main():
        kernel = Kernel.of(hedge, provider)
        for _ in range(20):
            with contextlib.suppress(APIError):
                await kernel.acompletion("scripted/m", ASK, hedge_delay_ms="p95")

    asyncio.run(main())
    assert not any(hedge._seen.values())


def test_times_are_noted_and_read_by_many_threads():
    """The percentile of one call is not disturbed by the answer of another."""
    hedge, provider = Hedge(), Scripted("ok")
    kernel = Kernel.of(hedge, provider)
    failed = []

    async def many():
        for _ in range(150):
            await kernel.acompletion("scripted/m", ASK, hedge_delay_ms="p99")

    def run():
        try:
            asyncio.run(many())
        except Exception as error:  # noqa: BLE001  # the test looks at it
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
