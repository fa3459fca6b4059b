import json
import os
import stat

import pytest
from click.testing import CliRunner

from scillm_codex_sidecar.commands import codex_sidecar


@pytest.fixture
def run():
    """Run the command."""
    return lambda *arguments: CliRunner().invoke(codex_sidecar, arguments)


@pytest.fixture
def docker(monkeypatch, tmp_path):
    """A docker that writes down what it is told, and ends with the code that a test sets."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\nexit ${{DOCKER_CODE:-0}}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "told"


def test_auth_shows_the_login_masked(run, sidecar, monkeypatch, tmp_path):
    """As JSON; 0 if there is one, 1 if not."""
    sidecar()
    none = run("auth")
    assert (none.exit_code, json.loads(none.output)["ok"]) == (1, False)
    assert "codex login" in none.output
    (tmp_path / "auth.json").write_text('{"OPENAI_API_KEY": "sk-very-secret"}')
    found = run("auth")
    assert (found.exit_code, json.loads(found.output)["ok"]) == (0, True)
    assert "secret" not in found.output


def test_auth_looks_into_a_container(run, docker, monkeypatch):
    """With the code of what ran there."""
    assert run("auth", "--container", "litellm-codex-agent").exit_code == 0
    assert docker.read_text() == "exec litellm-codex-agent scillm codex-sidecar auth\n"
    monkeypatch.setenv("DOCKER_CODE", "1")
    assert run("auth", "--container", "x").exit_code == 1


def test_verify_says_ok_for_each_step(run, sidecar):
    """The mini-agent's steps are the same, here by a second sidecar."""
    one, other = sidecar(), sidecar()
    done = run("verify", "--base", f"{one.base}/v1", "--mini-base", other.base)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        f"[ok] {name} {what}"
        for name in ("codex-sidecar", "mini-agent")
        for what in ("/healthz", "/v1/models", "chat")
    ]


def test_verify_fails_if_either_is_away(run, sidecar, monkeypatch):
    """The variable names the sidecar; the mini-agent counts unless it is left out."""
    monkeypatch.setenv("CODEX_AGENT_API_BASE", sidecar().base)
    away = run("verify", "--mini-base", "http://127.0.0.1:1")
    assert away.exit_code == 2
    assert "[fail] mini-agent at http://127.0.0.1:1: nobody answers" in away.output
    assert run("verify", "--without-mini").exit_code == 0


@pytest.mark.parametrize(("option", "said"), [("s500", "answers 500"), ("bad", "Expecting")])
def test_verify_says_what_is_wrong(run, endpoint, option, said):
    """A status, or an answer that is none; this endpoint has no /healthz, which is the first."""
    done = run("verify", "--without-mini", "--base", endpoint.url(option))
    assert done.exit_code == 2
    assert "[fail]" in done.output
    assert "404" in done.output or said in done.output


def test_verify_starts_containers_only_if_told_to(run, sidecar, docker, monkeypatch):
    """And ends if docker does not."""
    base = sidecar().base
    assert run("verify", "--without-mini", "--base", base).exit_code == 0
    assert not docker.exists()
    assert run("verify", "--without-mini", "--base", base, "--start").exit_code == 0
    assert docker.read_text().startswith("compose -f local/docker/compose.agents.yml up")
    monkeypatch.setenv("DOCKER_CODE", "1")
    assert run("verify", "--without-mini", "--base", base, "--start").exit_code == 1
