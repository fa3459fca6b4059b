"""Answers that are given again."""

import asyncio
import logging
import threading
import time
import warnings
from typing import ClassVar

import pytest
from redis import Redis

from pytest_scillm import StrategyConformance
from scillm import BadRequestError, Kernel, RateLimitError
from scillm.errors import StatusError
from scillm_cache import Caching
from scillm_cache.api import Cache
from scillm_cache.entries import read
from scillm_cache.plugin import Config
from scillm_cache.stores import Disk, Memory

ASK = [{"role": "user", "content": "hi"}]


class TestOff(StrategyConformance):
    """As every strategy, switched off."""

    plugin = Caching


class TestOn(StrategyConformance):
    """And on."""

    plugin = Caching
    arguments: ClassVar = {"cache": True}


@pytest.fixture
def kernel(slow):
    """A kernel with a cache of its own."""
    with Kernel.of(Caching(), slow) as kernel:
        yield kernel


@pytest.fixture
def plugin(kernel):
    """The plugin of that kernel."""
    return kernel.plugins.manager.get_plugin("Caching")


def ask(kernel, content="hi", **more):
    """Ask for something."""
    return kernel.completion("slow/m", [{"role": "user", "content": content}], **more)


def test_off_it_hands_the_sender_on(kernel, slow):
    """And every call is made."""
    assert ask(kernel).text == "answer 1"
    assert ask(kernel).text == "answer 2"


@pytest.mark.parametrize("how", ["argument", "alias", "variable"])
def test_an_answer_is_given_again(kernel, slow, monkeypatch, how):
    """The same in all but the note."""
    if how == "variable":
        monkeypatch.setenv("SCILLM_CACHE", "1")
    more = {"argument": {"cache": True}, "alias": {"caching": True}, "variable": {}}[how]
    first, second = ask(kernel, **more), ask(kernel, **more)
    assert slow.begun == 1
    notes = dict(second.additional_kwargs["cache"])
    assert (notes["hit"], notes["backend"]) == (True, "memory")
    assert second.to_dict() | {"additional_kwargs": None} == first.to_dict() | {
        "additional_kwargs": None
    }
    assert second.served_by == first.served_by
    assert not first.additional_kwargs


@pytest.mark.parametrize(
    "other",
    [
        {"content": "other"},
        {"temperature": 1},
        {"seed": 2},
        {"tools": []},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"cache": {"namespace": "other"}},
    ],
)
def test_what_changes_the_answer_is_another_key(kernel, slow, other):
    """Everything in the body, and the namespace."""
    ask(kernel, cache=True)
    ask(kernel, **{"cache": True, **other})
    assert slow.begun == 2


def test_streams_and_wholes_answer_for_each_other(kernel, slow):
    """Piece by piece, to the same whole."""
    stream = ask(kernel, stream=True, cache=True)
    text = "".join(chunk.text for chunk in stream)
    assert ask(kernel, cache=True).text == text
    again = ask(kernel, stream=True, cache=True)
    assert "".join(chunk.text for chunk in again) == text == again.response.text
    assert again.response.additional_kwargs["cache"]["hit"]
    assert slow.begun == 1


def test_errors_and_what_was_left_early_are_not_kept(kernel, slow):
    """They are asked for again."""
    slow.errors.append(StatusError(429))
    with pytest.raises(RateLimitError):
        ask(kernel, cache=True)

    async def main():
        async with await kernel.acompletion("slow/m", ASK, stream=True, cache=True):
            pass

    asyncio.run(main())
    assert ask(kernel, cache=True).text == "answer 3"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ({"no-cache": True}, 2),
        ({"no-store": True}, 1),
        ({"s-maxage": -1}, 2),
        ({"s-maxage": 60}, 1),
        (False, 2),
    ],
)
def test_a_call_says_how_it_uses_the_cache(kernel, slow, words, asked):
    """As users know the words."""
    ask(kernel, cache=True)
    ask(kernel, cache=words)
    assert slow.begun == asked


def test_what_is_not_to_be_stored_is_not(kernel, slow):
    """The next call is made."""
    ask(kernel, cache={"no-store": True})
    ask(kernel, cache=True)
    assert slow.begun == 2


def test_an_unknown_word_is_refused(kernel):
    """Rather than passed over."""
    with pytest.raises(BadRequestError, match="cache has 'tll'"):
        ask(kernel, cache={"tll": 3})
    with pytest.raises(BadRequestError, match="neither true, false nor a mapping"):
        ask(kernel, cache="yes")


@pytest.mark.parametrize(
    "name", ["SCILLM_CACHE_DISABLE", "SCILLM_DISABLE_CACHE", "LITELLM_DISABLE_CACHE"]
)
def test_the_kill_switch_wins(kernel, slow, monkeypatch, name):
    """Whoever asks."""
    monkeypatch.setenv(name, "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ask(kernel, cache=True)
        ask(kernel, cache=True)
    assert slow.begun == 2


def test_a_run_has_answers_of_its_own(kernel, slow, monkeypatch):
    """By RUN_ID, or by a namespace, which wins."""
    ask(kernel, cache=True)
    monkeypatch.setenv("RUN_ID", "7")
    ask(kernel, cache=True)
    ask(kernel, cache={"namespace": "run:7"})
    monkeypatch.setenv("SCILLM_CACHE_NAMESPACE", "mine")
    ask(kernel, cache=True)
    assert slow.begun == 3


def test_an_answer_is_kept_for_its_time(kernel, slow, plugin, monkeypatch):
    """By the setting, or by the call."""
    now = [0.0]
    plugin.config = Config(store=Memory(clock=lambda: now[0]))
    monkeypatch.setenv("SCILLM_CACHE_TTL_SEC", "10")
    ask(kernel)
    ask(kernel, "short", cache={"ttl": 5})
    now[0] = 7
    ask(kernel)
    ask(kernel, "short")
    assert slow.begun == 3
    now[0] = 11
    ask(kernel)
    assert slow.begun == 4


def test_memory_is_bounded():
    """The oldest unused go; what is too large is not kept at all."""
    store = Memory(most_bytes=1000)

    async def main():
        for number in range(20):
            await store.put(str(number), "x" * 100, 60)
        await store.put("large", "x" * 2000, 60)
        return [number for number in range(20) if await store.get(str(number))], await store.get(
            "large"
        )

    assert asyncio.run(main()) == ([15, 16, 17, 18, 19], None)


def test_identical_calls_under_way_are_one_request(kernel, slow):
    """All get its answer."""

    async def main():
        slow.gate = asyncio.Event()
        calls = [
            asyncio.ensure_future(kernel.acompletion("slow/m", ASK, cache=True)) for _ in range(20)
        ]
        await asyncio.sleep(0.01)
        slow.gate.set()
        return await asyncio.gather(*calls)

    answers = asyncio.run(main())
    assert {answer.text for answer in answers} == {"answer 1"}
    assert slow.begun == 1


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_if_the_one_under_way_is_lost_another_goes(kernel, slow, how):
    """One after another, and nobody is left waiting."""

    async def main():
        slow.gate = asyncio.Event()
        if how == "failed":
            slow.errors.append(StatusError(429))
        calls = [
            asyncio.ensure_future(kernel.acompletion("slow/m", ASK, cache=True)) for _ in range(5)
        ]
        await asyncio.sleep(0.01)
        if how == "cancelled":
            calls[0].cancel()
        slow.gate.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, BaseException)
    assert {answer.text for answer in others} == {"answer 2"}


def test_over_threads_and_loops_too(kernel, slow):
    """A flight of one loop is waited for in another."""
    texts = []

    def work():
        texts.extend(ask(kernel, str(number), cache=True).text for number in range(30))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(texts) == 120
    assert slow.begun == 30


def test_the_disk_keeps_for_the_next_process(slow, tmp_path, monkeypatch):
    """Another kernel finds it; what is damaged counts as absent."""
    monkeypatch.setenv("SCILLM_CACHE_DIR", str(tmp_path / "deep"))
    for _ in range(2):
        with Kernel.of(Caching(), slow) as kernel:
            answer = ask(kernel, cache=True)
    assert (slow.begun, answer.additional_kwargs["cache"]["backend"]) == (1, "disk")
    store = Disk(tmp_path / "deep")
    with store._database() as database:
        database.execute('UPDATE answers SET text = \'{"v": 1, "kind": "os"\'')
    asyncio.run(store.aclose())
    with Kernel.of(Caching(), slow) as kernel:
        ask(kernel, cache=True)
    assert slow.begun == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"v": 2, "kind": "Response", "at": 1, "raw": {}, "route": null}',
        '{"v": 1, "kind": "Kernel", "at": 1, "raw": {}, "route": null}',
        '{"v": 1, "kind": "Response", "at": "x", "raw": {}, "route": null}',
        "\x80\x04K\x01.",
    ],
)
def test_what_is_not_ours_is_not_read(text):
    """Other versions, other kinds, pickles, rubbish."""
    assert read(text) is None


def test_redis_dies_and_comes_back(slow, redis_server, monkeypatch, caplog):
    """No call fails; one warning, and one word when it is back."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    caplog.set_level(logging.INFO, "scillm.cache")
    with Kernel.of(Caching(), slow) as kernel, Kernel.of(Caching(), slow) as other:
        ask(kernel, cache=True)
        assert ask(other, cache=True).additional_kwargs["cache"]["backend"] == "redis"
        redis_server.kill()
        assert ask(kernel, cache=True).text == "answer 1"  # from memory
        assert ask(kernel, "new", cache=True).text == "answer 2"
        redis_server.start()
        store = next(iter(kernel.plugins.manager.get_plugin("Caching")._made.values()))
        store._redis._until_s = 0.0  # its rest is over
        ask(kernel, "third", cache=True)
        assert ask(other, "new", cache=True).text
    levels = [record.levelname for record in caplog.records]
    assert levels.count("WARNING") <= 2
    assert "INFO" in levels


def test_a_redis_that_is_no_longer_used_is_closed_with_the_kernel(slow, redis_server):
    """Switching to another store leaves no connection behind."""
    caching = Caching()
    with Kernel.of(slow, caching) as kernel:
        caching.use(Cache("redis", url=redis_server.url).config())
        ask(kernel)
        caching.use(None)
    with Redis.from_url(redis_server.url) as client:
        deadline_s = time.monotonic() + 10
        while len(client.client_list()) > 1 and time.monotonic() < deadline_s:
            time.sleep(0.01)  # until the server has seen that we left
        assert len(client.client_list()) == 1
