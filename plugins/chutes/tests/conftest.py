"""A gateway on loopback: it lists models, tells how busy they are, and answers calls."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import scillm
from scillm import settings
from scillm_chutes.catalog import CATALOG
from scillm_chutes.load import LOAD

CALLS = [
    {
        "type": "function_call",
        "call_id": "c",
        "name": "get_weather",
        "arguments": '{"city": "Tokyo"}',
    }
]


class Gateway:
    """What it says is set by the test; what it was asked is in ``asked``."""

    def __init__(self):
        self.models, self.utilization = [{"id": "text-8B"}], None
        self.utilization_path = "/chutes/utilization"
        self.failing, self.asked = {}, []  # statuses by model; the last one holds
        self.said, self.tool_calls = {}, []  # answers by model
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, body):
        self.asked.append((path, body))
        if path == "/v1/models":
            return self._listing()
        if path == self.utilization_path:
            return (404, {}) if self.utilization is None else (200, self.utilization)
        if path.endswith("/chat/completions"):
            return self._completion(body)
        if path == "/v1/responses":
            return 200, {"id": "r", "object": "response", "model": body["model"], "output": CALLS}
        return 404, {}

    def _status(self, whose):
        statuses = self.failing.get(whose, [])
        return statuses.pop(0) if len(statuses) > 1 else (statuses or [200])[0]

    def _listing(self):
        status = self._status("/models") if self.models else 500
        return status, {"object": "list", "data": self.models} if status == 200 else {}

    def _completion(self, body):
        status = self._status(body["model"])
        if status != 200:
            return status, {"error": {"message": "no"}}
        message = {"role": "assistant", "content": self.said.get(body["model"], '{"ok": true}')}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {
            "id": "c",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [choice],
        }

    def models_asked(self):
        """The models of the calls, in order."""
        return [body["model"] for path, body in self.asked if path.endswith("completions")]


def _handler(gateway):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(*gateway.answer(self.path, None))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self._reply(*gateway.answer(self.path, json.loads(body)))

        def _reply(self, status, body):
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            """Say nothing."""

    return Handler


@pytest.fixture
def gateways(monkeypatch):
    """Make gateways, of which nothing is remembered after the test."""
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    settings.dotenv.cache_clear()
    monkeypatch.setenv("SCILLM_MAX_RETRIES", "0")
    made = []

    def make():
        made.append(Gateway())
        return made[-1]

    yield make
    scillm.close()
    for gateway in made:
        gateway.close()
    CATALOG.clear()
    LOAD.clear()
    settings.dotenv.cache_clear()


@pytest.fixture
def gateway(gateways, monkeypatch):
    """One gateway, which the environment names."""
    one = gateways()
    monkeypatch.setenv("CHUTES_API_BASE", one.base)
    monkeypatch.setenv("CHUTES_API_KEY", "cpk-secret-1")
    return one
