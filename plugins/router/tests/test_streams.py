"""Streams of real hosts: another is asked before the first event, and never after it."""

import asyncio

import pytest

from scillm import APIConnectionError, APIError, Kernel
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def router(endpoint):
    """Make a Router of groups, each of hosts that behave as the options say; and their bases."""
    with Kernel.installed() as kernel:

        def router(groups, **more):
            params = {"model": "openai_like/m", "api_key": "sk-test"}
            bases = {name: [endpoint.url(each) for each in hosts] for name, hosts in groups.items()}
            models = [
                {"model_name": n, "litellm_params": {**params, "api_base": base, "order": place}}
                for n, hosts in bases.items()
                for place, base in enumerate(hosts)
            ]
            return Router(models, num_retries=0, kernel=kernel, **more), bases

        yield router


@pytest.fixture
def whole(router):
    """What a host that is well streams."""
    return read(router({"g": ["id1"]})[0], "sync")[0]


def read(router, door, **more):
    """Read a stream to its end; returns its text and the whole."""
    if door == "sync":
        with router.completion("g", ASK, stream=True, **more) as stream:
            return "".join(chunk.text for chunk in stream), stream.response

    async def main():
        async with await router.acompletion("g", ASK, stream=True, **more) as stream:
            return "".join([chunk.text async for chunk in stream]), stream.response

    return asyncio.run(main())


@pytest.mark.parametrize("door", ["sync", "async"])
@pytest.mark.parametrize("fault", ["s503", "drop", "html", "s403", "s429-ra9"])
def test_the_next_host_streams_when_the_first_does_not_begin(router, endpoint, whole, fault, door):
    """The text is there once, and the whole says who gave it."""
    one, bases = router({"g": [fault, "id2"]})
    text, response = read(one, door)
    assert text == response.text == whole
    notes = response.additional_kwargs["router"]
    assert (len(notes["attempted"]), notes["fallback_used"]) == (1, False)
    assert response.served_by.base_url == bases["g"][1]
    assert len(endpoint.requests_to(bases["g"][1])) == 1


@pytest.mark.parametrize("door", ["sync", "async"])
@pytest.mark.parametrize("fault", ["mid", "cutsse", "errsse"])
def test_a_stream_that_breaks_is_not_begun_elsewhere(router, endpoint, whole, fault, door):
    """The error has what came; nobody else is asked, in the group or after it."""
    one, bases = router({"g": [fault, "id2"], "h": ["id3"]}, fallbacks=[{"g": ["h"]}])
    with pytest.raises(APIError) as info:
        read(one, door)
    assert info.value.partial.text
    assert whole.startswith(info.value.partial.text)
    assert not endpoint.requests_to(bases["g"][1])
    assert not endpoint.requests_to(bases["h"][0])


@pytest.mark.parametrize("is_off", [False, True])
def test_fallbacks_of_streams_can_be_left_out(router, endpoint, whole, is_off):
    """As of whole answers."""
    one, bases = router({"g": ["drop"], "h": ["id2"]}, fallbacks=[{"g": ["h"]}])
    if is_off:
        with pytest.raises(APIConnectionError):
            read(one, "async", disable_fallbacks=True)
        assert not endpoint.requests_to(bases["h"][0])
        return
    text, response = read(one, "async")
    assert text == whole
    assert response.additional_kwargs["router"]["fallback_used"] is True


def test_a_host_that_hangs_is_left_after_its_timeout(router, whole):
    """And the next one answers."""
    one, _ = router({"g": ["hang", "id2"]}, timeout=0.2)
    text, response = read(one, "async")
    assert text == whole
    assert response.additional_kwargs["router"]["attempted"][0]["kind"] == "timeout"
