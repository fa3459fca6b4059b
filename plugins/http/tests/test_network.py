"""What goes over the wire, told by servers of a few lines."""

import asyncio
import gzip
import json
import ssl
import sys
import threading
from contextlib import asynccontextmanager, closing
from socket import create_server

import pytest
import trustme

from pytest_scillm.conformance.openai_probe import OpenaiProbe
from scillm import APIConnectionError, Kernel
from scillm_http import Http, _address

ASK = [{"role": "user", "content": "hi"}]
ANSWER = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 900_000}}]}
).encode()


def _http(body, *headers):
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *headers, "", ""]).encode() + body


@asynccontextmanager
async def _serving(answer, context=None):
    answering = []

    async def begun(reader, writer):
        answering.append(asyncio.current_task())
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(begun, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait(answering, timeout=5)


async def _asked(base, messages=ASK, **more):
    async with Kernel.of(Http(), OpenaiProbe()) as kernel:
        answer = await kernel.acompletion("probe/m", messages, api_base=base, timeout=10, **more)
        return answer.text


def _answered(*said):
    """Ask a server that reads once and says this; return what it read and what was understood."""
    seen = []

    async def answer(reader, writer):
        seen.append(await reader.read(2**20))
        writer.writelines(said)
        await writer.drain()

    async def main():
        async with _serving(answer) as host:
            return await _asked(f"http://{host}/v1")

    return asyncio.run(main()), seen


def test_head_and_body_go_out_together():
    """One packet, one system call: the body of a short request is not sent by itself."""
    _, (sent,) = _answered(_http(ANSWER))
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
    assert json.loads(body)["messages"] == ASK


def test_a_long_request_arrives_whole(endpoint):
    """One that the peer has to take in parts."""
    text = "long " * 1_000_000
    messages = [{"role": "user", "content": text}]
    assert asyncio.run(_asked(endpoint.url(), messages)).startswith("The quick")
    assert endpoint.requests[-1].json["messages"] == messages


@pytest.mark.parametrize("parts", [1, 3])
def test_a_long_answer_arrives_whole(parts):
    """One that comes faster than it is read."""
    whole = _http(ANSWER)
    size = len(whole) // parts + 1
    text, _ = _answered(*(whole[i * size : (i + 1) * size] for i in range(parts)))
    assert text == "x" * 900_000


def test_a_compressed_answer_is_read_though_none_was_asked_for():
    """Some proxies compress whatever passes."""
    text, (sent,) = _answered(_http(gzip.compress(ANSWER), "Content-Encoding: gzip"))
    assert text == "x" * 900_000
    assert b"accept-encoding: identity" in sent


def test_a_broken_compression_is_an_error():
    """Named as what it is."""
    with pytest.raises(APIConnectionError, match="cannot be decompressed"):
        _answered(_http(b"no gzip", "Content-Encoding: gzip"))


def test_a_connection_that_the_server_closed_is_not_used_again():
    """Between two sync calls no loop runs that would hear of it, so the system is asked."""
    is_closed = threading.Event()

    def serve(listener):
        for _ in range(2):
            peer, _ = listener.accept()
            with closing(peer):
                peer.recv(2**16)
                peer.sendall(_http(ANSWER))
            is_closed.set()

    with create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with Kernel.of(Http(), OpenaiProbe()) as kernel:
            for _ in range(2):
                answer = kernel.completion("probe/m", ASK, api_base=base, timeout=10)
                assert answer.text == "x" * 900_000
                assert is_closed.wait(10)
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_is_dug_through_a_proxy(tls_endpoint, scheme):
    """TLS inside it is spoken with the host itself; the proxy gets the password that is its own."""
    asked = []

    async def tunnel(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = asked[-1].split()[1].decode().partition(":")
        there, here = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copied(reader, here), _copied(there, writer))
        finally:
            here.close()

    async def main():
        context = None
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with _serving(tunnel, context) as host:
            return await _asked(
                tls_endpoint.url("echo"), proxy=f"{scheme}://me:p%40ss@{host}", ssl_verify=False
            )

    if scheme == "https" and sys.version_info < (3, 11):
        with pytest.raises(APIConnectionError, match=r"Python 3\.10 opens no TLS inside TLS"):
            asyncio.run(main())
        return
    assert asyncio.run(main()) == "hi"
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Basic bWU6cEBzcw==" in asked[0]


async def _copied(reader, writer):
    while block := await reader.read(2**16):
        writer.write(block)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("text", "host", "target"),
    [
        ("http://127.0.0.1:8000/v1/chat?a=b#c", b"127.0.0.1:8000", b"/v1/chat?a=b"),
        ("https://Example.com", b"example.com", b"/"),
        ("http://[::1]:80/v1;x", b"[::1]:80", b"/v1;x"),
        ("http://münchen.example/ä b%20c", b"xn--mnchen-3ya.example", b"/%C3%A4%20b%20c"),
    ],
)
def test_an_address_is_written_as_the_net_has_it(text, host, target):
    """Names in Punycode, paths in percent signs, what is encoded already left alone."""
    address = _address(text)
    assert (address.host, address.url.target) == (host, target)


def test_an_address_that_is_none_is_told():
    """As a connection that cannot be made."""
    with pytest.raises(APIConnectionError, match="is not an address"):
        asyncio.run(_asked("http://127.0.0.1:99999/v1"))
