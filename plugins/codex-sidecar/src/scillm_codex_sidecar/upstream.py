"""Forward: another server answers, whatever speaks OpenAI's dialect; streams are passed through."""

from __future__ import annotations

from urllib.parse import urlsplit

from scillm import Call, Request, Route, Secret, hookimpl
from scillm.settings import variable
from scillm_codex_sidecar import FORWARD_BASE, FORWARD_TOKEN
from scillm_dialects import openai_chat

PROVIDERS = ("codex-upstream",)
_HINTS = {
    401: "the upstream does not take the sidecar's key: set CODEX_FORWARD_TOKEN",
    403: "the upstream does not let the sidecar's key do this: look at CODEX_FORWARD_TOKEN",
    404: "the upstream does not know this model: take an id that /v1/models lists",
    502: "the upstream of CODEX_FORWARD_BASE is not there or failed",
    503: "the upstream of CODEX_FORWARD_BASE is not ready",
}
_PAIRS = (("OPENAI_BASE_URL", "OPENAI_API_KEY"), ("CHUTES_API_BASE", "CHUTES_API_KEY"))
_OPENAI = "https://api.openai.com/v1"


@hookimpl
def resolve_model(call: Call) -> Route | None:
    """Take what the sidecar passes on."""
    model = call.model if call.provider == PROVIDERS[0] else None
    if model is None:
        return None
    return Route(
        provider=PROVIDERS[0], model=model, base_url=openai_chat.base_url(FORWARD_BASE.value())
    )


@hookimpl
def prepare_request(call: Call, route: Route) -> Request | None:
    """Speak OpenAI's dialect."""
    if route.provider != PROVIDERS[0]:
        return None
    return openai_chat.request(call, route, key=key_for(route.base_url))


def key_for(base: str) -> Secret | None:
    """Return the key for an address: the one that was set for it, never one for another host."""
    own = FORWARD_TOKEN.value()
    if own:
        return Secret(own)
    for base_variable, key_variable in _PAIRS:
        default = _OPENAI if base_variable == "OPENAI_BASE_URL" else None
        known, key = variable(base_variable, default), variable(key_variable)
        if known and key and _origin(known) == _origin(base):
            return Secret(key)
    return None


def hint(status: int) -> str:
    """Return what to do about a status of the upstream's, ``""`` if nothing is known."""
    return _HINTS.get(status, "")


def _origin(base: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(base)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname, parts.port or default
