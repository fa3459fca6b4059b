"""scillm, by its functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import scillm

from .openai_bytes import KEY, SAMPLING


class Client:
    """Calls `scillm.completion` and `scillm.acompletion`."""

    def __init__(self, base_url: str) -> None:
        self.given = {
            "model": "openai/mock-model",
            "api_base": base_url,
            "api_key": KEY,
            **SAMPLING,
        }

    def _arguments(self, prompt: str) -> dict[str, object]:
        return {**self.given, "messages": [{"role": "user", "content": prompt}]}

    def call(self, prompt: str) -> str:
        return scillm.completion(**self._arguments(prompt)).choices[0].message.content

    def stream(self, prompt: str) -> Iterator[str]:
        for chunk in scillm.completion(stream=True, **self._arguments(prompt)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def acall(self, prompt: str) -> str:
        answer = await scillm.acompletion(**self._arguments(prompt))
        return answer.choices[0].message.content

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        async for chunk in await scillm.acompletion(stream=True, **self._arguments(prompt)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def aclose(self) -> None:
        await scillm.aclose()
