"""From the arguments of a user to a Call: names checked, shapes checked, secrets hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scillm.answers import plain
from scillm.calls import Call, Request, Timeouts
from scillm.errors import BadRequestError, UnsupportedParamsError, hint
from scillm.secrets import Secret
from scillm.settings import MODEL, TIMEOUT

if TYPE_CHECKING:
    from scillm.plugins import Plugins

_NAMES = (
    "temperature top_p max_tokens max_completion_tokens stop seed n tools tool_choice "
    "response_format reasoning reasoning_effort frequency_penalty presence_penalty logit_bias "
    "logprobs top_logprobs user parallel_tool_calls stream_options service_tier store modalities "
    "audio prediction verbosity web_search_options functions function_call safety_identifier "
    "prompt_cache_key dimensions encoding_format"
)
OPENAI_PARAMS = frozenset(_NAMES.split())
"""Parameters of OpenAI's chat completions and embeddings; a provider may refuse some by name."""

_FEW = 8  # so many providers are listed in an error
_SECRET_WORDS = ("key", "auth", "token", "secret", "cookie")


def chat(  # noqa: PLR0913  # the arguments of a user, by name
    plugins: Plugins,
    model: str | None = None,
    messages: Iterable[Mapping[str, Any]] = (),
    *,
    custom_llm_provider: str | None = None,
    api_base: str | None = None,
    base_url: str | None = None,
    api_key: str | Secret | None = None,
    extra_headers: Mapping[str, str] | None = None,
    timeout: float | Timeouts | None = None,
    stream: bool | None = None,
    extra_body: Mapping[str, Any] | None = None,
    allowed_openai_params: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **more: Any,
) -> Call:
    """Read the arguments of a chat completion; those of ``scillm.completion``."""
    params, options = _sorted(plugins, more, tuple(allowed_openai_params or ()))
    return Call(
        model=_model(model),
        messages=_messages(messages),
        params=params,
        options=options,
        stream=bool(stream),
        provider=custom_llm_provider or None,
        api_base=_base(api_base or base_url),
        api_key=_secret("api_key", api_key),
        headers=_headers(extra_headers),
        timeouts=Timeouts.of(TIMEOUT.value() if timeout is None else timeout),
        extra_body=_mapping("extra_body", extra_body),
        allowed_openai_params=tuple(allowed_openai_params or ()),
        metadata=_mapping("metadata", metadata),
    )


def embedding(plugins: Plugins, model: str, input: Any, **more: Any) -> Call:  # noqa: A002  # OpenAI's name
    """Read the arguments of an embedding; those of ``scillm.embedding``."""
    from attrs import evolve

    call = chat(plugins, model, **more)
    return evolve(call, operation="embedding", params={**call.params, "input": input})


def models(plugins: Plugins, provider: str, **more: Any) -> Call:
    """Read the arguments of a listing of models; those of ``scillm.models``."""
    from attrs import evolve

    call = chat(plugins, provider, **{"custom_llm_provider": provider, **more})
    return evolve(call, operation="models", model=f"{provider}/")


def _sorted(
    plugins: Plugins, more: Mapping[str, Any], allowed: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell OpenAI's parameters from options of plugins; None means unset."""
    params, options = {}, {}
    for name, value in more.items():
        if name in plugins.options:
            options[name] = value
        elif name in OPENAI_PARAMS or name in allowed:
            if value is not None:
                params[name] = value
        else:
            raise UnsupportedParamsError(_unknown_argument(plugins, name))
    return params, options


def _unknown_argument(plugins: Plugins, name: str) -> str:
    own = ("model", "messages", *(chat.__kwdefaults__ or ()))
    parts = (
        f"unknown argument {name!r}: no provider and no active plugin takes it.",
        hint(name, {*own, *OPENAI_PARAMS, *plugins.options}, cutoff=0.7),
        _idle(plugins),
        f"a field that only the provider knows is sent by extra_body={{{name!r}: ...}}",
    )
    return " ".join(filter(None, parts))


def _idle(plugins: Plugins) -> str:
    idle = [f"{info.name} ({info.state})" for info in plugins.infos.values() if not info.is_active]
    return f"not active: {', '.join(sorted(idle))}." if idle else ""


def _model(model: str | None) -> str:
    if model is not None and not isinstance(model, str):
        raise BadRequestError(f"model={model!r} is not a name: give text such as 'provider/model'")
    if model is not None and not model.strip():
        raise BadRequestError(
            f"model={model!r} names none: give text such as 'provider/model', or None, which "
            f"takes {MODEL.variable}, else the default installed"
        )
    return (MODEL.value() if model is None else model).strip()


def _messages(messages: Any) -> tuple[Mapping[str, Any], ...]:
    if type(messages) is not list and (
        isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable)
    ):
        raise BadRequestError(
            f"messages={messages!r:.80} is not a list of messages: "
            "write messages=[{'role': 'user', 'content': '...'}]"
        )
    return tuple(_message(place, message) for place, message in enumerate(messages))


def _message(place: int, message: Any) -> Mapping[str, Any]:
    where = f"messages[{place}]"
    if type(message) is not dict and not isinstance(message, Mapping):
        raise BadRequestError(
            f"{where} is {message!r:.80}: a message is a mapping with a role and a content"
        )
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise BadRequestError(f"{where} has role {role!r}: it must be text like 'user' or 'system'")
    if type(content) is str:
        return message if type(message) is dict else plain(message)
    if isinstance(content, (list, tuple)):
        for number, part in enumerate(content):
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                raise BadRequestError(
                    f"{where}['content'][{number}] is {part!r:.80}: a part is a mapping "
                    "with a type, such as {'type': 'text', 'text': '...'}"
                )
    elif content is not None and not isinstance(content, str):
        raise BadRequestError(f"{where} has content {content!r:.80}: it must be text or parts")
    return message if type(message) is dict else plain(message)


def _base(base: str | None) -> str | None:
    if not base:
        return None
    if not isinstance(base, str) or not base.startswith(("http://", "https://")):
        raise BadRequestError(
            f"api_base={base!r} is not an address: it must start with http:// or https://"
        )
    if "@" in base.split("/", 3)[2]:
        raise BadRequestError(
            "api_base holds a user name or password, which would show in messages: "
            "leave it out, and pass extra_headers={'Authorization': ...}"
        )
    return base


def _secret(name: str, value: str | Secret | None) -> Secret | None:
    if value is None or value == "":
        return None
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise BadRequestError(f"{name} is a {type(value).__name__}: it must be text")
    return Secret(value)


def _headers(headers: Mapping[str, str] | None) -> dict[str, str | Secret]:
    found: dict[str, str | Secret] = {}
    if headers is None:
        return found
    for name, value in _mapping("extra_headers", headers).items():
        lower = str(name).lower()
        if not isinstance(value, (str, Secret)):
            raise BadRequestError(
                f"extra_headers[{name!r}] is a {type(value).__name__}: it must be text"
            )
        is_secret = any(word in lower for word in _SECRET_WORDS)
        found[lower] = Secret(value) if isinstance(value, str) and is_secret else value
    return found


def _mapping(name: str, value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequestError(f"{name} is a {type(value).__name__}: it must be a mapping")
    return value


def nobody_answered(
    plugins: Plugins, hook: str, *, call: Call, request: Request | None = None, **_: Any
) -> str:
    """Say why nobody answered *hook*, with the nearest names of those who would."""
    parts: tuple[str, ...]
    if request is not None:
        said = f"no active plugin carries requests to {request.url!r}: install a transport."
        parts = (said, _idle(plugins), "`scillm plugins` shows what is installed")
    elif not call.model and not call.provider:
        said = "no model was named, and no plugin answers without one."
        parts = (said, _idle(plugins), "name one with model=... or SCILLM_MODEL")
    else:
        parts = _unknown_model(plugins, hook, call)
    return " ".join(filter(None, parts))


def _unknown_model(plugins: Plugins, hook: str, call: Call) -> tuple[str, str, str]:
    providers = sorted(plugins.providers())
    prefix, slash, _ = call.model.partition("/")
    wanted = call.provider or (prefix if slash else "")
    if not wanted:
        said = f"model {call.model!r} names no provider: write 'provider/{call.model}', or give"
        said += " an address by api_base=..."
    elif wanted in providers:
        said = f"provider {wanted!r} does not answer {hook} for {call.model!r}."
    else:
        said = f"no active plugin answers for the provider {wanted!r}."
    if near := hint(wanted, providers, end="/...", most=3):
        return said, near, _idle(plugins)
    shown = ", ".join(providers) if len(providers) <= _FEW else str(len(providers))
    return said, _idle(plugins), f"providers here: {shown or 'none'}; `scillm plugins` lists them"
