"""Where the tools of a call of the provider come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scillm import BadRequestError
from scillm_mini_agent import settings
from scillm_mini_agent.builtin import NO_SANDBOX, EchoMCP, LocalMCPInvoker
from scillm_mini_agent.functions import FunctionTools
from scillm_mini_agent.http_tools import HttpToolsInvoker
from scillm_mini_agent.mcp_servers import McpServers
from scillm_mini_agent.tools import MCPInvoker, Several

if TYPE_CHECKING:
    from scillm import Call

BACKENDS = ("local", "http", "mcp", "echo", "none")
_BY_NAME: dict[str, tuple[type[MCPInvoker], ...]] = {
    "local": (LocalMCPInvoker,),
    "echo": (EchoMCP,),
}


def source_of(call: Call) -> MCPInvoker | None:
    """Return the tools of a call: its backend, its MCP servers, its functions; None for none.

    Raises:
        BadRequestError: They cannot be made, or code was to be run.
    """
    if settings.LANGUAGES.value(call):
        raise BadRequestError(f"allowed_languages is refused: {NO_SANDBOX}")
    servers = settings.MCP_CONFIG.value(call)
    found = backend(settings.TOOL_BACKEND.value(call), settings.TOOL_BASE_URL.value(call), servers)
    if given := settings.TOOLS.value(call):
        found.append(_of_python(given))
    if not found:
        return None
    return found[0] if len(found) == 1 else Several(*found)


def backend(name: str, base_url: str | None, servers: Any) -> list[MCPInvoker]:
    """Return what a backend's name stands for, and the MCP servers, if there are any.

    Raises:
        BadRequestError: There is none of this name, or it lacks what it needs.
    """
    if name == "docker":
        raise BadRequestError(f"tool_backend='docker' is refused: {NO_SANDBOX}")
    if name not in BACKENDS:
        raise BadRequestError(f"there is no tool_backend {name!r}: there are {', '.join(BACKENDS)}")
    if name == "http" and not base_url:
        raise BadRequestError("tool_http_base_url required for tool_backend=http")
    if name == "mcp" and not servers:
        raise BadRequestError(
            "tool_backend='mcp' needs servers: give mcp_servers=..., or set "
            f"{settings.MCP_CONFIG.variable}"
        )
    more = [McpServers(servers)] if servers else []
    if name == "http":
        return [HttpToolsInvoker(str(base_url)), *more]
    named: list[MCPInvoker] = [made() for made in _BY_NAME.get(name, ())]
    return [*named, *more]


def _of_python(given: Any) -> MCPInvoker:
    if isinstance(given, MCPInvoker):
        return given
    many = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not all(map(callable, many)):
        raise BadRequestError("agent_tools must be Python functions, or an MCPInvoker")
    return FunctionTools(*many)
