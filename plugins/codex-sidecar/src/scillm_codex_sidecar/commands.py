"""``scillm codex-sidecar``: look at its login, and at the servers of the containers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import click

_DOCKER = "docker"
_COMPOSE_FILE = "local/docker/compose.agents.yml"


@click.group("codex-sidecar")
def codex_sidecar() -> None:
    """Look at the sidecar's login, and at the servers of the containers."""


@codex_sidecar.command()
@click.option("--container", metavar="NAME", help="Look inside this running container.")
@click.pass_context
def auth(ctx: click.Context, container: str | None) -> None:
    """Show the login of the codex command as JSON, every value masked.

    Exits with 0 if there is one, 1 if not.
    """
    from scillm_codex_sidecar import auth as login

    if container is not None:
        ctx.exit(_run("exec", container, "scillm", "codex-sidecar", "auth"))
    told = login.described()
    click.echo(json.dumps(told, indent=2))
    ctx.exit(0 if told["ok"] else 1)


@codex_sidecar.command()
@click.option("--base", metavar="URL", help="The sidecar; else CODEX_AGENT_API_BASE, 8077.")
@click.option(
    "--mini-base",
    metavar="URL",
    default="http://127.0.0.1:8788",
    show_default=True,
    help="The mini-agent.",
)
@click.option("--without-mini", is_flag=True, help="Leave the mini-agent out.")
@click.option("--start", is_flag=True, help="First start the containers, with docker compose.")
@click.option(
    "--file",
    "compose_file",
    type=click.Path(path_type=Path),
    default=_COMPOSE_FILE,
    show_default=True,
    help="The compose file for --start.",
)
@click.pass_context
def verify(  # noqa: PLR0913, PLR0917  # each is an option
    ctx: click.Context,
    base: str | None,
    mini_base: str,
    without_mini: bool,  # noqa: FBT001  # click passes options by name
    start: bool,  # noqa: FBT001  # the same
    compose_file: Path,
) -> None:
    """Try /healthz, /v1/models and a chat of the sidecar and of the mini-agent.

    Prints [ok] or [fail] lines. Exits with 0 if all is well, 2 if something is not.
    """
    from scillm.settings import variable
    from scillm_codex_sidecar.server import PORT
    from scillm_codex_sidecar.verifying import examine

    if start and _run("compose", "-f", str(compose_file), "up", "--build", "-d", "--wait"):
        raise click.ClickException(f"docker compose -f {compose_file} up failed")
    sidecar = base or variable("CODEX_AGENT_API_BASE") or f"http://127.0.0.1:{PORT}"
    servers = {"codex-sidecar": sidecar}
    if not without_mini:
        servers["mini-agent"] = mini_base
    is_well = True
    for name, where in servers.items():
        key = variable("CODEX_AGENT_API_KEY") if name == "codex-sidecar" else None
        for step in examine(name, where, key):
            is_well = is_well and not step.problem
            click.echo(
                f"[fail] {step.name}: {step.problem}" if step.problem else f"[ok] {step.name}"
            )
    ctx.exit(0 if is_well else 2)


def _run(*arguments: str) -> int:
    """Run docker, whose words go to the terminal; return its exit code."""
    program = shutil.which(_DOCKER)
    if program is None:
        raise click.ClickException("there is no docker on this machine: leave the option out")
    return subprocess.run([program, *arguments], check=False).returncode  # noqa: S603  # no shell
