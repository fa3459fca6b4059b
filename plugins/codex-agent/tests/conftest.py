"""An agent on loopback whose answers a test writes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import scillm
from scillm import settings


class Agent:
    """What it says is set by the test, by model; what it was asked is in ``asked``."""

    def __init__(self):
        self.models, self.health, self.default = ["gpt-5"], 200, "pong"
        self.key = None
        self.said, self.statuses, self.finish, self.asked = {}, {}, "stop", []
        self.judge = '{"best_id": "B", "rationale_short": "prime"}'
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, body, headers):
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return 401, {}
        if path == "/healthz":
            return self.health, {"ok": True}
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": name} for name in self.models]}
        if path != "/v1/chat/completions":
            return 404, {}
        with self._lock:
            self.asked.append({**body, "authorization": headers.get("authorization")})
        model = body["model"]
        if model in self.statuses:
            return self.statuses[model], {"error": {"message": "no"}}
        is_judge = "best_id" in json.dumps(body["messages"])
        said = self.said.get(model, self.judge if is_judge else self.default)
        text = said(body) if callable(said) else said
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return 200, {
            "id": "c",
            "object": "chat.completion",
            "model": model,
            "choices": [choice],
        }


def _handler(agent):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(*agent.answer(self.path, None, self.headers))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self._reply(*agent.answer(self.path, json.loads(body), self.headers))

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
def agent(monkeypatch):
    """An agent that the environment names."""
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    settings.dotenv.cache_clear()
    monkeypatch.setenv("SCILLM_MAX_RETRIES", "0")
    made = Agent()
    monkeypatch.setenv("CODEX_AGENT_API_BASE", made.base)
    yield made
    scillm.close()
    made.close()
    settings.dotenv.cache_clear()
