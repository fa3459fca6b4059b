"""A server on loopback that speaks the Messages API, as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import scillm
import scillm_anthropic


class Speaker(ThreadingHTTPServer):
    """Answers with ``whole``, or with ``events`` if there are some and a stream is wanted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.whole: Any = None
        self.events: list[Any] = []
        self.status, self.headers = 200, {}
        self.sent: list[tuple[str, dict[str, str], Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Speaker

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.loads(told) if told else None
        names = {name.lower(): value for name, value in self.headers.items()}
        self.server.sent.append((self.path, names, body))
        is_stream = bool(body and body.get("stream") and self.server.events)
        said = _sse(self.server.events) if is_stream else json.dumps(self.server.whole).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
        self.send_header("content-length", str(len(said)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST  # noqa: N815  # the name that the standard library calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _sse(events: list[Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    """A server for this test alone."""
    server = Speaker()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def body(scillm_kernel: Callable[..., Any], wire: Any) -> Callable[..., Any]:
    """What is sent for a call, given by its arguments."""

    def sent(messages: list[Any], **arguments: Any) -> Any:
        wire.reply(b"{}")
        kernel = scillm_kernel(scillm_anthropic)
        with pytest.raises(scillm.InvalidResponse):
            kernel.completion("anthropic/claude", messages, api_key="k", **arguments)
        return wire.sent[-1].body

    return sent
