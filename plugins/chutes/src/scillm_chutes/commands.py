"""``scillm chutes``: peers of a model, a chute of one's own, models that call tools."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from scillm import APIError, Secret
from scillm_chutes import doctor as host
from scillm_chutes import tool_check
from scillm_chutes.peers import NoModels, env_lines, find, router_lines
from scillm_chutes.settings import API_BASE, API_KEY, Gateway, Kind

NO_MODELS = 3


class _NoModels(click.ClickException):
    exit_code = NO_MODELS


_base = click.option("--base", metavar="URL", help="The gateway; else CHUTES_API_BASE.")
_key = click.option("--key", metavar="KEY", help="Its key; else CHUTES_API_KEY, which ps(1) hides.")


@click.group()
def chutes() -> None:
    """Look at a Chutes gateway: peers of a model, hosts, models that call tools."""


@chutes.command()
@click.option("--kind", type=click.Choice(["text", "vlm"]), default="text", show_default=True)
@click.option("--primary", metavar="MODEL", help="Whose peers; else CHUTES_<KIND>_MODEL.")
@_base
@_key
@click.option("--max", "most", type=click.IntRange(0, 9), default=3, show_default=True)
@click.option("--verify", is_flag=True, help="Keep those only that answer a small call with JSON.")
def peers(  # noqa: PLR0913, PLR0917  # each is an option
    kind: Kind,
    primary: str | None,
    base: str | None,
    key: str | None,
    most: int,
    verify: bool,  # noqa: FBT001  # click passes options by name
) -> None:
    """Print lines for .env and a Router: a model and those that could stand in for it.

    Peers are of the same kind and at most four times as large or as small, as their names tell.
    Exits with 2 if no gateway is named, 3 if it has no model that will do.
    """
    gateway = _gateway(base, key)
    try:
        found = find(gateway, kind, primary=primary, most=most, verify=verify)
    except (NoModels, APIError) as error:
        raise _NoModels(str(error)) from None
    for remark in found.remarks:
        click.echo(remark, err=True)
    for model, why in found.dropped.items():
        click.echo(f"did not pass: {model}: {why}", err=True)
    checked = ", each of which answered with JSON just now" if verify else ", not tried"
    click.echo(f"# .env: {found.primary} and its peers{checked}")
    click.echo("\n".join(env_lines(found, kind)))
    click.echo("\n# Router:")
    click.echo("\n".join(router_lines(found, kind)))


@chutes.command()
@click.option("--slug", metavar="SLUG", help="The chute: its host is SLUG.chutes.ai.")
@click.option("--model", required=True, metavar="MODEL", help="The model that it serves.")
@click.option("--base", metavar="URL", help="Its address, where that is not SLUG.chutes.ai.")
@click.option("--timeout", type=click.FloatRange(min=0), default=480.0, show_default=True)
@click.option("--interval", type=click.FloatRange(min=0), default=12.0, show_default=True)
@click.option("--concurrency", type=click.IntRange(1, 64), default=2, show_default=True)
@click.pass_context
def doctor(  # noqa: PLR0913, PLR0917  # each is an option
    ctx: click.Context,
    slug: str | None,
    model: str,
    base: str | None,
    timeout: float,
    interval: float,
    concurrency: int,
) -> None:
    """Wait for a host, ask it once for JSON, then several times; print one line of JSON.

    The key is CHUTES_API_KEY. Exits with 0 if all is well, 1 if something is not, 2 if there is
    nothing to ask: no host or no key.
    """
    if not (base or slug):
        raise click.UsageError("say which host: --slug SLUG, or --base URL")
    try:
        gateway = _gateway(base or host.base_of(slug or ""), None)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    told = host.examine(
        gateway, model, timeout_s=timeout, interval_s=interval, concurrency=concurrency
    )
    click.echo(json.dumps(told))
    ctx.exit(0 if told["overall_ok"] else 1)


@chutes.command()
@click.option("--model", required=True, metavar="MODEL", help="The model to try.")
@_base
@_key
@click.option(
    "--evidence",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add what was seen to this file, a line of JSON for each try.",
)
@click.pass_context
def tools(
    ctx: click.Context, model: str, base: str | None, key: str | None, evidence: Path | None
) -> None:
    """Try whether a model calls tools; print one line of JSON with ok_tools.

    Only a call with sound arguments counts. CHUTES_TOOLS_ENDPOINT says where else to ask. Exits
    with 0 if it does, 1 if not, 2 if no gateway is named.
    """
    told: dict[str, Any] = tool_check.examine(_gateway(base, key), model)
    if evidence is not None:
        evidence.parent.mkdir(parents=True, exist_ok=True)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with evidence.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at, **told}) + "\n")
    click.echo(json.dumps(told))
    ctx.exit(0 if told["ok_tools"] else 1)


def _gateway(base: str | None, key: str | None) -> Gateway:
    """Return the gateway that is named.

    Raises:
        UsageError: There is none, or no key for it.
    """
    where, what = base or API_BASE.value(), key or API_KEY.value()
    if not where:
        raise click.UsageError("no gateway is named: give --base URL, or set CHUTES_API_BASE")
    if not what:
        raise click.UsageError("there is no key: set CHUTES_API_KEY")
    return Gateway(where, Secret(what))
