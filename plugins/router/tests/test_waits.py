"""Retries around a Router, in virtual time: they wait exactly as long as nobody may be asked."""

import asyncio
import selectors

import pytest

from scillm import Kernel, RateLimitError, ServiceUnavailableError
from scillm.errors import StatusError
from scillm_retry import Retry
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


class Jump(selectors.DefaultSelector):
    """Waits for nothing: where a loop would wait, its clock is moved."""

    now_s = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "the loop waits for what never comes"
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds take no time and are exact."""

    def __init__(self):
        self.jump = Jump()
        super().__init__(self.jump)

    def time(self):
        return self.jump.now_s


@pytest.fixture
def loop():
    """Virtual time."""
    loop = VirtualLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def router(fleet, loop):
    """Make a Router over retries that never wait longer than they must; times of requests, too."""

    def router(*models, **more):
        asked = []

        async def gate(model):
            asked.append((model, pytest.approx(loop.time(), abs=1e-6)))

        fleet.gate = gate
        kernel = Kernel.of(Retry(draw=lambda low, high: low), fleet)
        entries = [
            {"model_name": "g", "litellm_params": {"model": f"fleet/{model}", **params}}
            for model, params in models
        ]
        return Router(entries, kernel=kernel, clock=loop.time, **more), asked

    return router


def test_a_retry_waits_until_the_first_may_be_asked_again(router, fleet, loop):
    """Not for the wait of the first error, nor for a guess: 7 s, for b is back before a."""
    fleet.fails = {
        "a": [StatusError(429, "", {"retry-after": "60"}), None],
        "b": [StatusError(503, "", {"retry-after": "7"}), None],
    }
    one, asked = router(("a", {"order": 1}), ("b", {"order": 2}), num_retries=3, cooldown_time=5)
    assert loop.run_until_complete(one.acompletion("g", ASK)).text == "by b"
    assert asked == [("a", 0.0), ("b", 0.0), ("b", 7.0)]


def test_the_latest_wait_counts(router, fleet, loop):
    """Each retry waits for what the last failure asks, not the first."""
    waits = [StatusError(429, "", {"retry-after": text}) for text in ("1", "12", "3")]
    fleet.fails["a"] = [*waits, None]
    one, asked = router(("a", {}), num_retries=5)
    loop.run_until_complete(one.acompletion("g", ASK))
    assert asked == [("a", 0.0), ("a", 1.0), ("a", 13.0), ("a", 16.0)]


def test_calls_that_come_while_all_rest_wait_too(router, fleet, loop):
    """Nothing is sent in vain; then one probes each, and the others follow."""
    fleet.fails = {"a": [503, None], "b": [503, None]}
    one, asked = router(("a", {}), ("b", {}), num_retries=1, cooldown_time=30)

    async def main():
        return await asyncio.gather(*(one.acompletion("g", ASK) for _ in range(10)))

    answers = loop.run_until_complete(main())
    assert len(answers) == 10
    early = [each for each in asked if each[1] == 0.0]
    late = [each for each in asked if each[1] == 30.0]
    assert len(early) + len(late) == len(asked)
    assert sorted({model for model, _ in early}) == ["a", "b"]
    assert len(late) == 10


def test_a_full_minute_is_waited_for_to_the_second(router, loop):
    """By rpm: the third request leaves when the first is a minute old."""
    one, asked = router(("a", {"rpm": 2}), num_retries=2)

    async def main():
        for _ in range(3):
            await one.acompletion("g", ASK)
            await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert asked == [("a", 0.0), ("a", 1.0), ("a", 60.0)]


def test_without_retries_the_error_says_how_long(router, fleet, loop):
    """At once."""
    fleet.fails["a"] = [StatusError(429, "", {"retry-after": "60"})]
    one, asked = router(("a", {}), num_retries=0)

    async def main():
        with pytest.raises(RateLimitError) as first:
            await one.acompletion("g", ASK)
        await asyncio.sleep(20)
        with pytest.raises(RateLimitError, match=r"for the next 40\.0 s") as second:
            await one.acompletion("g", ASK)
        return first.value.failure.retry_after_s, second.value.failure.retry_after_s

    assert loop.run_until_complete(main()) == (pytest.approx(60), pytest.approx(40))
    assert asked == [("a", 0.0)]


def test_an_outage_ends_when_the_tries_do(router, fleet, loop):
    """As many as were allowed, each after the rest of the deployments."""
    fleet.fails = {"a": [503], "b": [503]}
    one, asked = router(("a", {"order": 1}), ("b", {"order": 2}), num_retries=2, cooldown_time=5)
    with pytest.raises(ServiceUnavailableError, match="gave up after 3 attempts"):
        loop.run_until_complete(one.acompletion("g", ASK))
    assert asked == [(model, at_s) for at_s in (0.0, 5.0, 10.0) for model in "ab"]
