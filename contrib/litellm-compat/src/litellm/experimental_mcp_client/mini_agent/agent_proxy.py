"""``litellm.experimental_mcp_client.mini_agent.agent_proxy``: the shim, as ``uvicorn`` takes it."""

from typing import Any

from scillm_litellm_compat.names import load_agent


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for."""
    return load_agent("mini_agent_server", name)
