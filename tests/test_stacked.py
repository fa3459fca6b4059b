"""All strategies around one call, through every door: a cache hit costs nothing, a call is one."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from scillm import Kernel, RateLimitError

ASK = [{"role": "user", "content": "JSON, please"}]
SETTINGS = {
    "SCILLM_CACHE": "1",
    "SCILLM_RETRY_AFTER": "0.01",
    "SCILLM_RETRY_META": "1",
    "SCILLM_HEDGE_DELAY_MS": "5000",
    "SCILLM_RATE_LIMIT_QPS": "500",
    "SCILLM_RATE_LIMIT_RPM": "10000",
    "SCILLM_RATE_LIMIT_TPM": "10000000",
    "SCILLM_MAX_CONCURRENCY": "4",
    "SCILLM_COOLDOWN_429_S": "0.01",
    "SCILLM_JSON_SANITIZE": "1",
}
AT_A_TIME = 6


@pytest.fixture
def kernel(monkeypatch):
    """Every installed plugin, each of the strategies switched on."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with Kernel.installed() as kernel:
        yield kernel


def _asked(base, **more):
    return {
        "custom_llm_provider": "openai_like",
        "api_base": base,
        "api_key": "sk-1",
        "response_format": {"type": "json_object"},
        **more,
    }


class Doors:
    """Ways to make the same call many times at once."""

    @staticmethod
    def threads(kernel, base):
        answers = []

        def work():
            answers.append(kernel.completion("m", ASK, **_asked(base)))

        threads = [threading.Thread(target=work) for _ in range(AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers

    @staticmethod
    def tasks(kernel, base):
        async def main():
            calls = (kernel.acompletion("m", ASK, **_asked(base)) for _ in range(AT_A_TIME))
            return await asyncio.gather(*calls)

        return asyncio.run(main())

    @staticmethod
    def streams(kernel, base):
        async def one():
            stream = await kernel.acompletion("m", ASK, **_asked(base, stream=True))
            async for _ in stream:
                pass
            return stream.response

        async def main():
            return await asyncio.gather(*(one() for _ in range(AT_A_TIME)))

        return asyncio.run(main())

    @staticmethod
    def sync_streams(kernel, base):
        answers = []

        def work():
            stream = kernel.completion("m", ASK, **_asked(base, stream=True))
            for _ in stream:
                pass
            answers.append(stream.response)

        threads = [threading.Thread(target=work) for _ in range(AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers


DOORS = ("threads", "tasks", "streams", "sync_streams")


@pytest.mark.parametrize("door", DOORS)
def test_many_identical_calls_are_one_that_goes_through_every_trouble(kernel, endpoint, door):
    """A 429, a 503, a cut, a 401 that another style of the key mends; then fenced JSON."""
    base = endpoint.url(f"s429.503.drop-xkey-json1-ram5-id{door.replace('_', '')}")

    answers = getattr(Doors, door)(kernel, base)

    assert len(answers) == AT_A_TIME
    for answer in answers:
        assert json.loads(answer.choices[0].message.content)["a"] == 1
        assert answer.additional_kwargs["json"]["json_sanitized"]
    sent = endpoint.requests_to(base)
    assert [bool(request.headers.get("x-api-key")) for request in sent] == [False] * 4 + [True]
    hits = [answer for answer in answers if "cache" in answer.additional_kwargs]
    assert len(hits) == AT_A_TIME - 1
    (asked,) = [answer for answer in answers if "cache" not in answer.additional_kwargs]
    assert asked.additional_kwargs["router"]["retries"]["attempts"] == 4
    assert asked.additional_kwargs["auth"]["style"] == "x-api-key"


@pytest.mark.parametrize("door", DOORS)
def test_after_any_door_every_other_door_is_answered_from_memory(kernel, endpoint, door):
    """One request for all four, whoever asked."""
    base = endpoint.url(f"json1-idmem{door.replace('_', '')}")
    getattr(Doors, door)(kernel, base)
    for other in DOORS:
        assert all("cache" in a.additional_kwargs for a in getattr(Doors, other)(kernel, base))
    assert len(endpoint.requests_to(base)) == 1


def test_what_is_given_up_is_given_up_by_each_and_kept_by_none(kernel, endpoint):
    """Errors are not shared; each call spends its own attempts, and says how many."""
    base = endpoint.url("429-ram1-idgivenup")

    async def main():
        calls = (
            kernel.acompletion("m", ASK, **_asked(base, max_retries=1)) for _ in range(AT_A_TIME)
        )
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = asyncio.run(main())

    assert {type(error) for error in errors} == {RateLimitError}
    assert [error.retries["attempts"] for error in errors] == [2] * AT_A_TIME
    assert len(endpoint.requests_to(base)) == 2 * AT_A_TIME
