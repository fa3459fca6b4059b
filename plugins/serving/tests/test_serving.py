import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from typing import Any

import attrs
import httpx
import pytest

from scillm import RateLimitError, Secret
from scillm.failures import Failure, FailureKind
from scillm_serving import Events, Refused, Reply, Route
from scillm_serving.edge import ACCESS


@attrs.frozen
class Inner:
    name: str


@attrs.frozen
class Thing:
    count: int
    ratio: float = 0.0
    flag: bool | None = None
    stop: str | list[str] | None = None
    inner: list[Inner] = attrs.field(factory=list)
    extra: dict[str, Any] = attrs.field(factory=dict)


async def back(asked):
    """Say back what was asked."""
    return asked.body


ECHO = Route(path="/thing", answer=back, takes=Thing, returns=Thing)


def post(client, running, body, path="/thing", **more):
    """Send JSON."""
    return client.post(f"{running.base}{path}", json=body, **more)


def told(answer):
    """Return the error of an answer, whose shape is checked."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert all(word is None or isinstance(word, str) for word in error.values())
    return error


def test_a_typed_body_arrives_as_its_type_and_goes_back_as_json(serve, client):
    """A whole number with a point is whole, as JSON Schema has it."""
    running = serve([ECHO])
    answer = post(
        client, running, {"count": 2.0, "ratio": 1, "stop": ["a"], "inner": [{"name": "x"}]}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "count": 2,
        "ratio": 1,
        "flag": None,
        "stop": ["a"],
        "inner": [{"name": "x"}],
        "extra": {},
    }


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"count": "1"}, "count", "expected a whole number, got '1'"),
        ({"count": True}, "count", "expected a whole number"),
        ({"count": 1.5}, "count", "expected a whole number"),
        ({"count": 1, "flag": "yes"}, "flag", "expected true or false or null, got 'yes'"),
        ({"count": 1, "inner": [{"name": "x"}, {"name": 3}]}, "inner[1].name", "expected text"),
        ({"count": 1, "inner": "abc"}, "inner", "expected a list"),
        ({"count": 1, "extra": []}, "extra", "expected an object"),
        ({"count": 1, "stop": [1]}, "stop[0]", "expected text, got 1"),
        ({"count": 1, "stop": 1}, "stop", "expected text or a list or null"),
        ({}, "count", "it is missing"),
        ({"count": 1, "oops": 1}, None, "unknown fields 'oops'"),
        ([], None, "expected an object, got a list"),
        ("abc", None, "expected an object"),
    ],
)
def test_a_body_of_another_shape_is_refused_with_the_path(serve, client, body, param, said):
    """Nothing is coerced; the message says what is wrong, `param` where."""
    answer = post(client, serve([ECHO]), body)
    error = told(answer)
    assert answer.status_code == 422
    assert error["param"] == param
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"


def test_unknown_fields_pass_where_the_route_allows_them(serve, client):
    """For a dialect with more fields than anybody lists."""
    running = serve([attrs.evolve(ECHO, allows_unknown=True)])
    assert post(client, running, {"count": 1, "oops": 1}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"count": 1',
        b"\xff\xfe",
        b'{"count": 1e999}',
        b'{"count": NaN}',
        b"[" * 100_000,
    ],
    ids=["empty", "open", "short", "not utf-8", "too large a number", "nan", "deep"],
)
def test_broken_json_is_a_bad_request(serve, client, body):
    """Whatever the bytes are."""
    headers = {"content-type": "application/json"}
    answer = client.post(f"{serve([ECHO]).base}/thing", content=body, headers=headers)
    assert answer.status_code == 400
    assert told(answer)["code"] == "invalid_json"


def test_what_there_is_not_is_refused_in_the_same_shape(serve, client):
    """Unknown paths, methods and content types are JSON too."""
    base = serve([ECHO]).base
    missing, wrong = client.get(f"{base}/nothing"), client.get(f"{base}/thing")
    assert (missing.status_code, told(missing)["code"]) == (404, "not_found")
    assert (wrong.status_code, told(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    form = client.post(f"{base}/thing", data={"count": "1"})
    assert (form.status_code, told(form)["code"]) == (415, "unsupported_media_type")
    assert client.get(f"{base}/thing/").status_code == 404


def test_a_body_that_is_too_long_is_refused(serve, client):
    """Told by its length, or found out while it comes; the sender gets to read why."""
    running = serve([ECHO], max_body_bytes=1000)
    url = f"{running.base}/thing"
    answer = client.post(
        url, content=b"x" * 5_000_000, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, told(answer)["code"]) == (413, "body_too_large")
    parts = (b"x" * 100_000 for _ in range(20))
    answer = client.post(url, content=parts, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_a_body_that_does_not_come_ends_in_408(serve):
    """A slow sender does not hold a place for ever."""
    running = serve([ECHO], body_s=0.3)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        wire.sendall(b"POST /thing HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        said = b""
        while part := wire.recv(65536):
            said += part
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"code":"request_timeout"' in said


def test_a_token_is_wanted_where_there_is_one(serve, client):
    """As Bearer or as x-api-key; health is open; the token shows nowhere."""

    async def well(asked):
        """Say that it is well."""
        return {"ok": True}

    health = Route(path="/healthz", method="GET", answer=well, is_open=True)
    running = serve([ECHO, health], token=Secret("sésame-123"))
    token = "sésame-123".encode()
    without = post(client, running, {"count": 1})
    assert (without.status_code, told(without)["type"]) == (401, "authentication_error")
    assert without.headers["www-authenticate"] == "Bearer"
    wrong = post(client, running, {"count": 1}, headers={"authorization": "Bearer nope"})
    assert wrong.status_code == 401
    assert "123" not in wrong.text
    for headers in ({"authorization": b"Bearer " + token}, {"x-api-key": token}):
        assert post(client, running, {"count": 1}, headers=headers).status_code == 200
    assert client.get(f"{running.base}/healthz").json() == {"ok": True}
    assert client.get(f"{running.base}/openapi.json").status_code == 401


def test_a_request_id_goes_in_and_out_and_a_made_up_one_does_not_break_the_log(serve, client):
    """A client's own id is kept if it is one."""
    running = serve([ECHO])
    kept = post(client, running, {"count": 1}, headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    other = post(client, running, {"count": 1}, headers={"x-request-id": "no good id"})
    assert len(other.headers["x-request-id"]) == 32


def test_one_request_too_many_is_told_to_come_again(serve, client):
    """429 with Retry-After; the place is free when the first is over."""
    begun, go_on = threading.Event(), threading.Event()

    async def wait(asked):
        """Wait."""
        begun.set()
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, 10)
        return {}

    running = serve([Route(path="/wait", method="GET", answer=wait)], max_concurrent=1)
    first = threading.Thread(target=httpx.get, args=(f"{running.base}/wait",))
    first.start()
    assert begun.wait(10)
    second = client.get(f"{running.base}/wait")
    go_on.set()
    first.join()
    assert (second.status_code, told(second)["type"]) == (429, "rate_limit_error")
    assert second.headers["retry-after"] == "1"
    assert client.get(f"{running.base}/wait").status_code == 200


def test_an_error_of_ours_tells_the_client_nothing_and_the_log_all(serve, client, caplog):
    """The request id joins the two."""

    async def fail(asked):
        """Fail."""
        raise RuntimeError("the inner secret")

    answer = client.get(f"{serve([Route(path='/f', method='GET', answer=fail)]).base}/f")
    assert (answer.status_code, told(answer)["code"]) == (500, "internal_error")
    assert "inner" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "the inner secret" in caplog.text


def test_errors_of_scillm_and_refusals_keep_their_status(serve, client):
    """And say when to come again."""

    async def limited(asked):
        """Be limited."""
        failure = Failure(
            kind=FailureKind.RATE_LIMIT, detail="slowly", status=429, retry_after_s=2.2
        )
        raise RateLimitError("slowly", failure=failure)

    async def refused(asked):
        """Refuse."""
        raise Refused(409, "not now", code="busy", param="x")

    running = serve(
        [
            Route(path="/l", method="GET", answer=limited),
            Route(path="/r", method="GET", answer=refused),
        ]
    )
    answer = client.get(f"{running.base}/l")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    answer = client.get(f"{running.base}/r")
    assert answer.status_code == 409
    assert told(answer) == {
        "message": "not now",
        "type": "invalid_request_error",
        "param": "x",
        "code": "busy",
    }


def test_work_beyond_the_deadline_is_stopped(serve, client):
    """504, and nothing goes on behind it."""
    stopped = threading.Event()

    async def dawdle(asked):
        """Never end."""
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    running = serve([Route(path="/d", method="GET", answer=dawdle)], deadline_s=0.2)
    answer = client.get(f"{running.base}/d")
    assert (answer.status_code, told(answer)["code"]) == (504, "timeout")
    assert stopped.wait(10)


def test_work_is_stopped_when_the_client_leaves(serve):
    """Also where the answer would have been a whole one."""
    begun, stopped = threading.Event(), threading.Event()

    async def dawdle(asked):
        """Never end."""
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    running = serve([Route(path="/d", method="GET", answer=dawdle)])
    with socket.create_connection(("127.0.0.1", running.port)) as wire:
        wire.sendall(b"GET /d HTTP/1.1\r\nhost: x\r\n\r\n")
        assert begun.wait(10)
    assert stopped.wait(10)


def ticking(closed, fails=None, pause_s=0.01, ticks=5):
    """Return a route that streams, and tells when its source is closed."""

    async def ticks_of():
        try:
            for number in range(ticks):
                yield {"n": number}
                await asyncio.sleep(pause_s)
            if fails:
                raise fails
        finally:
            closed.set()

    async def tick(asked):
        """Tick."""
        return Events(ticks_of())

    return Route(path="/t", method="GET", answer=tick, streams=True)


def test_events_come_one_by_one_and_end_with_the_mark(serve, client):
    """What is no bytes is sent as JSON behind `data:`."""
    closed = threading.Event()
    answer = client.get(f"{serve([ticking(closed)]).base}/t")
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.text.split("\n\n")
    assert frames == [*(f'data: {{"n":{n}}}' for n in range(5)), "data: [DONE]", ""]
    assert closed.is_set()


@pytest.mark.parametrize("fails", [RuntimeError("the inner secret"), RateLimitError("slowly")])
def test_a_stream_that_fails_ends_with_an_error_and_without_the_mark(serve, client, fails):
    """Its status was sent long before."""
    closed = threading.Event()
    answer = client.get(f"{serve([ticking(closed, fails)]).base}/t")
    last = answer.text.rstrip().rpartition("\n\n")[2]
    assert set(json.loads(last.removeprefix("data: "))) == {"error"}
    assert "[DONE]" not in answer.text
    assert "secret" not in answer.text


def test_a_stream_beyond_the_deadline_says_so(serve, client):
    """And its source is closed."""
    closed = threading.Event()
    running = serve([ticking(closed, pause_s=60)], deadline_s=0.3)
    answer = client.get(f"{running.base}/t")
    assert '"code":"timeout"' in answer.text
    assert closed.wait(10)


def test_a_source_is_closed_when_the_client_leaves_mid_stream(serve):
    """Nobody pays for what nobody reads."""
    closed = threading.Event()
    running = serve([ticking(closed, pause_s=60)])
    with httpx.stream("GET", f"{running.base}/t") as answer:
        assert next(answer.iter_lines()) == 'data: {"n":0}'
    assert closed.wait(10)


def test_a_silent_stream_is_kept_alive_by_comments(serve, client):
    """Proxies drop what is silent."""
    running = serve([ticking(threading.Event(), pause_s=0.4, ticks=2)], keep_alive_s=0.1)
    answer = client.get(f"{running.base}/t")
    assert ": still here\n\n" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_running_stream_is_finished_before_the_server_ends(serve):
    """Nothing is cut off by a restart."""
    running = serve([ticking(threading.Event(), pause_s=0.1, ticks=8)])
    lines = []
    with httpx.stream("GET", f"{running.base}/t") as answer:
        stream = answer.iter_lines()
        lines.append(next(stream))
        running.server.should_exit = True
        lines += stream
    assert lines[-2:] == ["data: [DONE]", ""]


def test_100_requests_at_a_time_each_get_their_own_answer(serve):
    """None is lost and none is another's."""
    running = serve([ECHO])

    async def all_of_them():
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client:
            asked = (
                client.post(f"{running.base}/thing", json={"count": number})
                for number in range(100)
            )
            return [answer.json()["count"] for answer in await asyncio.gather(*asked)]

    assert asyncio.run(all_of_them()) == list(range(100))


def test_the_log_has_a_line_for_each_request_and_no_secret(serve, client, caplog):
    """No query, no header, no body."""
    running = serve([ECHO], token=Secret("sk-token"))
    with caplog.at_level(logging.INFO, ACCESS.name):
        client.post(
            f"{running.base}/thing?key=sk-query",
            json={"count": 41999},
            headers={"authorization": "Bearer sk-token", "x-request-id": "r-1"},
        )
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = [r.getMessage() for r in caplog.records if r.name == ACCESS.name]
    assert lines[0].startswith("POST /thing 200 ")
    assert lines[0].endswith(" r-1")
    assert "sk-" not in caplog.text
    assert "41999" not in caplog.text


def test_metrics_are_there_if_asked_for_and_prometheus_reads_them(serve, client):
    """An unknown path counts under one name: a client cannot make up more."""
    from prometheus_client import parser

    assert client.get(f"{serve([ECHO]).base}/metrics").status_code == 404
    running = serve([ECHO], has_metrics=True)
    post(client, running, {"count": 1})
    client.get(f"{running.base}/made/up")
    text = client.get(f"{running.base}/metrics").text
    families = {each.name: each.samples for each in parser.text_string_to_metric_families(text)}
    requests = {
        (s.labels["route"], s.labels["status"]): s.value for s in families["scillm_http_requests"]
    }
    assert requests == {("/thing", "200"): 1, ("none", "404"): 1}
    assert "scillm_http_request_duration_seconds" in families


def test_a_reply_has_its_own_status_headers_and_bytes(serve, client):
    """Aliases answer too, and parameters of the path and the query arrive."""

    async def made(asked):
        """Make one."""
        text = f"{asked.path['id']} {asked.query['q']}".encode()
        return Reply(text, 201, {"content-type": "text/plain", "x-more": "1"})

    route = Route(path="/v1/i/{id}", aliases=("/i/{id}",), method="GET", answer=made)
    running = serve([route])
    for path in ("/v1/i/a", "/i/a"):
        answer = client.get(f"{running.base}{path}?q=b%20c")
        assert (answer.status_code, answer.text) == (201, "a b c")
        assert answer.headers["x-more"] == "1"
        assert answer.headers["content-type"] == "text/plain"


def spoken(running, *parts, pause_s=0.0):
    """Return what a server says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        for part in parts:
            with contextlib.suppress(OSError):
                wire.sendall(part)
            time.sleep(pause_s)
        said = b""
        with contextlib.suppress(ConnectionError):
            while part := wire.recv(65536):
                said += part
    return said


@pytest.mark.parametrize(
    "parts",
    [(), (b"POST /thing HT",), (b"GET / HTTP/1.1\r\n", *(b"x-%d: y\r\n" % n for n in range(9)))],
    ids=["nothing", "a beginning", "a header now and then"],
)
def test_a_head_that_does_not_come_ends_in_408(serve, parts):
    """A sender who drips does not hold a connection for ever."""
    said = spoken(serve([ECHO], body_s=0.4), *parts, pause_s=0.06)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"bad_http"' in said


def test_a_head_that_is_too_long_ends_in_431(serve):
    """It is not kept."""
    said = spoken(serve([ECHO]), b"GET / HTTP/1.1\r\n", *[b"x: " + b"y" * 9000 + b"\r\n"] * 9)
    assert said.startswith(b"HTTP/1.1 431 ") or said == b""


def test_what_is_no_http_is_told_so_in_json(serve):
    """In the shape of every other error."""
    said = spoken(serve([ECHO]), b"\x16\x03\x01 hello\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b'"type":"invalid_request_error"' in said


def test_a_connection_is_used_again_also_after_a_wait(serve):
    """The limit on heads is for heads alone: an answer that takes longer comes whole."""

    async def slow(asked):
        """Take longer than a head may."""
        await asyncio.sleep(0.6)
        return {}

    running = serve([Route(path="/slow", method="GET", answer=slow)], body_s=0.3)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        for _ in range(2):
            wire.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            said = b""
            while not said.endswith(b"\r\n\r\n{}"):
                said += wire.recv(65536) or pytest.fail(f"closed after {said!r}")
            assert said.startswith(b"HTTP/1.1 200 ")
