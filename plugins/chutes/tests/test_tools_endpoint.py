"""Calls with tools go where the environment says."""

import pytest

import scillm
from scillm_chutes.tool_check import TOOL, examine

ASK = [{"role": "user", "content": "What is the weather in Tokyo right now?"}]


def ask(base, **more):
    """Ask through the provider for any address."""
    return scillm.completion(
        "k", ASK, custom_llm_provider="openai_like", api_base=base, api_key="k", **more
    )


def paths(gateway):
    """Where calls went."""
    return [path for path, body in gateway.asked if body]


def test_a_call_with_tools_is_said_in_the_dialect_of_its_path(gateway, monkeypatch):
    """And its answer is a chat completion again, with the call on the choice."""
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/responses")
    answer = ask(gateway.base, tools=[TOOL], tool_choice="auto")
    assert paths(gateway) == ["/v1/responses"]
    body = gateway.asked[-1][1]
    assert body["tools"][0]["name"] == "get_weather"
    assert body["input"] == ASK
    assert answer.choices[0].tool_calls[0].function.name == "get_weather"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_stream_is_made_of_the_whole(gateway, monkeypatch):
    """Its pieces say the same."""
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/responses")
    stream = ask(gateway.base, tools=[TOOL], stream=True)
    list(stream)
    assert stream.response.choices[0].tool_calls[0].function.name == "get_weather"


def test_another_path_is_asked_in_the_usual_dialect(gateway, monkeypatch):
    """Only the address differs."""
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/tools/chat/completions")
    ask(gateway.base, tools=[TOOL])
    assert paths(gateway) == ["/v1/tools/chat/completions"]


def test_calls_without_tools_go_the_usual_way(gateway, monkeypatch):
    """So do all where the variable is not set."""
    ask(gateway.base, tools=[TOOL])
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/responses")
    ask(gateway.base)
    assert paths(gateway) == ["/v1/chat/completions"] * 2


def test_other_addresses_are_left_alone_unless_all_are_gateways(gateways, gateway, monkeypatch):
    """SCILLM_CHUTES_MODE=1 takes every address for one."""
    other = gateways()
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/responses")
    ask(other.base, tools=[TOOL])
    monkeypatch.setenv("SCILLM_CHUTES_MODE", "1")
    ask(other.base, tools=[TOOL])
    assert paths(other) == ["/v1/chat/completions", "/v1/responses"]


@pytest.mark.parametrize("text", ["v1/responses", "http://elsewhere/v1", "//elsewhere/v1", "/a?b"])
def test_what_is_no_path_is_refused(gateway, monkeypatch, text):
    """A key must not go to another host because of it."""
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", text)
    with pytest.raises(Exception, match=r"CHUTES_TOOLS_ENDPOINT=.* expected a path"):
        ask(gateway.base, tools=[TOOL])
    assert not paths(gateway)


def test_the_check_of_tools_asks_there_too(gateway, monkeypatch):
    """So that a path can be verified."""
    monkeypatch.setenv("CHUTES_TOOLS_ENDPOINT", "/v1/responses")
    from scillm_chutes.settings import gateways as named

    assert examine(named()[0], "k")["ok_tools"] is True
    assert paths(gateway) == ["/v1/responses"]
