"""Who may be called, and what a call gives: the interface of every source of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from scillm import BadRequestError


@frozen
class ToolOutput:
    """What a tool gave.

    Attributes:
        text: What the model is shown.
        is_ok: Whether it did what was asked.
        error: Why not.
        rc: The exit code, where a process ran.
        stdout: What that wrote.
        stderr: What it wrote there.
    """

    text: str = ""
    is_ok: bool = True
    error: str | None = None
    rc: int | None = None
    stdout: str | None = None
    stderr: str | None = None


def failed(error: str, **more: Any) -> ToolOutput:
    """Return the output of a call that came to nothing, as the model is shown it."""
    text = json.dumps({"ok": False, "error": error}, ensure_ascii=False)
    return ToolOutput(text=text, is_ok=False, error=error, **more)


def read_output(value: Any) -> ToolOutput:
    """Read what an invoker returned: a ToolOutput, text, or anything that is JSON.

    An object with ``ok`` tells of itself: ``{"ok": false, "error": "..."}`` is a failure.
    """
    if isinstance(value, ToolOutput):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    try:
        told = json.loads(text) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, Mapping) or not isinstance(told.get("ok"), bool):
        return ToolOutput(text=text)
    parts = {name: told.get(name) for name in ("stdout", "stderr", "error")}
    strings = {name: part if part is None else str(part) for name, part in parts.items()}
    rc = told.get("rc")
    return ToolOutput(
        text=text, is_ok=told["ok"], rc=rc if isinstance(rc, int) else None, **strings
    )


class MCPInvoker:
    """A source of tools. Subclass it and write the two methods; opening and closing are optional.

    A run opens it at its beginning and closes it at its end.
    """

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return the tools as OpenAI's specifications, ``{"type": "function", "function": {}}``."""
        raise NotImplementedError

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Make one call, ``{"id", "type", "function": {"name", "arguments"}}``.

        Args:
            openai_tool: The call, as the model wrote it; its arguments are JSON text, and were
                validated.

        Returns:
            Text, a ToolOutput, or anything that is JSON. What it raises is told to the model.
        """
        raise NotImplementedError

    async def __aenter__(self) -> MCPInvoker:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None


class NoTools(MCPInvoker):
    """Nothing to call: the model answers by itself."""

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return no tool."""
        return []

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Refuse: nothing was offered."""
        return failed(f"there is no tool {called(openai_tool)!r}")


class Several(MCPInvoker):
    """Several sources as one.

    Args:
        *invokers: The sources; two of them must not have a tool of the same name.
    """

    def __init__(self, *invokers: MCPInvoker) -> None:
        self._invokers = invokers
        self._by_name: dict[str, MCPInvoker] = {}

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Return the tools of all.

        Raises:
            BadRequestError: Two sources have a tool of the same name.
        """
        found, owners = [], dict[str, MCPInvoker]()
        for invoker in self._invokers:
            for spec in await invoker.list_openai_tools():
                name = spec["function"]["name"]
                if name in owners:
                    raise BadRequestError(
                        f"two sources have a tool {name!r}: leave one out, by allowed tools"
                    )
                owners[name] = invoker
                found.append(spec)
        self._by_name = owners
        return found

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Make the call at the source that has it."""
        name = called(openai_tool)
        if name not in self._by_name:
            return failed(f"there is no tool {name!r}")
        return await self._by_name[name].call_openai_tool(openai_tool)

    async def __aenter__(self) -> MCPInvoker:
        opened = []
        try:
            for invoker in self._invokers:
                await invoker.__aenter__()
                opened.append(invoker)
        except BaseException as error:
            for invoker in reversed(opened):
                await invoker.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for invoker in reversed(self._invokers):
            await invoker.__aexit__(*exc_info)


def spec(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return OpenAI's specification of a tool."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}


def called(openai_tool: Mapping[str, Any]) -> str:
    """Return the name that a call names."""
    name: str = openai_tool["function"]["name"]
    return name


def arguments_of(openai_tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call, which were validated."""
    found: dict[str, Any] = json.loads(openai_tool["function"].get("arguments") or "{}")
    return found
