"""Chat completions through a Responses endpoint."""

import json

import pytest
from openai.types.responses import Response as OfficialResponse
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from scillm import BadRequestError, Call, InvalidResponse, Route, UnsupportedParamsError
from scillm.errors import StatusError
from scillm_dialects import openai_chat
from scillm_dialects.openai_responses import at, from_chat, read_response

WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]},
    ],
    "n": 1,
    "max_tokens": 16,
    "temperature": 0,
    "reasoning_effort": "low",
    "verbosity": "low",
    "tools": [{"type": "function", "function": WEATHER}],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    },
    "stream": True,
    "stream_options": {"include_usage": True},
}
ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1741570283,
    "model": "m",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "It asks for weather."}],
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "c9",
            "name": "get_weather",
            "arguments": '{"city": "Tokyo"}',
            "status": "completed",
        },
    ],
    "parallel_tool_calls": True,
    "temperature": 0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1,
    "usage": {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 12,
    },
}


def read(raw):
    """Read an answer as it comes from the wire."""
    (answer,) = read_response(json.dumps(raw).encode())
    return answer


def test_a_chat_is_said_in_the_other_words():
    """Messages and calls become items; functions lie flat; formats stand under text."""
    assert from_chat(CHAT) == {
        "model": "m",
        "input": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Where?"},
                    {
                        "type": "input_image",
                        "detail": "auto",
                        "image_url": "data:image/png;base64,AA==",
                    },
                ],
            },
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "get_weather",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Rain."}]},
        ],
        "max_output_tokens": 16,
        "temperature": 0,
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", **WEATHER}],
        "tool_choice": {"type": "function", "name": "get_weather"},
        "text": {
            "verbosity": "low",
            "format": {
                "type": "json_schema",
                "name": "a",
                "schema": {"type": "object"},
                "strict": True,
            },
        },
    }


def test_the_official_client_knows_every_name_that_is_sent():
    """No name of a chat is left."""
    assert set(from_chat(CHAT)) <= set(ResponseCreateParamsNonStreaming.__annotations__) | {"model"}


@pytest.mark.parametrize("name", ["seed", "stop", "logit_bias", "functions", "audio"])
def test_what_cannot_be_said_is_refused_by_name(name):
    """Not dropped."""
    with pytest.raises(UnsupportedParamsError, match=f"'{name}' cannot be said"):
        from_chat({**CHAT, name: 1})


def test_several_choices_are_refused():
    """A response is one; one is what it is anyway."""
    with pytest.raises(UnsupportedParamsError, match="'n'"):
        from_chat({**CHAT, "n": 2})


def test_a_part_that_cannot_be_said_is_refused():
    """Sound, here."""
    parts = [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]
    with pytest.raises(BadRequestError, match="'input_audio'"):
        from_chat({"model": "m", "messages": [{"role": "user", "content": parts}]})


def test_an_answer_is_a_chat_completion_again():
    """Text, calls, reasoning and usage; the sample is one that the official client reads."""
    OfficialResponse.model_validate(ANSWER)
    answer = read(ANSWER)
    choice = answer.choices[0]
    assert (answer.id, answer.model, answer.created) == ("resp_1", "m", 1741570283)
    assert choice.message.content == "I look."
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.tool_calls
    assert (call.id, call.function.name) == ("c9", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Tokyo"}
    assert choice.message.reasoning_text == "It asks for weather."
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 5)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "stop")],
)
def test_why_an_answer_ended_is_kept(reason, finish):
    """An answer that was cut must not look whole."""
    details = {"reason": reason} if reason else None
    raw = {**ANSWER, "output": ANSWER["output"][1:2], "incomplete_details": details}
    assert read(raw).choices[0].finish_reason == finish


def test_a_refusal_is_kept():
    """Where chat completions have it."""
    content = [{"type": "refusal", "refusal": "No."}]
    raw = {**ANSWER, "output": [{"type": "message", "role": "assistant", "content": content}]}
    assert read(raw).choices[0].message.refusal == "No."


def test_a_failed_response_is_an_error_with_its_status():
    """Though it came with status 200."""
    with pytest.raises(StatusError) as info:
        read({**ANSWER, "error": {"code": "rate_limit_exceeded", "message": "slow down"}})
    assert info.value.status == 429


def test_what_is_no_response_is_refused():
    """A chat completion, say."""
    with pytest.raises(InvalidResponse, match="no response with an output"):
        read({"choices": []})


def test_a_request_goes_there_whole():
    """Not as a stream, and with everything else as it was."""
    call = Call(model="m", messages=({"role": "user", "content": "hi"},), stream=True)
    route = Route(provider="p", model="m", base_url="http://127.0.0.1:1/v1")
    sent = at(openai_chat.request(call, route), "http://127.0.0.1:1/v1/responses")
    assert (sent.url, sent.frames) == ("http://127.0.0.1:1/v1/responses", "json")
    assert sent.headers["accept"] == "application/json"
    assert sent.body == {"model": "m", "input": [{"role": "user", "content": "hi"}]}
