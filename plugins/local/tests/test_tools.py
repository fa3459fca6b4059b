"""Tool calls: the shape that is sent, and what the real model makes of it."""

from __future__ import annotations

import json
import urllib.request

import pytest

from scillm import BadRequestError, Call, Chunk, Response
from scillm_local import tools

from .conftest import ask, host


def function(name, **properties):
    """A function in OpenAI's shape, all of whose parameters are required."""
    told = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": told}}


ADD = function("add", a={"type": "number"}, b={"type": "number"})
WEATHER = function("get_weather", city={"type": "string"}, days={"type": "integer"})
NAMED_ADD = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_required_call_is_made_whatever_the_seed(kernel, seed, is_stream):
    """One call of one of the functions, with arguments that keep to its schema."""
    answer = ask(
        kernel,
        "What is the weather in Paris for 3 days?",
        tools=[ADD, WEATHER],
        tool_choice="required",
        max_tokens=200,
        seed=seed,
        stream=is_stream,
    )
    if is_stream:
        list(answer)
        answer = answer.response

    (choice,) = answer.choices
    (call,) = choice.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert choice.finish_reason == "tool_calls"
    assert call.id.startswith("call_")
    assert (
        arguments.keys() == {"add": {"a", "b"}, "get_weather": {"city", "days"}}[call.function.name]
    )
    assert answer.usage.completion_tokens > 0


def test_a_named_function_is_the_one_called(kernel):
    """At temperature 0 even a tiny model adds the right numbers."""
    answer = ask(
        kernel,
        "What is 3 plus 4?",
        tools=[WEATHER, ADD],
        tool_choice=NAMED_ADD,
        max_tokens=200,
        temperature=0,
    )

    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "add"
    assert json.loads(call.function.arguments) == {"a": 3, "b": 4}


def test_references_inside_a_function_s_schema_are_followed(kernel):
    """Schemas made from types keep their parts under $defs."""
    tool = function("pick", colour={"$ref": "#/$defs/Colour"})
    tool["function"]["parameters"]["$defs"] = {"Colour": {"enum": ["red", "green"]}}

    answer = ask(kernel, "Pick one.", tools=[tool, ADD], tool_choice=named("pick"), max_tokens=100)

    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["colour"] in {"red", "green"}


def named(name):
    """The tool choice that names a function."""
    return {"type": "function", "function": {"name": name}}


def test_a_call_that_is_cut_off_stays_text(kernel):
    """Half a call is not passed off as a call."""
    answer = ask(kernel, "What is 3 plus 4?", tools=[ADD], tool_choice="required", max_tokens=4)

    assert answer.choices[0].finish_reason == "length"
    assert not answer.choices[0].message.tool_calls
    assert answer.text


def test_a_free_choice_and_the_results_of_tools_are_accepted(kernel):
    """``auto`` leaves the model free, and a conversation with calls and results goes on."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a":3,"b":4}'},
    }
    messages = [
        {"role": "user", "content": "What is 3 plus 4?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
    ]

    answer = kernel.completion(
        "local/default", messages, tools=[ADD], tool_choice="auto", max_tokens=8, temperature=0
    )

    assert answer.choices[0].finish_reason in {"stop", "length", "tool_calls"}
    assert answer.usage.prompt_tokens > 100


@pytest.mark.parametrize(
    ("choice", "offered"), [("required", ()), ("always", (ADD,)), (named("subtract"), (ADD,))]
)
def test_a_choice_that_cannot_be_followed_is_an_error(choice, offered):
    """The message names the choice and the functions there are."""
    call = Call(params={"tools": offered, "tool_choice": choice})

    with pytest.raises(BadRequestError, match=r"cannot be followed.*('add'|none)$"):
        tools.forced(call)


def test_text_that_is_no_call_is_left_alone():
    """Only a whole object with exactly a name and arguments is a call."""
    raw = {"index": 0, "finish_reason": "stop", "message": {"content": '{"name": "add"}'}}
    answer = Response({"id": "x-1", "choices": [raw]})

    assert tools.Reshaping().event(answer).to_dict() == answer.to_dict()


def test_pieces_without_choices_pass_unchanged():
    """The chunk that tells the usage has no choice."""
    piece = Chunk({"choices": [], "usage": {"total_tokens": 3}})

    assert tools.Reshaping().event(piece).to_dict() == piece.to_dict()


def test_without_tools_our_template_renders_what_the_model_s_own_would(kernel):
    """The model sees what it was trained on."""
    ask(kernel)
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]

    assert rendered(messages) == (
        "<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_system_message_replaces_the_model_s_own(kernel):
    """So does a developer message, its newer name."""
    ask(kernel)
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hi"}]

        assert rendered(messages).startswith(
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user"
        )


def rendered(messages):
    """What the host makes of messages before the model reads them."""
    found = host()
    headers = {"Authorization": f"Bearer {found.token}"}
    address = f"http://127.0.0.1:{found.port}/apply-template"
    body = json.dumps({"messages": messages}).encode()
    with urllib.request.urlopen(
        urllib.request.Request(address, body, headers), timeout=10
    ) as answer:
        return json.load(answer)["prompt"]
