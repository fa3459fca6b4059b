"""A Redis that goes and comes."""

import asyncio
import logging
import socket
import threading
import time

import pytest

from scillm_redis_store import RedisStore


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    """A clock that the test sets."""
    return Clock()


async def _count(redis):
    return await redis.incr("n")


def test_without_a_redis_the_default_holds(monkeypatch):
    """And nothing is tried."""
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    store = RedisStore()
    assert not store.is_configured
    assert asyncio.run(store.run(_count, default=-1)) == -1


@pytest.mark.parametrize("how", ["url", "parts", "argument"])
def test_a_redis_is_used_from_any_loop(redis_server, monkeypatch, how):
    """One loop after another, and two at a time."""
    if how == "url":
        monkeypatch.setenv("REDIS_URL", redis_server.url)
    elif how == "parts":
        monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
        monkeypatch.setenv("REDIS_PORT", str(redis_server.port))
    store = RedisStore(url=redis_server.url if how == "argument" else None)

    async def many():
        return await asyncio.gather(*(store.run(_count, default=-1) for _ in range(120)))

    assert asyncio.run(store.run(_count, default=-1)) == 1
    seen = []
    threads = [threading.Thread(target=lambda: seen.extend(asyncio.run(many()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2, 242))


def test_a_password_and_a_database_are_used(redis_server, monkeypatch, caplog):
    """Characters that an address would misread too; a wrong password shows nowhere."""
    from redis import Redis

    word = "p@ss:w/rd?#"
    with Redis(port=redis_server.port) as admin:
        admin.config_set("requirepass", word)
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(redis_server.port),
        "DB": "3",
        "PASSWORD": word,
    }.items():
        monkeypatch.setenv(f"REDIS_{name}", value)
    assert asyncio.run(RedisStore().run(_count, default=-1)) == 1
    with Redis(port=redis_server.port, db=3, password=word) as admin:
        assert admin.get("n") == b"1"
    monkeypatch.setenv("REDIS_PASSWORD", "wrong-word")
    assert asyncio.run(RedisStore().run(_count, default=-1)) == -1
    assert "wrong-word" not in caplog.text


def test_a_redis_that_dies_is_done_without_until_it_is_back(redis_server, clock, caplog):
    """One warning, one word when it is back, and in between it is not asked at every turn."""
    store = RedisStore(url=redis_server.url, clock=clock)
    caplog.set_level(logging.INFO, "scillm.redis")

    async def main():
        assert await store.run(_count, default=-1) == 1
        redis_server.kill()
        assert await store.run(_count, default=-1) == -1
        assert store.is_resting
        redis_server.start()
        assert await store.run(_count, default=-1) == -1  # it rests still
        clock.now_s += 1.5
        assert await store.run(_count, default=-1) == 1
        await store.aclose()

    asyncio.run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "cannot be reached" in caplog.messages[0]


def test_the_rests_grow_to_half_a_minute(clock, caplog):
    """One, two, four seconds and so on; still one warning."""
    store = RedisStore(url="redis://:hush@127.0.0.1:1/0", clock=clock)
    rests = []
    for _ in range(7):
        asyncio.run(store.run(_count, default=0))
        rests.append(round(store._until_s - clock.now_s, 3))
        clock.now_s = store._until_s
    assert rests == [1, 2, 4, 8, 16, 30, 30]
    assert len(caplog.records) == 1
    assert "hush" not in caplog.text + repr(vars(store))


def test_many_that_fail_at_once_make_one_rest(clock, caplog):
    """Not one that is as long as if it had been away for half a minute."""
    store = RedisStore(url="redis://127.0.0.1:1/0", clock=clock)

    async def main():
        await asyncio.gather(*(store.run(_count, default=0) for _ in range(20)))

    asyncio.run(main())
    assert store._until_s - clock.now_s == 1
    assert len(caplog.records) == 1


def test_after_a_rest_one_looks_whether_it_is_back(clock):
    """While it does, the others go on without; a hanging Redis holds up one of them."""
    store = RedisStore(url="redis://127.0.0.1:1/0", clock=clock)
    asyncio.run(store.run(_count, default=0))
    clock.now_s += 1
    asked = []

    async def main():
        answer, begun = asyncio.Event(), asyncio.Event()

        async def slow(redis):
            asked.append(1)
            begun.set()
            await answer.wait()
            return 7

        first = asyncio.ensure_future(store.run(slow, default=0))
        await begun.wait()
        assert await asyncio.gather(*(store.run(slow, default=0) for _ in range(5))) == [0] * 5
        answer.set()
        assert await first == 7
        assert await store.run(slow, default=0) == 7

        first = asyncio.ensure_future(store.run(_forever, default=0))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert await store.run(slow, default=0) == 7

    asyncio.run(main())
    assert len(asked) == 3


async def _forever(redis):
    await asyncio.Event().wait()


def test_a_redis_that_is_full_is_still_read(redis_server, clock, caplog):
    """It refuses to keep more: one warning, whatever is tried, and no rest."""
    store = RedisStore(url=redis_server.url, clock=clock)

    async def main():
        await store.run(lambda redis: redis.set("a", "1"), default=None)
        await store.run(lambda redis: redis.config_set("maxmemory", "1"), default=None)
        for _ in range(3):
            assert await store.run(lambda redis: redis.set("b", "2"), default="no") == "no"
            assert await store.run(lambda redis: redis.get("a"), default=None) == b"1"
        await store.aclose()

    asyncio.run(main())
    assert not store.is_resting
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "OutOfMemory" in caplog.text


def test_a_redis_that_was_restarted_between_two_calls_is_no_loss(redis_server, caplog):
    """The connections that it forgot are opened anew."""
    store = RedisStore(url=redis_server.url)

    async def main():
        assert await store.run(_count, default=-1) == 1
        redis_server.kill()
        redis_server.start()
        assert await store.run(_count, default=-1) == 1
        await store.aclose()

    asyncio.run(main())
    assert not caplog.records


def test_a_command_that_is_cancelled_does_not_mix_up_the_next(redis_server):
    """Its answer is not taken for that of another."""
    store = RedisStore(url=redis_server.url)

    async def main():
        for number in range(40):
            await store.run(lambda redis, n=number: redis.set(f"k{n}", n), default=None)
        for steps in range(40):
            task = asyncio.ensure_future(store.run(lambda redis: redis.get("k1"), default=None))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await store.run(lambda redis: redis.get("k7"), default=None) == b"7"
        left = len(asyncio.all_tasks())
        await store.aclose()
        return left

    assert asyncio.run(main()) == 1


@pytest.mark.slow
def test_a_redis_that_accepts_and_never_answers_counts_as_away(monkeypatch, caplog):
    """After its time, with one warning that does not hold the password."""
    monkeypatch.setattr("scillm_redis_store.store.ANSWER_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        store = RedisStore(url=f"redis://:p%40ss-word@127.0.0.1:{silent.getsockname()[1]}/0")
        assert asyncio.run(store.run(_count, default=-1)) == -1
    assert store._until_s - time.monotonic() > 5  # to look again costs time, too
    assert len(caplog.records) == 1
    assert "p@ss-word" not in caplog.text
    assert "p%40ss-word" not in caplog.text
