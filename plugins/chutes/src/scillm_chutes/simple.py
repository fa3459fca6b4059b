"""One JSON call, with everything else out of the environment."""

from __future__ import annotations

from typing import Any

import scillm
from scillm import Response
from scillm.settings import Setting, boolean
from scillm_chutes.fallback import infer_with_fallback
from scillm_chutes.meta import attributed
from scillm_chutes.settings import API_BASE, API_KEY, MODEL_ID, TEXT_MODEL, Kind, required

TENACIOUS = Setting(name="TENACIOUS", default=False, read=boolean, help="")


class _Patience:
    """What the retries of one call amounted to, gathered from what they report."""

    def __init__(self) -> None:
        self.meta: dict[str, Any] = {
            "attempts": 1,
            "total_sleep_s": 0.0,
            "last_retry_after_s": None,
        }

    def on_attempt(self, event: Any) -> None:
        if event.get("retry_after") is not None:
            self.meta["last_retry_after_s"] = event["retry_after"]

    def on_success(self, event: Any) -> None:
        self.meta["attempts"] = event["attempts"]
        self.meta["total_sleep_s"] = event["cumulative_sleep_s"]


def chutes_chat_json(  # noqa: PLR0913  # the signature that users know
    *,
    messages: list[dict[str, Any]],
    model: str | None = None,
    max_tokens: int | None = 256,
    temperature: float = 0,
    timeout: float = 45,
    tenacious: bool = False,
    max_wall_time_s: float = 21600,
    backoff_cap_s: float = 300,
    backoff_base: float = 2.0,
    **more: Any,
) -> Response:
    """Ask the gateway of the environment for JSON.

    Args:
        messages: Chat messages.
        model: Model; ``CHUTES_TEXT_MODEL`` if None, else ``CHUTES_MODEL_ID``.
        max_tokens: The longest answer.
        temperature: As in ``completion``.
        timeout: Seconds for one request.
        tenacious: Ask exactly this model until it answers; also by ``SCILLM_TENACIOUS=1``.
        max_wall_time_s: Seconds after which a tenacious call gives up.
        backoff_cap_s: The longest wait between two requests, unless the gateway asks for more.
        backoff_base: Seconds of the first wait.
        **more: Further arguments of ``completion``.

    Returns:
        The answer; when tenacious, ``scillm_meta`` has ``tenacious``, ``attempts``,
        ``total_sleep_s`` and ``last_retry_after_s``.

    Raises:
        RuntimeError: ``CHUTES_API_BASE``, ``CHUTES_API_KEY`` or the model is not set.
        APIError: The call failed.
    """
    base, key = required(API_BASE), required(API_KEY)
    arguments: dict[str, Any] = {
        "model": model or TEXT_MODEL.value() or MODEL_ID.value() or required(TEXT_MODEL),
        "messages": messages,
        "custom_llm_provider": "openai_like",
        "api_base": base,
        "api_key": key,
        "response_format": {"type": "json_object"},
        "max_tokens": max_tokens,
        "temperature": temperature,
        "timeout": timeout,
        **more,
    }
    if not (tenacious or TENACIOUS.value()):
        response: Response = scillm.completion(**arguments)
        return response
    patience = _Patience()
    response = scillm.completion(
        **arguments,
        tenacious=True,
        max_wall_time_s=max_wall_time_s,
        backoff_cap_s=backoff_cap_s,
        backoff_base=backoff_base,
        on_attempt=patience.on_attempt,
        on_success=patience.on_success,
    )
    return attributed(response, {"tenacious": True, **patience.meta})


def chutes_router_json(
    *, messages: list[dict[str, Any]], kind: Kind = "text", **more: Any
) -> Response:
    """Ask for JSON of the models that the environment pins or its gateways offer.

    Args:
        messages: Chat messages.
        kind: ``"text"``, ``"vlm"`` or ``"tools"``.
        **more: Further arguments of ``infer_with_fallback``.
    """
    return infer_with_fallback(messages=messages, kind=kind, require_json=True, **more)[0]
