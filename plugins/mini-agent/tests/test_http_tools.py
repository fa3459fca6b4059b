"""A tool host over HTTP: a real server, whose answers a test writes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scillm import BadRequestError
from scillm_mini_agent import AgentConfig, HttpToolsInvoker, run_mcp_mini_agent

ASK = [{"role": "user", "content": "look it up"}]
SPEC = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    },
}


class Host:
    """Lists ``tools``; answers calls with ``answers``, in order; keeps what it got."""

    def __init__(self):
        self.tools, self.answers, self.got = [SPEC], [], []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    @property
    def calls(self):
        return [body for path, body, _ in self.got if path == "/invoke"]


def _handler(host):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            host.got.append((self.path, None, self.headers))
            self._reply(200, host.tools)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            host.got.append((self.path, body, self.headers))
            self._reply(*host.answers.pop(0))

        def _reply(self, status, body, headers=None):
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            """Say nothing."""

    return Handler


@pytest.fixture
def host():
    """A host on loopback."""
    made = Host()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def shown(scripted, host):
    """Have the model call the tool once; return what it was shown."""

    def run(*answers, headers=None):
        host.answers = list(answers)
        kernel = scripted(scripted.calls(("find", {"q": "x"})), scripted.says("ok"))
        config = AgentConfig(model="scripted/m", use_tools=True)
        run_mcp_mini_agent(ASK, HttpToolsInvoker(host.base + "/", headers), config, kernel=kernel)
        return kernel.scripted.asked[1]["messages"][-1]["content"]

    return run


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"text": "a", "result": "b"}, "a"),
        ({"result": "b"}, "b"),
        ({"answer": "c"}, "c"),
        ({"n": 1}, '{"n": 1}'),
        ({"result": 1}, '{"result": 1}'),
        ([1], "[1]"),
    ],
)
def test_the_text_of_an_answer_is_shown_else_the_whole(shown, host, answer, told):
    """And each call is sent once."""
    assert shown((200, answer)) == told
    assert host.calls == [{"name": "find", "arguments": {"q": "x"}}]


def test_an_error_of_the_host_is_shown_with_the_end_of_its_body(shown, host):
    """At most 256 characters; it is not sent again."""
    told = json.loads(shown((500, b"a" * 300 + b"the end")))
    assert told["ok"] is False
    assert told["error"].startswith("the tool host answered with status 500: aaa")
    assert told["error"].endswith("the end")
    assert len(told["error"]) < 320
    assert len(host.calls) == 1


def test_a_429_is_sent_once_more(shown, host):
    """After the wait that the host names."""
    assert shown((429, {}, {"Retry-After": "0"}), (200, {"text": "now"})) == "now"
    assert len(host.calls) == 2


def test_a_second_429_is_an_error(shown, host):
    """There is no third."""
    assert "status 429" in shown(*[(429, {}, {"Retry-After": "0"})] * 3)
    assert len(host.calls) == 2


def test_a_failure_that_the_host_tells_is_one(shown):
    """Although its status is 200."""
    assert json.loads(shown((200, {"ok": False, "error": "no", "text": "x"})))["ok"] is False


def test_a_redirect_is_not_followed(shown, host):
    """It could lead anywhere."""
    assert "status 302" in shown((302, b"", {"Location": host.base + "/tools"}))


def test_headers_of_the_call_win_whatever_their_case(shown, host, monkeypatch):
    """Over those of the environment, which are sent too."""
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", '{"X-Team": "env", "X-More": "more"}')

    shown((200, {"text": "a"}), headers={"x-team": "call"})

    for _, _, headers in host.got:
        assert (headers.get_all("x-team"), headers["x-more"]) == (["call"], "more")


def test_a_secret_that_the_host_says_back_is_not_shown(shown):
    """A header's value in an error."""
    told = shown((401, b"bad key tok-12345678"), headers={"x-key": "tok-12345678"})
    assert "tok-12345678" not in told


@pytest.mark.parametrize("tools", [{"tools": []}, [{"name": "x"}], "x"])
def test_a_host_that_lists_no_tools_is_an_error(scripted, host, tools):
    """Said before the model is asked."""
    host.tools = tools
    config = AgentConfig(model="scripted/m", use_tools=True)
    with pytest.raises(BadRequestError, match="no list of OpenAI tools"):
        run_mcp_mini_agent(ASK, HttpToolsInvoker(host.base), config, kernel=scripted())


def test_a_host_that_is_not_there_is_an_error(scripted):
    """With what to look at."""
    config = AgentConfig(model="scripted/m", use_tools=True)
    with pytest.raises(BadRequestError, match="is it running"):
        run_mcp_mini_agent(ASK, HttpToolsInvoker("http://127.0.0.1:9"), config, kernel=scripted())


def test_what_is_no_address_is_refused():
    """A file, say."""
    with pytest.raises(BadRequestError, match="not the address"):
        HttpToolsInvoker("file:///etc")
