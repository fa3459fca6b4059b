"""Streams: begun again only while nothing was handed over; and the sync door."""

import asyncio

import pytest

import scillm_http
import scillm_openai_like
from scillm import APIError, InvalidResponse, Kernel
from scillm_retry import Retry

ASK = [{"role": "user", "content": "hi"}]


def _part(text, end=None):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}


PARTS = (_part("o"), _part("k", "stop"), b"[DONE]")


async def _read(kernel, **arguments):
    stream = await kernel.acompletion("openai/m", ASK, stream=True, api_key="k", **arguments)
    return [chunk.text async for chunk in stream], stream.response


def test_a_stream_that_does_not_begin_is_begun_again(kernel, wire, clock):
    """The caller sees one stream, whole; the note is on it."""
    wire.fail(503).drop().reply(*PARTS)
    texts, response = clock.run(_read(kernel, retry_meta=True))
    assert texts == ["o", "k"]
    assert response.text == "ok"
    assert response.additional_kwargs["router"]["retries"]["attempts"] == 3
    assert len(wire.sent) == wire.closed == 3


def test_a_stream_that_breaks_off_is_not_begun_again(kernel, wire, clock):
    """A second beginning would say the same twice. on_success is not told, on_giveup is."""
    told = []
    wire.fail(503).reply(_part("o")).reply(*PARTS)
    callbacks = {
        name: lambda payload, n=name: told.append(n) for name in ("on_success", "on_giveup")
    }
    with pytest.raises(InvalidResponse) as info:
        clock.run(_read(kernel, tenacious=True, **callbacks))
    assert info.value.partial.text == "o"
    assert "gave up" not in str(info.value)
    assert len(wire.sent) == 2
    assert told == ["on_giveup"]


def test_success_is_told_at_the_end_of_a_stream(kernel, wire, clock):
    """Not at its first piece: it might still break."""
    told = []

    async def main():
        wire.reply(*PARTS)
        stream = await kernel.acompletion(
            "openai/m", ASK, stream=True, api_key="k", on_success=told.append
        )
        assert told == []
        assert [chunk.text async for chunk in stream] == ["o", "k"]

    clock.run(main())
    assert [payload["attempts"] for payload in told] == [1]


def test_a_stream_that_began_is_not_bounded_by_the_budget(wire, clock, longest):
    """The time is for getting an answer, not for reading it."""
    wire.reply(*PARTS)
    kernel = Kernel.of(wire, scillm_openai_like, Retry(draw=longest))

    async def main():
        stream = await kernel.acompletion(
            "openai/m", ASK, stream=True, api_key="k", retry_time_budget_s=5
        )
        texts = []
        async for chunk in stream:
            texts.append(chunk.text)
            await asyncio.sleep(100)
        return texts

    assert clock.run(main()) == ["o", "k"]


def test_leaving_a_stream_closes_the_attempt(kernel, wire, clock):
    """The first attempts are closed already, the last one is when its reader leaves."""

    async def main():
        wire.fail(503).reply(*PARTS)
        stream = await kernel.acompletion("openai/m", ASK, stream=True, api_key="k")
        assert wire.closed == 1
        await stream.aclose()
        assert wire.closed == 2

    clock.run(main())


def test_a_stream_without_any_piece_is_asked_for_again(kernel, wire, clock):
    """The kernel takes it for no answer, and nothing of it has been handed over."""
    told = []
    wire.reply(b"[DONE]").reply(*PARTS)
    texts, _ = clock.run(_read(kernel, on_success=told.append))
    assert texts == ["o", "k"]
    assert len(wire.sent) == 2
    assert told[0]["attempts"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_sync_calls_are_retried_the_same_way(endpoint, stream):
    """Over a real connection, through the sync door: dropped, refused for now, answered."""
    base = endpoint.url(f"sdrop.503.ok-ram10-idretrysync{stream}")
    with Kernel.of(scillm_http.Http(), scillm_openai_like, Retry()) as kernel:
        answer = kernel.completion(
            "openai/m",
            ASK,
            api_base=base,
            api_key="k",
            retry_after=0.01,
            retry_meta=True,
            stream=stream,
        )
        if stream:
            text = "".join(chunk.text for chunk in answer)
            answer = answer.response
            assert text == answer.text
    assert answer.additional_kwargs["router"]["retries"]["attempts"] == 3
    assert len(endpoint.requests_to(base)) == 3


def test_many_calls_at_a_time_count_for_themselves(endpoint):
    """State is of a call, not of the plugin."""
    base = endpoint.url("429-ram1-idretrymany")

    async def main():
        async with Kernel.of(scillm_http.Http(), scillm_openai_like, Retry()) as kernel:
            ask = {"api_base": base, "api_key": "k", "retry_after": 0.001, "max_retries": 2}
            calls = [kernel.acompletion("openai/m", ASK, **ask) for _ in range(20)]
            return await asyncio.gather(*calls, return_exceptions=True)

    errors = asyncio.run(main())
    assert all(isinstance(error, APIError) for error in errors)
    assert {error.retries["attempts"] for error in errors} == {3}
    assert len(endpoint.requests_to(base)) == 60
