"""httpx used directly, with `sniffio` beside it, which it uses but does not ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

from .openai_bytes import HEADERS, content, payload, pieces


class Client:
    """Posts with `httpx.Client` and `httpx.AsyncClient`."""

    def __init__(self, base_url: str) -> None:
        self.url = f"{base_url}/chat/completions"
        self.sync = httpx.Client(headers=HEADERS, timeout=60)

    def call(self, prompt: str) -> str:
        answer = self.sync.post(self.url, json=payload(prompt))
        answer.raise_for_status()
        return content(answer.json())

    def stream(self, prompt: str) -> Iterator[str]:
        body = payload(prompt, is_stream=True)
        with self.sync.stream("POST", self.url, json=body) as answer:
            for line in answer.iter_lines():
                yield from pieces(line)

    async def open(self) -> None:
        self.client = httpx.AsyncClient(headers=HEADERS, timeout=60)

    async def acall(self, prompt: str) -> str:
        answer = await self.client.post(self.url, json=payload(prompt))
        answer.raise_for_status()
        return content(answer.json())

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        body = payload(prompt, is_stream=True)
        async with self.client.stream("POST", self.url, json=body) as answer:
            async for line in answer.aiter_lines():
                for text in pieces(line):
                    yield text

    async def aclose(self) -> None:
        await self.client.aclose()
