"""Whether a chute of one's own works: it is there, and answers in JSON, alone and many at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import scillm
from scillm import APIError, FailureKind, Response
from scillm_chutes.peers import wrong_json
from scillm_chutes.settings import Gateway

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOPELESS = (FailureKind.AUTH, FailureKind.PERMISSION)
ASK_S = 60.0
MOST_SHOWN = 20
SAMPLES = 3


def base_of(slug: str) -> str:
    """Return the address of a chute's own host.

    Raises:
        ValueError: The slug is no part of a host's name; a key must not go elsewhere.
    """
    if not _SLUG.fullmatch(slug):
        raise ValueError(f"{slug!r} is no slug: small letters, digits and hyphens, as in my-chute")
    return f"https://{slug}.chutes.ai"


def examine(  # noqa: PLR0913  # by name, all but the first two
    gateway: Gateway,
    model: str,
    *,
    timeout_s: float = 480.0,
    interval_s: float = 12.0,
    concurrency: int = 2,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Wait until a host is ready, ask it once for JSON, then several times at once.

    Args:
        gateway: The host and its key.
        model: The model to ask.
        timeout_s: Seconds to wait until it lists its models.
        interval_s: Seconds between two looks.
        concurrency: Calls at once; twice as many are made.
        clock: Tells seconds that never go back.
        sleep: Waits so many seconds.

    Returns:
        ``overall_ok``, ``host``, ``chat_base``, ``model``, ``readiness`` (``ok``,
        ``elapsed_sec``, and ``body`` or ``status`` and ``error``), ``single`` (``ok``,
        ``content``, ``model``) and ``batch`` (``ok``, how many of ``total`` are, and ``sample``);
        the last two None where there was nothing to ask.
    """
    host = gateway.base.rstrip("/").removesuffix("/v1")
    begun_s, readiness = clock(), _look(gateway, model)
    while not readiness["ok"] and not readiness.pop("is_hopeless", False):
        if clock() - begun_s + interval_s > timeout_s:
            break
        sleep(interval_s)
        readiness = _look(gateway, model)
    readiness.pop("is_hopeless", None)
    readiness["elapsed_sec"] = round(clock() - begun_s, 3)
    single = _single(gateway, model) if readiness["ok"] else None
    batch = asyncio.run(_batch(gateway, model, concurrency)) if single and single["ok"] else None
    return {
        "overall_ok": bool(batch and batch["ok"] == batch["total"]),
        "host": host,
        "chat_base": f"{host}/v1",
        "model": model,
        "readiness": readiness,
        "single": single,
        "batch": batch,
    }


def _look(gateway: Gateway, model: str) -> dict[str, Any]:
    once = {"max_retries": 0} if "max_retries" in scillm.kernel().plugins.options else {}
    try:
        listed = scillm.models(
            "openai_like", api_base=gateway.base, api_key=gateway.key, timeout=10.0, **once
        )
    except APIError as error:
        failure = error.failure
        is_hopeless = failure.kind in _HOPELESS
        return {
            "ok": False,
            "status": failure.status,
            "error": str(error),
            "is_hopeless": is_hopeless,
        }
    names = [str(each.get("id")) for each in listed.data]
    shown = [{"id": name} for name in names[:MOST_SHOWN]]
    body = {"object": "list", "total": len(names), "data": shown}
    return {"ok": True, "has_model": model in names, "body": body}


def _arguments(gateway: Gateway, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": 'Return only {"ok": true} as JSON.'}],
        "custom_llm_provider": "openai_like",
        "api_base": gateway.base,
        "api_key": gateway.key,
        "response_format": {"type": "json_object"},
        "temperature": 0,
        "max_tokens": 256,
        "timeout": ASK_S,
    }


def _single(gateway: Gateway, model: str) -> dict[str, Any]:
    try:
        answer: Response = scillm.completion(**_arguments(gateway, model))
    except APIError as error:
        return {"ok": False, "content": None, "model": None, "error": str(error)}
    wrong = wrong_json(answer)
    told = {"ok": not wrong, "content": answer.text, "model": answer.model}
    return {**told, "error": wrong} if wrong else told


async def _batch(gateway: Gateway, model: str, concurrency: int) -> dict[str, Any]:
    total = 2 * concurrency
    room = asyncio.Semaphore(concurrency)

    async def ask() -> tuple[bool, str]:
        async with room:
            try:
                answer: Response = await scillm.acompletion(**_arguments(gateway, model))
            except APIError as error:
                return False, str(error)
        return not wrong_json(answer), answer.text

    answers = await asyncio.gather(*(ask() for _ in range(total)))
    return {
        "ok": sum(is_ok for is_ok, _ in answers),
        "total": total,
        "sample": [text for _, text in answers[:SAMPLES]],
    }
