from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import scillm
import scillm_cli

Install = Callable[..., dict[str, str]]
Shell = Callable[..., subprocess.CompletedProcess[str]]

GREET = '''"""A command of somebody else."""
import click
from pathlib import Path
Path("imported").touch()

@click.command()
def greet():
    """Say hello to whoever asks."""
    click.echo("hello")
'''
ENTRY = "[scillm.commands]\ngreet = greeting:greet\n[scillm.plugins]\nscripted = scripted\n"


@pytest.fixture
def greeting(install: Install) -> dict[str, str]:
    """An environment with the command of another distribution."""
    return install("scillm-greeting", ENTRY, {"greeting": GREET})


def test_help_lists_a_foreign_command_without_importing_it(
    greeting: dict[str, str], shell: Shell
) -> None:
    """Its first line is read out of its source."""
    listed = shell("--help", env=greeting)

    assert "greet       Say hello to whoever asks." in listed.stdout
    assert not Path("imported").exists()
    assert shell("greet", env=greeting).stdout == "hello\n"


def test_a_command_that_is_none_is_told_the_nearest(shell: Shell) -> None:
    """As an argument of a call is."""
    said = shell("caht", "hi")

    assert (said.returncode, said.stdout) == (2, "")
    assert "No such command 'caht'. Did you mean 'chat'?" in said.stderr


def test_the_version_is_shown(shell: Shell) -> None:
    """By the option that everybody tries first."""
    assert shell("--version").stdout == f"scillm {scillm.__version__}\n"


def test_the_help_of_completion_keeps_its_lines(shell: Shell) -> None:
    """One for each shell."""
    said = shell("completion", "--help").stdout

    assert '  zsh    eval "$(scillm completion zsh)"           in ~/.zshrc\n' in said
    assert "\\b" not in said


@pytest.mark.parametrize(
    ("words", "given"),
    [("scillm chat -m scr", "scripted/"), ("scillm models scr", "scripted")],
)
def test_a_shell_completes_providers(
    install: Install, shell: Shell, words: str, given: str
) -> None:
    """Where a model or a provider is to be named."""
    place = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    env = {**install(), "_SCILLM_COMPLETE": "bash_complete", **place}

    assert f"plain,{given}" in shell(env=env).stdout.splitlines()


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["completion", "bash"]])
def test_start_up_loads_only_what_the_command_needs(arguments: list[str]) -> None:
    """The list of modules is what keeps it quick: no event loop, no HTTP client, no provider."""
    program = (
        "import sys\n"
        "from scillm_cli.group import cli\n"
        f"cli({arguments}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    heavy = {"asyncio", "httpx", "aiohttp", "rich", "pluggy", "jsonschema_rs", "msgspec"}
    assert heavy & set(ran.stderr.split()) == set()
    assert "scillm.pipeline" not in ran.stderr.split()


@pytest.mark.parametrize(
    ("variable", "value"), [("SCILLM_PLUGINS_BLOCK", "scripted"), ("SCILLM_ENABLE_SCRIPTED", "0")]
)
def test_a_command_of_a_blocked_plugin_is_listed_with_the_reason(
    greeting: dict[str, str], shell: Shell, variable: str, value: str
) -> None:
    """And says so when it is run, whatever its arguments."""
    env = {**greeting, variable: value}

    listed, ran = shell("--help", env=env), shell("greet", "--loudly", env=env)

    assert f"greet       [blocked by {variable}" in listed.stdout
    assert ran.returncode == 1
    assert ran.stderr.startswith(
        f"Error: the command 'greet' of scillm-greeting 0.1.0 cannot be used: blocked by {variable}"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nonexistent_sdk\n" + GREET, "no module named 'nonexistent_sdk'"),
        ("def greet(): ...\n1 / 0\n", "ZeroDivisionError: division by zero"),
        ("greet = 7\n", "greeting:greet is a int, not a click command"),
        ("def greet(:\n", "SyntaxError"),
    ],
)
def test_a_broken_command_is_listed_with_the_reason_and_breaks_nothing(
    install: Install, shell: Shell, text: str, why: str
) -> None:
    """The other commands work, and `scillm plugins` says the same."""
    env = install("scillm-greeting", ENTRY, {"greeting": text})

    listed, ran = shell("--help", env=env), shell("greet", env=env)

    assert listed.returncode == 0
    assert why in " ".join(listed.stdout.split())
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: the command 'greet' of scillm-greeting 0.1.0 cannot be")
    assert "failed: " in shell("plugins", env=env).stdout


def test_a_misspelt_command_is_an_error_of_usage(shell: Shell) -> None:
    """One line and the way to help."""
    ran = shell("modles")

    assert ran.returncode == 2
    assert "No such command 'modles'" in ran.stderr


def test_a_variable_that_is_neither_yes_nor_no_is_one_line(
    greeting: dict[str, str], shell: Shell
) -> None:
    """Both lists say which variable it is; the other plugins work."""
    env = {**greeting, "SCILLM_ENABLE_SCRIPTED": "perhaps"}

    listed, ran = shell("--help", env=env), shell("plugins", env=env)

    assert listed.returncode == 0
    assert "SCILLM_ENABLE_SCRIPTED='perhaps'" in listed.stdout
    assert "blocked: SCILLM_ENABLE_SCRIPTED='perhaps'" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_debug_shows_the_traceback(install: Install, shell: Shell) -> None:
    """Without it, the message alone."""
    env = {**install(), "SCILLM_MODEL": "nobody/x"}

    quiet, loud = shell("chat", "hello", env=env), shell("--debug", "chat", "hello", env=env)

    assert "Traceback" not in quiet.stderr
    assert quiet.stderr.startswith("Error: no active plugin answers for the provider")
    assert loud.stderr.startswith("Traceback")
    assert quiet.returncode == loud.returncode == 1


def test_the_console_script_is_the_same(install: Install) -> None:
    """`scillm` and `python -m scillm_cli` are one program."""
    program = (
        f"import sys; sys.argv = ['scillm', '--help']; import {scillm_cli.__name__} as c; c.main()"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout.startswith("Usage: scillm ")


def test_half_of_a_character_in_an_answer_does_not_end_it(install: Install, shell: Shell) -> None:
    """A lone surrogate can be JSON and cannot be written."""
    ran = shell("chat", "half", env={**install(), "PYTHONIOENCODING": "utf-8"})

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "half ? of it\n", "")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell: Shell, shell_name: str) -> None:
    """To be read by the shell's start-up file."""
    ran = shell("completion", shell_name)

    assert ran.returncode == 0
    assert f"_SCILLM_COMPLETE={shell_name}_complete" in ran.stdout


def test_a_shell_completes_commands_and_options(shell: Shell) -> None:
    """What the printed script asks for."""
    asked = {"_SCILLM_COMPLETE": "bash_complete", "COMP_WORDS": "scillm mo", "COMP_CWORD": "1"}
    program = [sys.executable, "-c", "import scillm_cli; scillm_cli.main()"]

    ran = subprocess.run(
        program, env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )

    assert ran.stdout == "plain,models\n"


def test_version_names_python_and_every_distribution(
    greeting: dict[str, str], shell: Shell
) -> None:
    """Those of others too, by what they add."""
    lines = [line.split() for line in shell("version", env=greeting).stdout.splitlines()]

    assert [line[0] for line in lines[:3]] == ["scillm", "Python", "platform"]
    assert {"scillm-cli", "scillm-kernel", "scillm-dialects", "scillm-greeting"} <= {
        line[0] for line in lines
    }
