"""What these tests share: a host that lists models and answers, a clock, a kernel, a cache home."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import scillm_openai_like
from scillm import Kernel
from scillm_http import Http
from scillm_preflight import Preflight

ASK = [{"role": "user", "content": "hi"}]
NOW_S = 1_790_000_000.0


class Server(ThreadingHTTPServer):
    """One that many may connect to at once."""

    request_queue_size = 256


class Host:
    """What it lists and says is set by the test; what it was asked is in ``asked``."""

    def __init__(self):
        self.ids = ["Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "moonshotai/Kimi-K2-Instruct-0905"]
        self.status, self.says, self.asked, self.keys = 200, "hello", [], []
        self._server = Server(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, body, key):
        self.asked.append(path if body is None else body["model"])
        self.keys.append(key)
        if self.status != 200:
            return self.status, {"error": {"message": "no"}}
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": one} for one in self.ids]}
        if path == "/v1/embeddings":
            return 200, {"object": "list", "data": [], "model": body["model"]}
        message = {"role": "assistant", "content": self.says}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {"object": "chat.completion", "model": body["model"], "choices": [choice]}


def _handler(host):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(*host.answer(self.path, None, self.headers["authorization"]))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._reply(*host.answer(self.path, body, self.headers["authorization"]))

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


class Clock:
    """Seconds since 1970 that the test sets."""

    now_s = NOW_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def host():
    """A host with three models."""
    one = Host()
    yield one
    one.close()


@pytest.fixture
def other_host():
    """Another."""
    one = Host()
    yield one
    one.close()


@pytest.fixture
def clock():
    """The clock of every kernel of the test."""
    return Clock()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache home of the test's own; returns where the file would be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "scillm" / "catalog.json"


@pytest.fixture
def kernels(clock):
    """Make kernels, each as a process of its own would have it; more plugins may be added."""
    made = []

    def make(*more, ask=None):
        made.append(Kernel.of(Preflight(clock, ask), scillm_openai_like, Http(), *more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def kernel(kernels):
    """A kernel with preflight, a provider and a wire."""
    return kernels()


@pytest.fixture
def ask(host):
    """Ask the host for a completion; returns the answer, that of a stream at its end."""

    def ask(kernel, model, **more):
        where = {"custom_llm_provider": "openai_like", "api_base": host.base}
        answer = kernel.completion(model, ASK, **where, **more)
        if more.get("stream"):
            with answer:
                for _ in answer:
                    pass
            answer = answer.response
        return answer

    return ask
