"""The endpoint as a server: what it keeps, how it reads, how it ends."""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from pytest_scillm.endpoint import Endpoint
from pytest_scillm.endpoint.wire import BadRequest, Received, read_request


def post(endpoint, url, body=b"{}", context=None):
    """The answer to one request on a connection of its own."""
    kind = http.client.HTTPConnection
    more = {}
    if context is not None:
        kind, more = http.client.HTTPSConnection, {"context": context}
    connection = kind(endpoint.host, timeout=10, **more)
    connection.request(
        "POST", url.removeprefix(endpoint.origin) + "/chat/completions", body, {"X-Trace": "t1"}
    )
    answer = connection.getresponse()
    received = answer.read()
    connection.close()
    return answer.status, received


def test_requests_can_be_looked_at(endpoint):
    """Method, path, headers by lower-case name, and body."""
    url = endpoint.url()
    post(endpoint, url, b'{"model": "m"}')

    (request,) = endpoint.requests_to(url)

    assert (request.method, request.json, request.body) == (
        "POST",
        {"model": "m"},
        b'{"model": "m"}',
    )
    assert request.path.endswith("/v1/chat/completions")
    assert request.headers["x-trace"] == "t1"


def test_only_the_latest_requests_are_kept():
    """So that a long run does not fill the memory."""
    with Endpoint(keep=3) as endpoint:
        for number in range(5):
            post(endpoint, endpoint.url(), json.dumps({"n": number}))

        assert [request.json["n"] for request in endpoint.requests] == [2, 3, 4]
        endpoint.reset()
        assert endpoint.requests == ()


def test_two_urls_with_one_script_do_not_share_it(endpoint):
    """Each call of `url` starts anew."""
    first, second = endpoint.url("s500"), endpoint.url("s500")

    assert [post(endpoint, url)[0] for url in (first, first, second)] == [500, 200, 500]


def test_stats_and_reset_over_http():
    """For an endpoint in another process."""
    with Endpoint() as endpoint:
        post(endpoint, endpoint.url())
        connection = http.client.HTTPConnection(endpoint.host, timeout=10)
        connection.request("GET", "/stats")
        stats = json.load(connection.getresponse())
        connection.request("GET", "/reset")
        connection.getresponse().read()
        connection.close()

        assert (stats["requests"], stats["connections"]) == (1, 2)
        assert endpoint.requests == ()


def test_pipelined_requests_are_answered_in_order(endpoint):
    """A slow one before a fast one too."""
    slow, fast = (
        endpoint.url(options).removeprefix(endpoint.origin) for options in ("lat50-echo", "echo")
    )
    sent = b""
    for path, said in ((slow, "one"), (fast, "two")):
        body = json.dumps({"messages": [{"role": "user", "content": said}]})
        sent += f"POST {path}/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n".encode()
        sent += b"\r\n" + body.encode()

    with socket.create_connection(endpoint.host.split(":"), timeout=10) as raw:
        raw.sendall(sent)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2 or not received.endswith(b"}"):
            received += raw.recv(65536)

    assert received.index(b'"content":"one"') < received.index(b'"content":"two"')


def test_a_request_in_pieces_is_put_together():
    """Whatever the pieces are, and with the body in chunks."""
    whole = b"POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole += b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    buffer = bytearray()

    for byte in whole[:-1]:
        buffer.append(byte)
        assert isinstance(read_request(buffer), int)
    buffer.append(whole[-1])
    request = read_request(buffer)

    assert isinstance(request, Received)
    assert (request.body, bytes(buffer)) == (b"abcde", b"")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(sent, status):
    """With the status that says why."""
    with pytest.raises(BadRequest) as info:
        read_request(bytearray(sent))

    assert info.value.status == status


def test_a_client_that_waits_to_send_is_told_to(endpoint):
    """`Expect: 100-continue` is answered before the body."""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    )
    with socket.create_connection(endpoint.host.split(":"), timeout=10) as raw:
        raw.sendall(head)
        first = raw.recv(1000)
        raw.sendall(b"{}")
        second = raw.recv(100_000)

    assert (first[:12], second[:12]) == (b"HTTP/1.1 100", b"HTTP/1.1 200")


def test_tls_is_for_those_who_trust_its_authority():
    """Anyone else refuses the certificate."""
    pytest.importorskip("trustme", reason="the extra tls brings it")
    with Endpoint(tls=True) as endpoint:
        trusting = ssl.create_default_context(cafile=endpoint.ca_path)
        assert endpoint.origin.startswith("https://")
        assert post(endpoint, endpoint.url(), context=trusting)[0] == 200
        assert post(endpoint, endpoint.url("n3"), b'{"stream": true}', trusting)[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            post(endpoint, endpoint.url(), context=ssl.create_default_context())


def test_a_client_that_speaks_tls_to_plain_http_is_told_at_once(endpoint):
    """It would otherwise wait for an answer to its greeting."""
    url = endpoint.url().replace("http://", "https://")
    with pytest.raises(ssl.SSLError, match="(?i)wrong.version|http"):
        post(endpoint, url.replace("https://", "http://"), context=ssl.create_default_context())


def test_an_endpoint_without_tls_has_no_authority(endpoint):
    """And says how to have one."""
    with pytest.raises(RuntimeError, match=r"Endpoint\(tls=True\)"):
        _ = endpoint.ca_path


def test_stopping_closes_connections_and_ends_the_thread():
    """Also those on which an answer hangs."""
    before = threading.active_count()
    endpoint = Endpoint()
    with endpoint, socket.create_connection(endpoint.host.split(":"), timeout=10) as raw:
        path = endpoint.url("hang").removeprefix(endpoint.origin)
        raw.sendall(f"POST {path}/chat/completions HTTP/1.1\r\n\r\n".encode())
        assert endpoint.wait_until(lambda seen: len(seen.requests) == 1)

    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(endpoint.host.split(":"), timeout=1)


def test_it_runs_by_itself():
    """`python -m pytest_scillm.endpoint` prints its port when it is ready."""
    command = [sys.executable, "-m", "pytest_scillm.endpoint", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            word, port = process.stdout.readline().split()
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
            connection.request("GET", "/v1/models")
            status = connection.getresponse().status
            connection.close()
        finally:
            process.terminate()

    assert (word, status) == ("READY", 200)
