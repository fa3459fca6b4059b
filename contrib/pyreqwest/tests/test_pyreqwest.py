"""What is particular to this transport; what it shares with others is in test_conformance.py."""

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from pytest_scillm.conformance.openai_probe import OpenaiProbe
from pytest_scillm.endpoint import Endpoint
from scillm import Call, Kernel, Request, Route, Timeout, Timeouts

pytest.importorskip("pyreqwest", reason="pyreqwest has no release for this Python")

from scillm_pyreqwest import Pyreqwest

ASK = [{"role": "user", "content": "hi"}]
WHOLE = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    """An endpoint of this module's own, so that its connections can be counted."""
    with Endpoint() as started:
        yield started


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel of the transport and a provider."""
    with Kernel.of(Pyreqwest(), OpenaiProbe()) as made:
        yield made


@pytest.fixture
def canned() -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """A server that gives one answer, whatever it is asked; returns its address and what it got."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []

    def start(*headers: str, body: bytes) -> tuple[str, list[str]]:
        lines = ["HTTP/1.1 200 OK", "content-type: application/json", *headers]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()
        threading.Thread(target=_answer, args=(listener, asked, head + body), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1", asked

    yield start
    listener.close()


def _answer(listener: socket.socket, asked: list[str], answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        while received := connection.recv(65536):
            asked.append(received.decode().lower())
            connection.sendall(answer)


def request(frames: Literal["json", "sse"]) -> Request:
    """A request that any HTTP transport takes."""
    route = Route(provider="probe", model="m")
    return Request(route=route, url="http://127.0.0.1:9/v1", read=lambda _: (), frames=frames)


@pytest.mark.parametrize(
    ("variable", "left"),
    [
        ("SCILLM_PYREQWEST=0", {"json", "sse"}),
        ("SCILLM_FORCE_HTTPX_STREAM=1", {"sse"}),
        ("SCILLM_UNRELATED=1", set()),
    ],
)
def test_what_a_setting_takes_away_is_left_to_the_next_transport(
    monkeypatch: pytest.MonkeyPatch, variable: str, left: set[str]
) -> None:
    """None from ``send`` means "not mine"."""
    monkeypatch.setenv(*variable.split("="))
    plugin = Pyreqwest()

    asked = {"json": request("json"), "sse": request("sse")}
    refused = {frames for frames, one in asked.items() if plugin.send(Call(), one) is None}

    assert refused == left


def test_it_is_asked_before_the_transports_of_the_default_set() -> None:
    """By its place; `scillm plugins` shows it."""
    info = Kernel.of(Pyreqwest()).plugins.infos["Pyreqwest"]

    assert (info.order, info.hooks) == (880, ("send",))


def test_the_first_event_is_there_before_the_second_is_sent(
    kernel: Kernel, server: Endpoint
) -> None:
    """Nothing waits until a buffer is full; leaving then drops the connection."""
    stream = kernel.completion("probe/m", ASK, api_base=server.url("sstall"), stream=True)

    first = next(stream)
    stream.close()

    assert first.choices[0].delta.role == "assistant"
    assert server.wait_until(lambda it: it.open_connections == 0)


def test_a_request_that_nobody_waits_for_any_more_ends(kernel: Kernel, server: Endpoint) -> None:
    """By itself pyreqwest would keep it, and its connection, until the server answers."""
    timeouts = Timeouts(total_s=0.2, read_s=0.25)

    with pytest.raises(Timeout, match=r"within 0\.2 s"):
        kernel.completion("probe/m", ASK, api_base=server.url("shang"), timeout=timeouts)

    assert server.open_connections == 1
    assert server.wait_until(lambda it: it.open_connections == 0, timeout_s=2)


def test_deadlines_that_hardly_differ_share_connections(kernel: Kernel, server: Endpoint) -> None:
    """A strategy that hands on what is left of a budget must not open a client per call."""
    server.reset()

    for seconds in (3.01, 3.04, 2.93):
        kernel.completion("probe/m", ASK, api_base=server.url(), timeout=Timeouts(read_s=seconds))

    assert server.connections == 1


def test_a_cookie_is_not_kept(kernel: Kernel, canned: Callable[..., tuple[str, list[str]]]) -> None:
    """One kernel may call for several users."""
    base, asked = canned("set-cookie: user=1", body=json.dumps(WHOLE).encode())

    for _ in range(2):
        assert kernel.completion("probe/m", ASK, api_base=base).text == "hi"

    assert [("cookie" in head, "referer" in head) for head in asked] == [(False, False)] * 2


def test_an_answer_that_is_compressed_unasked_is_read(
    kernel: Kernel, canned: Callable[..., tuple[str, list[str]]]
) -> None:
    """Some gateways do not heed accept-encoding."""
    base, asked = canned("content-encoding: gzip", body=gzip.compress(json.dumps(WHOLE).encode()))

    assert kernel.completion("probe/m", ASK, api_base=base).text == "hi"
    assert "accept-encoding: identity" in asked[0]


SCRIPT = """
from pytest_scillm.conformance.openai_probe import OpenaiProbe
from pytest_scillm.endpoint import Endpoint
from scillm import Kernel
from scillm_pyreqwest import Pyreqwest

with Endpoint() as server:
    kernel = Kernel.of(Pyreqwest(), OpenaiProbe())
    messages = [{"role": "user", "content": "hi"}]
    print(kernel.completion("probe/m", messages, api_base=server.url("echo")).text)
"""


def test_a_process_that_ends_on_an_answer_ends_well() -> None:
    """Without the pause at exit about one in ten aborts."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr, done.returncode) == ("hi\n", "", 0)
