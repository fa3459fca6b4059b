"""Processes that share what they know: a real Redis, several Routers that know of nothing else."""

import asyncio
import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import redis

from scillm import RateLimitError, ServiceUnavailableError
from scillm.errors import StatusError
from scillm_router import BudgetExceeded, Router, shared

ASK = [{"role": "user", "content": "hi"}]
RESTING, PROBES = "{scillm:router}:resting", "{scillm:router}:probes"
TWO = (("a", {"order": 1}), ("b", {"order": 2}))


@pytest.fixture
def server(redis_server):
    """The Redis, as the test sees it."""
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def router(kernel, clock, redis_server):
    """Make a Router, which stands for a process: it shares nothing but Redis with another."""

    def router(*deployments, **more):
        models = [
            {"model_name": "g", "litellm_params": {"model": f"fleet/{model}", **params}}
            for model, params in deployments or TWO
        ]
        more = {"redis_url": redis_server.url, "clock": clock, **more}
        return Router(models, kernel=kernel, **more)

    return router


@pytest.fixture
def elapse(server, clock):
    """Let time pass, for the Routers and for what Redis knows."""

    def elapse(seconds):
        clock.now_s += seconds
        for key in (RESTING, PROBES):
            for name, until_ms in server.zrange(key, 0, -1, withscores=True):
                server.zadd(key, {name: until_ms - seconds * 1000})

    return elapse


def ask(*routers):
    """Ask each in turn; returns what they said."""

    async def main():
        said = [(await router.acompletion("g", ASK)).text for router in routers]
        for router in routers:
            await router.aclose()
        return said

    return asyncio.run(main())


def test_what_one_process_rests_all_leave_alone(router, fleet, elapse):
    """Also one that was started later; and not for ever."""
    fleet.fails["a"] = [503, None]
    one, other = router(cooldown_time=5), router(cooldown_time=5)
    assert ask(one, other, router(), one) == ["by b"] * 4
    assert fleet.asked.count("a") == 1
    elapse(5.1)
    assert ask(other) == ["by a"]


def test_a_shared_rest_is_never_shortened(router, fleet):
    """Whatever another process has to say of it."""
    fleet.fails["a"] = [StatusError(429, "", {"retry-after": "60"}), 503]
    one, other = router(), router()

    async def main():
        both, opened = asyncio.Event(), asyncio.Event()

        async def gate(model):
            if model == "a" and fleet.asked.count("a") == 1:
                await both.wait()
            elif model == "a":
                both.set()
                await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(r.acompletion("g", ASK)) for r in (one, other)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        opened.set()
        await asyncio.wait(calls)
        third = router()
        await third.acompletion("g", ASK)
        for each in (one, other, third):
            await each.aclose()
        return third.plan.health.wait_s(third.plan.groups["g"].deployments[:1])

    assert asyncio.run(main()) == pytest.approx(60, abs=1)
    assert fleet.asked.count("a") == 2


def test_one_request_of_all_processes_probes(router, fleet, elapse):
    """The others go elsewhere until it is answered, and then come back."""
    fleet.fails["a"] = [503, None]
    one, other = router(), router()
    ask(one, other)
    elapse(6)

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            if model == "a":
                await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(r.acompletion("g", ASK)) for r in (one, other) * 8]
        waiting = set(calls)
        while len(waiting) > 1:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        opened.set()
        texts = Counter(answer.text for answer in await asyncio.gather(*calls))
        elapse(shared.REFRESH_S)
        texts.update([(await r.acompletion("g", ASK)).text for r in (one, other)])
        for each in (one, other):
            await each.aclose()
        return texts

    assert asyncio.run(main()) == {"by a": 3, "by b": 15}


def test_a_probe_that_is_cancelled_is_given_back_to_all(router, fleet, elapse, server):
    """Another process may probe at once."""
    fleet.fails["a"] = [503, None]
    one, other = router(), router()
    ask(one, other)
    elapse(6)

    async def main():
        is_asked = asyncio.Event()

        async def gate(model):
            is_asked.set()
            await asyncio.Event().wait()

        fleet.gate = gate
        call = asyncio.ensure_future(one.acompletion("g", ASK))
        await is_asked.wait()
        assert server.zcard(PROBES) == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await one.aclose()

    asyncio.run(main())
    assert server.zcard(PROBES) == 0
    fleet.gate = None
    elapse(shared.REFRESH_S)
    assert ask(other) == ["by a"]
    assert server.zcard(RESTING) == 0


def test_a_process_that_dies_while_it_probes_is_not_waited_for_long(router, fleet, elapse, server):
    """After half a minute another probes."""
    fleet.fails["a"] = [503, None]
    one = router()
    ask(one)
    elapse(6)
    (name,) = server.zrange(RESTING, 0, -1)
    now_s, _ = server.time()
    server.zadd(PROBES, {name: (now_s + shared.PROBE_S) * 1000})
    assert ask(one) == ["by b"]
    elapse(shared.PROBE_S + 2)
    assert ask(one) == ["by a"]


def test_a_probe_that_fails_rests_it_for_all(router, fleet, elapse):
    """Without a second request."""
    fleet.fails["a"] = [503]
    one, other = router(), router()
    ask(one, other)
    elapse(6)
    assert ask(one, other, other) == ["by b"] * 3
    assert fleet.asked.count("a") == 2


def test_requests_a_minute_are_counted_over_all(router, fleet):
    """Also when all ask at once; when nobody has room the error says how long."""
    limited = (("a", {"order": 1, "rpm": 7}), ("b", {"order": 2, "rpm": 9}))
    routers = [router(*limited) for _ in range(3)]

    async def main():
        calls = [r.acompletion("g", ASK) for r in routers * 8]
        done = await asyncio.gather(*calls, return_exceptions=True)
        for each in routers:
            await each.aclose()
        return done

    done = asyncio.run(main())
    errors = [each for each in done if isinstance(each, Exception)]
    assert Counter(fleet.asked) == {"a": 7, "b": 9}
    assert {type(error) for error in errors} == {RateLimitError}
    assert all(59 <= error.failure.retry_after_s <= 61 for error in errors)


def test_tokens_a_minute_are_counted_over_all_as_they_are_told(router, fleet):
    """Each answer says 5, whatever was estimated; 12 let three go."""
    limited = (("a", {"order": 1, "tpm": 12, "max_tokens": 9}), ("b", {"order": 2}))
    one, other = router(*limited), router(*limited)
    assert ask(one, other, one, other) == ["by a", "by a", "by a", "by b"]


def test_a_request_beyond_the_budget_is_not_counted_for_the_others(router, fleet, elapse, server):
    """Nor does it keep the probe."""
    fleet.fails["a"] = [503, None]
    limited = (("a", {"order": 1, "rpm": 3}), ("b", {"order": 2}))
    one, other = router(*limited), router(*limited)
    ask(one)
    elapse(6)
    one.set_budget(max_requests=0)
    with pytest.raises(BudgetExceeded):
        ask(one)
    assert server.zcard(PROBES) == 0
    assert ask(other, other, other) == ["by a", "by a", "by b"]


def test_while_all_is_well_redis_is_asked_four_times_a_second(router, server, clock):
    """However many calls there are."""
    one = router()
    ask(one)
    server.config_resetstat()

    async def main():
        for _ in range(50):
            await one.acompletion("g", ASK)
        clock.now_s += shared.REFRESH_S
        await asyncio.gather(*(one.acompletion("g", ASK) for _ in range(50)))
        await one.aclose()

    asyncio.run(main())
    asked = server.info("commandstats")
    scripts = [asked.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval")]
    assert sum(scripts) == 1


def test_a_redis_that_dies_is_done_without_and_comes_back(
    router, fleet, redis_server, clock, caplog
):
    """One warning, no call lost; each process decides by itself, then they share again."""
    caplog.set_level(logging.INFO, "scillm.router")
    fleet.fails["a"] = [None, 503, None, None, 503, None]
    one, other = router(), router()

    async def main():
        assert (await one.acompletion("g", ASK)).text == "by a"
        redis_server.kill()
        clock.now_s += 1
        said = []
        for _ in range(3):
            clock.now_s += 0.3
            said.append((await one.acompletion("g", ASK)).text)
        said.append((await other.acompletion("g", ASK)).text)
        redis_server.start()
        clock.now_s += 40
        said += [(await r.acompletion("g", ASK)).text for r in (one, one, other)]
        for each in (one, other):
            await each.aclose()
        return said

    # `one` rests a by itself, of which `other` knows nothing; then both know.
    assert asyncio.run(main()) == ["by b", "by b", "by b", "by a", "by a", "by b", "by b"]
    told = [(record.levelname, record.message[:24]) for record in caplog.records]
    assert told.count(("WARNING", "Redis cannot be reached,")) == 2  # one for each Router
    assert told.count(("INFO", "Redis is back")) == 2


def test_a_redis_that_does_not_answer_holds_up_nobody_for_long(router, monkeypatch, caplog):
    """It is done without, as one that is dead."""
    monkeypatch.setattr(shared, "ANSWER_S", 0.05)

    async def main():
        async def silent(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        one = router(redis_url=f"redis://:hush@127.0.0.1:{port}/0")
        answer = await one.acompletion("g", ASK)
        await one.aclose()
        server.close()
        await asyncio.sleep(0)
        return answer

    assert asyncio.run(main()).text == "by a"
    assert "going on without it" in caplog.text
    assert "hush" not in caplog.text


def test_no_key_lies_in_redis(router, fleet, server):
    """Nor an address; two keys at one host are two deployments."""
    fleet.fails["a"] = [503, None]
    secret = {"order": 1, "api_key": "sk-secret", "api_base": "http://a.example"}
    one = router(("a", secret), ("b", {"order": 2, "rpm": 5}))
    other = router(("a", {**secret, "api_key": "sk-other"}), ("b", {"order": 2, "rpm": 5}))
    assert ask(one, other) == ["by b", "by a"]
    held = str([(key, server.dump(key)) for key in server.scan_iter()])
    assert "secret" not in held
    assert "example" not in held


def test_without_a_redis_nothing_is_shared(kernel, monkeypatch):
    """Nor is anything asked."""
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    models = [{"model_name": "g", "litellm_params": {"model": "fleet/a"}}]
    assert Router(models, kernel=kernel).plan.shared is None
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    assert Router(models, kernel=kernel).plan.shared is not None


@pytest.fixture
def two_processes(endpoint, redis_server, monkeypatch):
    """Real ones, with one model list; returns a function that has one of them ask a group."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    places = [("g", "s503.ok-idfirst", {}), ("g", "idsecond", {}), ("h", "idthird", {"rpm": 3})]
    params = {"model": "openai_like/m", "api_key": "sk-test"}
    bases = [endpoint.url(options) for _, options, _ in places]
    models = [
        {"model_name": name, "litellm_params": {**params, "api_base": base, "order": order, **more}}
        for order, ((name, _, more), base) in enumerate(zip(places, bases, strict=True))
    ]
    worker = str(Path(__file__).with_name("worker.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, worker, json.dumps(models)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    def said(number, word):
        process = processes[number]
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield said, bases
    for process in processes:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def test_two_processes_share(two_processes, endpoint, server):
    """Over the wire: a rest, and requests a minute."""
    said, (first, second, third) = two_processes

    assert [said(number, "g") for number in (0, 1, 0, 1)] == [second] * 4
    assert len(endpoint.requests_to(first)) == 1
    for name, until_ms in server.zrange(RESTING, 0, -1, withscores=True):
        server.zadd(RESTING, {name: until_ms - 60_000})
    for number in (0, 1):
        said(number, "later")  # a minute, by its clock
    assert [said(number, "g") for number in (1, 0)] == [first] * 2

    limited = [said(number, "h") for number in (0, 1, 0, 1)]
    assert limited[:3] == [third] * 3
    assert "by their limits" in limited[3]
    assert len(endpoint.requests_to(third)) == 3


def test_an_outage_is_told_the_same_with_and_without_redis(router, fleet):
    """Typed, with the wait."""
    fleet.fails = {"a": [503], "b": [503]}
    with pytest.raises(ServiceUnavailableError) as info:
        ask(router())
    assert info.value.failure.retry_after_s == pytest.approx(5, abs=0.1)
