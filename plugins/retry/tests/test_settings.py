"""Each setting has an effect that a caller sees."""

import pytest

import scillm_openai_like
from scillm import APIError, BadRequestError, Kernel, SettingError
from scillm_retry import Retry
from scillm_retry.settings import SETTINGS

# What is set, how many requests a server that is down sees, and when the last comes, in seconds.
ATTEMPTS = [
    ({}, 4, 2 + 4 + 8),
    ({"SCILLM_MAX_RETRIES": "1"}, 2, 2),
    ({"SCILLM_MAX_RETRIES": "0"}, 1, 0),
    ({"SCILLM_NUM_RETRIES": "1"}, 2, 2),
    ({"SCILLM_NUM_RETRIES": "1", "SCILLM_MAX_RETRIES": "2"}, 2, 2),
    ({"SCILLM_RETRY_MAX_ATTEMPTS": "2"}, 2, 2),
    ({"SCILLM_RETRY_MAX_ATTEMPTS": "2", "SCILLM_MAX_RETRIES": "7"}, 2, 2),
    ({"SCILLM_RETRY_AFTER": "1"}, 4, 1 + 2 + 4),
    ({"SCILLM_RETRY_BASE_S": "1"}, 4, 1 + 2 + 4),
    ({"SCILLM_RETRY_BASE_S": "1", "SCILLM_RETRY_AFTER": "9"}, 4, 1 + 2 + 4),
    ({"SCILLM_RETRY_AFTER": "0"}, 4, 0),
    ({"SCILLM_RETRY_MAX_S": "3"}, 4, 2 + 3 + 3),
    (
        {"SCILLM_RETRY_MAX_ATTEMPTS": "9", "SCILLM_MAX_RETRIES": "2"},
        9,
        2 + 4 + 8 + 16 + 32 + 64 + 240,
    ),
    ({"SCILLM_RETRY_ENABLED": "0"}, 1, 0),
    ({"SCILLM_RETRY_ENABLED": "0", "SCILLM_TENACIOUS": "1"}, 1, 0),
    ({"SCILLM_RETRY_TIME_BUDGET_S": "5"}, 2, 2),  # a wait of 3 s more would leave nothing
    ({"SCILLM_TENACIOUS": "1", "SCILLM_MAX_WALL_TIME_S": "100"}, 6, 62),
    ({"SCILLM_TENACIOUS": "1", "SCILLM_MAX_WALL_TIME_S": "50", "SCILLM_BACKOFF_CAP_S": "9"}, 7, 41),
    ({"SCILLM_TENACIOUS": "1", "SCILLM_MAX_WALL_TIME_S": "100", "SCILLM_BACKOFF_BASE": "3"}, 4, 39),
]
OPTIONS = [
    ({"max_retries": 1}, 2, 2),
    ({"num_retries": 1}, 2, 2),
    ({"num_retries": 1, "max_retries": 5}, 2, 2),
    ({"max_retries": None}, 4, 14),
    ({"retry_after": 1}, 4, 7),
    ({"retry_max_s": 3}, 4, 8),
    ({"retry_time_budget_s": 5}, 2, 2),
    ({"retry_enabled": False}, 1, 0),
    ({"tenacious": True, "max_wall_time_s": 100, "max_retries": 1, "retry_after": 50}, 6, 62),
    ({"tenacious": True, "max_wall_time_s": 15, "backoff_cap_s": 4}, 5, 2 + 4 + 4 + 4),
    ({"tenacious": True, "max_wall_time_s": 100, "backoff_base": 3}, 4, 39),
    ({"tenacious": True, "retry_enabled": False}, 1, 0),
]


# What is set, by variable or by argument, and what is wrong with it.
WRONG = [
    ("MAX_RETRIES", "max_retries", -1, "whole number"),
    ("MAX_RETRIES", "max_retries", "many", "invalid literal"),
    ("NUM_RETRIES", "num_retries", 1.5, "invalid literal"),
    ("RETRY_AFTER", "retry_after", -1, "0 or more"),
    ("RETRY_AFTER", "retry_after", float("nan"), "0 or more"),
    ("RETRY_MAX_S", "retry_max_s", float("inf"), "0 or more"),
    ("RETRY_TIME_BUDGET_S", "retry_time_budget_s", 0, "greater than 0"),
    ("RETRY_ENABLED", "retry_enabled", "maybe", "expected one of"),
    ("TENACIOUS", "tenacious", 2, "expected one of"),
    ("RETRY_META", "retry_meta", "x", "expected one of"),
    ("HONOR_RETRY_AFTER", "honor_retry_after", "x", "expected one of"),
]
WRONG_VARIABLES = [
    ("SCILLM_BACKOFF_BASE", "0.5", "1 or more"),
    ("SCILLM_RETRY_JITTER_PCT", "25", "from 0 to 1"),
    ("SCILLM_RETRY_MAX_ATTEMPTS", "0", "1 or more"),
    ("SCILLM_RETRY_BASE_S", "-1", "0 or more"),
    ("SCILLM_RETRY_TIME_BUDGET_S", "soon", "could not convert"),
    *((f"SCILLM_{name}", str(value), why) for name, _, value, why in WRONG),
]


@pytest.fixture
def lost(ask, clock, wire):
    """Ask a server that is down; returns how many requests it saw, and when the last one came."""

    def asked(**arguments):
        wire.fail(503)
        with pytest.raises(APIError):
            ask(**arguments)
        return len(wire.sent), clock.now_s

    return asked


@pytest.mark.parametrize(("variables", "requests", "last_s"), ATTEMPTS)
def test_a_variable_bounds_attempts_and_waits(monkeypatch, lost, variables, requests, last_s):
    """How often and how long is in the user's hand."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert lost() == (requests, last_s)


@pytest.mark.parametrize(("options", "requests", "last_s"), OPTIONS)
def test_an_argument_bounds_attempts_and_waits(lost, options, requests, last_s):
    """So it is for one call."""
    assert lost(**options) == (requests, last_s)


def test_an_argument_wins_over_every_variable(monkeypatch, lost):
    """What a call says beats what the environment says."""
    for name, value in {"MAX_RETRIES": "9", "NUM_RETRIES": "8", "RETRY_MAX_ATTEMPTS": "7"}.items():
        monkeypatch.setenv(f"SCILLM_{name}", value)
    monkeypatch.setenv("SCILLM_RETRY_BASE_S", "5")
    monkeypatch.setenv("SCILLM_TENACIOUS", "1")
    assert lost(max_retries=2, retry_after=1, tenacious=False) == (3, 3)


def test_the_legacy_names_work_and_say_that_they_are_old(monkeypatch, lost):
    """Programs configured for the predecessor keep their limits."""
    monkeypatch.setenv("LITELLM_MAX_RETRIES", "2")
    monkeypatch.setenv("LITELLM_RETRY_AFTER", "1")
    with pytest.warns(DeprecationWarning, match="set SCILLM_"):
        assert lost() == (3, 3)


@pytest.mark.parametrize(("share", "low_s"), [("1", 0), ("0.25", 1.5), ("0", 2)])
def test_the_share_of_chance(monkeypatch, wire, ok, clock, *, share, low_s):
    """SCILLM_RETRY_JITTER_PCT is how much of a wait is drawn."""
    monkeypatch.setenv("SCILLM_RETRY_JITTER_PCT", share)
    kernel = Kernel.of(wire, scillm_openai_like, Retry(draw=lambda low, high: low))
    wire.fail(503).reply(ok)

    clock.run(kernel.acompletion("openai/m", [{"role": "user", "content": "hi"}], api_key="k"))

    assert clock.now_s == low_s


@pytest.mark.parametrize("by", ["variable", "argument"])
def test_the_providers_wait_can_be_ignored(monkeypatch, ask, wire, ok, clock, *, by):
    """honor_retry_after=False waits as if nothing had been asked for."""
    if by == "variable":
        monkeypatch.setenv("SCILLM_HONOR_RETRY_AFTER", "0")
    wire.fail(429, retry_after="50").reply(ok)

    ask(**({"honor_retry_after": False} if by == "argument" else {}))

    assert clock.now_s == 2


@pytest.mark.parametrize(("name", "option", "value", "why"), WRONG)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    ask, wire, *, name, option, value, why
):
    """It is the caller's mistake, named with its value."""
    with pytest.raises(BadRequestError, match=f"{option}=.*is not valid.*{why}"):
        ask(**{option: value})
    assert wire.sent == []


@pytest.mark.parametrize(("variable", "value", "why"), WRONG_VARIABLES)
def test_a_wrong_variable_is_named(monkeypatch, ask, wire, *, variable, value, why):
    """A value that cannot be read is an error, never a silent default."""
    if "BACKOFF" in variable:
        monkeypatch.setenv("SCILLM_TENACIOUS", "1")
    monkeypatch.setenv(variable, value)
    wire.fail(503)
    with pytest.raises(SettingError, match=f"(?s){variable}=.*{why}"):
        ask()


@pytest.mark.parametrize("option", ["on_attempt", "on_success", "on_giveup"])
def test_a_function_must_be_one(monkeypatch, ask, option):
    """What cannot be called is refused; and no variable can name a function."""
    with pytest.raises(BadRequestError, match=f"{option}='print' cannot be called"):
        ask(**{option: "print"})
    setting = next(each for each in SETTINGS if each.option == option)
    monkeypatch.setenv(setting.variable, "print")
    with pytest.raises(ValueError, match="pass it as an argument"):
        setting.value()


def test_every_setting_is_explained():
    """Each has a help text, and no two share a name."""
    assert all(setting.help for setting in SETTINGS)
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)
