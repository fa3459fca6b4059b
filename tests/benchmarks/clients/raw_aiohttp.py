"""aiohttp used directly, with its own limit of connections or the variable CONNECTIONS'."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import aiohttp

from .openai_bytes import HEADERS, content, payload, pieces


class Client:
    """Posts with one `aiohttp.ClientSession`."""

    def __init__(self, base_url: str) -> None:
        self.url = f"{base_url}/chat/completions"

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(60)
        connector = aiohttp.TCPConnector(limit=int(os.environ.get("CONNECTIONS", "100")))
        self.session = aiohttp.ClientSession(headers=HEADERS, timeout=timeout, connector=connector)

    async def acall(self, prompt: str) -> str:
        async with self.session.post(self.url, json=payload(prompt)) as answer:
            answer.raise_for_status()
            return content(await answer.json())

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        body = payload(prompt, is_stream=True)
        async with self.session.post(self.url, json=body) as answer:
            async for line in answer.content:
                for text in pieces(line):
                    yield text

    async def aclose(self) -> None:
        await self.session.close()
