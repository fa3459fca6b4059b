import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from scillm_serving.commands import serve as command

HERE = Path(__file__).parent
_RUN = (
    "import sys, things_app; from scillm_serving.commands import _run; "
    "from scillm_serving import Rules; "
    "_run('t', things_app.SERVER, Rules(), (sys.argv[1], None), 'info')"
)


@pytest.fixture
def process():
    """Start a server in a process; its address is read from its log."""
    started = []

    def start(*command):
        env = {**os.environ, "PYTHONPATH": str(HERE), "SCILLM_DOTENV": "0"}
        made = subprocess.Popen(
            [sys.executable, *command], env=env, stderr=subprocess.PIPE, text=True
        )
        started.append(made)
        said = ""
        for line in made.stderr:
            said += line
            if found := re.search(r"http://[\d.]+:\d+", line):
                return made, found[0], said
        raise AssertionError(said)

    yield start
    for made in started:
        made.kill()
        made.wait()
        made.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [("-c", _RUN, "127.0.0.1"), ("-m", "uvicorn", "things_app:app", "--port", "0")],
    ids=["scillm serve", "plain uvicorn"],
)
def test_sigterm_during_a_stream_lets_it_end(process, arguments):
    """All of the stream arrives, and then the process is gone."""
    server, base, _ = process(*arguments)
    lines = []
    with httpx.stream("GET", f"{base}/ticks", timeout=20) as answer:
        stream = answer.iter_lines()
        lines.append(next(stream))
        server.send_signal(signal.SIGTERM)
        lines += stream
    assert lines[-2:] == ["data: [DONE]", ""]
    assert server.wait(20) in (0, -signal.SIGTERM)


def test_a_server_that_all_may_reach_without_a_token_is_warned_of(process):
    """It starts all the same: a container's port is published by somebody else."""
    _, _, said = process("-c", _RUN, "0.0.0.0")
    assert "listening at 0.0.0.0 without a token" in said


def test_an_unknown_server_is_told_the_known_ones():
    """Wrong usage."""
    done = CliRunner().invoke(command, ["no-such-server"])
    assert done.exit_code == 2
    assert "no server 'no-such-server' is installed" in done.output


def test_without_a_name_the_servers_are_listed():
    """Whatever is installed."""
    assert CliRunner().invoke(command, []).exit_code == 0
