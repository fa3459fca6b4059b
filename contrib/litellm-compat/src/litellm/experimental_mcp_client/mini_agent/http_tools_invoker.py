"""``litellm.experimental_mcp_client.mini_agent.http_tools_invoker``: the tools of an HTTP host."""

from typing import Any

from scillm_litellm_compat.names import load_agent


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for."""
    return load_agent("mini_agent", name)
