"""From what stands on the command line to what ``completion()`` takes."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scillm import Secret

_ELSEWHERE = {
    "model": "--model",
    "messages": "PROMPT, --system and --continue",
    "stream": "--no-stream",
    "api_key": "the provider's environment variable, or --key-from FILE",
}


def options(pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` pairs; a value that is JSON is read as such, any other is text.

    Raises:
        click.UsageError: A pair is none, or names what is given in another way.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"-o {pair!r} is not NAME=VALUE, such as -o top_p=0.9")
        if name in _ELSEWHERE:
            raise click.UsageError(f"-o {name}=... is given by {_ELSEWHERE[name]}")
        if name in found:
            raise click.UsageError(f"-o {name}=... is given twice")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def merged(own: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Join the arguments of options of their own, unset ones left out, and those of ``-o``.

    Raises:
        click.UsageError: One is given both ways.
    """
    given = {name: value for name, value in own.items() if value is not None}
    if both := sorted(given.keys() & more.keys()):
        raise click.UsageError(f"{both[0]!r} is given twice: by an option of its own and by -o")
    return {**given, **more}


def key_from(path: Path) -> Secret:
    """Read a key from the first line of a file.

    Raises:
        click.UsageError: The file cannot be read, or the line is empty.
    """
    from scillm import Secret

    try:
        with path.open(encoding="utf-8") as file:
            key = file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--key-from {str(path)!r} cannot be read: {error}") from None
    if not key:
        raise click.UsageError(
            f"--key-from {str(path)!r}: the first line is empty; it must hold the key"
        )
    return Secret(key)


def question(prompt: str | None, images: Iterable[str] = ()) -> dict[str, Any]:
    """Return a message of the user: text, with the images after it.

    Raises:
        BadRequestError: An image cannot be read, or is none.
    """
    from scillm_dialects.images import image

    parts = [image(source) for source in images]
    if not parts:
        return {"role": "user", "content": prompt or ""}
    text = [{"type": "text", "text": prompt}] if prompt else []
    return {"role": "user", "content": [*text, *parts]}


def with_stdin(prompt: str | None) -> str | None:
    """Return the prompt with what was piped in after it; None if there is neither.

    Raises:
        click.UsageError: What was piped in is not UTF-8 text.
    """
    try:
        piped = _piped().decode().strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"stdin is not UTF-8 text: {error}; an image is given by --image"
        ) from None
    return "\n\n".join(filter(None, (prompt, piped))) or None


def _piped() -> bytes:
    """Return what a pipe or a file at stdin holds; nothing of a terminal or a device."""
    if sys.stdin is None:  # closed by whoever started us
        return b""
    stdin = sys.stdin.buffer
    try:
        kind = os.fstat(stdin.fileno()).st_mode
    except (OSError, ValueError):  # given by a program in place of a file
        return stdin.read()
    return b"" if stat.S_ISCHR(kind) else stdin.read()
