"""The group ``scillm``: commands loaded when they run, and every error as one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from scillm_cli import commands
from scillm_cli.terminal import address, one_line

if TYPE_CHECKING:
    from scillm import Kernel

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Commands(click.Group):
    """A group whose commands are entry points of installed distributions."""

    @cached_property
    def found(self) -> dict[str, commands.Found]:
        """Every command, by name."""
        return commands.found()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        return sorted(self.found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; what cannot be had is a command that says why."""
        command = self.found.get(cmd_name)
        if command is None:
            return None
        return loaded(command) or Unavailable(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that was typed; say the nearest one to what is none."""
        from difflib import get_close_matches

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"{error.message}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, without importing them where their source tells enough."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _line(self.found[name])) for name in self.list_commands(ctx)]
            )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C ends it without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line; every error ends as one line and an exit code."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            return super().main(given, *rest, **extra)
        except Exception as error:  # the outermost edge: whatever it is, a person reads one line
            if "--debug" in given:
                raise
            click.ClickException(_sentence(error)).show()
            sys.exit(1)


class Unavailable(click.Command):
    """Stands for a command that cannot be used, takes anything, and says why."""

    def __init__(self, command: commands.Found) -> None:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        why = one_line(command.reason)
        super().__init__(
            command.name, context_settings=settings, add_help_option=False, short_help=why
        )
        self._why = f"the command {command.name!r} of {command.dist} cannot be used: {why}"

    def invoke(self, ctx: click.Context) -> Any:
        """Say why."""
        raise click.ClickException(self._why)


def loaded(command: commands.Found) -> click.Command | None:
    """Import a command; None, with the reason noted on *command*, if that is not possible."""
    if command.reason:
        return None
    try:
        what = command.entry.load()
    except Exception as error:  # noqa: BLE001  # another's bug at import must not take the command line down
        command.reason = f"failed: {type(error).__name__}: {error}"
        return None
    if isinstance(what, click.Command):
        return what
    command.reason = (
        f"failed: {command.entry.value} is a {type(what).__name__}, not a click command"
    )
    return None


def _line(command: commands.Found) -> str:
    summary, problem = ("", command.reason) if command.reason else command.described
    if not summary and not problem:
        known = loaded(command) or Unavailable(command)
        summary = known.get_short_help_str(limit=80)
        problem = command.reason
    return f"[{one_line(problem)}]" if problem else one_line(summary)


def _sentence(error: Exception) -> str:
    """Return the message of an error that is meant for people; of another, its kind too."""
    from scillm import ScillmError

    is_meant = isinstance(error, (ScillmError, ValueError, OSError)) and str(error)
    text = str(error) if is_meant else f"{type(error).__name__}: {error}"
    return one_line(address(text if is_meant else f"{text} (`scillm --debug ...` shows where)"))


def _show_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001  # click's order
    if is_asked and not ctx.resilient_parsing:
        import scillm

        click.echo(f"scillm {scillm.__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version; `scillm version` shows those of all distributions.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:  # noqa: FBT001  # click passes options by name
    """Call any language model, and see what is installed and set.

    Without a key and without an account the embedded model answers, if it is installed.
    """


def kernel_of(ctx: click.Context) -> Kernel:
    """Return the kernel to ask: the one handed to the command line, else the installed one."""
    from scillm import Kernel, kernel

    given = ctx.find_object(Kernel)
    return given or kernel()


def kernel_to_show(ctx: click.Context) -> Kernel:
    """Return the kernel to look into, which there is although a setting cannot be read."""
    from scillm import Kernel
    from scillm.plugins import Plugins

    given = ctx.find_object(Kernel)
    return given or Kernel(Plugins.installed())


def complete_provider(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the providers that a name may go on to, for a shell."""
    names = kernel_to_show(ctx).plugins.providers()
    return sorted(name for name in names if name.startswith(incomplete))


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the providers as they begin a model's name; the rest only they could tell."""
    return [f"{name}/" for name in complete_provider(ctx, param, incomplete)]
