"""A small agent that uses tools. Read ``loop`` first: a model is asked, its tool calls are made.

``values`` holds what a run is given and what it tells, ``tools`` who may be called and how,
``provider`` the same agent behind ``completion()``. Nothing is loaded until it is asked for: a
process that only has the plugin installed pays for the provider alone.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # what tools see; at run time __getattr__ below does the same, late
    from scillm_mini_agent.builtin import EchoMCP as EchoMCP
    from scillm_mini_agent.builtin import LocalMCPInvoker as LocalMCPInvoker
    from scillm_mini_agent.echo import EchoModel as EchoModel
    from scillm_mini_agent.functions import FunctionTools as FunctionTools
    from scillm_mini_agent.functions import tool as tool
    from scillm_mini_agent.http_tools import HttpToolsInvoker as HttpToolsInvoker
    from scillm_mini_agent.loop import arun_mcp_mini_agent as arun_mcp_mini_agent
    from scillm_mini_agent.loop import run_mcp_mini_agent as run_mcp_mini_agent
    from scillm_mini_agent.mcp_servers import McpServers as McpServers
    from scillm_mini_agent.tools import MCPInvoker as MCPInvoker
    from scillm_mini_agent.tools import NoTools as NoTools
    from scillm_mini_agent.tools import Several as Several
    from scillm_mini_agent.tools import ToolOutput as ToolOutput
    from scillm_mini_agent.values import AgentConfig as AgentConfig
    from scillm_mini_agent.values import AgentRunResult as AgentRunResult
    from scillm_mini_agent.values import IterationRecord as IterationRecord

_HOME = {
    "AgentConfig": "values",
    "AgentRunResult": "values",
    "EchoMCP": "builtin",
    "EchoModel": "echo",
    "FunctionTools": "functions",
    "HttpToolsInvoker": "http_tools",
    "IterationRecord": "values",
    "LocalMCPInvoker": "builtin",
    "MCPInvoker": "tools",
    "McpServers": "mcp_servers",
    "NoTools": "tools",
    "Several": "tools",
    "ToolOutput": "tools",
    "arun_mcp_mini_agent": "loop",
    "run_mcp_mini_agent": "loop",
    "tool": "functions",
}
__all__ = [  # written out, so that tools can read it
    "AgentConfig",
    "AgentRunResult",
    "EchoMCP",
    "EchoModel",
    "FunctionTools",
    "HttpToolsInvoker",
    "IterationRecord",
    "LocalMCPInvoker",
    "MCPInvoker",
    "McpServers",
    "NoTools",
    "Several",
    "ToolOutput",
    "arun_mcp_mini_agent",
    "run_mcp_mini_agent",
    "tool",
]


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'scillm_mini_agent' has no attribute {name!r}")
    value = getattr(import_module(f"scillm_mini_agent.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *_HOME})
