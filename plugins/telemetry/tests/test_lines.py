"""One line of JSON for each call."""

import io
import json
import logging
import subprocess
import sys

import pytest

import scillm_openai_like
from scillm import AuthenticationError, Kernel, RateLimitError, Secret
from scillm.extras.telemetry import JsonFormatter
from scillm_retry import Retry

ASK = [{"role": "user", "content": "hi"}]


def test_a_call_is_one_line(ask, wire, lines):
    """Who, how long, how much; no content, no secret."""
    wire.whole("said", usage={"prompt_tokens": 1000, "completion_tokens": 100})
    ask(log_calls=True)
    (line,) = lines()
    assert line.pop("ms") > 0
    assert line == {
        "event": "call",
        "operation": "chat",
        "result": "ok",
        "model": "openai/gpt-4o-mini",
        "provider": "openai",
        "served_model": "gpt-4o-mini-x",
        "base": "https://api.openai.com/v1",
        "input_tokens": 1000,
        "output_tokens": 100,
        "cost_usd": pytest.approx(0.00021),
        "retries": 0,
        "finish_reasons": ["stop"],
        "response_id": "c-1",
    }


def test_there_are_none_unless_asked_for(ask, wire, lines, monkeypatch):
    """The variable switches them on, a call off."""
    wire.whole()
    ask()
    monkeypatch.setenv("SCILLM_LOG_CALLS", "1")
    ask(log_calls=False)
    assert not lines()
    ask()
    assert len(lines()) == 1


def test_a_stream_tells_when_its_first_piece_came(ask, wire, lines):
    """In milliseconds, at its end."""
    wire.pieces()
    list(ask(stream=True, log_calls=True))
    (line,) = lines()
    assert line["stream"] is True
    assert 0 < line["first_ms"] <= line["ms"]


def test_a_failure_is_a_warning_with_kind_status_and_request_id(ask, wire, lines, caplog):
    """And without the words of the provider, which may quote what was asked."""
    wire.fail(429, {"error": {"message": "you said hi"}}, x_request_id="req-7")
    with pytest.raises(RateLimitError):
        ask(log_calls=True)
    (line,) = lines()
    assert (line["result"], line["error"], line["status"]) == ("error", "rate_limit", 429)
    assert line["request_id"] == "req-7"
    (record,) = [r for r in caplog.records if r.name == "scillm.calls"]
    assert record.levelno == logging.WARNING
    assert "you said" not in record.getMessage()


def test_a_refused_call_is_a_line_too(ask, lines):
    """It never left, and it was made."""
    with pytest.raises(AuthenticationError):
        ask(api_key=None, log_calls=True)
    (line,) = lines()
    assert line["error"] == "auth"


def test_retries_are_told(wire, lines, seen):
    """How many."""
    kernel = Kernel.of(wire.fail(503).whole(), scillm_openai_like, Retry(), seen.plugin())
    kernel.completion("openai/m", ASK, api_key="k", retry_after=0, log_calls=True)
    assert lines()[0]["retries"] == 1


def test_a_line_names_the_span_of_its_call(ask, wire, lines, seen):
    """So that one leads to the other."""
    wire.whole()
    ask(log_calls=True, otel=True)
    assert lines()[0]["span_id"] == f"{seen.span.context.span_id:016x}"
    assert lines()[0]["trace_id"] == f"{seen.span.context.trace_id:032x}"


def test_a_name_and_password_in_an_address_are_left_out(wire, lines, seen, monkeypatch):
    """An address of the environment may hold some."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:secret@host.example:8443/v1?k=v")
    kernel = Kernel.of(wire.whole(), scillm_openai_like, seen.plugin())
    kernel.completion("openai/m", ASK, api_key="k", log_calls=True, otel=True)
    assert lines()[0]["base"].startswith("https://host.example:8443/v1")
    assert "secret" not in json.dumps(lines())
    assert "secret" not in seen.span.to_json()
    assert seen.span.attributes["server.port"] == 8443


def test_the_formatter_writes_any_record_as_a_line():
    """Time, level, logger, message, extra, exception; what is not JSON as text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("mine")
    logger.addHandler(handler)
    try:
        int("no\nway")
    except ValueError:
        logger.exception("it %s", "broke", extra={"path": {1}})
    line = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "mine", "it broke")
    assert line["path"] == "{1}"
    assert line["time"].endswith("Z")
    assert "ValueError: invalid literal" in line["exception"]


def test_what_is_no_json_at_all_is_still_a_line():
    """A key that is no text, a value that holds itself, and never a secret."""
    circle = []
    circle.append(circle)
    extra = {"key": {(1, 2): 3}, "circle": circle, "hidden": Secret("sk-0123456789")}
    record = logging.getLogger("mine").makeRecord("mine", 20, "f", 1, "m", (), None, extra=extra)
    line = json.loads(JsonFormatter().format(record))
    assert line["key"] == "{(1, 2): 3}"
    assert line["hidden"] == "***"


def test_the_formatter_writes_the_fields_of_a_call_at_the_top(ask, wire):
    """On a handler of the user's own."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("scillm.calls")
    logger.addHandler(handler)
    wire.whole()
    ask(log_calls=True)
    line = json.loads(stream.getvalue())
    assert line["logger"] == "scillm.calls"
    assert line["model"] == "openai/gpt-4o-mini"
    assert "message" not in line


PROGRAM = """
import logging, sys
{setup}
import scillm_openai_like
from pytest_scillm import Wire
from scillm import Kernel
from scillm_telemetry import Telemetry

message = {{"role": "assistant", "content": "ok 100%s"}}
wire = Wire().reply({{"choices": [{{"index": 0, "message": message, "finish_reason": "stop"}}]}})
kernel = Kernel.of(wire, scillm_openai_like, Telemetry())
kernel.completion("openai/m%d", [{{"role": "user", "content": "hi"}}], api_key="k", log_calls=True)
"""


def ran(setup):
    """What a program of its own writes on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(setup=setup)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_a_program_that_sets_up_no_logging_gets_lines_on_standard_error():
    """Asking for them is enough."""
    line = json.loads(ran(""))
    assert (line["event"], line["model"]) == ("call", "openai/m%d")


def test_a_program_that_sets_up_logging_gets_them_its_own_way():
    """Any formatter shows JSON as the message; a level of the root does not swallow it."""
    said = ran('logging.basicConfig(level="WARNING", format="mine %(message)s")')
    assert said.startswith("mine {")
    assert json.loads(said.removeprefix("mine "))["event"] == "call"
