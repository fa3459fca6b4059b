"""scillm, by a Router with as many deployments as the variable DEPLOYMENTS says."""

from __future__ import annotations

import os

from scillm import Router

from .openai_bytes import KEY, SAMPLING


class Client:
    """Calls `Router.acompletion`; every deployment is the same endpoint."""

    def __init__(self, base_url: str) -> None:
        params = {"model": "openai/mock-model", "api_base": base_url, "api_key": KEY}
        deployment = {"model_name": "mock", "litellm_params": params}
        self.router = Router(model_list=[deployment] * int(os.environ["DEPLOYMENTS"]))

    async def acall(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = await self.router.acompletion("mock", messages, **SAMPLING)
        return answer.choices[0].message.content

    async def aclose(self) -> None:
        await self.router.aclose()
