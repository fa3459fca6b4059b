"""``scillm plugins``: what is installed, in the order in which it is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from scillm_cli.group import Commands, complete_model, kernel_to_show, loaded
from scillm_cli.terminal import table

if TYPE_CHECKING:
    from scillm import Kernel, Setting
    from scillm.plugins import PluginInfo

_HEAD = ("order", "plugin", "distribution", "state", "hooks", "providers")


@click.command()
@click.option(
    "--explain",
    metavar="MODEL",
    shell_complete=complete_model,
    help="Show who would answer for MODEL; sends nothing.",
)
@click.option("--provider", help="With --explain: the provider, named apart from the model.")
@click.option("--api-base", help="With --explain: the address of the provider.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(
    ctx: click.Context,
    explain: str | None,
    provider: str | None,
    api_base: str | None,
    is_json: bool,  # noqa: FBT001  # click passes options by name
) -> None:
    """Show the plugins in the order in which they are asked."""
    if explain is not None:
        from scillm_cli.explain import explained

        found = explained(kernel_to_show(ctx), explain, provider=provider, api_base=api_base)
        click.echo(json.dumps(found.as_json(), indent=2) if is_json else found.as_text())
        ctx.exit(1 if found.problem else 0)
    if provider or api_base:
        raise click.UsageError("--provider and --api-base belong to --explain MODEL")
    kernel = kernel_to_show(ctx)
    infos = kernel.plugins.infos.values()
    rows = [_row(kernel, info) for info in sorted(infos, key=lambda info: (info.order, info.name))]
    commands = _commands(ctx)
    if is_json:
        click.echo(json.dumps({"plugins": rows, "commands": commands}, indent=2))
        return
    _print(rows, commands)


def _row(kernel: Kernel, info: PluginInfo) -> dict[str, Any]:
    switch = _switch(kernel, info)
    return {
        "order": info.order,
        "plugin": info.name,
        "distribution": info.dist,
        "state": f"{info.state}, off until {switch} is set" if switch else info.state,
        "hooks": list(info.hooks),
        "providers": list(info.providers),
    }


def _switch(kernel: Kernel, info: PluginInfo) -> str:
    """Return the variable of a plugin's own name that leaves it off, or ``""``."""
    plugin = kernel.plugins.manager.get_plugin(info.name) if info.is_active else None
    for setting in getattr(plugin, "SETTINGS", ()):
        if setting.name == info.name.upper().replace("-", "_") and not _value(setting):
            return str(setting.variable)
    return ""


def _value(setting: Setting[Any]) -> Any:
    try:
        return setting.value()
    except ValueError:
        return None  # `scillm env` says why


def _commands(ctx: click.Context) -> list[dict[str, str]]:
    """Import every command, which alone tells whether it can be used."""
    group = ctx.find_root().command
    assert isinstance(group, Commands), "this command belongs to no other group"
    found = [group.found[name] for name in group.list_commands(ctx)]
    return [
        {
            "command": one.name,
            "distribution": one.dist,
            "state": "active" if loaded(one) else one.reason,
        }
        for one in found
    ]


def _print(rows: list[dict[str, Any]], commands: list[dict[str, str]]) -> None:
    cells = [
        [", ".join(cell) if isinstance(cell, list) else str(cell) for cell in row.values()]
        for row in rows
    ]
    for line in table([_HEAD, *cells]):
        click.echo(line)
    click.echo()
    words = [list(command.values()) for command in commands]
    for line in table([("command", "distribution", "state"), *words]):
        click.echo(line)
