from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from scillm_cli.group import cli

README = Path(__file__).parents[1] / "README.md"
OWN = ("chat", "completion", "env", "models", "plugins", "version")


@pytest.fixture(scope="module")
def commands() -> dict[str, click.Command]:
    """This distribution's commands, by name."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in OWN}
    return {name: command for name, command in found.items() if command is not None}


def test_every_option_that_the_readme_names_exists(commands: dict[str, click.Command]) -> None:
    """Documentation cannot promise what is not there."""
    known = {
        option
        for command in (cli, *commands.values())
        for parameter in command.params
        for option in parameter.opts
    }
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", README.read_text(encoding="utf-8")))

    assert named - known == set()


def test_the_readme_names_every_command_and_the_options_of_chat(
    commands: dict[str, click.Command],
) -> None:
    """Nothing is left for readers to guess."""
    text = README.read_text(encoding="utf-8")
    unsaid = [
        option
        for parameter in commands["chat"].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts[-1:]
        if option not in text and option not in {"--model", "--option", "--provider"}
    ]

    assert sorted(commands) == sorted(OWN)
    assert [name for name in OWN if name not in text] == []
    assert unsaid == []
