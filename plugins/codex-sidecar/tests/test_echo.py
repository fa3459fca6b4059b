import json

import jsonschema_rs
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scillm_codex_sidecar.examples import smallest

MESSAGES = [{"role": "user", "content": "say hello to me"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 6},
        "age": {"type": "integer", "minimum": 18},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
        "when": {"type": "string", "format": "date"},
        "not_needed": {"type": "string"},
    },
    "required": ["name", "age", "tags", "when"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}


def ask(client, **arguments):
    """Ask the model that there is."""
    return client.chat.completions.create(model="gpt-5", messages=MESSAGES, **arguments)


def test_health_and_models_are_told_without_v1_too(sidecar, get):
    """As the plain client of older pages asks."""
    running = sidecar()
    health = get(running, "/healthz").json()
    assert {"ok", "concurrency", "auth_present", "forward_mode"} <= set(health)
    assert (health["ok"], health["mode"], health["forward_mode"]) == (True, "echo", False)
    for path in ("/v1/models", "/models"):
        listed = get(running, path).json()
        assert [model["id"] for model in listed["data"]] == ["gpt-5"]
        assert listed["data"][0]["capabilities"] == {"chat": True}


def test_without_settings_the_answer_is_canned(sidecar, client):
    """With an id of its own and the words counted."""
    asked = client(sidecar())
    one, other = ask(asked), ask(asked)
    assert one.choices[0].message.content == "shim ok"
    assert one.choices[0].finish_reason == "stop"
    assert (one.usage.prompt_tokens, one.usage.completion_tokens) == (4, 2)
    assert one.id != other.id


def test_a_stream_comes_in_pieces(sidecar, client):
    """And tells its usage if it is asked to."""
    chunks = list(ask(client(sidecar()), stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["shim", " ok", None]
    assert chunks[-1].usage.total_tokens == 6


def test_the_parameters_mean_something(sidecar, client):
    """Of those that a canned answer can have."""
    asked = client(sidecar())
    assert [c.message.content for c in ask(asked, n=2).choices] == ["shim ok"] * 2
    short = ask(asked, max_tokens=1).choices[0]
    assert (short.message.content, short.finish_reason) == ("shim", "length")
    cut = ask(asked, stop=["ok"]).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("shim ", "stop")
    with pytest.raises(openai.BadRequestError, match="max_tokens=0"):
        ask(asked, max_tokens=0)


def test_json_mode_is_json(sidecar, client):
    """Also piece by piece."""
    asked = client(sidecar())
    kind = {"type": "json_object"}
    whole = json.loads(ask(asked, response_format=kind).choices[0].message.content)
    assert whole["ok"] is True
    pieces = ask(asked, response_format=kind, stream=True)
    assert json.loads("".join(c.choices[0].delta.content or "" for c in pieces)) == whole


def test_a_schema_is_kept(sidecar, client):
    """What is not required is left out."""
    kind = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    said = ask(client(sidecar()), response_format=kind).choices[0].message.content
    jsonschema_rs.validate(SCHEMA, json.loads(said))
    assert "not_needed" not in said


def test_a_tool_that_must_be_called_is_called(sidecar, client):
    """One that may be is not: there is nothing that it could be good for."""
    asked = client(sidecar())
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    choice = ask(asked, tools=[tool], tool_choice="required").choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0].function
    assert call.name == "f"
    jsonschema_rs.validate(SCHEMA, json.loads(call.arguments))
    named = {"type": "function", "function": {"name": "f"}}
    assert ask(asked, tools=[tool], tool_choice=named).choices[0].message.tool_calls
    assert ask(asked, tools=[tool]).choices[0].message.content == "shim ok"
    wrong = {"type": "function", "function": {"name": "g"}}
    with pytest.raises(openai.BadRequestError, match="'g'"):
        ask(asked, tools=[tool], tool_choice=wrong)


def test_an_unknown_model_is_not_found(sidecar, client):
    """In OpenAI's shape; those that there are can be set."""
    asked = client(sidecar(CODEX_SIDECAR_MODELS="gpt-5, gpt-5-codex"))
    assert [model.id for model in asked.models.list()] == ["gpt-5", "gpt-5-codex"]
    with pytest.raises(openai.NotFoundError) as caught:
        asked.chat.completions.create(model="gpt-6", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "exclusiveMinimum": 1, "maximum": 1.5},
        {"type": "integer", "maximum": -3},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "integer", "minimum": 5, "multipleOf": 4},
        {"type": ["null", "string"]},
        {"anyOf": [{"type": "string", "pattern": "x+"}, {"type": "boolean"}]},
        {"allOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["a"]}], "type": "object"},
        {"type": "array", "prefixItems": [{"const": 1}], "minItems": 1},
        {"type": "string", "maxLength": 2},
        {"const": {"a": [1]}},
        {},
        {
            "$ref": "#/$defs/n",
            "$defs": {
                "n": {
                    "type": "object",
                    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
                }
            },
        },
    ],
)
def test_the_smallest_value_of_a_schema_is_one_of_its_values(schema):
    """As an independent validator sees it."""
    jsonschema_rs.validate(schema, smallest(schema))


@given(
    st.integers(-50, 50),
    st.integers(0, 50),
    st.integers(1, 7),
    st.sampled_from(["integer", "number"]),
)
def test_a_smallest_number_lies_within_its_bounds(low, width, step, kind):
    """If there is one: the range is wide enough for a step."""
    schema = {"type": kind, "minimum": low, "maximum": low + width + step, "multipleOf": step}
    jsonschema_rs.validate(schema, smallest(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "a+"},
        {"$ref": "https://example.com/other.json"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
    ],
)
def test_a_schema_that_echo_cannot_meet_is_a_bad_request(sidecar, client, schema):
    """No wrong value, no fetch, no endless loop."""
    kind = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(openai.BadRequestError):
        ask(client(sidecar()), response_format=kind)
