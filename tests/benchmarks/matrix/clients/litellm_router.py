"""litellm, by a Router: of one deployment, and of one with a fallback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litellm import Router

from . import KEY, MODEL, Given, messages


class Client:
    """Calls with `Router.completion`, `acompletion` and `abatch_completion`."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.alone = self._router(first=given.url)

    def _router(self, **urls: str) -> Router:
        deployments = [
            {
                "model_name": name,
                "litellm_params": {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY},
            }
            for name, url in urls.items()
        ]
        return Router(
            model_list=deployments,
            fallbacks=[{"first": ["second"]}] if "second" in urls else [],
            num_retries=self.given.retries,
            timeout=self.given.timeout_s,
        )

    def ask(self, prompt: str) -> Any:
        return self.alone.completion("first", messages(prompt))

    async def aask(self, prompt: str) -> Any:
        return await self.alone.acompletion("first", messages(prompt))

    async def astream(self, prompt: str) -> AsyncIterator[Any]:
        stream = await self.alone.acompletion("first", messages(prompt), stream=True)
        async for chunk in stream:
            yield chunk

    async def arouted(self, prompt: str) -> Any:
        router = self._router(first=self.given.url, second=self.given.second_url)
        return await router.acompletion("first", messages(prompt))

    async def amany(self, prompts: list[str]) -> list[Any]:
        return await self.alone.abatch_completion_one_model_multiple_requests(
            "first", [messages(prompt) for prompt in prompts]
        )
