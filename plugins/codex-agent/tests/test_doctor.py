"""``scillm codex doctor``: what it prints, and how it ends."""

import pytest
from click.testing import CliRunner

from scillm_codex_agent.commands import codex
from scillm_codex_agent.doctor import OTHER_BASE, bases, examine


def run(*arguments):
    """Run it in this process."""
    return CliRunner().invoke(codex, ["doctor", *arguments])


def test_all_is_well(agent):
    """Lines of key and value; the last one says so."""
    done = run()
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"base: {agent.base}",
        "health: ok",
        "models: ok (1: gpt-5)",
        "model: gpt-5",
        "chat: ok ('pong')",
        "judge: ok (best_id B)",
        "doctor: ok",
    ]


def test_nobody_there_ends_with_2(monkeypatch):
    """With every address that was tried, and what to start."""
    monkeypatch.setenv("CODEX_AGENT_API_BASE", "http://127.0.0.1:1")
    done = run()
    assert done.exit_code == 2
    assert "http://127.0.0.1:1" in done.stdout
    assert "set CODEX_AGENT_API_BASE" in done.stdout
    assert done.stdout.splitlines()[-1] == "doctor: failed"


def test_an_agent_that_is_not_healthy_ends_with_2(agent):
    """Its status is told."""
    agent.health = 503
    done = run("--base", agent.base + "/v1")
    assert (done.exit_code, "/healthz answers 503" in done.stdout) == (2, True)


def test_an_agent_that_wants_a_key_gets_it(agent, monkeypatch):
    """From the first look on; without one that is told."""
    agent.key = "sk-agent"
    done = run()
    assert (done.exit_code, "/healthz answers 401" in done.stdout) == (2, True)
    assert "CODEX_AGENT_API_KEY" in done.stdout
    monkeypatch.setenv("CODEX_AGENT_API_KEY", "sk-agent")
    assert run().stdout.splitlines()[-1] == "doctor: ok"


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "/v1/models lists"), (502, "backend"), (401, "CODEX_AGENT_API_KEY")]
)
def test_no_answer_ends_with_3_and_a_hint(agent, status, hint):
    """The usual causes are named."""
    agent.statuses["gpt-5"] = status
    done = run()
    assert done.exit_code == 3
    assert "chat: failed" in done.stdout
    assert hint in done.stdout
    assert "judge" not in done.stdout


def test_no_model_ends_with_3(agent):
    """There is nobody to ask."""
    agent.models = []
    done = run()
    assert done.exit_code == 3
    assert "the agent lists none" in done.stdout


@pytest.mark.parametrize("said", ["shim ok", '{"best_id": "C"}', "[]", '{"best_id": 1}'])
def test_a_judge_without_a_verdict_ends_with_4(agent, said):
    """Status 200 is not enough."""
    agent.judge = said
    done = run("--model", "other")
    assert done.exit_code == 4
    assert "judge: failed" in done.stdout
    assert {asked["model"] for asked in agent.asked} == {"other"}


def test_without_an_address_both_usual_ports_are_looked_at(monkeypatch):
    """The sidecar's own, and the one that older pages name."""
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    monkeypatch.delenv("CODEX_AGENT_API_BASE", raising=False)
    assert bases(None) == ["http://127.0.0.1:8077", OTHER_BASE]
    assert bases("http://127.0.0.1:9/v1/") == ["http://127.0.0.1:9"]


def test_the_first_healthy_address_is_examined(agent):
    """The other is no error."""
    first = next(iter(examine(["http://127.0.0.1:1", agent.base])))
    assert (first.key, first.said) == ("base", agent.base)
