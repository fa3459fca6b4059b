"""Which MCP servers there are: a configuration, or the file of one, read and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from scillm import BadRequestError, Secret
from scillm.secrets import redact


@frozen
class ServerPlan:
    """One server of a configuration.

    Attributes:
        name: Its name there.
        tools: The names that may be called; ``("*",)`` allows all.
        command: The program to start, or None.
        args: Its arguments.
        env: Its further variables; it inherits no key of ours.
        cwd: Its folder.
        url: The address of one that runs, or None.
        headers: Headers for that address.
    """

    name: str
    tools: tuple[str, ...]
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret] = field(factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, Secret] = field(factory=dict)

    @classmethod
    def of(cls, name: str, raw: Any) -> ServerPlan:
        """Read one server of a configuration.

        Raises:
            BadRequestError: It cannot be read, or lists no tools.
        """
        where = f"the MCP server {name!r}"
        if not isinstance(raw, Mapping):
            raise BadRequestError(f"{where} is {raw!r:.80}: it must be an object")
        known = {"tools", "command", "args", "env", "cwd", "url", "headers", "type"}
        if unknown := sorted(set(raw) - known):
            raise BadRequestError(
                f"{where} has {unknown[0]!r}: there are {', '.join(sorted(known))}"
            )
        tools = raw.get("tools")
        if not isinstance(tools, (list, tuple)) or not all(isinstance(t, str) for t in tools):
            raise BadRequestError(
                f'{where} lists no tools: write "tools": ["name", ...], or ["*"] to allow all'
            )
        if bool(raw.get("command")) == bool(raw.get("url")):
            raise BadRequestError(f'{where} needs either a "command" or a "url"')
        return cls(
            name=name,
            tools=tuple(tools),
            command=raw.get("command"),
            args=tuple(map(str, raw.get("args") or ())),
            env={k: Secret(str(v)) for k, v in (raw.get("env") or {}).items()},
            cwd=raw.get("cwd"),
            url=raw.get("url"),
            headers={k: Secret(str(v)) for k, v in (raw.get("headers") or {}).items()},
        )

    def hidden(self, text: str) -> str:
        """Return *text* without the secrets of this server."""
        return redact(text, [*self.env.values(), *self.headers.values()])


def plans_of(config: Mapping[str, Any] | str | os.PathLike[str]) -> list[ServerPlan]:
    """Read a configuration, or the file of one.

    Raises:
        BadRequestError: It cannot be read.
    """
    if not isinstance(config, Mapping):
        try:
            with open(config, encoding="utf-8") as file:  # noqa: PTH123  # pathlib is not loaded
                read = json.load(file)
        except OSError as error:
            raise BadRequestError(
                f"the file of MCP servers {os.fspath(config)!r} cannot be read: {error.strerror}"
            ) from None
        except ValueError as error:
            raise BadRequestError(f"{os.fspath(config)!r} is not JSON: {error}") from None
        config = read
    servers = config.get("mcpServers", config) if isinstance(config, Mapping) else None
    if not isinstance(servers, Mapping):
        raise BadRequestError('MCP servers are given as {"mcpServers": {"name": {...}}}')
    return [ServerPlan.of(name, raw) for name, raw in servers.items()]
