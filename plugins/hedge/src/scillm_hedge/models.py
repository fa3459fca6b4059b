"""Two models, the second asked when the first is late: the first success wins."""

from __future__ import annotations

import asyncio
from typing import Any

from scillm import Response
from scillm_hedge.attempt import end


async def hedged_acompletion(
    router: Any,
    *,
    primary_model: str,
    messages: Any,
    hedge_ms: float = 700,
    backup_model: str | None = None,
    **arguments: Any,
) -> Response:
    """Ask a model and, if it is late, another; return the first answer.

    A failure does not win: the other is waited for, and asked at once if it was not yet.

    Args:
        router: A Router, or anything with ``acompletion``, such as the module ``scillm``.
        primary_model: Whom to ask first.
        messages: Chat messages.
        hedge_ms: Milliseconds after which the backup is asked too.
        backup_model: Whom to ask then; None asks *primary_model* again.
        **arguments: Further arguments of ``acompletion``; not ``stream``.

    Raises:
        APIError: Both failed; the error of the first.
    """

    def ask(model: str) -> asyncio.Future[Response]:
        task: asyncio.Future[Response] = asyncio.ensure_future(
            router.acompletion(model, messages, **arguments)
        )
        return task

    running = [ask(primary_model)]
    try:
        await asyncio.wait(running, timeout=hedge_ms / 1000)
        if not (running[0].done() and running[0].exception() is None):
            running.append(ask(backup_model or primary_model))
        waiting = set(running)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return task.result()
        return running[0].result()
    finally:
        await end(running)
