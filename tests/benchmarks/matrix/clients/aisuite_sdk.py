"""aisuite, whose configuration of a provider goes to the openai client beneath."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aisuite

from . import KEY, MODEL, Given, messages


class Client:
    """Calls with `aisuite.Client`."""

    def __init__(self, given: Given) -> None:
        options = {
            "base_url": given.url,
            "api_key": KEY,
            "max_retries": given.retries,
            "timeout": given.timeout_s,
        }
        self.client = aisuite.Client({"openai": options})
        self.model = f"openai:{MODEL}"

    def ask(self, prompt: str) -> Any:
        return self.client.chat.completions.create(model=self.model, messages=messages(prompt))

    async def aask(self, prompt: str) -> Any:
        return await self.client.chat.completions.acreate(
            model=self.model, messages=messages(prompt)
        )

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await self.client.chat.completions.acreate(
            model=self.model, messages=messages(prompt), stream=True
        )
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
