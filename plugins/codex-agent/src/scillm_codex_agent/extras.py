"""What ``scillm.extras.codex`` lends: one call to codex-agent, without a Router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scillm import completion


def chat(  # noqa: PLR0913  # OpenAI's parameters, by name
    messages: Iterable[Mapping[str, Any]],
    *,
    model: str = "gpt-5",
    base: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    reasoning_effort: str | None = None,
    response_format: Mapping[str, Any] | None = None,
    timeout: float = 60,
) -> dict[str, Any]:
    """Ask codex-agent once and return its answer as plain dicts.

    Args:
        messages: Chat messages; all of them are sent.
        model: An id that the agent lists under ``/v1/models``.
        base: Address, with or without ``/v1``; else ``CODEX_AGENT_API_BASE``.
        temperature: OpenAI's parameter; unset by default, as are the next three.
        max_tokens: The longest answer, in tokens.
        reasoning_effort: ``"low"``, ``"medium"`` or ``"high"``.
        response_format: OpenAI's parameter, such as ``{"type": "json_object"}``.
        timeout: Seconds for the whole answer.

    Raises:
        APIError: The call failed; the subclass says how.
    """
    answer = completion(
        model=model,
        messages=messages,
        custom_llm_provider="codex-agent",
        api_base=base,
        temperature=temperature,
        max_tokens=max_tokens,
        reasoning_effort=reasoning_effort,
        response_format=response_format,
        timeout=timeout,
    )
    return answer.to_dict()
