from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Generator
from types import ModuleType
from typing import ClassVar

import pytest
from click.testing import Result

from pytest_scillm.endpoint import Endpoint
from scillm import Call, Kernel, Setting, hookimpl

Run = Callable[..., Result]

models = importlib.import_module("scillm_cli.models")


def test_models_are_listed_as_a_call_takes_them(run: Run, endpoint: Endpoint) -> None:
    """Provider, slash, id: one a line."""
    result = run("models", "openai_like", "--api-base", endpoint.url())

    assert result.exit_code == 0
    assert result.stdout == "openai_like/mock-model\nopenai_like/gpt-4o-mini\n"


def test_an_address_alone_is_asked_too(run: Run, endpoint: Endpoint) -> None:
    """By the plugin that takes any address."""
    result = run("models", "--api-base", endpoint.url())

    assert result.stdout == "openai_like/mock-model\nopenai_like/gpt-4o-mini\n"


def test_one_provider_that_fails_does_not_hide_the_others(run: Run, endpoint: Endpoint) -> None:
    """It is a line on stderr with the reason."""
    result = run("models", "scripted", "nobody", "openai_like", "--api-base", endpoint.url("401"))

    assert result.exit_code == 0
    assert result.stdout == "scripted/parrot\n"
    assert "no list: nobody: no active plugin answers for the provider 'nobody'" in result.stderr
    assert "no list: openai_like: status 401" in result.stderr


def test_each_provider_is_asked_once(run: Run, endpoint: Endpoint, scripted: ModuleType) -> None:
    """A list that is not to be had is not worth waiting for, where something would ask again."""

    class Persistent:
        __name__ = "persistent"
        SETTINGS = (Setting(name="MAX_RETRIES", default=3, option="max_retries"),)
        asked: ClassVar[list[int]] = []

        @hookimpl(wrapper=True)
        def send(self, call: Call) -> Generator[None, object, object]:
            self.asked.append(self.SETTINGS[0].value(call))
            return (yield)

    run("models", "scripted", kernel=Kernel.of(scripted, Persistent))

    assert Persistent.asked == [0]


def test_json_holds_models_failures_and_whom_was_not_asked(run: Run) -> None:
    """For programs."""
    answer = json.loads(run("models", "scripted", "openai", "--json").stdout)

    assert answer["models"] == [
        {"model": "scripted/parrot", "provider": "scripted", "id": "parrot"}
    ]
    assert "OPENAI_API_KEY" in answer["failed"]["openai"]
    assert answer["left_out"] == {}


def test_without_names_only_who_is_configured_is_asked(
    run: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, or none needed; the others are named with the reason, each once."""
    url = endpoint.url()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for name in ("OLLAMA", "VLLM", "LM_STUDIO"):
        monkeypatch.setenv(f"{name}_BASE_URL", endpoint.url("drop"))
    monkeypatch.delenv("GROQ_API_KEY", raising=False)

    result = run("models")

    assert result.stdout.splitlines() == [
        "scripted/parrot",
        "openai/mock-model",
        "openai/gpt-4o-mini",
    ]
    (keyless,) = (line for line in result.stderr.splitlines() if "for want of a key" in line)
    assert keyless.startswith(
        "not asked, for want of a key: chutes, openrouter, groq, together_ai,"
    )
    assert keyless.count("together_ai") == 1
    assert result.stderr.count("not asked: openai_like:") == 1
    assert "no list: ollama: " in result.stderr


def test_a_provider_that_never_answers_is_given_up(
    run: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' lists are printed; nobody waits longer than the limit."""
    monkeypatch.setattr(models, "WAIT_S", 0.2)

    result = run("models", "scripted", "openai_like", "--api-base", endpoint.url("hang"))

    assert result.stdout == "scripted/parrot\n"
    assert result.stderr.startswith("no list: openai_like: ")


def test_nobody_who_lists_any_is_exit_code_1(run: Run, scripted: ModuleType) -> None:
    """So that a script notices."""
    assert run("models", "nobody").exit_code == 1
    assert run("models", "--api-base", "http://127.0.0.1:9", kernel=Kernel.of(scripted)).exit_code
