"""litellm, by a Router with as many deployments as the variable DEPLOYMENTS says."""

from __future__ import annotations

import os

from litellm import Router

from .openai_bytes import KEY, SAMPLING


class Client:
    """Calls `Router.acompletion`; every deployment is the same endpoint."""

    def __init__(self, base_url: str) -> None:
        params = {"model": "openai/mock-model", "api_base": base_url, "api_key": KEY}
        model_list = [  # each its own: the Router takes them apart
            {"model_name": "mock", "litellm_params": dict(params)}
            for _ in range(int(os.environ["DEPLOYMENTS"]))
        ]
        self.router = Router(model_list=model_list, num_retries=2)

    async def acall(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = await self.router.acompletion("mock", messages, **SAMPLING)
        return answer.choices[0].message.content
