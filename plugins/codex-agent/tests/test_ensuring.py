import os
import socket
import subprocess
import sys

import pytest

import scillm
from scillm import settings
from scillm_codex_agent import doctor


@pytest.fixture
def nobody(monkeypatch):
    """No agent is named, and none is at the usual ports."""
    monkeypatch.setenv("CODEX_AGENT_API_BASE", "x")  # so that it is put back in the end
    monkeypatch.delenv("CODEX_AGENT_API_BASE")
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    settings.dotenv.cache_clear()
    monkeypatch.setattr(doctor, "OTHER_BASE", "http://127.0.0.1:1")
    monkeypatch.setattr("scillm_codex_agent.ensuring.bases", _bases)
    yield
    settings.dotenv.cache_clear()


def _bases(given):
    found = doctor.bases(given)
    return [each.replace(":8077", ":2") for each in found]


def test_an_agent_that_is_named_and_well_is_taken(agent, monkeypatch):
    """By argument or variable; the variable names it from then on, without /v1."""
    from scillm.extras import ensure_codex_agent

    assert ensure_codex_agent() == agent.base
    monkeypatch.setenv("CODEX_AGENT_API_BASE", "http://127.0.0.1:1")
    assert ensure_codex_agent(f"{agent.base}/v1/") == agent.base
    assert os.environ["CODEX_AGENT_API_BASE"] == agent.base


@pytest.mark.parametrize("start", [None, True])
def test_an_agent_that_is_named_and_not_there_is_replaced_by_no_other(agent, monkeypatch, start):
    """Neither by a sidecar nor by a gateway, whatever else is set."""
    from scillm.extras import ensure_codex_agent

    monkeypatch.setenv("OPENAI_BASE_URL", agent.base)
    monkeypatch.setenv("SCILLM_AUTOGEN_FALLBACK_BASE", agent.base)
    with pytest.raises(RuntimeError, match="No working codex-agent .*127.0.0.1:1.*is named"):
        ensure_codex_agent("http://127.0.0.1:1", start=start)
    assert agent.asked == []


@pytest.mark.usefixtures("nobody")
def test_nothing_is_started_unless_told_to():
    """The error says what to run."""
    from scillm.extras import ensure_codex_agent

    with pytest.raises(scillm.APIConnectionError, match="scillm serve codex-sidecar"):
        ensure_codex_agent()
    assert "CODEX_AGENT_API_BASE" not in os.environ


def test_a_sidecar_is_started_if_told_to_and_ends_with_the_program(tmp_path):
    """By the variable; in echo mode it answers without a key."""
    script = tmp_path / "program.py"
    script.write_text(
        "from scillm_codex_agent import ensuring\n"
        "ensuring.bases = lambda given: ['http://127.0.0.1:1']\n"
        "from scillm.extras import ensure_codex_agent\n"
        "from scillm.extras.codex import chat\n"
        "base = ensure_codex_agent(wait_s=60)\n"
        "said = chat([{'role': 'user', 'content': 'hi'}])\n"
        "print(base, said['choices'][0]['message']['content'])\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCILLM_", "CODEX_"))}
    done = subprocess.run(
        [sys.executable, script],
        env={**kept, "SCILLM_DOTENV": "0", "SCILLM_CODEX_AUTOSTART": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    base, _, said = done.stdout.strip().partition(" ")
    assert said == "shim ok"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(base.rpartition(":")[2])))


@pytest.mark.parametrize("switches", [(), ("ENABLE",), ("EXPERIMENTAL",)])
def test_codex_cloud_wants_two_switches(monkeypatch, switches):
    """One alone is not enough; the error says what to use instead."""
    from scillm.extras import codex_cloud

    for name in switches:
        monkeypatch.setenv(f"SCILLM_{name}_CODEX_CLOUD", "1")
    with pytest.raises(RuntimeError, match="SCILLM_EXPERIMENTAL_CODEX_CLOUD=1"):
        codex_cloud.generate  # noqa: B018  # the look alone is refused


def test_codex_cloud_has_nothing_even_with_both(monkeypatch):
    """And says so."""
    from scillm.extras import codex_cloud

    monkeypatch.setenv("SCILLM_ENABLE_CODEX_CLOUD", "1")
    monkeypatch.setenv("SCILLM_EXPERIMENTAL_CODEX_CLOUD", "1")
    with pytest.raises(AttributeError, match="no helper"):
        codex_cloud.generate  # noqa: B018  # the same
