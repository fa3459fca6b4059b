"""Any OpenAI-compatible endpoint: ``openai_like`` with an address, or a host of the table.

``completion(model="my-model", custom_llm_provider="openai_like", api_base="http://...")``;
``completion(model="openai/gpt-4o")``; ``completion(model="groq/llama-3.1-8b-instant")``.
"""

from __future__ import annotations

from typing import Any

from scillm import (
    AuthenticationError,
    BadRequestError,
    Call,
    Request,
    Route,
    Secret,
    Setting,
    hookimpl,
)
from scillm.settings import variable
from scillm_dialects import openai_chat
from scillm_openai_like.hosts import HOSTS, Host

PROVIDERS = tuple(name for host in HOSTS for name in host.names)
SETTINGS: tuple[Setting[Any], ...] = tuple(s for host in HOSTS for s in host.settings)
_BY_NAME = {name: host for host in HOSTS for name in host.names}


@hookimpl
def resolve_model(call: Call) -> Route | None:
    """Take a model of a host of the table, or a bare name that comes with an address.

    A name with a slash names a provider, which may be another plugin's, or blocked.
    """
    prefix, slash, _ = call.model.partition("/")
    host = _BY_NAME.get(call.provider or (prefix if slash else ""))
    model = call.model_for(*host.names) if host else None
    if host is None and call.provider is None and call.api_base and call.model and not slash:
        host, model = _BY_NAME["openai_like"], call.model
    if host is None or model is None:
        return None
    return Route(provider=host.names[0], model=model, base_url=_base(call, host))


@hookimpl
def prepare_request(call: Call, route: Route) -> Request | None:
    """Speak OpenAI's dialect, with the host's own key if the call brings none."""
    host = _BY_NAME.get(route.provider)
    if host is None:
        return None
    if not route.model and call.operation != "models":
        raise BadRequestError(
            f"model={call.model!r} names none: write '{route.provider}/' and the model's name",
            llm_provider=route.provider,
        )
    if not route.base_url:
        raise BadRequestError(
            f"{route.provider} needs an address: pass api_base='http://...'",
            llm_provider=route.provider,
            model=route.model,
        )
    key = call.api_key or host.key()
    if key is None and host.needs_key and not _authorizes(call):
        raise AuthenticationError(
            f"no key for {route.provider}: set {host.key_variable}, or pass api_key=...",
            llm_provider=route.provider,
            model=route.model,
        )
    return openai_chat.request(call, route, key=key, has_stream_usage=host.has_stream_usage)


def _authorizes(call: Call) -> bool:
    return call.api_base is not None or any(isinstance(v, Secret) for v in call.headers.values())


def _base(call: Call, host: Host) -> str:
    told = call.api_base or (variable(host.base_variable) if host.base_variable else None)
    if told:
        return openai_chat.base_url(told)
    return host.base_url
