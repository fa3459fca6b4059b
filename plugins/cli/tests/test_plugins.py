from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Generator
from types import ModuleType

import pytest
from click.testing import Result

from pytest_scillm.endpoint import Endpoint
from scillm import Kernel, Setting, hookimpl

Run = Callable[..., Result]
Install = Callable[..., dict[str, str]]
Shell = Callable[..., subprocess.CompletedProcess[str]]


class Watching:
    __name__ = "watching"
    ORDER = 100

    @hookimpl(wrapper=True)
    def send(self) -> Generator[None, object, object]:
        inner = yield
        return lambda request: (inner, request)


class Off:
    __name__ = "off"
    ORDER = 110
    SETTINGS = (Setting(name="OFF", default=False),)

    @hookimpl(wrapper=True)
    def send(self) -> Generator[None, object, object]:
        return (yield)


class Passing:
    __name__ = "passing"
    ORDER = 200

    @hookimpl
    def resolve_model(self) -> None:
        return None


class Stumbling:
    __name__ = "stumbling"
    ORDER = 200

    @hookimpl
    def prepare_request(self) -> None:
        raise KeyError("oops")


def test_plugins_are_listed_in_the_order_in_which_they_are_asked(run: Run) -> None:
    """With what each of them is."""
    lines = run("plugins").stdout.splitlines()

    assert lines[0].split() == ["order", "plugin", "distribution", "state", "hooks", "providers"]
    orders = [int(line.split()[0]) for line in lines[1 : lines.index("")]]
    assert orders == sorted(orders)
    assert any(line.split()[:4] == ["500", "scripted", "given", "active"] for line in lines)


def test_a_plugin_that_is_switched_off_is_listed_as_such(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable of its own name."""
    kernel = Kernel.of(Off(), Watching())

    text = run("plugins", kernel=kernel).stdout
    monkeypatch.setenv("SCILLM_OFF", "1")

    assert "active, off until SCILLM_OFF is set" in text
    assert "off until" not in run("plugins", kernel=kernel).stdout


def test_commands_are_listed_with_their_state(run: Run) -> None:
    """Those of every distribution."""
    commands = json.loads(run("plugins", "--json").stdout)["commands"]

    found = {command["command"]: command for command in commands}
    assert found["chat"]["state"] == "active"
    assert found["chat"]["distribution"].startswith("scillm-cli ")


def test_a_blocked_plugin_is_listed_with_the_reason(install: Install, shell: Shell) -> None:
    """And is not loaded."""
    env = {**install(), "SCILLM_PLUGINS_BLOCK": "scripted"}

    listed = json.loads(shell("plugins", "--json", env=env).stdout)["plugins"]

    states = {plugin["plugin"]: plugin["state"] for plugin in listed}
    assert states["scripted"] == "blocked by SCILLM_PLUGINS_BLOCK"


def test_explaining_a_model_says_who_was_asked_and_who_answered(
    scripted: ModuleType, run: Run
) -> None:
    """For each hook, without sending anything."""
    kernel = Kernel.of(Watching(), Off(), Passing(), scripted)

    result = run("plugins", "--explain", "scripted/x", kernel=kernel)

    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert lines["resolve_model"] == "not for passing; answered by scripted"
    assert lines["prepare_request"] == "answered by scripted"
    assert lines["send"] == "wrapped by watching, kernel; off: off; answered by scripted"
    assert lines["post_process"].endswith(": kernel")
    assert lines["route"] == "scripted, model 'x'"
    assert lines["request"] == "POST scripted:"


def test_explaining_shows_the_url_and_hides_the_key(
    run: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that stands in the address."""
    url = endpoint.url()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", url.replace("://", "://ada:hidden-word@"))

    text = run("plugins", "--explain", "openai/gpt-4o").stdout
    found = json.loads(run("plugins", "--explain", "openai/gpt-4o", "--json").stdout)

    assert found["request"]["url"] == url.replace("://", "://***@") + "/chat/completions"
    assert found["request"]["headers"]["authorization"] == "***"
    assert found["steps"][0]["answered"] == "scillm_openai_like"
    assert found["request"]["url"] in text
    assert found["request"]["body"]["messages"] == [{"role": "user", "content": "..."}]
    assert '"messages": [{"role": "user", "content": "..."}]' in text
    assert "sk-very-secret" not in text + json.dumps(found)
    assert "hidden-word" not in text + json.dumps(found)
    assert endpoint.requests_to(url) == ()


def test_explaining_takes_an_address_and_a_provider(run: Run) -> None:
    """As a call does."""
    address = ("--provider", "openai_like", "--api-base", "http://127.0.0.1:9")

    result = run("plugins", "--explain", "some/model", *address)

    assert "POST http://127.0.0.1:9/v1/chat/completions" in result.stdout
    assert "openai_like, model 'some/model'" in result.stdout


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("openai/x", "prepare_request: AuthenticationError: no key for openai"),
        ("nobody/x", "no active plugin answers for the provider 'nobody'"),
        ("nobody/x", "not for "),
        ("openai/x", "refused by scillm_openai_like"),
    ],
)
def test_a_call_that_would_fail_is_explained_too(run: Run, model: str, why: str) -> None:
    """Where it ends, and why; the exit code is 1."""
    result = run("plugins", "--explain", model)

    assert result.exit_code == 1
    assert why in result.stdout


def test_a_bug_of_a_plugin_is_explained_and_names_the_plugin(
    run: Run, scripted: ModuleType
) -> None:
    """It is what one looks for."""
    kernel = Kernel.of(scripted, Stumbling())

    result = run("plugins", "--explain", "scripted/x", "--json", kernel=kernel)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["problem"] == "prepare_request: KeyError: 'oops'"
    assert json.loads(result.stdout)["steps"][1]["refused"] == "stumbling"


def test_options_of_explaining_need_a_model(run: Run) -> None:
    """They would be ignored otherwise."""
    assert run("plugins", "--provider", "openai").exit_code == 2
