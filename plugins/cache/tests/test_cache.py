"""Answers that are given again."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import ClassVar

import pytest
from redis import Redis

import scillm_openai_like
from pytest_scillm import StrategyConformance
from scillm import BadRequestError, Kernel, RateLimitError, SettingError, Timeout
from scillm.errors import StatusError
from scillm_cache import Caching
from scillm_cache.api import Cache
from scillm_cache.disk import Disk
from scillm_cache.entries import read
from scillm_cache.plugin import Config
from scillm_cache.stores import Memory

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
    store = Memory(most_bytes=5 * (sys.getsizeof("x" * 100) + 100))

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


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"temperature": 0}, {"temperature": 0.0}, True),
        ({"temperature": 0}, {}, False),
        ({"temperature": 0}, {"temperature": None}, False),
        ({"temperature": 1}, {"temperature": True}, False),
        ({"stop": ["a", "b"]}, {"stop": ["b", "a"]}, False),
        ({"stop": "a"}, {"stop": ["a"]}, False),
        ({"logit_bias": {"1": 2, "3": 4}}, {"logit_bias": {"3": 4, "1": 2}}, True),
        ({"response_format": {"a": 1, "b": 2}}, {"response_format": {"b": 2, "a": 1}}, False),
        ({"extra_headers": {"X-Variant": "a"}}, {"extra_headers": {"X-Variant": "b"}}, False),
        ({"extra_headers": {"X-Variant": "a"}}, {}, False),
        ({"extra_headers": {"X-Request-Id": "a"}}, {"extra_headers": {"X-Request-Id": "b"}}, True),
        ({"extra_headers": {"Traceparent": "a"}}, {}, True),
        ({"api_key": "sk-1"}, {"api_key": "sk-2"}, True),
        ({"api_base": "http://g/v1"}, {"api_base": "http://h/v1"}, False),
        ({"extra_body": {"top_k": 1}}, {"extra_body": {"top_k": 2}}, False),
        ({"timeout": 5}, {"timeout": 6}, True),
    ],
    ids=str,
)
def test_what_changes_the_answer_is_in_the_key_and_nothing_else(
    scillm_kernel, wire, one, other, is_same
):
    """By the requests that a real provider makes."""
    wire.reply(WHOLE)
    kernel = scillm_kernel(Caching(), scillm_openai_like)
    ask = {"custom_llm_provider": "openai_like", "api_base": "http://g/v1", "api_key": "sk-1"}
    for more in (one, other):
        kernel.completion("m", ASK, cache=True, **{**ask, **more})
    assert (len(wire.sent) == 1) == is_same


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]}
WHOLE = {
    "id": "a",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "choices": [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if index else "ok \u2028",
                "refusal": None,
                "reasoning_content": "hm",
                "annotations": [],
                "x_unknown": {"deep": [1, 2.5, None]},
                **({"tool_calls": [CALL, {**CALL, "id": "d"}]} if index else {}),
            },
            "logprobs": LOGPROBS,
            "finish_reason": "tool_calls" if index else "stop",
        }
        for index in range(3)
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}


@pytest.mark.parametrize("backend", ["memory", "disk", "redis"])
def test_all_of_an_answer_comes_back(scillm_kernel, wire, monkeypatch, request, backend):
    """Choices, tool calls, reasoning, log probabilities, unknown fields."""
    if backend == "disk":
        monkeypatch.setenv("SCILLM_CACHE_DIR", str(request.getfixturevalue("tmp_path")))
    if backend == "redis":
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis_server").url)
    wire.reply(WHOLE)
    with scillm_kernel(Caching(), scillm_openai_like) as kernel:
        ask = {"api_base": "http://g/v1", "api_key": "sk-1", "cache": True, "n": 3}
        first, second = (kernel.completion("openai/m", ASK, **ask) for _ in range(2))
        stream = kernel.completion("openai/m", ASK, stream=True, **ask)
        assert len(list(stream)) > 1
    assert len(wire.sent) == 1
    notes = dict(second.additional_kwargs["cache"])
    assert notes["backend"] == backend
    for answer in (second, stream.response):
        given = {n: v for n, v in answer.to_dict().items() if n != "additional_kwargs"}
        assert given == first.to_dict()


def test_vectors_come_back(scillm_kernel, wire):
    """Embeddings are answers like any other."""
    vector = {"object": "embedding", "index": 0, "embedding": [0.1, -0.2, 1e-9]}
    wire.reply({"object": "list", "data": [vector], "model": "m", "usage": {"total_tokens": 1}})
    kernel = scillm_kernel(Caching(), scillm_openai_like)
    ask = {"api_base": "http://g/v1", "api_key": "sk-1", "cache": True}
    first, second = (kernel.embedding("openai/m", ["hi"], **ask) for _ in range(2))
    assert len(wire.sent) == 1
    assert second.data == first.data


def test_a_stream_that_makes_its_own_call_again_is_not_waited_for(kernel, slow):
    """Its caller has a piece in hand, so nobody else can bring the answer."""

    async def main():
        async with await kernel.acompletion("slow/m", ASK, stream=True, cache=True) as stream:
            await anext(stream)
            inner = await kernel.acompletion("slow/m", ASK, cache=True)
            return inner.text, "".join([chunk.text async for chunk in stream])

    assert asyncio.run(asyncio.wait_for(main(), 20)) == ("answer 2", "")


ABANDONED = """
import asyncio, os
from conftest import ASK, Slow
from scillm import Kernel
from scillm_cache import Caching

slow, loop = Slow(), asyncio.new_event_loop()
slow.gate = asyncio.Event()
kernel = Kernel.of(Caching(), slow)

async def begin():
    task = asyncio.ensure_future(kernel.acompletion("slow/m", ASK, cache=True))
    await asyncio.sleep(0.01)
    return task

task = loop.run_until_complete(begin())
loop.close()
slow.gate = None
print(kernel.completion("slow/m", ASK, cache=True).text, flush=True)
os._exit(0)
"""


def test_a_call_whose_loop_was_closed_is_not_waited_for():
    """It will never land. In a process of its own: such a loop leaves a mess behind."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", ABANDONED], cwd=here, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "answer 2\n", done.stderr


def test_waiting_for_an_identical_call_ends_with_the_timeout(kernel, slow):
    """The other one may have more time."""

    async def main():
        slow.gate = asyncio.Event()
        first = asyncio.ensure_future(kernel.acompletion("slow/m", ASK, cache=True))
        await asyncio.sleep(0.01)
        with pytest.raises(Timeout, match="identical call that is under way"):
            await kernel.acompletion("slow/m", ASK, cache=True, timeout=0.05)
        slow.gate.set()
        return (await first).text

    assert asyncio.run(main()) == "answer 1"


@pytest.mark.parametrize(
    "cache",
    [{"ttl": "x"}, {"ttl": -1}, {"ttl": float("nan")}, {"namespace": 5}, {"tll": 5}, "yes", 5],
    ids=str,
)
def test_a_wish_that_makes_no_sense_is_told_before_anything_is_sent(kernel, slow, cache):
    """Not after the answer was paid for."""
    with pytest.raises(BadRequestError):
        ask(kernel, cache=cache)
    assert slow.begun == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCILLM_CACHE_TTL_SEC", "0"),
        ("SCILLM_CACHE_TTL_SEC", "nan"),
        ("SCILLM_CACHE_MAX_BYTES", "x"),
    ],
)
def test_a_variable_that_makes_no_sense_is_told_before_anything_is_sent(
    kernel, slow, monkeypatch, name, value
):
    """With its name."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=name):
        ask(kernel, cache=True)
    assert slow.begun == 0


@pytest.mark.parametrize("damage", ["rubbish", "cut"])
def test_a_disk_that_is_damaged_is_put_aside(slow, tmp_path, monkeypatch, caplog, damage):
    """One warning, and a new file; no call fails."""
    monkeypatch.setenv("SCILLM_CACHE_DIR", str(tmp_path))
    with Kernel.of(Caching(), slow) as kernel:
        for number in range(30):
            ask(kernel, f"{number}" * 500, cache=True)
    path = tmp_path / "answers.sqlite3"
    content = path.read_bytes()
    path.write_bytes(b"rubbish" * 999 if damage == "rubbish" else content[:4096] + b"x" * 9000)
    with Kernel.of(Caching(), slow) as kernel:
        for _ in range(3):
            ask(kernel, "new", cache=True)
        assert ask(kernel, "new", cache=True).additional_kwargs["cache"]["backend"] == "disk"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_disk_that_is_full_costs_a_warning_and_no_call(slow, tmp_path, monkeypatch, caplog):
    """The answer was paid for; it is given."""
    monkeypatch.setenv("SCILLM_CACHE_DIR", str(tmp_path))
    slow.says = "x" * 100_000
    with Kernel.of(Caching(), slow) as kernel:
        store = kernel.plugins.manager.get_plugin("Caching")._store()
        store._database().execute("PRAGMA max_page_count = 12")
        for number in range(3):
            assert ask(kernel, str(number), cache=True).text == slow.says
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "full" in caplog.text


def test_a_folder_that_cannot_be_made_costs_a_warning_and_no_call(
    slow, tmp_path, monkeypatch, caplog
):
    """Also one with the name of another store."""
    (tmp_path / "redis").write_text("a file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCILLM_CACHE_DIR", "redis")
    with Kernel.of(Caching(), slow) as kernel:
        assert [ask(kernel, cache=True).text for _ in range(2)] == ["answer 1", "answer 2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_came_while_redis_was_away_is_known_after(slow, redis_server, monkeypatch):
    """It was paid for once."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with Kernel.of(Caching(), slow) as kernel:
        ask(kernel, "first", cache=True)
        redis_server.kill()
        ask(kernel, "meanwhile", cache=True)
        redis_server.start()
        kernel.plugins.manager.get_plugin("Caching")._store()._redis._until_s = 0.0
        assert ask(kernel, "meanwhile", cache=True).additional_kwargs["cache"]["hit"]
    assert slow.begun == 2


def test_a_redis_that_takes_no_more_costs_a_warning_and_no_call(
    slow, redis_server, monkeypatch, caplog
):
    """What it has is still given."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    with Kernel.of(Caching(), slow) as kernel, Kernel.of(Caching(), slow) as other:
        ask(kernel, "first", cache=True)
        store = kernel.plugins.manager.get_plugin("Caching")._store()

        async def fill():
            await store._redis.run(lambda redis: redis.config_set("maxmemory", "1"), default=None)

        asyncio.run(fill())
        for _ in range(2):
            ask(kernel, "second", cache=True)
        assert ask(other, "first", cache=True).additional_kwargs["cache"]["backend"] == "redis"
    assert slow.begun == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


OTHER = """
import sys
from scillm_cache.disk import Disk
import asyncio
async def main():
    disk = Disk(sys.argv[1])
    for number in range(300):
        await disk.put(f"{sys.argv[2]}-{number}", "x" * 2000, 60)
        assert await disk.get(f"{sys.argv[2]}-{number}")
    await disk.aclose()
asyncio.run(main())
"""


def test_two_processes_write_to_one_disk(tmp_path):
    """None loses what it kept."""
    commands = [[sys.executable, "-c", OTHER, str(tmp_path), name] for name in "ab"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said

    async def count():
        disk = Disk(tmp_path)
        found = [await disk.get(f"{name}-{n}") for name in "ab" for n in range(300)]
        await disk.aclose()
        return sum(text is not None for text in found)

    assert asyncio.run(count()) == 600
