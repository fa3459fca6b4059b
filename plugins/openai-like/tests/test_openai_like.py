"""Any OpenAI-compatible endpoint."""

import asyncio
from typing import ClassVar

import pytest

import scillm_openai_like
from pytest_scillm import ProviderConformance
from scillm import AuthenticationError, BadRequestError, Call, Kernel, Secret, doors
from scillm_openai_like.hosts import HOSTS

ASK = [{"role": "user", "content": "hi"}]


class TestOpenaiLike(ProviderConformance):
    """An address of the caller's."""

    plugin, model = scillm_openai_like, "openai_like/some/model"
    arguments: ClassVar = {"api_base": "http://127.0.0.1:9"}


class TestOpenai(ProviderConformance):
    """A row of the table."""

    plugin, model = scillm_openai_like, "openai/gpt-4o-mini"


@pytest.fixture
def hook():
    """The plugin's hooks."""
    return Kernel.of(scillm_openai_like).plugins.manager.hook


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for host in HOSTS:
        for name in (host.key_variable, host.base_variable):
            if name:
                monkeypatch.delenv(name, raising=False)


def test_a_bare_model_with_an_address_is_taken(hook):
    """The address says where; without one, nobody guesses."""
    route = hook.resolve_model(call=Call(model="m", api_base="http://h"))
    assert (route.provider, route.model, route.base_url) == ("openai_like", "m", "http://h/v1")
    assert hook.resolve_model(call=Call(model="gpt-4o")) is None
    bare = hook.resolve_model(call=Call(model="mistral", api_base="http://h"))
    assert (bare.provider, bare.model) == ("openai_like", "mistral")
    assert hook.resolve_model(call=Call(model="org/m", api_base="http://h")) is None
    named = hook.resolve_model(call=Call(model="openai_like/org/m", api_base="http://h"))
    assert (named.provider, named.model) == ("openai_like", "org/m")


def test_a_model_of_another_provider_is_left_alone_even_with_an_address(hook):
    """``custom_llm_provider`` decides."""
    assert (
        hook.resolve_model(call=Call(model="m", provider="codeworld", api_base="http://h")) is None
    )


@pytest.mark.parametrize("host", [h for h in HOSTS if h.needs_key], ids=lambda h: h.names[0])
def test_a_missing_key_is_named(hook, host):
    """The variable to set stands in the message; nothing is sent."""
    call = Call(model=f"{host.names[0]}/m", messages=tuple(ASK))
    route = hook.resolve_model(call=call)
    assert route.base_url == host.base_url
    with pytest.raises(
        AuthenticationError, match=f"no key for {host.names[0]}: set {host.key_variable}"
    ):
        hook.prepare_request(call=call, route=route)


@pytest.mark.parametrize("host", [h for h in HOSTS if h.key_variable], ids=lambda h: h.names[0])
def test_a_key_of_the_environment_is_sent_and_hidden(hook, monkeypatch, host):
    """Read when used."""
    monkeypatch.setenv(host.key_variable, "sk-env")
    call = Call(model=f"{host.names[0]}/m", messages=tuple(ASK))
    request = hook.prepare_request(call=call, route=hook.resolve_model(call=call))
    assert request.headers["authorization"] == Secret("Bearer sk-env")


@pytest.mark.parametrize("host", [h for h in HOSTS if h.base_variable], ids=lambda h: h.names[0])
def test_a_host_can_be_moved(hook, monkeypatch, host):
    """By its variable, with or without /v1; an argument wins."""
    monkeypatch.setenv(host.base_variable, "http://elsewhere")
    call = Call(model=f"{host.names[0]}/m")
    assert hook.resolve_model(call=call).base_url == "http://elsewhere/v1"
    call = Call(model=f"{host.names[0]}/m", api_base="http://own/v1/")
    assert hook.resolve_model(call=call).base_url == "http://own/v1"


def test_a_missing_address_is_named(hook):
    """Before anything is sent."""
    call = Call(model="openai_like/m", messages=tuple(ASK))
    with pytest.raises(BadRequestError, match="openai_like needs an address: pass api_base"):
        hook.prepare_request(call=call, route=hook.resolve_model(call=call))


@pytest.mark.parametrize("operation", ["chat", "embedding"])
def test_a_provider_without_a_model_is_refused(hook, operation):
    """An empty name would be the host's to puzzle over; a list of models needs none."""
    call = Call(model="openai/", operation=operation, messages=tuple(ASK), api_key=Secret("k"))
    with pytest.raises(BadRequestError, match="names none: write 'openai/' and the model's name"):
        hook.prepare_request(call=call, route=hook.resolve_model(call=call))
    listing = Call(model="openai/", operation="models", api_key=Secret("k"))
    assert hook.prepare_request(call=listing, route=hook.resolve_model(call=listing))


@pytest.mark.parametrize("ask_host", ["sync", "async"])
def test_the_usual_loop_over_a_stream_meets_no_chunk_without_choices(endpoint, ask_host):
    """``chunk.choices[0]`` is what everybody writes; the usage is in the whole answer."""
    import scillm_http

    arguments = {"api_base": endpoint.url("echo"), "stream": True}
    with Kernel.of(scillm_openai_like, scillm_http.Http) as kernel:
        if ask_host == "sync":
            stream = kernel.completion("m", ASK, **arguments)
            said = [chunk.choices[0].delta.content or "" for chunk in stream]
        else:
            said, stream = asyncio.run(_looped(kernel, arguments))
    assert "".join(said) == "hi"
    assert stream.response.usage.total_tokens


async def _looped(kernel, arguments):
    async with await kernel.acompletion("m", ASK, **arguments) as stream:
        return [chunk.choices[0].delta.content or "" async for chunk in stream], stream


def test_the_callers_header_is_the_only_one():
    """As the quickstart has it: api_key=None and an x-api-key."""
    kernel = Kernel.of(scillm_openai_like)
    call = doors.chat(
        kernel.plugins,
        "m",
        ASK,
        custom_llm_provider="openai_like",
        api_base="http://h",
        api_key=None,
        extra_headers={"x-api-key": "k"},
    )
    hook = kernel.plugins.manager.hook
    request = hook.prepare_request(call=call, route=hook.resolve_model(call=call))
    assert request.wire_headers()["x-api-key"] == "k"
    assert "authorization" not in request.headers


def test_the_table_is_sound():
    """Names are unique, addresses are https or loopback and end where a path begins."""
    names = [name for host in HOSTS for name in host.names]
    assert len(names) == len(set(names))
    for host in HOSTS:
        assert not host.base_url.endswith("/")
        assert host.base_url == "" or host.base_url.startswith(("https://", "http://127.0.0.1"))
        assert host.base_url or not host.key_variable
