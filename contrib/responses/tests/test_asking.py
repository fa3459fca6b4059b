"""What goes out: a chat in the words of the Responses API."""

from __future__ import annotations

import pytest

import scillm_responses
from scillm import AuthenticationError, BadRequestError, Kernel, UnsupportedParamsError

HI = [{"role": "user", "content": "hi"}]
ADD = {"name": "add", "description": "adds", "parameters": {"type": "object"}, "strict": True}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]


def test_parameters_are_said_in_its_words(body):
    """Each that has a word there."""
    form = {"name": "x", "schema": {"type": "object"}, "strict": True}
    said = body(
        HI,
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        reasoning={"summary": "auto"},
        reasoning_effort="low",
        verbosity="low",
        response_format={"type": "json_schema", "json_schema": form},
        tools=[{"type": "function", "function": ADD}, {"type": "web_search"}],
        tool_choice={"type": "function", "function": {"name": "add"}},
        parallel_tool_calls=False,
        n=1,
    )
    assert (said["temperature"], said["top_p"], said["max_output_tokens"]) == (0.5, 0.9, 7)
    assert said["reasoning"] == {"summary": "auto", "effort": "low"}
    assert said["text"] == {"verbosity": "low", "format": {"type": "json_schema", **form}}
    assert said["tools"] == [{"type": "function", **ADD}, {"type": "web_search"}]
    assert said["tool_choice"] == {"type": "function", "name": "add"}
    assert said["parallel_tool_calls"] is False
    assert "n" not in said


@pytest.mark.parametrize("value", ["auto", "required", "none"])
def test_a_choice_of_tools_in_a_word_is_sent_as_it_is(body, value):
    """Both say it alike."""
    assert body(HI, tool_choice=value)["tool_choice"] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("stop", "END"), ("seed", 1), ("n", 2), ("logprobs", True), ("frequency_penalty", 1.0)],
)
def test_what_it_has_no_word_for_is_refused_by_name(body, name, value):
    """And sent if the caller insists."""
    with pytest.raises(UnsupportedParamsError, match=name):
        body(HI, **{name: value})
    assert body(HI, **{name: value}, allowed_openai_params=[name])[name] == value


def test_nothing_is_stored_or_marked_unless_asked(body):
    """The API would store by itself; marks go out with what is stored."""
    marks = {"case": "7"}
    kept, stored = body(HI, metadata=marks), body(HI, metadata=marks, store=True)
    assert (kept["store"], kept.get("metadata")) == (False, None)
    assert (stored["store"], stored["metadata"]) == (True, marks)


def test_tool_calls_their_results_and_thoughts_go_back(body):
    """As items of the input; a thought goes back if it can be read without a stored response."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xx"}
    bare = {"type": "reasoning", "id": "rs_2", "summary": []}
    said = body(
        [
            {"role": "system", "content": "be brief"},
            *HI,
            {
                "role": "assistant",
                "content": "so",
                "reasoning_items": [thought, bare],
                "tool_calls": CALLS,
            },
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
        ]
    )
    assert said["input"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        thought,
        {"role": "assistant", "content": "so"},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
    ]


def test_parts_of_messages(body):
    """Text, images by address and as data, files; an assistant's text is an output."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    data = {"url": "data:image/png;base64,AAAA", "detail": "low"}
    user = [
        {"type": "text", "text": "see"},
        image,
        {"type": "image_url", "image_url": data},
        {"type": "file", "file": {"file_id": "f1"}},
    ]
    texts = [{"type": "text", "text": "I see"}]
    said = body([{"role": "user", "content": user}, {"role": "assistant", "content": texts}])
    assert [item["content"] for item in said["input"]] == [
        [
            {"type": "input_text", "text": "see"},
            {
                "type": "input_image",
                "image_url": "https://example.com/a.png",
                "detail": "auto",
            },
            {"type": "input_image", "image_url": data["url"], "detail": "low"},
            {"type": "input_file", "file_id": "f1"},
        ],
        [{"type": "output_text", "text": "I see"}],
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "t", "type": "custom", "custom": {}}]},
    ],
)
def test_a_message_that_cannot_be_said_is_refused(body, message):
    """Before anything is sent, as the caller's mistake."""
    with pytest.raises(BadRequestError, match="responses has no"):
        body([message])


def test_without_a_key_nothing_is_sent(monkeypatch):
    """The message names the variable."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        Kernel.of(scillm_responses) as kernel,
        pytest.raises(AuthenticationError, match="OPENAI_API_KEY"),
    ):
        kernel.completion("responses/gpt", HI)


def test_the_address_and_the_key_come_from_variables(scillm_kernel, wire, monkeypatch):
    """As the official client names them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    wire.reply({"object": "list", "data": [{"id": "gpt", "object": "model"}]})
    found = scillm_kernel(scillm_responses).models("responses")
    (asked,) = wire.sent
    assert (asked.method, asked.url) == ("GET", "http://127.0.0.1:9/v1/models")
    assert asked.wire_headers()["authorization"] == "Bearer sk-1"
    assert [model.id for model in found.data] == ["gpt"]
