"""What the calls of ``multi_agents`` have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scillm import APIError, BadRequestError, Response, Setting

JUDGE_MODEL = Setting(
    name="CODEX_JUDGE_MODEL",
    default="codex-agent/gpt-5",
    prefix="",
    help="who judges in scillm.extras.multi_agents where the call names nobody",
)
JSON_OBJECT = {"type": "json_object"}


def agent(base: str | None, key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments that send a call to codex-agent; None leaves it to the environment."""
    return {
        "custom_llm_provider": "codex-agent",
        "api_base": base,
        "api_key": key,
        "timeout": timeout_s,
    }


def told(rules: str, data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return messages: the rules from the system, the data as JSON from the user.

    Raises:
        BadRequestError: The data is not JSON.
    """
    try:
        content = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"what the model is to be told is not JSON: {error}") from None
    return [{"role": "system", "content": rules}, {"role": "user", "content": content}]


def answered(outcome: Response | APIError) -> Response:
    """Return an answer.

    Raises:
        APIError: It is none.
    """
    if isinstance(outcome, APIError):
        raise outcome
    return outcome
