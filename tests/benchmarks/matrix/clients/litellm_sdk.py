"""litellm, by its functions."""

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
            "num_retries": given.retries,
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
