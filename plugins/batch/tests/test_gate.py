"""How many calls may be under way."""

import asyncio

import pytest

from scillm_batch.gate import FIRST, Gate


class _Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    """A clock that is set by hand."""
    return _Clock()


def _refusal(begun_s, retry_after=None, reason="rate_limit"):
    return {"reason": reason, "retry_after": retry_after, "attempt_start_monotonic": begun_s}


def test_it_doubles_until_the_first_refusal_and_then_creeps(clock):
    """Slow start, then additive increase and multiplicative decrease."""
    gate = Gate(1000, clock=clock)
    for _ in range(FIRST):
        gate.accepted()
    assert gate.limit == 2 * FIRST

    gate.refused(_refusal(clock.now_s))
    assert gate.limit == FIRST
    for _ in range(FIRST):
        gate.accepted()
    assert FIRST + 0.9 < gate.limit < FIRST + 1.1


def test_a_burst_of_refusals_counts_once(clock):
    """What was under way at the time is its echo; what began after it is news."""
    gate = Gate(64, is_adaptive=True, clock=clock)
    gate.limit = 64.0
    clock.now_s += 1
    for _ in range(50):
        gate.refused(_refusal(clock.now_s - 0.5))
    assert gate.limit == 32

    clock.now_s += 1
    gate.refused(_refusal(clock.now_s - 0.5))
    assert gate.limit == 16
    assert gate.refusals == 51


def test_other_failures_say_nothing_about_the_rate(clock):
    """A timeout or a broken body is no refusal."""
    gate = Gate(8, clock=clock)
    gate.refused(_refusal(clock.now_s, reason="timeout"))
    assert (gate.limit, gate.refusals) == (8, 0)


def test_it_never_closes_for_good_and_never_opens_too_far(clock):
    """Between one and the most."""
    gate = Gate(16, clock=clock)
    for _ in range(20):
        clock.now_s += 1
        gate.refused(_refusal(clock.now_s))
    assert gate.limit == 1
    for _ in range(1000):
        gate.accepted()
    assert gate.limit == 16


def test_a_fixed_one_does_not_move_but_pauses(clock):
    """The wait that a gateway asks for holds all the same."""
    gate = Gate(16, is_adaptive=False, clock=clock)
    gate.refused(_refusal(clock.now_s, retry_after=3))
    assert (gate.limit, gate.paused_s) == (16, 3)


def test_a_pause_holds_for_those_who_wait_already(clock):
    """And is never shortened by a later, shorter one."""
    entered = []

    async def main():
        gate = Gate(2, is_adaptive=False, clock=clock)

        async def call(name):
            await gate.enter()
            entered.append(name)

        await gate.enter()
        await gate.enter()
        waiting = [asyncio.ensure_future(call(n)) for n in range(3)]
        await asyncio.sleep(0)
        gate.refused(_refusal(clock.now_s, retry_after=0.05))
        gate.refused(_refusal(clock.now_s, retry_after=0.01))
        gate.leave()
        gate.leave()
        await asyncio.sleep(0)
        assert entered == []
        clock.now_s += 0.05
        await asyncio.wait_for(asyncio.gather(*waiting[:2]), 5)
        assert entered == [0, 1]
        waiting[2].cancel()

    asyncio.run(main())


def test_one_who_leaves_the_queue_gives_its_place_away(clock):
    """Whether it was let in at that moment or not."""

    async def main():
        gate = Gate(1, is_adaptive=False, clock=clock)
        await gate.enter()
        first, second = asyncio.ensure_future(gate.enter()), asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        first.cancel()
        gate.leave()
        await asyncio.wait_for(second, 5)
        third = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        gate.leave()  # lets the third in, which is cancelled before it knows
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        assert gate.in_flight == 0

    asyncio.run(main())
