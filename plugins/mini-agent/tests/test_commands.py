"""``scillm mini-agent verify`` and ``mcp``, as programs."""

import asyncio
import socket
import sys

import mcp
from click.testing import CliRunner

from scillm_mini_agent.commands import mini_agent

CODE = """
import sys, time
from scillm import api, Kernel
from scillm_mini_agent.echo import EchoModel
from scillm_mini_agent.commands import mini_agent
api._kernel = Kernel.of(EchoModel())
mini_agent(["mcp", "--model", "mini-agent-echo/e"])
"""


def test_verify_starts_one_of_its_own_and_asks_it():
    """Each line is well."""
    done = CliRunner().invoke(mini_agent, ["verify", "--local", "--port", "0"])
    assert done.output.splitlines() == [
        "[ok] /ready: well",
        "[ok] /v1/models: well",
        "[ok] /agent/run: ping",
    ]
    assert done.exit_code == 0


def test_verify_says_what_to_do_where_there_is_none():
    """It exits with 2."""
    done = CliRunner().invoke(mini_agent, ["verify", "--base", "http://127.0.0.1:9"])
    assert (done.exit_code, "`scillm serve mini-agent` starts one" in done.output) == (2, True)
    assert done.output.startswith("[fail] /ready")


def test_verify_says_that_a_port_is_taken():
    """Instead of asking whoever listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(mini_agent, ["verify", "--local", "--port", port])
    assert (done.exit_code, "give another --port" in done.output) == (1, True)


def test_the_agent_is_an_mcp_server():
    """One tool, which runs it; over standard input and output, by the official client."""

    async def main():
        parameters = mcp.StdioServerParameters(command=sys.executable, args=["-c", CODE])
        async with mcp.Client(parameters) as client:
            listed = await client.list_tools()
            result = await client.call_tool("run_agent", {"question": "hello agent"})
            return [told.name for told in listed.tools], result.content[0].text

    assert asyncio.run(main()) == (["run_agent"], "hello agent")
