"""Tool calls that must happen: ``tool_choice="required"``, or the name of a function. Pure.

llama.cpp lets a model write text before the call that it must make, and a small one never
comes to the call. So the answer is bound by a JSON Schema, one branch for each function,
and turned into OpenAI's shape here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from scillm import BadRequestError, Call, Event, Response
from scillm_local.errors import named

Tool = Mapping[str, Any]


def forced(call: Call) -> tuple[Tool, ...]:
    """Return the functions one of which must be called; none if the model is free.

    Raises:
        BadRequestError: ``tool_choice`` is no known word and names no function of ``tools``.
    """
    choice, tools = call.params.get("tool_choice"), tuple(call.params.get("tools") or ())
    if choice is None or choice in ("auto", "none"):
        return ()
    if choice == "required" and tools:
        return tools
    name = _named(choice)
    found = tuple(tool for tool in tools if _function(tool).get("name") == name)
    if name is None or not found:
        known = ", ".join(repr(_function(tool).get("name")) for tool in tools) or "none"
        raise BadRequestError(
            f"tool_choice={choice!r} cannot be followed: it may be 'auto', 'none', 'required' or a "
            f"function of tools, which here are {known}",
            **named(call.model),
        )
    return found


def bound(body: Mapping[str, Any], tools: Sequence[Tool]) -> dict[str, Any]:
    """Return *body* changed so that the answer is a call of one of *tools*, as JSON."""
    kept = {name: value for name, value in body.items() if name not in ("tools", "tool_choice")}
    told = {**(body.get("chat_template_kwargs") or {}), "tools": list(tools), "must_call": True}
    schema = {"name": "tool_call", "schema": _schema(tools)}
    return {
        **kept,
        "response_format": {"type": "json_schema", "json_schema": schema},
        "chat_template_kwargs": told,
    }


def _schema(tools: Sequence[Tool]) -> dict[str, Any]:
    # Each function's parameters stay whole under $defs, so that their own references still point
    # somewhere once they are moved along.
    parameters = {
        f"f{place}": _function(tool).get("parameters") for place, tool in enumerate(tools)
    }
    definitions = {
        name: _moved(schema or {"type": "object"}, f"#/$defs/{name}")
        for name, schema in parameters.items()
    }
    branches = [
        {
            "type": "object",
            "properties": {
                "name": {"const": _function(tool).get("name")},
                "arguments": {"$ref": f"#/$defs/{name}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, tool in zip(definitions, tools, strict=True)
    ]
    return {"$defs": definitions, "anyOf": branches}


def _moved(schema: Any, place: str) -> Any:
    """Return *schema* with references to its own root pointing to *place*."""
    if isinstance(schema, Mapping):
        return {name: _reference(name, value, place) for name, value in schema.items()}
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    return schema


def _reference(name: str, value: Any, place: str) -> Any:
    if name == "$ref" and isinstance(value, str) and value.startswith("#"):
        return place + value[1:]
    return _moved(value, place)


@define
class Reshaping:
    """Turns the JSON of bound answers into tool calls; one for each answer.

    A text that is no whole call, because the tokens ran out, stays what it is: text.
    """

    _texts: dict[int, str] = field(factory=dict)

    def event(self, event: Event) -> Event:
        """Return the event with tool calls in place of text, at the end of each choice."""
        key, turned = (
            ("message", self._message) if isinstance(event, Response) else ("delta", self._delta)
        )
        raw = event.to_dict()
        choices = [turned(choice, key, raw.get("id", "")) for choice in raw.get("choices") or ()]
        return event.evolve(choices=choices) if choices else event

    def _message(self, choice: dict[str, Any], key: str, answer_id: str) -> dict[str, Any]:
        calls = _calls(choice[key].get("content") or "", f"{answer_id}{choice['index']}")
        if not calls:
            return choice
        said = {**choice[key], "content": None, "tool_calls": calls}
        return {**choice, key: said, "finish_reason": "tool_calls"}

    def _delta(self, choice: dict[str, Any], key: str, answer_id: str) -> dict[str, Any]:
        index, delta = choice["index"], dict(choice.get(key) or {})
        text = self._texts[index] = self._texts.get(index, "") + (delta.pop("content", None) or "")
        if not choice.get("finish_reason"):
            return {**choice, key: delta}
        if calls := _calls(text, f"{answer_id}{index}"):
            numbered = [{"index": 0, **calls[0]}]
            return {**choice, key: {**delta, "tool_calls": numbered}, "finish_reason": "tool_calls"}
        return {**choice, key: {**delta, "content": text}}


def _calls(text: str, mark: str) -> list[dict[str, Any]]:
    try:
        said = json.loads(text)
    except ValueError:
        return []
    if not isinstance(said, dict) or said.keys() != {"name", "arguments"}:
        return []
    function = {
        "name": said["name"],
        "arguments": json.dumps(said["arguments"], ensure_ascii=False),
    }
    return [{"id": f"call_{mark.rpartition('-')[2]}", "type": "function", "function": function}]


def _function(tool: Tool) -> Mapping[str, Any]:
    found = tool.get("function") if isinstance(tool, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _named(choice: object) -> object:
    return _function(choice).get("name") if isinstance(choice, Mapping) else None
