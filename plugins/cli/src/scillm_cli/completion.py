"""``scillm completion``: the script that makes a shell complete scillm's words."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and providers in a shell.

    \b
    bash   eval "$(scillm completion bash)"          in ~/.bashrc
    zsh    eval "$(scillm completion zsh)"           in ~/.zshrc
    fish   scillm completion fish | source           in ~/.config/fish/config.fish
    """  # noqa: D301  # click takes a real backspace for "leave the lines as they are"
    from click.shell_completion import get_completion_class

    known = get_completion_class(shell)
    assert known is not None, "click knows each of SHELLS"
    click.echo(known(ctx.find_root().command, {}, "scillm", "_SCILLM_COMPLETE").source())
