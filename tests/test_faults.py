"""Every fault through every door: what comes out, after how many requests, and what is said.

A fault is an option of the endpoint; a door is a way to call. What can be mended by asking
again is mended; what cannot is a typed error, at once; a stream that had begun is not begun
again; and a Router goes to its next deployment.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading

import pytest
from attrs import frozen

import scillm
from pytest_scillm.endpoint import TEXT
from scillm import Router

ASK = [{"role": "user", "content": "hi"}]
DOORS = ("sync", "async", "stream", "router", "parallel")


@frozen
class Fault:
    """One fault, and what is expected of a call without fallback.

    Args:
        options: of the endpoint.
        error: the class of the error, "" if the call is answered.
        requests: how many requests the endpoint sees.
        in_stream: the class of the error where the fault comes within a stream.
        is_routable: whether a Router goes on to its next deployment.
    """

    options: str
    error: str = ""
    requests: int = 2
    in_stream: str = ""
    is_routable: bool = True


FAULTS = {
    "429 with Retry-After": Fault("s429.ok-ram30"),
    "429 without Retry-After": Fault("s429.ok"),
    "503": Fault("s503.ok"),
    "500 that says capacity": Fault("scapacity.ok"),
    "401, then fine with x-api-key": Fault("xkey"),
    "404": Fault("404", "NotFoundError", 1),
    "422": Fault("422", "UnprocessableEntityError", 1, is_routable=False),
    "400": Fault("400", "BadRequestError", 1, is_routable=False),
    "timeout": Fault("shang.ok"),
    "dropped before headers": Fault("sdrop.ok"),
    "dropped mid-body": Fault("strunc.ok"),
    "dropped mid-stream": Fault("smid.ok", in_stream="APIConnectionError"),
    "malformed JSON": Fault("sbad.ok"),
    "HTML error page": Fault("shtml.ok"),
    "gateway's HTML page": Fault("sgateway.ok"),
    "empty choices": Fault("sempty.ok", in_stream="InvalidResponse"),
    "429 for ever": Fault("429", "RateLimitError", 3),
    "503 for ever": Fault("503", "ServiceUnavailableError", 3),
    "malformed for ever": Fault("bad", "InvalidResponse", 3),
    "a wait longer than the budget": Fault("429-ra150", "RateLimitError", 1),
}


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setenv("SCILLM_RETRY_META", "1")
    monkeypatch.setenv("SCILLM_RETRY_TIME_BUDGET_S", "20")
    yield
    scillm.close()


def _where(base):
    return {"custom_llm_provider": "openai_like", "api_base": base, "api_key": "sk-mock"}


def _router(bases, patience):
    deployments = [{"model": "m", "order": order, **_where(b)} for order, b in enumerate(bases)]
    return Router(
        model_list=[{"model_name": "g", "litellm_params": params} for params in deployments],
        num_retries=patience["max_retries"],
        retry_after=patience["retry_after"],
        timeout=patience["timeout"],
        cooldown_time=0.01,
    )


async def _streamed(arguments):
    stream = await scillm.acompletion("m", ASK, stream=True, **arguments)
    async with stream:
        text = "".join([chunk.text async for chunk in stream])
    assert text == stream.response.text
    return stream.response


def _through(door, base, second, **patience):
    """Ask through *door*; returns the answer or raises what came."""
    patience = {"max_retries": 2, "retry_after": 0.01, "timeout": 1.5, **patience}
    arguments = {**_where(base), **patience}
    if door == "sync":
        return scillm.completion("m", ASK, **arguments)
    if door == "async":
        return asyncio.run(scillm.acompletion("m", ASK, **arguments))
    if door == "stream":
        return asyncio.run(_streamed(arguments))
    if door == "router":
        return asyncio.run(_router([base, second], patience).acompletion("g", ASK))
    requests = [{"model": "g", "messages": ASK}]
    slots = asyncio.run(_router([base], patience).parallel_acompletions(requests, concurrency=2))
    if slots[0].error is not None:
        raise slots[0].error
    assert slots[0].content == slots[0]["choices"][0]["message"]["content"]
    return slots[0].response


def _complete(response):
    """The answer itself, if it is the endpoint's, to its end; a stream's is shorter."""
    assert len(response.text) > 100
    assert TEXT.startswith(response.text)
    assert response.choices[0].finish_reason == "stop"
    return response


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_through_every_door(endpoint, name, door):
    """Mended where it can be, typed where it cannot, and no request too many."""
    fault = FAULTS[name]
    base = endpoint.url(f"{fault.options}-id{door}{abs(hash(name))}")
    second = endpoint.url(f"id2{door}{abs(hash(name))}")
    error = fault.in_stream if door == "stream" and fault.in_stream else fault.error
    if door == "router" and fault.is_routable and fault.options != "xkey":
        response = _complete(_through(door, base, second))
        assert response.served_by.base_url == second
        assert len(endpoint.requests_to(base)) == 1
        attempted = response.additional_kwargs["router"]["attempted"]
        assert len(attempted) == 1
    elif error:
        with pytest.raises(getattr(scillm, error)) as info:
            _through(door, base, second)
        expected = 1 if door == "stream" and fault.in_stream else fault.requests
        assert len(endpoint.requests_to(base)) == expected
        assert "sk-mock" not in repr(info.value)
        if fault.in_stream:
            assert TEXT.startswith(info.value.partial.text)
    else:
        response = _complete(_through(door, base, second))
        assert len(endpoint.requests_to(base)) == fault.requests
        if fault.options != "xkey":
            assert response.additional_kwargs["router"]["retries"]["attempts"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_is_killed_and_restarted_is_waited_for(door):
    """Connections from before the crash are not used, and the call arrives."""
    port = _free_port()
    base = f"http://127.0.0.1:{port}/v1"
    server = _served(port)
    back = threading.Timer(0.7, lambda: servers.append(_served(port)))
    servers = [server]
    try:
        _complete(_through(door, base, base, retry_after=0.5, max_retries=20))
        server.kill()
        server.wait()
        back.start()
        _complete(_through(door, base, base, retry_after=0.5, max_retries=20))
    finally:
        back.join()
        for one in servers:
            one.kill()
            one.wait()


def _served(port):
    """Start an endpoint in a process of its own, and wait until it answers."""
    command = [sys.executable, "-m", "pytest_scillm.endpoint", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("READY")
    process.stdout.close()
    return process


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
