"""Gateways that make a long run hard: one full of faults, and one that counts requests a minute."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

FAULTS = (
    (0.10, "429"),
    (0.05, "503"),
    (0.03, "drop"),
    (0.02, "truncate"),
    (0.05, "fence"),
    (0.01, "hang"),
)
"""Shares of requests, and what becomes of them."""


class Gateway:
    """A server on loopback, in a thread of its own, which is a context.

    Attributes:
        base: Its address.
        requests: How many came.

    Args:
        answer: Takes a prompt and the request; returns the response.
    """

    def __init__(self, answer: Callable[[str, web.Request], Awaitable[web.StreamResponse]]) -> None:
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.base, self.requests = "", 0

    def __enter__(self) -> Gateway:
        self._thread.start()
        self._runner, self.base = self._do(self._start())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> tuple[web.AppRunner, str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        return runner, f"http://127.0.0.1:{port}/v1"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.json()
        prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
        return await self._answer(prompt, request)


def chat(content: str) -> web.Response:
    """A whole answer in OpenAI's shape."""
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    return web.json_response(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    )


class Chaos:
    """Answers a number in a schema, and fails as ``FAULTS`` says, each time by a new draw."""

    def __init__(self, hang_s: float = 30.0) -> None:
        self._seen: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._hang_s = hang_s

    async def __call__(self, prompt: str, request: web.Request) -> web.StreamResponse:
        fault = self._fault(prompt)
        content = json.dumps({"number": int(prompt.rpartition(" ")[2])})
        if fault == "429":
            return _error(429, {"retry-after": "0.2"})
        if fault == "503":
            return _error(503, {})
        if fault == "drop":
            request.transport.close()
        elif fault == "hang":
            await asyncio.sleep(self._hang_s)
        elif fault == "truncate":
            return await _truncated(content, request)
        return chat(f"```json\n{content}\n```" if fault == "fence" else content)

    def _fault(self, prompt: str) -> str:
        time_of_it = self._seen[prompt]
        self._seen[prompt] += 1
        digest = hashlib.sha256(f"{prompt}/{time_of_it}".encode()).digest()
        drawn = int.from_bytes(digest[:4], "big") / 2**32
        for share, fault in FAULTS:
            if drawn < share:
                self.faults[fault] += 1
                return fault
            drawn -= share
        return ""


class Counting:
    """Takes so many requests in a sliding window; one too many is a 429, and so is all for a while.

    Args:
        limit: Requests in a window.
        window_s: Its length.
        rest_s: How long everything is refused after a violation.
    """

    def __init__(self, limit: int, window_s: float, rest_s: float) -> None:
        self._limit, self._window_s, self._rest_s = limit, window_s, rest_s
        self._times: deque[float] = deque()
        self._until_s = 0.0
        self.violations = self.answered = 0

    async def __call__(self, prompt: str, request: web.Request) -> web.StreamResponse:
        now_s = time.monotonic()
        while self._times and self._times[0] <= now_s - self._window_s:
            self._times.popleft()
        if now_s < self._until_s:
            return _error(429, {"retry-after": f"{self._until_s - now_s:.2f}"})
        if len(self._times) >= self._limit:
            self.violations += 1
            self._until_s = now_s + self._rest_s
            return _error(429, {"retry-after": f"{self._rest_s}"})
        self._times.append(now_s)
        self.answered += 1
        return chat(prompt)


def _error(status: int, headers: dict[str, str]) -> web.Response:
    body = {"error": {"message": "no", "type": "server_error"}}
    return web.json_response(body, status=status, headers=headers)


async def _truncated(content: str, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-type": "application/json", "content-length": "500"}
    )
    await response.prepare(request)
    await response.write(
        f'{{"id": "c", "choices": [{{"message": {{"content": "{content[:5]}'.encode()
    )
    request.transport.close()
    return response
