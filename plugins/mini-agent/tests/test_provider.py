"""The agent behind completion()."""

import asyncio
import json
import sys

import pytest

from pytest_scillm import ProviderConformance
from scillm import BadRequestError, Kernel, RateLimitError, UnsupportedParamsError
from scillm_mini_agent.provider import MiniAgent
from scillm_retry import Retry

ASK = [{"role": "user", "content": "how many?"}]


class TestMiniAgent(ProviderConformance):
    """The target's key and messages are handed on, as every provider does."""

    plugin, model = MiniAgent, "mini-agent/openai/m"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def agent(scripted):
    """Make a kernel with the provider, whose model follows a script."""
    kernels = []

    def make(*turns):
        inner = scripted(*turns)
        kernel = Kernel.of(MiniAgent(lambda: inner))
        kernel.scripted = inner.scripted
        kernels.append(kernel)
        return kernel

    make.says, make.calls = scripted.says, scripted.calls
    yield make
    for kernel in kernels:
        kernel.close()


def test_the_prefix_names_the_model_that_is_asked(agent):
    """The answer has OpenAI's shape; the record lies beside it."""
    kernel = agent(agent.calls(("add", {"a": 2, "b": 3})), agent.says("five"))

    answer = kernel.completion("mini-agent/scripted/m", ASK, agent_tools=[add])

    assert (answer.text, answer.choices[0].finish_reason) == ("five", "success")
    assert (answer.model, answer.usage.total_tokens) == ("scripted/m", 30)
    notes = answer.additional_kwargs["mini_agent"]
    assert (notes["iterations"], notes["stopped_reason"]) == (2, "success")
    assert [m["role"] for m in notes["conversation"]] == ["user", "assistant", "tool", "assistant"]
    (call,) = notes["parsed_tools"]
    assert (call["iteration"], call["index"], call["tool_name"], call["result"]) == (
        *(0, 0),
        *("add", "5"),
    )


@pytest.mark.parametrize("name", ["target_model", "mini_agent_model", "mini_agent_target"])
def test_the_target_is_named_apart(agent, name):
    """By any of the three names."""
    kernel = agent(agent.says("hi"))

    answer = kernel.completion(
        "mini-agent", ASK, custom_llm_provider="mini-agent", **{name: "scripted/x"}
    )

    assert (answer.text, kernel.scripted.asked[0]["model"]) == ("hi", "x")


@pytest.mark.parametrize(
    "variable", ["SCILLM_DEFAULT_CHUTES_MODEL", "SCILLM_DEFAULT_CODE_MODEL", "SCILLM_DEFAULT_MODEL"]
)
def test_the_target_is_named_by_the_environment(agent, monkeypatch, variable):
    """If the call names none."""
    monkeypatch.setenv(variable, "scripted/x")
    kernel = agent(agent.says("hi"))
    assert kernel.completion("mini-agent", ASK, custom_llm_provider="mini-agent").text == "hi"


def test_no_target_is_refused(agent):
    """With what to write."""
    with pytest.raises(BadRequestError, match="asks another model, and none is named"):
        agent().completion("mini-agent", ASK, custom_llm_provider="mini-agent")


def test_parameters_go_to_the_model(agent):
    """Each turn has them."""
    kernel = agent(agent.says("hi"))

    kernel.completion("mini-agent/scripted/m", ASK, temperature=0.5, stop=["x"], seed=3)

    asked = kernel.scripted.asked[0]
    assert (asked["temperature"], asked["stop"], asked["seed"]) == (0.5, ["x"], 3)


def test_without_an_answer_the_content_tells_how_far_it_came(agent):
    """As JSON; the finish reason is why it ended."""
    kernel = agent(agent.calls(("add", {"a": 1, "b": 1})))

    answer = kernel.completion("mini-agent/scripted/m", ASK, agent_tools=add, max_iterations=1)

    assert json.loads(answer.text) == {"iterations": 1, "stopped_reason": "max_iterations"}
    assert answer.choices[0].finish_reason == "max_iterations"


def test_the_built_in_tools_are_there_by_default(agent):
    """And none with the backend none."""
    kernel = agent(agent.says("hi"), agent.says("hi"))

    kernel.completion("mini-agent/scripted/m", ASK)
    kernel.completion("mini-agent/scripted/m", ASK, tool_backend="none")

    first, second = kernel.scripted.asked
    names = {t["function"]["name"] for t in first["tools"]}
    assert (names, "tools" in second) == ({"research_echo", "compress_runs"}, False)


def test_an_answer_is_streamed(agent):
    """The last chunk has the end and the record; the whole is as of a call without stream."""
    kernel = agent(agent.calls(("add", {"a": 2, "b": 3})), agent.says("five of them"))

    stream = kernel.completion("mini-agent/scripted/m", ASK, agent_tools=[add], stream=True)
    pieces = [chunk.text for chunk in stream if chunk.text]

    assert "".join(pieces) == "five of them" == stream.response.text
    assert stream.response.choices[0].finish_reason == "success"
    assert stream.response.usage.total_tokens == 30
    assert stream.response.additional_kwargs["mini_agent"]["parsed_tools"][0]["result"] == "5"


def test_a_stream_that_is_left_ends_the_run(agent):
    """The model is not asked a second time."""
    kernel = agent(
        agent.calls(("add", {"a": 2, "b": 3}), text="let me see"),
        lambda body: asyncio.get_running_loop().create_future(),
    )
    stream = kernel.completion("mini-agent/scripted/m", ASK, agent_tools=[add], stream=True)
    assert next(iter(stream)).text == "let me see"
    stream.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tool_backend": "docker", "docker_container": "c"}, "docker' is refused.*no sandbox"),
        ({"allowed_languages": ["python"]}, "allowed_languages is refused.*no sandbox"),
        ({"tool_backend": "http"}, "tool_http_base_url required"),
        ({"tool_backend": "mcp"}, "needs servers"),
        ({"tool_backend": "htp"}, "no tool_backend 'htp'"),
        ({"agent_tools": [3]}, "must be Python functions"),
    ],
)
def test_what_there_is_not_is_refused_with_the_reason(agent, options, told):
    """Nothing is left out in silence."""
    with pytest.raises(BadRequestError, match=told):
        agent().completion("mini-agent/scripted/m", ASK, **options)


@pytest.mark.parametrize("param", [{"tools": []}, {"tool_choice": "auto"}, {"n": 2}])
def test_what_an_agent_cannot_do_is_refused_by_name(agent, param):
    """It calls its own tools, and answers once."""
    with pytest.raises(UnsupportedParamsError, match=next(iter(param))):
        agent().completion("mini-agent/scripted/m", ASK, **param)


def test_an_error_before_any_tool_is_the_models_own(agent):
    """So that a strategy may try again."""
    with pytest.raises(RateLimitError) as info:
        agent(RateLimitError("slow")).completion("mini-agent/scripted/m", ASK)
    assert info.value.failure.is_transient


def test_an_error_after_a_tool_is_not_repeated(agent):
    """A retry would call the tool twice."""
    kernel = agent(agent.calls(("add", {"a": 1, "b": 1})), RateLimitError("slow"))
    with pytest.raises(RateLimitError, match="the run is not repeated") as info:
        kernel.completion("mini-agent/scripted/m", ASK, agent_tools=[add])
    assert not info.value.failure.is_transient


def test_a_retry_does_not_call_a_tool_twice(scripted, monkeypatch):
    """By the plugin that repeats calls: the run stands, the tool was called once."""
    monkeypatch.setenv("SCILLM_MAX_RETRIES", "3")
    called = []

    def pay() -> str:
        called.append(1)
        return "paid"

    inner = scripted(scripted.calls(("pay", {})), RateLimitError("slow"))
    with (
        Kernel.of(MiniAgent(lambda: inner), Retry) as kernel,
        pytest.raises(RateLimitError, match="the run is not repeated"),
    ):
        kernel.completion("mini-agent/scripted/m", ASK, agent_tools=[pay])

    assert (len(called), len(inner.scripted.asked)) == (1, 2)


def test_a_budget_of_tokens_is_an_argument(agent):
    """And a model to escalate to."""
    kernel = agent(agent.calls(("add", {"a": 1, "b": 1})), agent.says("two"))

    answer = kernel.completion(
        "mini-agent/scripted/m",
        ASK,
        agent_tools=[add],
        max_total_tokens=10,
        escalate_model="scripted/big",
    )

    assert (answer.text, answer.additional_kwargs["mini_agent"]["escalated"]) == ("two", True)


def test_secrets_of_servers_are_not_in_the_request(agent):
    """Whoever looks at a request, or keeps it, sees their names alone."""
    from scillm import doors

    servers = {"s": {"command": sys.executable, "env": {"K": "tok-123456"}, "tools": ["*"]}}
    kernel = agent()
    call = doors.chat(kernel.plugins, "mini-agent/scripted/m", ASK, mcp_servers=servers)
    hook = kernel.plugins.manager.hook
    request = hook.prepare_request(call=call, route=hook.resolve_model(call=call))
    assert request.body["mini_agent"]["mcp_servers"] == ["s"]
    assert b"tok-123456" not in request.encode()
