"""Ids that the host did not list."""

import asyncio
import pickle
from typing import ClassVar

import pytest

from pytest_scillm import StrategyConformance
from scillm import (
    Call,
    Kernel,
    NotFoundError,
    Request,
    Response,
    Route,
    UnknownModelError,
    hookimpl,
)
from scillm_cache import Caching
from scillm_preflight import Preflight, UnknownModelId
from scillm_preflight.api import preflight_models
from scillm_retry import Retry
from scillm_router import Router

ASK = [{"role": "user", "content": "hi"}]
ON = {"model_preflight": True}


class TestOff(StrategyConformance):
    """As every strategy, switched off."""

    plugin = Preflight


class TestOn(StrategyConformance):
    """And on, with nothing known of the host."""

    plugin = Preflight
    arguments: ClassVar = {"model_preflight": True, "model_alias": True}


@pytest.fixture
def known(host, kernel):
    """The kernel knows what the host offers; that question is forgotten."""
    preflight_models(api_base=host.base, kernel=kernel)
    host.asked.clear()
    return kernel


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_id_fails_and_nothing_is_sent(known, host, ask, stream):
    """The error names the nearest and says how old the list is."""
    with pytest.raises(UnknownModelId) as info:
        ask(known, "Qwen/Qwen3-14B", stream=stream, **ON)
    assert host.asked == []
    error = info.value
    assert str(error) == (
        "openai_like/Qwen/Qwen3-14B: 'Qwen/Qwen3-14B' is none of the 3 models that "
        f"{host.base}/v1 listed 0 s ago; the nearest: {error.nearest[0]!r}, {error.nearest[1]!r}. "
        "Nothing was sent. Ask for an id as it is listed or, if it is new there, call "
        "preflight_models(api_base=..., ttl_s=0)"
    )
    assert set(error.nearest) == {"Qwen/Qwen3-8B", "Qwen/Qwen3-32B"}
    assert (error.asked, error.catalog_age_s, error.status_code) == ("Qwen/Qwen3-14B", 0.0, 404)


def test_the_error_is_what_callers_of_other_clients_catch(known, ask):
    """A ValueError, a NotFoundError, and the same after a pickle."""
    with pytest.raises(ValueError, match="Nothing was sent") as info:
        ask(known, "nope", **ON)
    assert isinstance(info.value, (UnknownModelError, NotFoundError))
    copy = pickle.loads(pickle.dumps(info.value))
    assert (type(copy), str(copy), copy.asked) == (UnknownModelId, str(info.value), "nope")


def test_a_listed_id_passes(known, host, ask):
    """As it is, with nothing noted."""
    answer = ask(known, "Qwen/Qwen3-8B", **ON)
    assert (answer.text, host.asked) == ("hello", ["Qwen/Qwen3-8B"])
    assert not answer.additional_kwargs


def test_off_nothing_is_looked_at(known, host, ask):
    """The host decides."""
    assert ask(known, "nope").text == "hello"
    assert host.asked == ["nope"]


def test_the_variable_switches_it_on_and_the_argument_wins(known, ask, monkeypatch):
    """For one call."""
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT", "1")
    with pytest.raises(UnknownModelId):
        ask(known, "nope")
    assert ask(known, "nope", model_preflight=False).text == "hello"


def test_off_the_sender_is_handed_on_as_it_is(known):
    """An idle plugin costs no layer."""

    async def inner(request):
        yield None

    wrapper = Preflight().send(Call(model="m"))
    next(wrapper)
    with pytest.raises(StopIteration) as stop:
        wrapper.send(inner)
    assert stop.value.value is inner


def test_without_a_catalogue_the_call_goes_on(kernel, host, ask, caplog):
    """And says so to whoever looks for it."""
    caplog.set_level("DEBUG", "scillm.preflight")
    assert ask(kernel, "nope", **ON).text == "hello"
    assert f"no catalogue of {host.base}" in caplog.text
    assert host.asked == ["nope"]


def test_a_stale_catalogue_does_not_count(known, host, clock, ask, caplog):
    """It is told once, until the host is read again; by the setting it counts."""
    clock.now_s += 1801
    for _ in range(2):
        assert ask(known, "nope", **ON).text == "hello"
    assert caplog.text.count("was read 30 min ago and does not count") == 1
    with pytest.raises(UnknownModelId, match="listed 30 min ago"):
        ask(known, "nope", model_preflight_allow_stale=True, **ON)

    preflight_models(api_base=host.base, kernel=known)
    with pytest.raises(UnknownModelId):
        ask(known, "nope", **ON)
    clock.now_s += 1801
    ask(known, "nope", **ON)
    assert caplog.text.count("does not count") == 2


def test_the_time_to_live_is_the_settings(known, clock, ask, monkeypatch):
    """Whatever preflight_models was told."""
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT_TTL_S", "10")
    clock.now_s += 9
    with pytest.raises(UnknownModelId, match="listed 9 s ago"):
        ask(known, "nope", **ON)
    clock.now_s += 2
    assert ask(known, "nope", **ON).text == "hello"


def test_another_host_is_another_catalogue(known, other_host):
    """What one lists says nothing of another."""
    where = {"custom_llm_provider": "openai_like", "api_base": other_host.base}
    assert known.completion("nope", ASK, **where, **ON).text == "hello"


def test_a_host_may_be_named_in_any_way(known, host, monkeypatch):
    """By a provider whose address is a variable, as by the address."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{host.base}/v1/")
    with pytest.raises(UnknownModelId, match="openai/nope: 'nope' is none"):
        known.completion("openai/nope", ASK, api_key="k", **ON)
    assert known.completion("openai/Qwen/Qwen3-8B", ASK, api_key="k", **ON).text == "hello"


class Elsewhere:
    """A provider that is reached in a way of its own."""

    @hookimpl
    def resolve_model(self, call):
        return Route(provider="elsewhere", model=call.model, base_url="unix:/run/models")

    @hookimpl
    def prepare_request(self, call, route):
        return Request(route=route, url="elsewhere:", read=lambda frame: ())

    @hookimpl
    def send(self, request):
        return self._send

    async def _send(self, request):
        choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
        yield Response({"choices": [choice]})


def test_a_provider_that_is_not_on_the_net_is_left_alone():
    """It has no list of models at an address."""
    kernel = Kernel.of(Preflight(), Elsewhere())
    answer = kernel.completion("Some Model", ASK, model_alias=True, **ON)
    assert (answer.text, answer.served_by.model) == ("hi", "Some Model")


def test_the_id_that_is_sent_counts(known, host, ask):
    """Not the one that is written, if the body has another."""
    with pytest.raises(UnknownModelId, match="'nope' is none"):
        ask(known, "Qwen/Qwen3-8B", extra_body={"model": "nope"}, **ON)
    assert ask(known, "nope", extra_body={"model": "Qwen/Qwen3-8B"}, **ON).text == "hello"
    assert host.asked == ["Qwen/Qwen3-8B"]


def test_embeddings_are_guarded_and_listings_are_not(known, host):
    """A listing names no model."""
    where = {"custom_llm_provider": "openai_like", "api_base": host.base, **ON}
    with pytest.raises(UnknownModelId):
        known.embedding("nope", ["a"], **where)
    assert known.embedding("Qwen/Qwen3-8B", ["a"], **where).model == "Qwen/Qwen3-8B"
    assert len(known.models("openai_like", api_base=host.base, **ON).data) == 3


def test_it_is_not_retried(kernels, host, ask):
    """No repetition can mend it."""
    kernel = kernels(Retry())
    preflight_models(api_base=host.base, kernel=kernel)
    with pytest.raises(UnknownModelId):
        ask(kernel, "nope", max_retries=3, **ON)
    assert host.asked == ["/v1/models"]


def test_beneath_a_router_each_deployment_is_looked_at(kernels, host, ask):
    """One whose id is unknown is passed over, and nothing is sent for it."""
    kernel = kernels(Caching())
    preflight_models(api_base=host.base, kernel=kernel)
    place = {"custom_llm_provider": "openai_like", "api_base": host.base, **ON}
    entries = [
        {"model_name": "any", "litellm_params": {"model": "nope", "order": 1, **place}},
        {"model_name": "any", "litellm_params": {"model": "Qwen/Qwen3-8B", "order": 2, **place}},
    ]

    answer = Router(entries, kernel=kernel).completion("any", ASK)

    assert answer.served_by.model == "Qwen/Qwen3-8B"
    assert answer.additional_kwargs["router"]["attempted"][0]["kind"] == "not_found"
    assert host.asked == ["/v1/models", "Qwen/Qwen3-8B"]


def test_many_calls_at_a_time_are_guarded(known, host):
    """In async code as well."""

    async def main():
        where = {"custom_llm_provider": "openai_like", "api_base": host.base, **ON}
        calls = (known.acompletion(f"nope-{n}", ASK, **where) for n in range(20))
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = asyncio.run(main())
    assert [error.asked for error in errors] == [f"nope-{n}" for n in range(20)]
    assert host.asked == []
