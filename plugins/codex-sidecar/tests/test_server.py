import os
import re
import subprocess
import sys

import httpx
import pytest

SCHEMATHESIS = "from schemathesis.cli import schemathesis; schemathesis()"


@pytest.mark.slow
def test_no_made_up_request_ends_in_a_500(sidecar):
    """What schemathesis makes of the OpenAPI document, and against it."""
    base = sidecar().base
    done = subprocess.run(
        [
            *(sys.executable, "-c", SCHEMATHESIS, "run", f"{base}/openapi.json"),
            *("--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "40", "--no-color", "--seed", "1"),
            *("--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "uvicorn", "scillm_codex_sidecar.server:app", "--port", "0"),
        (
            "-c",
            "from scillm_serving.commands import serve; serve()",
            *("codex-sidecar", "--port", "0", "--token", "sk-own"),
        ),
    ],
    ids=["plain uvicorn", "scillm serve"],
)
def test_it_runs_as_older_pages_and_as_newer_ones_say(arguments):
    """Both are the same app; the token of the command line holds."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCILLM_", "CODEX_"))}
    with subprocess.Popen(
        [sys.executable, *arguments],
        env={**kept, "SCILLM_DOTENV": "0"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = (re.search(r"http://[\d.]+:\d+", line) for line in process.stderr)
            base = next(found[0] for found in said if found)
            assert httpx.get(f"{base}/healthz", timeout=20).json()["mode"] == "echo"
            wants_token = "--token" in arguments
            assert httpx.get(f"{base}/models").status_code == (401 if wants_token else 200)
        finally:
            process.terminate()
            process.stderr.read()
