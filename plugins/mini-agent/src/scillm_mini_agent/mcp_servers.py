"""Tools of MCP servers, over standard input and output or streamable HTTP, by the official SDK."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from attrs import define, field

from scillm import BadRequestError
from scillm_mini_agent.mcp_plans import ServerPlan, plans_of
from scillm_mini_agent.tools import MCPInvoker, ToolOutput, arguments_of, called, failed, spec

_CLOSING_S = 5.0
_TAIL_BYTES = 500
_MISSING = (
    "MCP servers need the official SDK: install scillm-mini-agent[mcp], or the distribution mcp"
)


class McpServers(MCPInvoker):
    """The tools of MCP servers; of two with the same name the server's stands before it.

    Servers are started or connected to when a run begins, and ended with it; within
    ``async with McpServers(...) as servers`` they last for several runs.

    Args:
        config: A mapping ``{"mcpServers": {name: server}}``, or its inner mapping, or the path of
            a JSON file of it. A server has a ``command`` (and ``args``, ``env``, ``cwd``) or a
            ``url`` (and ``headers``), and ``tools``, the names that may be called.
        start_s: Seconds in which a server must be ready, and list its tools.

    Raises:
        BadRequestError: The configuration cannot be read.
    """

    def __init__(
        self, config: Mapping[str, Any] | str | os.PathLike[str], *, start_s: float = 60.0
    ) -> None:
        self._plans, self._start_s = plans_of(config), start_s
        self._servers: list[_Server] = []
        self._by_name: dict[str, tuple[_Server, str]] = {}
        self._users = 0

    async def __aenter__(self) -> McpServers:
        self._users += 1
        try:
            if self._users == 1:
                self._servers = [_Server(plan, self._start_s) for plan in self._plans]
                for server in self._servers:
                    server.start()
            await asyncio.gather(*(server.ready() for server in self._servers))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._users -= 1
        if self._users == 0:
            servers, self._servers = self._servers, []
            await asyncio.gather(*(server.stop() for server in servers))

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Ask every server for its tools; those that are allowed are returned.

        Raises:
            BadRequestError: A server does not tell, or has not what is allowed.
        """
        if not self._users:
            async with self:
                return await self.list_openai_tools()
        found, owners = [], dict[str, tuple[_Server, str]]()
        for server in self._servers:
            for told in await server.listed():
                name = f"{server.plan.name}__{told.name}" if told.name in owners else told.name
                owners[name] = (server, told.name)
                found.append(spec(name, told.description or "", told.input_schema))
        self._by_name = owners  # whole: another run may be calling meanwhile
        return found

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Make one call at the server that has it."""
        owner = self._by_name.get(called(openai_tool))
        if owner is None:
            return failed(f"there is no tool {called(openai_tool)!r}")
        server, name = owner
        return await server.call(name, arguments_of(openai_tool))


@define(eq=False)
class _Server:
    """One connection, in a task of its own: the SDK wants it closed where it was opened."""

    plan: ServerPlan
    start_s: float
    client: Any = None
    _task: asyncio.Task[None] | None = None
    _ready: asyncio.Future[None] | None = None
    _end: asyncio.Event = field(factory=asyncio.Event)
    _stderr: Any = None

    def start(self) -> None:
        """Begin to connect.

        Raises:
            BadRequestError: The SDK is not installed.
        """
        try:
            import mcp  # noqa: F401  # slow; and an extra that may not be there
        except ImportError:
            raise BadRequestError(_MISSING) from None
        self._ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._live(self._ready))

    async def ready(self) -> None:
        """Wait until it is connected.

        Raises:
            BadRequestError: It cannot be started or reached, or not in time.
        """
        assert self._ready is not None
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), self.start_s)
        except asyncio.TimeoutError:
            raise BadRequestError(
                f"the MCP server {self.plan.name!r} is not ready after {self.start_s:g} s"
            ) from None

    async def stop(self) -> None:
        """Disconnect; a server that will not end is left after some seconds."""
        self._end.set()
        if self._task is None:
            return
        is_connected = self._ready is not None and self._ready.done()
        patience_s = _CLOSING_S if is_connected else 0.0
        _, running = await asyncio.wait({self._task}, timeout=patience_s)
        if running:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSING_S)

    async def _live(self, ready: asyncio.Future[None]) -> None:
        """Hold the connection until it is to end; an error before it stands is told to *ready*."""
        import mcp

        with tempfile.TemporaryFile() as self._stderr:
            try:
                async with AsyncExitStack() as stack:
                    transport = await self._transport(stack)
                    self.client = await stack.enter_async_context(mcp.Client(transport, cache=None))
                    if not ready.done():
                        ready.set_result(None)
                    await self._end.wait()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # told to who waits
                self._fail(ready, error)
            finally:
                self.client = None

    def _fail(self, ready: asyncio.Future[None], error: BaseException) -> None:
        if ready.done():
            return
        ready.set_exception(
            BadRequestError(f"the MCP server {self.plan.name!r} cannot be used: {self._why(error)}")
        )
        ready.exception()  # so that asyncio does not tell of it, where nobody waits any more

    async def _transport(self, stack: AsyncExitStack) -> Any:
        if self.plan.url is not None:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            headers = {name: value.reveal() for name, value in self.plan.headers.items()}
            timeout = httpx2.Timeout(30.0, read=None)  # a call may take as long as its own bound
            client = await stack.enter_async_context(
                httpx2.AsyncClient(headers=headers, timeout=timeout)
            )
            return streamable_http_client(self.plan.url, http_client=client)
        from mcp.client.stdio import StdioServerParameters, stdio_client

        assert self.plan.command is not None
        parameters = StdioServerParameters(
            command=self.plan.command,
            args=list(self.plan.args),
            env={name: value.reveal() for name, value in self.plan.env.items()},
            cwd=self.plan.cwd,
        )
        return stdio_client(parameters, errlog=self._stderr)

    async def listed(self) -> list[Any]:
        """Return the tools that are allowed.

        Raises:
            BadRequestError: The server does not tell, or has not what is allowed.
        """
        try:
            found = await asyncio.wait_for(self._pages(), self.start_s)
        except Exception as error:  # noqa: BLE001  # the SDK raises what it likes
            raise BadRequestError(
                f"the MCP server {self.plan.name!r} does not list its tools: {self._why(error)}"
            ) from None
        if self.plan.tools == ("*",):
            return found
        by_name = {told.name: told for told in found}
        if missing := sorted(set(self.plan.tools) - set(by_name)):
            raise BadRequestError(
                f"the MCP server {self.plan.name!r} has no tool {missing[0]!r}; it has: "
                f"{', '.join(sorted(by_name)) or 'none'}"
            )
        return [by_name[name] for name in self.plan.tools]

    async def _pages(self) -> list[Any]:
        found, cursor = [], None
        while True:
            page = await self._or_gone(self._connected().list_tools(cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                return found

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolOutput:
        """Make one call; what goes wrong is what the model is told."""
        try:
            client = self._connected()
            result = await self._or_gone(client.call_tool(name, arguments))
        except Exception as error:  # noqa: BLE001  # the SDK raises what it likes
            return failed(f"the MCP server {self.plan.name!r} failed: {self._why(error)}")
        text = _text(result)
        if result.is_error:
            return failed(text or "the tool says that it failed, and not why")
        return ToolOutput(text=text)

    async def _or_gone(self, work: Any) -> Any:
        """Await a call, unless the connection ends before it does."""
        assert self._task is not None
        call = asyncio.ensure_future(work)
        try:
            await asyncio.wait({call, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise ConnectionError("the connection ended during the call")
            return call.result()
        finally:
            call.cancel()

    def _connected(self) -> Any:
        if self.client is None:
            raise ConnectionError("it is gone")
        return self.client

    def _why(self, error: BaseException) -> str:
        """Return the reason, by the innermost error, and what the server wrote last."""
        while getattr(error, "exceptions", None):
            error = error.exceptions[0]  # type: ignore[attr-defined]  # of a group
        said = str(error) or type(error).__name__
        wrote = self._last_written()
        return self.plan.hidden(f"{said}; it wrote: {wrote}" if wrote else said)

    def _last_written(self) -> str:
        if self._stderr is None or self._stderr.closed or self.plan.command is None:
            return ""
        size = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        return " ".join(tail.decode("utf-8", "replace").split())


def _text(result: Any) -> str:
    """Return what the model is shown: the texts, else the structured content; no bytes."""
    parts = []
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        else:
            kind = getattr(block, "mime_type", None) or getattr(block, "uri", "")
            parts.append(f"[{block.type} {kind}: not shown]")
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)
