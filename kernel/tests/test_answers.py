"""Answers: three ways to read them, nothing lost, nothing changed."""

import copy
import json
import pickle

import pytest

from scillm import Chunk, Response, Route
from scillm.answers import plain

RAW = {
    "id": "r-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "vendor_field": {"a": [1]},
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                ],
            },
            "logprobs": {
                "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
            },
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def test_a_field_can_be_read_three_ways():
    """Attribute, key and ``get`` give the same."""
    message = Response(RAW).choices[0].message
    assert message.role == message["role"] == message.get("role") == "assistant"
    assert Response(RAW)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"


def test_a_declared_field_that_did_not_come_is_none():
    """Absent is None for what OpenAI declares."""
    response = Response(RAW)
    assert response.system_fingerprint is None
    assert response.choices[0].message.refusal is None
    assert response.choices[0].message.get("audio", "none") is None


def test_an_undeclared_field_is_kept_or_an_error():
    """What came is there; what did not is an AttributeError or KeyError."""
    response = Response(RAW)
    assert response.vendor_field == {"a": [1]}
    assert response.choices[0].message.reasoning_content == "hm"
    assert response.choices[0].message.reasoning_text == "hm"
    with pytest.raises(AttributeError, match="Response has no field 'nope'"):
        _ = response.nope
    with pytest.raises(KeyError):
        response["nope"]
    assert "nope" not in response


def test_tool_calls_stand_on_the_message_and_on_the_choice(whole):
    """As OpenAI has it, and as the quickstart prints it."""
    choice = Response(RAW).choices[0]
    assert choice.tool_calls == choice.message.tool_calls
    assert [call.type for call in choice.tool_calls] == ["function", "custom"]
    assert choice.tool_calls[1].custom.input == "x"
    assert whole().choices[0].tool_calls is None


def test_answers_are_read_only():
    """A shared answer cannot be changed under another's feet; the message says how to copy."""
    with pytest.raises(AttributeError, match=r"read-only: use .evolve\(content=...\)"):
        Response(RAW).choices[0].message.content = "x"


def test_evolve_and_notes_make_copies():
    """The first answer stays as it is."""
    before = Response(RAW, Route(provider="p", model="m"))
    after = before.with_notes("mine", {"a": 1}).with_notes("mine", {"b": 2}).evolve(model="n")
    assert after.additional_kwargs == {"mine": {"a": 1, "b": 2}}
    assert (after.model, after.served_by) == ("n", before.served_by)
    assert (before.model, before.additional_kwargs) == ("m", {})


def test_a_message_can_be_sent_back():
    """A view goes where a dict goes: into messages, ``dict()``, JSON."""
    message = Response(RAW).choices[0].message
    assert {**message}["role"] == "assistant"
    assert plain([message])[0]["tool_calls"][0]["id"] == "c1"
    assert json.loads(message.to_json()) == RAW["choices"][0]["message"]


def test_dumps_are_plain_and_full():
    """model_dump has declared fields as None, to_dict only what came; both are copies."""
    response = Response(RAW)
    dump = response.model_dump()
    assert dump["service_tier"] is None
    assert dump["choices"][0]["message"]["audio"] is None
    assert "service_tier" not in response.model_dump(exclude_none=True)
    assert response.to_dict() == RAW
    response.to_dict()["choices"][0]["message"]["role"] = "changed"
    dump["vendor_field"]["a"].append(2)
    assert response.to_dict() == RAW
    assert json.loads(response.model_dump_json())["id"] == "r-1"


def test_answers_pickle_copy_and_compare(whole):
    """An answer is a value."""
    response = Response(RAW, Route(provider="p", model="m"))
    for twin in (
        pickle.loads(pickle.dumps(response)),
        copy.deepcopy(response),
        copy.copy(response),
    ):
        assert twin == response
        assert twin.served_by == response.served_by
    assert response != whole()
    assert response == RAW
    assert "Choice(" in repr(response)


def test_text_is_the_first_choice(whole):
    """And empty where there is none."""
    assert (whole("hey").text, Response({"choices": []}).text, Response(RAW).text) == (
        "hey",
        "",
        "",
    )
    assert (
        Chunk(
            {
                "choices": [
                    {"index": 1, "delta": {"content": "b"}},
                    {"index": 0, "delta": {"content": "a"}},
                ]
            }
        ).text
        == "a"
    )
    assert Chunk({"choices": []}).text == ""


def test_odd_shapes_do_not_break_a_view():
    """What is no object where one was due is handed out as it is."""
    odd = Response({"choices": "x", "usage": 3})
    assert (odd.choices, odd.usage) == ("x", 3)
