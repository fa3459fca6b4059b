"""The shim, run by uvicorn on loopback, asked by the official client of OpenAI."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time

import httpx
import openai
import pytest

from scillm import Kernel, Secret, UnsupportedParamsError
from scillm_mini_agent.echo import EchoModel
from scillm_mini_agent.server import Shim, app_of, shim_of_environment
from scillm_serving import Rules

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "age": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}


@pytest.fixture
def serve():
    """Run an app on a free port of loopback; return its address."""
    import uvicorn

    with contextlib.ExitStack() as stack:

        def start(shim, **rules):
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(app_of(shim, Rules(**rules)), log_config=None)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
            thread.start()

            def stop():
                server.should_exit = True
                thread.join(20)

            stack.callback(stop)
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

        yield start


@pytest.fixture
def client():
    """Make the official client for an address."""
    with contextlib.ExitStack() as stack:

        def make(base, key="none"):
            made = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30)
            return stack.enter_context(made)

        yield make


@pytest.fixture
def echo(serve, client):
    """The official client of a shim in echo mode."""
    return client(serve(Shim(Kernel.of(EchoModel()), {"e": "mini-agent-echo/e"}, 0.0)))


@pytest.fixture
def shim(scripted, serve):
    """Serve a model that follows a script, as ``m``."""

    def start(*turns, **rules):
        return serve(Shim(scripted(*turns), {"m": "scripted/m"}, 0.0), **rules)

    start.says, start.calls = scripted.says, scripted.calls
    return start


def said(client, text="ping", **more):
    """Ask the echo."""
    return client.chat.completions.create(
        model="e", messages=[{"role": "user", "content": text}], **more
    )


def test_the_echo_says_back_with_a_usage(echo):
    """The same each time."""
    first, second = said(echo, "ping pong"), said(echo, "ping pong")
    assert first.choices[0].message.content == "ping pong"
    assert (first.choices[0].finish_reason, first.usage.total_tokens) == ("stop", 4)
    assert first.choices == second.choices
    assert first.id == second.id != said(echo, "other").id


def test_the_echo_streams_word_by_word(echo):
    """The pieces are the whole."""
    pieces = [c.choices[0].delta.content for c in said(echo, "one two three", stream=True)]
    assert [p for p in pieces if p] == ["one", " two", " three"]


def test_the_echo_answers_in_json(echo):
    """An object, as it was said or around it."""
    wished = {"type": "json_object"}
    assert said(echo, '{"ok": true}', response_format=wished).choices[0].message.content == (
        '{"ok": true}'
    )
    text = said(echo, "ping", response_format=wished).choices[0].message.content
    told = json.loads(text)
    assert (told["echo"], told["rationale_short"]) == ("ping", "echo: nothing was judged")


def test_the_echo_answers_by_a_schema(echo):
    """An example that fits it."""
    wished = {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}
    text = said(echo, "x", response_format=wished).choices[0].message.content
    assert json.loads(text) == {"name": "xx", "age": 1, "tags": ["a"]}


def test_the_echo_keeps_stops_and_lengths(echo):
    """And says that it was cut."""
    assert said(echo, "one END two", stop=["END"]).choices[0].message.content == "one "
    cut = said(echo, "one two three", max_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one two", "length")


def test_the_echo_calls_a_tool_that_has_to_be_called(echo):
    """With arguments that fit; its result can be sent back."""
    tool = {"type": "function", "function": {"name": "t", "parameters": SCHEMA}}
    choice = said(echo, tools=[tool], tool_choice="required").choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, call.function.name) == ("tool_calls", "t")
    assert json.loads(call.function.arguments)["age"] == 1
    back = echo.chat.completions.create(
        model="e",
        messages=[
            {"role": "user", "content": "go"},
            choice.message.to_dict(),
            {"role": "tool", "tool_call_id": call.id, "content": "done"},
        ],
    )
    assert back.choices[0].message.content == "done"


def test_models_are_listed_and_others_are_404(echo):
    """In OpenAI's shape, which its client knows."""
    assert [model.id for model in echo.models.list()] == ["e"]
    assert echo.models.retrieve("e").id == "e"
    with pytest.raises(openai.NotFoundError) as info:
        echo.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    assert info.value.code == "model_not_found"


def test_a_token_is_wanted_if_one_is_set(shim, client):
    """Health is open."""
    base = shim(shim.says("hi"), token=Secret("tok-1"))
    with pytest.raises(openai.AuthenticationError):
        client(base).models.list()
    assert client(base, "tok-1").models.list().data[0].id == "m"
    assert httpx.get(f"{base}/healthz").json()["ok"] is True


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_an_answer_and_its_usage_are_the_models(shim, path):
    """With and without a version in the path."""
    base = shim(shim.says("hi"))
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.5}
    answer = httpx.post(base + path, json=body).json()
    assert answer["choices"][0]["message"]["content"] == "hi"
    assert answer["usage"]["total_tokens"] == 15


def test_what_a_client_sends_reaches_the_model(serve, scripted):
    """Parameter by parameter."""
    kernel = scripted(scripted.says("hi"))
    base = serve(Shim(kernel, {"m": "scripted/m"}, 0.0))
    sent = {
        "temperature": 0.5,
        "seed": 3,
        "stop": ["x"],
        "max_tokens": 9,
        "reasoning": {"effort": "high"},
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "t"}}],
    }
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], **sent}
    assert httpx.post(f"{base}/chat/completions", json=asked).status_code == 200
    body = kernel.scripted.asked[0]
    assert {name: body[name] for name in sent} == sent


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_model_that_cannot_reason_answers_and_says_so(serve, scripted, is_stream):
    """A client that asks for an effort gets an answer, and the note of what was left out."""

    def refuses(body):
        return UnsupportedParamsError("this model does not take 'reasoning'")

    kernel = scripted(refuses, scripted.says("hi"))
    base = serve(Shim(kernel, {"m": "scripted/m"}, 0.0))
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "reasoning": {"effort": "high"},
        "stream": is_stream,
    }

    answer = httpx.post(f"{base}/v1/chat/completions", json=asked)

    assert answer.status_code == 200
    assert '"left_out":["reasoning"]' in answer.text.replace(" ", "")
    assert "reasoning" not in kernel.scripted.asked[1]


def test_a_run_is_answered_by_the_contracts_names(shim):
    """With the tool that was called last; ok is what happened."""
    base = shim(shim.calls(("compress_runs", {"s": "aab"})), shim.says("a2b1"))
    asked = {"model": "m", "messages": [{"role": "user", "content": "pack"}], "use_tools": True}

    told = httpx.post(f"{base}/agent/run", json=asked).json()

    assert (told["ok"], told["final_answer"], told["stopped_reason"]) == (True, "a2b1", "success")
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert set(told["metrics"]) == {"iterations", "ttotal_ms", "escalated", "used_model"}
    assert told["metrics"]["iterations"] == 2
    assert told["last_tool_invocation"]["tool_name"] == "compress_runs"


def test_a_run_without_an_answer_is_not_ok(shim):
    """The model only calls tools."""
    base = shim(shim.calls(("compress_runs", {"s": "a"})))
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], "use_tools": True}
    told = httpx.post(f"{base}/agent/run", json={**asked, "max_iterations": 1}).json()
    assert (told["ok"], told["final_answer"], told["stopped_reason"]) == (
        *(False, None),
        "max_iterations",
    )


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"tool_backend": "http"}, 400, "tool_http_base_url required for tool_backend=http"),
        ({"model": "nope"}, 404, "does not exist"),
        ({"messages": "x"}, 422, "messages"),
        ({"messages": []}, 400, "messages is empty"),
        ({"max_iterations": 0}, 400, "at least 1"),
        ({"max_total_seconds": -1}, 400, "greater than 0"),
        ({"auto_run_code_on_code_block": True}, 400, "no sandbox"),
        ({"tool_backend": "mcp"}, 400, "needs servers"),
    ],
)
def test_a_run_that_cannot_be_is_refused_with_the_reason(shim, more, status, words):
    """In OpenAI's shape."""
    base = shim(shim.says("hi"))
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], **more}
    answer = httpx.post(f"{base}/agent/run", json=asked)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (status, True)


def test_a_backend_that_is_unknown_asks_once(shim):
    """As the contract has it."""
    base = shim(shim.says("hi"))
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], "use_tools": True}
    told = httpx.post(f"{base}/agent/run", json={**asked, "tool_backend": "none"}).json()
    assert (told["final_answer"], told["metrics"]["iterations"]) == ("hi", 1)


def test_readiness_tells_no_value(shim, monkeypatch):
    """Names that are set, and nothing of what they hold."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1")
    base = shim(shim.says("hi"))
    ready, health = httpx.get(f"{base}/ready"), httpx.get(f"{base}/healthz")
    assert ready.json()["hints"]["OPENAI_API_KEY"] is True
    assert "sk-secret-1" not in ready.text + health.text
    assert health.json()["port"] == int(base.rpartition(":")[2])
    assert set(health.json()) == {"ok", "host", "port", "started_at", "delay_ms", "hints"}


@pytest.mark.parametrize(
    "variable", ["MINI_AGENT_OPENAI_SHIM_MODE=echo", "MINI_AGENT_OPENAI_ECHO=1"]
)
def test_the_environment_chooses_the_echo(monkeypatch, variable):
    """By either name; its list says what it is."""
    monkeypatch.setenv(*variable.split("="))
    monkeypatch.setenv("MINI_AGENT_OPENAI_SHIM_REPLY", "pong")
    shim = shim_of_environment()
    answer = asyncio.run(
        shim.chat(model="mini-agent-echo", messages=[{"role": "user", "content": "ping"}])
    )
    assert answer.text == "pong"


def test_the_environment_names_models(monkeypatch):
    """An id alone, or a name for one."""
    monkeypatch.setenv("SCILLM_MINI_AGENT_SHIM_MODELS", "openai/m, gpt-5=openai/gpt-5-mini")
    shim = shim_of_environment()
    assert shim.models == {"openai/m": "openai/m", "gpt-5": "openai/gpt-5-mini"}


def test_uvicorn_runs_it_by_its_name(monkeypatch):
    """``uvicorn scillm_mini_agent.server:app``; nothing is made at the import."""
    code = (
        "import scillm_mini_agent.server as s; assert 'app' not in vars(s); "
        "print(type(s.app).__name__)"
    )
    monkeypatch.setenv("MINI_AGENT_OPENAI_ECHO", "1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Starlette"


def test_its_document_describes_every_route(shim):
    """For tools that read OpenAPI."""
    paths = httpx.get(f"{shim(shim.says('hi'))}/openapi.json").json()["paths"]
    assert {"/ready", "/healthz", "/v1/models", "/v1/chat/completions", "/agent/run"} <= set(paths)


def test_no_made_up_request_ends_in_a_500(serve, tmp_path):
    """Schemathesis follows the document of the shim, and breaks it."""
    base = serve(Shim(Kernel.of(EchoModel()), {"e": "mini-agent-echo/e"}, 0.0))
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("run", f"{base}/openapi.json", "--checks", "not_a_server_error"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--no-color"),
            *("--generation-database", "none", "--seed", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,  # it leaves folders behind
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hundred_chats_at_once_lose_none(serve):
    """Each gets its own answer."""
    base = serve(Shim(Kernel.of(EchoModel()), {"e": "mini-agent-echo/e"}, 0.0))

    async def main():
        async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none") as client:
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="e", messages=[{"role": "user", "content": f"n{n}"}]
                    )
                    for n in range(100)
                )
            )
            return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(main()) == [f"n{n}" for n in range(100)]
