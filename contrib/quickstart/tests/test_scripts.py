"""The scripts, run as older pages write them, from their folder, against servers on loopback."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]
SCRIPTS = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in FOLDER.glob("*/*.py")
    if "tests" not in str(path)
)
PROGRAMS = json.dumps({"variants": [{"title": "t", "code": f"return {n}"} for n in range(6)]})


class Server(BaseHTTPRequestHandler):
    """An agent and a gateway: lists two models, writes programs, judges, answers with JSON."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        models = {"object": "list", "data": [{"id": "v/One-70B"}, {"id": "v/Two-72B"}]}
        bodies = {"/healthz": {"ok": True}, "/v1/models": models}
        self._reply(200 if self.path in bodies else 404, bodies.get(self.path, {}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = json.dumps(body["messages"])
        said = '{"ok": true}'
        if "You write programs" in asked:
            said = PROGRAMS
        elif "best_id" in asked:
            said = '{"best_id": "variant_3", "rationale_short": "short"}'
            said = said if "variant_3" in asked else said.replace("variant_3", "B")
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "model": body["model"]}
        self._reply(200, {**answer, "choices": [choice]})

    def _reply(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def base():
    """The address of such a server, without /v1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def shell(base):
    """Run a line of shell in the folder, with these variables and none of ours."""

    def run(line, **variables):
        kept = {k: v for k, v in os.environ.items() if not re.match("SCILLM_|LITELLM_|CHUTES_", k)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        ours = {
            "PATH": path,
            "SCILLM_DOTENV": "0",
            "SCILLM_MAX_RETRIES": "0",
            "CHUTES_API_BASE": base,
            "CHUTES_API_KEY": "cpk-secret-1",
            "CODEX_AGENT_API_BASE": base,
        }
        return subprocess.run(
            ["sh", "-c", line],
            cwd=FOLDER,
            env={**kept, **ours, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_peers_as_written(shell):
    """Lines for .env and a Router; the key is nowhere."""
    done = shell(
        "python scripts/chutes_auto_peers.py --kind text --verify "
        '--base "$CHUTES_API_BASE" --key "$CHUTES_API_KEY"'
    )
    assert (done.returncode, "cpk-secret" in done.stdout + done.stderr) == (0, False)
    lines = done.stdout.splitlines()
    assert "CHUTES_TEXT_MODEL=v/Two-72B" in lines
    assert "CHUTES_TEXT_MODEL_ALT1=v/One-70B" in lines
    assert "from scillm import Router" in lines


def test_peers_that_see_as_written(shell):
    """Of which this gateway has none."""
    done = shell(
        "python scripts/chutes_auto_peers.py --kind vlm --verify "
        '--base "$CHUTES_API_BASE" --key "$CHUTES_API_KEY"'
    )
    assert (done.returncode, "lists no model for 'vlm'" in done.stderr) == (3, True)


def test_the_host_doctor_as_written(shell, base):
    """One line of JSON; --base stands for the chute's own host, which loopback has not."""
    done = shell(
        "PYTHONPATH=src:. CHUTES_API_KEY=k python scripts/chutes_host_doctor.py "
        f"--slug my-chute --model v/One-70B --base {base}"
    )
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["overall_ok"] is True
    assert set(told) >= {"readiness", "single", "batch"}


def test_the_agents_doctor_as_written(shell):
    """The last line says so."""
    done = shell("python debug/codex_agent_doctor.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "doctor: ok")
    done = shell("python debug/codex_agent_doctor.py", CODEX_AGENT_API_BASE="http://127.0.0.1:1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "doctor: failed")


def test_the_smoke_as_written(shell):
    """How many programs, and the judgement."""
    done = shell("python debug/smoke_option_a_codex_only.py")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "variants_count 6",
        'judge {"best_id": "variant_3", "rationale_short": "short"}',
    ]


def test_the_parallel_probe_as_written(shell):
    """A line of JSON for each call."""
    done = shell("python debug/codex_parallel_probe.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["content"] for line in lines] == ['{"ok": true}'] * 4
    assert {line["scillm_router"]["error_type"] for line in lines} == {"ok"}


@pytest.mark.parametrize("name", ["smoke_option_a_codex_only", "codex_parallel_probe"])
def test_without_an_agent_a_script_says_so_in_a_line(shell, name):
    """And names the doctor."""
    done = shell(f"python debug/{name}.py", CODEX_AGENT_API_BASE="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "codex_agent_doctor.py` says more" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_told_of_and_imports_no_plugin(script):
    """It is a front: what it does lives behind a command or an API of scillm."""
    text = (FOLDER / script).read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert f"`{script}`" in (FOLDER / "README.md").read_text()
    assert f"python {script}`" in (FOLDER.parents[1] / "docs/quickstart.md").read_text()
    assert imported <= {"asyncio", "json", "sys", "scillm", "scillm_cli"}


def test_the_agent_in_this_process_as_written(shell):
    """The same each time; no address is asked, so none is given."""
    done = shell("python examples/mini_agent_inprocess.py")
    assert (done.returncode, done.stdout) == (0, "success hello agent\n")


def test_the_mini_agent_is_verified_as_written(shell):
    """One of its own, on a free port."""
    done = shell("python debug/verify_mini_agent.py --local --port 0")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[ok] /agent/run: ping")


def test_a_mini_agent_that_is_not_there_is_told(shell):
    """It exits with 2."""
    done = shell("python debug/verify_mini_agent.py --base http://127.0.0.1:9")
    assert (done.returncode, done.stdout.startswith("[fail] /ready")) == (2, True)


def test_the_compose_file_is_sound():
    """Loopback alone, not root, nothing to write to, and each server is asked for its health."""
    import yaml

    folder = FOLDER / "local/docker"
    compose = yaml.safe_load((folder / "compose.agents.yml").read_text())
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "healthz" in service["healthcheck"]["test"][-1]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        build = service["build"]
        root = (folder / build["context"]).resolve()
        assert root == FOLDER.parents[1]
        assert (root / build["dockerfile"]).is_file()
    assert compose["services"]["codex-sidecar"]["environment"]["CODEX_SIDECAR_ECHO"] == "1"
    lines = (folder / "Dockerfile").read_text().splitlines()
    assert lines.index("USER scillm") < next(n for n, w in enumerate(lines) if w.startswith("CMD"))


def test_the_login_as_written(shell, tmp_path):
    """Its fields, and no value."""
    login = tmp_path / "auth.json"
    login.write_text('{"OPENAI_API_KEY": "sk-very-secret"}')
    done = shell("python debug/check_codex_auth.py", CODEX_AUTH_PATH=str(login))
    assert (done.returncode, "secret" in done.stdout) == (0, False)
    assert "OPENAI_API_KEY" in done.stdout


def test_the_containers_servers_as_written(shell, base):
    """Here by one server for both."""
    line = f"python debug/verify_codex_agent_docker.py --mini-base {base}"
    done = shell(line)
    assert (done.returncode, done.stdout.count("[ok]")) == (0, 6), done.stdout + done.stderr
    done = shell(line, CODEX_AGENT_API_BASE="http://127.0.0.1:1")
    assert (done.returncode, "[fail] codex-sidecar" in done.stdout) == (2, True)
