"""Who is next."""

import asyncio
import threading

import pytest

from scillm_pacing.turnstile import Turnstile


def test_so_many_at_a_time_and_in_order():
    """First come, first served."""
    turnstile, inside, most, order = Turnstile(), 0, 0, []

    async def visit(number):
        nonlocal inside, most
        assert await turnstile.enter(3)
        inside += 1
        most = max(most, inside)
        order.append(number)
        await asyncio.sleep(0)
        inside -= 1
        turnstile.leave()

    async def main():
        await asyncio.gather(*(visit(number) for number in range(50)))

    asyncio.run(main())
    assert (most, order) == (3, list(range(50)))


def test_over_threads_and_loops():
    """One limit for all of them, and nobody is forgotten."""
    turnstile, lock, state = Turnstile(), threading.Lock(), {"inside": 0, "most": 0, "done": 0}

    async def visit():
        await turnstile.enter(2)
        with lock:
            state["inside"] += 1
            state["most"] = max(state["most"], state["inside"])
        await asyncio.sleep(0)
        with lock:
            state["inside"] -= 1
            state["done"] += 1
        turnstile.leave()

    async def many():
        await asyncio.gather(*(visit() for _ in range(100)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert state == {"inside": 0, "most": 2, "done": 400}


@pytest.mark.parametrize("when", ["waiting", "let in"])
def test_whoever_is_cancelled_leaves_no_place_taken(when):
    """While it waits, and in the moment in which it is let in."""
    turnstile = Turnstile()

    async def main():
        await turnstile.enter(1)
        task = asyncio.ensure_future(turnstile.enter(1))
        await asyncio.sleep(0)
        if when == "let in":
            turnstile.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if when == "waiting":
            turnstile.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await turnstile.enter(1, timeout_s=1)

    assert asyncio.run(main())


def test_whoever_waits_too_long_is_told():
    """And the next is let in all the same."""
    turnstile = Turnstile()

    async def main():
        await turnstile.enter(1)
        assert not await turnstile.enter(1, timeout_s=0.01)
        turnstile.leave()
        return await turnstile.enter(1, timeout_s=1)

    assert asyncio.run(main())
