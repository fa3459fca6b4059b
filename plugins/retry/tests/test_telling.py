"""What is told of retries: to the caller's functions, on standard output, on the answer."""

import asyncio
import io
import json
import logging
import sys

import pytest
import stamina

from scillm import NotFoundError, ServiceUnavailableError

NOTED = {"attempts": 3, "total_sleep_s": 7.0, "last_retry_after_s": 3.0}


def _lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def heard():
    """Three functions that write down what they are told, and the list they write into."""
    told = []

    async def on_success(payload):
        await asyncio.sleep(0)
        told.append(("success", dict(payload)))

    return told, {
        "on_attempt": lambda payload: told.append(("attempt", dict(payload))),
        "on_success": on_success,
        "on_giveup": lambda payload: told.append(("giveup", dict(payload))),
    }


def test_each_failed_attempt_is_told_with_true_figures(ask, wire, ok, heard):
    """All fields, and cumulative_sleep_s is what was really slept."""
    told, callbacks = heard
    wire.fail(429, retry_after="5").fail(503).reply(ok)

    ask(retry_time_budget_s=100, **callbacks)

    assert told == [
        (
            "attempt",
            {
                "event": "attempt",
                "model": "openai/m",
                "attempt_no": 1,
                "next_sleep_s": 5.0,
                "reason": "rate_limit",
                "retry_after": 5.0,
                "remaining_time_s": 100.0,
                "remaining_attempts": 3,
                "cumulative_sleep_s": 0.0,
                "attempt_start_monotonic": 0.0,
            },
        ),
        (
            "attempt",
            {
                "event": "attempt",
                "model": "openai/m",
                "attempt_no": 2,
                "next_sleep_s": 4.0,
                "reason": "overloaded",
                "retry_after": None,
                "remaining_time_s": 95.0,
                "remaining_attempts": 2,
                "cumulative_sleep_s": 5.0,
                "attempt_start_monotonic": 5.0,
            },
        ),
        (
            "success",
            {"latency_ms": 9000.0, "attempts": 3, "retries": 2, "cumulative_sleep_s": 9.0},
        ),
    ]


def test_giving_up_is_told_with_the_last_error(ask, wire, heard):
    """The error that the caller gets, and how long it took."""
    told, callbacks = heard
    wire.fail(503)

    with pytest.raises(ServiceUnavailableError) as info:
        ask(max_retries=1, **callbacks)

    payload = told[-1][1]
    assert [kind for kind, _ in told] == ["attempt", "giveup"]
    assert (payload["attempts"], payload["elapsed_s"]) == (2, 2.0)
    assert str(info.value).startswith(str(payload["last_error"]))


def test_a_permanent_error_is_told_as_lost_too(ask, wire, heard):
    """Whoever counts lost calls misses none."""
    told, callbacks = heard
    wire.fail(404)
    with pytest.raises(NotFoundError):
        ask(**callbacks)
    assert [kind for kind, _ in told] == ["giveup"]


def test_without_a_limit_on_attempts_none_is_told(ask, wire, ok, heard):
    """Tenacious: remaining_attempts is None, the time is what is left."""
    told, callbacks = heard
    wire.fail(503).reply(ok)
    ask(tenacious=True, **callbacks)
    assert told[0][1]["remaining_attempts"] is None
    assert told[0][1]["remaining_time_s"] == 21600


@pytest.mark.parametrize("name", ["on_attempt", "on_success", "on_giveup"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_that_fails_loses_nothing(ask, wire, ok, caplog, *, name, is_async):
    """It is logged; the answer comes, and the error is the provider's."""

    def plain(payload):
        raise RuntimeError("mine")

    async def coroutine(payload):
        raise RuntimeError("mine")

    callback = {name: coroutine if is_async else plain}
    if name == "on_giveup":
        wire.fail(503)
        with pytest.raises(ServiceUnavailableError):
            ask(**callback)
    else:
        wire.fail(503).reply(ok)
        assert ask(**callback).text == "ok"
    assert "failed; the call goes on" in caplog.text
    assert "mine" in caplog.text


def test_a_slow_function_counts_as_waiting(ask, wire, ok, clock):
    """The next attempt begins when it would have begun anyway."""

    async def on_attempt(payload):
        await asyncio.sleep(1.5)

    wire.fail(503).reply(ok)
    ask(on_attempt=on_attempt)
    assert clock.now_s == 2


def test_a_function_that_takes_all_the_time_ends_the_call(ask, wire, clock):
    """No attempt begins behind the deadline."""

    async def on_attempt(payload):
        await asyncio.sleep(100)

    wire.fail(503)
    with pytest.raises(ServiceUnavailableError, match="the time of this call is over"):
        ask(on_attempt=on_attempt, retry_time_budget_s=60)
    assert len(wire.sent) == 1


@pytest.mark.parametrize("by", ["variable", "argument"])
def test_an_answer_that_was_retried_says_so_if_asked(monkeypatch, ask, wire, ok, by):
    """Attempts, seconds slept, and the last wait that the provider asked for."""
    if by == "variable":
        monkeypatch.setenv("SCILLM_RETRY_META", "1")
    wire.fail(429, retry_after="3").drop().reply(ok)

    answer = ask(**({"retry_meta": True} if by == "argument" else {}))

    assert answer.additional_kwargs["router"]["retries"] == NOTED
    assert answer._hidden_params["retries"] == NOTED


def test_an_answer_that_came_at_once_says_nothing(monkeypatch, ask, wire, ok):
    """Nor does one that nobody asked about."""
    wire.fail(429).reply(ok)
    assert "router" not in ask().additional_kwargs
    monkeypatch.setenv("SCILLM_RETRY_META", "1")
    assert "router" not in ask().additional_kwargs


def test_lines_of_json(monkeypatch, capsys, ask, wire):
    """One object per line on standard output, with exactly these fields."""
    monkeypatch.setenv("SCILLM_LOG_JSON", "1")
    wire.fail(429, {"error": {"message": "your key sk-secret is too fast"}}, retry_after="3")

    with pytest.raises(Exception, match="gave up"):
        ask(max_retries=1)

    out = capsys.readouterr().out
    retry, giveup = _lines(out)
    assert retry == {
        "event": "429_retry",
        "model": "openai/m",
        "attempt": 1,
        "sleep_s": 3.0,
        "elapsed_s": 0.0,
        "retry_after_s": 3.0,
    }
    assert "too fast" in giveup.pop("error")
    assert giveup == {"event": "429_giveup", "model": "openai/m", "attempts": 2, "elapsed_s": 3.0}
    assert "sk-secret" not in out


def test_lines_are_named_after_capacity_only_where_it_lacked(monkeypatch, capsys, ask, wire):
    """A broken connection is no 429."""
    monkeypatch.setenv("SCILLM_LOG_JSON", "1")
    wire.fail(503).drop()
    with pytest.raises(Exception, match="gave up"):
        ask(max_retries=2)
    names = [line["event"] for line in _lines(capsys.readouterr().out)]
    assert names == ["429_retry", "retry", "giveup"]


@pytest.mark.parametrize(
    ("every", "attempts"), [("1", [1, 2, 3, 4, 5]), ("2", [1, 3, 5]), ("9", [1])]
)
def test_lines_can_be_thinned(monkeypatch, capsys, ask, wire, *, every, attempts):
    """The first retry of a call is always there, and so is giving up."""
    monkeypatch.setenv("SCILLM_LOG_JSON", "1")
    monkeypatch.setenv("SCILLM_RETRY_LOG_EVERY", every)
    wire.fail(503)
    with pytest.raises(ServiceUnavailableError):
        ask(max_retries=5)
    *retries, giveup = _lines(capsys.readouterr().out)
    assert [line["attempt"] for line in retries] == attempts
    assert giveup["event"] == "429_giveup"


def test_nothing_is_printed_unasked(capsys, ask, wire, ok):
    """Standard output belongs to the program."""
    wire.fail(503).reply(ok)
    ask()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("gone", ["none", "closed"])
def test_standard_output_may_be_gone(monkeypatch, ask, wire, ok, gone):
    """A program without a console gets its answers."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setenv("SCILLM_LOG_JSON", "1")
    monkeypatch.setattr(sys, "stdout", None if gone == "none" else closed)
    wire.fail(503).reply(ok)
    assert ask().text == "ok"


def test_the_log_says_what_happens(caplog, ask, wire, ok):
    """One line of ours per retry; stamina's, which names neither model nor reason, is dropped."""
    caplog.set_level(logging.INFO)
    wire.fail(503).reply(ok)
    ask()
    (record,) = [each for each in caplog.records if each.name in {"scillm.retry", "stamina"}]
    assert record.getMessage().startswith("openai/m: attempt 1 failed, next in 2.000 s: openai/m: ")


def test_staminas_switches_hold(ask, wire, ok, clock):
    """Who turns its retries off, or takes its waits out, means ours too."""
    wire.fail(503).reply(ok)
    with stamina.set_testing(True, attempts=9):
        assert ask().text == "ok"
    assert clock.now_s == 0

    wire.fail(503).reply(ok)
    wire.answers.pop(0)
    stamina.set_active(False)
    try:
        with pytest.raises(ServiceUnavailableError) as info:
            ask()
    finally:
        stamina.set_active(True)
    assert "gave up" not in str(info.value)


def test_staminas_hooks_see_our_waits(ask, wire, ok):
    """So that a counter of all retries of a program has these too."""
    seen = []
    stamina.instrumentation.set_on_retry_hooks([seen.append])
    try:
        wire.fail(503).fail(503).reply(ok)
        ask()
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert [(each.retry_num, each.wait_for, each.waited_so_far) for each in seen] == [
        (1, 2.0, 0.0),
        (2, 4.0, 2.0),
    ]
