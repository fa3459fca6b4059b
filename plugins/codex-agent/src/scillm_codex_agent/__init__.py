"""codex-agent: a local agent, or its sidecar, that speaks OpenAI's dialect.

``completion(model="codex-agent/<id>")`` or ``completion(model="<id>",
custom_llm_provider="codex-agent")``; the ids come from ``scillm models codex-agent``.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from scillm import Call, Request, Route, Secret, Setting, hookimpl
from scillm_codex_agent.asking import JUDGE_MODEL
from scillm_dialects import openai_chat

PROVIDERS = ("codex-agent", "codex_cli_agent", "code-agent", "code_agent")
API_BASE = Setting(
    name="CODEX_AGENT_API_BASE",
    default="http://127.0.0.1:8077",
    prefix="",
    help="address of the agent or its sidecar, with or without /v1",
)
API_KEY: Setting[str | None] = Setting(
    name="CODEX_AGENT_API_KEY",
    default=None,
    prefix="",
    is_secret=True,
    help="its key; usually unset",
)
AUTOSTART = Setting(
    name="CODEX_AUTOSTART",
    default=False,
    help="whether ensure_codex_agent() starts the sidecar where no agent is running",
)
ENABLE_CLOUD = Setting(
    name="ENABLE_CODEX_CLOUD", default=False, help="one of two yeses that codex_cloud asks for"
)
EXPERIMENTAL_CLOUD = Setting(
    name="EXPERIMENTAL_CODEX_CLOUD", default=False, help="the other of the two"
)
SETTINGS: tuple[Setting[Any], ...] = (
    API_BASE,
    API_KEY,
    JUDGE_MODEL,
    AUTOSTART,
    ENABLE_CLOUD,
    EXPERIMENTAL_CLOUD,
)


@hookimpl
def resolve_model(call: Call) -> Route | None:
    """Take a model of codex-agent; its address is the call's own or the setting."""
    model = call.model_for(*PROVIDERS)
    if model is None:
        return None
    base = openai_chat.base_url(call.api_base or API_BASE.value())
    return Route(provider=PROVIDERS[0], model=model, base_url=base)


@hookimpl
def prepare_request(call: Call, route: Route) -> Request | None:
    """Speak OpenAI's dialect; a reasoning effort is told in both of its spellings."""
    if route.provider != PROVIDERS[0]:
        return None
    text = API_KEY.value()
    key = call.api_key or (Secret(text) if text else None)
    return openai_chat.request(_with_reasoning(call), route, key=key)


def _with_reasoning(call: Call) -> Call:
    effort = call.params.get("reasoning_effort")
    if effort is None or "reasoning" in call.params:
        return call
    return evolve(call, params={**call.params, "reasoning": {"effort": effort}})
