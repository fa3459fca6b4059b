"""``scillm serve``: run one of the servers that are installed."""

from __future__ import annotations

import inspect
from typing import Any

import click
from attrs import evolve

from scillm import Secret
from scillm.errors import hint

GROUP = "scillm.servers"


@click.command()
@click.argument("name", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; else the server's own.")
@click.option("--token", metavar="TOKEN", help="What clients must send; SCILLM_SERVE_TOKEN hides.")
@click.option("--metrics", is_flag=True, help="Answer /metrics, as Prometheus reads it.")
@click.option("--max-concurrent", type=click.IntRange(min=1), help="Requests at a time.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def serve(  # noqa: PLR0913, PLR0917  # each is an option
    name: str | None,
    host: str,
    port: int | None,
    token: str | None,
    metrics: bool,  # noqa: FBT001  # click passes options by name
    max_concurrent: int | None,
    log_level: str,
) -> None:
    """Run a server; without a name, list those that are installed.

    It listens on loopback unless told otherwise. SIGTERM or Ctrl-C ends it when its running answers
    are finished.
    """
    from importlib.metadata import entry_points

    from scillm_serving.rules import Rules

    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name is None:
        for each in sorted(known):
            click.echo(each)
        return
    if name not in known:
        there_are = ", ".join(sorted(known)) or "none"
        raise click.UsageError(
            f"no server {name!r} is installed. {hint(name, known)} There are: {there_are}"
        )
    changes: dict[str, Any] = {
        "token": Secret(token) if token else None,
        "has_metrics": metrics or None,
        "max_concurrent": max_concurrent,
    }
    rules = evolve(
        Rules.set_by_environment(),
        **{field: value for field, value in changes.items() if value is not None},
    )
    _run(name, known[name].load(), rules, (host, port), log_level)


def _run(name: str, what: Any, rules: Any, where: tuple[str, int | None], log_level: str) -> None:
    import logging

    from scillm_serving.routes import Server
    from scillm_serving.running import run

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    host, port = where
    if isinstance(what, Server):
        app, port = what.make(rules), what.port if port is None else port
    else:
        app = what(rules) if inspect.isfunction(what) else what
    if port is None:
        raise click.UsageError(f"{name!r} has no port of its own: give --port")
    try:
        run(app, rules, host=host, port=port)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen at {host}:{port} ({error.strerror}): give another --port"
        ) from None
