"""Content is told where it is asked for, in the conventions' shape, and never a secret."""

import json

import pytest

from scillm import BadRequestError, RateLimitError

KEY = "sk-0123456789"
TALK = [
    {"role": "system", "content": "be brief"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "https://host.example/cat.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f-1"}},
            {"type": "odd"},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "a cat"},
]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def content_of(attributes):
    """The content among attributes."""
    words = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions")
    return {name: attributes[name] for name in words if name in attributes}


def test_nothing_of_it_is_told_unless_asked_for(ask, wire, seen):
    """Neither in attributes nor in events."""
    wire.whole("said")
    ask(otel=True, messages=TALK, tools=TOOLS)
    assert content_of(seen.span.attributes) == {}
    assert "brief" not in seen.span.to_json()
    assert "said" not in seen.span.to_json()
    assert not seen.events


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCILLM_TELEMETRY_CONTENT", "1"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY"),
    ],
)
def test_a_variable_lets_content_be_told(  # noqa: PLR0917  # fixtures
    ask, wire, seen, monkeypatch, variable, value
):
    """Ours, or that of OpenTelemetry."""
    monkeypatch.setenv(variable, value)
    wire.whole("said")
    ask(otel=True)
    assert "said" in seen.span.attributes["gen_ai.output.messages"]


def test_messages_are_told_in_the_shape_of_the_conventions(ask, wire, seen):
    """Roles and parts, tool calls with their arguments read; of bytes only the size."""
    wire.whole("a cat")
    ask(otel=True, messages=TALK, tools=TOOLS, telemetry_content=True)
    told = {name: json.loads(text) for name, text in content_of(seen.span.attributes).items()}
    system, user, assistant, tool = told["gen_ai.input.messages"]
    assert system == {"role": "system", "parts": [{"type": "text", "content": "be brief"}]}
    text, link, picture, sound, file, odd = user["parts"]
    assert text == {"type": "text", "content": "what is this?"}
    assert link == {"type": "uri", "modality": "image", "uri": "https://host.example/cat.png"}
    assert (picture["type"], picture["mime_type"], picture["content"]) == ("blob", "image/png", "")
    assert (sound["modality"], sound["omitted_characters"]) == ("audio", 4)
    assert file == {"type": "file", "modality": "document", "file_id": "f-1"}
    assert odd == {"type": "odd"}
    call = {"type": "tool_call", "id": "t1", "name": "look", "arguments": {"x": 1}}
    assert assistant == {"role": "assistant", "parts": [call]}
    answer = {"type": "tool_call_response", "id": "t1", "response": "a cat"}
    assert tool == {"role": "tool", "parts": [answer]}
    assert told["gen_ai.output.messages"] == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "a cat"}],
            "finish_reason": "stop",
        }
    ]
    assert told["gen_ai.tool.definitions"] == [
        {"type": "function", "name": "look", "parameters": {"type": "object"}}
    ]
    assert not seen.events


def test_a_streamed_answer_is_told_whole(ask, wire, seen):
    """Folded from its pieces."""
    wire.pieces()
    list(ask(stream=True, otel=True, telemetry_content=True))
    (said,) = json.loads(seen.span.attributes["gen_ai.output.messages"])
    assert said["parts"] == [{"type": "text", "content": "ok"}]


def test_reasoning_refusals_and_tool_calls_are_parts(ask, wire, seen):
    """Each by its kind."""
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{not json"}}
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "refusal": "no"}
    choice = {"index": 0, "message": {**message, "tool_calls": [call]}, "finish_reason": "stop"}
    wire.whole(choices=[choice])
    ask(otel=True, telemetry_content=True)
    (said,) = json.loads(seen.span.attributes["gen_ai.output.messages"])
    assert said["parts"] == [
        {"type": "reasoning", "content": "hm"},
        {"type": "refusal", "content": "no"},
        {"type": "tool_call", "id": "t", "name": "f", "arguments": "{not json"},
    ]


def test_content_goes_into_an_event_where_that_is_asked_for(ask, wire, seen):
    """Structured, under the span, with what the call was; the span itself has none of it."""
    wire.whole("said")
    ask(otel=True, telemetry_content="EVENT_ONLY")
    (event,) = seen.events
    assert event.event_name == "gen_ai.client.inference.operation.details"
    assert event.span_id == seen.span.context.span_id
    assert event.attributes["gen_ai.operation.name"] == "chat"
    (said,) = event.attributes["gen_ai.output.messages"]
    assert said["parts"][0]["content"] == "said"
    assert content_of(seen.span.attributes) == {}


def test_content_may_go_into_both(ask, wire, seen):
    """Span and event."""
    wire.whole("said")
    ask(otel=True, telemetry_content="span_and_event")
    assert len(seen.events) == 1
    assert "gen_ai.output.messages" in seen.span.attributes


def test_a_call_may_keep_its_content_to_itself(ask, wire, seen, monkeypatch):
    """Its own word wins over the variable."""
    monkeypatch.setenv("SCILLM_TELEMETRY_CONTENT", "1")
    wire.whole()
    ask(otel=True, telemetry_content=False)
    assert content_of(seen.span.attributes) == {}


def test_a_key_in_a_message_is_starred(ask, wire, seen):
    """What is sent as a secret shows nowhere, even where somebody pasted it into a prompt."""
    wire.whole(f"your key is {KEY}")
    ask(
        otel=True,
        telemetry_content="span_and_event",
        messages=[{"role": "user", "content": f"my key is {KEY}, and more"}],
        api_key=KEY,
        extra_headers={"X-Api-Token": "tk-abcdefghij"},
    )
    told = seen.span.to_json() + str([dict(event.attributes) for event in seen.events])
    assert KEY not in told
    assert "tk-abcdefghij" not in told
    assert "my key is ***, and more" in told


def test_what_an_error_says_is_content(ask, wire, seen):
    """Its message is told with the leave of content only."""
    wire.fail(429, {"error": {"message": "slow down, you"}})
    with pytest.raises(RateLimitError):
        ask(otel=True, telemetry_content=True)
    assert "slow down, you" in seen.span.status.description


def test_a_word_that_means_nothing_is_an_error(ask, wire):
    """It names the argument, and what there is."""
    wire.whole()
    with pytest.raises(BadRequestError, match="telemetry_content='some'.*span_and_event"):
        ask(otel=True, telemetry_content="some")
