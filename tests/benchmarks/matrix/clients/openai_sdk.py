"""The official client of OpenAI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai

from . import KEY, MODEL, Given, messages


class Client:
    """Calls with `openai.OpenAI` and `openai.AsyncOpenAI`, each made once."""

    def __init__(self, given: Given) -> None:
        options = {
            "base_url": given.url,
            "api_key": KEY,
            "max_retries": given.retries,
            "timeout": given.timeout_s,
        }
        self.sync = openai.OpenAI(**options)
        self.client = openai.AsyncOpenAI(**options)

    def ask(self, prompt: str) -> Any:
        return self.sync.chat.completions.create(model=MODEL, messages=messages(prompt))

    async def aask(self, prompt: str) -> Any:
        return await self.client.chat.completions.create(model=MODEL, messages=messages(prompt))

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await self.client.chat.completions.create(
            model=MODEL, messages=messages(prompt), stream=True
        )
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
