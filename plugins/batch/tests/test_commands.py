"""``scillm batch`` as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from scillm_batch.commands import batch

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def typed(monkeypatch, gateway):
    """Run a command in this process; returns its result."""
    monkeypatch.setenv("SCILLM_RETRY_AFTER", "0.01")

    def typed(*words):
        return CliRunner().invoke(batch, [str(word) for word in words])

    return typed


def _input(tmp_path, count=3, **more):
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"item_id": f"i{n}", "messages": ASK, **more}) for n in range(count)]
    path.write_text("\n".join(lines))
    return path


def _to(gateway, options="echo"):
    return ("-m", "openai_like/m", "--api-base", gateway.url(options), "--option", "api_key=sk-x")


def test_run_status_report(typed, gateway, tmp_path):
    """The usual way."""
    out = tmp_path / "out.jsonl"

    ran = typed("run", _input(tmp_path), "--out", out, *_to(gateway))
    assert ran.exit_code == 0, ran.output
    assert f"3 items in {out}: 3 answered, 0 failed" in ran.output
    assert "3/3" in ran.stderr

    told = typed("status", out)
    assert "done     3 of 3: 3 answered, 0 failed" in told.output
    assert "served   3 by openai_like/m at http://127.0.0.1" in told.output
    found = json.loads(typed("status", out, "--json").output)
    assert (found["done"], found["errors"]) == (3, {})

    page = typed("report", out)
    assert page.output.strip() == str(tmp_path / "out.html")


def test_a_second_run_needs_a_word(typed, gateway, tmp_path):
    """To go on, or to begin anew."""
    out, words = tmp_path / "out.jsonl", ("run", _input(tmp_path), "--out", tmp_path / "out.jsonl")
    assert typed(*words, *_to(gateway)).exit_code == 0

    refused = typed(*words, *_to(gateway))
    assert refused.exit_code == 1
    assert "say --resume" in refused.output

    resumed = typed(*words, "--resume", "--json", *_to(gateway))
    summary = json.loads(resumed.stdout)
    assert (summary["event"], summary["skipped"], summary["asked"]) == ("end", 3, 0)
    assert json.loads(resumed.stderr.splitlines()[-1])["event"] == "progress"
    assert typed(*words, "--overwrite", *_to(gateway)).exit_code == 0
    assert len(out.read_text().splitlines()) == 3


def test_failed_items_are_retried_as_they_were_asked(typed, gateway, tmp_path):
    """Without saying again what the run was; the key is not kept."""
    out = tmp_path / "out.jsonl"
    options = ("--option", "max_retries=0", "--concurrency", "1")
    script = _to(gateway, "s503.ok.503.ok-echo")
    failed = typed("run", _input(tmp_path), "--out", out, *script, *options)
    assert failed.exit_code == 1
    assert "failed: 2 ServiceUnavailableError" in failed.output
    assert "sk-x" not in (tmp_path / "out.jsonl.journal").read_bytes().decode("latin-1")

    again = typed("retry", out, "--only", "failed", "--option", "api_key=sk-x")
    assert again.exit_code == 0, again.output
    assert "3 answered, 0 failed" in again.output
    assert len((tmp_path / "out.jsonl.superseded").read_text().splitlines()) == 2


def test_a_limit_has_a_code_of_its_own(typed, gateway, tmp_path):
    """And says how to go on."""
    out = tmp_path / "out.jsonl"
    stopped = typed("run", _input(tmp_path, 20), "--out", out, "--max-requests", "4", *_to(gateway))
    assert stopped.exit_code == 3
    assert "stopped because max_requests is reached; --resume goes on" in stopped.output


def test_a_table_and_a_schema(typed, gateway, tmp_path):
    """With a template for the prompt."""
    table, schema, out = (tmp_path / name for name in ("in.csv", "s.json", "out.jsonl"))
    table.write_text('n,text\n1,"{""a"": 1}"\n2,no\n')
    schema.write_text(json.dumps({"type": "object", "required": ["a"]}))

    words = ("--prompt", "{text}", "--id-column", "n", "--schema", schema, "--max-repairs", "0")
    ran = typed("run", table, "--out", out, *words, *_to(gateway))

    rows = {row["item_id"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert ran.exit_code == 1
    assert rows["1"]["parsed"] == {"a": 1}
    assert rows["2"]["error"]["raw"] == "no"


def test_bad_lines_are_reported_by_number(typed, gateway, tmp_path):
    """And the rest is asked."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = json.dumps({"item_id": "a", "messages": ASK})
    source.write_text(f"{good}\n{{\n{good}\n")

    ran = typed("run", source, "--out", out, *_to(gateway))

    assert ran.exit_code == 1
    assert "failed: 2 BadLine" in ran.output
    messages = [json.loads(line)["error"] for line in out.read_text().splitlines()]
    assert messages[0] is None
    assert "line 2 of the input: it is not JSON" in messages[1]["message"]
    assert "line 3 of the input: its item_id 'a' is that of line 1" in messages[2]["message"]


def test_what_is_not_there_is_one_line(typed, tmp_path):
    """No traceback."""
    assert "there is no output" in typed("status", tmp_path / "no.jsonl").output
    assert "cannot be read" in typed("report", tmp_path / "no.jsonl").output
    absent = typed("run", tmp_path / "no.jsonl", "--out", tmp_path / "o.jsonl", "-m", "local/x")
    assert "No such file" in absent.output
    assert typed("retry", tmp_path / "no.jsonl").exit_code == 1
    bad = typed("run", "-", "--out", tmp_path / "o.jsonl", "--option", "temperature")
    assert "is no NAME=VALUE" in bad.output


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_or_stops_and_can_be_resumed(gateway, tmp_path, times):
    """Once: what is under way is written. Twice: at once."""
    out = tmp_path / "out.jsonl"
    base = gateway.url("echo-lat200")
    words = ["run", str(_input(tmp_path, 500)), "--out", str(out), "-m", "openai_like/m"]
    words += ["--api-base", base, "--option", "api_key=sk-x", "--concurrency", "4"]
    program = "from scillm_batch.commands import batch; batch()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert gateway.wait_until(lambda e: len(e.requests_to(base)) > 8, 30)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    stdout, stderr = process.communicate(timeout=30)

    assert process.returncode == 130, stderr
    assert "Ctrl-C once more stops now" in stderr
    assert ("you interrupted it" in stdout) == (times == 1)
    written, asked = len(out.read_text().splitlines()), len(gateway.requests_to(base))
    assert 4 <= written <= asked <= written + 4 * (times - 1)
