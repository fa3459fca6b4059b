"""Tools of an HTTP host: ``GET {base}/tools`` lists them, ``POST {base}/invoke`` calls one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from scillm import BadRequestError, Secret
from scillm.secrets import redact
from scillm_mini_agent.settings import TOOL_HEADERS
from scillm_mini_agent.tools import MCPInvoker, ToolOutput, arguments_of, called, failed

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT_S = 1.0
_TAIL_CHARS = 256
_MAX_BYTES = 4 * 1024 * 1024
_TEXTS = ("text", "result", "answer")
_LISTING_S = 10.0
_SILENCE_S = 600.0  # the call's own bound is shorter


class HttpToolsInvoker(MCPInvoker):
    """The tools of an HTTP host. Each call is sent once.

    A host that answers 429 is asked once more, after the wait that it names, at most a second:
    by that status it says that it did nothing.

    Args:
        base_url: The host's address; ``/tools`` and ``/invoke`` are put behind it.
        headers: Headers to send; they win over those of ``MINI_AGENT_TOOL_HTTP_HEADERS``,
            whatever the case of their names.

    Raises:
        BadRequestError: It is no address.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise BadRequestError(
                f"{base_url!r} is not the address of a tool host: it must start with http://"
            )
        self.base_url = base_url.rstrip("/")
        self._headers = {name: Secret(value) for name, value in (headers or {}).items()}
        self._open = AsyncExitStack()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> HttpToolsInvoker:
        import httpx  # only who has such a host pays for it

        client = httpx.AsyncClient(
            headers=self._sent_headers(),
            timeout=_SILENCE_S,
            follow_redirects=False,
            trust_env=False,
        )
        self._client = await self._open.enter_async_context(client)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._client = None
        await self._open.aclose()

    async def list_openai_tools(self) -> list[dict[str, Any]]:
        """Ask the host for its tools.

        Raises:
            BadRequestError: It does not answer, or not with a list of them.
        """
        import httpx

        try:
            status, text, _ = await asyncio.wait_for(self._ask("GET", "/tools", None), _LISTING_S)
        except (httpx.HTTPError, asyncio.TimeoutError) as error:
            raise BadRequestError(
                f"the tool host {self.base_url} does not list its tools "
                f"({self._hidden(str(error)) or type(error).__name__}): is it running?"
            ) from None
        try:
            found = json.loads(text) if status == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(_is_spec(each) for each in found):
            raise BadRequestError(
                f"the tool host {self.base_url} answered /tools with status {status} and no list "
                f"of OpenAI tools: {self._hidden(text[:_TAIL_CHARS])!r}"
            )
        return found

    async def call_openai_tool(self, openai_tool: Mapping[str, Any]) -> Any:
        """Send one call; an error of the host is what the model is told."""
        import httpx

        body = {"name": called(openai_tool), "arguments": arguments_of(openai_tool)}
        try:
            status, text, wait_s = await self._ask("POST", "/invoke", body)
            if status == 429:
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
                status, text, _ = await self._ask("POST", "/invoke", body)
        except httpx.HTTPError as error:
            why = self._hidden(str(error)) or type(error).__name__
            return failed(f"the tool host could not be asked: {why}")
        if status >= 300:
            tail = self._hidden(text)[-_TAIL_CHARS:]
            return failed(f"the tool host answered with status {status}: {tail}")
        return self._read(text)

    def _read(self, text: str) -> Any:
        try:
            told = json.loads(text)
        except ValueError:
            return failed(f"the tool host did not answer with JSON: {text[:_TAIL_CHARS]!r}")
        if not isinstance(told, dict):
            return told
        shown = next((told[name] for name in _TEXTS if isinstance(told.get(name), str)), None)
        if told.get("ok") is False or shown is None:
            return told
        return ToolOutput(text=shown)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, str, float]:
        """Return status, text and the wait that is asked for, in seconds."""
        if self._client is None:
            async with self:
                return await self._ask(method, path, body)
        async with self._client.stream(method, self.base_url + path, json=body) as answer:
            got = bytearray()
            async for part in answer.aiter_bytes():
                got += part
                if len(got) > _MAX_BYTES:
                    break
            text = got[:_MAX_BYTES].decode("utf-8", "replace")
            return answer.status_code, text, _seconds(answer.headers.get("retry-after"))

    def _sent_headers(self) -> dict[str, str]:
        ours = {name.lower() for name in self._headers}
        environment = TOOL_HEADERS.value() or {}
        found = {name: value for name, value in environment.items() if name.lower() not in ours}
        return found | {name: value.reveal() for name, value in self._headers.items()}

    def _hidden(self, text: str) -> str:
        return redact(
            text, [*self._headers.values(), *map(Secret, (TOOL_HEADERS.value() or {}).values())]
        )


def _is_spec(value: Any) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return LONGEST_WAIT_S
