"""What is written for a person: control characters shown, notes on stderr, columns aligned."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

import click

_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def visible(text: str) -> str:
    r"""Return *text* with control characters spelled out, but for line ends and tabs.

    What a model or a server says is not trusted to move the cursor, to set the title or to
    fill the clipboard.

    >>> visible("red \x1b[31m")
    'red \\x1b[31m'
    """
    return _HIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """Return *text* on one line, fit for a terminal."""
    return visible(" ".join(str(text).split()))


def address(text: str) -> str:
    """Return *text* with the name and password of each address in it hidden.

    >>> address("http://ada:word@localhost/v1")
    'http://***@localhost/v1'
    """
    return _USER_INFO.sub("***", text)


def write(text: str) -> None:
    """Write a piece of an answer at once; as it is into a pipe or a file."""
    click.echo(visible(text) if sys.stdout.isatty() else text, nl=False)


def tell(text: object) -> None:
    """Write a note on stderr, where it does not get into what a pipe carries."""
    click.echo(one_line(address(str(text))), err=True)


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns are aligned; the last column is as long as it is."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
