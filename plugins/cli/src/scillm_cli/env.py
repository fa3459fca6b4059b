"""``scillm env``: every setting, its value, and where the value comes from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict, frozen

from scillm_cli.group import kernel_to_show
from scillm_cli.terminal import address, table, tell

if TYPE_CHECKING:
    from scillm import Kernel, Setting


@frozen(kw_only=True)
class Row:
    """One setting as it is in force.

    Attributes:
        plugin: Whose it is; ``"kernel"`` for the kernel's own, ``"unknown"`` if nobody's.
        variable: The environment variable to set.
        value: The value in force, ``"***"`` for a secret, None if there is none.
        source: ``"environment"``, ``".env"`` or ``"default"``.
        legacy: The ``LITELLM_`` name that the value came by, or None.
        option: The argument of ``completion()`` that wins over it, or None.
        help: What it means.
        problem: Why the value is not valid, or None.
    """

    plugin: str
    variable: str
    value: Any
    source: str
    legacy: str | None
    option: str | None
    help: str
    problem: str | None


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print an array of objects.")
@click.pass_context
def env(ctx: click.Context, is_json: bool) -> None:  # noqa: FBT001  # click passes options by name
    """Show every setting, its value, and where that comes from.

    A SCILLM_ variable that no active plugin reads stands at the end, with the nearest that one
    does. Exits with 1 if a variable holds what its setting does not accept.
    """
    kernel = kernel_to_show(ctx)
    known = list(rows(kernel))
    idle = [info.name for info in kernel.plugins.infos.values() if not info.is_active]
    found = [*known, *unread(known, sorted(idle))]
    if is_json:
        import json

        click.echo(json.dumps([asdict(row) for row in found], indent=2, default=str))
    else:
        _print(found)
    problems = [row.problem for row in found if row.problem]
    problems += [str(kernel.plugins.misset)] if kernel.plugins.misset else []
    for said in problems:
        tell(f"Error: {said}")
    if problems:
        ctx.exit(1)


def rows(kernel: Kernel) -> Iterator[Row]:
    """Read every setting of the kernel, the switch of each plugin, and what active ones have."""
    from scillm.settings import KERNEL_SETTINGS, enabling

    owned: list[tuple[str, Setting[Any]]] = [("kernel", setting) for setting in KERNEL_SETTINGS]
    owned += [("kernel", enabling(name)) for name in sorted(kernel.plugins.infos)]
    for plugin in kernel.plugins.active():
        name = kernel.plugins.manager.get_name(plugin) or "?"
        owned += [(name, setting) for setting in getattr(plugin, "SETTINGS", ())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the row itself says `legacy`
        yield from [_row(name, setting) for name, setting in owned]


def unread(known: list[Row], idle: list[str]) -> Iterator[Row]:
    """Say which variables have our prefix and are no setting: each is likely misspelt.

    Args:
        known: The settings that there are.
        idle: Plugins that are not active, whose settings are not known.
    """
    from difflib import get_close_matches

    from scillm.settings import names_set

    names = [row.variable for row in known]
    besides = f"; not active: {', '.join(idle)}" if idle else ""
    for name in sorted(names_set().difference(names)):
        like = [each for each in names if _is_switch(each) == _is_switch(name)]
        near = get_close_matches(name, like, 1, cutoff=0.85)
        yield Row(
            plugin="unknown",
            variable=name,
            value="***",
            source="set",
            legacy=None,
            option=None,
            help="no active plugin reads it" + (f"; did you mean {near[0]}?" if near else besides),
            problem=None,
        )


def _is_switch(variable: str) -> bool:
    return variable.startswith("SCILLM_ENABLE_")


def _row(plugin: str, setting: Setting[Any]) -> Row:
    set_by = setting.lookup()
    if set_by and not setting.prefix and not set_by[1]:
        set_by = None  # another's variable that is set to nothing counts as unset
    value, problem = _value(setting) if set_by else (setting.default, None)
    variable, source = (set_by[0], set_by[2]) if set_by else (setting.variable, "default")
    return Row(
        plugin=plugin,
        variable=setting.variable,
        value=_shown(setting, value),
        source=source,
        legacy=variable if variable != setting.variable else None,
        option=setting.option,
        help=setting.help,
        problem=problem,
    )


def _value(setting: Setting[Any]) -> tuple[Any, str | None]:
    try:
        return setting.value(), None
    except ValueError as error:
        if setting.is_secret:  # a reader's words may quote what it read
            return (
                None,
                f"{setting.variable} is not valid; its text is not shown. Correct or unset it.",
            )
        found = setting.lookup()
        return (found[1] if found else None), str(error)


def _shown(setting: Setting[Any], value: Any) -> Any:
    if setting.is_secret:
        return "***" if value else None
    return address(value) if isinstance(value, str) else value


def _print(found: list[Row]) -> None:
    lines = table((row.variable, _text(row), _origin(row), _meaning(row)) for row in found)
    plugin = ""
    for row, line in zip(found, lines, strict=True):
        if row.plugin != plugin:
            plugin = row.plugin
            click.echo(plugin)
        click.echo(f"  {line}")


def _text(row: Row) -> str:
    return "(not set)" if row.value is None or row.value == "" else str(row.value)


def _origin(row: Row) -> str:
    source = f"{row.source} ({row.legacy})" if row.legacy else row.source
    return f"{source}, not valid" if row.problem else source


def _meaning(row: Row) -> str:
    return f"{row.help} [argument {row.option}=]" if row.option else row.help
