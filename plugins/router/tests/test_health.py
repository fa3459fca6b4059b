"""Who may be asked: probes, queues, limits, threads, forks."""

import asyncio
import os
import signal
import threading
from collections import Counter

import pytest

from scillm import (
    AuthenticationError,
    BadRequestError,
    Kernel,
    PluginError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
)
from scillm import hookimpl as hookimpl_of_scillm
from scillm.errors import StatusError
from scillm_router import Router, hookimpl
from scillm_router.windows import Window

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def router(kernel, clock):
    """Make a Router of one group ``g``, of deployments by their params."""

    def router(*deployments, **more):
        models = [
            {"model_name": "g", "litellm_params": {"model": f"fleet/{model}", **params}}
            for model, params in deployments
        ]
        return Router(models, kernel=kernel, clock=clock, **more)

    return router


def deployments(router):
    """What a Router knows of its deployments."""
    return [d for group in router.plan.groups.values() for d in group.deployments]


def is_at_rest(router):
    """Whether nothing is under way and nobody waits."""
    return all(d.in_flight == 0 and d.probe is None for d in deployments(router)) and not any(
        group.waiting for group in router.plan.groups.values()
    )


async def turns(count=10):
    """Let the loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_when_all_are_doubted_one_request_probes_each_and_the_rest_wait(router, fleet, clock):
    """A host that may still be down is not met by a crowd, even if there is no other."""
    fleet.fails = {"a": [503, None], "b": [503, None]}
    one = router(("a", {}), ("b", {}), cooldown_time=5)
    with pytest.raises(ServiceUnavailableError):
        one.completion("g", ASK)
    clock.now_s += 6
    fleet.asked.clear()

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(one.acompletion("g", ASK)) for _ in range(20)]
        await turns()
        early = sorted(fleet.asked)
        opened.set()
        return early, await asyncio.gather(*calls)

    early, answers = asyncio.run(main())
    assert early == ["a", "b"]
    assert len(answers) == 20
    assert is_at_rest(one)


def test_a_probe_that_fails_tells_those_who_wait(router, fleet, clock):
    """They are not sent after it, and hear how long it is now."""
    fleet.fails = {"a": [503], "b": [503]}
    one = router(("a", {}), ("b", {}), cooldown_time=5)
    with pytest.raises(ServiceUnavailableError):
        one.completion("g", ASK)
    clock.now_s += 6
    fleet.asked.clear()

    async def main():
        return await asyncio.gather(
            *(one.acompletion("g", ASK) for _ in range(9)), return_exceptions=True
        )

    errors = asyncio.run(main())
    assert Counter(fleet.asked) == {"a": 1, "b": 1}
    assert {error.failure.retry_after_s for error in errors} == {5.0}
    assert is_at_rest(one)


def test_a_probe_is_over_when_the_answer_begins(router, fleet, clock):
    """A long stream keeps nobody else away."""
    fleet.fails["a"] = [503, None]
    one = router(("a", {"order": 1}), ("b", {"order": 2}), cooldown_time=5)
    one.completion("g", ASK)
    clock.now_s += 6

    async def main():
        stream = await one.acompletion("g", ASK, stream=True)
        answer = await one.acompletion("g", ASK)
        await stream.aclose()
        return answer

    assert asyncio.run(main()).text == "by a"
    assert is_at_rest(one)


@pytest.mark.parametrize("when", ["asked", "queued"])
def test_a_probe_that_is_cancelled_is_given_back(router, fleet, clock, when):
    """The next request probes; nobody waits for ever, and nothing is cooled."""
    fleet.fails["a"] = [503, None]
    one = router(("a", {"order": 1}), ("b", {"order": 2, "max_parallel_requests": 1}))
    one.completion("g", ASK)
    clock.now_s += 6

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            await opened.wait()

        fleet.gate = gate
        probe, other, queued = [asyncio.ensure_future(one.acompletion("g", ASK)) for _ in range(3)]
        await turns()
        assert [len(group.waiting) for group in one.plan.groups.values()] == [1]
        (probe if when == "asked" else queued).cancel()
        await turns()
        opened.set()
        return await asyncio.gather(probe, other, queued, return_exceptions=True)

    answers = asyncio.run(main())
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 1
    assert fleet.asked[2:].count("a") == (2 if when == "asked" else 1)
    assert is_at_rest(one)
    assert deployments(one)[0].cool_until_s == 0


def test_those_who_wait_are_served_in_their_order(router, fleet):
    """A worker that comes again at once does not overtake them."""
    one = router(("a", {"max_parallel_requests": 2}))
    done = []

    async def worker(name):
        for number in range(3):
            await one.acompletion("g", ASK)
            done.append((number, name))

    async def main():
        async def gate(model):
            await asyncio.sleep(0)

        fleet.gate = gate
        await asyncio.gather(*(worker(name) for name in range(6)))

    asyncio.run(main())
    assert [number for number, _ in done] == sorted(number for number, _ in done)


def test_a_wait_for_a_free_one_ends_with_the_calls_timeout(router, fleet):
    """Typed, and it says what to do."""
    one = router(("a", {"max_parallel_requests": 1}))

    async def main():
        async def gate(model):
            await asyncio.Event().wait()

        fleet.gate = gate
        first = asyncio.ensure_future(one.acompletion("g", ASK))
        await turns()
        with pytest.raises(Timeout, match=r"was free within the 0\.01 s .*max_parallel_requests"):
            await one.acompletion("g", ASK, timeout=0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(main())
    assert fleet.asked == ["a"]
    assert is_at_rest(one)


def test_limits_hold_over_threads_and_their_loops(router, fleet):
    """Choosing and taking note are one step."""
    one = router(("a", {"max_parallel_requests": 3, "order": 1}), ("b", {"rpm": 50, "order": 2}))
    inside, most, lock = 0, 0, threading.Lock()

    async def gate(model):
        nonlocal inside, most
        if model == "b":
            return
        with lock:
            inside += 1
            most = max(most, inside)
        await asyncio.sleep(0.001)
        with lock:
            inside -= 1

    fleet.gate = gate

    async def calls():
        return await asyncio.gather(*(one.acompletion("g", ASK) for _ in range(60)))

    threads = [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = Counter(fleet.asked)
    assert sum(counts.values()) == 360
    assert most == 3
    assert counts["b"] == 50
    assert is_at_rest(one)


def test_a_deployment_with_fallbacks_rests_though_it_is_alone(kernel, clock, fleet):
    """Else each call would begin with the host that is down."""
    fleet.fails["a"] = [503]
    models = [
        {"model_name": n, "litellm_params": {"model": f"fleet/{m}"}}
        for n, m in [("g", "a"), ("h", "b")]
    ]
    one = Router(models, fallbacks=[{"g": ["h"]}], kernel=kernel, clock=clock)
    for _ in range(3):
        one.completion("g", ASK)
    assert fleet.asked == ["a", "b", "b", "b"]


@pytest.mark.parametrize("is_off", [False, True])
def test_nobody_waits_for_a_probe_who_has_a_fallback(kernel, clock, fleet, is_off):
    """Unless the call leaves fallbacks out."""
    fleet.fails["a"] = [503, None]
    models = [
        {"model_name": name, "litellm_params": {"model": f"fleet/{model}"}}
        for name, model in (("g", "a"), ("h", "b"))
    ]
    one = Router(models, fallbacks=[{"g": ["h"]}], kernel=kernel, clock=clock)
    one.completion("g", ASK)
    clock.now_s += 6

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            if model == "a":
                await opened.wait()

        fleet.gate = gate
        probe = asyncio.ensure_future(one.acompletion("g", ASK))
        await turns()
        other = asyncio.ensure_future(one.acompletion("g", ASK, disable_fallbacks=is_off))
        await turns(30)
        was_done = other.done()
        opened.set()
        return was_done, (await probe).text, (await other).text

    assert asyncio.run(main()) == (not is_off, "by a", "by a" if is_off else "by b")
    assert is_at_rest(one)


@pytest.mark.parametrize("header", ["authorization", "x-trace"])
def test_a_header_that_is_no_key_makes_no_difference(router, fleet, header):
    """Only a key of the caller's takes the blame."""
    fleet.fails["a"] = [401, None]
    one = router(("a", {"order": 1}), ("b", {"order": 2}))
    one.completion("g", ASK, extra_headers={header: "1"})
    one.completion("g", ASK)
    assert fleet.asked[2:] == (["a"] if header == "authorization" else ["b"])


def test_a_wrong_key_of_the_caller_rests_nobody(router, fleet):
    """Others, whose key is right, go on."""
    fleet.fails["a"] = [401, None]
    one = router(("a", {"order": 1}), ("b", {"order": 2}))
    one.completion("g", ASK, api_key="sk-wrong")
    one.completion("g", ASK)
    assert fleet.asked == ["a", "b", "a"]


def test_the_error_that_may_pass_is_the_one_that_is_told(router, fleet):
    """A wrong key at the second host does not make an outage of the first final."""
    fleet.fails = {"a": [StatusError(429, "", {"retry-after": "9"})], "b": [401]}
    one = router(("a", {"order": 1}), ("b", {"order": 2}), cooldown_time=20)
    with pytest.raises(RateLimitError) as info:
        one.completion("g", ASK)
    assert info.value.failure.retry_after_s == pytest.approx(20)
    fleet.fails = {"c": [401], "d": [401]}
    with pytest.raises(AuthenticationError):
        router(("c", {}), ("d", {})).completion("g", ASK)


def test_the_wait_that_is_told_is_the_shortest_of_all_that_were_asked(kernel, clock, fleet):
    """Of the group itself, too, not only of its last fallback."""
    fleet.fails = {"a": [503], "b": [StatusError(429, "", {"retry-after": "60"})]}
    models = [
        {"model_name": n, "litellm_params": {"model": f"fleet/{m}"}}
        for n, m in [("g", "a"), ("h", "b")]
    ]
    one = Router(models, fallbacks=[{"g": ["h"]}], cooldown_time=5, kernel=kernel, clock=clock)
    with pytest.raises(RateLimitError) as info:
        one.completion("g", ASK)
    assert info.value.failure.retry_after_s == pytest.approx(5)


def test_a_slow_one_is_tried_again_after_a_while(router, fleet, clock):
    """One bad moment does not count for ever."""
    one = router(("slow", {}), ("quick", {}), routing_strategy="latency-based-routing")
    takes_s = {"slow": 2.0, "quick": 0.1}

    async def gate(model):
        clock.now_s += takes_s[model]

    fleet.gate = gate
    for _ in range(4):
        one.completion("g", ASK)
    takes_s["slow"] = 0.01
    fleet.asked.clear()
    for _ in range(100):
        clock.now_s += 2
        one.completion("g", ASK)
    assert 0 < fleet.asked.count("quick") < 80
    assert fleet.asked[-1] == "slow"


def test_a_weight_of_0_is_drawn_where_there_is_no_other(router, fleet):
    """As a last resort."""
    fleet.fails["a"] = [503]
    one = router(("a", {"weight": 2.5}), ("b", {"weight": 0}))
    for _ in range(20):
        one.completion("g", ASK)
    assert fleet.asked == ["a"] + ["b"] * 20


def test_orders_may_be_any_numbers(router, fleet):
    """Fractions, and the same one of several."""
    fleet.fails = {"b": [503], "c": [503]}
    one = router(
        ("d", {"order": 2}), ("b", {"order": 0.5}), ("a", {"order": 1.5}), ("c", {"order": 0.5})
    )
    assert one.completion("g", ASK).text == "by a"
    assert sorted(fleet.asked[:2]) == ["b", "c"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"rpm": 0}, "rpm=0: it must be a whole number, 1 or more"),
        ({"tpm": 2.5}, "tpm=2.5"),
        ({"max_parallel_requests": 0}, "max_parallel_requests=0"),
        ({"weight": float("nan")}, "weight=nan"),
        ({"order": "1"}, "order='1'"),
    ],
)
def test_limits_that_make_no_sense_are_refused(router, params, said):
    """A limit of 0 is no way to leave an entry out."""
    with pytest.raises(BadRequestError, match=said):
        router(("a", params))


def test_a_strategy_that_chooses_a_stranger_is_told(router):
    """With its name."""

    class Odd:
        @hookimpl
        def choose(self, strategy, deployments):
            return "nobody" if strategy == "Odd" else None

    with pytest.raises(PluginError, match="strategy 'Odd' chose 'nobody'"):
        router(("a", {}), ("b", {}), routing_strategy=Odd()).completion("g", ASK)


def test_a_strategy_that_fails_is_told_to_whom_it_fails(router, fleet):
    """Not to the call whose end lets the next one choose."""

    class Odd:
        count = 0

        @hookimpl
        def choose(self, strategy, deployments):
            if strategy != "Odd":
                return None
            self.count += 1
            if self.count > 2:  # after the check, and the first call
                raise ValueError("odd")
            return deployments[0]

    limited = {"max_parallel_requests": 1}
    one = router(("a", limited), ("b", limited), routing_strategy=Odd())

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(one.acompletion("g", ASK)) for _ in range(4)]
        await turns()
        opened.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(main())
    assert [getattr(answer, "text", "") for answer in answers[:2]] == ["by a", "by b"]
    assert is_at_rest(one)


def test_a_window_tells_exactly_when_there_is_room():
    """As many of the oldest must pass as are needed; a correction counts in its own minute."""
    window = Window(10)
    first = window.add(0.0, 4)
    window.add(10.0, 2)
    window.add(20.0, 5)
    assert window.wait_s(30.0) == 30.0
    window.correct(first, 1)
    assert window.wait_s(30.0) == 0.0
    window.add(30.0, 3)
    assert window.wait_s(30.0) == 40.0  # the 1 is not enough, the 2 is
    assert window.wait_s(60.5) == 9.5
    window.correct(first, 100)
    assert window.wait_s(71.0) == 0.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_begins_with_nothing_under_way(router, fleet):
    """What the parent has under way takes no place in the child."""
    one = router(("a", {"max_parallel_requests": 1}))

    async def main():
        async def gate(model):
            await asyncio.Event().wait()

        fleet.gate = gate
        call = asyncio.ensure_future(one.acompletion("g", ASK))
        await turns()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            os._exit(0 if is_at_rest(one) else 1)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222  # the child ends at once
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return os.waitstatus_to_exitcode(status)

    assert asyncio.run(main()) == 0


def test_one_router_serves_many_loops_one_after_another(kernel, fleet):
    """And sync calls beside them."""
    one = Router(
        [{"model_name": "g", "litellm_params": {"model": f"fleet/{m}"}} for m in "ab"],
        kernel=kernel,
    )
    texts = [asyncio.run(one.acompletion("g", ASK)).text for _ in range(3)]
    texts += [one.completion("g", ASK).text for _ in range(3)]
    assert set(texts) <= {"by a", "by b"}
    assert is_at_rest(one)


def test_a_group_may_be_named_like_its_model(kernel, fleet):
    """It is asked once, and does not ask itself."""
    params = {"model": "fleet/a"}
    one = Router(
        [{"model_name": "fleet/a", "litellm_params": params}],
        fallbacks=[{"fleet/a": ["fleet/a", "fleet/b"]}],
        kernel=kernel,
    )
    fleet.fails["a"] = [503]
    assert one.completion("fleet/a", ASK).text == "by b"
    assert fleet.asked == ["a", "b"]


def test_a_plugin_of_the_routers_own_place_is_asked(fleet):
    """One with the same ORDER lies beneath."""

    class Seen:
        ORDER = 350
        count = 0

        @hookimpl_of_scillm(wrapper=True)
        def send(self):
            self.count += 1
            return (yield)

    seen = Seen()
    one = Router(
        [{"model_name": "g", "litellm_params": {"model": "fleet/a"}}], kernel=Kernel.of(fleet, seen)
    )
    one.completion("g", ASK)
    assert seen.count == 1
