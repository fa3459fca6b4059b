"""From a call to what llama.cpp receives: pure, without a host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scillm import Call, Route, UnsupportedParamsError
from scillm_local import chat
from scillm_local.chat import BASE_URL
from scillm_local.model import find
from scillm_local.settings import SETTINGS

ROUTE = Route(provider="local", model="smollm2-135m", base_url=BASE_URL)
HI = ({"role": "user", "content": "Hi"},)


def body(**params):
    """The body of a call with these parameters."""
    made = chat.request(Call(messages=HI, params=params), ROUTE, is_known=True)
    return dict(made.body)


def test_an_answer_is_short_unless_the_call_says_otherwise(monkeypatch):
    """The limit is the setting's, and any limit of the caller replaces it."""
    assert body()["max_tokens"] == 512
    assert body(max_tokens=9)["max_tokens"] == 9
    assert "max_tokens" not in body(max_completion_tokens=9)

    monkeypatch.setenv("SCILLM_LOCAL_MAX_TOKENS", "40")
    assert body()["max_tokens"] == 40


def test_a_seed_turns_the_cache_of_prompts_off():
    """Cached tokens may be rounded otherwise than fresh ones."""
    assert body(seed=1)["cache_prompt"] is False
    assert "cache_prompt" not in body()


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_setting_that_is_no_count_is_named(monkeypatch, text):
    """The variable, its text and the way out are in the message."""
    monkeypatch.setenv("SCILLM_LOCAL_MAX_TOKENS", text)

    with pytest.raises(ValueError, match=f"SCILLM_LOCAL_MAX_TOKENS='{text}'"):
        body()


@pytest.mark.parametrize("name", ["reasoning_effort", "reasoning", "functions"])
def test_what_the_model_would_pass_over_is_refused_by_name(name):
    """Nothing is dropped in silence; who knows better may allow it."""
    with pytest.raises(UnsupportedParamsError, match=f"does not take '{name}'"):
        body(**{name: "high"})
    call = Call(messages=HI, params={name: "high"}, allowed_openai_params=(name,))
    assert chat.request(call, ROUTE, is_known=True).body[name] == "high"


def test_a_file_of_the_user_is_named_by_its_stem(monkeypatch):
    """The file is the default then, and the built-in model stays there by name."""
    monkeypatch.setenv("SCILLM_LOCAL_MODEL", "/models/big-1b.gguf")

    assert find("").id == find("default").id == find("big-1b").id == "big-1b"
    assert find("smollm2-135m").id == "smollm2-135m"
    assert find("other") is None


def test_importing_the_plugin_loads_nothing_heavy():
    """Neither the model's library nor a client, a command line or processes are loaded."""
    script = """
import sys, attrs
before = set(sys.modules)  # attrs loads subprocess under Python 3.10
import scillm_local
print(*(name for name in sys.modules if name not in before))
"""
    heavy = {
        "xllamacpp",
        "httpx",
        "click",
        "subprocess",
        "asyncio",
        "zipfile",
        "importlib.metadata",
    }

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert heavy.isdisjoint(done.stdout.split())


def test_the_readme_lists_every_setting_with_its_default():
    """A setting that nobody can find does not exist."""
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")

    for setting in (each for each in SETTINGS if each.prefix):
        default = "" if setting.default is None else setting.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert f"| `{setting.variable}` | {shown} |".replace("|  |", "| |") in readme
