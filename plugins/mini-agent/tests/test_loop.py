"""The loop, with a model that follows a script and tools that are real functions."""

import asyncio
import json
import threading
import time

import pytest

from scillm import BadRequestError, RateLimitError
from scillm_mini_agent import (
    AgentConfig,
    EchoMCP,
    FunctionTools,
    IterationRecord,
    LocalMCPInvoker,
    MCPInvoker,
    Several,
    ToolOutput,
    arun_mcp_mini_agent,
    run_mcp_mini_agent,
    tool,
)

ASK = [{"role": "user", "content": "how many?"}]


def run(kernel, tools=None, messages=ASK, **config):
    """Run the agent with the scripted model."""
    config = AgentConfig(model="scripted/m", **{"use_tools": tools is not None, **config})
    return run_mcp_mini_agent(messages, tools, config, kernel=kernel)


def results(body):
    """Return the results of tools that the model was sent."""
    return [m["content"] for m in body["messages"] if m["role"] == "tool"]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_the_model_sees_the_result_of_its_tool_and_answers(scripted):
    """The result goes back under the call's id, and the answer is what the model then said."""
    kernel = scripted(scripted.calls(("add", {"a": 2, "b": 3})), scripted.says("five"))

    result = run(kernel, FunctionTools(add))

    assert (result.ok, result.final_answer, result.stopped_reason) == (True, "five", "success")
    first, second = kernel.scripted.asked
    assert first["tools"][0]["function"]["name"] == "add"
    assert second["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c0",
        "name": "add",
        "content": "5",
    }
    assert second["messages"][-2]["tool_calls"][0]["id"] == "c0"
    assert [m["role"] for m in result.messages] == ["user", "assistant", "tool", "assistant"]
    assert ASK == [{"role": "user", "content": "how many?"}]


def test_every_turn_and_call_is_recorded(scripted):
    """By the names that the contract has."""
    kernel = scripted(
        scripted.calls(("add", {"a": 2, "b": 3}), text="let me see"), scripted.says("five")
    )

    result = run(kernel, FunctionTools(add))

    (call,) = result.iterations[0].tool_invocations
    assert set(call) == {
        *("call_index", "tool_name", "name", "tool_call_id", "arguments_raw", "arguments"),
        *("t_ms", "model", "ok", "rc", "result", "stdout", "stderr", "error"),
    }
    assert (call["ok"], call["result"], call["arguments"]) == (True, "5", {"a": 2, "b": 3})
    assert call["model"] == "scripted/m"
    assert result.iterations[0].content == "let me see"
    assert result.metrics["iterations"] == 2
    assert result.usage == {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    assert result.parsed_tools[0]["iteration"] == 0
    assert IterationRecord().tool_invocations == []


def test_without_use_tools_nothing_is_offered(scripted):
    """The default asks once."""
    kernel = scripted(scripted.says("hi"))

    result = run(kernel, FunctionTools(add), use_tools=False)

    assert result.final_answer == "hi"
    assert "tools" not in kernel.scripted.asked[0]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (("add", {"a": "x", "b": 3}), "do not fit the tool's schema: at ['a']"),
        (("add", {"a": 1, "b": 3, "c": 0}), "do not fit the tool's schema"),
        (("add", "{"), "are not JSON"),
        (("add", "[1]"), "must be one JSON object"),
        (("rm", {}), "there is no tool 'rm'; there are: add"),
    ],
)
def test_a_wrong_call_is_told_to_the_model_which_corrects_it(scripted, wanted, told):
    """Nothing is called; the error says what is wrong, and the run goes on."""
    kernel = scripted(
        scripted.calls(wanted), scripted.calls(("add", {"a": 1, "b": 3})), scripted.says("four")
    )

    result = run(kernel, FunctionTools(add))

    assert told in results(kernel.scripted.asked[1])[0]
    assert (result.final_answer, result.iterations[0].tool_invocations[0]["ok"]) == ("four", False)


def test_a_schema_that_refers_elsewhere_is_not_fetched(scripted):
    """A tool host cannot make us ask an address."""
    remote = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s.json"}}}
    nosy = tool(parameters=remote)(lambda a: a)
    nosy.__name__ = "nosy"
    kernel = scripted(scripted.calls(("<lambda>", {"a": 1})), scripted.says("so be it"))

    run(kernel, FunctionTools(nosy))

    assert "not fetched" in results(kernel.scripted.asked[1])[0]


def test_what_a_tool_raises_is_told_to_the_model(scripted):
    """With the kind of the error."""

    def breaks(a: int) -> int:
        raise KeyError("gone")

    kernel = scripted(scripted.calls(("breaks", {"a": 1})), scripted.says("it broke"))

    result = run(kernel, FunctionTools(breaks))

    assert "KeyError: 'gone'" in results(kernel.scripted.asked[1])[0]
    assert result.iterations[0].tool_invocations[0]["error"] == "KeyError: 'gone'"


def test_without_repair_a_failed_tool_ends_the_run(scripted):
    """The reason says which."""
    kernel = scripted(scripted.calls(("add", {"a": "x", "b": 1})))

    result = run(kernel, FunctionTools(add), enable_repair=False)

    assert (result.stopped_reason, result.final_answer, result.ok) == ("tool_error", None, False)


def test_a_sync_tool_that_hangs_does_not_hang_the_run(scripted):
    """Its time is told to the model as a result."""
    release = threading.Event()

    def hangs(a: int) -> int:
        release.wait()
        return a

    kernel = scripted(scripted.calls(("hangs", {"a": 1})), scripted.says("it hangs"))
    try:
        result = run(kernel, FunctionTools(hangs), tool_timeout_sec=0.05)
    finally:
        release.set()

    assert "no result within 0.05 s" in results(kernel.scripted.asked[1])[0]
    assert result.final_answer == "it hangs"


def test_calls_run_side_by_side_and_results_keep_their_order(scripted):
    """Each of two waits for the other, so that neither ends if they are made in turn."""
    here, there = threading.Event(), threading.Event()

    def one() -> str:
        """Ends second."""
        here.set()
        assert there.wait(30)
        return "first"

    def two() -> str:
        """Ends first."""
        assert here.wait(30)
        there.set()
        return "second"

    kernel = scripted(scripted.calls(("one", {}), ("two", {})), scripted.says("done"))

    run(kernel, FunctionTools(one, two), tool_concurrency=2, tool_timeout_sec=60)

    assert results(kernel.scripted.asked[1]) == ["first", "second"]


def test_calls_beyond_the_bound_are_told_so(scripted):
    """They get a result, as every call must."""
    kernel = scripted(
        scripted.calls(*[("add", {"a": n, "b": 0}) for n in range(3)]), scripted.says("ok")
    )

    run(kernel, FunctionTools(add), max_tools_per_iter=2)

    shown = results(kernel.scripted.asked[1])
    assert shown[:2] == ["0", "1"]
    assert "at most 2 tool calls" in shown[2]


def test_a_long_result_is_cut_and_marked(scripted):
    """The model is told how much there was."""

    def much() -> str:
        return "x" * 1000

    kernel = scripted(scripted.calls(("much", {})), scripted.says("ok"))

    run(kernel, FunctionTools(much), max_tool_output_chars=10)

    assert results(kernel.scripted.asked[1]) == [
        "xxxxxxxxxx\n[cut: the first 10 of 1000 characters]"
    ]


def test_only_allowed_tools_are_offered_and_called(scripted):
    """Another one, though it exists, is refused."""
    kernel = scripted(scripted.calls(("echo", {"text": "x"})), scripted.says("no"))

    result = run(kernel, Several(EchoMCP(), FunctionTools(add)), allowed_tools=("add",))

    assert [t["function"]["name"] for t in kernel.scripted.asked[0]["tools"]] == ["add"]
    assert "there is no tool 'echo'" in result.iterations[0].tool_invocations[0]["error"]


def test_an_allowed_tool_that_is_not_there_is_an_error(scripted):
    """A misspelt name would otherwise deny in silence."""
    with pytest.raises(BadRequestError, match="allowed_tools names 'ad'"):
        run(scripted(), FunctionTools(add), allowed_tools=("ad",))


def test_turns_are_bounded(scripted):
    """The run says so, and has no answer."""
    kernel = scripted(*[scripted.calls(("add", {"a": n, "b": 0})) for n in range(3)])

    result = run(kernel, FunctionTools(add))

    assert (result.stopped_reason, result.final_answer) == ("max_iterations", None)
    assert len(result.iterations) == 3


def test_tokens_are_bounded(scripted):
    """The turn that passes the bound is the last."""
    kernel = scripted(
        scripted.calls(("add", {"a": 1, "b": 0})), scripted.calls(("add", {"a": 2, "b": 0}))
    )

    result = run(kernel, FunctionTools(add), max_iterations=9, max_total_tokens=30)

    assert (result.stopped_reason, len(result.iterations)) == ("budget", 2)
    assert result.stopped_detail == "the run used 30 of 30 tokens"


def test_cost_is_bounded(scripted):
    """Where answers tell it."""
    kernel = scripted(scripted.calls(("add", {"a": 1, "b": 0}), cost=0.5))

    result = run(kernel, FunctionTools(add), max_iterations=9, max_cost_usd=0.25)

    assert (result.stopped_reason, result.cost_usd) == ("budget", 0.5)


def test_the_time_of_a_run_ends_within_a_call_of_the_model(scripted):
    """A model that never answers does not keep it."""
    kernel = scripted(lambda body: asyncio.get_running_loop().create_future())

    result = run(kernel, max_total_seconds=0.05)

    assert (result.stopped_reason, result.final_answer) == ("budget", None)
    assert "0.05 s" in result.iterations[0].error


def test_the_time_of_a_run_ends_within_a_tool(scripted):
    """And the conversation stays one that a host would take: the call has a result."""

    class Hangs(EchoMCP):
        async def call_openai_tool(self, openai_tool):
            await asyncio.get_running_loop().create_future()

    kernel = scripted(scripted.calls(("echo", {"text": "x"})))

    result = run(kernel, Hangs(), max_total_seconds=0.2, max_iterations=9)

    assert result.stopped_reason == "budget"
    assert result.messages[-1]["role"] == "tool"


def test_an_escalation_answers_from_what_was_found(scripted):
    """Another model, without tools; the result says that it happened."""
    kernel = scripted(scripted.calls(("add", {"a": 2, "b": 3})), scripted.says("about five"))

    result = run(
        kernel,
        FunctionTools(add),
        max_iterations=1,
        escalate_on_budget_exceeded=True,
        escalate_model="scripted/big",
    )

    assert (result.final_answer, result.stopped_reason) == ("about five", "success")
    assert (result.is_escalated, result.used_model) == (True, "scripted/big")
    asked = kernel.scripted.asked[1]
    assert (asked["model"], "tools" in asked, results(asked)) == ("big", False, ["5"])


def test_no_escalation_is_told_where_none_happened(scripted):
    """An answer in time is the model's own."""
    result = run(
        scripted(scripted.says("x")),
        escalate_on_budget_exceeded=True,
        escalate_model="scripted/big",
    )
    assert result.metrics["escalated"] is False
    assert result.used_model == "scripted/m"


def test_a_repeated_call_is_refused_and_then_ends_the_run(scripted):
    """The model is told once before."""
    made = []

    def look() -> str:
        made.append(1)
        return "nothing"

    kernel = scripted(*[scripted.calls(("look", {})) for _ in range(9)])

    result = run(kernel, FunctionTools(look), max_iterations=9, max_identical_calls=2)

    assert (result.stopped_reason, len(made), len(result.iterations)) == ("repeated_calls", 2, 4)
    assert "made 2 times already" in results(kernel.scripted.asked[3])[2]


def test_an_answer_that_is_unsure_is_sent_back_if_wished(scripted):
    """Once, and only where there is a tool to look it up with."""
    kernel = scripted(
        scripted.says("I am not sure."),
        scripted.calls(("add", {"a": 2, "b": 3})),
        scripted.says("five"),
    )

    result = run(kernel, FunctionTools(add), research_on_unsure=True)

    assert result.final_answer == "five"
    assert "Look it up" in kernel.scripted.asked[1]["messages"][-1]["content"]


def test_a_model_that_says_nothing_is_no_success(scripted):
    """Nothing is put in its place."""
    result = run(scripted(scripted.says("")))
    assert (result.ok, result.stopped_reason, result.final_answer) == (False, "no_answer", None)


def test_an_error_of_the_model_carries_what_was_done(scripted):
    """The tools that ran have run."""
    kernel = scripted(scripted.calls(("add", {"a": 1, "b": 1})), RateLimitError("slow down"))

    with pytest.raises(RateLimitError) as info:
        run(kernel, FunctionTools(add))

    assert info.value.agent_result.parsed_tools[0]["result"] == "2"


def test_a_run_can_be_cancelled_within_a_tool(scripted):
    """What it waits for is cancelled, and the source of tools is closed."""
    seen = []

    class Slow(EchoMCP):
        async def call_openai_tool(self, openai_tool):
            seen.append("begun")
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def __aexit__(self, *exc_info):
            seen.append("closed")

    begun = asyncio.Event()

    async def main():
        kernel = scripted(scripted.calls(("echo", {"text": "x"})))
        config = AgentConfig(model="scripted/m", use_tools=True)
        task = asyncio.ensure_future(arun_mcp_mini_agent(ASK, Slow(), config, kernel=kernel))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert sorted(seen) == ["begun", "cancelled", "closed"]


def test_it_runs_within_a_running_loop(scripted):
    """As in a notebook."""
    kernel = scripted(scripted.says("hi"))

    async def main():
        return run(kernel)

    assert asyncio.run(main()).final_answer == "hi"


def test_what_is_left_out_of_a_long_conversation_is_counted(scripted):
    """The system's words and the question are always sent, calls never without results."""
    messages = [{"role": "system", "content": "be brief"}]
    messages += [{"role": "user", "content": f"old {n} " + "x" * 100} for n in range(20)]
    messages += [{"role": "user", "content": "now"}]
    kernel = scripted(scripted.says("ok"))

    result = run(kernel, messages=messages, hard_char_budget=500)

    sent = kernel.scripted.asked[0]["messages"]
    assert (sent[0]["content"], sent[-1]["content"]) == ("be brief", "now")
    assert result.iterations[0].left_out_messages == 22 - len(sent) > 0


def test_code_is_refused_with_the_reason(scripted):
    """There is no sandbox, so there is no code."""
    with pytest.raises(BadRequestError, match="no sandbox"):
        run(scripted(), auto_run_code_on_code_block=True)
    kernel = scripted(scripted.calls(("exec_python", {"code": "1"})), scripted.says("no"))
    run(kernel, LocalMCPInvoker())
    assert "there is no tool 'exec_python'" in results(kernel.scripted.asked[1])[0]
    called = {"function": {"name": "exec_python", "arguments": "{}"}}
    output = asyncio.run(LocalMCPInvoker().call_openai_tool(called))
    assert "no sandbox" in output.error


def test_the_built_in_tools_do_what_they_say(scripted):
    """Echo is echo: nothing is found, nothing is cited."""
    wanted = [("research_echo", {"query": "q"}), ("compress_runs", {"s": "aaab"})]
    kernel = scripted(scripted.calls(*wanted), scripted.says("ok"))

    run(kernel, LocalMCPInvoker())

    echoed, packed = map(json.loads, results(kernel.scripted.asked[1]))
    assert (echoed["answer"], echoed["citations"]) == ("q", [])
    assert packed["result"] == "a3b1"


def test_what_an_invoker_tells_of_a_process_is_recorded(scripted):
    """Exit code and output; zero stays zero."""

    class Runs(MCPInvoker):
        async def list_openai_tools(self):
            return [{"type": "function", "function": {"name": "go", "parameters": {}}}]

        async def call_openai_tool(self, openai_tool):
            return {"ok": True, "name": "go", "rc": 0, "stdout": "out", "stderr": "err"}

    result = run(scripted(scripted.calls(("go", {})), scripted.says("ok")), Runs())

    call = result.iterations[0].tool_invocations[0]
    assert (call["rc"], call["stdout"], call["stderr"], call["ok"]) == (0, "out", "err", True)


def test_two_sources_with_a_tool_of_one_name_are_refused(scripted):
    """Nobody could say which is meant."""
    with pytest.raises(BadRequestError, match="two sources have a tool 'echo'"):
        run(scripted(), Several(EchoMCP(), EchoMCP()))


def test_the_words_of_a_run_come_as_they_are_said(scripted):
    """Every turn's, apart from one another."""
    said = []
    kernel = scripted(
        scripted.calls(("add", {"a": 1, "b": 1}), text="let me see"), scripted.says("two")
    )
    config = AgentConfig(model="scripted/m", use_tools=True)

    run_mcp_mini_agent(ASK, FunctionTools(add), config, kernel=kernel, say=said.append)

    assert "".join(said) == "let me see\n\ntwo"


def test_a_tool_output_of_ones_own_is_taken_as_it_is(scripted):
    """Text that looks like JSON with ok is not read a second time."""

    def told() -> ToolOutput:
        return ToolOutput(text='{"ok": false}')

    result = run(scripted(scripted.calls(("told", {})), scripted.says("ok")), FunctionTools(told))

    assert result.iterations[0].tool_invocations[0]["ok"] is True


def test_no_messages_are_refused(scripted):
    """Before anybody is asked."""
    with pytest.raises(BadRequestError, match="messages is empty"):
        run(scripted(), messages=[])


def test_the_clock_is_not_asked_where_there_is_no_bound(scripted):
    """A run without bounds has a time all the same."""
    begun = time.monotonic()
    result = run(scripted(scripted.says("x")))
    assert 0 <= result.total_ms <= (time.monotonic() - begun) * 1000


def test_calls_of_one_id_keep_their_own_results(scripted):
    """Some hosts give the same id twice."""
    turn = scripted.calls(("add", {"a": 1, "b": 0}), ("add", {"a": 2, "b": 0}))
    for call in turn["message"]["tool_calls"]:
        call["id"] = "same"
    kernel = scripted(turn, scripted.says("ok"))

    run(kernel, FunctionTools(add))

    assert results(kernel.scripted.asked[1]) == ["1", "2"]
