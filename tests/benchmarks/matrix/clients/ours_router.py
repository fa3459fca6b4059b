"""scillm, by a Router: of one deployment, and of one with a fallback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from scillm import Router

from . import KEY, MODEL, Given, messages
from .ours import patience


class Client:
    """Calls with `Router.completion`, `acompletion` and `parallel_acompletions`."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.patience = patience(given)
        self.alone = self._router(first=given.url)

    def _router(self, **urls: str) -> Router:
        params = {"model": f"openai/{MODEL}", "api_key": KEY}
        deployments = [
            {"model_name": name, "litellm_params": {**params, "api_base": url}}
            for name, url in urls.items()
        ]
        return Router(
            model_list=deployments,
            fallbacks=[{"first": ["second"]}] if "second" in urls else [],
            num_retries=self.given.retries,
            timeout=self.given.timeout_s,
        )

    def ask(self, prompt: str) -> Any:
        return self.alone.completion("first", messages(prompt), **self.patience)

    async def aask(self, prompt: str) -> Any:
        return await self.alone.acompletion("first", messages(prompt), **self.patience)

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await self.alone.acompletion(
            "first", messages(prompt), stream=True, **self.patience
        )
        async for chunk in stream:
            yield chunk

    async def arouted(self, prompt: str) -> Any:
        router = self._router(first=self.given.url, second=self.given.second_url)
        return await router.acompletion("first", messages(prompt), **self.patience)

    async def amany(self, prompts: list[str]) -> list[Any]:
        requests = [
            {"model": "first", "messages": messages(prompt), **self.patience} for prompt in prompts
        ]
        slots = await self.alone.parallel_acompletions(requests, concurrency=len(prompts))
        return [slot.error or slot.response for slot in slots]
