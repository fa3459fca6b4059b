"""Real MCP servers, started by the tests: one over standard input and output, one over HTTP."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from scillm import BadRequestError
from scillm_mini_agent import AgentConfig, McpServers, arun_mcp_mini_agent, run_mcp_mini_agent

STOCK = """
    import os, sys, time
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("stock")

    @server.tool()
    def stock(item: str) -> str:
        "How many there are of an item."
        return {"bolt": "12", "key": os.environ.get("OPENAI_API_KEY", "no key")}[item]

    @server.tool()
    def die() -> str:
        "Ends the server."
        os._exit(3)

    @server.tool()
    def hang(path: str) -> str:
        "Never returns."
        open(path, "w").write(str(os.getpid()))
        time.sleep(600)

    server.run("stdio")
"""
PRICES = """
    import socket, sys
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("prices")

    @server.tool()
    def price(item: str) -> dict[str, float]:
        "What an item costs."
        return {"usd": {"bolt": 0.25}[item]}

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    app = server.streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
"""
ASK = [{"role": "user", "content": "What are all bolts worth?"}]


@pytest.fixture
def stock(tmp_path):
    """The configuration of a server that is started by the agent."""
    script = tmp_path / "stock.py"
    script.write_text(textwrap.dedent(STOCK))
    return {"command": sys.executable, "args": [str(script)], "tools": ["stock", "die", "hang"]}


@pytest.fixture
def prices_server(tmp_path):
    """A server that runs already: its process and its configuration."""
    script = tmp_path / "prices.py"
    script.write_text(textwrap.dedent(PRICES))
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    port = process.stdout.readline().strip()
    yield process, {"url": f"http://127.0.0.1:{port}/mcp", "tools": ["*"]}
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def prices(prices_server):
    """Its configuration alone."""
    return prices_server[1]


def run(kernel, servers, **config):
    """Run the agent with these servers."""
    config = AgentConfig(
        model="scripted/m", **{"use_tools": True, "tool_timeout_sec": 60, **config}
    )
    return run_mcp_mini_agent(ASK, McpServers(servers), config, kernel=kernel)


def results(body):
    """Return the results of tools that the model was sent."""
    return [m["content"] for m in body["messages"] if m["role"] == "tool"]


def test_two_servers_answer_a_question_that_needs_both(scripted, stock, prices):
    """The model multiplies what the two told it; the script does, from what it was sent."""

    def multiplies(body):
        count, price = results(body)
        return scripted.says(f"{int(count) * json.loads(price)['usd']:.2f} USD")

    kernel = scripted(
        scripted.calls(("stock", {"item": "bolt"}), ("price", {"item": "bolt"})), multiplies
    )

    result = run(kernel, {"mcpServers": {"stock": stock, "prices": prices}}, tool_concurrency=2)

    assert (result.final_answer, result.stopped_reason) == ("3.00 USD", "success")
    offered = {t["function"]["name"] for t in kernel.scripted.asked[0]["tools"]}
    assert offered == {"stock", "die", "hang", "price"}


def test_a_server_that_dies_within_a_call_is_an_error_that_the_model_sees(scripted, stock):
    """At once, not when the time is over; the next call is told that it is gone."""
    kernel = scripted(
        scripted.calls(("die", {})),
        scripted.calls(("stock", {"item": "bolt"})),
        scripted.says("it died"),
    )

    result = run(kernel, {"stock": stock}, tool_timeout_sec=300)

    died, gone = results(kernel.scripted.asked[2])
    assert "the MCP server 'stock' failed" in died
    assert "the MCP server 'stock' failed" in gone
    assert result.final_answer == "it died"


def test_a_server_that_is_killed_within_a_call_is_an_error_that_the_model_sees(
    scripted, stock, tmp_path
):
    """The test kills it while the tool runs."""
    told = tmp_path / "pid"
    kernel = scripted(scripted.calls(("hang", {"path": str(told)})), scripted.says("it was killed"))
    config = AgentConfig(model="scripted/m", use_tools=True, tool_timeout_sec=300)

    async def main():
        work = arun_mcp_mini_agent(ASK, McpServers({"stock": stock}), config, kernel=kernel)
        running = asyncio.ensure_future(work)
        while not (told.exists() and told.read_text()):
            assert not running.done()
            await asyncio.sleep(0.01)
        os.kill(int(told.read_text()), signal.SIGKILL)
        return await running

    result = asyncio.run(main())

    assert "failed" in results(kernel.scripted.asked[1])[0]
    assert result.iterations[0].tool_invocations[0]["ok"] is False


def test_an_http_server_that_is_gone_is_an_error_that_the_model_sees(
    scripted, prices_server, stock
):
    """The other server goes on."""
    process, prices = prices_server
    servers = McpServers({"stock": stock, "prices": prices})

    def breaks(body):
        process.kill()
        process.wait()
        return scripted.calls(("price", {"item": "bolt"}), ("stock", {"item": "bolt"}))

    kernel = scripted(breaks, scripted.says("no price"))
    config = AgentConfig(model="scripted/m", use_tools=True, tool_timeout_sec=20)

    run_mcp_mini_agent(ASK, servers, config, kernel=kernel)

    price, stocked = results(kernel.scripted.asked[1])
    assert '"ok": false' in price
    assert stocked == "12"


def test_a_tool_that_fails_is_told_with_its_reason(scripted, stock):
    """What the server says of it."""
    kernel = scripted(scripted.calls(("stock", {"item": "nut"})), scripted.says("none"))

    result = run(kernel, {"stock": stock})

    call = result.iterations[0].tool_invocations[0]
    assert (call["ok"], "stock" in call["error"]) == (False, True)


def test_a_server_inherits_no_key(scripted, stock, monkeypatch):
    """Keys in our environment are not the server's business."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    kernel = scripted(scripted.calls(("stock", {"item": "key"})), scripted.says("ok"))

    run(kernel, {"stock": stock})

    assert results(kernel.scripted.asked[1]) == ["no key"]


def test_only_listed_tools_are_offered(scripted, stock):
    """One that is not listed cannot be called either."""
    kernel = scripted(scripted.calls(("die", {})), scripted.says("ok"))

    run(kernel, {"stock": {**stock, "tools": ["stock"]}})

    assert [t["function"]["name"] for t in kernel.scripted.asked[0]["tools"]] == ["stock"]
    assert "there is no tool 'die'" in results(kernel.scripted.asked[1])[0]


def test_a_hanging_server_does_not_hang_the_run(scripted, stock, tmp_path):
    """Nor its end."""
    kernel = scripted(
        scripted.calls(("hang", {"path": str(tmp_path / "pid")})), scripted.says("late")
    )

    result = run(kernel, {"stock": stock}, tool_timeout_sec=2)

    assert "no result within 2 s" in results(kernel.scripted.asked[1])[0]
    assert result.final_answer == "late"


def test_servers_last_for_several_runs_if_wished(scripted, stock):
    """One process answers both."""

    async def main():
        async with McpServers({"stock": stock}) as servers:
            process = servers._servers
            for _ in range(2):
                kernel = scripted(scripted.calls(("stock", {"item": "bolt"})), scripted.says("ok"))
                config = AgentConfig(model="scripted/m", use_tools=True, tool_timeout_sec=60)
                await arun_mcp_mini_agent(ASK, servers, config, kernel=kernel)
                assert results(kernel.scripted.asked[1]) == ["12"]
            assert servers._servers is process

    asyncio.run(main())


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"a": {"command": "x"}}, "lists no tools"),
        ({"a": {"tools": ["*"]}}, 'needs either a "command" or a "url"'),
        ({"a": {"command": "x", "tools": [], "arg": 1}}, "has 'arg'"),
        ({"a": 3}, "must be an object"),
        ("nowhere.json", "cannot be read"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_why(config, told):
    """Before anything is started."""
    with pytest.raises(BadRequestError, match=re.escape(told)):
        McpServers(config)


def test_a_configuration_is_read_from_a_file(tmp_path, stock):
    """In the shape that other programs use."""
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"stock": stock}}))
    assert [plan.name for plan in McpServers(path)._plans] == ["stock"]


def test_a_server_that_does_not_start_says_what_it_wrote(scripted):
    """And not what is secret in its variables."""
    code = "import os, sys; sys.exit('no luck with ' + os.environ['MY_TOKEN'])"
    broken = {
        "command": sys.executable,
        "args": ["-c", code],
        "env": {"MY_TOKEN": "tok-12345678"},
        "tools": ["*"],
    }
    with pytest.raises(BadRequestError, match="'broken' cannot be used.*no luck") as info:
        run(scripted(), {"broken": broken})
    assert "tok-12345678" not in str(info.value)


def test_an_allowed_tool_that_a_server_lacks_is_an_error(scripted, stock):
    """With those that it has."""
    with pytest.raises(BadRequestError, match="has no tool 'sell'; it has: die, hang, stock"):
        run(scripted(), {"stock": {**stock, "tools": ["sell"]}})


def test_a_server_that_never_gets_ready_does_not_hang_the_run(scripted):
    """It is an error that says how long was waited."""
    silent = {"command": sys.executable, "args": ["-c", "import time; time.sleep(600)"]}
    servers = McpServers({"silent": {**silent, "tools": ["*"]}}, start_s=0.5)
    config = AgentConfig(model="scripted/m", use_tools=True)
    with pytest.raises(BadRequestError, match=r"'silent' is not ready after 0\.5 s"):
        run_mcp_mini_agent(ASK, servers, config, kernel=scripted())


def test_the_time_of_a_run_ends_while_a_server_starts(scripted):
    """The run has no answer, and says why."""
    silent = {"command": sys.executable, "args": ["-c", "import time; time.sleep(600)"]}
    result = run(scripted(), {"silent": {**silent, "tools": ["*"]}}, max_total_seconds=0.5)
    assert (result.stopped_reason, result.final_answer) == ("budget", None)


def test_two_runs_share_servers_that_are_just_starting(scripted, stock):
    """Neither calls a server before it is ready."""

    async def main():
        servers = McpServers({"stock": stock})
        config = AgentConfig(model="scripted/m", use_tools=True, tool_timeout_sec=60)
        kernels = [
            scripted(scripted.calls(("stock", {"item": "bolt"})), scripted.says("ok"))
            for _ in range(2)
        ]
        await asyncio.gather(
            *(arun_mcp_mini_agent(ASK, servers, config, kernel=kernel) for kernel in kernels)
        )
        return [results(kernel.scripted.asked[1]) for kernel in kernels]

    assert asyncio.run(main()) == [["12"], ["12"]]
