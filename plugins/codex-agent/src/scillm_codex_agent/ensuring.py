"""Making sure that an agent is there, without a surprise: nothing starts unless told to."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from urllib.parse import urlsplit

from scillm import APIConnectionError
from scillm_codex_agent import API_BASE, AUTOSTART
from scillm_codex_agent.doctor import bases, health

_SIDECAR = "scillm_codex_sidecar"
_LOOK_AGAIN_S = 0.05


class NoAgent(APIConnectionError, RuntimeError):
    """No codex-agent is there."""


def ensure_codex_agent(
    base: str | None = None, *, start: bool | None = None, wait_s: float = 15.0
) -> str:
    """Return the address of an agent that is healthy, and set ``CODEX_AGENT_API_BASE`` to it.

    Looks at *base*, else at ``CODEX_AGENT_API_BASE``, else at ports 8077 and 8089. It starts no
    container, and it never takes a gateway instead.

    Args:
        base: The agent's address, with or without ``/v1``; if it is given, no other will do.
        start: Whether to start the sidecar if none is running at the usual ports, for as long as
            this process lives; None takes ``SCILLM_CODEX_AUTOSTART``.
        wait_s: Seconds that a sidecar has to start.

    Raises:
        NoAgent: None is there; says where it looked and what to do. It is a RuntimeError too.
    """
    looked: dict[str, str] = {}
    for each in bases(base):
        why = health(each)
        if not why:
            return _taken(each)
        looked[each] = why
    said = "; ".join(f"{each}: {why}" for each, why in looked.items())
    is_named = base is not None or API_BASE.lookup() is not None
    starts = AUTOSTART.value() if start is None else start
    if starts and not is_named:
        return _taken(_started(wait_s))
    advice = (
        "start the agent that is named"
        if is_named
        else "run `scillm serve codex-sidecar`, name an agent by CODEX_AGENT_API_BASE, or pass "
        "start=True"
    )
    raise NoAgent(f"No working codex-agent ({said}): {advice}", llm_provider="codex-agent")


def _taken(base: str) -> str:
    os.environ[API_BASE.variable] = base
    return base


def _started(wait_s: float) -> str:
    if find_spec(_SIDECAR) is None:
        raise NoAgent(
            "No working codex-agent, and no sidecar to start: install scillm-codex-sidecar",
            llm_provider="codex-agent",
        )
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", f"{_SIDECAR}.server:app", "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603  # our own server
        [*command, "--host", "127.0.0.1", "--log-level", "error"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends it at its own end
    )
    atexit.register(_end, process)
    base, until = f"http://127.0.0.1:{port}", time.monotonic() + wait_s
    while (why := health(base)) and process.poll() is None and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN_S)
    if why:
        _end(process)
        raise NoAgent(
            f"the sidecar was not well within {wait_s:g} s ({why}): `scillm serve codex-sidecar` "
            "shows why",
            llm_provider="codex-agent",
        )
    return base


def _free_port() -> int:
    """Return the sidecar's usual port if it is free, else another."""
    for port in (urlsplit(API_BASE.default).port or 0, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise NoAgent("no port is free on 127.0.0.1", llm_provider="codex-agent")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
