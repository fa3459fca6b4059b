"""Tools that are there without a server: none of them touches the machine."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from scillm_mini_agent.tools import MCPInvoker, arguments_of, called, failed, spec

NO_SANDBOX = (
    "code of a model is run in a sandbox or not at all, and there is no sandbox in this version"
)
_QUERY = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}
_TEXT = {
    "type": "object",
    "properties": {"s": {"type": "string"}},
    "required": ["s"],
    "additionalProperties": False,
}
_RUNNING = {"exec_python", "exec_shell"}


class LocalMCPInvoker(MCPInvoker):
    """The built-in tools: ``research_echo`` and ``compress_runs``.

    ``exec_python`` and ``exec_shell``, which older programs know, are not offered and refuse with
    the reason.

    Args:
        shell_allow_prefixes: Without effect: no shell is run.
        tool_timeout_sec: Without effect: ``AgentConfig.tool_timeout_sec`` bounds every tool.
    """

    def __init__(
        self, shell_allow_prefixes: Sequence[str] = ("echo",), tool_timeout_sec: float = 10.0
    ) -> None:
        self.shell_allow_prefixes = tuple(shell_allow_prefixes)
        self.tool_timeout_sec = tool_timeout_sec

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return the specifications of the two."""
        return [
            spec("research_echo", "Says back a query. It searches nothing.", _QUERY),
            spec("compress_runs", "Run-length encodes a text: 'aaab' gives 'a3b1'.", _TEXT),
        ]

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Call one of them."""
        name = called(openai_tool)
        if name in _RUNNING:
            return failed(f"{name} is refused: {NO_SANDBOX}")
        arguments = arguments_of(openai_tool)
        if name == "research_echo":
            said = {"ok": True, "name": name, "answer": arguments["query"], "citations": []}
        elif name == "compress_runs":
            said = {"ok": True, "name": name, "result": compress_runs(arguments["s"])}
        else:
            return failed(f"there is no tool {name!r}")
        return json.dumps(said, ensure_ascii=False)


def compress_runs(text: str) -> str:
    """Return each run of a character as that character and its length.

    >>> compress_runs("aaab")
    'a3b1'
    """
    return "".join(f"{char}{len(list(run))}" for char, run in itertools.groupby(text))


class EchoMCP(MCPInvoker):
    """One tool, ``echo``, that gives back its text; for trying things out."""

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return its specification."""
        schema = {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        }
        return [spec("echo", "Gives back its text.", schema)]

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Give back the text."""
        if called(openai_tool) != "echo":
            return failed(f"there is no tool {called(openai_tool)!r}")
        return arguments_of(openai_tool)["text"]
