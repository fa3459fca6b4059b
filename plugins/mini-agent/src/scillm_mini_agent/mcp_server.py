"""The agent as an MCP server, for programs that take tools from such."""

from __future__ import annotations

import json
from typing import Any

from scillm import BadRequestError
from scillm_mini_agent import settings, sources
from scillm_mini_agent.loop import arun_mcp_mini_agent
from scillm_mini_agent.tools import MCPInvoker, NoTools, Several
from scillm_mini_agent.values import AgentConfig


def serve(model: str | None, port: int | None) -> None:
    """Serve over standard input and output, or over streamable HTTP on loopback.

    Args:
        model: Who is asked; None takes ``SCILLM_MODEL``, else the default.
        port: Where to listen; None serves over stdio.
    """
    server = made(model)
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=port)


def made(model: str | None) -> Any:
    """Return the server.

    Raises:
        BadRequestError: The SDK is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        raise BadRequestError(
            "an MCP server needs the official SDK: install scillm-mini-agent[mcp], or the "
            "distribution mcp"
        ) from None
    server = MCPServer("scillm-mini-agent", log_level="ERROR")

    async def run_agent(question: str, max_iterations: int = 6) -> str:
        """Answer a question by a model that uses tools; where it cannot, say how far it came."""
        config = AgentConfig(
            model=model,
            use_tools=True,
            max_iterations=max(1, max_iterations),
            max_total_seconds=settings.MAX_SECONDS.value(),
        )
        messages = [{"role": "user", "content": question}]
        result = await arun_mcp_mini_agent(messages, _tools(), config)
        if result.final_answer is not None:
            return result.final_answer
        return json.dumps(
            {"stopped_reason": result.stopped_reason, "stopped_detail": result.stopped_detail}
        )

    server.tool()(run_agent)
    return server


def _tools() -> MCPInvoker:
    found = sources.backend(
        settings.TOOL_BACKEND.value(), settings.TOOL_BASE_URL.value(), settings.MCP_CONFIG.value()
    )
    return Several(*found) if found else NoTools()
