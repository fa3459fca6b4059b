"""Answers that were asked for as JSON."""

from __future__ import annotations

import asyncio
import enum
import pickle
from typing import Literal, Optional

import attrs
import pytest

import scillm_openai_like
from scillm import BadRequestError
from scillm_json_mode import InvalidJSON, JsonMode

ASK = [{"role": "user", "content": "JSON, please"}]
OBJECT = {"type": "json_object"}
FENCED = '```json\n{"a": 1}\n```'


def answer(content, finish_reason="stop", **message):
    """A whole answer."""
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish_reason}
    return {"id": "a", "object": "chat.completion", "model": "m", "choices": [choice]}


@pytest.fixture
def ask(scillm_kernel):
    """Ask by a kernel with the plugin; the wire has the answers."""
    kernel = scillm_kernel(JsonMode(), scillm_openai_like)
    return lambda **more: kernel.completion("openai/m", ASK, api_key="sk-1", **more)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Part:
    name: str
    weight: float


@attrs.frozen
class Thing:
    """A thing with parts."""

    title: str
    count: int
    colour: Colour
    kind: Literal["a", "b"]
    parts: list[Part]
    notes: dict[str, str]
    parent: Optional[str]  # noqa: UP045  # both spellings are to work


GOOD = (
    '{"title": "t", "count": 2, "colour": "red", "kind": "a", '
    '"parts": [{"name": "p", "weight": 1}], "notes": {"k": "v"}, "parent": null}'
)


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_fenced_answer_is_cleaned_and_says_so(ask, wire, monkeypatch, how):
    """Where it was asked for as JSON, and cleaning was asked for."""
    wire.reply(answer(FENCED))
    if how == "variable":
        monkeypatch.setenv("SCILLM_JSON_SANITIZE", "1")
    more = {"auto_json_sanitize": True} if how == "argument" else {}
    response = ask(response_format=OBJECT, **more)
    assert response.choices[0].message.content == '{"a": 1}'
    assert response._hidden_params["json_sanitized"] is True
    assert response._hidden_params["json_sanitizer"] == "clean_json_string"
    assert response._hidden_params["json_repaired"] is False


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": OBJECT},
        {"auto_json_sanitize": True},
        {"response_format": {"type": "text"}, "auto_json_sanitize": True},
    ],
)
def test_without_both_an_answer_is_left_alone(ask, wire, more):
    """Nothing is done to what was not asked for as JSON, or not to be cleaned."""
    wire.reply(answer(FENCED))
    response = ask(**more)
    assert response.text == FENCED
    assert not response.additional_kwargs


def test_clean_json_stays_as_it_is(ask, wire):
    """To the byte, and nothing is noted."""
    wire.reply(answer(' {"a":1}\n'))
    response = ask(response_format=OBJECT, auto_json_sanitize=True)
    assert response.text == ' {"a":1}\n'
    assert not response.additional_kwargs


def test_a_mime_type_asks_for_json_too(ask, wire):
    """It becomes a response_format on the wire."""
    wire.reply(answer(FENCED))
    response = ask(response_mime_type="application/json", auto_json_sanitize=True)
    assert response.text == '{"a": 1}'
    assert wire.sent[0].body["response_format"] == OBJECT


def test_a_repair_is_told(ask, wire):
    """An answer that had to be guessed at is no clean one."""
    wire.reply(answer("{'a': 1,}"))
    response = ask(response_format=OBJECT, auto_json_sanitize=True)
    assert (response.text, response._hidden_params["json_repaired"]) == ('{"a": 1}', True)


def test_what_was_cut_is_an_error_unless_it_is_allowed(ask, wire, monkeypatch):
    """Closing it would make up data."""
    wire.reply(answer('{"a": 1, "b": [1, 2', "length"))
    with pytest.raises(InvalidJSON, match="cut short"):
        ask(response_format=OBJECT, auto_json_sanitize=True)
    response = ask(response_format=OBJECT, auto_json_sanitize=True, json_repair_truncated=True)
    assert response.text == '{"a": 1, "b": [1, 2]}'
    monkeypatch.setenv("SCILLM_JSON_REPAIR_TRUNCATED", "1")
    assert ask(response_format=OBJECT, auto_json_sanitize=True)._hidden_params["json_repaired"]


def test_what_cannot_be_read_is_an_error_that_keeps_the_text(ask, wire):
    """And survives a pickle."""
    wire.reply(answer("I would rather not."))
    with pytest.raises(InvalidJSON, match="no JSON object") as info:
        ask(response_format=OBJECT, auto_json_sanitize=True)
    error = pickle.loads(pickle.dumps(info.value))
    assert error.raw == error.partial.text == "I would rather not."


def test_a_tool_call_needs_no_json(ask, wire):
    """Its content is None, and rightly so."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    wire.reply(answer(None, "tool_calls", tool_calls=[call]))
    assert ask(response_format=OBJECT, auto_json_sanitize=True).choices[0].tool_calls


def test_a_stream_is_cleaned_in_its_response(scillm_kernel, wire):
    """What was handed over cannot be taken back; the whole at the end is clean."""
    pieces = [
        {"choices": [{"index": 0, "delta": {"content": part}}]}
        for part in ("```json\n", '{"a": 1}', "\n```")
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    wire.reply(*pieces, end, b"[DONE]")
    stream = scillm_kernel(JsonMode(), scillm_openai_like).completion(
        "openai/m", ASK, api_key="k", stream=True, response_format=OBJECT, auto_json_sanitize=True
    )
    assert "".join(chunk.text for chunk in stream) == FENCED
    assert stream.response.text == '{"a": 1}'


def test_a_class_gives_an_instance(ask, wire):
    """The provider gets its JSON Schema, the caller what it describes."""
    wire.reply(answer(f"```json\n{GOOD}\n```"))
    response = ask(response_format=Thing)
    assert response.parsed == Thing("t", 2, Colour.RED, "a", [Part("p", 1.0)], {"k": "v"}, None)
    sent = wire.sent[0].body["response_format"]["json_schema"]
    assert (sent["name"], sent["strict"]) == ("Thing", True)
    assert sent["schema"]["required"] == [field.name for field in attrs.fields(Thing)]
    assert sent["schema"]["properties"]["parts"]["items"]["properties"]["weight"] == {
        "type": "number"
    }
    copy = pickle.loads(pickle.dumps(response))
    assert copy.parsed == response.parsed
    assert response.model_dump_json()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (GOOD.replace('"count": 2', '"count": "2"'), r"at \$\['count'\]"),
        (GOOD.replace('"kind": "a"', '"kind": "z"'), r"at \$\['kind'\]"),
        (GOOD.replace('"weight": 1', '"weight": true'), r"\['parts'\]\[0\]\['weight'\]"),
        (GOOD.replace(', "parent": null', ""), '"parent" is a required property'),
        (GOOD.replace('"title": "t"', '"title": "t", "more": 1'), "more"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_where(ask, wire, bad, said):
    """Nothing is coerced, nothing is dropped."""
    wire.reply(answer(bad))
    with pytest.raises(InvalidJSON, match=said):
        ask(response_format=Thing)


def test_a_schema_is_asked_for_and_held_against_the_answer(ask, wire):
    """As an argument of its own, or within response_format."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    wire.reply(answer('{"a": 1}'))
    with pytest.raises(InvalidJSON, match="is not of type"):
        ask(json_schema=schema)
    assert wire.sent[0].body["response_format"]["json_schema"]["schema"] == schema
    wrapped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(InvalidJSON, match="is not of type"):
        ask(response_format=wrapped, auto_json_sanitize=True)


def test_a_schema_fetches_nothing(ask, wire, tmp_path):
    """Neither from the net nor from the disk."""
    wire.reply(answer('{"a": 1}'))
    (tmp_path / "s.json").write_text("{}")
    for reference in ("http://127.0.0.1:1/s.json", (tmp_path / "s.json").as_uri()):
        with pytest.raises(BadRequestError, match="not fetched"):
            ask(json_schema={"$ref": reference})


def test_a_type_without_a_schema_is_refused(ask):
    """Before anything is sent."""

    @attrs.frozen
    class Odd:
        x: complex

    with pytest.raises(BadRequestError, match="Odd.x has the type"):
        ask(response_format=Odd)
    with pytest.raises(BadRequestError, match="no attrs class"):
        ask(response_format=int)


def test_several_choices_are_each_looked_at(ask, wire):
    """One that is not JSON spoils the answer."""
    whole = answer(FENCED)
    second = {**answer("no")["choices"][0], "index": 1}
    wire.reply({**whole, "choices": [*whole["choices"], second]})
    with pytest.raises(InvalidJSON):
        ask(response_format=OBJECT, auto_json_sanitize=True, n=2)


def test_async_gives_the_same(scillm_kernel, wire):
    """One code for both doors."""
    wire.reply(answer(FENCED))
    kernel = scillm_kernel(JsonMode(), scillm_openai_like)
    response = asyncio.run(
        kernel.acompletion(
            "openai/m", ASK, api_key="k", response_format=OBJECT, auto_json_sanitize=True
        )
    )
    assert response.text == '{"a": 1}'


@attrs.frozen
class Tree:
    name: str
    children: list[Tree]


@attrs.frozen
class Wood:
    trees: dict[str, Tree]
    size: tuple[int, str]
    made: str = attrs.field(init=False, default="here")


def test_a_class_that_holds_itself_makes_a_schema(ask, wire):
    """At the root and further down; its instances are made of it."""
    wire.reply(answer('{"name": "a", "children": [{"name": "b", "children": []}]}'))
    response = ask(response_format=Tree)
    assert response.parsed == Tree("a", [Tree("b", [])])

    wire.answers.clear()
    wire.reply(answer('{"trees": {"x": {"name": "a", "children": []}}, "size": [1, "m"]}'))
    response = ask(response_format=Wood)
    assert response.parsed == Wood({"x": Tree("a", [])}, (1, "m"))
    schema = wire.sent[-1].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["trees"]["additionalProperties"] == {"$ref": "#/$defs/Tree"}
    assert "made" not in schema["properties"]


def test_what_a_class_that_holds_itself_does_not_allow_is_told(ask, wire):
    """However deep it lies."""
    wire.reply(answer('{"name": "a", "children": [{"name": 1, "children": []}]}'))
    with pytest.raises(InvalidJSON, match=r"\['children'\]\[0\]\['name'\]"):
        ask(response_format=Tree)


def test_none_leaves_cleaning_to_the_environment(ask, wire, monkeypatch):
    """It is not a no."""
    wire.reply(answer(FENCED))
    monkeypatch.setenv("SCILLM_JSON_SANITIZE", "1")
    response = ask(response_format=OBJECT, auto_json_sanitize=None)
    assert response.choices[0].message.content == '{"a": 1}'


def test_a_cleaned_answer_keeps_what_came(ask, wire):
    """So that it can be looked at again."""
    wire.reply(answer(FENCED))
    response = ask(response_format=OBJECT, auto_json_sanitize=True)
    assert list(response.additional_kwargs["json"]["json_raw"]) == [FENCED]


@pytest.mark.parametrize(
    "schema",
    [
        {"const": float("nan")},
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "objekt"},
        {"pattern": "("},
        {"enum": {1}},
        5,
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_used_is_told(ask, wire, schema):
    """It is the caller's mistake, and nothing is fetched for it."""
    wire.reply(answer('{"a": 1}'))
    with pytest.raises(BadRequestError):
        ask(json_schema=schema)


@pytest.mark.parametrize(
    ("content", "schema"),
    [
        (f'{{"s": "{"a" * 60}!"}}', {"properties": {"s": {"pattern": "^(a+)+$"}}}),
        (f'{{"s": "{"a" * 60}!"}}', {"properties": {"s": {"pattern": "^(?=(a+)+$).*"}}}),
        ('{"s": "\\ud800"}', {"properties": {"s": {"maxLength": 0}}}),
        (f'{{"s": "{"a" * 9000}"}}', {"properties": {"s": {"type": "integer"}}}),
    ],
    ids=["evil pattern", "evil look ahead", "half a pair of surrogates", "long value"],
)
def test_a_hostile_answer_is_held_against_its_schema_in_little_time_and_words(
    ask, wire, content, schema
):
    """It is the answer's fault, and told in a bounded message."""
    wire.reply(answer(content))
    with pytest.raises(InvalidJSON) as info:
        ask(json_schema=schema)
    assert len(str(info.value)) < 1000
    assert info.value.raw == content


def test_an_answer_in_a_schema_is_parsed_too(ask, wire):
    """The JSON itself; a class of another kind is told how to be asked for."""
    wire.reply(answer('Here: {"a": 1}'))

    response = ask(json_schema={"type": "object", "required": ["a"]})

    assert response.parsed == {"a": 1}
    with pytest.raises(BadRequestError, match=r"json_schema=Model.model_json_schema\(\)"):
        ask(response_format=int)
