"""edgequake-litellm, which takes base URL and key from the environment alone.

It retries by itself and has no option for it; `timeout` is documented as not wired.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import edgequake_litellm

from . import KEY, MODEL, Given, messages

HAS_TIMEOUT = False


class Client:
    """Calls with its functions."""

    def __init__(self, given: Given) -> None:
        os.environ.update(OPENAI_BASE_URL=given.url, OPENAI_API_BASE=given.url, OPENAI_API_KEY=KEY)
        self.model = f"openai/{MODEL}"

    def ask(self, prompt: str) -> Any:
        return edgequake_litellm.completion(self.model, messages(prompt))

    async def aask(self, prompt: str) -> Any:
        return await edgequake_litellm.acompletion(self.model, messages(prompt))

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await edgequake_litellm.acompletion(self.model, messages(prompt), stream=True)
        async for chunk in stream:
            yield chunk

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await asyncio.gather(*map(self.aask, prompts), return_exceptions=True)
