"""any-llm, by an instance made once, with the errors of its own that it recommends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from any_llm import AnyLLM

from . import KEY, MODEL, Given, messages


class Client:
    """Calls with `AnyLLM.create("openai")`."""

    def __init__(self, given: Given) -> None:
        self.llm = AnyLLM.create(
            "openai",
            api_key=KEY,
            api_base=given.url,
            max_retries=given.retries,
            timeout=given.timeout_s,
            unified_exceptions=True,
        )

    def ask(self, prompt: str) -> Any:
        return self.llm.completion(model=MODEL, messages=messages(prompt))

    async def aask(self, prompt: str) -> Any:
        return await self.llm.acompletion(model=MODEL, messages=messages(prompt))

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await self.llm.acompletion(model=MODEL, messages=messages(prompt), stream=True)
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
