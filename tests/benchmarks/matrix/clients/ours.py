"""scillm, by its functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import scillm

from . import KEY, MODEL, Given, messages


def patience(given: Given) -> dict[str, float]:
    """The time limit of a call, if there is one to set."""
    return {"retry_time_budget_s": given.budget_s} if given.budget_s else {}


class Client:
    """Calls with `scillm.completion` and `scillm.acompletion`."""

    def __init__(self, given: Given) -> None:
        self.options = {
            "model": f"openai/{MODEL}",
            "api_base": given.url,
            "api_key": KEY,
            "max_retries": given.retries,
            "timeout": given.timeout_s,
            **patience(given),
        }

    def ask(self, prompt: str) -> Any:
        return scillm.completion(messages=messages(prompt), **self.options)

    async def aask(self, prompt: str) -> Any:
        return await scillm.acompletion(messages=messages(prompt), **self.options)

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await scillm.acompletion(messages=messages(prompt), stream=True, **self.options)
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
