"""Traces: a line for each run, without secrets; and the command that shows one."""

import json
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from scillm import ServiceUnavailableError
from scillm_mini_agent import AgentConfig, FunctionTools, run_mcp_mini_agent
from scillm_mini_agent.commands import mini_agent
from scillm_mini_agent.traces import without_secrets

ASK = [{"role": "user", "content": "how many?"}]


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file in a folder that is not there yet, and traces switched on."""
    path = tmp_path / "made/for/it/traces.jsonl"
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(path))
    return path


def look(what: str) -> str:
    """Look something up."""
    return f"{what}: sk-live0123456789abcdef"


def run(kernel, messages=ASK):
    """Run the agent with one tool."""
    config = AgentConfig(model="scripted/m", use_tools=True)
    return run_mcp_mini_agent(messages, FunctionTools(look), config, kernel=kernel)


def test_each_run_leaves_a_line(scripted, path):
    """With what the contract names, and what it ended in."""
    for _ in range(2):
        run(scripted(scripted.calls(("look", {"what": "bolts"})), scripted.says("x" * 300)))

    first, _second = map(json.loads, path.read_text().splitlines())
    assert (first["ok"], first["stopped_reason"]) == (True, "success")
    assert first["final_answer_preview"] == "x" * 200
    assert first["metrics"]["iterations"] == 2
    assert first["last_tool_invocation"]["tool_name"] == "look"
    assert first["trace"]["request_class"] == {"tools": True, "auto_code": False, "images": False}
    turn = first["trace"]["iterations"][0]
    assert turn["router_call_ms"] >= 0
    assert turn["tool_invocations"][0]["arguments"] == {"what": "bolts"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_not_in_it(scripted, path, monkeypatch):
    """Neither what looks like one, nor what is set as one."""
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", '{"X-Team": "my-own-word"}')
    asked = [{"role": "user", "content": "my-own-word, password=hunter22, at http://u:pw@h/"}]

    run(scripted(scripted.calls(("look", {"what": "bolts"})), scripted.says("ok")), asked)

    text = path.read_text()
    for secret in ("sk-live", "my-own-word", "hunter22", "u:pw"):
        assert secret not in text


def test_images_are_told(scripted, path):
    """A picture among the parts of a message."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    run(scripted(scripted.says("a dot")), [{"role": "user", "content": [image]}])
    assert json.loads(path.read_text())["trace"]["request_class"]["images"] is True


def test_a_run_that_fails_leaves_a_line_too(scripted, path):
    """It says that it failed."""
    with pytest.raises(ServiceUnavailableError):
        run(scripted(ServiceUnavailableError("down")))
    told = json.loads(path.read_text())
    assert (told["ok"], told["stopped_reason"]) == (False, "error")
    assert "down" in told["stopped_detail"]


def test_nothing_is_kept_unless_asked_for(scripted, tmp_path, monkeypatch):
    """The path alone keeps nothing; the switch alone is warned of."""
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(tmp_path / "t"))
    run(scripted(scripted.says("ok")))
    assert not (tmp_path / "t").exists()
    monkeypatch.delenv("MINI_AGENT_STORE_PATH")
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    with pytest.warns(RuntimeWarning, match="no trace is kept"):
        run(scripted(scripted.says("ok")))


def test_a_file_that_cannot_be_written_takes_no_answer_away(scripted, tmp_path, monkeypatch):
    """It is warned of."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "1")
    monkeypatch.setenv("MINI_AGENT_STORE_PATH", str(tmp_path / "file/below"))
    with pytest.warns(RuntimeWarning, match="no trace was kept"):
        assert run(scripted(scripted.says("ok"))).final_answer == "ok"


def test_lines_of_several_processes_stay_whole(tmp_path):
    """Long lines, written at the same time."""
    code = (
        "import sys; from scillm_mini_agent.traces import append\n"
        "for _ in range(50): append(sys.argv[1], {'mark': int(sys.argv[2]), 'long': 'x' * 20_000})"
    )
    path = str(tmp_path / "t.jsonl")
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(mark)]) for mark in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    assert len(lines) == 150
    assert sorted({json.loads(line)["mark"] for line in lines}) == [0, 1, 2]


@pytest.mark.parametrize(
    "told",
    [
        {"api_key": "abc"},
        {"headers": {"Authorization": "Bearer abcdefgh"}},
        {"text": "Authorization: Bearer abcdefghij"},
        {"text": "sk-proj-0123456789abcdef"},
        {"text": '{"api_key": "abcdefgh"}'},
        {"text": "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln"},
    ],
)
def test_what_looks_like_a_secret_is_starred(told):
    """By the name of its field, or by itself."""
    cleaned = json.dumps(without_secrets(told))
    assert "***" in cleaned
    assert "abc" not in cleaned
    assert "0123" not in cleaned


def test_tokens_that_are_counts_stay():
    """Usage is no secret."""
    usage = {"total_tokens": 3, "text": "used 3 tokens of them"}
    assert without_secrets(usage) == usage


def test_the_command_shows_a_run(scripted, path):
    """What was asked, each turn with its calls, the answer."""
    run(scripted(scripted.calls(("look", {"what": "bolts"})), scripted.says("12")))

    done = CliRunner().invoke(mini_agent, ["trace", str(path)])

    assert done.exit_code == 0
    assert "asked: how many?" in done.output
    assert 'look({"what": "bolts"})' in done.output
    assert "ok, " in done.output
    assert done.output.splitlines()[-1] == "answer: 12"


def test_the_command_lists_runs_and_says_what_it_cannot_show(scripted, path):
    """A line for each; a number that there is not is an error."""
    for _ in range(2):
        run(scripted(scripted.says("12")))

    listed = CliRunner().invoke(mini_agent, ["trace", str(path), "--list"])
    wrong = CliRunner().invoke(mini_agent, ["trace", str(path), "--run", "3"])

    assert len(listed.output.splitlines()) == 2
    assert (wrong.exit_code, "holds 2 runs, and no run 3" in wrong.output) == (1, True)
