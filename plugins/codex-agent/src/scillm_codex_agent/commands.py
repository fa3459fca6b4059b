"""``scillm codex``: look at an agent."""

from __future__ import annotations

import click

from scillm_codex_agent.doctor import bases, examine


@click.group()
def codex() -> None:
    """Look at a codex-agent or its sidecar."""


@codex.command()
@click.option("--base", metavar="URL", help="The agent; else CODEX_AGENT_API_BASE, 8077, 8089.")
@click.option("--model", metavar="MODEL", help="The model to ask; else the first that it lists.")
@click.pass_context
def doctor(ctx: click.Context, base: str | None, model: str | None) -> None:
    """Look for an agent, ask it something, and have it judge in strict JSON.

    Prints "key: value" lines, the last of which is "doctor: ok". Exits with 2 if no agent is
    healthy, 3 if it does not answer, 4 if it does not judge.
    """
    for finding in examine(bases(base), model):
        click.echo(f"{finding.key}: {' '.join(finding.said.split())}")
        if finding.hint:
            click.echo(f"hint: {finding.hint}")
            click.echo("doctor: failed")
        if finding.exit_code is not None:
            ctx.exit(finding.exit_code)
