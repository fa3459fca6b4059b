"""How the endpoint misbehaves when it is asked to, seen by a raw client."""

import http.client
import json
import socket
import time

import pytest

from pytest_scillm.endpoint import NASTY_TEXT

BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
STREAM = json.dumps({"messages": [], "stream": True}).encode()


@pytest.fixture
def client(endpoint):
    """An HTTP connection to the endpoint."""
    connection = http.client.HTTPConnection(endpoint.host, timeout=10)
    yield connection
    connection.close()


@pytest.fixture
def ask(endpoint, client):
    """Ask with options; the answer is not read yet."""

    def ask(options, body=BODY, url=None, headers=None):
        url = url or endpoint.url(options)
        headers = headers or {"authorization": "Bearer sk-mock"}
        client.request(
            "POST", url.removeprefix(endpoint.origin) + "/chat/completions", body, headers
        )
        return client.getresponse()

    return ask


def exchange(endpoint, options, body=BODY):
    """All bytes that come until the endpoint closes the connection."""
    with socket.create_connection(endpoint.host.split(":"), timeout=10) as raw:
        path = endpoint.url(options).removeprefix(endpoint.origin)
        head = f"POST {path}/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}"
        raw.sendall(head.encode() + b"\r\n\r\n" + body)
        return b"".join(iter(lambda: raw.recv(65536), b""))


def lines_of(stream):
    """Lines of server-sent events, as the standard ends them: never at U+2028 or U+0085."""
    return stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")


def test_a_script_is_used_up_step_by_step(endpoint, ask):
    """Then the answers are good, until the end."""
    url = endpoint.url("s429.503.ok")

    statuses = []
    for _ in range(4):
        answer = ask("", url=url)
        answer.read()
        statuses.append(answer.status)

    assert statuses == [429, 503, 200, 200]


def test_every_third_request_fails(endpoint, ask):
    """Counted per URL."""
    url = endpoint.url("every3.500")

    statuses = []
    for _ in range(6):
        answer = ask("", url=url)
        answer.read()
        statuses.append(answer.status)

    assert statuses == [200, 200, 500, 200, 200, 500]


def test_errors_ask_to_wait(ask):
    """In seconds, in milliseconds, as a date."""
    answer = ask("429-ra0.5-ram50")
    error = json.load(answer)["error"]
    dated = ask("429-rad")
    dated.read()

    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("0.5", "50")
    assert error["code"] == "rate_limit_exceeded"
    assert dated.headers["retry-after"].endswith("GMT")


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        ("ctx", 400, "context_length_exceeded"),
        ("policy", 400, "content_policy_violation"),
        ("quota", 429, "insufficient_quota"),
        ("401", 401, "invalid_api_key"),
        ("404", 404, "model_not_found"),
    ],
)
def test_errors_carry_the_codes_of_openai(ask, step, status, code):
    """So that a client can tell two errors of one status apart."""
    answer = ask(step)

    assert (answer.status, json.load(answer)["error"]["code"]) == (status, code)


def test_a_leak_quotes_the_key(ask):
    """Which the client must not pass on."""
    answer = ask("leak")

    assert (answer.status, b"sk-mock" in answer.read()) == (401, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_another_host(ask, status):
    """The URL there has no options."""
    answer = ask(f"redir{status}.127.0.0.2:81")
    answer.read()

    assert answer.status == status
    assert answer.headers["location"] == "http://127.0.0.2:81/v1/chat/completions"


def test_a_redirect_without_host_stays_here(ask):
    """By a path alone; also as a step of a script."""
    for options in ("redir307", "s307.ok"):
        answer = ask(options)
        answer.read()
        assert (answer.status, answer.headers["location"]) == (307, "/v1/chat/completions")


@pytest.mark.parametrize("body", [BODY, STREAM])
def test_bytes_that_are_not_utf8(ask, body):
    """In a whole answer and in a chunk."""
    with pytest.raises(UnicodeDecodeError):
        ask("badutf8", body).read().decode()


@pytest.mark.parametrize("body", [BODY, STREAM])
def test_a_bare_nan(ask, body):
    """Which Python's parser takes and JSON does not know."""
    assert b'"temperature":NaN' in ask("nan", body).read()


def test_a_wrong_content_type(ask):
    """The bodies are good."""
    whole, streamed = ask("wrongtype"), None
    assert (whole.headers["content-type"], "choices" in json.load(whole)) == ("text/plain", True)
    streamed = ask("wrongtype", STREAM)
    assert streamed.headers["content-type"] == "text/html"
    assert streamed.read().endswith(b"data: [DONE]\n\n")


def test_a_stream_that_is_cut_ends_well_for_http(ask):
    """There is neither a finish reason nor an end mark."""
    received = ask("cutsse", STREAM).read()

    assert b'"finish_reason":null' in received
    assert b'"finish_reason":"stop"' not in received
    assert b"[DONE]" not in received


def test_a_stream_without_end_mark_and_blank_line(ask):
    """The last event is the one with the finish reason."""
    received = ask("nodone", STREAM).read()

    assert b"[DONE]" not in received
    assert b'"finish_reason":"stop"' in received.split(b"\n\n")[-1]
    assert not received.endswith(b"\n")


def test_an_error_inside_a_stream(ask):
    """After the role and one piece."""
    events = ask("errsse", STREAM).read().split(b"\n\n")

    assert [b'"error":' in event for event in events] == [False, False, True, False]
    assert json.load(ask("errsse"))["error"]["code"] == "server_error"


def test_nasty_text_in_every_form(ask):
    """Read by the standard, the pieces join to the text; characters are cut between segments."""
    received = ask("u2028", STREAM).read()

    texts, field = [], []
    for line in lines_of(received):
        if line.startswith("data:"):
            field.append(line[5:].removeprefix(" "))
        elif not line and field and field != ["[DONE]"]:
            choice = json.loads("\n".join(field))["choices"][0]
            texts.append(choice["delta"].get("content", ""))
            field = []
        elif not line:
            field = []
    assert "".join(texts) == NASTY_TEXT
    assert json.load(ask("u2028"))["choices"][0]["message"]["content"] == NASTY_TEXT
    assert {b"\r\n" in received, b"\r\r" in received, b"\n: " in b"\n" + received} == {True}


def test_segments_are_cut_within_characters(endpoint):
    """A chunk of HTTP ends with the first byte of a character."""
    with socket.create_connection(endpoint.host.split(":"), timeout=10) as raw:
        path = endpoint.url("u2028").removeprefix(endpoint.origin)
        head = f"POST {path}/chat/completions HTTP/1.1\r\ncontent-length: {len(STREAM)}\r\n\r\n"
        raw.sendall(head.encode() + STREAM)
        segments = b""
        while not segments.endswith(b"0\r\n\r\n"):
            segments += raw.recv(65536)

    chunks = segments.split(b"\r\n\r\n", 1)[1].split(b"\r\n")
    assert any(chunk and chunk[-1] >= 0xC0 for chunk in chunks)


@pytest.mark.parametrize(("step", "body"), [("trunc", BODY), ("mid", BODY), ("mid", STREAM)])
def test_a_body_that_is_cut(ask, step, body):
    """The connection closes before the framing says so."""
    with pytest.raises(http.client.IncompleteRead):
        ask(step, body).read()


def test_connections_that_close(endpoint):
    """Without a byte, with a reset, and after a good answer."""
    assert exchange(endpoint, "drop") == b""
    with pytest.raises(ConnectionResetError):
        exchange(endpoint, "reset")
    assert exchange(endpoint, "close").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("step", ["hang", "stall"])
def test_an_answer_that_does_not_come(endpoint, client, ask, step):
    """Until the client loses patience."""
    client.timeout = 0.1

    with pytest.raises(TimeoutError):
        ask(step).read()


def test_a_slow_body(ask):
    """The head is there at once."""
    begin = time.perf_counter()
    answer = ask("slow-pause400")
    head_s = time.perf_counter() - begin
    answer.read()

    assert head_s < 0.3
    assert time.perf_counter() - begin > 0.39


def test_latency_is_kept(ask):
    """With its jitter, which is at most as large as it says."""
    begin = time.perf_counter()
    ask("lat60~20").read()

    assert time.perf_counter() - begin > 0.039


@pytest.mark.parametrize("body", [BODY, STREAM])
@pytest.mark.parametrize("step", ["huge", "hugelen", "endless"])
def test_bodies_far_too_large_can_be_left(endpoint, client, ask, step, body):
    """They come as fast as the client reads, and stop when it goes."""
    before = endpoint.open_connections

    assert len(ask(step, body).read(10_000)) == 10_000
    client.close()

    assert endpoint.wait_until(lambda seen: seen.open_connections <= before)


def test_a_bomb_is_small_on_the_wire(ask):
    """About a thousandth of what it inflates to."""
    answer = ask("bomb")

    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.read()) < 2_000_000


@pytest.mark.parametrize(
    ("step", "header", "value"),
    [("xkey", "x-api-key", "k"), ("bearer", "authorization", "Bearer k")],
)
def test_a_host_may_know_one_form_of_key_only(ask, step, header, value):
    """The same key in another header is answered with 401."""
    other = {"xkey": {"authorization": "Bearer k"}, "bearer": {"x-api-key": "k"}}[step]
    statuses = []
    for headers in ({header: value}, other):
        answer = ask(step, headers=headers)
        answer.read()
        statuses.append(answer.status)
    assert statuses == [200, 401]


def test_a_host_may_be_short_of_capacity(ask):
    """It says so in a body, under a status that means many things."""
    answer = ask("capacity")
    assert (answer.status, b"maximum capacity" in answer.read()) == (500, True)
