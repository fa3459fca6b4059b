"""A Router with every plugin around and beneath it."""

import asyncio
import json

import pytest

from scillm import APIConnectionError, BadRequestError, Kernel, Router

ASK = [{"role": "user", "content": 'Return STRICT JSON only: {"ok":true}'}]
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
OBJECT = {"type": "json_object"}


@pytest.fixture
def kernel():
    """Every installed plugin."""
    with Kernel.installed() as kernel:
        yield kernel


def bodies(endpoint, base):
    """What was sent there."""
    return [json.loads(received.body) for received in endpoint.requests_to(base)]


@pytest.mark.parametrize("where", ["argument", "variable"])
def test_a_provider_that_is_named_in_the_call_has_retries_and_no_word_of_them(
    kernel, endpoint, monkeypatch, where
):
    """Without a model list; each body is the same, and holds what is the host's alone."""
    base = endpoint.url("s503.429.drop.ok-ram1")
    given = {"api_base": base, "api_key": "sk-test"} if where == "argument" else {}
    if where == "variable":
        monkeypatch.setenv("CODEX_AGENT_API_BASE", base)
        monkeypatch.setenv("CODEX_AGENT_API_KEY", "sk-test")
    out = Router(kernel=kernel).completion(
        model="gpt-5",
        custom_llm_provider="codex-agent",
        messages=ASK,
        reasoning_effort="high",
        response_format=OBJECT,
        retry_enabled=True,
        honor_retry_after=True,
        num_retries=5,
        retry_after=0.001,
        retry_meta=True,
        disable_fallbacks=False,
        fallbacks=[{"another": ["openai/never-asked"]}],
        metadata={"run": "mine"},
        **given,
    )
    assert out.choices[0].message["content"]
    notes = out.additional_kwargs["router"]
    assert (notes["model_group"], notes["retries"]["attempts"]) == ("gpt-5", 4)
    sent = bodies(endpoint, base)
    assert len(sent) == 4
    assert all(body == sent[0] for body in sent)
    assert sent[0] == {
        "model": "gpt-5",
        "messages": ASK,
        "reasoning_effort": "high",
        "reasoning": {"effort": "high"},
        "response_format": OBJECT,
    }


def test_a_provider_that_is_named_in_the_call_has_fallbacks(kernel, endpoint, monkeypatch):
    """Of the Router or of the call, by the name of the model."""
    down, up = endpoint.url("drop-id1"), endpoint.url("id2")
    monkeypatch.setenv("CODEX_AGENT_API_BASE", down)
    params = {"model": "openai_like/m", "api_base": up, "api_key": "sk-test"}
    models = [{"model_name": "up", "litellm_params": params}]
    asked = {"model": "gpt-5", "custom_llm_provider": "codex-agent", "messages": ASK}
    table = [{"gpt-5": ["up"]}]
    of_router = Router(models, kernel=kernel, fallbacks=table, num_retries=0)
    for one, more in (
        (of_router, {}),
        (Router(models, kernel=kernel, num_retries=0), {"fallbacks": table}),
    ):
        out = one.completion(**asked, **more)
        assert out.additional_kwargs["router"]["fallback_used"] is True
        assert out.served_by.base_url == up
    with pytest.raises(APIConnectionError):
        of_router.completion(**asked, disable_fallbacks=True)
    assert bodies(endpoint, up) == [{"model": "m", "messages": ASK}] * 2


def test_the_environments_limit_holds_beneath_a_run(kernel, endpoint, monkeypatch):
    """Eight workers, two requests at a time at one address: nothing is refused, all is answered."""
    monkeypatch.setenv("SCILLM_MAX_CONCURRENCY", "2")
    base = endpoint.url("lat5")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    router = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)
    before = endpoint.connections

    async def main():
        requests = [{"model": "g", "messages": ASK}] * 30
        slots = await router.parallel_acompletions(requests, concurrency=8)
        await kernel.aclose()
        return slots

    slots = asyncio.run(main())
    assert [slot.error for slot in slots] == [None] * 30
    assert endpoint.connections - before <= 2


@pytest.mark.parametrize("door", ["kernel", "router", "parallel"])
def test_a_schema_is_tried_first_through_all_doors(kernel, endpoint, door):
    """Then an object is asked for; the notes say which, and whether it fits."""
    base = endpoint.url("echo")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    router = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)

    def asked(content):
        given = {
            "messages": [{"role": "user", "content": content}],
            "json_schema": SCHEMA,
            "response_mode": "schema_first",
        }
        if door == "kernel":
            return kernel.completion(**params, **given)
        if door == "router":
            return router.completion("g", **given)
        (slot,) = asyncio.run(router.parallel_acompletions([{"model": "g", **given}]))
        told = slot["scillm_router"]
        assert told["json_valid"] is slot.response.additional_kwargs["router"]["json_valid"]
        assert told["error_type"] == ("ok" if told["json_valid"] else "invalid_json")
        assert told["schema_mode"] in ("json_schema", "json_object")
        return slot.response

    good = asked('{"age": 3}').additional_kwargs["router"]
    assert (good["schema_mode"], good["fallback_used"]) == ("json_schema", False)
    assert (good["json_valid"], good["parse_error"]) == (True, None)
    bad = asked('{"age": "3"}').additional_kwargs["router"]
    assert (bad["schema_mode"], bad["fallback_used"]) == ("json_object", True)
    assert bad["json_valid"] is False
    assert "$['age']" in bad["schema_error"]
    assert bad["parse_error"]
    assert ("deployment" in bad) is (door != "kernel")
    formats = [body["response_format"]["type"] for body in bodies(endpoint, base)]
    assert formats == ["json_schema", "json_schema", "json_object"]
    assert not {"json_schema", "response_mode"} & set(bodies(endpoint, base)[0])


def test_a_wrong_mode_is_told_by_the_router_too(kernel, endpoint):
    """Before anything is sent."""
    base = endpoint.url("id1")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    router = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)
    with pytest.raises(BadRequestError, match="response_mode='strict' is unknown"):
        router.completion("g", ASK, json_schema=SCHEMA, response_mode="strict")
    assert not endpoint.requests_to(base)


@pytest.mark.parametrize("what", ["nothing", "host", "params", "deterministic"])
def test_a_cache_does_not_take_one_routers_group_for_anothers(kernel, endpoint, what):
    """Of one name, and yet answered by others; what is the same is answered from memory."""
    base = endpoint.url("id1")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    other = {
        "host": {"api_base": endpoint.url("id2")},
        "params": {"temperature": 0.5},
    }.get(what, {"api_key": "another"})
    one, two = (
        Router(
            [{"model_name": "g", "litellm_params": {**params, **more}}],
            deterministic=bool(more) and what == "deterministic",
            kernel=kernel,
        )
        for more in ({}, other)
    )
    endpoint.reset()
    for router in (one, two):
        router.completion("g", ASK, caching=True)
    assert len(endpoint.requests) == (1 if what == "nothing" else 2)


@pytest.mark.parametrize("kind", ["deterministic", "plain"])
def test_a_deterministic_router_is_seen_at_the_host(kernel, endpoint, monkeypatch, kind):
    """Temperature, top_p, penalties and seed, over what the call says; one request at a time."""
    monkeypatch.setenv("SCILLM_DETERMINISTIC_SEED", "11")
    base = endpoint.url("lat2")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    router = Router(
        [{"model_name": "g", "litellm_params": params}],
        deterministic=kind == "deterministic",
        kernel=kernel,
    )
    before = endpoint.connections

    async def main():
        await router.parallel_acompletions(
            [{"model": "g", "messages": ASK, "temperature": 1}] * 9, concurrency=9
        )
        await kernel.aclose()

    asyncio.run(main())
    sent = bodies(endpoint, base)[0]
    if kind == "plain":
        assert sent == {"model": "m", "messages": ASK, "temperature": 1}
        return
    fixed = {"temperature": 0, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
    assert sent == {"model": "m", "messages": ASK, **fixed, "seed": 11}
    assert endpoint.connections - before == 1
