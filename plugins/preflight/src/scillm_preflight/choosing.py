"""A model that chooses among ids between which the rules cannot; it can widen nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from scillm import APIError, Response
from scillm_preflight.settings import ALIAS_LLM_MODEL
from scillm_preflight.shelf import LOG, Catalog

if TYPE_CHECKING:
    from scillm import Call, Request
    from scillm_preflight.resolving import Resolution

Ask = Callable[..., Awaitable[Any]]
WAIT_S = 6.0
_TASK = (
    "A user names a language model. Each line below the name is the id of a model that the name "
    "may mean. Answer with the id that it means, exactly as it is written, and nothing else."
)


async def choice(
    ask: Ask, call: Call, request: Request, resolution: Resolution, catalog: Catalog
) -> str | None:
    """Ask a model which of the candidates is meant.

    Args:
        ask: As ``scillm.acompletion``.
        call: The call whose model's name is ambiguous; its key and headers are used if the
            model that chooses is one of the same host.
        request: What is held back meanwhile.
        resolution: The name and the candidates.
        catalog: What the host offers.

    Returns:
        One of the candidates; None if no answer came in time, or one that is none of them.
    """
    chooser = ALIAS_LLM_MODEL.value()
    place = _place(chooser, call, request, catalog)
    if place is None:
        LOG.warning(
            "%s is %r, which is no id of this host and no provider/model: nobody chooses",
            ALIAS_LLM_MODEL.variable,
            chooser,
        )
        return None
    asked = "\n".join([resolution.asked, "", *resolution.candidates])
    messages = [{"role": "system", "content": _TASK}, {"role": "user", "content": asked}]
    off = {"model_preflight": False, "model_alias": False}
    try:
        work = ask(chooser, messages, timeout=WAIT_S, **off, **place)
        answer = await asyncio.wait_for(_of(work), WAIT_S)
    except (APIError, TimeoutError, asyncio.TimeoutError) as error:  # two until Python 3.11
        LOG.warning("%s did not choose: %s", chooser, str(error) or "no answer in time")
        return None
    said = answer.text.strip() if isinstance(answer, Response) else ""
    if said not in resolution.candidates:
        LOG.warning("%s chose %.80r, which is no candidate", chooser, said)
        return None
    return str(said)


async def _of(work: Awaitable[Any]) -> Any:
    return await work


def _place(chooser: str, call: Call, request: Request, catalog: Catalog) -> dict[str, Any] | None:
    """Return where the model that chooses is asked; None if it is nowhere."""
    if chooser in catalog.ids:
        return {
            "custom_llm_provider": request.route.provider,
            "api_base": call.api_base,
            "api_key": call.api_key,
            "extra_headers": call.headers,
        }
    return {} if "/" in chooser else None
