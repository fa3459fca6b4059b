"""codex-agent: the provider and its helper."""

import pytest

import scillm_codex_agent
from pytest_scillm import ProviderConformance
from scillm import Call, Kernel, doors

ASK = [{"role": "user", "content": "hi"}]


class TestCodexAgent(ProviderConformance):
    """At its default address."""

    plugin, model = scillm_codex_agent, "codex-agent/gpt-5"


@pytest.fixture
def kernel():
    """The plugin alone."""
    return Kernel.of(scillm_codex_agent)


def _request(kernel, *args, **more):
    hook, call = kernel.plugins.manager.hook, doors.chat(kernel.plugins, *args, **more)
    return hook.prepare_request(call=call, route=hook.resolve_model(call=call))


@pytest.mark.parametrize("name", scillm_codex_agent.PROVIDERS)
def test_every_spelling_is_the_same_provider(kernel, name):
    """By prefix or by custom_llm_provider."""
    for call in (Call(model=f"{name}/gpt-5"), Call(model="gpt-5", provider=name)):
        route = kernel.plugins.manager.hook.resolve_model(call=call)
        assert (route.provider, route.model) == ("codex-agent", "gpt-5")


@pytest.mark.parametrize("base", ["http://127.0.0.1:8089", "http://127.0.0.1:8089/v1/"])
def test_the_address_is_taken_with_and_without_v1(kernel, monkeypatch, base):
    """From the argument or the variable."""
    assert (
        _request(kernel, "codex-agent/m", ASK, api_base=base).url
        == "http://127.0.0.1:8089/v1/chat/completions"
    )
    monkeypatch.setenv("CODEX_AGENT_API_BASE", base)
    assert _request(kernel, "codex-agent/m", ASK).url == "http://127.0.0.1:8089/v1/chat/completions"


def test_a_reasoning_effort_is_told_in_both_spellings(kernel):
    """One's own ``reasoning`` wins."""
    body = _request(
        kernel, "codex-agent/m", ASK, reasoning_effort="high", allowed_openai_params=["reasoning"]
    ).body
    assert (body["reasoning_effort"], body["reasoning"]) == ("high", {"effort": "high"})
    body = _request(
        kernel, "codex-agent/m", ASK, reasoning_effort="high", reasoning={"effort": "low"}
    ).body
    assert body["reasoning"] == {"effort": "low"}


def test_the_whole_history_is_sent(kernel):
    """Nothing is cut."""
    history = [{"role": "user", "content": str(n)} for n in range(40)]
    assert len(_request(kernel, "codex-agent/m", history).body["messages"]) == 40


def test_a_key_is_sent_if_there_is_one(kernel, monkeypatch):
    """Usually there is none."""
    assert "authorization" not in _request(kernel, "codex-agent/m", ASK).headers
    monkeypatch.setenv("CODEX_AGENT_API_KEY", "k")
    assert _request(kernel, "codex-agent/m", ASK).wire_headers()["authorization"] == "Bearer k"


def test_chat_returns_plain_dicts(endpoint):
    """Against a real endpoint, under the quickstart's import path."""
    from scillm.extras.codex import chat

    answer = chat(
        ASK, model="gpt-5", base=endpoint.url("echo"), temperature=1, reasoning_effort="medium"
    )
    assert answer["choices"][0]["message"]["content"] == "hi"
    assert endpoint.requests[-1].json["reasoning"] == {"effort": "medium"}
