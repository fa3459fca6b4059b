"""The command line of scillm. Read ``group`` first: how commands are found, and how errors end.

Each command is a module of its own that is imported when it runs; those of other
distributions are found in the same way, by the entry-point group ``scillm.commands``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scillm_cli.group import cli as cli


def main() -> None:
    """Run the command line: the console script ``scillm``."""
    import sys

    from scillm_cli.group import cli

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a lone surrogate must not end an answer
    cli(prog_name="scillm")
