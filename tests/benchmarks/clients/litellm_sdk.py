"""litellm, by its functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import litellm

from .openai_bytes import KEY, SAMPLING


class Client:
    """Calls `litellm.completion` and `litellm.acompletion`."""

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
        return litellm.completion(**self._arguments(prompt)).choices[0].message.content

    def stream(self, prompt: str) -> Iterator[str]:
        for chunk in litellm.completion(stream=True, **self._arguments(prompt)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def acall(self, prompt: str) -> str:
        answer = await litellm.acompletion(**self._arguments(prompt))
        return answer.choices[0].message.content

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        async for chunk in await litellm.acompletion(stream=True, **self._arguments(prompt)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
