"""Whether a model calls tools: seen in a call that it makes, never in what it says about one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import scillm
from scillm import APIError, Response
from scillm_chutes.settings import Gateway

ASK = "What is the weather in Tokyo right now?"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def examine(gateway: Gateway, model: str) -> dict[str, Any]:
    """Ask a question that needs a tool, whole and with ``tool_choice="auto"``.

    Returns:
        ``ok_tools``, ``model``, ``finish_reason``, ``tool_calls`` and, where it is not so,
        ``error``. It is so if there is a call of the tool whose arguments are JSON and name a
        city; a finish reason or a sentence about tools is no call.
    """
    told: dict[str, Any] = {"ok_tools": False, "model": model, "base": gateway.base}
    try:
        answer: Response = scillm.completion(
            model,
            [{"role": "user", "content": ASK}],
            custom_llm_provider="openai_like",
            api_base=gateway.base,
            api_key=gateway.key,
            tools=[TOOL],
            tool_choice="auto",
            temperature=0,
            timeout=60,
        )
    except APIError as error:
        return {**told, "finish_reason": None, "tool_calls": [], "error": str(error)}
    choice = answer.choices[0]
    calls = [call.to_dict() for call in choice.tool_calls or ()]
    told |= {"finish_reason": choice.finish_reason, "tool_calls": calls}
    if wrong := _wrong(calls):
        return {**told, "error": wrong}
    return {**told, "ok_tools": True}


def _wrong(calls: Iterable[dict[str, Any]]) -> str:
    """Return why none of the calls is the one that was wanted, ``""`` if one is."""
    said = "the answer has no tool call"
    for call in calls:
        function = call.get("function") or {}
        if function.get("name") != "get_weather":
            said = f"it calls {function.get('name')!r}, which it was not given"
            continue
        try:
            arguments = json.loads(function.get("arguments") or "")
        except ValueError:
            said = f"the arguments are not JSON: {function.get('arguments')!r:.80}"
            continue
        if isinstance(arguments, dict) and isinstance(arguments.get("city"), str):
            return ""
        said = f"the arguments name no city: {arguments!r:.80}"
    return said
