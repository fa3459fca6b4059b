"""How fast calls leave."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

import scillm_openai_like
from pytest_scillm import StrategyConformance
from scillm import Kernel, RateLimitError, Timeout
from scillm_pacing import Pacing
from scillm_pacing.place import Limits, Place
from scillm_redis_store import RedisStore

ASK = [{"role": "user", "content": "hi"}]


def answer(tokens=3):
    """A whole answer."""
    message = {"role": "assistant", "content": "ok"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"total_tokens": tokens}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


class Clock:
    """Time that passes when somebody sleeps, and only then."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock():
    """A clock."""
    return Clock()


@pytest.fixture
def run(scillm_kernel, wire, clock):
    """Make so many calls at once; returns when each left, from the first on."""
    left = []
    inner = wire._send

    def noting(request):
        left.append(clock.now_s)
        return inner(request)

    wire._send = noting
    kernel = scillm_kernel(Pacing(clock, clock.sleep), scillm_openai_like)

    def run(count, base="http://gate/v1", **more):
        async def main():
            calls = (
                kernel.acompletion(
                    "m", ASK, custom_llm_provider="openai_like", api_base=base, api_key="k", **more
                )
                for _ in range(count)
            )
            return await asyncio.gather(*calls, return_exceptions=True)

        left.clear()
        answers = asyncio.run(main())
        return answers, [round(at - left[0], 3) for at in left]

    return run


class TestPacing(StrategyConformance):
    """As every strategy, without limits."""

    plugin = Pacing


class TestPacingWithLimits(StrategyConformance):
    """And with them."""

    plugin = Pacing

    @pytest.fixture(autouse=True)
    def _limited(self, monkeypatch):
        for name in ("RATE_LIMIT_QPS", "RATE_LIMIT_RPM", "RATE_LIMIT_TPM", "MAX_CONCURRENCY"):
            monkeypatch.setenv(f"SCILLM_{name}", "1000")
        monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "0.01")


def test_without_limits_nothing_is_wrapped(scillm_kernel):
    """The Sender below is handed on as it is."""
    hook = scillm_kernel(Pacing(), scillm_openai_like).plugins.manager.hook
    sender = hook.send(call=None, request=None)
    assert "Pacing" not in sender.__qualname__


def test_calls_a_second_are_evenly_spaced(run, wire, monkeypatch):
    """Eight at once at 2.5 a second take 2.8 seconds; what was waited is told."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "2.5")
    wire.reply(answer())
    answers, left = run(8)
    assert left == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8], abs=0.03)
    assert left[7] >= 2.8
    assert not answers[0].additional_kwargs
    assert answers[7].additional_kwargs["pacing"]["waited_s"] > 2


def test_what_chutes_advises_is_one_variable(run, wire, monkeypatch):
    """SCILLM_CHUTES_MODE, where nothing else is set; a limit of 0 is none."""
    monkeypatch.setenv("SCILLM_CHUTES_MODE", "1")
    wire.reply(answer())
    assert run(8)[1] == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8], abs=0.03)
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "0")
    assert run(3)[1] == [0.0, 0.0, 0.0]


def test_what_chutes_advises_waits_after_a_429(run, wire, clock, monkeypatch):
    """Two minutes, unless the variable for it says otherwise."""
    monkeypatch.setenv("SCILLM_CHUTES_MODE", "1")
    begun_s = clock.now_s
    wire.fail(429).reply(answer())
    run(1)
    run(1)
    assert clock.now_s - begun_s == pytest.approx(120, abs=0.1)


def test_calls_a_minute_are_counted_in_any_minute(run, wire, monkeypatch):
    """Three at once, the next when the first is a minute old, and a little for its way."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_RPM", "3")
    wire.reply(answer())
    _, left = run(7)
    assert left[:3] == [0, 0, 0]
    assert left[3] == pytest.approx(60.25, abs=0.1)
    assert left[6] == pytest.approx(120.5, abs=0.2)


def test_waiting_for_the_second_does_not_use_up_the_minute(run, wire, monkeypatch):
    """Ten calls a minute, one a second: ten leave in ten seconds, and the eleventh a minute on."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_RPM", "10")
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "1")
    wire.reply(answer())
    _, left = run(12)
    assert left[:10] == pytest.approx(range(10), abs=0.1)
    assert left[10:] == pytest.approx([60.25, 61.25], abs=0.2)


@pytest.mark.parametrize(
    "case",
    [
        ((2, 1000), 2, 0.5),  # the minute adds nothing
        ((1000, 60), 61, 60),  # the second adds nothing
        ((0.01, 5), 2, 100),  # slower than a minute
        ((2.5, 1), 2, 60),
        ((1 / 60, 1), 2, 60),  # the same twice
    ],
)
def test_any_two_limits_hold_together(run, wire, monkeypatch, case):
    """Also where one implies the other."""
    limits, so_many, in_s = case
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", str(limits[0]))
    monkeypatch.setenv("SCILLM_RATE_LIMIT_RPM", str(limits[1]))
    wire.reply(answer())
    _, left = run(so_many)
    assert left[-1] == pytest.approx(in_s, rel=0.02)


def test_a_429_while_a_turn_is_taken_keeps_the_call_back(clock, monkeypatch):
    """Even if the turn itself was free: it was looked for before the 429 came."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    class Meanwhile(RedisStore):
        async def run(self, work, default):
            place._cool_until_s = clock.now_s + 120
            return default

    place = Place("http://g", Meanwhile(), clock)
    assert asyncio.run(place.wait_s(Limits(per_second=1), 0)) == 120


def test_a_stream_that_is_left_is_closed_at_once(scillm_kernel, wire, monkeypatch):
    """Not when the garbage is collected."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "1000")
    pacing = Pacing()
    wire.reply(answer())
    kept = []

    async def main():
        kernel = scillm_kernel(pacing, scillm_openai_like)
        sent = pacing._sent
        pacing._sent = lambda *arguments: kept.append(sent(*arguments)) or kept[-1]
        ask = {"custom_llm_provider": "openai_like", "api_base": "http://g", "api_key": "k"}
        stream = await kernel.acompletion("m", ASK, stream=True, **ask)
        await stream.aclose()
        return wire.closed

    assert asyncio.run(main()) == 1


def test_tokens_a_minute_are_estimated_and_then_counted(run, wire, clock, monkeypatch):
    """An estimate lets the first two go; what they cost in truth keeps the third."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_TPM", "100")
    wire.reply(answer(tokens=60))
    begun_s = clock.now_s
    run(2, max_tokens=40)
    assert clock.now_s == begun_s
    run(1, max_tokens=40)
    assert clock.now_s - begun_s == pytest.approx(60, abs=0.1)


def test_after_a_429_nothing_leaves_for_the_cooldown(run, wire, clock, monkeypatch):
    """Calls that were in the queue already included; another address is another matter."""
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "120")
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "2.5")
    wire.fail(429).reply(answer())
    answers, left = run(3)
    assert isinstance(answers[0], RateLimitError)
    assert left[0] == 0
    assert left[1] >= 119.9
    assert left[2] - left[1] == pytest.approx(0.4, abs=0.01)
    wire.fail(429).reply(answer())
    run(1)
    before = clock.now_s
    run(1, base="http://other/v1")
    assert clock.now_s - before < 1


def test_a_cooldown_is_as_long_as_the_host_asks_and_never_shortened(run, wire, monkeypatch):
    """The longest one holds."""
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "5")
    wire.fail(429, retry_after="200").reply(answer())
    run(1)
    answers, _ = run(1)
    assert answers[0].additional_kwargs["pacing"]["waited_s"] == pytest.approx(200, abs=0.1)

    place = Place("http://g", RedisStore(), Clock())
    asyncio.run(place.cool(200))
    asyncio.run(place.cool(5))
    assert asyncio.run(place.wait_s(Limits(cooldown_s=5), 0)) == 200


@pytest.mark.parametrize("asked", [{"retry_after_ms": "9e9"}, {"retry_after": "99999999"}], ids=str)
def test_a_host_that_asks_for_years_gets_an_hour(run, wire, monkeypatch, asked):
    """It would hold up every call to it for ever."""
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "5")
    wire.fail(429, **asked).reply(answer())
    run(1)
    answers, _ = run(1, timeout=5)
    assert isinstance(answers[0], Timeout)
    assert "wait 3600.0 s more" in str(answers[0])


def test_a_wait_beyond_the_timeout_is_told_at_once(run, wire, clock, monkeypatch):
    """Rather than slept through."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "0.01")
    wire.reply(answer())
    answers, left = run(2, timeout=30)
    assert len(left) == 1
    assert isinstance(answers[1], Timeout)
    assert "by the limits that pacing was given" in str(answers[1])
    assert clock.now_s < 1001


def test_so_many_calls_are_under_way(endpoint, monkeypatch):
    """Four at two a time take twice as long; streams hold their place to the end."""
    monkeypatch.setenv("SCILLM_MAX_CONCURRENCY", "2")
    begun, base = time.perf_counter(), endpoint.url("lat100")

    async def main(stream):
        async with Kernel.installed() as kernel:
            calls = (
                kernel.acompletion(
                    "m",
                    ASK,
                    custom_llm_provider="openai_like",
                    api_base=base,
                    api_key="k",
                    stream=stream,
                )
                for _ in range(4)
            )
            answers = await asyncio.gather(*calls) if not stream else []
            for call in calls if stream else ():
                async with await call:
                    pass
            return answers

    assert len(asyncio.run(main(stream=False))) == 4
    assert time.perf_counter() - begun > 0.2
    asyncio.run(main(stream=True))


def test_whoever_is_cancelled_leaves_the_queue(scillm_kernel, wire, monkeypatch):
    """Those behind it move up."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "20")
    monkeypatch.setenv("SCILLM_MAX_CONCURRENCY", "1")
    wire.reply(answer())
    kernel = scillm_kernel(Pacing(), scillm_openai_like)

    async def main():
        ask = {"custom_llm_provider": "openai_like", "api_base": "http://g", "api_key": "k"}
        tasks = [asyncio.ensure_future(kernel.acompletion("m", ASK, **ask)) for _ in range(12)]
        await asyncio.sleep(0.02)
        for task in tasks[1:11]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return tasks[11].result().text, len(asyncio.all_tasks())

    assert asyncio.run(main()) == ("ok", 1)
    assert len(wire.sent) == 2


@pytest.mark.slow
def test_eight_at_once_take_their_time_over_threads_and_loops(endpoint, monkeypatch):
    """By the clock on the wall: 2.8 seconds at 2.5 a second."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "2.5")
    base = endpoint.url("idpace")
    kernel = Kernel.installed()
    ask = {"custom_llm_provider": "openai_like", "api_base": base, "api_key": "k"}
    threads = [
        threading.Thread(target=lambda: kernel.completion("m", ASK, **ask)) for _ in range(8)
    ]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kernel.close()
    assert time.perf_counter() - begun >= 2.8
    assert len(endpoint.requests_to(base)) == 8


OTHER = """
import sys, time
from scillm import Kernel
with Kernel.installed() as kernel:
    for _ in range(4):
        kernel.completion("m", [{"role": "user", "content": "hi"}],
                          custom_llm_provider="openai_like", api_base=sys.argv[1], api_key="k")
"""


@pytest.mark.slow
def test_two_processes_keep_to_one_rate(endpoint, redis_server, monkeypatch):
    """Eight calls of two processes at five a second take 1.4 seconds."""
    monkeypatch.setenv("SCILLM_RATE_LIMIT_QPS", "5")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    base = endpoint.url("idshared")
    command = [sys.executable, "-c", OTHER, base]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(endpoint.requests_to(base)) == 8


def test_a_cooldown_holds_for_all_and_redis_may_die(redis_server, wire, monkeypatch, caplog):
    """One process's 429 keeps another back; without Redis each keeps to the limits by itself."""
    monkeypatch.setenv("SCILLM_COOLDOWN_429_S", "60")
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    ask = {"custom_llm_provider": "openai_like", "api_base": "http://g/v1", "api_key": "k"}
    one, other = (Kernel.of(Pacing(), wire, scillm_openai_like) for _ in range(2))
    wire.fail(429).reply(answer())

    async def main():
        with pytest.raises(RateLimitError):
            await one.acompletion("m", ASK, **ask)
        with pytest.raises(Timeout, match="59|60"):
            await other.acompletion("m", ASK, timeout=5, **ask)
        redis_server.kill()
        assert (await other.acompletion("m", ASK, **ask)).text == "ok"
        assert (await other.acompletion("m", ASK, **ask)).text == "ok"
        await one.aclose()
        await other.aclose()

    asyncio.run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
