"""An answer from whoever can give one, with a record of who was asked."""

from __future__ import annotations

from typing import Any

import scillm
from scillm import APIError, Response, ScillmError
from scillm_chutes.meta import attributed
from scillm_chutes.routers import Entry, candidates, router_of
from scillm_chutes.settings import Kind


class AllCandidatesFailed(ScillmError, RuntimeError):
    """Every candidate was asked and none answered; ``attempts`` says what each said."""

    def __init__(self, message: str, attempts: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (str(self), self.attempts))


def infer_with_fallback(  # noqa: PLR0913  # the signature that users know
    *,
    messages: list[dict[str, Any]],
    kind: Kind = "text",
    require_json: bool = False,
    require_tools: bool = False,
    response_format: Any = None,
    max_retries: int = 3,
    retry_after: float = 1,
    timeout: float = 45,
    **more: Any,
) -> tuple[Response, dict[str, Any]]:
    """Ask the gateways of the environment until one answers, and say who did.

    First by a Router over all candidates, then each candidate once more by itself.

    Args:
        messages: Chat messages.
        kind: ``"text"``, ``"vlm"`` or ``"tools"``.
        require_json: Asks for a JSON object, of models that can give one.
        require_tools: Only models that can call tools.
        response_format: As in ``completion``; None follows *require_json*.
        max_retries: Retries of the Router.
        retry_after: Seconds that the first of them waits.
        timeout: Seconds for one request.
        **more: Further arguments of ``completion``.

    Returns:
        The answer, which has the second as ``scillm_meta``; and ``{"route": "router" or
        "sequential", "preferred", "served_model", "served_base", "attempts"}``.

    Raises:
        RuntimeError: No gateway is named or offers such a model.
        AllCandidatesFailed: None answered; also a RuntimeError.
    """
    if response_format is None and require_json:
        response_format = {"type": "json_object"}
    entries = candidates(kind, require_json=require_json, require_tools=require_tools)
    arguments = {"response_format": response_format, "timeout": timeout, **more}
    attempts: list[dict[str, Any]] = []
    try:
        router = router_of(entries)
        response = router.completion(
            model=entries[0]["model_name"],
            messages=messages,
            max_retries=max_retries,
            retry_after=retry_after,
            **arguments,
        )
        noted = response.additional_kwargs.get("router", {}).get("attempted", ())
        return _told(response, "router", entries, [dict(attempt) for attempt in noted])
    except APIError as error:
        attempts.append({"route": "router", "error": str(error)})
    return _told(*_one_by_one(entries, messages, arguments, attempts))


def _one_by_one(
    entries: list[Entry],
    messages: list[dict[str, Any]],
    arguments: dict[str, Any],
    attempts: list[dict[str, Any]],
) -> tuple[Response, str, list[Entry], list[dict[str, Any]]]:
    for entry in entries:
        params = {name: value for name, value in entry["litellm_params"].items() if name != "order"}
        try:
            response = scillm.completion(messages=messages, **params, **arguments)
        except APIError as error:
            attempts.append({"route": "sequential", "model": params["model"], "error": str(error)})
        else:
            return response, "sequential", entries, attempts
    raise AllCandidatesFailed(f"All candidates failed. Attempts: {attempts}", attempts)


def _told(
    response: Response, route: str, entries: list[Entry], attempts: list[dict[str, Any]]
) -> tuple[Response, dict[str, Any]]:
    served = response.served_by
    meta = {
        "route": route,
        "routing": route,
        "preferred": entries[0]["litellm_params"]["model"],
        "served_model": served.model if served else response.model,
        "served_base": served.base_url if served else "",
        "attempts": attempts,
    }
    return attributed(response, meta), meta
