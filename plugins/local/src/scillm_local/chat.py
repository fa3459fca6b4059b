"""From a call to the body that llama.cpp receives. Pure."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from scillm import BadRequestError, Call, Request, Route, UnknownModelError, UnsupportedParamsError
from scillm_dialects import openai_chat
from scillm_local import tools
from scillm_local.errors import named
from scillm_local.model import BUILT_IN, DEFAULT, chosen
from scillm_local.settings import MAX_TOKENS, SLOTS

BASE_URL = "http://127.0.0.1/v1"
"""Stands for the host, whose port is known when it runs. Loopback, so that NO_PROXY may say so."""

_NOT_UNDERSTOOD = (
    "functions",
    "function_call",
    "audio",
    "web_search_options",
    "prediction",
    "reasoning",
    "reasoning_effort",
)


def request(call: Call, route: Route, *, is_known: bool) -> Request:
    """Build the request, but for the port and the token of the host.

    Raises:
        UnknownModelError: There is no such model.
        BadRequestError: The call is for something that the model cannot do.
    """
    if not is_known:
        names = dict.fromkeys((DEFAULT, chosen().id, BUILT_IN))
        known = ", ".join(f"local/{name}" for name in names)
        raise UnknownModelError(
            f"there is no embedded model {route.model!r}: use {known}, or "
            "set SCILLM_LOCAL_MODEL to the path of a .gguf file",
            **named(route.model),
        )
    if call.operation == "embedding":
        raise BadRequestError(
            "the embedded model makes no embeddings: name another, as in model='openai/...'",
            **named(route.model),
        )
    if call.api_base is not None:
        raise BadRequestError(
            f"api_base={call.api_base!r} is for a server, and local/ runs on this machine: "
            "leave it out, or name custom_llm_provider='openai_like'",
            **named(route.model),
        )
    made = openai_chat.request(call, route, has_stream_usage=True)
    return made if call.operation == "models" else evolve(made, body=_body(call, made, route))


def _body(call: Call, made: Request, route: Route) -> dict[str, Any]:
    body = dict(made.body or {})
    _refuse(call, route)
    if "max_tokens" not in body and "max_completion_tokens" not in body:
        body["max_tokens"] = MAX_TOKENS.value()
    if "seed" in body:
        body.setdefault("cache_prompt", False)  # tokens from a cache may round otherwise
    must_call = tools.forced(call)
    return tools.bound(body, must_call) if must_call else body


def _refuse(call: Call, route: Route) -> None:
    for name in _NOT_UNDERSTOOD:
        if name in call.params and name not in call.allowed_openai_params:
            raise UnsupportedParamsError(
                f"the embedded model does not take {name!r}: leave it out", **named(route.model)
            )
    choices, slots = call.params.get("n", 1), SLOTS.value()
    if isinstance(choices, int) and choices > slots:
        raise BadRequestError(
            f"n={choices} is more than the {slots} calls that the embedded model answers at once: "
            "set SCILLM_LOCAL_SLOTS",
            **named(route.model),
        )
