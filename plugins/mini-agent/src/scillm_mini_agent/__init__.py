"""A small agent that uses tools. Read ``loop`` first: a model is asked, its tool calls are made.

``values`` holds what a run is given and what it tells, ``tools`` who may be called and how,
``provider`` the same agent behind ``completion()``.
"""

from scillm_mini_agent.builtin import EchoMCP, LocalMCPInvoker
from scillm_mini_agent.functions import FunctionTools, tool
from scillm_mini_agent.http_tools import HttpToolsInvoker
from scillm_mini_agent.loop import arun_mcp_mini_agent, run_mcp_mini_agent
from scillm_mini_agent.mcp_servers import McpServers
from scillm_mini_agent.tools import MCPInvoker, NoTools, Several, ToolOutput
from scillm_mini_agent.values import AgentConfig, AgentRunResult, IterationRecord

__all__ = [
    "AgentConfig",
    "AgentRunResult",
    "EchoMCP",
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
