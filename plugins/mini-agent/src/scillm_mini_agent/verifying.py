"""Whether a shim is ready and runs the agent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

_WAIT_S = 30.0
_START_S = 15.0


def findings(base: str) -> Iterator[tuple[bool, str]]:
    """Yield what is found, in order: whether it is well, and a line about it.

    Args:
        base: The address, without ``/v1``.
    """
    import httpx

    with httpx.Client(base_url=base, timeout=_WAIT_S, trust_env=False) as client:
        yield _asked("/ready", lambda: client.get("/ready"), lambda told: told.get("ok") is True)
        models: list[str] = []
        yield _asked(
            "/v1/models", lambda: client.get("/v1/models"), lambda told: _ids(told, models)
        )
        question = {"model": models[0], "messages": [{"role": "user", "content": "ping"}]}
        yield _asked(
            "/agent/run",
            lambda: client.post("/agent/run", json=question),
            lambda told: told.get("ok") is True and bool(told.get("final_answer")),
        )


def _asked(path: str, ask: Any, is_well: Any) -> tuple[bool, str]:
    import httpx

    try:
        answer = ask()
    except httpx.HTTPError as error:
        return False, f"{path}: {error}: is it running? `scillm serve mini-agent` starts one"
    try:
        told = answer.json()
    except ValueError:
        told = None
    if answer.status_code == 200 and isinstance(told, dict) and is_well(told):
        return True, f"{path}: {told.get('final_answer') or 'well'}"
    return False, f"{path}: status {answer.status_code}: {answer.text[:200]}"


def _ids(told: Any, found: list[str]) -> bool:
    """Add the ids of a list of models to *found*; whether there are any."""
    listed = told.get("data")
    models = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    found.extend(each["id"] for each in models if isinstance(each.get("id"), str))
    return bool(found)


@contextmanager
def local(port: int) -> Iterator[str]:
    """Run a shim in echo mode on loopback, in this process; its address.

    Raises:
        ClickException: The port is taken.
    """
    import uvicorn

    from scillm import Kernel
    from scillm_mini_agent.echo import PROVIDER, EchoModel
    from scillm_mini_agent.server import Shim, app_of
    from scillm_serving import Rules

    shim = Shim(Kernel.of(EchoModel()), {PROVIDER: f"{PROVIDER}/{PROVIDER}"}, time.time())
    listening = _listening(port)
    config = uvicorn.Config(app_of(shim, Rules()), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
    )
    thread.start()
    try:
        until_s = time.monotonic() + _START_S
        while not server.started and thread.is_alive() and time.monotonic() < until_s:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_START_S)
        listening.close()


def _listening(port: int) -> Any:
    import socket

    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen()
    except OSError as error:
        made.close()
        raise click.ClickException(
            f"cannot listen at port {port} ({error.strerror}): give another --port"
        ) from None
    return made
