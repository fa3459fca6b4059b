"""Asked by a schema first, then once more for a JSON object."""

import asyncio
import json

import attrs
import pytest

import scillm_openai_like
from scillm import BadRequestError, RateLimitError
from scillm_json_mode import JsonMode

ASK = [{"role": "user", "content": "how old?"}]
SCHEMA = {
    "title": "person",
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}},
    "required": ["age"],
}
OBJECT = {"type": "json_object"}


def answer(content):
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    return {
        "id": "a",
        "object": "chat.completion",
        "model": "m",
        "choices": [{**choice, "finish_reason": "stop"}],
    }


@pytest.fixture
def ask(scillm_kernel):
    """Ask in that mode; returns the answer."""
    kernel = scillm_kernel(JsonMode(), scillm_openai_like)

    def ask(**more):
        given = {"json_schema": SCHEMA, "response_mode": "schema_first", **more}
        return kernel.completion("openai/m", ASK, api_key="sk-1", **given)

    return ask


def notes(response):
    """What was noted."""
    return response.additional_kwargs["router"]


def test_an_answer_that_fits_is_asked_for_once(ask, wire):
    """And says so."""
    wire.reply(answer('{"age": 3}'))
    response = ask()
    assert response.text == '{"age": 3}'
    assert notes(response) == {
        "schema_mode": "json_schema",
        "fallback_used": False,
        "schema_error": None,
        "json_valid": True,
        "parse_error": None,
    }
    (sent,) = wire.sent
    assert sent.body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert list(sent.body["messages"]) == ASK


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("I would say three.", "JSON"),
        ('{"age": "three"}', "does not fit its schema at $['age']"),
        ('{"age": -1}', "does not fit its schema at $['age']"),
        (None, "status 400"),
    ],
)
def test_what_does_not_fit_is_asked_for_once_more(ask, wire, first, why):
    """As a JSON object, with the schema in the messages; what was wrong is told."""
    if first is None:
        wire.fail(400)
    else:
        wire.reply(answer(first))
    wire.reply(answer('{"age": 3}'))
    response = ask()
    assert response.text == '{"age": 3}'
    told = notes(response)
    assert (told["schema_mode"], told["fallback_used"]) == ("json_object", True)
    assert (told["json_valid"], told["parse_error"]) == (True, None)
    assert why in told["schema_error"]
    again = wire.sent[1].body
    assert again["response_format"] == OBJECT
    assert again["messages"][0] == ASK[0]
    assert json.dumps(SCHEMA) in again["messages"][1]["content"]
    assert len(wire.sent) == 2


def test_what_never_fits_comes_back_with_the_verdict(ask, wire):
    """Asked twice, no more; valid means that it fits the schema, not that it parses."""
    wire.reply(answer('{"age": "three"}'))
    wire.reply(answer('{"age": "four"}'))
    response = ask()
    assert response.text == '{"age": "four"}'
    assert notes(response)["json_valid"] is False
    assert "at $['age']" in notes(response)["parse_error"]
    assert len(wire.sent) == 2


def test_other_failures_are_not_the_schemas(ask, wire):
    """They are raised, for others to retry."""
    wire.fail(429)
    with pytest.raises(RateLimitError):
        ask()
    assert len(wire.sent) == 1


@attrs.frozen
class Person:
    age: int


def test_a_class_gives_an_instance_or_none(ask, wire):
    """As with json_schema alone."""
    wire.reply(answer('{"age": 3}'))
    wire.reply(answer("three"))
    assert ask(json_schema=Person).parsed == Person(3)
    response = ask(json_schema=Person)
    assert response.parsed is None
    assert notes(response)["json_valid"] is False


def test_the_schema_may_lie_in_the_response_format(ask, wire):
    """As OpenAI has it."""
    wire.reply(answer("no"))
    wire.reply(answer('{"age": 1}'))
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    response = ask(json_schema=None, response_format=wanted)
    assert notes(response)["fallback_used"] is True
    assert [sent.body["response_format"] for sent in wire.sent] == [wanted, OBJECT]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"json_schema": None}, "needs a schema"),
        ({"response_mode": "schema"}, "response_mode='schema' is unknown"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_sent(ask, wire, more, said):
    """Typed."""
    with pytest.raises(BadRequestError, match=said):
        ask(**more)
    assert not wire.sent


def chunk(content, finish_reason=None):
    """A piece of a stream."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
    return {"id": "a", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_stream_is_asked_again_only_if_it_is_refused(ask, wire, is_refused):
    """What was handed over stays; the verdict is in the whole."""
    if is_refused:
        wire.fail(422)
    wire.reply(*(json.dumps(c).encode() for c in (chunk("thr"), chunk("ee", "stop"))), b"[DONE]")
    stream = ask(stream=True)
    assert "".join(piece.text for piece in stream) == "three"
    told = notes(stream.response)
    assert (told["schema_mode"], told["json_valid"]) == (
        "json_object" if is_refused else "json_schema",
        False,
    )
    assert len(wire.sent) == 1 + is_refused


def test_the_async_door_has_it_too(scillm_kernel, wire):
    """By the same code."""
    kernel = scillm_kernel(JsonMode(), scillm_openai_like)
    wire.reply(answer("no"))
    wire.reply(answer('{"age": 1}'))
    response = asyncio.run(
        kernel.acompletion(
            "openai/m", ASK, api_key="k", json_schema=SCHEMA, response_mode="schema_first"
        )
    )
    assert notes(response)["json_valid"] is True
