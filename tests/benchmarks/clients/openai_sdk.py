"""The official client of OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cached_property

import openai

from .openai_bytes import KEY, payload


class Client:
    """Calls with `openai.OpenAI` and `openai.AsyncOpenAI`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    @cached_property
    def sync(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.base_url, api_key=KEY)

    def call(self, prompt: str) -> str:
        return self.sync.chat.completions.create(**payload(prompt)).choices[0].message.content

    def stream(self, prompt: str) -> Iterator[str]:
        for chunk in self.sync.chat.completions.create(**payload(prompt, is_stream=True)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def open(self) -> None:
        self.client = openai.AsyncOpenAI(base_url=self.base_url, api_key=KEY)

    async def acall(self, prompt: str) -> str:
        answer = await self.client.chat.completions.create(**payload(prompt))
        return answer.choices[0].message.content

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        body = payload(prompt, is_stream=True)
        async for chunk in await self.client.chat.completions.create(**body):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def aclose(self) -> None:
        await self.client.close()
