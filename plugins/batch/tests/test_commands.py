"""``scillm batch`` as it is typed."""

import contextlib
import json
import os
import pty
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


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--option", "resume=1"), "--option resume=...: that is of the run"),
        (("--router", "absent.json"), "absent.json' cannot be read: [Errno 2]"),
        (("--max-cost", "-1"), "max_cost=-1.0 must be more than 0"),
        (("--engine", "moon"), "pip install scillm-engine-moon"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(typed, tmp_path, words, why):
    """Before anything is written."""
    out = tmp_path / "out.jsonl"
    refused = typed("run", _input(tmp_path), "--out", out, "-m", "openai_like/m", *words)
    assert refused.exit_code == 1
    assert why in refused.output
    assert not out.exists()


def test_a_run_may_retry_too(typed, gateway, tmp_path):
    """Where the journal is gone."""
    out = tmp_path / "out.jsonl"
    words = ("run", _input(tmp_path), "--out", out, "--option", "max_retries=0")
    script = _to(gateway, "s503.ok-echo")
    assert typed(*words, *script, "--concurrency", "1").exit_code == 1
    (tmp_path / "out.jsonl.journal").unlink()

    again = typed(*words, *script, "--retry", "retryable")

    assert again.exit_code == 0, again.output
    assert "this run: 1 asked, 2 were there" in again.output


def test_a_status_without_a_journal_is_read_from_the_lines(typed, gateway, tmp_path):
    """Also where that is damaged, or of another version; another file is refused."""
    out = tmp_path / "out.jsonl"
    assert typed("run", _input(tmp_path), "--out", out, *_to(gateway)).exit_code == 0
    (tmp_path / "out.jsonl.journal").write_text("nothing of the kind")
    assert "done     3: 3 answered" in typed("status", out).output
    assert "no row of a run, at byte 0" in typed("status", tmp_path / "in.jsonl").output


def _started(*words, **more):
    """A command in a process of its own."""
    program = "from scillm_batch.commands import batch; batch()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        **more,
    )


@pytest.mark.slow
def test_a_run_can_be_looked_at_from_another_process(typed, gateway, tmp_path):
    """While it goes on: what is done, how fast, and how long it will take."""
    out = tmp_path / "out.jsonl"
    words = ("run", _input(tmp_path, 100_000), "--out", out, *_to(gateway, "echo-lat50"))
    process = _started(*words, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            time.sleep(0.2)
            found = typed("status", out, "--json") if out.exists() else None
            if found and found.exit_code == 0 and json.loads(found.output)["rate"]:
                break
        seen = json.loads(found.output)
        assert 0 < seen["done"] < seen["total"] == 100_000
        assert seen["eta_s"] > 0
        told = typed("status", out).output
        assert "have no line yet" in told
        assert "left" in told
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_standard_input_that_stays_open_holds_up_no_end(gateway, tmp_path, number):
    """A signal finishes what is under way, and the process ends with a code of its own."""
    out, base = tmp_path / "out.jsonl", gateway.url("echo")
    words = ("run", "-", "--out", out, "-m", "openai_like/m", "--api-base", base)
    words += ("--option", "api_key=sk-x")
    with _started(*words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdin.write(_input(tmp_path).read_bytes() + b"\n")
            process.stdin.flush()
            assert gateway.wait_until(lambda e: len(e.requests_to(base)) == 3, 60)
            process.send_signal(number)
            assert process.wait(30) == 128 + number
        finally:
            process.kill()
    assert len(out.read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_terminal_is_shown_a_bar(gateway, tmp_path):
    """Ctrl-C typed there stops the run, and the bar is whole at the end."""
    out, base = tmp_path / "out.jsonl", gateway.url("echo-lat100")
    words = ("run", _input(tmp_path, 500), "--out", out, "-m", "openai_like/m")
    words += ("--api-base", base, "--option", "api_key=sk-x")
    ours, theirs = pty.openpty()
    process = _started(*words, stdin=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    assert gateway.wait_until(lambda e: len(e.requests_to(base)) > 20, 60)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    shown = b""
    with contextlib.suppress(OSError):  # it is closed
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    stdout, _ = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"finishing what is under way" in shown
    assert b"/500" in shown
    assert "\u2501".encode() in shown  # of the bar
    assert shown.endswith(b"\x1b[?25h")  # the cursor is back
    assert b"stopped because you interrupted it" in stdout


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_or_stops_and_can_be_resumed(gateway, tmp_path, times):
    """Once: what is under way is written. Twice: at once."""
    out = tmp_path / "out.jsonl"
    base = gateway.url("echo-lat200")
    words = ("run", _input(tmp_path, 500), "--out", out, "-m", "openai_like/m")
    words += ("--api-base", base, "--option", "api_key=sk-x", "--concurrency", "4")
    process = _started(*words, stderr=subprocess.PIPE, text=True)
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
