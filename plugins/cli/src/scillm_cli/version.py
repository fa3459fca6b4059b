"""``scillm version``: what is installed, for a report."""

from __future__ import annotations

import platform
from importlib.metadata import Distribution, distributions

import click

from scillm_cli.terminal import table


@click.command()
def version() -> None:
    """Show which versions are installed."""
    import scillm

    system = platform.uname()  # platform.platform() would read the interpreter's own file
    rows = [
        ("scillm", scillm.__version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("platform", f"{system.system} {system.release} {system.machine}"),
    ]
    for line in table(
        [*rows, *sorted({(d.name, d.version) for d in distributions() if _is_ours(d)})]
    ):
        click.echo(line)


def _is_ours(dist: Distribution) -> bool:
    """Whether it is named after scillm, or adds to it; by whomever it is written."""
    is_named = dist.name.startswith(("scillm-", "pytest-scillm"))
    return is_named or any(entry.group.startswith("scillm.") for entry in dist.entry_points)
