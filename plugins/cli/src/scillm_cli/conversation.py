"""A conversation at a terminal: each line a question, the answers remembered."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scillm_cli.answering import Asking
from scillm_cli.history import History
from scillm_cli.prompts import question
from scillm_cli.terminal import tell

if TYPE_CHECKING:
    from scillm import Kernel

_WORDS = "/quit leaves, /clear forgets, /save FILE keeps; Ctrl-C stops an answer"
_PROMPT = "> "


class Conversation:
    """Reads questions until ``/quit`` or the end of input.

    Args:
        kernel: Who answers.
        asking: How to ask.
        history: What was said before; grows with each turn.
        images: Images of the first question.
    """

    def __init__(
        self, kernel: Kernel, asking: Asking, history: History, images: tuple[str, ...] = ()
    ) -> None:
        self._kernel, self._asking, self._history = kernel, asking, history
        self._images = images
        self._system = [m for m in history.messages[:1] if m.get("role") == "system"]

    def run(self) -> None:
        """Go on until the user leaves."""
        with suppress(ImportError):  # it edits lines where it is there, and is not everywhere
            import readline  # noqa: F401  # importing it is what makes input() edit
        tell(_WORDS)
        while True:
            try:
                line = _line()
            except KeyboardInterrupt:
                click.echo(err=True)
                tell(_WORDS)
                continue
            except EOFError:
                click.echo(err=True)
                return
            if line == "/quit":
                return
            if line:
                self._do(line)

    def _do(self, line: str) -> None:
        try:
            if line.startswith("/"):
                self._command(*line.split(maxsplit=1))
            else:
                self._turn(question(line, self._images))
        except KeyboardInterrupt:
            click.echo(err=True)
            tell("stopped: neither the question nor the answer is kept")
        except (OSError, ValueError) as error:
            tell(f"Error: {error}")

    def _command(self, word: str, argument: str = "") -> None:
        if word == "/clear":
            self._history.forget()
            if self._system:
                self._history.add(*self._system)
            tell("forgotten")
        elif word == "/save" and argument:
            path = Path(argument.strip()).expanduser()
            self._history.save(path)
            tell(f"saved: {len(self._history.messages)} messages in {path}")
        else:
            tell(_WORDS)

    def _turn(self, asked: Mapping[str, Any]) -> None:
        from scillm import ScillmError

        try:
            response = self._asking.answer(self._kernel, [*self._history.messages, asked])
        except ScillmError as error:
            tell(f"Error: {error}")
            return
        self._images = ()
        self._history.add(asked, *(choice.message for choice in response.choices[:1]))


def _line() -> str:
    """Read one line; the prompt goes to stderr where stdout is no terminal."""
    if sys.stdout.isatty():
        return input(_PROMPT).strip()
    click.echo(_PROMPT, nl=False, err=True)
    return input().strip()
