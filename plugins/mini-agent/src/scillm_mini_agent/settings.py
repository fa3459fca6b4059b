"""What can be set: traces, the provider, the server."""

from __future__ import annotations

import json
from typing import Any

from scillm import Setting


def _headers(text: str) -> dict[str, str]:
    found = json.loads(text or "{}")
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError('expected a JSON object of texts, such as {"X-Team": "a"}')
    return found


def _languages(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _models(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(",") if part.strip())
    return {name.strip(): target.strip() or name.strip() for name, _, target in pairs}


def _bare(name: str, default: Any, help: str, **more: Any) -> Setting[Any]:  # noqa: A002  # as Setting has it
    return Setting(name=name, default=default, prefix="", help=help, **more)


STORE_TRACES = _bare(
    "MINI_AGENT_STORE_TRACES", default=False, help="whether each run leaves a line in the file"
)
STORE_PATH = _bare("MINI_AGENT_STORE_PATH", None, "that file; its folder is made")
TOOL_HEADERS = _bare(
    "MINI_AGENT_TOOL_HTTP_HEADERS",
    None,
    "headers for HTTP tool hosts, as a JSON object; those of a call win",
    read=_headers,
    is_secret=True,
)
MCP_CONFIG = Setting[Any](
    name="MINI_AGENT_MCP_CONFIG",
    default=None,
    option="mcp_servers",
    help="path of a JSON file of MCP servers; as an argument also a mapping",
)
TARGET_MODEL = Setting[Any](
    name="MINI_AGENT_TARGET_MODEL",
    default=None,
    option="target_model",
    help="model that the provider mini-agent asks",
)
TARGET_ALIASES = tuple(
    Setting[Any](name=option.upper(), default=None, option=option, help="the same by an older name")
    for option in ("mini_agent_model", "mini_agent_target")
)
DEFAULT_MODELS = tuple(
    Setting[Any](name=f"DEFAULT_{name}", default=None, help="the same, if none is named there")
    for name in ("CHUTES_MODEL", "CODE_MODEL", "MODEL")
)
MAX_ITERATIONS = Setting(
    name="MINI_AGENT_MAX_ITERATIONS",
    default=6,
    option="max_iterations",
    help="most turns of a run of the provider",
)
MAX_SECONDS = Setting(
    name="MINI_AGENT_MAX_SECONDS",
    default=180.0,
    option="max_seconds",
    help="seconds that such a run may take",
)
LANGUAGES = Setting[Any](
    name="MINI_AGENT_LANGUAGES",
    default=None,
    read=_languages,
    option="allowed_languages",
    help="languages of code that may be run; refused, since there is no sandbox",
)
TOOL_BACKEND = Setting(
    name="MINI_AGENT_TOOL_BACKEND",
    default="local",
    option="tool_backend",
    help="where tools come from: local, http, mcp, echo or none; docker is refused",
)
DOCKER_CONTAINER = Setting[Any](
    name="MINI_AGENT_DOCKER_CONTAINER",
    default=None,
    option="docker_container",
    help="container for the backend docker, which is refused",
)
TOOLS = Setting[Any](
    name="MINI_AGENT_TOOLS",
    default=None,
    option="agent_tools",
    help="Python functions, or an MCPInvoker, that the agent may call; an argument only",
)
TOOL_BASE_URL = Setting[Any](
    name="MINI_AGENT_TOOL_HTTP_BASE_URL",
    default=None,
    option="tool_http_base_url",
    help="address of the HTTP tool host of the backend http",
)
MAX_TOKENS = Setting[Any](
    name="MINI_AGENT_MAX_TOKENS",
    default=None,
    read=int,
    option="max_total_tokens",
    help="tokens that a run of the provider may use",
)
MAX_COST_USD = Setting[Any](
    name="MINI_AGENT_MAX_COST_USD",
    default=None,
    read=float,
    option="max_cost_usd",
    help="US dollars that it may cost, where answers tell their cost",
)
ESCALATE_MODEL = Setting[Any](
    name="MINI_AGENT_ESCALATE_MODEL",
    default=None,
    option="escalate_model",
    help="model that is asked for an answer when the run ends without one",
)
API_HOST = _bare(
    "MINI_AGENT_API_HOST", "127.0.0.1", "address that /healthz tells, if the client does not"
)
API_PORT = _bare("MINI_AGENT_API_PORT", 8788, "port that it tells then")
SHIM_MODE = _bare(
    "MINI_AGENT_OPENAI_SHIM_MODE",
    "",
    "echo has the shim say back what it is asked, without a model",
)
SHIM_ECHO = _bare("MINI_AGENT_OPENAI_ECHO", default=False, help="the same, by 1")
SHIM_REPLY = _bare("MINI_AGENT_OPENAI_SHIM_REPLY", None, "what the echo says instead")
SHIM_DELAY_MS = _bare(
    "MINI_AGENT_OPENAI_SHIM_DELAY_MS", 0, "milliseconds that the echo waits before it answers"
)
SHIM_MODELS = Setting[Any](
    name="MINI_AGENT_SHIM_MODELS",
    default=None,
    read=_models,
    help="ids that the shim lists, comma separated; id=provider/model gives a model a name",
)
OF_THE_PROVIDER: tuple[Setting[Any], ...] = (
    MCP_CONFIG,
    TARGET_MODEL,
    *TARGET_ALIASES,
    MAX_ITERATIONS,
    MAX_SECONDS,
    LANGUAGES,
    TOOL_BACKEND,
    DOCKER_CONTAINER,
    TOOLS,
    TOOL_BASE_URL,
    MAX_TOKENS,
    MAX_COST_USD,
    ESCALATE_MODEL,
)
SETTINGS: tuple[Setting[Any], ...] = (
    STORE_TRACES,
    STORE_PATH,
    TOOL_HEADERS,
    API_HOST,
    API_PORT,
    SHIM_MODE,
    SHIM_ECHO,
    SHIM_REPLY,
    SHIM_DELAY_MS,
    SHIM_MODELS,
    *OF_THE_PROVIDER,
    *DEFAULT_MODELS,
)
OPTIONS = frozenset(setting.option for setting in OF_THE_PROVIDER if setting.option)
