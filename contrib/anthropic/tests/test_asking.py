"""What goes out: OpenAI's words in Anthropic's."""

from __future__ import annotations

import json

import pytest

import scillm_anthropic
from scillm import AuthenticationError, BadRequestError, Kernel, UnsupportedParamsError

HI = [{"role": "user", "content": "hi"}]
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}},
}
CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
    {"id": "t2", "type": "function", "function": {"name": "now", "arguments": ""}},
]


def test_a_chat_has_the_default_of_max_tokens_unless_told(body, monkeypatch):
    """Anthropic requires it; a call, then the variable, then 8192 decide."""
    assert body(HI)["max_tokens"] == 8192
    assert body(HI, max_tokens=5)["max_tokens"] == 5
    monkeypatch.setenv("SCILLM_ANTHROPIC_MAX_TOKENS", "99")
    assert body(HI)["max_tokens"] == 99


def test_a_budget_to_think_comes_on_top_of_the_default(body):
    """Thoughts count as answer there, so an answer keeps its room."""
    thinking = {"type": "enabled", "budget_tokens": 2048}
    said = body(HI, extra_body={"thinking": thinking})
    assert (said["thinking"], said["max_tokens"]) == (thinking, 8192 + 2048)


def test_parameters_are_said_in_anthropics_words(body):
    """Each that has a word there."""
    schema = {"type": "object", "properties": {}}
    said = body(
        HI,
        temperature=0.5,
        top_p=0.9,
        stop="END",
        user="u1",
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        tools=[TOOL, {"type": "web_search_20260318", "name": "web_search"}],
        n=1,
    )
    assert (said["temperature"], said["top_p"], said["stop_sequences"]) == (0.5, 0.9, ["END"])
    assert said["metadata"] == {"user_id": "u1"}
    form = {"type": "json_schema", "schema": schema}
    assert said["output_config"] == {"effort": "high", "format": form}
    add = {"name": "add", "description": "adds", "input_schema": {"type": "object"}}
    assert said["tools"] == [add, {"type": "web_search_20260318", "name": "web_search"}]
    assert "n" not in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"type": "tool", "name": "add"},
        ),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_the_choice_of_tools(body, asked, said):
    """Which tool, and whether several at once, is one object there."""
    assert body(HI, tools=[TOOL], **asked).get("tool_choice") == said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("n", 2),
        ("logprobs", True),
        ("frequency_penalty", 1.0),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "any"),
        ("reasoning", {"effort": "low"}),
    ],
)
def test_what_it_has_no_word_for_is_refused_by_name(body, name, value):
    """And sent if the caller insists."""
    with pytest.raises(UnsupportedParamsError, match=name):
        body(HI, **{name: value})
    assert body(HI, **{name: value}, allowed_openai_params=[name])[name] == value


def test_system_messages_at_the_beginning_are_the_system_prompt(body):
    """Later ones stay where they stand; the API takes them there."""
    said = body(
        [
            {"role": "system", "content": "one"},
            {"role": "developer", "content": "two"},
            *HI,
            {"role": "system", "content": "three"},
        ]
    )
    assert [block["text"] for block in said["system"]] == ["one", "two"]
    assert [turn["role"] for turn in said["messages"]] == ["user", "system"]


def test_tool_calls_and_their_results_go_back(body):
    """With the thoughts before them; the results of parallel calls are one turn."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = body(
        [
            *HI,
            {"role": "assistant", "content": "", "thinking_blocks": [thought], "tool_calls": CALLS},
            {"role": "tool", "tool_call_id": "t1", "content": "2"},
            {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "noon"}]},
        ]
    )
    _, answer, results = said["messages"]
    assert answer["content"] == [
        thought,
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
    ]
    assert results["role"] == "user"
    assert [(r["tool_use_id"], r["content"][0]["text"]) for r in results["content"]] == [
        ("t1", "2"),
        ("t2", "noon"),
    ]


def test_images_by_address_and_as_data(body):
    """Both of OpenAI's forms, and Anthropic's own blocks as they are."""
    document = {"type": "document", "source": {"type": "text", "data": "x"}}
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        document,
    ]
    said = body([{"role": "user", "content": parts}])
    assert said["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        document,
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "tool", "content": "x"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{"}}],
        },
    ],
)
def test_a_message_that_cannot_be_said_is_refused(body, message):
    """Before anything is sent, as the caller's mistake."""
    with pytest.raises(BadRequestError, match="anthropic has no"):
        body([message])


def test_without_a_key_nothing_is_sent(monkeypatch):
    """The message names the variable."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with (
        Kernel.of(scillm_anthropic) as kernel,
        pytest.raises(AuthenticationError, match="ANTHROPIC_API_KEY"),
    ):
        kernel.completion("anthropic/claude", HI)


def test_the_address_and_the_key_come_from_variables(scillm_kernel, wire, monkeypatch):
    """As the official clients name them; the version of the API is a header."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/")
    wire.reply({"data": [{"id": "claude", "type": "model", "display_name": "Claude"}]})
    found = scillm_kernel(scillm_anthropic).models("anthropic")
    (asked,) = wire.sent
    assert (asked.method, asked.url) == ("GET", "http://127.0.0.1:9/v1/models?limit=1000")
    assert asked.wire_headers()["x-api-key"] == "sk-ant-1"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(found.to_json())["data"][0]["id"] == "claude"
