"""What users of the quickstart know by name: each variable does something, each helper is as known.

With everything installed, against a real endpoint. What a variable does in detail is tested by the
plugin that reads it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from attrs import frozen

import scillm
from scillm import APIError, Kernel, Router

ASK = [{"role": "user", "content": "hi"}]
ROOT = Path(__file__).parents[1]
NO_WAITS = {"SCILLM_RETRY_AFTER": "0.001", "SCILLM_BACKOFF_CAP_S": "0.001"}
ONCE = {"SCILLM_MAX_RETRIES": "0"}

NOT_READ = (
    "SCILLM_AUTOSCALE",
    "SCILLM_QPS_TARGET",
    "SCILLM_CONCURRENCY",
    "SCILLM_BURST",
    "SCILLM_MIN_QPS",
    "SCILLM_MAX_QPS",
    "SCILLM_MIN_CONCURRENCY",
    "SCILLM_AUTOSCALE_DYNAMIC",
    "SCILLM_PREFLIGHT",
)
"""Variables of a hidden throttle and a hidden, paid preflight call, of which we have neither."""


class Asker:
    """Asks an endpoint by a kernel with everything that is installed.

    Args:
        endpoint: Who answers.
        options: How.
    """

    def __init__(self, endpoint: Any, options: str) -> None:
        self._endpoint = endpoint
        self._base = endpoint.url(options)
        self._kernel = Kernel.installed()

    def __call__(self, **more: Any) -> Any:
        return self._kernel.completion("m", ASK, **self._where, **more)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._kernel.close()

    def together(self, count: int) -> list[Any]:
        async def main() -> list[Any]:
            calls = (self._kernel.acompletion("m", ASK, **self._where) for _ in range(count))
            return await asyncio.gather(*calls)

        return asyncio.run(main())

    @property
    def sent(self) -> list[Any]:
        return self._endpoint.requests_to(self._base)

    @property
    def _where(self) -> dict[str, Any]:
        return {"custom_llm_provider": "openai_like", "api_base": self._base, "api_key": "k"}


def attempts(ask: Asker) -> int:
    """How many requests a call makes that fails."""
    with pytest.raises(APIError):
        ask()
    return len(ask.sent)


def is_answered(ask: Asker) -> bool:
    """Whether a call is answered."""
    try:
        ask()
    except APIError:
        return False
    return True


def is_json(ask: Asker) -> bool:
    """Whether an answer that was asked for as JSON is JSON."""
    text = ask(response_format={"type": "json_object"}).text
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def key_header(ask: Asker) -> str:
    """In which header the key is sent."""
    ask()
    return next(name for name in ("x-api-key", "authorization") if name in ask.sent[-1].headers)


def notes_of_one(ask: Asker) -> list[str]:
    """Which plugins noted something on an answer."""
    return sorted(ask().additional_kwargs)


def notes(ask: Asker) -> list[str]:
    """Which plugins noted something on a second answer."""
    ask()
    return sorted(ask().additional_kwargs)


def notes_after_a_failure(ask: Asker) -> list[str]:
    """Which plugins noted something on the answer after a failure."""
    is_answered(ask)
    return sorted(ask().additional_kwargs)


def notes_of_two_at_once(ask: Asker) -> list[str]:
    """Which plugins noted something on two answers at one time."""
    return sorted({name for answer in ask.together(2) for name in answer.additional_kwargs})


def kind_of_error(ask: Asker) -> str:
    """The class of the error."""
    with pytest.raises(APIError) as info:
        ask()
    return type(info.value).__name__


@frozen
class Effect:
    """What one variable changes.

    Args:
        value: what it is set to.
        options: of the endpoint.
        probe: what is looked at.
        without: what that is where the variable is not set; None where it would wait for long.
        within: what it is where it is set.
        besides: other variables, set in both cases.
    """

    value: str
    options: str
    probe: Callable[[Asker], Any]
    without: Any
    within: Any
    besides: Mapping[str, str] = MappingProxyType({})


EFFECTS = {
    "SCILLM_MAX_RETRIES": Effect("1", "503", attempts, 4, 2, NO_WAITS),
    "LITELLM_MAX_RETRIES": Effect("1", "503", attempts, 4, 2, NO_WAITS),
    "SCILLM_RETRY_MAX_ATTEMPTS": Effect("2", "503", attempts, 4, 2, NO_WAITS),
    "SCILLM_RETRY_ENABLED": Effect("0", "503", attempts, 4, 1, NO_WAITS),
    "SCILLM_RETRY_META": Effect("1", "s503.ok", notes_of_one, [], ["router"], NO_WAITS),
    "SCILLM_TENACIOUS": Effect("1", "s503.503.503.503.503.ok", is_answered, False, True, NO_WAITS),
    "LITELLM_TIMEOUT": Effect("0.2", "hang", kind_of_error, None, "Timeout", ONCE),
    "SCILLM_TIMEOUT": Effect("0.2", "hang", kind_of_error, None, "Timeout", ONCE),
    "SCILLM_JSON_SANITIZE": Effect("1", "json1", is_json, False, True),
    "SCILLM_CHUTES_CANONICALIZE_OPENAI_AUTH": Effect("0", "xkey", is_answered, True, False),
    "SCILLM_SAFE_MODE": Effect("1", "xkey", is_answered, True, False),
    "SCILLM_ENABLE_AUTO_AUTH": Effect("0", "xkey", is_answered, True, False),
    "SCILLM_OPENAI_AUTH": Effect("x-api-key", "echo", key_header, "authorization", "x-api-key"),
    "SCILLM_RATE_LIMIT_QPS": Effect("20", "echo", notes, [], ["pacing"]),
    "SCILLM_CHUTES_MODE": Effect("1", "echo", notes, [], ["pacing"]),
    "SCILLM_COOLDOWN_429_S": Effect("0.1", "s429.ok", notes_after_a_failure, [], ["pacing"], ONCE),
    "SCILLM_MAX_CONCURRENCY": Effect("1", "lat50", notes_of_two_at_once, [], ["pacing"]),
    "SCILLM_CACHE": Effect("1", "echo", notes, [], ["cache"]),
    "SCILLM_CACHE_DISABLE": Effect("1", "echo", notes, ["cache"], [], {"SCILLM_CACHE": "1"}),
    "LITELLM_DISABLE_CACHE": Effect("1", "echo", notes, ["cache"], [], {"SCILLM_CACHE": "1"}),
}


@pytest.fixture
def _nothing_set(monkeypatch):
    """No variable of ours, and no Redis."""
    for name in list(os.environ):
        if name.startswith(("SCILLM_", "LITELLM_", "CHUTES_", "REDIS_", "RUN_ID")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    scillm.settings.dotenv.cache_clear()
    yield
    scillm.close()
    scillm.settings.dotenv.cache_clear()


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.usefixtures("_nothing_set")
@pytest.mark.filterwarnings("ignore:LITELLM_:DeprecationWarning")
def test_a_variable_has_an_effect(endpoint, monkeypatch, name):
    """Seen from outside, by whoever sets it."""
    effect = EFFECTS[name]
    for variable, value in effect.besides.items():
        monkeypatch.setenv(variable, value)
    if effect.without is not None:
        with Asker(endpoint, effect.options) as ask:
            assert effect.probe(ask) == effect.without
    monkeypatch.setenv(name, effect.value)
    with Asker(endpoint, effect.options) as ask:
        assert effect.probe(ask) == effect.within


@pytest.mark.usefixtures("_nothing_set")
@pytest.mark.parametrize("name", ["RUN_ID", "SCILLM_CACHE_NAMESPACE"])
def test_a_namespace_parts_the_runs(endpoint, monkeypatch, name):
    """What one run keeps is not the other's."""
    monkeypatch.setenv("SCILLM_CACHE", "1")
    with Asker(endpoint, "echo") as ask:
        for run in ("a", "a", "b"):
            monkeypatch.setenv(name, run)
            ask()
        assert len(ask.sent) == 2


@pytest.mark.usefixtures("_nothing_set")
def test_nothing_is_throttled_and_nothing_is_sent_in_secret(endpoint, monkeypatch):
    """Whatever the variables of older versions say: so many calls, so many requests, no wait."""
    for name in NOT_READ:
        monkeypatch.setenv(name, "0.001")
    base = endpoint.url("echo")
    entry = {"custom_llm_provider": "openai_like", "model": "m", "api_base": base, "api_key": "k"}
    router = Router(model_list=[{"model_name": "g", "litellm_params": entry}])
    calls = [{"model": "g", "messages": ASK} for _ in range(8)]
    results = asyncio.run(router.parallel_acompletions(calls, concurrency=8))
    assert [result.error for result in results] == [None] * 8
    assert {name for r in results for name in r.response.additional_kwargs} <= {"router"}
    sent = endpoint.requests_to(base)
    assert len(sent) == 8
    assert {each.json["messages"][0]["content"] for each in sent} == {"hi"}


def test_what_is_not_read_is_said():
    """In the page about the quickstart, by name."""
    page = (ROOT / "docs/quickstart.md").read_text()
    assert [name for name in NOT_READ if f"`{name}`" not in page] == []


REQUIRED = inspect.Parameter.empty
HELPERS: dict[str, dict[str, Any]] = {
    "hedged_json_completion": {
        "model": REQUIRED,
        "messages": REQUIRED,
        "api_base": REQUIRED,
        "key": REQUIRED,
        "timeout": 30,
        "temperature": 0,
        "variants": None,
        "ttl_s": 600,
        "hedge_delay_ms": 250,
    },
    "hedged_acompletion": {
        "router": REQUIRED,
        "primary_model": REQUIRED,
        "hedge_ms": 700,
        "backup_model": None,
    },
    "json_utils.clean_json_string": {"x": REQUIRED, "return_dict": False},
    "clean_json_string": {"x": REQUIRED, "return_dict": False},
    "choose_auth": {"headers": REQUIRED, "stream": False},
    "chutes_simple.chutes_chat_json": {
        "messages": REQUIRED,
        "model": None,
        "max_tokens": 256,
        "temperature": 0,
        "timeout": 45,
        "tenacious": False,
        "max_wall_time_s": 21600,
        "backoff_cap_s": 300,
        "backoff_base": 2.0,
    },
    "chutes_simple.chutes_router_json": {"messages": REQUIRED, "kind": "text"},
    "auto_router_from_env": {
        "kind": "text",
        "require_json": False,
        "require_tools": False,
        "max_bases": 5,
        "max_candidates_per_base": 2,
    },
    "infer_with_fallback": {
        "messages": REQUIRED,
        "kind": "text",
        "require_json": False,
        "require_tools": False,
        "response_format": None,
        "max_retries": 3,
        "retry_after": 1,
        "timeout": 45,
    },
    "find_best_chutes_model": {
        "kind": "text",
        "require_tools": False,
        "require_json": False,
        "bases": None,
        "util_threshold": None,
    },
    "warm_chutes_caches": {"entries": REQUIRED, "ttl_s": 300},
    "initialize_litellm_cache": {},
    "codex.chat": {
        "messages": REQUIRED,
        "model": "gpt-5",
        "base": None,
        "temperature": None,
        "max_tokens": None,
        "reasoning_effort": None,
        "response_format": None,
        "timeout": 60,
    },
    "multi_agents.answer_text_multi": {
        "messages": REQUIRED,
        "model_ids": REQUIRED,
        "judge_via_codex": True,
        "temperature": None,
        "max_tokens": 512,
        "timeout": 60,
    },
    "multi_agents.answer_code_autogen_and_judge_codex_only": {
        "items": REQUIRED,
        "n_variants": 6,
        "generator_model": "gpt-5",
        "temperature": 0,
        "max_tokens": 2000,
        "timeout": 120,
        "codex_api_base": None,
    },
    "json_utils.parse_json": {},
    "json_utils.json_serialize": {"handle_paths": False},
    "json_utils.load_json_file": {},
    "json_utils.save_json_to_file": {},
    "json_utils.load_jsonl": {},
    "json_utils.PathEncoder": {},
}
ALIASES = {"strict_json_chat": "strict_json_completion", "json_chat": "strict_json_completion"}


def helper(package: str, name: str) -> Any:
    """What `from <package>.extras... import` gives."""
    module, _, leaf = f"{package}.extras.{name}".rpartition(".")
    return getattr(importlib.import_module(module), leaf)


@pytest.mark.parametrize("package", ["scillm", "litellm"])
@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_takes_what_it_always_took(package, name):
    """Under both packages, by these names, with these defaults."""
    parameters = inspect.signature(helper(package, name)).parameters
    known = {arg: parameters[arg].default for arg in HELPERS[name] if arg in parameters}
    assert known == HELPERS[name]


@pytest.mark.parametrize("name", ALIASES)
def test_a_second_name_is_the_same_helper(name):
    """Not a copy."""
    assert helper("scillm", name) is helper("scillm", ALIASES[name])


@pytest.mark.usefixtures("_nothing_set")
def test_the_strict_helper_asks_as_it_always_did(endpoint):
    """For an object, at temperature 0, of any OpenAI-like host; other arguments go along."""
    base = endpoint.url("json1")
    answer = helper("scillm", "strict_json_completion")(
        model="m", messages=ASK, api_base=base, api_key=None, extra_headers={"x-api-key": "k"}
    )
    (sent,) = endpoint.requests_to(base)
    assert sent.json["response_format"] == {"type": "json_object"}
    assert sent.json["temperature"] == 0
    assert "max_tokens" not in sent.json
    assert sent.headers["x-api-key"] == "k"
    assert json.loads(answer["choices"][0]["message"]["content"])["a"] == 1
