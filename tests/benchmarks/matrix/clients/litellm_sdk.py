"""litellm, by its functions.

With `max_retries`, which the openai client beneath takes. Its other option, `num_retries`, wants
tenacity for sync calls, and repeats every error, a 404 and a 422 too: nine more cells are wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import litellm

from . import KEY, MODEL, Given, messages


class Client:
    """Calls with `litellm.completion` and `litellm.acompletion`."""

    def __init__(self, given: Given) -> None:
        self.options = {
            "model": f"openai/{MODEL}",
            "api_base": given.url,
            "api_key": KEY,
            "max_retries": given.retries,
            "timeout": given.timeout_s,
        }

    def ask(self, prompt: str) -> Any:
        return litellm.completion(messages=messages(prompt), **self.options)

    async def aask(self, prompt: str) -> Any:
        return await litellm.acompletion(messages=messages(prompt), **self.options)

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await litellm.acompletion(messages=messages(prompt), stream=True, **self.options)
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
