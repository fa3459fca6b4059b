"""Running an app under uvicorn, on loopback unless told otherwise."""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, Any

from scillm_serving.rules import Rules

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 2048  # connections that may wait, as uvicorn has it
LOG = logging.getLogger("scillm.serving")


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(app: Any, rules: Rules, *, host: str, port: int) -> None:
    """Serve until asked to end by SIGTERM or Ctrl-C; running answers are finished first.

    Args:
        app: An ASGI app.
        rules: What it was made with.
        host: Address to listen at.
        port: Port to listen at; 0 for a free one, which the log tells.

    Raises:
        OSError: The address cannot be listened at.
    """
    import uvicorn

    if not is_loopback(host) and rules.token is None:
        LOG.warning(
            "listening at %s without a token: whoever reaches this address may use it; "
            "give --token, or set SCILLM_SERVE_TOKEN",
            host,
        )
    listening = _listening(host, port)
    LOG.info("serving at http://%s:%d", _shown(host), listening.getsockname()[1])
    try:
        uvicorn.Server(configured(app, rules)).run(sockets=[listening])
    finally:
        listening.close()


def configured(app: Any, rules: Rules) -> uvicorn.Config:
    """Return what uvicorn is told."""
    import uvicorn

    from scillm_serving.protocol import LONGEST_HEAD_BYTES, limited

    return uvicorn.Config(
        app,
        http=limited(rules.body_s),
        log_config=None,
        access_log=False,  # the app has its own
        server_header=False,
        timeout_graceful_shutdown=max(1, round(rules.graceful_s)),
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=2 * LONGEST_HEAD_BYTES,  # ours is to be the first
    )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)  # before anybody is told: who comes now waits, and is not refused
    except OSError:
        made.close()
        raise
    return made


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
